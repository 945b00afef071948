"""A process of the token service, as a test's child: it does what it reads on standard input, a line at a time."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from jwt_asgi.issuer.store import PostgreSQLStore, SQLiteStore
from tests.issuer.store.world import make_store, refresh

AnyStore = SQLiteStore | PostgreSQLStore
CALLERS = 4


async def together(store: AnyStore, families: list[str], generation: int) -> list[list[Any]]:
    """Present the same generation of each family by four callers at once; say what became of each, in any order."""
    found: list[list[Any]] = []
    busy = asyncio.Semaphore(16)

    async def caller(family: str) -> None:
        async with busy:
            step, newest = await refresh(store, bytes.fromhex(family), generation)
        found.append([family, step.value if step else None, newest])

    await asyncio.gather(*(caller(family) for family in families for _ in range(CALLERS)))
    return found


async def die_after_commit(store: AnyStore, families: list[str], generation: int) -> None:
    """Refresh, and be killed before the answer is given."""
    await refresh(store, bytes.fromhex(families[0]), generation)
    os.kill(os.getpid(), signal.SIGKILL)


async def until_killed(store: AnyStore, families: list[str], generation: int) -> None:
    """Refresh each family again and again, and say what was answered, as a client would know it."""

    async def client(family: str) -> None:
        newest = generation
        while True:
            _, newest = await refresh(store, bytes.fromhex(family), newest)
            print(json.dumps([family, newest]), flush=True)

    await asyncio.gather(*(client(family) for family in families))


async def forked(store: AnyStore, families: list[str], generation: int) -> list[int]:
    """Refresh in a child of a fork, whose parent has used the store, and after it in the parent."""
    first = await refresh(store, bytes.fromhex(families[0]), generation)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            # In a loop of its own: that of the parent is not the child's to use
            asyncio.events._set_running_loop(None)
            code = asyncio.run(refresh(store, bytes.fromhex(families[0]), generation + 1))[1]
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    last = await refresh(store, bytes.fromhex(families[0]), generation + 2)
    return [first[1], os.waitstatus_to_exitcode(status), last[1]]


WAYS: dict[str, Callable[[AnyStore, list[str], int], Coroutine[Any, Any, Any]]] = {
    way.__name__: way for way in (together, die_after_commit, until_killed, forked)
}


async def main() -> None:
    store = make_store(sys.argv[1])
    await store.migrate()
    print(json.dumps("ready"), flush=True)
    for line in iter(sys.stdin.readline, ""):
        way, families, generation = json.loads(line)
        print(json.dumps(await WAYS[way](store, families, generation)), flush=True)
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main())
