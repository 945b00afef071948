"""The form of a request -> what is asked for; and every error that the token service answers with.

RFC 6749 sections 3.2 and 5.2, with what RFC 7009, RFC 7662 and RFC 8707 add. A form is read strictly: nothing in it can
be read in two ways, and no parameter is there twice (but `resource`, RFC 8707 section 2).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

__all__ = [
    "MAX_FORM_BYTES",
    "ClientCredentialsRequest",
    "Fault",
    "Form",
    "GrantError",
    "RefreshRequest",
    "TokenReference",
    "form_decoded",
    "narrowed",
    "parse_form",
    "token_reference",
    "token_request",
]

MAX_FORM_BYTES = 32 * 1024
"""A refresh token has 60 bytes; a client assertion seldom more than 4 KiB."""
MAX_PARAMETERS = 64
MAX_RESOURCES = 16
MAX_SCOPES = 256

_MEDIA_TYPE = "application/x-www-form-urlencoded"
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_VISIBLE = re.compile(rb"[\x21-\x7e]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# RFC 6749 section 3.3
_SCOPES = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")
# RFC 6749 section 5.2: what `error_description` may hold
_NOT_IN_DESCRIPTION = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")


class Fault(Enum):
    """What is wrong with a request: `value` is the code of the standard, `status` goes with it."""

    status: int
    description: str

    def __new__(cls, code: str, status: int = 0, description: str = "") -> Self:
        """Take one row of the table below; `Fault("invalid_grant")` finds one by its code."""
        fault = object.__new__(cls)
        fault._value_ = code
        fault.status, fault.description = status, description
        return fault

    # RFC 6749 section 5.2
    INVALID_REQUEST = "invalid_request", 400, "the request is malformed"
    INVALID_CLIENT = "invalid_client", 401, "the client could not be authenticated"
    INVALID_GRANT = "invalid_grant", 400, "the token is not valid, or not this client's"
    UNAUTHORIZED_CLIENT = "unauthorized_client", 400, "this client may not use this grant"
    UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type", 400, "this grant is not offered"
    INVALID_SCOPE = "invalid_scope", 400, "a scope is malformed, unknown, or more than was granted"
    # RFC 7009 section 2.2.1
    UNSUPPORTED_TOKEN_TYPE = "unsupported_token_type", 400, "tokens of this type cannot be revoked"
    # RFC 8707 section 2
    INVALID_TARGET = "invalid_target", 400, "a resource is malformed, unknown, or not this client's"
    # RFC 6750 section 3.1, for the introspection of RFC 7662 section 2.3
    INVALID_TOKEN = "invalid_token", 401, "the access token is not valid"
    INSUFFICIENT_SCOPE = "insufficient_scope", 403, "the access token does not allow this"
    # RFC 6749 section 4.1.2.1 names these for another endpoint; clients know them
    ACCESS_DENIED = "access_denied", 403, "the request comes from another origin"
    SERVER_ERROR = "server_error", 500, "the token service failed"
    TEMPORARILY_UNAVAILABLE = "temporarily_unavailable", 503, "the token service is not available just now"

    if TYPE_CHECKING:

        @property
        def value(self) -> str:
            """The code."""

    def __repr__(self) -> str:
        """Show the member without its row."""
        return f"Fault.{self.name}"


class GrantError(Exception):
    """A request of the token service that is refused.

    Attributes:
        fault: What the client is told.
        description: In words; it holds nothing of the request and no secret.
        detail: What the log is told besides; it never leaves the service. It holds no token and no secret either.
        challenge: The client used HTTP Basic, so that the answer has `WWW-Authenticate: Basic` (RFC 6749 section 5.2).
    """

    def __init__(self, fault: Fault, description: str = "", *, detail: str = "", challenge: bool = False) -> None:
        """Keep what the client is told, and what it is not."""
        self.fault = fault
        self.description = _NOT_IN_DESCRIPTION.sub("'", description or fault.description)
        self.detail = detail
        self.challenge = challenge
        super().__init__(f"{fault.value}: {detail or self.description}")

    def body(self) -> bytes:
        """Return the JSON of the answer."""
        return json.dumps({"error": self.fault.value, "error_description": self.description}).encode("ascii")


@dataclass(frozen=True, slots=True)
class Form:
    """The parameters of a request, those that have a value. Its repr shows their names alone."""

    values: Mapping[str, str] = field(repr=False)
    resources: tuple[str, ...] = ()

    def get(self, name: str) -> str | None:
        """Return a parameter; None: it is not there, or has no value (RFC 6749 section 3.2)."""
        return self.values.get(name)

    def require(self, name: str) -> str:
        """Return a parameter.

        Raises:
            GrantError: `invalid_request`.
        """
        if (value := self.get(name)) is None:
            raise GrantError(Fault.INVALID_REQUEST, f"the parameter {name} is missing")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshRequest:
    """`grant_type=refresh_token` (RFC 6749 section 6)."""

    refresh_token: str = field(repr=False)
    scopes: tuple[str, ...] | None = None
    resources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredentialsRequest:
    """`grant_type=client_credentials` (RFC 6749 section 4.4)."""

    scopes: tuple[str, ...] | None = None
    resources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenReference:
    """What a request for revocation (RFC 7009 section 2.1) or introspection (RFC 7662 section 2.1) is about."""

    token: str = field(repr=False)
    hint: str | None = None


def parse_form(body: bytes, content_type: str | None) -> Form:
    """Read the body of a request.

    Raises:
        GrantError: `invalid_request`: it is not a form, too large, or a parameter is there twice.
    """
    media, _, parameters = (content_type or "").partition(";")
    charset = parameters.strip().lower()
    if media.strip().lower() != _MEDIA_TYPE or charset not in {"", "charset=utf-8", 'charset="utf-8"'}:
        raise GrantError(Fault.INVALID_REQUEST, f"expected a body of {_MEDIA_TYPE} in UTF-8")
    if len(body) > MAX_FORM_BYTES:
        raise GrantError(Fault.INVALID_REQUEST, f"the body is larger than {MAX_FORM_BYTES} bytes")
    pairs = [pair for pair in body.split(b"&") if pair] if body.count(b"&") < MAX_PARAMETERS else None
    if pairs is None:
        raise GrantError(Fault.INVALID_REQUEST, f"there are more than {MAX_PARAMETERS} parameters")
    values: dict[str, str] = {}
    resources: list[str] = []
    for pair in pairs:
        encoded, _, encoded_value = pair.partition(b"=")
        name, value = _part(encoded), _part(encoded_value)
        if name == "resource":
            resources += [value] if value else []
        elif name in values:
            raise GrantError(Fault.INVALID_REQUEST, "a parameter is there twice")
        else:
            values[name] = value
    return Form({name: value for name, value in values.items() if value}, _checked_resources(resources))


def token_request(form: Form) -> RefreshRequest | ClientCredentialsRequest:
    """Return what a request to the token endpoint asks for.

    Raises:
        GrantError: `invalid_request`, `unsupported_grant_type`, `invalid_scope`.
    """
    match form.require("grant_type"):
        case "refresh_token":
            token = form.require("refresh_token")
            return RefreshRequest(refresh_token=token, scopes=_scopes(form), resources=form.resources)
        case "client_credentials":
            return ClientCredentialsRequest(scopes=_scopes(form), resources=form.resources)
        case _:
            raise GrantError(Fault.UNSUPPORTED_GRANT_TYPE)


def token_reference(form: Form) -> TokenReference:
    """Return which token a request for revocation or introspection is about.

    Raises:
        GrantError: `invalid_request`.
    """
    return TokenReference(token=form.require("token"), hint=form.get("token_type_hint"))


def narrowed(asked: Sequence[str] | None, granted: Sequence[str]) -> tuple[str, ...]:
    """Return the scopes of an access token, sorted: those that are asked for, or all that were granted.

    Raises:
        GrantError: `invalid_scope`: one of them was not granted (RFC 6749 section 6), or there is none.
    """
    if asked is None:
        return tuple(sorted(set(granted)))
    if not set(asked) <= set(granted):
        raise GrantError(Fault.INVALID_SCOPE)
    return tuple(sorted(set(asked)))


def form_decoded(encoded: bytes) -> str | None:
    """Decode one part of a form, strictly; None: it is not `x-www-form-urlencoded`, or has control characters."""
    if not _VISIBLE.fullmatch(encoded) or _BAD_ESCAPE.search(encoded):
        return None
    raw = _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), encoded.replace(b"+", b" "))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def _part(encoded: bytes) -> str:
    text = form_decoded(encoded)
    if text is None:
        raise GrantError(Fault.INVALID_REQUEST, f"the body is not {_MEDIA_TYPE} in UTF-8")
    return text


def _scopes(form: Form) -> tuple[str, ...] | None:
    scope = form.get("scope")
    if scope is None:
        return None
    if not _SCOPES.fullmatch(scope) or scope.count(" ") >= MAX_SCOPES:
        raise GrantError(Fault.INVALID_SCOPE)
    return tuple(dict.fromkeys(scope.split(" ")))


def _checked_resources(resources: Sequence[str]) -> tuple[str, ...]:
    """RFC 8707 section 2: absolute URIs without a fragment."""
    if len(resources) > MAX_RESOURCES:
        raise GrantError(Fault.INVALID_TARGET, f"there are more than {MAX_RESOURCES} resources")
    if not all(map(_is_resource, resources)):
        raise GrantError(Fault.INVALID_TARGET)
    return tuple(dict.fromkeys(resources))


def _is_resource(text: str) -> bool:
    try:
        return bool(urlsplit(text).scheme) and "#" not in text and text.isascii() and " " not in text
    except ValueError:
        return False
