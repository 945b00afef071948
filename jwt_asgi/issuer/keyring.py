"""(signing keys, now, schedule) -> what becomes of each: the life of signing keys as a table.

A key is published before it signs, so that no verifier's copy of the key set is too old to have it; and for as long
after it signed last as tokens of it may be shown. The times are in the keys, so that whoever looks, whenever and how
often he looks, comes to the same: a job that comes late, or twice, or in several processes harms nothing.

| state    | published             | signs               | and then                                      |
|----------|-----------------------|---------------------|-----------------------------------------------|
| STAGED   | yes                   | no                  | ACTIVE, when it was announced for long enough |
| ACTIVE   | yes                   | from `sign_from` on | RETIRING, when the next one is made ACTIVE    |
| RETIRING | until `publish_until` | until `sign_until`  | GONE, when it is not published any more       |
| GONE     | no                    | no                  | forgotten; its private part is erased         |
| REVOKED  | no                    | no                  | stays; its private part is erased             |

There is exactly one ACTIVE key for each algorithm. A handover writes both keys at once, with a `sign_from` of the new
one that is the `sign_until` of the old one and lies ahead: by then every process has read the keys anew. An interval of
time belongs to one key alone, whatever the clock does; where it goes back before all of them, the first one signs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from typing import Final

from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.key_schedule import KeySchedule
from jwt_asgi.issuer.types import Entry, KeyChange, KeyState, Record, StoredKey

__all__ = ["Mint", "check_keys", "decide", "published", "revoke", "rotate_now", "signer"]

Mint = Callable[[str, float], StoredKey]
"""Makes a staged key for an algorithm, as of a time: `Keychain.mint`."""

_REVOKED_FOR: Final = 7 * 86_400.0
"""How long a verifier may keep a revoked key at the most, beyond any token's life: by default it does for a day where
it cannot reach the issuer. Until then whoever stole the key can sign with it whatever he likes."""


def signer(keys: Sequence[StoredKey], now: float, algorithms: Sequence[str]) -> StoredKey | None:
    """Return the key that signs now: that of the first of these algorithms that has one, else of any; or None."""
    order = [*algorithms, *sorted({key.alg for key in keys} - {*algorithms})]
    signers = [key for key in (_signer(keys, now, alg) for alg in order) if key is not None]
    begun = [key for key in signers if _or_ever(key.sign_from) <= now]
    return next(iter(begun or signers), None)


def published(keys: Sequence[StoredKey], now: float) -> list[StoredKey]:
    """Return the keys that belong in the key set now, those that sign first."""
    order = (KeyState.ACTIVE, KeyState.STAGED, KeyState.RETIRING)
    shown = [key for key in keys if key.state in order and now < _or_never(key.publish_until)]
    return sorted(shown, key=lambda key: (order.index(key.state), key.alg, key.created_at, key.kid))


def decide(keys: Sequence[StoredKey], now: float, schedule: KeySchedule, mint: Mint) -> KeyChange:
    """Say what is to be done now; nothing, when it was done already.

    A new key is made where one is missing. Where none signs at all, as at the very first, it is not announced before.
    """
    ring = _Ring(keys, now, schedule)
    ring.repair_times()
    for alg in schedule.algorithms:
        ring.look(alg, mint)
    ring.retire_unscheduled()
    ring.forget()
    return ring.change()


def rotate_now(
    keys: Sequence[StoredKey],
    now: float,
    schedule: KeySchedule,
    mint: Mint,
    *,
    alg: str | None = None,
    unannounced: bool = False,
) -> KeyChange:
    """Hand over to a new key ahead of time; nothing, when a handover of this algorithm is under way.

    The new one signs when it was announced for long enough, or with `unannounced` as soon as all processes know of it:
    then verifiers whose key set is too old must fetch it anew, as most do when they do not know a key.

    Args:
        keys: All keys.
        now: The time.
        schedule: When keys change.
        mint: Makes keys.
        alg: Whose key; by default the schedule's first.
        unannounced: Do not wait.
    """
    ring = _Ring(keys, now, schedule)
    ring.repair_times()
    ring.hand_over(schedule.algorithms[0] if alg is None else alg, mint, unannounced=unannounced)
    return ring.change()


def revoke(
    keys: Sequence[StoredKey],
    kid: str,
    now: float,
    schedule: KeySchedule,
    mint: Mint,
    digest: Callable[[str], bytes],
) -> KeyChange:
    """Take a key back at once: it is not published, and nothing that it signed is good. Nothing, when that was done.

    Where it was the one that signs, another does at once: one that is staged, if there is one, else a new one, although
    it was never announced. The entry `k` lasts until no verifier can have the key any more.

    Args:
        keys: All keys.
        kid: Which.
        now: The time.
        schedule: When keys change.
        mint: Makes keys.
        digest: Makes the key of the entry from the `kid`.

    Raises:
        LookupError: there is no such key.
    """
    ring = _Ring(keys, now, schedule)
    found = ring.of_kid(kid)
    if found is None:
        raise LookupError(f"there is no signing key {kid}")
    if found.state in {KeyState.GONE, KeyState.REVOKED}:
        return KeyChange()
    ring.put(replace(found, state=KeyState.REVOKED, sealed=b"", publish_until=now), "key.revoked")
    ring.mend(found.alg, mint)
    until = now + schedule.settle + schedule.longest_token + schedule.skew + _REVOKED_FOR
    return replace(ring.change(), entries=(Entry(seq=0, kind="k", key=digest(kid), until=until),))


def check_keys(keys: Sequence[StoredKey], now: float, schedule: KeySchedule) -> None:
    """Check what the database has, after `decide`.

    Raises:
        ConfigurationError: it cannot be: two keys sign at once, or none does, or times are missing.
    """
    kids = Counter(key.kid for key in keys)
    active = Counter(key.alg for key in keys if key.state is KeyState.ACTIVE)
    for key in keys:
        if kids[key.kid] > 1:
            raise ConfigurationError("signing keys", f"{key.kid} is there twice")
        if key.state is KeyState.ACTIVE and active[key.alg] > 1:
            raise ConfigurationError("signing keys", f"{key.kid} is one of {active[key.alg]} that sign with {key.alg}")
        if wrong := _wrong_times(key, schedule):
            raise ConfigurationError("signing keys", f"{key.kid} is {key.state.value}, {wrong}")
    if signer(keys, now, schedule.algorithms) is None:
        raise ConfigurationError("signing keys", "none signs")


class _Ring:
    """The keys while they are looked at, and what has changed."""

    def __init__(self, keys: Sequence[StoredKey], now: float, schedule: KeySchedule) -> None:
        self.keys = {key.kid: key for key in keys}
        self.now = now
        self.schedule = schedule
        self._before = dict(self.keys)
        self._records: list[Record] = []

    def of_kid(self, kid: str) -> StoredKey | None:
        return self.keys.get(kid)

    def put(self, key: StoredKey, event: str | None = None) -> None:
        self.keys[key.kid] = key
        if event is not None:
            members = {"kid": key.kid, "alg": key.alg, "sign_from": key.sign_from, "sign_until": key.sign_until}
            self._records.append(Record(event=event, at=self.now, members=members))

    def change(self) -> KeyChange:
        changed = [key for key in self.keys.values() if self._before.get(key.kid) != key]
        # A database that lets one key for an algorithm be active must see the old one go first
        changed.sort(key=lambda key: key.state is KeyState.ACTIVE)
        return KeyChange(keys=tuple(changed), records=tuple(self._records))

    def repair_times(self) -> None:
        """The clock went back: a key cannot have been made, nor can a handover have been set, later than now."""
        latest = self.now + self.schedule.announce + self.schedule.settle
        for key in [*self.keys.values()]:
            if key.created_at > self.now and key.state is KeyState.STAGED:
                self.put(replace(key, created_at=self.now))
            elif key.state is KeyState.ACTIVE and _or_ever(key.sign_from) > latest:
                self._begin(key, latest)

    def look(self, alg: str, mint: Mint) -> None:
        """Stage and hand over what is due for one algorithm."""
        schedule, active = self.schedule, self._active(alg)
        if self._signer() is None:
            self._activate(self._staged(alg) or self._stage(alg, mint), self.now)
            return
        due = -inf if active is None else _or_ever(active.sign_from) + schedule.rotate
        staged = self._staged(alg)
        if staged is None:
            if self.now >= due - schedule.announce:
                self._stage(alg, mint)
        elif self.now + schedule.settle >= max(due, staged.created_at + schedule.announce):
            self._activate(staged, self.now + schedule.settle)

    def hand_over(self, alg: str, mint: Mint, *, unannounced: bool) -> None:
        """Hand over as soon as it may be."""
        active, soon = self._active(alg), self.now + self.schedule.settle
        if active is not None and _or_ever(active.sign_from) > self.now:
            if unannounced and _or_ever(active.sign_from) > soon:
                self._begin(active, soon)
            return
        staged = self._staged(alg) or self._stage(alg, mint)
        self._activate(staged, soon if unannounced else max(soon, staged.created_at + self.schedule.announce))

    def mend(self, alg: str, mint: Mint) -> None:
        """Let another key sign at once, where the one that was taken back was the one that does, or will."""
        active, signs = self._active(alg), _signer([*self.keys.values()], self.now, alg)
        if active is not None:
            if signs is active and _or_ever(active.sign_from) > self.now:
                self._begin(active, self.now)
        elif signs is not None:
            self.put(replace(signs, state=KeyState.ACTIVE, sign_until=None, publish_until=None), "key.activated")
            self._end_others(alg, self.now)
        elif alg in self.schedule.algorithms or self._signer() is None:
            self._activate(self._staged(alg) or self._stage(alg, mint), self.now)

    def retire_unscheduled(self) -> None:
        """Retire the keys of algorithms that are left out, when one that is not left out signs."""
        wanted = self.schedule.algorithms
        signs = self._signer()
        for key in [*self.keys.values()]:
            if key.alg in wanted or signs is None or signs.alg not in wanted:
                continue
            if key.state is KeyState.ACTIVE:
                self._retire(key, self.now + self.schedule.settle)
            elif key.state is KeyState.STAGED:
                self.put(replace(key, state=KeyState.GONE, sealed=b"", publish_until=self.now), "key.gone")

    def forget(self) -> None:
        """Take the keys that are not needed any more out, and keep those that are for long enough."""
        for key in [*self.keys.values()]:
            if key.state is not KeyState.RETIRING:
                continue
            until = max(_or_ever(key.publish_until), _or_ever(key.sign_until) + self.schedule.retained)
            if self.now >= until:
                self.put(replace(key, state=KeyState.GONE, sealed=b"", publish_until=until), "key.gone")
            elif until != key.publish_until:
                self.put(replace(key, publish_until=until))

    def _signer(self) -> StoredKey | None:
        return signer([*self.keys.values()], self.now, self.schedule.algorithms)

    def _active(self, alg: str) -> StoredKey | None:
        return next((key for key in self.keys.values() if key.alg == alg and key.state is KeyState.ACTIVE), None)

    def _staged(self, alg: str) -> StoredKey | None:
        staged = [key for key in self.keys.values() if key.alg == alg and key.state is KeyState.STAGED]
        return min(staged, key=lambda key: (key.created_at, key.kid), default=None)

    def _stage(self, alg: str, mint: Mint) -> StoredKey:
        key = mint(alg, self.now)
        self.put(key, "key.staged")
        return key

    def _activate(self, key: StoredKey, at: float) -> None:
        before = self._active(key.alg)
        if before is not None:
            self._retire(before, at)
        self.put(replace(key, state=KeyState.ACTIVE, sign_from=at), "key.activated")

    def _retire(self, key: StoredKey, at: float) -> None:
        until = at + self.schedule.retained
        self.put(replace(key, state=KeyState.RETIRING, sign_until=at, publish_until=until), "key.retired")

    def _begin(self, key: StoredKey, at: float) -> None:
        """Set a handover that is under way to another time."""
        self._end_others(key.alg, at, joined=key.sign_from)
        self.put(replace(key, sign_from=at))

    def _end_others(self, alg: str, at: float, joined: float | None = None) -> None:
        """Let the retiring keys not sign beyond a time; the one that signs until `joined` signs until then."""
        for key in [*self.keys.values()]:
            if key.state is not KeyState.RETIRING or key.alg != alg:
                continue
            if key.sign_until == joined:
                self.put(replace(key, sign_until=at, publish_until=at + self.schedule.retained))
            elif _or_ever(key.sign_until) > at:
                self.put(replace(key, sign_until=at))


def _signer(keys: Sequence[StoredKey], now: float, alg: str) -> StoredKey | None:
    able = [key for key in keys if key.alg == alg and key.state in {KeyState.ACTIVE, KeyState.RETIRING}]
    able = [key for key in able if now < _or_never(key.sign_until)]
    begun = [key for key in able if _or_ever(key.sign_from) <= now]
    if begun:
        return max(begun, key=lambda key: (_or_ever(key.sign_from), key.kid))
    return min(able, key=lambda key: (_or_ever(key.sign_from), key.kid), default=None)


def _wrong_times(key: StoredKey, schedule: KeySchedule) -> str:
    if key.state is KeyState.ACTIVE and (key.sign_from is None or key.sign_until is not None):
        return "and says not from when it signs, or until when"
    if key.state is not KeyState.RETIRING:
        return ""
    if key.sign_until is None or key.publish_until is None:
        return "and says not until when it signs and is published"
    least = key.sign_until + schedule.longest_token + schedule.skew
    return "" if key.publish_until >= least else f"and published until {key.publish_until:.0f}; expected {least:.0f}"


def _or_never(at: float | None) -> float:
    return inf if at is None else at


def _or_ever(at: float | None) -> float:
    return -inf if at is None else at
