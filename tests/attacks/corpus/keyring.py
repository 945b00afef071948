"""The keys of the corpus, and the one JWKS that publishes them beside much that no verifier should use."""

from __future__ import annotations

import base64
import hashlib
import os
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.attacks.corpus.jws import PrivateKey, b64, b64_int, claims, compact, header, sign

OCT_SECRET = os.urandom(32)


def _rsa(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


RSA_1 = _rsa()
RSA_2 = _rsa()
RSA_PS = _rsa()
RSA_ENC = _rsa()
"""Published three times, each time for encryption: by `use`, by `use` and `alg`, by `key_ops`."""
RSA_SEVEN = _rsa()
"""Published with the number 7 for a kid."""
RSA_WEAK = _rsa(1024)
RSA_E1 = _rsa()
RSA_ATTACKER = _rsa()
EC_1 = ec.generate_private_key(ec.SECP256R1())
EC_ENC = ec.generate_private_key(ec.SECP256R1())
"""Published for encryption alone, too."""
EC_ATTACKER = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
P521 = ec.generate_private_key(ec.SECP521R1())
SECP256K1 = ec.generate_private_key(ec.SECP256K1())
ED_1 = ed25519.Ed25519PrivateKey.generate()
ED_ATTACKER = ed25519.Ed25519PrivateKey.generate()

_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521", "secp256k1": "secp256k1"}


def public_jwk(key: PrivateKey, **members: object) -> dict[str, Any]:
    """The public JWK of a key (RFC 7518 section 6, RFC 8037 section 2), with further members."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        return {"kty": "RSA", "n": b64_int(numbers.n), "e": b64_int(numbers.e), **members}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        point = key.public_key().public_numbers()
        size = (key.curve.key_size + 7) // 8
        x, y = b64_int(point.x, size), b64_int(point.y, size)
        return {"kty": "EC", "crv": _CURVES[key.curve.name], "x": x, "y": y, **members}
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(raw), **members}


def private_jwk(key: PrivateKey, **members: object) -> dict[str, Any]:
    """The JWK of a key with its private members."""
    public = public_jwk(key, **members)
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        secret = {name: getattr(numbers, name) for name in ("d", "p", "q")}
        secret |= {"dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp}
        return public | {name: b64_int(value) for name, value in secret.items()}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return public | {"d": b64_int(key.private_numbers().private_value, (key.curve.key_size + 7) // 8)}
    return public | {"d": b64(key.private_bytes_raw())}


def thumbprint(key: PrivateKey) -> str:
    """RFC 7638."""
    return b64(hashlib.sha256(compact(dict(sorted(public_jwk(key).items())))).digest())


def _off_curve() -> dict[str, Any]:
    return {"kty": "EC", "crv": "P-256", "kid": "ec-off-curve", "x": b64_int(5, 32), "y": b64_int(7, 32)}


def _standard_alphabet(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


GOOD_MEMBERS: list[dict[str, Any]] = [
    public_jwk(RSA_1, kid="rsa-1", use="sig", alg="RS256"),
    public_jwk(RSA_2, kid="rsa-2", use="sig"),
    public_jwk(RSA_PS, kid="rsa-ps", use="sig", alg="PS256"),
    public_jwk(EC_1, kid="ec-1", use="sig", alg="ES256"),
    public_jwk(ED_1, kid="ed-1", use="sig", alg="EdDSA"),
    public_jwk(P384, kid="p384", use="sig"),
    public_jwk(P521, kid="p521", use="sig"),
]
# Each of these has made some library refuse a whole set, or accept what it should not.
ODD_MEMBERS: list[Any] = [
    {"kty": "oct", "kid": "oct-1", "k": b64(OCT_SECRET), "alg": "HS256"},
    public_jwk(RSA_ENC, kid="rsa-enc", use="enc", alg="RSA-OAEP"),
    public_jwk(RSA_ENC, kid="rsa-enc-noalg", use="enc"),
    public_jwk(RSA_ENC, kid="rsa-ops", key_ops=["encrypt"]),
    public_jwk(EC_ENC, kid="ec-enc", use="enc"),
    public_jwk(EC_ENC, kid="ec-ops", key_ops=["deriveKey"]),
    public_jwk(RSA_WEAK, kid="rsa-weak", use="sig"),
    public_jwk(RSA_E1, kid="rsa-e1", use="sig") | {"e": "AQ"},
    public_jwk(RSA_SEVEN, kid=7, use="sig"),
    public_jwk(SECP256K1, kid="k1", use="sig"),
    _off_curve(),
    {"kty": "EC", "crv": "P-192", "kid": "ec-odd", "x": b64_int(5, 24), "y": b64_int(7, 24)},
    {"kty": "RSA", "kid": "rsa-broken", "n": "not base64url!", "e": "AQAB"},
    {"kty": "AKP", "alg": "ML-DSA-44", "kid": "pq-1", "pub": b64(os.urandom(1312))},
    {"kty": "RSA", "kid": "rsa-no-n", "e": "AQAB"},
    {"kty": "RSA", "kid": "rsa-std", "n": _standard_alphabet(b"\xff" * 256), "e": "AQAB"},
    {"kty": "RSA", "kid": "rsa-even", "n": b64(b"\xff" * 255 + b"\xfe"), "e": "Ag"},
    {"kty": "OKP", "crv": "Ed25519", "kid": "ed-short", "x": b64(b"\x01" * 31)},
    {"kty": "OKP", "crv": "X25519", "kid": "x-1", "use": "enc", "x": b64(b"\x09" + b"\x00" * 31)},
    {"kty": ["RSA"], "kid": "kty-list"},
    {"kid": "kty-none"},
    {},
    None,
    7,
    "rsa-1",
    [],
]
JWKS: dict[str, Any] = {"keys": [*GOOD_MEMBERS, *ODD_MEMBERS]}


def jwks_body(*members: object) -> bytes:
    """A JWKS document: of these members, or the corpus's own."""
    return compact({"keys": list(members)} if members else JWKS)


CONTROLS: dict[str, tuple[PrivateKey, str]] = {
    "RS256": (RSA_1, "rsa-1"),
    "PS256": (RSA_2, "rsa-2"),
    "ES256": (EC_1, "ec-1"),
    "EdDSA": (ED_1, "ed-1"),
}


def plain(alg: str, **changes: object) -> str:
    """A plain good token by this algorithm, with changes to its claims."""
    key, kid = CONTROLS[alg]
    return sign(key, header(alg=alg, kid=kid), claims(**changes), alg)


def rs256(**changes: object) -> str:
    """A token signed by rsa-1, with changes to its claims."""
    return plain("RS256", **changes)


def headed(**changes: object) -> str:
    """A good token but for changes to its header."""
    return sign(RSA_1, header(**changes), claims())


@cache
def good() -> str:
    """One good token, the same every time."""
    return rs256()
