"""Keywords -> the claims of an access token, written as the profile reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from jwt_asgi._core.policy import Policy
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.profiles import ClaimPath, Profile

__all__ = ["FILLING", "TokenOptions", "claims_of", "type_of"]

FILLING = "access_as_user"
"""Where a profile wants one claim or another and the test gave neither: Microsoft's own example of a scope."""


class TokenOptions(TypedDict, total=False):
    """The keywords of `TestIssuer.token`, but for the subject."""

    client_id: str | None
    audience: str | Sequence[str] | None
    scope: str | Iterable[str]
    roles: Iterable[str]
    permissions: Iterable[str]
    expires_in: float | None
    algorithm: str | None
    claims: Mapping[str, Any] | None
    header: Mapping[str, Any] | None
    without: Iterable[str]


def type_of(profile: Profile) -> dict[str, str]:
    """Return the header's `typ`."""
    if None in profile.types and not profile.types & {"at+jwt", "jwt"}:
        return {}
    if "at+jwt" in profile.types:
        return {"typ": "at+jwt"}
    return {"typ": "JWT" if "jwt" in profile.types else min(name for name in profile.types if name)}


def claims_of(
    policy: Policy,
    *,
    subject: str,
    client_id: str | None,
    audience: str | Sequence[str],
    scope: str | Iterable[str],
    roles: Iterable[str],
    permissions: Iterable[str],
) -> dict[str, Any]:
    """Return the claims that say who, for whom and what; the profile's required ones are all there.

    Raises:
        ConfigurationError: tokens of this profile carry no scopes, or no roles, or no client.
    """
    profile = policy.profile
    claims: dict[str, Any] = {"iss": policy.issuer, "sub": subject}
    _write_audience(claims, profile, audience, client_id)
    scopes = scope.split() if isinstance(scope, str) else list(scope)
    granted, permitted = list(roles), list(permissions)
    if scopes:
        path = _place("scope", profile.scopes, profile)
        # Okta writes an array, all others a string (RFC 8693 section 4.2)
        _write(claims, path, scopes if profile.name == Profile.OKTA.name else " ".join(scopes))
    if permitted:
        _write(claims, ("permissions",), permitted)
    if granted:
        path = _place("roles", profile.roles, profile)
        merged = [*(permitted if path == ("permissions",) else []), *granted]
        _write(claims, path, {role: {"organization": "test"} for role in merged} if profile.role_objects else merged)
    if policy.tenant is not None and policy.tenant[0] is not None:
        claims[policy.tenant[0]] = policy.tenant[1]
    for name, values in profile.kinds:
        claims[name] = min(values)
    for names in profile.required_one_of:
        if not any(claims.get(name) for name in names):
            claims[names[0]] = FILLING
    for name in profile.required:
        if name not in {"iat", "exp", "jti"}:
            claims.setdefault(name, FILLING)
    return claims


def _write_audience(
    claims: dict[str, Any], profile: Profile, audience: str | Sequence[str], client_id: str | None
) -> None:
    """Cognito's tokens have no `aud`, and are for their client, unless they are bound to a resource and a client."""
    named = audience if isinstance(audience, str) else list(audience)
    by_client = [path for path in profile.audience[1:] if path in profile.client]
    if by_client and client_id is None and (isinstance(named, str) or len(named) == 1):
        _write(claims, by_client[0], named if isinstance(named, str) else named[0])
        return
    _write(claims, profile.audience[0] if profile.audience else ("aud",), named)
    if profile.client:
        _write(claims, profile.client[0], "client-1" if client_id is None else client_id)
    elif client_id is not None:
        _place("client_id", profile.client, profile)


def _place(keyword: str, paths: Sequence[ClaimPath], profile: Profile) -> ClaimPath:
    if not paths:
        raise ConfigurationError(keyword, f"tokens of profile {profile.name} have no such claim: see Profile.replace")
    return paths[0]


def _write(claims: dict[str, Any], path: ClaimPath, value: object) -> None:
    for key in path[:-1]:
        claims = claims.setdefault(key, {})
    claims[path[-1]] = value
