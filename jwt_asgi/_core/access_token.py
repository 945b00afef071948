"""Verified x Profile -> AccessToken: what an application reads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any, NoReturn

from jwt_asgi._core.claims import claim_at, named_audience
from jwt_asgi._core.revoked import TokenKeys
from jwt_asgi._core.signature import Verified
from jwt_asgi.profiles import ClaimPath, Profile

__all__ = ["AccessToken", "Grants", "read_only_dict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """What a token allows, in the application's own terms: each in place of what the token says; None leaves it.

    There is no way to put a claim in place of another: what the issuer has signed stays as it is.

    Raises:
        TypeError: not a collection of texts.
    """

    scopes: Collection[str] | None = None
    roles: Collection[str] | None = None
    permissions: Collection[str] | None = None

    def __post_init__(self) -> None:
        """Make each a frozenset; a string would count letter by letter, and of a dict {"a": False} every key."""
        for name, values in self.given().items():
            unfit = isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Collection)
            if unfit or not all(isinstance(value, str) for value in values):
                raise TypeError(f"Grants: expected a collection of texts as {name}; got {type(values).__name__}")
            object.__setattr__(self, name, frozenset(values))

    def given(self) -> dict[str, Collection[str]]:
        """Return what is granted, without what is left as it is."""
        members = {"scopes": self.scopes, "roles": self.roles, "permissions": self.permissions}
        return {name: values for name, values in members.items() if values is not None}


class AccessToken:
    """A verified access token, read-only through and through. Attributes are read from the claims when asked for."""

    _claims: dict[str, Any]
    _header: dict[str, Any]
    _profile: Profile
    _leeway: float
    _max_age: float | None
    _marks: TokenKeys | None = None
    """By what it may be revoked, where its issuer has a feed for that: the verifier's."""

    def __init__(
        self, verified: Verified, profile: Profile, *, leeway: float = 0.0, max_age: float | None = None
    ) -> None:
        """Wrap a token whose claims were checked, with this leeway and this greatest age."""
        own = self.__dict__
        own["_claims"], own["_header"], own["_profile"] = verified.claims, verified.header, profile
        own["_leeway"], own["_max_age"] = leeway, max_age

    @cached_property
    def claims(self) -> Mapping[str, Any]:
        """Every claim, as a read-only dict; arrays are tuples. It can be written as JSON."""
        return read_only_dict(self._claims)

    @cached_property
    def header(self) -> Mapping[str, Any]:
        """The token's header, likewise."""
        return read_only_dict(self._header)

    @property
    def issuer(self) -> str:
        """`iss`."""
        issuer: str = self._claims["iss"]
        return issuer

    @property
    def subject(self) -> str | None:
        """`sub`, or None."""
        return self._claims.get("sub")

    @cached_property
    def client_id(self) -> str | None:
        """The OAuth client, from the claim that the profile names, or None."""
        return _client(self._claims, self._profile.client)

    @cached_property
    def audience(self) -> tuple[str, ...]:
        """`aud`, or what the profile names in its place; always a tuple."""
        _, audience = named_audience(self._claims, self._profile)
        return (audience,) if isinstance(audience, str) else tuple(audience)

    @cached_property
    def scopes(self) -> frozenset[str]:
        """What the token allows, from the claim that the profile names."""
        return _scopes(self._claims, self._profile.scopes)

    @cached_property
    def roles(self) -> frozenset[str]:
        """The roles, likewise. Entries that are not strings are left out."""
        return _roles(self._claims, self._profile)

    @cached_property
    def permissions(self) -> frozenset[str]:
        """The permissions, likewise."""
        return _listed(self._claims, self._profile.permissions)

    @property
    def expires_at(self) -> float:
        """`exp`, in seconds since the epoch."""
        expires_at: float = self._claims["exp"]
        return expires_at

    @property
    def good_until(self) -> float:
        """When it stops being accepted here, likewise: `exp`, or earlier where `max_age` is set, and the leeway."""
        claims = self._claims
        until: float = claims["exp"]
        if self._max_age is not None and "iat" in claims:
            until = min(until, claims["iat"] + self._max_age)
        return until + self._leeway

    @property
    def good_since(self) -> float:
        """From when on it is accepted here, likewise: `nbf` or `iat`, whichever is later, less the leeway."""
        claims = self._claims
        since: float = max(claims.get("nbf", -inf), claims.get("iat", -inf)) - self._leeway
        return since

    @property
    def issued_at(self) -> float | None:
        """`iat`, likewise, or None."""
        return self._claims.get("iat")

    @property
    def token_id(self) -> str | None:
        """`jti`, or None."""
        return self._claims.get("jti")

    def granted(self, grants: Grants) -> AccessToken:
        """Return a token with the same claims that allows what is granted."""
        token = AccessToken.__new__(AccessToken)
        vars(token).update({**vars(self), **grants.given()})
        return token

    if not TYPE_CHECKING:  # pragma: no branch - a type checker refuses it by itself, unless it sees these

        def __setattr__(self, name: str, value: object) -> NoReturn:
            """Refuse: a token does not change."""
            raise AttributeError(f"an AccessToken is read-only; {name} cannot be set")

        def __delattr__(self, name: str) -> NoReturn:
            """Refuse, likewise."""
            raise AttributeError(f"an AccessToken is read-only; {name} cannot be deleted")

    def __repr__(self) -> str:
        """Show no token text and no claim beyond these three."""
        return f"AccessToken(issuer={self.issuer!r}, subject={self.subject!r}, expires_at={self.expires_at!r})"


def _client(claims: Mapping[str, Any], paths: Iterable[ClaimPath]) -> str | None:
    for path in paths:
        value = claim_at(claims, path)
        if isinstance(value, str):
            return value
    return None


def _scopes(claims: Mapping[str, Any], paths: Iterable[ClaimPath]) -> frozenset[str]:
    for path in paths:
        value = claim_at(claims, path)
        if value is not None:
            # RFC 6749 section 3.3: scope tokens are separated by a space, and by nothing else
            return frozenset(value.split(" ")) - {""} if isinstance(value, str) else _names(value)
    return frozenset()


def _roles(claims: Mapping[str, Any], profile: Profile) -> frozenset[str]:
    entries: list[object] = []
    for path in profile.roles:
        value = claim_at(claims, path)
        if isinstance(value, list):
            entries += value
        elif profile.role_objects and isinstance(value, dict):
            entries += [role for role, granted in value.items() if granted]
    return _names(entries)


def _listed(claims: Mapping[str, Any], paths: Iterable[ClaimPath]) -> frozenset[str]:
    entries: list[object] = []
    for path in paths:
        value = claim_at(claims, path)
        if isinstance(value, list):
            entries += value
    return _names(entries)


def _names(entries: Iterable[object]) -> frozenset[str]:
    return frozenset([entry for entry in entries if isinstance(entry, str) and entry])


class _ReadOnlyDict(dict[str, Any]):
    """A dict that one request cannot change under another."""

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("the claims of a verified token are read-only; copy them with dict(...)")

    __init__ = __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        """Copy and pickle as a plain dict."""
        return dict, (dict(self),)


def read_only_dict(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return a copy that nobody can change, through and through; arrays become tuples."""
    frozen: dict[Any, Any] = _ReadOnlyDict.__new__(_ReadOnlyDict)
    dict.update(frozen, value)
    for key, member in value.items():
        kind = type(member)
        if kind is dict or kind is list:
            dict.__setitem__(frozen, key, read_only_dict(member) if kind is dict else _read_only_list(member))
    return frozen


def _read_only_list(values: list[Any]) -> tuple[Any, ...]:
    frozen: list[Any] = []
    for member in values:  # a comprehension takes twice as long where there are many short lists
        kind = type(member)
        frozen.append(read_only_dict(member) if kind is dict else _read_only_list(member) if kind is list else member)
    return tuple(frozen)
