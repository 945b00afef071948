"""How much Python and C functions are called: a cost that grows with its input shows, on any machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from jwt_asgi.errors import JWTASGIError


def calls_of(function: Callable[..., object], *arguments: object) -> int:
    """Return how many calls come of this one; a refusal counts as an end."""
    count = 0

    def profile(_: FrameType, event: str, __: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        with suppress(JWTASGIError, ValueError):
            function(*arguments)
    finally:
        sys.setprofile(before)
    return count
