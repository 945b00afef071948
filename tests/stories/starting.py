"""An application that a server process starts, in the mode and with the patience that the environment says."""

from __future__ import annotations

import os
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from jwt_asgi import JWTMiddleware, KeyCaching, TrustedIssuer, Verifier, verifier
from jwt_asgi.health import HealthApp
from jwt_asgi.types import ASGIApp


async def who(request: Request) -> Response:
    """Say who asks."""
    return PlainTextResponse(request.user.display_name)


def create_app() -> ASGIApp:
    """Make it."""
    verifier.START_SECONDS = float(os.environ["TEST_SECONDS"])
    startup: Any = os.environ["TEST_STARTUP"]
    trusted = TrustedIssuer(
        issuer=os.environ["TEST_ISSUER"],
        audience="https://api.test",
        algorithms=["ES256"],
        key_caching=KeyCaching(timeout=0.3),
    )
    keys = Verifier(trusted)
    app = Starlette(routes=[Mount("/health", HealthApp(keys)), Route("/", who)])
    return JWTMiddleware(app, verifier=keys, startup=startup, exempt=["/health/live", "/health/ready"])
