"""The benchmark of the token service runs on both databases; what it finds is for its reader."""

from __future__ import annotations

import pytest

from benchmarks.issuer import PARTS, measured, parsed

SMALL = ["--seconds", "0.05", "--families", "64", "--most", "300", "--dead", "60", "--rates", "200", "--pause", "0"]
SMALL += ["--algorithms", "EdDSA"]
COUNTED = {
    "rotations": "closed loop, 32 in flight: share of the raw limit",
    "issue": "EdDSA, with its session: share of the signatures alone",
    "growth": "300 families, 200/s: p99",
    "gc": "rows that were forgotten",
}


@pytest.mark.parametrize("part", PARTS)
async def test_each_part_has_its_figures_and_breaks_no_bound(url: str, part: str) -> None:
    figures = {figure.what: figure for figure in await measured(url, part, parsed(SMALL))}
    assert COUNTED[part] in figures
    assert [figure for figure in figures.values() if figure.broken] == []
    if part == "gc":
        assert figures["rows that were forgotten"].value == "60"
