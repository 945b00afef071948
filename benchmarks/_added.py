"""What `added.py` has found, as JSON and as tables."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Self

from benchmarks._contenders import BARE, OURS, LeftOut
from benchmarks._kit import Figure, hoped

REPEATED, COLD, AGAIN, BAD, UNKNOWN = COLUMNS = ("repeated", "cold", "again", "bad signature", "unknown kid")
RAW, RAW_BAD = "raw", "raw, bad signature"
TITLES = ("one token repeated", "distinct, first time", "distinct, again", BAD, UNKNOWN)
LIBRARIES = (
    "jwt-asgi",
    "cryptography",
    "starlette",
    "fastapi",
    "uvloop",
    "PyJWT",
    "fastapi-azure-auth",
    "auth0-fastapi-api",
    "axioms-fastapi",
    "fastapi-keycloak-middleware",
    "fastmcp",
    "async-jwt-core",
)
# What a token that is new may cost, as a ratio to its raw verification; microseconds for the others
COLD_TARGETS = {"RS256": 1.5, "ES256": 1.25, "EdDSA": 1.12}
HIT_TARGET = 5.0
UNKNOWN_TARGET = 8.0


@dataclass(frozen=True, slots=True)
class Added:
    """Microseconds over the bare application, with quartiles, and the ratio of both: medians over the rounds."""

    microseconds: float
    low: float
    high: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Row:
    """One contender. `microseconds` are a whole request's; `to_raw` are median and quartiles."""

    name: str
    group: str
    microseconds: float
    added: dict[str, Added]
    to_raw: tuple[float, float, float] | None
    answers: dict[str, int]

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        added = {column: Added(**one) for column, one in found["added"].items()}
        return cls(**{**found, "added": added})


@dataclass(frozen=True, slots=True)
class Result:
    """All under one algorithm and event loop. `raw` are the microseconds of the raw verification."""

    algorithm: str
    loop: str
    tokens: int
    token_bytes: int
    raw: dict[str, float]
    rows: list[Row]
    left_out: list[LeftOut]

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        rows = [Row.of(one) for one in found["rows"]]
        return cls(**{**found, "rows": rows, "left_out": [LeftOut(**one) for one in found["left_out"]]})


def versions(names: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """Return the versions of Python and of what is installed of these."""
    found = {"Python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def report(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of all tables."""
    yield ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    for one in found["results"]:
        result = Result.of(one)
        yield from ("", heading(result), "", *table(result))
        if targets := figures(result):
            yield from ("", *target_table(targets))
        if result.left_out:
            yield from ("", *(f"- {one.name}: {one.reason}" for one in result.left_out))


def heading(result: Result) -> str:
    return (
        f"{result.algorithm}, {result.loop}, {result.tokens:,} tokens of {result.token_bytes} bytes; raw verification: "
        f"{result.raw[RAW]:.1f} us, of a bad signature: {result.raw[RAW_BAD]:.1f} us"
    )


def table(result: Result) -> list[str]:
    rows: list[tuple[str, ...]] = [("application", "what is added", *TITLES), ("---", "---", *["---:"] * len(TITLES))]
    for row in result.rows:
        if row.name == BARE:
            cells = (row.group, BARE, f"{row.microseconds:.1f} us", *[""] * (len(TITLES) - 1))
        else:
            cells = ("", row.name, *(cell(row.added[column]) for column in COLUMNS))
        rows.append(cells)
    return lines(rows)


def cell(one: Added) -> str:
    return f"+{one.microseconds:.1f} us ({one.low:.1f} to {one.high:.1f}), {one.ratio:.2f}x".replace("+-", "-")


def figures(result: Result) -> list[Figure]:
    """Hold jwt-asgi around the bare ASGI application against its targets; beside it, the floors as they are."""
    plain = {row.name: row for row in result.rows if row.to_raw is not None}
    ours = plain.get(OURS)
    if ours is None or ours.to_raw is None:
        return []
    most = COLD_TARGETS.get(result.algorithm, math.inf)
    bad = ours.added[BAD].microseconds / ours.added[COLD].microseconds
    target = "" if math.isinf(most) else f"at most {most}"
    found = [
        Figure(f"{OURS}, first time, to raw", ratio(ours.to_raw), target, ours.to_raw[0] <= most if target else None),
        hoped("one token repeated", ours.added[REPEATED].microseconds, at_most=HIT_TARGET, unit="us"),
        hoped("distinct, again", ours.added[AGAIN].microseconds, at_most=HIT_TARGET, unit="us"),
        hoped("bad signature, to a good one", round(bad, 2), at_most=1.0),
        hoped("unknown kid", ours.added[UNKNOWN].microseconds, at_most=UNKNOWN_TARGET, unit="us"),
    ]
    floors = (row for row in plain.values() if row is not ours and row.to_raw is not None)
    return found + [Figure(f"{row.name}, first time, to raw", ratio(row.to_raw)) for row in floors]


def ratio(found: tuple[float, float, float] | None) -> str:
    return "-" if found is None else "{:.2f} ({:.2f} to {:.2f})".format(*found)


def target_table(targets: Sequence[Figure]) -> list[str]:
    """Return a table of figures, each with what was expected of it."""
    verdict = {None: "", True: "met", False: "missed"}
    rows: list[tuple[str, ...]] = [("figure", "found", "target", ""), ("---", "---:", "---:", "---")]
    return lines([*rows, *((one.what, one.value, one.expected, verdict[one.met]) for one in targets)])


def lines(rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in rows]
