"""Connections that are open end when their token is revoked, on asyncio and on trio."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import pytest

from jwt_asgi import JWTMiddleware, TrustedIssuer, Verifier
from jwt_asgi._core.revoked import Revoked, keys_of
from jwt_asgi.revocation import FromStore, RevocationFeed, watch
from jwt_asgi.revocation.watch import Watches
from jwt_asgi.testing import SigningKeys, TestIssuer
from jwt_asgi.types import ASGIApp, Clock, Receive, Send
from tests.connection import DISCONNECT, OPENINGS, Connection, last, piece, until
from tests.revocation.ledger import ISSUER as NAME
from tests.revocation.ledger import Ledger, marks

ISSUER = TestIssuer(NAME, algorithms=["ES256"], keys=SigningKeys())
on_both = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
either_kind = pytest.mark.parametrize("kind", ["websocket", "http"])


class Service:
    """An application behind a door whose feed reads from a ledger."""

    def __init__(self, app: ASGIApp, *, clock: Clock = time.time, **options: Any) -> None:
        self.ledger = Ledger()
        self.feed = RevocationFeed(FromStore(self.ledger.entries), issuer=NAME, on_stale="deny", interval=0.02)
        verifier = Verifier(TrustedIssuer(**ISSUER.options()), revocation=self.feed, clock=clock)
        self.door = JWTMiddleware(app, verifier=verifier, **options)

    def watched(self) -> int:
        return sum(len(there) for _, there in self.feed._poller.watches._loops.values())


class Halted:
    """The time, which stands still until a connection is let in, however slow the machine is."""

    def __init__(self) -> None:
        self.began = time.time()
        self.runs_since: float | None = None

    def __call__(self) -> float:
        return self.began if self.runs_since is None else self.began + time.monotonic() - self.runs_since


def token(session: str = "a", **options: Any) -> str:
    return ISSUER.token(claims={"sid": session}, **options)


async def listening(got: list[Any], scope: Any, receive: Receive, send: Send) -> None:
    await OPENINGS[scope["type"]](receive, send)
    got.append(await receive())


async def busy(got: list[Any], scope: Any, receive: Receive, send: Send) -> None:
    await OPENINGS[scope["type"]](receive, send)
    try:
        while True:
            await send(piece(scope["type"]))
            await anyio.sleep(0.005)
    finally:
        got.append("cleaned")


async def waiting(got: list[Any], scope: Any, receive: Receive, send: Send) -> None:
    await OPENINGS[scope["type"]](receive, send)
    try:
        await anyio.sleep_forever()
    finally:
        got.append("cleaned")


@on_both
@either_kind
@pytest.mark.parametrize("app", [listening, busy, waiting])
async def test_an_open_connection_ends_when_its_token_is_revoked(app: Callable[..., Any], kind: str) -> None:
    got: list[Any] = []
    service = Service(partial(app, got))
    connection = Connection(kind, token())
    other = Connection(kind, token("b"))
    async with anyio.create_task_group() as group:
        group.start_soon(other.run, service.door)
        await until(lambda: len(other.sent) > 0)
        group.start_soon(connection.run, service.door)
        await until(lambda: service.watched() == 2)
        service.ledger.revoke("c")
        service.ledger.revoke("a")
        await until(lambda: got)
        await until(lambda: connection.sent[-1] == last(kind))
        assert got == [DISCONNECT[kind] if app is listening else "cleaned"]
        await until(lambda: service.watched() == 1)
        assert last(kind) not in other.sent
        assert service.feed.status().counters["ended"] == 1
        group.cancel_scope.cancel()
    assert service.watched() == 0, "whatever ends a connection"
    await service.feed.aclose()


@on_both
@either_kind
async def test_one_whose_token_is_revoked_before_it_turns_out_to_be_long_ends_at_once(kind: str) -> None:
    begun = anyio.Event()
    go_on = anyio.Event()
    got: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        begun.set()
        await go_on.wait()
        await listening(got, scope, receive, send)

    service, connection = Service(app), Connection(kind, token())
    async with anyio.create_task_group() as group:
        group.start_soon(connection.run, service.door)
        await begun.wait()
        service.ledger.revoke("a")
        await until(lambda: service.feed.status().entries == 1)
        go_on.set()
    assert connection.sent[-1] == last(kind)
    assert service.watched() == 0
    await service.feed.aclose()


@on_both
async def test_a_renewed_connection_is_judged_by_its_new_token() -> None:
    service = Service(partial(listening, []), reauthenticate=lambda message: message.get("text"))
    connection = Connection("websocket", token("a"))
    async with anyio.create_task_group() as group:
        group.start_soon(connection.run, service.door)
        await until(lambda: service.watched() == 1)
        connection.text(token("b"))
        await until(lambda: not connection._arrived)
        service.ledger.revoke("a")
        await until(lambda: service.feed.status().entries == 1)
        await anyio.sleep(0.05)
        assert connection.types == ["accept"]
        service.ledger.revoke("b")
    assert connection.types == ["accept", "close"]
    await service.feed.aclose()


@on_both
@either_kind
async def test_one_that_has_expired_and_cleans_up_is_ended_once(kind: str) -> None:
    clock = Halted()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        clock.runs_since = time.monotonic()
        try:
            await waiting([], scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                service.ledger.revoke("a")
                await until(lambda: service.feed.status().counters["ended"] == 1)

    service = Service(app, clock=clock)
    connection = Connection(kind, ISSUER.token(claims={"sid": "a", "exp": clock.began + 0.1 - 30}))
    await connection.run(service.door)
    assert connection.sent[-1] == last(kind)
    assert connection.sent.count(last(kind)) == 1
    await service.feed.aclose()


@either_kind
async def test_a_connection_that_ends_by_itself_is_not_looked_at_any_more(kind: str) -> None:
    service = Service(partial(listening, []))
    connection = Connection(kind, token())
    task = asyncio.create_task(connection.run(service.door))
    await until(lambda: service.watched() == 1)
    connection.arrive({"type": f"{kind}.disconnect", "code": 1001})
    await task
    assert service.watched() == 0
    await service.feed.aclose()


def test_an_event_loop_that_has_ended_is_forgotten() -> None:
    revoked = Revoked()
    watches = Watches(revoked, lambda: None)
    ended: list[int] = []
    keys = marks("a")

    async def leave() -> None:
        watches.add(keys, lambda: ended.append(1))

    asyncio.run(leave())
    assert len(watches._loops) == 1
    revoked.add([(b"s", b"k" * 8, 2**31, 0)], 0)
    watches.wake()
    assert watches._loops == {}
    assert ended == []
    gc.collect()


async def test_many_connections_are_looked_at_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "AT_ONCE", 10)
    ledger, revoked = Ledger(), Revoked()
    ended: list[int] = []
    watches = Watches(revoked, lambda: None)
    for number in range(35):
        watches.add(keys_of(NAME, session=str(number)), partial(ended.append, number))
    for number in (0, 20, 34):
        ledger.revoke(str(number))
    revoked.add([(b"s", entry.key, 2**31, 0) for entry in ledger.log], 0)
    watches.wake()
    assert ended == []
    await asyncio.sleep(0)
    assert ended == [0]
    await until(lambda: len(ended) == 3)
    watches.wake()
    for _ in range(9):
        await asyncio.sleep(0)
    assert ended == [0, 20, 34]
