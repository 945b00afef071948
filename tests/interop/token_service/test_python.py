"""Authlib's clients, PyJWT and our own middleware get along with our token service."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import anyio
import jwt
import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from joserfc.jwk import JWKRegistry
from jwt.types import Options

from jwt_asgi import Decision, JWTMiddleware, Profile, Reason, TrustedIssuer, Verifier
from jwt_asgi.issuer.metadata import metadata_of
from jwt_asgi.revocation import FromHTTP, FromValkey, RevocationFeed
from jwt_asgi.revocation.source import Source
from jwt_asgi.types import ASGIScope, Receive, Send
from tests.asgi import http
from tests.interop.token_service.services import API, AUDIENCE, JOB, PUBLIC, SERVICES, SIGNING_JOBS, WEB, TokenServer

SECONDS = 20.0
PYJWT_KNOWS = ("", "/rs256", "/eddsa")
"""It has no name but EdDSA for Ed25519."""


def client(
    server: TokenServer, name: str, method: Any = "client_secret_basic", secret: Any = None, **more: Any
) -> AsyncOAuth2Client:
    return AsyncOAuth2Client(
        name,
        server.secrets.get(name) if secret is None else secret,
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
        base_url=server.url,
        trust_env=False,
        verify=False,  # there is no TLS, whose certificates take long to load
        **more,
    )


async def active(server: TokenServer, token: str) -> bool:
    async with client(server, API) as api:
        answer = (await api.introspect_token("/introspect", token=token)).raise_for_status().json()
    return bool(answer["active"])


@pytest.mark.parametrize(("name", "method"), [(PUBLIC, "none"), (WEB, "client_secret_basic")])
async def test_authlib_refreshes_and_a_replay_ends_the_session(
    token_server: TokenServer, name: str, method: str
) -> None:
    began = token_server.issue(client_id=name)
    async with client(token_server, name, method) as session:
        first = await session.refresh_token("/token", refresh_token=began["refresh_token"])
        second = await session.refresh_token("/token", refresh_token=first["refresh_token"], scope="read")
        good = await active(token_server, second["access_token"])
        for shown in (began, second):
            with pytest.raises(OAuthError) as refused:
                await session.refresh_token("/token", refresh_token=shown["refresh_token"])
            assert refused.value.error == "invalid_grant"

    assert len({began["refresh_token"], first["refresh_token"], second["refresh_token"]}) == 3
    assert (first["scope"], second["scope"]) == ("read write", "read")
    assert good
    assert not await active(token_server, second["access_token"])


async def test_authlib_refreshes_by_itself_when_the_access_token_has_expired(token_server: TokenServer) -> None:
    began = token_server.issue(client_id=WEB)
    kept: list[Any] = []

    async def keep(token: Any, **_: Any) -> None:
        kept.append(token)

    old = {**began, "expires_at": int(time.time()) - 1}
    async with client(token_server, WEB, token=old, update_token=keep, token_endpoint="/token") as session:
        assert (await session.get("/healthz")).status_code == 200

    assert len(kept) == 1
    assert kept[0]["refresh_token"] != began["refresh_token"]
    assert kept[0]["expires_at"] > time.time() + 800


async def test_authlib_revokes_with_and_without_a_hint(token_server: TokenServer) -> None:
    async with client(token_server, PUBLIC, "none") as session:
        for hint, kind in ((None, "refresh_token"), ("refresh_token", "refresh_token"), ("nonsense", "access_token")):
            began = token_server.issue()
            assert await active(token_server, began["access_token"])
            answer = await session.revoke_token("/revoke", token=began[kind], token_type_hint=hint)
            assert answer.status_code == 200
            assert not await active(token_server, began["access_token"])


async def test_authlib_introspects_and_is_told_what_the_token_says(token_server: TokenServer) -> None:
    began = token_server.issue(tenant="acme", amr=["pwd", "otp"])
    async with client(token_server, API) as api:
        answer = (await api.introspect_token("/introspect", token=began["access_token"])).json()
        other = (await api.introspect_token("/introspect", token=began["refresh_token"])).json()

    assert answer["active"] is True
    assert answer["token_type"] == "Bearer"
    assert (answer["sub"], answer["tenant"], answer["amr"]) == ("ada", "acme", ["pwd", "otp"])
    assert other == {"active": False}


async def test_authlib_gets_a_token_by_a_secret_and_not_by_a_wrong_one(token_server: TokenServer) -> None:
    async with client(token_server, JOB) as job:
        token = await job.fetch_token("/token", grant_type="client_credentials", scope="jobs:see")
    async with client(token_server, JOB, secret="wrong") as stranger:
        with pytest.raises(OAuthError) as refused:
            await stranger.fetch_token("/token", grant_type="client_credentials")

    assert token["scope"] == "jobs:see"
    assert "refresh_token" not in token
    assert refused.value.error == "invalid_client"


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864")
@pytest.mark.parametrize(("name", "algorithm"), SIGNING_JOBS.items())
async def test_authlib_gets_a_token_by_a_signed_assertion(token_server: TokenServer, name: str, algorithm: str) -> None:
    key = JWKRegistry.import_key({**token_server.keys[name]})
    method = PrivateKeyJWT(f"{token_server.url}/token", alg=algorithm)
    async with client(token_server, name, method, secret=key) as job:
        token = await job.fetch_token("/token", grant_type="client_credentials")
        revoked = await job.revoke_token("/revoke", token=token["access_token"])

    assert token["scope"] == "jobs:run jobs:see"
    assert revoked.status_code == 200
    assert not await active(token_server, token["access_token"])


async def test_an_assertion_is_good_once(token_server: TokenServer) -> None:
    key = JWKRegistry.import_key({**token_server.keys["job-es256"]})
    method = PrivateKeyJWT(f"{token_server.url}/token", claims={"jti": "the same"}, alg="ES256")
    async with client(token_server, "job-es256", method, secret=key) as job:
        await job.fetch_token("/token", grant_type="client_credentials")
        with pytest.raises(OAuthError) as refused:
            await job.fetch_token("/token", grant_type="client_credentials")

    assert refused.value.error == "invalid_client"


@pytest.mark.parametrize("issuer", ["https://auth.example.com", "https://example.com/auth"])
def test_authlib_finds_nothing_wrong_with_the_metadata(issuer: str) -> None:
    document = AuthorizationServerMetadata(json.loads(metadata_of(issuer).answer.body))

    document.validate()

    assert document["issuer"] == issuer


@pytest.mark.parametrize("path", PYJWT_KNOWS)
def test_pyjwt_verifies_an_access_token_by_the_key_set(token_server: TokenServer, path: str) -> None:
    token = token_server.issue(path)["access_token"]
    issuer = f"{token_server.url}{path}"
    key = jwt.PyJWKClient(f"{issuer}/jwks").get_signing_key_from_jwt(token)
    required: Options = {"require": ["exp", "iat", "sub", "client_id", "jti"]}

    claims = jwt.decode(token, key, [SERVICES[path]], required, audience=AUDIENCE, issuer=issuer)

    assert (claims["sub"], claims["client_id"]) == ("ada", PUBLIC)
    with pytest.raises(jwt.InvalidAudienceError):
        jwt.decode(token, key, [SERVICES[path]], audience="https://other.test", issuer=issuer)


class Resource:
    """A resource server of ours that trusts the service at a path, and the reasons why it has refused."""

    def __init__(self, server: TokenServer, path: str, feed: RevocationFeed | None = None) -> None:
        issuer = TrustedIssuer(
            issuer=f"{server.url}{path}", audience=AUDIENCE, algorithms=[SERVICES[path]], profile=Profile.RFC9068
        )
        self.verifier = Verifier(issuer, revocation=() if feed is None else feed)
        self.refused: list[Reason | None] = []
        self.app = JWTMiddleware(hello, verifier=self.verifier, hooks=[self._note])

    def _note(self, decision: Decision) -> None:
        if decision.reason is not None:
            self.refused.append(decision.reason)

    async def lets_in(self, token: str) -> bool:
        """Whether a request with the token is answered by the application."""
        return (await http(self.app, token=token)).status == 200


async def hello(scope: ASGIScope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["jwt"].subject.encode()})


@pytest.mark.parametrize("path", SERVICES)
async def test_our_middleware_lets_its_tokens_in_by_discovery(token_server: TokenServer, path: str) -> None:
    resource = Resource(token_server, path)

    assert await resource.lets_in(token_server.issue(path)["access_token"])
    assert not await resource.lets_in(token_server.issue(path, audience="https://other.test")["access_token"])
    assert resource.refused == [Reason.AUDIENCE_MISMATCH]
    await resource.verifier.aclose()


@pytest.fixture(params=["http", "valkey"])
async def feed(request: pytest.FixtureRequest, token_server: TokenServer) -> AsyncIterator[RevocationFeed]:
    """What the service at the root has revoked, by each of the two ways over a network."""
    source: Source = FromValkey(token_server.valkey)
    if request.param == "http":
        basic = b64encode(f"{API}:{token_server.secrets[API]}".encode()).decode()
        source = FromHTTP(f"{token_server.url}/revocations", headers={"authorization": f"Basic {basic}"})
    feed = RevocationFeed(source, issuer=token_server.url, on_stale="deny", interval=0.05)
    yield feed
    await feed.aclose()


async def test_our_middleware_refuses_what_the_service_has_revoked(
    token_server: TokenServer, feed: RevocationFeed
) -> None:
    revoked, ended, kept = (token_server.issue(subject=name) for name in ("grace", "edsger", "ada"))
    resource = Resource(token_server, "", feed)
    tokens = [session["access_token"] for session in (revoked, ended, kept)]
    assert [await resource.lets_in(token) for token in tokens] == [True, True, True]

    token_server.revoke(subject="grace")
    async with client(token_server, PUBLIC, "none") as session:
        await session.revoke_token("/revoke", token=ended["refresh_token"])

    with anyio.fail_after(SECONDS):
        while await resource.lets_in(tokens[0]) or await resource.lets_in(tokens[1]):
            await anyio.sleep(0.02)
    assert await resource.lets_in(tokens[2])
    assert {*resource.refused} == {Reason.TOKEN_REVOKED}
    assert await resource.lets_in(token_server.issue(subject="grace")["access_token"])
    await resource.verifier.aclose()


async def test_the_feed_is_for_resource_servers_alone(token_server: TokenServer) -> None:
    for name, status in ((API, 200), (WEB, 401)):
        answer = token_server.http.get("/revocations/snapshot", auth=(name, token_server.secrets[name]))
        assert answer.status_code == status
    assert token_server.http.get("/revocations/snapshot").status_code == 401
