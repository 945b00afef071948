"""An issuer on a real socket that can be broken and healed, the door before a service, and a clock between them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from jwt_asgi import JWTMiddleware, KeyCaching, TrustedIssuer, Verifier
from jwt_asgi._keys.fetch import HttpxFetch
from jwt_asgi._keys.remote import RemoteKeys
from jwt_asgi.types import ASGIScope, Clock, Fetch, FetchResponse, Receive, Send
from tests.asgi import Answer, http
from tests.attacks.corpus.case import AUDIENCE, ISSUER
from tests.attacks.corpus.jws import claims, header, sign
from tests.attacks.corpus.keyring import GOOD_MEMBERS, RSA_1, RSA_ATTACKER, jwks_body, public_jwk
from tests.keys.certificates import Authority
from tests.keys.script import FakeClock
from tests.keys.server import RawServer, Script, answer

ALGORITHMS = ("RS256", "EdDSA", "Ed25519", "ES256")
CACHING = KeyCaching(stale_wait=10.0, timeout=10.0)
"""Whoever waits, waits for the end of the attempt: what comes of it does not depend on the machine's speed."""
NAME = "issuer.test"
"""A host that is reached through a proxy alone."""
LIFETIME = 600.0
"""Of the good set, which says nothing itself."""


class Server(RawServer):
    """One that may also speak before it is asked, or speak TLS from now on, or listen elsewhere."""

    def __init__(self) -> None:
        """Listen to nothing yet."""
        super().__init__()
        self.unasked: bytes | None = None
        """What is written, before the connection is closed, in place of reading a request."""

    async def become(self, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        """Listen at the same port, as said."""
        if self._server is not None:
            await self.stop()
        self._tls, self.host = tls, host
        await self.start()

    @property
    def port(self) -> int:
        """The port."""
        return self._port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.unasked is None:
            await super()._serve(reader, writer)
            return
        with suppress(OSError):
            if self.unasked:
                await reader.read(1)
                writer.write(self.unasked)
            writer.close()
            await writer.wait_closed()


class Proxy:
    """An HTTP proxy that knows CONNECT alone (RFC 9110 section 9.3.6), and one host behind it."""

    def __init__(self, port: int, refusal: bytes = b"") -> None:
        """Lead to this port, or refuse."""
        self._port, self._refusal = port, refusal
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None] | None] = set()
        self.asked: list[bytes] = []

    async def start(self) -> str:
        """Listen, and tell where."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Hang up and listen no more."""
        assert self._server is not None
        self._server.close()
        tasks = [task for task in self._tasks if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        other: asyncio.StreamWriter | None = None
        # A cancelled task would be logged by asyncio's streams
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self.asked.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
            if self._refusal:
                writer.write(self._refusal)
            else:
                other_reader, other = await asyncio.open_connection("127.0.0.1", self._port)
                writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
                await asyncio.gather(_pass_on(reader, other), _pass_on(other_reader, writer))
        with suppress(OSError, asyncio.CancelledError):
            writer.close()
            await writer.wait_closed()
        for end in (writer, other):
            if end is not None:
                end.transport.abort()
        self._tasks.discard(task)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()


@dataclass
class Line:
    """A `Fetch` between the keys and the network, which counts, and can be laid to another place."""

    inner: Fetch
    url: str | None = None
    base: tuple[str, str] = ("", "")
    """What URLs begin with, and in place of it the server's own."""
    tries: int = 0

    async def __call__(self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        """Fetch."""
        self.tries += 1
        return await self.inner(self.url or url.replace(*self.base, 1), headers=headers, timeout=timeout, limit=limit)


@dataclass
class World:
    """One replica of a service, and its issuer."""

    server: Server
    elsewhere: Server
    line: Line
    clock: FakeClock
    environment: pytest.MonkeyPatch
    directory: Path
    app: JWTMiddleware = field(init=False)
    proxy: Proxy | None = None

    @property
    def gets(self) -> int:
        """How many requests the issuer has seen."""
        return len(self.server.requests)

    @property
    def counts(self) -> tuple[int, int]:
        """How many requests the issuer has seen, and how many connections were tried."""
        return self.gets, self.line.tries

    async def ask(self, token: str) -> Answer:
        """Send a request with this token; the answer is well formed, whatever it is."""
        answered = await http(self.app, token=token)
        after, challenge = answered.header("retry-after"), answered.challenge
        assert (after is not None) == (answered.status == 503)
        assert (challenge is not None) == (answered.status == 401)
        assert challenge is None or challenge.startswith('Bearer error="invalid_token"')
        assert answered.status == 200 or answered.header("cache-control") == "no-store"
        return answered

    async def status(self, token: str) -> int:
        """The status of a request with this token."""
        return (await self.ask(token)).status

    def publish(self, script: Script) -> None:
        """Answer like this from now on, on every path."""
        self.server.otherwise = script

    async def heal(self) -> None:
        """Be a good issuer again."""
        self.publish(GOOD)
        self.server.unasked = None
        self.line.url, self.line.inner = None, default_fetch()
        if self.server._server is None or self.server._tls is not None or self.server.host != "127.0.0.1":
            await self.server.become()

    async def behind_a_proxy(self, refusal: bytes = b"") -> None:
        """Let the environment name a proxy, which alone knows the way."""
        authority = authority_in(self.directory)
        await self.server.become(tls=authority.serving(NAME))
        self.proxy = Proxy(self.server.port, refusal)
        self.environment.setenv("HTTPS_PROXY", await self.proxy.start())
        self.line.url, self.line.inner = f"https://{NAME}/jwks", HttpxFetch(authority.trusting())


@asynccontextmanager
async def world(
    environment: pytest.MonkeyPatch, directory: Path, *, caching: KeyCaching = CACHING, discovered: bool = False
) -> AsyncIterator[World]:
    """Start a good issuer, one elsewhere that is the attacker's, and one replica that has asked for nothing.

    `discovered`: the replica is not told where the keys are.
    """
    for name in ("NO_PROXY", "no_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        environment.delenv(name, raising=False)
    clock = FakeClock()
    async with Server() as server, Server() as elsewhere:
        line = Line(default_fetch())
        made = World(server, elsewhere, line, clock, environment, directory)
        made.publish(GOOD)
        elsewhere.otherwise = good(jwks_body(public_jwk(RSA_ATTACKER, kid="rsa-1")))
        if discovered:
            line.base = (ISSUER, server.url())
        issuer = trusted(None if discovered else server.url("/jwks"), line, caching, clock)
        async with Verifier(issuer) as verifier:
            made.app = JWTMiddleware(_hello, verifier=verifier, hooks=[])
            yield made
        assert elsewhere.requests == []
        if made.proxy is not None:
            await made.proxy.stop()


def trusted(jwks_uri: str | None, fetch: Fetch, caching: KeyCaching, clock: Clock) -> TrustedIssuer:
    """The issuer, whose keys age by this clock and whose jitter is none."""
    issuer = TrustedIssuer(
        issuer=ISSUER, audience=AUDIENCE, algorithms=ALGORITHMS, jwks_uri=jwks_uri, key_caching=caching, fetch=fetch
    )
    issuer.keys = RemoteKeys(ISSUER, jwks_uri=jwks_uri, fetch=fetch, caching=caching, clock=clock, jitter=lambda: 0.0)
    return issuer


@cache
def default_fetch() -> HttpxFetch:
    """The default, made once: its TLS context is dear."""
    return HttpxFetch()


@cache
def authority_in(directory: Path) -> Authority:
    """The one authority of a directory."""
    return Authority(directory)


def good(body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """A whole answer with this key set."""
    return answer(200, body, {"content-type": "application/json"} | dict(headers or {}))


GOOD_SET = jwks_body(GOOD_MEMBERS[0])
GOOD = good(GOOD_SET)


@cache
def good_token() -> str:
    """A token that the good set verifies."""
    return sign(RSA_1, header(), claims())


@cache
def forged_token() -> str:
    """One under the kid of a good key."""
    return sign(RSA_ATTACKER, header(), claims())


@cache
def new_kid_token() -> str:
    """One whose kid is in no set."""
    return sign(RSA_ATTACKER, header(kid="a-new-kid"), claims())


async def _hello(_: ASGIScope, __: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
