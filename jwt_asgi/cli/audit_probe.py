"""The table held against the application: each protected route is asked once without a token, in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, Final

from jwt_asgi.cli.audit import Audit, Remark, Row
from jwt_asgi.cli.audit_paths import ANY, TOOL, WEBSOCKET, Pattern
from jwt_asgi.cli.audit_steps import State
from jwt_asgi.cli.findings import Status
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.types import Message

__all__ = ["answer_of", "probe", "refusals", "started"]

_FORBIDDEN: Final = 403


@asynccontextmanager
async def started(app: Any) -> AsyncIterator[None]:  # noqa: ANN401 - whatever was imported
    """Start the application as a server does, and stop it at the end. Where it knows no lifespan, do nothing.

    Raises:
        ConfigurationError: its start failed.
    """
    asked: asyncio.Queue[Message] = asyncio.Queue()
    told: asyncio.Queue[Message] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    running = asyncio.ensure_future(app(scope, asked.get, told.put))
    asked.put_nowait({"type": "lifespan.startup"})
    answer = asyncio.ensure_future(told.get())
    await asyncio.wait([running, answer], return_when=asyncio.FIRST_COMPLETED)
    said = answer.result() if answer.done() else {"type": "nothing"}
    answer.cancel()
    try:
        if said["type"] == "lifespan.startup.failed":
            lines = str(said.get("message", "")).strip().splitlines() or [""]
            raise ConfigurationError("lifespan", f"the application did not start: {lines[-1]}")
        yield
    finally:
        asked.put_nowait({"type": "lifespan.shutdown"})
        with suppress(Exception):
            await running


async def probe(app: Any, found: Audit) -> Audit:  # noqa: ANN401 - whatever was imported
    """Ask every route that is said to be protected, and no other, since another would run."""
    remarks = list(found.remarks)
    for row in found.rows:
        if row.verdict.state is State.PROTECTED:
            for path in row.paths:
                answer = await answer_of(app, row, path)
                if answer not in refusals(row):
                    wanted = " or ".join(map(str, sorted(refusals(row))))
                    text = f"{row.method} {path} without a token was answered with {answer}; expected {wanted}"
                    remarks.append(Remark("probe", Status.FAULT, row.title, text))
    return replace(found, remarks=tuple(remarks))


def refusals(row: Row) -> frozenset[int]:
    """Return what a protected row may answer a request without a token with."""
    # Before the handshake is accepted, servers answer a close with 403
    return row.verdict.statuses | ({_FORBIDDEN} if row.method == WEBSOCKET else set())


async def answer_of(app: Any, row: Row, path: str) -> int | str:  # noqa: ANN401 - likewise
    """Send one request without a token; return the status, or in words what came of it.

    A WebSocket that is closed before it is accepted counts as 403, as servers have it.
    """
    scope: dict[str, Any] = {
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", Pattern().then(row.host).sample().encode() or b"localhost")],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }
    if row.method == WEBSOCKET:
        extensions: dict[str, Any] = {"websocket.http.response": {}}
        scope |= {"type": "websocket", "scheme": "ws", "subprotocols": [], "extensions": extensions}
        incoming: list[Message] = [{"type": "websocket.connect"}]
    else:
        method = {ANY: "GET", TOOL: "POST"}.get(row.method, row.method)
        scope |= {"type": "http", "scheme": "http", "method": method}
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": row.name, "arguments": {}}}
        body = json.dumps(call).encode() if row.method == TOOL else b""
        incoming = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        return incoming.pop(0) if incoming else {"type": f"{scope['type']}.disconnect", "code": 1005}

    async def send(message: Message) -> None:
        sent.append(message)

    try:
        await app(scope, receive, send)
    except Exception as error:  # noqa: BLE001 - whatever the application raises is what came of it
        return type(error).__name__
    return _status(sent)


def _status(sent: list[Message]) -> int | str:
    for message in sent:
        if message["type"] in {"http.response.start", "websocket.http.response.start"}:
            status: int = message["status"]
            return status
        if message["type"] == "websocket.close":
            return _FORBIDDEN
        if message["type"] == "websocket.accept":
            return "an open WebSocket"
    return "nothing"
