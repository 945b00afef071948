"""While the kit's issuer stands in, an application as it is in production has its keys from it, and nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import trio

from jwt_asgi import (
    ConfigurationError,
    HttpxFetch,
    JWTMiddleware,
    KeyCaching,
    KeysUnavailable,
    Reason,
    SharedSecret,
    StaticKeys,
    TokenError,
    TrustedIssuer,
    Verifier,
)
from jwt_asgi._keys.events import KeyEvent, KeyEventKind
from jwt_asgi._keys.remote import RemoteKeys
from jwt_asgi._keys.static import FixedKeys
from jwt_asgi.tenants import TrustedTenants
from jwt_asgi.testing import SigningKeys, TestIssuer
from jwt_asgi.types import FetchResponse
from tests.asgi import http
from tests.testing.doors import AUDIENCE, ISSUER, OPTIONS, door, tell

KEYS = SigningKeys()
GLOBAL_APP = door()
"""As an application's module has it: every test, with an event loop of its own, has this one."""


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URLs that reached the network."""
    urls: list[str] = []

    async def refuse(self: HttpxFetch, url: str, **_: Any) -> FetchResponse:
        urls.append(url)
        raise ConnectionRefusedError

    monkeypatch.setattr(HttpxFetch, "__call__", refuse)
    return urls


@pytest.fixture
def issuer() -> Iterator[TestIssuer]:
    """In place of the global application's issuer."""
    with TestIssuer.of(GLOBAL_APP, keys=KEYS).standing_in() as issuer:
        yield issuer


async def status(app: JWTMiddleware, token: str) -> int:
    return (await http(app, token=token)).status


# In place of the real one


@pytest.mark.parametrize("_", [1, 2, 3])
async def test_an_application_of_a_module_works_in_the_event_loop_of_each_test(
    issuer: TestIssuer, asked: list[str], _: int
) -> None:
    answer = await http(GLOBAL_APP, token=issuer.token(subject="ada"))
    assert (answer.status, answer.json()["subject"]) == (200, "ada")
    assert issuer.fetched == [f"{ISSUER}.well-known/oauth-authorization-server".replace("//.w", "/.w"), issuer.jwks_uri]
    assert asked == []


def test_each_request_may_have_an_event_loop_of_its_own(issuer: TestIssuer) -> None:
    token = issuer.token()
    assert [asyncio.run(status(GLOBAL_APP, token)) for _ in range(3)] == [200, 200, 200]
    assert trio.run(status, GLOBAL_APP, token) == 200
    issuer.rotate()
    assert trio.run(status, GLOBAL_APP, issuer.token()) == 200
    assert len(issuer.fetched) == 3


async def test_it_does_not_matter_whether_the_application_is_made_before_or_within_the_block(
    issuer: TestIssuer,
) -> None:
    assert await status(door(), issuer.token()) == 200
    assert (await Verifier(TrustedIssuer(**OPTIONS)).verify(issuer.token())).issuer == ISSUER


async def test_an_application_that_names_its_key_set_gets_it_from_there(issuer: TestIssuer, asked: list[str]) -> None:
    app = door(jwks_uri="https://keys.example.com/set.json")
    assert await status(app, issuer.token()) == 200
    assert (issuer.fetched, asked) == (["https://keys.example.com/set.json"], [])


async def test_an_issuer_made_by_hand_stands_in_for_its_name(asked: list[str]) -> None:
    with TestIssuer(ISSUER, audience=AUDIENCE, algorithms=["ES256"]).standing_in() as issuer:
        assert await status(GLOBAL_APP, issuer.token()) == 200
    assert asked == []


async def test_another_issuer_is_asked_where_it_is(issuer: TestIssuer, asked: list[str]) -> None:
    app = door(issuer="https://other.example.com", key_caching=KeyCaching(timeout=0.5))
    other = TestIssuer.of(app)
    assert await status(app, other.token()) == 503
    assert {url.split("/")[2] for url in asked} == {"other.example.com"}
    assert issuer.fetched == []


async def test_two_issuers_stand_in_at_once_and_neither_signs_for_the_other() -> None:
    other = {**OPTIONS, "issuer": "https://other.example.com"}
    verifier = Verifier(TrustedIssuer(**OPTIONS), TrustedIssuer(**other))
    one, two = (TestIssuer.of(verifier, issuer=name, keys=KEYS) for name in (ISSUER, "https://other.example.com"))
    with one.standing_in(), two.standing_in():
        assert (await verifier.verify(one.token())).issuer == ISSUER
        assert (await verifier.verify(two.token())).issuer == "https://other.example.com"
        with pytest.raises(TokenError) as caught:
            await verifier.verify(one.token(claims={"iss": two.issuer}))
        assert caught.value.reason is Reason.SIGNATURE_INVALID


async def test_of_two_for_one_name_the_inner_block_counts(issuer: TestIssuer) -> None:
    with TestIssuer.of(GLOBAL_APP).standing_in() as inner:
        assert await status(GLOBAL_APP, inner.token()) == 200
        assert await status(GLOBAL_APP, issuer.token()) == 401
    assert await status(GLOBAL_APP, issuer.token()) == 200


async def test_the_options_of_the_application_go_on_to_count() -> None:
    events: list[KeyEvent] = []
    app = door(key_hooks=[events.append], leeway=5.0, max_age=60.0)
    with TestIssuer.of(app).standing_in() as issuer:
        assert await status(app, issuer.token()) == 200
        assert await status(app, issuer.bad_token(Reason.TOKEN_TOO_OLD)) == 401
    assert [event.kind for event in events] == [KeyEventKind.FETCHED, KeyEventKind.KEYS_CHANGED]


async def test_readiness_start_reload_and_status_are_those_of_the_block(issuer: TestIssuer, asked: list[str]) -> None:
    verifier = GLOBAL_APP.verifier
    assert not verifier.ready()
    await verifier.start("require")
    assert verifier.ready()
    await verifier.reload()
    assert verifier.status()[ISSUER].kids == ("es256-1",)
    assert verifier.status()[ISSUER].counters["fetches"] == 2
    await verifier.aclose()
    assert asked == []


# What is left


def patched() -> list[object]:
    return [dict(vars(kind)) for kind in (RemoteKeys, FixedKeys, Verifier)]


async def test_after_the_block_everything_is_as_it_was() -> None:
    before = patched()
    real = TestIssuer(ISSUER, audience=AUDIENCE, algorithms=["ES256"])
    app = JWTMiddleware(tell, **real.options())
    assert await status(app, real.token()) == 200
    own = app.verifier.status()[ISSUER]
    with TestIssuer.of(app).standing_in() as issuer:
        assert patched() != before
        assert await status(app, issuer.token()) == 200
        assert await status(app, real.token()) == 401
        assert await status(app, issuer.token(header={"kid": "unknown"})) == 401
    assert patched() == before
    now = app.verifier.status()[ISSUER]
    assert (now.kids, now.counters) == (own.kids, own.counters)
    assert (await status(app, real.token()), await status(app, issuer.token())) == (200, 401)


async def test_after_an_error_everything_is_as_it_was(asked: list[str]) -> None:
    before = patched()
    issuer = TestIssuer.of(GLOBAL_APP)

    def fail(name: str) -> None:
        with issuer.standing_in():
            issuer.travel(hours=5)
            with getattr(issuer, name)():
                raise ZeroDivisionError

    for name in ("outage", "rotated", "travelling"):
        with pytest.raises(ZeroDivisionError):
            fail(name)
        assert patched() == before
    with issuer.standing_in():
        assert await status(GLOBAL_APP, issuer.token()) == 200
    assert asked == []


async def test_limits_of_the_application_from_before_the_block_do_not_count_in_it(asked: list[str]) -> None:
    app = door(key_caching=KeyCaching(timeout=0.5))
    issuer = TestIssuer.of(app)
    assert [await status(app, issuer.token()) for _ in range(3)] == [503, 503, 503]
    before = len(asked)
    with issuer.standing_in():
        assert await status(app, issuer.token()) == 200
    assert await status(app, issuer.token()) == 503
    assert len(asked) == before


# Rotation


async def test_rotations_go_unnoticed_however_many_there_are(issuer: TestIssuer) -> None:
    tokens = [issuer.token()]
    for _ in range(8):
        issuer.rotate()
        tokens.append(issuer.token())
        assert await status(GLOBAL_APP, tokens[-1]) == 200
    assert {await status(GLOBAL_APP, token) for token in tokens} == {200}


@pytest.mark.parametrize("caching", [KeyCaching(), KeyCaching(stale_if_error=0.0), KeyCaching(ttl=5, least_ttl=5)])
async def test_a_withdrawn_key_is_refused_at_the_next_request(caching: KeyCaching) -> None:
    app = door(key_caching=caching)
    with TestIssuer.of(app, keys=KEYS).standing_in() as issuer:
        old = issuer.token()
        assert await status(app, old) == 200
        issuer.rotate(keep_old=False)
        assert await status(app, old) == 401
        assert await status(app, issuer.token()) == 200


async def test_a_set_that_is_on_its_way_when_a_key_is_withdrawn_comes_too_late(issuer: TestIssuer) -> None:
    old = issuer.token()
    await status(GLOBAL_APP, old)
    issuer.rotate()
    issuer.travel(seconds=200)
    assert await status(GLOBAL_APP, old) == 200  # and asks for the set beside it
    while issuer.fetched.count(issuer.jwks_uri) < 2:
        await asyncio.sleep(0)
    issuer.rotate(keep_old=False)
    for _ in range(10):
        await asyncio.sleep(0)
    assert await status(GLOBAL_APP, old) == 401


@pytest.mark.parametrize("keep_old", [True, False])
async def test_a_rotation_for_a_block_is_taken_back(issuer: TestIssuer, *, keep_old: bool) -> None:
    old = issuer.token()
    assert await status(GLOBAL_APP, old) == 200
    with issuer.rotated(keep_old=keep_old):
        new = issuer.token()
        assert await status(GLOBAL_APP, new) == 200
        assert await status(GLOBAL_APP, old) == (200 if keep_old else 401)
    assert await status(GLOBAL_APP, old) == 200
    assert await status(GLOBAL_APP, issuer.token()) == 200
    assert await status(GLOBAL_APP, new) == 401


# Outage


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("caching", [KeyCaching(), KeyCaching(stale_if_error=0.0)])
async def test_in_an_outage_an_application_goes_on_with_its_keys(caching: KeyCaching, *, first: bool) -> None:
    app = door(key_caching=caching)
    with TestIssuer.of(app, keys=KEYS).standing_in() as issuer:
        token = issuer.token()
        if not first:
            assert await status(app, token) == 200
        with issuer.outage():
            assert await status(app, token) == 200
            assert await status(app, issuer.bad_token(Reason.SIGNATURE_INVALID)) == 401
            await asyncio.sleep(0)
            assert await status(app, token) == 200


async def test_in_an_outage_the_keys_are_asked_for_in_vain(issuer: TestIssuer) -> None:
    await status(GLOBAL_APP, issuer.token())
    with issuer.outage():
        assert await status(GLOBAL_APP, issuer.token()) == 200
        await asyncio.sleep(0.01)
        assert GLOBAL_APP.verifier.status()[ISSUER].failures == 1
        with pytest.raises(KeysUnavailable, match="there is an outage of the test"):
            await GLOBAL_APP.verifier.reload()


async def test_keys_of_a_rotation_in_an_outage_are_not_known_before_its_end(issuer: TestIssuer) -> None:
    with issuer.outage():
        issuer.rotate()
        assert await status(GLOBAL_APP, issuer.token()) == 401
    assert await status(GLOBAL_APP, issuer.token()) == 200


async def test_an_outage_that_outlasts_the_keys_is_told(issuer: TestIssuer) -> None:
    await status(GLOBAL_APP, issuer.token())
    with issuer.outage():
        issuer.travel(hours=12)
        assert await status(GLOBAL_APP, issuer.token()) == 200
        issuer.travel(days=1)
        assert await status(GLOBAL_APP, issuer.token()) == 503
    assert await status(GLOBAL_APP, issuer.token()) == 200


async def test_in_a_cold_outage_an_application_has_no_keys_and_recovers_at_once(issuer: TestIssuer) -> None:
    token = issuer.token()
    assert await status(GLOBAL_APP, token) == 200
    for _ in range(3):
        with issuer.outage(cold=True):
            answer = await http(GLOBAL_APP, token=token)
            assert answer.status == 503
            assert int(answer.header("retry-after") or "") >= 1
            assert await status(GLOBAL_APP, token) == 503
        assert await status(GLOBAL_APP, token) == 200


async def test_a_cold_outage_within_a_warm_one_ends_with_the_warm_one(issuer: TestIssuer) -> None:
    with issuer.outage():
        with issuer.outage(cold=True):
            assert await status(GLOBAL_APP, issuer.token()) == 503
        assert await status(GLOBAL_APP, issuer.token()) == 200


# Time


async def test_a_token_from_before_a_journey_has_expired_and_one_of_then_is_good(issuer: TestIssuer) -> None:
    token = issuer.token()
    with issuer.travelling(hours=1):
        answer = await http(GLOBAL_APP, token=token)
        assert (answer.status, answer.json()["error_description"]) == (401, "The access token expired")
        then = issuer.token()
        assert await status(GLOBAL_APP, then) == 200
    assert await status(GLOBAL_APP, token) == 200
    assert await status(GLOBAL_APP, then) == 401


@pytest.mark.parametrize(
    ("journey", "seconds"), [({"seconds": 5}, 5), ({"minutes": 2}, 120), ({"hours": 1, "days": 1}, 90_000)]
)
def test_a_journey_is_as_long_as_it_says(issuer: TestIssuer, journey: Any, seconds: float) -> None:
    before = issuer.now()
    with issuer.travelling(**journey):
        assert issuer.now() - before == pytest.approx(seconds, abs=1)
        issuer.travel(7)
        assert issuer.now() - before == pytest.approx(seconds + 7, abs=1)
    assert issuer.now() - before == pytest.approx(0, abs=1)


async def test_the_keys_grow_old_on_a_journey(issuer: TestIssuer) -> None:
    await status(GLOBAL_APP, issuer.token())
    issuer.travel(minutes=2)
    assert GLOBAL_APP.verifier.status()[ISSUER].age == pytest.approx(120, abs=1)
    issuer.travel(hours=2)
    assert await status(GLOBAL_APP, issuer.token()) == 200
    assert issuer.fetched.count(issuer.jwks_uri) == 2


def test_all_issuers_travel_together_and_the_block_brings_them_back() -> None:
    one, two = TestIssuer(algorithms=["ES256"]), TestIssuer("https://two.test", algorithms=["ES256"])
    before = one.now()
    with one.standing_in():
        with two.standing_in():
            two.travel(days=1)
            assert one.now() - before == pytest.approx(86_400, abs=1)
        assert one.now() - before == pytest.approx(0, abs=1)


async def test_an_issuer_with_a_clock_of_its_own_travels_from_there() -> None:
    verifier = Verifier(TrustedIssuer(**OPTIONS), clock=lambda: 1000.0)
    with TestIssuer.of(verifier, clock=lambda: 1000.0).standing_in() as issuer:
        token = issuer.token(expires_in=60)
        issuer.travel(60)
        assert issuer.now() == 1060
        assert (await verifier.verify(token)).expires_at == 1060
        issuer.travel(30)
        with pytest.raises(TokenError):
            await verifier.verify(token)
        verifier = Verifier(TrustedIssuer(**OPTIONS), clock=lambda: 1000.0)
        with pytest.raises(TokenError):
            await verifier.verify(token)
    assert verifier._clock() == 1000


def test_nobody_travels_back(issuer: TestIssuer) -> None:
    with pytest.raises(ConfigurationError, match="expected to go ahead in time; got -60 seconds"):
        issuer.travel(minutes=-1)


@pytest.mark.parametrize("name", ["outage", "travelling"])
def test_what_needs_the_block_says_so(name: str) -> None:
    issuer = TestIssuer(algorithms=["ES256"])
    with pytest.raises(ConfigurationError, match="expected to be inside of"), getattr(issuer, name)():
        raise AssertionError
    with pytest.raises(ConfigurationError, match="expected to be inside of"):
        issuer.travel(1)


# Keys that are given


async def test_with_a_shared_secret_the_applications_own_is_signed_with() -> None:
    app = door(keys=SharedSecret("s" * 64), algorithms=["HS512", "HS256"])
    with TestIssuer.of(app).standing_in() as issuer:
        assert issuer.algorithms == ("HS256", "HS512")
        assert await status(app, issuer.token()) == 200
        assert await status(app, issuer.token(algorithm="HS512")) == 200
        assert issuer.jwks() == {"keys": []}
        for trouble in (issuer.outage, issuer.travelling):
            with trouble():
                assert await status(app, issuer.token()) == 200
        with pytest.raises(ConfigurationError, match="a shared secret is rotated by a new start"):
            issuer.rotate()


async def test_static_keys_are_those_of_the_issuer_at_the_start_of_the_block() -> None:
    real = TestIssuer(ISSUER, audience=AUDIENCE, algorithms=["ES256"])
    app = door(keys=StaticKeys(real.jwks()))
    with TestIssuer.of(app).standing_in() as issuer:
        assert await status(app, issuer.token()) == 200
        assert app.verifier.status()[ISSUER].kids == ("es256-1",)
        assert await status(app, real.token()) == 401
        issuer.rotate()
        assert await status(app, issuer.token()) == 401
    assert await status(app, real.token()) == 200


# Families of issuers


@pytest.mark.parametrize("jwks_uri", [None, "https://login.test/keys", "https://login.test/{tenantid}/keys"])
async def test_a_tenant_of_a_family_is_stood_in_for(jwks_uri: str | None, asked: list[str]) -> None:
    family = TrustedTenants(
        "https://login.test/{tenantid}/v2.0",
        tenants={"acme", "other"},
        audience=AUDIENCE,
        algorithms=["ES256"],
        jwks_uri=jwks_uri,
    )
    app = JWTMiddleware(tell, verifier=Verifier(family, TrustedIssuer(**OPTIONS)))
    with TestIssuer.of(app, issuer="https://login.test/acme/v2.0").standing_in() as issuer:
        answer = await http(app, token=issuer.token())
    assert (answer.status, answer.json()["claims"]["tid"]) == (200, "acme")
    assert asked == []
