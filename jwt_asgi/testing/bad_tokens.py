"""A reason -> a token that is refused for it, and would be good but for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jwt_asgi._core.bearer import MAX_TOKEN_BYTES
from jwt_asgi._core.policy import Policy
from jwt_asgi.errors import Reason
from jwt_asgi.testing.signing import json_bytes, segment

__all__ = ["BAD_TOKENS", "bad_token", "reasons_of"]

_LONG = 3600.0
"""More seconds than any leeway."""

Mint = Callable[..., str]

_BY_TOKEN: Mapping[Reason, Mapping[str, Any]] = {
    Reason.HEADER_MALFORMED: {"header": {"kid": 7}},
    Reason.HEADER_CRITICAL: {"header": {"crit": ["exp"]}},
    Reason.TYPE_NOT_ACCEPTED: {"header": {"typ": "logout+jwt"}},
    Reason.KEY_UNKNOWN: {"header": {"kid": "a-key-that-is-not-published"}},
    Reason.CLAIM_MISSING: {"without": ["exp"]},
    Reason.CLAIM_MALFORMED: {"claims": {"sub": 7}},
    Reason.AUDIENCE_MISMATCH: {"audience": "https://another-api.test"},
    # RFC 9449 section 6.1
    Reason.BINDING_UNSUPPORTED: {"claims": {"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}},
}
_BY_TEXT = (
    Reason.TOKEN_TOO_LARGE,
    Reason.TOKEN_MALFORMED,
    Reason.TOKEN_ENCRYPTED,
    Reason.ALGORITHM_NOT_ALLOWED,
    Reason.SIGNATURE_INVALID,
)
_BY_POLICY = (
    Reason.ISSUER_UNTRUSTED,
    Reason.TOKEN_NOT_YET_VALID,
    Reason.TOKEN_ISSUED_IN_FUTURE,
    Reason.TOKEN_EXPIRED,
)

BAD_TOKENS: tuple[Reason, ...] = tuple(
    reason for reason in Reason if reason in _BY_TOKEN or reason in _BY_TEXT or reason in _BY_POLICY
)
"""The reasons for which `TestIssuer.bad_token` makes a token.

More are possible by some options, and `audience_mismatch` and `key_unknown` are not where the audience
is not checked or the key is a shared secret: `TestIssuer.bad_tokens` has those of one issuer.
"""


def reasons_of(policy: Policy, *, secret: bool) -> tuple[Reason, ...]:
    """Return the reasons that a token of this policy can be refused for."""
    possible = {
        Reason.TENANT_MISMATCH: policy.tenant is not None and policy.tenant[0] is not None,
        Reason.TOKEN_TOO_OLD: policy.max_age is not None,
        Reason.LIFETIME_TOO_LONG: policy.max_lifetime is not None,
        Reason.AUDIENCE_MISMATCH: policy.audience is not None,
        Reason.KEY_UNKNOWN: not secret,
    }
    return tuple(reason for reason in Reason if possible.get(reason, reason in BAD_TOKENS))


def bad_token(reason: Reason, policy: Policy, mint: Mint, now: float) -> str:
    """Return a token that is refused for `reason`; `mint` makes a good one, by the keywords of `TestIssuer.token`."""
    if reason in _BY_TEXT:
        return _tampered(reason, mint)
    if reason in _BY_TOKEN:
        return mint(**_BY_TOKEN[reason])
    tenant, _ = policy.tenant or (None, "")
    claims: dict[Reason, Callable[[], dict[str, Any]]] = {
        Reason.ISSUER_UNTRUSTED: lambda: {"iss": f"{policy.issuer}.evil.test"},
        Reason.TENANT_MISMATCH: lambda: {str(tenant): "another-tenant"},
        Reason.TOKEN_NOT_YET_VALID: lambda: {"nbf": now + _LONG},
        Reason.TOKEN_ISSUED_IN_FUTURE: lambda: {"iat": now + _LONG, "exp": now + _LONG + 60},
        Reason.TOKEN_EXPIRED: lambda: _expired(policy, now),
        Reason.TOKEN_TOO_OLD: lambda: _old(policy, now),
        Reason.LIFETIME_TOO_LONG: lambda: {"iat": now, "exp": now + (policy.max_lifetime or 0.0) + _LONG},
    }
    return mint(claims=claims[reason]())


def _expired(policy: Policy, now: float) -> dict[str, Any]:
    # No longer ago than the token may be old, since that weighs more
    ago = _LONG if policy.max_age is None else policy.leeway + min(policy.max_age / 2, 60)
    return {"iat": now - ago, "exp": now - ago}


def _old(policy: Policy, now: float) -> dict[str, Any]:
    issued = now - (policy.max_age or 0.0) - policy.leeway - 60
    return {"iat": issued, "exp": now + 60 if policy.max_lifetime is None else issued + policy.max_lifetime}


def _tampered(reason: Reason, mint: Mint) -> str:
    header, payload, signature = mint().split(".")
    match reason:
        case Reason.TOKEN_TOO_LARGE:
            return f"{header}.{payload}.{signature * (MAX_TOKEN_BYTES // len(signature) + 1)}"
        case Reason.TOKEN_MALFORMED:
            return f"{header}.{payload}"
        case Reason.TOKEN_ENCRYPTED:
            return f"{header}.{payload}.{signature}.{payload}.{signature}"
        case Reason.ALGORITHM_NOT_ALLOWED:
            return f"{segment(json_bytes({'alg': 'none', 'typ': 'at+jwt'}))}.{payload}."
        case _:
            return f"{header}.{payload}.{mint(subject='someone-else').split('.')[2]}"
