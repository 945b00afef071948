"""A real MCP client, given a server's URL alone, finds its way to a token and calls a tool.

The authorization server is oidc-provider, and where there is no Node.js one of the test kit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastmcp import Context as FastMCPContext
from fastmcp import FastMCP
from mcp.client.client import ConnectMode
from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.exceptions import MCPError

from jwt_asgi import JWTMiddleware, KeyCaching, Scope
from jwt_asgi.mcp import MCPGuard, ProtectedResource, current_token
from jwt_asgi.types import ASGIApp
from tests.interop.identity_provider import running
from tests.interop.mcp_parties import AuthorizationServer, Person, listening, served

READ, WRITE = Scope("todos:read"), Scope("todos:write")
TOOLS = {"list_todos": READ, "add_todo": WRITE}
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "add_todo", "arguments": {}}}


@dataclass(frozen=True)
class Issuer:
    """An authorization server that runs: its identifier, and a way to tokens that no client asked for."""

    url: str
    token: Callable[[str, str], str]


@pytest.fixture(scope="module", params=["oidc-provider", "the test kit"])
def issuer(request: pytest.FixtureRequest) -> Iterator[Issuer]:
    """Each authorization server in turn."""
    with ExitStack() as stack:
        if request.param == "oidc-provider":
            request.getfixturevalue("provider_is_installed")
            provider = stack.enter_context(running("ES256"))
            yield Issuer(provider.issuer, provider.token)
        else:
            listener, url = stack.enter_context(listening())
            server = AuthorizationServer(url)
            stack.enter_context(served(server, listener))
            yield Issuer(url, lambda audience, scope: server.token(audience=audience, scope=scope))


def sdk_app() -> ASGIApp:
    """A server of the SDK, unprotected."""
    server = MCPServer("todos")

    @server.tool()
    async def list_todos(ctx: Context) -> str:
        return subject(ctx)

    @server.tool()
    async def add_todo(ctx: Context) -> str:
        return f"added by {subject(ctx)}"

    return server.streamable_http_app()


def fastmcp_app() -> ASGIApp:
    """The same server of FastMCP."""
    server: FastMCP = FastMCP("todos")

    @server.tool
    async def list_todos(ctx: FastMCPContext) -> str:
        return subject(ctx)

    @server.tool
    async def add_todo(ctx: FastMCPContext) -> str:
        return f"added by {subject(ctx)}"

    return server.http_app()


def subject(ctx: object) -> str:
    """Whom the token is for."""
    token = current_token(ctx)
    assert token is not None
    assert token.subject is not None
    return token.subject


@contextmanager
def protected(issuer: str, app: ASGIApp, *, timeout: float = 10.0) -> Iterator[str]:
    """Serve it behind the door and the guard, as the documentation says; give its URL."""
    with listening() as (listener, origin):
        url = f"{origin}/mcp"
        door = JWTMiddleware(
            MCPGuard(app, tools=TOOLS),
            issuer=issuer,
            audience=url,
            algorithms=["ES256"],
            resource=ProtectedResource(url, scopes=["todos:read"]),
            key_caching=KeyCaching(timeout=timeout),
            hooks=[],
        )
        with served(door, listener):
            yield url


@pytest.fixture(scope="module")
def server(issuer: Issuer) -> Iterator[str]:
    """The URL of the SDK's server, protected."""
    with protected(issuer.url, sdk_app()) as url:
        yield url


async def said(person: Person, url: str, *tools: str, mode: ConnectMode = "auto") -> list[str]:
    """What tools answer."""
    async with person.connected(url, mode) as client:
        results: list[Any] = [await client.call_tool(tool, {}) for tool in tools]
    return [result.content[0].text for result in results]


async def test_a_client_that_knows_the_url_alone_registers_gets_a_token_with_pkce_and_calls_a_tool(
    issuer: Issuer, server: str
) -> None:
    person = Person()

    assert await said(person, server, "list_todos") == ["ada"]

    origin = server.removesuffix("/mcp")
    way = [
        (method, url.replace(origin, "API").replace(issuer.url, "AS"), status) for method, url, status in person.answers
    ]
    assert way[:3] == [
        ("POST", "API/mcp", 401),
        ("GET", "API/.well-known/oauth-protected-resource/mcp", 200),
        ("GET", "AS/.well-known/oauth-authorization-server", 200),
    ]
    assert [step for step in way if step[1].startswith("AS/")][1:] == [
        ("POST", way[3][1], 201),
        ("POST", "AS/token", 200),
    ]
    assert {status for _, url, status in way[5:] if url.startswith("API/")} == {200}
    (page,) = person.visited
    assert page["resource"] == server
    assert page["code_challenge_method"] == "S256"
    assert page["scope"].split()[0] == "todos:read"


async def test_a_client_of_an_older_protocol_with_sessions_does_likewise(server: str) -> None:
    assert await said(Person(client_id="mcp-client"), server, "list_todos", mode="legacy") == ["ada"]


@pytest.mark.parametrize("issuer", ["the test kit"], indirect=True)
async def test_a_server_of_fastmcp_is_found_and_called_likewise(issuer: Issuer) -> None:
    with protected(issuer.url, fastmcp_app()) as url:
        assert await said(Person(client_id="mcp-client"), url, "list_todos", "add_todo") == ["ada", "added by ada"]


async def test_a_client_whose_token_lacks_the_scope_of_a_tool_asks_for_it_and_calls_again(server: str) -> None:
    person = Person(client_id="mcp-client")

    assert await said(person, server, "list_todos", "add_todo") == ["ada", "added by ada"]

    assert 403 in [status for _, _, status in person.answers]
    first, second = person.visited
    assert "todos:write" not in first["scope"].split()
    assert {"todos:read", "todos:write"} <= set(second["scope"].split())


async def test_a_token_for_another_resource_is_refused_with_the_way_to_the_right_one(
    issuer: Issuer, server: str
) -> None:
    answer = send(server, issuer.token("https://api.example.com", "todos:read todos:write"))

    metadata = server.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == (
        'Bearer error="invalid_token", '
        'error_description="The access token is missing a required property, or is not valid here", '
        f'scope="todos:read", resource_metadata="{metadata}"'
    )
    document = httpx.get(metadata, trust_env=False, verify=False).json()
    assert (document["resource"], document["authorization_servers"]) == (server, [issuer.url])


async def test_a_token_without_the_scope_is_refused_with_that_scope(issuer: Issuer, server: str) -> None:
    answer = send(server, issuer.token(server, "todos:read"))

    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert 'scope="todos:write"' in answer.headers["www-authenticate"]


async def test_in_an_outage_of_the_issuer_a_client_keeps_its_token_and_opens_no_browser() -> None:
    with listening() as (_, nobody):
        issuer = AuthorizationServer(nobody)  # it listens, and is never served
        with protected(nobody, sdk_app(), timeout=0.3) as url:
            token = issuer.token(audience=url, scope="todos:read")
            person = Person(token=token)

            with pytest.RaisesGroup(MCPError, flatten_subgroups=True):
                await said(person, url, "list_todos")

    assert {status for _, _, status in person.answers} == {503}
    assert person.visited == []
    assert person.tokens is not None
    assert person.tokens.access_token == token


def send(url: str, token: str) -> httpx.Response:
    """Call a tool by hand."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
    return httpx.post(url, json=CALL, headers=headers, trust_env=False, verify=False, timeout=20)
