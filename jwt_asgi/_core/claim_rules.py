"""Rules about single claims: Claim, Acr, AuthorizationDetails; and ExternalPolicy, which asks somebody else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from jwt_asgi._core.access import Context, Judgment, Requirement, StepUp, Truth
from jwt_asgi._core.access_token import AccessToken
from jwt_asgi._core.claims import claim_at
from jwt_asgi._core.policy import seconds
from jwt_asgi._core.rules import PathParam, is_text, resolved
from jwt_asgi.errors import ConfigurationError, Reason

__all__ = ["Acr", "AuthorizationDetails", "Claim", "ExternalPolicy"]

_FUTURE_SECONDS = 60.0
"""By how much `auth_time` may lie ahead; beyond it, it is in other units, or wrong."""

Scalar = str | int | float | bool
_Missing: Any = object()


@dataclass(frozen=True, slots=True)
class Claim(Requirement):
    """A claim has a value: `Claim("tenant", equals="acme")`, `Claim(["address", "country"], one_of=["CH", "LI"])`.

    Args:
        path: The name of a claim, dots and all; or a list of names, each within the one before.
        equals: The value, of the same type; `PathParam("tenant")`: a path parameter, which equals a text alone.
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
        path = (self.path,) if isinstance(self.path, str) else tuple(self.path)
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
            members = value if isinstance(value, tuple) else ()
            return _any(
                [_same(member, self.contains, context) for member in members] or [_known(self.contains, context)]
            )
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

    def _check(self, given: str) -> None:
        value = getattr(self, given)
        if given == "present":
            if value is not True:
                raise ConfigurationError(
                    "Claim present", f"expected True; for the contrary write ~Claim; got {value!r}"
                )
            return
        if given == "one_of":
            if isinstance(value, (str, PathParam)) or not (values := tuple(value)):
                raise ConfigurationError("Claim one_of", f'expected a list of values, as ["a", "b"]; got {value!r}')
            object.__setattr__(self, "one_of", values)
        else:
            values = (value,)
        if not all(isinstance(entry, (str, int, float, PathParam)) for entry in values):
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
        values = (self.values,) if isinstance(self.values, str) else tuple(self.values)
        # They go into a challenge, separated by spaces
        if not all(is_text(value) and value.isascii() and value.isprintable() for value in values) or any(
            character in value for value in values for character in ' "\\'
        ):
            raise ConfigurationError("Acr", f"expected classes without spaces and quotes; got {self.values!r}")
        if self.max_age is None and not values:
            raise ConfigurationError("Acr", "expected authentication context classes, max_age= or both")
        if self.max_age is not None and (not isinstance(self.max_age, int) or seconds("Acr max_age", self.max_age) < 0):
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
        return -_FUTURE_SECONDS <= context.now - authenticated_at <= self.max_age

    def judge(self, token: AccessToken | None, context: Context) -> Judgment:
        """Judge, and say what authentication is asked for."""
        if token is not None and self.met_by(token, context):
            return Judgment(truth=Truth.YES)
        step_up = StepUp(tuple(self.values), self.max_age)
        return Judgment(truth=Truth.NO, missing=(str(self),), reasons=frozenset({self.reason}), step_up=step_up)

    def __str__(self) -> str:
        """Return it as text."""
        parts = [f"acr {' or '.join(self.values)}"] if self.values else []
        parts += [f"an authentication {self.max_age} s old at most"] if self.max_age is not None else []
        return " and ".join(parts)


@dataclass(frozen=True, slots=True)
class AuthorizationDetails(Requirement):
    """One object in `authorization_details` (RFC 9396) has this type, and all of these actions and locations.

    Args:
        type: Compared exactly.
        actions: All of them must be in its `actions`.
        locations: All of them must be in its `locations`.
        identifier: What its `identifier` must be; or a path parameter.
    """

    type: str
    _: KW_ONLY
    actions: Sequence[str] = ()
    locations: Sequence[str] = ()
    identifier: str | PathParam | None = None

    def __post_init__(self) -> None:
        """Check the shape, and make it a value."""
        if not is_text(self.type):
            raise ConfigurationError("AuthorizationDetails", f"expected a type; got {self.type!r}")
        for name in ("actions", "locations"):
            values = getattr(self, name)
            if isinstance(values, str) or not all(map(is_text, values)):
                raise ConfigurationError(f"AuthorizationDetails {name}", f"expected a list of texts; got {values!r}")
            object.__setattr__(self, name, tuple(values))
        if self.identifier is not None and not is_text(self.identifier) and not isinstance(self.identifier, PathParam):
            detail = f"expected a text or PathParam; got {self.identifier!r}"
            raise ConfigurationError("AuthorizationDetails identifier", detail)

    def met_by(self, token: AccessToken, context: Context) -> bool | None:
        """Whether one has."""
        identifier = None if self.identifier is None else resolved(self.identifier, context)
        if self.identifier is not None and identifier is None:
            return None
        details = token.claims.get("authorization_details")
        return any(self._fits(detail, identifier) for detail in (details if isinstance(details, tuple) else ()))

    def __str__(self) -> str:
        """Return it as text."""
        parts = [f"authorization_details of type {self.type}"]
        parts += [
            f"{name} {', '.join(getattr(self, name))}" for name in ("actions", "locations") if getattr(self, name)
        ]
        parts += [f"identifier {self.identifier}"] if self.identifier is not None else []
        return " with ".join([parts[0], " and ".join(parts[1:])] if parts[1:] else parts)

    def _fits(self, detail: object, identifier: str | None) -> bool:
        if not isinstance(detail, Mapping) or detail.get("type") != self.type:
            return False
        if identifier is not None and detail.get("identifier") != identifier:
            return False
        named = [(self.actions, detail.get("actions")), (self.locations, detail.get("locations"))]
        return all(not wanted or (isinstance(has, tuple) and set(wanted) <= _texts(has)) for wanted, has in named)


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
        if not is_text(self.name) or not callable(self.ask):
            raise ConfigurationError("ExternalPolicy", "expected a name, and an async function of token and context")
        seconds("ExternalPolicy timeout", self.timeout)

    def met_by(self, token: AccessToken, context: Context) -> bool | None:  # noqa: ARG002 - the rule's own
        """Return what was answered, or None before that."""
        return context.answers.get(self)

    def judge(self, token: AccessToken | None, context: Context) -> Judgment:
        """Return what was answered, or ask for it."""
        if token is None or self in context.answers:
            return Requirement.judge(self, token, context)
        return Judgment(truth=Truth.UNKNOWN, missing=(str(self),), reasons=frozenset({self.reason}), ask=self)

    def __str__(self) -> str:
        """Return it as text."""
        return f"policy {self.name}"


def _same(value: object, want: Scalar | PathParam, context: Context) -> bool | None:
    """Compare as JSON does: 1 is 1.0, and True is no number; None where the path parameter is not there."""
    if isinstance(want, PathParam):
        text = resolved(want, context)
        return None if text is None else isinstance(value, str) and value == text
    return value == want and isinstance(value, bool) == isinstance(want, bool)


def _known(want: Scalar | PathParam, context: Context) -> bool | None:
    return None if isinstance(want, PathParam) and resolved(want, context) is None else False


def _any(truths: Sequence[bool | None]) -> bool | None:
    return True if True in truths else None if None in truths else False


def _text(value: Scalar | PathParam) -> str:
    return str(value) if isinstance(value, PathParam) else repr(value)


def _texts(values: Sequence[object]) -> set[str]:
    return {value for value in values if isinstance(value, str)}
