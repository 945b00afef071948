"""A long connection to an ASGI application, as a server holds it, and tokens that expire while it is open."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from jwt_asgi import JWTMiddleware, TrustedIssuer, Verifier
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIApp, Message

EPOCH = 1_800_000_000.0
ISSUER = TestIssuer(algorithms=["ES256"], clock=lambda: EPOCH)
CLOSE: Message = {"type": "websocket.close", "code": 1008, "reason": ""}
FINAL: Message = {"type": "http.response.body", "body": b"", "more_body": False}
DISCONNECT: dict[str, Message] = {
    "websocket": {"type": "websocket.disconnect", "code": 1008, "reason": ""},
    "http": {"type": "http.disconnect"},
}


class Clock:
    """Stands still while a first token is verified, and then runs as the real one does; `ahead` sets it.

    So a machine may be as slow as it likes: the token is good until the connection is let in.
    """

    def __init__(self, ahead: float = 0.0) -> None:
        self.ahead = ahead
        self._looks = 0
        self._began = 0.0

    def __call__(self) -> float:
        # Before the keys are fetched, and after
        self._looks += 1
        if self._looks <= 2:
            self._began = time.monotonic()
        return EPOCH + self.ahead + time.monotonic() - self._began


def expiring(app: ASGIApp, life: float = 0.05, **options: Any) -> JWTMiddleware:
    """Protect an application by tokens; those of `ISSUER.token()` are good for `life` seconds from now."""
    trusted = TrustedIssuer(**ISSUER.options(), leeway=0.0)
    return JWTMiddleware(app, verifier=Verifier(trusted, clock=Clock(300 - life)), **options)


class Connection:
    """One connection. `sent` is what reached the server; `hold`, while it is set, keeps the server from sending."""

    def __init__(self, kind: str, token: str | None, *, path: str = "/", spec_version: str = "2.4") -> None:
        self.sent: list[Message] = []
        self.hold: anyio.Event | None = None
        self.sends: Callable[[Message], None] = self.sent.append
        self._arrived: deque[Message] = deque()
        self._arrival: anyio.Event | None = None
        self._sending = False
        self.scope: dict[str, Any] = {
            "type": kind,
            "asgi": {"version": "3.0", "spec_version": spec_version},
            "http_version": "1.1",
            "scheme": "ws" if kind == "websocket" else "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [] if token is None else [(b"authorization", b"Bearer " + token.encode())],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8000),
        }
        if kind == "websocket":
            self.scope["subprotocols"] = []
            self.arrive({"type": "websocket.connect"})
        else:
            self.scope["method"] = "GET"
            self.arrive({"type": "http.request", "body": b"", "more_body": False})

    def arrive(self, message: Message) -> None:
        """Let the client send this."""
        self._arrived.append(message)
        if self._arrival is not None:
            self._arrival.set()

    def text(self, text: str) -> None:
        """Let the client send a text."""
        self.arrive({"type": "websocket.receive", "text": text})

    async def receive(self) -> Message:
        while not self._arrived:
            self._arrival = anyio.Event()
            await self._arrival.wait()
        return self._arrived.popleft()

    async def send(self, message: Message) -> None:
        assert not self._sending, "two send at once"
        self._sending = True
        try:
            if self.hold is not None:
                await self.hold.wait()
            self.sends(dict(message))
        finally:
            self._sending = False

    async def run(self, app: ASGIApp) -> list[Message]:
        """Call the application and return what was sent; fail where it does not end."""
        with anyio.fail_after(5):
            await app(self.scope, self.receive, self.send)
        return self.sent

    @property
    def types(self) -> list[str]:
        """The types of what was sent, without their kind."""
        return [message["type"].partition(".")[2] for message in self.sent]


async def until(condition: Callable[[], object]) -> None:
    """Wait for something to become true."""
    with anyio.fail_after(5):
        while not condition():
            await anyio.sleep(0.001)


async def open_socket(receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
    """Accept a WebSocket."""
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})


async def open_stream(receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
    """Begin a response that has no length."""
    assert (await receive())["type"] == "http.request"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send({"type": "http.response.body", "body": b"one", "more_body": True})


OPENINGS = {"websocket": open_socket, "http": open_stream}


def piece(kind: str) -> Message:
    """What an application sends on an open connection."""
    if kind == "websocket":
        return {"type": "websocket.send", "text": "news"}
    return {"type": "http.response.body", "body": b"news", "more_body": True}


def last(kind: str) -> Message:
    """What the door ends a connection with."""
    return CLOSE if kind == "websocket" else FINAL
