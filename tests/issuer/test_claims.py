"""The access tokens that are made, and that our own verifier takes every one of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_asgi._core.access_token import AccessToken
from jwt_asgi._core.token import parse_token
from jwt_asgi._keys.static import StaticKeys
from jwt_asgi.errors import ConfigurationError, Reason, TokenError
from jwt_asgi.issuer.claims import LISTS, RESERVED, AccessTokens, ClaimsError, Issued, TokenContext
from jwt_asgi.issuer.grants import Fault, GrantError
from jwt_asgi.issuer.rotation import Family
from jwt_asgi.issuer.signing import SigningKey, jwks_document
from jwt_asgi.issuer.types import Session
from jwt_asgi.issuers import TrustedIssuer
from jwt_asgi.profiles import Profile
from jwt_asgi.verifier import Verifier
from tests.properties.strategies import JSON, examples

ISSUER, API = "https://auth.example.com", "https://api.example.com"
NOW = 1_700_000_000.75
KEY = SigningKey.new("EdDSA")
CONTEXT = TokenContext(subject="user-1", client_id="web", audience=(API,))


def verifier(audience: str = API, now: float = NOW) -> Verifier:
    issuer = TrustedIssuer(
        issuer=ISSUER,
        audience=audience,
        algorithms=["EdDSA"],
        profile=Profile.RFC9068,
        leeway=0,
        keys=StaticKeys(jwks_document([KEY]).body),
    )
    return Verifier(issuer, clock=lambda: now)


def tokens(**options: Any) -> AccessTokens:
    return AccessTokens(**{"issuer": ISSUER, **options})


async def issued(context: TokenContext = CONTEXT, **options: Any) -> Issued:
    return await tokens(**options).issue(context, KEY, NOW)


async def claims_of(context: TokenContext = CONTEXT, **options: Any) -> dict[str, Any]:
    return parse_token((await issued(context, **options)).token).claims


async def refused(context: TokenContext = CONTEXT, **options: Any) -> str:
    with pytest.raises(ClaimsError) as caught:
        await issued(context, **options)
    return str(caught.value)


def returning(claims: Any) -> Any:
    async def mapper(_: TokenContext) -> Any:
        return claims

    return mapper


async def test_the_least_token_has_what_rfc_9068_asks_for() -> None:
    token = await issued(token_id=lambda: "id-1")
    untrusted = parse_token(token.token)
    assert untrusted.header == {"alg": "EdDSA", "typ": "at+jwt", "kid": KEY.kid}
    assert untrusted.claims == {
        "iss": ISSUER,
        "aud": API,
        "sub": "user-1",
        "client_id": "web",
        "jti": "id-1",
        "iat": 1_700_000_000,
        "exp": 1_700_000_900,
    }
    assert (token.token_id, token.issued_at, token.expires_at, token.expires_in) == (
        "id-1",
        1_700_000_000,
        1_700_000_900,
        900,
    )


async def test_each_token_has_an_id_of_its_own() -> None:
    first, second = await issued(), await issued()
    assert first.token_id != second.token_id
    assert len(first.token_id) == 22


async def test_its_repr_does_not_show_it() -> None:
    token = await issued()
    assert token.token not in repr(token)


async def test_a_sessions_token_says_how_the_user_logged_in() -> None:
    family = Family(
        client_id="app", proof=("jkt", "thumb"), generation=7, rotated_at=NOW, idle_until=NOW, absolute_until=NOW
    )
    session = Session(
        id=bytes(16),
        key_version=1,
        subject="user-2",
        tenant="acme",
        scopes=("a", "b"),
        audience=(API, "other"),
        auth_time=NOW - 10,
        acr="gold",
        amr=("pwd", "otp"),
        claims={"roles": ["admin"]},
        created_at=NOW,
        family=family,
    )
    claims = await claims_of(TokenContext.of_session(session), lifetime=60)
    del claims["jti"]
    assert claims == {
        "iss": ISSUER,
        "aud": [API, "other"],
        "sub": "user-2",
        "client_id": "app",
        "iat": 1_700_000_000,
        "exp": 1_700_000_060,
        "scope": "a b",
        "sid": session.sid,
        "gen": 7,
        "cnf": {"jkt": "thumb"},
        "auth_time": 1_699_999_990,
        "acr": "gold",
        "amr": ["pwd", "otp"],
        "tenant": "acme",
        "roles": ["admin"],
    }
    assert (await claims_of(TokenContext.of_session(session, ("b",))))["scope"] == "b"
    assert (await issued(TokenContext.of_session(session, ("b",)))).scopes == ("b",)


async def test_a_bound_token_is_no_bearer_token() -> None:
    token = await issued(replace(CONTEXT, proof=("jkt", "thumb")))
    with pytest.raises(TokenError) as caught:
        await verifier().verify(token.token)
    assert [failure.reason for failure in caught.value.failures] == [Reason.BINDING_UNSUPPORTED]


class TestAudiences:
    """An API sees no more of a user than it needs."""

    CONTEXT = replace(
        CONTEXT, audience=("a",), auth_time=1.0, acr="gold", tenant="t", sid="s", claims={"roles": ["r"], "mail": "m"}
    )

    @pytest.mark.parametrize(
        ("audience", "seen"),
        [
            (("a",), {"roles", "acr"}),
            (("b",), {"mail", "roles"}),
            (("a", "b"), {"roles"}),
            (("b", "elsewhere"), {"mail", "roles"}),
            (("none",), set()),
            (("elsewhere",), {"auth_time", "acr", "tenant", "roles", "mail"}),
        ],
    )
    async def test_its_tokens_have_the_claims_that_it_may_see(self, audience: tuple[str, ...], seen: set[str]) -> None:
        lists = {"a": ["roles", "acr"], "b": {"mail", "roles"}, "none": ()}
        claims = await claims_of(replace(self.CONTEXT, audience=audience), audiences=lists)
        assert set(claims) - {"iss", "aud", "sub", "client_id", "jti", "iat", "exp", "sid"} == seen
        assert "sid" in claims


class TestMapper:
    """The application adds what it knows when a token is made."""

    async def test_it_is_told_what_the_token_is_for(self) -> None:
        asked = []

        async def mapper(context: TokenContext) -> Mapping[str, Any]:
            asked.append(context)
            return {"roles": {"b", "a"}, "plan": {"name": "pro"}}

        claims = await claims_of(mapper=mapper)
        assert (claims["roles"], claims["plan"]) == (["a", "b"], {"name": "pro"})
        assert asked == [CONTEXT]

    async def test_it_goes_before_what_the_session_has(self) -> None:
        context = replace(CONTEXT, claims={"roles": ["old"], "plan": "pro"})
        claims = await claims_of(context, mapper=returning({"roles": ["new"]}))
        assert (claims["roles"], claims["plan"]) == (["new"], "pro")

    @pytest.mark.parametrize("name", sorted(RESERVED))
    async def test_it_cannot_set_what_is_the_services(self, name: str) -> None:
        assert await refused(mapper=returning({name: "x"})) == f"{name}: the mapper cannot set this claim"
        assert await refused(replace(CONTEXT, claims={name: "x"})) == f"{name}: the session cannot set this claim"

    async def test_when_it_fails_no_token_is_made(self) -> None:
        async def mapper(_: TokenContext) -> Mapping[str, Any]:
            raise LookupError("the secret of the database")

        with pytest.raises(ClaimsError) as caught:
            await issued(mapper=mapper)
        assert str(caught.value) == "mapper: it failed: LookupError"
        assert isinstance(caught.value.__cause__, LookupError)

    async def test_it_can_refuse_a_user(self) -> None:
        async def mapper(_: TokenContext) -> Mapping[str, Any]:
            raise GrantError(Fault.INVALID_GRANT, detail="the user is locked out")

        with pytest.raises(GrantError, match="the user is locked out"):
            await issued(mapper=mapper)

    async def test_one_that_cannot_be_awaited_fails(self) -> None:
        assert await refused(mapper=lambda _: {}) == "mapper: it failed: TypeError"

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (None, "mapper: expected a mapping of claims; got NoneType"),
            ([("a", 1)], "mapper: expected a mapping of claims; got list"),
            ({1: 2}, "mapper: expected a text without control characters and white space around it"),
            ({"a\n": 2}, "mapper: expected a text without control characters and white space around it"),
            ({"roles": "admin"}, "roles: expected a list of texts; got str"),
            ({"groups": ["a\n"]}, "groups: expected a text without control characters and white space around it"),
            ({"plan": {1}}, "plan: set is not JSON"),
        ],
    )
    async def test_what_it_returns_is_checked(self, answer: Any, error: str) -> None:
        assert await refused(mapper=returning(answer)) == error


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"subject": ""}, "sub: expected a text"),
        ({"subject": None}, "sub: expected a text"),
        ({"client_id": "a\nb"}, "client_id: expected a text"),
        ({"audience": ()}, "aud: expected whom the token is for"),
        ({"audience": API}, "aud: expected a list of texts; got str"),
        ({"audience": ("",)}, "aud: expected a text"),
        ({"scopes": ("a b",)}, "scope: expected scopes without spaces"),
        ({"tenant": ""}, "tenant: expected a text"),
        ({"acr": 1}, "acr: expected a text"),
        ({"amr": "pwd"}, "amr: expected a list of texts; got str"),
        ({"sid": ""}, "sid: expected a text"),
        ({"generation": -1}, "gen: expected a number that is not negative"),
        ({"generation": True}, "gen: expected a number that is not negative"),
        ({"auth_time": "now"}, "auth_time: expected a number that is not negative"),
        ({"auth_time": 253_402_300_800}, "auth_time: expected a number that is not negative"),
        ({"auth_time": float("nan")}, "auth_time: expected a number that is not negative"),
        ({"proof": ("jkt", "")}, "cnf: expected a text"),
        ({"proof": ("", "x")}, "cnf: expected a text"),
    ],
)
async def test_a_value_that_cannot_be_in_a_token_is_named(members: dict[str, Any], error: str) -> None:
    assert (await refused(replace(CONTEXT, **members))).startswith(error)


async def test_the_id_is_checked_too() -> None:
    assert (await refused(token_id=lambda: "")).startswith("jti: expected a text")


async def test_a_token_is_at_most_4_kib_and_else_the_largest_claims_are_named() -> None:
    def context(size: int) -> TokenContext:
        return replace(CONTEXT, claims={"roles": ["r" * 300], "big": "x" * size, "small": "é"})

    size = 4096 * 3 // 4
    while len((await issued(context(size), max_bytes=9999)).token) > 4096:
        size -= 1
    assert 4095 <= len((await issued(context(size))).token) <= 4096
    error = await refused(context(size + 2))
    assert error.startswith("token: it would have 409")
    assert error.endswith(
        f"bytes, and 4096 are the most; the largest claims are big ({size + 2 + 8}), roles (312), iss (32)"
    )


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"issuer": ""}, "issuer: expected a text"),
        ({"lifetime": 0}, "lifetime: expected a number of seconds from 1"),
        ({"lifetime": 1.5}, "lifetime: expected whole seconds; got 1.5"),
        ({"mapper": {}}, "mapper: expected an async function of a TokenContext; got {}"),
        ({"max_bytes": 0}, "max_bytes: expected a number of bytes; got 0"),
        ({"max_bytes": True}, "max_bytes: expected a number of bytes; got True"),
        ({"max_bytes": 1.5}, "max_bytes: expected a number of bytes; got 1.5"),
        ({"audiences": {API: "roles"}}, f"audiences: expected the names of claims for '{API}'; got 'roles'"),
        ({"audiences": {API: None}}, f"audiences: expected the names of claims for '{API}'; got None"),
        ({"audiences": {API: [1]}}, f"audiences: expected the names of claims for '{API}'; got [1]"),
    ],
)
def test_options_are_checked(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        tokens(**options)
    assert named in str(caught.value)


def test_the_lists_can_be_set_and_what_every_token_needs_cannot() -> None:
    assert not LISTS & RESERVED
    assert {"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} < RESERVED


IDENTIFIERS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCOPES = st.text(st.characters(codec="ascii"), max_size=8)
WILD: dict[str, st.SearchStrategy[Any]] = {
    "subject": IDENTIFIERS,
    "client_id": IDENTIFIERS,
    "audience": st.lists(IDENTIFIERS, max_size=3).map(lambda names: (API, *names)),
    "scopes": st.lists(SCOPES, max_size=3).map(tuple),
    "tenant": IDENTIFIERS,
    "auth_time": st.floats() | st.integers(),
    "acr": IDENTIFIERS,
    "amr": st.lists(IDENTIFIERS, max_size=2).map(tuple),
    "sid": IDENTIFIERS,
    "generation": st.integers(),
    "claims": st.dictionaries(IDENTIFIERS | st.sampled_from(["roles", "typ", "groups", "exp"]), JSON, max_size=3),
}
GOOD = st.text("aZ09-|:/\u00e9\u4e2d\U0001f44d\u200b\u0301", min_size=1, max_size=12)
GOOD_CONTEXTS = st.builds(
    TokenContext,
    subject=GOOD,
    client_id=GOOD,
    audience=st.lists(GOOD, max_size=2).map(lambda names: (API, *names)),
    scopes=st.lists(st.text("!#[]~:azAZ09", min_size=1, max_size=8), max_size=3, unique=True).map(tuple),
    tenant=st.none() | GOOD,
    auth_time=st.none() | st.floats(0, 1e10),
    acr=st.none() | GOOD,
    amr=st.lists(GOOD, max_size=2).map(tuple),
    sid=st.none() | GOOD,
    generation=st.none() | st.integers(0, 2**32 - 1),
    claims=st.dictionaries(st.sampled_from(["plan", "mail", "x"]), JSON, max_size=2),
)
CONTEXTS = st.one_of(
    [
        st.builds(lambda context, value, name=name: replace(context, **{name: value}), GOOD_CONTEXTS, values)
        for name, values in WILD.items()
    ]
)
"""All good but for one member, which may be anything."""


async def verified(token: str) -> AccessToken:
    return await verifier().verify(token)


@given(GOOD_CONTEXTS, st.lists(GOOD, max_size=3))
@examples(40)
def test_our_verifier_reads_what_was_meant(context: TokenContext, roles: list[str]) -> None:
    added = {"roles": list(dict.fromkeys(roles))}
    token = tokens().make(context, KEY, NOW, added)
    seen = run(token.token)
    assert (seen.subject, seen.client_id) == (context.subject, context.client_id)
    assert set(seen.audience) == set(context.audience)
    assert seen.scopes == frozenset(context.scopes)
    assert seen.roles == frozenset(roles)
    assert (seen.token_id, seen.issued_at, seen.expires_at) == (token.token_id, token.issued_at, token.expires_at)


@given(CONTEXTS)
@examples(80)
def test_whatever_the_application_gives_is_refused_or_makes_a_token_that_our_verifier_takes(
    context: TokenContext,
) -> None:
    maker = tokens(mapper=returning({}))
    try:
        token = finish(maker.issue(context, KEY, NOW))
    except ClaimsError:
        return
    seen = run(token.token)
    assert seen.subject == context.subject
    assert json.dumps(dict(seen.claims))


@given(GOOD_CONTEXTS)
@examples(20)
def test_no_good_context_is_refused(context: TokenContext) -> None:
    assert run(tokens().make(context, KEY, NOW, {}).token).subject == context.subject


def run(token: str) -> AccessToken:
    seen: AccessToken = finish(verified(token))
    return seen


def finish(step: Any) -> Any:
    """The result of a coroutine that waits for nothing."""
    with pytest.raises(StopIteration) as done:
        step.send(None)
    return done.value.value
