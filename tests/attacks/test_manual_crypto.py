"""Attacks on what the crypto libraries do, which no single request shows."""

from __future__ import annotations

import gc
import hmac
import os
from types import ModuleType
from typing import Any

import pytest
from joserfc.jws import JWSRegistry

from jwt_asgi import JWTMiddleware, SharedSecret, StaticKeys
from tests.attacks.corpus.case import AUDIENCE, ISSUER, Sign, bearer
from tests.attacks.corpus.jws import PrivateKey, b64, claims, header, hmac_sign, sign, unb64
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


def _texts_within(root: object) -> set[str]:
    """Every text that can be reached from an object: what a dump of the process would hold of it."""
    seen, texts, left = {id(root)}, set[str](), [root]
    while left:
        thing = left.pop()
        if isinstance(thing, str):
            texts.add(thing)
        elif not isinstance(thing, (type, ModuleType)):
            inner = [part for part in gc.get_referents(thing) if id(part) not in seen]
            seen.update(map(id, inner))
            left += inner
    return texts


@pytest.mark.parametrize("alg", _PAIRS)
def test_nothing_of_a_published_private_key_is_kept(alg: str) -> None:
    """RFC 7517 section 9.2: what is not kept cannot leak."""
    published: dict[str, Any] = private_jwk(_PAIRS[alg][0], kid="k")
    keys = StaticKeys({"keys": [published]})
    gate = _gate(keys, alg)
    texts = _texts_within(gate.app)
    assert published.get("n", published.get("x")) in texts, "the walk has not come to the keys"
    assert [name for name in ("d", "p", "q", "dp", "dq", "qi") if published.get(name, "") in texts - {""}] == []


@pytest.mark.parametrize("alg", _PAIRS)
async def test_a_signature_of_another_length_is_refused_whatever_the_crypto_library_says(
    alg: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 8017 section 8.2.2 step 1, RFC 7518 section 3.4: what it takes for granted is not left to it."""
    monkeypatch.setattr(JWSRegistry.algorithms[alg], "verify", lambda *_: True)
    gate = _gate(StaticKeys({"keys": [public_jwk(_PAIRS[alg][0], kid="k")]}), alg)
    signed, _, signature = sign(_PAIRS[alg][1], header(alg=alg, kid="k"), claims(), alg).rpartition(".")
    raw = unb64(signature)
    assert await ask(gate, bearer(f"{signed}.{b64(raw)}"), Sign.ACCEPT) == []
    for other in (raw[:-1], raw[1:], raw + b"\0", b"\0" + raw, raw * 2, b""):
        assert await ask(gate, bearer(f"{signed}.{b64(other)}"), Sign.M) == []
