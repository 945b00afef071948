"""Many at once: cold callers, strangers with unknown kids, a new key among them, threads. Real sockets throughout."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections import Counter
from statistics import median

from benchmarks._kit import (
    DrivenClock,
    Figure,
    IssuerProcess,
    ask,
    bound,
    door,
    exactly,
    jwks_of,
    tally,
    told,
    trusted,
    with_kid,
)
from jwt_asgi import HttpxFetch
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIApp

COLD_CALLERS = 2_000
STRANGERS = 10_000
THREADS = 16
WINDOW = 30.0
BATCH = 64
BATCHES = 60

FLOOD_A_SECOND = 100
STEP = 0.1
PUBLICATIONS = 5
PATIENCE = round(2 * WINDOW / STEP)


def cold() -> list[Figure]:
    """Callers that come while nothing is cached."""
    with IssuerProcess() as process:
        issuer = TestIssuer(process.url)
        process.serve(jwks_of(issuer), seconds=0.2)
        app, token = door(trusted(issuer, HttpxFetch())), issuer.token()

        async def call() -> tuple[list[int], float]:
            began = time.perf_counter()
            return await asyncio.gather(*(ask(app, token) for _ in range(COLD_CALLERS))), time.perf_counter() - began

        statuses, seconds = asyncio.run(call())
        return [
            exactly(f"GETs for {COLD_CALLERS:,} callers", process.gets(), 1),
            exactly("what they got", tally(statuses), f"{COLD_CALLERS:,} x 200"),
            told("until the last had an answer, of an issuer that takes 200 ms", seconds * 1000, "ms"),
        ]


def unknown() -> list[Figure]:
    """Strangers who make up kids: how often the issuer is asked, and what each costs."""
    clock = DrivenClock()
    with IssuerProcess() as process:
        issuer = TestIssuer(process.url)
        process.serve(jwks_of(issuer))
        app, good = door(trusted(issuer, HttpxFetch(), clock=clock)), issuer.token()
        tokens = [with_kid(good, f"stranger-{number}") for number in range(STRANGERS)]

        async def flood() -> list[int]:
            await ask(app, good)
            statuses: list[int] = []
            for first in range(0, STRANGERS, 100):
                statuses += await asyncio.gather(*(ask(app, token) for token in tokens[first : first + 100]))
                # All of them within the window, whose end is not in it
                clock.now += WINDOW / (STRANGERS / 100 + 1)
            return statuses

        statuses = asyncio.run(flood())
        gets = process.gets() - 1
    return [
        bound(f"GETs for {STRANGERS:,} kids within {WINDOW:g} s", gets, at_most=2),
        exactly("what they got", tally(statuses), f"{STRANGERS:,} x 401"),
        *asyncio.run(compare(app, issuer, tokens)),
    ]


async def compare(app: ASGIApp, issuer: TestIssuer, strangers: list[str]) -> list[Figure]:
    """Time requests with known and with unknown kids, batch by batch in turns, while the bucket is empty."""
    taken: dict[str, list[float]] = {"known": [], "unknown": []}
    gc.collect()
    gc.freeze()
    for batch in range(BATCHES):
        tokens = {"known": [issuer.token() for _ in range(BATCH)], "unknown": strangers[batch * BATCH :][:BATCH]}
        for name in sorted(tokens, reverse=batch % 2 == 1):
            gc.disable()
            began = time.thread_time_ns()
            for token in tokens[name]:
                await ask(app, token)
            taken[name].append((time.thread_time_ns() - began) / 1000 / BATCH)
            gc.enable()
    gc.unfreeze()
    ratio = median(other / one for one, other in zip(taken["known"], taken["unknown"], strict=True))
    return [
        told("a request with a known kid, RS256", median(taken["known"]), "us"),
        told("a request with an unknown kid", median(taken["unknown"]), "us"),
        told("unknown to known, median of paired batches", ratio),
    ]


def new_kid() -> list[Figure]:
    """A new key, published while strangers use up every fetch: how long until its tokens are taken."""
    with IssuerProcess() as process:
        delays, floods = asyncio.run(publish_in_flood(process))
    return [
        bound("the longest wait of a new key, asked for each 0.1 s", max(delays), at_most=WINDOW + STEP, unit="s"),
        told("each", ", ".join(f"{delay:.1f}" for delay in delays) + " s"),
        exactly("what the strangers got", tally(floods.elements()), f"{floods.total():,} x 401"),
    ]


async def publish_in_flood(process: IssuerProcess) -> tuple[list[float], Counter[int]]:
    clock, issuer = DrivenClock(), TestIssuer(process.url)
    process.serve(jwks_of(issuer))
    app, good = door(trusted(issuer, HttpxFetch(), clock=clock)), issuer.token()
    await ask(app, good)
    floods: Counter[int] = Counter()
    number = 0

    async def step() -> None:
        nonlocal number
        count = round(FLOOD_A_SECOND * STEP)
        strangers = (with_kid(good, f"stranger-{number + index}") for index in range(count))
        number += count
        floods.update(await asyncio.gather(*(ask(app, stranger) for stranger in strangers)))
        clock.now += STEP

    for _ in range(PATIENCE):  # until the strangers have used up what there is at first
        await step()
    delays = []
    for publication in range(PUBLICATIONS):
        gets = process.gets()
        # From a fetch on, so that the moments of publication lie 0, 6, 12 … s behind it: 0 is the worst
        for _ in range(PATIENCE):
            if process.gets() > gets:
                break
            await step()
        for _ in range(round(publication * WINDOW / PUBLICATIONS / STEP)):
            await step()
        issuer.rotate()
        process.serve(jwks_of(issuer))
        published, new = clock.now, issuer.token()
        for _ in range(PATIENCE):
            if await ask(app, new) == 200:
                break
            await step()
        delays.append(clock.now - published)
    return delays, floods


def threads() -> list[Figure]:
    """Threads with event loops of their own that share one middleware, all cold."""
    statuses: list[int] = []
    with IssuerProcess() as process:
        issuer = TestIssuer(process.url)
        process.serve(jwks_of(issuer), seconds=0.2)
        app, token, barrier = door(trusted(issuer, HttpxFetch())), issuer.token(), threading.Barrier(THREADS)

        def work() -> None:
            barrier.wait()
            statuses.append(asyncio.run(ask(app, token)))

        workers = [threading.Thread(target=work) for _ in range(THREADS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return [
            exactly(f"GETs for {THREADS} threads", process.gets(), 1),
            exactly("what they got", tally(statuses), f"{THREADS} x 200"),
        ]
