"""A file of SQLite and a server of PostgreSQL on a real disk: filled in bulk, and asked without the store.

What is asked without the store is the statement that the store rotates with, prepared once, and nothing else: no
object is made of the row, and no other thread or task has a part in it.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import asyncpg

from benchmarks._traffic import CLIENT, POLICY, Families
from jwt_asgi.issuer.rotation import Family
from jwt_asgi.issuer.store import PostgreSQLStore, SQLiteStore
from jwt_asgi.issuer.store.rows import session_columns
from jwt_asgi.issuer.store.schema import sessions
from jwt_asgi.issuer.store.sessions import KEEP, Presentation
from jwt_asgi.issuer.types import Session
from tests.issuer.store.postgresql import INSTALL, binaries, server

__all__ = ["NAMES", "Database", "absent", "fsync_of", "new_session", "opened", "prepared"]

ISSUER = "https://issuer.test"
NAMES = ("sqlite", "postgresql")
CONNECTIONS = 16
TOGETHER = 32
"""How many refresh at once, in a closed loop."""
DURABLE = ("-c", "shared_buffers=512MB", "-c", "max_wal_size=4GB")
"""All else is as PostgreSQL has it by itself: it waits for the disk before it answers, and cleans up in between."""
_DAY = 86_400.0
_COLUMNS = [column.name for column in sessions.columns]
_BULK = 50_000


class Database(Protocol):
    """Where sessions are kept, and the same without the store."""

    name: str
    store: SQLiteStore | PostgreSQLStore

    async def fill(self, count: int, *, dead: bool = False) -> list[bytes]:
        """Add so many sessions that live, or that ended so long ago that they are to be forgotten."""
        ...

    async def raw(self, families: Families, seconds: float) -> dict[str, float]:
        """Return the rotations per second that there are without the store, by the way to commit."""
        ...

    async def plan(self) -> str:
        """How the database finds the row that a rotation changes."""
        ...


class SQLiteFile:
    """A file."""

    name = "SQLite"

    def __init__(self, path: Path) -> None:
        self._path = path
        self.store = SQLiteStore(path, issuer=ISSUER)
        self._rotate = self.store._statements.rotate  # noqa: SLF001

    async def fill(self, count: int, *, dead: bool = False) -> list[bytes]:
        statement = f"INSERT INTO jwt_asgi_session ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"

        def work() -> list[bytes]:
            ids = []
            with self._connected() as connection:
                connection.execute("PRAGMA cache_size = -400000")
                for rows in _rows(count, dead=dead):
                    connection.execute("BEGIN IMMEDIATE")
                    connection.executemany(statement, rows)
                    connection.execute("COMMIT")
                    ids += [row[0] for row in rows]
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return ids

        return await asyncio.to_thread(work)

    async def raw(self, families: Families, seconds: float) -> dict[str, float]:
        one = await asyncio.to_thread(self._raw, families, seconds, 1)
        many = await asyncio.to_thread(self._raw, families, seconds, TOGETHER)
        return {"a commit each": one, f"a commit for {TOGETHER}": many}

    def _raw(self, families: Families, seconds: float, together: int) -> float:
        done, began = 0, time.perf_counter()
        with self._connected() as connection:
            while time.perf_counter() < began + seconds:
                taken = [families.take() for _ in range(together)]
                connection.execute("BEGIN IMMEDIATE")
                for family in taken:
                    values = self._rotate.values(_asked(family, families) | {"now": time.time()})
                    if connection.execute(self._rotate.text, values).fetchall() == []:
                        raise RuntimeError("expected a rotation")
                connection.execute("COMMIT")
                for family in taken:
                    families.give_back(family)
                done += together
        return done / (time.perf_counter() - began)

    async def plan(self) -> str:
        with self._connected() as connection:
            values = self._rotate.values(_asked(b"0" * 16) | {"now": 0.0})
            found = connection.execute(f"EXPLAIN QUERY PLAN {self._rotate.text}", values).fetchall()
        return "; ".join(row[3] for row in found)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=20)
        try:
            connection.execute("PRAGMA synchronous = FULL")  # as the store's is
            yield connection
        finally:
            connection.close()


class PostgreSQLServer:
    """A database of a server."""

    name = "PostgreSQL"

    def __init__(self, url: str) -> None:
        self._url = url
        self._counted = (0, 0)
        self.store = PostgreSQLStore(url, issuer=ISSUER, connections=CONNECTIONS)
        self._rotate = self.store._statements.rotate  # noqa: SLF001

    async def fill(self, count: int, *, dead: bool = False) -> list[bytes]:
        ids = []
        async with self._connected() as connection:
            for rows in _rows(count, dead=dead):
                await connection.copy_records_to_table("jwt_asgi_session", records=rows, columns=_COLUMNS)
                ids += [row[0] for row in rows]
            await connection.execute("VACUUM ANALYZE jwt_asgi_session")
            await connection.execute("CHECKPOINT")
        return ids

    async def raw(self, families: Families, seconds: float) -> dict[str, float]:
        async def client(connection: asyncpg.Connection, end: float) -> int:
            statement, done = await connection.prepare(self._rotate.text), 0
            while done == 0 or time.perf_counter() < end:
                family = families.take()
                if await statement.fetchrow(*self._rotate.values(_asked(family, families))) is None:
                    raise RuntimeError("expected a rotation")
                families.give_back(family)
                done += 1
            return done

        async with AsyncExitStack() as open_ones:
            connections = [await open_ones.enter_async_context(self._connected()) for _ in range(CONNECTIONS)]
            began = time.perf_counter()
            done = sum(await asyncio.gather(*(client(connection, began + seconds) for connection in connections)))
            return {f"asyncpg, {CONNECTIONS} connections": done / (time.perf_counter() - began)}

    async def plan(self) -> str:
        async with self._connected() as connection:
            found = await connection.fetch(
                f"EXPLAIN (COSTS OFF) {self._rotate.text}", *self._rotate.values(_asked(b"0" * 16))
            )
        return "; ".join(row[0].strip(" ->") for row in found if "Scan" in row[0])

    async def updates(self) -> tuple[int, int]:
        """How many rows were changed, and how many of these without a change of an index, since it was asked last."""
        # A server counts the work of a connection when that ends, or later
        await self.store.aclose()
        self.store = PostgreSQLStore(self._url, issuer=ISSUER, connections=CONNECTIONS)
        wanted = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'jwt_asgi_session'"
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1"
        async with self._connected() as connection:
            while await connection.fetchval(others, "jwt-asgi"):
                await asyncio.sleep(0.02)
                await connection.execute("SELECT pg_stat_clear_snapshot()")
            row: Any = await connection.fetchrow(wanted)
        before, self._counted = self._counted, (row[0], row[1])
        return row[0] - before[0], row[1] - before[1]

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self._url)
        try:
            yield connection
        finally:
            await connection.close()


def absent(name: str) -> str | None:
    """Why a database cannot be measured here, with what to do; None: it can."""
    return f"a real PostgreSQL is needed: {INSTALL}" if name == "postgresql" and binaries() is None else None


@contextmanager
def prepared(name: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database of this kind, whose data is in a folder of this folder."""
    if name == "sqlite":
        with tempfile.TemporaryDirectory(prefix="jwt-asgi-", dir=folder) as path:
            yield f"sqlite:///{path}/store.db"
        return
    programs = binaries()
    if programs is None:
        raise RuntimeError(f"expected a PostgreSQL: {INSTALL}")
    with server(programs, parent=str(folder), settings=DURABLE) as url:
        yield url.format(database="postgres")


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[SQLiteFile | PostgreSQLServer]:
    """A database with tables."""
    sqlite = "sqlite:///"
    database = SQLiteFile(Path(url.removeprefix(sqlite))) if url.startswith(sqlite) else PostgreSQLServer(url)
    await database.store.migrate()
    try:
        yield database
    finally:
        await database.store.aclose()


def fsync_of(folder: Path, times: int = 200) -> float:
    """Seconds until the disk has 4 KiB for good, in the median."""
    took = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(times):
            os.write(file.fileno(), b"x" * 4096)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return sorted(took)[times // 2]


def new_session(number: int, now: float) -> Session:
    """One as applications have them."""
    return Session(
        id=secrets.token_bytes(16),
        key_version=1,
        subject=f"user-{number:08}",
        tenant="acme",
        scopes=("openid", "todos:read", "todos:write"),
        audience=("https://api.test",),
        auth_time=now,
        acr="urn:mfa",
        amr=("pwd", "otp"),
        claims={"roles": ["editor", "reader"]},
        created_at=now,
        family=Family(
            client_id=CLIENT,
            generation=0,
            rotated_at=now,
            idle_until=now + POLICY.idle,
            absolute_until=now + POLICY.absolute,
        ),
    )


def _rows(count: int, *, dead: bool) -> Iterator[list[tuple[Any, ...]]]:
    """Rows in portions; the dead ended on some day of the last month but a week."""
    now = time.time()
    likeness = dict.fromkeys(_COLUMNS) | session_columns(new_session(0, now))
    for start in range(0, count, _BULK):
        rows = []
        for number in range(start, min(start + _BULK, count)):
            end = now - random.uniform(KEEP + 1, KEEP + 30 * _DAY) if dead else now + POLICY.idle
            own = {"id": secrets.token_bytes(16), "subject": f"user-{number:08}", "idle_until": end}
            rows.append(tuple({**likeness, **own, "collect_at": end + KEEP}.values()))
        yield rows


def _asked(family: bytes, families: Families | None = None) -> dict[str, Any]:
    generation = families.newest[family] if families else 0
    asked = Presentation(
        id=family, generation=generation, client_id=CLIENT, proof=None, policy=POLICY, key_version=1
    ).parameters()
    return asked or {}
