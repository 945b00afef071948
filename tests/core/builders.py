"""Tokens, keys, claims and policies that the tests of the core are made from."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from functools import cache
from typing import Any

from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from jwt_asgi._core.access_token import AccessToken
from jwt_asgi._core.jwks import secret_key
from jwt_asgi._core.policy import Policy
from jwt_asgi._core.signature import Verified
from jwt_asgi.profiles import Profile

NOW = 1_700_000_000.0
ISSUER = "https://issuer.test"
AUDIENCE = "https://api.test"

(KEY,) = secret_key(b"s" * 32, ["HS256"]).keys

SigningKey = RSAKey | ECKey | OKPKey


def segment(raw: bytes) -> bytes:
    """Base64url without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=")


def as_json(value: object) -> bytes:
    """JSON as most issuers write it; bytes are taken as they are."""
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


def compact(header: object, payload: object, signature: bytes = b"not a signature") -> bytes:
    """A token of these parts, signed by nobody."""
    return b".".join((segment(as_json(header)), segment(as_json(payload)), segment(signature)))


def signed(alg: str, key: SigningKey, claims: Mapping[str, Any], **header: Any) -> bytes:
    """A token that this key signed with this algorithm."""
    signing_input = segment(as_json({"alg": alg, **header})) + b"." + segment(as_json(claims))
    return signing_input + b"." + segment(JWSRegistry.algorithms[alg].sign(signing_input, key))


@cache
def _key(kind: str, _: int) -> SigningKey:
    if kind == "RSA":
        return RSAKey.generate_key(2048)
    if kind.startswith("Ed"):
        return OKPKey.generate_key("Ed448" if kind == "Ed448" else "Ed25519")
    curves: dict[str, Any] = {name: name for name in ("P-256", "P-384", "P-521", "secp256k1")}
    return ECKey.generate_key(curves[kind])


def signing_key(kind: str, number: int = 1) -> SigningKey:
    """A key of `RSA` or of a curve, made once; another `number` is another key."""
    return _key(kind, number)


def public_jwk(kind: str, number: int = 1, **members: Any) -> dict[str, Any]:
    """The public half of `signing_key(kind, number)`, with more members."""
    return {**signing_key(kind, number).as_dict(private=False), **members}


def good_claims(**changes: Any) -> dict[str, Any]:
    """Claims that `a_policy()` accepts at `NOW`."""
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user-1",
        "client_id": "client-1",
        "jti": "token-1",
        "iat": NOW - 10,
        "exp": NOW + 290,
    } | changes


def a_policy(
    *,
    audience: frozenset[str] | None = frozenset({AUDIENCE}),
    algorithms: frozenset[str] = frozenset({"RS256"}),
    profile: Profile = Profile.GENERIC,
    leeway: float = 30.0,
    max_age: float | None = None,
    max_lifetime: float | None = None,
    tenant: tuple[str | None, str] | None = None,
) -> Policy:
    """A policy, unchecked."""
    return Policy(
        issuer=ISSUER,
        audience=audience,
        algorithms=algorithms,
        profile=profile,
        leeway=leeway,
        max_age=max_age,
        max_lifetime=max_lifetime,
        tenant=tenant,
    )


def access_token(*, scopes: tuple[str, ...] = (), roles: tuple[str, ...] = ()) -> AccessToken:
    """An access token that allows this."""
    claims = good_claims(scope=list(scopes), roles=list(roles))
    return AccessToken(Verified({"alg": "RS256"}, claims, KEY), Profile.GENERIC)
