"""What stands beside the good key in each line of `catalogue.MEMBERS`, and the token that is its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.attacks.corpus.jws import PrivateKey, b64, b64_int, claims, header, hmac_sign, sign
from tests.attacks.corpus.keyring import EC_1, ED_1, OCT_SECRET, RSA_2, RSA_WEAK, private_jwk, public_jwk

KID = "beside"
GOOD_KID = "rsa-1"
_PEM = RSA_2.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True)
class Member:
    """A member of the set; its own token is signed by `key`, and names the kid."""

    jwk: Any
    key: PrivateKey = RSA_2
    alg: str = "RS256"
    kid: str | None = KID
    secret: bytes | None = None

    def token(self) -> str:
        """The token."""
        head = header(alg=self.alg, kid=self.kid)
        if self.kid is None:
            del head["kid"]
        if self.secret is not None:
            return hmac_sign(self.secret, head, claims())
        return sign(self.key, head, claims(), self.alg)


def member(name: str) -> Member:
    """The member of a line."""
    return {**_USES, **_TYPES, **_PARAMETERS, **_OTHERS, **_KIDS, **_NAMES}[name]


def names() -> list[str]:
    """Of all members."""
    return [*_USES, *_TYPES, *_PARAMETERS, *_OTHERS, *_KIDS, *_NAMES]


def _rsa(**members: Any) -> Member:
    """RSA-2 under a kid of its own, with further members or others."""
    return Member({**public_jwk(RSA_2, kid=KID), **members})


def _without(name: str) -> Member:
    return Member({key: value for key, value in public_jwk(RSA_2, kid=KID).items() if key != name})


def _oct(secret: bytes) -> Member:
    return Member({"kty": "oct", "kid": KID, "k": b64(secret), "alg": "HS256"}, alg="HS256", secret=secret)


def _n(bits: int) -> str:
    return b64_int((1 << (bits - 1)) + 1)


def _large() -> Member:
    """A good key but for its exponent: as large as n, and right (65537 would be the other half)."""
    numbers = RSA_2.private_numbers()
    d = numbers.public_numbers.e
    e = numbers.d
    swapped = rsa.RSAPrivateNumbers(
        p=numbers.p,
        q=numbers.q,
        d=d,
        dmp1=d % (numbers.p - 1),
        dmq1=d % (numbers.q - 1),
        iqmp=numbers.iqmp,
        public_numbers=rsa.RSAPublicNumbers(e=e, n=numbers.public_numbers.n),
    )
    return Member(
        {**public_jwk(RSA_2, kid=KID), "e": b64_int(e)}, swapped.private_key(unsafe_skip_rsa_key_validation=True)
    )


_USES: dict[str, Member] = {
    "use enc": _rsa(use="enc"),
    "use null": _rsa(use=None),
    "use of a number": _rsa(use=7),
    "key_ops of encryption": _rsa(key_ops=["encrypt"]),
    "key_ops empty": _rsa(key_ops=[]),
    "key_ops of an unknown operation": _rsa(key_ops=["attest"]),
    "key_ops of verify and an unknown one": _rsa(key_ops=["attest", "verify"]),
    "alg of another hash": _rsa(alg="RS512"),
    "alg of encryption": _rsa(alg="RSA-OAEP"),
}
_TYPES: dict[str, Member] = {
    "oct": _oct(OCT_SECRET),
    "oct that is empty": _oct(b""),
    "oct that holds a PEM": _oct(_PEM),
    "AKP, a key of ML-DSA": Member({"kty": "AKP", "alg": "ML-DSA-44", "kid": KID, "pub": b64(bytes(1312))}),
    "kty missing": _without("kty"),
    "kty null": _rsa(kty=None),
    "kty of an array": _rsa(kty=["RSA"]),
    "kty unknown": _rsa(kty="LATTICE"),
    "no object": Member("rsa-1"),
    "null": Member(None),
    "an empty object": Member({}),
    "X25519": Member({"kty": "OKP", "crv": "X25519", "kid": KID, "x": b64(b"\x09" + bytes(31))}),
}
_PARAMETERS: dict[str, Member] = {
    "a curve of old": Member({**public_jwk(EC_1, kid=KID), "crv": "P-192"}, EC_1, "ES256"),
    "a point off the curve": Member({**public_jwk(EC_1, kid=KID), "y": b64_int(7, 32)}, EC_1, "ES256"),
    "Ed25519 too short": Member({**public_jwk(ED_1, kid=KID), "x": b64(bytes(31))}, ED_1, "EdDSA"),
    "n empty": _rsa(n=""),
    "n missing": _without("n"),
    "n padded": _rsa(n=public_jwk(RSA_2)["n"] + "=="),
    "n in the other alphabet": _rsa(n="+/" + public_jwk(RSA_2)["n"][2:]),
    "n beyond ASCII": _rsa(n="\u00e9" + public_jwk(RSA_2)["n"]),
    "n of a lone surrogate": _rsa(n="\ud800"),
    "x empty": Member({**public_jwk(ED_1, kid=KID), "x": ""}, ED_1, "EdDSA"),
    "e of 1": _rsa(e="AQ"),
    "e even": _rsa(e="AQAA"),
    "e of the size of n": _large(),
    "RSA-1024": Member(public_jwk(RSA_WEAK, kid=KID), RSA_WEAK),
    "RSA-16384": _rsa(n=_n(16384)),
    "RSA-32768": _rsa(n=_n(32768)),
}
_OTHERS: dict[str, Member] = {
    "a private key": Member(private_jwk(RSA_2, kid=KID)),
    "a private key whose d is junk": _rsa(d="!"),
    "x5t null": _rsa(x5t=None),
    "x5c of a string": _rsa(x5c="MII"),
    "x5u of a file": _rsa(x5u="file:///etc/passwd"),
}
_KIDS: dict[str, Member] = {
    "kid of a number": _rsa(kid=7),
    "kid of a number, and none in the token": Member(public_jwk(RSA_2, kid=7), kid=None),
    "kid null": _rsa(kid=None),
    "no kid": _without("kid"),
    "no kid, nor in the token": Member(public_jwk(RSA_2), kid=None),
    "kid of 300 characters": Member(public_jwk(RSA_2, kid="k" * 300), kid="k" * 256),
    "kid of 100 KB": _rsa(kid="k" * 100_000),
    "kid empty": Member(public_jwk(RSA_2, kid=""), kid=""),
    "kid of the good key": Member(public_jwk(RSA_2, kid=GOOD_KID), kid=GOOD_KID),
    "kid of the good key, on a curve": Member(public_jwk(EC_1, kid=GOOD_KID), EC_1, "ES256", GOOD_KID),
}
_NAMES: dict[str, Member] = {
    "EdDSA in the set, Ed25519 in the token": Member(public_jwk(ED_1, kid=KID, alg="EdDSA"), ED_1, "Ed25519"),
    "Ed25519 in the set, EdDSA in the token": Member(public_jwk(ED_1, kid=KID, alg="Ed25519"), ED_1, "EdDSA"),
}
