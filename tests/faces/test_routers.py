"""Whatever path is sent, no router hands it to a handler whose route rule was not met.

Each request goes through the door to the real router. What routers do with odd paths differs: Litestar collapses
slashes and looks for `root_path` anywhere, Django and Quart read any method in upper case, Starlette does neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote, unquote

import pytest
from django.urls import Resolver404, path
from django.urls.resolvers import RegexPattern, URLResolver
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar
from litestar import get as litestar_get
from litestar import post as litestar_post
from quart import Quart
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from jwt_asgi import JWTMiddleware, Requirement, Role
from jwt_asgi.access import AnyToken
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIApp, ASGIScope, Receive, Send
from tests.asgi import http
from tests.properties.strategies import examples

ISSUER = TestIssuer(algorithms=["ES256"])
RULES: dict[str, Requirement] = {
    "/*": AnyToken(),
    "/admin/*": Role("admin"),
    "GET /items/{id}": Role("reader"),
    "POST /items/{id}": Role("writer"),
}
reached: list[str] = []


def starlette() -> ASGIApp:
    def handler(name: str) -> Callable[..., Awaitable[PlainTextResponse]]:
        async def handle(_: Any) -> PlainTextResponse:
            reached.append(name)
            return PlainTextResponse(name)

        return handle

    return Starlette(
        routes=[
            Mount("/admin", routes=[Route("/", handler("admin")), Route("/{rest:path}", handler("admin"))]),
            Route("/items/{id}", handler("reader"), methods=["GET"]),
            Route("/items/{id}", handler("writer"), methods=["POST"]),
            Route("/docs/{rest:path}", handler("docs")),
        ]
    )


def litestar() -> ASGIApp:
    @litestar_get(["/admin", "/admin/{rest:path}"])
    async def admin() -> str:
        reached.append("admin")
        return "admin"

    @litestar_get("/items/{item:str}")
    async def read() -> str:
        reached.append("reader")
        return "reader"

    @litestar_post("/items/{item:str}")
    async def write() -> str:
        reached.append("writer")
        return "writer"

    @litestar_get("/docs/{rest:path}")
    async def docs() -> str:
        reached.append("docs")
        return "docs"

    return Litestar([admin, read, write, docs], openapi_config=None)  # type: ignore[return-value]


def quart() -> ASGIApp:
    app = Quart(__name__)

    def handler(name: str) -> Callable[..., Awaitable[str]]:
        async def handle(**_: str) -> str:
            reached.append(name)
            return name

        return handle

    app.add_url_rule("/admin", "admin", handler("admin"))
    app.add_url_rule("/admin/<path:rest>", "admin below", handler("admin"))
    app.add_url_rule("/items/<item>", "reader", handler("reader"), methods=["GET"])
    app.add_url_rule("/items/<item>", "writer", handler("writer"), methods=["POST"])
    app.add_url_rule("/docs/<path:rest>", "docs", handler("docs"))
    return app  # type: ignore[return-value]


def django() -> ASGIApp:
    """Django's resolver, called as its ASGIRequest calls it, without settings."""
    routes = [path(f"{start}", _nothing, name="admin") for start in ("admin", "admin/", "admin/<path:rest>")]
    routes += [path("items/<str:item>", _nothing, name="items"), path("docs/<path:rest>", _nothing, name="docs")]
    resolver = URLResolver(RegexPattern(r"^/"), routes)

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        found = scope["path"].removeprefix(scope["root_path"].rstrip("/"))
        try:
            name = resolver.resolve(found).url_name
        except Resolver404:
            name = None
        if name == "items":
            name = {"GET": "reader", "HEAD": "reader", "POST": "writer"}.get(scope["method"].upper())
        if name is not None:
            reached.append(name)
        await send({"type": "http.response.start", "status": 200 if name else 404, "headers": []})
        await send({"type": "http.response.body", "body": (name or "").encode()})

    return app


def _nothing() -> None:
    raise AssertionError("the resolver alone is asked")


DOORS = {
    make.__name__: JWTMiddleware(make(), **ISSUER.options(), rules=RULES, exempt=["/docs/*"], hooks=[])
    for make in (starlette, litestar, quart, django)
}
PIECES = st.sampled_from(
    ["admin", "items", "docs", "api", "x", "7", "", ".", "..", "...", "Admin", "admin;x", ";admin", "admin\n", "\x00"]
) | st.sampled_from(["%2e%2e", "%61dmin", "admin%2fx", "..\\admin", "\\admin", " ", "admin ", "ü", "?admin", "#admin"])
PATHS = st.lists(PIECES, max_size=5).map(lambda pieces: "/" + "/".join(pieces)) | st.text(
    "/.admin;%2f\\", max_size=12
).map(lambda text: "/" + text)
ROOTS = st.sampled_from(["", "", "/api", "/api/", "/", "/docs", "/admin", "/items", "/x"])
RAW = st.sampled_from([quote, lambda text: quote(text, safe=""), lambda text: quote(text, safe="/%;:"), None])


def ask(
    door: ASGIApp, path: str, *, method: str = "GET", root: str = "", raw: Any = quote, roles: Any = ()
) -> list[str]:
    """The handlers that were reached."""
    reached.clear()
    token = None if roles is None else ISSUER.token(roles=list(roles))

    async def send() -> None:
        await http(
            door,
            token=token,
            path=path,
            method=method,
            root_path=root,
            raw_path=None if raw is None else raw(path).encode("ascii"),
        )

    asyncio.run(send())
    return list(reached)


@pytest.mark.parametrize("framework", DOORS)
@given(PATHS, st.sampled_from(["GET", "HEAD", "POST", "get", "Post", "OPTIONS"]), ROOTS, RAW, st.booleans())
@examples(60)
def test_no_path_leads_to_a_handler_whose_rule_is_not_met(
    framework: str, path: str, method: str, root: str, raw: Any, prefixed: bool
) -> None:
    whole = root.rstrip("/") + path if prefixed else path
    assert set(ask(DOORS[framework], whole, method=method, root=root, raw=raw)) <= {"docs"}
    assert set(ask(DOORS[framework], unquote(whole), method=method, root=root, raw=raw)) <= {"docs"}
    assert set(ask(DOORS[framework], whole, method=method, root=root, raw=raw, roles=None)) <= {"docs"}


@pytest.mark.parametrize("framework", DOORS)
@pytest.mark.parametrize(
    ("path", "method", "role"),
    [
        ("/admin", "GET", "admin"),
        ("/admin/x/y", "GET", "admin"),
        ("/items/7", "GET", "reader"),
        ("/items/7", "POST", "writer"),
        ("/items/a b", "GET", "reader"),
    ],
)
def test_the_role_of_the_rule_opens_the_handler(framework: str, path: str, method: str, role: str) -> None:
    # Starlette redirects /admin to /admin/, and the others answer it
    path = "/admin/" if (framework, path) == ("starlette", "/admin") else path
    for root in ("", "/api"):
        assert ask(DOORS[framework], root + path, method=method, root=root, roles=[role]) == [role]
        assert ask(DOORS[framework], root + path, method=method, root=root, roles=["other"]) == []


@pytest.mark.parametrize("framework", DOORS)
def test_what_is_exempt_needs_no_token_and_what_is_behind_it_in_another_routers_eyes_does(framework: str) -> None:
    door = DOORS[framework]
    assert ask(door, "/docs/a", roles=None) == ["docs"]
    assert ask(door, "/docs/a/", roles=None) == ["docs"]
    # Litestar 2 takes what is behind root_path, wherever that stands: this is its /admin
    assert ask(door, "/docs/api/admin", root="/api", roles=None) == []
    assert ask(door, "/docs/api/admin/", root="/api", roles=None) == []
    assert ask(door, "/docs/../admin", roles=None) == []
    assert ask(door, "/docs/../admin/", roles=None) == []


@pytest.mark.parametrize("framework", DOORS)
@pytest.mark.parametrize(
    ("path", "method", "root"),
    [
        # Django and Quart: GET and POST
        ("/items/7", "get", ""),
        ("/items/7", "Post", ""),
        ("/items/7", "HEAD", ""),
        # Litestar: /admin
        ("/x/api/admin", "GET", "/api"),
        ("/apiadmin", "GET", "/api"),
        ("//admin", "GET", ""),
        ("/admin/", "GET", ""),
        # Starlette: the `$` of its pattern takes a line break behind it
        ("/items/7\n", "GET", ""),
    ],
)
def test_what_one_router_reads_as_another_path_or_method_needs_the_rule_of_that(
    framework: str, path: str, method: str, root: str
) -> None:
    assert ask(DOORS[framework], path, method=method, root=root) == []
