"""What went wrong with an issuer lately, and when it may be asked again."""

from __future__ import annotations

from typing import Final

from jwt_asgi._core.freshness import State, backoff
from jwt_asgi._keys.fetch import FetchError
from jwt_asgi.errors import KeysUnavailable, Reason

__all__ = ["Trouble"]

MAX_RETRY_AFTER: Final = 300.0
URGENT_SECONDS: Final = 1.0


class Trouble:
    """The failures in a row. Times are of one clock, in seconds."""

    __slots__ = ("_urgent_at", "error", "failures", "retry_at")

    def __init__(self) -> None:
        """Start without any."""
        self.clear()

    def clear(self) -> bool:
        """Forget them, after a success; say whether there were any."""
        recovered = getattr(self, "failures", 0) > 0
        self.failures, self.retry_at, self._urgent_at = 0, 0.0, 0.0
        self.error: KeysUnavailable | None = None
        return recovered

    def note(self, error: Exception, now: float, jitter: float) -> float:
        """Note a failed attempt; return the seconds until the next one may be made."""
        if not isinstance(error, KeysUnavailable):
            detail = str(error) if isinstance(error, FetchError) else f"the attempt failed: {type(error).__name__}"
            error = KeysUnavailable(Reason.KEYS_UNAVAILABLE, detail)
        self.failures += 1
        self.error = error
        asked, own = min(error.retry_after, MAX_RETRY_AFTER), backoff(self.failures, jitter)
        self.retry_at = now + max(asked, own)
        self._urgent_at = now + max(asked, min(own, URGENT_SECONDS))
        return max(asked, own)

    def note_lost(self, detail: str) -> None:
        """Note an attempt that never ended. It took long enough, so the next one may be made at once."""
        self.failures += 1
        self.error = KeysUnavailable(Reason.KEYS_UNAVAILABLE, detail)

    def backing_off(self, now: float, *, urgent: bool) -> float:
        """Return the seconds until the next attempt; `urgent`: one that a start waits for, not rarer for failures."""
        return max((self._urgent_at if urgent else self.retry_at) - now, 0.0)

    def refusal(self, issuer: str, state: State, now: float) -> KeysUnavailable:
        """Make the error for a request that cannot be judged."""
        error = self.error or KeysUnavailable(Reason.KEYS_UNAVAILABLE, "the issuer has not answered yet")
        reason = Reason.KEYS_EXPIRED if state is State.EXPIRED else error.reason
        return KeysUnavailable(reason, error.detail, issuer=issuer, retry_after=max(self.retry_at - now, 1.0))
