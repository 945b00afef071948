"""A log of revocations in memory, and a little patience."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from jwt_asgi._core.revocation import Entry, EntryKind, key_of
from jwt_asgi._core.revoked import TokenKeys, keys_of

ISSUER = "https://issuer.test"
MEMBERS = {"s": "session", "j": "token_id", "k": "kid", "u": "subject", "c": "client_id"}


class Ledger:
    """What a store's log of revocations does."""

    def __init__(self) -> None:
        self.log: list[Entry] = []
        self.reads: list[int] = []
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None

    def revoke(self, value: str, kind: EntryKind = "s", *, lasts: float = 900.0) -> None:
        now = time.time()
        key = key_of(ISSUER, kind, value)
        seq = self.log[-1].seq + 1 if self.log else 1
        self.log.append(Entry(seq=seq, kind=kind, key=key, until=now + lasts, before=now if kind in "uc" else 0))

    async def entries(self, after: int, /, *, limit: int = 10_000) -> Sequence[Entry]:
        self.reads.append(after)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        # From the end, as an index would
        first = len(self.log)
        while first and self.log[first - 1].seq > after:
            first -= 1
        return self.log[first : first + limit]


def marks(value: str, kind: EntryKind = "s", *, issued_at: float = 0.0) -> TokenKeys:
    return keys_of(ISSUER, issued_at=issued_at, **{MEMBERS[kind]: value})


async def until(condition: Callable[[], bool], *, seconds: float = 5.0) -> float:
    """Wait until something is so; return how long that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not happen in time"
        await asyncio.sleep(0.01)
    return time.monotonic() - began
