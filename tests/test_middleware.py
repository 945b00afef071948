"""The door: what it lets in, what it puts on the scope, and what it passes on untouched."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest
from starlette.authentication import AuthCredentials, UnauthenticatedUser

from jwt_asgi import (
    AccessError,
    AccessToken,
    ConfigurationError,
    Decision,
    JWTMiddleware,
    KeyCaching,
    Reason,
    Scope,
    SharedSecret,
    TrustedIssuer,
    Verifier,
    check_access,
)
from jwt_asgi.identity import TokenUser
from jwt_asgi.instrumentation import Outcome
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIApp, ASGIScope, FetchResponse, Message, Receive, Send
from tests.asgi import Headers, http, websocket

ISSUER = TestIssuer(algorithms=["ES256"])
PREFLIGHT = [(b"origin", b"https://app.test"), (b"access-control-request-method", b"PUT")]
DENIAL: dict[str, Any] = {"websocket.http.response": {}}
FORGED: dict[str, Any] = {"jwt": "forged", "auth": "forged", "user": "forged"}


class Inner:
    """The protected application; it keeps the scopes it was called with."""

    def __init__(self) -> None:
        self.scopes: list[ASGIScope] = []

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            assert (await receive())["type"] == "websocket.connect"
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"in"})

    @property
    def identity(self) -> tuple[object, object, object]:
        """What the one call found on its scope."""
        (scope,) = self.scopes
        return scope["jwt"], scope["auth"], scope["user"]


def door(app: ASGIApp, *, exempt: tuple[str, ...] = (), anonymous: bool = False) -> JWTMiddleware:
    return JWTMiddleware(app, **ISSUER.options(), exempt=exempt, anonymous=anonymous, hooks=[])


async def status_of(app: ASGIApp, kind: str, path: str = "/", token: str | None = None, headers: Headers = ()) -> int:
    """The status that an HTTP request or a WebSocket handshake gets; an accepted one counts as 200."""
    if kind == "http":
        return (await http(app, path=path, token=token, headers=headers)).status
    socket = await websocket(app, path=path, token=token, headers=headers, extensions=DENIAL)
    return 200 if socket.denial is None and socket.accepted else socket.denial.status if socket.denial else 0


both_kinds = pytest.mark.parametrize("kind", ["http", "websocket"])


# What the application finds


@both_kinds
async def test_the_application_finds_the_token_and_starlettes_user_and_credentials(kind: str) -> None:
    inner = Inner()
    assert await status_of(door(inner), kind, token=ISSUER.token(subject="ann", scope="b a")) == 200
    token, auth, user = inner.identity
    assert isinstance(token, AccessToken)
    assert token.subject == "ann"
    assert token.scopes == {"a", "b"}
    assert isinstance(auth, AuthCredentials)
    assert auth.scopes == ["authenticated", "a", "b"]
    assert isinstance(user, TokenUser)
    assert user.token is token
    assert (user.is_authenticated, user.display_name, user.identity) == (True, "ann", "ann")


@pytest.mark.parametrize(
    ("without", "name"), [(["sub"], "client-1"), (["sub", "client_id"], ""), (["client_id"], "user-1")]
)
async def test_a_user_without_a_subject_has_the_name_of_the_client_if_there_is_one(
    without: list[str], name: str
) -> None:
    inner = Inner()
    await http(door(inner), token=ISSUER.token(without=without))
    user = inner.scopes[0]["user"]
    assert (user.display_name, user.identity, user.is_authenticated) == (name, name, True)


@both_kinds
async def test_what_outer_code_left_on_the_scope_is_overwritten_with_the_verified_token(kind: str) -> None:
    inner, call = Inner(), http if kind == "http" else websocket
    await call(door(inner), token=ISSUER.token(subject="ann"), **FORGED)
    token, auth, user = inner.identity
    assert isinstance(token, AccessToken)
    assert isinstance(auth, AuthCredentials)
    assert isinstance(user, TokenUser)


@both_kinds
@pytest.mark.parametrize("way", ["exempt", "anonymous"])
async def test_what_outer_code_left_on_the_scope_is_overwritten_where_no_token_is_needed(kind: str, way: str) -> None:
    inner, call = Inner(), http if kind == "http" else websocket
    app = door(inner, exempt=("/open",)) if way == "exempt" else door(inner, anonymous=True)
    await call(app, path="/open", **FORGED)
    token, auth, user = inner.identity
    assert token is None
    assert isinstance(auth, AuthCredentials)
    assert auth.scopes == []
    assert isinstance(user, UnauthenticatedUser)
    assert user.is_authenticated is False


async def test_what_outer_code_left_on_the_scope_is_overwritten_for_a_preflight() -> None:
    inner = Inner()
    assert (await http(door(inner), method="OPTIONS", headers=PREFLIGHT, **FORGED)).status == 200
    token, auth, user = inner.identity
    assert token is None
    assert isinstance(auth, AuthCredentials)
    assert auth.scopes == []
    assert isinstance(user, UnauthenticatedUser)


async def test_an_exempt_path_shows_no_token_even_where_a_good_one_was_sent() -> None:
    inner = Inner()
    await http(door(inner, exempt=("/open",)), path="/open", token=ISSUER.token())
    assert inner.identity[0] is None


async def test_an_exempt_path_takes_a_bad_and_a_malformed_token_without_looking_at_it() -> None:
    app = door(Inner(), exempt=("/open",))
    assert (await http(app, path="/open", token="rubbish")).status == 200
    assert (await http(app, path="/open", headers=[(b"authorization", b"Bearer")])).status == 200


async def test_the_rest_of_the_scope_reaches_the_application_as_it_came() -> None:
    inner, state = Inner(), {"pool": object()}
    await http(door(inner), token=ISSUER.token(), path="/a", query=b"b=c", state=state, extensions={"x": {}})
    (scope,) = inner.scopes
    assert scope["state"] is state
    assert (scope["path"], scope["query_string"], scope["extensions"]) == ("/a", b"b=c", {"x": {}})
    assert scope["headers"][0][0] == b"authorization"


# WebSockets


async def test_a_good_token_opens_a_websocket() -> None:
    inner = Inner()
    socket = await websocket(door(inner), token=ISSUER.token())
    assert socket.messages == [{"type": "websocket.accept"}]
    assert len(inner.scopes) == 1


@pytest.mark.parametrize("token", [None, "rubbish"])
async def test_a_refused_websocket_is_closed_with_1008_before_it_is_accepted(token: str | None) -> None:
    # RFC 6455 section 7.4.1; servers make a 403 of it
    inner = Inner()
    socket = await websocket(door(inner), token=token)
    assert socket.messages == [{"type": "websocket.close", "code": 1008, "reason": ""}]
    assert inner.scopes == []


async def test_a_refused_websocket_gets_an_http_answer_where_the_server_offers_it() -> None:
    socket = await websocket(door(Inner()), extensions=DENIAL)
    assert socket.denial is not None
    assert (socket.denial.status, socket.denial.challenge) == (401, "Bearer")
    assert socket.close_code is None
    assert not socket.accepted


async def test_a_websocket_scope_without_extensions_is_closed() -> None:
    app, sent = door(Inner()), list[Message]()
    scope = {"type": "websocket", "path": "/", "headers": [], "query_string": b""}
    await app(scope, giving({"type": "websocket.connect"}), keeping(sent))
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": ""}]


async def test_nothing_is_sent_to_a_client_that_disconnected_before_its_websocket_was_refused() -> None:
    app, sent = door(Inner()), list[Message]()
    scope = {"type": "websocket", "path": "/", "headers": [], "extensions": DENIAL}
    await app(scope, giving({"type": "websocket.disconnect", "code": 1006}), keeping(sent))
    assert sent == []


async def test_the_application_itself_receives_the_connect_of_an_admitted_websocket() -> None:
    received: list[Message] = []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        received.append(await receive())

    await websocket(door(app), token=ISSUER.token())
    assert received == [{"type": "websocket.connect"}]


def giving(*messages: Message) -> Receive:
    """A `receive` that gives these messages; asking for more fails the test, as a server would keep it waiting."""
    waiting = list(messages)

    async def receive() -> Message:
        return waiting.pop(0)

    return receive


def keeping(sent: list[Message]) -> Send:
    """A `send` that keeps every message."""

    async def send(message: Message) -> None:
        sent.append(message)

    return send


# Exempt paths


@both_kinds
@pytest.mark.parametrize(
    ("pattern", "path", "status"),
    [
        ("/healthz", "/healthz", 200),
        ("/healthz", "/healthz/", 401),
        ("/healthz", "/healthz/x", 401),
        ("/healthz", "/healthzx", 401),
        ("/healthz", "/HEALTHZ", 401),
        ("/healthz", "//healthz", 401),
        ("/healthz", "/x/../healthz", 401),
        ("/healthz", "/healthz/../secret", 401),
        ("/healthz", "/healthz;x", 401),
        ("/healthz", "/healthz?x", 401),
        ("/healthz", "/healthz\x00", 401),
        ("/healthz", "/healthz ", 401),
        ("/healthz", "healthz", 401),
        ("/healthz", "", 401),
        ("/", "/", 200),
        ("/", "", 401),
        ("/", "/x", 401),
        ("/docs/", "/docs/", 200),
        ("/docs/", "/docs", 401),
        ("/docs/*", "/docs/a", 200),
        ("/docs/*", "/docs/a/b.css", 200),
        ("/docs/*", "/docs/...", 200),
        ("/docs/*", "/docs/.hidden", 200),
        ("/docs/*", "/docs", 401),
        ("/docs/*", "/docs/", 401),
        ("/docs/*", "/docs/a/", 200),
        ("/docs/*", "/docs/a/b/", 200),
        ("/docs/*", "/docs/a//", 401),
        ("/docs/*", "/docs//", 401),
        ("/docs/*", "/docs/../", 401),
        ("/docs/*", "/docs/a/../", 401),
        ("/docs/*", "/docs/./", 401),
        ("/docs/*", "/docs/a;/", 401),
        ("/docs/*", "/docs/a\\/", 401),
        ("/docs/*", "/docsx/a", 401),
        ("/docs/*", "/Docs/a", 401),
        ("/docs/*", "/docs//a", 401),
        ("/docs/*", "/docs/a//b", 401),
        ("/docs/*", "//docs/a", 401),
        ("/docs/*", "/docs/.", 401),
        ("/docs/*", "/docs/..", 401),
        ("/docs/*", "/docs/../secret", 401),
        ("/docs/*", "/docs/a/../../secret", 401),
        ("/docs/*", "/docs/./secret", 401),
        ("/docs/*", "/docs/..\\secret", 401),
        ("/docs/*", "/docs/a\\b", 401),
        ("/docs/*", "/docs/a;b", 401),
        ("/docs/*", "/docs/..;/secret", 401),
        ("/docs/*", "/docs/a%2fb", 401),
        ("/docs/*", "/docs/a\x00", 401),
        ("/docs/*", "/docs/a\nb", 401),
        ("/docs/*", "/x/docs/a", 401),
        ("/*", "/a", 200),
        ("/*", "/a/b", 200),
        ("/*", "/", 401),
        ("/*", "/a/", 200),
        ("/*", "//a", 401),
        ("/*", "//", 401),
    ],
)
async def test_an_exempt_pattern_covers_its_path_or_the_whole_segments_below_it_and_nothing_else(
    kind: str, pattern: str, path: str, status: int
) -> None:
    inner = Inner()
    assert await status_of(door(inner, exempt=(pattern,)), kind, path) == status
    assert len(inner.scopes) == (status == 200)


@pytest.mark.parametrize(
    ("path", "raw_path", "status"),
    [
        ("/docs/a", b"/docs/a", 200),
        ("/docs/a", b"/docs/%61", 200),
        ("/docs/a b", b"/docs/a%20b", 200),
        ("/docs/a", None, 200),
        ("/docs/a/b", b"/docs/a%2Fb", 401),
        ("/docs/a/b", b"/docs/a%2fb", 401),
        ("/docs/a/b", b"/docs%2fa/b", 401),
        ("/docs/a\\b", b"/docs/a%5Cb", 401),
        ("/docs/v1.0", b"/docs/v1%2E0", 401),
        ("/docs/%2e%2e/secret", b"/docs/%252e%252e/secret", 401),
        ("/docs/%2e%2e/secret", None, 401),
        ("/docs/\u00fc", b"/docs/%c3%bc", 200),
    ],
)
async def test_an_encoded_slash_backslash_dot_or_percent_sign_below_a_prefix_is_not_exempt(
    path: str, raw_path: bytes | None, status: int
) -> None:
    # what a proxy decodes and what the application decodes may differ (RFC 3986 section 7.3)
    answer = await http(door(Inner(), exempt=("/docs/*",)), path=path, raw_path=raw_path)
    assert answer.status == status


async def test_a_scope_without_raw_path_is_judged_by_its_path() -> None:
    # the ASGI specification makes raw_path optional
    async def without_raw_path(scope: ASGIScope, receive: Receive, send: Send) -> None:
        del scope["raw_path"]
        await app(scope, receive, send)

    app = door(Inner(), exempt=("/docs/*",))
    assert (await http(without_raw_path, path="/docs/a")).status == 200
    assert (await http(without_raw_path, path="/docs/../a")).status == 401


@pytest.mark.parametrize(
    ("root_path", "path", "status"),
    [
        ("", "/healthz", 200),
        ("/api", "/api/healthz", 200),
        ("/api", "/healthz", 200),
        ("/api", "/api/api/healthz", 401),
        ("/api", "/apihealthz", 401),
        ("/api", "/api", 401),
        ("/healthz", "/healthz", 401),
        ("/api/healthz", "/api/healthz", 401),
        ("/a", "/ab/healthz", 401),
    ],
)
async def test_exempt_paths_are_those_below_root_path(root_path: str, path: str, status: int) -> None:
    # the ASGI specification: path includes root_path; servers that leave it out are read likewise, as Starlette does
    answer = await http(door(Inner(), exempt=("/healthz",)), path=path, root_path=root_path)
    assert answer.status == status


async def test_a_scope_without_root_path_counts_as_an_empty_one() -> None:
    # the ASGI specification makes root_path optional
    sent: list[Message] = []
    scope = {"type": "http", "method": "GET", "path": "/healthz", "headers": []}
    await door(Inner(), exempt=("/healthz",))(scope, giving(), keeping(sent))
    assert sent[0]["status"] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/open", 200),
        ("POST", "/open", 401),
        ("HEAD", "/open", 401),
        ("get", "/open", 401),
        ("GET", "/files/a", 401),
        ("PUT", "/files/a", 200),
    ],
)
async def test_a_pattern_with_a_method_covers_that_method_alone(method: str, path: str, status: int) -> None:
    app = door(Inner(), exempt=("GET /open", "PUT /files/*"))
    assert (await http(app, method=method, path=path)).status == status


async def test_a_pattern_with_a_method_covers_no_websocket() -> None:
    assert await status_of(door(Inner(), exempt=("GET /open",)), "websocket", "/open") == 401


# Anonymous requests

BASIC = (b"authorization", b"Basic dTpw")


@both_kinds
@pytest.mark.parametrize("headers", [[], [BASIC], [(b"cookie", b"a=b")]])
async def test_anonymous_lets_in_who_sent_no_bearer_token(kind: str, headers: Headers) -> None:
    inner = Inner()
    assert await status_of(door(inner, anonymous=True), kind, headers=headers) == 200
    assert inner.identity[0] is None


@both_kinds
async def test_anonymous_still_shows_a_good_token(kind: str) -> None:
    inner = Inner()
    assert await status_of(door(inner, anonymous=True), kind, token=ISSUER.token(subject="ann")) == 200
    assert isinstance(inner.identity[0], AccessToken)


@both_kinds
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([(b"authorization", b"Bearer rubbish")], 401),
        ([(b"authorization", b"Bearer")], 400),
        ([(b"authorization", b"Bearer a b")], 400),
        ([(b"authorization", b"")], 400),
        ([BASIC, BASIC], 400),
        ([BASIC, (b"authorization", b"Bearer rubbish")], 400),
    ],
)
async def test_anonymous_refuses_a_bad_a_malformed_and_a_second_token(kind: str, headers: Headers, status: int) -> None:
    inner = Inner()
    assert await status_of(door(inner, anonymous=True), kind, headers=headers) == status
    assert inner.scopes == []


@both_kinds
@pytest.mark.parametrize("reason", [Reason.TOKEN_EXPIRED, Reason.SIGNATURE_INVALID, Reason.AUDIENCE_MISMATCH])
async def test_anonymous_refuses_every_token_that_is_not_good(kind: str, reason: Reason) -> None:
    assert await status_of(door(Inner(), anonymous=True), kind, token=ISSUER.bad_token(reason)) == 401


# CORS preflight


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("OPTIONS", PREFLIGHT, 200),
        ("OPTIONS", PREFLIGHT[:1], 401),
        ("OPTIONS", PREFLIGHT[1:], 401),
        ("OPTIONS", [], 401),
        ("GET", PREFLIGHT, 401),
        ("POST", PREFLIGHT, 401),
        ("options", PREFLIGHT, 401),
        ("OPTIONS", [(b"x-origin", b"https://app.test"), PREFLIGHT[1]], 401),
    ],
)
async def test_only_a_true_preflight_passes_without_a_token(method: str, headers: Headers, status: int) -> None:
    # Fetch section 3.2.2: OPTIONS with Origin and Access-Control-Request-Method, sent without credentials
    assert (await http(door(Inner()), method=method, headers=headers)).status == status


async def test_a_websocket_handshake_is_no_preflight() -> None:
    assert await status_of(door(Inner()), "websocket", headers=PREFLIGHT) == 401


# Bodies


@pytest.mark.parametrize("headers", [[], [(b"authorization", b"Bearer")], [(b"authorization", b"Bearer rubbish")]])
async def test_a_refused_head_has_the_headers_of_the_get_and_no_body(headers: Headers) -> None:
    # RFC 9110 section 9.3.2
    app = door(Inner())
    get, head = [await http(app, method=method, headers=headers) for method in ("GET", "HEAD")]
    assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")
    assert head.header("content-length") == str(len(get.body))


async def test_head_of_an_outage_has_no_body_either() -> None:
    async def fetch(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        raise OSError

    app = JWTMiddleware(
        Inner(), issuer=ISSUER.issuer, audience=ISSUER.audience, algorithms=["ES256"], fetch=fetch, hooks=[]
    )
    answer = await http(app, method="HEAD", token=ISSUER.token())
    assert (answer.status, answer.header("retry-after"), answer.body) == (503, "1", b"")


async def test_the_messages_of_an_admitted_request_and_its_response_pass_untouched() -> None:
    chunks: list[Message] = [
        {"type": "http.request", "body": b"a", "more_body": True},
        {"type": "http.request", "body": b"b", "more_body": False},
        {"type": "http.disconnect"},
    ]
    response: list[Message] = [
        {"type": "http.response.start", "status": 200, "headers": [(b"x", b"1")], "trailers": True},
        {"type": "http.response.body", "body": b"a", "more_body": True},
        {"type": "http.response.body", "body": b"b"},
        {"type": "http.response.trailers", "headers": []},
    ]
    received: list[Message] = []
    sent: list[Message] = []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        for message in response:
            received.append(await receive()) if len(received) < 3 else None
            await send(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "headers": [(b"authorization", f"Bearer {ISSUER.token()}".encode())],
    }
    await door(app)(scope, giving(*chunks), keeping(sent))
    assert list(map(id, received)) == list(map(id, chunks))
    assert list(map(id, sent)) == list(map(id, response))


async def test_a_refusal_does_not_read_the_body() -> None:
    sent: list[Message] = []
    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    await door(Inner())(scope, giving(), keeping(sent))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


# Errors from the application


def raising(error: Exception, *messages: Message) -> ASGIApp:
    """An application that sends these messages and then raises."""

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        raise error

    return app


START: Message = {"type": "http.response.start", "status": 200, "headers": []}
LACKS_A = AccessError(Reason.SCOPE_MISSING, scopes=("a",))


async def test_an_access_error_before_the_response_is_403() -> None:
    answer = await http(door(raising(LACKS_A)), token=ISSUER.token())
    text = "The access token lacks a scope that this needs"
    assert answer.status == 403
    assert answer.challenge == f'Bearer error="insufficient_scope", error_description="{text}", scope="a"'


async def test_an_access_error_after_the_response_has_begun_is_raised_on() -> None:
    sent: list[Message] = []
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    with pytest.raises(AccessError) as caught:
        await door(raising(LACKS_A, START), anonymous=True)(scope, giving(), keeping(sent))
    assert caught.value is LACKS_A
    assert sent == [START]


async def test_an_access_error_on_an_exempt_path_is_answered_likewise() -> None:
    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        check_access(scope["jwt"], Scope("a"))

    answer = await http(door(app, exempt=("/open",)), path="/open", token=ISSUER.token(scope="a"))
    assert (answer.status, answer.challenge) == (401, 'Bearer scope="a"')


async def test_an_access_error_before_a_websocket_is_accepted_refuses_it() -> None:
    socket = await websocket(door(raising(LACKS_A)), token=ISSUER.token(), extensions=DENIAL)
    assert socket.denial is not None
    assert socket.denial.status == 403
    closed = await websocket(door(raising(LACKS_A)), token=ISSUER.token())
    assert closed.messages == [{"type": "websocket.close", "code": 1008, "reason": ""}]


@pytest.mark.parametrize("extensions", [{}, DENIAL])
async def test_an_access_error_refuses_a_websocket_whose_connect_the_application_has_taken(
    extensions: dict[str, Any],
) -> None:
    # An application receives websocket.connect before it accepts; there is no second one to wait for
    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await receive()
        raise LACKS_A

    socket = await websocket(door(app), token=ISSUER.token(), extensions=extensions)
    if extensions:
        assert socket.denial is not None
        assert socket.denial.status == 403
    else:
        assert socket.messages == [{"type": "websocket.close", "code": 1008, "reason": ""}]


async def test_an_access_error_after_a_websocket_was_accepted_is_raised_on() -> None:
    with pytest.raises(AccessError) as caught:
        await websocket(door(raising(LACKS_A, {"type": "websocket.accept"})), token=ISSUER.token())
    assert caught.value is LACKS_A


@both_kinds
async def test_any_other_error_of_the_application_is_its_own_affair(kind: str) -> None:
    error = KeyError("mine")
    call = http if kind == "http" else websocket
    with pytest.raises(KeyError) as caught:
        await call(door(raising(error)), token=ISSUER.token())
    assert caught.value is error


# Frameworks that answer errors themselves


def answering(*first: Message, told: list[Decision]) -> ASGIApp:
    """A framework behind the door that refuses with an answer of its own, in a thread, after these messages."""

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        for message in first:
            await send(message)
        answer = await asyncio.to_thread(scope["jwt_asgi.refuse"], LACKS_A)
        assert told == []
        headers = [*answer.headers, (b"x-framework", b"mine")]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    return JWTMiddleware(app, **ISSUER.options(), realm="api", hooks=[told.append])


async def test_a_framework_that_refuses_sends_the_doors_answer_and_the_hooks_are_told_of_that_alone() -> None:
    told: list[Decision] = []
    answer = await http(answering(told=told), token=ISSUER.token(subject="ann"))
    assert (answer.status, answer.header("x-framework")) == (403, "mine")
    assert (answer.challenge or "").startswith('Bearer realm="api", error="insufficient_scope", ')
    assert answer.json()["error"] == "insufficient_scope"
    (decision,) = told
    assert (decision.outcome, decision.reason, decision.kind) == (Outcome.REFUSED, Reason.SCOPE_MISSING, "http")
    assert decision.token is not None
    assert decision.token.subject == "ann"
    assert decision.seconds > 0


async def test_a_framework_that_has_answered_can_refuse_no_more() -> None:
    told: list[Decision] = []
    with pytest.raises(AccessError) as caught:
        await http(answering(START, told=told), token=ISSUER.token())
    assert caught.value is LACKS_A
    assert [decision.outcome for decision in told] == [Outcome.GRANTED]


async def test_a_framework_that_refuses_and_raises_all_the_same_is_told_of_once() -> None:
    told: list[Decision] = []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        scope["jwt_asgi.refuse"](LACKS_A)
        raise LACKS_A

    answer = await http(JWTMiddleware(app, **ISSUER.options(), hooks=[told.append]), token=ISSUER.token())
    assert answer.status == 403
    assert [decision.outcome for decision in told] == [Outcome.REFUSED]


async def test_the_doors_own_way_to_refuse_replaces_what_was_on_the_scope() -> None:
    inner = Inner()
    forged: dict[str, Any] = {"jwt_asgi.refuse": "forged"}
    await http(door(inner), token=ISSUER.token(), **forged)
    assert callable(inner.scopes[0]["jwt_asgi.refuse"])


# Lifespan, and what else a server may send


async def test_lifespan_passes_through_with_the_servers_own_scope() -> None:
    seen: list[object] = []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        seen.extend([scope, receive])

    scope, receive = {"type": "lifespan", "state": {}}, giving()
    await door(app)(scope, receive, keeping([]))
    assert list(map(id, seen)) == [id(scope), id(receive)]
    assert scope == {"type": "lifespan", "state": {}}


@pytest.mark.parametrize("answer", ["complete", "failed"])
async def test_all_is_closed_when_the_server_is_told_that_the_shutdown_is_over(answer: str) -> None:
    """It waits for nothing after that: what is under way then ends in a traceback."""
    happened: list[str] = []

    class Watched(Verifier):
        async def aclose(self) -> None:
            happened.append("closed")
            await super().aclose()

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": f"lifespan.shutdown.{answer}"})

    async def send(message: Message) -> None:
        happened.append(message["type"])

    guarded = JWTMiddleware(app, verifier=Watched(TrustedIssuer(**ISSUER.options())))
    await guarded({"type": "lifespan"}, giving({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}), send)
    assert happened[:3] == ["lifespan.startup.complete", "closed", f"lifespan.shutdown.{answer}"]


async def test_lifespan_messages_reach_the_application_and_its_answers_the_server() -> None:
    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "lifespan.startup"
        scope["state"]["ready"] = True
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        await send({"type": "lifespan.shutdown.complete"})

    sent: list[Message] = []
    scope: dict[str, Any] = {"type": "lifespan", "state": {}}
    await door(app)(scope, giving({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}), keeping(sent))
    assert sent == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]
    assert scope["state"] == {"ready": True}


async def test_an_application_without_a_lifespan_raises_to_the_server_as_it_would_without_the_door() -> None:
    # the ASGI specification: "If an exception is raised … the server must continue but not send any lifespan events"
    error = RuntimeError("no lifespan here")
    app = door(raising(error))
    with pytest.raises(RuntimeError) as caught:
        await app({"type": "lifespan"}, giving(), keeping([]))
    assert caught.value is error
    inner = Inner()
    assert (await http(door(inner), token=ISSUER.token())).status == 200


async def nothing(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """A lifespan that ends at once."""


async def test_the_door_works_after_its_lifespan_has_ended() -> None:
    verifier = Verifier(TrustedIssuer(**ISSUER.options()))
    await JWTMiddleware(nothing, verifier=verifier)({"type": "lifespan"}, giving(), keeping([]))
    assert (await http(JWTMiddleware(Inner(), verifier=verifier), token=ISSUER.token())).status == 200


@pytest.mark.parametrize("ending", [nothing, raising(RuntimeError("no lifespan here"))])
async def test_the_end_of_the_lifespan_gives_up_a_fetch_that_nobody_waits_for(ending: ASGIApp) -> None:
    events: list[str] = []
    began = asyncio.Event()

    async def fetch(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        events.append("began")
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            events.append("ended")
        raise AssertionError

    verifier = Verifier(TrustedIssuer(issuer=ISSUER.issuer, audience="a", algorithms=["ES256"], fetch=fetch))
    app = JWTMiddleware(ending, verifier=verifier, hooks=[])
    request = asyncio.ensure_future(http(app, token=ISSUER.token(audience="a")))
    await began.wait()
    request.cancel()
    with suppress(asyncio.CancelledError):
        await request
    assert events == ["began"]
    with suppress(RuntimeError):
        await app({"type": "lifespan"}, giving(), keeping([]))
    assert events == ["began", "ended"]


# Starting


async def lives(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """An application with a lifespan."""
    assert (await receive())["type"] == "lifespan.startup"
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    await send({"type": "lifespan.shutdown.complete"})


COMPLETE = [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]


async def lifespan_of(app: ASGIApp) -> list[Message]:
    """What the server is sent while it starts and stops the application."""
    sent: list[Message] = []
    await app({"type": "lifespan"}, giving({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}), keeping(sent))
    return sent


async def down(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
    """An issuer that is out of order."""
    return FetchResponse(503, {}, b"")


async def hanging(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
    """An issuer that never answers."""
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize(("startup", "fetches"), [("lazy", 0), ("warm", 2), ("require", 2), (None, 0)])
async def test_the_start_up_mode_says_whether_keys_are_there_when_the_application_starts(
    startup: Any, fetches: int
) -> None:
    issuer, seen = TestIssuer(algorithms=["ES256"]), list[int]()

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            seen.append(len(issuer.fetched))
            await lives(scope, receive, send)
        else:
            await Inner()(scope, receive, send)

    options: dict[str, Any] = {} if startup is None else {"startup": startup}
    middleware = JWTMiddleware(app, **issuer.options(), **options)
    assert await lifespan_of(middleware) == COMPLETE
    assert seen == [fetches]
    assert middleware.verifier.status()[issuer.issuer].ready is (fetches > 0)
    assert (await http(middleware, token=issuer.token())).status == 200
    assert len(issuer.fetched) == 2


@pytest.mark.parametrize("fetch", [down, hanging])
@pytest.mark.parametrize("startup", ["lazy", "warm"])
async def test_an_issuer_that_is_down_stops_no_start_but_a_required_one(
    fetch: Any, startup: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jwt_asgi.verifier.START_SECONDS", 0.1)
    options: dict[str, Any] = {**ISSUER.options(), "fetch": fetch, "key_hooks": []}
    async with asyncio.timeout(3):
        assert await lifespan_of(JWTMiddleware(lives, **options, startup=startup)) == COMPLETE


@pytest.mark.parametrize("fetch", [down, hanging])
async def test_a_start_that_requires_keys_fails_without_them_and_says_why(
    fetch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jwt_asgi.verifier.START_SECONDS", 0.1)
    options: dict[str, Any] = {**ISSUER.options(), "fetch": fetch, "key_hooks": []}
    called: list[ASGIScope] = []

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        called.append(scope)

    async with asyncio.timeout(3):
        (failed,) = await lifespan_of(JWTMiddleware(app, **options, startup="require"))
    assert failed["type"] == "lifespan.startup.failed"
    assert failed["message"].startswith(
        "jwt-asgi: startup='require', and the keys of https://issuer.test cannot be had: "
    )
    assert failed["message"].endswith("answered 503" if fetch is down else "the issuer has not answered yet")
    assert called == []


async def test_a_failed_start_is_over_as_soon_as_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    # Hypercorn looks whether the lifespan has ended just after it was told, and else goes on to serve
    monkeypatch.setattr("jwt_asgi.verifier.START_SECONDS", 0.02)
    options: dict[str, Any] = {**ISSUER.options(), "fetch": hanging, "key_hooks": []}
    app = JWTMiddleware(lives, **options, startup="require")
    over: list[bool] = []

    async def send(message: Message) -> None:
        asyncio.get_running_loop().call_soon(lambda: over.append(lifespan.done()))

    lifespan = asyncio.create_task(app({"type": "lifespan"}, giving({"type": "lifespan.startup"}), send))
    await lifespan
    await asyncio.sleep(0)
    assert over == [True]


async def test_a_warm_start_of_an_application_without_a_lifespan_is_warm_all_the_same() -> None:
    issuer, error = TestIssuer(algorithms=["ES256"]), RuntimeError("no lifespan here")
    app = JWTMiddleware(raising(error), **issuer.options(), startup="warm")
    with pytest.raises(RuntimeError) as caught:
        await lifespan_of(app)
    assert caught.value is error
    assert app.verifier.status()[issuer.issuer].ready


async def test_a_lifespan_that_does_not_begin_with_its_start_reaches_the_application_as_it_is() -> None:
    issuer, seen = TestIssuer(algorithms=["ES256"]), list[Message]()

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        seen.extend([await receive(), await receive()])

    messages: list[Message] = [{"type": "lifespan.shutdown"}, {"type": "whatever"}]
    middleware = JWTMiddleware(app, **issuer.options(), startup="warm")
    await middleware({"type": "lifespan"}, giving(*messages), keeping([]))
    assert list(map(id, seen)) == list(map(id, messages))
    assert issuer.fetched == []


async def test_a_shutdown_in_the_midst_of_a_fetch_leaves_no_task_and_no_word(caplog: pytest.LogCaptureFixture) -> None:
    before = asyncio.all_tasks()
    options: dict[str, Any] = {**ISSUER.options(), "fetch": hanging}
    app = JWTMiddleware(lives, **options)
    assert not app.verifier.ready()
    await asyncio.sleep(0.01)
    assert len(asyncio.all_tasks() - before) == 1
    assert await lifespan_of(app) == COMPLETE
    assert asyncio.all_tasks() == before
    gc.collect()
    assert caplog.records == []


async def test_the_verifier_in_use_can_be_asked_for_its_status() -> None:
    verifier = Verifier(TrustedIssuer(**ISSUER.options()))
    assert JWTMiddleware(Inner(), verifier=verifier).verifier is verifier
    assert list(door(Inner()).verifier.status()) == ["https://issuer.test"]


@pytest.mark.parametrize("startup", ["", "eager", None, True])
def test_an_unknown_start_up_mode_stops_the_start(startup: object) -> None:
    with pytest.raises(ConfigurationError, match="expected one of lazy, warm, require") as caught:
        build(**GOOD, startup=startup)
    assert caught.value.option == "startup"


@pytest.mark.parametrize("kind", ["webtransport", "HTTP", "", None])
async def test_an_unknown_kind_of_connection_is_never_passed_on(kind: object) -> None:
    inner = Inner()
    with pytest.raises(ConfigurationError, match="expected http, websocket or lifespan; got"):
        await door(inner)({"type": kind, "path": "/", "headers": []}, giving(), keeping([]))
    assert inner.scopes == []


# Options

GOOD: dict[str, Any] = {"issuer": "https://issuer.test", "audience": "https://api.test", "algorithms": ["RS256"]}


def build(**options: object) -> JWTMiddleware:
    """Build the door with options that the types forbid."""
    make: Callable[..., JWTMiddleware] = JWTMiddleware
    return make(Inner(), **options)


@pytest.mark.parametrize("missing", ["issuer", "audience", "algorithms"])
def test_issuer_audience_and_algorithms_have_no_default(missing: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(**{name: value for name, value in GOOD.items() if name != missing})
    assert caught.value.option == missing
    assert str(caught.value) == f"configuration_invalid: {missing}: required; there is no default that would be safe"


def test_all_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        build()
    assert caught.value.option == "issuer, audience, algorithms"


@pytest.mark.parametrize(
    ("options", "option", "text"),
    [
        ({"issuer": ""}, "issuer", "expected the issuer's identifier, exactly as in `iss`; got ''"),
        ({"issuer": None}, "issuer", "required; there is no default that would be safe"),
        ({"issuer": 7}, "issuer", "expected the issuer's identifier, exactly as in `iss`; got 7"),
        ({"issuer": "https://issuer.test "}, "issuer", "there is white space around"),
        ({"issuer": "http://issuer.test"}, "issuer", "expected https"),
        ({"audience": ""}, "audience", "To take tokens for anyone, write Skip.AUDIENCE_CHECK"),
        ({"audience": None}, "audience", "required; there is no default that would be safe"),
        ({"audience": []}, "audience", "To take tokens for anyone, write Skip.AUDIENCE_CHECK"),
        ({"algorithms": "RS256"}, "algorithms", "expected a list, as [\"RS256\"]; got the string 'RS256'"),
        ({"algorithms": []}, "algorithms", "expected the algorithms that the issuer signs with"),
        ({"algorithms": ["none"]}, "algorithms", "'none' cannot be allowed here"),
        ({"algorithms": ["HS256"]}, "algorithms", "HMAC needs keys=SharedSecret(...)"),
        ({"jwks_uri": "http://issuer.test/jwks"}, "jwks_uri", "expected https"),
        ({"keys": "secret"}, "keys", "expected StaticKeys or SharedSecret; got str"),
        ({"profile": "GENERIC"}, "profile", "expected a Profile, as Profile.GENERIC"),
        ({"leeway": 301}, "leeway", "expected a number of seconds from 0 to 300; got 301"),
        ({"leeway": -1}, "leeway", "expected a number of seconds from 0 to 300; got -1"),
        ({"max_age": "60"}, "max_age", "expected a number of seconds from 0 to 1e+09; got '60'"),
        ({"max_lifetime": True}, "max_lifetime", "expected a number of seconds from 0 to 1e+09; got True"),
        ({"exempt": "/healthz"}, "exempt", 'expected a list of paths, as ["/healthz", "/docs/*"]; got \'/healthz\''),
        ({"realm": 'a"b'}, "realm", "expected printable ASCII without quotes and backslashes"),
        ({"realm": "a\r\nb"}, "realm", "expected printable ASCII without quotes and backslashes"),
        ({"realm": "ä"}, "realm", "expected printable ASCII without quotes and backslashes"),
        ({"realm": 7}, "realm", "expected printable ASCII without quotes and backslashes; got 7"),
    ],
)
def test_a_wrong_option_stops_the_start_and_says_what_to_write(
    options: dict[str, object], option: str, text: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(**{**GOOD, **options})
    assert caught.value.option == option
    assert caught.value.reason is Reason.CONFIGURATION_INVALID
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"anonymous": "false"},
        {"anonymous": 1},
        {"anonymous": None},
        {"exempt": None},
        {"exempt": [7]},
        {"hooks": [7]},
        {"hooks": print},
        {"key_caching": 600},
        {"fetch": "https://issuer.test"},
        {"verifier": "https://issuer.test"},
    ],
)
def test_an_option_of_the_wrong_type_stops_the_start(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(**(options if "verifier" in options else {**GOOD, **options}))
    assert caught.value.option in options


def test_a_trusted_issuer_in_the_place_of_a_verifier_stops_the_start() -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(verifier=TrustedIssuer(**GOOD))
    assert caught.value.option == "verifier"


def test_an_unknown_option_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="audiences: there is no such option here; the options are"):
        build(**GOOD, audiences=["https://other.test"])


@pytest.mark.parametrize(
    "pattern", ["healthz", "", "*", "/docs*", "/a/*/b", "/**", "get /x", "GET healthz", "GET  /x", "GET,PUT /x", " /x"]
)
def test_an_exempt_pattern_that_would_not_mean_what_it_says_stops_the_start(pattern: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(**GOOD, exempt=["/ok", pattern])
    assert caught.value.option == "exempt"
    assert str(caught.value).endswith(f'expected "/path", "/path/*" or "GET /path"; got {pattern!r}')


def test_a_verifier_stands_in_the_place_of_the_issuers_options_and_not_beside_them() -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(verifier=Verifier(TrustedIssuer(**GOOD)), audience="https://api.test", leeway=0)
    assert caught.value.option == "verifier"
    assert "expected no audience, leeway beside it: they belong to the verifier and its issuers" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "status"), [({}, 401), ({"key_caching": KeyCaching(ttl=900)}, 401), ({"leeway": 300}, 200)]
)
async def test_the_issuers_options_are_those_of_trusted_issuer(options: dict[str, Any], status: int) -> None:
    app = build(**{**ISSUER.options(), **options})
    assert (await http(app, token=ISSUER.token(expires_in=-100))).status == status


async def test_lists_are_copied_so_that_changing_them_later_changes_nothing() -> None:
    issuer = TestIssuer(algorithms=["ES256", "Ed25519"])
    audience, algorithms, exempt, decisions = ["https://api.test"], ["ES256"], ["/a"], list[Decision]()
    hooks: list[Callable[[Decision], None]] = [decisions.append]
    app = JWTMiddleware(
        Inner(),
        issuer=issuer.issuer,
        audience=audience,
        algorithms=algorithms,
        fetch=issuer.fetch,
        exempt=exempt,
        hooks=hooks,
    )
    audience.append("https://other.test")
    algorithms.append("Ed25519")
    exempt.append("/b")
    hooks.clear()
    assert (await http(app, path="/a")).status == 200
    assert (await http(app, path="/b")).status == 401
    assert (await http(app, token=issuer.token(audience="https://other.test"))).status == 401
    assert (await http(app, token=issuer.token(algorithm="Ed25519"))).status == 401
    assert len(decisions) == 4


async def test_one_verifier_serves_several_doors() -> None:
    issuer = TestIssuer(algorithms=["ES256"])
    verifier = Verifier(TrustedIssuer(**issuer.options()))
    for app in (JWTMiddleware(Inner(), verifier=verifier), JWTMiddleware(Inner(), verifier=verifier)):
        assert (await http(app, token=issuer.token())).status == 200
    assert len(issuer.fetched) == 2


async def test_a_door_with_a_shared_secret_refuses_a_token_of_a_public_key() -> None:
    app = JWTMiddleware(
        Inner(), issuer=ISSUER.issuer, audience=ISSUER.audience, algorithms=["HS256"], keys=SharedSecret("s" * 32)
    )
    assert (await http(app, token=ISSUER.token())).status == 401
