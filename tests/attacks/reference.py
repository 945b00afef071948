"""A small verifier of our own, written for this corpus, in which any one check can be left out.

It serves two ends: a corpus that a sound verifier passes is free of wrong cases, and a corpus that no verifier with a
hole passes is worth running. It is no example of how to write one: it is slow, and only as careful as the cases ask.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from jwt_asgi.types import ASGIApp, ASGIScope, Fetch, Receive, Send
from tests.attacks.corpus.case import ALGORITHMS, AUDIENCE, ISSUER, JWKS_URI, LEEWAY
from tests.attacks.corpus.jws import b64, pkcs1_block, unb64

_CHECKS = """
    size segments base64 canonical utf8 bom constants numbers depth duplicates object alg crit b64 typ kid-type kid
    key-alg use key-ops weak exponent curve signature iss aud aud-type exp nbf iat finite horizon strings cnf kind
    required scope scheme one-field other-places throttle cache-key cache-expiry jku echo statuses
"""
CHECKS = frozenset(_CHECKS.split())
"""What can be left out."""

_TYPES = {"jwt", "at+jwt", "application/at+jwt"}
_B64TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")


class RefusedError(Exception):
    """401 invalid_token, or the status and code given."""

    def __init__(self, why: str, status: int = 401, code: str | None = "invalid_token") -> None:
        super().__init__(why)
        self.status, self.code = status, code


class Reference:
    """The ASGI middleware; `skip` names the checks to leave out."""

    def __init__(
        self, app: ASGIApp, fetch: Fetch, clock: Callable[[], float], skip: str = "", profile: str = "GENERIC"
    ) -> None:
        self.app, self.fetch, self.clock, self.skip, self.profile = app, fetch, clock, skip, profile
        self.members: list[dict[str, Any]] | None = None
        self.tokens = 2
        self.seen: dict[str, dict[str, Any]] = {}

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Let a request with a good token pass."""
        try:
            token = self.bearer(scope)
            await self.verify(token)
        except RefusedError as refused:
            await self._refuse(refused, send)
        else:
            await self.app(scope, receive, send)

    async def _refuse(self, refused: RefusedError, send: Send) -> None:
        challenge = f'Bearer error="{refused.code}"' if refused.code else "Bearer"
        status = 500 if self.skip == "statuses" else refused.status
        headers = [(b"www-authenticate", challenge.encode()), (b"cache-control", b"no-store")]
        text = str(refused).encode("utf-8", "replace") if self.skip == "echo" else b""
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text})

    def check(self, name: str, *, holds: bool, why: str = "") -> None:
        """Refuse unless the check holds or is left out."""
        if not holds and self.skip != name:
            raise RefusedError(why or name)

    def bearer(self, scope: ASGIScope) -> str:
        """The token, from the one place for it."""
        fields = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
        if self.skip == "other-places":
            fields += [b"Bearer " + value for name, value in scope["headers"] if name == b"x-access-token"]
        elif fields and "access_token" in parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True):
            raise RefusedError("two sources", 400, "invalid_request")
        if len(fields) > 1 and self.skip != "one-field":
            raise RefusedError("two fields", 400, "invalid_request")
        if not fields or not fields[0].strip():
            raise RefusedError("none", 401, None)
        words = fields[0].split() if self.skip == "scheme" else fields[0].split(b" ", 1)
        if words[0].lower() != b"bearer" and self.skip != "scheme":
            raise RefusedError("scheme", 401, None)
        raw = words[-1].lstrip(b" ")
        if not _B64TOKEN.fullmatch(raw) and self.skip not in {"base64", "scheme"}:
            raise RefusedError("characters", 400, "invalid_request")
        return str(raw, "latin-1")

    async def verify(self, token: str) -> dict[str, Any]:
        """The claims of a good token."""
        cache_key = token.split(".")[1] if self.skip == "cache-key" and token.count(".") > 1 else token
        if (seen := self.seen.get(cache_key)) is not None:
            if self.skip != "cache-expiry":
                self._times(seen)
            return seen
        self.check("size", holds=len(token) <= 16_384)
        segments = token.split(".")
        self.check("segments", holds=len(segments) == 3)
        if len(segments) < 3:
            raise RefusedError("segments")
        raw_header, raw_payload, signature = (self._decode(segment) for segment in segments[:3])
        header = self._object(raw_header)
        self._header(header, token)
        signed = f"{segments[0]}.{segments[1]}".encode("latin-1")
        candidates = await self._candidates(header)
        good = any(self._signed_by(member, header["alg"], signed, signature) for member in candidates)
        self.check("signature", holds=good)
        claims = self._object(raw_payload)
        self._claims(claims)
        if len(self.seen) < 1000:
            self.seen[cache_key] = claims
        return claims

    def _decode(self, segment: str) -> bytes:
        if self.skip == "base64":
            kept = re.sub(r"[^A-Za-z0-9_-]", "", segment.translate(str.maketrans("+/", "-_")))
            return unb64(kept if len(kept) % 4 != 1 else kept[:-1])
        if not re.fullmatch(r"[A-Za-z0-9_-]*", segment) or len(segment) % 4 == 1:
            raise RefusedError("base64")
        data = unb64(segment)
        self.check("canonical", holds=b64(data) == segment)
        return data

    def _object(self, raw: bytes) -> dict[str, Any]:
        if raw.startswith(b"\xef\xbb\xbf"):
            self.check("bom", holds=False)
            raw = raw[3:]
        if self.skip != "depth" and max(raw.count(b"["), raw.count(b"{")) > 100:
            raise RefusedError("depth")
        try:
            # json.loads(bytes) sniffs UTF-16 and UTF-32.
            text = raw if self.skip == "utf8" else raw.decode("utf-8")
            value = json.loads(
                text, object_pairs_hook=self._pairs, parse_constant=self._constant, parse_int=self._integer
            )
        except ValueError as error:
            raise RefusedError("json") from error
        if self.skip == "object" and isinstance(value, list) and value and isinstance(value[0], dict):
            value = value[0]
        if not isinstance(value, dict):
            raise RefusedError("not an object")
        return value

    def _pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self.check("duplicates", holds=len(dict(pairs)) == len(pairs))
        return dict(pairs)

    def _constant(self, text: str) -> float:
        self.check("constants", holds=False)
        return float(text)

    def _integer(self, text: str) -> int:
        if len(text) > 1000 and self.skip != "numbers":
            raise RefusedError("digits")
        return int(text) if len(text) < 4000 else 10**400

    def _header(self, header: dict[str, Any], token: str) -> None:
        alg = header.get("alg")
        if not isinstance(alg, str):
            raise RefusedError("alg")
        self.check("alg", holds=alg in ALGORITHMS, why=token)
        self.check("crit", holds="crit" not in header)
        self.check("b64", holds="b64" not in header)
        if "kid" in header and (not isinstance(header["kid"], str) or not header["kid"] or len(header["kid"]) > 256):
            self.check("kid-type", holds=False)
        typ = header.get("typ", "jwt")
        fits = isinstance(typ, str) and typ.lower() in (_TYPES - {"jwt"} if self.profile == "RFC9068" else _TYPES)
        self.check("typ", holds=fits)

    async def _candidates(self, header: dict[str, Any]) -> list[dict[str, Any]]:
        if self.skip == "jku" and "jku" in header:
            await self.fetch(header["jku"], headers={}, timeout=1, limit=1)
        kid = header.get("kid")
        found = await self._by_kid(kid)
        if not found and kid is not None and (self.tokens > 0 or self.skip == "throttle"):
            self.tokens -= 1
            self.members = None
            found = await self._by_kid(kid)
        return [member for member in found if self._usable(member, header["alg"])]

    async def _by_kid(self, kid: object) -> list[dict[str, Any]]:
        if self.members is None:
            answer = await self.fetch(JWKS_URI, headers={}, timeout=1, limit=1 << 20)
            self.members = [member for member in json.loads(answer.body)["keys"] if isinstance(member, dict)]
        if kid is None or self.skip == "kid":
            return self.members
        return [member for member in self.members if member.get("kid") == kid]

    def _usable(self, member: dict[str, Any], alg: str) -> bool:
        left = self.skip
        return (
            (member.get("use", "sig") == "sig" or left == "use")
            and ("verify" in member.get("key_ops", ["verify"]) or left == "key-ops")
            and (member.get("alg", alg) == alg or left in {"key-alg", "use"})
        )

    def _signed_by(self, member: dict[str, Any], alg: str, signed: bytes, signature: bytes) -> bool:
        try:
            key = self._key(member)
            _verify(key, alg, signed, signature)
        except (InvalidSignature, ValueError, KeyError, TypeError, AttributeError):
            return _unchecked(member, alg, signed, signature) if self.skip in {"exponent", "alg"} else False
        return True

    def _key(self, member: dict[str, Any]) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey:
        numbers = {name: int.from_bytes(unb64(member[name]), "big") for name in ("n", "e", "x", "y") if name in member}
        if member["kty"] == "RSA":
            if numbers["n"].bit_length() < 2048 and self.skip != "weak":
                raise ValueError("weak")
            return rsa.RSAPublicNumbers(numbers["e"], numbers["n"]).public_key()
        if member["kty"] == "EC":
            curve: ec.EllipticCurve = ec.SECP256R1() if member["crv"] == "P-256" else ec.SECP384R1()
            if member["crv"] != "P-256" and self.skip != "curve":
                raise ValueError("curve")
            return ec.EllipticCurvePublicNumbers(numbers["x"], numbers["y"], curve).public_key()
        return ed25519.Ed25519PublicKey.from_public_bytes(unb64(member["x"]))

    def _claims(self, claims: dict[str, Any]) -> None:
        self.check("iss", holds=claims.get("iss") == ISSUER)
        audience = claims.get("aud")
        listed = audience if isinstance(audience, list) else [audience]
        self.check("aud-type", holds=all(isinstance(one, str) for one in listed))
        self.check("aud", holds=AUDIENCE in listed)
        self._times(claims)
        for name in ("sub", "jti", "client_id"):
            value = claims.get(name, "")
            plain = isinstance(value, str) and not re.search("[\ud800-\udfff\r\n]", value)
            self.check("strings", holds=plain)
        kinds = [str(claims.get(name, "")).lower() for name in ("token_use", "typ", "type")]
        self.check("kind", holds=not {"id", "refresh", "offline", "logout"}.intersection(kinds))
        self.check("cnf", holds="cnf" not in claims)
        scope = claims.get("scope", "")
        entries = scope if isinstance(scope, list) else [scope]
        self.check("scope", holds=all(isinstance(entry, str) for entry in entries))
        if self.profile == "RFC9068":
            self.check("required", holds={"sub", "jti", "client_id", "iat"} <= set(claims))

    def _times(self, claims: dict[str, Any]) -> None:
        now = self.clock()
        for name in ("exp", "nbf", "iat"):
            if name not in claims:
                continue
            value = claims[name]
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise RefusedError(name)
            if isinstance(value, float) and not math.isfinite(value):
                self.check("finite", holds=False)
            else:
                self.check("horizon", holds=abs(value) < 10**11)
        self.check("exp", holds="exp" in claims and claims["exp"] > now - LEEWAY)
        self.check("nbf", holds=claims.get("nbf", 0) <= now + LEEWAY)
        self.check("iat", holds=claims.get("iat", 0) <= now + LEEWAY)


def _verify(
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey, alg: str, data: bytes, given: bytes
) -> None:
    digest = hashes.SHA256()
    if isinstance(key, ed25519.Ed25519PublicKey) and alg == "EdDSA":
        key.verify(given, data)
    elif isinstance(key, ec.EllipticCurvePublicKey) and alg == "ES256":
        half = len(given) // 2
        if len(given) != 2 * ((key.curve.key_size + 7) // 8):
            raise ValueError("length")
        der = encode_dss_signature(int.from_bytes(given[:half], "big"), int.from_bytes(given[half:], "big"))
        key.verify(der, data, ec.ECDSA(digest))
    elif isinstance(key, rsa.RSAPublicKey) and alg == "RS256":
        key.verify(given, data, padding.PKCS1v15(), digest)
    elif isinstance(key, rsa.RSAPublicKey) and alg == "PS256":
        key.verify(given, data, padding.PSS(padding.MGF1(digest), 32), digest)
    else:
        raise ValueError("key and algorithm")


def _unchecked(member: dict[str, Any], alg: str, data: bytes, given: bytes) -> bool:
    """What a verifier without these checks falls for: `none`, and an exponent of 1."""
    return (alg == "none" and not given) or (member.get("e") == "AQ" and given == pkcs1_block(data))
