"""The FastAPI face: a dependency that verifies tokens by itself, and access rules as dependencies.

Behind the middleware, `require(rule)` and `CurrentToken` read what it has verified. Without it, `JWTBearer(...)`
verifies, and `bearer.require(rule)` does both. Each of them writes the security scheme of its routes into the OpenAPI
document.
"""

# FastAPI reads these annotations when the program runs: no `from __future__ import annotations` here

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, lru_cache, reduce
from inspect import Parameter, Signature
from operator import and_
from time import perf_counter, time
from typing import Annotated, Any, Unpack, cast

from fastapi import Depends, HTTPException, Response, Security, WebSocketException
from fastapi.openapi.models import HTTPBearer, OAuthFlowAuthorizationCode, OAuthFlows, OpenIdConnect
from fastapi.openapi.models import OAuth2 as OAuth2Model
from fastapi.openapi.models import SecurityBase as SchemeModel
from fastapi.params import Depends as DependsMarker
from fastapi.requests import HTTPConnection, Request
from fastapi.security import OAuth2, SecurityScopes
from fastapi.security.base import SecurityBase
from fastapi.websockets import WebSocket, WebSocketState
from starlette.routing import Route

from jwt_asgi._core.access import Context, Requirement
from jwt_asgi._core.access_token import AccessToken
from jwt_asgi._core.challenge import Answer
from jwt_asgi._core.paths import method_of, route_path
from jwt_asgi._core.rules import AnyToken, Scope
from jwt_asgi.access import authorize, check_rule
from jwt_asgi.answers import POLICY_VIOLATION, can_deny
from jwt_asgi.errors import AccessError, ConfigurationError, JWTASGIError
from jwt_asgi.gate import GATE, REFUSE, Gate, GateOptions, Refuse
from jwt_asgi.identity import set_identity
from jwt_asgi.instrumentation import Outcome

__all__ = ["REFUSALS", "CurrentToken", "JWTBearer", "require"]

_SEEN = "jwt_asgi.fastapi"
_NAME = "JWTBearer"

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The Authorization header is malformed"},
    401: {
        "description": "No access token, or one that is not good here",
        "headers": {"WWW-Authenticate": {"description": "RFC 6750 section 3", "schema": {"type": "string"}}},
    },
    403: {"description": "The access token does not allow this"},
    503: {
        "description": "Whether the access token is good cannot be told just now",
        "headers": {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}},
    },
}
"""What a protected operation may answer besides, for the document: `FastAPI(responses=REFUSALS)`, or on a router."""


class _Scheme(OAuth2):
    """A security scheme in the OpenAPI document, and nothing else.

    Older FastAPI names the scopes of its own class OAuth2 alone, whatever the model is.
    """

    def __init__(self, model: SchemeModel, name: str) -> None:
        self.model, self.scheme_name = model, name

    async def __call__(self) -> None:  # type: ignore[override]
        """Do nothing: what checks is beside it."""


class _OfItself(DependsMarker):
    """A dependency that FastAPI takes for `Depends(...)` of itself.

    Where `Depends` was forgotten, `token=require(rule)` would be a query parameter, and the route open to all.
    """

    use_cache, scope = True, None
    __eq__, __hash__, __repr__ = object.__eq__, object.__hash__, object.__repr__

    @property
    def dependency(self) -> Callable[..., Any] | None:
        """Itself."""
        return cast("Callable[..., Any]", self)


class JWTBearer(OAuth2, _OfItself):
    """A dependency that verifies the request's token by itself: `Depends(bearer)`, on an app, a router or a route.

    `Security(bearer, scopes=["todos:read"])` needs all of the scopes. The value is the `AccessToken`; `scope["jwt"]`,
    `request.user` and `request.auth` are set. A token is verified once for each request, however often it is asked
    for. Requests and WebSockets are refused with HTTPException, as the middleware would refuse them. `verifier` is the
    verifier in use, for its `status()` and `start()`; it needs no closing.

    A WebSocket or a stream does not end when its token expires: that takes the middleware.

    Args:
        scheme_name: In the OpenAPI document.
        description: Likewise.
        openid_connect_url: The issuer's metadata, for the scheme `openIdConnect` in place of a bearer token.
        authorization_url: With `token_url`: the scheme `oauth2` with the authorization code flow.
        token_url: The other half of it.
        scopes: With these URLs: the scopes that a page of documentation offers, and what each is for.
        gate: The options of the middleware that are about tokens and answers: `issuer`, `audience`, `algorithms`, ...;
            `verifier`, `token_cache`, `revocation`, `anonymous`, `realm`, `resource`, `hooks`.

    Raises:
        ConfigurationError: an option is missing or wrong.
    """

    jwt_requirement = AnyToken()

    def __init__(
        self,
        *,
        scheme_name: str | None = None,
        description: str | None = None,
        openid_connect_url: str | None = None,
        authorization_url: str | None = None,
        token_url: str | None = None,
        scopes: Mapping[str, str] | None = None,
        **gate: Unpack[GateOptions],
    ) -> None:
        """Check the options; nothing is fetched."""
        self._gate = Gate(**gate)
        self.verifier = self._gate.verifier
        model, name = _model(openid_connect_url, authorization_url, token_url, scopes)
        model.description = description
        self.model, self.scheme_name = model, scheme_name or name

    async def __call__(  # type: ignore[override]
        self, connection: HTTPConnection, security_scopes: SecurityScopes
    ) -> AccessToken | None:
        """Return the verified token; None where there is none, and none is needed.

        Raises:
            HTTPException: the request is refused; WebSocketException where a handshake cannot be denied with a status.
        """
        return await self.admit(connection, _all_of(tuple(security_scopes.scopes)))

    def require(self, requirement: Requirement) -> "Rule":
        """Return a dependency that verifies the token, and holds it against a rule; its value is the token."""
        return _rule(requirement, self, self)

    def metadata_route(self) -> Route:
        """Return the route of the metadata that `resource` stands for: `FastAPI(routes=[bearer.metadata_route()])`.

        Raises:
            ConfigurationError: no `resource` was given.
        """
        if self._gate.resource is None:
            raise ConfigurationError("resource", "metadata_route() needs it: JWTBearer(resource=..., ...)")

        async def metadata(request: Request) -> Response:
            answer = self._gate.metadata(request.method)
            return _response(answer, request.method)

        methods = ["GET", "HEAD", "OPTIONS"]
        return Route(self._gate.resource.metadata_path, metadata, methods=methods, include_in_schema=False)

    async def admit(self, connection: HTTPConnection, requirement: Requirement | None) -> AccessToken | None:
        """Verify the token unless that was done for this request, and hold it against a rule."""
        scope, began, token = connection.scope, perf_counter(), None
        seen: dict[JWTBearer, AccessToken | None] = scope.setdefault(_SEEN, {})
        try:
            found = seen[self] if self in seen else self._gate.token_at_once(scope)
            token = found if found is None or isinstance(found, AccessToken) else await found
            if requirement is not None:
                await authorize(token, requirement, context=_context(connection))
        except JWTASGIError as error:
            raise _refusal(self._gate, error, connection, token, began, requirement) from error
        if self not in seen:
            seen[self] = token
            if GATE in scope or "jwt" not in scope:
                scope[GATE] = self._gate
                _answer_access_errors(connection)
            set_identity(scope, token)
            if self._gate.tells_grants:
                outcome = Outcome.ANONYMOUS if token is None else Outcome.GRANTED
                self._gate.grant(outcome, token=token, kind=scope["type"], seconds=perf_counter() - began)
        return token


class Rule(_OfItself):
    """An access rule as a dependency: what `require` returns. `jwt_requirement` is the rule."""

    def __init__(self, requirement: Requirement, scheme: SecurityBase, bearer: JWTBearer | None = None) -> None:
        """Take the rule, and whoever verifies for it: None, somebody before it."""
        self.jwt_requirement = requirement
        self.model, self.scheme_name = scheme.model, scheme.scheme_name
        self._bearer = bearer
        if bearer is not None:
            self.verifier = bearer.verifier
        types: dict[str, Any] = {"connection": HTTPConnection, "security_scopes": SecurityScopes}
        if shown := _shown(requirement):
            types["_scheme"] = Annotated[Any, Security(_Scheme(scheme.model, scheme.scheme_name), scopes=shown)]
        self.__signature__ = Signature([Parameter(n, Parameter.KEYWORD_ONLY, annotation=t) for n, t in types.items()])

    async def __call__(
        self, connection: HTTPConnection, security_scopes: SecurityScopes, _scheme: None = None
    ) -> AccessToken:
        """Return the token that meets the rule."""
        asked = _all_of(tuple(security_scopes.scopes))
        requirement = self.jwt_requirement if asked is None else self.jwt_requirement & asked
        if self._bearer is not None:
            token = await self._bearer.admit(connection, requirement)
            assert token is not None  # noqa: S101 - for the type checker: None meets no rule
            return token
        scope, began = connection.scope, perf_counter()
        if "jwt" not in scope:
            detail = "nothing has verified a token: add JWTMiddleware, or a JWTBearer before it, or use bearer.require"
            raise ConfigurationError("require", detail)
        _answer_access_errors(connection)
        try:
            return await authorize(scope["jwt"], requirement, context=_context(connection))
        except AccessError as error:
            if (gate := scope.get(GATE)) is None:
                raise
            raise _refusal(gate, error, connection, scope["jwt"], began, requirement) from error


class _OwnScheme(Rule, SecurityBase):
    """A rule that names no scopes is its own security scheme: one dependency less to solve in each request."""


def _rule(requirement: Requirement, scheme: SecurityBase, bearer: JWTBearer | None = None) -> Rule:
    check_rule("require", requirement)
    return (Rule if _shown(requirement) else _OwnScheme)(requirement, scheme, bearer)


def _shown(requirement: Requirement) -> list[str]:
    """The scopes in the document are those that a challenge would name; nothing enforces them but the rule."""
    return sorted(requirement.judge(None, Context()).scopes)


def require(requirement: Requirement) -> Rule:
    """Return a dependency that holds the verified token against a rule: `Depends(require(Scope("todos:read")))`.

    Its value is the token. It needs the middleware around the application, or a `JWTBearer` before it on the app or the
    router; without either, every request fails.
    """
    return _rule(requirement, _Scheme(HTTPBearer(bearerFormat="JWT"), _NAME))


CurrentToken = Annotated[AccessToken, Depends(require(AnyToken()))]
"""The verified token, as the type of a parameter: `async def todos(token: CurrentToken)`."""


@cache
def _all_of(scopes: tuple[str, ...]) -> Requirement | None:
    """What `Security(..., scopes=[...])` asks for; None: nothing."""
    return reduce(and_, map(Scope, scopes)) if scopes else None


def _context(connection: HTTPConnection) -> Context:
    scope = connection.scope
    path_params = scope.get("path_params", {})
    return Context(now=time(), method=method_of(scope), path=route_path(scope), path_params=path_params)


def _refusal(
    gate: Gate,
    error: JWTASGIError,
    connection: HTTPConnection,
    token: AccessToken | None,
    began: float,
    requirement: Requirement | None = None,
) -> Exception:
    """Tell the hooks, and return what makes FastAPI give our answer."""

    def needs() -> Sequence[str]:
        return () if requirement is None else sorted(requirement.judge(None, _context(connection)).scopes)

    answer = gate.refuse(error, connection.scope, token=token, began=began, needs=needs)
    if isinstance(connection, WebSocket) and not _can_be_denied(connection):
        return WebSocketException(POLICY_VIOLATION)
    description, headers = _parts_of(answer)
    return HTTPException(answer.status, description, dict(headers))


# In a flood of bad tokens it is the same again and again
@lru_cache(maxsize=256)
def _parts_of(answer: Answer) -> tuple[str, Mapping[str, str]]:
    """Return what FastAPI is told of an answer: the headers of the body are its own, which makes it."""
    headers = {name: value for name, value in _headers(answer).items() if not name.startswith("content-")}
    return json.loads(answer.body)["error_description"], headers


def _can_be_denied(websocket: WebSocket) -> bool:
    unanswered = websocket.application_state is WebSocketState.CONNECTING
    return unanswered and can_deny(websocket.scope)


def _headers(answer: Answer) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in answer.headers}


def _response(answer: Answer, method: str | None) -> Response:
    return Response(b"" if method == "HEAD" else answer.body, answer.status, _headers(answer))


def _answer_access_errors(connection: HTTPConnection) -> None:
    """See that an AccessError is answered in the application, from the body of an endpoint too.

    With a `JWTBearer` nothing is around the application to answer it; after a handshake, nothing else closes with 1008.
    """
    handlers = connection.scope.get("starlette.exception_handlers")
    if handlers is not None:
        handlers[0].setdefault(AccessError, _answer_access_error)


async def _answer_access_error(connection: HTTPConnection, error: AccessError) -> Response:
    scope = connection.scope
    if (gate := scope.get(GATE)) is not None:
        # The application's own handler of HTTPException is outside of this one, and makes the body
        raise _refusal(gate, error, connection, scope["jwt"], perf_counter()) from error
    refuse: Refuse | None = scope.get(REFUSE)
    if refuse is None:
        raise error
    if isinstance(connection, WebSocket) and not _can_be_denied(connection):
        with suppress(AccessError):  # it is raised again where the application has accepted
            refuse(error)
        raise WebSocketException(POLICY_VIOLATION) from error
    return _response(refuse(error), scope.get("method"))


def _model(
    openid_connect_url: str | None,
    authorization_url: str | None,
    token_url: str | None,
    scopes: Mapping[str, str] | None,
) -> tuple[SchemeModel, str]:
    """Return the security scheme and its usual name."""
    if (authorization_url is None) != (token_url is None) or (openid_connect_url and authorization_url):
        raise ConfigurationError("authorization_url", "expected it with token_url, and without openid_connect_url")
    if authorization_url is not None and token_url is not None:
        flow = OAuthFlowAuthorizationCode(
            authorizationUrl=authorization_url, tokenUrl=token_url, scopes=dict(scopes or {})
        )
        return OAuth2Model(flows=OAuthFlows(authorizationCode=flow)), "OAuth2"
    if scopes is not None:
        raise ConfigurationError("scopes", "expected it with authorization_url and token_url")
    if openid_connect_url is not None:
        return OpenIdConnect(openIdConnectUrl=openid_connect_url), "OpenIdConnect"
    return HTTPBearer(bearerFormat="JWT"), _NAME
