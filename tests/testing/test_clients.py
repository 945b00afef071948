"""The clients of the kit carry a token, and run the application as its server does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from jwt_asgi import JWTMiddleware
from jwt_asgi.testing import SigningKeys, TestIssuer
from jwt_asgi.types import ASGIScope, Receive, Send
from tests.testing.doors import OPTIONS, door
from tests.testing.todo import app as todo

KEYS = SigningKeys()


@pytest.fixture
def issuer() -> Iterator[TestIssuer]:
    with TestIssuer.of(todo, keys=KEYS).standing_in() as issuer:
        yield issuer


def test_a_client_carries_the_token_of_its_user_alone(issuer: TestIssuer) -> None:
    client = issuer.client(todo)
    ada, bob = client.as_user("ada", scope="todos:read"), client.as_user("bob", scope="todos:read")
    assert isinstance(client, TestClient)
    assert [user.get("/todos").json()["owner"] for user in (ada, bob)] == ["ada", "bob"]
    assert client.get("/todos").status_code == ada.anonymous().get("/todos").status_code == 401
    assert client.as_user().with_bad_token("token_expired").get("/todos").status_code == 401
    assert client.with_token(issuer.token(scope="todos:read")).get("/todos").json()["owner"] == "user-1"
    assert ada.as_user("root", roles=["admin"]).delete("/todos").status_code == 200
    assert ada.delete("/todos").status_code == 403


def test_a_client_sends_its_token_with_a_websocket(issuer: TestIssuer) -> None:
    client = issuer.client(todo)
    with client.as_user("ada").websocket_connect("/talk") as socket:
        assert socket.receive_text() == "ada"
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/talk"):
        raise AssertionError


def test_headers_stay_and_cookies_are_each_users_own(issuer: TestIssuer) -> None:
    client = issuer.client(todo, headers={"x-tenant": "acme"}, cookies={"a": "1"})
    ada = client.as_user("ada")
    ada.cookies.set("b", "2")
    assert ada.headers["x-tenant"] == ada.anonymous().headers["x-tenant"] == "acme"
    assert (dict(client.cookies), dict(ada.cookies)) == ({"a": "1"}, {"a": "1", "b": "2"})


@pytest.mark.parametrize("enter_the_user", [True, False])
def test_with_runs_the_lifespan_for_all_users(issuer: TestIssuer, *, enter_the_user: bool) -> None:
    client = issuer.client(todo)
    ada = client.as_user("ada", scope="todos:read")
    assert ada.get("/todos").json()["started"] is None
    with ada if enter_the_user else client:
        assert todo.state.running
        assert client.portal is ada.portal is not None
        assert ada.get("/todos").json()["started"] == "yes"
        assert client.as_user("bob", scope="todos:read").get("/todos").json() == {"owner": "bob", "started": "yes"}
    assert not todo.state.running
    assert client.portal is ada.portal is None


async def test_an_asynchronous_client_does_the_same(issuer: TestIssuer) -> None:
    client = issuer.async_client(todo)
    assert isinstance(client, httpx.AsyncClient)
    async with client:
        assert todo.state.running
        ada, bob = client.as_user("ada", scope="todos:read"), client.as_user("bob", scope="todos:read")
        assert (await ada.get("/todos")).json() == {"owner": "ada", "started": "yes"}
        assert (await bob.get("/todos")).json()["owner"] == "bob"
        assert (await bob.anonymous().get("/todos")).status_code == 401
        assert (await client.get("/todos")).status_code == 401
    assert not todo.state.running


async def test_an_asynchronous_client_needs_no_lifespan(issuer: TestIssuer) -> None:
    client = issuer.async_client(todo, base_url="https://todos.example.com").as_user("ada", scope="todos:read")
    assert str(client.base_url) == "https://todos.example.com"
    assert (await client.get("/todos")).json()["started"] is None


async def without_lifespan(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """As many applications that are one function."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def silent(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Likewise, and says nothing at all of lifespans, having taken the first message."""
    if scope["type"] == "lifespan":
        await receive()
    else:
        await without_lifespan(scope, receive, send)


@pytest.mark.parametrize("app", [without_lifespan, silent])
async def test_an_application_without_a_lifespan_runs_all_the_same(app: Any) -> None:
    protected = JWTMiddleware(app, **OPTIONS)
    with TestIssuer.of(protected, keys=KEYS).standing_in() as issuer:
        with issuer.client(protected) as client:
            assert client.as_user().get("/").status_code == 204
        async with issuer.async_client(protected) as asynchronous:
            assert (await asynchronous.as_user().get("/")).status_code == 204


def failing(phase: str, *, told: bool) -> Any:
    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == f"lifespan.{phase}":
                if told:
                    await send({"type": f"lifespan.{phase}.failed", "message": "no database"})
                    return
                raise ZeroDivisionError
            await send({"type": f"{message['type']}.complete"})

    return app


async def test_a_start_that_fails_is_told(issuer: TestIssuer) -> None:
    with pytest.raises(RuntimeError, match="the startup of the application failed: no database"):
        async with issuer.async_client(failing("startup", told=True)):
            raise AssertionError


async def test_an_end_that_fails_is_told(issuer: TestIssuer) -> None:
    for told, error in [(True, RuntimeError), (False, ZeroDivisionError)]:
        client = issuer.async_client(failing("shutdown", told=told))
        await client.__aenter__()
        with pytest.raises(error):
            await client.__aexit__()


async def test_an_exception_of_the_application_is_raised_by_the_request() -> None:
    async def broken(scope: ASGIScope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    app = JWTMiddleware(broken, **OPTIONS)
    with TestIssuer.of(app, keys=KEYS).standing_in() as issuer:
        with pytest.raises(ZeroDivisionError):
            issuer.client(app).as_user().get("/")
        with pytest.raises(ZeroDivisionError):
            await issuer.async_client(app).as_user().get("/")


def test_the_application_can_be_reached_through_the_client(issuer: TestIssuer) -> None:
    client: Any = issuer.client(todo)
    assert client.app.dependency_overrides is todo.dependency_overrides


def test_without_the_http_client_of_starlette_it_is_said_what_to_install() -> None:
    program = (
        "import sys\n"
        "from jwt_asgi.testing import TestIssuer\n"
        "assert 'starlette.testclient' not in sys.modules\n"
        "import jwt_asgi.testing.async_client\n"
        "sys.modules['httpx2'] = sys.modules['httpx'] = None\n"
        "try: TestIssuer(algorithms=['ES256']).client(None)\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert "ConfigurationError" in run.stdout, run.stderr
    assert "pip install httpx2" in run.stdout


def test_a_client_of_an_issuer_that_is_not_standing_in_works_with_one_made_by_hand() -> None:
    issuer = TestIssuer(algorithms=["ES256"])
    app = door(**issuer.options())
    assert issuer.client(app).as_user("ada").get("/").json()["subject"] == "ada"
