"""Litestar's face: the plugin, guards, the `token` dependency, what is exempt, OpenAPI, and the door around it all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import pytest
from litestar import Controller, Litestar, Request, Response, Router, WebSocket, asgi, delete, get, websocket
from litestar.config.cors import CORSConfig
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.handlers import websocket_listener
from litestar.middleware import DefineMiddleware
from litestar.openapi import OpenAPIConfig
from litestar.response import Stream
from litestar.static_files import create_static_files_router
from litestar.testing import TestClient
from litestar.types import ControllerRouterHandler

from jwt_asgi import (
    AccessToken,
    ConfigurationError,
    Decision,
    JWTMiddleware,
    KeysUnavailable,
    Reason,
    Role,
    Scope,
    Verifier,
    check_access,
)
from jwt_asgi.access import AnyToken, Context, ExternalPolicy, PathParam, Subject
from jwt_asgi.instrumentation import Outcome
from jwt_asgi.litestar import CurrentToken, JWTPlugin, require
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIApp, ASGIScope, FetchResponse
from tests.asgi import http
from tests.asgi import websocket as open_websocket

ISSUER = TestIssuer(algorithms=["ES256"])
READ = Scope("todos:read")
DENIAL = {"websocket.http.response": dict[str, str]()}
NAMED = CurrentToken.__metadata__[0]  # type: ignore[attr-defined]
OPENAPI = OpenAPIConfig(title="Todos", version="1")
LACKING = (
    'Bearer error="insufficient_scope", error_description="The access token lacks a scope that this needs", '
    'scope="todos:read"'
)


def app_of(*handlers: ControllerRouterHandler, told: list[Decision] | None = None, **changes: Any) -> ASGIApp:
    """An application with the plugin, added as users add it; `litestar_` options are those of Litestar."""
    options = {name.removeprefix("litestar_"): value for name, value in changes.items() if name.startswith("litestar_")}
    options.setdefault("openapi_config", None)
    own = {name: value for name, value in changes.items() if not name.startswith("litestar_")}
    plugin = JWTPlugin(**{**ISSUER.options(), "hooks": [] if told is None else [told.append], **own})
    return cast("ASGIApp", Litestar(handlers, plugins=[plugin], **options))


def behind(*handlers: ControllerRouterHandler, told: list[Decision] | None = None, **door: Any) -> ASGIApp:
    """An application with the door around it."""
    app = cast("ASGIApp", Litestar(handlers, plugins=[JWTPlugin()], openapi_config=None))
    return JWTMiddleware(app, **{**ISSUER.options(), "hooks": [] if told is None else [told.append], **door})


either = pytest.mark.parametrize("made", [app_of, behind], ids=["plugin", "door"])


@get("/me")
async def me(token: CurrentToken) -> str | None:
    """The token as a dependency."""
    return token.subject


@get("/todos", guards=[require(READ)])
async def todos() -> str:
    """A guarded handler."""
    return "todos"


def token_of(connection: Request[Any, Any, Any] | WebSocket[Any, Any, Any]) -> AccessToken | None:
    """What the scope has."""
    return cast("AccessToken | None", cast("ASGIScope", connection.scope)["jwt"])


# --- the token --------------------------------------------------------------------------------------------------------


@either
async def test_a_handler_gets_the_token_as_a_dependency(made: Any) -> None:
    app = made(me)
    assert (await http(app, path="/me", token=ISSUER.token(subject="ann"))).body == b"ann"
    refused = await http(app, path="/me")
    assert (refused.status, refused.challenge) == (401, "Bearer")


@either
async def test_other_dependencies_are_given_the_token_too(made: Any) -> None:
    async def shouted(token: CurrentToken) -> str:
        return (token.subject or "").upper()

    async def other() -> int:
        return 7

    @get("/", dependencies={"name": Provide(shouted), "number": Provide(other)})
    async def handler(token: CurrentToken, name: Annotated[str, NAMED], number: Annotated[int, NAMED]) -> str:
        return f"{token.subject} {name} {number}"

    assert (await http(made(handler), token=ISSUER.token(subject="ann"))).body == b"ann ANN 7"


@either
async def test_the_token_dependency_needs_a_token_where_the_door_does_not(made: Any) -> None:
    @get("/maybe")
    async def maybe(request: Request[Any, Any, Any]) -> str:
        return "nobody" if token_of(request) is None else "somebody"

    async def other() -> int:
        return 7

    @get("/both", dependencies={"number": Provide(other)})
    async def both(token: CurrentToken, number: Annotated[int, NAMED]) -> str:
        raise AssertionError("reached")

    told: list[Decision] = []
    app = made(me, maybe, both, anonymous=True, told=told)
    assert (await http(app, path="/maybe")).body == b"nobody"
    assert (await http(app, path="/maybe", token=ISSUER.token())).body == b"somebody"
    assert [decision.outcome for decision in told] == [Outcome.ANONYMOUS, Outcome.GRANTED]
    for path in ("/me", "/both"):
        told.clear()
        refused = await http(app, path=path)
        assert (refused.status, refused.challenge) == (401, "Bearer")
        assert [decision.reason for decision in told] == [Reason.CREDENTIALS_MISSING]


# Litestar 3 wants query parameters marked, in a way that the oldest versions do not know
@pytest.mark.filterwarnings("ignore:.*deprecated inferred style")
async def test_the_dependency_may_have_another_name_or_none_and_gives_way_to_the_applications_own() -> None:
    @get("/")
    async def renamed(access_token: CurrentToken, token: str) -> str:
        return f"{access_token.subject} {token}"

    query = b"token=a-query-parameter"
    answer = await http(app_of(renamed, dependency="access_token"), token=ISSUER.token(subject="ann"), query=query)
    assert answer.body == b"ann a-query-parameter"

    @get("/")
    async def own(token: str) -> str:
        return token

    assert (await http(app_of(own, dependency=None), token=ISSUER.token(), query=b"token=x")).body == b"x"

    @get("/")
    async def taken(token: Annotated[str, NAMED]) -> str:
        return token

    mine = {"token": Provide(lambda: "mine", sync_to_thread=False)}
    assert (await http(app_of(taken, litestar_dependencies=mine), token=ISSUER.token())).body == b"mine"


async def test_request_user_and_request_auth_are_those_of_the_token() -> None:
    @get("/")
    async def handler(request: Request[Any, Any, Any]) -> list[Any]:
        return [request.user.display_name, request.user.is_authenticated, request.auth.scopes]

    answer = await http(app_of(handler), token=ISSUER.token(subject="ann", scope="a"))
    assert answer.json() == ["ann", True, ["authenticated", "a"]]


async def test_all_routes_share_one_verifier() -> None:
    issuer = TestIssuer("https://own.test", algorithms=["ES256"])
    plugin = JWTPlugin(**issuer.options())
    app = cast("ASGIApp", Litestar([me, todos], plugins=[plugin]))
    for path in ("/me", "/todos"):
        assert (await http(app, path=path, token=issuer.token(scope="todos:read"))).status == 200
    assert issuer.fetched.count(issuer.jwks_uri) == 1
    assert isinstance(plugin.verifier, Verifier)
    assert JWTPlugin().verifier is None


# --- guards and check_access ------------------------------------------------------------------------------------------


@either
async def test_a_guard_refuses_once_and_in_litestars_own_shape(made: Any) -> None:
    app = made(todos, told=(told := list[Decision]()))
    answer = await http(app, path="/todos", token=ISSUER.token())
    assert (answer.status, answer.challenge) == (403, LACKING)
    assert answer.json() == {"status_code": 403, "detail": "The access token lacks a scope that this needs"}
    assert answer.header("cache-control") == "no-store"
    assert [(decision.outcome, decision.reason) for decision in told] == [(Outcome.REFUSED, Reason.SCOPE_MISSING)]
    assert (await http(app, path="/todos", token=ISSUER.token(scope="todos:read"))).status == 200
    assert told[-1].outcome is Outcome.GRANTED


@either
@pytest.mark.parametrize("threaded", [False, True])
async def test_check_access_in_a_handler_gets_the_answer_that_a_guard_gives(made: Any, threaded: bool) -> None:
    @get("/", sync_to_thread=threaded)
    def handler(token: CurrentToken) -> str:
        check_access(token, READ)
        raise AssertionError("reached")

    app = made(handler, told=(told := list[Decision]()))
    answer = await http(app, token=ISSUER.token())
    assert (answer.status, answer.challenge) == (403, LACKING)
    assert answer.json() == {"status_code": 403, "detail": "The access token lacks a scope that this needs"}
    assert [decision.reason for decision in told] == [Reason.SCOPE_MISSING]


async def test_guards_of_every_layer_must_all_let_the_token_in() -> None:
    class Todos(Controller):
        path = "/todos"
        guards = [require(Scope("layer:controller"))]  # noqa: RUF012 - Litestar's own way

        @get(guards=[require(Scope("layer:handler"))])
        async def handler(self) -> str:
            return "in"

    router = Router("/router", route_handlers=[Todos], guards=[require(Scope("layer:router"))])
    app = app_of(router, litestar_guards=[require(Scope("layer:app"))])
    layers = [f"layer:{name}" for name in ("app", "router", "controller", "handler")]
    for missing in layers:
        token = ISSUER.token(scope=" ".join(layer for layer in layers if layer != missing))
        answer = await http(app, path="/router/todos", token=token)
        assert answer.status == 403
        assert f'scope="{missing}"' in (answer.challenge or "")
    assert (await http(app, path="/router/todos", token=ISSUER.token(scope=" ".join(layers)))).status == 200


async def test_a_rule_may_name_path_parameters_and_a_policy_sees_the_path() -> None:
    seen: list[Context] = []

    async def policy(token: AccessToken, context: Context) -> bool:
        seen.append(context)
        return True

    @get("/users/{user:int}", guards=[require(Subject(PathParam("user")) & ExternalPolicy("mine", policy))])
    async def handler() -> str:
        return "in"

    app = app_of(handler)
    assert (await http(app, path="/api/users/7", root_path="/api", token=ISSUER.token(subject="7"))).status == 200
    assert (await http(app, path="/users/7", token=ISSUER.token(subject="8"))).status == 403
    assert [(one.method, one.path, one.path_params) for one in seen] == [("GET", "/users/7", {"user": "7"})]


async def test_a_guard_tells_its_rule_and_takes_nothing_else() -> None:
    assert require(READ).jwt_requirement == READ  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match="expected a rule"):
        require("todos:read")  # type: ignore[arg-type]


@either
async def test_handlers_of_the_application_for_errors_do_not_change_what_a_refusal_is(made: Any) -> None:
    def own(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return Response({"mine": True}, status_code=status)

    @get("/", exception_handlers={Exception: own, 500: own})
    async def handler(token: CurrentToken) -> str:
        check_access(token, READ)
        raise AssertionError("reached")

    @get("/guarded", guards=[require(READ)], exception_handlers={HTTPException: own})
    async def guarded() -> str:
        raise AssertionError("reached")

    app = made(handler, guarded, told=(told := list[Decision]()))
    assert (await http(app, token=ISSUER.token())).challenge == LACKING
    answer = await http(app, path="/guarded", token=ISSUER.token())
    assert (answer.status, answer.json()) == (403, {"mine": True})
    assert [decision.reason for decision in told] == [Reason.SCOPE_MISSING] * 2


async def test_debug_mode_does_not_make_a_page_of_a_refusal() -> None:
    app = app_of(todos, litestar_debug=True, litestar_logging_config=None)
    answer = await http(app, path="/todos", token=ISSUER.token(), headers=[(b"accept", b"text/html")])
    assert (answer.status, answer.challenge) == (403, LACKING)


async def test_a_cached_answer_is_not_for_those_whom_the_guard_refuses() -> None:
    @get("/", guards=[require(READ)], cache=60)
    async def handler() -> str:
        return "cached"

    app = app_of(handler)
    assert (await http(app, token=ISSUER.token(scope="todos:read"))).status == 200
    assert (await http(app, token=ISSUER.token())).status == 403
    assert (await http(app)).status == 401


@either
async def test_what_is_refused_after_the_answer_began_is_no_second_decision(made: Any) -> None:
    @get("/")
    async def handler(token: CurrentToken) -> Stream:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"begun"
            check_access(token, READ)

        return Stream(pieces())

    app = made(handler, told=(told := list[Decision]()))
    with pytest.raises(Exception, match="response started"):
        await http(app, token=ISSUER.token())
    assert [decision.outcome for decision in told] == [Outcome.GRANTED]


# --- WebSockets -------------------------------------------------------------------------------------------------------


def talks() -> list[Any]:
    """WebSocket handlers that ask for a scope in each place where that can be done before the handshake."""

    def asking(token: CurrentToken) -> AccessToken:
        return check_access(token, READ)

    @websocket("/guard", guards=[require(READ)])
    async def guard(socket: WebSocket[Any, Any, Any]) -> None:
        await socket.accept()
        await socket.close()

    @websocket("/dependency", dependencies={"reader": Provide(asking, sync_to_thread=False)})
    async def dependency(socket: WebSocket[Any, Any, Any], reader: CurrentToken) -> None:
        await socket.accept()
        await socket.close()

    @websocket("/body")
    async def body(socket: WebSocket[Any, Any, Any]) -> None:
        check_access(token_of(socket), READ)
        await socket.accept()
        await socket.close()

    @websocket("/received")
    async def received(socket: WebSocket[Any, Any, Any], token: CurrentToken) -> None:
        await socket.receive()
        check_access(token, READ)
        await socket.send({"type": "websocket.accept", "subprotocol": None, "headers": []})
        await socket.close()

    @websocket_listener("/listener", guards=[require(READ)])
    async def listener(data: str) -> str:
        return data

    return [guard, dependency, body, received, listener]


@either
@pytest.mark.parametrize("path", ["/guard", "/dependency", "/body", "/received", "/listener"])
async def test_a_websocket_is_refused_before_it_is_accepted_with_the_whole_answer(made: Any, path: str) -> None:
    app = made(*talks(), told=(told := list[Decision]()))
    socket = await open_websocket(app, path=path, token=ISSUER.token(), extensions=DENIAL)
    assert socket.denial is not None
    assert (socket.denial.status, socket.denial.challenge, len(socket.messages)) == (403, LACKING, 2)
    assert [(decision.kind, decision.reason) for decision in told] == [("websocket", Reason.SCOPE_MISSING)]
    socket = await open_websocket(app, path=path, token=ISSUER.token())
    assert (socket.accepted, socket.close_code, len(socket.messages)) == (False, 1008, 1)
    assert (await open_websocket(app, path=path, token=ISSUER.token(scope="todos:read"))).accepted
    assert [decision.outcome for decision in told] == [Outcome.REFUSED, Outcome.REFUSED, Outcome.GRANTED]


@either
async def test_a_websocket_without_a_good_token_gets_the_whole_answer_too(made: Any) -> None:
    app = made(*talks())
    for token in (None, ISSUER.bad_token(Reason.TOKEN_EXPIRED)):
        socket = await open_websocket(app, path="/guard", token=token, extensions=DENIAL)
        assert socket.denial is not None
        assert socket.denial.status == 401


@either
async def test_a_websocket_that_is_refused_after_it_was_accepted_is_closed_for_policy(made: Any) -> None:
    @websocket("/")
    async def talk(socket: WebSocket[Any, Any, Any], token: CurrentToken) -> None:
        await socket.accept()
        check_access(token, READ)

    app = made(talk, told=(told := list[Decision]()))
    socket = await open_websocket(app, token=ISSUER.token(), extensions=DENIAL)
    assert [message["type"] for message in socket.messages] == ["websocket.accept", "websocket.close"]
    assert (socket.close_code, socket.messages[1]["reason"]) == (1008, "")
    assert [decision.outcome for decision in told] == [Outcome.GRANTED]


@either
async def test_another_fault_of_a_websocket_is_left_to_litestar(made: Any) -> None:
    @websocket("/")
    async def talk(socket: WebSocket[Any, Any, Any]) -> None:
        raise RuntimeError("a bug")

    app = made(talk, told=(told := list[Decision]()))
    socket = await open_websocket(app, token=ISSUER.token(), extensions=DENIAL)
    assert socket.close_code == 4500
    assert [decision.outcome for decision in told] == [Outcome.GRANTED]


# --- what is exempt ---------------------------------------------------------------------------------------------------


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """A mounted ASGI application."""
    token = scope["jwt"]
    body = b"nobody" if token is None else str(token.subject).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def mounted(path: str, **opt: Any) -> Any:
    return asgi(path, is_mount=True, copy_scope=True, **opt)(plain)


async def test_a_route_is_exempt_by_its_own_opt_in_every_layer(tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("page")

    @get("/handler", jwt_exempt=True)
    async def handler() -> str:
        return "open"

    @get("/inner")
    async def inner() -> str:
        return "open"

    @get("/closed", jwt_exempt=False)
    async def closed() -> str:
        return "closed"

    @get("/said-otherwise", jwt_exempt="yes")
    async def said_otherwise() -> str:
        return "closed"

    @websocket("/talk", jwt_exempt=True)
    async def talk(socket: WebSocket[Any, Any, Any]) -> None:
        await socket.accept()
        await socket.close()

    router = Router("/router", route_handlers=[inner, closed], opt={"jwt_exempt": True})
    static = create_static_files_router("/static", [tmp_path], opt={"jwt_exempt": True})
    hidden = create_static_files_router("/hidden", [tmp_path], name="hidden")
    mounts = [mounted("/mount", jwt_exempt=True), mounted("/other")]
    app = app_of(handler, router, said_otherwise, talk, static, hidden, *mounts, told=(told := list[Decision]()))
    for path in ("/handler", "/handler/", "//handler", "/router/inner", "/static/page.txt", "/mount/a/b"):
        assert (await http(app, path=path)).status == 200, path
    assert {decision.outcome for decision in told} == {Outcome.EXEMPT}
    for path in ("/router/closed", "/said-otherwise", "/hidden/page.txt", "/other/a", "/other/handler"):
        assert (await http(app, path=path)).status == 401, path
        assert (await http(app, path=path, token=ISSUER.token())).status == 200, path
    assert (await open_websocket(app, path="/talk")).accepted


def test_the_whole_application_cannot_be_exempt() -> None:
    with pytest.raises(ConfigurationError, match="opens all"):
        app_of(me, litestar_opt={"jwt_exempt": True})


@get(["/healthz", "/docs/a", "/docs", "/private", "/api/healthz"])
async def anywhere() -> str:
    """A handler on several paths."""
    return "reached"


@pytest.mark.parametrize(
    ("path", "root_path", "status"),
    [
        ("/healthz", "", 200),
        ("/healthz/", "", 200),
        ("//healthz", "", 200),
        ("/docs/a", "", 200),
        ("/docs/a/", "", 200),
        ("/docs", "", 401),
        ("/private", "", 401),
        ("/docs/../private", "", 404),
        ("/api/healthz", "/api", 200),
        ("/api/api/healthz", "/api", 401),
        ("/docs/api/private", "/api", 401),
        ("/healthz/api/private", "/api", 401),
    ],
)
async def test_an_exempt_path_is_that_which_litestar_has_matched(path: str, root_path: str, status: int) -> None:
    app = app_of(anywhere, exempt=["/healthz", "/docs/*"])
    assert (await http(app, path=path, root_path=root_path)).status == status


async def test_an_exempt_path_opens_no_mount_whose_inner_path_is_equal() -> None:
    app = app_of(mounted("/mount"), anywhere, exempt=["/healthz", "/mount/*", "/private/*"])
    for path in ("/mount/healthz", "/mount/private/x", "/mount/x", "/mount"):
        assert (await http(app, path=path)).status == 401, path


@pytest.mark.parametrize(
    ("path", "status"), [("/healthz", 200), ("/healthz/", 401), ("/docs/a", 200), ("/docs/a/", 200), ("//healthz", 401)]
)
async def test_the_door_around_takes_exempt_paths_as_they_are_written(path: str, status: int) -> None:
    assert (await http(behind(anywhere, exempt=["/healthz", "/docs/*"]), path=path)).status == status


async def test_rules_of_the_door_around_hold_with_a_slash_at_the_end_too() -> None:
    app = behind(todos, rules={"GET /todos": Role("admin")})
    for path in ("/todos", "/todos/", "//todos", "/todos//"):
        answer = await http(app, path=path, token=ISSUER.token(scope="todos:read"))
        assert answer.status == 403, path


async def test_unknown_paths_and_methods_are_told_by_the_plugin_and_not_by_the_door_around() -> None:
    for method, path, status in (("GET", "/nowhere", 404), ("POST", "/me", 405)):
        assert (await http(app_of(me), method=method, path=path)).status == status
        assert (await http(behind(me), method=method, path=path)).status == 401


async def test_a_preflight_is_answered_and_refusals_are_marked_for_browsers() -> None:
    # Fetch section 3.2: without the header a browser hides even the 401 from the page
    app = app_of(me, todos, litestar_cors_config=CORSConfig(allow_origins=["https://app.test"]))
    origin = (b"origin", b"https://app.test")
    headers = [origin, (b"access-control-request-method", b"GET")]
    assert (await http(app, method="OPTIONS", path="/todos", headers=headers)).status == 204
    for path, token, status in (("/todos", None, 401), ("/todos", ISSUER.token(), 403)):
        refused = await http(app, path=path, token=token, headers=[origin])
        assert (refused.status, refused.header("access-control-allow-origin")) == (status, "https://app.test")


# --- OpenAPI and metadata ---------------------------------------------------------------------------------------------


def documented() -> list[Any]:
    @get("/open", jwt_exempt=True)
    async def opened() -> str:
        return "open"

    @delete(["/one", "/two"], guards=[require(READ & Scope("todos:delete"))])
    async def removed() -> None:
        """Nothing."""

    return [me, todos, opened, removed, anywhere]


async def test_the_openapi_document_says_which_scopes_a_route_asks_for() -> None:
    app = cast("Any", app_of(*documented(), exempt=["/healthz"], scheme="Bearer", litestar_openapi_config=OPENAPI))
    schema = app.openapi_schema.to_schema()
    assert schema["components"]["securitySchemes"] == {
        "Bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
    found = {
        f"{method} {path}": operation.get("security")
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
    }
    assert found["get /me"] == [{"Bearer": []}]
    assert found["get /todos"] == [{"Bearer": ["todos:read"]}]
    assert found["delete /one"] == found["delete /two"] == [{"Bearer": ["todos:delete", "todos:read"]}]
    assert found["get /open"] is None
    assert found["get /private"] == [{"Bearer": []}]


async def test_the_openapi_document_itself_needs_a_token_unless_it_is_exempt() -> None:
    path = "/schema/openapi.json"
    assert (await http(app_of(me, litestar_openapi_config=OPENAPI), path=path)).status == 401
    assert (await http(app_of(me, exempt=["/schema/*"], litestar_openapi_config=OPENAPI), path=path)).status == 200
    assert "security" not in OPENAPI.to_openapi_schema().to_schema()


@pytest.mark.parametrize("resource", ["https://api.test/v1", "https://api.test", "https://api.test/v1/"])
async def test_the_metadata_of_the_resource_are_served_with_the_scopes_of_guards(resource: str) -> None:
    app = app_of(*documented(), resource=resource)
    path = "/.well-known/oauth-protected-resource" + resource.removeprefix("https://api.test")
    answer = await http(app, path=path)
    assert (answer.status, answer.header("access-control-allow-origin")) == (200, "*")
    assert answer.json() == {
        "resource": resource,
        "authorization_servers": [ISSUER.issuer],
        "scopes_supported": ["todos:delete", "todos:read"],
        "bearer_methods_supported": ["header"],
    }
    assert (await http(app, path=path, method="HEAD")).body == b""
    assert (await http(app, path=path, method="POST")).status == 405
    assert f'resource_metadata="https://api.test{path}"' in ((await http(app, path="/me")).challenge or "")


# --- start, and what was forgotten ------------------------------------------------------------------------------------


async def no_answer(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
    """Stand for an issuer that is down."""
    raise OSError("connection refused")


def test_keys_are_fetched_at_the_start_where_that_is_wanted() -> None:
    issuer = TestIssuer("https://warm.test", algorithms=["ES256"])
    for startup, fetched in (("lazy", 0), ("warm", 1)):
        app = Litestar([me], plugins=[JWTPlugin(**issuer.options(), startup=cast("Any", startup))])
        with TestClient(app) as client:
            assert issuer.fetched.count(issuer.jwks_uri) == fetched
            answer = client.get("/me", headers={"authorization": f"Bearer {issuer.token(subject='ann')}"})
            assert answer.text == "ann"
        issuer.fetched.clear()


def test_the_application_does_not_start_without_keys_that_it_requires(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jwt_asgi.verifier.START_SECONDS", 0.05)
    app = cast("Any", app_of(me, fetch=no_answer, startup="require"))
    with pytest.raises(BaseExceptionGroup) as caught, TestClient(app):
        raise AssertionError("started")
    assert caught.value.subgroup(KeysUnavailable) is not None


@pytest.mark.parametrize(
    "options", [{"issuer": "https://issuer.test"}, {"exempt": ["healthz"]}, {"startup": "soon"}, {"realm": '"'}]
)
def test_the_options_are_checked_when_the_plugin_is_made(options: Any) -> None:
    with pytest.raises(ConfigurationError):
        JWTPlugin(**options if "issuer" in options else {**ISSUER.options(), **options})


async def test_where_the_door_is_forgotten_no_handler_is_called() -> None:
    called: list[str] = []

    @get("/")
    async def handler() -> None:
        called.append("handler")

    @get("/guarded", guards=[require(READ)])
    async def guarded() -> None:
        called.append("guarded")

    forgotten = cast("ASGIApp", Litestar([handler], plugins=[JWTPlugin()], logging_config=None))
    assert (await http(forgotten, token=ISSUER.token())).status == 500
    unprotected = cast("ASGIApp", Litestar([guarded], logging_config=None))
    assert (await http(unprotected, path="/guarded", token=ISSUER.token(scope="todos:read"))).status == 500
    assert called == []


async def test_guards_work_inside_the_door_without_the_plugin() -> None:
    told: list[Decision] = []
    app = JWTMiddleware(cast("ASGIApp", Litestar([todos])), **ISSUER.options(), hooks=[told.append])
    answer = await http(app, path="/todos", token=ISSUER.token())
    assert (answer.status, answer.challenge) == (403, LACKING)
    assert [decision.reason for decision in told] == [Reason.SCOPE_MISSING]


async def test_the_plain_middleware_in_litestars_stack_protects_matched_routes() -> None:
    # One verifier for all routes: Litestar makes the middleware anew for each
    plugin = JWTPlugin(**ISSUER.options())
    middleware = DefineMiddleware(cast("Any", JWTMiddleware), verifier=plugin.verifier)
    app = cast("ASGIApp", Litestar([todos], middleware=[middleware]))
    assert (await http(app, path="/todos")).status == 401
    assert (await http(app, path="/todos", token=ISSUER.token())).challenge == LACKING
    assert (await http(app, path="/todos", token=ISSUER.token(scope="todos:read"))).status == 200


async def test_an_access_error_of_a_mounted_application_is_answered() -> None:
    @asgi("/mount", is_mount=True, copy_scope=True)
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        check_access(scope["jwt"], READ)

    for made in (app_of, behind):
        answer = await http(made(inner), path="/mount/x", token=ISSUER.token())
        assert (answer.status, answer.challenge) == (403, LACKING)


def test_the_plugin_takes_no_route_rules_which_a_mount_would_escape() -> None:
    options: dict[str, Any] = {**ISSUER.options(), "rules": {"/*": AnyToken()}}
    with pytest.raises(ConfigurationError, match="rules: expected guards on the routes"):
        JWTPlugin(**options)
