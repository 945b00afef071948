"""What the token service costs: rotations, tokens, a million families, and the forgetting of a million.

    python -m benchmarks.issuer [--only rotations,issue,growth,gc] [--databases sqlite,postgresql]
                                [--folder /var/tmp] [--seconds 10] [--json]

Method. Both databases have their data on the disk that `--folder` is on, and wait for it before they answer (SQLite:
WAL, synchronous = FULL; PostgreSQL: fsync and synchronous_commit are on, shared_buffers 512 MB): the first figure is
how long that disk takes to keep 4 KiB. Clients, store and PostgreSQL share this machine; the clients and the store
are one process with one event loop. A rotation is `Store.present` with the newest generation of a family that is
drawn at random, and is checked to have rotated.

- Closed loop: 32 clients, each of which comes again as soon as it is answered.
- Open loop: clients come at random (a Poisson process) at a given rate, whether or not those before them were
  answered; what a rotation takes is counted from when its client was to come. When as many wait as come in two
  seconds, who comes is turned away, and counted.

rotations: the closed loop takes turns with the raw limit, which is the store's own UPDATE by sqlite3 in one thread,
    with a commit for each and with one for 32, or by asyncpg's prepared statements on 16 connections. The share of it
    is that of each turn, in the median. Then the open loop at 300 and 1,000 a second, on PostgreSQL also at 3,000.
issue: `AccessTokens.issue` for a session, in batches that take turns with `cryptography`'s signature alone; then with
    `Store.add_session` before each, 32 at once.
growth: the open loop at the lowest rate with 10 thousand, 100 thousand and a million families, which are put in by
    bulk; how the database finds the row; and the share of PostgreSQL's updates that touched an index, which keeps
    statistics of it.
gc: a million sessions that ended over a week ago, and 10 thousand that live. The open loop at the lowest rate takes
    turns: 2 seconds alone, 6 seconds beside `Store.collect`, which is called with pauses at random, until nothing is
    left to forget or `--gc-seconds` have passed beside it. The rise is the difference between the p99 of both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import median

from benchmarks._databases import NAMES, TOGETHER, PostgreSQLServer, SQLiteFile, absent, fsync_of, opened, prepared
from benchmarks._issuing import RAW, issue, issue_and_keep
from benchmarks._kit import Figure, exactly, hoped, reached, told
from benchmarks._traffic import Families, Found, closed, open_loop

RATES = {"SQLite": (300, 1000), "PostgreSQL": (300, 1000, 3000)}
PLANS = {
    "SQLite": "SEARCH jwt_asgi_session USING INDEX sqlite_autoindex_jwt_asgi_session_1 (id=?)",
    "PostgreSQL": "Index Scan using jwt_asgi_session_pkey on jwt_asgi_session",
}
TURNS = 3
WARM = 0.05
"""How long the connections are used before an open loop, in a share of it."""
P99 = 50.0
RISE = 10.0
SIZES = (100, 10, 1)
ALONE, BESIDE = 2.0, 6.0

Database = SQLiteFile | PostgreSQLServer


async def rotations(database: Database, arguments: argparse.Namespace) -> list[Figure]:
    """How many a second, and how long each takes."""
    families = Families(await database.fill(arguments.families))
    await closed(database.store, families, TOGETHER, WARM * arguments.seconds)
    limits: dict[str, list[float]] = {}
    all_closed, shares = Found(), []
    for _ in range(TURNS):
        raw = await database.raw(families, arguments.seconds / TURNS)
        ours = await closed(database.store, families, TOGETHER, arguments.seconds / TURNS)
        all_closed.add(ours)
        for way, rate in raw.items():
            limits.setdefault(way, []).append(rate)
        shares.append(ours.rate / max(raw.values()))
    figures = [told(f"raw, {way}", median(rates), "/s") for way, rates in limits.items()]
    what = f"closed loop, {TOGETHER} in flight"
    figures += [told(what, all_closed.rate, "/s"), *all_closed.figures(what)]
    figures.append(told(f"{what}: share of the raw limit", 100 * median(shares), "%"))
    for rate in arguments.rates or RATES[database.name]:
        found = await open_loop(database.store, families, rate, arguments.seconds)
        figures += found.figures(f"open loop, {rate:,}/s", P99)
    return figures


async def growth(database: Database, arguments: argparse.Namespace) -> list[Figure]:
    """Whether a rotation is dearer among a million families."""
    families, figures, p50, p99 = Families([]), [], [], []
    rate = (arguments.rates or RATES[database.name])[0]
    for part in SIZES:
        families.add(await database.fill(arguments.most // part - len(families)))
        what = f"{len(families):,} families, {rate:,}/s"
        await closed(database.store, families, TOGETHER, WARM * arguments.seconds)
        found = await open_loop(database.store, families, rate, arguments.seconds)
        figures += found.figures(what)
        p50.append(found.ms(0.5))
        p99.append(found.ms(0.99))
        if isinstance(database, PostgreSQLServer):
            changed, in_page = await database.updates()
            figures.append(reached(f"{what}: HOT updates", 100 * in_page / max(changed, 1), at_least=95, unit="%"))
    plan = await database.plan()
    figures.append(exactly("how the row is found", plan, PLANS[database.name]))
    figures.append(hoped("p50 with the most families to that with the fewest", p50[-1] / p50[0], at_most=2.0))
    return [*figures, told("p99 with the most families to that with the fewest", p99[-1] / p99[0])]


async def gc(database: Database, arguments: argparse.Namespace) -> list[Figure]:
    """Whether who refreshes notices that others are forgotten."""
    families = Families(await database.fill(arguments.families))
    await database.fill(arguments.dead, dead=True)
    rate = (arguments.rates or RATES[database.name])[0]
    await closed(database.store, families, TOGETHER, WARM * arguments.seconds)
    forgotten, calls, waiting = 0, [0.0], asyncio.Event()

    async def collect() -> None:
        nonlocal forgotten
        while True:
            await waiting.wait()
            began = time.perf_counter()
            found = await database.store.collect()
            calls.append(time.perf_counter() - began)
            forgotten += found
            if not found:
                return
            await asyncio.sleep(random.uniform(0.5, 1.5) * arguments.pause)

    collecting = asyncio.create_task(collect())
    alone, beside = Found(), Found()
    while not collecting.done() and beside.seconds < arguments.gc_seconds:
        alone.add(await open_loop(database.store, families, rate, min(ALONE, arguments.seconds)))
        waiting.set()
        part = await open_loop(database.store, families, rate, min(BESIDE, arguments.seconds), collecting.done)
        waiting.clear()
        beside.add(part)
    collecting.cancel()
    await asyncio.gather(collecting, return_exceptions=True)
    return [
        told("rows that were forgotten", forgotten),
        told("rows a second", forgotten / beside.seconds, "/s"),
        told("longest call of collect", max(calls) * 1e3, "ms"),
        *alone.figures(f"{rate:,}/s alone"),
        *beside.figures(f"{rate:,}/s beside it"),
        hoped("rise of p99", beside.ms(0.99) - alone.ms(0.99), at_most=RISE, unit="ms"),
    ]


PARTS: dict[str, Callable[[Database, argparse.Namespace], Awaitable[list[Figure]]]] = {
    "rotations": rotations,
    "issue": issue_and_keep,
    "growth": growth,
    "gc": gc,
}


def parsed(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAMES", default=",".join(PARTS), help="default: %(default)s")
    parser.add_argument("--databases", metavar="NAMES", default=",".join(NAMES), help="default: %(default)s")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="on the disk; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each figure; default: %(default)s")
    parser.add_argument("--families", type=int, default=10_000, help="that live; default: %(default)s")
    parser.add_argument("--algorithms", metavar="NAMES", default=",".join(RAW), help="default: %(default)s")
    parser.add_argument("--rates", type=lambda text: [int(rate) for rate in text.split(",")], help="of the open loop")
    parser.add_argument("--most", type=int, default=1_000_000, help="families of `growth`; default: %(default)s")
    parser.add_argument("--dead", type=int, default=1_000_000, help="sessions of `gc`; default: %(default)s")
    parser.add_argument("--gc-seconds", type=float, default=90.0, help="at most; default: %(default)s")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds between calls; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    arguments = parser.parse_args(given)
    for name, known in (("only", tuple(PARTS)), ("databases", NAMES), ("algorithms", tuple(RAW))):
        if unknown := set(getattr(arguments, name).split(",")) - set(known):
            parser.error(f"--{name}: there is no {', '.join(sorted(unknown))}; expected some of {', '.join(known)}")
    return arguments


async def measured(url: str, part: str, arguments: argparse.Namespace) -> list[Figure]:
    """The figures of one part, on an empty database."""
    async with opened(url) as database:
        return await PARTS[part](database, arguments)


def figures_of(arguments: argparse.Namespace) -> Iterator[tuple[str, list[Figure]]]:
    """The figures, by part and database, as they are found."""
    yield "disk", [told("4 KiB for good", fsync_of(arguments.folder) * 1e3, "ms")]
    parts = arguments.only.split(",")
    if "issue" in parts:
        yield "issue", issue(arguments)
    for name in arguments.databases.split(","):
        for part in parts:
            if reason := absent(name):
                yield f"{part}, {name}", [told("skipped", reason)]
                continue
            with prepared(name, arguments.folder) as url:
                yield f"{part}, {name}", asyncio.run(measured(url, part, arguments))


def main() -> int:
    arguments = parsed(None)
    found = {}
    for part, figures in figures_of(arguments):
        found[part] = figures
        for figure in figures if not arguments.json else ():
            expected = f"  (expected {figure.expected})" if figure.expected else ""
            print(f"{part}: {figure.what}: {figure.value}{expected}", flush=True)
    if arguments.json:
        print(json.dumps({part: [asdict(figure) for figure in figures] for part, figures in found.items()}, indent=2))
    return 1 if any(figure.broken for figures in found.values() for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
