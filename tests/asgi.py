"""Calls an ASGI application the way a server does, with nothing in between.

Header names and values are sent as given (bytes), so a test can send what no HTTP client would.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio

from jwt_asgi.types import ASGIApp, Message

TURNS = 200
_ENDS = {"websocket.close", "websocket.http.response.body"}
Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Answer:
    """What an HTTP request got."""

    status: int
    headers: Headers
    body: bytes

    def header(self, name: str) -> str | None:
        """The one value of a header, or None; two fail the test."""
        found = [value for key, value in self.headers if key.lower() == name.lower().encode()]
        assert len(found) <= 1, f"{name} was sent {len(found)} times"
        return found[0].decode("ascii") if found else None

    @property
    def challenge(self) -> str | None:
        """The WWW-Authenticate header."""
        return self.header("www-authenticate")

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


@dataclass(frozen=True)
class SocketAnswer:
    """What a WebSocket handshake got: `messages` is everything that was sent to the server."""

    messages: Sequence[Message] = field(default_factory=list)

    @property
    def accepted(self) -> bool:
        """Whether the handshake was accepted."""
        return any(message["type"] == "websocket.accept" for message in self.messages)

    @property
    def close_code(self) -> int | None:
        """The code of the close message, if one was sent."""
        codes = [message.get("code", 1000) for message in self.messages if message["type"] == "websocket.close"]
        return codes[0] if codes else None

    @property
    def denial(self) -> Answer | None:
        """The HTTP answer given in place of an accept, if any."""
        start = [message for message in self.messages if message["type"] == "websocket.http.response.start"]
        body = [message for message in self.messages if message["type"] == "websocket.http.response.body"]
        if not start:
            return None
        return Answer(start[0]["status"], start[0]["headers"], b"".join(message.get("body", b"") for message in body))


async def http(
    app: ASGIApp,
    *,
    token: str | bytes | None = None,
    method: str = "GET",
    path: str = "/",
    headers: Headers = (),
    query: bytes = b"",
    body: bytes = b"",
    **scope_members: Any,
) -> Answer:
    """Send one HTTP request; `token` becomes an `Authorization: Bearer` header after `headers`."""
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8"),
        "root_path": "",
        "query_string": query,
        "headers": _with_token(headers, token),
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
    } | scope_members
    incoming: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Message] = []
    answered = anyio.Event()

    async def receive() -> Message:
        if not incoming:
            await answered.wait()
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(dict(message))
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            answered.set()

    await app(scope, receive, send)
    assert sent, "the application sent nothing"
    assert sent[0]["type"] == "http.response.start"
    payload = b"".join(message.get("body", b"") for message in sent[1:])
    return Answer(sent[0]["status"], list(sent[0].get("headers", [])), payload)


async def websocket(
    app: ASGIApp,
    *,
    token: str | bytes | None = None,
    path: str = "/",
    headers: Headers = (),
    query: bytes = b"",
    extensions: Mapping[str, Any] | None = None,
    **scope_members: Any,
) -> SocketAnswer:
    """Open one WebSocket and disconnect; `extensions={"websocket.http.response": {}}` offers denial responses."""
    scope: dict[str, Any] = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode("utf-8"),
        "root_path": "",
        "query_string": query,
        "headers": _with_token(headers, token),
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "subprotocols": [],
        "extensions": dict(extensions or {}),
    } | scope_members
    incoming: list[Message] = [{"type": "websocket.connect"}]
    sent: list[Message] = []

    async def receive() -> Message:
        if not incoming:
            # Not before the answer: some frameworks give up a view whose client has gone
            for _ in range(TURNS):
                if any(message["type"] in _ENDS for message in sent):
                    break
                await anyio.sleep(0)
        return incoming.pop(0) if incoming else {"type": "websocket.disconnect", "code": 1005}

    async def send(message: Message) -> None:
        sent.append(dict(message))

    await app(scope, receive, send)
    return SocketAnswer(sent)


def _with_token(headers: Headers, token: str | bytes | None) -> list[tuple[bytes, bytes]]:
    if token is None:
        return list(headers)
    raw = token.encode("utf-8") if isinstance(token, str) else token
    return [*headers, (b"authorization", b"Bearer " + raw)]
