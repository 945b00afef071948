"""Rows 138 to 145: a JWKS endpoint that fails, on a real socket, before and after the keys were once fetched."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

import pytest

from jwt_asgi import JWTMiddleware, KeyCaching, TrustedIssuer, Verifier
from jwt_asgi._keys.fetch import HttpxFetch
from tests.asgi import Answer, http
from tests.attacks.corpus.case import ALGORITHMS, AUDIENCE, ISSUER, Sign, bearer
from tests.attacks.corpus.jws import claims, header, sign
from tests.attacks.corpus.keyring import RSA_ATTACKER, jwks_body, public_jwk, rs256
from tests.attacks.judge import Gate, ask
from tests.attacks.jwks_server import FAULTS, GOOD, Fault, JwksServer, jwks_server

_CATALOGUE = """
    http-500 http-503 http-429 http-404 http-401 http-204 http-304 http-206 error-with-keys
    redirect-elsewhere redirect-permanent redirect-loop redirect-file redirect-gopher
    html empty-body not-json utf16 bad-utf8 nan dup-keys deep bignum
    array null string no-keys keys-null keys-object keys-string members-odd only-oct keys-empty
    huge gzip-bomb gzip-broken many-keys hang drip cut reset
    cache-negative cache-no-store cache-huge wrong-type
"""
_TIMEOUT = 0.6
_STALE_WAIT = 0.2
_TTL = 0.05
_MARGIN = 1.0
"""For a busy machine."""
# The time-out is out of reach here, so that whoever waits for it is found out.
_SHORT = KeyCaching(ttl=_TTL, least_ttl=_TTL, most_ttl=_TTL, stale_wait=_STALE_WAIT, timeout=3.0)
_LONG = KeyCaching(timeout=_TIMEOUT)
_FETCH = HttpxFetch()
"""The default, made once: its TLS context is dear."""


@asynccontextmanager
async def _door(server: JwksServer, caching: KeyCaching) -> AsyncIterator[Gate]:
    gate = Gate()
    issuer = TrustedIssuer(
        issuer=ISSUER,
        audience=AUDIENCE,
        algorithms=ALGORITHMS,
        jwks_uri=server.uri,
        key_caching=caching,
        fetch=_FETCH,
    )
    async with Verifier(issuer) as verifier:
        gate.app = JWTMiddleware(gate.inner, verifier=verifier)
        yield gate


async def _timed(gate: Gate, token: str) -> tuple[Answer, float]:
    start = perf_counter()
    answer = await http(gate.app, token=token)
    return answer, perf_counter() - start


def _unavailable(answer: Answer) -> bool:
    after = answer.header("retry-after")
    return answer.status == 401 or (answer.status == 503 and after is not None and 1 <= int(after) <= 300)


def test_every_fault_of_the_catalogue_is_there() -> None:
    """And none is there twice."""
    assert sorted(FAULTS) == sorted(_CATALOGUE.split())


@pytest.mark.parametrize("name", FAULTS)
async def test_without_keys_a_fault_of_the_endpoint_lets_nobody_in(name: str) -> None:
    """503 with Retry-After, within the time for one fetch; a fault that can be lived with is."""
    fault = FAULTS[name]
    async with jwks_server(fault) as server, jwks_server(_attackers_set()) as other, _door(server, _LONG) as gate:
        server.elsewhere = other.uri
        answer, seconds = await _timed(gate, rs256())
        assert seconds < _TIMEOUT + _MARGIN
        if fault.cold_accepts:
            assert (answer.status, len(gate.calls)) == (200, 1)
        else:
            assert _unavailable(answer)
            assert gate.calls == []
        forged, _ = await _timed(gate, sign(RSA_ATTACKER, header(), claims()))
        assert forged.status in {401, 503}
        assert other.requests == []
        # One more attempt is fair where there was no answer at all.
        assert len(server.requests) <= 2


@pytest.mark.parametrize("name", FAULTS)
async def test_with_old_keys_a_fault_of_the_endpoint_locks_nobody_out(name: str) -> None:
    """The set's lifetime is over: the first request may wait a little for news, the next not at all."""
    fault = FAULTS[name]
    async with jwks_server() as server, jwks_server(_attackers_set()) as other, _door(server, _SHORT) as gate:
        server.elsewhere = other.uri
        assert await ask(gate, bearer(rs256()), Sign.ACCEPT) == []
        server.answer_with(fault)
        await asyncio.sleep(_TTL + 0.01)
        allowed = {200, 401} if fault.warm_may_refuse else {200}
        first, waited = await _timed(gate, rs256())
        assert first.status in allowed
        assert waited < _STALE_WAIT + _MARGIN
        burst = await asyncio.gather(*(_timed(gate, rs256()) for _ in range(10)))
        assert {answer.status for answer, _ in burst} <= allowed
        assert max(seconds for _, seconds in burst) < _STALE_WAIT + _MARGIN
        forged, _ = await _timed(gate, sign(RSA_ATTACKER, header(), claims()))
        assert forged.status == 401
        assert other.requests == []


@pytest.mark.parametrize("name", ["huge", "gzip-bomb"])
async def test_an_endless_body_is_given_up_before_it_fills_the_memory(name: str) -> None:
    """CWE-409: 50 MB are sent, or would come of what is sent; the cap counts while inflating, not afterwards."""
    async with jwks_server(FAULTS[name]) as server, _door(server, _LONG) as gate:
        tracemalloc.start()
        try:
            answer, _ = await _timed(gate, rs256())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert _unavailable(answer)
    assert peak < 10_000_000


@pytest.mark.parametrize("name", FAULTS)
async def test_an_unknown_kid_met_by_a_fault_leaves_the_known_keys_alone(name: str) -> None:
    """The set is fresh, and a stranger's token makes the verifier ask again."""
    async with jwks_server() as server, _door(server, _LONG) as gate:
        server.elsewhere = "http://127.0.0.1:9/jwks"
        assert await ask(gate, bearer(rs256()), Sign.ACCEPT) == []
        server.answer_with(FAULTS[name])
        stranger, seconds = await _timed(gate, sign(RSA_ATTACKER, header(kid="canary-kid"), claims()))
        assert stranger.status == 401
        assert seconds < _TIMEOUT + _MARGIN
        known, seconds = await _timed(gate, rs256())
        assert known.status in ({200, 401} if FAULTS[name].warm_may_refuse else {200})
        assert seconds < _MARGIN


@pytest.mark.parametrize("name", ["http-500", "html", "cut"])
async def test_the_endpoint_recovers_and_so_do_we(name: str) -> None:
    """A fault must not be remembered for longer than the back-off, one second at first (Retry-After: see below)."""
    async with jwks_server(FAULTS[name]) as server, _door(server, _LONG) as gate:
        await _timed(gate, rs256())
        server.answer_with(GOOD)
        await asyncio.sleep(0)
        for _ in range(30):
            if (await _timed(gate, rs256()))[0].status == 200:
                return
            await asyncio.sleep(0.05)
        pytest.fail("still refused after 1.5 s")


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("7", 6, 7),
        ("0", 1, 2),
        ("1000000000", 299, 300),
        ("9" * 400, 1, 300),
        ("-5", 1, 2),
        ("soon", 1, 2),
        ("1e9", 1, 2),
    ],
)
async def test_retry_after_is_honoured_within_bounds(value: str, least: int, most: int) -> None:
    """It is passed on, and nobody asks the endpoint again before."""
    async with jwks_server(Fault(503, headers={"retry-after": value})) as server, _door(server, _LONG) as gate:
        answer, _ = await _timed(gate, rs256())
        assert answer.status == 503
        assert least <= int(answer.header("retry-after") or 0) <= most
        again, seconds = await _timed(gate, rs256())
        assert again.status == 503
        assert seconds < _MARGIN
        assert len(server.requests) == 1


@pytest.mark.parametrize("name", ["cache-negative", "cache-no-store", "cache-huge", "wrong-type"])
async def test_cache_control_makes_a_fetch_neither_per_request_nor_never(name: str) -> None:
    """RFC 9111 section 4.2, within bounds of our own."""
    bounds = KeyCaching(ttl=0.4, least_ttl=0.4, most_ttl=0.4, timeout=_TIMEOUT)
    async with jwks_server(FAULTS[name]) as server, _door(server, bounds) as gate:
        for _ in range(20):
            assert (await _timed(gate, rs256()))[0].status == 200
        assert len(server.requests) <= 2
        await asyncio.sleep(0.45)
        seen = len(server.requests)
        assert (await _timed(gate, rs256()))[0].status == 200
        assert len(server.requests) == seen + 1


async def test_an_unasked_not_modified_does_not_make_an_empty_set() -> None:
    """RFC 9110 section 15.4.5: there was nothing to compare with; later, with an ETag, there is."""
    async with jwks_server(Fault(headers={"etag": '"1"'})) as server, _door(server, _SHORT) as gate:
        assert (await _timed(gate, rs256()))[0].status == 200
        server.answer_with(FAULTS["http-304"])
        await asyncio.sleep(_TTL + 0.01)
        assert (await _timed(gate, rs256()))[0].status == 200


def _attackers_set() -> Fault:
    """Under the kid of a good key."""
    return Fault(body=lambda: jwks_body(public_jwk(RSA_ATTACKER, kid="rsa-1")))
