"""(snapshot times, wanted kid, now) -> Use | Fetch | Refuse: the key cache as a table."""

from __future__ import annotations

import time
from dataclasses import fields
from itertools import product
from typing import Any

import pytest

from jwt_asgi import ConfigurationError, KeyCaching
from jwt_asgi._core.freshness import (
    NEGATIVE_SECONDS,
    Bucket,
    Facts,
    State,
    Step,
    Times,
    backoff,
    decide,
    lifetime,
    retry_after,
    state_of,
)

# --- the table ------------------------------------------------------------------------------------------------------

FACTS = ("known", "waited", "failed", "flying", "backing_off", "missed_before", "may_fetch")

# Written from the table in the module's docstring and its rule for misses. The first row that fits counts; a fact that
# a row does not name does not matter to it.
TABLE: dict[State, list[tuple[dict[str, bool], Step]]] = {}
MISS_WHILE_YOUNG: list[tuple[dict[str, bool], Step]] = [
    ({"known": False, "waited": True}, Step.REFUSE_UNKNOWN),
    ({"known": False, "missed_before": True}, Step.REFUSE_UNKNOWN),
    ({"known": False, "flying": True}, Step.WAIT),
    ({"known": False, "backing_off": True}, Step.REFUSE_UNKNOWN),
    ({"known": False, "may_fetch": False}, Step.REFUSE_UNKNOWN),
    ({"known": False}, Step.WAIT),
]
NO_SET: list[tuple[dict[str, bool], Step]] = [
    ({"waited": True}, Step.REFUSE_UNAVAILABLE),
    ({"flying": True}, Step.WAIT),
    ({"backing_off": True}, Step.REFUSE_UNAVAILABLE),
    ({}, Step.WAIT),
]
TABLE[State.FRESH] = [({"known": True}, Step.USE), *MISS_WHILE_YOUNG]
TABLE[State.AGEING] = [
    ({"known": True, "backing_off": True}, Step.USE),
    ({"known": True}, Step.USE_AND_REFRESH),
    *MISS_WHILE_YOUNG,
]
TABLE[State.STALE] = [
    ({"known": True, "waited": True}, Step.USE),
    ({"known": True, "backing_off": True}, Step.USE),
    ({"known": True, "failed": True}, Step.USE_AND_REFRESH),
    ({"known": True}, Step.WAIT_BRIEFLY),
    ({"known": False, "waited": True, "failed": True}, Step.REFUSE_UNAVAILABLE),
    ({"known": False, "waited": True}, Step.REFUSE_UNKNOWN),
    ({"known": False, "missed_before": True}, Step.REFUSE_UNKNOWN),
    ({"known": False, "flying": True}, Step.WAIT),
    ({"known": False, "backing_off": True}, Step.REFUSE_UNAVAILABLE),
    ({"known": False, "may_fetch": False, "failed": True}, Step.REFUSE_UNAVAILABLE),
    ({"known": False, "may_fetch": False}, Step.REFUSE_UNKNOWN),
    ({"known": False}, Step.WAIT),
]
TABLE[State.EMPTY] = NO_SET
TABLE[State.EXPIRED] = NO_SET

EVERY_FACTS = [dict(zip(FACTS, values, strict=True)) for values in product((False, True), repeat=len(FACTS))]


def read(state: State, facts: dict[str, bool]) -> Step:
    return next(step for row, step in TABLE[state] if all(facts[name] is value for name, value in row.items()))


def test_the_table_names_every_fact() -> None:
    assert tuple(field.name for field in fields(Facts)) == FACTS
    assert len(EVERY_FACTS) == 128


@pytest.mark.parametrize("state", State)
def test_every_state_with_every_combination_of_facts_is_decided_as_the_table_says(state: State) -> None:
    for facts in EVERY_FACTS:
        assert decide(state, Facts(**facts)) is read(state, facts), facts


@pytest.mark.parametrize("state", State)
def test_every_row_of_the_table_counts_for_some_combination(state: State) -> None:
    first = {
        next(at for at, (row, _) in enumerate(TABLE[state]) if all(facts[name] is value for name, value in row.items()))
        for facts in EVERY_FACTS
    }
    assert first == set(range(len(TABLE[state])))


YOUNG = [State.FRESH, State.AGEING]
WITH_KEYS = [*YOUNG, State.STALE]
WITHOUT_KEYS = [State.EMPTY, State.EXPIRED]


@pytest.mark.parametrize("state", WITH_KEYS)
def test_a_failure_never_takes_a_known_key_away(state: State) -> None:
    for facts in EVERY_FACTS:
        if facts["known"]:
            assert decide(state, Facts(**facts)) in {Step.USE, Step.USE_AND_REFRESH, Step.WAIT_BRIEFLY}


@pytest.mark.parametrize("state", WITHOUT_KEYS)
def test_without_a_set_no_key_is_used_and_none_is_called_unknown(state: State) -> None:
    for facts in EVERY_FACTS:
        assert decide(state, Facts(**facts)) in {Step.WAIT, Step.REFUSE_UNAVAILABLE}


@pytest.mark.parametrize("state", State)
def test_no_request_waits_twice(state: State) -> None:
    for facts in EVERY_FACTS:
        if facts["waited"]:
            assert decide(state, Facts(**facts)) not in {Step.WAIT, Step.WAIT_BRIEFLY}


@pytest.mark.parametrize("state", State)
def test_no_fetch_is_started_while_backing_off(state: State) -> None:
    for facts in EVERY_FACTS:
        if facts["backing_off"] and not facts["flying"]:
            assert decide(state, Facts(**facts)) not in {Step.WAIT, Step.WAIT_BRIEFLY, Step.USE_AND_REFRESH}


@pytest.mark.parametrize("state", WITH_KEYS)
def test_no_fetch_is_started_for_an_unknown_kid_beyond_the_limit(state: State) -> None:
    for facts in EVERY_FACTS:
        if not facts["known"] and not facts["may_fetch"] and not facts["flying"]:
            assert decide(state, Facts(**facts)) in {Step.REFUSE_UNKNOWN, Step.REFUSE_UNAVAILABLE}


@pytest.mark.parametrize("state", WITH_KEYS)
def test_a_miss_of_before_never_hides_a_key_that_came_in_since(state: State) -> None:
    for facts in EVERY_FACTS:
        if facts["known"]:
            assert decide(state, Facts(**facts)) is decide(state, Facts(**(facts | {"missed_before": False})))


WAITING = {Step.WAIT, Step.WAIT_BRIEFLY}


@pytest.mark.parametrize("state", YOUNG)
def test_while_a_set_is_young_the_issuer_is_never_to_blame_and_no_known_key_waits(state: State) -> None:
    for facts in EVERY_FACTS:
        step = decide(state, Facts(**facts))
        assert step is not Step.REFUSE_UNAVAILABLE, facts
        assert not facts["known"] or step not in WAITING, facts


@pytest.mark.parametrize("state", State)
def test_a_key_that_is_not_there_is_never_used_and_a_known_one_is_never_called_unknown(state: State) -> None:
    for facts in EVERY_FACTS:
        step = decide(state, Facts(**facts))
        assert step not in ({Step.REFUSE_UNKNOWN} if facts["known"] else {Step.USE, Step.USE_AND_REFRESH}), facts


def test_once_an_attempt_has_failed_no_request_waits_for_a_stale_key() -> None:
    for facts in EVERY_FACTS:
        if facts["known"] and facts["failed"]:
            assert decide(State.STALE, Facts(**facts)) not in WAITING, facts


def test_a_stale_key_is_not_used_before_the_issuer_was_asked_or_an_attempt_has_failed() -> None:
    for facts in EVERY_FACTS:
        if not (facts["waited"] or facts["failed"] or facts["backing_off"]):
            assert decide(State.STALE, Facts(**facts)) not in {Step.USE, Step.USE_AND_REFRESH}, facts


@pytest.mark.parametrize("state", WITH_KEYS)
def test_a_kid_that_was_missed_just_now_joins_no_flight_and_starts_none(state: State) -> None:
    for facts in EVERY_FACTS:
        if not facts["known"] and facts["missed_before"]:
            assert decide(state, Facts(**facts)) not in WAITING, facts


@pytest.mark.parametrize("state", [State.AGEING, State.STALE, *WITHOUT_KEYS])
def test_the_limit_on_misses_never_keeps_a_refresh_back(state: State) -> None:
    for facts in EVERY_FACTS:
        if facts["known"] or state in WITHOUT_KEYS:
            assert decide(state, Facts(**facts)) is decide(state, Facts(**(facts | {"may_fetch": False}))), facts


@pytest.mark.parametrize("state", [State.STALE, *WITHOUT_KEYS])
def test_a_wait_in_vain_in_an_outage_is_never_the_tokens_fault(state: State) -> None:
    for facts in EVERY_FACTS:
        if facts["waited"] and facts["failed"]:
            assert decide(state, Facts(**facts)) is not Step.REFUSE_UNKNOWN, facts


def test_facts_are_a_request_that_knows_nothing_bad_unless_told() -> None:
    assert Facts(known=True) == Facts(
        known=True,
        waited=False,
        failed=False,
        flying=False,
        backing_off=False,
        missed_before=False,
        may_fetch=True,
    )


# --- the states -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "state"),
    [
        (-1e9, State.FRESH),
        (100.0, State.FRESH),
        (179.999, State.FRESH),
        (180.0, State.AGEING),
        (199.999, State.AGEING),
        (200.0, State.STALE),
        (299.999, State.STALE),
        (300.0, State.EXPIRED),
        (1e9, State.EXPIRED),
    ],
)
def test_a_set_is_fresh_then_ageing_then_stale_then_expired(now: float, state: State) -> None:
    assert state_of(Times(100.0, 180.0, 200.0, 300.0), now) is state


def test_no_set_is_empty() -> None:
    assert state_of(None, 0.0) is State.EMPTY


def test_a_set_that_may_not_serve_stale_expires_at_once() -> None:
    assert state_of(Times(100.0, 180.0, 200.0, 200.0), 200.0) is State.EXPIRED


# --- the limit on fetches -------------------------------------------------------------------------------------------


def test_two_fetches_may_be_made_at_once_and_then_one_each_30_seconds() -> None:
    bucket = Bucket(filled_at=1000.0)
    assert bucket.has_room(1000.0)
    bucket = bucket.taken(1000.0)
    assert bucket.has_room(1000.0)
    bucket = bucket.taken(1000.0)
    assert not bucket.has_room(1000.0)
    assert not bucket.has_room(1029.9)
    assert bucket.has_room(1030.0)
    bucket = bucket.taken(1030.0)
    assert not bucket.has_room(1059.9)
    assert bucket.has_room(1060.0)


def test_an_idle_bucket_never_holds_more_than_its_capacity() -> None:
    bucket = Bucket(filled_at=0.0).taken(1e6).taken(1e6)
    assert bucket.level == 0.0
    assert not bucket.has_room(1e6)


def test_a_clock_that_goes_back_neither_fills_nor_empties_it() -> None:
    bucket = Bucket(level=0.5, filled_at=1000.0)
    assert not bucket.has_room(0.0)
    assert Bucket(level=1.0, filled_at=1000.0).has_room(0.0)


def test_a_bucket_can_have_another_size() -> None:
    bucket = Bucket(capacity=1.0, refill=10.0, level=1.0, filled_at=0.0).taken(0.0)
    assert not bucket.has_room(9.9)
    assert bucket.has_room(10.0)


def test_taking_leaves_the_bucket_itself_alone() -> None:
    bucket = Bucket()
    assert bucket.taken(0.0) == Bucket(level=1.0)
    assert bucket == Bucket(capacity=2.0, refill=30.0, level=2.0, filled_at=0.0)


# --- how long -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failures", "longest"),
    [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 16.0), (6, 30.0), (7, 30.0), (1000, 30.0), (10**9, 30.0)],
)
def test_the_wait_doubles_with_each_failure_up_to_30_seconds(failures: int, longest: float) -> None:
    assert backoff(failures, 1.0) == longest
    assert backoff(failures, 0.0) == longest / 2
    assert backoff(failures, 0.5) == longest * 0.75


def test_the_longest_wait_can_be_another() -> None:
    assert backoff(100, 1.0, most=7.0) == 7.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param("0", 0.0, id="zero"),
        pytest.param("7", 7.0, id="seconds"),
        pytest.param("1000000000", 1e9, id="a billion, which the caller bounds"),
        pytest.param("9" * 30, 1e18, id="thirty digits, likewise"),
        pytest.param("", 0.0, id="empty"),
        pytest.param("junk", 0.0, id="junk"),
        pytest.param("-7", 0.0, id="negative"),
        pytest.param("1.5", 0.0, id="a fraction"),
        pytest.param("\u0667", 0.0, id="a digit of another script"),
        pytest.param("Tue, 14 Nov 2023 22:13:50 GMT", 30.0, id="a date"),
        pytest.param("Tuesday, 14-Nov-23 22:13:50 GMT", 30.0, id="a date in the form of RFC 850"),
        pytest.param("14 Nov 2023 22:13:50 GMT", 30.0, id="a date that begins with digits"),
        pytest.param("Tue, 14 Nov 2023 17:13:50 -0500", 30.0, id="a date in another zone"),
        pytest.param("Tue, 14 Nov 2023 22:13:20 GMT", 0.0, id="now"),
        pytest.param("Thu, 01 Jan 1970 00:00:00 GMT", 0.0, id="a date in the past"),
        pytest.param("Tue, 99 Nov 2023 22:13:50 GMT", 0.0, id="a day that no month has"),
        pytest.param("Tue, 14 Nov 99999999999999999999 22:13:50 GMT", 0.0, id="a year that no calendar has"),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float) -> None:
    assert retry_after(value, 1_700_000_000.0) == seconds


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of a process cannot be set on Windows")
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "XXX+5"])
def test_a_date_that_names_no_zone_is_in_utc_wherever_the_server_is(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # RFC 9110 section 5.6.7
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        waits = retry_after("Tue Nov 14 22:13:50 2023", 1_700_000_000.0)
    time.tzset()
    assert waits == 30.0


@pytest.mark.parametrize("default", [60.0, 600.0, 7200.0])
def test_the_default_counts_as_it_is(default: float) -> None:
    assert lifetime({}, default=default, least=300.0, most=3600.0) == default


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({}, 600.0, id="the issuer does not say"),
        pytest.param({"cache-control": ""}, 600.0, id="empty"),
        pytest.param({"cache-control": "public"}, 600.0, id="no max-age"),
        pytest.param({"cache-control": "max-age=900"}, 900.0, id="plain"),
        pytest.param({"cache-control": "MAX-AGE=900"}, 900.0, id="upper case"),
        pytest.param({"cache-control": 'max-age="900"'}, 900.0, id="quoted (RFC 9111 section 5.2)"),
        pytest.param({"cache-control": "public, max-age=900, must-revalidate"}, 900.0, id="among others"),
        pytest.param({"cache-control": "public,max-age=900,immutable"}, 900.0, id="without spaces"),
        pytest.param({"cache-control": "s-maxage=900"}, 600.0, id="for shared caches"),
        pytest.param({"cache-control": "x-max-age=900"}, 600.0, id="another directive that ends like it"),
        pytest.param({"cache-control": "max-age=900x"}, 600.0, id="junk behind"),
        pytest.param({"cache-control": "max-age="}, 600.0, id="no number"),
        pytest.param({"cache-control": "max-age=-1"}, 600.0, id="negative"),
        pytest.param({"cache-control": "max-age=1e30"}, 600.0, id="no integer"),
        pytest.param({"cache-control": "max-age=\u0669\u0660\u0660"}, 600.0, id="digits of another script"),
        pytest.param({"cache-control": "max-age=0"}, 300.0, id="zero"),
        pytest.param({"cache-control": "max-age=10"}, 300.0, id="less than the least"),
        pytest.param({"cache-control": "max-age=299"}, 300.0, id="just less than the least"),
        pytest.param({"cache-control": "max-age=301"}, 301.0, id="just more than the least"),
        pytest.param({"cache-control": "max-age=3599"}, 3599.0, id="just less than the most"),
        pytest.param({"cache-control": "max-age=3601"}, 3600.0, id="just more than the most"),
        pytest.param({"cache-control": "max-age=21600"}, 3600.0, id="six hours"),
        pytest.param({"cache-control": "max-age=9999999999"}, 3600.0, id="ten digits"),
        pytest.param({"cache-control": f"max-age={'9' * 30}"}, 3600.0, id="thirty digits (RFC 9111 section 1.2.2)"),
        pytest.param({"cache-control": f"max-age={'0' * 30}900"}, 900.0, id="thirty zeros in front"),
        pytest.param({"cache-control": "no-store"}, 300.0, id="no-store"),
        pytest.param({"cache-control": "no-cache"}, 300.0, id="no-cache"),
        pytest.param({"cache-control": "No-Cache"}, 300.0, id="no-cache in another case"),
        pytest.param({"cache-control": "max-age=900, no-cache"}, 300.0, id="no-cache behind max-age"),
        pytest.param({"cache-control": 'no-cache="set-cookie", max-age=900'}, 300.0, id="no-cache with a field"),
        pytest.param({"cache-control": "x-no-cache, max-age=900"}, 900.0, id="another directive that ends so"),
        pytest.param({"cache-control": "max-age=900", "age": "100"}, 800.0, id="Age counts"),
        pytest.param({"cache-control": "max-age=900", "age": " 100 "}, 800.0, id="Age with white space"),
        pytest.param({"cache-control": "max-age=900", "age": "900"}, 300.0, id="Age uses it up"),
        pytest.param({"cache-control": "max-age=900", "age": "5000"}, 300.0, id="Age above max-age"),
        pytest.param({"cache-control": "max-age=900", "age": "-100"}, 900.0, id="a negative Age"),
        pytest.param({"cache-control": "max-age=900", "age": "junk"}, 900.0, id="an Age that is none"),
        pytest.param({"cache-control": "max-age=900", "age": "100x"}, 900.0, id="an Age with junk behind"),
        pytest.param({"cache-control": "max-age=900", "age": ""}, 900.0, id="an empty Age"),
        pytest.param({"age": "100"}, 600.0, id="Age alone"),
        pytest.param({"expires": "Thu, 01 Jan 1970 00:00:00 GMT"}, 600.0, id="Expires is not looked at"),
    ],
)
def test_a_set_is_fresh_for_as_long_as_the_issuer_says_within_bounds(headers: dict[str, str], seconds: float) -> None:
    assert lifetime(headers, default=600.0, least=300.0, most=3600.0) == seconds


# --- the options ----------------------------------------------------------------------------------------------------

OPTIONS = ("ttl", "least_ttl", "most_ttl", "stale_if_error", "stale_wait", "timeout")


def test_the_defaults_are_those_that_the_documentation_names() -> None:
    caching = KeyCaching()
    assert [getattr(caching, name) for name in OPTIONS] == [600.0, 300.0, 3600.0, 86_400.0, 1.0, 5.0]
    assert tuple(field.name for field in fields(KeyCaching)) == (*OPTIONS, "refresh_on_bad_signature")
    assert caching.refresh_on_bad_signature is False


@pytest.mark.parametrize("value", ["false", 0, 1, None])
def test_a_switch_takes_true_and_false_alone(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="key_caching refresh_on_bad_signature: expected True or False"):
        KeyCaching(refresh_on_bad_signature=value)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(-1, id="negative"),
        pytest.param(float("nan"), id="nan"),
        pytest.param(float("inf"), id="infinity"),
        pytest.param(True, id="a bool"),
        pytest.param("600", id="text"),
        pytest.param(None, id="None"),
        pytest.param(10**400, id="an integer past the range of a float"),
    ],
)
def test_what_is_no_number_of_seconds_is_refused(value: Any) -> None:
    for option in OPTIONS:
        with pytest.raises(ConfigurationError) as caught:
            KeyCaching(**{option: value})
        assert caught.value.option == f"key_caching {option}"


@pytest.mark.parametrize("option", ["ttl", "least_ttl", "most_ttl", "timeout"])
def test_zero_seconds_are_refused_where_they_would_stop_everything(option: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        KeyCaching(**dict[str, Any]({option: 0}))
    assert caught.value.option == f"key_caching {option}"


@pytest.mark.parametrize("option", OPTIONS)
def test_any_time_is_a_time(option: str) -> None:
    changes: dict[str, Any] = {option: 0.001} | ({"least_ttl": 0.001} if option == "most_ttl" else {})
    assert getattr(KeyCaching(**changes), option) == 0.001


def test_serving_stale_and_waiting_can_be_switched_off() -> None:
    caching = KeyCaching(stale_if_error=0, stale_wait=0)
    assert (caching.stale_if_error, caching.stale_wait) == (0, 0)


def test_the_least_may_be_the_most() -> None:
    assert KeyCaching(ttl=60, least_ttl=60, most_ttl=60).least_ttl == 60


def test_the_least_may_not_be_more_than_the_most() -> None:
    with pytest.raises(ConfigurationError) as caught:
        KeyCaching(least_ttl=61, most_ttl=60)
    assert caught.value.option == "key_caching least_ttl"
    assert "expected at most most_ttl; got 61" in caught.value.detail


def test_key_caching_cannot_be_changed() -> None:
    caching = KeyCaching()
    with pytest.raises(AttributeError):
        caching.ttl = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("value", "member"),
    [
        (Times(1.0, 2.0, 3.0, 4.0), "hard_until"),
        (Facts(known=True), "known"),
        (Bucket(), "level"),
    ],
)
def test_what_a_decision_is_made_of_cannot_be_changed(value: object, member: str) -> None:
    with pytest.raises(AttributeError):
        setattr(value, member, 9.0)


@pytest.mark.parametrize("kind", [KeyCaching, Facts])
def test_options_and_facts_are_given_by_name(kind: Any) -> None:
    with pytest.raises(TypeError):
        kind(600.0)


def test_a_kid_that_is_not_published_is_looked_for_again_after_half_a_minute() -> None:
    assert NEGATIVE_SECONDS == 30.0


def test_a_state_has_the_name_that_a_status_shows() -> None:
    assert [state.value for state in State] == ["empty", "fresh", "ageing", "stale", "expired"]
