"""Where the key set is: the metadata may move it, and can never take it away."""

from __future__ import annotations

import asyncio
import time

import pytest

from jwt_asgi import KeyCaching, Reason
from jwt_asgi._keys.discovery import metadata_urls
from jwt_asgi._keys.fetch import FetchError, NoAnswerError
from jwt_asgi.types import FetchResponse
from tests.keys.script import ISSUER, JWKS_URI, Reply, Rig, key_set, make_rig, metadata, status

DAY, STALE = 86_400.0, 600.0
OAUTH, OPENID = metadata_urls(ISSUER)
MOVED = "https://keys.elsewhere.test/"
LONG_STALE = 10 * DAY


async def never() -> FetchResponse:
    await asyncio.Event().wait()
    raise AssertionError("it waits for ever")


WITHOUT_METADATA: dict[str, Reply] = {
    "not there": status(404),
    "a server's fault": status(503, retry_after="300"),
    "a page": FetchResponse(200, {}, b"<html>"),
    "another issuer": metadata("https://stranger.test/jwks", issuer="https://stranger.test"),
    "no https URL": metadata("http://issuer.test/jwks"),
    "no answer": NoAnswerError("reset"),
    "blocked": FetchError("did not answer in time"),
    "a fault of the fetch": OSError("whatever"),
    "it hangs": never,
}
without_metadata = pytest.mark.parametrize("reply", WITHOUT_METADATA.values(), ids=WITHOUT_METADATA)


async def discovered() -> Rig:
    """Keys after one good fetch from where the metadata says."""
    caching = KeyCaching(timeout=0.3, stale_if_error=LONG_STALE)
    rig = make_rig(status(404), jwks_uri=None, by_url={OAUTH: metadata(), JWKS_URI: key_set("a")}, caching=caching)
    assert await rig.outcome("a") is None
    assert rig.fetch.urls == [OAUTH, JWKS_URI]
    return rig


def lose_metadata(rig: Rig, reply: Reply) -> None:
    """From now on it is answered like this at both places."""
    rig.fetch.by_url = {OAUTH: reply, OPENID: reply, JWKS_URI: key_set("a", "b")}
    rig.fetch.calls.clear()


@without_metadata
async def test_metadata_that_cannot_be_read_again_after_a_day_costs_no_key(reply: Reply) -> None:
    rig = await discovered()
    lose_metadata(rig, reply)
    rig.clock.now += DAY

    assert await rig.outcome("b") is None, "the set is fetched from where it was, in the same attempt"

    assert rig.fetch.urls[0] == OAUTH
    assert rig.fetch.urls[-1] == JWKS_URI
    status_now = rig.keys.status()
    assert (status_now.failures, status_now.error, status_now.jwks_uri) == (0, "", JWKS_URI)


@without_metadata
async def test_metadata_that_cannot_be_read_again_after_three_failures_costs_no_key(reply: Reply) -> None:
    rig = await discovered()
    lose_metadata(rig, reply)
    rig.fetch.by_url[JWKS_URI] = status(500)
    for failures in (1, 2, 3):
        rig.clock.now += STALE
        assert await rig.outcome("a") is None
        await rig.settle(rig.calls)
        assert rig.keys.status().failures == failures
    assert set(rig.fetch.urls) == {JWKS_URI}, "up to then nobody asks for it"
    rig.fetch.by_url[JWKS_URI] = key_set("a", "b")
    rig.clock.now += STALE

    assert await rig.outcome("b") is None

    assert OAUTH in rig.fetch.urls
    assert rig.keys.status().failures == 0


async def test_metadata_that_could_not_be_read_again_is_asked_for_at_each_attempt_until_it_can() -> None:
    rig = await discovered()
    lose_metadata(rig, status(404))
    rig.clock.now += DAY
    asked = []
    for reply in (status(404), status(404), metadata(), metadata()):
        rig.fetch.by_url[OAUTH] = reply
        assert await rig.outcome("a") is None
        asked.append(rig.fetch.urls.count(OAUTH))
        rig.clock.now += STALE
    assert asked == [1, 2, 3, 3]


async def test_metadata_that_is_back_may_name_another_url() -> None:
    rig = await discovered()
    lose_metadata(rig, status(404))
    rig.clock.now += DAY
    assert await rig.outcome("a") is None
    rig.fetch.by_url = {OAUTH: metadata(MOVED), MOVED: key_set("c")}
    rig.clock.now += STALE
    assert await rig.outcome("c") is None
    assert rig.fetch.urls[-2:] == [OAUTH, MOVED]
    assert rig.keys.status().jwks_uri == MOVED


async def test_where_metadata_and_key_set_both_hang_the_attempt_ends_in_its_time() -> None:
    rig = await discovered()
    lose_metadata(rig, never)
    rig.fetch.by_url[JWKS_URI] = never
    rig.clock.now += DAY
    began = time.monotonic()
    assert await rig.outcome("b") is Reason.KEYS_UNAVAILABLE
    assert time.monotonic() - began < 2
    await rig.settle(rig.calls)
    assert rig.fetch.urls == [OAUTH, JWKS_URI]
    assert rig.keys.status().error.endswith(f"{JWKS_URI} did not answer in full within 0.3 s")
    assert await rig.outcome("a") is None, "and what is at hand serves on"


async def test_closing_while_the_metadata_is_read_again_ends_the_attempt() -> None:
    rig = await discovered()
    lose_metadata(rig, never)
    rig.clock.now += DAY
    rig.keys.refresh_if_due()
    await rig.settle(1)
    await rig.keys.aclose()
    assert rig.fetch.urls == [OAUTH], "a cancellation is no fault of the metadata"


@without_metadata
async def test_a_first_discovery_that_fails_is_a_failed_attempt(reply: Reply) -> None:
    by_url = {OAUTH: reply, OPENID: reply, JWKS_URI: key_set("a")}
    rig = make_rig(jwks_uri=None, by_url=by_url, caching=KeyCaching(timeout=0.3))
    assert await rig.outcome("a") in {Reason.KEYS_UNAVAILABLE, Reason.DISCOVERY_FAILED}
    await rig.settle(rig.calls)
    status_now = rig.keys.status()
    assert (status_now.failures, status_now.jwks_uri) == (1, None)
    assert JWKS_URI not in rig.fetch.urls
