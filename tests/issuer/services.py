"""A token service on a file of its own, its clients, and a store that fails, or waits, where a test says so."""

from __future__ import annotations

import asyncio
import inspect
import json
import tempfile
from base64 import b64encode, urlsafe_b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

from starlette.applications import Starlette

from jwt_asgi.issuer import Client, KeySchedule, MasterKeys, RotationPolicy, Tokens, TokenService, token_endpoints
from jwt_asgi.issuer.clients import new_secret, secret_digest
from jwt_asgi.issuer.store import SQLiteStore
from jwt_asgi.issuer.types import Store
from tests.asgi import Answer, Headers, http
from tests.issuer.store.postgresql import fast_folder
from tests.issuer.store.world import ISSUER, AnyStore, Clock, make_store

API = "https://api.test"
SECRET = new_secret()
MASTER = MasterKeys.from_text(MasterKeys.new())
CLIENTS = [
    Client(client_id="spa", authentication="none"),
    Client(client_id="phone", authentication="none"),
    Client(
        client_id="job",
        authentication="client_secret_basic",
        secrets=[secret_digest(SECRET)],
        grants=["client_credentials"],
        scopes=["read", "write"],
        audience=[API, "https://other.test"],
    ),
    Client(
        client_id="api",
        authentication="client_secret_basic",
        secrets=[secret_digest(SECRET)],
        grants=[],
        resources=[API],
    ),
    Client(
        client_id="stranger",
        authentication="client_secret_basic",
        secrets=[secret_digest(SECRET)],
        grants=[],
        resources=["https://elsewhere.test"],
    ),
]


class Watched:
    """A store between which and the service a test can do something: fail, wait, let another come first."""

    def __init__(self, store: AnyStore) -> None:
        self.store = store
        self.calls: list[str] = []
        self.before: dict[str, Callable[[], Awaitable[None]]] = {}
        self.after: dict[str, Callable[[], Awaitable[None]]] = {}

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.store, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def call(*arguments: Any, **options: Any) -> Any:
            self.calls.append(name)
            if name in self.before:
                await self.before[name]()
            result = await method(*arguments, **options)
            if name in self.after:
                await self.after[name]()
            return result

        return call


@dataclass
class World:
    """A service, its endpoints, its time, and what stands before its store."""

    service: TokenService
    app: Starlette
    clock: Clock
    store: Watched
    path: Path | None = None
    basic: tuple[str, str] = ("api", SECRET)

    async def login(self, **members: Any) -> Tokens:
        given = {"subject": "ada", "client_id": "spa", "audience": API, "scopes": ["read", "write"], **members}
        return await self.service.issue(**given)

    async def post(
        self, path: str, data: Mapping[str, Any] | bytes, *, basic: tuple[str, str] | None = None, headers: Headers = ()
    ) -> Answer:
        """Send a form."""
        body = data if isinstance(data, bytes) else urlencode(data, doseq=True).encode()
        sent = [(b"content-type", b"application/x-www-form-urlencoded"), *headers]
        if basic is not None:
            sent.append((b"authorization", b"Basic " + b64encode(f"{basic[0]}:{basic[1]}".encode())))
        return await http(self.app, method="POST", path=path, headers=sent, body=body)

    async def refresh(self, refresh_token: str | None, client_id: str = "spa", **more: Any) -> Answer:
        asked = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": client_id, **more}
        return await self.post("/token", asked)

    async def introspect(self, token: str, client_id: str = "api") -> dict[str, Any]:
        answer = await self.post("/introspect", {"token": token}, basic=(client_id, SECRET))
        assert answer.status == 200
        found: dict[str, Any] = answer.json()
        return found


_TEMPLATE: list[bytes] = []


async def template() -> bytes:
    """A file with tables and nothing in them."""
    if not _TEMPLATE:
        with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
            path = Path(folder) / "template.db"
            store = SQLiteStore(path, issuer=ISSUER)
            await store.migrate()
            await store.aclose()
            _TEMPLATE.append(path.read_bytes())
    return _TEMPLATE[0]


def made(
    url: str, clock: Clock | None, *, clients: Any = CLIENTS, master_keys: MasterKeys = MASTER, **options: Any
) -> tuple[TokenService, Watched]:
    """A service that was not started."""
    longest = options.get("schedule", KeySchedule()).longest_token
    watched = Watched(make_store(url, clock, longest_token=longest))
    given = {"collect_every": None, "rotation": RotationPolicy(), **options}
    service = TokenService(issuer=ISSUER, store=cast(Store, watched), master_keys=master_keys, clients=clients, **given)
    return service, watched


@asynccontextmanager
async def running(
    url: str | None = None, *, clock: Clock | None = None, started: bool = True, **options: Any
) -> AsyncIterator[World]:
    """Run one, in a file of its own where no database is named, with a time that a test moves."""
    with tempfile.TemporaryDirectory(prefix="jwt-asgi-", dir=fast_folder()) as folder:
        path = None
        if url is None:
            path = Path(folder) / "store.db"
            path.touch(0o600)
            path.write_bytes(await template())
        clock = clock or Clock()
        service, watched = made(url or f"sqlite:///{path}", clock, **options)
        if started:
            await service.start()
        try:
            yield World(service, token_endpoints(service), clock, watched, path)
        finally:
            await service.aclose()


@dataclass
class Gate:
    """A place where somebody waits until a test lets him go on."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self) -> None:
        self.reached.set()
        await self.opened.wait()


def failing(error: BaseException, times: int = 1) -> Callable[[], Awaitable[None]]:
    """What raises so often, and then does nothing."""
    left = [error] * times

    async def fail() -> None:
        if left:
            raise left.pop()

    return fail


def claims_of(token: str) -> dict[str, Any]:
    """What a token says; nobody has verified it."""
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def copied(path: Path, to: Path) -> Path:
    """Copy a file of SQLite with what is not yet written back."""
    to.mkdir(exist_ok=True)
    for part in path.parent.glob(f"{path.name}*"):
        target = to / part.name
        target.write_bytes(part.read_bytes())
        target.chmod(0o600)
    return to / path.name
