"""Writes records to the audit log of the store in batches, and tells them to sinks as they come.

Whoever appends to the audit log waits for all others who do, until their transactions end: so what needs no transaction
of its own is collected for a moment, and written at once. A batch leaves the queue when it is written: a record may be
there twice where nobody could know whether it was, and is not lost while the process lives.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Literal, Protocol

from jwt_asgi._core.policy import seconds
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.audit_events import AuditEvent, cleaned, record
from jwt_asgi.issuer.errors import StoreUnavailable
from jwt_asgi.issuer.types import Record

__all__ = ["AuditLog", "LoggingSink", "Sink"]

logger = logging.getLogger("jwt_asgi")

Sink = Callable[[Record], None]
"""Is told each record at once. It must be quick and must not block; what it raises is logged and goes no further."""
Overflow = Literal["block", "drop"]

BATCH: Final = 500
_LONGEST_PAUSE: Final = 5.0
_ORPHANED_SECONDS: Final = 1.0


class Writes(Protocol):
    """What is asked of the store."""

    async def write(self, records: Sequence[Record]) -> None:
        """Append to the audit log."""
        ...


class LoggingSink:
    """Writes each record as a line of JSON to the logger `jwt_asgi.audit`, at level INFO.

    The line has `event`, `at` in seconds since the epoch, and the members, in ASCII.

    Args:
        name: Another logger.
    """

    __slots__ = ("_logger",)

    def __init__(self, name: str = "jwt_asgi.audit") -> None:
        """Take the logger of that name."""
        self._logger = logging.getLogger(name)

    def __call__(self, record: Record) -> None:
        """Write the line, where anybody listens."""
        if self._logger.isEnabledFor(logging.INFO):
            self._logger.info("%s", json.dumps({"event": record.event, "at": record.at, **record.members}))


@dataclass(slots=True)
class _Flight:
    """A batch that is being written, by a task in one event loop, for all who wait for it; and what went wrong."""

    loop: asyncio.AbstractEventLoop
    landed: Future[Exception | None] = field(default_factory=Future)
    task: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        # Whoever waits and leaves cannot stop it
        self.landed.set_running_or_notify_cancel()


class AuditLog:
    """Collects records, and writes them to the store's audit log.

    Any event loop and thread may use it. The child of a fork begins with an empty one: what its parent has collected,
    that one writes.

    Args:
        store: Where they are written.
        sinks: Who is told each record at once, also of those that are dropped.
        size: How many may wait to be written.
        overflow: What is done with one for which there is no room, since the store is slow or away. `block`: whoever
            brings it waits for the store, and gets its `StoreUnavailable`; `drop`: it is dropped and counted.
        interval: After how many seconds they are written at the latest, while `run` runs.
        clock: Gives the seconds since the epoch.

    Raises:
        ConfigurationError: an option is wrong.
    """

    def __init__(
        self,
        store: Writes,
        *,
        sinks: Iterable[Sink] | None = None,
        size: int = 10_000,
        overflow: Overflow = "block",
        interval: float = 0.25,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Check the options."""
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ConfigurationError("audit log size", f"expected a number from 1; got {size!r}")
        if overflow not in {"block", "drop"}:
            raise ConfigurationError("audit log overflow", f"expected block or drop; got {overflow!r}")
        self._store = store
        self._sinks = (LoggingSink(),) if sinks is None else tuple(sinks)
        if not all(map(callable, self._sinks)):
            raise ConfigurationError("audit log sinks", "expected functions that take a record")
        self._size, self._overflow, self._clock = size, overflow, clock
        self._interval = seconds("audit log interval", interval, least=0.001)
        self.dropped = 0
        """How many records were dropped, since there was no room, or since the store refused them for good."""
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._queue: deque[Record] = deque()
        self._flight: _Flight | None = None
        self._brought = self._done = self._untold = 0

    @property
    def waiting(self) -> int:
        """How many records wait to be written."""
        return len(self._queue)

    async def add(self, *records: Record) -> None:
        """Tell the sinks, and keep records to be written soon; see `cleaned`.

        Raises:
            StoreUnavailable: there is no room, and the store cannot be asked; with `overflow="block"` alone.
        """
        self._look()
        kept = [*map(cleaned, records)]
        self._tell(kept)
        for one in kept:
            while not self._put(one):
                await self._write_some()

    def tell(self, *records: Record) -> None:
        """Tell the sinks alone: for records that were written with a change in the store."""
        self._tell([*map(cleaned, records)])

    def _tell(self, records: Sequence[Record]) -> None:
        for sink in self._sinks:
            for one in records:
                try:
                    sink(one)
                except Exception:
                    logger.exception("the sink %r of the audit log failed", sink)

    async def flush(self) -> None:
        """Wait until all is written that was brought before.

        Raises:
            StoreUnavailable: the store cannot be asked; what is not written is kept.
        """
        self._look()
        upto = self._brought
        while self._done < upto:
            await self._write_some()

    async def run(self) -> None:
        """Write what is brought, at the latest `interval` later, until it is cancelled; then call `flush` once more."""
        pause = self._interval
        while True:
            await asyncio.sleep(pause)
            try:
                await self.flush()
            except Exception as error:  # noqa: BLE001 - the next try may go well
                failed = error.retry_after if isinstance(error, StoreUnavailable) else pause * 2
                pause = min(max(failed, self._interval), _LONGEST_PAUSE) * random.uniform(0.8, 1.2)  # noqa: S311
                detail = error if isinstance(error, StoreUnavailable) else type(error).__name__
                logger.warning("the audit log cannot be written, %d records wait: %s", self.waiting, detail)
            else:
                pause = self._interval

    def _look(self) -> None:
        if self._pid != os.getpid():
            self._begin()

    def _put(self, one: Record) -> bool:
        """Keep a record, or drop it; return whether one of these was done."""
        with self._lock:
            if len(self._queue) < self._size:
                self._queue.append(one)
                self._brought += 1
                return True
            if self._overflow == "drop":
                self.dropped += 1
                self._untold += 1
                return True
            return False

    async def _write_some(self) -> None:
        """Write one batch, or wait until it is written by whoever is at it."""
        with self._lock:
            flight = self._flight
            mine = flight is None or flight.loop.is_closed()
            if mine:
                flight = self._flight = _Flight(asyncio.get_running_loop())
        assert flight is not None  # noqa: S101 - for the type checker
        if mine:
            flight.task = asyncio.get_running_loop().create_task(self._fly(flight))
            await asyncio.shield(flight.task)
        else:
            await _landed(flight)

    async def _fly(self, flight: _Flight) -> None:
        failure: BaseException | None = None
        try:
            await self._write_batch()
        except BaseException as error:
            failure = error
            raise
        finally:
            with self._lock:
                if self._flight is flight:
                    self._flight = None
            flight.landed.set_result(failure if isinstance(failure, Exception) else None)

    async def _write_batch(self) -> None:
        with self._lock:
            batch = list(islice(self._queue, BATCH))
            untold = self._untold
        lost = [record(AuditEvent.AUDIT_DROPPED, self._clock(), count=untold)] if untold else []
        try:
            await self._store.write([*batch, *lost])
        except (ValueError, TypeError):
            await self._write_each(batch)
            return
        self._leave(len(batch))
        with self._lock:
            self._untold -= untold

    async def _write_each(self, batch: Sequence[Record]) -> None:
        """Write those that can be written; a store that refuses one for what it is will do so always."""
        for one in batch:
            try:
                await self._store.write([one])
            except (ValueError, TypeError):
                logger.exception("a record of the audit log cannot be written, and is dropped: %s", one.event)
                self.dropped += 1
                self._untold += 1
            self._leave(1)

    def _leave(self, count: int) -> None:
        with self._lock:
            for _ in range(count):
                self._queue.popleft()
            self._done += count


async def _landed(flight: _Flight) -> None:
    """Wait for it, but not for long at once: its event loop may end without it."""
    waiting = asyncio.wrap_future(flight.landed)
    try:
        await asyncio.wait([waiting], timeout=_ORPHANED_SECONDS)
    finally:
        waiting.cancel()
    failure = flight.landed.result() if flight.landed.done() else None
    if failure is not None:
        raise failure
