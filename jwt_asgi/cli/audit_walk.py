"""An application -> its routes, in the order in which they are tried, with every step on the way to each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from types import FunctionType, MethodType
from typing import Any, Final

from jwt_asgi._core.access import Requirement
from jwt_asgi._core.rules import AnyToken, Scope
from jwt_asgi.apps import attribute, is_mock, parts
from jwt_asgi.cli.audit_paths import ANY, Pattern
from jwt_asgi.cli.audit_steps import Behind, Door, Endpoint, Kind, NeedsDoor, Requires, Step, Verifies
from jwt_asgi.middleware import JWTMiddleware
from jwt_asgi.verifier import Verifier

__all__ = ["Place", "all_scopes", "is_a", "labelled", "name_of", "optional", "peeled", "step_of", "walk"]

_INWARD: Final = ("app", "_app", "asgi_app", "asgi_handler", "application", "other_asgi_app", "wrapped_app")
_TRUSTED: Final = ("jwt_asgi.", "starlette.", "fastapi.", "litestar.")
_REFUSALS: Final = frozenset({400, 401, 403})
"""How Starlette's AuthenticationMiddleware refuses, with and without `on_error`, and WebSockets."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far the walk has come: the path so far, the steps to here, and the application that it is in."""

    pattern: Pattern = field(default_factory=Pattern)
    steps: tuple[Step, ...] = ()
    host: str = ""
    app: object = None

    def past(self, *steps: Step) -> Place:
        """Go on behind these steps."""
        return replace(self, steps=(*self.steps, *steps))


def walk(thing: object, place: Place | None = None, seen: tuple[object, ...] = ()) -> Iterator[Endpoint]:
    """Return the routes of an ASGI application, of whatever framework.

    An application of an unknown kind is one row, whatever it serves.
    """
    place = place or Place()
    if is_mock(thing) or any(one is thing for one in seen):
        return iter(_opaque(thing, place))
    if isinstance(thing, MethodType):
        return walk(thing.__self__, place, seen)
    if _is_overridden(thing):
        place = place.past(Behind(labelled(thing)))
    for module, kind, reader in _READERS:
        if is_a(thing, module, kind):
            return iter(reader(thing, place))
    if (step := step_of(thing, place)) is not None:
        metadata = _metadata(thing, place)
        return _chain(metadata, _inside(thing, place.past(step), (*seen, thing)))
    return _inside(thing, place, (*seen, thing))


def _is_overridden(thing: object) -> bool:
    """Whether a class of the user's own takes the calls of an application or a door first, and may answer by itself."""
    owner = next((kind for kind in type(thing).__mro__ if "__call__" in vars(kind)), object)
    return _is_known(thing) and not owner.__module__.startswith(_TRUSTED)


def is_a(thing: object, module: str, name: str) -> bool:
    """Whether a thing is of a class, whose module is not imported for that."""
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(thing, kind)


def name_of(thing: object) -> str:
    """Return the name of a function or class, or of a thing's class."""
    thing = thing.__func__ if isinstance(thing, MethodType) else thing
    named = thing if isinstance(thing, (FunctionType, type)) else type(thing)
    return named.__qualname__.replace(".<locals>", "")


def optional(holder: object) -> bool:
    """Whether what verifies lets a request without a token through."""
    own = attribute(holder, "anonymous")
    gate = attribute(holder, "gate") or attribute(holder, "_gate")
    return bool(attribute(gate, "anonymous") if own is None else own)


def step_of(thing: object, place: Place) -> Step | None:
    """Return what a middleware does, where it is known."""
    if isinstance(thing, JWTMiddleware):
        return Door(thing, place.pattern)
    if is_a(thing, "mcp.server.auth.middleware.bearer_auth", "RequireAuthMiddleware"):
        return Requires(name_of(thing), all_scopes(attribute(thing, "required_scopes") or ()), foreign=True)
    if is_a(thing, "jwt_asgi.mcp", "MCPGuard"):
        tools = attribute(thing, "tools")
        return NeedsDoor("MCPGuard", "put JWTMiddleware around it", None if tools is None else tuple(tools.items()))
    if is_a(thing, "jwt_asgi.litestar", "_BehindTheDoor"):
        return NeedsDoor("JWTPlugin()", "give it the issuer's options, or put JWTMiddleware around the application")
    backend = attribute(thing, "backend")
    # The SDK of MCP has a verifier within its backend, which lets through what has no token
    for one in (backend, attribute(backend, "token_verifier")):
        if isinstance(attribute(one, "verifier"), Verifier):
            inner = one is not backend
            return Verifies(name_of(one), AnyToken(), inner or optional(one), _REFUSALS)
    return None


def all_scopes(scopes: Iterable[str]) -> Requirement:
    """Return the rule that asks for all of these; `authenticated` is any token, as in Starlette."""
    needed: Requirement = AnyToken()
    for scope in scopes:
        if scope != "authenticated":
            needed = Scope(scope) if needed == AnyToken() else needed & Scope(scope)
    return needed


def peeled(thing: object, place: Place, until: object = None) -> tuple[object, Place]:
    """Take the middleware off what answers one route, or off a router: return that, and the place behind it."""
    while thing is not until and not isinstance(thing, (FunctionType, MethodType, type)):
        inner = next((one for name in _INWARD if callable(one := attribute(thing, name))), None)
        if inner is None:
            break
        place = place.past(step_of(thing, place) or Behind(labelled(thing)))
        thing = inner
    return thing, place


def _inside(thing: object, place: Place, seen: tuple[object, ...]) -> Iterator[Endpoint]:
    """Go on to what a middleware wraps."""
    known = isinstance(thing, JWTMiddleware) or step_of(thing, place) is not None
    beyond = place if known else place.past(Behind(labelled(thing)))
    for name in _INWARD:
        inner = attribute(thing, name)
        if callable(inner) and not isinstance(inner, type) and inner is not thing:
            others = [] if known else _others(thing, inner, (*seen, place.app))
            return _chain([row for other in others for row in _opaque(other, place)], walk(inner, beyond, seen))
    found = list(_known(thing, {}))
    if len(found) == 1:
        return walk(found[0], beyond, seen)
    return iter(_opaque(thing, place))


def _others(thing: object, inner: object, outside: tuple[object, ...]) -> Iterator[object]:
    """Return the applications that a wrapper holds beside the one that it is around: it may hand requests to them."""
    within = list(outside)
    while inner is not None and not is_mock(inner) and not any(one is inner for one in within):
        within.append(inner)
        inner = next((one for name in _INWARD if (one := attribute(inner, name)) is not None), None)
    for value in (attribute(thing, "__dict__") or {}).values():
        for one in (
            value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else [value]
        ):
            if _is_known(one) and not any(one is other for other in within):
                yield one


def _is_known(thing: object) -> bool:
    return isinstance(thing, JWTMiddleware) or any(is_a(thing, module, kind) for module, kind, _ in _READERS)


def _known(thing: object, seen: dict[int, object]) -> Iterator[object]:
    """Return the applications and doors that a thing holds, without those that are in them."""
    for part in parts(thing):
        if part is None or isinstance(part, (str, bytes, int, type)) or id(part) in seen:
            continue
        seen[id(part)] = part
        if _is_known(part):
            yield part
        else:
            yield from _known(part, seen)


def labelled(thing: object) -> str:
    """Return the name of a thing with its module."""
    thing = attribute(thing, "dispatch_func") or thing
    named = thing if isinstance(thing, (FunctionType, MethodType, type)) else type(thing)
    return f"{named.__module__}.{name_of(thing)}"


def _opaque(thing: object, place: Place) -> list[Endpoint]:
    return [Endpoint(ANY, place.pattern.below(), place.steps, Kind.OPAQUE, labelled(thing), place.host)]


def _metadata(thing: object, place: Place) -> list[Endpoint]:
    """Return what a door says of the API, to anyone."""
    resource = thing.gate.resource if isinstance(thing, JWTMiddleware) else None
    if resource is None:
        return []
    pattern = place.pattern.then(resource.metadata_path.replace("{", "%7B"))
    return [Endpoint("GET", pattern, place.steps, Kind.METADATA, "metadata of the resource", place.host)]


def _chain(first: list[Endpoint], rest: Iterator[Endpoint]) -> Iterator[Endpoint]:
    yield from first
    yield from rest


def _starlette_app(app: Any, place: Place) -> Iterator[Endpoint]:  # noqa: ANN401 - the framework may be absent
    from jwt_asgi.cli.audit_starlette import application  # noqa: PLC0415 - it imports this

    return application(app, place)


def _starlette_router(router: Any, place: Place) -> Iterator[Endpoint]:  # noqa: ANN401 - likewise
    from jwt_asgi.cli.audit_starlette import router as read  # noqa: PLC0415 - likewise

    return read(router, place)


def _litestar(app: Any, place: Place) -> Iterator[Endpoint]:  # noqa: ANN401 - likewise
    from jwt_asgi.cli.audit_litestar import application  # noqa: PLC0415 - likewise

    return application(app, place)


def _static(thing: object, place: Place) -> Iterator[Endpoint]:
    yield Endpoint("GET", place.pattern.below(), place.steps, Kind.STATIC, name_of(thing), place.host)


_READERS: Final[tuple[tuple[str, str, Callable[[Any, Place], Iterator[Endpoint]]], ...]] = (
    ("starlette.applications", "Starlette", _starlette_app),
    ("starlette.routing", "Router", _starlette_router),
    ("starlette.staticfiles", "StaticFiles", _static),
    ("litestar.app", "Litestar", _litestar),
)
"""The classes whose routes can be seen."""
