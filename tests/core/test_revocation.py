"""What issuer and resource servers agree on: the keys of revocations, and entries as bytes."""

from __future__ import annotations

import struct
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_asgi._core.revocation import (
    HEADER_BYTES,
    RECORD_BYTES,
    BlockError,
    Entry,
    EntryKind,
    key_of,
    pack,
    pack_rows,
    row_of,
    unpack,
    unpack_header,
    unpack_rows,
)

ISSUER = "https://issuer.test"
KINDS: tuple[EntryKind, ...] = ("s", "u", "j", "c", "k")
seconds = st.integers(0, 2**32 - 1)
rows = st.one_of(
    st.tuples(st.sampled_from([b"s", b"j", b"k"]), st.binary(min_size=8, max_size=8), seconds, st.just(0)),
    st.tuples(st.sampled_from([b"u", b"c"]), st.binary(min_size=8, max_size=8), seconds, seconds),
)


def entry(**members: Any) -> Entry:
    return Entry(**{"seq": 1, "kind": "s", "key": b"k" * 8, "until": 100.0, **members})


def test_a_key_is_eight_bytes_that_another_process_makes_likewise() -> None:
    # Written down, since issuers and resource servers of different releases must agree
    assert key_of(ISSUER, "s", "session-1").hex() == "1ea274968e6e0f7c"


def test_issuer_kind_and_value_make_different_keys() -> None:
    made = {key_of(*parts) for parts in product((ISSUER, "https://other.test"), KINDS, ("a", "b", ""))}
    assert len(made) == 2 * 5 * 3


def test_a_claim_that_no_encoding_takes_has_a_key() -> None:
    assert key_of(ISSUER, "u", "\ud800") != key_of(ISSUER, "u", "\ud801")


@given(st.lists(rows, max_size=8), st.integers(0, 2**32 - 1), st.integers(0, 2**63), st.integers(0, 2**63))
def test_what_is_packed_is_unpacked(some: list[Any], epoch: int, after: int, more: int) -> None:
    data = pack(pack_rows(some), epoch=epoch, after=after, upto=after + more)
    block, records = unpack(data)
    assert block == (epoch, after, after + more, len(some))
    assert list(unpack_rows(records)) == some
    assert len(data) == HEADER_BYTES + len(some) * RECORD_BYTES
    assert unpack_header(data[:HEADER_BYTES]) == block


def test_an_entry_is_forgotten_no_earlier_and_covers_the_second_of_its_cut_off() -> None:
    assert row_of(entry(until=100.1)) == (b"s", b"k" * 8, 101, 0)
    assert row_of(entry(kind="u", before=90.9)) == (b"u", b"k" * 8, 100, 90)
    assert row_of(entry(kind="j", before=90.9)) == (b"j", b"k" * 8, 100, 0), "a cut-off is of users and clients"


@pytest.mark.parametrize(
    "members",
    [
        {"kind": "x"},
        {"kind": "su"},
        {"kind": ""},
        {"key": b"k" * 7},
        {"key": b"k" * 9},
        {"until": -1.0},
        {"until": 2.0**32},
        {"kind": "u", "before": -1.0},
        {"kind": "c", "before": 2.0**32},
    ],
    ids=str,
)
def test_an_entry_that_cannot_travel_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(BlockError):
        row_of(entry(**members))


def cut(data: bytes) -> list[bytes]:
    """Things that are no block, each for one reason."""
    backwards = struct.pack(">4sBIQQI", b"jwtr", 1, 0, 5, 4, 0)
    return [b"", data[: HEADER_BYTES - 1], b"jwtx" + data[4:], data[:4] + b"\x02" + data[5:], backwards]


def test_bytes_that_are_no_block_are_refused() -> None:
    data = pack(pack_rows([row_of(entry())]), epoch=1, after=2, upto=3)
    for bad in cut(data):
        with pytest.raises(BlockError):
            unpack_header(bad)
    for bad in (*cut(data), data[:-1], data + b"\0", data + data[HEADER_BYTES:]):
        with pytest.raises(BlockError):
            unpack(bad)


def test_records_that_are_cut_off_or_of_an_unknown_kind_are_refused() -> None:
    record = pack_rows([row_of(entry())])
    for bad in (record[:-1], record + b"s", record + b"x" + record[1:]):
        with pytest.raises(BlockError):
            unpack_rows(bad)
    assert list(unpack_rows(b"")) == []
