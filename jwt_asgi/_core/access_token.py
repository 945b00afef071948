"""Verified x Profile -> AccessToken: what an application reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from jwt_asgi._core.claims import claim_at
from jwt_asgi._core.signature import Verified
from jwt_asgi.profiles import ClaimPath, Profile

__all__ = ["AccessToken", "make_access_token"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class AccessToken:
    """A verified access token, read-only through and through.

    Attributes:
        claims: Every claim, as a read-only dict; arrays are tuples. It can be written as JSON.
        header: The token's header, likewise.
        issuer: `iss`.
        subject: `sub`, or None.
        client_id: The OAuth client, from the claim that the profile names, or None.
        audience: `aud`, always a tuple of strings.
        scopes: What the token allows, from the claim that the profile names.
        roles: The roles, likewise. Entries that are not strings are left out.
        expires_at: `exp`, in seconds since the epoch.
        issued_at: `iat`, likewise, or None.
        token_id: `jti`, or None.
    """

    claims: Mapping[str, Any]
    header: Mapping[str, Any]
    issuer: str
    subject: str | None
    client_id: str | None
    audience: tuple[str, ...]
    scopes: frozenset[str]
    roles: frozenset[str]
    expires_at: float
    issued_at: float | None
    token_id: str | None

    def __repr__(self) -> str:
        """Show no token text and no claim beyond these three."""
        return f"AccessToken(issuer={self.issuer!r}, subject={self.subject!r}, expires_at={self.expires_at!r})"


def make_access_token(verified: Verified, profile: Profile) -> AccessToken:
    """Read the claims as the profile says. Their types were checked by `check_claims`."""
    claims = verified.claims
    audience = claims.get("aud", ())
    return AccessToken(
        claims=_read_only(claims),
        header=_read_only(verified.header),
        issuer=claims["iss"],
        subject=claims.get("sub"),
        client_id=next(_strings(claims, profile.client), None),
        audience=(audience,) if isinstance(audience, str) else tuple(audience),
        scopes=_scopes(claims, profile.scopes),
        roles=_roles(claims, profile.roles),
        expires_at=claims["exp"],
        issued_at=claims.get("iat"),
        token_id=claims.get("jti"),
    )


def _strings(claims: Mapping[str, Any], paths: Iterable[ClaimPath]) -> Iterator[str]:
    return (value for path in paths if isinstance(value := claim_at(claims, path), str))


def _scopes(claims: Mapping[str, Any], paths: Iterable[ClaimPath]) -> frozenset[str]:
    value = next((value for path in paths if (value := claim_at(claims, path)) is not None), ())
    # RFC 6749 section 3.3: scope tokens are separated by a space, and by nothing else
    entries = value.split(" ") if isinstance(value, str) else value
    return frozenset(entry for entry in entries if isinstance(entry, str) and entry)


def _roles(claims: Mapping[str, Any], paths: Iterable[ClaimPath]) -> frozenset[str]:
    arrays = (value for path in paths if isinstance(value := claim_at(claims, path), list))
    return frozenset(entry for array in arrays for entry in array if isinstance(entry, str) and entry)


class _ReadOnlyDict(dict[str, Any]):
    """A dict that one request cannot change under another."""

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("the claims of a verified token are read-only; copy them with dict(...)")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        """Copy and pickle as a plain dict."""
        return dict, (dict(self),)


def _read_only(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        return _ReadOnlyDict({key: _read_only(member) for key, member in value.items()})
    return tuple(map(_read_only, value)) if isinstance(value, list) else value
