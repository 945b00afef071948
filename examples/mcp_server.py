"""An MCP server that keeps notes: reading needs a good token, adding one needs a scope.

Run it with: ISSUER=https://auth.example.com URL=https://notes.example.com/mcp uvicorn examples.mcp_server:app
"""

from __future__ import annotations

import os
from collections import defaultdict
from urllib.parse import urlsplit

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings

from jwt_asgi import JWTMiddleware, Scope, check_access
from jwt_asgi.access import AnyToken
from jwt_asgi.mcp import MCPGuard, ProtectedResource, current_token

ISSUER = os.environ.get("ISSUER", "https://auth.example.com")
URL = os.environ.get("URL", "http://127.0.0.1:8000/mcp")  # as clients know it: tokens must be for it

server = MCPServer("notes")
tools = {"add_note": Scope("notes:write"), "*": AnyToken()}
notes: defaultdict[str | None, list[str]] = defaultdict(list)


@server.tool()
async def read_notes(ctx: Context) -> list[str]:
    """Read all notes of the user."""
    return notes[check_access(current_token(ctx), AnyToken()).subject]


@server.tool()
async def add_note(text: str, ctx: Context) -> str:
    """Add a note of the user."""
    notes[check_access(current_token(ctx), AnyToken()).subject].append(text)
    return "added"


app = JWTMiddleware(
    MCPGuard(
        server.streamable_http_app(
            streamable_http_path=urlsplit(URL).path,
            transport_security=TransportSecuritySettings(allowed_hosts=[urlsplit(URL).netloc]),
        ),
        tools=tools,
    ),
    issuer=ISSUER,
    audience=URL,
    algorithms=["RS256"],
    resource=ProtectedResource(URL, scopes=["notes:read"]),
)
