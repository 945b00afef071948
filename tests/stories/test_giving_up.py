"""Whoever waits for keys may leave: the others are served, the fetch goes on, and nothing of it leaks."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

import anyio
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from jwt_asgi import JWTMiddleware, KeyCaching, KeysUnavailable
from jwt_asgi.types import ASGIApp, ASGIScope, Receive, Send
from tests.asgi import http
from tests.keys.server import answer
from tests.stories.service import AGEING, hello, issuer_in_a_thread, run, running

CALLERS = 10
UVLOOP = os.environ.get("JWT_ASGI_EVENT_LOOP") == "uvloop"


@pytest.mark.parametrize(
    "leaving", [{0}, {CALLERS // 2}, {CALLERS - 1}, set(range(CALLERS))], ids=["first", "middle", "last", "all"]
)
async def test_callers_that_are_cancelled_take_nobody_with_them(leaving: set[int]) -> None:
    async with running() as service:
        let_go = service.hold()
        callers = [asyncio.create_task(service.ask(service.issuer.token())) for _ in range(CALLERS)]
        await service.fetched(1)
        for number in leaving:
            callers[number].cancel()
        await asyncio.sleep(0.01)
        assert {number for number, caller in enumerate(callers) if caller.cancelled()} == leaving, "at once"

        let_go.set()
        stayed = [await caller for number, caller in enumerate(callers) if number not in leaving]
        assert [answered.status for answered in stayed] == [200] * (CALLERS - len(leaving))
        await service.settled()
        assert service.ask_at_once(service.issuer.token()) == 200, "the fetch went on, whoever was left"
        assert service.fetches == 1


async def test_a_caller_whose_scope_ends_leaves_at_once() -> None:
    async with running() as service:
        let_go, token = service.hold(), service.issuer.token()
        patient = asyncio.create_task(service.ask(token))
        with anyio.move_on_after(0.05) as scope:
            await service.ask(token)
        assert scope.cancelled_caught
        let_go.set()
        assert (await patient).status == 200
        assert service.fetches == 1


async def test_a_caller_that_is_cancelled_just_as_the_answer_comes_is_cancelled_all_the_same() -> None:
    async def for_ever(_: ASGIScope, __: Receive, ___: Send) -> None:
        await asyncio.Event().wait()

    loop = asyncio.get_running_loop()

    def cancel_after(steps: int, task: asyncio.Task[object]) -> None:
        if steps:
            loop.call_soon(cancel_after, steps - 1, task)
        else:
            task.cancel()

    for steps in range(10):
        async with running(app=for_ever) as service:
            caller = asyncio.create_task(service.ask(service.issuer.token()))
            let_go = service.hold()
            await service.fetched(1)
            service.fetch.at_end = partial(cancel_after, steps, caller)
            let_go.set()
            await asyncio.wait([caller], timeout=0.3)
            cancelled = caller.cancelled()
            caller.cancel()
            await asyncio.wait([caller])
            assert (steps, cancelled) == (steps, True)


# Clients that hang up


async def pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """A middleware as many applications have one."""
    return await call_next(request)


@contextmanager
def served(app: ASGIApp) -> Iterator[tuple[str, int]]:
    """Serve the application by uvicorn, from a thread."""
    loop = "uvloop" if UVLOOP else "asyncio"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, loop=loop, ws="none", lifespan="on", log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            server.should_exit = True
            thread.join(10)


@pytest.mark.parametrize("outer", [False, True], ids=["the door alone", "in BaseHTTPMiddleware"])
def test_clients_of_starlette_that_hang_up_take_nobody_with_them(
    caplog: pytest.LogCaptureFixture, *, outer: bool
) -> None:
    async def who(request: Request) -> Response:
        return PlainTextResponse(request.user.display_name)

    with issuer_in_a_thread() as service:
        app = Starlette(routes=[Route("/", who)])
        app.add_middleware(JWTMiddleware, verifier=service.verifier)
        if outer:
            app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)
        request = (
            f"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {service.issuer.token()}\r\n\r\n"
        )
        let_go = service.hold()
        with served(app) as address:
            clients = [socket.create_connection(address, timeout=5) for _ in range(6)]
            for client in clients[:3]:
                client.sendall(request.encode())
            run(service.fetched(1))
            for client in clients[3:]:
                client.sendall(request.encode())
            for client in (clients[0], clients[4]):
                client.close()
            run(asyncio.sleep(0.05))
            let_go.set()
            for client in (clients[1], clients[2], clients[3], clients[5]):
                with client, client.makefile("rb") as answered:
                    assert answered.readline().startswith(b"HTTP/1.1 200 ")
        assert service.fetches == 1
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


# Shutdown


async def test_a_shutdown_gives_up_a_refresh_that_nobody_waits_for() -> None:
    async with running() as service:
        token = service.issuer.token()
        assert await service.statuses(token) == [200]
        service.clock.now += AGEING
        let_go = service.hold()
        assert service.ask_at_once(token) == 200
        await service.fetched(2)
        await service.verifier.aclose()
        assert service.fetch.under_way == 0
        let_go.set()
        service.clock.now += 30
        assert await service.statuses(token) == [200], "it can be used again"
        await service.settled()
        assert service.fetches == 3


@pytest.mark.parametrize(
    "cancelled",
    [
        pytest.param(True, id="cancelled before"),
        pytest.param(False, id="still waiting"),
    ],
)
def test_a_shutdown_during_the_first_fetch_does_not_wait_for_it_and_leaves_no_word(*, cancelled: bool) -> None:
    with issuer_in_a_thread(caching=KeyCaching(timeout=1.0)) as service:
        let_go, token = service.hold(), service.issuer.token()

        async def shut_down() -> None:
            callers = [asyncio.create_task(service.ask(token)) for _ in range(5)]
            await service.fetched(1)
            for caller in callers if cancelled else ():
                caller.cancel()
            await service.verifier.aclose()
            assert service.fetch.under_way == 0

        run(shut_down())
        assert service.fetch.under_way == 0
        let_go.set()
        assert run(service.statuses(token)) == [200]
        assert service.fetches == 2, "those who were still waiting had no time to begin another"


# What the others do not see

REQUEST: ContextVar[str] = ContextVar("REQUEST")


@pytest.mark.parametrize("age", [None, AGEING], ids=["waited for", "beside the request"])
async def test_the_fetch_inherits_no_trace_of_the_request_that_began_it(age: float | None) -> None:
    seen = []

    async def inner(scope: ASGIScope, receive: Receive, send: Send) -> None:
        seen.append(REQUEST.get())
        await hello(scope, receive, send)

    async with running(app=inner) as service:

        async def traced(scope: ASGIScope, receive: Receive, send: Send) -> None:
            REQUEST.set(f"{scope['path']} of a user")
            await service.app(scope, receive, send)

        token = service.issuer.token()
        if age is not None:
            await service.verifier.verify(token)
            service.clock.now += age
        fetches = len(service.fetch.contexts)
        assert (await http(traced, token=token, path="/secret")).status == 200
        await service.settled()
        assert seen == ["/secret of a user"]
        assert len(service.fetch.contexts) > fetches
        assert [dict(context) for context in service.fetch.contexts] == [{}] * len(service.fetch.contexts)


async def test_those_who_are_refused_together_have_an_error_each_and_none_holds_anothers_traceback() -> None:
    async with running() as service:
        service.server.otherwise = answer(503)
        tokens = [service.issuer.token() for _ in range(20)]
        errors = await asyncio.gather(*(service.verifier.verify(token) for token in tokens), return_exceptions=True)
        assert len({id(error) for error in errors}) == 20
        for error in errors:
            assert isinstance(error, KeysUnavailable)
            assert (error.__cause__, error.__context__) == (None, None)
        assert len(service.server.requests) == 2, "the metadata, at both of its places"
