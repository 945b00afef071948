"""Every error, reason and status: four families, by who must act.

JWTASGIError
├── TokenError            the client: sent no token, or one that is not good here   401 (400 when malformed)
├── AccessError           the client's owner: a good token that is not allowed this 403
├── KeysUnavailable       the operator: the issuer's keys cannot be had just now    503
└── ConfigurationError    the developer: an option is wrong                         at start, never in a request

Nothing else leaves `Verifier.verify`; anything else is a bug. Messages name what was expected and what to do. They hold
configuration and structure, never token text, so that they are safe in a log.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self

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
    `error` the code of RFC 6750 section 3.1 in the challenge (None: the challenge carries none), `summary` says what is
    wrong in a line that may be logged, and `advice` what to check and what to do.
    """

    status: int
    error: str | None
    summary: str
    advice: str

    def __new__(cls, code: str, status: int, error: str | None, summary: str, advice: str) -> Self:
        """Take one row of the table below."""
        reason = object.__new__(cls)
        reason._value_ = code
        reason.status, reason.error, reason.summary, reason.advice = status, error, summary, advice
        return reason

    # How the token travelled (RFC 6750 sections 2 and 3.1)
    CREDENTIALS_MISSING = (
        "credentials_missing",
        401,
        None,
        "the request has no Authorization header",
        "Send `Authorization: Bearer <token>`. A proxy in front may drop the header.",
    )
    SCHEME_UNSUPPORTED = (
        "scheme_unsupported",
        401,
        None,
        "the Authorization header is of another scheme than Bearer",
        "Send the token under the scheme `Bearer`, not `Basic`, `Token` or `JWT`.",
    )
    CREDENTIALS_MALFORMED = (
        "credentials_malformed",
        400,
        _REQUEST,
        "the Authorization header is not `Bearer <token>`",
        "Send one space and one token after `Bearer`: no quotes, commas, line breaks.",
    )
    CREDENTIALS_DUPLICATE = (
        "credentials_duplicate",
        400,
        _REQUEST,
        "the request carries more than one access token",
        "Send one Authorization header, and no `access_token` in the query string.",
    )

    # The shape of the token (RFC 7515, RFC 7519)
    TOKEN_TOO_LARGE = (
        "token_too_large",
        401,
        _INVALID,
        "the token is larger than the limit",
        "Have the issuer put fewer claims, such as group lists, into the token.",
    )
    TOKEN_MALFORMED = (
        "token_malformed",
        401,
        _INVALID,
        "the token is not a signed JWT in compact serialization",
        "Send the access token itself. An opaque token means that the issuer was not asked for this API's audience.",
    )
    TOKEN_ENCRYPTED = (
        "token_encrypted",
        401,
        _INVALID,
        "the token is an encrypted JWT (JWE), which is not accepted",
        "Turn the encryption of access tokens off at the issuer, for this API.",
    )
    HEADER_MALFORMED = (
        "header_malformed",
        401,
        _INVALID,
        "a member of the token's header is missing or ill-formed",
        "No known issuer sends this: find out who made the token.",
    )
    HEADER_CRITICAL = (
        "header_critical",
        401,
        _INVALID,
        "the token's header asks for an extension (crit or b64)",
        "No extension is supported. Have the issuer sign plain JWTs.",
    )
    ALGORITHM_NOT_ALLOWED = (
        "algorithm_not_allowed",
        401,
        _INVALID,
        "the token's alg is not in the allow-list",
        "Compare the issuer's signing algorithm with `algorithms`. `EdDSA` and `Ed25519` are two names. If the "
        "issuer does not use it, someone tries an attack.",
    )
    TYPE_NOT_ACCEPTED = (
        "type_not_accepted",
        401,
        _INVALID,
        "the token says that it is of another kind",
        "Send the access token, not the ID token, refresh token or logout token. With `Profile.RFC9068`, `typ` "
        "must be `at+jwt`.",
    )
    ISSUER_UNTRUSTED = (
        "issuer_untrusted",
        401,
        _INVALID,
        "the token's iss is not a configured issuer",
        "Compare `iss` with `issuer`, character by character: most often a trailing slash, another tenant, or "
        "another environment.",
    )

    # Its key and signature
    KEY_UNKNOWN = (
        "key_unknown",
        401,
        _INVALID,
        "the issuer publishes no key with the token's kid",
        "Look for the kid in the issuer's key set. If it is not there, the token is of another environment, or "
        "its key was withdrawn; get a new token.",
    )
    KEY_UNSUITABLE = (
        "key_unsuitable",
        401,
        _INVALID,
        "no key of the issuer that the token may mean fits its alg",
        "Look at `kty`, `crv`, `use`, `key_ops` and `alg` of the key with this kid in the issuer's key set.",
    )
    SIGNATURE_INVALID = (
        "signature_invalid",
        401,
        _INVALID,
        "the signature does not verify with the issuer's key",
        "The token was changed on its way, cut off, or signed by someone else. If good tokens get this, the "
        "issuer has changed a key under its old kid.",
    )

    # Its claims (RFC 7519 section 4.1, RFC 9068 section 2.2)
    CLAIM_MISSING = (
        "claim_missing",
        401,
        _INVALID,
        "a required claim is missing",
        "The log and `explain` name it. An issuer that never sends it needs another profile.",
    )
    CLAIM_MALFORMED = (
        "claim_malformed",
        401,
        _INVALID,
        "a claim is not of the type that its specification asks for",
        "The log and `explain` name it. Dates are numbers of seconds, not strings or milliseconds.",
    )
    AUDIENCE_MISMATCH = (
        "audience_mismatch",
        401,
        _INVALID,
        "the token is meant for another audience",
        "Have the client ask the issuer for this API (parameter `audience` or `resource`), or set `audience` to "
        "what `aud` says, if that names this API.",
    )
    BINDING_UNSUPPORTED = (
        "binding_unsupported",
        401,
        _INVALID,
        "the token is bound to a key (cnf) that is not checked",
        "The issuer bound the token by DPoP or mutual TLS, which is not checked here. Ask for a plain Bearer token.",
    )
    TOKEN_NOT_YET_VALID = (
        "token_not_yet_valid",
        401,
        _INVALID,
        "the token's nbf is in the future",
        "Compare the clocks of the issuer and of this machine; `leeway` covers 30 seconds by default.",
    )
    TOKEN_ISSUED_IN_FUTURE = (
        "token_issued_in_future",
        401,
        _INVALID,
        "the token's iat is in the future",
        "Compare the clocks of the issuer and of this machine; `leeway` covers 30 seconds by default.",
    )
    TOKEN_TOO_OLD = (
        "token_too_old",
        401,
        _INVALID,
        "the token was issued longer ago than max_age",
        "Get a new token, or raise `max_age`.",
    )
    LIFETIME_TOO_LONG = (
        "lifetime_too_long",
        401,
        _INVALID,
        "the token is valid for longer than max_lifetime",
        "Have the issuer shorten the lifetime of access tokens, or raise `max_lifetime`.",
    )
    TOKEN_EXPIRED = (
        "token_expired",
        401,
        _INVALID,
        "the token has expired",
        "Get a new token. If fresh tokens get this, this machine's clock is ahead.",
    )

    # What it allows (RFC 6750 section 3.1, RFC 9110 section 15.5.4)
    SCOPE_MISSING = (
        "scope_missing",
        403,
        _SCOPE,
        "the token lacks a scope that this needs",
        "Have the client ask for the scope that the challenge names, and the issuer grant it. See in `explain` "
        "which claim holds scopes.",
    )
    ROLE_MISSING = (
        "role_missing",
        403,
        None,
        "the token lacks a role that this needs",
        "Give the user the role at the issuer, and see that the profile's `roles` names the claim that holds it.",
    )

    # The issuer's keys
    KEYS_UNAVAILABLE = (
        "keys_unavailable",
        503,
        None,
        "the issuer's keys could not be fetched",
        "The log says what the issuer answered. Check its URL, DNS, the way out of this network, and certificates.",
    )
    KEYS_UNUSABLE = (
        "keys_unusable",
        503,
        None,
        "the issuer's key set holds no usable key",
        "Look at the key set: JSON with an array `keys` of RSA (2048 bits or more), EC or OKP public keys for "
        "signatures.",
    )
    KEYS_EXPIRED = (
        "keys_expired",
        503,
        None,
        "the issuer's keys are too old, and could not be fetched anew",
        "As `keys_unavailable`; it has lasted longer than `stale_if_error`.",
    )
    KEYS_BUSY = (
        "keys_busy",
        503,
        None,
        "too many requests wait for the issuer's keys",
        "The issuer is slow, and has not been reached since the start. As `keys_unavailable`.",
    )
    DISCOVERY_FAILED = (
        "discovery_failed",
        503,
        None,
        "the issuer's metadata could not be had, or is not the issuer's",
        "The log names each URL and its fault. `issuer` must be exactly what the metadata says; or set `jwks_uri`.",
    )

    # The application
    CONFIGURATION_INVALID = (
        "configuration_invalid",
        500,
        None,
        "an option is wrong",
        "The message names the option, what was expected, and what to write. It stops the start, and never "
        "answers a request.",
    )

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

    `scopes` and `roles` name all that the refused rule asks for (RFC 6750 section 3.1: "the scope necessary to access
    the protected resource"), sorted.
    """

    def __init__(
        self, reason: Reason, detail: str = "", *, scopes: tuple[str, ...] = (), roles: tuple[str, ...] = ()
    ) -> None:
        """Keep what was needed beside the reason."""
        super().__init__(reason, detail)
        self.scopes = scopes
        self.roles = roles


class KeysUnavailable(JWTASGIError):  # noqa: N818 - the public name says what is the case
    """The issuer's keys cannot be had just now, so no token of it can be judged: 503.

    `retry_after` is in seconds from now: when an attempt may go better. `issuer` is the configured one.
    """

    def __init__(self, reason: Reason, detail: str = "", *, issuer: str = "", retry_after: float = 1.0) -> None:
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
