"""URL -> bytes within size, time, type and redirect limits; the httpx boundary.

httpx's own time-outs are per operation, so a server that sends a byte now and then never meets one; and it inflates a
body before it tells its size. So the whole exchange has a deadline, and the body is read raw and inflated here, up to
the limit.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import ssl
import zlib
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx

from jwt_asgi._version import __version__
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.types import FetchResponse

__all__ = ["MAX_BODY_BYTES", "FetchError", "HttpxFetch", "NoAnswerError", "check_url", "is_loopback"]

MAX_BODY_BYTES = 512 * 1024
"""256 keys with certificate chains come to less; a cap of 50 KiB has refused real sets."""
CONNECT_SHARE, READ_SHARE = 0.4, 0.6
"""Of the whole time; of the usual 5 seconds, 2 and 3."""

# Firewalls block the default User-Agent of HTTP libraries; identity, since a compressed set saves nothing
_HEADERS = {"user-agent": f"jwt-asgi/{__version__}", "accept-encoding": "identity"}
_INFLATABLE = {"gzip", "x-gzip", "deflate"}
_ANY_ZLIB_FORMAT = 32 + zlib.MAX_WBITS
_VISIBLE = re.compile(r"[!-~]+")


class FetchError(Exception):
    """A fetch that failed. Its text goes to the operator, and holds nothing that the other side sent."""


class NoAnswerError(FetchError):
    """There was no answer at all; another attempt may go better at once."""


class HttpxFetch:
    """The default `Fetch`, on httpx.

    A client is made for each fetch: one that is shared breaks when a second event loop uses it. The TLS context, which
    is dear to make, is made once.

    Args:
        ssl_context: For a private certificate authority (`ssl.create_default_context(cafile=...)`) or a client
            certificate (its `load_cert_chain`). By default one that trusts httpx's certificates.
        proxy: The URL of an HTTP proxy, for every fetch. By default those of the environment count (`HTTPS_PROXY`,
            `NO_PROXY`), but never for this machine's own loopback.

    Raises:
        ConfigurationError: the context does not verify the server, or the proxy is no URL.
    """

    __slots__ = ("_context", "_proxy")

    def __init__(self, ssl_context: ssl.SSLContext | None = None, *, proxy: str | None = None) -> None:
        """Prepare all that would hold up the event loop at the first fetch."""
        self._context = _default_context() if ssl_context is None else _verifying(ssl_context)
        self._proxy = None if proxy is None else _proxy(proxy)
        _import_all()

    async def __call__(self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        """GET `url`. Raises FetchError, whatever the matter."""
        try:
            async with asyncio.timeout(timeout):
                return await self._get(url, headers, timeout, limit)
        except FetchError:
            raise
        except (TimeoutError, httpx.TimeoutException):
            raise FetchError(f"{url} did not answer in time, in full within {timeout:g} s") from None
        except Exception as error:
            # httpx.InvalidURL and the ssl and socket errors are not all httpx.HTTPError
            raise NoAnswerError(f"{url} could not be fetched: {_tell(error)}") from error

    async def _get(self, url: str, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        # Before the deadline, since httpx closes what it has opened only at time-outs of its own
        timeouts = httpx.Timeout(READ_SHARE * timeout, connect=CONNECT_SHARE * timeout)
        # A proxy of the environment cannot reach this machine's own loopback
        trust_env = self._proxy is None and not is_loopback(url)
        async with (
            httpx.AsyncClient(verify=self._context, timeout=timeouts, trust_env=trust_env, proxy=self._proxy) as client,
            client.stream("GET", url, headers={**_HEADERS, **headers}, follow_redirects=False) as response,
        ):
            raw = bytearray()
            async for chunk in response.aiter_raw():
                raw += chunk
                if len(raw) > limit:
                    raise FetchError(f"{url} answered with more than {limit} bytes")
            encoding = response.headers.get("content-encoding", "identity").strip().lower()
            if response.status_code != httpx.codes.OK:
                # An error's page is not read, and a 304 may name a coding though it has no body
                encoding = "identity"
            body = _inflate(bytes(raw), encoding, limit, url)
            return FetchResponse(response.status_code, {k.lower(): v for k, v in response.headers.items()}, body)


def check_url(option: str, url: str, *, allow_http: bool = False) -> str:
    """Return `url` if keys may be fetched from it: https, or http on this machine's loopback or where it is allowed.

    Raises:
        ConfigurationError: it is something else, or carries user information or a fragment.
    """
    try:
        # httpx is stricter than urlsplit, which drops line ends; what only one of them takes is refused
        plain = isinstance(url, str) and _VISIBLE.fullmatch(url) is not None and bool(httpx.URL(url).host)
        parts = urlsplit(url) if plain else urlsplit("")
        fits = bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc and "#" not in url
    except (ValueError, httpx.InvalidURL):
        fits = False
    if not fits:
        # User information may be a password, and this text goes to a log
        given = "one with an @" if isinstance(url, str) and "@" in url else repr(url)
        raise ConfigurationError(option, f"expected an absolute URL without user information and fragment; got {given}")
    if parts.scheme != "https" and not (parts.scheme == "http" and (allow_http or is_loopback(url))):
        hint = ". On a network where nobody can do that, write allow_http=True" if parts.scheme == "http" else ""
        detail = f"expected https, since whoever changes the keys on the way lets anyone in; got {url!r}{hint}"
        raise ConfigurationError(option, detail)
    return url


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine by its very name, without a look-up."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _default_context() -> ssl.SSLContext:
    """Make it once for all, since it takes 50 ms and each tenant of a service may ask for one."""
    return _context_of(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(maxsize=4)
def _context_of(*_certificates: str | None) -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _verifying(context: ssl.SSLContext) -> ssl.SSLContext:
    if not isinstance(context, ssl.SSLContext):
        raise ConfigurationError("ssl_context", f"expected an ssl.SSLContext; got {type(context).__name__}")
    if context.verify_mode is not ssl.CERT_REQUIRED or not context.check_hostname:
        detail = "expected a context that verifies the server's certificate and name, else anyone can change the keys"
        raise ConfigurationError("ssl_context", f"{detail}. Give it the authority: create_default_context(cafile=...)")
    return context


def _proxy(url: str) -> httpx.Proxy:
    try:
        proxy = httpx.Proxy(url)
        # httpx takes a space for a part of the host's name
        fits = (
            _VISIBLE.fullmatch(url) is not None
            and bool(proxy.url.host)
            and (proxy.url.port is None or 0 < proxy.url.port < 2**16)
        )
    except Exception:  # noqa: BLE001 - httpx and its URL parser raise several types
        fits = False
    if not fits:
        # Not the URL itself, which may hold a password
        raise ConfigurationError("proxy", 'expected the URL of a proxy, as "http://proxy.example.com:3128"')
    if proxy.url.scheme.startswith("socks"):
        try:
            importlib.import_module("socksio")
        except ImportError:
            raise ConfigurationError("proxy", "a SOCKS proxy needs a package more: httpx[socks]") from None
    return proxy


def _import_all() -> None:
    """Import what httpx would import at the first request, when it would stop the event loop for 100 ms."""
    for name in ("httpcore", "anyio._backends._asyncio", "h11", "concurrent.futures.thread"):
        importlib.import_module(name)


def _inflate(raw: bytes, encoding: str, limit: int, url: str) -> bytes:
    if encoding in {"", "identity"}:
        return raw
    if encoding not in _INFLATABLE:
        raise FetchError(f"{url} answered in a content encoding that was not asked for")
    inflater = zlib.decompressobj(_ANY_ZLIB_FORMAT)
    try:
        body = inflater.decompress(raw, limit + 1)
    except zlib.error:
        raise FetchError(f"{url} answered with a body that is not {encoding}, as it says") from None
    if len(body) > limit:
        raise FetchError(f"{url} answered with more than {limit} bytes once inflated")
    if not inflater.eof or inflater.unused_data:
        raise FetchError(f"{url} answered with a {encoding} body that is cut off, or goes on behind its end")
    return body


def _tell(error: Exception) -> str:
    """Name the fault: TLS and socket errors say what is wrong, and nothing that the server wrote."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and (cause.strerror or isinstance(cause, ssl.SSLError)):
            return f"{type(cause).__name__}: {cause.strerror or cause}"
        cause = cause.__cause__ or cause.__context__  # httpcore suppresses the context that tells
    return type(error).__name__
