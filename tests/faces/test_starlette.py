"""The middleware in Starlette: `add_middleware`, `requires`, mounts and their own middleware, WebSockets, lifespan."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from jwt_asgi import Decision, JWTMiddleware, Reason, Role, Scope, TrustedIssuer, Verifier, check_access
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIScope, Message, Receive, Send
from tests.asgi import http, websocket
from tests.missing import installed

ISSUER = TestIssuer(algorithms=["ES256"])
DENIAL = {"websocket.http.response": dict[str, str]()}


async def who(request: Request) -> Response:
    token = request.scope["jwt"]
    return JSONResponse(
        {
            "subject": None if token is None else token.subject,
            "user": request.user.display_name,
            "authenticated": request.user.is_authenticated,
            "scopes": request.auth.scopes,
        }
    )


@requires("todos:read")
async def read(request: Request) -> Response:
    return PlainTextResponse("todos")


@requires(["todos:read", "todos:write"], status_code=404)
async def write(request: Request) -> Response:
    return PlainTextResponse("written")


@requires("authenticated", redirect="who")
async def page(request: Request) -> Response:
    return PlainTextResponse("page")


async def admin(request: Request) -> Response:
    check_access(request.scope["jwt"], Scope("todos:read") & Role("admin"))
    return PlainTextResponse("admin")


async def upload(request: Request) -> Response:
    chunks = [chunk async for chunk in request.stream()]

    async def back() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk.upper()

    return StreamingResponse(back())


@requires("todos:read")
async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(websocket.user.display_name)
    await websocket.close()


def application(*middleware: Middleware) -> Starlette:
    """The application under test, without the door."""
    return Starlette(
        routes=[
            Route("/who", who, name="who"),
            Route("/todos", read),
            Route("/todos/write", write, methods=["POST"]),
            Route("/page", page),
            Route("/admin", admin),
            Route("/upload", upload, methods=["POST"]),
            Route("/healthz", who),
            WebSocketRoute("/talk", talk),
        ],
        middleware=middleware,
    )


@pytest.fixture
def app() -> Starlette:
    """The application with the door, added as users add it."""
    starlette = application()
    starlette.add_middleware(
        JWTMiddleware,
        issuer=ISSUER.issuer,
        audience=ISSUER.audience,
        algorithms=["ES256"],
        fetch=ISSUER.fetch,
        exempt=["/healthz"],
    )
    return starlette


async def test_request_user_and_request_auth_are_those_of_the_token(app: Starlette) -> None:
    answer = await http(app, path="/who", token=ISSUER.token(subject="ann", scope="b a"))
    assert answer.json() == {
        "subject": "ann",
        "user": "ann",
        "authenticated": True,
        "scopes": ["authenticated", "a", "b"],
    }


async def test_an_exempt_path_has_starlettes_unauthenticated_user(app: Starlette) -> None:
    answer = await http(app, path="/healthz")
    assert answer.json() == {"subject": None, "user": "", "authenticated": False, "scopes": []}


async def test_without_a_token_no_route_is_reached(app: Starlette) -> None:
    for path in ("/who", "/todos", "/nothing-here"):
        answer = await http(app, path=path)
        assert (answer.status, answer.challenge) == (401, "Bearer")


@pytest.mark.parametrize(
    ("method", "path", "scope", "status"),
    [
        ("GET", "/todos", "todos:read", 200),
        ("GET", "/todos", "todos:write", 403),
        ("GET", "/todos", "", 403),
        ("GET", "/todos", "todos:reader", 403),
        ("POST", "/todos/write", "todos:write todos:read", 200),
        ("POST", "/todos/write", "todos:write", 404),
        ("GET", "/page", "", 200),
    ],
)
async def test_starlettes_own_requires_reads_the_scopes_of_the_token(
    app: Starlette, method: str, path: str, scope: str, status: int
) -> None:
    answer = await http(app, method=method, path=path, token=ISSUER.token(scope=scope))
    assert answer.status == status


async def test_starlettes_requires_sends_an_anonymous_visitor_elsewhere() -> None:
    starlette = application(Middleware(JWTMiddleware, **ISSUER.options(), anonymous=True))
    answer = await http(starlette, path="/page", headers=[(b"host", b"api.test")])
    assert answer.status == 303
    assert (answer.header("location") or "").startswith("http://api.test/who?next=")


@pytest.mark.parametrize(
    ("scope", "roles", "status"),
    [("todos:read", ["admin"], 200), ("todos:read", ["reader"], 403), ("", ["admin"], 403)],
)
async def test_check_access_in_an_endpoint_is_answered_by_the_door(
    app: Starlette, scope: str, roles: list[str], status: int
) -> None:
    answer = await http(app, path="/admin", token=ISSUER.token(scope=scope, roles=roles))
    assert answer.status == status
    assert (answer.challenge is not None) == (status == 403 and scope == "")


async def test_a_streamed_upload_is_streamed_back(app: Starlette) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for chunk in (b"one,", b"two,", b"three"):
            yield chunk

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test") as client:
        headers = {"authorization": f"Bearer {ISSUER.token()}"}
        answer = await client.post("/upload", content=chunks(), headers=headers)
    assert (answer.status_code, answer.text) == (200, "ONE,TWO,THREE")


async def test_a_websocket_endpoint_sees_the_user(app: Starlette) -> None:
    socket = await websocket(app, path="/talk", token=ISSUER.token(subject="ann", scope="todos:read"))
    assert [message.get("text") for message in socket.messages if message["type"] == "websocket.send"] == ["ann"]


async def test_a_websocket_endpoint_is_not_reached_without_a_token(app: Starlette) -> None:
    socket = await websocket(app, path="/talk", extensions=DENIAL)
    assert socket.denial is not None
    assert (socket.denial.status, socket.denial.challenge) == (401, "Bearer")


async def test_starlettes_requires_closes_a_websocket_whose_token_lacks_the_scope(app: Starlette) -> None:
    socket = await websocket(app, path="/talk", token=ISSUER.token())
    assert socket.close_code == 1000
    assert not socket.accepted


async def test_cors_outside_answers_the_preflight_and_marks_the_refusals() -> None:
    # Fetch section 3.2: without the header a browser hides even the 401 from the page
    starlette = application(
        Middleware(CORSMiddleware, allow_origins=["https://app.test"]), Middleware(JWTMiddleware, **ISSUER.options())
    )
    origin = (b"origin", b"https://app.test")
    preflight = await http(
        starlette, method="OPTIONS", path="/todos", headers=[origin, (b"access-control-request-method", b"GET")]
    )
    assert preflight.status == 200
    refused = await http(starlette, path="/todos", headers=[origin])
    assert refused.status == 401
    assert refused.header("access-control-allow-origin") == "https://app.test"


async def test_cors_inside_still_gets_the_preflight_to_answer() -> None:
    starlette = application(
        Middleware(JWTMiddleware, **ISSUER.options()), Middleware(CORSMiddleware, allow_origins=["https://app.test"])
    )
    headers = [(b"origin", b"https://app.test"), (b"access-control-request-method", b"GET")]
    assert (await http(starlette, method="OPTIONS", path="/todos", headers=headers)).status == 200
    assert (await http(starlette, method="OPTIONS", path="/todos", headers=headers[:1])).status == 401


# Mounts


def mounted(inner: ASGIApp) -> Starlette:
    return Starlette(routes=[Mount("/api", inner), Route("/open", lambda _: PlainTextResponse("open"))])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/open", 200),
        ("/api/who", 401),
        ("/api/healthz", 200),
        ("/healthz", 404),
        ("/api/api/healthz", 401),
        ("/api/healthz/", 401),
    ],
)
async def test_a_mounted_application_protects_what_is_below_its_mount_with_its_own_paths(
    app: Starlette, path: str, status: int
) -> None:
    assert (await http(mounted(app), path=path)).status == status


async def test_a_mounted_application_reads_the_token(app: Starlette) -> None:
    answer = await http(mounted(app), path="/api/who", token=ISSUER.token(subject="ann"))
    assert answer.json()["subject"] == "ann"


async def test_a_mount_can_have_the_door_as_its_own_middleware() -> None:
    starlette = Starlette(
        routes=[
            Mount(
                "/api",
                routes=[Route("/who", who), Route("/healthz", who)],
                middleware=[Middleware(JWTMiddleware, **ISSUER.options(), exempt=["/healthz"])],
            ),
            Route("/open", lambda _: PlainTextResponse("open")),
        ]
    )
    assert (await http(starlette, path="/open")).status == 200
    assert (await http(starlette, path="/api/who")).status == 401
    assert (await http(starlette, path="/api/healthz")).status == 200
    assert (await http(starlette, path="/api/who", token=ISSUER.token(subject="ann"))).json()["subject"] == "ann"


async def test_the_outer_door_protects_mounts_by_their_whole_paths() -> None:
    starlette = mounted(application())
    starlette.add_middleware(JWTMiddleware, **ISSUER.options(), exempt=["/api/healthz", "GET /open"])
    assert (await http(starlette, path="/api/healthz")).status == 200
    assert (await http(starlette, path="/healthz")).status == 401
    assert (await http(starlette, path="/api/who")).status == 401
    assert (await http(starlette, path="/open")).status == 200
    assert (await http(starlette, path="/open", method="POST")).status == 401


async def test_an_inner_door_replaces_what_an_outer_one_found() -> None:
    other = TestIssuer("https://other.test", audience="https://other-api.test", algorithms=["ES256"])
    inner = JWTMiddleware(application(), **other.options())
    outer = JWTMiddleware(inner, **ISSUER.options(), exempt=["/who"])
    answer = await http(outer, path="/who", token=other.token(subject="bob"))
    assert answer.json()["subject"] == "bob"
    assert (await http(outer, path="/todos", token=other.token())).status == 401


# Lifespan


async def test_the_lifespan_of_the_application_runs_behind_the_door() -> None:
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, str]]:
        events.append("startup")
        yield {"greeting": "hello"}
        events.append("shutdown")

    async def greet(request: Request) -> Response:
        return PlainTextResponse(request.state.greeting)

    verifier = Verifier(TrustedIssuer(**ISSUER.options()))
    starlette = Starlette(
        routes=[Route("/", greet)], lifespan=lifespan, middleware=[Middleware(JWTMiddleware, verifier=verifier)]
    )
    testclient = installed("starlette.testclient", "httpx2")
    with testclient.TestClient(starlette) as client:
        assert events == ["startup"]
        answer = client.get("/", headers={"authorization": f"Bearer {ISSUER.token()}"})
        assert (answer.status_code, answer.text) == (200, "hello")
        refused = client.get("/", headers={"authorization": f"Bearer {ISSUER.bad_token(Reason.TOKEN_EXPIRED)}"})
        assert refused.status_code == 401
    assert events == ["startup", "shutdown"]


# --- wrapped around the application: Starlette's own 500 comes before the door sees the error -------------------------


def wrapped(told: list[Decision]) -> JWTMiddleware:
    async def broken(_: Request) -> Response:
        raise ValueError("a fault of the application")

    async def unwell(_: Request) -> Response:
        return PlainTextResponse("unwell", 500)

    async def streamed(_: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"a"
            yield b"b"

        return StreamingResponse(pieces(), 500)

    paths = {"/admin": admin, "/broken": broken, "/unwell": unwell, "/streamed": streamed}
    app = Starlette(routes=[Route(path, endpoint) for path, endpoint in paths.items()])
    return JWTMiddleware(app, **ISSUER.options(), hooks=[told.append])


async def test_wrapped_around_the_application_an_access_error_is_403_all_the_same() -> None:
    told: list[Decision] = []
    answer = await http(wrapped(told), path="/admin", token=ISSUER.token())
    text = "The access token lacks a scope that this needs"
    assert answer.status == 403
    assert answer.challenge == f'Bearer error="insufficient_scope", error_description="{text}", scope="todos:read"'
    assert [decision.reason for decision in told] == [Reason.SCOPE_MISSING]


@pytest.mark.parametrize(("path", "body"), [("/unwell", b"unwell"), ("/streamed", b"ab")])
async def test_a_500_of_the_application_passes_and_is_a_grant(path: str, body: bytes) -> None:
    told: list[Decision] = []
    answer = await http(wrapped(told), path=path, token=ISSUER.token())
    assert (answer.status, answer.body) == (500, body)
    assert [decision.reason for decision in told] == [None]


async def test_any_other_error_is_a_500_and_rises_to_the_server() -> None:
    told: list[Decision] = []
    sent: list[Message] = []
    app = wrapped(told)

    async def watched(scope: ASGIScope, receive: Receive, send: Send) -> None:
        async def noting(message: Message) -> None:
            sent.append(message)
            await send(message)

        await app(scope, receive, noting)

    with pytest.raises(ValueError, match="a fault of the application"):
        await http(watched, path="/broken", token=ISSUER.token())
    assert [message.get("status") for message in sent] == [500, None]
    assert [decision.reason for decision in told] == [None]
