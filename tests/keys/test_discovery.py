"""From an issuer to its jwks_uri: where the metadata is looked for, what it must say, and what an operator reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from jwt_asgi import KeysUnavailable, Reason
from jwt_asgi._keys.discovery import discover_jwks_uri, metadata_urls
from jwt_asgi._keys.fetch import FetchError, HttpxFetch, NoAnswerError
from jwt_asgi.types import FetchResponse
from tests.keys.script import ISSUER, JWKS_URI, Reply, ScriptedFetch, metadata, status
from tests.keys.server import RawServer, answer

OAUTH, OPENID = metadata_urls(ISSUER)
MARK = "written-by-the-server"


def document(**members: Any) -> FetchResponse:
    return FetchResponse(200, {}, json.dumps({"issuer": ISSUER, "jwks_uri": JWKS_URI} | members).encode())


def body(raw: bytes) -> FetchResponse:
    return FetchResponse(200, {"content-type": "text/html"}, raw)


async def discover(fetch: ScriptedFetch, issuer: str = ISSUER) -> str:
    return await discover_jwks_uri(issuer, fetch, timeout=5.0)


async def failure(fetch: ScriptedFetch, issuer: str = ISSUER) -> str:
    with pytest.raises(KeysUnavailable) as caught:
        await discover(fetch, issuer)
    assert caught.value.reason is Reason.DISCOVERY_FAILED
    assert caught.value.issuer == issuer
    return caught.value.detail


@pytest.mark.parametrize(
    ("issuer", "oauth", "openid"),
    [
        (
            "https://issuer.test",
            "https://issuer.test/.well-known/oauth-authorization-server",
            "https://issuer.test/.well-known/openid-configuration",
        ),
        (
            "https://issuer.test/",
            "https://issuer.test/.well-known/oauth-authorization-server",
            "https://issuer.test/.well-known/openid-configuration",
        ),
        (
            "https://issuer.test/tenant/a",
            "https://issuer.test/.well-known/oauth-authorization-server/tenant/a",
            "https://issuer.test/tenant/a/.well-known/openid-configuration",
        ),
        (
            "https://issuer.test:8443/tenant/",
            "https://issuer.test:8443/.well-known/oauth-authorization-server/tenant",
            "https://issuer.test:8443/tenant/.well-known/openid-configuration",
        ),
    ],
    ids=["plain", "slash", "path", "path and slash"],
)
def test_the_metadata_is_looked_for_where_the_specifications_put_it(issuer: str, oauth: str, openid: str) -> None:
    assert metadata_urls(issuer) == (oauth, openid)


async def test_the_place_of_rfc_8414_is_asked_first_and_alone_when_it_answers() -> None:
    fetch = ScriptedFetch(metadata())
    assert await discover(fetch) == JWKS_URI
    assert fetch.urls == [OAUTH]
    assert fetch.calls[0].headers["accept"] == "application/json"
    assert fetch.calls[0].timeout == 5.0


FAULTS: Mapping[str, tuple[Reply, str]] = {
    "not there": (status(404), "answered 404"),
    "forbidden": (status(403), "answered 403"),
    "a redirect": (status(302, location="https://issuer.test/login"), "answered 302"),
    "no content": (status(204), "answered 204"),
    "a server's fault": (status(500), "answered 500"),
    "a page": (body(b"<!doctype html><title>" + MARK.encode()), "expected a JSON object"),
    "nothing": (body(b""), "expected a JSON object"),
    "an array": (body(b"[]"), "expected a JSON object"),
    "UTF-16": (body(json.dumps({"issuer": ISSUER}).encode("utf-16")), "expected a JSON object"),
    "deep": (body(b"[" * 100_000), "expected a JSON object"),
    "a member twice": (body(b'{"issuer": "x", "issuer": "https://issuer.test"}'), "expected a JSON object"),
    "no issuer": (body(b"{}"), "it names another one"),
    "another issuer": (document(issuer=f"https://{MARK}.test"), "it names another one"),
    "another case": (document(issuer=ISSUER.upper()), "it names another one"),
    "a list of issuers": (document(issuer=[ISSUER]), "it names another one"),
    "no jwks_uri": (body(json.dumps({"issuer": ISSUER}).encode()), "expected a jwks_uri; it names none"),
    "a jwks_uri that is no text": (document(jwks_uri=[JWKS_URI]), "expected a jwks_uri; it names none"),
    "a relative jwks_uri": (document(jwks_uri=f"/{MARK}"), "expected a jwks_uri that is an https URL"),
    "an http jwks_uri": (document(jwks_uri=f"http://{MARK}.test/"), "expected a jwks_uri that is an https URL"),
    "a file": (document(jwks_uri=f"file:///{MARK}"), "expected a jwks_uri that is an https URL"),
    "user information": (document(jwks_uri=f"https://{MARK}@x.test/"), "expected a jwks_uri that is an https URL"),
    "a jwks_uri of line ends": (
        document(jwks_uri=f"https://x.test/\r\n{MARK}"),
        "expected a jwks_uri that is an https",
    ),
    "http on the loopback": (document(jwks_uri="http://127.0.0.1/jwks"), "expected a jwks_uri under https"),
    "too much": (FetchError("it answered with more than 524288 bytes"), "it answered with more than 524288 bytes"),
}


@pytest.mark.parametrize(("fault", "text"), FAULTS.values(), ids=FAULTS)
async def test_openid_connect_discovery_is_the_second_place(fault: Reply, text: str) -> None:
    fetch = ScriptedFetch(metadata(), by_url={OAUTH: fault})
    assert await discover(fetch) == JWKS_URI
    assert fetch.urls == [OAUTH, OPENID]


@pytest.mark.parametrize(("fault", "text"), FAULTS.values(), ids=FAULTS)
async def test_every_fault_is_told_with_its_url_and_nothing_of_what_was_sent(fault: Reply, text: str) -> None:
    fetch = ScriptedFetch(fault, by_url={OPENID: status(418)})
    detail = await failure(fetch)
    assert text in detail
    assert f"{OPENID} answered 418" in detail
    assert OAUTH in detail or isinstance(fault, FetchError)
    assert MARK not in detail
    assert len(detail) < 400


@pytest.mark.parametrize(
    ("configured", "named", "hinted"),
    [
        (ISSUER, f"{ISSUER}/", True),
        (f"{ISSUER}/", ISSUER, True),
        (ISSUER, "https://another.test/", False),
        (ISSUER, None, False),
    ],
)
async def test_an_issuer_that_is_but_a_slash_away_is_refused_with_a_hint(
    configured: str, named: str | None, *, hinted: bool
) -> None:
    detail = await failure(ScriptedFetch(document(issuer=named)), configured)
    assert f"expected the issuer {configured!r}; it names another one" in detail
    assert ("; it names another one, which differs by a trailing slash alone; " in detail) is hinted
    assert ("; it names another one; " in detail) is not hinted


@pytest.mark.parametrize("jwks_uri", ["https://keys.elsewhere.test/v1", "https://issuer.test:8443/jwks"])
async def test_the_keys_may_be_on_any_host_under_https(jwks_uri: str) -> None:
    assert await discover(ScriptedFetch(metadata(jwks_uri))) == jwks_uri


async def test_an_issuer_on_the_loopback_may_have_its_keys_there() -> None:
    issuer, jwks_uri = "http://127.0.0.1:8080", "http://127.0.0.1:8080/jwks"
    fetch = ScriptedFetch(metadata(jwks_uri, issuer))
    assert await discover(fetch, issuer) == jwks_uri


@pytest.mark.parametrize(
    ("issuer", "jwks_uri", "allow_http", "text"),
    [
        ("http://issuer.test", "http://issuer.test/jwks", True, ""),
        ("http://issuer.test", "http://keys.test/jwks", True, ""),
        ("http://issuer.test", "https://keys.test/jwks", True, ""),
        ("http://127.0.0.1:8080", "http://keys.test/jwks", True, ""),
        ("http://127.0.0.1:8080", "http://keys.test/jwks", False, "expected a jwks_uri that is an https URL"),
        ("http://issuer.test", "http://user@issuer.test/jwks", True, "expected a jwks_uri that is an https URL"),
        ("http://issuer.test", "ftp://issuer.test/jwks", True, "expected a jwks_uri that is an https URL"),
        ("https://issuer.test", "http://issuer.test/jwks", True, "expected a jwks_uri under https"),
        ("https://issuer.test", "http://127.0.0.1/jwks", True, "expected a jwks_uri under https"),
    ],
)
async def test_where_http_is_allowed_an_issuer_under_http_may_have_its_keys_there(
    issuer: str, jwks_uri: str, text: str, *, allow_http: bool
) -> None:
    fetch = ScriptedFetch(metadata(jwks_uri, issuer))
    if not text:
        assert await discover_jwks_uri(issuer, fetch, timeout=5.0, allow_http=allow_http) == jwks_uri
        return
    with pytest.raises(KeysUnavailable, match=re.escape(text)):
        await discover_jwks_uri(issuer, fetch, timeout=5.0, allow_http=allow_http)


@pytest.mark.parametrize(
    ("first", "second", "asked"), [("7", "30", 30.0), ("30", "7", 30.0), ("", "7", 7.0), ("", "", 0)]
)
async def test_the_longer_wait_of_those_that_the_issuer_asks_for_counts(first: str, second: str, asked: float) -> None:
    fetch = ScriptedFetch(
        status(418), by_url={OAUTH: status(503, retry_after=first), OPENID: status(429, retry_after=second)}
    )
    with pytest.raises(KeysUnavailable) as caught:
        await discover(fetch)
    assert caught.value.retry_after == asked


async def test_an_issuer_that_asks_for_no_patience_gets_the_usual_one() -> None:
    with pytest.raises(KeysUnavailable) as caught:
        await discover(ScriptedFetch(status(404)))
    assert caught.value.retry_after == 0.0


async def test_every_fault_is_told_in_the_order_of_the_attempts() -> None:
    detail = await failure(ScriptedFetch(status(418), by_url={OAUTH: body(b"[]"), OPENID: status(404)}))
    assert detail == f"{OAUTH}: expected a JSON object; {OPENID} answered 404"


async def test_both_places_are_asked_for_json_within_bounds() -> None:
    fetch = ScriptedFetch(status(404))
    await failure(fetch)
    assert [(dict(call.headers), call.timeout, call.limit) for call in fetch.calls] == [
        ({"accept": "application/json"}, 5.0, 512 * 1024)
    ] * 2


@pytest.mark.parametrize("error", [NoAnswerError("nobody there"), OSError("down"), ValueError("the fetch's own")])
async def test_no_answer_at_all_ends_the_attempt(error: Exception) -> None:
    fetch = ScriptedFetch(error)
    with pytest.raises(type(error), match=re.escape(str(error))):
        await discover(fetch)
    assert fetch.urls == [OAUTH]


@pytest.mark.parametrize("path", ["", "/tenant"])
async def test_both_places_are_asked_on_a_real_socket(path: str) -> None:
    async with RawServer() as server:
        issuer = server.url(path)
        oauth, openid = (url.removeprefix(server.url()) for url in metadata_urls(issuer))
        found = {"issuer": issuer, "jwks_uri": server.url("/jwks")}
        server.script[openid] = answer(200, json.dumps(found).encode())
        assert await discover_jwks_uri(issuer, HttpxFetch(), timeout=2.0) == server.url("/jwks")
        assert [request.path for request in server.requests] == [oauth, openid]
