"""What an access token costs beside its signature, and with its session in a database."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from benchmarks._databases import ISSUER, TOGETHER, PostgreSQLServer, SQLiteFile, new_session
from benchmarks._kit import Figure, told
from benchmarks._traffic import Found
from jwt_asgi.issuer.claims import AccessTokens, TokenContext
from jwt_asgi.issuer.signing import SigningKey

__all__ = ["RAW", "issue", "issue_and_keep"]

_BATCH = 20
_CONTENT = 500
"""Bytes that are signed: as many as the tokens here have."""


def _es256() -> Callable[[bytes], bytes]:
    key, scheme = ec.generate_private_key(ec.SECP256R1()), ec.ECDSA(hashes.SHA256())
    return lambda content: key.sign(content, scheme)


def _rs256() -> Callable[[bytes], bytes]:
    key, scheme, hash_ = rsa.generate_private_key(65537, 2048), padding.PKCS1v15(), hashes.SHA256()
    return lambda content: key.sign(content, scheme, hash_)


RAW: dict[str, Callable[[], Callable[[bytes], Any]]] = {
    "ES256": _es256,
    "EdDSA": lambda: ed25519.Ed25519PrivateKey.generate().sign,
    "RS256": _rs256,
}


def issue(arguments: argparse.Namespace) -> list[Figure]:
    """Tokens per second, in a share of the signatures per second that there could be."""
    algorithms = arguments.algorithms.split(",")
    return [figure for alg in algorithms for figure in asyncio.run(_issue(alg, arguments.seconds))]


async def _issue(alg: str, seconds: float) -> list[Figure]:
    sign, key, tokens = RAW[alg](), SigningKey.new(alg), AccessTokens(issuer=ISSUER)
    context = TokenContext.of_session(new_session(1, time.time()))
    content = b"x" * _CONTENT
    raw: list[float] = []
    ours: list[float] = []
    end = time.perf_counter() + seconds
    while not raw or time.perf_counter() < end:
        began = time.perf_counter()
        for _ in range(_BATCH):
            sign(content)
        between = time.perf_counter()
        for _ in range(_BATCH):
            await tokens.issue(context, key, 1_800_000_000.0)
        raw.append(between - began)
        ours.append(time.perf_counter() - between)
    share = median(one / other for one, other in zip(raw, ours, strict=True))
    return [
        told(f"{alg}: signatures alone", _BATCH / median(raw), "/s"),
        told(f"{alg}: tokens", _BATCH / median(ours), "/s"),
        told(f"{alg}: share of the signatures alone", 100 * share, "%"),
    ]


async def issue_and_keep(database: SQLiteFile | PostgreSQLServer, arguments: argparse.Namespace) -> list[Figure]:
    """Sessions per second, each kept and with its first access token."""
    algorithms = arguments.algorithms.split(",")
    return [figure for alg in algorithms for figure in await _keep(alg, database, arguments.seconds / 2)]


async def _keep(alg: str, database: SQLiteFile | PostgreSQLServer, seconds: float) -> list[Figure]:
    sign, key, tokens, found = RAW[alg](), SigningKey.new(alg), AccessTokens(issuer=ISSUER), Found()
    limit = _rate(lambda: sign(b"x" * _CONTENT), seconds / 10)
    began = time.perf_counter()

    async def client() -> None:
        while (now := time.perf_counter()) < began + seconds:
            session = new_session(len(found.took), time.time())
            await database.store.add_session(session)
            await tokens.issue(TokenContext.of_session(session), key, time.time())
            found.took.append(time.perf_counter() - now)

    await asyncio.gather(*(client() for _ in range(TOGETHER)))
    found.seconds = time.perf_counter() - began
    what = f"{alg}, with its session"
    share = told(f"{what}: share of the signatures alone", 100 * found.rate / limit, "%")
    return [told(what, found.rate, "/s"), share, *found.figures(what)]


def _rate(call: Callable[[], Any], seconds: float) -> float:
    """Calls per second."""
    done, began = 0, time.perf_counter()
    while done == 0 or time.perf_counter() < began + seconds:
        call()
        done += 1
    return done / (time.perf_counter() - began)
