"""HttpxFetch on real sockets: what is passed on, what is bounded, and what an operator reads when it fails."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import os
import re
import socket
import ssl
import sys
import time
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from jwt_asgi import ConfigurationError, __version__
from jwt_asgi._keys import fetch as fetch_module
from jwt_asgi._keys.fetch import MAX_BODY_BYTES, FetchError, HttpxFetch, NoAnswerError, check_url, is_loopback
from jwt_asgi.types import FetchResponse
from tests.faults.world import Proxy
from tests.keys.certificates import Authority
from tests.keys.server import Behaviour, RawServer, Request, Script, answer, drip, reset_after, silence

LIMIT = 64 * 1024
MARK = "written-by-the-server"
"""Stands in everything that a server sends, so that it can be looked for in error texts."""
MARKED = MARK.encode()


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with RawServer() as server:
        yield server


@pytest.fixture(scope="module")
def httpx_fetch() -> HttpxFetch:
    return HttpxFetch()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port


async def get(fetch: HttpxFetch, url: str, *, timeout: float = 5.0) -> FetchResponse:
    return await fetch(url, headers={"accept": "application/json"}, timeout=timeout, limit=LIMIT)


# What is passed on


async def test_it_passes_on_status_headers_and_body(server: RawServer, httpx_fetch: HttpxFetch) -> None:
    server.script["/jwks"] = answer(203, b'{"keys": []}', {"ETag": '"v1"', "Cache-Control": "max-age=60"})
    response = await get(httpx_fetch, server.url("/jwks"))
    assert (response.status, response.body) == (203, b'{"keys": []}')
    assert response.headers["etag"] == '"v1"'
    assert response.headers["cache-control"] == "max-age=60"
    assert server.count("/jwks") == 1


@pytest.mark.parametrize("code", [204, 304, 400, 401, 404, 410, 429, 500, 503])
async def test_an_error_status_is_an_answer(server: RawServer, httpx_fetch: HttpxFetch, code: int) -> None:
    server.script["/jwks"] = answer(code)
    assert (await get(httpx_fetch, server.url("/jwks"))).status == code


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(server: RawServer, httpx_fetch: HttpxFetch, code: int) -> None:
    server.script["/jwks"] = answer(code, headers={"Location": server.url("/elsewhere")})
    response = await get(httpx_fetch, server.url("/jwks"))
    assert response.status == code
    assert [request.path for request in server.requests] == ["/jwks"]


async def test_an_interim_answer_is_passed_over(server: RawServer, httpx_fetch: HttpxFetch) -> None:
    server.script["/jwks"] = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + answer(200, b"{}")
    response = await get(httpx_fetch, server.url("/jwks"))
    assert (response.status, response.body) == (200, b"{}")


async def test_a_chunked_body_is_put_together(server: RawServer, httpx_fetch: HttpxFetch) -> None:
    server.script["/jwks"] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
    assert (await get(httpx_fetch, server.url("/jwks"))).body == b"{}"


async def test_it_names_itself_and_asks_for_no_compression(server: RawServer, httpx_fetch: HttpxFetch) -> None:
    server.script["/jwks"] = answer()
    await httpx_fetch(server.url("/jwks"), headers={"if-none-match": '"v1"'}, timeout=5.0, limit=LIMIT)
    headers = server.requests[0].headers
    assert headers["user-agent"] == f"jwt-asgi/{__version__}"
    assert headers["accept-encoding"] == "identity"
    assert headers["if-none-match"] == '"v1"'


async def test_no_cookie_goes_from_one_fetch_to_the_next(server: RawServer, httpx_fetch: HttpxFetch) -> None:
    server.script["/jwks"] = answer(headers={"Set-Cookie": "session=1"})
    for _ in range(2):
        await get(httpx_fetch, server.url("/jwks"))
    assert [request.headers.get("cookie") for request in server.requests] == [None, None]


# Bounds in time


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(drip(answer(200, MARKED * 100), seconds=0.05), id="a byte each 50 ms"),
        pytest.param(silence, id="no answer"),
    ],
)
async def test_the_whole_exchange_has_a_deadline(
    server: RawServer, httpx_fetch: HttpxFetch, behaviour: Behaviour
) -> None:
    server.script["/jwks"] = behaviour
    url, began = server.url("/jwks"), time.monotonic()
    with pytest.raises(FetchError, match=re.escape(f"{url} did not answer in time, in full within 0.5 s")) as caught:
        await get(httpx_fetch, url, timeout=0.5)
    assert 0.25 < time.monotonic() - began < 2
    assert not isinstance(caught.value, NoAnswerError), "there is no time left for another attempt"


async def test_a_server_that_says_nothing_for_long_is_given_up_before_the_deadline(
    server: RawServer, httpx_fetch: HttpxFetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_module, "READ_SHARE", 0.02)
    server.script["/jwks"] = silence
    url, began = server.url("/jwks"), time.monotonic()
    with pytest.raises(FetchError, match=re.escape(f"{url} did not answer in time")) as caught:
        await get(httpx_fetch, url)
    assert time.monotonic() - began < 2
    assert not isinstance(caught.value, NoAnswerError), "who is slow is not asked again at once"


def after(seconds: float, data: bytes) -> Behaviour:
    """Answer, but not at once."""

    async def behave(_: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        writer.write(data)

    return behave


async def test_a_slow_server_has_a_share_of_the_whole_time_to_begin_its_answer(
    server: RawServer, httpx_fetch: HttpxFetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script["/jwks"] = after(0.3, answer(200, b"{}"))
    assert (await get(httpx_fetch, server.url("/jwks"), timeout=10.0)).status == 200
    monkeypatch.setattr(fetch_module, "READ_SHARE", 0.01)
    with pytest.raises(FetchError, match="did not answer in time, in full within 10 s"):
        await get(httpx_fetch, server.url("/jwks"), timeout=10.0)


@pytest.mark.parametrize(("timeout", "connect", "read"), [(5.0, 2.0, 3.0), (15.0, 6.0, 9.0), (60.0, 24.0, 36.0)])
async def test_who_gives_more_time_gives_more_for_the_connection_and_the_silence(
    timeout: float,
    connect: float,
    read: float,
    server: RawServer,
    httpx_fetch: HttpxFetch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clients: list[httpx.AsyncClient] = []
    client = httpx.AsyncClient

    def noted(**options: Any) -> httpx.AsyncClient:
        clients.append(client(**options))
        return clients[0]

    monkeypatch.setattr(httpx, "AsyncClient", noted)
    server.script["/jwks"] = answer(200, b"{}")
    assert (await get(httpx_fetch, server.url("/jwks"), timeout=timeout)).status == 200
    (used,) = [one.timeout for one in clients]
    assert used.connect == pytest.approx(connect)
    assert used.read == used.write == used.pool == pytest.approx(read)


# Bounds in size, and what is no answer

GZIP = {"content-encoding": "gzip"}
BOMB = gzip.compress(bytes(5_000_000))
FAULTS = {
    "a body over the limit": (answer(200, MARKED * 4000), FetchError, f"more than {LIMIT} bytes"),
    "a body over the limit without a length": (
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + MARKED * 4000,
        FetchError,
        f"more than {LIMIT} bytes",
    ),
    "a compressed body over the limit": (answer(200, MARKED * 4000, GZIP), FetchError, f"more than {LIMIT} bytes"),
    "a gzip bomb": (answer(200, BOMB, GZIP), FetchError, f"more than {LIMIT} bytes once inflated"),
    "br, which was not asked for": (
        answer(200, MARKED, {"content-encoding": "br"}),
        FetchError,
        "content encoding that was not asked for",
    ),
    "a coding of the server's making": (
        answer(200, MARKED, {"content-encoding": MARK}),
        FetchError,
        "content encoding that was not asked for",
    ),
    "two codings": (
        answer(200, MARKED, {"content-encoding": "gzip, gzip"}),
        FetchError,
        "content encoding that was not asked for",
    ),
    "a garbage status line": (MARKED + b" of 1\r\n\r\n", NoAnswerError, "RemoteProtocolError"),
    "a header without end": (
        b"HTTP/1.1 200 OK\r\n" + MARKED + b": " + b"x" * 200_000 + b"\r\n\r\n",
        NoAnswerError,
        "RemoteProtocolError",
    ),
    "less than the length said": (
        answer(200, MARKED, {"content-length": "9000"}),
        NoAnswerError,
        "RemoteProtocolError",
    ),
    "a chunk cut short": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\n" + MARKED,
        NoAnswerError,
        "RemoteProtocolError",
    ),
    "a chunk without a size": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + MARKED + b"\r\n",
        NoAnswerError,
        "RemoteProtocolError",
    ),
    "nothing, and the connection closed": (b"", NoAnswerError, "RemoteProtocolError"),
    "a reset before the answer": (reset_after(b""), NoAnswerError, "Connection reset by peer"),
    "a reset within the body": (
        reset_after(answer(200, MARKED, {"content-length": "9000"})),
        NoAnswerError,
        "Connection reset by peer",
    ),
}


@pytest.mark.parametrize(("script", "kind", "text"), FAULTS.values(), ids=FAULTS)
async def test_a_fault_names_the_url_and_nothing_that_the_server_sent(
    server: RawServer, httpx_fetch: HttpxFetch, script: Script, kind: type[FetchError], text: str
) -> None:
    server.script["/jwks"] = script
    url = server.url("/jwks")
    with pytest.raises(FetchError, match=re.escape(text)) as caught:
        await get(httpx_fetch, url)
    assert type(caught.value) is kind, "only what was no answer at all may be asked for again at once"
    assert str(caught.value).startswith(url)
    assert MARK not in str(caught.value)
    assert server.count("/jwks") == 1


def _deflate(body: bytes) -> bytes:
    return zlib.compress(body)


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (b"not compressed, " + MARKED, "gzip"),
        (b"", "gzip"),
        (gzip.compress(MARKED, mtime=0)[:-9], "gzip"),
        (gzip.compress(MARKED, mtime=0)[:-8], "gzip"),
        (gzip.compress(MARKED, mtime=0)[:-8] + bytes(8), "gzip"),
        (gzip.compress(MARKED, mtime=0) + MARKED, "gzip"),
        (gzip.compress(MARKED, mtime=0) * 2, "gzip"),
        (_deflate(MARKED)[:-4], "deflate"),
    ],
    ids=[
        "no gzip",
        "empty",
        "cut short",
        "without its check sum",
        "wrong check sum",
        "more behind",
        "two",
        "deflate cut short",
    ],
)
async def test_an_ill_compressed_body_is_an_answer_that_is_refused(
    server: RawServer, httpx_fetch: HttpxFetch, body: bytes, coding: str
) -> None:
    server.script["/jwks"] = answer(200, body, {"content-encoding": coding})
    with pytest.raises(FetchError, match=re.escape(server.url("/jwks"))) as caught:
        await get(httpx_fetch, server.url("/jwks"))
    assert type(caught.value) is FetchError
    assert MARK not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (gzip.compress(b"{}", mtime=0), "gzip"),
        (gzip.compress(b"{}", mtime=0), "GZip "),
        (gzip.compress(b"{}", mtime=0), "x-gzip"),
        (_deflate(b"{}"), "deflate"),
        (b"{}", "identity"),
        (b"{}", "Identity"),
    ],
)
async def test_a_body_that_is_compressed_all_the_same_is_inflated(
    server: RawServer, httpx_fetch: HttpxFetch, body: bytes, coding: str
) -> None:
    server.script["/jwks"] = answer(200, body, {"content-encoding": coding})
    assert (await get(httpx_fetch, server.url("/jwks"))).body == b"{}"


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(("size", "fits"), [(LIMIT, True), (LIMIT + 1, False)])
async def test_the_limit_itself_fits(
    server: RawServer, httpx_fetch: HttpxFetch, *, size: int, fits: bool, compressed: bool
) -> None:
    body = b"x" * size
    server.script["/jwks"] = answer(200, gzip.compress(body, mtime=0), GZIP) if compressed else answer(200, body)
    if fits:
        assert (await get(httpx_fetch, server.url("/jwks"))).body == body
    else:
        with pytest.raises(FetchError, match="more than"):
            await get(httpx_fetch, server.url("/jwks"))


async def test_a_refused_connection_is_no_answer(httpx_fetch: HttpxFetch, closed_port: int) -> None:
    url = f"http://127.0.0.1:{closed_port}/jwks"
    with pytest.raises(NoAnswerError, match=re.escape(f"{url} could not be fetched: ConnectionRefusedError")):
        await get(httpx_fetch, url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1\n/", "http://[::1", "ftp://127.0.0.1/x", "nonsense"])
async def test_a_url_that_cannot_be_fetched_is_a_fetch_error(httpx_fetch: HttpxFetch, url: str) -> None:
    with pytest.raises(FetchError):
        await get(httpx_fetch, url)


# Proxies


async def test_no_proxy_of_the_environment_stands_before_the_loopback(
    server: RawServer, httpx_fetch: HttpxFetch, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    server.script["/jwks"] = answer(200, b"{}")
    assert (await get(httpx_fetch, server.url("/jwks"))).body == b"{}"


async def test_a_proxy_of_the_environment_is_used_for_any_other_host(
    server: RawServer, httpx_fetch: HttpxFetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", server.url())
    monkeypatch.setenv("http_proxy", server.url())
    server.otherwise = answer(200, b"through the proxy")
    assert (await get(httpx_fetch, "http://issuer.test/jwks")).body == b"through the proxy"
    assert server.requests[0].path == "http://issuer.test/jwks"


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.usefixtures("no_environment")
@pytest.mark.parametrize("environment", [{}, {"HTTP_PROXY": "closed", "ALL_PROXY": "closed"}, {"NO_PROXY": "*"}])
@pytest.mark.parametrize("host", ["issuer.test", "127.0.0.1:9", "localhost:9"])
async def test_a_proxy_that_is_given_is_used_for_every_host_whatever_the_environment_says(
    server: RawServer, monkeypatch: pytest.MonkeyPatch, closed_port: int, environment: dict[str, str], host: str
) -> None:
    for name, value in environment.items():
        text = value.replace("closed", f"http://127.0.0.1:{closed_port}")
        monkeypatch.setenv(name, text)
        monkeypatch.setenv(name.lower(), text)
    server.otherwise = answer(200, b"through the proxy")
    fetch = HttpxFetch(proxy=server.url())
    assert (await get(fetch, f"http://{host}/jwks")).body == b"through the proxy"
    assert [request.path for request in server.requests] == [f"http://{host}/jwks"]


async def test_https_goes_through_a_given_proxy_with_the_issuers_own_certificate(authority: Authority) -> None:
    async with RawServer(authority.serving("issuer.test")) as server:
        server.script["/jwks"] = answer(200, b"{}")
        proxy = Proxy(server._port)
        fetch = HttpxFetch(authority.trusting(), proxy=await proxy.start())
        assert (await get(fetch, "https://issuer.test/jwks")).body == b"{}"
        with pytest.raises(NoAnswerError, match="certificate is not valid for 'another"):
            await get(fetch, "https://another.test/jwks")
        await proxy.stop()
    assert proxy.asked == [b"CONNECT issuer.test:443 HTTP/1.1", b"CONNECT another.test:443 HTTP/1.1"]


PASSWORD = "s3cret-of-the-proxy"
BASIC = b64encode(f"user:{PASSWORD}".encode()).decode()


def told(caplog: pytest.LogCaptureFixture, error: BaseException | None, fetch: HttpxFetch) -> str:
    """All that an operator may come to read."""
    texts = [caplog.text, repr(fetch), *(repr(vars(record)) for record in caplog.records)]
    while error is not None:
        texts += [str(error), repr(error)]
        error = error.__cause__
    return "\n".join(texts)


async def test_a_proxy_gets_its_password_and_nobody_else_does(
    server: RawServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.otherwise = answer(200, b"{}")
    fetch = HttpxFetch(proxy=server.url().replace("//", f"//user:{PASSWORD}@"))
    with caplog.at_level(logging.DEBUG):
        await get(fetch, "http://issuer.test/jwks")
    assert server.requests[0].headers["proxy-authorization"] == f"Basic {BASIC}"
    assert PASSWORD not in told(caplog, None, fetch)
    assert BASIC not in told(caplog, None, fetch)


@pytest.mark.usefixtures("no_environment")
@pytest.mark.parametrize("given", [True, False], ids=["given", "of the environment"])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "refusal",
    [answer(407, MARKED), answer(502, MARKED), MARKED + b"\r\n\r\n", b""],
    ids=["407", "502", "garbage", "down"],
)
async def test_a_proxy_that_fails_is_told_without_its_password(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, refusal: bytes, scheme: str, *, given: bool
) -> None:
    refusing = Proxy(0, refusal)
    proxy = (await refusing.start()).replace("//", f"//user:{PASSWORD}@")
    if not refusal:
        await refusing.stop()
    if not given:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy)
    fetch, url = HttpxFetch(proxy=proxy if given else None), f"{scheme}://issuer.test/jwks"
    error: FetchError | None = None
    with caplog.at_level(logging.DEBUG):
        try:
            response = await get(fetch, url)
        except FetchError as caught:
            error = caught
        else:
            assert scheme == "http", "what a proxy says to a plain request is an answer"
            assert response.status in {407, 502}
    if refusal:
        await refusing.stop()
    if error is not None:
        assert type(error) is NoAnswerError
        assert str(error).startswith(url)
        assert MARK not in str(error)
    for secret in (PASSWORD, BASIC):
        assert secret not in told(caplog, error, fetch)


@pytest.mark.parametrize(
    "proxy",
    [
        "",
        "proxy.test",
        "proxy.test:3128",
        "http://",
        f"http://user:{PASSWORD}@",
        f"ftp://user:{PASSWORD}@proxy.test",
        f"http://user:{PASSWORD}@proxy.test:99999",
        f"http://user:{PASSWORD}@proxy.test:0",
        f"http://user:{PASSWORD}@proxy.test:port",
        f"http://user:{PASSWORD}@pro xy.test",
        f"http://user:{PASSWORD}\n@proxy.test",
        f"http://user:{PASSWORD}@[::1",
        7,
        b"http://proxy.test",
    ],
)
def test_what_is_no_proxy_is_refused_at_the_start_without_being_repeated(proxy: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected the URL of a proxy") as caught:
        HttpxFetch(proxy=proxy)
    assert caught.value.option == "proxy"
    assert PASSWORD not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("scheme", ["socks5"])
def test_a_socks_proxy_is_refused_at_the_start_where_httpx_lacks_what_it_needs(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(ConfigurationError, match=re.escape("httpx[socks]")) as caught:
        HttpxFetch(proxy=f"{scheme}://user:{PASSWORD}@proxy.test:1080")
    assert caught.value.option == "proxy"
    assert PASSWORD not in str(caught.value)
    monkeypatch.setitem(sys.modules, "socksio", ModuleType("socksio"))
    assert HttpxFetch(proxy=f"{scheme}://proxy.test:1080")


# TLS


async def test_a_client_certificate_is_shown_to_an_issuer_that_asks_for_one(authority: Authority) -> None:
    # RFC 8705 section 6.1: an issuer may ask for it on every connection
    async with RawServer(authority.serving("127.0.0.1", of_clients=True)) as server:
        server.script["/jwks"] = answer(200, b"{}")
        context = authority.trusting()
        with pytest.raises(NoAnswerError, match=re.escape(server.url("/jwks"))):
            await get(HttpxFetch(context), server.url("/jwks"))
        assert server.requests == []
        context.load_cert_chain(authority.certificate("client.test"))
        assert (await get(HttpxFetch(context), server.url("/jwks"))).body == b"{}"


def without_names(context: ssl.SSLContext) -> ssl.SSLContext:
    context.check_hostname = False
    return context


def with_mode(mode: ssl.VerifyMode) -> Callable[[ssl.SSLContext], ssl.SSLContext]:
    def change(context: ssl.SSLContext) -> ssl.SSLContext:
        context.check_hostname = False
        context.verify_mode = mode
        return context

    return change


@pytest.mark.parametrize(
    "change",
    [
        without_names,
        with_mode(ssl.CERT_NONE),
        with_mode(ssl.CERT_OPTIONAL),
        lambda _: ssl._create_unverified_context(),
        lambda _: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
    ],
    ids=["no names", "no certificates", "optional certificates", "unverified", "a server's"],
)
def test_a_context_that_does_not_verify_is_refused_at_the_start(
    authority: Authority, change: Callable[[ssl.SSLContext], ssl.SSLContext]
) -> None:
    with pytest.raises(ConfigurationError, match="expected a context that verifies the server's") as caught:
        HttpxFetch(change(authority.trusting()))
    assert caught.value.option == "ssl_context"
    assert "create_default_context(cafile=...)" in caught.value.detail


def test_a_context_that_verifies_a_certificate_only_where_there_is_one_is_refused() -> None:
    context = ssl.create_default_context()
    context.verify_mode = ssl.CERT_OPTIONAL
    with pytest.raises(ConfigurationError, match="expected a context that verifies the server's certificate and name"):
        HttpxFetch(context)


def test_the_context_of_all_is_made_once_for_the_certificates_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def context() -> ssl.SSLContext:
        made = HttpxFetch()._context
        assert (made.verify_mode, made.check_hostname) == (ssl.CERT_REQUIRED, True)
        return made

    usual = context()
    assert context() is usual
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert context() is not usual


@pytest.mark.parametrize("context", [True, False, "/etc/ssl/ca.pem", ssl.SSLContext, {}])
def test_what_is_no_context_is_refused_at_the_start(context: Any) -> None:
    told = f"expected an ssl.SSLContext; got {type(context).__name__}"
    with pytest.raises(ConfigurationError, match=re.escape(told)) as caught:
        HttpxFetch(context)
    assert caught.value.option == "ssl_context"


async def test_a_certificate_that_the_context_trusts_is_taken(authority: Authority) -> None:
    async with RawServer(authority.serving("127.0.0.1")) as server:
        server.script["/jwks"] = answer(200, b"{}")
        fetch = HttpxFetch(authority.trusting())
        for _ in range(2):
            assert (await get(fetch, server.url("/jwks"))).body == b"{}"


@pytest.mark.parametrize(
    ("host", "days", "trusted", "text"),
    [
        ("127.0.0.1", 1.0, False, "certificate verify failed"),
        ("127.0.0.2", 1.0, True, "certificate is not valid for '127.0.0.1'"),
        ("127.0.0.1", -1.0, True, "certificate has expired"),
    ],
    ids=["untrusted", "another host's", "expired"],
)
async def test_any_other_certificate_is_refused_and_said_to_be_the_matter(
    authority: Authority, httpx_fetch: HttpxFetch, *, host: str, days: float, trusted: bool, text: str
) -> None:
    async with RawServer(authority.serving(host, days=days)) as server:
        fetch = HttpxFetch(authority.trusting()) if trusted else httpx_fetch
        url = server.url("/jwks")
        with pytest.raises(NoAnswerError, match="SSLCertVerificationError") as caught:
            await get(fetch, url)
        assert str(caught.value).startswith(url)
        assert text in str(caught.value)
        assert server.requests == []


async def test_plain_http_where_tls_is_expected_is_refused(httpx_fetch: HttpxFetch) -> None:
    async def speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer(400, MARKED))
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(speak_plainly, "127.0.0.1", 0) as plain:
        url = f"https://127.0.0.1:{plain.sockets[0].getsockname()[1]}/jwks"
        with pytest.raises(NoAnswerError, match="SSLError") as caught:
            await get(httpx_fetch, url)
    assert MARK not in str(caught.value)


async def test_without_a_context_the_environment_may_name_the_certificates(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.root_file))
    async with RawServer(authority.serving("127.0.0.1")) as server:
        server.script["/jwks"] = answer(200, b"{}")
        assert (await get(HttpxFetch(), server.url("/jwks"))).body == b"{}"


# What it costs

FIRST_FETCHES = """
import asyncio, json, ssl, sys
from jwt_asgi import HttpxFetch

context = ssl.create_default_context(cafile=sys.argv[1])
fetches = [(url, HttpxFetch(context, proxy=proxy)) for url, proxy in json.loads(sys.argv[2])]

async def main():
    await asyncio.sleep(0)
    for url, fetch in fetches:
        before = set(sys.modules)
        response = await fetch(url, headers={}, timeout=5.0, limit=100)
        print(response.status, sorted(set(sys.modules) - before))

asyncio.run(main())
"""


async def test_the_first_fetch_of_any_kind_imports_nothing_which_would_stop_the_event_loop(
    authority: Authority, server: RawServer
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    async with RawServer(authority.serving("localhost")) as secure:
        server.otherwise = secure.otherwise = answer(200, b"{}")
        proxy = Proxy(secure._port)
        through = await proxy.start()
        fetches = [
            (server.url("/jwks"), None),
            (server.url("/jwks", host="localhost"), None),
            ("http://issuer.test/jwks", server.url()),
            (secure.url("/jwks", host="localhost"), None),
            ("https://localhost/jwks", through),
        ]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", FIRST_FETCHES, str(authority.root_file), json.dumps(fetches)),
            stdout=asyncio.subprocess.PIPE,
            env=environment,
        )
        output, _ = await process.communicate()
        await proxy.stop()
    assert output.decode().splitlines() == ["200 []"] * len(fetches)


# What goes wrong, in words


@pytest.mark.parametrize("behaviour", [silence, drip(answer(200, MARKED * 100), seconds=0.005)], ids=["silent", "slow"])
async def test_a_fetch_that_takes_too_long_is_told_with_its_url_and_its_time(
    server: RawServer, httpx_fetch: HttpxFetch, behaviour: Behaviour
) -> None:
    server.script["/jwks"] = behaviour
    url = server.url("/jwks")
    with pytest.raises(FetchError) as caught:
        await get(httpx_fetch, url, timeout=0.1)
    assert type(caught.value) is FetchError
    assert str(caught.value) == f"{url} did not answer in time, in full within 0.1 s"


@pytest.mark.parametrize("coding", ["gzip", "br", ""])
async def test_an_error_page_is_not_read_whatever_it_is_coded_in(
    server: RawServer, httpx_fetch: HttpxFetch, coding: str
) -> None:
    server.script["/jwks"] = answer(404, MARKED, {"content-encoding": coding})
    assert (await get(httpx_fetch, server.url("/jwks"))).status == 404


async def test_a_coding_without_a_name_is_none(server: RawServer, httpx_fetch: HttpxFetch) -> None:
    server.script["/jwks"] = answer(200, b"{}", {"content-encoding": ""})
    assert (await get(httpx_fetch, server.url("/jwks"))).body == b"{}"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"no gzip", "answered with a body that is not gzip, as it says"),
        (gzip.compress(b"{}")[:-4], "answered with a gzip body that is cut off, or goes on behind its end"),
        (gzip.compress(b"{}") + b"more", "answered with a gzip body that is cut off, or goes on behind its end"),
    ],
    ids=["no gzip", "cut off", "more behind it"],
)
async def test_what_is_wrong_with_a_coded_body_is_told(
    server: RawServer, httpx_fetch: HttpxFetch, body: bytes, told: str
) -> None:
    server.script["/jwks"] = answer(200, body, GZIP)
    url = server.url("/jwks")
    with pytest.raises(FetchError) as caught:
        await get(httpx_fetch, url)
    assert str(caught.value) == f"{url} {told}"


def behind(error: Exception, cause: Exception) -> Exception:
    """An error as a library raises it for another one."""
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "ConnectionRefusedError: Connection refused"),
        (behind(ValueError("x"), OSError(113, "No route to host")), "OSError: No route to host"),
        (behind(RuntimeError("x"), behind(OSError("y"), TimeoutError(110, "Timed out"))), "TimeoutError: Timed out"),
        (ssl.SSLError("a handshake without a number"), "SSLError: ('a handshake without a number',)"),
        (OSError("what the server wrote"), "OSError"),
        (ValueError("what the server wrote"), "ValueError"),
    ],
)
def test_the_innermost_fault_that_the_system_names_is_told_and_nothing_that_a_server_wrote(
    error: Exception, told: str
) -> None:
    assert fetch_module._tell(error) == told


def test_a_key_set_of_half_a_megabyte_is_the_largest() -> None:
    assert MAX_BODY_BYTES == 524_288


@pytest.mark.parametrize("proxy", ["http://proxy.test", "http://proxy.test:1", "https://proxy.test:65535"])
def test_a_proxy_may_have_any_port_or_none(proxy: str) -> None:
    assert HttpxFetch(proxy=proxy)


# Which URLs may be asked


@pytest.mark.parametrize(
    "url",
    [
        "https://issuer.test",
        "https://issuer.test/",
        "https://issuer.test:8443/tenant/jwks?v=1",
        "https://192.0.2.1/jwks",
        "https://[2001:db8::1]/jwks",
        "HTTPS://ISSUER.TEST/jwks",
        "http://localhost/jwks",
        "http://LOCALHOST:8080/jwks",
        "http://127.0.0.1:8080/jwks",
        "http://127.255.0.9/jwks",
        "http://[::1]:8080/jwks",
    ],
)
def test_https_anywhere_and_http_on_the_loopback_may_be_asked(url: str) -> None:
    assert check_url("jwks_uri", url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.test/jwks",
        "http://192.168.0.1/jwks",
        "http://0.0.0.0/jwks",
        "http://[::]/jwks",
        "http://localhost.issuer.test/jwks",
        "http://127.0.0.1.issuer.test/jwks",
        "http://127.1/jwks",
        "http://2130706433/jwks",
        "http://[2001:db8::1]/jwks",
        "http://169.254.169.254/jwks",
        "ftp://localhost/jwks",
        "ws://localhost/jwks",
        "//issuer.test/jwks",
    ],
)
def test_http_elsewhere_and_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="expected https") as caught:
        check_url("jwks_uri", url)
    assert caught.value.option == "jwks_uri"
    hint = ". On a network where nobody can do that, write allow_http=True" if url.startswith("http:") else ""
    assert caught.value.detail.endswith(f"; got {url!r}{hint}")


@pytest.mark.parametrize("url", ["http://issuer.test/jwks", "http://10.0.0.7:8080/jwks", "HTTP://ISSUER.TEST"])
def test_http_anywhere_may_be_asked_where_it_is_allowed_and_else_a_hint_says_how(url: str) -> None:
    assert check_url("jwks_uri", url, allow_http=True) == url
    with pytest.raises(ConfigurationError, match="On a network where nobody can do that, write allow_http=True"):
        check_url("jwks_uri", url)


@pytest.mark.parametrize(
    "url",
    ["ftp://issuer.test/jwks", "ws://issuer.test", "http://user@issuer.test/", "http://issuer.test/#x", "http://"],
)
def test_where_http_is_allowed_nothing_else_is(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_url("jwks_uri", url, allow_http=True)
    assert "allow_http" not in caught.value.detail


@pytest.mark.parametrize(
    "url",
    [
        "",
        "issuer.test",
        "/jwks",
        "https:issuer.test",
        "https://",
        "https:///jwks",
        "file:///etc/passwd",
        "data:application/json,{}",
        "https://user@issuer.test/jwks",
        "https://user:secret@issuer.test/jwks",
        "https://:secret@issuer.test/jwks",
        "http://localhost@issuer.test/jwks",
        "https://issuer.test/jwks#keys",
        "https://issuer.test:0/jwks",
        "https://issuer.test:99999/jwks",
        "https://issuer.test:https/jwks",
        "https://issuer.test:-1/jwks",
        "https://[::1/jwks",
        "https://[not-an-address]/jwks",
        "https://300.1.1.1/jwks",
        "https://xn--zzzz.test/jwks",
    ],
)
def test_what_is_no_plain_absolute_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="expected an absolute URL") as caught:
        check_url("issuer", url)
    given = "one with an @" if "@" in url else repr(url)
    assert caught.value.detail.endswith(f"without user information and fragment; got {given}")


@pytest.mark.parametrize("allow_http", [False, True])
@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@issuer.test/jwks",
        "https://hunter2@issuer.test/jwks",
        "http://user:hunter2@issuer.test/jwks",
        "http://user:hunter2@localhost/jwks",
        "https://user:hunter2@issuer.test/jwks#keys",
        "https://user:hunter2@issuer.test:99999/jwks",
        "https://user:hunter2@/jwks",
        "https://user:hunter2 @issuer.test/jwks",
        "https://user:hunter2@issuer.test/jwks\n",
        "user:hunter2@issuer.test/jwks",
        "ftp://user:hunter2@issuer.test/jwks",
    ],
)
def test_a_url_with_a_password_is_refused_without_being_shown(url: str, *, allow_http: bool) -> None:
    with pytest.raises(ConfigurationError, match="without user information and fragment; got one with an @") as caught:
        check_url("jwks_uri", url, allow_http=allow_http)
    assert "hunter2" not in str(caught.value)


def test_an_at_sign_in_the_path_is_no_user_information() -> None:
    url = "https://issuer.test/@tenant/jwks?of=a@b"
    assert check_url("jwks_uri", url) == url


@pytest.mark.parametrize("url", [None, 7, b"https://issuer.test"])
def test_what_is_no_text_is_refused(url: object) -> None:
    with pytest.raises(ConfigurationError, match="expected an absolute URL"):
        check_url("issuer", url)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url",
    [
        "https://@issuer.test/jwks",
        "https://:@issuer.test/jwks",
        "https://issuer.test/jwks#",
        " https://issuer.test/jwks",
        "https://issuer.test/jwks\n",
        "https://issuer.\ntest/jwks",
        "https://issuer test/jwks",
    ],
)
def test_a_url_that_is_odd_in_its_empty_parts_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        check_url("jwks_uri", url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [("http://localhost", True), ("http://127.0.0.1", True), ("http://issuer.test", False), ("nonsense", False)],
)
def test_a_loopback_is_told_by_its_name_alone(url: str, *, expected: bool) -> None:
    assert is_loopback(url) is expected
