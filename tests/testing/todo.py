"""A small application as a user writes it: its issuer is a real name, and nothing in it knows of tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, Request, WebSocket

from jwt_asgi import JWTMiddleware, Profile, Role, Scope, check_access

ISSUER = "https://auth.example.com/"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    app.state.running = True
    yield {"started": "yes"}
    app.state.running = False


app = FastAPI(lifespan=lifespan)
app.add_middleware(
    JWTMiddleware,
    issuer=ISSUER,
    audience="https://todos.example.com",
    algorithms=["RS256"],
    profile=Profile.KEYCLOAK,
    exempt=["/health"],
)


def needs(rule: Any) -> Any:
    def check(request: Request) -> None:
        check_access(request.scope["jwt"], rule)

    return Depends(check)


@app.get("/health")
def health() -> str:
    return "well"


@app.get("/todos", dependencies=[needs(Scope("todos:read"))])
def todos(request: Request) -> dict[str, Any]:
    return {"owner": request.user.display_name, "started": getattr(request.state, "started", None)}


@app.delete("/todos", dependencies=[needs(Role("admin"))])
def clear() -> None: ...


@app.websocket("/talk")
async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(websocket.user.display_name)
    await websocket.close()
