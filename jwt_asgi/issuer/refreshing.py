"""A refresh token -> the next tokens of its session, by the table in `rotation.py`.

The transaction comes first, then the signature: a failure in between is no more than a lost answer, for which the
client asks again with the token that it has.
"""

from __future__ import annotations

from dataclasses import replace

from jwt_asgi.issuer.claims import TokenContext
from jwt_asgi.issuer.grants import Fault, GrantError, RefreshRequest, narrowed
from jwt_asgi.issuer.issuing import Parts, Tokens, narrowed_audience, tokens_of
from jwt_asgi.issuer.refresh_token import Presented
from jwt_asgi.issuer.rotation import Proof, Step
from jwt_asgi.issuer.types import Record, Session

__all__ = ["SessionEndedError", "confirm", "refresh"]

_LEADS_ON = {Step.ROTATE: "refresh.rotated", Step.CATCH_UP: "refresh.behind", Step.RETRY: "refresh.retry"}
_REFUSED = {Step.MISMATCH: "refresh.mismatch", Step.ENDED: "refresh.refused", Step.AHEAD: "refresh.ahead"}
_CONCURRENT = 10.0
"""Seconds after a rotation in which the token before is more likely to come from a second tab than from a retry."""


class SessionEndedError(GrantError):
    """The session is over, whoever asks: a browser's cookie can be cleared. Else another tab may go on with it."""


async def refresh(parts: Parts, asked: RefreshRequest, *, client_id: str, proof: Proof = None) -> Tokens:
    """Return the next tokens of a session, or the same refresh token again where its answer was lost.

    Raises:
        GrantError: `invalid_grant` (a SessionEndedError where the session is over), `invalid_scope`, `invalid_target`;
            or what the mapper raised.
        ClaimsError: the mapper has failed, or the claims cannot be in a token.
        StoreUnavailable: the store cannot be asked; nothing has changed, or the token can be shown again.
    """
    shown = parts.refresh_tokens.read(asked.refresh_token)
    if shown is None:
        raise GrantError(Fault.INVALID_GRANT, detail="no refresh token of this service")
    if asked.scopes is not None or asked.resources:
        await _check_first(parts, shown, asked, client_id)
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
    context = _context(session, asked)
    added = await parts.access_tokens.added(context)
    issued = parts.access_tokens.make(context, await parts.keys.signer(now), now, added)
    await parts.note(Record(event=_LEADS_ON[step], at=now, members=_members(step, session, issued.token_id, now)))
    return tokens_of(parts, session, issued)


async def confirm(parts: Parts, refresh_token: str) -> bool:
    """Take note that a client holds this refresh token; return whether that was news.

    From a moment later the token before it is good for nothing: whoever shows it ends the session.

    Raises:
        GrantError: `invalid_grant`: it is no refresh token of this service.
        StoreUnavailable: the store cannot be asked.
    """
    shown = parts.refresh_tokens.read(refresh_token)
    if shown is None:
        raise GrantError(Fault.INVALID_GRANT, detail="no refresh token of this service")
    return await parts.store.confirm(shown.family, shown.generation)


async def _check_first(parts: Parts, shown: Presented, asked: RefreshRequest, client_id: str) -> None:
    """Refuse what cannot be granted before anything changes."""
    session = await parts.store.session(shown.family)
    # What is told about the scopes of a session is for its client alone
    if session is not None and session.family.client_id == client_id:
        _context(session, asked)


def _context(session: Session, asked: RefreshRequest) -> TokenContext:
    context = TokenContext.of_session(session, narrowed(asked.scopes, session.scopes))
    if not asked.resources:
        return context
    return replace(context, audience=narrowed_audience(asked.resources, session.audience))


def _members(step: Step, session: Session, token_id: str, now: float) -> dict[str, str | int | float | bool | None]:
    family = session.family
    members: dict[str, str | int | float | bool | None] = {
        "sub": session.subject,
        "client_id": family.client_id,
        "sid": session.sid,
        "gen": family.generation,
        "jti": token_id,
    }
    if step is Step.RETRY:
        members["cause"] = "concurrent" if now - family.rotated_at <= _CONCURRENT else "lost_response"
    return members


async def _refusal(
    parts: Parts, step: Step | None, session: Session | None, shown: Presented, client_id: str, now: float
) -> GrantError:
    """Write down why, and return what the client is told: the same for all."""
    if session is None:
        return SessionEndedError(Fault.INVALID_GRANT, detail="the session is forgotten, or never was")
    if step in _REFUSED:
        about: dict[str, str | int] = {"sid": session.sid, "client_id": client_id, "gen": shown.generation}
        await parts.note(Record(event=_REFUSED[step], at=now, members={**about}))
    over = step in {Step.ENDED, Step.REPLAY}
    detail = f"{'none' if step is None else step.value}: session {session.sid}, generation {shown.generation}"
    return (SessionEndedError if over else GrantError)(Fault.INVALID_GRANT, detail=detail)
