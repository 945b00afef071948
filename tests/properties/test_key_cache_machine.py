"""Whatever time, the issuer and the requests do: the key cache keeps to its rules."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jwt_asgi import KeyCaching
from jwt_asgi._core.jwks import VerifyKey
from jwt_asgi._keys.remote import RemoteKeys
from jwt_asgi.errors import JWTASGIError
from tests.keys.script import ALG, ISSUER, JWKS_URI, FakeClock
from tests.properties.key_cache import CACHE_CONTROL, MOODS, Hold, Issuer, VirtualLoop
from tests.properties.key_cache_ledger import Ledger, Request
from tests.properties.strategies import examples

PUBLISHED = ("a", "b", "c")
KIDS = st.sampled_from([*PUBLISHED, *PUBLISHED, "x", "x", "y", "z", None])
CACHINGS = (
    KeyCaching(),
    KeyCaching(),
    KeyCaching(stale_if_error=0),
    KeyCaching(ttl=60, stale_if_error=3600, stale_wait=0),
    KeyCaching(stale_if_error=1000, stale_wait=2, timeout=3),
)
EIGHTHS = st.integers(1, 8 * 60).map(lambda number: number / 8)
MOOD = st.sampled_from(["well", "well", "well", "429", *MOODS])
HOLD = st.sampled_from([Hold.NOT, Hold.NOT, *Hold])
BOUNDARY = st.sampled_from(
    ["stale", "ageing", "surely ageing", "stale", "expired", "may ask", "surely may ask", "late", "overdue", "news"]
)
BESIDE = st.sampled_from([0.0, 0.0, -0.125, 0.125])
DURATIONS = st.sampled_from([0.125, 1.0, 5.0, 6.0, 30.0, 300.0, 600.0, 3600.0, 86_400.0]) | EIGHTHS


class KeyCache(RuleBasedStateMachine):
    """One key cache, its issuer, its clock and its requests."""

    remote_keys = RemoteKeys

    @initialize(
        caching=st.sampled_from(CACHINGS), start=st.sampled_from(["", "new", "stale", "stale", "surely ageing"])
    )
    def begin(self, caching: KeyCaching, start: str) -> None:
        self.clock = FakeClock()
        self.loop = VirtualLoop(self.clock)
        self.ledger = Ledger(self.clock, caching)
        self.issuer = Issuer(self.ledger)
        self.jitter = 0.5
        self.loop.set_exception_handler(lambda _, context: self.ledger.must(False, f"left behind: {context}"))
        self.keys = self.make(caching)
        self.waiting: list[tuple[Request, asyncio.Task[None]]] = []
        self.newcomers = 0
        if start:
            self.ask("a")
            self.a_boundary_comes(start, 0.0)

    def make(self, caching: KeyCaching) -> RemoteKeys:
        return self.remote_keys(
            ISSUER,
            jwks_uri=JWKS_URI,
            fetch=self.issuer.fetch,
            caching=caching,
            clock=self.clock,
            jitter=lambda: self.jitter,
        )

    # Time

    def advance(self, seconds: float = 0.0) -> None:
        self.loop.advance_to(self.clock.now + seconds)

    @rule(seconds=DURATIONS)
    def time_passes(self, seconds: float) -> None:
        self.advance(seconds)

    @rule(boundary=BOUNDARY, beside=BESIDE)
    def a_boundary_comes(self, boundary: str, beside: float) -> None:
        moment = self.ledger.boundaries().get(boundary, 0.0) + beside
        if moment > self.clock.now:
            self.loop.advance_to(moment)

    # The issuer

    @rule(kids=st.sets(st.sampled_from(PUBLISHED), min_size=1), renewed=st.sets(st.sampled_from(PUBLISHED), max_size=1))
    def the_issuer_rotates(self, kids: set[str], renewed: set[str]) -> None:
        self.issuer.publish(sorted(kids), renewed)

    @rule(mood=MOOD, hold=HOLD)
    def the_issuer_changes_its_mood(self, mood: str, hold: Hold) -> None:
        self.issuer.mood, self.issuer.hold = mood, hold

    @rule(
        cache_control=st.sampled_from(list(CACHE_CONTROL)),
        retry_after=st.sampled_from([0, 7, 300, 10**6]),
        jitter=st.sampled_from([0.0, 0.5, 0.75]),
    )
    def the_issuer_changes_its_numbers(self, cache_control: str, retry_after: int, jitter: float) -> None:
        self.issuer.cache_control, self.issuer.retry_after, self.jitter = cache_control, retry_after, jitter

    @rule()
    def the_issuer_lets_go(self) -> None:
        self.issuer.let_go()
        self.advance()

    # Requests

    async def _ask(self, request: Request) -> None:
        try:
            found: Sequence[VerifyKey] | None = self.keys.lookup(request.kid, ALG)
            self.ledger.at_once(request, found)
            if found is None:
                found = await self.keys.find(request.kid, ALG)
        except JWTASGIError as error:
            self.ledger.refused(request, error)
        else:
            self.ledger.used(request, found)

    def ask(self, *kids: str | None) -> list[Request]:
        requests = [self.ledger.arrives(kid) for kid in kids]
        self.waiting += [(request, self.loop.create_task(self._ask(request))) for request in requests]
        self.advance()
        self.ledger.settled(requests)
        return requests

    @rule(kid=KIDS)
    def a_request_comes(self, kid: str | None) -> None:
        self.ask(kid)

    @rule(kids=st.lists(KIDS, min_size=2, max_size=5), seconds=st.sampled_from([0.0, 0.125, 1.0, 5.0]))
    def requests_come_at_once(self, kids: list[str | None], seconds: float) -> None:
        self.ask(*kids)
        self.advance(seconds)

    @rule(boundary=BOUNDARY, beside=BESIDE, kid=KIDS)
    def a_request_comes_at_a_boundary(self, boundary: str, beside: float, kid: str | None) -> None:
        self.a_boundary_comes(boundary, beside)
        self.ask(kid)

    @rule(boundary=BOUNDARY, mood=MOOD, hold=HOLD, kid=KIDS)
    def a_request_meets_a_mood(self, boundary: str, mood: str, hold: Hold, kid: str | None) -> None:
        self.the_issuer_changes_its_mood(mood, hold)
        self.a_request_comes_at_a_boundary(boundary, 0.0, kid)

    @rule(which=st.integers(0, 4))
    def a_waiter_leaves(self, which: int) -> None:
        waiting = [task for _, task in self.waiting if not task.done()]
        if waiting:
            waiting[which % len(waiting)].cancel()
            self.advance()

    @rule(kids=st.lists(KIDS, min_size=1, max_size=3), which=st.integers(0, 2))
    def one_of_several_waiters_leaves(self, kids: list[str | None], which: int) -> None:
        self.issuer.hold = Hold.POLITE
        self.ask(*kids)
        self.a_waiter_leaves(which)

    @precondition(lambda self: self.ledger.flying and not self.ledger.flight.stubborn)
    @rule()
    def the_cache_is_closed(self) -> None:
        self.ledger.give_up()
        closing = self.loop.create_task(self.keys.aclose())
        self.advance()
        self.ledger.must(closing.done(), "closing takes time")

    @rule(before=st.booleans(), others=st.integers(0, 2))
    def the_issuer_is_well_again(self, before: bool, others: int) -> None:
        """Then a new key is accepted half a minute later, or when its Retry-After is over.

        Also if it was asked for `before` it was published, and beside so many other kids.
        """
        kid, issuer = f"new {self.newcomers}", self.issuer
        self.newcomers += 1
        if before:
            self.ask(kid)
        mood, issuer.mood, issuer.hold = issuer.mood, "well", Hold.NOT
        issuer.publish([*issuer.published, kid])
        self.the_issuer_lets_go()
        self.ask(*[f"{kid}, {number}" for number in range(others)])
        self.ask(kid)
        self.advance(max(30.0, self.ledger.surely_from - self.clock.now))
        self.ask(kid)
        self.ledger.must(kid in (self.ledger.answer.keys if self.ledger.answer else {}), "a new key was not accepted")
        issuer.publish([name for name in issuer.published if name != kid])
        issuer.mood = mood

    # What always holds

    @invariant()
    def nothing_was_wrong(self) -> None:
        for _, task in self.waiting:
            if task.done() and not task.cancelled():
                task.result()
        self.waiting = [(request, task) for request, task in self.waiting if not task.done()]
        longest = 2 * self.ledger.caching.timeout
        for request, _ in self.waiting:
            self.ledger.must(self.clock.now <= request.arrived + longest, f"it waits for ever: {request}")
        assert not self.ledger.complaints, self.ledger.complaints

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        self.issuer.mood, self.issuer.hold = "well", Hold.NOT
        self.the_issuer_lets_go()
        self.advance(30.0)
        left = [task for task in asyncio.all_tasks(self.loop) if not task.done()]
        for task in left:
            task.cancel()
        self.advance()
        self.loop.close()
        assert not left, left
        assert not self.ledger.complaints, self.ledger.complaints


MACHINE = settings(
    examples(70),
    stateful_step_count=25,
    # The same examples each time, unless more are asked for than usual
    derandomize="PROPERTY_EXAMPLES" not in os.environ,
)

TestKeyCache: Any = KeyCache.TestCase
TestKeyCache.settings = MACHINE
