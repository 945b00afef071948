"""Re-authentication: a message of an open WebSocket that brings a new token of the same identity."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from time import perf_counter

from jwt_asgi._core.access_token import AccessToken
from jwt_asgi.errors import ConfigurationError, JWTASGIError, Reason, TokenError
from jwt_asgi.expiry import Renewal
from jwt_asgi.instrumentation import Decision, Outcome
from jwt_asgi.types import Message
from jwt_asgi.verifier import Verifier

__all__ = ["Reauthenticate", "Renewer", "check_reauthenticate"]

Reauthenticate = Callable[[Message], str | None]
"""Returns the token text of a message that brings one, and None of every other message."""

_UNAVAILABLE = 503

logger = logging.getLogger("jwt_asgi")


class Renewer:
    """Holds the token of one connection, and takes a new one from its messages.

    Args:
        token: The token that opened the connection.
        verifier: Verifies the next ones.
        find: The application's; finds a token in a message.
        admit: Holds a new token against what the connection needs; raises AccessError.
        identify: Is given each new token, for those who read the scope.
        tell: Is told of each decision.
    """

    __slots__ = ("_admit", "_find", "_identify", "_tell", "_token", "_verifier")

    def __init__(
        self,
        token: AccessToken,
        verifier: Verifier,
        *,
        find: Reauthenticate,
        admit: Callable[[AccessToken], Awaitable[None]],
        identify: Callable[[AccessToken], None],
        tell: Callable[[Decision], None],
    ) -> None:
        """Begin with the token that opened the connection."""
        self._token, self._verifier, self._find = token, verifier, find
        self._admit, self._identify, self._tell = admit, identify, tell

    @property
    def token(self) -> AccessToken:
        """The latest that was taken."""
        return self._token

    async def renew(self, message: Message) -> Renewal:
        """Take a new token, if there is one in this message."""
        began = perf_counter()
        try:
            text = self._find(message)
            if text is not None and not isinstance(text, str):
                raise TypeError(f"expected the text of a token, or None; got {type(text).__name__}")
        except Exception:
            logger.exception("reauthenticate failed, and the connection is closed: %r", self._find)
            return Renewal.REFUSED
        return Renewal.NONE if text is None else await self._take(text, began)

    async def _take(self, text: str, began: float) -> Renewal:
        token: AccessToken | None = None
        try:
            token = await self._verifier.verify(text)
            _check_identity(self._token, token)
            await self._admit(token)
        except JWTASGIError as error:
            seconds = perf_counter() - began
            self._tell(Decision.of_error(error, token=token, kind="websocket", seconds=seconds))
            # An issuer or a policy that is down is no fault of this client, whose token is good still
            return Renewal.TAKEN if error.reason.status == _UNAVAILABLE else Renewal.REFUSED
        self._token = token
        self._identify(token)
        seconds = perf_counter() - began
        self._tell(Decision(outcome=Outcome.GRANTED, token=token, kind="websocket", seconds=seconds))
        return Renewal.TAKEN


def check_reauthenticate(find: Reauthenticate | None, *, end_at_expiry: bool) -> Reauthenticate | None:
    """Return the function.

    Raises:
        ConfigurationError: it is none, it is async, or it would be of no use.
    """
    if find is None:
        return None
    if not callable(find) or iscoroutinefunction(find) or iscoroutinefunction(type(find).__call__):
        raise ConfigurationError("reauthenticate", f"expected a function that is not async; got {find!r}")
    if not end_at_expiry:
        raise ConfigurationError("reauthenticate", "expected no end_at_expiry=False beside it: nothing ends")
    return find


def _check_identity(old: AccessToken, new: AccessToken) -> None:
    same = (old.issuer, old.subject, old.client_id) == (new.issuer, new.subject, new.client_id)
    if not same or (new.subject is None and new.client_id is None):
        detail = "expected a token of the issuer, subject and client that opened the connection"
        raise TokenError(Reason.IDENTITY_CHANGED, detail)
