"""Starlette's TestClient, with a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jwt_asgi.errors import ConfigurationError
from jwt_asgi.testing.clients import Application, Identities
from jwt_asgi.types import ASGIApp

try:
    from starlette.testclient import TestClient
except (ImportError, RuntimeError):
    detail = "Starlette's TestClient needs an HTTP client that is not installed: pip install httpx2"
    raise ConfigurationError("client", detail) from None

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

    from jwt_asgi.testing.issuer import TestIssuer

__all__ = ["Client"]


class Client(Identities, TestClient):
    """A `TestClient` whose copies carry other tokens; `with` runs the application's lifespan for all of them."""

    def __init__(self, issuer: TestIssuer, app: ASGIApp, **options: Any) -> None:  # noqa: ANN401 - those of TestClient
        """Take the application."""
        self.issuer = issuer
        # Copies of this client have the same dictionary
        self._running: dict[str, BlockingPortal | None] = {}
        super().__init__(Application(app), **options)

    @property
    def portal(self) -> BlockingPortal | None:
        """The event loop of the lifespan, while it runs."""
        return self._running.get("portal")

    @portal.setter
    def portal(self, portal: BlockingPortal | None) -> None:
        self._running["portal"] = portal
