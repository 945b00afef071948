"""The clock that ages keys: steady, and awake while the machine sleeps."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from jwt_asgi import KeyCaching
from jwt_asgi._keys import clock as clock_module
from jwt_asgi._keys.clock import steady_clock
from jwt_asgi._keys.events import KeyStatus
from jwt_asgi._keys.remote import RemoteKeys
from tests.keys.script import ALG, ISSUER, JWKS_URI, ScriptedFetch, key_set


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The machine's clocks, to be moved: `wall` and `mono`."""
    now = SimpleNamespace(wall=1e9, mono=100.0)
    monkeypatch.setattr(clock_module, "time", SimpleNamespace(time=lambda: now.wall, monotonic=lambda: now.mono))
    return now


@pytest.mark.parametrize(
    ("wall", "mono", "expected"),
    [
        pytest.param(10.0, 10.0, 10.0, id="both"),
        pytest.param(0.0, 5.0, 5.0, id="wall stands"),
        pytest.param(-86_400.0, 5.0, 5.0, id="wall set back"),
        pytest.param(86_400.0, 0.0, 86_400.0, id="asleep"),
        pytest.param(86_400.0, 5.0, 86_400.0, id="asleep, and awake again"),
        pytest.param(-5.0, 0.0, 0.0, id="wall alone set back"),
        pytest.param(6.0, 5.0, 5.0, id="noise"),
        pytest.param(7.0, 5.0, 7.0, id="a nap of two seconds"),
    ],
)
def test_the_monotonic_step_counts_unless_the_machine_slept(
    times: SimpleNamespace, wall: float, mono: float, expected: float
) -> None:
    clock = steady_clock()
    assert clock() == 0.0
    times.wall += wall
    times.mono += mono
    assert clock() == pytest.approx(expected)
    assert clock() == pytest.approx(expected)


def test_the_clock_never_goes_back(times: SimpleNamespace) -> None:
    clock, seen = steady_clock(), [0.0]
    for wall, mono in ((1, 1), (-100, 1), (50, 1), (0, 0), (-1, 0), (1, 2)):
        times.wall += wall
        times.mono += mono
        seen.append(clock())
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1 + 1 + 50 + 0 + 0 + 2)


def test_two_noisy_clocks_do_not_add_up_to_a_fast_one(times: SimpleNamespace) -> None:
    clock = steady_clock()
    for number in range(1000):
        times.mono += 1.0
        times.wall += 1.5 if number % 2 else 0.5
        clock()
    assert clock() == pytest.approx(1000.0)


def test_where_the_system_counts_sleep_itself_the_wall_clock_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    now, wall = [100.0], [1e9]
    machine = SimpleNamespace(
        CLOCK_BOOTTIME=7, clock_gettime=lambda clock: now[clock - 7], time=lambda: wall[0], monotonic=lambda: 5.0
    )
    monkeypatch.setattr(clock_module, "time", machine)
    clock = steady_clock()
    began = clock()
    now[0] += 86_400.0
    wall[0] += 1e6
    assert clock() - began == 86_400.0


async def test_keys_age_while_the_machine_sleeps(times: SimpleNamespace) -> None:
    fetch = ScriptedFetch(key_set("a"))
    keys = RemoteKeys(ISSUER, jwks_uri=JWKS_URI, fetch=fetch, caching=KeyCaching(), jitter=lambda: 0.5)
    await keys.find("a", ALG)
    times.wall += 470
    assert state(keys.status()) == "fresh"
    times.wall -= 86_400
    assert state(keys.status()) == "fresh"
    times.wall += 10
    assert state(keys.status()) == "ageing"


def state(status: KeyStatus) -> str:
    return status.state.value
