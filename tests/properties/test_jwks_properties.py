"""Whatever an issuer publishes, it is a key set, or KeysUnavailable."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jwt_asgi import KeysUnavailable, Reason
from jwt_asgi._core.jwks import KeySet, VerifyKey, parse_jwks, parsing
from tests.properties.strategies import JSON, examples

GOOD: list[dict[str, Any]] = [
    # RFC 7515 appendix A.3, RFC 8037 appendix A.2, and a modulus that nobody has the private key of
    {
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    },
    {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    {"kty": "RSA", "n": "g" + "A" * 340 + "Q", "e": "AQAB"},
]
BASE64 = st.text("ABCxyz019-_", max_size=90)
WORDS = st.sampled_from(
    [
        *("RSA", "EC", "OKP", "oct", "AKP", "P-256", "P-384", "P-521", "secp256k1", "Ed25519", "Ed448", "X25519"),
        *("sig", "enc", "verify", "RS256", "ES256", "EdDSA", "Ed448", "HS256", "AQAB", "AQ", "A" * 342),
    ]
)
MEMBERS = st.dictionaries(
    st.sampled_from(["kty", "crv", "x", "y", "n", "e", "d", "k", "kid", "use", "key_ops", "alg", "x5c", "x5t"]),
    WORDS | BASE64 | JSON,
    max_size=7,
)
BENT = st.builds(lambda good, odd: good | odd, st.sampled_from(GOOD), MEMBERS)
KEYS = st.one_of(JSON, MEMBERS, BENT, st.sampled_from(GOOD))
DOCUMENTS = st.one_of(JSON, st.fixed_dictionaries({"keys": JSON | st.lists(KEYS, max_size=5)}))


def read(raw: bytes) -> KeySet | None:
    """The key set, which holds a key, or None; any exception but KeysUnavailable fails the test."""
    try:
        keys = parse_jwks(raw)
    except KeysUnavailable as error:
        reason = error.reason
    else:
        assert keys.keys
        return keys
    assert reason is Reason.KEYS_UNUSABLE
    return None


@examples(80)
@given(st.binary() | st.text().map(str.encode) | DOCUMENTS.map(lambda document: json.dumps(document).encode()))
def test_any_bytes_are_a_key_set_or_keys_unavailable(raw: bytes) -> None:
    read(raw)


@examples(100)
@given(st.lists(KEYS, max_size=4))
def test_any_members_leave_a_good_key_beside_them_alone(members: list[Any]) -> None:
    good = {**GOOD[0], "kid": "the good one", "alg": "ES256"}
    keys = read(json.dumps({"keys": [*members, good]}).encode())
    assert keys is not None
    (key,) = keys.lookup("the good one", "ES256") or ()
    assert key.algorithms == {"ES256": 64}
    assert len(keys.keys) + len(keys.skipped) <= len(members) + 1


@examples(80)
@given(st.lists(BENT | KEYS, min_size=1, max_size=4))
def test_a_key_that_is_taken_is_public_asymmetric_and_of_a_good_size(members: list[Any]) -> None:
    keys = read(json.dumps({"keys": members}).encode())
    for key in keys.keys if keys else ():
        assert key.kty in {"RSA", "EC", "OKP"}
        assert not key.key.is_private
        assert key.thumbprint
        assert key.kid is None or 0 < len(key.kid) <= 256
        assert key.algorithms
        assert not {"none", "HS256", "HS384", "HS512"} & set(key.algorithms)
        assert min(key.algorithms.values()) >= 64
        if key.kty == "RSA":
            assert 256 <= min(key.algorithms.values()) <= 1024
        for alg in key.algorithms:
            assert keys is not None
            assert key in (keys.lookup(key.kid, alg) or ())
            assert key in (keys.lookup(None, alg) or ())


@examples(30)
@given(st.lists(st.sampled_from(GOOD), min_size=1, max_size=6), st.text(max_size=3), st.text(max_size=8))
def test_looking_up_anything_gives_keys_that_fit_or_none(members: list[Any], kid: str, alg: str) -> None:
    keys = read(json.dumps({"keys": [{**member, "kid": "a"} for member in members]}).encode())
    assert keys is not None
    found = keys.lookup(kid, alg)
    assert found is None if kid != "a" else all(alg in key.algorithms for key in found or ())


@examples(40)
@given(st.lists(BENT | KEYS, max_size=4), st.lists(BENT | KEYS, max_size=4))
def test_the_keys_at_hand_change_nothing_of_what_a_new_set_holds(old: list[Any], new: list[Any]) -> None:
    before, after = (read(json.dumps({"keys": [*members, GOOD[1]]}).encode()) for members in (old, new))
    assert before is not None
    assert after is not None
    steps = parsing(json.dumps({"keys": [*new, GOOD[1]]}).encode(), before.keys)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            found: KeySet = done.value
            break
    assert [(key, key.member) for key in map(told, found.keys)] == [(key, key.member) for key in map(told, after.keys)]
    assert found.skipped == after.skipped
    same = {key.member: key for key in before.keys}
    assert all(key is same[key.member] for key in found.keys if key.member in same)


def told(key: VerifyKey) -> VerifyKey:
    """All that is said of a key, without the object of the library."""
    return replace(key, key=None)  # type: ignore[arg-type]
