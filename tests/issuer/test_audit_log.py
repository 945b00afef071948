"""The audit log's writer: in batches, lossless while it can be, bounded, from any event loop, whatever ends."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.audit_events import AuditEvent, record
from jwt_asgi.issuer.audit_log import BATCH, AuditLog, LoggingSink
from jwt_asgi.issuer.errors import StoreUnavailable
from jwt_asgi.issuer.store import SQLiteStore
from jwt_asgi.issuer.types import Record
from tests.issuer.store.world import ISSUER

NOW = 1_800_000_000.0
FAST = 0.005


def numbered(number: int) -> Record:
    return record(AuditEvent.REFRESH_REFUSED, NOW, count=number)


class Memory:
    """A store that keeps batches, and can be slow, away, or choosy."""

    def __init__(self) -> None:
        self.batches: list[list[Record]] = []
        self.away = False
        self.refuses: set[Any] = set()
        self.busy: asyncio.Event | None = None
        self.calls = 0

    async def write(self, records: Sequence[Record]) -> None:
        self.calls += 1
        batch = list(records)
        if self.busy is not None:
            await self.busy.wait()
        if self.away:
            raise StoreUnavailable("test", retry_after=FAST)
        if any(one.members.get("count") in self.refuses for one in batch):
            raise ValueError("not this one")
        self.batches.append(batch)

    @property
    def counts(self) -> list[Any]:
        return [one.members["count"] for batch in self.batches for one in batch]


async def eventually(store: Memory, length: int) -> None:
    async with asyncio.timeout(5):
        while len(store.counts) < length:
            await asyncio.sleep(FAST)


async def stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_what_is_brought_is_written_in_order_and_together() -> None:
    store = Memory()
    log = AuditLog(store)
    for number in range(1200):
        await log.add(numbered(number))
    assert (store.calls, log.waiting) == (0, 1200)
    await log.flush()
    assert store.counts == list(range(1200))
    assert [len(batch) for batch in store.batches] == [BATCH, BATCH, 200]
    assert log.waiting == 0


async def test_the_task_writes_by_itself() -> None:
    store = Memory()
    log = AuditLog(store, interval=FAST)
    task = asyncio.create_task(log.run())
    await log.add(numbered(1), numbered(2))
    await eventually(store, 2)
    await log.add(numbered(3))
    await eventually(store, 3)
    assert store.counts == [1, 2, 3]
    await stopped(task)


async def test_nothing_is_written_where_there_is_nothing() -> None:
    store = Memory()
    log = AuditLog(store, interval=FAST)
    await log.flush()
    task = asyncio.create_task(log.run())
    await asyncio.sleep(10 * FAST)
    await stopped(task)
    assert store.calls == 0


async def test_it_reaches_the_chain_of_a_real_store(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "store.db", issuer=ISSUER)
    await store.migrate()
    log = AuditLog(store)
    await asyncio.gather(*(log.add(numbered(number)) for number in range(50)))
    await log.flush()
    check = await store.verify_audit()
    await store.aclose()
    assert (check.records, check.broken_at) == (50, None)


# The store is away, or slow.


async def test_what_could_not_be_written_is_kept_and_written_when_the_store_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Memory()
    store.away = True
    log = AuditLog(store, interval=FAST)
    await log.add(numbered(1))
    with pytest.raises(StoreUnavailable):
        await log.flush()
    task = asyncio.create_task(log.run())
    async with asyncio.timeout(5):
        while store.calls < 4:
            await asyncio.sleep(FAST)
    store.away = False
    await eventually(store, 1)
    await stopped(task)
    assert store.counts == [1]
    assert "1 records wait" in caplog.text


async def test_the_task_goes_on_after_any_failure() -> None:
    store = Memory()
    log = AuditLog(store, interval=FAST)
    failing, real = [OSError("disk"), ConfigurationError("store", "no tables")], store.write

    async def write(records: Sequence[Record]) -> None:
        if failing:
            raise failing.pop()
        await real(records)

    store.write = write  # type: ignore[method-assign]
    task = asyncio.create_task(log.run())
    await log.add(numbered(1))
    await eventually(store, 1)
    await stopped(task)


async def test_who_brings_more_than_there_is_room_for_waits_for_the_store() -> None:
    store = Memory()
    store.busy = asyncio.Event()
    log = AuditLog(store, size=3)
    await log.add(*map(numbered, range(3)))
    more = [asyncio.create_task(log.add(numbered(number))) for number in (3, 4)]
    await asyncio.sleep(4 * FAST)
    assert not any(task.done() for task in more)
    assert (log.waiting, store.calls) == (3, 1)
    store.busy.set()
    await asyncio.gather(*more)
    await log.flush()
    assert store.counts == [0, 1, 2, 3, 4]
    assert log.dropped == 0


async def test_who_waits_for_a_store_that_is_away_is_told() -> None:
    store = Memory()
    store.away = True
    log = AuditLog(store, size=2)
    await log.add(numbered(0), numbered(1))
    outcomes = await asyncio.gather(*(log.add(numbered(2)) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 3
    assert log.waiting == 2
    store.away = False
    await log.add(numbered(2))
    await log.flush()
    assert store.counts == [0, 1, 2]


async def test_what_there_is_no_room_for_is_dropped_counted_and_told() -> None:
    store = Memory()
    told: list[Record] = []
    store.away = True
    log = AuditLog(store, size=3, overflow="drop", sinks=[told.append], clock=lambda: NOW)
    await log.add(*map(numbered, range(8)))
    assert (log.waiting, log.dropped, len(told)) == (3, 5, 8)
    store.away = False
    await log.flush()
    assert store.counts == [0, 1, 2, 5]
    assert store.batches[0][-1] == Record(event="audit.dropped", at=NOW, members={"count": 5})
    await log.add(numbered(8))
    await log.flush()
    assert store.counts[4:] == [8]


async def test_one_that_the_store_refuses_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    store = Memory()
    store.refuses = {2}
    log = AuditLog(store)
    await log.add(*map(numbered, range(5)))
    await log.flush()
    assert store.counts[:4] == [0, 1, 3, 4]
    assert (log.dropped, log.waiting) == (1, 0)
    assert "refresh.refused" in caplog.text


# Ends and beginnings.


async def test_who_leaves_while_it_is_written_stops_nothing() -> None:
    store = Memory()
    store.busy = asyncio.Event()
    log = AuditLog(store)
    await log.add(numbered(1))
    first, second = asyncio.create_task(log.flush()), asyncio.create_task(log.flush())
    await asyncio.sleep(2 * FAST)
    await stopped(first)
    await stopped(second)
    third = asyncio.create_task(log.flush())
    await asyncio.sleep(2 * FAST)
    store.busy.set()
    await third
    assert store.counts == [1]


async def test_the_task_ends_while_it_writes_and_nothing_is_lost_or_there_twice() -> None:
    store = Memory()
    store.busy = asyncio.Event()
    log = AuditLog(store, interval=FAST)
    await log.add(numbered(1))
    task = asyncio.create_task(log.run())
    async with asyncio.timeout(5):
        while not store.calls:
            await asyncio.sleep(FAST)
    await stopped(task)
    await log.add(numbered(2))
    store.busy.set()
    await log.flush()
    assert store.counts == [1, 2]


def test_an_event_loop_that_ends_while_it_writes_leaves_it_to_the_next() -> None:
    store = Memory()
    log = AuditLog(store)

    async def begin() -> None:
        store.busy = asyncio.Event()
        await log.add(numbered(1))
        asyncio.get_running_loop().call_later(4 * FAST, asyncio.get_running_loop().stop)
        await log.flush()

    async def end() -> None:
        store.busy = None
        async with asyncio.timeout(5):
            await log.flush()

    with pytest.raises(RuntimeError, match="stopped"):
        asyncio.run(begin())
    assert log.waiting == 1
    asyncio.run(end())
    assert store.counts == [1]


def test_a_loop_that_was_closed_without_a_word_is_not_waited_for(recwarn: pytest.WarningsRecorder) -> None:
    store = Memory()
    log = AuditLog(store)
    loop = asyncio.new_event_loop()

    async def begin() -> None:
        store.busy = asyncio.Event()
        await log.add(numbered(1))
        asyncio.ensure_future(log.flush())  # noqa: RUF006
        await asyncio.sleep(2 * FAST)

    loop.run_until_complete(begin())
    left = asyncio.all_tasks(loop)
    loop.close()
    store.busy = None
    asyncio.run(log.flush())
    assert store.counts == [1]
    for task in left:
        task._log_destroy_pending = False  # type: ignore[attr-defined]


def test_threads_with_loops_of_their_own_lose_nothing() -> None:
    store = Memory()
    log = AuditLog(store, size=50)

    async def bring(begin: int) -> None:
        for number in range(begin, begin + 200):
            await log.add(numbered(number))
        await log.flush()

    threads = [threading.Thread(target=asyncio.run, args=(bring(1000 * n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(store.counts) == sorted(1000 * n + number for n in range(4) for number in range(200))
    assert all(len(batch) <= 50 for batch in store.batches)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_the_child_of_a_fork_writes_nothing_of_its_parents() -> None:
    store = Memory()
    log = AuditLog(store)
    asyncio.run(log.add(numbered(1)))
    log._lock.acquire()  # as another thread of the parent may hold it
    child = os.fork()
    if not child:
        status = 1
        with suppress(BaseException):
            asyncio.run(log.add(numbered(2)))
            asyncio.run(log.flush())
            status = 0 if store.counts == [2] else 2
        os._exit(status)
    log._lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    asyncio.run(log.flush())
    assert store.counts == [1]


# Sinks.


async def test_a_line_of_json_is_logged_at_once_unless_other_sinks_are_given(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "jwt_asgi.audit"):
        log = AuditLog(Memory())
        await log.add(record(AuditEvent.CLIENT_REJECTED, NOW, client_id="a\nb ü", reason="invalid_client"))
        await AuditLog(Memory(), sinks=()).add(numbered(1))
    [line] = [entry.getMessage() for entry in caplog.records if entry.name == "jwt_asgi.audit"]
    assert "\n" not in line
    assert line.isascii()
    assert json.loads(line) == {
        "event": "client.rejected",
        "at": NOW,
        "client_id": "a\N{REPLACEMENT CHARACTER}b ü",
        "reason": "invalid_client",
    }


async def test_nothing_is_made_for_a_logger_that_nobody_listens_to() -> None:
    logging.getLogger("a.silent.one").setLevel(logging.ERROR)
    LoggingSink("a.silent.one")(Record(event="x", at=NOW, members={"sub": object()}))  # type: ignore[dict-item]


async def test_what_the_store_has_written_itself_is_told_to_sinks_alone() -> None:
    store = Memory()
    told: list[Record] = []
    log = AuditLog(store, sinks=[told.append])
    log.tell(numbered(1))
    await log.flush()
    assert told == [numbered(1)]
    assert store.calls == 0


async def test_a_sink_that_fails_stops_neither_the_others_nor_the_store(caplog: pytest.LogCaptureFixture) -> None:
    store = Memory()
    told: list[Record] = []

    def failing(_: Record) -> None:
        raise RuntimeError("full")

    log = AuditLog(store, sinks=[failing, told.append])
    await log.add(numbered(1))
    await log.flush()
    assert len(told) == len(store.counts) == 1
    assert "failed" in caplog.text


@pytest.mark.parametrize(
    "options",
    [
        *({"size": value} for value in (0, -1, True, 1.5, "9")),
        *({"interval": value} for value in (0, -1, float("inf"))),
        {"overflow": "wait"},
        {"sinks": ["a logger"]},
    ],
    ids=str,
)
def test_a_wrong_option_is_refused_when_it_is_given(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="audit log"):
        AuditLog(Memory(), **options)
