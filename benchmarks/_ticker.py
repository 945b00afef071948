"""Ticks beside fetches and prints the longest gap. A process of its own, which imports no more than it needs."""

from __future__ import annotations

import asyncio
import gc
import json
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from statistics import median

from benchmarks._kit import DrivenClock, ask, door, trusted
from jwt_asgi import HttpxFetch
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import FetchResponse

LATER_FETCHES = 10


class AlternatingFetch:
    """The default fetch, which takes the two sets in turns and counts what it has brought."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._fetch = HttpxFetch(context)
        self.begun = self.done = 0

    async def __call__(self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        self.begun += 1
        turn = url if self.begun % 2 else url.replace("jwks", "other")
        response = await self._fetch(turn, headers=headers, timeout=timeout, limit=limit)
        self.done += 1
        return response


class Ticker:
    """Comes by in each turn of the loop, and notes the longest time between two turns: by the wall and by the CPU."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    async def run(self) -> None:
        wall, cpu = time.perf_counter(), time.thread_time()
        while True:
            await asyncio.sleep(0)
            now, now_cpu = time.perf_counter(), time.thread_time()
            self.wall, self.cpu = max(self.wall, now - wall), max(self.cpu, now_cpu - cpu)
            # Read anew: what the reading takes is no gap
            wall, cpu = time.perf_counter(), time.thread_time()


async def longest_gap(
    seconds: float, is_done: Callable[[], bool], begin: Callable[[], Awaitable[None]]
) -> tuple[float, float]:
    """Begin something, and tick until it is done and for a while after it."""
    ticker = Ticker()
    ticking = asyncio.create_task(ticker.run())
    await asyncio.sleep(0.02)
    ticker.wall = ticker.cpu = 0.0
    under_way = begin()  # kept, since the loop keeps only a weak reference to a task
    async with asyncio.timeout(30):
        while not is_done():  # noqa: ASYNC110 - not worth an event
            await asyncio.sleep(0.005)
    await asyncio.sleep(seconds)
    ticking.cancel()
    with suppress(asyncio.CancelledError):
        await ticking
    await under_way
    return ticker.wall * 1000, ticker.cpu * 1000


async def measure(url: str, token: str, root: str) -> dict[str, dict[str, float]]:
    """Return the longest gap with a fetch less the one without, in milliseconds."""
    context = None if root == "-" else ssl.create_default_context(cafile=root)
    clock, fetch = DrivenClock(), AlternatingFetch(context)
    kit = TestIssuer(url)
    app = door(trusted(kit, fetch, clock=clock))
    gc.collect()
    gc.freeze()

    async def request() -> None:
        if await ask(app, token) != 200:
            raise RuntimeError("expected the token to be good")

    def fetched(so_often: int) -> Callable[[], bool]:
        return lambda: fetch.done >= so_often

    first = await longest_gap(0.1, fetched(1), lambda: asyncio.create_task(request()))
    without = [await longest_gap(0.15, lambda: True, lambda: asyncio.create_task(request())) for _ in range(10)]
    later = []
    for count in range(2, LATER_FETCHES + 2):
        clock.now += 550  # of 600: the set is ageing
        later.append(await longest_gap(0.1, fetched(count), lambda: asyncio.create_task(request())))
    calm = [median(gap[index] for gap in without) for index in (0, 1)]
    return {
        "first": {"wall": first[0] - calm[0], "cpu": first[1] - calm[1]},
        "later": {
            "wall": median(gap[0] for gap in later) - calm[0],
            "cpu": median(gap[1] for gap in later) - calm[1],
        },
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(*sys.argv[1:4]))))
