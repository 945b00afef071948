"""Processes of a token service on one database, a resource server that trusts them, and a client that calls both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from jwt_asgi import Decision, Hook, JWTMiddleware, KeyCaching, Reason, TrustedIssuer, Verifier
from jwt_asgi._keys.remote import RemoteKeys
from jwt_asgi.issuer import RateLimits
from jwt_asgi.revocation import FromStore, RevocationFeed
from jwt_asgi.types import ASGIScope, FetchResponse, Receive, Send
from tests.asgi import Answer, http
from tests.issuer.services import API, World, copied, running
from tests.issuer.store.world import ISSUER, Clock

POLL = 0.05
"""Seconds of the machine between two looks at what is revoked; a second is usual."""


@dataclass
class Resource:
    """A resource server: our middleware with its caches on, and what it has decided."""

    app: JWTMiddleware
    verifier: Verifier
    decisions: list[Decision] = field(default_factory=list)

    async def status(self, token: str) -> int:
        return (await http(self.app, token=token)).status

    @property
    def reason(self) -> Reason | None:
        return self.decisions[-1].reason


@dataclass
class Story:
    """Two processes, one resource server beside the first of them, and their time."""

    worlds: list[World]
    resource: Resource
    clock: Clock
    turn: int = 0

    @property
    def world(self) -> World:
        """One process after the other, as behind a load balancer."""
        self.turn += 1
        return self.worlds[self.turn % len(self.worlds)]

    async def refresh(self, refresh_token: str | None) -> Answer:
        return await self.world.refresh(refresh_token)

    async def refreshed(self, refresh_token: str | None) -> dict[str, Any]:
        answer = await self.refresh(refresh_token)
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer.json()
        return found

    async def is_over(self, refresh_token: str | None) -> bool:
        answer = await self.refresh(refresh_token)
        return answer.status == 400 and answer.json()["error"] == "invalid_grant"

    async def fetch(self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        """Ask the processes for what they publish, in turn, with nothing in between."""
        sent = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        answer = await http(self.world.app, path=url.removeprefix(ISSUER), headers=sent)
        found = {name.decode(): value.decode() for name, value in answer.headers}
        return FetchResponse(answer.status, found, answer.body)


async def _welcome(scope: ASGIScope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"welcome"})


@asynccontextmanager
async def telling(url: str, *, clock: Clock | None = None, processes: int = 2, **options: Any) -> AsyncIterator[Story]:
    """Run the processes, and the resource server in the first of them."""
    clock = clock or Clock()
    worlds: list[World] = []
    async with AsyncExitStack() as stack:
        for _ in range(processes):
            # Hours pass in seconds here, and limits go by the time that really passes
            limits = RateLimits(token=None, refresh=None)
            worlds.append(await stack.enter_async_context(running(url, clock=clock, limits=limits, **options)))
        for world in worlds:
            world.service.keys._clock = clock
        service = worlds[0].service
        story = Story(worlds, None, clock)  # type: ignore[arg-type]
        trusted = TrustedIssuer(issuer=ISSUER, audience=API, algorithms=["ES256"], fetch=story.fetch)
        trusted.keys = RemoteKeys(ISSUER, jwks_uri=None, fetch=story.fetch, caching=KeyCaching(), clock=clock)
        feed = RevocationFeed(FromStore(service.store.entries), issuer=ISSUER, on_stale="deny", interval=POLL)
        verifier = Verifier(trusted, clock=clock, revocation=feed)
        decisions: list[Decision] = []
        hooks: list[Hook] = [decisions.append, service.confirmations]
        story.resource = Resource(JWTMiddleware(_welcome, verifier=verifier, hooks=hooks), verifier, decisions)
        stack.push_async_callback(feed.aclose)
        yield story


async def snapshot(url: str) -> str:
    """Copy a database that nobody uses just now, and return where the copy is."""
    if url.startswith("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///"))
        return f"sqlite:///{copied(path, path.parent / 'backup')}"
    before, _, query = url.partition("?")
    server, _, name = before.rpartition("/")
    connection = await asyncpg.connect(f"{server}/postgres?{query}")
    await connection.execute(f"CREATE DATABASE {name}_backup TEMPLATE {name}")
    await connection.close()
    return f"{server}/{name}_backup?{query}"
