"""What nobody needs any more is taken out, in small batches that stand in nobody's way."""

from __future__ import annotations

from math import inf

from sqlalchemy import Connection, Double, bindparam, delete, literal, select, update

from jwt_asgi._core.policy import MAX_LEEWAY
from jwt_asgi.issuer.store.database import Database
from jwt_asgi.issuer.store.schema import keys, revocations, seen, sessions
from jwt_asgi.issuer.store.sessions import KEEP
from jwt_asgi.issuer.types import KeyState

__all__ = ["forget_entries", "forget_keys", "forget_names", "forget_sessions"]

_s = sessions.c
_LOOK_AGAIN = update(sessions).where(_s.id == bindparam("of")).values(collect_at=bindparam("again", type_=Double))


def forget_sessions(connection: Connection, database: Database, batch: int) -> tuple[int, bool]:
    """Take out sessions that ended a week ago; return how many, and whether there may be more to look at.

    `collect_at` is when a session was to be looked at when it began: a refresh does not move it, as an index on it
    would make each refresh dearer. One that lives still is to be looked at again when it would end now.
    """
    now = database.time(connection)
    due = select(_s.id, _s.idle_until, _s.absolute_until, _s.ended_at).where(_s.collect_at <= now)
    rows = connection.execute(due.order_by(_s.collect_at).limit(batch).with_for_update(skip_locked=True)).all()
    ends = {
        row.id: min(row.idle_until, row.absolute_until, inf if row.ended_at is None else row.ended_at) for row in rows
    }
    gone = [of for of, end in ends.items() if end + KEEP <= now]
    later = [{"of": of, "again": end + KEEP} for of, end in ends.items() if end + KEEP > now]
    if gone:
        connection.execute(delete(sessions).where(_s.id.in_(gone)))
    if later:
        connection.execute(_LOOK_AGAIN, later)
    return len(gone), len(rows) == batch


def forget_entries(connection: Connection, database: Database, batch: int) -> tuple[int, bool]:
    """Take out entries that cover no token any more, as all have expired for the most lenient of verifiers."""
    past = database.time(connection) - MAX_LEEWAY
    passed = select(revocations.c.seq).where(revocations.c.until <= past).order_by(revocations.c.until).limit(batch)
    found = connection.scalars(passed.with_for_update(skip_locked=True)).all()
    if found:
        connection.execute(delete(revocations).where(revocations.c.seq.in_(found)))
    return len(found), len(found) == batch


def forget_names(connection: Connection, database: Database, batch: int) -> tuple[int, bool]:
    """Take out names whose time has passed."""
    past = literal(database.time(connection), Double)
    passed = select(seen.c.name).where(seen.c.until <= past).order_by(seen.c.until).limit(batch)
    found = connection.scalars(passed.with_for_update(skip_locked=True)).all()
    if found:
        connection.execute(delete(seen).where(seen.c.name.in_(found)))
    return len(found), len(found) == batch


def forget_keys(connection: Connection, database: Database) -> int:
    """Take out keys that are gone, and were published last a week ago; those that were revoked are kept."""
    past = literal(database.time(connection) - KEEP, Double)
    return connection.execute(
        delete(keys).where(keys.c.state == KeyState.GONE.value, keys.c.publish_until <= past)
    ).rowcount
