"""The kit's issuer is what the application says of its own."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from jwt_asgi import ConfigurationError, JWTMiddleware, Profile, Skip, TrustedIssuer, Verifier
from jwt_asgi.tenants import TrustedTenants
from jwt_asgi.testing import SigningKeys, TestIssuer
from tests.asgi import http
from tests.testing.doors import AUDIENCE, ISSUER, OPTIONS, door, tell

KEYS = SigningKeys()


def test_an_issuer_has_the_applications_options() -> None:
    app = FastAPI()
    audience = ["https://b.test", "https://a.test"]
    options: Any = {**OPTIONS, "audience": audience, "algorithms": ["EdDSA", "ES256"], "profile": Profile.OKTA}
    app.add_middleware(JWTMiddleware, **options)
    issuer = TestIssuer.of(app)
    assert (issuer.issuer, issuer.audience, issuer.profile) == (ISSUER, "https://a.test", Profile.OKTA)
    assert issuer.algorithms == ("ES256", "EdDSA")


def test_without_an_audience_check_the_audience_is_that_of_any_issuer_of_the_kit() -> None:
    assert TestIssuer.of(door(audience=Skip.AUDIENCE_CHECK)).audience == TestIssuer(algorithms=["ES256"]).audience


async def test_of_two_doors_of_one_issuer_both_let_its_tokens_in() -> None:
    app = Starlette(
        routes=[
            Mount("/a", app=door(audience=["https://a.test", "https://x.test"], algorithms=["ES256", "ES384"])),
            Mount("/b", app=door(audience="https://b.test")),
        ]
    )
    with TestIssuer.of(app).standing_in() as issuer:
        assert (issuer.audience, issuer.algorithms) == ("https://a.test", ("ES256",))
        for path in ("/a/", "/b/"):
            answer = await http(app, path=path, token=issuer.token())
            assert (answer.status, answer.json()["audience"]) == (200, ["https://a.test", "https://b.test"])


def test_of_doors_that_have_no_algorithm_in_common_the_first_counts() -> None:
    assert TestIssuer.of([door(), door(algorithms=["ES384"])]).algorithms == ("ES256",)


@pytest.mark.parametrize("app", [tell, FastAPI(), None], ids=["function", "FastAPI", "None"])
def test_an_application_that_trusts_nobody_is_told(app: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"found no JWTMiddleware.* in {type(app).__name__};") as caught:
        TestIssuer.of(app)
    assert caught.value.option == "app"


def test_of_several_issuers_one_must_be_named() -> None:
    family = TrustedTenants("https://login.test/{tenantid}", tenants={"acme"}, audience="a", algorithms=["ES256"])
    other: Any = {**OPTIONS, "issuer": "https://other.example.com", "profile": Profile.OKTA}
    verifier = Verifier(TrustedIssuer(**OPTIONS), TrustedIssuer(**other), family)
    known = (
        "trusts 'https://auth.example.com/', 'https://other.example.com', "
        "https://login.test/{tenantid} of a tenant on the allow-list"
    )
    for name, said in [(None, "expected which one is meant"), ("https://x.test", "one of these; got 'https://x.test'")]:
        with pytest.raises(ConfigurationError) as caught:
            TestIssuer.of(verifier, issuer=name)
        assert known in str(caught.value)
        assert said in str(caught.value)
    assert TestIssuer.of(verifier, issuer=ISSUER).audience == AUDIENCE
    assert TestIssuer.of(verifier, issuer="https://other.example.com").profile is Profile.OKTA
    assert TestIssuer.of(verifier, issuer="https://login.test/acme").audience == "a"


def test_of_a_family_alone_one_issuer_must_be_named() -> None:
    family = TrustedTenants("https://login.test/{tenantid}", tenants={"acme"}, audience="a", algorithms=["ES256"])
    with pytest.raises(ConfigurationError, match="expected which one is meant, as issuer="):
        TestIssuer.of(Verifier(family))
    with pytest.raises(ConfigurationError, match="got 'https"):
        TestIssuer.of(Verifier(family), issuer="https://login.test/other")


def test_keys_that_are_kept_are_made_once_for_each_issuer_and_rotation() -> None:
    one, again = TestIssuer.of(door(), keys=KEYS), TestIssuer.of(door(), keys=KEYS)
    other = TestIssuer.of(door(issuer="https://other.example.com"), keys=KEYS)
    assert one.jwks() == again.jwks() != other.jwks()
    one.rotate()
    again.rotate()
    assert one.jwks() == again.jwks()
    assert TestIssuer.of(door()).jwks() != TestIssuer.of(door()).jwks()
