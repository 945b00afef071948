"""Who is let in, apart from ASGI: what the door and the faces of the frameworks have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from time import perf_counter
from typing import Any, Unpack

from jwt_asgi._core.access_token import AccessToken
from jwt_asgi._core.bearer import NoToken, bearer_token
from jwt_asgi._core.challenge import Answer, answer_to, check_realm
from jwt_asgi._core.policy import flag
from jwt_asgi._core.resource import ProtectedResource
from jwt_asgi.errors import AccessError, ConfigurationError, JWTASGIError, Reason, TokenError
from jwt_asgi.instrumentation import Decision, Hook, LoggingHook, Outcome, tell
from jwt_asgi.issuers import IssuerOptions, TrustedIssuer
from jwt_asgi.types import ASGIScope
from jwt_asgi.verifier import Verifier

__all__ = ["Gate", "GateOptions", "Verdict", "list_of", "refuse"]


class GateOptions(IssuerOptions, total=False):
    """The options that the door and the faces have in common."""

    verifier: Verifier | None
    anonymous: bool
    realm: str | None
    resource: str | ProtectedResource | None
    hooks: Sequence[Hook] | None


class Gate:
    """Verifies the token of a connection, makes the answer where it is refused, and tells the hooks.

    Args:
        verifier: In place of the issuer's options.
        anonymous: Whether a connection without a token is let through.
        realm: For the challenge.
        resource: What the API says of itself (RFC 9728), or its URL alone; challenges name where that is.
        hooks: Told of every decision; by default refusals are logged.
        issuer: The options of `TrustedIssuer`.

    Raises:
        ConfigurationError: an option is missing or wrong.
    """

    __slots__ = ("_anonymous", "_hooks", "_realm", "resource", "verifier")

    def __init__(
        self,
        *,
        verifier: Verifier | None = None,
        anonymous: bool = False,
        realm: str | None = None,
        resource: str | ProtectedResource | None = None,
        hooks: Sequence[Hook] | None = None,
        **issuer: Unpack[IssuerOptions],
    ) -> None:
        """Check the options; nothing is fetched."""
        self.verifier = _verifier(verifier, issuer)
        self._anonymous = flag("anonymous", anonymous)
        self._realm = check_realm(realm)
        self.resource = _resource(resource)
        self._hooks = (LoggingHook(),) if hooks is None else tuple(list_of("hooks", hooks, Callable, "hooks"))

    async def token_of(self, scope: ASGIScope) -> AccessToken | None:
        """Return the verified token of a connection; None where there is none, and none is needed.

        Raises:
            TokenError: there is none, or it is not good here.
            KeysUnavailable: it cannot be judged just now.
            AccessError: what it allows cannot be told just now.
        """
        found = bearer_token(scope["headers"], scope.get("query_string", b""))
        if not isinstance(found, NoToken):
            return await self.verifier.verify(found)
        if self._anonymous:
            return None
        raise TokenError(found.value)

    def refuse(
        self,
        error: JWTASGIError,
        scope: ASGIScope,
        *,
        token: AccessToken | None,
        began: float,
        needs: Iterable[str] = (),
        quietly: bool = False,
    ) -> Answer:
        """Tell the hooks of a refusal, and return what the client gets.

        `needs`: the scopes that a token needs here. `quietly`: the hooks were told of another decision already.
        """
        if not quietly:
            seconds = perf_counter() - began
            tell(self._hooks, Decision.of_error(error, token=token, kind=scope["type"], seconds=seconds))
        resource = self.resource
        return answer_to(
            error,
            self._realm,
            resource_metadata=None if resource is None else resource.metadata_url,
            scopes=_wanted(error, needs, resource),
        )

    def grant(self, outcome: Outcome, scope: ASGIScope, *, token: AccessToken | None, seconds: float) -> None:
        """Tell the hooks that a connection was let in."""
        tell(self._hooks, Decision(outcome=outcome, token=token, kind=scope["type"], seconds=seconds))

    def metadata(self, scopes: Iterable[str] = ()) -> bytes:
        """Return the metadata of the resource as JSON, naming the scopes of the application's rules."""
        assert self.resource is not None  # noqa: S101 - for the type checker
        return self.resource.document(self.verifier.issuers, scopes)


class Verdict:
    """What the door has decided on one connection, and whether the hooks were told: `scope["jwt_asgi.door"]`.

    It is told when the application first answers. Until then a face of a framework that lets no exception reach the
    door may change it to a refusal.
    """

    __slots__ = ("_began", "_gate", "_outcome", "_seconds", "_token", "answer", "told")

    def __init__(self, gate: Gate, outcome: Outcome, token: AccessToken | None, began: float) -> None:
        """Keep what was decided, in the time since `began`."""
        self._gate, self._outcome, self._token, self._began = gate, outcome, token, began
        self._seconds = perf_counter() - began
        self.answer: Answer | None = None
        self.told = False

    def grant(self, scope: ASGIScope) -> None:
        """Tell the hooks that the connection was let in, unless they were told something already."""
        if not self.told:
            self.told = True
            self._gate.grant(self._outcome, scope, token=self._token, seconds=self._seconds)

    def refuse(self, error: JWTASGIError, scope: ASGIScope) -> Answer:
        """Tell the hooks of a refusal, unless they were told something already, and return what the client gets."""
        if self.answer is None:
            gate = self._gate
            tell_it, self.told = not self.told, True
            self.answer = gate.refuse(error, scope, token=self._token, began=self._began, quietly=not tell_it)
        return self.answer


def refuse(error: JWTASGIError, scope: ASGIScope, *, began: float) -> Answer:
    """Tell the hooks of whoever verified the token, the door or a face, and return what the client gets.

    Raises:
        ConfigurationError: neither has seen the connection.
    """
    gate: Gate | None = scope.get("jwt_asgi.gate")
    if gate is not None:
        return gate.refuse(error, scope, token=scope["jwt"], began=began)
    verdict: Verdict | None = scope.get("jwt_asgi.door")
    if verdict is None:
        raise ConfigurationError("JWTMiddleware", "nothing has verified a token: add JWTMiddleware to the application")
    return verdict.refuse(error, scope)


def list_of(option: str, values: Sequence[Any], kind: Any, expected: str) -> Sequence[Any]:  # noqa: ANN401 - a type or Callable
    """Return a list whose entries are of this kind.

    Raises:
        ConfigurationError: it is something else.
    """
    if isinstance(values, str) or not isinstance(values, Sequence) or not all(isinstance(v, kind) for v in values):
        raise ConfigurationError(option, f"expected a list of {expected}; got {values!r}")
    return values


def _wanted(error: JWTASGIError, needs: Iterable[str], resource: ProtectedResource | None) -> Iterable[str]:
    """RFC 6750 section 3: `scope` says what the request needs; it is no use where another scope would not help."""
    if isinstance(error, AccessError) and error.reason is not Reason.CREDENTIALS_MISSING:
        return ()
    return needs or (() if resource is None else resource.scopes)


def _resource(resource: str | ProtectedResource | None) -> ProtectedResource | None:
    return resource if resource is None or isinstance(resource, ProtectedResource) else ProtectedResource(resource)


def _verifier(verifier: Verifier | None, issuer: IssuerOptions) -> Verifier:
    if verifier is None:
        missing = [name for name in ("issuer", "audience", "algorithms") if issuer.get(name) is None]
        if missing:
            raise ConfigurationError(", ".join(missing), "required; there is no default that would be safe")
        return Verifier(TrustedIssuer(**issuer))
    if not isinstance(verifier, Verifier):
        raise ConfigurationError("verifier", f"expected Verifier(TrustedIssuer(...)); got {type(verifier).__name__}")
    if issuer:
        raise ConfigurationError("verifier", f"expected no {', '.join(issuer)} beside it: they belong to its issuers")
    return verifier
