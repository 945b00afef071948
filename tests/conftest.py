"""Fixtures for every test."""

from __future__ import annotations

import os
from typing import Any

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run asynchronous tests on asyncio, or on uvloop where `JWT_ASGI_EVENT_LOOP=uvloop`."""
    return "asyncio", {"use_uvloop": os.environ.get("JWT_ASGI_EVENT_LOOP") == "uvloop"}
