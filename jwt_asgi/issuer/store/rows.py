"""A session, a key, an entry <-> a row of its table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Row

from jwt_asgi.issuer.rotation import Family, FamilyStatus, Proof
from jwt_asgi.issuer.types import Entry, KeyState, Session, StoredKey

__all__ = ["entry_of", "family_columns", "is_text", "key_columns", "key_of", "session_columns", "session_of", "to_json"]


def is_text(*values: str | None) -> bool:
    """Whether a database can have these texts: PostgreSQL takes no NUL, and neither takes half a surrogate pair."""
    return all(value is None or ("\x00" not in value and _is_unicode(value)) for value in values)


def to_json(value: object) -> str:
    """Return the one text for a value.

    Raises:
        ValueError: it is none of JSON's, as a NaN or an object of Python.
    """
    try:
        return json.dumps(value, allow_nan=False, sort_keys=True, separators=(",", ":"))
    except (TypeError, RecursionError) as error:
        raise ValueError(f"expected values of JSON: {error}") from error


def session_columns(session: Session) -> dict[str, Any]:
    """Return what is stored of a session, but for its end."""
    return {
        "id": session.id,
        "key_version": session.key_version,
        "subject": session.subject,
        "tenant": session.tenant,
        "scopes": to_json(session.scopes),
        "audience": to_json(session.audience),
        "auth_time": float(session.auth_time),
        "acr": session.acr,
        "amr": to_json(session.amr),
        "claims": to_json(dict(session.claims)),
        "created_at": float(session.created_at),
        "client_id": session.family.client_id,
        "proof_kind": session.family.proof[0] if session.family.proof else None,
        "proof_value": session.family.proof[1] if session.family.proof else None,
        "absolute_until": float(session.family.absolute_until),
        **family_columns(session.family),
    }


def family_columns(family: Family) -> dict[str, Any]:
    """Return those columns of a family that its life changes."""
    return {
        "generation": family.generation,
        "rotated_at": float(family.rotated_at),
        "confirmed_at": None if family.confirmed_at is None else float(family.confirmed_at),
        "retries": family.retries,
        "idle_until": float(family.idle_until),
        "status": family.status.value,
    }


def session_of(row: Any) -> Session:  # noqa: ANN401 - of SQLAlchemy, or with its columns as attributes
    """Return the session of a row."""
    proof: Proof = None if row.proof_kind is None else (row.proof_kind, row.proof_value)
    family = Family(
        client_id=row.client_id,
        proof=proof,
        generation=row.generation,
        rotated_at=row.rotated_at,
        confirmed_at=row.confirmed_at,
        retries=row.retries,
        idle_until=row.idle_until,
        absolute_until=row.absolute_until,
        status=FamilyStatus(row.status),
    )
    return Session(
        id=row.id,
        key_version=row.key_version,
        subject=row.subject,
        tenant=row.tenant,
        scopes=_texts(row.scopes),
        audience=_texts(row.audience),
        auth_time=row.auth_time,
        acr=row.acr,
        amr=_texts(row.amr),
        claims=json.loads(row.claims),
        created_at=row.created_at,
        family=family,
    )


def key_columns(key: StoredKey) -> dict[str, Any]:
    """Return what is stored of a signing key."""
    return {
        "kid": key.kid,
        "alg": key.alg,
        "state": key.state.value,
        "sealed": key.sealed,
        "public": to_json(dict(key.public)),
        "created_at": float(key.created_at),
        "sign_from": key.sign_from,
        "sign_until": key.sign_until,
        "publish_until": key.publish_until,
    }


def key_of(row: Row[Any]) -> StoredKey:
    """Return the signing key of a row."""
    public: Mapping[str, Any] = json.loads(row.public)
    return StoredKey(
        kid=row.kid,
        alg=row.alg,
        state=KeyState(row.state),
        sealed=row.sealed,
        public=public,
        created_at=row.created_at,
        sign_from=row.sign_from,
        sign_until=row.sign_until,
        publish_until=row.publish_until,
    )


def entry_of(row: Row[Any]) -> Entry:
    """Return the entry of a row."""
    return Entry(seq=row.seq, kind=row.kind, key=row.key, until=row.until, before=row.before)


@lru_cache(1024)
def _texts(array: str) -> tuple[str, ...]:
    """Many sessions have the same."""
    return tuple(json.loads(array))


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
