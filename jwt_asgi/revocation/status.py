"""How a feed of revocations is, for probes and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["COUNTERS", "RevocationStatus"]

COUNTERS = ("polls", "failures", "revoked", "ended", "denied", "allowed", "introspected")


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationStatus:
    """How a feed is. Times are in seconds from now.

    Attributes:
        issuers: Whose tokens it judges.
        fresh: Whether what it knows is younger than `max_stale`.
        age: How old that is; None: it has had nothing yet.
        stale_in: Until the stale mode holds; 0: it does.
        entries: How many revocations are known.
        failures: Attempts in a row that failed.
        error: Why the last one failed; empty when it did not.
        ready: Whether tokens can be judged: it is fresh, or lets them in when it is not.
        counters: Since the start, for metrics: `polls`, `failures`, `revoked` (tokens that were refused), `ended`
            (connections); and while it was stale `denied`, `allowed`, `introspected`.
    """

    issuers: tuple[str, ...]
    fresh: bool
    age: float | None
    stale_in: float
    entries: int
    failures: int
    error: str
    ready: bool
    counters: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON takes it."""
        members: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        return members | {"issuers": list(self.issuers), "counters": dict(self.counters)}
