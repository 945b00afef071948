"""Whoever steals the database can do nothing with it: no refresh token, no master key and no signing key is in it."""

from __future__ import annotations

import secrets
import shutil
from base64 import urlsafe_b64decode
from pathlib import Path

import asyncpg

from jwt_asgi.issuer.refresh_token import PREFIX, RefreshTokens, _derived
from jwt_asgi.issuer.rotation import Step
from jwt_asgi.issuer.types import Record
from tests.issuer.store.world import AnyStore, begin, make_store, refresh

MASTER = secrets.token_bytes(32)


async def lived_in(store: AnyStore) -> tuple[RefreshTokens, list[str], list[bytes]]:
    """Use a store as a service does; return every token that was given to a client, and the families."""
    tokens, given, families = RefreshTokens({1: MASTER}), [], []
    for number in range(5):
        session = await begin(store)
        families.append(session.id)
        newest = 0
        for _ in range(4):
            given.append(tokens.write(session.id, newest, 1))
            presented = tokens.read(given[-1])
            assert presented is not None
            step, newest = await refresh(store, presented.family, presented.generation)
            assert step is Step.ROTATE
        given.append(tokens.write(session.id, newest, 1))
        await store.write([Record(event="token.issued", at=1.0, members={"sid": session.sid})])
        if number == 0:
            assert (await refresh(store, session.id, 0))[0] is Step.REPLAY
    return tokens, given, families


def secrets_of(given: list[str], families: list[bytes]) -> list[bytes]:
    """What a thief could use, as text and as bytes: tokens, their MACs, the master key, and the keys derived of it."""
    raw = [urlsafe_b64decode(text.removeprefix(PREFIX)) for text in given]
    derived = [_derived(MASTER, b"jwt-asgi refresh token 1 " + family) for family in families]
    texts = [text.encode() for text in given]
    bare = [text.removeprefix(PREFIX).encode() for text in given]
    found = [*texts, *bare, *raw, *(token[22:38] for token in raw), MASTER, *derived]
    return [*found, *(secret.hex().encode() for secret in found)]


async def test_a_stolen_file_has_nothing_that_can_be_used(folder: Path) -> None:
    store = make_store(f"sqlite:///{folder / 'store.db'}")
    await store.migrate()
    tokens, given, families = await lived_in(store)
    stolen = folder / "stolen"
    stolen.mkdir()
    for path in folder.glob("store.db*"):  # with what is not yet written back
        shutil.copy(path, stolen)
    await store.aclose()
    everything = b"\n".join(path.read_bytes() for path in [*stolen.iterdir(), folder / "store.db"])
    assert all(family in everything for family in families)  # the search finds what is there
    assert [secret for secret in secrets_of(given, families) if secret in everything] == []
    assert tokens.read(given[0]) is not None
    assert all(RefreshTokens({1: secrets.token_bytes(32)}).read(text) is None for text in given)


async def test_a_stolen_database_of_postgresql_has_nothing_that_can_be_used(postgresql_url: str) -> None:
    store = make_store(postgresql_url)
    _, given, families = await lived_in(store)
    await store.aclose()
    connection = await asyncpg.connect(postgresql_url)
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    values: list[bytes] = []
    for (table,) in tables:
        for row in await connection.fetch(f'SELECT * FROM "{table}"'):
            values += [value if isinstance(value, bytes) else str(value).encode() for value in row.values()]
    await connection.close()
    everything = b"\n".join(values)
    assert all(family in everything for family in families)
    assert [secret for secret in secrets_of(given, families) if secret in everything] == []


async def test_a_file_is_for_its_owner_alone(folder: Path) -> None:
    store = make_store(f"sqlite:///{folder / 'store.db'}")
    await store.migrate()
    await begin(store)
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        "store.db": 0o600,
        "store.db-wal": 0o600,
        "store.db-shm": 0o600,
    }
    await store.aclose()
