"""`jwt-asgi routes` reads the faces of the frameworks as they are, and the examples."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from django.core.asgi import get_asgi_application
from fastapi import APIRouter, Depends, FastAPI, Security
from litestar import Litestar, get
from mcp.server.mcpserver import MCPServer
from quart import Quart
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.routing import Route, WebSocketRoute

from jwt_asgi import Role, Scope
from jwt_asgi.access import AnyToken
from jwt_asgi.cli.findings import Status
from jwt_asgi.fastapi import JWTBearer
from jwt_asgi.fastapi import require as depends_on
from jwt_asgi.issuer import MasterKeys
from jwt_asgi.litestar import JWTPlugin
from jwt_asgi.litestar import require as guarded_by
from jwt_asgi.mcp import MCPGuard
from jwt_asgi.quart import JWT
from jwt_asgi.starlette import JWTAuthBackend, requires
from tests.cli.test_routes import OPTIONS, READ, ROOT, audited, behind, findings, lines, mounted, ok, talk
from tests.faces import django_project  # noqa: F401 - its settings

OPAQUE = "not checked opaque tests.cli.test_routes.mounted"


def fastapi_application(bearer: JWTBearer) -> FastAPI:
    app = FastAPI(openapi_url=None)
    router = APIRouter(prefix="/v1", dependencies=[Depends(bearer)])
    router.get("/a", dependencies=[Depends(depends_on(READ))])(lambda: "")
    router.get("/b", dependencies=[Security(bearer, scopes=["x"])])(lambda: "")
    router.get("/any")(lambda: "")
    app.get("/c", dependencies=[Depends(bearer.require(READ & Role("admin")))])(lambda: "")
    app.get("/forgotten", dependencies=[Depends(depends_on(READ))])(lambda: "")
    app.include_router(router)
    return app


async def test_the_face_of_fastapi() -> None:
    found = await audited(fastapi_application(JWTBearer(**OPTIONS)))
    assert lines(found) == [
        "GET /c | protected | (scope todos:read and role admin)",
        "GET /forgotten | broken | -",
        "GET /v1/a | protected | scope todos:read",
        "GET /v1/b | protected | scope x",
        "GET /v1/any | protected | any token",
    ]
    assert findings(found) == ["fault no-verifier GET /forgotten"]
    found = await audited(fastapi_application(JWTBearer(**OPTIONS, anonymous=True)))
    assert lines(found)[2:] == [
        "GET /v1/a | protected | scope todos:read",
        "GET /v1/b | protected | scope x",
        "GET /v1/any | unprotected | nothing",
    ]


async def test_the_face_of_starlette() -> None:
    def application(backend: JWTAuthBackend) -> Starlette:
        routes = [
            *backend.routes,
            Route("/a", requires("a", Role("b"))(ok)),
            Route("/open", ok),
            WebSocketRoute("/talk", requires("talk")(talk)),
        ]
        middleware = Middleware(AuthenticationMiddleware, backend=backend, on_error=backend.on_error)
        return Starlette(routes=routes, middleware=[middleware])

    found = await audited(application(JWTAuthBackend(**OPTIONS, resource="https://api.example.com/")))
    assert [row.state for row in found.rows] == ["public", "public", "protected", "unprotected", "protected"]
    assert lines(await audited(application(JWTAuthBackend(**OPTIONS, anonymous=False)))) == [
        "GET /a | protected | (scope a and role b)",
        "GET /open | protected | any token",
        "WEBSOCKET /talk | protected | scope talk",
    ]


@get("/todos", guards=[guarded_by(READ)])
async def todos() -> str:
    return ""


@get("/healthz", jwt_exempt=True)
async def healthz() -> str:
    return ""


@get("/free")
async def free() -> str:
    return ""


async def test_the_face_of_litestar() -> None:
    def application(**options: Any) -> Litestar:
        return Litestar([todos, healthz, free, mounted], plugins=[JWTPlugin(**options)], openapi_config=None)

    assert sorted(lines(await audited(application(**OPTIONS, exempt=["/free"])))) == [
        "* /mounted/* | protected | any token",
        "GET /free | unprotected | nothing",
        "GET /healthz | unprotected | nothing",
        "GET /todos | protected | scope todos:read",
    ]
    found = await audited(behind(application(), exempt=["/todos"]))
    assert findings(found) == [
        "fault refused-to-all GET /todos",
        "warning preflight * /mounted/*",
        OPAQUE,
    ]
    found = await audited(application())
    assert {(row.state, row.verdict.by[0]) for row in found.rows} == {("broken", "JWTPlugin()")}
    assert "fault no-verifier GET /free" in findings(found)
    assert found.remarks[0].text.endswith("give it the issuer's options, or put JWTMiddleware around the application")
    assert {row.state for row in (await audited(behind(application(), anonymous=True))).rows} == {
        "protected",
        "unprotected",
    }


async def test_the_face_of_quart_is_its_door_around_what_cannot_be_seen() -> None:
    app = Quart("service")
    app.get("/notes")(lambda: "")
    JWT(app, **OPTIONS, exempt=["/healthz"])
    found = await audited(app)
    assert lines(found) == ["* /* | protected | any token", "* /healthz | unprotected | nothing"]
    assert "not checked opaque quart.app.Quart" in findings(found)


async def test_the_face_of_django_is_the_door_around_what_cannot_be_seen() -> None:
    found = await audited(behind(get_asgi_application(), rules={"/admin/*": Role("admin")}))
    assert lines(found) == ["* /admin/* | protected | role admin", "* /* | refused to all | -"]
    assert findings(found) == [
        "warning preflight * /admin/*",
        "warning preflight * /*",
        "not checked opaque django.core.handlers.asgi.ASGIHandler",
    ]


def mcp_server(tools: Any) -> MCPGuard:
    server = MCPServer("notes")
    return MCPGuard(server.streamable_http_app(), tools=tools)


async def test_the_tools_of_an_mcp_server_need_what_the_guard_says() -> None:
    tools = {"add_note": Scope("notes:write"), "purge": Scope("notes:write") & Role("admin")}
    found = await audited(behind(mcp_server({**tools, "*": AnyToken()})))
    assert lines(found) == [
        "* /mcp | protected | any token",
        "TOOL /mcp * | protected | any token",
        "TOOL /mcp add_note | protected | scope notes:write",
        "TOOL /mcp purge | protected | (scope notes:write and role admin)",
    ]
    assert findings(found) == []
    found = await audited(behind(mcp_server(tools), anonymous=True))
    assert lines(found)[:3] == [
        "* /mcp | unprotected | nothing",
        "TOOL /mcp * | refused to all | -",
        "TOOL /mcp add_note | protected | scope notes:write",
    ]
    assert findings(found) == ["fault unprotected * /mcp"]
    assert lines(await audited(behind(mcp_server(None)))) == ["* /mcp | protected | any token"]


async def test_a_guard_of_mcp_tools_without_the_door_and_on_an_exempt_path_lets_nobody_call() -> None:
    tools = {"add_note": Scope("notes:write")}
    found = await audited(mcp_server(tools))
    assert lines(found) == ["* /mcp | broken | -"]
    assert findings(found) == ["fault no-verifier * /mcp"]
    found = await audited(behind(mcp_server(tools), exempt=["/mcp"]))
    assert [row.state for row in found.rows] == ["unprotected", "refused to all", "refused to all"]
    assert findings(found) == ["fault unprotected * /mcp", "fault refused-to-all TOOL /mcp add_note"]


EXAMPLES = {
    "plain_asgi": ["* /* | protected | any token"],
    "todo_api": [
        "GET /openapi.json | public | nothing",
        "GET /docs | public | nothing",
        "GET /docs/oauth2-redirect | protected | any token",
        "GET /redoc | protected | any token",
        "GET /todos | protected | (claim sub and scope todos:read)",
        "GET /todos/all | protected | (scope todos:read and role admin)",
        "POST /todos | protected | (claim sub and scope todos:write)",
        "WEBSOCKET /todos/live | protected | (claim sub and scope todos:read)",
        "GET /todos/{todo_id} | protected | (claim sub and scope todos:read)",
        "PUT /todos/{todo_id} | protected | (claim sub and scope todos:write)",
        "DELETE /todos/{todo_id} | protected | (claim sub and scope todos:write)",
        "GET /healthz | public | nothing",
    ],
    "token_service": [
        "GET /openapi.json | public | nothing",
        "GET /docs | public | nothing",
        "GET /docs/oauth2-redirect | protected | any token",
        "GET /redoc | protected | any token",
        "GET / | public | nothing",
        "POST /login | public | nothing",
        "GET /notes | protected | scope notes:read",
        "GET /devices | protected | any token",
        "DELETE /devices/{sid} | protected | any token",
        "DELETE /devices | protected | any token",
        "POST /auth/token | public | nothing",
        "POST /auth/revoke | public | nothing",
        "POST /auth/introspect | public | nothing",
        "POST /auth/ack | public | nothing",
        "GET /auth/jwks | public | nothing",
        "GET /auth/revocations | public | nothing",
        "GET /auth/revocations/snapshot | public | nothing",
        "GET /auth/.well-known/oauth-authorization-server | public | nothing",
        "GET /auth/.well-known/openid-configuration | public | nothing",
    ],
    "chat": ["WEBSOCKET /rooms/{room} | protected | scope room:{room}"],
    "mcp_server": [
        "GET /.well-known/oauth-protected-resource/mcp | public | nothing",
        "* /mcp | protected | any token",
        "TOOL /mcp * | protected | any token",
        "TOOL /mcp add_note | protected | scope notes:write",
    ],
}


@pytest.mark.parametrize("example", EXAMPLES)
async def test_every_example_is_what_its_table_says(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "master.key").write_text(MasterKeys.new())
    (tmp_path / "master.key").chmod(0o600)
    monkeypatch.setenv("MASTER_KEYS", str(tmp_path / "master.key"))
    monkeypatch.setenv("STORE", f"sqlite:///{tmp_path}/tokens.db")
    module = importlib.import_module(f"examples.{example}")
    app = module.create_app() if hasattr(module, "create_app") else module.app
    found = await audited(app, ["/", "/login", "/openapi.json", "/docs", "/healthz", "/auth/*"])
    assert lines(found) == EXAMPLES[example]
    assert [one for one in found.remarks if one.status is Status.FAULT] == []


def test_no_example_is_left_out() -> None:
    found = {path.stem for path in (ROOT / "examples").glob("[!_]*.py")}
    assert {name for name in found if not name.startswith("test_")} == set(EXAMPLES)
