"""What an application finds on the request scope."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import HTTPConnection

from jwt_asgi import AccessToken, Profile
from jwt_asgi._core.signature import Verified
from jwt_asgi.identity import TokenCredentials, TokenUser, set_identity
from tests.core.builders import KEY, access_token, good_claims


def without(*names: str) -> AccessToken:
    claims = {name: value for name, value in good_claims().items() if name not in names}
    return AccessToken(Verified({}, claims, KEY), Profile.GENERIC)


def test_a_verified_token_is_starlettes_user_and_its_scopes_are_what_requires_reads() -> None:
    token = access_token(scopes=("b", "a"), roles=("admin",))
    scope: dict[str, Any] = {"type": "http", "headers": []}
    set_identity(scope, token)
    connection = HTTPConnection(scope)
    assert scope["jwt"] is token
    assert connection.auth.scopes == ["authenticated", "a", "b"]
    assert connection.user.is_authenticated
    assert connection.user.token is token


def test_without_a_token_nobody_is_authenticated() -> None:
    scope: dict[str, Any] = {"type": "websocket", "headers": []}
    set_identity(scope, None)
    connection = HTTPConnection(scope)
    assert scope["jwt"] is None
    assert connection.auth.scopes == []
    assert not connection.user.is_authenticated


@pytest.mark.parametrize("token", [None, access_token()])
def test_whatever_was_there_is_overwritten(token: AccessToken | None) -> None:
    forged = access_token(scopes=("all",))
    scope: dict[str, Any] = {"jwt": forged, "auth": TokenCredentials(forged), "user": TokenUser(forged)}
    set_identity(scope, token)
    assert scope["jwt"] is token
    assert "all" not in scope["auth"].scopes
    assert scope["user"].is_authenticated is (token is not None)


@pytest.mark.parametrize(
    ("token", "name"),
    [(access_token(), "user-1"), (without("sub"), "client-1"), (without("sub", "client_id"), "")],
)
def test_a_user_has_the_name_of_the_subject_or_else_of_the_client(token: AccessToken, name: str) -> None:
    user = TokenUser(token)
    assert (user.display_name, user.identity) == (name, name)
    assert user.is_authenticated
