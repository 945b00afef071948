"""A package with a fault is found out by the seeds."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from typing import Any

import httpx
import pytest
from joserfc.jws import JWSRegistry

from jwt_asgi import Verifier
from jwt_asgi._core import challenge, claims, freshness, jwks, token
from jwt_asgi._keys import snapshot, trouble
from jwt_asgi._keys.remote import RemoteKeys
from jwt_asgi.errors import Reason, TokenError
from tests.fuzz import door, issuer, key_set
from tests.fuzz.packed import seeds

World = door.World | key_set.World | issuer.Metadata | issuer.Headers
Patch = pytest.MonkeyPatch
Fault = Callable[[Patch], None]


def is_found(world: World, inputs: list[bytes], text: str) -> bool:
    """Whether one of the inputs finds what is said so."""
    for data in inputs:
        try:
            world.check(data)
        except door.FindingError as finding:
            if text in str(finding):
                return True
    return False


def _any_signature(patch: Patch) -> None:
    patch.setattr(type(JWSRegistry.algorithms["EdDSA"]), "verify", lambda *_: True)


def _any_claims(patch: Patch) -> None:
    patch.setattr(claims, "failed_claims", lambda *_: ())


def _a_cache_that_forgets_to_look_at_the_clock(patch: Patch) -> None:
    def recall(self: Verifier, digest: bytes) -> Any:
        known = self._cache.find(digest)
        return None if known is None else known.token

    patch.setattr(Verifier, "recall", recall)


def _a_cache_that_leaves_out_the_signature(patch: Patch) -> None:
    patch.setattr("jwt_asgi.gate.digest_of", lambda text: sha256(text.rpartition(b".")[0]).digest())


def _lax_base64(patch: Patch) -> None:
    def decode(segment: bytes, _: str) -> bytes:
        with suppress(ValueError):
            return base64.urlsafe_b64decode(segment + b"==")
        raise TokenError(Reason.TOKEN_MALFORMED)

    patch.setattr(token, "decode_segment", decode)


def _duplicate_members(patch: Patch) -> None:
    def parse(raw: bytes) -> dict[str, Any]:
        value = json.loads(raw.decode("utf-8"))
        if not isinstance(value, dict):
            raise ValueError("no object")
        return value

    patch.setattr(token, "strict_json_object", parse)


def _a_text_of_the_token_in_the_log(patch: Patch) -> None:
    def parse(text: bytes) -> Any:
        raise TokenError(Reason.TOKEN_MALFORMED, f"what is {text!r}?")

    patch.setattr("jwt_asgi.verifier.parse_token", parse)


def _a_cause_in_the_body(patch: Patch) -> None:
    original = challenge.answer_to

    def answer(error: Any, *args: Any, **options: Any) -> Any:
        made = original(error, *args, **options)
        return replace(made, body=made.body + str(error).encode())

    patch.setattr("jwt_asgi.gate.answer_to", answer)


def _an_exception(patch: Patch) -> None:
    # A decoder's own error, which is caught around JSON alone
    patch.setattr(token, "decode_segment", lambda segment, _: base64.b64decode(segment + b"==", b"-_", validate=True))


def _a_fetch_for_anything(patch: Patch) -> None:
    patch.setattr("jwt_asgi.verifier.check_before_fetch", lambda *_: None)


def _no_decision_told(patch: Patch) -> None:
    patch.setattr("jwt_asgi.gate.tell", lambda *_: None)


DOOR_FAULTS: dict[Fault, str] = {
    _any_signature: "200, not 401",
    _any_claims: "200, not 401",
    _a_cache_that_forgets_to_look_at_the_clock: "200, not 401",
    _a_cache_that_leaves_out_the_signature: "200, not 401",
    _lax_base64: "200, not 401",
    _duplicate_members: "200, not 401",
    _a_text_of_the_token_in_the_log: "the detail holds a part of the token",
    _a_cause_in_the_body: "says what no plain refusal says",
    _an_exception: "left the door",
    _a_fetch_for_anything: "caused a fetch",
    _no_decision_told: "0 decisions were told",
}


@pytest.mark.parametrize("fault", DOOR_FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_a_door_with_a_fault_is_found_out(fault: Fault, at_the_door: door.World, monkeypatch: Patch) -> None:
    fault(monkeypatch)
    assert is_found(at_the_door, seeds("authorization"), DOOR_FAULTS[fault])


def _any_algorithm(patch: Patch) -> None:
    patch.setattr(jwks, "_narrow", lambda _kty, sizes, _alg: sizes)


def _keys_for_encryption(patch: Patch) -> None:
    patch.setattr(jwks, "_check_use", lambda _: None)


def _one_bad_key_spoils_the_set(patch: Patch) -> None:
    original = jwks._import_key

    def strict(member: Any, digest: str) -> Any:
        try:
            return original(member, digest)
        except Exception as error:
            raise SystemError from error

    patch.setattr(jwks, "Exception", (), raising=False)
    patch.setattr(jwks, "_import_key", strict)


def _a_curve_less(patch: Patch) -> None:
    patch.setattr(jwks, "_CURVES", {name: curve for name, curve in jwks._CURVES.items() if name != "P-521"})


def _the_wrong_curve(patch: Patch) -> None:
    patch.setattr(jwks, "_CURVES", {**jwks._CURVES, "P-384": jwks._CURVES["P-256"]})


def _keys_of_anybody(patch: Patch) -> None:
    patch.setattr(jwks, "_SMALL_ORDERS", {})


def _no_limit(patch: Patch) -> None:
    patch.setattr(jwks, "MAX_KEYS", 100_000)


def _what_is_at_hand_is_lost(patch: Patch) -> None:
    original = RemoteKeys._fail

    def fail(self: RemoteKeys, *args: Any) -> Any:
        self._snapshot = None
        return original(self, *args)

    patch.setattr(RemoteKeys, "_fail", fail)


KEY_FAULTS: dict[Fault, str] = {
    _any_algorithm: "taken, though it is no key",
    _keys_for_encryption: "taken, though it is no key",
    _one_bad_key_spoils_the_set: "left parse_jwks",
    _a_curve_less: "refused",
    _the_wrong_curve: "taken, though it is no key",
    _keys_of_anybody: "taken, though it is no key",
    _no_limit: "of a document that is no JWK Set",
    _what_is_at_hand_is_lost: "took away good keys",
}


@pytest.mark.parametrize("fault", KEY_FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_a_key_source_with_a_fault_is_found_out(fault: Fault, at_the_keys: key_set.World, monkeypatch: Patch) -> None:
    fault(monkeypatch)
    assert is_found(at_the_keys, seeds("jwks"), KEY_FAULTS[fault])


def _any_issuer(patch: Patch) -> None:
    def read(raw: bytes) -> dict[str, Any]:
        metadata = token.strict_json_object(raw)
        return {"issuer": issuer.ISSUER, **metadata, **({"issuer": issuer.ISSUER} if "issuer" in metadata else {})}

    patch.setattr("jwt_asgi._keys.discovery.strict_json_object", read)


def _any_url(patch: Patch) -> None:
    patch.setattr("jwt_asgi._keys.discovery.check_url", lambda _, url, **__: url)


def _an_error_of_the_parser(patch: Patch) -> None:
    patch.setattr("jwt_asgi._keys.discovery.check_url", lambda _, url, **__: httpx.URL(url))


METADATA_FAULTS: dict[Fault, str] = {
    _any_issuer: "is no jwks_uri of",
    _any_url: "is no jwks_uri of",
    _an_error_of_the_parser: "left discovery",
}


@pytest.mark.parametrize("fault", METADATA_FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_discovery_with_a_fault_is_found_out(
    fault: Fault, at_the_metadata: issuer.Metadata, monkeypatch: Patch
) -> None:
    fault(monkeypatch)
    assert is_found(at_the_metadata, seeds("metadata"), METADATA_FAULTS[fault])


def _any_age(patch: Patch) -> None:
    patch.setattr(freshness, "_MAX_AGE", re.compile("age=([0-9]+)"))


def _any_number(patch: Patch) -> None:
    patch.setattr(freshness, "_DIGITS", re.compile(".+"))


def _any_validator(patch: Patch) -> None:
    def validators(self: snapshot.Snapshot, _: str) -> dict[str, str]:
        return {"if-none-match": self.etag or "\xe9"}

    patch.setattr(snapshot.Snapshot, "validators", validators)


def _a_pause_without_end(patch: Patch) -> None:
    patch.setattr(trouble, "MAX_RETRY_AFTER", math.inf)


HEADER_FAULTS: dict[Fault, str] = {
    _any_age: "fresh for",
    _any_number: "left a reader of headers",
    _any_validator: "cannot be sent",
    _a_pause_without_end: "asked again in",
}


@pytest.mark.parametrize("fault", HEADER_FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_a_reading_of_headers_with_a_fault_is_found_out(
    fault: Fault, at_the_headers: issuer.Headers, monkeypatch: Patch
) -> None:
    fault(monkeypatch)
    assert is_found(at_the_headers, seeds("headers"), HEADER_FAULTS[fault])
