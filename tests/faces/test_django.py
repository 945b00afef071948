"""Django under ASGI: `request.auth`, `require` on views of every kind, and what becomes of a refusal inside Django."""

from __future__ import annotations

import gc
import io
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.test import override_settings
from django.urls import path as url

from jwt_asgi import AccessError, ConfigurationError, Decision, JWTMiddleware, Reason, Role, Scope, check_access
from jwt_asgi.django import require
from jwt_asgi.instrumentation import Outcome
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIApp
from tests.asgi import http, websocket
from tests.faces import django_project

ISSUER = TestIssuer(algorithms=["ES256"])
LACKS_READ = (
    'Bearer realm="api", error="insufficient_scope", '
    'error_description="The access token lacks a scope that this needs", scope="todos:read", '
    'resource_metadata="https://api.test/.well-known/oauth-protected-resource"'
)
NO_TOKEN = 'Bearer realm="api", resource_metadata="https://api.test/.well-known/oauth-protected-resource"'


@pytest.fixture
def told() -> list[Decision]:
    """What the hooks were told."""
    return []


def door(told: list[Decision], **options: Any) -> ASGIApp:
    """What stands in asgi.py."""
    return JWTMiddleware(
        get_asgi_application(),
        **ISSUER.options(),
        exempt=["/open", "/open/*"],
        realm="api",
        resource="https://api.test",
        hooks=[told.append],
        **options,
    )


@pytest.fixture
def app(told: list[Decision]) -> ASGIApp:
    """The project behind the door."""
    return door(told)


async def test_a_view_finds_the_token_on_request_auth(app: ASGIApp) -> None:
    assert (await http(app, path="/who", token=ISSUER.token(subject="ann"))).json()["subject"] == "ann"


async def test_an_exempt_path_has_no_token(app: ASGIApp) -> None:
    assert (await http(app, path="/open")).json()["subject"] is None


@pytest.mark.parametrize("path", ["/who", "/todos", "/nothing-here"])
async def test_without_a_token_no_view_is_reached(app: ASGIApp, path: str) -> None:
    answer = await http(app, path=path)
    assert (answer.status, answer.challenge) == (401, NO_TOKEN)


async def test_what_is_not_there_and_what_is_broken_are_djangos_own(app: ASGIApp, told: list[Decision]) -> None:
    assert (await http(app, path="/nothing-here", token=ISSUER.token())).status == 404
    assert (await http(app, path="/broken", token=ISSUER.token())).status == 500
    assert [decision.outcome for decision in told] == [Outcome.GRANTED] * 2


GUARDED = [
    *("/todos", "/todos/sync", "/body", "/body/sync", "/stream"),
    *("/class", "/class/async", "/class/heir", "/class/dispatch", "/class/dispatch/async", "/class/method"),
    *("/class/method/async", "/class/wrapped", "/class/body", "/class/body/async"),
    *("/rest", "/rest/class", "/rest/method"),
]


@pytest.mark.parametrize("path", GUARDED)
async def test_a_good_token_is_let_in_and_the_hooks_are_told_once(
    app: ASGIApp, told: list[Decision], path: str
) -> None:
    assert (await http(app, path=path, token=ISSUER.token(scope="todos:read"))).status == 200
    assert [(decision.outcome, decision.reason) for decision in told] == [(Outcome.GRANTED, None)]


@pytest.mark.parametrize("path", GUARDED)
async def test_a_refusal_of_a_view_is_the_doors_answer_and_the_hooks_are_told_once(
    app: ASGIApp, told: list[Decision], path: str
) -> None:
    answer = await http(app, path=path, token=ISSUER.token(subject="ann"))
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


async def test_hooks_are_told_in_the_event_loops_thread() -> None:
    threads: list[int] = []
    app = JWTMiddleware(
        get_asgi_application(), **ISSUER.options(), hooks=[lambda _: threads.append(threading.get_ident())]
    )
    for path in ("/body/sync", "/todos/sync"):
        assert (await http(app, path=path, token=ISSUER.token())).status == 403
    assert threads == [threading.get_ident()] * 2


async def test_a_refused_head_has_the_headers_of_the_get_and_no_body(app: ASGIApp) -> None:
    get, head = [await http(app, path="/todos", token=ISSUER.token(), method=method) for method in ("GET", "HEAD")]
    assert (head.status, head.body) == (403, b"")
    assert head.headers == get.headers


async def test_a_view_on_an_exempt_path_that_needs_a_token_asks_for_one(app: ASGIApp, told: list[Decision]) -> None:
    answer = await http(app, path="/open/guarded")
    assert answer.status == 401
    assert 'scope="todos:read"' in (answer.challenge or "")
    assert [decision.reason for decision in told] == [Reason.CREDENTIALS_MISSING]


@pytest.mark.parametrize(
    ("path", "scope", "status"),
    [
        ("/users/ann", "", 200),
        ("/users/bob", "", 403),
        ("/docs/7", "doc:7:read", 200),
        ("/docs/8", "doc:7:read", 403),
        ("/days/monday", "", 200),
        ("/days/sunday", "", 403),
        ("/days/sync/monday", "", 200),
        ("/days/sync/sunday", "", 403),
    ],
)
async def test_a_rule_reads_the_path_parameters_of_the_url(app: ASGIApp, path: str, scope: str, status: int) -> None:
    assert (await http(app, path=path, token=ISSUER.token(scope=scope, subject="ann"))).status == status


async def test_an_external_policy_is_asked_in_the_event_loop_for_sync_views_too(app: ASGIApp) -> None:
    django_project.THREADS.clear()
    for path in ("/days/monday", "/days/sync/monday"):
        assert (await http(app, path=path, token=ISSUER.token())).status == 200
    here = threading.get_ident()
    assert [thread == here for thread in django_project.THREADS] == [True, True]


@pytest.mark.parametrize(
    ("path", "in_the_loop"),
    [
        ("/todos", True),
        ("/class/async", True),
        ("/class/dispatch/async", True),
        ("/class/wrapped", True),
        ("/todos/sync", False),
        ("/class", False),
    ],
)
async def test_a_view_runs_where_django_runs_it(app: ASGIApp, path: str, in_the_loop: bool) -> None:
    answer = (await http(app, path=path, token=ISSUER.token(scope="todos:read"))).json()
    assert (answer["thread"] == threading.get_ident()) is in_the_loop


async def test_other_methods_of_a_class_are_not_guarded_by_one(app: ASGIApp) -> None:
    assert (await http(app, path="/class/method", method="POST", token=ISSUER.token())).status == 200


async def test_other_decorators_go_together_with_require() -> None:
    assert django_project.posted.csrf_exempt is True
    assert django_project.posted.__name__ == "posted"


@pytest.mark.parametrize(
    "view",
    [
        django_project.todos,
        django_project.todos_sync,
        django_project.Todos.as_view(),
        django_project.AsyncDispatched.as_view(),
    ],
)
def test_a_guarded_view_says_what_it_needs(view: Any) -> None:
    assert view.jwt_requirement == Scope("todos:read")


async def test_a_response_is_streamed(app: ASGIApp) -> None:
    assert (await http(app, path="/stream", token=ISSUER.token(scope="todos:read"))).body == b"one,two"


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_a_refusal_after_the_response_has_begun_is_raised_on(app: ASGIApp, told: list[Decision]) -> None:
    with pytest.raises(AccessError):
        await http(app, path="/stream/refused", token=ISSUER.token())
    gc.collect()  # Django leaves the request's body open when an answer breaks off
    assert [decision.outcome for decision in told] == [Outcome.GRANTED]


OURS = "jwt_asgi.django.RequestAuthMiddleware"
SYNC = "tests.faces.django_project.SyncMiddleware"
WATCHED = "tests.faces.django_project.WatchedMiddleware"
OWN = "tests.faces.django_project.OwnMiddleware"


@pytest.mark.parametrize("middleware", [[OURS, SYNC], [SYNC, OURS]])
@pytest.mark.parametrize("path", ["/todos", "/todos/sync", "/body", "/body/sync"])
async def test_it_stands_on_either_side_of_a_sync_middleware(
    told: list[Decision], middleware: list[str], path: str
) -> None:
    with override_settings(MIDDLEWARE=middleware):
        app = door(told)
    answer = await http(app, path=path, token=ISSUER.token())
    assert (answer.status, answer.challenge, answer.header("x-seen")) == (403, LACKS_READ, "403")
    assert (await http(app, path=path, token=ISSUER.token(scope="todos:read"))).status == 200
    assert [decision.outcome for decision in told] == [Outcome.REFUSED, Outcome.GRANTED]


@pytest.mark.parametrize(
    ("middleware", "in_the_loop"), [([WATCHED], True), ([SYNC, WATCHED], True), ([WATCHED, SYNC], False)]
)
async def test_the_middleware_takes_no_thread_that_another_one_does_not_take(
    told: list[Decision], middleware: list[str], in_the_loop: bool
) -> None:
    with override_settings(MIDDLEWARE=middleware):
        app = door(told)
    django_project.THREADS.clear()
    assert (await http(app, path="/who", token=ISSUER.token())).status == 200
    assert [thread == threading.get_ident() for thread in django_project.THREADS] == [in_the_loop]


async def test_a_middleware_of_the_project_can_refuse_too(told: list[Decision]) -> None:
    with override_settings(MIDDLEWARE=[OURS, OWN]):
        app = door(told)
    answer = await http(app, path="/who", token=ISSUER.token())
    assert (answer.status, answer.challenge) == (403, LACKS_READ)
    assert [decision.outcome for decision in told] == [Outcome.REFUSED]


async def test_a_refusal_is_the_same_with_debug(app: ASGIApp) -> None:
    with override_settings(DEBUG=True):
        for path in ("/todos", "/body", "/rest"):
            assert (await http(app, path=path, token=ISSUER.token())).challenge == LACKS_READ


async def test_require_needs_the_door_and_not_the_middleware(told: list[Decision]) -> None:
    with override_settings(MIDDLEWARE=[]):
        app = door(told)
    assert (await http(app, path="/todos", token=ISSUER.token())).challenge == LACKS_READ


async def test_the_rules_of_the_door_and_those_of_views_hold_together(told: list[Decision]) -> None:
    app = door(told, rules={"/*": Role("user")})
    assert (await http(app, path="/todos", token=ISSUER.token(scope="todos:read"))).status == 403
    assert (await http(app, path="/todos", token=ISSUER.token(roles=["user"]))).status == 403
    assert (await http(app, path="/todos", token=ISSUER.token(scope="todos:read", roles=["user"]))).status == 200


# Django REST framework


async def test_the_rest_framework_has_the_token_as_its_request_auth_and_a_user_of_it(app: ASGIApp) -> None:
    answer = await http(app, path="/rest", token=ISSUER.token(scope="todos:read", subject="ann"))
    assert answer.json() == {"subject": "ann", "user": "ann"}
    assert (await http(app, path="/rest/authenticated", token=ISSUER.token(subject="ann"))).json() == {"user": "ann"}


async def test_the_rest_framework_asks_for_a_token_with_the_doors_challenge(told: list[Decision]) -> None:
    answer = await http(door(told, anonymous=True), path="/rest/authenticated")
    assert (answer.status, answer.challenge) == (401, NO_TOKEN)
    assert [decision.reason for decision in told] == [Reason.CREDENTIALS_MISSING]


# Channels


class Talk(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def connect(self) -> None:
        token = check_access(self.scope["jwt"], Scope("todos:read"))
        await self.accept()
        await self.send(token.subject)


@pytest.mark.parametrize(("token", "status"), [(None, 401), (ISSUER.token(expires_in=86_400), 403)])
async def test_the_door_goes_around_the_router_of_channels(
    told: list[Decision], token: str | None, status: int
) -> None:
    router = ProtocolTypeRouter({"http": get_asgi_application(), "websocket": URLRouter([url("talk", Talk.as_asgi())])})
    app = JWTMiddleware(router, **ISSUER.options(), hooks=[told.append])
    socket = await websocket(app, path="/talk", token=ISSUER.token(scope="todos:read", subject="ann"))
    assert [message["text"] for message in socket.messages if message["type"] == "websocket.send"] == ["ann"]
    denied = await websocket(app, path="/talk", token=token, extensions={"websocket.http.response": {}})
    assert denied.denial is not None
    assert denied.denial.status == status
    assert [decision.outcome for decision in told] == [Outcome.GRANTED, Outcome.REFUSED]
    assert (await http(app, path="/todos", token=ISSUER.token(scope="todos:read"))).status == 200


# What must not be forgotten


@pytest.mark.parametrize(
    ("middleware", "path"),
    [([OURS], "/who"), ([OURS], "/todos"), ([OURS], "/todos/sync"), ([], "/todos"), ([], "/todos/sync")],
)
async def test_without_a_door_every_guarded_view_fails_closed_and_the_log_says_what_to_write(
    caplog: pytest.LogCaptureFixture, middleware: list[str], path: str
) -> None:
    with override_settings(MIDDLEWARE=middleware):
        app = get_asgi_application()
    # A token that somebody else has put there is none of ours
    forged: dict[str, Any] = {"jwt": SimpleNamespace(subject="eve", scopes={"todos:read"})}
    answer = await http(app, path=path, token=ISSUER.token(scope="todos:read"), **forged)
    assert answer.status == 500
    assert "in asgi.py, write application = JWTMiddleware(get_asgi_application(), issuer=" in caplog.text


def test_under_wsgi_every_view_fails_closed_and_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    statuses: list[str] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/who", "SERVER_NAME": "api.test", "SERVER_PORT": "80"}
    get_wsgi_application()(environ | {"wsgi.input": io.BytesIO()}, lambda status, _: statuses.append(status))
    assert statuses == ["500 Internal Server Error"]
    assert "let an ASGI server run asgi.py" in caplog.text


def test_what_is_no_rule_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match=r"expected a rule, as Scope\(\"todos:read\"\); got 'todos:read'"):
        require("todos:read")  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/who", "/posted", "/todos", "/open"])
async def test_no_view_is_called_for_a_preflight_whatever_methods_it_takes(
    app: ASGIApp, told: list[Decision], path: str
) -> None:
    asks = [(b"origin", b"https://other.test"), (b"access-control-request-method", b"GET")]
    answer = await http(app, method="OPTIONS", path=path, headers=asks)
    assert (answer.status, answer.body) == (204, b"")
    assert [decision.outcome for decision in told] == [Outcome.EXEMPT]
    assert (await http(app, method="OPTIONS", path=path, headers=asks[:1])).status == (200 if path == "/open" else 401)
