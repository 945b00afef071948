"""Sessions are kept whole, and what becomes of a refresh token is what the table says, on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from jwt_asgi.issuer.rotation import FamilyStatus, RotationPolicy, Step
from jwt_asgi.issuer.store import stores
from jwt_asgi.issuer.types import Entry, Record
from tests.issuer.store.world import (
    DAY,
    POLICY,
    AnyStore,
    Clock,
    begin,
    entry_key,
    make_session,
    make_store,
    present,
    refresh,
)


async def test_a_session_is_read_as_it_was_written(store: AnyStore) -> None:
    now = await store.now()
    full = make_session(
        now,
        tenant="t1",
        scopes=("a", "b c"),
        audience=("https://a.test", "https://b.test"),
        acr="urn:mfa",
        amr=("pwd", "otp"),
        claims={"roles": ["admin"], "nested": {"ü\x00\ud800": [1, 2.5, None, True]}},
        proof=("jkt", "thumb"),
        client_id="spa ü",
    )
    plain = make_session(now)
    await store.add_session(full)
    await store.add_session(plain)
    assert await store.session(full.id) == full
    assert await store.session(plain.id) == plain
    assert await store.session(b"0" * 16) is None


async def test_a_second_session_with_one_id_is_refused_and_changes_nothing(store: AnyStore) -> None:
    session = await begin(store)
    with pytest.raises(ValueError, match="this id"):
        await store.add_session(replace(session, subject="eve"), [Record(event="token.issued", at=1.0, members={})])
    assert await store.session(session.id) == session
    assert (await store.verify_audit()).seq == 0


@pytest.mark.parametrize("text", ["a\x00b", "\ud800"])
async def test_text_that_no_database_can_have_belongs_to_no_session(store: AnyStore, text: str) -> None:
    session = await begin(store)
    with pytest.raises(ValueError, match="expected text"):
        await store.add_session(make_session(1.0, subject=text))
    assert (await refresh(store, session.id, 0, client_id=text))[0] is Step.MISMATCH
    assert (await refresh(store, session.id, 0, proof=("jkt", text)))[0] is Step.MISMATCH
    assert await store.sessions(text) == []
    assert await store.end(subject=text, reason="test") == []
    assert (await refresh(store, session.id, 0)) == (Step.ROTATE, 1)


async def test_claims_that_are_no_json_are_refused(store: AnyStore) -> None:
    for value in (float("nan"), object()):
        with pytest.raises(ValueError):
            await store.add_session(make_session(1.0, claims={"x": value}))


async def test_a_rotation_returns_the_session_as_it_is_stored_and_the_time_of_it(timed: AnyStore, clock: Clock) -> None:
    session = await begin(timed)
    clock.now += 100.0
    step, rotated, now = await present(timed, session.id, 0, key_version=7)
    assert step is Step.ROTATE
    assert now == clock.now
    family = replace(session.family, generation=1, rotated_at=now, idle_until=now + POLICY.idle)
    assert rotated == replace(session, key_version=7, family=family) == await timed.session(session.id)


async def test_an_unknown_session_is_no_step(store: AnyStore) -> None:
    step, session, now = await present(store, b"0" * 16, 0)
    assert (step, session) == (None, None)
    assert abs(now - await store.now()) < 60


async def test_a_replay_ends_the_session_and_writes_its_entry_and_record_at_once(timed: AnyStore, clock: Clock) -> None:
    session = await begin(timed)
    for generation in range(3):
        await refresh(timed, session.id, generation)
    step, ended, now = await present(timed, session.id, 1)
    assert step is Step.REPLAY
    assert ended is not None
    assert ended.family.status is FamilyStatus.REPLAYED
    [entry] = await timed.entries(0)
    assert (entry.kind, entry.key, entry.until) == ("s", entry_key("s", session.sid), now + DAY)
    check = await timed.verify_audit()
    assert (check.records, check.broken_at) == (1, None)
    assert (await refresh(timed, session.id, 3))[0] is Step.ENDED
    assert (await refresh(timed, session.id, 1))[0] is Step.ENDED
    assert len(await timed.entries(0)) == 1


async def test_a_replay_whose_entry_cannot_be_written_ends_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(issuer: str, kind: str, value: str) -> bytes:
        raise LookupError("no key for it")

    store = make_store(url)
    session = await begin(store)
    for generation in range(3):
        await refresh(store, session.id, generation)
    await store.aclose()
    store = make_store(url)
    monkeypatch.setattr(stores, "key_of", failing)
    with pytest.raises(LookupError):
        await refresh(store, session.id, 0)
    assert (await refresh(store, session.id, 3)) == (Step.ROTATE, 4)
    assert await store.entries(0) == []
    await store.aclose()


async def test_a_confirmation_counts_for_the_newest_once(timed: AnyStore, clock: Clock) -> None:
    session = await begin(timed)
    await refresh(timed, session.id, 0)
    assert not await timed.confirm(session.id, 0)
    assert await timed.confirm(session.id, 1)
    clock.now += 5.0
    assert not await timed.confirm(session.id, 1)
    stored = await timed.session(session.id)
    assert stored is not None
    assert stored.family.confirmed_at == clock.now - 5.0
    assert (await refresh(timed, session.id, 0)) == (Step.RETRY, 1)
    clock.now += 6.0
    assert (await refresh(timed, session.id, 0))[0] is Step.REPLAY


async def test_sessions_end_by_user_by_client_and_one_by_one(timed: AnyStore, clock: Clock) -> None:
    made = {}
    for name, subject, client in (("a", "ada", "spa"), ("b", "ada", "app"), ("c", "bob", "spa"), ("d", "eve", "app")):
        clock.now += 1.0
        made[name] = await begin(timed, subject=subject, client_id=client)
    assert [session.id for session in await timed.sessions("ada")] == [made["a"].id, made["b"].id]
    [ended] = await timed.end(subject="ada", client_id="app", reason="test")
    assert (ended.id, ended.family.status) == (made["b"].id, FamilyStatus.REVOKED)
    assert await timed.end(id=made["b"].id, reason="again") == []
    assert [session.id for session in await timed.end(client_id="spa", reason="test")] == [made["a"].id, made["c"].id]
    assert await timed.sessions("ada") == []
    entry = Entry(seq=0, kind="u", key=b"8 bytes.", until=clock.now + 1, before=clock.now)
    assert await timed.end(reason="nobody", entries=[entry], records=[Record(event="x", at=1.0, members={})]) == []
    assert [(found.kind, found.before) for found in await timed.entries(0)] == [("u", clock.now)]
    assert (await timed.verify_audit()).records == 1
    assert [session.id for session in await timed.sessions("eve")] == [made["d"].id]
    clock.now += POLICY.idle
    assert await timed.sessions("eve") == []
    assert await timed.end(subject="eve", reason="over already") == []


@pytest.mark.parametrize("callers", [16])
async def test_of_identical_callers_one_rotates_and_the_others_get_the_same(store: AnyStore, callers: int) -> None:
    session = await begin(store)
    for generation in range(4):
        outcomes = await asyncio.gather(*(refresh(store, session.id, generation) for _ in range(callers)))
        assert Counter(outcomes) == {(Step.ROTATE, generation + 1): 1, (Step.RETRY, generation + 1): callers - 1}


async def test_a_replay_and_a_rotation_at_once_end_the_family_whichever_is_first(store: AnyStore) -> None:
    made = [await begin(store) for _ in range(12)]
    for session in made:
        for generation in range(3):
            await refresh(store, session.id, generation)
    for session in made:
        (late, _), (new, _) = await asyncio.gather(refresh(store, session.id, 0), refresh(store, session.id, 3))
        assert late is Step.REPLAY
        assert new in {Step.ROTATE, Step.ENDED}
        assert (await refresh(store, session.id, 4))[0] is Step.ENDED
    assert {entry.key for entry in await store.entries(0)} == {entry_key("s", session.sid) for session in made}


async def test_two_who_end_the_same_sessions_at_once_share_them(store: AnyStore) -> None:
    made = [await begin(store) for _ in range(30)]
    ways: list[dict[str, Any]] = [{"subject": "ada"}, {"client_id": "spa"}] * 3
    all_ended = await asyncio.gather(*(store.end(**way, reason="test") for way in ways))
    assert sorted(session.id for ended in all_ended for session in ended) == sorted(session.id for session in made)


async def test_a_caller_who_leaves_breaks_nothing(store: AnyStore) -> None:
    session = await begin(store)
    for _ in range(10):
        tasks = [asyncio.ensure_future(refresh(store, session.id, 0)) for _ in range(4)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    step, newest = await refresh(store, session.id, 0, policy=RotationPolicy(retries=1000))
    assert step in {Step.ROTATE, Step.RETRY}
    assert newest == 1
    assert await refresh(store, session.id, 1) == (Step.ROTATE, 2)


async def test_a_rotation_touches_no_index_on_postgresql(postgresql_url: str) -> None:
    store = make_store(postgresql_url)
    made = [await begin(store) for _ in range(20)]
    for generation in range(10):
        for session in made:
            assert (await refresh(store, session.id, generation))[0] is Step.ROTATE
    await store.aclose()
    connection = await asyncpg.connect(postgresql_url)
    wanted = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'jwt_asgi_session'"
    try:
        counted: Any = await connection.fetchrow(wanted)
        for _ in range(100):
            if counted["n_tup_upd"] == 200:
                break
            await asyncio.sleep(0.05)  # the server counts a connection's work when it ends
            counted = await connection.fetchrow(wanted)
    finally:
        await connection.close()
    assert counted["n_tup_upd"] == 200
    assert counted["n_tup_hot_upd"] >= 190
