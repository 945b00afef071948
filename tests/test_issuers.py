"""The options of a trusted issuer: plain http, other HTTP clients, who is told, whose clock, and what is required."""

from __future__ import annotations

import asyncio
import json
import logging
import urllib.request
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from jwt_asgi import (
    ConfigurationError,
    HttpxFetch,
    KeyCaching,
    KeysUnavailable,
    Reason,
    StaticKeys,
    TrustedIssuer,
    Verifier,
)
from jwt_asgi._keys.discovery import metadata_urls
from jwt_asgi.instrumentation import KeyEvent, KeyEventKind, log_key_event
from jwt_asgi.tenants import TrustedTenants
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import FetchResponse
from tests.faults.world import Proxy
from tests.keys.certificates import Authority
from tests.keys.script import FakeClock
from tests.keys.server import RawServer, answer, issued_by
from tests.tenancy import Door

REMOTE = "http://issuer.test"


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with RawServer() as server:
        yield server


def issuer_at(url: str) -> TestIssuer:
    return TestIssuer(url, algorithms=["ES256"])


def trusted(who: TestIssuer, /, **options: Any) -> TrustedIssuer:
    return TrustedIssuer(**{**who.options(), **options})


# Plain http


@pytest.mark.parametrize("option", ["issuer", "jwks_uri"])
@pytest.mark.parametrize("host", ["issuer.test", "10.0.0.7:8080", "issuer.namespace.svc.cluster.local", "0.0.0.0"])
def test_plain_http_beyond_this_machine_is_refused_at_the_start_with_a_hint(option: str, host: str) -> None:
    url = f"http://{host}/x"
    with pytest.raises(ConfigurationError, match="expected https, since whoever changes the keys") as caught:
        trusted(issuer_at("https://issuer.test"), **{option: url})
    assert caught.value.option == option
    assert "write allow_http=True" in caught.value.detail
    assert url in caught.value.detail
    assert trusted(issuer_at("https://issuer.test"), allow_http=True, **{option: url})


@pytest.mark.parametrize("allow_http", [True, False])
@pytest.mark.parametrize("url", ["ftp://issuer.test/keys", "ws://issuer.test", "file://issuer.test/keys"])
def test_no_other_scheme_is_allowed_with_http(url: str, *, allow_http: bool) -> None:
    with pytest.raises(ConfigurationError, match="expected https") as caught:
        trusted(issuer_at("https://issuer.test"), jwks_uri=url, allow_http=allow_http)
    assert "allow_http" not in caught.value.detail


@pytest.mark.parametrize("allow_http", ["true", "false", 1, 0, None])
@pytest.mark.parametrize("given", [True, False], ids=["given keys", "fetched keys"])
def test_http_is_allowed_by_true_alone(allow_http: object, *, given: bool) -> None:
    issuer = issuer_at("https://issuer.test")
    options: dict[str, Any] = {"keys": StaticKeys(issuer.jwks()), "fetch": None} if given else {}
    with pytest.raises(ConfigurationError, match="expected True or False") as caught:
        trusted(issuer, allow_http=allow_http, **options)
    assert caught.value.option == "allow_http"


async def test_where_http_is_allowed_metadata_and_keys_are_fetched_over_it() -> None:
    issuer = issuer_at(REMOTE)
    door = Door(trusted(issuer, allow_http=True))
    assert await door.outcome(issuer.token()) is None
    assert issuer.fetched == [f"{REMOTE}/.well-known/oauth-authorization-server", f"{REMOTE}/jwks.json"]


@pytest.mark.parametrize(
    ("allow_http", "jwks_uri", "reason"),
    [
        (False, "http://keys.test/jwks", Reason.DISCOVERY_FAILED),
        (True, "http://keys.test/jwks", None),
        (True, "https://keys.test/jwks", None),
        (True, "ftp://keys.test/jwks", Reason.DISCOVERY_FAILED),
        (True, "http://user@keys.test/jwks", Reason.DISCOVERY_FAILED),
    ],
)
async def test_what_metadata_names_is_held_against_the_same_option(
    server: RawServer, jwks_uri: str, reason: Reason | None, *, allow_http: bool
) -> None:
    # the issuer is on the loopback, where http needs no option
    issuer = issuer_at(server.url())
    fetched: list[str] = []

    async def fetch(url: str, *, headers: Mapping[str, str], **_: Any) -> FetchResponse:
        fetched.append(url)
        if url == jwks_uri:
            url = issuer.jwks_uri
        found = await issuer.fetch(url, headers=headers, timeout=1, limit=1)
        body = found.body.replace(f'"{issuer.jwks_uri}"'.encode(), f'"{jwks_uri}"'.encode())
        return FetchResponse(found.status, {}, body)

    door = Door(trusted(issuer, fetch=fetch, allow_http=allow_http))
    assert await door.outcome(issuer.token()) is reason
    assert (jwks_uri in fetched) is (reason is None)


async def test_under_https_metadata_never_leads_to_http_whatever_is_allowed() -> None:
    issuer = issuer_at("https://issuer.test")

    async def fetch(url: str, *, headers: Mapping[str, str], **_: Any) -> FetchResponse:
        found = await issuer.fetch(url, headers=headers, timeout=1, limit=1)
        return FetchResponse(
            found.status, {}, found.body.replace(b"https://issuer.test/jwks", b"http://keys.test/jwks")
        )

    door = Door(trusted(issuer, fetch=fetch, allow_http=True))
    assert await door.outcome(issuer.token()) is Reason.DISCOVERY_FAILED
    assert issuer.fetched == [
        "https://issuer.test/.well-known/oauth-authorization-server",
        "https://issuer.test/.well-known/openid-configuration",
    ]


async def test_http_beyond_this_machine_is_fetched_by_the_default_client_where_allowed(server: RawServer) -> None:
    issuer = issuer_at(REMOTE)
    server.script[issuer.jwks_uri] = answer(200, json.dumps(issuer.jwks()).encode())
    options = {"jwks_uri": issuer.jwks_uri, "allow_http": True, "fetch": HttpxFetch(proxy=server.url())}
    assert await Door(trusted(issuer, **options)).outcome(issuer.token()) is None
    assert [request.path for request in server.requests] == ["http://issuer.test/jwks.json"]


# Certificates and proxies


async def test_an_issuer_with_a_private_authority_that_asks_for_a_client_certificate_is_reached(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with RawServer(authority.serving("127.0.0.1", of_clients=True)) as server:
        issuer = issuer_at(server.url())
        server.otherwise = issued_by(issuer)
        context = authority.trusting()
        refused = Door(trusted(issuer, fetch=HttpxFetch(context)))
        assert await refused.outcome(issuer.token()) is Reason.KEYS_UNAVAILABLE
        assert server.requests == []
        context.load_cert_chain(authority.certificate("client.test"))
        assert await Door(trusted(issuer, fetch=HttpxFetch(context))).outcome(issuer.token()) is None
        assert len(server.requests) == 2


async def test_an_authority_that_nobody_named_is_not_trusted(tmp_path: Path) -> None:
    async with RawServer(Authority(tmp_path).serving("127.0.0.1")) as server:
        issuer = issuer_at(server.url())
        server.otherwise = issued_by(issuer)
        door = Door(trusted(issuer, fetch=None))
        assert await door.outcome(issuer.token()) is Reason.KEYS_UNAVAILABLE
        assert "certificate verify failed" in door.verifier.status()[issuer.issuer].error
        assert server.requests == []


@pytest.mark.parametrize("refusal", [b"", b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"], ids=["open", "407"])
async def test_an_issuer_behind_a_proxy_is_reached_and_the_proxys_password_stays_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, refusal: bytes
) -> None:
    authority = Authority(tmp_path)
    issuer = issuer_at("https://issuer.test")
    async with RawServer(authority.serving("issuer.test")) as server:
        server.otherwise = issued_by(issuer)
        proxy = Proxy(server._port, refusal)
        url = (await proxy.start()).replace("//", "//user:s3cret@")
        events: list[KeyEvent] = []
        hooks = [events.append, log_key_event]
        door = Door(trusted(issuer, fetch=HttpxFetch(authority.trusting(), proxy=url), key_hooks=hooks), log=True)
        with caplog.at_level(logging.DEBUG):
            answered = await door.ask(issuer.token())
        await proxy.stop()
    assert answered.status == (503 if refusal else 200)
    assert proxy.asked[0] == b"CONNECT issuer.test:443 HTTP/1.1"
    status = door.verifier.status()[issuer.issuer]
    assert bool(status.error) is bool(refusal)
    for told in (caplog.text, repr(status), repr(events), repr(answered)):
        assert "s3cret" not in told
        assert "dXNlcjpzM2NyZXQ=" not in told


async def test_one_client_may_serve_several_issuers_and_tenants(server: RawServer) -> None:
    fetch = HttpxFetch()
    first, second = issuer_at(server.url("/contoso")), issuer_at(server.url("/fabrikam"))
    for issuer in (first, second):
        for url in (*metadata_urls(issuer.issuer), issuer.jwks_uri):
            server.script[url.removeprefix(server.url())] = answering(issuer, url)
    door = Door(
        TrustedTenants(
            server.url("/{tenantid}"),
            tenants={"contoso", "fabrikam"},
            claim=None,
            audience=first.audience,
            algorithms=["ES256"],
            fetch=fetch,
        )
    )
    for issuer in (first, second, first):
        assert await door.outcome(issuer.token()) is None
    assert len(server.requests) == 4
    stolen = first.token(claims={"iss": second.issuer})
    assert await door.outcome(stolen) is Reason.SIGNATURE_INVALID


def answering(issuer: TestIssuer, url: str) -> bytes:
    """What this issuer answers at this URL."""
    document = issuer.jwks() if url == issuer.jwks_uri else issuer.metadata()
    return answer(200, json.dumps(document).encode())


def test_a_template_under_http_needs_the_option_too() -> None:
    options: dict[str, Any] = {"tenants": {"a"}, "audience": "x", "algorithms": ["ES256"]}
    template = "http://issuer.test/{tenantid}"
    with pytest.raises(ConfigurationError, match="write allow_http=True"):
        TrustedTenants(template, **options)
    assert TrustedTenants(template, allow_http=True, **options).find("http://issuer.test/a")


# HTTP clients of one's own


async def by_urllib(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
    """A `Fetch` on the standard library, in a thread."""

    def get() -> FetchResponse:
        request = urllib.request.Request(url, headers=dict(headers))
        with urllib.request.urlopen(request, timeout=timeout) as response:
            found = {name.lower(): value for name, value in response.headers.items()}
            return FetchResponse(response.status, found, response.read(limit + 1))

    async with asyncio.timeout(timeout):
        return await asyncio.to_thread(get)


class ByStreams:
    """A `Fetch` on asyncio's streams, as an object."""

    async def __call__(self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        host, _, port = url.split("/")[2].partition(":")
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(host, int(port), limit=limit)
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            writer.write(f"GET /{url.split('/', 3)[3]} HTTP/1.1\r\nhost: {host}\r\n{lines}\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            fields = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await reader.readexactly(int(fields["content-length"]))
            writer.close()
        return FetchResponse(int(head[0].split(" ")[1]), fields, body)


@pytest.mark.parametrize("fetch", [by_urllib, ByStreams()], ids=["urllib in a thread", "asyncio streams"])
async def test_another_http_client_may_do_the_fetching(server: RawServer, fetch: Any) -> None:
    issuer = issuer_at(server.url())
    server.otherwise = issued_by(issuer)
    clock = FakeClock()
    door = Door(trusted(issuer, fetch=fetch, key_clock=clock))
    assert await door.outcome(issuer.token()) is None
    assert await door.outcome(issuer.bad_token(Reason.SIGNATURE_INVALID)) is Reason.SIGNATURE_INVALID
    assert [request.path for request in server.requests] == ["/.well-known/oauth-authorization-server", "/jwks.json"]
    issuer.rotate()
    assert await door.outcome(issuer.token()) is None
    assert server.requests[-1].headers["if-none-match"].startswith('"')
    assert server.requests[-1].headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("fetch", [by_urllib, ByStreams()], ids=["urllib in a thread", "asyncio streams"])
async def test_whatever_another_http_client_raises_is_a_failed_attempt(server: RawServer, fetch: Any) -> None:
    issuer = issuer_at(server.url())
    server.otherwise = answer(500)
    door = Door(trusted(issuer, fetch=fetch, jwks_uri=issuer.jwks_uri))
    assert await door.outcome(issuer.token()) is Reason.KEYS_UNAVAILABLE
    assert door.verifier.status()[issuer.issuer].failures == 1


# Who is told


async def test_key_hooks_are_told_and_the_log_is_not(caplog: pytest.LogCaptureFixture) -> None:
    issuer = issuer_at("https://issuer.test")
    events: list[KeyEvent] = []

    def broken(_: KeyEvent) -> None:
        raise ValueError

    verifier = Verifier(trusted(issuer, key_hooks=[broken, events.append]))
    with caplog.at_level(logging.DEBUG, "jwt_asgi"):
        await verifier.verify(issuer.token())
    assert [event.kind for event in events] == [KeyEventKind.FETCHED, KeyEventKind.KEYS_CHANGED]
    assert {event.issuer for event in events} == {"https://issuer.test"}
    assert {record.getMessage().split(" ")[0] for record in caplog.records} == {"the"}, "the hook's own fault alone"


@pytest.mark.parametrize("hooks", [[], ()])
async def test_without_key_hooks_nobody_is_told(hooks: Any, caplog: pytest.LogCaptureFixture) -> None:
    issuer = issuer_at("https://issuer.test")
    with caplog.at_level(logging.DEBUG, "jwt_asgi"):
        await Verifier(trusted(issuer, key_hooks=hooks)).verify(issuer.token())
    assert caplog.records == []


async def test_by_default_what_happens_to_the_keys_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    issuer = issuer_at("https://issuer.test")
    with caplog.at_level(logging.INFO, "jwt_asgi"):
        await Verifier(trusted(issuer)).verify(issuer.token())
    assert caplog.messages == ["keys of https://issuer.test: keys_changed: added 'es256-1'"]


@pytest.mark.parametrize("hooks", ["log", print, [None], [print, "log"], {print}, 7])
def test_key_hooks_are_a_list_of_functions(hooks: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected a list of hooks") as caught:
        trusted(issuer_at("https://issuer.test"), key_hooks=hooks)
    assert caught.value.option == "key_hooks"


# Whose clock, and what is required


async def test_the_keys_age_by_the_clock_that_is_given() -> None:
    issuer, clock = issuer_at("https://issuer.test"), FakeClock()
    verifier = Verifier(trusted(issuer, key_clock=clock, key_caching=KeyCaching(stale_if_error=0.0)))
    await verifier.verify(issuer.token())
    clock.now += 299
    status = verifier.status()["https://issuer.test"]
    assert status.age == 299
    assert status.ready
    clock.now += 1
    assert not verifier.status()["https://issuer.test"].ready


@pytest.mark.parametrize("required", ["yes", 1, None, []])
@pytest.mark.parametrize("given", [True, False], ids=["given keys", "fetched keys"])
def test_an_issuer_is_required_or_not(required: object, *, given: bool) -> None:
    issuer = issuer_at("https://issuer.test")
    options: dict[str, Any] = {"keys": StaticKeys(issuer.jwks()), "fetch": None} if given else {}
    with pytest.raises(ConfigurationError, match="expected True or False") as caught:
        trusted(issuer, required=required, **options)
    assert caught.value.option == "required"


async def test_a_start_waits_for_the_required_issuers_alone() -> None:
    async def fetch(*_: Any, **__: Any) -> FetchResponse:
        raise ValueError("no answer")

    good, lost = issuer_at("https://issuer.test"), issuer_at("https://lost.test")
    verifier = Verifier(trusted(good), trusted(lost, fetch=fetch, required=False))
    await verifier.start("require")
    statuses = verifier.status()
    assert {issuer: (status.required, status.ready) for issuer, status in statuses.items()} == {
        "https://issuer.test": (True, True),
        "https://lost.test": (False, False),
    }
    assert statuses["https://lost.test"].counters["fetches"] == 0
    with pytest.raises(KeysUnavailable):
        await verifier.verify(lost.token())


@pytest.mark.parametrize(
    "beside",
    [
        {"jwks_uri": "https://issuer.test/k"},
        {"key_caching": KeyCaching()},
        {"key_hooks": []},
        {"key_clock": FakeClock()},
    ],
)
def test_given_keys_leave_nothing_to_say_about_fetching(beside: dict[str, Any]) -> None:
    issuer = issuer_at("https://issuer.test")
    with pytest.raises(ConfigurationError, match="beside keys that are given") as caught:
        trusted(issuer, keys=StaticKeys(issuer.jwks()), fetch=None, **beside)
    assert caught.value.option == "keys"


@pytest.mark.parametrize(
    ("option", "wrong"), [("keys", {"keys": []}), ("key_caching", 600), ("fetch", "https://proxy.test"), ("fetch", {})]
)
def test_an_option_of_another_type_is_refused(option: str, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected") as caught:
        trusted(issuer_at("https://issuer.test"), **{option: wrong})
    assert caught.value.option == option


async def test_given_keys_are_used_and_may_be_of_an_issuer_that_is_no_url() -> None:
    issuer = issuer_at("urn:example:issuer")
    door = Door(trusted(issuer, keys=StaticKeys(issuer.jwks()), fetch=None, required=False))
    assert await door.outcome(issuer.token()) is None
    assert door.verifier.status()["urn:example:issuer"].required is False
    assert issuer.fetched == []
