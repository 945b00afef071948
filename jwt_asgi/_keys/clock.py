"""Seconds that never go back, for the age of keys."""

from __future__ import annotations

import time
from functools import partial

from jwt_asgi.types import Clock

__all__ = ["steady_clock"]

SLEPT_SECONDS = 1.0


def steady_clock() -> Clock:
    """Return a clock whose seconds never go back, and go on while the machine sleeps. It starts anywhere."""
    awake: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    # Without a Python frame where the system counts sleep itself: it is asked for every token
    return _WakefulClock() if awake is None else partial(time.clock_gettime, awake)


class _WakefulClock:
    """The monotonic clock, which stops in suspend on some systems, and the wall clock, which tells of it.

    A step of the wall clock that is a second larger tells of a sleep; one that is smaller is noise, and one back is
    somebody's setting the clock.
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        """Start at zero."""
        # Read and replaced whole, so that threads need no lock: whichever was written last is right in itself
        self._last = 0.0, time.monotonic(), time.time()

    def __call__(self) -> float:
        """Return the seconds since the start."""
        (then, old_monotonic, old_wall), monotonic, wall = self._last, time.monotonic(), time.time()
        step, wall_step = monotonic - old_monotonic, wall - old_wall
        now = then + (wall_step if wall_step > step + SLEPT_SECONDS else step)
        self._last = now, monotonic, wall
        return now
