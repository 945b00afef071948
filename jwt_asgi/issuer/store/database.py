"""What the store asks of a database: work in a transaction, the time, and one exception for whatever goes wrong."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from sqlalchemy import ColumnElement, Connection, inspect, text
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.exc import InvalidRequestError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.errors import StoreUnavailable
from jwt_asgi.issuer.store.prepared import Prepared
from jwt_asgi.issuer.store.schema import REVISIONS, VERSION_TABLE

__all__ = ["Database", "check_version", "guarded", "persistently", "version_of"]

T = TypeVar("T")
Work = Callable[[Connection], T]
"""What is done with a connection; plain code, run where it may wait. It may be run again after a conflict."""

_FAILURES: tuple[type[Exception], ...] = (StatementError, PoolTimeoutError, InvalidRequestError, OSError)
_RETRIES = 3
_PAUSE = 0.02
_CONFLICTS = {"40001", "40P01"}
"""serialization_failure and deadlock_detected of PostgreSQL: nothing has happened, and the next try may go well."""


class Database(Protocol):
    """SQLite, or PostgreSQL."""

    now: ColumnElement[float]
    """The time, in a statement."""
    dialect: Dialect
    """How statements are written for its driver."""
    portion: int
    """How many rows a transaction of housekeeping takes out at most; on SQLite nobody else can write meanwhile."""

    def times(self) -> dict[str, float]:
        """Return what a statement with `now` in it needs as a parameter."""
        ...

    def time(self, connection: Connection) -> float:
        """Return the time that it is, however long the transaction has waited."""
        ...

    async def read(self, work: Work[T]) -> T:
        """Do work that writes nothing; each statement sees what was committed before it."""
        ...

    async def single(self, work: Work[T]) -> T:
        """Do work of one statement, which is a transaction of its own."""
        ...

    async def first(self, statement: Prepared, parameters: Mapping[str, Any]) -> Sequence[Any] | None:
        """Return the first row of one statement, which is a transaction of its own; None: there is none."""
        ...

    async def write(self, work: Work[T]) -> T:
        """Do work in one transaction."""
        ...

    async def migrate(self, work: Work[None]) -> None:
        """Do work in one transaction that no other process does meanwhile, on a database that may be empty."""
        ...

    async def aclose(self) -> None:
        """Close what is open."""
        ...


@contextmanager
def guarded(more: tuple[type[Exception], ...]) -> Generator[None]:
    """Turn every failure of a database, and of what it is reached by, into the one exception."""
    try:
        yield
    except (*_FAILURES, *more) as error:
        raise StoreUnavailable(_name(error)) from error


async def persistently(attempt: Callable[[], Awaitable[T]]) -> T:
    """Try again, at most three times and a moment later, where transactions stood in each other's way."""
    for tried in range(_RETRIES):
        try:
            return await attempt()
        except Exception as error:
            if _state(error) not in _CONFLICTS:
                raise
        await asyncio.sleep(random.uniform(_PAUSE / 2, _PAUSE) * 2**tried)  # noqa: S311 - no secret
    return await attempt()


def version_of(connection: Connection) -> str | None:
    """Return the version of the tables that a database has; None: it has none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
    return found


def check_version(connection: Connection) -> None:
    """Refuse a database that this release cannot work with.

    Raises:
        ConfigurationError: it has no tables, or they are of another version.
    """
    version = version_of(connection)
    if version == REVISIONS[-1]:
        return
    if version is None:
        detail = "the database has no tables of the token service: run `await store.migrate()` before the first use"
    elif version in REVISIONS:
        detail = f"the tables are of version {version}, this release needs {REVISIONS[-1]}: run `await store.migrate()`"
    else:
        detail = f"the tables are of version {version}, which is newer than this release knows: install a newer one"
    raise ConfigurationError("store", detail)


def _name(error: Exception) -> str:
    """Return what kind of failure it was; the message of a driver may hold an address, and what was to be stored."""
    state = _state(error)
    return f"{type(_origin(error)).__name__} ({state})" if state else type(_origin(error)).__name__


def _state(error: Exception) -> str | None:
    origin: Any = _origin(error)
    return getattr(origin, "sqlstate", None) or getattr(origin, "sqlite_errorname", None)


def _origin(error: Exception) -> Exception:
    """Return what the driver has raised."""
    return getattr(error, "orig", None) or error
