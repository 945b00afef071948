"""Strangers send whatever they like, and crowds come all at once: the issuer is hardly asked, and known tokens pass."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from jwt_asgi import KeyCaching, Reason
from jwt_asgi._keys import remote
from tests.asgi import Answer
from tests.keys.server import Script, answer, silence
from tests.stories.service import AGEING, STALE, running, with_kid

WAITERS = 200


@pytest.fixture
def few_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let so many wait and no more; in truth it is 4096."""
    monkeypatch.setattr(remote, "MAX_WAITERS", WAITERS)


"""How many requests may wait for one issuer's keys."""


def tally(answers: list[Answer]) -> dict[tuple[int, str | None], int]:
    """How many answers had each status and Retry-After."""
    return Counter((answer.status, answer.header("retry-after")) for answer in answers)


# Unknown kids


async def test_ten_thousand_unknown_kids_in_thirty_seconds_cost_two_fetches_and_are_all_refused() -> None:
    async with running() as service:
        known = service.issuer.token()
        assert await service.statuses(known) == [200]
        kids = iter(range(10_000))
        for _ in range(20):
            crowd = [service.stranger(f"kid-{next(kids)}") for _ in range(50)]
            assert tally(await service.ask_all(*crowd)) == {(401, None): 50}
            service.clock.now += 1.49
        assert service.fetches == 1 + 2
        assert {service.ask_at_once(service.stranger(f"kid-{kid}")) for kid in kids} == {401}, "and none of them waits"
        assert service.reason is Reason.KEY_UNKNOWN
        assert service.fetches == 1 + 2
        assert service.ask_at_once(known) == 200


async def test_a_quarter_of_an_hour_of_unknown_kids_costs_two_fetches_a_minute() -> None:
    async with running() as service:
        token = service.issuer.token()
        assert await service.statuses(token) == [200]
        for second in range(900):
            assert await service.statuses(with_kid(token, f"kid-{second}")) == [401]
            service.clock.now += 1
        assert service.fetches <= 1 + 2 + 30
        answered = Counter("if-none-match" in request.headers for request in service.server.requests)
        assert answered[False] == 2, "all but the metadata and the first set were asked for with a validator"


async def test_one_unknown_kid_over_and_over_is_looked_for_each_half_a_minute() -> None:
    async with running() as service:
        token, stuck = service.issuer.token(), service.stranger("stuck")
        assert await service.statuses(token) == [200]
        asked = []
        for second in range(700):
            before = service.fetches
            assert await service.statuses(stuck) == [401]
            if service.fetches > before:
                asked.append(second)
            service.clock.now += 1
        assert asked == list(range(0, 700, 30))


COULD_NOT_PASS = (
    Reason.TOKEN_EXPIRED,
    Reason.TOKEN_NOT_YET_VALID,
    Reason.TOKEN_ISSUED_IN_FUTURE,
    Reason.ISSUER_UNTRUSTED,
    Reason.AUDIENCE_MISMATCH,
    Reason.TYPE_NOT_ACCEPTED,
    Reason.ALGORITHM_NOT_ALLOWED,
    Reason.HEADER_MALFORMED,
    Reason.HEADER_CRITICAL,
    Reason.CLAIM_MISSING,
    Reason.BINDING_UNSUPPORTED,
)


@pytest.mark.parametrize("age", [None, 0.0, AGEING, STALE], ids=["cold", "fresh", "ageing", "stale"])
async def test_tokens_that_could_not_pass_anyway_ask_the_issuer_nothing_at_all(age: float | None) -> None:
    async with running() as service:
        if age is not None:
            assert await service.statuses(service.issuer.token()) == [200]
            service.clock.now += age
        service.issuer.rotate()
        before = len(service.server.requests)
        for reason in COULD_NOT_PASS:
            token = service.issuer.bad_token(reason)
            for number in range(20):
                kid_kept = reason in {Reason.HEADER_MALFORMED, Reason.ALGORITHM_NOT_ALLOWED}
                sent = token if kid_kept else with_kid(token, f"kid-{number}")
                assert (reason, service.ask_at_once(sent)) == (reason, 401)
            assert service.reason is reason
        await service.settled()
        assert len(service.server.requests) == before


@pytest.mark.parametrize("each_second", [1, 20])
async def test_a_new_key_is_accepted_within_thirty_seconds_however_many_strangers_come_before_it(
    each_second: int,
) -> None:
    async with running() as service:
        old = service.issuer.token()
        assert await service.statuses(old) == [200]

        async def flood(second: int) -> None:
            crowd = [service.stranger(f"{second}-{number}") for number in range(each_second)]
            assert tally(await service.ask_all(*crowd)) == {(401, None): each_second}
            service.clock.now += 1

        for second in range(45):
            await flood(second)
        service.issuer.rotate()
        new, waited = service.issuer.token(), 0
        while await service.statuses(new) == [401]:
            await flood(1000 + waited)
            waited += 1
        assert 0 < waited <= 30, "the flood had used up the limit, and what it fetches next holds the new key"
        assert service.fetches <= 1 + 2 + 2
        assert await service.statuses(new, old) == [200, 200]


# A flood while the issuer is down


@pytest.mark.parametrize(
    ("outage", "age", "stranger"),
    [
        pytest.param(answer(503), 0.0, 401, id="refuses, fresh"),
        pytest.param(answer(503), AGEING, 401, id="refuses, ageing"),
        pytest.param(answer(503), STALE, 503, id="refuses, stale"),
        pytest.param(silence, STALE, 503, id="hangs, stale"),
    ],
)
async def test_a_flood_during_an_outage_makes_no_known_token_wait(outage: Script, age: float, stranger: int) -> None:
    async with running(caching=KeyCaching(timeout=0.4, stale_wait=0.05)) as service:
        known = service.issuer.token()
        assert await service.statuses(known) == [200]
        service.server.script["/jwks.json"] = outage
        service.clock.now += age
        assert await service.statuses(known) == [200], "the first one may wait for news, where the set is stale"
        await service.settled()

        for second in range(10):
            crowd = [asyncio.create_task(service.ask(service.stranger(f"{second}-{number}"))) for number in range(20)]
            await asyncio.sleep(0)
            assert [service.ask_at_once(known) for _ in range(5)] == [200] * 5
            answers = await asyncio.gather(*crowd)
            assert {answer.status for answer in answers} <= {401, stranger}
            assert all(1 <= int(seconds) <= 30 for _, seconds in tally(answers) if seconds is not None)
            service.clock.now += 1
        await service.settled()
        assert service.fetches <= 1 + 5, "with the backoff of every failed attempt"


async def test_in_an_outage_with_stale_keys_a_token_of_a_new_key_is_never_called_bad() -> None:
    async with running() as service:
        assert await service.statuses(service.issuer.token()) == [200]
        service.issuer.rotate()
        new = service.issuer.token()
        service.server.script["/jwks.json"] = answer(503)
        service.clock.now += STALE
        for second in range(60):
            assert (second, await service.statuses(new)) == (second, [503])
            service.clock.now += 1


# Crowds


async def test_two_thousand_first_requests_at_once_are_all_served_by_one_fetch() -> None:
    async with running() as service:
        let_go = service.hold()
        token = service.issuer.token()
        crowd = [asyncio.create_task(service.ask(token)) for _ in range(2000)]
        await service.fetched(1)
        let_go.set()
        assert tally(await asyncio.gather(*crowd)) == {(200, None): 2000}
        assert service.fetches == 1
        assert len(service.server.requests) == 2, "the metadata, and the keys"


@pytest.mark.usefixtures("few_places")
async def test_of_too_many_first_requests_at_once_those_beyond_the_cap_are_asked_to_come_again() -> None:
    async with running() as service:
        token = service.issuer.token()
        assert tally(await service.ask_all(*[token] * 500)) == {(200, None): WAITERS, (503, "1"): 500 - WAITERS}
        assert Reason.KEYS_BUSY in {decision.reason for decision in service.decisions}
        assert service.fetches == 1

        assert service.ask_at_once(token) == 200, "they come again, and nothing is fetched"
        assert service.fetches == 1


@pytest.mark.usefixtures("few_places")
@pytest.mark.parametrize("age", [0.0, STALE], ids=["fresh", "stale"])
async def test_while_a_slow_issuer_keeps_strangers_waiting_known_tokens_need_no_place_among_them(age: float) -> None:
    async with running(caching=KeyCaching(stale_wait=0.05)) as service:
        known = service.issuer.token()
        assert await service.statuses(known) == [200]
        service.clock.now += age
        let_go = service.hold()
        strangers = [asyncio.create_task(service.ask(service.stranger(f"kid-{number}"))) for number in range(WAITERS)]
        await service.fetched(2)
        one_too_many = await service.ask(service.stranger("one too many"))
        assert (one_too_many.status, one_too_many.header("retry-after")) == (503, "1")
        assert service.reason is Reason.KEYS_BUSY
        assert (await service.statuses(known) if age else [service.ask_at_once(known)]) == [200]

        let_go.set()
        assert tally(await asyncio.gather(*strangers)) == {(401, None): WAITERS}
        assert await service.statuses(service.stranger("another")) == [401], "the places are free again"
        assert service.fetches <= 3


async def test_first_requests_of_an_issuer_that_hangs_are_given_up_together_and_told_when_to_come_again() -> None:
    async with running(caching=KeyCaching(timeout=0.5)) as service:
        token = service.issuer.token()
        service.server.script["/jwks.json"] = silence
        answers = await service.ask_all(*[token] * 50)
        assert tally(answers) == {(503, "1"): 50}
        await service.settled()
        assert service.ask_at_once(token) == 503, "backing off"
        assert service.fetches == 1

        service.publish_again()
        service.clock.now += 1
        assert tally(await service.ask_all(*[token] * 50)) == {(200, None): 50}
        assert service.fetches == 2
