"""Named loosenings per identity provider: which claim holds scopes, roles and client, and what a token must have.

A profile is a value. `Profile.GENERIC` suits most issuers; `Profile.RFC9068` is the strict one. Each of the others says
what the access tokens of one provider look like, and what tells them from its ID tokens. Make your own from any:
`Profile.KEYCLOAK.replace(roles=[("resource_access", "my-api", "roles")])`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar

from jwt_asgi.errors import ConfigurationError

__all__ = ["PROFILES", "ClaimPath", "Profile"]

ClaimPath = tuple[str, ...]
"""The keys from the claims object down to a value. A list of keys, so that a dot or a URL in a name means itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How an issuer writes its access tokens.

    All members but `types` and the two switches are tuples, and a claim path is a tuple of keys: `(("scope",),)`.

    Attributes:
        name: For messages.
        types: The accepted values of the header's `typ`, lower case; None among them: it may be absent.
        required: The claims that must be there beside those that are always required (`exp`, `iss`, and the audience
            where one is configured).
        required_one_of: Groups of claims; of each group, one must be there and not be empty.
        kinds: Claims that tell the kind of the token, each with the values that an access token may have. Case counts.
        forbidden: Claims that access tokens never have: a token with one of them is of another kind.
        audience: Whom the token is for: the first path that is there counts.
        scopes: Where scopes are: the first path that is there counts. A string is split at spaces (RFC 8693 section
            4.2), an array taken entry by entry.
        roles: Where roles are: all paths count. Arrays of strings; anything else gives no role.
        role_objects: Whether an object at one of these paths gives its keys as roles; keys whose value is empty, false
            or null are left out.
        permissions: Where permissions are: all paths count. Arrays of strings; anything else gives none.
        client: Where the client identifier is: the first path that is there counts. It must hold a string.
        key_issuer: Whether a published key that has an `issuer` member is good for that issuer's tokens alone.
    """

    name: str
    types: frozenset[str | None]
    required: tuple[str, ...] = ()
    required_one_of: tuple[tuple[str, ...], ...] = ()
    kinds: tuple[tuple[str, frozenset[str]], ...] = ()
    forbidden: tuple[str, ...] = ()
    audience: tuple[ClaimPath, ...] = (("aud",),)
    scopes: tuple[ClaimPath, ...] = (("scope",),)
    roles: tuple[ClaimPath, ...] = (("roles",),)
    role_objects: bool = False
    permissions: tuple[ClaimPath, ...] = (("permissions",),)
    client: tuple[ClaimPath, ...] = (("client_id",),)
    key_issuer: bool = False

    def __post_init__(self) -> None:
        """Check every member: a string in place of a tuple would count letter by letter, and let tokens in."""
        for name, fits in _FITS.items():
            value = getattr(self, name)
            if not isinstance(value, frozenset if name == "types" else tuple) or not all(map(fits, value)):
                raise ConfigurationError(f"profile {name}", f"expected {_SHAPES[name]}; got {value!r}")
        if not _is_name(self.name):
            raise ConfigurationError("profile name", f"expected a text; got {self.name!r}")
        for name in ("role_objects", "key_issuer"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"profile {name}", f"expected True or False; got {getattr(self, name)!r}")

    GENERIC: ClassVar[Profile]
    """What most issuers send: `typ` may be absent, `JWT` or `at+jwt`."""
    RFC9068: ClassVar[Profile]
    """RFC 9068 to the letter: `typ` is `at+jwt`, and `sub`, `iat`, `jti` and `client_id` are there."""
    ENTRA_V1: ClassVar[Profile]
    """Microsoft Entra ID, tokens of version 1.0.

    `appid`, which ID tokens lack, is required and is the client; `ver` is `1.0`; scopes are in `scp`. `scp` or `roles`
    must be there, since by default Entra gives every application of the tenant a token for your API with neither.
    """
    ENTRA_V2: ClassVar[Profile]
    """Microsoft Entra ID, tokens of version 2.0: as `ENTRA_V1`, with `azp` for `appid`, and `ver` is `2.0`.

    The keys of this version say whose they are, and count for no one else: see `key_issuer`.
    """
    AUTH0: ClassVar[Profile]
    """Auth0: roles are `permissions`, and so are permissions.

    `client_id` (in its RFC 9068 dialect) or `azp` must be there, which ID tokens lack, and nothing that only they have.
    """
    OKTA: ClassVar[Profile]
    """Okta, a custom authorization server: scopes are in `scp`, roles in `groups`.

    `cid` must be there, which ID tokens lack and which is the client, and nothing that only they have.
    """
    KEYCLOAK: ClassVar[Profile]
    """Keycloak: the claim `typ` is `Bearer`, as in no ID or refresh token; the client is `azp`, which is required.

    Roles are those of the realm. For those of a client, use `replace`, as above.
    """
    COGNITO: ClassVar[Profile]
    """Amazon Cognito: `token_use` is `access`; roles are `cognito:groups`.

    A token without `aud` is for its `client_id`: then the configured audience must name an app client, and tokens of
    that client are good for every API that is configured so. A token that is bound to a resource has `aud`, which alone
    counts then.
    """
    GOOGLE: ClassVar[Profile]
    """Google-signed ID tokens between services (Cloud Run, Cloud Functions, Pub/Sub push, ...).

    This is no profile for access tokens: Google's are opaque. An ID token says who calls and nothing of what it may do:
    there are no scopes and no roles, and any Google service account can get a token for any audience. So compare
    `subject`, or `email` where `email_verified` is true, with those that you let in. Where the audience is a sign-in
    client, the ID tokens of its users pass, too.
    """
    ZITADEL: ClassVar[Profile]
    """Zitadel: `jti` is required, and claims that tell of a sign-in are refused.

    Zitadel gives ID tokens and access tokens the same `typ` and the same audience, so nothing else tells them apart.
    Roles are the keys of an object; they count in whichever organization they were granted. Tokens name no scopes.
    """

    def replace(
        self,
        *,
        audience: Sequence[Sequence[str]] | None = None,
        scopes: Sequence[Sequence[str]] | None = None,
        roles: Sequence[Sequence[str]] | None = None,
        permissions: Sequence[Sequence[str]] | None = None,
        client: Sequence[Sequence[str]] | None = None,
    ) -> Profile:
        """Return this profile with other claim paths, each a list of keys.

        Raises:
            ConfigurationError: a path is not a list of keys, as `("realm_access", "roles")`.
        """
        given = {
            "audience": audience,
            "scopes": scopes,
            "roles": roles,
            "permissions": permissions,
            "client": client,
        }
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


def _is_name(entry: object) -> bool:
    return isinstance(entry, str) and bool(entry)


def _is_path(entry: object) -> bool:
    return isinstance(entry, tuple) and bool(entry) and all(map(_is_name, entry))


def _is_kind(entry: object) -> bool:
    if not isinstance(entry, tuple) or [*map(type, entry)] != [str, frozenset]:
        return False
    name, values = entry
    return bool(name) and bool(values) and all(map(_is_name, values))


_FITS: Mapping[str, Callable[[object], bool]] = {
    "types": lambda entry: entry is None or _is_name(entry),
    "required": _is_name,
    "required_one_of": _is_path,
    "kinds": _is_kind,
    "forbidden": _is_name,
    **dict.fromkeys(("audience", "scopes", "roles", "permissions", "client"), _is_path),
}
_SHAPES: Mapping[str, str] = {
    "types": 'a frozenset of texts or None, as frozenset({None, "at+jwt"})',
    "required": 'a tuple of claims, as ("sub", "jti")',
    "required_one_of": 'a tuple of tuples of claims, as (("scp", "roles"),)',
    "kinds": 'a tuple of a claim and a frozenset of values each, as (("ver", frozenset({"2.0"})),)',
    "forbidden": 'a tuple of claims, as ("nonce",)',
    **dict.fromkeys(
        ("audience", "scopes", "roles", "permissions", "client"),
        'a tuple of paths, each a tuple of keys, as (("realm_access", "roles"),)',
    ),
}

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
_OF_ID_TOKENS = ("at_hash", "c_hash", "nonce")
"""OIDC Core 1.0 sections 2 and 3.3.2.11."""

Profile.ENTRA_V1 = Profile(
    name="ENTRA_V1",
    types=Profile.GENERIC.types,
    required=("appid",),
    required_one_of=(("scp", "roles"),),
    kinds=(("ver", frozenset({"1.0"})),),
    scopes=(("scp",),),
    client=(("appid",),),
)
Profile.ENTRA_V2 = Profile(
    name="ENTRA_V2",
    types=Profile.GENERIC.types,
    required=("azp",),
    required_one_of=(("scp", "roles"),),
    kinds=(("ver", frozenset({"2.0"})),),
    scopes=(("scp",),),
    client=(("azp",),),
    key_issuer=True,
)
Profile.AUTH0 = Profile(
    name="AUTH0",
    types=Profile.GENERIC.types,
    required_one_of=(("client_id", "azp"),),
    forbidden=_OF_ID_TOKENS,
    roles=(("permissions",),),
    client=(("client_id",), ("azp",)),
)
Profile.OKTA = Profile(
    name="OKTA",
    types=Profile.GENERIC.types,
    required=("cid",),
    forbidden=_OF_ID_TOKENS,
    scopes=(("scp",),),
    roles=(("groups",),),
    client=(("cid",),),
)
Profile.KEYCLOAK = Profile(
    name="KEYCLOAK",
    types=Profile.GENERIC.types,
    required=("azp",),
    # lower case by the client's compatibility switch for token responses
    kinds=(("typ", frozenset({"Bearer", "bearer"})),),
    roles=(("realm_access", "roles"),),
    client=(("azp",),),
)
Profile.COGNITO = Profile(
    name="COGNITO",
    types=Profile.GENERIC.types,
    required=("client_id",),
    kinds=(("token_use", frozenset({"access"})),),
    audience=(("aud",), ("client_id",)),
    roles=(("cognito:groups",),),
)
Profile.GOOGLE = Profile(
    name="GOOGLE",
    types=frozenset({"jwt"}),
    required=("sub",),
    scopes=(),
    roles=(),
    permissions=(),
    client=(("azp",),),
)
Profile.ZITADEL = Profile(
    name="ZITADEL",
    types=Profile.GENERIC.types,
    required=("jti",),
    forbidden=(*_OF_ID_TOKENS, "auth_time", "amr", "acr"),
    roles=(("urn:zitadel:iam:org:project:roles",),),
    role_objects=True,
    client=(("client_id",), ("azp",)),
)

PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        profile.name.lower().replace("_", "-"): profile
        for profile in (
            Profile.GENERIC,
            Profile.RFC9068,
            Profile.ENTRA_V1,
            Profile.ENTRA_V2,
            Profile.AUTH0,
            Profile.OKTA,
            Profile.KEYCLOAK,
            Profile.COGNITO,
            Profile.GOOGLE,
            Profile.ZITADEL,
        )
    }
)
"""Every named profile by its name in lower case, as `entra-v2`."""
