"""A week of many sessions, honest and stolen, under policies of refresh: who is logged out, and which theft comes out.

The model: 8 active hours on each of 7 days, a refresh every 10 minutes; 30 % of them are made by a second tab as well,
within 2 seconds; of 200 answers one is lost, of which half are asked for again after 5 seconds, 40 % after a minute,
and the rest after minutes to hours. Whoever gets a token uses it within 2 seconds. A thief has copied the token once,
while the user was active, and refreshes on his own. It is a model, and no field data: its order is what counts.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Protocol

from jwt_asgi.issuer.rotation import Family, FamilyStatus, RotationPolicy, Step, confirmed, present

DAY, HOUR, MINUTE = 86_400.0, 3600.0, 60.0
DAYS, ACTIVE, EVERY = 7, 8 * HOUR, 10 * MINUTE
SECOND_TAB, TAB_SECONDS = 0.3, 2.0
LOST = 0.005


class Authority(Protocol):
    """One family under a policy; tokens are numbers."""

    def refresh(self, token: int, now: float) -> int | None:
        """Return the next token, or None: refused."""

    def seen(self, token: int, now: float) -> None:
        """Hear that somebody uses what came with this token."""

    @property
    def is_revoked(self) -> bool:
        """Whether an old token was found to be used again."""


class Rotating:
    """Our table."""

    def __init__(self, policy: RotationPolicy) -> None:
        self._policy = policy
        self._family = Family(
            client_id="app", generation=0, rotated_at=0.0, idle_until=policy.idle, absolute_until=policy.absolute
        )

    def refresh(self, token: int, now: float) -> int | None:
        done = present(self._family, token, client_id="app", proof=None, policy=self._policy, now=now)
        self._family = done.family
        return done.family.generation if done.step in {Step.ROTATE, Step.RETRY} else None

    def seen(self, token: int, now: float) -> None:
        self._family = confirmed(self._family, token, now)

    @property
    def is_revoked(self) -> bool:
        return self._family.status is FamilyStatus.REPLAYED


class Forking:
    """What is common elsewhere: a used token is good for a new one each time, within a window."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._used_at: dict[int, float] = {}
        self._numbers = count(1)
        self.is_revoked = False

    def refresh(self, token: int, now: float) -> int | None:
        if now - self._used_at.setdefault(token, now) > self._window:
            self.is_revoked = True
        return None if self.is_revoked else next(self._numbers)

    def seen(self, token: int, now: float) -> None:
        """Make nothing of it."""


@dataclass(order=True, slots=True)
class Event:
    at: float
    number: int
    what: Callable[[float], None] = field(compare=False)


class Agenda:
    """What is still to happen, in the order of time."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._numbers = count()

    def at(self, time: float, what: Callable[[float], None]) -> None:
        heapq.heappush(self._events, Event(time, next(self._numbers), what))

    def run(self, until: Callable[[], bool]) -> float:
        now = 0.0
        while self._events and now < DAYS * DAY and not until():
            event = heapq.heappop(self._events)
            now = event.at
            event.what(now)
        return now


@dataclass
class Owner:
    """The browser of the user: its tabs share one token."""

    authority: Authority
    agenda: Agenda
    chance: Random
    token: int = 0
    is_out: bool = False

    def refresh(self, now: float) -> None:
        """Refresh in one tab, and perhaps in another that has read the same token."""
        shown = self.token
        if self.chance.random() < SECOND_TAB:
            self.agenda.at(now + self.chance.random() * TAB_SECONDS, lambda then: self._present(shown, then))
        self._present(shown, now)

    def _present(self, shown: int, now: float) -> None:
        if self.is_out:
            return
        got = self.authority.refresh(shown, now)
        if got is None:
            self.is_out = True
        elif self.chance.random() < LOST:
            self.agenda.at(now + self._patience(), lambda then: self._again(shown, then))
        else:
            self.token = got
            self.agenda.at(now + self.chance.random() * TAB_SECONDS, lambda then: self.authority.seen(got, then))

    def _again(self, shown: int, now: float) -> None:
        """Ask once more, unless another tab has got an answer meanwhile."""
        if self.token == shown:
            self._present(shown, now)

    def _patience(self) -> float:
        kind = self.chance.random()
        return 5.0 if kind < 0.5 else MINUTE if kind < 0.9 else self.chance.uniform(MINUTE, 4 * HOUR)


@dataclass
class Thief:
    """Somebody who has copied the token once, and comes back for more."""

    authority: Authority
    agenda: Agenda
    every: float
    token: int

    def refresh(self, now: float) -> None:
        got = self.authority.refresh(self.token, now)
        if got is None:
            return
        self.token = got
        self.authority.seen(got, now)
        self.agenda.at(now + self.every, self.refresh)


def active_times() -> Iterator[float]:
    for day in range(DAYS):
        for turn in range(int(ACTIVE / EVERY)):
            yield day * DAY + turn * EVERY


def honest_week(authority: Authority, seed: int) -> bool:
    """Whether an honest session was logged out."""
    agenda = Agenda()
    owner = Owner(authority, agenda, Random(seed))
    for time in active_times():
        agenda.at(time, owner.refresh)
    agenda.run(lambda: owner.is_out)
    return owner.is_out


def stolen_week(authority: Authority, seed: int, *, thief_every: float) -> float | None:
    """After how many seconds a theft came out; None: not within the week."""
    agenda, chance = Agenda(), Random(seed)
    owner = Owner(authority, agenda, chance)
    for time in active_times():
        agenda.at(time, owner.refresh)
    stolen_at = chance.uniform(0.0, ACTIVE)

    def steal(now: float) -> None:
        thief = Thief(authority, agenda, thief_every, owner.token)
        agenda.at(now + chance.uniform(0.0, thief_every), thief.refresh)

    agenda.at(stolen_at, steal)
    found_at = agenda.run(lambda: authority.is_revoked)
    return max(found_at - stolen_at, 0.0) if authority.is_revoked else None
