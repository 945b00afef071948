"""The audit log: each record has the hash of the one before it, so that none can be changed or taken out unseen.

    hash = SHA-256( hash of the record before | JSON of [number, event, time, members] )

Whoever can write to the database can write the whole chain anew: keep the last hash elsewhere now and then, and hand
it to `verify_audit`. Records that are past the time that they are kept for leave from the front; the head has the hash
of the last that left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from jwt_asgi.issuer.store.database import Database
from jwt_asgi.issuer.store.rows import is_text, to_json
from jwt_asgi.issuer.store.schema import AUDIT, audit, heads
from jwt_asgi.issuer.types import Record

__all__ = ["AuditCheck", "append", "forget", "verify"]

_PAGE = 1000
_c = audit.c
_HEAD = heads.c.name == AUDIT
_TAKE = update(heads).where(_HEAD).values(seq=heads.c.seq + bindparam("more")).returning(heads.c.seq, heads.c.hash)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCheck:
    """What a look at the audit log has found.

    Attributes:
        records: How many were looked at.
        broken_at: The number of the first that is missing or is not what was written; None: all is as it was written.
        seq: The number of the last record.
        hash: Its hash: kept elsewhere, it proves later that the log up to there was not written anew.
    """

    records: int
    broken_at: int | None
    seq: int
    hash: bytes


def append(connection: Connection, records: Sequence[Record]) -> None:
    """Write records. Do it last in a transaction: others who have records wait until it ends.

    Raises:
        ValueError: a member is no value of JSON, or an event no text.
    """
    if not records:
        return
    if not all(is_text(record.event) for record in records):
        raise ValueError("expected the name of an event as plain text")
    members = [to_json(dict(record.members)) for record in records]
    last, digest = connection.execute(_TAKE, {"more": len(records)}).one()
    rows = []
    for seq, (record, text) in enumerate(zip(records, members, strict=True), last - len(records) + 1):
        before, digest = digest, _hash(digest, seq, record.event, float(record.at), text)
        row = {"seq": seq, "event": record.event, "at": float(record.at), "members": text}
        rows.append({**row, "prev_hash": before, "hash": digest})
    connection.execute(insert(audit), rows)
    connection.execute(update(heads).where(_HEAD).values(hash=digest))


def verify(connection: Connection, known: tuple[int, bytes] | None) -> AuditCheck:
    """Follow the chain from the oldest record that is kept; `known` is a number and hash that were seen before."""
    head = connection.execute(select(heads).where(_HEAD)).one()
    seq, digest, seen = head.floor_seq, head.floor_hash, 0
    while seq < head.seq:
        page = connection.execute(select(audit).where(_c.seq > seq, _c.seq <= head.seq).order_by(_c.seq).limit(_PAGE))
        rows = page.all()
        for row in rows:
            right = _hash(digest, seq + 1, row.event, row.at, row.members)
            if (row.seq, row.prev_hash, row.hash) != (seq + 1, digest, right) or (
                known and _differs(known, row.seq, right)
            ):
                return _broken(connection, head.floor_seq, seq + 1, seen, known)
            seq, digest, seen = row.seq, right, seen + 1
        if not rows:
            return _broken(connection, head.floor_seq, seq + 1, seen, known)
    broken_at = None if digest == head.hash and not (known and known[0] > head.seq) else head.seq
    return AuditCheck(records=seen, broken_at=broken_at, seq=head.seq, hash=head.hash)


def forget(connection: Connection, database: Database, batch: int, *, keep: float) -> tuple[int, bool]:
    """Take out the oldest records that are older than `keep` seconds; return how many, and whether more may be."""
    before = database.time(connection) - keep
    floor = connection.execute(select(heads.c.floor_seq).where(_HEAD).with_for_update()).scalar_one()
    oldest = connection.execute(select(_c.seq, _c.at, _c.hash).where(_c.seq > floor).order_by(_c.seq).limit(batch))
    last = None
    for row in oldest.all():
        if row.at >= before:
            break
        last = row
    if last is None:
        return 0, False
    connection.execute(update(heads).where(_HEAD).values(floor_seq=last.seq, floor_hash=last.hash))
    gone = connection.execute(delete(audit).where(_c.seq <= last.seq)).rowcount
    return gone, gone == batch


def _broken(connection: Connection, floor: int, at: int, seen: int, known: tuple[int, bytes] | None) -> AuditCheck:
    """Say where the chain is broken, unless its front was taken out meanwhile."""
    head = connection.execute(select(heads).where(_HEAD)).one()
    if head.floor_seq > floor:
        return verify(connection, known)
    return AuditCheck(records=seen, broken_at=at, seq=head.seq, hash=head.hash)


def _differs(known: tuple[int, bytes], seq: int, digest: bytes) -> bool:
    return known[0] == seq and known[1] != digest


def _hash(before: bytes, seq: int, event: str, at: float, members: str) -> bytes:
    return sha256(before + to_json([seq, event, at, members]).encode()).digest()
