"""How many bytes a verified token takes while it is remembered.

    python -m benchmarks.memory [--tokens 10000] [--algorithm RS256] [--json]

benchmarks/README.md says what is measured, and how. It fails when the memory has no bound, and on no size.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable
from dataclasses import asdict

from benchmarks._added import target_table, versions
from benchmarks._kit import ROOT, Figure, InProcessFetch, bound, told
from benchmarks._memory import PAGES, resident
from benchmarks._site import Site, make_crowd, open_site
from jwt_asgi import AccessToken, TrustedIssuer, Verifier

KIND = "--as"
TRACED, READ, RESIDENT = KINDS = ("traced", "traced, and read by an application", "resident")
LIBRARIES = ("jwt-asgi", "cryptography", "joserfc", "cachetools")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=10_000, help="how many are remembered; default: %(default)s")
    parser.add_argument("--algorithm", default="RS256", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(KIND, choices=KINDS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    kind = getattr(arguments, "as")
    if kind is not None:
        print(json.dumps(asyncio.run(measure(kind, arguments.tokens, sys.stdin))))
        return 0
    figures = found(arguments.algorithm, arguments.tokens)
    if arguments.json:
        print(json.dumps({"versions": versions(LIBRARIES), "figures": [asdict(one) for one in figures]}, indent=2))
    else:
        print("\n".join([", ".join(map(" ".join, versions(LIBRARIES).items())), "", *target_table(figures)]))
    return 1 if any(one.broken for one in figures) else 0


def found(algorithm: str, number: int) -> list[Figure]:
    """Remember so many tokens in a process of its own for each figure, then as many others."""
    with open_site(algorithm) as (site, issuer):
        crowd = make_crowd(issuer, 2 * number + 1)
    lines = "\n".join([site.to_json(), *(token.decode() for token in crowd.good), ""])
    figures = []
    for kind in KINDS if PAGES.exists() else KINDS[:2]:
        full, after, off = (*sizes(kind, number, lines), sizes(kind, 0, lines)[0])
        figures += [
            told(f"{kind}, {number:,} tokens of {len(crowd.good[0])} bytes", full / 2**20, "MiB"),
            told(f"{kind}, of each", round(full / number), "bytes"),
            told(f"{kind}, as many that nothing remembers", round(off / 2**10, 1), "KiB"),
            # What the tables of Python's own dicts grow by is a part of what they have
            bound(f"{kind}, {number:,} others, to before", round(after / full, 3), at_most=1.1),
        ]
    return figures


def sizes(kind: str, most: int, lines: str) -> list[float]:
    """Return the bytes that half of the tokens take, and those of all, where so many are remembered."""
    command = [sys.executable, "-m", "benchmarks.memory", KIND, kind, "--tokens", str(most)]
    done = subprocess.run(command, cwd=ROOT, input=lines, stdout=subprocess.PIPE, text=True, check=True)
    sizes: list[float] = json.loads(done.stdout)
    return sizes


async def measure(kind: str, most: int, lines: Iterable[str]) -> list[float]:
    """Verify the tokens of these lines, each of which is dropped at once; the first line has their site."""
    tokens = iter(lines)
    site = Site.from_json(next(tokens))
    trusted = TrustedIssuer(
        issuer=site.issuer,
        audience=site.audience,
        algorithms=[site.algorithm],
        jwks_uri="https://issuer.test/jwks.json",
        fetch=InProcessFetch(site.keys.encode()),
    )
    verifier = Verifier(trusted, token_cache=most)
    await verifier.verify(next(tokens).strip())
    rest = list(tokens)
    if kind != RESIDENT:
        tracemalloc.start()
    begun, sizes = used(kind), []
    half = len(rest) // 2
    for part in (slice(0, half), slice(half, None)):
        for line in rest[part]:
            token = await verifier.verify(line.strip())
            if kind == READ:
                read(token)
        del token
        sizes.append(used(kind) - begun)
    return sizes


def read(token: AccessToken) -> None:
    """Look at a token as applications and access rules do: what it works out for them, it keeps."""
    seen = (token.claims, token.header, token.scopes, token.roles, token.permissions, token.audience)
    assert all(one is not None for one in seen)


def used(kind: str) -> float:
    gc.collect()
    return resident() if kind == RESIDENT else tracemalloc.get_traced_memory()[0]


if __name__ == "__main__":
    sys.exit(main())
