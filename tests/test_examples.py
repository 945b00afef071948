"""The examples do what they say."""

from __future__ import annotations

import importlib
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from examples import chat, mcp_server, todo_api, token_service
from examples.plain_asgi import notes
from jwt_asgi import JWTMiddleware
from jwt_asgi.apps import doors
from jwt_asgi.issuer import MasterKeys
from jwt_asgi.testing import TestIssuer, plugin
from tests.asgi import http, websocket
from tests.connection import CLOSE, EPOCH, Clock, Connection, until
from tests.interop.mcp_parties import Person, listening, served
from tests.interop.servers import issuing

SUITE = Path(__file__).parents[1] / "examples" / "test_todo_api.py"


async def test_the_plain_example_reads_with_one_scope_and_writes_with_another() -> None:
    issuer = TestIssuer()
    app = JWTMiddleware(notes, **issuer.options())
    reader = issuer.token(subject="ada", scope="notes:read")

    assert (await http(app, token=reader)).json() == {"notes_of": "ada"}
    assert (await http(app, token=reader, method="POST")).status == 403
    assert (await http(app)).status == 401


def test_the_suite_of_the_todo_list_passes_as_users_run_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(name, raising=False)
    shutil.copy(SUITE, pytester.path)
    pytester.makeini("[pytest]\njwt_asgi_app = examples.todo_api:app\n")
    # A plugin that is installed is left out, since it would be there twice
    own = ("-p", "no:jwt_asgi", "-p", "no:cacheprovider", "-W", "error")
    outcomes = pytester.runpytest_inprocess(*own, plugins=[plugin]).parseoutcomes()
    assert set(outcomes) == {"passed"}
    assert outcomes["passed"] >= 10
    assert len(SUITE.read_text(encoding="utf-8").splitlines()) <= 40


@contextmanager
def standing_in_for(app: Starlette, life: float, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestIssuer]:
    """The issuer that an example trusts, whose tokens are good for `life` seconds once the first has come."""
    app.middleware_stack = app.middleware_stack or app.build_middleware_stack()
    (door,) = doors(app)
    # Five minutes, and the leeway
    monkeypatch.setattr(door.verifier, "_clock", Clock(330 - life))
    with TestIssuer.of(app, clock=lambda: EPOCH).standing_in() as issuer:
        yield issuer


def said(connection: Connection) -> list[Any]:
    return [json.loads(message["text"]) for message in connection.sent if "text" in message]


def accepted(connection: Connection) -> bool:
    return "accept" in connection.types


async def test_the_chat_passes_on_what_is_said_in_a_room_to_those_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with standing_in_for(chat.app, 300, monkeypatch) as issuer:
        ann, bob, eve = (
            Connection("websocket", issuer.token(subject=name, scope=scope), path=path)
            for name, scope, path in (
                ("ann", "room:tea", "/rooms/tea"),
                ("bob", "room:tea", "/rooms/tea"),
                ("eve", "room:tea room:cellar", "/rooms/cellar"),
            )
        )
        async with anyio.create_task_group() as group:
            for connection in (ann, bob, eve):
                group.start_soon(connection.run, chat.app)
            await until(lambda: all(map(accepted, (ann, bob, eve))))
            ann.text("Hello")
            bob.text("Hi")
            await until(lambda: len(said(ann)) == len(said(bob)) == 2)
            for connection in (ann, bob, eve):
                connection.arrive({"type": "websocket.disconnect", "code": 1000})
    words = [{"from": "ann", "text": "Hello"}, {"from": "bob", "text": "Hi"}]
    assert sorted(said(bob), key=str) == sorted(said(ann), key=str) == words
    assert said(eve) == []
    assert chat.rooms["tea"] == chat.rooms["cellar"] == set()


@pytest.mark.parametrize("scope", ["", "room:tea", "room:cellars", "room:{room}", None])
async def test_the_chat_lets_nobody_into_a_room_without_its_scope(
    scope: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with standing_in_for(chat.app, 300, monkeypatch) as issuer:
        token = None if scope is None else issuer.token(scope=scope)
        answer = await websocket(
            chat.app, token=token, path="/rooms/cellar", extensions={"websocket.http.response": {}}
        )
    assert not answer.accepted
    assert answer.denial is not None
    assert answer.denial.status == (401 if scope is None else 403)


async def test_the_chat_ends_with_a_token_that_expires_and_goes_on_with_a_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with standing_in_for(chat.app, 1.0, monkeypatch) as issuer:
        stays, leaves = (
            Connection("websocket", issuer.token(subject=name, scope="room:tea"), path="/rooms/tea")
            for name in ("ann", "bob")
        )
        stays.text(json.dumps({"token": issuer.token(subject="ann", scope="room:tea", expires_in=3000)}))
        async with anyio.create_task_group() as group:
            group.start_soon(stays.run, chat.app)
            await until(lambda: accepted(stays))
            await leaves.run(chat.app)
            await anyio.sleep(0.05)
            stays.text("still here")
            await until(lambda: said(stays))
            stays.arrive({"type": "websocket.disconnect", "code": 1000})
    assert leaves.sent[-1] == CLOSE
    assert said(stays) == [{"from": "ann", "text": "still here"}]
    assert "close" not in stays.types


async def test_the_chat_ends_where_a_token_of_somebody_else_is_brought(monkeypatch: pytest.MonkeyPatch) -> None:
    with standing_in_for(chat.app, 300, monkeypatch) as issuer:
        ann = Connection("websocket", issuer.token(subject="ann", scope="room:tea"), path="/rooms/tea")
        ann.text(json.dumps({"token": issuer.token(subject="bob", scope="room:tea")}))
        await ann.run(chat.app)
    assert ann.sent[-1] == CLOSE
    assert said(ann) == []


async def test_the_todos_are_told_live_until_the_token_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    with standing_in_for(todo_api.app, 0.5, monkeypatch) as issuer:
        live = Connection("websocket", issuer.token(subject="nobody", scope="todos:read"), path="/todos/live")
        live.text("now")
        await live.run(todo_api.app)
    assert live.types == ["accept", "send", "close"]
    assert said(live) == [[]]
    assert live.sent[-1] == CLOSE


async def test_the_mcp_example_keeps_the_notes_of_whoever_may_write(monkeypatch: pytest.MonkeyPatch) -> None:
    with issuing(["RS256"]) as issuer, listening() as (listener, origin):
        url = f"{origin}/mcp"
        monkeypatch.setenv("ISSUER", issuer.issuer)
        monkeypatch.setenv("URL", url)
        importlib.reload(mcp_server)

        def token(scope: str) -> str:
            return issuer.token(subject="ada", audience=url, scope=scope)

        with served(mcp_server.app, listener):
            async with Person(token=token("notes:write")).connected(url) as client:
                await client.call_tool("add_note", {"text": "milk"})
                read: Any = await client.call_tool("read_notes", {})
            call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "add_note"}}
            headers = {"Authorization": f"Bearer {token('notes:read')}"}
            refused = httpx.post(url, json=call, headers=headers, trust_env=False, verify=False)

    assert read.structured_content == {"result": ["milk"]}
    assert refused.status_code == 403
    assert 'scope="notes:write"' in refused.headers["www-authenticate"]


ADA = {"name": "ada", "password": "correct horse battery staple"}


@pytest.fixture
def own_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The application with a login of its own, running."""
    keys = tmp_path / "master.key"
    keys.touch(mode=0o600)
    keys.write_text(MasterKeys.new(), encoding="ascii")
    monkeypatch.setenv("MASTER_KEYS", str(keys))
    monkeypatch.setenv("STORE", f"sqlite:///{tmp_path}/tokens.db")
    with TestClient(token_service.create_app()) as client:
        yield client


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def test_the_token_service_example_lets_users_in_and_ends_their_devices(own_login: TestClient) -> None:
    def refreshed(tokens: dict[str, Any]) -> Any:
        form = {"grant_type": "refresh_token", "client_id": "web", "refresh_token": tokens["refresh_token"]}
        return own_login.post("/auth/token", data=form)

    phone, laptop = (own_login.post("/login", json=ADA).json() for _ in range(2))
    assert own_login.get("/notes", headers=bearer(phone)).json() == {"notes of": "ada"}
    laptop = refreshed(laptop).json()
    listed = own_login.get("/devices", headers=bearer(laptop)).json()
    assert [device["this"] for device in listed] == [False, True]

    assert own_login.delete(f"/devices/{listed[0]['sid']}", headers=bearer(laptop)).status_code == 204
    assert refreshed(phone).json()["error"] == "invalid_grant"
    deadline = time.monotonic() + 20
    while (answer := own_login.get("/notes", headers=bearer(phone))).status_code == 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert answer.status_code == 401

    assert own_login.delete(f"/devices/{listed[0]['sid']}", headers=bearer(laptop)).status_code == 404
    assert own_login.delete("/devices", headers=bearer(laptop)).status_code == 204
    assert refreshed(laptop).json()["error"] == "invalid_grant"


def test_the_token_service_example_lets_nobody_in_with_a_wrong_password(own_login: TestClient) -> None:
    for wrong in ({"name": "eve"}, {"password": "correct horse"}):
        refused = own_login.post("/login", json={**ADA, **wrong})
        assert (refused.status_code, refused.json()) == (403, {"detail": "Name or password is wrong"})
    assert own_login.get("/notes").status_code == 401
    assert own_login.get("/").status_code == 200


def test_the_token_service_example_lets_nobody_try_passwords(
    own_login: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none_fits(self: object, name: str, password: str) -> bool:
        return False

    monkeypatch.setattr(token_service.Passwords, "fit", none_fits)
    answers = [own_login.post("/login", json=ADA) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [403] * 10 + [429]
    assert int(answers[-1].headers["retry-after"]) > 0
