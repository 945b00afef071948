"""The API of the conformance suite as an MCP server: each route is a tool, and a request is a call of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp_types import CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, PROTOCOL_VERSION_META_KEY

from jwt_asgi import JWTMiddleware
from jwt_asgi.access import AnyToken
from jwt_asgi.mcp import MCPGuard, current_token
from jwt_asgi.types import ASGIApp
from tests.asgi import Answer
from tests.faces.conformance import CASES, ROUTES, Case, Face, Options, Request, seen

VERSION = "2026-07-28"
META = {
    PROTOCOL_VERSION_META_KEY: VERSION,
    CLIENT_INFO_META_KEY: {"name": "test", "version": "1"},
    CLIENT_CAPABILITIES_META_KEY: {},
}
TOOLS = {name: route for name, route in ROUTES.items() if not (route.websocket or route.public or route.in_body)}


async def answer(ctx: Context) -> dict[str, Any]:
    return seen(current_token(ctx))


@asynccontextmanager
async def build(options: Options) -> AsyncIterator[ASGIApp]:
    """The door verifies, and the guard holds calls against the rules."""
    server = MCPServer("api")
    for name in TOOLS:
        server.add_tool(answer, name=name)
    rules = {name: route.requirement for name, route in TOOLS.items() if route.requirement is not None}
    app = server.streamable_http_app(json_response=True, host="api.example.com")
    async with server.session_manager.run():
        guarded = MCPGuard(app, tools={**rules, "*": AnyToken()})
        yield JWTMiddleware(guarded, exempt=options.exempt, **options.gate)


def request(case: Case) -> Request:
    """Call the tool that has the route's name."""
    params = {"name": case.route, "arguments": {}, "_meta": META}
    headers = [
        (b"host", b"api.example.com"),
        (b"content-type", b"application/json"),
        (b"accept", b"application/json, text/event-stream"),
        (b"mcp-protocol-version", VERSION.encode()),
        (b"mcp-method", b"tools/call"),
        (b"mcp-name", case.route.encode()),
    ]
    return Request(
        method=case.method or "POST",
        path="/mcp",
        headers=[*headers, *case.headers],
        body=json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode(),
    )


def read(answer: Answer) -> Any:
    """Return what the tool answered."""
    return answer.json()["result"]["structuredContent"]


_NO_WEBSOCKETS = (
    "streamable HTTP has no WebSockets: there is nothing behind the door, which refuses bad tokens all the same"
)
_NO_PARAMETERS = "an MCP server has one path, without parameters: a rule knows nothing of a tool's arguments"
_IN_BODY = "what a tool raises becomes a result with an error in it, and no answer of HTTP"
_ALWAYS = "beside tools with rules there are none without: each needs a token, or `MCPGuard` has no `tools`"

MCP = Face(
    "MCP, `MCPGuard` inside `JWTMiddleware`",
    build,
    names_scopes_early=False,
    request=request,
    read=read,
    without={
        **{case.name: _NO_WEBSOCKETS for case in CASES if case.websocket and case.status in {200, 403}},
        **{case.name: _NO_PARAMETERS for case in CASES if "{" in ROUTES[case.route].path},
        **{case.name: _IN_BODY for case in CASES if ROUTES[case.route].in_body},
        **{case.name: _ALWAYS for case in CASES if ROUTES[case.route].public},
        "HEAD with a good token": "a call of a tool is a POST",
        "anonymous access without a token": _ALWAYS,
    },
)
