"""Re-authentication: a WebSocket goes on with a new token of the same identity, and with no other."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from jwt_asgi import (
    ConfigurationError,
    Decision,
    JWTMiddleware,
    Reason,
    Scope,
    TrustedIssuer,
    Verifier,
)
from jwt_asgi.access import AnyToken
from jwt_asgi.instrumentation import Outcome
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIScope, FetchResponse, Message, Receive, Send
from tests.connection import CLOSE, DISCONNECT, EPOCH, ISSUER, Clock, Connection, expiring, open_socket, until

pytestmark = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
OTHER = TestIssuer("https://other.test", algorithms=["ES256"], clock=lambda: EPOCH)


def find(message: Message) -> str | None:
    """A message "token x" brings the token x."""
    text: str = message.get("text") or ""
    return text.removeprefix("token ") if text.startswith("token ") else None


class Talk:
    """An application that keeps what it hears, and as whom it hears it."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self.tokens: list[str | None] = []
        self.scope: ASGIScope = {}

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        self.scope = scope
        await open_socket(receive, send)
        while not self.heard or self.heard[-1]["type"] != "websocket.disconnect":
            self.heard.append(await receive())
            self.tokens.append(scope["jwt"].token_id)
            assert scope["user"].token is scope["jwt"]

    @property
    def texts(self) -> list[str]:
        return [message["text"] for message in self.heard if "text" in message]


async def talk(*texts: str, token: str | None = None, life: float = 100, **options: Any) -> tuple[Talk, Connection]:
    """Send these texts, and wait until the connection is closed."""
    app = Talk()
    connection = Connection("websocket", token or ISSUER.token())
    for text in texts:
        connection.text(text)
    await connection.run(expiring(app, life=life, **{"reauthenticate": find, "hooks": [], **options}))
    return app, connection


def closed(connection: Connection) -> bool:
    return connection.sent[-1] == CLOSE


async def test_a_new_token_takes_the_place_of_the_old_one_and_is_not_shown_to_the_application() -> None:
    decisions: list[Decision] = []
    old, new = ISSUER.token(claims={"jti": "old"}), ISSUER.token(claims={"jti": "new"}, scope="more")
    connection, app = Connection("websocket", old), Talk()
    for text in ("one", f"token {new}", "two"):
        connection.text(text)
    connection.arrive({"type": "websocket.disconnect", "code": 1001})
    await connection.run(expiring(app, life=100, reauthenticate=find, hooks=[decisions.append]))
    assert app.texts == ["one", "two"]
    assert app.tokens == ["old", "new", "new"]
    assert app.scope["auth"].scopes == ["authenticated", "more"]
    assert [(d.outcome, d.kind, d.token.token_id if d.token else "") for d in decisions] == [
        (Outcome.GRANTED, "websocket", "old"),
        (Outcome.GRANTED, "websocket", "new"),
    ]
    assert not closed(connection)


async def test_the_connection_lives_as_long_as_the_new_token_which_may_be_longer() -> None:
    app, connection = Talk(), Connection("websocket", ISSUER.token())
    connection.text(f"token {ISSUER.token(claims={'exp': EPOCH + 900})}")
    with anyio.move_on_after(0.2) as still_open:
        await connection.run(expiring(app, life=0.05, reauthenticate=find))
    assert still_open.cancelled_caught


async def test_the_connection_lives_as_long_as_the_new_token_which_may_be_shorter() -> None:
    short = ISSUER.token(claims={"exp": EPOCH + 200.2})
    app, connection = await talk(f"token {short}", "one")
    assert closed(connection)
    assert app.heard[-1] == DISCONNECT["websocket"]
    assert app.texts == ["one"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"subject": "bob"}, Reason.IDENTITY_CHANGED),
        ({"client_id": "another"}, Reason.IDENTITY_CHANGED),
        ({"without": ["client_id"]}, Reason.IDENTITY_CHANGED),
        ({"without": ["sub"]}, Reason.IDENTITY_CHANGED),
        ({"claims": {"exp": EPOCH + 1}}, Reason.TOKEN_EXPIRED),
        ({"audience": "https://another.test"}, Reason.AUDIENCE_MISMATCH),
    ],
)
async def test_any_other_token_closes_the_connection(changes: dict[str, Any], reason: Reason) -> None:
    decisions: list[Decision] = []
    text = f"token {ISSUER.token(**changes)}"
    app, connection = await talk("one", text, "two", hooks=[decisions.append])
    assert closed(connection)
    assert connection.types == ["accept", "close"]
    assert (app.texts, app.heard[-1]) == (["one"], DISCONNECT["websocket"])
    assert [(d.outcome, d.reason, d.kind) for d in decisions[1:]] == [(Outcome.REFUSED, reason, "websocket")]
    assert (decisions[1].token is not None) == (reason is Reason.IDENTITY_CHANGED), "where it is a good one"


async def test_what_is_no_token_at_all_closes_the_connection() -> None:
    _, connection = await talk("token not-a-token")
    assert closed(connection)
    _, connection = await talk("token ")
    assert closed(connection)


async def test_tokens_of_nobody_cannot_be_told_apart_and_so_not_renewed() -> None:
    nobody = ISSUER.token(without=["sub", "client_id"])
    _, connection = await talk(f"token {nobody}", token=nobody)
    assert closed(connection)


@pytest.mark.parametrize(("scope", "admitted"), [("chat", True), ("", False)])
async def test_below_a_mount_a_new_token_is_held_against_the_rules_of_the_path_that_was_asked_for(
    scope: str, admitted: bool
) -> None:
    talk, connection = Talk(), Connection("websocket", ISSUER.token(scope="chat"), path="/chat/room/a")
    connection.text(f"token {ISSUER.token(scope=scope)}")
    connection.text("one")
    connection.arrive({"type": "websocket.disconnect", "code": 1001})
    rules = {"/chat/*": Scope("chat"), "/*": AnyToken()}
    app = Starlette(routes=[Mount("/chat", Mount("/room", talk))])
    await connection.run(expiring(app, life=100, reauthenticate=find, rules=rules))
    assert talk.texts == (["one"] if admitted else [])
    assert closed(connection) is not admitted
    only = {"/chat/*": Scope("chat")}
    app = Starlette(routes=[Mount("/chat", Mount("/room", Talk()))])
    again = Connection("websocket", ISSUER.token(scope="chat"), path="/chat/room/a")
    again.text(f"token {ISSUER.token(scope=scope)}")
    again.arrive({"type": "websocket.disconnect", "code": 1001})
    await again.run(expiring(app, life=100, reauthenticate=find, rules=only))
    assert closed(again) is not admitted


async def test_a_token_of_another_trusted_issuer_closes_the_connection() -> None:
    issuers = TrustedIssuer(**ISSUER.options()), TrustedIssuer(**OTHER.options())
    app, connection = Talk(), Connection("websocket", ISSUER.token())
    connection.text(f"token {OTHER.token()}")
    door = JWTMiddleware(app, verifier=Verifier(*issuers, clock=Clock()), reauthenticate=find, hooks=[])
    await connection.run(door)
    assert closed(connection)


async def test_while_the_issuer_is_down_the_connection_goes_on_until_its_own_token_expires() -> None:
    decisions: list[Decision] = []
    issuer = TestIssuer(algorithms=["ES256"], clock=lambda: EPOCH)
    down: list[bool] = []
    aged = [0.0]

    async def fetch(url: str, **options: Any) -> FetchResponse:
        if down:
            raise OSError("down")
        return await issuer.fetch(url, **options)

    class Hasty(Talk):
        async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
            aged[0] = 90_000.0
            down.append(True)
            await super().__call__(scope, receive, send)

    options = issuer.options() | {"fetch": fetch}
    trusted = TrustedIssuer(**options, leeway=0, key_hooks=[], key_clock=lambda: aged[0])
    clock = Clock(300 - 0.6)
    app, connection = Hasty(), Connection("websocket", issuer.token())
    door = JWTMiddleware(app, verifier=Verifier(trusted, clock=clock), reauthenticate=find, hooks=[decisions.append])
    async with anyio.create_task_group() as group:

        async def renew() -> None:
            await until(lambda: app.scope)
            connection.text(f"token {issuer.token(claims={'exp': EPOCH + 900})}")
            connection.text("one")

        group.start_soon(renew)
        await connection.run(door)
    assert [decision.outcome for decision in decisions] == [Outcome.GRANTED, Outcome.UNAVAILABLE]
    assert app.texts == ["one"]
    assert closed(connection)


@pytest.mark.parametrize("answer", [7, b"token", True])
async def test_a_function_that_fails_closes_the_connection_and_is_logged(
    answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(message: Message) -> str | None:
        if answer is True:
            raise KeyError("a bug")
        return answer  # type: ignore[return-value]

    with caplog.at_level(logging.ERROR, "jwt_asgi"):
        app, connection = await talk("one", reauthenticate=fail)
    assert closed(connection)
    assert app.texts == []
    assert "reauthenticate failed, and the connection is closed" in caplog.text


async def test_without_the_function_every_message_is_the_applications() -> None:
    token = f"token {ISSUER.token()}"
    app, _ = await talk(token, life=0.1, reauthenticate=None)
    assert app.texts == [token]


async def test_a_connection_without_a_token_gets_none_by_a_message() -> None:
    app, connection = Anonymous(), Connection("websocket", None)
    connection.text(f"token {ISSUER.token()}")
    connection.arrive({"type": "websocket.disconnect", "code": 1001})
    await connection.run(expiring(app, anonymous=True, reauthenticate=find))
    assert app.heard[0].startswith("token ")


class Anonymous:
    def __init__(self) -> None:
        self.heard: list[str] = []

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        await open_socket(receive, send)
        while (message := await receive())["type"] == "websocket.receive":
            assert scope["jwt"] is None
            self.heard.append(message["text"])


async def find_later(message: Message) -> str | None:
    return find(message)


class FindsLater:
    async def __call__(self, message: Message) -> str | None:
        return find(message)


@pytest.mark.parametrize("function", ["token", find_later, FindsLater()])
def test_the_function_is_one_that_is_not_async(anyio_backend: str, function: Any) -> None:
    with pytest.raises(ConfigurationError, match="reauthenticate: expected a function that is not async"):
        expiring(Talk(), reauthenticate=function)


def test_the_function_is_of_no_use_where_nothing_ends(anyio_backend: str) -> None:
    with pytest.raises(ConfigurationError, match="reauthenticate: expected no end_at_expiry=False"):
        expiring(Talk(), reauthenticate=find, end_at_expiry=False)
