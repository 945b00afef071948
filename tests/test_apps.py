"""The doors of an application are found, however its framework has wrapped them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any
from unittest.mock import MagicMock

import pytest
from fastapi import APIRouter, Depends, FastAPI
from litestar import Litestar, get
from litestar.middleware import DefineMiddleware
from quart import Quart
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from jwt_asgi import ConfigurationError, JWTMiddleware, SharedSecret, TrustedIssuer, Verifier
from jwt_asgi.apps import Door, doors
from jwt_asgi.types import ASGIApp, ASGIScope, Receive, Send
from tests.asgi import http

OPTIONS: Any = {
    "issuer": "https://issuer.test",
    "audience": "https://api.test",
    "algorithms": ["HS256"],
    "keys": SharedSecret("s" * 32),
}


async def inner(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Nothing that a door would be found in."""


def verifier() -> Verifier:
    return Verifier(TrustedIssuer(**OPTIONS))


class Wrapper:
    """A middleware of somebody's."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class Bearer:
    """A dependency that holds a verifier."""

    def __init__(self, verifier: Verifier) -> None:
        self.verifier = verifier

    async def __call__(self, request: Request) -> str:
        return "token"


BEARERS = {name: Bearer(verifier()) for name in ("app", "included", "router", "route", "parameter", "deep", "socket")}


def nested(token: Annotated[str, Depends(BEARERS["deep"])]) -> str:
    """A dependency of a dependency."""
    return token


class Backend(AuthenticationBackend):
    """An authentication backend that holds one."""

    def __init__(self, verifier: Verifier) -> None:
        self.verifier = verifier

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        return None


def by_function(app: ASGIApp) -> ASGIApp:
    async def wrapped(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return wrapped


@pytest.mark.parametrize(
    "wrap", [lambda app: app, Wrapper, by_function, partial, lambda app: app.__call__, lambda app: [Wrapper(app)]]
)
def test_a_middleware_is_found_behind_what_wraps_it(wrap: Callable[[Any], object]) -> None:
    door = JWTMiddleware(inner, **OPTIONS)
    assert doors(wrap(door)) == (Door(door.verifier, door, ""),)


def test_a_verifier_is_its_own_door_and_is_found_in_a_function_that_uses_it() -> None:
    own = verifier()

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await own.verify("")

    assert doors(own) == (Door(own, own, ""),)
    assert doors(app) == (Door(own, own, ""),)


def test_the_outermost_door_comes_first_and_each_is_there_once() -> None:
    within = JWTMiddleware(inner, **OPTIONS)
    around = JWTMiddleware(Wrapper(within), **OPTIONS)
    assert [door.holder for door in doors(around)] == [around, within]
    assert [door.holder for door in doors([around, within, around])] == [around, within]


@pytest.mark.parametrize("made", [Starlette, FastAPI])
async def test_what_starlette_has_yet_to_build_is_found_and_then_what_it_has_built(made: type[Starlette]) -> None:
    app = made()
    app.add_middleware(JWTMiddleware, **OPTIONS)
    app.add_middleware(partial(Wrapper))
    (planned,) = doors(app)
    assert planned.verifier.status().keys() == {"https://issuer.test"}
    assert app.middleware_stack is None
    await http(app)
    (built,) = doors(app)
    assert doors(app) == (built,)
    assert built.holder is not planned.holder


def test_a_middleware_that_is_yet_to_be_built_may_have_its_options_beforehand() -> None:
    app = Starlette(middleware=[Middleware(partial(JWTMiddleware, **OPTIONS), anonymous=True)])
    assert len(doors(app)) == 1


def test_a_wrong_option_of_a_middleware_that_is_yet_to_be_built_is_told() -> None:
    app = Starlette(middleware=[Middleware(JWTMiddleware, issuer="https://issuer.test")])
    with pytest.raises(ConfigurationError, match="audience, algorithms"):
        doors(app)


def test_a_door_of_a_route_or_a_mount_tells_where_it_is() -> None:
    def endpoint(request: Request) -> Response:
        return PlainTextResponse("")

    guarded = [Middleware(JWTMiddleware, **OPTIONS)]
    sub = Starlette(routes=[Route("/b", endpoint, middleware=guarded)], middleware=guarded)
    app = Starlette(routes=[Route("/open", endpoint), Mount("/a", app=sub)])
    assert [door.path for door in doors(app)] == ["/a", "/a/b"]


def test_the_verifier_of_an_authentication_backend_is_found() -> None:
    backend = Backend(verifier())
    app = Starlette(middleware=[Middleware(AuthenticationMiddleware, backend=backend)])
    assert doors(app) == (Door(backend.verifier, backend, ""),)
    assert doors(AuthenticationMiddleware(inner, backend=backend)) == doors(app)


def test_the_dependencies_of_fastapis_routes_are_found() -> None:
    inside = APIRouter(dependencies=[Depends(BEARERS["router"])])

    @inside.get("/todos", dependencies=[Depends(BEARERS["route"])])
    def todos(_: Annotated[str, Depends(BEARERS["parameter"])], __: Annotated[str, Depends(nested)]) -> None: ...

    @inside.websocket("/talk", dependencies=[Depends(BEARERS["socket"])])
    def talk() -> None: ...

    app = FastAPI(dependencies=[Depends(BEARERS["app"])])
    app.include_router(inside, prefix="/api", dependencies=[Depends(BEARERS["included"])])
    names = {id(bearer): name for name, bearer in BEARERS.items()}
    assert {names[id(door.holder)]: door.path for door in doors(app)} == {
        "app": "",
        "included": "/api",
        "router": "/api",
        "route": "/api/todos",
        "parameter": "/api/todos",
        "deep": "/api/todos",
        "socket": "/api/talk",
    }


def test_the_door_of_a_quart_application_is_found() -> None:
    app: Any = Quart("an_app")
    app.asgi_app = door = JWTMiddleware(app.asgi_app, **OPTIONS)
    assert doors(app) == (Door(door.verifier, door, ""),)


def _by_factory(app: Any) -> Any:
    return JWTMiddleware(app, **OPTIONS)


_MIDDLEWARE: Any = JWTMiddleware


@pytest.mark.parametrize("middleware", [DefineMiddleware(_MIDDLEWARE, **OPTIONS), _by_factory])
def test_the_door_of_a_litestar_application_is_found(middleware: Any) -> None:
    @get("/", sync_to_thread=False)
    def index() -> str:
        return ""

    # Litestar builds the middleware anew for each route
    app = Litestar([index], middleware=[middleware])
    found = doors(app)
    assert found
    assert {issuer for door in found for issuer in door.verifier.status()} == {"https://issuer.test"}
    assert doors(app) == found, "a door is what was built, and is made by no walk"


def test_an_application_without_a_door_has_none() -> None:
    later: Any

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await later(scope, receive, send)

    assert doors(Starlette()) == doors(inner) == doors(app) == doors(None) == ()
    later = inner


def test_an_object_that_has_every_attribute_or_refuses_one_does_no_harm() -> None:
    class Refuses:
        @property
        def app(self) -> object:
            raise RuntimeError

    assert doors(Refuses()) == ()
    assert doors(MagicMock()) == doors([MagicMock()]) == ()


def test_a_circle_comes_to_an_end() -> None:
    wrapper = Wrapper(None)
    wrapper._app = Wrapper(wrapper)
    assert doors(wrapper) == ()


def test_a_verifier_tells_whom_it_trusts() -> None:
    def named() -> Iterator[TrustedIssuer]:
        yield TrustedIssuer(**OPTIONS)
        yield TrustedIssuer(**{**OPTIONS, "issuer": "https://other.test"})

    issuers = tuple(named())
    assert Verifier(*issuers).issuers == issuers
