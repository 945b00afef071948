"""Rows 164 to 170: encrypted tokens, and tokens that differ a little from one that was just accepted."""

from __future__ import annotations

import hashlib
import os
import zlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.attacks.corpus.case import Case, Sign, bearer, rows
from tests.attacks.corpus.jws import Json, b64, b64_int, claims, compact, encode, header, parts, sign, unb64
from tests.attacks.corpus.keyring import RSA_1, RSA_ATTACKER, rs256


def _jwe(head: Json, key: bytes, encrypted_key: bytes, plaintext: bytes) -> str:
    """RFC 7516 section 7.1 with A256GCM."""
    protected = encode(head)
    nonce = os.urandom(12)
    sealed = AESGCM(key).encrypt(nonce, plaintext, protected.encode("ascii"))
    return ".".join([protected, b64(encrypted_key), b64(nonce), b64(sealed[:-16]), b64(sealed[-16:])])


def _to_public_key(plaintext: bytes, **members: object) -> str:
    """Encrypted to the issuer's signing key, which anybody can do."""
    key = os.urandom(32)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    head = header(alg="RSA-OAEP-256", enc="A256GCM", **members)
    return _jwe(head, key, RSA_1.public_key().encrypt(key, oaep), plaintext)


def _direct() -> str:
    """The content key is what everybody knows: the digest of the public key."""
    der = RSA_1.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return _jwe(header(alg="dir", enc="A256GCM"), hashlib.sha256(der).digest(), b"", compact(claims()))


def _zip_bomb() -> str:
    deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    bomb = deflate.compress(compact(claims(pad="x" * 3_000_000))) + deflate.flush()
    return _to_public_key(bomb, zip="DEF")


def _dead(**members: object) -> str:
    """A JWE that costs before it fails: key, nonce, text and tag are random."""
    sizes = (256, 12, 64, 16)
    return ".".join([encode(header(**members)), *(b64(os.urandom(size)) for size in sizes)])


def _pbes2(count: object) -> str:
    return _dead(alg="PBES2-HS256+A128KW", enc="A128GCM", p2s=b64(b"canary-salt-0123"), p2c=count)


def _jwe_cases() -> list[Case]:
    unsecured = f"{encode({'alg': 'none'})}.{encode(claims())}."
    off_curve = {"kty": "EC", "crv": "P-256", "x": b64_int(5, 32), "y": b64_int(7, 32)}
    return [
        *rows(164, Sign.M, {"plain-claims": _to_public_key(compact(claims())), "dir": _direct()}, prefix="jwe."),
        *rows(165, Sign.M, {"jwe.nested-none": _to_public_key(unsecured.encode("ascii"), cty="JWT")}),
        *rows(166, Sign.M, {"jwe.zip-bomb": _zip_bomb()}),
        *rows(167, Sign.M, {"pbes2": _pbes2(2**31 - 1), "pbes2-float": _pbes2(1e308)}, prefix="jwe."),
        *rows(168, Sign.M, {"jwe.rsa1_5": _dead(alg="RSA1_5", enc="A128CBC-HS256")}),
        *rows(
            169,
            Sign.M,
            {
                "ecdh-off-curve": _dead(alg="ECDH-ES+A256KW", enc="A256GCM", epk=off_curve),
                "five-objects": ".".join([encode({})] * 5),
            },
            prefix="jwe.",
        ),
    ]


def _swap_one_case(token: str) -> str:
    """One letter in the middle of the signature in its other case."""
    start = token.rindex(".") + 20
    place = next(index for index in range(start, len(token) - 8) if token[index].isalpha())
    return token[:place] + token[place].swapcase() + token[place + 1 :]


def _cache() -> list[Case]:
    seen = rs256(jti="canary-jti-seen")
    head, payload, signature = parts(seen)
    other_claims = encode(claims(sub="canary-admin", jti="canary-jti-seen"))
    tokens = {
        "other-payload": f"{head}.{other_claims}.{signature}",
        "other-signature": f"{head}.{payload}.{b64(bytes(reversed(unb64(signature))))}",
        "no-signature": f"{head}.{payload}.",
        "same-jti": sign(RSA_ATTACKER, header(), claims(sub="canary-admin", jti="canary-jti-seen")),
        "case": _swap_one_case(seen),
        "cut": seen[:-1],
        "upper": seen.upper(),
    }
    return rows(170, Sign.M, tokens, prefix="cache.", before=(bearer(seen),))


CASES = [*_jwe_cases(), *_cache()]
