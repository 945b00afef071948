"""Sessions to keep, time to move, and the words that tests say often."""

from __future__ import annotations

import secrets
from typing import Any

from jwt_asgi._core.revocation import key_of
from jwt_asgi.issuer.rotation import Family, Proof, RotationPolicy, Step
from jwt_asgi.issuer.store import PostgreSQLStore, SQLiteStore, open_store
from jwt_asgi.issuer.types import EntryKind, Session

AnyStore = SQLiteStore | PostgreSQLStore
POLICY = RotationPolicy()
DAY = 86_400.0
ISSUER = "https://auth.test"


class Clock:
    """The seconds since the epoch, which pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def entry_key(kind: EntryKind, value: str) -> bytes:
    return key_of(ISSUER, kind, value)


def make_store(url: str, clock: Clock | None = None, **options: Any) -> AnyStore:
    return open_store(url, **{"issuer": ISSUER, "clock": clock, **options})


def make_session(now: float, *, policy: RotationPolicy = POLICY, **members: Any) -> Session:
    """One that begins now; members are the session's, or its family's."""
    of_family = {name: members.pop(name) for name in [*members] if name in {"client_id", "proof", "generation"}}
    family: dict[str, Any] = {"client_id": "spa", "generation": 0, "rotated_at": now, **of_family}
    ends: dict[str, Any] = {"idle_until": now + policy.idle, "absolute_until": now + policy.absolute}
    begun: dict[str, Any] = {
        "id": secrets.token_bytes(16),
        "key_version": 1,
        "subject": "ada",
        "audience": ("https://api.test",),
    }
    return Session(**{**begun, "auth_time": now, "created_at": now, **members}, family=Family(**family, **ends))


async def begin(store: AnyStore, **members: Any) -> Session:
    session = make_session(await store.now(), **members)
    await store.add_session(session)
    return session


async def present(
    store: AnyStore,
    id: bytes,  # noqa: A002
    generation: int,
    *,
    client_id: str = "spa",
    proof: Proof = None,
    policy: RotationPolicy = POLICY,
    key_version: int = 1,
) -> tuple[Step | None, Session | None, float]:
    return await store.present(id, generation, client_id=client_id, proof=proof, policy=policy, key_version=key_version)


async def refresh(store: AnyStore, id: bytes, generation: int, **more: Any) -> tuple[Step | None, int]:  # noqa: A002
    """What became of a token, and the generation of the token that its holder gets, or -1."""
    step, session, _ = await present(store, id, generation, **more)
    leads_on = step in {Step.ROTATE, Step.RETRY, Step.CATCH_UP} and session is not None
    return step, session.family.generation if session is not None and leads_on else -1
