"""What the parts of `keys.py` share: figures, a driven clock, an issuer's process, a protected application."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from jwt_asgi import JWTMiddleware, KeyCaching, TrustedIssuer, Verifier
from jwt_asgi._keys.remote import RemoteKeys
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIApp, ASGIScope, Clock, Fetch, FetchResponse, Message, Receive, Send

ROOT = Path(__file__).parents[1]
PATH = "/jwks.json"
TOKEN_HEADER = '{{"alg":"{alg}","typ":"at+jwt","kid":"{kid}"}}'
SILENCE = logging.NullHandler()


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. `met` is None where nothing is expected; a broken `bound` fails the run, a slow time does not."""

    what: str
    value: str
    expected: str = ""
    met: bool | None = None
    bound: bool = False

    @property
    def broken(self) -> bool:
        return self.bound and self.met is False


def bound(what: str, value: float, *, at_most: float, unit: str = "") -> Figure:
    """A count that must hold on any machine."""
    return Figure(what, number(value, unit), f"at most {number(at_most, unit)}", value <= at_most, bound=True)


def exactly(what: str, value: object, expected: object) -> Figure:
    """A count, or several, that must be these."""
    return Figure(what, str(value), str(expected), value == expected, bound=True)


def hoped(what: str, value: float, *, at_most: float, unit: str = "") -> Figure:
    """A time, or whatever else depends on the machine."""
    return Figure(what, number(value, unit), f"at most {number(at_most, unit)}", value <= at_most)


def reached(what: str, value: float, *, at_least: float, unit: str = "") -> Figure:
    """What depends on the machine, and is the better the more it is."""
    return Figure(what, number(value, unit), f"at least {number(at_least, unit)}", value >= at_least)


def told(what: str, value: float | str, unit: str = "") -> Figure:
    """A figure of which nothing is expected."""
    return Figure(what, value if isinstance(value, str) else number(value, unit))


def number(value: float, unit: str = "") -> str:
    digits = f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.3g}"
    return f"{digits} {unit}".rstrip()


def tally(values: Iterable[object]) -> str:
    """How often there was what, most often first."""
    return ", ".join(f"{count:,} x {value}" for value, count in Counter(values).most_common()) or "none"


class DrivenClock:
    """Seconds that pass when a benchmark says so."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class IssuerProcess:
    """`_issuer.py` as a process of its own, on loopback. Each call waits for its answer, so make none in a measure."""

    def __init__(self, certificate: Path | None = None) -> None:
        command = [sys.executable, "-m", "benchmarks._issuer", *([str(certificate)] if certificate else [])]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self._read().strip()}"

    def serve(self, body: bytes, path: str = PATH, *, status: int = 200, seconds: float = 0.0) -> None:
        """Answer so from now on, after so many seconds."""
        self._order(do="serve", path=path, body=body.decode(), status=status, seconds=seconds)

    def hang(self, path: str = PATH) -> None:
        """Take connections and never answer."""
        self._order(do="serve", path=path, body=None, status=0, seconds=0)

    def gets(self, path: str = PATH) -> int:
        """How many GETs there were."""
        return int(self._order(do="count", path=path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin is not None and self._process.stdout is not None:
            self._process.stdin.close()
            self._process.wait(timeout=10)
            self._process.stdout.close()

    def _order(self, **order: object) -> str:
        if self._process.stdin is None:
            raise RuntimeError("expected a pipe")
        self._process.stdin.write(json.dumps(order) + "\n")
        return self._read()

    def _read(self) -> str:
        line = "" if self._process.stdout is None else self._process.stdout.readline()
        if not line:
            raise RuntimeError("expected the issuer's process to run; it has ended")
        return line


class InProcessFetch:
    """A `Fetch` without a socket, which keeps nothing but a count."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.gets = 0

    async def __call__(self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:  # noqa: ARG002 - the protocol's own
        self.gets += 1
        return FetchResponse(200, {}, self.body)


def trusted(
    issuer: TestIssuer, fetch: Fetch, *, clock: Clock | None = None, caching: KeyCaching | None = None
) -> TrustedIssuer:
    """Trust a TestIssuer, with a key cache that ages by this clock."""
    options = issuer.options() | {"fetch": fetch}
    made = TrustedIssuer(**options, jwks_uri=issuer.jwks_uri, key_caching=caching)
    if clock is not None:
        made.keys = RemoteKeys(
            issuer.issuer, jwks_uri=issuer.jwks_uri, fetch=fetch, caching=caching or KeyCaching(), clock=clock
        )
    return made


def door(*issuers: TrustedIssuer) -> ASGIApp:
    """A protected application, which answers 200 to whoever comes in. It logs, but nobody reads it."""
    logging.getLogger("jwt_asgi").addHandler(SILENCE)
    return JWTMiddleware(_greet, verifier=Verifier(*issuers, token_cache=0))


async def ask(app: ASGIApp, token: str) -> int:
    """Make one request, without a server in between; return its status."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer " + token.encode("ascii"))],
    }
    status = 0

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    await app(scope, _receive, send)
    return status


def jwks_of(issuer: TestIssuer) -> bytes:
    return json.dumps(issuer.jwks()).encode()


def with_kid(token: str, kid: str, alg: str = "RS256") -> str:
    """Name another key in a token's header. Its signature is then garbage of the right shape."""
    header = TOKEN_HEADER.format(alg=alg, kid=kid)
    return f"{base64url(header.encode())}.{token.partition('.')[2]}"


def base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def run_fresh(module: str, *arguments: str) -> Any:  # noqa: ANN401 - whatever JSON the module prints
    """Run a module as a fresh process and return the JSON that it prints last."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


async def settle(turns: int = 4) -> None:
    """Let what runs beside the request go on, as it would until the next one."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def _greet(_: ASGIScope, __: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}
