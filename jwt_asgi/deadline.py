"""When a connection must end: one timer, and the tasks that wait at the door.

Whoever waits at the door when the time is over, in its `receive` or `send`, is told there that the client is gone, as
when it really is, so that an application ends in its own way. One that waits elsewhere is cancelled: once, so that its
clean-up can await. Then the farewell is sent. On trio cancellation is a state, as it always is there.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context, copy_context
from typing import Any, ClassVar, TypeVar, TypeVarTuple

__all__ = ["AsyncioDeadline", "ConnectionExpired", "Deadline", "Visitor"]

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class ConnectionExpired(OSError):  # noqa: N818 - the name says what is the case
    """The token of this connection is good no more, so it is closed: what `send` raises on a closed connection."""


class Deadline(ABC):
    """When one connection must end. It does nothing before it is armed.

    Args:
        left: Says how many seconds are left.
        farewell: Tells the client; called once, when nothing else is being sent. It raises nothing but a cancellation.
    """

    __slots__ = ("_farewell", "_left")

    FAREWELL_SECONDS: ClassVar = 5.0
    """How long a client that reads slowly can hold up the end."""
    LONGEST_SECONDS: ClassVar = 3600.0
    """How long a timer runs before the clock that judges tokens is asked again, as a machine may sleep."""

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
    def look(self) -> None:
        """Ask anew how many seconds are left, if it is armed."""

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
    """A task that can be cancelled once, and takes that cancellation back.

    Args:
        task: The task.
        before: How often others had asked for its cancellation when it came.
        listens: Whether it waits for what the client sends.
    """

    __slots__ = ("_before", "_interrupted", "listens", "task")

    def __init__(self, task: asyncio.Task[Any], before: int, *, listens: bool) -> None:
        """Be at the door."""
        self.task, self._before, self.listens = task, before, listens
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

    # Not set by `__init__`: many a request makes a deadline, as it listens, and few arm it
    _passed = False
    _timer: asyncio.TimerHandle | None = None
    _context: Context | None = None
    _parting: asyncio.Task[None] | None = None
    _left_one: asyncio.Future[None] | None = None
    """Somebody has left the door."""

    def __init__(self, left: Callable[[], float], farewell: Callable[[], Awaitable[None]], main: Visitor) -> None:
        """Wait to be armed."""
        super().__init__(left, farewell)
        self._main: Visitor | None = main
        self._visitors: set[Visitor] = set()

    def has_passed(self) -> bool:
        """As of `Deadline`."""
        return self._passed

    def arm(self) -> None:
        """As of `Deadline`."""
        self.disarm()
        if self._left is not None:
            self._context = copy_context()
            self._wind(self._left())

    def look(self) -> None:
        """As of `Deadline`."""
        if self._timer is not None:
            self._timer.cancel()
            self._ring()

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
        task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]
        visitor = Visitor(task, task.cancelling(), listens=listens)
        self._visitors.add(visitor)
        try:
            result = await call(*arguments)
        except asyncio.CancelledError:
            if visitor.take_back():
                raise ConnectionExpired from None
            raise
        finally:
            self._visitors.discard(visitor)
            if self._passed:
                visitor.take_back()
                if self._left_one is not None and not self._left_one.done():
                    self._left_one.set_result(None)
        if self._passed:
            raise ConnectionExpired
        return result

    def _wind(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        # An empty context: a timer that was cancelled stays in the loop's heap for a while
        self._timer = loop.call_later(min(max(seconds, 0.0), self.LONGEST_SECONDS), self._ring, context=Context())

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
        if self._parting is None and self._farewell is not None:
            loop = asyncio.get_running_loop()
            self._parting = loop.create_task(self._wait_and_part(), context=self._context)

    async def _wait_and_part(self) -> None:
        assert self._farewell is not None  # noqa: S101 - for the type checker
        with suppress(TimeoutError):
            async with asyncio.timeout(self.FAREWELL_SECONDS):
                while not all(visitor.listens for visitor in self._visitors):
                    self._left_one = asyncio.get_running_loop().create_future()
                    await self._left_one
                await self._farewell()

    def _take_back(self) -> bool:
        self.disarm()
        main, self._main = self._main, None
        return main is not None and main.take_back()

    async def _part(self) -> None:
        if self._parting is not None:
            await self._parting

    def _leave(self) -> None:
        self._context = None
        if self._parting is not None:
            self._parting.cancel()
