"""A route's path as a pattern: what it matches, and paths that stand for all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from jwt_asgi._core.paths import Exemption, RouteRules

__all__ = [
    "ANY",
    "TOOL",
    "WEBSOCKET",
    "Pattern",
    "covers",
    "instances_of_exemption",
    "instances_of_rule",
    "plain_text",
    "scope_of",
]

WEBSOCKET: Final = "WEBSOCKET"
TOOL: Final = "TOOL"
ANY: Final = "*"
"""The method of a route that takes all."""
_PARAMETER = re.compile(r"\{\s*([^{}:\s]+)\s*(?::\s*([^{}\s]+)\s*)?\}")
_NOBODYS: Final = "x-jwt-asgi"
"""A segment that no rule or exemption names: what covers it covers every other."""
_SAMPLES: Final = (
    _NOBODYS,
    "7429103",
    "7429103.5",
    "7c429103-1b1f-4d0e-9a55-c0ffee742910",
    "2001-02-03",
    "2001-02-03T04:05:06",
    "04:05:06",
)
_TYPED: Final = {
    "int": "7429103",
    "float": "7429103.5",
    "decimal": "7429103.5",
    "uuid": "7c429103-1b1f-4d0e-9a55-c0ffee742910",
    "date": "2001-02-03",
    "datetime": "2001-02-03T04:05:06",
    "time": "04:05:06",
    "timedelta": "7429103",
}
_DEEP: Final = 3


@dataclass(frozen=True, slots=True)
class _Piece:
    """`regex` is of this piece alone; `sample` matches it; `deep`: it takes several segments."""

    regex: str
    sample: str
    deep: bool = False


@dataclass(frozen=True, slots=True)
class Pattern:
    """The path of a route, or of a mount: all prefixes are in it."""

    text: str = ""
    pieces: tuple[_Piece, ...] = field(default=(), repr=False)

    def then(self, text: str, convertors: Mapping[str, Any] | None = None) -> Pattern:
        """Add what a route declares: `{id}`, `{id:int}`; `convertors` are Starlette's, whose `regex` counts."""
        pieces, end = [], 0
        for found in _PARAMETER.finditer(text):
            if found.start() > end:
                pieces.append(_literal(text[end : found.start()]))
            pieces.append(_parameter(found[2] or "str", (convertors or {}).get(found[1])))
            end = found.end()
        if end < len(text):
            pieces.append(_literal(text[end:]))
        return Pattern(self.text + text, (*self.pieces, *pieces))

    def below(self) -> Pattern:
        """Add everything that is under it."""
        return Pattern(self.text + "/*", (*self.pieces, _literal("/"), _Piece("(?:.*)", _NOBODYS, deep=True)))

    @property
    def has_parameters(self) -> bool:
        """Whether it stands for more than one path."""
        return any(piece.regex != re.escape(piece.sample) for piece in self.pieces)

    def matches(self, path: str) -> bool:
        """Whether a router would find this route for a path."""
        return re.fullmatch("".join(piece.regex for piece in self.pieces), path) is not None

    def sample(self, *, deep: bool = False, pieces: int | None = None) -> str:
        """Return a path that it matches; `deep`: with several segments where it takes them; `pieces`: its begin."""
        chosen = self.pieces[:pieces]
        return "".join("/".join([one.sample] * _DEEP) if deep and one.deep else one.sample for one in chosen)

    def samples(self) -> tuple[str, ...]:
        """Return paths that stand for all."""
        return tuple(dict.fromkeys((self.sample(), self.sample(deep=True))))


def plain_text(text: str) -> str:
    """Return a path without the types of its parameters, to compare."""
    return _PARAMETER.sub(lambda found: f"{{{found[1]}}}", text)


def scope_of(method: str, path: str) -> dict[str, Any]:
    """Return as much of a connection's scope as the patterns of the door look at."""
    if method == WEBSOCKET:
        return {"type": "websocket", "path": path, "headers": []}
    return {"type": "http", "method": "GET" if method == ANY else method, "path": path, "headers": []}


def text_of(exemption: Exemption) -> str:
    """Return an exemption as it was written."""
    path = f"{exemption.path}*" if exemption.below else exemption.path
    return f"{exemption.method} {path}" if exemption.method else path


def instances_of_exemption(exemption: Exemption, samples: Sequence[str]) -> Iterator[str]:
    """Return paths that an exemption covers, as near to these of a route as can be."""
    if not exemption.below:
        yield exemption.path
        return
    own = exemption.path.strip("/").split("/") if exemption.path != "/" else []
    for sample in samples:
        rest = sample.strip("/").split("/")[len(own) :] or [_NOBODYS]
        path = exemption.path + "/".join(rest) + ("/" if sample.endswith("/") else "")
        if exemption.covers(scope_of(exemption.method or "GET", path)):
            yield path


def instances_of_rule(pattern: str, samples: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Return methods (`*`: any) and paths that a rule covers, as near to these paths of a route as can be."""
    method, _, path = pattern.rpartition(" ")
    below, plain = path.endswith("/*"), path.removesuffix("/*").removesuffix("/")
    own = plain.split("/")[1:]
    for sample in samples:
        theirs = sample.split("/")[1:]
        segments = [
            (theirs[index] if index < len(theirs) else _NOBODYS) if _PARAMETER.fullmatch(segment) else segment
            for index, segment in enumerate(own)
        ]
        rest = theirs[len(own) :] if below else []
        yield method or ANY, "/" + "/".join(segments + rest)
        if sample.endswith("/") and not below:
            yield method or ANY, "/" + "/".join(segments) + "/"


def covers(rules: RouteRules, method: str, path: str) -> bool:
    """Whether one of the rules covers this path."""
    return bool(rules.covering(scope_of(method, path)))


def _literal(text: str) -> _Piece:
    return _Piece(re.escape(text), text)


def _parameter(kind: str, convertor: object) -> _Piece:
    regex = getattr(convertor, "regex", None)
    if kind == "path" or regex == ".*":
        return _Piece("(?:.*)", _NOBODYS, deep=True)
    if not isinstance(regex, str):
        return _Piece("(?:[^/]+)", _TYPED.get(kind, _NOBODYS))
    fitting = [sample for sample in _SAMPLES if re.fullmatch(regex, sample)]
    return _Piece(f"(?:{regex})", fitting[0] if fitting else _NOBODYS)
