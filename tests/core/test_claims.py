"""Verified x Policy x now -> Verified, or every claim that failed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from jwt_asgi import Profile, Reason, TokenError
from jwt_asgi._core.claims import (
    LATEST_DATE,
    check_before_fetch,
    check_claims,
    claim_at,
    failed_claims,
    named_audience,
)
from jwt_asgi._core.jwks import secret_key
from jwt_asgi._core.policy import Policy
from jwt_asgi._core.signature import Verified
from jwt_asgi._core.token import parse_token
from tests.calls import calls_of
from tests.core.builders import AUDIENCE, NOW, a_policy, compact, good_claims

STRICT = Profile.RFC9068
NAN = float("nan")
INFINITY = float("inf")
ANYONE = a_policy(audience=None)
(KEY,) = secret_key(b"s" * 32, ["HS256"]).keys


def failures(claims: dict[str, Any], policy: Policy | None = None, now: float = NOW) -> list[tuple[str, Reason]]:
    return [(failure.claim, failure.reason) for failure in failed_claims(claims, policy or a_policy(), now)]


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in good_claims().items() if name not in names}


# --- good claims ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param(good_claims(), id="all of them"),
        pytest.param(without("sub", "client_id", "jti", "iat"), id="the required ones alone"),
        pytest.param(good_claims(aud=[AUDIENCE]), id="aud of one in an array"),
        pytest.param(good_claims(aud=["https://other.test", AUDIENCE]), id="aud of several"),
        pytest.param(good_claims(nbf=NOW), id="nbf of now"),
        pytest.param(good_claims(sub=""), id="an empty sub"),
        pytest.param(good_claims(scope="a b"), id="a scope"),
        pytest.param(good_claims(scope=""), id="an empty scope"),
        pytest.param(good_claims(scope=["a", 7]), id="a scope of an array"),
        pytest.param(good_claims(roles="admin", groups=7, x=None), id="claims that are not checked"),
        pytest.param(good_claims(exp=int(NOW) + 1, iat=int(NOW)), id="integers"),
        pytest.param(good_claims(exp=LATEST_DATE), id="the latest date"),
    ],
)
def test_good_claims_pass(claims: dict[str, Any]) -> None:
    assert failures(claims) == []
    verified = Verified({"alg": "HS256"}, claims, KEY)
    assert check_claims(verified, a_policy(), NOW) is verified


def test_the_strict_profile_passes_what_rfc_9068_asks_for() -> None:
    assert failures(good_claims(), a_policy(profile=STRICT)) == []


# --- identity -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "issuer",
    [
        *("https://issuer.test/", "https://ISSUER.test", "HTTPS://issuer.test", "http://issuer.test", "issuer.test"),
        *("https://issuer.test ", " https://issuer.test", "https://issuer.test:443", "https://issuer.test.evil.test"),
        *("https://issuer.tes", "https://%69ssuer.test", "https://issuer.test#", "", "https://\u0456ssuer.test"),
        *(None, 7, True, [], ["https://issuer.test"], {"https://issuer.test": 1}),
    ],
)
def test_the_issuer_is_compared_code_point_by_code_point(issuer: object) -> None:
    assert failures(good_claims(iss=issuer)) == [("iss", Reason.ISSUER_UNTRUSTED)]


OF_TENANT = a_policy(tenant=("tid", "contoso"))


def test_the_tenant_of_the_issuer_must_be_the_tokens_own() -> None:
    assert failures(good_claims(tid="contoso"), OF_TENANT) == []
    assert failures(good_claims(org="contoso"), a_policy(tenant=("org", "contoso"))) == []


@pytest.mark.parametrize(
    "tenant", ["fabrikam", "Contoso", "contoso ", "contoso\n", "", None, True, 0, 7, ["contoso"], {"contoso": 1}]
)
def test_any_other_tenant_is_refused(tenant: object) -> None:
    assert failures(good_claims(tid=tenant), OF_TENANT) == [("tid", Reason.TENANT_MISMATCH)]


def test_a_missing_tenant_is_refused_and_another_claim_does_not_stand_in() -> None:
    assert failures(good_claims(), OF_TENANT) == [("tid", Reason.TENANT_MISMATCH)]
    assert failures(good_claims(tid="contoso"), a_policy(tenant=("org", "contoso"))) == [
        ("org", Reason.TENANT_MISMATCH)
    ]


@pytest.mark.parametrize("claims", [{}, {"tid": "fabrikam"}])
def test_where_no_claim_is_compared_the_tenant_in_the_issuer_is_all(claims: dict[str, Any]) -> None:
    assert failures(good_claims(**claims), a_policy(tenant=(None, "contoso"))) == []
    assert failures(good_claims(**claims)) == []


def test_a_wrong_tenant_weighs_more_than_the_audience_and_less_than_the_issuer() -> None:
    found = failures(good_claims(iss="https://x.test", tid="x", aud="x"), OF_TENANT)
    assert [reason for _, reason in found] == [
        Reason.ISSUER_UNTRUSTED,
        Reason.TENANT_MISMATCH,
        Reason.AUDIENCE_MISMATCH,
    ]


def test_a_missing_issuer_is_not_trusted() -> None:
    assert failures(without("iss")) == [("iss", Reason.ISSUER_UNTRUSTED)]


@pytest.mark.parametrize(
    ("audience", "reason"),
    [
        pytest.param("https://other.test", Reason.AUDIENCE_MISMATCH, id="another"),
        pytest.param("https://api.test/", Reason.AUDIENCE_MISMATCH, id="with a slash"),
        pytest.param("https://API.test", Reason.AUDIENCE_MISMATCH, id="in another case"),
        pytest.param("https://api.test https://other.test", Reason.AUDIENCE_MISMATCH, id="two in one string"),
        pytest.param("", Reason.AUDIENCE_MISMATCH, id="empty"),
        pytest.param([], Reason.AUDIENCE_MISMATCH, id="an empty array"),
        pytest.param(["https://other.test", ""], Reason.AUDIENCE_MISMATCH, id="several others"),
        pytest.param(None, Reason.CLAIM_MALFORMED, id="null"),
        pytest.param(7, Reason.CLAIM_MALFORMED, id="a number"),
        pytest.param(True, Reason.CLAIM_MALFORMED, id="a bool"),
        pytest.param({AUDIENCE: 1}, Reason.CLAIM_MALFORMED, id="an object"),
        pytest.param([AUDIENCE, 7], Reason.CLAIM_MALFORMED, id="an array with a number"),
        pytest.param([AUDIENCE, None], Reason.CLAIM_MALFORMED, id="an array with null"),
        pytest.param([[AUDIENCE]], Reason.CLAIM_MALFORMED, id="an array in an array"),
    ],
)
def test_the_audience_must_name_this_api(audience: object, reason: Reason) -> None:
    assert failures(good_claims(aud=audience)) == [("aud", reason)]


def test_a_missing_audience_is_missing() -> None:
    assert failures(without("aud")) == [("aud", Reason.CLAIM_MISSING)]


@pytest.mark.parametrize("audience", ["a", ["b"], ["c", "a"]])
def test_any_of_several_audiences_will_do(audience: object) -> None:
    assert failures(good_claims(aud=audience), a_policy(audience=frozenset({"a", "b"}))) == []


@pytest.mark.parametrize("claims", [good_claims(aud="https://other.test"), good_claims(aud=[]), without("aud")])
def test_without_the_audience_check_a_token_for_anyone_passes(claims: dict[str, Any]) -> None:
    assert failures(claims, ANYONE) == []


@pytest.mark.parametrize("audience", [None, 7, True, 1.5, {"a": 1}, [1, None], [["a"]]])
def test_without_the_audience_check_the_audience_still_has_its_type(audience: object) -> None:
    assert failures(good_claims(aud=audience), ANYONE) == [("aud", Reason.CLAIM_MALFORMED)]


ELSEWHERE = Profile.GENERIC.replace(audience=[["aud"], ["ext", "for"], ["client_id"]])


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        pytest.param({"aud": AUDIENCE, "ext": {"for": "x"}}, [], id="the first path"),
        pytest.param({"ext": {"for": AUDIENCE}, "client_id": "x"}, [], id="the second"),
        pytest.param({"ext": {}, "client_id": AUDIENCE}, [], id="the third"),
        pytest.param({"ext": [], "client_id": AUDIENCE}, [], id="an array on the way"),
        pytest.param({"ext": None, "client_id": AUDIENCE}, [], id="null on the way"),
        pytest.param(
            {"aud": "x", "client_id": AUDIENCE}, [("aud", Reason.AUDIENCE_MISMATCH)], id="the first is another"
        ),
        pytest.param({"aud": [], "client_id": AUDIENCE}, [("aud", Reason.AUDIENCE_MISMATCH)], id="the first is empty"),
        pytest.param(
            {"aud": "", "client_id": AUDIENCE}, [("aud", Reason.AUDIENCE_MISMATCH)], id="the first is no text"
        ),
        pytest.param({"aud": None, "client_id": AUDIENCE}, [("aud", Reason.CLAIM_MALFORMED)], id="the first is null"),
        pytest.param({"aud": 7, "client_id": AUDIENCE}, [("aud", Reason.CLAIM_MALFORMED)], id="the first is a number"),
        pytest.param({"ext": {"for": None}}, [("ext.for", Reason.CLAIM_MALFORMED)], id="the second is null"),
        pytest.param({"ext": {"for": "x"}}, [("ext.for", Reason.AUDIENCE_MISMATCH)], id="the second is another"),
        pytest.param({"ext": {"for": ["x", AUDIENCE]}}, [], id="the second is an array"),
        pytest.param({"client_id": "x"}, [("client_id", Reason.AUDIENCE_MISMATCH)], id="the third is another"),
        pytest.param({}, [("aud", Reason.CLAIM_MISSING)], id="none"),
    ],
)
def test_the_first_path_of_the_audience_that_is_there_counts(
    claims: dict[str, Any], expected: list[tuple[str, Reason]]
) -> None:
    assert failures(without("aud", "client_id") | claims, a_policy(profile=ELSEWHERE)) == expected


def test_a_missing_audience_is_named_by_the_first_path_and_is_missing_where_there_is_no_path() -> None:
    nested = Profile.GENERIC.replace(audience=[["ext", "for"]])
    assert failures(good_claims(), a_policy(profile=nested)) == [("ext.for", Reason.CLAIM_MISSING)]
    nowhere = replace(Profile.GENERIC, audience=())
    assert failures(good_claims(), a_policy(profile=nowhere)) == [("aud", Reason.CLAIM_MISSING)]
    assert failures(good_claims(), a_policy(profile=nowhere, audience=None)) == []


def test_the_audience_is_told_with_the_claim_that_names_it() -> None:
    assert named_audience({"aud": "a", "client_id": "b"}, ELSEWHERE) == ("aud", "a")
    assert named_audience({"client_id": "b"}, ELSEWHERE) == ("client_id", "b")
    assert named_audience({"ext": {"for": ["c"]}}, ELSEWHERE) == ("ext.for", ["c"])
    assert named_audience({"aud": None}, ELSEWHERE) == ("aud", None)
    assert named_audience({}, ELSEWHERE) == ("aud", ())


@pytest.mark.parametrize("confirmation", [{"jkt": "x"}, {"x5t#S256": "x"}, {}, None, 7, ""])
def test_a_token_that_is_bound_to_a_key_is_no_bearer_token(confirmation: object) -> None:
    assert failures(good_claims(cnf=confirmation)) == [("cnf", Reason.BINDING_UNSUPPORTED)]


# --- kind -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "kind"),
    [
        pytest.param("token_use", "id", id="Cognito"),
        pytest.param("typ", "ID", id="Keycloak id"),
        pytest.param("typ", "Refresh", id="Keycloak refresh"),
        pytest.param("typ", "Offline", id="Keycloak offline"),
        pytest.param("typ", "Logout", id="Keycloak logout"),
        pytest.param("type", "refresh_token", id="refresh_token"),
        pytest.param("type", "refresh", id="flask-jwt-extended"),
        pytest.param("type", "ID-TOKEN", id="id-token in upper case"),
        pytest.param("type", "id_token", id="id_token"),
        pytest.param("token_use", "Logout-Token", id="logout-token"),
    ],
)
def test_a_token_that_calls_itself_another_kind_is_refused(claim: str, kind: str) -> None:
    assert failures(good_claims(**{claim: kind})) == [(claim, Reason.TYPE_NOT_ACCEPTED)]


@pytest.mark.parametrize("kind", ["access", "Bearer", "access_token", "JWT", "at+jwt", "", "identity", None, 7, ["id"]])
def test_a_token_that_calls_itself_anything_else_passes(kind: object) -> None:
    for claim in ("token_use", "typ", "type"):
        assert failures(good_claims(**{claim: kind})) == [], claim


USE = replace(Profile.GENERIC, name="USE", kinds=(("token_use", frozenset({"access", "both"})),))


@pytest.mark.parametrize("kind", ["access", "both"])
def test_a_kind_that_the_profile_names_passes(kind: str) -> None:
    assert failures(good_claims(token_use=kind), a_policy(profile=USE)) == []


@pytest.mark.parametrize(
    "kind", ["id", "refresh", "Access", "ACCESS", "access ", "", "access_token", 7, True, ["access"], {"access": 1}]
)
def test_any_other_kind_is_refused_once(kind: object) -> None:
    (failure,) = failed_claims(good_claims(token_use=kind), a_policy(profile=USE), NOW)
    assert (failure.claim, failure.reason, failure.actual) == ("token_use", Reason.TYPE_NOT_ACCEPTED, kind)
    assert failure.expected == "expected access or both, by profile USE"


@pytest.mark.parametrize("claims", [good_claims(), good_claims(token_use=None)])
def test_a_token_that_does_not_tell_its_kind_is_refused_where_the_profile_names_one(claims: dict[str, Any]) -> None:
    assert failures(claims) == []
    assert failures(claims, a_policy(profile=USE)) == [("token_use", Reason.CLAIM_MISSING)]


def test_each_of_several_kinds_must_be_right_and_the_others_still_are_told() -> None:
    both = replace(USE, kinds=(*USE.kinds, ("ver", frozenset({"2.0"}))))
    assert failures(good_claims(token_use="access", ver="2.0"), a_policy(profile=both)) == []
    assert failures(good_claims(token_use="id", ver="1.0", typ="Refresh"), a_policy(profile=both)) == [
        ("token_use", Reason.TYPE_NOT_ACCEPTED),
        ("ver", Reason.TYPE_NOT_ACCEPTED),
        ("typ", Reason.TYPE_NOT_ACCEPTED),
    ]


@pytest.mark.parametrize("value", ["h", "", None, 0, False, []])
def test_a_claim_that_no_access_token_has_tells_another_kind(value: object) -> None:
    profile = replace(Profile.GENERIC, name="MINE", forbidden=("nonce", "at_hash"))
    assert failures(good_claims(), a_policy(profile=profile)) == []
    assert failures(good_claims(at_hash=value)) == []
    (failure,) = failed_claims(good_claims(at_hash=value), a_policy(profile=profile), NOW)
    assert (failure.claim, failure.reason) == ("at_hash", Reason.TYPE_NOT_ACCEPTED)
    assert failure.expected == "expected an access token, which has no such claim by profile MINE"


# --- required -------------------------------------------------------------------------------------------------------


def test_a_required_claim_that_is_null_is_missing_or_malformed_and_told_once() -> None:
    names = ("sub", "jti", "client_id", "exp", "nbf", "iat", "iss", "aud")
    every = a_policy(profile=replace(Profile.GENERIC, name="MINE", required=(*names, "cid")))
    assert failures(good_claims(nbf=NOW, cid="c"), every) == []
    assert failures(good_claims(nbf=NOW, cid=None), every) == [("cid", Reason.CLAIM_MISSING)]
    assert failures(good_claims(nbf=NOW, cid=""), every) == []
    for name in names:
        claims = good_claims(nbf=NOW, cid="c") | {name: None}
        reason = Reason.ISSUER_UNTRUSTED if name == "iss" else Reason.CLAIM_MALFORMED
        assert failures(claims, every) == [(name, reason)]


@pytest.mark.parametrize(
    ("claims", "missing"),
    [
        ({"scp": "a"}, []),
        ({"roles": ["a"]}, []),
        ({"scp": "a", "roles": ["a"]}, []),
        ({"scp": "", "roles": ["a"]}, []),
        ({"scp": "", "roles": []}, ["scp"]),
        ({"scp": None}, ["scp"]),
        ({}, ["scp"]),
    ],
)
def test_of_each_group_one_claim_must_be_there_and_say_something(claims: dict[str, Any], missing: list[str]) -> None:
    profile = replace(Profile.GENERIC, name="MINE", required_one_of=(("scp", "roles"), ("client_id",)))
    found = failed_claims(good_claims(**claims), a_policy(profile=profile), NOW)
    assert [(failure.claim, failure.reason) for failure in found] == [(name, Reason.CLAIM_MISSING) for name in missing]
    assert all(failure.expected == "scp or roles is required by profile MINE" for failure in found)


# --- shapes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", ["sub", "jti", "client_id"])
def test_identifiers_are_strings(claim: str) -> None:
    values: tuple[object, ...] = (None, 7, True, [], ["user-1"], {})
    for value in values:
        for policy in (a_policy(), a_policy(profile=STRICT)):
            assert failures(good_claims(**{claim: value}), policy) == [(claim, Reason.CLAIM_MALFORMED)], value


@pytest.mark.parametrize("claim", ["sub", "jti", "client_id"])
def test_identifiers_have_no_control_characters(claim: str) -> None:
    # CWE-93, CWE-117
    controls = [*range(0x20), 0x7F]
    for value in ("a{}b", "{}b", "a{}", "{}"):
        for code in controls:
            claims = good_claims(**{claim: value.format(chr(code))})
            assert failures(claims) == [(claim, Reason.CLAIM_MALFORMED)], code
        assert failures(good_claims(**{claim: value.format(" \u00a0é😀\"'\\|")})) == []


@pytest.mark.parametrize("value", ["a\r\nb", "\x00", "a\x7f", 7, True, ["a"], {}])
def test_wherever_the_profile_has_the_client_it_is_such_an_identifier(value: object) -> None:
    assert failures(good_claims(azp=value)) == [("azp", Reason.CLAIM_MALFORMED)]
    assert failures(good_claims(azp=value), a_policy(profile=STRICT)) == []
    nested = a_policy(profile=Profile.GENERIC.replace(client=[["app", "id"]]))
    assert failures(good_claims(app={"id": value}), nested) == [("app.id", Reason.CLAIM_MALFORMED)]
    assert failures(good_claims(app={"id": "client-2"}, azp=value), nested) == []


@pytest.mark.parametrize("claim", ["sub", "iat", "jti", "client_id"])
def test_the_strict_profile_requires_what_rfc_9068_requires(claim: str) -> None:
    assert failures(without(claim)) == []
    (failure,) = failed_claims(without(claim), a_policy(profile=STRICT), NOW)
    assert (failure.claim, failure.reason) == (claim, Reason.CLAIM_MISSING)
    assert failure.expected == "required by profile RFC9068"


@pytest.mark.parametrize("scope", [None, 7, True, {}, {"a": True}])
def test_scopes_are_a_string_or_an_array(scope: object) -> None:
    assert failures(good_claims(scope=scope)) == [("scope", Reason.CLAIM_MALFORMED)]


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"ext": {"scp": ["a"]}}, []),
        ({"ext": {"scp": 7}}, [("ext.scp", Reason.CLAIM_MALFORMED)]),
        ({"ext": {"scp": None}}, [("ext.scp", Reason.CLAIM_MALFORMED)]),
        ({"ext": {}}, []),
        ({"ext": "scp"}, []),
        ({"ext": ["scp"]}, []),
        ({"ext": None}, []),
        ({"scope": 7}, []),
        ({"scp": 7, "ext": {"scp": 7}}, [("ext.scp", Reason.CLAIM_MALFORMED), ("scp", Reason.CLAIM_MALFORMED)]),
    ],
)
def test_scopes_are_judged_where_the_profile_says_they_are(
    claims: dict[str, Any], expected: list[tuple[str, Reason]]
) -> None:
    profile = Profile.GENERIC.replace(scopes=[["ext", "scp"], ["scp"]])
    assert failures(good_claims(**claims), a_policy(profile=profile)) == expected


def test_a_path_may_lead_as_deep_as_it_likes() -> None:
    deep = Profile.GENERIC.replace(scopes=[["a", "b", "c", "d"]], audience=[["x", "y", "z"]])
    claims = without("aud") | {"a": {"b": {"c": {"d": 7}}, "d": "x"}, "x": {"y": {"z": "https://other.test"}}}
    assert failures(claims, a_policy(profile=deep)) == [
        ("x.y.z", Reason.AUDIENCE_MISMATCH),
        ("a.b.c.d", Reason.CLAIM_MALFORMED),
    ]


# --- times ----------------------------------------------------------------------------------------------------------

NO_DATES = [
    pytest.param(None, id="null"),
    pytest.param(True, id="true"),
    pytest.param(False, id="false"),
    pytest.param("1700000000", id="a string"),
    pytest.param("2023-11-14T22:13:20Z", id="an ISO date"),
    pytest.param([], id="an array"),
    pytest.param({}, id="an object"),
    pytest.param(NAN, id="nan"),
    pytest.param(INFINITY, id="infinity"),
    pytest.param(-INFINITY, id="minus infinity"),
    pytest.param(LATEST_DATE + 1, id="past the year 9999"),
    pytest.param(NOW * 1000, id="milliseconds"),
    pytest.param(-LATEST_DATE - 1, id="far in the past"),
    pytest.param(10**4000, id="an integer of 4001 digits"),
    pytest.param(1e308, id="the largest of floats"),
]


@pytest.mark.parametrize("value", NO_DATES)
def test_times_are_seconds_since_the_epoch(value: object) -> None:
    for policy in (a_policy(), a_policy(max_age=60.0, max_lifetime=600.0), a_policy(profile=STRICT)):
        for claim in ("exp", "nbf", "iat"):
            assert failures(good_claims(**{claim: value}), policy) == [(claim, Reason.CLAIM_MALFORMED)], claim


def test_the_latest_date_is_the_last_second_of_the_year_9999() -> None:
    assert LATEST_DATE == 253_402_300_799


def test_exp_is_always_required() -> None:
    assert failures(without("exp")) == [("exp", Reason.CLAIM_MISSING)]


@pytest.mark.parametrize("exp", [-LATEST_DATE, -1, 0, -0.0])
def test_a_date_before_the_epoch_is_a_date(exp: float) -> None:
    assert failures(good_claims(exp=exp)) == [("exp", Reason.TOKEN_EXPIRED)]


@pytest.mark.parametrize(
    ("leeway", "exp", "expired"),
    [
        # RFC 7519 section 4.1.4: "on or after which the JWT MUST NOT be accepted"
        pytest.param(0.0, NOW, True, id="exactly now"),
        pytest.param(0.0, NOW + 0.001, False, id="just after now"),
        pytest.param(0.0, NOW - 0.001, True, id="just before now"),
        pytest.param(30.0, NOW - 30, True, id="exactly the leeway ago"),
        pytest.param(30.0, NOW - 29.999, False, id="just within the leeway"),
        pytest.param(30.0, NOW - 30.001, True, id="just past the leeway"),
        pytest.param(300.0, NOW - 300, True, id="exactly the most leeway ago"),
        pytest.param(300.0, NOW - 299.999, False, id="just within the most leeway"),
    ],
)
def test_a_token_expires_at_exp_and_the_leeway(leeway: float, exp: float, expired: bool) -> None:
    expected = [("exp", Reason.TOKEN_EXPIRED)] if expired else []
    assert failures(without("iat") | {"exp": exp}, a_policy(leeway=leeway)) == expected


@pytest.mark.parametrize(
    ("claim", "reason"), [("nbf", Reason.TOKEN_NOT_YET_VALID), ("iat", Reason.TOKEN_ISSUED_IN_FUTURE)]
)
@pytest.mark.parametrize(
    ("leeway", "date", "early"),
    [
        pytest.param(0.0, NOW, False, id="exactly now"),
        pytest.param(0.0, NOW + 0.001, True, id="just after now"),
        pytest.param(30.0, NOW + 30, False, id="exactly the leeway ahead"),
        pytest.param(30.0, NOW + 29.999, False, id="just within the leeway"),
        pytest.param(30.0, NOW + 30.001, True, id="just past the leeway"),
    ],
)
def test_nbf_and_iat_may_be_ahead_by_the_leeway(
    claim: str, reason: Reason, leeway: float, date: float, early: bool
) -> None:
    assert failures(good_claims(**{claim: date}), a_policy(leeway=leeway)) == ([(claim, reason)] if early else [])


@pytest.mark.parametrize(
    ("iat", "old"),
    [
        pytest.param(NOW - 60, False, id="exactly max_age ago"),
        pytest.param(NOW - 90, False, id="exactly max_age and leeway ago"),
        pytest.param(NOW - 90.001, True, id="just longer ago"),
        pytest.param(-LATEST_DATE, True, id="as long ago as can be"),
    ],
)
def test_a_token_is_too_old_past_max_age_and_the_leeway(iat: float, old: bool) -> None:
    expected = [("iat", Reason.TOKEN_TOO_OLD)] if old else []
    assert failures(good_claims(iat=iat), a_policy(max_age=60.0)) == expected
    assert failures(good_claims(iat=iat)) == []


@pytest.mark.parametrize(("exp", "long"), [(NOW + 590, False), (NOW + 590.001, True), (LATEST_DATE, True)])
def test_a_token_lives_too_long_past_max_lifetime(exp: float, long: bool) -> None:
    expected = [("exp", Reason.LIFETIME_TOO_LONG)] if long else []
    assert failures(good_claims(iat=NOW - 10, exp=exp), a_policy(max_lifetime=600.0)) == expected


@pytest.mark.parametrize("policy", [a_policy(max_age=60.0), a_policy(max_lifetime=600.0), a_policy(max_age=0.0)])
def test_max_age_and_max_lifetime_require_iat(policy: Policy) -> None:
    assert failures(without("iat"), policy) == [("iat", Reason.CLAIM_MISSING)]


def test_a_missing_iat_is_required_by_all_who_require_it() -> None:
    policy = a_policy(profile=STRICT, max_age=60.0)
    assert {*failures(without("iat"), policy)} == {("iat", Reason.CLAIM_MISSING)}


# --- several at once ------------------------------------------------------------------------------------------------


def test_every_failure_is_reported_the_weightiest_first_and_expiry_last() -> None:
    claims = {
        "exp": NOW - 1000,
        "iat": NOW + 1000,
        "nbf": NOW + 1000,
        "scope": 7,
        "client_id": 7,
        "jti": 7,
        "sub": 7,
        "type": "refresh",
        "typ": "ID",
        "token_use": "id",
        "cnf": {},
        "aud": "https://other.test",
        "iss": "https://evil.test",
    }
    assert failures(claims) == [
        ("iss", Reason.ISSUER_UNTRUSTED),
        ("aud", Reason.AUDIENCE_MISMATCH),
        ("cnf", Reason.BINDING_UNSUPPORTED),
        ("token_use", Reason.TYPE_NOT_ACCEPTED),
        ("typ", Reason.TYPE_NOT_ACCEPTED),
        ("type", Reason.TYPE_NOT_ACCEPTED),
        ("sub", Reason.CLAIM_MALFORMED),
        ("jti", Reason.CLAIM_MALFORMED),
        ("client_id", Reason.CLAIM_MALFORMED),
        ("scope", Reason.CLAIM_MALFORMED),
        ("nbf", Reason.TOKEN_NOT_YET_VALID),
        ("iat", Reason.TOKEN_ISSUED_IN_FUTURE),
        ("exp", Reason.TOKEN_EXPIRED),
    ]


def test_an_empty_object_lacks_everything() -> None:
    assert failures({}, a_policy(profile=STRICT)) == [
        ("iss", Reason.ISSUER_UNTRUSTED),
        ("aud", Reason.CLAIM_MISSING),
        ("sub", Reason.CLAIM_MISSING),
        ("iat", Reason.CLAIM_MISSING),
        ("jti", Reason.CLAIM_MISSING),
        ("client_id", Reason.CLAIM_MISSING),
        ("exp", Reason.CLAIM_MISSING),
    ]


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({"aud": "other"}, Reason.AUDIENCE_MISMATCH),
        ({"cnf": {}}, Reason.BINDING_UNSUPPORTED),
        ({"typ": "ID"}, Reason.TYPE_NOT_ACCEPTED),
        ({"sub": 7}, Reason.CLAIM_MALFORMED),
        ({"scope": 7}, Reason.CLAIM_MALFORMED),
        ({"iat": "x"}, Reason.CLAIM_MALFORMED),
        ({"nbf": NOW + 1000}, Reason.TOKEN_NOT_YET_VALID),
        ({"iat": NOW + 1000}, Reason.TOKEN_ISSUED_IN_FUTURE),
        ({"iat": NOW - 1000}, Reason.TOKEN_TOO_OLD),
    ],
)
def test_who_is_told_expired_knows_that_a_fresh_token_would_do(changes: dict[str, Any], first: Reason) -> None:
    claims = good_claims(**({"exp": NOW - 500} | changes))
    found = failures(claims, a_policy(max_age=60.0))
    assert found[0][1] is first
    assert found[-1] == ("exp", Reason.TOKEN_EXPIRED)


def test_a_token_that_lived_too_long_and_has_expired_is_both() -> None:
    found = failures(good_claims(iat=NOW - 5000, exp=NOW - 100), a_policy(max_lifetime=600.0))
    assert found == [("exp", Reason.LIFETIME_TOO_LONG), ("exp", Reason.TOKEN_EXPIRED)]


# --- the error ------------------------------------------------------------------------------------------------------


def test_the_error_carries_the_first_reason_and_every_failure() -> None:
    claims = good_claims(aud="s3cret-aud", sub=7, exp=NOW - 1000)
    with pytest.raises(TokenError) as caught:
        check_claims(Verified({}, claims, KEY), a_policy(), NOW)
    error = caught.value
    assert error.reason is Reason.AUDIENCE_MISMATCH
    assert [(failure.claim, failure.actual) for failure in error.failures] == [
        ("aud", "s3cret-aud"),
        ("sub", 7),
        ("exp", NOW - 1000),
    ]
    assert error.detail == (
        "aud: audience_mismatch, expected one of https://api.test; "
        "sub: claim_malformed, expected a string without control characters; "
        "exp: token_expired, expected more than 1699999970"
    )


NAMES = "expected a string or an array of strings"
AN_IDENTIFIER = "expected a string without control characters"
A_DATE = "expected seconds since the epoch, as a number"


@pytest.mark.parametrize(
    ("claim", "value", "options", "expected"),
    [
        ("iss", "https://x.test", {}, "expected exactly 'https://issuer.test'"),
        ("tid", "fabrikam", {"tenant": ("tid", "contoso")}, "expected exactly 'contoso', as in iss"),
        ("aud", "x", {"audience": frozenset({"c", "a", "b"})}, "expected one of a, b, c"),
        ("aud", 7, {}, NAMES),
        ("cnf", {"jkt": "x"}, {}, "expected a token that is not bound to a key"),
        ("typ", "ID", {}, "expected an access token"),
        ("sub", 7, {}, AN_IDENTIFIER),
        ("azp", 7, {}, AN_IDENTIFIER),
        ("scope", 7, {}, NAMES),
        ("exp", "x", {}, A_DATE),
        ("nbf", "x", {}, A_DATE),
        ("iat", None, {}, A_DATE),
        ("nbf", NOW + 1000, {}, "expected at most 1700000030"),
        ("iat", NOW + 1000, {}, "expected at most 1700000030"),
        ("iat", NOW - 1000, {"max_age": 60.5}, "expected at most 60.5 s ago"),
        ("exp", NOW + 5000, {"max_lifetime": 600.0}, "expected at most 600 s after iat"),
        ("exp", NOW - 1000, {}, "expected more than 1699999970"),
    ],
)
def test_a_failure_says_what_was_expected_and_keeps_what_was_there(
    claim: str, value: object, options: dict[str, Any], expected: str
) -> None:
    (failure,) = failed_claims(good_claims(**{claim: value}), a_policy(**options), NOW)
    assert (failure.claim, failure.expected, failure.actual) == (claim, expected, value)


@pytest.mark.parametrize(
    ("claim", "options", "expected"),
    [
        ("iss", {}, "expected exactly 'https://issuer.test'"),
        ("aud", {"audience": frozenset({"c", "a", "b"})}, "expected one of a, b, c"),
        ("exp", {}, "expected when the token expires"),
        ("iat", {"max_age": 60.0}, "required by max_age and max_lifetime"),
    ],
)
def test_a_claim_that_is_not_there_is_told_with_what_was_expected(
    claim: str, options: dict[str, Any], expected: str
) -> None:
    (failure,) = failed_claims(without(claim), a_policy(**options), NOW)
    assert (failure.claim, failure.expected, failure.actual) == (claim, expected, None)


@pytest.mark.parametrize("claim", ["iss", "tid", "aud", "sub", "scope", "exp", "nbf", "iat", "cnf", "jti", "client_id"])
def test_what_the_token_says_is_not_in_the_message(claim: str) -> None:
    with pytest.raises(TokenError) as caught:
        check_claims(Verified({}, good_claims(**{claim: {"s3cret": 1}}), KEY), OF_TENANT, NOW)
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(caught.value)
    assert "s3cret" not in repr(caught.value.failures)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aud": "other"}, Reason.AUDIENCE_MISMATCH),
        ({"exp": NOW - 1000}, Reason.TOKEN_EXPIRED),
        ({"exp": "x"}, Reason.CLAIM_MALFORMED),
    ],
)
def test_a_token_that_could_not_pass_later_is_refused_before_keys_are_fetched(
    changes: dict[str, Any], reason: Reason
) -> None:
    with pytest.raises(TokenError) as caught:
        check_before_fetch(parse_token(compact({"alg": "RS256"}, good_claims(**changes))), a_policy(), NOW)
    assert caught.value.reason is reason


def test_a_token_that_could_pass_later_is_not_refused_before() -> None:
    check_before_fetch(parse_token(compact({"alg": "RS256"}, good_claims())), a_policy(), NOW)


# --- paths ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((), {"a": {"b": 1}, "a.b": 2, "c": [3], "d": None, "e": "text"}),
        (("a",), {"b": 1}),
        (("a", "b"), 1),
        (("a", "b", "c"), None),
        (("a.b",), 2),
        (("a", "x"), None),
        (("x",), None),
        (("x", "y"), None),
        (("c", "0"), None),
        (("d",), None),
        (("d", "x"), None),
        (("e", "0"), None),
    ],
)
def test_a_path_leads_through_objects_alone(path: tuple[str, ...], value: object) -> None:
    claims = {"a": {"b": 1}, "a.b": 2, "c": [3], "d": None, "e": "text"}
    assert claim_at(claims, path) == value


def test_thousands_of_audiences_are_named_as_one_text_that_is_made_once() -> None:
    policy = a_policy(audience=frozenset(f"https://api-{number}.test" for number in range(5_000)))
    first, second = (failed_claims(good_claims(aud="a"), policy, NOW)[0].expected for _ in range(2))
    assert first.startswith("expected one of https://api-0.test, https://api-1.test, https://api-10.test, ")
    assert first is second


def test_thousands_of_names_in_aud_take_no_more_calls_than_two() -> None:
    def judge(number: int) -> int:
        return calls_of(failed_claims, good_claims(aud=[*map(str, range(number)), AUDIENCE]), a_policy(), NOW)

    assert judge(4_000) == judge(2)
