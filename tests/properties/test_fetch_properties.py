"""Whatever bytes come in whatever coding, they are a body within the limit, or a FetchError."""

from __future__ import annotations

import gzip
import zlib

from hypothesis import given
from hypothesis import strategies as st

from jwt_asgi._keys.fetch import FetchError, _inflate
from tests.properties.strategies import examples

LIMIT = 2_000
BODIES = st.binary(max_size=300) | st.builds(
    lambda byte, times: byte * times, st.binary(min_size=1, max_size=2), st.integers(0, 3_000)
)
CODINGS = st.sampled_from(["gzip", "x-gzip", "deflate"])


def packed(body: bytes, coding: str) -> bytes:
    return zlib.compress(body) if coding == "deflate" else gzip.compress(body)


def inflated(raw: bytes, coding: str) -> bytes | None:
    """The body, or None where it is refused; any exception but FetchError fails the test."""
    try:
        return _inflate(raw, coding, LIMIT, "https://issuer.example/")
    except FetchError as error:
        told = str(error)
    assert told.startswith("https://issuer.example/ answered ")
    return None


@examples(50)
@given(BODIES, CODINGS)
def test_a_body_is_inflated_up_to_the_limit(body: bytes, coding: str) -> None:
    raw = packed(body, coding)
    assert inflated(raw, coding) == (body if len(body) <= LIMIT else None)


@examples(50)
@given(st.binary(max_size=200), CODINGS, st.integers(0, 60), st.binary(min_size=1, max_size=4))
def test_a_body_that_is_cut_off_or_goes_on_is_refused(body: bytes, coding: str, cut: int, more: bytes) -> None:
    raw = packed(body, coding)
    assert inflated(raw[: len(raw) - 1 - cut % len(raw)], coding) is None
    assert inflated(raw + more, coding) is None


@examples(50)
@given(st.binary(max_size=60), st.sampled_from(["gzip", "deflate", "identity", "", "br", "zstd", "gzip, gzip", "é"]))
def test_any_bytes_in_any_coding_are_a_body_or_refused(raw: bytes, coding: str) -> None:
    body = inflated(raw, coding)
    if coding in {"identity", ""}:
        assert body == raw
    elif coding not in {"gzip", "deflate"}:
        assert body is None
    else:
        assert body is None or len(body) <= LIMIT
