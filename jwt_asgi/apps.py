"""An application -> the doors in it: whatever holds a Verifier, however the framework has wrapped it.

Nothing is called and nothing is changed: the walk reads attributes. What a framework keeps for later, as Starlette does
with `add_middleware`, is made from its options, for reading alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import FunctionType
from typing import Any, Final

from jwt_asgi.middleware import JWTMiddleware
from jwt_asgi.types import ASGIScope, Receive, Send
from jwt_asgi.verifier import Verifier

__all__ = ["Door", "attribute", "doors", "is_mock", "parts"]

_INWARD: Final = (
    # What wraps an application, by the names that frameworks and their users give it
    *("app", "_app", "asgi_app", "asgi_handler", "application", "other_asgi_app", "wrapped_app", "__self__", "func"),
    # Dependencies before the routes that share them, so that a door is found at the widest place
    *("backend", "dependencies", "dependency", "dependant", "call"),
    *("include_context", "original_router", "router", "routes"),
    # Litestar
    *("asgi_router", "root_route_map_node", "_mount_routes", "children", "asgi_handlers", "asgi_app"),
)
_LEAVES: Final = (str, bytes, int, float, type, type(None))
_OF_NOBODY: Final = "jwt_asgi_asks_for_this"
"""A mock has it, and any other attribute: the way through it would never end."""


@dataclass(frozen=True, slots=True)
class Door:
    """What lets a connection in.

    Attributes:
        verifier: What it decides with.
        holder: The object that has it: a `JWTMiddleware`, a dependency of a route, an authentication backend.
        path: The prefix that it was found below, "" for the whole application; of a route, its path.
    """

    verifier: Verifier
    holder: object
    path: str


def doors(app: object) -> tuple[Door, ...]:
    """Return the doors of an ASGI application, the outermost first.

    They are found behind common wrappers (`.app`, `.asgi_app` of Quart, `.asgi_handler` of Litestar, functions that
    hold an application), below mounts and included routers, among middleware that is yet to be built, authentication
    backends, and the dependencies of FastAPI's routes. A `Verifier` is its own door.

    Raises:
        ConfigurationError: the options of a middleware that is yet to be built are wrong.
    """
    found: list[Door] = []
    # What was seen is kept, since the identity of what is gone may be given again
    seen: dict[int, object] = {}
    ahead: list[tuple[object, str]] = [(app, "")]
    while ahead:
        thing, path = ahead.pop()
        if isinstance(thing, _LEAVES) or id(thing) in seen or is_mock(thing):
            continue
        seen[id(thing)] = thing
        verifier = thing if isinstance(thing, Verifier) else attribute(thing, "verifier")
        if isinstance(verifier, Verifier):
            found.append(Door(verifier, thing, path))
            seen[id(verifier)] = verifier
        inside = _below(thing, path)
        ahead += reversed([(part, inside) for part in parts(thing)])
    return tuple(found)


def _below(thing: object, path: str) -> str:
    """Add the prefix of a mount, an included router or a route."""
    if (context := attribute(thing, "include_context")) is not None:
        own = attribute(context, "prefix")
    elif any(attribute(thing, name) is not None for name in ("app", "endpoint", "route_handlers")):
        own = attribute(thing, "path")
    else:
        own = ""
    return path + own if isinstance(own, str) else path


def parts(thing: object) -> Iterator[object]:
    """Return what a thing holds that an application may be behind."""
    if is_mock(thing):
        return
    if isinstance(thing, Mapping):
        yield from thing.values()
    elif isinstance(thing, (list, tuple, set, frozenset)):
        yield from thing
    elif isinstance(thing, FunctionType):
        yield from _captured(thing)
    elif isinstance(attribute(thing, "kwargs"), Mapping):
        yield from _planned(thing)
    else:
        # The stack that was built is the truth; what it was built from would be found twice
        stack = attribute(thing, "middleware_stack")
        yield attribute(thing, "user_middleware") if stack is None else stack
        for name in _INWARD:
            yield attribute(thing, name)


def is_mock(thing: object) -> bool:
    """Whether a thing has every attribute that it is asked for."""
    return attribute(thing, _OF_NOBODY) is not None


def _captured(function: FunctionType) -> Iterator[object]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not yet bound
            continue


def _planned(entry: object) -> Iterator[object]:
    """Make the middleware of an entry that names a class and its options; of any other, look through the options."""
    made_by: Any = attribute(entry, "cls") or attribute(entry, "middleware") or attribute(entry, "func")
    given: Any = attribute(entry, "args")
    arguments: tuple[object, ...] = given if isinstance(given, tuple) else ()
    options: dict[str, Any] = dict(attribute(entry, "kwargs"))
    while isinstance(made_by, partial):
        arguments, options = (*made_by.args, *arguments), {**made_by.keywords, **options}
        made_by = made_by.func
    if isinstance(made_by, type) and issubclass(made_by, JWTMiddleware):
        yield made_by(_nobody, *arguments, **options)
    else:
        yield made_by
        yield from arguments
        yield from options.values()


async def _nobody(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Stand where the application will be."""


def attribute(thing: object, name: str) -> Any:  # noqa: ANN401 - it may be anything
    """Return an attribute of a stranger's object; None where there is none, or it cannot be had."""
    try:
        return getattr(thing, name, None)
    except Exception:  # noqa: BLE001 - a property of a stranger's object may raise anything
        return None
