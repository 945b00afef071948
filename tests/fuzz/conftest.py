"""The four harnesses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz import door, issuer, key_set


@pytest.fixture
def at_the_door() -> Iterator[door.World]:
    world = door.World()
    yield world
    world.close()


@pytest.fixture
def at_the_keys() -> Iterator[key_set.World]:
    world = key_set.World()
    yield world
    world.close()


@pytest.fixture
def at_the_metadata() -> Iterator[issuer.Metadata]:
    world = issuer.Metadata()
    yield world
    world.close()


@pytest.fixture
def at_the_headers() -> Iterator[issuer.Headers]:
    world = issuer.Headers()
    yield world
    world.close()
