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

__all__ = ["AsyncioDeadline", "ConnectionExpired", "Deadline", "TrioDeadline", "Visitor"]

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

    __slots__ = ("_farewell", "_left")

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

    async def settle(self, error: BaseException | None, gone: tuple[type[Exception], ...]) -> bool:
        """Finish, when the application has ended, with an error or without; return whether that error is of no account.

        Errors of the kinds `gone` are how an application says that the client is gone.
        """
        try:
            cancelled_here = self._take_back() and isinstance(error, asyncio.CancelledError)
            if not self.has_passed():
                return False
            if cancelled_here or error is None or isinstance(error, Exception):
                await self._part()
            return cancelled_here or (error is not None and _are_all(error, (ConnectionExpired, *gone)))
        finally:
            # A task of the application that outlives it finds nothing that it could set going; and no circle is left
            self._left = self._farewell = None
            self._leave()

    @abstractmethod
    def _take_back(self) -> bool:
        """Stop timing, and undo the cancellation of the application; return whether nobody else has cancelled it."""

    @abstractmethod
    async def _part(self) -> None:
        """See that the farewell was sent."""

    @abstractmethod
    def _leave(self) -> None:
        """Leave no task."""


def _are_all(error: BaseException, kinds: tuple[type[Exception], ...]) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_are_all(member, kinds) for member in error.exceptions)
    return isinstance(error, kinds)


class Visitor:
    """A task that can be cancelled once, and takes that cancellation back."""

    __slots__ = ("_before", "_interrupted", "listens", "task")

    def __init__(self, *, listens: bool) -> None:
        """Be the task that runs; call it in one."""
        self.task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]
        self._before = self.task.cancelling()
        self.listens = listens
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


class AsyncioDeadline(Deadline):
    """The timer is made when it is armed. `main` is the task of the application."""

    __slots__ = ("_context", "_main", "_parting", "_passed", "_timer", "_visitors")

    def __init__(self, left: Callable[[], float], farewell: Callable[[], Awaitable[None]], main: Visitor) -> None:
        """Wait to be armed."""
        super().__init__(left, farewell)
        self._main: Visitor | None = main
        self._visitors: set[Visitor] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._context: Context | None = None
        self._parting: asyncio.Task[None] | None = None
        self._passed = False

    def has_passed(self) -> bool:
        """As of `Deadline`."""
        return self._passed

    def arm(self) -> None:
        """As of `Deadline`."""
        self.disarm()
        if self._left is not None:
            self._context = copy_context()
            self._wind(self._left())

    def disarm(self) -> None:
        """As of `Deadline`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end(self) -> None:
        """As of `Deadline`."""
        self._end(told=True)

    async def visit(
        self, call: Callable[[*Arguments], Awaitable[Result]], *arguments: *Arguments, listens: bool
    ) -> Result:
        """As of `Deadline`."""
        if self.has_passed():
            raise ConnectionExpired
        visitor = Visitor(listens=listens)
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

    def _take_back(self) -> bool:
        self.disarm()
        main, self._main = self._main, None
        return main is not None and main.take_back()

    async def _part(self) -> None:
        self._visitors.clear()
        self._part_when_quiet()
        if self._parting is not None:
            await self._parting

    def _leave(self) -> None:
        self._context = None
        if self._parting is not None:
            self._parting.cancel()


async def _within_bounds(farewell: Callable[[], Awaitable[None]]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(FAREWELL_SECONDS):
            await farewell()


class TrioDeadline(Deadline):
    """While somebody is at the door who is to be told there, the application as a whole is not cancelled."""

    __slots__ = ("_main", "_parting", "_task", "_told", "_trio", "_visitors", "_when")

    def __init__(self, left: Callable[[], float], farewell: Callable[[], Awaitable[None]]) -> None:
        """Wait to be armed."""
        super().__init__(left, farewell)
        self._trio = sys.modules["trio"]
        self._main = self._trio.CancelScope()
        self._task = self._trio.lowlevel.current_task()
        self._visitors: dict[Any, tuple[bool, bool]] = {}
        """The scope of each, whether it listens, and whether to tell it is to tell the application."""
        self._when = inf
        self._told = self._parting = False

    def has_passed(self) -> bool:
        """As of `Deadline`."""
        return bool(self._trio.current_time() >= self._when)

    def arm(self) -> None:
        """As of `Deadline`."""
        if self._left is not None:
            self._when = self._trio.current_time() + max(self._left(), 0.0)
            self._aim()

    def disarm(self) -> None:
        """As of `Deadline`."""
        if not self.has_passed():
            self._when = inf
            self._aim()

    def end(self) -> None:
        """As of `Deadline`."""
        self._when, self._told = -inf, True
        self._aim()

    async def visit(
        self, call: Callable[[*Arguments], Awaitable[Result]], *arguments: *Arguments, listens: bool
    ) -> Result:
        """As of `Deadline`."""
        told_here = listens or self._trio.lowlevel.current_task() is self._task
        if self.has_passed():
            return await self._turn_away(told_here=told_here, listens=listens)
        scope = self._trio.CancelScope(deadline=self._when)
        self._visitors[scope] = listens, told_here
        self._aim()
        try:
            with scope:
                result = await call(*arguments)
            self._told = self._told or (told_here and self.has_passed())
        finally:
            self._visitors.pop(scope, None)
            self._aim()
        if self.has_passed():
            return await self._turn_away(told_here=told_here, listens=listens)
        return result

    async def _turn_away(self, *, told_here: bool, listens: bool) -> NoReturn:
        self._told = self._told or told_here
        self._aim()
        # Not by a task that sends, which may be one that sends to all clients, and this one may be slow
        if listens and all(others_listen for others_listen, _ in self._visitors.values()):
            await self._part()
        raise ConnectionExpired

    def _aim(self) -> None:
        told = self._told or any(told_here for _, told_here in self._visitors.values())
        self._main.deadline = inf if told else self._when
        for scope in self._visitors:
            scope.deadline = self._when

    async def hold(self, application: Awaitable[None]) -> None:
        """Run the application, and cancel it at the end."""
        with self._main:
            await application

    def _take_back(self) -> bool:
        self.disarm()
        return False

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
        self._visitors.clear()
