"""Sessions in the database: what `rotation.py` says, done by statements that nothing comes between."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Double,
    Select,
    SmallInteger,
    String,
    Update,
    bindparam,
    case,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.dml import ReturningUpdate

from jwt_asgi.issuer import rotation
from jwt_asgi.issuer.rotation import FamilyStatus, Proof, RotationPolicy, Step
from jwt_asgi.issuer.store.database import Database
from jwt_asgi.issuer.store.prepared import Prepared
from jwt_asgi.issuer.store.rows import family_columns, is_text, session_columns, session_of
from jwt_asgi.issuer.store.schema import sessions
from jwt_asgi.issuer.types import Session

__all__ = ["KEEP", "Presentation", "Statements", "add", "end", "judge", "rotated"]

KEEP = 7 * 86_400.0
"""How many seconds a session is kept after its end, so that a late replay is still known for one."""
REPLAY = "replay"
"""What a replayed session ended for."""

_AT_ONCE = 1000
"""How many parameters a statement has at most; SQLite takes 32,766."""
_c = sessions.c
_LOCKED = select(sessions).where(_c.id == bindparam("of")).with_for_update()
_FAMILY = ("generation", "rotated_at", "confirmed_at", "retries", "idle_until", "status", "key_version")
_CHANGE = (
    update(sessions)
    .where(_c.id == bindparam("of"))
    .values({name: bindparam(f"new_{name}", type_=_c[name].type) for name in _FAMILY})
)
_REPLAYED = (
    update(sessions)
    .where(_c.id == bindparam("of"))
    .values(ended_at=bindparam("at"), ended_for=REPLAY, collect_at=bindparam("later"))
)


_Rotated: Any = namedtuple("_Rotated", [*_c.keys(), "now"])  # type: ignore[misc]  # noqa: PYI024 - as in the schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """A refresh token that was presented, as the store is asked about it."""

    id: bytes
    generation: int
    client_id: str
    proof: Proof
    policy: RotationPolicy
    key_version: int

    def parameters(self) -> dict[str, Any] | None:
        """Return those of the statement `rotate`; None: no session can have such a client, or be bound to that."""
        kind, value = self.proof or (None, None)
        if not is_text(self.client_id, kind, value):
            return None
        return {
            "of": self.id,
            "presented": self.generation,
            "client": self.client_id,
            "kind": kind,
            "value": value,
            "idle": float(self.policy.idle),
            "version": self.key_version,
        }


class Statements:
    """The statements about sessions that are made once, for the clock of one database."""

    def __init__(self, database: Database) -> None:
        """Write them."""
        now = database.now
        live = (_c.status == FamilyStatus.LIVE.value) & (now < _c.idle_until) & (now < _c.absolute_until)
        self.live = live
        self.now = now
        self.rotate = Prepared(self._rotate(), database.dialect)
        self.confirm: Update = (
            update(sessions)
            .where(
                _c.id == bindparam("of"),
                _c.generation == bindparam("presented", type_=BigInteger),
                _c.confirmed_at.is_(None),
            )
            .values(confirmed_at=now)
        )
        self.of_subject: Select[Any] = (
            select(sessions).where(_c.subject == bindparam("subject"), live).order_by(_c.created_at, _c.id)
        )

    def _rotate(self) -> ReturningUpdate[Any]:
        """The row ROTATE of the table, whole: of a thousand who come with one generation it finds a row for one.

        `rotated` reads what it returns.
        """
        idle_until = self.now + bindparam("idle", type_=Double)
        return (
            update(sessions)
            .where(
                _c.id == bindparam("of"),
                _c.generation == bindparam("presented", type_=BigInteger),
                _c.client_id == bindparam("client", type_=String),
                _c.proof_kind.is_not_distinct_from(bindparam("kind", type_=String)),
                _c.proof_value.is_not_distinct_from(bindparam("value", type_=String)),
                self.live,
            )
            .values(
                generation=_c.generation + 1,
                rotated_at=self.now,
                confirmed_at=None,
                retries=0,
                idle_until=case((idle_until < _c.absolute_until, idle_until), else_=_c.absolute_until),
                key_version=bindparam("version", type_=SmallInteger),
            )
            .returning(sessions, self.now.label("now"))
        )


def add(connection: Connection, session: Session) -> None:
    """Keep a new session.

    Raises:
        ValueError: there is one with this `id`.
    """
    family = session.family
    collect_at = min(family.idle_until, family.absolute_until) + KEEP
    try:
        connection.execute(insert(sessions), {**session_columns(session), "collect_at": float(collect_at)})
    except IntegrityError as error:
        raise ValueError("there is a session with this id: expected 16 bytes of good chance") from error


def rotated(row: Sequence[Any]) -> tuple[Session, float]:
    """Return the session, and the time, of what the statement `rotate` has returned."""
    of: Any = _Rotated._make(row)
    return session_of(of), of.now


def judge(connection: Connection, database: Database, asked: Presentation) -> tuple[Step | None, Session | None, float]:
    """Do what the table says, while nobody else can change the session."""
    row = connection.execute(_LOCKED, {"of": asked.id}).first()
    now = database.time(connection)
    if row is None:
        return None, None, now
    session = session_of(row)
    client_id, proof, policy = asked.client_id, asked.proof, asked.policy
    changed = rotation.present(
        session.family, asked.generation, client_id=client_id, proof=proof, policy=policy, now=now
    )
    if changed.family is session.family:
        return changed.step, session, now
    if changed.step is Step.REPLAY:
        connection.execute(_REPLAYED, {"of": asked.id, "at": now, "later": now + KEEP})
    goes_on = changed.step in {Step.ROTATE, Step.CATCH_UP}
    changed_to = replace(
        session, family=changed.family, key_version=asked.key_version if goes_on else session.key_version
    )
    values = {f"new_{name}": value for name, value in family_columns(changed.family).items()}
    connection.execute(_CHANGE, {"of": asked.id, "new_key_version": changed_to.key_version, **values})
    return changed.step, changed_to, now


def end(
    connection: Connection, database: Database, live: ColumnElement[bool], reason: str, **wanted: str | bytes
) -> list[Session]:
    """Revoke the live sessions whose columns have these values, and return them as they are then."""
    # In one order, so that two who end the same sessions do not wait for each other
    found = select(_c.id).where(live, *(_c[name] == value for name, value in wanted.items()))
    ids = connection.scalars(found.order_by(_c.id).with_for_update(), database.times()).all()
    now = database.time(connection)
    values = {"status": FamilyStatus.REVOKED.value, "ended_at": now, "ended_for": reason, "collect_at": now + KEEP}
    ended: list[Session] = []
    for start in range(0, len(ids), _AT_ONCE):
        change = update(sessions).where(_c.id.in_(ids[start : start + _AT_ONCE])).values(values)
        ended += [session_of(row) for row in connection.execute(change.returning(sessions))]
    return sorted(ended, key=lambda session: (session.created_at, session.id))
