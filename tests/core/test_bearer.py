"""Header lines -> the one token, nothing, or an error."""

from __future__ import annotations

from itertools import product
from urllib.parse import parse_qsl

import pytest

from jwt_asgi import Reason, TokenError
from jwt_asgi._core.bearer import MAX_TOKEN_BYTES, NoToken, bearer_token
from tests.calls import calls_of

ALLOWED = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/"


def of(value: bytes, query: bytes = b"") -> bytes | NoToken:
    return bearer_token([(b"authorization", value)], query)


def refused(value: bytes, query: bytes = b"") -> Reason:
    with pytest.raises(TokenError) as caught:
        of(value, query)
    return caught.value.reason


@pytest.mark.parametrize(
    ("value", "token"),
    [
        pytest.param(b"Bearer abc", b"abc", id="plain"),
        pytest.param(b"bearer abc", b"abc", id="lower case scheme"),
        pytest.param(b"BEARER abc", b"abc", id="upper case scheme"),
        pytest.param(b"bEaReR abc", b"abc", id="mixed case scheme"),
        pytest.param(b"Bearer    abc", b"abc", id="several spaces (RFC 9110 section 11.4: 1*SP)"),
        pytest.param(b"Bearer " + ALLOWED, ALLOWED, id="every character of b64token"),
        pytest.param(b"Bearer abc=", b"abc=", id="one padding character"),
        pytest.param(b"Bearer abc=====", b"abc=====", id="b64token ends in any number of ="),
        pytest.param(b"Bearer Bearer", b"Bearer", id="a token spelt like the scheme"),
    ],
)
def test_the_token_is_returned_as_it_was_sent(value: bytes, token: bytes) -> None:
    assert of(value) == token


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="empty header"),
        pytest.param(b" ", id="a space"),
        pytest.param(b" Bearer abc", id="a space before the scheme"),
        pytest.param(b"\tBearer abc", id="a tab before the scheme"),
        pytest.param(b"Bearer", id="no token"),
        pytest.param(b"Bearer ", id="an empty token"),
        pytest.param(b"Bearer    ", id="spaces alone"),
        pytest.param(b"Bearer\tabc", id="a tab for the space"),
        pytest.param(b"Bearer\xa0abc", id="a no-break space for the space"),
        pytest.param(b"Bearer \tabc", id="a tab before the token"),
        pytest.param(b"Bearer abc ", id="a space after the token"),
        pytest.param(b"Bearer abc\t", id="a tab after the token"),
        pytest.param(b"Bearer abc\r\n", id="a line break after the token"),
        pytest.param(b"Bearer abc def", id="two tokens"),
        pytest.param(b"Bearer abc, Bearer def", id="two credentials"),
        pytest.param(b"Bearer abc,def", id="a list"),
        pytest.param(b"Bearer, Basic abc", id="a list of schemes"),
        pytest.param(b'Bearer "abc"', id="quotes"),
        pytest.param(b'Bearer token="abc"', id="a parameter"),
        pytest.param(b"Bearer: abc", id="a colon"),
        pytest.param(b"Bearer=abc", id="an equals sign for the space"),
        pytest.param(b"Bearer =", id="padding alone"),
        pytest.param(b"Bearer =abc", id="padding first"),
        pytest.param(b"Bearer a=b", id="padding in the middle"),
        pytest.param(b"Bearer a=b=", id="padding in the middle and at the end"),
        pytest.param(b"Bearer ab%3D", id="percent encoding"),
        pytest.param(b"Bearer ab\x00", id="a NUL"),
        pytest.param(b"Bearer ab\xff", id="a byte beyond ASCII"),
        pytest.param("Bearer aé".encode(), id="UTF-8"),
        pytest.param(b"(comment) abc", id="a scheme that is no token of RFC 9110"),
    ],
)
def test_a_malformed_header_is_refused(value: bytes) -> None:
    assert refused(value) is Reason.CREDENTIALS_MALFORMED


def test_no_other_byte_than_those_of_b64token_is_taken() -> None:
    for byte in set(range(256)) - set(ALLOWED) - {ord("=")}:
        assert refused(b"Bearer a" + bytes([byte]) + b"c") is Reason.CREDENTIALS_MALFORMED, byte


@pytest.mark.parametrize(
    "value",
    [
        b"Basic dXNlcjpwYXNz",
        b"Basic",
        b"DPoP abc",
        b"Beare abc",
        b"Bearerabc",
        b"BearerX abc",
        b"Bear er",
        b"Digest a=b, c=d",
        b"!#$%&'*+-.^_`|~ x",
    ],
)
def test_another_scheme_is_no_token(value: bytes) -> None:
    assert of(value) is NoToken.OTHER_SCHEME


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="no header"),
        pytest.param([(b"cookie", b"access_token=abc"), (b"x-authorization", b"Bearer abc")], id="other headers"),
        pytest.param([(b"proxy-authorization", b"Bearer abc")], id="a header for the proxy"),
    ],
)
def test_without_an_authorization_header_there_is_no_token(headers: list[tuple[bytes, bytes]]) -> None:
    assert bearer_token(headers) is NoToken.ABSENT


def test_each_absence_names_its_reason() -> None:
    assert NoToken.ABSENT.value is Reason.CREDENTIALS_MISSING
    assert NoToken.OTHER_SCHEME.value is Reason.SCHEME_UNSUPPORTED


def test_headers_may_come_from_an_iterator_that_is_read_once() -> None:
    pairs = [(b"host", b"api.test"), (b"authorization", b"Bearer abc"), (b"accept", b"*/*")]
    assert bearer_token(iter(pairs)) == b"abc"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(b"Bearer abc", b"Bearer abc", id="the same twice"),
        pytest.param(b"Bearer abc", b"Bearer def", id="two tokens"),
        pytest.param(b"Basic abc", b"Bearer def", id="another scheme first"),
        pytest.param(b"Bearer abc", b"", id="an empty one beside"),
    ],
)
def test_a_second_authorization_header_is_refused(first: bytes, second: bytes) -> None:
    with pytest.raises(TokenError) as caught:
        bearer_token([(b"authorization", first), (b"accept", b"*/*"), (b"authorization", second)])
    assert caught.value.reason is Reason.CREDENTIALS_DUPLICATE


def test_the_limit_is_16_kib() -> None:
    assert MAX_TOKEN_BYTES == 16_384


def test_a_token_of_exactly_16_kib_is_looked_at() -> None:
    assert of(b"Bearer " + b"a" * 16_384) == b"a" * 16_384


@pytest.mark.parametrize("token", [b"a" * 16_385, b"a" * 1_000_000, b" a" * 10_000, b"\xff" * 16_385])
def test_a_longer_token_is_refused_for_its_size_alone(token: bytes) -> None:
    assert refused(b"Bearer " + token) is Reason.TOKEN_TOO_LARGE


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(b"access_token=def", id="another token"),
        pytest.param(b"access_token=abc", id="the same token"),
        pytest.param(b"access_token=", id="an empty one"),
        pytest.param(b"access_token", id="a name without a value"),
        pytest.param(b"a=b&access_token=def&c=d", id="among others"),
        pytest.param(b"access_token=def&access_token=ghi", id="twice"),
        pytest.param(b"x=\xff&access_token=\xff", id="bytes beyond ASCII"),
        pytest.param(b"access%5Ftoken=def", id="an encoded underscore"),
        pytest.param(b"%61ccess_token=def", id="an encoded letter"),
        pytest.param(b"a=b&%61%63%63%65%73%73%5f%74%6f%6b%65%6e=def", id="encoded as a whole"),
    ],
)
def test_a_token_in_the_query_beside_the_header_is_refused(query: bytes) -> None:
    assert refused(b"Bearer abc", query) is Reason.CREDENTIALS_DUPLICATE


@pytest.mark.parametrize(
    "query",
    [
        b"",
        b"token=def",
        b"access_token_hint=def",
        b"my_access_token=def",
        b"name=access_token",
        b"name=a%26access_token%3Ddef",
        b"Access_Token=def",
        b"\xff\x00%%%=&&&=",
        b"100%",
    ],
)
def test_another_query_does_not_matter(query: bytes) -> None:
    assert of(b"Bearer abc", query) == b"abc"


def test_a_token_in_the_query_alone_is_not_looked_at() -> None:
    assert bearer_token([], b"access_token=abc") is NoToken.ABSENT


@pytest.mark.parametrize(
    ("value", "query", "detail"),
    [
        (b"Bearer a b", b"", "expected `Bearer`, a space, and one token"),
        (b"Bearer", b"", "expected `Bearer`, a space, and one token"),
        (b"(comment) abc", b"", "the Authorization header does not begin with a scheme"),
        (b"Bearer abc", b"access_token=x", "the query string carries an access_token beside the header"),
        (b"Bearer " + b"a" * 16_385, b"", "expected at most 16384 bytes"),
    ],
)
def test_a_refusal_says_what_was_expected(value: bytes, query: bytes, detail: str) -> None:
    with pytest.raises(TokenError) as caught:
        of(value, query)
    assert caught.value.detail == detail


def test_several_headers_are_told_as_such() -> None:
    with pytest.raises(TokenError, match="expected one Authorization header; got several"):
        bearer_token([(b"authorization", b"Bearer abc")] * 2)


def test_what_the_client_sent_is_not_in_the_message() -> None:
    with pytest.raises(TokenError) as caught:
        of(b"Bearer secret secret")
    assert "secret" not in str(caught.value)


PIECES = (
    *(b"access_token", b"%61ccess_toke%6e", b"acc%65ss%5Ftoken", b"acc%65ss%5ftoke%6E", b"access", b"_token"),
    *(b"&", b"=", b"%", b"%%", b"%2", b"6", b"%26", b"%3d", b"%3D", b"%25", b"%00", b"%0a", b"\n", b"+", b";", b"\xff"),
)


@pytest.mark.parametrize("first", PIECES)
def test_a_query_is_read_as_the_standard_library_reads_it(first: bytes) -> None:
    for rest in product(PIECES, repeat=2):
        query = b"".join((first, *rest))
        names = {name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)}
        assert (reason_for(query) is Reason.CREDENTIALS_DUPLICATE) is ("access_token" in names), query


def test_what_decodes_to_the_name_only_when_it_is_decoded_twice_is_refused_too() -> None:
    assert reason_for(b"access_toke%6%65=x") is Reason.CREDENTIALS_DUPLICATE
    assert reason_for(b"access_toke%256e=x") is None


def reason_for(query: bytes) -> Reason | None:
    try:
        of(b"Bearer abc", query)
    except TokenError as error:
        return error.reason
    return None


@pytest.mark.parametrize("unit", [b"&", b"a=1&", b"%", b"%25", b"&%61", b"access_toke&", b"%26access_token=", b"%%26"])
def test_a_long_query_takes_no_more_calls_than_a_short_one(unit: bytes) -> None:
    def look(times: int) -> int:
        return calls_of(of, b"Bearer abc", b"x" + unit * times)

    assert look(20_000) == look(2)
