"""Publishes revocations: to a stream of Valkey or Redis, and over HTTP as answers that an endpoint sends.

`RevocationLog` reads the store and has in memory what readers ask for: every live record, packed, in one buffer for
each minute in which records pass, so that a minute is dropped whole; and what came last, in the pieces in which it was
read. Several processes may publish one log: readers take twice what is there twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from jwt_asgi._core.challenge import Answer
from jwt_asgi._core.policy import MAX_LEEWAY, seconds
from jwt_asgi._core.revocation import RECORD_BYTES, Entry, pack, pack_rows, row_of, unpack
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.together import Turns

__all__ = ["RevocationLog", "StreamPublisher", "delta_answer", "snapshot_answer"]

PAGE: Final = 1000
KEEP_SECONDS: Final = 600.0
"""How far back readers can go on; whoever was away for longer takes the snapshot."""
MAX_AGE: Final = 5.0
"""Seconds since the store was read, after which the endpoint says nothing rather than something old."""
_MINUTE = 60
_CHUNK = 2**18
_MOST = 2**63 - 1

logger = logging.getLogger("jwt_asgi")


class Entries(Protocol):
    """Reads the log of revocations, as `Store.entries`."""

    def __call__(self, after: int, /, *, limit: int) -> Awaitable[Sequence[Entry]]:
        """Return the entries behind `after`."""
        ...


class _Part(NamedTuple):
    """What one reading of the store brought, and when."""

    at: float
    after: int
    upto: int
    records: bytes


class RevocationLog:
    """What readers of the feed are given.

    Args:
        entries: `Store.entries`.
        epoch: Which log it is, 0 to 4,294,967,295. Give another when the database was put back to an older state:
            then every reader takes the snapshot.
        clock: Seconds since the epoch.

    Raises:
        ConfigurationError: an option is wrong.
    """

    def __init__(self, entries: Entries, *, epoch: int = 0, clock: Callable[[], float] = time.time) -> None:
        """Read nothing yet."""
        if not callable(entries):
            raise ConfigurationError("entries", f"expected an async function, as store.entries; got {entries!r}")
        if not isinstance(epoch, int) or isinstance(epoch, bool) or not 0 <= epoch < 2**32:
            raise ConfigurationError("epoch", f"expected a number from 0 to {2**32 - 1}; got {epoch!r}")
        self.epoch = epoch
        self.upto = 0
        self.key_entries = 0
        """How many entries of signing keys were read: they concern this process, too."""
        self._entries = entries
        self._clock = clock
        self._turns = Turns()
        self._read_at: float | None = None
        self._floor = 0
        self._minutes: dict[int, bytearray] = {}
        self._parts: deque[_Part] = deque()

    @property
    def age(self) -> float | None:
        """Return how many seconds ago the store was read; None: not yet."""
        return None if self._read_at is None else max(self._clock() - self._read_at, 0.0)

    @property
    def count(self) -> int:
        """Return how many records are live."""
        return sum(map(len, self._minutes.values())) // RECORD_BYTES

    async def pull(self) -> int:
        """Read what is new in the store; return how many entries that are. It raises whatever the store does."""
        # Whoever publishes the log reads it, and so does who answers for it
        async with self._turns.mine():
            return await self._pull()

    async def _pull(self) -> int:
        began, first, count = self._clock(), self._read_at is None, 0
        while page := await self._entries(self.upto, limit=PAGE):
            rows = [row_of(entry) for entry in page]
            self.key_entries += sum(entry.kind == "k" for entry in page)
            for row in rows:
                self._minutes.setdefault(row[2] // _MINUTE, bytearray()).extend(pack_rows([row]))
            if not first:
                self._parts.append(_Part(began, self.upto, page[-1].seq, pack_rows(rows)))
            self.upto = page[-1].seq
            count += len(page)
            await asyncio.sleep(0)
        if first:
            self._floor = self.upto
        self._read_at = began
        self._forget(began)
        return count

    def since(self, after: int) -> bytes | None:
        """Return the block of what came after a position, maybe with some from before; None: take the snapshot."""
        if after < self._floor:
            return None
        parts = [part for part in self._parts if part.upto > after]
        begin = min(parts[0].after, after) if parts else after
        records = b"".join([part.records for part in parts])
        return pack(records, epoch=self.epoch, after=begin, upto=max(self.upto, begin))

    def snapshot(self) -> bytes:
        """Return the block of everything that is live."""
        return pack(b"".join(self._minutes.values()), epoch=self.epoch, after=0, upto=self.upto)

    def _forget(self, now: float) -> None:
        for minute in [minute for minute in self._minutes if (minute + 1) * _MINUTE + MAX_LEEWAY < now]:
            del self._minutes[minute]
        while self._parts and self._parts[0].at < now - KEEP_SECONDS:
            self._floor = self._parts.popleft().upto


def snapshot_answer(log: RevocationLog, *, if_none_match: str | None = None) -> Answer:
    """Return the answer to `GET /revocations/snapshot` of an authenticated resource server.

    304 where it has that already; 503 where the store could not be read for 5 seconds.
    """
    tag = f'"{log.epoch}-{log.upto}"'
    if _is_old(log):
        return _UNAVAILABLE
    return _answer(304, tag) if _matches(if_none_match, tag) else _answer(200, tag, log.snapshot())


def delta_answer(log: RevocationLog, after: str | None, *, if_none_match: str | None = None) -> Answer:
    """Return the answer to `GET /revocations?after=`, likewise.

    304 where there is nothing new; 410 where the log does not reach back so far: the snapshot does. 400: `after` is no
    number.
    """
    if after is None or not (after.isascii() and after.isdigit()) or len(after) > len(str(_MOST)):
        return _plain(400, b"after: expected a number")
    if _is_old(log):
        return _UNAVAILABLE
    tag = f'"{log.epoch}-{log.upto}"'
    if _matches(if_none_match, tag):
        return _answer(304, tag)
    block = log.since(int(after))
    return _plain(410, b"take the snapshot") if block is None else _answer(200, tag, block)


class StreamPublisher:
    """Writes the log to a stream of Valkey or Redis, and a snapshot beside it.

    Args:
        log: What is published.
        client: Of `valkey.asyncio` or `redis.asyncio`, with RESP 2, without decoding of responses. It stays the
            caller's to close.
        prefix: What the keys begin with.
        flush: Seconds between two blocks, where there is something new.
        beat: Seconds between two blocks where there is nothing: readers see that somebody publishes.
        snapshot_every: Seconds between two snapshots, where there is something new.
    """

    def __init__(
        self,
        log: RevocationLog,
        client: Any,  # noqa: ANN401 - of one of two packages
        *,
        prefix: str = "jwt-asgi:revocations",
        flush: float = 0.25,
        beat: float = 1.0,
        snapshot_every: float = 60.0,
    ) -> None:
        """Write nothing yet."""
        self._log, self._client, self._prefix = log, client, prefix
        self._flush = seconds("flush", flush, least=0.01)
        self._beat = seconds("beat", beat, least=flush)
        self._snapshot_every = seconds("snapshot_every", snapshot_every, least=flush)
        self._snapshot_at: float | None = None
        self._snapshot_tag = (-1, -1)
        self.failures = 0

    async def run(self) -> None:
        """Publish until it is cancelled. Failures are logged, and tried again."""
        while True:
            began = time.monotonic()
            try:
                await self.flush()
                self.failures = 0
            except Exception as error:  # noqa: BLE001 - whatever store and server raise: they are tried again
                self.failures += 1
                # What the server has after a failure may be an older state
                self._snapshot_at = None
                if self.failures == 1:
                    logger.warning("revocations could not be published: %s", type(error).__name__)
            if (task := asyncio.current_task()) is not None and task.cancelling():
                # The clients of Valkey and Redis may swallow a cancellation
                raise asyncio.CancelledError
            await asyncio.sleep(max(self._flush - (time.monotonic() - began), 0.0))

    async def flush(self) -> None:
        """Read the store and write what is new, once. It raises whatever store and client do."""
        log = self._log
        await log.pull()
        last = await self._last()
        if last is None:
            identifier = await self._write(pack(b"", epoch=log.epoch, after=log.upto, upto=log.upto))
            last, self._snapshot_at = _Last(identifier, log.upto, 0.0), None
        if last.upto > log.upto:
            # Another publisher is ahead; or the store was put back, and all are silent until it has another epoch
            return
        if await self._is_snapshot_due():
            await self._write_snapshot(last.id)
        if log.upto > last.upto:
            block = log.since(last.upto)
            # What nobody has published for too long is in the snapshot alone: readers see the gap
            await self._write(block or pack(b"", epoch=log.epoch, after=log.upto, upto=log.upto))
        elif last.age >= self._beat:
            await self._write(pack(b"", epoch=log.epoch, after=last.upto, upto=last.upto))

    async def _last(self) -> _Last | None:
        """Return the last block that anybody has written; None: there is none, or it is of another log."""
        found = await self._client.xrevrange(f"{self._prefix}:stream", count=1)
        if not found:
            return None
        now, microseconds = await self._client.time()
        identifier, fields = found[0]
        block, _ = unpack(fields[b"b"])
        age = now + microseconds / 1e6 - int(identifier.split(b"-")[0]) / 1000
        return _Last(identifier, block.upto, age) if block.epoch == self._log.epoch else None

    async def _write(self, block: bytes) -> bytes:
        now, _ = await self._client.time()
        oldest = max(int(now - KEEP_SECONDS), 0) * 1000
        identifier: bytes = await self._client.xadd(f"{self._prefix}:stream", {b"b": block}, minid=oldest)
        return identifier

    async def _is_snapshot_due(self) -> bool:
        """Whether it is time for another; also where the server has lost the one that there was."""
        if self._snapshot_at is None or time.monotonic() - self._snapshot_at > self._snapshot_every:
            return True
        head: bytes = await self._client.get(f"{self._prefix}:head") or b""
        if not await self._client.exists(head.partition(b" ")[0] or self._prefix):
            self._snapshot_at = None
        return self._snapshot_at is None

    async def _write_snapshot(self, identifier: bytes) -> None:
        """Write a snapshot, and then the word where it is; a reader of it goes on behind the block that is named.

        Raises:
            RuntimeError: the server has lost a part of it meanwhile.
        """
        log, head = self._log, f"{self._prefix}:head"
        tag = (log.epoch, log.upto)
        if tag != self._snapshot_tag or self._snapshot_at is None:
            name, block = f"{self._prefix}:snapshot:{time.time_ns()}", log.snapshot()
            for begin in range(0, len(block), _CHUNK):
                await self._client.append(name, block[begin : begin + _CHUNK])
                await self._client.expire(name, int(KEEP_SECONDS))
            if await self._client.strlen(name) != len(block):
                raise RuntimeError("the server has lost a part of the snapshot")
            old: bytes | None = await self._client.get(head)
            await self._client.persist(name)
            await self._client.set(head, name.encode() + b" " + identifier)
            if old is not None:
                # Somebody may be reading it
                await self._client.expire(old.partition(b" ")[0], int(KEEP_SECONDS))
        self._snapshot_tag, self._snapshot_at = tag, time.monotonic()


class _Last(NamedTuple):
    """The last block of a stream: its identifier, how far it leads, and how many seconds ago it was written."""

    id: bytes
    upto: int
    age: float


def _is_old(log: RevocationLog) -> bool:
    return log.age is None or log.age > MAX_AGE


def _matches(if_none_match: str | None, tag: str) -> bool:
    return if_none_match is not None and tag in [one.strip().removeprefix("W/") for one in if_none_match.split(",")]


def _answer(status: int, tag: str, body: bytes = b"") -> Answer:
    headers = [(b"etag", tag.encode()), (b"cache-control", b"no-cache")]
    if status == 200:  # noqa: PLR2004 - HTTP
        headers += [(b"content-type", b"application/octet-stream"), (b"content-length", str(len(body)).encode())]
    return Answer(status, tuple(headers), body)


def _plain(status: int, text: bytes, *more: tuple[bytes, bytes]) -> Answer:
    headers = ((b"content-type", b"text/plain"), (b"cache-control", b"no-store"))
    return Answer(status, (*headers, (b"content-length", str(len(text)).encode()), *more), text)


_UNAVAILABLE = _plain(503, b"the store could not be read lately", (b"retry-after", b"1"))
