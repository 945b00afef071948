"""A connection ends when its token expires, whatever the application does just then."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import anyio
import pytest

from jwt_asgi import ConfigurationError, JWTMiddleware, TrustedIssuer, Verifier
from jwt_asgi.access import Grants
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIApp, ASGIScope, Message, Receive, Send
from tests.connection import (
    CLOSE,
    DISCONNECT,
    EPOCH,
    FINAL,
    ISSUER,
    OPENINGS,
    Clock,
    Connection,
    expiring,
    last,
    open_socket,
    open_stream,
    piece,
    until,
)

pytestmark = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
both_kinds = pytest.mark.parametrize("kind", ["websocket", "http"])


@pytest.fixture
def on_asyncio(anyio_backend: str) -> bool:
    return anyio_backend == "asyncio"


# Where the application waits


@both_kinds
async def test_an_application_that_listens_is_told_that_the_client_is_gone_and_ends_in_its_own_way(kind: str) -> None:
    heard: list[Message] = []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await OPENINGS[kind](receive, send)
        heard.append(await receive())
        await anyio.sleep(0.01)
        heard.append({"type": "cleaned up"})

    connection = Connection(kind, ISSUER.token())
    began = time.monotonic()
    await connection.run(expiring(app))
    assert time.monotonic() - began < 1
    assert heard == [DISCONNECT[kind], {"type": "cleaned up"}]
    assert connection.sent[-1] == last(kind)
    assert connection.sent.count(last(kind)) == 1


@both_kinds
async def test_an_application_that_waits_elsewhere_is_cancelled_once_and_can_clean_up(
    kind: str, on_asyncio: bool
) -> None:
    cleaned: list[str] = []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await OPENINGS[kind](receive, send)
        try:
            await anyio.sleep_forever()
        finally:
            # on trio cancellation is a state, and clean-up that waits is shielded
            with anyio.CancelScope(shield=not on_asyncio):
                await anyio.sleep(0.01)
            cleaned.append("up")

    connection = Connection(kind, ISSUER.token())
    assert (await connection.run(expiring(app)))[-1] == last(kind)
    assert cleaned == ["up"]


@both_kinds
async def test_after_expiry_an_application_that_takes_no_cancellation_sends_nothing_to_the_client(
    kind: str, on_asyncio: bool
) -> None:
    met: list[BaseException] = []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await OPENINGS[kind](receive, send)
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            for message in (piece(kind), piece(kind), last(kind)):
                try:
                    await send(message)
                except OSError as error:
                    met.append(error)
            if not on_asyncio:
                raise
            met.append(EndedError(await receive()))

    connection = Connection(kind, ISSUER.token())
    await connection.run(expiring(app))
    assert [type(error).__name__ for error in met[:3]] == ["ConnectionExpired"] * 3
    assert [error.args for error in met[3:]] == ([(DISCONNECT[kind],)] if on_asyncio else [])
    assert piece(kind) not in connection.sent
    assert connection.sent.count(last(kind)) == 1
    if on_asyncio:
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0, "the cancellation was taken back"


class EndedError(Exception):
    """Carries a message."""


@both_kinds
async def test_an_application_that_sends_just_then_is_told_so_and_the_end_waits_for_that(kind: str) -> None:
    met: list[str] = []
    connection = Connection(kind, ISSUER.token())

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await OPENINGS[kind](receive, send)
        connection.hold = anyio.Event()
        try:
            await send(piece(kind))
        except OSError as error:
            connection.hold = None
            met.append(type(error).__name__)
            raise

    await connection.run(expiring(app))
    assert met == ["ConnectionExpired"]
    assert connection.sent[-1] == last(kind)
    assert piece(kind) not in connection.sent


@both_kinds
async def test_a_client_that_reads_nothing_holds_up_the_end_for_a_bounded_time(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jwt_asgi.deadline.Deadline.FAREWELL_SECONDS", 0.05)
    connection = Connection(kind, ISSUER.token())

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await OPENINGS[kind](receive, send)
        connection.hold = anyio.Event()
        await send(piece(kind))

    await connection.run(expiring(app))
    assert last(kind) not in connection.sent


# Tasks of the application


@both_kinds
async def test_a_child_that_listens_is_told_and_its_siblings_end_as_the_application_wants(kind: str) -> None:
    heard: list[Message] = []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await OPENINGS[kind](receive, send)
        async with anyio.create_task_group() as group:

            async def listen() -> None:
                heard.append(await receive())
                group.cancel_scope.cancel()

            group.start_soon(listen)
            group.start_soon(anyio.sleep_forever)
        heard.append({"type": "ended"})

    connection = Connection(kind, ISSUER.token())
    assert (await connection.run(expiring(app)))[-1] == last(kind)
    assert heard == [DISCONNECT[kind], {"type": "ended"}]


@both_kinds
async def test_children_that_wait_elsewhere_are_cancelled_with_the_application(kind: str) -> None:
    ended: list[int] = []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        async def wait(number: int) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                ended.append(number)

        await OPENINGS[kind](receive, send)
        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(wait, number)

    connection = Connection(kind, ISSUER.token())
    assert (await connection.run(expiring(app)))[-1] == last(kind)
    assert sorted(ended) == [0, 1, 2]


@both_kinds
async def test_a_child_that_sends_just_then_ends_the_application(kind: str) -> None:
    connection = Connection(kind, ISSUER.token())

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await OPENINGS[kind](receive, send)
        connection.hold = anyio.Event()

        async def tell() -> None:
            try:
                await send(piece(kind))
            finally:
                connection.hold = None

        async with anyio.create_task_group() as group:
            group.start_soon(tell)
            group.start_soon(anyio.sleep_forever)

    assert (await connection.run(expiring(app)))[-1] == last(kind)


@both_kinds
async def test_a_task_of_others_that_sends_just_then_is_told_so_and_the_application_is_cancelled(kind: str) -> None:
    """As one that tells news to every connection."""
    connection, met = Connection(kind, ISSUER.token()), []
    opened, way = anyio.Event(), []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await OPENINGS[kind](receive, send)
        way.append(send)
        opened.set()
        await anyio.sleep_forever()

    async def tell_everybody() -> None:
        await opened.wait()
        connection.hold = anyio.Event()
        try:
            await way[0](piece(kind))
        except OSError:
            connection.hold = None
            met.append("told")
        await anyio.sleep(0.01)
        met.append("goes on")

    async with anyio.create_task_group() as group:
        group.start_soon(tell_everybody)
        await connection.run(expiring(app))
    assert met == ["told", "goes on"]
    assert connection.sent[-1] == last(kind)


async def test_what_outlives_the_application_meets_a_closed_door_and_sets_nothing_going() -> None:
    way: list[Any] = []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await open_socket(receive, send)
        way.extend([send, receive])
        await receive()

    connection = Connection("websocket", ISSUER.token())
    await connection.run(expiring(app))
    with pytest.raises(OSError):
        await way[0](piece("websocket"))
    assert await way[1]() == DISCONNECT["websocket"]
    assert connection.types == ["accept", "close"]


# Orderings


async def test_a_token_that_expires_before_the_accept_ends_the_connection_at_once_when_it_is_open() -> None:
    heard: list[Message] = []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await receive()
        await anyio.sleep(0.1)
        await send({"type": "websocket.accept"})
        heard.append(await receive())

    connection = Connection("websocket", ISSUER.token())
    assert (await connection.run(expiring(app)))[1:] == [CLOSE]
    assert heard == [DISCONNECT["websocket"]]


@both_kinds
async def test_a_token_that_expires_while_the_server_opens_the_connection_waits_for_that(kind: str) -> None:
    connection = Connection(kind, ISSUER.token())
    connection.hold = anyio.Event()

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await OPENINGS[kind](receive, send)
        await receive()

    async def release() -> None:
        await anyio.sleep(0.1)
        assert connection.hold is not None
        assert not connection.sent
        connection.hold.set()

    async with anyio.create_task_group() as group:
        group.start_soon(release)
        await connection.run(expiring(app))
    assert connection.types[0] in {"accept", "response.start"}
    assert connection.sent[-1] == last(kind)


@pytest.mark.parametrize("early", [True, False])
async def test_a_client_that_leaves_at_that_very_moment_is_told_nothing_twice(early: bool) -> None:
    connection = Connection("websocket", ISSUER.token())
    heard: list[str] = []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await open_socket(receive, send)
        heard.append((await receive())["type"])

    async def leave() -> None:
        # The loop is busy when the timer is due, so that both are there when it looks again
        if early:
            connection.arrive({"type": "websocket.disconnect", "code": 1001})
        time.sleep(0.1)
        connection.arrive({"type": "websocket.disconnect", "code": 1001})

    async with anyio.create_task_group() as group:

        async def later() -> None:
            await until(lambda: connection.types == ["accept"])
            await leave()

        group.start_soon(later)
        await connection.run(expiring(app))
    assert heard == ["websocket.disconnect"]
    assert connection.types.count("close") <= 1


@both_kinds
async def test_when_the_client_has_left_the_application_takes_its_time(kind: str) -> None:
    connection, done = Connection(kind, ISSUER.token()), []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await OPENINGS[kind](receive, send)
        connection.arrive({"type": f"{kind}.disconnect"})
        assert (await receive())["type"] == f"{kind}.disconnect"
        await anyio.sleep(0.1)
        done.append(True)

    assert last(kind) not in await connection.run(expiring(app))
    assert done


@both_kinds
async def test_when_the_server_says_that_the_client_has_left_the_application_takes_its_time(kind: str) -> None:
    connection, done = Connection(kind, ISSUER.token()), []

    def fail(message: Message) -> None:
        raise BrokenPipeError

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await OPENINGS[kind](receive, send)
        connection.sends = fail
        with pytest.raises(BrokenPipeError):
            await send(piece(kind))
        await anyio.sleep(0.1)
        done.append(True)

    await connection.run(expiring(app))
    assert done


@both_kinds
async def test_when_the_application_has_closed_it_may_go_on_with_other_work(kind: str) -> None:
    done: list[bool] = []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await OPENINGS[kind](receive, send)
        await send({"type": "websocket.close", "code": 1000} if kind == "websocket" else FINAL)
        await anyio.sleep(0.1)
        done.append(True)

    connection = Connection(kind, ISSUER.token())
    await connection.run(expiring(app))
    assert done
    assert CLOSE not in connection.sent
    assert connection.sent.count(FINAL) == (kind == "http")


@both_kinds
async def test_what_a_server_says_of_a_client_that_is_gone_is_of_no_account_at_the_end(kind: str) -> None:
    connection = Connection(kind, ISSUER.token())

    def fail(message: Message) -> None:
        raise RuntimeError("Unexpected ASGI message")

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await OPENINGS[kind](receive, send)
        connection.sends = fail
        await receive()

    await connection.run(expiring(app))
    assert last(kind) not in connection.sent


@both_kinds
@pytest.mark.parametrize("listens", [True, False])
async def test_an_error_of_the_clean_up_reaches_the_server_after_the_end(kind: str, listens: bool) -> None:
    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await OPENINGS[kind](receive, send)
        try:
            await (receive() if listens else anyio.sleep_forever())
        finally:
            raise KeyError("a bug")

    connection = Connection(kind, ISSUER.token())
    with pytest.raises(KeyError, match="a bug"):
        await connection.run(expiring(app))
    assert connection.sent[-1] == last(kind)


@both_kinds
@pytest.mark.parametrize("doors", [2, 3])
async def test_several_doors_one_behind_the_other_end_it_together(kind: str, doors: int) -> None:
    heard: list[Message] = []

    async def inner(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await OPENINGS[kind](receive, send)
        heard.append(await receive())

    app: ASGIApp = inner
    for _ in range(doors):
        app = expiring(app, life=0.8)  # a machine that is busy may take half a second to get to the innermost
    connection = Connection(kind, ISSUER.token())
    assert (await connection.run(app))[-1] == last(kind)
    assert heard == [DISCONNECT[kind]]
    assert connection.sent.count(last(kind)) == 1


# Cancellation from outside


@both_kinds
@pytest.mark.parametrize("listens", [True, False])
async def test_a_cancellation_from_outside_before_the_end_passes_through(kind: str, listens: bool) -> None:
    ended: list[bool] = []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await OPENINGS[kind](receive, send)
        try:
            await (receive() if listens else anyio.sleep_forever())
        finally:
            ended.append(True)

    connection, door = Connection(kind, ISSUER.token()), expiring(app, life=100)
    with anyio.move_on_after(0.05) as outside:
        await connection.run(door)
    assert outside.cancelled_caught
    assert ended == [True]
    assert last(kind) not in connection.sent


@both_kinds
@pytest.mark.parametrize("listens", [True, False])
async def test_a_cancellation_from_outside_during_the_clean_up_passes_through(
    kind: str, listens: bool, on_asyncio: bool
) -> None:
    """The clean-up that it comes upon goes on for ever by itself."""

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await OPENINGS[kind](receive, send)
        try:
            await (receive() if listens else anyio.sleep_forever())
        finally:
            if on_asyncio or listens:
                await anyio.sleep_forever()

    connection = Connection(kind, ISSUER.token())
    with anyio.move_on_after(0.2) as outside:
        await connection.run(expiring(app))
    assert outside.cancelled_caught == (on_asyncio or listens)
    assert connection.sent[-1] == last(kind)


# What is long, and what is not


async def respond(scope: ASGIScope, receive: Receive, send: Send, start: Message) -> list[str]:
    """Send a response in pieces over some time; return how that went."""
    await send({"type": "http.response.start", "status": 200, **start})
    for number in range(4):
        await anyio.sleep(0.03)
        await send({"type": "http.response.body", "body": b"x", "more_body": number < 3})
    return ["done"]


@pytest.mark.parametrize("name", [b"content-length", b"Content-Length"])
async def test_a_response_with_a_length_is_left_to_finish(name: bytes) -> None:
    done: list[str] = []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        done.extend(await respond(scope, receive, send, {"headers": ((name, b"4") for _ in range(1))}))

    connection = Connection("http", ISSUER.token())
    sent = await connection.run(expiring(app))
    assert done == ["done"]
    assert sent[0]["headers"] == [(name, b"4")]
    assert [message["body"] for message in sent[1:]] == [b"x"] * 4


@pytest.mark.parametrize("start", [{}, {"headers": []}, {"headers": iter([(b"a", b"b")])}], ids=["none", "[]", "iter"])
async def test_a_response_without_a_length_is_ended(start: Message) -> None:
    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await respond(scope, receive, send, start)

    sent = await Connection("http", ISSUER.token()).run(expiring(app))
    assert sent[-1] == FINAL
    assert 1 <= len(sent) < 5


async def test_a_response_is_ended_though_its_first_piece_never_comes() -> None:
    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await anyio.sleep_forever()

    assert (await Connection("http", ISSUER.token()).run(expiring(app)))[1:] == [FINAL]


async def test_trailers_that_were_announced_are_sent_empty() -> None:
    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await anyio.sleep_forever()

    sent = await Connection("http", ISSUER.token()).run(expiring(app))
    assert sent[1:] == [FINAL, {"type": "http.response.trailers", "headers": [], "more_trailers": False}]


async def test_a_listener_that_began_before_the_response_is_told_too() -> None:
    heard: list[Message] = []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await receive()
        async with anyio.create_task_group() as group:

            async def listen() -> None:
                heard.append(await receive())
                group.cancel_scope.cancel()

            group.start_soon(listen)
            await anyio.sleep(0.01)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await anyio.sleep_forever()

    assert (await Connection("http", ISSUER.token()).run(expiring(app)))[1:] == [FINAL]
    assert heard == [{"type": "http.disconnect"}]


@pytest.mark.parametrize(
    "message",
    [
        {"type": "http.response.pathsend", "path": "/file"},
        {"type": "http.response.zerocopysend", "file": 3, "more_body": False},
    ],
    ids=lambda message: message["type"],
)
async def test_a_file_that_the_server_sends_is_left_to_finish(message: Message) -> None:
    connection = Connection("http", ISSUER.token())

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        connection.hold = anyio.Event()
        async with anyio.create_task_group() as group:

            async def release() -> None:
                await anyio.sleep(0.1)
                assert connection.hold is not None
                connection.hold.set()

            group.start_soon(release)
            await send(message)

    assert (await connection.run(expiring(app)))[1:] == [message]


async def test_a_long_wait_before_the_answer_is_no_long_connection() -> None:
    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await receive()
        await anyio.sleep(0.1)
        await open_stream(later, send)
        await send(FINAL)

    async def later() -> Message:
        return {"type": "http.request"}

    sent = await Connection("http", ISSUER.token()).run(expiring(app))
    assert [message.get("body") for message in sent[-2:]] in ([b"one", b""], [None, b""])


async def test_an_application_that_asks_again_and_again_does_not_stop_the_event_loop() -> None:
    turns: list[int] = []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await open_socket(receive, send)
        while len(turns) < 20:
            await receive()

    async def turn() -> None:
        for number in range(20):
            await anyio.sleep(0)
            turns.append(number)

    connection = Connection("websocket", ISSUER.token())
    async with anyio.create_task_group() as group:

        async def later() -> None:
            await until(lambda: "close" in connection.types)
            await turn()

        group.start_soon(later)
        await connection.run(expiring(app))
    assert len(turns) == 20


# Whom it ends


async def stays_open(app: JWTMiddleware, connection: Connection) -> bool:
    with anyio.move_on_after(0.15) as time_is_over:
        await connection.run(app)
    return time_is_over.cancelled_caught


async def listening(scope: ASGIScope, receive: Receive, send: Send) -> None:
    await OPENINGS[scope["type"]](receive, send)
    await receive()


@both_kinds
async def test_the_option_switches_it_off(kind: str) -> None:
    assert await stays_open(expiring(listening, end_at_expiry=False), Connection(kind, ISSUER.token()))
    assert not await stays_open(expiring(listening, end_at_expiry=True), Connection(kind, ISSUER.token()))


@both_kinds
async def test_a_connection_without_a_token_goes_on(kind: str) -> None:
    assert await stays_open(expiring(listening, anonymous=True), Connection(kind, None))
    assert await stays_open(expiring(listening, exempt=["/open"]), Connection(kind, None, path="/open"))
    assert await stays_open(expiring(listening, exempt=["/open"]), Connection(kind, ISSUER.token(), path="/open"))


def test_the_option_is_a_flag(anyio_backend: str) -> None:
    with pytest.raises(ConfigurationError, match="end_at_expiry: expected True or False"):
        expiring(listening, end_at_expiry="false")


# When


async def test_each_issuer_has_its_own_leeway() -> None:
    strict = TestIssuer("https://strict.test", algorithms=["ES256"], clock=lambda: EPOCH)
    kind_one = TestIssuer("https://kind.test", algorithms=["ES256"], clock=lambda: EPOCH)
    issuers = TrustedIssuer(**strict.options(), leeway=0), TrustedIssuer(**kind_one.options(), leeway=60)
    for exp in (300, 300.0):
        app = JWTMiddleware(listening, verifier=Verifier(*issuers, clock=Clock(300 - 0.05)))
        claims = {"exp": EPOCH + exp}
        assert not await stays_open(app, Connection("websocket", strict.token(claims=claims)))
        assert await stays_open(app, Connection("websocket", kind_one.token(claims=claims)))
        app = JWTMiddleware(listening, verifier=Verifier(*issuers, clock=Clock(360 - 0.05)))
        assert not await stays_open(app, Connection("websocket", kind_one.token(claims=claims)))


@both_kinds
async def test_a_token_whose_grants_are_the_applications_ends_it_too(kind: str) -> None:
    trusted = TrustedIssuer(**ISSUER.options(), leeway=0.0, max_age=100, grants=lambda _: Grants(scopes=["a"]))
    app = JWTMiddleware(listening, verifier=Verifier(trusted, clock=Clock(99.95)))
    assert not await stays_open(app, Connection(kind, ISSUER.token()))


async def test_a_greatest_age_ends_it_too() -> None:
    trusted = TrustedIssuer(**ISSUER.options(), leeway=10, max_age=60)
    app = JWTMiddleware(listening, verifier=Verifier(trusted, clock=Clock(70 - 0.05)))
    assert not await stays_open(app, Connection("websocket", ISSUER.token()))


@pytest.mark.parametrize("exp", [253_402_300_799, 253_402_300_799.0, EPOCH + 1e9])
async def test_a_token_that_is_good_for_thousands_of_years_is_no_trouble(exp: float) -> None:
    app = expiring(listening)
    assert await stays_open(app, Connection("websocket", ISSUER.token(claims={"exp": exp})))
