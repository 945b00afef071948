"""AccessToken x Requirement -> granted, or what is missing.

A requirement is a value: `Scope("todos:read") & (Role("admin") | Role("editor"))`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NoReturn

from jwt_asgi._core.access_token import AccessToken
from jwt_asgi.errors import AccessError, ConfigurationError, Reason

__all__ = ["Requirement", "Role", "Scope", "check_access"]

# RFC 6749 section 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


class Requirement(ABC):
    """What a token must allow. Combine with `&` and `|`."""

    __slots__ = ()

    @abstractmethod
    def met_by(self, token: AccessToken) -> bool:
        """Whether the token allows it."""

    def scopes(self) -> frozenset[str]:
        """Every scope that is asked for, for the challenge (RFC 6750 section 3.1)."""
        return frozenset()

    def roles(self) -> frozenset[str]:
        """Every role that is asked for."""
        return frozenset()

    def __and__(self, other: Requirement) -> Requirement:
        """Ask for both."""
        return _All(self, other) if isinstance(other, Requirement) else NotImplemented

    def __or__(self, other: Requirement) -> Requirement:
        """Ask for either."""
        return _Any(self, other) if isinstance(other, Requirement) else NotImplemented

    def __bool__(self) -> NoReturn:
        """Refuse `and`, `or` and `not`, which would drop a part of the rule in silence."""
        raise TypeError("combine requirements with & and |, not with `and` and `or`")


@dataclass(frozen=True, slots=True)
class Scope(Requirement):
    """The token has this scope.

    Raises:
        ConfigurationError: the name is not a scope-token of RFC 6749 section 3.3; for several, write `Scope & Scope`.
    """

    name: str

    def __post_init__(self) -> None:
        """Check the name, since it goes into challenges."""
        if not isinstance(self.name, str) or not _SCOPE_TOKEN.fullmatch(self.name):
            detail = 'expected one scope, without spaces and quotes; for two, write Scope("a") & Scope("b"); got'
            raise ConfigurationError("Scope", f"{detail} {self.name!r}")

    def met_by(self, token: AccessToken) -> bool:
        """Whether the token has the scope."""
        return self.name in token.scopes

    def scopes(self) -> frozenset[str]:
        """Return this one."""
        return frozenset({self.name})


@dataclass(frozen=True, slots=True)
class Role(Requirement):
    """The token has this role."""

    name: str

    def __post_init__(self) -> None:
        """Refuse a name that no token can have."""
        if not isinstance(self.name, str) or not self.name:
            raise ConfigurationError("Role", f"expected a role's name; got {self.name!r}")

    def met_by(self, token: AccessToken) -> bool:
        """Whether the token has the role."""
        return self.name in token.roles

    def roles(self) -> frozenset[str]:
        """Return this one."""
        return frozenset({self.name})


@dataclass(frozen=True, slots=True)
class _Pair(Requirement):
    left: Requirement
    right: Requirement

    def scopes(self) -> frozenset[str]:
        return self.left.scopes() | self.right.scopes()

    def roles(self) -> frozenset[str]:
        return self.left.roles() | self.right.roles()


class _All(_Pair):
    __slots__ = ()

    def met_by(self, token: AccessToken) -> bool:
        return self.left.met_by(token) and self.right.met_by(token)


class _Any(_Pair):
    __slots__ = ()

    def met_by(self, token: AccessToken) -> bool:
        return self.left.met_by(token) or self.right.met_by(token)


def check_access(token: AccessToken | None, requirement: Requirement) -> AccessToken:
    """Return the token if it meets the requirement.

    `scope["jwt"]` may be given as it is: None, where no token was sent, meets no requirement.

    Raises:
        AccessError: `credentials_missing` for None; `scope_missing` where a scope that the rule names is missing, else
            `role_missing`.
    """
    scopes, roles = tuple(sorted(requirement.scopes())), tuple(sorted(requirement.roles()))
    if token is None:
        raise AccessError(Reason.CREDENTIALS_MISSING, scopes=scopes, roles=roles)
    if not requirement.met_by(token):
        reason = Reason.ROLE_MISSING if token.scopes.issuperset(scopes) else Reason.SCOPE_MISSING
        detail = f"the rule names {', '.join((*scopes, *roles))}" if scopes or roles else ""
        raise AccessError(reason, detail, scopes=scopes, roles=roles)
    return token
