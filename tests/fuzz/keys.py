"""Fixed keys, and signatures that are the same every time, so that a seed means tomorrow what it means today.

They protect nothing: everybody has them. Each prime is a number that is spread from a name, plus an offset.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_EXPONENT = 65537
# The bits of the modulus, and the offset of each prime
_RSA = {
    "rsa-1": (2048, 1714, 364),
    "rsa-2": (2048, 400, 888),
    "rsa-ps": (2048, 2120, 970),
    "rsa-enc": (2048, 1338, 1760),
    "rsa-seven": (2048, 14, 106),
    "rsa-weak": (1024, 46, 192),
    "rsa-e1": (2048, 70, 3038),
    "attacker": (2048, 58, 428),
}
_EC: dict[str, ec.EllipticCurve] = {
    "ec-1": ec.SECP256R1(),
    "ec-2": ec.SECP256R1(),
    "ec-attacker": ec.SECP256R1(),
    "p384": ec.SECP384R1(),
    "p521": ec.SECP521R1(),
    "k1": ec.SECP256K1(),
}
_NAMES_OF_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521", "secp256k1": "secp256k1"}
_HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512(), "1": hashes.SHA1()}


def spread(name: str, size: int) -> bytes:
    """So many bytes that look like chance, and are the same for the same name."""
    return hashlib.shake_256(name.encode()).digest(size)


def _prime(name: str, bits: int, offset: int) -> int:
    return (int.from_bytes(spread(name, bits // 8), "big") | (3 << (bits - 2)) | 1) + offset


def _rsa_key(name: str) -> rsa.RSAPrivateKey:
    bits, p_offset, q_offset = _RSA[name]
    p, q = _prime(f"{name} p", bits // 2, p_offset), _prime(f"{name} q", bits // 2, q_offset)
    d = pow(_EXPONENT, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(_EXPONENT, p * q)
    dmp1, dmq1, iqmp = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    return rsa.RSAPrivateNumbers(p, q, d, dmp1, dmq1, iqmp, public).private_key(
        unsafe_skip_rsa_key_validation=True  # it takes 0.1 s
    )


@cache
def private_key(name: str) -> PrivateKey:
    """The key of this name; one that begins with `ed` is for Ed25519."""
    if name in _RSA:
        return _rsa_key(name)
    if name in _EC:
        return ec.derive_private_key(int.from_bytes(spread(name, 31), "big"), _EC[name])
    return ed25519.Ed25519PrivateKey.from_private_bytes(spread(name, 32))


def sign(name: str, alg: str, data: bytes) -> bytes:
    """The signature of a key by RFC 7518 section 3 or RFC 8037; a key of another type signs in its own way."""
    return sign_with(private_key(name), alg, data)


def sign_with(key: PrivateKey, alg: str, data: bytes) -> bytes:
    """Likewise, for a key at hand."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    digest = _HASHES.get(alg[2:].rstrip("K"), hashes.SHA256())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = (key.curve.key_size + 7) // 8
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest, deterministic_signing=True)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    if alg.startswith("PS"):
        return _pss(key, alg[2:], data)
    return key.sign(data, padding.PKCS1v15(), digest)


def _pss(key: rsa.RSAPrivateKey, bits: str, data: bytes) -> bytes:
    """RFC 8017 section 9.1.1, with a salt that is not random."""
    name = f"sha{bits}"
    hashed = hashlib.new(name, data).digest()
    salt = hashlib.new(name, b"salt" + hashed).digest()
    h = hashlib.new(name, bytes(8) + hashed + salt).digest()
    size = key.key_size // 8
    block = bytes(size - len(salt) - len(h) - 2) + b"\x01" + salt
    stream = b"".join(hashlib.new(name, h + i.to_bytes(4, "big")).digest() for i in range(-(-len(block) // len(h))))
    masked = bytes(a ^ b for a, b in zip(block, stream, strict=False))
    encoded = bytes([masked[0] & 0x7F]) + masked[1:] + h + b"\xbc"
    numbers = key.private_numbers()
    return pow(int.from_bytes(encoded, "big"), numbers.d, numbers.public_numbers.n).to_bytes(size, "big")


def b64(data: bytes) -> str:
    """Base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def b64_int(number: int, size: int | None = None) -> str:
    """Base64urlUInt (RFC 7518 section 2), or that of a fixed size."""
    return b64(number.to_bytes(size or (number.bit_length() + 7) // 8, "big"))


def public_jwk(name: str, **members: object) -> dict[str, Any]:
    """The public JWK of a key, with further members."""
    key = private_key(name)
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        return {"kty": "RSA", "n": b64_int(numbers.n), "e": b64_int(numbers.e), **members}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        point = key.public_key().public_numbers()
        size = (key.curve.key_size + 7) // 8
        curve = _NAMES_OF_CURVES[key.curve.name]
        return {"kty": "EC", "crv": curve, "x": b64_int(point.x, size), "y": b64_int(point.y, size), **members}
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().public_bytes_raw()), **members}
