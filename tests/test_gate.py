"""Who is let in, apart from ASGI: the token of a connection, the answer to a refusal, and who is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from time import perf_counter
from typing import Any

import pytest

from jwt_asgi import (
    AccessError,
    ConfigurationError,
    Decision,
    JWTASGIError,
    JWTMiddleware,
    KeysUnavailable,
    Reason,
    TokenError,
    TrustedIssuer,
    Verifier,
)
from jwt_asgi._core.resource import ProtectedResource
from jwt_asgi.gate import Gate, list_of
from jwt_asgi.instrumentation import LoggingHook, Outcome
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIScope, Receive, Send
from tests.core.builders import access_token

ISSUER = TestIssuer(algorithms=["ES256"])
METADATA = "https://api.test/.well-known/oauth-protected-resource"
RESOURCE = ProtectedResource("https://api.test", scopes=["read"])


def scope(*headers: tuple[bytes, bytes], **members: Any) -> dict[str, Any]:
    return {"type": "http", "headers": list(headers), **members}


def bearer(token: str) -> tuple[bytes, bytes]:
    return b"authorization", f"Bearer {token}".encode()


async def test_the_token_of_a_connection_is_verified() -> None:
    gate = Gate(**ISSUER.options())
    token = await gate.token_of(scope(bearer(ISSUER.token(subject="user-7"))))
    assert token is not None
    assert token.subject == "user-7"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([], Reason.CREDENTIALS_MISSING),
        ([(b"authorization", b"Basic YTpi")], Reason.SCHEME_UNSUPPORTED),
    ],
)
async def test_without_a_token_there_is_an_error_or_none_where_anonymous_is_let_in(
    headers: list[tuple[bytes, bytes]], reason: Reason
) -> None:
    with pytest.raises(TokenError) as caught:
        await Gate(**ISSUER.options()).token_of(scope(*headers))
    assert caught.value.reason is reason
    assert await Gate(**ISSUER.options(), anonymous=True).token_of(scope(*headers)) is None


@pytest.mark.parametrize("anonymous", [False, True])
async def test_a_bad_token_is_an_error_in_either_case(anonymous: bool) -> None:
    gate = Gate(**ISSUER.options(), anonymous=anonymous)
    for header, reason in (
        (bearer(ISSUER.bad_token(Reason.TOKEN_EXPIRED)), Reason.TOKEN_EXPIRED),
        ((b"authorization", b"Bearer a b"), Reason.CREDENTIALS_MALFORMED),
    ):
        with pytest.raises(TokenError) as caught:
            await gate.token_of(scope(header))
        assert caught.value.reason is reason


def challenge(gate: Gate, error: JWTASGIError, needs: Iterable[str] = ()) -> str | None:
    answer = gate.refuse(error, scope(), token=None, began=perf_counter(), needs=lambda: needs)
    return next((value.decode() for name, value in answer.headers if name == b"www-authenticate"), None)


@pytest.mark.parametrize(
    ("error", "needs", "parameters"),
    [
        (TokenError(Reason.CREDENTIALS_MISSING), (), 'scope="read"'),
        (TokenError(Reason.CREDENTIALS_MISSING), ("a", "b"), 'scope="a b"'),
        (AccessError(Reason.CREDENTIALS_MISSING), ("a",), 'scope="a"'),
        (AccessError(Reason.CREDENTIALS_MISSING, scopes=("own",)), ("a",), 'scope="own"'),
        # Another scope would not be what is missing
        (AccessError(Reason.AUTHENTICATION_INSUFFICIENT, max_age=5), ("a",), 'max_age="5"'),
        (AccessError(Reason.SCOPE_MISSING), ("a",), 'this needs"'),
    ],
)
def test_a_challenge_names_what_is_needed_here_or_else_what_the_resource_says(
    error: JWTASGIError, needs: tuple[str, ...], parameters: str
) -> None:
    found = challenge(Gate(**ISSUER.options(), resource=RESOURCE, realm="todos", hooks=[]), error, needs)
    assert found is not None
    assert found.startswith('Bearer realm="todos", ')
    assert found.endswith(f'{parameters}, resource_metadata="{METADATA}"')


def test_without_a_resource_a_challenge_names_none() -> None:
    assert challenge(Gate(**ISSUER.options(), hooks=[]), TokenError(Reason.CREDENTIALS_MISSING)) == "Bearer"


@pytest.mark.parametrize("error", [AccessError(Reason.ROLE_MISSING), KeysUnavailable(Reason.KEYS_BUSY)])
def test_where_no_token_would_help_there_is_no_challenge(error: JWTASGIError) -> None:
    assert challenge(Gate(**ISSUER.options(), resource=RESOURCE, hooks=[]), error, ("a",)) is None


def test_the_hooks_are_told_of_every_decision_once() -> None:
    told: list[Decision] = []
    gate, token = Gate(**ISSUER.options(), hooks=[told.append]), access_token()
    gate.grant(Outcome.GRANTED, token=token, kind="http", seconds=0.5)
    gate.refuse(AccessError(Reason.ROLE_MISSING, "needs role x"), scope(), token=token, began=perf_counter() - 2)
    granted, refused = told
    assert (granted.outcome, granted.token, granted.kind, granted.seconds) == (Outcome.GRANTED, token, "http", 0.5)
    assert (refused.outcome, refused.reason, refused.detail) == (
        Outcome.REFUSED,
        Reason.ROLE_MISSING,
        "needs role x",
    )
    assert refused.token is token
    assert refused.seconds >= 2


def test_by_default_refusals_are_logged() -> None:
    (hook,) = Gate(**ISSUER.options())._hooks
    assert isinstance(hook, LoggingHook)


def test_the_metadata_name_the_trusted_issuers() -> None:
    gate = Gate(**ISSUER.options(), resource="https://api.test")
    assert gate.resource == ProtectedResource("https://api.test")
    assert json.loads(gate.metadata("GET", ["a"]).body) == {
        "resource": "https://api.test",
        "authorization_servers": [ISSUER.issuer],
        "scopes_supported": ["a"],
        "bearer_methods_supported": ["header"],
    }


def test_a_verifier_takes_the_place_of_the_issuers_options() -> None:
    verifier = Verifier(TrustedIssuer(**ISSUER.options()))
    assert Gate(verifier=verifier).verifier is verifier
    with pytest.raises(ConfigurationError, match="expected no issuer, audience"):
        Gate(verifier=verifier, **ISSUER.options())


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({}, "issuer, audience, algorithms"),
        ({"verifier": "x"}, "verifier"),
        ({**ISSUER.options(), "revocation": "x"}, "revocation"),
        ({**ISSUER.options(), "revocation": 7}, "revocation"),
        ({**ISSUER.options(), "anonymous": 1}, "anonymous"),
        ({**ISSUER.options(), "realm": 'a"b'}, "realm"),
        ({**ISSUER.options(), "resource": "api"}, "resource"),
        ({**ISSUER.options(), "resource": 7}, "resource"),
        ({**ISSUER.options(), "hooks": "x"}, "hooks"),
        ({**ISSUER.options(), "hooks": [7]}, "hooks"),
    ],
)
def test_a_wrong_option_stops_the_start_and_is_named(options: dict[str, Any], option: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Gate(**options)
    assert caught.value.option == option


@pytest.mark.parametrize("values", ["ab", None, {"a": 1}, {"a"}, 7, ["a", 7]])
def test_a_list_has_entries_of_one_kind(values: Any) -> None:
    with pytest.raises(ConfigurationError):
        list_of("names", values, str, "texts")
    assert list_of("names", ["a"], str, "texts") == ["a"]


async def _nothing(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Any application."""


@pytest.mark.parametrize("build", [Gate, partial(JWTMiddleware, _nothing)])
def test_an_option_that_there_is_not_is_told_with_those_that_there_are(build: Callable[..., object]) -> None:
    options: dict[str, Any] = {**ISSUER.options(), "isuer": "https://issuer.test"}
    with pytest.raises(ConfigurationError, match="isuer: there is no such option here; the options are algorithms, "):
        build(**options)
