"""A snapshot and what came after it, over HTTP: for resource servers that reach neither database nor Valkey."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from jwt_asgi._core.revocation import Block, BlockError, unpack
from jwt_asgi._keys.fetch import FetchError, HttpxFetch, check_url
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.revocation.source import Piece, Reader, SourceError, slices
from jwt_asgi.types import Fetch, FetchResponse

__all__ = ["FromHTTP", "Headers"]

MOST_BYTES: Final = 200 * 2**20
FETCH_SECONDS: Final = 600.0
_OK, _NOT_MODIFIED, _GONE = 200, 304, 410

Headers = Mapping[str, str] | Callable[[], Mapping[str, str] | Awaitable[Mapping[str, str]]]
"""What authenticates this resource server: headers, or a function that returns them, as for a token that expires."""


class FromHTTP:
    """Revocations from the token service's own endpoint.

    A snapshot of a million entries has 17 MB, and must come within the feed's `timeout`.

    Args:
        url: Of the endpoint, without a query, as `https://auth.example.com/revocations`.
        headers: What authenticates this resource server, as `{"authorization": "Bearer ..."}`, or a function that
            returns that; it may be async.
        fetch: Another HTTP client.
        allow_http: Take a URL without TLS beyond this machine's loopback.

    Raises:
        ConfigurationError: the URL is none.
    """

    __slots__ = ("_fetch", "_headers", "_url")

    def __init__(
        self, url: str, *, headers: Headers | None = None, fetch: Fetch | None = None, allow_http: bool = False
    ) -> None:
        """Fetch nothing yet."""
        self._url = check_url("url", url, allow_http=allow_http)
        if "?" in url:
            raise ConfigurationError("url", "expected the endpoint without a query")
        if headers is not None and not isinstance(headers, Mapping) and not callable(headers):
            raise ConfigurationError("headers", "expected a mapping of headers, or a function that returns one")
        self._headers: Headers = {} if headers is None else headers
        self._fetch = fetch or HttpxFetch()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Reader]:
        """Return a reader; each fetch makes a connection of its own."""
        yield _Endpoint(self._url, self._headers, self._fetch)


class _Place(NamedTuple):
    """Where a reader is: which log, and how far it has come in it."""

    epoch: int
    at: int

    @property
    def tag(self) -> str:
        return f'"{self.epoch}-{self.at}"'


class _Endpoint:
    """Fetches what came after, or the snapshot."""

    def __init__(self, url: str, headers: Headers, fetch: Fetch) -> None:
        self._url, self._headers, self._fetch = url, headers, fetch

    async def read(self, position: _Place | None) -> AsyncGenerator[Piece, None]:
        answer = None
        if position is not None:
            answer = await self._get(f"{self._url}?after={position.at}", {"if-none-match": position.tag})
            if answer.status == _NOT_MODIFIED:
                yield Piece((), position, _age(answer))
                return
            block, records = _block(answer)
            if answer.status == _GONE or block.epoch != position.epoch or block.after > position.at:
                answer = None
        if answer is None:
            answer = await self._get(f"{self._url}/snapshot", {})
            block, records = _block(answer)
        for rows in slices(records):
            yield Piece(rows)
        at = block.upto if position is None or position.epoch != block.epoch else max(position.at, block.upto)
        yield Piece((), _Place(block.epoch, at), _age(answer))

    async def _get(self, url: str, headers: Mapping[str, str]) -> FetchResponse:
        given = self._headers
        if callable(given):
            made = given()
            given = made if isinstance(made, Mapping) else await made
        try:
            answer = await self._fetch(url, headers={**given, **headers}, timeout=FETCH_SECONDS, limit=MOST_BYTES)
        except FetchError as error:
            raise SourceError(str(error)) from None
        if answer.status not in {_OK, _NOT_MODIFIED, _GONE}:
            raise SourceError(f"{url} answered {answer.status}")
        return answer


def _block(answer: FetchResponse) -> tuple[Block, bytes]:
    if answer.status == _GONE:
        return Block(0, 0, 0, 0), b""
    try:
        return unpack(answer.body)
    except BlockError as error:
        raise SourceError(f"the endpoint answered with something else: {error}") from None


def _age(answer: FetchResponse) -> float:
    """Return for how many seconds a cache on the way had it (RFC 9111 section 5.1)."""
    age = answer.headers.get("age", "0")
    return float(age) if age.isascii() and age.isdigit() else 0.0
