"""The API of the conformance suite in FastAPI: behind the middleware, and with a JWTBearer alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.requests import HTTPConnection
from fastapi.websockets import WebSocket

from jwt_asgi import JWTMiddleware, Requirement, check_access
from jwt_asgi.fastapi import JWTBearer, require
from jwt_asgi.types import ASGIApp
from tests.faces.conformance import ROUTES, Face, Options, Route, seen


def add(app: FastAPI, route: Route, dependencies: list[Any]) -> None:
    """Add one route, whose endpoint reads the token from the scope."""

    async def endpoint(connection: HTTPConnection) -> dict[str, Any]:
        token = connection.scope.get("jwt")
        if route.in_body:
            assert route.requirement is not None
            check_access(token, route.requirement)
        return seen(token)

    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(seen(websocket.scope.get("jwt")))
        await websocket.close()

    if route.websocket:
        app.add_api_websocket_route(route.path, talk, dependencies=dependencies)
        return
    methods = [*route.methods, *(["HEAD"] if "GET" in route.methods else [])]
    app.add_api_route(route.path, endpoint, methods=methods, dependencies=dependencies, include_in_schema=False)


def api(rule: Callable[[Requirement], Any], token: Any) -> FastAPI:
    """Every route, with what makes a rule a dependency, and what verifies a token without one."""
    app = FastAPI()
    for route in ROUTES.values():
        if route.public:
            add(app, route, [])
        elif route.requirement is None or route.in_body:
            add(app, route, token)
        else:
            add(app, route, [Depends(rule(route.requirement))])
    return app


@asynccontextmanager
async def build_middleware(options: Options) -> AsyncIterator[ASGIApp]:
    """The middleware verifies, and `require` holds the token against the rules."""
    app = api(require, [])
    app.add_middleware(JWTMiddleware, exempt=options.exempt, **options.gate)
    yield app


@asynccontextmanager
async def build_bearer(options: Options) -> AsyncIterator[ASGIApp]:
    """A JWTBearer verifies, route by route."""
    bearer = JWTBearer(**options.gate)
    yield api(bearer.require, [Depends(bearer)])


MIDDLEWARE = Face("FastAPI, middleware and require", build_middleware, names_scopes_early=False)
BEARER = Face(
    "FastAPI, JWTBearer",
    build_bearer,
    without={"HEAD without a token": "FastAPI's own handler sends a body, which servers drop; the rest is the same"},
    tells_of_exempt=False,
    one_decision=False,
)
