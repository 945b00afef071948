"""The vocabulary: ASGI's words, and the protocols where layers meet.

The names of the ASGI specification, spelled out once. `ASGIScope` is the connection's dictionary; the access rule
`Scope` is another thing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

__all__ = [
    "ASGIApp",
    "ASGIScope",
    "Clock",
    "Fetch",
    "FetchResponse",
    "Message",
    "RawHeaders",
    "Receive",
    "Send",
    "Skip",
]

ASGIScope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[ASGIScope, Receive, Send], Awaitable[None]]
RawHeaders = Iterable[tuple[bytes, bytes]]

Clock = Callable[[], float]
"""Gives the time in seconds; since the epoch where it judges claims, from any start where it ages keys."""


class Skip(Enum):
    """The checks that can be left out, each named for what it skips."""

    AUDIENCE_CHECK = "audience_check"
    """Take tokens meant for anyone. RFC 9068 section 4 requires the check: only for an issuer that serves one API."""


@dataclass(frozen=True, slots=True)
class FetchResponse:
    """What a URL answered: the status, the headers with lower-case names, the decoded body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Fetch(Protocol):
    """Fetches a URL of the issuer. Give your own to use another HTTP client.

    It must not follow redirects, must be over within `timeout` seconds in total, and must give up once the decoded body
    is longer than `limit` bytes. It returns whatever was answered, error statuses too, and may raise any `Exception`
    where there was no answer: that is one failed attempt.
    """

    async def __call__(
        self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int
    ) -> FetchResponse:  # pragma: no cover - a protocol
        """GET `url` with these headers."""
        ...
