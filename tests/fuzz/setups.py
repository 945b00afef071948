"""The ways to set up a door that are fuzzed: issuers, their keys, and what the second opinion holds of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from jwt_asgi import Profile, StaticKeys, TrustedIssuer, Verifier
from jwt_asgi.tenants import TrustedTenants
from jwt_asgi.types import Fetch
from tests.fuzz.keys import b64, b64_int, private_key, public_jwk, sign
from tests.fuzz.reference import PublishedKey, Trusted

NOW = 1_750_000_000
LATER = NOW + 3_631
"""A token of the seeds is good for an hour, and 30 seconds of leeway, from `NOW` on."""
ISSUER = "https://issuer.example"
AUDIENCE = "https://api.example.com"
JWKS_URI = "https://issuer.example/jwks"
TENANTS = "https://login.example/{tenantid}/v2.0"
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
SCOPE = "canary:read"


JWKS: dict[str, Any] = {
    "keys": [
        public_jwk("rsa-1", kid="rsa-1", use="sig", alg="RS256"),
        public_jwk("rsa-2", kid="rsa-2", use="sig"),
        public_jwk("rsa-ps", kid="rsa-ps", use="sig", alg="PS256"),
        public_jwk("ec-1", kid="ec-1", use="sig", alg="ES256"),
        public_jwk("ed-1", kid="ed-1", use="sig", alg="EdDSA"),
        public_jwk("p384", kid="p384", use="sig"),
        # What must not verify, whatever it is asked for
        public_jwk("rsa-enc", kid="rsa-enc", use="enc", alg="RSA-OAEP"),
        public_jwk("rsa-weak", kid="rsa-weak", use="sig"),
        public_jwk("rsa-e1", kid="rsa-e1", use="sig") | {"e": "AQ"},
        public_jwk("rsa-seven", kid=7, use="sig"),
        {"kty": "oct", "kid": "oct-1", "k": b64(bytes(32)), "alg": "HS256"},
        {"kty": "EC", "crv": "P-256", "kid": "ec-off-curve", "x": b64_int(5, 32), "y": b64_int(7, 32)},
    ]
}
PUBLISHED = (
    PublishedKey("rsa-1", "RSA", private_key("rsa-1").public_key(), ("RS256",)),
    PublishedKey("rsa-2", "RSA", private_key("rsa-2").public_key()),
    PublishedKey("rsa-ps", "RSA", private_key("rsa-ps").public_key(), ("PS256",)),
    PublishedKey("ec-1", "P-256", private_key("ec-1").public_key(), ("ES256",)),
    PublishedKey("ed-1", "Ed25519", private_key("ed-1").public_key()),
    PublishedKey("p384", "P-384", private_key("p384").public_key()),
)
_ONE, _ANY = TENANTS.replace("{tenantid}", "t1"), TENANTS
_OTHER = "https://login.example/consumers/v2.0"
TENANTS_JWKS: dict[str, Any] = {
    "keys": [
        public_jwk("ed-1", kid="ed-1", issuer=_ONE),
        public_jwk("ed-2", kid="ed-2", issuer=_ANY),
        public_jwk("ed-3", kid="ed-3", issuer=_OTHER),
        public_jwk("ec-2", kid="ec-1"),
    ]
}
TENANTS_PUBLISHED = (
    PublishedKey("ed-1", "Ed25519", private_key("ed-1").public_key(), issuer=_ONE),
    PublishedKey("ed-2", "Ed25519", private_key("ed-2").public_key(), issuer=_ANY),
    PublishedKey("ed-3", "Ed25519", private_key("ed-3").public_key(), issuer=_OTHER),
    PublishedKey("ec-1", "P-256", private_key("ec-2").public_key()),
)


class Surroundings(Protocol):
    """The clocks of a door, and whom it asks."""

    @property
    def fetch(self) -> Fetch:
        """Ask an issuer."""
        ...

    def clock(self) -> float:
        """Seconds since the epoch."""
        ...

    def key_clock(self) -> float:
        """Seconds for the age of keys."""
        ...


def token(alg: str, key: str, *, head: Mapping[str, object] | None = None, **claims: object) -> bytes:
    """A plain good token, with changes."""
    header = {"typ": "at+jwt", "alg": alg, "kid": key, **(head or {})}
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "canary-subject",
        "client_id": "canary-client",
        "jti": "canary-jti",
        "iat": NOW - 5,
        "exp": NOW + 3600,
        "scope": f"{SCOPE} canary:write",
        **claims,
    }
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(good).encode())}"
    return f"{signed}.{b64(sign(key, alg, signed.encode()))}".encode()


def generic(door: Surroundings) -> Verifier:
    """Any token of one issuer, whose keys are fetched."""
    options: dict[str, Any] = {"algorithms": ALGORITHMS, "jwks_uri": JWKS_URI, "fetch": door.fetch, "key_hooks": ()}
    issuer = TrustedIssuer(issuer=ISSUER, audience=AUDIENCE, key_clock=door.key_clock, **options)
    return Verifier(issuer, clock=door.clock)


def strict(door: Surroundings) -> Verifier:
    """The strict profile with every limit, and keys at hand."""
    issuer = TrustedIssuer(
        issuer=ISSUER,
        audience=[AUDIENCE, "another"],
        algorithms=ALGORITHMS,
        profile=Profile.RFC9068,
        keys=StaticKeys(JWKS),
        max_age=4_000,
        max_lifetime=3_700,
        leeway=0.0,
    )
    return Verifier(issuer, clock=door.clock)


def many(door: Surroundings) -> Verifier:
    """One issuer, and the tenants of another, whose keys say whose they are."""
    single = TrustedIssuer(
        issuer=ISSUER, audience=AUDIENCE, algorithms=["EdDSA", "ES256"], keys=StaticKeys(JWKS), leeway=30
    )
    tenants = TrustedTenants(
        TENANTS,
        tenants={"t1", "t2"},
        audience=AUDIENCE,
        algorithms=["Ed25519", "EdDSA", "ES256"],
        jwks_uri=JWKS_URI,
        fetch=door.fetch,
        key_hooks=(),
        key_clock=door.key_clock,
    )
    return Verifier(single, tenants, clock=door.clock)


def _trusted(**changes: Any) -> Trusted:
    options: dict[str, Any] = {
        "issuer": ISSUER,
        "keys": PUBLISHED,
        "audience": AUDIENCE,
        "algorithms": ALGORITHMS,
        **changes,
    }
    return Trusted(**options)


GENERIC = (_trusted(),)
STRICT = (
    _trusted(
        types=("at+jwt", "application/at+jwt"),
        required=("sub", "iat", "jti", "client_id"),
        azp=False,
        leeway=0.0,
        max_age=4_000,
        max_lifetime=3_700,
    ),
)
MANY = (
    _trusted(algorithms=("EdDSA", "ES256")),
    _trusted(issuer=TENANTS, keys=TENANTS_PUBLISHED, algorithms=("Ed25519", "EdDSA", "ES256"), tenants=("t1", "t2")),
)
