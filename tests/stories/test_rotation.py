"""An issuer changes its keys: nobody is turned away for it, and a withdrawn key opens nothing."""

from __future__ import annotations

import asyncio

import pytest

from jwt_asgi import Reason
from tests.stories.service import running


async def test_the_first_token_of_a_new_key_is_taken_in_that_same_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as service:
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


async def test_a_withdrawn_key_opens_nothing_after_the_next_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as service:
        stolen = service.issuer.token()
        assert await service.statuses(stolen) == [200]

        service.issuer.rotate(keep_old=False)
        assert await service.statuses(service.issuer.token()) == [200]
        assert service.fetches == 2

        answer = await service.ask(stolen)
        assert (answer.status, service.reason) == (401, Reason.KEY_UNKNOWN)
        assert answer.challenge is not None
        assert answer.challenge.startswith('Bearer error="invalid_token"')


async def test_a_withdrawn_key_goes_within_the_time_that_the_issuer_gave_without_any_new_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(monkeypatch) as service:
        stolen = service.issuer.token()
        assert await service.statuses(stolen) == [200]
        service.issuer.rotate(keep_old=False)

        service.clock.now += 256
        assert await service.statuses(stolen) == [200], "ageing: refreshed beside the request"
        async with asyncio.timeout(5):
            while await service.statuses(stolen) == [200]:
                await asyncio.sleep(0.005)
        assert service.reason is Reason.KEY_UNKNOWN


async def test_a_withdrawn_key_opens_nothing_after_an_idle_night(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as service:
        stolen = service.issuer.token()
        assert await service.statuses(stolen) == [200]
        service.issuer.rotate(keep_old=False)
        service.clock.now += 8 * 3600
        assert await service.statuses(stolen) == [401]
        assert service.fetches == 2


async def test_while_nothing_changes_a_refresh_costs_the_issuer_a_304(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as service:
        token = service.issuer.token()
        for _ in range(3):
            assert await service.statuses(token) == [200]
            service.clock.now += 301
        validators = [request.headers.get("if-none-match") for request in service.server.requests]
        assert validators[:2] == [None, None], "the metadata, and the first set"
        assert len(validators) == 4
        assert validators[2] == validators[3] is not None


async def test_a_hundred_tokens_of_a_new_key_at_once_cost_one_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as service:
        assert await service.statuses(service.issuer.token()) == [200]
        service.issuer.rotate()
        tokens = [service.issuer.token() for _ in range(100)]
        answers = await asyncio.gather(*(service.ask(token) for token in tokens))
        assert [answer.status for answer in answers] == [200] * 100
        assert service.fetches == 2


async def test_tokens_that_could_not_pass_anyway_ask_the_issuer_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as service:
        assert await service.statuses(service.issuer.token()) == [200]
        service.issuer.rotate()
        tokens = (
            service.issuer.bad_token(Reason.TOKEN_EXPIRED),
            service.issuer.bad_token(Reason.AUDIENCE_MISMATCH),
            service.issuer.bad_token(Reason.ISSUER_UNTRUSTED),
        )
        assert await service.statuses(*tokens) == [401, 401, 401]
        assert service.fetches == 1
