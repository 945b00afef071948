"""While a real provider rotates its keys, is down and comes back, two uvicorn workers under load refuse no good token.

By default there are two rotations and a short outage, which takes some seconds. With `JWT_ASGI_FULL_INTEROP=1` there
are five rotations, which take about 95 s, and an outage of 10 s. They cannot be had faster: for unknown kids each
worker may fetch the keys twice at once and then once each 30 s (docs/reference/key-cache.md), so of five rotations
within some seconds it is meant to see two, and to refuse the tokens of the others until 30 s have passed.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.interop.identity_provider import AUDIENCE, running
from tests.interop.load import steady_load
from tests.interop.servers import serving

FULL = os.environ.get("JWT_ASGI_FULL_INTEROP") == "1"
SERVER = "uvicorn, asyncio"
WORKERS = 2

AT_ONCE = 2
REFILL_SECONDS = 30.0
"""The limit on fetches for unknown kids."""
REQUESTS_BETWEEN = 100
"""At least so many are answered after each rotation."""

pytestmark = pytest.mark.usefixtures("provider_is_installed")


@pytest.mark.parametrize("rotations", [5 if FULL else 2])
async def test_every_good_token_is_accepted_through_the_rotations_that_the_fetch_limit_leaves_room_for(
    rotations: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        running("ES256") as provider,
        serving(SERVER, provider.issuer, tmp_path, audience=AUDIENCE, workers=WORKERS) as server,
    ):
        assert httpx.get(server.url, trust_env=False).status_code == 401, "the door is shut"
        async with steady_load(server.url, provider) as load:
            await load.until_served(load.kids[-1], workers=WORKERS, requests=REQUESTS_BETWEEN)
            seen_at: list[float] = []
            for number in range(rotations):
                if number >= AT_ONCE:
                    # each worker took its first fetch for an unknown kid before all had served that
                    await load.until_time(seen_at[0] + (number - AT_ONCE + 1) * REFILL_SECONDS + 1)
                kid = await load.rotate()
                await load.until_served(kid, workers=WORKERS, requests=REQUESTS_BETWEEN)
                seen_at.append(time.monotonic())
        gets = provider.jwks_gets()

    most_gets = WORKERS * (1 + rotations)
    with capsys.disabled():
        print(f"\n{rotations} rotations: {load.report()}\n{gets} GETs of the key set, at most {most_gets} allowed")
    assert load.refused == []
    assert len(load.kids) == 1 + rotations
    assert [len(load.workers_of(kid)) for kid in load.kids] == [WORKERS] * (1 + rotations)
    newest_since = min(answer.sent_at for answer in load.answers if answer.kid == load.kids[-1])
    assert {answer.kid for answer in load.answers if answer.sent_at > newest_since} == set(load.kids)
    assert len(load.answers) >= REQUESTS_BETWEEN * (1 + rotations)
    # for each worker a cold one and one for each rotation; the first scheduled one would come after 450 s
    assert gets <= most_gets


@pytest.mark.parametrize("outage", [10.0 if FULL else 1.0])
async def test_every_good_token_is_accepted_while_the_provider_is_down_and_a_rotation_is_once_it_is_back(
    outage: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The key set is stale after half a second, so that the workers do ask the provider while it is down."""
    state = tmp_path / "provider.json"
    with ExitStack() as up:
        provider = up.enter_context(running("ES256", state))
        with serving(SERVER, provider.issuer, tmp_path, audience=AUDIENCE, key_seconds=0.5, workers=WORKERS) as server:
            async with steady_load(server.url, provider) as load:
                await load.until_served(load.kids[-1], workers=WORKERS, requests=REQUESTS_BETWEEN)
                async with load.provider_in_use:
                    await asyncio.to_thread(up.close)
                    went_at = time.monotonic()
                    await load.until_time(went_at + outage)
                    await load.until(
                        "both workers have failed to fetch the keys",
                        lambda: all(answer.fetches_failed for answer in load.latest().values()),
                    )
                    down = load.latest()
                    load.provider = await asyncio.to_thread(up.enter_context, running("ES256", state))
                    back_at = time.monotonic()
                await load.until(
                    "both workers have fetched the keys again",
                    lambda: all(
                        load.latest()[worker].fetches_answered > answer.fetches_answered
                        for worker, answer in down.items()
                    ),
                )
                fetched_at = time.monotonic()
                kid = await load.rotate()
                await load.until_served(kid, workers=WORKERS, requests=REQUESTS_BETWEEN)
        assert load.provider.issuer == provider.issuer

    with capsys.disabled():
        failed = {worker: answer.fetches_failed for worker, answer in down.items()}
        print(
            f"\n{back_at - went_at:.1f} s down: {load.report()}\nfetches that failed, by worker {failed}; "
            f"the keys were fetched again {fetched_at - back_at:.1f} s after the return"
        )
    assert load.refused == []
    assert len(down) == WORKERS
    assert all(answer.fetches_failed for answer in down.values()), "the workers noticed the outage"
    assert len(load.kids) == 2
    assert [len(load.workers_of(kid)) for kid in load.kids] == [WORKERS] * 2
