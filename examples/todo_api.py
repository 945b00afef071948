"""A todo list: who may do what, in FastAPI.

Everybody reads and writes their own todos, with a scope for each; administrators see all of them. Every path but the
public ones needs a good token, also those that nobody has thought of yet. A WebSocket ends when its token expires.

Run it with: ISSUER=https://auth.example.com/ AUDIENCE=https://api.example.com uvicorn examples.todo_api:app
"""

import os
from itertools import count
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException, WebSocket
from pydantic import BaseModel, Field

from jwt_asgi import AccessToken, Claim, JWTMiddleware, Role, Scope, check_access
from jwt_asgi.fastapi import REFUSALS, require

USER = Claim("sub", present=True)
Reader = Annotated[AccessToken, Depends(require(USER & Scope("todos:read")))]
Writer = Annotated[AccessToken, Depends(require(USER & Scope("todos:write")))]
Admin = Annotated[AccessToken, Depends(require(Scope("todos:read") & Role("admin")))]


class Draft(BaseModel, strict=True):
    """What a client sends."""

    text: str = Field(min_length=1, max_length=200)
    done: bool = False


class Todo(Draft):
    """What it gets."""

    id: int
    owner: str


todos: dict[int, Todo] = {}
ids = count(1)
router = APIRouter(prefix="/todos", responses=REFUSALS)
single = APIRouter(prefix="/{todo_id}", responses={404: {"description": "There is no such todo"}})


def find(todo_id: int, token: AccessToken) -> Todo:
    """Return a todo of one's own; administrators have them all."""
    if todo_id not in todos:
        raise HTTPException(404, "There is no such todo")
    if todos[todo_id].owner != token.subject:
        check_access(token, Role("admin"))
    return todos[todo_id]


@router.get("")
async def read_mine(token: Reader) -> list[Todo]:
    return [todo for todo in todos.values() if todo.owner == token.subject]


@router.get("/all")
async def read_all(token: Admin) -> list[Todo]:
    return list(todos.values())


@router.post("", status_code=201)
async def add(draft: Draft, token: Writer) -> Todo:
    todo = Todo(**draft.model_dump(), id=next(ids), owner=str(token.subject))
    return todos.setdefault(todo.id, todo)


@single.get("")
async def read(todo_id: int, token: Reader) -> Todo:
    return find(todo_id, token)


@single.put("")
async def change(todo_id: int, draft: Draft, token: Writer) -> Todo:
    todos[todo_id] = find(todo_id, token).model_copy(update=draft.model_dump())
    return todos[todo_id]


@single.delete("", status_code=204)
async def remove(todo_id: int, token: Writer) -> None:
    del todos[find(todo_id, token).id]


@router.websocket("/live")
async def live(websocket: WebSocket, token: Reader) -> None:
    """Answer every message with the todos as they are then."""
    await websocket.accept()
    async for _ in websocket.iter_text():
        await websocket.send_json([todo.model_dump() for todo in await read_mine(token)])


router.include_router(single)
app = FastAPI(title="Todos")
app.include_router(router)
app.add_middleware(
    JWTMiddleware,
    issuer=os.environ.get("ISSUER", "https://auth.example.com/"),
    audience=os.environ.get("AUDIENCE", "https://api.example.com"),
    algorithms=["RS256"],
    exempt=["/healthz", "/docs", "/openapi.json"],
)


@app.get("/healthz")
async def healthz() -> str:
    return "alive"
