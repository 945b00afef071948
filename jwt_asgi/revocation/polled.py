"""A table of the database, polled: SQLite, PostgreSQL, or whatever a function can read entries from."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from jwt_asgi._core.revocation import BlockError, Entry, row_of
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.revocation.source import SLICE, Piece, Reader, SourceError

__all__ = ["Entries", "FromStore"]

PAGE = 4 * SLICE
OVERLAP = 10_000
"""Entries that are read again after a break: what took the database's place may have been a little behind it."""


class Entries(Protocol):
    """Reads the log of revocations, as the token service's `Store.entries` does."""

    def __call__(self, after: int, /, *, limit: int) -> Awaitable[Sequence[Entry]]:
        """Return the entries behind `after` in the order of `seq`, at most so many, without those that have passed.

        Whoever asks again with the last `seq` that he was given misses none, whatever was being written meanwhile.
        """
        ...


class FromStore:
    """Revocations from a function that reads them from the database.

    The function is called in the event loop that asked for a token first. A database that was put back to an older
    state is read again from 10,000 entries before; where it lost more, start the resource servers anew.

    Raises:
        ConfigurationError: `entries` cannot be called.
    """

    __slots__ = ("_entries",)

    def __init__(self, entries: Entries) -> None:
        """Read nothing yet."""
        if not callable(entries):
            raise ConfigurationError("entries", f"expected an async function, as store.entries; got {entries!r}")
        self._entries = entries

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Reader]:
        """Return a reader; the database's own pool connects."""
        yield _Pages(self._entries)


class _Pages:
    """Reads page after page."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries
        self._overlap = OVERLAP

    async def read(self, position: int | None) -> AsyncGenerator[Piece, None]:
        at = position or 0
        after = max(at - self._overlap, 0)
        while True:
            page = await self._entries(after, limit=PAGE)
            for begin in range(0, len(page), SLICE):
                part = page[begin : begin + SLICE]
                after = _last(part, after)
                try:
                    rows = [row_of(entry) for entry in part]
                except BlockError as error:
                    raise SourceError(f"an entry behind {after - len(part)} cannot be read: {error}") from None
                at = max(at, after)
                yield Piece(rows, at)
            if len(page) < PAGE:
                break
        self._overlap = 0
        yield Piece((), at)


def _last(entries: Sequence[Entry], after: int) -> int:
    for entry in entries:
        if entry.seq <= after:
            raise SourceError(f"expected entries behind {after} in the order of seq")
        after = entry.seq
    return after
