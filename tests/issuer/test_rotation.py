"""What becomes of a refresh token, row by row, and what holds whatever is presented in whatever order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_asgi import ConfigurationError
from jwt_asgi.issuer.rotation import Family, FamilyStatus, Proof, RotationPolicy, Step, confirmed, present

NOW = 1_800_000_000.0
POLICY = RotationPolicy()
FAMILY = Family(client_id="app", generation=5, rotated_at=NOW - 100, idle_until=NOW + 1000, absolute_until=NOW + 5000)
BOUND = ("jkt", "thumbprint")


def step_of(
    generation: int,
    *,
    client_id: str = "app",
    proof: Proof = None,
    policy: RotationPolicy = POLICY,
    now: float = NOW,
    **family: Any,
) -> Step:
    state = replace(FAMILY, **family)
    done = present(state, generation, client_id=client_id, proof=proof, policy=policy, now=now)
    assert (done.family is state) is (done.step in {Step.MISMATCH, Step.ENDED, Step.AHEAD})
    return done.step


@pytest.mark.parametrize("generation", [0, 3, 4, 5, 6, 7, 1000])
def test_another_client_or_proof_changes_nothing_whatever_it_presents(generation: int) -> None:
    assert step_of(generation, client_id="other") is Step.MISMATCH
    assert step_of(generation, proof=BOUND) is Step.MISMATCH
    bound = replace(FAMILY, proof=BOUND)
    for proof in (None, ("jkt", "other"), ("x5t#S256", "thumbprint")):
        assert present(bound, generation, client_id="app", proof=proof, policy=POLICY, now=NOW).step is Step.MISMATCH
    ended = replace(FAMILY, status=FamilyStatus.REVOKED)
    assert present(ended, generation, client_id="other", proof=None, policy=POLICY, now=NOW).step is Step.MISMATCH


@pytest.mark.parametrize("generation", [0, 3, 4, 5, 6, 7, 1000])
@pytest.mark.parametrize(
    "ended",
    [
        {"status": FamilyStatus.REVOKED},
        {"status": FamilyStatus.REPLAYED},
        {"idle_until": NOW},
        {"absolute_until": NOW},
        {"idle_until": NOW - 1},
    ],
)
def test_a_family_that_has_ended_stays_ended(generation: int, ended: dict[str, Any]) -> None:
    assert step_of(generation, **ended) is Step.ENDED


def test_the_newest_token_leads_to_the_next() -> None:
    family = replace(FAMILY, confirmed_at=NOW - 50, retries=3)
    done = present(family, 5, client_id="app", proof=None, policy=POLICY, now=NOW)
    assert done.step is Step.ROTATE
    expected = replace(family, generation=6, rotated_at=NOW, confirmed_at=None, retries=0, idle_until=NOW + 5000)
    assert done.family == expected


def test_a_family_is_never_idle_for_longer_than_the_policy_says_nor_beyond_its_absolute_end() -> None:
    long = replace(FAMILY, absolute_until=NOW + 1e9)
    assert present(long, 5, client_id="app", proof=None, policy=POLICY, now=NOW).family.idle_until == NOW + POLICY.idle
    assert present(FAMILY, 5, client_id="app", proof=None, policy=POLICY, now=NOW).family.idle_until == NOW + 5000


def test_the_token_before_it_leads_to_the_newest_until_that_has_arrived() -> None:
    done = present(FAMILY, 4, client_id="app", proof=None, policy=POLICY, now=NOW)
    assert (done.step, done.family) == (Step.RETRY, replace(FAMILY, retries=1))
    assert step_of(4, now=FAMILY.idle_until - 1) is Step.RETRY


@pytest.mark.parametrize(
    ("family", "policy", "step"),
    [
        ({"confirmed_at": NOW - 10}, POLICY, Step.RETRY),
        ({"confirmed_at": NOW - 10.1}, POLICY, Step.REPLAY),
        ({"retries": 15}, POLICY, Step.RETRY),
        ({"retries": 16}, POLICY, Step.REPLAY),
        ({}, RotationPolicy(window=100.0), Step.RETRY),
        ({}, RotationPolicy(window=99.9), Step.REPLAY),
        ({"confirmed_at": NOW - 60}, RotationPolicy(reuse="window", window=100.0), Step.RETRY),
        ({}, RotationPolicy(reuse="window", window=99.9), Step.REPLAY),
        ({}, RotationPolicy(reuse="strict"), Step.REPLAY),
    ],
)
def test_a_retry_is_early_seldom_and_unconfirmed(family: dict[str, Any], policy: RotationPolicy, step: Step) -> None:
    assert step_of(4, policy=policy, **family) is step


@pytest.mark.parametrize("generation", [0, 1, 3])
@pytest.mark.parametrize("policy", [POLICY, RotationPolicy(reuse="window", window=1e6), RotationPolicy(reuse="strict")])
def test_an_older_token_ends_the_family_under_every_policy(generation: int, policy: RotationPolicy) -> None:
    assert step_of(generation, policy=policy) is Step.REPLAY
    done = present(FAMILY, generation, client_id="app", proof=None, policy=policy, now=NOW)
    assert done.family == replace(FAMILY, status=FamilyStatus.REPLAYED)


def test_a_store_that_was_restored_catches_up_by_one_and_by_no_more() -> None:
    done = present(FAMILY, 6, client_id="app", proof=None, policy=POLICY, now=NOW)
    assert (done.step, done.family.generation) == (Step.CATCH_UP, 7)
    assert step_of(7) is Step.AHEAD


def test_the_newest_token_is_confirmed_once() -> None:
    first = confirmed(FAMILY, 5, NOW)
    assert first == replace(FAMILY, confirmed_at=NOW)
    assert confirmed(first, 5, NOW + 1) is first
    for generation in (4, 6):
        assert confirmed(FAMILY, generation, NOW) is FAMILY


moves = st.lists(
    st.tuples(st.sampled_from(["present", "confirm"]), st.integers(-3, 2), st.floats(0.0, 40.0)), max_size=30
)


@given(moves, st.sampled_from([POLICY, RotationPolicy(window=60.0), RotationPolicy(reuse="strict")]))
def test_there_is_one_newest_token_and_whoever_gets_one_gets_that(
    moves: list[tuple[str, int, float]], policy: RotationPolicy
) -> None:
    family, now, ended = replace(FAMILY, idle_until=NOW + 1e6, absolute_until=NOW + 1e6), NOW, False
    for move, ahead, seconds in moves:
        now += seconds
        generation = family.generation + ahead
        if move == "confirm":
            family = confirmed(family, generation, now)
            continue
        done = present(family, generation, client_id="app", proof=None, policy=policy, now=now)
        assert done.family.generation >= family.generation
        assert not ended or done.step is Step.ENDED
        if done.step in {Step.ROTATE, Step.RETRY, Step.CATCH_UP}:
            assert done.family.generation == generation + 1
        if ahead <= -2 and not ended:
            assert done.step is Step.REPLAY
        family, ended = done.family, ended or done.step is Step.REPLAY


@pytest.mark.parametrize(
    "options",
    [
        {"idle": 0.0},
        {"absolute": 0.5},
        {"idle": 100.0, "absolute": 99.0},
        {"grace": -1.0},
        {"reuse": "never"},
        {"reuse": "window"},
        {"window": -1.0},
        {"retries": -1},
        {"retries": True},
        {"retries": 1.0},
        {"retries": 10_001},
    ],
)
def test_a_policy_is_checked(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RotationPolicy(**options)
    assert ": rotation " in str(caught.value)
