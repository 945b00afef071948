"""Token text -> AccessToken, in a handful of lines that name the steps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol, Self, TypedDict

from jwt_asgi._core.access_token import AccessToken
from jwt_asgi._core.claims import check_before_fetch, check_claims
from jwt_asgi._core.freshness import KeyCaching
from jwt_asgi._core.jwks import VerifyKey
from jwt_asgi._core.policy import Policy, check_header, make_policy
from jwt_asgi._core.signature import verify_signature
from jwt_asgi._core.token import Untrusted, parse_token
from jwt_asgi._keys.fetch import HttpxFetch, check_url
from jwt_asgi._keys.remote import RemoteKeys
from jwt_asgi._keys.static import SharedSecret, StaticKeys
from jwt_asgi.errors import ConfigurationError, Reason, TokenError
from jwt_asgi.profiles import Profile
from jwt_asgi.types import Clock, Fetch, Skip

__all__ = ["IssuerOptions", "KeySource", "TrustedIssuer", "Verifier"]


class KeySource(Protocol):
    """Where a verifier gets the keys of one issuer from."""

    def lookup(self, kid: str | None, alg: str) -> Sequence[VerifyKey] | None:
        """Return the keys that fit, at once; None when that cannot be told without waiting, or the kid is unknown."""
        ...

    async def find(self, kid: str | None, alg: str) -> Sequence[VerifyKey]:
        """Return the keys that fit; raise TokenError or KeysUnavailable."""
        ...

    async def aclose(self) -> None:
        """Stop what is under way."""
        ...


class IssuerOptions(TypedDict, total=False):
    """The options of `TrustedIssuer`, for those who hand them on."""

    issuer: str
    audience: str | Sequence[str] | Skip
    algorithms: Sequence[str]
    jwks_uri: str | None
    keys: StaticKeys | SharedSecret | None
    profile: Profile
    leeway: float
    max_age: float | None
    max_lifetime: float | None
    key_caching: KeyCaching | None
    fetch: Fetch | None


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
        fetch: Another HTTP client.

    Raises:
        ConfigurationError: an option is missing or wrong.
    """

    __slots__ = ("keys", "policy")

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
        )
        self.keys: KeySource
        if keys is None:
            url = jwks_uri if jwks_uri is not None else issuer
            check_url("issuer" if jwks_uri is None else "jwks_uri", url)
            caching = KeyCaching() if key_caching is None else key_caching
            if not isinstance(caching, KeyCaching):
                raise ConfigurationError("key_caching", f"expected KeyCaching(...); got {caching!r}")
            if fetch is not None and not callable(fetch):
                raise ConfigurationError(
                    "fetch", f"expected an async callable, see jwt_asgi.types.Fetch; got {fetch!r}"
                )
            self.keys = RemoteKeys(issuer, jwks_uri=jwks_uri, fetch=fetch or HttpxFetch(), caching=caching)
        elif not isinstance(keys, (StaticKeys, SharedSecret)):
            raise ConfigurationError("keys", f"expected StaticKeys or SharedSecret; got {type(keys).__name__}")
        elif jwks_uri is not None or fetch is not None or key_caching is not None:
            raise ConfigurationError("keys", "expected no jwks_uri, fetch or key_caching beside keys that are given")
        else:
            self.keys = keys.for_algorithms(self.policy.algorithms)


class Verifier:
    """Decides whether a token is good: the same decision with and without ASGI.

    One verifier may serve several middlewares, and tasks at once. Keys belong to their issuer: a key of one never
    verifies a token of another (RFC 8725 section 3.8). `clock` gives the seconds since the epoch.

    Raises:
        ConfigurationError: no issuer is given, or one twice.
    """

    __slots__ = ("_clock", "_issuers")

    def __init__(self, *issuers: TrustedIssuer, clock: Clock = time.time) -> None:
        """Take the issuers; nothing is fetched."""
        if not issuers or not all(isinstance(issuer, TrustedIssuer) for issuer in issuers):
            raise ConfigurationError("Verifier", "expected one TrustedIssuer(...) or more")
        self._issuers = {issuer.policy.issuer: issuer for issuer in issuers}
        if len(self._issuers) != len(issuers):
            raise ConfigurationError("Verifier", "expected each issuer once; put its audiences into one TrustedIssuer")
        self._clock = clock

    async def verify(self, token: str | bytes) -> AccessToken:
        """Return the verified token.

        It waits only where keys must be fetched, and then for a bounded time.

        Raises:
            TokenError: the token is not good here.
            KeysUnavailable: it cannot be judged just now, as its issuer's keys cannot be had.
        """
        untrusted = parse_token(token)
        issuer = self._issuer_of(untrusted)
        check_header(untrusted, issuer.policy)
        keys = issuer.keys.lookup(untrusted.kid, untrusted.alg)
        if keys is None:
            check_before_fetch(untrusted, issuer.policy, self._clock())
            keys = await issuer.keys.find(untrusted.kid, untrusted.alg)
        verified = check_claims(verify_signature(untrusted, keys), issuer.policy, self._clock())
        return AccessToken(verified, issuer.policy.profile)

    async def aclose(self) -> None:
        """Give up fetches under way in this event loop. The verifier can be used again."""
        for issuer in self._issuers.values():
            await issuer.keys.aclose()

    async def __aenter__(self) -> Self:
        """Return the verifier; nothing is fetched before the first token."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.aclose()

    def _issuer_of(self, untrusted: Untrusted) -> TrustedIssuer:
        """Let the unverified `iss` choose among the configured issuers, and nothing else."""
        named = untrusted.claims.get("iss")
        issuer = self._issuers.get(named) if isinstance(named, str) else None
        if issuer is None:
            raise TokenError(Reason.ISSUER_UNTRUSTED, f"expected iss to be one of {', '.join(self._issuers)}")
        return issuer
