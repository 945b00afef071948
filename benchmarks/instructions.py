"""How many instructions a request takes: a count without noise, so that a regression shows.

    python -m benchmarks.instructions [--requests 200] [--algorithms RS256] [--against FILE] [--json]

benchmarks/README.md says what is counted, and how. It never fails on a count.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks._added import lines, versions
from benchmarks._instructed import BAD, CASES, COLD, PHASES, UNKNOWN
from benchmarks._kit import ROOT
from benchmarks._site import Site, make_crowd, open_site
from jwt_asgi.testing import TestIssuer

COUNTER = "valgrind"
TOTALS = re.compile(r"^totals: (\d+)", re.MULTILINE)
LIBRARIES = ("jwt-asgi", "cryptography", "joserfc")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithms", default="RS256", help="default: %(default)s")
    parser.add_argument("--requests", type=int, default=200, help="of each case; default: %(default)s")
    parser.add_argument("--against", metavar="FILE", type=Path, help="the JSON of an earlier run, to compare with")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args()
    if shutil.which(COUNTER) is None:
        print(f"skipped: {COUNTER} is not installed: apt-get install {COUNTER}")
        return
    counts = {name: count(name, arguments.requests) for name in arguments.algorithms.split(",")}
    found = {"versions": versions(LIBRARIES), "requests": arguments.requests, "instructions": counts}
    before = None if arguments.against is None else json.loads(arguments.against.read_text())
    print(json.dumps(found, indent=2) if arguments.json else "\n".join(report(found, before)))


def count(algorithm: str, requests: int) -> dict[str, int]:
    """Return the instructions of a request of each case."""
    with open_site(algorithm) as (site, issuer), TemporaryDirectory() as folder:
        orders = Path(folder) / "orders.json"
        orders.write_text(json.dumps(orders_of(site, issuer, requests)))
        parts = collected(orders, requests)
    if len(parts) != len(CASES) * len(PHASES) + 2:
        raise RuntimeError(f"expected a count for each of {len(CASES)} cases; got {parts}")
    # The first part is the start of the process; each case has one that is not counted, N requests, and 2 N
    singles, doubles = parts[2::3], parts[3::3]
    return {case: round((two - one) / requests) for case, one, two in zip(CASES, singles, doubles, strict=False)}


def orders_of(site: Site, issuer: TestIssuer, requests: int) -> dict[str, Any]:
    crowd = make_crowd(issuer, sum(PHASES) * requests + 1)
    tokens = {COLD: crowd.good, BAD: crowd.forged, UNKNOWN: crowd.unknown}
    told = {"now": time.time(), "issuer": site.issuer, "audience": site.audience, "algorithm": site.algorithm}
    return {**told, "keys": site.keys, **{case: [token.decode() for token in some] for case, some in tokens.items()}}


def collected(orders: Path, requests: int) -> list[int]:
    """Return the instructions between the marks of a fresh interpreter, in order; the last are those of its end."""
    out = orders.parent / "out"
    options = ["--tool=callgrind", f"--callgrind-out-file={out}", "--dump-before=getppid"]
    child = [sys.executable, "-m", "benchmarks._instructed", str(orders), str(requests)]
    environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [COUNTER, *options, *child]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr[-2000:]}")
    check(json.loads(done.stdout), requests * sum(PHASES))
    dumps = sorted((int(one.suffix[1:]), one) for one in out.parent.glob("out.*"))
    return [total_of(one) for _, one in [*dumps, (0, out)]]


def total_of(dump: Path) -> int:
    found = TOTALS.search(dump.read_text())
    if found is None:
        raise RuntimeError(f"expected the totals of callgrind in {dump}")
    return int(found[1])


def check(statuses: Mapping[str, int], requests: int) -> None:
    """See that what is counted is what it is called."""
    refused = sum(case in {BAD, UNKNOWN} for case in CASES) * requests
    expected = {"200": len(CASES) * requests - refused + 1, "401": refused}
    if statuses != expected:
        raise RuntimeError(f"expected {expected}; got {statuses}")


def report(found: Mapping[str, Any], before: Mapping[str, Any] | None) -> Iterator[str]:
    yield ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    yield ""
    yield from table(found["instructions"], {} if before is None else before["instructions"])


def table(counts: Mapping[str, Mapping[str, int]], before: Mapping[str, Mapping[str, int]]) -> list[str]:
    rows: list[tuple[str, ...]] = [("algorithm", *CASES), ("---", *["---:"] * len(CASES))]
    for algorithm, one in counts.items():
        rows.append((algorithm, *(cell(one[case], before.get(algorithm, {}).get(case)) for case in CASES)))
    return lines(rows)


def cell(count: int, before: int | None) -> str:
    return f"{count:,}" if not before else f"{count:,} ({count / before - 1:+.1%})"


if __name__ == "__main__":
    main()
