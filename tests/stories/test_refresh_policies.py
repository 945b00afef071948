"""Our policy of refresh logs out no honest session, and finds every theft; the two that are usual elsewhere do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jwt_asgi.issuer.rotation import RotationPolicy
from tests.stories.refresh_policies import DAY, MINUTE, Authority, Forking, Rotating, honest_week, stolen_week

HONEST, STOLEN = 20, 60


def ours() -> Authority:
    return Rotating(RotationPolicy())


def strict() -> Authority:
    return Rotating(RotationPolicy(reuse="strict"))


def forking() -> Authority:
    return Forking(30.0)


def logged_out(make: Callable[[], Authority]) -> int:
    return sum(honest_week(make(), seed) for seed in range(HONEST))


def found(make: Callable[[], Authority], thief_every: float) -> list[float]:
    times = [stolen_week(make(), seed, thief_every=thief_every) for seed in range(STOLEN)]
    return sorted(time for time in times if time is not None)


def test_our_policy_logs_out_no_honest_session() -> None:
    assert logged_out(ours) == 0


@pytest.mark.parametrize("thief_every", [10 * MINUTE, 60 * MINUTE])
def test_our_policy_finds_every_theft_within_a_day_and_most_at_the_first_or_second_refresh(thief_every: float) -> None:
    times = found(ours, thief_every)
    assert len(times) == STOLEN
    assert times[-1] < DAY
    assert times[STOLEN // 2] < thief_every


def test_strict_rotation_logs_out_nearly_every_honest_session() -> None:
    assert logged_out(strict) > HONEST * 9 / 10


def test_chains_that_fork_within_a_window_log_out_honest_sessions_and_hide_thefts() -> None:
    assert logged_out(forking) > HONEST / 5
    assert len(found(forking, 10 * MINUTE)) < STOLEN
