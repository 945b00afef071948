"""An application of long connections, for real servers: a WebSocket that echoes, streams, and what is left behind."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import anyio
from sse_starlette import EventSourceResponse

from jwt_asgi import JWTMiddleware
from jwt_asgi.types import ASGIApp, ASGIScope, Message, Receive, Send

open_now: set[int] = set()


def create_app() -> ASGIApp:
    """The application, as the environment describes it."""

    def find(message: Message) -> str | None:
        text = message.get("text") or ""
        return text.removeprefix("token ") if text.startswith("token ") else None

    return JWTMiddleware(
        app,
        issuer=os.environ["TEST_ISSUER"],
        audience=os.environ["TEST_AUDIENCE"],
        algorithms=["ES256"],
        leeway=0.0,
        exempt=["/healthz", "/open"],
        reauthenticate=find,
    )


async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Serve by path."""
    if scope["type"] == "lifespan":
        assert (await receive())["type"] == "lifespan.startup"
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["path"] in {"/healthz", "/open"}:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": str(len(open_now)).encode()})
    else:
        number = id(scope)
        open_now.add(number)
        try:
            await PATHS[scope["path"]](scope, receive, send)
        finally:
            open_now.discard(number)


async def echo(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Echo, with the token's id before it."""
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": f"{scope['jwt'].subject}: {message['text']}"})


async def deaf(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Send now and then, and never listen."""
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while True:
        await send({"type": "websocket.send", "text": "news"})
        await anyio.sleep(0.05)


async def stream(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Send one piece, and then nothing."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"one", "more_body": True})
    await anyio.sleep_forever()


async def events(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Server-sent events, as sse-starlette does it."""

    async def news() -> AsyncIterator[dict[str, str]]:
        while True:
            yield {"data": "news"}
            await anyio.sleep(0.05)

    await EventSourceResponse(news())(scope, receive, send)


async def short(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Answer at once."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


PATHS = {"/short": short, "/echo": echo, "/deaf": deaf, "/stream": stream, "/events": events}
