"""The keys of the comparison: the same in every run, so that a seed and a number name a token."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.attacks.corpus.jws import unb64
from tests.attacks.corpus.keyring import public_jwk

ISSUER = "https://issuer.example"
AUDIENCE = "https://api.example.com"
NOW = 1_800_000_000
LEEWAY = 30
ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA")
SECRET_ALGORITHMS = ("HS256", "HS384", "HS512")
SECRET = hashlib.sha512(b"the secret that all three know").digest()

_PUBLISHED = json.loads((Path(__file__).parents[1] / "vectors" / "rfc7515.json").read_bytes())["keys"]["A.2"]


def _published_rsa() -> rsa.RSAPrivateKey:
    """The key of RFC 7515 appendix A.2: an RSA key cannot be made from a seed."""
    number = {name: int.from_bytes(unb64(text), "big") for name, text in _PUBLISHED.items() if name != "kty"}
    public = rsa.RSAPublicNumbers(number["e"], number["n"])
    private = rsa.RSAPrivateNumbers(
        p=number["p"],
        q=number["q"],
        d=number["d"],
        dmp1=number["dp"],
        dmq1=number["dq"],
        iqmp=number["qi"],
        public_numbers=public,
    )
    return private.private_key()


def _curve(curve: ec.EllipticCurve, seed: bytes) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(hashlib.sha256(seed).digest(), "big") >> 1, curve)


def _edwards(seed: bytes) -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed).digest())


PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

RSA = _published_rsa()
KEYS: dict[str, PrivateKey] = {
    "rsa-1": RSA,
    "ec-1": _curve(ec.SECP256R1(), b"ec-1"),
    "ec-2": _curve(ec.SECP256R1(), b"ec-2"),
    "p384": _curve(ec.SECP384R1(), b"p384"),
    "p521": _curve(ec.SECP521R1(), b"p521"),
    "ed-1": _edwards(b"ed-1"),
    "ed-2": _edwards(b"ed-2"),
}
STRANGERS: dict[str, PrivateKey] = {"ec-1": _curve(ec.SECP256R1(), b"another"), "ed-1": _edwards(b"another")}
"""Keys that nobody trusts, by the kid that their owner claims."""
SIGNERS: dict[str, tuple[str, ...]] = {
    "RS256": ("rsa-1",),
    "PS256": ("rsa-1",),
    "ES256": ("ec-1", "ec-2"),
    "ES384": ("p384",),
    "ES512": ("p521",),
    "EdDSA": ("ed-1", "ed-2"),
}
JWKS: dict[str, Any] = {"keys": [public_jwk(key, kid=kid, use="sig") for kid, key in KEYS.items()]}

_HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def sign(alg: str, key: PrivateKey | bytes, data: bytes) -> bytes:
    """A signature by this algorithm; ECDSA without chance (RFC 6979), so that a seed gives the same bytes."""
    if isinstance(key, bytes):
        return hmac.digest(key, data, f"sha{alg[2:]}")
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    digest = _HASHES[alg[2:]]
    if isinstance(key, rsa.RSAPrivateKey):
        if alg.startswith("PS"):
            return key.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        return key.sign(data, padding.PKCS1v15(), digest)
    size = (key.curve.key_size + 7) // 8
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest, deterministic_signing=True)))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")
