"""A JWS builder that will write anything, sound or not. Built on `cryptography` alone."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import time
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.attacks.corpus.case import AUDIENCE, ISSUER

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
Json = Mapping[str, Any]

ABSENT: Final = object()
"""As the value of a member: leave it out."""
NOW: Final = int(time.time())
"""The moment that every time claim of the corpus is relative to."""

_HASHES: dict[str, hashes.SHA1 | hashes.SHA256 | hashes.SHA384 | hashes.SHA512] = {
    "1": hashes.SHA1(),
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}
_serial = itertools.count(1)


def b64(data: bytes) -> str:
    """Base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64(text: str) -> bytes:
    """The reverse of `b64`."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def b64_int(number: int, size: int | None = None) -> str:
    """Base64urlUInt (RFC 7518 section 2), or that of a fixed size."""
    return b64(number.to_bytes(size or (number.bit_length() + 7) // 8, "big"))


def compact(value: object) -> bytes:
    """JSON with no white space, in ASCII."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def changed(members: Json, changes: Json) -> dict[str, Any]:
    """The members with these changes; ABSENT drops one."""
    return {name: value for name, value in {**members, **changes}.items() if value is not ABSENT}


def header(**changes: object) -> dict[str, Any]:
    """The header of a good RS256 token, changed."""
    return changed({"typ": "at+jwt", "alg": "RS256", "kid": "rsa-1"}, changes)


def claims(**changes: object) -> dict[str, Any]:
    """The claims of a good token (RFC 9068 section 2.2), changed; every call has its own jti."""
    good: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "canary-subject",
        "client_id": "canary-client",
        "jti": f"canary-jti-{next(_serial)}",
        "iat": NOW - 5,
        "exp": NOW + 3600,
        "scope": "canary:read canary:write",
    }
    return changed(good, changes)


def claims_text(**literals: str) -> bytes:
    """Good claims in which the named members are replaced by JSON written out literally (NaN, 1e999, …)."""
    good = {name: json.dumps(value) for name, value in claims().items()}
    return ("{" + ",".join(f'"{name}":{text}' for name, text in {**good, **literals}.items()) + "}").encode("utf-8")


def encode(part: Json | bytes) -> str:
    """A segment: of JSON, or of these very bytes."""
    return b64(part if isinstance(part, bytes) else compact(part))


def signing_input(head: Json | bytes, payload: Json | bytes) -> bytes:
    """The first two segments."""
    return f"{encode(head)}.{encode(payload)}".encode("ascii")


def join(signed: bytes, signature: bytes) -> str:
    """The token of a signing input and a signature."""
    return f"{signed.decode('ascii')}.{b64(signature)}"


def parts(token: str) -> tuple[str, str, str]:
    """The three segments of a token."""
    head, payload, signature = token.split(".")
    return head, payload, signature


def raw_sign(key: PrivateKey, alg: str, data: bytes) -> bytes:
    """A signature by RFC 7518 section 3 (also with a curve that does not go with the algorithm) or RFC 8037."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    digest = _HASHES[alg[2:].rstrip("K")]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = (key.curve.key_size + 7) // 8
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    if alg.startswith("PS"):
        return key.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    return key.sign(data, padding.PKCS1v15(), digest)


def sign(key: PrivateKey, head: Json | bytes, payload: Json | bytes, alg: str = "RS256") -> str:
    """A token signed by this key; `alg` is how it is signed in fact, whatever its header says."""
    signed = signing_input(head, payload)
    return join(signed, raw_sign(key, alg, signed))


_SHA256_INFO: Final = bytes.fromhex("3031300d060960864801650304020105000420")
"""DigestInfo (RFC 8017 section 9.2, note 1)."""


def pkcs1_block(data: bytes, size: int = 256) -> bytes:
    """The EMSA-PKCS1-v1_5 encoding with SHA-256 (RFC 8017 section 9.2)."""
    content = _SHA256_INFO + hashlib.sha256(data).digest()
    return b"\0\x01" + b"\xff" * (size - 3 - len(content)) + b"\0" + content


def hmac_sign(secret: bytes, head: Json, payload: Json, digest: str = "sha256") -> str:
    """A token with an HMAC under this secret."""
    signed = signing_input(head, payload)
    return join(signed, hmac.new(secret, signed, getattr(hashlib, digest)).digest())


def nested(depth: int) -> bytes:
    """`[[…]]` this deep."""
    return b"[" * depth + b"]" * depth


def unclosed_strings(pairs: int) -> bytes:
    """Nested deep enough to be looked at twice, then a string of escaped quotes without an end.

    A scanner that looks for strings from each quote in turn takes time in the square of its length.
    """
    return b"[" * 100 + b'"' + b'\\"' * pairs


def with_member(members: Json, name: str, literal: bytes) -> bytes:
    """JSON of the members, and one more whose value is written out literally."""
    return compact(members)[:-1] + b',"' + name.encode("utf-8") + b'":' + literal + b"}"
