"""AccessToken x Requirement -> granted, or what is missing.

A requirement is a value: `Scope("todos:read") & (Role("admin") | Claim("tenant", equals="acme"))`. The leaves are in
rules.py and claim_rules.py. Truth has three values (Kleene): what cannot be told, as a path parameter that the route
lacks, is never let in by `~`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, ClassVar, NoReturn

from jwt_asgi._core.access_token import AccessToken
from jwt_asgi.errors import AccessError, Reason

__all__ = ["Context", "Judgment", "Requirement", "StepUp", "Truth", "refusal"]


class Truth(Enum):
    """Whether a requirement is met."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
    """It cannot be told, or an external policy has not been asked yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a requirement may look at besides the token.

    Attributes:
        now: The time, in seconds since the epoch.
        method: The HTTP method, or `WEBSOCKET`.
        path: The path, below the application's root.
        path_params: The path parameters of the route, as text.
        answers: What external policies have said.
    """

    now: float = 0.0
    method: str = ""
    path: str = ""
    path_params: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[Any, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepUp:
    """What RFC 9470 asks of the user's authentication."""

    acr_values: tuple[str, ...] = ()
    max_age: int | None = None

    def __add__(self, other: StepUp) -> StepUp:
        """Ask for both: the classes that suffice for both, in order, and the shorter time."""
        ages = [age for age in (self.max_age, other.max_age) if age is not None]
        both = tuple(value for value in self.acr_values if value in other.acr_values)
        classes = both if self.acr_values and other.acr_values else self.acr_values or other.acr_values
        return StepUp(classes, min(ages, default=None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgment:
    """What came of a requirement for one token.

    Attributes:
        truth: Whether it is met.
        scopes: The scopes on the way that was taken, or that is to be taken.
        roles: The roles, likewise.
        missing: The parts that are not met, as text.
        reasons: Why they are not.
        step_up: What the user's authentication must be.
        ask: An external policy whose answer is needed first.
    """

    truth: Truth
    scopes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    missing: tuple[str, ...] = ()
    reasons: frozenset[Reason] = frozenset()
    step_up: StepUp | None = None
    ask: Requirement | None = None

    def and_also(self, other: Judgment, truth: Truth) -> Judgment:
        """Both ways in one, with this truth."""
        steps = [step for step in (self.step_up, other.step_up) if step is not None]
        return Judgment(
            truth=truth,
            scopes=self.scopes | other.scopes,
            roles=self.roles | other.roles,
            missing=self.missing + other.missing,
            reasons=self.reasons | other.reasons,
            step_up=sum(steps[1:], steps[0]) if steps else None,
            ask=self.ask or other.ask,
        )

    def hardness(self) -> int:
        """How far the way is: 0 open, 1 another scope, 2 a new authentication too, 3 what no new token brings."""
        if self.reasons <= {Reason.SCOPE_MISSING}:
            return 1 if self.reasons else 0
        return 2 if self.reasons <= {Reason.SCOPE_MISSING, Reason.AUTHENTICATION_INSUFFICIENT} else 3


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

    def judge(self, token: AccessToken | None, context: Context) -> Judgment:
        """Judge one token, or none, which meets nothing."""
        met = False if token is None else self.met_by(token, context)
        if met is True:
            return Judgment(truth=Truth.YES)
        return Judgment(
            truth=Truth.NO if met is False else Truth.UNKNOWN, missing=(str(self),), reasons=frozenset({self.reason})
        )

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

    def met_by(self, token: AccessToken, context: Context) -> bool | None:
        truth = self.judge(token, context).truth
        return None if truth is Truth.UNKNOWN else truth is Truth.YES

    def leaves(self) -> Iterator[Requirement]:
        yield from self.left.leaves()
        yield from self.right.leaves()

    def scopes(self) -> frozenset[str]:
        return self.left.scopes() | self.right.scopes()

    def roles(self) -> frozenset[str]:
        return self.left.roles() | self.right.roles()


class _All(_Pair):
    __slots__ = ()

    def judge(self, token: AccessToken | None, context: Context) -> Judgment:
        left, right = self.left.judge(token, context), self.right.judge(token, context)
        truths = {left.truth, right.truth}
        truth = Truth.NO if Truth.NO in truths else Truth.UNKNOWN if Truth.UNKNOWN in truths else Truth.YES
        return left.and_also(right, truth)

    def __str__(self) -> str:
        return f"({self.left} and {self.right})"


class _Any(_Pair):
    __slots__ = ()

    def judge(self, token: AccessToken | None, context: Context) -> Judgment:
        left, right = self.left.judge(token, context), self.right.judge(token, context)
        if Truth.YES in {left.truth, right.truth}:
            return left if left.truth is Truth.YES else right
        # The nearest way in is the one to name; the first of two that are as near
        way = min(left, right, key=Judgment.hardness)
        truth = Truth.UNKNOWN if Truth.UNKNOWN in {left.truth, right.truth} else Truth.NO
        return replace(way, truth=truth, missing=(str(self),), ask=left.ask or right.ask)

    def __str__(self) -> str:
        return f"({self.left} or {self.right})"


@dataclass(frozen=True, slots=True)
class _Not(Requirement):
    inner: Requirement

    def met_by(self, token: AccessToken, context: Context) -> bool | None:
        truth = self.inner.judge(token, context).truth
        return None if truth is Truth.UNKNOWN else truth is Truth.NO

    def judge(self, token: AccessToken | None, context: Context) -> Judgment:
        inner = self.inner.judge(token, context)
        if token is not None and inner.truth is Truth.NO:
            return Judgment(truth=Truth.YES)
        truth = Truth.UNKNOWN if token is not None and inner.truth is Truth.UNKNOWN else Truth.NO
        return Judgment(truth=truth, missing=(str(self),), reasons=frozenset({self.reason}), ask=inner.ask)

    def leaves(self) -> Iterator[Requirement]:
        yield from self.inner.leaves()

    def __str__(self) -> str:
        return f"not {self.inner}"


# The first of these that holds is the one that the client is told
_WEIGHT = (
    Reason.SCOPE_MISSING,
    Reason.ROLE_MISSING,
    Reason.PERMISSION_MISSING,
    Reason.ACCESS_DENIED,
    Reason.AUTHENTICATION_INSUFFICIENT,
)
_STEP_UP = 2


def refusal(judgment: Judgment, token: AccessToken | None) -> AccessError:
    """Return the error for a requirement that is not met."""
    scopes, roles = tuple(sorted(judgment.scopes)), tuple(sorted(judgment.roles))
    if token is None:
        return AccessError(Reason.CREDENTIALS_MISSING, scopes=scopes, roles=roles, missing=judgment.missing)
    detail = f"needs {' and '.join(judgment.missing)}"
    if judgment.hardness() == _STEP_UP:
        step = judgment.step_up or StepUp()
        return AccessError(
            Reason.AUTHENTICATION_INSUFFICIENT,
            detail,
            scopes=scopes,
            missing=judgment.missing,
            acr_values=step.acr_values,
            max_age=step.max_age,
        )
    reason = next((reason for reason in _WEIGHT if reason in judgment.reasons), Reason.ACCESS_DENIED)
    return AccessError(reason, detail, scopes=scopes, roles=roles, missing=judgment.missing)
