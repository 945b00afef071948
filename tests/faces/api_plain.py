"""The API of the conformance suite without a framework: the door with route rules around a plain ASGI application."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jwt_asgi import JWTMiddleware, Requirement, check_access
from jwt_asgi.types import ASGIApp, ASGIScope, Receive, Send
from tests.faces.conformance import ROUTES, Face, Options, Route, seen


async def api(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Answer every route."""
    token = scope["jwt"]
    if scope["path"] == "/body":
        check_access(token, _requirement(ROUTES["body"]))
    if scope["type"] == "websocket":
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": json.dumps(seen(token))})
        await send({"type": "websocket.close"})
        return
    body = b"" if scope["method"] == "HEAD" else json.dumps(seen(token)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


def _requirement(route: Route) -> Requirement:
    assert route.requirement is not None
    return route.requirement


def _pattern(route: Route) -> str:
    return f"{'WEBSOCKET' if route.websocket else route.methods[0]} {route.path}"


@asynccontextmanager
async def build(options: Options) -> AsyncIterator[ASGIApp]:
    """The door with rules; with `anonymous`, which excludes rules, the application itself asks."""
    rules = {
        _pattern(route): _requirement(route)
        for route in ROUTES.values()
        if route.requirement is not None and not route.in_body
    }
    rules["GET /body"] = _requirement(ROUTES["me"])
    if options.gate.get("anonymous"):
        yield JWTMiddleware(_asking(api), exempt=options.exempt, **options.gate)
    else:
        yield JWTMiddleware(api, rules=rules, exempt=options.exempt, **options.gate)


def _asking(app: ASGIApp) -> ASGIApp:
    async def asking(scope: ASGIScope, receive: Receive, send: Send) -> None:
        for route in ROUTES.values():
            if route.path == scope["path"] and route.requirement is not None:
                check_access(scope["jwt"], _requirement(route))
        await app(scope, receive, send)

    return asking


PLAIN = Face("plain ASGI, route rules", build)
