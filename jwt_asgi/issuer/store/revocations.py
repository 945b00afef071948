"""The log of revocations: numbered so that whoever reads on from the last number that he saw misses none.

A sequence of PostgreSQL gives its numbers before the transactions commit, so a reader could see 7, go on from there,
and never see 6. Here whoever appends holds the row of the log's head until he has committed: so numbers are committed
in their order. They are no less than the time in microseconds, so that a database that was restored to an older state
gives none again that a reader has passed already.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, case, insert, select, update

from jwt_asgi._core.policy import MAX_LEEWAY
from jwt_asgi.issuer.store.database import Database
from jwt_asgi.issuer.store.rows import entry_of
from jwt_asgi.issuer.store.schema import ENTRIES, heads, revocations
from jwt_asgi.issuer.types import Entry

__all__ = ["append", "find", "read"]

_TICKS = 1_000_000
_MOST = 2**63 - 1
_c = revocations.c
_NEXT = (
    update(heads)
    .where(heads.c.name == ENTRIES)
    .values(seq=bindparam("more") + case((heads.c.seq < bindparam("ticks"), bindparam("ticks")), else_=heads.c.seq))
    .returning(heads.c.seq)
)


def append(connection: Connection, entries: Sequence[Entry], now: float) -> None:
    """Write entries, and number them."""
    if not entries:
        return
    last = connection.execute(_NEXT, {"more": len(entries), "ticks": int(now * _TICKS)}).scalar_one()
    rows = [
        {
            "seq": last - len(entries) + place,
            "kind": entry.kind,
            "key": entry.key,
            "until": float(entry.until),
            "before": float(entry.before),
        }
        for place, entry in enumerate(entries, 1)
    ]
    connection.execute(insert(revocations), rows)


def read(connection: Connection, database: Database, after: int, limit: int) -> list[Entry]:
    """Return those behind `after` that resource servers need still, in their order."""
    after = max(-1, min(after, _MOST))
    needed = _c.until > database.now - MAX_LEEWAY
    rows = select(revocations).where(_c.seq > after, needed).order_by(_c.seq).limit(limit)
    return [entry_of(row) for row in connection.execute(rows, database.times())]


def find(connection: Connection, keys: Sequence[bytes]) -> list[Entry]:
    """Return those with one of these keys, in their order."""
    return [entry_of(row) for row in connection.execute(select(revocations).where(_c.key.in_(keys)).order_by(_c.seq))]
