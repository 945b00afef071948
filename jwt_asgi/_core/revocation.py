"""Issuer, kind and value <-> the key of a revocation; entries <-> bytes. What issuer and resource servers agree on.

A key is 8 bytes of BLAKE2b (RFC 7693), keyed with the issuer's identifier and personalized with the kind, so that one
user identifier of two issuers, or one text that is a `sub` here and a `sid` there, are four keys. The key of the hash
is no secret, and need not be: whoever computes keys learns nothing, and no key lets anybody in. With a million live
entries a good token is refused by accident with a chance of 1e-12; who wants to have a certain other's token refused
must try 2**60 identifiers of his own, which the issuer chooses, and gains no more than that user's log-out.

A block is a header and records, big-endian. It tells the reader what it goes on from, so that a gap is seen:

    magic 4 | version 1 | epoch 4 | after 8 | upto 8 | number of records 4
    kind 1 | key 8 | until 4 | before 4        (17 bytes, times in whole seconds since the epoch)
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from math import ceil, floor
from typing import Final, Literal, NamedTuple, get_args

__all__ = [
    "CUT_OFF_KINDS",
    "HEADER_BYTES",
    "KEY_BYTES",
    "RECORD_BYTES",
    "Block",
    "BlockError",
    "Entry",
    "EntryKind",
    "Row",
    "key_of",
    "pack",
    "pack_rows",
    "row_of",
    "unpack",
    "unpack_header",
    "unpack_rows",
]

EntryKind = Literal["s", "u", "j", "c", "k"]
"""What is revoked: a session, a user's tokens until now, one token, a client's tokens until now, a signing key's."""

Row = tuple[bytes, bytes, int, int]
"""An entry as it travels: kind, key, until, before."""

KEY_BYTES = 8
CUT_OFF_KINDS = b"uc"
"""Of these, tokens that were issued later are not covered."""

_VERSION = 1
_MAGIC = b"jwtr"
_HEADER = struct.Struct(">4sBIQQI")
_RECORD = struct.Struct(f">c{KEY_BYTES}sII")
HEADER_BYTES = _HEADER.size
RECORD_BYTES = _RECORD.size
_KINDS = frozenset("".join(get_args(EntryKind)).encode())
_MOST_SECONDS: Final = 2**32 - 1


class BlockError(ValueError):
    """Bytes that are no block, or an entry that cannot be in one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A revocation. Times are in seconds since the epoch.

    Attributes:
        seq: Its place in the log: larger than that of every entry that was committed before a reader could see it.
        kind: What is revoked.
        key: Which, by its keyed digest: 8 bytes.
        until: When the last token that it covers has expired, so that it can be forgotten.
        before: For `u` and `c`: tokens that were issued at this time or earlier are covered; else 0.
    """

    seq: int
    kind: EntryKind
    key: bytes
    until: float
    before: float = 0.0


class Block(NamedTuple):
    """The header of a block: of which log, the position that it goes on from and that it leads to, how many records."""

    epoch: int
    after: int
    upto: int
    records: int


def key_of(issuer: str, kind: EntryKind, value: str) -> bytes:
    """Return the key of what is revoked: a session's `sid`, a user's `sub`, a `jti`, a `client_id`, a key's `kid`."""
    return keyer_of(issuer, kind)(value)


@lru_cache(maxsize=1024)
def keyer_of(issuer: str, kind: EntryKind) -> Callable[[str], bytes]:
    """Return a function that makes the keys of one kind."""
    key = blake2b(_bytes(issuer)).digest()
    begun = blake2b(digest_size=KEY_BYTES, key=key, person=f"jwt-asgi {kind}".encode())

    def keyed(value: str) -> bytes:
        digest = begun.copy()
        digest.update(_bytes(value))
        return digest.digest()

    return keyed


def row_of(entry: Entry) -> Row:
    """Return an entry as it travels: it is forgotten a little later, and covers the whole second of `before`.

    Raises:
        BlockError: a member is not what it must be.
    """
    kind = entry.kind.encode()
    before = floor(entry.before) if kind in CUT_OFF_KINDS else 0
    row = (kind, bytes(entry.key), ceil(entry.until), before)
    _check(row)
    return row


def pack_rows(rows: Iterable[Row]) -> bytes:
    """Return the records."""
    return b"".join([_RECORD.pack(*row) for row in rows])


def pack(records: bytes, *, epoch: int, after: int, upto: int) -> bytes:
    """Return a block of records that were packed."""
    return _HEADER.pack(_MAGIC, _VERSION, epoch, after, upto, len(records) // RECORD_BYTES) + records


def unpack_header(data: bytes) -> Block:
    """Return the header of a block of which this is the beginning.

    Raises:
        BlockError: it is none, or of a version that is not known here.
    """
    if len(data) < HEADER_BYTES:
        raise BlockError(f"expected a header of {HEADER_BYTES} bytes; got {len(data)}")
    magic, version, *members = _HEADER.unpack_from(data)
    if magic != _MAGIC or version != _VERSION:
        raise BlockError(f"expected a block of revocations of version {_VERSION}")
    block = Block(*members)
    if block.upto < block.after:
        raise BlockError(f"expected a block that goes on; it leads from {block.after} to {block.upto}")
    return block


def unpack_rows(records: bytes) -> Iterable[Row]:
    """Return the rows of records, checked.

    Raises:
        BlockError: they are cut off, or one is not what it must be.
    """
    if len(records) % RECORD_BYTES:
        raise BlockError(f"expected records of {RECORD_BYTES} bytes; {len(records) % RECORD_BYTES} are left over")
    if not _KINDS.issuperset(records[::RECORD_BYTES]):
        raise BlockError("expected records of the kinds that are known here")
    return _RECORD.iter_unpack(records)


def unpack(data: bytes) -> tuple[Block, bytes]:
    """Return the header and the records of a whole block.

    Raises:
        BlockError: it is none, or is cut off.
    """
    block, records = unpack_header(data), data[HEADER_BYTES:]
    if len(records) != block.records * RECORD_BYTES:
        raise BlockError(f"expected {block.records} records; got {len(records)} bytes")
    return block, records


def _check(row: Row) -> None:
    kind, key, until, before = row
    if len(kind) != 1 or not _KINDS.issuperset(kind):
        raise BlockError(f"expected a kind of {', '.join(get_args(EntryKind))}")
    if len(key) != KEY_BYTES:
        raise BlockError(f"expected a key of {KEY_BYTES} bytes; got {len(key)}")
    if not 0 <= until <= _MOST_SECONDS or not 0 <= before <= _MOST_SECONDS:
        raise BlockError(f"expected seconds since the epoch; got until {until} and before {before}")


def _bytes(text: str) -> bytes:
    # A claim may hold a lone surrogate, which JSON can write
    return text.encode("utf-8", "surrogatepass")
