"""TrustedIssuer: an issuer whose tokens are accepted, what they must be, and where its keys come from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypedDict

from jwt_asgi._core.access_token import AccessToken, Grants
from jwt_asgi._core.freshness import KeyCaching
from jwt_asgi._core.jwks import VerifyKey
from jwt_asgi._core.policy import Policy, flag, make_policy
from jwt_asgi._keys.events import KeyStatus
from jwt_asgi._keys.fetch import HttpxFetch, check_url
from jwt_asgi._keys.remote import RemoteKeys
from jwt_asgi._keys.static import SharedSecret, StaticKeys
from jwt_asgi.errors import ConfigurationError, KeysUnavailable
from jwt_asgi.instrumentation import KeyHook, log_key_event, tell
from jwt_asgi.profiles import Profile
from jwt_asgi.types import Clock, Fetch, Skip

__all__ = ["CommonOptions", "GrantsOf", "IssuerOptions", "KeySource", "Trust", "TrustedIssuer"]


GrantsOf = Callable[[AccessToken], Grants | Awaitable[Grants]]
"""Says what a verified token allows, at once or awaited."""


class KeySource(Protocol):
    """Where a verifier gets the keys of one issuer from."""

    @property
    def refresh_on_bad_signature(self) -> bool:
        """Whether to look for another key where a signature does not verify with the keys of its kid."""
        ...

    def lookup(self, kid: str | None, alg: str) -> Sequence[VerifyKey] | None:
        """Return the keys that fit, at once; None when that cannot be told without waiting, or the kid is unknown."""
        ...

    async def find(
        self, kid: str | None, alg: str, *, besides: Sequence[VerifyKey] | None = None
    ) -> Sequence[VerifyKey]:
        """Return the keys that fit, others than `besides`; raise TokenError or KeysUnavailable."""
        ...

    def refresh_if_due(self) -> None:
        """See that a fetch is under way where one is due; wait for none."""
        ...

    async def ready(self, *, seconds: float, retry: bool) -> KeysUnavailable | None:
        """Wait until there are usable keys; return None, or why there are none."""
        ...

    async def reload(self) -> None:
        """Fetch anew; raise KeysUnavailable."""
        ...

    def status(self) -> KeyStatus:
        """Tell how the keys are."""
        ...

    async def aclose(self) -> None:
        """Stop what is under way."""
        ...


class Trust(Protocol):
    """What a token of one issuer must be, and where the keys for it are."""

    @property
    def policy(self) -> Policy:
        """What it must be."""
        ...

    @property
    def keys(self) -> KeySource:
        """Where the keys are."""
        ...


class CommonOptions(TypedDict, total=False):
    """The options that an issuer and a family of tenants have in common."""

    jwks_uri: str | None
    keys: StaticKeys | SharedSecret | None
    profile: Profile
    leeway: float
    max_age: float | None
    max_lifetime: float | None
    key_caching: KeyCaching | None
    fetch: Fetch | None
    allow_http: bool
    required: bool
    grants: GrantsOf | None
    key_hooks: Sequence[KeyHook] | None
    key_clock: Clock | None


class IssuerOptions(CommonOptions, total=False):
    """The options of `TrustedIssuer`, for those who hand them on."""

    issuer: str
    audience: str | Sequence[str] | Skip
    algorithms: Sequence[str]


class TrustedIssuer:
    """An issuer whose tokens are accepted, and what they must be.

    Args:
        issuer: The issuer's identifier, compared exactly with `iss`. Its metadata is looked for there.
        audience: This API's identifier, or several: `aud` must name one. `Skip.AUDIENCE_CHECK` leaves the check out.
        algorithms: The pin: the `alg` values that are accepted, as `["RS256"]`.
        jwks_uri: Where the issuer publishes its keys; None: its metadata names it (RFC 8414, OpenID Connect Discovery).
        keys: `StaticKeys` or `SharedSecret` in place of fetched keys; then nothing is ever fetched.
        profile: How this issuer writes its access tokens.
        leeway: Seconds by which clocks may differ, for `exp`, `nbf` and `iat`.
        max_age: The most seconds since `iat`, or None.
        max_lifetime: The most seconds from `iat` to `exp`, or None.
        key_caching: How long fetched keys are kept.
        fetch: Another HTTP client, or `HttpxFetch(...)` with certificates or a proxy of its own.
        allow_http: Fetch over plain http beyond this machine's loopback too: where nobody can change what is on the
            way.
        grants: What a verified token allows, in the application's own terms: a function of the `AccessToken`, or an
            async one, that returns `Grants`. Its scopes, roles and permissions take the place of the token's. Where it
            fails, the answer is 503.
        required: Whether readiness, and a start with `startup="require"`, wait for this issuer's keys.
        key_hooks: Told what happens to the keys; by default it is logged.
        key_clock: A clock for the age of the keys, in seconds from any start, for tests. It must not go back.

    Raises:
        ConfigurationError: an option is missing or wrong.
    """

    __slots__ = ("keys", "policy", "required")

    def __init__(
        self,
        *,
        issuer: str,
        audience: str | Sequence[str] | Skip,
        algorithms: Sequence[str],
        jwks_uri: str | None = None,
        keys: StaticKeys | SharedSecret | None = None,
        profile: Profile = Profile.GENERIC,
        leeway: float = 30.0,
        max_age: float | None = None,
        max_lifetime: float | None = None,
        key_caching: KeyCaching | None = None,
        fetch: Fetch | None = None,
        allow_http: bool = False,
        required: bool = True,
        grants: GrantsOf | None = None,
        key_hooks: Sequence[KeyHook] | None = None,
        key_clock: Clock | None = None,
    ) -> None:
        """Check the options and build the policy; nothing is fetched."""
        self.policy: Policy = make_policy(
            issuer=issuer,
            audience=audience,
            algorithms=algorithms,
            symmetric=isinstance(keys, SharedSecret),
            profile=profile,
            leeway=leeway,
            max_age=max_age,
            max_lifetime=max_lifetime,
            grants=grants,
        )
        self.required = flag("required", required)
        flag("allow_http", allow_http)
        self.keys: KeySource
        if keys is None:
            caching, hooks = _checked(key_caching, fetch, key_hooks)
            url = jwks_uri if jwks_uri is not None else issuer
            check_url("issuer" if jwks_uri is None else "jwks_uri", url, allow_http=allow_http)
            self.keys = RemoteKeys(
                issuer,
                jwks_uri=jwks_uri,
                fetch=fetch or HttpxFetch(),
                caching=caching,
                allow_http=allow_http,
                notify=partial(tell, hooks),
                clock=key_clock,
            )
        elif not isinstance(keys, (StaticKeys, SharedSecret)):
            raise ConfigurationError("keys", f"expected StaticKeys or SharedSecret; got {type(keys).__name__}")
        elif any(option is not None for option in (jwks_uri, fetch, key_caching, key_hooks, key_clock)):
            fetched = "jwks_uri, fetch, key_caching, key_hooks or key_clock"
            raise ConfigurationError("keys", f"expected no {fetched} beside keys that are given")
        else:
            self.keys = keys.source(issuer, self.policy.algorithms)


def _checked(
    caching: KeyCaching | None, fetch: Fetch | None, hooks: Sequence[KeyHook] | None
) -> tuple[KeyCaching, tuple[KeyHook, ...]]:
    caching = KeyCaching() if caching is None else caching
    if not isinstance(caching, KeyCaching):
        raise ConfigurationError("key_caching", f"expected KeyCaching(...); got {caching!r}")
    if fetch is not None and not callable(fetch):
        raise ConfigurationError("fetch", f"expected an async callable, see jwt_asgi.types.Fetch; got {fetch!r}")
    if hooks is None:
        return caching, (log_key_event,)
    if not isinstance(hooks, (list, tuple)) or not all(map(callable, hooks)):
        raise ConfigurationError("key_hooks", f"expected a list of hooks; got {hooks!r}")
    return caching, tuple(hooks)
