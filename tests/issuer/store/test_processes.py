"""Several processes share a store, and one of them may be killed at any time.

`JWT_ASGI_FAMILIES=10000` makes the first test as large as a release deserves.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import anyio.to_thread
import pytest

from jwt_asgi.issuer.rotation import Step
from tests.issuer.store.worker import CALLERS, PATIENCE, run
from tests.issuer.store.world import begin, entry_key, make_session, make_store, refresh

FAMILIES = int(os.environ.get("JWT_ASGI_FAMILIES", "8"))
PROCESSES = 4


class Worker:
    """A child that was forked from a server which has imported everything already, and nothing else."""

    def __init__(self, url: str) -> None:
        processes = multiprocessing.get_context("forkserver")
        processes.set_forkserver_preload([run.__module__, "jwt_asgi.issuer.store.migrate"])
        self.connection, other = processes.Pipe()
        self.process = processes.Process(target=run, args=(url, other), daemon=True)
        self.process.start()
        other.close()

    def tell(self, way: str, families: list[bytes], generation: int) -> None:
        self.connection.send((way, families, generation))

    async def hear(self) -> Any:
        return await anyio.to_thread.run_sync(self.connection.recv)

    async def rest(self) -> list[Any]:
        """What it had said when it died."""
        heard = []
        with suppress(EOFError, ConnectionResetError):
            while True:
                heard.append(await self.hear())
        return heard

    async def gone(self) -> int | None:
        await anyio.to_thread.run_sync(self.process.join, 20)
        return self.process.exitcode


Start = Callable[[str], Worker]


@pytest.fixture
def workers() -> Iterator[Start]:
    """Starts children, and sees that none is left."""
    made: list[Worker] = []

    def start(url: str) -> Worker:
        made.append(Worker(url))
        return made[-1]

    yield start
    for worker in made:
        worker.process.kill()
        worker.process.join()
        worker.process.close()
        worker.connection.close()


async def test_four_processes_with_four_callers_keep_every_family_whole(
    empty_url: str, workers: Callable[[str], Worker]
) -> None:
    store = make_store(empty_url, timeout=PATIENCE)
    four = [workers(empty_url) for _ in range(PROCESSES)]
    assert [await process.hear() for process in four] == ["ready"] * PROCESSES  # all at once have made the tables
    now = await store.now()
    sessions = [make_session(now) for _ in range(FAMILIES)]
    for some in range(0, FAMILIES, 100):
        await asyncio.gather(*(store.add_session(session) for session in sessions[some : some + 100]))
    families = [session.id for session in sessions]
    others = PROCESSES * CALLERS - 1
    for newest in (1, 2):
        for outcomes in await _present_everywhere(four, families, newest - 1):
            assert outcomes == {(Step.ROTATE, newest): 1, (Step.RETRY, newest): others}
    for outcomes in await _present_everywhere(four, families, 0):
        assert outcomes == {(Step.REPLAY, -1): 1, (Step.ENDED, -1): others}
    entries = await store.entries(0, limit=2 * FAMILIES)
    assert Counter(entry.key for entry in entries) == Counter(entry_key("s", session.sid) for session in sessions)
    check = await store.verify_audit()
    assert (check.records, check.broken_at) == (FAMILIES, None)
    await store.aclose()


async def _present_everywhere(
    four: list[Worker], families: list[bytes], generation: int
) -> list[Counter[tuple[Step, int]]]:
    """What became of one generation of each family, when every caller of every process had shown it."""
    outcomes: dict[bytes, Counter[tuple[Step, int]]] = {family: Counter() for family in families}
    for process in four:
        process.tell("together", families, generation)
    for process in four:
        for family, step, newest in await process.hear():
            outcomes[family][step, newest] += 1
    return [*outcomes.values()]


async def test_a_client_whose_server_was_killed_after_the_commit_gets_the_successor(
    url: str, workers: Callable[[str], Worker]
) -> None:
    store = make_store(url)
    session = await begin(store)
    process = workers(url)
    await process.hear()
    process.tell("die_after_commit", [session.id], 0)
    assert await process.gone() == -signal.SIGKILL
    assert await process.rest() == []  # nobody was answered
    assert await refresh(store, session.id, 0) == (Step.RETRY, 1)
    assert await refresh(store, session.id, 0) == (Step.RETRY, 1)
    assert await refresh(store, session.id, 1) == (Step.ROTATE, 2)
    await store.aclose()


async def test_whatever_was_answered_before_a_process_was_killed_is_kept(
    url: str, workers: Callable[[str], Worker]
) -> None:
    store = make_store(url)
    sessions = [await begin(store) for _ in range(4)]
    answered = dict.fromkeys((session.id for session in sessions), 0)
    process = workers(url)
    await process.hear()
    process.tell("until_killed", [*answered], 0)
    while min(answered.values()) < 20:
        answered.update([await process.hear()])
    process.process.kill()
    answered.update(await process.rest())
    for family, newest in answered.items():
        step, successor = await refresh(store, family, newest)
        assert step in {Step.ROTATE, Step.RETRY}
        assert successor == newest + 1
    await store.aclose()


async def test_the_child_of_a_fork_uses_the_store_and_so_does_its_parent(
    url: str, workers: Callable[[str], Worker]
) -> None:
    store = make_store(url)
    session = await begin(store)
    process = workers(url)
    await process.hear()
    process.tell("forked", [session.id], 0)
    assert await process.hear() == [1, 2, 3]
    await store.aclose()
