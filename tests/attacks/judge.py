"""Plays a case against an ASGI application and lists everything that is wrong with the answer."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from time import perf_counter

from jwt_asgi.types import ASGIApp, ASGIScope, Fetch, FetchResponse, Receive, Send
from tests.asgi import Answer, http
from tests.attacks.corpus.case import AUDIENCE, ISSUER, JWKS_URI, Case, Request, Sign

SECONDS = 1.0
"""An answer that takes longer is a denial of service."""
# RFC 6750 section 3: error and error_description take %x20-21 / %x23-5B / %x5D-7E.
_PARAMETER = re.compile(r'([A-Za-z_]+)="([\x20-\x21\x23-\x5b\x5d-\x7e]*)"')
_CHALLENGE = re.compile(rf"[A-Za-z]+(?: {_PARAMETER.pattern}(?:, ?{_PARAMETER.pattern})*)?")
_RUN = re.compile(rb"[A-Za-z0-9_-]{16,}")
_EVERYDAY = {ISSUER, AUDIENCE, "at+jwt", "access_token", "invalid_token"}


@dataclass
class Gate:
    """The door under test with both of its sides watched: the application behind it, and what it fetches."""

    app: ASGIApp = field(init=False)
    calls: list[ASGIScope] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def inner(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """The protected application: it must not be reached."""
        self.calls.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"in"})


def serving(fetched: list[str], document: Callable[[], bytes]) -> Fetch:
    """A `Fetch` that records every URL and answers each with this document."""

    async def fetch(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        del headers, timeout, limit
        fetched.append(url)
        await asyncio.sleep(0)
        return FetchResponse(200, {"content-type": "application/jwk-set+json"}, document())

    return fetch


async def play(gate: Gate, case: Case) -> list[str]:
    """What is wrong with how the application dealt with the case; nothing, if it did well."""
    wrong: list[str] = []
    for request in case.before:
        wrong += [f"first: {text}" for text in await ask(gate, request, Sign.ACCEPT)]
    if case.wait:
        await gate.sleep(case.wait)
    before = len(gate.fetched)
    if case.at_once:
        answers = await asyncio.gather(*(ask(gate, request, case.sign) for request in (case.request, *case.volley)))
    else:
        answers = [await ask(gate, request, case.sign) for request in (case.request, *case.volley)]
    wrong += [text for answer in answers for text in answer]
    made = gate.fetched[before:]
    if len(made) > case.budget:
        wrong.append(f"{len(made)} fetches, {case.budget} allowed")
    wrong += [f"fetched {url}" for url in made if url != JWKS_URI]
    return wrong


async def ask(gate: Gate, request: Request, sign: Sign) -> list[str]:
    """What is wrong with the answer to one request."""
    calls = len(gate.calls)
    start = perf_counter()
    try:
        answer = await http(
            gate.app,
            method=request.method,
            path=request.path,
            headers=request.headers,
            query=request.query,
            body=request.body,
        )
    except Exception as error:
        return [f"{type(error).__name__} came out: {str(error)[:200]}"]
    seconds = perf_counter() - start
    wrong = [f"took {seconds:.2f} s"] if seconds > SECONDS else []
    reached = len(gate.calls) > calls
    if sign is Sign.ACCEPT:
        return wrong + ([] if answer.status == 200 and reached else [f"refused: {answer.status} {answer.challenge}"])
    if reached:
        wrong.append("the application was called")
    return wrong + list(_refusal(answer, sign)) + [f"echoes {text!r}" for text in _echoes(request, answer)]


def _refusal(answer: Answer, sign: Sign) -> Iterator[str]:
    demand = sign.value
    if answer.status not in demand.statuses:
        yield f"status {answer.status}, not {sorted(demand.statuses)}"
    if answer.header("cache-control") != "no-store":
        yield f"Cache-Control {answer.header('cache-control')!r}"
    challenge = answer.challenge
    if challenge is None:
        if answer.status == 401:
            yield "401 without a challenge (RFC 9110 section 15.5.2)"
        return
    parameters = challenge_parameters(challenge)
    if parameters is None:
        yield f"ill-formed challenge {challenge!r}"
    elif parameters.get("error") not in demand.errors:
        yield f"error {parameters.get('error')}, not {sorted(map(str, demand.errors))}"


def challenge_parameters(challenge: str) -> dict[str, str] | None:
    """The parameters of a challenge whose values keep to RFC 6750's characters, else None."""
    if not _CHALLENGE.fullmatch(challenge):
        return None
    return dict(_PARAMETER.findall(challenge))


def _echoes(request: Request, answer: Answer) -> list[str]:
    said = answer.body + b"\n" + b"\n".join(name + b":" + value for name, value in answer.headers)
    text = said.decode("utf-8", "replace")
    return [secret[:60] for secret in secrets(request) if secret in text]


def secrets(request: Request) -> set[str]:
    """The texts of a request that no answer and no log may repeat: pieces of the token, its kid, its claims."""
    sent = b"\n".join([*(value for _, value in request.headers), request.query, request.body])
    runs = _RUN.findall(sent)[:50]
    found = {run[:40].decode("ascii") for run in runs}
    for run in runs:
        found.update(_strings(_loads(run)))
    # A part of our own configuration gives nothing away.
    return {text for text in found if len(text) > 5 and not any(text in known for known in _EVERYDAY)}


def _loads(segment: bytes) -> object:
    if len(segment) > 20_000:
        return None
    try:
        return json.loads(base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4)))
    except (ValueError, RecursionError, binascii.Error):
        return None


def _strings(value: object) -> Iterator[str]:
    """Every text in it, and every name of a canary; with a list for a stack, since some of it is nested very deep."""
    left = [value]
    while left:
        member = left.pop()
        if isinstance(member, str):
            yield member
        elif isinstance(member, dict):
            yield from (name for name in member if name.startswith("canary"))
            left += member.values()
        elif isinstance(member, list):
            left += member[:50]
