"""What the clients of the kit have in common: whose token they carry, and how they begin and end an application."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Self, Unpack

from jwt_asgi.errors import Reason
from jwt_asgi.testing.tokens import TokenOptions
from jwt_asgi.types import ASGIApp, ASGIScope, Message, Receive, Send

if TYPE_CHECKING:
    from jwt_asgi.testing.issuer import TestIssuer

__all__ = ["Application", "Identities"]


class Identities:
    """A client whose copies carry other tokens. They share the application, and whether it is running."""

    issuer: TestIssuer
    headers: Any
    cookies: Any

    def as_user(self, subject: str = "user-1", **options: Unpack[TokenOptions]) -> Self:
        """Return a client that sends a token of this subject, made now; `options` are those of `TestIssuer.token`."""
        return self.with_token(self.issuer.token(subject=subject, **options))

    def with_token(self, token: str) -> Self:
        """Return a client that sends this token, with every request and every WebSocket handshake."""
        return self._with_header({"authorization": f"Bearer {token}"})

    def with_bad_token(self, reason: Reason | str) -> Self:
        """Return a client that sends a token that is refused for this reason; see `TestIssuer.bad_token`."""
        return self.with_token(self.issuer.bad_token(reason))

    def anonymous(self) -> Self:
        """Return a client that sends none."""
        return self._with_header({})

    def _with_header(self, header: dict[str, str]) -> Self:
        other = copy.copy(self)
        kept = {name: value for name, value in self.headers.items() if name.lower() != "authorization"}
        # Both are made anew by httpx, so that no user has another's
        other.headers, other.cookies = {**kept, **header}, self.cookies
        return other


class Application:
    """The application under test, as a server that asks for its lifespan where it has one sees it.

    What it keeps in its lifespan's `state` is in the scope of each request.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Take the application."""
        self.app = app
        self.state: dict[str, Any] = {}

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Call it."""
        if scope["type"] != "lifespan":
            if "state" not in scope:
                scope["state"] = self.state.copy()
            return await self.app(scope, receive, send)
        answered = False

        async def note_and_send(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self.app(scope, receive, note_and_send)
        except Exception:
            if answered:
                raise
        if not answered:
            await self._live_without(receive, send)
        return None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the application has
        """Return what the application itself has by this name."""
        return getattr(self.app, name)

    async def _live_without(self, receive: Receive, send: Send) -> None:
        """Go on without the lifespan of an application that has none, as servers do."""
        await send({"type": "lifespan.startup.complete"})
        while (await receive())["type"] != "lifespan.shutdown":
            continue
        await send({"type": "lifespan.shutdown.complete"})
