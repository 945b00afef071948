"""Verified x Policy x now -> Verified, or every claim that failed.

RFC 7519 section 4.1 and RFC 9068 section 4. All failures are found, not the first alone, so that whoever reads the log
mends them in one go. The weightiest comes first and gives the refusal its reason; expiry comes last, so that a caller
who is told "expired" knows that a fresh token would do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jwt_asgi._core.policy import Policy
from jwt_asgi._core.signature import Verified
from jwt_asgi._core.token import Untrusted
from jwt_asgi.errors import ClaimFailure, Reason, TokenError
from jwt_asgi.profiles import ClaimPath

__all__ = ["check_before_fetch", "check_claims", "claim_at", "failed_claims"]

LATEST_DATE = 253_402_300_799
"""9999-12-31T23:59:59Z, in seconds. A larger NumericDate is in milliseconds, or an attack on a conversion."""

_KINDS_REFUSED = frozenset({"id", "refresh", "logout", "offline"})
"""RFC 8725 section 3.11: Cognito writes `token_use: id`, Keycloak `typ: Refresh`, others `type: refresh_token`."""

_STRINGS = ("sub", "jti", "client_id")
# CWE-93, CWE-117: identifiers end up in headers and logs of applications
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_claims(verified: Verified, policy: Policy, now: float) -> Verified:
    """Hold the claims against the policy; `now` is in seconds since the epoch.

    Raises:
        TokenError: with every failure in `failures`.
    """
    _refuse(failed_claims(verified.claims, policy, now))
    return verified


def check_before_fetch(untrusted: Untrusted, policy: Policy, now: float) -> None:
    """Refuse what could not pass later anyway, before a stranger's token makes the issuer's keys be fetched.

    Raises:
        TokenError: as `check_claims`.
    """
    _refuse(failed_claims(untrusted.claims, policy, now))


def failed_claims(claims: Mapping[str, Any], policy: Policy, now: float) -> tuple[ClaimFailure, ...]:
    """Return every claim that fails, the weightiest first."""
    return (
        *_identity(claims, policy),
        *_kind(claims),
        *_shapes(claims, policy),
        *_times(claims, policy, now),
    )


def claim_at(claims: Mapping[str, Any], path: ClaimPath) -> Any:  # noqa: ANN401 - a claim may be anything
    """Return the value at a path of keys, or None."""
    value: Any = claims
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def _refuse(failures: tuple[ClaimFailure, ...]) -> None:
    if failures:
        named = "; ".join(f"{failure.claim}: {failure.reason.value}, {failure.expected}" for failure in failures)
        raise TokenError(failures[0].reason, named, failures=failures)


def _identity(claims: Mapping[str, Any], policy: Policy) -> Iterator[ClaimFailure]:
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or issuer != policy.issuer:
        # RFC 8414 section 3.3, OIDC Core section 3.1.3.7: code point by code point, nothing normalized
        yield _failure("iss", Reason.ISSUER_UNTRUSTED, f"expected exactly {policy.issuer!r}", issuer)
    yield from _audience(claims, policy.audience)
    if "cnf" in claims:
        # RFC 9449 section 7.2, RFC 8705 section 3: a bound token is no bearer token
        yield _failure("cnf", Reason.BINDING_UNSUPPORTED, "expected a token that is not bound to a key", claims["cnf"])


def _audience(claims: Mapping[str, Any], accepted: frozenset[str] | None) -> Iterator[ClaimFailure]:
    if "aud" not in claims:
        if accepted is not None:
            yield _failure("aud", Reason.CLAIM_MISSING, f"expected one of {', '.join(sorted(accepted))}")
        return
    audience = claims["aud"]
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        yield _failure("aud", Reason.CLAIM_MALFORMED, "expected a string or an array of strings", audience)
    elif accepted is not None and accepted.isdisjoint(named):
        yield _failure("aud", Reason.AUDIENCE_MISMATCH, f"expected one of {', '.join(sorted(accepted))}", audience)


def _kind(claims: Mapping[str, Any]) -> Iterator[ClaimFailure]:
    for name in ("token_use", "typ", "type"):
        kind = claims.get(name)
        if isinstance(kind, str) and kind.lower().replace("-", "_").removesuffix("_token") in _KINDS_REFUSED:
            yield _failure(name, Reason.TYPE_NOT_ACCEPTED, "expected an access token", kind)


def _shapes(claims: Mapping[str, Any], policy: Policy) -> Iterator[ClaimFailure]:
    for name in policy.profile.required:
        if name not in claims:
            yield _failure(name, Reason.CLAIM_MISSING, f"required by profile {policy.profile.name}")
    for name in _STRINGS:
        if name in claims and not (isinstance(claims[name], str) and not _CONTROL.search(claims[name])):
            yield _failure(name, Reason.CLAIM_MALFORMED, "expected a string without control characters", claims[name])
    for path in policy.profile.scopes:
        holder = claim_at(claims, path[:-1])
        if isinstance(holder, Mapping) and path[-1] in holder and not isinstance(holder[path[-1]], (str, list)):
            expected = "expected a string or an array of strings"
            yield _failure(".".join(path), Reason.CLAIM_MALFORMED, expected, holder[path[-1]])


def _times(claims: Mapping[str, Any], policy: Policy, now: float) -> Iterator[ClaimFailure]:
    dates: dict[str, float] = {}
    for name in ("exp", "nbf", "iat"):
        if name not in claims:
            continue
        if _is_date(claims[name]):
            dates[name] = claims[name]
        else:
            yield _failure(name, Reason.CLAIM_MALFORMED, "expected seconds since the epoch, as a number", claims[name])
    if "exp" not in claims:
        yield _failure("exp", Reason.CLAIM_MISSING, "expected when the token expires")
    if "iat" not in claims and (policy.max_age is not None or policy.max_lifetime is not None):
        yield _failure("iat", Reason.CLAIM_MISSING, "required by max_age and max_lifetime")
    yield from _bounds(dates, policy, now)


def _is_date(value: object) -> bool:
    """RFC 7519 section 2, NumericDate: a JSON number; true is an int for Python, and NaN fails every comparison."""
    return type(value) in {int, float} and -LATEST_DATE <= value <= LATEST_DATE  # type: ignore[operator]


def _bounds(dates: Mapping[str, float], policy: Policy, now: float) -> Iterator[ClaimFailure]:
    leeway, exp, nbf, iat = policy.leeway, dates.get("exp"), dates.get("nbf"), dates.get("iat")
    if nbf is not None and nbf > now + leeway:
        yield _failure("nbf", Reason.TOKEN_NOT_YET_VALID, f"expected at most {now + leeway:.0f}", nbf)
    if iat is not None and iat > now + leeway:
        yield _failure("iat", Reason.TOKEN_ISSUED_IN_FUTURE, f"expected at most {now + leeway:.0f}", iat)
    if iat is not None and policy.max_age is not None and iat < now - policy.max_age - leeway:
        yield _failure("iat", Reason.TOKEN_TOO_OLD, f"expected at most {policy.max_age:g} s ago", iat)
    if exp is not None and iat is not None and policy.max_lifetime is not None and exp - iat > policy.max_lifetime:
        yield _failure("exp", Reason.LIFETIME_TOO_LONG, f"expected at most {policy.max_lifetime:g} s after iat", exp)
    if exp is not None and exp <= now - leeway:
        # RFC 7519 section 4.1.4: "on or after which the JWT MUST NOT be accepted"
        yield _failure("exp", Reason.TOKEN_EXPIRED, f"expected more than {now - leeway:.0f}", exp)


def _failure(claim: str, reason: Reason, expected: str, actual: object = None) -> ClaimFailure:
    return ClaimFailure(claim=claim, reason=reason, expected=expected, actual=actual)
