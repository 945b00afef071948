"""One secret of the operator -> the keys that refresh tokens and stored signing keys are protected with.

The secret is a few master keys by version, from the environment, a file or a callback. What each is used for has a key
of its own, derived by HKDF (RFC 5869), so that none tells anything about another. The database has none of them: a
stolen copy of it signs nothing and refreshes nothing.

    sealed = version 1 | key version 1 | nonce 12 | AES-256-GCM ciphertext | tag 16

Name and versions are authenticated with the content: no row can be put in the place of another.
"""

from __future__ import annotations

import os
import stat
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from secrets import token_bytes
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.refresh_token import RefreshTokens

__all__ = ["MasterKeys", "Sealing"]

MASTER_BYTES = 32
_VERSIONS = range(1, 256)
_LEAST_DIFFERENT_BYTES = 16
"""Of 32 random bytes, 30 are different in the mean; fewer than 16 have a chance below 2^-60."""
_MOST_CHARACTERS = 64 * 1024
_OPTION = "master_keys"
_REFRESH, _SEAL = b"jwt-asgi refresh tokens 1", b"jwt-asgi sealing 1"

_FORMAT = 1
_NONCE_BYTES, _TAG_BYTES = 12, 16
_HEAD_BYTES = 2
_HAS_MODES = os.name == "posix"
# base64 and base64url are both taken, as both are what generators print
_TO_BASE64 = str.maketrans("-_", "+/")


class MasterKeys:
    """The one secret of the token service: master keys by version, 1 to 255, each of 32 random bytes or more.

    As text they are `1:<base64>`, or several, separated by commas or white space: `2:<new>,1:<old>`. `MasterKeys.new()`
    makes one. The highest version is used for what is new, the lower ones for what was made with them: to rotate, add
    one, and take the old one away when no session that was begun with it lives, and all keys are sealed anew.

    A process that does not have the new one refuses what was made with it. So where there are several, first give all
    of them `2:<new>,1:<old>,current=1`, and then take `current=1` away.

    Args:
        keys: The keys by version.
        current: The version that is used for what is new; by default the highest.

    Raises:
        ConfigurationError: there is none, or one is too short, no random bytes, or there twice; or `current` is none of
            them.
    """

    __slots__ = ("_keys", "current")

    def __init__(self, keys: Mapping[int, bytes], *, current: int | None = None) -> None:
        """Check the keys."""
        if not isinstance(keys, Mapping) or not keys or not all(map(_is_version, keys)):
            raise ConfigurationError(_OPTION, "expected master keys by version, from 1 to 255, as {1: bytes}")
        for version, key in keys.items():
            if not isinstance(key, bytes) or len(key) < MASTER_BYTES:
                raise ConfigurationError(_OPTION, f"expected {MASTER_BYTES} random bytes or more as version {version}")
            if len(set(key)) < _LEAST_DIFFERENT_BYTES:
                raise ConfigurationError(_OPTION, f"version {version} is no random bytes; make some: {_HOW}")
        if len(set(keys.values())) < len(keys):
            raise ConfigurationError(_OPTION, "two versions are the same key")
        if current is not None and current not in keys:
            raise ConfigurationError(_OPTION, f"current is {current!r}, which is none of the versions")
        self._keys = dict(keys)
        self.current = max(keys) if current is None else current

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read `1:<base64>,2:<base64>`, maybe with `current=1`.

        Raises:
            ConfigurationError: it is something else.
        """
        if not isinstance(text, str) or len(text) > _MOST_CHARACTERS:
            raise ConfigurationError(_OPTION, f"expected text, as {_SHAPE}")
        keys: dict[int, bytes] = {}
        current: int | None = None
        for number, entry in enumerate(text.replace(",", " ").split(), start=1):
            named = entry.removeprefix(_CURRENT)
            if named != entry and current is None and _is_digits(named):
                current = int(named)
                continue
            version, colon, encoded = entry.partition(":")
            if not colon or not _is_digits(version):
                raise ConfigurationError(_OPTION, f"entry {number} has no version; expected {_SHAPE}")
            if int(version) in keys:
                raise ConfigurationError(_OPTION, f"version {int(version)} is there twice")
            keys[int(version)] = _decoded(encoded, number)
        return cls(keys, current=current)

    @classmethod
    def from_env(cls, variable: str = "JWT_ASGI_MASTER_KEYS") -> Self:
        """Read the text from an environment variable.

        Raises:
            ConfigurationError: it is not set, or holds something else.
        """
        text = os.environ.get(variable)
        if not text:
            raise ConfigurationError(_OPTION, f"the environment variable {variable} is not set; make a key: {_HOW}")
        return cls.from_text(text)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """Read the text from a file that its owner alone may read and write (mode 0600 or 0400).

        Raises:
            ConfigurationError: others may read or write it, it cannot be read, or holds something else.
        """
        try:
            with Path(path).open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                raw = file.read(_MOST_CHARACTERS + 1)
        except OSError as error:
            raise ConfigurationError(_OPTION, f"cannot read {path}: {error.strerror}") from None
        if _HAS_MODES and mode & (stat.S_IRWXG | stat.S_IRWXO):
            detail = f"{path} has mode {stat.S_IMODE(mode):04o}: others may use it; expected 0600, by chmod 600"
            raise ConfigurationError(_OPTION, detail)
        return cls.from_text(raw.decode("ascii", "replace"))

    @classmethod
    def from_callback(cls, callback: Callable[[], str | Mapping[int, bytes]]) -> Self:
        """Ask a function, once, for the text or for the keys by version. What it raises goes through.

        Where the answer must be awaited, await it first, and hand over what it says.

        Raises:
            ConfigurationError: it returns something else.
        """
        answer = callback()
        return cls.from_text(answer) if isinstance(answer, str) else cls(answer)

    @staticmethod
    def new(version: int = 1) -> str:
        """Make a master key, as text. It is a secret: keep it where the database and its backups are not."""
        return f"{version}:{urlsafe_b64encode(token_bytes(MASTER_BYTES)).decode()}"

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions that there are, in order."""
        return tuple(sorted(self._keys))

    def refresh_tokens(self) -> RefreshTokens:
        """Return what writes and reads refresh tokens."""
        return RefreshTokens(self._derived(_REFRESH), current=self.current)

    def sealing(self) -> Sealing:
        """Return what encrypts signing keys at rest."""
        return Sealing(self._derived(_SEAL), current=self.current)

    def __repr__(self) -> str:
        """Show the versions alone."""
        return f"MasterKeys(versions={list(self.versions)})"

    def _derived(self, purpose: bytes) -> dict[int, bytes]:
        return {
            version: HKDF(SHA256(), MASTER_BYTES, salt=None, info=purpose).derive(key)
            for version, key in self._keys.items()
        }


class Sealing:
    """Encrypts what the database keeps and must not know; made by `MasterKeys.sealing()`."""

    __slots__ = ("_ciphers", "current")

    def __init__(self, keys: Mapping[int, bytes], *, current: int | None = None) -> None:
        """Take a key of 32 bytes for each version."""
        self._ciphers = {version: AESGCM(key) for version, key in keys.items()}
        self.current = max(keys) if current is None else current

    def seal(self, content: bytes, name: str) -> bytes:
        """Encrypt with the current key; it opens under this name alone."""
        head = bytes((_FORMAT, self.current))
        nonce = token_bytes(_NONCE_BYTES)
        return head + nonce + self._ciphers[self.current].encrypt(nonce, content, head + name.encode())

    def open(self, sealed: bytes, name: str) -> bytes:
        """Decrypt.

        Raises:
            ConfigurationError: the master key is not here or is another one, or the row was changed.
        """
        if len(sealed) < _HEAD_BYTES + _NONCE_BYTES + _TAG_BYTES or sealed[0] != _FORMAT:
            raise ConfigurationError(_OPTION, f"what is stored as {name} was not sealed by this release")
        head, nonce, rest = sealed[:2], sealed[2 : 2 + _NONCE_BYTES], sealed[2 + _NONCE_BYTES :]
        version = head[1]
        if version not in self._ciphers:
            there = ", ".join(map(str, sorted(self._ciphers)))
            raise ConfigurationError(_OPTION, f"{name} is sealed with version {version}; given are {there}")
        try:
            return self._ciphers[version].decrypt(nonce, rest, head + name.encode())
        except InvalidTag:
            detail = f"{name} does not open: version {version} is another key than the one that sealed it, or the "
            raise ConfigurationError(_OPTION, f"{detail}stored row was changed") from None

    def is_current(self, sealed: bytes) -> bool:
        """Whether it was sealed with the current key; else open and seal it anew before the old one is taken away."""
        return sealed[:_HEAD_BYTES] == bytes((_FORMAT, self.current))

    def __repr__(self) -> str:
        """Show the versions alone."""
        return f"Sealing(versions={sorted(self._ciphers)})"


_CURRENT = "current="
_SHAPE = "1:<base64>, or several separated by commas"
_HOW = """python -c "from jwt_asgi.issuer.sealing import MasterKeys; print(MasterKeys.new())\""""


def _is_version(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in _VERSIONS


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len("255")


def _decoded(encoded: str, number: int) -> bytes:
    bare = encoded.translate(_TO_BASE64).rstrip("=")
    try:
        return b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:
        raise ConfigurationError(_OPTION, f"entry {number} is not base64 behind its version") from None
