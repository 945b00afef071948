"""Keeps up with the source: one background task for each process, in whatever event loop asks first.

It goes on by itself, so that a quiet resource server is up to date, too. Where its event loop has ended, or it has
hung for longer than an attempt may take, whoever asks next begins another, which goes on from the same position; what
the old one brings late is dropped. On trio it is a thread with an event loop of its own.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import threading
import time
from collections import Counter
from contextlib import AsyncExitStack, aclosing
from typing import Any, Final

from jwt_asgi._core.revoked import BINS, Revoked
from jwt_asgi._keys.clock import steady_clock
from jwt_asgi._keys.flight import Flight
from jwt_asgi._keys.forks import call_after_fork
from jwt_asgi.revocation.source import Piece, Reader, Source, SourceError
from jwt_asgi.revocation.watch import Watches
from jwt_asgi.types import Clock

__all__ = ["Poller"]

MAX_WAITERS: Final = 4096
MAX_BACK_OFF: Final = 5.0
SWEEP_SECONDS: Final = 60.0
SWEEP_BINS: Final = 64
GRACE_SECONDS: Final = 0.2

logger = logging.getLogger("jwt_asgi")


class _SupersededError(Exception):
    """Another task has taken over."""


class Poller:
    """What is revoked, kept up to date.

    Args:
        source: Where it comes from.
        interval: Seconds between two polls.
        timeout: Seconds in which something must come, else the attempt has failed.
        max_stale: For how many seconds what is known is good.
        clock: The steady one.
    """

    def __init__(
        self, source: Source, *, interval: float, timeout: float, max_stale: float, clock: Clock | None = None
    ) -> None:
        """Begin nothing yet."""
        self._source = source
        self._interval, self._timeout, self._max_stale = interval, timeout, max_stale
        self._clock = clock or steady_clock()
        self.after_fork()
        call_after_fork(self)

    def after_fork(self) -> None:
        """Begin anew, with nothing: another thread of the parent may have been in the midst of a change."""
        self.revoked = Revoked()
        self.failures = 0
        self.error = ""
        self.counters: Counter[str] = Counter()
        self.watches = Watches(self.revoked, self._count_ended)
        self._lock = threading.Lock()
        self._waiters = 0
        self._position: Any = None
        self._fresh_at = -math.inf
        self._calm_until = -math.inf
        self._retry_at = -math.inf
        self._runner: Flight | None = None
        self._first: Flight | None = None

    def is_fresh(self) -> bool:
        """Whether what is known is good still; it also sees that somebody keeps up."""
        now = self._clock()
        return now < self._calm_until or self._tend(now)

    def age(self) -> float:
        """Return how many seconds old it is; infinite: nothing is known yet."""
        return self._clock() - self._fresh_at

    def retry_in(self) -> float:
        """Return how many seconds it is until the next attempt."""
        return max(self._retry_at - self._clock(), 0.0)

    async def catch_up(self, seconds: float = math.inf) -> bool:
        """Wait for the first attempt of a task that has just begun, but not for ever; return whether it is fresh."""
        if self.is_fresh():
            return True
        first = self._first
        if first is not None and first.result is None and self._waiters < MAX_WAITERS and not self.retry_in():
            self._waiters += 1
            try:
                await first.wait(min(self._timeout + GRACE_SECONDS, seconds))
            finally:
                self._waiters -= 1
        return self.is_fresh()

    async def aclose(self) -> None:
        """End the task, if it is one of this event loop, or in a thread of its own. It may be begun again."""
        with self._lock:
            runner, self._runner = self._runner, None
        if runner is not None:
            await runner.give_up()

    def _tend(self, now: float) -> bool:
        with self._lock:
            if self._runner is None or not self._runner.is_alive(now):
                self._first = first = Flight(now, math.inf, past_caches=False)
                self._runner = runner = Flight(now, self._overdue(now), past_caches=False)
                runner.take_off(lambda runner: self._run(runner, first))
            return now < self._fresh_at + self._max_stale

    def _overdue(self, now: float) -> float:
        return now + self._timeout + max(self._interval, MAX_BACK_OFF) + 1.0

    async def _run(self, runner: Flight, first: Flight) -> None:
        try:
            while True:
                pause = await self._keep_up(runner, first)
                _heed_cancellation()
                await asyncio.sleep(pause)
        except _SupersededError:
            pass
        finally:
            first.land()
            runner.land()

    async def _keep_up(self, runner: Flight, first: Flight) -> float:
        """Read for as long as all is well; return for how many seconds to pause when it is not."""
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self._timeout):
                    reader = await stack.enter_async_context(self._source.connect())
                while True:
                    await self._read(runner, reader)
                    _heed_cancellation()
                    first.result = True
                    first.land()
                    await self._sweep()
                    await asyncio.sleep(self._interval * random.uniform(0.9, 1.0))  # noqa: S311 - spread, no secret
        except _SupersededError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a source raises is one failed attempt
            return self._fail(runner, first, error)

    async def _read(self, runner: Flight, reader: Reader) -> None:
        loop, began, age = asyncio.get_running_loop(), self._clock(), 0.0
        async with asyncio.timeout(self._timeout) as limit, aclosing(reader.read(self._position)) as pieces:
            async for piece in pieces:
                self._take(runner, piece)
                age = piece.age
                limit.reschedule(loop.time() + self._timeout)
                await asyncio.sleep(0)
        with self._lock:
            self._expect(runner)
            self.counters["polls"] += 1
            recovered, self.failures, self.error = self.failures > 0, 0, ""
            self._fresh_at = max(self._fresh_at, began - age)
            self._calm_until = self._fresh_at + min(2 * self._interval, self._max_stale)
        self.watches.wake()
        if recovered:
            logger.info("revocations: the feed has caught up")

    def _take(self, runner: Flight, piece: Piece) -> None:
        with self._lock:
            self._expect(runner)
            self.revoked.add(piece.rows, time.time())
            if piece.position is not None:
                self._position = piece.position

    async def _sweep(self) -> None:
        """Forget what has passed, a few bins at a time, so that it goes round once a minute."""
        left = min(math.ceil(BINS * self._interval / SWEEP_SECONDS), BINS)
        while left > 0:
            with self._lock:
                self.revoked.sweep(time.time(), min(left, SWEEP_BINS))
            left -= SWEEP_BINS
            await asyncio.sleep(0)

    def _count_ended(self) -> None:
        self.counters["ended"] += 1

    def _fail(self, runner: Flight, first: Flight, error: Exception) -> float:
        with self._lock:
            self._expect(runner)
            self.failures += 1
            self.counters["failures"] += 1
            self.error = _told(error, self._timeout)
            pause = min(self._interval * 2.0 ** min(self.failures - 1, 9), MAX_BACK_OFF)
            pause *= random.uniform(0.7, 1.0)  # noqa: S311 - spread, no secret
            self._retry_at = self._clock() + pause
            once = self.failures == 1
        self.watches.wake()
        first.result = False
        first.land()
        if once:
            logger.warning("revocations: the feed is cut: %s", self.error)
        return pause

    def _expect(self, runner: Flight) -> None:
        if self._runner is not runner:
            raise _SupersededError
        runner.deadline = self._overdue(self._clock())


def _heed_cancellation() -> None:
    """End here if somebody has cancelled this task: the clients of Valkey and Redis may swallow that."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _told(error: Exception, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing came within {timeout:g} s"
    return str(error) if isinstance(error, (SourceError, OverflowError)) else type(error).__name__
