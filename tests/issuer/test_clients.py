"""What is registered of a client, and that it goes together."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from functools import cache
from typing import Any

import pytest

from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.clients import Client, new_secret, secret_digest
from jwt_asgi.issuer.signing import SigningKey

SECRET = "0123456789abcdefghijklmnopqrstuv"


@cache
def key() -> SigningKey:
    return SigningKey.new()


def jwks() -> dict[str, Any]:
    return {"keys": [dict(key().public)]}


def client(**members: Any) -> Client:
    return Client(**{"client_id": "web", "authentication": "none", **members})


def service(**members: Any) -> Client:
    return client(authentication="client_secret_basic", secrets=[secret_digest(SECRET)], **members)


def signing(**members: Any) -> Client:
    return client(**{"authentication": "private_key_jwt", "jwks": jwks(), "algorithm": "ES256", **members})


def test_a_new_secret_is_long_and_new() -> None:
    assert len(new_secret()) == 43
    assert new_secret() != new_secret()
    assert service().has_secret(SECRET)


def test_its_digest_is_kept() -> None:
    digest = hashlib.sha256(SECRET.encode()).digest()
    assert secret_digest(SECRET) == "sha256:" + urlsafe_b64encode(digest).decode().rstrip("=")


@pytest.mark.parametrize("secret", ["", SECRET[:31], "a" * 64, "abcdefghijk" * 4, None, SECRET.encode()])
def test_a_secret_that_can_be_guessed_is_refused(secret: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        secret_digest(secret)
    assert "expected 32 random characters or more, as new_secret() makes them" in str(caught.value)
    assert not secret or str(secret) not in str(caught.value)


def test_a_public_client_has_a_name_and_refreshes() -> None:
    public = client()
    assert public.is_public
    assert public.grants == frozenset({"refresh_token"})
    assert (public.scopes, public.audience, public.keys) == (frozenset(), (), None)


def test_lists_become_values() -> None:
    made = service(grants=["client_credentials"], scopes=["a", "b"], audience=["x", "y"])
    assert (made.grants, made.scopes, made.audience) == ({"client_credentials"}, {"a", "b"}, ("x", "y"))
    assert not made.is_public


def test_while_a_secret_changes_both_are_good() -> None:
    other = new_secret()
    both = client(authentication="client_secret_basic", secrets=[secret_digest(SECRET), secret_digest(other)])
    assert [both.has_secret(secret) for secret in (SECRET, other, SECRET + "x", "", "\ud800")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_its_keys_are_imported() -> None:
    keys = signing().keys
    assert keys is not None
    assert [imported.kid for imported in keys.keys] == [key().kid]


def test_its_repr_has_neither_secrets_nor_keys() -> None:
    assert "sha256" not in repr(service())
    assert key().kid not in repr(signing())


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"client_id": ""}, "client client_id: expected a text"),
        ({"client_id": " a"}, "client client_id: expected a text"),
        ({"scopes": ["a b"]}, "client scope: expected scopes without spaces"),
        ({"scopes": "a"}, "client scope: expected a list of texts; got str"),
        ({"audience": "a"}, "client audience: expected a list; got str"),
        ({"audience": [""]}, "client audience: expected a text"),
        ({"authentication": "client_secret_post"}, "client authentication: expected one of none, client_secret_basic"),
        ({"grants": []}, "client grants: expected some of refresh_token, client_credentials, for client 'web'"),
        ({"grants": ["password"]}, "client grants: expected some of"),
        ({"grants": "refresh_token"}, "client grants: expected a list; got str"),
        ({"grants": ["client_credentials"]}, "client grants: client_credentials is for clients that authenticate"),
        ({"secrets": [secret_digest(SECRET)]}, "client secrets: expected 1 to 4 for client_secret_basic, and none"),
        ({"authentication": "client_secret_basic"}, "client secrets: expected 1 to 4 for client_secret_basic"),
        (
            {"authentication": "client_secret_basic", "secrets": [secret_digest(SECRET)] * 5},
            "client secrets: expected 1 to 4",
        ),
        ({"authentication": "client_secret_basic", "secrets": [SECRET]}, "client secrets: expected what secret_digest"),
        ({"authentication": "client_secret_basic", "secrets": [1]}, "client secrets: expected what secret_digest()"),
        ({"secrets": "sha256:"}, "client secrets: expected a list; got str"),
        ({"jwks": {"keys": []}}, "client jwks: expected with private_key_jwt alone, as algorithm is"),
        ({"algorithm": "ES256"}, "client jwks: expected with private_key_jwt alone, as algorithm is"),
    ],
)
def test_members_that_do_not_go_together_are_named(members: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        client(**members)
    assert named in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"algorithm": None}, "client algorithm: expected one of RS256"),
        ({"algorithm": "HS256"}, "client algorithm: expected one of RS256"),
        ({"algorithm": "RS256"}, "client jwks: no key of it is for RS256"),
        ({"jwks": None}, "client jwks: expected a JWK Set with its public keys"),
        ({"jwks": {"keys": []}}, "client jwks: no key of the set can be used"),
        ({"secrets": [secret_digest(SECRET)]}, "client secrets: expected 1 to 4 for client_secret_basic, and none"),
    ],
)
def test_so_are_those_of_a_client_that_signs(members: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        signing(**members)
    assert named in str(caught.value)


def test_its_private_key_is_not_registered() -> None:
    with pytest.raises(ConfigurationError, match="it has a private key, which is the client's alone"):
        signing(jwks={"keys": [{**key().public, "d": "x"}]})
