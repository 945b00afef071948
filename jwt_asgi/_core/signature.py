"""Untrusted + key -> Verified; the joserfc boundary.

The algorithm objects are called directly, on keys imported once: `jws.deserialize_compact` would parse the token a
second time by looser rules, and ignores `algorithms=` when it is given a `registry=`. Nothing else makes a `Verified`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from joserfc.jws import JWSRegistry

from jwt_asgi._core.jwks import VerifyKey
from jwt_asgi._core.policy import ASYMMETRIC_ALGORITHMS, PLACEHOLDER, SYMMETRIC_ALGORITHMS, TENANT, Policy
from jwt_asgi._core.token import Untrusted
from jwt_asgi.errors import Reason, TokenError

__all__ = ["MAX_CANDIDATES", "Verified", "own_keys", "verify_signature"]

MAX_CANDIDATES = 4
"""How many keys are tried for one token: it bounds what a token without kid can cost."""

_ALGORITHMS = {name: JWSRegistry.algorithms[name] for name in (*ASYMMETRIC_ALGORITHMS, *SYMMETRIC_ALGORITHMS)}


class Verified(NamedTuple):
    """A token whose signature verified with a key of its issuer. What its claims say is judged later."""

    header: dict[str, Any]
    claims: dict[str, Any]
    key: VerifyKey


def own_keys(keys: Sequence[VerifyKey], untrusted: Untrusted, policy: Policy) -> Sequence[VerifyKey]:
    """Return the keys that may sign for the token's issuer: where the policy asks, all but those of another issuer.

    One key set may serve several issuers. Where a JWK says whose it is, in `issuer`, with `{tenantid}` for any tenant
    (as Microsoft's sets do), it must not sign for another: in 2023 a stolen key for consumer accounts did.

    Raises:
        TokenError: `key_unsuitable` when they are all another's.
    """
    if not policy.key_issuer:
        return keys
    tenant = untrusted.claims.get("tid") if policy.tenant is None else policy.tenant[1]
    if not isinstance(tenant, str) or not TENANT.fullmatch(tenant):
        # A `tid` that is empty, or spans several segments, would make a template into another's issuer
        tenant = PLACEHOLDER
    own = [key for key in keys if key.issuer is None or key.issuer.replace(PLACEHOLDER, tenant) == policy.issuer]
    if keys and not own:
        raise TokenError(Reason.KEY_UNSUITABLE, f"expected a key of {policy.issuer!r}, by the key's own `issuer`")
    return own


def verify_signature(untrusted: Untrusted, keys: Sequence[VerifyKey]) -> Verified:
    """Try the keys in turn, at most `MAX_CANDIDATES` of them; each must fit the token's `alg`.

    Raises:
        TokenError: `key_unsuitable` when there is none, `signature_invalid`.
    """
    if not keys:
        raise TokenError(Reason.KEY_UNSUITABLE)
    for key in keys if len(keys) <= MAX_CANDIDATES else keys[:MAX_CANDIDATES]:
        if _verifies(untrusted, key):
            return Verified(untrusted.header, untrusted.claims, key)
    raise TokenError(Reason.SIGNATURE_INVALID)


def _verifies(untrusted: Untrusted, key: VerifyKey) -> bool:
    alg, signature = untrusted.alg, untrusted.signature
    # RFC 8017 section 8.2.2 step 1 and RFC 7518 section 3.4: the length is exact
    if len(signature) != key.algorithms.get(alg):
        return False
    try:
        answer = _ALGORITHMS[alg].verify(untrusted.signing_input, signature, key.key)
    except Exception:  # noqa: BLE001 - whatever a crypto library raises for a stranger's bytes, it did not verify
        return False
    return answer is True
