"""A bad token is refused for its reason, and for nothing else, in every profile and by every option."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from jwt_asgi import Profile, Reason, SharedSecret, Skip, StaticKeys, TokenError, TrustedIssuer, Verifier
from jwt_asgi.profiles import PROFILES
from jwt_asgi.tenants import TrustedTenants
from jwt_asgi.testing import BAD_TOKENS, SigningKeys, TestIssuer
from tests.asgi import http
from tests.reasons import FAULTS_OF_A_TOKEN
from tests.testing.doors import OPTIONS, door

KEYS = SigningKeys()


async def reason_of(verifier: Verifier, issuer: TestIssuer, reason: Reason | str) -> Reason:
    """Why a bad token is refused."""
    with issuer.standing_in():
        await verifier.verify(issuer.token())
        with pytest.raises(TokenError) as caught:
            await verifier.verify(issuer.bad_token(reason))
    return caught.value.reason


def test_the_reasons_are_those_that_a_token_alone_is_refused_for() -> None:
    assert BAD_TOKENS == FAULTS_OF_A_TOKEN
    assert TestIssuer(algorithms=["ES256"]).bad_tokens == BAD_TOKENS


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
async def test_in_every_profile_a_bad_token_is_refused_for_its_reason(profile: Profile) -> None:
    verifier = Verifier(TrustedIssuer(**OPTIONS, profile=profile))
    issuer = TestIssuer.of(verifier, keys=KEYS)
    assert [await reason_of(verifier, issuer, reason) for reason in BAD_TOKENS] == list(BAD_TOKENS)


@pytest.mark.parametrize("reason", BAD_TOKENS)
async def test_through_the_door_a_bad_token_is_answered_by_its_status(reason: Reason) -> None:
    app = door()
    with TestIssuer.of(app, keys=KEYS).standing_in() as issuer:
        answer = await http(app, token=issuer.bad_token(reason))
    assert answer.status == reason.status == 401
    assert answer.json()["error"] == "invalid_token"


@pytest.mark.parametrize(
    ("options", "more", "fewer"),
    [
        ({"max_age": 600}, [Reason.TOKEN_TOO_OLD], []),
        ({"max_lifetime": 600}, [Reason.LIFETIME_TOO_LONG], []),
        ({"max_age": 600, "max_lifetime": 600}, [Reason.TOKEN_TOO_OLD, Reason.LIFETIME_TOO_LONG], []),
        ({"audience": Skip.AUDIENCE_CHECK}, [], [Reason.AUDIENCE_MISMATCH]),
        ({"keys": SharedSecret("s" * 64), "algorithms": ["HS512"]}, [], [Reason.KEY_UNKNOWN]),
        ({"keys": StaticKeys(TestIssuer(algorithms=["ES256"]).jwks())}, [], []),
    ],
)
async def test_the_options_of_the_application_add_reasons_and_take_some_away(
    options: Mapping[str, Any], more: Sequence[Reason], fewer: Sequence[Reason]
) -> None:
    verifier = Verifier(TrustedIssuer(**{**OPTIONS, **options}))
    issuer = TestIssuer.of(verifier, keys=KEYS)
    assert set(issuer.bad_tokens) == {*BAD_TOKENS, *more} - set(fewer)
    for reason in issuer.bad_tokens:
        assert await reason_of(verifier, issuer, reason) is reason


async def test_of_tenants_one_may_name_another() -> None:
    issuers = TrustedTenants(
        "https://login.test/{tenantid}/v2.0", tenants={"acme"}, audience="https://api.test", algorithms=["ES256"]
    )
    issuer = TestIssuer.of(Verifier(issuers), issuer="https://login.test/acme/v2.0", keys=KEYS)
    assert set(issuer.bad_tokens) == {*BAD_TOKENS, Reason.TENANT_MISMATCH}
    for reason in issuer.bad_tokens:
        assert await reason_of(Verifier(issuers), issuer, reason) is reason


async def test_a_reason_may_be_named_by_its_code() -> None:
    verifier = Verifier(TrustedIssuer(**OPTIONS))
    assert await reason_of(verifier, TestIssuer.of(verifier, keys=KEYS), "token_expired") is Reason.TOKEN_EXPIRED


@pytest.mark.parametrize("reason", ["token_expird", Reason.SCOPE_MISSING, Reason.TOKEN_TOO_OLD])
def test_what_no_token_is_refused_for_is_a_key_error_that_names_what_can_be(reason: Any) -> None:
    with pytest.raises(KeyError, match="token_expired"):
        TestIssuer(algorithms=["ES256"]).bad_token(reason)
