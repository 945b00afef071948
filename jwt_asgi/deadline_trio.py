"""When a connection must end, on trio: where cancellation is a state, which all who wait meet until they have left."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any, NoReturn, TypeVar, TypeVarTuple

from jwt_asgi.deadline import ConnectionExpired, Deadline

__all__ = ["TrioDeadline"]

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class TrioDeadline(Deadline):
    """While somebody is at the door who is to be told there, the application as a whole is not cancelled."""

    __slots__ = ("_left_one", "_main", "_parting", "_task", "_told", "_trio", "_visitors", "_when")

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
        self._left_one: Any = None
        """Somebody has left the door."""

    def has_passed(self) -> bool:
        """As of `Deadline`."""
        return bool(self._trio.current_time() >= self._when)

    def arm(self) -> None:
        """As of `Deadline`."""
        if self._left is not None:
            self._when = self._trio.current_time() + max(self._left(), 0.0)
            self._aim()

    def look(self) -> None:
        """As of `Deadline`."""
        if self._trio.current_time() < self._when < inf:
            self.arm()

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
            if self._left_one is not None:
                self._left_one.set()
        if self.has_passed():
            return await self._turn_away(told_here=told_here, listens=listens)
        return result

    async def _turn_away(self, *, told_here: bool, listens: bool) -> NoReturn:
        self._told = self._told or told_here
        self._aim()
        # Not by a task that sends, which may be one that sends to all clients, and this one may be slow
        if listens:
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
            with self._trio.move_on_after(self.FAREWELL_SECONDS):
                while not all(listens for listens, _ in self._visitors.values()):
                    self._left_one = self._trio.Event()
                    await self._left_one.wait()
                await self._farewell()
        except self._trio.Cancelled:
            # Of the application's own doing: it is said when that has ended
            self._parting = False
            raise

    def _leave(self) -> None:
        self._visitors.clear()
