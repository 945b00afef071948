"""Named loosenings per identity provider: which claim holds scopes, roles and client, and what a token must have.

A profile is a value. `Profile.GENERIC` suits most issuers; `Profile.RFC9068` is the strict one. Make your own from
either: `Profile.GENERIC.replace(roles=[("realm_access", "roles")])`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from jwt_asgi.errors import ConfigurationError

__all__ = ["ClaimPath", "Profile"]

ClaimPath = tuple[str, ...]
"""The keys from the claims object down to a value. A list of keys, so that a dot or a URL in a name means itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How an issuer writes its access tokens.

    Attributes:
        name: For messages.
        types: The accepted values of the header's `typ`, lower case; None among them: it may be absent.
        required: The claims that must be there beside those that are always required (`exp`, `iss`, and `aud` where an
            audience is configured).
        scopes: Where scopes are: the first path that is there counts. A string is split at spaces (RFC 8693 section
            4.2), an array taken entry by entry.
        roles: Where roles are: all paths count. Arrays of strings; anything else gives no role.
        client: Where the client identifier is: the first path that is there counts. It must hold a string.
        key_issuer: Whether a published key that has an `issuer` member is good for that issuer's tokens alone.
    """

    name: str
    types: frozenset[str | None]
    required: tuple[str, ...] = ()
    scopes: tuple[ClaimPath, ...] = (("scope",),)
    roles: tuple[ClaimPath, ...] = (("roles",),)
    client: tuple[ClaimPath, ...] = (("client_id",),)
    key_issuer: bool = False

    GENERIC: ClassVar[Profile]
    """What most issuers send: `typ` may be absent, `JWT` or `at+jwt`."""
    RFC9068: ClassVar[Profile]
    """RFC 9068 to the letter: `typ` is `at+jwt`, and `sub`, `iat`, `jti` and `client_id` are there."""

    def replace(
        self,
        *,
        scopes: Sequence[Sequence[str]] | None = None,
        roles: Sequence[Sequence[str]] | None = None,
        client: Sequence[Sequence[str]] | None = None,
    ) -> Profile:
        """Return this profile with other claim paths, each a list of keys.

        Raises:
            ConfigurationError: a path is not a list of keys, as `("realm_access", "roles")`.
        """
        given = {"scopes": scopes, "roles": roles, "client": client}
        changes: dict[str, Any] = {key: _paths(key, value) for key, value in given.items() if value is not None}
        return replace(self, **changes)


def _paths(option: str, paths: Sequence[Sequence[str]]) -> tuple[ClaimPath, ...]:
    checked: list[ClaimPath] = []
    for path in paths if isinstance(paths, (list, tuple)) else [paths]:
        if not isinstance(path, (list, tuple)) or not path or not all(isinstance(key, str) for key in path):
            detail = f'expected a list of paths, each a list of keys as [["realm_access", "roles"]]; got {path!r}'
            raise ConfigurationError(f"profile {option}", detail)
        checked.append(tuple(path))
    return tuple(checked)


_ACCESS_TOKEN_TYPES = frozenset({"at+jwt", "application/at+jwt"})

Profile.GENERIC = Profile(
    name="GENERIC",
    types=_ACCESS_TOKEN_TYPES | {None, "jwt"},
    client=(("client_id",), ("azp",)),
)
Profile.RFC9068 = Profile(
    name="RFC9068",
    types=_ACCESS_TOKEN_TYPES,
    required=("sub", "iat", "jti", "client_id"),
)
