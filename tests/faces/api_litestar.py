"""The API of the conformance suite in Litestar: guards with the plugin, and with the middleware around it all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, cast

from litestar import Litestar, WebSocket, websocket
from litestar import Request as HTTPRequest
from litestar import route as http_route
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from jwt_asgi import JWTMiddleware, check_access
from jwt_asgi.litestar import JWTPlugin, require
from jwt_asgi.types import ASGIApp
from tests.faces.conformance import ROUTES, Face, Options, Route, seen


def _handler(route: Route) -> BaseRouteHandler:
    guards: list[Guard] = [] if route.requirement is None or route.in_body else [require(route.requirement)]
    path = route.path.replace("}", ":str}")

    if route.websocket:

        @websocket(path, guards=guards)
        async def talk(socket: WebSocket[Any, Any, Any]) -> None:
            await socket.accept()
            await socket.send_json(seen(socket.scope["jwt"]))  # type: ignore[typeddict-item]
            await socket.close()

        return talk

    methods = [*route.methods, "HEAD"] if "GET" in route.methods else list(route.methods)

    @http_route(path, http_method=methods, guards=guards, jwt_exempt=route.public, status_code=200)  # type: ignore[arg-type]
    async def answer(request: HTTPRequest[Any, Any, Any]) -> dict[str, Any]:
        token = request.scope["jwt"]  # type: ignore[typeddict-item]
        if route.in_body:
            assert route.requirement is not None
            check_access(token, route.requirement)
        return seen(token)

    return answer


def api(plugin: JWTPlugin) -> Litestar:
    """The application."""
    return Litestar([_handler(route) for route in ROUTES.values()], plugins=[plugin], openapi_config=None)


@cache
def _inside() -> Litestar:
    return api(JWTPlugin())


@asynccontextmanager
async def with_the_plugin(options: Options) -> AsyncIterator[ASGIApp]:
    """`JWTPlugin` verifies."""
    yield cast("ASGIApp", api(JWTPlugin(**options.gate)))


@asynccontextmanager
async def inside_the_door(options: Options) -> AsyncIterator[ASGIApp]:
    """`JWTMiddleware` around the application verifies."""
    yield JWTMiddleware(cast("ASGIApp", _inside()), exempt=options.exempt, **options.gate)


FACES = (
    Face("Litestar, `JWTPlugin`", with_the_plugin, names_scopes_early=False),
    Face("Litestar, inside `JWTMiddleware`", inside_the_door, names_scopes_early=False),
)
