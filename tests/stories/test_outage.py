"""An issuer goes down and comes back: those with known keys notice nothing, the others are told the truth."""

from __future__ import annotations

import json

import pytest

from jwt_asgi import Reason
from jwt_asgi.instrumentation import Outcome
from tests.keys.server import RawServer, answer
from tests.stories.service import running

DAY = 86_400


async def test_when_the_issuer_goes_down_known_tokens_go_on_for_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as service:
        token = service.issuer.token()
        assert await service.statuses(token) == [200]
        await service.server.stop()

        for later in (10, 250, 3600, DAY // 2):
            service.clock.now += later
            assert await service.statuses(token, token) == [200, 200]

        service.clock.now += DAY
        refused = await service.ask(token)
        assert (refused.status, service.reason) == (503, Reason.KEYS_EXPIRED)

        await service.server.start()
        service.clock.now += 30
        assert await service.statuses(token) == [200], "it recovers by itself"


async def test_while_the_keys_are_fresh_an_unknown_kid_is_the_clients_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as service:
        known, unknown = service.issuer.token(), service.issuer.bad_token(Reason.KEY_UNKNOWN)
        assert await service.statuses(known) == [200]
        await service.server.stop()

        assert await service.statuses(unknown, unknown, known) == [401, 401, 200]
        service.clock.now += 301
        assert await service.statuses(known) == [200]
        assert await service.statuses(unknown, known) == [503, 200], "stale: it may be a key that we could not fetch"


async def test_a_cold_start_while_the_issuer_is_down_says_when_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as service:
        token = service.issuer.token()
        await service.server.stop()

        refused = await service.ask(token)
        assert (refused.status, service.reason) == (503, Reason.KEYS_UNAVAILABLE)
        assert refused.header("retry-after") == "1"
        assert refused.challenge is None, "no other token would do better"
        assert service.decisions[-1].outcome is Outcome.UNAVAILABLE
        assert service.issuer.issuer in service.decisions[-1].detail
        assert service.issuer.issuer not in refused.body.decode(), "that is the operator's affair"

        await service.server.start()
        assert await service.statuses(token) == [503], "not before the time it said"
        service.clock.now += 1
        assert await service.statuses(token) == [200]


async def test_a_long_cold_outage_asks_the_issuer_less_and_less(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as service:
        token, good = service.issuer.token(), service.server.otherwise
        service.server.otherwise = answer(503, b"down for maintenance")
        for _ in range(600):
            assert await service.statuses(token) == [503]
            service.clock.now += 1
        attempts = len(service.server.requests) // 2
        assert 20 <= attempts <= 50, "ten minutes, an attempt each 15 to 30 s at last"

        service.server.otherwise = good
        service.clock.now += 30
        assert await service.statuses(token) == [200]


async def test_an_issuer_that_asks_for_patience_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as service:
        token = service.issuer.token()
        service.server.script["/jwks.json"] = answer(429, headers={"Retry-After": "120"})
        assert (await service.ask(token)).header("retry-after") == "120"
        del service.server.script["/jwks.json"]

        service.clock.now += 60
        patient = await service.ask(token)
        assert (patient.status, patient.header("retry-after")) == (503, "60")
        assert service.fetches == 1
        service.clock.now += 60
        assert await service.statuses(token) == [200]


@pytest.mark.parametrize(
    "body",
    [b"<html>maintenance</html>", b'{"keys": []}', b"", b"[]"],
    ids=["a page", "an empty set", "nothing", "list"],
)
async def test_an_issuer_that_publishes_nonsense_for_a_while_takes_no_key_away(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(monkeypatch) as service:
        token = service.issuer.token()
        assert await service.statuses(token) == [200]
        service.server.script["/jwks.json"] = answer(200, body)
        for _ in range(5):
            service.clock.now += 301
            assert await service.statuses(token) == [200]
        del service.server.script["/jwks.json"]
        service.clock.now += 30
        assert await service.statuses(token, service.issuer.token()) == [200, 200]


async def test_an_issuer_that_moved_its_keys_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as service, RawServer() as elsewhere:
        old = service.issuer.token()
        assert await service.statuses(old) == [200]
        service.issuer.rotate()
        elsewhere.script["/keys"] = answer(200, json.dumps(service.issuer.jwks()).encode())
        metadata = service.issuer.metadata() | {"jwks_uri": elsewhere.url("/keys")}
        service.server.script["/.well-known/oauth-authorization-server"] = answer(200, json.dumps(metadata).encode())
        service.server.script["/jwks.json"] = answer(410)

        service.clock.now += 301
        assert await service.statuses(old) == [200], "there is nothing at the old place; the old keys serve"
        service.clock.now += 30
        assert await service.statuses(service.issuer.token()) == [200]
        assert (service.fetches, elsewhere.count("/keys")) == (2, 1)
