"""While the kit's issuer stands in, feeds of revocations know what the test has revoked, and ask nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from jwt_asgi import ConfigurationError, JWTMiddleware, Reason, TrustedIssuer, Verifier
from jwt_asgi._core.revocation import Entry
from jwt_asgi.instrumentation import Decision
from jwt_asgi.revocation import FromStore, RevocationFeed
from jwt_asgi.revocation.feed import OnStale
from jwt_asgi.testing import SigningKeys, TestIssuer
from tests.asgi import http
from tests.testing.doors import ISSUER, OPTIONS, door, tell

KEYS = SigningKeys()
OTHER = "https://other.example.com"
CLAIMS = {"sid": "session-1"}
asked: list[int] = []


async def entries(after: int, /, *, limit: int) -> Sequence[Entry]:
    asked.append(after)
    raise ConnectionRefusedError


def feed_of(on_stale: OnStale = "deny", issuers: Sequence[str] = (ISSUER,)) -> RevocationFeed:
    return RevocationFeed(FromStore(entries), issuer=issuers, on_stale=on_stale, interval=0.05)


FEED = feed_of()
told: list[Decision] = []
APP = door(revocation=FEED, hooks=[told.append])


@pytest.fixture
def issuer() -> Iterator[TestIssuer]:
    asked.clear()
    with TestIssuer.of(APP, keys=KEYS).standing_in() as issuer:
        yield issuer


async def status(token: str, app: JWTMiddleware = APP) -> int:
    return (await http(app, token=token)).status


async def test_an_application_with_a_feed_lets_good_tokens_in_and_asks_nobody(issuer: TestIssuer) -> None:
    assert [await status(issuer.token()) for _ in range(3)] == [200] * 3
    await APP.verifier.start("require")
    assert APP.verifier.ready()
    assert FEED.status().fresh
    assert FEED.status().age == 0
    await APP.verifier.aclose()
    assert asked == []


@pytest.mark.parametrize("by", ["token", "session", "subject", "client", "key"])
async def test_what_is_revoked_is_refused_at_once_as_in_production(issuer: TestIssuer, by: str) -> None:
    [key] = issuer.jwks()["keys"]
    token, again = (issuer.token(subject="ada", client_id="app", claims=CLAIMS) for _ in range(2))
    other = issuer.token(subject="bob", client_id="other")
    assert [await status(one) for one in (token, again, other)] == [200, 200, 200]
    value = {"token": token, "session": "session-1", "subject": "ada", "client": "app", "key": key["kid"]}[by]
    issuer.revoke(**{by: value})
    answer = await http(APP, token=token)
    assert answer.status == 401
    assert 'error="invalid_token"' in str(answer.challenge)
    assert told[-1].reason is Reason.TOKEN_REVOKED
    assert await status(again) == (200 if by == "token" else 401)
    assert await status(other) == (401 if by == "key" else 200)
    assert FEED.status().counters["revoked"] >= 1


async def test_a_user_who_logs_in_a_second_later_is_let_in(issuer: TestIssuer) -> None:
    issuer.revoke(subject="ada")
    assert await status(issuer.token(subject="ada")) == 401
    issuer.travel(seconds=1)
    assert await status(issuer.token(subject="ada")) == 200


async def test_nothing_of_it_is_left_after_the_block(issuer: TestIssuer) -> None:
    token = issuer.token(claims=CLAIMS)
    with TestIssuer.of(APP, keys=KEYS).standing_in() as inner:
        inner.revoke(session="session-1")
        assert await status(inner.token(claims=CLAIMS)) == 401
    assert await status(token) == 200
    with issuer.travelling(hours=1):
        issuer.revoke(session="session-1")
        assert await status(issuer.token(claims=CLAIMS)) == 401
    assert await status(token) == 200
    issuer.revoke(session="session-1")
    with issuer.travelling(hours=1):
        assert await status(issuer.token(claims=CLAIMS)) == 401
    assert await status(token) == 401


async def test_a_feed_is_its_own_again_after_the_block() -> None:
    asked.clear()
    feed = feed_of()
    app = door(revocation=feed)
    with TestIssuer.of(app, keys=KEYS).standing_in() as issuer:
        assert await status(issuer.token(), app) == 200
    assert "_poller" not in vars(RevocationFeed)
    assert await feed.start() is not None
    assert asked == [0]
    await feed.aclose()


async def test_a_feed_of_two_issuers_hears_both_and_one_of_another_issuer_asks_its_source() -> None:
    asked.clear()
    feed, own = feed_of(issuers=[ISSUER, OTHER]), feed_of(issuers=["https://third.example.com"])
    trusted = [TrustedIssuer(**{**OPTIONS, "issuer": name}) for name in (ISSUER, OTHER, *own.issuers)]
    verifier = Verifier(*trusted, revocation=[feed, own])
    app = JWTMiddleware(tell, verifier=verifier)
    issuers = [TestIssuer.of(app, issuer=issuer.policy.issuer, keys=KEYS) for issuer in trusted]
    with issuers[0].standing_in() as one, issuers[1].standing_in() as other:
        one.revoke(session="a")
        other.revoke(session="b")
        tokens = [made.token(claims={"sid": sid}) for made in (one, other) for sid in ("a", "b")]
        assert [await status(token, app) for token in tokens] == [401, 200, 200, 401]
        assert asked == []
    with issuers[2].standing_in() as third:
        assert await status(third.token(), app) == 200
        third.revoke(session="a")
        assert feed.status().entries == 0 < own.status().entries
    await verifier.aclose()


async def test_an_outage_makes_it_stale_in_time_and_what_is_revoked_meanwhile_is_heard_after_it(
    issuer: TestIssuer,
) -> None:
    token = issuer.token(claims=CLAIMS)
    assert await status(token) == 200
    with issuer.outage():
        issuer.revoke(session="session-1")
        assert await status(token) == 200
        issuer.travel(seconds=61)
        answer = await http(APP, token=token)
        assert answer.status == 503
        assert answer.header("retry-after") is not None
        assert not APP.verifier.ready()
        assert FEED.status().stale_in == 0
    assert await status(token) == 401
    with issuer.outage(cold=True):
        assert FEED.status().age is None
        assert FEED.status().entries == 0


def test_an_open_websocket_is_closed(issuer: TestIssuer) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            await send({"type": "websocket.send", "text": "echo"})

    protected = JWTMiddleware(app, **OPTIONS, revocation=FEED)
    headers = {"authorization": f"Bearer {issuer.token(claims=CLAIMS)}"}
    with TestClient(protected).websocket_connect("/", headers=headers) as socket:
        socket.send_text("hello")
        assert socket.receive_text() == "echo"
        issuer.revoke(session="session-1")
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert closed.value.code == 1008


@pytest.mark.parametrize("named", [{}, {"session": "a", "subject": "b"}, {"session": ""}, {"client": 7}])
def test_one_thing_is_revoked_at_a_time(issuer: TestIssuer, named: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected one of token, session, subject, client, key"):
        issuer.revoke(**named)


def test_a_token_without_a_name_of_its_own_cannot_be_revoked(issuer: TestIssuer) -> None:
    with pytest.raises(ConfigurationError, match="expected a token with `jti`"):
        issuer.revoke(issuer.token(without=["jti"]))


def test_it_must_stand_in() -> None:
    with pytest.raises(ConfigurationError, match="standing_in"):
        TestIssuer.of(APP, keys=KEYS).revoke(session="a")
