"""Rows 110 to 120: exp, nbf and iat, rightly signed by the issuer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from tests.attacks.corpus.case import LEEWAY, Case, Sign, bearer, rows
from tests.attacks.corpus.jws import ABSENT, NOW, claims_text, header, sign
from tests.attacks.corpus.keyring import RSA_1, rs256

_NOT_FINITE = ("NaN", "Infinity", "-Infinity")
_MILLISECONDS = (NOW + 3600) * 1000


def _literal(name: str, text: str) -> str:
    """The claim's value written out, so that it may be what no JSON library would write."""
    return sign(RSA_1, header(), claims_text(**{name: text}))


def _each(name: str, values: Mapping[str, object]) -> dict[str, str]:
    return {f"{name}-{case}": rs256(**{name: value}) for case, value in values.items()}


def _past() -> list[Case]:
    past: dict[str, object] = {
        "past": NOW - LEEWAY - 5,
        "long-past": 1,
        "zero": 0,
        "minus": -1,
        "minus-zero": -0.0,
        "fraction-past": NOW - LEEWAY - 0.5,
    }
    return [
        *rows(110, Sign.T, _each("exp", past), prefix="time."),
        # RFC 7519 section 4.1.4: "on or after which the JWT MUST NOT be accepted"; the clock stands at NOW.
        *rows(110, Sign.T, _each("exp", {"on-time": NOW - LEEWAY}), prefix="time."),
        *rows(110, Sign.ACCEPT, _each("exp", {"in-time": NOW - LEEWAY + 1}), prefix="ok."),
        *rows(117, Sign.ACCEPT, _each("nbf", {"on-time": NOW + LEEWAY}), prefix="ok."),
        *rows(111, Sign.T, _each("exp", {"absent": ABSENT, "null": None}), prefix="time."),
    ]


def _wrong_type() -> list[Case]:
    date = dt.datetime.fromtimestamp(NOW + 3600, dt.UTC).isoformat()
    exp: dict[str, object] = {
        "string": str(NOW + 3600),
        "string-past": str(NOW - 3600),
        "word": "never",
        "true": True,
        "list": [NOW + 3600],
        "object": {"exp": NOW + 3600},
        "empty": "",
        "date": date,
    }
    nbf: dict[str, object] = {
        "string": str(NOW - 60),
        "string-past": "1",
        "word": "now",
        "true": True,
        "list": [NOW],
        "object": {},
        "null": None,
    }
    iat: dict[str, object] = {
        "future": NOW + 86_400,
        "huge": 10**400,
        "string": str(NOW),
        "word": "now",
        "true": True,
        "list": [NOW],
        "null": None,
    }
    return [
        *rows(112, Sign.T, _each("exp", exp), prefix="time."),
        *rows(118, Sign.T, _each("nbf", nbf), prefix="time.", policy={"nbf-null"}),
        *rows(119, Sign.T, _each("iat", iat), prefix="time.", policy={"iat-future", "iat-huge", "iat-null"}),
    ]


def _literals(name: str) -> list[Case]:
    not_finite = {f"{name}-{text}": _literal(name, text) for text in _NOT_FINITE}
    overflowing = {f"{name}-{text}": _literal(name, text) for text in ("1e999", "-1e999")}
    long = {f"{name}-6000-digits": _literal(name, "9" * 6000)}
    return [
        *rows(113, Sign.T, not_finite, prefix="time."),
        *rows(114, Sign.T, overflowing, prefix="time.", policy=True),
        *rows(115, Sign.T, long, prefix="time."),
    ]


def _far() -> list[Case]:
    exp: dict[str, object] = {"milliseconds": _MILLISECONDS, "huge": 10**400}
    nbf: dict[str, object] = {"future": NOW + 3600, "huge": 10**400, "milliseconds": (NOW - 60) * 1000}
    return [
        *rows(116, Sign.T, _each("exp", exp), prefix="time.", policy=True),
        *rows(117, Sign.T, _each("nbf", nbf), prefix="time."),
        *rows(117, Sign.T, _each("nbf", {"soon": NOW + LEEWAY + 5}), prefix="time."),
    ]


def _expiry() -> list[Case]:
    """Good for two more seconds, and judged again three seconds later (CVE-2026-107719)."""
    soon = NOW - LEEWAY + 2
    tokens = {"": rs256(exp=soon), "-no-iat": rs256(exp=soon, iat=ABSENT)}
    before = [Case(f"expiry.before{name}", 120, Sign.ACCEPT, bearer(token)) for name, token in tokens.items()]
    after = [
        Case(f"expiry.after{name}", 120, Sign.T, bearer(token), before=(bearer(token),), wait=3.0)
        for name, token in tokens.items()
    ]
    return [*before, *after]


CASES = [
    *_past(),
    *_wrong_type(),
    *(case for name in ("exp", "nbf", "iat") for case in _literals(name)),
    *_far(),
    *_expiry(),
]
