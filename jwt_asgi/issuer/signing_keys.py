"""The signing keys as this process knows them: which one signs now, and what is published; read anew all the time.

Every process reads the keys at least each 30 seconds, and a handover is decided a minute ahead (`KeySchedule.settle`):
so by then all processes know of it. Where a key is taken back, and another was made in its place, that waits for two
seconds before it signs: a verifier that asked a process which has not heard of it yet would look for it in vain, and
not ask again for a while. One that has not been able to read them for a minute signs nothing, as a key may
have been revoked meanwhile; what it publishes stays, since verifiers need it most when little else works.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from typing import Final

from jwt_asgi._core.jwks import KeySet, import_keys
from jwt_asgi._core.revocation import keyer_of
from jwt_asgi.issuer import keyring
from jwt_asgi.issuer.audit_events import AuditEvent, record, revoked
from jwt_asgi.issuer.errors import StoreUnavailable
from jwt_asgi.issuer.key_schedule import KeySchedule
from jwt_asgi.issuer.signing import Document, Keychain, SigningKey, jwks_document
from jwt_asgi.issuer.together import Shared, Turns
from jwt_asgi.issuer.types import KeyChange, KeyState, Record, Store, StoredKey

__all__ = ["READ_EVERY", "SigningKeys"]

_Decide = Callable[[Sequence[StoredKey], float], KeyChange]

READ_EVERY: Final = 30.0
"""Seconds: at least twice in `KeySchedule.settle`."""
SPREAD: Final = 2.0
"""Seconds within which all processes hear of a key that is taken back: they look each half second."""

logger = logging.getLogger("jwt_asgi")


class SigningKeys:
    """Signs with what the store has.

    Args:
        store: Where the keys are.
        keychain: Opens them.
        schedule: When they change.
        issuer: Whose they are.
        tell: Told each record that was written.
        clock: Seconds, for the age of what was read.
    """

    def __init__(
        self,
        store: Store,
        keychain: Keychain,
        schedule: KeySchedule,
        *,
        issuer: str,
        tell: Callable[..., None] = lambda *_: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Have read nothing yet."""
        self._tell = tell
        self._store, self._keychain, self._schedule, self._issuer = store, keychain, schedule, issuer
        self._clock = clock
        self._turns, self._reading = Turns(), Shared(self.look)
        self._read_at: float | None = None
        self._stored: Sequence[StoredKey] = ()
        self._taken_back = -inf
        self._opened: dict[str, SigningKey] = {}
        self._document = Document(b'{"keys":[]}', '""')
        self._public = KeySet(())

    @property
    def document(self) -> Document:
        """The key set as it is published."""
        return self._document

    @property
    def stored(self) -> Sequence[StoredKey]:
        """All keys, as they were read last."""
        return self._stored

    @property
    def age(self) -> float | None:
        """How many seconds ago they were read; None: never."""
        return None if self._read_at is None else self._clock() - self._read_at

    @property
    def public(self) -> KeySet:
        """The published keys, to verify with."""
        return self._public

    async def look(self) -> None:
        """Do what is due by the schedule, and read what there is then.

        Raises:
            ConfigurationError: the keys do not open with these master keys, or cannot be.
            StoreUnavailable: the store cannot be asked.
        """
        # What was read before somebody here has changed the keys must not be taken after that
        async with self._turns.mine():
            began = self._clock()
            stored, now = await self._store.keys(), await self._store.now()
            # With the wrong master keys a new key would be sealed so that no other process can open it
            self._keychain.open(keyring.published(stored, now))
            if self._is_due(stored, now):
                stored = await self._store.change_keys(self._due)
            keyring.check_keys(stored, now, self._schedule)
            self._take(stored, now, began)

    async def look_once(self) -> None:
        """Read the keys; who comes while that is under way waits for it, and does not ask again."""
        await self._reading()

    async def ready(self) -> None:
        """See to it that there is a key that signs, so that what is begun now does not fail for want of one.

        Raises:
            ConfigurationError: as `look`.
            StoreUnavailable: the keys were not read lately, and cannot be now.
        """
        age = self.age
        if age is None or age > self._schedule.settle:
            await self.look_once()

    async def aclose(self) -> None:
        """Stop reading."""
        await self._reading.aclose()

    async def rotate(self, *, alg: str | None = None, unannounced: bool = False, reason: str = "asked") -> None:
        """Hand over to a new key ahead of time, as `keyring.rotate_now`."""

        def decided(keys: Sequence[StoredKey], now: float) -> KeyChange:
            mint = self._keychain.mint
            return keyring.rotate_now(keys, now, self._schedule, mint, alg=alg, unannounced=unannounced)

        await self._decided(decided, lambda now: record(AuditEvent.KEY_ROTATE, now, alg=alg, reason=reason))

    async def revoke(self, kid: str, *, reason: str) -> None:
        """Take a key back at once, as `keyring.revoke`.

        Raises:
            LookupError: there is no such key.
        """
        digest = keyer_of(self._issuer, "k")

        def decided(keys: Sequence[StoredKey], now: float) -> KeyChange:
            return keyring.revoke(keys, kid, now, self._schedule, self._keychain.mint, digest)

        await self._decided(decided, lambda now: revoked("key", now, reason=reason, kid=kid), but=kid)

    async def reseal(self) -> int:
        """Seal every key with the newest master key; return how many were not. Then the older one can be taken away."""
        count = 0

        def decided(keys: Sequence[StoredKey], _now: float) -> KeyChange:
            nonlocal count
            resealed = self._keychain.resealed(keys)
            count = len(resealed)
            return KeyChange(keys=resealed)

        await self._decided(decided)
        return count

    async def signer(self, now: float) -> SigningKey:
        """Return the key that signs at this time.

        Raises:
            ConfigurationError: as `look`.
            StoreUnavailable: the keys were not read lately, and cannot be now.
        """
        await self.ready()
        key = keyring.signer(self._stored, now, self._schedule.algorithms)
        opened = None if key is None else self._opened.get(key.kid)
        if key is None or opened is None:
            raise StoreUnavailable("there is no signing key")
        if key.created_at >= self._taken_back > now - SPREAD:
            # A clock that went back must not make it wait for longer
            await asyncio.sleep(min(self._taken_back + SPREAD - now, SPREAD))
        return opened

    async def _decided(
        self, decided: _Decide, recorded: Callable[[float], Record] | None = None, *, but: str | None = None
    ) -> None:
        """Change the keys, and write that down where anything has changed.

        All that are published must open before, but for one that is taken back: it may be somebody else's.
        """
        told: list[Record] = []

        def recording(keys: Sequence[StoredKey], now: float) -> KeyChange:
            told.clear()
            change = decided(keys, now)
            if recorded is not None and change.keys:
                told.append(recorded(now))
            told.extend(change.records)
            return replace(change, records=(*told,))

        async with self._turns.mine():
            began = self._clock()
            stored, now = await self._store.keys(), await self._store.now()
            self._keychain.open([key for key in keyring.published(stored, now) if key.kid != but])
            stored = await self._store.change_keys(recording)
            self._take(stored, await self._store.now(), began)
        self._tell(*told)

    def _is_due(self, keys: Sequence[StoredKey], now: float) -> bool:
        """Whether there is something to do; no key is made to find that out, as an RSA key takes its time."""
        try:
            change = keyring.decide(keys, now, self._schedule, _make_none)
        except _NewKeyError:
            return True
        return bool(change.keys or change.entries or change.records)

    def _due(self, keys: Sequence[StoredKey], now: float) -> KeyChange:
        return keyring.decide(keys, now, self._schedule, self._keychain.mint)

    def _take(self, stored: Sequence[StoredKey], now: float, began: float) -> None:
        opened = self._keychain.open(keyring.published(stored, now))
        document = jwks_document(opened)
        if document.etag != self._document.etag:
            logger.info("signing keys: %s are published", ", ".join(key.kid for key in opened))
            self._document = document
            self._public = import_keys({"keys": [dict(key.public) for key in opened]})
        self._stored, self._opened = stored, {key.kid: key for key in opened}
        revoked = [_ended(key) for key in stored if key.state is KeyState.REVOKED]
        self._taken_back = max(revoked, default=-inf)
        self._read_at = began


class _NewKeyError(Exception):
    """A key is to be made."""


def _ended(key: StoredKey) -> float:
    return -inf if key.publish_until is None else key.publish_until


def _make_none(_alg: str, _now: float) -> StoredKey:
    raise _NewKeyError
