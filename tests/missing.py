"""What tests do where something is not installed: skip, with the command that installs it, or fail in CI."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

import pytest

__all__ = ["installed", "not_here"]


def not_here(reason: str) -> None:
    """Skip, with a reason that says what to do; with JWT_ASGI_REQUIRE_INTEROP=1, fail."""
    if os.environ.get("JWT_ASGI_REQUIRE_INTEROP") == "1":
        pytest.fail(f"JWT_ASGI_REQUIRE_INTEROP is 1, and {reason}")
    pytest.skip(reason)


def installed(module: str, package: str) -> ModuleType:
    """Import what a package has, which is not among those that every test needs."""
    try:
        return importlib.import_module(module)
    except ImportError:
        not_here(f"{package} is not installed: run `pip install {package}`")
        raise
