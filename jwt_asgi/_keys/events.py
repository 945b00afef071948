"""What the key cache tells: KeyEvent when something happens, KeyStatus when it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from jwt_asgi._core.freshness import State

__all__ = ["KeyEvent", "KeyEventKind", "KeyStatus", "Notify"]


class KeyEventKind(Enum):
    """What happened to an issuer's keys.

    Events are few, however many requests there are: each comes from a fetch, or once until the next that succeeds.
    """

    FETCHED = "fetched"
    """The issuer answered with a key set."""
    NOT_MODIFIED = "not_modified"
    """The issuer confirmed the set at hand: 304, or the same bytes again."""
    KEYS_CHANGED = "keys_changed"
    """The set has other keys than before: `added` and `removed`."""
    KEY_SKIPPED = "key_skipped"
    """A new set has keys that cannot be used: `detail` says which, and why."""
    PRIVATE_KEY_PUBLISHED = "private_key_published"
    """The issuer publishes a private key: whoever has read it can sign tokens. Have it revoked at once."""
    FAILED = "failed"
    """An attempt failed: `detail` says how, `retry_in` when the next one may be made."""
    RECOVERED = "recovered"
    """The first success after failures."""
    SERVING_STALE = "serving_stale"
    """A token was verified with a set that is older than its lifetime."""
    EXPIRED = "expired"
    """A request was refused (503), since the set is older than its lifetime and `stale_if_error` together."""
    UNKNOWN_KID = "unknown_kid"
    """A key was looked for at the issuer, which does not publish it. The key's name is a stranger's, so not told."""
    THROTTLED = "throttled"
    """A token with an unknown key was refused without a look-up: there were too many of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEvent:
    """One event. Nothing in it is of a request or a token.

    Attributes:
        kind: What happened.
        issuer: The configured issuer.
        detail: More, for the operator; or empty.
        added: The kids that are new; for a key without one, its thumbprint (RFC 7638).
        removed: The kids that are gone, likewise.
        retry_in: Seconds until the next attempt may be made, after a failure.
    """

    kind: KeyEventKind
    issuer: str
    detail: str = ""
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    retry_in: float = 0.0


Notify = Callable[[KeyEvent], None]
"""Takes an event, and never raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStatus:
    """How the keys of one issuer are. Times are in seconds from now.

    Attributes:
        issuer: The configured issuer.
        state: `State.FRESH`, `AGEING`, `STALE`, `EXPIRED` or `EMPTY`.
        required: Whether readiness waits for it.
        jwks_uri: Where the keys are, or None: not known yet, or not fetched at all.
        kids: The kids of the usable keys; for a key without one, its thumbprint.
        skipped: What cannot be used of the set, as lines of text.
        age: Since the set was fetched or confirmed; None without one.
        refresh_in: Until it is refreshed ahead; 0 when that is due; None without a set, or for keys that are given.
        expires_in: Until it is used no more; None likewise.
        failures: Attempts in a row that failed.
        error: Why the last one failed; empty when it did not.
        retry_in: Until the next attempt may be made.
        counters: Since the start, for metrics: `fetches`, `not_modified`, `failures`, `unknown_kid`, `throttled`,
            `served_stale`, `unavailable`.
    """

    issuer: str
    state: State
    required: bool = True
    jwks_uri: str | None = None
    kids: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    age: float | None = None
    refresh_in: float | None = None
    expires_in: float | None = None
    failures: int = 0
    error: str = ""
    retry_in: float = 0.0
    counters: Mapping[str, int]

    @property
    def ready(self) -> bool:
        """Whether tokens of this issuer can be judged."""
        return self.state not in {State.EMPTY, State.EXPIRED}

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON takes it."""
        members: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        return members | {"state": self.state.value, "ready": self.ready, "counters": dict(self.counters)}
