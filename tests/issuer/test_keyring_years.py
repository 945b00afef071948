"""Years of a key schedule in steps: whenever somebody looks, every token verifies, for whoever has an old key set."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from jwt_asgi.issuer.key_schedule import KeySchedule
from jwt_asgi.issuer.keyring import check_keys, decide, published, revoke, rotate_now, signer
from jwt_asgi.issuer.types import KeyChange, KeyState, StoredKey
from tests.issuer.rings import DAY, START, Mint, after, digest
from tests.properties.strategies import examples

SCHEDULES = [
    KeySchedule(),
    KeySchedule(rotate=2 * DAY, longest_token=DAY, client_cache=7200),
    KeySchedule(announce=4260, rotate=4320, longest_token=4 * DAY),
]
LAG = 30.0
"""How old the keys are, at the most, that a process signs with, and serves."""

Act = Literal["look", "rotate", "rotate unannounced", "revoke signer", "revoke newest"]
ACTS: st.SearchStrategy[Act] = st.sampled_from(
    ["look"] * 12 + ["rotate", "rotate unannounced", "revoke signer", "revoke newest"]
)
MARKS = [
    0,
    1,
    30,
    59,
    60,
    61,
    300,
    600,
    900,
    1500,
    3600,
    4200,
    4260,
    4320,
    7200,
    DAY - 60,
    DAY,
    2 * DAY,
    89 * DAY,
    90 * DAY,
]
PAUSES = st.one_of(
    st.sampled_from(MARKS), st.integers(0, 8 * 3600), st.integers(0, int(3 * DAY)), st.integers(0, int(200 * DAY))
).map(float)
STEPS = st.lists(st.tuples(PAUSES, ACTS), min_size=1, max_size=25)


class World:
    """The keys as they were at each time, and what was done in a hurry."""

    def __init__(self, schedule: KeySchedule) -> None:
        self.schedule, self.mint = schedule, Mint()
        self.now = START
        self.keys: list[StoredKey] = []
        self.times: list[float] = []
        self.versions: list[list[StoredKey]] = []
        self.hurried: set[str] = set()
        self.revocations: list[float] = []
        self.act("look")

    def act(self, act: Act) -> None:
        for _ in range(2 if act == "look" else 1):
            change = self._change(act)
            self.keys = after(self.keys, change)
            if act != "look":
                self.hurried |= {key.kid for key in change.keys if act != "rotate" and key.state is KeyState.ACTIVE}
        if act == "look":
            assert change == KeyChange(), "a second look has nothing to do"
        check_keys(self.keys, self.now, self.schedule)
        self.times.append(self.now)
        self.versions.append(self.keys)

    def at(self, now: float) -> list[StoredKey]:
        return self.versions[max(bisect_right(self.times, now) - 1, 0)]

    def signatures(self) -> Iterator[tuple[float, StoredKey]]:
        """Every time that something changes in what signs, by processes that have read the keys just now and before."""
        for begin, end in pairwise([*self.times, self.now + 2 * DAY]):
            edges = {edge for key in self.at(begin) for edge in (key.sign_from, key.sign_until) if edge is not None}
            moments = {begin, begin + LAG, *edges, *(edge - 0.001 for edge in edges), end - 0.001}
            for moment in sorted(moment for moment in moments if begin <= moment < end):
                keys = [signer(self.at(moment - lag), moment, self.schedule.algorithms) for lag in (0.0, LAG)]
                if not any(0 <= moment - revoked <= LAG for revoked in self.revocations):
                    assert len({key.kid for key in keys if key}) == 1, "processes do not agree"
                for key in keys:
                    assert key is not None
                    yield moment, key

    def shows(self, key: StoredKey, fetched: float) -> bool:
        """Whether everybody who fetched the key set then got this key, whichever process served it."""
        return all(
            key.kid in {shown.kid for shown in published(self.at(max(fetched - lag, START)), max(fetched, START))}
            for lag in (0.0, LAG)
        )

    def revoked(self, key: StoredKey) -> bool:
        return any(other.kid == key.kid and other.state is KeyState.REVOKED for other in self.keys)

    def _change(self, act: Act) -> KeyChange:
        if act == "look":
            return decide(self.keys, self.now, self.schedule, self.mint)
        if act in {"rotate", "rotate unannounced"}:
            hurry = act == "rotate unannounced"
            return rotate_now(self.keys, self.now, self.schedule, self.mint, unannounced=hurry)
        self.revocations.append(self.now)
        key = signer(self.keys, self.now, ()) if act == "revoke signer" else self.keys[-1]
        assert key is not None
        return revoke(self.keys, key.kid, self.now, self.schedule, self.mint, digest)


def able(keys: list[StoredKey], now: float) -> list[str]:
    """The keys whose time it is, read from the table anew."""
    signing = {KeyState.ACTIVE, KeyState.RETIRING}
    times = [(key, key.sign_from or 0.0, key.sign_until) for key in keys if key.state in signing]
    return [key.kid for key, begin, end in times if begin <= now and (end is None or now < end)]


@given(st.sampled_from(SCHEDULES), STEPS)
@examples(30)
def test_every_token_verifies_whoever_signed_it_and_however_old_the_key_set_is(
    schedule: KeySchedule, steps: list[tuple[float, Act]]
) -> None:
    world = World(schedule)
    for pause, act in steps:
        world.now += pause
        world.act(act)
    oldest = schedule.max_age + schedule.client_cache
    for moment, key in world.signatures():
        if world.revoked(key):
            continue
        if key.kid not in world.hurried and moment - oldest >= START:
            assert world.shows(key, moment - oldest), "it signs before everybody has it"
        last = moment + schedule.longest_token + schedule.skew - 1
        for age in (0.0, schedule.max_age, oldest):
            if last - age >= moment + LAG:
                assert world.shows(key, last - age), "it is gone before its last token"


@given(st.sampled_from(SCHEDULES), STEPS)
@examples(30)
def test_at_each_instant_exactly_one_key_signs(schedule: KeySchedule, steps: list[tuple[float, Act]]) -> None:
    world = World(schedule)
    for pause, act in steps:
        world.now += pause
        world.act(act)
    for begin, end in pairwise([*world.times, world.now + 200 * DAY]):
        keys = world.at(begin)
        edges = {edge for key in keys for edge in (key.sign_from, key.sign_until) if edge is not None}
        for moment in {begin, *edges, end - 0.001}:
            if begin <= moment < end:
                key = signer(keys, moment, schedule.algorithms)
                assert key is not None
                assert able(keys, moment) == [key.kid]


@given(
    st.sampled_from(SCHEDULES),
    st.lists(st.tuples(st.floats(-400 * DAY, 400 * DAY), ACTS), min_size=1, max_size=15),
    st.floats(-500 * DAY, 500 * DAY),
)
@examples(30)
def test_whatever_the_clock_does_one_key_signs_and_it_is_published(
    schedule: KeySchedule, steps: list[tuple[float, Act]], asked: float
) -> None:
    world = World(schedule)
    for jump, act in steps:
        world.now = max(world.now + jump, START / 2)
        world.act(act)
        for now in (world.now, world.now + asked):
            key = signer(world.keys, now, schedule.algorithms)
            assert key is not None
            assert key in published(world.keys, now)
            assert len(able(world.keys, now)) <= 1
