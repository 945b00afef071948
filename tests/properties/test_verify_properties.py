"""Whatever a stranger sends, and whatever an issuer signs: an answer of ours, or just what was signed."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_asgi import (
    AccessToken,
    JWTMiddleware,
    KeysUnavailable,
    Profile,
    Skip,
    StaticKeys,
    TokenError,
    TrustedIssuer,
    Verifier,
)
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIScope, Message, Receive, Send
from tests.asgi import http
from tests.properties.strategies import JSON, STRINGS, examples

ISSUER = TestIssuer(algorithms=["ES256", "Ed25519"])
STATIC = {
    "issuer": ISSUER.issuer,
    "audience": ISSUER.audience,
    "algorithms": ["ES256", "Ed25519", "EdDSA"],
    "keys": StaticKeys(ISSUER.jwks()),
}
VERIFIERS: dict[str, Callable[[], Verifier]] = {
    "fetched keys": lambda: Verifier(TrustedIssuer(**ISSUER.options())),
    "static keys": lambda: Verifier(TrustedIssuer(**STATIC)),  # type: ignore[arg-type]
    "the strict profile": lambda: Verifier(TrustedIssuer(**STATIC, profile=Profile.RFC9068)),  # type: ignore[arg-type]
    "no audience": lambda: Verifier(TrustedIssuer(**(STATIC | {"audience": Skip.AUDIENCE_CHECK}))),  # type: ignore[arg-type]
}
# Made when the module is read, and good for longer than any run of the suite takes
GOOD = [
    ISSUER.token(scope="a b", roles=["c"], expires_in=86_400),
    ISSUER.token(algorithm="Ed25519", claims={"x": {"y": [1, None]}}, expires_in=86_400),
]


async def inner(scope: ASGIScope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    message: Message = {"type": "http.response.body", "body": b"in"}
    await send(message)


def payload_of(token: str) -> dict[str, Any]:
    segment = token.split(".")[1]
    payload: dict[str, Any] = json.loads(urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    return payload


def plain(token: AccessToken) -> Any:
    return json.loads(json.dumps(token.claims))


def verify(runner: asyncio.Runner, verifier: Verifier, token: str | bytes) -> AccessToken | None:
    """The verified token, or None where it was refused; whatever else is raised fails the test."""
    try:
        return runner.run(verifier.verify(token))
    except (TokenError, KeysUnavailable):
        return None


# --- through the door -----------------------------------------------------------------------------------------------

AUTHORIZATIONS = st.one_of(
    st.binary(max_size=60),
    st.binary(max_size=60).map(lambda raw: b"Bearer " + raw),
    st.lists(st.sampled_from([b"eyJhbGciOiJFUzI1NiJ9", b"e30", b".", b"A", b"=", b"_", b"~", b" "]), max_size=8).map(
        lambda parts: b"Bearer " + b"".join(parts)
    ),
    st.sampled_from(GOOD).map(lambda token: b"Bearer " + token.encode()[:-1]),
)


@examples(50)
@given(st.lists(AUTHORIZATIONS, min_size=1, max_size=2), st.binary(max_size=20))
def test_any_authorization_that_is_no_token_is_answered_with_400_or_401(values: list[bytes], query: bytes) -> None:
    app = JWTMiddleware(inner, verifier=VERIFIERS["static keys"](), hooks=())
    headers = [(b"authorization", value) for value in values]
    with asyncio.Runner() as runner:
        answer = runner.run(http(app, headers=headers, query=query))
    assert answer.status in {400, 401}
    assert answer.challenge is not None
    assert answer.challenge.startswith("Bearer")
    assert answer.body != b"in"


@pytest.mark.parametrize("name", VERIFIERS)
def test_a_good_token_is_verified_so_that_the_properties_are_not_empty(name: str) -> None:
    with asyncio.Runner() as runner:
        for token in GOOD:
            verified = verify(runner, VERIFIERS[name](), token)
            assert verified is not None
            assert plain(verified) == payload_of(token)


# --- tokens that were changed on the way ----------------------------------------------------------------------------


@st.composite
def changed(draw: st.DrawFn) -> str:
    token = draw(st.sampled_from(GOOD))
    for _ in range(draw(st.integers(1, 3))):
        at, other = draw(st.integers(0, len(token) - 1)), draw(st.integers(0, len(token) - 1))
        character = draw(st.sampled_from("AQgwZz09-_.=+/ ") | st.characters())
        token = draw(
            st.sampled_from(
                [
                    token[:at] + character + token[at + 1 :],
                    token[:at] + character + token[at:],
                    token[:at] + token[at + 1 :],
                    token[: min(at, other)] + token[max(at, other) :],
                    token[:at],
                    token[:at] + token[other : other + 4] + token[at + 4 :],
                    token + token[at:],
                ]
            )
        )
        token = token or "."
    return token


@st.composite
def spliced(draw: st.DrawFn) -> str:
    first, second = draw(st.permutations(GOOD))
    parts = [draw(st.sampled_from(pair)) for pair in zip(first.split("."), second.split("."), strict=True)]
    return ".".join(draw(st.permutations(parts)))


@pytest.mark.parametrize("name", ["static keys", "no audience"])
def test_a_token_that_was_changed_is_refused_or_says_what_was_signed(name: str) -> None:
    verifier = VERIFIERS[name]()
    signed = {json.dumps(payload_of(token)) for token in GOOD}
    with asyncio.Runner() as runner:

        @examples(80)
        @given(changed() | spliced())
        def check(token: str) -> None:
            verified = verify(runner, verifier, token)
            assert verified is None or json.dumps(plain(verified)) in signed
            assert verified is None or token in GOOD

        check()


# --- tokens that were signed as they are ----------------------------------------------------------------------------

CLAIMS = st.dictionaries(
    st.sampled_from(
        [
            *("iss", "aud", "sub", "exp", "nbf", "iat", "jti", "client_id", "azp", "scope", "roles", "cnf", "typ"),
            *("token_use", "type", "x"),
        ]
    )
    | STRINGS,
    JSON,
    max_size=3,
)
HEADERS = st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jwk", "jku", "x5c"]), JSON, max_size=2)


@pytest.mark.parametrize("name", VERIFIERS)
def test_whatever_was_signed_is_refused_or_read_as_it_is(name: str) -> None:
    verifier = VERIFIERS[name]()
    with asyncio.Runner() as runner:

        @examples(40)
        @given(CLAIMS, HEADERS, st.sampled_from(["ES256", "Ed25519"]), st.sets(st.sampled_from(["iat", "jti", "aud"])))
        def check(claims: dict[str, Any], header: dict[str, Any], algorithm: str, without: set[str]) -> None:
            token = ISSUER.token(algorithm=algorithm, claims=claims, header=header, without=without)
            verified = verify(runner, verifier, token)
            if verified is not None:
                assert plain(verified) == payload_of(token)
                assert verified.issuer == ISSUER.issuer
                assert all(isinstance(entry, str) for entry in verified.audience)
                assert name == "no audience" or ISSUER.audience in verified.audience
                assert not {"crit", "b64"} & set(verified.header)
                assert "cnf" not in verified.claims

        check()
