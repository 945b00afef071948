"""The examples of the RFCs: what they sign verifies, what they only show in other forms is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc import jwe
from joserfc.jwk import OctKey, RSAKey

from jwt_asgi import JWTMiddleware, Profile, SharedSecret, Skip, StaticKeys, TrustedIssuer, Verifier
from jwt_asgi._core.jwks import import_keys, parse_jwks
from jwt_asgi._core.token import decode_segment, parse_token
from jwt_asgi.errors import ConfigurationError, KeysUnavailable, Reason, TokenError
from tests.asgi import http
from tests.attacks.corpus.jws import b64, compact, sign, unb64
from tests.attacks.corpus.keyring import RSA_1, RSA_ATTACKER, public_jwk
from tests.attacks.judge import Gate
from tests.vectors.published import Example, examples, judge, key_set, load, public, refused, verifies

EXAMPLES = examples()
JWTS = [one for one in EXAMPLES if one.jwt]
REFUSED = refused()
EXP = 1_300_819_380
"""`exp` of the claims that RFC 7515 and RFC 7519 sign throughout."""


def _verifier(one: Example, now: float, *, algorithms: list[str] | None = None) -> Verifier:
    keys = SharedSecret(unb64(one.jwk["k"])) if one.jwk["kty"] == "oct" else StaticKeys({"keys": [public(one.jwk)]})
    issuer = TrustedIssuer(
        issuer="joe",
        audience=Skip.AUDIENCE_CHECK,
        algorithms=algorithms or [one.alg],
        keys=keys,
        leeway=0,
    )
    return Verifier(issuer, clock=lambda: now)


async def _reason(verifier: Verifier, token: str) -> Reason:
    with pytest.raises(TokenError) as caught:
        await verifier.verify(token)
    return caught.value.reason


@pytest.mark.parametrize("one", EXAMPLES, ids=str)
def test_the_signature_of_the_example_verifies(one: Example) -> None:
    """Its own key was imported from the JWK beside it, and it names its own algorithm."""
    header, payload, signature = one.parts
    assert json.loads(decode_segment(header, "header"))["alg"] == one.alg
    verified = judge(one.keys, one.alg, header + b"." + payload, decode_segment(signature, "signature"))
    assert verified.key in one.keys.keys


@pytest.mark.parametrize("one", EXAMPLES, ids=str)
def test_the_signature_of_the_example_does_not_verify_anything_else(one: Example) -> None:
    """One bit off in the signature or in what is signed; and no other key of the examples verifies it."""
    header, payload, segment = one.parts
    signed, signature = header + b"." + payload, decode_segment(segment, "signature")
    for place in (0, len(signature) // 2, len(signature) - 1):
        spoilt = signature[:place] + bytes([signature[place] ^ 1]) + signature[place + 1 :]
        assert not verifies(one.keys, one.alg, signed, spoilt)
    assert not verifies(one.keys, one.alg, signed + b"A", signature)
    assert not verifies(one.keys, one.alg, signed.lower(), signature)
    others = [other for other in EXAMPLES if public(other.jwk) != public(one.jwk)]
    assert others
    assert not any(verifies(other.keys, one.alg, signed, signature) for other in others)


@pytest.mark.parametrize("one", JWTS, ids=str)
async def test_the_example_that_is_a_jwt_is_accepted_until_it_expires(one: Example) -> None:
    """RFC 7519 section 4.1.4: not on or after `exp`."""
    token = await _verifier(one, EXP - 1).verify(one.token)
    assert token.claims == {"iss": "joe", "exp": EXP, "http://example.com/is_root": True}
    assert await _reason(_verifier(one, EXP), one.token) is Reason.TOKEN_EXPIRED


@pytest.mark.parametrize("one", [one for one in EXAMPLES if not one.jwt], ids=str)
async def test_the_example_that_is_no_jwt_is_refused(one: Example) -> None:
    """Signed it is, but its payload is no claims set."""
    verifier = _verifier(one, EXP - 1)
    assert await _reason(verifier, one.token) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    ("rfc", "name", "token", "reason"), REFUSED, ids=[f"{rfc}-{name}" for rfc, name, *_ in REFUSED]
)
@pytest.mark.parametrize("signed_by", JWTS[:3], ids=str)
async def test_a_form_that_is_no_bearer_token_is_refused(
    rfc: str, name: str, token: str, reason: Reason, signed_by: Example
) -> None:
    """Unsecured, encrypted, detached, unencoded, in JSON: whichever key is trusted. Four dots count as a JWE's."""
    expected = Reason.TOKEN_ENCRYPTED if token.count(".") == 4 else reason
    assert await _reason(_verifier(signed_by, EXP - 1), token) is expected


_FORMS = [(f"{rfc}-{name}", json.loads(token)) for rfc, name, token, _ in REFUSED if token.startswith("{")]


@pytest.mark.parametrize(("name", "form"), _FORMS, ids=[name for name, _ in _FORMS])
def test_the_json_forms_are_those_of_the_rfc(name: str, form: dict[str, Any]) -> None:
    """Every signature in them verifies: so it is the form that they are refused for."""
    keys = [key for rfc in ("rfc7515", "rfc7520") for key in load(rfc)["keys"].values()]
    for one in form.get("signatures", [form]):
        protected = one.get("protected", "")
        header = {**one.get("header", {}), **(json.loads(unb64(protected)) if protected else {})}
        signed = f"{protected}.{form['payload']}".encode("ascii")
        fitting = [key for key in keys if key["kty"] != "oct" or header["alg"].startswith("HS")]
        signature = unb64(one["signature"])
        assert any(verifies(key_set(key, header["alg"]), header["alg"], signed, signature) for key in fitting)


def test_the_detached_and_the_unencoded_form_are_those_of_the_rfc() -> None:
    """RFC 7520 section 4.5 signs the payload of 4.4; RFC 7797 section 4.2 signs `$.02` as it is."""
    forms = {name: token for _, name, token, _ in REFUSED}
    of_7520 = {one.name: one for one in EXAMPLES if one.rfc == "rfc7520"}
    header, detached, signature = forms["4.5"].split(".")
    assert detached == ""
    assert of_7520["4.4"].parts == (header.encode(), of_7520["4.4"].parts[1], signature.encode())
    (unencoded,) = (one for one in EXAMPLES if one.rfc == "rfc7797")
    header, _, signature = forms["4.2 detached"].partition("..")
    assert verifies(unencoded.keys, "HS256", f"{header}.$.02".encode(), unb64(signature))


def test_the_public_keys_of_rfc_7517_are_taken_for_what_they_say() -> None:
    """Appendix A.1: the RSA key signs, the EC key is for encryption; its thumbprint is that of RFC 7638."""
    document = load("rfc7517")
    keys = parse_jwks(compact(document["public"]))
    assert [key.kid for key in keys.keys] == document["usable"]
    assert [(key.kid, key.why) for key in keys.skipped] == [("1", "its use is not sig")]
    assert keys.keys[0].algorithms == {"RS256": 256}
    assert keys.keys[0].thumbprint == document["thumbprint"]
    assert keys.private == ()


def test_the_private_keys_of_rfc_7517_are_taken_without_what_is_private() -> None:
    """Appendix A.2: the public half alone is kept, and who looks after the service is told."""
    document = load("rfc7517")
    (key,) = import_keys(document["private"]).keys
    (published,) = import_keys(document["public"]).keys
    assert key.private
    assert not key.key.is_private
    assert (key.kid, key.algorithms, key.thumbprint) == (published.kid, published.algorithms, published.thumbprint)
    secrets = {one[name] for one in document["private"]["keys"] for name in ("d", "p", "q") if name in one}
    assert not any(secret in repr(key.key.as_dict()) for secret in secrets)


def test_the_symmetric_keys_of_rfc_7517_are_not_taken_from_a_key_set() -> None:
    """Appendix A.3: whoever can read them can sign."""
    with pytest.raises(KeysUnavailable) as caught:
        import_keys(load("rfc7517")["symmetric"])
    assert caught.value.reason is Reason.KEYS_UNUSABLE


_PASSPHRASE = "Thus from my lips, by yours, my sin is purged."
_ENCRYPTED_HEADER = {"alg": "PBES2-HS256+A128KW", "p2s": "2WCTcJZ1Rvd_CJuJripQ1w", "p2c": 4096, "enc": "A128CBC-HS256"}


def _encrypted_keys() -> str:
    """RFC 7517 appendix C, with the keys of appendix A.2: header, passphrase and salt are the RFC's."""
    registry = jwe.JWERegistry(algorithms=["PBES2-HS256+A128KW", "A128CBC-HS256"])
    key = OctKey.import_key(_PASSPHRASE.encode("ascii"))
    payload = compact(load("rfc7517")["private"])
    return jwe.encrypt_compact({**_ENCRYPTED_HEADER, "cty": "jwk-set+json"}, payload, key, registry=registry)


def test_an_encrypted_key_set_is_neither_a_key_set_nor_a_token() -> None:
    """RFC 7517 appendix C: nothing is decrypted, so its passphrase is not worked on (RFC 8725 section 3.13)."""
    encrypted = _encrypted_keys()
    assert encrypted.count(".") == 4
    with pytest.raises(TokenError) as refusal:
        parse_token(encrypted)
    assert refusal.value.reason is Reason.TOKEN_ENCRYPTED
    with pytest.raises(KeysUnavailable):
        parse_jwks(encrypted.encode("ascii"))
    with pytest.raises(ConfigurationError):
        StaticKeys(encrypted)


def test_the_keys_of_rfc_7520_are_imported_and_the_encryption_key_is_not() -> None:
    """Section 3: by their public members, and each for the algorithms of its type."""
    keys = load("rfc7520")["keys"]
    (elliptic,) = import_keys({"keys": [public(keys["3.2"])]}).keys
    (rsa,) = import_keys({"keys": [public(keys["3.4"])]}).keys
    assert (elliptic.kid, set(elliptic.algorithms)) == ("bilbo.baggins@hobbiton.example", {"ES512"})
    assert set(rsa.algorithms) == {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
    for name in ("3.5", "3.6"):
        with pytest.raises(KeysUnavailable):
            import_keys({"keys": [keys[name]]})


def test_one_key_set_of_rfc_7520_holds_two_keys_with_one_kid() -> None:
    """The EC key and the RSA key have the same name: the algorithm tells them apart."""
    document = load("rfc7520")
    keys = import_keys({"keys": [public(document["keys"][name]) for name in ("3.2", "3.4")]})
    for one in (one for one in EXAMPLES if one.rfc == "rfc7520" and one.alg != "HS256"):
        header, payload, signature = one.parts
        found = keys.lookup("bilbo.baggins@hobbiton.example", one.alg)
        assert found is not None
        assert len(found) == 1
        assert verifies(keys, one.alg, header + b"." + payload, unb64(signature.decode()))


def test_the_thumbprint_of_rfc_8037_is_computed() -> None:
    """Appendix A.3; and the curve signs by its own name as well (RFC 9864)."""
    document = load("rfc8037")
    (key,) = import_keys({"keys": [public(document["keys"]["A.1"])]}).keys
    assert key.thumbprint == document["thumbprint"]
    assert set(key.algorithms) == {"EdDSA", "Ed25519"}


def _access_token(**header: object) -> str:
    """The example of RFC 9068 section 3, signed by a key of ours."""
    document = load("rfc9068")
    return sign(RSA_1, {**document["header"], **header}, document["claims"])


def _resource_server(now: float) -> JWTMiddleware:
    document = load("rfc9068")
    issuer = TrustedIssuer(
        issuer=document["claims"]["iss"],
        audience=document["claims"]["aud"],
        algorithms=["RS256"],
        keys=StaticKeys({"keys": [public_jwk(RSA_1, kid=document["header"]["kid"], use="sig")]}),
        profile=Profile.RFC9068,
        leeway=0,
    )
    gate = Gate()
    return JWTMiddleware(gate.inner, verifier=Verifier(issuer, clock=lambda: now))


async def test_the_access_token_of_rfc_9068_is_accepted_by_its_profile() -> None:
    """Section 3, from `iat` to `exp`."""
    claims = load("rfc9068")["claims"]
    for now, status in ((claims["iat"], 200), (claims["exp"] - 1, 200), (claims["exp"], 401), (claims["iat"] - 1, 401)):
        assert (await http(_resource_server(now), token=_access_token())).status == status, now
    (issuer,) = _resource_server(claims["iat"]).verifier.issuers
    token = await Verifier(issuer, clock=lambda: float(claims["iat"])).verify(_access_token())
    assert (token.subject, token.client_id, token.token_id) == (claims["sub"], claims["client_id"], claims["jti"])
    assert token.scopes == {"openid", "profile", "reademail"}


@pytest.mark.parametrize("header", [{"typ": "JWT"}, {"typ": None}, {"typ": ""}, {"kid": "another"}, {"alg": "PS256"}])
async def test_the_access_token_of_rfc_9068_is_refused_with_another_header(header: dict[str, object]) -> None:
    """Section 4: the type is checked, and the key is the one that is named."""
    now = load("rfc9068")["claims"]["iat"]
    assert (await http(_resource_server(now), token=_access_token(**header))).status == 401


@pytest.mark.parametrize("claim", sorted(load("rfc9068")["claims"]))
async def test_the_access_token_of_rfc_9068_is_refused_without_a_required_claim(claim: str) -> None:
    """Section 2.2; `scope` may be absent."""
    document = load("rfc9068")
    claims = {name: value for name, value in document["claims"].items() if name != claim}
    answer = await http(_resource_server(claims.get("iat", 1618354090)), token=sign(RSA_1, document["header"], claims))
    assert answer.status == (200 if claim == "scope" else 401)


async def test_the_access_token_of_rfc_9068_is_refused_from_another_signer() -> None:
    """The control."""
    document = load("rfc9068")
    token = sign(RSA_ATTACKER, document["header"], document["claims"])
    assert (await http(_resource_server(document["claims"]["iat"]), token=token)).status == 401


def test_every_file_says_its_source_and_holds_whole_keys() -> None:
    """The private members belong to the public ones: signing with them gives what verifies."""
    for name in ("rfc7515", "rfc7517", "rfc7519", "rfc7520", "rfc7797", "rfc8037", "rfc9068"):
        assert load(name)["source"].startswith(f"RFC {name[3:]} ")
    for rfc, key in (("rfc7515", "A.2"), ("rfc7520", "3.4")):
        jwk = load(rfc)["keys"][key]
        private: Any = RSAKey.import_key(jwk).private_key
        token = sign(private, {"alg": "RS256"}, {"iss": "joe"})
        signed, _, signature = token.rpartition(".")
        assert verifies(key_set(jwk, "RS256"), "RS256", signed.encode(), unb64(signature))
        assert b64(unb64(jwk["n"])) == jwk["n"]
