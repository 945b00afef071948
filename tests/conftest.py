"""Fixtures for every test."""

from __future__ import annotations

import logging
import os
from typing import Any

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run asynchronous tests on asyncio, or on uvloop where `JWT_ASGI_EVENT_LOOP=uvloop`."""
    return "asyncio", {"use_uvloop": os.environ.get("JWT_ASGI_EVENT_LOOP") == "uvloop"}


_ROOT = logging.getLogger()
_LEVEL = _ROOT.level


@pytest.fixture(autouse=True)
def logging_as_it_was() -> None:
    """Frameworks configure the root logger as soon as an application is made, or imported."""
    _ROOT.setLevel(_LEVEL)
    for handler in [*_ROOT.handlers]:
        if "_pytest" not in type(handler).__module__:
            _ROOT.removeHandler(handler)
