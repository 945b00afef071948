"""One verifier, many event loops, one after another: the keys outlive them all."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import warnings

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from jwt_asgi import JWTMiddleware
from tests.stories.service import AGEING, STALE, Service, issuer_in_a_thread, new_loop, run


def test_the_keys_serve_from_one_run_to_the_next() -> None:
    with issuer_in_a_thread() as service:
        token = service.issuer.token()
        for _ in range(10):
            assert run(service.statuses(token, token)) == [200, 200]
        assert service.fetches == 1

        service.clock.now += STALE
        for _ in range(10):
            assert run(service.statuses(token)) == [200]
        assert service.fetches == 2

        service.issuer.rotate()
        new = service.issuer.token()
        for _ in range(10):
            assert run(service.statuses(new, token)) == [200, 200]
        assert service.fetches == 3


def client_of(service: Service) -> TestClient:
    """Starlette's test client, without a lifespan: each request has an event loop of its own."""

    async def who(request: Request) -> Response:
        return PlainTextResponse(request.user.display_name)

    app = Starlette(routes=[Route("/", who)])
    app.add_middleware(JWTMiddleware, verifier=service.verifier)
    uvloop = os.environ.get("JWT_ASGI_EVENT_LOOP") == "uvloop"
    return TestClient(app, backend_options={"use_uvloop": uvloop})


def status_of(client: TestClient, token: str) -> int:
    """What the client is answered."""
    return client.get("/", headers={"authorization": f"Bearer {token}"}).status_code


def test_a_test_client_without_a_lifespan_is_served_by_one_fetch_for_each_set() -> None:
    with issuer_in_a_thread() as service:
        client, token = client_of(service), service.issuer.token()
        assert [status_of(client, token) for _ in range(10)] == [200] * 10
        assert service.fetches == 1

        service.clock.now += STALE
        assert [status_of(client, token) for _ in range(10)] == [200] * 10
        assert service.fetches == 2

        service.issuer.rotate(keep_old=False)
        assert [status_of(client, service.issuer.token()) for _ in range(5)] == [200] * 5
        assert [status_of(client, token) for _ in range(5)] == [401] * 5
        assert service.fetches == 4, "for the new key, and once for the one that is now unknown"


def test_an_ageing_set_does_not_cost_a_fetch_for_each_event_loop_that_ends_before_its_answer_is_here() -> None:
    with issuer_in_a_thread() as service:
        client, token = client_of(service), service.issuer.token()
        assert status_of(client, token) == 200
        let_go = service.hold()
        service.clock.now += AGEING
        assert [status_of(client, token) for _ in range(20)] == [200] * 20
        let_go.set()
        assert service.fetches <= 1 + 5


async def leave_in_the_midst(service: Service, *, callers: int) -> None:
    """Let callers wait for a fetch, and go."""
    fetches = service.fetches
    token = service.issuer.token()
    tasks = [asyncio.create_task(service.ask(token)) for _ in range(callers)]
    await service.fetched(fetches + 1)
    assert not any(task.done() for task in tasks)


def test_a_loop_that_ends_in_the_midst_of_a_fetch_leaves_the_next_one_free() -> None:
    with issuer_in_a_thread() as service:
        let_go = service.hold()
        for ended in (1, 2, 3):
            run(leave_in_the_midst(service, callers=3))
            assert service.fetches == ended
        let_go.set()
        assert run(service.statuses(service.issuer.token())) == [200], "an end is no failure to back off from"
        assert service.fetches == 4


def test_a_loop_that_is_closed_over_a_fetch_leaves_the_next_one_free(caplog: pytest.LogCaptureFixture) -> None:
    with issuer_in_a_thread() as service:
        let_go = service.hold()
        loop = new_loop()
        loop.run_until_complete(leave_in_the_midst(service, callers=3))
        # Who closes a loop over tasks that wait is told so; that is not the library's to mend
        caplog.set_level(logging.CRITICAL, "asyncio")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loop.close()
            let_go.set()
            assert run(service.statuses(service.issuer.token())) == [200]
            assert service.fetches == 2
            del loop
            gc.collect()
        caplog.clear()


def test_a_refresh_beside_the_requests_ends_with_its_loop_without_a_word() -> None:
    with issuer_in_a_thread() as service:
        token = service.issuer.token()
        assert run(service.statuses(token)) == [200]
        let_go = service.hold()

        async def leave() -> None:
            assert service.ask_at_once(token) == 200
            await service.fetched(2)

        service.clock.now += AGEING
        run(leave())
        assert service.fetch.under_way == 0
        let_go.set()

        async def stay() -> None:
            service.clock.now += 30
            assert service.ask_at_once(token) == 200
            await service.settled()

        run(stay())
        assert service.fetches == 3
