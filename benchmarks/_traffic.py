"""Clients that refresh: in a closed loop, where each waits for its answer, and in an open one, where none does."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks._kit import Figure, hoped, percentile, told
from jwt_asgi.issuer.errors import StoreUnavailable
from jwt_asgi.issuer.rotation import RotationPolicy, Step
from jwt_asgi.issuer.types import Store

__all__ = ["CLIENT", "Families", "Found", "closed", "open_loop"]

CLIENT = "spa"
POLICY = RotationPolicy()
WAITING = 2.0
"""Who comes when as many wait as come in so many seconds is turned away, and counted."""


class Families:
    """Families of refresh tokens, each with its newest generation; who takes one is alone with it."""

    def __init__(self, ids: list[bytes]) -> None:
        self.newest = dict.fromkeys(ids, 0)
        self._free = [*ids]

    def add(self, ids: list[bytes]) -> None:
        self.newest.update(dict.fromkeys(ids, 0))
        self._free += ids

    def take(self) -> bytes:
        """Return any that nobody has."""
        place = random.randrange(len(self._free))
        self._free[place], self._free[-1] = self._free[-1], self._free[place]
        return self._free.pop()

    def give_back(self, family: bytes, *, rotated: bool = True) -> None:
        self.newest[family] += rotated
        self._free.append(family)

    def __len__(self) -> int:
        return len(self.newest)


@dataclass(slots=True)
class Found:
    """What was seen: how long each rotation took, in seconds."""

    took: list[float] = field(default_factory=list)
    seconds: float = 0.0
    failed: int = 0
    turned_away: int = 0

    @property
    def rate(self) -> float:
        return len(self.took) / self.seconds

    def ms(self, share: float) -> float:
        """Milliseconds that so large a share of the rotations took at most."""
        return percentile(self.took, share) * 1e3 if self.took else float("inf")

    def add(self, more: Found) -> None:
        self.took += more.took
        self.seconds += more.seconds
        self.failed += more.failed
        self.turned_away += more.turned_away

    def figures(self, what: str, p99: float | None = None) -> list[Figure]:
        """p50 and p99, which may be hoped to be small; and what went wrong, if anything did."""
        worst = told if p99 is None else lambda *of: hoped(*of[:2], at_most=p99, unit=of[2])
        figures = [told(f"{what}: p50", self.ms(0.5), "ms"), worst(f"{what}: p99", self.ms(0.99), "ms")]
        if self.failed or self.turned_away:
            lost = f"{self.failed:,} failed, {self.turned_away:,} were turned away"
            figures.append(Figure(f"{what}: without an answer", lost, "none", met=False))
        return figures


async def closed(store: Store, families: Families, clients: int, seconds: float) -> Found:
    """So many clients refresh one after another, each as soon as it is answered."""
    found = Found()
    began = time.perf_counter()

    async def client() -> None:
        once = True
        while once or time.perf_counter() < began + seconds:
            once = False
            await _once(store, families, found, time.perf_counter())

    await asyncio.gather(*(client() for _ in range(min(clients, len(families)))))
    found.seconds = time.perf_counter() - began
    return found


async def open_loop(
    store: Store, families: Families, rate: float, seconds: float, until: Callable[[], bool] = lambda: False
) -> Found:
    """Clients come at random, so many each second, whether or not those before them were answered.

    What a rotation takes is counted from when its client was to come, so that whatever delays it is in it.
    """
    found, at_once = Found(), int(min(rate * WAITING, len(families) - 1)) + 1
    running: set[asyncio.Task[None]] = set()
    began = due = time.perf_counter()
    while due < began + seconds and not until():
        due += random.expovariate(rate)
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        elif len(running) % 32 == 31:
            await asyncio.sleep(0)
        if len(running) >= at_once:
            found.turned_away += 1
            continue
        task = asyncio.create_task(_once(store, families, found, due))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    found.seconds = time.perf_counter() - began
    return found


async def _once(store: Store, families: Families, found: Found, since: float) -> None:
    family = families.take()
    try:
        step, _, _ = await store.present(
            family, families.newest[family], client_id=CLIENT, proof=None, policy=POLICY, key_version=1
        )
    except StoreUnavailable:
        # Whether it was done is not known; nobody takes this family again
        found.failed += 1
        return
    found.took.append(time.perf_counter() - since)
    if step is not Step.ROTATE:
        raise RuntimeError(f"expected a rotation; got {step}")
    families.give_back(family)
