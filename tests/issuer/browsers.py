"""A token service with a clock that tests move, and a browser that has one cookie."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jwt_asgi.issuer.clients import Client, new_secret, secret_digest
from jwt_asgi.issuer.issuing import Tokens
from jwt_asgi.issuer.sealing import MasterKeys
from jwt_asgi.issuer.service import TokenService
from jwt_asgi.issuer.store import SQLiteStore
from jwt_asgi.types import ASGIApp
from tests.asgi import Answer, http

ISSUER, AUDIENCE, HOST = "https://auth.example.com", "https://api.example.com", "auth.example.com"

MASTER_KEYS = MasterKeys({1: bytes(range(32))})
CLIENTS = [
    Client(client_id="web", authentication="none"),
    Client(client_id="phone", authentication="none"),
    Client(client_id="backend", authentication="client_secret_basic", secrets=[secret_digest(new_secret())]),
]


class Clock:
    def __init__(self) -> None:
        # So late in its second that nobody waits long for the next one
        self.now = 1_800_000_000.95

    def __call__(self) -> float:
        return self.now


@cache
def migrated() -> bytes:
    """A database with its tables; to make them takes longer than most tests."""

    async def make(path: Path) -> None:
        store = SQLiteStore(path, issuer=ISSUER)
        await store.migrate()
        await store.aclose()

    with TemporaryDirectory() as folder:
        path = Path(folder) / "tokens.db"
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(asyncio.run, make(path)).result()
        return path.read_bytes()


@asynccontextmanager
async def token_service(folder: Path, clock: Clock | None = None, **options: Any) -> AsyncIterator[TokenService]:
    path = folder / "tokens.db"
    path.write_bytes(migrated())
    store = SQLiteStore(path, issuer=ISSUER, clock=clock, longest_token=900)
    service = TokenService(
        issuer=ISSUER,
        store=store,
        master_keys=MASTER_KEYS,
        clients=CLIENTS,
        collect_every=None,
        **options,
    )
    async with service:
        yield service


async def log_in(service: TokenService, *, subject: str = "ada", client_id: str = "web") -> Tokens:
    return await service.issue(subject=subject, client_id=client_id, audience=AUDIENCE, scopes=["todos:read"])


class Browser:
    """Posts as a page of the same origin does, and keeps what Set-Cookie says."""

    def __init__(self, app: ASGIApp, refresh_token: str | None = None) -> None:
        self._app = app
        self.cookie = None if refresh_token is None else f"__Host-jrt={refresh_token}"

    async def post(self, path: str, **changed: str | None) -> Answer:
        """`changed`: headers to send otherwise; None: not at all."""
        headers = {"host": HOST, "sec-fetch-site": "same-origin", "origin": ISSUER, "x-auth-client": "1"}
        named: dict[str, str | None] = {**headers, "cookie": self.cookie}
        named |= {name.replace("_", "-"): value for name, value in changed.items()}
        sent = [(name.encode(), value.encode()) for name, value in named.items() if value is not None]
        answer = await http(self._app, method="POST", path=path, headers=sent, scheme="https")
        if (written := answer.header("set-cookie")) is not None:
            kept = written.split(";")[0]
            self.cookie = None if "; Max-Age=0;" in written else kept
        return answer
