"""A table of a real database is polled: pages, breaks, and what is out of order."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from jwt_asgi import ConfigurationError
from jwt_asgi._core.revocation import Entry, key_of
from jwt_asgi.revocation import FromStore, RevocationFeed, polled
from tests.revocation.ledger import ISSUER, Ledger, marks, until


class Table:
    """A log of revocations in an SQLite file, which other connections write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(
                "CREATE TABLE revocation(seq INTEGER PRIMARY KEY AUTOINCREMENT, kind, key, until, before)"
            )

    def revoke(self, *values: str) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            rows = [("s", key_of(ISSUER, "s", value), time.time() + 900, 0) for value in values]
            connection.executemany("INSERT INTO revocation(kind, key, until, before) VALUES (?, ?, ?, ?)", rows)

    def _read(self, after: int, limit: int) -> list[Any]:
        with closing(sqlite3.connect(f"file:{self.path}?mode=rw", uri=True)) as connection:
            query = "SELECT seq, kind, key, until, before FROM revocation WHERE seq > ? ORDER BY seq LIMIT ?"
            return connection.execute(query, (after, limit)).fetchall()

    async def entries(self, after: int, /, *, limit: int) -> Sequence[Entry]:
        found = await asyncio.to_thread(self._read, after, limit)
        return [Entry(seq=seq, kind=kind, key=key, until=t, before=b) for seq, kind, key, t, b in found]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path / "issuer.db")


@pytest.fixture
async def feed(table: Table) -> AsyncIterator[RevocationFeed]:
    feed = RevocationFeed(FromStore(table.entries), issuer=ISSUER, on_stale="deny", interval=0.03, max_stale=0.5)
    yield feed
    await feed.aclose()


async def test_a_file_that_another_process_writes_is_followed(table: Table, feed: RevocationFeed) -> None:
    table.revoke(*map(str, range(2500)))
    assert await feed.start() is None
    assert feed.status().entries == 2500
    table.revoke("new")
    await until(lambda: not feed.clears(marks("new")))
    assert not feed.clears(marks("0"))
    assert feed.clears(marks("other"))


async def test_a_file_that_is_away_for_a_while_makes_it_stale_and_then_loses_nothing(
    table: Table, feed: RevocationFeed
) -> None:
    assert await feed.start() is None
    away = table.path.with_suffix(".away")
    table.path.rename(away)
    await until(lambda: not feed.ready())
    assert feed.status().error == "OperationalError"
    away.rename(table.path)
    table.revoke("a")
    await until(feed.ready)
    assert not feed.clears(marks("a"))


async def test_after_a_break_it_reads_again_what_lay_a_little_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polled, "OVERLAP", 2)
    ledger = Ledger()
    for number in range(5):
        ledger.revoke(str(number))
    feed = RevocationFeed(FromStore(ledger.entries), issuer=ISSUER, on_stale="deny", interval=0.02)
    await feed.start()
    await until(lambda: len(ledger.reads) > 2)
    ledger.error = OSError("failover")
    await until(lambda: feed.status().failures > 0)
    # The replica that took over had not got the last entry, and gives its number to another
    ledger.log.pop()
    ledger.revoke("another")
    ledger.reads.clear()
    ledger.error = None
    await until(lambda: feed.status().entries == 6)
    assert ledger.reads[0] == 3
    await until(lambda: ledger.reads[-1] == 5)
    await feed.aclose()


@pytest.mark.parametrize("seqs", [(2, 1), (1, 1), (0,)])
async def test_entries_out_of_order_are_a_failure(seqs: tuple[int, ...]) -> None:
    ledger = Ledger()

    async def entries(after: int, /, *, limit: int) -> Sequence[Entry]:
        ledger.reads.append(after)
        return [Entry(seq=seq, kind="s", key=b"k" * 8, until=time.time() + 9) for seq in seqs]

    feed = RevocationFeed(FromStore(entries), issuer=ISSUER, on_stale="deny")
    error = await feed.start()
    assert error is not None
    assert "in the order of seq" in error.detail
    await feed.aclose()


async def test_an_entry_that_cannot_be_read_is_a_failure_and_passed_over_by_nobody() -> None:
    ledger = Ledger()
    ledger.revoke("a")
    ledger.log.append(Entry(seq=2, kind="s", key=b"short", until=time.time() + 9))
    feed = RevocationFeed(FromStore(ledger.entries), issuer=ISSUER, on_stale="deny")
    error = await feed.start()
    assert error is not None
    assert error.detail.endswith("an entry behind 0 cannot be read: expected a key of 8 bytes; got 5")
    await feed.aclose()


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"as store\.entries"):
        FromStore("store")  # type: ignore[arg-type]
