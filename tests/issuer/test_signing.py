"""Signing keys: what they publish, what they sign, and what others make of it."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc.jwk import import_key

from jwt_asgi._core.jwks import parse_jwks
from jwt_asgi._core.signature import verify_signature
from jwt_asgi._core.token import decode_segment, parse_token
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.sealing import MasterKeys
from jwt_asgi.issuer.signing import SIGNING_ALGORITHMS, Keychain, SigningKey, check_algorithm, jwks_document, segment
from jwt_asgi.issuer.types import KeyState
from tests.issuer.rings import START

SEALING = MasterKeys({1: bytes(range(32))}).sealing()
CLAIMS = b'{"sub":"user-1"}'


@cache
def signing_key(alg: str) -> SigningKey:
    return SigningKey.new(alg)


@pytest.mark.parametrize("alg", SIGNING_ALGORITHMS)
class TestEachAlgorithm:
    """ES256, Ed25519, RS256 ..."""

    def test_a_token_verifies_with_what_is_published(self, alg: str) -> None:
        key = signing_key(alg)
        untrusted = parse_token(key.sign(CLAIMS))
        found = parse_jwks(jwks_document([key]).body).lookup(untrusted.kid, alg)
        assert found is not None
        assert verify_signature(untrusted, found).claims == {"sub": "user-1"}

    def test_pyjwt_verifies_it(self, alg: str) -> None:
        key = signing_key(alg)
        name = "EdDSA" if alg == "Ed25519" else alg
        public = jwt.PyJWK(dict(key.public), algorithm=name).key
        header, payload, signature = key.sign(CLAIMS).split(".")
        algorithm = jwt.get_algorithm_by_name(name)
        assert algorithm.verify(f"{header}.{payload}".encode(), public, decode_segment(signature.encode(), "signature"))

    def test_the_header_says_what_it_is(self, alg: str) -> None:
        key = signing_key(alg)
        assert parse_token(key.sign(CLAIMS)).header == {"alg": alg, "typ": "at+jwt", "kid": key.kid}

    def test_the_public_jwk_is_public_and_complete(self, alg: str) -> None:
        public = signing_key(alg).public
        assert {"kty", "kid", "use", "alg"} < set(public) <= {*("kty", "kid", "use", "alg", "crv", "x", "y", "n", "e")}
        assert (public["use"], public["alg"]) == ("sig", alg)

    def test_the_kid_is_the_thumbprint(self, alg: str) -> None:
        key = signing_key(alg)
        members: dict[str, str | list[str]] = {
            name: key.public[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in key.public
        }
        assert key.kid == import_key(members).thumbprint()

    def test_the_length_is_known_before(self, alg: str) -> None:
        key = signing_key(alg)
        for size in range(4):
            claims = b"{" + b" " * size + b"}"
            assert key.length_of(claims) == len(key.sign(claims))

    def test_it_is_kept_sealed_and_opens(self, alg: str) -> None:
        key = signing_key(alg)
        stored = key.stored(SEALING, START)
        assert (stored.kid, stored.alg, stored.state, stored.created_at) == (key.kid, alg, KeyState.STAGED, START)
        assert stored.public == key.public
        assert SigningKey.opened(stored, SEALING).public == key.public


@pytest.mark.parametrize(
    ("alg", "why"), [("HS256", ": whoever verifies with it could also sign"), ("none", ""), ("ES256K", ""), (None, "")]
)
def test_what_cannot_sign_here_is_refused(alg: str, why: str) -> None:
    for refuse in (check_algorithm, SigningKey.new):
        with pytest.raises(ConfigurationError) as caught:
            refuse(alg)
        assert caught.value.detail.startswith(f"algorithms: {alg!r} cannot sign here{why}. The names are ES256, ES384")


def test_by_default_a_key_is_for_es256() -> None:
    assert SigningKey.new().alg == "ES256"


@pytest.mark.parametrize(
    ("alg", "private"),
    [
        ("ES256", ec.generate_private_key(ec.SECP384R1())),
        ("EdDSA", ec.generate_private_key(ec.SECP256R1())),
        ("RS256", ec.generate_private_key(ec.SECP256R1())),
        ("PS256", rsa.generate_private_key(65537, 1024)),
    ],
)
def test_a_key_of_another_kind_is_refused(alg: str, private: ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(ConfigurationError, match=f"it is no key for {alg}"):
        SigningKey(alg, private)


def test_a_row_cannot_be_put_in_the_place_of_another() -> None:
    stored = signing_key("RS256").stored(SEALING, START)
    for changed in (replace(stored, alg="PS256"), replace(stored, kid=signing_key("ES256").kid)):
        with pytest.raises(ConfigurationError, match="does not open"):
            SigningKey.opened(changed, SEALING)


def test_its_repr_has_no_secret() -> None:
    key = signing_key("ES256")
    assert repr(key) == f"SigningKey(kid={key.kid!r}, alg='ES256')"


class TestKeychain:
    """The keys of one process."""

    def test_it_makes_keys_that_it_opens(self) -> None:
        chain = Keychain(SEALING)
        stored = chain.mint("ES256", START)
        (key,) = chain.open([stored])
        assert (key.kid, stored.state) == (stored.kid, KeyState.STAGED)

    def test_a_key_is_opened_once(self) -> None:
        chain = Keychain(SEALING)
        stored = chain.mint("ES256", START)
        assert chain.open([stored])[0] is chain.open([stored])[0]

    def test_what_is_not_there_any_more_is_forgotten(self) -> None:
        chain = Keychain(SEALING)
        first, second = chain.mint("ES256", START), chain.mint("EdDSA", START)
        opened = chain.open([first, second])
        assert [key.alg for key in opened] == ["ES256", "EdDSA"]
        assert chain.open([second]) == opened[1:]
        assert chain.open([first])[0] is not opened[0]

    def test_a_row_that_somebody_else_wrote_does_not_open(self) -> None:
        foreign = Keychain(MasterKeys({1: bytes(range(1, 33))}).sealing()).mint("ES256", START)
        with pytest.raises(ConfigurationError, match=f"signing key {foreign.kid} for ES256 does not open"):
            Keychain(SEALING).open([foreign])

    def test_when_the_master_key_changes_they_are_sealed_anew(self) -> None:
        one, two = bytes(range(32)), bytes(range(100, 132))
        old = Keychain(MasterKeys({1: one}).sealing()).mint("ES256", START)
        both = Keychain(MasterKeys({1: one, 2: two}).sealing())
        new, gone = both.mint("EdDSA", START), replace(old, kid="gone", state=KeyState.GONE, sealed=b"")
        (again,) = both.resealed([old, new, gone])
        assert replace(again, sealed=old.sealed) == old
        assert [key.kid for key in Keychain(MasterKeys({2: two}).sealing()).open([again, new])] == [old.kid, new.kid]
        assert both.resealed([again, new]) == []

    def test_its_repr_has_no_secret(self) -> None:
        chain = Keychain(SEALING)
        (key,) = chain.open([chain.mint("ES256", START)])
        assert repr(chain) == f"Keychain(['signing key {key.kid} for ES256'])"


class TestJWKSDocument:
    """What verifiers fetch."""

    def test_it_has_the_keys_in_their_order(self) -> None:
        keys = [signing_key("EdDSA"), signing_key("ES256")]
        assert json.loads(jwks_document(keys).body) == {"keys": [dict(key.public) for key in keys]}

    def test_its_tag_changes_with_it_and_with_nothing_else(self) -> None:
        one = jwks_document([signing_key("ES256")])
        assert one == jwks_document([signing_key("ES256")])
        assert one.etag != jwks_document([signing_key("EdDSA")]).etag
        assert one.etag.startswith('"')
        assert one.etag.endswith('"')
        assert len(one.etag) == 24

    def test_without_keys_it_is_empty(self) -> None:
        assert jwks_document([]).body == b'{"keys":[]}'


def test_a_segment_has_no_padding() -> None:
    assert segment(b"\xfb\xff\xbf?") == b"-_-_Pw"
