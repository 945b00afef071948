"""An access token was seen -> its session's refresh token has arrived, so the one before it is good for no more.

An access token that is used came with the refresh token of its generation (`sid` and `gen` name it). Who sees it, as
the introspection endpoint or a resource server in the same process, says so here; it is written down a moment later,
once for each generation.
"""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, Final, Protocol

from cachetools import LRUCache

from jwt_asgi.issuer.refresh_token import FAMILY_BYTES
from jwt_asgi.issuer.types import Store

__all__ = ["Confirmations", "session_id"]

_MOST: Final = 10_000
_AT_ONCE: Final = 8
_CHARACTERS: Final = (FAMILY_BYTES * 4 + 2) // 3


class _Seen(Protocol):
    """As `Decision.token`."""

    @property
    def claims(self) -> Mapping[str, Any]: ...


class _Decided(Protocol):
    """As `Decision`, which a hook of the middleware is given."""

    @property
    def token(self) -> _Seen | None: ...


class Confirmations:
    """Collects what was seen, and writes it down.

    An instance is a hook: `JWTMiddleware(app, ..., hooks=[service.confirmations])`, where both run in one process.
    """

    def __init__(self, store: Store, *, issuer: str) -> None:
        """Have seen nothing."""
        self._store, self._issuer = store, issuer
        self._known: LRUCache[tuple[str, int], None] = LRUCache(_MOST)
        self._waiting: dict[tuple[str, int], bytes] = {}

    def __call__(self, decision: _Decided) -> None:
        """Take note of a token that the middleware has let in, or would have, but for a rule."""
        if decision.token is not None:
            self.seen(decision.token.claims)

    def seen(self, claims: Mapping[str, Any]) -> None:
        """Take note of the claims of a verified access token; those of others are none of ours."""
        sid, generation = claims.get("sid"), claims.get("gen")
        if not isinstance(sid, str) or not isinstance(generation, int) or claims.get("iss") != self._issuer:
            return
        name = (sid, generation)
        if name in self._known or len(self._waiting) >= _MOST or (found := session_id(sid)) is None:
            return
        self._known[name] = None
        self._waiting[name] = found

    async def flush(self) -> None:
        """Write down what is waiting.

        Raises:
            StoreUnavailable: the store cannot be asked; it is tried again when the tokens are seen again.
        """
        while self._waiting:
            batch = {name: self._waiting.pop(name) for name in [*self._waiting][:_AT_ONCE]}
            asked = [self._store.confirm(found, generation) for (_, generation), found in batch.items()]
            try:
                answers = await asyncio.gather(*asked, return_exceptions=True)
            except asyncio.CancelledError:
                self._waiting.update(batch)
                raise
            failed = {name: answer for name, answer in zip(batch, answers, strict=True) if not isinstance(answer, bool)}
            for name in failed:
                self._known.pop(name, None)
            for error in failed.values():
                raise error


def session_id(sid: str) -> bytes | None:
    """Return the session that a claim `sid` names; None: no session has this name."""
    if len(sid) != _CHARACTERS:
        return None
    try:
        raw = urlsafe_b64decode(sid + "==")
    except ValueError:
        return None
    # The decoder passes over what it does not know, and one session must not have two names
    return raw if urlsafe_b64encode(raw) == f"{sid}==".encode() else None
