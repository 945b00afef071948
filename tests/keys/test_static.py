"""Keys that are at hand: a set from memory or a file, and a shared secret with its fences."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from jwt_asgi import (
    ConfigurationError,
    KeyCaching,
    Reason,
    SharedSecret,
    StaticKeys,
    TokenError,
    TrustedIssuer,
    Verifier,
)
from jwt_asgi._core.freshness import State
from jwt_asgi._keys.ledger import COUNTERS
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import FetchResponse
from tests.keys.script import ALG, jwk, jwks

SECRET = "correct-horse-battery-staple-" * 3
ISSUER, AUDIENCE = "https://issuer.test", "https://api.test"
DOCUMENT = {"keys": [dict(jwk("a"))]}


def trusted(**options: Any) -> TrustedIssuer:
    defaults = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": [ALG]}
    return TrustedIssuer(**(defaults | options))


# StaticKeys


@pytest.mark.parametrize(
    "given",
    [DOCUMENT, MappingProxyType(DOCUMENT), json.dumps(DOCUMENT), json.dumps(DOCUMENT).encode()],
    ids=["dict", "another mapping", "str", "bytes"],
)
async def test_a_key_set_may_be_given_in_any_form(given: Mapping[str, Any] | str | bytes) -> None:
    source = StaticKeys(given).source("https://issuer.test", [ALG])
    found = source.lookup("a", ALG)
    assert found is not None
    assert [key.kid for key in found] == ["a"]
    assert await source.find("a", ALG) == found
    await source.aclose()


@pytest.mark.parametrize("as_text", [True, False])
def test_a_key_set_may_be_read_from_a_file(tmp_path: Path, *, as_text: bool) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks("a", "b"))
    source = StaticKeys.from_file(str(path) if as_text else path).source("https://issuer.test", [ALG])
    assert source.lookup("b", ALG)


def test_a_file_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks("a"))
    keys = StaticKeys.from_file(path)
    path.unlink()
    assert keys.source("https://issuer.test", [ALG]).lookup("a", ALG)


@pytest.mark.parametrize(
    ("kid", "alg", "expected"),
    [("a", ALG, 1), (None, ALG, 1), ("b", ALG, None), ("a", "RS256", 0), (None, "RS256", None)],
)
async def test_a_kid_is_known_or_not_and_nothing_is_fetched(kid: str | None, alg: str, expected: int | None) -> None:
    source = StaticKeys(DOCUMENT).source("https://issuer.test", [ALG])
    found = source.lookup(kid, alg)
    assert (found if found is None else len(found)) == expected
    if expected is None:
        with pytest.raises(TokenError) as caught:
            await source.find(kid, alg)
        assert caught.value.reason is Reason.KEY_UNKNOWN


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "array `keys`"),
        ({"keys": {}}, "array `keys`"),
        ({"keys": []}, "it is empty"),
        ({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}, "its kty is none of RSA, EC, OKP"),
        ({"keys": [{}] * 257}, "at most 256"),
        ("nonsense", "a JSON object"),
        ("", "a JSON object"),
        (b"\xff", "a JSON object"),
        ("[]", "a JSON object"),
        ("-----BEGIN PUBLIC KEY-----", "a JSON object"),
    ],
)
def test_what_holds_no_usable_key_is_refused_at_start(given: Mapping[str, Any] | str | bytes, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text) as caught:
        StaticKeys(given)
    assert caught.value.option == "keys"


@pytest.mark.parametrize("given", [None, 7, ["keys"], object(), "\ud800", {"keys": {1}}, {"keys": [b"x"]}])
def test_what_is_no_key_set_at_all_is_refused_at_start(given: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"expect(s|ed) a JWK Set") as caught:
        StaticKeys(given)
    assert caught.value.option == "keys"


def test_the_operator_reads_what_a_key_set_may_be_given_as() -> None:
    with pytest.raises(ConfigurationError, match="StaticKeys expects a JWK Set as a dict, JSON text or bytes"):
        StaticKeys(7)  # type: ignore[arg-type]


def test_one_bad_key_does_not_spoil_a_static_set() -> None:
    source = StaticKeys({"keys": [{"kty": "EC", "crv": "P-192"}, 7, jwk("a")]}).source("https://issuer.test", [ALG])
    assert source.lookup("a", ALG)


@pytest.mark.parametrize("name", ["missing.json", "", "a\0b"])
def test_a_file_that_cannot_be_read_is_refused_with_its_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        StaticKeys.from_file(f"{tmp_path}/{name}")
    assert caught.value.option == "keys"
    assert f"cannot read {tmp_path}/{name}: " in caught.value.detail
    assert any(why in caught.value.detail for why in ("No such file", "Is a directory", "null byte"))


def test_a_file_that_holds_no_key_set_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text("<html>")
    with pytest.raises(ConfigurationError, match="expected a JWK Set"):
        StaticKeys.from_file(path)


# SharedSecret


@pytest.mark.parametrize(("alg", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
@pytest.mark.parametrize("form", [str, bytes])
def test_a_secret_is_at_least_as_long_as_its_hash(alg: str, least: int, form: type[str | bytes]) -> None:
    def secret(size: int) -> SharedSecret:
        return SharedSecret("x" * size if form is str else b"x" * size)

    assert secret(least).source("https://issuer.test", [alg]).lookup(None, alg)
    with pytest.raises(ConfigurationError, match=f"has {least - 1} bytes; {alg} needs at least {least}"):
        secret(least - 1).source("https://issuer.test", [alg])


def test_the_longest_hash_of_several_sets_the_length() -> None:
    with pytest.raises(ConfigurationError, match="HS256, HS512 needs at least 64"):
        SharedSecret("x" * 63).source("https://issuer.test", ["HS512", "HS256"])


def test_the_length_counts_bytes() -> None:
    assert SharedSecret("é" * 16).source("https://issuer.test", ["HS256"]).lookup(None, "HS256")


@pytest.mark.parametrize(
    "secret",
    [
        "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----",
        b"-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----",
        "\n  -----BEGIN CERTIFICATE-----\nMIIB",
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7 someone@somewhere",
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAI",
        json.dumps(DOCUMENT),
        json.dumps(DOCUMENT["keys"][0]).encode(),
    ],
    ids=["public PEM", "private PEM", "certificate", "ssh-rsa", "ecdsa", "JWK Set", "JWK"],
)
def test_a_key_file_is_no_secret(secret: str | bytes) -> None:
    with pytest.raises(ConfigurationError, match="was given a key file, not a secret; use StaticKeys") as caught:
        SharedSecret(secret)
    assert caught.value.option == "keys"


@pytest.mark.parametrize("secret", [None, 7, ["x" * 64], bytearray(64), "\ud800" * 64])
def test_a_secret_is_text_or_bytes(secret: Any) -> None:
    with pytest.raises(ConfigurationError, match="SharedSecret expects") as caught:
        SharedSecret(secret)
    assert caught.value.option == "keys"


def test_the_operator_reads_what_a_secret_may_be_and_how_one_is_made() -> None:
    with pytest.raises(ConfigurationError, match="SharedSecret expects str or bytes; got int"):
        SharedSecret(7)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="SharedSecret expects text that can be encoded in UTF-8"):
        SharedSecret("\ud800")
    with pytest.raises(ConfigurationError, match=r"print\(secrets.token_urlsafe\(64\)\)") as caught:
        SharedSecret("short").source(ISSUER, ["HS256"])
    assert caught.value.option == "keys"


def test_nothing_shows_the_secret() -> None:
    secret = SharedSecret(SECRET)
    source = secret.source("https://issuer.test", ["HS256"])
    shown = [repr(secret), str(secret), f"{secret}", repr(source), repr(source.lookup(None, "HS256"))]
    shown += [repr(trusted(keys=secret, algorithms=["HS256"]))]
    assert not any(SECRET[:16] in text for text in shown)
    assert repr(secret) == "SharedSecret(...)"


def test_an_error_about_a_secret_does_not_show_it() -> None:
    for attempt in (
        lambda: SharedSecret("tiny-secret").source("https://issuer.test", ["HS256"]),
        lambda: SharedSecret("ssh-tiny"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            attempt()
        assert "tiny" not in str(caught.value)


@pytest.mark.parametrize("kid", [None, "a", "whatever"])
async def test_a_secret_has_no_kid_so_any_will_do(kid: str | None) -> None:
    source = SharedSecret(SECRET).source("https://issuer.test", ["HS256"])
    assert source.lookup(kid, "HS256")
    assert await source.find(kid, "HS256")


def test_a_secret_verifies_with_the_algorithms_it_was_allowed_for_alone() -> None:
    source = SharedSecret(SECRET).source("https://issuer.test", ["HS256"])
    assert source.lookup(None, "HS512") is None
    assert source.lookup(None, "RS256") is None


# What a verifier asks of any key source


async def test_a_key_that_was_tried_already_is_not_found_again() -> None:
    source = StaticKeys(DOCUMENT).source(ISSUER, [ALG])
    found = await source.find("a", ALG)
    with pytest.raises(TokenError) as caught:
        await source.find("a", ALG, besides=found)
    assert caught.value.reason is Reason.KEY_UNKNOWN
    with pytest.raises(TokenError):
        await source.find("b", ALG, besides=found)
    assert source.refresh_on_bad_signature is False


async def test_keys_at_hand_are_always_ready_and_there_is_nothing_to_do() -> None:
    source = StaticKeys(DOCUMENT).source(ISSUER, [ALG])
    await source.ready(seconds=0, retry=False)
    await source.reload()
    source.refresh_if_due()
    assert source.status().ready


def test_the_status_names_the_keys_and_what_cannot_be_used_and_no_secret() -> None:
    given = {"keys": [jwk("a"), {"kid": "b", "kty": "oct"}, jwk("c")]}
    counters = dict.fromkeys(COUNTERS, 0)
    told = StaticKeys(given).source(ISSUER, [ALG]).status()
    assert (told.issuer, told.state, told.kids, told.counters) == (ISSUER, State.FRESH, ("a", "c"), counters)
    assert told.skipped == ("'b': its kty is none of RSA, EC, OKP",)
    told = SharedSecret(SECRET).source(ISSUER, ["HS256"]).status()
    assert (told.issuer, told.state, told.kids, told.skipped) == (ISSUER, State.FRESH, (), ())


# Through TrustedIssuer


@pytest.mark.parametrize("algorithms", [["ES256"], ["RS256", "HS256"], ["none"], []])
def test_a_secret_goes_with_hmac_alone(algorithms: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        trusted(keys=SharedSecret(SECRET), algorithms=algorithms)
    assert caught.value.option == "algorithms"


@pytest.mark.parametrize("options", [{"keys": StaticKeys(DOCUMENT)}, {"jwks_uri": "https://issuer.test/jwks"}, {}])
def test_hmac_never_goes_with_public_keys(options: Mapping[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="HMAC needs keys=SharedSecret"):
        trusted(algorithms=["HS256"], **options)


async def _fetch(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
    raise AssertionError("nothing is fetched")


@pytest.mark.parametrize(
    "options", [{"jwks_uri": "https://issuer.test/jwks"}, {"fetch": _fetch}, {"key_caching": KeyCaching()}]
)
@pytest.mark.parametrize(("keys", "algorithms"), [(StaticKeys(DOCUMENT), ["ES256"]), (SharedSecret(SECRET), ["HS256"])])
def test_keys_at_hand_go_with_nothing_that_is_for_fetched_ones(
    keys: StaticKeys | SharedSecret, algorithms: list[str], options: Mapping[str, Any]
) -> None:
    with pytest.raises(ConfigurationError, match="beside keys that are given"):
        trusted(keys=keys, algorithms=algorithms, **options)


@pytest.mark.parametrize("keys", [DOCUMENT, SECRET, SECRET.encode(), [StaticKeys(DOCUMENT)]])
def test_keys_are_of_one_of_the_two_kinds(keys: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected StaticKeys or SharedSecret"):
        trusted(keys=keys)


async def test_a_verifier_with_a_static_set_takes_its_tokens_and_those_alone() -> None:
    issuer = TestIssuer(ISSUER, audience=AUDIENCE, algorithms=[ALG])
    async with Verifier(trusted(keys=StaticKeys(issuer.jwks()))) as verifier:
        assert (await verifier.verify(issuer.token())).subject == "user-1"
        issuer.rotate()
        with pytest.raises(TokenError) as caught:
            await verifier.verify(issuer.token())
    assert caught.value.reason is Reason.KEY_UNKNOWN
    assert issuer.fetched == []
