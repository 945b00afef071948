"""Changes to JSON, base64url and tokens that leave the rest as it is, so that what lies behind a parser is reached."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any

from tests.fuzz.keys import b64, public_jwk, sign
from tests.fuzz.setups import AUDIENCE, ISSUER, LATER, NOW, SCOPE, TENANTS, token

Mutate = Callable[[bytes, int], bytes]
"""libFuzzer's own mutation of bytes."""

_SIGNERS = ("ed-1",) * 8 + ("ed-2", "ed-3", "ec-1", "ec-2", "ec-1", "ec-attacker", "p384", "rsa-1", "rsa-2", "rsa-ps")
_ALGORITHMS = ("EdDSA", "Ed25519", "ES256", "RS256", "PS256", "ES384", "none", "HS256", "RS512", "eddsa")
_FOR_KEY = {"ed": "EdDSA", "ec": "ES256", "p3": "ES384", "rs": "RS256"}
_DATES = (NOW, NOW + 31, NOW + 30, NOW - 30, NOW - 31, LATER, 0, -1, 1e12, 253402300800)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 0.5, 1e308, 10**30, "", " ", "a", "\x00", "\ud800", "é", "a b", "\x7f", "canary"),
    *([], {}, [[]], [None], [""], {"": ""}, ["a", "b"], ISSUER, [ISSUER], AUDIENCE, [AUDIENCE, 1], SCOPE, [SCOPE]),
    *(f"x {SCOPE}", "at+jwt", "JWT", "AT+JWT", "application/at+jwt", "refresh", "id-token", "x" * 256, "x" * 257),
    *("t1", "t2", "consumers", TENANTS.replace("{tenantid}", "t1"), TENANTS, *_DATES),
)
CLAIMS = (
    *("iss", "aud", "sub", "exp", "nbf", "iat", "jti", "client_id", "azp", "scope", "scp", "roles", "permissions"),
    *("cnf", "typ", "type", "token_use", "tid", "auth_time", "acr", "x"),
)
HEADERS = ("alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5c", "zip", "cty", "enc", "x")
KIDS = (*_SIGNERS[7:], "rsa-enc", "rsa-weak", "rsa-e1", "ec-off-curve", "oct-1", "unknown", "7", 7)
JWK_MEMBERS = ("kty", "crv", "x", "y", "n", "e", "d", "k", "kid", "use", "key_ops", "alg", "x5c", "issuer")
JWK_VALUES: tuple[Any, ...] = (
    *("RSA", "EC", "OKP", "oct", "AKP", "P-256", "P-384", "P-521", "secp256k1", "Ed25519", "Ed448", "X25519", "P-192"),
    *(
        "sig",
        "enc",
        ["verify"],
        ["sign"],
        ["verify", 1],
        "verify",
        "RS256",
        "PS256",
        "ES256",
        "ES256K",
        "EdDSA",
        "AQAB",
    ),
    *("AQ", "Aw", "Ag", "AAEAAQ", "AQAAAAA", "_____w", "A" * 43, "_" * 43, "A" * 86, "_" * 342, "g" + "A" * 340 + "Q"),
    *("A" * 342, "g" + "A" * 1365, TENANTS, "AQAB=", "AQ AB", "AQ+B", "AQAC", "A", *VALUES[:20], "x" * 257),
)
URLS = (
    *("https://issuer.example/jwks", "https://issuer.example:443/a?b=c", "http://issuer.example/jwks", "https:///x"),
    *("http://127.0.0.1/jwks", "https://a@issuer.example/", "https://issuer.example#x", "https://issuer.example:0/"),
    *("https://[::1]/", "https://[::1", "https://issuer.example\\@evil.example/", "HTTPS://ISSUER.EXAMPLE", "//x"),
    *("https://b\u00fccher.example/", "https://xn--bcher-kva.example/", "https://issuer.example/\n", "https://x%2ey/"),
    *("https://issuer.example/tenant", "https://issuer.example/tenant/", "https://issuer.example:99999/", "https:x"),
    *("https://0x7f.1/", "/jwks", "https://issuer.example./", "https://-a.example/", "https://issuer..example/"),
)
HEADER_NAMES = (b"cache-control", b"age", b"retry-after", b"etag", b"last-modified", b"date", b"expires", b"x")
HEADER_WORDS = (
    *(b"max-age=300", b"max-age=86400,", b'max-age="60"', b"no-store", b"no-cache", b"s-maxage=1", b"private,", b"="),
    *(b"Sun, 06 Nov 1994 08:49:37 GMT", b"Fri, 01 Jan 2027 00:00:00 +0000", b"Fri Jan  1 00:00:00 2027", b"2027"),
    *(b"-1", b"0", b"1", b"120", b"9" * 20, b"1e9", b"\xb2", b'"etag"', b'W/"etag"', b"\xe9", b"*", b"+9999", b"GMT"),
)
_ODD_TEXTS = (
    b"NaN",
    b"-0",
    b"1e400",
    b'"\\ud800"',
    b'"\\u0061"',
    b"1" * 4301,
    b"01",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\x00",
)


# Of numbers with more digits, and values with more levels, than Python writes
_TOO_MUCH = (ArithmeticError, RecursionError, ValueError)


class Chance:
    """One round of changes, the same for the same seed."""

    def __init__(self, seed: int, mutate: Mutate) -> None:
        self.random = random.Random(seed)
        self.mutate = mutate

    def one_in(self, count: int) -> bool:
        """Whether it happens."""
        return self.random.randrange(count) == 0

    def json(self, value: Any, names: Sequence[str], values: Sequence[Any]) -> Any:
        """A value in which one place is changed; it may be changed in place."""
        if isinstance(value, dict) and (value or self.one_in(2)) and not self.one_in(6):
            return self._object(value, names, values)
        if isinstance(value, list) and value and not self.one_in(6):
            at = self.random.randrange(len(value))
            match self.random.randrange(6):
                case 0:
                    del value[at]
                case 1:
                    value.insert(at, deepcopy(value[self.random.randrange(len(value))]))
                case _:
                    value[at] = self.json(value[at], names, values)
            return value
        return self._scalar(value, values)

    def _object(self, value: dict[str, Any], names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
        name = self.random.choice([*value, *names] if self.one_in(2) else [*value, self.random.choice(names)])
        match self.random.randrange(8):
            case 0:
                value.pop(name, None)
            case 1:
                value[self.random.choice(names)] = deepcopy(value.get(name))
            case 2 | 3:
                value[name] = deepcopy(self.random.choice(values))
            case _:
                value[name] = self.json(value.get(name), names, values)
        return value

    def _scalar(self, value: Any, values: Sequence[Any]) -> Any:
        match self.random.randrange(8):
            case 0:
                return [value]
            case 1:
                return {self.random.choice(("x", "", "roles")): value}
            case 2 | 3 if isinstance(value, str):
                return self.bytes(value.encode("utf-8", "surrogatepass"), 300).decode("utf-8", "replace")
            case 4 if isinstance(value, (int, float)):
                return value + self.random.choice((-1, 1, 0.5, 30, -3600))
            case _:
                return deepcopy(self.random.choice(values))

    def text(self, value: Any) -> bytes:
        """JSON text of a value, now and then odd."""
        spaced = self.one_in(4)
        raw = json.dumps(value, ensure_ascii=not self.one_in(3), separators=(", ", ": ") if spaced else (",", ":"))
        text = raw.encode("utf-8", "surrogatepass")
        return self._odd(text) if self.one_in(5) else text

    def _odd(self, text: bytes) -> bytes:
        at = self.random.choice([i for i, byte in enumerate(text) if byte in b'{}[],:"'] or [0])
        match self.random.randrange(6):
            case 0:
                return text[:at] + self.random.choice(_ODD_TEXTS) + text[at:]
            case 1:
                return text[:-1] + b"," + text[1:]  # every member twice
            case 2:
                depth = self.random.choice((60, 61, 62, 63, 64, 65))
                return text[:-1] + b',"deep":' + b"[" * depth + b"]" * depth + b"}"
            case 3:
                return b" \t\r\n" + text + b"\n"
            case 4:
                return text[:at]
            case _:
                return self.bytes(text, len(text) + 20)

    def bytes(self, data: bytes, most: int) -> bytes:
        """What libFuzzer makes of it."""
        return self.mutate(data, max(most, len(data), 1)) if data else self.random.choice((b"", b"A", b"."))


def change_authorization(data: bytes, most: int, seed: int, mutate: Mutate) -> bytes:
    """An input of the door, changed: mostly inside a token, which is mostly signed anew."""
    chance = Chance(seed, mutate)
    if chance.one_in(8):
        return mutate(data, most)
    try:
        return _change_fields(chance, data)[:most]
    except _TOO_MUCH:
        return mutate(data, most)


def _change_fields(chance: Chance, data: bytes) -> bytes:
    lines = data.split(b"\r\n")
    bearers = [i for i, line in enumerate(lines) if line[:7].lower() == b"bearer "]
    if chance.one_in(12) or not bearers:
        return b"\r\n".join(_change_lines(chance, lines))
    at = chance.random.choice(bearers)
    lines[at] = lines[at][:7] + _change_token(chance, lines[at][7:])
    return b"\r\n".join(lines)


def _change_lines(chance: Chance, lines: list[bytes]) -> Iterable[bytes]:
    pick, at = chance.random.choice, chance.random.randrange(len(lines))
    before, line, after = lines[:at], lines[at], lines[at + 1 :]
    return pick(
        [
            [b"@" + bytes([chance.random.randrange(4)]), *(line for line in lines if line[:1] != b"@")],
            [*lines, b"?" + pick((b"access_token=", b"a=b&access%5Ftoken", b"x=1;access_token"))],
            [*lines, line],
            [*before, *after],
            [*before, line.replace(b" ", pick((b"  ", b"\t", b"")), 1), *after],
            [*lines, b"Bearer " + token("EdDSA", "ed-1")],
            [*before, chance.bytes(line, 200), *after],
        ]
    )


def _change_token(chance: Chance, text: bytes) -> bytes:
    segments = text.split(b".")
    if len(segments) != 3 or chance.one_in(12):
        return chance.bytes(text, len(text) + 50) if chance.one_in(2) else token("EdDSA", "ed-1")
    decoded = [_decode(segment) for segment in segments]
    which = chance.random.choice((0, 1, 1, 1, 1, 2))
    if which == 2:
        decoded[2] = chance.bytes(decoded[2], 300)
        return b".".join((segments[0], segments[1], _encode(chance, decoded[2])))
    try:
        value = json.loads(decoded[which])
    except (ValueError, RecursionError):
        decoded[which] = chance.bytes(decoded[which], 600)
    else:
        for _ in range(1 + chance.random.randrange(3)):
            value = chance.json(value, *((HEADERS, (*VALUES, *KIDS, *_ALGORITHMS)) if which == 0 else (CLAIMS, VALUES)))
        decoded[which] = chance.text(value)
    if chance.one_in(5):
        return b".".join((_encode(chance, decoded[0]), _encode(chance, decoded[1]), segments[2]))
    return _sign(chance, decoded[0], decoded[1])


def _sign(chance: Chance, head: bytes, claims: bytes) -> bytes:
    """Signed anew, mostly by a key that its header names, or with a header that fits its key."""
    try:
        header = json.loads(head)
        kid, alg = header.get("kid"), header.get("alg")
    except (ValueError, AttributeError, RecursionError):
        header, kid, alg = {}, None, None
    signer = kid if kid in _SIGNERS and not chance.one_in(10) else chance.random.choice(_SIGNERS)
    if isinstance(header, dict) and (alg not in _ALGORITHMS[:5] or signer != kid) and not chance.one_in(4):
        alg = _FOR_KEY[signer[:2]]
        head = chance.text(header | {"alg": alg, "kid": signer})
    if alg not in _ALGORITHMS[:5] or (str(alg)[:2] in {"RS", "PS"}) is not signer.startswith("rsa"):
        alg = _FOR_KEY[signer[:2]]
    signed = _encode(chance, head) + b"." + _encode(chance, claims)
    return signed + b"." + _encode(chance, sign(signer, alg, signed))


def _decode(segment: bytes) -> bytes:
    try:
        return base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    except ValueError:
        return segment


def _encode(chance: Chance, raw: bytes) -> bytes:
    text = b64(raw).encode()
    if not chance.one_in(40):
        return text
    odd = (text + b"=", text[:-1] + b"B", text + b"\n", text.replace(b"-", b"+"), text + b"A", b" " + text)
    return chance.random.choice(odd)


def change_jwks(data: bytes, most: int, seed: int, mutate: Mutate) -> bytes:
    """A JWK Set, changed."""
    return _change_json(Chance(seed, mutate), data, most, ("keys", *JWK_MEMBERS), JWK_VALUES)


def change_metadata(data: bytes, most: int, seed: int, mutate: Mutate) -> bytes:
    """Metadata of an issuer, changed."""
    return _change_json(Chance(seed, mutate), data, most, ("issuer", "jwks_uri", "x"), (*URLS, *VALUES[:40]))


def _change_json(chance: Chance, data: bytes, most: int, names: Sequence[str], values: Sequence[Any]) -> bytes:
    try:
        value = None if chance.one_in(8) else json.loads(data)
        if value is None:
            return chance.mutate(data, most)
        for _ in range(1 + chance.random.randrange(3)):
            members = value.get("keys") if isinstance(value, dict) else None
            if isinstance(members, list) and chance.one_in(4):
                members.insert(chance.random.randrange(len(members) + 1), _a_jwk(chance))
            value = chance.json(value, names, values)
        return chance.text(value)[:most]
    except _TOO_MUCH:
        return chance.mutate(data, most)


def _a_jwk(chance: Chance) -> dict[str, Any]:
    name = chance.random.choice(("ed-1", "ec-1", "p384", "p521", "k1", "rsa-1", "rsa-weak"))
    return public_jwk(name, kid=chance.random.choice((name, name, "same", None)))


def change_headers(data: bytes, most: int, seed: int, mutate: Mutate) -> bytes:
    """Headers of an answer, changed."""
    chance = Chance(seed, mutate)
    if chance.one_in(4):
        return mutate(data, most)
    lines = data.split(b"\r\n")
    at, pick = chance.random.randrange(len(lines)), chance.random.choice
    name, colon, value = lines[at].partition(b":")
    words = value.split(b" ")
    word = chance.random.randrange(len(words))
    changed = [
        name + colon + chance.bytes(value, 60),
        name + colon + b" ".join([*words[:word], pick(HEADER_WORDS), *words[word + 1 :]]),
        name + colon + b" ".join([*words[:word], chance.bytes(words[word], 20), *words[word:]]),
        name + b": " + pick(HEADER_WORDS),
        pick(HEADER_NAMES) + b": " + value.strip(),
    ]
    if chance.one_in(4):
        lines.append(pick(HEADER_NAMES) + b": " + pick(HEADER_WORDS))
    lines[at] = pick((b"200", b"304", b"429", b"503", b"404")) if at == 0 else pick(changed)
    return b"\r\n".join(lines)[:most]
