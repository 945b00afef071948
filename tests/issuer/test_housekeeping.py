"""What is due is done again and again, whatever fails in between; and none of it is left when the service is closed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from jwt_asgi.issuer import StoreUnavailable, housekeeping
from jwt_asgi.issuer.housekeeping import Housekeeping, collect_all
from tests.issuer.services import World, failing, made, running

DAY = 86_400.0


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is due ten times a second and more."""
    for name in ("PULL_EVERY", "CONFIRM_EVERY", "READ_EVERY", "PAUSE"):
        monkeypatch.setattr(housekeeping, name, 0.02)


async def until(found: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(10):
        while not await found():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def kept(world: World, *more: Callable[[], Awaitable[None]]) -> AsyncIterator[Housekeeping]:
    service = world.service
    works = Housekeeping(
        store=service.store,
        keys=service.keys,
        revocations=service.revocations,
        confirmations=service.confirmations,
        collect_every=1.0,
        more=more,
    )
    works.start()
    works.start()
    yield works
    await works.aclose()
    assert not works.is_running


@pytest.mark.usefixtures("hurried")
async def test_a_key_that_another_process_revokes_is_out_of_use_here_a_moment_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(housekeeping, "READ_EVERY", 1000.0)
    async with running() as world:
        other, _ = made(f"sqlite:///{world.path}", world.clock)
        stolen = world.service.keys.stored[0].kid
        # The publisher of a stream reads the log, too: what it has read is no less news
        publisher = asyncio.ensure_future(_reading(world))
        world.store.before["keys"] = failing(StoreUnavailable("gone"), times=3)
        await other.revoke(key=stolen)

        async def is_gone() -> bool:
            return stolen not in world.service.keys.document.body.decode()

        await until(is_gone)
        publisher.cancel()
        await other.aclose()


async def _reading(world: World) -> None:
    while True:
        await world.service.revocations.pull()
        await asyncio.sleep(0.001)


@pytest.mark.usefixtures("hurried")
async def test_what_was_seen_is_written_down_and_the_rest_at_the_end() -> None:
    async with running() as world:
        first = await world.login()
        second = await world.service.refresh(first.refresh_token or "", client_id="spa")
        await world.introspect(second.access_token)

        async def is_confirmed() -> bool:
            (session,) = await world.service.sessions("ada")
            return session.family.confirmed_at is not None

        await until(is_confirmed)
        third = await world.service.refresh(second.refresh_token or "", client_id="spa")
        assert not await is_confirmed()
        async with kept(world):
            await world.introspect(third.access_token)
        assert await is_confirmed()


@pytest.mark.usefixtures("hurried")
async def test_a_failure_is_told_once_and_what_is_due_is_done_when_it_has_passed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with running() as world:
        world.store.before["entries"] = failing(StoreUnavailable("gone"), times=4)

        async def is_well() -> bool:
            return "all is well again" in caplog.text

        await until(is_well)
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("revocations")]
    assert told == [
        "revocations: the store cannot be asked just now: gone; it is tried again",
        "revocations: all is well again",
    ]


@pytest.mark.usefixtures("hurried")
async def test_what_an_unknown_failure_says_is_not_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as world:
        world.store.before["entries"] = failing(RuntimeError("password=hunter2"), times=2)

        async def is_told() -> bool:
            return "RuntimeError" in caplog.text

        await until(is_told)
    assert "hunter2" not in caplog.text


@pytest.mark.usefixtures("hurried")
async def test_garbage_is_collected_and_loops_of_others_run_beside_it() -> None:
    ran: list[int] = []

    async def another() -> None:
        ran.append(1)
        await asyncio.Event().wait()

    async with running() as world:
        await world.login()
        world.clock.now += 100 * DAY
        async with kept(world, another):

            async def is_collected() -> bool:
                return "collect" in world.store.calls

            await until(is_collected)
        assert ran == [1]


@pytest.mark.usefixtures("hurried")
async def test_everything_that_nobody_needs_is_forgotten_in_small_batches() -> None:
    async with running() as world:
        for _ in range(5):
            await world.login()
        world.clock.now += 100 * DAY
        assert await collect_all(world.service.store, batch=2) == 5
        assert world.store.calls.count("collect") >= 3


async def test_nothing_is_left_when_it_is_closed() -> None:
    async with running() as world:
        before = asyncio.all_tasks()
        async with kept(world) as works:
            assert works.is_running
            assert len(asyncio.all_tasks()) > len(before)
        assert asyncio.all_tasks() == before
        await works.aclose()
