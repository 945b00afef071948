"""Seconds that never go back, for the age of keys."""

from __future__ import annotations

import time

__all__ = ["SteadyClock"]

SLEPT_SECONDS = 1.0


class SteadyClock:
    """Seconds that never go back, and go on while the machine sleeps.

    Where the system has such a clock (`CLOCK_BOOTTIME`), it is that. Elsewhere the monotonic clock stops in suspend: a
    step of the wall clock that is a second larger tells of it; one that is smaller is noise, and one back is somebody's
    setting the clock.
    """

    __slots__ = ("_awake", "_began", "_last")

    def __init__(self) -> None:
        """Start at zero."""
        # Read and replaced whole, so that threads need no lock: whichever was written last is right in itself
        self._last = 0.0, time.monotonic(), time.time()
        self._awake: int | None = getattr(time, "CLOCK_BOOTTIME", None)
        self._began = 0.0 if self._awake is None else time.clock_gettime(self._awake)

    def __call__(self) -> float:
        """Return the seconds since the start."""
        if self._awake is not None:
            return time.clock_gettime(self._awake) - self._began
        (then, old_monotonic, old_wall), monotonic, wall = self._last, time.monotonic(), time.time()
        step, wall_step = monotonic - old_monotonic, wall - old_wall
        now = then + (wall_step if wall_step > step + SLEPT_SECONDS else step)
        self._last = now, monotonic, wall
        return now
