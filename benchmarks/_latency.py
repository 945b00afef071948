"""Requests with a known kid while the issuer is up, refuses, hangs or fails, and the set is being refreshed."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

from benchmarks._kit import (
    PATH,
    DrivenClock,
    Figure,
    IssuerProcess,
    ask,
    door,
    exactly,
    hoped,
    jwks_of,
    percentile,
    tally,
    told,
    trusted,
)
from jwt_asgi import HttpxFetch, KeyCaching
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIApp, Fetch, FetchResponse

ROUNDS = 24
REQUESTS = 1_000
"""Of one round, which has one attempt to fetch. A second's traffic: attempts are never closer in the first minute."""
RATE = 1_000
TTL = 3600.0
AGEING = 0.86 * TTL
PAST_BACKOFF = 31.0
CACHING = KeyCaching(ttl=TTL, timeout=0.5)
TIMES_UP = 1.2
STATES = ("up", "refuses", "hangs", "answers 500")


@dataclass(slots=True)
class Contender:
    """A middleware whose issuer is in one state, its clock, and what was measured."""

    app: ASGIApp
    clock: DrivenClock
    fetch: TurningFetch
    latencies: list[float] = field(default_factory=list)
    p99s: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    attempted: list[bool] = field(default_factory=list)

    def forget(self) -> None:
        for measured in (self.latencies, self.p99s, self.statuses, self.attempted):
            measured.clear()


class TurningFetch:
    """The default fetch, which is sent to another URL once the set is there, and counts."""

    def __init__(self) -> None:
        self._fetch: Fetch = HttpxFetch()
        self.url: str | None = None
        self.begun = self.ended = 0

    async def __call__(self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        self.begun += 1
        try:
            return await self._fetch(self.url or url, headers=headers, timeout=timeout, limit=limit)
        finally:
            self.ended += 1


def p99() -> list[Figure]:
    """Rounds in turns, each with an attempt to refresh the set under way."""
    with IssuerProcess() as process, socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # nobody listens, so it refuses
        issuer = TestIssuer(process.url)
        process.serve(jwks_of(issuer))
        process.hang("/hangs")
        process.serve(b"", "/fails", status=500)
        urls = {
            "up": None,
            "refuses": f"http://127.0.0.1:{deaf.getsockname()[1]}{PATH}",
            "hangs": f"{process.url}/hangs",
            "answers 500": f"{process.url}/fails",
        }
        contenders = asyncio.run(measure(issuer, urls))
    up = contenders["up"]
    figures: list[Figure] = []
    for name, found in contenders.items():
        expected = f"{REQUESTS * ROUNDS:,} x 200"
        figures += [
            exactly(f"{name}: what was answered", tally(found.statuses), expected),
            exactly(f"{name}: rounds with an attempt", sum(found.attempted), ROUNDS),
            told(f"{name}: p50", percentile(found.latencies, 0.5) * 1e6, "us"),
            told(f"{name}: p99, median of the rounds", median(found.p99s) * 1e6, "us"),
        ]
        if found is not up:
            ratio = median(one / other for one, other in zip(found.p99s, up.p99s, strict=True))
            figures.append(hoped(f"{name}: p99 to p99 of up, median of paired rounds", ratio, at_most=TIMES_UP))
    return figures


async def measure(issuer: TestIssuer, urls: Mapping[str, str | None]) -> dict[str, Contender]:
    contenders = {name: await prepare(issuer, url) for name, url in urls.items()}
    tokens = [issuer.token(expires_in=3600) for _ in range(200)]
    for contender in contenders.values():
        await run_round(contender, tokens)
        contender.forget()
    gc.collect()
    gc.freeze()
    names = list(contenders)
    for number in range(ROUNDS):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            contender = contenders[name]
            if number == ROUNDS // 2 and name != "up":
                # From ageing to stale: it has failed already, so nobody waits
                contender.clock.now += TTL
            gc.collect()
            await run_round(contender, tokens)
    gc.unfreeze()
    return contenders


async def prepare(issuer: TestIssuer, url: str | None) -> Contender:
    """Fetch the set from the issuer that is up, then let it age under the one that is not."""
    clock, fetch = DrivenClock(), TurningFetch()
    contender = Contender(door(trusted(issuer, fetch, clock=clock, caching=CACHING)), clock, fetch)
    if await ask(contender.app, issuer.token()) != 200:
        raise RuntimeError("expected the issuer to be up at first")
    fetch.url = url
    clock.now += 0 if url is None else AGEING
    return contender


async def run_round(contender: Contender, tokens: list[str]) -> None:
    """Send requests at their times, however long the ones before take, and measure each from its time on.

    So whatever stops the loop counts for every request that should have come meanwhile.
    """
    contender.clock.now += PAST_BACKOFF if contender.fetch.url else AGEING
    latencies, fetched = [], contender.fetch.begun
    begun = time.perf_counter()
    for number in range(REQUESTS):
        due = begun + number / RATE
        while time.perf_counter() < due:  # noqa: ASYNC110 - a timer is too coarse
            await asyncio.sleep(0)
        contender.statuses.append(await ask(contender.app, tokens[number % len(tokens)]))
        latencies.append(time.perf_counter() - due)
    while contender.fetch.ended < contender.fetch.begun:  # noqa: ASYNC110 - not worth an event
        await asyncio.sleep(0.01)
    contender.attempted.append(contender.fetch.begun > fetched)
    contender.latencies += latencies
    contender.p99s.append(percentile(latencies, 0.99))
