"""Where an issuer's key set is, and one attempt to get it from there."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol

from jwt_asgi._keys.discovery import discover_jwks_uri
from jwt_asgi._keys.fetch import MAX_BODY_BYTES, NoAnswerError
from jwt_asgi.types import Clock, Fetch, FetchResponse

__all__ = ["ACCEPT", "KeySetAnswer", "Source"]

METADATA_SECONDS: Final = 86_400.0
ACCEPT = {"accept": "application/jwk-set+json, application/json"}


class Known(Protocol):
    """A set at hand."""

    def validators(self, uri: str) -> Mapping[str, str]:
        """Return headers that ask this URL whether the set has changed."""
        ...


class KeySetAnswer(NamedTuple):
    """What a key set's URL answered; `conditional`: to the question whether the set at hand has changed."""

    uri: str
    response: FetchResponse
    conditional: bool


class Source:
    """The key set's URL: given, or named by the issuer's metadata, which is read again after a day.

    Where it cannot be read again, the URL that it named before is kept.
    """

    __slots__ = (
        "_allow_http",
        "_clock",
        "_fetch",
        "_fixed_uri",
        "_found_until",
        "_found_uri",
        "_issuer",
        "_jitter",
        "_timeout",
    )

    def __init__(
        self,
        issuer: str,
        *,
        jwks_uri: str | None,
        fetch: Fetch,
        timeout: float,
        allow_http: bool,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        """Ask nobody yet."""
        self._issuer = issuer
        self._fixed_uri = jwks_uri
        self._fetch = fetch
        self._timeout = timeout
        self._allow_http = allow_http
        self._clock = clock
        self._jitter = jitter
        self._found_uri: str | None = None
        self._found_until = 0.0

    @property
    def uri(self) -> str | None:
        """The key set's URL, or None while it is not known."""
        return self._fixed_uri or self._found_uri

    def forget(self) -> None:
        """Read the metadata again before the next attempt."""
        self._found_until = -math.inf

    async def get(self, known: Known | None, *, past_caches: bool) -> KeySetAnswer:
        """Ask for the set.

        `known` is a set at hand: then the question is whether it has changed. `past_caches`: a shared cache on the way
        may still hold the set from before a rotation, so have it ask the issuer.

        Raises:
            Exception: discovery's own, or whatever `fetch` raises where there is no answer.
        """
        uri = await self._locate()
        conditions = {} if known is None else known.validators(uri)
        headers = {**ACCEPT, **({"cache-control": "no-cache"} if past_caches else {}), **conditions}
        response = await self._get(uri, headers=headers, timeout=self._timeout, limit=MAX_BODY_BYTES)
        return KeySetAnswer(uri, response, conditional=bool(conditions))

    async def _locate(self) -> str:
        if self._fixed_uri is not None:
            return self._fixed_uri
        if self._found_uri is not None and self._clock() < self._found_until:
            return self._found_uri
        discovery = discover_jwks_uri(self._issuer, self._get, timeout=self._timeout, allow_http=self._allow_http)
        if self._found_uri is None:
            self._found_uri = await discovery
        else:
            try:
                async with asyncio.timeout(self._timeout / 2):
                    self._found_uri = await discovery
            except Exception:  # noqa: BLE001 - whatever is wrong there, it must not take away where the keys were
                return self._found_uri
        self._found_until = self._clock() + METADATA_SECONDS
        return self._found_uri

    async def _get(self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        try:
            return await self._fetch(url, headers=headers, timeout=timeout, limit=limit)
        except NoAnswerError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # by the deadline, which the fetch took for a fault
                raise
        # A dropped connection or a DNS hiccup; an answer, whatever its status, is never asked for twice
        await asyncio.sleep(0.05 + 0.2 * self._jitter())
        return await self._fetch(url, headers=headers, timeout=timeout, limit=limit)
