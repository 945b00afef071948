"""The decision without ASGI: several issuers, the order of refusals, and what they cost."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from jwt_asgi import (
    AccessError,
    AccessToken,
    ConfigurationError,
    HttpxFetch,
    JWTASGIError,
    KeyCaching,
    KeysUnavailable,
    Profile,
    Reason,
    SharedSecret,
    Skip,
    StaticKeys,
    TokenError,
    TrustedIssuer,
    Verifier,
)
from jwt_asgi._core.freshness import Bucket, State
from jwt_asgi._keys.events import KeyStatus
from jwt_asgi._keys.ledger import COUNTERS
from jwt_asgi._keys.remote import RemoteKeys
from jwt_asgi.access import Grants
from jwt_asgi.testing import TestIssuer
from jwt_asgi.token_cache import digest_of
from jwt_asgi.types import Fetch, FetchResponse
from jwt_asgi.verifier import START_SECONDS
from tests.keys.script import FakeClock
from tests.reasons import FAULTS_OF_A_TOKEN

NOW = 1_800_000_000
METADATA = "https://issuer.test/.well-known/oauth-authorization-server"
JWKS = "https://issuer.test/jwks.json"


@pytest.fixture
def issuer() -> TestIssuer:
    """An issuer whose clock stands still."""
    return TestIssuer(algorithms=["ES256"], clock=lambda: NOW)


def verifier_of(*issuers: TestIssuer, **options: Any) -> Verifier:
    """A verifier that trusts these issuers, at the same time as theirs."""
    trusted = [TrustedIssuer(**{**issuer.options(), **options}) for issuer in issuers]
    return Verifier(*trusted, clock=lambda: NOW)


async def refusal(verifier: Verifier, token: Any) -> Reason:
    """Why the token is refused."""
    with pytest.raises(JWTASGIError) as caught:
        await verifier.verify(token)
    return caught.value.reason


# What a good token gives


@pytest.mark.parametrize("encode", [str, str.encode])
async def test_a_good_token_is_verified_from_text_and_from_bytes(
    issuer: TestIssuer, encode: Callable[[str], str | bytes]
) -> None:
    token = await verifier_of(issuer).verify(
        encode(issuer.token(subject="ann", client_id="app", scope="a b", roles=["admin"], claims={"jti": "1"}))
    )
    assert isinstance(token, AccessToken)
    assert token.issuer == "https://issuer.test"
    assert token.subject == "ann"
    assert token.client_id == "app"
    assert token.audience == ("https://api.test",)
    assert token.scopes == {"a", "b"}
    assert token.roles == {"admin"}
    assert token.expires_at == NOW + 300
    assert token.issued_at == NOW
    assert token.token_id == "1"
    assert token.header == {"alg": "ES256", "typ": "at+jwt", "kid": "es256-1"}
    assert token.claims["sub"] == "ann"
    assert repr(token) == "AccessToken(issuer='https://issuer.test', subject='ann', expires_at=1800000300)"


async def test_the_first_token_fetches_the_metadata_and_the_keys_and_the_next_ones_nothing(issuer: TestIssuer) -> None:
    verifier = verifier_of(issuer)
    assert issuer.fetched == []
    for _ in range(3):
        await verifier.verify(issuer.token())
    assert issuer.fetched == [METADATA, JWKS]


async def test_a_jwks_uri_spares_the_metadata(issuer: TestIssuer) -> None:
    await verifier_of(issuer, jwks_uri=JWKS).verify(issuer.token())
    assert issuer.fetched == [JWKS]


async def test_given_keys_are_used_and_nothing_is_fetched(issuer: TestIssuer) -> None:
    verifier = verifier_of(issuer, keys=StaticKeys(issuer.jwks()), fetch=None)
    assert (await verifier.verify(issuer.token())).subject == "user-1"
    stranger = TestIssuer(algorithms=["ES256"], clock=lambda: NOW)
    assert await refusal(verifier, stranger.token(header={"kid": "another"})) is Reason.KEY_UNKNOWN
    assert await refusal(verifier, stranger.token()) is Reason.SIGNATURE_INVALID
    assert issuer.fetched == []


async def test_the_profile_says_where_scopes_roles_and_the_client_are(issuer: TestIssuer) -> None:
    profile = Profile.GENERIC.replace(scopes=[["scp"]], roles=[["realm_access", "roles"]], client=[["appid"]])
    claims = {"scp": ["a"], "scope": "b", "realm_access": {"roles": ["admin"]}, "roles": ["none"], "appid": "web"}
    token = await verifier_of(issuer, profile=profile).verify(issuer.token(claims=claims))
    assert token.scopes == {"a"}
    assert token.roles == {"admin"}
    assert token.client_id == "web"


# Several issuers


async def test_each_of_several_issuers_has_its_own_keys() -> None:
    first = TestIssuer("https://first.test", algorithms=["ES256"], clock=lambda: NOW)
    second = TestIssuer("https://second.test", algorithms=["ES256"], clock=lambda: NOW)
    verifier = verifier_of(first, second)
    assert (await verifier.verify(first.token())).issuer == "https://first.test"
    assert second.fetched == []
    assert (await verifier.verify(second.token())).issuer == "https://second.test"


async def test_a_key_of_one_issuer_never_verifies_a_token_of_another() -> None:
    # RFC 8725 section 3.8; both keys have the same kid
    first = TestIssuer("https://first.test", algorithms=["ES256"], clock=lambda: NOW)
    second = TestIssuer("https://second.test", algorithms=["ES256"], clock=lambda: NOW)
    assert first.jwks()["keys"][0]["kid"] == second.jwks()["keys"][0]["kid"]
    verifier = verifier_of(first, second)
    assert await refusal(verifier, first.token(claims={"iss": "https://second.test"})) is Reason.SIGNATURE_INVALID


async def test_audience_algorithms_and_profile_are_those_of_the_tokens_own_issuer() -> None:
    first = TestIssuer("https://first.test", audience="one", algorithms=["ES256", "Ed25519"], clock=lambda: NOW)
    second = TestIssuer("https://second.test", audience="two", algorithms=["Ed25519", "ES256"], clock=lambda: NOW)
    verifier = Verifier(
        TrustedIssuer(issuer=first.issuer, audience="one", algorithms=["ES256"], fetch=first.fetch),
        TrustedIssuer(
            issuer=second.issuer,
            audience="two",
            algorithms=["Ed25519"],
            fetch=second.fetch,
            profile=Profile.RFC9068,
        ),
        clock=lambda: NOW,
    )
    assert (await verifier.verify(first.token(without=["jti"]))).audience == ("one",)
    assert (await verifier.verify(second.token())).audience == ("two",)
    assert await refusal(verifier, first.token(audience="two")) is Reason.AUDIENCE_MISMATCH
    assert await refusal(verifier, first.token(algorithm="Ed25519")) is Reason.ALGORITHM_NOT_ALLOWED
    assert await refusal(verifier, second.token(algorithm="ES256")) is Reason.ALGORITHM_NOT_ALLOWED
    assert await refusal(verifier, second.token(without=["jti"])) is Reason.CLAIM_MISSING


async def test_an_outage_of_one_issuer_does_not_touch_another(issuer: TestIssuer) -> None:
    async def fetch(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        raise OSError

    lost = TestIssuer("https://lost.test", algorithms=["ES256"], clock=lambda: NOW)
    options: dict[str, Any] = {**lost.options(), "fetch": fetch}
    verifier = Verifier(TrustedIssuer(**options), TrustedIssuer(**issuer.options()), clock=lambda: NOW)
    with pytest.raises(KeysUnavailable) as caught:
        await verifier.verify(lost.token())
    assert caught.value.issuer == "https://lost.test"
    assert (await verifier.verify(issuer.token())).subject == "user-1"


# Options


@pytest.mark.parametrize("issuers", [(), ("https://issuer.test",), (None,)])
def test_a_verifier_needs_a_trusted_issuer(issuers: tuple[Any, ...]) -> None:
    with pytest.raises(ConfigurationError, match=r"expected one TrustedIssuer\(...\) or more") as caught:
        Verifier(*issuers)
    assert caught.value.option == "Verifier"


def test_an_issuer_is_given_once(issuer: TestIssuer) -> None:
    trusted = TrustedIssuer(**issuer.options())
    with pytest.raises(ConfigurationError, match="expected each issuer once; put its audiences into one") as caught:
        Verifier(trusted, TrustedIssuer(**issuer.options()))
    assert caught.value.option == "Verifier"


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"issuer": "http://issuer.test"}, "issuer"),
        ({"issuer": "issuer.test"}, "issuer"),
        ({"issuer": "https://user:pass@issuer.test"}, "issuer"),
        ({"issuer": "https://issuer.test#x"}, "issuer"),
        ({"jwks_uri": "http://issuer.test/jwks"}, "jwks_uri"),
        ({"jwks_uri": ""}, "jwks_uri"),
        ({"audience": []}, "audience"),
        ({"audience": ["a", ""]}, "audience"),
        ({"audience": 7}, "audience"),
        ({"audience": b"a"}, "audience"),
        ({"algorithms": []}, "algorithms"),
        ({"algorithms": "ES256"}, "algorithms"),
        ({"algorithms": ["ES256", "none"]}, "algorithms"),
        ({"algorithms": ["HS256"]}, "algorithms"),
        ({"algorithms": None}, "algorithms"),
        ({"profile": None}, "profile"),
        ({"leeway": 300.5}, "leeway"),
        ({"leeway": float("nan")}, "leeway"),
        ({"max_age": -1}, "max_age"),
        ({"max_lifetime": "300"}, "max_lifetime"),
        ({"key_caching": 600}, "key_caching"),
        ({"fetch": "https://proxy.test"}, "fetch"),
        ({"keys": {"keys": []}}, "keys"),
    ],
)
def test_a_wrong_option_of_an_issuer_stops_the_start(issuer: TestIssuer, options: dict[str, Any], option: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        TrustedIssuer(**{**issuer.options(), **options})
    assert caught.value.option == option


@pytest.mark.parametrize(
    "beside", [{"jwks_uri": JWKS}, {"fetch": TestIssuer(algorithms=["ES256"]).fetch}, {"key_caching": KeyCaching()}]
)
def test_given_keys_leave_nothing_to_fetch(issuer: TestIssuer, beside: dict[str, Any]) -> None:
    options: dict[str, Any] = {"fetch": None, "keys": StaticKeys(issuer.jwks()), **beside}
    with pytest.raises(ConfigurationError, match="beside keys that are given"):
        TrustedIssuer(**{**issuer.options(), **options})


def test_issuer_audience_and_algorithms_are_required() -> None:
    make: Callable[..., TrustedIssuer] = TrustedIssuer
    with pytest.raises(TypeError, match="'audience' and 'algorithms'"):
        make(issuer="https://issuer.test")


def test_without_a_fetch_the_http_client_is_the_packages_own() -> None:
    trusted = TrustedIssuer(issuer="https://issuer.test", audience="a", algorithms=["ES256"])
    assert isinstance(trusted.keys, RemoteKeys)
    assert isinstance(trusted.keys._source._fetch, HttpxFetch)


@pytest.mark.parametrize("audience", ["https://api.test", ["https://api.test", "other"], ("other", "https://api.test")])
async def test_the_audience_is_one_name_or_several(issuer: TestIssuer, audience: Any) -> None:
    assert await verifier_of(issuer, audience=audience).verify(issuer.token())


async def test_only_the_constant_leaves_the_audience_out(issuer: TestIssuer) -> None:
    verifier = verifier_of(issuer, audience=Skip.AUDIENCE_CHECK)
    assert (await verifier.verify(issuer.token(audience="anyone"))).audience == ("anyone",)
    assert (await verifier.verify(issuer.token(without=["aud"]))).audience == ()
    assert await refusal(verifier, issuer.token(claims={"aud": 7})) is Reason.CLAIM_MALFORMED


# The order of refusals, and what they fetch

FREE = [reason for reason in FAULTS_OF_A_TOKEN if reason not in {Reason.KEY_UNKNOWN, Reason.SIGNATURE_INVALID}]


@pytest.mark.parametrize("reason", FREE, ids=lambda reason: reason.value)
async def test_what_can_be_refused_without_a_key_makes_nobody_fetch_one(issuer: TestIssuer, reason: Reason) -> None:
    assert await refusal(verifier_of(issuer), issuer.bad_token(reason)) is reason
    assert issuer.fetched == []


@pytest.mark.parametrize("reason", [Reason.SIGNATURE_INVALID, Reason.KEY_UNKNOWN], ids=lambda reason: reason.value)
async def test_what_needs_the_keys_fetches_them_once(issuer: TestIssuer, reason: Reason) -> None:
    verifier = verifier_of(issuer)
    assert await refusal(verifier, issuer.bad_token(reason)) is reason
    assert await refusal(verifier, issuer.bad_token(reason)) is reason
    assert issuer.fetched == [METADATA, JWKS]


@pytest.mark.parametrize(
    "reason", [*FREE, Reason.SIGNATURE_INVALID, Reason.KEY_UNKNOWN], ids=lambda reason: reason.value
)
async def test_every_reason_is_the_same_with_the_keys_at_hand(issuer: TestIssuer, reason: Reason) -> None:
    verifier = verifier_of(issuer)
    await verifier.verify(issuer.token())
    assert await refusal(verifier, issuer.bad_token(reason)) is reason


async def test_many_unknown_kids_cost_a_warm_verifier_two_fetches(issuer: TestIssuer) -> None:
    verifier = verifier_of(issuer, jwks_uri=JWKS)
    await verifier.verify(issuer.token())
    for number in range(50):
        assert await refusal(verifier, issuer.token(header={"kid": f"made-up-{number}"})) is Reason.KEY_UNKNOWN
    assert issuer.fetched == [JWKS] * 3


@pytest.mark.parametrize("warm", [True, False])
async def test_the_signature_of_an_expired_token_is_judged_before_its_expiry_is_told(
    issuer: TestIssuer, warm: bool
) -> None:
    # "expired" would tell a forger that the rest was right; without the keys, a fetch for it would be worse
    verifier = verifier_of(issuer)
    if warm:
        await verifier.verify(issuer.token())
    expired = issuer.token(expires_in=-3600)
    forged = expired.rpartition(".")[0] + "." + issuer.token().rpartition(".")[2]
    assert await refusal(verifier, forged) is (Reason.SIGNATURE_INVALID if warm else Reason.TOKEN_EXPIRED)
    assert await refusal(verifier, expired) is Reason.TOKEN_EXPIRED


async def test_a_forged_and_expired_token_with_a_known_kid_is_told_nothing_but_its_signature(
    issuer: TestIssuer,
) -> None:
    verifier = verifier_of(issuer, keys=StaticKeys(issuer.jwks()), fetch=None)
    stranger = TestIssuer(algorithms=["ES256"], clock=lambda: NOW)
    assert await refusal(verifier, stranger.token(expires_in=-3600)) is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"header": {"crit": ["x"], "alg": "none"}}, Reason.HEADER_CRITICAL),
        ({"header": {"alg": "none"}, "claims": {"iss": "https://evil.test"}}, Reason.ISSUER_UNTRUSTED),
        ({"header": {"alg": "none", "typ": "logout+jwt"}, "expires_in": -9999}, Reason.ALGORITHM_NOT_ALLOWED),
        ({"header": {"typ": "logout+jwt"}, "expires_in": -9999}, Reason.TYPE_NOT_ACCEPTED),
        ({"audience": "x", "claims": {"cnf": {}}, "expires_in": -9999}, Reason.AUDIENCE_MISMATCH),
        ({"claims": {"cnf": {}, "token_use": "id"}, "expires_in": -9999}, Reason.BINDING_UNSUPPORTED),
        ({"claims": {"token_use": "id", "sub": 7}, "expires_in": -9999}, Reason.TYPE_NOT_ACCEPTED),
        ({"claims": {"sub": 7}, "expires_in": -9999}, Reason.CLAIM_MALFORMED),
        ({"claims": {"nbf": NOW + 999, "exp": NOW - 999}}, Reason.TOKEN_NOT_YET_VALID),
    ],
)
async def test_of_several_faults_the_weightier_is_the_reason(
    issuer: TestIssuer, first: dict[str, Any], then: Reason
) -> None:
    assert await refusal(verifier_of(issuer), issuer.token(**first)) is then


async def test_all_failed_claims_are_listed_with_what_was_expected_and_found(issuer: TestIssuer) -> None:
    token = issuer.token(audience="https://other.test", expires_in=-3600, claims={"nbf": NOW + 3600})
    with pytest.raises(TokenError) as caught:
        await verifier_of(issuer).verify(token)
    assert [(failure.claim, failure.reason, failure.actual) for failure in caught.value.failures] == [
        ("aud", Reason.AUDIENCE_MISMATCH, "https://other.test"),
        ("nbf", Reason.TOKEN_NOT_YET_VALID, NOW + 3600),
        ("exp", Reason.TOKEN_EXPIRED, NOW - 3600),
    ]
    assert "https://other.test" not in str(caught.value)
    assert str(NOW - 3600) not in str(caught.value)


# Whatever is given for a token


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (None, Reason.TOKEN_MALFORMED),
        (7, Reason.TOKEN_MALFORMED),
        (1.5, Reason.TOKEN_MALFORMED),
        ({}, Reason.TOKEN_MALFORMED),
        ([], Reason.TOKEN_MALFORMED),
        (bytearray(b"a.b.c"), Reason.TOKEN_MALFORMED),
        (memoryview(b"a.b.c"), Reason.TOKEN_MALFORMED),
        ("", Reason.TOKEN_MALFORMED),
        (b"", Reason.TOKEN_MALFORMED),
        ("..", Reason.TOKEN_MALFORMED),
        ("a.b.c", Reason.TOKEN_MALFORMED),
        (b"\xff.\xff.\xff", Reason.TOKEN_MALFORMED),
        ("ä.ö.ü", Reason.TOKEN_MALFORMED),
        ("\ud800.a.b", Reason.TOKEN_MALFORMED),
        ("a.b.c.d.e", Reason.TOKEN_ENCRYPTED),
        ("a" * 16_385, Reason.TOKEN_TOO_LARGE),
        (b"a" * 16_385, Reason.TOKEN_TOO_LARGE),
        ("a" * 16_384, Reason.TOKEN_MALFORMED),
    ],
)
async def test_whatever_is_no_token_is_refused_as_one(issuer: TestIssuer, token: Any, reason: Reason) -> None:
    assert await refusal(verifier_of(issuer), token) is reason
    assert issuer.fetched == []


@pytest.mark.parametrize("change", ["Bearer {}", "{} ", " {}", "{}\n", "{}=", "{}.", "{}.x"])
async def test_a_good_token_with_anything_around_it_is_refused(issuer: TestIssuer, change: str) -> None:
    assert await refusal(verifier_of(issuer), change.format(issuer.token())) is Reason.TOKEN_MALFORMED


async def test_one_changed_character_of_a_good_token_is_refused_wherever_it_is(issuer: TestIssuer) -> None:
    verifier, token = verifier_of(issuer), issuer.token()
    await verifier.verify(token)
    for place in range(0, len(token), 7):
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        with pytest.raises(TokenError):
            await verifier.verify(changed)


# Lifetimes and the clock


@pytest.mark.parametrize(
    ("option", "claims", "reason"),
    [
        ({"max_age": 600}, {"iat": NOW - 630}, None),
        ({"max_age": 600}, {"iat": NOW - 631}, Reason.TOKEN_TOO_OLD),
        ({"max_age": 0, "leeway": 0}, {"iat": NOW}, None),
        ({"max_age": 0, "leeway": 0}, {"iat": NOW - 1}, Reason.TOKEN_TOO_OLD),
        ({"max_lifetime": 600}, {"iat": NOW, "exp": NOW + 600}, None),
        ({"max_lifetime": 600}, {"iat": NOW, "exp": NOW + 601}, Reason.LIFETIME_TOO_LONG),
        ({"leeway": 0}, {"exp": NOW + 1}, None),
        ({"leeway": 0}, {"exp": NOW}, Reason.TOKEN_EXPIRED),
        ({"leeway": 300}, {"exp": NOW - 299}, None),
        ({"leeway": 300}, {"exp": NOW - 300}, Reason.TOKEN_EXPIRED),
        ({"leeway": 0.5}, {"exp": NOW - 0.25}, None),
    ],
)
async def test_lifetimes_and_leeway_hold_to_the_second(
    issuer: TestIssuer, option: dict[str, Any], claims: dict[str, Any], reason: Reason | None
) -> None:
    verifier, token = verifier_of(issuer, **option), issuer.token(claims=claims)
    if reason is None:
        assert (await verifier.verify(token)).claims["exp"] is not None
    else:
        assert await refusal(verifier, token) is reason


@pytest.mark.parametrize("option", [{"max_age": 600}, {"max_lifetime": 600}])
async def test_a_bound_on_the_age_or_the_lifetime_asks_for_iat(issuer: TestIssuer, option: dict[str, Any]) -> None:
    token = issuer.token(without=["iat"])
    assert await refusal(verifier_of(issuer, **option), token) is Reason.CLAIM_MISSING
    assert (await verifier_of(issuer).verify(token)).issued_at is None


async def test_the_verifiers_clock_decides_and_is_asked_each_time(issuer: TestIssuer) -> None:
    now = float(NOW)
    verifier, token = Verifier(TrustedIssuer(**issuer.options()), clock=lambda: now), issuer.token(expires_in=300)
    assert await verifier.verify(token)
    now = NOW + 329.9
    assert await verifier.verify(token)
    now = NOW + 330.0
    assert await refusal(verifier, token) is Reason.TOKEN_EXPIRED
    now = NOW - 31.0
    assert await refusal(verifier, token) is Reason.TOKEN_ISSUED_IN_FUTURE


async def test_the_clock_is_the_machines_by_default() -> None:
    issuer = TestIssuer(algorithms=["ES256"])
    verifier = Verifier(TrustedIssuer(**issuer.options()))
    token = await verifier.verify(issuer.token())
    assert token.issued_at is not None
    assert abs(token.issued_at - time.time()) < 60
    assert await refusal(verifier, issuer.token(expires_in=-3600)) is Reason.TOKEN_EXPIRED


# A shared secret

SECRET = "0123456789abcdef" * 4


def shared(secret: str | bytes = SECRET, *algorithms: str) -> Verifier:
    trusted = TrustedIssuer(
        issuer="my-service", audience="my-api", algorithms=algorithms or ["HS256"], keys=SharedSecret(secret)
    )
    return Verifier(trusted, clock=lambda: NOW)


def signed(secret: str | bytes = SECRET, *, kid: str | None = None, **changes: Any) -> str:
    """A token of the service, made by the JOSE library and not by the test kit."""
    header = {"alg": "HS256", **({} if kid is None else {"kid": kid})}
    claims = {"iss": "my-service", "aud": "my-api", "sub": "ann", "exp": NOW + 60}
    algorithm = changes.pop("alg", "HS256")
    return jwt.encode(
        {**header, "alg": algorithm}, claims | changes, OctKey.import_key(secret), algorithms=["HS256", "HS512"]
    )


@pytest.mark.parametrize("secret", [SECRET, SECRET.encode(), "ä" * 16])
async def test_a_service_that_signs_with_a_shared_secret_verifies_its_own_tokens(secret: str | bytes) -> None:
    key = secret.encode() if isinstance(secret, str) else secret
    assert (await shared(secret).verify(signed(key))).subject == "ann"


@pytest.mark.parametrize("kid", [None, "1", "whatever"])
async def test_a_shared_secret_verifies_whatever_kid_the_token_names(kid: str | None) -> None:
    assert (await shared().verify(signed(kid=kid))).subject == "ann"


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (signed("another secret, of 32 bytes or more"), Reason.SIGNATURE_INVALID),
        (signed(alg="HS512"), Reason.ALGORITHM_NOT_ALLOWED),
        (signed(exp=NOW - 60), Reason.TOKEN_EXPIRED),
        (signed(iss="another-service"), Reason.ISSUER_UNTRUSTED),
        (signed(aud="another-api"), Reason.AUDIENCE_MISMATCH),
        (signed().rpartition(".")[0] + ".", Reason.SIGNATURE_INVALID),
    ],
)
async def test_a_token_that_the_shared_secret_did_not_sign_for_this_is_refused(token: str, reason: Reason) -> None:
    assert await refusal(shared(), token) is reason


def test_a_shared_secret_goes_with_hmac_alone_and_must_be_as_long_as_the_hash() -> None:
    with pytest.raises(ConfigurationError, match="'ES256' cannot be allowed here: a SharedSecret verifies HMAC alone"):
        shared(SECRET, "ES256")
    with pytest.raises(ConfigurationError, match="SharedSecret has 31 bytes; HS256 needs at least 32"):
        shared("x" * 31)
    with pytest.raises(ConfigurationError, match="SharedSecret has 63 bytes; HS256, HS512 needs at least 64"):
        shared("x" * 63, "HS512", "HS256")


# A new key under an old kid


class Reissued:
    """An issuer that gives new keys the kid of the old one, and a verifier that looks again, or does not."""

    def __init__(self, *, look_again: bool = True) -> None:
        self.current = self.anew()
        self.clock = FakeClock()
        self.gets = 0
        self.down = False
        self.verifier = verifier_of(
            self.current,
            jwks_uri=JWKS,
            fetch=self.fetch,
            key_clock=self.clock,
            key_caching=KeyCaching(refresh_on_bad_signature=look_again),
        )

    def anew(self) -> TestIssuer:
        """Take a new key, whose kid is the same."""
        self.current = TestIssuer(algorithms=["ES256"], clock=lambda: NOW)
        return self.current

    async def fetch(self, url: str, **options: Any) -> FetchResponse:
        self.gets += 1
        if self.down:
            raise OSError
        return await self.current.fetch(url, **options)

    def forged(self, **changes: Any) -> str:
        return TestIssuer(algorithms=["ES256"], clock=lambda: NOW).token(**changes)


async def test_by_default_a_bad_signature_costs_no_fetch() -> None:
    issuer = Reissued(look_again=False)
    await issuer.verifier.verify(issuer.current.token())
    issuer.anew()
    assert await refusal(issuer.verifier, issuer.current.token()) is Reason.SIGNATURE_INVALID
    assert issuer.gets == 1
    assert KeyCaching().refresh_on_bad_signature is False


async def test_a_new_key_under_an_old_kid_is_taken_in_the_same_request_where_that_is_asked_for() -> None:
    issuer = Reissued()
    old = issuer.current.token()
    await issuer.verifier.verify(old)
    new = issuer.anew().token(subject="ann")
    assert (await issuer.verifier.verify(new)).subject == "ann"
    assert issuer.gets == 2
    assert (await issuer.verifier.verify(new)).subject == "ann"
    assert await refusal(issuer.verifier, old) is Reason.SIGNATURE_INVALID


async def test_requests_that_meet_the_new_key_at_once_share_one_fetch() -> None:
    issuer = Reissued()
    await issuer.verifier.verify(issuer.current.token())
    issuer.anew()
    tokens = [issuer.current.token(subject=f"user-{number}") for number in range(30)]
    found = await asyncio.gather(*map(issuer.verifier.verify, tokens))
    assert [token.subject for token in found] == [f"user-{number}" for number in range(30)]
    assert issuer.gets == 2


async def test_a_token_without_kid_looks_again_too() -> None:
    issuer = Reissued()
    await issuer.verifier.verify(issuer.current.token())
    key = issuer.anew()._signing["ES256"]
    payload = urlsafe_b64decode(issuer.current.token().split(".")[1] + "==")
    token = key.sign({"alg": "ES256", "typ": "at+jwt"}, payload)
    assert (await issuer.verifier.verify(token)).subject == "user-1"
    assert issuer.gets == 2


async def test_a_flood_of_bad_signatures_is_bounded_and_their_reason_stays_the_same() -> None:
    issuer = Reissued()
    good = issuer.current.token()
    await issuer.verifier.verify(good)
    began = issuer.clock.now
    for _ in range(300):
        issuer.clock.now += 0.5
        assert await refusal(issuer.verifier, issuer.forged()) is Reason.SIGNATURE_INVALID
        assert await issuer.verifier.verify(good)
    bucket = Bucket(filled_at=began)
    assert 2 <= issuer.gets <= 1 + bucket.capacity + (issuer.clock.now - began) / bucket.refill
    assert issuer.verifier.status()["https://issuer.test"].kids == ("es256-1",)


async def test_bad_signatures_and_unknown_kids_share_one_bound() -> None:
    issuer = Reissued()
    await issuer.verifier.verify(issuer.current.token())
    for number in range(20):
        unknown = issuer.forged(header={"kid": f"made-up-{number}"})
        assert await refusal(issuer.verifier, unknown) is Reason.KEY_UNKNOWN
    assert issuer.gets == 3
    assert await refusal(issuer.verifier, issuer.forged()) is Reason.SIGNATURE_INVALID
    assert issuer.gets == 3


@pytest.mark.parametrize(
    "changes",
    [{"expires_in": -3600}, {"audience": "https://other.test"}, {"without": ["exp"]}, {"claims": {"nbf": NOW + 3600}}],
    ids=["expired", "for another audience", "without expiry", "not yet valid"],
)
async def test_a_forged_token_that_could_not_pass_anyway_costs_no_fetch(changes: dict[str, Any]) -> None:
    issuer = Reissued()
    await issuer.verifier.verify(issuer.current.token())
    for _ in range(5):
        assert await refusal(issuer.verifier, issuer.forged(**changes)) is Reason.SIGNATURE_INVALID
    assert issuer.gets == 1


async def test_while_the_issuer_is_out_a_bad_signature_is_one_and_good_tokens_pass() -> None:
    issuer = Reissued()
    good = issuer.current.token()
    await issuer.verifier.verify(good)
    issuer.down = True
    for _ in range(5):
        assert await refusal(issuer.verifier, issuer.forged()) is Reason.SIGNATURE_INVALID
        assert await issuer.verifier.verify(good)
    assert issuer.gets <= 3


async def test_a_kid_that_is_gone_once_it_is_looked_for_again_is_still_a_bad_signature() -> None:
    issuer = Reissued()
    await issuer.verifier.verify(issuer.current.token())
    forged = issuer.forged()
    issuer.current.rotate(keep_old=False)
    assert await refusal(issuer.verifier, forged) is Reason.SIGNATURE_INVALID
    assert issuer.gets == 2
    assert await issuer.verifier.verify(issuer.current.token())


async def test_given_keys_are_never_looked_for_again(issuer: TestIssuer) -> None:
    verifier = verifier_of(issuer, keys=StaticKeys(issuer.jwks()), fetch=None)
    assert await refusal(verifier, issuer.bad_token(Reason.SIGNATURE_INVALID)) is Reason.SIGNATURE_INVALID
    assert issuer.fetched == []


async def test_a_new_key_under_an_old_kid_that_is_of_another_issuer_is_not_taken() -> None:
    issuer = Reissued()
    profile = replace(Profile.GENERIC, key_issuer=True)
    members: dict[str, Any] = {}

    async def fetch(url: str, **_: Any) -> FetchResponse:
        keys = [{**key, **members} for key in issuer.current.jwks()["keys"]]
        return FetchResponse(200, {}, json.dumps({"keys": keys}).encode())

    caching = KeyCaching(refresh_on_bad_signature=True)
    verifier = verifier_of(issuer.current, jwks_uri=JWKS, fetch=fetch, profile=profile, key_caching=caching)
    assert await verifier.verify(issuer.current.token())
    members["issuer"] = "https://other.test"
    assert await refusal(verifier, issuer.anew().token()) is Reason.KEY_UNSUITABLE


# Closing


async def test_a_verifier_can_be_used_again_after_it_was_closed(issuer: TestIssuer) -> None:
    async with verifier_of(issuer) as verifier:
        assert await verifier.verify(issuer.token())
    assert await verifier.verify(issuer.token())
    assert issuer.fetched == [METADATA, JWKS]


async def test_closing_gives_up_the_fetches_of_every_issuer() -> None:
    ended: list[str] = []
    began = asyncio.Semaphore(0)

    async def fetch(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        began.release()
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(url)
        raise AssertionError

    issuers = [TestIssuer(f"https://{name}.test", algorithms=["ES256"], clock=lambda: NOW) for name in ("a", "b")]
    verifier = verifier_of(*issuers, fetch=fetch)
    waiting = [asyncio.ensure_future(verifier.verify(issuer.token())) for issuer in issuers]
    await began.acquire()
    await began.acquire()
    for request in waiting:
        request.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert ended == []
    await verifier.aclose()
    assert sorted(ended) == [
        "https://a.test/.well-known/oauth-authorization-server",
        "https://b.test/.well-known/oauth-authorization-server",
    ]


# Status


async def test_the_status_has_every_issuer_by_name_and_whether_it_is_required(issuer: TestIssuer) -> None:
    other = TestIssuer("https://other.test", algorithms=["ES256"], clock=lambda: NOW)
    verifier = Verifier(
        TrustedIssuer(**issuer.options()), TrustedIssuer(**other.options(), required=False), clock=lambda: NOW
    )
    status = verifier.status()
    assert list(status) == ["https://issuer.test", "https://other.test"]
    assert [(one.state, one.required, one.ready) for one in status.values()] == [
        (State.EMPTY, True, False),
        (State.EMPTY, False, False),
    ]
    assert (issuer.fetched, other.fetched) == ([], [])
    await verifier.verify(issuer.token())
    status = verifier.status()
    assert [one.state for one in status.values()] == [State.FRESH, State.EMPTY]
    assert (status["https://issuer.test"].kids, status["https://issuer.test"].jwks_uri) == (("es256-1",), JWKS)


def test_the_status_of_keys_that_are_given_says_which_and_of_a_secret_nothing(issuer: TestIssuer) -> None:
    keys = {"keys": [*issuer.jwks()["keys"], {"kty": "oct", "k": "c2VjcmV0", "kid": "left out"}]}
    given = TrustedIssuer(issuer="https://static.test", audience="a", algorithms=["ES256"], keys=StaticKeys(keys))
    secret = TrustedIssuer(issuer="i", audience="a", algorithms=["HS256"], keys=SharedSecret(SECRET), required=False)
    status = Verifier(given, secret).status()
    assert status["https://static.test"] == KeyStatus(
        issuer="https://static.test",
        state=State.FRESH,
        kids=("es256-1",),
        skipped=status["https://static.test"].skipped,
        counters=dict.fromkeys(COUNTERS, 0),
    )
    assert len(status["https://static.test"].skipped) == 1
    assert status["i"] == KeyStatus(issuer="i", state=State.FRESH, required=False, counters=dict.fromkeys(COUNTERS, 0))
    text = json.dumps([one.as_dict() for one in status.values()])
    assert "c2VjcmV0" not in text
    assert SECRET not in text + repr(status)


# Reloading


async def test_a_reload_fetches_the_keys_of_every_issuer_and_leaves_given_ones_alone(issuer: TestIssuer) -> None:
    other = TestIssuer("https://other.test", algorithms=["ES256"], clock=lambda: NOW)
    given = TrustedIssuer(
        issuer="https://static.test", audience="a", algorithms=["ES256"], keys=StaticKeys(issuer.jwks())
    )
    verifier = Verifier(TrustedIssuer(**issuer.options()), TrustedIssuer(**other.options()), given, clock=lambda: NOW)
    await verifier.reload()
    await verifier.reload()
    assert [one.fetched.count(one.jwks_uri) for one in (issuer, other)] == [2, 2]
    old = issuer.token()
    issuer.rotate(keep_old=False)
    assert await verifier.verify(old)
    await verifier.reload()
    assert await refusal(verifier, old) is Reason.KEY_UNKNOWN
    assert await verifier.verify(issuer.token())


async def test_a_reload_that_fails_for_one_issuer_is_told_and_the_others_are_reloaded(issuer: TestIssuer) -> None:
    down = TestIssuer("https://down.test", algorithms=["ES256"], clock=lambda: NOW)

    async def fails(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        return FetchResponse(500, {}, b"")

    verifier = Verifier(
        trusting(down, fails),
        TrustedIssuer(**issuer.options()),
        clock=lambda: NOW,
    )
    with pytest.raises(KeysUnavailable) as caught:
        await verifier.reload()
    assert caught.value.issuer == "https://down.test"
    assert verifier.status()["https://issuer.test"].ready
    assert issuer.fetched == [METADATA, JWKS]


async def test_asking_whether_it_is_ready_fetches_what_is_missing_of_every_required_issuer(issuer: TestIssuer) -> None:
    other = TestIssuer("https://other.test", algorithms=["ES256"], clock=lambda: NOW)
    verifier = Verifier(TrustedIssuer(**issuer.options()), TrustedIssuer(**other.options(), required=False))
    assert not verifier.ready()
    while not verifier.ready():
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    assert [len(one.fetched) for one in (issuer, other)] == [2, 0]


# Starting


@pytest.mark.parametrize("mode", ["", "eager", "LAZY", None, True])
async def test_a_start_knows_three_modes(issuer: TestIssuer, mode: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected one of lazy, warm, require") as caught:
        await verifier_of(issuer).start(mode)
    assert caught.value.option == "startup"
    assert issuer.fetched == []


async def test_a_lazy_start_fetches_nothing(issuer: TestIssuer) -> None:
    await verifier_of(issuer).start("lazy")
    await asyncio.sleep(0.01)
    assert issuer.fetched == []


@pytest.mark.parametrize("mode", ["warm", "require"])
async def test_another_start_fetches_the_keys_before_the_first_token_and_once(issuer: TestIssuer, mode: Any) -> None:
    verifier = verifier_of(issuer)
    await verifier.start(mode)
    assert issuer.fetched == [METADATA, JWKS]
    await verifier.start(mode)
    await verifier.verify(issuer.token())
    assert issuer.fetched == [METADATA, JWKS]
    shared = Verifier(TrustedIssuer(issuer="i", audience="a", algorithms=["HS256"], keys=SharedSecret(SECRET)))
    await shared.start(mode)


class Slow:
    """A `fetch` that fails or hangs."""

    def __init__(self, status: int | None) -> None:
        self.status, self.calls = status, 0

    async def __call__(self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        self.calls += 1
        if self.status is None:
            await asyncio.Event().wait()
        return FetchResponse(self.status or 0, {}, b"")


def trusting(issuer: TestIssuer, fetch: Fetch, **options: Any) -> TrustedIssuer:
    return TrustedIssuer(**{**issuer.options(), "fetch": fetch, "key_hooks": [], **options})


@pytest.mark.parametrize("mode", ["warm", "require"])
@pytest.mark.parametrize("status", [None, 500], ids=["hangs", "down"])
async def test_a_start_asks_all_required_issuers_at_once_and_is_over_in_time(
    issuer: TestIssuer, mode: Any, status: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jwt_asgi.verifier.START_SECONDS", 0.2)
    down, optional = Slow(status), Slow(status)
    verifier = Verifier(
        *(trusting(TestIssuer(f"https://{name}.test", algorithms=["ES256"]), down) for name in "abcdefghij"),
        trusting(TestIssuer("https://optional.test", algorithms=["ES256"]), optional, required=False),
        TrustedIssuer(**issuer.options()),
        clock=lambda: NOW,
    )
    began = time.monotonic()
    if mode == "require":
        with pytest.raises(KeysUnavailable) as caught:
            await verifier.start(mode)
        assert caught.value.issuer == "https://a.test"
    else:
        await verifier.start(mode)
    assert time.monotonic() - began < 1.5, "for all together, not for each"
    assert verifier.status()["https://issuer.test"].ready, "though it comes after those that are down"
    assert down.calls >= 10
    assert optional.calls == 0
    assert await verifier.verify(issuer.token())
    await verifier.aclose()


async def test_a_start_waits_for_an_issuer_that_comes_up_in_time(
    issuer: TestIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    async def comes_up(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        calls.append(url)
        if len(calls) < 2:
            return FetchResponse(503, {}, b"")
        return await issuer.fetch(url, headers=headers, timeout=timeout, limit=limit)

    verifier = verifier_of(issuer, fetch=comes_up, jwks_uri=JWKS, key_hooks=[])
    await verifier.start("require")
    assert (len(calls), verifier.status()["https://issuer.test"].ready) == (2, True)
    warm = verifier_of(issuer, fetch=Slow(503), jwks_uri=JWKS, key_hooks=[])
    monkeypatch.setattr("jwt_asgi.verifier.START_SECONDS", 60.0)
    began = time.monotonic()
    async with asyncio.timeout(5):
        await warm.start("warm")
    assert time.monotonic() - began < 0.5, "one attempt is enough where the start goes on anyway"


class Asked:
    """What a verifier asks of its key sources, in order; each answers at once, and `faults` says who fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.faults: dict[str, KeysUnavailable] = {}
        asked = self

        async def ready(keys: RemoteKeys, *, seconds: float, retry: bool) -> KeysUnavailable | None:
            asked.calls.append(("ready", keys.status().issuer, seconds, retry))
            return asked.faults.get(keys.status().issuer)

        async def reload(keys: RemoteKeys) -> None:
            asked.calls.append(("reload", keys.status().issuer))
            if fault := asked.faults.get(keys.status().issuer):
                raise fault

        async def aclose(keys: RemoteKeys) -> None:
            asked.calls.append(("aclose", keys.status().issuer))

        for name, method in {"ready": ready, "reload": reload, "aclose": aclose}.items():
            monkeypatch.setattr(RemoteKeys, name, method)
        monkeypatch.setattr(
            RemoteKeys, "refresh_if_due", lambda keys: asked.calls.append(("refresh_if_due", keys.status().issuer))
        )

    def of(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]


ONE, TWO = "https://one.test", "https://two.test"


def two_issuers() -> Verifier:
    optional = TestIssuer("https://optional.test", algorithms=["ES256"])
    return Verifier(
        *(TrustedIssuer(**TestIssuer(name, algorithms=["ES256"]).options()) for name in (ONE, TWO)),
        TrustedIssuer(**optional.options(), required=False),
        clock=lambda: NOW,
    )


@pytest.mark.parametrize(("arguments", "retry"), [((), False), (("warm",), False), (("require",), True)])
async def test_a_start_begins_with_all_required_issuers_and_then_waits_for_each_with_what_time_is_left(
    arguments: tuple[Any, ...], retry: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(monkeypatch)
    await two_issuers().start(*arguments)
    assert [call[:2] for call in asked.calls] == [
        ("refresh_if_due", ONE),
        ("refresh_if_due", TWO),
        ("ready", ONE),
        ("ready", TWO),
    ]
    (_, first, one_tries_again), (_, second, two_tries_again) = asked.of("ready")
    assert START_SECONDS == 5.0
    assert 0.0 <= second <= first <= START_SECONDS
    assert one_tries_again is two_tries_again is retry


async def test_a_start_whose_time_is_over_asks_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jwt_asgi.verifier.START_SECONDS", -1.0)
    asked = Asked(monkeypatch)
    await two_issuers().start("warm")
    assert [seconds for _, seconds, _ in asked.of("ready")] == [0.0, 0.0]


async def test_a_start_that_requires_keys_fails_without_them_and_another_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = Asked(monkeypatch)
    asked.faults[TWO] = KeysUnavailable(Reason.KEYS_UNAVAILABLE, issuer=TWO)
    with pytest.raises(KeysUnavailable) as caught:
        await two_issuers().start("require")
    assert caught.value is asked.faults[TWO]
    asked.faults[ONE] = KeysUnavailable(Reason.KEYS_UNAVAILABLE, issuer=ONE)
    await two_issuers().start("warm")
    assert len(asked.of("ready")) == 4, "both are waited for, though the first has none"


async def test_a_reload_asks_everybody_and_tells_the_first_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch)
    asked.faults = {name: KeysUnavailable(Reason.KEYS_UNAVAILABLE, issuer=name) for name in (ONE, TWO)}
    with pytest.raises(KeysUnavailable) as caught:
        await two_issuers().reload()
    assert caught.value is asked.faults[ONE]
    assert asked.of("reload") == [(ONE,), (TWO,), ("https://optional.test",)]


async def test_leaving_a_verifier_gives_up_the_fetches_of_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch)
    async with two_issuers():
        assert asked.calls == []
    assert asked.of("aclose") == [(ONE,), (TWO,), ("https://optional.test",)]


async def test_a_verifier_is_ready_when_every_required_issuer_is(issuer: TestIssuer) -> None:
    def verifier(fetch: Fetch) -> Verifier:
        other = trusting(TestIssuer(TWO, algorithms=["ES256"]), fetch, jwks_uri=JWKS)
        return Verifier(TrustedIssuer(**issuer.options()), other, clock=lambda: NOW)

    half = verifier(Slow(500))
    await half.start("warm")
    assert half.status()["https://issuer.test"].ready
    assert half.ready() is False
    whole = verifier(issuer.fetch)
    await whole.start("warm")
    assert whole.ready() is True


async def test_a_mode_that_is_none_is_told_as_it_was_given(issuer: TestIssuer) -> None:
    mode: Any = "eager"
    with pytest.raises(ConfigurationError, match="expected one of lazy, warm, require; got 'eager'"):
        await verifier_of(issuer).start(mode)


# What it was given, and what is left


def test_a_verifier_tells_whose_tokens_it_accepts(issuer: TestIssuer) -> None:
    one, other = TrustedIssuer(**issuer.options()), TrustedIssuer(**TestIssuer(TWO, algorithms=["ES256"]).options())
    assert Verifier(one, other).issuers == (one, other)


async def test_the_time_that_a_token_is_still_good_for_counts_the_leeway(issuer: TestIssuer) -> None:
    now = float(NOW)
    verifier = Verifier(TrustedIssuer(**issuer.options(), leeway=30.0), clock=lambda: now)
    token = await verifier.verify(issuer.token())
    assert verifier.seconds_left(token) == 330.0
    now += 400
    assert verifier.seconds_left(token) == -70.0


async def test_a_token_is_recalled_without_a_wait_from_the_moment_on_that_it_is_good_and_before_it_is_not() -> None:
    now = float(NOW)
    issuer = TestIssuer(algorithms=["ES256"], clock=lambda: NOW)
    verifier = Verifier(TrustedIssuer(**issuer.options(), leeway=30.0), clock=lambda: now)
    raw = issuer.token()
    digest = digest_of(raw)
    assert verifier.recall(digest) is None
    token = await verifier.verify(raw)
    for moment, good in (
        (token.good_since, True),
        (token.good_since - 1, False),
        (token.good_until, False),
        (NOW, True),
    ):
        now = moment
        assert (verifier.recall(digest) is token) is good
        assert good or verifier.recall(digest) is None


async def test_a_token_is_not_recalled_where_the_application_is_asked_each_time(issuer: TestIssuer) -> None:
    verifier, raw = verifier_of(issuer, grants=lambda _: Grants(roles=["admin"])), issuer.token()
    await verifier.verify(raw)
    assert verifier.recall(digest_of(raw)) is None


async def test_a_token_of_keys_that_were_replaced_is_not_recalled(issuer: TestIssuer) -> None:
    verifier, raw = verifier_of(issuer), issuer.token()
    await verifier.verify(raw)
    issuer.rotate()
    await verifier.reload()
    assert verifier.recall(digest_of(raw)) is None


def test_it_remembers_tokens_unless_it_is_to_keep_none(issuer: TestIssuer) -> None:
    trusted = TrustedIssuer(**issuer.options())
    assert not Verifier(trusted, token_cache=0).remembers
    assert Verifier(trusted, token_cache=1).remembers
    assert Verifier(trusted).remembers


async def test_a_key_that_does_not_fit_makes_no_fetch_where_a_bad_signature_does(issuer: TestIssuer) -> None:
    caching = KeyCaching(refresh_on_bad_signature=True)
    verifier = verifier_of(issuer, jwks_uri=JWKS, algorithms=["ES256", "ES384"], key_caching=caching)
    await verifier.verify(issuer.token())
    other = TestIssuer(algorithms=["ES384"], clock=lambda: NOW)
    kid = issuer.jwks()["keys"][0]["kid"]
    assert await refusal(verifier, other.token(header={"kid": kid})) is Reason.KEY_UNSUITABLE
    assert issuer.fetched == [JWKS]


async def test_a_known_token_that_has_expired_is_refused_for_that_though_the_keys_are_gone(issuer: TestIssuer) -> None:
    now, ageing, calls = float(NOW), FakeClock(), list[str]()

    async def fetch(url: str, **options: Any) -> FetchResponse:
        calls.append(url)
        return await issuer.fetch(url, **options)

    options: dict[str, Any] = {**issuer.options(), "fetch": fetch, "jwks_uri": JWKS, "key_clock": ageing}
    verifier = Verifier(TrustedIssuer(**options), clock=lambda: now)
    token = issuer.token()
    await verifier.verify(token)
    now += 1000
    ageing.now += 1e6
    assert await refusal(verifier, token) is Reason.TOKEN_EXPIRED
    assert calls == [JWKS], "nobody is asked for a token that could not be good"


# What the application grants


async def test_a_function_that_fails_is_told_to_the_operator_and_leaves_the_access_undecided(
    issuer: TestIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(_: AccessToken) -> Grants:
        raise LookupError("s3cret")

    verifier = verifier_of(issuer, grants=breaks)
    with pytest.raises(AccessError) as caught:
        await verifier.verify(issuer.token())
    assert caught.value.reason is Reason.ACCESS_UNDECIDED
    assert caught.value.detail == "the function given as grants= failed: LookupError"
    (record,) = caplog.records
    assert (record.name, record.getMessage()) == ("jwt_asgi", "the function given as grants= failed")
    assert record.exc_info is not None


@pytest.mark.parametrize("later", [False, True])
async def test_what_a_function_returns_is_grants_at_once_or_later(issuer: TestIssuer, later: bool) -> None:
    async def grants_later(_: AccessToken) -> Grants:
        return Grants(roles=["admin"])

    verifier = verifier_of(issuer, grants=grants_later if later else lambda _: Grants(roles=["admin"]))
    for _ in range(2):
        assert (await verifier.verify(issuer.token())).roles == {"admin"}


async def test_anything_else_that_a_function_returns_is_a_fault_of_it(
    issuer: TestIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    async def returns(_: AccessToken) -> Any:
        return ["admin"]

    assert await refusal(verifier_of(issuer, grants=returns), issuer.token()) is Reason.ACCESS_UNDECIDED
    (record,) = caplog.records
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "expected Grants; got list"
