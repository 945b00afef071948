"""What the token service promises of sessions, as users and those who run it see it; on SQLite and on PostgreSQL.

P1 a session has one newest refresh token, and whatever leads on leads to that. P2 of many who refresh at once with one
token, one rotates it, and all get the same. P3 whoever never got the answer asks again, minutes later. P4 an older
token ends the session, and its access tokens at every resource server. P5 no refresh token is to be had from the
database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from jwt_asgi import Reason
from jwt_asgi.issuer import StoreUnavailable
from jwt_asgi.issuer.types import Session
from tests.issuer.services import API, SECRET, claims_of, failing, made
from tests.stories.token_service import Story, snapshot, telling

AT_ONCE = 16


async def session_of(story: Story) -> Session:
    (session,) = await story.worlds[0].service.sessions("ada")
    return session


async def is_refused_soon(story: Story, token: str) -> Reason | None:
    """Call until it is refused; the time is bounded by how often the resource server looks."""
    async with asyncio.timeout(20):
        while await story.resource.status(token) == 200:
            await asyncio.sleep(0.01)
    return story.resource.reason


async def test_of_many_who_refresh_at_once_one_rotates_and_all_get_the_same(url: str) -> None:
    async with telling(url) as story:
        first = await story.worlds[0].login()
        answers = await asyncio.gather(*(story.refresh(first.refresh_token) for _ in range(AT_ONCE)))
        assert [answer.status for answer in answers] == [200] * AT_ONCE
        assert len({answer.json()["refresh_token"] for answer in answers}) == 1
        family = (await session_of(story)).family
        assert (family.generation, family.retries) == (1, AT_ONCE - 1)
        for answer in answers:
            assert await story.resource.status(answer.json()["access_token"]) == 200


async def test_two_tabs_that_go_on_for_hours_log_each_other_out_never(url: str) -> None:
    async with telling(url) as story:
        newest = (await story.worlds[0].login()).refresh_token
        for _ in range(8):
            story.clock.now += 600
            one, other = await asyncio.gather(story.refreshed(newest), story.refreshed(newest))
            assert one["refresh_token"] == other["refresh_token"]
            assert await story.resource.status(other["access_token"]) == 200
            newest = one["refresh_token"]
        assert (await session_of(story)).family.generation == 8


async def test_a_client_that_never_got_the_answer_asks_again_minutes_later(url: str) -> None:
    async with telling(url) as story:
        first = await story.worlds[0].login()
        lost = await story.refreshed(first.refresh_token)
        story.clock.now += 1800
        for world in story.worlds:
            world.store.after["present"] = failing(StoreUnavailable("the connection broke after the commit"))
        assert [(await story.refresh(first.refresh_token)).status for _ in range(2)] == [503, 503]
        again = await story.refreshed(first.refresh_token)
        assert again["refresh_token"] == lost["refresh_token"]
        newest = await story.refreshed(again["refresh_token"])
        assert claims_of(newest["access_token"])["gen"] == 2


async def by_refreshing(story: Story, tokens: dict[str, Any]) -> None:
    await story.refreshed(tokens["refresh_token"])


async def by_ack(story: Story, tokens: dict[str, Any]) -> None:
    asked = {"refresh_token": tokens["refresh_token"], "client_id": "spa"}
    assert (await story.world.post("/ack", asked)).status == 204


async def by_introspection(story: Story, tokens: dict[str, Any]) -> None:
    world = story.world
    assert (await world.post("/introspect", {"token": tokens["access_token"]}, basic=("api", SECRET))).status == 200
    await world.service.confirmations.flush()


async def by_a_call(story: Story, tokens: dict[str, Any]) -> None:
    assert await story.resource.status(tokens["access_token"]) == 200
    await story.worlds[0].service.confirmations.flush()


Confirm = Callable[[Story, dict[str, Any]], Awaitable[None]]


@pytest.mark.parametrize("confirm", [by_refreshing, by_ack, by_introspection, by_a_call])
async def test_the_token_before_is_good_until_the_newest_has_arrived_and_then_ends_the_session(
    url: str, confirm: Confirm
) -> None:
    async with telling(url) as story:
        first = await story.worlds[0].login()
        second = await story.refreshed(first.refresh_token)
        story.clock.now += 300
        assert (await story.refreshed(first.refresh_token))["refresh_token"] == second["refresh_token"]

        await confirm(story, second)
        if confirm is not by_refreshing:
            story.clock.now += 9
            assert (await story.refreshed(first.refresh_token))["refresh_token"] == second["refresh_token"]
            story.clock.now += 2
        assert await story.is_over(first.refresh_token)
        assert await story.is_over(second["refresh_token"]), "whoever has the newest"
        assert await is_refused_soon(story, second["access_token"]) is Reason.TOKEN_REVOKED
        assert await story.worlds[0].service.sessions("ada") == []


async def test_a_database_that_was_put_back_to_an_older_state_logs_nobody_out(url: str) -> None:
    async with telling(url, processes=1) as story:
        first = await story.worlds[0].login()
        second = await story.refreshed(first.refresh_token)
    backup = await snapshot(url)
    async with telling(url, processes=1) as story:
        third = await story.refreshed(second["refresh_token"])
    async with telling(backup, epoch=1) as story:
        assert await story.resource.status(third["access_token"]) == 200
        fourth = await story.refreshed(third["refresh_token"])
        assert claims_of(fourth["access_token"])["gen"] == 3
        assert (await story.refreshed(third["refresh_token"]))["refresh_token"] == fourth["refresh_token"]
        assert await story.is_over(first.refresh_token), "and an old one is still an old one"


async def test_a_thief_and_an_owner_who_both_refresh_are_found_out_and_both_are_out(url: str) -> None:
    async with telling(url) as story:
        first = await story.worlds[0].login()
        stolen = await story.refreshed(first.refresh_token)

        thiefs = await story.refreshed(stolen["refresh_token"])
        assert await story.resource.status(thiefs["access_token"]) == 200
        assert await story.resource.status(stolen["access_token"]) == 200
        await story.worlds[0].service.confirmations.flush()
        story.clock.now += 600

        assert await story.is_over(stolen["refresh_token"]), "the owner's next refresh"
        for token in (thiefs["access_token"], stolen["access_token"]):
            assert await is_refused_soon(story, token) is Reason.TOKEN_REVOKED
        assert await story.is_over(thiefs["refresh_token"])
        again = await story.worlds[1].login()
        assert await story.resource.status(again.access_token) == 200


async def test_a_thief_who_was_first_gains_no_chain_of_his_own(url: str) -> None:
    async with telling(url) as story:
        first = await story.worlds[0].login()
        owners, thiefs = await asyncio.gather(
            story.refreshed(first.refresh_token), story.refreshed(first.refresh_token)
        )
        assert owners["refresh_token"] == thiefs["refresh_token"], "one chain, so that the next step tells"
        await story.refreshed(thiefs["refresh_token"])
        newest = await story.refreshed((await story.refreshed(owners["refresh_token"]))["refresh_token"])
        assert await story.is_over(thiefs["refresh_token"])
        assert await story.is_over(newest["refresh_token"])


async def test_whoever_logs_out_everywhere_is_out_everywhere_and_in_again_at_once(url: str) -> None:
    async with telling(url) as story:
        story.clock.now += 0.97
        devices = [await world.login() for world in story.worlds * 2]
        other = await story.worlds[0].login(subject="eve")
        assert await story.world.service.revoke(subject="ada", reason="password changed") == 4
        for device in devices:
            assert await is_refused_soon(story, device.access_token) is Reason.TOKEN_REVOKED
            assert await story.is_over(device.refresh_token)
        story.clock.now += 0.04
        again = await story.worlds[1].login()
        assert await story.resource.status(again.access_token) == 200
        assert await story.resource.status(other.access_token) == 200


async def test_by_the_clock_of_the_database_itself_whoever_is_thrown_out_is_in_again_at_once(url: str) -> None:
    service, _ = made(url, None)
    async with service:
        who: dict[str, Any] = {"subject": "ada", "client_id": "spa", "audience": API}
        before = await service.issue(**who)
        refreshed = await service.refresh(before.refresh_token or "", client_id="spa")
        assert await service.revoke(subject="ada") == 1
        after = await service.issue(**who)
        caller = await service.find_client("api")
        assert caller is not None
        tokens = (before.access_token, refreshed.access_token, after.access_token)
        assert [(await service.introspect(token, caller))["active"] for token in tokens] == [False, False, True]
