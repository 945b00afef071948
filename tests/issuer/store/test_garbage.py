"""What nobody needs any more is forgotten, in small batches, and what is needed is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Connection

from jwt_asgi._core.policy import MAX_LEEWAY
from jwt_asgi.issuer.rotation import RotationPolicy, Step
from jwt_asgi.issuer.types import Entry, Session
from tests.issuer.store.world import DAY, POLICY, AnyStore, Clock, begin, make_store, refresh


async def kept(store: AnyStore, sessions: list[Session]) -> list[int]:
    found = [await store.session(session.id) for session in sessions]
    return [place for place, session in enumerate(found) if session is not None]


async def test_a_session_is_forgotten_a_week_after_its_end_whatever_that_was(timed: AnyStore, clock: Clock) -> None:
    short = RotationPolicy(idle=2 * DAY, absolute=3 * DAY)
    begun = clock.now
    sessions = [await begin(timed, policy=policy) for policy in (short, short, POLICY, POLICY, POLICY)]
    _, refreshed, ended, replayed, _ = (session.id for session in sessions)
    clock.now = begun + DAY
    await refresh(timed, refreshed, 0, policy=short)  # so it ends a day later than `idle`, with the absolute end
    await timed.end(id=ended, reason="test")
    for generation in range(3):
        await refresh(timed, replayed, generation)
    clock.now = begun + 1.5 * DAY
    assert (await refresh(timed, replayed, 0))[0] is Step.REPLAY
    for days, left in (
        (7.9, [0, 1, 2, 3, 4]),
        (8, [0, 1, 3, 4]),
        (8.5, [0, 1, 4]),
        (9, [1, 4]),
        (9.9, [1, 4]),
        (10, [4]),
        (20.9, [4]),
        (21, []),
    ):
        clock.now = begun + days * DAY
        await timed.collect()
        assert await kept(timed, sessions) == left, days


async def test_a_session_that_is_refreshed_outlives_the_day_that_it_was_to_be_looked_at(
    timed: AnyStore, clock: Clock
) -> None:
    session = await begin(timed)
    for generation in range(6):  # 60 days
        clock.now += 10 * DAY
        assert await refresh(timed, session.id, generation) == (Step.ROTATE, generation + 1)
        assert await timed.collect() == 0
    clock.now += 21 * DAY - 1
    assert await timed.collect() == 0
    clock.now += 1
    assert await timed.collect() == 1


async def test_a_batch_is_no_larger_than_was_asked_and_those_who_live_do_not_stop_it(
    timed: AnyStore, clock: Clock
) -> None:
    living = [await begin(timed, policy=RotationPolicy(idle=DAY)) for _ in range(25)]
    clock.now += 0.5 * DAY
    for session in living:
        await refresh(timed, session.id, 0)  # with the long idle time
    clock.now -= 0.4 * DAY
    dead = [await begin(timed, policy=RotationPolicy(idle=DAY)) for _ in range(15)]
    entries = [Entry(seq=0, kind="j", key=b"8 bytes.", until=clock.now + 1)] * 12
    await timed.end(reason="test", entries=entries)
    clock.now += 10 * DAY
    assert [await timed.collect(batch=10) for _ in range(3)] == [20, 7, 0]
    assert len(await kept(timed, living)) == 25
    assert await kept(timed, dead) == []


async def test_whoever_refreshes_has_his_turn_many_times_while_a_batch_is_forgotten(
    folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(f"sqlite:///{folder / 'store.db'}", clock)
    await store.migrate()
    await asyncio.gather(*(begin(store) for _ in range(400)))
    clock.now += 100 * DAY
    session, turns = await begin(store), 0
    write, portions = store._database.write, []

    async def counted(work: Callable[[Connection], Any]) -> Any:
        done = await write(work)
        if isinstance(done, tuple) and isinstance(done[0], int):
            portions.append(done[0])
        return done

    monkeypatch.setattr(store._database, "write", counted)
    collecting = asyncio.create_task(store.collect(batch=400))
    while not collecting.done():
        assert await refresh(store, session.id, turns) == (Step.ROTATE, turns + 1)
        turns += 1
    assert await collecting == sum(portions) == 400
    assert max(portions) == 10  # so long nobody else can write
    assert turns >= 400 / 10 / 4
    await store.aclose()


async def test_an_entry_is_forgotten_when_it_has_passed_for_the_most_lenient_verifier(
    timed: AnyStore, clock: Clock
) -> None:
    ends = [Entry(seq=0, kind="j", key=b"8 bytes.", until=clock.now + wait) for wait in (1, 2, 3)]
    await timed.end(reason="test", entries=ends)
    clock.now += MAX_LEEWAY + 2
    assert await timed.collect() == 2
    assert [entry.until for entry in await timed.entries(0)] == [clock.now - MAX_LEEWAY + 1]


async def test_processes_that_collect_at_once_forget_each_thing_once(url: str, clock: Clock) -> None:
    stores = [make_store(url, clock) for _ in range(3)]
    for _ in range(30):
        await begin(stores[0])
    clock.now += 100 * DAY
    forgotten = 0
    while found := sum(await asyncio.gather(*(store.collect(batch=7) for store in stores))):
        forgotten += found
    assert forgotten == 30
    for store in stores:
        await store.aclose()


async def test_a_session_that_somebody_holds_is_left_for_later_on_postgresql(postgresql_url: str, clock: Clock) -> None:
    store = make_store(postgresql_url, clock)
    held, free = await begin(store), await begin(store)
    clock.now += 100 * DAY
    connection = await asyncpg.connect(postgresql_url)
    async with connection.transaction():
        await connection.execute("SELECT * FROM jwt_asgi_session WHERE id = $1 FOR UPDATE", held.id)
        assert await store.collect() == 1
        assert await kept(store, [held, free]) == [0]
    assert await store.collect() == 1
    await connection.close()
    await store.aclose()
