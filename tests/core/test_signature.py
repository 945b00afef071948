"""Untrusted + key -> Verified; the joserfc boundary."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import OctKey
from joserfc.jws import JWSRegistry

from jwt_asgi import Reason, TokenError
from jwt_asgi._core import signature as signature_module
from jwt_asgi._core.jwks import KeySet, VerifyKey, import_keys, secret_key
from jwt_asgi._core.policy import ASYMMETRIC_ALGORITHMS, SYMMETRIC_ALGORITHMS
from jwt_asgi._core.signature import MAX_CANDIDATES, own_keys, verify_signature
from jwt_asgi._core.token import Untrusted, parse_token
from tests.core.builders import a_policy, as_json, compact, public_jwk, segment, signed, signing_key

KINDS = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    "ES256": "P-256",
    "ES384": "P-384",
    "ES512": "P-521",
    "ES256K": "secp256k1",
    "Ed25519": "Ed25519",
    "Ed448": "Ed448",
    "EdDSA": "Ed25519",
}
ALL_KINDS = ("RSA", "P-256", "P-384", "P-521", "secp256k1", "Ed25519", "Ed448")
CLAIMS = {"sub": "user-1"}
SECRET = b"0123456789abcdef" * 4
# order of P-256, SEC 2 section 2.4.2
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def public(kind: str, number: int = 1, **members: Any) -> VerifyKey:
    return import_keys({"keys": [public_jwk(kind, number, **members)]}).keys[0]


def good(alg: str, kind: str | None = None, number: int = 1) -> Untrusted:
    return parse_token(signed(alg, signing_key(kind or KINDS[alg], number), CLAIMS))


def resigned(untrusted: Untrusted, signature: bytes) -> Untrusted:
    return parse_token(untrusted.signing_input + b"." + segment(signature))


def refused(untrusted: Untrusted, *keys: VerifyKey) -> Reason:
    with pytest.raises(TokenError) as caught:
        verify_signature(untrusted, keys)
    return caught.value.reason


def verifies(untrusted: Untrusted, *keys: VerifyKey) -> bool:
    try:
        verified = verify_signature(untrusted, keys)
    except TokenError:
        return False
    return verified.claims == untrusted.claims


# --- what joserfc must have -----------------------------------------------------------------------------------------


def test_joserfc_knows_every_algorithm_that_can_be_allowed() -> None:
    assert {*ASYMMETRIC_ALGORITHMS, *SYMMETRIC_ALGORITHMS} <= set(JWSRegistry.algorithms)


def test_joserfc_is_new_enough() -> None:
    # 1.7 accepts `exp: NaN`, and older releases carry known vulnerabilities
    major, minor = (int(part) for part in version("joserfc").split(".")[:2])
    assert (major, minor) >= (1, 8)


def test_joserfc_itself_would_take_hmac_where_its_registry_does() -> None:
    # Why its `decode` is not used: a registry makes it ignore `algorithms`. Should this fail, it has got better.
    key = OctKey.import_key(SECRET)
    token = joserfc_jwt.encode({"alg": "HS256"}, CLAIMS, key)
    decoded = joserfc_jwt.decode(token, key, algorithms=["RS256"], registry=JWSRegistry(algorithms=["HS256"]))
    assert decoded.claims == CLAIMS


def test_every_algorithm_is_tested_here() -> None:
    assert set(KINDS) == set(ASYMMETRIC_ALGORITHMS)


# --- round trips ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alg", KINDS)
def test_a_signature_verifies_with_the_key_that_made_it(alg: str) -> None:
    key, untrusted = public(KINDS[alg]), good(alg)
    verified = verify_signature(untrusted, [key])
    assert verified.key is key
    assert verified.header == {"alg": alg}
    assert verified.claims == {"sub": "user-1"}


@pytest.mark.parametrize("alg", KINDS)
def test_a_signature_does_not_verify_with_another_key_of_the_same_kind(alg: str) -> None:
    assert refused(good(alg), public(KINDS[alg], 2)) is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("alg", KINDS)
def test_a_signature_verifies_with_a_key_of_no_other_kind(alg: str) -> None:
    untrusted = good(alg)
    for kind in ALL_KINDS:
        if kind != KINDS[alg]:
            assert refused(untrusted, public(kind)) is Reason.SIGNATURE_INVALID, kind


def test_eddsa_is_either_curve() -> None:
    assert verifies(good("EdDSA", "Ed448"), public("Ed448"))
    assert not verifies(good("EdDSA", "Ed448"), public("Ed25519"))


@pytest.mark.parametrize("alg", KINDS)
def test_no_bit_of_the_signature_and_no_byte_of_the_text_can_change(alg: str) -> None:
    key, untrusted = public(KINDS[alg]), good(alg)
    signature = untrusted.signature
    for at in (0, 1, len(signature) // 2, len(signature) - 1):
        flipped = bytearray(signature)
        flipped[at] ^= 1
        assert refused(resigned(untrusted, bytes(flipped)), key) is Reason.SIGNATURE_INVALID
    other = parse_token(compact({"alg": alg}, {"sub": "user-2"}, signature))
    assert refused(other, key) is Reason.SIGNATURE_INVALID
    other = parse_token(compact({"alg": alg, "a": 1}, CLAIMS, signature))
    assert refused(other, key) is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("alg", KINDS)
def test_a_signature_has_exactly_the_length_of_its_algorithm(alg: str) -> None:
    key, untrusted = public(KINDS[alg]), good(alg)
    signature = untrusted.signature
    assert len(signature) == key.algorithms[alg]
    for wrong in (b"", signature[:-1], signature[1:], signature + b"\0", b"\0" + signature, signature * 2):
        assert refused(resigned(untrusted, wrong), key) is Reason.SIGNATURE_INVALID
    for filler in (b"\0", b"\1", b"\xff"):
        assert refused(resigned(untrusted, filler * len(signature)), key) is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("alg", ["RS256", "PS256"])
def test_rsa_hashes_and_paddings_are_not_mixed_up(alg: str) -> None:
    untrusted, key = good(alg), public("RSA")
    for other in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"):
        parts = (untrusted.signing_input, untrusted.signature)
        renamed = Untrusted({}, untrusted.claims, other, None, None, *parts)
        assert verifies(renamed, key) is (other == alg)


def test_a_key_that_is_narrowed_verifies_its_own_alg_alone() -> None:
    assert verifies(good("RS256"), public("RSA", alg="RS256"))
    assert refused(good("RS256"), public("RSA", alg="RS384")) is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("alg", ["none", "None", "", "HS256", "RS1", "unheard-of"])
def test_an_alg_that_the_key_does_not_fit_never_verifies(alg: str) -> None:
    for signature in (b"", b"\0" * 32, b"\0" * 256):
        untrusted = parse_token(compact({"alg": alg}, CLAIMS, signature))
        assert refused(untrusted, *map(public, ALL_KINDS[:4])) is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("secret", ["n", "pem", "der"])
def test_a_public_key_is_never_an_hmac_secret(secret: str) -> None:
    # CVE-2015-9235 and its kin
    key = signing_key("RSA")
    raw = {
        "n": key.as_dict()["n"].encode(),  # type: ignore[union-attr]
        "pem": key.as_pem(private=False),
        "der": key.as_der(private=False),
    }[secret]
    signing_input = segment(as_json({"alg": "HS256"})) + b"." + segment(as_json(CLAIMS))
    mac = hmac.new(raw, signing_input, hashlib.sha256).digest()
    assert refused(parse_token(signing_input + b"." + segment(mac)), public("RSA")) is Reason.SIGNATURE_INVALID


# --- ECDSA ----------------------------------------------------------------------------------------------------------


def halves(signature: bytes) -> tuple[int, int]:
    return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")


@pytest.mark.parametrize(
    ("r", "s"),
    [
        pytest.param(0, 0, id="both 0 (CVE-2022-21449)"),
        pytest.param(1, 1, id="both 1"),
        pytest.param(0, 1, id="r 0"),
        pytest.param(1, 0, id="s 0"),
        pytest.param(P256_ORDER, P256_ORDER, id="both the order"),
        pytest.param(P256_ORDER, 1, id="r the order"),
        pytest.param(P256_ORDER - 1, P256_ORDER - 1, id="both the order less 1"),
        pytest.param(2**256 - 1, 2**256 - 1, id="both the most"),
    ],
)
def test_numbers_that_are_no_signature_do_not_verify(r: int, s: int) -> None:
    untrusted = resigned(good("ES256"), r.to_bytes(32, "big") + s.to_bytes(32, "big"))
    assert refused(untrusted, public("P-256")) is Reason.SIGNATURE_INVALID


def test_der_is_not_the_form_of_an_ecdsa_signature() -> None:
    untrusted = good("ES256")
    der = encode_dss_signature(*halves(untrusted.signature))
    assert decode_dss_signature(der) == halves(untrusted.signature)
    assert refused(resigned(untrusted, der), public("P-256")) is Reason.SIGNATURE_INVALID


# --- HMAC -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("alg", "name"), [("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")])
def test_hmac_verifies_with_the_shared_secret(alg: str, name: str) -> None:
    signing_input = segment(as_json({"alg": alg})) + b"." + segment(as_json(CLAIMS))
    mac = hmac.new(SECRET, signing_input, name).digest()
    untrusted = parse_token(signing_input + b"." + segment(mac))
    (key,) = secret_key(SECRET, [alg]).keys
    assert verifies(untrusted, key)
    (other,) = secret_key(SECRET[::-1], [alg]).keys
    assert not verifies(untrusted, other)
    assert not verifies(resigned(untrusted, mac[:-1]), key)
    assert not verifies(resigned(untrusted, b""), key)


def test_rfc_7515_appendix_a_1_verifies() -> None:
    key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
    secret = OctKey.import_key({"kty": "oct", "k": key}).raw_value
    token = (
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
        ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
        ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    )
    assert verifies(parse_token(token), *secret_key(secret, ["HS256"]).keys)


def test_rfc_7515_appendix_a_3_verifies() -> None:
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }
    token = (
        "eyJhbGciOiJFUzI1NiJ9"
        ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
        ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    )
    assert verifies(parse_token(token), *import_keys({"keys": [jwk]}).keys)


# --- which keys are tried -------------------------------------------------------------------------------------------


def test_without_a_key_the_token_is_refused_for_that() -> None:
    assert refused(good("ES256")) is Reason.KEY_UNSUITABLE


def test_four_keys_are_tried_and_not_one_more() -> None:
    assert MAX_CANDIDATES == 4
    wrong = [public("P-256", number) for number in (2, 3, 4, 5)]
    right = public("P-256")
    for place in range(4):
        keys = [*wrong[:place], right, *wrong[place:]]
        assert verify_signature(good("ES256"), keys).key is right
    assert refused(good("ES256"), *wrong, right) is Reason.SIGNATURE_INVALID


class Broken:
    """An algorithm that answers what no algorithm should."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def verify(self, *_: object) -> object:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    "answer",
    [ValueError("no"), KeyError("x"), TypeError(), RecursionError(), OverflowError(), None, 1, "yes", b"1", object()],
    ids=lambda answer: type(answer).__name__,
)
def test_whatever_the_crypto_library_does_but_say_true_the_signature_did_not_verify(
    answer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(signature_module._ALGORITHMS, "ES256", Broken(answer))
    untrusted = parse_token(compact({"alg": "ES256"}, CLAIMS, b"\1" * 64))
    assert refused(untrusted, public("P-256")) is Reason.SIGNATURE_INVALID


def test_a_key_that_fails_does_not_keep_the_next_from_being_tried() -> None:
    untrusted = good("ES256")
    broken = VerifyKey(None, "EC", {"ES256": 64}, "", signing_key("RSA"))
    right = public("P-256")
    assert verify_signature(untrusted, [broken, right]).key is right


def test_a_verified_token_cannot_be_changed() -> None:
    verified = verify_signature(good("ES256"), KeySet([public("P-256")]).keys)
    with pytest.raises(AttributeError):
        verified.claims = {}  # type: ignore[misc]


def test_nothing_of_the_token_is_in_the_message() -> None:
    with pytest.raises(TokenError) as caught:
        verify_signature(good("ES256"), [public("P-256", 2)])
    assert str(caught.value) == "signature_invalid: the signature does not verify with the issuer's key"


# --- whose key it is ------------------------------------------------------------------------------------------------

LOGIN = "https://login.test"
TEMPLATE = f"{LOGIN}/{{tenantid}}/v2.0"
CONTOSO = f"{LOGIN}/contoso/v2.0"
CONSUMERS = f"{LOGIN}/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0"
MARKED = replace(a_policy(), issuer=CONTOSO, key_issuer=True)
"""Of one issuer, whose keys say whose they are."""
FAMILY = replace(MARKED, tenant=("tid", "contoso"))
"""Of one tenant of a family."""


def of_issuer(issuer: str | None, number: int = 1) -> VerifyKey:
    members: dict[str, Any] = {} if issuer is None else {"issuer": issuer}
    return public("P-256", number, **members)


def owned(issuer: str | None, policy: Any, **claims: Any) -> bool:
    """Whether a key with this `issuer` may sign for a token with these claims."""
    key = of_issuer(issuer)
    untrusted = parse_token(compact({"alg": "ES256"}, claims))
    try:
        return list(own_keys([key], untrusted, policy)) == [key]
    except TokenError as error:
        return error.reason is not Reason.KEY_UNSUITABLE


@pytest.mark.parametrize("issuer", [None, TEMPLATE, CONTOSO, CONSUMERS, ""])
def test_where_the_policy_does_not_ask_a_keys_issuer_does_not_matter(issuer: str | None) -> None:
    keys = [of_issuer(issuer)]
    assert own_keys(keys, good("ES256"), replace(MARKED, key_issuer=False)) is keys


@pytest.mark.parametrize("policy", [MARKED, FAMILY], ids=["one issuer", "a family"])
@pytest.mark.parametrize(
    ("issuer", "expected"),
    [
        (None, True),
        (CONTOSO, True),
        (TEMPLATE, True),
        (CONSUMERS, False),
        (f"{LOGIN}/fabrikam/v2.0", False),
        (f"{CONTOSO}/", False),
        (CONTOSO.upper(), False),
        (f"{LOGIN}/{{tenantid}}", False),
        (f"{LOGIN}/{{tenantId}}/v2.0", False),
        ("{tenantid}", False),
        ("https://other.test/{tenantid}/v2.0", False),
        ("", False),
    ],
)
def test_a_key_that_says_whose_it_is_signs_for_nobody_else(policy: Any, issuer: str | None, expected: bool) -> None:
    assert owned(issuer, policy, tid="contoso") is expected


@pytest.mark.parametrize("tid", ["fabrikam", "Contoso", "", None, 7, ["contoso"], "contoso\n", "{tenantid}"])
def test_a_template_stands_for_the_tenant_that_the_token_names(tid: object) -> None:
    assert owned(TEMPLATE, MARKED, tid="contoso")
    assert not owned(TEMPLATE, MARKED, tid=tid)
    assert not owned(TEMPLATE, MARKED)


@pytest.mark.parametrize("claims", [{}, {"tid": "fabrikam"}, {"tid": "contoso/v2.0"}, {"tid": 7}])
def test_in_a_family_a_template_stands_for_the_tenant_of_the_issuer(claims: dict[str, Any]) -> None:
    # what `tid` says is judged with the claims, where a family compares another claim or none
    assert owned(TEMPLATE, FAMILY, **claims)
    assert owned(TEMPLATE, replace(MARKED, tenant=(None, "contoso")), **claims)
    assert not owned(TEMPLATE, replace(MARKED, tenant=(None, "fabrikam")), **claims)


@pytest.mark.parametrize(
    ("template", "issuer", "tid"),
    [
        (f"{LOGIN}/{{tenantid}}", CONTOSO, "contoso/v2.0"),
        (f"{LOGIN}{{tenantid}}", CONTOSO, "/contoso/v2.0"),
        ("{tenantid}", CONTOSO, CONTOSO),
        ("{tenantid}/v2.0", CONTOSO, f"{LOGIN}/contoso"),
        (f"{CONTOSO}{{tenantid}}", CONTOSO, ""),
        (f"{LOGIN}/{{tenantid}}", f"{LOGIN}/", ""),
        (f"{LOGIN}/{{tenantid}}", f"{LOGIN}/", None),
        (f"{LOGIN}/{{tenantid}}/v2.0", f"{LOGIN}/a.b/v2.0", "a.b"),
    ],
)
def test_no_tid_makes_a_template_into_an_issuer_of_another_form(template: str, issuer: str, tid: str | None) -> None:
    assert not owned(template, replace(MARKED, issuer=issuer), tid=tid)


def test_of_several_keys_with_a_kid_only_its_own_count_and_their_order_is_kept() -> None:
    members = [CONSUMERS, TEMPLATE, None, CONTOSO]
    keys = [of_issuer(member, number) for number, member in enumerate(members, 1)]
    assert own_keys(keys, parse_token(compact({"alg": "ES256"}, {"tid": "contoso"})), MARKED) == keys[1:]


def test_keys_of_others_do_not_use_up_the_keys_that_are_tried() -> None:
    others = [public("P-256", number, issuer=CONSUMERS) for number in range(2, 2 + MAX_CANDIDATES)]
    keys = [*others, public("P-256")]
    untrusted = good("ES256")
    assert verify_signature(untrusted, own_keys(keys, untrusted, MARKED)).key is keys[-1]
    assert refused(untrusted, *keys) is Reason.SIGNATURE_INVALID


def test_without_a_key_of_its_own_a_token_meets_no_key_that_suits_and_the_operator_reads_why() -> None:
    with pytest.raises(TokenError) as caught:
        own_keys([public("P-256", issuer=CONSUMERS)], parse_token(compact({"alg": "ES256"}, {"tid": "s3cret"})), MARKED)
    assert caught.value.reason is Reason.KEY_UNSUITABLE
    assert caught.value.detail == f"expected a key of {CONTOSO!r}, by the key's own `issuer`"


def test_where_there_was_no_key_the_issuer_is_not_blamed() -> None:
    assert list(own_keys((), good("ES256"), MARKED)) == []
