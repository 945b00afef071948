"""A tiny HTTP/1.1 server on raw sockets, whose answer on each path a test scripts to the byte."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from jwt_asgi.testing import TestIssuer


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked for; header names in lower case."""

    path: str
    headers: Mapping[str, str]


Behaviour = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]
Script = bytes | Behaviour | list[bytes | Behaviour]
"""Raw bytes, or what writes them; of a list, each is for one request, and the last for all that follow."""


class RawServer:
    """Serves one request for each connection, and remembers them all.

    A path without a script is answered by `otherwise`, which is 404 unless a test says so. `stop` and `start` again
    listen at the same port.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen to nothing yet."""
        self.script: dict[str, Script] = {}
        self.otherwise: Script = answer(404)
        self.requests: list[Request] = []
        self.host = "127.0.0.1"
        self._tls = tls
        self._port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None] | None] = set()

    def url(self, path: str = "", *, host: str = "127.0.0.1") -> str:
        """Where a path is."""
        return f"{'https' if self._tls else 'http'}://{host}:{self._port}{path}"

    def count(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(request.path == path for request in self.requests)

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(
            self._serve, self.host, self._port, ssl=self._tls, limit=2**20, backlog=512
        )
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Hang up and listen no more."""
        assert self._server is not None
        self._server.close()
        tasks = [task for task in self._tasks if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def __aenter__(self) -> Self:
        """Listen."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up."""
        if self._server is not None:
            await self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        # A cancelled task would be logged by asyncio's streams
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            request = _parse(await reader.readuntil(b"\r\n\r\n"))
            self.requests.append(request)
            behaviour = self._next(request.path)
            if isinstance(behaviour, bytes):
                writer.write(behaviour)
            else:
                await behaviour(request, writer)
            await writer.drain()
        with suppress(OSError, asyncio.CancelledError):
            writer.close()
            await writer.wait_closed()
        writer.transport.abort()
        self._tasks.discard(task)

    def _next(self, path: str) -> bytes | Behaviour:
        script = self.script.get(path, self.otherwise)
        if isinstance(script, list):
            return script.pop(0) if len(script) > 1 else script[0]
        return script


def answer(status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """A whole answer, with its length unless `headers` give another."""
    lines = {"content-length": str(len(body)), "connection": "close"} | dict(headers or {})
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode("latin-1") + body


def drip(data: bytes, *, seconds: float) -> Behaviour:
    """Write a byte now and then."""

    async def behave(_: Request, writer: asyncio.StreamWriter) -> None:
        for byte in data:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(seconds)

    return behave


async def silence(_: Request, __: asyncio.StreamWriter) -> None:
    """Never answer."""
    await asyncio.Event().wait()


def reset_after(data: bytes) -> Behaviour:
    """Write, then reset the connection (RST, no FIN)."""

    async def behave(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        # The client has to read what there is before the reset throws it away
        await asyncio.sleep(0.05)
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return behave


def issued_by(issuer: TestIssuer) -> Behaviour:
    """Answer as this issuer: its metadata, its key set as it is now, 304 for a validator that fits."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        response = await issuer.fetch(issuer.issuer + request.path, headers=request.headers, timeout=1, limit=2**20)
        writer.write(answer(response.status, response.body, response.headers))

    return behave


def _parse(head: bytes) -> Request:
    start, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, path, _ = start.split(" ")
    assert method == "GET"
    fields = (line.split(":", 1) for line in lines)
    return Request(path, {name.lower(): value.strip() for name, value in fields})
