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

from jwt_asgi import AccessToken, JWTMiddleware, Verifier
from jwt_asgi._core.access import Requirement
from jwt_asgi.access import Scope
from jwt_asgi.instrumentation import Decision
from jwt_asgi.types import ASGIScope, FetchResponse, Receive, Send
from tests.asgi import Answer, http
from tests.fuzz.reference import Opinion, Trusted, opinion
from tests.fuzz.setups import (
    AUDIENCE,
    GENERIC,
    JWKS,
    JWKS_URI,
    LATER,
    MANY,
    NOW,
    SCOPE,
    STRICT,
    TENANTS_JWKS,
    generic,
    many,
    strict,
    token,
)

T = TypeVar("T")

_FORGOTTEN_AFTER = 61.0
_RUN = re.compile(r"[A-Za-z0-9_-]{16,}")
# RFC 9110 section 11.6.1, with the characters of RFC 6750 section 3
_PARAMETER = r'[a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*"'
_CHALLENGE = re.compile(rf"Bearer(?: {_PARAMETER}(?:, {_PARAMETER})*)?")
_CANARY = re.compile(r"canary[A-Za-z0-9_:-]*")
_DIGITS = re.compile(rb"[0-9]+")


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


def _doors() -> list[Door]:
    rules = {"/*": Scope(SCOPE)}
    return [
        Door("generic", GENERIC, generic, {JWKS_URI: JWKS}),
        Door("strict", STRICT, strict, rules=rules, options={"realm": "the api", "resource": AUDIENCE}),
        Door("many", MANY, many, {JWKS_URI: TENANTS_JWKS}),
        Door("down", GENERIC, generic, {JWKS_URI: None}),
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
