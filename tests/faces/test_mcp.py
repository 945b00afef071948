"""MCP servers: the door and the guard around the SDK's server and FastMCP's, and the token verifiers for both."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastmcp import Context as FastMCPContext
from fastmcp import FastMCP
from fastmcp.server.auth import RemoteAuthProvider, require_scopes
from fastmcp.server.dependencies import get_access_token as fastmcp_access_token
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, PROTOCOL_VERSION_META_KEY
from pydantic import AnyHttpUrl
from starlette.requests import Request

from jwt_asgi import (
    AccessError,
    ConfigurationError,
    Decision,
    JWTMiddleware,
    KeyCaching,
    KeysUnavailable,
    Reason,
    Role,
    Scope,
    TrustedIssuer,
    Verifier,
    check_access,
)
from jwt_asgi.access import AnyToken, ExternalPolicy
from jwt_asgi.gate import Gate
from jwt_asgi.identity import set_identity
from jwt_asgi.instrumentation import Outcome
from jwt_asgi.mcp import (
    MCPAccessToken,
    MCPGuard,
    MCPTokenVerifier,
    ProtectedResource,
    current_token,
    fastmcp_verifier,
)
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIApp, ASGIScope, FetchResponse, Message, Receive, Send
from tests.asgi import Answer, http, websocket

URL = "https://notes.example.com/mcp"
ISSUER = TestIssuer(audience=URL, algorithms=["ES256"])
OPTIONS = ISSUER.options()
META = 'resource_metadata="https://notes.example.com/.well-known/oauth-protected-resource/mcp"'
READ, WRITE = Scope("notes:read"), Scope("notes:write")
TOOLS = {"add": WRITE, "*": AnyToken()}
MODERN, HANDSHAKE = "2026-07-28", "2025-06-18"


def notes() -> MCPServer:
    """A server with some tools."""
    server = MCPServer("notes")

    @server.tool()
    async def add(text: str, ctx: Context) -> str:
        token = current_token(ctx)
        assert token is not None
        return f"{token.subject}: {text}"

    @server.resource("notes://{name}")
    async def note(name: str, ctx: Context) -> str:
        return reader(ctx)

    @server.prompt()
    async def greet(ctx: Context) -> str:
        return reader(ctx)

    @server.tool()
    def who() -> str | None:
        token = get_access_token()
        return None if token is None else f"{token.client_id} {token.subject} {token.scopes}"

    @server.tool()
    async def checked(ctx: Context) -> str:
        try:
            return check_access(current_token(ctx), Role("admin")).subject or ""
        except AccessError as error:
            raise ToolError(str(error)) from None

    return server


def reader(ctx: object) -> str:
    """Whoever may read."""
    return check_access(current_token(ctx), READ).subject or ""


@asynccontextmanager
async def running(server: MCPServer, *, host: str = "notes.example.com") -> AsyncIterator[ASGIApp]:
    """Its application, while its lifespan lasts."""
    app = server.streamable_http_app(json_response=True, host=host)
    async with server.session_manager.run():
        yield app


def door(app: ASGIApp, told: list[Decision] | None = None, **options: Any) -> JWTMiddleware:
    """The door, as it is recommended."""
    given: dict[str, Any] = {**OPTIONS, **options}
    hooks = [] if told is None else [told.append]
    return JWTMiddleware(app, resource=ProtectedResource(URL, scopes=["notes:read"]), hooks=hooks, **given)


async def post(
    app: ASGIApp, message: object, token: str | None, *, version: str = HANDSHAKE, session: str | None = None
) -> Answer:
    """Send one message as a client of that protocol version does."""
    headers = [
        (b"host", b"notes.example.com"),
        (b"content-type", b"application/json"),
        (b"accept", b"application/json, text/event-stream"),
        (b"mcp-protocol-version", version.encode()),
    ]
    if session is not None:
        headers.append((b"mcp-session-id", session.encode()))
    if version == MODERN and isinstance(message, dict):
        headers.append((b"mcp-method", message["method"].encode()))
        named = message["params"].get("name") or message["params"].get("uri")
        headers += [] if named is None else [(b"mcp-name", named.encode())]
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return await http(app, method="POST", path="/mcp", headers=headers, body=body, token=token)


def call(tool: str, **arguments: str) -> dict[str, Any]:
    """A call of a tool, for either version."""
    return request("tools/call", name=tool, arguments=arguments)


def request(method: str, **params: Any) -> dict[str, Any]:
    """A request, for either version."""
    meta = {
        PROTOCOL_VERSION_META_KEY: MODERN,
        CLIENT_INFO_META_KEY: {"name": "test", "version": "1"},
        CLIENT_CAPABILITIES_META_KEY: {},
    }
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}


async def begin(app: ASGIApp, token: str) -> str:
    """Begin a session of the handshake's versions; return its id."""
    params = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    answer = await post(app, {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}, token)
    session = answer.header("mcp-session-id")
    assert session is not None
    notification = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert (await post(app, notification, token, session=session)).status == 202
    return session


def text_of(answer: Answer) -> str:
    """What a tool said."""
    assert answer.status == 200, answer.body
    text = answer.json()["result"]["content"][0]["text"]
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize("version", [MODERN, HANDSHAKE])
async def test_a_tool_whose_rule_is_met_is_called_and_reads_the_token(version: str) -> None:
    async with running(notes()) as server:
        app, token = door(MCPGuard(server, tools=TOOLS)), ISSUER.token(subject="ada", scope="notes:write")
        session = None if version == MODERN else await begin(app, token)

        answer = await post(app, call("add", text="milk"), token, version=version, session=session)

    assert text_of(answer) == "ada: milk"


@pytest.mark.parametrize("version", [MODERN, HANDSHAKE])
async def test_a_tool_whose_scope_is_missing_is_answered_by_403_with_that_scope(version: str) -> None:
    told: list[Decision] = []
    async with running(notes()) as server:
        app, token = door(MCPGuard(server, tools=TOOLS), told), ISSUER.token(scope="notes:read")
        session = None if version == MODERN else await begin(app, token)
        told.clear()

        answer = await post(app, call("add", text="milk"), token, version=version, session=session)

    assert answer.status == 403
    assert answer.challenge == (
        'Bearer error="insufficient_scope", '
        f'error_description="The access token lacks a scope that this needs", scope="notes:write", {META}'
    )
    assert [decision.reason for decision in told] == [Reason.SCOPE_MISSING]


@pytest.mark.parametrize(
    ("tools", "reason"),
    [
        ({"who": AnyToken()}, Reason.ROUTE_NOT_COVERED),
        ({"add": Role("admin")}, Reason.ROLE_MISSING),
        ({"add": ExternalPolicy("broken", lambda token, context: 1 / 0)}, Reason.ACCESS_UNDECIDED),  # type: ignore[arg-type,return-value]
    ],
)
async def test_a_tool_is_refused_where_it_has_no_rule_or_its_rule_is_not_met(
    tools: Mapping[str, Any], reason: Reason
) -> None:
    told: list[Decision] = []
    async with running(notes()) as server:
        app = door(MCPGuard(server, tools=tools), told)
        answer = await post(app, call("add", text="milk"), ISSUER.token(), version=MODERN)

    assert answer.status == reason.status
    assert [decision.reason for decision in told] == [reason]


async def test_without_rules_any_good_token_calls_any_tool_and_no_body_is_read() -> None:
    async with running(notes()) as server:
        answer = await post(door(MCPGuard(server)), call("add", text="milk"), ISSUER.token(), version=MODERN)
    assert text_of(answer) == "user-1: milk"


async def test_each_call_of_a_batch_must_be_allowed() -> None:
    app = door(MCPGuard(nothing, tools=TOOLS))
    token = ISSUER.token(scope="notes:read")
    assert (await post(app, [call("who"), call("who")], token)).status == 204
    assert (await post(app, [call("who"), call("add")], token)).status == 403


@pytest.mark.parametrize(
    "message",
    [
        b'{"method": "tools/call", "params": {"name": "add", "name": "who"}}',
        b'{"method": "tools/call", "method": "ping", "params": {"name": "add"}}',
        b'{"method": "tools/call", "params": {"name": "add"}, "params": {"name": "who"}}',
        json.dumps(call("add")).encode("utf-16"),
        b"\xef\xbb\xbf" + json.dumps(call("add")).encode(),
        b"[" * 100_000,
        b"\xff",
        b"",
    ],
)
async def test_a_message_that_could_be_read_in_two_ways_is_refused(message: bytes) -> None:
    answer = await post(door(MCPGuard(nothing, tools=TOOLS)), message, ISSUER.token())
    assert answer.status == 400
    assert answer.json()["error"]["code"] == -32700


async def test_a_message_is_read_to_its_end_and_handed_on_whole() -> None:
    app = MCPGuard(echo, tools=TOOLS)
    whole = b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}'
    pieces: list[Message] = [
        {"type": "http.request", "body": whole[:9], "more_body": True},
        {"type": "http.request", "body": whole[9:], "more_body": False},
        {"type": "http.disconnect"},
    ]
    assert b"".join(m.get("body", b"") for m in await sent_by(app, pieces, scope={"jwt": None})) == whole


async def test_a_message_that_is_too_long_is_refused_before_its_end() -> None:
    app = MCPGuard(echo, tools=TOOLS, max_body_bytes=10)
    pieces: list[Message] = [{"type": "http.request", "body": b"123456", "more_body": True}] * 2
    start, body = await sent_by(app, pieces, scope={"jwt": None})
    assert start["status"] == 413
    assert json.loads(body["body"])["error"]["code"] == -32600


@pytest.mark.parametrize("scope", [{"anonymous": True}, {"anonymous": True, "exempt": ["/mcp"]}])
async def test_a_tool_with_a_rule_needs_a_token_where_the_door_needs_none(scope: Mapping[str, Any]) -> None:
    async with running(notes()) as server:
        app = door(MCPGuard(server, tools=TOOLS), **scope)
        assert (await post(app, call("add", text="milk"), None, version=MODERN)).status == 401
        app = door(MCPGuard(server), **scope)
        answer = await post(app, call("who"), None, version=MODERN)
    assert answer.json()["result"]["structuredContent"] == {"result": None}


async def test_a_session_is_used_by_nobody_but_the_one_who_began_it() -> None:
    """The SDK sees to that, if it is told who calls: the door alone does not tell it."""
    ada, eve = ISSUER.token(subject="ada"), ISSUER.token(subject="eve")
    async with running(notes()) as server:
        app = door(MCPGuard(server))
        session = await begin(app, ada)
        assert (await post(app, call("who"), eve, session=session)).status == 404
        fresh = ISSUER.token(subject="ada", scope="notes:read")
        assert text_of(await post(app, call("who"), fresh, session=session)) == "client-1 ada ['notes:read']"


async def test_the_token_of_each_message_counts_and_not_that_which_began_the_session() -> None:
    async with running(notes()) as server:
        app = door(MCPGuard(server, tools=TOOLS))
        session = await begin(app, ISSUER.token(scope="notes:write"))
        assert (await post(app, call("add", text="milk"), ISSUER.token(), session=session)).status == 403


async def test_a_tool_may_check_the_token_itself() -> None:
    async with running(notes()) as server:
        app = door(server)
        allowed = await post(app, call("checked"), ISSUER.token(subject="ada", roles=["admin"]), version=MODERN)
        refused = await post(app, call("checked"), ISSUER.token(), version=MODERN)
    assert text_of(allowed) == "ada"
    assert refused.json()["result"]["isError"] is True
    assert "role_missing" in text_of(refused)


@pytest.mark.parametrize("framework", ["SDK", "FastMCP"])
async def test_resources_and_prompts_read_the_token_too(framework: str) -> None:
    ada = ISSUER.token(subject="ada", scope="notes:read")
    async with running(notes()) if framework == "SDK" else fastmcp_running(fastmcp_notes()) as server:
        app = door(MCPGuard(server, tools=TOOLS))
        note = await post(app, request("resources/read", uri="notes://1"), ada, version=MODERN)
        greeting = await post(app, request("prompts/get", name="greet"), ada, version=MODERN)
        refused = await post(app, request("prompts/get", name="greet"), ISSUER.token(), version=MODERN)

    assert note.json()["result"]["contents"][0]["text"] == "ada"
    assert greeting.json()["result"]["messages"][0]["content"]["text"] == "ada"
    assert "error" in refused.json()


async def test_the_guard_without_the_door_lets_nobody_in() -> None:
    with pytest.raises(ConfigurationError, match=r"write JWTMiddleware\(MCPGuard"):
        await post(MCPGuard(nothing), call("who"), ISSUER.token())


async def test_inside_a_face_that_verifies_by_itself_the_guard_answers_and_tells_of_the_refusal() -> None:
    told: list[Decision] = []
    gate = Gate(**OPTIONS, hooks=[told.append])
    guard = MCPGuard(nothing, tools=TOOLS)

    async def face(scope: ASGIScope, receive: Receive, send: Send) -> None:
        set_identity(scope, await gate.token_of(scope))
        scope["jwt_asgi.gate"] = gate
        await guard(scope, receive, send)

    assert (await post(face, call("who"), ISSUER.token())).status == 204
    refused = await post(face, call("add"), ISSUER.token())

    assert refused.status == 403
    assert refused.challenge is not None
    assert 'scope="notes:write"' in refused.challenge
    assert [decision.reason for decision in told] == [Reason.SCOPE_MISSING]


async def test_the_guard_passes_on_what_is_no_request_and_streams() -> None:
    seen: list[ASGIScope] = []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    guard = MCPGuard(app, tools=TOOLS)
    await guard({"type": "lifespan"}, no_receive, no_send)
    await guard({"type": "http", "method": "GET", "jwt": None}, no_receive, no_send)
    assert [scope["type"] for scope in seen] == ["lifespan", "http"]


@pytest.mark.parametrize("method", ["PUT", "post", "PATCH", "QUERY"])
async def test_a_message_is_held_against_the_rules_whatever_method_brings_it(method: str) -> None:
    body = json.dumps({"method": "tools/call", "params": {"name": "add"}}).encode()
    app = door(MCPGuard(never, tools=TOOLS))
    assert (await http(app, method=method, token=ISSUER.token(), body=body)).status == 403


async def test_a_websocket_whose_messages_no_rule_is_held_against_is_refused_where_there_are_rules() -> None:
    told: list[Decision] = []
    app = door(MCPGuard(never, tools=TOOLS), told)
    answer = await websocket(app, token=ISSUER.token(), extensions={"websocket.http.response": {}})
    assert answer.denial is not None
    assert answer.denial.status == 403
    assert [decision.reason for decision in told] == [Reason.ROUTE_NOT_COVERED]


async def never(scope: ASGIScope, receive: Receive, send: Send) -> None:
    pytest.fail("the server was reached")


def test_the_rules_of_a_guard_are_rules() -> None:
    with pytest.raises(ConfigurationError, match="tools: expected a rule, as Scope"):
        MCPGuard(nothing, tools={"add": "notes:write"})  # type: ignore[dict-item]


@pytest.mark.parametrize("ctx", [object(), Request({"type": "http"}), None])
def test_current_token_says_what_is_missing_where_nothing_verified_a_token(ctx: object) -> None:
    with pytest.raises(ConfigurationError, match="put JWTMiddleware around it"):
        current_token(ctx)


# The SDK's own authentication


def sdk_server(verifier: MCPTokenVerifier, *, validate: bool = True) -> MCPServer:
    """A server that the SDK protects."""
    auth = AuthSettings(
        issuer_url=AnyHttpUrl(ISSUER.issuer),
        resource_server_url=AnyHttpUrl(URL),
        required_scopes=["notes:read"],
        validate_token_resource=validate,
    )
    server = MCPServer("notes", token_verifier=verifier, auth=auth)

    @server.tool()
    async def who(ctx: Context) -> str:
        token, theirs = current_token(ctx), get_access_token()
        assert token is not None
        assert isinstance(theirs, MCPAccessToken)
        assert theirs.verified is token
        return json.dumps(theirs.model_dump(exclude={"token", "expires_at"}) | {"claims": len(theirs.claims or {})})

    return server


async def test_the_sdk_takes_a_good_token_from_the_verifier_and_the_tool_reads_it() -> None:
    told: list[Decision] = []
    server = sdk_server(MCPTokenVerifier(**OPTIONS, resource=URL, hooks=[told.append]))
    async with running(server) as app:
        token = ISSUER.token(subject="ada", scope="notes:read", audience=["https://else.example.com", URL])
        answer = await post(app, call("who"), token, version=MODERN)

    assert json.loads(text_of(answer)) == {
        "client_id": "client-1",
        "scopes": ["notes:read"],
        "resource": URL,
        "subject": "ada",
        "claims": 8,
    }
    assert [decision.outcome for decision in told] == [Outcome.GRANTED]


@pytest.mark.parametrize("reason", [Reason.TOKEN_EXPIRED, Reason.AUDIENCE_MISMATCH, Reason.SIGNATURE_INVALID])
async def test_the_sdk_answers_a_bad_token_by_401_and_the_hooks_know_why(reason: Reason) -> None:
    told: list[Decision] = []
    async with running(sdk_server(MCPTokenVerifier(**OPTIONS, hooks=[told.append]))) as app:
        answer = await post(app, call("who"), ISSUER.bad_token(reason), version=MODERN)

    assert answer.status == 401
    assert [decision.reason for decision in told] == [reason]


async def test_an_outage_of_the_issuer_is_raised_so_that_no_client_throws_its_token_away() -> None:
    told: list[Decision] = []
    verifier = MCPTokenVerifier(**(dict(OPTIONS) | {"fetch": down}), key_caching=FAST, hooks=[told.append])  # type: ignore[arg-type]
    with pytest.raises(KeysUnavailable):
        await verifier.verify_token(ISSUER.token())
    assert [decision.outcome for decision in told] == [Outcome.UNAVAILABLE]


@pytest.mark.parametrize("framework", ["SDK", "FastMCP"])
async def test_the_frameworks_answer_an_outage_by_500(framework: str) -> None:
    verifier = MCPTokenVerifier(**(dict(OPTIONS) | {"fetch": down}), key_caching=FAST, hooks=[])  # type: ignore[arg-type]
    server: Any = running(sdk_server(verifier))
    if framework == "FastMCP":
        server = fastmcp_running(fastmcp_notes(auth=fastmcp_verifier(verifier)))
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"authorization", b"Bearer " + ISSUER.token().encode())]
    async with server as app:
        with pytest.raises(KeysUnavailable):
            await app({**http_scope("/mcp"), "headers": headers}, no_receive, send)
    assert sent[0]["status"] == 500


async def test_behind_the_door_an_outage_is_503_with_the_time_to_come_back() -> None:
    async with running(notes()) as server:
        app = door(MCPGuard(server), fetch=down, key_caching=FAST)
        answer = await post(app, call("who"), ISSUER.token(), version=MODERN)
    assert answer.status == 503
    assert answer.header("retry-after") is not None


@pytest.mark.parametrize(
    ("audience", "resource"),
    [
        (URL, URL),
        (f"{URL}/", URL),
        ("https://else.example.com", "https://else.example.com"),
        (["https://else.example.com", "https://other.example.com"], None),
    ],
)
async def test_the_resource_of_a_token_is_the_url_if_it_names_it_or_its_one_audience(
    audience: str | list[str], resource: str | None
) -> None:
    verifier = MCPTokenVerifier(
        verifier=Verifier(
            TrustedIssuer(
                issuer=ISSUER.issuer,
                audience=[URL, f"{URL}/", "https://else.example.com"],
                algorithms=["ES256"],
                fetch=ISSUER.fetch,
            )
        ),
        resource=URL,
    )
    token = await verifier.verify_token(ISSUER.token(audience=audience))
    assert token is not None
    assert token.resource == resource


async def test_a_token_that_names_no_client_goes_by_its_subject() -> None:
    token = await MCPTokenVerifier(**OPTIONS).verify_token(ISSUER.token(subject="ada", without=["client_id"]))
    assert token is not None
    assert token.client_id == "ada"


# FastMCP


def fastmcp_notes(**options: Any) -> FastMCP:
    """A server of FastMCP."""
    server: FastMCP = FastMCP("notes", **options)

    @server.tool
    async def add(text: str, ctx: FastMCPContext) -> str:
        token = current_token(ctx)
        assert token is not None
        return f"{token.subject}: {text}"

    @server.resource("notes://{name}")
    async def note(name: str, ctx: FastMCPContext) -> str:
        return reader(ctx)

    @server.prompt
    async def greet(ctx: FastMCPContext) -> str:
        return reader(ctx)

    @server.tool(auth=require_scopes("notes:write"))
    async def who() -> str:
        token = fastmcp_access_token()
        assert token is not None
        return f"{token.subject} {token.claims['iss']}"

    return server


@asynccontextmanager
async def fastmcp_running(server: FastMCP) -> AsyncIterator[ASGIApp]:
    app = server.http_app(json_response=True, host_origin_protection=False)
    async with app.lifespan(app):
        yield app


async def test_fastmcp_behind_door_and_guard_reads_the_token_and_knows_its_scopes() -> None:
    ada = ISSUER.token(subject="ada", scope="notes:write")
    async with fastmcp_running(fastmcp_notes()) as server:
        app = door(MCPGuard(server, tools=TOOLS))
        added = await post(app, call("add", text="milk"), ada, version=MODERN)
        refused = await post(app, call("add", text="milk"), ISSUER.token(), version=MODERN)
        who = await post(app, call("who"), ada, version=MODERN)
        listed = await post(app, request("tools/list"), ISSUER.token(scope="notes:read"), version=MODERN)

    assert text_of(added) == "ada: milk"
    assert refused.status == 403
    assert [tool["name"] for tool in listed.json()["result"]["tools"]] == ["add"]
    assert text_of(who) == f"ada {ISSUER.issuer}"


async def test_fastmcp_takes_its_tokens_from_the_verifier() -> None:
    told: list[Decision] = []
    auth = RemoteAuthProvider(
        fastmcp_verifier(MCPTokenVerifier(**OPTIONS, hooks=[told.append]), required_scopes=["notes:read"]),
        authorization_servers=[AnyHttpUrl(ISSUER.issuer)],
        base_url="https://notes.example.com",
    )
    both = ISSUER.token(subject="ada", scope="notes:read notes:write")
    async with fastmcp_running(fastmcp_notes(auth=auth)) as app:
        added = await post(app, call("add", text="milk"), both, version=MODERN)
        who = await post(app, call("who"), both, version=MODERN)
        lacking = await post(app, call("who"), ISSUER.token(scope="notes:write"), version=MODERN)
        bad = await post(app, call("who"), ISSUER.bad_token(Reason.TOKEN_EXPIRED), version=MODERN)

    assert text_of(added) == "ada: milk"
    assert text_of(who) == f"ada {ISSUER.issuer}"
    assert lacking.status == 403
    assert bad.status == 401
    assert [decision.reason for decision in told] == [None, None, None, Reason.TOKEN_EXPIRED]


FAST = KeyCaching(timeout=0.3)


def http_scope(path: str) -> dict[str, Any]:
    """A POST."""
    return {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": []}


async def down(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
    """An issuer that is not there."""
    raise ConnectionError(url)


async def nothing(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Answers anything."""
    await send({"type": "http.response.start", "status": 204, "headers": []})


async def echo(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Sends what it gets until there is no more."""
    while (message := await receive())["type"] == "http.request":
        await send({"type": "http.response.body", "body": message["body"]})


async def no_receive() -> Message:
    """There is nothing."""
    return {"type": "http.disconnect"}


async def no_send(message: Message) -> None:
    """It goes nowhere."""


async def sent_by(app: ASGIApp, incoming: list[Message], *, scope: Mapping[str, Any]) -> list[Message]:
    """What an application sends, given these messages."""
    sent: list[Message] = []

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await app({**http_scope("/mcp"), **scope}, receive, send)
    return sent
