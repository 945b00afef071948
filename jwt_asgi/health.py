"""Live and ready, for the probes of whatever runs the service."""

from __future__ import annotations

import json
from typing import Any

from jwt_asgi._core.policy import flag
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.types import ASGIScope, Receive, Send
from jwt_asgi.verifier import Verifier

__all__ = ["HealthApp"]

_ENDPOINTS = ("live", "ready")


class HealthApp:
    """An ASGI application with two endpoints, told apart by the last segment of the path: `.../live` and `.../ready`.

    `live` is 200 whenever it is asked, whatever the issuers do: restarting a service does not mend an issuer. `ready`
    is 200 once every required issuer has keys that can be used, stale ones too, and 503 until then. Asking for `ready`
    also has their missing or old keys fetched, without a wait: a service that gets no requests until it is ready
    becomes ready.

    Mount it beside the protected routes, and exempt its paths: `app.mount("/health", HealthApp(verifier))` and
    `exempt=["/health/live", "/health/ready"]`.

    Args:
        verifier: Whose keys these are.
        details: Show `verifier.status()` in the answer of `ready`: issuers, kids, ages, errors; and the status of each
            feed of revocations, with its age in seconds. They are no secrets, but tell a stranger how the service is
            set up.

    Raises:
        ConfigurationError: an option is wrong.
    """

    def __init__(self, verifier: Verifier, *, details: bool = False) -> None:
        """Check the options."""
        if not isinstance(verifier, Verifier):
            raise ConfigurationError("verifier", f"expected a Verifier; got {type(verifier).__name__}")
        self._verifier = verifier
        self._details = flag("details", details)

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Answer."""
        if scope["type"] == "lifespan":
            raise ConfigurationError("scope type", "HealthApp has no lifespan")
        endpoint = scope["path"].rpartition("/")[2]
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
        elif endpoint not in _ENDPOINTS:
            await _answer(scope, send, 404, {"error": f"expected .../{' or .../'.join(_ENDPOINTS)}"})
        elif scope["method"] not in {"GET", "HEAD"}:
            await _answer(scope, send, 405, {"error": "expected GET or HEAD"})
        elif endpoint == "live":
            await _answer(scope, send, 200, {"live": True})
        else:
            await self._ready(scope, send)

    async def _ready(self, scope: ASGIScope, send: Send) -> None:
        ready = self._verifier.ready()
        members: dict[str, Any] = {"ready": ready}
        if self._details:
            members["issuers"] = [status.as_dict() for status in self._verifier.status().values()]
            if feeds := self._verifier.revocation:
                members["revocation"] = [feed.status().as_dict() for feed in feeds]
        await _answer(scope, send, 200 if ready else 503, members)


async def _answer(scope: ASGIScope, send: Send, status: int, members: dict[str, Any]) -> None:
    body = json.dumps(members).encode("utf-8")
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode("ascii")),
        (b"cache-control", b"no-store"),
        *([(b"allow", b"GET, HEAD")] if status == 405 else []),  # noqa: PLR2004 - HTTP
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
