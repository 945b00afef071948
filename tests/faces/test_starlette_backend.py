"""Starlette's face: the backend in AuthenticationMiddleware, `requires` on endpoints, refusals in every placement."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.authentication import AuthenticationError
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route, Router, WebSocketRoute
from starlette.websockets import WebSocket

from jwt_asgi import (
    AccessError,
    AccessToken,
    ConfigurationError,
    Decision,
    JWTMiddleware,
    Reason,
    Role,
    Scope,
    TrustedIssuer,
    Verifier,
    check_access,
)
from jwt_asgi.access import AnyToken, Context, ExternalPolicy, PathParam, Subject
from jwt_asgi.instrumentation import Outcome
from jwt_asgi.starlette import JWTAuthBackend, on_access_error, requires
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIApp
from tests.asgi import http, websocket

ISSUER = TestIssuer(algorithms=["ES256"])
DENIAL = {"websocket.http.response": dict[str, str]()}
LACKING = (
    'Bearer error="insufficient_scope", error_description="The access token lacks a scope that this needs", '
    'scope="todos:read"'
)
READ = Scope("todos:read")

Placed = Callable[[Sequence[BaseRoute], list[Decision]], ASGIApp]
HANDLERS: Any = {AccessError: on_access_error}


def backed(routes: Sequence[BaseRoute], told: list[Decision], **changes: Any) -> Starlette:
    """The application with the backend, added as users add it."""
    backend = JWTAuthBackend(**{**ISSUER.options(), "hooks": [told.append], **changes})
    middleware = [Middleware(AuthenticationMiddleware, backend=backend, on_error=backend.on_error)]
    return Starlette(routes=[*backend.routes, *routes], middleware=middleware, exception_handlers=HANDLERS)


def added(routes: Sequence[BaseRoute], told: list[Decision]) -> Starlette:
    """With the middleware among the application's own."""
    middleware = [Middleware(JWTMiddleware, **ISSUER.options(), hooks=[told.append])]
    return Starlette(routes=routes, middleware=middleware)


def around(routes: Sequence[BaseRoute], told: list[Decision]) -> ASGIApp:
    """With the middleware around the whole of it."""
    starlette = Starlette(routes=routes, exception_handlers=HANDLERS)
    return JWTMiddleware(starlette, **ISSUER.options(), hooks=[told.append])


def bare(routes: Sequence[BaseRoute], told: list[Decision]) -> ASGIApp:
    """With the middleware around a router that is no application."""
    return JWTMiddleware(Router(routes), **ISSUER.options(), hooks=[told.append])


everywhere = pytest.mark.parametrize("placed", [backed, added, around, bare], ids=lambda placed: placed.__name__)


async def who(request: Request) -> Response:
    token = request.scope["jwt"]
    subject = None if token is None else token.subject
    user = request.user
    return JSONResponse([subject, user.display_name, user.is_authenticated, request.auth.scopes])


# --- the backend ------------------------------------------------------------------------------------------------------


async def test_request_user_and_request_auth_are_those_of_the_token() -> None:
    app = backed([Route("/", who)], told := list[Decision]())
    answer = await http(app, token=ISSUER.token(subject="ann", scope="b a"))
    assert answer.json() == ["ann", "ann", True, ["authenticated", "a", "b"]]
    assert [decision.outcome for decision in told] == [Outcome.GRANTED]


async def test_a_request_without_a_token_goes_on_as_an_unauthenticated_one() -> None:
    app = backed([Route("/", who)], told := list[Decision]())
    assert (await http(app)).json() == [None, "", False, []]
    assert [decision.outcome for decision in told] == [Outcome.ANONYMOUS]


async def test_a_request_without_a_token_can_be_refused() -> None:
    app = backed([Route("/", who)], told := list[Decision](), anonymous=False, realm="todos")
    answer = await http(app)
    assert (answer.status, answer.challenge) == (401, 'Bearer realm="todos"')
    assert [decision.reason for decision in told] == [Reason.CREDENTIALS_MISSING]


async def test_a_bad_token_is_refused_with_its_challenge_and_one_decision() -> None:
    app = backed([Route("/", who)], told := list[Decision]())
    answer = await http(app, token=ISSUER.bad_token(Reason.TOKEN_EXPIRED))
    assert answer.status == 401
    assert answer.challenge == 'Bearer error="invalid_token", error_description="The access token expired"'
    assert answer.header("cache-control") == "no-store"
    assert [decision.reason for decision in told] == [Reason.TOKEN_EXPIRED]


async def test_without_on_error_a_bad_token_is_refused_all_the_same_and_nothing_is_said() -> None:
    told: list[Decision] = []
    backend = JWTAuthBackend(**ISSUER.options(), hooks=[told.append])
    app = Starlette(routes=[Route("/", who)], middleware=[Middleware(AuthenticationMiddleware, backend=backend)])
    answer = await http(app, token=ISSUER.bad_token(Reason.AUDIENCE_MISMATCH))
    assert (answer.status, answer.body) == (400, b"the access token was refused")
    assert [decision.reason for decision in told] == [Reason.AUDIENCE_MISMATCH]


async def test_a_websocket_with_a_bad_token_is_closed_before_it_is_accepted() -> None:
    async def talk(websocket: WebSocket) -> None:
        raise AssertionError("reached")

    app = backed([WebSocketRoute("/", talk)], told := list[Decision]())
    socket = await websocket(app, token=ISSUER.bad_token(Reason.TOKEN_EXPIRED), extensions=DENIAL)
    assert (socket.accepted, socket.close_code) == (False, 1000)
    assert [(decision.kind, decision.reason) for decision in told] == [("websocket", Reason.TOKEN_EXPIRED)]


def test_an_error_of_another_backend_gets_starlettes_answer() -> None:
    connection = HTTPConnection({"type": "http", "method": "GET", "headers": []})
    answer = JWTAuthBackend.on_error(connection, AuthenticationError("no such session"))
    assert (answer.status_code, answer.body) == (400, b"no such session")


async def test_the_metadata_of_the_resource_are_a_route_of_the_backend() -> None:
    app = backed([], [], resource="https://api.test/v1")
    path = "/.well-known/oauth-protected-resource/v1"
    answer = await http(app, path=path)
    assert (answer.status, answer.json()["authorization_servers"]) == (200, [ISSUER.issuer])
    assert (await http(app, path=path, method="HEAD")).body == b""
    assert (await http(app, path=path, method="OPTIONS")).status == 204
    assert (await http(app, path=path, method="POST")).status == 405


def test_without_a_resource_there_is_no_such_route() -> None:
    assert JWTAuthBackend(**ISSUER.options()).routes == []


def test_the_options_are_checked_when_the_backend_is_made() -> None:
    with pytest.raises(ConfigurationError, match="audience"):
        JWTAuthBackend(issuer=ISSUER.issuer, algorithms=["ES256"])


def test_the_backend_has_its_verifier() -> None:
    verifier = Verifier(TrustedIssuer(**ISSUER.options()))
    assert JWTAuthBackend(verifier=verifier).verifier is verifier


# --- requires ---------------------------------------------------------------------------------------------------------


@everywhere
async def test_requires_refuses_once_with_the_right_challenge_wherever_the_token_was_verified(placed: Placed) -> None:
    app = placed([Route("/", requires(READ)(who))], told := list[Decision]())
    answer = await http(app, token=ISSUER.token(scope="other"))
    assert (answer.status, answer.challenge) == (403, LACKING)
    assert answer.json()["error"] == "insufficient_scope"
    assert [decision.reason for decision in told if decision.reason] == [Reason.SCOPE_MISSING]
    assert len(told) == (2 if placed is backed else 1)
    assert (await http(app, token=ISSUER.token(scope="todos:read"))).status == 200


@everywhere
async def test_requires_refuses_a_websocket_before_it_is_accepted(placed: Placed) -> None:
    @requires(READ)
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    app = placed([WebSocketRoute("/", talk)], told := list[Decision]())
    socket = await websocket(app, token=ISSUER.token(), extensions=DENIAL)
    assert socket.denial is not None
    assert (socket.denial.status, socket.denial.challenge, socket.accepted) == (403, LACKING, False)
    socket = await websocket(app, token=ISSUER.token())
    assert (socket.close_code, socket.accepted, socket.denial) == (1008, False, None)
    assert (await websocket(app, token=ISSUER.token(scope="todos:read"))).accepted
    assert [decision.reason for decision in told if decision.reason] == [Reason.SCOPE_MISSING] * 2


@pytest.mark.parametrize("placed", [backed, added, around], ids=lambda placed: placed.__name__)
async def test_check_access_in_an_endpoint_is_answered_wherever_the_token_was_verified(placed: Placed) -> None:
    async def ask(request: Request) -> Response:
        check_access(request.scope["jwt"], READ)
        raise AssertionError("reached")

    async def talk(websocket: WebSocket) -> None:
        check_access(websocket.scope["jwt"], READ)

    app = placed([Route("/", ask), WebSocketRoute("/talk", talk)], told := list[Decision]())
    answer = await http(app, token=ISSUER.token())
    assert (answer.status, answer.challenge) == (403, LACKING)
    socket = await websocket(app, path="/talk", token=ISSUER.token(), extensions=DENIAL)
    assert socket.denial is not None
    assert socket.denial.challenge == LACKING
    assert [decision.reason for decision in told if decision.reason] == [Reason.SCOPE_MISSING] * 2


@pytest.mark.parametrize(
    ("rules", "scope", "status"),
    [
        (["todos:read"], "todos:read", 200),
        (["todos:read", "todos:write"], "todos:read", 403),
        ([["todos:read", "todos:write"]], "todos:read", 403),
        ([["todos:read", "todos:write"]], "todos:read todos:write", 200),
        ([READ | Role("admin")], "", 403),
        (["todos:read", Role("admin")], "todos:read", 403),
        (["authenticated"], "", 200),
        ([AnyToken()], "", 200),
    ],
)
async def test_requires_takes_scopes_and_rules_which_must_all_be_met(rules: Any, scope: str, status: int) -> None:
    app = backed([Route("/", requires(*rules)(who))], [])
    assert (await http(app, token=ISSUER.token(scope=scope))).status == status
    assert (await http(app)).status == 401


@pytest.mark.parametrize("rules", [(), ([],), ("",), ("todos:read todos:write",), (None,), (READ, 7)])
def test_what_is_no_rule_is_refused_when_the_endpoint_is_decorated(rules: Any) -> None:
    with pytest.raises(ConfigurationError):
        requires(*rules)


def test_a_class_cannot_be_decorated() -> None:
    with pytest.raises(ConfigurationError, match="decorate the methods of HTTPEndpoint"):
        requires("todos:read")(HTTPEndpoint)


async def test_an_endpoint_is_not_called_where_nothing_has_verified_a_token() -> None:
    called: list[Request] = []

    @requires("authenticated")
    async def endpoint(request: Request) -> Response:
        called.append(request)
        return Response()

    with pytest.raises(ConfigurationError, match="add JWTMiddleware"):
        await http(Starlette(routes=[Route("/", endpoint)]))
    assert called == []


async def test_an_endpoint_that_is_given_no_connection_is_not_called() -> None:
    @requires("authenticated")
    async def endpoint(number: int) -> int:
        raise AssertionError("reached")

    with pytest.raises(ConfigurationError, match="a Request or a WebSocket"):
        await endpoint(7)


async def test_the_connection_may_be_a_keyword() -> None:
    @requires(READ)
    async def endpoint(*, number: int, request: Request) -> Response:
        return PlainTextResponse(str(number))

    async def through(request: Request) -> Any:
        return await endpoint(request=request, number=7)

    app = backed([Route("/", through)], [])
    assert (await http(app, token=ISSUER.token(scope="todos:read"))).body == b"7"
    assert (await http(app, token=ISSUER.token())).status == 403


async def test_a_plain_function_still_runs_in_a_thread_and_a_coroutine_does_not() -> None:
    threads: list[int] = []

    def plain(request: Request) -> Response:
        threads.append(threading.get_ident())
        return PlainTextResponse("plain")

    async def coroutine(request: Request) -> Response:
        threads.append(threading.get_ident())
        return PlainTextResponse("coroutine")

    class Endpoint:
        async def __call__(self, request: Request) -> Response:
            threads.append(threading.get_ident())
            return PlainTextResponse("object")

    guard = requires("authenticated")
    endpoints = {"plain": guard(plain), "coroutine": guard(functools.partial(coroutine)), "object": guard(Endpoint())}
    app = added([Route(f"/{name}", endpoint) for name, endpoint in endpoints.items()], [])
    for name in endpoints:
        assert (await http(app, path=f"/{name}", token=ISSUER.token())).body == name.encode()
    here = threading.get_ident()
    assert [thread == here for thread in threads] == [False, True, True]


async def test_the_methods_of_an_http_endpoint_have_rules_of_their_own() -> None:
    class Todos(HTTPEndpoint):
        @requires(READ)
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("read")

        @requires("todos:write")
        def post(self, request: Request) -> Response:
            return PlainTextResponse("written")

    app = backed([Route("/", Todos)], [])
    reader, writer = ISSUER.token(scope="todos:read"), ISSUER.token(scope="todos:write")
    assert [(await http(app, method=method, token=reader)).status for method in ("GET", "POST")] == [200, 403]
    assert [(await http(app, method=method, token=writer)).status for method in ("GET", "POST")] == [403, 200]
    refused = await http(app, method="HEAD", token=writer)
    assert (refused.status, refused.body) == (403, b"")


@everywhere
async def test_the_methods_of_a_websocket_endpoint_have_rules_of_their_own(placed: Placed) -> None:
    received: list[str] = []

    class Talk(WebSocketEndpoint):
        encoding = "text"

        @requires("talk")
        async def on_connect(self, websocket: WebSocket) -> None:
            await websocket.accept()

        @requires("talk:loud")
        async def on_receive(self, websocket: WebSocket, data: str) -> None:
            received.append(data)

    app = placed([WebSocketRoute("/", Talk)], told := list[Decision]())
    socket = await websocket(app, token=ISSUER.token(), extensions=DENIAL)
    assert socket.denial is not None
    assert socket.denial.status == 403
    assert [decision.reason for decision in told if decision.reason] == [Reason.SCOPE_MISSING]
    for scope, expected in (("talk", []), ("talk talk:loud", ["hello"])):
        sent = await conversation(app, ISSUER.token(scope=scope), "hello")
        assert sent[0]["type"] == "websocket.accept"
        assert received == expected
        assert [message["code"] for message in sent[1:]] == ([] if expected else [1008])


async def conversation(app: ASGIApp, token: str, text: str) -> list[Any]:
    """Open a WebSocket, say something, and go."""
    incoming: list[Any] = [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": text},
        {"type": "websocket.disconnect", "code": 1000},
    ]
    sent: list[Any] = []
    headers = [(b"authorization", f"Bearer {token}".encode())]
    scope = {"type": "websocket", "path": "/", "headers": headers, "query_string": b"", "extensions": None}

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def test_an_endpoint_tells_its_rule_and_two_rules_are_one() -> None:
    assert requires(READ)(who).jwt_requirement == READ  # type: ignore[attr-defined]
    both = requires(READ)(requires("authenticated", Role("admin"))(who))
    assert both.jwt_requirement == READ & (AnyToken() & Role("admin"))  # type: ignore[attr-defined]
    assert both.__name__ == "who"


async def test_a_rule_may_name_path_parameters_and_a_policy_sees_the_whole_path_below_a_mount() -> None:
    seen: list[Context] = []

    async def policy(token: AccessToken, context: Context) -> bool:
        seen.append(context)
        return True

    rule = Subject(PathParam("user")) & ExternalPolicy("mine", policy)
    users = Mount("/users", routes=[Route("/{user:int}", requires(rule)(who))])
    app = backed([users], [])
    token = ISSUER.token(subject="7")
    assert (await http(app, path="/api/users/7", root_path="/api", token=token)).status == 200
    assert (await http(app, path="/users/8", token=token)).status == 403
    assert [(one.method, one.path, one.path_params) for one in seen] == [("GET", "/users/7", {"user": "7"})]


async def test_a_door_inside_answers_for_what_it_has_verified_itself() -> None:
    other = TestIssuer("https://other.test", audience="https://other.test", algorithms=["ES256"])
    inner: list[Decision] = []
    middleware = [Middleware(JWTMiddleware, **other.options(), realm="inner", hooks=[inner.append])]
    mount = Mount("/inner", routes=[Route("/", requires(READ)(who))], middleware=middleware)
    outer: list[Decision] = []
    backend = JWTAuthBackend(**other.options(), hooks=[outer.append])
    app = Starlette(routes=[mount], middleware=[Middleware(AuthenticationMiddleware, backend=backend)])
    answer = await http(app, path="/inner/", token=other.token())
    assert (answer.challenge or "").startswith('Bearer realm="inner"')
    assert [decision.reason for decision in inner] == [Reason.SCOPE_MISSING]
    assert [decision.outcome for decision in outer] == [Outcome.GRANTED]


async def test_what_is_refused_after_the_answer_began_is_no_second_decision() -> None:
    async def late(request: Request) -> Response:
        async def pieces() -> Any:
            yield b"begun"
            with pytest.raises(AccessError):
                await on_access_error(request, AccessError(Reason.SCOPE_MISSING))

        return StreamingResponse(pieces())

    app = added([Route("/", late)], told := list[Decision]())
    answer = await http(app, token=ISSUER.token())
    assert (answer.status, answer.body) == (200, b"begun")
    assert [decision.outcome for decision in told] == [Outcome.GRANTED]
