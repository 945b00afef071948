"""The probes: what they answer in each state, that they make a service ready, and that they hammer nobody."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64encode
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from jwt_asgi import (
    ConfigurationError,
    JWTMiddleware,
    Reason,
    SharedSecret,
    StaticKeys,
    TokenError,
    TrustedIssuer,
    Verifier,
)
from jwt_asgi.health import HealthApp
from jwt_asgi.tenants import ResolvedIssuers
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIApp
from tests.asgi import http, websocket
from tests.keys.script import FakeClock, ScriptedFetch, key_set, status, until

DOWN = status(500)
AGEING, STALE, EXPIRED = 550.0, 600.0, 87_000.0


class Service:
    """A verifier whose issuer and whose clock are in a test's hand, and its probes."""

    def __init__(self, *, details: bool = False, **options: Any) -> None:
        self.fetch, self.clock = ScriptedFetch(key_set("a")), FakeClock()
        self.verifier = Verifier(trusting(self.fetch, self.clock, **options))
        self.app = HealthApp(self.verifier, details=details)

    async def probe(self) -> int:
        """Ask whether it is ready, and let a fetch end."""
        answer = await http(self.app, path="/health/ready")
        for _ in range(50):
            await asyncio.sleep(0)
        return answer.status


def trusting(fetch: ScriptedFetch, clock: FakeClock | None = None, **options: Any) -> TrustedIssuer:
    return TrustedIssuer(
        **{
            "issuer": "https://issuer.test",
            "audience": "a",
            "algorithms": ["ES256"],
            "jwks_uri": "https://issuer.test/jwks",
            "fetch": fetch,
            "key_clock": clock,
            "key_hooks": [],
            **options,
        }
    )


# Live


async def test_live_is_200_whatever_the_issuer_does_and_asks_it_nothing() -> None:
    service = Service()
    service.fetch.reply = DOWN
    answer = await http(service.app, path="/health/live")
    assert (answer.status, answer.json()) == (200, {"live": True})
    assert answer.header("content-type") == "application/json"
    assert answer.header("cache-control") == "no-store"
    assert answer.header("content-length") == str(len(answer.body))
    await asyncio.sleep(0)
    assert service.fetch.calls == []


# Ready


async def test_a_service_becomes_ready_by_being_asked_whether_it_is() -> None:
    service = Service()
    answer = await http(service.app, path="/health/ready")
    assert (answer.status, answer.json()) == (503, {"ready": False})
    assert answer.header("cache-control") == "no-store"
    await until(lambda: service.verifier.status()["https://issuer.test"].ready)
    answer = await http(service.app, path="/health/ready")
    assert (answer.status, answer.json()) == (200, {"ready": True})
    assert len(service.fetch.calls) == 1


async def test_asking_does_not_wait_for_an_issuer_that_hangs() -> None:
    service = Service()
    service.fetch.gate = asyncio.Event()
    probe = http(service.app, path="/health/ready")
    with pytest.raises(StopIteration) as answered:
        probe.send(None)
    assert answered.value.value.status == 503
    await service.verifier.aclose()


async def test_it_stays_ready_while_the_keys_are_stale_and_not_once_they_have_expired() -> None:
    service = Service()
    await service.probe()
    service.fetch.reply, began = DOWN, service.clock.now
    for age in (0.0, AGEING, STALE, 3600.0, 86_999.0):
        service.clock.now = began + age
        assert await service.probe() == 200
    service.clock.now = began + EXPIRED
    assert await service.probe() == 503
    service.fetch.reply, service.clock.now = key_set("a"), service.clock.now + 30
    assert [await service.probe(), await service.probe()] == [503, 200]


async def test_asking_keeps_the_keys_young_where_there_is_no_traffic() -> None:
    service = Service()
    for _ in range(120):
        await service.probe()
        service.clock.now += 60
        assert service.verifier.status()["https://issuer.test"].state.value in {"fresh", "ageing", "stale"}
    assert 12 <= len(service.fetch.calls) <= 15


async def test_asking_each_second_does_not_hammer_an_issuer_that_is_down() -> None:
    service = Service()
    service.fetch.reply = DOWN
    for _ in range(600):
        assert await service.probe() == 503
        service.clock.now += 1
    assert 20 <= len(service.fetch.calls) <= 50


async def test_an_issuer_that_is_not_required_is_neither_asked_nor_waited_for() -> None:
    up, down = ScriptedFetch(key_set("a")), ScriptedFetch(DOWN)
    verifier = Verifier(trusting(up), trusting(down, issuer="https://other.test", required=False))
    app = HealthApp(verifier, details=True)
    await http(app, path="/ready")
    await until(lambda: verifier.status()["https://issuer.test"].ready)
    answer = await http(app, path="/ready")
    assert answer.status == 200
    assert [(member["issuer"], member["required"], member["ready"]) for member in answer.json()["issuers"]] == [
        ("https://issuer.test", True, True),
        ("https://other.test", False, False),
    ]
    assert down.calls == []


async def test_a_probe_asks_nothing_of_a_thousand_tenants_with_keys_of_their_own() -> None:
    fetch, of_tenants, clock = ScriptedFetch(key_set("a")), ScriptedFetch(key_set("a")), FakeClock()
    family = ResolvedIssuers(
        lambda name: trusting(of_tenants, clock, issuer=name, jwks_uri=f"{name}/jwks"),
        allowed=lambda name: name.startswith("https://login.test/"),
    )
    verifier = Verifier(trusting(fetch, clock), family)
    for number in range(1000):
        token = expired(f"https://login.test/{number}")
        with pytest.raises(TokenError) as caught:
            await verifier.verify(token)
        assert caught.value.reason is Reason.TOKEN_EXPIRED
    assert len(verifier.status()) == 1001, "all of them are known, and have no keys yet"
    app = HealthApp(verifier)
    for age in (0.0, AGEING, STALE, EXPIRED):
        clock.now += age
        await http(app, path="/health/ready")
        await until(lambda: verifier.status()["https://issuer.test"].ready)
        assert (await http(app, path="/health/ready")).status == 200
    assert len(fetch.calls) >= 4
    assert of_tenants.calls == []


def expired(issuer: str) -> str:
    """A token that anyone can write, of this issuer."""
    parts = ({"alg": "ES256", "kid": "a"}, {"iss": issuer, "aud": "a", "sub": "s", "exp": 1})
    header, claims = (urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return f"{header}.{claims}.{'A' * 86}"


async def test_every_required_issuer_must_have_keys() -> None:
    up, down = ScriptedFetch(key_set("a")), ScriptedFetch(DOWN)
    verifier = Verifier(trusting(up), trusting(down, issuer="https://other.test"))
    for _ in range(3):
        assert (await http(HealthApp(verifier), path="/ready")).status == 503
        await asyncio.sleep(0.01)
    assert verifier.status()["https://issuer.test"].ready


@pytest.mark.parametrize(
    "options",
    [
        {"algorithms": ["HS256"], "keys": SharedSecret("s" * 32)},
        {"keys": StaticKeys(TestIssuer(algorithms=["ES256"]).jwks())},
    ],
    ids=["a shared secret", "a key set"],
)
async def test_keys_that_are_given_are_ready_from_the_start(options: dict[str, Any]) -> None:
    trusted = TrustedIssuer(**{"issuer": "https://issuer.test", "audience": "a", "algorithms": ["ES256"], **options})
    answer = await http(HealthApp(Verifier(trusted), details=True), path="/ready")
    assert (answer.status, answer.json()["issuers"][0]["state"]) == (200, "fresh")
    assert "ssss" not in answer.body.decode()


# Details


async def test_details_are_the_status_of_each_issuer_and_are_off_by_default() -> None:
    service = Service(details=True)
    service.fetch.reply = DOWN
    await service.probe()
    answer = await http(service.app, path="/ready")
    assert answer.status == 503
    body = answer.json()
    assert body == {
        "ready": False,
        "issuers": [service.verifier.status()["https://issuer.test"].as_dict() | body_of(body)],
    }
    assert body["issuers"][0]["error"] == "keys_unavailable: the key set's URL answered 500"
    assert (await http(HealthApp(service.verifier), path="/ready")).body == b'{"ready": false}'


def body_of(body: dict[str, Any]) -> dict[str, Any]:
    """What JSON makes of tuples."""
    return {name: value for name, value in body["issuers"][0].items() if isinstance(value, list)}


# The rest of HTTP


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/live", 200),
        ("/health/live", 200),
        ("/a/b/live", 200),
        ("live", 200),
        ("/", 404),
        ("", 404),
        ("/health", 404),
        ("/live/", 404),
        ("/LIVE", 404),
        ("/alive", 404),
        ("/live/x", 404),
        ("/livex", 404),
    ],
)
async def test_the_last_segment_of_the_path_is_the_endpoint(path: str, status: int) -> None:
    answer = await http(Service().app, path=path)
    assert answer.status == status
    if status == 404:
        assert answer.json() == {"error": "expected .../live or .../ready"}


@pytest.mark.parametrize("endpoint", ["/live", "/ready"])
async def test_head_is_the_get_without_its_body(endpoint: str) -> None:
    service = Service()
    get = await http(service.app, path=endpoint)
    head = await http(service.app, path=endpoint, method="HEAD")
    assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")
    await service.verifier.aclose()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get"])
async def test_other_methods_are_405_and_make_nobody_fetch(method: str) -> None:
    service = Service()
    for path in ("/live", "/ready"):
        answer = await http(service.app, path=path, method=method)
        assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")
    await asyncio.sleep(0)
    assert service.fetch.calls == []


async def test_it_refuses_a_websocket_without_a_word_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    app = HealthApp(Verifier(trusting(ScriptedFetch(key_set("a")))))
    assert (await websocket(app, path="/live")).close_code == 1008
    assert caplog.records == []


async def test_it_has_no_lifespan() -> None:
    async def never(*_: object) -> Any:
        raise AssertionError("nobody is asked")

    with pytest.raises(ConfigurationError, match="HealthApp has no lifespan"):
        await HealthApp(Verifier(trusting(ScriptedFetch(key_set("a")))))({"type": "lifespan"}, never, never)


@pytest.mark.parametrize(
    ("arguments", "option"),
    [(("https://issuer.test", {}), "verifier"), ((None, {}), "verifier"), ((True, {"details": "yes"}), "details")],
)
def test_a_wrong_option_stops_the_start(arguments: tuple[Any, dict[str, Any]], option: str) -> None:
    verifier, options = arguments
    with pytest.raises(ConfigurationError) as caught:
        HealthApp(Service().verifier if verifier is True else verifier, **options)
    assert caught.value.option == option


# Behind the door

EXEMPT = ["/health/live", "/health/ready"]


async def who(request: Request) -> Response:
    return PlainTextResponse(request.user.display_name)


def on_starlette(verifier: Verifier) -> ASGIApp:
    app = Starlette(routes=[Mount("/health", HealthApp(verifier)), Route("/", who)])
    app.add_middleware(JWTMiddleware, verifier=verifier, exempt=EXEMPT)
    return app


def on_fastapi(verifier: Verifier) -> ASGIApp:
    app = FastAPI()
    app.mount("/health", HealthApp(verifier))
    app.add_middleware(JWTMiddleware, verifier=verifier, exempt=EXEMPT)
    app.add_api_route("/", who)
    return app


@pytest.mark.parametrize("make", [on_starlette, on_fastapi])
def test_mounted_behind_the_door_the_probes_need_no_token_and_all_else_does(make: Any) -> None:
    issuer = TestIssuer(algorithms=["ES256"])
    with TestClient(make(Verifier(TrustedIssuer(**issuer.options())))) as client:
        assert client.get("/health/live").status_code == 200
        assert client.get("/health/ready").status_code == 503
        for _ in range(100):
            if (ready := client.get("/health/ready")).status_code == 200:
                break
        assert ready.json() == {"ready": True}
        assert client.head("/health/live").status_code == 200
        assert client.post("/health/live").status_code == 405
        assert [client.get(path).status_code for path in ("/", "/health", "/health/", "/health/x")] == [401] * 4
        assert len(issuer.fetched) == 2, "no token has come yet"
        bearer = {"authorization": f"Bearer {issuer.token(subject='ann')}"}
        assert client.get("/", headers=bearer).text == "ann"
        assert client.get("/health/x", headers=bearer).status_code == 404
        assert len(issuer.fetched) == 2


async def test_below_a_root_path_the_probes_are_found_too() -> None:
    verifier = Verifier(TrustedIssuer(**TestIssuer(algorithms=["ES256"]).options()))
    transport = httpx.ASGITransport(on_starlette(verifier), root_path="/api")
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
        assert (await client.get("/api/health/live")).status_code == 200
        assert (await client.get("/api/health/ready")).status_code == 503
    await verifier.aclose()
