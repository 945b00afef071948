"""Every line of the catalogue: a good token without keys, one when the set is due, and one with a new kid."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from jwt_asgi import KeyCaching
from tests.asgi import Answer
from tests.faults import scripts
from tests.faults.catalogue import Row, rows
from tests.faults.world import CACHING, LIFETIME, World, forged_token, good_token, new_kid_token, world
from tests.keys.script import until

FAULTS = rows()
DEADLINE = 0.3
SLOW = KeyCaching(stale_wait=10.0, timeout=DEADLINE)
ENDLESS = {
    "no answer",
    "a head and then nothing",
    "a head of a byte now and then",
    "a body of a byte now and then",
    "103 without end",
}
"""Whoever meets them waits for the deadline."""

Start = Callable[[str], AbstractAsyncContextManager[World]]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, directory: Path) -> Start:
    return lambda name: world(monkeypatch, directory, caching=SLOW if name in ENDLESS else CACHING)


def test_every_line_has_a_script_and_every_script_a_line() -> None:
    assert sorted(FAULTS) == sorted(scripts.names())


@pytest.mark.parametrize("name", FAULTS)
async def test_without_keys_the_fault_lets_nobody_in_and_is_soon_over(name: str, start: Start) -> None:
    row = FAULTS[name]
    async with start(name) as issuer:
        await scripts.script(name)(issuer)
        _is(row, row.cold, await issuer.ask(good_token()))
        assert issuer.counts == (row.gets, row.tries)
        # Nobody asks the issuer again before the time that the client was told
        _is(row, row.cold, await issuer.ask(good_token()))
        assert await issuer.status(forged_token()) == (503 if row.fails else 401)
        assert issuer.counts == (row.gets, row.tries)
        await _recovers(issuer, row, fetches=1 if row.fails else 0)


@pytest.mark.parametrize("name", FAULTS)
async def test_when_the_set_is_due_the_fault_locks_nobody_out(name: str, start: Start) -> None:
    row = FAULTS[name]
    async with start(name) as issuer:
        assert await issuer.status(good_token()) == 200
        await scripts.script(name)(issuer)
        issuer.clock.now += LIFETIME + 1
        _is(row, row.due, await issuer.ask(good_token()))
        assert issuer.counts == (1 + row.gets, 1 + row.tries)
        _is(row, row.due, await issuer.ask(good_token()))
        assert await issuer.status(forged_token()) == 401
        assert issuer.counts == (1 + row.gets, 1 + row.tries)
        # Whether an old set lacks the key cannot be told while the issuer is not heard
        attempts = 1 if row.fails else 2
        _is(row, 503 if row.fails else 401, await issuer.ask(new_kid_token()))
        assert issuer.counts == (1 + attempts * row.gets, 1 + attempts * row.tries)
        await _recovers(issuer, row, fetches=1 if row.fails else 0)


@pytest.mark.parametrize("name", FAULTS)
async def test_a_new_kid_that_meets_the_fault_leaves_the_known_keys_alone(name: str, start: Start) -> None:
    row = FAULTS[name]
    async with start(name) as issuer:
        assert await issuer.status(good_token()) == 200
        await scripts.script(name)(issuer)
        for token, status in ((new_kid_token(), row.new_kid), (new_kid_token(), row.new_kid), (good_token(), 200)):
            assert await issuer.status(token) == status
            assert issuer.counts == (1 + row.gets, 1 + row.tries)


def _is(row: Row, status: int, answer: Answer) -> None:
    assert answer.status == status
    if status == 503:
        assert row.retry_after is not None
        assert int(answer.header("retry-after") or 0) in row.retry_after


async def _recovers(issuer: World, row: Row, *, fetches: int) -> None:
    """Once the issuer is well again and the client comes when it was told to."""
    await issuer.heal()
    if row.retry_after is not None:
        issuer.clock.now += row.retry_after[-1]
    before = issuer.gets
    assert await issuer.status(good_token()) == 200
    # When the set is due nobody waits for the attempt
    await until(lambda: issuer.gets >= before + fetches)
    assert issuer.gets == before + fetches
