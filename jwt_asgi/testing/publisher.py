"""What an issuer publishes, its metadata and its key set: in process, or over HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from jwt_asgi._keys.discovery import metadata_urls
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.testing.signing import json_bytes
from jwt_asgi.types import ASGIScope, FetchResponse, Receive, Send

__all__ = ["Publisher"]


class Publisher:
    """Answers for an issuer's URLs: over `fetch`, without a socket, or as an ASGI application."""

    def __init__(self, issuer: str) -> None:
        """Take the issuer's identifier."""
        self.issuer = issuer
        self.fetched: list[str] = []

    @property
    def jwks_uri(self) -> str:
        """Where the key set is."""
        return f"{self.issuer.rstrip('/')}/jwks.json"

    def jwks(self) -> dict[str, Any]:
        """Return the published key set."""
        return {"keys": []}

    def metadata(self) -> dict[str, Any]:
        """Return the metadata (RFC 8414 section 2)."""
        return {"issuer": self.issuer, "jwks_uri": self.jwks_uri, "response_types_supported": ["code"]}

    async def fetch(self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:  # noqa: ARG002 - the protocol's own
        """Answer as the issuer's server would; every URL that was asked for is kept in `fetched`."""
        return self.answer(url, headers)

    def answer(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        also_at: str | None = None,
        jwks: Mapping[str, Any] | None = None,
    ) -> FetchResponse:
        """Answer likewise; the key set is `also_at` another URL, and is `jwks` where that is given."""
        self.fetched.append(url)
        return self._look_up(url, headers.get("if-none-match"), also_at, jwks)

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Serve the metadata and the key set over HTTP, at the paths of the issuer's URL."""
        if scope["type"] != "http":
            raise ConfigurationError("scope type", f"TestIssuer serves http alone; got {scope['type']!r}")
        parts = urlsplit(self.issuer)
        sent = dict(scope["headers"]).get(b"if-none-match")
        etag = None if sent is None else sent.decode("latin-1")
        answer = self._look_up(f"{parts.scheme}://{parts.netloc}{scope['path']}", etag)
        raw = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await send({"type": "http.response.body", "body": answer.body})

    def _look_up(
        self, url: str, etag: str | None, also_at: str | None = None, jwks: Mapping[str, Any] | None = None
    ) -> FetchResponse:
        if url in {self.jwks_uri, also_at}:
            body = json_bytes(self.jwks() if jwks is None else jwks)
        elif url in metadata_urls(self.issuer):
            body = json_bytes(self.metadata())
        else:
            return FetchResponse(404, {}, b"")
        headers = {
            "content-type": "application/json",
            "cache-control": "max-age=300",
            "etag": f'"{hashlib.sha256(body).hexdigest()[:16]}"',
        }
        return FetchResponse(304, headers, b"") if etag == headers["etag"] else FetchResponse(200, headers, body)
