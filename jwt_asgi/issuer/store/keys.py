"""Signing keys in the database, where one process at a time changes them; what signs is sealed before it gets here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import IntegrityError

from jwt_asgi.issuer.store.database import Database
from jwt_asgi.issuer.store.rows import key_columns, key_of
from jwt_asgi.issuer.store.schema import KEYS, heads, keys
from jwt_asgi.issuer.types import KeyChange, KeyState, StoredKey

__all__ = ["change", "read"]


def read(connection: Connection) -> list[StoredKey]:
    """Return every key, the oldest first."""
    return [key_of(row) for row in connection.execute(select(keys).order_by(keys.c.created_at, keys.c.kid))]


def change(
    connection: Connection, database: Database, decide: Callable[[Sequence[StoredKey], float], KeyChange]
) -> tuple[KeyChange, float]:
    """Keep what `decide` returns, and return that and the time; nobody else changes keys meanwhile.

    Raises:
        ValueError: there would be two active keys for one algorithm.
    """
    connection.execute(select(heads).where(heads.c.name == KEYS).with_for_update())
    now = database.time(connection)
    decided = decide(read(connection), now)
    if decided.keys:
        connection.execute(delete(keys).where(keys.c.kid.in_([key.kid for key in decided.keys])))
        # The active ones last: a key that takes another's place finds it free
        rows = [key_columns(key) for key in sorted(decided.keys, key=lambda key: key.state is KeyState.ACTIVE)]
        try:
            connection.execute(insert(keys), rows)
        except IntegrityError as error:
            raise ValueError("expected one active key for each algorithm, and each kid once") from error
    return decided, now
