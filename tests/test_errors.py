"""The vocabulary of refusals: stable codes, four families, messages that are safe in a log."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError

import pytest

from jwt_asgi import AccessError, ConfigurationError, JWTASGIError, KeysUnavailable, Reason, TokenError
from jwt_asgi.errors import ClaimFailure

# The public contract: code -> status, code in the challenge (RFC 6750 section 3.1). Rows may come; none changes.
TABLE = {
    "credentials_missing": (401, None),
    "scheme_unsupported": (401, None),
    "credentials_malformed": (400, "invalid_request"),
    "credentials_duplicate": (400, "invalid_request"),
    "token_too_large": (401, "invalid_token"),
    "token_malformed": (401, "invalid_token"),
    "token_encrypted": (401, "invalid_token"),
    "header_malformed": (401, "invalid_token"),
    "header_critical": (401, "invalid_token"),
    "algorithm_not_allowed": (401, "invalid_token"),
    "type_not_accepted": (401, "invalid_token"),
    "issuer_untrusted": (401, "invalid_token"),
    "tenant_mismatch": (401, "invalid_token"),
    "key_unknown": (401, "invalid_token"),
    "key_unsuitable": (401, "invalid_token"),
    "signature_invalid": (401, "invalid_token"),
    "claim_missing": (401, "invalid_token"),
    "claim_malformed": (401, "invalid_token"),
    "audience_mismatch": (401, "invalid_token"),
    "binding_unsupported": (401, "invalid_token"),
    "token_not_yet_valid": (401, "invalid_token"),
    "token_issued_in_future": (401, "invalid_token"),
    "token_too_old": (401, "invalid_token"),
    "lifetime_too_long": (401, "invalid_token"),
    "token_expired": (401, "invalid_token"),
    "token_revoked": (401, "invalid_token"),
    "identity_changed": (401, "invalid_token"),
    "scope_missing": (403, "insufficient_scope"),
    "role_missing": (403, None),
    "permission_missing": (403, None),
    "access_denied": (403, None),
    "route_not_covered": (403, None),
    "authentication_insufficient": (401, "insufficient_user_authentication"),
    "access_undecided": (503, None),
    "keys_unavailable": (503, None),
    "keys_unusable": (503, None),
    "keys_expired": (503, None),
    "keys_busy": (503, None),
    "issuer_unresolved": (503, None),
    "discovery_failed": (503, None),
    "revocation_unavailable": (503, None),
    "configuration_invalid": (500, None),
}


def test_the_reasons_are_these_with_these_statuses_and_challenge_codes() -> None:
    assert {reason.value: (reason.status, reason.error) for reason in Reason} == TABLE


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.value)
def test_a_reason_is_named_as_its_code_and_found_by_it(reason: Reason) -> None:
    assert reason.name == reason.value.upper()
    assert Reason(reason.value) is reason
    assert repr(reason) == f"Reason.{reason.name}"


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.value)
def test_a_reason_is_summed_up_in_one_line_of_its_own(reason: Reason) -> None:
    assert 10 < len(reason.summary) < 90
    assert reason.summary.isascii()
    assert "\n" not in reason.summary
    assert [other for other in Reason if other.summary == reason.summary] == [reason]


@pytest.mark.parametrize("reason", [Reason.TOKEN_EXPIRED, Reason.KEYS_BUSY])
def test_a_reason_stays_itself_when_it_is_copied_and_pickled(reason: Reason) -> None:
    assert pickle.loads(pickle.dumps(reason)) is reason
    assert copy.deepcopy(reason) is reason


def test_without_a_detail_the_summary_is_the_message() -> None:
    error = TokenError(Reason.TOKEN_EXPIRED)
    assert (error.reason, error.detail, error.failures) == (Reason.TOKEN_EXPIRED, "", ())
    assert str(error) == "token_expired: the token has expired"


def test_a_detail_takes_the_place_of_the_summary() -> None:
    failure = ClaimFailure(claim="exp", reason=Reason.TOKEN_EXPIRED, expected="expected more than 7")
    error = TokenError(Reason.TOKEN_EXPIRED, "exp: expected more than 7", failures=(failure,))
    assert (error.detail, error.failures) == ("exp: expected more than 7", (failure,))
    assert str(error) == "token_expired: exp: expected more than 7"


def test_an_access_error_says_what_was_needed() -> None:
    assert (AccessError(Reason.ROLE_MISSING).scopes, AccessError(Reason.ROLE_MISSING).roles) == ((), ())
    error = AccessError(Reason.SCOPE_MISSING, "more", scopes=("a", "b"), roles=("admin",))
    assert (error.scopes, error.roles, str(error)) == (("a", "b"), ("admin",), "scope_missing: more")


def test_an_outage_says_whose_and_until_when() -> None:
    error = KeysUnavailable(Reason.KEYS_EXPIRED, issuer="https://issuer.test", retry_after=7.5)
    assert (error.issuer, error.retry_after) == ("https://issuer.test", 7.5)
    assert (KeysUnavailable(Reason.KEYS_BUSY).issuer, KeysUnavailable(Reason.KEYS_BUSY).retry_after) == ("", 0.0)


def test_a_configuration_error_names_the_option() -> None:
    error = ConfigurationError("audience", "expected a string")
    assert (error.option, error.reason) == ("audience", Reason.CONFIGURATION_INVALID)
    assert error.detail == "audience: expected a string"
    assert str(error) == "configuration_invalid: audience: expected a string"


def test_there_are_four_families_of_one_base() -> None:
    assert set(JWTASGIError.__subclasses__()) == {TokenError, AccessError, KeysUnavailable, ConfigurationError}
    assert JWTASGIError.__bases__ == (Exception,)


def test_the_base_is_caught_and_never_raised() -> None:
    with pytest.raises(TypeError, match="abstract: raise one of its four families"):
        JWTASGIError(Reason.TOKEN_EXPIRED)


@pytest.mark.parametrize(
    "error",
    [
        TokenError(
            Reason.TOKEN_EXPIRED,
            "why",
            failures=(ClaimFailure(claim="exp", reason=Reason.TOKEN_EXPIRED, expected="x", actual=7),),
        ),
        AccessError(Reason.SCOPE_MISSING, "why", scopes=("a",), roles=("b",)),
        KeysUnavailable(Reason.KEYS_BUSY, "why", issuer="https://issuer.test", retry_after=3.0),
        ConfigurationError("audience", "why"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_that_crosses_processes_keeps_what_it_says(error: JWTASGIError) -> None:
    # multiprocessing and task queues pickle exceptions
    for same in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(same) is type(error)
        assert (str(same), vars(same)) == (str(error), vars(error))


def test_a_failed_claim_shows_what_was_expected_and_never_what_was_found() -> None:
    failure = ClaimFailure(claim="aud", reason=Reason.AUDIENCE_MISMATCH, expected="one of a", actual="secret")
    assert repr(failure) == ("ClaimFailure(claim='aud', reason=Reason.AUDIENCE_MISMATCH, expected='one of a')")
    assert failure.actual == "secret"
    assert ClaimFailure(claim="exp", reason=Reason.CLAIM_MISSING, expected="x").actual is None


def test_a_failed_claim_cannot_be_changed() -> None:
    failure = ClaimFailure(claim="aud", reason=Reason.AUDIENCE_MISMATCH, expected="one of a")
    with pytest.raises(FrozenInstanceError):
        failure.claim = "iss"  # type: ignore[misc]
