"""What the feed's readers get over HTTP: pure answers; and through a real socket, with breaks, caches and restores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from jwt_asgi import ConfigurationError
from jwt_asgi._core.revocation import key_of, unpack, unpack_rows
from jwt_asgi.issuer import feed as publishing
from jwt_asgi.issuer.feed import RevocationLog, delta_answer, snapshot_answer
from jwt_asgi.revocation import FromHTTP, RevocationFeed
from jwt_asgi.types import FetchResponse, Receive, Send
from tests.revocation.conftest import free_port
from tests.revocation.ledger import ISSUER, Ledger, marks, until

SECRET = b"Bearer of a resource server"


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def ledger_of(*values: str) -> Ledger:
    ledger = Ledger()
    for value in values:
        ledger.revoke(value)
    return ledger


def keys_in(body: bytes) -> list[bytes]:
    return [key for _, key, _, _ in unpack_rows(unpack(body)[1])]


def keys(*values: str) -> list[bytes]:
    return [key_of(ISSUER, "s", value) for value in values]


async def test_the_snapshot_holds_all_that_is_live_and_the_delta_what_came_after() -> None:
    ledger = ledger_of("a", "b")
    log = RevocationLog(ledger.entries, epoch=7)
    assert await log.pull() == 2
    ledger.revoke("c")
    assert await log.pull() == 1
    answer = snapshot_answer(log)
    assert (answer.status, dict(answer.headers)[b"etag"]) == (200, b'"7-3"')
    assert dict(answer.headers)[b"content-length"] == str(len(answer.body)).encode()
    assert unpack(answer.body)[0] == (7, 0, 3, 3)
    assert sorted(keys_in(answer.body)) == sorted(keys("a", "b", "c"))
    delta = delta_answer(log, "2")
    assert unpack(delta.body)[0] == (7, 2, 3, 1)
    assert keys_in(delta.body) == keys("c")
    assert log.count == 3


async def test_two_who_pull_at_once_read_each_entry_once() -> None:
    ledger = ledger_of(*map(str, range(30)))
    log = RevocationLog(ledger.entries)
    assert sum(await asyncio.gather(log.pull(), log.pull(), log.pull())) == 30
    ledger.revoke("last")
    assert sum(await asyncio.gather(log.pull(), log.pull())) == 1
    assert log.count == 31


async def test_whoever_has_all_is_told_so_without_a_body() -> None:
    log = RevocationLog(ledger_of("a").entries)
    await log.pull()
    for answer in (
        snapshot_answer(log, if_none_match='"0-1"'),
        delta_answer(log, "1", if_none_match='"x", W/"0-1"'),
    ):
        assert (answer.status, answer.body) == (304, b"")
    assert snapshot_answer(log, if_none_match='"0-2"').status == 200
    assert keys_in(delta_answer(log, "1").body) == []
    assert unpack(delta_answer(log, "5").body)[0] == (0, 5, 5, 0), "another process was ahead of this one"


async def test_the_log_does_not_reach_back_before_its_start_or_for_longer_than_it_keeps() -> None:
    ledger, clock = ledger_of("a"), Clock()
    log = RevocationLog(ledger.entries, clock=clock)
    await log.pull()
    assert delta_answer(log, "0").status == 410
    ledger.revoke("b")
    await log.pull()
    assert delta_answer(log, "1").status == 200
    clock.now += publishing.KEEP_SECONDS + 1
    await log.pull()
    assert delta_answer(log, "1").status == 410
    assert delta_answer(log, "2").status == 200


async def test_what_has_passed_leaves_the_snapshot_by_the_minute() -> None:
    ledger, clock = Ledger(), Clock()
    ledger.revoke("a", lasts=10)
    ledger.revoke("b", lasts=5000)
    clock.now = ledger.log[0].until - 10
    log = RevocationLog(ledger.entries, clock=clock)
    await log.pull()
    clock.now += 10 + 290
    await log.pull()
    assert log.count == 2, "a resource server may be lenient by 5 minutes"
    clock.now += 80
    await log.pull()
    assert keys_in(log.snapshot()) == keys("b")


async def test_an_endpoint_that_cannot_read_its_store_says_so() -> None:
    ledger, clock = ledger_of("a"), Clock()
    log = RevocationLog(ledger.entries, clock=clock)
    assert snapshot_answer(log).status == 503, "nothing was read yet"
    await log.pull()
    clock.now += publishing.MAX_AGE + 1
    for answer in (snapshot_answer(log), delta_answer(log, "1", if_none_match='"0-1"')):
        assert (answer.status, dict(answer.headers)[b"retry-after"]) == (503, b"1")


@pytest.mark.parametrize("after", [None, "", "-1", "1.0", "x", "\u0661", "9" * 20])
async def test_an_after_that_is_no_number_is_a_bad_request(after: str | None) -> None:
    log = RevocationLog(ledger_of("a").entries)
    await log.pull()
    assert delta_answer(log, after).status == 400


@pytest.mark.parametrize("options", [{"epoch": -1}, {"epoch": 2**32}, {"epoch": True}, {"entries": None}], ids=str)
def test_a_wrong_option_stops_the_start(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        RevocationLog(**{"entries": Ledger().entries, **options})


class Endpoint:
    """An endpoint as an application writes it."""

    def __init__(self, ledger: Ledger) -> None:
        self.log = RevocationLog(ledger.entries)
        self.statuses: list[tuple[str, int]] = []

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        tag = headers.get(b"if-none-match", b"").decode() or None
        status, more, body = 401, (), b""
        if headers.get(b"authorization") == SECRET:
            await self.log.pull()
            if scope["path"].endswith("/snapshot"):
                answer = snapshot_answer(self.log, if_none_match=tag)
            else:
                answer = delta_answer(self.log, scope["query_string"].decode().partition("=")[2], if_none_match=tag)
            status, more, body = answer.status, answer.headers, answer.body  # type: ignore[assignment]
        self.statuses.append((scope["path"].rpartition("/")[2], status))
        await send({"type": "http.response.start", "status": status, "headers": list(more)})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def ledger() -> Ledger:
    return ledger_of("a")


@pytest.fixture
def endpoint(ledger: Ledger) -> Endpoint:
    return Endpoint(ledger)


@pytest.fixture
async def url(endpoint: Endpoint) -> AsyncIterator[str]:
    config = uvicorn.Config(endpoint, port=free_port(), log_level="error", lifespan="off", interface="asgi3")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    yield f"http://127.0.0.1:{config.port}/revocations"
    server.should_exit = True
    await serving


def feed_of(url: str, **options: Any) -> RevocationFeed:
    given = {"headers": {"authorization": SECRET.decode()}, **options}
    return RevocationFeed(FromHTTP(url, **given), issuer=ISSUER, on_stale="deny", interval=0.03, max_stale=30)


async def test_a_reader_takes_the_snapshot_and_then_what_is_new(url: str, endpoint: Endpoint, ledger: Ledger) -> None:
    feed = feed_of(url)
    assert await feed.start() is None
    assert not feed.clears(marks("a"))
    ledger.revoke("b")
    await until(lambda: not feed.clears(marks("b")))
    await until(lambda: ("revocations", 304) in endpoint.statuses)
    await feed.aclose()
    assert endpoint.statuses[0] == ("snapshot", 200)
    assert ("revocations", 200) in endpoint.statuses
    assert len([path for path, _ in endpoint.statuses if path == "snapshot"]) == 1


async def test_where_the_endpoint_was_put_back_or_begins_anew_the_snapshot_is_taken_again(
    url: str, endpoint: Endpoint, ledger: Ledger
) -> None:
    feed = feed_of(url)
    assert await feed.start() is None
    ledger.revoke("b")
    endpoint.log = RevocationLog(ledger.entries)
    await until(lambda: feed.status().entries == 2)
    endpoint.log = RevocationLog(ledger_of("x", "y", "z").entries, epoch=1)
    await until(lambda: feed.status().entries == 5)
    await feed.aclose()


async def test_credentials_may_come_from_a_function_and_wrong_ones_are_a_failure(url: str) -> None:
    async def headers() -> dict[str, str]:
        return {"authorization": SECRET.decode()}

    for given in (headers, lambda: {"authorization": SECRET.decode()}):
        feed = feed_of(url, headers=given)
        assert await feed.start() is None
        await feed.aclose()
    feed = feed_of(url, headers=None)
    error = await feed.start()
    assert error is not None
    assert error.detail.endswith("/revocations/snapshot answered 401")
    await feed.aclose()


async def test_no_server_at_all_and_an_answer_of_something_else_are_failures() -> None:
    async def page(*_: Any, **__: Any) -> FetchResponse:
        return FetchResponse(200, {}, b"<html>")

    for options, detail in (({}, "could not be fetched"), ({"fetch": page}, "the endpoint answered with something")):
        feed = feed_of(f"http://127.0.0.1:{free_port()}/revocations", **options)
        error = await feed.start()
        assert error is not None
        assert detail in error.detail
        await feed.aclose()


async def test_what_a_cache_had_is_as_old_as_it_says() -> None:
    log = RevocationLog(ledger_of("a").entries)
    await log.pull()

    async def cached(*_: Any, **__: Any) -> FetchResponse:
        return FetchResponse(200, {"age": "100"}, snapshot_answer(log).body)

    feed = feed_of("https://auth.test/revocations", fetch=cached)
    assert await feed.start() is not None
    assert feed.status().entries == 1
    await feed.aclose()


@pytest.mark.parametrize(
    ("url", "options", "option"),
    [
        ("http://auth.test/revocations", {}, "url"),
        ("https://auth.test/revocations?a=1", {}, "url"),
        ("https://auth.test/revocations", {"headers": "Bearer x"}, "headers"),
    ],
)
def test_a_wrong_option_of_the_reader_stops_the_start(url: str, options: dict[str, Any], option: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        FromHTTP(url, **options)
    assert caught.value.option == option
