"""The parts together: how a service begins and ends, and what it refuses to begin with."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer import (
    ClaimsError,
    Client,
    KeySchedule,
    MasterKeys,
    RotationPolicy,
    SQLiteStore,
    StoreUnavailable,
    TokenService,
)
from jwt_asgi.issuer.types import KeyChange, KeyState
from tests.issuer.services import API, CLIENTS, MASTER, Gate, World, claims_of, copied, failing, made, running, template
from tests.issuer.store.postgresql import fast_folder
from tests.issuer.store.world import ISSUER


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"lifetime": 901}, "schedule longest_token"),
        ({"lifetime": 20, "rotation": RotationPolicy(grace=10)}, "rotation grace"),
        ({"lifetime": 0}, "lifetime"),
        ({"master_keys": "1:abc"}, "master_keys"),
        ({"clients": ["spa"]}, "clients"),
        ({"clients": [CLIENTS[0], CLIENTS[0]]}, "clients"),
        ({"store": "mysql://x"}, "store"),
        ({"epoch": -1}, "epoch"),
        ({"collect_every": 0.5}, "collect_every"),
        ({"issuer": ""}, "issuer"),
        ({"issuer": "auth.test"}, "issuer"),
        ({"issuer": "https://auth.test/?a=b"}, "issuer"),
        ({"issuer": "https://auth.test/#a"}, "issuer"),
        ({"issuer": "https://user@auth.test"}, "issuer"),
        ({"issuer": "ftp://auth.test"}, "issuer"),
        ({"issuer": "https://[::1"}, "issuer"),
    ],
)
def test_options_that_are_wrong_or_do_not_go_together_are_refused(options: dict[str, Any], says: str) -> None:
    given: dict[str, Any] = {
        "issuer": ISSUER,
        "store": "sqlite:///x.db",
        "master_keys": MASTER,
        "clients": CLIENTS,
        "schedule": KeySchedule(),
    }
    with pytest.raises(ConfigurationError) as caught:
        TokenService(**{**given, **options})
    assert caught.value.option == says


def test_a_store_that_is_named_knows_the_issuer_and_the_longest_token() -> None:
    service = TokenService(
        issuer="http://localhost:8000/auth",
        store="sqlite:///x.db",
        master_keys=MASTER,
        clients=CLIENTS,
        schedule=KeySchedule(longest_token=3600),
    )
    assert isinstance(service.store, SQLiteStore)
    assert (service.store._issuer, service.store._longest_token) == (service.issuer, 3600)


async def test_a_store_without_tables_stops_the_start_with_what_to_do() -> None:
    with tempfile.TemporaryDirectory() as folder:
        service, _ = made(f"sqlite:///{folder}/x.db", None)
        with pytest.raises(ConfigurationError, match="migrate"):
            async with service:
                raise AssertionError


async def test_many_who_start_it_start_it_once() -> None:
    async with running(started=False) as world:
        await asyncio.gather(*(world.service.start() for _ in range(20)))
        assert world.store.calls.count("keys") == 1
        assert world.store.calls.count("entries") == 1
        tasks = len(asyncio.all_tasks())
        await world.service.start()
        assert len(asyncio.all_tasks()) == tasks


async def test_a_start_that_fails_can_be_tried_again() -> None:
    async with running(started=False) as world:
        world.store.before["entries"] = failing(StoreUnavailable("gone"))
        with pytest.raises(StoreUnavailable):
            await world.service.start()
        assert (await world.post("/revoke", {"token": "x", "client_id": "spa"})).status == 200


async def test_what_is_under_way_when_it_is_closed_ends_and_nothing_begins_again() -> None:
    async with running() as world:
        first = await world.login()
        gate = Gate()
        world.store.after["present"] = gate
        before = asyncio.all_tasks()
        refreshing = asyncio.ensure_future(world.refresh(first.refresh_token))
        await gate.reached.wait()
        await world.service.aclose()
        gate.opened.set()
        assert (await refreshing).status == 200, "it was rotated, and the signing key is at hand"
        late = [await world.refresh(first.refresh_token), await world.post("/introspect", {"token": "x"})]
        assert [answer.status for answer in late] == [503, 503]
        assert all(answer.header("retry-after") == "1" for answer in late)
        assert asyncio.all_tasks() <= before
        await world.service.aclose()


async def test_a_start_that_is_under_way_when_it_is_closed_leaves_nothing_running() -> None:
    async with running(started=False) as world:
        gate = Gate()
        world.store.after["entries"] = gate
        before = asyncio.all_tasks()
        starting = asyncio.ensure_future(world.service.start())
        await gate.reached.wait()
        await world.service.aclose()
        gate.opened.set()
        await asyncio.gather(starting, return_exceptions=True)
        assert asyncio.all_tasks() <= before


def test_one_event_loop_after_another_may_use_it() -> None:
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        path = Path(folder) / "x.db"
        path.write_bytes(asyncio.run(template()))
        service, _ = made(f"sqlite:///{path}", None)

        async def use(*, close: bool) -> None:
            await asyncio.gather(*(service.start() for _ in range(3)))
            assert service._housekeeping.is_running
            await asyncio.gather(*(service.keys.ready() for _ in range(3)), service.keys.look(), service.keys.look())
            tokens = await service.issue(subject="ada", client_id="spa", audience=API)
            await service.refresh(tokens.refresh_token or "", client_id="spa")
            if close:
                await service.aclose()

        for last in (False, False, True):
            asyncio.run(use(close=last))


async def test_clients_may_be_looked_up() -> None:
    asked: list[str] = []

    async def find(client_id: str) -> Client | None:
        asked.append(client_id)
        return CLIENTS[0] if client_id in {"spa", "alias"} else None

    async with running(clients=find) as world:
        tokens = await world.login()
        assert (await world.refresh(tokens.refresh_token)).status == 200
        assert (await world.refresh(tokens.refresh_token, client_id="alias")).status == 401, "it is another's name"
        with pytest.raises(ClaimsError):
            await world.login(client_id="nobody")
        assert asked == ["spa", "spa", "alias", "nobody"]


async def test_sessions_are_the_users_devices() -> None:
    async with running() as world:
        one = await world.login()
        world.clock.now += 1
        other = await world.login()
        await world.login(subject="eve")
        assert [session.sid for session in await world.service.sessions("ada")] == [one.sid, other.sid]
        assert await world.service.sessions("\x00") == []


# A stolen copy of the database


async def test_a_stolen_database_gives_a_thief_with_other_master_keys_nothing() -> None:
    async with running() as world, running() as elsewhere:
        tokens = await world.login()
        tokens = await world.service.refresh(tokens.refresh_token or "", client_id="spa")
        assert world.path is not None
        assert elsewhere.path is not None
        stolen = copied(world.path, elsewhere.path.parent / "stolen")
        thief, _ = made(f"sqlite:///{stolen}", world.clock, master_keys=MasterKeys.from_text(MasterKeys.new()))
        with pytest.raises(ConfigurationError, match="does not open"):
            await thief.start()
        (session,) = await thief.sessions("ada")

        # A refresh token of each generation, as his own keys write it, and with all that the rows hold
        written = thief._parts.refresh_tokens.write
        forged = [written(session.id, generation, 1) for generation in range(4)]
        assert {(await world.refresh(token)).json()["error"] for token in forged} == {"invalid_grant"}
        assert len(await world.service.sessions("ada")) == 1, "and the owner's session lives"
        await thief.aclose()


async def test_a_thief_who_makes_keys_of_his_own_in_the_stolen_copy_signs_nothing_that_is_good_here() -> None:
    async with running() as world, running() as elsewhere:
        await steal_and_sign(world, elsewhere)


async def steal_and_sign(world: World, elsewhere: World) -> None:
    await world.login()
    assert world.path is not None
    assert elsewhere.path is not None
    stolen = copied(world.path, elsewhere.path.parent / "stolen")
    raw = b"".join(part.read_bytes() for part in stolen.parent.iterdir())
    key = next(iter(world.service.keys._opened.values()))
    secret = key._private.private_numbers().private_value.to_bytes(32, "big")  # type: ignore[union-attr]
    assert secret not in raw
    assert key.kid.encode() in raw
    thief, watched = made(f"sqlite:///{stolen}", world.clock, master_keys=MasterKeys.from_text(MasterKeys.new()))
    _erase_keys(stolen)
    forged = await thief.issue(subject="ada", client_id="spa", audience=API, scopes=["admin"])
    assert claims_of(forged.access_token)["iss"] == ISSUER
    assert not (await world.introspect(forged.access_token))["active"]
    assert (await world.refresh(forged.refresh_token)).status == 400
    assert await world.service.revoke(token=forged.access_token) == 0
    assert "keys" in watched.calls
    await thief.aclose()


def _erase_keys(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM jwt_asgi_key")
    connection.commit()
    connection.close()


async def test_a_key_that_was_put_into_the_database_is_neither_published_nor_used() -> None:
    async with running() as world, running(started=False) as elsewhere:
        foreign = MasterKeys.from_text(MasterKeys.new())
        thief, _ = made(f"sqlite:///{elsewhere.path}", world.clock, master_keys=foreign)
        await thief.start()
        (planted,) = thief.keys.stored

        def plant(keys: Any, now: float) -> Any:
            return KeyChange(keys=[replace(planted, state=KeyState.STAGED)])

        before = world.service.keys.document
        await world.service.store.change_keys(plant)
        with pytest.raises(ConfigurationError):
            await world.service.keys.look()
        assert world.service.keys.document is before
        with pytest.raises(ConfigurationError):
            await world.service.keys.rotate()
        await world.service.revoke(key=planted.kid, reason="it is none of ours")
        await world.service.keys.look()
        assert world.service.keys.document == before
        await thief.aclose()
