"""The parties of an MCP authorization: a client with its browser, and an authorization server of the test kit."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx
import httpx2
import uvicorn
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.client import ConnectMode
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIApp, ASGIScope, Receive, Send

CALLBACK = "http://127.0.0.1/callback"
SECONDS = 20.0


class Person:
    """A user's MCP client: it knows a server's URL and nothing else, and keeps what it learns, as a `TokenStorage`.

    `visited` are the pages that its browser was sent to, and `answers` what its HTTP client got: method, URL, status.
    """

    def __init__(self, *, client_id: str | None = None, token: str | None = None) -> None:
        """Without a `client_id` it registers; with a token it has been here before."""
        self.tokens = None if token is None else OAuthToken(access_token=token, scope="todos:read")
        self.registration: OAuthClientInformationFull | None = None
        if client_id is not None:
            self.registration = OAuthClientInformationFull.model_validate(
                {"client_id": client_id, "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none"}
            )
        self.visited: list[dict[str, str]] = []
        self.answers: list[tuple[str, str, int]] = []
        self._came_back: dict[str, str] = {}

    @asynccontextmanager
    async def connected(self, url: str, mode: ConnectMode = "auto") -> AsyncIterator[Client]:
        """Connect to a server as the SDK's client does."""
        metadata = OAuthClientMetadata.model_validate({"redirect_uris": [CALLBACK], "client_name": "interop"})
        auth = OAuthClientProvider(url, metadata, self, self._open, self._return)
        hooks: Any = {"response": [self._note]}
        async with (
            httpx2.AsyncClient(auth=auth, trust_env=False, verify=False, timeout=SECONDS, event_hooks=hooks) as http,
            Client(streamable_http_client(url, http_client=http), mode=mode) as client,
        ):
            yield client

    async def get_tokens(self) -> OAuthToken | None:
        """Return what is kept."""
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Keep it."""
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """Return what is kept."""
        return self.registration

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Keep it."""
        self.registration = client_info

    async def _open(self, url: str) -> None:
        """Follow the authorization server's redirects, as a browser whose user agrees to everything."""
        self.visited.append(_query(url))
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=SECONDS) as browser:
            while not url.startswith(CALLBACK):
                page = await browser.get(url)
                assert page.is_redirect, page.text
                url = urljoin(url, page.headers["location"])
        self._came_back = _query(url)

    async def _return(self) -> AuthorizationCodeResult:
        return AuthorizationCodeResult.model_validate(self._came_back)

    async def _note(self, answer: httpx2.Response) -> None:
        self.answers.append((answer.request.method, str(answer.request.url), answer.status_code))


class AuthorizationServer(TestIssuer):
    """A test issuer that also registers clients, and gives tokens for codes with PKCE to ada, who agrees at once."""

    def __init__(self, issuer: str) -> None:
        """Nobody has come yet."""
        super().__init__(issuer, algorithms=["ES256"])
        self._asked: dict[str, dict[str, str]] = {}

    def metadata(self) -> dict[str, Any]:
        """Name the endpoints, too."""
        endpoints = {f"{name}_endpoint": f"{self.issuer}/{name}" for name in ("authorization", "token", "registration")}
        return {**super().metadata(), **endpoints, "code_challenge_methods_supported": ["S256"]}

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Answer, or let the issuer answer."""
        if scope["path"] == "/authorization":
            await self._authorize(scope, send)
        elif scope["path"] == "/registration":
            await _reply(send, 201, json.loads(await _body(receive)) | {"client_id": secrets.token_hex(4)})
        elif scope["path"] == "/token":
            await _reply(send, *self._exchange(_query("?" + (await _body(receive)).decode())))
        else:
            await super().__call__(scope, receive, send)

    async def _authorize(self, scope: ASGIScope, send: Send) -> None:
        asked, code = _query("?" + scope["query_string"].decode()), secrets.token_hex(8)
        self._asked[code] = asked
        location = f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state'], 'iss': self.issuer})}"
        await send({"type": "http.response.start", "status": 303, "headers": [(b"location", location.encode())]})
        await send({"type": "http.response.body", "body": b""})

    def _exchange(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        asked = self._asked.pop(form["code"])
        proof = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        same = all(form[name] == asked[name] for name in ("client_id", "redirect_uri", "resource"))
        if not same or asked["code_challenge_method"] != "S256" or proof != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        token = self.token(
            subject="ada", client_id=asked["client_id"], audience=asked["resource"], scope=asked["scope"]
        )
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": 300, "scope": asked["scope"]}


@contextmanager
def listening() -> Iterator[tuple[socket.socket, str]]:
    """A socket that listens on a free loopback port, and its URL: clients wait in its backlog for a server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def served(app: ASGIApp, listener: socket.socket) -> Iterator[None]:
    """Serve an application with uvicorn in a thread; it ends with the block."""
    config = uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(SECONDS)


def _query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


async def _reply(send: Send, status: int, members: dict[str, Any]) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(members).encode()})
