"""The issuer's metadata in place of the key set's URL: the same faults, one step earlier."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jwt_asgi._keys import fetch
from jwt_asgi._keys.discovery import metadata_urls
from tests.attacks.corpus.case import ISSUER
from tests.faults import catalogue
from tests.faults.world import GOOD_SET, LIFETIME, World, good, good_token, world
from tests.keys.server import Script, answer, silence

OAUTH, OPENID = (url.removeprefix(ISSUER) for url in metadata_urls(ISSUER))
ROWS = catalogue.metadata()


def _metadata(**members: str) -> bytes:
    return json.dumps({"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"} | members).encode()


DOCUMENTS: dict[str, Script] = {
    "good": good(_metadata()),
    "404": answer(404),
    "500": answer(500),
    "HTML": answer(200, b"<!doctype html>"),
    "302 to another host": answer(302, headers={"location": "https://elsewhere.test/"}),
    "it hangs up": b"",
    "no answer": silence,
    "another issuer": good(_metadata(issuer="https://elsewhere.test")),
    "keys without TLS": good(_metadata(jwks_uri="http://issuer.example/jwks")),
    "keys in a file": good(_metadata(jwks_uri="file:///etc/passwd")),
    "an array": good(b"[]"),
    "100 000 brackets": good(b"[" * 100_000),
    "5 MB": good(_metadata() + b" " * 5_000_000),
    "UTF-16": good(_metadata().decode().encode("utf-16")),
}


def _publish(issuer: World, oauth: Script, openid: Script) -> None:
    issuer.server.script = {OAUTH: oauth, OPENID: openid, "/jwks": good(GOOD_SET)}


@pytest.mark.parametrize(("first", "second", "status", "gets", "retry_after"), ROWS)
async def test_the_metadata_of_either_place_will_do_and_its_faults_are_those_of_the_keys(
    first: str,
    second: str,
    status: int,
    gets: int,
    retry_after: int | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    # As with the defaults, the time for a whole attempt is longer than that for one answer
    monkeypatch.setattr(fetch, "READ_SHARE", 0.03 if "no answer" in {first, second} else 1.0)
    async with world(monkeypatch, tmp_path, discovered=True) as issuer:
        _publish(issuer, DOCUMENTS[first], DOCUMENTS[second])
        for _ in range(2):
            answered = await issuer.ask(good_token())
            assert (answered.status, issuer.gets) == (status, gets)
            assert answered.header("retry-after") == (None if retry_after is None else str(retry_after))
        issuer.clock.now += 1
        _publish(issuer, DOCUMENTS["good"], DOCUMENTS["404"])
        assert (await issuer.status(good_token()), issuer.gets) == (200, gets if status == 200 else gets + 2)


@pytest.mark.parametrize("fault", ["404", "500", "it hangs up", "another issuer", "HTML"])
async def test_metadata_that_was_read_once_may_go_for_a_day(
    fault: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with world(monkeypatch, tmp_path, discovered=True) as issuer:
        _publish(issuer, DOCUMENTS["good"], DOCUMENTS["404"])
        assert (await issuer.status(good_token()), issuer.gets) == (200, 2)
        _publish(issuer, DOCUMENTS[fault], DOCUMENTS[fault])
        for gets in range(3, 10):
            issuer.clock.now += LIFETIME + 1
            assert (await issuer.status(good_token()), issuer.gets) == (200, gets)


async def test_retry_after_of_the_metadata_is_heeded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with world(monkeypatch, tmp_path, discovered=True) as issuer:
        patience = answer(429, headers={"retry-after": "120"})
        _publish(issuer, patience, patience)
        answered = await issuer.ask(good_token())
        assert answered.header("retry-after") == "120"
