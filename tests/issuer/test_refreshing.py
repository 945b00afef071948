"""A refresh token leads to the next one; what fails on the way can be tried again, and changes nothing that lasts."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_asgi.issuer import ClaimsError, Fault, GrantError, MasterKeys, RotationPolicy, StoreUnavailable, TokenContext
from jwt_asgi.issuer.confirmations import session_id
from jwt_asgi.issuer.refreshing import SessionEndedError
from jwt_asgi.issuer.rotation import FamilyStatus, Step, present
from tests.issuer.services import API, MASTER, Gate, World, claims_of, failing, made, running
from tests.issuer.store.world import Clock, make_session


async def refused(world: World, refresh_token: str | None, fault: Fault = Fault.INVALID_GRANT, **more: Any) -> bool:
    """Whether the session is said to be over."""
    assert refresh_token is not None
    with pytest.raises(GrantError) as caught:
        await world.service.refresh(refresh_token, **{"client_id": "spa", **more})
    assert caught.value.fault is fault
    return isinstance(caught.value, SessionEndedError)


async def family_of(world: World, sid: str | None) -> Any:
    found = session_id(sid or "")
    assert found is not None
    session = await world.store.store.session(found)
    assert session is not None
    return session.family


async def test_the_newest_leads_to_the_next_and_the_one_before_to_the_same() -> None:
    async with running() as world:
        first = await world.login(acr="otp", amr=["pwd", "otp"])
        second = await world.service.refresh(first.refresh_token or "", client_id="spa")
        again = await world.service.refresh(first.refresh_token or "", client_id="spa")
        assert first.refresh_token != second.refresh_token == again.refresh_token
        said = [claims_of(tokens.access_token) for tokens in (first, second, again)]
        assert [claims["gen"] for claims in said] == [0, 1, 1], "a retry's token confirms what a rotation's would"
        assert len({claims["jti"] for claims in said}) == 3
        kept = [{name: claims[name] for name in ("sid", "acr", "amr", "auth_time", "scope")} for claims in said]
        assert kept[0] == kept[1] == kept[2]
        assert "jrt_" not in repr(second)
        assert second.access_token not in repr(second)


async def test_fewer_scopes_are_of_the_access_token_alone() -> None:
    async with running() as world:
        first = await world.login(audience=[API, "https://other.test"])
        fewer = await world.service.refresh(
            first.refresh_token or "", client_id="spa", scopes=["read"], resources=["https://other.test"]
        )
        claims = claims_of(fewer.access_token)
        assert (claims["scope"], claims["aud"], claims["gen"]) == ("read", "https://other.test", 1)
        assert fewer.scopes == ("read",)
        after = await world.service.refresh(fewer.refresh_token or "", client_id="spa")
        assert after.scopes == ("read", "write")
        assert claims_of(after.access_token)["aud"] == [API, "https://other.test"]


async def test_what_was_not_granted_changes_nothing() -> None:
    async with running() as world:
        first = await world.login()
        before = await family_of(world, first.sid)
        assert not await refused(world, first.refresh_token, Fault.INVALID_SCOPE, scopes=["admin"])
        assert not await refused(world, first.refresh_token, Fault.INVALID_TARGET, resources=["https://other.test"])
        assert await family_of(world, first.sid) == before


async def test_nothing_is_told_of_a_session_to_another_client_nor_of_one_that_is_over() -> None:
    async with running() as world:
        first = await world.login()
        asked: list[dict[str, Any]] = [{}, {"scopes": ["admin"]}, {"resources": ["https://other.test"]}]
        for more in asked:
            assert not await refused(world, first.refresh_token, client_id="phone", **more)
        await world.service.revoke(session=first.sid)
        assert await refused(world, first.refresh_token, scopes=["admin"])


async def test_an_old_token_ends_the_session_whatever_scope_it_asks_for(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as world:
        first = await world.login()
        second = await world.service.refresh(first.refresh_token or "", client_id="spa")
        third = await world.service.refresh(second.refresh_token or "", client_id="spa")
        assert await refused(world, first.refresh_token, scopes=["admin"])
        assert (await family_of(world, first.sid)).status is FamilyStatus.REPLAYED
        assert await refused(world, third.refresh_token)
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warned == [f"session {first.sid} has ended: an old refresh token of it was shown"]


async def test_what_is_no_refresh_token_does_not_reach_the_store() -> None:
    async with running() as world:
        tokens = await world.login()
        world.store.calls.clear()
        for text in ("", "jrt_", tokens.access_token, (tokens.refresh_token or "") + "A", "jrt_" + "é" * 56, "\ud800"):
            assert not await refused(world, text)
            with pytest.raises(GrantError):
                await world.service.confirm(text)
        assert world.store.calls == []


async def test_a_session_that_was_forgotten_is_over() -> None:
    async with running() as world:
        unknown = world.service._parts.refresh_tokens.write(b"x" * 16, 0, 1)
        assert await refused(world, unknown)
        assert await refused(world, unknown, scopes=["read"])


async def test_a_bound_session_needs_its_proof() -> None:
    async with running() as world:
        first = await world.login(proof=("jkt", "thumbprint"))
        assert first.answer()["token_type"] == "DPoP"
        assert not await refused(world, first.refresh_token)
        assert not await refused(world, first.refresh_token, proof=("jkt", "another"))
        second = await world.service.refresh(first.refresh_token or "", client_id="spa", proof=("jkt", "thumbprint"))
        assert second.bound
        with pytest.raises(GrantError):
            await world.service.confirm(second.refresh_token or "", client_id="spa")
        assert await world.service.confirm(second.refresh_token or "", client_id="spa", proof=("jkt", "thumbprint"))


async def test_a_token_of_a_restored_database_catches_up_and_one_further_ahead_alarms(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as world:
        first = await world.login()
        session = (await world.service.sessions("ada"))[0]
        write = world.service._parts.refresh_tokens.write
        assert not await refused(world, write(session.id, 2, 1))
        assert "leaked master key" in caplog.text
        assert [record.levelno for record in caplog.records][-1] == logging.ERROR
        ahead = await world.service.refresh(write(session.id, 1, 1), client_id="spa")
        assert claims_of(ahead.access_token)["gen"] == 2
        assert await refused(world, first.refresh_token)


# What fails


@pytest.mark.parametrize("times", [30])
async def test_a_mapper_that_fails_for_long_ends_no_session(times: int) -> None:
    answers: list[Any] = []

    async def mapper(context: TokenContext) -> Any:
        answer = answers.pop() if answers else {}
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with running(mapper=mapper) as world:
        first = await world.login()
        before = await family_of(world, first.sid)
        wrong: list[Any] = [
            OSError("the directory is away"),
            GrantError(Fault.INVALID_GRANT),
            None,
            {"sub": "eve"},
            {"roles": 1},
        ]
        wrong += [{"roles": ["x" * 5000]}]
        for number in range(times):
            answers.append(wrong[number % len(wrong)])
            with pytest.raises((ClaimsError, GrantError)):
                await world.service.refresh(first.refresh_token or "", client_id="spa")
        assert await family_of(world, first.sid) == before, "nothing was rotated, and no retry was counted"
        answers.append({"roles": ["admin"]})
        second = await world.service.refresh(first.refresh_token or "", client_id="spa")
        claims = claims_of(second.access_token)
        assert (claims["gen"], claims["roles"]) == (1, ["admin"])


async def test_the_mapper_sees_what_the_token_will_say() -> None:
    seen: list[TokenContext] = []

    async def mapper(context: TokenContext) -> Any:
        seen.append(context)
        return {}

    async with running(mapper=mapper) as world:
        first = await world.login()
        second = await world.service.refresh(first.refresh_token or "", client_id="spa", scopes=["read"])
        assert [(context.generation, context.scopes) for context in seen] == [(0, ("read", "write")), (1, ("read",))]
        await refused(world, first.refresh_token, client_id="phone")
        await world.service.refresh(second.refresh_token or "", client_id="spa")
        await refused(world, first.refresh_token)
        assert len(seen) == 3, "who is refused is not asked about"


async def test_while_the_mapper_takes_its_time_the_session_may_end() -> None:
    gate = Gate()

    async def mapper(context: TokenContext) -> Any:
        if context.generation:
            await gate()
        return {}

    async with running(mapper=mapper) as world:
        first = await world.login()
        asking = asyncio.ensure_future(refused(world, first.refresh_token))
        await gate.reached.wait()
        await world.service.revoke(session=first.sid)
        gate.opened.set()
        assert await asking


async def test_two_who_come_together_get_one_token_though_both_were_made_before() -> None:
    gate = Gate()

    async def mapper(context: TokenContext) -> Any:
        if context.generation:
            await gate()
        return {}

    async with running(mapper=mapper) as world:
        first = await world.login()
        asking = [
            asyncio.ensure_future(world.service.refresh(first.refresh_token or "", client_id="spa")) for _ in range(2)
        ]
        await gate.reached.wait()
        await asyncio.sleep(0.01)
        gate.opened.set()
        one, other = await asyncio.gather(*asking)
        assert one.refresh_token == other.refresh_token
        assert {claims_of(tokens.access_token)["gen"] for tokens in (one, other)} == {1}


async def test_a_session_that_comes_to_be_while_it_is_looked_at_has_its_token_made_afterwards() -> None:
    asked: list[int] = []

    async def mapper(context: TokenContext) -> Any:
        asked.append(1)
        return {}

    async with running(mapper=mapper) as world:
        first = await world.login()
        real = world.store.store.session

        async def nothing(found: bytes) -> None:
            return None

        world.store.store.session = nothing  # type: ignore[method-assign,assignment]
        second = await world.service.refresh(first.refresh_token or "", client_id="spa")
        world.store.store.session = real  # type: ignore[method-assign]
        assert claims_of(second.access_token)["gen"] == 1
        assert len(asked) == 2


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["present", "now", "session"])
async def test_a_store_that_fails_at_any_step_leaves_what_can_be_tried_again(call: str, when: str) -> None:
    async with running() as world:
        first = await world.login()
        getattr(world.store, when)[call] = failing(StoreUnavailable("gone"))
        if call == "present":
            with pytest.raises(StoreUnavailable):
                await world.service.refresh(first.refresh_token or "", client_id="spa")
        else:
            with pytest.raises(StoreUnavailable):
                await world.service.refresh(first.refresh_token or "", client_id="spa", scopes=["read"])
        second = await world.service.refresh(first.refresh_token or "", client_id="spa")
        third = await world.service.refresh(second.refresh_token or "", client_id="spa")
        assert claims_of(third.access_token)["gen"] == 2


async def test_a_signing_key_that_cannot_be_read_is_noticed_before_anything_is_rotated() -> None:
    async with running() as world:
        first = await world.login()
        before = await family_of(world, first.sid)
        world.service.keys._read_at = -1000.0
        world.store.before["keys"] = failing(StoreUnavailable("gone"), times=20)
        for _ in range(20):
            with pytest.raises(StoreUnavailable):
                await world.service.refresh(first.refresh_token or "", client_id="spa")
        assert await family_of(world, first.sid) == before
        await world.service.refresh(first.refresh_token or "", client_id="spa")


async def test_a_process_without_the_newest_master_key_says_so_and_does_not_fail_blindly() -> None:
    async with running() as world:
        first = await world.login()
        both = MasterKeys.from_text(f"{MasterKeys.new(2)},{_text_of(MASTER)}")
        newer, _ = made(f"sqlite:///{world.path}", world.clock, master_keys=both)
        await newer.refresh(first.refresh_token or "", client_id="spa")
        answer = await world.refresh(first.refresh_token)
        assert (answer.status, answer.json()["error"]) == (500, "server_error")
        await newer.aclose()


async def test_a_new_master_key_reaches_one_process_after_another_and_logs_nobody_out() -> None:
    old, both = _text_of(MASTER), f"{MasterKeys.new(2)},{_text_of(MASTER)}"
    async with running() as world:
        newest = (await world.login()).refresh_token or ""
        for steps in [(old, f"{both},current=1"), (f"{both},current=1", both), (both, both)]:
            for text in (*steps, *steps):
                masters = MasterKeys.from_text(text)
                process, _ = made(f"sqlite:///{world.path}", world.clock, master_keys=masters)
                before, newest = newest, (await process.refresh(newest, client_id="spa")).refresh_token or ""
                assert (await process.refresh(before, client_id="spa")).refresh_token == newest
                await process.keys.rotate(unannounced=True)
                await process.keys.reseal()
                await process.aclose()
        (session,) = await world.service.sessions("ada")
        assert session.key_version == 2


def _text_of(keys: MasterKeys) -> str:
    return ",".join(f"{version}:{b64encode(key).decode()}" for version, key in keys._keys.items())


# Confirmation


async def test_a_confirmation_is_news_once_and_ends_what_the_parent_was_good_for() -> None:
    async with running() as world:
        first = await world.login()
        second = await world.service.refresh(first.refresh_token or "", client_id="spa")
        assert not await world.service.confirm(first.refresh_token or "", client_id="spa"), "it is not the newest"
        assert await world.service.confirm(second.refresh_token or "", client_id="spa")
        assert not await world.service.confirm(second.refresh_token or "")
        world.clock.now += 9
        await world.service.refresh(first.refresh_token or "", client_id="spa")
        world.clock.now += 2
        assert await refused(world, first.refresh_token)


async def test_another_client_confirms_nothing() -> None:
    async with running() as world:
        first = await world.login()
        second = await world.service.refresh(first.refresh_token or "", client_id="spa")
        with pytest.raises(GrantError) as caught:
            await world.service.confirm(second.refresh_token or "", client_id="phone")
        assert not isinstance(caught.value, SessionEndedError)
        assert (await family_of(world, first.sid)).confirmed_at is None
        unknown = world.service._parts.refresh_tokens.write(b"x" * 16, 0, 1)
        with pytest.raises(SessionEndedError):
            await world.service.confirm(unknown, client_id="spa")
        assert not await world.service.confirm(unknown)


@given(
    generation=st.integers(0, 6),
    shown=st.integers(0, 6),
    confirmed=st.booleans(),
    retries=st.integers(0, 3),
    reuse=st.sampled_from(["confirmed", "strict"]),
)
def test_whatever_leads_on_leads_to_the_generation_after_the_one_that_was_shown(
    generation: int, shown: int, confirmed: bool, retries: int, reuse: Any
) -> None:
    policy, now = RotationPolicy(retries=2, reuse=reuse), Clock().now
    family = make_session(now, generation=generation).family
    family = replace(family, retries=retries, confirmed_at=now if confirmed else None)
    outcome = present(family, shown, client_id="spa", proof=None, policy=policy, now=now + 20)
    if outcome.step in {Step.ROTATE, Step.RETRY, Step.CATCH_UP}:
        assert outcome.family.generation == shown + 1
