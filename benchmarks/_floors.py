"""The floors: the least that a check of tokens can do, as plain ASGI middleware."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64decode
from binascii import Error
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from joserfc.jwk import import_key

from benchmarks._site import Site
from benchmarks.verify import decode_signature, raw_verify
from jwt_asgi.types import ASGIApp, ASGIScope, Receive, Send

REFUSAL_HEADERS = [(b"www-authenticate", b'Bearer error="invalid_token"'), (b"content-length", b"0")]


def raw_of(site: Site) -> Callable[[bytes, bytes], None]:
    """Return `cryptography`'s verification under the issuer's key, of a signature and the signing input."""
    return raw_verify(public_key_of(site), site.algorithm)


def public_key_of(site: Site) -> Any:  # noqa: ANN401 - any of cryptography's
    key: Any = import_key(site.jwks["keys"][0])
    return key.public_key


class LeastVerify:
    """Split, base64, raw verify, JSON, and `kid`, `alg`, `iss`, `aud`, `nbf`, `exp`: right for well-meant tokens."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._site = site
        self._keys = {site.jwks["keys"][0]["kid"]: raw_of(site)}

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        try:
            scope["jwt"] = self.claims_of(bearer_of(scope))
        except (ValueError, KeyError, Error, InvalidSignature):
            await refuse(send)
        else:
            await self._app(scope, receive, send)

    def claims_of(self, token: bytes) -> dict[str, Any]:
        """Return the claims of a good token; raise something for any other."""
        site = self._site
        header, payload, signature = token.split(b".")
        named = json.loads(urlsafe_b64decode(header + b"=="))
        if named["alg"] != site.algorithm:
            raise ValueError
        raw = self._keys[named["kid"]]
        raw(decode_signature(signature, site.algorithm), header + b"." + payload)
        claims: dict[str, Any] = json.loads(urlsafe_b64decode(payload + b"=="))
        now = time.time()
        if claims["iss"] != site.issuer or claims["aud"] != site.audience or not claims["nbf"] <= now < claims["exp"]:
            raise ValueError
        return claims


class DictHit:
    """A dict in front of it: the SHA-256 of the token as its key; then `nbf`, `exp`, and whether the keys are the same.

    It never forgets, so it is no cache for a server.
    """

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._least = LeastVerify(app, site)
        self._keys = object()
        self._known: dict[bytes, tuple[dict[str, Any], float, float, object]] = {}

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        try:
            token = bearer_of(scope)
            digest = sha256(token).digest()
            known = self._known.get(digest)
            now = time.time()
            if known is not None and known[1] <= now < known[2] and known[3] is self._keys:
                scope["jwt"] = known[0]
            else:
                claims = self._least.claims_of(token)
                self._known[digest] = (claims, claims["nbf"], claims["exp"], self._keys)
                scope["jwt"] = claims
        except (ValueError, KeyError, Error, InvalidSignature):
            await refuse(send)
        else:
            await self._app(scope, receive, send)


def bearer_of(scope: ASGIScope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"authorization":
            credentials: bytes = value
            if credentials[:7] == b"Bearer ":
                return credentials[7:]
    raise ValueError


async def refuse(send: Send) -> None:
    await send({"type": "http.response.start", "status": 401, "headers": REFUSAL_HEADERS})
    await send({"type": "http.response.body", "body": b""})
