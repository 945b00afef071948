"""A WebSocket chat: one scope for each room, and a connection that ends with its token unless the client renews it.

Run it with: ISSUER=https://auth.example.com/ AUDIENCE=https://api.example.com uvicorn examples.chat:app
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from jwt_asgi import JWTMiddleware, Scope

rooms: defaultdict[str, set[WebSocket]] = defaultdict(set)


async def chat(websocket: WebSocket) -> None:
    """Pass on what is said in a room to everyone in it."""
    room = rooms[websocket.path_params["room"]]
    await websocket.accept()
    room.add(websocket)
    try:
        async for text in websocket.iter_text():
            line = json.dumps({"from": websocket.user.display_name, "text": text})
            # Whoever has just left must not take the others along
            await asyncio.gather(*(member.send_text(line) for member in room), return_exceptions=True)
    finally:
        room.discard(websocket)


def renewed_token(message: Mapping[str, Any]) -> str | None:
    """Find the token in `{"token": "..."}`, which a client sends before its token expires."""
    try:
        content = json.loads(message.get("text") or "")
    except ValueError:
        return None
    return content.get("token") if isinstance(content, dict) else None


app = Starlette(
    routes=[WebSocketRoute("/rooms/{room}", chat)],
    middleware=[
        Middleware(
            JWTMiddleware,
            issuer=os.environ.get("ISSUER", "https://auth.example.com/"),
            audience=os.environ.get("AUDIENCE", "https://api.example.com"),
            algorithms=["RS256"],
            rules={"WEBSOCKET /rooms/{room}": Scope("room:{room}")},
            reauthenticate=renewed_token,
        )
    ],
)
