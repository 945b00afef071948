"""Rows 25 to 37: the algorithm."""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.attacks.corpus.case import Case, Sign, rows
from tests.attacks.corpus.jws import (
    ABSENT,
    PrivateKey,
    b64,
    claims,
    compact,
    header,
    hmac_sign,
    join,
    raw_sign,
    sign,
    signing_input,
    unb64,
)
from tests.attacks.corpus.keyring import (
    CONTROLS,
    EC_1,
    ED_1,
    JWKS,
    OCT_SECRET,
    P384,
    P521,
    RSA_1,
    RSA_2,
    RSA_PS,
    SECP256K1,
    plain,
    public_jwk,
)


def _pem(key: PrivateKey, layout: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, layout)


def _hs256(secret: bytes, kid: object = "rsa-1") -> str:
    return hmac_sign(secret, header(alg="HS256", kid=kid), claims())


def _confusion_pem() -> list[Case]:
    pem = _pem(RSA_1)
    tokens = {
        "rsa-pem": _hs256(pem),
        "rsa-pem-stripped": _hs256(pem.strip()),
        "rsa-pem-space": _hs256(b" " + pem),
        "rsa-pem-cr": _hs256(pem.replace(b"\n", b"\r")),
        "rsa-pem-crlf": _hs256(pem.replace(b"\n", b"\r\n")),
        "rsa-pem-one-line": _hs256(pem.replace(b"\n", b"")),
        "ec-pem": _hs256(_pem(EC_1), "ec-1"),
        "ed-pem": _hs256(_pem(ED_1), "ed-1"),
        "noalg-pem": _hs256(_pem(RSA_2), "rsa-2"),
        "no-kid": _hs256(pem, ABSENT),
    }
    return rows(25, Sign.T, tokens, prefix="alg.hs256-")


def _confusion_other() -> list[Case]:
    public = RSA_1.public_key()
    published = public_jwk(RSA_1, kid="rsa-1", use="sig", alg="RS256")
    point = EC_1.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    encoded = {
        "rsa-pkcs1": _hs256(_pem(RSA_1, PublicFormat.PKCS1)),
        "rsa-ssh": _hs256(public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)),
    }
    der = {"rsa-der": _hs256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))}
    json = {
        "rsa-jwk": _hs256(compact(published)),
        "rsa-jwk-bom": _hs256(b"\xef\xbb\xbf" + compact(published)),
        "rsa-jwks": _hs256(compact(JWKS)),
    }
    material = {
        "rsa-n": _hs256(unb64(published["n"])),
        "ec-point": _hs256(point, "ec-1"),
        "ec-x": _hs256(point[1:33], "ec-1"),
        "ed-raw": _hs256(ED_1.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw), "ed-1"),
    }
    guessed = {
        "alg.hs256-empty": _hs256(b""),
        "alg.hs256-empty-noalg": _hs256(b"", "rsa-2"),
        "alg.hs256-guess": _hs256(b"secret"),
        "alg.hs384": hmac_sign(_pem(RSA_1), header(alg="HS384"), claims(), "sha384"),
        "alg.hs512": hmac_sign(_pem(RSA_1), header(alg="HS512"), claims(), "sha512"),
    }
    published_secret = {
        "oct-in-jwks": _hs256(OCT_SECRET, "oct-1"),
        "oct-in-jwks-no-kid": _hs256(OCT_SECRET, ABSENT),
    }
    return [
        *rows(26, Sign.T, encoded, prefix="alg.hs256-"),
        *rows(27, Sign.T, der, prefix="alg.hs256-"),
        *rows(28, Sign.T, json, prefix="alg.hs256-"),
        *rows(29, Sign.T, material, prefix="alg.hs256-"),
        *rows(30, Sign.T, guessed),
        *rows(31, Sign.T, published_secret, prefix="alg.hs256-"),
    ]


def _by(key: PrivateKey, kid: object, alg: str, *, named: str | None = None) -> str:
    return sign(key, header(alg=named or alg, kid=kid), claims(), alg)


def _not_allowed() -> list[Case]:
    tokens = {
        "RS384": _by(RSA_2, "rsa-2", "RS384"),
        "RS512": _by(RSA_2, "rsa-2", "RS512"),
        "PS384": _by(RSA_2, "rsa-2", "PS384"),
        "PS512": _by(RSA_2, "rsa-2", "PS512"),
        "ES384": _by(P384, "p384", "ES384"),
        "ES512": _by(P521, "p521", "ES512"),
        # RFC 9864 section 2.2: another name than EdDSA, to be allowed by itself.
        "Ed25519": _by(ED_1, "ed-1", "Ed25519"),
        "RS384-no-kid": _by(RSA_2, ABSENT, "RS384"),
    }
    one_key_one_algorithm = {
        "PS256": _by(RSA_1, "rsa-1", "PS256"),
        "RS256-by-PS256-key": _by(RSA_PS, "rsa-ps", "RS256"),
    }
    return [
        *rows(32, Sign.T, tokens, prefix="alg.not-allowed-"),
        *rows(33, Sign.T, one_key_one_algorithm, prefix="alg.not-allowed-"),
    ]


def _foreign() -> list[Case]:
    data = signing_input(header(alg="ES256K", kid="k1"), claims())
    named = ("RSA-OAEP", "dir", "A256GCM", "ML-DSA-44", "__class__", "RS256,ES256", "HS1")
    tokens = {
        "ES256K": join(data, raw_sign(SECP256K1, "ES256K", data)),
        "RS1": _by(RSA_1, "rsa-1", "RS1"),
        **{name: _by(RSA_1, "rsa-1", "RS256", named=name) for name in named},
    }
    return rows(34, Sign.T, tokens, prefix="alg.foreign-")


def _mismatch() -> list[Case]:
    """kid names a key of one kind, the algorithm and the signature are another key's."""
    kinds = {"rsa": "RS256", "ec": "ES256", "ed": "EdDSA"}
    tokens = {}
    for kid in kinds:
        for alg_kind, alg in kinds.items():
            if alg_kind != kid:
                signer, _ = CONTROLS[alg]
                tokens[f"{kid}-{alg}"] = _by(signer, f"{kid}-1", alg)
    return [
        *rows(35, Sign.T, tokens, prefix="alg.mismatch-", budget=1, policy=True),
        *rows(36, Sign.T, {"alg.es256-on-p384": _by(P384, "p384", "ES256")}, budget=1),
        *rows(36, Sign.T, {"alg.es256-on-p384-cut": _cut_p384()}, budget=1),
    ]


def _cut_p384() -> str:
    """The length of an ES256 signature, by a P-384 key."""
    data = signing_input(header(alg="ES256", kid="p384"), claims())
    signature = raw_sign(P384, "ES256", data)
    return f"{data.decode('ascii')}.{b64(signature[16:48] + signature[64:])}"


CASES = [
    *_confusion_pem(),
    *_confusion_other(),
    *_not_allowed(),
    *_foreign(),
    *_mismatch(),
    *rows(37, Sign.ACCEPT, {alg: plain(alg) for alg in CONTROLS}, prefix="ok."),
]
