"""error -> status, WWW-Authenticate, body; the cause is never leaked."""

from __future__ import annotations

import json
import re

import pytest

from jwt_asgi import AccessError, ConfigurationError, JWTASGIError, KeysUnavailable, Reason, TokenError
from jwt_asgi._core.challenge import MAX_SCOPE_CHARACTERS, Answer, _answer_of, answer_to, check_realm
from jwt_asgi.errors import ClaimFailure

GENERIC = "The access token is missing a required property, or is not valid here"
# RFC 6750 section 3, RFC 9110 section 11.2
CHALLENGE = re.compile(r'Bearer( [a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*"(, [a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*")*)?')


def header(answer: Answer, name: bytes) -> str | None:
    found = [value.decode("ascii") for key, value in answer.headers if key == name]
    assert len(found) <= 1
    return found[0] if found else None


def challenge(error: JWTASGIError, realm: str | None = None) -> str | None:
    return header(answer_to(error, realm), b"www-authenticate")


def an_error(reason: Reason) -> JWTASGIError:
    if reason.status == 403 or reason in {Reason.AUTHENTICATION_INSUFFICIENT, Reason.ACCESS_UNDECIDED}:
        return AccessError(reason, "s3cret", scopes=("a", "b"), roles=("s3cret",), missing=("s3cret",))
    if reason.status == 503:
        return KeysUnavailable(reason, "s3cret", issuer="https://s3cret.test", retry_after=7.0)
    if reason.status == 500:
        return ConfigurationError("s3cret", "s3cret")
    failure = ClaimFailure(claim="s3cret", reason=reason, expected="s3cret", actual="s3cret")
    return TokenError(reason, "s3cret", failures=(failure,))


def invalid(description: str) -> str:
    return f'Bearer error="invalid_token", error_description="{description}"'


# --- every reason ---------------------------------------------------------------------------------------------------

BEARER = "Bearer"
MALFORMED = 'Bearer error="invalid_request", error_description="The Authorization header is malformed"'
DUPLICATE = 'Bearer error="invalid_request", error_description="More than one access token was sent"'
SCOPES = (
    'Bearer error="insufficient_scope", error_description="The access token lacks a scope that this needs", scope="a b"'
)
STEP_UP = (
    'Bearer error="insufficient_user_authentication", '
    'error_description="A stronger or more recent authentication of the user is needed", scope="a b"'
)
ANSWERS: dict[Reason, tuple[int, str | None, str]] = {
    Reason.CREDENTIALS_MISSING: (401, BEARER, "unauthorized"),
    Reason.SCHEME_UNSUPPORTED: (401, BEARER, "unauthorized"),
    Reason.CREDENTIALS_MALFORMED: (400, MALFORMED, "invalid_request"),
    Reason.CREDENTIALS_DUPLICATE: (400, DUPLICATE, "invalid_request"),
    Reason.TOKEN_TOO_LARGE: (401, invalid(GENERIC), "invalid_token"),
    Reason.TOKEN_MALFORMED: (401, invalid(GENERIC), "invalid_token"),
    Reason.TOKEN_ENCRYPTED: (401, invalid(GENERIC), "invalid_token"),
    Reason.HEADER_MALFORMED: (401, invalid(GENERIC), "invalid_token"),
    Reason.HEADER_CRITICAL: (401, invalid(GENERIC), "invalid_token"),
    Reason.ALGORITHM_NOT_ALLOWED: (401, invalid(GENERIC), "invalid_token"),
    Reason.TYPE_NOT_ACCEPTED: (401, invalid(GENERIC), "invalid_token"),
    Reason.ISSUER_UNTRUSTED: (401, invalid(GENERIC), "invalid_token"),
    Reason.TENANT_MISMATCH: (401, invalid(GENERIC), "invalid_token"),
    Reason.KEY_UNKNOWN: (401, invalid(GENERIC), "invalid_token"),
    Reason.KEY_UNSUITABLE: (401, invalid(GENERIC), "invalid_token"),
    Reason.SIGNATURE_INVALID: (401, invalid(GENERIC), "invalid_token"),
    Reason.CLAIM_MISSING: (401, invalid(GENERIC), "invalid_token"),
    Reason.CLAIM_MALFORMED: (401, invalid(GENERIC), "invalid_token"),
    Reason.AUDIENCE_MISMATCH: (401, invalid(GENERIC), "invalid_token"),
    Reason.BINDING_UNSUPPORTED: (401, invalid(GENERIC), "invalid_token"),
    Reason.TOKEN_NOT_YET_VALID: (401, invalid(GENERIC), "invalid_token"),
    Reason.TOKEN_ISSUED_IN_FUTURE: (401, invalid(GENERIC), "invalid_token"),
    Reason.TOKEN_TOO_OLD: (401, invalid(GENERIC), "invalid_token"),
    Reason.LIFETIME_TOO_LONG: (401, invalid(GENERIC), "invalid_token"),
    Reason.TOKEN_EXPIRED: (401, invalid("The access token expired"), "invalid_token"),
    Reason.TOKEN_REVOKED: (401, invalid(GENERIC), "invalid_token"),
    Reason.IDENTITY_CHANGED: (401, invalid(GENERIC), "invalid_token"),
    Reason.SCOPE_MISSING: (403, SCOPES, "insufficient_scope"),
    Reason.ROLE_MISSING: (403, None, "forbidden"),
    Reason.PERMISSION_MISSING: (403, None, "forbidden"),
    Reason.ACCESS_DENIED: (403, None, "forbidden"),
    Reason.ROUTE_NOT_COVERED: (403, None, "forbidden"),
    Reason.AUTHENTICATION_INSUFFICIENT: (401, STEP_UP, "insufficient_user_authentication"),
    Reason.ACCESS_UNDECIDED: (503, None, "temporarily_unavailable"),
    Reason.KEYS_UNAVAILABLE: (503, None, "temporarily_unavailable"),
    Reason.KEYS_UNUSABLE: (503, None, "temporarily_unavailable"),
    Reason.KEYS_EXPIRED: (503, None, "temporarily_unavailable"),
    Reason.KEYS_BUSY: (503, None, "temporarily_unavailable"),
    Reason.ISSUER_UNRESOLVED: (503, None, "temporarily_unavailable"),
    Reason.DISCOVERY_FAILED: (503, None, "temporarily_unavailable"),
    Reason.REVOCATION_UNAVAILABLE: (503, None, "temporarily_unavailable"),
    Reason.CONFIGURATION_INVALID: (500, None, "server_error"),
}


def test_every_reason_has_an_answer() -> None:
    assert set(ANSWERS) == set(Reason)


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.value)
def test_a_reason_is_answered_with_its_status_challenge_and_code(reason: Reason) -> None:
    status, expected, code = ANSWERS[reason]
    answer = answer_to(an_error(reason))
    assert answer.status == status
    assert header(answer, b"www-authenticate") == expected
    assert json.loads(answer.body)["error"] == code
    assert set(json.loads(answer.body)) == {"error", "error_description"}
    assert header(answer, b"content-type") == "application/json"
    assert header(answer, b"cache-control") == "no-store"
    assert header(answer, b"content-length") == str(len(answer.body))
    wait = "5" if reason is Reason.ACCESS_UNDECIDED else "7"
    assert header(answer, b"retry-after") == (wait if status == 503 else None)


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.value)
def test_neither_the_detail_nor_the_reason_is_told(reason: Reason) -> None:
    answer = answer_to(an_error(reason), "api")
    whole = b" ".join([answer.body, *(value for _, value in answer.headers)])
    assert b"s3cret" not in whole
    assert reason.value.encode() not in whole


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.value)
def test_every_challenge_is_made_of_the_characters_that_rfc_6750_allows(reason: Reason) -> None:
    for realm in (None, "", "api", "A realm, with = and '"):
        value = challenge(an_error(reason), realm)
        assert value is None or CHALLENGE.fullmatch(value)


def test_every_fault_of_a_token_but_expiry_looks_the_same() -> None:
    reasons = [reason for reason in Reason if reason.error == "invalid_token" and reason is not Reason.TOKEN_EXPIRED]
    assert len(reasons) > 15
    assert len({answer_to(an_error(reason)) for reason in reasons}) == 1


@pytest.mark.parametrize(
    "reason",
    [Reason.KEYS_UNAVAILABLE, Reason.KEYS_UNUSABLE, Reason.KEYS_EXPIRED, Reason.KEYS_BUSY, Reason.DISCOVERY_FAILED],
)
def test_every_fault_of_an_issuer_looks_the_same(reason: Reason) -> None:
    answer = answer_to(KeysUnavailable(reason, retry_after=7.0))
    assert (
        json.loads(answer.body)["error_description"] == "The keys that tokens are verified with cannot be had just now"
    )


DENIED = "The access token does not allow this"


@pytest.mark.parametrize(
    ("reason", "description"),
    [
        (Reason.CREDENTIALS_MISSING, "No access token was sent"),
        (Reason.SCHEME_UNSUPPORTED, "No access token was sent"),
        (Reason.CREDENTIALS_MALFORMED, "The Authorization header is malformed"),
        (Reason.CREDENTIALS_DUPLICATE, "More than one access token was sent"),
        (Reason.TOKEN_EXPIRED, "The access token expired"),
        (Reason.SIGNATURE_INVALID, GENERIC),
        (Reason.SCOPE_MISSING, "The access token lacks a scope that this needs"),
        (Reason.ROLE_MISSING, DENIED),
        (Reason.PERMISSION_MISSING, DENIED),
        (Reason.ACCESS_DENIED, DENIED),
        (Reason.ROUTE_NOT_COVERED, DENIED),
        (
            Reason.AUTHENTICATION_INSUFFICIENT,
            "A stronger or more recent authentication of the user is needed",
        ),
        (Reason.ACCESS_UNDECIDED, "Whether the access token allows this cannot be told just now"),
    ],
)
def test_the_body_says_what_the_client_can_do_about_it(reason: Reason, description: str) -> None:
    assert json.loads(answer_to(an_error(reason)).body)["error_description"] == description


# --- realm and scope ------------------------------------------------------------------------------------------------


def test_a_request_without_credentials_is_told_the_realm_and_no_error() -> None:
    # RFC 6750 section 3.1
    assert challenge(TokenError(Reason.CREDENTIALS_MISSING), "api") == 'Bearer realm="api"'


def test_the_realm_comes_first() -> None:
    assert challenge(TokenError(Reason.TOKEN_EXPIRED), "my api") == (
        'Bearer realm="my api", error="invalid_token", error_description="The access token expired"'
    )


def test_an_empty_realm_is_a_realm() -> None:
    assert challenge(TokenError(Reason.CREDENTIALS_MISSING), "") == 'Bearer realm=""'


def test_a_rule_without_a_token_is_told_the_scope_and_no_error() -> None:
    error = AccessError(Reason.CREDENTIALS_MISSING, scopes=("a", "b"))
    assert answer_to(error).status == 401
    assert challenge(error, "api") == 'Bearer realm="api", scope="a b"'


def test_a_rule_of_roles_alone_names_no_scope() -> None:
    assert challenge(AccessError(Reason.CREDENTIALS_MISSING, roles=("admin",))) == "Bearer"


def test_a_challenge_names_the_scopes_of_the_error_or_else_those_that_are_needed_here() -> None:
    for error, told in (
        (TokenError(Reason.TOKEN_EXPIRED), "c d"),
        (AccessError(Reason.CREDENTIALS_MISSING), "c d"),
        (AccessError(Reason.CREDENTIALS_MISSING, scopes=("a", "b")), "a b"),
    ):
        value = header(answer_to(error, scopes=["c", "d"]), b"www-authenticate")
        assert (value or "").endswith(f'scope="{told}"')


def test_a_challenge_names_where_the_metadata_of_the_resource_is() -> None:
    url = "https://api.test/.well-known/oauth-protected-resource"
    answer = answer_to(TokenError(Reason.CREDENTIALS_MISSING), resource_metadata=url)
    assert header(answer, b"www-authenticate") == f'Bearer resource_metadata="{url}"'


@pytest.mark.parametrize(
    ("acr_values", "max_age", "told"),
    [
        (("gold", "silver"), None, 'acr_values="gold silver"'),
        ((), 0, 'max_age="0"'),
        (("gold",), 60, 'acr_values="gold", max_age="60"'),
    ],
)
def test_a_step_up_says_which_authentication_is_asked_for(
    acr_values: tuple[str, ...], max_age: int | None, told: str
) -> None:
    # RFC 9470 section 3
    error = AccessError(Reason.AUTHENTICATION_INSUFFICIENT, acr_values=acr_values, max_age=max_age)
    assert (challenge(error) or "").endswith(f'user is needed", {told}')


@pytest.mark.parametrize("scope", ['a"b', "a\\b", "a\r\nSet-Cookie: x=y", "é", "a\x00", "a\tb"])
def test_a_scope_that_a_challenge_cannot_carry_is_left_out(scope: str) -> None:
    value = challenge(AccessError(Reason.SCOPE_MISSING, scopes=(scope,)), "api")
    assert value == (
        'Bearer realm="api", error="insufficient_scope", '
        'error_description="The access token lacks a scope that this needs"'
    )


@pytest.mark.parametrize("realm", [None, "", "api", "my api", "https://api.test/", "!#$%&'()*+,-./:;<=>?@[]^_`{|}~"])
def test_a_realm_is_printable_ascii(realm: str | None) -> None:
    assert check_realm(realm) == realm


@pytest.mark.parametrize(
    "realm", ['a"b', "a\\b", "a\nb", "a\r", "\t", "\x00", "\x7f", "é", "\u2028", 7, b"api", ["api"]]
)
def test_a_realm_is_nothing_else(realm: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_realm(realm)  # type: ignore[arg-type]
    assert caught.value.option == "realm"
    assert "printable ASCII without quotes and backslashes" in caught.value.detail
    assert f"got {realm!r}" in caught.value.detail


# --- Retry-After ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-5.0, "1"),
        (0.0, "1"),
        (0.2, "1"),
        (1.0, "1"),
        (1.01, "2"),
        (7.0, "7"),
        (299.1, "300"),
        (300.0, "300"),
        (300.1, "300"),
        (1e9, "300"),
    ],
)
def test_retry_after_is_whole_seconds_from_1_to_300(seconds: float, told: str) -> None:
    answer = answer_to(KeysUnavailable(Reason.KEYS_UNAVAILABLE, retry_after=seconds))
    assert header(answer, b"retry-after") == told


def test_an_answer_can_be_compared_and_cannot_be_changed() -> None:
    answer = answer_to(TokenError(Reason.TOKEN_EXPIRED))
    assert answer == answer_to(TokenError(Reason.TOKEN_EXPIRED))
    with pytest.raises(AttributeError):
        answer.status = 200  # type: ignore[misc]


def test_the_names_of_the_headers_are_lower_case() -> None:
    for reason in Reason:
        for name, _ in answer_to(an_error(reason), "api").headers:
            assert name == name.lower()


def test_a_scope_that_is_too_long_for_a_header_is_left_out_and_kept_nowhere() -> None:
    kept = _answer_of.cache_info().currsize
    for length, named in ((1, True), (MAX_SCOPE_CHARACTERS, True), (MAX_SCOPE_CHARACTERS + 1, False)):
        scope = "s" * length
        for error in (TokenError(Reason.TOKEN_EXPIRED), AccessError(Reason.SCOPE_MISSING, scopes=(scope,))):
            said = dict(answer_to(error, "todos", scopes=[scope]).headers)[b"www-authenticate"]
            assert (b"scope=" in said) is named
            assert said.startswith(b'Bearer realm="todos", error="')
    assert _answer_of.cache_info().currsize <= kept + 2
