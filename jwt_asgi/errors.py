"""Every error, reason and status: four families, by who must act.

JWTASGIError
├── TokenError            the client: sent no token, or one that is not good here   401 (400 when malformed)
├── AccessError           the client's owner: a good token that is not allowed this 403 (401 for a step-up,
│                         503 where what decides could not be asked)
├── KeysUnavailable       the operator: the issuer's keys cannot be had just now,   503
│                         or what it has revoked
└── ConfigurationError    the developer: an option is wrong                         at start, never in a request

Nothing else leaves `Verifier.verify`; anything else is a bug. Messages name what was expected and what to do. They hold
configuration and structure, never token text, so that they are safe in a log.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Self

__all__ = [
    "AccessError",
    "ClaimFailure",
    "ConfigurationError",
    "JWTASGIError",
    "KeysUnavailable",
    "Reason",
    "TokenError",
]

_INVALID = "invalid_token"
_REQUEST = "invalid_request"
_SCOPE = "insufficient_scope"


class Reason(Enum):
    """Why a request was refused: stable codes, the same in errors, hooks, logs, metrics and `jwt-asgi explain`.

    `value` is the code, which does not change between releases. `status` is the HTTP status that it is answered with,
    `error` the code of RFC 6750 section 3.1 in the challenge (None: the challenge carries none), and `summary` says
    what is wrong in a line that may be logged.
    """

    status: int
    error: str | None
    summary: str

    def __new__(cls, code: str, status: int = 0, error: str | None = None, summary: str = "") -> Self:
        """Take one row of the table below; `Reason("token_expired")` finds one by its code."""
        reason = object.__new__(cls)
        reason._value_ = code
        reason.status, reason.error, reason.summary = status, error, summary
        return reason

    # How the token travelled (RFC 6750 sections 2 and 3.1)
    CREDENTIALS_MISSING = "credentials_missing", 401, None, "the request has no Authorization header"
    SCHEME_UNSUPPORTED = "scheme_unsupported", 401, None, "the Authorization header is of another scheme than Bearer"
    CREDENTIALS_MALFORMED = "credentials_malformed", 400, _REQUEST, "the Authorization header is not `Bearer <token>`"
    CREDENTIALS_DUPLICATE = "credentials_duplicate", 400, _REQUEST, "the request carries more than one access token"

    # The shape of the token (RFC 7515, RFC 7519)
    TOKEN_TOO_LARGE = "token_too_large", 401, _INVALID, "the token is larger than the limit"
    TOKEN_MALFORMED = "token_malformed", 401, _INVALID, "the token is not a signed JWT in compact serialization"
    TOKEN_ENCRYPTED = "token_encrypted", 401, _INVALID, "the token is an encrypted JWT (JWE), which is not accepted"
    HEADER_MALFORMED = "header_malformed", 401, _INVALID, "a member of the token's header is missing or ill-formed"
    HEADER_CRITICAL = "header_critical", 401, _INVALID, "the token's header asks for an extension (crit or b64)"
    ALGORITHM_NOT_ALLOWED = "algorithm_not_allowed", 401, _INVALID, "the token's alg is not in the allow-list"
    TYPE_NOT_ACCEPTED = "type_not_accepted", 401, _INVALID, "the token says that it is of another kind"
    ISSUER_UNTRUSTED = "issuer_untrusted", 401, _INVALID, "the token's iss is not a configured issuer"
    TENANT_MISMATCH = "tenant_mismatch", 401, _INVALID, "the token's tenant is not the one that its iss names"

    # Its key and signature
    KEY_UNKNOWN = "key_unknown", 401, _INVALID, "the issuer publishes no key with the token's kid"
    KEY_UNSUITABLE = "key_unsuitable", 401, _INVALID, "no key of the issuer that the token may mean fits its alg"
    SIGNATURE_INVALID = "signature_invalid", 401, _INVALID, "the signature does not verify with the issuer's key"

    # Its claims (RFC 7519 section 4.1, RFC 9068 section 2.2)
    CLAIM_MISSING = "claim_missing", 401, _INVALID, "a required claim is missing"
    CLAIM_MALFORMED = "claim_malformed", 401, _INVALID, "a claim is not of the type that its specification asks for"
    AUDIENCE_MISMATCH = "audience_mismatch", 401, _INVALID, "the token is meant for another audience"
    BINDING_UNSUPPORTED = "binding_unsupported", 401, _INVALID, "the token is bound to a key (cnf) that is not checked"
    TOKEN_NOT_YET_VALID = "token_not_yet_valid", 401, _INVALID, "the token's nbf is in the future"
    TOKEN_ISSUED_IN_FUTURE = "token_issued_in_future", 401, _INVALID, "the token's iat is in the future"
    TOKEN_TOO_OLD = "token_too_old", 401, _INVALID, "the token was issued longer ago than max_age"
    LIFETIME_TOO_LONG = "lifetime_too_long", 401, _INVALID, "the token is valid for longer than max_lifetime"
    TOKEN_EXPIRED = "token_expired", 401, _INVALID, "the token has expired"

    # Whether it was taken back (RFC 6750 section 3.1)
    TOKEN_REVOKED = "token_revoked", 401, _INVALID, "the token, its session, user, client or key was revoked"

    # A new token for a connection that is open
    IDENTITY_CHANGED = "identity_changed", 401, _INVALID, "the new token is of another issuer, subject or client"

    # What it allows (RFC 6750 section 3.1, RFC 9110 section 15.5.4)
    SCOPE_MISSING = "scope_missing", 403, _SCOPE, "the token lacks a scope that this needs"
    ROLE_MISSING = "role_missing", 403, None, "the token lacks a role that this needs"
    PERMISSION_MISSING = "permission_missing", 403, None, "the token lacks a permission that this needs"
    ACCESS_DENIED = "access_denied", 403, None, "the access rule does not let this token in"
    ROUTE_NOT_COVERED = "route_not_covered", 403, None, "no route rule covers this method and path"
    # RFC 9470 section 3
    AUTHENTICATION_INSUFFICIENT = (
        "authentication_insufficient",
        401,
        "insufficient_user_authentication",
        "the user's authentication is too weak, or too long ago, for this",
    )
    ACCESS_UNDECIDED = "access_undecided", 503, None, "what decides on access could not be asked"

    # The issuer's keys
    KEYS_UNAVAILABLE = "keys_unavailable", 503, None, "the issuer's keys could not be fetched"
    KEYS_UNUSABLE = "keys_unusable", 503, None, "the issuer's key set holds no usable key"
    KEYS_EXPIRED = "keys_expired", 503, None, "the issuer's keys are too old, and could not be fetched anew"
    KEYS_BUSY = "keys_busy", 503, None, "too many requests wait for the issuer's keys"
    ISSUER_UNRESOLVED = "issuer_unresolved", 503, None, "whether the token's issuer is trusted could not be told"
    DISCOVERY_FAILED = "discovery_failed", 503, None, "the issuer's metadata could not be had, or is not the issuer's"

    # What its issuer has revoked
    REVOCATION_UNAVAILABLE = "revocation_unavailable", 503, None, "what the issuer has revoked is not known lately"

    # The application
    CONFIGURATION_INVALID = "configuration_invalid", 500, None, "an option is wrong"

    if TYPE_CHECKING:

        @property
        def value(self) -> str:
            """The code."""

    # Each member is there once, so its identity will do; Enum's own is a Python function
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        """Show the member without its row."""
        return f"Reason.{self.name}"


class JWTASGIError(Exception):
    """The base of all four families. It is caught, and never raised itself.

    `reason` is the stable code; `detail` says more, or is empty; `str(error)` is `code: text`.
    """

    reason: Reason
    detail: str

    def __init__(self, reason: Reason, detail: str = "") -> None:
        """Keep the reason; without `detail` its summary is the message."""
        if type(self) is JWTASGIError:
            raise TypeError("JWTASGIError is abstract: raise one of its four families")
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason.value}: {detail or reason.summary}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross processes whole, as errors at the start of a worker do."""
        return _revive, (type(self), self.args, vars(self))


def _revive(kind: type[JWTASGIError], arguments: tuple[Any, ...], members: dict[str, Any]) -> JWTASGIError:
    error = kind.__new__(kind, *arguments)
    vars(error).update(members)
    return error


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimFailure:
    """One claim that failed, as data.

    `expected` is configuration; `actual` is what the token says, None where it is absent. It is kept out of the repr,
    since a log must not carry it.
    """

    claim: str
    reason: Reason
    expected: str
    actual: Any = field(default=None, repr=False)


class TokenError(JWTASGIError):
    """The request has no token, or the token is not good here: 401, or 400 where the request itself is malformed.

    `failures` lists every claim that failed, the weightiest first; it is empty when the fault is not in the claims.
    """

    def __init__(self, reason: Reason, detail: str = "", *, failures: tuple[ClaimFailure, ...] = ()) -> None:
        """Keep the failures beside the reason."""
        super().__init__(reason, detail)
        self.failures = failures


class AccessError(JWTASGIError):
    """The token is good and does not allow this: 403.

    Two reasons have another status: `authentication_insufficient` (401, RFC 9470: the user must authenticate anew) and
    `access_undecided` (503: an external policy could not be asked).

    Attributes:
        scopes: What a token needs here (RFC 6750 section 3.1: "the scope necessary to access the protected resource"),
            sorted. Where the rule leaves a choice, those of the first way that scopes alone would open.
        roles: The roles on that way, sorted.
        missing: The parts of the rule that are not met, as text of the configuration.
        acr_values: For a step-up, the authentication context classes that suffice.
        max_age: For a step-up, the most seconds since the user authenticated, or None.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str = "",
        *,
        scopes: tuple[str, ...] = (),
        roles: tuple[str, ...] = (),
        missing: tuple[str, ...] = (),
        acr_values: tuple[str, ...] = (),
        max_age: int | None = None,
    ) -> None:
        """Keep what was needed beside the reason."""
        super().__init__(reason, detail)
        self.scopes, self.roles, self.missing = scopes, roles, missing
        self.acr_values, self.max_age = acr_values, max_age


class KeysUnavailable(JWTASGIError):  # noqa: N818 - the public name says what is the case
    """The issuer's keys, or what it has revoked, cannot be had just now, so no token of it can be judged: 503.

    `retry_after` is in seconds from now: when an attempt may go better; 0: not known. `issuer` is the configured one.
    """

    def __init__(self, reason: Reason, detail: str = "", *, issuer: str = "", retry_after: float = 0.0) -> None:
        """Keep the time beside the reason."""
        super().__init__(reason, detail)
        self.issuer = issuer
        self.retry_after = retry_after


class ConfigurationError(JWTASGIError):
    """An option is wrong: raised when the object is built, so that the application does not start.

    `option` names it.
    """

    def __init__(self, option: str, detail: str) -> None:
        """Say which option, what is wrong with it, and what to write instead."""
        super().__init__(Reason.CONFIGURATION_INVALID, f"{option}: {detail}")
        self.option = option
