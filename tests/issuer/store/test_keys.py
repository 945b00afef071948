"""Signing keys are changed by one process at a time, and one of each algorithm is active."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from jwt_asgi.issuer.types import Entry, KeyChange, KeyState, Record, StoredKey
from tests.issuer.store.world import DAY, AnyStore, Clock, make_store


def key(kid: str, state: KeyState = KeyState.STAGED, created_at: float = 1.0, alg: str = "ES256") -> StoredKey:
    public = {"kty": "EC", "kid": kid, "alg": alg}
    return StoredKey(
        kid=kid, alg=alg, state=state, sealed=b"sealed\x00" + kid.encode(), public=public, created_at=created_at
    )


async def keep(store: AnyStore, *keys: StoredKey) -> list[StoredKey]:
    return await store.change_keys(lambda _keys, _now: KeyChange(keys=keys))


async def test_keys_are_read_as_they_were_written_the_oldest_first(store: AnyStore) -> None:
    late = replace(key("a", created_at=2.0), sign_from=3.0, sign_until=4.5, publish_until=6.0)
    early = key("b", KeyState.ACTIVE)
    assert await keep(store, late, early) == [early, late] == await store.keys()
    assert await store.change_keys(lambda _keys, _now: KeyChange()) == [early, late]


async def test_what_decides_sees_all_keys_and_the_time_and_may_write_logs(timed: AnyStore, clock: Clock) -> None:
    await keep(timed, key("a", KeyState.ACTIVE), key("b"))
    seen: list[tuple[Sequence[StoredKey], float]] = []

    def decide(keys: Sequence[StoredKey], now: float) -> KeyChange:
        seen.append((keys, now))
        changed = [replace(keys[0], state=KeyState.REVOKED), replace(keys[1], state=KeyState.ACTIVE)]
        entry = Entry(seq=0, kind="k", key=b"8 bytes.", until=now + 1)
        return KeyChange(keys=changed, entries=[entry], records=[Record(event="key.revoked", at=now, members={})])

    keys = await timed.change_keys(decide, [Record(event="admin.keys", at=clock.now, members={})])
    assert seen == [([key("a", KeyState.ACTIVE), key("b")], clock.now)]
    assert [(found.kid, found.state) for found in keys] == [("a", KeyState.REVOKED), ("b", KeyState.ACTIVE)]
    assert [entry.kind for entry in await timed.entries(0)] == ["k"]
    assert (await timed.verify_audit()).records == 2


async def test_an_active_key_gives_its_place_to_the_next_in_one_change(store: AnyStore) -> None:
    await keep(store, key("b", KeyState.ACTIVE), key("a"))
    changed = await keep(store, key("a", KeyState.ACTIVE), key("b", KeyState.RETIRING))
    assert [(found.kid, found.state) for found in changed] == [("a", KeyState.ACTIVE), ("b", KeyState.RETIRING)]


async def test_two_active_keys_of_one_algorithm_are_refused_and_nothing_is_changed(store: AnyStore) -> None:
    before = await keep(store, key("a", KeyState.ACTIVE), key("x", KeyState.ACTIVE, alg="RS256"))
    with pytest.raises(ValueError, match="one active key"):
        await keep(store, key("c"), key("b", KeyState.ACTIVE))
    assert await store.keys() == before


async def test_whatever_decide_raises_comes_out_and_nothing_is_changed(store: AnyStore) -> None:
    def decide(_keys: Sequence[StoredKey], _now: float) -> KeyChange:
        raise LookupError("no")

    with pytest.raises(LookupError):
        await store.change_keys(decide)
    assert len(await keep(store, key("a"))) == 1


async def test_of_many_processes_that_want_a_first_key_one_makes_it(url: str) -> None:
    stores = [make_store(url) for _ in range(4)]

    def first(place: int) -> Sequence[StoredKey]:
        return [key(f"kid{place}", KeyState.ACTIVE)]

    async def ensure(place: int) -> list[StoredKey]:
        return await stores[place % 4].change_keys(
            lambda keys, _now: KeyChange() if keys else KeyChange(keys=first(place))
        )

    all_keys = await asyncio.gather(*(ensure(place) for place in range(12)))
    assert len({found.kid for keys in all_keys for found in keys}) == 1
    for store in stores:
        await store.aclose()


async def test_keys_that_are_gone_are_forgotten_a_week_after_they_were_published(timed: AnyStore, clock: Clock) -> None:
    gone = replace(key("a", KeyState.GONE), publish_until=clock.now)
    revoked = replace(key("b", KeyState.REVOKED), publish_until=clock.now)
    await keep(timed, gone, revoked, key("c", KeyState.GONE))
    assert await timed.collect() == 0
    clock.now += 7 * DAY
    assert await timed.collect() == 1
    assert {found.kid for found in await timed.keys()} == {"b", "c"}
