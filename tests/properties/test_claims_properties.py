"""Whatever claims an issuer signs, they are judged, and what fails is never read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_asgi import Profile, TokenError
from jwt_asgi._core.access_token import AccessToken
from jwt_asgi._core.claims import check_claims, claim_at, failed_claims
from jwt_asgi._core.jwks import secret_key
from jwt_asgi._core.policy import Policy
from jwt_asgi._core.signature import Verified
from tests.properties.strategies import JSON, STRINGS, examples

NOW = 1_700_000_000.0
ISSUER = "https://issuer.test"
(KEY,) = secret_key(b"s" * 32, ["HS256"]).keys

DATES = st.one_of(
    st.floats(NOW - 700, NOW + 700),
    st.integers(int(NOW) - 700, int(NOW) + 700),
    st.sampled_from([0, -1, 10**12, 253_402_300_799, 10**400, 1e308, float("nan"), float("inf"), True]),
)
NAMES = ["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "client_id", "azp", "scope", "scp", "roles", "cnf", "typ"]
ODD = st.dictionaries(st.sampled_from([*NAMES, "token_use", "type", "realm_access"]), JSON | DATES, max_size=5)
GOOD = st.fixed_dictionaries(
    {
        "iss": st.just(ISSUER),
        "aud": st.sampled_from(["api", "admin", "other"]) | st.lists(st.sampled_from(["api", "other"]), max_size=3),
        "exp": DATES,
    },
    optional={
        "sub": st.text(max_size=5),
        "iat": DATES,
        "nbf": DATES,
        "scope": st.text(max_size=8) | st.lists(JSON, max_size=3),
        "roles": JSON,
        "realm_access": st.fixed_dictionaries({"roles": JSON}) | JSON,
    },
)
CLAIMS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.dictionaries(STRINGS, JSON, max_size=4), ODD, GOOD, st.builds(lambda good, odd: good | odd, GOOD, ODD)
)
SECONDS = st.none() | st.sampled_from([0.0, 60.0, 600.0])
POLICIES = st.builds(
    Policy,
    issuer=st.just(ISSUER),
    audience=st.sampled_from([None, frozenset({"api"}), frozenset({"api", "admin"})]),
    algorithms=st.just(frozenset({"RS256"})),
    profile=st.sampled_from(
        [
            Profile.GENERIC,
            Profile.RFC9068,
            Profile.GENERIC.replace(scopes=[["realm_access", "scope"], ["scp"]], roles=[["realm_access", "roles"]]),
        ]
    ),
    leeway=st.sampled_from([0.0, 30.0, 300.0]),
    max_age=SECONDS,
    max_lifetime=SECONDS,
)


def is_good(claims: dict[str, Any], policy: Policy) -> bool:
    """What must at least be true of claims that pass, in other words than those of the code."""
    audience = claims.get("aud", [])
    named = {audience} if isinstance(audience, str) else set(audience)
    dates = [claims[name] for name in ("exp", "nbf", "iat") if name in claims]
    return (
        claims["iss"] == ISSUER
        and (policy.audience is None or bool(named & policy.audience))
        and all(isinstance(name, str) for name in named)
        and "cnf" not in claims
        and all(isinstance(date, (int, float)) and not isinstance(date, bool) for date in dates)
        and all(abs(date) < 253_402_300_800 for date in dates)
        and claims["exp"] + policy.leeway > NOW
        and claims.get("nbf", NOW) - policy.leeway <= NOW
        and claims.get("iat", NOW) - policy.leeway <= NOW
        and (policy.max_age is None or NOW - claims["iat"] <= policy.max_age + policy.leeway)
        and (policy.max_lifetime is None or claims["exp"] - claims["iat"] <= policy.max_lifetime)
        and all(name in claims for name in policy.profile.required)
        and all(isinstance(claims.get(name, ""), str) for name in ("sub", "jti", "client_id"))
    )


@examples(110)
@given(CLAIMS, POLICIES)
def test_any_claims_are_judged_and_those_that_pass_can_be_read(claims: dict[str, Any], policy: Policy) -> None:
    failures = failed_claims(claims, policy, NOW)
    verified = Verified({}, claims, KEY)
    if failures:
        with pytest.raises(TokenError) as caught:
            check_claims(verified, policy, NOW)
        assert list(map(repr, caught.value.failures)) == list(map(repr, failures))  # NaN is no equal of itself
        assert caught.value.reason is failures[0].reason
        assert {failure.reason.status for failure in failures} == {401}
        return
    assert check_claims(verified, policy, NOW) is verified
    assert is_good(claims, policy)
    token = AccessToken(verified, policy.profile)
    assert token.issuer == ISSUER
    assert all(isinstance(name, str) for name in (*token.audience, *token.scopes, *token.roles))
    assert isinstance(token.audience, tuple)
    assert "" not in token.scopes | token.roles


@examples(40)
@given(GOOD, POLICIES, st.sampled_from(NAMES), JSON)
def test_one_more_failure_never_makes_claims_better(
    claims: dict[str, Any], policy: Policy, name: str, value: Any
) -> None:
    # what is of no use to a policy is no failure, so the other failures are those of before
    before = {(failure.claim, failure.reason) for failure in failed_claims(claims, policy, NOW)}
    after = {(failure.claim, failure.reason) for failure in failed_claims(claims | {name: value}, policy, NOW)}
    assert {failure for failure in before if failure[0] != name} - after <= (
        # without iat there is no lifetime to be too long, and the other way round
        {failure for failure in before if failure[0] in {"exp", "iat"} and name in {"exp", "iat"}}
    )


@examples(40)
@given(st.dictionaries(st.text("ab", max_size=2), JSON, max_size=3), st.lists(st.text("ab", max_size=2), max_size=4))
def test_any_path_leads_somewhere_or_nowhere(claims: dict[str, Any], path: list[str]) -> None:
    expected: Any = claims
    for key in path:
        expected = expected.get(key) if isinstance(expected, dict) else None
    assert claim_at(claims, tuple(path)) == expected
