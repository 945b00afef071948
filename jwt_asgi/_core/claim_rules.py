"""Rules about single claims: Claim, Acr, AuthorizationDetails; and ExternalPolicy, which asks somebody else."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import KW_ONLY, dataclass
from math import isfinite
from typing import Any, ClassVar

from jwt_asgi._core.access import Context, Judgment, Requirement, StepUp, Truth
from jwt_asgi._core.access_token import AccessToken
from jwt_asgi._core.claims import claim_at
from jwt_asgi._core.policy import seconds
from jwt_asgi._core.rules import PathParam, is_text, is_token, listed, resolved
from jwt_asgi.errors import ConfigurationError, Reason

__all__ = ["Acr", "AuthorizationDetails", "Claim", "ExternalPolicy"]

_FUTURE_SECONDS = 60.0
"""By how much `auth_time` may lie ahead; beyond it, it is in other units, or wrong."""

_LISTS = ("actions", "locations", "datatypes", "privileges")
"""RFC 9396 section 2.2."""

# A whole number as JSON and Python write it
_WHOLE = re.compile(r"0|-?[1-9][0-9]*")

Scalar = str | int | float | bool
_Missing: Any = ...
"""Not given. It stays itself when a rule is copied or pickled."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Claim(Requirement):
    """A claim has a value: `Claim("tenant", equals="acme")`, `Claim(["address", "country"], one_of=["CH", "LI"])`.

    Args:
        path: The name of a claim, dots and all; or a list of names, each within the one before.
        equals: The value, of the same type; `PathParam("tenant")`: a path parameter, which equals a text, or a whole
            number as it is written.
        one_of: The values, of which it is one.
        contains: The claim is an array, and this is one of its members.
        present: `True`: the claim is there, and not null.

    Raises:
        ConfigurationError: it has not exactly one of these four, or a part has another shape.
    """

    path: str | Sequence[str]
    _: KW_ONLY
    equals: Scalar | PathParam = _Missing
    one_of: Sequence[Scalar | PathParam] = _Missing
    contains: Scalar | PathParam = _Missing
    present: bool = _Missing

    def __post_init__(self) -> None:
        """Check the shape, and make it a value."""
        path = listed((self.path,) if isinstance(self.path, str) else self.path)
        if not path or not all(map(is_text, path)):
            raise ConfigurationError("Claim", f'expected "name" or ["name", "within"]; got {self.path!r}')
        given = [name for name in ("equals", "one_of", "contains", "present") if getattr(self, name) is not _Missing]
        if len(given) != 1:
            detail = "expected one of equals=, one_of=, contains= and present=True"
            raise ConfigurationError("Claim", f"{detail}; got {' and '.join(given) or 'none'}")
        object.__setattr__(self, "path", path)
        self._check(given[0])

    def met_by(self, token: AccessToken, context: Context) -> bool | None:
        """Whether it has."""
        value = claim_at(token.claims, tuple(self.path))
        if self.present is not _Missing:
            return value is not None
        if self.contains is not _Missing:
            return _among(value if isinstance(value, tuple) else (), self.contains, context)
        wanted = [self.equals] if self.one_of is _Missing else self.one_of
        return _any([_same(value, want, context) for want in wanted])

    def __str__(self) -> str:
        """Return it as text."""
        name = ".".join(self.path)
        if self.present is not _Missing:
            return f"claim {name}"
        if self.contains is not _Missing:
            return f"claim {name} with {_text(self.contains)}"
        wanted = [self.equals] if self.one_of is _Missing else self.one_of
        return f"claim {name} {' or '.join(map(_text, wanted))}"

    def __repr__(self) -> str:
        """Show how it is written."""
        names = ("equals", "one_of", "contains", "present")
        given = next(f"{name}={getattr(self, name)!r}" for name in names if getattr(self, name) is not _Missing)
        return f"Claim({list(self.path)!r}, {given})"

    def __eq__(self, other: object) -> bool:
        """Compare as values, where 1 and True are two."""
        return isinstance(other, Claim) and repr(other) == repr(self)

    def __hash__(self) -> int:
        """Hash as values."""
        return hash(repr(self))

    def _check(self, given: str) -> None:
        value = getattr(self, given)
        if given == "present":
            if value is not True:
                raise ConfigurationError(
                    "Claim present", f"expected True; for the contrary write ~Claim; got {value!r}"
                )
            return
        if given == "one_of":
            if not (values := listed(value)):
                raise ConfigurationError("Claim one_of", f'expected a list of values, as ["a", "b"]; got {value!r}')
            object.__setattr__(self, "one_of", values)
        else:
            values = (value,)
        if not all(isinstance(entry, (str, int, PathParam)) or _is_finite(entry) for entry in values):
            raise ConfigurationError(f"Claim {given}", f"expected texts, numbers, True or False; got {value!r}")


@dataclass(frozen=True, slots=True)
class Acr(Requirement):
    """The user authenticated in one of these ways, or lately enough; else a step-up is asked for (RFC 9470).

    Args:
        values: Authentication context classes, of which `acr` must be one; in order of preference. None: any.
        max_age: The most seconds since `auth_time`.
    """

    values: str | Sequence[str] = ()
    _: KW_ONLY
    max_age: int | None = None
    reason: ClassVar[Reason] = Reason.AUTHENTICATION_INSUFFICIENT

    def __post_init__(self) -> None:
        """Check the shape, and make it a value."""
        values = (self.values,) if isinstance(self.values, str) else listed(self.values)
        # They go into a challenge, separated by spaces
        if values is None or not all(map(is_token, values)):
            raise ConfigurationError("Acr", f"expected classes without spaces and quotes; got {self.values!r}")
        if self.max_age is None and not values:
            raise ConfigurationError("Acr", "expected authentication context classes, max_age= or both")
        age = self.max_age
        if age is not None and not (isinstance(age, int) and seconds("Acr max_age", age) == age):
            raise ConfigurationError("Acr max_age", f"expected whole seconds; got {self.max_age!r}")
        object.__setattr__(self, "values", values)

    def met_by(self, token: AccessToken, context: Context) -> bool:
        """Whether it is so."""
        if self.values and token.claims.get("acr") not in self.values:
            return False
        if self.max_age is None:
            return True
        authenticated_at = token.claims.get("auth_time")
        if isinstance(authenticated_at, bool) or not isinstance(authenticated_at, (int, float)):
            return False
        # No difference: that of an integer of a thousand digits is no number
        return context.now - self.max_age <= authenticated_at <= context.now + _FUTURE_SECONDS

    def judge(self, token: AccessToken | None, context: Context) -> Judgment:
        """Judge, and say what authentication is asked for."""
        step_up = StepUp(tuple(self.values) or None, self.max_age)
        return Requirement.judge(self, token, context)._replace(step_up=step_up)

    def __str__(self) -> str:
        """Return it as text."""
        parts = [f"acr {' or '.join(self.values)}"] if self.values else []
        parts += [f"an authentication {self.max_age} s old at most"] if self.max_age is not None else []
        return " and ".join(parts)


@dataclass(frozen=True, slots=True)
class AuthorizationDetails(Requirement):
    """One object in `authorization_details` (RFC 9396 section 9.1) has this type, and all that is named here.

    What is not named is not looked at: an object that is limited to one `identifier` or `location` fits a rule that
    names none.

    Args:
        type: Compared exactly.
        actions: All of them must be in its `actions`; and so with the three that follow.
        locations: The URLs of resource servers.
        datatypes: Kinds of data.
        privileges: Levels of privilege.
        identifier: What its `identifier` must be; or a path parameter.

    Raises:
        ConfigurationError: a part has another shape.
    """

    type: str
    _: KW_ONLY
    actions: Sequence[str] = ()
    locations: Sequence[str] = ()
    datatypes: Sequence[str] = ()
    privileges: Sequence[str] = ()
    identifier: str | PathParam | None = None

    def __post_init__(self) -> None:
        """Check the shape, and make it a value."""
        if not is_text(self.type):
            raise ConfigurationError("AuthorizationDetails", f"expected a type; got {self.type!r}")
        for name in _LISTS:
            values = listed(given := getattr(self, name))
            if values is None or not all(map(is_text, values)):
                raise ConfigurationError(f"AuthorizationDetails {name}", f"expected a list of texts; got {given!r}")
            object.__setattr__(self, name, values)
        if self.identifier is not None and not is_text(self.identifier) and not isinstance(self.identifier, PathParam):
            detail = f"expected a text or PathParam; got {self.identifier!r}"
            raise ConfigurationError("AuthorizationDetails identifier", detail)

    def met_by(self, token: AccessToken, context: Context) -> bool | None:
        """Whether one has."""
        identifier = None if self.identifier is None else resolved(self.identifier, context)
        if self.identifier is not None and identifier is None:
            return None
        details = token.claims.get("authorization_details")
        lists = [(name, wanted) for name in _LISTS if (wanted := getattr(self, name))]
        return any(self._fits(detail, identifier, lists) for detail in (details if isinstance(details, tuple) else ()))

    def __str__(self) -> str:
        """Return it as text."""
        parts = [f"authorization_details of type {self.type}"]
        parts += [f"{name} {', '.join(getattr(self, name))}" for name in _LISTS if getattr(self, name)]
        parts += [f"identifier {self.identifier}"] if self.identifier is not None else []
        return " with ".join([parts[0], " and ".join(parts[1:])] if parts[1:] else parts)

    def _fits(self, detail: object, identifier: str | None, lists: Sequence[tuple[str, Sequence[str]]]) -> bool:
        if not isinstance(detail, dict) or detail.get("type") != self.type:
            return False
        if identifier is not None and detail.get("identifier") != identifier:
            return False
        for name, wanted in lists:
            has = detail.get(name)
            if not isinstance(has, tuple) or any(text not in has for text in wanted):
                return False
        return True


@dataclass(frozen=True, slots=True)
class ExternalPolicy(Requirement):
    """Somebody else decides: a policy engine, a database. It is asked where the rest of the rule leaves it open.

    Args:
        name: For logs and documents.
        ask: `async def ask(token, context) -> bool`; `True` itself lets in, and nothing else. An exception, or no
            answer in time, is 503.
        timeout: Seconds.
    """

    name: str
    ask: Callable[[AccessToken, Context], Awaitable[bool]]
    _: KW_ONLY
    timeout: float = 2.0

    def __post_init__(self) -> None:
        """Check the shape."""
        if not is_text(self.name) or not callable(self.ask) or not isinstance(self.ask, Hashable):
            raise ConfigurationError("ExternalPolicy", "expected a name, and an async function of token and context")
        seconds("ExternalPolicy timeout", self.timeout, least=0.001)

    def met_by(self, token: AccessToken, context: Context) -> bool | None:  # noqa: ARG002 - the rule's own
        """Return what was answered, or None before that."""
        return context.answers.get(self)

    def awaits(self) -> bool:
        """It is asked."""
        return True

    def judge(self, token: AccessToken | None, context: Context) -> Judgment:
        """Return what was answered, or ask for it."""
        if token is None or self in context.answers:
            return Requirement.judge(self, token, context)
        return Judgment(truth=Truth.UNKNOWN, ask=self)

    def __str__(self) -> str:
        """Return it as text."""
        return f"policy {self.name}"


def _same(value: object, want: Scalar | PathParam, context: Context) -> bool | None:
    """Compare as JSON does: 1 is 1.0, and True is no number; None where the path parameter is not there."""
    return _among((value,), want, context)


def _among(values: tuple[object, ...], want: Scalar | PathParam, context: Context) -> bool | None:
    """Say whether one of them is the same. Nearly all are looked at in C alone, since a claim may have thousands."""
    if isinstance(want, PathParam):
        text = resolved(want, context)
        return None if text is None else text in values or _has_whole(values, text)
    return want in values and any(
        value == want and isinstance(value, bool) == isinstance(want, bool) for value in values
    )


def _has_whole(values: tuple[object, ...], text: str) -> bool:
    """Whether one is the whole number that is written so; 7.0 and True are none."""
    if not _WHOLE.fullmatch(text):
        return False
    try:
        number = int(text)
    except ValueError:
        # More digits than int() takes (CVE-2020-10735), so that no claim has them
        return False
    return number in values and any(type(value) is int and value == number for value in values)


def _is_finite(value: object) -> bool:
    return isinstance(value, float) and isfinite(value)


def _any(truths: Sequence[bool | None]) -> bool | None:
    return True if True in truths else None if None in truths else False


def _text(value: Scalar | PathParam) -> str:
    return str(value) if isinstance(value, PathParam) else repr(value)
