"""Fixtures for every test."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run asynchronous tests on asyncio, or on uvloop where `JWT_ASGI_EVENT_LOOP=uvloop`."""
    return "asyncio", {"use_uvloop": os.environ.get("JWT_ASGI_EVENT_LOOP") == "uvloop"}


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Frameworks configure the root logger when an application is made."""
    root, handlers, level = logging.getLogger(), [*logging.getLogger().handlers], logging.getLogger().level
    yield
    root.setLevel(level)
    for handler in [*root.handlers]:
        if handler not in handlers and "_pytest" not in type(handler).__module__:
            root.removeHandler(handler)
