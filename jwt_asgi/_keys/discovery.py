"""issuer -> jwks_uri; the issuer is compared exactly.

RFC 8414 section 3 puts the well-known part before the issuer's path, OpenID Connect Discovery 1.0 section 4 after it.
Both are tried, in this order. The metadata's own `issuer` must be the configured one, to the letter (RFC 8414 section
3.3): otherwise a stranger's metadata, or a redirected one, could name the keys.
"""

from __future__ import annotations

import time
from urllib.parse import urlsplit, urlunsplit

from jwt_asgi._core.freshness import retry_after
from jwt_asgi._core.token import strict_json_object
from jwt_asgi._keys.fetch import MAX_BODY_BYTES, FetchError, NoAnswerError, check_url
from jwt_asgi.errors import ConfigurationError, KeysUnavailable, Reason
from jwt_asgi.types import Fetch

__all__ = ["discover_jwks_uri", "metadata_urls", "slash_hint"]

_OK = 200
_ACCEPT = {"accept": "application/json"}


def metadata_urls(issuer: str) -> tuple[str, str]:
    """Return where the metadata of an issuer may be: by RFC 8414, then by OpenID Connect Discovery."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    oauth = urlunsplit((parts.scheme, parts.netloc, f"/.well-known/oauth-authorization-server{path}", "", ""))
    openid = urlunsplit((parts.scheme, parts.netloc, f"{path}/.well-known/openid-configuration", "", ""))
    return oauth, openid


async def discover_jwks_uri(issuer: str, fetch: Fetch, *, timeout: float, allow_http: bool = False) -> str:
    """Return the `jwks_uri` of the issuer's metadata.

    `allow_http`: the configuration allows plain http beyond loopback.

    Raises:
        KeysUnavailable: `discovery_failed`: no document answers for this issuer; the text names each URL and its fault.
        Exception: whatever `fetch` raises where there is no answer at all.
    """
    faults: list[str] = []
    asked = 0.0
    for url in metadata_urls(issuer):
        try:
            response = await fetch(url, headers=_ACCEPT, timeout=timeout, limit=MAX_BODY_BYTES)
        except NoAnswerError:
            raise
        except FetchError as error:
            faults.append(str(error))
            continue
        if response.status != _OK:
            faults.append(f"{url} answered {response.status}")
            asked = max(asked, retry_after(response.headers.get("retry-after", ""), time.time()))
            continue
        try:
            return _jwks_uri(response.body, issuer, allow_http=allow_http)
        except ValueError as error:
            faults.append(f"{url}: {error}")
    raise KeysUnavailable(Reason.DISCOVERY_FAILED, "; ".join(faults), issuer=issuer, retry_after=asked)


def _jwks_uri(body: bytes, issuer: str, *, allow_http: bool) -> str:
    try:
        metadata = strict_json_object(body)
    except ValueError:
        raise ValueError("expected a JSON object") from None
    named, uri = metadata.get("issuer"), metadata.get("jwks_uri")
    if named != issuer:
        raise ValueError(f"expected the issuer {issuer!r}; it names another one{slash_hint(named, issuer)}")
    if not isinstance(uri, str):
        raise ValueError("expected a jwks_uri; it names none")
    try:
        check_url("jwks_uri", uri, allow_http=allow_http)
    except ConfigurationError:
        raise ValueError("expected a jwks_uri that is an https URL") from None
    if urlsplit(uri).scheme == "http" and urlsplit(issuer).scheme == "https":
        raise ValueError("expected a jwks_uri under https, as the issuer is")
    return uri


def slash_hint(named: object, issuer: str) -> str:
    """Return words to add for an issuer that is not the expected one, where the difference is hard to see."""
    apart = isinstance(named, str) and named.rstrip("/") == issuer.rstrip("/")
    return ", which differs by a trailing slash alone" if apart else ""
