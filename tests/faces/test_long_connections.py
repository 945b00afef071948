"""Long connections of Starlette, FastAPI and sse-starlette end as they do when the client leaves, without an error."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator

import anyio
import pytest
from fastapi import FastAPI, WebSocket
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

from tests.connection import CLOSE, FINAL, ISSUER, Connection, expiring

pytestmark = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
every_version = pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
cleaned: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_is_logged_as_an_error(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    cleaned.clear()
    yield
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def silent() -> AsyncIterator[str]:
    """One event, and then none."""
    try:
        yield "one"
        await anyio.sleep_forever()
    finally:
        cleaned.append("generator")


async def busy() -> AsyncIterator[str]:
    try:
        while True:
            yield "one"
            await anyio.sleep(0.005)
    finally:
        cleaned.append("generator")


async def stream(request: Request) -> Response:
    return StreamingResponse({"/silent": silent, "/busy": busy}[request.url.path]())


async def listen(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            await socket.receive_text()
    except WebSocketDisconnect as left:
        cleaned.append(f"left with {left.code}")


async def careless(socket: WebSocket) -> None:
    await socket.accept()
    async for _ in socket.iter_text():
        pass
    await socket.close()


async def uncaught(socket: WebSocket) -> None:
    await socket.accept()
    await socket.receive_text()


async def tell(socket: WebSocket) -> None:
    await socket.accept()
    while True:
        await socket.send_text("news")
        await anyio.sleep(0.005)


async def pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
    return await call_next(request)


ROUTES = [
    Route("/silent", stream),
    Route("/busy", stream),
    WebSocketRoute("/listen", listen),
    WebSocketRoute("/careless", careless),
    WebSocketRoute("/uncaught", uncaught),
    WebSocketRoute("/tell", tell),
]


@pytest.mark.parametrize("path", ["/listen", "/careless", "/uncaught", "/tell"])
async def test_a_websocket_of_starlette_is_closed(path: str) -> None:
    connection = Connection("websocket", ISSUER.token(), path=path)
    await connection.run(expiring(Starlette(routes=ROUTES)))
    assert connection.sent[-1] == CLOSE
    assert connection.types.count("close") == 1
    assert cleaned == (["left with 1008"] if path == "/listen" else [])


async def test_a_websocket_of_fastapi_is_closed() -> None:
    app = FastAPI()
    app.websocket("/listen")(listen)
    connection = Connection("websocket", ISSUER.token(), path="/listen")
    await connection.run(expiring(app))
    assert connection.sent[-1] == CLOSE
    assert cleaned == ["left with 1008"]


# Starlette leaves a generator whose client is gone to the garbage collector, of which trio complains
@pytest.mark.filterwarnings("ignore:Exception ignored in. <async_generator:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
@every_version
@pytest.mark.parametrize("path", ["/silent", "/busy"])
@pytest.mark.parametrize("layers", [0, 1, 2])
async def test_a_streaming_response_is_ended_through_other_middleware(
    spec_version: str, path: str, layers: int
) -> None:
    app = Starlette(routes=ROUTES, middleware=[Middleware(BaseHTTPMiddleware, dispatch=pass_on)] * layers)
    connection = Connection("http", ISSUER.token(), path=path, spec_version=spec_version)
    sent = await connection.run(expiring(app))
    assert sent[-1] == FINAL
    assert sent.count(FINAL) == 1


@every_version
@pytest.mark.parametrize("source", [silent, busy])
async def test_server_sent_events_are_ended(spec_version: str, source: object) -> None:
    async def events(request: Request) -> Response:
        return EventSourceResponse(source())  # type: ignore[operator]

    connection = Connection("http", ISSUER.token(), path="/events", spec_version=spec_version)
    sent = await connection.run(expiring(Starlette(routes=[Route("/events", events)])))
    assert sent[-1] == FINAL
    assert sent.count(FINAL) == 1
    assert cleaned == ["generator"]


async def test_a_plain_answer_is_as_it_was() -> None:
    async def plain(request: Request) -> Response:
        await anyio.sleep(0.1)
        return JSONResponse({"subject": request.user.display_name})

    app = Starlette(routes=[Route("/", plain)], middleware=[Middleware(BaseHTTPMiddleware, dispatch=pass_on)])
    sent = await Connection("http", ISSUER.token()).run(expiring(app))
    assert b"".join(message.get("body", b"") for message in sent) == b'{"subject":"user-1"}'
