"""Clients show who they are, in one way, and are told one thing when they do not."""

from __future__ import annotations

import json
from base64 import b64encode
from functools import cache
from typing import Any
from urllib.parse import quote_plus

import jwt
import pytest

from jwt_asgi._core.token import parse_token
from jwt_asgi.issuer.authentication import (
    ASSERTION_TYPE,
    AssertionGiven,
    NameGiven,
    SecretGiven,
    authenticate,
    credentials_of,
)
from jwt_asgi.issuer.clients import Client, secret_digest
from jwt_asgi.issuer.grants import Fault, Form, GrantError
from jwt_asgi.issuer.signing import SigningKey

NOW = 1_700_000_000.0
ISSUER, ENDPOINT = "https://auth.example.com", "https://auth.example.com/token"
SECRET = "0123456789abcdefghijklmnopqrstuv"


@cache
def key(number: int = 0) -> SigningKey:
    return SigningKey.new()


def basic(text: str, scheme: str = "Basic") -> bytes:
    return f"{scheme} {b64encode(text.encode()).decode()}".encode()


def form(**values: str) -> Form:
    return Form(values)


def refused(fault: Fault, *arguments: Any) -> GrantError:
    with pytest.raises(GrantError) as caught:
        credentials_of(*arguments)
    assert caught.value.fault is fault
    return caught.value


def claims(**members: Any) -> dict[str, Any]:
    base = {"iss": "job", "sub": "job", "aud": ISSUER, "exp": NOW + 60, "iat": NOW, "jti": "1"}
    return {name: value for name, value in {**base, **members}.items() if value is not None}


def assertion(payload: dict[str, Any], signer: SigningKey | None = None, **header: Any) -> str:
    used = signer or key()
    made: str = jwt.encode(payload, used._private, algorithm="ES256", headers={"kid": used.kid, **header})
    return made


def given(payload: dict[str, Any], signer: SigningKey | None = None, **header: Any) -> AssertionGiven:
    return AssertionGiven("job", parse_token(assertion(payload, signer, **header)))


class Memory:
    """Remembers what it was asked about."""

    def __init__(self) -> None:
        self.asked: dict[str, float] = {}

    async def __call__(self, name: str, until: float) -> bool:
        before = name in self.asked
        self.asked[name] = until
        return before


PUBLIC = Client(client_id="web", authentication="none")
SERVICE = Client(client_id="service", authentication="client_secret_basic", secrets=[secret_digest(SECRET)])


@cache
def job() -> Client:
    return Client(
        client_id="job", authentication="private_key_jwt", jwks={"keys": [dict(key().public)]}, algorithm="ES256"
    )


async def authenticated(client: Client | None, credentials: Any, memory: Memory | None = None) -> Client:
    return await authenticate(
        client, credentials, audiences=[ISSUER, ENDPOINT], now=NOW, seen=Memory() if memory is None else memory
    )


async def failed(client: Client | None, credentials: Any, memory: Memory | None = None) -> GrantError:
    with pytest.raises(GrantError) as caught:
        await authenticated(client, credentials, memory)
    assert caught.value.fault is Fault.INVALID_CLIENT
    assert caught.value.description == Fault.INVALID_CLIENT.description
    return caught.value


class TestCredentials:
    """What a request has."""

    def test_a_public_client_says_its_name(self) -> None:
        assert credentials_of([], form(client_id="web")) == NameGiven("web")

    def test_without_a_name_there_is_no_client(self) -> None:
        error = refused(Fault.INVALID_CLIENT, [], form())
        assert (error.detail, error.challenge) == ("the request names no client", False)

    @pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC", "Basic "])
    def test_a_secret_comes_by_http_basic(self, scheme: str) -> None:
        assert credentials_of([basic(f"web:{SECRET}", scheme)], form()) == SecretGiven("web", SECRET)

    def test_both_parts_are_form_encoded(self) -> None:
        encoded = f"{quote_plus('a:b c')}:{quote_plus('é:%+ ')}"
        assert credentials_of([basic(encoded)], form()) == SecretGiven("a:b c", "é:%+ ")

    @pytest.mark.parametrize("secret", ["0aB+/c9dE1f2" * 4 + "=", "0123456789abcdef%zz" * 2, "0123456789abcdef%2B" * 2])
    async def test_a_secret_that_is_not_form_encoded_is_taken_as_it_is(self, secret: str) -> None:
        client = Client(client_id="web", authentication="client_secret_basic", secrets=[secret_digest(secret)])
        assert await authenticated(client, credentials_of([basic(f"web:{secret}")], form())) is client
        assert await authenticated(client, credentials_of([basic(f"web:{quote_plus(secret)}")], form())) is client
        await failed(client, credentials_of([basic(f"web:{secret}x")], form()))

    def test_a_secret_may_have_a_colon(self) -> None:
        assert credentials_of([basic("a:b:c")], form()) == SecretGiven("a", "b:c")

    @pytest.mark.parametrize(
        "header",
        [
            b"Bearer abc",
            b"Basic",
            b"Basic ",
            b"Basic !!!!",
            b"Basic YQ",
            basic("web"),
            basic("web:"),
            basic(":secret"),
            basic("we b:x"),
            basic("web:\x00"),
            basic("é:x"),
        ],
    )
    def test_what_is_not_that_is_challenged(self, header: bytes) -> None:
        error = refused(Fault.INVALID_CLIENT, [header], form())
        assert (error.challenge, error.detail) == (True, "the Authorization header is not HTTP Basic")

    def test_a_name_in_the_body_is_the_same(self) -> None:
        assert credentials_of([basic("web:x")], form(client_id="web")) == SecretGiven("web", "x")
        error = refused(Fault.INVALID_CLIENT, [basic("web:x")], form(client_id="other"))
        assert error.challenge
        text = assertion(claims())
        both = form(client_assertion=text, client_assertion_type=ASSERTION_TYPE, client_id="other")
        assert not refused(Fault.INVALID_CLIENT, [], both).challenge

    def test_a_secret_does_not_come_in_the_body(self) -> None:
        error = refused(Fault.INVALID_CLIENT, [], form(client_id="web", client_secret=SECRET))
        assert error.detail == "the secret is in the body; expected HTTP Basic"
        assert SECRET not in str(error)

    @pytest.mark.parametrize(
        ("headers", "body"),
        [
            (2, {}),
            (1, {"client_secret": "x"}),
            (1, {"client_assertion": "x"}),
            (1, {"client_assertion_type": "x"}),
            (0, {"client_secret": "x", "client_assertion": "x"}),
        ],
    )
    def test_two_ways_are_one_too_many(self, headers: int, body: dict[str, str]) -> None:
        error = refused(Fault.INVALID_REQUEST, [basic("web:x")] * headers, form(**body))
        assert error.description == "the client authenticates in more than one way"

    def test_an_assertion_names_its_client(self) -> None:
        text = assertion(claims())
        credentials = credentials_of([], form(client_assertion=text, client_assertion_type=ASSERTION_TYPE))
        assert isinstance(credentials, AssertionGiven)
        assert credentials.client_id == "job"
        assert "jti" not in repr(credentials)

    @pytest.mark.parametrize(
        ("body", "detail"),
        [
            ({"client_assertion": "x"}, "expected client_assertion_type to be urn:ietf:params:oauth:client-assertion-"),
            ({"client_assertion_type": "saml2"}, "expected client_assertion_type to be urn:ietf:params:oauth:client-"),
            ({"client_assertion_type": ASSERTION_TYPE}, "the assertion: token_malformed"),
            ({"client_assertion_type": ASSERTION_TYPE, "client_assertion": "a.b"}, "the assertion: token_malformed"),
        ],
    )
    def test_an_assertion_that_is_none_is_refused(self, body: dict[str, str], detail: str) -> None:
        assert refused(Fault.INVALID_CLIENT, [], form(**body)).detail.startswith(detail)

    @pytest.mark.parametrize("payload", [{}, {"sub": ["job"]}])
    def test_an_assertion_without_a_subject_is_nobodys(self, payload: dict[str, Any]) -> None:
        text = jwt.api_jws.encode(json.dumps(payload).encode(), key()._private, algorithm="ES256")
        error = refused(Fault.INVALID_CLIENT, [], form(client_assertion=text, client_assertion_type=ASSERTION_TYPE))
        assert error.detail == "the assertion: expected sub"

    def test_reprs_have_no_secret(self) -> None:
        assert SECRET not in repr(SecretGiven("web", SECRET))


class TestAuthenticate:
    """Whether it is so."""

    async def test_a_public_client_needs_no_more_than_its_name(self) -> None:
        assert await authenticated(PUBLIC, NameGiven("web")) is PUBLIC

    async def test_the_right_secret_is_good_and_others_are_not(self) -> None:
        assert await authenticated(SERVICE, SecretGiven("service", SECRET)) is SERVICE
        error = await failed(SERVICE, SecretGiven("service", SECRET + "x"))
        assert (error.detail, error.challenge) == ("the secret is not the client's", True)

    async def test_an_assertion_is_good_once(self) -> None:
        memory = Memory()
        credentials = given(claims())
        assert await authenticated(job(), credentials, memory) is job()
        assert list(memory.asked.values()) == [NOW + 60 + 30]
        assert (await failed(job(), credentials, memory)).detail == "the assertion was used before"
        await authenticated(job(), given(claims(jti="2")), memory)

    async def test_what_is_remembered_is_of_bounded_size_and_of_the_client(self) -> None:
        memory = Memory()
        await authenticated(job(), given(claims(jti="x" * 5000)), memory)
        assert [len(name) for name in memory.asked] == [64]

    async def test_unknown_clients_are_told_the_same(self) -> None:
        assert not (await failed(None, NameGiven("web"))).challenge
        assert (await failed(None, SecretGiven("web", SECRET))).challenge
        assert (await failed(PUBLIC, NameGiven("other"))).detail == "there is no such client"

    @pytest.mark.parametrize(
        ("client", "credentials", "expected"),
        [
            (SERVICE, NameGiven("service"), "client_secret_basic"),
            (PUBLIC, SecretGiven("web", SECRET), "none"),
        ],
    )
    async def test_the_way_is_the_one_that_is_registered(self, client: Client, credentials: Any, expected: str) -> None:
        assert (await failed(client, credentials)).detail == f"expected {expected}"

    async def test_a_client_that_signs_cannot_do_without(self) -> None:
        assert (await failed(job(), SecretGiven("job", SECRET))).detail == "expected private_key_jwt"
        other = Client(client_id="job", authentication="none")
        assert (await failed(other, given(claims()))).detail == "expected none"

    @pytest.mark.parametrize("aud", [ISSUER, ENDPOINT, [ISSUER], [ISSUER, ENDPOINT]])
    async def test_an_assertion_may_be_for_the_issuer_or_the_endpoint(self, aud: Any) -> None:
        await authenticated(job(), given(claims(aud=aud)))

    @pytest.mark.parametrize("typ", [None, "JWT", "client-authentication+jwt"])
    async def test_its_type_is_that_of_an_assertion(self, typ: str | None) -> None:
        await authenticated(job(), given(claims(), typ=typ))

    async def test_without_a_kid_each_key_that_fits_is_tried(self) -> None:
        text = jwt.encode(claims(), key()._private, algorithm="ES256")
        await authenticated(job(), AssertionGiven("job", parse_token(text)))

    async def test_without_iat_and_with_the_longest_life_it_is_good(self) -> None:
        await authenticated(job(), given(claims(iat=None, exp=NOW + 3630)))

    @pytest.mark.parametrize(
        ("members", "detail"),
        [
            ({"iss": "web"}, "the assertion: issuer_untrusted"),
            ({"sub": "web"}, "the assertion: sub is not the client"),
            ({"sub": None}, "the assertion: claim_missing"),
            ({"aud": "https://other.test"}, "the assertion: audience_mismatch"),
            ({"aud": [ISSUER, "https://other.test"]}, "the assertion: aud names others, too"),
            ({"aud": None}, "the assertion: claim_missing"),
            ({"exp": None}, "the assertion: claim_missing"),
            ({"exp": NOW - 30}, "the assertion: token_expired"),
            ({"exp": NOW + 3631}, "the assertion: exp is more than 3600 s ahead"),
            ({"iat": NOW + 31}, "the assertion: token_issued_in_future"),
            ({"jti": None}, "the assertion: claim_missing"),
        ],
    )
    async def test_what_it_says_is_checked(self, members: dict[str, Any], detail: str) -> None:
        memory = Memory()
        assert (await failed(job(), given(claims(**members)), memory)).detail.startswith(detail)
        assert not memory.asked

    async def test_so_are_its_key_its_algorithm_and_its_type(self) -> None:
        other = key(1)
        assert "signature_invalid" in (await failed(job(), given(claims(), other, kid=key().kid))).detail
        assert "key_unsuitable" in (await failed(job(), given(claims(), other))).detail
        assert "type_not_accepted" in (await failed(job(), given(claims(), typ="at+jwt"))).detail
        hmac = jwt.encode(claims(), "s" * 32, algorithm="HS256")
        error = await failed(job(), AssertionGiven("job", parse_token(hmac)))
        assert "algorithm_not_allowed" in error.detail
