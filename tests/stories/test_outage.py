"""An issuer goes down and comes back: those with known keys notice nothing, the others are told the truth."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import pytest

from jwt_asgi import KeyCaching, Reason
from jwt_asgi.instrumentation import Outcome
from tests.keys.server import RawServer, answer, silence
from tests.stories.service import AGEING, EXPIRED, STALE, Service, running

DAY = 86_400


async def test_when_the_issuer_goes_down_known_tokens_go_on_for_a_day() -> None:
    async with running() as service:
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


async def test_while_the_keys_are_fresh_an_unknown_kid_is_the_clients_fault() -> None:
    async with running() as service:
        known, unknown = service.issuer.token(), service.issuer.bad_token(Reason.KEY_UNKNOWN)
        assert await service.statuses(known) == [200]
        await service.server.stop()

        assert await service.statuses(unknown, unknown, known) == [401, 401, 200]
        service.clock.now += 301
        assert await service.statuses(known) == [200]
        assert await service.statuses(unknown, known) == [503, 200], "stale: it may be a key that we could not fetch"


async def test_a_cold_start_while_the_issuer_is_down_says_when_to_come_again() -> None:
    async with running() as service:
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


async def test_a_long_cold_outage_asks_the_issuer_less_and_less() -> None:
    async with running() as service:
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


async def test_an_issuer_that_asks_for_patience_gets_it() -> None:
    async with running() as service:
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
async def test_an_issuer_that_publishes_nonsense_for_a_while_takes_no_key_away(body: bytes) -> None:
    async with running() as service:
        token = service.issuer.token()
        assert await service.statuses(token) == [200]
        service.server.script["/jwks.json"] = answer(200, body)
        for _ in range(5):
            service.clock.now += 301
            assert await service.statuses(token) == [200]
        del service.server.script["/jwks.json"]
        service.clock.now += 30
        assert await service.statuses(token, service.issuer.token()) == [200, 200]


async def test_an_issuer_that_moved_its_keys_is_found_again() -> None:
    async with running() as service, RawServer() as elsewhere:
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


async def test_across_the_soft_the_fresh_and_the_hard_limit_an_outage_shows_only_where_the_keys_would_tell() -> None:
    async with running() as service:
        began, known, unknown = service.clock.now, service.issuer.token(), service.stranger("new")
        assert await service.statuses(known) == [200]
        service.server.script["/jwks.json"] = answer(500)

        for age, statuses, fetches in (
            (AGEING - 1, [200, 401], 2),  # fresh: the stranger alone asks
            (AGEING, [200, 401], 3),  # ageing: the known token asks, and does not wait
            (AGEING + 1, [200, 401], 3),  # backing off
            (STALE - 1, [200, 401], 4),
            (STALE, [200, 503], 4),  # stale: the stranger's key may be one that could not be fetched
            (STALE + 2, [200, 503], 5),
            (EXPIRED - 1, [200, 503], 6),
            (EXPIRED, [503, 503], 6),
            (EXPIRED + 30, [503, 503], 7),
        ):
            service.clock.now = began + age
            assert (age, await service.statuses(known, unknown)) == (age, statuses)
            await service.settled()
            assert (age, service.fetches) == (age, fetches)
        assert service.reason is Reason.KEYS_EXPIRED


async def nothing(_: Service) -> None:
    """Leave it cold."""


async def warm(service: Service) -> None:
    """Fetch the keys."""
    assert await service.statuses(service.issuer.token()) == [200]


async def old(service: Service) -> None:
    """Fetch the keys, and let them expire."""
    await warm(service)
    service.clock.now += EXPIRED


@pytest.mark.parametrize("before", [nothing, warm, old])
@pytest.mark.parametrize("lasting", [1, 60, 300])
async def test_within_half_a_minute_of_the_end_of_an_outage_everybody_is_served(
    before: Callable[[Service], Awaitable[None]], lasting: int
) -> None:
    async with running() as service:
        await before(service)
        service.server.otherwise, good = answer(503), service.server.otherwise
        service.issuer.rotate()
        new = service.issuer.token()
        for _ in range(lasting):
            assert (await service.ask(new)).status in {401, 503}
            service.clock.now += 1
        attempts = len(service.server.requests)
        assert attempts <= 3 * (6 + lasting / 20), "ever rarer; of an issuer that was known, its metadata too"

        service.server.otherwise = good
        refused = await service.ask(new)
        if refused.status == 503:
            promised = int(refused.header("retry-after") or 0)
            assert 1 <= promised <= 30
            service.clock.now += promised - 1
        assert await service.seconds_until_accepted(new) <= 30
        assert await service.statuses(new, service.issuer.token()) == [200, 200]


async def test_an_issuer_that_hangs_makes_no_known_token_wait_once_an_attempt_was_given_up() -> None:
    async with running(caching=KeyCaching(timeout=0.4, stale_wait=0.05)) as service:
        known = service.issuer.token()
        assert await service.statuses(known) == [200]
        service.server.script["/jwks.json"] = silence

        service.clock.now += AGEING
        assert service.ask_at_once(known) == 200, "ageing: the refresh is beside the request"
        await service.settled()
        for hours in range(1, 24):
            service.clock.now += 3600
            assert (hours, service.ask_at_once(known)) == (hours, 200), "stale, and an attempt has failed"
            if hours < 3:
                await service.settled()
        assert service.fetches >= 3
