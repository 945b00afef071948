"""Counters of rate limits: in the memory of one process, which has a bound, and in Valkey or Redis.

Those in memory count as the storages of the package `limits` do: a sliding window is the window that runs, and as much
of the one before it as still overlaps. Each rule has a table of its own, so that a flood at one endpoint fills no
other's. Where a table is full of counters that still count, newcomers share a fixed number of counters: some wait for
others then, but nobody is let in uncounted, and what counted before counts on.
"""

from __future__ import annotations

import asyncio
import importlib
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import floor
from typing import Any, Final, Literal, Protocol
from zlib import crc32

from limits.aio.storage import RedisStorage

from jwt_asgi.errors import ConfigurationError

__all__ = ["Counters", "MemoryCounters", "ServerCounters"]

SHARED: Final = 1024
"""How many counters newcomers share where a table is full."""
AT_ONCE: Final = 64
"""How many connections to a server one event loop has at most."""
_SCHEMES: Final = {"valkey": "redis", "valkeys": "rediss", "redis": "redis", "rediss": "rediss", "unix": "unix"}


class Counters(Protocol):
    """What is asked of a storage of the package `limits`."""

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count a hit if there is room for it, and say whether there was."""
        ...

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return the hits of the window before, for how long they count still, and the same of the one that runs."""
        ...

    async def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forget the hits of a key."""
        ...


@dataclass(slots=True)
class _Counter:
    """Hits in the window with this number, and in the one before it."""

    window: int
    now: int = 0
    before: int = 0

    def move_to(self, window: int) -> None:
        if window != self.window:
            self.before = self.now if window == self.window + 1 else 0
            self.now, self.window = 0, window


@dataclass(slots=True)
class _Table:
    """The counters of one rule: those that were asked for last come last."""

    own: OrderedDict[str, _Counter] = field(default_factory=OrderedDict)
    shared: dict[int, _Counter] = field(default_factory=dict)


class MemoryCounters:
    """Counts hits by key; the part of a key before the first `/` is its rule.

    Event loops in several threads may use it at once. What a method does, it does without a wait.

    Args:
        capacity: How many keys of one rule have a counter of their own at most.
        clock: Seconds from anywhere, which do not go back.
    """

    def __init__(self, *, capacity: int = 50_000, clock: Callable[[], float] = time.monotonic) -> None:
        """Count nothing yet."""
        self._capacity = capacity
        self._clock = clock
        self._tables: dict[tuple[str, int], _Table] = {}
        self._lock = threading.Lock()

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count a hit if there is room for it, and say whether there was."""
        with self._lock:
            now = self._clock()
            counter = self._counter(key, expiry, int(now // expiry))
            left = 1 - now / expiry % 1
            if floor(counter.before * left + counter.now) + amount > limit:
                return False
            counter.now += amount
            return True

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Return the hits of the window before, for how long they count still, and the same of the one that runs."""
        with self._lock:
            now = self._clock()
            counter = self._counter(key, expiry, int(now // expiry))
            left = (1 - now / expiry % 1) * expiry
            return counter.before, left, counter.now, left + expiry

    async def clear_sliding_window(self, key: str, expiry: int) -> None:
        """Forget the hits of a key; a counter that it shares with others stays."""
        with self._lock:
            self._table(key, expiry).own.pop(key, None)

    def __len__(self) -> int:
        """Return how many counters there are."""
        with self._lock:
            return sum(len(table.own) + len(table.shared) for table in self._tables.values())

    def _table(self, key: str, expiry: int) -> _Table:
        return self._tables.setdefault((key.partition("/")[0], expiry), _Table())

    def _counter(self, key: str, expiry: int, window: int) -> _Counter:
        table = self._table(key, expiry)
        counter = table.own.get(key)
        if counter is None:
            counter = self._made(table, key, window)
        else:
            table.own.move_to_end(key)
        counter.move_to(window)
        return counter

    def _made(self, table: _Table, key: str, window: int) -> _Counter:
        own = table.own
        while own and next(iter(own.values())).window + 1 < window:
            own.popitem(last=False)
        if len(own) < self._capacity:
            return own.setdefault(key, _Counter(window))
        return table.shared.setdefault(crc32(key.encode()) % SHARED, _Counter(window))


class ServerCounters:
    """Counters in Valkey or Redis: connections for each event loop that uses them.

    Args:
        url: Of the server.
        prefix: What keys begin with.
        timeout: How many seconds it may take.

    Raises:
        ConfigurationError: the URL is none, or neither package is installed.
    """

    def __init__(self, url: str, prefix: str, timeout: float) -> None:
        """Connect to nothing yet."""
        scheme, _, rest = url.partition("://") if isinstance(url, str) else ("", "", "")
        if scheme not in _SCHEMES or not rest:
            raise ConfigurationError("rate limits storage", 'expected "memory", or a URL as valkey://host:6379/0')
        self._url = f"{_SCHEMES[scheme]}://{rest}"
        self._name, self._package = _package()
        self._prefix, self._timeout = prefix, timeout
        self._loops: dict[asyncio.AbstractEventLoop, _Connected] = {}
        self._pool()  # what is wrong with the URL is told at the start
        self.failures = (getattr(self._package, f"{self._name.capitalize()}Error"), OSError, TimeoutError)

    @asynccontextmanager
    async def counters(self) -> AsyncIterator[Counters]:
        """Return what counts, for a moment; in it, whatever of `failures` is raised is the server's."""
        connected = self._connected()
        async with asyncio.timeout(self._timeout), connected.turns:
            yield connected.storage

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        connected = self._loops.pop(asyncio.get_running_loop(), None)
        if connected is not None:
            await connected.pool.disconnect()

    def _connected(self) -> _Connected:
        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            for ended in [other for other in [*self._loops] if other.is_closed()]:
                self._loops.pop(ended, None)
            self._loops[loop] = _Connected(self._pool(), self._prefix, self._name)
        return self._loops[loop]

    def _pool(self) -> Any:  # noqa: ANN401 - of one of two packages
        options = {"socket_timeout": self._timeout, "socket_connect_timeout": self._timeout}
        try:
            return self._package.asyncio.ConnectionPool.from_url(self._url, **options)
        except ValueError as error:
            raise ConfigurationError("rate limits storage", "expected a URL as valkey://host:6379/0") from error


class _Connected:
    """What one event loop has."""

    def __init__(self, pool: Any, prefix: str, package: str) -> None:  # noqa: ANN401 - of one of two packages
        self.pool = pool
        self.turns = asyncio.Semaphore(AT_ONCE)
        implementation: Literal["valkey", "redispy"] = "valkey" if package == "valkey" else "redispy"
        self.storage = RedisStorage(
            "async+redis://", implementation=implementation, key_prefix=prefix, connection_pool=pool
        )


def _package() -> tuple[str, Any]:
    for name in ("valkey", "redis"):
        try:
            importlib.import_module(f"{name}.asyncio")
        except ImportError:
            continue
        return name, importlib.import_module(name)
    raise ConfigurationError("rate limits storage", 'it needs the package valkey: pip install "jwt-asgi[redis]"')
