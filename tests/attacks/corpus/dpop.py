"""Rows 149 to 163: DPoP is not supported. Whatever the proof is, its scheme is refused, and so is a bound token."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.attacks.corpus.case import Case, Headers, Request, Sign, rows
from tests.attacks.corpus.jws import ABSENT, NOW, b64, changed, claims, header, hmac_sign, sign, unb64
from tests.attacks.corpus.keyring import (
    EC_1,
    EC_ATTACKER,
    ED_1,
    ED_ATTACKER,
    RSA_1,
    private_jwk,
    public_jwk,
    thumbprint,
)

_HOLDER = EC_ATTACKER
"""Whom the token is bound to. It is a key of no issuer's."""
_TOKEN = sign(RSA_1, header(), claims(cnf={"jkt": thumbprint(_HOLDER)}))
_UNBOUND = sign(RSA_1, header(), claims())
_HTU = "https://api.example.com/"


def _ath(token: str = _TOKEN) -> str:
    return b64(hashlib.sha256(token.encode("ascii")).digest())


def _head(**changes: object) -> dict[str, Any]:
    return changed({"typ": "dpop+jwt", "alg": "ES256", "jwk": public_jwk(_HOLDER)}, changes)


def _payload(**changes: object) -> dict[str, Any]:
    return changed({"jti": "canary-proof", "htm": "GET", "htu": _HTU, "iat": NOW, "ath": _ath()}, changes)


def _said(**changes: object) -> str:
    """A proof with changes to what it says (RFC 9449 section 4.2)."""
    return sign(_HOLDER, _head(), _payload(**changes), "ES256")


def _headed(**changes: object) -> str:
    """A proof with changes to its header."""
    return sign(_HOLDER, _head(**changes), _payload(), "ES256")


def _sent(*proofs: str, scheme: str = "DPoP", token: str = _TOKEN, further: Headers = ()) -> Request:
    """The token by this scheme, with these proofs."""
    credentials = (b"authorization", f"{scheme} {token}".encode("ascii"))
    return Request((credentials, *((b"dpop", proof.encode("ascii")) for proof in proofs), *further))


def _unsigned() -> str:
    head, payload, _ = _headed(alg="none").split(".")
    return f"{head}.{payload}."


def _mixed() -> str:
    """CVE-2026-102275: the holder's x beside the d of another key."""
    jwk = {**public_jwk(ED_1), "d": private_jwk(ED_ATTACKER)["d"]}
    return sign(ED_ATTACKER, _head(alg="EdDSA", jwk=jwk), _payload())


_PROOFS: dict[int, dict[str, Request]] = {
    149: {
        "ok": _sent(_said()),
        "ok-scheme-case": _sent(_said(), scheme="dpop"),
        "ok-htu-query": _sent(_said(htu=f"{_HTU}?a=b#c")),
        "ok-htu-case": _sent(_said(htu="HTTPS://API.example.com/")),
    },
    150: {"no-proof": _sent(), "rubbish": _sent("rubbish"), "at-as-proof": _sent(_TOKEN)},
    151: {"two-proofs": _sent(_said(), _said()), "joined": _sent(f"{_said()}, {_said()}")},
    152: {
        "other-key": _sent(sign(EC_1, _head(jwk=public_jwk(EC_1)), _payload(), "ES256")),
        "jwk-other": _sent(_headed(jwk=public_jwk(EC_1))),
    },
    153: {"unbound-token": _sent(_said(ath=_ath(_UNBOUND)), token=_UNBOUND)},
    154: {"replay": _sent(_said())},
    155: {
        "jti-absent": _sent(_said(jti=ABSENT)),
        "jti-empty": _sent(_said(jti="")),
        "jti-number": _sent(_said(jti=1)),
        "jti-long": _sent(_said(jti="j" * 20_000)),
    },
    156: {
        "ath-absent": _sent(_said(ath=ABSENT)),
        "ath-other": _sent(_said(ath=_ath(_UNBOUND))),
        "ath-padded": _sent(_said(ath=_ath() + "=")),
        "ath-number": _sent(_said(ath=1)),
    },
    157: {"htm": _sent(_said(htm="POST")), "htm-case": _sent(_said(htm="get")), "htm-absent": _sent(_said(htm=ABSENT))},
    158: {
        "htu-path": _sent(_said(htu=f"{_HTU}other")),
        "htu-host": _sent(_said(htu="https://evil.example/")),
        "htu-scheme": _sent(_said(htu="http://api.example.com/")),
        "htu-port": _sent(_said(htu="https://api.example.com:8443/")),
        "htu-userinfo": _sent(_said(htu="https://api.example.com@evil.example/")),
        "htu-dots": _sent(_said(htu=f"{_HTU}a/../")),
        "htu-relative": _sent(_said(htu="/")),
        "htu-absent": _sent(_said(htu=ABSENT)),
        "htu-list": _sent(_said(htu=[_HTU])),
    },
    159: {
        "forwarded": _sent(_said(), further=((b"x-forwarded-host", b"evil.example"), (b"host", b"evil.example"))),
    },
    160: {
        "iat-old": _sent(_said(iat=NOW - 3600)),
        "iat-future": _sent(_said(iat=NOW + 3600)),
        "iat-absent": _sent(_said(iat=ABSENT)),
        "iat-string": _sent(_said(iat=str(NOW))),
        "iat-true": _sent(_said(iat=True)),
        "iat-huge": _sent(_said(iat=10**400)),
    },
    161: {
        "typ-JWT": _sent(_headed(typ="JWT")),
        "typ-absent": _sent(_headed(typ=ABSENT)),
        "alg-none": _sent(_unsigned()),
        "crit": _sent(_headed(crit=["exp"])),
        "hs256": _sent(hmac_sign(unb64(public_jwk(_HOLDER)["x"]), _head(alg="HS256"), _payload())),
    },
    162: {
        "jwk-absent": _sent(_headed(jwk=ABSENT)),
        "jwk-private": _sent(_headed(jwk=private_jwk(_HOLDER))),
        "jwk-string": _sent(_headed(jwk="canary-jwk")),
        "jwk-empty": _sent(_headed(jwk={})),
        "jku": _sent(_headed(jwk=ABSENT, jku="https://evil.example/jwks")),
    },
    163: {"jwk-okp-mixed": _sent(_mixed())},
}


def _as_bearer(request: Request) -> Request:
    (name, value), *others = request.headers
    return Request(((name, b"Bearer " + value.partition(b" ")[2]), *others))


def _cases() -> list[Case]:
    by_scheme = [case for row, requests in _PROOFS.items() for case in rows(row, Sign.U, requests, prefix="dpop.")]
    # What is bound stays bound, however good the proof beside it is
    good = {f"{name}-as-bearer": _as_bearer(request) for name, request in _PROOFS[149].items()}
    return [*by_scheme, *rows(149, Sign.T, good, prefix="dpop.")]


CASES = _cases()
