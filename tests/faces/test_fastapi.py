"""The middleware in FastAPI: `add_middleware`, dependencies that read the token, mounted sub-applications."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Request, Security, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection

from jwt_asgi import AccessToken, JWTMiddleware, Reason, Role, Scope, TrustedIssuer, Verifier, check_access
from jwt_asgi.access import AnyToken
from jwt_asgi.testing import TestIssuer
from tests.asgi import http, websocket

ISSUER = TestIssuer(algorithms=["ES256"])


def access_token(connection: HTTPConnection) -> AccessToken:
    """What an application writes to read the token of a request or a WebSocket."""
    return check_access(connection.scope["jwt"], Scope("todos:read"))


def administrator(connection: HTTPConnection) -> AccessToken:
    """Another one, with a role."""
    return check_access(connection.scope["jwt"], Role("admin"))


async def resource() -> AsyncIterator[str]:
    """A dependency with an end, which an error must not skip."""
    ENDED.append("began")
    try:
        yield "resource"
    finally:
        ENDED.append("ended")


ENDED: list[str] = []
Token = Annotated[AccessToken, Depends(access_token)]
Admin = Annotated[AccessToken, Security(administrator)]


def application() -> FastAPI:
    """The application under test, without the door."""
    app = FastAPI()

    @app.get("/todos")
    async def todos(token: Token) -> dict[str, Any]:
        return {"subject": token.subject, "scopes": sorted(token.scopes)}

    @app.get("/sync")
    def sync(token: Token) -> dict[str, Any]:
        return {"subject": token.subject}

    @app.get("/admin")
    async def admin(_: Annotated[str, Depends(resource)], token: Admin) -> dict[str, Any]:
        return {"roles": sorted(token.roles)}

    @app.get("/user")
    async def user(request: Request) -> dict[str, Any]:
        return {"user": request.user.display_name, "authenticated": request.user.is_authenticated}

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"one,"
            yield b"two"

        return StreamingResponse(pieces())

    @app.websocket("/talk")
    async def talk(websocket: WebSocket, token: Token) -> None:
        await websocket.accept()
        await websocket.send_text(token.subject or "")
        await websocket.close()

    return app


@pytest.fixture
def app() -> FastAPI:
    """The application with the door, added as users add it."""
    fastapi = application()
    fastapi.add_middleware(
        JWTMiddleware,
        issuer=ISSUER.issuer,
        audience=ISSUER.audience,
        algorithms=["ES256"],
        fetch=ISSUER.fetch,
        exempt=["/docs", "/openapi.json"],
    )
    return fastapi


@pytest.mark.parametrize("path", ["/todos", "/sync"])
async def test_a_dependency_reads_the_token(app: FastAPI, path: str) -> None:
    answer = await http(app, path=path, token=ISSUER.token(subject="ann", scope="todos:read"))
    assert answer.status == 200
    assert answer.json()["subject"] == "ann"


@pytest.mark.parametrize("path", ["/todos", "/sync", "/nothing-here"])
async def test_without_a_token_no_endpoint_is_reached(app: FastAPI, path: str) -> None:
    answer = await http(app, path=path)
    assert (answer.status, answer.challenge) == (401, "Bearer")


@pytest.mark.parametrize("path", ["/todos", "/sync"])
async def test_an_access_error_of_a_dependency_is_answered_by_the_door(app: FastAPI, path: str) -> None:
    answer = await http(app, path=path, token=ISSUER.token(scope="other"))
    assert answer.status == 403
    assert answer.challenge == (
        'Bearer error="insufficient_scope", '
        'error_description="The access token lacks a scope that this needs", scope="todos:read"'
    )
    assert answer.json() == {
        "error": "insufficient_scope",
        "error_description": "The access token lacks a scope that this needs",
    }


async def test_a_dependency_with_an_end_comes_to_it_when_another_one_refuses(app: FastAPI) -> None:
    ENDED.clear()
    answer = await http(app, path="/admin", token=ISSUER.token(roles=["reader"]))
    assert (answer.status, answer.challenge) == (403, None)
    assert ENDED == ["began", "ended"]
    assert (await http(app, path="/admin", token=ISSUER.token(roles=["admin"]))).json() == {"roles": ["admin"]}


async def test_request_user_is_that_of_the_token(app: FastAPI) -> None:
    answer = await http(app, path="/user", token=ISSUER.token(subject="ann"))
    assert answer.json() == {"user": "ann", "authenticated": True}


async def test_the_documentation_can_be_exempt(app: FastAPI) -> None:
    assert (await http(app, path="/openapi.json")).json()["openapi"].startswith("3.")
    assert (await http(app, path="/docs")).status == 200
    assert (await http(app, path="/redoc")).status == 401


async def test_a_response_is_streamed(app: FastAPI) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test") as client:
        answer = await client.get("/stream", headers={"authorization": f"Bearer {ISSUER.token()}"})
    assert (answer.status_code, answer.text) == (200, "one,two")


async def test_a_websocket_endpoint_reads_the_token(app: FastAPI) -> None:
    socket = await websocket(app, path="/talk", token=ISSUER.token(subject="ann", scope="todos:read"))
    assert [message.get("text") for message in socket.messages if message["type"] == "websocket.send"] == ["ann"]


@pytest.mark.parametrize(("token", "status"), [(None, 401), (ISSUER.token(expires_in=86_400), 403)])
async def test_a_websocket_is_refused_by_the_door_and_by_a_dependency_alike(
    app: FastAPI, token: str | None, status: int
) -> None:
    socket = await websocket(app, path="/talk", token=token, extensions={"websocket.http.response": {}})
    assert socket.denial is not None
    assert socket.denial.status == status


async def test_a_mounted_application_protects_itself_alone(app: FastAPI) -> None:
    outer = FastAPI()
    outer.mount("/api", app)

    @outer.get("/user")
    async def user(request: Request) -> list[str]:
        return sorted(request.scope.keys() & {"jwt", "auth", "user"})

    assert (await http(outer, path="/user")).json() == []
    assert (await http(outer, path="/api/user")).status == 401
    assert (await http(outer, path="/api/openapi.json")).status == 200


async def test_several_issuers_are_given_as_a_verifier() -> None:
    other = TestIssuer("https://other.test", audience="https://other-api.test", algorithms=["ES256"])
    fastapi = application()
    verifier = Verifier(TrustedIssuer(**ISSUER.options()), TrustedIssuer(**other.options()))
    fastapi.add_middleware(JWTMiddleware, verifier=verifier)
    for issuer in (ISSUER, other):
        answer = await http(fastapi, path="/user", token=issuer.token(subject=issuer.issuer))
        assert answer.json()["user"] == issuer.issuer


def test_it_works_in_the_test_client_with_a_lifespan(app: FastAPI) -> None:
    with TestClient(app) as client:
        assert client.get("/user").status_code == 401
        headers = {"authorization": f"Bearer {ISSUER.token(subject='ann', scope='todos:read')}"}
        assert client.get("/user", headers=headers).json()["user"] == "ann"
        expired = {"authorization": f"Bearer {ISSUER.bad_token(Reason.TOKEN_EXPIRED)}"}
        assert client.get("/user", headers=expired).status_code == 401
        with client.websocket_connect("/talk", headers=headers) as socket:
            assert socket.receive_text() == "ann"


async def test_rules_are_for_the_path_that_fastapi_itself_cuts_its_root_path_off() -> None:
    app = FastAPI()
    # The parameter of this name is deprecated in FastAPI, and does the same
    app.root_path = "/api"

    @app.get("/admin/users")
    async def users() -> str:
        return "all users"

    rules = {"/*": AnyToken(), "/admin/*": Role("admin")}
    for inner in (app, CORSMiddleware(app)):
        door = JWTMiddleware(inner, **ISSUER.options(), rules=rules)
        for path in ("/admin/users", "/api/admin/users"):
            assert (await http(door, path=path, token=ISSUER.token(roles=["admin"]))).status == 200
            assert (await http(door, path=path, token=ISSUER.token())).status == 403
