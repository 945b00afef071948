"""What a source of revocations promises: all that is live at first, then what is new, in pieces that take no time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol

from jwt_asgi._core.revocation import RECORD_BYTES, Row, unpack_rows

__all__ = ["SLICE", "Piece", "Reader", "Source", "SourceError", "slices"]

SLICE = 256
"""Rows: adding them takes about a millisecond, in which the event loop does nothing else."""


class SourceError(Exception):
    """A read that failed. Its text goes to the operator, and holds nothing that the other side sent."""


class Piece(NamedTuple):
    """Some revocations, at most `SLICE`.

    Attributes:
        rows: The revocations.
        position: Where the reader is once it has these: what to pass to the next `read`; None: in the midst.
        age: How many seconds ago the source itself last heard of the issuer; the last piece of a read counts.
    """

    rows: Iterable[Row]
    position: Any = None
    age: float = 0.0


class Reader(Protocol):
    """An open connection to a source."""

    def read(self, position: Any) -> AsyncGenerator[Piece, None]:  # noqa: ANN401 - the source's own
        """Yield what came behind a position; None: all that is live. The last piece has a position.

        What is yielded twice does no harm. It raises whatever went wrong; then it is closed, and another is opened.
        """
        ...


class Source(Protocol):
    """Where revocations come from."""

    def connect(self) -> AbstractAsyncContextManager[Reader]:
        """Return a connection, which is used in one event loop alone."""
        ...


def slices(records: bytes) -> Iterator[Iterable[Row]]:
    """Return the rows of records in slices.

    Raises:
        BlockError: they are not what they must be.
    """
    step = SLICE * RECORD_BYTES
    for begin in range(0, len(records), step):
        yield unpack_rows(records[begin : begin + step])
