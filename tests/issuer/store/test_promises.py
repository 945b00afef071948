"""What the service promises of refresh tokens, as docs/security/token-service.md has it, told as stories of clients."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from jwt_asgi.issuer.rotation import Step
from tests.issuer.store.world import DAY, POLICY, AnyStore, Clock, begin, entry_key, make_store, refresh


async def test_two_tabs_that_refresh_at_once_get_one_token_and_both_go_on(timed: AnyStore, clock: Clock) -> None:
    session = await begin(timed)
    for newest in range(4):
        tabs = await asyncio.gather(refresh(timed, session.id, newest), refresh(timed, session.id, newest))
        assert sorted(step.value for step, _ in tabs if step) == ["retry", "rotate"]
        assert {token for _, token in tabs} == {newest + 1}
        # The one tab has used it; a request of the other, with the cookie from before, was on its way
        assert await timed.confirm(session.id, newest + 1)
        clock.now += POLICY.grace
        assert await refresh(timed, session.id, newest) == (Step.RETRY, newest + 1)
        clock.now += 600.0
    assert await timed.entries(0) == []


async def test_a_client_whose_answer_was_lost_asks_again_until_the_session_is_idle_for_too_long(
    timed: AnyStore, clock: Clock
) -> None:
    session = await begin(timed)
    begun = clock.now
    await refresh(timed, session.id, 0)
    for wait in (1.0, 60.0, DAY, POLICY.idle - 0.001):
        clock.now = begun + wait
        assert await refresh(timed, session.id, 0) == (Step.RETRY, 1)
    clock.now = begun + POLICY.idle
    assert (await refresh(timed, session.id, 0))[0] is Step.ENDED
    assert await timed.entries(0) == []


async def test_the_token_before_the_newest_is_a_replay_once_the_newest_has_arrived_and_the_grace_is_over(
    timed: AnyStore, clock: Clock
) -> None:
    session = await begin(timed)
    await refresh(timed, session.id, 0)
    clock.now += DAY
    await timed.confirm(session.id, 1)
    clock.now += POLICY.grace
    assert await refresh(timed, session.id, 0) == (Step.RETRY, 1)
    clock.now += 0.001
    assert (await refresh(timed, session.id, 0))[0] is Step.REPLAY
    assert (await refresh(timed, session.id, 1))[0] is Step.ENDED
    assert [entry.key for entry in await timed.entries(0)] == [entry_key("s", session.sid)]


@pytest.mark.parametrize("age", [2, 3, 7])
async def test_an_older_token_is_a_replay_at_once_though_nothing_was_confirmed(timed: AnyStore, age: int) -> None:
    session = await begin(timed)
    for newest in range(age):
        await refresh(timed, session.id, newest)
    assert (await refresh(timed, session.id, 0))[0] is Step.REPLAY
    assert (await refresh(timed, session.id, age))[0] is Step.ENDED
    assert [entry.key for entry in await timed.entries(0)] == [entry_key("s", session.sid)]


async def test_a_thief_and_the_owner_of_a_token_are_found_out_at_the_first_step_that_they_take_apart(
    timed: AnyStore, clock: Clock
) -> None:
    for thief_goes_on in (True, False):
        session = await begin(timed)
        await refresh(timed, session.id, 0)
        assert await refresh(timed, session.id, 1) == (Step.ROTATE, 2)  # the thief
        assert await refresh(timed, session.id, 1) == (Step.RETRY, 2)  # the owner has the same, and neither more
        clock.now += 600.0
        assert await refresh(timed, session.id, 2) == (Step.ROTATE, 3)  # one of them
        if thief_goes_on:
            clock.now += 600.0
            assert await refresh(timed, session.id, 3) == (Step.ROTATE, 4)
        else:
            await timed.confirm(session.id, 3)
            clock.now += POLICY.grace + 1.0
        assert (await refresh(timed, session.id, 2))[0] is Step.REPLAY  # the other


async def test_a_client_of_a_database_that_was_restored_goes_on(url: str) -> None:
    store = make_store(url)
    session = await begin(store)
    for generation in range(3):
        await refresh(store, session.id, generation)
    await store.aclose()
    older = await snapshot(url)
    store = make_store(url)
    assert await refresh(store, session.id, 3) == (Step.ROTATE, 4)
    await store.aclose()
    store = make_store(older)
    assert (await refresh(store, session.id, 5))[0] is Step.AHEAD  # nobody was given that
    assert await refresh(store, session.id, 4) == (Step.CATCH_UP, 5)
    assert await refresh(store, session.id, 4) == (Step.RETRY, 5)
    assert await refresh(store, session.id, 5) == (Step.ROTATE, 6)
    assert await store.entries(0) == []
    await store.aclose()


async def test_of_clients_of_a_database_that_was_restored_one_goes_on_and_the_others_get_the_same(url: str) -> None:
    store = make_store(url)
    session = await begin(store)
    await store.aclose()
    older = await snapshot(url)
    store = make_store(url)
    assert await refresh(store, session.id, 0) == (Step.ROTATE, 1)
    await store.aclose()
    store = make_store(older)
    outcomes = await asyncio.gather(*(refresh(store, session.id, 1) for _ in range(16)))
    assert outcomes.count((Step.CATCH_UP, 2)) == 1
    assert outcomes.count((Step.RETRY, 2)) == 15
    await store.aclose()


async def snapshot(url: str) -> str:
    """The URL of a copy of a database that nobody uses just now."""
    if url.startswith("sqlite:"):
        path = Path(url.removeprefix("sqlite:///"))
        return f"sqlite:///{shutil.copy(path, path.with_name('older.db'))}"
    parts = urlsplit(url)
    name = parts.path.removeprefix("/")
    connection = await asyncpg.connect(urlunsplit(parts._replace(path="/postgres")))
    await connection.execute(f"CREATE DATABASE {name}_older TEMPLATE {name}")
    await connection.close()
    return urlunsplit(parts._replace(path=f"/{name}_older"))
