"""Token text -> Untrusted: bounded, strict; believes nothing."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from itertools import product
from time import perf_counter
from typing import Any

import pytest

from jwt_asgi import Reason, TokenError
from jwt_asgi._core.token import (
    MAX_DEPTH,
    MAX_FRACTIONS,
    MAX_KID_CHARACTERS,
    MAX_NESTED,
    decode_segment,
    parse_token,
    strict_json_object,
)
from tests.core.builders import compact, segment

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
HEADER = {"alg": "RS256", "kid": "key-1", "typ": "at+jwt"}


def oracle(text: bytes) -> bytes | None:
    """Base64url by RFC 4648 section 5, bit by bit, without padding; None where it is not canonical."""
    bits = ""
    for byte in text:
        if byte not in ALPHABET:
            return None
        bits += f"{ALPHABET.index(byte):06b}"
    whole, rest = bits[: len(bits) // 8 * 8], bits[len(bits) // 8 * 8 :]
    if "1" in rest or len(rest) >= 6:
        return None
    return bytes(int(whole[at : at + 8], 2) for at in range(0, len(whole), 8))


def decoded(text: bytes) -> bytes | None:
    try:
        return decode_segment(text, "part")
    except TokenError:
        return None


def refused(token: str | bytes) -> TokenError:
    with pytest.raises(TokenError) as caught:
        parse_token(token)
    return caught.value


def nested(depth: int, opening: str = "[", closing: str = "]") -> bytes:
    """An object that is `depth` deep in all."""
    return ('{"a":' + opening * (depth - 1) + ("1" if opening != "[" else "") + closing * (depth - 1) + "}").encode()


# --- the whole ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, bytes])
def test_a_token_is_taken_apart(kind: type[str | bytes]) -> None:
    # RFC 7515 appendix A.1 and A.2: the payload and, for shortness, a signature of three bytes
    text = (
        "eyJhbGciOiJSUzI1NiJ9"
        ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
        ".AQID"
    )
    untrusted = parse_token(text if kind is str else text.encode())
    assert untrusted.header == {"alg": "RS256"}
    assert untrusted.claims == {"iss": "joe", "exp": 1300819380, "http://example.com/is_root": True}
    assert untrusted.signing_input == text.rpartition(".")[0].encode()
    assert untrusted.signature == b"\x01\x02\x03"
    assert (untrusted.alg, untrusted.kid, untrusted.typ) == ("RS256", None, None)


def test_alg_kid_and_typ_are_read_from_the_header() -> None:
    untrusted = parse_token(compact({"alg": "ES256", "kid": "key-1", "typ": "JWT"}, {}))
    assert (untrusted.alg, untrusted.kid, untrusted.typ) == ("ES256", "key-1", "JWT")


@pytest.mark.parametrize("member", ["jku", "x5u", "jwk", "x5c", "x5t", "cty", "nonce", "zip", "whatever"])
def test_other_header_members_are_kept_and_mean_nothing(member: str) -> None:
    untrusted = parse_token(compact({"alg": "RS256", member: "https://evil.test"}, {}))
    assert untrusted.header == {"alg": "RS256", member: "https://evil.test"}


def test_an_empty_signature_is_taken_apart_like_any_other() -> None:
    assert parse_token(compact({"alg": "none"}, {}, b"")).signature == b""


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        pytest.param("", Reason.TOKEN_MALFORMED, id="empty"),
        pytest.param("abc", Reason.TOKEN_MALFORMED, id="one segment"),
        pytest.param("e30.e30", Reason.TOKEN_MALFORMED, id="two segments"),
        pytest.param("e30.e30.AA.AA", Reason.TOKEN_MALFORMED, id="four segments"),
        pytest.param("e30.e30.AA.AA.AA", Reason.TOKEN_ENCRYPTED, id="five segments"),
        pytest.param("....", Reason.TOKEN_ENCRYPTED, id="five empty segments"),
        pytest.param("e30.e30.AA.AA.AA.AA", Reason.TOKEN_MALFORMED, id="six segments"),
        pytest.param("..", Reason.TOKEN_MALFORMED, id="three empty segments"),
        pytest.param("." * 16_384, Reason.TOKEN_MALFORMED, id="dots alone"),
        pytest.param("é.e30.AA", Reason.TOKEN_MALFORMED, id="beyond ASCII"),
        pytest.param("\ud800.e30.AA", Reason.TOKEN_MALFORMED, id="a lone surrogate"),
        pytest.param(b"\xff.e30.AA", Reason.TOKEN_MALFORMED, id="a byte beyond ASCII"),
        pytest.param("Bearer e30.e30.AA", Reason.TOKEN_MALFORMED, id="with the scheme"),
        pytest.param('{"payload":"e30","signatures":[]}', Reason.TOKEN_MALFORMED, id="JSON serialization"),
        pytest.param("eyJhbGciOiJSUzI1NiJ9.e30.AA\n", Reason.TOKEN_MALFORMED, id="a line break at the end"),
    ],
)
def test_what_is_no_signed_jwt_is_refused(token: str | bytes, reason: Reason) -> None:
    assert refused(token).reason is reason


@pytest.mark.parametrize("token", [None, 7, True, bytearray(b"e30.e30.AA"), memoryview(b"a"), ["e30"], object()])
def test_what_is_no_text_is_refused(token: Any) -> None:
    error = refused(token)
    assert error.reason is Reason.TOKEN_MALFORMED
    assert type(token).__name__ in error.detail


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_flaw_in_the_encoding_of_any_part_is_refused(part: int) -> None:
    for flaw in (b"=", b" ", b"\n", b"+", b"/", b"\x00", b"%3D", b"~"):
        parts = compact(HEADER, {"a": 1}).split(b".")
        parts[part] += flaw
        assert refused(b".".join(parts)).reason is Reason.TOKEN_MALFORMED, flaw


@pytest.mark.parametrize(("part", "name"), [(0, "header"), (1, "payload"), (2, "signature")])
def test_the_message_names_the_part_and_shows_nothing_of_it(part: int, name: str) -> None:
    parts = compact(HEADER, {"a": 1}).split(b".")
    parts[part] = b"sEcReT=="
    error = refused(b".".join(parts))
    assert error.detail == f"the {name} is not base64url"
    assert "sEcReT" not in str(error)
    assert error.__suppress_context__


# --- its size -------------------------------------------------------------------------------------------------------


def test_a_token_of_exactly_16_kib_is_taken_apart() -> None:
    start = compact({"alg": "RS256", "kid": "key-1"}, {}, b"")
    token = start + b"A" * (16_384 - len(start))
    assert len(token) == 16_384
    assert parse_token(token).signature == bytes(12_255)


@pytest.mark.parametrize("token", ["a" * 16_385, b"a" * 16_385, "é" * 16_385, "." * 1_000_000])
def test_a_longer_token_is_refused_before_anything_is_looked_at(token: str | bytes) -> None:
    assert refused(token).reason is Reason.TOKEN_TOO_LARGE


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"[" * 65 + b'"' + b'\\"' * 6000, id="an unterminated string of escaped quotes"),
        pytest.param(b"[" * 65 + b'"' + b"\\\\" * 6000, id="an unterminated string of backslashes"),
        pytest.param(b"[" * 65 + b'"' * 12_001, id="quotes"),
        pytest.param(b"[" * 12_000, id="brackets"),
        pytest.param(b'{"a":' * 2400, id="objects"),
        pytest.param(b'{"a":' + b"[" * 65 + b"1" * 11_000, id="digits"),
        pytest.param(b'{"a":[' + b"[],[]," * 2000, id="many empty arrays"),
        pytest.param(b'{"a":"' + b"\\u" * 5000, id="half escapes"),
    ],
)
def test_no_token_within_the_limit_takes_long_to_refuse(payload: bytes) -> None:
    token = compact(HEADER, payload)
    assert len(token) <= 16_384
    began = perf_counter()
    assert refused(token).reason is Reason.TOKEN_MALFORMED
    # it takes a millisecond; a quadratic step took two seconds
    assert perf_counter() - began < 0.3


# --- base64url ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        # RFC 4648 section 10, without the padding
        (b"", b""),
        (b"Zg", b"f"),
        (b"Zm8", b"fo"),
        (b"Zm9v", b"foo"),
        (b"Zm9vYg", b"foob"),
        (b"Zm9vYmE", b"fooba"),
        (b"Zm9vYmFy", b"foobar"),
        (b"-_-_", b"\xfb\xff\xbf"),
        # RFC 7515 appendix C
        (b"A-z_4ME", b"\x03\xec\xff\xe0\xc1"),
    ],
)
def test_base64url_is_decoded(text: bytes, raw: bytes) -> None:
    assert decode_segment(text, "part") == raw


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"A", id="one character"),
        pytest.param(b"AAAAA", id="five characters"),
        pytest.param(b"Zg==", id="padded twice"),
        pytest.param(b"Zm8=", id="padded"),
        pytest.param(b"Zm9v=", id="padded needlessly"),
        pytest.param(b"====", id="padding alone"),
        pytest.param(b"=", id="a padding character alone"),
        pytest.param(b"Zh", id="unused bits set, of four"),
        pytest.param(b"Zm9", id="unused bits set, of two"),
        pytest.param(b"+/+/", id="the other alphabet"),
        pytest.param(b"Zm9v Zm9", id="a space"),
        pytest.param(b"Zm9\n", id="a line break"),
        pytest.param(b"Zm\x009", id="a NUL"),
        pytest.param(b"Zm9\xff", id="a byte beyond ASCII"),
        pytest.param("Zmé".encode(), id="UTF-8"),
        pytest.param(b"Zm.v", id="a dot"),
    ],
)
def test_what_is_not_strict_base64url_is_refused(text: bytes) -> None:
    with pytest.raises(TokenError) as caught:
        decode_segment(text, "part")
    assert caught.value.reason is Reason.TOKEN_MALFORMED


def test_every_short_text_is_judged_as_by_the_bits() -> None:
    every = range(256)
    texts = [b"", *map(bytes, product(every)), *map(bytes, product(ALPHABET + b"+/= \xff", every))]
    for text in texts:
        assert decoded(text) == oracle(text), text


def test_every_last_character_is_judged_as_by_the_bits() -> None:
    for stem, last in product((b"", b"A", b"AA", b"AAA", b"AAAA", b"AAAAA", b"AAAAAA", b"_____"), range(256)):
        text = stem + bytes([last])
        assert decoded(text) == oracle(text), text


def test_every_byte_has_one_spelling() -> None:
    spellings = [text for text in product(ALPHABET, repeat=2) if decoded(bytes(text)) is not None]
    assert len(spellings) == 256


# --- strict JSON ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"{}", {}),
        (b' \t\r\n{"a" : 1}\n', {"a": 1}),
        ('{"ключ":"значение"}'.encode(), {"ключ": "значение"}),
        (b'{"a":"\\u00e9"}', {"a": "é"}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "😀"}),
        (b'{"a":"\\\\ud800"}', {"a": "\\ud800"}),
        (b'{"a":{"a":{"a":1}}}', {"a": {"a": {"a": 1}}}),
        (b'{"a":1.5e3,"b":-0,"c":1E-400,"d":null}', {"a": 1500.0, "b": 0, "c": 0.0, "d": None}),
        (b'{"a":"[[[{{{"}', {"a": "[[[{{{"}),
        (b'{"a":' + b"1" * 4300 + b"}", {"a": int("1" * 4300)}),
        (b'{"":"","a ":0}', {"": "", "a ": 0}),
        (b'{"a":"\x7f"}', {"a": "\x7f"}),
    ],
)
def test_strict_json_is_read(raw: bytes, value: dict[str, Any]) -> None:
    assert strict_json_object(raw) == value


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="an array"),
        pytest.param(b'"text"', id="a string"),
        pytest.param(b"1", id="a number"),
        pytest.param(b"null", id="null"),
        pytest.param(b"true", id="true"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"{}{}", id="two objects"),
        pytest.param(b"{} x", id="something behind"),
        pytest.param(b'{"a":1,}', id="a comma at the end"),
        pytest.param(b"{'a':1}", id="single quotes"),
        pytest.param(b"{a:1}", id="a bare key"),
        pytest.param(b'{"a":1/*c*/}', id="a comment"),
        pytest.param(b'{"a":01}', id="a leading zero"),
        pytest.param(b'{"a":+1}', id="a plus sign"),
        pytest.param(b'{"a":.5}', id="no digit before the point"),
        pytest.param(b'{"a":0x10}', id="hexadecimal"),
        pytest.param(b'{"a":NaN}', id="NaN"),
        pytest.param(b'{"a":Infinity}', id="Infinity"),
        pytest.param(b'{"a":-Infinity}', id="-Infinity"),
        pytest.param(b'{"a":1e400}', id="a number without bounds"),
        pytest.param(b'{"a":-1e400}', id="a negative number without bounds"),
        pytest.param(b'{"a":' + b"1" * 4301 + b"}", id="an integer past the digit limit"),
        pytest.param(b'{"a":1,"a":1}', id="a duplicate member"),
        pytest.param(b'{"a":1,"\\u0061":2}', id="a duplicate member, escaped"),
        pytest.param(b'{"b":{"a":1,"a":1}}', id="a duplicate member below"),
        pytest.param(b'{"b":[{"a":1,"a":1}]}', id="a duplicate member in an array"),
        pytest.param(b'{"a":"\n"}', id="a control character in a string"),
        pytest.param(b'{"a":"\\x41"}', id="an escape that is none"),
        pytest.param(b'{"a":"\\ud800"}', id="a lone high surrogate"),
        pytest.param(b'{"a":"\\udc00\\ud800"}', id="surrogates in the wrong order"),
        pytest.param(b'{"\\ud800":1}', id="a lone surrogate in a name"),
        pytest.param(b'{"a":["\\udfff"]}', id="a lone surrogate in an array"),
        pytest.param(b'{"a":"\xff"}', id="a byte that is not UTF-8"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', id="a surrogate in UTF-8"),
        pytest.param(b'{"a":"\xc0\xaf"}', id="an overlong UTF-8 form"),
        pytest.param(b"\xef\xbb\xbf{}", id="a byte order mark"),
        pytest.param("{}".encode("utf-16"), id="UTF-16"),
        pytest.param("{}".encode("utf-16-le"), id="UTF-16 without a mark"),
        pytest.param("{}".encode("utf-32"), id="UTF-32"),
        pytest.param("\u00a0{}".encode(), id="white space that JSON does not know"),
        pytest.param(b"{}\x00", id="a NUL behind"),
    ],
)
def test_what_two_parsers_could_read_differently_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError):
        strict_json_object(raw)
    assert refused(compact(HEADER, raw)).reason is Reason.TOKEN_MALFORMED
    assert refused(compact(raw, {})).reason is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("raw", [b'{"a":"\\ud800"}', b'{"\\udfff":1}', b'{"a":["\\udc00\\ud800"]}'])
def test_lone_surrogates_pass_where_not_the_whole_must_be_text(raw: bytes) -> None:
    assert strict_json_object(raw, whole_text=False) == json.loads(raw)


@pytest.mark.parametrize("raw", [b'{"a":"\xed\xa0\x80"}', b'{"a":1,"a":1}', b'{"a":NaN}', b"[]", b'{"a":' + b"[" * 65])
def test_nothing_else_passes_there(raw: bytes) -> None:
    with pytest.raises(ValueError):
        strict_json_object(raw, whole_text=False)


def test_the_depth_limit_is_64() -> None:
    assert MAX_DEPTH == 64


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")], ids=["arrays", "objects"])
@pytest.mark.parametrize(
    "build",
    [
        pytest.param(nested, id="alone"),
        pytest.param(lambda *of: nested(*of)[:-1] + b',"b":"' + b"[{" * 100 + b'"}', id="beside brackets in a string"),
        pytest.param(lambda *of: nested(*of)[:-1] + b',"b":"\\"[[' + b"\\\\" * 3 + b'"}', id="beside escaped quotes"),
        pytest.param(lambda *of: nested(*of)[:-1] + b',"b":[' + b"[]," * 100 + b"[]]}", id="beside many arrays"),
    ],
)
def test_json_is_read_down_to_64_levels_and_no_deeper(build: Callable[..., bytes], opening: str, closing: str) -> None:
    assert json.loads(build(64, opening, closing)) == strict_json_object(build(64, opening, closing))
    with pytest.raises(ValueError, match="nested too deep"):
        strict_json_object(build(65, opening, closing))


@pytest.mark.parametrize("depth", [1_000, 5_000, 12_000])
def test_json_deeper_than_the_parser_goes_is_refused_and_nothing_else_is_raised(depth: int) -> None:
    assert refused(compact(HEADER, b'{"a":' + b"[" * depth + b"]" * min(depth, 100) + b"}")).reason in {
        Reason.TOKEN_MALFORMED,
        Reason.TOKEN_TOO_LARGE,
    }
    with pytest.raises(ValueError, match="nested too deep"):
        strict_json_object(b'{"a":' + b"[" * depth + b"]" * depth + b"}", whole_text=False)


def test_a_caller_near_the_end_of_the_stack_gets_a_value_error() -> None:
    raw = nested(64)

    def descend(levels: int) -> object:
        if levels:
            return descend(levels - 1)
        try:
            return strict_json_object(raw)
        except ValueError as error:
            return str(error)

    depth = len(inspect.stack(0))
    room = sys.getrecursionlimit() - depth
    outcomes = []
    for spare in range(70, 0, -1):
        try:
            outcomes.append(descend(room - spare))
        except RecursionError:
            break
    assert "nested too deep" in outcomes


ESCAPES = (
    *(r"\ud800", r"\uDBFF", r"\udc00", r"\uDFFF", r"\ud7ff", r"\ue000", r"\u0041"),
    *(r"\\", r"\n", r"\"", "a", "ud800"),
)


@pytest.mark.parametrize("first", ESCAPES)
def test_a_text_that_cannot_be_encoded_again_is_found_among_escapes(first: str) -> None:
    for rest in product(ESCAPES, repeat=3):
        raw = f'{{"a":"{first}{"".join(rest)}"}}'.encode()
        try:
            json.loads(raw)["a"].encode()
        except UnicodeEncodeError:
            with pytest.raises(ValueError, match="half of a character"):
                strict_json_object(raw)
            assert strict_json_object(raw, whole_text=False) == json.loads(raw)
        else:
            assert strict_json_object(raw) == json.loads(raw)


@pytest.mark.parametrize("length", [2048, 2049, 6000])
@pytest.mark.parametrize("number", ["1e309", "-1E+400", "9" * 400 + ".0", "1e999"])
@pytest.mark.parametrize("place", ["NUMBER", "[0, {}, [NUMBER]]", '[{"c": {"d": [1, NUMBER]}}]'])
def test_a_number_without_bounds_is_found_in_a_text_of_any_length(length: int, number: str, place: str) -> None:
    begin = '{"a":' + place.replace("NUMBER", number) + ',"b":"'
    raw = (begin + "x" * (length - len(begin) - 2) + '"}').encode()
    assert len(raw) == length
    with pytest.raises(ValueError, match="a number without bounds"):
        strict_json_object(raw)


@pytest.mark.parametrize("number", ["1e9", "0.5", "1e-320", "-1.5E+3"])
def test_a_token_has_512_fractions_at_most(number: str) -> None:
    most = '{"a":[' + ",".join([number] * MAX_FRACTIONS) + '],"b":"' + "x" * 2_000 + '"}'
    more = most.replace("[", f"[1,{number},")
    assert most.count(number) == 512
    assert strict_json_object(most.encode()) == json.loads(most)
    with pytest.raises(ValueError, match="too many fractions"):
        strict_json_object(more.encode())
    assert strict_json_object(more.encode(), whole_text=False) == json.loads(more)
    with pytest.raises(ValueError, match="too many fractions"):
        strict_json_object(('{"a":[' + ",".join([number] * 513) + "]}").encode())
    with pytest.raises(TokenError) as caught:
        parse_token(compact({"alg": "RS256"}, more.encode()))
    assert caught.value.reason is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("unit", ["[]", "{}", '{"a":{}}', "[[]]"])
def test_a_token_opens_1024_brackets_at_most(unit: str) -> None:
    fit = (MAX_NESTED - 2) // (unit.count("[") + unit.count("{"))
    most = '{"a":[' + ",".join([unit] * fit) + "]}"
    more = most[:-2] + ",[],[]]}"
    assert (most + more).count("[") + (most + more).count("{") == 1024 + 1026
    assert len(parse_token(compact({"alg": "RS256"}, most.encode())).claims["a"]) == fit
    with pytest.raises(TokenError) as caught:
        parse_token(compact({"alg": "RS256"}, more.encode()))
    assert caught.value.reason is Reason.TOKEN_MALFORMED
    with pytest.raises(ValueError, match="too many arrays and objects"):
        strict_json_object(more.encode())
    assert len(strict_json_object(more.encode(), whole_text=False)["a"]) == fit + 2


# --- the header -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, 7, 1.5, True, [], ["RS256"], {}, {"a": 1}])
def test_alg_must_be_a_string(value: object) -> None:
    assert refused(compact({"alg": value}, {})).reason is Reason.HEADER_MALFORMED


def test_alg_must_be_there() -> None:
    assert refused(compact({"typ": "JWT"}, {})).reason is Reason.HEADER_MALFORMED


@pytest.mark.parametrize("alg", ["", "none", "None", "HS256", "rs256", "RS256 ", "\x00"])
def test_any_string_may_be_the_alg_since_the_policy_judges_it(alg: str) -> None:
    assert parse_token(compact({"alg": alg}, {})).alg == alg


@pytest.mark.parametrize("value", [None, 7, 0, True, [], ["a"], {}, "", "k" * 257])
def test_kid_must_be_a_string_of_1_to_256_characters(value: object) -> None:
    error = refused(compact({"alg": "RS256", "kid": value}, {}))
    assert error.reason is Reason.HEADER_MALFORMED
    assert "1 to 256" in error.detail


@pytest.mark.parametrize("kid", ["k", "k" * 256, "é" * 256, "😀" * 256, "../../etc/passwd", "' or 1=1 --", "\x00", " "])
def test_every_other_string_may_be_the_kid(kid: str) -> None:
    assert parse_token(compact({"alg": "RS256", "kid": kid}, {})).kid == kid


def test_the_longest_kid_has_256_characters() -> None:
    assert MAX_KID_CHARACTERS == 256


@pytest.mark.parametrize("value", [None, 7, False, [], ["JWT"], {}])
def test_typ_must_be_a_string(value: object) -> None:
    assert refused(compact({"alg": "RS256", "typ": value}, {})).reason is Reason.TYPE_NOT_ACCEPTED


@pytest.mark.parametrize("typ", ["", "JWT", "logout+jwt"])
def test_any_string_may_be_the_typ_since_the_policy_judges_it(typ: str) -> None:
    assert parse_token(compact({"alg": "RS256", "typ": typ}, {})).typ == typ


@pytest.mark.parametrize("value", [None, 5, True, [], ["exp"], ["b64"], [[]], [5], "exp", {}, ["kid", "kid"]])
def test_an_extension_is_refused_whatever_it_says(value: object) -> None:
    for member in ("crit", "b64"):
        assert refused(compact({"alg": "RS256", member: value}, {})).reason is Reason.HEADER_CRITICAL, member


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"crit": ["exp"], "alg": 7}, Reason.HEADER_CRITICAL),
        ({"alg": 7, "kid": 7, "typ": 7}, Reason.HEADER_MALFORMED),
        ({"alg": "RS256", "kid": 7, "typ": 7}, Reason.HEADER_MALFORMED),
    ],
)
def test_of_several_faults_in_the_header_the_weightiest_is_named(header: dict[str, Any], reason: Reason) -> None:
    assert refused(compact(header, {})).reason is reason


@pytest.mark.parametrize("size", [1, 100, 400, 1000, 8000], ids="{} characters more".format)
def test_a_header_that_was_read_before_is_judged_as_the_first_time(size: int) -> None:
    filler = "x" * size
    good = compact({"alg": "RS256", "kid": "key-1", "typ": "JWT", "x": filler}, {"a": 1})
    bad = compact({"alg": "RS256", "crit": ["x"], "x": filler}, {"a": 1})
    other = compact({"alg": "RS256", "kid": "key-2", "typ": "JWT", "x": filler}, {"a": 2}, b"another")
    for _ in range(3):
        untrusted = parse_token(good)
        assert untrusted.header == {"alg": "RS256", "kid": "key-1", "typ": "JWT", "x": filler}
        assert (untrusted.alg, untrusted.kid, untrusted.typ) == ("RS256", "key-1", "JWT")
        assert (untrusted.claims, untrusted.signature) == ({"a": 1}, b"not a signature")
        assert refused(bad).reason is Reason.HEADER_CRITICAL
        untrusted = parse_token(other)
        assert (untrusted.kid, untrusted.claims, untrusted.signature) == ("key-2", {"a": 2}, b"another")


def test_headers_are_shared_while_they_are_small() -> None:
    # 64 of them, of 512 bytes: what strangers send takes 32 KiB of memory at most
    for length, shared in ((512, True), (514, False)):
        filler = "x" * (length * 3 // 4 - len('{"alg":"RS256","x":""}'))
        token = compact({"alg": "RS256", "x": filler}, {})
        assert token.index(b".") == length
        assert (parse_token(token).header is parse_token(token).header) is shared


@pytest.mark.parametrize(
    ("token", "detail"),
    [
        (7, "expected the token as str or bytes; got int"),
        ("a" * 16_385, "expected at most 16384 bytes"),
        ("\u00e9", "expected ASCII alone"),
        ("a.b", "expected three segments, separated by dots"),
        (compact([], {}), "the header is not a JSON object in strict UTF-8"),
        (compact(HEADER, []), "the payload is not a JSON object in strict UTF-8"),
        (compact({"alg": 7}, {}), "expected alg to be a string"),
        (compact({"alg": "RS256", "kid": ""}, {}), "expected kid to be a string of 1 to 256 characters"),
        (compact({"alg": "RS256", "typ": 7}, {}), "expected typ to be a string"),
    ],
)
def test_a_refusal_says_what_was_expected(token: Any, detail: str) -> None:
    assert refused(token).detail == detail


def test_many_headers_do_not_mix() -> None:
    for _ in range(2):
        for number in range(200):
            untrusted = parse_token(compact({"alg": f"RS{number}", "kid": f"key-{number}"}, {"number": number}))
            assert (untrusted.alg, untrusted.kid) == (f"RS{number}", f"key-{number}")
            assert untrusted.claims == {"number": number}


def test_a_fault_in_the_header_comes_before_one_in_the_payload() -> None:
    assert refused(segment(b'{"alg":7}') + b".?.?").reason is Reason.HEADER_MALFORMED


def test_an_untrusted_token_cannot_be_changed() -> None:
    untrusted = parse_token(compact(HEADER, {}))
    with pytest.raises(AttributeError):
        untrusted.alg = "none"  # type: ignore[misc]
