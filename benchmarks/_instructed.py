"""Requests whose instructions are counted: `python -m benchmarks._instructed FILE NUMBER`.

Of each case, NUMBER requests are not counted, then NUMBER are, then twice as many. `os.getppid` marks where a count
begins and ends: valgrind is told to look at `getppid`, which nothing else calls. Clocks stand still, keys come from
memory, and FILE holds the tokens, so that two processes do the same. It imports little, as that takes long there.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks._requests import answer, status_of
from jwt_asgi import JWTMiddleware, LoggingHook, TrustedIssuer, Verifier
from jwt_asgi.types import ASGIApp, FetchResponse

BARE, HIT, COLD, BAD, UNKNOWN = CASES = ("bare", "cached hit", "first time", "bad signature", "unknown kid")
# How many times the number of requests each part of a case has; the first is not counted
PHASES = (1, 1, 2)


class Stock:
    """What a case takes its tokens from."""

    def __init__(self, found: Mapping[str, list[str]]) -> None:
        self._tokens: dict[str, Iterator[str]] = {case: iter(found[case]) for case in (COLD, BAD, UNKNOWN)}
        self._seen = next(self._tokens[COLD])

    def take(self, case: str) -> bytes:
        tokens = self._tokens.get(case)
        return (self._seen if tokens is None else next(tokens)).encode()


async def main(path: Path, number: int) -> None:
    found = json.loads(path.read_text())  # noqa: ASYNC240 - before anything else runs
    stock, now = Stock(found), float(found["now"])
    door = make(found, now)
    gc.disable()
    # The token of the hits; this fetches the keys, too
    statuses = Counter([await status_of(door, stock.take(HIT))])
    for case in CASES:
        app = answer if case == BARE else door
        for times in PHASES:
            os.getppid()
            for _ in range(times * number):
                statuses[await status_of(app, stock.take(case))] += 1
    os.getppid()
    print(json.dumps(statuses))


def make(found: Mapping[str, str], now: float) -> ASGIApp:
    """Return the protected application."""

    async def fetch(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:  # noqa: ARG001 - the protocol's own
        return FetchResponse(200, {}, found["keys"].encode())

    def clock() -> float:
        return now

    trusted = TrustedIssuer(
        issuer=found["issuer"],
        audience=found["audience"],
        algorithms=[found["algorithm"]],
        jwks_uri="https://issuer.test/jwks.json",
        fetch=fetch,
        key_clock=clock,
    )
    return JWTMiddleware(answer, verifier=Verifier(trusted, clock=clock), hooks=[LoggingHook(clock=clock)])


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
