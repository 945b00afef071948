"""The API of the conformance suite in Quart: `JWT(app, ...)` and `require`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from quart import Quart, websocket

from jwt_asgi import check_access
from jwt_asgi.quart import JWT, current_token, require
from jwt_asgi.types import ASGIApp
from tests.faces.conformance import ROUTES, Face, Options, Route, seen


async def answer(**path_params: str) -> dict[str, Any]:
    return seen(current_token())


async def answer_in_body() -> dict[str, Any]:
    requirement = ROUTES["body"].requirement
    assert requirement is not None
    return seen(check_access(current_token(), requirement))


async def talk() -> None:
    await websocket.send(json.dumps(seen(current_token())))


def add(app: Quart, name: str, route: Route) -> None:
    """Add a route as a user would, with `require` below it."""
    view: Any = talk if route.websocket else answer_in_body if route.in_body else answer
    if route.requirement is not None and not route.in_body:
        view = require(route.requirement)(view)
    path = route.path.replace("{", "<").replace("}", ">")
    if route.websocket:
        app.add_websocket(path, endpoint=name, view_func=view)
    else:
        app.add_url_rule(path, endpoint=name, view_func=view, methods=list(route.methods))


@asynccontextmanager
async def build(options: Options) -> AsyncIterator[ASGIApp]:
    app = Quart(__name__)
    JWT(app, exempt=options.exempt, **options.gate)
    for name, route in ROUTES.items():
        add(app, name, route)
    yield cast(ASGIApp, app)


QUART = Face("Quart", build, names_scopes_early=False)
