"""When a connection must end: one timer, and the tasks that wait at the door, on asyncio and on trio.

Whoever waits at the door when the time is over, in its `receive` or `send`, is told there that the client is gone, as
when it really is, so that an application ends in its own way. One that waits elsewhere is cancelled: once, so that its
clean-up can await. Then the farewell is sent. On trio cancellation is a state, as it always is there.
"""

from __future__ import annotations

import asyncio
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context, copy_context
from math import inf
from typing import Any, NoReturn, TypeVar, TypeVarTuple

from jwt_asgi._keys.flight import on_asyncio

__all__ = ["ConnectionExpired", "Deadline", "make_deadline"]

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")

FAREWELL_SECONDS = 5.0
"""How long a client that reads slowly can hold up the end."""
LONGEST_SECONDS = 3600.0
"""How long a timer runs before the clock that judges tokens is asked again, as a machine may sleep."""


class ConnectionExpired(OSError):  # noqa: N818 - the name says what is the case
    """The token of this connection has expired, so it is closed: what `send` raises on a closed connection."""


class Deadline(ABC):
    """When one connection must end. It does nothing before it is armed.

    Args:
        left: Says how many seconds are left.
        farewell: Tells the client; called once, when nothing else is being sent. It raises nothing but a cancellation.
    """

    def __init__(self, left: Callable[[], float], farewell: Callable[[], Awaitable[None]]) -> None:
        """Wait to be armed."""
        self._left: Callable[[], float] | None = left
        self._farewell: Callable[[], Awaitable[None]] | None = farewell

    @abstractmethod
    def has_passed(self) -> bool:
        """Say whether the time is over."""

    @abstractmethod
    def arm(self) -> None:
        """Begin, or begin anew, with as many seconds as are left now."""

    @abstractmethod
    def disarm(self) -> None:
        """Let the connection take its time, as it ends by itself."""

    @abstractmethod
    def end(self) -> None:
        """Make the time be over. The caller is who tells the application."""

    @abstractmethod
    async def visit(
        self, call: Callable[[*Arguments], Awaitable[Result]], *arguments: *Arguments, listens: bool
    ) -> Result:
        """Wait for what the server does. `listens`: for what the client sends.

        Raises:
            ConnectionExpired: the time is over.
        """

    async def run(self, application: Awaitable[None], gone: tuple[type[Exception], ...]) -> None:
        """Run the application to its end, however that comes.

        Errors of the kinds `gone` are how it says that the client is gone; they do not count when the time is over.
        """
        try:
            await self._hold(application)
        except Exception as error:
            if not self.has_passed():
                raise
            await self._part()
            if not _are_all(error, (ConnectionExpired, *gone)):
                raise
        else:
            if self.has_passed():
                await self._part()
        finally:
            # A task of the application that outlives it finds nothing that it could set going; and no circle is left
            self._left = self._farewell = None
            self._leave()

    @abstractmethod
    async def _hold(self, application: Awaitable[None]) -> None:
        """Run the application; return if it ended by this cancellation."""

    @abstractmethod
    async def _part(self) -> None:
        """See that the farewell was sent."""

    @abstractmethod
    def _leave(self) -> None:
        """Leave no timer and no task."""


def make_deadline(left: Callable[[], float], farewell: Callable[[], Awaitable[None]]) -> Deadline:
    """Return a deadline for the event loop that runs."""
    return (_AsyncioDeadline if on_asyncio() else _TrioDeadline)(left, farewell)


def _are_all(error: BaseException, kinds: tuple[type[Exception], ...]) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_are_all(member, kinds) for member in error.exceptions)
    return isinstance(error, kinds)


class _Visitor:
    """A task that can be cancelled once, and takes that cancellation back."""

    __slots__ = ("_before", "_interrupted", "listens", "task")

    def __init__(self, *, listens: bool = False) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine that awaits is run by one
        self.task, self.listens = task, listens
        self._before = task.cancelling()
        self._interrupted = False

    def interrupt(self) -> bool:
        """Cancel it, unless another does already."""
        if self.task.cancelling() > self._before:
            return False
        self._interrupted = True
        self.task.cancel()
        return True

    def take_back(self) -> bool:
        """Undo that, once; return whether nobody else has cancelled it."""
        if not self._interrupted:
            return False
        self._interrupted = False
        return self.task.uncancel() <= self._before


class _AsyncioDeadline(Deadline):
    def __init__(self, left: Callable[[], float], farewell: Callable[[], Awaitable[None]]) -> None:
        super().__init__(left, farewell)
        self._main: _Visitor | None = None
        self._visitors: set[_Visitor] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._context: Context | None = None
        self._parting: asyncio.Task[None] | None = None
        self._passed = False

    def has_passed(self) -> bool:
        return self._passed

    def arm(self) -> None:
        self.disarm()
        if self._left is not None:
            self._context = copy_context()
            self._wind(self._left())

    def disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end(self) -> None:
        self._end(told=True)

    async def visit(
        self, call: Callable[[*Arguments], Awaitable[Result]], *arguments: *Arguments, listens: bool
    ) -> Result:
        if self.has_passed():
            raise ConnectionExpired
        visitor = _Visitor(listens=listens)
        self._visitors.add(visitor)
        try:
            result = await call(*arguments)
        except asyncio.CancelledError:
            if visitor.take_back():
                raise ConnectionExpired from None
            raise
        finally:
            visitor.take_back()
            self._visitors.discard(visitor)
            if self.has_passed():
                self._part_when_quiet()
        if self.has_passed():
            raise ConnectionExpired
        return result

    def _wind(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        # An empty context: a timer that was cancelled stays in the loop's heap for a while
        self._timer = loop.call_later(min(max(seconds, 0.0), LONGEST_SECONDS), self._ring, context=Context())

    def _ring(self) -> None:
        self._timer = None
        left = 0.0 if self._left is None else self._left()
        if left > 0:
            self._wind(left)
        else:
            self._end(told=False)

    def _end(self, *, told: bool) -> None:
        self._passed = True
        self.disarm()
        main = self._main
        for visitor in self._visitors:
            if visitor.interrupt() and main is not None:
                told = told or visitor.listens or visitor.task is main.task
        if not told and main is not None:
            main.interrupt()
        self._part_when_quiet()

    def _part_when_quiet(self) -> None:
        """Begin the farewell, unless something is being sent: then whoever sends it comes here next."""
        if self._parting is None and self._farewell and all(visitor.listens for visitor in self._visitors):
            loop = asyncio.get_running_loop()
            self._parting = loop.create_task(_within_bounds(self._farewell), context=self._context)

    async def _hold(self, application: Awaitable[None]) -> None:
        main = self._main = _Visitor()
        try:
            await application
        except asyncio.CancelledError:
            if not main.take_back():
                raise
        finally:
            main.take_back()
            self._main = None
            self.disarm()

    async def _part(self) -> None:
        self._visitors.clear()
        self._part_when_quiet()
        if self._parting is not None:
            await self._parting

    def _leave(self) -> None:
        self.disarm()
        self._context = None
        if self._parting is not None:
            self._parting.cancel()


async def _within_bounds(farewell: Callable[[], Awaitable[None]]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(FAREWELL_SECONDS):
            await farewell()


class _TrioDeadline(Deadline):
    """While somebody is at the door who is to be told there, the application as a whole is not cancelled."""

    def __init__(self, left: Callable[[], float], farewell: Callable[[], Awaitable[None]]) -> None:
        super().__init__(left, farewell)
        self._trio = sys.modules["trio"]
        self._main = self._trio.CancelScope()
        self._task = self._trio.lowlevel.current_task()
        self._visitors: dict[Any, tuple[bool, bool]] = {}
        """The scope of each, whether it listens, and whether to tell it is to tell the application."""
        self._when = inf
        self._told = self._parting = False

    def has_passed(self) -> bool:
        return bool(self._trio.current_time() >= self._when)

    def arm(self) -> None:
        if self._left is not None:
            self._when = self._trio.current_time() + max(self._left(), 0.0)
            self._aim()

    def disarm(self) -> None:
        if not self.has_passed():
            self._when = inf
            self._aim()

    def end(self) -> None:
        self._when, self._told = -inf, True
        self._aim()

    async def visit(
        self, call: Callable[[*Arguments], Awaitable[Result]], *arguments: *Arguments, listens: bool
    ) -> Result:
        told_here = listens or self._trio.lowlevel.current_task() is self._task
        if self.has_passed():
            return await self._turn_away(told_here=told_here)
        scope = self._trio.CancelScope(deadline=self._when)
        self._visitors[scope] = listens, told_here
        self._aim()
        try:
            with scope:
                result = await call(*arguments)
            self._told = self._told or (told_here and self.has_passed())
        finally:
            del self._visitors[scope]
            self._aim()
        if self.has_passed():
            return await self._turn_away(told_here=told_here)
        return result

    async def _turn_away(self, *, told_here: bool) -> NoReturn:
        self._told = self._told or told_here
        self._aim()
        # Else whoever sends comes here next
        if all(listens for listens, _ in self._visitors.values()):
            await self._part()
        raise ConnectionExpired

    def _aim(self) -> None:
        told = self._told or any(told_here for _, told_here in self._visitors.values())
        self._main.deadline = inf if told else self._when
        for scope in self._visitors:
            scope.deadline = self._when

    async def _hold(self, application: Awaitable[None]) -> None:
        with self._main:
            await application
        self.disarm()

    async def _part(self) -> None:
        if self._farewell is None or self._parting:
            return
        self._parting = True
        try:
            with self._trio.move_on_after(FAREWELL_SECONDS):
                await self._farewell()
        except self._trio.Cancelled:
            # Of the application's own doing: it is said when that has ended
            self._parting = False
            raise

    def _leave(self) -> None:
        self.disarm()
