"""Options -> Policy, or ConfigurationError at start; and the header held against it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jwt_asgi import ConfigurationError, Profile, Reason, Skip, TokenError
from jwt_asgi._core.policy import (
    ASYMMETRIC_ALGORITHMS,
    MAX_LEEWAY,
    PLACEHOLDER,
    SYMMETRIC_ALGORITHMS,
    TENANT,
    Policy,
    check_header,
    flag,
    make_policy,
)
from jwt_asgi._core.token import parse_token
from tests.core.builders import a_policy, compact


def policy(**changes: Any) -> Policy:
    options: dict[str, Any] = {
        "issuer": "https://issuer.test",
        "audience": "https://api.test",
        "algorithms": ["RS256"],
        "symmetric": False,
        "profile": Profile.GENERIC,
        "leeway": 30.0,
        "max_age": None,
        "max_lifetime": None,
    }
    return make_policy(**(options | changes))


def refused(**changes: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        policy(**changes)
    return caught.value


def header_refused(header: dict[str, Any], against: Policy) -> TokenError:
    with pytest.raises(TokenError) as caught:
        check_header(parse_token(compact(header, {})), against)
    return caught.value


# --- the options ----------------------------------------------------------------------------------------------------


def test_a_policy_holds_every_option() -> None:
    assert policy(leeway=5, max_age=60, max_lifetime=3600) == Policy(
        issuer="https://issuer.test",
        audience=frozenset({"https://api.test"}),
        algorithms=frozenset({"RS256"}),
        profile=Profile.GENERIC,
        leeway=5.0,
        max_age=60.0,
        max_lifetime=3600.0,
    )


def test_a_policy_cannot_be_changed() -> None:
    made = policy()
    with pytest.raises(AttributeError):
        made.leeway = 1e9  # type: ignore[misc]


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("issuer", 7, "exactly as in `iss`"),
        ("issuer", " https://issuer.test", "`iss` is compared exactly"),
        ("audience", ["https://api.test", 7], "this API's identifier"),
        ("algorithms", "RS256", "a list"),
        ("algorithms", 7, "the algorithms that the issuer signs with"),
        ("profile", "GENERIC", "a Profile, as Profile.GENERIC"),
        ("leeway", "30", "a number of seconds from 0 to 300"),
        ("max_age", -1, "a number of seconds from 0 to 1e+09"),
        ("grants", {"roles": ["admin"]}, "a function of a token that returns Grants"),
    ],
)
def test_a_refusal_says_what_was_expected_and_what_was_given(option: str, value: object, expected: str) -> None:
    error = refused(**{option: value})
    assert error.option == option
    assert expected in error.detail
    assert repr(value) in error.detail


def test_what_is_not_asked_for_is_none() -> None:
    made = policy(max_age=None, max_lifetime=None)
    assert (made.max_age, made.max_lifetime, made.grants) == (None, None, None)


def test_a_function_of_a_token_is_kept() -> None:
    def grants(token: object) -> None:
        """Grant nothing."""

    assert policy(grants=grants).grants is grants


@pytest.mark.parametrize("issuer", ["https://issuer.test", "https://issuer.test/", "urn:example:issuer", "joe", "é"])
def test_the_issuer_is_kept_to_the_letter(issuer: str) -> None:
    assert policy(issuer=issuer).issuer == issuer


@pytest.mark.parametrize("issuer", ["", None, 7, b"https://issuer.test", ["https://issuer.test"]])
def test_an_issuer_that_is_no_text_is_refused(issuer: object) -> None:
    error = refused(issuer=issuer)
    assert error.option == "issuer"
    assert repr(issuer) in error.detail


@pytest.mark.parametrize("issuer", [" https://issuer.test", "https://issuer.test ", "https://issuer.test\n", "\t"])
def test_white_space_around_the_issuer_is_refused(issuer: str) -> None:
    error = refused(issuer=issuer)
    assert error.option == "issuer"
    assert "white space" in error.detail


@pytest.mark.parametrize(
    ("audience", "names"),
    [
        ("https://api.test", {"https://api.test"}),
        (["a"], {"a"}),
        (("a", "b", "a"), {"a", "b"}),
        ({"a", "b"}, {"a", "b"}),
        ("a b", {"a b"}),
    ],
)
def test_the_audience_is_one_name_or_several(audience: object, names: set[str]) -> None:
    assert set(policy(audience=audience).audience or ()) == names


def test_the_audience_check_can_be_skipped_by_name_alone() -> None:
    assert policy(audience=Skip.AUDIENCE_CHECK).audience is None


@pytest.mark.parametrize(
    "audience", ["", [], (), None, False, 7, b"api", [""], ["a", ""], ["a", None], [["a"]], [b"a"]]
)
def test_an_audience_that_names_nobody_is_refused(audience: object) -> None:
    error = refused(audience=audience)
    assert error.option == "audience"
    assert "Skip.AUDIENCE_CHECK" in error.detail


@pytest.mark.parametrize("name", ASYMMETRIC_ALGORITHMS)
def test_every_asymmetric_algorithm_can_be_allowed(name: str) -> None:
    assert policy(algorithms=[name]).algorithms == frozenset({name})


@pytest.mark.parametrize("name", SYMMETRIC_ALGORITHMS)
def test_hmac_can_be_allowed_with_a_shared_secret_alone(name: str) -> None:
    assert policy(algorithms=[name], symmetric=True).algorithms == frozenset({name})
    error = refused(algorithms=[name])
    assert error.option == "algorithms"
    assert "SharedSecret" in error.detail


def test_the_algorithms_are_these_and_no_others() -> None:
    assert set(ASYMMETRIC_ALGORITHMS) == {
        *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
        *("ES256", "ES384", "ES512", "ES256K", "Ed25519", "Ed448", "EdDSA"),
    }
    assert set(SYMMETRIC_ALGORITHMS) == {"HS256", "HS384", "HS512"}


@pytest.mark.parametrize(
    "name", ["none", "None", "NONE", "", "rs256", " RS256", "RS1", "RSA-OAEP", "dir", "ML-DSA-44", None, 7, ["RS256"]]
)
def test_no_other_name_can_be_allowed(name: object) -> None:
    for symmetric in (False, True):
        error = refused(algorithms=[name], symmetric=symmetric)
        assert error.option == "algorithms"
        assert f"{name!r} cannot be allowed here" in error.detail


def test_public_key_algorithms_do_not_go_with_a_shared_secret() -> None:
    assert "a SharedSecret verifies HMAC alone" in refused(algorithms=["HS256", "RS256"], symmetric=True).detail


def test_hmac_never_goes_beside_public_keys() -> None:
    # RFC 8725 section 2.1: algorithm confusion
    detail = refused(algorithms=["RS256", "HS256"]).detail
    assert "'HS256' cannot be allowed here: HMAC needs keys=SharedSecret(...)" in detail
    assert "'RS256' cannot" not in detail


def test_only_hmac_is_told_to_need_a_shared_secret() -> None:
    assert "'none' cannot be allowed here. The allowed names are RS256, " in refused(algorithms=["none"]).detail
    both = refused(algorithms=["none", "HS256"]).detail
    assert "'none', 'HS256' cannot be allowed here: HMAC needs keys=SharedSecret(...)" in both


@pytest.mark.parametrize(("symmetric", "allowed"), [(False, ASYMMETRIC_ALGORITHMS), (True, SYMMETRIC_ALGORITHMS)])
def test_a_refusal_lists_the_algorithms_that_are_allowed_with_such_keys(symmetric: bool, allowed: Any) -> None:
    assert refused(algorithms=["none"], symmetric=symmetric).detail.endswith(f"names are {', '.join(allowed)}")
    assert f"as ['{allowed[0]}']" in refused(algorithms=[], symmetric=symmetric).detail


@pytest.mark.parametrize("algorithms", ["RS256", "RS256 ES256", "", "none"])
def test_a_string_is_no_list_of_algorithms(algorithms: str) -> None:
    # `"RS256" in "RS256K"` would be true for a string
    error = refused(algorithms=algorithms)
    assert error.option == "algorithms"
    assert f'as ["{algorithms}"]' in error.detail


@pytest.mark.parametrize("algorithms", [[], (), None, 7, b"RS256", frozenset()])
def test_there_is_no_default_for_the_algorithms(algorithms: object) -> None:
    assert "expected the algorithms that the issuer signs with" in refused(algorithms=algorithms).detail


@pytest.mark.parametrize("profile", [None, "GENERIC", Profile, {}])
def test_the_profile_must_be_a_profile(profile: object) -> None:
    assert refused(profile=profile).option == "profile"


@pytest.mark.parametrize("value", [0, 0.0, 1, 0.5, 300])
@pytest.mark.parametrize("option", ["leeway", "max_age", "max_lifetime"])
def test_times_are_seconds_from_0_up(option: str, value: float) -> None:
    made = getattr(policy(**{option: value}), option)
    assert made == value
    assert isinstance(made, float)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(-1, id="negative"),
        pytest.param(-1e-9, id="barely negative"),
        pytest.param(float("nan"), id="nan"),
        pytest.param(float("inf"), id="infinity"),
        pytest.param(True, id="a bool"),
        pytest.param("30", id="text"),
        pytest.param([30], id="a list"),
        pytest.param(1j, id="complex"),
        pytest.param(10**400, id="an integer past the range of a float"),
    ],
)
def test_what_is_no_number_of_seconds_is_refused(value: object) -> None:
    for option in ("leeway", "max_age", "max_lifetime"):
        assert refused(**{option: value}).option == option


def test_a_leeway_must_be_given() -> None:
    assert refused(leeway=None).option == "leeway"


def test_a_leeway_of_five_minutes_is_the_most() -> None:
    assert MAX_LEEWAY == 300.0
    assert policy(leeway=300).leeway == 300.0


@pytest.mark.parametrize("leeway", [300.001, 30_000])
def test_more_leeway_is_refused(leeway: float) -> None:
    error = refused(leeway=leeway)
    assert error.option == "leeway"
    assert "from 0 to 300" in error.detail


def test_max_age_and_max_lifetime_may_be_thirty_years_and_no_more() -> None:
    made = policy(max_age=1e9, max_lifetime=1e9)
    assert (made.max_age, made.max_lifetime) == (1e9, 1e9)
    assert refused(max_age=1e9 + 1).option == "max_age"
    assert refused(max_lifetime=1_700_000_000_000).option == "max_lifetime"


@pytest.mark.parametrize("value", [True, False])
def test_a_flag_is_true_or_false(value: bool) -> None:
    assert flag("required", value) is value


@pytest.mark.parametrize("value", [1, 0, "true", "false", "", None, [], [True]])
def test_nothing_else_is_a_flag(value: object) -> None:
    # "false" from an environment variable would be true
    with pytest.raises(ConfigurationError, match="expected True or False") as caught:
        flag("allow_http", value)
    assert caught.value.option == "allow_http"
    assert f"got {value!r}" in caught.value.detail


@pytest.mark.parametrize(("profile", "told"), [(Profile.ENTRA_V2, True), (Profile.ENTRA_V1, False)])
def test_the_profile_says_whether_a_keys_own_issuer_counts(profile: Profile, told: bool) -> None:
    made = policy(profile=profile)
    assert made.key_issuer is told
    assert made.tenant is None


def test_any_tenant_is_written_as_microsoft_does() -> None:
    assert PLACEHOLDER == "{tenantid}"


@pytest.mark.parametrize("name", ["a", "A-z_9", "9188040d-6c67-4c5b-b112-36a304b66dad", "x" * 64, "-", "_"])
def test_a_tenant_is_a_plain_name(name: str) -> None:
    assert TENANT.fullmatch(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 65,
        "a/b",
        "a.b",
        "..",
        "%61",
        "a b",
        "a\n",
        "\n",
        "a\0",
        "{tenantid}",
        "\u00e4",
        "\u0430",
        "\uff11",
        "a?",
        "a#",
    ],
)
def test_what_means_something_in_a_url_or_looks_like_another_letter_is_no_tenant(name: str) -> None:
    assert not TENANT.fullmatch(name)


# --- the header -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_an_allowed_alg_passes(alg: str) -> None:
    check_header(parse_token(compact({"alg": alg}, {})), a_policy(algorithms=frozenset({"RS256", "ES256"})))


@pytest.mark.parametrize("alg", ["none", "None", "", "HS256", "RS384", "rs256", "RS256 ", "RS25", "RS2566", "ES256"])
def test_an_alg_that_is_not_in_the_list_is_refused(alg: str) -> None:
    error = header_refused({"alg": alg}, a_policy())
    assert error.reason is Reason.ALGORITHM_NOT_ALLOWED
    assert error.detail == "expected one of RS256"


@pytest.mark.parametrize(("alg", "listed"), [("EdDSA", "Ed25519"), ("Ed25519", "EdDSA"), ("Ed448", "EdDSA")])
def test_eddsa_and_the_name_of_its_curve_are_listed_apart(alg: str, listed: str) -> None:
    # RFC 9864
    error = header_refused({"alg": alg}, a_policy(algorithms=frozenset({listed})))
    assert error.reason is Reason.ALGORITHM_NOT_ALLOWED


GENERIC_TYPES = ["JWT", "jwt", "at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "Application/AT+JWT"]
OTHER_TYPES = [
    *("", " ", "at+jwt ", "at jwt", "application/jwt", "application/JWT", "logout+jwt", "dpop+jwt", "secevent+jwt"),
    *("id+jwt", "rt+jwt", "JOSE", "JWE", "access", "at+jwt;v=1", "token-introspection+jwt", "aT+jwT\x00"),
]


@pytest.mark.parametrize("typ", GENERIC_TYPES)
def test_the_generic_profile_takes_plain_jwts_and_access_tokens_in_any_case(typ: str) -> None:
    check_header(parse_token(compact({"alg": "RS256", "typ": typ}, {})), a_policy())


def test_the_generic_profile_takes_tokens_without_typ() -> None:
    check_header(parse_token(compact({"alg": "RS256"}, {})), a_policy())


@pytest.mark.parametrize("typ", OTHER_TYPES)
def test_every_other_typ_is_refused(typ: str) -> None:
    for profile in (Profile.GENERIC, Profile.RFC9068):
        error = header_refused({"alg": "RS256", "typ": typ}, a_policy(profile=profile))
        assert error.reason is Reason.TYPE_NOT_ACCEPTED, profile.name


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
def test_the_strict_profile_takes_access_tokens(typ: str) -> None:
    # RFC 9068 section 4: "at+jwt" or "application/at+jwt"
    check_header(parse_token(compact({"alg": "RS256", "typ": typ}, {})), a_policy(profile=Profile.RFC9068))


@pytest.mark.parametrize("header", [{"alg": "RS256"}, {"alg": "RS256", "typ": "JWT"}])
def test_the_strict_profile_takes_nothing_else(header: dict[str, str]) -> None:
    error = header_refused(header, a_policy(profile=Profile.RFC9068))
    assert error.reason is Reason.TYPE_NOT_ACCEPTED
    assert error.detail == "expected typ to be one of: application/at+jwt, at+jwt"


def test_the_message_lists_every_algorithm_that_is_allowed() -> None:
    against = a_policy(algorithms=frozenset({"RS256", "ES256", "PS256"}))
    assert header_refused({"alg": "HS256"}, against).detail == "expected one of ES256, PS256, RS256"


def test_the_message_lists_what_the_generic_profile_takes() -> None:
    error = header_refused({"alg": "RS256", "typ": "logout+jwt"}, a_policy())
    assert error.detail == "expected typ to be one of: absent, application/at+jwt, at+jwt, jwt"


def test_the_alg_is_judged_before_the_typ() -> None:
    assert header_refused({"alg": "none", "typ": "x"}, a_policy()).reason is Reason.ALGORITHM_NOT_ALLOWED


@pytest.mark.parametrize(
    "build",
    [
        lambda: header_refused({"alg": "s3cret"}, a_policy()),
        lambda: header_refused({"alg": "RS256", "typ": "s3cret"}, a_policy()),
    ],
)
def test_what_the_token_says_is_not_in_the_message(build: Callable[[], TokenError]) -> None:
    assert "s3cret" not in str(build())
