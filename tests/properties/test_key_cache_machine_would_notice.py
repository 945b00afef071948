"""The machine itself is put to the test: it finds each of these faults in a key cache."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from jwt_asgi import KeyCaching
from jwt_asgi._core import freshness
from jwt_asgi._core.freshness import Facts, State, Step
from jwt_asgi._core.jwks import VerifyKey
from jwt_asgi._keys.remote import RemoteKeys
from jwt_asgi.errors import Reason, TokenError
from jwt_asgi.types import Fetch
from tests.keys.script import JWKS_URI
from tests.properties.key_cache import Hold
from tests.properties.test_key_cache_machine import MACHINE, KeyCache

DECIDE, STATE_OF, BACKOFF, LIFETIME = freshness.decide, freshness.state_of, freshness.backoff, freshness.lifetime


class Keeping(RemoteKeys):
    """Never lets go of a key."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.kept: dict[str | None, Sequence[VerifyKey]] = {}

    def lookup(self, kid: str | None, alg: str) -> Sequence[VerifyKey] | None:
        found = super().lookup(kid, alg)
        return self.kept.setdefault(kid, found) if found else self.kept.get(kid)


class Hiding(RemoteKeys):
    """Holds a miss against a key that came in since."""

    def __init__(self, *args: Any, clock: Callable[[], float], **options: Any) -> None:
        super().__init__(*args, clock=clock, **options)
        self.now, self.missed = clock, dict[str | None, float]()

    def lookup(self, kid: str | None, alg: str) -> Sequence[VerifyKey] | None:
        if self.now() < self.missed.get(kid, 0.0):
            raise TokenError(Reason.KEY_UNKNOWN)
        return super().lookup(kid, alg)

    async def find(self, kid: str | None, alg: str, **options: Any) -> Sequence[VerifyKey]:
        try:
            return await super().find(kid, alg, **options)
        except TokenError:
            self.missed[kid] = self.now() + 30
            raise


class Dragging(RemoteKeys):
    """A waiter who leaves takes the flight along."""

    async def find(self, kid: str | None, alg: str, **options: Any) -> Sequence[VerifyKey]:
        try:
            return await super().find(kid, alg, **options)
        except asyncio.CancelledError:
            await self.aclose()
            raise


class Slow(RemoteKeys):
    """Has no key at hand."""

    def lookup(self, kid: str | None, alg: str) -> Sequence[VerifyKey] | None:
        return None


class Sleepy(RemoteKeys):
    """Holds requests back instead of refusing them."""

    async def find(self, kid: str | None, alg: str, **options: Any) -> Sequence[VerifyKey]:
        try:
            return await super().find(kid, alg, **options)
        except TokenError:
            await asyncio.sleep(30)
            raise


class Doubling(RemoteKeys):
    """Asks the issuer for each request."""

    def __init__(self, *args: Any, fetch: Fetch, **options: Any) -> None:
        super().__init__(*args, fetch=fetch, **options)
        self.ask = fetch

    async def find(self, kid: str | None, alg: str, **options: Any) -> Sequence[VerifyKey]:
        await self.ask(JWKS_URI, headers={}, timeout=1, limit=1)
        return await super().find(kid, alg, **options)


class Forgetful(RemoteKeys):
    """Looks for a kid each time that it is named."""

    def _remember_miss(self, kid: str | None, alg: str) -> None:
        """Do not."""


def _wiped(state: State, facts: Facts) -> Step:
    return DECIDE(State.EMPTY if facts.failed else state, facts)


def _unfailing(state: State, facts: Facts) -> Step:
    return DECIDE(state, replace(facts, failed=False))


def _hammering(state: State, facts: Facts) -> Step:
    return DECIDE(state, replace(facts, backing_off=facts.backing_off and state is not State.EMPTY))


def _impatient(state: State, facts: Facts) -> Step:
    known = facts.known or not facts.flying or state is State.EMPTY
    return DECIDE(state, facts) if known else Step.REFUSE_UNKNOWN


def _instead(said: Step, says: Step) -> Callable[[State, Facts], Step]:
    return lambda state, facts: says if (step := DECIDE(state, facts)) is said else step


def _deathless(times: Any, now: float) -> State:
    state = STATE_OF(times, now)
    return State.STALE if state is State.EXPIRED else state


def _lifetime_without_bounds(headers: Mapping[str, str], *, default: float, least: float, most: float) -> float:
    return LIFETIME(headers, default=default, least=0.0, most=1e9)


# What is faulty: a class, or a function of freshness.py and what is put in its place
FAULTS: Mapping[str, type[RemoteKeys] | tuple[str, Callable[..., Any]]] = {
    "a removed key is kept": Keeping,
    "a miss hides a key that came in since": Hiding,
    "a cancelled waiter cancels the flight": Dragging,
    "a known key is not at hand": Slow,
    "a refusal takes its time": Sleepy,
    "two flights at a time": Doubling,
    "a failure takes the set away": ("decide", _wiped),
    "every request waits while the issuer is down": ("decide", _unfailing),
    "the backoff does not hold without a set": ("decide", _hammering),
    "an unknown kid does not join a flight": ("decide", _impatient),
    "a stale key is used without asking": ("decide", _instead(Step.WAIT_BRIEFLY, Step.USE_AND_REFRESH)),
    "an ageing set is not refreshed": ("decide", _instead(Step.USE_AND_REFRESH, Step.USE)),
    "in an outage a key is called unknown": ("decide", _instead(Step.REFUSE_UNAVAILABLE, Step.REFUSE_UNKNOWN)),
    "a set never expires": ("state_of", _deathless),
    "the backoff does not grow": ("backoff", lambda failures, jitter: BACKOFF(1, jitter)),
    "Retry-After is not heeded": ("retry_after", lambda value, now: 0.0),
    "a set is fresh for as long as the issuer likes": ("lifetime", _lifetime_without_bounds),
    "a kid is looked for again and again": Forgetful,
    "attempts for unknown kids are not counted": ("Bucket.taken", lambda bucket, now: bucket),
}


Doing = Callable[[KeyCache], object]


def ask(*kids: str) -> Doing:
    return lambda cache: cache.ask(*kids)


def mood(name: str, hold: Hold = Hold.NOT) -> Doing:
    return lambda cache: cache.the_issuer_changes_its_mood(name, hold)


def at(boundary: str, kid: str, beside: float = 0.0) -> Doing:
    return lambda cache: cache.a_request_comes_at_a_boundary(boundary, beside, kid)


def later(seconds: float) -> Doing:
    return lambda cache: cache.time_passes(seconds)


DOWN, SLOW = mood("500"), mood("well", Hold.POLITE)

# How the cache starts, and the steps that show the fault
STORIES: Mapping[str, tuple[str, Sequence[Doing]]] = {
    "a removed key is kept": (
        "new",
        [ask("a"), lambda cache: cache.the_issuer_rotates({"b"}, set()), ask("b"), ask("a")],
    ),
    "a miss hides a key that came in since": ("new", [lambda cache: cache.the_issuer_is_well_again(True, 1)]),
    "a cancelled waiter cancels the flight": (
        "",
        [lambda cache: cache.one_of_several_waiters_leaves(["a", "a"], 0)],
    ),
    "a known key is not at hand": ("new", [ask("a")]),
    "a refusal takes its time": ("new", [ask("x"), later(11.0)]),
    "two flights at a time": ("", [SLOW, ask("a", "b")]),
    "a failure takes the set away": ("new", [DOWN, at("stale", "a"), ask("a")]),
    "every request waits while the issuer is down": (
        "stale",
        [DOWN, ask("a"), SLOW, at("surely may ask", "a"), later(1.0)],
    ),
    "the backoff does not hold without a set": ("", [DOWN, ask("a"), ask("a")]),
    "an unknown kid does not join a flight": ("new", [SLOW, ask("b"), ask("c")]),
    "a stale key is used without asking": ("stale", [SLOW, ask("a")]),
    "an ageing set is not refreshed": ("new", [at("surely ageing", "a", 0.125)]),
    "in an outage a key is called unknown": ("stale", [DOWN, ask("x")]),
    "a set never expires": ("new", [DOWN, at("expired", "a")]),
    "the backoff does not grow": (
        "",
        [DOWN, ask("a"), at("surely may ask", "a"), at("surely may ask", "a"), later(1.0), ask("a")],
    ),
    "Retry-After is not heeded": ("", [mood("429"), ask("a"), later(30.0), ask("a")]),
    "a set is fresh for as long as the issuer likes": (
        "",
        [
            lambda cache: cache.the_issuer_changes_its_numbers("max-age=86400", 0, 0.5),
            *(ask("a"), at("surely ageing", "a", 0.125)),
        ],
    ),
    "a kid is looked for again and again": ("new", [ask("x"), ask("x")]),
    "attempts for unknown kids are not counted": ("new", [ask("x"), ask("y"), ask("z")]),
}


def put(monkeypatch: pytest.MonkeyPatch, fault: str) -> type[KeyCache]:
    """The machine around a key cache with this fault, whose functions are replaced wherever they are used."""
    where = FAULTS[fault]
    if isinstance(where, type):
        return type("Faulty", (KeyCache,), {"remote_keys": where})
    name, wrong = where
    if name == "Bucket.taken":
        monkeypatch.setattr(freshness.Bucket, "taken", wrong)
        return KeyCache
    sound = getattr(freshness, name)
    modules = [module for path, module in sys.modules.items() if path.startswith("jwt_asgi.")]
    uses = [module for module in modules if vars(module).get(name) is sound]
    assert len(uses) > 1, f"nobody uses {name}"
    for module in uses:
        monkeypatch.setattr(module, name, wrong)
    return KeyCache


def tell(machine: KeyCache, fault: str) -> list[str]:
    """What the ledger complains of when the story of this fault is told."""
    start, steps = STORIES[fault]
    machine.begin(KeyCaching(), start)
    for step in steps:
        step(machine)
    with suppress(AssertionError):
        machine.nothing_was_wrong()
    with suppress(AssertionError):
        machine.teardown()
    return machine.ledger.complaints


@pytest.mark.parametrize("fault", STORIES)
def test_a_sound_key_cache_passes_the_story_of_each_fault(fault: str) -> None:
    assert tell(KeyCache(), fault) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_key_cache_with_a_fault_is_found_out(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tell(put(monkeypatch, fault)(), fault)


@pytest.mark.parametrize("fault", ["a failure takes the set away", "attempts for unknown kids are not counted"])
def test_the_machine_finds_a_fault_by_itself(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = settings(MACHINE, max_examples=200, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(put(monkeypatch, fault), settings=quick)
