"""What stands between a client and a route, step by step, and what comes of it for one request without a token."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from jwt_asgi._core.access import Requirement
from jwt_asgi._core.rules import AnyToken
from jwt_asgi.cli.audit_paths import Pattern, scope_of
from jwt_asgi.middleware import JWTMiddleware

__all__ = ["Behind", "Door", "Endpoint", "Kind", "Requires", "State", "Step", "Verdict", "Verifies", "judge"]

_UNAUTHORIZED: Final = 401


@dataclass(frozen=True, slots=True)
class Door:
    """A `JWTMiddleware`; `prefix` is what was cut off the path before it."""

    middleware: JWTMiddleware
    prefix: Pattern

    def local(self, path: str) -> str:
        """Return a path as the door sees it."""
        for prefix in (self.prefix.sample(), self.prefix.sample(deep=True)):
            if path.startswith(prefix):
                return path[len(prefix) :] or "/"
        return path


@dataclass(frozen=True, slots=True)
class Verifies:
    """What verifies the token by itself; `optional`: it lets a request without one through."""

    name: str
    requirement: Requirement
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Requires:
    """What needs a verified token that something before it has found. `status` is the answer where there is none."""

    name: str
    requirement: Requirement
    status: int = _UNAUTHORIZED


@dataclass(frozen=True, slots=True)
class Behind:
    """What is in the way, and is not known here; `scheme`: it says that it is about security."""

    name: str
    scheme: bool = False


Step = Door | Verifies | Requires | Behind


class Kind(Enum):
    """What a row of the table is about."""

    ROUTE = "route"
    STATIC = "static"
    OPAQUE = "opaque"
    """An application whose routes cannot be seen."""
    EXEMPTION = "exemption"
    """The part of a route that an exemption names."""
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
        wanted = [need for need in self.needs if need != AnyToken()] or self.needs[:1]
        return str(functools.reduce(operator.and_, dict.fromkeys(wanted))) if wanted else "nothing"


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
    statuses: list[int] = field(default_factory=list)

    def enter(self, door: Door) -> None:
        scope = scope_of(self.method, door.local(self.path))
        made = door.middleware
        if (exemption := next((one for one in made.exempt if one.covers(scope)), None)) is not None:
            self.verified, self.exempt = False, str(exemption)
            return
        self.verified, self.exempt = True, ""
        if made.rules is not None:
            covering = made.rules.covering(scope)
            if not covering:
                self.wrong.append((State.REFUSED, "no rule covers it"))
            self.need("rules", *(rule.requirement for rule in covering))
        elif not made.gate.anonymous:
            self.need(type(made).__name__, AnyToken())

    def need(self, name: str, *requirements: Requirement, status: int = _UNAUTHORIZED) -> None:
        self.needs += requirements
        self.by.append(name)
        self.statuses.append(status)

    def require(self, step: Requires) -> None:
        if not self.verified and self.exempt:
            self.wrong.append((State.REFUSED, f"{step.name} needs a token, which exempt {self.exempt!r} keeps away"))
        elif not self.verified:
            self.wrong.append((State.BROKEN, f"{step.name} needs a token, and nothing before it verifies one"))
        self.need(step.name, step.requirement, status=step.status)


def judge(steps: Sequence[Step], method: str, path: str) -> Verdict:
    """Follow one request without a token."""
    way = _Way(method, path)
    for step in steps:
        match step:
            case Door():
                way.enter(step)
            case Verifies(name=name, requirement=requirement, optional=optional):
                way.verified = True
                if not optional:
                    way.need(name, requirement)
            case Requires():
                way.require(step)
            case Behind(name=name, scheme=True):
                way.by.append(f"{name}, which is not judged")
            case _:
                pass
    return _verdict(way)


def _verdict(way: _Way) -> Verdict:
    by, needs = tuple(dict.fromkeys(way.by)), tuple(way.needs)
    if way.wrong:
        # What is refused before never comes to what is broken
        state, why = way.wrong[0]
        return Verdict(state, needs, by, why, frozenset(way.statuses))
    if needs:
        return Verdict(State.PROTECTED, needs, by, statuses=frozenset(way.statuses[:1]))
    by = (*by, f'exempt "{way.exempt}"') if way.exempt else by
    return Verdict(State.OPEN, needs, by)
