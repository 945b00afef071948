"""The refresh token <-> the cookie that a browser keeps it in, where no script can read it.

    Set-Cookie: __Host-jrt=jrt_...; Max-Age=1209600; Path=/; HttpOnly; SameSite=Strict; Secure

`__Host-` makes browsers refuse it from another host, and without Secure: no neighbour under the same domain can plant
one (RFC 6265bis section 4.1.3.2, RFC 10017 section 6.1.3.2). It has no other content, so it has some 80 bytes.
"""

from __future__ import annotations

import re
from math import floor
from typing import Protocol

from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.cross_origin import is_loopback
from jwt_asgi.issuer.grants import Fault, GrantError
from jwt_asgi.types import ASGIScope, RawHeaders

__all__ = ["RefreshCookie", "SessionTokens"]

MAX_VALUE = 256
"""A refresh token has 60 characters."""
PREFIX = "__Host-"

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_VALUE = re.compile(rb"[A-Za-z0-9_-]+")
_OPTION = "cookie name"


class SessionTokens(Protocol):
    """What `TokenService.issue`, `refresh` and `step_up` return."""

    @property
    def refresh_token(self) -> str | None:
        """The refresh token."""

    @property
    def expires_in(self) -> int:
        """The seconds until the access token expires."""

    @property
    def expires_at(self) -> int:
        """When that is, in seconds since the epoch."""

    @property
    def session_until(self) -> float | None:
        """When the session ends unless it is refreshed, in seconds since the epoch."""


class RefreshCookie:
    """Writes, reads and clears the cookie.

    Args:
        name: Its name, with the prefix `__Host-`, or `__Host-Http-`, which browsers of 2025 and later know, too.
        dev: For development, over plain http on this machine: the name is without its prefix, and the cookie without
            Secure. A request for another host than localhost is a ConfigurationError.

    Raises:
        ConfigurationError: the name has no prefix, or other characters than letters, digits, `.`, `_` and `-`.
    """

    __slots__ = ("_dev", "_name", "name")

    def __init__(self, name: str = "__Host-jrt", *, dev: bool = False) -> None:
        """Check the name."""
        if not isinstance(name, str) or not _NAME.fullmatch(name) or not name.startswith(PREFIX) or name == PREFIX:
            raise ConfigurationError(_OPTION, f"expected {PREFIX} and letters, digits, . _ or -; got {name!r}")
        if not isinstance(dev, bool):
            raise ConfigurationError("cookie dev", f"expected True or False; got {dev!r}")
        self._dev = dev
        self.name = name.removeprefix(PREFIX) if dev else name
        self._name = self.name.encode("ascii")

    def headers(self, tokens: SessionTokens, scope: ASGIScope) -> list[tuple[bytes, bytes]]:
        """Return the header that keeps the refresh token, for as long as the session lives unless it is refreshed.

        For the answer to a login: `response.raw_headers += cookie.headers(tokens, request.scope)`.

        Raises:
            ConfigurationError: the tokens have no session; or `dev=True`, and this is not this machine.
        """
        if tokens.refresh_token is None or tokens.session_until is None:
            raise ConfigurationError("cookie", "the tokens have no session that could be refreshed")
        # The time by the service's own clock, which may be the database's
        now = tokens.expires_at - tokens.expires_in
        return [self._header(scope, tokens.refresh_token, max(floor(tokens.session_until - now), 0))]

    def cleared(self, scope: ASGIScope) -> list[tuple[bytes, bytes]]:
        """Return the header that makes the browser forget it."""
        return [self._header(scope, "", 0)]

    def read(self, headers: RawHeaders, scope: ASGIScope) -> str | None:
        """Return the refresh token that a request has; None: it has no such cookie.

        Raises:
            GrantError: `invalid_request`: the cookie is there twice, so that neither can be believed; or its value is
                none that was ever written, as in quotes, or too long.
            ConfigurationError: `dev=True`, and this is not this machine.
        """
        self._check(scope)
        values = [value for name, value in _pairs(headers) if name == self._name]
        if len(values) > 1:
            raise GrantError(Fault.INVALID_REQUEST, "the session cookie is there twice")
        if not values:
            return None
        if len(values[0]) > MAX_VALUE or not _VALUE.fullmatch(values[0]):
            raise GrantError(Fault.INVALID_REQUEST, "the session cookie is none that this service has written")
        return values[0].decode("ascii")

    def _header(self, scope: ASGIScope, value: str, max_age: int) -> tuple[bytes, bytes]:
        self._check(scope)
        secure = "" if self._dev else "; Secure"
        text = f"{self.name}={value}; Max-Age={max_age}; Path=/; HttpOnly; SameSite=Strict{secure}"
        return b"set-cookie", text.encode("ascii")

    def _check(self, scope: ASGIScope) -> None:
        if not self._dev:
            return
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"host"]
        if not hosts or not all(map(is_loopback, hosts)):
            detail = f"dev=True is for localhost alone, and this request is for {', '.join(hosts) or 'no host'}"
            raise ConfigurationError("cookie dev", detail)


def _pairs(headers: RawHeaders) -> list[tuple[bytes, bytes]]:
    """Return names and values of cookies; HTTP/2 may have several headers of them (RFC 9113 section 8.2.3)."""
    lines = [value for name, value in headers if name.lower() == b"cookie"]
    # Space and tab alone: other white space before a prefix gets a cookie past browsers that check it
    parts = [part.strip(b" \t").partition(b"=") for line in lines for part in line.split(b";")]
    return [(name, value) for name, equals, value in parts if equals]
