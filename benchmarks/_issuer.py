"""An issuer's HTTP server, as a process of its own: raw asyncio, so that it takes little of the machine.

It is driven over its standard input: one JSON object a line, each answered by one line. `_kit.IssuerProcess` does that.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a path answers; without a body it takes the connection and never answers."""

    status: int
    body: bytes | None
    seconds: float

    @property
    def etag(self) -> str:
        return f'"{sha256(self.body or b"").hexdigest()[:16]}"'


class Issuer:
    """Counts the GETs of each path. One connection is one request."""

    def __init__(self) -> None:
        self._paths: dict[str, Behaviour] = {}
        self._gets: Counter[str] = Counter()
        self._waiting: set[asyncio.Task[None] | None] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._waiting.add(task)
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            path = head.split(" ", 2)[1]
            self._gets[path] += 1
            behaviour = self._paths.get(path, Behaviour(404, b"", 0.0))
            if behaviour.body is None:
                await reader.read()
            else:
                await asyncio.sleep(behaviour.seconds)
                writer.write(answer(behaviour, unchanged=f"if-none-match: {behaviour.etag}\r\n" in head))
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        self._waiting.discard(task)

    def obey(self, order: dict[str, object]) -> object:
        path = str(order["path"])
        if order["do"] == "count":
            return self._gets[path]
        body = order["body"]
        raw = None if body is None else str(body).encode()
        self._paths[path] = Behaviour(int(str(order["status"])), raw, float(str(order["seconds"])))
        return "done"


def answer(behaviour: Behaviour, *, unchanged: bool) -> bytes:
    status, body = (304, b"") if unchanged and behaviour.status == 200 else (behaviour.status, behaviour.body or b"")
    head = f"HTTP/1.1 {status} Whatever\r\ncontent-type: application/json\r\netag: {behaviour.etag}\r\n"
    return f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode("latin-1") + body


async def main() -> None:
    context = None
    if len(sys.argv) > 1:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1])
    issuer = Issuer()
    server = await asyncio.start_server(issuer.serve, "127.0.0.1", 0, ssl=context, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    orders = asyncio.StreamReader(limit=2**24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        print(json.dumps(issuer.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
