"""An issuer on an event loop of its own, in a thread, for stories that begin and end event loops or processes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException

from jwt_asgi.testing import TestIssuer
from tests.keys.server import RawServer, Script, issued_by

KEYS = "/jwks.json"


@dataclass
class Issuer:
    """An issuer, and the server that publishes its keys."""

    kit: TestIssuer
    server: RawServer
    loop: asyncio.AbstractEventLoop

    @property
    def name(self) -> str:
        """Its identifier."""
        return self.kit.issuer

    @property
    def fetches(self) -> int:
        """How often it was asked for its keys."""
        return self.server.count(KEYS)

    def answers(self, script: Script | None) -> None:
        """Have it answer so from now on, wherever the keys are; None: well."""
        self.server.script = {} if script is None else {KEYS: script}

    def go(self) -> None:
        """Listen no more."""
        asyncio.run_coroutine_threadsafe(self.server.stop(), self.loop).result(5)

    def come(self) -> None:
        """Listen again, where it did."""
        asyncio.run_coroutine_threadsafe(self.server.start(), self.loop).result(5)


def ask(port: int, path: str = "/", *, token: str | None = None) -> tuple[int, bytes]:
    """The status and the body of what a server process on this machine answers; 0 where it does not."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path, headers={} if token is None else {"authorization": f"Bearer {token}"})
        answered = connection.getresponse()
        return answered.status, answered.read()
    except (OSError, HTTPException):
        return 0, b""
    finally:
        connection.close()


@contextmanager
def issuer_apart() -> Iterator[Issuer]:
    """Start it, and stop it at the end."""
    loop, server = asyncio.new_event_loop(), RawServer()
    thread = threading.Thread(target=loop.run_forever, name="issuer")
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(5)
        kit = TestIssuer(server.url(), algorithms=["ES256"])
        server.otherwise = issued_by(kit)
        yield Issuer(kit, server, loop)
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(5)
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
