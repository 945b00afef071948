"""When an issuer that failed may be asked again, by a request and by one who waits for a start."""

from __future__ import annotations

import pytest

from jwt_asgi import KeysUnavailable, Reason
from jwt_asgi._core.freshness import State
from jwt_asgi._keys.fetch import FetchError
from jwt_asgi._keys.trouble import Trouble

REFUSED = FetchError("refused")


def test_attempts_get_rarer_with_each_failure_but_for_a_start() -> None:
    trouble, waits = Trouble(), []
    for _ in range(7):
        assert trouble.note(REFUSED, 100.0, 1.0) == trouble.backing_off(100.0, urgent=False)
        waits.append((trouble.backing_off(100.0, urgent=False), trouble.backing_off(100.0, urgent=True)))
    assert waits == [(1, 1), (2, 1), (4, 1), (8, 1), (16, 1), (30, 1), (30, 1)]
    assert trouble.backing_off(100.9, urgent=True) == pytest.approx(0.1)
    assert trouble.backing_off(200.0, urgent=True) == 0.0


@pytest.mark.parametrize(("asked", "waits"), [(0.5, 1.0), (7.0, 7.0), (300.0, 300.0), (1e9, 300.0)])
def test_an_issuer_that_asks_for_patience_gets_it_from_a_start_too(asked: float, waits: float) -> None:
    trouble = Trouble()
    trouble.note(KeysUnavailable(Reason.KEYS_UNAVAILABLE, retry_after=asked), 100.0, 1.0)
    assert [trouble.backing_off(100.0, urgent=urgent) for urgent in (False, True)] == [waits, waits]


def test_a_success_ends_it() -> None:
    trouble = Trouble()
    assert trouble.clear() is False
    trouble.note(REFUSED, 100.0, 1.0)
    assert trouble.clear() is True
    for now in (0.0, 100.0):
        assert [trouble.backing_off(now, urgent=urgent) for urgent in (False, True)] == [0.0, 0.0]
    assert (trouble.failures, trouble.error) == (0, None)


@pytest.mark.parametrize(
    ("error", "reason", "detail"),
    [
        (REFUSED, Reason.KEYS_UNAVAILABLE, "refused"),
        (OSError("secret"), Reason.KEYS_UNAVAILABLE, "the attempt failed: OSError"),
        (KeysUnavailable(Reason.KEYS_UNUSABLE, "it is empty"), Reason.KEYS_UNUSABLE, "it is empty"),
    ],
)
def test_a_refusal_says_why_and_when_to_come_again(error: Exception, reason: Reason, detail: str) -> None:
    trouble = Trouble()
    trouble.note(error, 100.0, 1.0)
    trouble.note(error, 100.0, 1.0)
    refusal = trouble.refusal("https://issuer.test", State.STALE, 100.0)
    assert (refusal.reason, refusal.detail, refusal.issuer) == (reason, detail, "https://issuer.test")
    assert refusal.retry_after == 2.0
    assert trouble.refusal("", State.EMPTY, 101.9).retry_after == 1.0, "a client is never told to come at once"
    assert trouble.refusal("", State.EXPIRED, 100.0).reason is Reason.KEYS_EXPIRED


def test_without_a_failure_a_refusal_says_that_there_is_no_answer_yet() -> None:
    refusal = Trouble().refusal("https://issuer.test", State.EMPTY, 100.0)
    assert (refusal.reason, refusal.detail, refusal.retry_after) == (
        Reason.KEYS_UNAVAILABLE,
        "the issuer has not answered yet",
        1.0,
    )


def test_an_attempt_that_never_ended_is_a_failure_that_nobody_waits_longer_for() -> None:
    trouble = Trouble()
    trouble.note_lost("it did not end")
    assert (trouble.failures, str(trouble.error)) == (1, "keys_unavailable: it did not end")
    assert [trouble.backing_off(100.0, urgent=urgent) for urgent in (False, True)] == [0.0, 0.0]
    refusal = trouble.refusal("https://issuer.test", State.EMPTY, 100.0)
    assert (refusal.reason, refusal.detail, refusal.retry_after) == (Reason.KEYS_UNAVAILABLE, "it did not end", 1.0)
    assert trouble.note(REFUSED, 100.0, 1.0) == 2.0, "it counts with those in a row"
    assert trouble.clear() is True
