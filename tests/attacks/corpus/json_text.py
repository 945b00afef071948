"""Rows 85 to 92: the claims as JSON text, rightly signed by the issuer unless the row says otherwise."""

from __future__ import annotations

import json

from tests.attacks.corpus.case import AUDIENCE, ISSUER, Case, Sign, rows
from tests.attacks.corpus.jws import ABSENT, NOW, claims, compact, header, nested, sign, unclosed_strings, with_member
from tests.attacks.corpus.keyring import RSA_1, RSA_ATTACKER


def _signed(payload: bytes) -> str:
    return sign(RSA_1, header(), payload)


def _shape() -> list[Case]:
    text = compact(claims())
    not_object = {
        "array": _signed(b"[]"),
        "array-of-claims": _signed(b"[" + text + b"]"),
        "string": _signed(b'"x"'),
        "string-of-claims": _signed(json.dumps(text.decode("ascii")).encode()),
        "null": _signed(b"null"),
        "number": _signed(b"1"),
        "true": _signed(b"true"),
        "text": _signed(b"canary text"),
    }
    nearly = {
        "cut": _signed(text[:-1]),
        "trailing": _signed(text + b"{}"),
        "nul": _signed(text + b"\0"),
        "control": _signed(text[:-1] + b',"note":"a\nb"}'),
        "comment": _signed(text + b"//"),
        "trailing-comma": _signed(text[:-1] + b",}"),
        "single-quotes": _signed(text.replace(b'"', b"'")),
    }
    encoding = {
        "utf16": _signed(text.decode("ascii").encode("utf-16-le")),
        "utf16-be": _signed(text.decode("ascii").encode("utf-16-be")),
        "utf32": _signed(text.decode("ascii").encode("utf-32-le")),
        "not-utf8": _signed(with_member(claims(), "note", b'"\xff\xfe"')),
        "cesu": _signed(with_member(claims(), "note", b'"\xed\xa0\x80"')),
        "overlong": _signed(with_member(claims(), "note", b'"\xc0\xaf"')),
    }
    return [
        *rows(85, Sign.T, not_object, prefix="json."),
        *rows(85, Sign.M, {"json.empty": _signed(b"")}),
        *rows(86, Sign.T, nearly, prefix="json."),
        *rows(87, Sign.T, encoding, prefix="json."),
    ]


_TWICE: dict[str, tuple[object, object]] = {
    "exp": (NOW + 3600, NOW - 3600),
    "iss": (ISSUER, "https://evil.example"),
    "aud": (AUDIENCE, "https://other.example"),
}


def _twice(name: str, first: object, second: object, *, second_name: str | None = None) -> str:
    pairs = f'"{name}":{json.dumps(first)},"{second_name or name}":{json.dumps(second)}}}'
    return _signed(compact(claims(**{name: ABSENT}))[:-1] + b"," + pairs.encode("ascii"))


def _duplicates() -> list[Case]:
    last = {f"{name}-bad-last": _twice(name, good, bad) for name, (good, bad) in _TWICE.items()}
    good_exp, bad_exp = _TWICE["exp"]
    last["escaped"] = _twice("exp", good_exp, bad_exp, second_name="\\u0065xp")
    first = {f"{name}-bad-first": _twice(name, bad, good) for name, (good, bad) in _TWICE.items()}
    first["escaped-bad-first"] = _twice("exp", bad_exp, good_exp, second_name="\\u0065xp")
    first["nested"] = _signed(with_member(claims(), "note", b'{"a":1,"a":2}'))
    return [
        *rows(88, Sign.T, last, prefix="json.dup-"),
        *rows(89, Sign.T, first, prefix="json.dup-", policy=True),
    ]


def _deep(depth: int) -> bytes:
    return with_member(claims(), "note", nested(depth))


def _deep_objects(depth: int) -> bytes:
    return with_member(claims(), "note", b'{"a":' * depth + b"1" + b"}" * depth)


def _size() -> list[Case]:
    surrogate = with_member(claims(sub=ABSENT), "sub", b'"canary\\ud800"')
    deep = {
        "deep": _signed(_deep(50_000)),
        "deep-3000": _signed(_deep(3000)),
        # Few enough for CPython's parser; a serializer or a recursive copy has less room.
        "deep-500": _signed(_deep(500)),
        "deep-objects": _signed(_deep_objects(500)),
    }
    return [
        *rows(90, Sign.L, deep, prefix="json.", policy=True),
        *rows(
            91,
            Sign.L,
            {
                "json.deep-forged": sign(RSA_ATTACKER, header(), _deep(50_000)),
                "json.deep-forged-3000": sign(RSA_ATTACKER, header(), _deep(3000)),
                "json.deep-forged-unclosed": sign(
                    RSA_ATTACKER, header(), with_member(claims(), "note", unclosed_strings(5000))
                ),
            },
        ),
        *rows(
            92,
            Sign.L,
            {
                "json.surrogate": _signed(surrogate),
                "json.sub-crlf": _signed(compact(claims(sub="canary\r\nX-Admin: 1"))),
            },
            policy=True,
        ),
    ]


CASES = [*_shape(), *_duplicates(), *_size()]
