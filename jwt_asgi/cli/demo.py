"""`jwt-asgi demo`: two issuers and a protected API on loopback, and what each kind of token gets.

The first issuer makes good and bad tokens; the second is a token service, whose sessions are refreshed and revoked.
"""

from __future__ import annotations

import argparse
import json
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from jwt_asgi.access import Scope, check_access
from jwt_asgi.cli.demo_calls import Call, shown
from jwt_asgi.errors import ConfigurationError, Reason
from jwt_asgi.issuers import TrustedIssuer
from jwt_asgi.middleware import JWTMiddleware
from jwt_asgi.types import ASGIApp, ASGIScope, Receive, Send
from jwt_asgi.verifier import Verifier

if TYPE_CHECKING:
    from jwt_asgi.cli.demo_session import Auth, Played, Story
    from jwt_asgi.testing import TestIssuer

__all__ = ["run_demo"]

_HOST = "127.0.0.1"
_HOUR = 3600.0
_START_SECONDS = 10.0
LIFETIME = 4.0
"""Seconds until an access token of the token service expires, where that is waited for."""


def run_demo(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C; with `--check`, until every request has got its answer."""
    _check_extras()
    from jwt_asgi.cli.demo_session import Auth, Story  # noqa: PLC0415 - it needs an extra
    from jwt_asgi.testing import TestIssuer  # noqa: PLC0415 - the test kit is not for applications

    with ExitStack() as stack:
        issuer_socket, auth_socket = stack.enter_context(_listen(0)), stack.enter_context(_listen(0))
        api_socket = stack.enter_context(_listen(options.port))
        api = f"{_url(api_socket)}/notes"
        issuer = TestIssuer(_url(issuer_socket), audience=_url(api_socket))
        stack.enter_context(_serving(issuer, issuer_socket))
        folder = stack.enter_context(TemporaryDirectory(prefix="jwt-asgi-demo-"))
        lifetime = LIFETIME if options.check else _HOUR
        auth = Auth(_url(auth_socket), api=issuer.audience, folder=folder, lifetime=lifetime)
        stack.enter_context(_serving(auth.app, auth_socket, lifespan="auto"))
        stack.enter_context(_serving(_protected(issuer, auth), api_socket, lifespan="auto"))
        print(f"The API is {api}. It needs the scope notes:read, and trusts two issuers:")
        print(f"  {issuer.issuer} makes good and bad tokens")
        print(f"  {auth.url} is a token service with a log-in\n")
        examples, story = _examples(api, issuer), Story(auth, api)
        if options.check:
            return _check(examples, story)
        _show(examples, issuer)
        _show_session(story, auth)
        print("Ctrl-C ends it.", flush=True)
        _wait_for_interrupt()
    return 0


def _protected(issuer: TestIssuer, auth: Auth) -> JWTMiddleware:
    trusted = [
        TrustedIssuer(issuer=issuer.issuer, audience=issuer.audience, algorithms=["RS256"]),
        # Nobody waits for the leeway
        TrustedIssuer(issuer=auth.url, audience=issuer.audience, algorithms=["ES256"], leeway=0),
    ]
    return JWTMiddleware(_notes, verifier=Verifier(*trusted, revocation=auth.feed()))


def _examples(api: str, issuer: TestIssuer) -> Sequence[Call]:
    scope = "notes:read"
    good = issuer.token(scope=scope, expires_in=_HOUR)
    expired = issuer.token(scope=scope, expires_in=-_HOUR)
    another = issuer.token(scope=scope, audience="https://another-api.example", expires_in=_HOUR)
    without = issuer.token(expires_in=_HOUR)
    tampered = issuer.bad_token(Reason.SIGNATURE_INVALID)
    bad = "invalid_token"
    return (
        Call(title="a valid token", url=api, token=good),
        Call(title="an expired token", url=api, token=expired, status=401, error=bad),
        Call(title="a token for another audience", url=api, token=another, status=401, error=bad),
        Call(title="no token", url=api, status=401),
        Call(title="a token without the scope", url=api, token=without, status=403, error="insufficient_scope"),
        Call(title="a tampered token", url=api, token=tampered, status=401, error=bad),
    )


async def _notes(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """The protected API: any ASGI application."""
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    token = check_access(scope["jwt"], Scope("notes:read"))
    body = json.dumps({"subject": token.subject, "scopes": sorted(token.scopes)}).encode() + b"\n"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


def _show(examples: Iterable[Call], issuer: TestIssuer) -> None:
    for call in examples:
        print(f"{call.title}: {call.promise}\n  {call.curl()}\n")
    print("Why was one refused? Ask with its token:")
    print(f"  jwt-asgi explain --issuer {issuer.issuer} --audience {issuer.audience} --alg RS256 TOKEN\n")


def _show_session(story: Story, auth: Auth) -> None:
    print(f"A session of the token service, in this order; its access tokens are good for {auth.lifetime:g} seconds.\n")
    for call in story.prepared():
        print(f"{call.title}: {call.promise}\n  {call.curl()}\n")


def _check(examples: Sequence[Call], story: Story) -> int:
    played: list[Played] = []
    for call in examples:
        got = call.send()
        played.append((call, got, call.keeps(got)))
        print(shown(call, got, kept=played[-1][2]))
    print(flush=True)
    for call, got, kept in story.play():
        played.append((call, got, kept))
        print(shown(call, got, kept=kept), flush=True)
    right = sum(kept for _, _, kept in played)
    print(f"\n{right} of {len(played)} requests got the answer that they are promised.")
    return 0 if right == len(played) else 1


def _check_extras() -> None:
    try:
        import uvicorn  # noqa: F401, PLC0415 - an extra

        import jwt_asgi.issuer  # noqa: F401, PLC0415 - likewise
    except ImportError:
        detail = 'needs the extras "cli" and "issuer": pip install "jwt-asgi[cli,issuer]"'
        raise ConfigurationError("jwt-asgi demo", detail) from None


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
def _serving(app: ASGIApp, listener: socket.socket, *, lifespan: Literal["auto", "off"] = "off") -> Iterator[None]:
    """Serve in a thread of its own, so that signals stay with the main one."""
    import uvicorn  # noqa: PLC0415 - an extra

    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan=lifespan))
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
