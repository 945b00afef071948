"""Rows 1 to 24: the header, signed by the issuer's real key unless the signature is what is missing."""

from __future__ import annotations

import json
import zlib

from tests.attacks.corpus.case import Case, Sign, bearer, rows
from tests.attacks.corpus.jws import (
    ABSENT,
    b64,
    claims,
    compact,
    encode,
    header,
    nested,
    parts,
    raw_sign,
    sign,
    unclosed_strings,
    with_member,
)
from tests.attacks.corpus.keyring import RSA_1, good, headed, rs256


def _raw(head: bytes) -> str:
    return sign(RSA_1, head, claims())


def _alg() -> list[Case]:
    wrong_type = {
        "absent": headed(alg=ABSENT),
        "null": headed(alg=None),
        "number": headed(alg=1),
        "true": headed(alg=True),
        "list": headed(alg=["RS256"]),
        "object": headed(alg={"a": 1}),
        "empty": headed(alg=""),
    }
    almost = {
        "lower": headed(alg="rs256"),
        "space": headed(alg="RS256 "),
        "newline": headed(alg="RS256\n"),
        "nul": headed(alg="RS256\0"),
    }
    return rows(1, Sign.M, wrong_type, prefix="header.alg-") + rows(2, Sign.M, almost, prefix="header.alg-")


def _unsecured(alg: str, **changes: object) -> str:
    return f"{encode(header(alg=alg, **changes))}.{encode(claims())}."


def _none() -> list[Case]:
    unsecured = {
        "none": _unsecured("none"),
        "None": _unsecured("None"),
        "NONE": _unsecured("NONE"),
        "nOnE": _unsecured("nOnE"),
        "none-space": _unsecured("none "),
        "none-nul": _unsecured("none\0"),
        "no-kid": _unsecured("none", kid=ABSENT),
        "two-parts": _unsecured("none").rstrip("."),
    }
    _, payload, signature = parts(good())
    stripped = f"{encode(header(alg='none'))}.{payload}."
    return [
        *rows(3, Sign.M, unsecured, prefix="header.none-"),
        *rows(4, Sign.M, {"header.none-with-signature": stripped + signature}),
        *rows(4, Sign.M, {"cache.none": stripped}, before=(bearer(good()),)),
    ]


def _json() -> list[Case]:
    text = compact(header())
    not_object = {
        "array": _raw(b"[]"),
        "string": _raw(b'"x"'),
        "null": _raw(b"null"),
        "number": _raw(b"1"),
        "empty-object": _raw(b"{}"),
        "empty": _raw(b""),
    }
    nearly = {
        "cut": _raw(text[:-1]),
        "trailing": _raw(text + b"{}"),
        "trailing-nul": _raw(text + b"\0"),
        "single-quotes": _raw(text.replace(b'"', b"'")),
        "comment": _raw(b"/**/" + text),
        "trailing-comma": _raw(text[:-1] + b",}"),
        "control-char": _raw(text[:-1] + b',"note":"a\nb"}'),
    }
    other_encoding = {
        "utf16": _raw(text.decode("ascii").encode("utf-16-le")),
        "not-utf8": _raw(with_member(header(), "note", b'"\xff\xfe"')),
        "overlong-utf8": _raw(with_member(header(), "note", b'"\xc0\xaf"')),
    }
    bom = b"\xef\xbb\xbf"
    return [
        *rows(5, Sign.M, not_object, prefix="header.json-"),
        *rows(6, Sign.M, nearly, prefix="header.json-"),
        *rows(7, Sign.M, other_encoding, prefix="header.json-"),
        *rows(
            8,
            Sign.M,
            {"header.json-bom": _raw(bom + text), "json.bom": sign(RSA_1, header(), bom + compact(claims()))},
            policy=True,
        ),
        *rows(
            9,
            Sign.T,
            {
                "header.json-nan": _raw(with_member(header(), "note", b"NaN")),
                "json.nan": sign(RSA_1, header(), with_member(claims(), "note", b"NaN")),
                "json.infinity": sign(RSA_1, header(), with_member(claims(), "note", b"-Infinity")),
            },
        ),
    ]


def _duplicates() -> list[Case]:
    twice = {
        "alg-none-first": _raw(b'{"alg":"none","typ":"at+jwt","kid":"rsa-1","alg":"RS256"}'),
        "alg-none-last": _raw(b'{"alg":"RS256","typ":"at+jwt","kid":"rsa-1","alg":"none"}'),
        "alg-escaped": _raw(b'{"\\u0061lg":"none","typ":"at+jwt","kid":"rsa-1","alg":"RS256"}'),
        "kid-other-first": _raw(b'{"alg":"RS256","kid":"rsa-2","typ":"at+jwt","kid":"rsa-1"}'),
        "kid-other-last": _raw(b'{"alg":"RS256","kid":"rsa-1","typ":"at+jwt","kid":"rsa-2"}'),
        "kid-same": _raw(b'{"alg":"RS256","kid":"rsa-1","typ":"at+jwt","kid":"rsa-1"}'),
        "nested": _raw(with_member(header(), "note", b'{"a":1,"a":2}')),
    }
    return rows(10, Sign.M, twice, prefix="header.dup-", policy={"kid-same", "nested"})


def _size() -> list[Case]:
    return [
        *rows(
            11,
            Sign.L,
            {
                f"header.deep-{depth}": _raw(with_member(header(), "note", nested(depth)))
                for depth in (500, 3000, 50000)
            },
            policy=True,
        ),
        *rows(11, Sign.L, {"header.deep-unclosed": _raw(with_member(header(), "note", unclosed_strings(5000)))}),
        *rows(
            12,
            Sign.L,
            {
                "header.bignum": _raw(with_member(header(), "note", b"9" * 6000)),
                "json.bignum": sign(RSA_1, header(), with_member(claims(), "note", b"9" * 6000)),
            },
            policy=True,
        ),
        *rows(
            13,
            Sign.L,
            {
                "header.huge": headed(note="x" * 200_000),
                "header.alg-long": headed(alg="RS256" * 1800),
                "key.kid-long": headed(kid="rsa-1" * 4096),
            },
            policy=True,
        ),
    ]


def _crit() -> list[Case]:
    unknown = {
        "unknown": headed(crit=["ext"], ext=1),
        "exp": headed(crit=["exp"], exp=1),
        "absent-member": headed(crit=["ext"]),
        "twice": headed(crit=["ext", "ext"], ext=1),
    }
    wrong_type: dict[str, object] = {
        "string": "ext",
        "null": None,
        "object": {"ext": 1},
        "number": 1,
        "nested": [["ext"]],
    }
    wrong_member = {"number-in-list": headed(crit=[1], ext=1), "string-b64": headed(crit="xb64x", b64=False)}
    useless = {
        "empty": headed(crit=[]),
        "registered": headed(crit=["alg"]),
        "b64": headed(crit=["b64"], b64=True),
    }
    # The payload is base64url text in itself, so that a verifier which overlooks b64 would find good claims there.
    plain_payload = {"": headed(crit=["b64"], b64=False), "-no-crit": headed(b64=False)}
    return [
        *rows(14, Sign.M, unknown, prefix="header.crit-"),
        *rows(15, Sign.M, {name: headed(crit=crit, ext=1) for name, crit in wrong_type.items()}, prefix="header.crit-"),
        *rows(15, Sign.M, wrong_member, prefix="header.crit-"),
        *rows(16, Sign.M, useless, prefix="header.crit-", policy=True),
        *rows(17, Sign.M, plain_payload, prefix="header.b64-false"),
        *rows(17, Sign.M, {"header.b64-false-json": _unencoded()}),
    ]


def _unencoded() -> str:
    """RFC 7797 section 5.2 forbids dots in the payload, so they are escaped."""
    payload = compact(claims()).replace(b".", b"\\u002e")
    signed = encode(header(crit=["b64"], b64=False)).encode("ascii") + b"." + payload
    return signed.decode("ascii") + "." + b64(raw_sign(RSA_1, "RS256", signed))


def _typ() -> list[Case]:
    other_kinds = {
        "dpop": "dpop+jwt",
        "logout": "logout+jwt",
        "refresh": "rt+jwt",
        "secevent": "secevent+jwt",
        "prefix": "at+jwt-other",
        "text": "text/at+jwt",
    }
    odd: dict[str, object] = {
        "number": 1,
        "list": ["at+jwt"],
        "null": None,
        "space": "at+jwt ",
        "parameter": "at+jwt;v=1",
        "empty": "",
    }
    any_jwt = {"JWT": headed(typ="JWT"), "absent": headed(typ=ABSENT), "id_token": headed(typ="id_token")}
    fine = {
        "case": headed(typ="at+JWT"),
        "application": headed(typ="application/at+jwt"),
        "JWT": headed(typ="JWT"),
        "absent": headed(typ=ABSENT),
    }
    return [
        *rows(18, Sign.T, {name: headed(typ=typ) for name, typ in other_kinds.items()}, prefix="header.typ-"),
        *rows(19, Sign.T, any_jwt, prefix="header.typ-", profile="RFC9068"),
        *rows(
            20,
            Sign.T,
            {name: headed(typ=typ) for name, typ in odd.items()},
            prefix="header.typ-",
            policy={"null", "space", "parameter", "empty"},
        ),
        *rows(21, Sign.ACCEPT, fine, prefix="ok.typ-"),
        *rows(
            21,
            Sign.ACCEPT,
            {"rfc9068-case": headed(typ="at+JWT"), "rfc9068-application": headed(typ="application/at+jwt")},
            prefix="ok.typ-",
            profile="RFC9068",
        ),
    ]


def _rest() -> list[Case]:
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflate.compress(compact(claims())) + deflate.flush()
    spaced = json.dumps(header(), indent=2).encode(), json.dumps(claims(), indent=2).encode()
    return [
        *rows(22, Sign.T, {"header.zip": sign(RSA_1, header(zip="DEF"), deflated)}),
        *rows(23, Sign.T, {"header.cty-nested": sign(RSA_1, header(cty="JWT"), rs256().encode("ascii"))}),
        *rows(
            24,
            Sign.ACCEPT,
            {
                "ok.unknown-header": headed(nonce="canary-nonce", ext={"a": [1, None]}),
                "ok.json-whitespace": sign(RSA_1, *spaced),
            },
        ),
    ]


CASES = [*_alg(), *_none(), *_json(), *_duplicates(), *_size(), *_crit(), *_typ(), *_rest()]
