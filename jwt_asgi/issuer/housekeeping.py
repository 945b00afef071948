"""What is done again and again while the service runs: keys, revocations, confirmations, garbage.

Each is a loop of its own; one that fails says so once, and goes on when the store can be asked again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from weakref import WeakKeyDictionary

from jwt_asgi._core.policy import seconds
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.confirmations import Confirmations
from jwt_asgi.issuer.errors import StoreUnavailable
from jwt_asgi.issuer.feed import RevocationLog
from jwt_asgi.issuer.signing_keys import READ_EVERY, SigningKeys
from jwt_asgi.issuer.types import Store

__all__ = ["Housekeeping", "collect_all"]

PULL_EVERY: Final = 0.5
CONFIRM_EVERY: Final = 1.0
PAUSE: Final = 0.05
"""Between two batches of garbage: others write meanwhile."""

_TOLD: Final = (StoreUnavailable, ConfigurationError)
"""Exceptions of which it is known that they hold no secret."""

logger = logging.getLogger("jwt_asgi")


class Housekeeping:
    """Runs the loops of one service in one event loop."""

    def __init__(
        self,
        *,
        store: Store,
        keys: SigningKeys,
        revocations: RevocationLog,
        confirmations: Confirmations,
        collect_every: float | None,
        more: Sequence[Callable[[], Awaitable[None]]] = (),
    ) -> None:
        """Run nothing yet; `more` are loops of others, which end when they are cancelled."""
        self._store, self._keys, self._confirmations = store, keys, confirmations
        self._revocations = revocations
        self._collect_every = None if collect_every is None else seconds("collect_every", collect_every, least=1.0)
        self._more = more
        self._key_entries = 0
        self._tasks: WeakKeyDictionary[asyncio.AbstractEventLoop, list[asyncio.Task[None]]] = WeakKeyDictionary()

    @property
    def is_running(self) -> bool:
        """Whether it was started in this event loop, and neither was closed."""
        return not all(task.done() for task in self._tasks.get(asyncio.get_running_loop(), ()))

    def start(self) -> None:
        """Begin, unless that was done."""
        if self.is_running:
            return
        loops = [
            self._loop("signing keys", READ_EVERY, self._keys.look),
            self._loop("revocations", PULL_EVERY, self._pull),
            self._loop("confirmations", CONFIRM_EVERY, self._confirmations.flush),
            *[work() for work in self._more],
        ]
        if self._collect_every is not None:
            loops.append(self._loop("garbage", self._collect_every, self._collect))
        self._tasks[asyncio.get_running_loop()] = [asyncio.ensure_future(loop) for loop in loops]

    async def aclose(self) -> None:
        """End all loops of this event loop, and write down what is waiting."""
        tasks = self._tasks.pop(asyncio.get_running_loop(), [])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(Exception):
            await self._confirmations.flush()

    async def _pull(self) -> None:
        await self._revocations.pull()
        # Whoever publishes the log reads it, too
        entries = self._revocations.key_entries
        if entries != self._key_entries:
            # A key that another process has revoked must not sign here for half a minute more
            await self._keys.look()
            self._key_entries = entries

    async def _collect(self) -> None:
        await collect_all(self._store)

    async def _loop(self, name: str, every: float, work: Callable[[], Awaitable[object]]) -> None:
        failing = False
        while True:
            # Processes that were started together must not ask together
            await asyncio.sleep(every * random.uniform(0.8, 1.0))  # noqa: S311 - no secret
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the loop
                if not failing:
                    told = error if isinstance(error, _TOLD) else type(error).__name__
                    logger.warning("%s: %s; it is tried again", name, told)
                failing = True
            else:
                if failing:
                    logger.info("%s: all is well again", name)
                failing = False


async def collect_all(store: Store, *, batch: int = 500, pause: float = PAUSE) -> int:
    """Forget everything that nobody needs, in small batches with pauses; return how many rows that were."""
    forgotten = 0
    while count := await store.collect(batch=batch):
        forgotten += count
        await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
    return forgotten
