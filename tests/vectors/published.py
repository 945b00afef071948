"""Reads the examples of the RFCs, and judges a signature by the core alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jwt_asgi._core.jwks import KeySet, import_keys, secret_key
from jwt_asgi._core.signature import Verified, verify_signature
from jwt_asgi._core.token import Untrusted, decode_segment
from jwt_asgi.errors import Reason, TokenError

_PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth"}

RFCS = ("rfc7515", "rfc7519", "rfc7520", "rfc7797", "rfc8037")
"""Those with tokens; the others have keys and claims."""


def load(name: str) -> dict[str, Any]:
    """One file."""
    document: dict[str, Any] = json.loads((Path(__file__).parent / f"{name}.json").read_bytes())
    return document


def public(jwk: Mapping[str, Any]) -> dict[str, Any]:
    """The public members of a JWK."""
    return {name: value for name, value in jwk.items() if name not in _PRIVATE}


@dataclass(frozen=True)
class Example:
    """A signed example: its token, and the JWK of its key, with private members where the RFC shows them."""

    rfc: str
    name: str
    alg: str
    jwt: bool
    token: str
    jwk: dict[str, Any]

    def __str__(self) -> str:
        """For the name of a test."""
        return f"{self.rfc}-{self.name}"

    @property
    def parts(self) -> tuple[bytes, bytes, bytes]:
        """The segments as they are written."""
        header, payload, signature = self.token.encode("ascii").split(b".")
        return header, payload, signature

    @property
    def keys(self) -> KeySet:
        """Its key, as the package imports it."""
        return key_set(self.jwk, self.alg)


def examples() -> list[Example]:
    """All of them."""
    return [
        Example(rfc, one["name"], one["alg"], one["jwt"], one["token"], document["keys"][one["key"]])
        for rfc in RFCS
        for document in [load(rfc)]
        for one in document["tokens"]
    ]


def refused() -> list[tuple[str, str, str, Reason]]:
    """RFC, name, text and reason of each form that is no bearer token here."""
    return [(rfc, one["name"], one["token"], Reason(one["reason"])) for rfc in RFCS for one in load(rfc)["refused"]]


def key_set(jwk: Mapping[str, Any], alg: str) -> KeySet:
    """The key set of one JWK: a shared secret, or the public half of a key."""
    if jwk["kty"] == "oct":
        return secret_key(decode_segment(jwk["k"].encode("ascii"), "key"), [alg])
    return import_keys({"keys": [public(jwk)]})


def judge(keys: KeySet, alg: str, signing_input: bytes, signature: bytes) -> Verified:
    """Verify a signature over anything, with the keys of a set that fit.

    Raises:
        TokenError: it does not verify.
    """
    untrusted = Untrusted({"alg": alg}, {}, alg, None, None, signing_input, signature)
    return verify_signature(untrusted, keys.lookup(None, alg) or ())


def verifies(keys: KeySet, alg: str, signing_input: bytes, signature: bytes) -> bool:
    """Whether it does."""
    try:
        judge(keys, alg, signing_input, signature)
    except TokenError:
        return False
    return True
