"""A second opinion on a JWK: which keys may be taken, and which must be, by arithmetic of its own."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.fuzz.keys import b64
from tests.fuzz.reference import strict_json

MOST = 256

_RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")


class _Curve(NamedTuple):
    """y^2 = x^3 + ax + b (mod p), as SEC 2 has it."""

    p: int
    a: int
    b: int
    size: int
    algorithm: str


_P256, _P384 = 2**256 - 2**224 + 2**192 + 2**96 - 1, 2**384 - 2**128 - 2**96 + 2**32 - 1
_B256 = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_B384 = 0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF
_B521 = int(
    "0051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e1"
    "56193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00",
    16,
)
_CURVES = {
    "P-256": _Curve(_P256, -3, _B256, 32, "ES256"),
    "P-384": _Curve(_P384, -3, _B384, 48, "ES384"),
    "P-521": _Curve(2**521 - 1, -3, _B521, 66, "ES512"),
    "secp256k1": _Curve(2**256 - 2**32 - 977, 0, 7, 32, "ES256K"),
}


class _Edwards(NamedTuple):
    """ax^2 + y^2 = 1 + dx^2y^2 (mod p), as RFC 8032 has it; `doublings` of a point of small order give nothing."""

    p: int
    a: int
    d: int
    size: int
    doublings: int


_P25519, _P448 = 2**255 - 19, 2**448 - 2**224 - 1
_EDWARDS = {
    "Ed25519": _Edwards(_P25519, -1, -121665 * pow(121666, -1, _P25519), 32, 3),
    "Ed448": _Edwards(_P448, 1, -39081, 57, 2),
}


class Reading(NamedTuple):
    """A key that may be taken: what it says of itself, and its numbers. `plain`: it must be taken."""

    kid: str | None
    algorithms: tuple[str, ...]
    issuer: str | None
    private: bool
    numbers: tuple[object, ...]
    plain: bool


def members_of(raw: bytes) -> list[Any] | None:
    """The members of a document that is a JWK Set of no more than `MOST`, else None."""
    try:
        members = strict_json(raw, surrogates=True).get("keys")
    except ValueError:
        return None
    return members if isinstance(members, list) and len(members) <= MOST else None


def reading(member: object) -> Reading | None:
    """A key that may verify (RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2), or None."""
    if not isinstance(member, dict) or not _is_for_verifying(member):
        return None
    kid, issuer, alg = member.get("kid"), member.get("issuer"), member.get("alg")
    try:
        numbers, fits, plain = _numbers(member)
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
    if alg is not None and alg not in fits:
        return None
    narrowed = fits if alg is None or member["kty"] == "OKP" else (alg,)
    said = issuer if issuer is None or isinstance(issuer, str) else ""
    return Reading(kid, tuple(sorted(narrowed)), said, "d" in member, numbers, plain)


def _is_for_verifying(member: Mapping[str, Any]) -> bool:
    kid, operations = member.get("kid"), member.get("key_ops")
    return (
        (kid is None or (isinstance(kid, str) and 1 <= len(kid) <= 256))
        and member.get("use") in (None, "sig")
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
    )


def _numbers(member: Mapping[str, Any]) -> tuple[tuple[object, ...], tuple[str, ...], bool]:
    match member["kty"]:
        case "RSA":
            (n, n_plain), (e, e_plain) = _integer(member["n"]), _integer(member["e"])
            if not 2**2047 <= n < 2**8192 or not 3 <= e < 2**32 or e % 2 == 0:
                raise ValueError("out of bounds")
            return ("RSA", n, e), _RSA_ALGORITHMS, n_plain and e_plain and n % 2 == 1
        case "EC":
            curve = _CURVES[member["crv"]]
            (x, _), (y, _) = _integer(member["x"]), _integer(member["y"])
            if max(x, y) >= curve.p or (y * y - x**3 - curve.a * x - curve.b) % curve.p:
                raise ValueError("off the curve")
            plain = all(member[name] == b64(value.to_bytes(curve.size, "big")) for name, value in (("x", x), ("y", y)))
            return ("EC", member["crv"], x, y), (curve.algorithm,), plain
        case "OKP":
            raw = _bytes(member["x"])
            is_point = _is_point(raw, _EDWARDS[member["crv"]])
            return ("OKP", member["crv"], raw), ("EdDSA", member["crv"]), is_point and member["x"] == b64(raw)
    raise ValueError("of another type")


def _is_point(raw: bytes, curve: _Edwards) -> bool:
    """Whether it lies on the curve. One of small order, whose multiples are few, is no key: a ValueError."""
    if len(raw) != curve.size:
        raise ValueError("of another length")
    p, a, d = curve.p, curve.a, curve.d
    y = (int.from_bytes(raw, "little") & ~(1 << (8 * curve.size - 1))) % p
    first = square = (1 - y * y) * pow(a - d * y * y, -1, p) % p
    for _ in range(curve.doublings):
        y = (y * y - a * square) * pow(1 - d * square * y * y, -1, p) % p
        square = (1 - y * y) * pow(a - d * y * y, -1, p) % p
    if y == 1:
        raise ValueError("of small order")
    return pow(first, (p - 1) // 2, p) <= 1


def _integer(text: str) -> tuple[int, bool]:
    raw = _bytes(text)
    return int.from_bytes(raw, "big"), text == b64(raw) and raw[:1] != b"\0"


def _bytes(text: str) -> bytes:
    """Whatever can be read as bytes: the loosest reading there is."""
    if not isinstance(text, str):
        raise TypeError
    return base64.urlsafe_b64decode(text.encode("ascii") + b"==")
