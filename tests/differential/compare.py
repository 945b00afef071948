"""Judge samples by all three, and count what comes of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.differential import mutate_bytes, mutate_members, mutate_token
from tests.differential.classes import BOTH, CLASSES, Party, class_of
from tests.differential.draft import Sample, sample
from tests.differential.look import Look
from tests.differential.mutation_table import table
from tests.differential.verdicts import FaultError, Joserfc, Ours, PyJWT, Verdict, stopped_clock

__all__ = ["Judges", "Tally", "compare", "judge", "judges"]

MUTATIONS = table(mutate_bytes, mutate_members, mutate_token)

MOST_FAULTS = 50
Judge = Callable[[Any], Verdict]


@dataclass
class Judges:
    """The three, for one kind of key."""

    ours: Judge
    others: dict[Party, Judge]


def judges() -> dict[bool, Judges]:
    """For published keys (False) and for a shared secret (True)."""
    return {
        secret: Judges(Ours(secret=secret), {"joserfc": Joserfc(secret=secret), "PyJWT": PyJWT(secret=secret)})
        for secret in (False, True)
    }


@dataclass
class Tally:
    """What was counted. `classes` is by name and party, `faults` holds the first of them."""

    judged: int = 0
    accepted: int = 0
    refused: int = 0
    differed: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    mutations: Counter[str] = field(default_factory=Counter)
    faults: list[dict[str, Any]] = field(default_factory=list)
    fault_count: int = 0

    def add(self, other: Tally) -> None:
        """Take in what was counted elsewhere."""
        self.judged += other.judged
        self.accepted += other.accepted
        self.refused += other.refused
        self.differed += other.differed
        self.classes += other.classes
        self.mutations += other.mutations
        self.faults = (self.faults + other.faults)[:MOST_FAULTS]
        self.fault_count += other.fault_count

    def as_dict(self) -> dict[str, Any]:
        """For a file."""
        return {**vars(self), "classes": dict(self.classes), "mutations": dict(self.mutations)}

    @classmethod
    def from_dict(cls, members: dict[str, Any]) -> Tally:
        """The reverse."""
        counters = {name: Counter(members[name]) for name in ("classes", "mutations")}
        return cls(**{**members, **counters})

    def never(self) -> list[str]:
        """The classes and mutations that never occurred."""
        listed = [f"{known.name} ({party})" for known in CLASSES for party in known.parties]
        missing = [f"class: {name}" for name in listed if not self.classes[name]]
        return missing + [f"mutation: {known.name}" for known in MUTATIONS if not self.mutations[known.name]]


def compare(seed: int, start: int, count: int, by: dict[bool, Judges] | None = None) -> Tally:
    """Judge the samples that these numbers name."""
    tally = Tally()
    with stopped_clock():
        by = by or judges()
        for number in range(start, start + count):
            one = sample(seed, number, MUTATIONS)
            judge(one, number, by[one.secret], tally)
    return tally


def judge(one: Sample, number: int, by: Judges, tally: Tally) -> None:
    """Judge one sample; `number` decides what else is tried with it."""
    tally.mutations.update(one.mutations)
    for fault in _judge(one, number, by, tally):
        tally.fault_count += 1
        if len(tally.faults) < MOST_FAULTS:
            told = {"number": number, "mutations": list(one.mutations), "token": one.token.decode("latin-1")}
            tally.faults.append({"fault": fault, **told})


def _judge(one: Sample, number: int, by: Judges, tally: Tally) -> Iterator[str]:
    tally.judged += 1
    try:
        if one.good and number % 2:
            # Whatever is remembered of a good token must not help its spoilt like
            by.ours(one.good)
        ours = by.ours(one.token)
        if number % 8 == 0 and by.ours(_other_type(one.token)).accepted is not ours.accepted:
            yield "a second look gave another verdict"
    except FaultError as error:
        yield f"our verifier failed: {error}"
        return
    tally.accepted += ours.accepted
    tally.refused += not ours.accepted
    if one.must != "open" and ours.accepted is not (one.must == "accept"):
        yield f"must {one.must}, and we did not ({ours.why})"
    differed = False
    for party in BOTH:
        other = by.others[party](one.token)
        if other.accepted is ours.accepted:
            if ours.accepted and json.dumps(ours.claims) != json.dumps(other.claims):
                yield f"{party} reads other claims"
            continue
        differed = True
        known = class_of(Look(one.token), party, other.why or ours.why, accepted=ours.accepted)
        if known is None:
            yield f"{party} {'accepts' if other.accepted else f'refuses ({other.why})'}; we do not ({ours.why})"
        else:
            tally.classes[f"{known.name} ({party})"] += 1
    tally.differed += differed


def _other_type(token: bytes) -> str | bytes:
    return token.decode("ascii") if token.isascii() else token
