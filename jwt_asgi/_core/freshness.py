"""(snapshot times, wanted kid, now) -> Use | Fetch | Refuse: the key cache as a table.

A snapshot of the issuer's keys is fresh, then ageing, then stale, then expired. Which of them it is follows from the
clock alone; nothing is stored. What a request then does follows from the tables below and a few facts. The rule that
outlives all others: a failure never takes a good set away before its bound, and a success takes removed keys away at
once.

| the set is | the key is known                   | the key is not known            | no set, or expired  |
|------------|------------------------------------|---------------------------------|---------------------|
| FRESH      | use                                | the rule for misses             |                     |
| AGEING     | use, and refresh beside it         | the rule for misses             |                     |
| STALE      | wait 1 s for news; failing: use    | the rule for misses             |                     |
| EMPTY      |                                    |                                 | wait 5 s, else 503  |
| EXPIRED    |                                    |                                 | wait 5 s, else 503  |
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from enum import Enum, auto

from jwt_asgi._core.policy import flag, seconds
from jwt_asgi.errors import ConfigurationError

__all__ = [
    "NEGATIVE_SECONDS",
    "Bucket",
    "Facts",
    "KeyCaching",
    "State",
    "Step",
    "Times",
    "backoff",
    "decide",
    "lifetime",
    "retry_after",
    "state_of",
]

_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=\"?([0-9]+)\"?(?:$|[\s,])")
_NOT_TO_KEEP = re.compile(r"(?:^|[\s,])no-(?:store|cache)(?:$|[\s,=])")
_DIGITS = re.compile(r"[0-9]+")
NEGATIVE_SECONDS = 30.0
"""For how long a kid that the issuer does not publish is not looked for again.

No longer, since replicas of an issuer lag behind each other, and since a stranger may name the kid of tomorrow.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyCaching:
    """How long an issuer's keys are kept. Times are in seconds; the defaults suit production.

    Attributes:
        ttl: How long a set is fresh when the issuer does not say.
        least_ttl: The least that the issuer's `Cache-Control: max-age` counts for, and
        most_ttl: the most. A removed key is refused after this long at the latest, while the issuer answers.
        stale_if_error: How much longer a set serves while the issuer cannot be reached. 0: not at all.
        stale_wait: How long the first request after an idle spell waits for a stale set to be confirmed.
        timeout: How long one attempt may take in all. A request waits for one, at most for two: the one under way and
            one of its own.
        refresh_on_bad_signature: Fetch the set also where a signature does not verify with the key of its kid, within
            the limit on fetches for unknown kids: for an issuer that gives a new key an old kid. True or False.

    Raises:
        ConfigurationError: a number is out of its bounds.
    """

    ttl: float = 600.0
    least_ttl: float = 300.0
    most_ttl: float = 3600.0
    stale_if_error: float = 86_400.0
    stale_wait: float = 1.0
    timeout: float = 5.0
    refresh_on_bad_signature: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("ttl", "least_ttl", "most_ttl", "stale_if_error", "stale_wait", "timeout"):
            least = 0.0 if name in {"stale_if_error", "stale_wait"} else 0.001
            seconds(f"key_caching {name}", getattr(self, name), least=least)
        if self.least_ttl > self.most_ttl:
            raise ConfigurationError("key_caching least_ttl", f"expected at most most_ttl; got {self.least_ttl!r}")
        flag("key_caching refresh_on_bad_signature", self.refresh_on_bad_signature)


class State(Enum):
    """How old the key set is."""

    EMPTY = "empty"
    FRESH = "fresh"
    AGEING = "ageing"
    STALE = "stale"
    EXPIRED = "expired"


class Step(Enum):
    """What a request does next."""

    USE = auto()
    """Use the keys at hand."""
    USE_AND_REFRESH = auto()
    """Use the keys at hand, and see that a fetch is under way; do not wait for it."""
    WAIT_BRIEFLY = auto()
    """Start a fetch or join the one under way, for `stale_wait` at most; then use what is there."""
    WAIT = auto()
    """Start a fetch or join the one under way, then decide again."""
    REFUSE_UNKNOWN = auto()
    """401: the issuer does not publish this key."""
    REFUSE_UNAVAILABLE = auto()
    """503: the issuer's keys cannot be had."""


@dataclass(frozen=True, slots=True)
class Times:
    """When a set was confirmed, and until when it is what. In seconds of one clock."""

    confirmed_at: float
    soft_at: float
    fresh_until: float
    hard_until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a request knows beside the state: each is true or false, so that the table can be tested whole."""

    known: bool
    """The set holds a key for this kid and alg."""
    waited: bool = False
    """This request has waited for a fetch that began no earlier than itself."""
    failed: bool = False
    """The last attempt failed."""
    flying: bool = False
    """A fetch is under way."""
    backing_off: bool = False
    """No attempt may be made yet, since the last one failed."""
    missed_before: bool = False
    """This kid was looked for lately, and the issuer did not publish it."""
    may_fetch: bool = True
    """The limit on fetches for unknown kids leaves room for one."""


def state_of(times: Times | None, now: float) -> State:
    """Say how old the set is."""
    if times is None:
        return State.EMPTY
    if now >= times.hard_until:
        return State.EXPIRED
    if now >= times.fresh_until:
        return State.STALE
    return State.AGEING if now >= times.soft_at else State.FRESH


def decide(state: State, facts: Facts) -> Step:
    """Read the table."""
    if state is State.EMPTY or state is State.EXPIRED:
        return _without_keys(facts)
    if not facts.known:
        return _miss(state, facts)
    match state:
        case State.FRESH:
            return Step.USE
        case State.AGEING:
            return Step.USE if facts.backing_off else Step.USE_AND_REFRESH
        case _ if facts.waited or facts.backing_off:
            return Step.USE
        case _:
            # After an idle spell nobody has asked: a removed key must not be taken just for that. But once an attempt
            # has failed, waiting would make every request as slow as the outage.
            return Step.USE_AND_REFRESH if facts.failed else Step.WAIT_BRIEFLY


def _without_keys(facts: Facts) -> Step:
    if facts.flying and not facts.waited:
        return Step.WAIT
    return Step.REFUSE_UNAVAILABLE if facts.waited or facts.backing_off else Step.WAIT


def _miss(state: State, facts: Facts) -> Step:
    """The kid is not in the set: at most one wait, and few fetches for all such requests together."""
    refuse_in_outage = Step.REFUSE_UNAVAILABLE if state is State.STALE else Step.REFUSE_UNKNOWN
    if facts.waited:
        return refuse_in_outage if facts.failed else Step.REFUSE_UNKNOWN
    if facts.missed_before:
        return Step.REFUSE_UNKNOWN
    if facts.flying:
        return Step.WAIT
    if facts.backing_off:
        return refuse_in_outage
    if facts.may_fetch:
        return Step.WAIT
    return refuse_in_outage if facts.failed else Step.REFUSE_UNKNOWN


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many fetches may be made for unknown kids: `capacity` at once, then one each `refill` seconds.

    It counts attempts, not successes: a failing issuer is not asked more often than a healthy one.
    """

    capacity: float = 2.0
    refill: float = 30.0
    level: float = 2.0
    filled_at: float = 0.0

    def has_room(self, now: float) -> bool:
        """Whether a fetch may be made."""
        return self._level(now) >= 1.0

    def taken(self, now: float) -> Bucket:
        """Return the bucket after one attempt."""
        return replace(self, level=self._level(now) - 1.0, filled_at=now)

    def _level(self, now: float) -> float:
        return min(self.capacity, self.level + max(now - self.filled_at, 0.0) / self.refill)


def backoff(failures: int, jitter: float, *, most: float = 30.0) -> float:
    """Return the seconds to wait after so many failures in a row: 1, 2, 4 … 30, times a half to one (`jitter` 0..1)."""
    return float(min(most, 2.0 ** min(failures - 1, 16))) * (0.5 + jitter / 2)


def lifetime(headers: Mapping[str, str], *, default: float, least: float, most: float) -> float:
    """Return for how many seconds a key set is fresh: RFC 9111 section 4.2.1, within bounds.

    `default` counts as it is where the issuer says nothing. Bounds, since issuers send `max-age=10` and `no-cache`
    (which would poll them), and six hours (which would keep a removed key that long). `headers` have lower-case names.
    """
    control = headers.get("cache-control", "").lower()
    if _NOT_TO_KEEP.search(control):
        return least
    found = _MAX_AGE.search(control)
    if found is None:
        return default
    return min(max(_delta(found[1]) - _delta(headers.get("age", "").strip()), least), most)


def retry_after(value: str, now: float) -> float:
    """Return the seconds that a Retry-After header asks for (RFC 9110 section 10.2.3: seconds, or a date); else 0.

    `now` is in seconds since the epoch.
    """
    if _DIGITS.fullmatch(value):
        return _delta(value)
    try:
        moment = parsedate_to_datetime(value)
        # RFC 9110 section 5.6.7: dates are in UTC, also in the form that does not say so
        return max((moment.timestamp() if moment.tzinfo else timegm(moment.timetuple())) - now, 0.0)
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _delta(value: str) -> float:
    """RFC 9111 section 1.2.2: a number of seconds too large counts as the largest; what is none counts as 0."""
    return float(value.lstrip("0")[:18] or 0) if _DIGITS.fullmatch(value) else 0.0
