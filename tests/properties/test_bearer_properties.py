"""Whatever header lines a stranger sends, one token comes of them, or none, or a TokenError."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

from hypothesis import given
from hypothesis import strategies as st

from jwt_asgi import Reason, TokenError
from jwt_asgi._core.bearer import NoToken, bearer_token
from tests.properties.strategies import examples

# RFC 6750 section 2.1, with RFC 9110 section 11.1 on the case of the scheme
CREDENTIALS = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*)")
REASONS = {Reason.CREDENTIALS_MALFORMED, Reason.CREDENTIALS_DUPLICATE, Reason.TOKEN_TOO_LARGE}

VALUES = st.one_of(
    st.binary(max_size=40),
    st.builds(
        lambda scheme, space, rest: scheme + space + rest,
        st.sampled_from([b"Bearer", b"bearer", b"BEARER", b"Bearer,", b"Basic", b"", b"B"]),
        st.sampled_from([b" ", b"  ", b"", b"\t", b" \t"]),
        st.binary(max_size=20) | st.lists(st.sampled_from(b"aZ09-._~+/= ,"), max_size=12).map(bytes),
    ),
    st.integers(16_380, 16_390).map(lambda length: b"Bearer " + b"a" * length),
)
NAMES = st.sampled_from([b"authorization", b"authorization", b"cookie", b"x"]) | st.binary(max_size=8)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=4)
QUERIES = st.one_of(
    st.binary(max_size=40),
    st.lists(st.sampled_from([b"access_token", b"access%5Ftoken", b"=", b"&", b"%", b";", b"x", b"+"]), max_size=6).map(
        b"".join
    ),
)


def result(headers: list[tuple[bytes, bytes]], query: bytes = b"") -> bytes | NoToken | Reason:
    """What comes of header lines; any exception but TokenError fails the test."""
    try:
        return bearer_token(headers, query)
    except TokenError as error:
        return error.reason


@examples(140)
@given(HEADERS, QUERIES)
def test_only_a_token_or_its_absence_or_a_token_error_comes_of_header_lines(
    headers: list[tuple[bytes, bytes]], query: bytes
) -> None:
    values = [value for name, value in headers if name == b"authorization"]
    found = result(headers, query)
    if isinstance(found, bytes):
        (value,) = values
        assert value.endswith(found)
        assert 0 < len(found) <= 16_384
        assert CREDENTIALS.fullmatch(value)
    elif isinstance(found, Reason):
        assert found in REASONS
        assert values
    else:
        assert (found is NoToken.ABSENT) is (not values)


@examples(140)
@given(VALUES)
def test_a_token_is_taken_exactly_where_the_grammar_has_one(value: bytes) -> None:
    found = result([(b"authorization", value)])
    match = CREDENTIALS.fullmatch(value)
    if len(value) > 16_384 + len("Bearer "):
        assert found is Reason.TOKEN_TOO_LARGE
    elif match:
        assert found == match[1]
    else:
        assert found in {Reason.CREDENTIALS_MALFORMED, NoToken.OTHER_SCHEME}


@examples(40)
@given(HEADERS.filter(lambda headers: all(name != b"authorization" for name, _ in headers)), QUERIES)
def test_nothing_else_in_a_request_is_a_token(headers: list[tuple[bytes, bytes]], query: bytes) -> None:
    assert bearer_token(headers, query) is NoToken.ABSENT


@examples(100)
@given(QUERIES)
def test_a_token_in_the_query_is_found_as_another_parser_reads_it(query: bytes) -> None:
    found = result([(b"authorization", b"Bearer a")], query)
    names = [unquote_plus(pair.partition("=")[0]) for pair in query.decode("latin-1").split("&") if pair]
    assert found == (Reason.CREDENTIALS_DUPLICATE if "access_token" in names else b"a")
