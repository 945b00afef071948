"""Forks with a verifier at hand, and says what became of it in the children. Run as a program, with the issuer's URL.

A program of its own, since a fork of a process with threads, as pytest's is then, is warned of from Python 3.12 on.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, cast

from jwt_asgi import LoggingHook, Reason, TrustedIssuer, Verifier
from jwt_asgi._keys.remote import RemoteKeys
from jwt_asgi.instrumentation import Decision, Outcome
from tests.keys.script import FakeClock

ISSUER, TOKEN = sys.argv[1], os.environ["TEST_TOKEN"]
SECONDS = 10
AGEING = 256.0


def main() -> None:
    """Fork in each case, and print what the children and the parent say."""
    cases: dict[str, Callable[[], Any]] = {"warm": warm, "cold": cold, "flying": flying, "running": running}
    print(json.dumps({name: case() for name, case in cases.items()}))


class Service:
    """A verifier, the clock that its keys age by, and the log of its refusals."""

    def __init__(self) -> None:
        self.clock, self.log = FakeClock(), LoggingHook()
        self.trusted = TrustedIssuer(
            issuer=ISSUER, audience="https://api.test", algorithms=["ES256"], key_clock=self.clock, key_hooks=[]
        )
        self.verifier = Verifier(self.trusted)

    async def subject(self) -> str | None:
        """Whose token it is."""
        async with asyncio.timeout(5):
            return (await self.verifier.verify(TOKEN)).subject

    def status(self) -> dict[str, Any]:
        return self.verifier.status()[ISSUER].as_dict()

    def say(self) -> list[str]:
        """What the log writes of a refusal."""
        stream = io.StringIO()
        logging.getLogger("jwt_asgi").addHandler(logging.StreamHandler(stream))
        self.log(Decision(outcome=Outcome.REFUSED, reason=Reason.TOKEN_EXPIRED, detail="why"))
        return stream.getvalue().splitlines()


def in_child(work: Callable[[], Any]) -> Any:
    """Fork, and return what `work` returns there."""
    source, sink = os.pipe()
    if os.fork() == 0:
        signal.alarm(SECONDS)
        try:
            result = work()
        except BaseException as error:
            result = {"error": repr(error)}
        os.write(sink, json.dumps(result).encode())
        os._exit(0)
    os.close(sink)
    with os.fdopen(source, "rb") as pipe:
        said = pipe.read()
    os.wait()
    return json.loads(said) if said else {"error": "it hung, or died"}


def warm() -> Any:
    """Several children of a process that has the keys."""
    service = Service()
    asyncio.run(service.subject())

    async def live() -> dict[str, Any]:
        at_fork = service.status()
        subject = await service.subject()
        asked = service.status()["counters"]["fetches"]
        service.clock.now += AGEING
        again = await service.subject()
        while service.status()["state"] != "fresh":
            await asyncio.sleep(0.002)
        return {
            "subjects": [subject, again],
            "refresh_in": at_fork["refresh_in"],
            "fetches": [asked, service.status()["counters"]["fetches"]],
            "said": service.say(),
        }

    children = [in_child(lambda: asyncio.run(live())) for _ in range(3)]
    return {"parent": service.status(), "children": children}


def cold() -> Any:
    """A child of a process that has none yet."""
    service = Service()
    child = in_child(lambda: [asyncio.run(service.subject()), service.status()["counters"]["fetches"]])
    return {"parent": service.status()["state"], "child": child}


def flying() -> Any:
    """A child of a process in which another thread waits for the issuer, and two others hold the locks."""
    service, held, let_go = Service(), threading.Semaphore(0), threading.Event()

    def hold(lock: threading.Lock) -> None:
        with lock:
            held.release()
            let_go.wait(SECONDS)

    def wait() -> None:
        loop = asyncio.new_event_loop()
        task = loop.create_task(service.subject())
        while not let_go.is_set():
            loop.run_until_complete(asyncio.sleep(0.002))
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, service.verifier.aclose(), return_exceptions=True))
        loop.close()

    threads = [threading.Thread(target=wait)]
    threads[0].start()
    while service.status()["counters"]["fetches"] == 0:
        time.sleep(0.002)
    time.sleep(0.2)  # the issuer holds its first answer back, so that the fetch is under way for long
    locks = [cast("RemoteKeys", service.trusted.keys)._lock, service.log._lock]
    threads += [threading.Thread(target=hold, args=(lock,)) for lock in locks]
    for thread in threads[1:]:
        thread.start()
        held.acquire()
    child = in_child(lambda: {"subject": asyncio.run(service.subject()), "said": service.say()})
    let_go.set()
    for thread in threads:
        thread.join()
    return {"child": child, "parent": service.status()["state"]}


def running() -> Any:
    """A child that is forked by a coroutine, and has a loop of its own."""
    service = Service()

    async def fork() -> Any:
        flight = asyncio.create_task(service.subject())
        await asyncio.sleep(0)
        child = in_child(lambda: in_a_thread(service.subject))
        return {"child": child, "parent": await flight}

    return asyncio.run(fork())


def in_a_thread(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """What it returns, run in a thread."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(asyncio.run(work())))
    thread.start()
    thread.join()
    return results[0]


if __name__ == "__main__":
    main()
