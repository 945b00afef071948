"""How an answer is sent to a connection that has none yet."""

from __future__ import annotations

from jwt_asgi._core.challenge import Answer
from jwt_asgi.types import ASGIScope, Receive, Send

__all__ = ["POLICY_VIOLATION", "can_deny", "deny", "send_answer"]

POLICY_VIOLATION = 1008
"""RFC 6455 section 7.4.1. Before the handshake is accepted, servers answer a close with 403."""


async def send_answer(answer: Answer, scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Send an answer to a connection that has none yet."""
    if scope["type"] == "http":
        await _send(answer, send, "http.response", body=scope["method"] != "HEAD")
    elif (await receive())["type"] == "websocket.connect":
        await deny(answer, scope, send)


def can_deny(scope: ASGIScope) -> bool:
    """Whether the server can send an HTTP answer in place of a WebSocket's handshake."""
    return "websocket.http.response" in (scope.get("extensions") or {})


async def deny(answer: Answer, scope: ASGIScope, send: Send) -> None:
    """Refuse a WebSocket before it is accepted, with the whole answer where the server can send it."""
    if can_deny(scope):
        await _send(answer, send, "websocket.http.response", body=True)
    else:
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": ""})


async def _send(answer: Answer, send: Send, prefix: str, *, body: bool) -> None:
    await send({"type": f"{prefix}.start", "status": answer.status, "headers": list(answer.headers)})
    await send({"type": f"{prefix}.body", "body": answer.body if body else b"", "more_body": False})
