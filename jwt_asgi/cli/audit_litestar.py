"""The routes of Litestar, and what their guards and middleware ask for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from jwt_asgi.apps import attribute
from jwt_asgi.cli.audit_paths import ANY, WEBSOCKET, Pattern
from jwt_asgi.cli.audit_starlette import enforced
from jwt_asgi.cli.audit_steps import Behind, Endpoint, Kind
from jwt_asgi.cli.audit_walk import Place, labelled, peeled, step_of, walk
from jwt_asgi.types import ASGIScope, Receive, Send

__all__ = ["application"]


def application(app: Any, place: Place) -> Iterator[Endpoint]:  # noqa: ANN401 - the framework may be absent
    """Return the routes of a `Litestar`, literal paths first, as its router finds them."""
    _, place = peeled(app.asgi_handler, place, app.asgi_router)
    found = [endpoint for route in app.routes for endpoint in _route(route, replace(place, app=app))]
    return iter(sorted(found, key=lambda one: (one.kind is Kind.BARRIER, *_rank(one.pattern))))


def _rank(pattern: Pattern) -> tuple[bool, list[bool]]:
    segments = pattern.text.split("/")
    return pattern.has_parameters, ["{" in segment or segment == "*" for segment in segments]


def _route(route: Any, place: Place) -> Iterator[Endpoint]:  # noqa: ANN401 - likewise
    handlers = attribute(route, "route_handlers") or [route.route_handler]
    for handler in handlers:
        here = place if route.path == "/" and attribute(handler, "is_mount") else _below(place, route.path)
        behind = _guarded(handler, here)
        if attribute(handler, "is_mount"):
            yield from walk(handler.fn, behind)
            continue
        for method in attribute(handler, "http_methods") or [_kind(handler)]:
            # Litestar's own answer to OPTIONS names the methods of a path, and runs nothing
            if method == "OPTIONS" and "create_options_handler" in attribute(handler.fn, "__qualname__"):
                continue
            kind = Kind.OPAQUE if method == ANY else Kind.ROUTE
            yield Endpoint(str(method), here.pattern, behind.steps, kind, str(handler), place.host)


def _below(place: Place, path: str) -> Place:
    return replace(place, pattern=place.pattern.then(path))


def _kind(handler: object) -> str:
    return WEBSOCKET if "ebsocket" in type(handler).__name__ else ANY


def _guarded(handler: Any, place: Place) -> Place:  # noqa: ANN401 - likewise
    """Return the place behind the middleware and the guards of every layer: those of the application come first."""
    layers = handler.ownership_layers
    outside = replace(place, pattern=Pattern())
    for layer in layers:
        for middleware in layer.middleware or ():
            outside = _past(middleware, outside)
    guards = [step for layer in layers for guard in layer.guards or () for step in enforced(guard)]
    return replace(place, steps=(*outside.steps, *guards))


def _past(middleware: Any, place: Place) -> Place:  # noqa: ANN401 - likewise
    """Make the middleware as Litestar does, to see what it is."""
    made: object = None
    with suppress(Exception):
        made = middleware(app=_nobody)
    for thing in (middleware, made):
        if (step := step_of(thing, place)) is not None:
            return place.past(step)
        if steps := list(enforced(thing)):
            return place.past(*steps)
    return place.past(Behind(labelled(attribute(middleware, "middleware") or made or middleware)))


async def _nobody(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Stand where the application will be."""
