"""(method, headers, own origins) -> why a request is refused; None: it comes from a page of the application.

A browser sends cookies with requests that pages of others make. What it says of such a request no page can forge:

| method             | Sec-Fetch-Site   | Origin                      | what becomes of it                          |
|--------------------|------------------|-----------------------------|---------------------------------------------|
| GET, HEAD, OPTIONS | any              | any                         | passes                                      |
| another            | same-origin      | any                         | passes                                      |
| another            | same-site        | one of `origins`            | passes                                      |
| another            | same-site        | another, or none            | refused                                     |
| another            | cross-site, ...  | any                         | refused: the cookie would not come, either  |
| another            | none, or absent  | the Host's, or of `origins` | passes                                      |
| another            | none, or absent  | another, `null`, or none    | refused                                     |

Each of these headers is there once at most: of two, nobody knows which one is true. That is the rule of Go's
`http.CrossOriginProtection`, made stricter where a cookie is asked for. Go lets `none` pass, and a request that says
nothing. `none` is "explicitly caused by a user's interaction with the user agent" (Fetch Metadata, section 2.3), as by
the address bar, which makes no POST; no page can make a request with it, an extension and a search engine of the
browser's can; so it decides nothing here. Chromium reloads a refused form of another site with `cross-site` again.

Sources: Fetch Metadata Request Headers (W3C), section 2.3; RFC 6454 sections 4 and 7 (origins, and the header);
RFC 10017 section 6.1.3.3 (a header that no form can send, and why SameSite is not enough).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from ipaddress import ip_address

from jwt_asgi.errors import ConfigurationError
from jwt_asgi.types import RawHeaders

__all__ = ["CLIENT_HEADER", "check_origins", "is_loopback", "why_refused"]

CLIENT_HEADER = "X-Auth-Client"
"""With the value `1`. A page of another origin cannot send it unless CORS allows that (RFC 10017 section 6.1.3.3.2)."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LISTED_MAY_BE = frozenset({"same-site", "none", None})
_HOST = r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
_HOST_HEADER = re.compile(_HOST)
_ORIGIN = re.compile(rf"(https?)://({_HOST})")
_NAMES = frozenset({"sec-fetch-site", "origin", "host", CLIENT_HEADER.lower()})

_CROSS_SITE = "Sec-Fetch-Site says that a page of another site makes this request; the session cookie is not for such"
_SAME_SITE = "Sec-Fetch-Site is same-site, and Origin is not one of origins=[...]: list it, if that page is yours"
_NO_ORIGIN = "there is no Origin, and Sec-Fetch-Site does not tell; every browser sends both, other clients must, too"
_OTHER_ORIGIN = (
    "Origin is neither that of Host nor one of origins=[...]: list it, if that page is yours, "
    "and see that the proxy in front of this server passes Host on"
)


def why_refused(
    method: str, headers: RawHeaders, *, origins: Collection[str] = (), with_header: bool = False
) -> str | None:
    """Say why a request is refused, in words for the developer; None: it comes from a page of the application.

    Args:
        method: Of the request; a WebSocket's handshake has none: "".
        headers: As ASGI has them.
        origins: Those of the application, beside that of the request itself, as `check_origins` returns them.
        with_header: Whether `X-Auth-Client: 1` must be there, too, which no form can send.
    """
    if method in _SAFE:
        return None
    found = _found(headers)
    if isinstance(found, str):
        return found
    if with_header and found.get(CLIENT_HEADER.lower()) != "1":
        return f"the header {CLIENT_HEADER}: 1 is missing"
    origin = found.get("origin")
    is_listed = origin is not None and origin.lower() in origins
    site = found.get("sec-fetch-site")
    if site == "same-origin" or (is_listed and site in _LISTED_MAY_BE):
        return None
    if site in {"none", None}:
        return _by_origin(origin, found.get("host", ""))
    return _SAME_SITE if site == "same-site" else _CROSS_SITE


def check_origins(origins: Sequence[str]) -> frozenset[str]:
    """Return origins, as `https://app.example.com`, in the spelling of browsers.

    Raises:
        ConfigurationError: one is none, has a path, or is of plain http on another host than this one.
    """
    if isinstance(origins, (str, bytes)):
        raise ConfigurationError("origins", f"expected a list, as [{origins!r}]")
    for origin in origins:
        found = _ORIGIN.fullmatch(origin) if isinstance(origin, str) else None
        if found is None:
            raise ConfigurationError("origins", f"expected scheme and host, as https://app.example.com; got {origin!r}")
        if not _is_kept(found[1], found[2]):
            raise ConfigurationError("origins", f"expected https; got {origin!r}")
    return frozenset(origin.lower() for origin in origins)


def is_loopback(host: str) -> bool:
    """Whether a host, as the header Host has it, is this machine itself (RFC 6761 section 6.3, RFC 5735 section 3)."""
    if not _HOST_HEADER.fullmatch(host):
        return False
    name = re.sub(r":[0-9]+$", "", host).lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _found(headers: RawHeaders) -> dict[str, str] | str:
    """Return the headers that matter, or that one of them is there twice."""
    found: dict[str, str] = {}
    for raw_name, value in headers:
        name = raw_name.decode("latin-1").lower()
        if name in found:
            return f"the header {name} is there twice"
        if name in _NAMES:
            found[name] = value.decode("latin-1")
    return found


def _by_origin(origin: str | None, host: str) -> str | None:
    """Judge by the origin alone: it must be that of the host, and no page that came by plain http from elsewhere."""
    if origin is None:
        return _NO_ORIGIN
    found = _ORIGIN.fullmatch(origin)
    is_own = found is not None and found[2].lower() == host.lower() and _is_kept(found[1], found[2])
    return None if is_own else _OTHER_ORIGIN


def _is_kept(scheme: str, host: str) -> bool:
    """Whether nobody on the way can have changed a page of it."""
    return scheme.lower() == "https" or is_loopback(host)
