"""Method and path -> exempt, or the rules that cover it.

Patterns are "/path", "/path/{name}" and "/path/*", with a method in front or not: "GET /path". They are whole segments,
never a regular expression. A path that another router or file system may read in another way is not exempt, and no rule
covers it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from jwt_asgi._core.access import Context, Requirement, judge_all
from jwt_asgi.errors import ConfigurationError

__all__ = ["Exemption", "RouteRule", "RouteRules", "is_preflight", "method_of", "needed_scopes", "route_path"]

_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_WEBSOCKET = "WEBSOCKET"
# Of a slash, a backslash, a dot and a percent sign
_CODES = (b"%2f", b"%5c", b"%2e", b"%25")
# A segment that is empty or all dots, or what some read as the end of one, or as another character
_LEADS_OUT = ("\\", ";", "%", "//", "/./", "/../")


def method_of(scope: Mapping[str, Any]) -> str:
    """Return the HTTP method as Django and Quart read it, in upper case; or `WEBSOCKET`."""
    method: str = scope.get("method", "") if scope["type"] == "http" else _WEBSOCKET
    return method.upper()


def route_path(scope: Mapping[str, Any]) -> str:
    """Return the path that a router matches: below `root_path`; empty where routers differ on what that is."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root in {"", "/"} or root not in path:
        return path
    if path.startswith(root) and path[len(root) :][:1] in {"", "/"}:
        return path[len(root) :] or "/"
    # Starlette matches the whole path, Litestar what is behind the root wherever it stands
    return ""


def is_preflight(scope: Mapping[str, Any]) -> bool:
    """Whether it is a CORS preflight, which browsers send without credentials (Fetch section 3.2.2)."""
    if scope["type"] != "http" or scope["method"] != "OPTIONS":
        return False
    names = {name for name, _ in scope["headers"]}
    return b"origin" in names and b"access-control-request-method" in names


@dataclass(frozen=True, slots=True)
class Exemption:
    """A path that needs no token; with `below`, everything under it, whole segments, and not itself."""

    method: str | None
    path: str
    below: bool

    @classmethod
    def parse(cls, pattern: str) -> Self:
        """Read a pattern.

        Raises:
            ConfigurationError: it is ill-formed.
        """
        method, path = _method_and_path("exempt", pattern, '"/path", "/path/*" or "GET /path"')
        below = path.endswith("/*")
        return cls(method, path[:-1] if below else path, below)

    def covers(self, scope: Mapping[str, Any]) -> bool:
        """Whether it covers a connection."""
        if self.method is not None and scope.get("method") != self.method:
            return False
        path = route_path(scope)
        if not self.below:
            return path == self.path
        # Routers take one slash at the end as written, or leave it out: both are below
        rest = path[len(self.path) :].removesuffix("/")
        return path.startswith(self.path) and _is_plain(rest) and _is_plainly_encoded(scope)


class RouteRule(NamedTuple):
    """A requirement that covers a connection, and what it is told of that: the path parameters are its pattern's."""

    requirement: Requirement
    context: Context


class RouteRules:
    """Which requirement is for which method and path. All that cover a request must be met, in whatever order."""

    __slots__ = ("_deepest", "_root", "_rules")

    def __init__(self, rules: Mapping[str, Requirement] | Any) -> None:  # noqa: ANN401 - checked
        """Check the patterns.

        Raises:
            ConfigurationError: one is ill-formed, or stands for no requirement.
        """
        if not isinstance(rules, Mapping):
            detail = f'expected a dict, as {{"GET /todos/{{id}}": Scope("todos:read")}}; got {rules!r}'
            raise ConfigurationError("rules", detail)
        for pattern, requirement in rules.items():
            if not isinstance(requirement, Requirement):
                raise ConfigurationError("rules", f"expected a requirement for {pattern!r}; got {requirement!r}")
        self._rules = tuple((_Pattern.parse(pattern), requirement) for pattern, requirement in rules.items())
        self._deepest = max((len(pattern.segments) for pattern, _ in self._rules), default=0)
        self._root = _Node()
        for number, (pattern, _) in enumerate(self._rules):
            self._root.add(number, pattern)

    def requirements(self) -> Mapping[str, Requirement]:
        """Return every requirement by its pattern."""
        return {pattern.text: requirement for pattern, requirement in self._rules}

    def scopes(self) -> frozenset[str]:
        """Return every scope that a rule names."""
        return frozenset().union(*(requirement.scopes() for _, requirement in self._rules))

    def covering(self, scope: Mapping[str, Any], now: float = 0.0) -> list[RouteRule]:
        """Return what a connection must meet at this time; empty: no rule covers it."""
        path, method = route_path(scope), method_of(scope)
        # Routers differ on a slash at the end: the rule holds with and without it
        whole = path.removesuffix("/")
        if not path.startswith("/") or (whole and not _is_plain(whole[1:])) or not _is_plainly_encoded(scope):
            return []
        # One more than any pattern has: what is behind that makes no difference
        segments = whole.split("/", self._deepest + 1)[1:]
        found = []
        for number in sorted(self._root.find(segments)):
            pattern, requirement = self._rules[number]
            if pattern.methods is None or method in pattern.methods:
                path_params = pattern.parameters(segments)
                context = Context(now=now, method=method, path=path, path_params=path_params)
                found.append(RouteRule(requirement, context))
        return found


def needed_scopes(rules: Sequence[RouteRule]) -> tuple[str, ...]:
    """Return the scopes that a token needs to meet these rules, sorted: those of the nearest way in."""
    return tuple(sorted(judge_all(rules, None).scopes))


@dataclass(frozen=True, slots=True)
class _Pattern:
    """`segments`: texts, and None for a parameter; `places`: of the parameters; `below`: whatever is under them too."""

    text: str
    methods: frozenset[str] | None
    segments: tuple[str | None, ...]
    places: tuple[tuple[str, int], ...]
    below: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        expected = '"/path", "/path/{id}", "/path/*", "GET /path" or "WEBSOCKET /path"'
        method, path = _method_and_path("rules", text, expected)
        below = path.endswith("/*")
        plain = path.removesuffix("/*" if below else "/")
        segments = plain.split("/")[1:]
        found = [_PARAMETER.fullmatch(segment) for segment in segments]
        places = tuple((parameter[1], at) for at, parameter in enumerate(found) if parameter is not None)
        texts = [segment for segment, parameter in zip(segments, found, strict=True) if parameter is None]
        unfit = any("{" in segment or "}" in segment for segment in texts) or len(dict(places)) < len(places)
        # No request could match such a pattern, and its rule would be dead
        if unfit or (segments and not _is_plain(plain[1:])):
            detail = "with each parameter once, and segments as they are when decoded"
            raise ConfigurationError("rules", f"expected {expected}, {detail}; got {text!r}")
        kept = tuple(None if parameter else segment for segment, parameter in zip(segments, found, strict=True))
        # What answers GET answers HEAD, with the same headers (RFC 9110 section 9.3.2)
        methods = None if method is None else frozenset({method} | ({"HEAD"} if method == "GET" else set()))
        return cls(text, methods, kept, places, below)

    def parameters(self, segments: Sequence[str]) -> dict[str, str]:
        """Return the path parameters of a path that it matches."""
        return {name: segments[at] for name, at in self.places}


class _Node:
    """The patterns that begin with the same segments, by their numbers; a child under None stands for any segment."""

    __slots__ = ("below", "children", "here")

    def __init__(self) -> None:
        self.children: dict[str | None, _Node] = {}
        self.here: list[int] = []
        self.below: list[int] = []

    def add(self, number: int, pattern: _Pattern) -> None:
        node = self
        for segment in pattern.segments:
            node = node.children.setdefault(segment, _Node())
        (node.below if pattern.below else node.here).append(number)

    def find(self, segments: Sequence[str]) -> list[int]:
        """Return the patterns that a path matches."""
        nodes, found = [self], [*self.below]
        for segment in segments:
            children = []
            for node in nodes:
                for child in (node.children.get(segment), node.children.get(None)):
                    if child is not None:
                        children.append(child)
                        found += child.below
            nodes = children
        for node in nodes:
            found += node.here
        return found


def _method_and_path(option: str, pattern: object, expected: str) -> tuple[str | None, str]:
    if isinstance(pattern, str):
        method, separator, path = pattern.rpartition(" ")
        plain = path[:-1] if path.endswith("/*") else path
        if plain.startswith("/") and "*" not in plain and (not separator or (method.isalpha() and method.isupper())):
            return method if separator else None, path
    raise ConfigurationError(option, f"expected {expected}; got {pattern!r}")


def _is_plainly_encoded(scope: Mapping[str, Any]) -> bool:
    """Whether nothing was encoded that another router or file system may decode, or not, before it looks at it."""
    raw: bytes = scope.get("raw_path") or b""
    if b"%" not in raw:
        return True
    raw = raw.lower()
    return not any(code in raw for code in _CODES)


def _is_plain(rest: str) -> bool:
    """Whether what lies below a prefix cannot lead out of it in the eyes of another router or file system."""
    around = f"/{rest}/"
    return rest.isprintable() and not any(part in around for part in _LEADS_OUT)
