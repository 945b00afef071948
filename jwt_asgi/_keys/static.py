"""A key set from memory or a file, and a shared secret: keys that are never fetched."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jwt_asgi._core.freshness import State
from jwt_asgi._core.jwks import MAC_BYTES, KeySet, VerifyKey, parse_jwks, secret_key
from jwt_asgi._keys.events import KeyStatus
from jwt_asgi._keys.ledger import COUNTERS, names_of, skipped_of
from jwt_asgi.errors import ConfigurationError, KeysUnavailable, Reason, TokenError

__all__ = ["FixedKeys", "SharedSecret", "StaticKeys"]

_KEY_FILE_MARKS = (b"-----BEGIN", b"ssh-", b"ecdsa-sha2-", b'"kty"')


class StaticKeys:
    """A JWK Set that is given, once: `StaticKeys({"keys": [...]})`, or `StaticKeys.from_file("jwks.json")`.

    Raises:
        ConfigurationError: it is no JWK Set, or no key of it can be used.
    """

    __slots__ = ("_key_set",)

    def __init__(self, jwks: Mapping[str, Any] | str | bytes) -> None:
        """Import the keys."""
        try:
            raw = json.dumps(dict(jwks)) if isinstance(jwks, Mapping) else jwks
            self._key_set = parse_jwks(raw.encode("utf-8") if isinstance(raw, str) else raw)
        except KeysUnavailable as error:
            raise ConfigurationError("keys", error.detail) from None
        except (TypeError, ValueError, AttributeError):
            # whatever else the parameter may be
            raise ConfigurationError("keys", "StaticKeys expects a JWK Set as a dict, JSON text or bytes") from None

    @classmethod
    def from_file(cls, path: str | Path) -> StaticKeys:
        """Read a JWK Set from a file, once.

        Raises:
            ConfigurationError: likewise, or the file cannot be read.
        """
        try:
            return cls(Path(path).read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigurationError("keys", f"cannot read {path}: {error}") from None

    def source(self, issuer: str, _: Iterable[str]) -> FixedKeys:
        """Return what a verifier asks for the keys of this issuer."""
        return FixedKeys(self._key_set, issuer=issuer)


class SharedSecret:
    """A secret that one service signs and verifies with: HS256, HS384, HS512.

    For a single-service set-up alone: whoever can verify can also sign. `secret` is text (UTF-8) or bytes, made by a
    random generator, and at least as long as the hash (RFC 7518 section 3.2): 32, 48 or 64 bytes.

    Raises:
        ConfigurationError: it is not text or bytes, or is a key file.
    """

    __slots__ = ("_secret",)

    def __init__(self, secret: str | bytes) -> None:
        """Check and keep the secret."""
        try:
            raw = secret.encode("utf-8") if isinstance(secret, str) else secret
        except UnicodeEncodeError:
            raise ConfigurationError("keys", "SharedSecret expects text that can be encoded in UTF-8") from None
        if not isinstance(raw, bytes):
            raise ConfigurationError("keys", f"SharedSecret expects str or bytes; got {type(raw).__name__}")
        if any(mark in raw for mark in _KEY_FILE_MARKS):
            # CVE-2015-9235 and its kin: a public key is no secret
            raise ConfigurationError("keys", "SharedSecret was given a key file, not a secret; use StaticKeys for keys")
        self._secret = raw

    def __repr__(self) -> str:
        """Show nothing."""
        return "SharedSecret(...)"

    def source(self, issuer: str, algorithms: Iterable[str]) -> FixedKeys:
        """Return what a verifier asks for the keys of this issuer, for these HMAC algorithms.

        Raises:
            ConfigurationError: the secret is shorter than a hash.
        """
        names = sorted(algorithms)
        needed = max(MAC_BYTES[alg] for alg in names)
        if len(self._secret) < needed:
            raise ConfigurationError(
                "keys",
                f"SharedSecret has {len(self._secret)} bytes; {', '.join(names)} needs at least {needed} (RFC 7518 "
                "section 3.2). Make one with: python -c 'import secrets; print(secrets.token_urlsafe(64))'",
            )
        return FixedKeys(secret_key(self._secret, names), issuer=issuer, any_kid=True)


class FixedKeys:
    """A key source that never changes. With `any_kid` the token's kid does not matter."""

    __slots__ = ("_any_kid", "_issuer", "_key_set")

    refresh_on_bad_signature = False

    def __init__(self, key_set: KeySet, *, issuer: str = "", any_kid: bool = False) -> None:
        """Keep the set."""
        self._key_set = key_set
        self._issuer = issuer
        self._any_kid = any_kid

    def lookup(self, kid: str | None, alg: str) -> Sequence[VerifyKey] | None:
        """Return the keys that fit; None when the kid is unknown."""
        return self._key_set.lookup(None if self._any_kid else kid, alg)

    async def find(
        self, kid: str | None, alg: str, *, besides: Sequence[VerifyKey] | None = None
    ) -> Sequence[VerifyKey]:
        """Return the keys that fit, others than `besides`.

        Raises:
            TokenError: `key_unknown`.
        """
        keys = self.lookup(kid, alg)
        if keys is None or keys is besides:
            raise TokenError(Reason.KEY_UNKNOWN)
        return keys

    def refresh_if_due(self) -> None:
        """Do nothing: nothing is ever fetched."""

    async def ready(self, *, seconds: float, retry: bool) -> None:
        """Return at once: the keys are here."""

    async def reload(self) -> None:
        """Do nothing, likewise."""

    def status(self) -> KeyStatus:
        """Tell which keys there are; a shared secret has no name."""
        names = () if self._any_kid else names_of(self._key_set.keys)
        return KeyStatus(
            issuer=self._issuer,
            state=State.FRESH,
            kids=names,
            skipped=skipped_of(self._key_set),
            counters=dict.fromkeys(COUNTERS, 0),
        )

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""
