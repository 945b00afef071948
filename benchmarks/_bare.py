"""The bare applications of the frameworks, and those with a dependency; each answers as the ASGI one does."""

# FastAPI reads the annotations of the endpoint: no `from __future__ import annotations` here

from typing import Annotated, Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from benchmarks._requests import PATTERN
from jwt_asgi.types import ASGIApp


async def greet(_: Request) -> Response:
    return PlainTextResponse("ok")


def starlette() -> ASGIApp:
    return Starlette(routes=[Route(PATTERN, greet)])


def fastapi(dependency: Any = None) -> FastAPI:  # noqa: ANN401 - Depends(...) or Security(...)
    """Return an application whose endpoint takes what the dependency gives it, or nothing."""
    app = FastAPI()

    if dependency is None:

        @app.get(PATTERN)
        async def endpoint() -> Response:
            return PlainTextResponse("ok")
    else:

        @app.get(PATTERN)
        async def protected(found: Annotated[object, dependency]) -> Response:
            return PlainTextResponse("ok" if found is not None else "nobody")

    return app
