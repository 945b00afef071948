"""What every story ends with."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.issuer.store.conftest import folder, postgresql, sqlite_template, url

__all__ = ["folder", "postgresql", "sqlite_template", "url"]


@pytest.fixture(autouse=True)
def nothing_is_left_behind(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No task was destroyed, and no exception was never retrieved: the event loops have nothing to say."""
    yield
    gc.collect(1)  # what the story made; a collection of everything would take longer than most stories
    said = [record.getMessage() for record in caplog.get_records("call") + caplog.records if record.name in _WATCHED]
    assert said == []


_WATCHED = {"asyncio", "concurrent.futures"}
