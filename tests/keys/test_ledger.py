"""What is counted, and what is told once: each row by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from jwt_asgi._core.freshness import Facts, State, Step
from jwt_asgi._core.jwks import KeySet, SkippedKey, VerifyKey
from jwt_asgi._keys.events import KeyEvent, KeyEventKind
from jwt_asgi._keys.ledger import COUNTERS, Ledger, news_of, skipped_of
from tests.core.builders import KEY

SOME = Facts(known=True)
Kind = KeyEventKind


@pytest.mark.parametrize(
    ("state", "step", "facts", "counted", "told"),
    [
        (State.FRESH, Step.USE, {}, (), None),
        (State.AGEING, Step.USE_AND_REFRESH, {}, (), None),
        (State.STALE, Step.USE, {}, ("served_stale",), Kind.SERVING_STALE),
        (State.STALE, Step.USE_AND_REFRESH, {}, ("served_stale",), Kind.SERVING_STALE),
        (State.STALE, Step.WAIT_BRIEFLY, {}, (), None),
        (State.EMPTY, Step.WAIT, {}, (), None),
        (State.FRESH, Step.WAIT, {"known": False}, (), None),
        (State.EMPTY, Step.REFUSE_UNAVAILABLE, {}, ("unavailable",), None),
        (State.STALE, Step.REFUSE_UNAVAILABLE, {}, ("unavailable",), None),
        (State.EXPIRED, Step.REFUSE_UNAVAILABLE, {}, ("unavailable",), Kind.EXPIRED),
        (State.FRESH, Step.REFUSE_UNKNOWN, {"waited": True}, ("unknown_kid",), None),
        (State.FRESH, Step.REFUSE_UNKNOWN, {"missed_before": True}, ("unknown_kid",), None),
        (State.FRESH, Step.REFUSE_UNKNOWN, {"backing_off": True}, ("unknown_kid",), None),
        (State.FRESH, Step.REFUSE_UNKNOWN, {"may_fetch": False}, ("unknown_kid", "throttled"), Kind.THROTTLED),
    ],
)
def test_what_a_request_meets_is_counted_each_time_and_told_once(
    state: State, step: Step, facts: dict[str, Any], counted: tuple[str, ...], told: KeyEventKind | None
) -> None:
    ledger, met = Ledger(), Facts(**{"known": True, **facts})
    assert [ledger.meet(state, step, met) for _ in range(3)] == [told, None, None]
    assert ledger.counters == dict.fromkeys(COUNTERS, 0) | dict.fromkeys(counted, 3)


def test_what_is_counted_is_what_a_status_documents() -> None:
    # KeyStatus.counters
    names = {"fetches", "not_modified", "failures", "unknown_kid", "throttled", "served_stale", "unavailable"}
    assert set(COUNTERS) == names
    assert dict(Ledger().counters) == dict.fromkeys(names, 0)


@pytest.mark.parametrize("same", [False, True])
def test_after_a_success_it_is_told_again_and_what_was_counted_stays(*, same: bool) -> None:
    ledger = Ledger()
    assert ledger.meet(State.STALE, Step.USE, SOME) is Kind.SERVING_STALE
    ledger.settle(same=same)
    assert ledger.meet(State.STALE, Step.USE, SOME) is Kind.SERVING_STALE
    assert (ledger.counters["served_stale"], ledger.counters["not_modified"]) == (2, same)


def test_serving_stale_keys_is_counted_by_itself_once_it_was_told() -> None:
    ledger = Ledger()
    assert ledger.serve_stale() is False
    assert ledger.counters["served_stale"] == 0, "that one is to be told, and counted then"
    assert ledger.meet(State.STALE, Step.USE, SOME) is Kind.SERVING_STALE
    assert ledger.serve_stale() is True
    assert ledger.counters["served_stale"] == 2
    ledger.settle(same=True)
    assert ledger.serve_stale() is False


def test_one_kind_does_not_silence_another() -> None:
    ledger = Ledger()
    kinds = [Kind.SERVING_STALE, Kind.EXPIRED, Kind.THROTTLED, Kind.UNKNOWN_KID]
    assert [ledger.once(kind) for kind in kinds] == kinds
    assert [ledger.once(kind) for kind in kinds] == [None] * 4


@pytest.mark.parametrize(
    ("number", "named", "more"), [(1, 1, ""), (16, 16, ""), (17, 16, "; and 1 more"), (256, 16, "; and 240 more")]
)
def test_sixteen_keys_that_are_skipped_are_named_and_the_others_counted(number: int, named: int, more: str) -> None:
    keys = KeySet([], [SkippedKey(f"key-{one}", "its use is not sig") for one in range(number)])
    (event,) = [event for event in news_of("https://issuer.test", None, keys, recovered=False) if event.detail]
    lines = [f"'key-{one}': its use is not sig" for one in range(number)]
    assert (event.kind, event.detail) == (Kind.KEY_SKIPPED, "; ".join(lines[:named]) + more)
    assert skipped_of(keys) == tuple(lines), "the status has them all"


ISSUER = "https://issuer.test"


def a_key(kid: str | None, thumbprint: str, *, private: bool = False) -> VerifyKey:
    return replace(KEY, kid=kid, thumbprint=thumbprint, private=private)


def test_a_set_that_is_confirmed_is_told_and_nothing_of_its_keys() -> None:
    keys = KeySet([a_key("a", "1", private=True)], [SkippedKey("b", "its use is not sig")])
    assert news_of(ISSUER, keys, keys, recovered=False) == [KeyEvent(kind=Kind.NOT_MODIFIED, issuer=ISSUER)]
    told = news_of(ISSUER, keys, keys, recovered=True)
    assert told == [KeyEvent(kind=kind, issuer=ISSUER) for kind in (Kind.NOT_MODIFIED, Kind.RECOVERED)]


def test_a_new_set_is_told_with_the_keys_that_came_and_went() -> None:
    old = KeySet([a_key("a", "1"), a_key("b", "2"), a_key(None, "3")])
    new = KeySet([a_key("b", "2"), a_key("c", "4"), a_key("a", "5"), a_key(None, "6")])
    fetched, changed = news_of(ISSUER, old, new, recovered=False)
    assert fetched == KeyEvent(kind=Kind.FETCHED, issuer=ISSUER)
    added, removed = ("c", "a", "6"), ("a", "3")
    assert changed == KeyEvent(kind=Kind.KEYS_CHANGED, issuer=ISSUER, added=added, removed=removed)
    (came,) = news_of(ISSUER, KeySet([]), KeySet([a_key("a", "1")]), recovered=False)[1:]
    assert (came.added, came.removed) == (("a",), ())
    (went,) = news_of(ISSUER, KeySet([a_key("a", "1")]), KeySet([]), recovered=False)[1:]
    assert (went.added, went.removed) == ((), ("a",))


def test_the_same_keys_in_another_set_are_no_news() -> None:
    kinds = [event.kind for event in news_of(ISSUER, KeySet([KEY]), KeySet([KEY]), recovered=True)]
    assert kinds == [Kind.FETCHED, Kind.RECOVERED]


def test_private_keys_that_are_published_are_told_by_name() -> None:
    new = KeySet([a_key("a", "1", private=True), a_key(None, "2", private=True), a_key("c", "3")])
    event = news_of(ISSUER, new, KeySet(new.keys), recovered=False)[-1]
    told = KeyEvent(kind=Kind.PRIVATE_KEY_PUBLISHED, issuer=ISSUER, detail="its kid is 'a', '2'")
    assert event == told
