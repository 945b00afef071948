"""A login, or a client in its own name, gets tokens; what cannot be leaves nothing behind."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Any

import pytest

from jwt_asgi.issuer import ClaimsError, Client, Fault, GrantError, KeySchedule, StoreUnavailable, TokenContext
from jwt_asgi.issuer.store import SQLiteStore
from tests.issuer.services import API, CLIENTS, Gate, claims_of, failing, running


class Role(StrEnum):
    ADMIN = "admin"


async def test_a_login_gets_an_access_token_and_a_refresh_token() -> None:
    async with running() as world:
        tokens = await world.login(tenant="acme", acr="otp", amr=["pwd"], claims={"roles": {Role.ADMIN}}, auth_time=5.5)
        claims = claims_of(tokens.access_token)
        members = ("sub", "aud", "scope", "tenant", "acr", "amr", "auth_time", "roles", "gen", "client_id")
        assert [claims[name] for name in members] == [
            "ada",
            API,
            "read write",
            "acme",
            "otp",
            ["pwd"],
            5,
            ["admin"],
            0,
            "spa",
        ]
        assert tokens.answer() == {
            "access_token": tokens.access_token,
            "token_type": "Bearer",
            "expires_in": 900,
            "scope": "read write",
            "refresh_token": tokens.refresh_token,
        }
        assert (tokens.session_until or 0) - world.clock.now == world.service.rotation.idle
        (session,) = await world.service.sessions("ada")
        assert (session.sid, session.claims, session.scopes) == (tokens.sid, {"roles": ["admin"]}, ("read", "write"))


async def test_a_client_without_the_grant_gets_no_refresh_token() -> None:
    async with running() as world:
        tokens = await world.login(client_id="job", scopes=())
        assert tokens.refresh_token is None
        assert tokens.answer().keys() == {"access_token", "token_type", "expires_in"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": "nobody"},
        {"subject": ""},
        {"subject": "a\x00b"},
        {"subject": "\ud800"},
        {"audience": []},
        {"audience": " "},
        {"scopes": "read write"},
        {"scopes": ["read write"]},
        {"scopes": [1, "a"]},
        {"amr": "pwd"},
        {"amr": [1]},
        {"acr": "a\nb"},
        {"tenant": ""},
        {"auth_time": float("nan")},
        {"auth_time": -1},
        {"claims": {"sub": "eve"}},
        {"claims": {"x": object()}},
        {"claims": ["roles"]},
        {"claims": {"x": "y" * 5000}},
        {"claims": {"x": 10**400}},
        {"proof": ("jkt", "\ud800")},
    ],
)
async def test_what_cannot_be_in_a_token_leaves_no_session(wrong: dict[str, Any]) -> None:
    async with running() as world:
        with pytest.raises(ClaimsError) as caught:
            await world.login(**wrong)
        assert "eve" not in str(caught.value)
        assert "yyy" not in str(caught.value)
        assert await world.service.sessions("ada") == []


async def test_a_mapper_that_refuses_leaves_no_session() -> None:
    async def mapper(context: TokenContext) -> Any:
        raise GrantError(Fault.INVALID_GRANT, "locked out")

    async with running(mapper=mapper) as world:
        with pytest.raises(GrantError):
            await world.login()
        assert await world.service.sessions("ada") == []


async def test_a_store_that_fails_begins_nothing_that_anybody_has_tokens_of() -> None:
    async with running() as world:
        world.store.before["add_session"] = failing(StoreUnavailable("gone"))
        with pytest.raises(StoreUnavailable):
            await world.login()
        assert await world.service.sessions("ada") == []
        await world.login()


@pytest.mark.parametrize("named", [{"subject": "ada"}, {"client": "spa"}])
async def test_a_login_that_is_under_way_while_everything_is_revoked_is_none(named: dict[str, str]) -> None:
    gate = Gate()

    async def mapper(context: TokenContext) -> Any:
        await gate()
        return {}

    async with running(mapper=mapper) as world:
        world.clock.now += 0.99
        login = asyncio.ensure_future(world.login())
        await gate.reached.wait()
        await world.service.revoke(**named)
        gate.opened.set()
        with pytest.raises(GrantError):
            await login
        assert await world.service.sessions("ada") == []
        world.clock.now += 0.02
        await world.login()


async def test_a_client_gets_a_token_in_its_own_name() -> None:
    async with running() as world:
        job = CLIENTS[2]
        tokens = await world.service.client_credentials(job)
        claims = claims_of(tokens.access_token)
        assert (claims["sub"], claims["client_id"], claims["aud"], claims["scope"]) == ("job", "job", API, "read write")
        assert (tokens.refresh_token, tokens.sid) == (None, None)
        assert not {"sid", "gen", "auth_time"} & claims.keys()
        other = await world.service.client_credentials(job, scopes=["read"], resources=["https://other.test"])
        claims = claims_of(other.access_token)
        assert (claims["aud"], claims["scope"]) == ("https://other.test", "read")


async def test_a_client_gets_no_more_than_is_registered() -> None:
    async with running() as world:
        job, spa = CLIENTS[2], CLIENTS[0]
        wrong: list[tuple[Client, dict[str, Any], Fault]] = [
            (job, {"scopes": ["admin"]}, Fault.INVALID_SCOPE),
            (job, {"resources": ["https://elsewhere.test"]}, Fault.INVALID_TARGET),
            (spa, {}, Fault.UNAUTHORIZED_CLIENT),
        ]
        for client, asked, fault in wrong:
            with pytest.raises(GrantError) as caught:
                await world.service.client_credentials(client, **asked)
            assert caught.value.fault is fault


async def test_stepping_up_begins_a_session_in_place_of_the_other() -> None:
    async with running() as world:
        first = await world.login(claims={"roles": ["user"]}, tenant="acme")
        stepped = await world.service.step_up(first.sid or "", acr="mfa", amr=["pwd", "otp"])
        before, after = claims_of(first.access_token), claims_of(stepped.access_token)
        assert before["sid"] != after["sid"]
        same = ("sub", "aud", "scope", "tenant", "roles", "client_id")
        assert [before[name] for name in same] == [after[name] for name in same]
        assert (after["acr"], after["amr"]) == ("mfa", ["pwd", "otp"])
        assert [session.sid for session in await world.service.sessions("ada")] == [stepped.sid]
        for ended in (first.sid, "", "x" * 22, "\ud800", stepped.sid + "="):  # type: ignore[operator]
            with pytest.raises(LookupError):
                await world.service.step_up(ended or "", acr="mfa")


async def test_when_stepping_up_fails_half_way_the_first_session_lives_and_can_step_up_again() -> None:
    async with running() as world:
        first = await world.login()
        world.store.before["end"] = failing(StoreUnavailable("gone"))
        with pytest.raises(StoreUnavailable):
            await world.service.step_up(first.sid or "", acr="mfa")
        await world.service.step_up(first.sid or "", acr="mfa")
        with pytest.raises(LookupError):
            await world.service.step_up(first.sid or "", acr="mfa")


async def test_entries_last_as_long_as_the_longest_token_whose_lifetime_was_made_shorter() -> None:
    async with running(lifetime=300, schedule=KeySchedule(longest_token=3600)) as world:
        first = await world.login()
        await world.service.revoke(session=first.sid)
        second = await world.login()
        for tokens in (second, await world.service.refresh(second.refresh_token or "", client_id="spa")):
            await world.service.refresh(tokens.refresh_token or "", client_id="spa")
        with pytest.raises(GrantError):
            await world.service.refresh(second.refresh_token or "", client_id="spa")
        entries = await world.store.store.entries(0)
        assert [entry.kind for entry in entries] == ["s", "s"]
        assert all(entry.until >= world.clock.now + 3600 for entry in entries)
        assert isinstance(world.store.store, SQLiteStore)
