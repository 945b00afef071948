"""At the door: every token is held against what its issuer has revoked, those that were verified before included."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest
import quart as quart_itself

from jwt_asgi import (
    ConfigurationError,
    JWTMiddleware,
    KeysUnavailable,
    Reason,
    TrustedIssuer,
    Verifier,
    fastapi,
    litestar,
    quart,
    starlette,
)
from jwt_asgi.access import Grants
from jwt_asgi.apps import doors
from jwt_asgi.health import HealthApp
from jwt_asgi.instrumentation import Decision
from jwt_asgi.revocation import FromStore, RevocationFeed
from jwt_asgi.testing import SigningKeys, TestIssuer
from jwt_asgi.types import Receive, Send
from tests.asgi import Answer, http
from tests.revocation.ledger import ISSUER, Ledger, until

KEYS = SigningKeys()
CLAIMS = {"sid": "session-1", "jti": "token-1"}


@pytest.fixture
def issuer() -> TestIssuer:
    return TestIssuer(ISSUER, algorithms=["ES256"], keys=KEYS)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
async def feed(ledger: Ledger) -> AsyncIterator[RevocationFeed]:
    feed = RevocationFeed(FromStore(ledger.entries), issuer=ISSUER, on_stale="deny", interval=0.02)
    yield feed
    await feed.aclose()


class Later:
    """The machine's steady clock, and so much later."""

    seconds = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.seconds


async def application(scope: Any, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


class Door:
    """A protected application."""

    def __init__(self, feed: RevocationFeed, issuer: TestIssuer, **options: Any) -> None:
        cached = options.pop("token_cache", 100)
        self.verifier = Verifier(TrustedIssuer(**{**issuer.options(), **options}), revocation=feed, token_cache=cached)
        self.told: list[Decision] = []
        self.app = JWTMiddleware(application, verifier=self.verifier, hooks=[self.told.append])

    async def ask(self, token: str) -> Answer:
        return await http(self.app, token=token)


@pytest.mark.parametrize("token_cache", [0, 100])
@pytest.mark.parametrize("kind", ["s", "j", "u", "c", "k"])
async def test_a_token_that_was_good_is_refused_when_it_is_revoked_by_any_of_five(
    kind: Any, token_cache: int, issuer: TestIssuer, ledger: Ledger, feed: RevocationFeed
) -> None:
    door = Door(feed, issuer, token_cache=token_cache)
    token = issuer.token(subject="ada", client_id="app", claims=CLAIMS)
    [key] = issuer.jwks()["keys"]
    assert [(await door.ask(token)).status for _ in range(3)] == [200] * 3
    value = {"s": "session-1", "j": "token-1", "u": "ada", "c": "app", "k": key["kid"]}[kind]
    ledger.revoke(value, kind)
    await until(lambda: feed.status().entries == 1)
    answers = [await door.ask(token) for _ in range(2)]
    assert [answer.status for answer in answers] == [401, 401]
    assert answers[0].challenge is not None
    assert 'error="invalid_token"' in answers[0].challenge
    assert door.told[-1].reason is Reason.TOKEN_REVOKED
    other = TestIssuer(ISSUER, algorithms=["ES256"], keys=KEYS)
    fine = other.token(subject="bob", client_id="other", claims={"sid": "session-2", "jti": "token-2"})
    assert (await door.ask(fine)).status == (401 if kind == "k" else 200)


async def test_a_user_who_logs_in_again_is_let_in(issuer: TestIssuer, ledger: Ledger, feed: RevocationFeed) -> None:
    door = Door(feed, issuer, leeway=30.0)
    before = issuer.token(subject="ada", claims={"jti": "1"})
    ledger.revoke("ada", "u")
    later = TestIssuer(ISSUER, algorithms=["ES256"], keys=KEYS, clock=lambda: ledger.log[0].before + 2)
    assert (await door.ask(before)).status == 401
    assert (await door.ask(later.token(subject="ada", claims={"jti": "2"}))).status == 200


async def test_a_cut_feed_answers_503_to_cached_tokens_too_and_then_recovers(
    issuer: TestIssuer, ledger: Ledger
) -> None:
    clock = Later()
    feed = RevocationFeed(
        FromStore(ledger.entries), issuer=ISSUER, on_stale="deny", interval=0.02, clock=clock, timeout=120.0
    )
    door, token = Door(feed, issuer), issuer.token()
    assert (await door.ask(token)).status == 200
    assert door.verifier.ready()
    ledger.error = OSError("cut")
    await until(lambda: feed.status().failures > 0)
    clock.seconds = 61.0
    answer = await door.ask(token)
    assert (answer.status, answer.challenge) == (503, None)
    assert answer.header("retry-after") is not None
    assert "was revoked cannot be told" in answer.json()["error_description"]
    assert door.told[-1].reason is Reason.REVOCATION_UNAVAILABLE
    assert not door.verifier.ready()
    ledger.error = None
    await until(feed.ready)
    assert (await door.ask(token)).status == 200
    await feed.aclose()


async def test_tokens_of_another_issuer_are_not_judged_by_it(
    issuer: TestIssuer, ledger: Ledger, feed: RevocationFeed
) -> None:
    other = TestIssuer("https://other.test", algorithms=["ES256"], keys=KEYS)
    ledger.error = OSError("cut")
    ledger.revoke("ada", "u")
    verifier = Verifier(TrustedIssuer(**issuer.options()), TrustedIssuer(**other.options()), revocation=[feed])
    assert (await verifier.verify(other.token(subject="ada"))).subject == "ada"
    with pytest.raises(KeysUnavailable):
        await verifier.verify(issuer.token(subject="ada"))


async def test_a_token_whose_grants_are_asked_for_is_judged_each_time(
    issuer: TestIssuer, ledger: Ledger, feed: RevocationFeed
) -> None:
    door = Door(feed, issuer, grants=lambda _: Grants(scopes=["a"]))
    token = issuer.token(claims=CLAIMS)
    assert (await door.ask(token)).status == 200
    ledger.revoke("session-1")
    await until(lambda: feed.status().entries == 1)
    assert (await door.ask(token)).status == 401


async def test_the_start_waits_for_the_feed_and_fails_without_it_where_it_is_required(
    issuer: TestIssuer, ledger: Ledger, feed: RevocationFeed
) -> None:
    verifier = Verifier(TrustedIssuer(**issuer.options()), revocation=feed)
    assert verifier.revocation == (feed,)
    await verifier.start("lazy")
    assert ledger.reads == []
    ledger.error = OSError("cut")
    await verifier.start("warm")
    await feed.aclose()
    with pytest.raises(KeysUnavailable, match="revocation_unavailable"):
        await verifier.start("require")
    ledger.error = None
    await until(feed.ready)
    await verifier.start("require")
    await verifier.aclose()


def _in_quart(**options: Any) -> Any:
    app = quart_itself.Quart(__name__)
    quart.JWT(app, **options)
    [door] = doors(app)
    return door


@pytest.mark.parametrize(
    "face",
    [partial(JWTMiddleware, application), fastapi.JWTBearer, starlette.JWTAuthBackend, litestar.JWTPlugin, _in_quart],
    ids=["middleware", "fastapi", "starlette", "litestar", "quart"],
)
def test_the_door_and_every_face_take_a_feed_beside_the_options_of_the_issuer(
    face: Callable[..., Any], issuer: TestIssuer
) -> None:
    feed = RevocationFeed(FromStore(Ledger().entries), issuer=ISSUER, on_stale="deny")
    assert face(**issuer.options(), revocation=feed).verifier.revocation == (feed,)
    with pytest.raises(ConfigurationError, match="expected no revocation beside it"):
        face(verifier=Verifier(TrustedIssuer(**issuer.options())), revocation=feed)


async def test_the_probe_shows_how_old_the_feed_is_with_its_details(
    issuer: TestIssuer, ledger: Ledger, feed: RevocationFeed
) -> None:
    verifier = Verifier(TrustedIssuer(**issuer.options()), revocation=feed)
    await verifier.start("require")
    answer = await http(HealthApp(verifier, details=True), path="/ready")
    assert answer.status == 200
    [shown] = answer.json()["revocation"]
    assert (shown["issuers"], shown["fresh"], shown["entries"]) == ([ISSUER], True, 0)
    assert 0 <= shown["age"] < 60
    assert "revocation" not in (await http(HealthApp(verifier), path="/ready")).json()
    without = HealthApp(Verifier(TrustedIssuer(**issuer.options())), details=True)
    assert "revocation" not in (await http(without, path="/ready")).json()


async def test_a_feed_of_a_stranger_or_two_of_one_issuer_stop_the_start(
    issuer: TestIssuer, feed: RevocationFeed
) -> None:
    trusted = TrustedIssuer(**issuer.options())
    strange = RevocationFeed(FromStore(Ledger().entries), issuer="https://typo.test", on_stale="allow")
    for revocation, detail in (
        (7, "expected RevocationFeed"),
        (strange, "https://typo.test is none of the issuers"),
        ([feed, feed], "one feed for each issuer"),
        (["feed"], "expected RevocationFeed"),
    ):
        with pytest.raises(ConfigurationError, match=detail):
            Verifier(trusted, revocation=revocation)  # type: ignore[arg-type]
