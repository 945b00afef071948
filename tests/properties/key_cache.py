"""Around a key cache: time that passes when a test says so, and an issuer with moods."""

from __future__ import annotations

import asyncio
import json
import math
import selectors
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache

from joserfc.jwk import ECKey

from jwt_asgi._keys.fetch import FetchError, NoAnswerError
from jwt_asgi.types import FetchResponse
from tests.keys.script import FakeClock, ScriptedFetch, jwk
from tests.properties.key_cache_ledger import Flight, Ledger, Reply

# --- time -----------------------------------------------------------------------------------------------------------


class _Idle(selectors.DefaultSelector):
    """Where a loop would sleep, its time jumps instead."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events and timeout != 0:
            self.loop.jump(math.inf if timeout is None else timeout)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which time passes only when a test says so; then each timer fires at its very moment."""

    def __init__(self, clock: FakeClock) -> None:
        selector = _Idle()
        selector.loop = self
        self.clock, self.until = clock, clock.now
        super().__init__(selector)

    def time(self) -> float:
        return self.clock.now

    def advance_to(self, moment: float) -> None:
        """Run until this moment has come and nothing is left to do in it."""
        self.until = moment
        self.run_forever()

    def jump(self, seconds: float) -> None:
        moment = self.clock.now + seconds
        if moment <= self.until:
            self.clock.now = moment
        else:
            self.clock.now = self.until
            self.stop()


# --- the issuer -----------------------------------------------------------------------------------------------------


class Hold(Enum):
    """How an answer comes."""

    NOT = "at once"
    POLITE = "when it is let go, or never"
    STUBBORN = "when it is let go; it takes no cancellation"


MOODS: Mapping[str, FetchResponse | Exception | None] = {
    "well": None,
    "well, without validators": None,
    "replicas that disagree": None,
    "304": FetchResponse(304, {}, b""),
    "500": FetchResponse(500, {}, b""),
    "429": FetchResponse(429, {}, b""),
    "404": FetchResponse(404, {}, b""),
    "garbage": FetchResponse(200, {}, b"<html>"),
    "no keys": FetchResponse(200, {"etag": '"empty"'}, b'{"keys": []}'),
    "no answer": NoAnswerError("reset"),
    "refused": FetchError("too long"),
    "a bug": ValueError("a bug"),
}
# What a Cache-Control says, in seconds; None: nothing
CACHE_CONTROL: Mapping[str, float | None] = {
    "": None,
    "public": None,
    "max-age=10": 10.0,
    "max-age=900": 900.0,
    "max-age=86400": 86_400.0,
    "no-store": 0.0,
}


@cache
def _thumbprint(name: str) -> str:
    return ECKey.import_key(dict(jwk(name))).thumbprint()


@dataclass
class Issuer:
    """Publishes keys, and answers as its mood is. The name of a key is its kid and how often it was replaced."""

    ledger: Ledger
    published: dict[str, str] = field(default_factory=lambda: {"a": "a"})
    before: dict[str, str] = field(default_factory=lambda: {"a": "a"})
    mood: str = "well"
    hold: Hold = Hold.NOT
    cache_control: str = ""
    retry_after: int = 60
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    fetch: ScriptedFetch = field(init=False)

    def __post_init__(self) -> None:
        self.fetch = ScriptedFetch(self._answer)

    def publish(self, kids: Iterable[str], renewed: Iterable[str] = ()) -> None:
        self.before = self.published
        names = {kid: self.before.get(kid, kid) for kid in kids}
        self.published = {kid: name + "'" * (kid in renewed) for kid, name in names.items()}

    def let_go(self) -> None:
        self.gate.set()
        self.gate = asyncio.Event()

    async def _answer(self) -> FetchResponse:
        sent = self.fetch.calls[-1].headers
        # As it is now: what is published while the answer is on its way comes too late for it
        flight, reply = self.ledger.asked(sent), self._reply(sent)
        if self.hold is not Hold.NOT:
            flight.stubborn = self.hold is Hold.STUBBORN and self.mood != "no answer"
            await self._held(flight, self.gate)
        self.ledger.answered(flight, reply, sent)
        if isinstance(reply.brings, Exception):
            raise reply.brings
        return reply.brings

    async def _held(self, flight: Flight, gate: asyncio.Event) -> None:
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                if not flight.stubborn:
                    self.ledger.cut_off(flight)
                    raise

    def _reply(self, sent: Mapping[str, str]) -> Reply:
        headers, lifetime = {"cache-control": self.cache_control}, CACHE_CONTROL[self.cache_control]
        brings = MOODS[self.mood]
        if isinstance(brings, Exception):
            return Reply(brings)
        if brings is not None:
            asked = float(self.retry_after) if self.mood == "429" else 0.0
            headers |= {"retry-after": str(self.retry_after)} if asked else {}
            return Reply(replace(brings, headers={**brings.headers, **headers}), None, lifetime, asked)
        other = self.mood == "replicas that disagree" and len(self.fetch.calls) % 2
        names = self.before if other else self.published
        body = json.dumps({"keys": [{**jwk(name), "kid": kid} for kid, name in names.items()]}).encode()
        if self.mood != "well, without validators":
            headers["etag"] = '"' + " ".join(sorted(names.values())) + '"'
            if sent.get("if-none-match") == headers["etag"]:
                return Reply(FetchResponse(304, headers, b""), None, lifetime)
        keys = {kid: _thumbprint(name) for kid, name in names.items()}
        return Reply(FetchResponse(200, headers, body), keys, lifetime)
