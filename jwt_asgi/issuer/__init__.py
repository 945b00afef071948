"""The token service: issues access tokens, rotates refresh tokens in families, and revokes both.

It shares only `_core` with the side that verifies. The domain comes first, and waits for nothing:

    refresh_token.py       family and generation <-> the text of a refresh token
    rotation.py            (family, generation, now) -> rotate, retry, replay ...: refresh families as a table
    types.py               the values that the parts hand to each other, and what a store promises
    errors.py              the store could not be asked
    store/                 where it is kept: a file of SQLite, or PostgreSQL
"""
