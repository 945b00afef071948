"""Rows 93 to 109: what the claims say, rightly signed by the issuer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from tests.attacks.corpus.case import AUDIENCE, ISSUER, Case, Request, Sign, rows
from tests.attacks.corpus.jws import ABSENT, NOW, b64, claims, claims_text, header, sign
from tests.attacks.corpus.keyring import EC_ATTACKER, RSA_1, public_jwk, rs256, thumbprint

_EVIL = "https://evil.example"


def _each(name: str, values: Mapping[str, object]) -> dict[str, str]:
    return {f"{name}-{case}": rs256(**{name: value}) for case, value in values.items()}


def _issuer() -> list[Case]:
    wrong_type = {
        "absent": ABSENT,
        "null": None,
        "empty": "",
        "number": 1,
        "true": True,
        "object": {ISSUER: True},
    }
    in_list = {"list": [ISSUER], "list-mixed": [_EVIL, ISSUER]}
    part = {
        "suffix": f"{ISSUER}.evil.example",
        "prefix": ISSUER[:-1],
        "contains": f"{_EVIL}/{ISSUER}",
        "other": _EVIL,
        "pattern": ".*",
        "scheme-only": "https://",
    }
    url_equal = {
        "case": "https://ISSUER.example",
        "slash": f"{ISSUER}/",
        "space": f"{ISSUER} ",
        "newline": f"{ISSUER}\n",
        "nul": f"{ISSUER}\0",
        "port": f"{ISSUER}:443",
        "userinfo": "https://x@issuer.example",
        "http": "http://issuer.example",
        "fragment": f"{ISSUER}#x",
        "query": f"{ISSUER}?x",
        "percent": "https://%69ssuer.example",
    }
    lookalike = {
        "homoglyph": ISSUER.replace("e", "\u0435", 1),
        "fullwidth": ISSUER.replace("ss", "s\uff53"),
        "combining": ISSUER.replace("uer", "ue\u0301r"),
    }
    return [
        *rows(93, Sign.T, {"json.empty-object": sign(RSA_1, header(), {})}),
        *rows(93, Sign.T, _each("iss", wrong_type), prefix="claim."),
        *rows(94, Sign.T, _each("iss", in_list), prefix="claim."),
        *rows(95, Sign.T, _each("iss", part), prefix="claim."),
        *rows(96, Sign.T, _each("iss", url_equal), prefix="claim."),
        *rows(97, Sign.T, _each("iss", lookalike), prefix="claim."),
    ]


def _audience() -> list[Case]:
    missing = {
        "absent": ABSENT,
        "null": None,
        "empty": "",
        "empty-list": [],
        "number": 1,
        "true": True,
        "other": _EVIL,
        "others": [_EVIL, "https://api.evil.example"],
    }
    nesting = {
        "object": {AUDIENCE: True},
        "nested": [[AUDIENCE]],
        "in-object": [{AUDIENCE: True}],
        "null-list": [None],
    }
    part = {
        "suffix": f"{AUDIENCE}.evil.example",
        "prefix": AUDIENCE[:-1],
        "contains": f"{_EVIL}/{AUDIENCE}",
        "slash": f"{AUDIENCE}/",
        "case": AUDIENCE.replace("api", "API"),
        "newline": f"{AUDIENCE}\n",
    }
    joined = {
        "space-list": f"{AUDIENCE} x",
        "comma-list": f"{AUDIENCE},x",
        "star": "*",
        "star-list": ["*"],
        "characters": list(AUDIENCE),
    }
    return [
        *rows(98, Sign.T, _each("aud", missing), prefix="claim."),
        *rows(99, Sign.T, _each("aud", nesting), prefix="claim."),
        *rows(100, Sign.T, _each("aud", part), prefix="claim."),
        *rows(101, Sign.T, _each("aud", joined), prefix="claim."),
        *rows(
            102,
            Sign.T,
            _each("aud", {"mixed-types": [AUDIENCE, 1, None, "canary-audience"]}),
            prefix="claim.",
            policy=True,
        ),
    ]


def _accepted() -> list[Case]:
    fine = {
        "aud-list": rs256(aud=[AUDIENCE]),
        "aud-among-others": rs256(aud=["https://other.example", AUDIENCE]),
        "exp-fraction": rs256(exp=NOW + 3600.5),
        "exp-exponent": sign(RSA_1, header(), claims_text(exp="4e9")),
        "nbf-now": rs256(nbf=NOW),
        "extra-claims": rs256(extra={"a": [1, None, 2.5, "x"]}, roles=["canary-role"]),
        "unicode-sub": sign(RSA_1, header(), claims_text(sub='"канарейка 🐤"')),
        "large-claims": rs256(extra="x" * 6000),
    }
    return rows(103, Sign.ACCEPT, fine, prefix="ok.")


def _types() -> list[Case]:
    not_strings = {
        **_each("sub", {"number": 1, "list": ["canary-subject"], "object": {"a": 1}, "null": None}),
        **_each("jti", {"number": 1, "object": {"a": 1}}),
    }
    required = {f"{name}-absent": rs256(**{name: ABSENT}) for name in ("sub", "jti", "client_id", "iat")}
    scopes = {
        **_each("scope", {"number": 1, "object": {"admin": 1}, "null": None}),
        **_each("client_id", {"list": ["canary-client"], "number": 1}),
    }
    return [
        *rows(104, Sign.T, not_strings, prefix="claim."),
        *rows(105, Sign.T, required, prefix="claim.", profile="RFC9068", policy=True),
        *rows(106, Sign.T, scopes, prefix="claim.", policy=True),
    ]


def _id_token() -> str:
    digest = hashlib.sha256(b"access token").digest()
    payload = claims(
        aud="canary-client",
        scope=ABSENT,
        jti=ABSENT,
        client_id=ABSENT,
        nonce="canary-nonce",
        at_hash=b64(digest[:16]),
        auth_time=NOW - 5,
    )
    return sign(RSA_1, header(typ="JWT"), payload)


def _marked() -> dict[str, str]:
    """Tokens for this audience that say themselves that they are of another kind."""
    return {
        "id-token-use": sign(RSA_1, header(typ="JWT"), claims(token_use="id")),
        "refresh-typ": sign(RSA_1, header(typ="JWT"), claims(typ="Refresh")),
        "offline-typ": sign(RSA_1, header(typ="JWT"), claims(typ="Offline")),
    }


def _dpop_as_bearer() -> Request:
    """The token is bound to a key, and even the proof is sent, but the scheme is Bearer (RFC 9449 section 7.2)."""
    token = rs256(cnf={"jkt": thumbprint(EC_ATTACKER)})
    proof = sign(
        EC_ATTACKER,
        {"typ": "dpop+jwt", "alg": "ES256", "jwk": public_jwk(EC_ATTACKER)},
        {
            "jti": "canary-proof",
            "htm": "GET",
            "htu": "http://127.0.0.1:8000/",
            "iat": NOW,
            "ath": b64(hashlib.sha256(token.encode("ascii")).digest()),
        },
        "ES256",
    )
    return Request(((b"authorization", b"Bearer " + token.encode("ascii")), (b"dpop", proof.encode("ascii"))))


def _confirmation() -> list[Case]:
    odd: dict[str, object] = {
        "x5t": {"x5t#S256": b64(hashlib.sha256(b"certificate").digest())},
        "null": None,
        "empty": {},
        "list": ["canary-confirmation"],
        "jkt-number": {"jkt": 1},
        "unknown": {"canary-method": "x"},
    }
    return [
        *rows(107, Sign.T, {"claim.id-token": _id_token()}),
        *rows(107, Sign.T, _marked(), prefix="claim.", policy=True),
        *rows(108, Sign.T, {"claim.cnf-jkt": rs256(cnf={"jkt": thumbprint(EC_ATTACKER)})}),
        *rows(108, Sign.T, {"dpop.as-bearer": _dpop_as_bearer()}),
        *rows(109, Sign.T, _each("cnf", odd), prefix="claim.", policy=True),
    ]


CASES = [*_issuer(), *_audience(), *_accepted(), *_types(), *_confirmation()]
