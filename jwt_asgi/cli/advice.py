"""What to check and what to do for each reason: one source for `explain` and for the reference page."""

from jwt_asgi.errors import Reason

__all__ = ["ADVICE"]

ADVICE = {
    Reason.CREDENTIALS_MISSING: "Send `Authorization: Bearer <token>`. A proxy in front may drop the header.",
    Reason.SCHEME_UNSUPPORTED: "Send the token under the scheme `Bearer`, not `Basic`, `Token` or `JWT`.",
    Reason.CREDENTIALS_MALFORMED: "Send one space and one token after `Bearer`: no quotes, commas, line breaks.",
    Reason.CREDENTIALS_DUPLICATE: "Send one Authorization header, and no `access_token` in the query string.",
    Reason.TOKEN_TOO_LARGE: "Have the issuer put fewer claims, such as group lists, into the token.",
    Reason.TOKEN_MALFORMED: (
        "Send the access token itself. An opaque token means that the issuer was not asked for this API's audience."
    ),
    Reason.TOKEN_ENCRYPTED: "Turn the encryption of access tokens off at the issuer, for this API.",
    Reason.HEADER_MALFORMED: "No known issuer sends this: find out who made the token.",
    Reason.HEADER_CRITICAL: "No extension is supported. Have the issuer sign plain JWTs.",
    Reason.ALGORITHM_NOT_ALLOWED: (
        "Compare the issuer's signing algorithm with `algorithms`. `EdDSA` and `Ed25519` are two names. If the "
        "issuer does not use it, someone tries an attack."
    ),
    Reason.TYPE_NOT_ACCEPTED: (
        "Send the access token, not the ID token, refresh token or logout token. With `Profile.RFC9068`, `typ` must "
        "be `at+jwt`."
    ),
    Reason.ISSUER_UNTRUSTED: (
        "Compare `iss` with `issuer`, character by character: most often a trailing slash, another tenant, or "
        "another environment."
    ),
    Reason.TENANT_MISMATCH: (
        "If this provider's tokens have no such claim, write `TrustedTenants(..., claim=None)`. Otherwise find out who "
        "made the token."
    ),
    Reason.KEY_UNKNOWN: (
        "Look for the kid in the issuer's key set. If it is not there, the token is of another environment, or its "
        "key was withdrawn; get a new token."
    ),
    Reason.KEY_UNSUITABLE: (
        "Look at `kty`, `crv`, `use`, `key_ops` and `alg` of the key with this kid in the issuer's key set, and with "
        "Entra ID and tenants at its `issuer`, which must be the token's."
    ),
    Reason.SIGNATURE_INVALID: (
        "The token was changed on its way, cut off, or signed by someone else. If good tokens get this, the issuer "
        "has changed a key under its old kid."
    ),
    Reason.CLAIM_MISSING: "The log and `explain` name it. An issuer that never sends it needs another profile.",
    Reason.CLAIM_MALFORMED: "The log and `explain` name it. Dates are numbers of seconds, not strings or milliseconds.",
    Reason.AUDIENCE_MISMATCH: (
        "Have the client ask the issuer for this API (parameter `audience` or `resource`), or set `audience` to what "
        "`aud` says, if that names this API."
    ),
    Reason.BINDING_UNSUPPORTED: (
        "The issuer bound the token by DPoP or mutual TLS, which is not checked here. Ask for a plain Bearer token."
    ),
    Reason.TOKEN_NOT_YET_VALID: (
        "Compare the clocks of the issuer and of this machine; `leeway` covers 30 seconds by default."
    ),
    Reason.TOKEN_ISSUED_IN_FUTURE: (
        "Compare the clocks of the issuer and of this machine; `leeway` covers 30 seconds by default."
    ),
    Reason.TOKEN_TOO_OLD: "Get a new token, or raise `max_age`.",
    Reason.LIFETIME_TOO_LONG: "Have the issuer shorten the lifetime of access tokens, or raise `max_lifetime`.",
    Reason.TOKEN_EXPIRED: "Get a new token. If fresh tokens get this, this machine's clock is ahead.",
    Reason.TOKEN_REVOKED: (
        "The client gets a new token, for which the user may have to log in again. The token service's audit log says "
        "who revoked it, and why."
    ),
    Reason.IDENTITY_CHANGED: (
        "Send a token of the same user and client on this connection, and open another connection for another one. "
        "Tokens with neither a subject nor a client cannot be renewed."
    ),
    Reason.SCOPE_MISSING: (
        "Have the client ask for the scope that the challenge names, and the issuer grant it. See in `explain` which "
        "claim holds scopes."
    ),
    Reason.ROLE_MISSING: (
        "Give the user the role at the issuer, and see that the profile's `roles` names the claim that holds it."
    ),
    Reason.PERMISSION_MISSING: (
        "Give the user or the client the permission at the issuer, and see that the profile's `permissions` names the "
        "claim that holds it."
    ),
    Reason.ACCESS_DENIED: (
        "The log says which part of the rule is not met. `cannot be told here` means that the route has no such path "
        "parameter, or that its value cannot be in a scope."
    ),
    Reason.ROUTE_NOT_COVERED: (
        'Add a rule for this route, or `"/*": AnyToken()` for all that have none. Paths that routers may read in two '
        "ways (`//`, `..`, `%2F`, `;`) are covered by no rule."
    ),
    Reason.AUTHENTICATION_INSUFFICIENT: (
        "The client sends the user to the issuer again, with the `acr_values` and `max_age` of the challenge (RFC "
        "9470). See that the issuer puts `acr` and `auth_time` into access tokens."
    ),
    Reason.ACCESS_UNDECIDED: (
        "An `ExternalPolicy` failed or did not answer in time, or the function given as `grants` failed: the log has "
        "it."
    ),
    Reason.KEYS_UNAVAILABLE: (
        "The log says what the issuer answered. Check its URL, DNS, the way out of this network, and certificates."
    ),
    Reason.KEYS_UNUSABLE: (
        "Look at the key set: JSON with an array `keys` of RSA (2048 bits or more), EC or OKP public keys for "
        "signatures."
    ),
    Reason.KEYS_EXPIRED: "As `keys_unavailable`; it has lasted longer than `stale_if_error`.",
    Reason.KEYS_BUSY: (
        "The issuer is slow, and very many requests wait for it: for its first keys, or for keys that nobody knows. As "
        "`keys_unavailable`."
    ),
    Reason.ISSUER_UNRESOLVED: (
        "Your allow-list or resolver raised an exception, or returned another issuer's `TrustedIssuer`: the log has it."
    ),
    Reason.DISCOVERY_FAILED: (
        "The log names each URL and its fault. `issuer` must be exactly what the metadata says; or set `jwks_uri`."
    ),
    Reason.REVOCATION_UNAVAILABLE: (
        "`RevocationFeed.status()` says when something was heard last, and what failed. Look whether the publisher "
        "runs, and whether its database, Valkey or endpoint can be reached from here."
    ),
    Reason.CONFIGURATION_INVALID: (
        "The message names the option, what was expected, and what to write. It stops the start, and never answers a "
        "request."
    ),
}
