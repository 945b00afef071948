"""Whatever a stranger writes, a token is taken apart or refused, and by the letter of the RFCs."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from math import isinf, isnan
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from jwt_asgi import TokenError
from jwt_asgi._core.token import Untrusted, decode_segment, parse_token, strict_json_object
from tests.properties.strategies import JSON, STRINGS, examples

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
DEEP = 64


def encode(raw: bytes) -> bytes:
    return urlsafe_b64encode(raw).rstrip(b"=")


def taken_apart(token: str | bytes) -> Untrusted | None:
    try:
        return parse_token(token)
    except TokenError:
        return None


# --- tokens ---------------------------------------------------------------------------------------------------------


@examples(120)
@given(st.binary() | st.text(st.characters()) | st.text("eyJ.-_=e30 \n", max_size=40))
def test_any_text_is_taken_apart_or_refused_with_a_token_error(token: str | bytes) -> None:
    untrusted = taken_apart(token)
    assert untrusted is None or token.count("." if isinstance(token, str) else b".") == 2  # type: ignore[arg-type]


HEADERS = st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jku", "x"]), JSON)
GOOD_HEADERS = st.fixed_dictionaries(
    {"alg": st.text(max_size=8)}, optional={"kid": st.text(min_size=1, max_size=256), "typ": st.text(), "x": JSON}
)


@examples(100)
@given(HEADERS | GOOD_HEADERS, st.dictionaries(STRINGS, JSON, max_size=4), st.binary(max_size=80))
def test_a_token_of_any_json_is_taken_apart_to_just_that_or_refused(
    header: dict[str, Any], claims: dict[str, Any], signature: bytes
) -> None:
    head, body = encode(json.dumps(header).encode()), encode(json.dumps(claims).encode())
    untrusted = taken_apart(b".".join((head, body, encode(signature))))
    if untrusted is not None:
        assert untrusted.header == header
        assert untrusted.claims == claims
        assert untrusted.signature == signature
        assert untrusted.signing_input == head + b"." + body
        assert untrusted.alg == header["alg"]
        assert (untrusted.kid, untrusted.typ) == (header.get("kid"), header.get("typ"))
        assert not {"crit", "b64"} & set(header)


@examples(40)
@given(GOOD_HEADERS, st.dictionaries(st.text(max_size=5), st.integers() | st.text(), max_size=4), st.binary())
def test_a_good_token_is_always_taken_apart(header: dict[str, Any], claims: dict[str, Any], signature: bytes) -> None:
    header = {name: value for name, value in header.items() if name != "x"}
    for ascii_only in (True, False):
        parts = (json.dumps(part, ensure_ascii=ascii_only).encode() for part in (header, claims))
        untrusted = taken_apart(b".".join((*map(encode, parts), encode(signature))))
        assert untrusted is not None
        assert (untrusted.header, untrusted.claims, untrusted.signature) == (header, claims, signature)


# --- base64url ------------------------------------------------------------------------------------------------------


@examples(120)
@given(st.binary())
def test_every_byte_string_has_a_spelling_that_is_accepted(raw: bytes) -> None:
    assert decode_segment(encode(raw), "part") == raw


TEXTS = st.one_of(
    st.binary(max_size=40),
    st.lists(st.sampled_from(ALPHABET), max_size=40).map(bytes),
    st.lists(st.sampled_from(ALPHABET + b"+/= \n\x00~"), max_size=12).map(bytes),
)


@examples(200)
@given(TEXTS)
@example(b"Zh")
@example(b"A")
def test_no_byte_string_has_a_second_spelling(text: bytes) -> None:
    canonical = len(text) % 4 != 1 and set(text) <= set(ALPHABET)
    try:
        raw = decode_segment(text, "part")
    except TokenError:
        # of the four characters that would do in the last place, or sixteen, it was another one than the canonical
        assert not canonical or len(text) % 4 in {2, 3}
        return
    assert canonical
    assert encode(raw) == text


# --- JSON -----------------------------------------------------------------------------------------------------------


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError
    return dict(pairs)


def check(value: object, depth: int = 0) -> None:
    """Raise ValueError for what the standard library lets pass."""
    if isinstance(value, (dict, list)):
        if depth >= DEEP:
            raise ValueError
        for inner in value:
            check(inner, depth + 1)
        for inner in value.values() if isinstance(value, dict) else ():
            check(inner, depth + 1)
    if isinstance(value, str):
        value.encode("utf-8")
    if isinstance(value, float) and (isnan(value) or isinf(value)):
        raise ValueError


def reference(raw: bytes) -> dict[str, Any] | None:
    """Strict JSON by the standard library and explicit checks; None where it is not that."""
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=unique)
        check(value)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def accepted(raw: bytes) -> dict[str, Any] | None:
    try:
        return strict_json_object(raw)
    except ValueError:
        return None


FRAGMENTS = st.one_of(
    JSON.map(json.dumps),
    st.text(max_size=5).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.sampled_from(
        [
            *("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e308", "-0", "0.0", "01", "1.", ".5", "+1", "1E+2"),
            *('"\\ud800"', '"\\ud83d\\ude00"', '"\\\\ud800"', '"\\u00"', '"\\x"', '"\n"', '"\x7f"', '"[{"', '"\\""'),
            *("nul", "true", "{}", "[]", "[", "{", "", "'a'", "/**/1", "1" * 4300, "1" * 4301, "[" * 70 + "]" * 70),
            *("[" * 62 + "]" * 62, "[" * 63 + "]" * 63, "[" * 64 + "]" * 64, '{"a":' * 64 + "1" + "}" * 64),
            *("[" * 70 + '"' + '\\"' * 20, "[[]" + ",[]" * 70 + "]"),
        ]
    ),
)
NAMES = st.sampled_from(['"a"', '"b"', '"\\u0061"', '"\\ud800"', '"é"', '""', "a"])
SPACE = st.sampled_from(["", "", " ", "\n\t\r", "\u00a0", "\ufeff"])


def an_object(pairs: list[tuple[str, str]], space: str) -> str:
    return space + "{" + f",{space}".join(f"{name}:{space}{value}" for name, value in pairs) + "}" + space


OBJECTS = st.recursive(
    st.builds(an_object, st.lists(st.tuples(NAMES, FRAGMENTS), max_size=3), SPACE),
    lambda inner: st.builds(an_object, st.lists(st.tuples(NAMES, inner | FRAGMENTS), max_size=3), SPACE),
    max_leaves=4,
)


@examples(200)
@given(OBJECTS)
def test_strict_json_is_what_the_standard_library_and_explicit_checks_accept(text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    assert accepted(raw) == reference(raw)


@examples(80)
@given(st.dictionaries(STRINGS, JSON, max_size=4), st.data())
def test_so_it_is_with_a_byte_changed(value: dict[str, Any], data: st.DataObject) -> None:
    raw = bytearray(json.dumps(value).encode())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at : at + data.draw(st.integers(0, 2))] = data.draw(
        st.binary(max_size=2) | st.sampled_from([b'"', b"\\", b","])
    )
    assert accepted(bytes(raw)) == reference(bytes(raw))


@examples(80)
@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode("utf-16")))
def test_any_bytes_are_judged_alike(raw: bytes) -> None:
    assert accepted(raw) == reference(raw)
