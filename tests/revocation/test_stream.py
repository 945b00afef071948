"""A real Valkey between publishers and readers: what is revoked arrives, and breaks lose nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from jwt_asgi import ConfigurationError
from jwt_asgi._core.revocation import pack
from jwt_asgi.issuer import feed as publishing
from jwt_asgi.issuer.feed import RevocationLog, StreamPublisher
from jwt_asgi.revocation import FromValkey, RevocationFeed
from jwt_asgi.revocation import stream as stream_module
from tests.revocation.conftest import Line
from tests.revocation.ledger import ISSUER, Ledger, marks, until

CLIENTS = ("valkey", "redis")


@asynccontextmanager
async def client_of(port: int, package: str = "valkey") -> AsyncIterator[Any]:
    module = pytest.importorskip(f"{package}.asyncio", reason=f"no client of this package: pip install {package}")
    client = module.from_url(f"redis://127.0.0.1:{port}", protocol=2)
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def publishing_to(port: int, prefix: str, ledger: Ledger, **options: Any) -> AsyncIterator[StreamPublisher]:
    async with client_of(port) as client:
        log = RevocationLog(ledger.entries, epoch=options.pop("epoch", 0))
        publisher = StreamPublisher(log, client, prefix=prefix, **{"flush": 0.02, "beat": 0.05, **options})
        task = asyncio.create_task(publisher.run())
        try:
            yield publisher
        finally:
            task.cancel()
            await asyncio.wait([task])


@asynccontextmanager
async def feed_of(port: int, prefix: str, **options: Any) -> AsyncIterator[RevocationFeed]:
    source = options.pop("source", None) or FromValkey(f"valkey://127.0.0.1:{port}/0", prefix=prefix)
    given = {"issuer": ISSUER, "on_stale": "deny", "interval": 0.05, "timeout": 1.0, **options}
    feed = RevocationFeed(source, **given)
    feed.ready()
    try:
        yield feed
    finally:
        await feed.aclose()


async def test_what_was_revoked_before_and_what_is_revoked_now_arrives(valkey_port: int, prefix: str) -> None:
    ledger = Ledger()
    for number in range(3000):
        ledger.revoke(f"old {number}")
    async with publishing_to(valkey_port, prefix, ledger), feed_of(valkey_port, prefix) as feed:
        await until(lambda: feed.status().entries == 3000)
        assert not feed.clears(marks("old 2999"))
        for number in range(1000):
            ledger.revoke(f"new {number}", "u")
        await until(lambda: feed.status().entries == 4000)
        assert not feed.clears(marks("new 999", "u"))
        assert feed.clears(marks("new 1000", "u"))
        assert feed.status().age is not None


@pytest.mark.parametrize("package", CLIENTS)
async def test_a_client_of_either_package_reads(valkey_port: int, prefix: str, package: str) -> None:
    module = pytest.importorskip(f"{package}.asyncio", reason=f"no client of this package: pip install {package}")
    source = FromValkey(lambda: module.from_url(f"redis://127.0.0.1:{valkey_port}", protocol=2), prefix=prefix)
    ledger = Ledger()
    async with publishing_to(valkey_port, prefix, ledger), feed_of(valkey_port, prefix, source=source) as feed:
        await until(lambda: feed.clears(marks("a")))
        ledger.revoke("a")
        await until(lambda: not feed.clears(marks("a")))


async def test_a_cut_line_makes_it_stale_and_a_mended_one_loses_nothing(
    valkey_port: int, prefix: str, lines: Callable[[int], Line]
) -> None:
    ledger, line = Ledger(), lines(valkey_port)
    await line.mend()
    async with publishing_to(valkey_port, prefix, ledger), feed_of(line.port, prefix, max_stale=0.4) as feed:
        await until(feed.ready)
        await line.cut()
        ledger.revoke("in the dark")
        assert await until(lambda: not feed.ready()) < 2
        assert feed.status().failures > 0
        assert feed.status().error == "ConnectionError"
        await line.mend()
        await until(feed.ready)
        assert not feed.clears(marks("in the dark"))
        assert feed.clears(marks("in the light"))
        assert feed.status().failures == 0


async def test_whoever_was_away_for_longer_than_the_stream_reaches_back_takes_the_snapshot(
    valkey_port: int, prefix: str, lines: Callable[[int], Line]
) -> None:
    ledger, line = Ledger(), lines(valkey_port)
    await line.mend()
    async with (
        publishing_to(valkey_port, prefix, ledger, snapshot_every=0.1),
        feed_of(line.port, prefix, max_stale=30.0) as feed,
        client_of(valkey_port) as client,
    ):
        await until(feed.ready)
        await line.cut()
        ledger.revoke("before the gap")
        await asyncio.sleep(0.3)
        ledger.revoke("behind the gap")
        await asyncio.sleep(0.3)
        await client.xtrim(f"{prefix}:stream", maxlen=1, approximate=False)
        await line.mend()
        await until(lambda: feed.status().entries == 2)


async def test_a_server_that_has_lost_all_is_filled_again(valkey_port: int, prefix: str) -> None:
    ledger = Ledger()
    async with (
        publishing_to(valkey_port, prefix, ledger),
        feed_of(valkey_port, prefix) as feed,
        client_of(valkey_port) as client,
    ):
        ledger.revoke("a")
        await until(lambda: feed.status().entries == 1)
        await client.delete(*await client.keys(f"{prefix}:*"))
        ledger.revoke("b")
        await until(lambda: feed.status().entries == 2)
        async with feed_of(valkey_port, prefix) as late:
            await until(lambda: late.status().entries == 2)


class Losing:
    """A client whose server loses all before one command is called."""

    def __init__(self, client: Any, prefix: str, before: str) -> None:
        self._client, self._prefix, self._before = client, prefix, before

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name != self._before:
            return method
        self._before = ""

        async def called(*arguments: Any, **options: Any) -> Any:
            await self._client.delete(*await self._client.keys(f"{self._prefix}:*"))
            return await method(*arguments, **options)

        return called


@pytest.mark.parametrize("before", ["xrevrange", "xadd", "append", "strlen", "persist", "set"])
async def test_what_is_lost_at_any_moment_of_a_publication_is_there_again_after_two_more(
    valkey_port: int, prefix: str, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    monkeypatch.setattr(publishing, "_CHUNK", 20)
    ledger = Ledger()
    async with client_of(valkey_port) as client:
        publisher = StreamPublisher(RevocationLog(ledger.entries), client, prefix=prefix)
        ledger.revoke("a")
        await publisher.flush()
        await client.delete(f"{prefix}:head")
        ledger.revoke("b")
        publisher._client = Losing(client, prefix, before)
        with suppress(RuntimeError):
            await publisher.flush()
        assert not publisher._client._before, "it was lost"
        publisher._client = client
        for _ in range(2):
            await publisher.flush()
        async with feed_of(valkey_port, prefix) as feed:
            assert await feed.start() is None
            assert feed.status().entries == 2


async def test_several_publishers_of_one_log_and_one_that_begins_later_lose_nothing(
    valkey_port: int, prefix: str
) -> None:
    ledger = Ledger()
    async with feed_of(valkey_port, prefix) as feed:
        async with publishing_to(valkey_port, prefix, ledger), publishing_to(valkey_port, prefix, ledger):
            for number in range(20):
                ledger.revoke(str(number))
                await asyncio.sleep(0.01)
            await until(lambda: feed.status().entries == 20)
        ledger.revoke("while nobody published")
        async with publishing_to(valkey_port, prefix, ledger):
            await until(lambda: feed.status().entries == 21)


async def test_a_log_of_another_epoch_is_read_from_its_snapshot(valkey_port: int, prefix: str) -> None:
    ledger, restored = Ledger(), Ledger()
    async with feed_of(valkey_port, prefix) as feed:
        async with publishing_to(valkey_port, prefix, ledger):
            for number in range(5):
                ledger.revoke(str(number))
            await until(lambda: feed.status().entries == 5)
        restored.revoke("after the restore")
        async with publishing_to(valkey_port, prefix, restored, epoch=1):
            await until(lambda: feed.status().entries == 6)
            restored.revoke("and on")
            await until(lambda: feed.status().entries == 7)


async def test_a_publisher_that_has_died_makes_readers_stale_though_the_server_answers(
    valkey_port: int, prefix: str
) -> None:
    async with feed_of(valkey_port, prefix, max_stale=0.5) as feed:
        async with publishing_to(valkey_port, prefix, Ledger()):
            await until(feed.ready)
        await until(lambda: not feed.ready())
        assert feed.status().failures == 0, "nothing is wrong with the line"
        async with feed_of(valkey_port, prefix, max_stale=0.5) as late:
            assert await late.start() is not None, "what it finds is old"


async def test_a_publisher_behind_the_stream_is_silent(valkey_port: int, prefix: str) -> None:
    ledger, behind = Ledger(), Ledger()
    ledger.revoke("a")
    ledger.revoke("b")
    behind.revoke("a")
    async with publishing_to(valkey_port, prefix, ledger), client_of(valkey_port) as client:
        while not await client.xlen(f"{prefix}:stream"):
            await asyncio.sleep(0.01)
    async with publishing_to(valkey_port, prefix, behind), client_of(valkey_port) as client:
        before = await client.xlen(f"{prefix}:stream")
        await asyncio.sleep(0.3)
        assert await client.xlen(f"{prefix}:stream") == before


async def test_without_a_publisher_nothing_is_known(valkey_port: int, prefix: str) -> None:
    async with feed_of(valkey_port, prefix) as feed:
        error = await feed.start()
        assert error is not None
        assert error.detail == (
            f"nothing was heard of revocations yet: there is no {prefix}:head: nothing was published yet"
        )
        assert feed.status().age is None


async def test_a_snapshot_that_is_replaced_while_it_is_read_is_read_again(valkey_port: int, prefix: str) -> None:
    ledger = Ledger()
    async with publishing_to(valkey_port, prefix, ledger), client_of(valkey_port) as client:
        ledger.revoke("a")
        while not (head := await client.get(f"{prefix}:head")):
            await asyncio.sleep(0.01)
        good = head.partition(b" ")[0]
        await client.set(f"{prefix}:short", (pack(b"", epoch=0, after=0, upto=9)[:-4]) + (5).to_bytes(4, "big"))
        await client.set(f"{prefix}:head", f"{prefix}:short ".encode() + head.partition(b" ")[2])
        async with feed_of(valkey_port, prefix) as feed:
            error = await feed.start()
            assert error is not None
            assert error.detail.endswith("the snapshot was replaced while it was read")
            await client.set(f"{prefix}:head", good + b" 0-0")
            await until(lambda: feed.status().entries == 1)


async def test_what_is_no_block_is_a_failure(valkey_port: int, prefix: str) -> None:
    async with client_of(valkey_port) as client:
        await client.set(f"{prefix}:head", f"{prefix}:snapshot 0-0")
        await client.set(f"{prefix}:snapshot", b"something else")
        async with feed_of(valkey_port, prefix) as feed:
            error = await feed.start()
            assert error is not None
            assert "the stream holds something else" in error.detail


async def test_blocks_that_are_missing_behind_the_snapshot_are_a_failure(valkey_port: int, prefix: str) -> None:
    async with client_of(valkey_port) as client:
        await client.set(f"{prefix}:snapshot", pack(b"", epoch=0, after=0, upto=5))
        await client.xadd(f"{prefix}:stream", {b"b": pack(b"", epoch=0, after=7, upto=8)})
        await client.set(f"{prefix}:head", f"{prefix}:snapshot 0-0")
        async with feed_of(valkey_port, prefix) as feed:
            error = await feed.start()
            assert error is not None
            assert error.detail.endswith("blocks are missing between the snapshot and the stream")


async def test_many_blocks_are_read_in_several_goes(
    valkey_port: int, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "BLOCKS", 3)
    async with client_of(valkey_port) as client:
        await client.set(f"{prefix}:snapshot", pack(b"", epoch=0, after=0, upto=0))
        for number in range(10):
            await client.xadd(f"{prefix}:stream", {b"b": pack(b"", epoch=0, after=number, upto=number + 1)})
        await client.set(f"{prefix}:head", f"{prefix}:snapshot 0-0")
        async with feed_of(valkey_port, prefix) as feed:
            assert await feed.start() is None


async def test_a_publisher_logs_that_it_cannot_publish_once_and_goes_on(
    valkey_port: int, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger()
    ledger.error = OSError("the store is down")
    async with publishing_to(valkey_port, prefix, ledger) as publisher, feed_of(valkey_port, prefix) as feed:
        await until(lambda: publisher.failures > 1)
        assert [record.message for record in caplog.records if "published:" in record.message] == [
            "revocations could not be published: OSError"
        ]
        ledger.error = None
        await until(feed.ready)
        assert publisher.failures == 0


async def test_the_stream_is_trimmed_and_old_snapshots_go(
    valkey_port: int, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "KEEP_SECONDS", 1.0)
    ledger = Ledger()
    async with client_of(valkey_port) as client:
        await client.xadd(f"{prefix}:stream", {b"b": pack(b"", epoch=0, after=0, upto=0)}, id="1-0")
        for _ in range(200):
            await client.xadd(f"{prefix}:stream", {b"b": pack(b"", epoch=0, after=0, upto=0)}, id="1-*")
        async with publishing_to(valkey_port, prefix, ledger, snapshot_every=0.1):
            for _ in range(3):
                ledger.revoke(str(time.time()))
                await asyncio.sleep(0.2)
            assert await client.xlen(f"{prefix}:stream") < 150
        names = await client.keys(f"{prefix}:snapshot*")
        lasting = [name for name in names if await client.ttl(name) < 0]
        assert len(lasting) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1", "valkey", "redis://", 7])
def test_what_is_no_url_of_a_server_is_refused(url: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected a URL, as valkey://"):
        FromValkey(url)


def test_without_a_client_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", absent)
    with pytest.raises(ConfigurationError, match=r"pip install jwt-asgi\[redis\]"):
        FromValkey("valkey://127.0.0.1")
