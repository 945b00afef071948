"""A service starts while its issuer is there, is down, or hangs; and becomes ready by itself."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest

from jwt_asgi import JWTMiddleware, KeyCaching, TrustedIssuer, Verifier
from jwt_asgi.health import HealthApp
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIScope, Message, Receive, Send
from tests.asgi import http
from tests.keys.server import RawServer, issued_by, silence
from tests.stories.apart import Issuer, ask, issuer_apart

ROOT = Path(__file__).parents[2]


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuer_apart() as apart:
        yield apart


# Server processes


@dataclass
class Process:
    """A server process, and what it has written."""

    popen: subprocess.Popen[bytes]
    port: int
    log: Path
    issuer: Issuer

    def get(self, path: str, *, token: str | None = None) -> int:
        """The status of an answer; 0 where there is none."""
        return ask(self.port, path, token=token)[0]

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for it, as long as the process runs."""
        deadline = time.monotonic() + 20
        while not condition():
            assert self.popen.poll() is None, self.written()
            assert time.monotonic() < deadline, self.written()
            time.sleep(0.02)

    def stop(self) -> str:
        """Stop it as an operator would, and return what it has written."""
        began = time.monotonic()
        self.popen.terminate()
        self.popen.wait(20)
        assert time.monotonic() - began < 4, "no fetch under way holds it up"
        return self.written()

    def written(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


SERVERS = {
    "uvicorn": ["uvicorn", "--factory", "--port", "{port}", "tests.stories.starting:create_app"],
    "hypercorn": ["hypercorn", "--workers", "0", "--bind", "127.0.0.1:{port}", "tests.stories.starting:create_app()"],
}


@contextmanager
def starting(
    issuer: Issuer, folder: Path, startup: str, *, seconds: float, server: str = "uvicorn"
) -> Iterator[Process]:
    """Start a server, and kill it at the end if it still runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TEST_ISSUER": issuer.name,
        "TEST_STARTUP": startup,
        "TEST_SECONDS": str(seconds),
    }
    command = [sys.executable, "-m", *(part.format(port=port) for part in SERVERS[server])]
    log = folder / "server.log"
    with log.open("wb") as output:
        popen = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        yield Process(popen, port, log, issuer)
    finally:
        popen.kill()
        popen.wait(20)


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_does_not_start_without_the_keys_that_it_requires_and_says_why(
    issuer: Issuer, tmp_path: Path, server: str
) -> None:
    issuer.go()
    with starting(issuer, tmp_path, "require", seconds=0.8, server=server) as process:
        code = process.popen.wait(20)
        written = process.written()
    assert code == 3 if server == "uvicorn" else code != 0
    said = f"jwt-asgi: startup='require', and the keys of {issuer.name} cannot be had: keys_unavailable: "
    assert said in written
    assert "ConnectError" in written or "ConnectionRefusedError" in written
    assert "never retrieved" not in written


def test_a_server_that_requires_keys_starts_once_the_issuer_comes_up(issuer: Issuer, tmp_path: Path) -> None:
    issuer.go()
    with starting(issuer, tmp_path, "require", seconds=20.0) as process:
        process.until(lambda: "the next attempt in" in process.written())
        assert process.get("/health/live") == 0, "it has not started yet"
        issuer.come()
        process.until(lambda: process.get("/health/live") == 200)
        assert process.get("/health/ready") == 200
        assert process.get("/", token=issuer.kit.token()) == 200
        assert issuer.fetches == 1
        assert "Traceback" not in process.stop()


@pytest.mark.parametrize("startup", ["lazy", "warm"])
def test_a_server_starts_beside_an_issuer_that_hangs_and_becomes_ready_with_it(
    issuer: Issuer, tmp_path: Path, startup: str
) -> None:
    issuer.answers([silence, issued_by(issuer.kit)])
    with starting(issuer, tmp_path, startup, seconds=0.2) as process:
        process.until(lambda: process.get("/health/live") == 200)
        assert issuer.fetches == (startup == "warm")
        assert process.get("/health/ready") == 503
        if startup == "lazy":
            process.until(lambda: issuer.fetches == 1)
            written = process.stop()  # in the midst of that fetch
        else:
            process.until(lambda: process.get("/health/ready") == 200)
            assert issuer.fetches == 2
            assert process.get("/", token=issuer.kit.token()) == 200
            written = process.stop()
    assert "Traceback" not in written
    assert "destroyed" not in written
    assert "never retrieved" not in written


# In this process, on real sockets


async def application(scope: ASGIScope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


class Lifespan:
    """A service that was started; `async with` stops it at the end."""

    def __init__(self, verifier: Verifier, startup: Any) -> None:
        self.verifier = verifier
        self.app = JWTMiddleware(application, verifier=verifier, startup=startup, hooks=[])
        self.sent: list[Message] = []
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.app({"type": "lifespan"}, self._incoming.get, self._send))
        await self._incoming.put({"type": "lifespan.startup"})
        async with asyncio.timeout(5):
            while not self.sent:
                await asyncio.sleep(0.002)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._incoming.put({"type": "lifespan.shutdown"})
        await self._task

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


def trusting(issuer: TestIssuer, *, required: bool = True) -> TrustedIssuer:
    return TrustedIssuer(
        issuer=issuer.issuer,
        audience=issuer.audience,
        algorithms=["ES256"],
        key_caching=KeyCaching(timeout=0.3),
        key_hooks=[],
        required=required,
    )


@contextmanager
def patience(seconds: float, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A start waits no longer than this, and a little for slow machines."""
    monkeypatch.setattr("jwt_asgi.verifier.START_SECONDS", seconds)
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds + 2


@pytest.mark.parametrize(("startup", "requests"), [("lazy", 0), ("warm", 2), ("require", 2)])
async def test_before_the_first_request_the_issuer_was_asked_once_or_not_at_all(startup: str, requests: int) -> None:
    async with RawServer() as server:
        issuer = TestIssuer(server.url(), algorithms=["ES256"])
        server.otherwise = issued_by(issuer)
        async with Lifespan(Verifier(trusting(issuer)), startup) as service:
            await asyncio.sleep(0.02)
            assert len(server.requests) == requests
            assert (await http(service.app, token=issuer.token())).status == 200
            assert (await http(service.app, token=issuer.token())).status == 200
            assert len(server.requests) == 2


@pytest.mark.parametrize("startup", ["lazy", "warm"])
async def test_an_issuer_that_is_down_at_the_start_is_found_by_the_first_request_after_it_came_up(
    startup: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with RawServer() as server:
        issuer = TestIssuer(server.url(), algorithms=["ES256"])
        server.otherwise = issued_by(issuer)
        await server.stop()
        with patience(1.0, monkeypatch):
            service = await Lifespan(Verifier(trusting(issuer)), startup).__aenter__()
        refused = await http(service.app, token=issuer.token())
        assert (refused.status, refused.header("retry-after")) == (503, "1")
        await server.start()
        async with asyncio.timeout(5):
            while (await http(service.app, token=issuer.token())).status != 200:
                await asyncio.sleep(0.02)
        await service.__aexit__()


@pytest.mark.parametrize("startup", ["warm", "require"])
async def test_a_start_does_not_wait_for_an_issuer_that_is_not_required(
    startup: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with RawServer() as server, RawServer() as other:
        issuer, hanging = TestIssuer(server.url(), algorithms=["ES256"]), TestIssuer(other.url(), algorithms=["ES256"])
        server.otherwise, other.otherwise = issued_by(issuer), silence
        verifier = Verifier(trusting(hanging, required=False), trusting(issuer))
        with patience(0.2, monkeypatch):
            async with Lifespan(verifier, startup) as service:
                assert service.sent == [{"type": "lifespan.startup.complete"}]
                assert other.requests == []
                assert (await http(HealthApp(verifier), path="/ready")).status == 200
                assert (await http(service.app, token=issuer.token())).status == 200
                assert (await http(service.app, token=hanging.token())).status == 503


@pytest.mark.parametrize("startup", ["warm", "require"])
async def test_an_issuer_that_hangs_holds_a_start_up_no_longer_than_the_bound(
    startup: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with RawServer() as server:
        issuer = TestIssuer(server.url(), algorithms=["ES256"])
        server.otherwise = silence
        before = asyncio.all_tasks()
        with patience(0.15, monkeypatch):
            service = await Lifespan(Verifier(trusting(issuer)), startup).__aenter__()
        assert service.sent[0]["type"] == f"lifespan.startup.{'complete' if startup == 'warm' else 'failed'}"
        await service.__aexit__()
        assert {task for task in asyncio.all_tasks() - before if "RawServer" not in repr(task)} == set()
