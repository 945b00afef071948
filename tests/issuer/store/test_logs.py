"""The log of revocations loses no entry to a reader, and the audit log shows what was changed in it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from jwt_asgi._core.policy import MAX_LEEWAY
from jwt_asgi.issuer.types import Entry, Record
from tests.issuer.store.world import DAY, AnyStore, Clock, make_store

KINDS = ("s", "u", "j", "c", "k")


def entry(number: int, until: float = 3e9) -> Entry:
    return Entry(seq=0, kind="j", key=number.to_bytes(8, "big"), until=until)


def numbers(entries: list[Entry]) -> list[int]:
    return [int.from_bytes(found.key, "big") for found in entries]


def record(number: int, at: float = 1.5) -> Record:
    return Record(
        event="token.issued", at=at, members={"n": number, "sid": "ü\x00", "none": None, "yes": True, "f": 0.1}
    )


async def test_entries_are_read_as_they_were_written_in_their_order(timed: AnyStore, clock: Clock) -> None:
    written = [Entry(seq=0, kind=kind, key=kind.encode() * 8, until=clock.now + 9, before=1.25) for kind in KINDS]  # type: ignore[arg-type]
    await timed.end(reason="test", entries=written)
    read = await timed.entries(0)
    assert [(e.kind, e.key, e.until, e.before) for e in read] == [(e.kind, e.key, e.until, e.before) for e in written]
    assert [e.seq for e in read] == sorted({e.seq for e in read})
    assert await timed.entries(read[1].seq, limit=2) == read[2:4]
    assert await timed.entries(read[-1].seq) == []
    assert await timed.entries(2**80) == []
    assert await timed.entries(-(2**80)) == read
    clock.now += MAX_LEEWAY + 9
    assert await timed.entries(0) == []


async def test_a_reader_misses_no_entry_of_a_transaction_that_is_still_open(postgresql_url: str) -> None:
    slow, fast, reader = (make_store(postgresql_url) for _ in range(3))
    await slow.end(reason="test", entries=[entry(0)])
    [first] = await reader.entries(0)
    blocker = await asyncpg.connect(postgresql_url)
    async with asyncio.timeout(20):
        # The record of `slow` waits for this lock, when its entry is written and not yet committed
        blocking = blocker.transaction()
        await blocking.start()
        await blocker.execute("SELECT * FROM jwt_asgi_head WHERE name = 'audit' FOR UPDATE")
        one = asyncio.create_task(slow.end(reason="test", entries=[entry(1)], records=[record(1)]))
        await _waiting(blocker, 1)
        two = asyncio.create_task(fast.end(reason="test", entries=[entry(2)]))
        await _waiting(blocker, 2)
        seen = await reader.entries(first.seq)
        await blocking.rollback()
        await asyncio.gather(one, two)
    last = seen[-1].seq if seen else first.seq
    assert numbers(seen + await reader.entries(last)) == [1, 2]
    await blocker.close()
    for store in (slow, fast, reader):
        await store.aclose()


async def _waiting(connection: asyncpg.Connection, count: int) -> None:
    """Wait until so many connections of this database wait for a lock."""
    wanted = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    while await connection.fetchval(wanted) < count:
        await asyncio.sleep(0.01)
        await connection.execute("SELECT pg_stat_clear_snapshot()")


async def test_a_reader_who_asks_while_many_write_gets_every_entry_once(url: str) -> None:
    writers, reader = [make_store(url) for _ in range(3)], make_store(url)
    read: list[Entry] = []
    writing = True

    async def write(store: AnyStore, first: int) -> None:
        for number in range(first, first + 20):
            await store.end(reason="test", entries=[entry(2 * number), entry(2 * number + 1)])

    async def poll() -> None:
        done = False
        while not done:
            done = not writing
            read.extend(await reader.entries(read[-1].seq if read else 0, limit=7))
            while done and (more := await reader.entries(read[-1].seq)):
                read.extend(more)

    polling = asyncio.create_task(poll())
    await asyncio.gather(*(write(store, 20 * place) for place, store in enumerate([*writers, *writers])))
    writing = False
    await polling
    assert sorted(numbers(read)) == list(range(240))
    for store in [*writers, reader]:
        await store.aclose()


async def test_a_number_is_not_given_twice_though_all_entries_have_passed(timed: AnyStore, clock: Clock) -> None:
    await timed.end(reason="test", entries=[entry(1, clock.now + 1), entry(2, clock.now + 1)])
    seen = (await timed.entries(0))[-1].seq
    clock.now += MAX_LEEWAY + 2
    assert await timed.collect() == 2
    clock.now -= 1000  # a clock that went back
    await timed.end(reason="test", entries=[entry(3)])
    assert numbers(await timed.entries(seen)) == [3]


async def test_entries_of_a_restored_file_come_behind_all_that_was_read(folder: Path, clock: Clock) -> None:
    path = folder / "store.db"
    store = make_store(f"sqlite:///{path}", clock)
    await store.migrate()
    await store.aclose()
    old = path.read_bytes()
    store = make_store(f"sqlite:///{path}", clock)
    await store.end(reason="test", entries=[entry(number) for number in range(50)])
    seen = (await store.entries(0))[-1].seq
    await store.aclose()
    path.write_bytes(old)
    clock.now += 1
    store = make_store(f"sqlite:///{path}", clock)
    await store.end(reason="test", entries=[entry(77)])
    assert numbers(await store.entries(seen)) == [77]
    await store.aclose()


async def test_the_audit_log_is_a_chain_from_every_way_to_write(store: AnyStore) -> None:
    assert (await store.verify_audit()).records == 0
    await asyncio.gather(*(store.write([record(number), record(-number)]) for number in range(20)))
    await store.write([])
    await store.end(reason="test", records=[record(100)])
    check = await store.verify_audit()
    assert (check.records, check.broken_at, check.seq) == (41, None, 41)
    await store.write([record(1)])
    assert (await store.verify_audit((check.seq, check.hash))).broken_at is None


@pytest.mark.parametrize(
    ("change", "at"),
    [
        ("UPDATE jwt_asgi_audit SET members = '{\"n\":5}' WHERE seq = 3", 3),
        ("UPDATE jwt_asgi_audit SET event = 'x' WHERE seq = 3", 3),
        ("UPDATE jwt_asgi_audit SET at = at + 0.001 WHERE seq = 3", 3),
        ("DELETE FROM jwt_asgi_audit WHERE seq = 3", 3),
        ("DELETE FROM jwt_asgi_audit WHERE seq = 10", 10),
        ("DELETE FROM jwt_asgi_audit", 1),
        ("DELETE FROM jwt_asgi_audit WHERE seq = 1", 1),
        ("UPDATE jwt_asgi_audit SET seq = 11 WHERE seq = 10", 10),
    ],
)
async def test_what_was_changed_in_the_audit_log_shows(store: AnyStore, change: str, at: int) -> None:
    await store.write([record(number) for number in range(10)])
    await alter(store, change)
    assert (await store.verify_audit()).broken_at == at


async def test_an_audit_log_that_was_written_anew_shows_to_whoever_kept_a_hash(url: str) -> None:
    store = make_store(url)
    await store.write([record(1), record(2)])
    kept = await store.verify_audit()
    await alter(store, "DELETE FROM jwt_asgi_audit")
    await alter(store, "UPDATE jwt_asgi_head SET seq = 0, hash = floor_hash WHERE name = 'audit'")
    await store.write([record(1)])
    assert (await store.verify_audit()).broken_at is None
    assert (await store.verify_audit((kept.seq, kept.hash))).broken_at == 1
    await store.write([record(3)])
    assert (await store.verify_audit((kept.seq, kept.hash))).broken_at == 2
    await store.aclose()


async def test_old_records_leave_from_the_front_and_the_chain_holds(url: str, clock: Clock) -> None:
    store = make_store(url, clock, keep_audit=10 * DAY)
    for day in range(20):
        await store.write([record(day, clock.now)])
        clock.now += DAY
    assert [await store.collect(batch=4) for _ in range(4)] == [4, 4, 2, 0]
    check = await store.verify_audit()
    assert (check.records, check.broken_at, check.seq) == (10, None, 20)
    await alter(store, "DELETE FROM jwt_asgi_audit WHERE seq = 11")
    assert (await store.verify_audit()).broken_at == 11
    await store.aclose()


async def test_a_record_that_is_no_json_is_refused_and_nothing_is_written(store: AnyStore) -> None:
    for wrong in (Record(event="x", at=1.0, members={"f": float("nan")}), Record(event="\x00", at=1.0, members={})):
        with pytest.raises(ValueError):
            await store.end(reason="test", entries=[entry(1)], records=[record(1), wrong])
    assert await store.entries(0) == []
    assert (await store.verify_audit()).seq == 0


async def alter(store: AnyStore, statement: str) -> None:
    """Change the database behind the store's back."""
    await store._database.write(lambda connection: connection.exec_driver_sql(statement))
