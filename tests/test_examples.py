"""The examples do what they say."""

from __future__ import annotations

from examples.plain_asgi import notes
from jwt_asgi import JWTMiddleware
from jwt_asgi.testing import TestIssuer
from tests.asgi import http


async def test_the_plain_example_reads_with_one_scope_and_writes_with_another() -> None:
    issuer = TestIssuer()
    app = JWTMiddleware(notes, **issuer.options())
    reader = issuer.token(subject="ada", scope="notes:read")

    assert (await http(app, token=reader)).json() == {"notes_of": "ada"}
    assert (await http(app, token=reader, method="POST")).status == 403
    assert (await http(app)).status == 401
