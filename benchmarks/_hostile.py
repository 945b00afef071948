"""The worst that a request may hold, within the limits: for each step, what might take it longest."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from itertools import product
from string import ascii_letters, digits
from typing import Any, NamedTuple

from jwt_asgi._core.token import MAX_DEPTH
from tests.fuzz.packed import seeds

MAX_TOKEN_BYTES = 16 * 1024
MAX_REQUEST_BYTES = 64 * 1024
"""For query and path, and for all headers: what servers take at most, unless they are told otherwise."""
AUDIENCE, OTHERS = "https://api.test", [f"https://api-{number}.test/{'a' * 20}" for number in range(5_000)]
KID = "k" * 256
ISSUER = "https://issuer.test"
NOW = 1_800_000_000
# Of the length that a key of 2,048 bits makes
_SIGNATURE = urlsafe_b64encode(bytes(range(256))).rstrip(b"=").decode()
_HEADER = {"alg": "RS256", "typ": "at+jwt", "kid": KID}
# Good by every profile that the benchmark has
_CLAIMS = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "exp": NOW + 300,
    "iat": NOW,
    "sub": "user-1",
    "jti": "1",
    "client_id": AUDIENCE,
    "azp": "client-1",
    "typ": "Bearer",
}
_WORD = ascii_letters + digits


class Token(NamedTuple):
    """A token's text, and what is odd about it."""

    what: str
    text: bytes


class Ask(NamedTuple):
    """What a server hands over of a request, and what is odd about it."""

    what: str
    headers: list[tuple[bytes, bytes]]
    query: bytes = b""
    path: str = "/"


def tokens() -> Iterator[Token]:
    """Yield tokens that are as long as can be, without a signature.

    Each value is a claim, and a member of the header; some stand where a claim has a meaning.
    """
    for what, value in values(_room(_HEADER)).items():
        yield Token(f"a claim: {what}", _token(_HEADER, _CLAIMS, "x", value))
    for what, value in values(_room({}) - 30).items():
        yield Token(f"in the header: {what}", _token({"alg": "RS256"}, _CLAIMS, None, "", of_header=value))
    for what, name, value in meant(_room(_HEADER)):
        claims = {key: claim for key, claim in _CLAIMS.items() if key != name}
        yield Token(what, _token(_HEADER, claims, name, value))
    for name in ("alg", "kid", "typ"):
        yield Token(f"a long {name}", _token({**_HEADER, name: "K" * 11_000}, _CLAIMS, None, ""))
    yield Token("a long signature", b"e30.e30." + b"A" * (MAX_TOKEN_BYTES - 8))
    yield Token("a token of 700 bytes", _token(_HEADER, _CLAIMS, None, ""))
    for what, byte in (("dots", b"."), ("base64", b"A"), ("other base64", b"/"), ("padding", b"=")):
        yield Token(f"nothing but {what}", byte * MAX_TOKEN_BYTES)
    for dots in (b"A.A.%b", b"%b.A.A", b"A.%b.A"):
        for end in (b"A", b"=", b"+"):
            text = dots % (b"A" * (MAX_TOKEN_BYTES - 8))
            yield Token("a segment with odd ends", text[:-1] + end)
    for field in fields():
        yield Token("of the fuzzers' corpus", field.partition(b" ")[2])


def asks() -> Iterator[Ask]:
    """Yield requests whose headers, query or path are long and odd."""
    token = b"Bearer " + b"a" * 700
    for what, value in (
        ("spaces after Bearer", b"Bearer " + b" " * MAX_REQUEST_BYTES + b"a"),
        ("no space at all", b"B" * MAX_REQUEST_BYTES),
        ("no scheme", b"(" * MAX_REQUEST_BYTES),
        ("a token too long", b"Bearer " + b"a" * MAX_REQUEST_BYTES),
        ("'=' after the token", b"Bearer a" + b"=" * (MAX_TOKEN_BYTES - 1)),
        ("'=' before the token", b"Bearer " + b"=" * (MAX_TOKEN_BYTES - 1) + b"a"),
        ("'a=' as the token", b"Bearer " + b"a=" * (MAX_TOKEN_BYTES // 2)),
        ("bytes that no token has", b"Bearer " + b"\xff" * MAX_TOKEN_BYTES),
    ):
        yield Ask(what, [(b"authorization", value)])
    for what, name in (("headers", b"x"), ("Authorization headers", b"authorization")):
        yield Ask(f"10,000 {what}", [(name, b"")] * 10_000 + [(b"authorization", token)])
    for unit in (
        *(b"&", b"a&", b"=", b"&=", b"a=1&", b"%", b"%25", b"%2", b"%61", b"%26", b"%%26", b"&%61", b"%&", b"&a", b"+"),
        *(b"access_toke&", b"&access_toke%", b"&%61%63%63%65%73%73%5f%74%6F%6b%65", b"%26access_token=", b"\xff"),
        *(b"xaccess_token=1&", b"access_token[]=&", b";access_token="),
    ):
        query = (b"x" + unit * MAX_REQUEST_BYTES)[:MAX_REQUEST_BYTES]
        yield Ask(f"a query of {unit.decode('latin-1')!r}", [(b"authorization", token)], query)
    for part in ("a", "/", "/a", "/.", "/..", ".", "%", "%2", "%41", "/a.", "a/", "\\", ";", "\N{GRINNING FACE}", "\0"):
        path = "/v1/" + (part * MAX_REQUEST_BYTES)[:MAX_REQUEST_BYTES]
        yield Ask(f"a path of {part!r}", [(b"authorization", token)], path=path)


def fields() -> list[bytes]:
    """Return the Authorization headers of the corpus that the fuzzers begin with."""
    lines = [line for data in seeds("authorization") for line in data.split(b"\r\n")]
    return [line for line in lines if line[:7].lower() == b"bearer "]


def values(room: int) -> dict[str, str]:
    """Return JSON texts of this many bytes, each of one kind."""
    made = {
        f"{unit} many times": _many("[", unit, "]", room)
        for unit in (
            "[]",
            "{}",
            "[0]",
            "[[]]",
            '{"":0}',
            '{"":[]}',
            '{"":{}}',
            '{"a":0,"b":0}',
            "0",
            "-1",
            "null",
            "true",
            "[0,0,0]",
            '["a"]',
            '{"a":[]}',
            '{"a":0}',
        )
    }
    made |= {
        f"the number {number} many times": _many("[", number, "]", room)
        for number in ("0.0", "1e9", "1e-320", "9007199254740993.0", "2.2250738585072011e-308", "1e400", "-0.0e-0")
    }
    for length in (19, 100, 1_000, 4_000, 4_300, 4_301):
        made[f"integers of {length:,} digits"] = _many("[", "7" * length, "]", room)
        made[f"fractions of {length:,} digits"] = _many("[", "0." + "7" * length, "]", room)
    made["one number of many digits"] = "7" * room
    made["one fraction of many digits"] = "0." + "7" * (room - 2)
    made["one number with many zeros"] = "1" + "0" * (room - 3) + ".5"
    made["one exponent of many digits"] = "1e-" + "7" * (room - 3)
    for what, unit in (
        *(("letters", "a"), ("spaces", " "), ("escaped letters", r"\u0061"), ("escaped surrogates", r"\ud83d\ude00")),
        *(("lone surrogates", r"\ud83d"), ("escaped control characters", r"\u0000"), ("line breaks", r"\n")),
        *(("backslashes", r"\\"), ("characters beyond ASCII", "é"), ("beyond the BMP", "\N{GRINNING FACE}")),
        *(("control characters", "\1"), ("letters and line breaks", r"a\n"), ("combining characters", "\u0301")),
    ):
        made[f"a text of {what}"] = '"' + _fill(unit, room - 2) + '"'
    made["texts of one character"] = _many("[", '"a"', "]", room)
    made["empty texts"] = _many("[", '""', "]", room)
    made["escaped texts"] = _many("[", r'"\n"', "]", room)
    made["texts that are all different"] = _list(map(json.dumps, _words()), room)
    made["members"] = _object(_words(), room)
    made["escaped members"] = _object((rf"\u0061{word}" for word in _words()), room)
    made["long members"] = _object(("a" * 500 + word for word in _words()), room)
    made["the same member again"] = _object((word[:2] for word in _words()), room)
    made["white space"] = " " * (room - 1) + "0"
    for depth in (2, MAX_DEPTH - 2, MAX_DEPTH + 1, 900, 1_900):
        made[f"arrays {depth} deep"] = _many("[", "[" * depth + "]" * depth, "]", room)
        made[f"objects {depth} deep"] = _many("[", '{"":' * depth + "0" + "}" * depth, "]", room)
    # With an escape somewhere a text may hold half of a character, and is looked at once more
    return {what + also: text for what, text in made.items() for also, text in _with_escapes(text)}


def meant(room: int) -> Iterator[tuple[str, str, str]]:
    """Yield values for claims that have a meaning: what, the claim, its JSON."""
    names = {
        "words of one letter": _many("[", '"a"', "]", room),
        "different words": _list(map(json.dumps, _words()), room),
        "empty words": _many("[", '""', "]", room),
        "objects": _many("[", "{}", "]", room),
        "an object": _object(_words(), room, of="{}"),
        "an object with values": _object(_words(), room),
        "one long text": json.dumps("a" * (room - 20)),
        "spaces": json.dumps(" " * (room - 20)),
        "letters and spaces": json.dumps("a " * ((room - 20) // 2)),
        "words": json.dumps(" ".join(word for word, _ in zip(_words(), range(room // 5), strict=False))),
        "dashes": json.dumps("-" * (room - 20)),
        "no ASCII": json.dumps("\u0130" * ((room - 20) // 2), ensure_ascii=False),
        "a huge number": "7" * 4_300,
    }
    claims = (
        "aud",
        "scope",
        "scp",
        "roles",
        "permissions",
        "sub",
        "client_id",
        "azp",
        "typ",
        "iss",
        "exp",
        "iat",
        "cnf",
    )
    for (what, text), name in product(names.items(), (*claims, "urn:zitadel:iam:org:project:roles", "acr", "tenant")):
        yield f"{name} is {what}", name, text[: room - 40] if text.isdigit() else text
    with_ours = _list([*map(json.dumps, _first(_words(), room // 8)), json.dumps(AUDIENCE)], room)
    yield "aud is thousands, and ours", "aud", with_ours
    yield "aud is thousands of those that are accepted", "aud", _list(map(json.dumps, OTHERS), room)
    yield "realm_access has thousands of roles", "realm_access", '{"roles":' + names["different words"] + "}"
    yield "authorization_details are thousands", "authorization_details", _many("[", '{"type":"t"}', "]", room)
    details = '[{"type":"t","actions":' + names["empty words"] + "}]"
    yield "one of authorization_details has thousands of actions", "authorization_details", details


def _with_escapes(text: str) -> Iterator[tuple[str, str]]:
    yield "", text
    if text[0] in "[{":
        at = 1 if text[0] == "[" else text.index(":") + 1
        for also, escape in ((", and an escape", r"\n\u00e9"), (", and escaped surrogates", r"\ud83d\ude00")):
            rest = f'"{escape}",' if text[0] == "[" else f'"{escape}","":'
            yield also, text[:at] + rest + text[at:]


def _token(
    header: Mapping[str, Any], claims: Mapping[str, Any], name: str | None, value: str, of_header: str = ""
) -> bytes:
    """Return a token with one more claim, which is JSON already, or one more member of the header."""
    head = json.dumps(header)[:-1] + (f',"x":{of_header}}}' if of_header else "}")
    body = json.dumps(claims)[:-1] + ("}" if name is None else f',"{name}":{value}}}')
    return f"{_base64url(head)}.{_base64url(body)}.{_SIGNATURE}".encode()


def _room(header: Mapping[str, Any]) -> int:
    """Return how many bytes a claim may have beside these members."""
    left = MAX_TOKEN_BYTES - len(_token(header, _CLAIMS, None, ""))
    return left * 3 // 4 - 60


def _base64url(text: str) -> str:
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _words() -> Iterator[str]:
    for length in (1, 2, 3):
        yield from map("".join, product(_WORD, repeat=length))


def _first(words: Iterator[str], number: int) -> list[str]:
    return [word for word, _ in zip(words, range(number), strict=False)]


def _fill(unit: str, room: int) -> str:
    return unit * (room // len(unit.encode()))


def _many(begin: str, unit: str, end: str, room: int) -> str:
    return begin + ",".join([unit] * max(1, (room - 2) // (len(unit) + 1))) + end


def _list(texts: Iterator[str] | list[str], room: int) -> str:
    taken: list[str] = []
    for text in texts:
        room -= len(text) + 1
        if room < 2:
            break
        taken.append(text)
    return f"[{','.join(taken)}]"


def _object(names: Iterator[str], room: int, of: str = "0") -> str:
    return "{" + _list((f'"{name}":{of}' for name in names), room)[1:-1] + "}"
