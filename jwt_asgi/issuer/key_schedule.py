"""When signing keys change: how long each signs, and is published before and after; numbers that go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from jwt_asgi._core.policy import MAX_LEEWAY, seconds
from jwt_asgi.errors import ConfigurationError

__all__ = ["KeySchedule"]

_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySchedule:
    """When signing keys change. Times are in seconds.

    Attributes:
        algorithms: What tokens are signed with, the first by default; each has a key of its own. One that is added is
            announced before it signs, and one that is left out signs until another can.
        rotate: How long a key signs.
        announce: How long it is published before that.
        retain: How long it is published after that. None: as long as it must be.
        longest_token: The longest life of an access token.
        max_age: The `max-age` that the key set is served with.
        client_cache: How long verifiers keep the key set beyond that. Ours ask an hour later at the latest.
        skew: How far clocks may be apart, with the leeway of verifiers.
        settle: How long after a decision it takes effect: processes read the keys anew at least twice in this time.

    Raises:
        ConfigurationError: a number is out of its bounds, or two do not go together.
    """

    algorithms: Sequence[str] = ("ES256",)
    rotate: float = 90 * _DAY
    announce: float = _DAY
    retain: float | None = None
    longest_token: float = 900.0
    max_age: float = 300.0
    client_cache: float = 3600.0
    skew: float = MAX_LEEWAY
    settle: float = 60.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        algorithms = () if isinstance(self.algorithms, str) else tuple(self.algorithms)
        if not algorithms or len(set(algorithms)) < len(algorithms):
            detail = f'expected a list of different names, as ["ES256"]; got {self.algorithms!r}'
            raise ConfigurationError("schedule algorithms", detail)
        object.__setattr__(self, "algorithms", algorithms)
        for name in ("rotate", "announce", "longest_token"):
            seconds(f"schedule {name}", getattr(self, name), least=1.0)
        for name in ("max_age", "client_cache", "skew", "settle"):
            seconds(f"schedule {name}", getattr(self, name))
        if self.announce < (least := self.max_age + self.client_cache + self.settle + self.skew):
            detail = f"expected at least max_age + client_cache + settle + skew, {least:g}; got {self.announce!r}"
            raise ConfigurationError("schedule announce", detail)
        if self.rotate < (least := self.announce + self.settle):
            raise ConfigurationError("schedule rotate", f"expected at least announce + settle, {least:g}")
        if self.retain is not None and seconds("schedule retain", self.retain) < self._least_retain:
            detail = f"expected at least longest_token + skew + max_age, {self._least_retain:g}; got {self.retain!r}"
            raise ConfigurationError("schedule retain", detail)

    @property
    def retained(self) -> float:
        """How long a key is published after it signed last."""
        return self._least_retain if self.retain is None else self.retain

    @property
    def _least_retain(self) -> float:
        return self.longest_token + self.skew + self.max_age
