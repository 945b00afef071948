"""One issuer in place of another: while a block lasts, key sources of its name get their keys from the test.

What looks for keys or asks for the time in `RemoteKeys`, `FixedKeys` and `Verifier` is replaced for the block, in the
whole process, and nothing there knows of it. What is answered for a key source of this issuer comes from its shadow:
the same code and the same options, with a cache of its own that begins and ends with the block. Feeds of revocations
judge by the same code, too, and know what the test has revoked in place of what their source says.
"""
# ruff: noqa: SLF001 - it stands in for the insides of these classes

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from inspect import iscoroutinefunction
from math import inf
from threading import RLock
from typing import Any, Final

from jwt_asgi._core.freshness import NEGATIVE_SECONDS
from jwt_asgi._core.jwks import parse_jwks
from jwt_asgi._core.revocation import Row
from jwt_asgi._keys.fetch import FetchError
from jwt_asgi._keys.remote import RemoteKeys
from jwt_asgi._keys.static import FixedKeys
from jwt_asgi.revocation.feed import RevocationFeed
from jwt_asgi.testing.publisher import Publisher
from jwt_asgi.testing.revocations import ShadowFeed
from jwt_asgi.testing.signing import json_bytes
from jwt_asgi.types import Clock, FetchResponse
from jwt_asgi.verifier import Verifier

__all__ = ["StandIn", "now_ahead", "travel", "travelled"]

LIMITS_SECONDS: Final = 2 * NEGATIVE_SECONDS
"""After this long no back-off and no limit on fetches is left of what was before."""

_METHODS: Final[Mapping[type, tuple[str, ...]]] = {
    RemoteKeys: ("lookup", "find", "refresh_if_due", "ready", "reload", "status", "aclose"),
    FixedKeys: ("lookup", "find", "status"),
}
_CLOCK: Final = "_clock"
_POLLER: Final = "_poller"


class _Shadow(RemoteKeys):
    """The keys that one key source has during the block."""

    def __init__(self, real: RemoteKeys, stand_in: StandIn) -> None:
        self.ahead = 0.0
        self._real_clock = real._clock
        self._stand_in = stand_in
        super().__init__(
            real._issuer,
            jwks_uri=real._source._fixed_uri,
            fetch=self._fetch_here,
            caching=real._caching,
            allow_http=real._source._allow_http,
            notify=real._notify,
            clock=lambda: self._real_clock() + self.ahead + _present.ahead,
            jitter=lambda: 0.0,
        )

    async def _fetch_here(self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:  # noqa: ARG002 - the protocol's own
        return self._stand_in.answer(url, headers, jwks_uri=self._source._fixed_uri, empty=self._snapshot is None)

    def grow_old(self, *, stale: bool) -> None:
        """Have so much time pass that the set is due for a refresh, or stale."""
        with self._lock:
            if self._snapshot is not None:
                times = self._snapshot.times
                self.ahead += max((times.fresh_until if stale else times.soft_at) - self._clock(), 0.0)

    def move_on(self) -> None:
        """Have so much time pass that no limit is left; what a flight from before brings late is dropped."""
        with self._lock:
            self._flight = None
            self.ahead += LIMITS_SECONDS


class _FixedShadow(FixedKeys):
    """The keys in place of those that the application was given."""

    __slots__ = ()


class StandIn:
    """What answers for one issuer during one block."""

    def __init__(self, issuer: Publisher, sources: frozenset[str]) -> None:
        """Have no shadows yet."""
        self._issuer = issuer
        self._sources = sources
        self._outage: bool | None = None
        """None: there is none. True: it is cold."""
        self._at_first = self._before = issuer.jwks()
        self._shadows: dict[RemoteKeys, _Shadow] = {}
        self._fixed: dict[FixedKeys, _FixedShadow] = {}
        self._feeds: dict[RevocationFeed, ShadowFeed] = {}
        self._revoked: list[tuple[float, Row]] = []
        """When, by how far ahead the present was."""
        self._heard_until: float | None = None

    def shadow_of(self, keys: RemoteKeys | FixedKeys) -> RemoteKeys | FixedKeys | None:
        """Return what is asked in place of a key source, or None for one of another issuer."""
        if isinstance(keys, (_Shadow, _FixedShadow)) or keys._issuer not in self._sources:
            return None
        with _lock:
            if isinstance(keys, RemoteKeys):
                if keys not in self._shadows:
                    self._shadows[keys] = _Shadow(keys, self)
                return self._shadows[keys]
            if keys._any_kid:  # a shared secret, with which the test's issuer signs
                return None
            if keys not in self._fixed:
                self._fixed[keys] = _FixedShadow(parse_jwks(json_bytes(self._at_first)), issuer=keys._issuer)
            return self._fixed[keys]

    def shadow_of_feed(self, feed: RevocationFeed) -> ShadowFeed | None:
        """Likewise, in place of what keeps a feed up to date."""
        if self._sources.isdisjoint(feed.issuers):
            return None
        with _lock:
            if feed not in self._feeds:
                self._feeds[feed] = ShadowFeed(feed, _all_revoked, self._unheard_for)
            return self._feeds[feed]

    def revoke(self, row: Row) -> None:
        """Let every feed hear of it that hears of anything."""
        with _lock:
            self._revoked.append((_present.ahead, row))
            _let_feeds_hear()

    def _unheard_for(self) -> float:
        if self._heard_until is None:
            return 0.0
        return inf if self._outage else _present.ahead - self._heard_until + 1e-9

    def answer(self, url: str, headers: Mapping[str, str], *, jwks_uri: str | None, empty: bool) -> FetchResponse:
        """Answer a key source that is configured with this `jwks_uri`, and that is `empty`; or be out."""
        if self._outage is None:
            return self._issuer.answer(url, headers, also_at=jwks_uri)
        if self._outage or not empty:
            self._issuer.fetched.append(url)
            raise FetchError(f"{url} did not answer: there is an outage of the test")
        # Who asks for the first time counts as having asked before the outage began
        return self._issuer.answer(url, headers, also_at=jwks_uri, jwks=self._before)

    def rotated(self, *, withdrawn: bool) -> None:
        """See to it that the application finds out, as it would in time: no limit is left of what was before."""
        with _lock:
            for shadow in self._shadows.values():
                shadow.move_on()
                if withdrawn:
                    shadow.grow_old(stale=True)

    @contextmanager
    def outage(self, *, cold: bool) -> Iterator[None]:
        """Answer nothing; `cold`: and let the application begin without keys."""
        outer, before, heard_until = self._outage, self._before, self._heard_until
        with _lock:
            self._outage, self._before = cold, self._issuer.jwks()
            self._heard_until = _present.ahead if heard_until is None else heard_until
            if cold:
                self._shadows.clear()
                self._feeds.clear()
            for shadow in self._shadows.values():
                shadow.grow_old(stale=False)
        try:
            yield
        finally:
            with _lock:
                self._outage, self._before, self._heard_until = outer, before, heard_until
                _let_feeds_hear()
                for shadow in self._shadows.values():
                    shadow.move_on()

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Stand in, for the time of the block."""
        with _lock:
            if not _standing:
                _patch()
            _standing.append(self)
            ahead = _present.ahead
        try:
            yield
        finally:
            with _lock:
                _standing.remove(self)
                _return_to(ahead)
                if not _standing:
                    _unpatch()


class _Present:
    """How far ahead of the clocks the present is, in seconds."""

    ahead = 0.0


_present = _Present()
_lock = RLock()
_standing: list[StandIn] = []
"""The innermost block comes last."""
_originals: dict[tuple[type, str], Any] = {}


def now_ahead() -> float:
    """Return how far ahead of the machine's clock it is, by the travels of the test."""
    return _present.ahead


@contextmanager
def travelled(seconds: float) -> Iterator[None]:
    """Be so much later, for the time of the block."""
    before = _present.ahead
    travel(seconds)
    try:
        yield
    finally:
        with _lock:
            _return_to(before)


def travel(seconds: float) -> None:
    """Be so much later, until the block ends in which the issuer stands in."""
    with _lock:
        _present.ahead += seconds


def _return_to(ahead: float) -> None:
    """Go back in time: what was fetched in between would have an age below zero, so all shadows begin anew."""
    if ahead != _present.ahead:
        _present.ahead = ahead
        for stand_in in _standing:
            stand_in._shadows.clear()
            stand_in._feeds.clear()
            stand_in._revoked = [(then, row) for then, row in stand_in._revoked if then <= ahead]


def _all_revoked() -> list[Row]:
    return [row for stand_in in _standing for _, row in stand_in._revoked]


def _let_feeds_hear() -> None:
    for stand_in in _standing:
        for feed in stand_in._feeds.values():
            feed.hear()


class _ShiftedClock:
    """`Verifier._clock`, as much ahead as the present is."""

    def __init__(self, slot: Any) -> None:  # noqa: ANN401 - a member descriptor has no public type
        self._slot = slot

    def __get__(self, verifier: Verifier, owner: type) -> Clock:
        clock: Clock = self._slot.__get__(verifier, owner)
        return lambda: clock() + _present.ahead

    def __set__(self, verifier: Verifier, clock: Clock) -> None:
        self._slot.__set__(verifier, clock)


class _ShadowedPoller:
    """`RevocationFeed._poller`, or what stands in for it; an attribute of the instance otherwise."""

    def __get__(self, feed: RevocationFeed, owner: type) -> object:
        for stand_in in reversed(_standing):
            if (shadow := stand_in.shadow_of_feed(feed)) is not None:
                return shadow
        return vars(feed)[_POLLER]

    def __set__(self, feed: RevocationFeed, poller: object) -> None:
        vars(feed)[_POLLER] = poller


def _patch() -> None:
    for kind, names in _METHODS.items():
        for name in names:
            _originals[kind, name] = original = vars(kind)[name]
            setattr(kind, name, _in_place_of(original))
    _originals[Verifier, _CLOCK] = slot = vars(Verifier)[_CLOCK]
    setattr(Verifier, _CLOCK, _ShiftedClock(slot))
    setattr(RevocationFeed, _POLLER, _ShadowedPoller())


def _unpatch() -> None:
    delattr(RevocationFeed, _POLLER)
    while _originals:
        (kind, name), original = _originals.popitem()
        setattr(kind, name, original)


def _in_place_of(original: Callable[..., Any]) -> Callable[..., Any]:
    """Make a method that asks the shadow of a key source, where it has one."""
    if iscoroutinefunction(original):

        @wraps(original)
        async def method(keys: RemoteKeys | FixedKeys, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
            return await original(_asked(keys), *arguments, **options)

        return method

    @wraps(original)
    def plain_method(keys: RemoteKeys | FixedKeys, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        return original(_asked(keys), *arguments, **options)

    return plain_method


def _asked(keys: RemoteKeys | FixedKeys) -> RemoteKeys | FixedKeys:
    for stand_in in reversed(_standing):
        if (shadow := stand_in.shadow_of(keys)) is not None:
            return shadow
    return keys
