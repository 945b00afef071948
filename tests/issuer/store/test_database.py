"""Options, versions of the tables, event loops, and what goes wrong with databases."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.errors import StoreUnavailable
from jwt_asgi.issuer.rotation import Step
from jwt_asgi.issuer.store import PostgreSQLStore, SQLiteStore, open_store
from jwt_asgi.issuer.store.schema import VERSION_TABLE, metadata
from jwt_asgi.issuer.types import Record, Store
from tests.issuer.store.world import ISSUER, AnyStore, begin, make_store, refresh

SERVER = "postgresql://u:p4ssw0rd@127.0.0.1:1/db"


@pytest.mark.parametrize(
    ("make", "option"),
    [
        (lambda: SQLiteStore(":memory:", issuer=ISSUER), "store"),
        (lambda: SQLiteStore("", issuer=ISSUER), "store"),
        (lambda: SQLiteStore("x.db", issuer=ISSUER, timeout=-1), "store timeout"),
        (lambda: SQLiteStore("x.db", issuer=ISSUER, readers=0), "store readers"),
        (lambda: SQLiteStore("x.db", issuer=ISSUER, readers=True), "store readers"),
        (lambda: SQLiteStore("x.db", issuer=ISSUER, longest_token=0), "store longest_token"),
        (lambda: SQLiteStore("x.db", issuer=ISSUER, keep_audit=0), "store keep_audit"),
        (lambda: SQLiteStore("x.db", issuer=""), "store issuer"),
        (lambda: PostgreSQLStore("mysql://x/y", issuer=ISSUER), "store"),
        (lambda: PostgreSQLStore("no url", issuer=ISSUER), "store"),
        (lambda: PostgreSQLStore("postgresql://h:port/d", issuer=ISSUER), "store"),
        (lambda: PostgreSQLStore(SERVER + "?sslmodus=require", issuer=ISSUER), "store"),
        (lambda: PostgreSQLStore(SERVER, issuer=ISSUER, timeout=0), "store timeout"),
        (lambda: PostgreSQLStore(SERVER, issuer=ISSUER, connections=0), "store connections"),
        (lambda: open_store("redis://x", issuer=ISSUER), "store"),
        (lambda: open_store("sqlite:///", issuer=ISSUER), "store"),
    ],
)
def test_an_option_that_is_wrong_is_named_when_the_store_is_made(make: Any, option: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert caught.value.option == option
    assert "p4ssw0rd" not in str(caught.value)


def test_both_stores_are_what_the_service_asks_for(folder: Path) -> None:
    stores: list[Store] = [
        SQLiteStore(folder / "x.db", issuer=ISSUER),
        PostgreSQLStore(SERVER, issuer=ISSUER),
    ]
    promised = {name for name in vars(Store) if not name.startswith("_")}
    assert [promised - {*dir(store)} for store in stores] == [set(), set()]


def test_a_url_names_either_store_and_opens_nothing(folder: Path) -> None:
    assert isinstance(open_store(SERVER, issuer=ISSUER, timeout=1.0), PostgreSQLStore)
    assert isinstance(open_store("postgres://h/d", issuer=ISSUER), PostgreSQLStore)
    assert isinstance(open_store(f"sqlite:///{folder}/x.db", issuer=ISSUER), SQLiteStore)
    assert [*folder.iterdir()] == []


async def test_a_database_without_tables_is_refused_with_what_to_do(empty_url: str) -> None:
    store = make_store(empty_url)
    for call in (store.keys(), begin(store), refresh(store, b"0" * 16, 0)):
        with pytest.raises(ConfigurationError, match=r"store\.migrate\(\)"):
            await call
    await store.migrate()
    assert await store.keys() == []
    await store.aclose()


async def test_a_file_that_is_empty_is_a_database_without_tables(folder: Path) -> None:
    (folder / "store.db").touch()
    store = make_store(f"sqlite:///{folder / 'store.db'}")
    with pytest.raises(ConfigurationError, match=r"no tables.*store\.migrate\(\)"):
        await store.keys()
    await store.aclose()


async def test_tables_of_a_newer_release_are_refused_and_not_touched(url: str) -> None:
    store = make_store(url)
    await store.migrate()
    await store._database.write(lambda db: db.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = 'v9999'"))
    await store.aclose()
    store = make_store(url)
    for call in (store.keys(), store.migrate()):
        with pytest.raises(ConfigurationError, match="v9999, which is newer"):
            await call
    await store.aclose()


async def test_the_steps_lead_to_the_tables_that_the_statements_are_about(store: AnyStore) -> None:
    def differences(connection: Connection) -> list[Any]:
        options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        found: list[Any] = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
        return found

    assert await store._database.read(differences) == []


async def test_half_of_each_page_is_left_free_on_postgresql(postgresql_url: str) -> None:
    connection = await asyncpg.connect(postgresql_url)
    options = await connection.fetchval("SELECT reloptions FROM pg_class WHERE relname = 'jwt_asgi_session'")
    await connection.close()
    assert options == ["fillfactor=50"]


async def test_stores_that_migrate_at_once_make_the_tables_once(empty_url: str) -> None:
    stores = [make_store(empty_url) for _ in range(4)]
    await asyncio.gather(*(store.migrate() for store in stores))
    assert await stores[0].keys() == []
    for store in stores:
        await store.aclose()


def test_event_loops_may_use_one_store_one_after_another_and_at_once(url: str) -> None:
    store = make_store(url)
    with asyncio.Runner() as one, asyncio.Runner() as two:
        session = one.run(begin(store))
        assert two.run(refresh(store, session.id, 0)) == (Step.ROTATE, 1)
        assert one.run(refresh(store, session.id, 1)) == (Step.ROTATE, 2)
        assert two.run(refresh(store, session.id, 0))[0] is Step.REPLAY
        one.run(store.aclose())
        two.run(store.aclose())


async def test_a_store_that_was_closed_says_so(store: AnyStore) -> None:
    await store.keys()
    await store.aclose()
    await store.aclose()
    for call in (store.keys(), begin(store)):
        with pytest.raises(StoreUnavailable, match="closed"):
            await call


async def test_a_file_that_somebody_else_writes_to_for_too_long_is_unavailable(folder: Path) -> None:
    path = folder / "store.db"
    store = make_store(f"sqlite:///{path}", timeout=0.05)
    await store.migrate()
    session = await begin(store)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="SQLITE_BUSY") as caught:
        await refresh(store, session.id, 0)
    assert caught.value.retry_after > 0
    assert await store.session(session.id) == session  # who reads does not wait
    other.execute("ROLLBACK")
    other.close()
    assert await refresh(store, session.id, 0) == (Step.ROTATE, 1)
    await store.aclose()


async def test_one_failure_among_writes_that_are_committed_together_is_its_own(folder: Path) -> None:
    store = make_store(f"sqlite:///{folder / 'store.db'}", timeout=0.05)
    await store.migrate()
    sessions = [await begin(store) for _ in range(5)]
    bad = store.write([Record(event="x", at=1.0, members={"f": float("inf")})])
    good = [refresh(store, session.id, 0) for session in sessions]
    outcomes = await asyncio.gather(*good[:2], bad, *good[2:], return_exceptions=True)
    assert isinstance(outcomes.pop(2), ValueError)
    assert outcomes == [(Step.ROTATE, 1)] * 5
    await store.aclose()


async def test_writes_that_are_committed_together_fail_together_when_the_database_does(folder: Path) -> None:
    store = make_store(f"sqlite:///{folder / 'store.db'}", timeout=0.05)
    await store.migrate()
    sessions = [await begin(store) for _ in range(5)]
    # The first write of the fifth session ends the transaction of all, as a full disk does
    raises = "CREATE TRIGGER full BEFORE UPDATE ON jwt_asgi_session WHEN OLD.subject = 'full' BEGIN"
    await store._database.write(lambda db: db.exec_driver_sql(f"{raises} SELECT RAISE(ROLLBACK, 'full'); END"))
    full = await begin(store, subject="full")
    calls = [refresh(store, session.id, 0) for session in [*sessions[:3], full, *sessions[3:]]]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    for session, outcome in zip([*sessions[:3], full, *sessions[3:]], outcomes, strict=True):
        stored = await store.session(session.id)
        assert stored is not None
        if isinstance(outcome, StoreUnavailable):
            assert stored.family.generation == 0
        else:
            assert outcome == (Step.ROTATE, stored.family.generation) == (Step.ROTATE, 1)
    assert isinstance(outcomes[3], StoreUnavailable)
    await store.aclose()


async def test_a_server_that_is_not_there_is_unavailable_and_its_password_is_not_told(folder: Path) -> None:
    for url in (SERVER, f"postgresql://u:p4ssw0rd@/db?host={folder}"):
        store = make_store(url, timeout=2.0)
        for call in (store.now(), store.migrate(), begin(store)):
            with pytest.raises(StoreUnavailable) as caught:
                await call
            assert "p4ssw0rd" not in str(caught.value)
            assert str(folder) not in str(caught.value)
        await store.aclose()


async def test_a_url_of_libpq_is_understood(postgresql_url: str) -> None:
    store = make_store(f"{postgresql_url}&sslmode=disable")
    assert await store.keys() == []
    await store.aclose()


async def test_connections_that_the_server_has_ended_are_made_anew(postgresql_url: str) -> None:
    store = make_store(postgresql_url)
    session = await begin(store)
    await asyncio.gather(*(store.keys() for _ in range(10)))
    assert await refresh(store, session.id, 0) == (Step.ROTATE, 1)
    connection = await asyncpg.connect(postgresql_url)
    own = "datname = current_database() AND pid <> pg_backend_pid()"
    await connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {own}")
    while await connection.fetchval(f"SELECT count(*) FROM pg_stat_activity WHERE {own}"):
        await connection.execute("SELECT pg_stat_clear_snapshot()")
    await connection.close()
    assert await refresh(store, session.id, 1) == (Step.ROTATE, 2)
    assert await refresh(store, session.id, 2) == (Step.ROTATE, 3)
    await store.aclose()


async def test_connections_that_refreshes_have_used_are_there_for_all_else_and_are_no_more_than_allowed(
    postgresql_url: str,
) -> None:
    store = PostgreSQLStore(postgresql_url, issuer=ISSUER, connections=3)
    made = [await begin(store) for _ in range(6)]
    for generation in range(3):
        rotated = (refresh(store, session.id, generation) for session in made)
        others = (store.write([Record(event="x", at=1.0, members={})]), store.keys(), store.end(reason="test"))
        assert (await asyncio.gather(*rotated, *others, *(begin(store) for _ in range(5))))[0] == (
            Step.ROTATE,
            generation + 1,
        )
    connection = await asyncpg.connect(postgresql_url)
    own = "datname = current_database() AND pid <> pg_backend_pid()"
    assert await connection.fetchval(f"SELECT count(*) FROM pg_stat_activity WHERE {own}") <= 3
    await store.aclose()
    while await connection.fetchval(f"SELECT count(*) FROM pg_stat_activity WHERE {own}"):
        await connection.execute("SELECT pg_stat_clear_snapshot()")
    await connection.close()


async def test_a_statement_that_takes_too_long_is_unavailable(postgresql_url: str) -> None:
    store = make_store(postgresql_url, timeout=0.3)
    session = await begin(store)
    connection = await asyncpg.connect(postgresql_url)
    async with connection.transaction():
        await connection.execute("SELECT * FROM jwt_asgi_session FOR UPDATE")
        with pytest.raises(StoreUnavailable):
            await refresh(store, session.id, 0)
    await connection.close()
    assert (await refresh(store, session.id, 0))[1] == 1
    await store.aclose()


@pytest.mark.parametrize(("state", "times", "good"), [("40001", 3, True), ("40P01", 1, True), ("40001", 4, False)])
async def test_a_transaction_that_stood_in_anothers_way_is_tried_again(
    postgresql_url: str, state: str, times: int, good: bool
) -> None:
    store = make_store(postgresql_url)
    session = await begin(store)
    connection = await asyncpg.connect(postgresql_url)
    await connection.execute(
        f"""
        CREATE SEQUENCE tried;
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('tried') <= {times} THEN RAISE EXCEPTION 'conflict' USING ERRCODE = '{state}'; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER fail BEFORE UPDATE ON jwt_asgi_session FOR EACH ROW EXECUTE FUNCTION fail();
        """
    )
    if good:
        assert await refresh(store, session.id, 0) == (Step.ROTATE, 1)
    else:
        with pytest.raises(StoreUnavailable, match="40001"):
            await refresh(store, session.id, 0)
    assert await connection.fetchval("SELECT last_value FROM tried") == times + good
    await connection.close()
    await store.aclose()


async def test_isolation_is_pinned_whatever_the_database_prefers(postgresql_url: str) -> None:
    connection = await asyncpg.connect(postgresql_url)
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    await connection.close()
    store = make_store(postgresql_url)
    for run in (store._database.read, store._database.single, store._database.write):
        level = await run(lambda db: db.exec_driver_sql("SHOW transaction_isolation").scalar())
        assert level == "read committed"
    await store.aclose()
