"""JWKS bytes -> KeySet: one odd member never spoils the set; header -> the keys that fit."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Generator
from typing import Any

import pytest
from joserfc.jwk import KeySet as JoserfcKeySet

from jwt_asgi import KeysUnavailable, Reason
from jwt_asgi._core.jwks import (
    MAC_BYTES,
    MAX_KEYS,
    KeySet,
    SkippedKey,
    VerifyKey,
    import_keys,
    parse_jwks,
    parsing,
    secret_key,
)
from jwt_asgi._core.signature import verify_signature
from jwt_asgi._core.token import parse_token
from tests.core.builders import public_jwk, signed, signing_key

# RFC 7638 section 3.1, with its thumbprint
RFC7638_KEY = {
    "kty": "RSA",
    "n": (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3okn"
        "jhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qM"
        "QvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJz"
        "KnqDKgw"
    ),
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}
RFC7638_THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
# RFC 8037 appendix A.2 and A.3
RFC8037_KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
RFC8037_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"

RSA = {"RS256": 256, "RS384": 256, "RS512": 256, "PS256": 256, "PS384": 256, "PS512": 256}


def number(value: int) -> str:
    return urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


def modulus(bits: int) -> str:
    """An odd number of exactly so many bits; nobody has the private key, and nobody needs it."""
    return number(2 ** (bits - 1) + 1)


def rsa(**members: Any) -> dict[str, Any]:
    return {"kty": "RSA", "n": modulus(2048), "e": "AQAB", **members}


def without(jwk: dict[str, Any], member: str) -> dict[str, Any]:
    return {name: value for name, value in jwk.items() if name != member}


def a_set(*members: object) -> KeySet:
    return parse_jwks(json.dumps({"keys": members}).encode())


def unusable(raw: bytes) -> KeysUnavailable:
    with pytest.raises(KeysUnavailable) as caught:
        parse_jwks(raw)
    assert caught.value.reason is Reason.KEYS_UNUSABLE
    return caught.value


def the_key(jwk: dict[str, Any]) -> VerifyKey:
    (key,) = a_set(jwk).keys
    return key


# --- good keys ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "kty", "algorithms"),
    [
        ("RSA", "RSA", RSA),
        ("P-256", "EC", {"ES256": 64}),
        ("P-384", "EC", {"ES384": 96}),
        ("P-521", "EC", {"ES512": 132}),
        ("secp256k1", "EC", {"ES256K": 64}),
        ("Ed25519", "OKP", {"Ed25519": 64, "EdDSA": 64}),
        ("Ed448", "OKP", {"Ed448": 114, "EdDSA": 114}),
    ],
)
def test_a_key_may_verify_what_its_type_fits(kind: str, kty: str, algorithms: dict[str, int]) -> None:
    key = the_key(public_jwk(kind, kid="key-1"))
    assert (key.kid, key.kty, key.algorithms) == ("key-1", kty, algorithms)


@pytest.mark.parametrize(
    ("jwk", "thumbprint"), [(RFC7638_KEY, RFC7638_THUMBPRINT), (RFC8037_KEY, RFC8037_THUMBPRINT)], ids=["RSA", "OKP"]
)
def test_a_thumbprint_is_that_of_rfc_7638(jwk: dict[str, Any], thumbprint: str) -> None:
    assert the_key(jwk).thumbprint == thumbprint


@pytest.mark.parametrize(
    ("kind", "alg", "algorithms"),
    [
        ("RSA", "RS256", {"RS256": 256}),
        ("RSA", "PS512", {"PS512": 256}),
        ("P-256", "ES256", {"ES256": 64}),
        ("Ed25519", "EdDSA", {"Ed25519": 64, "EdDSA": 64}),
        ("Ed25519", "Ed25519", {"Ed25519": 64, "EdDSA": 64}),
        ("Ed448", "EdDSA", {"Ed448": 114, "EdDSA": 114}),
        ("Ed448", "Ed448", {"Ed448": 114, "EdDSA": 114}),
    ],
)
def test_the_alg_of_a_key_narrows_it_but_eddsa_and_the_curve_are_one(
    kind: str, alg: str, algorithms: dict[str, int]
) -> None:
    assert the_key(public_jwk(kind, alg=alg)).algorithms == algorithms


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({}, id="nothing said"),
        pytest.param({"use": "sig"}, id="use"),
        pytest.param({"use": None}, id="use null"),
        pytest.param({"key_ops": ["verify"]}, id="key_ops"),
        pytest.param({"key_ops": ["sign", "verify"]}, id="key_ops with sign"),
        pytest.param({"key_ops": None}, id="key_ops null"),
        pytest.param({"alg": None}, id="alg null"),
        pytest.param({"kid": None}, id="kid null"),
        pytest.param({"x5t": None, "x5c": "junk", "x5u": 7, "x5t#S256": []}, id="certificate members that are junk"),
        pytest.param({"ext": True, "iat": 1, "nbf": 9e99, "issuer": {}}, id="members that nobody knows"),
        pytest.param({"d": "junk", "p": 7, "oth": []}, id="private members that are junk"),
    ],
)
def test_a_good_key_is_used_whatever_else_it_says(members: dict[str, Any]) -> None:
    assert the_key(rsa(**members)).algorithms == RSA


@pytest.mark.parametrize("kind", ["RSA", "P-256", "Ed25519"])
def test_of_a_private_key_the_public_half_alone_is_taken(kind: str) -> None:
    private = signing_key(kind).as_dict(private=True)
    assert "d" in private
    key = the_key(private)
    assert not key.key.is_private
    assert "d" not in key.key.as_dict()


@pytest.mark.parametrize(("bits", "size"), [(2048, 256), (2049, 257), (3072, 384), (4096, 512), (8192, 1024)])
def test_rsa_moduli_from_2048_to_8192_bits_are_taken(bits: int, size: int) -> None:
    assert the_key(rsa(n=modulus(bits))).algorithms["RS256"] == size


@pytest.mark.parametrize("exponent", [3, 17, 65537, 2**32 - 1])
def test_odd_rsa_exponents_from_3_below_2_to_the_32_are_taken(exponent: int) -> None:
    assert the_key(rsa(e=number(exponent))).kty == "RSA"


# Edwards curves a x^2 + y^2 = 1 + d x^2 y^2: prime, a, d, cofactor, and the bytes of a point (RFC 8032 section 5)
EDWARDS = {
    "Ed25519": (P25519 := 2**255 - 19, -1, -121665 * pow(121666, -1, P25519), 8, 32),
    "Ed448": (P448 := 2**448 - 2**224 - 1, 1, -39081, 4, 57),
}
ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
OF_ORDER_8 = [int.from_bytes(ORDER_8, "little"), P25519 - int.from_bytes(ORDER_8, "little")]
SMALL_ORDERS = {"Ed25519": [0, 1, P25519 - 1, *OF_ORDER_8], "Ed448": [0, 1, P448 - 1]}


def abscissas(curve: str, y: int) -> set[int]:
    """Every x of a point with this y."""
    prime, a, d, _, _ = EDWARDS[curve]
    square = (1 - y * y) * pow(a - d * y * y, -1, prime) % prime
    root = pow(square, (prime + 3) // 8 if prime % 8 == 5 else (prime + 1) // 4, prime)
    roots = {root, -root % prime} | ({root * pow(2, (prime - 1) // 4, prime) % prime} if prime % 8 == 5 else set())
    return {x for root in roots for x in (root, -root % prime) if x * x % prime == square}


@pytest.mark.parametrize("curve", EDWARDS)
def test_all_points_of_small_order_are_known_here(curve: str) -> None:
    """There are as many as the cofactor says, and as many doublings as it has factors lead from each to (0, 1)."""
    prime, a, d, cofactor, _ = EDWARDS[curve]
    points = [(x, y) for y in SMALL_ORDERS[curve] for x in abscissas(curve, y)]
    assert len(set(points)) == cofactor
    for _ in range(cofactor.bit_length() - 1):
        doubled = []
        for x, y in points:
            t = d * x * x * y * y
            double_x, double_y = 2 * x * y * pow(1 + t, -1, prime), (y * y - a * x * x) * pow(1 - t, -1, prime)
            doubled.append((double_x % prime, double_y % prime))
        points = doubled
    assert set(points) == {(0, 1)}


# Decoders differ on a y that is not reduced, and on the sign of an x that is 0
SPELLED = [
    (curve, sign, y + more)
    for curve, ordinates in SMALL_ORDERS.items()
    for sign in (0, 1)
    for y in ordinates
    for more in (0, EDWARDS[curve][0])
    if y + more < 1 << 8 * EDWARDS[curve][4] - 1
]


@pytest.mark.parametrize(("curve", "sign", "y"), SPELLED, ids=[f"{curve} {sign} {y:x}" for curve, sign, y in SPELLED])
def test_a_point_of_small_order_is_no_key_as_anybody_can_sign_for_it(curve: str, sign: int, y: int) -> None:
    size = EDWARDS[curve][4]
    text = urlsafe_b64encode((y | sign << 8 * size - 1).to_bytes(size, "little")).rstrip(b"=").decode()
    found = a_set(RFC7638_KEY, {"kty": "OKP", "crv": curve, "x": text})
    assert [key.kty for key in found.keys] == ["RSA"]
    assert [skipped.why for skipped in found.skipped] == [
        "its point is of small order, so that anybody can sign for it"
    ]


@pytest.mark.parametrize("kid", ["k", "k" * 256, "é" * 256, " ", "\u0000"])
def test_a_kid_is_any_string_of_1_to_256_characters(kid: str) -> None:
    assert the_key(rsa(kid=kid)).kid == kid


@pytest.mark.parametrize(
    ("members", "issuer"),
    [
        ({}, None),
        ({"issuer": None}, None),
        ({"issuer": "https://issuer.test/a"}, "https://issuer.test/a"),
        ({"issuer": "https://issuer.test/{tenantid}"}, "https://issuer.test/{tenantid}"),
        ({"issuer": ""}, ""),
        ({"issuer": 7}, ""),
        ({"issuer": False}, ""),
        ({"issuer": ["https://issuer.test/a"]}, ""),
        ({"issuer": {}}, ""),
    ],
)
def test_a_key_may_say_whose_it_is_and_what_is_no_text_names_nobody(
    members: dict[str, Any], issuer: str | None
) -> None:
    key = the_key(rsa(**members))
    assert key.issuer == issuer
    assert key.algorithms == RSA


@pytest.mark.parametrize("kind", ["RSA", "P-256", "Ed25519"])
def test_a_published_private_key_is_noticed_and_named(kind: str) -> None:
    private, public = signing_key(kind).as_dict(private=True), public_jwk(kind, 2, kid="good")
    assert a_set(public, {**private, "kid": "leaked"}).private == ("leaked",)
    (key,) = a_set(private).keys
    assert key.private
    assert a_set(private).private == (key.thumbprint,)
    assert a_set(public).private == ()


# --- in steps, from what is at hand ---------------------------------------------------------------------------------


def stepped(steps: Generator[None, None, KeySet]) -> tuple[int, KeySet]:
    """How many steps there were, and what came of them."""
    number_of_steps = 0
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return number_of_steps, done.value
        number_of_steps += 1


def raw_set(*members: object) -> bytes:
    return json.dumps({"keys": members}).encode()


def test_a_set_is_read_in_steps_of_one_key_the_unusable_ones_too() -> None:
    steps, keys = stepped(parsing(raw_set(rsa(kid="a"), 7, {"kty": "oct"}, rsa(kid="b"))))
    assert steps == 4
    assert [key.kid for key in keys.keys] == ["a", "b"]
    assert len(keys.skipped) == 2


def test_a_key_whose_member_is_the_same_is_not_imported_again() -> None:
    old = a_set(rsa(kid="a"), rsa(kid="b", n=modulus(3072)))
    _, new = stepped(parsing(raw_set(rsa(kid="b", n=modulus(3072)), rsa(kid="a"), rsa(kid="c")), old.keys))
    assert [key.kid for key in new.keys] == ["b", "a", "c"]
    assert new.keys[0] is old.keys[1]
    assert new.keys[1] is old.keys[0]


@pytest.mark.parametrize(
    "change",
    [{"use": "enc"}, {"alg": "RS384"}, {"issuer": "https://x.test"}, {"n": modulus(3072)}, {"d": "AQAB"}, {"x": 1}],
)
def test_a_key_whose_member_has_changed_in_anything_is_imported_anew(change: dict[str, Any]) -> None:
    good = public_jwk("RSA", 2, kid="good")
    old = a_set(rsa(kid="a"), good)
    _, new = stepped(parsing(raw_set(good, rsa(kid="a") | change), old.keys))
    assert old.keys[0] not in new.keys
    assert new.keys == a_set(good, rsa(kid="a") | change).keys[:1] + new.keys[1:]
    assert len(new.keys) == (1 if "use" in change else 2)


def test_the_order_of_its_members_is_no_change_of_a_key() -> None:
    old = a_set(rsa(kid="a"))
    member = dict(reversed(rsa(kid="a").items()))
    _, new = stepped(parsing(raw_set(member), old.keys))
    assert new.keys[0] is old.keys[0]


def test_what_is_not_imported_again_keeps_its_key_object_also_where_the_set_has_unusable_members() -> None:
    members = [7, rsa(kid="a"), {"kty": "oct"}, {**P256, "kid": "b"}, rsa(kid="c", e="AQ")]
    old = a_set(*members)
    steps, new = stepped(parsing(raw_set(*members, rsa(kid="d")), old.keys))
    assert steps == len(members) + 1
    assert [key.kid for key in new.keys] == ["a", "b", "d"]
    assert all(one.key is other.key for one, other in zip(new.keys, old.keys, strict=False))
    assert new.skipped == old.skipped


def test_what_is_at_hand_and_no_longer_published_is_not_in_the_set() -> None:
    _, new = stepped(parsing(raw_set(rsa(kid="b")), a_set(rsa(kid="a")).keys))
    assert [key.kid for key in new.keys] == ["b"]


def test_a_secret_at_hand_stands_for_no_published_member() -> None:
    # its digest is empty
    _, new = stepped(parsing(raw_set(rsa(kid="a")), secret_key(b"s" * 32, ["HS256"]).keys))
    assert [key.kty for key in new.keys] == ["RSA"]


# --- faults, each beside a good key ---------------------------------------------------------------------------------

USE = "its use is not sig"
OPERATIONS = "its key_ops does not hold verify"
KTY = "its kty is none of RSA, EC, OKP"
KID = "its kid is not a string of 1 to 256 characters"
ALG = "its alg does not fit its type"
EXPONENT = "its exponent is not an odd number from 3 to 2^32"
CURVE = "its curve is none that signs"
STRINGS = "its parameters are not strings"
PARAMETERS = "its parameters are not those of a key"
P256 = {
    "kty": "EC",
    "crv": "P-256",
    # RFC 7515 appendix A.3
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
FAULTS = [
    pytest.param(7, "it is not an object", id="a number"),
    pytest.param(None, "it is not an object", id="null"),
    pytest.param("key", "it is not an object", id="a string"),
    pytest.param([RFC7638_KEY], "it is not an object", id="an array"),
    pytest.param({}, KTY, id="an empty object"),
    pytest.param(rsa(kty=None), KTY, id="kty null"),
    pytest.param(rsa(kty=7), KTY, id="kty of a number"),
    pytest.param(rsa(kty=["RSA"]), KTY, id="kty of an array"),
    pytest.param(rsa(kty="rsa"), KTY, id="kty in another case"),
    pytest.param(rsa(kty="AKP"), KTY, id="kty of a new kind (ML-DSA)"),
    pytest.param({"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}, KTY, id="a symmetric key"),
    pytest.param({"kty": "oct", "k": "", "alg": "HS256"}, KTY, id="an empty symmetric key"),
    pytest.param(rsa(kid=7), KID, id="kid of a number"),
    pytest.param(rsa(kid=True), KID, id="kid of a bool"),
    pytest.param(rsa(kid=[]), KID, id="kid of an array"),
    pytest.param(rsa(kid=""), KID, id="an empty kid"),
    pytest.param(rsa(kid="k" * 257), KID, id="a kid that is too long"),
    pytest.param(rsa(use="enc"), USE, id="for encryption"),
    pytest.param(rsa(use="SIG"), USE, id="use in another case"),
    pytest.param(rsa(use=""), USE, id="an empty use"),
    pytest.param(rsa(use=7), USE, id="use of a number"),
    pytest.param(rsa(use=["sig"]), PARAMETERS, id="use of an array"),
    pytest.param(rsa(key_ops=["encrypt"]), OPERATIONS, id="key_ops of encryption"),
    pytest.param(rsa(key_ops=["sign"]), OPERATIONS, id="key_ops of signing alone"),
    pytest.param(rsa(key_ops=[]), OPERATIONS, id="empty key_ops"),
    pytest.param(rsa(key_ops="verify"), OPERATIONS, id="key_ops of a string"),
    pytest.param(rsa(key_ops={"verify": 1}), OPERATIONS, id="key_ops of an object"),
    pytest.param(rsa(alg="ES256"), ALG, id="alg of another type"),
    pytest.param(rsa(alg="HS256"), ALG, id="alg of HMAC"),
    pytest.param(rsa(alg="none"), ALG, id="alg none"),
    pytest.param(rsa(alg="RSA-OAEP"), ALG, id="alg of encryption"),
    pytest.param(rsa(alg=""), ALG, id="an empty alg"),
    pytest.param(rsa(alg=7), ALG, id="alg of a number"),
    pytest.param(rsa(alg=["RS256"]), ALG, id="alg of an array"),
    pytest.param({**P256, "alg": "ES384"}, ALG, id="alg of another curve"),
    pytest.param({**P256, "alg": "ES256K"}, ALG, id="alg of secp256k1 with P-256"),
    pytest.param({**RFC8037_KEY, "alg": "Ed448"}, ALG, id="alg of the other Edwards curve"),
    pytest.param({**RFC8037_KEY, "alg": "ES256"}, ALG, id="alg of a Weierstrass curve"),
    pytest.param(without(rsa(), "n"), PARAMETERS, id="RSA without n"),
    pytest.param(without(rsa(), "e"), PARAMETERS, id="RSA without e"),
    pytest.param(rsa(n=None), STRINGS, id="n null"),
    pytest.param(rsa(n=7), STRINGS, id="n of a number"),
    pytest.param(rsa(e=65537), STRINGS, id="e of a number"),
    pytest.param(rsa(e=["AQAB"]), STRINGS, id="e of an array"),
    pytest.param(rsa(n=""), "its modulus has 0 bits, not 2048 to 8192", id="an empty n"),
    pytest.param(rsa(n=RFC7638_KEY["n"] + "="), PARAMETERS, id="n padded"),
    pytest.param(rsa(n=RFC7638_KEY["n"] + " "), PARAMETERS, id="n with white space"),
    pytest.param(rsa(n=RFC7638_KEY["n"].replace("_", "/")), PARAMETERS, id="n in the other alphabet"),
    pytest.param(rsa(n=RFC7638_KEY["n"] + "é"), PARAMETERS, id="n beyond ASCII"),
    pytest.param(rsa(n=modulus(512)), "its modulus has 512 bits, not 2048 to 8192", id="512 bits"),
    pytest.param(rsa(n=modulus(1024)), "its modulus has 1024 bits, not 2048 to 8192", id="1024 bits"),
    pytest.param(rsa(n=modulus(2047)), "its modulus has 2047 bits, not 2048 to 8192", id="2047 bits"),
    pytest.param(rsa(n=modulus(8193)), "its modulus has 8193 bits, not 2048 to 8192", id="8193 bits"),
    pytest.param(rsa(n=modulus(16384)), "its modulus has 16384 bits, not 2048 to 8192", id="16384 bits"),
    pytest.param(rsa(n=modulus(100_000)), "its modulus has 100000 bits, not 2048 to 8192", id="100000 bits"),
    pytest.param(rsa(e=""), EXPONENT, id="an empty e"),
    pytest.param(rsa(e="AA"), EXPONENT, id="e of 0"),
    pytest.param(rsa(e="AQ"), EXPONENT, id="e of 1"),
    pytest.param(rsa(e="Ag"), EXPONENT, id="e of 2"),
    pytest.param(rsa(e=number(65536)), EXPONENT, id="an even e"),
    pytest.param(rsa(e=number(2**32 + 1)), EXPONENT, id="e past 2^32"),
    pytest.param(rsa(e=modulus(2048)), EXPONENT, id="e of the size of the modulus"),
    pytest.param(rsa(e="AQAB="), PARAMETERS, id="e padded"),
    pytest.param(without(P256, "crv"), PARAMETERS, id="EC without crv"),
    pytest.param(without(P256, "x"), PARAMETERS, id="EC without x"),
    pytest.param(without(P256, "y"), PARAMETERS, id="EC without y"),
    pytest.param({**P256, "crv": "P-192"}, CURVE, id="a curve of old"),
    pytest.param({**P256, "crv": "p-256"}, CURVE, id="crv in another case"),
    pytest.param({**P256, "crv": ""}, CURVE, id="an empty crv"),
    pytest.param({**P256, "crv": 7}, STRINGS, id="crv of a number"),
    pytest.param({**P256, "crv": ["P-256"]}, STRINGS, id="crv of an array"),
    pytest.param({**P256, "crv": "P-384"}, PARAMETERS, id="a point of another curve"),
    pytest.param({**P256, "crv": "secp256k1"}, PARAMETERS, id="a point of P-256 on secp256k1"),
    pytest.param({**P256, "crv": "Ed25519"}, PARAMETERS, id="EC with an Edwards curve"),
    pytest.param({**P256, "y": P256["x"]}, PARAMETERS, id="a point off the curve"),
    pytest.param({**P256, "x": "", "y": ""}, PARAMETERS, id="an empty point"),
    pytest.param({**P256, "x": "AA", "y": "AA"}, PARAMETERS, id="the point 0, 0"),
    pytest.param({**P256, "x": P256["x"] + "="}, PARAMETERS, id="x padded"),
    pytest.param({**P256, "x": 7}, STRINGS, id="x of a number"),
    pytest.param(without(RFC8037_KEY, "x"), PARAMETERS, id="OKP without x"),
    pytest.param({**RFC8037_KEY, "crv": "X25519"}, CURVE, id="a curve of key agreement"),
    pytest.param({**RFC8037_KEY, "crv": "X448"}, CURVE, id="the other curve of key agreement"),
    pytest.param({**RFC8037_KEY, "crv": "P-256"}, PARAMETERS, id="OKP with a Weierstrass curve"),
    pytest.param({**RFC8037_KEY, "crv": "Ed448"}, PARAMETERS, id="x of the other Edwards curve"),
    pytest.param({**RFC8037_KEY, "x": ""}, PARAMETERS, id="OKP with an empty x"),
    pytest.param({**RFC8037_KEY, "x": RFC8037_KEY["x"][:-2]}, PARAMETERS, id="x too short"),
    pytest.param({**RFC8037_KEY, "x": RFC8037_KEY["x"] + "="}, PARAMETERS, id="OKP with x padded"),
]


@pytest.mark.parametrize(("member", "why"), FAULTS)
def test_one_unusable_member_is_left_out_with_its_reason_and_never_spoils_the_set(member: Any, why: str) -> None:
    good = public_jwk("RSA", kid="good")
    token = parse_token(signed("RS256", signing_key("RSA"), {}, kid="good"))
    for keys in (a_set(member, good), a_set(good, member)):
        (key,) = keys.lookup("good", "RS256") or ()
        assert verify_signature(token, [key]).key is key
        assert keys.keys == (key,)
        assert [skipped.why for skipped in keys.skipped] == [why]
    assert unusable(json.dumps({"keys": [member]}).encode()).detail == f"no key of the set can be used: {why}"


@pytest.mark.parametrize("member", ["kid", "n", "e", "alg", "use", "kty", "x5t", "\ud800"])
def test_a_lone_surrogate_in_one_key_does_not_cost_the_others(member: str) -> None:
    keys = a_set(rsa(**{member: "\ud800"}), RFC7638_KEY)
    (found,) = keys.lookup("2011-04-29", "RS256") or ()
    assert found.thumbprint == RFC7638_THUMBPRINT
    assert len(keys.keys) + len(keys.skipped) == 2


def test_every_fault_at_once_leaves_the_good_keys() -> None:
    faults: list[Any] = [fault.values[0] for fault in FAULTS]
    keys = a_set(*faults, RFC7638_KEY, *reversed(faults), {**P256, "kid": "ec"})
    assert [key.kid for key in keys.keys] == ["2011-04-29", "ec"]
    assert len(keys.skipped) == 2 * len(faults)


@pytest.mark.parametrize(
    ("member", "kid"), [(rsa(kid="old", e="AQ"), "old"), (rsa(kid=7), None), (rsa(e="AQ"), None), ("key", None)]
)
def test_a_skipped_key_is_named_by_its_kid_where_it_has_one(member: Any, kid: str | None) -> None:
    (skipped,) = a_set(member, RFC7638_KEY).skipped
    assert skipped.kid == kid


@pytest.mark.parametrize("length", [256, 257, 400_000])
def test_the_kid_of_a_skipped_key_is_cut_off_as_no_issuer_may_write_a_book_into_a_log(length: int) -> None:
    skipped = a_set(rsa(kid="k" * length, use="enc"), rsa(kid="j" * length, e="AQ"), RFC7638_KEY).skipped
    assert [key.kid for key in skipped] == ["k" * 256, "j" * 256]


def test_a_skipped_key_does_not_answer_to_its_kid() -> None:
    assert a_set(rsa(kid="old", e="AQ"), RFC7638_KEY).lookup("old", "RS256") is None


@pytest.mark.parametrize(
    "member",
    [
        pytest.param({"kty": "EC", "crv": "P-192", "x": "AA", "y": "AA"}, id="an unknown curve"),
        pytest.param({**P256, "y": P256["x"]}, id="a point off the curve"),
        pytest.param(rsa(e="AQ"), id="e of 1"),
        pytest.param(rsa(x5t=None), id="x5t null"),
        pytest.param(without(rsa(), "n"), id="no n"),
    ],
)
def test_joserfc_itself_would_drop_the_whole_set(member: dict[str, Any]) -> None:
    # Why keys are imported one by one. Should this fail, joserfc has got better, and that is all.
    with pytest.raises(Exception):  # noqa: B017 - KeyError, ValueError and others
        JoserfcKeySet.import_key_set({"keys": [member, RFC7638_KEY]})  # type: ignore[list-item]


# --- the set --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html>", id="HTML"),
        pytest.param(b"[]", id="an array"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"keys"', id="a string"),
        pytest.param(b'\xef\xbb\xbf{"keys":[]}', id="a byte order mark"),
        pytest.param('{"keys":[]}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b'{"keys":[],"keys":[]}', id="keys twice"),
        pytest.param(b'{"keys":[NaN]}', id="NaN"),
        pytest.param(b'{"keys":' + b"[" * 100_000, id="very deep"),
        pytest.param(b"[" * 65 + b'"' + b'\\"' * 260_000, id="half a megabyte of escaped quotes"),
    ],
)
def test_what_is_not_strict_json_is_no_key_set(raw: bytes) -> None:
    assert "a JSON object in strict UTF-8" in unusable(raw).detail


@pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": {}}, {"keys": "RSA"}, {"key": []}, RFC7638_KEY])
def test_a_key_set_has_an_array_of_keys(document: dict[str, Any]) -> None:
    assert "an array `keys`" in unusable(json.dumps(document).encode()).detail


def test_an_empty_key_set_is_unusable() -> None:
    assert unusable(b'{"keys":[]}').detail == "no key of the set can be used: it is empty"


def test_the_reasons_of_an_unusable_set_are_each_named_once_in_order() -> None:
    raw = json.dumps({"keys": [rsa(use="enc"), 7, rsa(use="enc"), {"kty": "oct"}]}).encode()
    expected = f"no key of the set can be used: it is not an object; {KTY}; {USE}"
    assert unusable(raw).detail == expected


def test_256_keys_are_taken_and_not_one_more() -> None:
    assert MAX_KEYS == 256
    assert len(a_set(*(rsa(kid=f"{at}") for at in range(256))).keys) == 256
    too_many = json.dumps({"keys": [rsa(kid=f"{at}") for at in range(257)]}).encode()
    assert unusable(too_many).detail == "expected at most 256 keys; got 257"


def test_other_members_of_the_document_do_not_matter() -> None:
    assert parse_jwks(json.dumps({"keys": [RFC7638_KEY], "next": 7, "issuer": None}).encode()).keys


def test_a_document_that_is_parsed_already_is_imported_likewise() -> None:
    assert import_keys({"keys": [RFC7638_KEY]}).keys[0].thumbprint == RFC7638_THUMBPRINT


def test_the_document_is_left_alone() -> None:
    document = {"keys": [dict(RFC7638_KEY), 7]}
    import_keys(document)
    assert document == {"keys": [RFC7638_KEY, 7]}


# --- lookup ---------------------------------------------------------------------------------------------------------


def kids(found: tuple[VerifyKey, ...] | None) -> list[tuple[str | None, str]] | None:
    return None if found is None else [(key.kid, key.kty) for key in found]


MIXED = [
    public_jwk("RSA", 1, kid="rsa-1", alg="RS256"),
    public_jwk("RSA", 2, kid="rsa-2"),
    public_jwk("P-256", 1, kid="ec"),
    public_jwk("Ed25519", 1),
]


@pytest.mark.parametrize(
    ("kid", "alg", "expected"),
    [
        pytest.param("rsa-1", "RS256", [("rsa-1", "RSA")], id="kid and alg"),
        pytest.param("rsa-1", "PS256", [], id="the key is narrowed to another alg"),
        pytest.param("rsa-2", "PS256", [("rsa-2", "RSA")], id="the key is not narrowed"),
        pytest.param("ec", "RS256", [], id="the kid is of another type"),
        pytest.param("ec", "ES384", [], id="the kid is of another curve"),
        pytest.param("rsa-1", "HS256", [], id="HMAC with a public key"),
        pytest.param("rsa-1", "none", [], id="none"),
        pytest.param("new", "RS256", None, id="an unknown kid"),
        pytest.param("RSA-1", "RS256", None, id="a kid in another case"),
        pytest.param("", "RS256", None, id="an empty kid"),
        pytest.param(None, "RS256", [("rsa-1", "RSA"), ("rsa-2", "RSA")], id="no kid: all that fit"),
        pytest.param(None, "RS512", [("rsa-2", "RSA")], id="no kid: those that are not narrowed"),
        pytest.param(None, "EdDSA", [(None, "OKP")], id="no kid: a key without one"),
        pytest.param(None, "Ed25519", [(None, "OKP")], id="no kid: by the name of the curve"),
        pytest.param(None, "ES512", None, id="no kid, and no key fits"),
        pytest.param(None, "HS256", None, id="no kid, and HMAC"),
    ],
)
def test_lookup_gives_the_keys_that_fit(kid: str | None, alg: str, expected: list[Any] | None) -> None:
    assert kids(a_set(*MIXED).lookup(kid, alg)) == expected


def test_a_kid_that_several_keys_share_gives_all_of_them_that_fit() -> None:
    keys = a_set(
        public_jwk("RSA", 1, kid="same"),
        public_jwk("P-256", 1, kid="same"),
        public_jwk("RSA", 2, kid="same"),
        public_jwk("RSA", 2, kid="other"),
    )
    found = keys.lookup("same", "RS256")
    assert kids(found) == [("same", "RSA"), ("same", "RSA")]
    assert kids(keys.lookup("same", "ES256")) == [("same", "EC")]
    # the right one is the second
    token = parse_token(signed("RS256", signing_key("RSA", 2), {}, kid="same"))
    assert verify_signature(token, found or ()).key.thumbprint == signing_key("RSA", 2).thumbprint()


def test_the_same_key_twice_counts_once() -> None:
    keys = a_set(RFC7638_KEY, RFC7638_KEY, {**RFC7638_KEY, "x5t": "junk"})
    assert len(keys.keys) == 1
    assert len(keys.lookup(None, "RS256") or ()) == 1


def test_the_same_key_under_two_kids_or_two_algs_is_two() -> None:
    keys = a_set(RFC7638_KEY, {**RFC7638_KEY, "kid": "other"}, {**RFC7638_KEY, "alg": "PS256"})
    assert len(keys.keys) == 3
    assert kids(keys.lookup("2011-04-29", "PS256")) == [("2011-04-29", "RSA")]


def test_the_same_key_of_two_issuers_is_two() -> None:
    keys = a_set(RFC7638_KEY, {**RFC7638_KEY, "issuer": "https://a.test"}, {**RFC7638_KEY, "issuer": "https://b.test"})
    assert [key.issuer for key in keys.lookup("2011-04-29", "RS256") or ()] == [
        None,
        "https://a.test",
        "https://b.test",
    ]


def test_a_symmetric_key_is_never_found_in_a_published_set() -> None:
    keys = a_set({"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "mac", "alg": "HS256"}, RFC7638_KEY)
    assert keys.lookup("mac", "HS256") is None
    assert keys.lookup(None, "HS256") is None


# --- a shared secret ------------------------------------------------------------------------------------------------


def test_a_shared_secret_answers_to_no_kid_and_its_algorithms() -> None:
    keys = secret_key(b"s" * 64, ["HS256", "HS512"])
    (key,) = keys.lookup(None, "HS256") or ()
    assert (key.kid, key.kty, key.algorithms) == (None, "oct", {"HS256": 32, "HS512": 64})
    assert keys.lookup(None, "HS512") == (key,)
    assert keys.lookup(None, "HS384") is None
    assert keys.lookup("mac", "HS256") is None


def test_a_shared_secret_is_of_any_issuer_and_was_never_published() -> None:
    keys = secret_key(b"s" * 32, ["HS256"])
    (key,) = keys.keys
    assert (key.issuer, key.private, key.member) == (None, False, "")
    assert (keys.private, keys.skipped) == ((), ())


def test_nothing_tells_about_a_shared_secret() -> None:
    (key,) = secret_key(b"s3cret" * 12, ["HS256"]).keys
    assert key.thumbprint == ""
    assert repr(key) == "VerifyKey(kid=None, kty='oct', algorithms=['HS256'])"
    assert "s3cret" not in repr(key)


def test_macs_are_as_long_as_their_hash() -> None:
    assert MAC_BYTES == {"HS256": 32, "HS384": 48, "HS512": 64}


# --- values ---------------------------------------------------------------------------------------------------------


def test_a_key_shows_its_kid_type_and_algorithms() -> None:
    key = the_key(public_jwk("Ed25519", kid="ed"))
    assert repr(key) == "VerifyKey(kid='ed', kty='OKP', algorithms=['Ed25519', 'EdDSA'])"


def test_keys_cannot_be_changed() -> None:
    keys = a_set(RFC7638_KEY, 7)
    with pytest.raises(AttributeError):
        keys.keys[0].kid = "other"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        keys.skipped[0].why = ""  # type: ignore[misc]
    assert keys.skipped == (SkippedKey(None, "it is not an object"),)
