"""Connections that are open: where something was revoked, their event loops look whether it concerns them."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from jwt_asgi._core.revoked import Revoked, TokenKeys
from jwt_asgi._keys.flight import on_asyncio

__all__ = ["Watches"]

AT_ONCE: Final = 256
"""How many connections are looked at before the event loop is free for others: that takes about a millisecond."""

_Open = dict[int, tuple[TokenKeys, Callable[[], None]]]
_Soon = Callable[..., Any]


class Watches:
    """The connections that end when their token is revoked. They cost nothing while nothing is.

    Args:
        revoked: What is revoked.
        ended: Called for each connection that a revocation ends.
    """

    __slots__ = ("_ended", "_loops", "_numbers", "_revoked", "_seen")

    def __init__(self, revoked: Revoked, ended: Callable[[], None]) -> None:
        """Have none."""
        self._revoked, self._ended = revoked, ended
        self._seen = revoked.changes
        self._numbers = itertools.count()
        self._loops: dict[Any, tuple[_Soon, _Open]] = {}

    def add(self, keys: TokenKeys, end: Callable[[], None]) -> Callable[[], None]:
        """Have `end` called, in this event loop and once, when a token of these keys is revoked.

        Return what to call when the connection is over. What is revoked already is the caller's to see.
        """
        loop, soon = _here()
        _, there = self._loops.setdefault(loop, (soon, {}))
        number = next(self._numbers)
        there[number] = keys, end
        return partial(self._leave, loop, there, number)

    def wake(self) -> None:
        """Have every event loop look at its connections, if something was revoked; it may be called in any thread."""
        if self._seen == self._revoked.changes:
            return
        self._seen = self._revoked.changes
        for loop, (soon, there) in list(self._loops.items()):
            self._call(loop, soon, there, list(there))

    def _call(self, loop: Any, soon: _Soon, there: _Open, numbers: Sequence[int]) -> None:  # noqa: ANN401 - of asyncio or trio
        try:
            soon(self._look, loop, soon, there, numbers)
        except RuntimeError:
            # It has ended, and its connections with it
            self._loops.pop(loop, None)

    def _look(self, loop: Any, soon: _Soon, there: _Open, numbers: Sequence[int]) -> None:  # noqa: ANN401 - likewise
        for number in numbers[:AT_ONCE]:
            found = there.get(number)
            if found is not None and self._revoked.covers(found[0]):
                self._leave(loop, there, number)
                self._ended()
                found[1]()
        if len(numbers) > AT_ONCE:
            self._call(loop, soon, there, numbers[AT_ONCE:])

    def _leave(self, loop: Any, there: _Open, number: int) -> None:  # noqa: ANN401 - likewise
        there.pop(number, None)
        if not there and self._loops.get(loop, (None, None))[1] is there:
            del self._loops[loop]


def _here() -> tuple[Any, _Soon]:
    """Return this event loop, and what has something called in it soon, from any thread."""
    if "trio" in sys.modules and not on_asyncio():
        token = sys.modules["trio"].lowlevel.current_trio_token()
        return token, token.run_sync_soon
    loop = asyncio.get_running_loop()
    return loop, loop.call_soon_threadsafe
