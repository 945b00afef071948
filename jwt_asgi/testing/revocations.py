"""What a test's issuer has revoked, and the feeds that hear of it in place of their own sources."""
# ruff: noqa: SLF001 - it stands in for the insides of these classes

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from jwt_asgi._core.revocation import Entry, EntryKind, Row, key_of, row_of
from jwt_asgi._core.revoked import Revoked
from jwt_asgi._core.token import parse_token
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.revocation.feed import RevocationFeed
from jwt_asgi.revocation.watch import Watches

__all__ = ["ShadowFeed", "row_to_revoke"]

_LASTING: Final = 10 * 366 * 86_400.0
_KINDS: Final[dict[str, EntryKind]] = {"token": "j", "session": "s", "subject": "u", "client": "c", "key": "k"}


def row_to_revoke(issuer: str, now: float, **named: str | None) -> Row:
    """Return the entry of what is named: a token itself, or one of the others by its identifier.

    Raises:
        ConfigurationError: it is not one that is named, or a token without `jti`.
        TokenError: what is given as a token is none.
    """
    given = [(name, value) for name, value in named.items() if value is not None]
    if len(given) != 1 or not isinstance(given[0][1], str) or not given[0][1]:
        raise ConfigurationError("revoke", f"expected one of {', '.join(_KINDS)}, as session='...'")
    [(name, value)] = given
    if name == "token":
        token_id = parse_token(value).claims.get("jti")
        if not isinstance(token_id, str):
            raise ConfigurationError("revoke", "expected a token with `jti`, by which it is revoked")
        value = token_id
    kind = _KINDS[name]
    return row_of(Entry(seq=0, kind=kind, key=key_of(issuer, kind, value), until=now + _LASTING, before=now))


class ShadowFeed:
    """What a feed knows during a block, in the place of its `Poller`: what the test has revoked, at once.

    Args:
        real: The feed.
        heard: Returns what is revoked by all issuers.
        age: Returns how many seconds ago that was heard.
    """

    failures = 0
    error = ""

    def __init__(self, real: RevocationFeed, heard: Callable[[], Iterable[Row]], age: Callable[[], float]) -> None:
        """Hear."""
        self.revoked = Revoked()
        self.counters: Counter[str] = Counter()
        self.watches = Watches(self.revoked, lambda: self.counters.update(["ended"]))
        self.age = age
        self._heard, self._max_stale = heard, real._max_stale
        self.hear()

    def hear(self) -> None:
        """Hear what is new, unless there is an outage."""
        if not self.age():
            self.revoked.add(self._heard(), 0.0)
            self.watches.wake()

    def is_fresh(self) -> bool:
        """As of `Poller`."""
        return self.age() < self._max_stale

    async def catch_up(self, seconds: float = math.inf) -> bool:  # noqa: ARG002 - as of `Poller`
        """As of `Poller`."""
        return self.is_fresh()

    def retry_in(self) -> float:
        """As of `Poller`."""
        return 0.0

    async def aclose(self) -> None:
        """As of `Poller`."""
