"""Who, for whom, what -> tokens: a new session of a user, or a client in its own name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from secrets import token_bytes
from typing import Any

from jwt_asgi._core.revocation import Entry, EntryKind, key_of
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer import audit_events
from jwt_asgi.issuer.audit_log import AuditLog
from jwt_asgi.issuer.claim_values import clean_names
from jwt_asgi.issuer.claims import AccessTokens, ClaimsError, Issued, TokenContext, clean_claims
from jwt_asgi.issuer.clients import Client, FindClient
from jwt_asgi.issuer.grants import ClientCredentialsRequest, Fault, GrantError, narrowed
from jwt_asgi.issuer.rate_limits import RateLimits
from jwt_asgi.issuer.refresh_token import FAMILY_BYTES, RefreshTokens
from jwt_asgi.issuer.rotation import Family, Proof, RotationPolicy
from jwt_asgi.issuer.signing_keys import SigningKeys
from jwt_asgi.issuer.types import Session, Store

__all__ = ["Login", "Parts", "Tokens", "begin", "end_session", "for_client", "lasting", "live_session", "login_again"]
__all__ += ["narrowed_audience", "step_up", "tokens_of"]

_LATE = 60.0
"""Seconds that what was asked for may wait for its turn in the database, while tokens are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the steps of the service work with.

    Attributes:
        issuer: Whose tokens these are.
        store: Where sessions and revocations are.
        clients: Finds a client.
        refresh_tokens: Writes and reads them.
        access_tokens: Makes them.
        keys: Signs them.
        rotation: How long sessions live.
        longest_token: The longest life of an access token that may be in use, in seconds.
        audit: Writes down what is not written in the same transaction as that which it is about, and tells all of it.
        limits: How often the refresh tokens of a session may be shown.
    """

    issuer: str
    store: Store
    clients: FindClient
    refresh_tokens: RefreshTokens
    access_tokens: AccessTokens
    keys: SigningKeys
    rotation: RotationPolicy
    longest_token: float
    audit: AuditLog
    limits: RateLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What a client gets. Its repr shows no token.

    Attributes:
        access_token: A JWT (RFC 9068).
        refresh_token: None where the client has no use for one.
        expires_in: How many seconds the access token is good for.
        expires_at: When it expires, in seconds since the epoch.
        scopes: What it allows, which may be less than was granted.
        sid: The session, or None.
        session_until: When the session ends unless it is refreshed, in seconds since the epoch, or None.
        bound: The access token is bound to a key of the client's by DPoP (RFC 9449).
    """

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_in: int
    expires_at: int
    scopes: tuple[str, ...]
    sid: str | None = None
    session_until: float | None = None
    bound: bool = False

    def answer(self) -> dict[str, str | int]:
        """Return the answer of a token endpoint (RFC 6749 section 5.1)."""
        members: dict[str, str | int] = {
            "access_token": self.access_token,
            "token_type": "DPoP" if self.bound else "Bearer",
            "expires_in": self.expires_in,
        }
        if self.scopes:
            members["scope"] = " ".join(self.scopes)
        if self.refresh_token is not None:
            members["refresh_token"] = self.refresh_token
        return members


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A user who has authenticated, as the application says; see `TokenService.issue`."""

    subject: str
    client_id: str
    audience: tuple[str, ...]
    scopes: tuple[str, ...] = ()
    tenant: str | None = None
    acr: str | None = None
    amr: tuple[str, ...] = ()
    auth_time: float | None = None
    claims: Mapping[str, Any] = field(default_factory=dict)
    proof: Proof = None


async def begin(parts: Parts, login: Login, *, replaces: Session | None = None) -> Tokens:
    """Begin a session, and make its first tokens.

    The token is made before the session is kept, so that what cannot be in a token leaves nothing behind.

    Raises:
        ClaimsError: what the application gave cannot be in a token, or there is no such client.
        GrantError: the mapper raised it; or all that the user or the client has was revoked meanwhile.
        StoreUnavailable: the store cannot be asked; nothing has begun, or nobody has its tokens.
    """
    client = await parts.clients(login.client_id)
    if client is None:
        raise ClaimsError("client_id", "no client is registered under it")
    now = await parts.store.now()
    session = _session(parts, login, now)
    key = await parts.keys.signer(now)
    issued = await parts.access_tokens.issue(TokenContext.of_session(session), key, now)
    name, jti = client.client_id, issued.token_id
    if replaces is None:
        record = audit_events.issued(now, grant="login", client_id=name, jti=jti, kid=key.kid, session=session)
    else:
        record = audit_events.stepped_up(session, now, replaces=replaces, jti=jti)
    await parts.store.add_session(session, [record])
    parts.audit.tell(record)
    await _check_begun(parts, session)
    return tokens_of(parts, session, issued, refreshable="refresh_token" in client.grants)


async def step_up(parts: Parts, session: Session, login: Login) -> Tokens:
    """Begin a session in place of another, which ends (RFC 9470): a refresh never says more about the login.

    Raises:
        ClaimsError, GrantError, StoreUnavailable: as `begin`. In doubt both live, and nobody has the new one's tokens.
    """
    tokens = await begin(parts, login, replaces=session)
    await end_session(parts, session, reason="step_up")
    return tokens


async def live_session(parts: Parts, id: bytes | None) -> Session | None:  # noqa: A002 - what it is
    """Return a session that may be used; None: there is none, or it has ended."""
    session = None if id is None else await parts.store.session(id)
    return session if session is not None and session.family.is_live(await parts.store.now()) else None


async def end_session(parts: Parts, session: Session, *, reason: str) -> None:
    """End a session, and its access tokens with it."""
    now = await parts.store.now()
    record = audit_events.revoked("session", now, reason=reason, session=session)
    await parts.store.end(
        id=session.id,
        reason=reason,
        entries=[Entry(seq=0, kind="s", key=key_of(parts.issuer, "s", session.sid), until=lasting(parts, now))],
        records=[record],
    )
    parts.audit.tell(record)


async def for_client(parts: Parts, client: Client, asked: ClientCredentialsRequest) -> Tokens:
    """Make an access token for a client in its own name (RFC 6749 section 4.4); it gets no refresh token.

    Raises:
        GrantError: `unauthorized_client`, `invalid_scope`, `invalid_target`.
        ClaimsError: the mapper has failed.
        StoreUnavailable: the store cannot be asked.
    """
    if "client_credentials" not in client.grants:
        raise GrantError(Fault.UNAUTHORIZED_CLIENT)
    context = TokenContext(
        # RFC 9068 section 2.2: `sub` is the client where no user takes part
        subject=client.client_id,
        client_id=client.client_id,
        audience=narrowed_audience(asked.resources, client.audience) if asked.resources else (*client.audience[:1],),
        scopes=narrowed(asked.scopes, [*client.scopes]),
    )
    now = await parts.store.now()
    key = await parts.keys.signer(now)
    issued = await parts.access_tokens.issue(context, key, now)
    name, jti = client.client_id, issued.token_id
    record = audit_events.issued(now, grant="client_credentials", client_id=name, sub=name, jti=jti, kid=key.kid)
    await parts.audit.add(record)
    return Tokens(
        access_token=issued.token,
        refresh_token=None,
        expires_in=issued.expires_in,
        expires_at=issued.expires_at,
        scopes=issued.scopes,
    )


def tokens_of(parts: Parts, session: Session, issued: Issued, *, refreshable: bool = True) -> Tokens:
    """Return the newest refresh token of a session, with an access token that was made for it.

    Raises:
        ConfigurationError: the master key that it is written with is not here.
    """
    family = session.family
    try:
        refresh_token = parts.refresh_tokens.write(session.id, family.generation, session.key_version)
    except KeyError:
        # A process that has a newer one has refreshed the session
        detail = f"version {session.key_version} is not here, and a refresh token was written with it"
        raise ConfigurationError("master_keys", detail) from None
    return Tokens(
        access_token=issued.token,
        refresh_token=refresh_token if refreshable else None,
        expires_in=issued.expires_in,
        expires_at=issued.expires_at,
        scopes=issued.scopes,
        sid=session.sid,
        session_until=min(family.idle_until, family.absolute_until),
        bound=family.proof is not None and family.proof[0] == "jkt",
    )


def narrowed_audience(asked: Sequence[str], granted: Collection[str]) -> tuple[str, ...]:
    """Return whom an access token is for: those that are asked for (RFC 8707 section 2.2).

    Raises:
        GrantError: `invalid_target`: one of them was not granted.
    """
    if not {*asked} <= {*granted}:
        raise GrantError(Fault.INVALID_TARGET)
    return tuple(asked)


def lasting(parts: Parts, now: float) -> float:
    """Return when the last access token has expired that is made before what is written now is in the database."""
    return now + parts.longest_token + _LATE


async def _check_begun(parts: Parts, session: Session) -> None:
    """End a session that began while all that its user or its client has was revoked: that did not see it.

    Who has a user's old password may log in while the user changes it.
    """
    named: list[tuple[EntryKind, str]] = [("u", session.subject), ("c", session.family.client_id)]
    found = await parts.store.find_entries([key_of(parts.issuer, kind, value) for kind, value in named])
    if any(entry.before >= session.created_at for entry in found):
        await end_session(parts, session, reason="revoked_meanwhile")
        raise GrantError(Fault.INVALID_GRANT, detail=f"session {session.sid} began while its user's were revoked")


def _session(parts: Parts, login: Login, now: float) -> Session:
    rotation = parts.rotation
    family = Family(
        client_id=login.client_id,
        proof=login.proof,
        generation=0,
        rotated_at=now,
        idle_until=now + rotation.idle,
        absolute_until=now + rotation.absolute,
    )
    return Session(
        id=token_bytes(FAMILY_BYTES),
        key_version=parts.refresh_tokens.current,
        subject=login.subject,
        tenant=login.tenant,
        scopes=tuple(sorted(clean_names("scope", login.scopes))),
        audience=login.audience,
        auth_time=now if login.auth_time is None else login.auth_time,
        acr=login.acr,
        amr=login.amr,
        # As the tokens have them: a set of roles is no JSON
        claims=clean_claims("claims", login.claims),
        created_at=now,
        family=family,
    )


def login_again(session: Session, *, acr: str | None, amr: tuple[str, ...], auth_time: float | None) -> Login:
    """Return what a session was begun with, with another authentication."""
    return Login(
        subject=session.subject,
        client_id=session.family.client_id,
        audience=session.audience,
        scopes=session.scopes,
        tenant=session.tenant,
        acr=acr,
        amr=amr,
        auth_time=auth_time,
        claims=session.claims,
        proof=session.family.proof,
    )
