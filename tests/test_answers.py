"""What every request gets, as the client sees it: each answer whole, and the source that asks for it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest

from jwt_asgi import (
    AccessError,
    AccessToken,
    Decision,
    JWTMiddleware,
    KeyCaching,
    Profile,
    Reason,
    Requirement,
    Role,
    Scope,
    Skip,
    StaticKeys,
    TrustedIssuer,
    Verifier,
    check_access,
)
from jwt_asgi._core.resource import ProtectedResource
from jwt_asgi.access import (
    Acr,
    AnyToken,
    AuthorizationDetails,
    Claim,
    Context,
    ExternalPolicy,
    Grants,
    Permission,
    Subject,
)
from jwt_asgi.tenants import AllowList, IssuerFamily, ResolvedIssuers, TrustedTenants
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIScope, FetchResponse, Receive, Send
from tests.asgi import Answer, Headers, http, websocket
from tests.reasons import FAULTS_OF_A_TOKEN

NOW = 1_800_000_000
GENERIC = "The access token is missing a required property, or is not valid here"
INVALID_TOKEN = f'Bearer error="invalid_token", error_description="{GENERIC}"'
EXPIRED = 'Bearer error="invalid_token", error_description="The access token expired"'
MALFORMED = 'Bearer error="invalid_request", error_description="The Authorization header is malformed"'
DUPLICATE = 'Bearer error="invalid_request", error_description="More than one access token was sent"'


class Inner:
    """The protected application: it keeps the scopes it was called with, and may ask for more than a token."""

    def __init__(self, requirement: Requirement | None = None) -> None:
        self.scopes: list[ASGIScope] = []
        self.requirement = requirement

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if self.requirement is not None:
            check_access(scope["jwt"], self.requirement)
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"in"})


class Api:
    """One issuer, one protected application, and the door between them; time stands still."""

    def __init__(
        self,
        requirement: Requirement | None = None,
        *,
        realm: str | None = None,
        anonymous: bool = False,
        options: Mapping[str, Any] | None = None,
        issuers: Callable[[TestIssuer], Sequence[IssuerFamily]] | None = None,
    ) -> None:
        self.issuer = TestIssuer(algorithms=["ES256"], clock=lambda: NOW)
        self.inner = Inner(requirement)
        self.decisions: list[Decision] = []
        issuer: dict[str, Any] = {**self.issuer.options(), **(options or {})}
        trusted = [TrustedIssuer(**issuer)] if issuers is None else issuers(self.issuer)
        self.door = JWTMiddleware(
            self.inner,
            verifier=Verifier(*trusted, clock=lambda: NOW),
            realm=realm,
            anonymous=anonymous,
            hooks=[self.decisions.append],
        )

    async def get(
        self,
        token: str | None = None,
        *,
        method: str = "GET",
        headers: Headers = (),
        query: bytes = b"",
        body: bytes = b"",
    ) -> Answer:
        return await http(self.door, token=token, method=method, headers=headers, query=query, body=body)

    def signed(self, payload: bytes, header: Mapping[str, Any] | None = None) -> str:
        """A token with these very bytes, signed with the issuer's real key."""
        key = self.issuer._signing["ES256"]
        return key.sign({"alg": "ES256", "typ": "at+jwt", "kid": key.kid, **(header or {})}, payload)

    @property
    def reason(self) -> Reason | None:
        """Why the one request was refused."""
        (decision,) = self.decisions
        return decision.reason


def whole(answer: Answer) -> tuple[int, dict[bytes, bytes], dict[str, str]]:
    """The answer as three literals, with the one header that follows from the body checked and left out."""
    headers = dict(answer.headers)
    assert len(headers) == len(answer.headers), "a header was sent twice"
    assert headers.pop(b"content-length") == str(len(answer.body)).encode()
    return answer.status, headers, answer.json()


def refusal(
    status: int, challenge: str | None, error: str, description: str
) -> tuple[int, dict[bytes, bytes], dict[str, str]]:
    """What `whole` gives for a refusal: these headers, and no other."""
    headers = {b"content-type": b"application/json", b"cache-control": b"no-store"}
    if challenge is not None:
        headers[b"www-authenticate"] = challenge.encode("ascii")
    return status, headers, {"error": error, "error_description": description}


def base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


async def test_a_good_token_gets_the_applications_own_answer() -> None:
    api = Api()
    answer = await api.get(api.issuer.token())
    assert (answer.status, answer.headers, answer.body) == (200, [], b"in")
    assert len(api.inner.scopes) == 1


# No credentials


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"Basic dXNlcjpwYXNzd29yZA==")],
        [(b"authorization", b"DPoP eyJhbGciOiJub25lIn0.e30.")],
        [(b"authorization", b"Bearerx abc")],
        [(b"authorization", b"Negotiate")],
        [(b"cookie", b"access_token=abc")],
        [(b"x-authorization", b"Bearer abc")],
        [(b"proxy-authorization", b"Bearer abc")],
    ],
)
async def test_without_a_bearer_token_the_challenge_names_no_error(headers: Headers) -> None:
    # RFC 6750 section 3.1: "SHOULD NOT include an error code or other error information"; another scheme: RFC 9110
    # section 11.6; no other header is a source: RFC 6750 section 2
    api = Api()
    assert whole(await api.get(headers=headers)) == refusal(401, "Bearer", "unauthorized", "No access token was sent")
    assert api.inner.scopes == []


async def test_a_realm_comes_first_in_every_challenge() -> None:
    # RFC 6750 section 3, RFC 9110 section 11.5
    api = Api(realm="The todo list")
    assert (await api.get()).challenge == 'Bearer realm="The todo list"'
    assert (await api.get("abc")).challenge == (
        f'Bearer realm="The todo list", error="invalid_token", error_description="{GENERIC}"'
    )


@pytest.mark.parametrize("query", [b"access_token=", b"a=1&access_token="])
async def test_a_token_in_the_query_string_is_not_looked_at(query: bytes) -> None:
    # RFC 6750 section 2.3, RFC 9700 section 4.3.2: tokens in URLs end up in logs
    api = Api()
    answer = await api.get(query=query + api.issuer.token().encode())
    assert whole(answer) == refusal(401, "Bearer", "unauthorized", "No access token was sent")


async def test_a_token_in_a_form_is_not_looked_at() -> None:
    # RFC 6750 section 2.2: off, since it is not needed where the header can be sent
    api = Api()
    form = [(b"content-type", b"application/x-www-form-urlencoded")]
    body = b"access_token=" + api.issuer.token().encode()
    answer = await api.get(method="POST", headers=form, body=body)
    assert whole(answer) == refusal(401, "Bearer", "unauthorized", "No access token was sent")


# Malformed requests


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer",
        b"bearer",
        b"Bearer ",
        b"Bearer    ",
        b"Bearer a b",
        b"Bearer abc ",
        b"Bearer a,b",
        b'Bearer "abc"',
        b"Bearer token=abc",
        b"Bearer =",
        b"Bearer a=b",
        b"Bearer a\x00b",
        b"Bearer t\xc3\xb6ken",
        b"Bearer\tabc",
        b"Bearer, abc",
        b" Bearer abc",
        b"",
        b"\xff\xfe abc",
    ],
)
async def test_an_authorization_header_that_is_not_bearer_and_one_token_is_400(value: bytes) -> None:
    # RFC 6750 sections 2.1 (b64token) and 3.1 (invalid_request: "otherwise malformed")
    api = Api()
    answer = await api.get(headers=[(b"authorization", value)])
    assert whole(answer) == refusal(400, MALFORMED, "invalid_request", "The Authorization header is malformed")
    assert api.inner.scopes == []


@pytest.mark.parametrize("other", [b"Bearer abc", b"Basic dTpw", b"Bearer", b""])
@pytest.mark.parametrize("first", [True, False])
async def test_two_authorization_headers_are_400_whatever_the_other_one_is(other: bytes, first: bool) -> None:
    # RFC 6750 section 3.1: "uses more than one method for including an access token"; RFC 9110 section 5.3
    api = Api()
    lines = [(b"authorization", other), (b"authorization", f"Bearer {api.issuer.token()}".encode())]
    answer = await api.get(headers=lines if first else lines[::-1])
    assert whole(answer) == refusal(400, DUPLICATE, "invalid_request", "More than one access token was sent")


@pytest.mark.parametrize("query", [b"access_token=abc", b"a=1&access_token=", b"access%5Ftoken=x&access_token=abc"])
async def test_a_token_in_the_header_and_one_in_the_query_string_are_400(query: bytes) -> None:
    # RFC 6750 section 2: "Clients MUST NOT use more than one method to transmit the token in each request"
    api = Api()
    answer = await api.get(api.issuer.token(), query=query)
    assert whole(answer) == refusal(400, DUPLICATE, "invalid_request", "More than one access token was sent")


@pytest.mark.parametrize("query", [b"my_access_token=abc", b"access_token_type=x", b"q=access_token"])
async def test_a_query_parameter_of_another_name_is_no_token(query: bytes) -> None:
    # RFC 6750 section 2.3: the parameter is named access_token
    api = Api()
    assert (await api.get(api.issuer.token(), query=query)).status == 200


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER ", b"bEaReR    "])
async def test_the_scheme_is_read_without_regard_to_case_and_to_how_many_spaces_follow(scheme: bytes) -> None:
    # RFC 9110 section 11.1: "auth-scheme" is case-insensitive; 1*SP in section 11.4
    api = Api()
    line = (b"authorization", scheme + api.issuer.token().encode())
    assert (await api.get(headers=[line])).status == 200


# Faults of the token

ANY_FAULT = FAULTS_OF_A_TOKEN[:-1]


@pytest.mark.parametrize("reason", ANY_FAULT, ids=lambda reason: reason.value)
async def test_whatever_is_wrong_with_a_token_the_client_reads_one_description(reason: Reason) -> None:
    # RFC 6750 section 3.1 invalid_token; which check failed is for the operator, who reads it in the hook
    api = Api()
    answer = await api.get(api.issuer.bad_token(reason))
    assert whole(answer) == refusal(401, INVALID_TOKEN, "invalid_token", GENERIC)
    assert api.reason is reason
    assert api.inner.scopes == []


async def test_a_client_with_an_expired_token_is_told_so_that_it_gets_a_new_one() -> None:
    # RFC 6750 section 3: error_description="The access token expired"
    api = Api()
    answer = await api.get(api.issuer.bad_token(Reason.TOKEN_EXPIRED))
    assert whole(answer) == refusal(401, EXPIRED, "invalid_token", "The access token expired")
    assert api.inner.scopes == []


async def test_a_token_that_is_expired_and_wrong_in_another_way_is_not_called_expired() -> None:
    # RFC 6750 section 3.1: a new token of the same kind would not help
    api = Api()
    answer = await api.get(api.issuer.token(expires_in=-3600, audience="https://elsewhere.test"))
    assert answer.challenge == INVALID_TOKEN
    assert api.reason is Reason.AUDIENCE_MISMATCH


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"max_age": 60}, Reason.TOKEN_TOO_OLD), ({"max_lifetime": 3600}, Reason.LIFETIME_TOO_LONG)],
)
async def test_an_age_or_a_lifetime_beyond_the_configured_one_is_401(options: dict[str, Any], reason: Reason) -> None:
    # RFC 6750 section 3.1; what is too long is this API's own rule, so the client is not told which
    api = Api(options=options)
    answer = await api.get(api.issuer.token(claims={"iat": NOW - 3500, "exp": NOW + 3500}))
    assert whole(answer) == refusal(401, INVALID_TOKEN, "invalid_token", GENERIC)
    assert api.reason is reason


@pytest.mark.parametrize(
    ("name", "good", "bad", "challenge"),
    [
        ("exp", NOW - 29, NOW - 30, EXPIRED),
        ("nbf", NOW + 30, NOW + 31, INVALID_TOKEN),
        ("iat", NOW + 30, NOW + 31, INVALID_TOKEN),
    ],
)
async def test_clocks_may_differ_by_thirty_seconds_and_no_more(name: str, good: int, bad: int, challenge: str) -> None:
    # RFC 7519 section 4.1.4: "some small leeway, usually no more than a few minutes"; exp is the first bad second
    api = Api()
    assert (await api.get(api.issuer.token(claims={name: good}))).status == 200
    answer = await api.get(api.issuer.token(claims={name: bad}))
    assert (answer.status, answer.challenge) == (401, challenge)


@pytest.mark.parametrize(
    "date", [True, str(NOW + 300), None, [NOW], {}, float("nan"), float("inf"), 10**400, NOW * 1000]
)
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
async def test_a_date_that_is_no_plausible_number_of_seconds_is_401(name: str, date: object) -> None:
    # RFC 7519 section 2, NumericDate: a JSON number of seconds; RFC 8259 section 6 knows no NaN
    api = Api()
    answer = await api.get(api.issuer.token(claims={name: date}))
    assert whole(answer) == refusal(401, INVALID_TOKEN, "invalid_token", GENERIC)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"exp":%(exp)d,"iss":"https://issuer.test","aud":"https://api.test","aud":"https://api.test"}',
        b'\xef\xbb\xbf{"exp":%(exp)d,"iss":"https://issuer.test","aud":"https://api.test"}',
        b'{"exp":%(exp)d,"iss":"https://issuer.test","aud":"https://api.test","x":"\\ud800"}',
        b'{"exp":%(exp)d,"iss":"https://issuer.test","aud":"https://api.test","x":' + b"[" * 64 + b"]" * 64 + b"}",
        b'{"exp":%(exp)d,"iss":"https://issuer.test","aud":"https://api.test"} {}',
        b'["https://issuer.test"]',
        b"null",
        b"",
    ],
)
async def test_json_that_two_parsers_could_read_differently_is_401_though_it_is_signed(payload: bytes) -> None:
    # RFC 7519 section 4: duplicate claim names; RFC 8259 section 8.1: no byte order mark
    api = Api()
    raw = payload.replace(b"%(exp)d", str(NOW + 300).encode())
    assert whole(await api.get(api.signed(raw))) == refusal(401, INVALID_TOKEN, "invalid_token", GENERIC)
    assert api.reason is Reason.TOKEN_MALFORMED


async def test_the_payloads_above_are_refused_for_what_is_wrong_with_them_alone() -> None:
    # the control of the test above: the same claims, once each
    api = Api()
    raw = b'{"exp":%d,"iss":"https://issuer.test","aud":"https://api.test"}' % (NOW + 300)
    assert (await api.get(api.signed(raw))).status == 200


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+JWT"])
async def test_the_generic_profile_takes_the_types_that_issuers_write(typ: str) -> None:
    # RFC 9068 section 2.1, RFC 7515 section 4.1.9: media types are compared without regard to case
    api = Api()
    assert (await api.get(api.issuer.token(header={"typ": typ}))).status == 200


@pytest.mark.parametrize("typ", ["logout+jwt", "dpop+jwt", "secevent+jwt", "JWE", "application/jwt", "", 7, None])
async def test_the_generic_profile_refuses_every_other_type(typ: object) -> None:
    # RFC 8725 section 3.11, RFC 9068 section 4
    api = Api()
    answer = await api.get(api.issuer.token(header={"typ": typ}))
    assert whole(answer) == refusal(401, INVALID_TOKEN, "invalid_token", GENERIC)
    assert api.reason is Reason.TYPE_NOT_ACCEPTED


@pytest.mark.parametrize(("typ", "status"), [("at+jwt", 200), ("application/at+jwt", 200), ("JWT", 401), ("", 401)])
async def test_the_rfc_9068_profile_takes_its_own_type_alone(typ: str, status: int) -> None:
    # RFC 9068 section 4: "reject tokens carrying any other value"
    api = Api(options={"profile": Profile.RFC9068})
    assert (await api.get(api.issuer.token(header={"typ": typ}))).status == status


@pytest.mark.parametrize("claim", ["sub", "iat", "jti", "client_id"])
async def test_the_rfc_9068_profile_asks_for_claims_that_the_generic_one_does_not(claim: str) -> None:
    # RFC 9068 section 2.2
    strict, generic = Api(options={"profile": Profile.RFC9068}), Api()
    answer = await strict.get(strict.issuer.token(without=[claim]))
    assert whole(answer) == refusal(401, INVALID_TOKEN, "invalid_token", GENERIC)
    assert strict.reason is Reason.CLAIM_MISSING
    assert (await generic.get(generic.issuer.token(without=[claim]))).status == 200


@pytest.mark.parametrize("claim", ["exp", "iss", "aud"])
async def test_expiry_issuer_and_audience_are_always_required(claim: str) -> None:
    # RFC 9068 section 2.2; RFC 8725 sections 3.8 and 3.9
    api = Api()
    answer = await api.get(api.issuer.token(without=[claim]))
    assert whole(answer) == refusal(401, INVALID_TOKEN, "invalid_token", GENERIC)


@pytest.mark.parametrize(
    "claims",
    [
        {"token_use": "id"},
        {"typ": "ID"},
        {"typ": "Refresh"},
        {"typ": "Offline"},
        {"type": "refresh_token"},
        {"typ": "Logout"},
    ],
)
async def test_a_token_that_says_it_is_of_another_kind_is_401(claims: dict[str, str]) -> None:
    # RFC 8725 section 3.11: an ID token or a refresh token is no access token, whoever signed it
    api = Api()
    answer = await api.get(api.issuer.token(claims=claims))
    assert whole(answer) == refusal(401, INVALID_TOKEN, "invalid_token", GENERIC)
    assert api.reason is Reason.TYPE_NOT_ACCEPTED


@pytest.mark.parametrize(
    ("audience", "status"),
    [
        ("https://api.test", 200),
        (["https://other.test", "https://api.test"], 200),
        ("https://api.test/", 401),
        ("https://API.test", 401),
        ("https://api.test https://other.test", 401),
        ([], 401),
        (["https://api.test", 7], 401),
        ({"https://api.test": 1}, 401),
    ],
)
async def test_the_audience_is_compared_exactly_and_one_of_several_suffices(audience: object, status: int) -> None:
    # RFC 7519 section 4.1.3, RFC 9068 section 4
    api = Api()
    assert (await api.get(api.issuer.token(claims={"aud": audience}))).status == status


async def test_the_audience_is_not_looked_at_where_that_was_said_by_name() -> None:
    # RFC 9068 section 4 asks for the check; a constant that names what it skips is the way out
    api = Api(options={"audience": Skip.AUDIENCE_CHECK})
    assert (await api.get(api.issuer.token(audience="https://elsewhere.test"))).status == 200
    assert (await api.get(api.issuer.token(without=["aud"]))).status == 200


@pytest.mark.parametrize("issuer", ["https://issuer.test/", "https://ISSUER.test", "issuer.test", 7, None])
async def test_the_issuer_is_compared_exactly(issuer: object) -> None:
    # RFC 8414 section 3.3, RFC 9068 section 4
    api = Api()
    answer = await api.get(api.issuer.token(claims={"iss": issuer}))
    assert whole(answer) == refusal(401, INVALID_TOKEN, "invalid_token", GENERIC)
    assert api.reason is Reason.ISSUER_UNTRUSTED
    assert api.issuer.fetched == []


@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "HS256", "ES384", "es256", ""])
async def test_an_algorithm_that_is_not_pinned_is_401_and_fetches_nothing(alg: str) -> None:
    # RFC 8725 sections 2.1, 3.1 and 3.2
    api = Api()
    answer = await api.get(api.issuer.token(header={"alg": alg}))
    assert whole(answer) == refusal(401, INVALID_TOKEN, "invalid_token", GENERIC)
    assert api.reason is Reason.ALGORITHM_NOT_ALLOWED
    assert api.issuer.fetched == []


async def test_a_token_signed_by_hmac_with_the_published_key_is_401() -> None:
    # RFC 8725 section 2.1, CVE-2015-9235
    api = Api()
    await api.get(api.issuer.token())
    (published,) = api.issuer.jwks()["keys"]
    header = base64url(json.dumps({"alg": "HS256", "kid": published["kid"]}).encode())
    signing_input = f"{header}.{api.issuer.token().split('.')[1]}"
    for secret in (json.dumps(published).encode(), published["x"].encode()):
        mac = hmac.new(secret, signing_input.encode(), hashlib.sha256).digest()
        answer = await api.get(f"{signing_input}.{base64url(mac)}")
        assert whole(answer) == refusal(401, INVALID_TOKEN, "invalid_token", GENERIC)
    assert len(api.inner.scopes) == 1


@pytest.mark.parametrize("change", [{"use": "enc"}, {"key_ops": ["encrypt"]}, {"alg": "ES384"}])
async def test_a_published_key_that_is_not_for_this_signature_is_not_used(change: dict[str, Any]) -> None:
    # RFC 7517 sections 4.2 to 4.4
    api = Api()
    spare = TestIssuer(algorithms=["ES256"]).jwks()["keys"][0] | {"kid": "spare"}
    (key,) = api.issuer.jwks()["keys"]
    keys = StaticKeys({"keys": [key | change, spare]})
    door = JWTMiddleware(
        api.inner,
        verifier=Verifier(
            TrustedIssuer(issuer=api.issuer.issuer, audience=api.issuer.audience, algorithms=["ES256"], keys=keys),
            clock=lambda: NOW,
        ),
    )
    answer = await http(door, token=api.issuer.token())
    assert whole(answer) == refusal(401, INVALID_TOKEN, "invalid_token", GENERIC)


@pytest.mark.parametrize(
    ("listed", "name", "status"),
    [
        (["Ed25519"], "Ed25519", 200),
        (["EdDSA"], "EdDSA", 200),
        (["Ed25519"], "EdDSA", 401),
        (["EdDSA"], "Ed25519", 401),
        (["EdDSA", "Ed25519"], "Ed25519", 200),
    ],
)
async def test_ed25519_and_eddsa_are_two_names_and_each_is_listed_for_itself(
    listed: Sequence[str], name: str, status: int
) -> None:
    # RFC 9864 section 2.2
    issuer = TestIssuer(algorithms=["EdDSA"])
    door = JWTMiddleware(
        Inner(), issuer=issuer.issuer, audience=issuer.audience, algorithms=listed, keys=StaticKeys(issuer.jwks())
    )
    assert (await http(door, token=issuer.token(header={"alg": name}))).status == status


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"crit": []}, {"b64": False}, {"b64": True}, {"crit": None}])
async def test_a_header_that_asks_for_an_extension_is_401(header: dict[str, Any]) -> None:
    # RFC 7515 section 4.1.11, RFC 7797 section 7
    api = Api()
    answer = await api.get(api.issuer.token(header=header))
    assert whole(answer) == refusal(401, INVALID_TOKEN, "invalid_token", GENERIC)
    assert api.reason is Reason.HEADER_CRITICAL


async def test_a_header_that_brings_or_names_its_own_key_is_neither_followed_nor_trusted() -> None:
    # RFC 8725 section 3.10; RFC 7515 sections 4.1.2 to 4.1.6
    api, stranger = Api(), TestIssuer(algorithms=["ES256"], clock=lambda: NOW)
    (jwk,) = stranger.jwks()["keys"]
    baits: list[dict[str, Any]] = [
        {"jwk": jwk},
        {"jku": "https://evil.test/jwks.json"},
        {"x5u": "https://evil.test/cert.pem"},
        {"x5c": ["MIIB"]},
    ]
    for bait in baits:
        forged = await api.get(stranger.token(header=bait))
        assert whole(forged) == refusal(401, INVALID_TOKEN, "invalid_token", GENERIC)
        assert (await api.get(api.issuer.token(header=bait))).status == 200
    assert api.issuer.fetched == [
        "https://issuer.test/.well-known/oauth-authorization-server",
        "https://issuer.test/jwks.json",
    ]


async def test_a_token_bound_to_a_key_is_no_bearer_token() -> None:
    # RFC 9449 section 7.2, RFC 8705 section 3
    api = Api()
    for cnf in ({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}, {"x5t#S256": "abc"}, {}, None, "x"):
        answer = await api.get(api.issuer.token(claims={"cnf": cnf}))
        assert whole(answer) == refusal(401, INVALID_TOKEN, "invalid_token", GENERIC)
    assert {decision.reason for decision in api.decisions} == {Reason.BINDING_UNSUPPORTED}


async def test_nothing_that_a_refused_token_says_reaches_a_hook_as_if_it_were_true() -> None:
    # RFC 8725 section 3.10: nothing received is trusted before it is verified
    api = Api()
    await api.get(api.issuer.bad_token(Reason.SIGNATURE_INVALID))
    (decision,) = api.decisions
    assert decision.token is None


@pytest.mark.parametrize("reason", [*ANY_FAULT, Reason.TOKEN_EXPIRED], ids=lambda reason: reason.value)
async def test_no_answer_repeats_anything_of_the_token(reason: Reason) -> None:
    # RFC 6750 section 5.2: what a client sent may be logged wherever the answer goes
    api = Api()
    token = api.issuer.bad_token(reason)
    answer = await api.get(token)
    sent = b"\n".join([*(value for _, value in answer.headers), answer.body]).decode("ascii")
    for segment in token.split("."):
        assert len(segment) == 0 or segment[:16] not in sent
    for word in ("user-1", "client-1", "es256", "jwt", "https://"):
        assert word not in sent


async def test_a_token_with_hostile_text_in_every_place_puts_none_of_it_into_the_answer() -> None:
    # RFC 6750 section 3: the character set of the attributes; RFC 9110 section 5.5 on CR and LF
    api, evil = Api(), 'EVIL"\r\nset-cookie: a=b\\'
    for token in (
        api.issuer.token(claims={"iss": evil}),
        api.issuer.token(audience=evil),
        api.issuer.token(header={"kid": evil}),
        api.issuer.token(header={"typ": evil}),
        api.issuer.token(header={"alg": evil}),
        api.issuer.token(subject=evil, expires_in=-3600),
        api.issuer.token(claims={"token_use": "id", "sub": evil}),
    ):
        answer = await api.get(token)
        assert answer.status == 401
        assert answer.challenge in {INVALID_TOKEN, EXPIRED}
        assert b"EVIL" not in answer.body


# What the token does not allow


@pytest.mark.parametrize(
    ("requirement", "challenge"),
    [
        (Scope("todos:write"), 'scope="todos:write"'),
        (Scope("todos:write") & Scope("todos:read"), 'scope="todos:read todos:write"'),
        (Scope("z") | Scope("a"), 'scope="z"'),
        (Role("admin") | Scope("z"), 'scope="z"'),
        (Scope("todos:write") & Role("admin"), 'scope="todos:write"'),
    ],
)
async def test_a_missing_scope_is_403_and_the_challenge_names_the_scopes_of_the_nearest_way_in(
    requirement: Requirement, challenge: str
) -> None:
    # RFC 6750 section 3.1 insufficient_scope: "the scope necessary to access the protected resource"
    api = Api(requirement)
    answer = await api.get(api.issuer.token(scope="todos:read"))
    text = "The access token lacks a scope that this needs"
    assert whole(answer) == refusal(
        403, f'Bearer error="insufficient_scope", error_description="{text}", {challenge}', "insufficient_scope", text
    )


@pytest.mark.parametrize("requirement", [Role("admin"), Role("admin") & Scope("todos:read")])
async def test_a_missing_role_is_403_without_a_challenge(requirement: Requirement) -> None:
    # RFC 9110 section 15.5.4: another token of the same user would not help
    api = Api(requirement)
    answer = await api.get(api.issuer.token(scope="todos:read", roles=["reader"]))
    assert whole(answer) == refusal(403, None, "forbidden", "The access token does not allow this")


async def test_a_rule_that_an_anonymous_request_meets_asks_for_a_token() -> None:
    # RFC 6750 section 3.1: no error code where no token was sent; the scope may be named (section 3)
    api = Api(Scope("todos:read"), anonymous=True)
    answer = await api.get()
    assert whole(answer) == refusal(401, 'Bearer scope="todos:read"', "unauthorized", "No access token was sent")


@pytest.mark.parametrize("scope", ['a"b', "a\\b", "a\r\nset-cookie: x=y", "ä"])
async def test_a_scope_that_a_challenge_cannot_carry_is_left_out_of_it(scope: str) -> None:
    # RFC 6750 section 3: scope takes %x21 / %x23-5B / %x5D-7E, and spaces between
    async def app(asgi: ASGIScope, receive: Receive, send: Send) -> None:
        raise AccessError(Reason.SCOPE_MISSING, scopes=(scope,))

    issuer = TestIssuer(algorithms=["ES256"])
    answer = await http(JWTMiddleware(app, **issuer.options()), token=issuer.token())
    text = "The access token lacks a scope that this needs"
    assert whole(answer) == refusal(
        403, f'Bearer error="insufficient_scope", error_description="{text}"', "insufficient_scope", text
    )


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "a b"}, {"a", "b"}),
        ({"scope": "  a  "}, {"a"}),
        ({"scope": ["a", "b", 7, None, ["c"]]}, {"a", "b"}),
        ({"scope": "a,b"}, {"a,b"}),
        ({"scope": "a\tb"}, {"a\tb"}),
        ({"scp": "a"}, set()),
        ({}, set()),
    ],
)
async def test_scopes_are_read_from_a_string_or_an_array_and_never_coerced(
    claims: dict[str, Any], scopes: set[str]
) -> None:
    # RFC 8693 section 4.2, RFC 6749 section 3.3
    api = Api()
    await api.get(api.issuer.token(claims=claims))
    token: AccessToken = api.inner.scopes[0]["jwt"]
    assert token.scopes == scopes


# What the user's authentication does not allow

STEP_UP = "A stronger or more recent authentication of the user is needed"
UNMET = "insufficient_user_authentication"


@pytest.mark.parametrize(
    ("requirement", "parameters"),
    [
        (Acr("gold"), 'acr_values="gold"'),
        (Acr(["gold", "silver+"], max_age=300), 'acr_values="gold silver+", max_age="300"'),
        (Acr(max_age=0), 'max_age="0"'),
        (Acr("gold") & Scope("todos:write") & Scope("todos:read"), 'acr_values="gold", scope="todos:read todos:write"'),
        (Acr(["gold", "silver"]) & Acr("silver", max_age=60), 'acr_values="silver", max_age="60"'),
        (Role("admin") | Acr("gold"), 'acr_values="gold"'),
    ],
    ids=str,
)
async def test_a_weak_authentication_is_401_and_the_challenge_names_what_would_do(
    requirement: Requirement, parameters: str
) -> None:
    # RFC 9470 section 3
    api = Api(requirement)
    answer = await api.get(api.issuer.token(scope="todos:read", claims={"acr": "bronze", "auth_time": NOW - 3600}))
    challenge = f'Bearer error="{UNMET}", error_description="{STEP_UP}", {parameters}'
    assert whole(answer) == refusal(401, challenge, UNMET, STEP_UP)
    assert api.reason is Reason.AUTHENTICATION_INSUFFICIENT


async def test_a_step_up_that_would_not_help_is_not_asked_for() -> None:
    # RFC 9470 section 3: the challenge says what suffices, and here nothing does
    for requirement in (Acr("gold") & Role("admin"), Acr("gold") & Acr("silver")):
        api = Api(requirement)
        answer = await api.get(api.issuer.token(claims={"acr": "bronze"}))
        assert whole(answer) == refusal(403, None, "forbidden", "The access token does not allow this")


@pytest.mark.parametrize(
    "requirement",
    [
        Permission("todos.write"),
        Claim("plan", equals="pro"),
        ~Scope("todos:read"),
        Subject("user-2"),
        Scope("doc:{id}:read"),
        AuthorizationDetails("payment"),
    ],
    ids=str,
)
async def test_what_no_other_token_of_this_user_would_bring_is_403_without_a_challenge(
    requirement: Requirement,
) -> None:
    # RFC 9110 section 15.5.4
    api = Api(requirement)
    answer = await api.get(api.issuer.token(scope="todos:read"))
    assert whole(answer) == refusal(403, None, "forbidden", "The access token does not allow this")


async def no_answer_from_the_policy(token: AccessToken, context: Context) -> bool:
    raise OSError("the policy engine, and where it is")


def no_grants(token: AccessToken) -> Grants:
    raise LookupError("the table of roles")


@pytest.mark.parametrize("of", ["a policy", "grants"])
async def test_what_cannot_be_decided_just_now_is_503_with_a_time_and_without_a_challenge(of: str) -> None:
    # RFC 9110 sections 15.6.4 and 10.2.3
    api = Api(options={"grants": no_grants} if of == "grants" else None)
    rules = {"/*": ExternalPolicy("engine", no_answer_from_the_policy)} if of == "a policy" else None
    door = JWTMiddleware(api.inner, verifier=api.door.verifier, rules=rules, hooks=[api.decisions.append])
    text = "Whether the access token allows this cannot be told just now"
    status, headers, body = whole(await http(door, token=api.issuer.token()))
    assert (status, body) == (503, {"error": "temporarily_unavailable", "error_description": text})
    assert headers == {b"content-type": b"application/json", b"cache-control": b"no-store", b"retry-after": b"5"}
    assert api.reason is Reason.ACCESS_UNDECIDED
    assert api.inner.scopes == []


# Route rules, and what an API says of itself

RESOURCE = ProtectedResource("https://api.test/v1", scopes=["todos:read"], name="Todos")
METADATA = "https://api.test/.well-known/oauth-protected-resource/v1"
ROUTES: dict[str, Requirement] = {
    "GET /todos/{id}": Scope("todos:read") | Scope("todo:{id}:read"),
    "POST /todos/*": Scope("todos:write"),
    "/todos/*": Scope("todos"),
    "/me": AnyToken(),
    "WEBSOCKET /live": Scope("live"),
}


def routed(api: Api) -> JWTMiddleware:
    return JWTMiddleware(
        api.inner,
        verifier=api.door.verifier,
        rules=ROUTES,
        resource=RESOURCE,
        exempt=["/healthz"],
        hooks=[api.decisions.append],
    )


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/todos/7", "todos todos:read"),
        ("HEAD", "/todos/7/", "todos todos:read"),
        ("POST", "/todos", "todos todos:write"),
        ("DELETE", "/todos/7", "todos"),
        ("GET", "/me", "todos:read"),
        ("GET", "/unknown", "todos:read"),
        ("GET", "/todos//7", "todos:read"),
    ],
)
async def test_without_a_token_the_challenge_names_the_scopes_of_the_route_and_where_the_metadata_are(
    method: str, path: str, scope: str
) -> None:
    # RFC 6750 section 3, RFC 9728 section 5.1; where no rule names a scope, those of the resource
    api = Api()
    answer = await http(routed(api), method=method, path=path)
    assert answer.challenge == f'Bearer scope="{scope}", resource_metadata="{METADATA}"'
    assert answer.status == 401
    invalid = await http(routed(api), method=method, path=path, token=api.issuer.bad_token(Reason.TOKEN_EXPIRED))
    assert invalid.challenge == f'{EXPIRED}, scope="{scope}", resource_metadata="{METADATA}"'


async def test_one_refusal_names_what_all_rules_of_the_route_need() -> None:
    # RFC 6750 section 3.1: "the scope necessary to access the protected resource"
    api = Api()
    answer = await http(routed(api), method="POST", path="/todos/7", token=api.issuer.token(scope="other"))
    text = "The access token lacks a scope that this needs"
    assert whole(answer) == refusal(
        403,
        f'Bearer error="insufficient_scope", error_description="{text}", scope="todos todos:write", '
        f'resource_metadata="{METADATA}"',
        "insufficient_scope",
        text,
    )
    assert api.reason is Reason.SCOPE_MISSING


@pytest.mark.parametrize(
    ("scope", "method", "path", "status"),
    [
        ("todos todos:read", "GET", "/todos/7", 200),
        ("todos todo:7:read", "GET", "/todos/7", 200),
        ("todos todo:7:read", "GET", "/todos/8", 403),
        ("todos", "DELETE", "/todos/7", 200),
        ("todos:read", "GET", "/todos/7", 403),
        ("", "GET", "/me", 200),
        ("todos todos:read todos:write", "GET", "/other", 403),
        ("todos todos:read todos:write", "GET", "/me/x", 403),
        ("todos todos:read todos:write", "GET", "//todos/7", 403),
        ("todos todos:read todos:write", "GET", "/todos/../me", 403),
        ("live", "GET", "/live", 403),
    ],
)
async def test_a_route_is_open_to_those_who_meet_its_rules_and_a_route_without_one_to_nobody(
    scope: str, method: str, path: str, status: int
) -> None:
    api = Api()
    answer = await http(routed(api), method=method, path=path, token=api.issuer.token(scope=scope))
    assert answer.status == status
    assert len(api.inner.scopes) == (status == 200)
    assert len(api.decisions) == 1


async def test_a_route_without_a_rule_is_403_without_a_challenge() -> None:
    # Default deny; RFC 9110 section 15.5.4
    api = Api()
    answer = await http(routed(api), path="/other", token=api.issuer.token())
    assert whole(answer) == refusal(403, None, "forbidden", "The access token does not allow this")
    assert api.reason is Reason.ROUTE_NOT_COVERED
    assert (await http(routed(api), path="/healthz")).status == 200


@pytest.mark.parametrize(
    ("method", "named"),
    [("PURGE", "PURGE"), ("GET\nWARNING all is well", "it"), ("M-SEARCH", "it"), ("A" * 1000, "it"), ("É", "it")],
)
async def test_of_a_method_that_no_rule_covers_a_log_holds_letters_alone(method: str, named: str) -> None:
    api = Api()
    assert (await http(routed(api), method=method, path="/other", token=api.issuer.token())).status == 403
    assert api.decisions[-1].detail == f'add a rule for {named}, or "/*" with AnyToken() for the rest'


@pytest.mark.parametrize(("scope", "reason"), [("live", None), ("todos", Reason.SCOPE_MISSING)])
async def test_a_websocket_has_rules_too(scope: str, reason: Reason | None) -> None:
    api = Api()
    socket = await websocket(routed(api), path="/live", token=api.issuer.token(scope=scope))
    assert socket.accepted is (reason is None)
    assert api.reason is reason


@pytest.mark.parametrize("root_path", ["", "/app"])
async def test_anyone_may_read_the_metadata_though_no_rule_covers_them(root_path: str) -> None:
    # RFC 9728 sections 3.1 and 3.2
    api = Api()
    path = f"{root_path}/.well-known/oauth-protected-resource/v1"
    answer = await http(routed(api), path=path, root_path=root_path, headers=[(b"authorization", b"Bearer rubbish")])
    status, headers, body = whole(answer)
    assert (status, body) == (
        200,
        {
            "resource": "https://api.test/v1",
            "authorization_servers": ["https://issuer.test"],
            "scopes_supported": ["todos:read", "live", "todos", "todos:write"],
            "bearer_methods_supported": ["header"],
            "resource_name": "Todos",
        },
    )
    assert headers == {
        b"content-type": b"application/json",
        b"cache-control": b"max-age=300",
        b"access-control-allow-origin": b"*",
    }
    head = await http(routed(api), method="HEAD", path=path, root_path=root_path)
    assert (head.status, head.body, head.header("content-length")) == (200, b"", answer.header("content-length"))
    assert (await http(routed(api), method="OPTIONS", path=path, root_path=root_path)).status == 204
    assert (await http(routed(api), method="POST", path=path, root_path=root_path)).status == 405
    assert (await http(routed(api), path=f"{path}/")).status == 401
    assert api.inner.scopes == []


# The issuer's keys

UNAVAILABLE = {
    "error": "temporarily_unavailable",
    "error_description": "The keys that tokens are verified with cannot be had just now",
}


def answering(status: int, body: bytes = b"", **headers: str) -> Callable[..., Awaitable[FetchResponse]]:
    """A `Fetch` that answers every URL alike."""

    async def fetch(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        return FetchResponse(status, given, body)

    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return fetch


async def failing(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
    raise OSError("the network is down")


JWKS_URI = "https://issuer.test/jwks.json"


@pytest.mark.parametrize(
    ("options", "reason", "seconds"),
    [
        ({"fetch": failing, "jwks_uri": JWKS_URI}, Reason.KEYS_UNAVAILABLE, b"1"),
        ({"fetch": answering(500), "jwks_uri": JWKS_URI}, Reason.KEYS_UNAVAILABLE, b"1"),
        ({"fetch": answering(302, location="https://x.test"), "jwks_uri": JWKS_URI}, Reason.KEYS_UNAVAILABLE, b"1"),
        ({"fetch": answering(429, retry_after="7"), "jwks_uri": JWKS_URI}, Reason.KEYS_UNAVAILABLE, b"7"),
        ({"fetch": answering(503, retry_after="86400"), "jwks_uri": JWKS_URI}, Reason.KEYS_UNAVAILABLE, b"300"),
        ({"fetch": answering(200, b"<html>"), "jwks_uri": JWKS_URI}, Reason.KEYS_UNUSABLE, b"1"),
        ({"fetch": answering(200, b'{"keys":[]}'), "jwks_uri": JWKS_URI}, Reason.KEYS_UNUSABLE, b"1"),
        ({"fetch": answering(404)}, Reason.DISCOVERY_FAILED, b"1"),
        ({"fetch": answering(200, b'{"issuer":"https://evil.test"}')}, Reason.DISCOVERY_FAILED, b"1"),
    ],
)
async def test_keys_that_cannot_be_had_are_503_with_a_time_and_without_a_challenge(
    options: dict[str, Any], reason: Reason, seconds: bytes
) -> None:
    # RFC 9110 sections 15.6.4 and 10.2.3; a 401 would make clients throw a good token away
    api = Api(options=options)
    status, headers, body = whole(await api.get(api.issuer.token()))
    assert (status, body) == (503, UNAVAILABLE)
    assert headers == {b"content-type": b"application/json", b"cache-control": b"no-store", b"retry-after": seconds}
    assert api.reason is reason
    assert api.inner.scopes == []


async def test_keys_older_than_their_bound_are_503_while_the_issuer_is_out() -> None:
    # RFC 9110 section 15.6.4, RFC 5861 section 4 (stale-if-error has an end)
    caching = KeyCaching(ttl=0.01, least_ttl=0.01, most_ttl=0.01, stale_if_error=0)
    up = True

    async def fetch(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        return FetchResponse(200 if up else 500, {}, json.dumps(api.issuer.jwks()).encode())

    api = Api(options={"jwks_uri": JWKS_URI, "fetch": fetch, "key_caching": caching})
    assert (await api.get(api.issuer.token())).status == 200
    up = False
    await asyncio.sleep(0.02)
    answer = await api.get(api.issuer.token())
    assert (answer.status, answer.header("retry-after"), answer.json()) == (503, "1", UNAVAILABLE)
    assert api.decisions[1].reason is Reason.KEYS_EXPIRED


async def test_of_4097_requests_that_wait_for_the_first_keys_one_is_503_at_once() -> None:
    # RFC 9110 section 15.6.4; a bound on what a slow issuer can make wait
    gate = asyncio.Event()

    async def fetch(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        await gate.wait()
        return FetchResponse(200, {}, json.dumps(api.issuer.jwks()).encode())

    # On a slow machine so many take their time
    api = Api(options={"jwks_uri": JWKS_URI, "fetch": fetch, "key_caching": KeyCaching(timeout=120.0)})
    token = api.issuer.token()
    waiting = [asyncio.ensure_future(api.get(token)) for _ in range(4096)]
    await asyncio.sleep(0)
    refused = await api.get(token)
    gate.set()
    assert (refused.status, refused.header("retry-after"), refused.json()) == (503, "1", UNAVAILABLE)
    assert api.decisions[0].reason is Reason.KEYS_BUSY
    assert {(await answer).status for answer in waiting} == {200}


async def test_a_refusal_that_needs_no_key_is_401_though_the_keys_cannot_be_had() -> None:
    # RFC 6750 section 3.1: the outage is not this client's affair
    api = Api(options={"fetch": failing})
    answer = await api.get(api.issuer.bad_token(Reason.TOKEN_EXPIRED))
    assert whole(answer) == refusal(401, EXPIRED, "invalid_token", "The access token expired")


# Families of issuers


def family(issuer: TestIssuer, allowed: AllowList) -> TrustedTenants:
    """Tenants of the issuer, whose keys are given."""
    return TrustedTenants(
        f"{issuer.issuer}/{{tenantid}}",
        tenants=allowed,
        audience=issuer.audience,
        algorithms=issuer.algorithms,
        keys=StaticKeys(issuer.jwks()),
    )


def of_tenant(issuer: TestIssuer, tenant: str, **claims: Any) -> str:
    """A token of this tenant."""
    return issuer.token(claims={"iss": f"{issuer.issuer}/{tenant}", "tid": tenant, **claims})


@pytest.mark.parametrize(
    ("tenant", "claims", "reason"),
    [
        ("contoso", {"tid": "fabrikam"}, Reason.TENANT_MISMATCH),
        ("contoso", {"tid": None}, Reason.TENANT_MISMATCH),
        ("fabrikam", {}, Reason.ISSUER_UNTRUSTED),
    ],
)
async def test_a_token_of_another_tenant_is_401_and_the_client_is_told_no_more_than_of_any_other(
    tenant: str, claims: dict[str, Any], reason: Reason
) -> None:
    # RFC 6750 section 3.1 invalid_token
    api = Api(issuers=lambda issuer: [family(issuer, {"contoso"})])
    answer = await api.get(of_tenant(api.issuer, tenant, **claims))
    assert whole(answer) == refusal(401, INVALID_TOKEN, "invalid_token", GENERIC)
    assert api.reason is reason
    assert (await api.get(of_tenant(api.issuer, "contoso"))).status == 200


def no_answer(_: str) -> Any:
    raise LookupError("the table of tenants, and what is in it")


@pytest.mark.parametrize("of", ["the allow-list of tenants", "the allow-list of a resolver", "a resolver"])
async def test_an_issuer_that_cannot_be_judged_is_503_and_the_client_is_not_told_why(of: str) -> None:
    # RFC 9110 section 15.6.4; a 401 would make clients throw a good token away
    made: dict[str, Callable[[TestIssuer], IssuerFamily]] = {
        "the allow-list of tenants": lambda issuer: family(issuer, no_answer),
        "the allow-list of a resolver": lambda _: ResolvedIssuers(lambda _: None, allowed=no_answer),
        "a resolver": lambda issuer: ResolvedIssuers(no_answer, allowed={f"{issuer.issuer}/contoso"}),
    }
    api = Api(issuers=lambda issuer: [made[of](issuer)])
    token = of_tenant(api.issuer, "contoso")
    status, headers, body = whole(await api.get(token))
    assert (status, body) == (503, UNAVAILABLE)
    assert headers == {b"content-type": b"application/json", b"cache-control": b"no-store", b"retry-after": b"1"}
    assert api.reason is Reason.ISSUER_UNRESOLVED
    socket = await websocket(api.door, token=token, extensions={"websocket.http.response": {}})
    assert socket.denial is not None
    assert whole(socket.denial) == (status, headers, body)
    assert api.decisions[0].detail == "the allow-list or the resolver failed: LookupError"
    assert api.inner.scopes == []


# WebSockets


@pytest.mark.parametrize("reason", [None, Reason.TOKEN_EXPIRED, Reason.SIGNATURE_INVALID])
async def test_a_refused_websocket_gets_the_answer_of_a_refused_request(reason: Reason | None) -> None:
    # ASGI's "WebSocket Denial Response" extension; RFC 6455 section 4.2.2 point 4: the server may refuse with HTTP
    api = Api()
    token = None if reason is None else api.issuer.bad_token(reason)
    socket = await websocket(api.door, token=token, extensions={"websocket.http.response": {}})
    assert socket.denial is not None
    assert whole(socket.denial) == whole(await api.get(token))
    assert [message["type"] for message in socket.messages] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert api.inner.scopes == []
