"""(family, what was presented, now) -> rotate, retry, replay ...: refresh families as a table.

A family is one login on one device: its refresh tokens are generations of which one is the newest. Whoever shows the
newest gets the next. The one before it leads to the newest again, and never to another, until somebody has shown that
he holds the newest: so a lost answer and a second tab log nobody out, and a stolen token is found out at the first
step that thief and owner take apart. The rows are tried in this order, and the first that fits counts:

| step     | the family is | what was presented                                              | what becomes of it      |
|----------|---------------|-----------------------------------------------------------------|-------------------------|
| MISMATCH | any           | by another client, or without the proof that it is bound to     | nothing                 |
| ENDED    | not live      | any                                                             | nothing                 |
| ROTATE   | live          | the newest                                                      | the next generation     |
| RETRY    | live          | the one before: early, seldom, unconfirmed or confirmed lately  | one retry more          |
| REPLAY   | live          | an older one, or the one before otherwise                       | revoked                 |
| CATCH_UP | live          | the one after: the database was restored to an older state      | the generation after it |
| AHEAD    | live          | a later one still: another database, or a leaked master key     | nothing, and an alarm   |

A mismatch revokes nothing: whoever has found a token could end the session of its owner. RFC 9700
section 4.14.2 asks for rotation and for the end of a replayed family; what a retry may do is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from math import inf
from typing import Literal

from jwt_asgi._core.policy import seconds
from jwt_asgi.errors import ConfigurationError

__all__ = ["Family", "FamilyStatus", "Proof", "Reuse", "RotationPolicy", "Step", "Transition", "confirmed", "present"]

Reuse = Literal["confirmed", "window", "strict"]
_DAY = 86_400.0
_MOST_RETRIES = 10_000


class FamilyStatus(Enum):
    """Whether a family's refresh tokens may be used."""

    LIVE = 0
    REVOKED = 1
    REPLAYED = 2
    """Revoked, since an old token of it was shown."""


class Step(Enum):
    """What becomes of a refresh token that is presented."""

    MISMATCH = "mismatch"
    ENDED = "ended"
    ROTATE = "rotate"
    RETRY = "retry"
    REPLAY = "replay"
    CATCH_UP = "catch_up"
    AHEAD = "ahead"


Proof = tuple[str, str] | None
"""What a client has proved to hold: `("jkt", thumbprint)` (RFC 9449), `("x5t#S256", thumbprint)` (RFC 8705)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationPolicy:
    """How long a family lives, and what the token before the newest is good for. Times are in seconds.

    Attributes:
        idle: A family ends when it was not refreshed for so long.
        absolute: A family ends so long after the login, however often it is refreshed.
        reuse: `confirmed`: the token before the newest leads to the newest until the newest is known to have arrived;
            `window`: for `window` seconds; `strict`: never, so that each lost answer ends the session.
        window: How long that is at most, arrived or not. None: as long as the family is not idle too long.
        grace: How long after the newest is known to have arrived: requests of other tabs may be on their way.
        retries: How often.

    Raises:
        ConfigurationError: a number is out of its bounds, or two do not go together.
    """

    idle: float = 14 * _DAY
    absolute: float = 90 * _DAY
    reuse: Reuse = "confirmed"
    window: float | None = None
    grace: float = 10.0
    retries: int = 16

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("idle", "absolute"):
            seconds(f"rotation {name}", getattr(self, name), least=1.0)
        seconds("rotation grace", self.grace)
        if self.idle > self.absolute:
            raise ConfigurationError("rotation idle", f"expected at most absolute; got {self.idle!r}")
        if self.reuse not in {"confirmed", "window", "strict"}:
            raise ConfigurationError("rotation reuse", f"expected confirmed, window or strict; got {self.reuse!r}")
        if self.window is not None:
            seconds("rotation window", self.window)
        elif self.reuse == "window":
            raise ConfigurationError("rotation window", 'expected seconds, as reuse="window" needs them')
        if (
            not isinstance(self.retries, int)
            or isinstance(self.retries, bool)
            or not 0 <= self.retries <= _MOST_RETRIES
        ):
            detail = f"expected a number from 0 to {_MOST_RETRIES}; got {self.retries!r}"
            raise ConfigurationError("rotation retries", detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The state of one family: all that the table reads and writes. Times are in seconds since the epoch.

    Attributes:
        client_id: Whose it is.
        proof: What its tokens are bound to, or None.
        generation: The newest.
        rotated_at: When that was made.
        confirmed_at: When somebody was first seen to hold it, or None.
        retries: How often the one before it was taken for it.
        idle_until: When it ends unless it is refreshed.
        absolute_until: When it ends.
        status: Whether it was revoked.
    """

    client_id: str
    proof: Proof = None
    generation: int
    rotated_at: float
    confirmed_at: float | None = None
    retries: int = 0
    idle_until: float
    absolute_until: float
    status: FamilyStatus = FamilyStatus.LIVE

    def is_live(self, now: float) -> bool:
        """Whether its tokens may be used at all."""
        return self.status is FamilyStatus.LIVE and now < self.idle_until and now < self.absolute_until


@dataclass(frozen=True, slots=True)
class Transition:
    """What became of a token, and the family as it is to be stored; the very same family: nothing changes."""

    step: Step
    family: Family


def present(
    family: Family, generation: int, *, client_id: str, proof: Proof, policy: RotationPolicy, now: float
) -> Transition:
    """Say what becomes of the refresh token of a generation that a client presents."""
    step = _step(family, generation, policy, now)
    if client_id != family.client_id or proof != family.proof:
        step = Step.MISMATCH
    match step:
        case Step.ROTATE | Step.CATCH_UP:
            idle_until = min(now + policy.idle, family.absolute_until)
            begun = replace(family, generation=generation + 1, rotated_at=now, idle_until=idle_until)
            return Transition(step, replace(begun, confirmed_at=None, retries=0))
        case Step.RETRY:
            return Transition(step, replace(family, retries=family.retries + 1))
        case Step.REPLAY:
            return Transition(step, replace(family, status=FamilyStatus.REPLAYED))
        case _:
            return Transition(step, family)


def confirmed(family: Family, generation: int, now: float) -> Family:
    """Return the family when somebody was seen to hold a token of this generation; that counts for the newest, once."""
    if family.generation != generation or family.confirmed_at is not None:
        return family
    return replace(family, confirmed_at=now)


def _step(family: Family, generation: int, policy: RotationPolicy, now: float) -> Step:
    if not family.is_live(now):
        return Step.ENDED
    ahead = generation - family.generation
    if ahead == -1 and _may_retry(family, policy, now):
        return Step.RETRY
    if ahead < 0:
        return Step.REPLAY
    return {0: Step.ROTATE, 1: Step.CATCH_UP}.get(ahead, Step.AHEAD)


def _may_retry(family: Family, policy: RotationPolicy, now: float) -> bool:
    if policy.reuse == "strict" or family.retries >= policy.retries:
        return False
    if now - family.rotated_at > (inf if policy.window is None else policy.window):
        return False
    return policy.reuse == "window" or family.confirmed_at is None or now - family.confirmed_at <= policy.grace
