"""The identity provider that the interop tests run against, once for each algorithm."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop import node
from tests.interop.identity_provider import ALGORITHMS, IdentityProvider, running
from tests.missing import not_here


@pytest.fixture(scope="session")
def provider_is_installed() -> None:
    """Skip the tests that need oidc-provider where there is none, or fail them."""
    reason = node.missing("oidc-provider")
    if reason is not None:
        not_here(reason)


@pytest.fixture(scope="module", params=ALGORITHMS)
def provider(request: pytest.FixtureRequest, provider_is_installed: None) -> Iterator[IdentityProvider]:
    """A running oidc-provider; each test brings its own middleware, so its keys may have been rotated before."""
    with running(request.param) as identity_provider:
        yield identity_provider
