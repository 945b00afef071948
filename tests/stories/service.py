"""A service behind the real middleware, whose issuer answers on a real socket and whose keys age as a story says."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any, TypeVar

from jwt_asgi import Decision, HttpxFetch, JWTMiddleware, KeyCaching, Reason, TrustedIssuer, Verifier
from jwt_asgi._keys.remote import RemoteKeys
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIApp, ASGIScope, Clock, Fetch, FetchResponse, Receive, Send
from tests.asgi import Answer, http
from tests.keys.script import FakeClock
from tests.keys.server import RawServer, Request, issued_by

T = TypeVar("T")

AGEING, STALE, EXPIRED = 240.0, 300.0, 86_700.0
"""Seconds after a fetch: `TestIssuer` says max-age=300, the refresh comes at 0.8 of it; a day of `stale_if_error`."""


def trusting(
    issuer: TestIssuer, *, fetch: Fetch, clock: Clock | None, caching: KeyCaching | None = None
) -> TrustedIssuer:
    """The issuer's entry, whose keys age by this clock (None: by the machine's), and without chance."""
    trusted = TrustedIssuer(
        issuer=issuer.issuer, audience=issuer.audience, algorithms=issuer.algorithms, fetch=fetch, key_caching=caching
    )
    trusted.keys = RemoteKeys(
        issuer.issuer,
        jwks_uri=None,
        fetch=fetch,
        caching=caching or KeyCaching(),
        clock=clock,
        jitter=lambda: 0.5,
    )
    return trusted


class WatchedFetch:
    """The default `Fetch`, watched: how many are under way, and in which contexts; `at_end` is called after each."""

    _httpx = HttpxFetch()

    def __init__(self) -> None:
        """Fetch nothing yet."""
        self.under_way = 0
        self.contexts: list[Context] = []
        self.at_end: Callable[[], object] = lambda: None

    async def __call__(self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        """GET `url`."""
        self.under_way += 1
        self.contexts.append(copy_context())
        try:
            return await self._httpx(url, headers=headers, timeout=timeout, limit=limit)
        finally:
            self.under_way -= 1
            self.at_end()


@dataclass
class Service:
    """One replica of the service, and its issuer."""

    app: JWTMiddleware
    verifier: Verifier
    issuer: TestIssuer
    server: RawServer
    clock: FakeClock
    fetch: WatchedFetch
    decisions: list[Decision]
    _template: str | None = None

    async def ask(self, token: str) -> Answer:
        """Send a request with this token."""
        return await http(self.app, token=token)

    async def ask_all(self, *tokens: str) -> list[Answer]:
        """Send a request with each of these tokens, all at once."""
        return await asyncio.gather(*(self.ask(token) for token in tokens))

    def ask_at_once(self, token: str) -> int:
        """The status of a request that must not wait for anything, not even for its turn on the event loop."""
        request = self.ask(token)
        try:
            request.send(None)
        except StopIteration as answered:
            answer: Answer = answered.value
            return answer.status
        request.close()
        raise AssertionError("the request waits")

    async def statuses(self, *tokens: str) -> list[int]:
        """What these tokens are answered with, one after another."""
        return [(await self.ask(token)).status for token in tokens]

    async def seconds_until_accepted(self, token: str) -> int:
        """Send a request each second, for an hour at most."""
        for second in range(3600):
            if await self.statuses(token) == [200]:
                return second
            self.clock.now += 1
        raise AssertionError("it was never accepted")

    def stranger(self, kid: str) -> str:
        """A token as the issuer's own, but of a key that it has not published, as anybody can write one."""
        if self._template is None:
            self._template = self.issuer.token()
        return with_kid(self._template, kid)

    @property
    def reason(self) -> Reason | None:
        """Why the last request was refused."""
        return self.decisions[-1].reason

    @property
    def fetches(self) -> int:
        """How often the issuer was asked for its keys."""
        return self.server.count("/jwks.json")

    async def fetched(self, times: int) -> None:
        """Wait until the issuer was asked for its keys so often."""
        async with asyncio.timeout(5):
            while self.fetches < times:
                await asyncio.sleep(0.002)

    async def settled(self) -> None:
        """Wait until no fetch is under way beside the requests, not even one that is about to begin."""
        await _some_steps()
        async with asyncio.timeout(5):
            while self.fetch.under_way:
                await asyncio.sleep(0.002)
        await _some_steps()

    def hold(self) -> threading.Event:
        """Let the issuer hold its key set back from now on, until the event is set, by whichever thread."""
        let_go, then = threading.Event(), issued_by(self.issuer)

        async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
            while not let_go.is_set():
                await asyncio.sleep(0.002)
            await then(request, writer)

        self.server.script["/jwks.json"] = behave
        return let_go

    def publish_again(self) -> None:
        """Let the issuer answer well from now on."""
        self.server.script.clear()


@asynccontextmanager
async def running(
    *, caching: KeyCaching | None = None, app: ASGIApp | None = None, driven: bool = True
) -> AsyncIterator[Service]:
    """Start the issuer and one replica. Its keys age as the service's `clock` says, or by the machine's clocks."""
    async with RawServer() as server:
        service = _service(server, caching, app, driven=driven)
        async with service.verifier:
            yield service
    gc.collect(1)  # what nobody retrieved is told to the event loop while its test can still fail


@contextmanager
def issuer_in_a_thread(*, caching: KeyCaching | None = None, app: ASGIApp | None = None) -> Iterator[Service]:
    """Start the issuer on an event loop of its own, so that a story can start and end others."""
    loop, server = asyncio.new_event_loop(), RawServer()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(5)
        yield _service(server, caching, app)
    finally:
        asyncio.run_coroutine_threadsafe(_stop(server), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


async def _some_steps() -> None:
    """A task begins, and those who wait for it hear of its end, a few steps later."""
    for _ in range(10):
        await asyncio.sleep(0)


async def _stop(server: RawServer) -> None:
    await server.stop()
    await asyncio.sleep(0.01)  # connections that were hung up are closed a step later


def _service(server: RawServer, caching: KeyCaching | None, app: ASGIApp | None, *, driven: bool = True) -> Service:
    clock, fetch, decisions = FakeClock(), WatchedFetch(), list[Decision]()
    issuer = TestIssuer(server.url(), algorithms=["ES256"])
    server.otherwise = issued_by(issuer)
    verifier = Verifier(trusting(issuer, fetch=fetch, clock=clock if driven else None, caching=caching))
    door = JWTMiddleware(app or hello, verifier=verifier, hooks=[decisions.append])
    return Service(door, verifier, issuer, server, clock, fetch, decisions)


async def hello(_: ASGIScope, __: Receive, send: Send) -> None:
    """Answer 200."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def with_kid(token: str, kid: str) -> str:
    """The token with another kid in its header."""
    header, payload, signature = token.split(".")
    members = {**json.loads(urlsafe_b64decode(header + "==")), "kid": kid}
    return f"{urlsafe_b64encode(json.dumps(members).encode()).rstrip(b'=').decode()}.{payload}.{signature}"


def new_loop() -> asyncio.AbstractEventLoop:
    """An event loop of the kind that the suite is run under."""
    if os.environ.get("JWT_ASGI_EVENT_LOOP") == "uvloop":
        import uvloop  # noqa: PLC0415 - it is not there on every system

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end on an event loop of its own, as `asyncio.run` does."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main)
