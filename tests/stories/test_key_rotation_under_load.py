"""Signing keys change, by schedule and in an emergency, while clients refresh and call without a pause."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from jwt_asgi import Reason
from jwt_asgi._core.token import parse_token
from jwt_asgi.issuer import KeySchedule, housekeeping
from jwt_asgi.issuer.signing import SigningKey
from tests.issuer.services import API, claims_of
from tests.issuer.store.world import ISSUER
from tests.stories.token_service import Story, telling

CLIENTS = 20
SCHEDULE = KeySchedule(rotate=600.0, announce=480.0, max_age=60.0, client_cache=60.0)
TICK = 30.0
"""Seconds that pass at once: within half of `settle`, as for real processes that read the keys each half minute."""


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes a thousand times faster, and so the work in the background is done more often."""
    monkeypatch.setattr(housekeeping, "READ_EVERY", 0.05)
    monkeypatch.setattr(housekeeping, "PULL_EVERY", 0.05)


def kid_of(token: str) -> str:
    return parse_token(token).kid or ""


@dataclass
class Crowd:
    """Clients that refresh and call in turn: what became of each call, by the key of its token."""

    story: Story
    accepted: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[str, Reason | None]] = field(default_factory=list)
    refreshes: Counter[int] = field(default_factory=Counter)
    newest: dict[int, dict[str, Any]] = field(default_factory=dict)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def live(self, number: int) -> None:
        world = self.story.worlds[number % len(self.story.worlds)]
        tokens = await world.login(subject=f"user {number}")
        refresh_token = tokens.refresh_token
        while not self.stop.is_set():
            found = await self.story.refreshed(refresh_token)
            self.refreshes[number] += 1
            refresh_token = found["refresh_token"]
            self.newest[number] = found
            for _ in range(2):
                await self.call(found["access_token"])

    async def call(self, token: str) -> None:
        if await self.story.resource.status(token) == 200:
            self.accepted[kid_of(token)] += 1
        else:
            self.refused.append((kid_of(token), self.story.resource.reason))


@asynccontextmanager
async def crowded(url: str) -> AsyncIterator[tuple[Story, Crowd]]:
    async with telling(url, schedule=SCHEDULE) as story:
        crowd = Crowd(story)
        async with asyncio.TaskGroup() as clients:
            for number in range(CLIENTS):
                clients.create_task(crowd.live(number))
            ticking = clients.create_task(tick(story))
            await rounds(crowd, 1)
            yield story, crowd
            crowd.stop.set()
            ticking.cancel()


async def tick(story: Story) -> None:
    """Time passes by itself, too."""
    while True:
        await asyncio.sleep(0.01)
        story.clock.now += 0.01


async def rounds(crowd: Crowd, number: int) -> None:
    """Wait until each client has refreshed so often."""
    before = crowd.refreshes.copy()
    async with asyncio.timeout(60):
        while any(crowd.refreshes[client] < before[client] + number for client in range(CLIENTS)):
            await asyncio.sleep(0.002)


async def pass_time(story: Story, crowd: Crowd, keys: int) -> None:
    """Let time pass in steps, while everybody goes on, until tokens of so many keys were accepted.

    Each process reads the keys in each step, as a real one does in half a minute, however slow this machine is.
    """
    async with asyncio.timeout(90):
        while len(crowd.accepted) < keys:
            story.clock.now += TICK
            least = crowd.refreshes.total() + CLIENTS // 10
            begun = story.clock.now
            while crowd.refreshes.total() < least or any(
                (world.service.keys._read_at or 0.0) < begun for world in story.worlds
            ):
                await asyncio.sleep(0.002)


async def test_keys_that_change_by_schedule_and_on_demand_turn_nobody_away(url: str) -> None:
    async with crowded(url) as (story, crowd):
        began = story.clock.now
        await pass_time(story, crowd, keys=2)
        assert story.clock.now - began >= SCHEDULE.rotate - TICK
        before = story.clock.now
        await story.worlds[1].service.keys.rotate(unannounced=True)
        await pass_time(story, crowd, keys=3)
        assert story.clock.now - before < SCHEDULE.rotate
        await rounds(crowd, 1)
    assert crowd.refused == [], "tokens of three keys were shown, and all of them were good"


async def test_a_key_that_is_taken_back_opens_nothing_a_moment_later_and_all_go_on_with_another(url: str) -> None:
    async with crowded(url) as (story, crowd):
        stolen: SigningKey = next(iter(story.worlds[0].service.keys._opened.values()))
        forged = forged_with(stolen, story.clock.now)
        assert await story.resource.status(forged) == 200, "with the stolen key its thief is whoever he likes"
        old = crowd.newest[0]["access_token"]

        await story.worlds[0].service.revoke(key=stolen.kid, reason="stolen")
        async with asyncio.timeout(20):
            while await story.resource.status(forged) == 200:
                await asyncio.sleep(0.005)
        good_until_then = crowd.accepted[stolen.kid]

        # What a process signs with it that has not heard of it yet is as good as forged; clients refresh, and go on
        async with asyncio.timeout(60):
            while not all(kid_of(found["access_token"]) != stolen.kid for found in crowd.newest.values()):
                await asyncio.sleep(0.005)
        (another,) = {kid_of(found["access_token"]) for found in crowd.newest.values()}
        await rounds(crowd, 2)
        assert crowd.accepted[another] > CLIENTS
        assert {kid for kid, _ in crowd.refused} <= {stolen.kid}, "and nobody with a good token was turned away"
        assert crowd.accepted[stolen.kid] == good_until_then, "not one more of the stolen key"
        for token in (forged, old):
            assert await story.resource.status(token) == 401
        document = [world.service.keys.document.body for world in story.worlds]
        assert all(stolen.kid.encode() not in body for body in document)


def forged_with(key: SigningKey, now: float) -> str:
    issued = int(now)
    claims = f'"sub":"root","client_id":"spa","jti":"{urlsafe_b64encode(b"thief").decode()}","scope":"admin"'
    text = f'{{"iss":"{ISSUER}","aud":"{API}",{claims},"iat":{issued},"exp":{issued + 10**7}}}'
    token = key.sign(text.encode())
    assert claims_of(token)["sub"] == "root"
    return token
