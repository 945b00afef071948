"""error -> status, WWW-Authenticate, body; character set checked, cause never leaked.

RFC 6750 section 3, RFC 9110 section 11.6.1. The client learns whether to get a token, get a fresh one, or ask for more;
never which check failed, and nothing that was in the token comes back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

from jwt_asgi.errors import AccessError, ConfigurationError, JWTASGIError, KeysUnavailable, Reason, TokenError

__all__ = ["MAX_SCOPE_CHARACTERS", "Answer", "answer_to", "check_realm", "is_quotable"]

_GENERIC = "The access token is missing a required property, or is not valid here"
_DESCRIPTIONS = {
    Reason.CREDENTIALS_MISSING: "No access token was sent",
    Reason.SCHEME_UNSUPPORTED: "No access token was sent",
    Reason.CREDENTIALS_MALFORMED: "The Authorization header is malformed",
    Reason.CREDENTIALS_DUPLICATE: "More than one access token was sent",
    Reason.TOKEN_EXPIRED: "The access token expired",
    Reason.SCOPE_MISSING: "The access token lacks a scope that this needs",
    Reason.ROLE_MISSING: "The access token does not allow this",
    Reason.PERMISSION_MISSING: "The access token does not allow this",
    Reason.ACCESS_DENIED: "The access token does not allow this",
    Reason.ROUTE_NOT_COVERED: "The access token does not allow this",
    Reason.AUTHENTICATION_INSUFFICIENT: "A stronger or more recent authentication of the user is needed",
    Reason.ACCESS_UNDECIDED: "Whether the access token allows this cannot be told just now",
    Reason.REVOCATION_UNAVAILABLE: "Whether the access token was revoked cannot be told just now",
}
_UNAVAILABLE = "The keys that tokens are verified with cannot be had just now"
# What the body calls an answer whose challenge carries no error code
_NAMES = {401: "unauthorized", 403: "forbidden", 503: "temporarily_unavailable"}

MAX_SCOPE_CHARACTERS = 2048
"""The longest `scope` of a challenge, which may hold a path parameter: proxies take answers with 4 KiB of headers."""
_MAX_RETRY_AFTER = 300
_RETRY_UNDECIDED = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer, ready for ASGI: raw headers with lower-case names."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def answer_to(
    error: JWTASGIError,
    realm: str | None = None,
    *,
    resource_metadata: str | None = None,
    scopes: Iterable[str] = (),
) -> Answer:
    """Return what the client gets for an error.

    `resource_metadata` is the URL of RFC 9728 section 5.1; `scopes` are those that a token needs here, for a challenge
    whose error names none.
    """
    needed = tuple(scopes)
    if isinstance(error, TokenError) and sum(map(len, needed)) <= MAX_SCOPE_CHARACTERS:
        return _answer_of(error.reason, realm, resource_metadata, needed)
    return _answer(error, realm, resource_metadata, needed)


# In a flood of bad tokens it is the same again and again. Of what a client says, a scope may hold a path parameter
@lru_cache(maxsize=256)
def _answer_of(reason: Reason, realm: str | None, resource_metadata: str | None, scopes: tuple[str, ...]) -> Answer:
    return _answer(TokenError(reason), realm, resource_metadata, scopes)


def _answer(error: JWTASGIError, realm: str | None, resource_metadata: str | None, scopes: tuple[str, ...]) -> Answer:
    reason = error.reason
    description = _DESCRIPTIONS.get(reason, _UNAVAILABLE if isinstance(error, KeysUnavailable) else _GENERIC)
    body = {"error": reason.error or _NAMES.get(reason.status, "server_error"), "error_description": description}
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if reason.status == 503:  # noqa: PLR2004 - HTTP
        wait = error.retry_after if isinstance(error, KeysUnavailable) else _RETRY_UNDECIDED
        headers.append((b"retry-after", str(min(max(ceil(wait), 1), _MAX_RETRY_AFTER)).encode()))
    elif reason.error is not None or reason.status == 401:  # noqa: PLR2004 - RFC 9110 section 15.5.2 asks for one
        challenge = _challenge(error, description, realm, resource_metadata, scopes)
        headers.append((b"www-authenticate", challenge.encode("ascii")))
    raw = json.dumps(body).encode("ascii")
    headers.append((b"content-length", str(len(raw)).encode()))
    return Answer(reason.status, tuple(headers), raw)


def check_realm(realm: str | None) -> str | None:
    """Return the realm.

    Raises:
        ConfigurationError: it has characters that a challenge cannot carry.
    """
    if realm is not None and not (isinstance(realm, str) and is_quotable(realm)):
        raise ConfigurationError("realm", f"expected printable ASCII without quotes and backslashes; got {realm!r}")
    return realm


def is_quotable(value: str) -> bool:
    """Whether a challenge can carry it as it is.

    RFC 6750 section 3: %x20-21 / %x23-5B / %x5D-7E, so that quoting is never needed.
    """
    return value.isascii() and value.isprintable() and '"' not in value and "\\" not in value


def _challenge(
    error: JWTASGIError, description: str, realm: str | None, resource_metadata: str | None, scopes: tuple[str, ...]
) -> str:
    parameters: dict[str, str | None] = {"realm": realm}
    if error.reason.error is not None:
        # RFC 6750 section 3.1: a request without credentials SHOULD NOT be told an error code
        parameters |= {"error": error.reason.error, "error_description": description}
    if isinstance(error, AccessError):
        scopes = error.scopes or scopes
        parameters["acr_values"] = " ".join(error.acr_values) or None
        parameters["max_age"] = None if error.max_age is None else str(error.max_age)
    scope = " ".join(scopes)
    parameters["scope"] = scope if 0 < len(scope) <= MAX_SCOPE_CHARACTERS else None
    parameters["resource_metadata"] = resource_metadata
    given = {name: value for name, value in parameters.items() if value is not None and is_quotable(value)}
    listed = ", ".join(f'{name}="{value}"' for name, value in given.items())
    return f"Bearer {listed}".rstrip()
