"""A day of requests on a driven clock: hourly rotation, replicas that lag, an outage, keys that are withdrawn."""

from __future__ import annotations

import asyncio
import json
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks._kit import DrivenClock, Figure, bound, exactly, settle, tally, told, trusted
from jwt_asgi import KeyCaching, Verifier
from jwt_asgi.errors import JWTASGIError
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import FetchResponse

HOUR = 3600
DAY = 24 * HOUR
START = 1_700_000_000
ISSUER = "https://issuer.test"
CLIENTS = 60
RENEWAL = 1200
"""Seconds after which a client asks for a new token, if it can."""
LIFETIME = 8 * HOUR
"""Of a token: so that the old ones serve through the outage."""
OUTAGE = range(10 * HOUR + 1200, 16 * HOUR + 1200)
LAG = 60
LAST_BACKOFF = 31
"""docs/reference/key-cache.md: at most 30 s between attempts; and a second until the next request."""
SEED = 7


@dataclass(frozen=True, slots=True)
class Key:
    """A key with its times, in seconds of the day: published, used to sign from, published no more from."""

    maker: TestIssuer
    kid: str
    published: int
    used: int
    removed: int

    def public(self) -> dict[str, Any]:
        return {**self.maker.jwks()["keys"][0], "kid": self.kid}

    def token(self, client: int, seconds: int) -> str:
        return self.maker.token(subject=f"client-{client}", expires_in=seconds, header={"kid": self.kid})


@dataclass(frozen=True, slots=True)
class World:
    """How the issuer behaves, and who comes."""

    ahead: bool = True
    """A key is published one rotation before it is used; else at the very moment."""
    lag: int = LAG
    """How long one of two replicas still answers with the set from before a publication."""
    outage: range = OUTAGE
    probes: bool = False
    """Beside the clients, somebody tries a stolen token of every key that was removed."""


@dataclass(slots=True)
class Day:
    """What happened. Seconds of the day."""

    gets: int = 0
    failed_gets: int = 0
    verified: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)
    rotations: tuple[int, ...] = ()
    overdue: Counter[str] = field(default_factory=Counter)
    """Removed keys that were taken beyond the bound."""
    longest_removed: int = 0
    longest_removed_in_outage: int = 0
    probed: set[str] = field(default_factory=set)


class ReplicatedIssuer:
    """Two replicas of one issuer, as a `Fetch`; which of them answers is chance."""

    def __init__(self, world: World, makers: list[TestIssuer], clock: DrivenClock, day: Day) -> None:
        self._world, self._clock, self._day = world, clock, day
        self._chance = random.Random(SEED)
        self.rotations = tuple(hour for hour in range(0, DAY, HOUR) if hour not in world.outage)
        self.keys = [*self._signing_keys(makers), *self._stolen_keys(makers)]
        self._signing = [key for key in self.keys if not key.kid.startswith("stolen")]

    def signing_key(self, second: int) -> Key:
        return self._signing[bisect_right(self.rotations, second) - 1]

    async def __call__(self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:  # noqa: ARG002 - the protocol's own
        second = int(self._clock.now) - START
        self._day.gets += 1
        if second in self._world.outage:
            self._day.failed_gets += 1
            raise ConnectionError
        seen = second - self._chance.choice((0, self._world.lag))
        published = [key.public() for key in self.keys if key.published <= seen < key.removed]
        return FetchResponse(200, {}, json.dumps({"keys": published}).encode())

    def _signing_keys(self, makers: list[TestIssuer]) -> list[Key]:
        ends = [*self.rotations[1:], DAY]
        keys = []
        for number, (used, end) in enumerate(zip(self.rotations, ends, strict=True)):
            published = self.rotations[number - 1] if self._world.ahead and number else used
            # Two clients' skew after its last token has expired
            removed = self._when_up(end + LIFETIME + 120)
            keys.append(Key(makers[number], f"hour-{number}", published if number else -DAY, used, removed))
        return keys

    def _stolen_keys(self, makers: list[TestIssuer]) -> list[Key]:
        """Keys of which somebody has tokens, withdrawn at any moment: one each hour, and one just before the outage."""
        chance = random.Random(SEED)
        moments = [hour + chance.randrange(HOUR) for hour in range(0, DAY, HOUR)] + [self._world.outage.start - 70]
        return [
            Key(makers[number], f"stolen-{number}", -DAY, DAY, self._when_up(moment))
            for number, moment in enumerate(moments)
        ]

    def _when_up(self, second: int) -> int:
        return self._world.outage.stop if second in self._world.outage else second


def replay() -> list[Figure]:
    """The honest issuer with everything at once, then harsh ones."""
    clock = DrivenClock()
    makers = [TestIssuer(ISSUER, clock=clock) for _ in range(DAY // HOUR + 1)]
    honest = World()
    day, with_probes = (asyncio.run(play(world, makers, clock)) for world in (honest, replace(honest, probes=True)))
    figures = [
        exactly("good tokens refused", tally(reason for _, reason in day.refused), "none"),
        exactly("good tokens verified", day.verified, DAY),
        told("GETs in the day, while the issuer answers (18 h)", day.gets - day.failed_gets),
        told("attempts in the outage (6 h)", day.failed_gets),
        exactly("beside stolen tokens: good tokens refused", tally(why for _, why in with_probes.refused), "none"),
        exactly("tokens of removed keys taken beyond the bound", tally(with_probes.overdue.elements()), "none"),
        told("removed keys tried", len(with_probes.probed)),
        bound(
            "the longest that a removed key was taken, the issuer up",
            with_probes.longest_removed,
            at_most=round(KeyCaching().ttl),
            unit="s",
        ),
        told(
            "the longest after the end of the outage, removed just before it",
            with_probes.longest_removed_in_outage,
            "s",
        ),
        told(
            "GETs in the day with the stolen tokens, while the issuer answers",
            with_probes.gets - with_probes.failed_gets,
        ),
    ]
    harsh = replace(honest, ahead=False, outage=range(0))
    for words, world in {
        "a key used at its publication, replicas agree": replace(harsh, lag=0),
        "a key used at its publication, replicas disagree for 60 s": harsh,
    }.items():
        figures += tell_harsh(words, asyncio.run(play(world, makers, clock)))
    return figures


def tell_harsh(words: str, day: Day) -> list[Figure]:
    waits: dict[int, int] = {}
    for second, _ in day.refused:
        rotation = day.rotations[bisect_right(day.rotations, second) - 1]
        waits[rotation] = max(waits.get(rotation, 0), second - rotation + 1)
    return [
        told(
            f"{words}: good tokens refused", f"{len(day.refused):,} of {DAY:,} ({tally(why for _, why in day.refused)})"
        ),
        told(f"{words}: rotations with a refusal", f"{len(waits)} of {len(day.rotations) - 1}"),
        told(f"{words}: the last refusal after a rotation", max(waits.values(), default=0), "s"),
    ]


async def play(world: World, makers: list[TestIssuer], clock: DrivenClock) -> Day:
    clock.now, day = START, Day()
    issuer = ReplicatedIssuer(world, makers, clock, day)
    day.rotations = issuer.rotations
    verifier = Verifier(trusted(makers[0], issuer, clock=clock), clock=clock)
    stolen = {key: key.token(-1, 2 * DAY) for key in issuer.keys} if world.probes else {}
    held: dict[int, tuple[int, Key, str]] = {}
    for second in range(DAY):
        clock.now = START + second
        client = second % CLIENTS
        since, key, token = held.get(client, (-DAY, issuer.keys[0], ""))
        current = issuer.signing_key(second)
        # The harsh world's clients take a new token as soon as there is a new key
        due = second - since >= RENEWAL or (not world.ahead and key is not current)
        if due and second not in world.outage:
            token = current.token(client, LIFETIME)
            held[client] = (second, current, token)
        refusal = await judge(verifier, token)
        if refusal is None:
            day.verified += 1
        else:
            day.refused.append((second, refusal))
        for removed, loot in stolen.items():
            # Also for a while after the bound: it must not come back
            if removed.removed <= second < limit(removed, world) + HOUR:
                note(day, world, removed, second, await judge(verifier, loot))
        await settle(turns=12)
    return day


def limit(key: Key, world: World) -> int:
    """Until when a removed key may be taken: for the set's lifetime, and while the issuer does not answer."""
    fresh = key.removed + world.lag + round(KeyCaching().ttl)
    return max(fresh, world.outage.stop + LAST_BACKOFF) if caught_by_outage(key, world) else fresh


def caught_by_outage(key: Key, world: World) -> bool:
    return key.removed < world.outage.start < key.removed + world.lag + round(KeyCaching().ttl)


def note(day: Day, world: World, key: Key, second: int, refusal: str | None) -> None:
    """Hold what a stolen token got against the bound."""
    day.probed.add(key.kid)
    if refusal is not None:
        return
    if caught_by_outage(key, world):
        day.longest_removed_in_outage = max(day.longest_removed_in_outage, second + 1 - world.outage.stop)
    else:
        day.longest_removed = max(day.longest_removed, second + 1 - key.removed - world.lag)
    if second >= limit(key, world):
        day.overdue[key.kid] += 1


async def judge(verifier: Verifier, token: str) -> str | None:
    try:
        await verifier.verify(token)
    except JWTASGIError as error:
        return error.reason.value
    return None
