"""A verifier in the process of the token service has its keys from it, without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jwt_asgi import JWTMiddleware, KeysUnavailable, Reason, TrustedIssuer, Verifier
from jwt_asgi.issuer import Client, MasterKeys, Tokens, TokenService, in_process
from jwt_asgi.types import ASGIScope, Fetch, FetchResponse, Receive, Send
from tests.asgi import http

ISSUER, API = "https://auth.test/tokens", "https://api.test"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[TokenService]:
    """A service that nobody has started."""
    service = TokenService(
        issuer=ISSUER,
        store=f"sqlite:///{tmp_path}/tokens.db",
        master_keys=MasterKeys.from_text(MasterKeys.new()),
        clients=[Client(client_id="app", authentication="none")],
    )
    await service.store.migrate()
    yield service
    await service.aclose()


async def issued(service: TokenService) -> Tokens:
    return await service.issue(subject="ada", client_id="app", audience=API)


async def fetched(fetch: Fetch, path: str, **headers: str) -> FetchResponse:
    return await fetch(ISSUER + path, headers=headers, timeout=1.0, limit=65_536)


async def application(scope: ASGIScope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["jwt"].subject.encode()})


def trusting(service: TokenService, *, issuer: str = ISSUER) -> TrustedIssuer:
    return TrustedIssuer(issuer=issuer, audience=API, algorithms=["ES256"], fetch=in_process(service))


async def test_the_first_token_starts_the_service_and_finds_its_key(service: TokenService) -> None:
    token = (await issued(service)).access_token
    app = JWTMiddleware(application, verifier=Verifier(trusting(service)))
    answer = await http(app, token=token)
    assert (answer.status, answer.body) == (200, b"ada")
    assert (await http(app, token=token[:-8] + "AAAAAAAA")).status == 401


async def test_a_key_that_was_made_since_is_found_as_that_of_any_issuer(service: TokenService) -> None:
    verifier = Verifier(trusting(service))
    await verifier.verify((await issued(service)).access_token)
    (key,) = service.keys.stored
    await service.revoke(key=key.kid)
    token = await verifier.verify((await issued(service)).access_token)
    assert token.subject == "ada"


async def test_keys_that_have_not_changed_are_confirmed(service: TokenService) -> None:
    fetch = in_process(service)
    first = await fetched(fetch, "/jwks")
    assert first.body == service.keys.document.body
    assert first.headers["cache-control"] == "max-age=300"
    again = await fetched(fetch, "/jwks", **{"if-none-match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


async def test_nothing_else_is_answered(service: TokenService) -> None:
    assert (await fetched(in_process(service), "/token")).status == 404
    with pytest.raises(KeysUnavailable) as caught:
        await Verifier(trusting(service, issuer="https://other.test/")).reload()
    assert caught.value.reason is Reason.DISCOVERY_FAILED


async def test_a_store_without_tables_is_an_issuer_without_keys(tmp_path: Path) -> None:
    service = TokenService(
        issuer=ISSUER,
        store=f"sqlite:///{tmp_path}/tokens.db",
        master_keys=MasterKeys.from_text(MasterKeys.new()),
        clients=[],
    )
    with pytest.raises(KeysUnavailable) as caught:
        await Verifier(trusting(service)).reload()
    assert caught.value.reason is Reason.KEYS_UNAVAILABLE
