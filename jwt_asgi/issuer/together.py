"""What many ask for at once is done once; what must not overlap waits for its turn. In each event loop by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["Shared", "Turns"]


class Shared:
    """Work that is done once for all who ask while it is under way.

    It goes on when some of them leave, and has nothing of the context of the one who came first. What it raises, all
    of them get.
    """

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do nothing yet."""
        self._work = work
        self._tasks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[None]] = WeakKeyDictionary()

    async def __call__(self) -> None:
        """Do it, or wait for what is under way."""
        loop = asyncio.get_running_loop()
        task = self._tasks.get(loop)
        if task is None or task.done():
            task = self._tasks[loop] = loop.create_task(self._run(), context=Context())
            task.add_done_callback(_noticed)
        await asyncio.shield(task)

    async def aclose(self) -> None:
        """Stop what is under way in this event loop."""
        task = self._tasks.pop(asyncio.get_running_loop(), None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        await self._work()


class Turns:
    """A lock in each event loop: `async with turns.mine():`."""

    def __init__(self) -> None:
        """Have nobody wait."""
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    def mine(self) -> asyncio.Lock:
        """Return the lock of this event loop."""
        return self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())


def _noticed(task: asyncio.Task[Any]) -> None:
    """Whoever asked may have left, and asyncio would complain that nobody looked at what went wrong."""
    if not task.cancelled():
        task.exception()
