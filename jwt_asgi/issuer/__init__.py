"""The token service: issues access tokens, rotates refresh tokens in families, and revokes both.

It shares only `_core` with the side that verifies. The domain comes first, and waits for nothing:

    refresh_token.py       family and generation <-> the text of a refresh token
    rotation.py            (family, generation, now) -> rotate, retry, replay ...: refresh families as a table
"""
