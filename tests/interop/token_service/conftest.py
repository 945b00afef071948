"""Our token services, which all tests here talk to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.token_service.services import TokenServer, token_services


@pytest.fixture(scope="session")
def token_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenServer]:
    """The services, in a process of their own; each test begins sessions of its own."""
    with token_services(tmp_path_factory.mktemp("token-service")) as server:
        yield server
