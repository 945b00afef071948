"""Judges tokens by the revocations that it knows, and holds the stale mode when these are too old."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, get_args

import anyio

from jwt_asgi._core.policy import seconds
from jwt_asgi._core.revoked import TokenKeys
from jwt_asgi.errors import ConfigurationError, KeysUnavailable, Reason, TokenError
from jwt_asgi.revocation.poller import Poller
from jwt_asgi.revocation.source import Source
from jwt_asgi.revocation.status import COUNTERS, RevocationStatus
from jwt_asgi.types import Clock

__all__ = ["Introspect", "OnStale", "RevocationFeed"]

OnStale = Literal["deny", "allow", "introspect"]
"""What holds for tokens that are not known to be revoked, while the feed is stale."""

Introspect = Callable[[str], Awaitable[bool]]
"""Asks the issuer whether a token is active (RFC 7662): True lets in, False refuses; all else leaves it open."""

MAX_INTROSPECTIONS = 256
_MODES = get_args(OnStale)

logger = logging.getLogger("jwt_asgi")


class RevocationFeed:
    """Which tokens of an issuer are revoked, kept up to date in the background: `Verifier(..., revocation=feed)`.

    One feed may serve several verifiers, event loops and threads, and goes through a fork. It begins with the first
    token, or with the application. A token that is known to be revoked is refused in every mode.

    Args:
        source: Where revocations come from: `FromStore`, `FromValkey`, `FromHTTP`.
        issuer: Whose tokens are judged: the `iss` of one issuer, or of several.
        on_stale: What holds when nothing was heard for `max_stale` seconds, or at all. `deny`: no token is good (503
            with Retry-After); `allow`: those are that are not known to be revoked; `introspect`: the issuer is asked
            about each.
        introspect: For that mode.
        max_stale: Seconds.
        interval: Seconds between two polls. A revocation is known here after this time and what the source takes.
        timeout: Seconds in which the source must answer, likewise `introspect`.
        clock: Any clock that does not go back.

    Raises:
        ConfigurationError: an option is wrong.
    """

    def __init__(
        self,
        source: Source,
        *,
        issuer: str | Sequence[str],
        on_stale: OnStale,
        introspect: Introspect | None = None,
        max_stale: float = 60.0,
        interval: float = 1.0,
        timeout: float = 5.0,
        clock: Clock | None = None,
    ) -> None:
        """Check the options; nothing is read."""
        if not callable(getattr(source, "connect", None)):
            raise ConfigurationError("source", f"expected a source, as FromStore(store.entries); got {source!r}")
        self.issuers = _issuers(issuer)
        if on_stale not in _MODES:
            raise ConfigurationError("on_stale", f"expected one of {', '.join(_MODES)}; got {on_stale!r}")
        if (introspect is not None) != (on_stale == "introspect") or not (introspect is None or callable(introspect)):
            detail = 'expected an async function of a token with on_stale="introspect", and none without'
            raise ConfigurationError("introspect", detail)
        interval = seconds("interval", interval, least=0.01)
        self._on_stale, self._introspect = on_stale, introspect
        self._max_stale = seconds("max_stale", max_stale, least=interval)
        self._timeout = seconds("timeout", timeout, least=0.01)
        self._poller = Poller(source, interval=interval, timeout=timeout, max_stale=max_stale, clock=clock)
        self._introspecting = 0

    def clears(self, keys: TokenKeys) -> bool:
        """Whether a token is certainly not revoked, without asking anybody; False: `check` says more."""
        poller = self._poller
        return poller.is_fresh() and not poller.revoked.covers(keys)

    async def check(self, keys: TokenKeys, token: str | bytes) -> None:
        """Judge a token, which is handed to `introspect` alone.

        It waits where the feed has just begun, for at most `timeout` seconds, and where the issuer is asked, likewise.

        Raises:
            TokenError: `token_revoked`.
            KeysUnavailable: `revocation_unavailable`: it cannot be told just now.
        """
        poller = self._poller
        fresh = await poller.catch_up()
        if poller.revoked.covers(keys):
            poller.counters["revoked"] += 1
            raise TokenError(Reason.TOKEN_REVOKED)
        if fresh:
            return
        if self._introspect is not None:
            await self._ask(self._introspect, token)
        elif self._on_stale == "deny":
            raise self._unavailable()
        else:
            poller.counters["allowed"] += 1

    def revokes(self, keys: TokenKeys) -> bool:
        """Whether a token is known to be revoked."""
        return self._poller.revoked.covers(keys)

    def watch(self, keys: TokenKeys, end: Callable[[], None]) -> Callable[[], None]:
        """Have `end` called, in this event loop and once, when a token is revoked from now on.

        Return what to call when that is of no account any more.
        """
        return self._poller.watches.add(keys, end)

    async def start(self, at_most: float = math.inf) -> KeysUnavailable | None:
        """Begin, and wait for the first attempt; return why it is not fresh then, or None."""
        return None if await self._poller.catch_up(at_most) else self._error()

    def ready(self) -> bool:
        """Whether tokens can be judged; it also sees that somebody keeps up."""
        return self._poller.is_fresh() or self._on_stale != "deny"

    def status(self) -> RevocationStatus:
        """Tell how it is. It begins nothing."""
        poller = self._poller
        age = poller.age()
        fresh = age < self._max_stale
        return RevocationStatus(
            issuers=self.issuers,
            fresh=fresh,
            age=age if age < math.inf else None,
            stale_in=max(self._max_stale - age, 0.0),
            entries=len(poller.revoked),
            failures=poller.failures,
            error=poller.error,
            ready=fresh or self._on_stale != "deny",
            counters={name: poller.counters[name] for name in COUNTERS},
        )

    async def aclose(self) -> None:
        """End the background task of this event loop. What is known is kept, and the feed can be used again."""
        await self._poller.aclose()

    async def _ask(self, introspect: Introspect, token: str | bytes) -> None:
        if self._introspecting >= MAX_INTROSPECTIONS:
            raise self._unavailable()
        self._introspecting += 1
        try:
            with anyio.fail_after(self._timeout):
                active = await introspect(token if isinstance(token, str) else token.decode("ascii"))
            if not isinstance(active, bool):
                raise TypeError(f"expected True or False; got {type(active).__name__}")
        except Exception:
            logger.exception("the function given as introspect= failed")
            raise self._unavailable() from None
        finally:
            self._introspecting -= 1
        self._poller.counters["introspected"] += 1
        if not active:
            raise TokenError(Reason.TOKEN_REVOKED)

    def _unavailable(self) -> KeysUnavailable:
        self._poller.counters["denied"] += 1
        return self._error()

    def _error(self) -> KeysUnavailable:
        age = self._poller.age()
        detail = "nothing was heard of revocations yet" if age == math.inf else f"revocations are {age:.0f} s old"
        if self._poller.error:
            detail = f"{detail}: {self._poller.error}"
        retry_after = self._poller.retry_in() + 1.0
        return KeysUnavailable(
            Reason.REVOCATION_UNAVAILABLE, detail, issuer=", ".join(self.issuers), retry_after=retry_after
        )


def _issuers(issuer: str | Sequence[str]) -> tuple[str, ...]:
    issuers = (issuer,) if isinstance(issuer, str) else tuple(issuer)
    if not issuers or not all(isinstance(name, str) and name for name in issuers):
        raise ConfigurationError("issuer", f"expected the `iss` whose tokens are judged, or several; got {issuer!r}")
    return issuers
