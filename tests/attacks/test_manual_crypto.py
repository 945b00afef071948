"""Attacks on what the crypto libraries do, which no single request shows."""

from __future__ import annotations

import hmac
import os

import pytest

from jwt_asgi import JWTMiddleware, SharedSecret, StaticKeys
from tests.attacks.corpus.case import AUDIENCE, ISSUER, Sign, bearer
from tests.attacks.corpus.jws import PrivateKey, claims, header, hmac_sign, sign
from tests.attacks.corpus.keyring import (
    EC_1,
    EC_ATTACKER,
    ED_1,
    ED_ATTACKER,
    RSA_1,
    RSA_ATTACKER,
    private_jwk,
    public_jwk,
)
from tests.attacks.judge import Gate, ask


def _gate(keys: SharedSecret | StaticKeys, *algorithms: str) -> Gate:
    gate = Gate()
    gate.app = JWTMiddleware(gate.inner, issuer=ISSUER, audience=AUDIENCE, algorithms=algorithms, keys=keys)
    return gate


async def test_an_hmac_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """CVE-2016-7036: an `==` tells, by the time that it takes, how much of a guess is right."""
    compared: list[bool] = []
    compare = hmac.compare_digest

    def watched(one: bytes, other: bytes) -> bool:
        compared.append(compare(one, other))
        return compared[-1]

    monkeypatch.setattr(hmac, "compare_digest", watched)
    secret = os.urandom(32)
    gate = _gate(SharedSecret(secret), "HS256")
    good, forged = (hmac_sign(key, header(alg="HS256"), claims()) for key in (secret, os.urandom(32)))
    assert await ask(gate, bearer(good), Sign.ACCEPT) == []
    assert await ask(gate, bearer(forged), Sign.T) == []
    assert compared == [True, False]


_PAIRS: dict[str, tuple[PrivateKey, PrivateKey]] = {
    "EdDSA": (ED_1, ED_ATTACKER),
    "ES256": (EC_1, EC_ATTACKER),
    "RS256": (RSA_1, RSA_ATTACKER),
}


@pytest.mark.parametrize("alg", _PAIRS)
async def test_a_published_key_whose_private_half_is_another_s_verifies_for_the_public_half_alone(alg: str) -> None:
    """CVE-2026-102275: a thief's `d` beside the victim's `x` must not make the thief's signatures good."""
    victim, thief = _PAIRS[alg]
    halves = {**private_jwk(thief, kid="k"), **public_jwk(victim)}
    gate = _gate(StaticKeys({"keys": [halves]}), alg)
    head = header(alg=alg, kid="k")
    assert await ask(gate, bearer(sign(thief, head, claims(), alg)), Sign.T) == []
    assert await ask(gate, bearer(sign(victim, head, claims(), alg)), Sign.ACCEPT) == []
