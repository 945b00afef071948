"""What a store has revoked reaches resource servers by `FromStore(store.entries)`: SQLite, and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest

from jwt_asgi import JWTMiddleware
from jwt_asgi.issuer.rotation import Step
from jwt_asgi.issuer.types import Entry, EntryKind
from jwt_asgi.revocation import FromStore, RevocationFeed
from jwt_asgi.testing import SigningKeys, TestIssuer
from jwt_asgi.types import Receive, Send
from tests.asgi import http
from tests.issuer.store.world import ISSUER, AnyStore, begin, entry_key, make_store, refresh
from tests.revocation.ledger import MEMBERS, until

NAMED = TestIssuer(ISSUER, algorithms=["ES256"], keys=SigningKeys())


@pytest.fixture
async def feed(store: AnyStore) -> AsyncIterator[RevocationFeed]:
    feed = RevocationFeed(FromStore(store.entries), issuer=ISSUER, on_stale="deny", interval=0.03)
    yield feed
    await feed.aclose()


async def application(scope: Any, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def written(store: AnyStore, kind: EntryKind, *values: str) -> Sequence[Entry]:
    now = await store.now()
    before = now if kind in "uc" else 0.0
    made = [Entry(seq=0, kind=kind, key=entry_key(kind, value), until=now + 900, before=before) for value in values]
    await store.end(reason="test", entries=made)
    return made


async def test_a_stolen_refresh_token_ends_the_access_tokens_of_its_session(
    store: AnyStore, feed: RevocationFeed
) -> None:
    door = JWTMiddleware(application, **NAMED.options(), revocation=feed)
    session, other = await begin(store), await begin(store)
    stolen, fine = (NAMED.token(claims={"sid": one.sid}) for one in (session, other))
    assert [(await http(door, token=token)).status for token in (stolen, fine)] == [200, 200]
    steps = [(await refresh(store, session.id, generation))[0] for generation in (0, 1, 0)]
    assert steps[-1] is Step.REPLAY
    await until(lambda: feed.status().entries > 0)
    assert [(await http(door, token=token)).status for token in (stolen, fine)] == [401, 200]


@pytest.mark.parametrize("kind", ["s", "u", "j", "c", "k"])
async def test_every_kind_that_is_written_is_read(store: AnyStore, feed: RevocationFeed, kind: EntryKind) -> None:
    [key] = NAMED.jwks()["keys"]
    values = {"s": "session", "u": "ada", "j": "token", "c": "app", "k": key["kid"]}
    assert values.keys() == MEMBERS.keys()
    door = JWTMiddleware(application, **NAMED.options(), revocation=feed)
    token = NAMED.token(subject="ada", client_id="app", claims={"sid": "session", "jti": "token"})
    assert (await http(door, token=token)).status == 200
    await written(store, kind, values[kind])
    await until(lambda: feed.status().entries == 1)
    assert (await http(door, token=token)).status == 401


async def test_a_long_log_is_read_page_by_page_and_what_comes_later_too(store: AnyStore, feed: RevocationFeed) -> None:
    await written(store, "s", *map(str, range(2500)))
    assert await feed.start() is None
    assert feed.status().entries == 2500
    await written(store, "s", *map(str, range(2400, 2600)))
    await until(lambda: feed.status().entries == 2600)


async def test_a_database_that_drops_its_connections_is_read_on(postgresql_url: str) -> None:
    store, writer = make_store(postgresql_url), make_store(postgresql_url)
    feed = RevocationFeed(FromStore(store.entries), issuer=ISSUER, on_stale="deny", interval=0.03)
    assert await feed.start() is None
    operator = await asyncpg.connect(postgresql_url)
    await operator.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid()"
    )
    await operator.close()
    await written(writer, "s", "a")
    await until(lambda: feed.status().entries == 1)
    await feed.aclose()
    for one in (store, writer):
        await one.aclose()
