"""The routes of Starlette and FastAPI, and what their dependencies and decorators ask for."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any, Final

from jwt_asgi._core.access import Requirement
from jwt_asgi._core.rules import AnyToken
from jwt_asgi.apps import attribute
from jwt_asgi.cli.audit_paths import ANY, WEBSOCKET
from jwt_asgi.cli.audit_steps import Behind, Endpoint, Kind, Requires, Step, Verifies
from jwt_asgi.cli.audit_walk import Place, all_scopes, is_a, labelled, name_of, optional, peeled, walk
from jwt_asgi.cli.target import told
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.verifier import Verifier

__all__ = ["application", "enforced", "router"]

_ENDPOINT_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "HEAD")
_FORBIDDEN: Final = 403
_SEE_OTHER: Final = 303


def application(app: Any, place: Place) -> Iterator[Endpoint]:  # noqa: ANN401 - the framework may be absent
    """Return the routes of a `Starlette`; what `add_middleware` was given is made as at the first request."""
    stack = app.middleware_stack
    return walk(_built(app) if stack is None else stack, replace(place, app=app))


def _built(app: Any) -> object:  # noqa: ANN401 - likewise
    try:
        return app.build_middleware_stack()
    except Exception as error:
        detail = f"the middleware of {labelled(app)} cannot be made, so every request would fail: {told(error, Path())}"
        raise ConfigurationError("middleware", detail) from error


def router(found: Any, place: Place) -> Iterator[Endpoint]:  # noqa: ANN401 - likewise
    """Return the routes of a `Router`, behind its own middleware, and those that are tried last."""
    _, place = peeled(found.middleware_stack, place)
    for route in found.routes:
        yield from _route(route, place)
    late = attribute(found, "_iter_low_priority_routes")
    for route in late() if callable(late) else ():
        yield from _frontend(route, place)


def _route(route: Any, place: Place) -> Iterator[Endpoint]:  # noqa: ANN401 - likewise
    # FastAPI keeps an included router as one route, and makes what it becomes there when it is asked
    if callable(contexts := attribute(route, "effective_route_contexts")):
        for context in contexts():
            yield from _one(context.starlette_route or context, context.original_route, place)
    else:
        yield from _one(route, route, place)


def _one(route: Any, original: object, place: Place) -> Iterator[Endpoint]:  # noqa: ANN401 - likewise
    """Read a route; what it was made from says of which kind it is."""
    if is_a(original, "starlette.routing", "Mount"):
        inside = replace(place, pattern=place.pattern.then(route.path, route.param_convertors))
        yield from walk(route.app, inside)
        yield Endpoint(ANY, inside.pattern.below(), (), Kind.BARRIER, name_of(route), place.host)
    elif is_a(original, "starlette.routing", "Host"):
        yield from walk(route.app, replace(place, host=route.host))
    elif is_a(original, "starlette.routing", "WebSocketRoute"):
        yield from _endpoints(route, [WEBSOCKET], place)
    elif is_a(original, "starlette.routing", "Route"):
        yield from _endpoints(route, _methods(route), place)
    else:
        text = attribute(route, "path")
        pattern = place.pattern.then(text) if isinstance(text, str) and text else place.pattern.below()
        yield Endpoint(ANY, pattern, place.steps, Kind.OPAQUE, labelled(original), place.host)


def _methods(route: Any) -> Sequence[str]:  # noqa: ANN401 - likewise
    if route.methods:
        return sorted(route.methods)
    endpoint = route.endpoint
    if isinstance(endpoint, type) and attribute(endpoint, "method_not_allowed") is not None:
        own = [method for method in _ENDPOINT_METHODS if attribute(endpoint, method.lower()) is not None]
        return [*own, "HEAD"] if "GET" in own and "HEAD" not in own else own
    return [ANY]


def _endpoints(route: Any, methods: Sequence[str], place: Place) -> Iterator[Endpoint]:  # noqa: ANN401 - likewise
    pattern = place.pattern.then(route.path, route.param_convertors)
    app = attribute(route, "app")
    leaf, behind = (None, place) if app is None else peeled(app, place)
    dependant = attribute(route, "dependant")
    steps = behind.steps if dependant is None else (*behind.steps, *_dependencies(dependant, place.app))
    endpoint = route.endpoint
    kind = Kind.STATIC if is_a(leaf, "starlette.staticfiles", "StaticFiles") else Kind.ROUTE
    for method in methods:
        own = endpoint
        if isinstance(endpoint, type):
            own = attribute(endpoint, method.lower()) or (method == "HEAD" and attribute(endpoint, "get")) or endpoint
        found = (*steps, *enforced(own), *(() if own is endpoint else enforced(endpoint)))
        yield Endpoint(method, pattern, found, kind, name_of(endpoint), place.host)


def _frontend(route: Any, place: Place) -> Iterator[Endpoint]:  # noqa: ANN401 - likewise
    """Read what FastAPI tries last: files of a frontend, with the dependencies of their router."""
    group = attribute(route, "original_route") or route
    prefix = attribute(route, "frontend_prefix") or ""
    dependant = attribute(route, "dependant")
    steps = place.steps if dependant is None else (*place.steps, *_dependencies(dependant, place.app))
    for one in attribute(group, "routes") or ():
        pattern = place.pattern.then((prefix + one.path).rstrip("/")).below()
        yield Endpoint("GET", pattern, steps, Kind.STATIC, name_of(one), place.host)


def _dependencies(dependant: Any, app: object) -> Iterator[Step]:  # noqa: ANN401 - likewise
    """Return what the dependencies of a route do, in the order in which they are solved."""
    for inner in dependant.dependencies:
        call = (attribute(app, "dependency_overrides") or {}).get(inner.call, inner.call)
        if call is inner.call:
            yield from _dependencies(inner, app)
        yield from _dependency(call, inner)


def _dependency(call: object, dependant: object) -> Iterator[Step]:
    found = list(enforced(call))
    asked = all_scopes(_asked_scopes(dependant))
    if asked != AnyToken() and attribute(dependant, "security_scopes_param_name") is not None:
        found = [_asking(step, asked) for step in found]
    yield from found
    if not found and is_a(call, "fastapi.security.base", "SecurityBase") and not _is_ours(call):
        yield Behind(name_of(call), scheme=True)


def _is_ours(thing: object) -> bool:
    return type(thing).__module__.startswith("jwt_asgi.")


def _asked_scopes(dependant: object) -> list[str]:
    """Return the scopes of `Security(..., scopes=[...])`, those around it too, of old FastAPI and new."""
    names = ("security_scopes", "parent_oauth_scopes", "own_oauth_scopes")
    return list(dict.fromkeys(scope for name in names for scope in attribute(dependant, name) or ()))


def _asking(step: Step, asked: Requirement) -> Step:
    """Add the scopes to what a dependency needs; whoever asks for one needs a token, too."""
    match step:
        case Verifies():
            needed = asked if step.requirement == AnyToken() else step.requirement & asked
            return replace(step, requirement=needed, optional=False)
        case Requires():
            return replace(step, requirement=asked if step.requirement == AnyToken() else step.requirement & asked)
        case _:
            return step


def enforced(thing: object) -> Iterator[Step]:
    """Return what a dependency, a guard or a decorated function does: it says so, or what it wraps does."""
    seen: list[object] = []
    said = False
    while thing is not None and not any(one is thing for one in seen):
        seen.append(thing)
        if isinstance(attribute(thing, "verifier"), Verifier):
            # Whoever holds a verifier, and does not say what it asks for, may let anybody through
            asks = isinstance(attribute(thing, "jwt_requirement"), Requirement)
            yield _verifies(thing) if asks else Behind(name_of(thing), scheme=True)
            return
        inner = thing.func if isinstance(thing, partial) else attribute(thing, "__wrapped__")
        requirement = attribute(thing, "jwt_requirement")
        if isinstance(thing, FunctionType) and thing.__globals__.get("__name__") == "starlette.authentication":
            yield from _starlette_requires(thing)
        # A decorator takes the attribute over from what it wraps; the outermost rule has the inner ones in it
        elif (
            isinstance(requirement, Requirement) and not said and attribute(inner, "jwt_requirement") is not requirement
        ):
            said = True
            yield Requires("require", _outermost(seen))
        thing = inner


def _outermost(seen: Sequence[object]) -> Requirement:
    found = (attribute(thing, "jwt_requirement") for thing in seen)
    return next(one for one in found if isinstance(one, Requirement))


def _verifies(thing: object) -> Verifies:
    return Verifies(name_of(attribute(thing, "_bearer") or thing), attribute(thing, "jwt_requirement"), optional(thing))


def _starlette_requires(wrapper: FunctionType) -> Iterator[Step]:
    """Read the scopes of Starlette's own `@requires` from what its wrapper holds."""
    held = inspect.getclosurevars(wrapper).nonlocals
    scopes = held.get("scopes_list")
    if isinstance(scopes, list):
        status = _SEE_OTHER if held.get("redirect") is not None else held.get("status_code", _FORBIDDEN)
        yield Requires("starlette requires", all_scopes(scopes), frozenset({status, _FORBIDDEN}), foreign=True)
