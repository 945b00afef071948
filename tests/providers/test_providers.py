"""Each provider's access tokens pass under its profile and are read right; whatever else it signs is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest

from jwt_asgi import AccessToken, Profile, Reason, TokenError, TrustedIssuer, Verifier
from jwt_asgi.profiles import PROFILES
from jwt_asgi.testing import TestIssuer
from tests.providers.samples import (
    COGNITO,
    COGNITO_CLIENT,
    ENTRA_V2,
    KEYCLOAK,
    NOW,
    PROVIDERS,
    USER,
    ZITADEL,
    ZITADEL_PROJECT,
    Accepted,
    Provider,
    Refused,
)

ACCEPTED = [
    pytest.param(provider, token, id=f"{name}-{kind}")
    for name, provider in PROVIDERS.items()
    for kind, token in provider.accepted.items()
]
REFUSED = [
    pytest.param(provider, token, id=f"{name}-{kind}")
    for name, provider in PROVIDERS.items()
    for kind, token in provider.refused.items()
]


@cache
def issuer_of(provider: str) -> TestIssuer:
    return TestIssuer(provider, clock=lambda: NOW)


async def verify(
    provider: Provider,
    header: dict[str, Any],
    claims: dict[str, Any],
    *,
    profile: Profile | None = None,
    audience: Sequence[str] | None = None,
) -> AccessToken:
    """Sign these claims as they are, with no other header than this, and verify as an application would."""
    issuer = issuer_of(provider.issuer)
    key = issuer._signing["RS256"]
    token = key.sign({"alg": key.alg, "kid": key.kid, **header}, json.dumps(claims).encode())
    trusted = TrustedIssuer(
        issuer=provider.issuer,
        audience=provider.audience if audience is None else audience,
        algorithms=["RS256"],
        fetch=issuer.fetch,
        profile=provider.profile if profile is None else profile,
    )
    return await Verifier(trusted, clock=lambda: NOW).verify(token)


async def reason_for(*arguments: Any, **options: Any) -> Reason:
    with pytest.raises(TokenError) as caught:
        await verify(*arguments, **options)
    return caught.value.reason


def test_every_named_profile_of_a_provider_has_tokens_here() -> None:
    assert {name: provider.profile for name, provider in PROVIDERS.items()} == {
        name: profile for name, profile in PROFILES.items() if name not in {"generic", "rfc9068"}
    }


@pytest.mark.parametrize(("provider", "token"), ACCEPTED)
async def test_an_access_token_passes_and_is_read_right(provider: Provider, token: Accepted) -> None:
    read = await verify(provider, token.header, token.claims)
    assert read.subject == token.claims["sub"]
    assert read.client_id == token.client
    assert read.audience == token.audience
    assert read.scopes == token.scopes
    assert read.roles == token.roles


@pytest.mark.parametrize(("provider", "token"), REFUSED)
async def test_what_is_no_access_token_for_this_api_is_refused(provider: Provider, token: Refused) -> None:
    assert await reason_for(provider, token.header, token.claims) is token.reason


@pytest.mark.parametrize(
    ("provider", "token"),
    [param for param in REFUSED if isinstance(param.values[1], Refused) and param.values[1].generic],
)
async def test_and_nothing_but_the_profile_refuses_it(provider: Provider, token: Refused) -> None:
    assert await verify(provider, token.header, token.claims, profile=Profile.GENERIC)


@pytest.mark.parametrize(("provider", "token"), ACCEPTED)
async def test_a_token_for_another_audience_is_refused(provider: Provider, token: Accepted) -> None:
    reason = await reason_for(provider, token.header, token.claims, audience=["https://elsewhere.example"])
    assert reason is Reason.AUDIENCE_MISMATCH


@pytest.mark.parametrize(("provider", "token"), ACCEPTED)
async def test_a_token_of_another_tenant_is_refused(provider: Provider, token: Accepted) -> None:
    claims = {**token.claims, "iss": f"{token.claims['iss']}x"}
    assert await reason_for(provider, token.header, claims) is Reason.ISSUER_UNTRUSTED


@pytest.mark.parametrize(("provider", "token"), ACCEPTED)
async def test_a_token_of_an_explicit_other_type_is_refused(provider: Provider, token: Accepted) -> None:
    for typ in ("logout+jwt", "secevent+jwt", "oauth-authz-req+jwt"):
        assert await reason_for(provider, {"typ": typ}, token.claims) is Reason.TYPE_NOT_ACCEPTED


@pytest.mark.parametrize(("provider", "token"), ACCEPTED)
async def test_what_tells_an_access_token_must_be_there(provider: Provider, token: Accepted) -> None:
    profile = provider.profile
    groups = [
        *((name,) for name in profile.required),
        *((name,) for name, _ in profile.kinds),
        *profile.required_one_of,
    ]
    assert groups
    for group in groups:
        claims = {name: value for name, value in token.claims.items() if name not in group}
        assert await reason_for(provider, token.header, claims) is Reason.CLAIM_MISSING, group


# --- what one provider alone needs ------------------------------------------------------------------------------------


async def test_cognito_tokens_without_aud_are_for_their_client() -> None:
    token = COGNITO.accepted["of a user"]
    assert "aud" not in token.claims
    assert await reason_for(COGNITO, token.header, token.claims, profile=Profile.GENERIC) is Reason.CLAIM_MISSING
    assert (await verify(COGNITO, token.header, token.claims)).audience == (COGNITO_CLIENT,)


async def test_a_cognito_token_that_is_bound_to_this_api_passes_for_the_api() -> None:
    token = COGNITO.accepted["of a user"]
    bound = {**token.claims, "aud": "https://api.example.com"}
    read = await verify(COGNITO, token.header, bound, audience=["https://api.example.com"])
    assert read.audience == ("https://api.example.com",)
    assert read.client_id == COGNITO_CLIENT


@pytest.mark.parametrize("aud", [None, 7, {}, True])
async def test_an_odd_aud_of_cognito_does_not_make_the_client_count(aud: object) -> None:
    token = COGNITO.accepted["of a user"]
    assert await reason_for(COGNITO, token.header, {**token.claims, "aud": aud}) is Reason.CLAIM_MALFORMED


async def test_an_empty_aud_of_cognito_names_nobody() -> None:
    token = COGNITO.accepted["of a user"]
    assert await reason_for(COGNITO, token.header, {**token.claims, "aud": []}) is Reason.AUDIENCE_MISMATCH


async def test_the_client_roles_of_keycloak_come_with_a_path() -> None:
    token = KEYCLOAK.accepted["by default"]
    profile = Profile.KEYCLOAK.replace(roles=[["realm_access", "roles"], ["resource_access", "my-api", "roles"]])
    read = await verify(KEYCLOAK, token.header, token.claims, profile=profile)
    assert read.roles == {"editor", "offline_access", "todos-admin"}
    refused = KEYCLOAK.refused["an ID token"]
    assert await reason_for(KEYCLOAK, refused.header, refused.claims, profile=profile) is Reason.TYPE_NOT_ACCEPTED


async def test_the_groups_of_entra_come_with_a_path() -> None:
    token = ENTRA_V2.accepted["of a user"]
    profile = Profile.ENTRA_V2.replace(roles=[["roles"], ["groups"]])
    assert (await verify(ENTRA_V2, token.header, token.claims, profile=profile)).roles == {"Editor", "Reader", USER}


async def test_the_roles_of_one_project_of_zitadel_come_with_a_path() -> None:
    token = ZITADEL.accepted["of a user"]
    own = f"urn:zitadel:iam:org:project:{ZITADEL_PROJECT}:roles"
    claims = {**token.claims, own: {"owner": {"170000000000000001": "acme.example.com"}}}
    profile = Profile.ZITADEL.replace(roles=[[own]])
    assert (await verify(ZITADEL, token.header, claims, profile=profile)).roles == {"owner"}


@pytest.mark.parametrize("value", [[], "x", 7, None, {"editor": {}}, {"editor": False}, {"": {"1": "a"}}, [{"a": {}}]])
async def test_a_role_of_zitadel_that_no_organization_granted_is_none(value: object) -> None:
    token = ZITADEL.accepted["of a user"]
    claims = {**token.claims, "urn:zitadel:iam:org:project:roles": value}
    assert (await verify(ZITADEL, token.header, claims)).roles == frozenset()
