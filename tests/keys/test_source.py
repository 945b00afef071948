"""Where the key set is: the metadata may move it, and can never take it away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import pytest

from jwt_asgi import KeyCaching, Reason
from jwt_asgi._keys.discovery import metadata_urls
from jwt_asgi._keys.fetch import MAX_BODY_BYTES, FetchError, NoAnswerError
from jwt_asgi._keys.source import KeySetAnswer, Source
from jwt_asgi.types import Fetch, FetchResponse
from tests.keys.script import ISSUER, JWKS_URI, Reply, Rig, ScriptedFetch, key_set, make_rig, metadata, status

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


# One attempt


class AtHand:
    """A set at hand, which knows what to ask with."""

    def validators(self, uri: str) -> dict[str, str]:
        return {"if-none-match": f'"{uri}"'}


class Unnamed:
    """A set at hand that came without validators."""

    def validators(self, uri: str) -> dict[str, str]:
        return {}


def source(fetch: Fetch, *, jwks_uri: str | None = JWKS_URI, jitter: float = 0.0) -> Source:
    return Source(
        ISSUER,
        jwks_uri=jwks_uri,
        fetch=fetch,
        timeout=5.0,
        allow_http=False,
        clock=lambda: 0.0,
        jitter=lambda: jitter,
    )


async def test_the_set_is_asked_for_as_json_within_the_time_and_size_of_an_attempt() -> None:
    fetch = ScriptedFetch(key_set("a"))
    asked = source(fetch)
    assert asked.uri == JWKS_URI
    got = await asked.get(None, past_caches=False)
    assert got == KeySetAnswer(JWKS_URI, key_set("a"), conditional=False)
    (call,) = fetch.calls
    assert (call.url, call.timeout, call.limit) == (JWKS_URI, 5.0, MAX_BODY_BYTES)
    assert call.headers == {"accept": "application/jwk-set+json, application/json"}


async def test_with_a_set_at_hand_the_question_is_whether_it_has_changed_where_it_can_be_asked() -> None:
    fetch = ScriptedFetch(status(304))
    assert (await source(fetch).get(AtHand(), past_caches=False)).conditional is True
    assert fetch.calls[0].headers["if-none-match"] == f'"{JWKS_URI}"'
    assert (await source(fetch).get(Unnamed(), past_caches=False)).conditional is False


async def test_past_caches_the_issuer_itself_is_asked() -> None:
    fetch = ScriptedFetch(key_set("a"))
    await source(fetch).get(None, past_caches=True)
    assert fetch.calls[0].headers["cache-control"] == "no-cache"
    await source(fetch).get(AtHand(), past_caches=True)
    assert {"cache-control", "if-none-match"} <= set(fetch.calls[1].headers)


async def test_the_url_is_not_known_before_the_metadata_names_it() -> None:
    asked = source(ScriptedFetch(key_set("a"), by_url={OAUTH: metadata()}), jwks_uri=None)
    assert asked.uri is None
    assert (await asked.get(None, past_caches=False)).uri == JWKS_URI
    assert asked.uri == JWKS_URI


async def test_where_there_was_no_answer_at_all_it_is_asked_once_more() -> None:
    fetch = ScriptedFetch(key_set("a"), [NoAnswerError("reset")])
    assert (await source(fetch).get(None, past_caches=True)).response == key_set("a")
    assert len(fetch.calls) == 2
    assert fetch.calls[0] == fetch.calls[1]
    fetch = ScriptedFetch(NoAnswerError("down"))
    with pytest.raises(NoAnswerError, match="down"):
        await source(fetch).get(None, past_caches=False)
    assert len(fetch.calls) == 2


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 0.05), (0.5, 0.15), (1.0, 0.25)])
async def test_it_is_asked_once_more_after_a_pause_that_differs_among_replicas(
    jitter: float, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def sleep(pause: float) -> None:
        pauses.append(pause)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    await source(ScriptedFetch(key_set("a"), [NoAnswerError("reset")]), jitter=jitter).get(None, past_caches=False)
    assert pauses == [pytest.approx(seconds)]


@pytest.mark.parametrize("fault", [FetchError("too large"), OSError("whatever")])
async def test_any_other_fault_is_not_asked_about_twice(fault: Exception) -> None:
    fetch = ScriptedFetch(fault)
    with pytest.raises(type(fault)):
        await source(fetch).get(None, past_caches=False)
    assert len(fetch.calls) == 1


async def test_a_fetch_that_takes_the_deadline_for_a_lost_connection_is_not_asked_again() -> None:
    calls: list[str] = []

    async def confuses(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        calls.append(url)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise NoAnswerError("reset") from None
        raise AssertionError("it waits for ever")

    with pytest.raises(NoAnswerError):
        async with asyncio.timeout(0.01):
            await source(confuses).get(None, past_caches=False)
    assert calls == [JWKS_URI]
