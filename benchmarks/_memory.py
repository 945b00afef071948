"""What 100,000 strangers, and 100,000 good tokens, leave behind in memory."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tracemalloc
from mmap import PAGESIZE
from pathlib import Path

from benchmarks._kit import (
    DrivenClock,
    Figure,
    InProcessFetch,
    ask,
    bound,
    door,
    hoped,
    jwks_of,
    run_fresh,
    settle,
    told,
    trusted,
    with_kid,
)
from jwt_asgi.testing import TestIssuer

TOKENS = 100_000
FIRST = 1_000
TRACED = 20_000
BLOCKS = 2_000
"""Whoever keeps one object of each token exceeds it fifty times."""
KIBIBYTES = 64
"""About three bytes a traced token: whoever keeps one pointer of each exceeds it."""
RESIDENT_KIBIBYTES = 4_096
"""The allocators' affair, and the system's."""
PAGES = Path("/proc/self/statm")


def memory() -> list[Figure]:
    """Growth over tokens that are all different, in a fresh process for each kind."""
    figures: list[Figure] = []
    for kind, words in {"unknown": "unknown kids", "good": "good tokens"}.items():
        found = run_fresh("_memory", kind)
        figures += [
            bound(f"{TOKENS:,} {words}: growth in allocated blocks", found["blocks"], at_most=BLOCKS),
            bound(f"{TRACED:,} {words} more: growth, traced", found["traced"] / 1024, at_most=KIBIBYTES, unit="KiB"),
            told(f"{words}: GETs meanwhile", found["gets"]),
        ]
        if PAGES.exists():
            resident = found["resident"] / 1024
            what = f"{TOKENS:,} {words}: growth, resident"
            figures.insert(-3, hoped(what, resident, at_most=RESIDENT_KIBIBYTES, unit="KiB"))
    return figures


async def measure(kind: str) -> dict[str, float]:
    """Return the growth from after the first tokens to after all, garbage collected at both."""
    issuer, clock = TestIssuer(algorithms=["ES256"]), DrivenClock()
    fetch = InProcessFetch(jwks_of(issuer))
    app, good = door(trusted(issuer, fetch, clock=clock)), issuer.token(expires_in=36_000)

    async def send(first: int, count: int) -> None:
        for number in range(first, first + count):
            if kind == "good":
                token, expected = issuer.token(), 200
            else:
                # A kid of its greatest length; and so late after the last that the issuer is asked for each
                token, expected = with_kid(good, f"{number:0256}", "ES256"), 401
                clock.now += 30
            if await ask(app, token) != expected:
                raise RuntimeError(f"expected {expected} for each token of this kind")
            await settle()

    await send(0, FIRST)
    pages, blocks = resident(), sys.getallocatedblocks()
    await send(FIRST, TOKENS - FIRST)
    pages, blocks = resident() - pages, sys.getallocatedblocks() - blocks
    tracemalloc.start()
    await send(TOKENS, FIRST)
    gc.collect()
    traced = tracemalloc.get_traced_memory()[0]
    await send(TOKENS + FIRST, TRACED)
    gc.collect()
    traced = tracemalloc.get_traced_memory()[0] - traced
    return {"blocks": blocks, "resident": pages, "traced": traced, "gets": fetch.gets}


def resident() -> int:
    """Bytes; the garbage is collected first."""
    gc.collect()
    return int(PAGES.read_text().split()[1]) * PAGESIZE if PAGES.exists() else 0


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(sys.argv[1]))))
