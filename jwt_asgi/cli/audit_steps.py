"""What stands between a client and a route, step by step, and what comes of it for one request without a token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from jwt_asgi._core.access import Requirement
from jwt_asgi._core.rules import AnyToken
from jwt_asgi.cli.audit_paths import Pattern, scope_of, text_of
from jwt_asgi.middleware import JWTMiddleware

_DOOR: Final = "JWTMiddleware"

__all__ = [
    "Behind",
    "Door",
    "Endpoint",
    "Kind",
    "NeedsDoor",
    "Requires",
    "State",
    "Step",
    "Verdict",
    "Verifies",
    "judge",
    "judge_tool",
]

_UNAUTHORIZED: Final = frozenset({401})


@dataclass(frozen=True, slots=True)
class Door:
    """A `JWTMiddleware`; `prefix` is what was cut off the path before it.

    `handler` is Litestar's, which has put it on the scope; `slash`: Litestar has put one at the end of the path.
    """

    middleware: JWTMiddleware
    prefix: Pattern
    handler: object = None
    slash: bool = False

    def local(self, path: str) -> str:
        """Return a path as the door sees it."""
        for prefix in (self.prefix.sample(), self.prefix.sample(deep=True)):
            if path.startswith(prefix):
                path = path[len(prefix) :] or "/"
                break
        return path + "/" if self.slash and not path.endswith("/") else path

    def scope(self, method: str, path: str) -> dict[str, Any]:
        """Return the scope of a request as the door sees it."""
        return scope_of(method, self.local(path)) | {"route_handler": self.handler}


@dataclass(frozen=True, slots=True)
class Verifies:
    """What verifies the token by itself; `optional`: it lets a request without one through."""

    name: str
    requirement: Requirement
    optional: bool = False
    statuses: frozenset[int] = _UNAUTHORIZED


@dataclass(frozen=True, slots=True)
class Requires:
    """What needs a verified token that something before it has found. `foreign`: somebody else's may do as well."""

    name: str
    requirement: Requirement
    statuses: frozenset[int] = _UNAUTHORIZED
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class Behind:
    """What is in the way, and is not known here; `scheme`: it says that it is about security."""

    name: str
    scheme: bool = False


@dataclass(frozen=True, slots=True)
class NeedsDoor:
    """What fails where nothing before it verifies; a connection that was let in without a token is let in here, too.

    `tools`: the rules of an MCP server's tools, by name; None: there are none.
    """

    name: str
    advice: str
    tools: tuple[tuple[str, Requirement], ...] | None = None


Step = Door | Verifies | Requires | Behind | NeedsDoor


class Kind(Enum):
    """What a row of the table is about."""

    ROUTE = "route"
    STATIC = "static"
    OPAQUE = "opaque"
    """An application whose routes cannot be seen."""
    EXEMPTION = "exemption"
    """The part of a route that an exemption names."""
    TOOL = "tool"
    """What an MCP server is asked to call, by `POST`."""
    METADATA = "metadata"
    """What the door answers itself (RFC 9728)."""
    BARRIER = "barrier"
    """The end of a mount: what is under it and was not found there is found nowhere."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A route for one method (`*`: all; `WEBSOCKET`), with every step to it, the outermost first."""

    method: str
    pattern: Pattern
    steps: tuple[Step, ...]
    kind: Kind = Kind.ROUTE
    name: str = ""
    host: str = ""

    @property
    def doors(self) -> Iterator[Door]:
        """The doors on the way."""
        return (step for step in self.steps if isinstance(step, Door))


class State(Enum):
    """What a request without a token gets; the worst first."""

    OPEN = "unprotected"
    BROKEN = "broken"
    """An error of the server: what checks the token finds that nothing has verified it."""
    REFUSED = "refused to all"
    PROTECTED = "protected"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of the steps.

    Attributes:
        state: What a request without a token gets.
        needs: What a token must allow.
        by: The steps that decide, as text.
        why: For a state that is a mistake: what is wrong.
        statuses: What a request without a token may be answered with, where it is refused.
    """

    state: State
    needs: tuple[Requirement, ...] = ()
    by: tuple[str, ...] = ()
    why: str = ""
    statuses: frozenset[int] = frozenset()

    @property
    def requirement(self) -> str:
        """What a token must allow, as text."""
        if self.state in {State.REFUSED, State.BROKEN}:
            return "-"
        wanted: list[Requirement] = []
        for need in self.needs:
            if need != AnyToken() and need not in wanted:
                wanted.append(need)
        return " and ".join(map(str, wanted or self.needs[:1])) or "nothing"


@dataclass(slots=True)
class _Way:
    """What is known so far on the way of one request without a token."""

    method: str
    path: str
    verified: bool = False
    exempt: str = ""
    needs: list[Requirement] = field(default_factory=list)
    by: list[str] = field(default_factory=list)
    wrong: list[tuple[State, str]] = field(default_factory=list)
    statuses: frozenset[int] | None = None

    def enter(self, door: Door) -> None:
        scope = door.scope(self.method, self.path)
        made = door.middleware
        if made.is_exempt(scope):
            exemption = next((f'"{text_of(one)}"' for one in made.exempt if one.covers(scope)), "in its opt")
            self.verified, self.exempt = False, f"exempt {exemption}"
            return
        self.verified, self.exempt = True, ""
        if made.rules is not None:
            covering = made.rules.covering(scope)
            if not covering:
                self.wrong.append((State.REFUSED, "no rule covers it"))
            self.need("rules", *(rule.requirement for rule in covering))
        elif not made.gate.anonymous:
            self.need(_DOOR, AnyToken())

    def need(self, name: str, *requirements: Requirement, statuses: frozenset[int] = _UNAUTHORIZED) -> None:
        self.needs += requirements
        self.by.append(name)
        self.statuses = self.statuses or statuses

    def require(self, step: Requires) -> None:
        if not self.verified and step.foreign:
            self.by.append(f"{step.name}, which is not judged")
            return
        if not self.verified and self.exempt:
            self.wrong.append((State.REFUSED, f"{step.name} needs a token, and {self.exempt} has none verified"))
        elif not self.verified:
            self.wrong.append((State.BROKEN, f"{step.name} needs a token, and nothing before it verifies one"))
        self.need(step.name, step.requirement, statuses=step.statuses)

    def need_door(self, step: NeedsDoor) -> None:
        if not self.verified and not self.exempt:
            self.wrong.append((State.BROKEN, f"{step.name} finds that nothing verifies a token: {step.advice}"))
            self.by.append(step.name)


def judge(steps: Sequence[Step], method: str, path: str) -> Verdict:
    """Follow one request without a token."""
    way = _Way(method, path)
    for step in steps:
        match step:
            case Door():
                way.enter(step)
            case Verifies():
                way.verified = True
                if not step.optional:
                    way.need(step.name, step.requirement, statuses=step.statuses)
            case Requires():
                way.require(step)
            case NeedsDoor():
                way.need_door(step)
            case Behind(name=name, scheme=True):
                way.by.append(f"{name}, which is not judged")
            case _:
                pass
    return _verdict(way)


def judge_tool(steps: Sequence[Step], guard: NeedsDoor, rule: Requirement | None, method: str, path: str) -> Verdict:
    """Follow one call of an MCP tool without a token, past the guard with its rule; None: there is no rule."""
    if rule is None:
        return Verdict(State.REFUSED, by=(guard.name,), why="no rule covers it")
    behind = steps.index(guard) + 1
    return judge((*steps[:behind], Requires(guard.name, rule), *steps[behind:]), method, path)


def _verdict(way: _Way) -> Verdict:
    by, needs = tuple(dict.fromkeys(way.by)), tuple(way.needs)
    statuses = way.statuses or frozenset()
    if way.wrong:
        # What is refused before never comes to what is broken
        state, why = way.wrong[0]
        return Verdict(state, needs, by, why, statuses)
    if needs:
        return Verdict(State.PROTECTED, needs, by, statuses=statuses)
    return Verdict(State.OPEN, needs, (*by, way.exempt) if way.exempt else by)
