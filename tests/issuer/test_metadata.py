"""What the service says of itself is under its own URL."""

from __future__ import annotations

import json

import pytest

from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.metadata import check_issuer, metadata_of


@pytest.mark.parametrize("issuer", ["https://auth.test", "https://auth.test/", "http://localhost:8000/auth"])
def test_every_endpoint_is_under_the_issuer(issuer: str) -> None:
    found = metadata_of(check_issuer(issuer))
    document = json.loads(found.answer.body)
    assert document["issuer"] == issuer, "character for character"
    urls = [value for name, value in document.items() if name.endswith(("_endpoint", "_uri"))]
    base = issuer.rstrip("/")
    assert {url.removeprefix(base) for url in urls} == {"/token", "/revoke", "/introspect", "/jwks"}
    assert {*found.endpoints} <= {*urls}
    assert dict(found.answer.headers)[b"content-length"] == str(len(found.answer.body)).encode()


@pytest.mark.parametrize(
    "issuer", ["", "auth.test", "https://", "https://a@b", "https://a?b", "https://a#b", "https://["]
)
def test_an_issuer_under_which_nothing_can_be_is_refused(issuer: str) -> None:
    with pytest.raises(ConfigurationError):
        check_issuer(issuer)
