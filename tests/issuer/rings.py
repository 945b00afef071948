"""Signing keys without a secret, for the tests of what becomes of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from jwt_asgi.issuer.types import KeyChange, KeyState, StoredKey

DAY = 86_400.0
START = 1_700_000_000.0


class Mint:
    """Makes keys that are called 1, 2, 3 ..."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def __call__(self, alg: str, now: float) -> StoredKey:
        return key(str(next(self._numbers)), alg=alg, created_at=now)


def key(kid: str, state: KeyState = KeyState.STAGED, **members: Any) -> StoredKey:
    return StoredKey(
        **{
            "kid": kid,
            "alg": "ES256",
            "state": state,
            "sealed": b"sealed",
            "public": {},
            "created_at": START,
            **members,
        }
    )


def after(keys: Sequence[StoredKey], change: KeyChange) -> list[StoredKey]:
    """The keys as a store has them then, with one active key for an algorithm after each single row."""
    kept = {stored.kid: stored for stored in keys}
    for changed in change.keys:
        kept[changed.kid] = changed
        active = [stored.alg for stored in kept.values() if stored.state is KeyState.ACTIVE]
        assert len(active) == len(set(active))
    return list(kept.values())


def states(keys: Sequence[StoredKey]) -> dict[str, str]:
    return {stored.kid: stored.state.value for stored in keys}


def digest(kid: str) -> bytes:
    return kid.encode().ljust(8, b".")[:8]
