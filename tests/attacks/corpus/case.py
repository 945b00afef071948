"""What one case of the hostile corpus is: data, with no knowledge of the verifier under test."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum

ISSUER = "https://issuer.example"
AUDIENCE = "https://api.example.com"
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
JWKS_URI = "https://issuer.example/jwks"
LEEWAY = 30


@dataclass(frozen=True)
class Demand:
    """The statuses that an answer may have, and the `error` codes that its challenge may name (None: no code)."""

    statuses: frozenset[int]
    errors: frozenset[str | None]


def _demand(statuses: Collection[int], *errors: str | None) -> Demand:
    return Demand(frozenset(statuses), frozenset(errors))


class Sign(Enum):
    """The required outcome, named with the letters of the catalogue."""

    N = _demand({401}, None)
    """No credentials were sent (RFC 6750 section 3.1)."""
    T = _demand({401}, "invalid_token")
    M = _demand({400, 401}, "invalid_request", "invalid_token")
    """Not even a well-formed token."""
    C = _demand({400, 401}, None, "invalid_request")
    """A token that travels where nobody looks for it."""
    U = _demand({400, 401}, None, "invalid_request", "invalid_token")
    L = _demand({400, 401, 413, 431}, None, "invalid_request", "invalid_token")
    """Refused for its size or depth."""
    ACCEPT = _demand({200}, None)


Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class Request:
    """An HTTP request as the server hands it over: raw bytes, so that it may be one that no client would send."""

    headers: Headers = ()
    method: str = "GET"
    path: str = "/"
    query: bytes = b""
    body: bytes = b""


@dataclass(frozen=True)
class Case:
    """A request, what must come of it, and how many JWKS requests a warm verifier may make meanwhile."""

    id: str
    row: int
    sign: Sign
    request: Request
    budget: int = 0
    policy: bool = False
    """Hardening beyond the RFCs."""
    profile: str = "GENERIC"
    before: tuple[Request, ...] = ()
    """Requests that must be accepted first, to fill a cache."""
    wait: float = 0.0
    """Seconds between `before` and `request`."""
    volley: tuple[Request, ...] = ()
    """More requests with the same required outcome; the budget is for all of them together."""
    at_once: bool = False


def bearer(token: str | bytes) -> Request:
    """A GET request with this token; text is sent as UTF-8."""
    raw = token.encode("utf-8", "surrogatepass") if isinstance(token, str) else token
    return Request(((b"authorization", b"Bearer " + raw),))


def rows(
    row: int,
    sign: Sign,
    inputs: Mapping[str, str | bytes | Request],
    *,
    prefix: str = "",
    budget: int = 0,
    policy: bool | Collection[str] = False,
    profile: str = "GENERIC",
    before: tuple[Request, ...] = (),
) -> list[Case]:
    """The cases of one row of the catalogue; `policy` may be the names (without prefix) that are marked so."""
    return [
        Case(
            id=prefix + name,
            row=row,
            sign=sign,
            request=given if isinstance(given, Request) else bearer(given),
            budget=budget,
            policy=policy if isinstance(policy, bool) else name in policy,
            profile=profile,
            before=before,
        )
        for name, given in inputs.items()
    ]
