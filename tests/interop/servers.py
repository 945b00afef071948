"""A small protected application, and the ASGI servers that serve it as processes of their own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import anyio
import uvicorn

from jwt_asgi import HttpxFetch, JWTMiddleware, KeyCaching, Scope, check_access
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIApp, ASGIScope, FetchResponse, Receive, Send

ROOT = Path(__file__).parents[2]
AUDIENCE = "https://api.test"
SECONDS = 20.0
"""How long a server may take to start, and to stop."""

SERVERS = {
    "uvicorn, asyncio": ("uvicorn", "--loop", "asyncio", "--ws", "websockets", "--port", "{port}"),
    "uvicorn, uvloop": ("uvicorn", "--loop", "uvloop", "--ws", "wsproto", "--port", "{port}"),
    "hypercorn": ("hypercorn", "--workers", "0", "--bind", "127.0.0.1:{port}"),
    "hypercorn, trio": ("hypercorn", "--worker-class", "trio", "--workers", "1", "--bind", "127.0.0.1:{port}"),
    "granian": ("granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}"),
}


def create_app() -> ASGIApp:
    """The application, as the environment describes it; its lifespan leaves a line at each end.

    Each answer that it gives says in its headers which process gave it, and how many fetches of that process were
    answered and failed.
    """
    released, fetch, key_seconds = threading.Event(), CountedFetch(), float(os.environ["TEST_KEY_SECONDS"])

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(scope, receive, send)
        elif scope["type"] == "websocket":
            await talk(scope, receive, send)
        elif scope["path"] == "/stream":
            await stream(send, released)
        else:
            if scope["path"] == "/release":
                released.set()
            await answer(scope, receive, send, fetch.headers())

    door = JWTMiddleware(
        app,
        issuer=os.environ["TEST_ISSUER"],
        audience=os.environ["TEST_AUDIENCE"],
        algorithms=["ES256"],
        key_caching=KeyCaching(ttl=key_seconds, least_ttl=min(key_seconds, KeyCaching().least_ttl)),
        fetch=fetch,
        exempt=["/healthz"],
    )

    async def entry(scope: ASGIScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == "/without-denial":
            # as a server that does not have this extension
            scope["extensions"] = {}
        await door(scope, receive, send)

    return entry


class CountedFetch:
    """The default fetch, which counts."""

    def __init__(self) -> None:
        """Nothing has been fetched yet."""
        self._fetch = HttpxFetch()
        self._answered = self._failed = 0

    async def __call__(self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        """GET `url`."""
        try:
            response = await self._fetch(url, headers=headers, timeout=timeout, limit=limit)
        except Exception:
            self._failed += 1
            raise
        self._answered += 1
        return response

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The process and its counts."""
        counts = {b"pid": os.getpid(), b"fetches-answered": self._answered, b"fetches-failed": self._failed}
        return [(name, str(count).encode()) for name, count in counts.items()]


async def lifespan(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Set the state, and write down what happens."""
    with Path(os.environ["TEST_RECORD"]).open("a", encoding="utf-8") as record:
        assert (await receive())["type"] == "lifespan.startup"
        scope["state"]["greeting"] = "hello"
        print("startup", file=record, flush=True)
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        print("shutdown", file=record, flush=True)
        await send({"type": "lifespan.shutdown.complete"})


async def answer(scope: ASGIScope, receive: Receive, send: Send, more_headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Say who asks, what the lifespan left, and how much was sent."""
    received, more = 0, True
    while more:
        message = await receive()
        received += len(message.get("body", b""))
        more = message.get("more_body", False)
    token = scope["jwt"]
    body = json.dumps(
        {
            "subject": None if token is None else token.subject,
            "greeting": scope["state"]["greeting"],
            "received": received,
        }
    ).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *more_headers,
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def stream(send: Send, released: threading.Event) -> None:
    """Send a piece, wait until another request allows the rest, and send it."""
    released.clear()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"first,", "more_body": True})
    while not released.is_set():
        await anyio.sleep(0.005)
    await send({"type": "http.response.body", "body": b"second", "more_body": False})


async def talk(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Echo every text with the subject's name before it."""
    assert (await receive())["type"] == "websocket.connect"
    if scope["path"] == "/forbidden":
        check_access(scope["jwt"], Scope("talk"))
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": f"{scope['jwt'].subject}: {message['text']}"})


@dataclass(frozen=True)
class Server:
    """A server that runs; `record` is what its lifespan has written so far."""

    name: str
    url: str
    record: Path
    process: subprocess.Popen[bytes]

    @property
    def socket_url(self) -> str:
        """Where its WebSocket is."""
        return self.url.replace("http://", "ws://")

    def stop(self) -> None:
        """Stop it as an operator would, by SIGTERM, and wait."""
        self.process.terminate()
        try:
            self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def serving(
    name: str,
    issuer: str,
    folder: Path,
    *,
    audience: str = AUDIENCE,
    key_seconds: float = 600.0,
    workers: int = 1,
    module: str = "tests.interop.servers",
) -> Iterator[Server]:
    """Serve the application of a module until the block ends; uvicorn can do so in several worker processes."""
    port = free_port()
    record, log = folder / "lifespan.txt", folder / "server.log"
    program, *options = SERVERS[name]
    if workers > 1:
        assert program == "uvicorn", "the options of the others are not the same"
        options += ["--workers", str(workers)]
    factory = [] if program == "hypercorn" else ["--factory"]
    target = f"{module}:create_app" + ("()" if program == "hypercorn" else "")
    command = [sys.executable, "-m", program, *(option.format(port=port) for option in options), *factory, target]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TEST_URL": f"http://127.0.0.1:{port}",
        "TEST_ISSUER": issuer,
        "TEST_AUDIENCE": audience,
        "TEST_KEY_SECONDS": str(key_seconds),
        "TEST_RECORD": str(record),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    server = Server(name, f"http://127.0.0.1:{port}", record, process)
    try:
        _wait_until_it_answers(port, process, log)
        yield server
    finally:
        server.stop()


@contextmanager
def issuing(algorithms: Sequence[str] = ("ES256",)) -> Iterator[TestIssuer]:
    """Serve a test issuer over HTTP on a loopback port, from a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        issuer = TestIssuer(f"http://127.0.0.1:{listener.getsockname()[1]}", algorithms=algorithms)
        server = uvicorn.Server(uvicorn.Config(issuer, loop="asyncio", lifespan="off", log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield issuer
        finally:
            server.should_exit = True
            thread.join(SECONDS)


def free_port() -> int:
    """A port of this machine that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_until_it_answers(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        try:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        except (OSError, HTTPException):
            time.sleep(0.02)
        finally:
            connection.close()
    raise AssertionError(f"the server does not answer:\n{log.read_text(encoding='utf-8', errors='replace')}")
