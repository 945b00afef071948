"""A process of the token service, as a test's child: it does what it is told, one thing after another."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from multiprocessing.connection import Connection
from typing import Any

from jwt_asgi.issuer.rotation import Step
from jwt_asgi.issuer.store import PostgreSQLStore, SQLiteStore
from tests.issuer.store.world import make_store, refresh

AnyStore = SQLiteStore | PostgreSQLStore
CALLERS = 4
PATIENCE = 60.0
"""What is shown of several processes is that nothing is broken, on a machine of whatever speed."""
Outcome = tuple[bytes, Step | None, int]


async def together(store: AnyStore, families: list[bytes], generation: int, _: Connection) -> list[Outcome]:
    """Present the same generation of each family by four callers at once; say what became of each, in any order."""
    found: list[Outcome] = []
    busy = asyncio.Semaphore(64)

    async def caller(family: bytes) -> None:
        async with busy:
            step, newest = await refresh(store, family, generation)
        found.append((family, step, newest))

    await asyncio.gather(*(caller(family) for family in families for _ in range(CALLERS)))
    return found


async def die_after_commit(store: AnyStore, families: list[bytes], generation: int, _: Connection) -> None:
    """Refresh, and be killed before the answer is given."""
    await refresh(store, families[0], generation)
    os.kill(os.getpid(), signal.SIGKILL)


async def until_killed(store: AnyStore, families: list[bytes], generation: int, told: Connection) -> None:
    """Refresh each family again and again, and say what was answered, as a client would know it."""

    async def client(family: bytes) -> None:
        newest = generation
        while True:
            _, newest = await refresh(store, family, newest)
            told.send((family, newest))

    await asyncio.gather(*(client(family) for family in families))


async def forked(store: AnyStore, families: list[bytes], generation: int, _: Connection) -> list[int]:
    """Refresh in a child of a fork, whose parent has used the store, and after it in the parent."""
    first = await refresh(store, families[0], generation)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            # In a loop of its own: that of the parent is not the child's to use
            asyncio.events._set_running_loop(None)
            code = asyncio.run(refresh(store, families[0], generation + 1))[1]
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    last = await refresh(store, families[0], generation + 2)
    return [first[1], os.waitstatus_to_exitcode(status), last[1]]


WAYS: dict[str, Callable[[AnyStore, list[bytes], int, Connection], Coroutine[Any, Any, Any]]] = {
    way.__name__: way for way in (together, die_after_commit, until_killed, forked)
}


def run(url: str, told: Connection) -> None:
    """Make the tables, and do what comes, until nothing can come any more."""

    async def main() -> None:
        store = make_store(url, timeout=PATIENCE)
        await store.migrate()
        told.send("ready")
        while True:
            try:
                way, families, generation = told.recv()
            except EOFError:
                break
            told.send(await WAYS[way](store, families, generation, told))
        await store.aclose()

    asyncio.run(main())
