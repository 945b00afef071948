"""The test kit: an in-process issuer, good and bad tokens, for us and for our users.

The application under test keeps its real middleware, and the real verifier runs; only the issuer is replaced:

    issuer = TestIssuer(audience="https://api.example.com")
    app = JWTMiddleware(app, **issuer.options())
    client.get("/", headers={"Authorization": f"Bearer {issuer.token(scope='todos:read')}"})
"""

from __future__ import annotations

import hashlib
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict
from urllib.parse import urlsplit

from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from jwt_asgi._core.bearer import MAX_TOKEN_BYTES
from jwt_asgi._core.policy import ASYMMETRIC_ALGORITHMS
from jwt_asgi._keys.discovery import metadata_urls
from jwt_asgi.errors import ConfigurationError, Reason
from jwt_asgi.types import ASGIScope, Clock, Fetch, FetchResponse, Receive, Send

__all__ = ["TestIssuer", "TrustingOptions"]

_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "ES256K": "secp256k1", "Ed448": "Ed448"}


class TrustingOptions(TypedDict):
    """The options of `JWTMiddleware` and `TrustedIssuer` that make them trust a `TestIssuer`."""

    issuer: str
    audience: str
    algorithms: Sequence[str]
    fetch: Fetch


@dataclass(frozen=True, slots=True)
class _SigningKey:
    kid: str
    alg: str
    key: RSAKey | ECKey | OKPKey

    def public(self) -> dict[str, Any]:
        return {**self.key.as_dict(private=False), "kid": self.kid, "use": "sig", "alg": self.alg}

    def sign(self, header: Mapping[str, Any], payload: bytes) -> str:
        signing_input = f"{_segment(_json(header))}.{_segment(payload)}"
        signature = JWSRegistry.algorithms[self.alg].sign(signing_input.encode("ascii"), self.key)
        return f"{signing_input}.{_segment(signature)}"


class TestIssuer:
    """An issuer with real keys, in this process.

    It is asked over `fetch`, without a socket, or is itself an ASGI application that serves its metadata and its key
    set over HTTP. Its keys are made when it is made, and are gone with it.

    Args:
        issuer: Its identifier, `iss`. Where it is served over HTTP, its URL.
        audience: `aud` of the tokens, unless said otherwise.
        algorithms: One key is made for each; the first signs unless said otherwise.
        clock: Seconds since the epoch, for `iat` and `exp`.

    Raises:
        ConfigurationError: an algorithm is none of RS/PS/ES 256-512, ES256K, EdDSA, Ed25519, Ed448.
    """

    __test__ = False  # not a test class, whatever pytest makes of its name

    def __init__(
        self,
        issuer: str = "https://issuer.test",
        *,
        audience: str = "https://api.test",
        algorithms: Sequence[str] = ("RS256",),
        clock: Clock = time.time,
    ) -> None:
        """Make the keys."""
        unknown = [name for name in algorithms if name not in ASYMMETRIC_ALGORITHMS]
        if unknown or not algorithms or isinstance(algorithms, str):
            detail = f"expected a list of {', '.join(ASYMMETRIC_ALGORITHMS)}; got {algorithms!r}"
            raise ConfigurationError("algorithms", detail)
        self.issuer = issuer
        self.audience = audience
        self.algorithms = tuple(algorithms)
        self.fetched: list[str] = []
        self._clock = clock
        self._generation = 0
        self._signing: dict[str, _SigningKey] = {}
        self._retired: list[_SigningKey] = []
        self.rotate()

    @property
    def jwks_uri(self) -> str:
        """Where the key set is."""
        return f"{self.issuer.rstrip('/')}/jwks.json"

    def options(self) -> TrustingOptions:
        """Return options for `JWTMiddleware` and `TrustedIssuer`: ``JWTMiddleware(app, **issuer.options())``."""
        return TrustingOptions(
            issuer=self.issuer, audience=self.audience, algorithms=list(self.algorithms), fetch=self.fetch
        )

    def rotate(self, *, keep_old: bool = True) -> None:
        """Sign with new keys from now on. The old ones stay published, or are withdrawn."""
        self._generation += 1
        self._retired = [*self._signing.values(), *self._retired] if keep_old else []
        self._signing = {alg: _new_key(alg, self._generation) for alg in self.algorithms}

    def jwks(self) -> dict[str, Any]:
        """Return the published key set."""
        return {"keys": [key.public() for key in (*self._signing.values(), *self._retired)]}

    def metadata(self) -> dict[str, Any]:
        """Return the metadata (RFC 8414 section 2)."""
        return {"issuer": self.issuer, "jwks_uri": self.jwks_uri, "response_types_supported": ["code"]}

    def token(
        self,
        *,
        subject: str = "user-1",
        client_id: str = "client-1",
        audience: str | Sequence[str] | None = None,
        scope: str = "",
        roles: Sequence[str] = (),
        expires_in: float = 300.0,
        algorithm: str | None = None,
        claims: Mapping[str, Any] | None = None,
        header: Mapping[str, Any] | None = None,
        without: Iterable[str] = (),
    ) -> str:
        """Return an access token as RFC 9068 wants it.

        `claims` and `header` add to it or replace members of it; `without` names claims to leave out. `expires_in` is
        in seconds from now, and may be negative. `algorithm` is one of the issuer's own.
        """
        key = self._signing[algorithm or self.algorithms[0]]
        members = self._claims(
            subject, client_id, self.audience if audience is None else audience, scope, roles, expires_in
        ) | dict(claims or {})
        payload = {name: value for name, value in members.items() if name not in set(without)}
        return key.sign({"alg": key.alg, "typ": "at+jwt", "kid": key.kid, **(header or {})}, _json(payload))

    def bad_token(self, reason: Reason) -> str:
        """Return a token that is refused for this reason, and would be good but for it.

        Raises:
            KeyError: no token alone is refused for it.
        """
        now = self._clock()
        changes: dict[Reason, dict[str, Any]] = {
            Reason.HEADER_MALFORMED: {"header": {"kid": 7}},
            Reason.HEADER_CRITICAL: {"header": {"crit": ["exp"]}},
            Reason.TYPE_NOT_ACCEPTED: {"header": {"typ": "logout+jwt"}},
            Reason.ISSUER_UNTRUSTED: {"claims": {"iss": f"{self.issuer}.evil.test"}},
            Reason.KEY_UNKNOWN: {"header": {"kid": "a-key-that-is-not-published"}},
            Reason.CLAIM_MISSING: {"without": ["exp"]},
            Reason.CLAIM_MALFORMED: {"claims": {"sub": 7}},
            Reason.AUDIENCE_MISMATCH: {"audience": "https://another-api.test"},
            Reason.BINDING_UNSUPPORTED: {"claims": {"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}},
            Reason.TOKEN_NOT_YET_VALID: {"claims": {"nbf": now + 3600}},
            Reason.TOKEN_ISSUED_IN_FUTURE: {"claims": {"iat": now + 3600, "exp": now + 7200}},
            Reason.TOKEN_EXPIRED: {"expires_in": -3600},
        }
        if reason in changes:
            return self.token(**changes[reason])
        return self._tampered(reason)

    async def fetch(self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:  # noqa: ARG002 - the protocol's own
        """Answer as the issuer's server would; every URL that was asked for is kept in `fetched`."""
        self.fetched.append(url)
        return self._answer(url, headers.get("if-none-match"))

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Serve the metadata and the key set over HTTP, at the paths of the issuer's URL."""
        if scope["type"] != "http":
            raise ConfigurationError("scope type", f"TestIssuer serves http alone; got {scope['type']!r}")
        parts = urlsplit(self.issuer)
        sent = dict(scope["headers"]).get(b"if-none-match")
        etag = None if sent is None else sent.decode("latin-1")
        answer = self._answer(f"{parts.scheme}://{parts.netloc}{scope['path']}", etag)
        raw = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await send({"type": "http.response.body", "body": answer.body})

    def _answer(self, url: str, etag: str | None) -> FetchResponse:
        documents = {self.jwks_uri: self.jwks, **dict.fromkeys(metadata_urls(self.issuer), self.metadata)}
        if url not in documents:
            return FetchResponse(404, {}, b"")
        body = _json(documents[url]())
        headers = {
            "content-type": "application/json",
            "cache-control": "max-age=300",
            "etag": f'"{hashlib.sha256(body).hexdigest()[:16]}"',
        }
        return FetchResponse(304, headers, b"") if etag == headers["etag"] else FetchResponse(200, headers, body)

    def _claims(
        self,
        subject: str,
        client_id: str,
        audience: str | Sequence[str],
        scope: str,
        roles: Sequence[str],
        expires_in: float,
    ) -> dict[str, Any]:
        now = int(self._clock())
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": subject,
            "aud": audience if isinstance(audience, str) else list(audience),
            "client_id": client_id,
            "iat": min(now, now + int(expires_in)),
            "exp": now + int(expires_in),
            "jti": f"{self._generation}-{time.perf_counter_ns()}",
        }
        return claims | ({"scope": scope} if scope else {}) | ({"roles": list(roles)} if roles else {})

    def _tampered(self, reason: Reason) -> str:
        good = self.token()
        header, payload, signature = good.split(".")
        unsigned = _segment(_json({"alg": "none", "typ": "at+jwt"}))
        return {
            Reason.TOKEN_TOO_LARGE: lambda: f"{header}.{payload}.{signature * (MAX_TOKEN_BYTES // len(signature) + 1)}",
            Reason.TOKEN_MALFORMED: lambda: f"{header}.{payload}",
            Reason.TOKEN_ENCRYPTED: lambda: f"{header}.{payload}.{signature}.{payload}.{signature}",
            Reason.ALGORITHM_NOT_ALLOWED: lambda: f"{unsigned}.{payload}.",
            Reason.SIGNATURE_INVALID: lambda: f"{header}.{payload}.{self.token(subject='someone-else').split('.')[2]}",
        }[reason]()


def _new_key(alg: str, generation: int) -> _SigningKey:
    kid = f"{alg.lower()}-{generation}"
    if alg.startswith(("RS", "PS")):
        return _SigningKey(kid, alg, RSAKey.generate_key(2048))
    if alg.startswith("ES"):
        return _SigningKey(kid, alg, ECKey.generate_key(_CURVES[alg]))
    return _SigningKey(kid, alg, OKPKey.generate_key("Ed448" if alg == "Ed448" else "Ed25519"))


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("utf-8")


def _segment(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
