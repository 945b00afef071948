"""The test kit: an issuer in the test's own process, its tokens, good and bad, and clients that carry them.

The application under test stays as it is, with the issuer, the profile and the options that it has in production, and
the real verifier runs; for as long as the block lasts, the test's issuer answers in place of the real one:

    with TestIssuer.of(app).standing_in() as issuer:
        client = issuer.client(app)
        assert client.as_user("ada", scope="todos:read").get("/todos").status_code == 200
        assert client.with_token(issuer.bad_token("token_expired")).get("/todos").status_code == 401

`plugin.py` has fixtures for pytest that do the same. Nothing but tests imports this package.
"""

from jwt_asgi.testing.bad_tokens import BAD_TOKENS
from jwt_asgi.testing.issuer import TestIssuer, TrustingOptions
from jwt_asgi.testing.signing import SigningKeys
from jwt_asgi.testing.tokens import TokenOptions

__all__ = ["BAD_TOKENS", "SigningKeys", "TestIssuer", "TokenOptions", "TrustingOptions"]
