"""The reasons that a token alone is refused for: those that `TestIssuer.bad_token` can make."""

from __future__ import annotations

from jwt_asgi import Reason

FAULTS_OF_A_TOKEN = (
    Reason.TOKEN_TOO_LARGE,
    Reason.TOKEN_MALFORMED,
    Reason.TOKEN_ENCRYPTED,
    Reason.HEADER_MALFORMED,
    Reason.HEADER_CRITICAL,
    Reason.ALGORITHM_NOT_ALLOWED,
    Reason.TYPE_NOT_ACCEPTED,
    Reason.ISSUER_UNTRUSTED,
    Reason.KEY_UNKNOWN,
    Reason.SIGNATURE_INVALID,
    Reason.CLAIM_MISSING,
    Reason.CLAIM_MALFORMED,
    Reason.AUDIENCE_MISMATCH,
    Reason.BINDING_UNSUPPORTED,
    Reason.TOKEN_NOT_YET_VALID,
    Reason.TOKEN_ISSUED_IN_FUTURE,
    Reason.TOKEN_EXPIRED,
)
