"""The API of the conformance suite in Starlette: `requires` behind the middleware, and behind the backend."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.routing import Route as HTTPRoute
from starlette.websockets import WebSocket

from jwt_asgi import AccessError, JWTMiddleware, check_access
from jwt_asgi.starlette import JWTAuthBackend, on_access_error, requires
from jwt_asgi.types import ASGIApp
from tests.faces.conformance import ROUTES, Face, Options, Route, seen


async def answer(request: Request) -> Response:
    return JSONResponse(seen(request.scope["jwt"]))


async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json(seen(websocket.scope["jwt"]))
    await websocket.close()


def _asking(route: Route) -> Callable[[Request], Awaitable[Response]]:
    async def asking(request: Request) -> Response:
        assert route.requirement is not None
        check_access(request.scope["jwt"], route.requirement)
        return await answer(request)

    return asking


def _route(route: Route) -> BaseRoute:
    endpoint: Callable[..., Any] = talk if route.websocket else answer
    if route.in_body:
        endpoint = _asking(route)
    elif route.requirement is not None:
        endpoint = requires(route.requirement)(endpoint)
    if route.websocket:
        return WebSocketRoute(route.path, endpoint)
    return HTTPRoute(route.path, endpoint, methods=list(route.methods))


def api(middleware: Sequence[Middleware] = ()) -> Starlette:
    """The application."""
    return Starlette(
        routes=[_route(route) for route in ROUTES.values()],
        middleware=middleware,
        exception_handlers={AccessError: on_access_error},
    )


@asynccontextmanager
async def behind_the_middleware(options: Options) -> AsyncIterator[ASGIApp]:
    """`JWTMiddleware` among the application's own middleware."""
    yield api([Middleware(JWTMiddleware, exempt=options.exempt, **options.gate)])


@asynccontextmanager
async def inside_the_door(options: Options) -> AsyncIterator[ASGIApp]:
    """`JWTMiddleware` around the whole application."""
    yield JWTMiddleware(api(), exempt=options.exempt, **options.gate)


@asynccontextmanager
async def behind_the_backend(options: Options) -> AsyncIterator[ASGIApp]:
    """`JWTAuthBackend` in Starlette's own middleware."""
    backend = JWTAuthBackend(**options.gate)
    yield api([Middleware(AuthenticationMiddleware, backend=backend, on_error=backend.on_error)])


_CLOSED = "Starlette's AuthenticationMiddleware closes a WebSocket with a bad token itself: servers answer 403"
_NO_EXEMPTIONS = "the backend knows no exempt paths: a request without a token goes on, a bad token is refused"
_NO_BEARER = "a request without a bearer token goes on to the rule, which says that a token is missing"

FACES = (
    Face("Starlette, `requires` behind `JWTMiddleware`", behind_the_middleware, names_scopes_early=False),
    Face("Starlette, `requires` inside `JWTMiddleware`", inside_the_door, names_scopes_early=False),
    Face(
        "Starlette, `JWTAuthBackend`",
        behind_the_backend,
        one_decision=False,
        without={
            "another scheme": _NO_BEARER,
            "a public path without a token": _NO_EXEMPTIONS,
            "a public path with a bad token": _NO_EXEMPTIONS,
            "a CORS preflight": _NO_EXEMPTIONS,
            "a malformed header for a WebSocket": _CLOSED,
            "a WebSocket with a token that is refused for token_expired": _CLOSED,
            "a WebSocket with a token that is refused for audience_mismatch": _CLOSED,
            "a WebSocket while the issuer is down": _CLOSED,
        },
    ),
)
