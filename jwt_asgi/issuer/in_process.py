"""What the service publishes, for a verifier in the same process: no request is made of oneself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from jwt_asgi.issuer.metadata import metadata_of
from jwt_asgi.issuer.service import TokenService
from jwt_asgi.types import Fetch, FetchResponse

__all__ = ["in_process"]

_OK, _NOT_MODIFIED, _NOT_FOUND = 200, 304, 404
_JSON: Final = {"content-type": "application/json"}


def in_process(service: TokenService) -> Fetch:
    """Return what fetches the metadata and the key set of a service from itself, and nothing else.

    For `TrustedIssuer(issuer=service.issuer, ..., fetch=in_process(service))`. The keys are kept and asked for anew as
    those of any issuer. It starts the service where nobody has, and is for the event loop that the service is used in.
    """
    base = service.issuer.rstrip("/")
    metadata = metadata_of(service.issuer).answer.body

    async def fetch(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:  # noqa: ARG001 - the protocol's own
        if url == f"{base}/.well-known/openid-configuration":
            return FetchResponse(_OK, _JSON, metadata)
        if url != f"{base}/jwks":
            return FetchResponse(_NOT_FOUND, {}, b"")
        await service.start()
        document = service.keys.document
        told = {**_JSON, "etag": document.etag, "cache-control": f"max-age={service.schedule.max_age:.0f}"}
        if headers.get("if-none-match") == document.etag:
            return FetchResponse(_NOT_MODIFIED, told, b"")
        return FetchResponse(_OK, told, document.body)

    return fetch
