"""Quart: `JWT(app, ...)`, `require` on views of every kind, and what becomes of a refusal inside Quart."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest
from quart import Blueprint, Quart, Response, request, websocket
from quart.views import MethodView
from starlette.applications import Starlette
from starlette.routing import Mount

from jwt_asgi import AccessError, ConfigurationError, Decision, JWTMiddleware, Reason, Role, Scope, check_access
from jwt_asgi.access import Context, ExternalPolicy, PathParam, Subject
from jwt_asgi.instrumentation import Outcome
from jwt_asgi.quart import JWT, answer_refusals, current_token, require
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIApp
from tests.asgi import http
from tests.asgi import websocket as connect

ISSUER = TestIssuer(algorithms=["ES256"])
DENIAL: dict[str, Any] = {"websocket.http.response": {}}
LACKS_READ = (
    'Bearer realm="api", error="insufficient_scope", '
    'error_description="The access token lacks a scope that this needs", scope="todos:read"'
)


def options(told: list[Decision]) -> dict[str, Any]:
    return {**ISSUER.options(), "exempt": ["/open"], "realm": "api", "hooks": [told.append]}


async def asked(token: object, context: Context) -> bool:
    return (context.method, context.path, context.path_params["day"]) == ("GET", "/api/days/monday", "monday")


def asgi(app: Quart) -> ASGIApp:
    """Quart's own types of ASGI are narrower than the specification's."""
    return cast(ASGIApp, app)


def views() -> Blueprint:  # noqa: C901 - one of each
    """Views of every kind."""
    api = Blueprint("api", __name__)

    @api.get("/who")
    async def who() -> dict[str, Any]:
        token = current_token()
        return {"subject": None if token is None else token.subject}

    @api.get("/open")
    async def opened() -> dict[str, Any]:
        return {"subject": current_token()}

    @api.route("/todos")
    @require(Scope("todos:read"))
    async def todos() -> dict[str, Any]:
        return {"thread": threading.get_ident()}

    @api.get("/sync")
    @require(Scope("todos:read"))
    def sync() -> dict[str, Any]:
        token = current_token()
        assert token is not None
        return {"thread": threading.get_ident(), "subject": token.subject}

    @api.get("/body")
    async def body() -> str:
        check_access(current_token(), Scope("todos:read"))
        return "in"

    @api.get("/body/sync")
    def body_sync() -> str:
        check_access(current_token(), Scope("todos:read"))
        return "in"

    @api.get("/users/<user>")
    @require(Subject(PathParam("user")))
    async def user(user: str) -> str:
        return user

    @api.get("/docs/<int:number>")
    @require(Scope("doc:{number}:read"))
    async def document(number: int) -> str:
        return str(number)

    @api.get("/days/<day>")
    @require(ExternalPolicy("calendar", asked))
    async def days(day: str) -> str:
        return day

    @api.get("/stream")
    @require(Scope("todos:read"))
    async def stream() -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"one,"
            yield b"two"

        return Response(pieces())

    @api.get("/stream/refused")
    async def stream_refused() -> Response:
        token = current_token()

        async def pieces() -> AsyncIterator[bytes]:
            yield b"one,"
            check_access(token, Scope("todos:read"))

        return Response(pieces())

    class Notes(MethodView):
        decorators = [require(Scope("todos:read"))]  # noqa: RUF012 - Quart's own way

        async def get(self) -> str:
            return "notes"

    api.add_url_rule("/notes", view_func=Notes.as_view("notes"))

    @api.websocket("/talk")
    @require(Scope("todos:read"))
    async def talk() -> None:
        token = current_token()
        assert token is not None
        await websocket.send(token.subject or "")

    @api.websocket("/rooms/<room>")
    @require(Scope("room:{room}"))
    async def rooms(room: str) -> None:
        await websocket.send(room)

    @api.websocket("/late")
    async def late() -> None:
        await websocket.accept()
        check_access(current_token(), Scope("todos:read"))

    return api


def application(told: list[Decision]) -> Quart:
    app = Quart(__name__)
    JWT(app, **options(told))
    app.register_blueprint(views())
    app.register_blueprint(views(), url_prefix="/api", name="nested")
    return app


@pytest.fixture
def told() -> list[Decision]:
    """What the hooks were told."""
    return []


@pytest.fixture
def app(told: list[Decision]) -> Quart:
    """The application with the door, as users add it."""
    return application(told)


async def test_a_view_finds_the_token(app: Quart) -> None:
    assert (await http(asgi(app), path="/who", token=ISSUER.token(subject="ann"))).json() == {"subject": "ann"}


async def test_an_exempt_path_has_no_token(app: Quart) -> None:
    assert (await http(asgi(app), path="/open")).json() == {"subject": None}


@pytest.mark.parametrize("path", ["/who", "/todos", "/nothing-here"])
async def test_without_a_token_no_view_is_reached(app: Quart, path: str) -> None:
    answer = await http(asgi(app), path=path)
    assert (answer.status, answer.challenge) == (401, 'Bearer realm="api"')


async def test_what_is_not_there_is_quarts_own_404(app: Quart, told: list[Decision]) -> None:
    assert (await http(asgi(app), path="/nothing-here", token=ISSUER.token())).status == 404
    assert [decision.outcome for decision in told] == [Outcome.GRANTED]


GUARDED = ["/todos", "/sync", "/body", "/body/sync", "/stream", "/notes", "/api/todos", "/api/body/sync"]


@pytest.mark.parametrize("path", GUARDED)
async def test_a_good_token_is_let_in_and_the_hooks_are_told_once(app: Quart, told: list[Decision], path: str) -> None:
    assert (await http(asgi(app), path=path, token=ISSUER.token(scope="todos:read"))).status == 200
    assert [(decision.outcome, decision.reason) for decision in told] == [(Outcome.GRANTED, None)]


@pytest.mark.parametrize("path", GUARDED)
async def test_a_refusal_of_a_view_is_the_doors_answer_and_the_hooks_are_told_once(
    app: Quart, told: list[Decision], path: str
) -> None:
    answer = await http(asgi(app), path=path, token=ISSUER.token(subject="ann"))
    assert (answer.status, answer.challenge) == (403, LACKS_READ)
    assert answer.header("cache-control") == "no-store"
    assert answer.header("content-type") == "application/json"
    assert answer.header("content-length") == str(len(answer.body))
    assert answer.json() == {
        "error": "insufficient_scope",
        "error_description": "The access token lacks a scope that this needs",
    }
    (decision,) = told
    assert (decision.outcome, decision.reason) == (Outcome.REFUSED, Reason.SCOPE_MISSING)
    assert decision.token is not None
    assert decision.token.subject == "ann"


async def test_a_refused_head_has_the_headers_of_the_get_and_no_body(app: Quart) -> None:
    get, head = [
        await http(asgi(app), path="/todos", token=ISSUER.token(), method=method) for method in ("GET", "HEAD")
    ]
    assert (head.status, head.body) == (403, b"")
    assert head.headers == get.headers


async def test_a_view_on_an_exempt_path_that_needs_a_token_asks_for_one(told: list[Decision]) -> None:
    app = Quart(__name__)
    JWT(app, **options(told))

    @app.get("/open")
    @require(Scope("todos:read"))
    async def view() -> str:
        raise AssertionError("reached")

    answer = await http(asgi(app), path="/open")
    assert (answer.status, answer.challenge) == (401, 'Bearer realm="api", scope="todos:read"')
    assert [decision.reason for decision in told] == [Reason.CREDENTIALS_MISSING]


@pytest.mark.parametrize(
    ("path", "scope", "subject", "status"),
    [
        ("/users/ann", "", "ann", 200),
        ("/users/bob", "", "ann", 403),
        ("/docs/7", "doc:7:read", "ann", 200),
        ("/docs/8", "doc:7:read", "ann", 403),
        ("/api/days/monday", "", "ann", 200),
        ("/api/days/sunday", "", "ann", 403),
    ],
)
async def test_a_rule_reads_the_path_parameters_of_the_route(
    app: Quart, path: str, scope: str, subject: str, status: int
) -> None:
    answer = await http(asgi(app), path=path, token=ISSUER.token(scope=scope, subject=subject))
    assert answer.status == status


async def test_a_sync_view_runs_in_quarts_thread_and_an_async_one_in_the_event_loops(app: Quart) -> None:
    token = ISSUER.token(scope="todos:read", subject="ann")
    assert (await http(asgi(app), path="/todos", token=token)).json() == {"thread": threading.get_ident()}
    answer = (await http(asgi(app), path="/sync", token=token)).json()
    assert answer["subject"] == "ann"
    assert answer["thread"] != threading.get_ident()


async def test_a_response_is_streamed(app: Quart) -> None:
    assert (await http(asgi(app), path="/stream", token=ISSUER.token(scope="todos:read"))).body == b"one,two"


async def test_a_refusal_after_the_response_has_begun_is_none_any_more(app: Quart, told: list[Decision]) -> None:
    # Quart raises it on, from 0.23 in silence
    with suppress(AccessError):
        await http(asgi(app), path="/stream/refused", token=ISSUER.token())
    assert [decision.outcome for decision in told] == [Outcome.GRANTED]


async def test_a_blueprint_is_guarded_as_a_whole(told: list[Decision]) -> None:
    app = Quart(__name__)
    JWT(app, **options(told))
    admin = Blueprint("admin", __name__, url_prefix="/admin")

    @admin.before_request
    @admin.before_websocket
    @require(Role("admin"))
    async def only_admins() -> None:
        pass

    @admin.get("/")
    async def page() -> str:
        return "page"

    @admin.websocket("/talk")
    async def talk() -> None:
        await websocket.send("hello")

    app.register_blueprint(admin)
    assert (await http(asgi(app), path="/admin/", token=ISSUER.token(roles=["admin"]))).status == 200
    assert (await http(asgi(app), path="/admin/", token=ISSUER.token())).status == 403
    assert (await connect(asgi(app), path="/admin/talk", token=ISSUER.token(roles=["admin"]))).accepted
    assert (await connect(asgi(app), path="/admin/talk", token=ISSUER.token())).close_code == 1008


async def test_quarts_own_functions_after_the_request_see_the_refusal(app: Quart) -> None:
    @app.after_request
    async def mark(response: Response) -> Response:
        response.headers["x-seen"] = f"{request.path} {response.status_code}"
        return response

    answer = await http(asgi(app), path="/todos", token=ISSUER.token())
    assert answer.header("x-seen") == "/todos 403"
    assert answer.challenge == LACKS_READ


async def test_an_application_may_answer_a_refusal_itself(app: Quart) -> None:
    @app.errorhandler(AccessError)
    async def mine(error: AccessError) -> tuple[str, int]:
        return error.reason.value, 403

    assert (await http(asgi(app), path="/todos", token=ISSUER.token())).body == b"scope_missing"


async def test_a_handler_for_every_exception_leaves_refusals_alone(app: Quart) -> None:
    @app.errorhandler(Exception)
    async def mine(error: Exception) -> tuple[str, int]:
        return "mine", 500

    assert (await http(asgi(app), path="/todos", token=ISSUER.token())).challenge == LACKS_READ


@pytest.mark.parametrize("flag", ["DEBUG", "TESTING"])
async def test_a_refusal_is_the_same_in_debug_and_testing(app: Quart, flag: str) -> None:
    app.config[flag] = True
    assert (await http(asgi(app), path="/todos", token=ISSUER.token())).challenge == LACKS_READ


# WebSockets


async def test_a_websocket_view_finds_the_token(app: Quart, told: list[Decision]) -> None:
    socket = await connect(asgi(app), path="/talk", token=ISSUER.token(subject="ann", scope="todos:read"))
    assert [message["text"] for message in socket.messages if message["type"] == "websocket.send"] == ["ann"]
    assert [decision.outcome for decision in told] == [Outcome.GRANTED]


@pytest.mark.parametrize(("token", "status"), [(None, 401), (ISSUER.token(expires_in=86_400), 403)])
async def test_a_websocket_is_refused_before_it_is_accepted(
    app: Quart, told: list[Decision], token: str | None, status: int
) -> None:
    denied = await connect(asgi(app), path="/talk", token=token, extensions=DENIAL)
    assert denied.denial is not None
    assert denied.denial.status == status
    assert (denied.denial.challenge or "").startswith('Bearer realm="api"')
    closed = await connect(asgi(app), path="/talk", token=token)
    assert closed.messages == [{"type": "websocket.close", "code": 1008, "reason": ""}]
    assert [(decision.outcome, decision.kind) for decision in told] == [(Outcome.REFUSED, "websocket")] * 2


@pytest.mark.parametrize(("scope", "accepted"), [("room:one", True), ("room:two", False)])
async def test_a_websockets_rule_reads_its_path_parameters(app: Quart, scope: str, accepted: bool) -> None:
    assert (await connect(asgi(app), path="/rooms/one", token=ISSUER.token(scope=scope))).accepted is accepted


async def test_a_refusal_of_an_accepted_websocket_is_an_error_of_the_view(
    app: Quart, told: list[Decision], caplog: pytest.LogCaptureFixture
) -> None:
    socket = await connect(asgi(app), path="/late", token=ISSUER.token(), extensions=DENIAL)
    assert [message["type"] for message in socket.messages] == ["websocket.accept", "websocket.close"]
    assert "scope_missing" in caplog.text
    assert [decision.outcome for decision in told] == [Outcome.GRANTED]


# How it is put on


async def test_it_works_in_quarts_own_test_client_and_lifespan(app: Quart) -> None:
    headers = {"authorization": f"Bearer {ISSUER.token(scope='todos:read', subject='ann')}"}
    async with app.test_app() as running:
        client = running.test_client()
        assert (await client.get("/todos")).status_code == 401
        assert (await client.get("/todos", headers=headers)).status_code == 200
        async with client.websocket("/talk", headers=headers) as socket:
            assert await socket.receive() == "ann"


async def test_a_factory_gives_each_application_a_door_of_its_own(told: list[Decision]) -> None:
    jwt = JWT(**options(told))
    apps: list[Quart] = [Quart("first"), Quart("second")]
    first, second = [jwt.init_app(app).verifier for app in apps]
    assert first is not second
    for app in apps:
        assert (await http(asgi(app))).status == 401


def test_wrong_options_stop_the_start(told: list[Decision]) -> None:
    with pytest.raises(ConfigurationError, match="audience"):
        JWT(Quart(__name__), issuer=ISSUER.issuer, algorithms=["ES256"])
    with pytest.raises(ConfigurationError, match=r"expected a rule, as Scope\(\"todos:read\"\); got 'todos:read'"):
        require("todos:read")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="its door already"):
        JWT(application(told), **options(told))


async def test_the_rules_of_the_door_and_those_of_views_hold_together(told: list[Decision]) -> None:
    app = Quart(__name__)
    JWT(app, **options(told), rules={"/*": Role("user")})
    app.register_blueprint(views())
    assert (await http(asgi(app), path="/todos", token=ISSUER.token(scope="todos:read"))).status == 403
    assert (await http(asgi(app), path="/todos", token=ISSUER.token(roles=["user"]))).status == 403
    assert (await http(asgi(app), path="/todos", token=ISSUER.token(scope="todos:read", roles=["user"]))).status == 200


async def test_an_application_below_a_mount_leaves_the_door_to_the_outer_one(told: list[Decision]) -> None:
    app = Quart(__name__)
    app.register_blueprint(views())
    answer_refusals(app)
    outer = JWTMiddleware(Starlette(routes=[Mount("/below", asgi(app))]), **options(told))
    answer = await http(outer, path="/below/todos", token=ISSUER.token())
    assert (answer.status, answer.challenge) == (403, LACKS_READ)
    assert (await http(outer, path="/below/todos", token=ISSUER.token(scope="todos:read"))).status == 200
    assert [decision.outcome for decision in told] == [Outcome.REFUSED, Outcome.GRANTED]


def without_a_door(app: Quart) -> ASGIApp:
    return asgi(app)


def with_a_door_outside(app: Quart) -> ASGIApp:
    return JWTMiddleware(asgi(app), **ISSUER.options())


@pytest.mark.parametrize("path", ["/todos", "/who"])
@pytest.mark.parametrize(
    ("wrap", "advice"),
    [(without_a_door, "write JWT(app, issuer="), (with_a_door_outside, "write answer_refusals(app)")],
)
async def test_without_a_door_of_its_own_a_view_fails_closed_and_the_log_says_what_to_write(
    caplog: pytest.LogCaptureFixture, wrap: Callable[[Quart], ASGIApp], advice: str, path: str
) -> None:
    app = Quart(__name__)
    app.register_blueprint(views())
    # A token that somebody else has put there is none of ours
    forged: dict[str, Any] = {"jwt": SimpleNamespace(subject="eve", scopes={"todos:read"})}
    answer = await http(wrap(app), path=path, token=ISSUER.token(scope="todos:read"), **forged)
    assert answer.status == 500
    assert advice in caplog.text


def test_a_guarded_view_says_what_it_needs_and_keeps_its_name(app: Quart) -> None:
    view: Any = app.view_functions["api.todos"]
    assert view.__name__ == "todos"
    assert view.jwt_requirement == Scope("todos:read")


@pytest.fixture(autouse=True)
def no_noise(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Quart's loggers hand on to those of the test."""
    with caplog.at_level("ERROR"):
        yield
