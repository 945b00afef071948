"""The token service: issues access tokens, rotates refresh tokens in families, and revokes both.

It shares only `_core` with the side that verifies. The domain comes first, and waits for nothing:

    refresh_token.py       family and generation <-> the text of a refresh token
    rotation.py            (family, generation, now) -> rotate, retry, replay ...: refresh families as a table
    key_schedule.py        when signing keys change: numbers that go together
    keyring.py             (signing keys, now, schedule) -> what becomes of each: their life as a table
    claim_values.py        values of the application -> plain JSON, without what verifiers refuse
    grants.py              the form of a request -> what is asked for; every error that is answered with
    cross_origin.py        a browser's request -> whether a page of another origin may have made it
    cookies.py             a refresh token <-> the cookie that a browser keeps it in

Then what signs, seals and authenticates:

    sealing.py             one secret -> the keys that refresh tokens and stored keys are protected with
    signing.py             signing keys: made, kept sealed, published, used; the boundary to joserfc and cryptography
    claims.py              (who, for whom, what, now) -> an access token (RFC 9068)
    feed.py                publishes revocations: a stream, and answers over HTTP
    clients.py             what is registered of a client
    authentication.py      a request -> who the client says it is, and whether that is so
    rate_limits.py         how often it may be asked, by whom: 429 beyond that
    rate_counters.py       what that is counted with: memory that has a bound, or Valkey or Redis

Then the service, and how it is reached:

    service.py             TokenService: what the application and the endpoints call
    issuing.py             who, for whom, what -> tokens: a new session of a user, or a client in its own name
    refreshing.py          a refresh token -> the next tokens of its session
    revoking.py            a session, a user, a client or a token -> its revocation
    introspection.py       a token -> what may be said of it to who asks
    own_tokens.py          an access token -> its claims, if this service signed it, and whether it is revoked
    signing_keys.py        the signing keys as this process knows them
    together.py            what many ask for at once is done once
    confirmations.py       an access token was seen, so the refresh token beside it has arrived
    housekeeping.py        what is done again and again while the service runs
    endpoints.py           the ASGI application: token, revocation, introspection, keys, metadata
    session_endpoints.py   the one for browsers, by the cookie: refresh, ack, logout, logout everywhere
    metadata.py            what it says of itself
    answers.py             errors and tokens -> answers of HTTP
    in_process.py          what is published, for a verifier in the same process

And where it is kept, and written down:

    types.py               the values that the parts hand to each other, and what a store promises
    errors.py              the store could not be asked
    audit_events.py        names of events, and records in which no secret is
    audit_log.py           writes records to the store in batches, and tells them to sinks
    store/                 where it is kept: a file of SQLite, or PostgreSQL
"""

try:
    import sqlalchemy as _sqlalchemy  # noqa: F401
except ImportError as error:
    raise ImportError('the token service needs more packages: pip install "jwt-asgi[issuer]"') from error

from jwt_asgi.issuer.audit_log import AuditLog
from jwt_asgi.issuer.claims import ClaimsError, TokenContext
from jwt_asgi.issuer.clients import Client, new_secret, secret_digest
from jwt_asgi.issuer.endpoints import metadata_route, token_endpoints
from jwt_asgi.issuer.errors import StoreUnavailable
from jwt_asgi.issuer.grants import Fault, GrantError
from jwt_asgi.issuer.in_process import in_process
from jwt_asgi.issuer.issuing import Tokens
from jwt_asgi.issuer.key_schedule import KeySchedule
from jwt_asgi.issuer.rate_limits import RateLimited, RateLimits
from jwt_asgi.issuer.rotation import RotationPolicy
from jwt_asgi.issuer.sealing import MasterKeys
from jwt_asgi.issuer.service import TokenService
from jwt_asgi.issuer.store import PostgreSQLStore, SQLiteStore, open_store
from jwt_asgi.issuer.types import Session

__all__ = [
    "AuditLog",
    "ClaimsError",
    "Client",
    "Fault",
    "GrantError",
    "KeySchedule",
    "MasterKeys",
    "PostgreSQLStore",
    "RateLimited",
    "RateLimits",
    "RotationPolicy",
    "SQLiteStore",
    "Session",
    "StoreUnavailable",
    "TokenContext",
    "TokenService",
    "Tokens",
    "in_process",
    "metadata_route",
    "new_secret",
    "open_store",
    "secret_digest",
    "token_endpoints",
]
