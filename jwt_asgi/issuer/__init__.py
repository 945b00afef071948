"""The token service: issues access tokens, rotates refresh tokens in families, and revokes both.

It shares only `_core` with the side that verifies. The domain comes first, and waits for nothing:

    refresh_token.py       family and generation <-> the text of a refresh token
    rotation.py            (family, generation, now) -> rotate, retry, replay ...: refresh families as a table
    key_schedule.py        when signing keys change: numbers that go together
    keyring.py             (signing keys, now, schedule) -> what becomes of each: their life as a table
    claim_values.py        values of the application -> plain JSON, without what verifiers refuse
    grants.py              the form of a request -> what is asked for; every error that is answered with

Then what signs, seals and authenticates:

    sealing.py             one secret -> the keys that refresh tokens and stored keys are protected with
    signing.py             signing keys: made, kept sealed, published, used; the boundary to joserfc and cryptography
    claims.py              (who, for whom, what, now) -> an access token (RFC 9068)
    feed.py                publishes revocations: a stream, and answers over HTTP
    clients.py             what is registered of a client
    authentication.py      a request -> who the client says it is, and whether that is so
    rate_limits.py         how often it may be asked, by whom: 429 beyond that
    rate_counters.py       what that is counted with: memory that has a bound, or Valkey or Redis

And where it is kept, and written down:

    types.py               the values that the parts hand to each other, and what a store promises
    errors.py              the store could not be asked
    audit_events.py        names of events, and records in which no secret is
    audit_log.py           writes records to the store in batches, and tells them to sinks
    store/                 where it is kept: a file of SQLite, or PostgreSQL
"""

__all__: list[str] = []
