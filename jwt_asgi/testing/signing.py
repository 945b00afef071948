"""The issuer's signing keys: made with joserfc, and kept where they are to be made once only."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

__all__ = ["SigningKey", "SigningKeys", "json_bytes", "segment"]

_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "ES256K": "secp256k1", "Ed448": "Ed448"}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, or a shared secret, with the name that it is published under."""

    kid: str
    alg: str
    key: RSAKey | ECKey | OKPKey | OctKey

    def public(self) -> dict[str, Any]:
        """Return the JWK that is published."""
        return {**self.key.as_dict(private=False), "kid": self.kid, "use": "sig", "alg": self.alg}

    def sign(self, header: Mapping[str, Any], payload: bytes) -> str:
        """Return the JWS in compact serialization."""
        signing_input = f"{segment(json_bytes(header))}.{segment(payload)}"
        signature = JWSRegistry.algorithms[self.alg].sign(signing_input.encode("ascii"), self.key)
        return f"{signing_input}.{segment(signature)}"


class SigningKeys:
    """Makes keys, and keeps them: given to one `TestIssuer` after another, each key is made once.

    An RSA key takes a tenth of a second. Two issuers of different names never get the same key.
    """

    def __init__(self) -> None:
        """Have none yet."""
        self._made: dict[tuple[str, str, int], SigningKey] = {}

    def get(self, issuer: str, alg: str, generation: int) -> SigningKey:
        """Return the key that an issuer signs with after so many rotations."""
        name = issuer, alg, generation
        if name not in self._made:
            self._made[name] = _new_key(alg, generation)
        return self._made[name]


def _new_key(alg: str, generation: int) -> SigningKey:
    kid = f"{alg.lower()}-{generation}"
    if alg.startswith(("RS", "PS")):
        return SigningKey(kid, alg, RSAKey.generate_key(2048))
    if alg.startswith("ES"):
        return SigningKey(kid, alg, ECKey.generate_key(_CURVES[alg]))
    return SigningKey(kid, alg, OKPKey.generate_key("Ed448" if alg == "Ed448" else "Ed25519"))


def json_bytes(value: Mapping[str, Any]) -> bytes:
    """Return it as JSON without white space."""
    return json.dumps(value, separators=(",", ":")).encode("utf-8")


def segment(raw: bytes) -> str:
    """Return it in base64url, as the parts of a token are."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
