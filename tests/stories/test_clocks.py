"""The machine's clocks are set, or stop while it sleeps: keys age by whichever has gone further.

Claims are judged by the clock of the `Verifier`, which these stories leave alone.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import pytest

from jwt_asgi import Reason
from tests.keys.server import answer
from tests.stories.service import EXPIRED, STALE, running

DAY, HOUR = 86_400.0, 3600.0


@dataclass
class Shift:
    """By how many seconds each clock of the machine is off."""

    wall: float = 0.0
    monotonic: float = 0.0


@pytest.fixture
def shift(monkeypatch: pytest.MonkeyPatch) -> Shift:
    """The machine's clocks, to be moved while they run."""
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    by, wall, monotonic = Shift(), time.time, time.monotonic
    monkeypatch.setattr(time, "time", lambda: wall() + by.wall)
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + by.monotonic)
    return by


async def test_a_wall_clock_set_a_day_ahead_costs_one_fetch_and_turns_nobody_away(shift: Shift) -> None:
    async with running(driven=False) as service:
        token = service.issuer.token()
        assert await service.statuses(token) == [200]
        shift.wall += DAY
        assert await service.statuses(token, token) == [200, 200]
        assert service.fetches == 2
        shift.wall += DAY
        service.server.script["/jwks.json"] = answer(503)
        assert await service.statuses(token, token) == [200, 200], "nor while the issuer is down"
        assert service.fetches == 3


async def test_a_wall_clock_set_a_day_back_changes_nothing_and_the_keys_go_on_ageing(shift: Shift) -> None:
    async with running(driven=False) as service:
        token = service.issuer.token()
        assert await service.statuses(token) == [200]
        shift.wall -= DAY
        assert service.ask_at_once(token) == 200
        await service.settled()
        assert service.fetches == 1

        service.issuer.rotate(keep_old=False)
        shift.wall += STALE
        shift.monotonic += STALE
        assert await service.statuses(token) == [401], "a key withdrawn meanwhile is gone in time"
        assert service.fetches == 2


async def test_a_wall_clock_set_a_day_back_during_an_outage_does_not_make_it_a_day_long(shift: Shift) -> None:
    async with running(driven=False) as service:
        token = service.issuer.token()
        service.server.script["/jwks.json"] = answer(503)
        assert (await service.ask(token)).header("retry-after") == "1"
        shift.wall -= DAY
        assert (await service.ask(token)).header("retry-after") == "1"
        service.publish_again()
        shift.monotonic += 1
        assert await service.statuses(token) == [200]
        assert service.fetches == 2


async def test_a_wall_clock_that_jumps_during_a_fetch_turns_nobody_away(shift: Shift) -> None:
    async with running(driven=False) as service:
        token, first = service.issuer.token(), service.hold()
        before = asyncio.create_task(service.ask(token))
        await service.fetched(1)
        shift.wall += DAY
        second = service.hold()
        after = asyncio.create_task(service.ask(token))
        await service.fetched(2)
        first.set()
        await asyncio.wait([before], timeout=0.1)
        second.set()
        assert [(await before).status, (await after).status] == [200, 200]
        assert service.fetches == 2, "the first one has lasted for a day, so nobody joins it any more"


async def test_a_key_withdrawn_while_the_machine_slept_opens_nothing_when_it_wakes(shift: Shift) -> None:
    async with running(driven=False) as service:
        stolen = service.issuer.token()
        assert await service.statuses(stolen) == [200]
        service.issuer.rotate(keep_old=False)
        shift.wall += 2 * HOUR  # the monotonic clock stands still in suspend
        assert await service.statuses(stolen) == [401]
        assert service.fetches == 2


async def test_a_machine_that_slept_over_the_hard_limit_uses_none_of_its_old_keys(shift: Shift) -> None:
    async with running(driven=False) as service:
        token = service.issuer.token()
        assert await service.statuses(token) == [200]
        shift.wall += EXPIRED
        service.server.script["/jwks.json"] = answer(503)
        assert await service.statuses(token) == [503]
        assert service.reason is Reason.KEYS_EXPIRED
        service.publish_again()
        shift.wall += 2
        assert await service.statuses(token) == [200]
        assert service.fetches == 3
