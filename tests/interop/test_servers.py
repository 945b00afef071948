"""The same protected application behind real servers: every one gives the same answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.metadata import version

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response
from websockets.sync.client import connect

from jwt_asgi import Reason
from jwt_asgi.testing import TestIssuer
from tests.interop.servers import SERVERS, Server, issuing, serving

INVALID = (
    'Bearer error="invalid_token", '
    'error_description="The access token is missing a required property, or is not valid here"'
)
EXPIRED = 'Bearer error="invalid_token", error_description="The access token expired"'

# Who offers ASGI's websocket.http.response, so that a refused handshake carries the challenge: 401. Elsewhere the close
# before the accept is all there is, and servers make a bare 403 of it.
OFFERS_DENIAL = {
    "uvicorn, asyncio": True,
    "uvicorn, uvloop": True,
    "hypercorn": True,
    "hypercorn, trio": True,
    "granian": tuple(map(int, version("granian").split(".")[:2])) >= (2, 7),
}

every_server = [
    pytest.param(
        name, marks=pytest.mark.skipif("uvloop" in name and sys.platform == "win32", reason="uvloop is for Unix")
    )
    for name in SERVERS
]


@pytest.fixture(scope="module")
def issuer() -> Iterator[TestIssuer]:
    """An issuer on a loopback port, from which the servers fetch their keys."""
    with issuing() as test_issuer:
        yield test_issuer


@pytest.fixture(scope="module", params=every_server)
def server(
    request: pytest.FixtureRequest, issuer: TestIssuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Each server in turn."""
    with serving(request.param, issuer.issuer, tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    """A client of the server, which sends what it is told and nothing of the environment."""
    with httpx.Client(base_url=server.url, trust_env=False, timeout=20) as http:
        yield http


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_a_good_token_reaches_the_application_with_the_state_of_its_lifespan(
    client: httpx.Client, issuer: TestIssuer
) -> None:
    answer = client.get("/", headers=bearer(issuer.token(subject="ann")))
    assert answer.status_code == 200
    assert answer.json() == {"subject": "ann", "greeting": "hello", "received": 0}


def test_without_a_token_the_answer_is_401_with_a_challenge(client: httpx.Client) -> None:
    answer = client.get("/")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.content == b'{"error": "unauthorized", "error_description": "No access token was sent"}'
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == "74"


@pytest.mark.parametrize(
    ("reason", "challenge"),
    [
        (Reason.SIGNATURE_INVALID, INVALID),
        (Reason.KEY_UNKNOWN, INVALID),
        (Reason.AUDIENCE_MISMATCH, INVALID),
        (Reason.TOKEN_EXPIRED, EXPIRED),
    ],
    ids=lambda value: value.value if isinstance(value, Reason) else "",
)
def test_a_bad_token_is_401_and_invalid_token(
    client: httpx.Client, issuer: TestIssuer, reason: Reason, challenge: str
) -> None:
    answer = client.get("/", headers=bearer(issuer.bad_token(reason)))
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, challenge)
    assert answer.json()["error"] == "invalid_token"


@pytest.mark.parametrize("value", ["Bearer", "Bearer a b", 'Bearer "a"'])
def test_a_malformed_header_is_400(client: httpx.Client, value: str) -> None:
    answer = client.get("/", headers={"authorization": value})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_two_authorization_headers_are_400(client: httpx.Client, issuer: TestIssuer) -> None:
    line = ("authorization", f"Bearer {issuer.token()}")
    answer = client.get("/", headers=[line, line])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_refused_head_has_the_headers_of_the_get_and_no_body(client: httpx.Client) -> None:
    head, get = client.head("/"), client.get("/")
    assert (head.status_code, head.content) == (401, b"")
    names = ("www-authenticate", "cache-control", "content-type", "content-length")
    assert [head.headers[name] for name in names] == [get.headers[name] for name in names]


def test_an_admitted_head_is_answered_by_the_application(client: httpx.Client, issuer: TestIssuer) -> None:
    answer = client.head("/", headers=bearer(issuer.token()))
    assert (answer.status_code, answer.content) == (200, b"")


def test_an_exempt_path_needs_no_token_and_its_neighbours_do(client: httpx.Client) -> None:
    assert client.get("/healthz").json()["subject"] is None
    for path in ("/healthz/", "/healthz/..", "/HEALTHZ", "/healthz%2f", "/%2fhealthz"):
        assert client.get(path).status_code == 401


def test_a_streamed_request_body_arrives_whole(client: httpx.Client, issuer: TestIssuer) -> None:
    chunks = (b"x" * 50_000 for _ in range(5))
    answer = client.post("/", content=chunks, headers=bearer(issuer.token()))
    assert answer.json()["received"] == 250_000


def test_an_upload_without_a_token_is_refused_and_the_next_request_is_served(
    client: httpx.Client, issuer: TestIssuer
) -> None:
    assert client.post("/", content=b"x" * 250_000).status_code == 401
    # RFC 9112 section 9.3: a server may close a connection whose request it has not read to the end
    with httpx.Client(base_url=client.base_url, timeout=20, trust_env=False) as another:
        assert another.get("/", headers=bearer(issuer.token())).status_code == 200


def test_a_response_is_streamed_piece_by_piece(client: httpx.Client, issuer: TestIssuer) -> None:
    token = bearer(issuer.token())
    with client.stream("GET", "/stream", headers=token) as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"first,"
        # the application sends the rest only after this, so the first piece cannot have been held back
        assert client.get("/release", headers=token).status_code == 200
        assert b"".join(pieces) == b"second"


def test_a_good_token_opens_a_websocket_that_echoes(server: Server, issuer: TestIssuer) -> None:
    with connect(server.socket_url, additional_headers=bearer(issuer.token(subject="ann")), proxy=None) as connection:
        connection.send("one")
        assert connection.recv(timeout=20) == "ann: one"
        connection.send("two")
        assert connection.recv(timeout=20) == "ann: two"


def refused_handshake(url: str, token: str | None) -> Response:
    """The HTTP answer to a WebSocket handshake that is refused."""
    headers = None if token is None else bearer(token)
    with pytest.raises(InvalidStatus) as caught, connect(url, additional_headers=headers, proxy=None):
        pass
    return caught.value.response


@pytest.mark.parametrize(("reason", "challenge"), [(None, "Bearer"), (Reason.TOKEN_EXPIRED, EXPIRED)])
def test_a_refused_websocket_is_401_with_the_challenge_where_the_server_offers_that_and_else_403(
    server: Server, issuer: TestIssuer, reason: Reason | None, challenge: str
) -> None:
    response = refused_handshake(server.socket_url, None if reason is None else issuer.bad_token(reason))
    if OFFERS_DENIAL[server.name]:
        assert response.status_code == 401
        assert response.headers.get_all("www-authenticate") == [challenge]
        assert response.headers["cache-control"] == "no-store"
        assert json.loads(response.body)["error"] == ("unauthorized" if reason is None else "invalid_token")
    else:
        assert response.status_code == 403
        assert response.headers.get_all("www-authenticate") == []


def test_a_refused_websocket_is_403_wherever_the_server_knows_the_close_alone(server: Server) -> None:
    response = refused_handshake(f"{server.socket_url}/without-denial", None)
    assert response.status_code == 403
    assert response.headers.get_all("www-authenticate") == []


def test_a_websocket_that_the_application_forbids_is_403_though_it_has_received_the_connect(
    server: Server, issuer: TestIssuer
) -> None:
    response = refused_handshake(f"{server.socket_url}/forbidden", issuer.token(scope="read"))
    assert response.status_code == 403
    if OFFERS_DENIAL[server.name]:
        assert 'error="insufficient_scope"' in response.headers["www-authenticate"]


def test_startup_and_shutdown_reach_the_application(server: Server, client: httpx.Client, issuer: TestIssuer) -> None:
    # The last test of each server, since it stops it
    assert client.get("/", headers=bearer(issuer.token())).json()["greeting"] == "hello"
    assert server.record.read_text(encoding="utf-8").split() == ["startup"]
    server.stop()
    assert server.record.read_text(encoding="utf-8").split() == ["startup", "shutdown"]
