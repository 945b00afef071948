"""Rows 38 to 55: which key verifies."""

from __future__ import annotations

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.attacks.corpus.case import ISSUER, Case, Sign, bearer, rows
from tests.attacks.corpus.jws import (
    ABSENT,
    NOW,
    b64,
    claims,
    compact,
    header,
    hmac_sign,
    join,
    pkcs1_block,
    sign,
    signing_input,
    with_member,
)
from tests.attacks.corpus.keyring import (
    EC_ATTACKER,
    EC_ENC,
    OCT_SECRET,
    RSA_ATTACKER,
    RSA_ENC,
    RSA_SEVEN,
    RSA_WEAK,
    headed,
    public_jwk,
    thumbprint,
)

_HTTP = "https://attacker.example/jwks.json"


def _attack(**changes: object) -> str:
    """Signed by the attacker's key."""
    return sign(RSA_ATTACKER, header(**changes), claims())


def _embedded_jwk() -> list[Case]:
    own = public_jwk(RSA_ATTACKER)
    secret = {"kty": "oct", "k": b64(OCT_SECRET[::-1]), "alg": "HS256"}
    jwk = {
        "jwk": _attack(kid="canary-kid-1", jwk={**own, "kid": "canary-kid-1"}),
        "jwk-no-kid": _attack(kid=ABSENT, jwk=own),
        "jwk-good-kid": _attack(jwk={**own, "kid": "rsa-1"}),
        "jwk-thumbprint": _attack(kid=thumbprint(RSA_ATTACKER), jwk=own),
        "jwk-string": _attack(jwk=compact(own).decode("ascii")),
    }
    octet = {
        "oct": hmac_sign(OCT_SECRET[::-1], header(alg="HS256", kid="canary-kid-2", jwk=secret), claims()),
        "oct-empty": hmac_sign(b"", header(alg="HS256", jwk={"kty": "oct", "k": ""}), claims()),
    }
    return [
        *rows(38, Sign.T, {"key.attacker": _attack(), "key.attacker-no-kid": _attack(kid=ABSENT)}),
        *rows(39, Sign.T, jwk, prefix="key.embedded-", budget=1),
        *rows(40, Sign.T, octet, prefix="key.embedded-", budget=1),
    ]


def _embedded_url() -> list[Case]:
    jku = {
        "key.embedded-jku": _attack(kid="canary-kid-3", jku=_HTTP),
        "key.embedded-jku-good-kid": _attack(jku=_HTTP),
        "key.embedded-jku-userinfo": _attack(kid="canary-kid-4", jku=f"{ISSUER}@attacker.example/jwks"),
        "key.kid-url": _attack(kid=_HTTP),
    }
    other_schemes = {
        "jku-file": _attack(kid="canary-kid-5", jku="file:///etc/passwd"),
        "jku-metadata": _attack(kid="canary-kid-6", jku="http://169.254.169.254/latest/meta-data/"),
    }
    return [
        *rows(41, Sign.T, jku, budget=1),
        *rows(42, Sign.T, other_schemes, prefix="key.embedded-", budget=1),
        *rows(43, Sign.T, {"key.embedded-x5u": _attack(kid="canary-kid-7", x5u=_HTTP)}, budget=1),
        *rows(45, Sign.ACCEPT, {"ok.jku-not-followed": headed(jku=_HTTP, x5u=_HTTP)}, policy=True),
    ]


def _certificate() -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer.example")])
    start = dt.datetime.fromtimestamp(NOW - 86400, dt.UTC)
    builder = x509.CertificateBuilder(name, name, RSA_ATTACKER.public_key(), x509.random_serial_number())
    validity = builder.not_valid_before(start).not_valid_after(start + dt.timedelta(days=90))
    return validity.sign(RSA_ATTACKER, hashes.SHA256())


def _embedded_certificate() -> list[Case]:
    certificate = _certificate()
    # RFC 7515 section 4.1.6: base64, not base64url.
    x5c = [x509_base64(certificate)]
    x5t = b64(certificate.fingerprint(hashes.SHA1()))
    tokens = {
        "x5c": _attack(kid="canary-kid-8", x5c=x5c),
        "x5c-good-kid": _attack(x5c=x5c),
        "x5c-rubbish": _attack(kid="canary-kid-9", x5c=7),
        "x5t": _attack(kid=x5t, x5t=x5t),
    }
    return rows(44, Sign.T, tokens, prefix="key.embedded-", budget=1)


def x509_base64(certificate: x509.Certificate) -> str:
    """A member of `x5c`."""
    return "".join(certificate.public_bytes(Encoding.PEM).decode("ascii").splitlines()[1:-1])


def _kid_odd() -> list[Case]:
    wrong_type = {
        "number": sign(RSA_SEVEN, header(kid=7), claims()),
        "true": headed(kid=True),
        "list": headed(kid=["rsa-1"]),
        "object": headed(kid={"kid": "rsa-1"}),
        "null": headed(kid=None),
        "empty": headed(kid=""),
    }
    nearly = {
        "case": headed(kid="RSA-1"),
        "space": headed(kid="rsa-1 "),
        "nul": headed(kid="rsa-1\0"),
        "newline": headed(kid="rsa-1\n"),
        "homoglyph": headed(kid="rs\u0430-1"),
        "index": headed(kid="0"),
    }
    injected = {
        "path": _attack(kid="../../../../../../dev/null"),
        "sql": _attack(kid="x' UNION SELECT 'canary-secret"),
        "shell": _attack(kid="rsa-1|id"),
        "template": _attack(kid="{{7*7}}"),
        "format": _attack(kid="{0.__class__}%s%n"),
    }
    surrogate = with_member(header(kid=ABSENT), "kid", b'"canary-kid-\\ud800"')
    into_logs = {
        "crlf": _attack(kid="canary-kid\r\nX-Injected: 1"),
        "surrogate": sign(RSA_ATTACKER, surrogate, claims()),
    }
    return [
        *rows(46, Sign.M, wrong_type, prefix="key.kid-"),
        *rows(47, Sign.M, nearly, prefix="key.kid-", budget=1, policy=True),
        *rows(48, Sign.M, injected, prefix="key.kid-", budget=1),
        *rows(49, Sign.M, into_logs, prefix="key.kid-", budget=1),
        *rows(50, Sign.T, {"key.kid-unknown": _attack(kid="canary-kid-10")}, budget=1),
    ]


def _flood() -> list[Case]:
    """New kids all the time: CVE-2026-48524, CVE-2026-101917."""

    def wave(name: str, *, at_once: bool) -> Case:
        first, *rest = (bearer(_attack(kid=f"canary-{name}-{number}")) for number in range(40))
        case_id = f"flood.{name}"
        return Case(case_id, 51, Sign.T, first, budget=2, volley=tuple(rest), at_once=at_once)

    return [wave("sequential", at_once=False), wave("at-once", at_once=True)]


def _exponent_one(**changes: object) -> str:
    """s^1 mod n = s: the signature is the encoded message itself."""
    data = signing_input(header(**changes), claims())
    return join(data, pkcs1_block(data))


def _members() -> list[Case]:
    def by_enc(kid: str) -> str:
        return sign(RSA_ENC, header(kid=kid), claims())

    ec_attack = {
        f"key.jwk-{kid}": sign(EC_ATTACKER, header(alg="ES256", kid=kid), claims(), "ES256")
        for kid in ("ec-off-curve", "ec-odd")
    }
    post_quantum = signing_input(header(alg="ML-DSA-44", kid="pq-1"), claims())
    encryption = {f"key.jwk-{kid}": by_enc(kid) for kid in ("rsa-enc", "rsa-enc-noalg", "rsa-ops")}
    encryption |= {
        f"key.jwk-{kid}": sign(EC_ENC, header(alg="ES256", kid=kid), claims(), "ES256") for kid in ("ec-enc", "ec-ops")
    }
    exponent_one = {
        "key.jwk-rsa-e1": _exponent_one(kid="rsa-e1"),
        "key.jwk-rsa-e1-forged": _exponent_one(kid=ABSENT),
    }
    unloadable = {
        **ec_attack,
        "key.jwk-rsa-broken": _attack(kid="rsa-broken"),
        "key.jwk-pq-1": join(post_quantum, b"\x01" * 2420),
        "key.jwk-pq-1-rs256": _attack(kid="pq-1"),
    }
    return [
        *rows(52, Sign.T, encryption, budget=1),
        *rows(52, Sign.T, {"key.jwk-rsa-enc-no-kid": sign(RSA_ENC, header(kid=ABSENT), claims())}, budget=1),
        *rows(53, Sign.T, {"key.jwk-rsa-weak": sign(RSA_WEAK, header(kid="rsa-weak"), claims())}, budget=1),
        *rows(53, Sign.T, {"key.jwk-rsa-weak-no-kid": sign(RSA_WEAK, header(kid=ABSENT), claims())}, budget=1),
        *rows(54, Sign.T, exponent_one, budget=1),
        *rows(55, Sign.T, unloadable, budget=1),
    ]


CASES = [
    *_embedded_jwk(),
    *_embedded_url(),
    *_embedded_certificate(),
    *_kid_odd(),
    *_flood(),
    *_members(),
]
