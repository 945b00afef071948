"""The bars that `added.py` draws: an SVG that can be read on a light and on a dark page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from benchmarks._added import AGAIN, COLD, Result, Row
from benchmarks._contenders import BARE, OURS

WIDTH, LABELS, RIGHT = 760, 235, 70
ROW, BAR, TOP, BOTTOM = 38, 13, 92, 36
TICKS = (1, 3, 10, 30, 100, 300, 1000, 3000)
LEAST = TICKS[0]
STYLE = """\
  text { font: 13px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328; }
  .page { fill: #ffffff; }
  .title { font-size: 15px; font-weight: 600; }
  .small, .value { font-size: 12px; fill: #59636e; }
  .ours { font-weight: 600; }
  .grid { stroke: #d1d9e0; stroke-width: 1; }
  .cold { fill: #8c959f; } .again { fill: #c8ced4; }
  .ours.cold { fill: #0969da; } .ours.again { fill: #80b8f5; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .page { fill: #0d1117; }
    .small, .value { fill: #9198a1; }
    .grid { stroke: #3d444d; }
    .cold { fill: #8b949e; } .again { fill: #545d68; }
    .ours.cold { fill: #4493f8; } .ours.again { fill: #2b5f9e; }
  }"""


def plot(found: Mapping[str, Any]) -> str:
    """Return the SVG of the first result."""
    result = Result.of(found["results"][0])
    return "\n".join([*drawing(result), ""])


def drawing(result: Result) -> Iterator[str]:
    rows = sorted((row for row in result.rows if row.name != BARE), key=lambda row: row.added[COLD].microseconds)
    most = next((tick for tick in TICKS if tick >= rows[-1].added[COLD].microseconds), TICKS[-1])
    height = TOP + ROW * len(rows) + BOTTOM
    title = f"Microseconds added to a request, {result.algorithm}"
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="t d">'
    yield f'<title id="t">{escape(title)}</title>'
    yield f'<desc id="d">{escape(description(rows))}</desc>'
    yield f"<style>\n{STYLE}\n</style>"
    yield f'<rect class="page" width="{WIDTH}" height="{height}" rx="6"/>'
    yield text(16, 28, title, "title")
    subtitle = (
        f"CPU time over that of the bare application; logarithmic; {result.loop}, tokens of {result.token_bytes} bytes"
    )
    yield text(16, 47, subtitle, "small")
    yield from legend(LABELS, 71)
    for tick in TICKS[: TICKS.index(most) + 1]:
        x = x_of(tick, most)
        yield f'<line class="grid" x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{height - BOTTOM + 2}"/>'
        yield text(x, height - BOTTOM + 20, f"{tick:,} us", "small", anchor="middle")
    for number, row in enumerate(rows):
        yield from bars(row, TOP + ROW * number, most)
    yield "</svg>"


def legend(x: float, y: float) -> Iterator[str]:
    for shift, kind, words in ((0, "cold", "a token seen for the first time"), (215, "again", "seen before")):
        yield f'<rect class="{kind}" x="{x + shift}" y="{y - 10}" width="11" height="11" rx="2"/>'
        yield text(x + shift + 17, y, words, "small")


def bars(row: Row, y: float, most: float) -> Iterator[str]:
    ours = "ours" if row.name.startswith(OURS) else ""
    name, _, how = row.name.partition(", ")
    yield text(LABELS - 10, y + 12, name, ours, anchor="end")
    yield text(LABELS - 10, y + 27, f"{row.group}, {how}" if how else row.group, "small", anchor="end")
    for shift, kind, column in ((0, "cold", COLD), (BAR + 1, "again", AGAIN)):
        microseconds = row.added[column].microseconds
        end = x_of(microseconds, most)
        style = f"{ours} {kind}".strip()
        yield f'<rect class="{style}" x="{LABELS}" y="{y + shift}" width="{end - LABELS:.1f}" height="{BAR}" rx="2"/>'
        digits = f"{microseconds:.1f}" if microseconds < 10 else f"{microseconds:,.0f}"
        yield text(end + 5, y + shift + 11, digits, "value")


def x_of(microseconds: float, most: float) -> float:
    """Where a bar of so many microseconds ends; less than the least has none."""
    share = math.log(max(microseconds, LEAST) / LEAST) / math.log(most / LEAST)
    return LABELS + min(share, 1.0) * (WIDTH - LABELS - RIGHT)


def text(x: float, y: float, words: str, style: str, anchor: str = "start") -> str:
    kind = f' class="{style}"' if style else ""
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def description(rows: Sequence[Row]) -> str:
    """Say the same in words, for those who do not see it."""
    return "; ".join(
        f"{row.name} on {row.group}: {row.added[COLD].microseconds:.1f} the first time, "
        f"{row.added[AGAIN].microseconds:.1f} again"
        for row in rows
    )
