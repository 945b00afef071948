"""JWKS bytes -> KeySet; header -> the keys that fit its kid, alg and use.

One unusable key never spoils the set (RFC 7517 section 5: "Implementations SHOULD ignore JWKs within a JWK Set that use
kty values that are not understood, that are missing required members, or for which values are out of the supported
ranges"). Only public asymmetric keys are taken, from a cleaned copy: a symmetric key in a JWKS would be public, and a
private member is dropped before it is read.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import joserfc.jws  # noqa: F401 - registers secp256k1 for ES256K
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from jwt_asgi._core.token import MAX_KID_CHARACTERS, decode_segment, strict_json_object
from jwt_asgi.errors import KeysUnavailable, Reason

__all__ = [
    "MAC_BYTES",
    "MAX_KEYS",
    "KeySet",
    "SkippedKey",
    "VerifyKey",
    "import_keys",
    "parse_jwks",
    "parsing",
    "secret_key",
]

MAX_KEYS = 256
"""Microsoft asks that a cache holds 10 to 1000 keys; a set this large is under 512 KiB."""

_RSA_BITS = range(2048, 8192 + 1)
"""RFC 7518 section 3.3 asks for 2048 or more; OpenSSL's default upper bound for verification is 16384."""
_RSA_EXPONENTS = range(3, 2**32)
"""An exponent of the modulus's size makes a verification 60 times dearer; of 1, forgeable."""

_RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
# curve -> the algorithms it fits, and the bytes of a signature (RFC 7518 section 3.4, RFC 8812, RFC 8032)
_CURVES: Mapping[str, tuple[tuple[str, ...], int]] = {
    "P-256": (("ES256",), 64),
    "P-384": (("ES384",), 96),
    "P-521": (("ES512",), 132),
    "secp256k1": (("ES256K",), 64),
    "Ed25519": (("Ed25519", "EdDSA"), 64),
    "Ed448": (("Ed448", "EdDSA"), 114),
}
_P25519, _P448 = 2**255 - 19, 2**448 - 2**224 - 1
_SMALL_ORDERS = {
    "Ed25519": (
        _P25519,
        {
            *(0, 1, _P25519 - 1),
            0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
            0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
        },
    ),
    "Ed448": (_P448, {0, 1, _P448 - 1}),
}
"""curve -> its prime, and the y of every point whose order divides the cofactor (RFC 8032 section 5.1.7)."""
MAC_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """A public key (or, for a single service, a shared secret) that is ready to verify.

    Attributes:
        kid: The key's identifier, or None.
        kty: `RSA`, `EC`, `OKP` or `oct`.
        algorithms: What it may verify, each with the bytes that a signature has.
        thumbprint: RFC 7638; empty for a secret, since it would tell something about it.
        key: The JOSE library's key object.
        issuer: The JWK's own `issuer` member, which Microsoft's shared sets have, or None; empty when it is no text.
        private: The set has its private part, which is left out here: whoever has read the set can sign with it.
        member: A digest of the JWK, as it was published.
    """

    kid: str | None
    kty: str
    algorithms: Mapping[str, int]
    thumbprint: str
    key: RSAKey | ECKey | OKPKey | OctKey
    issuer: str | None = None
    private: bool = False
    member: str = ""

    def __repr__(self) -> str:
        """Show what is public."""
        return f"VerifyKey(kid={self.kid!r}, kty={self.kty!r}, algorithms={sorted(self.algorithms)})"


@dataclass(frozen=True, slots=True)
class SkippedKey:
    """A member of a JWKS that is not used, and why."""

    kid: str | None
    why: str


class KeySet:
    """The usable keys of one issuer; immutable."""

    __slots__ = ("_by_kid_and_alg", "_kids", "keys", "private", "skipped")

    def __init__(self, keys: Iterable[VerifyKey], skipped: Iterable[SkippedKey] = ()) -> None:
        """Index the keys. Two members that are the same key under the same kid count once."""
        distinct = {(key.kid, key.thumbprint, tuple(key.algorithms), key.issuer, key.private): key for key in keys}
        self.keys = tuple(distinct.values())
        self.skipped = tuple(skipped)
        self.private = tuple(key.kid or key.thumbprint for key in self.keys if key.private)
        self._kids = frozenset(key.kid for key in self.keys if key.kid is not None)
        index: dict[tuple[str | None, str], list[VerifyKey]] = {}
        for key in self.keys:
            for alg in key.algorithms:
                for kid in {key.kid, None}:
                    index.setdefault((kid, alg), []).append(key)
        self._by_kid_and_alg = {name: tuple(keys) for name, keys in index.items()}

    def lookup(self, kid: str | None, alg: str) -> tuple[VerifyKey, ...] | None:
        """Return the keys that a token with this `kid` and `alg` may have been signed with, all of them.

        Several keys may share a kid, and without a kid every key that fits `alg` counts. Empty: the kid is here, with
        no key that fits. None: the kid is not here (or, without a kid, no key fits), so the issuer may have a new one.
        """
        found = self._by_kid_and_alg.get((kid, alg))
        if found is None and kid is not None and kid in self._kids:
            return ()
        return found


def parse_jwks(raw: bytes) -> KeySet:
    """Read a JWK Set, leaving out what cannot be used.

    Raises:
        KeysUnavailable: `keys_unusable`: not strict JSON, no `keys` array, too many, or none that can be used.
    """
    return _finish(parsing(raw))


def import_keys(document: Mapping[str, Any]) -> KeySet:
    """Import a JWK Set that is parsed already; see `parse_jwks`."""
    return _finish(_importing(document, ()))


def parsing(raw: bytes, known: Iterable[VerifyKey] = ()) -> Generator[None, None, KeySet]:
    """Read a JWK Set as `parse_jwks` does, in steps of one key, so that others can run between them.

    `known`: the keys at hand; one whose member is still the same is not imported again.
    """
    try:
        # A lone surrogate in one key must not cost the others; a token cannot name such a kid
        document = strict_json_object(raw, whole_text=False)
    except ValueError:
        raise KeysUnavailable(Reason.KEYS_UNUSABLE, "expected a JWK Set: a JSON object in strict UTF-8") from None
    return (yield from _importing(document, known))


def _importing(document: Mapping[str, Any], known: Iterable[VerifyKey]) -> Generator[None, None, KeySet]:
    members = document.get("keys")
    if not isinstance(members, list):
        raise KeysUnavailable(Reason.KEYS_UNUSABLE, "expected a JWK Set: an object with an array `keys`")
    if len(members) > MAX_KEYS:
        raise KeysUnavailable(Reason.KEYS_UNUSABLE, f"expected at most {MAX_KEYS} keys; got {len(members)}")
    at_hand = {key.member: key for key in known}
    keys: list[VerifyKey] = []
    skipped: list[SkippedKey] = []
    for member in members:
        kid = member.get("kid") if isinstance(member, dict) else None
        try:
            digest = sha256(json.dumps(member, sort_keys=True).encode("ascii")).hexdigest()
            keys.append(at_hand.get(digest) or _import_key(member, digest))
        except Exception as error:  # noqa: BLE001 - joserfc raises many types for ill-formed keys, as measured in tests
            why = str(error) if isinstance(error, _UnusableKeyError) else "its parameters are not those of a key"
            skipped.append(SkippedKey(kid[:MAX_KID_CHARACTERS] if isinstance(kid, str) else None, why))
        yield
    if not keys:
        reasons = "; ".join(sorted({key.why for key in skipped})) or "it is empty"
        raise KeysUnavailable(Reason.KEYS_UNUSABLE, f"no key of the set can be used: {reasons}")
    return KeySet(keys, skipped)


def _finish(steps: Generator[None, None, KeySet]) -> KeySet:
    while True:
        try:
            next(steps)
        except StopIteration as done:
            keys: KeySet = done.value
            return keys


def secret_key(secret: bytes, algorithms: Iterable[str]) -> KeySet:
    """Make the key set of a shared secret. It has no kid, so it answers `lookup(None, alg)` alone."""
    sizes = {alg: MAC_BYTES[alg] for alg in algorithms}
    return KeySet([VerifyKey(None, "oct", sizes, "", OctKey.import_key(secret))])


class _UnusableKeyError(Exception):
    """A key that is left out on purpose; the text is shown to operators."""


def _import_key(member: Any, digest: str) -> VerifyKey:  # noqa: ANN401 - a member of a stranger's JSON
    if not isinstance(member, dict):
        raise _UnusableKeyError("it is not an object")
    kty, kid = member.get("kty"), member.get("kid")
    if not isinstance(kty, str) or kty not in _MEMBERS:
        raise _UnusableKeyError("its kty is none of RSA, EC, OKP")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= MAX_KID_CHARACTERS):
        raise _UnusableKeyError(f"its kid is not a string of 1 to {MAX_KID_CHARACTERS} characters")
    _check_use(member)
    clean = {"kty": kty} | {name: member[name] for name in _MEMBERS[kty]}
    if not all(isinstance(value, str) for value in clean.values()):
        raise _UnusableKeyError("its parameters are not strings")
    key, sizes = _rsa(clean) if kty == "RSA" else _curve(kty, clean)
    issuer = member.get("issuer")
    return VerifyKey(
        kid=kid,
        kty=kty,
        algorithms=_narrow(kty, sizes, member.get("alg")),
        thumbprint=key.thumbprint(),
        key=key,
        # What is no text names nobody, rather than anybody
        issuer=issuer if issuer is None or isinstance(issuer, str) else "",
        private="d" in member,
        member=digest,
    )


def _check_use(member: Mapping[str, Any]) -> None:
    """RFC 7517 sections 4.2 and 4.3."""
    if member.get("use") not in {None, "sig"}:
        raise _UnusableKeyError("its use is not sig")
    operations = member.get("key_ops")
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        raise _UnusableKeyError("its key_ops does not hold verify")


def _rsa(clean: dict[str, str]) -> tuple[RSAKey, dict[str, int]]:
    # The bounds come before the import, which a huge modulus makes slow
    bits = _integer(clean["n"]).bit_length()
    exponent = _integer(clean["e"])
    if bits not in _RSA_BITS:
        raise _UnusableKeyError(f"its modulus has {bits} bits, not {_RSA_BITS.start} to {_RSA_BITS.stop - 1}")
    if exponent not in _RSA_EXPONENTS or exponent % 2 == 0:
        raise _UnusableKeyError("its exponent is not an odd number from 3 to 2^32")
    return RSAKey.import_key(dict(clean)), dict.fromkeys(_RSA_ALGORITHMS, (bits + 7) // 8)


def _integer(value: str) -> int:
    return int.from_bytes(decode_segment(value.encode("ascii"), "key"), "big")


def _curve(kty: str, clean: dict[str, str]) -> tuple[ECKey | OKPKey, dict[str, int]]:
    if clean["crv"] not in _CURVES:
        raise _UnusableKeyError("its curve is none that signs")
    algorithms, size = _CURVES[clean["crv"]]
    if clean["crv"] in _SMALL_ORDERS:
        prime, ordinates = _SMALL_ORDERS[clean["crv"]]
        encoded = decode_segment(clean["x"].encode("ascii"), "key")
        # RFC 8032 sections 5.1.2 and 5.2.2: little-endian, and the highest bit is the sign of x
        if (int.from_bytes(encoded, "little") & ~(1 << 8 * len(encoded) - 1)) % prime in ordinates:
            raise _UnusableKeyError("its point is of small order, so that anybody can sign for it")
    key = ECKey.import_key(dict(clean)) if kty == "EC" else OKPKey.import_key(dict(clean))
    return key, dict.fromkeys(algorithms, size)


def _narrow(kty: str, sizes: dict[str, int], alg: Any) -> dict[str, int]:  # noqa: ANN401 - as above
    """RFC 7517 section 4.4; `EdDSA` and the curve's own name (RFC 9864) mean one key, and the pin tells them apart."""
    if alg is None:
        return sizes
    if not isinstance(alg, str) or alg not in sizes:
        raise _UnusableKeyError("its alg does not fit its type")
    return sizes if kty == "OKP" else {alg: sizes[alg]}
