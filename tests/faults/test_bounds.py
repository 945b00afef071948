"""What a fault may cost: nobody waits for long beside an old set, and no body fills the memory."""

from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path
from time import perf_counter

import pytest

from jwt_asgi import KeyCaching
from tests.faults import scripts
from tests.faults.world import LIFETIME, World, good_token, world
from tests.keys.script import until

STALE_WAIT = 0.1
MARGIN = 1.0
"""For a busy machine."""
BRIEF = KeyCaching(stale_wait=STALE_WAIT, timeout=10.0)
"""The deadline is out of reach, so that whoever waits for it is found out."""
ENDLESS = ["no answer", "a head and then nothing", "a head of a byte now and then", "a body of a byte now and then"]


async def _seconds(issuer: World) -> float:
    began = perf_counter()
    assert await issuer.status(good_token()) == 200
    return perf_counter() - began


@pytest.mark.parametrize("name", ENDLESS)
async def test_after_an_idle_spell_one_request_waits_a_little_and_no_other_waits_at_all(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with world(monkeypatch, tmp_path, caching=BRIEF) as issuer:
        assert await issuer.status(good_token()) == 200
        await scripts.script(name)(issuer)
        issuer.clock.now += LIFETIME + 1
        assert STALE_WAIT * 0.9 < await _seconds(issuer) < STALE_WAIT + MARGIN
        assert max(await asyncio.gather(*(_seconds(issuer) for _ in range(10)))) < STALE_WAIT + MARGIN
        assert issuer.gets == 2


@pytest.mark.parametrize("name", ENDLESS)
async def test_while_the_set_is_only_ageing_nobody_waits_at_all(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    never = KeyCaching(stale_wait=10.0, timeout=10.0)
    async with world(monkeypatch, tmp_path, caching=never) as issuer:
        assert await issuer.status(good_token()) == 200
        await scripts.script(name)(issuer)
        issuer.clock.now += LIFETIME - 1
        for _ in range(3):
            assert await _seconds(issuer) < MARGIN
        await until(lambda: issuer.gets > 1)
        assert await _seconds(issuer) < MARGIN
        assert issuer.gets == 2


@pytest.mark.parametrize("name", ["5 MB", "50 MB that are sent", "a gzip bomb of 100 MB"])
async def test_a_body_without_end_is_given_up_before_it_fills_the_memory(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """CWE-409: the cap counts while inflating, not afterwards."""
    async with world(monkeypatch, tmp_path) as issuer:
        await scripts.script(name)(issuer)
        good_token()
        tracemalloc.start()
        try:
            assert await issuer.status(good_token()) == 503
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 10_000_000
