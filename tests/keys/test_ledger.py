"""What is counted, and what is told once: each row by itself."""

from __future__ import annotations

from typing import Any

import pytest

from jwt_asgi._core.freshness import Facts, State, Step
from jwt_asgi._core.jwks import KeySet, SkippedKey
from jwt_asgi._keys.events import KeyEventKind
from jwt_asgi._keys.ledger import COUNTERS, Ledger, news_of, skipped_of

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


@pytest.mark.parametrize("same", [False, True])
def test_after_a_success_it_is_told_again_and_what_was_counted_stays(*, same: bool) -> None:
    ledger = Ledger()
    assert ledger.meet(State.STALE, Step.USE, SOME) is Kind.SERVING_STALE
    ledger.settle(same=same)
    assert ledger.meet(State.STALE, Step.USE, SOME) is Kind.SERVING_STALE
    assert (ledger.counters["served_stale"], ledger.counters["not_modified"]) == (2, same)


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
