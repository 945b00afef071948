"""`jwt-asgi routes`: the table is what a request without a token gets, and every gap in it ends the command with 1."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import MagicMock

import pytest
from fastapi import APIRouter, Depends, FastAPI, Security, WebSocket
from fastapi.security import APIKeyHeader, SecurityScopes
from litestar import Controller, Litestar, asgi, get, post, websocket
from litestar import Router as LitestarRouter
from litestar import WebSocket as LitestarSocket
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency, Provide
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.middleware import DefineMiddleware
from litestar.params import FromPath
from litestar.types import Receive as LitestarReceive
from litestar.types import Scope as LitestarScope
from litestar.types import Send as LitestarSend
from quart import Quart
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser, SimpleUser
from starlette.authentication import requires as starlette_requires
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Host, Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket as StarletteSocket

from jwt_asgi import JWTMiddleware, Requirement, Role, Scope, Verifier
from jwt_asgi.access import AnyToken
from jwt_asgi.cli import main
from jwt_asgi.cli.audit import Audit, Public, audit
from jwt_asgi.cli.audit_probe import answer_of, probe, refusals
from jwt_asgi.cli.audit_steps import Kind, State
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIApp, ASGIScope, Receive, Send
from tests.asgi import http

ROOT = Path(__file__).parents[2]
ISSUER = TestIssuer(algorithms=["ES256"])
OPTIONS: Any = ISSUER.options()
DOOR: Any = JWTMiddleware
READ = Scope("todos:read")


# What the faces of frameworks look like from outside: `jwt_requirement` on what asks, `.verifier` on what verifies.


def unauthorized() -> HTTPException:
    return HTTPException(401)


class Bearer:
    """A dependency that verifies by itself."""

    jwt_requirement = AnyToken()

    def __init__(self, *, anonymous: bool = False) -> None:
        self.verifier: Verifier = JWTMiddleware(endless, **OPTIONS).verifier
        self.anonymous = anonymous

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes) -> None:
        if not self.anonymous or security_scopes.scopes:
            raise unauthorized()
        connection.scope["jwt"] = None


def require(rule: Requirement) -> Callable[[HTTPConnection], None]:
    """A dependency that needs what something before it has verified."""

    def dependency(connection: HTTPConnection) -> None:
        if connection.scope["jwt"] is None:
            raise unauthorized()

    dependency.jwt_requirement = rule  # type: ignore[attr-defined]
    return dependency


def requires(rule: Requirement) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator of endpoints that does the same."""

    def decorate(endpoint: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(endpoint)
        async def guarded(*args: Any) -> Any:
            if args[-1].scope["jwt"] is None:
                raise unauthorized()
            return await endpoint(*args)

        inner: Requirement | None = getattr(endpoint, "jwt_requirement", None)
        guarded.jwt_requirement = rule if inner is None else rule & inner  # type: ignore[attr-defined]
        return guarded

    return decorate


def guard(rule: Requirement) -> Any:
    """A guard of Litestar that does the same."""

    async def check(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        if connection.scope["jwt"] is None:  # type: ignore[typeddict-item]
            raise NotAuthorizedException

    check.jwt_requirement = rule  # type: ignore[attr-defined]
    return check


class Backend(AuthenticationBackend):
    """A backend that verifies, and lets through what has no token."""

    anonymous = True

    def __init__(self) -> None:
        self.verifier: Verifier = JWTMiddleware(endless, **OPTIONS).verifier

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        conn.scope["jwt"] = None
        return None


class Stranger(AuthenticationBackend):
    """Somebody else's, which lets anybody in."""

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        return AuthCredentials(["authenticated", "todos:read"]), SimpleUser("ada")


class Wrapper:
    """A middleware of somebody's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


async def endless(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """An application whose routes nobody can see."""
    await PlainTextResponse("opaque")(scope, receive, send)


async def ok(request: Request) -> Response:
    return PlainTextResponse("ok")


async def talk(socket: StarletteSocket) -> None:
    await socket.accept()
    await socket.close()


def starlette(*routes: BaseRoute, **options: Any) -> Starlette:
    return Starlette(routes=list(routes), **options)


def behind(app: Any, **options: Any) -> JWTMiddleware:
    return JWTMiddleware(app, **OPTIONS, **options)


def lines(found: Audit) -> list[str]:
    """The table: method, path, state, needs."""
    return [f"{row.title} | {row.state} | {row.verdict.requirement}" for row in found.rows]


def findings(found: Audit) -> list[str]:
    return [f"{one.status.value} {one.code} {one.where}" for one in found.remarks]


async def audited(app: Any, public: Sequence[str] = ()) -> Audit:
    """Read the table, and see for every row of it that a request without a token gets what it says."""
    found = audit(app, [Public.parse(text) for text in public])
    for row in found.rows:
        for path in row.paths:
            answer = await answer_of(app, row, path)
            if row.verdict.state is State.PROTECTED:
                assert answer in refusals(row), f"{row.title}: {answer}"
            elif row.verdict.state is State.BROKEN:
                assert answer in {500, "KeyError", "ConfigurationError"}, f"{row.title}: {answer}"
            elif row.verdict.state is State.REFUSED:
                # The guard of MCP tools refuses a tool without a rule to whoever was let in without a token
                assert answer == 401 or (answer == 403 and row.kind is Kind.TOOL), f"{row.title}: {answer}"
            else:
                assert answer not in {401, 403}, f"{row.title}: {answer}"
    assert (await probe(app, found)) == found
    return found


async def test_a_bare_application_is_unprotected_from_end_to_end(tmp_path: Path) -> None:
    app = FastAPI()
    app.get("/todos/{todo:int}")(lambda todo: todo)
    app.mount("/static", StaticFiles(directory=tmp_path))
    app.mount("/other", endless)

    found = await audited(app)

    assert lines(found) == [
        "GET /openapi.json | unprotected | nothing",
        "GET /docs | unprotected | nothing",
        "GET /docs/oauth2-redirect | unprotected | nothing",
        "GET /redoc | unprotected | nothing",
        "GET /todos/{todo:int} | unprotected | nothing",
        "GET /static/* | unprotected | nothing",
        "* /other/* | unprotected | nothing",
    ]
    assert [row.kind.value for row in found.rows[-3:]] == ["route", "static", "opaque"]
    assert {line.split()[1] for line in findings(found)[:-1]} == {"unprotected"}
    assert not found.good


async def test_what_is_listed_as_public_is_no_fault_and_what_is_listed_in_vain_is_told() -> None:
    app = starlette(Route("/healthz", ok), Route("/docs/{page}", ok), Route("/form", ok, methods=["GET", "POST"]))
    public = ["GET /healthz", "/docs/*", "GET /form", "/gone"]

    found = await audited(app, public)

    assert lines(found) == [
        "GET /healthz | public | nothing",
        "GET /docs/{page} | public | nothing",
        "GET /form | public | nothing",
        "POST /form | unprotected | nothing",
    ]
    assert findings(found) == ["fault unprotected POST /form", "warning unused-public /gone"]
    assert (await audited(app, [*public[:2], "/form"])).good


@pytest.mark.parametrize("wrap", [lambda app: app, Wrapper, partial, lambda app: app.__call__, GZipMiddleware])
async def test_the_door_is_found_around_an_application_whatever_is_around_the_door(wrap: Callable[[Any], Any]) -> None:
    app = wrap(behind(GZipMiddleware(starlette(Route("/todos", ok), WebSocketRoute("/talk", talk)))))
    assert lines(await audited(app)) == [
        "GET /todos | protected | any token",
        "WEBSOCKET /talk | protected | any token",
    ]


@pytest.mark.parametrize("made", [Starlette, FastAPI])
@pytest.mark.parametrize("started", [False, True])
async def test_the_door_is_found_among_the_middleware_of_an_application(made: type[Starlette], started: bool) -> None:
    app = made()
    app.router.routes.clear()
    app.mount("/sub", starlette(Route("/{name}", ok)))
    app.add_middleware(JWTMiddleware, **OPTIONS, exempt=["/sub/open"])
    app.add_middleware(CORSMiddleware, allow_origins=["*"])
    if started:
        assert (await http(app, path="/sub/x")).status == 401

    found = await audited(app, ["/sub/open"])

    assert lines(found) == ["GET /sub/{name} | protected | any token", "GET /sub/open | public | nothing"]
    assert findings(found) == []


async def test_a_door_protects_what_is_below_its_mount_and_sees_paths_as_they_are_there() -> None:
    inner = starlette(
        Route("/a", ok), Route("/open", ok), middleware=[Middleware(JWTMiddleware, **OPTIONS, exempt=["/open"])]
    )
    routed = Route("/routed", ok, middleware=[Middleware(JWTMiddleware, **OPTIONS)])
    app = starlette(
        Mount("/{tenant}/in", app=inner),
        Mount("/wrapped", routes=[Route("/b", ok)], middleware=[Middleware(JWTMiddleware, **OPTIONS)]),
        Mount("/router", app=Router([Route("/c", ok)], middleware=[Middleware(JWTMiddleware, **OPTIONS)])),
        routed,
        Host("{sub}.example.com", app=behind(starlette(Route("/d", ok)))),
        Route("/outside", ok),
    )
    assert lines(await audited(app)) == [
        "GET /{tenant}/in/a | protected | any token",
        "GET /{tenant}/in/open | unprotected | nothing",
        "GET /wrapped/b | protected | any token",
        "GET /router/c | protected | any token",
        "GET /routed | protected | any token",
        "GET /d on {sub}.example.com | protected | any token",
        "GET /outside | unprotected | nothing",
    ]


async def test_the_rules_of_the_door_are_what_each_route_needs() -> None:
    rules = {
        "/todos/*": AnyToken(),
        "GET /todos/{id}": READ,
        "POST /todos": Scope("todos:write") & Role("editor"),
        "WEBSOCKET /talk": Scope("talk"),
        "/files/*": Scope("files"),
    }
    app = behind(
        starlette(
            Route("/todos", ok, methods=["GET", "POST"]),
            Route("/todos/{id:int}", ok),
            WebSocketRoute("/talk", talk),
            Route("/files/{path:path}", ok),
        ),
        rules=rules,
    )
    found = await audited(app)
    assert lines(found) == [
        "GET /todos | protected | any token",
        "POST /todos | protected | (scope todos:write and role editor)",
        "GET /todos/{id:int} | protected | scope todos:read",
        "WEBSOCKET /talk | protected | scope talk",
        "GET /files/{path:path} | protected | scope files",
    ]
    assert findings(found) == []


async def test_a_route_without_a_rule_and_a_rule_without_a_route_are_faults() -> None:
    rules = {"GET /a": READ, "/tods": READ, "POST /a": READ, "/b/{x}/{y}": READ, "WEBSOCKET /a": READ}
    app = behind(starlette(Route("/a", ok), Route("/b/{x}", ok)), rules=rules, exempt=["/gone", "/b/*"])

    found = await audited(app, ["/b/{x}"])

    assert lines(found) == ["GET /a | protected | scope todos:read", "GET /b/{x} | public | nothing"]
    assert findings(found) == [
        "fault unused-rule /tods",
        "fault unused-rule POST /a",
        "fault unused-rule /b/{x}/{y}",
        "fault unused-rule WEBSOCKET /a",
        "warning unused-exemption /gone",
    ]
    uncovered = await audited(behind(starlette(Route("/a", ok), Route("/b", ok)), rules={"/a": READ}))
    assert lines(uncovered)[1] == "GET /b | refused to all | -"
    assert findings(uncovered) == ["fault refused-to-all GET /b"]


@pytest.mark.parametrize(
    ("exempt", "expected"),
    [
        ("/docs/*", ["GET /docs/{page} | unprotected"]),
        ("/docs/first/*", ["GET /docs/{page} | protected"]),
        ("/docs/first", ["GET /docs/{page} | protected", "GET /docs/first | unprotected"]),
        ("GET /docs/first", ["GET /docs/{page} | protected", "GET /docs/first | unprotected"]),
        ("POST /docs/first", ["GET /docs/{page} | protected"]),
        ("HEAD /docs/first", ["GET /docs/{page} | protected", "HEAD /docs/first | unprotected"]),
        ("/docs", ["GET /docs/{page} | protected"]),
    ],
)
async def test_an_exemption_opens_a_route_or_a_part_of_it(exempt: str, expected: list[str]) -> None:
    app = behind(starlette(Route("/docs/{page}", ok)), exempt=[exempt])
    assert [line.rpartition(" | ")[0] for line in lines(await audited(app))] == expected


async def test_an_exemption_of_what_is_below_opens_routes_that_end_with_a_slash() -> None:
    app = starlette(Route("/simple/", ok), Route("/simple/{name}/", ok), Route("/simple/{name}/{file}", ok))
    found = await audited(behind(app, exempt=["/simple/*"]))
    assert lines(found) == [
        "GET /simple/ | protected | any token",
        "GET /simple/{name}/ | unprotected | nothing",
        "GET /simple/{name}/{file} | unprotected | nothing",
    ]
    alone = behind(starlette(Route("/simple/{name}/", ok)), exempt=["/simple/*"])
    assert findings(await audited(alone, ["/simple/{name}/"])) == []
    partly = behind(starlette(Route("/{kind}/{name}/", ok)), exempt=["/simple/*"])
    assert lines(await audited(partly)) == [
        "GET /{kind}/{name}/ | protected | any token",
        "GET /simple/* | unprotected | nothing",
    ]


async def test_an_exemption_is_told_at_the_route_that_takes_the_request() -> None:
    app = behind(starlette(Route("/healthz", ok), Route("/{path:path}", ok)), exempt=["/healthz", "/robots.txt"])
    found = await audited(app)
    assert lines(found) == [
        "GET /healthz | unprotected | nothing",
        "GET /{path:path} | protected | any token",
        "GET /robots.txt | unprotected | nothing",
    ]
    assert found.rows[-1].kind.value == "exemption"


async def test_an_exemption_for_one_method_of_a_mount_is_told_by_the_method() -> None:
    found = await audited(behind(starlette(Mount("/x", app=endless)), exempt=["GET /x/*"]))
    assert lines(found)[:2] == ["GET /x/* | unprotected | nothing", "POST /x/* | protected | any token"]


async def test_an_unknown_application_is_opaque_and_its_rules_are_the_best_that_is_known() -> None:
    assert lines(await audited(endless)) == ["* /* | unprotected | nothing"]
    assert lines(await audited(behind(endless))) == ["* /* | protected | any token"]
    found = await audited(behind(endless, rules={"GET /notes/{id}": READ, "/admin/*": Role("admin")}))
    assert lines(found) == [
        "GET /notes/{id} | protected | scope todos:read",
        "* /admin/* | protected | role admin",
        "* /* | refused to all | -",
    ]
    assert findings(found) == [
        "warning preflight * /admin/*",
        "warning preflight * /*",
        "not checked opaque tests.cli.test_routes.endless",
    ]
    preflight = [(b"origin", b"https://app.test"), (b"access-control-request-method", b"GET")]
    assert (await http(behind(endless), method="OPTIONS", headers=preflight)).body == b"opaque"


async def test_quart_is_opaque_behind_the_door_in_its_stack() -> None:
    app = Quart("service")
    app.asgi_app = behind(app.asgi_app)  # type: ignore[method-assign, assignment]
    found = await audited(app)
    (row,) = found.rows
    assert (row.state, row.name) == ("protected", "quart.app.Quart")
    assert findings(found) == ["not checked opaque quart.app.Quart"]


def test_the_command_says_whose_rules_cannot_be_seen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = types.ModuleType("with_quart")
    module.app = behind(Quart("service"))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert main(["routes", "with_quart:app"]) == 0
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "not checked: opaque: quart.app.Quart: its own routes and rules cannot be seen",
        "",
        "ok: 1 protected",
    ]


async def test_a_door_for_anyone_leaves_it_to_the_rules_of_the_routes() -> None:
    app = FastAPI(openapi_url=None)
    app.get("/open")(lambda: "")
    app.get("/todos", dependencies=[Depends(require(READ))])(lambda: "")
    assert lines(await audited(behind(app, anonymous=True))) == [
        "GET /open | unprotected | nothing",
        "GET /todos | protected | scope todos:read",
    ]


def nested(_: Annotated[None, Depends(require(Scope("deep")))]) -> str:
    """A dependency of a dependency."""
    return ""


def fastapi_application(bearer: Bearer) -> FastAPI:
    """Dependencies on every layer."""
    app = FastAPI(openapi_url=None, dependencies=[Depends(bearer)])
    router = APIRouter(prefix="/v1", dependencies=[Depends(require(READ))])
    admin = APIRouter(dependencies=[Depends(require(Role("admin")))])

    router.get("/todos")(lambda: "")

    @router.get("/deep")
    async def deep(value: Annotated[str, Depends(nested)]) -> str:
        return value

    @router.websocket("/talk")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()

    app.get("/scopes", dependencies=[Security(bearer, scopes=["a", "b"])])(lambda: "")
    admin.delete("/todos/{id}")(lambda id: id)  # noqa: A006
    router.include_router(admin, prefix="/admin")
    router.add_route("/plain", ok)
    router.mount("/mounted", starlette(Route("/x", ok)))
    app.include_router(router, prefix="/api", dependencies=[Depends(require(Scope("api")))])
    return app


async def test_the_dependencies_of_every_layer_are_what_a_route_of_fastapi_needs() -> None:
    found = await audited(fastapi_application(Bearer()))
    assert sorted(lines(found)) == sorted(
        [
            "DELETE /api/v1/admin/todos/{id} | protected | scope api and scope todos:read and role admin",
            "GET /api/v1/deep | protected | scope api and scope todos:read and scope deep",
            "GET /api/v1/todos | protected | scope api and scope todos:read",
            # FastAPI gives neither of these the prefix and the dependencies of its router
            "GET /api/mounted/x | unprotected | nothing",
            "GET /api/plain | unprotected | nothing",
            "GET /scopes | protected | (scope a and scope b)",
            "WEBSOCKET /api/v1/talk | protected | scope api and scope todos:read",
        ]
    )
    assert {row.verdict.by for row in found.rows} >= {("Bearer",), ("Bearer", "require"), ()}


async def test_a_dependency_that_lets_anyone_in_protects_where_scopes_or_rules_are_asked_for() -> None:
    app = fastapi_application(Bearer(anonymous=True))
    app.get("/open")(lambda: "")
    found = await audited(app)
    assert "GET /open | unprotected | nothing" in lines(found)
    assert "GET /scopes | protected | (scope a and scope b)" in lines(found)
    assert "GET /api/v1/todos | protected | scope api and scope todos:read" in lines(found)


async def test_an_override_of_a_dependency_is_what_is_judged() -> None:
    bearer = Bearer()
    app = FastAPI(openapi_url=None, dependencies=[Depends(bearer)])
    app.get("/todos")(lambda: "")
    assert lines(await audited(app)) == ["GET /todos | protected | any token"]
    app.dependency_overrides[bearer] = lambda: None
    assert lines(await audited(app)) == ["GET /todos | unprotected | nothing"]


async def test_a_rule_that_nothing_verifies_for_is_a_fault() -> None:
    app = FastAPI(openapi_url=None)
    app.get("/early", dependencies=[Depends(require(READ)), Depends(Bearer())])(lambda: "")
    app.get("/todos", dependencies=[Depends(require(READ))])(lambda: "")
    found = await audited(app)
    assert lines(found) == ["GET /early | broken | -", "GET /todos | broken | -"]
    assert findings(found) == ["fault no-verifier GET /early", "fault no-verifier GET /todos"]


async def test_a_rule_on_an_exempt_path_lets_nobody_in() -> None:
    app = starlette(Route("/todos", requires(READ)(ok)))
    found = await audited(behind(app, exempt=["/todos"]))
    assert findings(found) == ["fault refused-to-all GET /todos"]
    assert (
        await http(behind(app, exempt=["/todos"]), path="/todos", token=ISSUER.token(scope="todos:read"))
    ).status == 401


async def test_somebody_elses_security_scheme_is_named_and_not_judged() -> None:
    app = FastAPI(openapi_url=None)
    app.get("/todos", dependencies=[Depends(APIKeyHeader(name="key", auto_error=False))])(lambda: "")
    (row,) = (await audited(app)).rows
    assert (row.state, row.verdict.by) == ("unprotected", ("APIKeyHeader, which is not judged",))


class Todos(HTTPEndpoint):
    """A class of methods, each with its own rule."""

    @requires(READ)
    async def get(self, request: Request) -> Response:
        return await ok(request)

    async def post(self, request: Request) -> Response:
        return await ok(request)


async def test_decorated_endpoints_of_starlette_need_what_their_decorators_say() -> None:
    def logged(endpoint: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(endpoint)
        async def call(*args: Any) -> Any:
            return await endpoint(*args)

        return call

    app = starlette(
        Route("/one", requires(READ)(ok)),
        Route("/two", logged(requires(READ)(logged(requires(Role("admin"))(ok)))), methods=["POST"]),
        Route("/partial", partial(requires(READ)(ok))),
        Route("/class", Todos),
        Route("/open", ok),
        WebSocketRoute("/talk", talk),
        middleware=[Middleware(AuthenticationMiddleware, backend=Backend())],
    )
    assert lines(await audited(app)) == [
        "GET /one | protected | scope todos:read",
        "POST /two | protected | (scope todos:read and role admin)",
        "GET /partial | protected | scope todos:read",
        "GET /class | protected | scope todos:read",
        "POST /class | unprotected | nothing",
        "GET /open | unprotected | nothing",
        "WEBSOCKET /talk | unprotected | nothing",
    ]


async def test_starlettes_own_requires_counts_behind_our_verifier_and_is_not_judged_behind_another() -> None:
    @starlette_requires(["authenticated", "todos:read"], status_code=404)
    async def hidden(request: Request) -> Response:
        return await ok(request)

    @requires(Role("admin"))
    @starlette_requires("authenticated")
    async def both(request: Request) -> Response:
        return await ok(request)

    @starlette_requires("authenticated", redirect="hidden")
    def redirected(request: Request) -> Response:
        raise AssertionError(request)

    @starlette_requires("talk")
    async def socket(websocket: StarletteSocket) -> None:
        raise AssertionError(websocket)

    def app(backend: AuthenticationBackend) -> Starlette:
        return starlette(
            Route("/hidden", hidden),
            Route("/both", both),
            Route("/redirected", redirected),
            WebSocketRoute("/socket", socket),
            middleware=[Middleware(AuthenticationMiddleware, backend=backend)],
        )

    assert lines(await audited(app(Backend()))) == [
        "GET /hidden | protected | scope todos:read",
        "GET /both | protected | role admin",
        "GET /redirected | protected | any token",
        "WEBSOCKET /socket | protected | scope talk",
    ]
    found = audit(app(Stranger()))
    assert [row.state for row in found.rows] == ["unprotected", "broken", "unprotected", "unprotected"]
    assert found.rows[0].verdict.by == ("starlette requires, which is not judged",)


@get("/")
async def index() -> str:
    return ""


@get("/x/{number:int}", guards=[guard(READ)])
async def by_number(number: FromPath[int]) -> str:
    return str(number)


class Admin(Controller):
    """A layer with a guard."""

    path = "/admin"
    guards = (guard(Role("admin")),)

    @post("/", guards=[guard(Scope("write"))])
    async def write(self) -> str:
        return ""


@asgi("/mounted", is_mount=True, copy_scope=True)
async def mounted(scope: LitestarScope, receive: LitestarReceive, send: LitestarSend) -> None:
    await endless(scope, receive, send)  # type: ignore[arg-type]


@websocket("/talk", guards=[guard(Scope("talk"))])
async def litestar_talk(socket: LitestarSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.close()


async def test_the_guards_of_every_layer_are_what_a_route_of_litestar_needs() -> None:
    router = LitestarRouter("/v1", route_handlers=[by_number, Admin], guards=[guard(Scope("v1"))])
    app = Litestar(
        [index, router, mounted, litestar_talk],
        middleware=[DefineMiddleware(DOOR, **OPTIONS, anonymous=True)],
        openapi_config=None,
    )
    assert sorted(lines(await audited(app))) == [
        "* /mounted/* | unprotected | nothing",
        "GET / | unprotected | nothing",
        "GET /v1/x/{number:int} | protected | scope v1 and scope todos:read",
        "POST /v1/admin | protected | scope v1 and role admin and scope write",
        "WEBSOCKET /talk | protected | scope talk",
    ]


@pytest.mark.parametrize("around", [False, True])
async def test_the_door_in_or_around_litestar_protects_every_route(around: bool) -> None:
    handlers: Any = [index, by_number, Admin, mounted, litestar_talk]
    exempt = ["/x/5", "/mounted/open"]
    if around:
        app: Any = behind(Wrapper(Litestar(handlers, openapi_config=None)), exempt=exempt)  # type: ignore[arg-type]
    else:
        door = DefineMiddleware(DOOR, **OPTIONS, exempt=exempt)
        app = Litestar(handlers, middleware=[door], openapi_config=None)
    found = await audited(starlette(Mount("/sub", app=app)))
    assert sorted(lines(found)) == [
        "* /sub/mounted/* | protected | any token",
        *(["* /sub/mounted/open | unprotected | nothing"] if around else []),
        "GET /sub/ | protected | any token",
        "GET /sub/x/5 | refused to all | -",
        "GET /sub/x/{number:int} | protected | scope todos:read",
        "POST /sub/admin | protected | role admin and scope write",
        "WEBSOCKET /sub/talk | protected | scope talk",
    ]


async def test_an_exemption_of_a_door_in_litestar_opens_the_same_path_below_its_mounts() -> None:
    door = DefineMiddleware(DOOR, **OPTIONS, exempt=["/"])
    found = await audited(Litestar([index, mounted], middleware=[door], openapi_config=None))
    assert sorted(lines(found)) == [
        "* /mounted/ | unprotected | nothing",
        "* /mounted/* | protected | any token",
        "GET / | unprotected | nothing",
    ]


async def test_a_dependency_that_asks_for_a_token_counts_where_litestar_gives_it() -> None:
    async def token(scope: LitestarScope) -> str:
        if scope["jwt"] is None:  # type: ignore[typeddict-item]
            raise NotAuthorizedException
        return ""

    token.jwt_requirement = AnyToken()  # type: ignore[attr-defined]

    @get("/me")
    async def me(token: NamedDependency[str]) -> str:
        return token

    app = Litestar(
        [index, me],
        dependencies={"token": Provide(token)},
        middleware=[DefineMiddleware(DOOR, **OPTIONS, anonymous=True)],
        openapi_config=None,
    )
    assert lines(await audited(app)) == ["GET / | unprotected | nothing", "GET /me | protected | any token"]


async def test_what_stands_before_the_door_and_may_answer_is_told() -> None:
    app = FastAPI(openapi_url=None)
    app.get("/todos")(lambda: "")
    app.add_middleware(JWTMiddleware, **OPTIONS)
    app.add_middleware(Wrapper)

    @app.middleware("http")
    async def metrics(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    found = await audited(app)
    assert [remark.code for remark in found.remarks] == ["outside", "outside"]
    assert [remark.where.rpartition(".")[2] for remark in found.remarks] == [metrics.__name__, "Wrapper"]
    assert found.good


class Health(Starlette):
    """Answers a path by itself."""

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/healthz":
            return await endless(scope, receive, send)
        return await super().__call__(scope, receive, send)


class Lenient(JWTMiddleware):
    """A door that lets a path through."""

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/healthz":
            return await self._app(scope, receive, send)
        return await super().__call__(scope, receive, send)


@pytest.mark.parametrize("kind", ["application", "door"])
async def test_a_class_of_the_users_own_may_answer_before_the_door_too(kind: str) -> None:
    route = Route("/todos", ok)
    app: Any = Lenient(starlette(route), **OPTIONS)
    if kind == "application":
        app = Health(routes=[route], middleware=[Middleware(DOOR, **OPTIONS)])
    found = await audited(app)
    assert lines(found) == ["GET /todos | protected | any token"]
    assert [(one.code, one.where.rpartition(".")[2]) for one in found.remarks] == [
        ("outside", type(app).__name__),
    ]
    assert (await http(app, path="/healthz")).status in {200, 404}


class Lax:
    """A dependency that holds a verifier, and lets anybody through."""

    def __init__(self) -> None:
        self.verifier = Bearer().verifier

    async def __call__(self, request: Request) -> None:
        request.scope["jwt"] = None


async def test_who_holds_a_verifier_and_does_not_say_what_it_asks_for_is_not_judged() -> None:
    app = FastAPI(openapi_url=None)
    app.get("/todos", dependencies=[Depends(Lax())])(lambda: "")
    found = await audited(app)
    assert lines(found) == ["GET /todos | unprotected | nothing"]
    assert found.rows[0].verdict.by == ("Lax, which is not judged",)


async def test_a_route_that_another_takes_before_it_is_told() -> None:
    app = starlette(
        Route("/users/{id}", ok),
        Route("/users/me", ok),
        Route("/users/me", ok, methods=["POST"]),
        Mount("/", app=behind(starlette(Route("/x", ok)))),
        Route("/late", ok),
    )
    found = await audited(app, ["/users/*", "/late"])
    assert findings(found) == ["warning unreachable GET /users/me", "warning unreachable GET /late"]


async def test_a_route_for_preflights_is_told_and_the_metadata_of_the_resource_are_public() -> None:
    app = behind(starlette(Route("/x", ok, methods=["OPTIONS"])), resource="https://api.example.com/v1")
    found = await audited(app)
    assert lines(found) == [
        "GET /.well-known/oauth-protected-resource/v1 | public | nothing",
        "OPTIONS /x | protected | any token",
    ]
    assert findings(found) == ["warning preflight OPTIONS /x"]


async def test_the_probe_finds_what_the_table_cannot_know() -> None:
    class Hole(Wrapper):
        async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/hole":
                await endless(scope, receive, send)
            elif scope["path"] == "/failing":
                raise OSError
            else:
                await self._app(scope, receive, send)

    app = Hole(behind(starlette(Route("/x", ok), Route("/hole", ok), Route("/failing", ok))))
    found = await probe(app, audit(app))
    texts = [remark.text for remark in found.remarks if remark.code == "probe"]
    assert texts == [
        "GET /hole without a token was answered with 200; expected 401",
        "GET /failing without a token was answered with OSError; expected 401",
    ]
    assert not found.good


async def test_the_probe_runs_nothing_that_is_unprotected() -> None:
    ran: list[str] = []

    async def dangerous(request: Request) -> Response:
        ran.append(request.url.path)
        return await ok(request)

    app = starlette(Route("/open", dangerous), Mount("/in", app=behind(starlette(Route("/x", dangerous)))))
    assert findings(await probe(app, audit(app))) == ["fault unprotected GET /open"]
    assert ran == []


MODULE = """
import os, sys
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from jwt_asgi import JWTMiddleware, Scope
from jwt_asgi.testing import TestIssuer

print("printed by the application")

def ok(request):
    return PlainTextResponse("ok")

def make(exempt=("/healthz",)):
    inner = Starlette(routes=[Route("/healthz", ok), Route("/todos", ok, methods=["POST"])])
    return JWTMiddleware(inner, exempt=exempt, rules={"/todos": Scope("todos:write")}, **TestIssuer().options())

class Holder:
    app = make()

app = Holder.app
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    """A module of an application in a folder that is the current one."""
    name = f"service_{request.node.name.split('[')[0]}"
    (tmp_path / f"{name}.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield name
    sys.modules.pop(name, None)


def test_the_command_fails_until_what_is_unprotected_is_listed(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["routes", f"{module}:app", "--probe"]) == 1
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        "METHOD  PATH      STATE        NEEDS              BY",
        'GET     /healthz  unprotected  nothing            exempt "/healthz"',
        "POST    /todos    protected    scope todos:write  rules",
        "",
        'fault: unprotected: GET /healthz: no token is needed: exempt "/healthz"; protect it, or list it as public',
        "",
        "fault: 1 to mend: 1 unprotected, 1 protected",
    ]
    assert "printed by the application" in told.err

    assert main(["routes", f"{module}:Holder.app", "--public", "GET /healthz"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "ok: 1 public, 1 protected"


def test_the_command_reads_files_of_what_is_public_and_calls_factories(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "public.txt"
    listed.write_text("# reviewed in May\n\nGET /healthz  # for the probes\n", encoding="utf-8")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    arguments = ["routes", f"{module}:make", "--factory", "--app-dir", "..", "--public-file", str(listed), "--json"]
    assert main(arguments) == 0

    assert json.loads(capsys.readouterr().out) == {
        "good": True,
        "routes": [
            {
                "method": "GET",
                "path": "/healthz",
                "host": None,
                "kind": "route",
                "state": "public",
                "requires": None,
                "by": ['exempt "/healthz"'],
                "endpoint": "ok",
            },
            {
                "method": "POST",
                "path": "/todos",
                "host": None,
                "kind": "route",
                "state": "protected",
                "requires": "scope todos:write",
                "by": ["rules"],
                "endpoint": "ok",
            },
        ],
        "findings": [],
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{module}:make", "--factory", "--public", "healthz"], 'expected "GET /path"'),
        (["{module}:app", "--public", "get /healthz"], 'expected "GET /path"'),
        (["{module}:app", "--public-file", "absent.txt"], "absent.txt cannot be read"),
    ],
)
def test_the_command_is_called_wrongly(
    arguments: list[str], message: str, module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["routes", *(one.replace("{module}", module) for one in arguments)]) == 2
    assert message in capsys.readouterr().err


def test_no_framework_is_imported_that_the_application_does_not_use(tmp_path: Path) -> None:
    (tmp_path / "bare.py").write_text("async def app(scope, receive, send):\n    pass\n", encoding="utf-8")
    code = (
        "import sys; from jwt_asgi.cli import main; main(['routes', 'bare:app']);"
        "names = {name.split('.')[0] for name in sys.modules} & {'fastapi', 'litestar', 'quart', 'django', 'mcp'};"
        "print(sorted(names), 'starlette.routing' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.splitlines()[-1] == "[] False"


@asynccontextmanager
async def adding(app: Starlette) -> AsyncIterator[None]:
    """A start that adds a route, as some applications have it."""
    app.router.routes.append(Route("/late", ok))
    yield
    STOPPED.append("stopped")


@asynccontextmanager
async def failing(app: Starlette) -> AsyncIterator[None]:
    """A start that fails."""
    if not app.routes:
        raise OSError("no database")
    yield


STOPPED: list[str] = []


def test_routes_that_are_added_at_the_start_are_listed_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    late = types.ModuleType("late_routes")
    late.app = behind(starlette(lifespan=adding))  # type: ignore[attr-defined]
    late.failing = starlette(lifespan=failing)  # type: ignore[attr-defined]
    late.plain = behind(endless)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, late.__name__, late)
    monkeypatch.setattr(sys, "path", [*sys.path])

    assert main(["routes", "late_routes:app"]) == 1
    assert "no-routes" in capsys.readouterr().out
    assert STOPPED == []
    assert main(["routes", "late_routes:app", "--lifespan", "--probe"]) == 0
    assert "GET     /late  protected  any token  JWTMiddleware" in capsys.readouterr().out
    assert STOPPED == ["stopped"]
    assert main(["routes", "late_routes:plain", "--lifespan"]) == 0
    assert main(["routes", "late_routes:failing", "--lifespan"]) == 2
    assert "the application did not start: OSError: no database" in capsys.readouterr().err


async def test_what_a_wrapper_holds_beside_its_application_is_not_taken_for_protected() -> None:
    class Dispatcher(Wrapper):
        def __init__(self, app: ASGIApp, *others: Any) -> None:
            super().__init__(app)
            self.first, self.others = others[0], others[1:]

        async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
            inner = self.first if scope["path"].startswith("/x-") else self._app
            await inner(scope, receive, send)

    door, open_one = behind(starlette(Route("/todos", ok))), starlette(Route("/{name}", ok))
    assert lines(await audited(Dispatcher(door, open_one, {"a": open_one})))[0] == "* /* | unprotected | nothing"
    assert not audit(Dispatcher(door, door, open_one)).good
    assert lines(audit(Dispatcher(door, door))) == ["GET /todos | protected | any token"]


async def test_a_mock_is_opaque() -> None:
    assert lines(audit(MagicMock())) == ["* /* | unprotected | nothing"]
    assert lines(audit(Wrapper(MagicMock()))) == ["* /* | unprotected | nothing"]
