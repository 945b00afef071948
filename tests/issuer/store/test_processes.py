"""Several processes share a store, and one of them may be killed at any time.

`JWT_ASGI_FAMILIES=10000` makes the first test as large as a release deserves.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio.to_thread
import asyncpg
import pytest

from jwt_asgi.issuer.rotation import Step
from tests.issuer.store.world import begin, entry_key, make_session, make_store, refresh

ROOT = Path(__file__).parents[3]
FAMILIES = int(os.environ.get("JWT_ASGI_FAMILIES", "12"))
PROCESSES, CALLERS = 4, 4


@contextmanager
def worker(url: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.issuer.store.worker", url]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def tell(process: subprocess.Popen[str], way: str, families: list[bytes], generation: int) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps([way, [family.hex() for family in families], generation]) + "\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


async def heard(process: subprocess.Popen[str]) -> Any:
    return await anyio.to_thread.run_sync(hear, process)


@contextmanager
def four(url: str) -> Iterator[list[subprocess.Popen[str]]]:
    with worker(url) as one, worker(url) as two, worker(url) as three, worker(url) as last:
        yield [one, two, three, last]


async def test_four_processes_with_four_callers_keep_every_family_whole(empty_url: str) -> None:
    store = make_store(empty_url)
    with four(empty_url) as processes:
        assert [await heard(process) for process in processes] == ["ready"] * PROCESSES  # all have made the tables
        now = await store.now()
        sessions = [make_session(now) for _ in range(FAMILIES)]
        for session in sessions:
            await store.add_session(session)
        families = [session.id for session in sessions]
        rotated = (Step.ROTATE.value, Step.RETRY.value)
        for generation in range(2):
            for family, outcomes in (await _present_everywhere(processes, families, generation)).items():
                wanted = {(rotated[0], generation + 1): 1, (rotated[1], generation + 1): PROCESSES * CALLERS - 1}
                assert outcomes == wanted, family
        for family, outcomes in (await _present_everywhere(processes, families, 0)).items():
            assert outcomes == {("replay", -1): 1, ("ended", -1): PROCESSES * CALLERS - 1}, family
    entries = await store.entries(0, limit=2 * FAMILIES)
    assert Counter(entry.key for entry in entries) == Counter(entry_key("s", session.sid) for session in sessions)
    check = await store.verify_audit()
    assert (check.records, check.broken_at) == (FAMILIES, None)
    await store.aclose()


async def _present_everywhere(
    processes: list[subprocess.Popen[str]], families: list[bytes], generation: int
) -> dict[str, Counter[tuple[str, int]]]:
    outcomes: dict[str, Counter[tuple[str, int]]] = {family.hex(): Counter() for family in families}
    for process in processes:
        tell(process, "together", families, generation)
    for process in processes:
        for family, step, newest in await heard(process):
            outcomes[family][step, newest] += 1
    return outcomes


async def test_a_client_whose_server_was_killed_after_the_commit_gets_the_successor(url: str) -> None:
    store = make_store(url)
    session = await begin(store)
    with worker(url) as process:
        await heard(process)
        tell(process, "die_after_commit", [session.id], 0)
        assert await anyio.to_thread.run_sync(process.wait) == -signal.SIGKILL
        assert process.stdout is not None
        assert process.stdout.read() == ""  # nobody was answered
    assert await refresh(store, session.id, 0) == (Step.RETRY, 1)
    assert await refresh(store, session.id, 0) == (Step.RETRY, 1)
    assert await refresh(store, session.id, 1) == (Step.ROTATE, 2)
    await store.aclose()


async def test_whatever_was_answered_before_a_process_was_killed_is_kept(url: str) -> None:
    store = make_store(url)
    sessions = [await begin(store) for _ in range(4)]
    answered = dict.fromkeys((session.id for session in sessions), 0)
    with worker(url) as process:
        await heard(process)
        tell(process, "until_killed", [*answered], 0)
        for _ in range(100):
            family, newest = await heard(process)
            answered[bytes.fromhex(family)] = newest
        process.kill()
        assert process.stdout is not None
        for line in process.stdout.read().splitlines():
            if line.endswith("]"):
                family, newest = json.loads(line)
                answered[bytes.fromhex(family)] = newest
    for family, newest in answered.items():
        assert newest > 0
        step, successor = await refresh(store, family, newest)
        assert step in {Step.ROTATE, Step.RETRY}
        assert successor == newest + 1
    await store.aclose()


async def test_the_child_of_a_fork_uses_the_store_and_so_does_its_parent(url: str) -> None:
    store = make_store(url)
    session = await begin(store)
    with worker(url) as process:
        await heard(process)
        tell(process, "forked", [session.id], 0)
        assert await heard(process) == [1, 2, 3]
    await store.aclose()


async def test_a_client_of_a_restored_file_goes_on(folder: Path) -> None:
    path = folder / "store.db"
    store = make_store(f"sqlite:///{path}")
    await store.migrate()
    session = await begin(store)
    for generation in range(3):
        await refresh(store, session.id, generation)
    await store.aclose()
    older = path.read_bytes()
    store = make_store(f"sqlite:///{path}")
    assert await refresh(store, session.id, 3) == (Step.ROTATE, 4)
    await store.aclose()
    path.write_bytes(older)
    store = make_store(f"sqlite:///{path}")
    assert (await refresh(store, session.id, 5))[0] is Step.AHEAD
    assert await refresh(store, session.id, 4) == (Step.CATCH_UP, 5)
    assert await refresh(store, session.id, 4) == (Step.RETRY, 5)
    assert await refresh(store, session.id, 5) == (Step.ROTATE, 6)
    await store.aclose()


async def test_a_client_of_a_standby_that_was_behind_goes_on(postgresql_url: str) -> None:
    store = make_store(postgresql_url)
    session = await begin(store)
    for generation in range(4):
        await refresh(store, session.id, generation)
    connection = await asyncpg.connect(postgresql_url)
    await connection.execute("UPDATE jwt_asgi_session SET generation = 3")  # the last rotation was not yet there
    await connection.close()
    assert await refresh(store, session.id, 4) == (Step.CATCH_UP, 5)
    assert await refresh(store, session.id, 5) == (Step.ROTATE, 6)
    await store.aclose()


@pytest.mark.parametrize("text", ["not json"])
def test_a_worker_that_fails_is_noticed(folder: Path, text: str) -> None:
    with worker(f"sqlite:///{folder / 'store.db'}") as process:
        assert hear(process) == "ready"
        assert process.stdin is not None
        process.stdin.write(text + "\n")
        process.stdin.flush()
        assert process.wait() == 1
