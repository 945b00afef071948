"""A feed judges by what it knows; what it does not know lately is for the stale mode. Loops, threads and forks."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio

from jwt_asgi import ConfigurationError, KeysUnavailable, Reason, TokenError
from jwt_asgi.revocation import FromStore, Piece, Reader, RevocationFeed, SourceError
from tests.keys.script import FakeClock
from tests.revocation.ledger import ISSUER, Ledger, marks, until


def feed_of(ledger: Ledger, **options: Any) -> RevocationFeed:
    given = {"issuer": ISSUER, "on_stale": "deny", "interval": 0.03, "timeout": 0.5, **options}
    return RevocationFeed(FromStore(ledger.entries), **given)


async def reason_of(feed: RevocationFeed, value: str, token: str = "a token") -> Reason | None:
    try:
        await feed.check(marks(value), token)
    except (TokenError, KeysUnavailable) as error:
        return error.reason
    return None


async def test_the_first_token_waits_for_the_first_attempt_and_then_is_judged() -> None:
    ledger = Ledger()
    ledger.revoke("a")
    feed = feed_of(ledger)
    assert not feed.clears(marks("b")), "nothing is known yet"
    assert await reason_of(feed, "b") is None
    assert feed.clears(marks("b"))
    assert not feed.clears(marks("a"))
    assert await reason_of(feed, "a") is Reason.TOKEN_REVOKED
    await feed.aclose()


async def test_what_is_revoked_arrives_without_any_request() -> None:
    ledger = Ledger()
    feed = feed_of(ledger)
    assert await feed.start() is None
    ledger.revoke("a")
    await until(lambda: feed.status().entries == 1)
    await feed.aclose()
    assert feed.status().entries == 1, "what is known is kept"


async def test_without_an_answer_at_first_deny_is_503_with_a_time_and_names_what_failed() -> None:
    ledger = Ledger()
    ledger.error = SourceError("the table is not there")
    feed = feed_of(ledger)
    with pytest.raises(KeysUnavailable) as caught:
        await feed.check(marks("a"), "a token")
    assert caught.value.reason is Reason.REVOCATION_UNAVAILABLE
    assert caught.value.retry_after >= 1
    assert caught.value.issuer == ISSUER
    assert caught.value.detail == "nothing was heard of revocations yet: the table is not there"
    assert not feed.ready()
    await feed.aclose()


async def test_a_first_attempt_that_hangs_is_waited_for_only_so_long() -> None:
    ledger = Ledger()
    ledger.gate = asyncio.Event()
    feed = feed_of(ledger, timeout=0.1)
    began = time.monotonic()
    assert await reason_of(feed, "a") is Reason.REVOCATION_UNAVAILABLE
    assert time.monotonic() - began < 2
    await until(lambda: feed.status().error == "nothing came within 0.1 s")
    assert await feed.start(0.0) is not None
    await feed.aclose()


async def test_a_cut_feed_is_good_for_as_long_as_max_stale_and_then_denies_and_recovers() -> None:
    ledger, clock = Ledger(), FakeClock()
    ledger.revoke("a")
    feed = feed_of(ledger, max_stale=60.0, clock=clock)
    assert await feed.start() is None
    ledger.error = OSError("gone")
    await until(lambda: feed.status().failures > 0)
    assert feed.status().error == "OSError", "whatever its text is"
    clock.now += 55
    assert feed.clears(marks("b"))
    status = feed.status()
    assert (status.fresh, status.ready) == (True, True)
    assert status.age is not None
    assert 54 < status.age < 59
    clock.now += 6
    assert not feed.clears(marks("b"))
    assert await reason_of(feed, "b") is Reason.REVOCATION_UNAVAILABLE
    assert await reason_of(feed, "a") is Reason.TOKEN_REVOKED, "what is known to be revoked is so in every mode"
    assert (feed.status().fresh, feed.status().ready, feed.status().stale_in) == (False, False, 0.0)
    ledger.error = None
    ledger.revoke("c")
    await until(feed.ready)
    assert await reason_of(feed, "b") is None
    assert await reason_of(feed, "c") is Reason.TOKEN_REVOKED
    await feed.aclose()


async def test_allow_lets_in_what_is_not_known_to_be_revoked() -> None:
    ledger, clock = Ledger(), FakeClock()
    ledger.revoke("a")
    feed = feed_of(ledger, on_stale="allow", clock=clock)
    assert await feed.start() is None
    ledger.error = OSError("gone")
    clock.now += 100
    assert not feed.clears(marks("b")), "it is for check to say"
    assert await reason_of(feed, "b") is None
    assert await reason_of(feed, "a") is Reason.TOKEN_REVOKED
    assert (feed.status().fresh, feed.status().ready) == (False, True)
    assert (feed.status().counters["allowed"], feed.status().counters["revoked"]) == (1, 1)
    await feed.aclose()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (True, None),
        (False, Reason.TOKEN_REVOKED),
        (None, Reason.REVOCATION_UNAVAILABLE),
        ({"active": True}, Reason.REVOCATION_UNAVAILABLE),
        (OSError("down"), Reason.REVOCATION_UNAVAILABLE),
        (9.0, Reason.REVOCATION_UNAVAILABLE),
    ],
    ids=str,
)
async def test_introspect_asks_about_each_token_and_takes_nothing_but_true_for_yes(
    answer: Any, expected: Reason | None, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []

    async def introspect(token: str) -> bool:
        asked.append(token)
        if isinstance(answer, Exception):
            raise answer
        await asyncio.sleep(answer if isinstance(answer, float) else 0)
        result: bool = answer
        return result

    ledger = Ledger()
    ledger.error = OSError("gone")
    feed = feed_of(ledger, on_stale="introspect", introspect=introspect, timeout=0.2)
    assert feed.ready()
    assert await reason_of(feed, "a", "the token") is expected
    assert asked == ["the token"]
    assert feed.status().counters["introspected"] == (expected is not Reason.REVOCATION_UNAVAILABLE)
    await feed.aclose()


async def test_so_many_introspections_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jwt_asgi.revocation.feed.MAX_INTROSPECTIONS", 2)
    go = asyncio.Event()

    async def introspect(_: str) -> bool:
        await go.wait()
        return True

    ledger = Ledger()
    ledger.error = OSError("gone")
    feed = feed_of(ledger, on_stale="introspect", introspect=introspect, timeout=5.0)
    await feed.start()
    waiting = [asyncio.create_task(reason_of(feed, "a")) for _ in range(3)]
    await asyncio.sleep(0.02)
    go.set()
    assert await asyncio.gather(*waiting) == [None, None, Reason.REVOCATION_UNAVAILABLE]
    await feed.aclose()


async def test_while_a_large_snapshot_is_taken_the_event_loop_goes_on() -> None:
    ledger = Ledger()
    for number in range(5000):
        ledger.revoke(str(number))
    feed, turns = feed_of(ledger), 0
    feed.ready()
    while feed.status().entries < 5000:
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 10, "one for each slice at least"
    await feed.aclose()


async def test_what_has_passed_is_forgotten_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jwt_asgi._core.revoked.MAX_LEEWAY", 0.0)
    monkeypatch.setattr("jwt_asgi._core.revoked._TICK", 1)
    monkeypatch.setattr("jwt_asgi._core.revoked._EPOCH", int(time.time()) - 1000)
    monkeypatch.setattr("jwt_asgi.revocation.poller.SWEEP_SECONDS", 0.1)
    ledger = Ledger()
    ledger.revoke("a", lasts=0.1)
    ledger.revoke("b")
    feed = feed_of(ledger)
    await feed.start()
    assert feed.status().entries == 2
    ledger.log.pop(0)
    await until(lambda: feed.status().entries == 1)
    assert not feed.clears(marks("b"))
    await feed.aclose()


def test_another_event_loop_goes_on_where_the_first_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jwt_asgi.revocation.polled.OVERLAP", 0)
    ledger = Ledger()
    ledger.revoke("a")
    feed = feed_of(ledger)

    async def judge() -> Reason | None:
        return await reason_of(feed, "a")

    async def judge_new() -> None:
        feed.ready()
        await until(lambda: feed.status().entries == 2)
        await feed.aclose()

    assert asyncio.run(judge()) is Reason.TOKEN_REVOKED
    ledger.revoke("b")
    time.sleep(0.1)
    asyncio.run(judge_new())
    assert ledger.reads[:2] == [0, 1], "it went on from where it was"


def test_threads_with_event_loops_of_their_own_share_one_task() -> None:
    ledger = Ledger()
    ledger.revoke("a")
    feed, found, together = feed_of(ledger), [], threading.Barrier(4)

    async def judge() -> None:
        together.wait()
        found.append(await reason_of(feed, "a"))
        # The loop that has the task must not end before the others have asked
        await asyncio.sleep(0.3)
        await feed.aclose()

    threads = [threading.Thread(target=asyncio.run, args=(judge(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [Reason.TOKEN_REVOKED] * 4


def test_a_task_that_hangs_in_another_loop_is_taken_over_and_what_it_brings_late_is_dropped() -> None:
    ledger, clock, release = Ledger(), FakeClock(), threading.Event()
    ledger.revoke("a")
    feed = feed_of(ledger, clock=clock)

    async def hang() -> None:
        assert await feed.start() is None
        release.wait(5)  # and with it all that is in this event loop
        await asyncio.sleep(0.1)

    other = threading.Thread(target=asyncio.run, args=(hang(),))
    other.start()
    while not feed.status().entries:
        time.sleep(0.01)
    time.sleep(0.05)
    clock.now += 30
    ledger.revoke("b")

    async def go_on() -> None:
        feed.ready()
        await until(lambda: feed.status().entries == 2)
        release.set()
        await asyncio.to_thread(other.join)
        await until(lambda: feed.clears(marks("c")))
        await feed.aclose()

    asyncio.run(go_on())


def test_on_trio_it_is_a_thread_of_its_own() -> None:
    ledger = Ledger()
    ledger.revoke("a")
    feed = feed_of(ledger)

    async def judge() -> None:
        assert await reason_of(feed, "a") is Reason.TOKEN_REVOKED
        assert await reason_of(feed, "b") is None
        await feed.aclose()

    trio.run(judge)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_begins_anew() -> None:
    ledger = Ledger()
    ledger.revoke("a")
    feed = feed_of(ledger)

    async def judge() -> bool:
        fine = await reason_of(feed, "a") is Reason.TOKEN_REVOKED and await reason_of(feed, "b") is None
        await feed.aclose()
        return fine

    assert asyncio.run(judge())
    child = os.fork()
    if not child:
        os._exit(0 if feed.status().age is None and asyncio.run(judge()) else 1)
    assert os.waitpid(child, 0)[1] == 0


class Scripted:
    """A source whose connections are counted."""

    def __init__(self, read: Callable[[Any], AsyncIterator[Piece]]) -> None:
        self.opened = self.closed = 0
        self.read: Any = read

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Reader]:
        self.opened += 1
        try:
            yield self
        finally:
            self.closed += 1


async def test_a_connection_that_failed_is_closed_and_another_is_opened_where_reading_stopped() -> None:
    seen: list[Any] = []

    async def read(position: Any) -> AsyncIterator[Piece]:
        seen.append(position)
        yield Piece((), position=len(seen))
        if len(seen) == 2:
            raise SourceError("cut")
        yield Piece((), position=len(seen))

    source = Scripted(read)
    feed = RevocationFeed(source, issuer=ISSUER, on_stale="deny", interval=0.01)
    await feed.start()
    await until(lambda: len(seen) >= 4)
    await feed.aclose()
    assert seen[:4] == [None, 1, 2, 3]
    assert source.opened == source.closed == 2


def test_an_event_loop_ends_though_a_client_swallows_its_cancellation() -> None:
    reads: list[Any] = []

    async def read(position: Any) -> AsyncIterator[Piece]:
        reads.append(position)
        if len(reads) > 1:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
        yield Piece((), position=len(reads))

    async def begin() -> None:
        feed = RevocationFeed(Scripted(read), issuer=ISSUER, on_stale="deny", interval=0.01)
        await feed.start()
        await until(lambda: len(reads) == 2)

    asyncio.run(begin())
    assert reads == [None, 1]


async def test_news_that_is_old_at_the_source_is_old_here() -> None:
    async def read(_: Any) -> AsyncIterator[Piece]:
        yield Piece((), position=1, age=100.0)

    feed = RevocationFeed(Scripted(read), issuer=ISSUER, on_stale="deny", interval=0.01)
    error = await feed.start()
    assert error is not None
    assert error.detail == "revocations are 100 s old"
    await feed.aclose()


def test_the_status_is_json() -> None:
    status = feed_of(Ledger()).status().as_dict()
    assert status["issuers"] == [ISSUER]
    assert set(status["counters"]) == {"polls", "failures", "revoked", "ended", "denied", "allowed", "introspected"}
    assert (status["fresh"], status["age"], status["entries"]) == (False, None, 0)


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"issuer": ""}, "issuer"),
        ({"issuer": []}, "issuer"),
        ({"on_stale": "perhaps"}, "on_stale"),
        ({"on_stale": "introspect"}, "introspect"),
        ({"introspect": print}, "introspect"),
        ({"on_stale": "introspect", "introspect": "url"}, "introspect"),
        ({"interval": 0}, "interval"),
        ({"max_stale": 0.01}, "max_stale"),
        ({"timeout": -1}, "timeout"),
    ],
    ids=str,
)
def test_a_wrong_option_stops_the_start(options: dict[str, Any], option: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        feed_of(Ledger(), **options)
    assert caught.value.option == option


def test_what_is_no_source_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="expected a source"):
        RevocationFeed(Ledger().entries, issuer=ISSUER, on_stale="deny")  # type: ignore[arg-type]
