"""One attempt for all who wait: how it lands, who waits how long, and what is left of it."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import pytest
import trio

from jwt_asgi._keys import flight as flight_module
from jwt_asgi._keys.flight import Flight, on_asyncio, pause

THREAD = "jwt-asgi keys"
Work = Callable[[Flight], Coroutine[Any, Any, None]]


def new_flight(work: Work | None = None, *, deadline: float = 10.0) -> Flight:
    """A flight that began at 0; with `work` it has taken off."""
    flight = Flight(0.0, deadline, past_caches=False)
    if work is not None:
        flight.take_off(work)
    return flight


def lands_with(result: bool | None, gate: threading.Event | None = None) -> Work:
    """Work that lands so, once the gate is open."""

    async def work(flight: Flight) -> None:
        while gate is not None and not gate.is_set():
            await asyncio.sleep(0.001)
        flight.result = result
        flight.land()

    return work


async def hangs(_: Flight) -> None:
    await asyncio.Event().wait()


async def breaks(_: Flight) -> None:
    raise SystemError("whatever")


Run = Callable[[Callable[[], Awaitable[Any]]], Any]


def run_on_asyncio(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(main())


on_both = pytest.mark.parametrize("run", [run_on_asyncio, trio.run], ids=["asyncio", "trio"])


def no_thread_is_left() -> None:
    """Wait for the end of the threads of flights that have landed."""
    for thread in threading.enumerate():
        if thread.name == THREAD:
            thread.join(5)
            assert not thread.is_alive()


def test_it_tells_when_it_began_how_it_asks_and_that_nobody_has_waited_in_vain_yet() -> None:
    flight = Flight(7.0, 10.0, past_caches=True)
    assert (flight.began, flight.deadline, flight.past_caches) == (7.0, 10.0, True)
    assert (flight.result, flight.slow) == (None, False)
    assert Flight(0.0, 1.0, past_caches=False).past_caches is False


# How it lands


@on_both
@pytest.mark.parametrize("result", [True, False, None])
def test_all_who_wait_get_what_it_lands_with_those_who_come_late_too(run: Run, result: bool | None) -> None:
    gate = threading.Event()

    async def main() -> list[bool | None]:
        flight = new_flight(lands_with(result, gate))
        assert flight.is_alive(0.0)
        gate.set()
        early = await flight.wait(5)
        assert not flight.is_alive(0.0)
        return [early, await flight.wait(5), await flight.wait(0.01)]

    assert run(main) == [result] * 3
    no_thread_is_left()


async def test_whichever_comes_first_lands_it_for_good() -> None:
    flight = new_flight()
    flight.result = True
    flight.land()
    flight.result = False
    flight.land()
    assert await flight.wait(1) is True


async def test_one_that_is_cancelled_before_its_first_step_lands_with_none() -> None:
    began: list[Flight] = []

    async def work(flight: Flight) -> None:
        began.append(flight)

    flight = new_flight(work)
    await flight.give_up()
    assert await flight.wait(1) is None
    assert began == []
    assert not flight.is_alive(0.0)


def test_one_whose_work_breaks_on_trio_lands_with_none_and_the_fault_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: shown.append(args.exc_type))

    async def main() -> bool | None:
        return await new_flight(breaks).wait(5)

    assert trio.run(main) is None
    no_thread_is_left()
    assert shown == [SystemError]


def test_where_no_thread_can_be_started_it_has_failed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> bool | None:
        monkeypatch.setattr(threading.Thread, "start", start)
        flight = new_flight(lands_with(True))
        assert not flight.is_alive(0.0)
        return await flight.wait(5)

    assert trio.run(main) is False


def test_beyond_so_many_threads_it_has_failed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight_module, "MAX_THREADS", 2)
    gate = threading.Event()

    async def main() -> None:
        flying = [new_flight(lands_with(True, gate)) for _ in range(2)]
        too_many = new_flight(lands_with(True))
        assert (too_many.result, too_many.is_alive(0.0)) == (False, False)
        assert await too_many.wait(5) is False
        gate.set()
        assert [await flight.wait(5) for flight in flying] == [True, True]
        no_thread_is_left()
        assert await new_flight(lands_with(True)).wait(5) is True, "there is room again"

    trio.run(main)
    no_thread_is_left()


def test_the_threads_of_the_service_itself_take_no_room_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight_module, "MAX_THREADS", 1)
    end = threading.Event()
    threads = [threading.Thread(target=end.wait, args=(5,)) for _ in range(3)]
    for thread in threads:
        thread.start()

    async def main() -> bool | None:
        return await new_flight(lands_with(True)).wait(5)

    assert trio.run(main) is True
    end.set()
    for thread in threads:
        thread.join(5)
    no_thread_is_left()


# Those who wait


@on_both
@pytest.mark.parametrize("seconds", [0.0, 0.05])
def test_who_has_waited_long_enough_gets_false_and_the_flight_goes_on(run: Run, seconds: float) -> None:
    gate = threading.Event()

    async def main() -> list[bool | None]:
        flight = new_flight(lands_with(True, gate))
        began = time.monotonic()
        first = await flight.wait(seconds)
        assert seconds <= time.monotonic() - began + 0.02
        assert flight.is_alive(0.0)
        gate.set()
        return [first, await flight.wait(5)]

    assert run(main) == [False, True]
    no_thread_is_left()


async def test_a_task_that_is_cancelled_leaves_the_flight_to_the_others() -> None:
    gate = threading.Event()
    flight = new_flight(lands_with(True, gate))
    waiting = [asyncio.create_task(flight.wait(5)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.wait([waiting[0]])
    assert waiting[0].cancelled()
    gate.set()
    assert [await task for task in waiting[1:]] == [True, True]


def test_a_cancel_scope_of_trio_that_ends_leaves_the_flight_to_the_others() -> None:
    gate = threading.Event()
    got: list[bool | None] = []

    async def main() -> None:
        flight = new_flight(lands_with(True, gate))

        async def wait() -> None:
            got.append(await flight.wait(5))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            with trio.move_on_after(0.02) as scope:
                await flight.wait(5)
            assert scope.cancelled_caught
            gate.set()

    trio.run(main)
    assert got == [True]
    no_thread_is_left()


def test_event_loops_of_both_kinds_wait_for_one_flight_whoever_began_it() -> None:
    for began_by in (run_on_asyncio, trio.run):
        gate, in_the_air = threading.Event(), threading.Event()
        flight, got = new_flight(), list[bool | None]()

        async def begin(flight: Flight = flight, gate: threading.Event = gate) -> bool | None:
            flight.take_off(lands_with(True, gate))
            return await flight.wait(5)

        async def join(flight: Flight = flight, in_the_air: threading.Event = in_the_air) -> bool | None:
            in_the_air.set()
            return await flight.wait(5)

        def others(run: Run, got: list[bool | None] = got, join: Any = join) -> None:
            got.append(run(join))

        threads = [threading.Thread(target=others, args=(run,)) for run in (run_on_asyncio, trio.run)]
        threads.append(threading.Thread(target=lambda run=began_by, got=got, begin=begin: got.append(run(begin))))
        for thread in threads:
            thread.start()
        assert in_the_air.wait(5)
        gate.set()
        for thread in threads:
            thread.join(5)
        assert got == [True] * 3
        no_thread_is_left()


def test_one_who_left_before_it_landed_is_not_looked_for() -> None:
    gate = threading.Event()
    flight: list[Flight] = []

    async def leave() -> None:
        flight.append(new_flight(lands_with(True, gate)))
        assert await flight[0].wait(0.01) is False

    trio.run(leave)  # trio's loop is over, the flight's thread is not
    gate.set()
    no_thread_is_left()
    assert run_on_asyncio(lambda: flight[0].wait(1)) is True


# What it inherits


@on_both
def test_it_sees_nothing_of_the_context_that_began_it(run: Run) -> None:
    trace: ContextVar[str] = ContextVar("trace", default="none")
    seen: list[str] = []

    async def work(flight: Flight) -> None:
        seen.append(trace.get())
        trace.set("the flight's")
        flight.land()

    async def main() -> str:
        trace.set("the request's")
        await new_flight(work).wait(5)
        return trace.get()

    assert run(main) == "the request's"
    assert seen == ["none"]
    no_thread_is_left()


async def test_it_does_not_begin_before_its_creator_has_let_go() -> None:
    loop = asyncio.get_running_loop()
    lock, free = threading.Lock(), list[bool]()

    async def work(flight: Flight) -> None:
        free.append(lock.acquire(blocking=False))
        flight.land()

    loop.set_task_factory(getattr(asyncio, "eager_task_factory", None))
    try:
        with lock:
            flight = new_flight(work)
        await flight.wait(1)
    finally:
        loop.set_task_factory(None)
    assert free == [True]


# How it dies


async def test_past_its_deadline_it_is_dead() -> None:
    flight = new_flight(hangs, deadline=10.0)
    assert flight.is_alive(9.9)
    assert not flight.is_alive(10.0)
    await flight.give_up()


async def test_it_is_overdue_past_its_deadline_unless_it_has_landed() -> None:
    flight = new_flight(hangs, deadline=10.0)
    assert not flight.is_overdue(9.9)
    assert flight.is_overdue(10.0)
    flight.land()
    assert not flight.is_overdue(10.0)
    await flight.give_up()


def test_with_its_event_loop_it_is_dead() -> None:
    loop, flight = asyncio.new_event_loop(), new_flight()
    loop.set_exception_handler(lambda *_: None)  # of a task that was pending, which is the affair of who closes a loop

    async def leave() -> None:
        flight.take_off(hangs)
        await asyncio.sleep(0.01)

    loop.run_until_complete(leave())
    assert flight.is_alive(0.0), "the loop may run on"
    assert flight.is_overdue(10.0), "a loop that is blocked"
    loop.close()
    assert not flight.is_alive(0.0)
    assert not flight.is_overdue(10.0), "it is the affair of who closed the loop"
    assert run_on_asyncio(lambda: flight.wait(0.01)) is False


async def test_giving_up_ends_its_task_and_may_be_repeated() -> None:
    ended: list[bool] = []

    async def work(_: Flight) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    flight = new_flight(work)
    await asyncio.sleep(0.01)
    await flight.give_up()
    assert ended == [True]
    await flight.give_up()
    assert await flight.wait(1) is None
    await new_flight().give_up()


@on_both
def test_only_its_own_event_loop_can_give_it_up(run: Run) -> None:
    loop, flight = asyncio.new_event_loop(), new_flight()

    async def begin() -> None:
        flight.take_off(lands_with(True))

    loop.run_until_complete(begin())
    run(flight.give_up)
    assert flight.is_alive(0.0)
    assert loop.run_until_complete(flight.wait(1)) is True
    loop.close()


def test_giving_up_on_trio_waits_for_nothing_and_its_thread_ends_with_the_attempt() -> None:
    gate = threading.Event()

    async def main() -> bool | None:
        flight = new_flight(lands_with(True, gate))
        await flight.give_up()
        assert [thread.daemon for thread in threading.enumerate() if thread.name == THREAD] == [True]
        gate.set()
        return await flight.wait(5)

    assert trio.run(main) is True
    no_thread_is_left()


# Which event loop this is


def test_outside_of_every_event_loop_nothing_runs_on_asyncio() -> None:
    assert on_asyncio() is False


async def test_in_an_event_loop_of_asyncio_it_does() -> None:
    assert on_asyncio() is True


@on_both
def test_a_pause_is_as_long_as_it_says(run: Run) -> None:
    async def main() -> float:
        began = time.monotonic()
        await pause(0.03)
        return time.monotonic() - began

    assert 0.02 <= run(main) < 5


def test_in_the_guest_mode_of_trio_each_task_waits_in_its_own_way() -> None:
    async def trios() -> list[bool | None]:
        gate = threading.Event()
        flight = new_flight(lands_with(True, gate))
        assert any(thread.name == THREAD for thread in threading.enumerate()), "not a task of the host's loop"
        await pause(0.001)
        gate.set()
        return [await flight.wait(5)]

    async def host() -> list[bool | None]:
        loop, done = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
        trio.lowlevel.start_guest_run(
            trios, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=done.set_result
        )
        flight = new_flight(lands_with(False))
        own = await flight.wait(5)
        outcome: Any = await done
        return [own, *outcome.unwrap()]

    assert asyncio.run(host()) == [False, True]
    no_thread_is_left()


def test_another_thread_that_is_in_the_midst_of_importing_trio_disturbs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    half = type(sys)("trio")
    monkeypatch.setitem(sys.modules, "trio", half)
    monkeypatch.setitem(sys.modules, "trio.lowlevel", type(sys)("trio.lowlevel"))
    assert run_on_asyncio(begun_and_landed) is True
    monkeypatch.delitem(sys.modules, "trio.lowlevel")
    assert run_on_asyncio(begun_and_landed) is True


async def begun_and_landed() -> bool | None:
    return await new_flight(lands_with(True)).wait(5)
