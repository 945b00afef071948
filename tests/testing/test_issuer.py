"""The test kit: what it hands out is what its users build their tests on."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from joserfc import jwt as jose
from joserfc.jwk import KeySet

from jwt_asgi import (
    ConfigurationError,
    JWTMiddleware,
    KeyCaching,
    Profile,
    Reason,
    TokenError,
    TrustedIssuer,
    Verifier,
)
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIScope, FetchResponse, Message, Receive, Send
from tests.asgi import http
from tests.reasons import FAULTS_OF_A_TOKEN

NOW = 1_800_000_000
ALGORITHMS = [
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "ES256K",
    "Ed25519",
    "Ed448",
    "EdDSA",
]


@pytest.fixture
def issuer() -> TestIssuer:
    """An issuer whose clock stands still."""
    return TestIssuer(algorithms=["ES256"], clock=lambda: NOW)


@pytest.fixture(scope="module")
def of_every_algorithm() -> TestIssuer:
    """One issuer with a key for each algorithm; RSA keys are slow to make."""
    return TestIssuer(algorithms=ALGORITHMS)


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the claims of a token, read without any check."""
    header, payload = (json.loads(urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
    return header, payload


async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["jwt"].subject.encode()})


# Tokens


async def test_the_example_of_the_documentation_works() -> None:
    issuer = TestIssuer(audience="https://api.example.com")
    door = JWTMiddleware(app, **issuer.options())
    answer = await http(door, token=issuer.token(scope="todos:read"))
    assert (answer.status, answer.body) == (200, b"user-1")
    assert (await http(door)).status == 401


def test_an_issuer_has_these_names_unless_told_otherwise() -> None:
    issuer = TestIssuer()
    assert (issuer.issuer, issuer.audience, issuer.algorithms) == (
        "https://issuer.test",
        "https://api.test",
        ("RS256",),
    )
    assert issuer.jwks_uri == "https://issuer.test/jwks.json"
    assert TestIssuer("https://x.test/tenant/", algorithms=["ES256"]).jwks_uri == "https://x.test/tenant/jwks.json"


def test_the_options_are_those_that_make_a_verifier_trust_the_issuer(issuer: TestIssuer) -> None:
    assert issuer.options() == {
        "issuer": "https://issuer.test",
        "audience": "https://api.test",
        "algorithms": ["ES256"],
        "fetch": issuer.fetch,
    }


def test_a_token_is_what_rfc_9068_asks_for(issuer: TestIssuer) -> None:
    # RFC 9068 section 2
    header, claims = parts(issuer.token())
    assert header == {"alg": "ES256", "typ": "at+jwt", "kid": "es256-1"}
    assert claims.pop("jti")
    assert claims == {
        "iss": "https://issuer.test",
        "sub": "user-1",
        "aud": "https://api.test",
        "client_id": "client-1",
        "iat": NOW,
        "exp": NOW + 300,
    }


async def test_a_token_is_good_for_the_strict_profile(issuer: TestIssuer) -> None:
    verifier = Verifier(TrustedIssuer(**issuer.options(), profile=Profile.RFC9068), clock=lambda: NOW)
    assert (await verifier.verify(issuer.token())).subject == "user-1"


def test_every_argument_of_a_token_is_in_it(issuer: TestIssuer) -> None:
    header, claims = parts(
        issuer.token(
            subject="ann",
            client_id="app",
            audience=["a", "b"],
            scope="x y",
            roles=("admin",),
            expires_in=60,
            claims={"tenant": "acme", "jti": "7", "iat": 5},
            header={"typ": "JWT", "x": 1},
        )
    )
    assert header == {"alg": "ES256", "typ": "JWT", "kid": "es256-1", "x": 1}
    assert claims == {
        "iss": "https://issuer.test",
        "sub": "ann",
        "aud": ["a", "b"],
        "client_id": "app",
        "scope": "x y",
        "roles": ["admin"],
        "iat": 5,
        "exp": NOW + 60,
        "jti": "7",
        "tenant": "acme",
    }


def test_claims_can_be_left_out(issuer: TestIssuer) -> None:
    _, claims = parts(issuer.token(claims={"tenant": "acme"}, without=("jti", "client_id", "tenant", "not-there")))
    assert sorted(claims) == ["aud", "exp", "iat", "iss", "sub"]


def test_an_expired_token_was_issued_before_it_expired(issuer: TestIssuer) -> None:
    _, claims = parts(issuer.token(expires_in=-60))
    assert (claims["iat"], claims["exp"]) == (NOW - 60, NOW - 60)


def test_two_tokens_are_never_the_same(issuer: TestIssuer) -> None:
    assert parts(issuer.token())[1]["jti"] != parts(issuer.token())[1]["jti"]


def test_the_machines_clock_counts_by_default() -> None:
    _, claims = parts(TestIssuer(algorithms=["ES256"]).token())
    assert abs(claims["iat"] - time.time()) < 60


# Algorithms


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_every_algorithm_signs_tokens_that_are_good(algorithm: str, of_every_algorithm: TestIssuer) -> None:
    issuer = of_every_algorithm
    options: dict[str, Any] = {**issuer.options(), "algorithms": [algorithm]}
    token = await Verifier(TrustedIssuer(**options)).verify(issuer.token(algorithm=algorithm))
    assert token.header["alg"] == algorithm


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_signs_tokens_that_the_jose_library_takes(
    algorithm: str, of_every_algorithm: TestIssuer
) -> None:
    published = [{**key, "alg": algorithm} for key in of_every_algorithm.jwks()["keys"] if key["alg"] == algorithm]
    decoded = jose.decode(
        of_every_algorithm.token(algorithm=algorithm),
        KeySet.import_key_set({"keys": published}),
        algorithms=[algorithm],
    )
    assert decoded.claims["sub"] == "user-1"


def test_one_key_is_published_for_each_algorithm_and_none_tells_its_secret(of_every_algorithm: TestIssuer) -> None:
    keys = of_every_algorithm.jwks()["keys"]
    assert [key["alg"] for key in keys] == ALGORITHMS
    assert [key["kid"] for key in keys] == [f"{algorithm.lower()}-1" for algorithm in ALGORITHMS]
    for key in keys:
        assert key["use"] == "sig"
        assert not key.keys() & {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


def test_the_first_algorithm_signs_unless_another_is_asked_for() -> None:
    issuer = TestIssuer(algorithms=["Ed25519", "ES256"])
    assert parts(issuer.token())[0]["alg"] == "Ed25519"
    assert parts(issuer.token(algorithm="ES256"))[0]["alg"] == "ES256"
    with pytest.raises(KeyError):
        issuer.token(algorithm="RS256")


@pytest.mark.parametrize("algorithms", [[], "RS256", ["none"], ["HS256"], ["RS256", "rs256"]])
def test_an_algorithm_that_the_kit_does_not_have_is_refused(algorithms: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected a list of RS256, RS384") as caught:
        TestIssuer(algorithms=algorithms)
    assert caught.value.option == "algorithms"


# Bad tokens


@pytest.mark.parametrize("reason", FAULTS_OF_A_TOKEN, ids=lambda reason: reason.value)
@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519"])
async def test_a_bad_token_is_refused_for_the_reason_asked_for(reason: Reason, algorithm: str) -> None:
    issuer = TestIssuer(algorithms=[algorithm], clock=lambda: NOW)
    verifier = Verifier(TrustedIssuer(**issuer.options()), clock=lambda: NOW)
    with pytest.raises(TokenError) as caught:
        await verifier.verify(issuer.bad_token(reason))
    assert caught.value.reason is reason
    assert [failure.reason for failure in caught.value.failures] in ([], [reason])


@pytest.mark.parametrize("reason", FAULTS_OF_A_TOKEN, ids=lambda reason: reason.value)
async def test_a_bad_token_of_an_rsa_issuer_is_refused_for_the_reason_asked_for(
    reason: Reason, of_every_algorithm: TestIssuer
) -> None:
    verifier = Verifier(TrustedIssuer(**of_every_algorithm.options()))
    with pytest.raises(TokenError) as caught:
        await verifier.verify(of_every_algorithm.bad_token(reason))
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    "reason", [reason for reason in Reason if reason not in FAULTS_OF_A_TOKEN], ids=lambda reason: reason.value
)
def test_a_reason_that_no_token_alone_is_refused_for_is_a_key_error(issuer: TestIssuer, reason: Reason) -> None:
    with pytest.raises(KeyError):
        issuer.bad_token(reason)


# Rotation


async def test_a_rotation_signs_with_new_keys_and_keeps_the_old_ones_published(issuer: TestIssuer) -> None:
    verifier, old = Verifier(TrustedIssuer(**issuer.options()), clock=lambda: NOW), issuer.token()
    await verifier.verify(old)
    issuer.rotate()
    new = issuer.token()
    assert (parts(old)[0]["kid"], parts(new)[0]["kid"]) == ("es256-1", "es256-2")
    assert [key["kid"] for key in issuer.jwks()["keys"]] == ["es256-2", "es256-1"]
    assert (await verifier.verify(new)).subject == "user-1"
    assert (await verifier.verify(old)).subject == "user-1"


async def test_a_rotation_can_withdraw_all_older_keys(issuer: TestIssuer) -> None:
    issuer.rotate()
    old = issuer.token()
    issuer.rotate(keep_old=False)
    assert [key["kid"] for key in issuer.jwks()["keys"]] == ["es256-3"]
    verifier = Verifier(TrustedIssuer(**issuer.options()), clock=lambda: NOW)
    assert (await verifier.verify(issuer.token())).subject == "user-1"
    with pytest.raises(TokenError) as caught:
        await verifier.verify(old)
    assert caught.value.reason is Reason.KEY_UNKNOWN


def test_a_rotation_makes_other_keys_under_other_names(issuer: TestIssuer) -> None:
    (before,) = issuer.jwks()["keys"]
    issuer.rotate(keep_old=False)
    (after,) = issuer.jwks()["keys"]
    assert before["x"] != after["x"]
    assert (before["kid"], after["kid"]) == ("es256-1", "es256-2")


# Without a socket


async def fetched(issuer: TestIssuer, url: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    response = await issuer.fetch(url, headers=headers or {}, timeout=1, limit=100_000)
    return response.status, response.body


async def test_fetch_answers_as_the_issuers_server_would_and_keeps_what_was_asked_for(issuer: TestIssuer) -> None:
    status, body = await fetched(issuer, "https://issuer.test/.well-known/oauth-authorization-server")
    assert (status, json.loads(body)) == (
        200,
        {
            "issuer": "https://issuer.test",
            "jwks_uri": "https://issuer.test/jwks.json",
            "response_types_supported": ["code"],
        },
    )
    assert json.loads(body) == issuer.metadata()
    status, body = await fetched(issuer, "https://issuer.test/jwks.json")
    assert (status, json.loads(body)) == (200, issuer.jwks())
    assert await fetched(issuer, "https://issuer.test/other") == (404, b"")
    assert await fetched(issuer, "https://other.test/jwks.json") == (404, b"")
    assert issuer.fetched == [
        "https://issuer.test/.well-known/oauth-authorization-server",
        "https://issuer.test/jwks.json",
        "https://issuer.test/other",
        "https://other.test/jwks.json",
    ]


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("https://issuer.test", "https://issuer.test/.well-known/openid-configuration"),
        ("https://issuer.test/", "https://issuer.test/.well-known/openid-configuration"),
        ("https://issuer.test/a", "https://issuer.test/a/.well-known/openid-configuration"),
        ("https://issuer.test/a", "https://issuer.test/.well-known/oauth-authorization-server/a"),
    ],
)
async def test_the_metadata_is_where_both_specifications_look_for_it(name: str, url: str) -> None:
    # RFC 8414 section 3.1, OpenID Connect Discovery 1.0 section 4
    status, body = await fetched(TestIssuer(name, algorithms=["ES256"]), url)
    assert status == 200
    assert json.loads(body)["issuer"] == name


async def test_an_etag_spares_the_body_until_the_keys_rotate(issuer: TestIssuer) -> None:
    # RFC 9110 sections 8.8.3 and 13.1.2
    first = await issuer.fetch(issuer.jwks_uri, headers={}, timeout=1, limit=100_000)
    etag = first.headers["etag"]
    assert etag.startswith('"')
    assert (first.headers["content-type"], first.headers["cache-control"]) == ("application/json", "max-age=300")
    again = await issuer.fetch(issuer.jwks_uri, headers={"if-none-match": etag}, timeout=1, limit=100_000)
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)
    issuer.rotate()
    changed = await issuer.fetch(issuer.jwks_uri, headers={"if-none-match": etag}, timeout=1, limit=100_000)
    assert (changed.status, json.loads(changed.body)) == (200, issuer.jwks())
    assert changed.headers["etag"] != etag


async def test_a_verifier_that_looks_again_is_told_that_nothing_has_changed(issuer: TestIssuer) -> None:
    statuses: list[int] = []

    async def fetch(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        response = await issuer.fetch(url, headers=headers, timeout=timeout, limit=limit)
        statuses.append(response.status)
        return FetchResponse(response.status, {"etag": response.headers["etag"]}, response.body)

    options: dict[str, Any] = {**issuer.options(), "fetch": fetch}
    caching = KeyCaching(ttl=0.001, least_ttl=0.001)
    verifier = Verifier(TrustedIssuer(**options, jwks_uri=issuer.jwks_uri, key_caching=caching), clock=lambda: NOW)
    await verifier.verify(issuer.token())
    await asyncio.sleep(0.005)
    assert (await verifier.verify(issuer.token())).subject == "user-1"
    assert statuses[0] == 200
    assert set(statuses[1:]) == {304}


# Over HTTP


@pytest.mark.parametrize("path", ["", "/", "/tenant", "/tenant/"])
async def test_the_issuer_is_an_application_that_serves_its_metadata_and_its_keys(path: str) -> None:
    base = "http://127.0.0.1:8001"
    issuer = TestIssuer(base + path, algorithms=["ES256"])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(issuer), base_url=base) as client:
        metadata = await client.get(f"/.well-known/oauth-authorization-server{path.rstrip('/')}")
        assert (metadata.status_code, metadata.json()) == (200, issuer.metadata())
        openid = await client.get(f"{path.rstrip('/')}/.well-known/openid-configuration")
        assert (openid.status_code, openid.json()) == (200, issuer.metadata())
        keys = await client.get(metadata.json()["jwks_uri"])
        assert (keys.status_code, keys.json()) == (200, issuer.jwks())
        assert keys.headers["content-type"] == "application/json"
        same = await client.get(issuer.jwks_uri, headers={"if-none-match": keys.headers["etag"]})
        assert (same.status_code, same.content) == (304, b"")
        assert (await client.get("/nothing-here")).status_code == 404


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
async def test_the_issuer_serves_http_alone(issuer: TestIssuer, kind: str) -> None:
    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError

    with pytest.raises(ConfigurationError, match=f"TestIssuer serves http alone; got '{kind}'"):
        await issuer({"type": kind}, receive, send)
