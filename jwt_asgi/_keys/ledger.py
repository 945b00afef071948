"""What the key cache counts, and what is worth telling of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from jwt_asgi._core.freshness import Facts, State, Step
from jwt_asgi._core.jwks import KeySet, VerifyKey
from jwt_asgi._keys.events import KeyEvent, KeyEventKind

__all__ = ["COUNTERS", "Ledger", "names_of", "news_of", "skipped_of"]

COUNTERS = ("fetches", "not_modified", "failures", "unknown_kid", "throttled", "served_stale", "unavailable")


MAX_TOLD = 16


class Ledger:
    """Counters, and which events were told since the last fetch that succeeded."""

    __slots__ = ("_told", "counters")

    def __init__(self) -> None:
        """Start at nothing."""
        self.counters = Counter(dict.fromkeys(COUNTERS, 0))
        self._told: set[KeyEventKind] = set()

    def meet(self, state: State, step: Step, facts: Facts) -> KeyEventKind | None:
        """Count what a request met; return what is to be told of it, once until a fetch succeeds."""
        if step is Step.REFUSE_UNAVAILABLE:
            self.counters["unavailable"] += 1
            return self.once(KeyEventKind.EXPIRED) if state is State.EXPIRED else None
        if step is Step.REFUSE_UNKNOWN:
            self.counters["unknown_kid"] += 1
            if facts.waited or facts.missed_before or facts.backing_off:
                return None
            self.counters["throttled"] += 1
            return self.once(KeyEventKind.THROTTLED)
        if state is State.STALE and (step is Step.USE or step is Step.USE_AND_REFRESH):
            self.counters["served_stale"] += 1
            return self.once(KeyEventKind.SERVING_STALE)
        return None

    def serve_stale(self) -> bool:
        """Count a token that is served with a stale set; False, and nothing is counted, where that has to be told."""
        if KeyEventKind.SERVING_STALE not in self._told:
            return False
        self.counters["served_stale"] += 1
        return True

    def settle(self, *, same: bool) -> None:
        """Note that a fetch succeeded, and whether it brought the set that was there."""
        self.counters["not_modified"] += same
        self._told.clear()

    def once(self, kind: KeyEventKind) -> KeyEventKind | None:
        """Return it if it was not told since the last fetch that succeeded."""
        if kind in self._told:
            return None
        self._told.add(kind)
        return kind


def names_of(keys: Iterable[VerifyKey]) -> tuple[str, ...]:
    """Return the kids; for a key without one, its thumbprint."""
    return tuple(key.thumbprint if key.kid is None else key.kid for key in keys)


def skipped_of(keys: KeySet) -> tuple[str, ...]:
    """Return a line for each member of the set that cannot be used."""
    return tuple(f"{key.kid!r}: {key.why}" for key in keys.skipped)


def _some(lines: tuple[str, ...]) -> str:
    """Join them for a log, where the issuer must not write a book."""
    more = len(lines) - MAX_TOLD
    return "; ".join(lines[:MAX_TOLD]) + (f"; and {more} more" if more > 0 else "")


def news_of(issuer: str, old: KeySet | None, new: KeySet, *, recovered: bool) -> list[KeyEvent]:
    """Return what a fetch that succeeded brought."""
    same = old is new
    events = [KeyEvent(kind=KeyEventKind.NOT_MODIFIED if same else KeyEventKind.FETCHED, issuer=issuer)]
    if recovered:
        events.append(KeyEvent(kind=KeyEventKind.RECOVERED, issuer=issuer))
    if same:
        return events
    before = {} if old is None else {(key.kid, key.thumbprint): key for key in old.keys}
    after = {(key.kid, key.thumbprint): key for key in new.keys}
    added = names_of(key for name, key in after.items() if name not in before)
    removed = names_of(key for name, key in before.items() if name not in after)
    if added or removed:
        events.append(KeyEvent(kind=KeyEventKind.KEYS_CHANGED, issuer=issuer, added=added, removed=removed))
    if new.skipped:
        events.append(KeyEvent(kind=KeyEventKind.KEY_SKIPPED, issuer=issuer, detail=_some(skipped_of(new))))
    if new.private:
        detail = f"its kid is {', '.join(map(repr, new.private))}"
        events.append(KeyEvent(kind=KeyEventKind.PRIVATE_KEY_PUBLISHED, issuer=issuer, detail=detail))
    return events
