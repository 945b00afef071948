"""A token -> what may be said of it to who asks (RFC 7662), or that it is not active, for whatever reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jwt_asgi.issuer.clients import Client
from jwt_asgi.issuer.issuing import Parts
from jwt_asgi.issuer.own_tokens import is_revoked, read_access_token, revocation_keys
from jwt_asgi.issuer.refresh_token import PREFIX

__all__ = ["INACTIVE", "introspect"]

INACTIVE: Final[Mapping[str, Any]] = {"active": False}
"""RFC 7662 section 2.2: nothing else is told, neither why nor to whom it belongs."""


async def introspect(parts: Parts, token: str, caller: Client) -> Mapping[str, Any]:
    """Say whether a token is good now, with what it says.

    An access token is shown to its client, and to the resource servers that it is for; a refresh token to its client.
    What was revoked a moment ago, by whatever process, is not active.

    Raises:
        StoreUnavailable: the store cannot be asked.
    """
    if token.startswith(PREFIX):
        return await _refresh_token(parts, token, caller)
    now = await parts.store.now()
    read = read_access_token(token, parts.keys.public, issuer=parts.issuer, now=now)
    if read is None:
        return INACTIVE
    claims, kid = read
    audience = [claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"]
    if claims["client_id"] != caller.client_id and not {*caller.resources} & {*audience}:
        return INACTIVE
    if is_revoked(claims, await parts.store.find_entries(revocation_keys(claims, kid))):
        return INACTIVE
    bound = isinstance(claims.get("cnf"), dict) and "jkt" in claims["cnf"]
    # What the application has put into the token says nothing of whether it is active
    return {**claims, "active": True, "token_type": "DPoP" if bound else "Bearer"}


async def _refresh_token(parts: Parts, token: str, caller: Client) -> Mapping[str, Any]:
    shown = parts.refresh_tokens.read(token)
    session = None if shown is None else await parts.store.session(shown.family)
    if shown is None or session is None or session.family.client_id != caller.client_id:
        return INACTIVE
    family, now = session.family, await parts.store.now()
    if not family.is_live(now) or shown.generation != family.generation:
        return INACTIVE
    return {
        "active": True,
        "iss": parts.issuer,
        "sub": session.subject,
        "client_id": family.client_id,
        "scope": " ".join(session.scopes),
        "aud": [*session.audience],
        "sid": session.sid,
        "iat": int(session.created_at),
        "exp": int(min(family.idle_until, family.absolute_until)),
    }
