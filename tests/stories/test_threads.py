"""Sixteen threads with an event loop each share one verifier, and one fetch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.stories.service import AGEING, EXPIRED, STALE, issuer_in_a_thread, run

THREADS = 16


def in_threads(main: Callable[[int], Coroutine[Any, Any, list[int]]]) -> list[list[int]]:
    """What each thread returns, all having begun together."""
    together = threading.Barrier(THREADS)

    def begin(number: int) -> list[int]:
        together.wait(5)
        return run(main(number))

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begin, range(THREADS)))


@pytest.mark.parametrize("age", [None, AGEING, STALE, EXPIRED], ids=["cold", "ageing", "stale", "expired"])
def test_threads_that_need_keys_at_the_same_time_share_one_fetch(age: float | None) -> None:
    with issuer_in_a_thread() as service:
        tokens = [service.issuer.token() for _ in range(THREADS)]
        if age is not None:
            assert run(service.statuses(tokens[0])) == [200]
            service.clock.now += age
        before = service.fetches
        let_go = service.hold()

        async def main(number: int) -> list[int]:
            request = asyncio.create_task(service.ask(tokens[number]))
            await service.fetched(before + 1)
            let_go.set()
            answer = await request
            await service.settled()
            return [answer.status, *await service.statuses(*tokens)]

        assert in_threads(main) == [[200] * (1 + THREADS)] * THREADS
        assert service.fetches == before + 1


def test_threads_full_of_strangers_and_of_tokens_of_a_new_key_keep_to_the_limit_together() -> None:
    with issuer_in_a_thread() as service:
        old = service.issuer.token()
        assert run(service.statuses(old)) == [200]
        service.issuer.rotate()
        new = service.issuer.token()

        async def main(number: int) -> list[int]:
            statuses = await service.statuses(new, old)
            for round_ in range(20):
                statuses += await service.statuses(service.stranger(f"{number}-{round_}"), old, new)
            return statuses

        assert in_threads(main) == [[200, 200] + [401, 200, 200] * 20] * THREADS
        assert service.fetches <= 1 + 2


def test_a_thread_that_ends_in_the_midst_of_the_fetch_leaves_no_other_waiting() -> None:
    with issuer_in_a_thread() as service:
        let_go, may_leave = service.hold(), threading.Event()
        token = service.issuer.token()

        async def leave() -> None:
            request = asyncio.create_task(service.ask(token))
            while not may_leave.is_set():
                await asyncio.sleep(0.002)
            assert not request.done()

        with ThreadPoolExecutor(THREADS) as pool:
            owner = pool.submit(lambda: run(leave()))
            run(service.fetched(1))
            others = [pool.submit(lambda: run(service.statuses(token))) for _ in range(THREADS - 1)]
            run(asyncio.sleep(0.1))
            may_leave.set()
            owner.result(5)
            run(service.fetched(2))
            let_go.set()
            assert [other.result(5) for other in others] == [[200]] * (THREADS - 1)
        assert service.fetches == 2
