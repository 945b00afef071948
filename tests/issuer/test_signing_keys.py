"""A process signs with what the store has now, and with nothing that it has not read for a minute."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from jwt_asgi._core.jwks import KeySet
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer import KeySchedule, MasterKeys, StoreUnavailable, signing, signing_keys
from jwt_asgi.issuer.signing import Keychain
from jwt_asgi.issuer.signing_keys import SigningKeys
from jwt_asgi.issuer.types import KeyState
from tests.issuer.services import MASTER, Gate, World, failing, made, running
from tests.issuer.store.world import ISSUER, Clock

DAY = 86_400.0


def keys_of(world: World, clock: Clock | None = None, **schedule: Any) -> SigningKeys:
    """Those of another process on the same database."""
    return SigningKeys(
        world.service.store,
        Keychain(MASTER.sealing()),
        KeySchedule(**schedule),
        issuer=ISSUER,
        clock=clock or Clock(),
    )


def states(keys: SigningKeys) -> list[KeyState]:
    return [key.state for key in keys.stored]


async def test_before_anything_was_read_there_is_nothing_to_sign_or_to_verify_with() -> None:
    async with running(started=False) as world:
        keys = keys_of(world)
        assert (keys.age, keys.stored, keys.document.body) == (None, (), b'{"keys":[]}')
        assert isinstance(keys.public, KeySet)
        signer = await keys.signer(world.clock.now)
        assert keys.age == 0
        assert signer.kid in keys.document.body.decode()
        assert keys.public.lookup(signer.kid, "ES256")
        assert states(keys) == [KeyState.ACTIVE]


async def test_many_who_come_at_once_read_once() -> None:
    async with running(started=False) as world:
        keys = keys_of(world)
        signers = await asyncio.gather(*(keys.signer(world.clock.now) for _ in range(50)))
        assert len({signer.kid for signer in signers}) == 1
        assert world.store.calls.count("keys") == 1
        assert world.store.calls.count("change_keys") == 1


async def test_many_who_come_at_once_fail_at_once() -> None:
    async with running(started=False) as world:
        keys = keys_of(world)
        world.store.before["keys"] = failing(StoreUnavailable("gone"))
        outcomes = await asyncio.gather(*(keys.ready() for _ in range(50)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 50
        assert world.store.calls == ["keys"]


async def test_what_was_read_a_minute_ago_signs_nothing_but_stays_published() -> None:
    async with running(started=False) as world:
        clock = Clock()
        keys = keys_of(world, clock)
        await keys.signer(world.clock.now)
        document = keys.document
        clock.now += 60
        world.store.calls.clear()
        await keys.signer(world.clock.now)
        assert world.store.calls == []
        clock.now += 1
        world.store.before["keys"] = failing(StoreUnavailable("gone"))
        with pytest.raises(StoreUnavailable):
            await keys.signer(world.clock.now)
        assert keys.document is document
        await keys.signer(world.clock.now)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing_keys, "SPREAD", 0.0)


async def test_a_key_that_was_made_in_place_of_another_waits_until_all_processes_publish_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signing_keys, "SPREAD", 0.2)
    async with running(started=False) as world:
        keys = keys_of(world)
        await keys.look()
        await keys.revoke(keys.stored[0].kid, reason="stolen")
        for now, least in ((0.0, 0.19), (-3600.0, 0.19), (0.1, 0.09), (0.2, 0.0)):
            began = time.monotonic()
            async with asyncio.timeout(5):
                await keys.signer(world.clock.now + now)
            assert time.monotonic() - began >= least


async def test_a_key_that_was_announced_signs_in_place_of_another_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing_keys, "SPREAD", 60.0)
    async with running(started=False) as world:
        keys = keys_of(world)
        await keys.look()
        world.clock.now += 89 * DAY
        await keys.look()
        world.clock.now += 60
        active = next(key for key in keys.stored if key.state is KeyState.ACTIVE)
        await keys.revoke(active.kid, reason="stolen")
        async with asyncio.timeout(5):
            assert (await keys.signer(world.clock.now)).kid != active.kid


@pytest.mark.usefixtures("at_once")
async def test_a_key_that_another_process_has_revoked_signs_no_longer_than_a_minute() -> None:
    async with running(started=False) as world:
        clock = Clock()
        one, other = keys_of(world, clock), keys_of(world, clock)
        stolen = (await one.signer(world.clock.now)).kid
        await other.look()
        await other.revoke(stolen, reason="stolen")
        assert stolen not in other.document.body.decode()
        assert (await other.signer(world.clock.now)).kid != stolen
        clock.now += 61
        assert (await one.signer(world.clock.now)).kid == (await other.signer(world.clock.now)).kid


@pytest.mark.parametrize("change", ["revoke", "rotate"])
async def test_what_was_read_before_a_change_is_not_taken_after_it(change: str) -> None:
    async with running(started=False) as world:
        keys = keys_of(world)
        await keys.look()
        (key,) = keys.stored
        gate = Gate()
        world.store.after["keys"] = gate
        looking = asyncio.ensure_future(keys.look())
        await gate.reached.wait()
        changing = asyncio.ensure_future(
            keys.revoke(key.kid, reason="stolen") if change == "revoke" else keys.rotate(unannounced=True)
        )
        await asyncio.wait({changing}, timeout=0.3)
        gate.opened.set()
        await asyncio.gather(looking, changing)
        assert keys.stored == await world.store.store.keys()
        before = KeyState.REVOKED if change == "revoke" else KeyState.RETIRING
        assert {*states(keys)} == {before, KeyState.ACTIVE}


async def test_how_old_they_are_counts_from_before_they_were_read() -> None:
    async with running(started=False) as world:
        clock = Clock()
        keys = keys_of(world, clock)

        async def slow() -> None:
            clock.now += 5

        world.store.before["keys"] = slow
        await keys.look()
        assert keys.age == 5


async def test_a_key_is_announced_and_signs_when_its_time_has_come() -> None:
    async with running(started=False) as world:
        clock = Clock()
        keys = keys_of(world, clock)
        first = (await keys.signer(world.clock.now)).kid
        world.clock.now += 89 * DAY
        await keys.look()
        assert states(keys) == [KeyState.ACTIVE, KeyState.STAGED]
        world.clock.now += DAY
        await keys.look()
        assert states(keys) == [KeyState.RETIRING, KeyState.ACTIVE]
        assert (await keys.signer(world.clock.now)).kid == first
        second = (await keys.signer(world.clock.now + 60)).kid
        assert second != first
        assert keys.document.body.count(b'"kid"') == 2
        world.clock.now += DAY
        await keys.look()
        assert states(keys)[0] is KeyState.GONE
        assert first not in keys.document.body.decode()


async def test_looking_makes_no_key_that_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(started=False) as world:
        keys = keys_of(world)
        made_keys: list[str] = []
        mint = Keychain.mint

        def counted(self: Keychain, alg: str, now: float) -> Any:
            made_keys.append(alg)
            return mint(self, alg, now)

        monkeypatch.setattr(signing.Keychain, "mint", counted)
        for _ in range(3):
            await keys.look()
        assert made_keys == ["ES256"]


async def test_keys_of_other_master_keys_are_said_to_be_so() -> None:
    async with running() as world:
        other = MasterKeys.from_text(MasterKeys.new())
        thief, _ = made(f"sqlite:///{world.path}", world.clock, master_keys=other)
        with pytest.raises(ConfigurationError, match="does not open"):
            await thief.start()
        with pytest.raises(ConfigurationError):
            async with thief:
                raise AssertionError("it has started")
        with pytest.raises(StoreUnavailable, match="closed"):
            await thief.start()


async def test_sealing_anew_lets_the_older_master_key_go() -> None:
    async with running(started=False) as world:
        old, new = MASTER._keys[1], MasterKeys.from_text(MasterKeys.new(2))._keys[2]
        await keys_of(world).look()

        def with_masters(masters: dict[int, bytes]) -> SigningKeys:
            chain = Keychain(MasterKeys(masters).sealing())
            return SigningKeys(world.service.store, chain, KeySchedule(), issuer=ISSUER)

        both = with_masters({1: old, 2: new})
        assert await both.reseal() == 1
        assert await both.reseal() == 0
        assert (await both.signer(world.clock.now)).kid == both.stored[0].kid
        newest = with_masters({2: new})
        await newest.look()
        with pytest.raises(ConfigurationError):
            await with_masters({1: old}).look()


async def test_without_any_key_that_signs_nothing_is_signed() -> None:
    async with running(started=False) as world:
        keys = keys_of(world)
        await keys.look()
        keys._opened = {}
        with pytest.raises(StoreUnavailable, match="no signing key"):
            await keys.signer(world.clock.now)
        await keys.aclose()
