"""A file of SQLite: one thread that writes, a few that read, and none waits for another of them.

SQLite lets one connection write at a time, and others that want to poll for their turn. So there is one, and whoever
wants to write queues in the order that he came. What has queued while the disk was busy is written next with one commit
for all, since waiting for the disk is most of the cost; nobody is answered before it. Work is one job of a thread: it
crosses threads once, ends though its caller was cancelled, and belongs to no event loop.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import ColumnElement, Connection, Double, Engine, bindparam, create_engine, event
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.pool import QueuePool

from jwt_asgi._core.policy import seconds
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.errors import StoreUnavailable
from jwt_asgi.issuer.store.database import Work, check_version, guarded
from jwt_asgi.issuer.store.prepared import Prepared

__all__ = ["SQLite"]

T = TypeVar("T")
_OLDEST = (3, 35, 0)
"""The first with RETURNING."""
_WAL_TRIES = 100
_TURN = 0.002
"""How many seconds a process that has written leaves to others."""
_SHARED = 1.0
"""How many seconds after it had to wait it does so."""
_TOGETHER = 100
"""How many pieces of work are committed at once, at most."""
_Job = tuple[Future[Any], Work[Any]]


class SQLite:
    """A database in a file.

    Args:
        path: Of the file. `migrate` makes it, for its owner alone to read.
        clock: Gives the seconds since the epoch.
        timeout: How many seconds a write waits for one of another process.
        readers: How many read at once.

    Raises:
        ConfigurationError: an option is wrong.
    """

    dialect: Dialect = dialect()
    portion = 10

    def __init__(
        self, path: str | os.PathLike[str], *, clock: Callable[[], float], timeout: float, readers: int
    ) -> None:
        """Check the options; the file is not touched before it is needed."""
        self._path = Path(path).absolute()
        if str(path) in {"", ":memory:"}:
            raise ConfigurationError("store", "expected the path of a file: what is in memory alone is lost")
        if sqlite3.sqlite_version_info < _OLDEST:
            raise ConfigurationError("store", f"expected SQLite 3.35 or newer; got {sqlite3.sqlite_version}")
        seconds("store timeout", timeout)
        if not isinstance(readers, int) or isinstance(readers, bool) or readers < 1:
            raise ConfigurationError("store readers", f"expected a number from 1; got {readers!r}")
        self._clock, self._timeout, self._readers = clock, timeout, readers
        self._threads: _Threads | None = None
        self._closed = False
        self.now: ColumnElement[float] = bindparam("now", type_=Double)

    def times(self) -> dict[str, float]:
        """Return the time of this process."""
        return {"now": self._clock()}

    def time(self, connection: Connection) -> float:  # noqa: ARG002 - the database has no clock
        """Return the time of this process."""
        return self._clock()

    async def read(self, work: Work[T]) -> T:
        """Do work on one of the connections that read."""
        threads = self._opened()
        return await _done(lambda: threads.readers.submit(threads.read, work))

    async def single(self, work: Work[T]) -> T:
        """Do work on the connection that writes."""
        return await self.write(work)

    async def first(self, statement: Prepared, parameters: Mapping[str, Any]) -> Sequence[Any] | None:
        """Return the first row of one statement, on the connection that writes."""

        def work(connection: Connection) -> Sequence[Any] | None:
            driver: Any = connection.connection.driver_connection
            values = statement.values({**parameters, **self.times()})
            rows: list[Sequence[Any]] = driver.execute(statement.text, values).fetchall()
            return rows[0] if rows else None

        return await self.write(work)

    async def write(self, work: Work[T]) -> T:
        """Do work on the connection that writes, in the order of the calls."""
        threads = self._opened()
        return await _done(lambda: threads.write(work))

    async def migrate(self, work: Work[None]) -> None:
        """Do work on the connection that writes; SQLite lets one process do so at a time."""
        threads = self._opened()

        def run() -> None:
            with guarded((sqlite3.Error,)):
                self._path.touch(0o600)
                with threads.write_to.begin() as connection:
                    work(connection)
            threads.checked = True

        await _done(lambda: threads.writer.submit(run))

    async def aclose(self) -> None:
        """Close the connections, when what was begun is done."""
        self._closed = True
        threads, self._threads = self._threads, None
        if threads is not None and threads.pid == os.getpid():
            await asyncio.get_running_loop().run_in_executor(None, threads.close)

    def _opened(self) -> _Threads:
        if self._closed:
            raise StoreUnavailable("it was closed")
        threads = self._threads
        if threads is None or threads.pid != os.getpid():
            # What the parent of a fork has opened is left as it is: https://sqlite.org/howtocorrupt.html#_carrying
            if threads is not None:
                _LEFT.append(threads)
            threads = self._threads = _Threads(self._path, self._timeout, self._readers)
        return threads


_LEFT: list[_Threads] = []


class _Threads:
    """What one process has opened."""

    def __init__(self, path: Path, timeout: float, readers: int) -> None:
        self.path = path
        self.pid = os.getpid()
        self.checked = False
        self.waiting: deque[_Job] = deque()
        self.writer = ThreadPoolExecutor(1, "jwt-asgi-store-writer")
        self.readers = ThreadPoolExecutor(readers, "jwt-asgi-store-reader")
        self.write_to = _engine(path, 0.0, 1, _prepare_writer)
        self.read_from = _engine(path, timeout, readers, _prepare_reader)
        self.timeout = timeout
        self.shared_until = 0.0
        event.listen(self.write_to, "begin", self._begin)

    def read(self, work: Work[T]) -> T:
        """Do work on one of the connections that read."""
        self._check()
        with guarded((sqlite3.Error,)), self.read_from.connect() as connection:
            return work(connection)

    def write(self, work: Work[T]) -> Future[T]:
        """Queue work for the connection that writes."""
        future: Future[T] = Future()
        self.waiting.append((future, work))
        self.writer.submit(self._write_together)
        return future

    def _write_together(self) -> None:
        jobs: list[_Job] = []
        while self.waiting and len(jobs) < _TOGETHER:
            job = self.waiting.popleft()
            if job[0].set_running_or_notify_cancel():
                jobs.append(job)
        if not jobs:
            return
        try:
            self._check()
            with guarded((sqlite3.Error,)), self.write_to.begin() as connection:
                outcomes = [_alone(connection, work) for _, work in jobs]
        except BaseException as error:  # noqa: BLE001 - it is handed to those whose work it was
            outcomes = [(None, error)] * len(jobs)
        for (future, _), (result, failure) in zip(jobs, outcomes, strict=True):
            if failure is None:
                future.set_result(result)
            else:
                future.set_exception(failure)
        if time.monotonic() < self.shared_until:
            time.sleep(_TURN)

    def _begin(self, connection: Connection) -> None:
        """Wait for our turn among the processes that write to the file.

        SQLite's own way of waiting sleeps longer and longer, so that a process that writes without a pause would never
        let another in. Here each asks often, and leaves the others a moment after its turn while there are others.
        """
        give_up = time.monotonic() + self.timeout
        cursor = connection.connection.cursor()
        while True:
            try:
                cursor.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= give_up:
                    raise
            else:
                return
            self.shared_until = time.monotonic() + _SHARED
            time.sleep(random.uniform(_TURN / 8, _TURN / 2))  # noqa: S311 - no secret

    def _check(self) -> None:
        if self.checked:
            return
        if not self.path.exists():
            raise ConfigurationError("store", f"there is no file {self.path}: run `await store.migrate()`")
        with guarded((sqlite3.Error,)), self.read_from.connect() as connection:
            check_version(connection)
        self.checked = True

    def close(self) -> None:
        """Wait for what was begun, and close."""
        for pool in (self.writer, self.readers):
            pool.shutdown(wait=True)
        for engine in (self.read_from, self.write_to):
            engine.dispose()


def _engine(path: Path, timeout: float, size: int, prepare: Callable[[sqlite3.Connection], None]) -> Engine:
    def connect() -> sqlite3.Connection:
        # isolation_level: BEGIN is ours to say
        uri = f"file:{quote(str(path))}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)
        prepare(connection)
        return connection

    return create_engine(
        "sqlite+pysqlite://",
        creator=connect,
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=0,
        hide_parameters=True,
    )


def _prepare_writer(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA synchronous = FULL")
    # The switch does not wait for other processes, whatever the timeout
    for tried in range(_WAL_TRIES):
        try:
            if connection.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",):
                return
        except sqlite3.OperationalError:
            if tried == _WAL_TRIES - 1:
                raise
        time.sleep(0.01)
    raise sqlite3.OperationalError("expected a file that can have a write-ahead log")


def _prepare_reader(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only = 1")


def _alone(connection: Connection, work: Work[Any]) -> tuple[Any, BaseException | None]:
    """Do one of several pieces of work, of which each happens whole, or not at all.

    Raises:
        StoreUnavailable: the database failed; then nobody knows what is left of the transaction, and all have failed.
    """
    transaction = connection.connection.cursor()
    transaction.execute("SAVEPOINT work")
    try:
        with guarded((sqlite3.Error,)):
            result = work(connection)
    except StoreUnavailable:
        raise
    except BaseException as error:  # noqa: BLE001 - it is handed to him whose work it was
        transaction.execute("ROLLBACK TO work")
        transaction.execute("RELEASE work")
        return None, error
    transaction.execute("RELEASE work")
    return result, None


async def _done(submit: Callable[[], Future[T]]) -> T:
    try:
        future = submit()
    except RuntimeError as error:
        raise StoreUnavailable("it was closed") from error
    # A job that has begun is not to be stopped, and what becomes of it is nobody's when its caller has left
    return await asyncio.wrap_future(future)
