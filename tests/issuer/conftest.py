"""The Valkey server of the tests of the feed, for whatever of the token service uses one."""

from tests.revocation.conftest import lines, prefix, valkey_port

__all__ = ["lines", "prefix", "valkey_port"]
