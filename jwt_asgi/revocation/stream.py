"""A stream of Valkey or Redis: a snapshot, then packed blocks of what came after it.

The issuer writes a block every 250 ms where there is something new, and an empty one each second, so that a publisher
that has died is noticed. Each block names the position that it goes on from: whoever was away for longer than the
stream reaches back sees the gap, and takes the snapshot.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from jwt_asgi._core.revocation import HEADER_BYTES, RECORD_BYTES, BlockError, unpack, unpack_header
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.revocation.source import SLICE, Piece, Reader, SourceError, slices

__all__ = ["FromValkey"]

BLOCKS: Final = 256
"""How many are read at once."""
CHUNK: Final = 32 * SLICE * RECORD_BYTES
SOCKET_SECONDS: Final = 5.0
_SCHEMES = {"valkey": "redis", "valkeys": "rediss", "redis": "redis", "rediss": "rediss", "unix": "unix"}


class FromValkey:
    """Revocations from Valkey or Redis; it needs the package `valkey` or `redis` (the extra `redis`).

    Args:
        server: The URL, as `valkey://host:6379/0`, or a function that returns a client of `valkey.asyncio` or
            `redis.asyncio`; it is called in the event loop that uses it; the client must speak RESP 2,
            and must not decode responses.
        prefix: What the keys begin with, as of the publisher.

    Raises:
        ConfigurationError: the URL is none, or neither package is installed.
    """

    __slots__ = ("_make", "_prefix")

    def __init__(self, server: str | Callable[[], Any], *, prefix: str = "jwt-asgi:revocations") -> None:
        """Connect to nothing yet."""
        self._make = server if callable(server) else _maker(server)
        self._prefix = prefix

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Reader]:
        """Return a connection."""
        client = self._make()
        try:
            yield _Stream(client, self._prefix)
        finally:
            await client.aclose()


class _Place(NamedTuple):
    """Where a reader is: the identifier of the last block, which log that is, and how far it has come in it."""

    id: bytes
    epoch: int
    at: int


class _GapError(Exception):
    """The stream does not go on from where the reader is."""


class _Stream:
    """Reads the stream, and the snapshot where there is a gap."""

    def __init__(self, client: Any, prefix: str) -> None:  # noqa: ANN401 - of one of two packages
        self._client = client
        self._prefix = prefix

    async def read(self, position: _Place | None) -> AsyncGenerator[Piece, None]:
        try:
            if position is not None:
                try:
                    async for piece in self._blocks(position):
                        yield piece
                except _GapError:
                    pass
                else:
                    return
            async for piece in self._snapshot():
                position = piece.position or position
                yield piece
            assert position is not None  # noqa: S101 - for the type checker
            async for piece in self._blocks(position):
                yield piece
        except _GapError:
            raise SourceError("blocks are missing between the snapshot and the stream") from None
        except BlockError as error:
            raise SourceError(f"the stream holds something else: {error}") from None

    async def _snapshot(self) -> AsyncGenerator[Piece, None]:
        pointer = await self._client.get(f"{self._prefix}:head")
        name, _, last_id = (pointer or b"").partition(b" ")
        if not last_id:
            raise SourceError(f"there is no {self._prefix}:head: nothing was published yet")
        block = unpack_header(await self._client.getrange(name, 0, HEADER_BYTES - 1))
        begin, end = HEADER_BYTES, HEADER_BYTES + block.records * RECORD_BYTES
        while begin < end:
            chunk = await self._client.getrange(name, begin, min(begin + CHUNK, end) - 1)
            if len(chunk) != min(CHUNK, end - begin):
                raise SourceError("the snapshot was replaced while it was read")
            begin += len(chunk)
            for rows in slices(chunk):
                yield Piece(rows)
        yield Piece((), _Place(last_id, block.epoch, block.upto), await self._age(last_id))

    async def _blocks(self, place: _Place) -> AsyncGenerator[Piece, None]:
        while True:
            found = await self._client.xread({f"{self._prefix}:stream": place.id}, count=BLOCKS)
            blocks = found[0][1] if found else ()
            for identifier, fields in blocks:
                block, records = unpack(fields[b"b"])
                if block.epoch != place.epoch or block.after > place.at:
                    raise _GapError
                for rows in slices(records) if block.upto > place.at else ():
                    yield Piece(rows)
                place = _Place(identifier, place.epoch, max(place.at, block.upto))
            if len(blocks) < BLOCKS:
                break
            yield Piece((), place)
        yield Piece((), place, await self._age(place.id))

    async def _age(self, identifier: bytes) -> float:
        """Return how long ago a block was written, by the server's own clock."""
        seconds, microseconds = await self._client.time()
        age: float = seconds + microseconds / 1e6 - int(identifier.split(b"-")[0]) / 1000
        return max(age, 0.0)


def _maker(url: str) -> Callable[[], Any]:
    scheme, _, rest = url.partition("://") if isinstance(url, str) else ("", "", "")
    if scheme not in _SCHEMES or not rest:
        raise ConfigurationError("server", "expected a URL, as valkey://host:6379/0, or a function that makes a client")
    for package in ("valkey", "redis"):
        try:
            client = importlib.import_module(f"{package}.asyncio")
        except ImportError:
            continue
        options = {"socket_timeout": SOCKET_SECONDS, "socket_connect_timeout": SOCKET_SECONDS, "protocol": 2}
        known = f"{_SCHEMES[scheme]}://{rest}"
        return lambda: client.from_url(known, **options)
    raise ConfigurationError("server", "it needs the package valkey, or redis: pip install jwt-asgi[redis]")
