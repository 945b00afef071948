"""MCP servers (Model Context Protocol): rules for tools behind the door, and token verifiers for the SDK and FastMCP.

The door protects an MCP server as it does any application; `MCPGuard` stands between the two:

    app = JWTMiddleware(MCPGuard(server.streamable_http_app(), tools={...}), resource="https://example.com/mcp", ...)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, Unpack

from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken as SDKAccessToken
from pydantic import PrivateAttr

from jwt_asgi._core.access import Context, Requirement
from jwt_asgi._core.access_token import AccessToken
from jwt_asgi._core.bearer import NoToken, bearer_token
from jwt_asgi._core.resource import ProtectedResource
from jwt_asgi.access import authorize
from jwt_asgi.errors import AccessError, ConfigurationError, JWTASGIError, Reason, TokenError
from jwt_asgi.gate import GATE, Gate
from jwt_asgi.instrumentation import Hook, Outcome
from jwt_asgi.issuers import IssuerOptions
from jwt_asgi.types import ASGIApp, ASGIScope, Message, Receive, Send
from jwt_asgi.verifier import Verifier

if TYPE_CHECKING:
    from fastmcp.server.auth import TokenVerifier as FastMCPTokenVerifier

__all__ = [
    "MCPAccessToken",
    "MCPGuard",
    "MCPTokenVerifier",
    "ProtectedResource",
    "current_token",
    "fastmcp_verifier",
]

_WITHOUT_MESSAGE = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
_MAX_BODY_BYTES = 4 * 1024 * 1024
"""What the SDK takes, by default."""


class MCPAccessToken(SDKAccessToken):
    """A verified token as the SDK and FastMCP know tokens.

    `client_id` is the subject where the token names no client, and `resource` is the URL given as `resource=` where the
    token is meant for it, or else its one audience.
    """

    _verified: AccessToken = PrivateAttr()

    @classmethod
    def of(cls, token: AccessToken, text: str, resource: str | None = None) -> MCPAccessToken:
        """Make one of a verified token and its text."""
        named = [one for one in token.audience if resource and one.rstrip("/") == resource.rstrip("/")]
        made = cls(
            token=text,
            client_id=token.client_id or token.subject or "",
            scopes=sorted(token.scopes),
            expires_at=int(token.expires_at),
            resource=resource if named else token.audience[0] if len(token.audience) == 1 else None,
            subject=token.subject,
            claims=dict(token.claims),
        )
        made._verified = token
        return made

    @property
    def verified(self) -> AccessToken:
        """The token as everything else in this library knows it."""
        return self._verified


def current_token(ctx: object) -> AccessToken | None:
    """Return the verified token of the request that a tool, a resource or a prompt serves; None where none was needed.

    `ctx` is the `Context` of the SDK or of FastMCP, or the context that a handler of the SDK's low-level server gets.

    Raises:
        ConfigurationError: nothing verified a token on the way, or there is no HTTP request, as over stdio.
    """
    request = getattr(getattr(ctx, "request_context", None) or ctx, "request", None)
    scope: Mapping[str, Any] = getattr(request, "scope", None) or {}
    if "jwt" in scope:
        token: AccessToken | None = scope["jwt"]
        return token
    sent = getattr(scope.get("user"), "access_token", None)
    if isinstance(sent, MCPAccessToken):
        return sent.verified
    raise ConfigurationError("current_token", "no token was verified for this request: put JWTMiddleware around it")


class MCPGuard:
    """Holds calls of tools against rules, and tells the SDK who calls. It goes between the door and the MCP server.

    A call that its rule does not allow is answered before the server sees it, by 403 with the scopes that it needs, so
    that a client can ask the user for more (step-up). The SDK then lets nobody use a session that another began, and
    `get_access_token()`, of the SDK and of FastMCP, gives the token.

    Args:
        app: The MCP server's streamable HTTP application.
        tools: What each tool needs, `{"add_note": Scope("notes:write"), "*": AnyToken()}`; `*` stands for all that are
            not named. A tool without a rule is refused. None: any good token may call any tool.
        max_body_bytes: How long a message may be that is looked into; others are refused with 413.

    Raises:
        ConfigurationError: a rule is none.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        tools: Mapping[str, Requirement] | None = None,
        max_body_bytes: int = _MAX_BODY_BYTES,
    ) -> None:
        """Check the rules."""
        for name, rule in ({} if tools is None else tools).items():
            if not isinstance(rule, Requirement):
                raise ConfigurationError("tools", f'expected a rule, as Scope("notes:write"), for {name}; got {rule!r}')
        self.tools = None if tools is None else dict(tools)
        self._app: ASGIApp = AuthContextMiddleware(app)
        self._limit = max_body_bytes

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Let the message through, or refuse it."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        token = _introduced(scope)
        if self.tools is not None and scope["type"] == "websocket":
            raise AccessError(Reason.ROUTE_NOT_COVERED, "rules of tools are for messages over HTTP")
        if self.tools is None or scope["method"] in _WITHOUT_MESSAGE:
            return await self._app(scope, receive, send)
        messages = await _read(receive, self._limit)
        if messages is None:
            return await _refuse(send, 413, -32600, "the message is too long")
        try:
            called = _called(b"".join(message.get("body", b"") for message in messages))
        except (ValueError, RecursionError):
            return await _refuse(send, 400, -32700, "the message is not JSON")
        try:
            await self._authorize(called, token, scope)
        except AccessError as error:
            gate: Gate | None = scope.get(GATE)
            if gate is None:
                raise
            answer = gate.refuse(error, scope, token=token, began=perf_counter())
            return await _answer(send, answer.status, answer.headers, answer.body)

        async def replay() -> Message:
            return messages.pop(0) if messages else await receive()

        return await self._app(scope, replay, send)

    async def _authorize(self, called: Iterable[str], token: AccessToken | None, scope: ASGIScope) -> None:
        assert self.tools is not None  # noqa: S101 - for the type checker
        for name in called:
            rule = self.tools.get(name, self.tools.get("*"))
            if rule is None:
                raise AccessError(Reason.ROUTE_NOT_COVERED, 'add a rule for the tool, or "*" with AnyToken()')
            await authorize(token, rule, context=Context(method="POST", path=scope["path"]))


class MCPTokenVerifier:
    """The `token_verifier` of the SDK's own authentication (its `TokenVerifier` protocol).

    A bad token is None there, which is 401. An outage of the issuer is raised: the SDK knows no 503 and answers 500,
    upon which clients keep their tokens. Both are told to the hooks. The SDK judges `expires_at` again, without leeway.

    Args:
        verifier: In place of the issuer's options.
        resource: The server's URL, for `MCPAccessToken.resource`.
        hooks: Told of every decision; by default refusals are logged.
        issuer: The options of `TrustedIssuer`.

    Raises:
        ConfigurationError: an option is missing or wrong.
    """

    def __init__(
        self,
        *,
        verifier: Verifier | None = None,
        resource: str | ProtectedResource | None = None,
        hooks: Sequence[Hook] | None = None,
        **issuer: Unpack[IssuerOptions],
    ) -> None:
        """Check the options; nothing is fetched."""
        self._gate = Gate(verifier=verifier, resource=resource, hooks=hooks, **issuer)
        self.verifier = self._gate.verifier

    async def verify_token(self, token: str) -> MCPAccessToken | None:
        """Return the verified token, or None where it is not good here.

        Raises:
            KeysUnavailable: it cannot be judged just now.
            AccessError: what it allows cannot be told just now.
        """
        began, scope = perf_counter(), {"type": "http"}
        try:
            good = await self.verifier.verify(token)
        except JWTASGIError as error:
            self._gate.refuse(error, scope, token=None, began=began)
            if isinstance(error, TokenError):
                return None
            raise
        self._gate.grant(Outcome.GRANTED, token=good, kind=scope["type"], seconds=perf_counter() - began)
        resource = self._gate.resource
        return MCPAccessToken.of(good, token, None if resource is None else resource.resource)


def fastmcp_verifier(
    verifier: MCPTokenVerifier, *, base_url: str | None = None, required_scopes: Sequence[str] = ()
) -> FastMCPTokenVerifier:
    """Return it as FastMCP's `TokenVerifier`: for `FastMCP(auth=...)`, and for its `RemoteAuthProvider`.

    Raises:
        ImportError: FastMCP is not installed.
    """
    from fastmcp.server.auth import TokenVerifier  # noqa: PLC0415 - the SDK's users need no FastMCP

    class Adapter(TokenVerifier):
        async def verify_token(self, token: str) -> MCPAccessToken | None:  # type: ignore[override] # it makes its own of it
            return await verifier.verify_token(token)

    return Adapter(base_url=base_url, required_scopes=list(required_scopes))


def _introduced(scope: ASGIScope) -> AccessToken | None:
    """Tell the SDK who calls, and return the token."""
    if "jwt" not in scope:
        raise ConfigurationError("MCPGuard", "no token was verified: write JWTMiddleware(MCPGuard(...), ...)")
    token: AccessToken | None = scope["jwt"]
    if token is not None:
        scope["user"] = AuthenticatedUser(MCPAccessToken.of(token, _text(scope)))
    return token


def _text(scope: ASGIScope) -> str:
    text = bearer_token(scope["headers"])
    return "" if isinstance(text, NoToken) else text.decode("ascii")


async def _read(receive: Receive, limit: int) -> list[Message] | None:
    """Return the messages of a body, or what came in place of its end; None where it is too long."""
    messages: list[Message] = []
    size = 0
    while True:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if size > limit:
            return None
        if message["type"] != "http.request" or not message.get("more_body", False):
            return messages


def _called(body: bytes) -> list[str]:
    """Return the tools that a message calls. It must be read as the server reads it: so a name given twice is refused.

    Raises:
        ValueError: it is not JSON, or ambiguous.
    """
    decoded = json.loads(body.decode("utf-8"), object_pairs_hook=_members)
    calls = [one for one in (decoded if isinstance(decoded, list) else [decoded]) if isinstance(one, dict)]
    parameters = [call.get("params") for call in calls if call.get("method") == "tools/call"]
    return [str(given.get("name")) for given in parameters if isinstance(given, dict)]


def _members(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name is given twice")
    return members


async def _refuse(send: Send, status: int, code: int, message: str) -> None:
    """Answer a message that cannot be looked into, as JSON-RPC 2.0 section 5.1 words it."""
    body = json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await _answer(send, status, headers, body)


async def _answer(send: Send, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})
