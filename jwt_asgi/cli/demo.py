"""`jwt-asgi demo`: an issuer and a protected API on loopback, and what each kind of token gets."""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jwt_asgi._keys.fetch import HttpxFetch
from jwt_asgi.access import Scope, check_access
from jwt_asgi.errors import ConfigurationError, Reason
from jwt_asgi.middleware import JWTMiddleware
from jwt_asgi.types import ASGIApp, ASGIScope, Receive, Send

if TYPE_CHECKING:
    from jwt_asgi.testing import TestIssuer

__all__ = ["run_demo"]

_HOST = "127.0.0.1"
_HOUR = 3600.0
_START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class _Example:
    """One request, and the answer that is promised: status and, in the challenge, the error code."""

    title: str
    token: str | None
    status: int
    error: str | None

    def headers(self) -> dict[str, str]:
        return {} if self.token is None else {"authorization": f"Bearer {self.token}"}

    def promise(self) -> str:
        return f"{self.status}{f' {self.error}' if self.error else ''}"


def run_demo(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C; with `--check`, until every request has got its answer."""
    from jwt_asgi.testing import TestIssuer  # noqa: PLC0415 - the test kit is not for applications

    with ExitStack() as stack:
        issuer_socket, api_socket = stack.enter_context(_listen(0)), stack.enter_context(_listen(options.port))
        api = f"{_url(api_socket)}/notes"
        issuer = TestIssuer(_url(issuer_socket), audience=_url(api_socket))
        stack.enter_context(_serving(issuer, issuer_socket))
        protected = JWTMiddleware(_notes, issuer=issuer.issuer, audience=issuer.audience, algorithms=["RS256"])
        stack.enter_context(_serving(protected, api_socket))
        examples = _examples(issuer)
        print(f"The issuer is {issuer.issuer}, and the API is {api}, which needs the scope notes:read.\n")
        if options.check:
            return asyncio.run(_check(api, examples))
        _show(api, issuer, examples)
        _wait_for_interrupt()
    return 0


def _examples(issuer: TestIssuer) -> Sequence[_Example]:
    scope = "notes:read"
    return (
        _Example("a valid token", issuer.token(scope=scope, expires_in=_HOUR), 200, None),
        _Example("an expired token", issuer.token(scope=scope, expires_in=-_HOUR), 401, "invalid_token"),
        _Example(
            "a token for another audience",
            issuer.token(scope=scope, audience="https://another-api.example", expires_in=_HOUR),
            401,
            "invalid_token",
        ),
        _Example("no token", None, 401, None),
        _Example("a token without the scope", issuer.token(expires_in=_HOUR), 403, "insufficient_scope"),
        _Example("a tampered token", issuer.bad_token(Reason.SIGNATURE_INVALID), 401, "invalid_token"),
    )


async def _notes(scope: ASGIScope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI
    """The protected API: any ASGI application."""
    token = check_access(scope["jwt"], Scope("notes:read"))
    body = json.dumps({"subject": token.subject, "scopes": sorted(token.scopes)}).encode() + b"\n"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


def _show(api: str, issuer: TestIssuer, examples: Sequence[_Example]) -> None:
    for example in examples:
        header = "" if example.token is None else f'-H "Authorization: Bearer {example.token}" '
        print(f"{example.title}: {example.promise()}\n  curl -i {header}{api}\n")
    print("Why was one refused? Ask with its token:")
    print(f"  jwt-asgi explain --issuer {issuer.issuer} --audience {issuer.audience} --alg RS256 TOKEN\n")
    print("Ctrl-C ends it.", flush=True)


async def _check(api: str, examples: Sequence[_Example]) -> int:
    fetch, wrong = HttpxFetch(), 0
    for example in examples:
        response = await fetch(api, headers=example.headers(), timeout=10.0, limit=65_536)
        challenge = response.headers.get("www-authenticate", "")
        kept = response.status == example.status and _error_of(challenge) == example.error
        wrong += not kept
        got = f"{response.status} {challenge}".strip()
        print(
            f"{'ok  ' if kept else 'FAIL'}  {example.title}: {got}"
            + ("" if kept else f"; expected {example.promise()}")
        )
    print(f"\n{len(examples) - wrong} of {len(examples)} requests got the answer that they are promised.")
    return 1 if wrong else 0


def _error_of(challenge: str) -> str | None:
    _, found, rest = challenge.partition('error="')
    return rest.partition('"')[0] if found else None


@contextmanager
def _listen(port: int) -> Iterator[socket.socket]:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with listener:
        try:
            listener.bind((_HOST, port))
        except (OSError, OverflowError) as error:
            detail = f"cannot listen on {_HOST}:{port}: {error}; leave it out, and a free port is found"
            raise ConfigurationError("--port", detail) from None
        yield listener


def _url(listener: socket.socket) -> str:
    return f"http://{_HOST}:{listener.getsockname()[1]}"


@contextmanager
def _serving(app: ASGIApp, listener: socket.socket) -> Iterator[None]:
    """Serve in a thread of its own, so that signals stay with the main one."""
    try:
        import uvicorn  # noqa: PLC0415 - an extra
    except ImportError:
        detail = 'needs the extra "cli": pip install "jwt-asgi[cli]"'
        raise ConfigurationError("jwt-asgi demo", detail) from None
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + _START_SECONDS
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=_START_SECONDS)


def _wait_for_interrupt() -> None:
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print("\nBye.")
