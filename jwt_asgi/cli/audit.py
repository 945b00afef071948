"""The routes of an application -> a table of what each needs, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from jwt_asgi._core.paths import Exemption, RouteRules
from jwt_asgi.cli.audit_paths import (
    ANY,
    TOOL,
    WEBSOCKET,
    covers,
    instances_of_exemption,
    instances_of_rule,
    plain_text,
    scope_of,
    text_of,
)
from jwt_asgi.cli.audit_steps import Behind, Door, Endpoint, Kind, NeedsDoor, State, Verdict, judge, judge_tool
from jwt_asgi.cli.audit_walk import walk
from jwt_asgi.cli.findings import Status
from jwt_asgi.errors import ConfigurationError

__all__ = ["Audit", "Public", "Remark", "Row", "audit"]

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
"""Those that a route for all methods is judged by."""
_HARMLESS: Final = ("jwt_asgi.", "starlette.", "fastapi.", "litestar.", "uvicorn.", "mcp.")
_ANSWER_OPTIONS: Final = ("quart.", "mcp.", "jwt_asgi.")
"""Applications whose routes cannot be seen, and which answer OPTIONS by themselves."""
_METADATA: Final = "/.well-known/oauth-protected-resource"
_WORST: Final = tuple(State)


@dataclass(frozen=True, slots=True)
class Public:
    """A pattern of what may be public: `GET /healthz`, `/docs/*`, as the table writes it."""

    text: str
    method: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Public:
        """Read a pattern.

        Raises:
            ConfigurationError: it is ill-formed.
        """
        method, _, path = text.strip().rpartition(" ")
        if not path.startswith("/") or " " in method or method != method.upper():
            raise ConfigurationError("public", f'expected "GET /path", "WEBSOCKET /path" or "/path/*"; got {text!r}')
        return cls(text.strip(), method.strip(), plain_text(path))

    def covers(self, row: Row) -> bool:
        """Whether it is about a row; without a method it is about all."""
        same = self.method in {"", row.method} or (self.method == "GET" and row.method == "HEAD")
        path = plain_text(row.path)
        return same and (path == self.path or (self.path.endswith("/*") and path.startswith(self.path[:-1])))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: `paths` are samples that stand for it."""

    method: str
    path: str
    kind: Kind
    verdict: Verdict
    name: str
    host: str
    paths: tuple[str, ...]
    listed: bool = False

    @property
    def state(self) -> str:
        """The state as text; `public`: unprotected, and listed so."""
        return "public" if self.is_public else self.verdict.state.value

    @property
    def is_public(self) -> bool:
        """Whether it is unprotected, and may be."""
        metadata = self.kind is Kind.METADATA or self.path.startswith(_METADATA)
        return self.verdict.state is State.OPEN and (self.listed or metadata)

    @property
    def title(self) -> str:
        """The method, path and host."""
        return f"{self.method} {self.path}" + (f" on {self.host}" if self.host else "")


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that is wrong, or to be looked at."""

    code: str
    status: Status
    where: str
    text: str


_EMPTY: Final = Remark(
    "no-routes",
    Status.FAULT,
    "the application",
    "no route was found; where they are added at the start, use --lifespan",
)


@dataclass(frozen=True, slots=True)
class Audit:
    """The table, and what is to be said of it."""

    rows: tuple[Row, ...]
    remarks: tuple[Remark, ...]

    @property
    def good(self) -> bool:
        """Whether nothing is worse than a warning."""
        return all(remark.status is not Status.FAULT for remark in self.remarks)


def audit(app: object, public: Sequence[Public] = ()) -> Audit:
    """List the routes of an application, and hold them against what may be public."""
    endpoints = list(walk(app))
    rows: list[Row] = []
    remarks: list[Remark] = []
    for index, endpoint in enumerate(endpoints):
        if endpoint.kind is Kind.BARRIER:
            continue
        before = endpoints[:index]
        taken = {path: _first(before, endpoint, endpoint.method, path) for path in endpoint.pattern.samples()}
        first = next(iter(taken.values()))
        if first is not None and None not in taken.values() and endpoint.method != "HEAD":
            remarks.append(_unreached(endpoint, first))
        rows += _rows(endpoint, before, tuple(path for path, other in taken.items() if other is None))
    rows = [replace(row, listed=any(one.covers(row) for one in public)) for row in _distinct(rows)]
    remarks = [
        *([] if rows else [_EMPTY]),
        *(remark for row in rows for remark in _wrong(row)),
        *_unused(endpoints),
        *remarks,
        *_outside(endpoints),
        *_stale(public, rows),
        *(remark for row in rows for remark in _unseen(row)),
    ]
    return Audit(tuple(rows), tuple(dict.fromkeys(remarks)))


def _distinct(rows: Sequence[Row]) -> list[Row]:
    """Leave out what is there twice, and HEAD where it is as GET."""
    kept: list[Row] = []
    for row in rows:
        as_get = [replace(row, method="GET")] if row.method == "HEAD" else []
        if row not in kept and not any(one in rows for one in as_get):
            kept.append(row)
    return kept


def _first(before: Sequence[Endpoint], endpoint: Endpoint, method: str, path: str) -> Endpoint | None:
    """Return the earlier route that takes a request in place of this one."""
    for other in before:
        alike = other.host in {"", endpoint.host} and other.pattern.matches(path)
        if alike and other.method in {ANY, method} and (other.kind is not Kind.METADATA):
            return other
    return None


def _rows(endpoint: Endpoint, before: Sequence[Endpoint], reached: tuple[str, ...]) -> list[Row]:
    paths = endpoint.pattern.samples()
    methods = _METHODS if endpoint.method == ANY else (endpoint.method,)
    verdicts = {method: _worst([judge(endpoint.steps, method, path) for path in paths]) for method in methods}
    if all(verdict == verdicts[methods[0]] for verdict in verdicts.values()):
        verdicts = {endpoint.method: verdicts[methods[0]]}
    rows: list[Row] = []
    for method, verdict in verdicts.items():
        own = Row(method, endpoint.pattern.text, endpoint.kind, verdict, endpoint.name, endpoint.host, reached)
        if endpoint.kind is Kind.OPAQUE and verdict.state is State.REFUSED:
            rows += _ruled(endpoint, method, own)
        rows.append(own)
        if method in {ANY, "POST"} and verdict.state is not State.BROKEN:
            rows += _tools(endpoint, own)
        if verdict.state in {State.PROTECTED, State.REFUSED}:
            rows += _exempted(endpoint, method, own, before)
    return rows


def _ruled(endpoint: Endpoint, method: str, row: Row) -> Iterator[Row]:
    """Return what the rules say of an application whose routes cannot be seen."""
    for door in endpoint.doors:
        rules = door.middleware.rules
        local = [door.local(path) for path in endpoint.pattern.samples()]
        for pattern in () if rules is None else rules.requirements():
            for wanted, path in instances_of_rule(pattern, local):
                verdict = judge(endpoint.steps, wanted, door.prefix.sample() + path)
                if method in {ANY, wanted} and verdict.state is not State.REFUSED:
                    text = door.prefix.text + pattern.rpartition(" ")[2]
                    yield replace(row, method=wanted, path=text, verdict=verdict, paths=(door.prefix.sample() + path,))
                    break


def _tools(endpoint: Endpoint, row: Row) -> Iterator[Row]:
    """Return what the tools of an MCP server need, by the guard's rules."""
    for step in endpoint.steps:
        if isinstance(step, NeedsDoor) and step.tools is not None:
            for name, rule in {"*": None, **dict(step.tools)}.items():
                paths = endpoint.pattern.samples()
                verdict = _worst([judge_tool(endpoint.steps, step, rule, "POST", path) for path in paths])
                yield replace(row, method=TOOL, path=f"{row.path} {name}", kind=Kind.TOOL, verdict=verdict, name=name)


def _worst(verdicts: Sequence[Verdict]) -> Verdict:
    return min(verdicts, key=lambda verdict: _WORST.index(verdict.state))


def _exempted(endpoint: Endpoint, method: str, row: Row, before: Sequence[Endpoint]) -> Iterator[Row]:
    """Return the parts of a route that an exemption lets anyone to, or, with a rule on the route, nobody."""
    for door in endpoint.doors:
        for exemption in door.middleware.exempt:
            for path in _instances(door, exemption, endpoint, method):
                asked = exemption.method or method
                verdict = judge(endpoint.steps, asked, path)
                open_or_shut = verdict.state in {State.OPEN, State.REFUSED} and verdict.state is not row.verdict.state
                if open_or_shut and _first(before, endpoint, asked, path) is None:
                    text = door.prefix.text + text_of(exemption).rpartition(" ")[2]
                    yield replace(row, method=asked, path=text, kind=Kind.EXEMPTION, verdict=verdict, paths=(path,))
                    break


def _instances(door: Door, exemption: Exemption, endpoint: Endpoint, method: str) -> Iterator[str]:
    """Return paths of a route that an exemption covers."""
    prefix = door.prefix.sample()
    if method != ANY and exemption.method not in {None, method}:
        return
    local = [door.local(path) for path in endpoint.pattern.samples()]
    for path in instances_of_exemption(exemption, local):
        if endpoint.pattern.matches(prefix + path) and exemption.covers(scope_of(exemption.method or method, path)):
            yield prefix + path


def _wrong(row: Row) -> Iterator[Remark]:
    state = row.verdict.state
    if state is State.OPEN and not row.is_public:
        how = ": " + ", ".join(row.verdict.by) if row.verdict.by else ""
        text = f"no token is needed{how}; protect it, or list it as public"
        yield Remark("unprotected", Status.FAULT, row.title, text)
    elif state is State.REFUSED and row.kind is not Kind.OPAQUE and (row.kind, row.name) != (Kind.TOOL, "*"):
        yield Remark("refused-to-all", Status.FAULT, row.title, f"no token gets in: {row.verdict.why}")
    elif state is State.BROKEN:
        yield Remark("no-verifier", Status.FAULT, row.title, row.verdict.why)
    elif _takes_preflights(row) and any(name.startswith(("JWT", "rules")) for name in row.verdict.by):
        yield Remark("preflight", Status.WARNING, row.title, "a CORS preflight comes to it without a token")


def _takes_preflights(row: Row) -> bool:
    unseen = row.method == ANY and row.kind is Kind.OPAQUE
    return row.method == "OPTIONS" or (unseen and not row.name.startswith(_ANSWER_OPTIONS))


def _unused(endpoints: Sequence[Endpoint]) -> Iterator[Remark]:
    """Say which rules and exemptions no route matches."""
    behind: dict[object, tuple[Door, list[Endpoint]]] = {}
    for endpoint in endpoints:
        for door in endpoint.doors:
            # Litestar makes a door for each route
            rules = door.middleware.rules
            key = (door.prefix.text, door.middleware.exempt, tuple(() if rules is None else rules.requirements()))
            behind.setdefault(key, (door, []))[1].append(endpoint)
    for door, inside in behind.values():
        rules = door.middleware.rules
        for pattern, requirement in {} if rules is None else rules.requirements().items():
            if not any(_is_used(pattern, RouteRules({pattern: requirement}), door, one) for one in inside):
                yield Remark("unused-rule", Status.FAULT, pattern, "no route matches this rule: is it misspelt?")
        for exemption in door.middleware.exempt:
            if not any(any(_instances(door, exemption, one, one.method)) for one in inside):
                text = "no route matches this exemption: take it out"
                yield Remark("unused-exemption", Status.WARNING, text_of(exemption), text)


def _is_used(pattern: str, rule: RouteRules, door: Door, endpoint: Endpoint) -> bool:
    samples = [door.local(path) for path in endpoint.pattern.samples()]
    for wanted, path in instances_of_rule(pattern, samples):
        method = wanted if endpoint.method == ANY else endpoint.method
        if wanted == WEBSOCKET and endpoint.kind is not Kind.OPAQUE and endpoint.method != WEBSOCKET:
            continue
        if covers(rule, method, path) and endpoint.pattern.matches(door.prefix.sample() + path):
            return True
    return False


def _unreached(endpoint: Endpoint, first: Endpoint) -> Remark:
    taken = f"{first.method} {first.pattern.text}"
    return Remark(
        "unreachable",
        Status.WARNING,
        f"{endpoint.method} {endpoint.pattern.text}",
        f"never reached: {taken} comes first",
    )


def _outside(endpoints: Sequence[Endpoint]) -> Iterator[Remark]:
    """Say what stands before a door and may answer by itself."""
    for endpoint in endpoints:
        steps = endpoint.steps
        last = max((index for index, step in enumerate(steps) if isinstance(step, Door)), default=0)
        for step in steps[:last]:
            if isinstance(step, Behind) and step.name != endpoint.name and not step.name.startswith(_HARMLESS):
                yield Remark(
                    "outside", Status.WARNING, step.name, "stands before the door: what it answers needs no token"
                )


def _stale(public: Sequence[Public], rows: Sequence[Row]) -> Iterator[Remark]:
    for one in public:
        if not any(one.covers(row) and row.verdict.state is State.OPEN for row in rows):
            yield Remark("unused-public", Status.WARNING, one.text, "nothing unprotected matches it: take it out")


def _unseen(row: Row) -> Iterator[Remark]:
    if row.kind is Kind.OPAQUE:
        yield Remark("opaque", Status.NOT_CHECKED, row.name, "its own routes and rules cannot be seen")
