"""What each contender adds to a request over its own bare application, in process.

    python -m benchmarks.added [--algorithms RS256] [--only jwt-asgi,floor] [--tokens 10000] [--json] [--plot FILE]

benchmarks/README.md says what is measured, and how. It never fails on a time: read the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from cryptography.exceptions import InvalidSignature

from benchmarks._added import COLUMNS, RAW, RAW_BAD, Added, Result, Row, report, versions
from benchmarks._contenders import BARE, Contender, LeftOut, answers_of, chosen, fault_of
from benchmarks._floors import raw_of
from benchmarks._plot import plot
from benchmarks._requests import a_scope, cost_of
from benchmarks._site import Crowd, Site, bad_tokens, make_crowd, open_site
from jwt_asgi.types import ASGIApp

ALGORITHMS = ("RS256", "ES256", "EdDSA")
LOOPS = ("asyncio", "uvloop")
BATCH = 50
REPEATED, COLD, AGAIN, BAD, UNKNOWN = COLUMNS

Round = dict[str, float]


@dataclass(frozen=True, slots=True)
class Runner:
    """A contender that has shown that it verifies."""

    contender: Contender
    app: ASGIApp
    answers: dict[str, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithms", default=",".join(ALGORITHMS), help="default: %(default)s")
    parser.add_argument("--loops", default=LOOPS[0], help="some of asyncio,uvloop; default: %(default)s")
    parser.add_argument("--only", metavar="WORDS", default="", help="contenders with one of these words in their name")
    parser.add_argument("--tokens", type=int, default=10_000, help="how many distinct ones; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--of", metavar="FILE", type=Path, help="measure nothing: print an earlier run's JSON")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="also draw the first result as an SVG")
    arguments = parser.parse_args()
    if arguments.of is None:
        only = [word for word in arguments.only.split(",") if word]
        with only_on(Path(os.devnull)):
            results = [
                asyncio.Runner(loop_factory=factory).run(measure(algorithm, loop, only, arguments.tokens))
                for loop, factory in loops_of(arguments.loops)
                for algorithm in arguments.algorithms.split(",")
            ]
        found: dict[str, Any] = {"versions": versions(), "results": [asdict(result) for result in results]}
    else:
        found = json.loads(arguments.of.read_text())
    if arguments.plot is not None:
        arguments.plot.write_text(plot(found))
    print(json.dumps(found, indent=2) if arguments.json else "\n".join(report(found)))


def loops_of(names: str) -> list[tuple[str, Callable[[], asyncio.AbstractEventLoop] | None]]:
    return [(name, import_module(name).new_event_loop if name != LOOPS[0] else None) for name in names.split(",")]


@contextmanager
def only_on(log: Path) -> Iterator[None]:
    """Send what is logged there: it is made as it is for a terminal, and nobody reads it."""
    sys.stderr.flush()
    kept = os.dup(2)
    with log.open("wb") as sink:
        os.dup2(sink.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


async def measure(algorithm: str, loop: str, only: Sequence[str], tokens: int) -> Result:
    with open_site(algorithm) as (site, issuer):
        crowd = make_crowd(issuer, max(tokens, 4 * BATCH))
        bad = {
            "bad signature": crowd.forged[0],
            "unknown kid": crowd.unknown[0],
            **bad_tokens(issuer),
            "no token": None,
        }
        here, left_out = chosen(only)
        runners = [found async for found in checked(here, site, {"good": crowd.good[0], **bad}, left_out)]
        gc.collect()
        gc.freeze()
        rounds = await run(runners, site, crowd)
    rows = [row(runner, rounds) for runner in runners]
    raws = {name: median(one[name] for one in rounds[column]) for name, column in ((RAW, COLD), (RAW_BAD, BAD))}
    return Result(algorithm, loop, len(crowd.good), len(crowd.good[0]), raws, rows, left_out)


async def checked(
    here: Sequence[Contender], site: Site, tokens: dict[str, bytes | None], left_out: list[LeftOut]
) -> Any:  # noqa: ANN401 - an async generator
    """Yield those that take the good token, and no other."""
    for contender in here:
        try:
            app = contender.build(site)
            answers = await answers_of(app, tokens)
            fault = fault_of(contender, answers)
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is why it has no figure
            fault = f"fails: {type(error).__name__}: {error}"
        if fault:
            left_out.append(LeftOut(contender.name, fault))
        else:
            yield Runner(contender, app, answers)


async def run(runners: Sequence[Runner], site: Site, crowd: Crowd) -> dict[str, list[Round]]:
    """Let all contenders answer batch after batch, in turns; return the microseconds a request of each round.

    Half of the tokens are shown to all of them first. Then `again` takes those, and `cold` the other half, round by
    round, so that both meet the same machine.
    """
    rounds: dict[str, list[Round]] = {column: [] for column in COLUMNS}
    raw, half = raw_of(site), len(crowd.good) // 2
    for number in range(0, half, BATCH):
        await one_round(runners, crowd.good[number : min(number + BATCH, half)], number)
    for number in range(0, half, BATCH):
        new = slice(half + number, min(half + number + BATCH, 2 * half))
        batches = {
            REPEATED: crowd.good[:1] * BATCH,
            COLD: crowd.good[new],
            AGAIN: crowd.good[number : min(number + BATCH, half)],
            BAD: crowd.forged[new],
            UNKNOWN: crowd.unknown[new],
        }
        for column, batch in batches.items():
            rounds[column].append(await one_round(runners, batch, len(rounds[column])))
        rounds[COLD][-1][RAW] = raw_cost(raw, crowd.signed[new])
        rounds[BAD][-1][RAW_BAD] = raw_cost(raw, crowd.forged_signed[new])
    return rounds


async def one_round(runners: Sequence[Runner], tokens: Sequence[bytes], number: int) -> Round:
    first = number % len(runners)
    order = [*runners[first:], *runners[:first]]
    return {runner.contender.key: await cost_of(runner.app, [a_scope(token) for token in tokens]) for runner in order}


def raw_cost(raw: Callable[[bytes, bytes], None], signed: Sequence[tuple[bytes, bytes]]) -> float:
    gc.disable()
    begun = time.process_time_ns()
    for signature, signing_input in signed:
        try:
            raw(signature, signing_input)
        except InvalidSignature:
            continue
    taken = time.process_time_ns() - begun
    gc.enable()
    return taken / 1000 / len(signed)


def row(runner: Runner, rounds: dict[str, list[Round]]) -> Row:
    contender = runner.contender
    return Row(
        name=contender.name,
        group=contender.group,
        microseconds=median(one[contender.key] for one in rounds[REPEATED]),
        added={} if contender.name == BARE else {column: added(contender, rounds[column]) for column in COLUMNS},
        to_raw=None if contender.group != "ASGI" or contender.name == BARE else to_raw(contender, rounds[COLD]),
        answers=runner.answers,
    )


def added(contender: Contender, rounds: Sequence[Round]) -> Added:
    over = [one[contender.key] - one[contender.bare] for one in rounds]
    low, middle, high = quantiles(over)
    return Added(middle, low, high, median(one[contender.key] / one[contender.bare] for one in rounds))


def to_raw(contender: Contender, rounds: Sequence[Round]) -> tuple[float, float, float]:
    """What is added for a token that is new, as a ratio to its raw verification, with the quartiles."""
    low, middle, high = quantiles((one[contender.key] - one[contender.bare]) / one[RAW] for one in rounds)
    return middle, low, high


if __name__ == "__main__":
    main()
