"""What an API says of itself: the protected resource metadata of RFC 9728, and where it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from urllib.parse import urlsplit

from jwt_asgi._core.challenge import Answer, is_quotable
from jwt_asgi._core.rules import Scope
from jwt_asgi.errors import ConfigurationError

__all__ = ["ProtectedResource", "resource_answer"]

_WELL_KNOWN = "/.well-known/oauth-protected-resource"


@dataclass(frozen=True, slots=True)
class ProtectedResource:
    """This API as OAuth clients find it by its URL (RFC 9728).

    Its metadata are served at `metadata_path`, and challenges name them (`resource_metadata`).

    Args:
        resource: The API's URL, as clients know it: with https, without query and fragment. In most deployments it is
            the audience, too.
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
        parts = urlsplit(self.resource) if isinstance(self.resource, str) else None
        if (
            parts is None
            or parts.scheme not in {"https", "http"}
            or not parts.netloc
            or "?" in self.resource
            or "#" in self.resource
            or "@" in parts.netloc
            or not is_quotable(self.resource)
        ):
            detail = (
                f'expected an URL without query and fragment, as "https://api.example.com/v1"; got {self.resource!r}'
            )
            raise ConfigurationError("resource", detail)
        for name in ("scopes", "authorization_servers"):
            values = getattr(self, name)
            if values is None:
                continue
            if isinstance(values, str) or not all(isinstance(value, str) and value for value in values):
                raise ConfigurationError(f"resource {name}", f"expected a list of texts; got {values!r}")
            object.__setattr__(self, name, tuple(values))
        for scope in self.scopes:
            Scope(scope)

    @property
    def metadata_path(self) -> str:
        """The path that the metadata are served at, from the root of the host (RFC 9728 section 3.1)."""
        path = urlsplit(self.resource).path
        return _WELL_KNOWN + ("" if path == "/" else path)

    @property
    def metadata_url(self) -> str:
        """The URL of the metadata."""
        parts = urlsplit(self.resource)
        return f"{parts.scheme}://{parts.netloc}{self.metadata_path}"

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
