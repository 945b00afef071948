"""An issuer changes its keys: nobody is turned away for it, and a withdrawn key opens nothing."""

from __future__ import annotations

import asyncio
import json

from jwt_asgi import KeyCaching, Reason
from tests.keys.server import Behaviour, answer, issued_by
from tests.stories.service import AGEING, STALE, Service, running

HOUR = 3600


async def test_the_first_token_of_a_new_key_is_taken_in_that_same_request() -> None:
    async with running() as service:
        old = service.issuer.token()
        assert await service.statuses(old, old) == [200, 200]
        assert service.fetches == 1

        service.issuer.rotate()
        new = service.issuer.token()
        assert await service.statuses(old) == [200]
        assert service.fetches == 1, "a key that is known asks nobody"

        assert await service.statuses(new) == [200]
        assert service.fetches == 2, "exactly one more"
        assert await service.statuses(old, new, old) == [200, 200, 200]
        assert service.fetches == 2


async def test_a_withdrawn_key_opens_nothing_after_the_next_fetch() -> None:
    async with running() as service:
        stolen = service.issuer.token()
        assert await service.statuses(stolen) == [200]

        service.issuer.rotate(keep_old=False)
        assert await service.statuses(service.issuer.token()) == [200]
        assert service.fetches == 2

        answer = await service.ask(stolen)
        assert (answer.status, service.reason) == (401, Reason.KEY_UNKNOWN)
        assert answer.challenge is not None
        assert answer.challenge.startswith('Bearer error="invalid_token"')


async def test_a_withdrawn_key_goes_within_the_time_that_the_issuer_gave_without_any_new_token() -> None:
    async with running() as service:
        stolen = service.issuer.token()
        assert await service.statuses(stolen) == [200]
        service.issuer.rotate(keep_old=False)

        service.clock.now += 256
        assert await service.statuses(stolen) == [200], "ageing: refreshed beside the request"
        async with asyncio.timeout(5):
            while await service.statuses(stolen) == [200]:
                await asyncio.sleep(0.005)
        assert service.reason is Reason.KEY_UNKNOWN


async def test_a_withdrawn_key_opens_nothing_after_an_idle_night() -> None:
    async with running() as service:
        stolen = service.issuer.token()
        assert await service.statuses(stolen) == [200]
        service.issuer.rotate(keep_old=False)
        service.clock.now += 8 * 3600
        assert await service.statuses(stolen) == [401]
        assert service.fetches == 2


async def test_while_nothing_changes_a_refresh_costs_the_issuer_a_304() -> None:
    async with running() as service:
        token = service.issuer.token()
        for _ in range(3):
            assert await service.statuses(token) == [200]
            service.clock.now += 301
        validators = [request.headers.get("if-none-match") for request in service.server.requests]
        assert validators[:2] == [None, None], "the metadata, and the first set"
        assert len(validators) == 4
        assert validators[2] == validators[3] is not None


async def test_a_hundred_tokens_of_a_new_key_at_once_cost_one_fetch() -> None:
    async with running() as service:
        assert await service.statuses(service.issuer.token()) == [200]
        service.issuer.rotate()
        tokens = [service.issuer.token() for _ in range(100)]
        answers = await asyncio.gather(*(service.ask(token) for token in tokens))
        assert [answer.status for answer in answers] == [200] * 100
        assert service.fetches == 2


async def test_tokens_that_could_not_pass_anyway_ask_the_issuer_nothing() -> None:
    async with running() as service:
        assert await service.statuses(service.issuer.token()) == [200]
        service.issuer.rotate()
        tokens = (
            service.issuer.bad_token(Reason.TOKEN_EXPIRED),
            service.issuer.bad_token(Reason.AUDIENCE_MISMATCH),
            service.issuer.bad_token(Reason.ISSUER_UNTRUSTED),
        )
        assert await service.statuses(*tokens) == [401, 401, 401]
        assert service.fetches == 1


# A new key


async def test_two_rotations_right_after_one_another_turn_nobody_away_and_a_third_one_within_thirty_seconds() -> None:
    async with running() as service:
        tokens = [service.issuer.token()]
        assert await service.statuses(*tokens) == [200]
        for fetches in (2, 3):
            service.issuer.rotate()
            tokens.append(service.issuer.token())
            assert await service.statuses(*tokens) == [200] * fetches
            assert service.fetches == fetches

        service.issuer.rotate()
        third = service.issuer.token()
        assert await service.statuses(third, *tokens) == [401, 200, 200, 200]
        assert service.fetches == 3, "the limit that holds for strangers holds for it too"
        service.clock.now += 30
        assert await service.statuses(third, *tokens) == [200] * 4
        assert service.fetches == 4


async def test_a_new_key_right_after_a_scheduled_refresh_is_taken_in_that_same_request() -> None:
    async with running() as service:
        old = service.issuer.token()
        assert await service.statuses(old) == [200]
        service.clock.now += AGEING
        assert await service.statuses(old) == [200]
        await service.settled()
        service.issuer.rotate()
        assert await service.statuses(service.issuer.token(), old) == [200, 200]
        assert service.fetches == 3
        assert service.server.requests[-1].headers["cache-control"] == "no-cache", "past the caches on the way"


def replicas(service: Service, *, turns: str) -> None:
    """Let two replicas of the issuer answer in turn: `o` knows the keys of now alone, `n` also those to come."""
    lagging = answer(200, json.dumps(service.issuer.jwks()).encode())
    answers: dict[str, bytes | Behaviour] = {"o": lagging, "n": issued_by(service.issuer)}
    service.server.script["/jwks.json"] = [answers[turn] for turn in turns]


async def test_a_key_that_only_one_of_two_replicas_publishes_is_taken_as_soon_as_that_one_is_asked() -> None:
    async with running() as service:
        old = service.issuer.token()
        replicas(service, turns="oon")
        assert await service.statuses(old) == [200]
        service.issuer.rotate()
        new = service.issuer.token()

        assert await service.statuses(new, old) == [401, 200], "the one that was asked does not know it yet"
        assert service.fetches == 2
        service.clock.now += 29
        assert await service.statuses(new, new, old) == [401, 401, 200]
        assert service.fetches == 2, "nor is it asked again at once"
        service.clock.now += 1
        assert await service.statuses(new, old) == [200, 200]
        assert service.fetches == 3


async def test_a_refresh_that_meets_the_lagging_replica_costs_one_more_fetch_and_turns_nobody_away() -> None:
    async with running() as service:
        old = service.issuer.token()
        replicas(service, turns="nnonon")
        assert await service.statuses(old) == [200]
        service.issuer.rotate()
        new = service.issuer.token()
        assert await service.statuses(new) == [200]
        assert service.fetches == 2

        for fetches in (4, 6):
            service.clock.now += STALE
            assert await service.statuses(old, new, old, new) == [200] * 4
            assert service.fetches == fetches, "the set without the new key, and at once the set with it"


# A withdrawn key


async def test_with_steady_traffic_a_key_withdrawn_while_the_set_is_fresh_goes_with_the_refresh() -> None:
    async with running() as service:
        stolen = service.issuer.token()
        assert await service.statuses(stolen) == [200]
        service.issuer.rotate(keep_old=False)
        good = service.issuer.token()

        refused_after = None
        for second in range(1, 301):
            service.clock.now += 1
            [status] = await service.statuses(stolen)
            await service.settled()
            if status == 401:
                refused_after = second
                break
        assert refused_after == AGEING + 1, "the refresh began with the request before"
        assert service.fetches == 3, "the first one, the refresh, and one more look for the kid that is now unknown"
        assert await service.statuses(stolen, good, stolen) == [401, 200, 401]
        assert service.fetches == 3


async def test_tokens_that_were_just_accepted_are_all_refused_once_their_key_is_gone() -> None:
    async with running() as service:
        tokens = [service.issuer.token(subject=f"user-{number}") for number in range(50)]
        for _ in range(2):
            assert [answer.status for answer in await service.ask_all(*tokens)] == [200] * 50
        service.issuer.rotate(keep_old=False)
        service.clock.now += AGEING
        assert [answer.status for answer in await service.ask_all(*tokens)] == [200] * 50
        await service.settled()
        assert service.fetches == 2

        assert [answer.status for answer in await service.ask_all(*tokens)] == [401] * 50
        assert await service.statuses(*tokens) == [401] * 50
        assert service.reason is Reason.KEY_UNKNOWN
        assert service.fetches <= 4


async def test_after_two_idle_hours_a_withdrawn_key_opens_nothing_not_even_for_a_hundred_at_once() -> None:
    async with running() as service:
        tokens = [service.issuer.token() for _ in range(100)]
        assert await service.statuses(tokens[0]) == [200]
        service.issuer.rotate(keep_old=False)
        service.clock.now += 2 * HOUR
        assert [answer.status for answer in await service.ask_all(*tokens)] == [401] * 100
        assert service.fetches == 2


async def test_after_two_idle_hours_with_a_slow_issuer_a_withdrawn_key_serves_until_the_answer_is_here() -> None:
    async with running(caching=KeyCaching(stale_wait=0.05)) as service:
        stolen = service.issuer.token()
        assert await service.statuses(stolen) == [200]
        service.issuer.rotate(keep_old=False)
        service.clock.now += 2 * HOUR
        let_go = service.hold()
        assert await service.statuses(stolen) == [200], "stale_wait bounds what news may cost a request"
        let_go.set()
        await service.settled()
        assert await service.statuses(stolen) == [401]
        assert service.fetches == 3


# An empty set


async def test_an_empty_set_for_a_minute_takes_no_key_away_and_delays_a_new_one_by_half_a_minute_at_most() -> None:
    async with running() as service:
        old = service.issuer.token()
        assert await service.statuses(old) == [200]
        service.server.script["/jwks.json"] = answer(200, b'{"keys": []}')
        service.issuer.rotate()
        new = service.issuer.token()
        service.clock.now += STALE
        for _ in range(60):
            assert await service.statuses(old, new) == [200, 503]
            service.clock.now += 1
        assert service.reason is Reason.KEYS_UNUSABLE
        assert service.fetches - 1 == 7, "after 0, 0.75, 2.25, 5.25, 11.25, 23.25 and 45.75 s, or the second after"

        service.publish_again()
        assert await service.seconds_until_accepted(new) <= 30
        assert await service.statuses(old) == [200]
        assert service.fetches - 1 == 8


async def test_an_empty_set_at_a_cold_start_is_the_operators_affair_and_over_within_half_a_minute() -> None:
    async with running() as service:
        service.server.script["/jwks.json"] = answer(200, b'{"keys": []}')
        token = service.issuer.token()
        for _ in range(60):
            refused = await service.ask(token)
            assert (refused.status, service.reason) == (503, Reason.KEYS_UNUSABLE)
            assert refused.challenge is None
            assert 1 <= int(refused.header("retry-after") or 0) <= 30
            service.clock.now += 1
        assert service.fetches == 7
        service.publish_again()
        assert await service.seconds_until_accepted(token) <= 30
        assert service.fetches == 8
