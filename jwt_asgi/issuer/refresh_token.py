"""Family and generation <-> the text of a refresh token; nothing else is in it, and no database can make one.

    jrt_ base64url( version 1 | key version 1 | family 16 | generation 4 | MAC 16 | CRC 4 )

The MAC is the first half of HMAC-SHA-256 (RFC 2104 section 5 allows that) under a key that is derived for the family
from a master key (HKDF, RFC 5869), which the database does not have. So what is stored mints no token, and the token of
a generation can be made again for a client that lost the answer. The prefix and the checksum are for those who look for
leaked secrets, and a text that was mistyped never gets to the database.
"""

from __future__ import annotations

import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from binascii import crc32
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from jwt_asgi.errors import ConfigurationError

__all__ = ["FAMILY_BYTES", "MAX_GENERATION", "PREFIX", "Presented", "RefreshTokens"]

PREFIX = "jrt_"
FAMILY_BYTES = 16
MAX_GENERATION = 2**32 - 1
MASTER_BYTES = 32
"""The least that a master key has, as the output of the hash (RFC 2104 section 3)."""

_VERSION = 1
_KEY_VERSIONS = range(1, 256)
_BODY = struct.Struct(f">BB{FAMILY_BYTES}sI")
_MAC_BYTES, _CRC_BYTES = 16, 4
_CHARACTERS = len(PREFIX) + (_BODY.size + _MAC_BYTES + _CRC_BYTES) * 4 // 3
_INFO = b"jwt-asgi refresh token 1 "


@dataclass(frozen=True, slots=True)
class Presented:
    """What a refresh token says, and its MAC vouches for: which family, and which generation of it."""

    family: bytes
    generation: int


class RefreshTokens:
    """Writes refresh tokens, and reads its own.

    Args:
        masters: The master keys by version, 1 to 255, each of 32 bytes or more of good chance. One is needed for as
            long as families live that were begun with it.
        current: The version for new tokens; by default the highest.

    Raises:
        ConfigurationError: there is none, or one is too short.
    """

    __slots__ = ("_masters", "current")

    def __init__(self, masters: Mapping[int, bytes], *, current: int | None = None) -> None:
        """Check the master keys."""
        if not masters or not all(version in _KEY_VERSIONS for version in masters):
            raise ConfigurationError("masters", "expected master keys by version, from 1 to 255, as {1: bytes}")
        for version, master in masters.items():
            if not isinstance(master, bytes) or len(master) < MASTER_BYTES:
                detail = f"expected {MASTER_BYTES} bytes or more as version {version}: secrets.token_bytes(32)"
                raise ConfigurationError("masters", detail)
        self._masters = dict(masters)
        self.current = max(masters) if current is None else current

    def write(self, family: bytes, generation: int, key_version: int) -> str:
        """Return the one refresh token of a generation of a family, whose master key has this version.

        Raises:
            KeyError: there is no such master key.
        """
        body = _BODY.pack(_VERSION, key_version, family, generation)
        signed = body + self._mac(body, family, key_version)
        return PREFIX + urlsafe_b64encode(signed + _checksum(signed)).decode()

    def read(self, text: str) -> Presented | None:
        """Return what a refresh token says; None: this service did not write it, and the database need not be asked."""
        signed = _signed(text)
        if signed is None:
            return None
        body, mac = signed[: _BODY.size], signed[_BODY.size :]
        version, key_version, family, generation = _BODY.unpack(body)
        if version != _VERSION or key_version not in self._masters:
            return None
        return Presented(family, generation) if hmac.compare_digest(mac, self._mac(body, family, key_version)) else None

    def _mac(self, body: bytes, family: bytes, key_version: int) -> bytes:
        key = _derived(self._masters[key_version], _INFO + family)
        return hmac.digest(key, body, sha256)[:_MAC_BYTES]


def _signed(text: str) -> bytes | None:
    """Return body and MAC of a text that has the shape and the checksum of a refresh token."""
    if len(text) != _CHARACTERS or not text.startswith(PREFIX) or not text.isascii():
        return None
    try:
        raw = urlsafe_b64decode(text[len(PREFIX) :])
    except Base64Error:
        return None
    # The decoder passes over what it does not know, and one token must not have two spellings
    if urlsafe_b64encode(raw).decode() != text[len(PREFIX) :]:
        return None
    signed, checksum = raw[:-_CRC_BYTES], raw[-_CRC_BYTES:]
    return signed if checksum == _checksum(signed) else None


def _checksum(signed: bytes) -> bytes:
    return crc32(signed).to_bytes(_CRC_BYTES, "big")


def _derived(master: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256 without a salt, for one block of output (RFC 5869 sections 2.2 and 2.3)."""
    extracted = hmac.digest(bytes(32), master, sha256)
    return hmac.digest(extracted, info + b"\x01", sha256)
