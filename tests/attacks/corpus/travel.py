"""Rows 123 to 134: how the token travels. The token itself is good throughout."""

from __future__ import annotations

from tests.attacks.corpus.case import Case, Headers, Request, Sign, rows
from tests.attacks.corpus.keyring import good

_TOKEN = good().encode("ascii")
_BAD = _TOKEN[:-8] + b"AAAAAAAA"
_BASIC = b"Basic Y2FuYXJ5OmNhbmFyeS1wYXNzd29yZA=="


def _auth(*values: bytes) -> Request:
    return Request(tuple((b"authorization", value) for value in values))


def _bearer(token: bytes = _TOKEN) -> bytes:
    return b"Bearer " + token


def _with(*headers: tuple[bytes, bytes]) -> Request:
    return Request(tuple(headers))


def _schemes() -> list[Case]:
    none = {
        "none": Request(),
        "head": Request(method="HEAD"),
        "override": _with((b"x-http-method-override", b"OPTIONS")),
    }
    empty = {
        "empty": _auth(b""),
        "blank": _auth(b"   "),
        "scheme-only": _auth(b"Bearer"),
        "scheme-space": _auth(b"Bearer "),
    }
    other = {
        "basic": _auth(_BASIC),
        "basic-token": _auth(b"Basic " + _TOKEN),
        "digest": _auth(b'Digest username="canary-user"'),
        "jwt-scheme": _auth(b"JWT " + _TOKEN),
        "token-scheme": _auth(b"Token " + _TOKEN),
        "token-only": _auth(_TOKEN),
        "dpop": _auth(b"DPoP " + _TOKEN),
    }
    glued = {
        "tab": _auth(b"Bearer\t" + _TOKEN),
        "nbsp": _auth(b"Bearer\xa0" + _TOKEN),
        "glued": _auth(b"Bearer" + _TOKEN),
        "colon": _auth(b"Bearer: " + _TOKEN),
        "comma": _auth(b"Bearer," + _TOKEN),
        "underscore": _auth(b"Bearer_" + _TOKEN),
        "parameter": _auth(b'Bearer token="' + _TOKEN + b'"'),
        "nul": _auth(b"Bearer\0" + _TOKEN),
        "ff": _auth(b"Bearer\xff" + _TOKEN),
        "vertical-tab": _auth(b"Bearer\x0b" + _TOKEN),
        "utf8-space": _auth(b"Bearer\xe2\x80\x83" + _TOKEN),
    }
    words = {
        "twice": _auth(b"Bearer " + _bearer()),
        "second-word": _auth(b"Bearer canary " + _TOKEN),
        "after": _auth(_bearer() + b" canary"),
        "list": _auth(_bearer() + b", " + _bearer()),
        "list-basic": _auth(_BASIC + b", " + _bearer()),
    }
    fine = {
        "bearer": _auth(b"bearer " + _TOKEN),
        "BEARER": _auth(b"BEARER " + _TOKEN),
        "bEaReR": _auth(b"bEaReR " + _TOKEN),
        "two-spaces": _auth(b"Bearer  " + _TOKEN),
    }
    return [
        *rows(123, Sign.N, none, prefix="http."),
        *rows(124, Sign.U, empty, prefix="http.auth-"),
        *rows(125, Sign.U, other, prefix="http.auth-"),
        *rows(126, Sign.U, glued, prefix="http.auth-"),
        *rows(127, Sign.U, words, prefix="http.auth-"),
        *rows(128, Sign.ACCEPT, fine, prefix="ok.scheme-", policy={"two-spaces"}),
    ]


def _two_fields() -> list[Case]:
    pairs = {
        "good-good": _auth(_bearer(), _bearer()),
        "good-bad": _auth(_bearer(), _bearer(_BAD)),
        "bad-good": _auth(_bearer(_BAD), _bearer()),
        "basic-bearer": _auth(_BASIC, _bearer()),
        "bearer-basic": _auth(_bearer(), _BASIC),
        "empty-good": _auth(b"", _bearer()),
        "good-empty": _auth(_bearer(), b""),
    }
    return rows(129, Sign.U, pairs, prefix="http.two-", policy=True)


def _elsewhere() -> list[Case]:
    form_type = (b"content-type", b"application/x-www-form-urlencoded")
    form = b"access_token=" + _TOKEN
    only = {
        "cookie": _with((b"cookie", b"access_token=" + _TOKEN)),
        "cookie-bearer": _with((b"cookie", b"Authorization=" + _bearer())),
        "x-access-token": _with((b"x-access-token", _TOKEN)),
        "proxy": _with((b"proxy-authorization", _bearer())),
        "x-authorization": _with((b"x-authorization", _bearer())),
        "forwarded": _with((b"x-forwarded-authorization", _bearer())),
        "underscore": _with((b"authorization_", _bearer())),
        "websocket": _with(
            (b"connection", b"upgrade"),
            (b"upgrade", b"websocket"),
            (b"sec-websocket-protocol", b"bearer, " + _TOKEN),
        ),
    }
    unsafe = {
        "query": Request(query=form),
        "form": Request((form_type,), method="POST", body=form),
    }
    also: Headers = ((b"authorization", _bearer()),)
    both = {
        "query": Request(also, query=form),
        "query-encoded": Request(also, query=b"a=b&access%5Ftoken=" + _TOKEN),
        "query-empty": Request(also, query=b"access_token="),
        "form": Request((*also, form_type), method="POST", body=form),
    }
    rubbish = _with((b"authorization", _bearer()), (b"cookie", b"access_token=rubbish; =; \xff"))
    return [
        *rows(130, Sign.C, only, prefix="http.only-"),
        *rows(131, Sign.ACCEPT, {"ok.bad-cookie": rubbish}),
        *rows(132, Sign.C, unsafe, prefix="http.only-", policy=True),
        *rows(133, Sign.U, both, prefix="http.also-", policy=True),
    ]


def _hosts() -> list[Case]:
    """CVE-2026-48710: an authority with a path in it must not choose the path that is judged."""
    hosts = {
        "query": b"a.example/health?",
        "fragment": b"a.example/health#",
        "docs": b"a.example/docs",
        "userinfo": b"x@a.example",
        "empty": b"",
    }
    return rows(
        134,
        Sign.U,
        {name: Request(((b"host", host),), path="/protected") for name, host in hosts.items()},
        prefix="http.host-",
    )


CASES = [*_schemes(), *_two_fields(), *_elsewhere(), *_hosts()]
