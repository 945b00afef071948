"""AccessToken x Requirement -> granted, or what is missing.

A requirement is a value: `Scope("todos:read") & (Role("admin") | Claim("tenant", equals="acme"))`. The leaves are in
rules.py and claim_rules.py. Truth has three values (Kleene): what cannot be told, as a path parameter that the route
lacks, is never let in by `~`. `~` goes down to the leaves by the laws of De Morgan, which hold for three values too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import reduce
from operator import and_
from typing import Any, ClassVar, NamedTuple, NoReturn

from jwt_asgi._core.access_token import AccessToken, read_only_dict
from jwt_asgi.errors import AccessError, Reason

__all__ = ["Context", "Judgment", "Requirement", "StepUp", "Truth", "are_met", "judge_all", "refusal"]


class Truth(Enum):
    """Whether a requirement is met."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
    """It cannot be told, or an external policy has not been asked yet."""


_NOTHING = read_only_dict({})


@dataclass(frozen=True, kw_only=True, init=False)
class Context:
    """What a requirement may look at besides the token.

    Attributes:
        now: The time, in seconds since the epoch.
        method: The HTTP method, or `WEBSOCKET`.
        path: The path, below the application's root.
        path_params: The path parameters of the route, as text.
        answers: What external policies have said.

    Both mappings are copied, and are read-only: who is asked cannot change what is judged.
    """

    now: float
    method: str
    path: str
    path_params: Mapping[str, str]
    answers: Mapping[Any, bool]

    def __init__(
        self,
        *,
        now: float = 0.0,
        method: str = "",
        path: str = "",
        path_params: Mapping[str, str] = _NOTHING,
        answers: Mapping[Any, bool] = _NOTHING,
    ) -> None:
        """Copy the mappings. One is made for each request, and a generated `__init__` takes twice as long."""
        self.__dict__.update(
            now=now,
            method=method,
            path=path,
            path_params=read_only_dict(path_params) if path_params else _NOTHING,
            answers=read_only_dict(answers) if answers else _NOTHING,
        )


@dataclass(frozen=True, slots=True)
class StepUp:
    """What RFC 9470 asks of the user's authentication. `acr_values` None: any class; empty: none would do."""

    acr_values: tuple[str, ...] | None = None
    max_age: int | None = None

    def __and__(self, other: StepUp) -> StepUp:
        """Ask for both: the classes that suffice for both, in order, and the shorter time."""
        mine, theirs = self.acr_values, other.acr_values
        ages = [age for age in (self.max_age, other.max_age) if age is not None]
        classes = mine if theirs is None else theirs if mine is None else tuple(v for v in mine if v in theirs)
        return StepUp(classes, min(ages, default=None))


_NEARER = (
    frozenset[Reason](),
    {Reason.SCOPE_MISSING},
    {Reason.SCOPE_MISSING, Reason.AUTHENTICATION_INSUFFICIENT},
)


class Judgment(NamedTuple):
    """What came of a requirement for one token.

    Attributes:
        truth: Whether it is met.
        scopes: The scopes on the way that was taken, or that is to be taken.
        roles: The roles, likewise.
        missing: The parts that are not met, as text.
        reasons: Why they are not.
        without: The scopes that must not be there on that way.
        step_up: What the user's authentication must be on that way.
        ask: An external policy whose answer is needed first.
    """

    truth: Truth
    scopes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    missing: tuple[str, ...] = ()
    reasons: frozenset[Reason] = frozenset()
    without: frozenset[str] = frozenset()
    step_up: StepUp = StepUp()
    ask: Requirement | None = None

    def __and__(self, other: Judgment) -> Judgment:
        """Both ways in one."""
        truths = (self.truth, other.truth)
        reasons, step_up = self.reasons | other.reasons, self.step_up & other.step_up
        scopes, without = self.scopes | other.scopes, self.without | other.without
        if reasons and (scopes & without or step_up.acr_values == ()):
            # Each would do by itself, and no token can have both: what the client asked for next would be in vain
            reasons = frozenset({Reason.ACCESS_DENIED})
        return Judgment(
            truth=Truth.NO if Truth.NO in truths else Truth.UNKNOWN if Truth.UNKNOWN in truths else Truth.YES,
            scopes=scopes,
            roles=self.roles | other.roles,
            missing=self.missing + other.missing,
            reasons=reasons,
            without=without,
            step_up=step_up,
            ask=other.ask if self.ask is None else self.ask,
        )

    def hardness(self) -> int:
        """How far the way is: 0 not known, 1 another scope, 2 a new authentication too, 3 what no new token brings."""
        return next((number for number, reasons in enumerate(_NEARER) if self.reasons <= reasons), len(_NEARER))


class Requirement(ABC):
    """What a token must allow. Combine with `&`, `|` and `~`.

    A rule of one's own is a subclass with `met_by`. Make it a frozen dataclass, so that it is a value as the others.
    """

    __slots__ = ()

    reason: ClassVar[Reason] = Reason.ACCESS_DENIED
    """Why a token is refused that does not meet it."""

    @abstractmethod
    def met_by(self, token: AccessToken, context: Context) -> bool | None:
        """Whether the token meets it; None where that cannot be told, which never lets anyone in."""

    def awaits(self) -> bool:
        """Whether an external policy has a part in it, so that it cannot be checked at once."""
        return False

    def judge(self, token: AccessToken | None, context: Context) -> Judgment:
        """Judge one token, or none, which meets nothing: what a refusal says. It agrees with `met_by`."""
        met = False if token is None else self.met_by(token, context)
        if met is True:
            return Judgment(truth=Truth.YES)
        if met is False:
            return Judgment(truth=Truth.NO, missing=(str(self),), reasons=frozenset({self.reason}))
        # No new token would change that
        missing = (f"{self}, which cannot be told here",)
        return Judgment(truth=Truth.UNKNOWN, missing=missing, reasons=frozenset({Reason.ACCESS_DENIED}))

    def leaves(self) -> Iterator[Requirement]:
        """Every part of the rule that is not a combination itself, in order, denied ones too."""
        yield self

    def scopes(self) -> frozenset[str]:
        """Every scope that may help to meet it, for documents; those with path parameters are left out."""
        return frozenset()

    def roles(self) -> frozenset[str]:
        """Every role that may help to meet it."""
        return frozenset()

    def __and__(self, other: Requirement) -> Requirement:
        """Ask for both."""
        return _All(self, other) if isinstance(other, Requirement) else NotImplemented

    def __or__(self, other: Requirement) -> Requirement:
        """Ask for either."""
        return _Any(self, other) if isinstance(other, Requirement) else NotImplemented

    def __invert__(self) -> Requirement:
        """Ask for the contrary. A request without a token does not meet that either."""
        return _Not(self)

    def __bool__(self) -> NoReturn:
        """Refuse `and`, `or` and `not`, which would drop a part of the rule in silence."""
        raise TypeError("combine requirements with &, | and ~, not with `and`, `or` and `not`")


@dataclass(frozen=True, slots=True)
class _Pair(Requirement):
    left: Requirement
    right: Requirement

    def awaits(self) -> bool:
        return self.left.awaits() or self.right.awaits()

    def leaves(self) -> Iterator[Requirement]:
        yield from self.left.leaves()
        yield from self.right.leaves()

    def scopes(self) -> frozenset[str]:
        return self.left.scopes() | self.right.scopes()

    def roles(self) -> frozenset[str]:
        return self.left.roles() | self.right.roles()


class _All(_Pair):
    __slots__ = ()

    def met_by(self, token: AccessToken, context: Context) -> bool | None:
        left, right = self.left.met_by(token, context), self.right.met_by(token, context)
        return False if left is False or right is False else (left is True and right is True) or None

    def judge(self, token: AccessToken | None, context: Context) -> Judgment:
        return self.left.judge(token, context) & self.right.judge(token, context)

    def __invert__(self) -> Requirement:
        return ~self.left | ~self.right

    def __str__(self) -> str:
        return f"({self.left} and {self.right})"


class _Any(_Pair):
    __slots__ = ()

    def met_by(self, token: AccessToken, context: Context) -> bool | None:
        left, right = self.left.met_by(token, context), self.right.met_by(token, context)
        return True if left is True or right is True else None if left is not False or right is not False else False

    def judge(self, token: AccessToken | None, context: Context) -> Judgment:
        left, right = self.left.judge(token, context), self.right.judge(token, context)
        if Truth.YES in {left.truth, right.truth}:
            return left if left.truth is Truth.YES else right
        # The nearest way in is the one to name; the first of two that are as near
        way = min(left, right, key=Judgment.hardness)
        truth = Truth.UNKNOWN if Truth.UNKNOWN in {left.truth, right.truth} else Truth.NO
        missing = (str(self),) if way.reasons else ()
        return way._replace(truth=truth, missing=missing, ask=right.ask if left.ask is None else left.ask)

    def __invert__(self) -> Requirement:
        return ~self.left & ~self.right

    def __str__(self) -> str:
        return f"({self.left} or {self.right})"


@dataclass(frozen=True, slots=True)
class _Not(Requirement):
    """The contrary of a leaf."""

    inner: Requirement

    def met_by(self, token: AccessToken, context: Context) -> bool | None:
        met = self.inner.met_by(token, context)
        return not met if isinstance(met, bool) else None

    def awaits(self) -> bool:
        return self.inner.awaits()

    def judge(self, token: AccessToken | None, context: Context) -> Judgment:
        if token is None:
            return Requirement.judge(self, token, context)
        inner = self.inner.judge(token, context)
        if inner.ask is not None:
            return inner
        return Requirement.judge(self, token, context)._replace(without=inner.scopes)

    def __invert__(self) -> Requirement:
        return self.inner

    def leaves(self) -> Iterator[Requirement]:
        yield from self.inner.leaves()

    def __str__(self) -> str:
        return f"not {self.inner}"


# The first of these that holds is the one that the client is told
_WEIGHT = (Reason.SCOPE_MISSING, Reason.ROLE_MISSING, Reason.PERMISSION_MISSING)
_STEP_UP = 2


def are_met(parts: Iterable[tuple[Requirement, Context]], token: AccessToken) -> bool:
    """Whether a token meets several requirements, each in its own context."""
    for requirement, context in parts:  # noqa: SIM110 - a generator takes longer than all the rest
        if requirement.met_by(token, context) is not True:
            return False
    return True


def judge_all(parts: Iterable[tuple[Requirement, Context]], token: AccessToken | None) -> Judgment:
    """Judge them, for what a refusal says: all must be met."""
    judgments = [requirement.judge(token, context) for requirement, context in parts]
    return reduce(and_, judgments) if judgments else Judgment(truth=Truth.YES)


def refusal(judgment: Judgment, token: AccessToken | None) -> AccessError:
    """Return the error for a requirement that is not met."""
    reason, step_up = Reason.CREDENTIALS_MISSING, StepUp()
    if token is not None and judgment.hardness() == _STEP_UP:
        reason, step_up = Reason.AUTHENTICATION_INSUFFICIENT, judgment.step_up
    elif token is not None:
        reason = next((reason for reason in _WEIGHT if reason in judgment.reasons), Reason.ACCESS_DENIED)
    return AccessError(
        reason,
        "" if token is None else f"needs {' and '.join(judgment.missing)}",
        scopes=tuple(sorted(judgment.scopes)),
        roles=tuple(sorted(judgment.roles)),
        missing=judgment.missing,
        acr_values=step_up.acr_values or (),
        max_age=step_up.max_age,
    )
