"""How the key cache behaves in crowds, floods, rotations and outages, with what was expected of it.

    python -m benchmarks.keys [--only cold,replay] [--json]

benchmarks/README.md says what is measured, and how. It fails when a count is not what it must be, never on a time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict

from benchmarks._crowds import cold, new_kid, threads, unknown
from benchmarks._kit import Figure
from benchmarks._latency import p99
from benchmarks._memory import memory
from benchmarks._replay import replay
from benchmarks._stall import stall

PARTS: dict[str, Callable[[], list[Figure]]] = {
    "cold": cold,
    "unknown": unknown,
    "new-kid": new_kid,
    "threads": threads,
    "replay": replay,
    "p99": p99,
    "stall": stall,
    "memory": memory,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAMES", default=",".join(PARTS), help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    if unknown_names := set(names) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown_names))}; expected some of {', '.join(PARTS)}")
    results: dict[str, list[Figure]] = {}
    for name in names:
        began = time.monotonic()
        results[name] = PARTS[name]()
        if not arguments.json:
            print("\n".join([f"{name} ({time.monotonic() - began:.0f} s)", *map(line, results[name]), ""]), flush=True)
    if arguments.json:
        print(json.dumps({name: [asdict(figure) for figure in figures] for name, figures in results.items()}, indent=2))
    broken = [f"{name}: {figure.what}" for name, figures in results.items() for figure in figures if figure.broken]
    print("\n".join(f"broken: {what}" for what in broken), file=sys.stderr, end="\n" if broken else "")
    return 1 if broken else 0


def line(figure: Figure) -> str:
    verdict = {None: "", True: "  met", False: "  BROKEN" if figure.bound else "  missed"}[figure.met]
    expected = f"  (expected {figure.expected}){verdict}" if figure.expected else ""
    return f"  {figure.what}: {figure.value}{expected}"


if __name__ == "__main__":
    sys.exit(main())
