"""What many ask for at once is done once, in each event loop."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from jwt_asgi.issuer.together import Shared, Turns
from tests.issuer.services import Gate

WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


async def test_who_asks_while_it_is_under_way_gets_what_comes_of_it() -> None:
    gate, done = Gate(), []

    async def work() -> None:
        await gate()
        done.append(WHO.get())
        raise LookupError

    shared = Shared(work)
    WHO.set("the first")
    asking = [asyncio.ensure_future(shared()) for _ in range(3)]
    await gate.reached.wait()
    gate.opened.set()
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [LookupError] * 3
    assert done == ["nobody"], "once, and outside of the context of him who came first"
    with pytest.raises(LookupError):
        await shared()
    assert len(done) == 2, "who asks later has it done anew"


async def test_it_goes_on_when_he_who_asked_has_left_and_ends_when_it_is_closed() -> None:
    gate, done = Gate(), []

    async def work() -> None:
        await gate()
        done.append(1)

    shared = Shared(work)
    asking = asyncio.ensure_future(shared())
    await gate.reached.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    gate.opened.set()
    await shared()
    assert done == [1]

    gate.opened.clear()
    gate.reached.clear()
    asking = asyncio.ensure_future(shared())
    await gate.reached.wait()
    await shared.aclose()
    outcome = await asyncio.gather(asking, return_exceptions=True)
    assert isinstance(outcome[0], asyncio.CancelledError)
    await shared.aclose()
    assert done == [1]


def test_each_event_loop_has_its_own() -> None:
    loops: list[asyncio.AbstractEventLoop] = []
    turns = Turns()

    async def work() -> None:
        loops.append(asyncio.get_running_loop())
        async with turns.mine():
            await asyncio.sleep(0)

    shared = Shared(work)

    async def ask() -> None:
        assert turns.mine() is turns.mine()
        await asyncio.gather(work(), work(), shared())

    for _ in range(2):
        asyncio.run(ask())
    assert len(loops) == 6
