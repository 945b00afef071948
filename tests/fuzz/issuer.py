"""The harnesses of `metadata` and `headers`: what an issuer answers beside its keys, and how it is read."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Coroutine, Mapping
from email.utils import parsedate_tz
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import httpx

from jwt_asgi._core.freshness import KeyCaching, lifetime, retry_after
from jwt_asgi._keys.discovery import discover_jwks_uri, metadata_urls
from jwt_asgi._keys.remote import RemoteKeys
from jwt_asgi.errors import KeysUnavailable, Reason
from jwt_asgi.types import FetchResponse
from tests.fuzz.door import FindingError, need
from tests.fuzz.key_set import GOOD
from tests.fuzz.reference import strict_json

T = TypeVar("T")

ISSUER = "https://issuer.example/tenant"
JWKS_URI = "https://issuer.example/jwks"
NOW = 1_750_000_000.0
"""In seconds since the epoch, for dates in headers."""

# What h11, which is httpx's, takes for the value of a header, from servers and to them; beyond ASCII httpx sends none
_FIELD_VALUE = re.compile(r"[^\0\s]+(?:[ \t]+[^\0\s]+)*")
_PLAIN_URL = re.compile(
    r"https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[1-9][0-9]{0,3})?(/[A-Za-z0-9/._~-]*)?(\?[a-z0-9=&]*)?"
)
_DELTA = re.compile("[0-9]+")


class _World:
    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()

    def close(self) -> None:
        """End the loop."""
        self.loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)


class Metadata(_World):
    """An issuer whose metadata are what it is told."""

    def check(self, data: bytes) -> str | None:
        """Raise a FindingError where an invariant does not hold; return the `jwks_uri`, or None."""
        for issuer in (ISSUER, f"{ISSUER}/"):
            found = self._discover(data, issuer)
            may, must = _reading(data, issuer)
            need(found is None or found == may, f"{found} is no jwks_uri of {issuer}")
            need(found is not None or not must, f"{must} was not taken")
            if found is not None:
                return found
        return None

    def _discover(self, data: bytes, issuer: str) -> str | None:
        asked: list[str] = []

        async def fetch(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
            asked.append(url)
            return FetchResponse(200 if url == metadata_urls(issuer)[1] else 404, {}, data)

        try:
            return self._run(discover_jwks_uri(issuer, fetch, timeout=1.0))
        except KeysUnavailable as error:
            need(error.reason is Reason.DISCOVERY_FAILED, f"refused for {error.reason}")
            need(str(error).isprintable(), "an odd text for the log")
            need(asked == [*metadata_urls(issuer)], f"asked {asked}")
        except Exception as error:
            raise FindingError(f"{type(error).__name__} left discovery: {error}") from error
        return None


def _reading(data: bytes, issuer: str) -> tuple[object, object]:
    """What may be the key set's URL, and what must be, by a second opinion."""
    try:
        metadata = strict_json(data)
    except ValueError:
        return None, None
    uri = metadata.get("jwks_uri")
    if metadata.get("issuer") != issuer or not isinstance(uri, str):
        return None, None
    return (uri if may_be_fetched(uri) else None), (uri if must_be_fetched(uri) else None)


def may_be_fetched(url: str) -> bool:
    """Whether two parsers agree that it is an https URL of one host, without user information."""
    try:
        parts, theirs = urlsplit(url), httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        return False
    if not url.isascii() or not url.isprintable() or set(" #") & set(url):
        return False
    # httpx encodes what no name of a host has
    host, same = unquote(parts.hostname or ""), unquote(theirs.raw_host.decode("ascii"))
    return parts.scheme == theirs.scheme == "https" and "@" not in parts.netloc and host == same


def must_be_fetched(url: str) -> bool:
    """Whether it is a URL that nobody reads in two ways."""
    labels = (urlsplit(url).hostname or "").split(".") if _PLAIN_URL.fullmatch(url) else []
    return bool(labels) and all(
        re.fullmatch("[a-z]([a-z0-9-]{0,61}[a-z0-9])?", label) and label[2:4] != "--" for label in labels
    )


class Headers(_World):
    """An issuer that sends its key set with these headers, and then an answer with these headers and another status.

    An input is lines that end in CR LF: a status, and headers.
    """

    def check(self, data: bytes) -> float:
        """Raise a FindingError where an invariant does not hold; return how long the set is fresh."""
        status, headers = _take_apart(data)
        caching = KeyCaching()
        try:
            seconds = lifetime(headers, default=caching.ttl, least=caching.least_ttl, most=caching.most_ttl)
            _check_lifetime(headers)
            _check_retry(headers.get("retry-after", ""))
        except FindingError:
            raise
        except Exception as error:
            raise FindingError(f"{type(error).__name__} left a reader of headers: {error}") from error
        need(caching.least_ttl <= seconds <= caching.most_ttl, f"fresh for {seconds} s")
        self._run(self._refresh(status, headers))
        return seconds

    async def _refresh(self, status: int, headers: Mapping[str, str]) -> None:
        asked: list[Mapping[str, str]] = []

        async def fetch(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
            asked.append(headers)
            return FetchResponse(200 if len(asked) == 1 else status, answered, GOOD)

        answered = headers
        options: dict[str, Any] = {"jwks_uri": JWKS_URI, "clock": lambda: 0.0, "jitter": lambda: 0.0}
        source = RemoteKeys(ISSUER, fetch=fetch, caching=KeyCaching(), **options)
        await source.reload()
        try:
            await source.reload()
        except KeysUnavailable as error:
            need(status not in {200, 304} or (status == 304 and len(asked[1]) == len(asked[0])), f"refused {status}")
            need(0.0 <= source.status().retry_in <= 300.0, f"asked again in {source.status().retry_in} s")
            need(str(error).isprintable(), "an odd text for the log")
        except Exception as error:
            raise FindingError(f"{type(error).__name__} left the key source: {error}") from error
        else:
            need(status in {200, 304}, f"{status} was taken for a key set")
        need(source.lookup("good", "EdDSA"), "a good key is no more found")
        need(225.0 <= (source.status().refresh_in or 0.0) <= 2_700.0, f"refreshed in {source.status().refresh_in} s")
        sent = [pair for headers in asked for pair in headers.items()]
        odd = [(name, value) for name, value in sent if not (value.isascii() and _FIELD_VALUE.fullmatch(value))]
        need(not odd, f"cannot be sent: {odd}")


def _take_apart(data: bytes) -> tuple[int, dict[str, str]]:
    """Read an input as HTTP clients read headers: lower-case names, and what is no value left out."""
    first, *lines = data.decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip(" \t") if _FIELD_VALUE.fullmatch(value.strip(" \t")) else ""
    return int(first) if re.fullmatch("[1-5][0-9][0-9]", first) else 503, headers


def _check_lifetime(headers: Mapping[str, str]) -> None:
    """Hold it against a plain reading of RFC 9111 section 5.2, where that is beyond doubt: plain directives, once."""
    control = headers.get("cache-control", "").lower()
    parts = [part.strip(" \t") for part in control.split(",")]
    got = lifetime(headers, default=-1.0, least=0.0, most=math.inf)
    need(got >= 0.0 or got == -1.0, f"fresh for {got} s")
    if any(part in {"no-store", "no-cache"} for part in parts):
        need(got == 0.0, f"{control!r}: fresh for {got} s")
    elif all(re.fullmatch("[a-z-]+(=[a-z0-9]+)?", part) for part in parts):
        ages = [part.partition("=")[2] for part in parts if part.startswith("max-age=")]
        if len(ages) == 1 and _DELTA.fullmatch(ages[0]) and len(ages[0]) < 16 and "age" not in headers:
            need(got == float(ages[0]), f"{control!r}: fresh for {got} s")
        if not ages:
            need(got == -1.0, f"{control!r}: fresh for {got} s")


def _check_retry(value: str) -> None:
    """Hold it against a plain reading of RFC 9110 section 10.2.3."""
    got = retry_after(value, NOW)
    need(got >= 0.0 and not math.isinf(got), f"{value!r}: {got} s")
    if _DELTA.fullmatch(value) and len(value) < 16:
        need(got == float(value), f"{value!r}: {got} s")
    if got > 0.0 and not _DELTA.fullmatch(value):
        need(parsedate_tz(value) is not None, f"{value!r} is no date: {got} s")
