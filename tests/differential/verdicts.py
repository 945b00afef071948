"""What each of the three says of a token, configured alike."""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Self
from unittest.mock import patch

import jwt as pyjwt
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet, OctKey
from joserfc.jws import JWSRegistry
from joserfc.jwt import JWTClaimsRegistry
from jwt.algorithms import get_default_algorithms

from jwt_asgi import AccessToken, SharedSecret, StaticKeys, TrustedIssuer, Verifier
from jwt_asgi.errors import TokenError
from jwt_asgi.token_cache import DEFAULT_TOKENS
from tests.differential.keys import (
    ALGORITHMS,
    AUDIENCE,
    ISSUER,
    JWKS,
    LEEWAY,
    NOW,
    SECRET,
    SECRET_ALGORITHMS,
    SIGNERS,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a token was accepted, the claims that were read from it, and otherwise why not."""

    accepted: bool
    claims: Any = None
    why: str = ""


class FaultError(Exception):
    """An exception that must not come out of the verifier."""


class _StoppedDatetime(datetime):
    """The clock that PyJWT reads."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return cls.fromtimestamp(NOW, tz=tz or UTC)


@contextmanager
def stopped_clock() -> Iterator[None]:
    """Stop PyJWT's clock; the other two take theirs as an argument. Its warnings, and joserfc's, are not ours."""
    with patch("jwt.api_jwt.datetime", _StoppedDatetime), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def result_of(coroutine: Coroutine[Any, Any, AccessToken]) -> AccessToken:
    """What a coroutine returns that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: AccessToken = done.value
        return result
    coroutine.close()
    raise FaultError("it waited")


class Ours:
    """`Verifier.verify`, with the keys at hand. It remembers what it verified, unless `token_cache` is 0."""

    def __init__(self, *, secret: bool, token_cache: int = DEFAULT_TOKENS) -> None:
        issuer = TrustedIssuer(
            issuer=ISSUER,
            audience=AUDIENCE,
            algorithms=SECRET_ALGORITHMS if secret else ALGORITHMS,
            keys=SharedSecret(SECRET) if secret else StaticKeys(JWKS),
            leeway=LEEWAY,
        )
        self.now = float(NOW)
        self._verifier = Verifier(issuer, clock=lambda: self.now, token_cache=token_cache)

    def __call__(self, token: bytes) -> Verdict:
        try:
            return Verdict(True, result_of(self._verifier.verify(token)).claims)
        except TokenError as error:
            return Verdict(False, why=error.reason.value)
        except Exception as error:
            raise FaultError(f"{type(error).__name__}: {str(error)[:200]}") from error


class Joserfc:
    """`joserfc.jwt.decode` and its claims registry. Unknown members of the header are allowed, as with us."""

    def __init__(self, *, secret: bool) -> None:
        algorithms = SECRET_ALGORITHMS if secret else ALGORITHMS
        self._registry = JWSRegistry(algorithms=algorithms, strict_check_header=False)
        self._secret = OctKey.import_key(SECRET) if secret else None
        self._set = KeySet.import_key_set(JWKS)  # type: ignore[arg-type]
        self._by_kid = {key.kid: key for key in self._set.keys}
        self._claims = JWTClaimsRegistry(
            now=NOW,
            leeway=LEEWAY,
            iss={"essential": True, "value": ISSUER},
            aud={"essential": True, "value": AUDIENCE},
            exp={"essential": True},
        )

    def __call__(self, token: bytes) -> Verdict:
        left: list[Any] = []
        verdict = self._decode(token, left)
        while left and verdict.why == "BadSignatureError":
            # A token without kid: every key that fits is tried, as with us
            verdict = self._decode(token, left, left.pop())
        return verdict

    def _decode(self, token: bytes, left: list[Any], chosen: Any = None) -> Verdict:
        def choose(parsed: Any) -> Any:
            header = parsed.headers()
            if chosen is not None or "kid" in header:
                return chosen or self._set
            first, *others = (self._by_kid[kid] for kid in SIGNERS.get(header["alg"], ("rsa-1",)))
            left.extend(others)
            return first

        try:
            decoded = joserfc_jwt.decode(token, self._secret or choose, registry=self._registry)
            self._claims.validate(decoded.claims)
        except Exception as error:
            return Verdict(False, why=type(error).__name__)
        return Verdict(True, decoded.claims)


class PyJWT:
    """`jwt.decode`, with the key that the kid names."""

    def __init__(self, *, secret: bool) -> None:
        self._secret = secret
        self._algorithms = SECRET_ALGORITHMS if secret else ALGORITHMS
        named = {kid: alg for alg, kids in SIGNERS.items() for kid in kids}
        makers = get_default_algorithms()
        self._keys: dict[str, Any] = {jwk["kid"]: makers[named[jwk["kid"]]].from_jwk(jwk) for jwk in JWKS["keys"]}

    def __call__(self, token: bytes) -> Verdict:
        verdict = Verdict(False, why="KeyError")
        try:
            for key in self._candidates(token):
                verdict = self._decode(token, key)
                if verdict.why != "InvalidSignatureError":
                    break
        except Exception as error:
            return Verdict(False, why=type(error).__name__)
        return verdict

    def _candidates(self, token: bytes) -> list[Any]:
        if self._secret:
            return [SECRET]
        # Where this cannot be read, decode() refuses it for that, whatever the key
        segment = token.partition(b".")[0]
        header = json.loads(base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4)))
        if "kid" in header:
            return [self._keys[header["kid"]]]
        return [self._keys[kid] for kid in SIGNERS.get(header["alg"], ())]

    def _decode(self, token: bytes, key: Any) -> Verdict:
        try:
            claims = pyjwt.decode(
                token,
                key,
                algorithms=self._algorithms,
                audience=AUDIENCE,
                issuer=ISSUER,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud"]},
            )
        except Exception as error:
            return Verdict(False, why=type(error).__name__)
        return Verdict(True, claims)
