"""A clock that a test moves, a fetch that a test scripts, and key sets by their kids."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from joserfc.jwk import ECKey

from jwt_asgi import KeyCaching
from jwt_asgi._keys.events import Notify
from jwt_asgi._keys.remote import RemoteKeys
from jwt_asgi.errors import JWTASGIError, KeysUnavailable, Reason
from jwt_asgi.types import FetchResponse

ISSUER = "https://issuer.test"
JWKS_URI = "https://issuer.test/jwks.json"
ALG = "ES256"

Reply = FetchResponse | BaseException | Callable[[], Awaitable[FetchResponse]]


class FakeClock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        """Start anywhere."""
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a fetch."""

    url: str
    headers: Mapping[str, str]
    timeout: float
    limit: int


@dataclass
class ScriptedFetch:
    """A `Fetch` that counts its calls: `first` are answered in turn, then `reply` for ever, per URL or for all."""

    reply: Reply
    first: list[Reply] = field(default_factory=list)
    by_url: dict[str, Reply] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    gate: asyncio.Event | None = None
    """Set it to an event to hold all answers back until it is set."""

    async def __call__(self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        """Answer as the script says."""
        self.calls.append(Call(url, dict(headers), timeout, limit))
        reply = self.first.pop(0) if self.first else self.by_url.get(url, self.reply)
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(reply, BaseException):
            raise reply
        return reply if isinstance(reply, FetchResponse) else await reply()

    @property
    def urls(self) -> list[str]:
        """What was asked for."""
        return [call.url for call in self.calls]


@dataclass
class Rig:
    """Remote keys with everything around them in a test's hand."""

    keys: RemoteKeys
    fetch: ScriptedFetch
    clock: FakeClock

    @property
    def calls(self) -> int:
        """How often the issuer was asked."""
        return len(self.fetch.calls)

    async def outcome(self, kid: str | None, alg: str = ALG) -> Reason | None:
        """Why a token with this kid would be refused, or None if there is a key for it."""
        try:
            found = await self.keys.find(kid, alg)
        except JWTASGIError as error:
            return error.reason
        assert found
        return None

    async def refusal(self, kid: str | None = "a") -> KeysUnavailable:
        """The error where the keys cannot be had."""
        try:
            await self.keys.find(kid, ALG)
        except KeysUnavailable as error:
            return error
        raise AssertionError("the keys could be had")

    async def settle(self, calls: int) -> None:
        """Wait until the issuer was asked so often, and what it answered is taken in."""
        await until(lambda: self.calls >= calls)
        for _ in range(20):
            await asyncio.sleep(0)


def make_rig(
    reply: Reply | None = None,
    *first: Reply,
    jwks_uri: str | None = JWKS_URI,
    caching: KeyCaching | None = None,
    by_url: Mapping[str, Reply] | None = None,
    notify: Notify = lambda _: None,
) -> Rig:
    """Keys that nobody has asked for yet; the issuer has the key `a` unless said otherwise."""
    fetch = ScriptedFetch(reply or key_set("a"), list(first), dict(by_url or {}))
    clock = FakeClock()
    keys = RemoteKeys(
        ISSUER,
        jwks_uri=jwks_uri,
        fetch=fetch,
        caching=caching or KeyCaching(),
        notify=notify,
        clock=clock,
        jitter=lambda: 0.5,
    )
    return Rig(keys, fetch, clock)


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until this holds."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


@cache
def jwk(kid: str) -> Mapping[str, Any]:
    """A public key of this name; the same one each time."""
    return {**ECKey.generate_key("P-256").as_dict(private=False), "kid": kid, "use": "sig", "alg": ALG}


def jwks(*kids: str) -> bytes:
    """A JWK Set of these keys."""
    return json.dumps({"keys": [jwk(kid) for kid in kids]}).encode()


def key_set(*kids: str, **headers: str) -> FetchResponse:
    """The answer with these keys; `cache_control="..."` becomes a header."""
    return FetchResponse(200, {name.replace("_", "-"): value for name, value in headers.items()}, jwks(*kids))


def status(code: int, **headers: str) -> FetchResponse:
    """An answer without a body."""
    return FetchResponse(code, {name.replace("_", "-"): value for name, value in headers.items()}, b"")


def metadata(jwks_uri: str = JWKS_URI, issuer: str = ISSUER) -> FetchResponse:
    """The issuer's metadata."""
    return FetchResponse(200, {}, json.dumps({"issuer": issuer, "jwks_uri": jwks_uri}).encode())
