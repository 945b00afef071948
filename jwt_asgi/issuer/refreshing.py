"""A refresh token -> the next tokens of its session, by the table in `rotation.py`.

What may fail comes first: the mapper, a scope that was not granted, a signing key that cannot be read. Then comes the
transaction, and then the signature. A failure in between is no more than a lost answer, for which the client asks again
with the token that it has; but it may do so only so often, and so nothing is left there that may go on failing.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from jwt_asgi.issuer.audit_events import refreshed
from jwt_asgi.issuer.claims import Issued, TokenContext
from jwt_asgi.issuer.grants import Fault, GrantError, RefreshRequest, narrowed
from jwt_asgi.issuer.issuing import Parts, Tokens, narrowed_audience, tokens_of
from jwt_asgi.issuer.rate_limits import RateLimit
from jwt_asgi.issuer.refresh_token import Presented
from jwt_asgi.issuer.rotation import Proof, Step, present
from jwt_asgi.issuer.types import Session, sid_of

__all__ = ["SessionEndedError", "confirm", "refresh"]

_LEADS_ON = {Step.ROTATE, Step.CATCH_UP, Step.RETRY}

logger = logging.getLogger("jwt_asgi")


class SessionEndedError(GrantError):
    """The session is over, whoever asks: a browser's cookie can be cleared. Else another tab may go on with it."""


async def refresh(parts: Parts, asked: RefreshRequest, *, client_id: str, proof: Proof = None) -> Tokens:
    """Return the next tokens of a session, or the same refresh token again where its answer was lost.

    Raises:
        GrantError: `invalid_grant` (a SessionEndedError where the session is over), `invalid_scope`, `invalid_target`;
            or what the mapper raised.
        ClaimsError: the mapper has failed, or the claims cannot be in a token.
        StoreUnavailable: the store cannot be asked; nothing has changed, or the token can be shown again.
        RateLimited: the tokens of this session were shown too often lately.
    """
    shown = parts.refresh_tokens.read(asked.refresh_token)
    if shown is None:
        raise GrantError(Fault.INVALID_GRANT, detail="no refresh token of this service")
    await parts.limits.hit(RateLimit.REFRESH, sid_of(shown.family))
    made = await _made_before(parts, shown, asked, client_id, proof)
    await parts.keys.ready()
    step, session, now = await parts.store.present(
        shown.family,
        shown.generation,
        client_id=client_id,
        proof=proof,
        policy=parts.rotation,
        key_version=parts.refresh_tokens.current,
    )
    if session is None or step not in _LEADS_ON:
        raise await _refusal(parts, step, session, shown, client_id, now)
    issued = made or await parts.access_tokens.issue(_context(session, asked), await parts.keys.signer(now), now)
    record = refreshed(step, session, now, presented=shown.generation, client_id=client_id, jti=issued.token_id)
    await parts.audit.add(record)
    return tokens_of(parts, session, issued)


async def confirm(parts: Parts, refresh_token: str, *, client_id: str | None = None, proof: Proof = None) -> bool:
    """Take note that a client holds this refresh token; return whether that was news.

    From a moment later the token before it is good for nothing: whoever shows it ends the session. So where `client_id`
    is given, the session must be that client's, and bound to what it has proved to hold.

    Raises:
        GrantError: `invalid_grant`: it is no refresh token of this service (a SessionEndedError where its session is
            forgotten), or another client's.
        StoreUnavailable: the store cannot be asked.
    """
    shown = parts.refresh_tokens.read(refresh_token)
    if shown is None:
        raise GrantError(Fault.INVALID_GRANT, detail="no refresh token of this service")
    if client_id is not None:
        session, now = await parts.store.session(shown.family), await parts.store.now()
        if session is None or (session.family.client_id, session.family.proof) != (client_id, proof):
            raise await _refusal(parts, Step.MISMATCH, session, shown, client_id, now)
    return await parts.store.confirm(shown.family, shown.generation)


async def _made_before(
    parts: Parts, shown: Presented, asked: RefreshRequest, client_id: str, proof: Proof
) -> Issued | None:
    """Return the access token, where making it may fail, or wait for others; None: it is made afterwards.

    Whatever the store will decide that leads on, it leads to the generation after the one that was shown.
    """
    if asked.scopes is None and not asked.resources and not parts.access_tokens.asks:
        return None
    session, now = await parts.store.session(shown.family), await parts.store.now()
    if session is None:
        return None
    family, generation = session.family, shown.generation
    step = present(family, generation, client_id=client_id, proof=proof, policy=parts.rotation, now=now).step
    if step not in _LEADS_ON:
        # The store does what is due then, and nothing is told of the session before
        return None
    context = replace(_context(session, asked), generation=generation + 1)
    return await parts.access_tokens.issue(context, await parts.keys.signer(now), now)


def _context(session: Session, asked: RefreshRequest) -> TokenContext:
    context = TokenContext.of_session(session, narrowed(asked.scopes, session.scopes))
    if not asked.resources:
        return context
    return replace(context, audience=narrowed_audience(asked.resources, session.audience))


async def _refusal(
    parts: Parts, step: Step | None, session: Session | None, shown: Presented, client_id: str, now: float
) -> GrantError:
    """Write down why, and return what the client is told: the same for all."""
    record = refreshed(step, session, now, presented=shown.generation, client_id=client_id)
    if step is Step.REPLAY:
        parts.audit.tell(record)
    else:
        await parts.audit.add(record)
    if session is None:
        return SessionEndedError(Fault.INVALID_GRANT, detail="the session is forgotten, or never was")
    if step is Step.REPLAY:
        logger.warning("session %s has ended: an old refresh token of it was shown", session.sid)
    elif step is Step.AHEAD:
        logger.error(
            "session %s: a refresh token was shown that was not made yet: another database, or a leaked master key",
            session.sid,
        )
    over = step in {Step.ENDED, Step.REPLAY}
    detail = f"{'none' if step is None else step.value}: session {session.sid}, generation {shown.generation}"
    return (SessionEndedError if over else GrantError)(Fault.INVALID_GRANT, detail=detail)
