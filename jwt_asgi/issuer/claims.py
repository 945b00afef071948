"""(who, for whom, what, now) -> the claims of an access token (RFC 9068), checked and within a budget.

What is written here a verifier takes: every value has the type and the characters that it asks for, and the token is
small enough for every proxy on its way. What is wrong is found when the token is made, not when it is used.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from secrets import token_urlsafe
from types import MappingProxyType
from typing import Any, Final

from jwt_asgi._core.policy import seconds
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.claim_values import ClaimsError, check_text, clean, clean_names, clean_scopes
from jwt_asgi.issuer.grants import GrantError
from jwt_asgi.issuer.rotation import Proof
from jwt_asgi.issuer.signing import SigningKey
from jwt_asgi.issuer.types import Session

__all__ = ["LISTS", "RESERVED", "AccessTokens", "ClaimsError", "ClaimsMapper", "Issued", "TokenContext", "clean_claims"]

MAX_TOKEN_BYTES: Final = 4096
"""Half of what the strictest of the usual proxies take for all headers together."""
_LATEST: Final = 253_402_300_799
"""9999-12-31T23:59:59Z."""

LISTS = frozenset({"roles", "permissions", "groups", "entitlements"})
"""RFC 9068 section 2.2.3.1: arrays of names."""
_NEEDED = frozenset({"iss", "exp", "aud", "sub", "client_id", "iat", "jti", "scope", "sid", "gen", "cnf"})
"""RFC 9068 section 2.2, and what revocation and binding need: in every token, whatever its audience may see."""
_OF_LOGIN = frozenset({"auth_time", "acr", "amr", "tenant"})
RESERVED = _NEEDED | _OF_LOGIN | {"nbf", "typ", "type", "token_use", "nonce", "at_hash", "c_hash", "s_hash"}
"""Claims that neither the application nor the mapper can set: they are the service's, or marks of other tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenContext:
    """What a token is made for.

    Attributes:
        subject: `sub`.
        client_id: The client.
        audience: Whom it is for, one or more.
        scopes: What it allows.
        tenant: `tenant`, or None.
        auth_time: When the user authenticated, in seconds since the epoch; None: no user did. So with these two:
        acr: How.
        amr: By which methods.
        sid: The session, or None.
        generation: Of the session's refresh token, or None.
        proof: What the token is bound to, or None.
        claims: What the application adds, as `roles`.
    """

    subject: str
    client_id: str
    audience: tuple[str, ...]
    scopes: tuple[str, ...] = ()
    tenant: str | None = None
    auth_time: float | None = None
    acr: str | None = None
    amr: tuple[str, ...] = ()
    sid: str | None = None
    generation: int | None = None
    proof: Proof = None
    claims: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_session(cls, session: Session, scopes: tuple[str, ...] | None = None) -> TokenContext:
        """Return that of a session's next token; `scopes`: fewer than were granted."""
        return cls(
            subject=session.subject,
            client_id=session.family.client_id,
            audience=session.audience,
            scopes=session.scopes if scopes is None else scopes,
            tenant=session.tenant,
            auth_time=session.auth_time,
            acr=session.acr,
            amr=session.amr,
            sid=session.sid,
            generation=session.family.generation,
            proof=session.family.proof,
            claims=session.claims,
        )


ClaimsMapper = Callable[[TokenContext], Awaitable[Mapping[str, Any]]]
"""Returns claims to add, each time that a token is made, as the roles of today. They go before what the session has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """An access token, and what the answer and the audit log say of it."""

    token: str = field(repr=False)
    token_id: str
    issued_at: int
    expires_at: int
    scopes: tuple[str, ...]

    @property
    def expires_in(self) -> int:
        """In seconds, for the answer (RFC 6749 section 5.1)."""
        return self.expires_at - self.issued_at


class AccessTokens:
    """Makes access tokens.

    Args:
        issuer: `iss`.
        lifetime: Seconds, whole ones.
        audiences: Which claims tokens for an audience may have, beside those that every token needs: of `auth_time`,
            `acr`, `amr`, `tenant`, and what the application adds. Others are left out. An audience that is not named
            gets all; a token for several gets what all of them may have.
        mapper: Asked for claims each time. When it fails, no token is made; a `GrantError` of it is what the client
            is told.
        max_bytes: The largest token.
        token_id: Makes `jti`.

    Raises:
        ConfigurationError: an option is of the wrong type or out of its bounds.
    """

    __slots__ = ("_audiences", "_encode", "_mapper", "_max_bytes", "_token_id", "issuer", "lifetime")

    def __init__(
        self,
        *,
        issuer: str,
        lifetime: float = 900,
        audiences: Mapping[str, Collection[str]] | None = None,
        mapper: ClaimsMapper | None = None,
        max_bytes: int = MAX_TOKEN_BYTES,
        token_id: Callable[[], str] = lambda: token_urlsafe(16),
    ) -> None:
        """Check every option."""
        try:
            self.issuer = check_text("issuer", issuer)
        except ClaimsError as error:
            raise ConfigurationError("issuer", error.detail) from None
        if seconds("lifetime", lifetime, least=1.0) % 1:
            raise ConfigurationError("lifetime", f"expected whole seconds; got {lifetime!r}")
        if mapper is not None and not callable(mapper):
            raise ConfigurationError("mapper", f"expected an async function of a TokenContext; got {mapper!r}")
        if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < 1:
            raise ConfigurationError("max_bytes", f"expected a number of bytes; got {max_bytes!r}")
        self.lifetime = int(lifetime)
        self._audiences = MappingProxyType({name: _names(name, claims) for name, claims in (audiences or {}).items()})
        self._mapper = mapper
        self._max_bytes = max_bytes
        self._token_id = token_id
        self._encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

    @property
    def asks(self) -> bool:
        """Whether there is a mapper, which may fail, and may take its time."""
        return self._mapper is not None

    async def added(self, context: TokenContext) -> dict[str, Any]:
        """Return what the application adds: the session's claims, and what the mapper says now.

        It waits for others, so it is asked before anything is changed for a request.

        Raises:
            ClaimsError: a claim cannot be added, or the mapper failed.
            GrantError: the mapper raised it, as for a user who is locked out.
        """
        claims = clean_claims("session", context.claims)
        if self._mapper is None:
            return claims
        try:
            answer = await self._mapper(context)
        except GrantError:
            raise
        except Exception as error:
            raise ClaimsError("mapper", f"it failed: {type(error).__name__}") from error
        return claims | clean_claims("mapper", answer)

    def make(self, context: TokenContext, key: SigningKey, now: float, added: Mapping[str, Any]) -> Issued:
        """Make a token; `added` is what `added()` returned.

        Raises:
            ClaimsError: a value cannot be in a token, or the token is too large.
        """
        token_id, issued_at = self._token_id(), int(now)
        claims = self._claims(context, added)
        claims["jti"] = check_text("jti", token_id)
        claims["iat"], claims["exp"] = issued_at, issued_at + self.lifetime
        payload = self._encode(claims).encode("utf-8")
        if (size := key.length_of(payload)) > self._max_bytes:
            raise ClaimsError("token", self._too_large(claims, size))
        return Issued(
            token=key.sign(payload),
            token_id=token_id,
            issued_at=issued_at,
            expires_at=issued_at + self.lifetime,
            scopes=context.scopes,
        )

    async def issue(self, context: TokenContext, key: SigningKey, now: float) -> Issued:
        """Ask what is added, and make the token.

        Raises:
            ClaimsError: as `added` and `make`.
            GrantError: as `added`.
        """
        return self.make(context, key, now, await self.added(context))

    def _claims(self, context: TokenContext, added: Mapping[str, Any]) -> dict[str, Any]:
        audience = clean_names("aud", context.audience)
        if not audience:
            raise ClaimsError("aud", "expected whom the token is for")
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": audience[0] if len(audience) == 1 else audience,
            "sub": check_text("sub", context.subject),
            "client_id": check_text("client_id", context.client_id),
        }
        if scopes := clean_scopes(context.scopes):
            claims["scope"] = scopes
        if context.sid is not None:
            claims["sid"] = check_text("sid", context.sid)
        if context.generation is not None:
            claims["gen"] = _whole("gen", context.generation)
        if context.proof is not None:
            # RFC 7800 section 3, RFC 9449 section 6.1, RFC 8705 section 3.1
            method, thumbprint = context.proof
            claims["cnf"] = {check_text("cnf", method): check_text("cnf", thumbprint)}
        allowed = [self._audiences[name] for name in audience if name in self._audiences]
        optional = {**_of_login(context), **added}
        for names in allowed:
            optional = {name: value for name, value in optional.items() if name in names}
        claims.update(optional)
        return claims

    def _too_large(self, claims: Mapping[str, Any], size: int) -> str:
        sizes = {name: len(self._encode({name: value}).encode("utf-8")) - 2 for name, value in claims.items()}
        largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
        named = ", ".join(f"{name} ({sizes[name]})" for name in largest)
        return f"it would have {size} bytes, and {self._max_bytes} are the most; the largest claims are {named}"


def _of_login(context: TokenContext) -> dict[str, Any]:
    claims: dict[str, Any] = {}
    if context.auth_time is not None:
        claims["auth_time"] = _whole("auth_time", context.auth_time)
    if context.acr is not None:
        claims["acr"] = check_text("acr", context.acr)
    if context.amr:
        claims["amr"] = clean_names("amr", context.amr)
    if context.tenant is not None:
        claims["tenant"] = check_text("tenant", context.tenant)
    return claims


def clean_claims(source: str, claims: object) -> dict[str, Any]:
    """Return claims that may be added, as JSON knows them.

    Raises:
        ClaimsError: one of them may not, or cannot be in a token.
    """
    if not isinstance(claims, Mapping):
        raise ClaimsError(source, f"expected a mapping of claims; got {type(claims).__name__}")
    added: dict[str, Any] = {}
    for name, value in claims.items():
        if name in RESERVED:
            raise ClaimsError(name, f"the {source} cannot set this claim")
        added[check_text(source, name)] = clean_names(name, value) if name in LISTS else clean(name, value)
    return added


def _whole(name: str, value: float) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _LATEST:
        raise ClaimsError(name, "expected a number that is not negative")
    return int(value)


def _names(audience: str, claims: Collection[str]) -> frozenset[str]:
    if (
        isinstance(claims, str)
        or not isinstance(claims, Collection)
        or not all(isinstance(name, str) for name in claims)
    ):
        raise ConfigurationError("audiences", f"expected the names of claims for {audience!r}; got {claims!r}")
    return frozenset(claims)
