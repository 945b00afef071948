"""Every profile reads the tokens of the kit as they were asked for, through a real door."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from jwt_asgi import ConfigurationError, Profile, Skip
from jwt_asgi.profiles import PROFILES
from jwt_asgi.testing import SigningKeys, TestIssuer
from jwt_asgi.testing.tokens import FILLING
from tests.asgi import http
from tests.testing.doors import AUDIENCE, door

KEYS = SigningKeys()
WITH_SCOPES = {name: profile for name, profile in PROFILES.items() if profile.scopes and profile.roles}


async def told(profile: Profile, *, options: Mapping[str, Any] | None = None, **token: Any) -> dict[str, Any]:
    """What an application of this profile is told of such a token."""
    app = door(profile=profile, **(options or {}))
    with TestIssuer.of(app, keys=KEYS).standing_in() as issuer:
        answer = await http(app, token=issuer.token(**token))
    assert answer.status == 200, answer.challenge
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
async def test_a_plain_token_is_good_in_every_profile(profile: Profile) -> None:
    found = await told(profile)
    assert (found["subject"], found["audience"]) == ("user-1", [AUDIENCE])
    assert found["client"] == (AUDIENCE if profile is Profile.COGNITO else "client-1")
    assert found["roles"] == []
    assert found["scopes"] == ([FILLING] if profile in (Profile.ENTRA_V1, Profile.ENTRA_V2) else [])


@pytest.mark.parametrize("profile", WITH_SCOPES.values(), ids=WITH_SCOPES)
@pytest.mark.parametrize("scope", ["todos:write todos:read", ["todos:write", "todos:read"]])
async def test_scopes_roles_and_client_are_read_as_they_were_asked_for(profile: Profile, scope: Any) -> None:
    found = await told(profile, subject="ada", scope=scope, roles=["admin", "owner"], client_id="shop")
    assert (found["subject"], found["client"], found["audience"]) == ("ada", "shop", [AUDIENCE])
    assert found["scopes"] == ["todos:read", "todos:write"]
    assert found["roles"] == ["admin", "owner"]


@pytest.mark.parametrize(
    ("profile", "written"),
    [
        (Profile.GENERIC, {"scope": "a b", "roles": ["r"], "client_id": "c"}),
        (Profile.ENTRA_V1, {"scp": "a b", "roles": ["r"], "appid": "c", "ver": "1.0"}),
        (Profile.ENTRA_V2, {"scp": "a b", "roles": ["r"], "azp": "c", "ver": "2.0"}),
        (Profile.AUTH0, {"scope": "a b", "permissions": ["p", "r"], "client_id": "c"}),
        (Profile.OKTA, {"scp": ["a", "b"], "groups": ["r"], "cid": "c"}),
        (Profile.KEYCLOAK, {"scope": "a b", "realm_access": {"roles": ["r"]}, "azp": "c", "typ": "Bearer"}),
        (Profile.COGNITO, {"scope": "a b", "cognito:groups": ["r"], "client_id": "c", "token_use": "access"}),
        (Profile.ZITADEL, {"urn:zitadel:iam:org:project:roles": {"r": {"organization": "test"}}, "client_id": "c"}),
    ],
    ids=lambda value: value.name if isinstance(value, Profile) else "",
)
async def test_claims_are_where_the_provider_writes_them(profile: Profile, written: Mapping[str, Any]) -> None:
    found = await told(profile, scope="a b", roles=["r"], client_id="c", permissions=["p"])
    expected = {"permissions": ["p"], **written}
    assert {name: found["claims"].get(name) for name in expected} == expected


async def test_a_token_of_cognito_is_for_its_client_unless_a_client_is_named() -> None:
    plain = (await told(Profile.COGNITO))["claims"]
    assert ("aud" in plain, plain["client_id"]) == (False, AUDIENCE)
    bound = (await told(Profile.COGNITO, client_id="shop"))["claims"]
    assert (bound["aud"], bound["client_id"]) == (AUDIENCE, "shop")


async def test_the_type_is_that_of_an_access_token_where_the_profile_knows_one() -> None:
    assert (await told(Profile.KEYCLOAK))["type"] == "at+jwt"
    assert (await told(Profile.GOOGLE))["type"] == "JWT"


@pytest.mark.parametrize("types", [{None}, {"access+jwt"}])
async def test_the_type_is_what_a_profile_of_ones_own_accepts(types: set[str | None]) -> None:
    own = Profile(name="OWN", types=frozenset(types))
    assert {(await told(own))["type"]} == types


async def test_a_profile_of_ones_own_gets_what_it_asks_for() -> None:
    own = Profile.KEYCLOAK.replace(
        roles=[("resource_access", "my-api", "roles")], scopes=[("grants", "scope")], audience=[("for", "api")]
    )
    found = await told(own, scope="a", roles=["r"])
    assert (found["scopes"], found["roles"], found["audience"]) == (["a"], ["r"], [AUDIENCE])
    strict = Profile(
        name="STRICT",
        types=Profile.RFC9068.types,
        required=("email", "iat"),
        required_one_of=(("x", "y"),),
        kinds=(("use", frozenset({"b", "a"})),),
        audience=(),
        client=(),
    )
    claims = (await told(strict, options={"audience": Skip.AUDIENCE_CHECK}))["claims"]
    assert (claims["email"], claims["x"], claims["use"], claims["aud"]) == (FILLING, FILLING, "a", "https://api.test")


@pytest.mark.parametrize("keyword", ["scope", "roles"])
def test_a_profile_without_scopes_or_roles_refuses_them(keyword: str) -> None:
    issuer = TestIssuer(algorithms=["ES256"], profile=Profile.GOOGLE)
    options: Any = {keyword: ["x"]}
    with pytest.raises(ConfigurationError, match="tokens of profile GOOGLE have no such claim") as caught:
        issuer.token(**options)
    assert caught.value.option == keyword


def test_a_profile_without_clients_refuses_one() -> None:
    own = Profile(name="OWN", types=Profile.GENERIC.types, client=())
    with pytest.raises(ConfigurationError, match="client_id"):
        TestIssuer(algorithms=["ES256"], profile=own).token(client_id="shop")


async def test_a_token_lasts_no_longer_than_the_application_allows() -> None:
    claims = (await told(Profile.GENERIC, options={"max_lifetime": 60, "max_age": 60}))["claims"]
    assert claims["exp"] - claims["iat"] == 60
