"""One attempt to fetch, shared by all who wait, in whatever event loop or thread they are.

A flight is no child of a request: who gives up waiting does not stop it. On asyncio it is a task of the loop of whoever
began it; on trio, where an asyncio client cannot run, it is a thread with an event loop of its own.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context
from typing import Any

__all__ = ["Flight", "on_asyncio", "pause"]

GIVE_UP_SECONDS = 1.0
MAX_THREADS = 256
"""On trio, in the whole process: strangers can name any tenant of a large allow-list."""
_THREAD = "jwt-asgi keys"


class Flight:
    """One attempt. It lands with True (a set was confirmed), False (it failed) or None (it was given up).

    `began` and `deadline` are of the clock of whoever begins it; past the deadline, or with its event loop closed, it
    is dead, and another one may begin.
    """

    __slots__ = ("_landed", "_loop", "_task", "began", "deadline", "past_caches", "result", "slow")

    def __init__(self, began: float, deadline: float, *, past_caches: bool) -> None:
        """Prepare it."""
        self.began = began
        self.deadline = deadline
        self.past_caches = past_caches
        self.result: bool | None = None
        self.slow = False
        """Somebody has waited for it in vain."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._landed: Future[bool | None] = Future()
        # A future that runs cannot be cancelled by those who wait for it
        self._landed.set_running_or_notify_cancel()

    def take_off(self, work: Callable[[Flight], Coroutine[Any, Any, None]]) -> None:
        """Begin. `work` sets `result`, and calls `land`; it does so in an empty context, and never at once."""
        if on_asyncio():
            self._loop = asyncio.get_running_loop()
            # An empty context: nothing of this request may leak into what others share
            self._task = self._loop.create_task(self._work(work), context=Context())
            self._task.add_done_callback(lambda _: self.land())  # cancelled before its first step
        else:
            self._take_off_alone(work)

    def _take_off_alone(self, work: Callable[[Flight], Coroutine[Any, Any, None]]) -> None:
        try:
            # By name: the threads of the service itself do not count, and in a forked child there are none
            if sum(thread.name == _THREAD for thread in threading.enumerate()) >= MAX_THREADS:
                raise RuntimeError("so many threads that one more would do harm")
            threading.Thread(target=self._work_alone, args=(work,), name=_THREAD, daemon=True).start()
        except RuntimeError:  # or the system has no more of them, or the interpreter is about to end
            self.result = False
            self.land()

    def land(self) -> None:
        """Tell those who wait. Once is enough."""
        if not self._landed.done():
            self._landed.set_result(self.result)

    def is_alive(self, now: float) -> bool:
        """Whether it is worth waiting for."""
        return self._is_under_way() and now < self.deadline

    def is_overdue(self, now: float) -> bool:
        """Whether it should have landed long ago, and not for want of an event loop."""
        return self._is_under_way() and now >= self.deadline

    def _is_under_way(self) -> bool:
        return not self._landed.done() and not (self._loop and self._loop.is_closed())

    async def wait(self, seconds: float) -> bool | None:
        """Wait until it lands, but not for ever: False when it takes too long."""
        waiting = _wait_on_asyncio if on_asyncio() else _wait_on_trio
        try:
            return await waiting(self._landed, seconds)
        except TimeoutError:
            return False

    async def give_up(self) -> None:
        """End it, if it is a task of this event loop."""
        task = self._task
        if task is None or task.done() or not on_asyncio() or self._loop is not asyncio.get_running_loop():
            return
        task.cancel()
        # Bounded, since a fetch may take no cancellation
        await asyncio.wait([task], timeout=GIVE_UP_SECONDS)

    async def _work(self, work: Callable[[Flight], Awaitable[None]]) -> None:
        # Under an eager task factory this would run at once, inside the caller's lock
        await asyncio.sleep(0)
        await work(self)

    def _work_alone(self, work: Callable[[Flight], Coroutine[Any, Any, None]]) -> None:
        try:
            asyncio.run(self._work(work))
        finally:
            self.land()


async def pause(seconds: float) -> None:
    """Sleep, on whichever event loop this is."""
    await (asyncio.sleep(seconds) if on_asyncio() else sys.modules["trio"].sleep(seconds))


def on_asyncio() -> bool:
    """Say whether the caller runs on asyncio: in trio's guest mode both have a loop, and the task is trio's."""
    # Another thread may be in the midst of importing it
    in_trio_task = getattr(sys.modules.get("trio.lowlevel"), "in_trio_task", None)
    if in_trio_task is not None and in_trio_task():
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _wait_on_asyncio(landed: Future[bool | None], seconds: float) -> bool | None:
    # Not wait_for, which loses a cancellation that comes with the result before Python 3.12 (bpo-37658)
    async with asyncio.timeout(seconds):
        return await asyncio.wrap_future(landed)


async def _wait_on_trio(landed: Future[bool | None], seconds: float) -> bool | None:
    trio = sys.modules["trio"]
    woken, token = trio.Event(), trio.lowlevel.current_trio_token()

    def wake(_: Future[bool | None]) -> None:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(woken.set)

    landed.add_done_callback(wake)
    with trio.move_on_after(seconds):
        await woken.wait()
    if not landed.done():
        raise TimeoutError
    return landed.result()
