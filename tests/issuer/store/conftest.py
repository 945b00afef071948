"""A store on SQLite, and one on a real PostgreSQL; each test that takes `store` runs on both."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from jwt_asgi.issuer.store import PostgreSQLStore, SQLiteStore
from tests.issuer.store.postgresql import INSTALL, binaries, fast_folder, server
from tests.issuer.store.world import ISSUER, Clock, make_store


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a server, with `{database}` in it."""
    programs = binaries()
    if programs is None:
        pytest.skip(f"a real PostgreSQL is needed: {INSTALL}")
    with server(programs) as url:
        asyncio.run(_make_template(url))
        yield url


async def _make_template(url: str) -> None:
    await _execute(url, "CREATE DATABASE template_store")
    store = PostgreSQLStore(url.format(database="template_store"), issuer=ISSUER)
    await store.migrate()
    await store.aclose()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url.format(database="postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


_numbers = itertools.count()


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="jwt-asgi-", dir=fast_folder()) as path:
        yield Path(path)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, folder: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{folder / 'store.db'}"
    return _made(request.getfixturevalue("postgresql"), "template0")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, folder: Path) -> str:
    """The URL of a database with tables, and nothing in them."""
    if request.param == "postgresql":
        return _made(request.getfixturevalue("postgresql"), "template_store")
    shutil.copy(request.getfixturevalue("sqlite_template"), folder / "store.db")
    return f"sqlite:///{folder / 'store.db'}"


@pytest.fixture(scope="session")
def sqlite_template() -> Iterator[Path]:
    """A file with tables, and nothing in them."""
    with tempfile.TemporaryDirectory(prefix="jwt-asgi-", dir=fast_folder()) as folder:
        path = Path(folder) / "template.db"
        asyncio.run(_migrated(SQLiteStore(path, issuer=ISSUER)))
        yield path


@pytest.fixture
def postgresql_url(postgresql: str) -> str:
    """The URL of a database of PostgreSQL with tables, and nothing in them."""
    return _made(postgresql, "template_store")


async def _migrated(store: SQLiteStore) -> None:
    await store.migrate()
    await store.aclose()


def _made(url: str, template: str) -> str:
    name = f"store_{next(_numbers)}"
    asyncio.run(_execute(url, f"CREATE DATABASE {name} TEMPLATE {template}"))
    return url.format(database=name)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(url: str) -> AsyncIterator[SQLiteStore | PostgreSQLStore]:
    """A store with the clock that it has by itself."""
    made = make_store(url)
    yield made
    await made.aclose()


@pytest.fixture
async def timed(url: str, clock: Clock) -> AsyncIterator[SQLiteStore | PostgreSQLStore]:
    """A store whose time is the test's."""
    made = make_store(url, clock)
    yield made
    await made.aclose()
