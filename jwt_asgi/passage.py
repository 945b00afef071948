"""The application's way to the client and back, and what becomes of the connection, told once."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from time import perf_counter

from jwt_asgi._core.access_token import AccessToken
from jwt_asgi._core.challenge import Answer
from jwt_asgi.answers import POLICY_VIOLATION, deny, send_answer
from jwt_asgi.errors import AccessError, JWTASGIError
from jwt_asgi.gate import Gate
from jwt_asgi.instrumentation import Decision, Outcome
from jwt_asgi.types import ASGIApp, ASGIScope, Message, Receive, Send

__all__ = ["Passage", "refuse_late"]

_SERVER_ERROR = 500


class Passage:
    """The way of one connection that was let in; the decision is told when the application first answers.

    Until then the application may still refuse, and one request has one decision. A framework that can only close a
    WebSocket which it has refused gives its client the whole answer all the same; and a 500 is held back until the
    application has ended, since Starlette makes one of an AccessError before it raises it.

    Whoever puts `refuse` on the scope must take it off at the end, and put `refuse_late` in its place: a circle would
    keep each connection in memory until the garbage collector comes.

    Args:
        gate: Whose hooks are told.
        outcome: Why it was let in.
        token: With what.
        began: When the decision did, by `perf_counter`.
        scope: The connection.
        receive: The server's.
        send: The server's.
    """

    # Not set by `__init__`, as most connections need none of it
    _answer: Answer | None = None
    _refusal: Decision | None = None
    _connect: Message | None = None
    _held: Sequence[Message] = ()
    _is_told = False
    _is_plain = False
    """A whole response has begun: whatever else is sent goes to the server as it is."""

    def __init__(
        self,
        gate: Gate,
        outcome: Outcome,
        token: AccessToken | None,
        began: float,
        scope: ASGIScope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._gate, self._outcome, self._token, self._began = gate, outcome, token, began
        self._scope, self._receive, self._send = scope, receive, send
        self._seconds = perf_counter() - began if gate.tells_grants else 0.0

    def run(self, app: ASGIApp) -> Awaitable[None]:
        """Call the application, and return what to await; then `end` or `fail` must follow."""
        return app(self._scope, self.receive if self._scope["type"] == "websocket" else self._receive, self.send)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to see to when the application has ended."""
        return self._is_plain

    async def end(self) -> None:
        """See to what is left when the application has ended."""
        await self._release()
        self._tell()

    async def fail(self, error: BaseException) -> bool:
        """Likewise, when it has ended in an error; return whether that was a refusal, and is answered."""
        if isinstance(error, AccessError):
            answer = self.refuse(error)
            self._tell()
            await send_answer(answer, self._scope, self._receive_connect, self._send)
            return True
        if isinstance(error, Exception):
            await self._release()
        self._tell()
        return False

    def refuse(self, error: JWTASGIError) -> Answer:
        """Refuse after all, and return the answer for the application's framework to send: `scope[REFUSE]`.

        Raises:
            JWTASGIError: the error itself, where the application has answered already.
        """
        self._answer = self._gate.answer(error)
        if self._is_told:
            raise error
        seconds = perf_counter() - self._began
        self._refusal = Decision.of_error(error, token=self._token, kind=self._scope["type"], seconds=seconds)
        return self._answer

    def send(self, message: Message) -> Awaitable[None]:
        """Hand a message to the server."""
        if self._is_plain:
            return self._send(message)
        if self._answer is not None or self._held or not _is_whole(message):
            return self._see_to(message)
        self._is_plain = True
        self._tell()
        return self._send(message)

    async def receive(self) -> Message:
        """Wait for a message of the server."""
        message = await self._receive()
        self._connect = self._connect or message
        return message

    async def _see_to(self, message: Message) -> None:
        answer, accepted = self._answer, self._is_told
        if not accepted and answer is None and (self._held or message.get("status") == _SERVER_ERROR):
            self._held = [*self._held, message]
            if message.get("more_body", False):
                await self._release()
            return
        self._tell()
        if answer is None or message["type"] != "websocket.close":
            await self._send(message)
        elif accepted:
            await self._send({**message, "code": POLICY_VIOLATION, "reason": ""})
        else:
            await deny(answer, self._scope, self._send)

    async def _release(self) -> None:
        """Hand on what was held back: it was meant."""
        held, self._held = self._held, ()
        if held:
            self._tell()
        for message in held:
            await self._send(message)

    async def _receive_connect(self) -> Message:
        """Return the first message, which the application may have taken already."""
        return self._connect or await self._receive()

    def _tell(self) -> None:
        """Tell the hooks, unless that was done."""
        if self._is_told:
            return
        self._is_told = True
        if self._refusal is not None:
            self._gate.tell(self._refusal)
        elif self._gate.tells_grants:
            self._gate.grant(self._outcome, token=self._token, kind=self._scope["type"], seconds=self._seconds)


def refuse_late(error: JWTASGIError) -> Answer:
    """Be on the scope in place of `refuse` when the connection is over.

    Raises:
        JWTASGIError: the error itself, as the application has answered already.
    """
    raise error


def _is_whole(message: Message) -> bool:
    """Whether a message begins a response that is no error, and ends by itself: most do, and need no more."""
    if message["type"] != "http.response.start" or message["status"] == _SERVER_ERROR:
        return False
    headers = message.get("headers")
    if isinstance(headers, (list, tuple)):
        for name, _ in headers:
            if name == b"content-length":
                return True
    return False
