"""What must hold between a key cache, its issuer and its requests, written down as they meet.

The ledger sees the cache from outside alone: when it asks the issuer, what it gets, and what it then tells each
request. It is written from the rules in docs/reference/key-cache.md, and shares no code with the cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from jwt_asgi import KeyCaching
from jwt_asgi._core.jwks import VerifyKey
from jwt_asgi._keys.fetch import NoAnswerError
from jwt_asgi.errors import JWTASGIError, KeysUnavailable, Reason
from jwt_asgi.types import FetchResponse
from tests.keys.script import FakeClock

BLINK = 1e-6
"""What two sums of the same seconds may differ by."""


@dataclass(frozen=True)
class Reply:
    """What the issuer answers. `keys`: the thumbprints by kid, where it is a key set."""

    brings: FetchResponse | Exception
    keys: Mapping[str, str] | None = None
    lifetime: float | None = None
    retry_after: float = 0.0


@dataclass
class Flight:
    """One attempt, as the issuer sees it."""

    began: float
    over: bool = False
    stubborn: bool = False
    retrying: float | None = None
    """When there was no answer, so that it may ask once more."""
    asked_again: bool = False


@dataclass(frozen=True)
class Published:
    """The last good answer."""

    keys: Mapping[str, str]
    etag: str | None
    confirmed_at: float
    lifetime: float
    fresh_until: float
    hard_until: float

    def after(self, share: float) -> float:
        return self.confirmed_at + share * self.lifetime


class Age(Enum):
    """How old that is."""

    NONE = "no set"
    YOUNG = "fresh or ageing"
    STALE = "stale"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Request:
    """A request for a key, and what was the case when it came."""

    kid: str | None
    arrived: float
    age: Age
    known: bool
    failures: int
    given_up: int
    muted: bool
    must_fetch: bool
    in_vain: bool
    """Somebody had waited for the attempt under way in vain, or one before it never ended."""
    events: int
    confirmations: int


@dataclass
class Ledger:
    """Follows what the cache is told and what it tells, and writes down what must not be."""

    clock: FakeClock
    caching: KeyCaching
    complaints: list[str] = field(default_factory=list)
    answer: Published | None = None
    flight: Flight | None = None
    failures: int = 0
    not_before: float = 0.0
    """The backoff lasts so long at the least,"""
    surely_from: float = 0.0
    """and at the most."""
    for_misses: list[float] = field(default_factory=list)
    """When attempts for unknown kids began."""
    missed_until: dict[str | None, float] = field(default_factory=dict)
    """Until when a kid that was looked for in vain is surely not looked for again; it may be for longer."""
    given_up: int = 0
    """How many flights have ended without an answer that counts: the cache was closed, or another flight took over."""
    landed: float = -math.inf
    """When the last flight that has ended began."""
    events: int = 0
    confirmations: int = 0

    def must(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.complaints.append(f"at {self.clock.now:g}: {otherwise}")

    @property
    def age(self) -> Age:
        if self.answer is None:
            return Age.NONE
        if self.clock.now >= self.answer.hard_until:
            return Age.EXPIRED
        return Age.STALE if self.clock.now >= self.answer.fresh_until else Age.YOUNG

    @property
    def usable(self) -> bool:
        return self.age in {Age.YOUNG, Age.STALE}

    def keys_for(self, kid: str | None) -> set[str]:
        """Thumbprints of what a request may be given just now."""
        if self.answer is None or not self.usable:
            return set()
        return {print_ for name, print_ in self.answer.keys.items() if kid in {None, name}}

    @property
    def flying(self) -> bool:
        self._time_out()
        return self.flight is not None and not self.flight.over

    @property
    def has_room(self) -> bool:
        """Whether one more attempt for an unknown kid would keep to two at once, and one each 30 s, in every window."""
        now, count = self.clock.now, len(self.for_misses)
        return all(count - at + 1 <= 2 + (now - began) / 30 + BLINK for at, began in enumerate(self.for_misses))

    def boundaries(self) -> dict[str, float]:
        """When something changes by itself."""
        moments = {"may ask": self.not_before, "surely may ask": self.surely_from}
        if self.flight is not None:
            late, news = self.flight.began + self.caching.timeout, self.flight.began + self.caching.stale_wait
            moments |= {"news": news, "late": late, "overdue": late + 1}
        if self.answer is not None:
            moments |= {"ageing": self.answer.after(0.75), "surely ageing": self.answer.after(0.85)}
            moments |= {"stale": self.answer.fresh_until, "expired": self.answer.hard_until}
        return moments

    # What the issuer sees

    def asked(self, sent: Mapping[str, str]) -> Flight:
        """The issuer is asked: by the flight under way, once more, or by a new one, which needs a reason."""
        now, flight, miss = self.clock.now, self.flight, sent.get("cache-control") == "no-cache"
        self.events += 1
        if self.flying and flight is not None and flight.retrying is not None:
            self.must(0.05 - BLINK <= now - flight.retrying <= 0.25 + BLINK, "asked again too soon or too late")
            flight.retrying, flight.asked_again = None, True
            return flight
        if self.flying and flight is not None:
            self.must(now >= flight.began + self.caching.timeout + 1 - BLINK, "two flights at a time")
            # It never ended, which is a failure too, though it lasted so long that there is no backoff for it
            self.given_up, self.failures = self.given_up + 1, self.failures + 1
        self.must(now >= self.not_before - BLINK, f"an attempt before the backoff is over, at {self.not_before:g}")
        if miss:
            self.must(self.has_room, f"too many attempts for unknown kids: {self.for_misses}")
            self.for_misses.append(now)
        else:
            due = self.answer is None or not self.usable or now >= self.answer.after(0.75) - BLINK
            self.must(due, "an attempt that nothing asks for")
        # After a failure it asks without conditions, on which alone some issuers choke
        etag = self.answer.etag if self.answer and not self.failures else None
        # One that never ended may have been given up, or count as a failure
        expected = {etag, None} if self.given_up else {etag}
        self.must(sent.get("if-none-match") in expected, "another validator than that of the set at hand")
        self.flight = Flight(now)
        return self.flight

    def answered(self, flight: Flight, reply: Reply, sent: Mapping[str, str]) -> None:
        """The issuer answers; from now on this is what counts."""
        if flight is not self.flight or flight.over:
            return  # taken over
        now, old = self.clock.now, self.answer
        if isinstance(reply.brings, NoAnswerError) and not flight.asked_again:
            flight.retrying = now
            return
        flight.over, self.landed, self.events = True, flight.began, self.events + 1
        if reply.keys is not None:
            assert isinstance(reply.brings, FetchResponse)
            self._confirmed(reply.keys, reply.brings.headers.get("etag"), reply.lifetime, self.caching.ttl)
        elif getattr(reply.brings, "status", 0) == 304 and "if-none-match" in sent and old is not None:
            self._confirmed(old.keys, old.etag, reply.lifetime, old.lifetime)
        else:
            self._failed(now, reply.retry_after)

    def cut_off(self, flight: Flight) -> None:
        """Somebody hangs up on the issuer: when the time of an attempt is over, or the cache is closed."""
        if flight is self.flight and not flight.over:
            flight.over, self.landed = True, flight.began
            self.must(self.clock.now >= flight.began + self.caching.timeout - BLINK, "a flight was cancelled")
            self._failed(self.clock.now)

    def give_up(self) -> None:
        """The cache is about to be closed."""
        if self.flying and self.flight is not None:
            self.flight.over, self.given_up = True, self.given_up + 1

    def _time_out(self) -> None:
        flight = self.flight
        if flight is None or flight.over or flight.retrying is None:
            return
        end = flight.began + self.caching.timeout
        if self.clock.now >= end:
            flight.over, self.landed = True, flight.began
            self._failed(end)

    def _confirmed(self, keys: Mapping[str, str], etag: str | None, said: float | None, default: float) -> None:
        self.confirmations += 1
        lifetime = default if said is None else min(max(said, self.caching.least_ttl), self.caching.most_ttl)
        fresh_until = self.clock.now + lifetime
        hard_until = fresh_until + self.caching.stale_if_error
        self.answer = Published(keys, etag, self.clock.now, lifetime, fresh_until, hard_until)
        self.failures, self.not_before, self.surely_from = 0, 0.0, 0.0

    def _failed(self, at: float, retry_after: float = 0.0) -> None:
        self.failures += 1
        longest, asked = min(30.0, 2.0 ** (self.failures - 1)), min(retry_after, 300.0)
        self.not_before, self.surely_from = at + max(asked, longest / 2), at + max(asked, longest)

    # What a request sees

    def arrives(self, kid: str | None) -> Request:
        """A request comes: note what is the case, and whether the issuer is to be asked at once."""
        flying, now, known = self.flying, self.clock.now, bool(self.keys_for(kid))
        missed = kid in self.missed_until
        muted = self.usable and not known and now < self.missed_until.get(kid, 0.0)
        if known and self.answer is not None:
            wanted = now >= self.answer.after(0.85) + BLINK
        else:
            wanted = not self.usable or (not missed and self.has_room)
        must_fetch = wanted and not flying and now >= self.surely_from
        return Request(
            kid=kid,
            arrived=now,
            age=self.age,
            known=known,
            failures=self.failures,
            given_up=self.given_up,
            muted=muted,
            must_fetch=must_fetch,
            in_vain=self.given_up > 0 or (flying and self.flight is not None and now > self.flight.began),
            events=self.events,
            confirmations=self.confirmations,
        )

    def at_once(self, request: Request, found: Sequence[VerifyKey] | None) -> None:
        """What `lookup` said."""
        if request.known and request.age is Age.YOUNG:
            self.must(found is not None, "a known key that is not stale was not at hand")

    def used(self, request: Request, found: Sequence[VerifyKey]) -> None:
        """The request got keys."""
        waited, kid = self.clock.now - request.arrived, request.kid
        self.must(self.usable, "keys were used when there were none, or too old ones")
        self.must({key.thumbprint for key in found} == self.keys_for(kid), f"other keys for {kid} than are published")
        given_up = self.given_up - request.given_up
        if self.age is Age.STALE and not self.failures and not given_up and not request.in_vain:
            self.must(waited >= self.caching.stale_wait - BLINK, "a stale key was used without waiting for news")
        if request.known and request.age is Age.YOUNG:
            self.must(self.events == request.events, "a known key that is not stale was waited for")
        if request.known:
            brief = 0.0 if request.age is Age.YOUNG or request.failures else self.caching.stale_wait * (1 + given_up)
            self.must(waited <= brief + BLINK, f"a known key was waited for: {waited:g} s")

    def refused(self, request: Request, error: JWTASGIError) -> None:
        """The request got none."""
        self.flying  # noqa: B018 - what has timed out has failed
        self.must(not self.keys_for(request.kid), f"a known key was refused: {error!r}")
        if isinstance(error, KeysUnavailable):
            self._unavailable(request, error)
        else:
            self.must(error.reason is Reason.KEY_UNKNOWN, f"another reason: {error!r}")
            self._unknown(request)

    def _unavailable(self, request: Request, error: KeysUnavailable) -> None:
        now, waited = self.clock.now, self.clock.now - request.arrived
        self.must(self.age is not Age.YOUNG, f"the issuer's fault, though its keys are young: {error!r}")
        self.must(0 <= error.retry_after <= 300, f"to come back in {error.retry_after:g} s")
        least, most = self.not_before - now, max(self.surely_from - now, 1.0)
        self.must(least - BLINK <= error.retry_after <= most + BLINK, "to come back too soon, or too late")
        self.must((error.reason is Reason.KEYS_EXPIRED) == (self.age is Age.EXPIRED), f"another reason: {error!r}")
        given_up = self.given_up > request.given_up
        tried = now < self.surely_from or given_up or waited >= self.caching.timeout - BLINK
        self.must(tried, "the issuer's fault, though nobody has asked it")

    def _unknown(self, request: Request) -> None:
        now, waited, missed = self.clock.now, self.clock.now - request.arrived, request.kid in self.missed_until
        awaited = self.events > request.events or waited > 0
        self.must(not request.muted or not awaited, "a key was looked for again too soon")
        self.must(self.usable, "a key was called unknown, though there is no set")
        given_up = self.given_up > request.given_up
        if self.age is Age.STALE and not missed and not given_up:
            self.must(
                not awaited and not self.has_room, "a key was called unknown, though it was the issuer that failed"
            )
        looked = awaited and self.landed >= request.arrived
        in_vain = given_up or waited >= self.caching.timeout - BLINK
        why = looked or missed or in_vain or not self.has_room or now < self.surely_from
        self.must(why, "a key was called unknown, though nobody has looked for it")
        confirmed = self.confirmations > request.confirmations
        if confirmed or given_up:
            self.missed_until.setdefault(request.kid, 0.0)
        # One attempt, and its answer: with more of them, which one it waited for cannot be seen from outside
        if confirmed and not in_vain and not request.known and self.events <= request.events + 2:
            self.missed_until[request.kid] = now + 30

    def settled(self, requests: Iterable[Request]) -> None:
        """Everything that happens at this moment has happened."""
        for request in requests:
            began = self.flight.began if self.flight is not None else -math.inf
            self.must(not request.must_fetch or began >= request.arrived, f"no attempt was made for {request}")
