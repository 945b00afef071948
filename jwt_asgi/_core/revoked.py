"""(the keys of a token, when it was issued) -> revoked or not; a million entries in 16 MB.

Keys are digests, so their first bits choose one of 32,768 bins evenly. A bin is one `bytes` object of records, and a
look-up is `key in bin`: one search in C. What is added replaces one bin by a longer one, and what has passed leaves
bin by bin as the sweep goes round, so that nothing is ever built anew, and no step takes long. A record is the rest of
the key in 6 bytes, until when in 3: with a million entries a bin has 31. Users and clients, with a cut-off in 4 bytes
more, are fewer, and have bins of their own, fewer too. That leaves 60 bits of a user's key, and 63 of a session's.

One thread adds and sweeps; any number may look up meanwhile without a lock, as a bin is replaced by one assignment.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import Final, NamedTuple

from jwt_asgi._core.policy import MAX_LEEWAY
from jwt_asgi._core.revocation import CUT_OFF_KINDS, KEY_BYTES, EntryKind, Row, keyer_of

__all__ = ["BINS", "CUT_OFF_BINS", "MOST_ENTRIES", "Revoked", "TokenKeys", "keys_of"]

BINS: Final = 2**15
CUT_OFF_BINS: Final = 2**12
_BINS_EACH: Final = BINS // CUT_OFF_BINS
MOST_ENTRIES: Final = 10_000_000
"""More than that is a mistake at the other end."""

_KEY = KEY_BYTES - 2  # the first two choose the bin
_UNTIL, _BEFORE = 3, 4
_WHOLE = _KEY + _UNTIL
_CUT_OFF = _WHOLE + _BEFORE
_EPOCH, _TICK = 1_600_000_000, 64
_LAST_TICK = 2 ** (8 * _UNTIL) - 1
"""`until` is counted in 64 seconds since September 2020, which goes until 2054."""

_Places = tuple[tuple[int, bytes], ...]


class TokenKeys(NamedTuple):
    """By what a token may be revoked: bins and the rest of the keys, made once for each token; and when it was issued.

    `whole` are its session, itself, and its signing key; `cut_off` its user and its client.
    """

    whole: _Places
    cut_off: _Places
    issued_at: float


def keys_of(
    issuer: str,
    *,
    session: object = None,
    token_id: object = None,
    kid: object = None,
    subject: object = None,
    client_id: object = None,
    issued_at: float | None = None,
) -> TokenKeys:
    """Return by what a token of an issuer may be revoked. What is no text counts as absent.

    A token that does not say when it was issued counts as issued before any cut-off.
    """
    return TokenKeys(
        _places(issuer, (("s", session), ("j", token_id), ("k", kid)), BINS),
        _places(issuer, (("u", subject), ("c", client_id)), CUT_OFF_BINS),
        -inf if issued_at is None else issued_at,
    )


class Revoked:
    """The revocations that are live.

    An entry is kept for `MAX_LEEWAY` seconds beyond its `until`, since a resource server may take a token for that long
    after it has expired, and for a minute more at most.

    Attributes:
        changes: How often something was added that was not known.
    """

    __slots__ = ("_any_cut_off", "_count", "_cut_off", "_swept", "_whole", "changes")

    def __init__(self) -> None:
        """Begin empty."""
        self._whole = [b""] * BINS
        self._cut_off = [b""] * CUT_OFF_BINS
        self._count = self.changes = 0
        self._any_cut_off = False
        self._swept = 0

    def __len__(self) -> int:
        """Return how many entries there are, those that have passed since the last sweep included."""
        return self._count

    def covers(self, keys: TokenKeys) -> bool:
        """Whether a token is revoked."""
        if not self._count:
            return False
        bins = self._whole
        for index, rest in keys.whole:
            if rest in bins[index] and _find(bins[index], rest, _WHOLE) is not None:
                return True
        if not self._any_cut_off:
            return False
        bins = self._cut_off
        for index, rest in keys.cut_off:
            if rest in bins[index] and _is_cut_off(bins[index], rest, keys.issued_at):
                return True
        return False

    def add(self, rows: Iterable[Row], now: float) -> None:
        """Add entries; one that is there already is prolonged. Those that have passed are left out.

        Raises:
            OverflowError: there would be more than `MOST_ENTRIES`.
        """
        limit = now - MAX_LEEWAY
        for kind, key, until, before in rows:
            if until <= limit:
                continue
            ticks = min(max(-((_EPOCH - until) // _TICK), 0), _LAST_TICK).to_bytes(_UNTIL, "big")
            if kind in CUT_OFF_KINDS:
                self._any_cut_off = True
                self._put(self._cut_off, key, ticks + before.to_bytes(_BEFORE, "big"), _CUT_OFF)
            else:
                self._put(self._whole, key, ticks, _WHOLE)

    def sweep(self, now: float, bins: int = BINS) -> None:
        """Go on to the next bins, and forget what has passed; by default all of them."""
        limit = max(int(now - MAX_LEEWAY - _EPOCH) // _TICK, 0).to_bytes(_UNTIL, "big")
        for _ in range(bins):
            at = self._swept
            self._swept = (at + 1) % BINS
            self._sweep(self._whole, at, _WHOLE, limit)
            if not at % _BINS_EACH:
                self._sweep(self._cut_off, at // _BINS_EACH, _CUT_OFF, limit)

    def _sweep(self, bins: list[bytes], at: int, size: int, limit: bytes) -> None:
        if old := bins[at]:
            begins = range(0, len(old), size)
            kept = [old[begin : begin + size] for begin in begins if old[begin + _KEY : begin + _WHOLE] > limit]
            if len(kept) < len(begins):
                bins[at] = b"".join(kept)
                self._count -= len(begins) - len(kept)

    def _put(self, bins: list[bytes], key: bytes, times: bytes, size: int) -> None:
        index, rest = _place_of(key, len(bins))
        old = bins[index]
        if rest in old and (at := _find(old, rest, size)) is not None:
            known, end = old[at + _KEY : at + size], at + size
            latest = max(known[:_UNTIL], times[:_UNTIL]) + max(known[_UNTIL:], times[_UNTIL:])
            if latest != known:
                self.changes += 1
                bins[index] = old[:at] + rest + latest + old[end:]
            return
        if self._count >= MOST_ENTRIES:
            raise OverflowError(f"more than {MOST_ENTRIES:,} revocations")
        bins[index] = old + rest + times
        self._count += 1
        self.changes += 1


def _places(issuer: str, values: Iterable[tuple[EntryKind, object]], bins: int) -> _Places:
    keys = [keyer_of(issuer, kind)(value) for kind, value in values if isinstance(value, str)]
    return tuple([_place_of(key, bins) for key in keys])


def _place_of(key: bytes, bins: int) -> tuple[int, bytes]:
    return (key[0] << 8 | key[1]) * bins >> 16, key[2:]


def _find(records: bytes, rest: bytes, size: int) -> int | None:
    """Return where the record of a key begins: the same bytes may also lie across two records."""
    at = records.find(rest)
    while at >= 0 and at % size:
        at = records.find(rest, at + 1)
    return at if at >= 0 else None


def _is_cut_off(records: bytes, rest: bytes, issued_at: float) -> bool:
    at = _find(records, rest, _CUT_OFF)
    # The whole second counts: most issuers write `iat` without a fraction
    return at is not None and issued_at < int.from_bytes(records[at + _WHOLE : at + _CUT_OFF], "big") + 1
