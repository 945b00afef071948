"""What the token service writes down: names of events that do not change, and members of which none is a secret.

A record that says what became of something is written in the transaction that it became so, where the store has one:
it takes records with `add_session`, `end` and `change_keys`. What changes nothing in the store goes to `AuditLog`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from math import isfinite
from typing import Final, Literal

from jwt_asgi.issuer.rotation import Step
from jwt_asgi.issuer.types import Record, Session

__all__ = [
    "MEMBERS",
    "AuditEvent",
    "Revoked",
    "cleaned",
    "client_rejected",
    "issued",
    "record",
    "refreshed",
    "revoked",
    "stepped_up",
]

Value = str | int | float | bool | None
Revoked = Literal["session", "subject", "client", "token", "key"]

LONGEST: Final = 200
"""Characters of a text; what is longer is cut."""
TOGETHER_SECONDS: Final = 10.0
"""Two requests with one refresh token that are so close are two tabs; later ones are taken for a lost answer."""
REMOVED: Final = "[removed: it may be a secret]"


class AuditEvent(Enum):
    """What may happen, by the name that it is written with. Names do not change between releases."""

    TOKEN_ISSUED = "token.issued"  # noqa: S105 - a name
    STEPUP = "token.stepped_up"
    """The user of a session has authenticated anew: a session begins that `replaces` it."""
    REFRESH_ROTATED = "refresh.rotated"
    REFRESH_RETRY = "refresh.retry"
    """The token before the newest was taken for the newest: `cause` is `concurrent` or `lost_response`."""
    REFRESH_REPLAY = "refresh.replay"
    """An old token was shown, and the session is over. The store writes it, with the session's end."""
    REFRESH_MISMATCH = "refresh.mismatch"
    """A token was shown by another client, or without the proof that it is bound to."""
    REFRESH_REFUSED = "refresh.refused"
    REFRESH_BEHIND = "refresh.behind"
    """An alarm: the database was put back to an older state, and the session goes on."""
    REFRESH_AHEAD = "refresh.ahead"
    """An alarm: a token that this database never knew, with a good MAC: it is another database, or a master key has
    leaked."""
    REVOKE_SESSION = "revoke.session"
    REVOKE_SUBJECT = "revoke.subject"
    REVOKE_CLIENT = "revoke.client"
    REVOKE_TOKEN = "revoke.token"  # noqa: S105 - a name
    REVOKE_KEY = "revoke.key"
    KEY_ROTATE = "key.rotate"
    """Somebody asks for a handover ahead of time."""
    KEY_STAGED = "key.staged"
    KEY_ACTIVATED = "key.activated"
    KEY_RETIRED = "key.retired"
    KEY_GONE = "key.gone"
    KEY_REVOKED = "key.revoked"
    CLIENT_REJECTED = "client.rejected"
    AUDIT_DROPPED = "audit.dropped"
    """So many records could not be written: the database was too slow, or away, for too long."""


MEMBERS: Final = frozenset(
    {
        *("sub", "tenant", "client_id", "sid", "jti", "kid", "alg", "acr", "ip"),
        *("reason", "cause", "grant", "by", "replaces"),
        *("gen", "presented", "newest", "count", "before", "sign_from", "sign_until"),
    }
)
"""Every member that a record may have."""

_SECRETS: Final = re.compile(
    r"""
      eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*       # a JWT, as `{"` begins in base64url
    | jrt_                                    # a refresh token of ours
    | -----BEGIN                              # a private key in PEM
    | (?i:\b(?:bearer|basic|dpop)\s+[a-z0-9._~+/-]{16}) # what a header has
    | ://[^/\s@]*:[^/\s@]*@                   # a password in a URL
    | \b[0-9]{1,3}:[A-Za-z0-9_+/-]{43}        # a master key
    """,
    re.VERBOSE,
)
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_STEPS: Final[Mapping[Step, AuditEvent]] = {
    Step.MISMATCH: AuditEvent.REFRESH_MISMATCH,
    Step.ENDED: AuditEvent.REFRESH_REFUSED,
    Step.ROTATE: AuditEvent.REFRESH_ROTATED,
    Step.RETRY: AuditEvent.REFRESH_RETRY,
    Step.CATCH_UP: AuditEvent.REFRESH_BEHIND,
    Step.REPLAY: AuditEvent.REFRESH_REPLAY,
    Step.AHEAD: AuditEvent.REFRESH_AHEAD,
}


def record(event: AuditEvent, at: float, **members: Value) -> Record:
    """Make a record; members that are None are left out, and texts are cut and made harmless.

    Raises:
        TypeError: a member has another name than those of `MEMBERS`, or is no text, number or truth value.
    """
    if unknown := sorted(members.keys() - MEMBERS):
        raise TypeError(f"a record of the audit log has no member {', '.join(unknown)}")
    kept = {name: _clean(name, value) for name, value in members.items() if value is not None}
    return Record(event=event.value, at=at, members=kept)


def cleaned(made: Record) -> Record:
    """Return a record that was made elsewhere as `record` makes them: members that are not in the list are left out."""
    members = {name: value for name, value in made.members.items() if name in MEMBERS and value is not None}
    return replace(made, members={name: _clean(name, value) for name, value in members.items()})


def issued(
    at: float,
    *,
    grant: str,
    client_id: str,
    jti: str,
    kid: str,
    session: Session | None = None,
    sub: str | None = None,
    ip: str | None = None,
) -> Record:
    """Return the record of an access token that was issued, by which grant, in which session if there is one.

    For the first one of a session it is for the transaction of `add_session`.
    """
    of = {"sub": sub, "client_id": client_id} if session is None else _of(session)
    gen = None if session is None else session.family.generation
    return record(AuditEvent.TOKEN_ISSUED, at, **of, grant=grant, jti=jti, kid=kid, gen=gen, ip=ip)


def refreshed(
    step: Step | None,
    session: Session | None,
    at: float,
    *,
    presented: int,
    client_id: str,
    jti: str | None = None,
    ip: str | None = None,
) -> Record:
    """Return the record of what became of a refresh token; of a replay, the store has written one itself.

    Args:
        step: What `Store.present` returned; None: there is no such session.
        session: The session as it is then.
        at: The time that it returned.
        presented: The generation of the token.
        client_id: Who has presented it: in a mismatch, not whose it is.
        jti: The access token that was made.
        ip: Where he is.
    """
    of = {"reason": "unknown"} if session is None else _of(session)
    more: dict[str, Value] = {"presented": presented, "newest": None if session is None else session.family.generation}
    if step is Step.RETRY and session is not None:
        together = at - session.family.rotated_at <= TOGETHER_SECONDS or session.family.confirmed_at is not None
        more["cause"] = "concurrent" if together else "lost_response"
    elif step is Step.MISMATCH and session is not None:
        more["reason"] = "client" if client_id != session.family.client_id else "proof"
    event = AuditEvent.REFRESH_REFUSED if step is None else _STEPS[step]
    return record(event, at, **{**of, **more, "client_id": client_id, "jti": jti, "ip": ip})


def revoked(
    kind: Revoked,
    at: float,
    *,
    reason: str,
    by: str | None = None,
    session: Session | None = None,
    sub: str | None = None,
    client_id: str | None = None,
    jti: str | None = None,
    kid: str | None = None,
    count: int | None = None,
    before: float | None = None,
    ip: str | None = None,
) -> Record:
    """Return the record of a revocation, for the transaction of `end` or `change_keys`.

    Args:
        kind: What is revoked.
        at: When.
        reason: Why, in a few words.
        by: Who has done it: `client`, `user`, an administrator, `cli`.
        session: Which; or by its members:
        sub: Whose tokens.
        client_id: Of which client.
        jti: Which access token.
        kid: Which key.
        count: How many sessions have ended, where that is known.
        before: Tokens issued then or earlier are covered.
        ip: Where he is.
    """
    of: dict[str, Value] = {"sub": sub, "client_id": client_id} if session is None else _of(session)
    more = {"jti": jti, "kid": kid, "count": count, "before": before, "reason": reason, "by": by, "ip": ip}
    return record(AuditEvent[f"REVOKE_{kind.upper()}"], at, **{**of, **more})


def client_rejected(at: float, *, client_id: str | None, reason: str, ip: str | None = None) -> Record:
    """Return the record of a client that could not prove who it is, or may not do what it asked for.

    Args:
        at: When.
        client_id: Which, if it is registered; else None: what was sent may be a secret in the wrong place.
        reason: Why, by a code as `invalid_client`.
        ip: Where it is.
    """
    return record(AuditEvent.CLIENT_REJECTED, at, client_id=client_id, reason=reason, ip=ip)


def stepped_up(session: Session, at: float, *, replaces: Session, jti: str, ip: str | None = None) -> Record:
    """Return the record of a session that takes another's place, for the transaction of `add_session`."""
    members = {**_of(session), "acr": session.acr, "replaces": replaces.sid, "jti": jti, "ip": ip}
    return record(AuditEvent.STEPUP, at, **members)


def _of(session: Session) -> dict[str, Value]:
    return {
        "sub": session.subject,
        "tenant": session.tenant,
        "client_id": session.family.client_id,
        "sid": session.sid,
    }


def _clean(name: str, value: Value) -> Value:
    """Return a value that any log can have: no control character, no half of a character, not too long, no secret."""
    if isinstance(value, (bool, int, float)):
        return value if isfinite(value) else str(value)
    if not isinstance(value, str):
        raise TypeError(f"expected a text, a number or a truth value as {name}; got {type(value).__name__}")
    seen = value[: 3 * LONGEST]
    if _SECRETS.search(seen):
        return REMOVED
    text = _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", seen)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"
