"""On trio, where an asyncio client cannot run, everything is as on asyncio; and both may share one verifier."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import trio

from jwt_asgi import (
    JWTMiddleware,
    KeyCaching,
    KeysUnavailable,
    Reason,
    TokenError,
    TrustedIssuer,
    Verifier,
)
from jwt_asgi.instrumentation import KeyEvent, KeyEventKind
from jwt_asgi.types import ASGIScope, FetchResponse, Message, Receive, Send
from tests.asgi import http
from tests.keys.script import FakeClock
from tests.keys.server import answer, silence
from tests.stories.apart import Issuer, issuer_apart

AGEING, STALE, EXPIRED = 256.0, 300.0, 86_700.0
QUICK = KeyCaching(timeout=0.3, stale_wait=0.1)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """An issuer; after the story no thread of a fetch is left, and nothing that was not closed."""
    with issuer_apart() as apart:
        yield apart
        flights_have_ended()
    gc.collect(1)


def flights_have_ended() -> None:
    for thread in threading.enumerate():
        if thread.name == "jwt-asgi keys":
            thread.join(5)
            assert not thread.is_alive()


class Service:
    """A verifier of this issuer, and the clock that its keys age by."""

    def __init__(self, issuer: Issuer, caching: KeyCaching | None = None) -> None:
        self.issuer, self.clock = issuer, FakeClock()
        self.events: list[KeyEventKind] = []
        self.verifier = Verifier(
            TrustedIssuer(
                issuer=issuer.name,
                audience=issuer.kit.audience,
                algorithms=["ES256"],
                key_caching=caching,
                key_clock=self.clock,
                key_hooks=[self.note],
            )
        )

    def note(self, event: KeyEvent) -> None:
        self.events.append(event.kind)

    async def outcome(self, token: str | None = None) -> Reason | None:
        """Why a token is refused, by default a good one; None where it is not."""
        try:
            await self.verifier.verify(token or self.issuer.kit.token())
        except (TokenError, KeysUnavailable) as error:
            return error.reason
        return None

    @property
    def state(self) -> str:
        return self.verifier.status()[self.issuer.name].state.value


async def at_once(*calls: Callable[[], Awaitable[Any]]) -> list[Any]:
    """What these return, all begun together."""
    results: list[Any] = []

    async def call(one: Callable[[], Awaitable[Any]]) -> None:
        results.append(await one())

    async with trio.open_nursery() as nursery:
        for one in calls:
            nursery.start_soon(call, one)
    return results


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(5):
        while not condition():
            await trio.sleep(0.002)


def test_the_first_token_fetches_the_keys_and_the_next_ones_nothing(issuer: Issuer) -> None:
    async def story() -> None:
        service = Service(issuer)
        assert [await service.outcome() for _ in range(5)] == [None] * 5
        assert issuer.fetches == 1
        assert await service.outcome(issuer.kit.bad_token(Reason.SIGNATURE_INVALID)) is Reason.SIGNATURE_INVALID
        issuer.kit.rotate()
        assert await service.outcome() is None, "a new key is taken in that same request"
        unknown = issuer.kit.bad_token(Reason.KEY_UNKNOWN)
        assert [await service.outcome(unknown) for _ in range(3)] == [Reason.KEY_UNKNOWN] * 3
        assert issuer.fetches == 3
        assert service.events.count(KeyEventKind.UNKNOWN_KID) == 1

    trio.run(story)


@pytest.mark.parametrize("age", [None, STALE, EXPIRED], ids=["cold", "stale", "expired"])
def test_a_hundred_tokens_at_once_share_one_fetch(issuer: Issuer, age: float | None) -> None:
    async def story() -> None:
        service = Service(issuer)
        if age is not None:
            await service.outcome()
            service.clock.now += age
        before = issuer.fetches
        assert await at_once(*[service.outcome] * 100) == [None] * 100
        assert issuer.fetches == before + 1

    trio.run(story)


def test_an_ageing_set_is_refreshed_beside_the_requests(issuer: Issuer) -> None:
    async def story() -> None:
        service = Service(issuer)
        await service.outcome()
        service.clock.now += AGEING
        assert [await service.outcome() for _ in range(20)] == [None] * 20
        await until(lambda: service.state == "fresh")
        assert issuer.fetches == 2

    trio.run(story)


def test_an_issuer_that_hangs_holds_a_first_request_no_longer_than_the_bound_and_a_known_token_not_at_all(
    issuer: Issuer,
) -> None:
    async def story() -> None:
        cold, warm = Service(issuer, QUICK), Service(issuer, QUICK)
        assert await warm.outcome() is None
        issuer.answers(silence)
        began = time.monotonic()
        assert await cold.outcome() is Reason.KEYS_UNAVAILABLE
        assert 0.15 < time.monotonic() - began < 3
        for age in (AGEING, STALE - AGEING):
            warm.clock.now += age
            assert await warm.outcome() is None
        await until(lambda: KeyEventKind.FAILED in warm.events)

    trio.run(story)


def test_callers_whose_scopes_end_take_nobody_with_them(issuer: Issuer) -> None:
    async def story() -> None:
        service = Service(issuer)
        let_go = threading.Event()

        async def held(request: Any, writer: asyncio.StreamWriter) -> None:
            while not let_go.is_set():
                await asyncio.sleep(0.002)
            writer.write(answer(200, answer_body(issuer)))

        issuer.answers(held)
        given_up = []

        async def impatient() -> None:
            with trio.move_on_after(0.03) as scope:
                await service.outcome()
            given_up.append(scope.cancelled_caught)

        async def last() -> Reason | None:
            await until(lambda: len(given_up) == 5)
            let_go.set()
            return None

        outcomes = await at_once(*[impatient] * 5, service.outcome, last)
        assert given_up == [True] * 5
        assert outcomes == [None] * 7
        assert issuer.fetches == 1

    trio.run(story)


def answer_body(issuer: Issuer) -> bytes:
    return json.dumps(issuer.kit.jwks()).encode()


def test_a_run_that_ends_in_the_midst_of_a_fetch_leaves_the_next_one_free(issuer: Issuer) -> None:
    service = Service(issuer, QUICK)
    issuer.answers(silence)

    async def leave() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(service.outcome)
            await until(lambda: issuer.fetches == 1)
            nursery.cancel_scope.cancel()

    trio.run(leave)
    issuer.answers(None)
    flights_have_ended()
    service.clock.now += 1
    assert trio.run(service.outcome) is None
    assert issuer.fetches == 2


def test_a_down_issuer_is_backed_off_from_and_recovered_from(issuer: Issuer) -> None:
    async def story() -> None:
        service = Service(issuer)
        issuer.answers(answer(503))
        assert [await service.outcome() for _ in range(3)] == [Reason.KEYS_UNAVAILABLE] * 3
        assert issuer.fetches == 1
        issuer.answers(None)
        service.clock.now += 1
        assert await service.outcome() is None
        await until(lambda: KeyEventKind.RECOVERED in service.events)

    trio.run(story)


def test_a_reload_a_start_and_a_probe_work(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        service = Service(issuer)
        await service.verifier.start("warm")
        await service.verifier.start("require")
        assert (service.state, issuer.fetches) == ("fresh", 1)
        await at_once(*[service.verifier.reload] * 10)
        assert issuer.fetches == 2
        issuer.answers(answer(500))
        with pytest.raises(KeysUnavailable):
            await service.verifier.reload()
        assert service.state == "fresh"

        other = Service(issuer)
        monkeypatch.setattr("jwt_asgi.verifier.START_SECONDS", 0.1)
        await other.verifier.start("warm")
        with pytest.raises(KeysUnavailable):
            await other.verifier.start("require")
        issuer.answers(None)
        other.clock.now += 30
        assert not other.verifier.ready()
        await until(lambda: other.state == "fresh")
        await other.verifier.aclose()

        late = Service(issuer)
        issuer.answers([answer(503), *[answer(200, answer_body(issuer))] * 2])
        monkeypatch.setattr("jwt_asgi.verifier.START_SECONDS", 5.0)

        async def time_passes() -> None:
            await until(lambda: KeyEventKind.FAILED in late.events)
            late.clock.now += 1

        await at_once(lambda: late.verifier.start("require"), time_passes)
        assert late.state == "fresh"

    trio.run(story)


def test_a_fetch_of_ones_own_runs_on_asyncio_there_too(issuer: Issuer) -> None:
    async def fetch(url: str, **options: Any) -> FetchResponse:
        await asyncio.sleep(0.001)
        return await issuer.kit.fetch(url, **options)

    options: dict[str, Any] = {**issuer.kit.options(), "fetch": fetch}
    trusted = TrustedIssuer(**options)
    token = issuer.kit.token()
    assert trio.run(Verifier(trusted).verify, token).subject == "user-1"


def test_requests_and_the_lifespan_pass_the_door(issuer: Issuer) -> None:
    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            assert (await receive())["type"] == "lifespan.startup"
            return await send({"type": "lifespan.startup.complete"})
        await trio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        return await send({"type": "http.response.body", "body": scope["jwt"].subject.encode()})

    async def story() -> None:
        door = JWTMiddleware(app, verifier=Service(issuer).verifier, startup="warm", hooks=[])
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "lifespan.startup"}

        async def send(message: Message) -> None:
            sent.append(message)

        await door({"type": "lifespan"}, receive, send)
        assert sent == [{"type": "lifespan.startup.complete"}]
        assert issuer.fetches == 1
        assert (await http(door, token=issuer.kit.token(subject="ann"))).body == b"ann"
        assert (await http(door)).status == 401

    trio.run(story)


@pytest.mark.parametrize("first", ["asyncio", "trio"])
def test_both_share_one_verifier_and_one_fetch_whichever_comes_first(issuer: Issuer, first: str) -> None:
    service, tokens = Service(issuer), [issuer.kit.token() for _ in range(10)]
    let_go, outcomes = threading.Event(), list[Reason | None]()

    async def held(request: Any, writer: asyncio.StreamWriter) -> None:
        while not let_go.is_set():
            await asyncio.sleep(0.002)
        writer.write(answer(200, answer_body(issuer)))

    async def on_asyncio() -> None:
        outcomes.extend(await asyncio.gather(*map(service.outcome, tokens)))

    async def on_trio() -> None:
        outcomes.extend(await at_once(*[service.outcome] * 10))

    issuer.answers(held)
    runs = {"asyncio": lambda: asyncio.run(on_asyncio()), "trio": lambda: trio.run(on_trio)}
    threads = [threading.Thread(target=runs.pop(first)), *(threading.Thread(target=run) for run in runs.values())]
    for thread in threads:
        thread.start()
        trio.run(until, lambda: issuer.fetches == 1)
    trio.run(trio.sleep, 0.05)
    let_go.set()
    for thread in threads:
        thread.join(5)
    assert outcomes == [None] * 20
    assert issuer.fetches == 1
