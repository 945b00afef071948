"""Rules about who a token is for and what it names: Scope, Role, Permission, Issuer, Client, Subject.

Each compares a verified token with configuration. Values of the request come in by name (`PathParam`, or `{id}` in a
scope), are taken as they are, and are never a pattern.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeGuard

from jwt_asgi._core.access import Context, Judgment, Requirement, Truth
from jwt_asgi._core.access_token import AccessToken
from jwt_asgi.errors import ConfigurationError, Reason

__all__ = [
    "AnyToken",
    "Client",
    "Issuer",
    "PathParam",
    "Permission",
    "Role",
    "Scope",
    "Subject",
    "is_text",
    "is_token",
    "listed",
    "resolved",
]

# RFC 6749 section 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_TEMPLATE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
# RFC 3986 section 2.3: what cannot end one part of a scope and begin another
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]+")


@dataclass(frozen=True, slots=True)
class PathParam:
    """The text of a path parameter of the route, to compare with: `Subject(PathParam("user_id"))`."""

    name: str

    def __post_init__(self) -> None:
        """Check the name."""
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise ConfigurationError("PathParam", f'expected the name of a path parameter, as "id"; got {self.name!r}')

    def __str__(self) -> str:
        """Return it as it stands in a route."""
        return f"{{{self.name}}}"


@dataclass(frozen=True, slots=True)
class AnyToken(Requirement):
    """Any good token will do."""

    def met_by(self, token: AccessToken, context: Context) -> bool:  # noqa: ARG002 - the rule's own
        """Whether there is one."""
        return True

    def __str__(self) -> str:
        """Return it as text."""
        return "any token"


@dataclass(frozen=True, slots=True)
class Scope(Requirement):
    """The token has this scope.

    In `Scope("doc:{id}:read")` the path parameter `id` of the route is put in. It cannot be more than one part of the
    scope: a value meets nothing that has another character than letters, digits and `-._~`, or has the one that stands
    before or behind `{id}`.

    Raises:
        ConfigurationError: the name is not a scope-token of RFC 6749 section 3.3; for several, write `Scope & Scope`.
            Or a letter, a digit or another parameter stands beside `{id}`.
    """

    name: str
    reason: ClassVar[Reason] = Reason.SCOPE_MISSING

    def __post_init__(self) -> None:
        """Check the name, since it goes into challenges."""
        if not is_token(self.name):
            detail = 'expected one scope, without spaces and quotes; for two, write Scope("a") & Scope("b"); got'
            raise ConfigurationError("Scope", f"{detail} {self.name!r}")
        for found in _TEMPLATE.finditer(self.name):
            if any(beside.isalnum() or beside in "{}" for beside in _beside(found)):
                detail = f'expected {found[0]} between separators, as in "doc:{{id}}:read"; got {self.name!r}'
                raise ConfigurationError("Scope", detail)

    def met_by(self, token: AccessToken, context: Context) -> bool | None:
        """Whether the token has the scope."""
        name = self._named(context)
        return None if name is None else name in token.scopes

    def judge(self, token: AccessToken | None, context: Context) -> Judgment:
        """Judge, and name the scope as it is for this request."""
        name = self._named(context)
        if name is None:
            return Requirement.judge(self, token, context)
        met = token is not None and name in token.scopes
        return Judgment(
            truth=Truth.YES if met else Truth.NO,
            scopes=frozenset({name}),
            missing=() if met else (str(self),),
            reasons=frozenset() if met else frozenset({Reason.SCOPE_MISSING}),
        )

    def scopes(self) -> frozenset[str]:
        """Return this one, unless it depends on the path."""
        return frozenset() if _TEMPLATE.search(self.name) else frozenset({self.name})

    def __str__(self) -> str:
        """Return it as text."""
        return f"scope {self.name}"

    def _named(self, context: Context) -> str | None:
        if "{" not in self.name:
            return self.name
        for found in _TEMPLATE.finditer(self.name):
            value = context.path_params.get(found[1])
            if not isinstance(value, str) or not _UNRESERVED.fullmatch(value):
                return None
            if any(beside in value for beside in _beside(found)):
                return None
        return _TEMPLATE.sub(lambda found: context.path_params[found[1]], self.name)


def _beside(found: re.Match[str]) -> str:
    """The characters before and behind a parameter."""
    start, end = found.span()
    return found.string[max(start - 1, 0) : start] + found.string[end : end + 1]


@dataclass(frozen=True, slots=True)
class _Named(Requirement):
    name: str

    def __post_init__(self) -> None:
        """Refuse a name that no token can have."""
        if not isinstance(self.name, str) or not self.name:
            raise ConfigurationError(type(self).__name__, f"expected a name; got {self.name!r}")

    def __str__(self) -> str:
        """Return it as text."""
        return f"{type(self).__name__.lower()} {self.name}"


class Role(_Named):
    """The token has this role: `AccessToken.roles`."""

    __slots__ = ()
    reason: ClassVar[Reason] = Reason.ROLE_MISSING

    def met_by(self, token: AccessToken, context: Context) -> bool:  # noqa: ARG002 - the rule's own
        """Whether the token has the role."""
        return self.name in token.roles

    def judge(self, token: AccessToken | None, context: Context) -> Judgment:  # noqa: ARG002 - the rule's own
        """Judge, and name the role."""
        met = token is not None and self.name in token.roles
        return Judgment(
            truth=Truth.YES if met else Truth.NO,
            roles=frozenset({self.name}),
            missing=() if met else (str(self),),
            reasons=frozenset() if met else frozenset({Reason.ROLE_MISSING}),
        )

    def roles(self) -> frozenset[str]:
        """Return this one."""
        return frozenset({self.name})


class Permission(_Named):
    """The token has this permission: `AccessToken.permissions`."""

    __slots__ = ()
    reason: ClassVar[Reason] = Reason.PERMISSION_MISSING

    def met_by(self, token: AccessToken, context: Context) -> bool:  # noqa: ARG002 - the rule's own
        """Whether the token has the permission."""
        return self.name in token.permissions


class _OneOf(Requirement):
    """A text of the token is one of these."""

    __slots__ = ("values",)
    values: tuple[str | PathParam, ...]
    _what: ClassVar[str]

    def __init__(self, *values: str | PathParam) -> None:
        """Take the texts, of which one will do."""
        if not values or not all(isinstance(value, PathParam) or is_text(value) for value in values):
            detail = f"expected one or more texts, or PathParam; got {', '.join(map(repr, values)) or 'none'}"
            raise ConfigurationError(type(self).__name__, detail)
        object.__setattr__(self, "values", values)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: a rule is a value."""
        raise AttributeError(f"a rule is read-only; {name} cannot be set")

    def __eq__(self, other: object) -> bool:
        """Compare as values."""
        return type(other) is type(self) and isinstance(other, _OneOf) and other.values == self.values

    def __hash__(self) -> int:
        """Hash as values."""
        return hash((type(self), self.values))

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle as it is written."""
        return type(self), self.values

    def __repr__(self) -> str:
        """Show how it is written."""
        return f"{type(self).__name__}({', '.join(map(repr, self.values))})"

    def __str__(self) -> str:
        """Return it as text."""
        return f"{self._what} {' or '.join(map(str, self.values))}"

    def _holds(self, actual: str | None, context: Context) -> bool | None:
        found = [resolved(value, context) for value in self.values]
        if actual is not None and actual in found:
            return True
        return None if None in found else False


class Issuer(_OneOf):
    """The token is of one of these issuers, compared exactly with `iss`."""

    __slots__ = ()
    _what = "issuer"

    def met_by(self, token: AccessToken, context: Context) -> bool | None:
        """Whether it is."""
        return self._holds(token.issuer, context)


class Client(_OneOf):
    """The token was given to one of these OAuth clients: `AccessToken.client_id`."""

    __slots__ = ()
    _what = "client"

    def met_by(self, token: AccessToken, context: Context) -> bool | None:
        """Whether it was."""
        return self._holds(token.client_id, context)


class Subject(_OneOf):
    """The token's `sub` is one of these; `Subject(PathParam("user_id"))` lets each user to what is theirs.

    `sub` is unique within its issuer alone: with several issuers, write `Issuer(...) & Subject(...)`.
    """

    __slots__ = ()
    _what = "subject"

    def met_by(self, token: AccessToken, context: Context) -> bool | None:
        """Whether it is."""
        return self._holds(token.subject, context)


def resolved(value: str | PathParam, context: Context) -> str | None:
    """Return a text, or that of a path parameter; None where the route has no such parameter."""
    if isinstance(value, str):
        return value
    found = context.path_params.get(value.name)
    return found if is_text(found) else None


def is_text(value: object) -> TypeGuard[str]:
    """Whether it is a text that is not empty."""
    return isinstance(value, str) and bool(value)


def is_token(value: object) -> TypeGuard[str]:
    """Whether it is a scope-token: a text that a challenge can carry in a list separated by spaces."""
    return isinstance(value, str) and _SCOPE_TOKEN.fullmatch(value) is not None


def listed(values: object) -> tuple[Any, ...] | None:
    """Return the members of a list or another collection that is not a text; None where it is none."""
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Collection):
        return None
    return tuple(values)
