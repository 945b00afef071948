"""The middleware accepts and refuses the access tokens of a real oidc-provider."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import anyio
import httpx
import pytest
import uvicorn
from joserfc import jws
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from jwt_asgi import AccessToken, Decision, JWTMiddleware, Profile, Reason
from jwt_asgi.types import ASGIApp
from tests.asgi import Answer, http
from tests.interop.identity_provider import AUDIENCE, CLIENT_ID, OTHER_AUDIENCE, IdentityProvider

# Another name that the same key could go by, or the nearest there is
NOT_ITS_ALGORITHM = {"RS256": "PS256", "ES256": "ES384", "Ed25519": "EdDSA", "EdDSA": "Ed25519"}


class API:
    """An application that shows its caller's token, behind the middleware."""

    def __init__(
        self, provider: IdentityProvider, *, algorithm: str | None = None, profile: Profile = Profile.GENERIC
    ) -> None:
        """Trust the provider, for the algorithm that it signs with if no other is given."""
        self._decisions: list[Decision] = []
        self.app = JWTMiddleware(
            Starlette(routes=[Route("/", show_token)]),
            issuer=provider.issuer,
            audience=AUDIENCE,
            algorithms=[algorithm or provider.algorithm],
            profile=profile,
            hooks=[self._note],
        )

    def _note(self, decision: Decision) -> None:
        self._decisions.append(decision)

    async def get(self, token: str) -> Answer:
        """Send a request."""
        return await http(self.app, token=token)

    async def accepts(self, token: str) -> bool:
        """Whether a request got through."""
        return (await self.get(token)).status == 200

    async def refusal(self, token: str) -> Reason | None:
        """Send a request, see that the client is told `invalid_token`, and return the reason that it is not told."""
        answer = await self.get(token)
        assert answer.status == 401
        assert answer.challenge is not None
        assert answer.challenge.startswith('Bearer error="invalid_token"')
        return self._decisions[-1].reason


async def show_token(request: Request) -> JSONResponse:
    token = request.scope["jwt"]
    assert isinstance(token, AccessToken)
    return JSONResponse(
        {
            "issuer": token.issuer,
            "subject": token.subject,
            "client_id": token.client_id,
            "audience": list(token.audience),
            "scopes": sorted(token.scopes),
            "claims": dict(token.claims),
        }
    )


async def test_its_keys_are_found_by_discovery_and_its_tokens_are_accepted(provider: IdentityProvider) -> None:
    answer = await API(provider).get(provider.token(scope="todos:read todos:write"))

    assert answer.status == 200
    token = answer.json()
    claims = token.pop("claims")
    assert token == {
        "issuer": provider.issuer,
        "subject": CLIENT_ID,
        "client_id": CLIENT_ID,
        "audience": [AUDIENCE],
        "scopes": ["todos:read", "todos:write"],
    }
    assert claims["iss"] == provider.issuer
    assert claims["scope"] == "todos:read todos:write"


async def test_a_narrower_scope_arrives_as_it_was_granted(provider: IdentityProvider) -> None:
    answer = await API(provider).get(provider.token(scope="todos:read"))

    assert answer.status == 200
    assert answer.json()["scopes"] == ["todos:read"]


async def test_its_tokens_pass_the_strict_profile_of_rfc_9068(provider: IdentityProvider) -> None:
    token = provider.token()

    assert header(token)["typ"] == "at+jwt"
    assert await API(provider, profile=Profile.RFC9068).accepts(token)


async def test_its_tokens_for_another_audience_are_refused(provider: IdentityProvider) -> None:
    assert await API(provider).refusal(provider.token(OTHER_AUDIENCE)) is Reason.AUDIENCE_MISMATCH


async def test_its_tokens_are_refused_where_its_algorithm_is_not_pinned(provider: IdentityProvider) -> None:
    api = API(provider, algorithm=NOT_ITS_ALGORITHM[provider.algorithm])

    assert await api.refusal(provider.token()) is Reason.ALGORITHM_NOT_ALLOWED


async def test_many_first_requests_at_once_cost_one_fetch_of_its_keys(provider: IdentityProvider) -> None:
    api, token, before = API(provider), provider.token(), provider.jwks_gets()
    accepted: list[bool] = []

    async def call() -> None:
        accepted.append(await api.accepts(token))

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(call)

    assert accepted == [True] * 20
    assert provider.jwks_gets() == before + 1


async def test_the_first_request_after_a_rotation_is_accepted_at_the_cost_of_one_fetch(
    provider: IdentityProvider,
) -> None:
    api, old = API(provider), provider.token()
    assert await api.accepts(old)

    provider.rotate(keep=True)
    new, before = provider.token(), provider.jwks_gets()
    accepted_at_first = await api.accepts(new)

    assert accepted_at_first
    assert header(new)["kid"] != header(old)["kid"]
    assert provider.jwks_gets() == before + 1


async def test_after_a_rotation_that_keeps_the_old_key_its_tokens_stay_good(provider: IdentityProvider) -> None:
    api, old = API(provider), provider.token()
    assert await api.accepts(old)

    provider.rotate(keep=True)
    assert await api.accepts(provider.token())

    assert await api.accepts(old)


async def test_after_a_rotation_that_drops_the_old_key_its_tokens_are_refused_once_the_new_set_is_here(
    provider: IdentityProvider,
) -> None:
    api, old = API(provider), provider.token()
    assert await api.accepts(old)

    provider.rotate(keep=False)
    assert await api.accepts(provider.token())

    assert await api.refusal(old) is Reason.KEY_UNKNOWN


async def test_the_token_of_a_dropped_key_costs_at_most_one_fetch_however_often_it_is_sent(
    provider: IdentityProvider,
) -> None:
    api, old = API(provider), provider.token()
    provider.rotate(keep=False)
    assert await api.accepts(provider.token())
    before = provider.jwks_gets()

    refusals = [await api.refusal(old) for _ in range(10)]

    assert refusals == [Reason.KEY_UNKNOWN] * 10
    assert provider.jwks_gets() <= before + 1


@pytest.mark.parametrize("well_known", ["oauth-authorization-server", "openid-configuration"])
def test_it_publishes_its_metadata_at_both_well_known_addresses(provider: IdentityProvider, well_known: str) -> None:
    answer = provider.metadata(well_known)

    assert answer.status_code == 200
    assert answer.json()["issuer"] == provider.issuer


def test_a_real_server_in_front_tells_its_tokens_apart(provider: IdentityProvider) -> None:
    with served(API(provider).app) as address, httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
        good = client.get("/", headers={"Authorization": f"Bearer {provider.token()}"})
        wrong = client.get("/", headers={"Authorization": f"Bearer {provider.token(OTHER_AUDIENCE)}"})
        none = client.get("/")

    assert good.status_code == 200
    assert good.json()["client_id"] == CLIENT_ID
    assert wrong.status_code == 401
    assert wrong.headers["WWW-Authenticate"].startswith('Bearer error="invalid_token"')
    assert none.status_code == 401
    assert none.headers["WWW-Authenticate"] == "Bearer"


def header(token: str) -> dict[str, Any]:
    """The token's header, unverified."""
    return jws.extract_compact(token.encode()).headers()


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Serve the application with uvicorn in a thread; it ends with the block."""
    server = uvicorn.Server(uvicorn.Config(app, lifespan="on", log_config=None, ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as listening:  # clients wait in its backlog until the server is up
        host, port = listening.getsockname()
        thread = Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://{host}:{port}"
        finally:
            server.should_exit = True
            thread.join()
