"""Starlette's face: a backend for its AuthenticationMiddleware, and access rules on endpoints."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from operator import and_
from time import perf_counter, time
from typing import Any, Unpack

from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, BaseUser
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.websockets import WebSocket, WebSocketState

from jwt_asgi._core.challenge import Answer
from jwt_asgi._core.paths import method_of, route_path
from jwt_asgi.access import AnyToken, Context, Requirement, Scope, authorize
from jwt_asgi.answers import POLICY_VIOLATION, can_deny
from jwt_asgi.errors import AccessError, ConfigurationError, JWTASGIError
from jwt_asgi.gate import GATE, Gate, GateOptions, refuse
from jwt_asgi.identity import set_identity
from jwt_asgi.instrumentation import Outcome

__all__ = ["JWTAuthBackend", "on_access_error", "requires"]

Endpoint = Callable[..., Any]


class JWTAuthBackend(AuthenticationBackend):
    """Verifies the token of each connection for Starlette's `AuthenticationMiddleware`, without `JWTMiddleware`.

    `Middleware(AuthenticationMiddleware, backend=backend, on_error=backend.on_error)`. A connection without a token
    goes on as an unauthenticated one, as Starlette has it, unless `anonymous=False`; a bad token is refused. Without
    `on_error` it is refused too, with Starlette's bare 400. Starlette closes a WebSocket with a bad token before it is
    accepted, which servers answer with 403: where it matters why, use `JWTMiddleware(anonymous=True)` in its place.

    Args:
        gate: The options of `JWTMiddleware`, without `rules`, `exempt` and `startup`.

    Raises:
        ConfigurationError: an option is missing or wrong.
    """

    def __init__(self, **gate: Unpack[GateOptions]) -> None:
        """Check the options; nothing is fetched."""
        gate.setdefault("anonymous", True)
        self._gate = Gate(**gate)
        self.verifier = self._gate.verifier

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser]:
        """Set `scope["jwt"]`, and return what Starlette keeps as `request.auth` and `request.user`."""
        scope, began = conn.scope, perf_counter()
        try:
            token = await self._gate.token_of(scope)
        except JWTASGIError as error:
            raise _RefusedError(self._gate.refuse(error, scope, token=None, began=began)) from error
        outcome = Outcome.ANONYMOUS if token is None else Outcome.GRANTED
        self._gate.grant(outcome, token=token, kind=scope["type"], seconds=perf_counter() - began)
        set_identity(scope, token)
        scope[GATE] = self._gate
        return scope["auth"], scope["user"]

    @staticmethod
    def on_error(conn: HTTPConnection, error: Exception) -> Response:
        """Answer a refused connection with the status and the challenge of the error."""
        if isinstance(error, _RefusedError):
            return _response(error.answer, conn)
        return PlainTextResponse(str(error), status_code=400)

    @property
    def routes(self) -> list[Route]:
        """The metadata of RFC 9728, where `resource` is given, for the application's routes."""
        gate = self._gate

        async def metadata(request: HTTPConnection) -> Response:
            return _response(gate.metadata(request.scope["method"]), request)

        methods = ["GET", "HEAD", "OPTIONS"]
        return [] if gate.resource is None else [Route(gate.resource.metadata_path, metadata, methods=methods)]


def requires(*rules: Requirement | str | Sequence[str]) -> Callable[[Endpoint], Endpoint]:
    """Let an endpoint be called with a token that meets these rules alone: a decorator, below `@app.route` and others.

    It is for functions and for the methods of `HTTPEndpoint` and `WebSocketEndpoint`, behind `JWTMiddleware` or
    `JWTAuthBackend`. A text is a scope; "authenticated" is any token, as in Starlette's own `requires`. The endpoint
    becomes an `async def`; that of a plain `def` still runs in Starlette's thread pool.

    Raises:
        ConfigurationError: a rule is none; in a request: nothing has verified a token, which is answered with 500.
    """
    rule = _requirement(rules)

    def decorate(endpoint: Endpoint) -> Endpoint:
        if inspect.isclass(endpoint):
            raise ConfigurationError("requires", f"decorate the methods of {endpoint.__name__}, not the class")
        awaited = inspect.iscoroutinefunction(endpoint) or inspect.iscoroutinefunction(type(endpoint).__call__)
        call = endpoint if awaited else functools.partial(run_in_threadpool, endpoint)

        @functools.wraps(endpoint)
        async def guarded(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the endpoint's own
            connection = _connection(args, kwargs)
            try:
                await _check(connection, rule)
            except AccessError as error:
                return await on_access_error(connection, error)
            return await call(*args, **kwargs)

        inner: Requirement | None = getattr(endpoint, "jwt_requirement", None)
        guarded.jwt_requirement = rule if inner is None else rule & inner  # type: ignore[attr-defined]
        return guarded

    return decorate


async def on_access_error(connection: HTTPConnection, error: Exception) -> Any:  # noqa: ANN401 - Starlette's types
    """Answer an `AccessError`: `Starlette(exception_handlers={AccessError: on_access_error})`.

    It is needed where `check_access` is called in an endpoint and no door is around to answer: with `JWTAuthBackend`.
    """
    assert isinstance(error, AccessError)  # noqa: S101 - Starlette's type says less
    if isinstance(connection, WebSocket) and connection.application_state is not WebSocketState.CONNECTING:
        return await connection.close(POLICY_VIOLATION)
    answer = refuse(error, connection.scope, began=perf_counter())
    if not isinstance(connection, WebSocket):
        return _response(answer, connection)
    if can_deny(connection.scope):
        return await connection.send_denial_response(_response(answer, connection))
    return await connection.close(POLICY_VIOLATION)


class _RefusedError(AuthenticationError):
    """A bad token; its text is for anyone, since Starlette may answer with it."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("the access token was refused")
        self.answer = answer


async def _check(connection: HTTPConnection, rule: Requirement) -> None:
    scope = connection.scope
    if "jwt" not in scope:
        raise ConfigurationError("requires", "nothing has verified a token: add JWTMiddleware to the application")
    # Below a mount, Starlette counts its path to root_path
    below = {"path": scope["path"], "root_path": scope.get("app_root_path", scope.get("root_path", ""))}
    path_params = scope.get("path_params", {})
    context = Context(now=time(), method=method_of(scope), path=route_path(below), path_params=path_params)
    await authorize(scope["jwt"], rule, context=context)


def _connection(args: tuple[Any, ...], kwargs: dict[str, Any]) -> HTTPConnection:
    for value in (*args, *kwargs.values()):
        if isinstance(value, HTTPConnection):
            return value
    raise ConfigurationError("requires", "expected an endpoint that is called with a Request or a WebSocket")


def _requirement(rules: Sequence[Requirement | str | Sequence[str]]) -> Requirement:
    flat: list[Any] = []
    for rule in rules:
        flat += rule if isinstance(rule, (list, tuple)) else [rule]
    if not flat:
        raise ConfigurationError(
            "requires", 'expected scopes or rules, as requires("todos:read"); AnyToken() is any token'
        )
    return functools.reduce(and_, map(_rule, flat))


def _rule(rule: object) -> Requirement:
    if isinstance(rule, Requirement):
        return rule
    if not isinstance(rule, str):
        raise ConfigurationError("requires", f"expected a scope or a rule; got {rule!r}")
    return AnyToken() if rule == "authenticated" else Scope(rule)


def _response(answer: Answer, connection: HTTPConnection) -> Response:
    body = b"" if connection.scope.get("method") == "HEAD" else answer.body
    headers = {name.decode("ascii"): value.decode("ascii") for name, value in answer.headers}
    return Response(body, answer.status, headers)
