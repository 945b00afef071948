"""`python -m tests.differential --count 1000000 --seed 1`: the long comparison, and a table of what differed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

from tests.differential.classes import CLASSES
from tests.differential.compare import Tally, compare

SLICE = 20_000


def main(arguments: list[str] | None = None) -> int:
    """Compare, print, and return 1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="how many tokens")
    parser.add_argument("--seed", type=int, default=1, help="which ones: the same seed gives the same tokens")
    parser.add_argument("--start", type=int, default=0, help="the number of the first")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument(
        "--save", type=Path, help="a file that keeps the count after each slice, and goes on from there"
    )
    given = parser.parse_args(arguments)
    tally, done = _restored(given.save, given.seed, given.start)
    last = given.start + given.count
    slices = [(start, min(SLICE, last - start)) for start in range(given.start + done, last, SLICE)]
    for part in _parts(given.seed, slices, given.processes):
        tally.add(part)
        if given.save:
            told = {"seed": given.seed, "start": given.start, "tally": tally.as_dict()}
            given.save.write_text(json.dumps(told), encoding="utf-8")
        print(f"{tally.judged:>9} judged, {tally.fault_count} faults", file=sys.stderr, flush=True)
    print(report(tally))
    return 1 if tally.fault_count or tally.never() else 0


def _restored(save: Path | None, seed: int, start: int) -> tuple[Tally, int]:
    if save is None or not save.exists():
        return Tally(), 0
    told: dict[str, Any] = json.loads(save.read_text(encoding="utf-8"))
    if (told["seed"], told["start"]) != (seed, start):
        raise SystemExit(f"{save} is of seed {told['seed']} from {told['start']}")
    tally = Tally.from_dict(told["tally"])
    return tally, tally.judged


def _parts(seed: int, slices: list[tuple[int, int]], processes: int) -> Iterator[Tally]:
    if processes == 1:
        yield from (compare(seed, start, count) for start, count in slices)
    else:
        starts, counts = [start for start, _ in slices], [count for _, count in slices]
        with ProcessPoolExecutor(processes) as pool:
            yield from pool.map(compare, repeat(seed), starts, counts)


def report(tally: Tally) -> str:
    """The table."""
    lines = [
        f"{tally.judged} tokens: {tally.accepted} accepted by us, {tally.refused} refused",
        f"{tally.differed} judged otherwise by another; {tally.fault_count} faults",
        "",
        f"{'joserfc':>8} {'PyJWT':>8}  we       because of",
    ]
    for known in CLASSES:
        counts = [
            tally.classes[f"{known.name} ({party})"] if party in known.parties else "" for party in ("joserfc", "PyJWT")
        ]
        verdict = "accept" if known.accepted else "refuse"
        lines.append(f"{counts[0]:>8} {counts[1]:>8}  {verdict:<8} {known.name}: {known.why}")
    lines += [f"never occurred: {name}" for name in tally.never()]
    lines += [json.dumps(fault) for fault in tally.faults]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
