"""An access token that was seen is written down once, and whatever fails is not lost for good."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Any

import pytest

from jwt_asgi.issuer import StoreUnavailable, confirmations
from jwt_asgi.issuer.confirmations import Confirmations, session_id
from tests.issuer.services import Gate

ISSUER = "https://auth.test"


@dataclass
class Token:
    claims: dict[str, Any]


@dataclass
class Decision:
    token: Token | None


class Writes:
    def __init__(self) -> None:
        self.written: list[tuple[bytes, int]] = []
        self.errors: list[BaseException] = []
        self.gate: Gate | None = None

    async def confirm(self, found: bytes, generation: int) -> bool:
        if self.gate is not None:
            await self.gate()
        if self.errors:
            raise self.errors.pop()
        self.written.append((found, generation))
        return True


def sid(number: int) -> str:
    return urlsafe_b64encode(number.to_bytes(16, "big")).decode().rstrip("=")


def seen(number: int, generation: Any = 1, **more: Any) -> Decision:
    return Decision(Token({"iss": ISSUER, "sid": sid(number), "gen": generation, **more}))


def made() -> tuple[Confirmations, Writes]:
    writes = Writes()
    return Confirmations(writes, issuer=ISSUER), writes  # type: ignore[arg-type]


async def test_each_generation_is_written_down_once() -> None:
    notes, writes = made()
    for decision in [seen(1), seen(1), seen(2), seen(1, 2), Decision(None)]:
        notes(decision)
    await notes.flush()
    notes(seen(1))
    await notes.flush()
    assert writes.written == [((1).to_bytes(16, "big"), 1), ((2).to_bytes(16, "big"), 1), ((1).to_bytes(16, "big"), 2)]


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.test"},
        {"iss": None},
        {"sid": None},
        {"sid": 1},
        {"sid": "x"},
        {"sid": "\ud800" * 22},
        {"sid": sid(1) + "=="},
        {"gen": None},
        {"gen": "1"},
        {"gen": 1.0},
    ],
)
async def test_a_token_of_others_is_none_of_ours(claims: dict[str, Any]) -> None:
    notes, writes = made()
    notes(Decision(Token({"iss": ISSUER, "sid": sid(1), "gen": 1, **claims})))
    await notes.flush()
    assert writes.written == []


async def test_what_failed_is_written_down_when_it_is_seen_again() -> None:
    notes, writes = made()
    for number in range(10):
        notes(seen(number))
    writes.errors = [StoreUnavailable("gone")]
    with pytest.raises(StoreUnavailable):
        await notes.flush()
    assert len(writes.written) == 7
    await notes.flush()
    assert len(writes.written) == 9
    for number in range(10):
        notes(seen(number))
    await notes.flush()
    assert len(writes.written) == 10


async def test_what_was_under_way_when_it_was_cancelled_is_written_down_later() -> None:
    notes, writes = made()
    writes.gate = Gate()
    notes(seen(1))
    flushing = asyncio.ensure_future(notes.flush())
    await writes.gate.reached.wait()
    flushing.cancel()
    await asyncio.gather(flushing, return_exceptions=True)
    writes.gate = None
    await notes.flush()
    assert len(writes.written) == 1


async def test_what_waits_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirmations, "_MOST", 5)
    notes, writes = made()
    for number in range(20):
        notes(seen(number))
    await notes.flush()
    assert len(writes.written) == 5
    notes(seen(19))
    await notes.flush()
    assert len(writes.written) == 6, "what found no room is taken when it comes again"


def test_a_session_has_one_name() -> None:
    name = sid(2**128 - 1)
    assert session_id(name) == b"\xff" * 16
    assert name.endswith("w")
    for other in (name[:-1] + "x", name[:-1] + "_", name.replace("_", "/"), name + "=", name[:-1], "", "!" * 22):
        assert session_id(other) is None
