"""The key cache, its clock and its issuer in a test's hand: what a request gets, and what the issuer is asked."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
import trio

from jwt_asgi import KeyCaching, KeysUnavailable, Reason, TokenError
from jwt_asgi._core.freshness import State, state_of
from jwt_asgi._keys import flight, remote, snapshot
from jwt_asgi._keys.discovery import metadata_urls
from jwt_asgi._keys.events import KeyEvent, KeyEventKind
from jwt_asgi._keys.fetch import MAX_BODY_BYTES, FetchError, NoAnswerError
from jwt_asgi._keys.remote import RemoteKeys
from jwt_asgi.types import FetchResponse
from tests.keys.script import (
    ALG,
    ISSUER,
    JWKS_URI,
    FakeClock,
    Reply,
    Rig,
    ScriptedFetch,
    jwk,
    key_set,
    make_rig,
    metadata,
    status,
    until,
)
from tests.missing import installed

# With the defaults and a jitter of a half: ageing after 480 s, stale after 600 s, expired a day later
AGEING, STALE, EXPIRED = 480.0, 600.0, 87_000.0
DOWN = status(500)
LONG = KeyCaching(ttl=1e7, stale_if_error=1e7)
"""Fresh for as long as a test likes."""

_T = TypeVar("_T")


async def started(*, caching: KeyCaching | None = None) -> Rig:
    """Keys after one good fetch."""
    rig = make_rig(caching=caching)
    assert await rig.outcome("a") is None
    assert rig.calls == 1
    return rig


# The table of states

UNKNOWN, UNAVAILABLE, TOO_OLD = Reason.KEY_UNKNOWN, Reason.KEYS_UNAVAILABLE, Reason.KEYS_EXPIRED


@pytest.mark.parametrize(
    ("age", "kid", "reply", "outcome", "calls"),
    [
        pytest.param(None, "a", key_set("a"), None, 1, id="EMPTY, known at last"),
        pytest.param(None, "b", key_set("a"), UNKNOWN, 1, id="EMPTY, unknown at last"),
        pytest.param(None, "a", DOWN, UNAVAILABLE, 1, id="EMPTY, issuer down"),
        pytest.param(0.0, "a", key_set("a"), None, 0, id="FRESH, known"),
        pytest.param(479.9, "a", DOWN, None, 0, id="FRESH, known, just yet"),
        pytest.param(0.0, "b", key_set("a"), UNKNOWN, 1, id="FRESH, unknown"),
        pytest.param(0.0, "b", key_set("a", "b"), None, 1, id="FRESH, unknown, new"),
        pytest.param(0.0, "b", DOWN, UNKNOWN, 1, id="FRESH, unknown, issuer down"),
        pytest.param(AGEING, "a", key_set("a"), None, 1, id="AGEING, known"),
        pytest.param(AGEING, "a", key_set("b"), None, 1, id="AGEING, known, about to be withdrawn"),
        pytest.param(599.9, "a", DOWN, None, 1, id="AGEING, known, issuer down"),
        pytest.param(AGEING, "b", key_set("a"), UNKNOWN, 1, id="AGEING, unknown"),
        pytest.param(AGEING, "b", key_set("a", "b"), None, 1, id="AGEING, unknown, new"),
        pytest.param(AGEING, "b", DOWN, UNKNOWN, 1, id="AGEING, unknown, issuer down"),
        pytest.param(STALE, "a", key_set("a"), None, 1, id="STALE, known"),
        pytest.param(STALE, "a", key_set("b"), UNKNOWN, 1, id="STALE, known, withdrawn meanwhile"),
        pytest.param(STALE, "a", DOWN, None, 1, id="STALE, known, issuer down"),
        pytest.param(86_999.9, "a", DOWN, None, 1, id="STALE, known, issuer down, just yet"),
        pytest.param(STALE, "b", key_set("a"), UNKNOWN, 1, id="STALE, unknown"),
        pytest.param(STALE, "b", key_set("b"), None, 1, id="STALE, unknown, new"),
        pytest.param(STALE, "b", DOWN, UNAVAILABLE, 1, id="STALE, unknown, issuer down"),
        pytest.param(EXPIRED, "a", key_set("a"), None, 1, id="EXPIRED, confirmed"),
        pytest.param(EXPIRED, "a", key_set("b"), UNKNOWN, 1, id="EXPIRED, withdrawn meanwhile"),
        pytest.param(EXPIRED, "a", DOWN, TOO_OLD, 1, id="EXPIRED, issuer down"),
        pytest.param(EXPIRED, "b", key_set("b"), None, 1, id="EXPIRED, new"),
        pytest.param(EXPIRED, "b", DOWN, TOO_OLD, 1, id="EXPIRED, unknown, issuer down"),
    ],
)
async def test_each_state_answers_as_the_table_says(
    age: float | None, kid: str, reply: Reply, outcome: Reason | None, calls: int
) -> None:
    rig = make_rig() if age is None else await started()
    rig.clock.now += age or 0.0
    rig.fetch.reply, before = reply, rig.calls
    assert await rig.outcome(kid) is outcome
    await rig.settle(before + calls)
    assert rig.calls - before == calls


@pytest.mark.parametrize(
    ("age", "kid", "outcome"),
    [
        pytest.param(None, "a", UNAVAILABLE, id="EMPTY"),
        pytest.param(0.0, "a", None, id="FRESH, known"),
        pytest.param(0.0, "b", UNKNOWN, id="FRESH, unknown"),
        pytest.param(AGEING, "a", None, id="AGEING, known"),
        pytest.param(AGEING, "b", UNKNOWN, id="AGEING, unknown"),
        pytest.param(STALE, "a", None, id="STALE, known"),
        pytest.param(STALE, "b", UNAVAILABLE, id="STALE, unknown"),
        pytest.param(EXPIRED, "a", TOO_OLD, id="EXPIRED, known"),
        pytest.param(EXPIRED, "b", TOO_OLD, id="EXPIRED, unknown"),
    ],
)
async def test_while_backing_off_each_state_answers_at_once_and_asks_nobody(
    age: float | None, kid: str, outcome: Reason | None
) -> None:
    rig = make_rig() if age is None else await started()
    rig.clock.now += age or 0.0
    rig.fetch.reply = DOWN
    await rig.outcome("another")
    before = rig.calls
    for _ in range(3):
        assert await rig.outcome(kid) is outcome
    await rig.settle(before)
    assert rig.calls == before


def is_fresh(keys: RemoteKeys) -> bool:
    """Whether nothing is to be fetched yet."""
    assert keys._snapshot is not None
    return state_of(keys._snapshot.times, keys._clock()) is State.FRESH


@pytest.mark.parametrize(
    ("age", "at_hand", "calls"), [(0.0, True, 1), (479.9, True, 1), (AGEING, True, 2), (STALE, False, 1)]
)
async def test_a_known_key_is_at_hand_until_the_set_is_stale_and_an_ageing_set_is_refreshed_beside_it(
    age: float, *, at_hand: bool, calls: int
) -> None:
    rig = await started()
    rig.clock.now += age
    assert rig.keys.lookup("b", ALG) is None
    assert rig.calls == 1
    assert (rig.keys.lookup("a", ALG) is not None) is at_hand
    await rig.settle(calls)
    assert rig.calls == calls


async def test_while_backing_off_a_known_key_is_at_hand_and_a_stale_one_once_that_was_told() -> None:
    rig = await started()
    rig.fetch.reply, rig.clock.now = DOWN, rig.clock.now + 599.5
    assert rig.keys.lookup("a", ALG)
    await rig.settle(2)
    assert rig.keys.lookup("a", ALG)
    rig.clock.now += 0.5
    assert rig.keys.lookup("a", ALG) is None
    assert await rig.outcome("a") is None
    for _ in range(2):
        assert rig.keys.lookup("a", ALG)
    assert rig.keys.status().counters["served_stale"] == 3
    await rig.settle(2)
    assert rig.calls == 2


async def test_nothing_is_fetched_before_the_first_token() -> None:
    rig = make_rig()
    assert rig.keys.lookup("a", ALG) is None
    await asyncio.sleep(0)
    assert rig.calls == 0


async def test_a_token_without_a_kid_may_use_any_key_that_fits_and_fetches_only_if_none_does() -> None:
    rig = await started()
    assert await rig.outcome(None) is None
    assert rig.calls == 1
    assert await rig.outcome(None, "RS256") is UNKNOWN
    assert rig.calls == 2


async def test_a_known_kid_with_another_algorithm_fetches_nothing() -> None:
    rig = await started()
    assert await rig.keys.find("a", "RS256") == ()
    assert rig.calls == 1


async def test_in_an_outage_known_keys_serve_until_the_bound_and_not_a_moment_longer() -> None:
    rig = await started()
    rig.fetch.reply = DOWN
    began = rig.clock.now
    for age in (AGEING, STALE, 3600.0, 86_999.0):
        rig.clock.now = began + age
        assert await rig.outcome("a") is None
        await rig.settle(rig.calls)
    rig.clock.now = began + EXPIRED
    assert await rig.outcome("a") is TOO_OLD
    rig.fetch.reply, rig.clock.now = key_set("a"), rig.clock.now + 30
    assert await rig.outcome("a") is None, "it recovers by itself"


async def test_without_stale_if_error_a_set_serves_no_longer_than_it_is_fresh() -> None:
    rig = await started(caching=KeyCaching(stale_if_error=0))
    rig.fetch.reply, rig.clock.now = DOWN, rig.clock.now + 599.9
    assert await rig.outcome("a") is None
    await rig.settle(2)
    rig.clock.now += 0.1
    assert await rig.outcome("a") is TOO_OLD


async def test_a_clock_may_begin_at_nothing() -> None:
    rig = make_rig(caching=LONG)
    rig.clock.now = 0.5
    assert await rig.outcome("a") is None
    for asked in (True, False):
        assert await attempt_for(rig, "b") is asked
    rig.fetch.reply = key_set("a", "c")
    assert await rig.outcome("c") is None


# After an idle spell


async def test_after_an_idle_spell_the_first_request_waits_for_news_but_not_for_long() -> None:
    rig = await started(caching=KeyCaching(stale_wait=0.05))
    rig.clock.now += STALE
    rig.fetch.gate, began = asyncio.Event(), time.monotonic()
    assert await rig.outcome("a") is None
    assert 0.04 < time.monotonic() - began < 2
    rig.fetch.gate.set()
    await rig.settle(2)
    assert rig.keys.lookup("a", ALG), "what came late is taken in all the same"


async def test_once_one_has_waited_in_vain_for_a_slow_fetch_the_next_ones_do_not() -> None:
    rig = await started(caching=KeyCaching(stale_wait=0.05))
    rig.clock.now += STALE
    gate = rig.fetch.gate = asyncio.Event()
    assert await rig.outcome("a") is None
    for _ in range(3):
        assert await at_once(rig.outcome("a")) is None
    unknown = asyncio.create_task(rig.outcome("b"))
    await asyncio.sleep(0.01)
    assert not unknown.done(), "a key that is not there has to be waited for"
    gate.set()
    assert await unknown is UNKNOWN
    assert rig.calls == 2


async def test_a_known_key_waits_for_no_fetch_that_a_request_for_an_unknown_one_has_waited_for_in_vain() -> None:
    rig = await started(caching=KeyCaching(timeout=0.05))
    let_go = asyncio.Event()
    rig.fetch.reply, rig.clock.now = stubborn(let_go, key_set("a")), rig.clock.now + STALE
    assert await rig.outcome("b") is UNAVAILABLE
    assert await at_once(rig.outcome("a")) is None
    let_go.set()
    await rig.settle(2)
    assert rig.calls == 2


async def test_the_fetch_after_a_slow_one_is_waited_for_again() -> None:
    rig = await started(caching=KeyCaching(stale_wait=0.05))
    rig.clock.now += STALE
    gate = rig.fetch.gate = asyncio.Event()
    assert await rig.outcome("a") is None
    gate.set()
    await rig.settle(2)
    rig.fetch.reply, rig.clock.now = key_set("b"), rig.clock.now + STALE
    assert await rig.outcome("a") is UNKNOWN, "it was withdrawn meanwhile"


async def test_with_no_time_to_wait_a_stale_key_serves_at_once() -> None:
    rig = await started(caching=KeyCaching(stale_wait=0))
    rig.clock.now += STALE
    rig.fetch.gate = asyncio.Event()
    assert await rig.outcome("a") is None
    rig.fetch.gate.set()
    await rig.settle(2)
    assert rig.calls == 2


async def test_once_an_attempt_has_failed_stale_keys_serve_without_waiting_while_the_next_one_runs() -> None:
    rig = await started()
    rig.clock.now += STALE
    rig.fetch.reply = DOWN
    assert await rig.outcome("a") is None
    rig.clock.now += 1
    rig.fetch.gate = asyncio.Event()
    began = time.monotonic()
    assert await rig.outcome("a") is None
    assert time.monotonic() - began < 0.9, "the second for news is not spent again"
    await rig.settle(3)
    rig.fetch.gate.set()
    await rig.settle(3)


# Failures

GOOD = json.dumps({"keys": [jwk("a")]})
FAILURES: Mapping[str, tuple[Reply, Reason, str]] = {
    "500": (status(500), UNAVAILABLE, "answered 500"),
    "404": (status(404), UNAVAILABLE, "answered 404"),
    "204": (status(204), UNAVAILABLE, "answered 204"),
    "206": (FetchResponse(206, {}, GOOD.encode()), UNAVAILABLE, "answered 206"),
    "302": (status(302, location="http://169.254.169.254/"), UNAVAILABLE, "302; redirects are not followed"),
    "304 that was not asked for": (status(304), UNAVAILABLE, "answered 304"),
    "an empty body": (FetchResponse(200, {}, b""), Reason.KEYS_UNUSABLE, "JSON object"),
    "a page": (FetchResponse(200, {}, b"<html>"), Reason.KEYS_UNUSABLE, "JSON object"),
    "an array": (FetchResponse(200, {}, b"[]"), Reason.KEYS_UNUSABLE, "JSON object"),
    "deep": (FetchResponse(200, {}, b"[" * 100_000), Reason.KEYS_UNUSABLE, "JSON object"),
    "UTF-16": (FetchResponse(200, {}, GOOD.encode("utf-16")), Reason.KEYS_UNUSABLE, "JSON object"),
    "no keys": (FetchResponse(200, {}, b"{}"), Reason.KEYS_UNUSABLE, "array `keys`"),
    "keys null": (FetchResponse(200, {}, b'{"keys": null}'), Reason.KEYS_UNUSABLE, "array `keys`"),
    "an empty set": (FetchResponse(200, {}, b'{"keys": []}'), Reason.KEYS_UNUSABLE, "it is empty"),
    "secrets alone": (
        FetchResponse(200, {}, b'{"keys": [{"kty": "oct", "k": "AAAA"}]}'),
        Reason.KEYS_UNUSABLE,
        "its kty is none of",
    ),
    "an answer that is none": (FetchResponse(200, {}, None), UNAVAILABLE, "AttributeError"),  # type: ignore[arg-type]
    "a fetch's error": (FetchError("its own words"), UNAVAILABLE, "its own words"),
    "OSError": (OSError("secret"), UNAVAILABLE, "the attempt failed: OSError"),
    "ValueError": (ValueError("secret"), UNAVAILABLE, "the attempt failed: ValueError"),
    "RuntimeError": (RuntimeError("Event loop is closed"), UNAVAILABLE, "the attempt failed: RuntimeError"),
    "RecursionError": (RecursionError("secret"), UNAVAILABLE, "the attempt failed: RecursionError"),
    "an exception group": (ExceptionGroup("secret", [OSError()]), UNAVAILABLE, "the attempt failed: ExceptionGroup"),
    "TokenError": (TokenError(Reason.TOKEN_EXPIRED), UNAVAILABLE, "the attempt failed: TokenError"),
    "TimeoutError": (TimeoutError("secret"), UNAVAILABLE, JWKS_URI),
}


@pytest.mark.parametrize(("reply", "reason", "text"), FAILURES.values(), ids=FAILURES)
async def test_whatever_goes_wrong_is_one_failed_attempt_and_says_what(reply: Reply, reason: Reason, text: str) -> None:
    rig = make_rig(reply)
    error = await rig.refusal()
    assert (error.reason, error.issuer) == (reason, ISSUER)
    assert text in error.detail
    assert "secret" not in str(error)
    assert error.retry_after == 1.0
    assert rig.calls == 1
    assert (await rig.refusal()).detail == error.detail, "while backing off it is still told why"
    assert rig.calls == 1
    rig.fetch.reply, rig.clock.now = key_set("a"), rig.clock.now + 1
    assert await rig.outcome("a") is None


@pytest.mark.parametrize(("reply", "reason", "text"), FAILURES.values(), ids=FAILURES)
async def test_a_failure_never_replaces_a_good_set(reply: Reply, reason: Reason, text: str) -> None:
    rig = await started()
    before = await rig.keys.find("a", ALG)
    rig.fetch.reply, rig.clock.now = reply, rig.clock.now + AGEING
    for _ in range(5):
        assert (await rig.keys.find("a", ALG))[0] is before[0]
        await rig.settle(2)
        assert not is_fresh(rig.keys), "nor does it make the set any fresher"
        rig.clock.now += 30


async def test_no_answer_is_asked_for_once_more_at_once() -> None:
    rig = make_rig(key_set("a"), NoAnswerError("reset"))
    assert await rig.outcome("a") is None
    assert rig.calls == 2


async def test_no_answer_twice_is_one_failed_attempt() -> None:
    rig = make_rig(NoAnswerError("reset"))
    error = await rig.refusal()
    assert (error.detail, error.retry_after, rig.calls) == ("reset", 1.0, 2)


async def test_a_fetch_that_hangs_is_given_up_after_the_time_that_an_attempt_has() -> None:
    rig = make_rig(caching=KeyCaching(timeout=0.2))
    rig.fetch.gate, began = asyncio.Event(), time.monotonic()
    error = await rig.refusal()
    assert 0.15 < time.monotonic() - began < 2
    assert (error.reason, rig.calls) == (UNAVAILABLE, 1)
    await rig.settle(1)
    assert f"{JWKS_URI} did not answer in full within 0.2 s" in (await rig.refusal()).detail


async def test_a_fetch_that_was_given_up_is_told_with_its_url_and_the_time_that_it_had() -> None:
    rig = make_rig(caching=KeyCaching(timeout=0.05))
    rig.fetch.gate = asyncio.Event()
    assert await rig.outcome("a") is UNAVAILABLE
    await until(lambda: rig.keys.status().failures == 1)
    assert (await rig.refusal()).detail == f"{JWKS_URI} did not answer in full within 0.05 s"
    assert rig.calls == 1


def stubborn(let_go: asyncio.Event, brings: FetchResponse) -> Callable[[], Awaitable[FetchResponse]]:
    """A fetch that takes no cancellation, and answers once it is let go."""

    async def answer() -> FetchResponse:
        until = time.monotonic() + 3  # or else a test that fails would never end
        while not let_go.is_set() and time.monotonic() < until:
            with suppress(asyncio.CancelledError, TimeoutError):
                await asyncio.wait_for(let_go.wait(), 1)
        return brings

    return answer


async def test_a_fetch_that_will_not_be_cancelled_holds_a_request_no_longer_than_that() -> None:
    rig = make_rig(caching=KeyCaching(timeout=0.3))
    let_go = asyncio.Event()

    rig.fetch.reply, began = stubborn(let_go, key_set("a")), time.monotonic()
    assert await rig.outcome("a") is UNAVAILABLE
    assert time.monotonic() - began < 0.6, "one wait, not one after another"
    let_go.set()
    await rig.settle(1)
    assert await rig.outcome("a") is None, "there was no other attempt, so what came late is the newest there is"


async def test_a_request_that_has_waited_in_vain_makes_no_attempt_of_its_own() -> None:
    rig = make_rig(caching=KeyCaching(timeout=0.05))
    let_go = asyncio.Event()
    rig.fetch.first = [stubborn(let_go, key_set("a"))]
    request = asyncio.create_task(rig.outcome("a"))
    await rig.settle(1)
    rig.clock.now += 1.1
    assert await request is UNAVAILABLE
    assert rig.calls == 1
    let_go.set()


async def at_once(request: Awaitable[_T]) -> _T:
    """What a request gets that waits for nobody."""
    task = asyncio.ensure_future(request)
    for _ in range(20):
        await asyncio.sleep(0)
    assert task.done(), "it waits"
    return task.result()


async def test_an_attempt_that_never_ends_counts_as_a_failure_and_the_next_one_is_made_at_once() -> None:
    rig = make_rig(caching=KeyCaching(timeout=0.05))
    let_go = asyncio.Event()
    rig.fetch.first = [stubborn(let_go, DOWN) for _ in range(2)]
    for lost in (0, 1):
        assert await rig.outcome("a") is UNAVAILABLE
        told = rig.keys.status()
        assert (told.failures, told.counters["failures"], told.counters["fetches"]) == (lost, lost, lost + 1)
        assert told.retry_in == 0
        rig.clock.now += 1.1
    assert told.error == "keys_unavailable: an attempt did not end within 0.05 s, nor after it"
    assert await rig.outcome("a") is None
    told = rig.keys.status()
    assert (told.failures, told.error) == (0, "")
    assert (told.counters["failures"], told.counters["fetches"]) == (2, 3)
    let_go.set()
    await rig.settle(3)
    assert rig.keys.status().failures == 0, "what ends so late counts for nothing"


async def test_an_attempt_that_never_ends_is_one_failure_however_many_come_before_the_next_one() -> None:
    rig = await started()
    gate = rig.fetch.gate = asyncio.Event()
    reload = asyncio.create_task(rig.keys.reload())
    await rig.settle(2)
    rig.clock.now += 6
    for _ in range(3):
        assert await rig.outcome("a") is None
    told = rig.keys.status()
    assert (told.failures, told.counters["failures"], told.counters["fetches"]) == (1, 1, 2)
    gate.set()
    await reload


async def test_while_attempts_never_end_known_keys_serve_without_a_wait_once_one_has_waited() -> None:
    rig = await started(caching=KeyCaching(timeout=0.05))
    let_go = asyncio.Event()
    rig.fetch.reply, rig.clock.now = stubborn(let_go, key_set("a")), rig.clock.now + STALE
    assert await rig.outcome("a") is None
    for failures in (1, 2, 3):
        rig.clock.now += 1.1
        assert await at_once(rig.outcome("a")) is None
        assert rig.keys.status().failures == failures
    await rig.settle(5)
    assert rig.calls == 5
    let_go.set()
    await rig.settle(5)
    assert is_fresh(rig.keys)


async def test_the_issuer_is_asked_politely_and_within_bounds() -> None:
    rig = await started(caching=KeyCaching(timeout=3.0))
    call = rig.fetch.calls[0]
    assert call.headers == {"accept": "application/jwk-set+json, application/json"}
    assert (call.url, call.timeout, call.limit) == (JWKS_URI, 3.0, MAX_BODY_BYTES)


async def test_only_a_fetch_for_an_unknown_kid_goes_past_the_caches_on_the_way() -> None:
    rig = await started()
    await rig.outcome("b")
    rig.clock.now += STALE
    await rig.outcome("a")
    assert [call.headers.get("cache-control") for call in rig.fetch.calls] == [None, "no-cache", None]


async def test_what_is_fetched_ahead_of_any_token_may_come_from_a_cache_on_the_way() -> None:
    due, start = make_rig(), make_rig()
    due.keys.refresh_if_due()
    await due.settle(1)
    assert await start.keys.ready(seconds=5, retry=False) is None
    assert [list(rig.fetch.calls[0].headers) for rig in (due, start)] == [["accept"]] * 2


# Backing off


async def attempt_after(rig: Rig, seconds: float) -> bool:
    """Whether the issuer is asked when this much time has passed."""
    rig.clock.now += seconds
    before = rig.calls
    await rig.outcome("a")
    await rig.settle(before)
    return rig.calls > before


async def test_attempts_get_rarer_up_to_a_bound_and_often_again_after_a_success() -> None:
    rig = make_rig(DOWN)
    await rig.outcome("a")
    for seconds in (0.75, 1.5, 3.0, 6.0, 12.0, 22.5, 22.5, 22.5):
        error = await rig.refusal()
        assert error.retry_after == pytest.approx(max(seconds, 1.0))
        assert not await attempt_after(rig, seconds - 0.01)
        assert await attempt_after(rig, 0.011)
    rig.fetch.reply = key_set("a")
    assert await attempt_after(rig, 22.5)
    rig.fetch.reply, rig.clock.now = DOWN, rig.clock.now + STALE
    assert await rig.outcome("a") is None
    assert await attempt_after(rig, 0.75), "the count has begun anew"


@pytest.mark.parametrize("ask", ["refresh_if_due", "lookup"])
async def test_the_next_attempt_may_be_made_at_its_very_moment_and_not_before(ask: str) -> None:
    rig = await started()
    rig.fetch.reply, rig.clock.now = DOWN, rig.clock.now + AGEING
    for seconds, calls in ((0.0, 2), (0.5, 2), (0.25, 3)):
        rig.clock.now += seconds
        rig.keys.refresh_if_due() if ask == "refresh_if_due" else rig.keys.lookup("a", ALG)
        await rig.settle(calls)
        assert rig.calls == calls


async def test_a_refresh_that_takes_a_little_longer_than_it_may_is_not_begun_a_second_time() -> None:
    rig = make_rig()
    gate = rig.fetch.gate = asyncio.Event()
    for seconds in (0.0, 5.5):
        rig.clock.now += seconds
        rig.keys.refresh_if_due()
        await rig.settle(1)
        assert rig.calls == 1
    gate.set()
    await rig.settle(1)
    assert rig.keys.lookup("a", ALG)


NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.75),
        ("300", 300.0),
        ("301", 300.0),
        ("1000000000", 300.0),
        ("9" * 400, 300.0),
        (formatdate(NOW + 60, usegmt=True), 60.0),
        (formatdate(NOW + 86_400, usegmt=True), 300.0),
        (formatdate(NOW - 60, usegmt=True), 0.75),
        ("-7", 0.75),
        ("7.5", 0.75),
        ("", 0.75),
        ("soon", 0.75),
        ("\u0667", 0.75),
        ("Fri, 99 Zzz 9999 99:99:99 GMT", 0.75),
    ],
)
@pytest.mark.parametrize("code", [429, 503])
async def test_retry_after_is_heeded_up_to_five_minutes(
    value: str, seconds: float, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "time", SimpleNamespace(time=lambda: float(NOW), monotonic=time.monotonic))
    rig = make_rig(status(code, retry_after=value))
    error = await rig.refusal()
    assert error.retry_after == pytest.approx(max(seconds, 1.0))
    assert not await attempt_after(rig, seconds - 0.01)
    assert await attempt_after(rig, 0.011)


async def test_a_retry_after_shorter_than_the_backoff_does_not_shorten_it() -> None:
    rig = make_rig(status(503, retry_after="1"))
    await rig.outcome("a")
    assert await attempt_after(rig, 1.0)
    assert await attempt_after(rig, 1.5)
    assert not await attempt_after(rig, 2.9)
    assert await attempt_after(rig, 0.2)


# A kid that is not there


@pytest.mark.parametrize("reply", [key_set("a"), status(304)], ids=["200", "304"])
async def test_a_kid_that_was_not_there_is_not_looked_for_again_for_half_a_minute(reply: Reply) -> None:
    rig = make_rig(key_set("a", etag='"v1"'), caching=LONG)
    assert await rig.outcome("a") is None
    rig.fetch.reply = reply
    assert await attempt_for(rig, "b")
    for _ in range(5):
        rig.clock.now += 29.9
        assert not await attempt_for(rig, "b")
        rig.clock.now += 0.2
        assert await attempt_for(rig, "b")


async def attempt_for(rig: Rig, kid: str, alg: str = ALG) -> bool:
    """Whether the issuer is asked for an unknown kid, which is refused either way."""
    before = rig.calls
    assert await rig.outcome(kid, alg) is UNKNOWN
    return rig.calls > before


async def test_many_requests_that_miss_the_same_key_at_once_count_as_one_miss() -> None:
    rig = await started(caching=LONG)
    outcomes = await asyncio.gather(*(rig.outcome("b") for _ in range(10)))
    assert (outcomes, rig.calls) == ([UNKNOWN] * 10, 2)
    rig.clock.now += 30
    assert await attempt_for(rig, "b"), "ten misses in a row would have made it five minutes"
    assert not await attempt_for(rig, "b"), "that was another miss, at the very end of the first"


async def test_a_request_that_goes_on_later_than_another_makes_their_miss_last_no_longer() -> None:
    def told(event: KeyEvent) -> None:
        rig.clock.now += 10 * (event.kind is KeyEventKind.UNKNOWN_KID)

    rig = make_rig(caching=LONG, notify=told)
    assert await rig.outcome("a") is None
    began = rig.clock.now
    assert await asyncio.gather(*(rig.outcome("b") for _ in range(2))) == [UNKNOWN] * 2
    assert rig.clock.now == began + 10
    rig.clock.now = began + 30
    assert await attempt_for(rig, "b")


async def test_a_kid_that_a_fetch_did_not_bring_is_unknown_though_the_set_is_stale_by_then() -> None:
    def told(_: KeyEvent) -> None:
        rig.clock.now += STALE

    rig = make_rig(notify=told)
    assert await rig.outcome("b") is UNKNOWN
    assert (rig.calls, rig.keys.status().state) == (1, State.STALE)


async def test_a_key_that_any_fetch_brought_in_is_known_at_once_whatever_was_missed_before() -> None:
    rig = await started()
    assert await attempt_for(rig, "b")
    rig.fetch.reply = key_set("a", "b")
    assert await attempt_for(rig, "b") is False
    assert await attempt_for(rig, "c")
    assert rig.keys.lookup("b", ALG)


async def test_a_miss_holds_for_its_algorithm_alone() -> None:
    rig = await started(caching=LONG)
    assert await attempt_for(rig, "b", "RS256")
    assert not await attempt_for(rig, "b", "RS256")
    assert await attempt_for(rig, "b", ALG)


async def test_a_failed_attempt_is_not_remembered_as_a_miss() -> None:
    rig = await started()
    rig.fetch.reply = DOWN
    assert await rig.outcome("b") is UNKNOWN
    rig.fetch.reply, rig.clock.now = key_set("a", "b"), rig.clock.now + 1
    assert await rig.outcome("b") is None


async def test_so_many_misses_are_remembered_and_no_more() -> None:
    rig = await started(caching=LONG)
    kids = [f"kid-{number}" for number in range(257)]
    outcomes = await asyncio.gather(*(rig.outcome(kid) for kid in kids))
    assert (set(outcomes), rig.calls) == ({UNKNOWN}, 2)
    assert not await attempt_for(rig, kids[-1])
    assert not await attempt_for(rig, kids[1])
    assert await attempt_for(rig, kids[0]), "the 257th has driven the first one out"


async def test_unknown_kids_together_cause_two_fetches_at_once_and_then_one_in_thirty_seconds() -> None:
    rig = await started(caching=LONG)
    asked = [await attempt_for(rig, f"kid-{number}") for number in range(5)]
    assert asked == [True, True, False, False, False]
    rig.clock.now += 29.9
    assert not await attempt_for(rig, "early")
    rig.clock.now += 0.2
    assert await attempt_for(rig, "later")
    assert not await attempt_for(rig, "latest")
    rig.clock.now += 3600
    assert [await attempt_for(rig, f"again-{number}") for number in range(3)] == [True, True, False]


async def test_a_flood_of_unknown_kids_takes_nothing_from_the_known_ones() -> None:
    rig = await started()
    for number in range(100):
        await rig.outcome(f"kid-{number}")
    assert rig.calls == 3
    rig.clock.now += STALE
    assert await rig.outcome("a") is None
    assert rig.calls == 4, "a refresh asks no leave of the limit on misses"


async def test_attempts_for_unknown_kids_count_when_they_fail_too() -> None:
    rig = await started(caching=LONG)
    rig.fetch.reply = DOWN
    asked = []
    for number in range(4):
        asked.append(await attempt_for(rig, f"kid-{number}"))
        rig.clock.now += 5
    assert asked == [True, True, False, False]


async def test_a_throttled_kid_is_taken_within_thirty_seconds_of_a_flood() -> None:
    rig = await started()
    for number in range(10):
        await rig.outcome(f"kid-{number}")
    rig.fetch.reply = key_set("a", "b")
    assert await rig.outcome("b") is UNKNOWN
    rig.clock.now += 30
    assert await rig.outcome("b") is None


async def test_a_kid_that_was_not_looked_for_is_not_remembered_as_a_miss() -> None:
    rig = await started()
    for number in range(2):
        assert await attempt_for(rig, f"kid-{number}")
    rig.clock.now += 29
    assert not await attempt_for(rig, "b")
    rig.fetch.reply, rig.clock.now = key_set("a", "b"), rig.clock.now + 1.5
    assert await rig.outcome("b") is None


# A kid that is there, with a signature of another key


FORGED = KeyCaching(ttl=1e7, stale_if_error=1e7, refresh_on_bad_signature=True)


def taken_over() -> FetchResponse:
    """The set with another key under the old kid."""
    return FetchResponse(200, {}, json.dumps({"keys": [{**jwk("b"), "kid": "a"}]}).encode())


async def test_a_forgery_under_a_known_kid_is_not_remembered_against_the_key_that_takes_over_the_kid() -> None:
    rig = await started(caching=FORGED)
    old = await rig.keys.find("a", ALG)
    with pytest.raises(TokenError):
        await rig.keys.find("a", ALG, besides=old)
    assert rig.calls == 2
    rig.fetch.reply, rig.clock.now = taken_over(), rig.clock.now + 1
    new = await rig.keys.find("a", ALG, besides=old)
    assert new[0].thumbprint != old[0].thumbprint
    assert rig.calls == 3


async def test_a_forgery_under_a_known_kid_is_not_remembered_against_the_kid_once_it_is_withdrawn() -> None:
    rig = await started(caching=FORGED)
    old = await rig.keys.find("a", ALG)
    with pytest.raises(TokenError):
        await rig.keys.find("a", ALG, besides=old)
    rig.fetch.reply = key_set("b")
    await rig.keys.reload()
    rig.fetch.reply = key_set("a", "b")
    assert await rig.outcome("a") is None


async def test_a_kid_that_was_missed_and_has_come_may_be_taken_over_at_once() -> None:
    rig = await started(caching=FORGED)
    assert await attempt_for(rig, "c")
    rig.fetch.reply = FetchResponse(200, {}, json.dumps({"keys": [{**jwk("b"), "kid": "c"}]}).encode())
    await rig.keys.reload()
    old = await rig.keys.find("c", ALG)
    rig.fetch.reply = key_set("c")
    new = await rig.keys.find("c", ALG, besides=old)
    assert new[0].thumbprint != old[0].thumbprint


async def test_a_trickle_of_forgeries_keeps_that_key_out_no_longer_than_the_limit_on_fetches_does() -> None:
    rig = await started(caching=FORGED)
    old = await rig.keys.find("a", ALG)
    for _ in range(300):
        with pytest.raises(TokenError):
            await rig.keys.find("a", ALG, besides=old)
        rig.clock.now += 2
    assert rig.calls <= 1 + 2 + 600 / 30
    rig.fetch.reply, published, found = taken_over(), rig.clock.now, old
    while found == old:
        rig.clock.now += 1
        with suppress(TokenError):
            found = await rig.keys.find("a", ALG, besides=old)
    assert rig.clock.now - published <= 30


# Rotation


async def test_a_new_key_is_taken_in_the_request_that_brings_it() -> None:
    rig = await started()
    rig.fetch.reply = key_set("a", "b")
    assert await rig.outcome("b") is None
    assert rig.calls == 2


async def test_a_removed_key_is_refused_right_after_the_fetch_that_did_not_bring_it() -> None:
    rig = await started()
    rig.fetch.reply, rig.clock.now = key_set("b"), rig.clock.now + AGEING
    assert await rig.outcome("a") is None
    await rig.settle(2)
    assert rig.keys.lookup("a", ALG) is None
    assert await rig.outcome("a") is UNKNOWN


async def test_a_key_of_the_same_name_is_replaced() -> None:
    rig = await started()
    old = (await rig.keys.find("a", ALG))[0]
    replaced = {**jwk("b"), "kid": "a"}
    rig.fetch.reply = FetchResponse(200, {}, json.dumps({"keys": [replaced]}).encode())
    rig.clock.now += STALE
    assert (await rig.keys.find("a", ALG))[0].thumbprint != old.thumbprint


async def test_one_bad_key_does_not_spoil_the_others() -> None:
    raw = json.dumps({"keys": [{"kty": "EC", "crv": "P-192"}, None, jwk("a")]}).encode()
    rig = make_rig(FetchResponse(200, {}, raw))
    assert await rig.outcome("a") is None


async def held_refresh(rig: Rig) -> asyncio.Event:
    """Let a known key start a refresh that hangs."""
    rig.clock.now += AGEING
    gate = rig.fetch.gate = asyncio.Event()
    assert await rig.outcome("a") is None
    await rig.settle(rig.calls)
    return gate


async def test_a_request_that_joined_an_earlier_fetch_looks_once_more() -> None:
    rig = await started()
    rig.fetch.first = [key_set("a")]
    rig.fetch.reply = key_set("a", "b")
    gate = await held_refresh(rig)
    rig.clock.now += 1
    request = asyncio.create_task(rig.outcome("b"))
    await asyncio.sleep(0)
    assert rig.calls == 2, "it joins the fetch under way"
    gate.set()
    assert await request is None
    assert rig.calls == 3


async def test_a_request_that_joined_a_fetch_of_its_own_moment_does_not_look_again() -> None:
    rig = await started()
    gate = await held_refresh(rig)
    request = asyncio.create_task(rig.outcome("b"))
    await asyncio.sleep(0)
    gate.set()
    assert await request is UNKNOWN
    assert rig.calls == 2


async def test_a_request_that_joined_an_earlier_fetch_that_failed_does_not_look_again() -> None:
    rig = await started()
    rig.fetch.reply = DOWN
    gate = await held_refresh(rig)
    rig.clock.now += 1
    request = asyncio.create_task(rig.outcome("b"))
    await asyncio.sleep(0)
    gate.set()
    assert await request is UNKNOWN
    assert rig.calls == 2


async def test_looking_once_more_counts_against_the_limit() -> None:
    rig = await started(caching=LONG)
    assert [await attempt_for(rig, kid) for kid in ("x", "y")] == [True, True]
    rig.clock.now += 8e6
    assert [await attempt_for(rig, kid) for kid in ("p", "q", "r")] == [True, True, False]
    rig.clock.now += 8e6
    assert await attempt_for(rig, "z")
    gate = await held_refresh(rig)
    rig.clock.now += 1
    requests = [asyncio.create_task(rig.outcome(f"kid-{number}")) for number in range(3)]
    await asyncio.sleep(0)
    before = rig.calls
    gate.set()
    assert await asyncio.gather(*requests) == [UNKNOWN] * 3
    assert rig.calls == before + 1, "all of them share the second look"


# Validators, and how long a set is fresh


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        ({"etag": '"v1"'}, {"if-none-match": '"v1"'}),
        ({"etag": 'W/"v1"'}, {"if-none-match": 'W/"v1"'}),
        ({"last_modified": "Sun, 06 Nov 1994 08:49:37 GMT"}, {"if-modified-since": "Sun, 06 Nov 1994 08:49:37 GMT"}),
        ({"etag": '"v1"', "last_modified": "Sun, 06 Nov 1994 08:49:37 GMT"}, {"if-none-match": '"v1"'}),
        ({}, {}),
    ],
    ids=["ETag", "weak ETag", "Last-Modified", "both", "none"],
)
async def test_a_refresh_asks_whether_the_set_has_changed(sent: dict[str, str], asked: dict[str, str]) -> None:
    rig = make_rig(key_set("a", **sent))
    await rig.outcome("a")
    rig.clock.now += STALE
    await rig.outcome("a")
    headers = rig.fetch.calls[1].headers
    assert {name: value for name, value in headers.items() if name.startswith("if-")} == asked


async def test_after_a_failure_the_whole_set_is_asked_for_until_it_came() -> None:
    rig = make_rig(key_set("a", etag='"v1"'))
    await rig.outcome("a")
    for reply in (DOWN, DOWN, key_set("a", etag='"v2"'), status(304)):
        rig.fetch.reply, rig.clock.now = reply, rig.clock.now + STALE
        await rig.outcome("a")
        await rig.settle(rig.calls)
    asked = [call.headers.get("if-none-match") for call in rig.fetch.calls]
    assert asked == [None, '"v1"', None, None, '"v2"']


@pytest.mark.parametrize("validator", ["etag", "last_modified"])
async def test_not_modified_keeps_the_keys_and_moves_the_times(validator: str) -> None:
    rig = make_rig(key_set("a", **{validator: "v1"}))
    first = await rig.keys.find("a", ALG)
    rig.fetch.reply = status(304)
    for calls in (2, 3, 4):
        rig.clock.now += STALE
        assert (await rig.keys.find("a", ALG))[0] is first[0]
        found = rig.keys.lookup("a", ALG)
        assert found is not None
        assert found[0] is first[0]
        assert rig.calls == calls
    headers = rig.fetch.calls[3].headers
    assert "v1" in {headers.get("if-none-match"), headers.get("if-modified-since")}


async def test_not_modified_may_change_how_long_the_set_is_fresh_and_else_does_not() -> None:
    rig = make_rig(key_set("a", etag='"v1"', cache_control="max-age=1000"))
    await rig.outcome("a")
    for reply, soft in ((status(304), 800.0), (status(304, cache_control="max-age=2000"), 1600.0), (status(304), 1600)):
        rig.fetch.reply, rig.clock.now = reply, rig.clock.now + 5000
        await rig.outcome("a")
        assert fresh_for(rig) == pytest.approx(soft, abs=0.2)


async def test_the_same_body_again_keeps_the_key_objects_and_takes_the_new_validator() -> None:
    rig = make_rig(key_set("a", etag='"v1"'))
    first = await rig.keys.find("a", ALG)
    rig.fetch.reply, rig.clock.now = key_set("a", etag='"v2"'), rig.clock.now + STALE
    assert (await rig.keys.find("a", ALG))[0] is first[0]
    rig.clock.now += STALE
    assert (await rig.keys.find("a", ALG))[0] is first[0]
    assert [call.headers.get("if-none-match") for call in rig.fetch.calls] == [None, '"v1"', '"v2"']


async def test_validators_are_sent_to_the_url_that_they_came_from_alone() -> None:
    oauth, _ = metadata_urls(ISSUER)
    moved = "https://keys.elsewhere.test/"
    rig = make_rig(status(404), jwks_uri=None, by_url={oauth: metadata(), JWKS_URI: key_set("a", "b", etag='"1"')})
    await rig.outcome("a")
    rig.fetch.by_url = {oauth: metadata(moved), moved: key_set("b", etag='"1"')}
    rig.clock.now += STALE
    assert await rig.outcome("a") is None, "404: the old set serves on"
    rig.clock.now += 1
    assert await rig.outcome("b") is None
    await rig.settle(rig.calls)
    rig.clock.now += STALE
    assert await rig.outcome("b") is None
    asked = [(call.url, call.headers.get("if-none-match")) for call in rig.fetch.calls if call.url != oauth]
    assert asked == [(JWKS_URI, None), (JWKS_URI, '"1"'), (moved, None), (moved, '"1"')]
    assert await rig.outcome("a") is UNKNOWN


def fresh_for(rig: Rig) -> float:
    """For how many seconds nothing is to be fetched, to a tenth."""
    low, high = 0.0, 1e6
    began = rig.clock.now
    while high - low > 0.1:
        middle = (low + high) / 2
        rig.clock.now = began + middle
        low, high = (middle, high) if is_fresh(rig.keys) else (low, middle)
    rig.clock.now = began
    return low


@pytest.mark.parametrize(
    ("headers", "ttl"),
    [
        ({}, 600),
        ({"cache_control": "max-age=1000"}, 1000),
        ({"cache_control": 'public, MAX-AGE="1000", immutable'}, 1000),
        ({"cache_control": "max-age=1000", "age": "200"}, 800),
        ({"cache_control": "max-age=1000", "age": "900"}, 300),
        ({"cache_control": "max-age=1000", "age": "5000"}, 300),
        ({"cache_control": "max-age=1000", "age": "junk"}, 1000),
        ({"cache_control": "max-age=0"}, 300),
        ({"cache_control": "max-age=10"}, 300),
        ({"cache_control": "max-age=21600"}, 3600),
        ({"cache_control": "max-age=9999999999"}, 3600),
        ({"cache_control": f"max-age={10**40}"}, 3600),
        ({"cache_control": "max-age=-1"}, 600),
        ({"cache_control": "max-age=1e30"}, 600),
        ({"cache_control": "max-age=junk"}, 600),
        ({"cache_control": "s-maxage=1000"}, 600),
        ({"cache_control": "no-store"}, 300),
        ({"cache_control": "no-cache, max-age=3000"}, 300),
        ({"cache_control": "private, must-revalidate"}, 600),
        ({"expires": "Thu, 01 Jan 1970 00:00:00 GMT"}, 600),
    ],
)
async def test_the_issuer_says_how_long_its_set_is_fresh_within_bounds(headers: dict[str, str], ttl: float) -> None:
    rig = make_rig(key_set("a", **headers))
    await rig.outcome("a")
    assert fresh_for(rig) == pytest.approx(0.8 * ttl, abs=0.2)


@pytest.mark.parametrize(("jitter", "share"), [(0.0, 0.75), (0.5, 0.8), (1.0, 0.85)])
async def test_the_refresh_comes_earlier_or_later_by_chance(jitter: float, share: float) -> None:
    fetch, clock = ScriptedFetch(key_set("a")), FakeClock()
    keys = RemoteKeys(ISSUER, jwks_uri=JWKS_URI, fetch=fetch, caching=KeyCaching(), clock=clock, jitter=lambda: jitter)
    await keys.find("a", ALG)
    assert fresh_for(Rig(keys, fetch, clock)) == pytest.approx(600 * share, abs=0.2)


async def test_a_clock_and_a_jitter_come_with_it() -> None:
    keys = RemoteKeys(ISSUER, jwks_uri=JWKS_URI, fetch=ScriptedFetch(key_set("a")), caching=KeyCaching())
    assert await keys.find("a", ALG)
    assert keys.lookup("a", ALG)


# Discovery


def discovering(rig: Rig) -> int:
    """How often the metadata was asked for."""
    return sum(".well-known" in url for url in rig.fetch.urls)


async def discovered() -> Rig:
    oauth, _ = metadata_urls(ISSUER)
    rig = make_rig(jwks_uri=None, by_url={oauth: metadata()})
    assert await rig.outcome("a") is None
    assert rig.fetch.urls == [oauth, JWKS_URI]
    return rig


async def test_the_metadata_is_read_once_a_day() -> None:
    rig = await discovered()
    for _ in range(23):
        rig.clock.now += 3600
        assert await rig.outcome("a") is None
    rig.clock.now += 3599
    assert await rig.outcome("a") is None
    assert discovering(rig) == 1
    rig.clock.now += 601
    assert await rig.outcome("a") is None
    assert discovering(rig) == 2


async def test_an_unknown_kid_never_reads_the_metadata() -> None:
    rig = await discovered()
    for number in range(20):
        await rig.outcome(f"kid-{number}")
        rig.clock.now += 20
    assert rig.calls > 5
    assert discovering(rig) == 1


async def test_the_metadata_is_read_again_after_three_failures() -> None:
    rig = await discovered()
    rig.fetch.reply, rig.clock.now = DOWN, rig.clock.now + STALE
    for expected in (1, 1, 1, 2, 3):
        assert await rig.outcome("a") is None
        await rig.settle(rig.calls)
        assert discovering(rig) == expected
        rig.clock.now += 30


@pytest.mark.parametrize("code", [404, 410])
async def test_the_metadata_is_read_again_once_the_key_set_is_gone(code: int) -> None:
    rig = await discovered()
    oauth, _ = metadata_urls(ISSUER)
    rig.fetch.reply, rig.clock.now = status(code), rig.clock.now + STALE
    assert await rig.outcome("a") is None
    moved = "https://keys.elsewhere.test/"
    rig.fetch.by_url, rig.clock.now = {oauth: metadata(moved), moved: key_set("b")}, rig.clock.now + 1
    assert await rig.outcome("b") is None
    assert rig.fetch.urls[-2:] == [oauth, moved]


async def test_a_failed_discovery_is_told_as_such_and_backed_off_from() -> None:
    rig = make_rig(status(404), jwks_uri=None)
    error = await rig.refusal()
    assert error.reason is Reason.DISCOVERY_FAILED
    assert all(url in error.detail for url in metadata_urls(ISSUER))
    assert rig.calls == 2
    assert (await rig.refusal()).reason is Reason.DISCOVERY_FAILED
    assert rig.calls == 2


async def test_an_issuer_that_hangs_while_it_is_discovered_is_named() -> None:
    rig = make_rig(jwks_uri=None, caching=KeyCaching(timeout=0.1))
    rig.fetch.gate = asyncio.Event()
    await rig.refusal()
    await rig.settle(1)
    assert ISSUER in (await rig.refusal()).detail


async def test_a_key_set_at_a_fixed_url_that_is_gone_is_asked_for_there_again() -> None:
    rig = make_rig(status(410))
    await rig.outcome("a")
    rig.fetch.reply, rig.clock.now = key_set("a"), rig.clock.now + 1
    assert await rig.outcome("a") is None
    assert rig.fetch.urls == [JWKS_URI] * 2


# One flight at a time


@pytest.mark.parametrize("age", [None, STALE, EXPIRED], ids=["EMPTY", "STALE", "EXPIRED"])
@pytest.mark.parametrize("kid", ["a", "b"])
async def test_a_hundred_callers_share_one_fetch(age: float | None, kid: str) -> None:
    rig = make_rig() if age is None else await started()
    rig.clock.now += age or 0.0
    rig.fetch.reply, before = key_set("a", "b"), rig.calls
    gate = rig.fetch.gate = asyncio.Event()
    callers = [asyncio.create_task(rig.outcome(kid)) for _ in range(100)]
    await rig.settle(before + 1)
    gate.set()
    assert await asyncio.gather(*callers) == [None] * 100
    assert rig.calls == before + 1


async def test_a_hundred_callers_share_one_failure() -> None:
    rig = make_rig(DOWN)
    assert await asyncio.gather(*(rig.outcome("a") for _ in range(100))) == [UNAVAILABLE] * 100
    assert rig.calls == 1


@pytest.mark.parametrize(
    "cancelled", [(0,), (1,), (2,), (0, 1), (0, 1, 2)], ids=["first", "middle", "last", "two", "all"]
)
async def test_a_caller_that_gives_up_stops_no_other(cancelled: tuple[int, ...]) -> None:
    rig = make_rig()
    gate = rig.fetch.gate = asyncio.Event()
    callers = [asyncio.create_task(rig.outcome("a")) for _ in range(3)]
    await rig.settle(1)
    for number in cancelled:
        callers[number].cancel()
    await asyncio.sleep(0)
    gate.set()
    results = await asyncio.gather(*callers, return_exceptions=True)
    for number, result in enumerate(results):
        assert isinstance(result, asyncio.CancelledError) if number in cancelled else result is None
    await rig.settle(1)
    assert rig.keys.lookup("a", ALG), "the fetch went on, whoever was left"
    assert rig.calls == 1


async def test_a_caller_that_is_cancelled_before_the_fetch_begins_does_not_stop_it() -> None:
    rig = make_rig()
    caller = asyncio.create_task(rig.outcome("a"))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    await rig.settle(1)
    assert rig.keys.lookup("a", ALG)


REQUEST: ContextVar[str] = ContextVar("REQUEST")


async def test_nothing_of_a_request_is_seen_by_the_fetch_that_others_share() -> None:
    seen: list[str | None] = []

    async def reply() -> FetchResponse:
        seen.append(REQUEST.get(None))
        return key_set("a")

    rig = make_rig(reply)
    REQUEST.set("of a user")
    assert await rig.outcome("a") is None
    assert seen == [None]
    assert REQUEST.get() == "of a user"


WAITERS = 100


@pytest.fixture
def few_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let so many wait and no more; in truth it is 4096."""
    monkeypatch.setattr(remote, "MAX_WAITERS", WAITERS)


@pytest.mark.usefixtures("few_places")
async def test_so_many_may_wait_and_the_next_is_told_to_come_again() -> None:
    rig = make_rig()
    gate = rig.fetch.gate = asyncio.Event()
    callers = [asyncio.create_task(rig.outcome("a")) for _ in range(WAITERS)]
    await rig.settle(1)
    error = await rig.refusal()
    assert (error.reason, error.issuer) == (Reason.KEYS_BUSY, ISSUER)
    assert rig.keys.status().counters["unavailable"] == 1
    with pytest.raises(KeysUnavailable) as caught:
        await rig.keys.reload()
    assert caught.value.reason is Reason.KEYS_BUSY
    gate.set()
    assert set(await asyncio.gather(*callers)) == {None}
    assert await rig.outcome("a") is None, "the places are free again"
    assert rig.calls == 1


async def test_the_4096th_may_still_wait() -> None:
    rig = make_rig()
    gate = rig.fetch.gate = asyncio.Event()
    rig.keys._waiters = 4095
    last = asyncio.create_task(rig.outcome("a"))
    await rig.settle(1)
    assert await at_once(rig.outcome("a")) is Reason.KEYS_BUSY
    gate.set()
    assert await last is None


@pytest.mark.usefixtures("few_places")
async def test_a_start_waits_whatever_crowd_does() -> None:
    rig = make_rig()
    gate = rig.fetch.gate = asyncio.Event()
    callers = [asyncio.create_task(rig.outcome("a")) for _ in range(WAITERS)]
    await rig.settle(1)
    start = asyncio.create_task(rig.keys.ready(seconds=5, retry=False))
    await asyncio.sleep(0)
    gate.set()
    assert await start is None
    assert set(await asyncio.gather(*callers)) == {None}


@pytest.mark.usefixtures("few_places")
async def test_a_crowd_that_waits_for_unknown_kids_keeps_no_known_key_from_serving() -> None:
    rig = await started()
    rig.clock.now += STALE
    gate = rig.fetch.gate = asyncio.Event()
    callers = [asyncio.create_task(rig.outcome(f"kid-{number}")) for number in range(WAITERS)]
    await rig.settle(2)
    known = asyncio.create_task(rig.outcome("a"))
    assert await rig.outcome("one too many") is Reason.KEYS_BUSY
    gate.set()
    assert await known is None
    assert set(await asyncio.gather(*callers)) == {UNKNOWN}


@pytest.mark.usefixtures("few_places")
async def test_of_a_crowd_with_a_known_key_those_who_find_no_place_are_served_at_once() -> None:
    rig = await started(caching=KeyCaching(stale_wait=60))
    rig.clock.now += STALE
    gate = rig.fetch.gate = asyncio.Event()
    callers = [asyncio.create_task(rig.outcome("a")) for _ in range(WAITERS + 5)]
    await rig.settle(2)
    assert [caller.done() for caller in callers] == [False] * WAITERS + [True] * 5
    assert await at_once(rig.outcome("a")) is None
    gate.set()
    assert set(await asyncio.gather(*callers)) == {None}
    told = rig.keys.status()
    assert (rig.calls, told.counters["unavailable"], told.counters["served_stale"]) == (2, 0, 6)


@pytest.mark.usefixtures("few_places")
async def test_once_a_crowd_was_too_large_a_known_key_takes_no_place_that_is_free_again() -> None:
    rig = await started(caching=KeyCaching(stale_wait=60))
    rig.clock.now += STALE
    gate = rig.fetch.gate = asyncio.Event()
    callers = [asyncio.create_task(rig.outcome("a")) for _ in range(WAITERS)]
    await rig.settle(2)
    assert await at_once(rig.outcome("a")) is None
    callers[0].cancel()
    await asyncio.wait(callers[:1])
    assert await at_once(rig.outcome("a")) is None
    gate.set()
    assert set(await asyncio.gather(*callers[1:])) == {None}
    assert rig.calls == 2


# A start


async def test_an_expired_set_is_no_set_to_start_with() -> None:
    rig = await started()
    rig.fetch.reply, rig.clock.now = DOWN, rig.clock.now + EXPIRED
    error = await rig.keys.ready(seconds=5, retry=False)
    assert error is not None
    assert (error.reason, rig.calls) == (TOO_OLD, 2)
    rig.fetch.reply, rig.clock.now = key_set("a"), rig.clock.now + 1
    assert await rig.keys.ready(seconds=5, retry=False) is None


@pytest.fixture
def no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a start have all its time, to the last moment."""
    monkeypatch.setattr(remote, "time", SimpleNamespace(monotonic=lambda: 7.0))


@pytest.mark.usefixtures("no_time_passes")
@pytest.mark.parametrize("retry", [False, True])
async def test_a_start_without_any_time_begins_no_fetch_and_waits_for_none(*, retry: bool) -> None:
    rig = make_rig()
    assert await rig.keys.ready(seconds=0, retry=retry) is not None
    await rig.settle(0)
    assert rig.calls == 0
    gate = rig.fetch.gate = asyncio.Event()
    rig.keys.refresh_if_due()
    await rig.settle(1)
    assert await at_once(rig.keys.ready(seconds=0, retry=retry)) is not None
    gate.set()
    await rig.settle(1)
    assert rig.calls == 1


@pytest.mark.usefixtures("no_time_passes")
async def test_a_start_waits_also_where_it_has_but_a_second() -> None:
    assert await make_rig().keys.ready(seconds=1, retry=False) is None


@pytest.mark.usefixtures("no_time_passes")
async def test_a_start_waits_for_no_attempt_that_comes_when_its_time_is_over() -> None:
    rig = make_rig(DOWN)
    error = await at_once(rig.keys.ready(seconds=0.75, retry=True))
    assert error is not None
    assert (error.reason, rig.calls) == (UNAVAILABLE, 1)


# On trio, where each attempt is a thread


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let so many attempts be under way on trio and no more; in truth it is 256."""
    monkeypatch.setattr(flight, "MAX_THREADS", 2)


def held(let_go: threading.Event) -> Callable[[], Awaitable[FetchResponse]]:
    """An answer that comes once it is let go, in whichever thread."""

    async def answer() -> FetchResponse:
        while not let_go.is_set():
            await asyncio.sleep(0.001)
        return key_set("a")

    return answer


@pytest.mark.usefixtures("two_threads")
def test_beyond_so_many_threads_an_attempt_fails_as_any_other() -> None:
    let_go = threading.Event()
    hanging, rig = [make_rig(held(let_go)) for _ in range(2)], make_rig()

    async def story() -> None:
        for one in hanging:
            one.keys.refresh_if_due()
        error = await rig.refusal()
        assert (error.reason, error.retry_after) == (UNAVAILABLE, 1.0)
        assert error.detail == "no thread could be started for the attempt"
        for _ in range(3):
            assert await rig.outcome("a") is UNAVAILABLE
        told = rig.keys.status()
        assert (told.failures, told.retry_in, rig.calls) == (1, 0.75, 0)
        assert (told.counters["fetches"], told.counters["failures"]) == (1, 1), "it is backed off from"
        let_go.set()
        assert [await one.outcome("a") for one in hanging] == [None] * 2
        rig.clock.now += 0.75
        threads_have_ended()
        assert await rig.outcome("a") is None
        assert rig.keys.status().failures == 0

    trio.run(story)
    threads_have_ended()


@pytest.mark.usefixtures("two_threads")
def test_a_known_key_serves_on_where_no_thread_is_left_for_its_refresh() -> None:
    let_go = threading.Event()
    rig, hanging = make_rig(), [make_rig(held(let_go)) for _ in range(2)]

    async def story() -> None:
        assert await rig.outcome("a") is None
        threads_have_ended()
        for one in hanging:
            one.keys.refresh_if_due()
        for age in (AGEING, STALE):
            rig.clock.now += age
            found = rig.keys.lookup("a", ALG)
            assert bool(found) is (age == AGEING)
            assert await rig.outcome("a") is None
        with pytest.raises(KeysUnavailable):
            await rig.keys.reload()
        assert rig.calls == 1
        let_go.set()

    trio.run(story)
    threads_have_ended()


def test_nobody_waits_for_those_who_are_told_of_a_fetch() -> None:
    let_go = threading.Event()
    told: list[KeyEventKind] = []

    def hook(event: KeyEvent) -> None:
        let_go.wait(3)
        told.append(event.kind)

    rig = make_rig(notify=hook)

    async def story() -> None:
        assert await rig.outcome("a") is None
        assert told == []
        let_go.set()

    trio.run(story)
    threads_have_ended()
    assert told == [KeyEventKind.FETCHED, KeyEventKind.KEYS_CHANGED]


def threads_have_ended() -> None:
    for thread in threading.enumerate():
        if thread.name == "jwt-asgi keys":
            thread.join(5)
            assert not thread.is_alive()


# Event loops, closing


async def test_closing_ends_a_fetch_under_way_and_its_waiters_begin_another() -> None:
    rig = make_rig()
    rig.fetch.gate = asyncio.Event()
    caller = asyncio.create_task(rig.outcome("a"))
    await rig.settle(1)
    await rig.keys.aclose()
    rig.fetch.gate = None
    assert await caller is None
    assert rig.calls == 2


async def test_once_closed_no_fetch_is_under_way() -> None:
    ended = asyncio.Event()

    async def reply() -> FetchResponse:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()
        raise AssertionError("it waits for ever")

    rig = make_rig(reply)
    caller = asyncio.create_task(rig.outcome("a"))
    await rig.settle(1)
    caller.cancel()
    await rig.keys.aclose()
    assert ended.is_set()


async def test_closing_before_the_fetch_has_begun_leaves_nobody_waiting() -> None:
    rig = make_rig()
    caller = asyncio.create_task(rig.outcome("a"))
    await asyncio.sleep(0)
    await rig.keys.aclose()
    async with asyncio.timeout(2):
        assert await caller is None
    assert rig.calls == 1


async def test_a_request_that_was_closed_upon_twice_is_refused_and_counts_no_failure() -> None:
    rig = make_rig()
    rig.fetch.gate = asyncio.Event()
    caller = asyncio.create_task(rig.refusal())
    for calls in (1, 2):
        await rig.settle(calls)
        await rig.keys.aclose()
    error = await caller
    assert (error.reason, rig.calls) == (UNAVAILABLE, 2)
    rig.fetch.gate = None
    assert await rig.outcome("a") is None, "there is nothing to back off from"


async def test_a_request_for_a_new_key_that_was_closed_upon_twice_may_come_again_where_the_set_is_stale() -> None:
    rig = await started()
    rig.clock.now += STALE
    rig.fetch.gate = asyncio.Event()
    request = asyncio.create_task(rig.outcome("b"))
    for calls in (2, 3):
        await rig.settle(calls)
        await rig.keys.aclose()
    assert await request is UNAVAILABLE, "not unknown, since nobody could tell"
    assert rig.calls == 3


async def test_closing_keeps_the_set_and_may_be_done_at_any_time() -> None:
    rig = make_rig()
    await rig.keys.aclose()
    assert await rig.outcome("a") is None
    await rig.keys.aclose()
    await rig.keys.aclose()
    assert rig.keys.lookup("a", ALG)
    rig.clock.now += STALE
    assert await rig.outcome("a") is None
    assert rig.calls == 2


def asyncio_run(main: Any) -> Any:
    return asyncio.run(main)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Run to the end on a new event loop."""
    if request.param == "asyncio":
        return asyncio_run
    runner: Callable[[Any], Any] = installed("uvloop", "uvloop").run
    return runner


def test_an_event_loop_that_ends_in_the_midst_of_a_fetch_leaves_the_next_one_free(run: Callable[[Any], Any]) -> None:
    rig = make_rig()

    async def leave() -> None:
        rig.fetch.gate = asyncio.Event()
        callers = [asyncio.create_task(rig.outcome("a")) for _ in range(3)]
        await rig.settle(1)
        assert not any(caller.done() for caller in callers)

    run(leave())
    rig.fetch.gate = None
    assert run(rig.outcome("a")) is None
    assert rig.calls == 2


def test_an_event_loop_that_ends_before_the_fetch_has_begun_leaves_the_next_one_free(run: Callable[[Any], Any]) -> None:
    rig = make_rig()

    async def leave() -> None:
        caller = asyncio.create_task(rig.outcome("a"))
        await asyncio.sleep(0)
        assert not caller.done()

    run(leave())
    assert run(rig.outcome("a")) is None
    assert rig.calls <= 2, "one that uvloop may begin just then, and the next one"


def test_the_set_serves_from_one_event_loop_to_the_next(run: Callable[[Any], Any]) -> None:
    rig = make_rig()
    for _ in range(3):
        assert run(rig.outcome("a")) is None
        run(rig.keys.aclose())
    assert rig.calls == 1


def test_a_fetch_that_died_with_its_closed_loop_is_taken_over() -> None:
    rig = make_rig()
    complaints: list[object] = []
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))

    async def leave() -> None:
        rig.fetch.gate = asyncio.Event()
        task = asyncio.create_task(rig.outcome("a"))
        await rig.settle(1)
        task.cancel()

    loop.run_until_complete(leave())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    rig.fetch.gate = None
    assert asyncio.run(rig.outcome("a")) is None
    assert rig.calls == 2


def test_a_fetch_on_a_loop_that_stands_still_is_taken_over_after_its_time() -> None:
    rig = make_rig(caching=KeyCaching(timeout=0.1))
    loop = asyncio.new_event_loop()
    gate = asyncio.Event()

    async def leave() -> None:
        rig.fetch.gate = gate
        await asyncio.wait([asyncio.create_task(rig.outcome("a"))], timeout=0.01)

    async def end() -> None:
        gate.set()
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})

    loop.run_until_complete(leave())
    rig.fetch.gate = None
    assert asyncio.run(rig.outcome("a")) is UNAVAILABLE, "it waits for the fetch under way, in vain"
    asyncio.run(rig.keys.aclose())
    assert rig.calls == 1
    rig.clock.now += 1.2
    assert asyncio.run(rig.outcome("a")) is None
    assert rig.calls == 2
    loop.run_until_complete(end())
    loop.close()
    assert rig.keys.lookup("a", ALG)


@pytest.mark.parametrize("late", [key_set("a", "withdrawn"), DOWN], ids=["an older set", "a failure"])
async def test_what_a_fetch_brings_after_it_was_taken_over_is_dropped(late: FetchResponse) -> None:
    rig = make_rig(key_set("a"), caching=KeyCaching(timeout=0.05))
    let_go = asyncio.Event()
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))

    rig.fetch.first = [stubborn(let_go, late)]
    assert await rig.outcome("a") is UNAVAILABLE
    rig.clock.now += 1.1
    assert await rig.outcome("a") is None
    let_go.set()
    await asyncio.sleep(0.01)
    assert rig.keys.lookup("withdrawn", ALG) is None
    assert rig.keys.lookup("a", ALG)
    rig.clock.now += STALE
    assert await rig.outcome("a") is None
    assert rig.calls == 3, "and it was no failure to back off from"
    gc.collect()
    assert complaints == []


def test_threads_with_loops_of_their_own_share_one_fetch() -> None:
    rig = make_rig()
    let_go, arrived = threading.Event(), threading.Barrier(8)
    outcomes: list[Reason | None] = []

    async def reply() -> FetchResponse:
        while not let_go.is_set():
            await asyncio.sleep(0.001)
        return key_set("a")

    async def ask() -> None:
        arrived.wait(5)
        outcomes.append(await rig.outcome("a"))

    rig.fetch.reply = reply
    threads = [threading.Thread(target=lambda: asyncio.run(ask())) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    let_go.set()
    for thread in threads:
        thread.join(5)
    assert outcomes == [None] * 8
    assert rig.calls == 1


async def test_a_loop_that_starts_tasks_eagerly_does_not_start_the_fetch_within_the_lock() -> None:
    factory = getattr(asyncio, "eager_task_factory", None)
    if factory is None:
        pytest.skip("Python 3.12 brings eager tasks")
    loop = asyncio.get_running_loop()
    loop.set_task_factory(factory)
    try:
        rig = make_rig()
        assert await asyncio.gather(*(rig.outcome("a") for _ in range(10))) == [None] * 10
        assert rig.calls == 1
    finally:
        loop.set_task_factory(None)


# A fork


async def test_a_child_process_keeps_the_set_and_refreshes_it_at_a_moment_of_its_own() -> None:
    fetch, clock, moments = ScriptedFetch(key_set("a")), FakeClock(), iter([0.0, 1.0])
    keys = RemoteKeys(
        ISSUER, jwks_uri=JWKS_URI, fetch=fetch, caching=KeyCaching(), clock=clock, jitter=lambda: next(moments)
    )
    await keys.find("a", ALG)
    assert keys.status().refresh_in == pytest.approx(450)
    keys.after_fork()
    told = keys.status()
    assert told.refresh_in == pytest.approx(510)
    assert (told.state, told.counters["fetches"]) == (State.FRESH, 0)
    assert keys.lookup("a", ALG)


async def test_a_child_process_waits_for_no_fetch_of_its_parent() -> None:
    rig = make_rig()
    gate = rig.fetch.gate = asyncio.Event()
    parent = asyncio.create_task(rig.outcome("a"))
    await rig.settle(1)
    rig.keys.after_fork()
    rig.fetch.gate = None
    assert await at_once(rig.outcome("a")) is None
    assert rig.calls == 2
    gate.set()
    assert await parent is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # since Python 3.12; the child ends at once
def test_the_keys_are_told_of_a_fork() -> None:
    rig = make_rig()
    assert asyncio.run(rig.outcome("a")) is None
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, b"%d" % rig.keys.status().counters["fetches"])
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.write(writing, b".")
    assert os.read(reading, 9) == b"0."
    os.close(reading)
    os.close(writing)
