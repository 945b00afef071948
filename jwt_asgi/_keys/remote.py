"""Runs freshness.py with a clock, one flight at a time.

State changes under a lock that is never held while anything is awaited or anyone is told.
"""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from cachetools import LRUCache

from jwt_asgi._core.freshness import NEGATIVE_SECONDS, Bucket, Facts, KeyCaching, State, Step, decide, state_of
from jwt_asgi._core.jwks import VerifyKey
from jwt_asgi._keys.clock import steady_clock
from jwt_asgi._keys.events import KeyEvent, KeyEventKind, KeyStatus, Notify
from jwt_asgi._keys.fetch import FetchError
from jwt_asgi._keys.flight import Flight, pause
from jwt_asgi._keys.forks import call_after_fork
from jwt_asgi._keys.ledger import Ledger, news_of
from jwt_asgi._keys.snapshot import GoneError, Snapshot, keys_of, renewed
from jwt_asgi._keys.source import Source
from jwt_asgi._keys.trouble import Trouble
from jwt_asgi.errors import KeysUnavailable, Reason, TokenError
from jwt_asgi.types import Clock, Fetch

__all__ = ["RemoteKeys"]

MAX_WAITERS = 4096  # 35 MB; and all of them go on in one turn of the loop
GRACE_SECONDS: Final = 0.2
MAX_REMEMBERED_MISSES: Final = 256
FAILURES_BEFORE_REDISCOVERY: Final = 3

_Keys = Sequence[VerifyKey] | None
_Miss = tuple[str | None, str]
_UNUSABLE = (State.EMPTY, State.EXPIRED)
_WAITS = (Step.WAIT, Step.WAIT_BRIEFLY)


class _Move(NamedTuple):
    step: Step
    keys: _Keys
    flight: Flight | None


class RemoteKeys:
    """The keys of one issuer, fetched and cached, for any number of event loops and threads."""

    def __init__(
        self,
        issuer: str,
        *,
        jwks_uri: str | None,
        fetch: Fetch,
        caching: KeyCaching,
        allow_http: bool = False,
        notify: Notify = lambda _: None,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Fetch nothing yet. Without `jwks_uri` the issuer's metadata names it."""
        self.refresh_on_bad_signature = caching.refresh_on_bad_signature
        self._issuer = issuer
        self._caching = caching
        self._notify = notify
        self._clock = clock = clock or steady_clock()
        self._jitter = jitter
        self._source = Source(
            issuer,
            jwks_uri=jwks_uri,
            fetch=fetch,
            timeout=caching.timeout,
            allow_http=allow_http,
            clock=clock,
            jitter=jitter,
        )
        self._snapshot: Snapshot | None = None
        self._bucket = Bucket(filled_at=clock())
        self._trouble = Trouble()
        self._begin()
        call_after_fork(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._flight: Flight | None = None
        self._misses: LRUCache[_Miss, float] = LRUCache(MAX_REMEMBERED_MISSES)
        self._waiters = 0
        self._ledger = Ledger()

    def after_fork(self) -> None:
        """Begin anew in a child process: the set is kept, and refreshed at a moment of the child's own."""
        self._begin()
        if self._snapshot is not None:
            self._snapshot = self._snapshot.ageing_from(self._jitter())

    def lookup(self, kid: str | None, alg: str) -> _Keys:
        """Return the keys that fit if nothing is to be waited for, else None: then `find` decides."""
        snapshot = self._snapshot
        if snapshot is None or (keys := snapshot.keys.lookup(kid, alg)) is None:
            return None
        now = self._clock()
        if now < snapshot.times.soft_at:
            return keys
        state = state_of(snapshot.times, now)
        if now < self._trouble.retry_at:
            # As the table says of known keys while backing off, without its lock
            return keys if state is State.AGEING or (state is State.STALE and self._ledger.serve_stale()) else None
        if state is State.AGEING:
            self._consider(kid, alg)  # sees to the refresh beside it
            return keys
        return None

    async def find(self, kid: str | None, alg: str, *, besides: _Keys = None) -> Sequence[VerifyKey]:
        """Return the keys that fit, fetching the set if the table says so.

        `besides`: keys that were returned before and did not verify; as long as the set has only these, the kid counts
        as unknown.

        Raises:
            TokenError: `key_unknown`.
            KeysUnavailable: the set cannot be had.
        """
        arrived, waited, joined = self._clock(), False, False
        landed: bool | None = None
        while True:
            step, keys, flight = self._consider(kid, alg, besides=besides, waited=waited, landed=landed)
            if keys is not None and (step is Step.USE or step is Step.USE_AND_REFRESH):
                return keys
            if step is Step.REFUSE_UNKNOWN:
                if landed and besides is None:
                    self._remember_miss(kid, alg)
                raise TokenError(Reason.KEY_UNKNOWN)
            if flight is None:
                raise self._unavailable()
            brief = step is Step.WAIT_BRIEFLY
            landed = await self._join(flight, at_most=self._caching.stale_wait if brief else math.inf, brief=brief)
            flight.slow = landed is False
            # A flight that began before this request may bring a set from before its key was published, and one that
            # was given up brings none: then once more. Whoever has waited gets an end from the table.
            waited = joined or landed is False or (landed is True and flight.began >= arrived)
            joined = True

    def refresh_if_due(self) -> None:
        """See that a fetch is under way, unless the set is fresh or the last attempt failed just now. Wait for none."""
        with self._lock:
            now = self._clock()
            due = self._state(now) is not State.FRESH and now >= self._trouble.retry_at
            if due and self._flying(now) is None and not self._was_given_up(now):
                self._take_off(now)

    async def ready(self, *, seconds: float, retry: bool) -> KeysUnavailable | None:
        """Wait until there is a usable set: for so long at most, for one attempt or, with `retry`, as many as fit.

        Return None, or why there is none.
        """
        until, attempted = time.monotonic() + seconds, False
        while True:
            with self._lock:
                now, left = self._clock(), until - time.monotonic()
                if self._state(now) not in _UNUSABLE:
                    return None
                backing_off = self._trouble.backing_off(now, urgent=retry)
                flight = self._flying(now)
                if flight is None and not backing_off and left > 0 and (retry or not attempted):
                    flight = self._take_off(now)
            if flight is not None and left > 0:
                attempted = True
                await self._join(flight, at_most=left)
            elif retry and backing_off < left:
                await pause(backing_off)
            else:
                return self._unavailable()

    async def reload(self) -> None:
        """Fetch the set now, whatever its age and however lately it was fetched.

        Raises:
            KeysUnavailable: it could not be had; what is at hand stays as good as it was.
        """
        arrived = self._clock()
        while True:
            with self._lock:
                flight = self._flying(self._clock()) or self._take_off(self._clock(), past_caches=True)
            landed = await self._join(flight)
            if landed is False:
                raise self._unavailable()
            if landed and flight.began >= arrived:
                return

    def status(self) -> KeyStatus:
        """Tell how the keys are."""
        with self._lock:
            now, snapshot = self._clock(), self._snapshot
            status = KeyStatus(
                issuer=self._issuer,
                state=self._state(now),
                jwks_uri=self._source.uri,
                failures=self._trouble.failures,
                error=str(self._trouble.error or ""),
                retry_in=max(self._trouble.retry_at - now, 0.0),
                counters=dict(self._ledger.counters),
            )
        return status if snapshot is None else snapshot.describe(status, now)

    async def aclose(self) -> None:
        """Give up a flight of this event loop. The set is kept, and can be used and refreshed again later."""
        if self._flight is not None:
            await self._flight.give_up()

    def _consider(
        self, kid: str | None, alg: str, *, besides: _Keys = None, waited: bool = False, landed: bool | None = None
    ) -> _Move:
        """Decide, and see to the flight that the decision asks for, in one go."""
        with self._lock:
            now, snapshot = self._clock(), self._snapshot
            keys = None if snapshot is None else snapshot.keys.lookup(kid, alg)
            flight = self._flying(now)
            facts = Facts(
                known=keys is not None and keys is not besides,
                waited=waited,
                failed=self._trouble.failures > 0 or (waited and not landed) or (flight is not None and flight.slow),
                flying=flight is not None,
                backing_off=now < self._trouble.retry_at,
                missed_before=besides is None and now < self._misses.get((kid, alg), 0.0),
                may_fetch=self._bucket.has_room(now),
            )
            state = self._state(now)
            step = decide(state, facts)
            news = self._ledger.meet(state, step, facts)
            if step not in _WAITS and step is not Step.USE_AND_REFRESH:
                flight = None
            elif flight is None and not (step is Step.USE_AND_REFRESH and self._was_given_up(now)):
                for_miss = not facts.known and state not in _UNUSABLE
                if for_miss:
                    self._bucket = self._bucket.taken(now)
                flight = self._take_off(now, past_caches=for_miss)
        self._tell(news)
        return _Move(step, keys, flight)

    def _tell(self, kind: KeyEventKind | None) -> None:
        if kind is not None:
            self._notify(KeyEvent(kind=kind, issuer=self._issuer))

    def _remember_miss(self, kid: str | None, alg: str) -> None:
        with self._lock:
            now = self._clock()
            if now < self._misses.get((kid, alg), 0.0):  # another request of the same flight has noted it
                return
            self._misses[kid, alg] = now + NEGATIVE_SECONDS
            news = self._ledger.once(KeyEventKind.UNKNOWN_KID)
        self._tell(news)

    def _state(self, now: float) -> State:
        return state_of(None if self._snapshot is None else self._snapshot.times, now)

    def _flying(self, now: float) -> Flight | None:
        flight = self._flight
        if flight is None or flight.result is not None:
            return None
        if flight.is_alive(now):
            return flight
        if flight.is_overdue(now):
            self._flight = None
            self._ledger.counters["failures"] += 1
            self._trouble.note_lost(f"an attempt did not end within {self._caching.timeout:g} s, nor after it")
        return None

    def _was_given_up(self, now: float) -> bool:
        """Whether the last flight ended with its event loop just now: so may the next, if each request has its own."""
        last = self._flight
        return last is not None and last.result is None and now < last.began + self._caching.timeout

    def _take_off(self, now: float, *, past_caches: bool = False) -> Flight:
        self._flight = flight = Flight(now, now + self._caching.timeout + 1.0, past_caches=past_caches)
        self._ledger.counters["fetches"] += 1
        flight.take_off(self._fly)
        if flight.result is False:
            self._ledger.counters["failures"] += 1
            self._trouble.note(FetchError("no thread could be started for the attempt"), now, self._jitter())
        return flight

    async def _join(self, flight: Flight, *, at_most: float = math.inf, brief: bool = False) -> bool | None:
        """Wait for the flight, but not for ever: False when it takes too long."""
        with self._lock:
            if self._waiters >= MAX_WAITERS and brief:
                return False
            if self._waiters >= MAX_WAITERS and at_most == math.inf:
                self._ledger.counters["unavailable"] += 1
                raise KeysUnavailable(Reason.KEYS_BUSY, issuer=self._issuer)
            self._waiters += 1
        try:
            # A little longer than the flight itself takes to fail
            return await flight.wait(min(self._caching.timeout + GRACE_SECONDS, at_most))
        finally:
            with self._lock:
                self._waiters -= 1

    async def _fly(self, flight: Flight) -> None:
        old = self._snapshot
        # After a failure without conditions: some issuer or gateway chokes on them alone
        known = None if self._trouble.failures else old
        try:
            async with asyncio.timeout(self._caching.timeout):
                answer = await self._source.get(known, past_caches=flight.past_caches)
                keys = await keys_of(answer, old)
            events = self._accept(flight, renewed(answer, keys, old, self._caching, self._clock(), self._jitter()))
        except TimeoutError:
            where = self._source.uri or self._issuer
            error = FetchError(f"{where} did not answer in full within {self._caching.timeout:g} s")
            events = self._fail(flight, error)
        except Exception as error:  # noqa: BLE001 - whatever a fetch or a parser raises is one failed attempt
            events = self._fail(flight, error)
        flight.land()
        for event in events:
            self._notify(event)

    def _accept(self, flight: Flight, new: Snapshot) -> list[KeyEvent]:
        """Take the set that was confirmed or brought, unless another flight has taken over."""
        with self._lock:
            if self._flight is not flight:
                return []
            flight.result = True
            old, self._snapshot = self._snapshot, new
            recovered = self._trouble.clear()
            self._ledger.settle(same=old is not None and old.keys is new.keys)
        return news_of(self._issuer, None if old is None else old.keys, new.keys, recovered=recovered)

    def _fail(self, flight: Flight, error: Exception) -> list[KeyEvent]:
        """Note a failure. The set at hand is untouched."""
        with self._lock:
            if self._flight is not flight:
                return []
            flight.result = False
            self._ledger.counters["failures"] += 1
            retry_in = self._trouble.note(error, self._clock(), self._jitter())
            if self._trouble.failures >= FAILURES_BEFORE_REDISCOVERY or isinstance(error, GoneError):
                self._source.forget()
            detail = str(self._trouble.error)
        return [KeyEvent(kind=KeyEventKind.FAILED, issuer=self._issuer, detail=detail, retry_in=retry_in)]

    def _unavailable(self) -> KeysUnavailable:
        now = self._clock()
        return self._trouble.refusal(self._issuer, self._state(now), now)
