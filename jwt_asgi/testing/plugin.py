"""Fixtures for pytest: an issuer that stands in for that of the application under test, and a client.

The application is what a fixture `app` of the user's own returns, or what the ini option `jwt_asgi_app` names, as
`package.module:app`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pytest

from jwt_asgi.apps import doors
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.testing import SigningKeys, TestIssuer

if TYPE_CHECKING:
    from jwt_asgi.testing.sync_client import Client

__all__ = ["jwt_client", "jwt_issuer", "pytest_addoption"]

_WHAT_TO_DO = """jwt_asgi: which application is under test? Write in conftest.py

    @pytest.fixture
    def app():
        from package.module import app
        return app

or in pyproject.toml

    [tool.pytest.ini_options]
    jwt_asgi_app = "package.module:app"
"""
_KEYS = pytest.StashKey[SigningKeys]()
_FOUND = pytest.StashKey[tuple[object, object]]()
"""The last application, and its verifiers: a walk through one of 500 routes takes a tenth of a second."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini options."""
    parser.addini("jwt_asgi_app", 'The ASGI app under test, as "package.module:app"; a fixture `app` goes before it.')
    parser.addini("jwt_asgi_issuer", "Which issuer `jwt_issuer` stands in for, where the app trusts several.")


@pytest.fixture
def jwt_issuer(request: pytest.FixtureRequest) -> Iterator[TestIssuer]:
    """A `TestIssuer` that stands in for the issuer of the application under test, for the time of the test.

    Its first keys, and those of each rotation, are made once in the session.
    """
    keys = request.config.stash.setdefault(_KEYS, SigningKeys())
    trusting = _verifiers_of(_app_under_test(request), request.config.stash)
    issuer = request.config.getini("jwt_asgi_issuer") or None
    with TestIssuer.of(trusting, issuer=issuer, keys=keys).standing_in() as stood_in:
        yield stood_in


@pytest.fixture
def jwt_client(request: pytest.FixtureRequest, jwt_issuer: TestIssuer) -> Iterator[Client]:
    """Starlette's `TestClient` for the application under test, which is running; `as_user` gives it a token."""
    with jwt_issuer.client(_app_under_test(request)) as client:
        yield client


def _verifiers_of(app: object, stash: pytest.Stash) -> object:
    last, found = stash.get(_FOUND, (None, None))
    if last is not app or app is None:
        found = [door.verifier for door in doors(app)] or app
        stash[_FOUND] = app, found
    return found


def _app_under_test(request: pytest.FixtureRequest) -> Any:  # noqa: ANN401 - any ASGI app
    try:
        return request.getfixturevalue("app")
    except pytest.FixtureLookupError as error:
        if error.argname != "app":
            raise
    named: str = request.config.getini("jwt_asgi_app")
    if not named:
        pytest.fail(_WHAT_TO_DO, pytrace=False)
    module, _, attribute = named.partition(":")
    if not module or not attribute:
        raise ConfigurationError("jwt_asgi_app", f'expected "package.module:app"; got {named!r}')
    return attrgetter(attribute)(importlib.import_module(module))
