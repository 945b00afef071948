"""Rows of the catalogue on key sets that change, are odd, or are asked for by many at once; and on memory."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import tracemalloc
from collections.abc import Mapping
from time import perf_counter
from typing import Any

import pytest

from jwt_asgi import JWTMiddleware, KeyCaching, TrustedIssuer, Verifier
from jwt_asgi.errors import JWTASGIError, TokenError
from jwt_asgi.types import FetchResponse
from tests.asgi import http
from tests.attacks.corpus.case import ALGORITHMS, AUDIENCE, ISSUER, JWKS_URI, Sign, bearer
from tests.attacks.corpus.jws import PrivateKey, claims, header, sign
from tests.attacks.corpus.keyring import (
    CONTROLS,
    EC_1,
    EC_ATTACKER,
    ED_1,
    JWKS,
    ODD_MEMBERS,
    RSA_1,
    RSA_2,
    RSA_ATTACKER,
    jwks_body,
    plain,
    private_jwk,
    public_jwk,
    rs256,
)
from tests.attacks.judge import Gate, ask

_TTL = 0.05


class _Endpoint:
    """A `Fetch` whose document, delay and headers a test may change."""

    def __init__(self, *members: object, seconds: float = 0.0) -> None:
        self.document = jwks_body(*members)
        self.seconds = seconds
        self.fetched: list[str] = []

    async def __call__(self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        del headers, timeout, limit
        self.fetched.append(url)
        document = self.document
        await asyncio.sleep(self.seconds)
        return FetchResponse(200, {}, document)

    def publish(self, *members: object) -> None:
        self.document = jwks_body(*members)


def _verifier(
    endpoint: _Endpoint,
    *,
    ttl: float | None = None,
    caching: KeyCaching | None = None,
    audience: str = AUDIENCE,
    token_cache: int = 10_000,
) -> Verifier:
    if ttl is not None:
        caching = KeyCaching(ttl=ttl, least_ttl=ttl, most_ttl=ttl)
    return Verifier(
        TrustedIssuer(
            issuer=ISSUER,
            audience=audience,
            algorithms=ALGORITHMS,
            jwks_uri=JWKS_URI,
            key_caching=caching,
            fetch=endpoint,
        ),
        token_cache=token_cache,
    )


def _gate(verifier: Verifier) -> Gate:
    gate = Gate()
    gate.app = JWTMiddleware(gate.inner, verifier=verifier)
    return gate


def _by(key: PrivateKey, kid: str, alg: str = "RS256") -> str:
    return sign(key, header(alg=alg, kid=kid), claims(), alg)


async def _verdict(verifier: Verifier, token: str) -> str:
    try:
        await verifier.verify(token)
    except JWTASGIError as error:
        return type(error).__name__
    return "accepted"


_SAME_KID: dict[str, tuple[tuple[PrivateKey, str], ...]] = {
    "RSA and EC": ((RSA_1, "RS256"), (EC_1, "ES256")),
    "two of RSA": ((RSA_1, "RS256"), (RSA_2, "RS256")),
    "RSA and Ed25519": ((RSA_1, "RS256"), (ED_1, "EdDSA")),
}


@pytest.mark.parametrize("pair", _SAME_KID)
@pytest.mark.parametrize("turned", [False, True])
async def test_two_members_with_one_kid_are_told_apart_the_same_way_each_time(pair: str, turned: bool) -> None:
    """Row 56: by kid and type, whatever their order."""
    keys = _SAME_KID[pair][::-1] if turned else _SAME_KID[pair]
    endpoint = _Endpoint(*(public_jwk(key, kid="k", use="sig") for key, _ in keys))
    verifier = _verifier(endpoint)
    verdicts = {alg: {await _verdict(verifier, _by(key, "k", alg)) for _ in range(5)} for key, alg in keys}
    assert all(verdict == {"accepted"} for verdict in verdicts.values())
    assert await _verdict(verifier, _by(RSA_ATTACKER, "k")) == "TokenError"
    assert await _verdict(verifier, _by(EC_ATTACKER, "k", "ES256")) == "TokenError"
    assert endpoint.fetched == [JWKS_URI]


_UNLOADABLE: list[Any] = [
    *ODD_MEMBERS,
    {"kty": "RSA", "kid": "rsa-surrogate", "n": "\ud800", "e": "AQAB"},
    public_jwk(RSA_2, kid="bad-use", use=None),
    public_jwk(RSA_2, kid="bad-ops", key_ops="verify"),
    public_jwk(RSA_2, kid="bad-x5c", x5c="x"),
    public_jwk(RSA_2, kid="bad-x5t", x5t=None),
    public_jwk(RSA_2, kid="bad-x5u", x5u="file:///etc/passwd"),
    public_jwk(RSA_2, kid={"a": 1}),
    public_jwk(RSA_2, kid="x" * 100_000),
    {"keys": [public_jwk(RSA_2, kid="inside")]},
]


@pytest.mark.parametrize("place", range(len(_UNLOADABLE)))
async def test_one_odd_member_does_not_spoil_the_set(place: int) -> None:
    """Row 55, CVE-2026-102274: before and after a good key."""
    good = public_jwk(RSA_1, kid="rsa-1", use="sig", alg="RS256")
    for members in ([_UNLOADABLE[place], good], [good, _UNLOADABLE[place]]):
        endpoint = _Endpoint()
        # As an issuer would send it: a lone surrogate is written as an escape.
        endpoint.document = json.dumps({"keys": members}).encode("ascii")
        assert await _verdict(_verifier(endpoint), rs256()) == "accepted"


async def test_a_new_kid_costs_one_fetch_and_is_accepted() -> None:
    """Row 146, OIDC Core section 10.1.1: at once, although the set is fresh."""
    endpoint = _Endpoint(public_jwk(RSA_1, kid="rsa-1"))
    verifier = _verifier(endpoint)
    assert await _verdict(verifier, rs256()) == "accepted"
    endpoint.publish(public_jwk(RSA_1, kid="rsa-1"), public_jwk(RSA_2, kid="new"))
    verdicts = await asyncio.gather(*(_verdict(verifier, _by(RSA_2, "new")) for _ in range(20)))
    assert set(verdicts) == {"accepted"}
    assert len(endpoint.fetched) == 2


async def test_a_key_that_changes_under_its_kid_is_taken_with_the_next_fetch() -> None:
    """Row 146: and the old key is refused from then on."""
    endpoint = _Endpoint(public_jwk(RSA_1, kid="rsa-1"))
    verifier = _verifier(endpoint, ttl=_TTL)
    old, new = rs256(), _by(RSA_2, "rsa-1")
    assert [await _verdict(verifier, token) for token in (old, new)] == ["accepted", "TokenError"]
    endpoint.publish(public_jwk(RSA_2, kid="rsa-1"))
    await asyncio.sleep(_TTL + 0.01)
    assert [await _verdict(verifier, token) for token in (old, new)] == ["TokenError", "accepted"]


@pytest.mark.parametrize("how", ["lifetime", "unknown kid"])
async def test_a_cached_verdict_does_not_outlive_its_key(how: str) -> None:
    """Rows 146 and 172: the very token that was accepted is refused once its key is gone."""
    endpoint = _Endpoint(public_jwk(RSA_1, kid="rsa-1"), public_jwk(EC_1, kid="ec-1"))
    verifier = _verifier(endpoint, ttl=_TTL if how == "lifetime" else None)
    token = rs256()
    for _ in range(3):
        assert await _verdict(verifier, token) == "accepted"
    endpoint.publish(public_jwk(EC_1, kid="ec-1"))
    if how == "lifetime":
        await asyncio.sleep(_TTL + 0.01)
    else:
        assert await _verdict(verifier, _by(RSA_ATTACKER, "canary-kid")) == "TokenError"
    assert await _verdict(verifier, token) == "TokenError"
    assert await _verdict(verifier, plain("ES256")) == "accepted"


async def test_a_cached_verdict_does_not_outlive_its_configuration() -> None:
    """Row 172, CVE-2026-107721: two verifiers share nothing, even with one endpoint."""
    endpoint = _Endpoint()
    token = rs256()
    assert await _verdict(_verifier(endpoint), token) == "accepted"
    assert await _verdict(_verifier(endpoint, audience="https://other.example"), token) == "TokenError"
    assert await _verdict(_verifier(endpoint), token) == "accepted"


async def test_a_hundred_at_once_without_keys_make_one_fetch() -> None:
    """Row 147, CVE-2026-101917."""
    endpoint = _Endpoint(seconds=0.1)
    gate = _gate(_verifier(endpoint))
    answers = await asyncio.gather(*(ask(gate, bearer(rs256()), Sign.ACCEPT) for _ in range(100)))
    assert [wrong for answer in answers for wrong in answer] == []
    assert len(endpoint.fetched) == 1


async def test_a_hundred_as_the_lifetime_ends_make_one_fetch_and_nobody_waits() -> None:
    """Row 147: the set is refreshed before its end, beside the requests."""
    ttl = 3.0
    endpoint = _Endpoint()
    verifier = _verifier(endpoint, caching=KeyCaching(ttl=ttl, least_ttl=ttl, most_ttl=ttl, stale_wait=2.0))
    gate = _gate(verifier)
    assert await ask(gate, bearer(rs256()), Sign.ACCEPT) == []
    tokens = [bearer(rs256()) for _ in range(100)]
    endpoint.seconds = 3.0
    while len(endpoint.fetched) < 2:
        await asyncio.sleep(0.02)
        start = perf_counter()
        assert await ask(gate, tokens[0], Sign.ACCEPT) == []
        assert perf_counter() - start < 1.5
        await asyncio.sleep(0)
    start = perf_counter()
    answers = await asyncio.gather(*(ask(gate, token, Sign.ACCEPT) for token in tokens))
    assert perf_counter() - start < 1.5
    assert [wrong for answer in answers for wrong in answer] == []
    assert len(endpoint.fetched) == 2
    await verifier.aclose()


async def test_a_fetch_that_never_ends_holds_nobody_for_long() -> None:
    """Row 144, and a `fetch` of the user's that does not keep to its time-out; once it answers, all is well."""
    endpoint = _Endpoint(seconds=60.0)
    caching = KeyCaching(timeout=0.2)
    verifier = _verifier(endpoint, caching=caching)
    start = perf_counter()
    verdicts = await asyncio.gather(*(_verdict(verifier, rs256()) for _ in range(20)))
    assert set(verdicts) == {"KeysUnavailable"}
    assert perf_counter() - start < 0.2 + 0.6
    endpoint.seconds = 0.0
    for _ in range(40):
        if await _verdict(verifier, rs256()) == "accepted":
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("still refused after 2 s")
    await verifier.aclose()


async def test_cancelled_requests_do_not_take_the_fetch_with_them() -> None:
    """The first of those who wait gives up; the others get their keys."""
    endpoint = _Endpoint(seconds=0.1)
    verifier = _verifier(endpoint)
    waiting = [asyncio.create_task(_verdict(verifier, rs256())) for _ in range(5)]
    await asyncio.sleep(0.02)
    waiting[0].cancel()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == ["accepted"] * 4
    assert len(endpoint.fetched) == 1


async def test_a_published_private_key_is_never_told(caplog: pytest.LogCaptureFixture) -> None:
    """Row 148, RFC 7517 section 9.2: its public half is used, or it is left out; no 500, nothing of it in the log."""
    caplog.set_level(logging.DEBUG)
    members = [
        private_jwk(RSA_1, kid="rsa-1"),
        private_jwk(RSA_2, kid="rsa-2") | {"p": "AA", "q": "not base64url!"},
        private_jwk(EC_1, kid="ec-1"),
        private_jwk(ED_1, kid="ed-1") | {"d": private_jwk(RSA_1)["d"]},
    ]
    endpoint = _Endpoint(*members)
    gate = _gate(_verifier(endpoint))
    for alg in CONTROLS:
        assert (await http(gate.app, token=plain(alg))).status in {200, 401}
    assert (await http(gate.app, token=_by(RSA_ATTACKER, "rsa-1"))).status == 401
    said = caplog.text + repr([record.__dict__ for record in caplog.records])
    found = [
        name
        for member in members
        for name in ("d", "p", "dp")
        if len(member.get(name, "")) > 8 and member[name] in said
    ]
    assert found == []


def _wave(name: str, count: int) -> list[str]:
    """As many good tokens as bad ones, no two alike."""
    good = [
        sign(EC_1, header(alg="ES256", kid="ec-1"), claims(sub=f"{name}-{number}"), "ES256") for number in range(count)
    ]
    forged = [sign(EC_ATTACKER, header(alg="ES256", kid="ec-1"), claims(), "ES256") for _ in range(count // 2)]
    unknown = [
        sign(EC_ATTACKER, header(alg="ES256", kid=f"{name}-{number}", ext=name * 20), claims(), "ES256")
        for number in range(count // 2)
    ]
    return [*good, *forged, *unknown]


@pytest.mark.parametrize("token_cache", [0, 160])
async def test_ever_new_tokens_do_not_fill_the_memory(token_cache: int) -> None:
    """Row 171, CWE-770: once the bounded caches have what they take, nothing grows; of bad tokens nothing is kept."""
    endpoint = _Endpoint()
    verifier = _verifier(endpoint, token_cache=token_cache)
    waves = [_wave(f"wave-{number}", 500) for number in range(2)]
    sizes = []
    tracemalloc.start()
    try:
        for wave in waves:
            for token in wave:
                await _verdict(verifier, token)
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    sent = sum(len(token) for token in waves[1])
    assert sizes[1] - sizes[0] < sent / 20, f"{sizes[1] - sizes[0]} bytes are left of {sent}"
    assert len(endpoint.fetched) <= 3


async def test_a_bad_token_is_refused_every_time() -> None:
    """Nothing about a refusal is remembered to the token's advantage."""
    verifier = _verifier(_Endpoint())
    token = _by(RSA_ATTACKER, "rsa-1")
    for _ in range(3):
        with pytest.raises(TokenError):
            await verifier.verify(token)


def test_the_corpus_document_holds_the_odd_members() -> None:
    """Otherwise its cases would prove little."""
    assert all(member in JWKS["keys"] for member in ODD_MEMBERS)
