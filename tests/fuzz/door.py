"""The harness of `authorization`: an Authorization header, and what must hold of the answer.

An input is lines that end in CR LF, which no header can hold: `@` and a character choose one of the doors, `?` begins
the query string, and every other line is an Authorization field.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from jwt_asgi import AccessToken, JWTMiddleware, Profile, StaticKeys, TrustedIssuer, Verifier
from jwt_asgi._core.access import Requirement
from jwt_asgi.access import Scope
from jwt_asgi.instrumentation import Decision
from jwt_asgi.tenants import TrustedTenants
from jwt_asgi.types import ASGIScope, FetchResponse, Receive, Send
from tests.asgi import Answer, http
from tests.fuzz.keys import b64, b64_int, private_key, public_jwk, sign
from tests.fuzz.reference import Opinion, PublishedKey, Trusted, opinion

NOW = 1_750_000_000
LATER = NOW + 3_631
"""A token of the seeds is good for an hour, and 30 seconds of leeway, from `NOW` on."""
ISSUER = "https://issuer.example"
AUDIENCE = "https://api.example.com"
JWKS_URI = "https://issuer.example/jwks"
TENANTS = "https://login.example/{tenantid}/v2.0"
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
SCOPE = "canary:read"

T = TypeVar("T")

_FORGOTTEN_AFTER = 61.0
_RUN = re.compile(r"[A-Za-z0-9_-]{16,}")
# RFC 9110 section 11.6.1, with the characters of RFC 6750 section 3
_PARAMETER = r'[a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*"'
_CHALLENGE = re.compile(rf"Bearer(?: {_PARAMETER}(?:, {_PARAMETER})*)?")
_CANARY = re.compile(r"canary[A-Za-z0-9_:-]*")
_DIGITS = re.compile(rb"[0-9]+")

JWKS: dict[str, Any] = {
    "keys": [
        public_jwk("rsa-1", kid="rsa-1", use="sig", alg="RS256"),
        public_jwk("rsa-2", kid="rsa-2", use="sig"),
        public_jwk("rsa-ps", kid="rsa-ps", use="sig", alg="PS256"),
        public_jwk("ec-1", kid="ec-1", use="sig", alg="ES256"),
        public_jwk("ed-1", kid="ed-1", use="sig", alg="EdDSA"),
        public_jwk("p384", kid="p384", use="sig"),
        # What must not verify, whatever it is asked for
        public_jwk("rsa-enc", kid="rsa-enc", use="enc", alg="RSA-OAEP"),
        public_jwk("rsa-weak", kid="rsa-weak", use="sig"),
        public_jwk("rsa-e1", kid="rsa-e1", use="sig") | {"e": "AQ"},
        public_jwk("rsa-seven", kid=7, use="sig"),
        {"kty": "oct", "kid": "oct-1", "k": b64(bytes(32)), "alg": "HS256"},
        {"kty": "EC", "crv": "P-256", "kid": "ec-off-curve", "x": b64_int(5, 32), "y": b64_int(7, 32)},
    ]
}
PUBLISHED = (
    PublishedKey("rsa-1", "RSA", private_key("rsa-1").public_key(), ("RS256",)),
    PublishedKey("rsa-2", "RSA", private_key("rsa-2").public_key()),
    PublishedKey("rsa-ps", "RSA", private_key("rsa-ps").public_key(), ("PS256",)),
    PublishedKey("ec-1", "P-256", private_key("ec-1").public_key(), ("ES256",)),
    PublishedKey("ed-1", "Ed25519", private_key("ed-1").public_key()),
    PublishedKey("p384", "P-384", private_key("p384").public_key()),
)
_ONE, _ANY = TENANTS.replace("{tenantid}", "t1"), TENANTS
_OTHER = "https://login.example/consumers/v2.0"
TENANTS_JWKS: dict[str, Any] = {
    "keys": [
        public_jwk("ed-1", kid="ed-1", issuer=_ONE),
        public_jwk("ed-2", kid="ed-2", issuer=_ANY),
        public_jwk("ed-3", kid="ed-3", issuer=_OTHER),
        public_jwk("ec-2", kid="ec-1"),
    ]
}
TENANTS_PUBLISHED = (
    PublishedKey("ed-1", "Ed25519", private_key("ed-1").public_key(), issuer=_ONE),
    PublishedKey("ed-2", "Ed25519", private_key("ed-2").public_key(), issuer=_ANY),
    PublishedKey("ed-3", "Ed25519", private_key("ed-3").public_key(), issuer=_OTHER),
    PublishedKey("ec-1", "P-256", private_key("ec-2").public_key()),
)


class FindingError(AssertionError):
    """An invariant does not hold."""


def need(holds: object, what: str) -> None:
    """Raise a FindingError unless it holds."""
    if not holds:
        raise FindingError(what)


class Sent(NamedTuple):
    """An input, taken apart."""

    door: int
    fields: tuple[bytes, ...]
    query: bytes


def take_apart(data: bytes) -> Sent:
    """Read an input; any bytes are one."""
    door, query, fields = 0, b"", []
    for line in data.split(b"\r\n"):
        if line.startswith(b"@"):
            door = int.from_bytes(line[1:2], "big")
        elif line.startswith(b"?"):
            query = line[1:]
        else:
            fields.append(line)
    return Sent(door, tuple(fields), query)


@dataclass
class Door:
    """One way to set up the middleware, both of its sides watched."""

    name: str
    trusted: tuple[Trusted, ...]
    make: Callable[[Door], Verifier]
    answers: Mapping[str, object] = field(default_factory=dict)
    """What the endpoint of the issuer's keys answers, by URL; an answer that is None is a failure."""
    rules: Mapping[str, Requirement] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    now: float = NOW
    key_now: float = 0.0
    fetched: list[str] = field(default_factory=list)
    tokens: list[AccessToken] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    plain: set[tuple[int, frozenset[tuple[bytes, bytes]], bytes]] = field(default_factory=set)
    said: set[str] = field(default_factory=set)
    app: JWTMiddleware = field(init=False)

    def clock(self) -> float:
        """The verifier's."""
        return self.now

    def key_clock(self) -> float:
        """That of the age of keys."""
        return self.key_now

    async def fetch(self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        """Answer in process, and note who was asked."""
        self.fetched.append(url)
        document = self.answers.get(url)
        return FetchResponse(500 if document is None else 200, {}, json.dumps(document).encode())

    async def inner(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Read all that the token says."""
        token = scope["jwt"]
        self.tokens.append(token)
        for name in ("issuer", "subject", "client_id", "audience", "scopes", "roles", "permissions", "good_until"):
            getattr(token, name)
        need(token.token_id is None or isinstance(token.token_id, str), "the jti is no text")
        need(repr(token).isascii() or repr(token), "no repr")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"in"})

    async def open(self) -> None:
        """Make it anew, and let it fetch its keys."""
        verifier = self.make(self)
        self.app = JWTMiddleware(
            self.inner, verifier=verifier, hooks=[self.decisions.append], rules=self.rules, **self.options
        )
        if any(self.answers.values()):
            await verifier.start("require")
        self.fetched.clear()

    async def learn(self, requests: Iterable[Sent]) -> None:
        """Keep what is answered to plain requests: no other answer may be given, whatever is sent."""
        for request in requests:
            for self.now in (NOW, LATER):
                answer = await self.ask(request)
                self.plain.add(_essence(answer))
                self.said.update(_RUN.findall(self.decisions[-1].detail))
                self.key_now += _FORGOTTEN_AFTER

    async def ask(self, request: Sent) -> Answer:
        """Send it through the door."""
        self.decisions.clear()
        headers = [(b"authorization", value) for value in request.fields]
        return await http(self.app, headers=headers, query=request.query)

    async def check(self, request: Sent, now: float) -> int:
        """Send it, hold the answer against the second opinion, and return its status."""
        self.now = now
        expected = opinion(self.trusted, request.fields, request.query, now)
        self.tokens.clear()
        self.fetched.clear()
        try:
            answer = await self.ask(request)
        except Exception as error:
            raise FindingError(f"{type(error).__name__} left the door: {error}") from error
        need(answer.status == self.status(expected), f"{answer.status}, not {self.status(expected)} at {now}")
        need(bool(self.tokens) is (answer.status == 200), "the application was called for a refusal, or was not called")
        need(not self.fetched or expected.sound, "a token without a valid shape caused a fetch")
        need(set(self.fetched) <= set(self.answers), f"fetched {self.fetched}")
        need(len(self.fetched) <= 1, "more than one fetch")
        need(len(self.decisions) == 1, f"{len(self.decisions)} decisions were told")
        if answer.status == 200:
            self._read(expected)
        else:
            self._refused(request, answer, expected)
        if self.fetched:
            # So that nothing is left of it: neither a limit, nor a miss that is remembered, nor a pause after a failure
            self.key_now += _FORGOTTEN_AFTER
        return answer.status

    def status(self, expected: Opinion) -> int:
        """The status that goes with an opinion, here."""
        if expected.sound and not any(self.answers.values()) and self.answers:
            return 503
        if expected.status == 200 and self.rules:
            scope = expected.claims.get("scope", "")
            return 200 if SCOPE in (scope.split(" ") if isinstance(scope, str) else scope) else 403
        return expected.status

    def _read(self, expected: Opinion) -> None:
        (token,) = self.tokens
        need(json.dumps(token.claims) == json.dumps(expected.claims), "other claims than were signed")
        need(json.dumps(token.header) == json.dumps(expected.header), "another header than was signed")
        need(self.decisions[0].reason is None, "a grant with a reason")

    def _refused(self, request: Sent, answer: Answer, expected: Opinion) -> None:
        reason, detail = self.decisions[0].reason, self.decisions[0].detail
        need(reason is not None and reason.status == answer.status, "the reason is of another status")
        need(answer.header("cache-control") == "no-store", "the refusal may be cached")
        challenge = answer.challenge
        need(challenge is not None or answer.status in {403, 503}, "no challenge")
        need(challenge is None or _CHALLENGE.fullmatch(challenge), "an ill-formed challenge")
        need(_essence(answer) in self.plain, f"says what no plain refusal says: {answer}")
        need(detail.isprintable(), "a control character for the log")
        sent = b"\n".join(request.fields).decode("latin-1")
        runs = [run for run in _RUN.findall(detail) if run in sent and run not in self.said]
        need(not runs, f"the detail holds a part of the token: {runs}")
        told = set(_CANARY.findall(detail)) - {SCOPE}
        need(not told, f"the detail says what the token says: {told} {expected.claims}")


def _essence(answer: Answer) -> tuple[int, frozenset[tuple[bytes, bytes]], bytes]:
    """An answer without the seconds of its Retry-After."""
    headers = ((name, _DIGITS.sub(b"1", value) if name == b"retry-after" else value) for name, value in answer.headers)
    return answer.status, frozenset(headers), answer.body


def token(alg: str, key: str, *, head: Mapping[str, object] | None = None, **claims: object) -> bytes:
    """A plain good token, with changes."""
    header = {"typ": "at+jwt", "alg": alg, "kid": key, **(head or {})}
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "canary-subject",
        "client_id": "canary-client",
        "jti": "canary-jti",
        "iat": NOW - 5,
        "exp": NOW + 3600,
        "scope": f"{SCOPE} canary:write",
        **claims,
    }
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(good).encode())}"
    return f"{signed}.{b64(sign(key, alg, signed.encode()))}".encode()


def _generic(door: Door) -> Verifier:
    options: dict[str, Any] = {"algorithms": ALGORITHMS, "jwks_uri": JWKS_URI, "fetch": door.fetch, "key_hooks": ()}
    issuer = TrustedIssuer(issuer=ISSUER, audience=AUDIENCE, key_clock=door.key_clock, **options)
    return Verifier(issuer, clock=door.clock)


def _strict(door: Door) -> Verifier:
    issuer = TrustedIssuer(
        issuer=ISSUER,
        audience=[AUDIENCE, "another"],
        algorithms=ALGORITHMS,
        profile=Profile.RFC9068,
        keys=StaticKeys(JWKS),
        max_age=4_000,
        max_lifetime=3_700,
        leeway=0.0,
    )
    return Verifier(issuer, clock=door.clock)


def _many(door: Door) -> Verifier:
    single = TrustedIssuer(
        issuer=ISSUER, audience=AUDIENCE, algorithms=["EdDSA", "ES256"], keys=StaticKeys(JWKS), leeway=30
    )
    tenants = TrustedTenants(
        TENANTS,
        tenants={"t1", "t2"},
        audience=AUDIENCE,
        algorithms=["Ed25519", "EdDSA", "ES256"],
        jwks_uri=JWKS_URI,
        fetch=door.fetch,
        key_hooks=(),
        key_clock=door.key_clock,
    )
    return Verifier(single, tenants, clock=door.clock)


def _trusted(**changes: Any) -> Trusted:
    options: dict[str, Any] = {
        "issuer": ISSUER,
        "keys": PUBLISHED,
        "audience": AUDIENCE,
        "algorithms": ALGORITHMS,
        **changes,
    }
    return Trusted(**options)


def _doors() -> list[Door]:
    strict = _trusted(
        types=("at+jwt", "application/at+jwt"),
        required=("sub", "iat", "jti", "client_id"),
        azp=False,
        leeway=0.0,
        max_age=4_000,
        max_lifetime=3_700,
    )
    tenants = _trusted(
        issuer=TENANTS, keys=TENANTS_PUBLISHED, algorithms=("Ed25519", "EdDSA", "ES256"), tenants=("t1", "t2")
    )
    rules = {"/*": Scope(SCOPE)}
    return [
        Door("generic", (_trusted(),), _generic, {JWKS_URI: JWKS}),
        Door("strict", (strict,), _strict, rules=rules, options={"realm": "the api", "resource": AUDIENCE}),
        Door("many", (_trusted(algorithms=("EdDSA", "ES256")), tenants), _many, {JWKS_URI: TENANTS_JWKS}),
        Door("down", (_trusted(),), _generic, {JWKS_URI: None}),
    ]


def _plain_requests() -> list[Sent]:
    """One of each kind of refusal, and a good one."""
    good, expired = b"Bearer " + token("EdDSA", "ed-1"), b"Bearer " + token("EdDSA", "ed-1", exp=NOW - 60)
    unscoped = b"Bearer " + token("EdDSA", "ed-1", scope="")
    alone = [(b"Basic eA==",), (b"\xff",), (good, good), (b"Bearer " + b"a" * 20_000,), (b"Bearer a",)]
    return [Sent(0, fields, b"") for fields in ((), *alone, (good,), (expired,), (unscoped,))]


class World:
    """The doors, and the event loop that they are asked in."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.doors = _doors()
        self._run(self._open())

    def check(self, data: bytes) -> list[int]:
        """Raise a FindingError where an invariant does not hold; return the statuses of the answers.

        It is asked now; and what is good, or will be, once more and in an hour.
        """
        request = take_apart(data)
        door = self.doors[request.door % len(self.doors)]
        now, later = (opinion(door.trusted, request.fields, request.query, at) for at in (NOW, LATER))
        times = (NOW, NOW, LATER) if now.status == 200 or now != later else (NOW,)
        return [self._run(door.check(request, at)) for at in times]

    def close(self) -> None:
        """End the loop."""
        self._run(self.loop.shutdown_asyncgens())
        self.loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    async def _open(self) -> None:
        requests = _plain_requests()
        for door in self.doors:
            await door.open()
            await door.learn(requests)
