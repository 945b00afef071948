"""SQLiteStore and PostgreSQLStore: what `types.Store` promises."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypedDict, Unpack

from sqlalchemy import Connection, select

from jwt_asgi._core.policy import seconds
from jwt_asgi._core.revocation import key_of
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.rotation import Proof, RotationPolicy, Step
from jwt_asgi.issuer.store import audit, garbage, keys, revocations, seen, sessions
from jwt_asgi.issuer.store.database import Database
from jwt_asgi.issuer.store.postgresql import PostgreSQL
from jwt_asgi.issuer.store.rows import is_text, session_of
from jwt_asgi.issuer.store.schema import sessions as table
from jwt_asgi.issuer.store.sessions import Presentation, Statements
from jwt_asgi.issuer.store.sqlite import SQLite
from jwt_asgi.issuer.types import Entry, KeyChange, Record, Session, StoredKey

__all__ = ["PostgreSQLStore", "SQLiteStore", "open_store"]

_DAY = 86_400.0


class _Common(TypedDict, total=False):
    longest_token: float
    keep_audit: float | None
    clock: Callable[[], float] | None
    timeout: float


class _SQLStore:
    """What both databases have in common: work for them, and which of it is one transaction.

    Args:
        database: Where it is done.
        issuer: Whose tokens its sessions have: the entries of replayed sessions are for it.
        longest_token: The longest life of an access token, in seconds: so long the entry of a replayed session covers.
        keep_audit: How many seconds a record of the audit log is kept; None: for ever.
    """

    def __init__(self, database: Database, *, issuer: str, longest_token: float, keep_audit: float | None) -> None:
        """Check the options, and write the statements."""
        if not isinstance(issuer, str) or not issuer:
            raise ConfigurationError("store issuer", f"expected the identifier of the issuer; got {issuer!r}")
        self._issuer = issuer
        self._longest_token = seconds("store longest_token", longest_token, least=1.0)
        self._keep_audit = None if keep_audit is None else seconds("store keep_audit", keep_audit, least=1.0)
        self._database = database
        self._statements = Statements(database)

    async def migrate(self) -> None:
        """Make the tables, or bring those of an older release up to this one's; several processes may do so at once.

        Raises:
            ConfigurationError: the tables are of a newer release.
            StoreUnavailable: the database cannot be asked.
        """
        from jwt_asgi.issuer.store.migrate import migrate  # noqa: PLC0415 - alembic is for this alone

        await self._database.migrate(migrate)

    async def now(self) -> float:
        """Return the seconds since the epoch."""
        return await self._database.read(self._database.time)

    async def add_session(self, session: Session, records: Sequence[Record] = ()) -> None:
        """Keep a new session.

        Raises:
            ValueError: there is one with its `id`, or it has what no database can have.
        """
        proof = session.family.proof or ()
        if not is_text(session.subject, session.tenant, session.acr, session.family.client_id, *proof):
            raise ValueError("expected text without NUL and without half of a surrogate pair")

        def work(connection: Connection) -> None:
            sessions.add(connection, session)
            audit.append(connection, records)

        await self._database.write(work)

    async def session(self, id: bytes) -> Session | None:  # noqa: A002 - what it is
        """Return a session, ended or not, unless it was forgotten."""

        def work(connection: Connection) -> Session | None:
            row = connection.execute(select(table).where(table.c.id == id)).first()
            return None if row is None else session_of(row)

        return await self._database.read(work)

    async def sessions(self, subject: str) -> list[Session]:
        """Return the sessions of a user that are live, the oldest first."""
        if not is_text(subject):
            return []

        def work(connection: Connection) -> list[Session]:
            found = connection.execute(self._statements.of_subject, {"subject": subject, **self._database.times()})
            return [session_of(row) for row in found]

        return await self._database.read(work)

    async def present(
        self,
        id: bytes,  # noqa: A002 - what it is
        generation: int,
        *,
        client_id: str,
        proof: Proof,
        policy: RotationPolicy,
        key_version: int,
    ) -> tuple[Step | None, Session | None, float]:
        """Do what `rotation.present` says: one statement where that is to rotate, else under the session's lock."""
        asked = Presentation(
            id=id, generation=generation, client_id=client_id, proof=proof, policy=policy, key_version=key_version
        )

        if (parameters := asked.parameters()) is not None:
            row = await self._database.first(self._statements.rotate, parameters)
            if row is not None:
                return Step.ROTATE, *sessions.rotated(row)
        return await self._database.write(lambda connection: self._judge(connection, asked))

    async def confirm(self, id: bytes, generation: int) -> bool:  # noqa: A002 - what it is
        """Do what `rotation.confirmed` says; return whether that changed anything."""

        def work(connection: Connection) -> bool:
            asked = {"of": id, "presented": generation, **self._database.times()}
            return connection.execute(self._statements.confirm, asked).rowcount == 1

        return await self._database.single(work)

    async def end(
        self,
        *,
        id: bytes | None = None,  # noqa: A002 - what it is
        subject: str | None = None,
        client_id: str | None = None,
        reason: str,
        entries: Sequence[Entry] = (),
        records: Sequence[Record] = (),
    ) -> list[Session]:
        """Revoke the live sessions that fit all that is given, and write these entries; return the sessions."""
        given = {"id": id, "subject": subject, "client_id": client_id}
        wanted = {name: value for name, value in given.items() if value is not None}
        nobody = not wanted or not is_text(subject, client_id)

        def work(connection: Connection) -> list[Session]:
            live = self._statements.live
            ended = [] if nobody else sessions.end(connection, self._database, live, reason, **wanted)
            revocations.append(connection, entries, self._database.time(connection))
            audit.append(connection, records)
            return ended

        return await self._database.write(work)

    async def entries(self, after: int, *, limit: int = 10_000) -> list[Entry]:
        """Return the entries behind `after` that may still matter to a verifier, in the order of `seq`."""
        return await self._database.read(lambda connection: revocations.read(connection, self._database, after, limit))

    async def find_entries(self, keys: Sequence[bytes]) -> list[Entry]:
        """Return the entries that have one of these keys."""
        return await self._database.read(lambda connection: revocations.find(connection, keys))

    async def remember(self, name: str, until: float) -> bool:
        """Remember a name until a time; return whether it was there already.

        Raises:
            ValueError: it is none that a database can have.
        """
        return await self._database.single(lambda connection: seen.remember(connection, name, until))

    async def keys(self) -> list[StoredKey]:
        """Return every signing key that is not forgotten, the oldest first."""
        return await self._database.read(keys.read)

    async def change_keys(
        self, decide: Callable[[Sequence[StoredKey], float], KeyChange], records: Sequence[Record] = ()
    ) -> list[StoredKey]:
        """Let `decide` look at all keys and the time, and keep what it returns, one process at a time; return all.

        It is called in a thread of the store's where that is SQLite, and again where a transaction is tried again.

        Raises:
            ValueError: there would be two active keys for one algorithm.
        """

        def work(connection: Connection) -> list[StoredKey]:
            decided, now = keys.change(connection, self._database, decide)
            revocations.append(connection, decided.entries, now)
            audit.append(connection, [*decided.records, *records])
            return keys.read(connection)

        return await self._database.write(work)

    async def write(self, records: Sequence[Record]) -> None:
        """Append to the audit log."""
        await self._database.write(lambda connection: audit.append(connection, records))

    async def verify_audit(self, known: tuple[int, bytes] | None = None) -> audit.AuditCheck:
        """Follow the audit log from its oldest record to its head; `known` is what an earlier look has returned."""
        return await self._database.read(lambda connection: audit.verify(connection, known))

    async def collect(self, *, batch: int = 500) -> int:
        """Forget what nobody needs any more, at most `batch` rows of each table; return how many rows that were.

        It takes small transactions, and a break after each that is as long as it was: whoever refreshes meanwhile is
        hardly held up. Processes may do so at once.
        """
        database, keep = self._database, self._keep_audit
        forgotten = await self._forget(garbage.forget_sessions, batch)
        forgotten += await self._forget(garbage.forget_entries, batch)
        forgotten += await self._forget(garbage.forget_names, batch)
        forgotten += await database.write(lambda connection: garbage.forget_keys(connection, database))
        if keep is not None:
            forgotten += await self._forget(partial(audit.forget, keep=keep), batch)
        return forgotten

    async def _forget(self, work: Callable[..., tuple[int, bool]], batch: int) -> int:
        """Do it until so many are forgotten, or there are no more; others have their turn in between."""
        forgotten, more = 0, True
        while more and forgotten < batch:
            most = min(self._database.portion, batch - forgotten)
            began = time.monotonic()
            found, more = await self._database.write(partial(work, database=self._database, batch=most))
            forgotten += found
            if more:
                await asyncio.sleep(time.monotonic() - began)
        return forgotten

    async def aclose(self) -> None:
        """Close what is open. The store cannot be used any more."""
        await self._database.aclose()

    def _judge(self, connection: Connection, asked: Presentation) -> tuple[Step | None, Session | None, float]:
        step, session, now = sessions.judge(connection, self._database, asked)
        if step is Step.REPLAY and session is not None:
            key = key_of(self._issuer, "s", session.sid)
            revocations.append(connection, [Entry(seq=0, kind="s", key=key, until=now + self._longest_token)], now)
            audit.append(connection, [_replayed(session, asked.generation, now)])
        return step, session, now


class SQLiteStore(_SQLStore):
    """A store in a file, for the processes of one host.

    Nothing is opened before the first use. Event loops may use it one after another, or at once; the child of a fork
    opens the file anew. What a process writes, it writes in the order that it was asked.

    Args:
        path: Of the file; `migrate` makes it, with its `-wal` and `-shm` beside it, for its owner alone.
        issuer: Whose tokens its sessions have: the entries of replayed sessions are for it.
        longest_token: The longest life of an access token, in seconds.
        keep_audit: How many seconds a record of the audit log is kept; None: for ever.
        clock: Gives the seconds since the epoch; None: the system's.
        timeout: How many seconds a write waits for those of other processes.
        readers: How many may read at once.

    Raises:
        ConfigurationError: an option is wrong.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        issuer: str,
        longest_token: float = _DAY,
        keep_audit: float | None = None,
        clock: Callable[[], float] | None = None,
        timeout: float = 5.0,
        readers: int = 4,
    ) -> None:
        """Check the options."""
        database = SQLite(path, clock=clock or time.time, timeout=timeout, readers=readers)
        super().__init__(database, issuer=issuer, longest_token=longest_token, keep_audit=keep_audit)


class PostgreSQLStore(_SQLStore):
    """A store in a database of PostgreSQL, for any number of processes and hosts.

    Nothing is opened before the first use. Each event loop has connections of its own, which `aclose` closes in the
    loop that it is called in; the child of a fork opens its own. It is to be the primary server, or what leads to it,
    in a way that keeps a session: PgBouncer's `pool_mode = session`.

    Args:
        url: `postgresql://user:password@host/database`.
        issuer: Whose tokens its sessions have: the entries of replayed sessions are for it.
        longest_token: The longest life of an access token, in seconds.
        keep_audit: How many seconds a record of the audit log is kept; None: for ever.
        clock: Gives the seconds since the epoch; None: the server's, which all processes agree on.
        timeout: How many seconds one statement may take, and a connection to be made, or to become free.
        connections: How many there are at most, for each event loop.

    Raises:
        ConfigurationError: an option is wrong.
    """

    def __init__(
        self,
        url: str,
        *,
        issuer: str,
        longest_token: float = _DAY,
        keep_audit: float | None = None,
        clock: Callable[[], float] | None = None,
        timeout: float = 5.0,
        connections: int = 16,
    ) -> None:
        """Check the options."""
        database = PostgreSQL(url, clock=clock, timeout=timeout, connections=connections)
        super().__init__(database, issuer=issuer, longest_token=longest_token, keep_audit=keep_audit)


def open_store(url: str, *, issuer: str, **options: Unpack[_Common]) -> SQLiteStore | PostgreSQLStore:
    """Return the store that a URL names: `sqlite:///path/of/the/file` or `postgresql://...`; nothing is opened yet.

    Raises:
        ConfigurationError: it names neither, or an option is wrong.
    """
    if url.startswith("sqlite:///"):
        return SQLiteStore(url.removeprefix("sqlite:///"), issuer=issuer, **options)
    if url.startswith(("postgresql://", "postgres://", "postgresql+asyncpg://")):
        return PostgreSQLStore(url, issuer=issuer, **options)
    raise ConfigurationError("store", "expected sqlite:///path/of/the/file or postgresql://user:password@host/database")


def _replayed(session: Session, presented: int, now: float) -> Record:
    members: dict[str, str | int | float | bool | None] = {
        "sid": session.sid,
        "sub": session.subject,
        "client_id": session.family.client_id,
        "presented": presented,
        "newest": session.family.generation,
    }
    return Record(event="refresh.replay", at=now, members=members)
