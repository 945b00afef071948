"""A session, a user, a client, a token or a signing key -> its revocation, in the store and for resource servers."""

from __future__ import annotations

import asyncio
from math import floor

from jwt_asgi._core.revocation import Entry, EntryKind, key_of
from jwt_asgi.issuer.audit_events import Revoked, revoked
from jwt_asgi.issuer.clients import Client
from jwt_asgi.issuer.confirmations import session_id
from jwt_asgi.issuer.issuing import Parts, end_session, lasting, live_session
from jwt_asgi.issuer.own_tokens import read_access_token
from jwt_asgi.issuer.refresh_token import PREFIX

__all__ = ["revoke_all_of", "revoke_session", "revoke_token"]


async def revoke_session(parts: Parts, sid: str, *, reason: str) -> int:
    """End a session; return 1, or 0 where there is none that lives."""
    session = await live_session(parts, session_id(sid))
    if session is None:
        return 0
    await end_session(parts, session, reason=reason)
    return 1


async def revoke_all_of(parts: Parts, *, subject: str | None = None, client_id: str | None = None, reason: str) -> int:
    """End every session of a user or of a client, and refuse all access tokens that were issued until now.

    A token says in whole seconds when it was issued. So this waits until the next one begins: whoever logs in when it
    has returned has tokens that are good.
    """
    now = await parts.store.now()
    kind: EntryKind = "c" if subject is None else "u"
    value = client_id if subject is None else subject
    assert value is not None  # noqa: S101 - the caller gives one of them
    of: Revoked = "client" if subject is None else "subject"
    record = revoked(of, now, reason=reason, sub=subject, client_id=client_id, before=now)
    ended = await parts.store.end(
        subject=subject,
        client_id=client_id,
        reason=reason,
        entries=[_cut_off(parts, kind, value, now)],
        records=[record],
    )
    parts.audit.tell(record)
    done = await parts.store.now()
    if floor(done) > floor(now):
        # Tokens that were made while this waited for its turn say that they were issued later
        await parts.store.end(reason=reason, entries=[_cut_off(parts, kind, value, done)])
    await asyncio.sleep(floor(done) + 1 - done)
    return len(ended)


async def revoke_token(parts: Parts, token: str, *, client: Client | None = None, reason: str) -> bool:
    """Take one token back, if it is the client's: a refresh token with its session, an access token alone.

    Returns whether there was something to take back; RFC 7009 section 2.2 tells a client nothing of that.
    """
    if token.startswith(PREFIX):
        return await _revoke_refresh_token(parts, token, client, reason)
    now = await parts.store.now()
    read = read_access_token(token, parts.keys.public, issuer=parts.issuer, now=now)
    if read is None:
        return False
    claims, _ = read
    if client is not None and claims["client_id"] != client.client_id:
        return False
    about = {"jti": claims["jti"], "sub": claims["sub"], "client_id": claims["client_id"]}
    record = revoked("token", now, reason=reason, **about)
    key = key_of(parts.issuer, "j", claims["jti"])
    await parts.store.end(
        reason=reason,
        entries=[Entry(seq=0, kind="j", key=key, until=claims["exp"])],
        records=[record],
    )
    parts.audit.tell(record)
    return True


def _cut_off(parts: Parts, kind: EntryKind, value: str, before: float) -> Entry:
    key, until = key_of(parts.issuer, kind, value), lasting(parts, before)
    return Entry(seq=0, kind=kind, key=key, until=until, before=before)


async def _revoke_refresh_token(parts: Parts, token: str, client: Client | None, reason: str) -> bool:
    shown = parts.refresh_tokens.read(token)
    session = await live_session(parts, None if shown is None else shown.family)
    if session is None or (client is not None and session.family.client_id != client.client_id):
        return False
    await end_session(parts, session, reason=reason)
    return True
