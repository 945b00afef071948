"""An answer of the issuer: the keys that it brings or confirms, and from when on they are what."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from jwt_asgi import KeyCaching, KeysUnavailable, Reason
from jwt_asgi._core.freshness import State, Times
from jwt_asgi._keys.events import KeyStatus
from jwt_asgi._keys.snapshot import GoneError, Snapshot, keys_of, renewed
from jwt_asgi._keys.source import KeySetAnswer
from jwt_asgi.types import FetchResponse
from tests.keys.script import ISSUER, JWKS_URI, key_set, status

CACHING = KeyCaching(stale_if_error=1000.0)
MODIFIED = "Tue, 14 Nov 2023 22:13:20 GMT"


def answered(response: FetchResponse, *, conditional: bool = False) -> KeySetAnswer:
    return KeySetAnswer(JWKS_URI, response, conditional)


async def taken(response: FetchResponse, *, now: float = 100.0, jitter: float = 0.0) -> Snapshot:
    """The snapshot of a first answer."""
    keys = await keys_of(answered(response), None)
    return renewed(answered(response), keys, None, CACHING, now, jitter)


async def refused(response: FetchResponse, old: Snapshot | None = None, *, conditional: bool = False) -> str:
    with pytest.raises(KeysUnavailable) as caught:
        await keys_of(answered(response, conditional=conditional), old)
    assert caught.value.reason is Reason.KEYS_UNAVAILABLE
    return caught.value.detail


async def test_the_same_bytes_confirm_the_set_at_hand_and_other_bytes_bring_another() -> None:
    old = await taken(key_set("a", "b"))
    assert await keys_of(answered(key_set("a", "b")), old) is old.keys
    keys = await keys_of(answered(key_set("b", "a"), conditional=True), old)
    assert keys is not old.keys
    assert [key.kid for key in keys.keys] == ["b", "a"]
    assert keys.keys[0] is old.keys.keys[1], "what has not changed is not imported again"


async def test_304_confirms_a_set_alone_that_was_asked_about() -> None:
    old = await taken(key_set("a"))
    assert await keys_of(answered(status(304), conditional=True), old) is old.keys
    assert await refused(status(304), old) == "the key set's URL answered 304"
    assert await refused(status(304), None, conditional=True) == "the key set's URL answered 304"


async def test_a_set_is_read_with_the_event_loop_free_after_each_key() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    await keys_of(answered(key_set("a", "b", "c", "d")), None)
    beside.cancel()
    assert turns >= 4


@pytest.mark.parametrize("code", [404, 410])
async def test_a_set_that_is_gone_is_told_apart(code: int) -> None:
    with pytest.raises(GoneError):
        await keys_of(answered(status(code)), None)


@pytest.mark.parametrize("code", [201, 204, 300, 304, 400, 401, 403, 405, 409, 411, 429, 500, 503])
async def test_any_other_status_is_a_fault_that_may_pass(code: int) -> None:
    with pytest.raises(KeysUnavailable) as caught:
        await keys_of(answered(status(code)), None)
    assert type(caught.value) is KeysUnavailable
    assert caught.value.detail == f"the key set's URL answered {code}"


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_the_operator_reads_that_redirects_are_not_followed(code: int) -> None:
    detail = await refused(status(code, location="https://issuer.test/keys"))
    assert detail == f"the key set's URL answered {code}; redirects are not followed"


@pytest.mark.parametrize(("asked", "seconds"), [("7", 7.0), ("", 0.0), ("junk", 0.0)])
async def test_an_issuer_that_asks_for_patience_is_heard(asked: str, seconds: float) -> None:
    with pytest.raises(KeysUnavailable) as caught:
        await keys_of(answered(status(503, retry_after=asked)), None)
    assert caught.value.retry_after == seconds
    with pytest.raises(KeysUnavailable) as caught:
        await keys_of(answered(status(503)), None)
    assert caught.value.retry_after == 0.0


@pytest.mark.parametrize(("jitter", "soft"), [(0.0, 0.75), (0.5, 0.8), (1.0, 0.85)])
async def test_a_set_is_refreshed_ahead_after_three_quarters_of_its_time_and_a_bit(jitter: float, soft: float) -> None:
    made = await taken(key_set("a", cache_control="max-age=1000"), jitter=jitter)
    assert made.times.soft_at == pytest.approx(100.0 + 1000.0 * soft)
    assert replace(made.times, soft_at=0.0) == Times(100.0, 0.0, 1100.0, 2100.0)


async def test_the_moment_to_refresh_can_be_moved_and_nothing_else() -> None:
    made = await taken(key_set("a", cache_control="max-age=1000"))
    moved = made.ageing_from(1.0)
    assert moved.times.soft_at == pytest.approx(950.0)
    assert replace(moved, times=made.times) == made
    assert replace(moved.times, soft_at=0.0) == replace(made.times, soft_at=0.0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({}, 600.0), ({"cache_control": "max-age=900"}, 900.0), ({"cache_control": "max-age=10"}, 300.0)],
)
async def test_a_new_set_is_fresh_for_as_long_as_its_answer_says(headers: dict[str, str], seconds: float) -> None:
    assert (await taken(key_set("a", **headers))).times.fresh_until == 100.0 + seconds
    assert (await taken(key_set("a", cache_control="max-age=9999"))).times.fresh_until == 100.0 + 3600.0


@pytest.mark.parametrize(
    ("headers", "seconds"), [({}, 900.0), ({"cache_control": "max-age=700"}, 700.0), ({"cache_control": "x"}, 900.0)]
)
async def test_what_a_304_does_not_say_stays_as_it_was(headers: dict[str, str], seconds: float) -> None:
    # RFC 9111 section 4.3.4
    old = await taken(key_set("a", cache_control="max-age=900", etag='"1"', last_modified=MODIFIED))
    answer = answered(status(304, etag='"2"', **headers), conditional=True)
    new = renewed(answer, old.keys, old, CACHING, 500.0, 0.0)
    assert (new.times.confirmed_at, new.times.fresh_until) == (500.0, 500.0 + seconds)
    assert replace(new, times=old.times) == old


async def test_a_new_set_has_the_validators_and_the_url_of_its_own_answer() -> None:
    old = await taken(key_set("a", etag='"1"', last_modified=MODIFIED))
    response = key_set("b", etag='"2"')
    keys = await keys_of(answered(response), old)
    new = renewed(KeySetAnswer("https://moved.test/", response, conditional=True), keys, old, CACHING, 500.0, 0.0)
    assert (new.keys, new.uri, new.etag, new.last_modified) == (keys, "https://moved.test/", '"2"', None)
    assert new.digest != old.digest


@pytest.mark.parametrize(
    ("headers", "asked"),
    [
        ({}, {}),
        ({"etag": '"1"'}, {"if-none-match": '"1"'}),
        ({"etag": '"1"', "last_modified": MODIFIED}, {"if-none-match": '"1"'}),
        ({"last_modified": MODIFIED}, {"if-modified-since": MODIFIED}),
        ({"etag": "", "last_modified": MODIFIED}, {"if-modified-since": MODIFIED}),
        ({"etag": '"\xe9"'}, {}),
    ],
)
async def test_the_issuer_is_asked_whether_the_set_has_changed_at_its_own_url_alone(
    headers: dict[str, str], asked: dict[str, str]
) -> None:
    made = await taken(key_set("a", **headers))
    assert made.validators(JWKS_URI) == asked
    assert made.validators(f"{JWKS_URI}/") == {}


@pytest.mark.parametrize(
    ("now", "age", "refresh_in", "expires_in"),
    [(100.0, 0.0, 450.0, 1600.0), (600.0, 500.0, 0.0, 1100.0), (9999.0, 9899.0, 0.0, 0.0)],
)
async def test_a_set_tells_its_keys_its_age_and_its_times(
    now: float, age: float, refresh_in: float, expires_in: float
) -> None:
    made = await taken(key_set("a", "b"))
    told = made.describe(KeyStatus(issuer=ISSUER, state=State.FRESH, counters={}), now)
    assert (told.issuer, told.kids, told.skipped) == (ISSUER, ("a", "b"), ())
    assert (told.age, told.refresh_in, told.expires_in) == (age, refresh_in, expires_in)


async def test_a_set_tells_what_of_it_cannot_be_used() -> None:
    raw = key_set("a").body.replace(b'{"keys": [', b'{"keys": [{"kid": "x", "kty": "oct"}, ')
    made = await taken(FetchResponse(200, {}, raw))
    told = made.describe(KeyStatus(issuer=ISSUER, state=State.FRESH, counters={}), 100.0)
    assert (told.kids, told.skipped) == (("a",), ("'x': its kty is none of RSA, EC, OKP",))


async def test_a_snapshot_cannot_be_changed() -> None:
    made = await taken(key_set("a"))
    with pytest.raises(AttributeError):
        made.etag = '"2"'  # type: ignore[misc]
