"""A database of PostgreSQL: a pool of connections for each event loop, READ COMMITTED, and the time of the server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import asyncpg
from asyncpg import InterfaceError, PostgresError
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Double,
    bindparam,
    cast,
    event,
    extract,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.engine.interfaces import AdaptedConnection, Dialect
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn

from jwt_asgi._core.policy import seconds
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.errors import StoreUnavailable
from jwt_asgi.issuer.store.database import Work, check_version, guarded, persistently
from jwt_asgi.issuer.store.prepared import Prepared

__all__ = ["PostgreSQL"]

T = TypeVar("T")
_FAILURES = (InterfaceError, PostgresError)
"""What the driver raises where SQLAlchemy does not see it."""
_QUERY = {"host", "port", "ssl", "passfile", "target_session_attrs"}
_MIGRATION = 0x6A77742D61736769
"""The advisory lock of those who change the tables: `jwt-asgi`."""
_Here = tuple[AsyncEngine, AsyncEngine, asyncio.Semaphore, list[PoolProxiedConnection]]
"""Connections for transactions, for single statements, who may have one, and those that `first` keeps for the next."""
_Engines = WeakKeyDictionary[asyncio.AbstractEventLoop, _Here]


class PostgreSQL:
    """A database of PostgreSQL, by asyncpg.

    Args:
        url: `postgresql://user:password@host/database`.
        clock: Gives the seconds since the epoch; None: the server does.
        timeout: How many seconds one statement may take, and a connection to be made or to become free.
        connections: How many there are at most, for each event loop.

    Raises:
        ConfigurationError: an option is wrong.
    """

    dialect: Dialect = dialect()  # type: ignore[no-untyped-call]
    portion = 500

    def __init__(self, url: str, *, clock: Callable[[], float] | None, timeout: float, connections: int) -> None:
        """Check the options; nothing is opened before it is needed."""
        self._url = _read(url)
        seconds("store timeout", timeout, least=0.001)
        if not isinstance(connections, int) or isinstance(connections, bool) or connections < 1:
            raise ConfigurationError("store connections", f"expected a number from 1; got {connections!r}")
        self._clock, self._timeout, self._connections = clock, timeout, connections
        self._engines: _Engines = WeakKeyDictionary()
        self._running: set[asyncio.Task[Any]] = set()
        self._pid = os.getpid()
        self._checked = self._closed = False
        self.now: ColumnElement[float] = bindparam("now", type_=Double)
        if clock is None:
            # One time for a whole statement, whatever rows it has waited for
            self.now = cast(extract("epoch", func.statement_timestamp()), Double)
        self._ask_time = select(cast(extract("epoch", func.clock_timestamp()), Double))

    def times(self) -> dict[str, float]:
        """Return nothing, as the server knows the time; or the time of the clock that was given."""
        return {} if self._clock is None else {"now": self._clock()}

    def time(self, connection: Connection) -> float:
        """Return the time of the server."""
        return connection.execute(self._ask_time).scalar_one() if self._clock is None else self._clock()

    async def read(self, work: Work[T]) -> T:
        """Do work without a transaction."""
        return await self.single(work)

    async def single(self, work: Work[T]) -> T:
        """Do work without a transaction: one statement, one round trip."""

        async def attempt() -> T:
            async with (await self._engine(1)).connect() as connection:
                return await connection.run_sync(work)

        return await self._tried(attempt)

    async def first(self, statement: Prepared, parameters: Mapping[str, Any]) -> Sequence[Any] | None:
        """Return the first row of one statement, which is a transaction of its own."""
        values = statement.values({**parameters, **self.times()})

        async def attempt() -> Sequence[Any] | None:
            engine, _, _, kept = self._engines_here()
            # To take one from the pool, and to give it back, takes as long as the statement
            pooled = kept.pop() if kept else await engine.raw_connection()
            driver: Any = pooled.driver_connection
            if driver.is_closed():
                await greenlet_spawn(pooled.close)
                pooled = await engine.raw_connection()
                driver = pooled.driver_connection
            try:
                row: Sequence[Any] | None = await driver.fetchrow(statement.text, *values)
            except BaseException:
                await greenlet_spawn(pooled.close)
                raise
            kept.append(pooled)
            return row

        return await self._tried(attempt)

    async def write(self, work: Work[T]) -> T:
        """Do work in one transaction."""

        async def attempt() -> T:
            async with (await self._engine(0)).begin() as connection:
                return await connection.run_sync(work)

        return await self._tried(attempt)

    async def migrate(self, work: Work[None]) -> None:
        """Do work in one transaction, under a lock of all who migrate this database, however long it takes."""
        engine = self._make_engine(None)
        try:
            with guarded(_FAILURES):
                async with engine.begin() as connection:
                    await connection.execute(text("SET LOCAL lock_timeout = 0"))
                    await connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION)))
                    await connection.run_sync(work)
        finally:
            await engine.dispose()
        self._checked = True

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        self._closed = True
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(task for task in [*self._running] if task.get_loop() is loop), return_exceptions=True)
        engines = self._engines.pop(loop, None)
        if engines is not None and self._pid == os.getpid():
            for pooled in engines[3]:
                await greenlet_spawn(pooled.close)
            await engines[0].dispose()

    async def _tried(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Do it as a task of its own: a caller who leaves would cost the server a connection, and us a new one."""
        task = asyncio.get_running_loop().create_task(self._done(attempt))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _done(self, attempt: Callable[[], Awaitable[T]]) -> T:
        with guarded(_FAILURES):
            turn = self._engines_here()[2]
            async with asyncio.timeout(self._timeout):
                await turn.acquire()
            try:
                if not self._checked:
                    async with (await self._engine(1)).connect() as connection:
                        await connection.run_sync(check_version)
                    self._checked = True
                return await persistently(attempt)
            finally:
                turn.release()

    async def _engine(self, place: int) -> AsyncEngine:
        """Return the connections for transactions, or for single statements; one of them is free."""
        *engines, _, kept = self._engines_here()
        if kept:
            await greenlet_spawn(kept.pop().close)
        return engines[place]

    def _engines_here(self) -> _Here:
        """Return what this event loop has.

        Whoever waits for the pool may be overtaken again and again; a semaphore lets in who came first.
        """
        if self._closed:
            raise StoreUnavailable("it was closed")
        if self._pid != os.getpid():
            # The sockets of the parent of a fork are the parent's
            _LEFT.append((self._engines, self._running))
            self._engines, self._running, self._pid = WeakKeyDictionary(), set(), os.getpid()
        loop = asyncio.get_running_loop()
        if loop not in self._engines:
            engine = self._make_engine(self._timeout)
            single = engine.execution_options(isolation_level="AUTOCOMMIT")
            self._engines[loop] = engine, single, asyncio.Semaphore(self._connections), []
        return self._engines[loop]

    def _make_engine(self, command_timeout: float | None) -> AsyncEngine:
        settings = {"application_name": "jwt-asgi", "default_transaction_isolation": "read committed"}
        engine = create_async_engine(
            self._url,
            poolclass=AsyncAdaptedQueuePool,
            pool_size=self._connections,
            max_overflow=0,
            pool_timeout=self._timeout,
            isolation_level="READ COMMITTED",
            hide_parameters=True,
            connect_args={
                "timeout": self._timeout,
                "command_timeout": command_timeout,
                "server_settings": settings,
            },
        )
        event.listen(engine.sync_engine, "checkout", _leave_out_the_dead)
        return engine


_LEFT: list[Any] = []


def _read(url: str) -> URL:
    """Return a URL as the driver takes it; libpq's `sslmode` is its `ssl`."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    if parsed is None or parsed.drivername not in {"postgresql", "postgresql+asyncpg", "postgres"}:
        raise ConfigurationError("store", "expected postgresql://user:password@host/database")
    query = {"ssl" if name == "sslmode" else name: value for name, value in parsed.query.items()}
    if not query.keys() <= _QUERY:
        raise ConfigurationError("store", f"expected of the URL's parameters only {', '.join(sorted(_QUERY))}, sslmode")
    return parsed.set(drivername="postgresql+asyncpg", query=query)


def _leave_out_the_dead(connection: AdaptedConnection, *_: object) -> None:
    """Take another connection where the server has closed this one, as it does when it stops."""
    driver: asyncpg.Connection = connection.driver_connection
    if driver.is_closed():
        raise DisconnectionError
