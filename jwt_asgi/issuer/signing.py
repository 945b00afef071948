"""Signing keys: made, kept sealed, published, and used; the boundary to joserfc and cryptography.

Keys are asymmetric: whoever can verify must not be able to sign. A key is imported once, and the header of its tokens,
which is always the same, is written once; what is left for a token is its claims and the signature itself.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import ECKey, OKPKey, RSAKey

from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.sealing import Sealing
from jwt_asgi.issuer.types import KeyState, StoredKey

__all__ = ["SIGNING_ALGORITHMS", "Document", "Keychain", "SigningKey", "check_algorithm", "jwks_document", "segment"]

RSA_BITS: Final = 2048
"""RFC 7518 section 3.3 asks for that; a larger key signs many times slower."""
RSA_EXPONENT: Final = 65537

_Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
_Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class _Algorithm:
    """How to make a key, whether a key is one of these, and how it signs.

    Attributes:
        make: A new private key.
        fits: Whether a private key is of the kind that `make` makes.
        signer: The function that signs; what can be prepared is prepared.
        signature: The bytes of a signature.
    """

    make: Callable[[], _Private]
    fits: Callable[[Any], bool]
    signer: Callable[[Any], _Sign]
    signature: int


def _ecdsa(curve: type[ec.EllipticCurve], hash_: hashes.HashAlgorithm, size: int) -> _Algorithm:
    """RFC 7518 section 3.4: R and S, each of the size of the curve."""
    scheme = ec.ECDSA(hash_)

    def signer(key: ec.EllipticCurvePrivateKey) -> _Sign:
        sign = key.sign

        def signed(content: bytes) -> bytes:
            r, s = decode_dss_signature(sign(content, scheme))
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")

        return signed

    def fits(key: object) -> bool:
        return isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, curve)

    return _Algorithm(lambda: ec.generate_private_key(curve()), fits, signer, 2 * size)


def _rsa(scheme: padding.AsymmetricPadding, hash_: hashes.HashAlgorithm) -> _Algorithm:
    """RFC 7518 sections 3.3 and 3.5."""

    def signer(key: rsa.RSAPrivateKey) -> _Sign:
        sign = key.sign
        return lambda content: sign(content, scheme, hash_)

    def fits(key: object) -> bool:
        return isinstance(key, rsa.RSAPrivateKey) and key.key_size == RSA_BITS

    return _Algorithm(lambda: rsa.generate_private_key(RSA_EXPONENT, RSA_BITS), fits, signer, RSA_BITS // 8)


def _pss(hash_: hashes.HashAlgorithm) -> _Algorithm:
    return _rsa(padding.PSS(padding.MGF1(hash_), hash_.digest_size), hash_)


def _eddsa() -> _Algorithm:
    """RFC 8037 section 3.1, RFC 9864 section 2.2."""
    kind = ed25519.Ed25519PrivateKey
    return _Algorithm(kind.generate, lambda key: isinstance(key, kind), lambda key: key.sign, 64)


_ALGORITHMS: Mapping[str, _Algorithm] = {
    "ES256": _ecdsa(ec.SECP256R1, hashes.SHA256(), 32),
    "ES384": _ecdsa(ec.SECP384R1, hashes.SHA384(), 48),
    "ES512": _ecdsa(ec.SECP521R1, hashes.SHA512(), 66),
    "EdDSA": _eddsa(),
    "Ed25519": _eddsa(),
    "RS256": _rsa(padding.PKCS1v15(), hashes.SHA256()),
    "RS384": _rsa(padding.PKCS1v15(), hashes.SHA384()),
    "RS512": _rsa(padding.PKCS1v15(), hashes.SHA512()),
    "PS256": _pss(hashes.SHA256()),
    "PS384": _pss(hashes.SHA384()),
    "PS512": _pss(hashes.SHA512()),
}
SIGNING_ALGORITHMS = tuple(_ALGORITHMS)
"""What tokens can be signed with. `EdDSA` and `Ed25519` are two names for one signature; older verifiers know the
first alone."""


def check_algorithm(alg: str) -> str:
    """Return an algorithm that tokens can be signed with.

    Raises:
        ConfigurationError: it is another, as HS256, with which whoever verifies can also sign.
    """
    if not isinstance(alg, str) or alg not in _ALGORITHMS:
        why = ": whoever verifies with it could also sign" if isinstance(alg, str) and alg.startswith("HS") else ""
        detail = f"{alg!r} cannot sign here{why}. The names are {', '.join(SIGNING_ALGORITHMS)}"
        raise ConfigurationError("algorithms", detail)
    return alg


class SigningKey:
    """A private key that is ready to sign access tokens. Its repr, and its errors, tell nothing about the secret.

    Attributes:
        kid: The RFC 7638 thumbprint.
        alg: What it signs with.
        public: The public JWK, made from the public key: `kty` and its members, `kid`, `use` and `alg`.
    """

    __slots__ = ("_head", "_overhead", "_private", "_sign", "alg", "kid", "public")

    def __init__(self, alg: str, private: _Private) -> None:
        """Prepare a key.

        Raises:
            ConfigurationError: it cannot sign with this algorithm.
        """
        algorithm = _ALGORITHMS[check_algorithm(alg)]
        if not algorithm.fits(private):
            raise ConfigurationError("signing key", f"it is no key for {alg}")
        members = _public_members(private)
        self.alg = alg
        self.kid = str(members.pop("kid"))
        self.public: Mapping[str, str] = {**members, "kid": self.kid, "use": "sig", "alg": alg}
        self._private = private
        self._sign = algorithm.signer(private)
        # RFC 9068 section 2.1
        header = {"alg": alg, "typ": "at+jwt", "kid": self.kid}
        self._head = segment(json.dumps(header, separators=(",", ":")).encode()) + b"."
        self._overhead = len(self._head) + 1 + _encoded_length(algorithm.signature)

    @classmethod
    def new(cls, alg: str = "ES256") -> SigningKey:
        """Make a key, whose `kid` no command line takes for an option.

        Raises:
            ConfigurationError: nothing here signs with this algorithm.
        """
        make = _ALGORITHMS[check_algorithm(alg)].make
        while (key := cls(alg, make())).kid.startswith("-"):
            pass
        return key

    def sign(self, claims: bytes) -> str:
        """Return the access token with these claims, as JSON: a JWS in compact serialization, of type `at+jwt`."""
        signing_input = self._head + urlsafe_b64encode(claims).rstrip(b"=")
        return (signing_input + b"." + urlsafe_b64encode(self._sign(signing_input)).rstrip(b"=")).decode("ascii")

    def length_of(self, claims: bytes) -> int:
        """Return the characters that `sign` will return."""
        return self._overhead + _encoded_length(len(claims))

    def stored(self, sealing: Sealing, now: float) -> StoredKey:
        """Return it as the database keeps it: staged since `now`, and sealed."""
        sealed = self.sealed_with(sealing)
        return StoredKey(
            kid=self.kid, alg=self.alg, state=KeyState.STAGED, sealed=sealed, public=self.public, created_at=now
        )

    def sealed_with(self, sealing: Sealing) -> bytes:
        """Return the private key, sealed under its names."""
        content = self._private.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return sealing.seal(content, _name(self.alg, self.kid))

    @classmethod
    def opened(cls, stored: StoredKey, sealing: Sealing) -> SigningKey:
        """Open a key of the database.

        Raises:
            ConfigurationError: it does not open with the master keys that were given, or is not what its row says.
        """
        content = sealing.open(stored.sealed, _name(stored.alg, stored.kid))
        private: Any = serialization.load_der_private_key(content, None)
        return cls(stored.alg, private)

    def __repr__(self) -> str:
        """Show what is public."""
        return f"SigningKey(kid={self.kid!r}, alg={self.alg!r})"


class Keychain:
    """Opens the keys of the database, each once, and makes new ones.

    What is published comes from here, too: a row that was put into the database by somebody who has no master key does
    not open, so its public key is never published.
    """

    __slots__ = ("_keys", "_sealing")

    def __init__(self, sealing: Sealing) -> None:
        """Have opened none yet."""
        self._sealing = sealing
        self._keys: dict[str, SigningKey] = {}

    def open(self, stored: Iterable[StoredKey]) -> list[SigningKey]:
        """Return these keys, ready to sign, and forget all others.

        Raises:
            ConfigurationError: as `SigningKey.opened`.
        """
        opened = [self._keys.get(_name(key.alg, key.kid)) or SigningKey.opened(key, self._sealing) for key in stored]
        self._keys = {_name(key.alg, key.kid): key for key in opened}
        return opened

    def mint(self, alg: str, now: float) -> StoredKey:
        """Make a key for the database; it is staged."""
        return SigningKey.new(alg).stored(self._sealing, now)

    def resealed(self, stored: Iterable[StoredKey]) -> list[StoredKey]:
        """Return those of these keys that are not sealed with the newest master key, sealed anew.

        When they are kept, and no session lives that was begun with an older master key, that one can be taken away.
        Keys whose private part is erased are left out.

        Raises:
            ConfigurationError: as `SigningKey.opened`.
        """
        older = [key for key in stored if key.sealed and not self._sealing.is_current(key.sealed)]
        return [replace(key, sealed=SigningKey.opened(key, self._sealing).sealed_with(self._sealing)) for key in older]

    def __repr__(self) -> str:
        """Show what is public."""
        return f"Keychain({sorted(self._keys)})"


@dataclass(frozen=True, slots=True)
class Document:
    """A JWK Set as it is served.

    Attributes:
        body: JSON.
        etag: A strong entity tag, with its quotation marks (RFC 9110 section 8.8.3).
    """

    body: bytes
    etag: str


def jwks_document(keys: Iterable[SigningKey]) -> Document:
    """Return the JWK Set of these keys, in this order, with what is public alone."""
    body = json.dumps({"keys": [key.public for key in keys]}, separators=(",", ":")).encode()
    return Document(body, f'"{segment(sha256(body).digest()[:16]).decode()}"')


def segment(raw: bytes) -> bytes:
    """Return it in base64url, without padding (RFC 7515 section 2)."""
    return urlsafe_b64encode(raw).rstrip(b"=")


def _encoded_length(size: int) -> int:
    return (size * 4 + 2) // 3


def _name(alg: str, kid: str) -> str:
    return f"signing key {kid} for {alg}"


def _public_members(private: _Private) -> dict[str, Any]:
    """Return the JWK of the public key, with its thumbprint as `kid`; the private one never gets near it."""
    pem = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    kind: Any = ECKey
    if isinstance(private, rsa.RSAPrivateKey):
        kind = RSAKey
    elif isinstance(private, ed25519.Ed25519PrivateKey):
        kind = OKPKey
    key = kind.import_key(pem)
    return {**key.as_dict(private=False), "kid": key.thumbprint()}
