"""What an API says of itself: the protected resource metadata of RFC 9728, and where it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from urllib.parse import unquote, urlsplit

from jwt_asgi._core.challenge import Answer
from jwt_asgi._core.rules import is_text, is_token, listed
from jwt_asgi.errors import ConfigurationError

__all__ = ["ProtectedResource", "resource_answer"]

_WELL_KNOWN = "/.well-known/oauth-protected-resource"


@dataclass(frozen=True, slots=True)
class ProtectedResource:
    """This API as OAuth clients find it by its URL (RFC 9728).

    Its metadata are served at `metadata_path`, and challenges name them (`resource_metadata`).

    Args:
        resource: The API's URL, as clients know it: with https (or http, while it is developed), without query and
            fragment. In most deployments it is the audience, too.
        scopes: What a client should ask for: it is in the metadata, and in challenges where no rule says more.
        authorization_servers: The issuers to get tokens from; by default all trusted ones.
        name: For people.
        documentation: A URL for developers.
        policy: A URL that says how tokens and data may be used.
        terms: A URL of the terms of service.

    Raises:
        ConfigurationError: a member has another shape.
    """

    resource: str
    _: KW_ONLY
    scopes: Sequence[str] = ()
    authorization_servers: Sequence[str] | None = None
    name: str | None = None
    documentation: str | None = None
    policy: str | None = None
    terms: str | None = None

    def __post_init__(self) -> None:
        """Check each member."""
        if not _is_resource(self.resource):
            expected = 'an URL without query and fragment, as "https://api.example.com/v1"'
            raise ConfigurationError("resource", f"expected {expected}; got {self.resource!r}")
        for name in ("scopes",) if self.authorization_servers is None else ("scopes", "authorization_servers"):
            values = listed(given := getattr(self, name))
            if values is None or not all(map(is_token, values)):
                raise ConfigurationError(f"resource {name}", f"expected a list of texts without spaces; got {given!r}")
            object.__setattr__(self, name, values)
        for name in ("name", "documentation", "policy", "terms"):
            if (given := getattr(self, name)) is not None and not is_text(given):
                raise ConfigurationError(f"resource {name}", f"expected a text; got {given!r}")

    @property
    def metadata_path(self) -> str:
        """The path that the metadata are served at, decoded, from the root of the host (RFC 9728 section 3.1)."""
        return unquote(urlsplit(self.metadata_url).path)

    @property
    def metadata_url(self) -> str:
        """The URL of the metadata."""
        parts = urlsplit(self.resource)
        return f"{parts.scheme}://{parts.netloc}{_WELL_KNOWN}{'' if parts.path == '/' else parts.path}"

    def document(self, issuers: Iterable[str], scopes: Iterable[str] = ()) -> bytes:
        """Return the metadata as JSON (RFC 9728 section 2).

        `issuers` are those that are trusted; `scopes` are those of the application's rules, named besides its own.
        """
        servers = list(issuers if self.authorization_servers is None else self.authorization_servers)
        supported = list(dict.fromkeys((*self.scopes, *sorted(scopes))))
        members = {
            "resource": self.resource,
            "authorization_servers": servers or None,
            "scopes_supported": supported or None,
            "bearer_methods_supported": ["header"],
            "resource_name": self.name,
            "resource_documentation": self.documentation,
            "resource_policy_uri": self.policy,
            "resource_tos_uri": self.terms,
        }
        return json.dumps({name: value for name, value in members.items() if value is not None}).encode("ascii")


def _is_resource(value: object) -> bool:
    # It goes into challenges
    if not is_token(value) or "?" in value or "#" in value:
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme in {"https", "http"} and bool(parts.hostname) and "@" not in parts.netloc


def resource_answer(document: bytes, method: str) -> Answer:
    """Return the answer of the metadata path: anyone may read it, pages of other origins too."""
    if method not in {"GET", "HEAD", "OPTIONS"}:
        return Answer(405, ((b"allow", b"GET, HEAD, OPTIONS"), (b"content-length", b"0")), b"")
    anyone = (b"access-control-allow-origin", b"*")
    if method == "OPTIONS":
        asked = ((b"access-control-allow-methods", b"GET, HEAD"), (b"access-control-allow-headers", b"*"))
        return Answer(204, (anyone, *asked), b"")
    length = (b"content-length", str(len(document)).encode())
    return Answer(
        200, ((b"content-type", b"application/json"), (b"cache-control", b"max-age=300"), anyone, length), document
    )
