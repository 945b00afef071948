"""Runs freshness.py with a clock, one flight at a time.

A flight is one attempt to fetch the set, shared by all who wait. It is no child of a request: who gives up waiting does
not stop it. State changes under a lock that is never held while anything is awaited.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, replace
from typing import Final

from cachetools import LRUCache

from jwt_asgi._core.freshness import (
    Bucket,
    Facts,
    KeyCaching,
    State,
    Step,
    Times,
    backoff,
    decide,
    lifetime,
    negative_ttl,
    retry_after,
    state_of,
)
from jwt_asgi._core.jwks import KeySet, VerifyKey, parse_jwks
from jwt_asgi._keys.discovery import discover_jwks_uri
from jwt_asgi._keys.fetch import MAX_BODY_BYTES, FetchError, NoAnswerError
from jwt_asgi.errors import KeysUnavailable, Reason, TokenError
from jwt_asgi.types import Clock, Fetch, FetchResponse

__all__ = ["RemoteKeys", "SteadyClock"]

MAX_WAITERS: Final = 1024
MAX_REMEMBERED_MISSES: Final = 256
MAX_RETRY_AFTER: Final = 300.0
METADATA_SECONDS: Final = 86_400.0
FAILURES_BEFORE_REDISCOVERY: Final = 3

_OK, _NOT_MODIFIED = 200, 304
_GONE = {404, 410}
_REDIRECTS = {301, 302, 303, 307, 308}
_NEVER = Times(0.0, 0.0, 0.0, 0.0)
_ACCEPT = {"accept": "application/jwk-set+json, application/json"}


class SteadyClock:
    """Seconds that never go back, and go on while the machine sleeps.

    The monotonic clock stops in suspend on some systems, the wall clock may be set: of both, the larger step counts.
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        """Start at zero."""
        # Read and replaced whole, so that threads need no lock: whichever was written last is right in itself
        self._last = 0.0, time.monotonic(), time.time()

    def __call__(self) -> float:
        """Return the seconds since the start."""
        (then, old_monotonic, old_wall), monotonic, wall = self._last, time.monotonic(), time.time()
        now = then + max(monotonic - old_monotonic, wall - old_wall)
        self._last = now, monotonic, wall
        return now


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """One key set as it was fetched. It is replaced whole, by one assignment."""

    keys: KeySet
    times: Times
    digest: bytes
    uri: str
    etag: str | None
    last_modified: str | None

    def validators(self, uri: str) -> dict[str, str]:
        """Headers that ask whether the set has changed (RFC 9110 section 13.1); they hold for its own URL alone."""
        named = {"if-none-match": self.etag} if self.etag else {"if-modified-since": self.last_modified}
        return {name: value for name, value in named.items() if value and uri == self.uri}


@dataclass(slots=True, eq=False)
class _Flight:
    """One attempt. It lands with True (a set was confirmed), False (it failed) or None (it was given up)."""

    began: float
    deadline: float
    loop: asyncio.AbstractEventLoop
    for_miss: bool
    landed: Future[bool | None]
    result: bool | None = None
    uri: str = ""
    task: asyncio.Task[None] | None = None

    def is_alive(self, now: float) -> bool:
        return not self.landed.done() and now < self.deadline and not self.loop.is_closed()

    def land(self, _: asyncio.Task[None]) -> None:
        """Tell those who wait, also when the task was cancelled before its first step."""
        self.landed.set_result(self.result)


class RemoteKeys:
    """The keys of one issuer, fetched and cached."""

    def __init__(
        self,
        issuer: str,
        *,
        jwks_uri: str | None,
        fetch: Fetch,
        caching: KeyCaching,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Fetch nothing yet. Without `jwks_uri` the issuer's metadata names it."""
        self._issuer = issuer
        self._fixed_uri = jwks_uri
        self._fetch = fetch
        self._caching = caching
        self._clock = clock or SteadyClock()
        self._jitter = jitter
        self._lock = threading.Lock()
        self._snapshot: _Snapshot | None = None
        self._flight: _Flight | None = None
        self._found_uri: tuple[str, float] | None = None
        self._bucket = Bucket(filled_at=self._clock())
        self._misses: LRUCache[tuple[str | None, str], tuple[int, float]] = LRUCache(MAX_REMEMBERED_MISSES)
        self._waiters = 0
        self._failures, self._retry_at = 0, 0.0
        self._error: KeysUnavailable | None = None

    def lookup(self, kid: str | None, alg: str) -> Sequence[VerifyKey] | None:
        """Return the keys that fit if nothing is to be waited for, else None: then `find` decides."""
        snapshot = self._snapshot
        if snapshot is None or (keys := snapshot.keys.lookup(kid, alg)) is None:
            return None
        state = state_of(snapshot.times, self._clock())
        if state is State.AGEING:
            self._consider(kid, alg, waited=False)  # sees to the refresh beside it
        return keys if state is State.FRESH or state is State.AGEING else None

    async def find(self, kid: str | None, alg: str) -> Sequence[VerifyKey]:
        """Return the keys that fit, fetching the set if the table says so.

        Raises:
            TokenError: `key_unknown`.
            KeysUnavailable: the set cannot be had.
        """
        arrived, waited, joined = self._clock(), False, False
        landed: bool | None = None
        while True:
            step, keys, flight = self._consider(kid, alg, waited=waited)
            if keys is not None and step in {Step.USE, Step.USE_AND_REFRESH}:
                return keys
            if step is Step.REFUSE_UNKNOWN:
                if landed:
                    self._remember_miss(kid, alg)
                raise TokenError(Reason.KEY_UNKNOWN)
            if flight is None:
                raise self._unavailable()
            landed = await self._join(flight, brief=step is Step.WAIT_BRIEFLY)
            # A flight that began before this request may bring a set from before its key was published, and one that
            # was given up brings none: then once more. Whoever has waited gets an end from the table.
            waited = joined or landed is False or (landed is True and flight.began >= arrived)
            joined = True

    async def aclose(self) -> None:
        """Give up a flight of this event loop. The set is kept, and can be used and refreshed again later."""
        flight = self._flight
        task = None if flight is None else flight.task
        if flight is None or task is None or task.done() or flight.loop is not asyncio.get_running_loop():
            return
        task.cancel()
        await asyncio.wait([task])

    def _consider(
        self, kid: str | None, alg: str, *, waited: bool
    ) -> tuple[Step, Sequence[VerifyKey] | None, _Flight | None]:
        """Decide, and see to the flight that the decision asks for, in one go."""
        with self._lock:
            now, snapshot = self._clock(), self._snapshot
            keys = None if snapshot is None else snapshot.keys.lookup(kid, alg)
            _, not_before = self._misses.get((kid, alg), (0, 0.0))
            flight = self._flight if self._flight is not None and self._flight.is_alive(now) else None
            facts = Facts(
                known=keys is not None,
                waited=waited,
                failed=self._failures > 0,
                flying=flight is not None,
                backing_off=now < self._retry_at,
                missed_before=now < not_before,
                may_fetch=self._bucket.has_room(now),
            )
            state = state_of(None if snapshot is None else snapshot.times, now)
            step = decide(state, facts)
            if step not in {Step.WAIT, Step.WAIT_BRIEFLY, Step.USE_AND_REFRESH}:
                return step, keys, None
            for_miss = not facts.known and state not in {State.EMPTY, State.EXPIRED}
            return step, keys, flight or self._take_off(now, for_miss=for_miss)

    def _remember_miss(self, kid: str | None, alg: str) -> None:
        with self._lock:
            now = self._clock()
            misses, not_before = self._misses.get((kid, alg), (0, 0.0))
            if now >= not_before:  # else another request of the same flight has noted it
                self._misses[kid, alg] = (misses + 1, now + negative_ttl(misses + 1))

    def _take_off(self, now: float, *, for_miss: bool) -> _Flight:
        if for_miss:
            self._bucket = self._bucket.taken(now)
        landed: Future[bool | None] = Future()
        # A future that runs cannot be cancelled by those who wait for it
        landed.set_running_or_notify_cancel()
        loop = asyncio.get_running_loop()
        flight = _Flight(now, now + self._caching.timeout + 1.0, loop, for_miss, landed)
        # An empty context: nothing of this request may leak into what others share
        flight.task = loop.create_task(self._fly(flight), context=Context())
        flight.task.add_done_callback(flight.land)
        self._flight = flight
        return flight

    async def _join(self, flight: _Flight, *, brief: bool) -> bool | None:
        """Wait for the flight, but not for ever: False when it takes too long."""
        with self._lock:
            if self._waiters >= MAX_WAITERS and not brief:
                raise KeysUnavailable(Reason.KEYS_BUSY, issuer=self._issuer)
            self._waiters += 1
        try:
            seconds = self._caching.stale_wait if brief else self._caching.timeout
            return await asyncio.wait_for(asyncio.wrap_future(flight.landed), seconds)
        except TimeoutError:
            return False
        finally:
            with self._lock:
                self._waiters -= 1

    async def _fly(self, flight: _Flight) -> None:
        try:
            # Under an eager task factory this would run inside the lock
            await asyncio.sleep(0)
            async with asyncio.timeout(self._caching.timeout):
                response = await self._request(flight)
            self._accept(flight, response)
            flight.result = True
        except TimeoutError:
            error = FetchError(f"{flight.uri} did not answer in full within {self._caching.timeout:g} s")
            flight.result = self._fail(flight, error)
        except Exception as error:  # noqa: BLE001 - whatever a fetch or a parser raises is one failed attempt
            flight.result = self._fail(flight, error)

    async def _request(self, flight: _Flight) -> FetchResponse:
        flight.uri = self._issuer
        flight.uri = await self._locate()
        headers = dict(_ACCEPT)
        if flight.for_miss:
            # A shared cache on the way may still hold the set from before the rotation
            headers["cache-control"] = "no-cache"
        snapshot = self._snapshot
        if snapshot is not None:
            headers |= snapshot.validators(flight.uri)
        return await self._get(flight.uri, headers=headers, timeout=self._caching.timeout, limit=MAX_BODY_BYTES)

    async def _get(self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        with suppress(NoAnswerError):
            return await self._fetch(url, headers=headers, timeout=timeout, limit=limit)
        # A dropped connection or a DNS hiccup; an answer, whatever its status, is never asked for twice
        await asyncio.sleep(0.05 + 0.2 * self._jitter())
        return await self._fetch(url, headers=headers, timeout=timeout, limit=limit)

    async def _locate(self) -> str:
        if self._fixed_uri is not None:
            return self._fixed_uri
        if self._found_uri is None or self._clock() >= self._found_uri[1]:
            uri = await discover_jwks_uri(self._issuer, self._get, timeout=self._caching.timeout)
            self._found_uri = (uri, self._clock() + METADATA_SECONDS)
        return self._found_uri[0]

    def _accept(self, flight: _Flight, response: FetchResponse) -> None:
        """Take the answer, or raise what is wrong with it; then the set at hand is untouched."""
        fresh = self._confirm(response, flight.uri)
        with self._lock:
            if self._flight is flight:  # else it was taken over, and a newer one may have landed
                self._snapshot = fresh
                self._failures, self._retry_at, self._error = 0, 0.0, None

    def _confirm(self, response: FetchResponse, uri: str) -> _Snapshot:
        old, headers, caching = self._snapshot, response.headers, self._caching
        default = caching.ttl
        digest = hashlib.sha256(response.body).digest()
        if response.status == _NOT_MODIFIED and old is not None and old.validators(uri):
            # RFC 9111 section 4.3.4: what the 304 does not say stays as it was
            new, default = old, old.times.fresh_until - old.times.confirmed_at
        elif response.status != _OK:
            raise _refused(response)
        else:
            keys = old.keys if old is not None and old.digest == digest else parse_jwks(response.body)
            new = _Snapshot(keys, _NEVER, digest, uri, headers.get("etag"), headers.get("last-modified"))
        ttl = lifetime(headers, default=default, least=caching.least_ttl, most=caching.most_ttl)
        # Jitter, so that the workers and replicas of a service do not refresh at one moment
        soft, now = ttl * (0.75 + 0.1 * self._jitter()), self._clock()
        return replace(new, times=Times(now, now + soft, now + ttl, now + ttl + caching.stale_if_error))

    def _fail(self, flight: _Flight, error: Exception) -> bool:
        if not isinstance(error, KeysUnavailable):
            detail = str(error) if isinstance(error, FetchError) else f"the attempt failed: {type(error).__name__}"
            error = KeysUnavailable(Reason.KEYS_UNAVAILABLE, detail)
        with self._lock:
            if self._flight is flight:
                self._failures += 1
                self._error = error
                asked = min(error.retry_after, MAX_RETRY_AFTER)
                self._retry_at = self._clock() + max(asked, backoff(self._failures, self._jitter()))
                if self._failures >= FAILURES_BEFORE_REDISCOVERY or isinstance(error, _Gone):
                    self._found_uri = None
        return False

    def _unavailable(self) -> KeysUnavailable:
        now, snapshot = self._clock(), self._snapshot
        error = self._error or KeysUnavailable(Reason.KEYS_UNAVAILABLE)
        reason = error.reason
        if snapshot is not None and state_of(snapshot.times, now) is State.EXPIRED:
            reason = Reason.KEYS_EXPIRED
        return KeysUnavailable(reason, error.detail, issuer=self._issuer, retry_after=max(self._retry_at - now, 1.0))


class _Gone(KeysUnavailable):
    """The key set is not where the metadata said."""


def _refused(response: FetchResponse) -> KeysUnavailable:
    kind = _Gone if response.status in _GONE else KeysUnavailable
    hint = "; redirects are not followed" if response.status in _REDIRECTS else ""
    detail = f"the key set's URL answered {response.status}{hint}"
    asked = retry_after(response.headers.get("retry-after", ""), time.time())
    return kind(Reason.KEYS_UNAVAILABLE, detail, retry_after=asked)
