"""What is revoked is over, in the store and for resource servers, and nothing else is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jwt_asgi._core.revocation import key_of
from jwt_asgi.issuer import StoreUnavailable
from jwt_asgi.issuer.own_tokens import is_revoked
from tests.issuer.services import CLIENTS, Gate, World, claims_of, failing, running
from tests.issuer.store.world import ISSUER

SPA, PHONE = CLIENTS[0], CLIENTS[1]


async def kinds(world: World) -> str:
    return "".join(entry.kind for entry in await world.store.store.entries(0))


async def covered(world: World, token: str) -> bool:
    """Whether resource servers refuse it."""
    claims = claims_of(token)
    named = {"s": claims.get("sid"), "j": claims["jti"], "u": claims["sub"], "c": claims["client_id"]}
    keys = [key_of(ISSUER, kind, value) for kind, value in named.items() if value is not None]  # type: ignore[arg-type]
    return is_revoked(claims, await world.store.store.find_entries(keys))


async def test_a_session_ends_by_its_name_and_no_other_spelling_of_it() -> None:
    async with running() as world:
        one, other = await world.login(), await world.login()
        sid = one.sid or ""
        for spelling in (
            f"{sid}=",
            f" {sid}",
            f"{sid[:5]}\n{sid[5:]}",
            sid[:-1],
            "",
            "é" * 22,
            "\ud800" * 22,
            "~" * 22,
        ):
            assert await world.service.revoke(session=spelling) == 0
        assert await kinds(world) == ""
        assert await world.service.revoke(session=sid, reason="logout") == 1
        assert await world.service.revoke(session=sid) == 0
        assert await kinds(world) == "s"
        assert await covered(world, one.access_token)
        assert not await covered(world, other.access_token)
        assert [session.sid for session in await world.service.sessions("ada")] == [other.sid]


@pytest.mark.parametrize("named", [{"subject": "ada"}, {"client": "spa"}])
async def test_all_that_somebody_has_ends_and_the_next_login_is_good(named: dict[str, str]) -> None:
    async with running() as world:
        world.clock.now += 0.98
        tokens = [await world.login() for _ in range(3)]
        eve = await world.login(subject="eve", client_id="phone")
        assert await world.service.revoke(**named) == 3
        assert [await covered(world, each.access_token) for each in tokens] == [True] * 3
        assert not await covered(world, eve.access_token)
        world.clock.now += 0.03
        assert not await covered(world, (await world.login()).access_token)
        assert await world.service.revoke(subject="a\x00b") == 0


async def test_a_token_that_is_made_while_the_revocation_waits_for_its_turn_is_covered() -> None:
    async with running() as world:
        world.clock.now += 0.9
        first = await world.login()
        gate = Gate()
        world.store.before["end"] = gate
        revoking = asyncio.ensure_future(world.service.revoke(subject="ada"))
        await gate.reached.wait()
        world.clock.now += 3
        second = await world.service.refresh(first.refresh_token or "", client_id="spa")
        assert claims_of(second.access_token)["iat"] > claims_of(first.access_token)["iat"]
        gate.opened.set()
        assert await revoking == 1
        assert await covered(world, second.access_token)


async def test_a_client_takes_back_its_own_tokens_alone() -> None:
    async with running() as world:
        tokens = await world.login()
        other = await world.login()
        for token in (tokens.access_token, tokens.refresh_token or ""):
            await world.service.revoke_for(PHONE, token)
        assert await kinds(world) == ""
        await world.service.revoke_for(SPA, tokens.access_token)
        assert await kinds(world) == "j"
        assert await covered(world, tokens.access_token)
        assert not await covered(world, other.access_token)
        renewed = await world.service.refresh(tokens.refresh_token or "", client_id="spa")
        await world.service.revoke_for(SPA, tokens.refresh_token or "")
        assert await covered(world, renewed.access_token), "an older refresh token of the session names it as well"
        assert await kinds(world) == "js"


async def test_what_is_no_token_of_ours_is_nothing_to_take_back() -> None:
    async with running() as world:
        tokens = await world.login()
        head, payload, signature = tokens.access_token.split(".")
        forged = f"{head}.{payload}.{'A' * len(signature)}"
        unknown = world.service._parts.refresh_tokens.write(b"x" * 16, 0, 1)
        for text in ("", "x", "\ud800", "a.b.c", forged, unknown, f"jrt_{'A' * 56}", "jrt_", "." * 20_000):
            assert await world.service.revoke(token=text) == 0
        world.clock.now += 901
        assert await world.service.revoke(token=tokens.access_token) == 0, "it has expired"
        assert await kinds(world) == ""
        assert await world.service.revoke(token=tokens.refresh_token) == 1
        assert await world.service.revoke(token=tokens.refresh_token) == 0


async def test_a_key_is_taken_back_by_its_name() -> None:
    async with running() as world:
        (key,) = world.service.keys.stored
        assert await world.service.revoke(key=key.kid) == 1
        assert await kinds(world) == "k"
        with pytest.raises(LookupError):
            await world.service.revoke(key="another")


@pytest.mark.parametrize("named", [{}, {"session": "a", "subject": "b"}])
async def test_exactly_one_thing_is_named(named: Any) -> None:
    async with running(started=False) as world:
        with pytest.raises(ValueError, match="exactly one"):
            await world.service.revoke(**named)


async def test_a_store_that_fails_says_so_and_the_revocation_can_be_asked_for_again() -> None:
    async with running() as world:
        world.clock.now += 0.98
        first = await world.login()
        for named in ({"session": first.sid}, {"subject": "ada"}, {"token": first.refresh_token}):
            world.store.before["end"] = failing(StoreUnavailable("gone"))
            with pytest.raises(StoreUnavailable):
                await world.service.revoke(**named)
            assert len(await world.service.sessions("ada")) == 1
        world.store.after["end"] = failing(StoreUnavailable("the answer was lost"))
        with pytest.raises(StoreUnavailable):
            await world.service.revoke(subject="ada")
        assert await world.service.revoke(subject="ada") == 0
        assert await covered(world, first.access_token)
