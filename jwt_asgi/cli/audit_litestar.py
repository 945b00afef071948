"""The routes of Litestar, and what their guards and middleware ask for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from jwt_asgi.apps import attribute
from jwt_asgi.cli.audit_paths import ANY, WEBSOCKET, Pattern
from jwt_asgi.cli.audit_starlette import enforced
from jwt_asgi.cli.audit_steps import Behind, Door, Endpoint, Kind, Step
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
        mounted = bool(attribute(handler, "is_mount"))
        path = "" if mounted and route.path == "/" else route.path
        here = replace(place, pattern=place.pattern.then(path))
        here = replace(here, steps=(*place.steps, *_steps(handler, here if mounted else place)))
        if mounted:
            yield from walk(handler.fn, here)
            continue
        for method in attribute(handler, "http_methods") or [_kind(handler)]:
            # Litestar's own answer to OPTIONS names the methods of a path, and runs nothing
            if method == "OPTIONS" and "create_options_handler" in attribute(handler.fn, "__qualname__"):
                continue
            kind = Kind.OPAQUE if method == ANY else Kind.ROUTE
            yield Endpoint(str(method), here.pattern, here.steps, kind, str(handler), place.host)


def _kind(handler: object) -> str:
    return WEBSOCKET if "ebsocket" in type(handler).__name__ else ANY


def _steps(handler: Any, place: Place) -> Iterator[Step]:  # noqa: ANN401 - likewise
    """Return the middleware and the guards of every layer, those of the application first, and the dependencies."""
    layers = handler.ownership_layers
    for layer in layers:
        for middleware in layer.middleware or ():
            for step in _middleware(middleware, place):
                slash = bool(attribute(handler, "is_mount")) and not attribute(handler, "is_static")
                yield replace(step, handler=handler, slash=slash) if isinstance(step, Door) else step
    for layer in layers:
        for guard in layer.guards or ():
            yield from enforced(guard)
    provided = handler.resolve_dependencies()
    for name in attribute(handler.parsed_fn_signature, "parameters") or ():
        if name in provided:
            yield from enforced(provided[name].dependency)


def _middleware(middleware: Any, place: Place) -> list[Step]:  # noqa: ANN401 - likewise
    """Make the middleware as Litestar does, to see what it is."""
    made: object = None
    with suppress(Exception):
        made = middleware(app=_nobody)
    for thing in (middleware, made):
        if (step := step_of(thing, place)) is not None:
            return [step]
        if steps := list(enforced(thing)):
            return steps
    return [Behind(labelled(attribute(middleware, "middleware") or made or middleware))]


async def _nobody(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Stand where the application will be."""
