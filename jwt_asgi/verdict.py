"""What becomes of one connection, told once; and how an answer is sent to it."""

from __future__ import annotations

from time import perf_counter

from jwt_asgi._core.access_token import AccessToken
from jwt_asgi._core.challenge import Answer
from jwt_asgi.errors import JWTASGIError
from jwt_asgi.gate import Gate
from jwt_asgi.instrumentation import Decision, Outcome
from jwt_asgi.types import ASGIScope, Receive, Send

__all__ = ["POLICY_VIOLATION", "Verdict", "can_deny", "deny", "send_answer"]

POLICY_VIOLATION = 1008
"""RFC 6455 section 7.4.1. Before the handshake is accepted, servers answer a close with 403."""


class Verdict:
    """What becomes of one connection: let in, unless the application refuses before it answers. Hooks are told once.

    `began`: when the decision did, by `perf_counter`. It must not know the scope, which knows it: such a circle would
    keep each connection in memory until the garbage collector comes.
    """

    # Not set by `__init__`, as most connections are let in, and that is all
    answer: Answer | None = None
    told = False
    _refusal: Decision | None = None

    def __init__(self, gate: Gate, outcome: Outcome, token: AccessToken | None, kind: str, began: float) -> None:
        self._gate, self._outcome, self._token, self._kind, self._began = gate, outcome, token, kind, began
        self._seconds = perf_counter() - began

    def refuse(self, error: JWTASGIError) -> Answer:
        """Refuse after all, and return the answer for the application's framework to send: `scope[REFUSE]`.

        Raises:
            JWTASGIError: the error itself, where the application has answered already.
        """
        self.answer = self._gate.answer(error)
        if self.told:
            raise error
        seconds = perf_counter() - self._began
        self._refusal = Decision.of_error(error, token=self._token, kind=self._kind, seconds=seconds)
        return self.answer

    def tell(self) -> None:
        """Tell the hooks, unless that was done."""
        if self.told:
            return
        self.told = True
        if self._refusal is not None:
            self._gate.tell(self._refusal)
        elif self._gate.tells_grants:
            self._gate.grant(self._outcome, token=self._token, kind=self._kind, seconds=self._seconds)


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
