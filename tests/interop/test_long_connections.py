"""On real servers a WebSocket and a stream end within a second of their token's expiry, as the protocol wants it."""

from __future__ import annotations

import json
import sys
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from jwt_asgi.testing import TestIssuer
from tests.interop.servers import SERVERS, Server, issuing, serving

AT_MOST = 1.0
"""Seconds from the expiry to the end."""

every_server = [
    pytest.param(
        name, marks=pytest.mark.skipif("uvloop" in name and sys.platform == "win32", reason="uvloop is for Unix")
    )
    for name in SERVERS
]


@pytest.fixture(scope="module")
def issuer() -> Iterator[TestIssuer]:
    """An issuer on a loopback port."""
    with issuing() as test_issuer:
        yield test_issuer


@pytest.fixture(scope="module", params=every_server)
def server(
    request: pytest.FixtureRequest, issuer: TestIssuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Each server in turn."""
    folder = tmp_path_factory.mktemp("server")
    with serving(request.param, issuer.issuer, folder, module="tests.interop.long_app") as running:
        yield running


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def short_token(issuer: TestIssuer) -> tuple[str, float]:
    """A token that is good for 2 to 3 seconds, and when it expires."""
    token = issuer.token(subject="ann", expires_in=3)
    payload = token.split(".")[1]
    return token, json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]


def opened(server: Server, path: str, token: str) -> ClientConnection:
    return connect(f"{server.socket_url}{path}", additional_headers=bearer(token), proxy=None)


def nothing_is_open(server: Server) -> bool:
    """Whether each call of the application has ended; it may take the server a moment."""
    deadline = time.monotonic() + AT_MOST
    while time.monotonic() < deadline:
        if httpx.get(f"{server.url}/open", trust_env=False).text == "0":
            return True
        time.sleep(0.02)
    return False


def closed_by(connection: ClientConnection, expected: str) -> ConnectionClosed:
    """What ended a connection that brought nothing but the expected text."""
    try:
        while True:
            assert connection.recv(timeout=20) == expected
    except ConnectionClosed as closed:
        return closed


def socket_is_closed(server: Server, issuer: TestIssuer, path: str, text: str) -> None:
    """A WebSocket is closed with 1008, whether its application listens or only sends."""
    token, expiry = short_token(issuer)
    with opened(server, path, token) as connection:
        connection.send("one")
        closed = closed_by(connection, text)
        assert 0 <= time.time() - expiry <= AT_MOST
    assert closed.rcvd is not None
    assert (closed.rcvd.code, closed.rcvd.reason) == (1008, "")


def stream_is_complete(server: Server, issuer: TestIssuer, path: str, beginning: bytes) -> None:
    """A stream ends in order: an incomplete body would raise RemoteProtocolError."""
    with httpx.Client(base_url=server.url, trust_env=False, timeout=20) as client:
        token, expiry = short_token(issuer)
        with client.stream("GET", path, headers=bearer(token)) as answer:
            assert answer.status_code == 200
            body = b"".join(answer.iter_raw())
            assert 0 <= time.time() - expiry <= AT_MOST
    assert body.startswith(beginning)


def renewed_socket_goes_on(server: Server, issuer: TestIssuer) -> None:
    """A WebSocket that brings a new token outlives the old one, and not one of somebody else."""
    token, expiry = short_token(issuer)
    with opened(server, "/echo", token) as connection:
        connection.send(f"token {issuer.token(subject='ann')}")
        while time.time() < expiry + 0.3:
            connection.send("still here")
            assert connection.recv(timeout=20) == "ann: still here"
            time.sleep(0.1)
        connection.send(f"token {issuer.token(subject='bob')}")
        closed = closed_by(connection, "nothing")
    assert closed.rcvd is not None
    assert closed.rcvd.code == 1008


def test_every_kind_of_long_connection_ends_when_its_token_expires_and_leaves_nothing(
    server: Server, issuer: TestIssuer
) -> None:
    # So that it has its keys
    httpx.get(f"{server.url}/short", headers=bearer(issuer.token()), trust_env=False)
    # All at once, since each takes as long as a token lives
    with ThreadPoolExecutor() as threads:
        results = [
            threads.submit(socket_is_closed, server, issuer, "/echo", "ann: one"),
            threads.submit(socket_is_closed, server, issuer, "/deaf", "news"),
            threads.submit(stream_is_complete, server, issuer, "/stream", b"one"),
            threads.submit(stream_is_complete, server, issuer, "/events", b"data: news"),
            threads.submit(renewed_socket_goes_on, server, issuer),
        ]
    for result in results:
        result.result()
    assert nothing_is_open(server)
