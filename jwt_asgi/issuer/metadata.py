"""A token service -> what it says of itself (RFC 8414)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from jwt_asgi._core.challenge import Answer
from jwt_asgi._core.policy import ASYMMETRIC_ALGORITHMS
from jwt_asgi.errors import ConfigurationError

__all__ = ["Metadata", "check_issuer", "metadata_of"]

_AUTHENTICATION: Final = ["client_secret_basic", "private_key_jwt"]


@dataclass(frozen=True, slots=True)
class Metadata:
    """The document as an answer, and the URLs of the endpoints at which clients authenticate."""

    answer: Answer
    endpoints: Sequence[str]


def check_issuer(issuer: str) -> str:
    """Return an issuer's identifier under which there can be endpoints (RFC 8414 section 2).

    Raises:
        ConfigurationError: it is no URL, or one with a query, a fragment or a user.
    """
    try:
        parts = urlsplit(issuer)
        fits = parts.scheme in {"https", "http"} and bool(parts.hostname) and not {*"?#@"} & {*issuer}
    except ValueError:
        fits = False
    if not fits:
        detail = f"expected an URL without query and fragment, as https://auth.example.com; got {issuer!r}"
        raise ConfigurationError("issuer", detail)
    return issuer


def metadata_of(issuer: str) -> Metadata:
    """Return the document of an issuer whose endpoints are under its URL."""
    base = issuer.rstrip("/")
    token, revocation, introspection = f"{base}/token", f"{base}/revoke", f"{base}/introspect"
    algorithms = [*ASYMMETRIC_ALGORITHMS]
    document: dict[str, Any] = {
        "issuer": issuer,
        "token_endpoint": token,
        "token_endpoint_auth_methods_supported": [*_AUTHENTICATION, "none"],
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "jwks_uri": f"{base}/jwks",
        "grant_types_supported": ["refresh_token", "client_credentials"],
        # Required, and may not be empty; there is no authorization endpoint to ask for more
        "response_types_supported": ["none"],
        "revocation_endpoint": revocation,
        "revocation_endpoint_auth_methods_supported": [*_AUTHENTICATION, "none"],
        # RFC 8414 section 2: required beside private_key_jwt, for each of the three
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint": introspection,
        "introspection_endpoint_auth_methods_supported": _AUTHENTICATION,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
    }
    body = json.dumps(document, separators=(",", ":")).encode()
    headers = (
        (b"content-type", b"application/json"),
        (b"cache-control", b"public, max-age=3600"),
        (b"content-length", b"%d" % len(body)),
    )
    return Metadata(Answer(200, headers, body), (token, revocation, introspection))
