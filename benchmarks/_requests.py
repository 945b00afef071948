"""The bare ASGI application, and requests without a server in between: `GET /v1/todos/7`, answered with two bytes."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from typing import Any

from jwt_asgi.types import ASGIApp, ASGIScope, Message, Receive, Send

PATTERN = "/v1/todos/{id}"
PATH = "/v1/todos/7"
HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"2")]


async def answer(_: ASGIScope, __: Receive, send: Send) -> None:
    """Be the bare ASGI application."""
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b"ok"})


def a_scope(token: bytes | None) -> dict[str, Any]:
    """Return the scope of a request with this token, as a server makes it."""
    credentials = [] if token is None else [(b"authorization", b"Bearer " + token)]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"api.test"), (b"accept", b"*/*"), *credentials],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }


async def receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def discard(_: Message) -> None:
    pass


async def cost_of(app: ASGIApp, scopes: Sequence[ASGIScope]) -> float:
    """Let an application answer these requests, and return its microseconds a request: of all threads."""
    gc.disable()
    begun = time.process_time_ns()
    for scope in scopes:
        await app(scope, receive, discard)
    taken = time.process_time_ns() - begun
    gc.enable()
    return taken / 1000 / len(scopes)


async def status_of(app: ASGIApp, token: bytes | None) -> int:
    """Make one request, and return its status."""
    statuses: list[int] = []

    async def send(message: Message) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    await app(a_scope(token), receive, send)
    if len(statuses) != 1:
        raise RuntimeError(f"expected one answer; got {statuses}")
    return statuses[0]
