"""How long a set is fresh by its headers, and how it is confirmed: on the wire, by the GETs and what they ask for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.attacks.corpus.keyring import GOOD_MEMBERS, jwks_body
from tests.faults import catalogue
from tests.faults.world import GOOD_SET, LIFETIME, good, good_token, new_kid_token, world
from tests.keys.script import until
from tests.keys.server import Request, answer

HEADERS = catalogue.headers()
DAY = 86_400.0
AHEAD = 0.75
"""Without jitter the refresh comes after this share of the lifetime."""


@pytest.mark.parametrize(("sent", "fresh_for"), HEADERS.values(), ids=HEADERS)
async def test_the_issuer_is_asked_again_when_its_headers_say_so_within_bounds(
    sent: Mapping[str, str], fresh_for: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with world(monkeypatch, tmp_path) as issuer:
        issuer.publish(good(GOOD_SET, sent))
        began = issuer.clock.now
        for moment in (0.0, 0.0, fresh_for * AHEAD - 0.1):
            issuer.clock.now = began + moment
            assert (await issuer.status(good_token()), issuer.gets) == (200, 1)
        issuer.clock.now = began + fresh_for * AHEAD
        assert await issuer.status(good_token()) == 200
        await until(lambda: issuer.gets > 1)
        assert (await issuer.status(good_token()), issuer.gets) == (200, 2)


@pytest.mark.parametrize(
    ("validators", "asked"),
    [
        ({"ETag": '"v1"'}, ("if-none-match", '"v1"')),
        ({"ETag": 'W/"v1"'}, ("if-none-match", 'W/"v1"')),
        ({"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}, ("if-modified-since", "Thu, 01 Jan 2026 00:00:00 GMT")),
    ],
    ids=["ETag", "weak ETag", "Last-Modified"],
)
async def test_304_after_200_confirms_the_set_for_another_lifetime(
    validators: Mapping[str, str], asked: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with world(monkeypatch, tmp_path) as issuer:
        issuer.publish(good(GOOD_SET, validators))
        assert (await issuer.status(good_token()), issuer.gets) == (200, 1)
        assert not {"if-none-match", "if-modified-since"} & set(issuer.server.requests[0].headers)
        issuer.publish(answer(304))
        for gets in (2, 3):
            issuer.clock.now += LIFETIME
            assert (await issuer.status(good_token()), issuer.gets) == (200, gets)
            assert issuer.server.requests[-1].headers[asked[0]] == asked[1]
            issuer.clock.now += LIFETIME * AHEAD - 1
            assert (await issuer.status(good_token()), issuer.gets) == (200, gets)


async def test_304_to_a_new_kid_says_that_it_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with world(monkeypatch, tmp_path) as issuer:
        issuer.publish(good(GOOD_SET, {"ETag": '"v1"'}))
        assert await issuer.status(good_token()) == 200
        issuer.publish(answer(304))
        for _ in range(2):
            assert (await issuer.status(new_kid_token()), issuer.gets) == (401, 2)
        request = issuer.server.requests[-1].headers
        assert (request["if-none-match"], request["cache-control"]) == ('"v1"', "no-cache")


@pytest.mark.parametrize("etag", ['"v2"', 'W/"v2"', "junk", ""])
async def test_the_same_body_under_another_etag_is_confirmed_by_it_from_then_on(
    etag: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with world(monkeypatch, tmp_path) as issuer:
        issuer.publish(good(GOOD_SET, {"ETag": '"v1"'}))
        assert await issuer.status(good_token()) == 200
        issuer.publish(good(GOOD_SET, {"ETag": etag}))
        for gets, sent in ((2, '"v1"'), (3, etag or None)):
            issuer.clock.now += LIFETIME
            assert (await issuer.status(good_token()), issuer.gets) == (200, gets)
            assert issuer.server.requests[-1].headers.get("if-none-match") == sent


async def test_another_body_under_the_same_etag_is_another_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with world(monkeypatch, tmp_path) as issuer:
        issuer.publish(good(GOOD_SET, {"ETag": '"v1"'}))
        assert await issuer.status(good_token()) == 200
        issuer.publish(good(jwks_body(GOOD_MEMBERS[1]), {"ETag": '"v1"'}))
        issuer.clock.now += LIFETIME
        assert (await issuer.status(good_token()), issuer.gets) == (401, 2)


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as environment:
        environment.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_tokyo")
@pytest.mark.parametrize(
    "form",
    [
        "%a, %d %b %Y %H:%M:%S GMT",
        "%A, %d-%b-%y %H:%M:%S GMT",
        "%a %b %e %H:%M:%S %Y",
    ],
    ids=["as today", "RFC 850", "asctime"],
)
async def test_retry_after_may_be_any_form_of_a_date_and_is_in_utc(
    form: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """RFC 9110 section 5.6.7."""
    async with world(monkeypatch, tmp_path) as issuer:
        date = (datetime.now(UTC) + timedelta(seconds=100)).strftime(form)
        issuer.publish(answer(503, headers={"retry-after": date}))
        assert 40 <= int((await issuer.ask(good_token())).header("retry-after") or 0) <= 100


@pytest.mark.parametrize(
    "etag",
    [
        '"a b"',
        '"\x01"',
        '"' + "x" * 60_000 + '"',
        '"\xe9"',
    ],
    ids=["a blank", "a control character", "60 KB", "beyond ASCII"],
)
async def test_no_etag_keeps_the_set_from_being_fetched_again(
    etag: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """RFC 9110 section 8.8.3 lets an ETag hold any byte from 128 on."""
    async with world(monkeypatch, tmp_path) as issuer:
        issuer.publish(good(GOOD_SET, {"ETag": etag}))
        for gets in (1, 2):
            assert (await issuer.status(good_token()), issuer.gets) == (200, gets)
            issuer.clock.now += LIFETIME


@pytest.mark.parametrize("code", [304, 400, 412, 431, 500])
async def test_an_issuer_that_chokes_on_a_conditional_request_is_asked_without(
    code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def choke(request: Request, writer: asyncio.StreamWriter) -> None:
        # A 304 of this kind is in a coding that was not asked for
        refusal = answer(code, headers={"content-encoding": "br"})
        writer.write(refusal if "if-none-match" in request.headers else good(GOOD_SET, {"ETag": '"v1"'}))

    async with world(monkeypatch, tmp_path) as issuer:
        issuer.publish(choke)
        assert await issuer.status(good_token()) == 200
        for _ in range(3):
            issuer.clock.now += LIFETIME
            assert await issuer.status(good_token()) == 200
            await until(lambda: issuer.gets >= 2)
        issuer.clock.now += DAY
        await issuer.ask(good_token())
        issuer.clock.now += LIFETIME
        assert await issuer.status(good_token()) == 200


@pytest.mark.parametrize("coding", ["gzip", "br"])
async def test_an_answer_without_a_set_counts_whatever_coding_it_names(
    coding: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A gateway writes its error pages, and its 304, in the coding that it likes."""
    async with world(monkeypatch, tmp_path) as issuer:
        issuer.publish(answer(503, b"<html>", {"content-encoding": coding, "retry-after": "120"}))
        assert (await issuer.ask(good_token())).header("retry-after") == "120"
        issuer.clock.now += 120
        issuer.publish(good(GOOD_SET, {"ETag": '"v1"'}))
        assert await issuer.status(good_token()) == 200
        issuer.publish(answer(304, headers={"content-encoding": coding}))
        issuer.clock.now += LIFETIME
        assert await issuer.status(good_token()) == 200
        # Confirmed: so it is fresh, and a new kid is asked for
        assert (await issuer.status(new_kid_token()), issuer.gets) == (401, 4)
