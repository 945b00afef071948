"""`jwt-asgi routes` reads the faces of FastAPI, Starlette and Litestar as they are."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Security
from litestar import Litestar, get
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.routing import Route, WebSocketRoute

from jwt_asgi import Role
from jwt_asgi.fastapi import JWTBearer
from jwt_asgi.fastapi import require as depends_on
from jwt_asgi.litestar import JWTPlugin
from jwt_asgi.litestar import require as guarded_by
from jwt_asgi.starlette import JWTAuthBackend, requires
from tests.cli.test_routes import OPTIONS, READ, audited, behind, findings, lines, mounted, ok, talk


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
    assert findings(found) == ["fault refused-to-all GET /todos", "warning preflight * /mounted/*"]
