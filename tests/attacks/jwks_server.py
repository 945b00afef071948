"""A JWKS endpoint on loopback that misbehaves to order: raw sockets, so that it can send what no server would."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus

from tests.attacks.corpus.keyring import jwks_body

_BOMB_BYTES = 50_000_000


@dataclass(frozen=True)
class Fault:
    """One way to answer. `body` is made when it is needed; `manner` says how it is sent."""

    status: int = 200
    body: Callable[[], bytes] = jwks_body
    headers: Mapping[str, str] = field(default_factory=dict)
    manner: str = "whole"
    cold_accepts: bool = False
    """With no keys yet, a good token is accepted: the fault is one that can be lived with."""
    warm_may_refuse: bool = False
    """With the old keys at hand, refusing (401) is as good as accepting."""


GOOD = Fault(cold_accepts=True)


def _text(text: str | bytes) -> Callable[[], bytes]:
    raw = text if isinstance(text, bytes) else text.encode()
    return lambda: raw


def _moved(location: str, status: int = 302) -> Fault:
    return Fault(status, headers={"location": location})


@cache
def _bomb() -> bytes:
    return gzip.compress(jwks_body() + b" " * _BOMB_BYTES)


def _many_keys() -> bytes:
    good = json.loads(jwks_body())["keys"]
    return json.dumps({"keys": [*good, *({"kty": "RSA"} for _ in range(20_000))]}).encode()


def _utf16() -> bytes:
    return jwks_body().decode("ascii").encode("utf-16")


def _bad_utf8() -> bytes:
    return jwks_body()[:-1] + b',"x":"\xff\xfe"}'


def _with_member(literal: str) -> Callable[[], bytes]:
    return lambda: jwks_body()[:-1] + b',"x":' + literal.encode("ascii") + b"}"


def _duplicate_keys() -> bytes:
    return jwks_body()[:-1] + b',"keys":[]}'


_STATUSES = {f"http-{status}": Fault(status) for status in (500, 503, 429, 404, 401, 206)} | {
    "http-204": Fault(204, _text("")),
    "http-304": Fault(304, _text("")),
    "error-with-keys": Fault(500, headers={"content-type": "application/json"}),
}
_REDIRECTS = {
    "redirect-elsewhere": _moved("{elsewhere}"),
    "redirect-permanent": _moved("{elsewhere}", 308),
    "redirect-loop": _moved("{here}"),
    "redirect-file": _moved("file:///etc/passwd"),
    "redirect-gopher": _moved("gopher://127.0.0.1:9/_keys"),
}
_TEXTS = {
    "html": Fault(body=_text("<!doctype html><title>Log in</title>"), headers={"content-type": "text/html"}),
    "empty-body": Fault(body=_text("")),
    "not-json": Fault(body=_text("{'keys': []}")),
    "utf16": Fault(body=_utf16),
    "bad-utf8": Fault(body=_bad_utf8),
    "nan": Fault(body=_with_member("NaN")),
    "dup-keys": Fault(body=_duplicate_keys),
    "deep": Fault(body=_with_member("[" * 100_000 + "]" * 100_000)),
    "bignum": Fault(body=_with_member("9" * 6000)),
}
_SHAPES = {
    "array": Fault(body=_text("[]")),
    "null": Fault(body=_text("null")),
    "string": Fault(body=_text('"keys"')),
    "no-keys": Fault(body=_text("{}")),
    "keys-null": Fault(body=_text('{"keys":null}')),
    "keys-object": Fault(body=_text('{"keys":{"rsa-1":{}}}')),
    "keys-string": Fault(body=_text('{"keys":"rsa-1"}')),
    "members-odd": Fault(body=_text('{"keys":[null,1,"rsa-1",[],{},{"kty":1},{"kty":"RSA","n":1,"e":[]}]}')),
    "only-oct": Fault(body=_text('{"keys":[{"kty":"oct","k":"AAAA","kid":"rsa-1"}]}')),
    "keys-empty": Fault(body=_text('{"keys":[]}'), warm_may_refuse=True),
}
_SIZES = {
    "huge": Fault(manner="huge"),
    "gzip-bomb": Fault(body=_bomb, headers={"content-encoding": "gzip"}),
    "gzip-broken": Fault(headers={"content-encoding": "gzip"}),
    "many-keys": Fault(body=_many_keys),
}
_MANNERS = {manner: Fault(manner=manner) for manner in ("hang", "drip", "cut", "reset")}
_CACHING = {
    "cache-negative": Fault(headers={"cache-control": "max-age=-1", "age": "-5"}, cold_accepts=True),
    "cache-no-store": Fault(headers={"cache-control": "no-store, no-cache, max-age=0"}, cold_accepts=True),
    "cache-huge": Fault(headers={"cache-control": f"max-age={10**30}"}, cold_accepts=True),
    "wrong-type": Fault(headers={"content-type": "text/plain; charset=utf-16"}, cold_accepts=True),
}
FAULTS: dict[str, Fault] = {**_STATUSES, **_REDIRECTS, **_TEXTS, **_SHAPES, **_SIZES, **_MANNERS, **_CACHING}
"""Rows 138 to 145 of the catalogue."""


class JwksServer:
    """The endpoint, and how it answers for now."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.answer_with(fault)
        self.elsewhere = ""
        self.requests: list[str] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def uri(self) -> str:
        """Where the keys are."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/jwks"

    def answer_with(self, fault: Fault) -> None:
        """Answer like this from now on."""
        # Some bodies are slow to make, which must not count as the verifier's time.
        fault.body()
        self.fault = fault

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def stop(self) -> None:
        """Drop everything, also what hangs."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                request = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(request.split(b"\r\n", 1)[0].decode("latin-1"))
                await self._answer(self.fault, writer)
        finally:
            self._tasks.discard(task)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, fault: Fault, writer: asyncio.StreamWriter) -> None:
        if fault.manner == "hang":
            await asyncio.sleep(60)
        if fault.manner == "reset":
            # Linger of zero: close() sends RST.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return
        body = b"" if fault.manner == "huge" else fault.body()
        writer.write(self._head(fault, _BOMB_BYTES if fault.manner == "huge" else len(body)))
        if fault.manner == "drip":
            for place in range(len(body)):
                writer.write(body[place : place + 1])
                await writer.drain()
                await asyncio.sleep(0.02)
        elif fault.manner == "huge":
            for _ in range(_BOMB_BYTES // 50_000):
                writer.write(b" " * 50_000)
                await writer.drain()
        else:
            writer.write(body[: len(body) // 2] if fault.manner == "cut" else body)
            await writer.drain()

    def _head(self, fault: Fault, length: int) -> bytes:
        headers = {"content-type": "application/jwk-set+json", "connection": "close", "content-length": str(length)}
        headers |= fault.headers
        places = {"{elsewhere}": self.elsewhere, "{here}": self.uri}
        lines = [f"{name}: {places.get(value, value)}" for name, value in headers.items()]
        first = f"HTTP/1.1 {fault.status} {HTTPStatus(fault.status).phrase}"
        return "\r\n".join([first, *lines, "", ""]).encode("latin-1")


@asynccontextmanager
async def jwks_server(fault: Fault = GOOD) -> AsyncIterator[JwksServer]:
    """The endpoint while it is used."""
    server = JwksServer(fault)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
