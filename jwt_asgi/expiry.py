"""The passage that ends when its token does, expired or revoked, or is renewed.

A WebSocket is closed with 1008 (RFC 6455 section 7.4.1). A response is ended where it could be endless: where it has no
content-length. Whatever is shorter is left alone, and pays for no timer.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, Protocol

from starlette.requests import ClientDisconnect
from starlette.websockets import WebSocketDisconnect

from jwt_asgi._core.access_token import AccessToken
from jwt_asgi._keys.flight import on_asyncio, pause
from jwt_asgi.answers import POLICY_VIOLATION
from jwt_asgi.deadline import AsyncioDeadline, ConnectionExpired, Deadline, Visitor
from jwt_asgi.deadline_trio import TrioDeadline
from jwt_asgi.passage import Passage
from jwt_asgi.types import ASGIApp, Message

__all__ = ["Credentials", "ExpiringPassage", "Renewal"]

logger = logging.getLogger("jwt_asgi")


class Renewal(Enum):
    """What became of a message that may bring a new token."""

    NONE = "none"
    """It brings none: it is the application's."""
    TAKEN = "taken"
    """It is dealt with, and the connection goes on until its token expires, which may be a new one."""
    REFUSED = "refused"
    """The connection is closed."""


class Credentials(Protocol):
    """What a connection was let in with, and what takes its place."""

    @property
    def token(self) -> AccessToken:
        """The latest."""
        ...

    async def renew(self, message: Message) -> Renewal:
        """Look for a new token in what the client sends on a WebSocket."""
        ...


class ExpiringPassage(Passage):
    """A passage that is closed when its token expires or is revoked. Nothing is timed before it is a long one."""

    renewable: Callable[[], Credentials] | None = None
    """Returns what messages may renew, when it is needed; None: the token stays what it was."""
    _credentials: Credentials | None = None
    _deadline: Deadline | None = None
    _is_long = False
    _unwatch: Callable[[], None] | None = None

    def run(self, app: ASGIApp) -> Awaitable[None]:
        """Call the application, and see that the connection ends with its token."""
        call = app(self._scope, self.receive, self.send)
        if "trio" in sys.modules and not on_asyncio():
            self._deadline = TrioDeadline(self._seconds_left, self._farewell)
            return self._deadline.hold(call)
        self._task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]
        self._cancelled = self._task.cancelling()
        return call

    @property
    def is_over(self) -> bool:
        """As of `Passage`."""
        return self._is_plain and self._deadline is None

    async def end(self) -> None:
        """As of `Passage`."""
        if self._deadline is not None:
            await self._settle(None)
        await super().end()

    async def fail(self, error: BaseException) -> bool:
        """As of `Passage`; and how an application ends whose client is told to be gone is of no account."""
        if not await self._settle(error):
            return await super().fail(error)
        await super().end()
        return True

    async def _settle(self, error: BaseException | None) -> bool:
        self._look_away()
        try:
            return self._deadline is not None and await self._deadline.settle(error, _SAY_GONE)
        except BaseException:
            self._tell()
            raise

    async def _see_to(self, message: Message) -> None:
        """As of `Passage`.

        Raises:
            ConnectionExpired: the token is good no more; nothing reaches the server any more.
        """
        if self._is_long:
            await self._send_more(message)
            return
        last_words: list[Message] = []
        if message["type"] in _BEGINNINGS:
            message, last_words = _last_words(message)
        await super()._see_to(message)
        if last_words:
            self._last_words, self._is_long = last_words, True
            self._credentials = None if self.renewable is None else self.renewable()
            self._arm()

    async def _send_more(self, message: Message) -> None:
        deadline = self._timed()
        if _is_last(message) and not deadline.has_passed():
            self._let_go()
            return await super()._see_to(message)
        try:
            await deadline.visit(super()._see_to, message, listens=False)
        except ConnectionExpired:
            raise
        except OSError:
            self._let_go()
            raise

    async def receive(self) -> Message:
        """Wait for a message of the server; when the token has expired it says that the client is gone."""
        deadline = self._timed()
        try:
            message = await deadline.visit(self._receive, listens=True)
            while message["type"] == "websocket.receive" and self._is_long and self._credentials is not None:
                renewal = await deadline.visit(self._credentials.renew, message, listens=True)
                if renewal is Renewal.NONE:
                    return message
                if renewal is Renewal.REFUSED:
                    deadline.end()
                else:
                    self._arm()
                message = await deadline.visit(self._receive, listens=True)
        except ConnectionExpired:
            # An application that asks again and again must not stop the event loop
            await pause(0)
            return self._disconnect()
        self._connect = self._connect or message
        if message["type"] in _GONE:
            self._let_go()
        return message

    def _timed(self) -> Deadline:
        if self._deadline is None:
            main = Visitor(self._task, self._cancelled, listens=False)
            self._deadline = AsyncioDeadline(self._seconds_left, self._farewell, main)
        return self._deadline

    def _arm(self) -> None:
        self._look_away()
        if (token := self._current()) is not None:
            self._unwatch = self._gate.verifier.watch(token, self._timed().look)
        self._timed().arm()

    def _look_away(self) -> None:
        """Be told no more that the token was revoked."""
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None

    def _current(self) -> AccessToken | None:
        return self._token if self._credentials is None else self._credentials.token

    def _seconds_left(self) -> float:
        token = self._current()
        return 0.0 if token is None else self._gate.verifier.seconds_left(token)

    def _disconnect(self) -> Message:
        if self._last_words[0]["type"] == "websocket.close":
            return {"type": "websocket.disconnect", "code": POLICY_VIOLATION, "reason": ""}
        return {"type": "http.disconnect"}

    def _let_go(self) -> None:
        """Nothing is left to end."""
        self._is_long = False
        self._look_away()
        self._timed().disarm()

    async def _farewell(self) -> None:
        if not self._is_long:
            return
        try:
            for message in self._last_words:
                await self._send(message)
        except Exception:
            logger.debug("a connection whose token has expired could not be closed", exc_info=True)


_SAY_GONE = (ClientDisconnect, WebSocketDisconnect)
_BEGINNINGS = frozenset({"websocket.accept", "http.response.start"})
_GONE = frozenset({"websocket.disconnect", "http.disconnect"})
_PIECES = frozenset({"http.response.body", "http.response.zerocopysend"})


def _last_words(beginning: Message) -> tuple[Message, list[Message]]:
    """Return what a connection begins with, and what ends it; nothing where it ends by itself."""
    if beginning["type"] == "websocket.accept":
        return beginning, [{"type": "websocket.close", "code": POLICY_VIOLATION, "reason": ""}]
    headers = beginning.get("headers", ())
    if not isinstance(headers, (list, tuple)):
        # ASGI allows any iterable, and some can be read but once
        headers = list(headers)
        beginning = {**beginning, "headers": headers}
    for name, _ in headers:
        if name.lower() == b"content-length":
            return beginning, []
    words: list[Message] = [{"type": "http.response.body", "body": b"", "more_body": False}]
    if beginning.get("trailers"):
        words.append({"type": "http.response.trailers", "headers": [], "more_trailers": False})
    return beginning, words


def _is_last(message: Message) -> bool:
    kind = message["type"]
    if kind in _PIECES:
        return not message.get("more_body", False)
    return kind in {"websocket.close", "http.response.pathsend"}
