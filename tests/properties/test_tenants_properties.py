"""Whatever issuer a stranger's token names, it is trusted exactly where the allow-list has it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jwt_asgi import KeysUnavailable, StaticKeys, TrustedIssuer
from jwt_asgi.tenants import ResolvedIssuers, TrustedTenants
from jwt_asgi.testing import TestIssuer
from tests.properties.strategies import examples

KEYS = StaticKeys(TestIssuer(algorithms=["ES256"]).jwks())
OPTIONS: dict[str, Any] = {"audience": "api", "algorithms": ["ES256"], "keys": KEYS}
TENANTS = ("acme", "Acme", "a-1", "x" * 64)
TEMPLATES = (
    "https://login.example/{tenantid}/v2.0",
    "https://{tenantid}.login.example",
    "https://login.example/{tenantid}",
)
NAMES = st.sampled_from(
    [*TENANTS, "acme/x", "acme/v2.0", "evil", "ACME", "", "a.1", "x" * 65, "{tenantid}", "acme\n", "äcme"]
)
FAMILIES = {template: TrustedTenants(template, tenants=set(TENANTS), **OPTIONS) for template in TEMPLATES}


@st.composite
def issuers(draw: st.DrawFn) -> str:
    issuer = draw(st.sampled_from(TEMPLATES)).replace("{tenantid}", draw(NAMES | st.text(max_size=5)))
    at = draw(st.integers(0, len(issuer)))
    changed = [
        issuer,
        issuer,
        issuer[:at] + draw(st.sampled_from("/.?#@x\n")) + issuer[at:],
        issuer[:at],
        issuer.upper(),
    ]
    return draw(st.sampled_from(changed) | st.text(max_size=8))


@examples(150)
@given(st.sampled_from(TEMPLATES), issuers())
@example(TEMPLATES[1], "https://acme.login.example\n")
@example(TEMPLATES[1], "https://acmexloginxexample")
def test_an_issuer_is_of_a_family_exactly_where_a_tenant_of_the_list_stands_in_the_template(
    template: str, issuer: str
) -> None:
    mine = {template.replace("{tenantid}", tenant): tenant for tenant in TENANTS}
    found = FAMILIES[template].find(issuer)
    assert (found is not None) is (issuer in mine)
    if found is not None:
        assert found.policy.issuer == issuer
        assert found.policy.tenant == ("tid", mine[issuer])
        assert found.policy.key_issuer


@examples(60)
@given(st.sets(st.sampled_from(TENANTS)), st.lists(st.sampled_from(TENANTS), max_size=6))
def test_a_tenant_that_is_taken_off_the_list_is_refused_at_once(allowed: set[str], asked: list[str]) -> None:
    family = TrustedTenants(TEMPLATES[0], tenants=allowed, most=max(len(allowed), 1), **OPTIONS)
    for tenant in asked:
        issuer = TEMPLATES[0].replace("{tenantid}", tenant)
        assert (family.find(issuer) is not None) is (tenant in allowed)
        allowed.symmetric_difference_update({tenant})
        assert (family.find(issuer) is not None) is (tenant in allowed)


@examples(80)
@given(st.text(max_size=6) | st.sampled_from(["https://a.example", "https://b.example", "raises", "another", "None"]))
def test_whatever_a_resolver_answers_it_is_trusted_for_just_that_issuer_or_not_at_all(issuer: str) -> None:
    answers = {
        "https://a.example": TrustedIssuer(issuer="https://a.example", **OPTIONS),
        "another": TrustedIssuer(issuer="https://a.example", **OPTIONS),
        "None": None,
    }
    allowed = {*answers, "raises"}
    family = ResolvedIssuers(answers.__getitem__, allowed=allowed)
    if issuer in {"raises", "another"}:
        with pytest.raises(KeysUnavailable) as caught:
            family.find(issuer)
        assert issuer not in caught.value.detail
    else:
        assert family.find(issuer) is (answers.get(issuer) if issuer in allowed else None)
