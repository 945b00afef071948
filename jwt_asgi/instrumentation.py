"""Decision + Hook for requests, KeyHook for the issuers' keys; the logging adapters.

One decision is handed to every hook for each request: a refusal at once, a grant when the application first answers or
ends, since until then it may refuse too. A key hook is told what happens to an issuer's keys, after it has happened. A
hook must be quick and must not block. What it raises is logged and goes no further.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from threading import Lock
from typing import Protocol, TypeVar

from jwt_asgi._core.access_token import AccessToken
from jwt_asgi._core.policy import seconds
from jwt_asgi._keys.events import KeyEvent, KeyEventKind, KeyStatus
from jwt_asgi._keys.forks import call_after_fork
from jwt_asgi.errors import JWTASGIError, Reason

__all__ = [
    "Decision",
    "Hook",
    "KeyEvent",
    "KeyEventKind",
    "KeyHook",
    "KeyStatus",
    "LoggingHook",
    "Outcome",
    "log_key_event",
    "tell",
]

logger = logging.getLogger("jwt_asgi")

Told = TypeVar("Told")


class Outcome(Enum):
    """What became of a request."""

    GRANTED = "granted"
    """A good token; the application was called."""
    ANONYMOUS = "anonymous"
    """No token, and none was needed (`anonymous=True`)."""
    EXEMPT = "exempt"
    """An exempt path or a CORS preflight; no token was looked at."""
    REFUSED = "refused"
    """Answered with 400, 401 or 403."""
    UNAVAILABLE = "unavailable"
    """Answered with 503, since the issuer's keys could not be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided on one request.

    Attributes:
        outcome: What became of it.
        reason: Why it was refused; None where it was not.
        detail: What was expected, for the operator: configuration and structure, never token text.
        token: The verified token, or None. It is there for a refused request too, where a good token did not suffice.
        kind: `http` or `websocket`.
        seconds: How long the decision took, a wait for keys included.
    """

    outcome: Outcome
    reason: Reason | None = None
    detail: str = ""
    token: AccessToken | None = field(default=None, repr=False)
    kind: str = "http"
    seconds: float = 0.0

    @classmethod
    def of_error(cls, error: JWTASGIError, *, token: AccessToken | None, kind: str, seconds: float) -> Decision:
        """Make the decision for a refusal."""
        outcome = Outcome.UNAVAILABLE if error.reason.status >= 500 else Outcome.REFUSED  # noqa: PLR2004 - HTTP
        return cls(outcome=outcome, reason=error.reason, detail=error.detail, token=token, kind=kind, seconds=seconds)


class Hook(Protocol):
    """Is told every decision: count it, trace it, audit it."""

    def __call__(self, decision: Decision, /) -> None:  # pragma: no cover - a protocol
        """Take one decision."""
        ...


class KeyHook(Protocol):
    """Is told every event of an issuer's keys: a failed fetch, a rotation, a recovery."""

    def __call__(self, event: KeyEvent, /) -> None:  # pragma: no cover - a protocol
        """Take one event."""
        ...


def tell(hooks: Iterable[Callable[[Told], None]], news: Told) -> None:
    """Tell every hook; one that fails stops neither the others nor the request."""
    for hook in hooks:
        try:
            hook(news)
        except Exception:
            logger.exception("the hook %r failed", hook)


class LoggingHook:
    """Writes refusals to the standard log: WARNING, at most one line for each reason and interval, with a count.

    Every line names the reason code, which the reference explains. Nothing of the token is written. Granted requests
    are not logged: that is the access log's affair.

    Args:
        interval: Seconds in which a reason is written once.
        clock: Any clock that does not go back.
    """

    __slots__ = ("__weakref__", "_clock", "_interval", "_lock", "_seen")

    def __init__(self, *, interval: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with nothing seen."""
        self._interval = seconds("LoggingHook interval", interval)
        self._clock = clock
        self._seen: dict[Reason, tuple[float, int]] = {}
        self.after_fork()
        call_after_fork(self)

    def after_fork(self) -> None:
        """Begin with a lock that nobody holds."""
        self._lock = Lock()

    def __call__(self, decision: Decision) -> None:
        """Write the line, or count it for the next one."""
        reason = decision.reason
        if reason is None:
            return
        with self._lock:
            now = self._clock()
            written_at, silent = self._seen.get(reason, (float("-inf"), 0))
            if now - written_at < self._interval:
                self._seen[reason] = (written_at, silent + 1)
                return
            self._seen[reason] = (now, 0)
        logger.warning(
            "%s %s: %s (%s)%s",
            decision.kind,
            decision.outcome.value,
            reason.value,
            decision.detail or reason.summary,
            f"; {silent} more since the last such line" if silent else "",
            extra={"jwt_asgi_reason": reason.value, "jwt_asgi_silent": silent},
        )


def log_key_event(event: KeyEvent) -> None:
    """Write what happens to an issuer's keys to the standard log: the key hook that is on by default.

    ERROR: a private key is published. WARNING: what an operator should look at. INFO: a rotation, a recovery. DEBUG:
    the rest.
    """
    parts = [event.detail] if event.detail else []
    parts += [f"added {', '.join(map(repr, event.added))}"] if event.added else []
    parts += [f"removed {', '.join(map(repr, event.removed))}"] if event.removed else []
    parts += [f"the next attempt in {event.retry_in:.0f} s or later"] if event.retry_in else []
    logger.log(
        _LEVELS.get(event.kind, logging.DEBUG),
        "keys of %s: %s%s",
        event.issuer,
        event.kind.value,
        f": {'; '.join(parts)}" if parts else "",
        extra={"jwt_asgi_key_event": event.kind.value, "jwt_asgi_issuer": event.issuer},
    )


_LEVELS = {
    KeyEventKind.PRIVATE_KEY_PUBLISHED: logging.ERROR,
    KeyEventKind.FAILED: logging.WARNING,
    KeyEventKind.SERVING_STALE: logging.WARNING,
    KeyEventKind.EXPIRED: logging.WARNING,
    KeyEventKind.THROTTLED: logging.WARNING,
    KeyEventKind.KEYS_CHANGED: logging.INFO,
    KeyEventKind.KEY_SKIPPED: logging.INFO,
    KeyEventKind.RECOVERED: logging.INFO,
}
