"""A service behind the real middleware, whose issuer answers on a real socket and whose keys age as a story says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from jwt_asgi import Decision, JWTMiddleware, Reason, TrustedIssuer, Verifier
from jwt_asgi._keys import remote
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIScope, Receive, Send
from tests.asgi import Answer, http
from tests.keys.script import FakeClock
from tests.keys.server import RawServer, issued_by


@dataclass
class Service:
    """One replica of the service, and its issuer."""

    app: JWTMiddleware
    issuer: TestIssuer
    server: RawServer
    clock: FakeClock
    decisions: list[Decision]

    async def ask(self, token: str) -> Answer:
        """Send a request with this token."""
        return await http(self.app, token=token)

    async def statuses(self, *tokens: str) -> list[int]:
        """What these tokens are answered with, one after another."""
        return [(await self.ask(token)).status for token in tokens]

    @property
    def reason(self) -> Reason | None:
        """Why the last request was refused."""
        return self.decisions[-1].reason

    @property
    def fetches(self) -> int:
        """How often the issuer was asked for its keys."""
        return self.server.count("/jwks.json")


@asynccontextmanager
async def running(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    """Start the issuer and one replica. Keys are ageing after 255 s, stale after 300 s, expired a day later."""
    clock, decisions = FakeClock(), list[Decision]()
    monkeypatch.setattr(remote, "SteadyClock", lambda: clock)
    async with RawServer() as server:
        issuer = TestIssuer(server.url(), algorithms=["ES256"])
        server.otherwise = issued_by(issuer)
        trusted = TrustedIssuer(issuer=issuer.issuer, audience=issuer.audience, algorithms=issuer.algorithms)
        async with Verifier(trusted) as verifier:
            app = JWTMiddleware(_hello, verifier=verifier, hooks=[decisions.append])
            yield Service(app, issuer, server, clock, decisions)


async def _hello(_: ASGIScope, __: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
