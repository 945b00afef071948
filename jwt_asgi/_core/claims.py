"""Verified x Policy x now -> Verified, or every claim that failed.

RFC 7519 section 4.1 and RFC 9068 section 4. All failures are found, not the first alone, so that whoever reads the log
mends them in one go. The weightiest comes first and gives the refusal its reason; expiry comes last, so that a caller
who is told "expired" knows that a fresh token would do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jwt_asgi._core.policy import Policy
from jwt_asgi._core.signature import Verified
from jwt_asgi._core.token import Untrusted
from jwt_asgi.errors import ClaimFailure, Reason, TokenError
from jwt_asgi.profiles import ClaimPath, Profile

__all__ = ["check_before_fetch", "check_claims", "claim_at", "failed_claims", "named_audience"]

LATEST_DATE = 253_402_300_799
"""9999-12-31T23:59:59Z, in seconds. A larger NumericDate is in milliseconds, or an attack on a conversion."""

_KINDS_REFUSED = frozenset({"id", "refresh", "logout", "offline"})
"""RFC 8725 section 3.11: Cognito writes `token_use: id`, Keycloak `typ: Refresh`, others `type: refresh_token`."""

_MARKS = ("token_use", "typ", "type")
_IDENTIFIERS = ("sub", "jti", "client_id")
_TYPED = frozenset({"iss", "aud", "exp", "nbf", "iat", *_IDENTIFIERS})
"""Claims that are malformed when they are null, which is told elsewhere."""
_ABSENT = ()
"""What no claim can be: JSON's arrays are lists."""
_NUMBERS = frozenset({int, float})
_TEXTS = frozenset({str})
# CWE-93, CWE-117: identifiers end up in headers and logs of applications
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_AN_IDENTIFIER = "expected a string without control characters"
_NAMES = "expected a string or an array of strings"


def check_claims(verified: Verified, policy: Policy, now: float) -> Verified:
    """Hold the claims against the policy; `now` is in seconds since the epoch.

    Raises:
        TokenError: with every failure in `failures`.
    """
    if failures := failed_claims(verified.claims, policy, now):
        raise _refusal(failures)
    return verified


def check_before_fetch(untrusted: Untrusted, policy: Policy, now: float) -> None:
    """Refuse what could not pass later anyway, before a stranger's token makes the issuer's keys be fetched.

    Raises:
        TokenError: as `check_claims`.
    """
    if failures := failed_claims(untrusted.claims, policy, now):
        raise _refusal(failures)


def failed_claims(claims: Mapping[str, Any], policy: Policy, now: float) -> tuple[ClaimFailure, ...]:
    """Return every claim that fails, the weightiest first."""
    failures: list[ClaimFailure] = []
    _check_identity(failures, claims, policy)
    _check_kind(failures, claims, policy.profile)
    _check_required(failures, claims, policy.profile)
    _check_shapes(failures, claims, policy.profile)
    _check_times(failures, claims, policy, now)
    return tuple(failures)


def claim_at(claims: Mapping[str, Any], path: ClaimPath) -> Any:  # noqa: ANN401 - a claim may be anything
    """Return the value at a path of keys, or None."""
    value: Any = claims
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def named_audience(claims: Mapping[str, Any], profile: Profile) -> tuple[str, Any]:
    """Return the claim that says whom the token is for, and its value, or () where there is none.

    The first path that is there counts, null or not: it is never passed over for what follows.
    """
    path, audience = _audience_at(claims, profile)
    return ".".join(path), audience


def _audience_at(claims: Mapping[str, Any], profile: Profile) -> tuple[ClaimPath, Any]:
    for path in profile.audience:
        audience = _member_at(claims, path)
        if audience != _ABSENT:
            return path, audience
    return next(iter(profile.audience), ("aud",)), _ABSENT


def _member_at(claims: Mapping[str, Any], path: ClaimPath) -> Any:  # noqa: ANN401 - as claim_at
    """Return the value at a path as `claim_at` does, but null where it is null, and `_ABSENT` where nothing is."""
    holder = claims if len(path) == 1 else claim_at(claims, path[:-1])
    return holder.get(path[-1], _ABSENT) if isinstance(holder, dict) else _ABSENT


def _refusal(failures: tuple[ClaimFailure, ...]) -> TokenError:
    named = "; ".join(f"{failure.claim}: {failure.reason.value}, {failure.expected}" for failure in failures)
    return TokenError(failures[0].reason, named, failures=failures)


def _check_identity(failures: list[ClaimFailure], claims: Mapping[str, Any], policy: Policy) -> None:
    issuer = claims.get("iss")
    if issuer != policy.issuer:
        # RFC 8414 section 3.3, OIDC Core section 3.1.3.7: code point by code point, nothing normalized
        _fail(failures, "iss", Reason.ISSUER_UNTRUSTED, f"expected exactly {policy.issuer!r}", issuer)
    if policy.tenant is not None:
        name, tenant = policy.tenant
        if name is not None and claims.get(name) != tenant:
            _fail(failures, name, Reason.TENANT_MISMATCH, f"expected exactly {tenant!r}, as in iss", claims.get(name))
    _check_audience(failures, claims, policy)
    if "cnf" in claims:
        # RFC 9449 section 7.2, RFC 8705 section 3: a bound token is no bearer token
        _fail(failures, "cnf", Reason.BINDING_UNSUPPORTED, "expected a token that is not bound to a key", claims["cnf"])


def _check_audience(failures: list[ClaimFailure], claims: Mapping[str, Any], policy: Policy) -> None:
    accepted = policy.audience
    path, audience = _audience_at(claims, policy.profile)
    if accepted is not None and type(audience) is str and audience in accepted:
        return
    claim = ".".join(path)
    if audience == _ABSENT:
        if accepted is not None:
            _fail(failures, claim, Reason.CLAIM_MISSING, _one_of(accepted))
        return
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or not _TEXTS.issuperset(map(type, named)):
        _fail(failures, claim, Reason.CLAIM_MALFORMED, _NAMES, audience)
    elif accepted is not None and accepted.isdisjoint(named):
        _fail(failures, claim, Reason.AUDIENCE_MISMATCH, _one_of(accepted), audience)


@lru_cache(maxsize=64)
def _one_of(accepted: frozenset[str]) -> str:
    return f"expected one of {', '.join(sorted(accepted))}"


def _check_kind(failures: list[ClaimFailure], claims: Mapping[str, Any], profile: Profile) -> None:
    for name, accepted in profile.kinds:
        kind = claims.get(name)
        if not isinstance(kind, str) or kind not in accepted:
            reason = Reason.CLAIM_MISSING if kind is None else Reason.TYPE_NOT_ACCEPTED
            _fail(failures, name, reason, f"expected {' or '.join(sorted(accepted))}, by profile {profile.name}", kind)
    for name in () if claims.keys().isdisjoint(_MARKS) else _MARKS:
        kind = claims.get(name)
        if not isinstance(kind, str) or any(failure.claim == name for failure in failures):
            continue
        if kind.lower().replace("-", "_").removesuffix("_token") in _KINDS_REFUSED:
            _fail(failures, name, Reason.TYPE_NOT_ACCEPTED, "expected an access token", kind)
    for name in profile.forbidden:
        if name in claims:
            expected = f"expected an access token, which has no such claim by profile {profile.name}"
            _fail(failures, name, Reason.TYPE_NOT_ACCEPTED, expected, claims[name])


def _check_required(failures: list[ClaimFailure], claims: Mapping[str, Any], profile: Profile) -> None:
    for name in profile.required:
        if name not in claims or (claims[name] is None and name not in _TYPED):
            _fail(failures, name, Reason.CLAIM_MISSING, f"required by profile {profile.name}")
    for names in profile.required_one_of:
        if not any(claims.get(name) for name in names):
            expected = f"{' or '.join(names)} is required by profile {profile.name}"
            _fail(failures, names[0], Reason.CLAIM_MISSING, expected)


def _check_shapes(failures: list[ClaimFailure], claims: Mapping[str, Any], profile: Profile) -> None:
    for name in _IDENTIFIERS:
        value = claims.get(name, "")
        if not _is_identifier(value):
            _fail(failures, name, Reason.CLAIM_MALFORMED, _AN_IDENTIFIER, value)
    for path in profile.client:
        client = None if path[0] in _IDENTIFIERS else claim_at(claims, path)
        if client is not None and not _is_identifier(client):
            _fail(failures, ".".join(path), Reason.CLAIM_MALFORMED, _AN_IDENTIFIER, client)
    for path in profile.scopes:
        scopes = _member_at(claims, path)
        if not isinstance(scopes, (str, list)) and scopes != _ABSENT:
            _fail(failures, ".".join(path), Reason.CLAIM_MALFORMED, _NAMES, scopes)


def _is_identifier(value: object) -> bool:
    return isinstance(value, str) and (value.isprintable() or not _CONTROL.search(value))


def _check_times(failures: list[ClaimFailure], claims: Mapping[str, Any], policy: Policy, now: float) -> None:
    exp, nbf, iat = _date(failures, claims, "exp"), _date(failures, claims, "nbf"), _date(failures, claims, "iat")
    if "exp" not in claims:
        _fail(failures, "exp", Reason.CLAIM_MISSING, "expected when the token expires")
    if "iat" not in claims and (policy.max_age is not None or policy.max_lifetime is not None):
        _fail(failures, "iat", Reason.CLAIM_MISSING, "required by max_age and max_lifetime")
    leeway, max_age, max_lifetime = policy.leeway, policy.max_age, policy.max_lifetime
    if nbf is not None and nbf > now + leeway:
        _fail(failures, "nbf", Reason.TOKEN_NOT_YET_VALID, f"expected at most {now + leeway:.0f}", nbf)
    if iat is not None and iat > now + leeway:
        _fail(failures, "iat", Reason.TOKEN_ISSUED_IN_FUTURE, f"expected at most {now + leeway:.0f}", iat)
    if max_age is not None and iat is not None and iat < now - max_age - leeway:
        _fail(failures, "iat", Reason.TOKEN_TOO_OLD, f"expected at most {max_age:g} s ago", iat)
    if max_lifetime is not None and exp is not None and iat is not None and exp - iat > max_lifetime:
        _fail(failures, "exp", Reason.LIFETIME_TOO_LONG, f"expected at most {max_lifetime:g} s after iat", exp)
    if exp is not None and exp <= now - leeway:
        # RFC 7519 section 4.1.4: "on or after which the JWT MUST NOT be accepted"
        _fail(failures, "exp", Reason.TOKEN_EXPIRED, f"expected more than {now - leeway:.0f}", exp)


def _date(failures: list[ClaimFailure], claims: Mapping[str, Any], name: str) -> float | None:
    """RFC 7519 section 2, NumericDate: a JSON number; true is an int for Python, and NaN fails every comparison."""
    value: Any = claims.get(name)
    if type(value) in _NUMBERS and abs(value) <= LATEST_DATE:
        seconds: float = value
        return seconds
    if name in claims:
        _fail(failures, name, Reason.CLAIM_MALFORMED, "expected seconds since the epoch, as a number", value)
    return None


def _fail(failures: list[ClaimFailure], claim: str, reason: Reason, expected: str, actual: object = None) -> None:
    failures.append(ClaimFailure(claim=claim, reason=reason, expected=expected, actual=actual))
