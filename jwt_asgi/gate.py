"""Who is let in, apart from ASGI: what the door and the faces of the frameworks have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from time import perf_counter
from typing import Any, Unpack

from jwt_asgi._core.access_token import AccessToken
from jwt_asgi._core.bearer import NoToken, check_token, find_token
from jwt_asgi._core.challenge import Answer, answer_to, check_realm
from jwt_asgi._core.paths import route_path
from jwt_asgi._core.policy import flag
from jwt_asgi._core.resource import ProtectedResource, resource_answer
from jwt_asgi.errors import AccessError, ConfigurationError, JWTASGIError, Reason, TokenError
from jwt_asgi.instrumentation import Decision, Hook, LoggingHook, Outcome, tell
from jwt_asgi.issuers import IssuerOptions, TrustedIssuer
from jwt_asgi.revocation.feed import RevocationFeed
from jwt_asgi.token_cache import digest_of
from jwt_asgi.types import ASGIScope
from jwt_asgi.verifier import Verifier

__all__ = ["GATE", "REFUSE", "Gate", "GateOptions", "Refuse", "list_of", "refuse"]

GATE = "jwt_asgi.gate"
"""Where a face that verifies by itself, with no door around it, puts its `Gate` on the scope."""

REFUSE = "jwt_asgi.refuse"
"""Where the door puts a `Refuse` on the scope, for frameworks that turn exceptions into answers before it sees them."""

Refuse = Callable[[JWTASGIError], Answer]
"""Makes a refusal of a connection that was let in, and returns the answer for the framework to send.

The hooks are told of that refusal, and of no grant, when the framework answers. Once it has answered, the error is
raised. It may be called in any thread.
"""


class GateOptions(IssuerOptions, total=False):
    """The options that the door and the faces have in common."""

    verifier: Verifier | None
    token_cache: int | None
    revocation: RevocationFeed | None
    anonymous: bool
    realm: str | None
    resource: str | ProtectedResource | None
    hooks: Sequence[Hook] | None


class Gate:
    """Verifies the token of a connection, makes the answer where it is refused, and tells the hooks.

    Args:
        verifier: In place of the issuer's options.
        token_cache: How many verified tokens are kept, as of `Verifier`.
        revocation: A feed of what the issuer has revoked, likewise.
        anonymous: Whether a connection without a token is let through.
        realm: For the challenge.
        resource: What the API says of itself (RFC 9728), or its URL alone; challenges name where that is.
        hooks: Told of every decision; by default refusals are logged.
        issuer: The options of `TrustedIssuer`.

    Raises:
        ConfigurationError: an option is missing or wrong.
    """

    __slots__ = ("_anonymous", "_grant_hooks", "_hooks", "_realm", "_recalls", "resource", "tells_grants", "verifier")

    def __init__(
        self,
        *,
        verifier: Verifier | None = None,
        token_cache: int | None = None,
        revocation: RevocationFeed | None = None,
        anonymous: bool = False,
        realm: str | None = None,
        resource: str | ProtectedResource | None = None,
        hooks: Sequence[Hook] | None = None,
        **issuer: Unpack[IssuerOptions],
    ) -> None:
        """Check the options; nothing is fetched."""
        if unknown := sorted(issuer.keys() - IssuerOptions.__optional_keys__):
            known = ", ".join(sorted(GateOptions.__optional_keys__))
            raise ConfigurationError(", ".join(unknown), f"there is no such option here; the options are {known}")
        self.verifier = _verifier(verifier, issuer, {"token_cache": token_cache, "revocation": revocation})
        # What a class of the user's own adds to `verify` must not be passed by
        self._recalls = type(self.verifier).verify is Verifier.verify and self.verifier.remembers
        self._anonymous = flag("anonymous", anonymous)
        self._realm = check_realm(realm)
        self.resource = _resource(resource)
        self._hooks = (LoggingHook(),) if hooks is None else tuple(list_of("hooks", hooks, Callable, "hooks"))
        self._grant_hooks = tuple(hook for hook in self._hooks if type(hook) is not LoggingHook)
        self.tells_grants = bool(self._grant_hooks)

    @property
    def anonymous(self) -> bool:
        """Whether a connection without a token is let through."""
        return self._anonymous

    async def token_of(self, scope: ASGIScope) -> AccessToken | None:
        """Return the verified token of a connection; None where there is none, and none is needed.

        Raises:
            TokenError: there is none, or it is not good here.
            KeysUnavailable: it cannot be judged just now.
            AccessError: what it allows cannot be told just now.
        """
        found = self.token_at_once(scope)
        return await found if isinstance(found, Awaitable) else found

    def token_at_once(self, scope: ASGIScope) -> AccessToken | Awaitable[AccessToken] | None:
        """Do the same, without an await where the token was verified before; else return what is to be awaited."""
        found = find_token(scope["headers"], scope.get("query_string", b""))
        if isinstance(found, NoToken):
            if self._anonymous:
                return None
            raise TokenError(found.value)
        verifier = self.verifier
        if not self._recalls:
            return verifier.verify(check_token(found))
        digest = digest_of(found)
        return verifier.recall(digest) or verifier.examine(check_token(found), digest)

    def refuse(
        self,
        error: JWTASGIError,
        scope: ASGIScope,
        *,
        token: AccessToken | None,
        began: float,
        needs: Callable[[], Iterable[str]] = tuple,
    ) -> Answer:
        """Tell the hooks of a refusal, and return what the client gets. `needs` returns the scopes that are needed."""
        seconds = perf_counter() - began
        self.tell(Decision.of_error(error, token=token, kind=scope["type"], seconds=seconds))
        return self.answer(error, needs)

    def answer(self, error: JWTASGIError, needs: Callable[[], Iterable[str]] = tuple) -> Answer:
        """Return what the client gets. `needs` is asked where the client is told which scopes a token needs here."""
        resource = self.resource
        return answer_to(
            error,
            self._realm,
            resource_metadata=None if resource is None else resource.metadata_url,
            scopes=_wanted(error, needs, resource),
        )

    def grant(self, outcome: Outcome, *, token: AccessToken | None, kind: str, seconds: float) -> None:
        """Tell the hooks that a connection was let in: those that may want to know, if `tells_grants`."""
        if self.tells_grants:
            tell(self._grant_hooks, Decision(outcome=outcome, token=token, kind=kind, seconds=seconds))

    def tell(self, decision: Decision) -> None:
        """Tell the hooks."""
        tell(self._hooks, decision)

    def is_metadata(self, scope: ASGIScope) -> bool:
        """Whether a connection asks for the metadata of the resource (RFC 9728)."""
        if self.resource is None or scope["type"] != "http":
            return False
        return self.resource.metadata_path in {scope["path"], route_path(scope)}

    def metadata(self, method: str, scopes: Iterable[str] = ()) -> Answer:
        """Return the answer of the metadata path to a request of this method; `scopes` are those of the rules."""
        assert self.resource is not None  # noqa: S101 - for the type checker
        single = [issuer for issuer in self.verifier.issuers if isinstance(issuer, TrustedIssuer)]
        return resource_answer(self.resource.document([issuer.policy.issuer for issuer in single], scopes), method)


def refuse(error: JWTASGIError, scope: ASGIScope, *, began: float) -> Answer:
    """Refuse a connection through whoever verified its token, a face or the door, and return what the client gets.

    Raises:
        ConfigurationError: neither has seen the connection.
        JWTASGIError: the error itself, where the connection has been answered already.
    """
    gate: Gate | None = scope.get(GATE)
    if gate is not None:
        return gate.refuse(error, scope, token=scope["jwt"], began=began)
    door: Refuse | None = scope.get(REFUSE)
    if door is None:
        raise ConfigurationError("JWTMiddleware", "nothing has verified a token: add JWTMiddleware to the application")
    return door(error)


def list_of(option: str, values: Sequence[Any], kind: Any, expected: str) -> Sequence[Any]:  # noqa: ANN401 - a type or Callable
    """Return a list whose entries are of this kind.

    Raises:
        ConfigurationError: it is something else.
    """
    if isinstance(values, str) or not isinstance(values, Sequence) or not all(isinstance(v, kind) for v in values):
        raise ConfigurationError(option, f"expected a list of {expected}; got {values!r}")
    return values


def _wanted(
    error: JWTASGIError, needs: Callable[[], Iterable[str]], resource: ProtectedResource | None
) -> Iterable[str]:
    """RFC 6750 section 3: `scope` says what the request needs; it is no use where another scope would not help."""
    if isinstance(error, AccessError) and error.reason is not Reason.CREDENTIALS_MISSING:
        return ()
    return needs() or (() if resource is None else resource.scopes)


def _resource(resource: str | ProtectedResource | None) -> ProtectedResource | None:
    return resource if resource is None or isinstance(resource, ProtectedResource) else ProtectedResource(resource)


def _verifier(verifier: Verifier | None, issuer: IssuerOptions, options: Mapping[str, Any]) -> Verifier:
    given = {name: value for name, value in options.items() if value is not None}
    if verifier is None:
        missing = [name for name in ("issuer", "audience", "algorithms") if issuer.get(name) is None]
        if missing:
            raise ConfigurationError(", ".join(missing), "required; there is no default that would be safe")
        return Verifier(TrustedIssuer(**issuer), **given)
    if not isinstance(verifier, Verifier):
        raise ConfigurationError("verifier", f"expected Verifier(TrustedIssuer(...)); got {type(verifier).__name__}")
    if beside := [*issuer, *given]:
        raise ConfigurationError(
            "verifier", f"expected no {', '.join(beside)} beside it: they belong to the verifier and its issuers"
        )
    return verifier
