"""What only asyncio can do, and what is left of a connection afterwards: nothing."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import time
import weakref
from collections.abc import Iterator

import anyio
import pytest

from jwt_asgi import JWTMiddleware, TrustedIssuer, Verifier
from jwt_asgi.types import ASGIScope, Receive, Send
from tests.connection import (
    DISCONNECT,
    ISSUER,
    OPENINGS,
    Clock,
    Connection,
    expiring,
    last,
    open_socket,
    until,
)

both_kinds = pytest.mark.parametrize("kind", ["websocket", "http"])
current = contextvars.ContextVar[object]("current")


class Scope(dict[str, object]):
    """A scope that a weak reference can watch."""


@pytest.fixture
def without_collector() -> Iterator[None]:
    """Nothing that is in a circle of references is freed."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def timers() -> int:
    """How many timers of the event loop are not cancelled."""
    scheduled = getattr(asyncio.get_running_loop(), "_scheduled", None)
    if scheduled is None:
        pytest.skip("uvloop does not show its timers")
    return sum(not handle.cancelled() for handle in scheduled)


@both_kinds
async def test_the_end_comes_though_the_clean_up_takes_its_time(kind: str) -> None:
    connection = Connection(kind, ISSUER.token())

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await OPENINGS[kind](receive, send)
        try:
            await anyio.sleep_forever()
        finally:
            await until(lambda: last(kind) in connection.sent)

    assert (await connection.run(expiring(app)))[-1] == last(kind)


@both_kinds
async def test_the_end_comes_though_the_application_takes_no_cancellation(kind: str) -> None:
    connection = Connection(kind, ISSUER.token())

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await OPENINGS[kind](receive, send)
        while last(kind) not in connection.sent:
            try:
                await asyncio.sleep(0.2)
            except asyncio.CancelledError:
                continue

    assert (await connection.run(expiring(app)))[-1] == last(kind)


@both_kinds
@pytest.mark.parametrize("listens", [True, False])
async def test_both_cancellations_in_one_turn_of_the_loop_are_told_apart(kind: str, listens: bool) -> None:
    opened: list[bool] = []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await OPENINGS[kind](receive, send)
        opened.append(True)
        await (receive() if listens else asyncio.sleep(60))

    for first in (True, False):
        opened.clear()
        connection = Connection(kind, ISSUER.token())
        task = asyncio.create_task(connection.run(expiring(app, life=0.3)))
        await until(lambda: opened)
        # Both are due when the loop looks again, in this order or in that
        asyncio.get_running_loop().call_later(0 if first else 0.35, task.cancel)
        time.sleep(0.4)
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_clock_is_asked_again_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jwt_asgi.deadline.Deadline.LONGEST_SECONDS", 0.02)
    clock = Clock()

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await open_socket(receive, send)
        await asyncio.sleep(0.1)
        assert connection.types == ["accept"]
        clock.ahead = 400
        assert await receive() == DISCONNECT["websocket"]

    door = JWTMiddleware(app, verifier=Verifier(TrustedIssuer(**ISSUER.options(), leeway=0), clock=clock))
    connection = Connection("websocket", ISSUER.token())
    await connection.run(door)
    assert connection.types == ["accept", "close"]


async def test_what_is_sent_at_the_end_sees_the_context_of_the_connection() -> None:
    seen: list[object] = []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await open_socket(receive, send)
        await asyncio.sleep(60)

    async def outer(scope: ASGIScope, receive: Receive, send: Send) -> None:
        async def watch(message: object) -> None:
            seen.append(current.get(None))
            await send(message)  # type: ignore[arg-type]

        current.set("mine")
        await expiring(app)(scope, receive, watch)

    await Connection("websocket", ISSUER.token()).run(outer)
    assert seen == ["mine", "mine"]


@pytest.mark.parametrize("way", ["the client leaves", "the token expires"])
async def test_a_thousand_connections_cost_a_timer_each_and_no_task_and_leave_nothing(
    way: str, without_collector: None
) -> None:
    """One half are WebSockets, which listen, and one half are streams, which do not."""
    count, opened, leave = 1000, [], asyncio.Event()

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        current.set(scope)
        await OPENINGS[scope["type"]](receive, send)
        opened.append(True)
        await (receive() if scope["type"] == "websocket" else leave.wait())

    clock = Clock()
    door = JWTMiddleware(app, verifier=Verifier(TrustedIssuer(**ISSUER.options(), leeway=0), clock=clock))
    token = ISSUER.token()
    lines = [Connection("websocket" if number % 2 else "http", token) for number in range(count)]
    for line in lines:
        line.scope = Scope(line.scope)
    watched = [weakref.ref(line.scope) for line in lines]
    timers_before, tasks_before = timers(), len(asyncio.all_tasks())

    async def serve(line: Connection) -> None:
        await door(line.scope, line.receive, line.send)

    async with asyncio.TaskGroup() as group:
        for line in lines:
            group.create_task(serve(line))
        await until(lambda: len(opened) == count)
        assert timers() - timers_before == count
        assert len(asyncio.all_tasks()) - tasks_before == count, "those of the server"
        if way == "the token expires":
            clock.ahead = 400
            ring_every_timer()
        else:
            leave.set()
            for line in lines:
                line.arrive({"type": f"{line.scope['type']}.disconnect"})
    ended = [line.sent[-1] == last(line.scope["type"]) for line in lines]
    assert all(ended) if way == "the token expires" else not any(ended)
    del line
    lines.clear()
    await asyncio.sleep(0)
    assert timers() == timers_before
    assert len(asyncio.all_tasks()) == tasks_before
    assert [ref for ref in watched if ref() is not None] == []


def ring_every_timer() -> None:
    """Have all timers of this event loop be due."""
    for handle in list(asyncio.get_running_loop()._scheduled):  # type: ignore[attr-defined]
        if not handle.cancelled() and "_ring" in repr(handle):
            handle._run()
            handle.cancel()


@both_kinds
async def test_a_plain_response_has_no_timer(kind: str) -> None:
    seen: list[int] = []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        before = timers()
        await receive()
        if kind == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"o", "more_body": True})
        else:
            await send({"type": "websocket.close", "code": 1000})
        seen.append(timers() - before)

    await Connection(kind, ISSUER.token()).run(expiring(app, life=100))
    assert seen == [0]
