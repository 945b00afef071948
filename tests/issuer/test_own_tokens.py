"""Which revocations cover a token; the rest is tested where tokens are introspected and revoked."""

from __future__ import annotations

from typing import Any

import pytest

from jwt_asgi._core.jwks import KeySet
from jwt_asgi.issuer.own_tokens import is_revoked, read_access_token, revocation_keys
from jwt_asgi.issuer.types import Entry

CLAIMS: dict[str, Any] = {"iss": "i", "sub": "ada", "jti": "1", "client_id": "spa", "sid": "s", "iat": 100}


@pytest.mark.parametrize(
    ("kind", "before", "covered"),
    [("s", 0.0, True), ("j", 0.0, True), ("k", 0.0, True), ("u", 99.9, False), ("u", 100.0, True), ("c", 100.9, True)],
)
def test_a_cut_off_covers_what_was_issued_until_then_and_others_cover_all(
    kind: Any, before: float, covered: bool
) -> None:
    assert is_revoked(CLAIMS, [Entry(seq=1, kind=kind, key=b"", until=0, before=before)]) is covered
    assert not is_revoked(CLAIMS, [])


def test_a_token_is_looked_for_by_all_that_it_names() -> None:
    assert len(set(revocation_keys(CLAIMS, "kid"))) == 5
    of_a_client = {name: value for name, value in CLAIMS.items() if name != "sid"}
    assert len(revocation_keys({**of_a_client, "gen": None}, "kid")) == 4


def test_without_a_key_nothing_is_ours() -> None:
    assert read_access_token("eyJhbGciOiJFUzI1NiJ9.e30.AA", KeySet(()), issuer="i", now=0) is None
