"""What clients and resource servers reach, as the standards have it, and whatever it is that they send."""

from __future__ import annotations

import json
import logging
import time
from base64 import b64encode
from typing import Any
from urllib.parse import quote

import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from jwt_asgi import TrustedIssuer, Verifier
from jwt_asgi._core.revocation import unpack
from jwt_asgi.issuer import Client, StoreUnavailable, TokenContext, token_endpoints
from jwt_asgi.issuer.authentication import ASSERTION_TYPE
from jwt_asgi.issuer.endpoints import metadata_route
from jwt_asgi.issuer.rate_limits import RateLimits
from jwt_asgi.issuer.signing import SigningKey
from jwt_asgi.types import ASGIScope, FetchResponse, Message, Receive, Send
from tests.asgi import Answer, http
from tests.issuer.services import API, CLIENTS, SECRET, World, claims_of, failing, running

FORM = (b"content-type", b"application/x-www-form-urlencoded")
BASIC = ("api", SECRET)
NO_STORE = {"cache-control": "no-store", "pragma": "no-cache"}


def error_of(answer: Answer, status: int = 400) -> str:
    assert answer.status == status, answer.body
    assert {name: answer.header(name) for name in NO_STORE} == NO_STORE
    assert answer.header("content-type") == "application/json"
    assert answer.json().keys() == {"error", "error_description"}
    error: str = answer.json()["error"]
    return error


# /token


async def test_a_refresh_is_answered_as_the_standard_says_and_kept_by_no_cache() -> None:
    async with running() as world:
        first = await world.login()
        answer = await world.refresh(first.refresh_token)
        assert answer.status == 200
        assert {name: answer.header(name) for name in NO_STORE} == NO_STORE
        found = answer.json()
        assert found.keys() == {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
        assert (found["token_type"], found["expires_in"], found["scope"]) == ("Bearer", 900, "read write")
        fewer = (await world.refresh(found["refresh_token"], scope="read", resource=API)).json()
        assert (fewer["scope"], claims_of(fewer["access_token"])["aud"]) == ("read", API)


async def test_what_is_wrong_with_a_refresh_is_told_by_the_code_alone() -> None:
    async with running() as world:
        first = await world.login()
        token = first.refresh_token or ""
        asked = {"grant_type": "refresh_token", "client_id": "spa"}
        assert error_of(await world.refresh(token, "nobody"), 401) == "invalid_client"
        assert error_of(await world.refresh(token, "phone")) == "invalid_grant"
        assert error_of(await world.refresh(token + "x")) == "invalid_grant"
        assert error_of(await world.refresh(first.access_token)) == "invalid_grant", "an access token is none"
        assert error_of(await world.refresh(token, scope="admin")) == "invalid_scope"
        assert error_of(await world.refresh(token, resource="https://other.test")) == "invalid_target"
        assert error_of(await world.refresh(token, resource="no url")) == "invalid_target"
        assert error_of(await world.refresh("")) == "invalid_request"
        assert error_of(await world.post("/token", {**asked, "refresh_token": [token, token]})) == "invalid_request"
        assert error_of(await world.post("/token", {**asked, "grant_type": "password"})) == "unsupported_grant_type"
        no_grant = {"grant_type": "refresh_token", "refresh_token": token}
        assert error_of(await world.post("/token", no_grant, basic=BASIC)) == "unauthorized_client"
        assert (await world.refresh(token)).status == 200, "none of that has changed anything"


async def test_a_client_authenticates_by_http_basic_and_is_challenged_in_kind() -> None:
    async with running() as world:
        asked = {"grant_type": "client_credentials", "scope": "read"}
        good = await world.post("/token", asked, basic=("job", SECRET))
        assert good.json().keys() == {"access_token", "token_type", "expires_in", "scope"}
        for name, secret in (("job", "wrong"), ("nobody", SECRET), ("spa", SECRET), ("%00", SECRET), ("", "")):
            answer = await world.post("/token", asked, basic=(name, secret))
            assert error_of(answer, 401) == "invalid_client"
            assert answer.challenge == 'Basic realm="token service", charset="UTF-8"'
        for headers in [(b"authorization", b"Bearer x")], [(b"authorization", b"Basic \xff")]:
            assert error_of(await world.post("/token", asked, headers=headers), 401) == "invalid_client"
        without = await world.post("/token", {**asked, "client_id": "job"})
        assert error_of(without, 401) == "invalid_client"
        assert without.challenge is None
        assert error_of(await world.post("/token", {**asked, "client_id": "job", "client_secret": SECRET}), 401)
        twice = [(b"authorization", b"Basic " + b64encode(f"job:{SECRET}".encode()))]
        answer = await world.post("/token", asked, basic=("job", SECRET), headers=twice)
        assert error_of(answer) == "invalid_request"


def asserting(key: SigningKey, world: World, **members: Any) -> dict[str, str]:
    now = world.clock.now
    base = {"iss": "robot", "sub": "robot", "aud": "https://auth.test", "exp": now + 60, "iat": now, "jti": "1"}
    made: str = jwt.encode({**base, **members}, key._private, algorithm="ES256", headers={"kid": key.kid})
    return {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE, "client_assertion": made}


async def test_a_client_authenticates_by_an_assertion_once() -> None:
    key = SigningKey.new()
    robot = Client(
        client_id="robot",
        authentication="private_key_jwt",
        jwks={"keys": [dict(key.public)]},
        algorithm="ES256",
        grants=["client_credentials"],
        audience=[API],
    )
    async with running(clients=[robot, *CLIENTS]) as world:
        for place, audience in enumerate(["https://auth.test", "https://auth.test/token"]):
            asked = asserting(key, world, jti=str(place), aud=audience)
            assert (await world.post("/token", asked)).status == 200
            assert error_of(await world.post("/token", asked), 401) == "invalid_client", "it was used before"
        names: list[Any] = ["nobody", "a\x00b", "a\nb", "", 1, None, "é" * 1000]
        for name in names:
            asked = asserting(key, world, sub=name, jti="x")
            assert error_of(await world.post("/token", asked), 401) == "invalid_client"
        own = await world.service.client_credentials(robot)
        asked = asserting(key, world) | {"client_assertion": own.access_token}
        assert error_of(await world.post("/token", asked), 401) == "invalid_client", "an access token is no assertion"
        assert error_of(await world.post("/token", asserting(key, world, exp=10**400, jti="y")), 401)


async def test_who_has_not_authenticated_has_the_store_asked_for_nothing() -> None:
    asked_for: list[str] = []

    async def find(client_id: str) -> Client | None:
        asked_for.append(client_id)
        return next((client for client in CLIENTS if client.client_id == client_id), None)

    async with running(clients=find) as world:
        first = await world.login()
        world.store.calls.clear()
        asked_for.clear()
        for path in ("/token", "/revoke", "/introspect", "/ack"):
            for basic in (("api", "wrong"), ("nobody", SECRET), ("a%0Ab", SECRET)):
                answer = await world.post(path, {"token": first.access_token}, basic=basic)
                assert error_of(answer, 401) == "invalid_client"
            assert error_of(await world.post(path, {"client_id": "nobody"}), 401) == "invalid_client"
            assert error_of(await world.post(path, asserting(SigningKey.new(), world)), 401) == "invalid_client"
            assert error_of(await world.post(path, asserting(SigningKey.new(), world, sub="a\x00b")), 401)
        assert world.store.calls == []
        assert {*asked_for} == {"api", "nobody", "robot"}, "nobody looks for what no database can have"


# /revoke, /introspect, /ack


async def test_revocation_is_answered_alike_whatever_the_token_was() -> None:
    async with running() as world:
        first, other = await world.login(), await world.login(client_id="phone")
        bodies = []
        for token in (first.refresh_token, first.refresh_token, other.refresh_token, "x", "jrt_x", "a.b.c"):
            asked = {"token": token, "token_type_hint": "no such hint", "client_id": "spa"}
            answer = await world.post("/revoke", asked)
            bodies.append((answer.status, answer.body, sorted(answer.headers)))
        assert all(body == bodies[0] for body in bodies)
        assert bodies[0][:2] == (200, b"")
        assert error_of(await world.refresh(first.refresh_token)) == "invalid_grant"
        assert (await world.refresh(other.refresh_token, "phone")).status == 200
        assert error_of(await world.post("/revoke", {"client_id": "spa"})) == "invalid_request"


async def test_a_public_client_may_not_introspect() -> None:
    async with running() as world:
        first = await world.login()
        assert error_of(await world.post("/introspect", {"token": first.access_token, "client_id": "spa"}), 401)
        assert (await world.introspect(first.access_token))["active"]
        answer = await world.post("/introspect", {"token": first.access_token}, basic=("stranger", SECRET))
        assert (answer.status, answer.json()) == (200, {"active": False})
        assert {name: answer.header(name) for name in NO_STORE} == NO_STORE
        assert (await world.introspect("é" * 1000)) == {"active": False}


async def test_an_acknowledgement_has_no_body_and_counts_for_the_client_of_the_token_alone() -> None:
    async with running() as world:
        first = await world.login()
        second = (await world.refresh(first.refresh_token)).json()["refresh_token"]
        assert error_of(await world.post("/ack", {"refresh_token": second, "client_id": "phone"})) == "invalid_grant"
        assert error_of(await world.post("/ack", {"refresh_token": "jrt_x", "client_id": "spa"})) == "invalid_grant"
        assert error_of(await world.post("/ack", {"client_id": "spa"})) == "invalid_request"
        world.clock.now += 60
        assert (await world.refresh(first.refresh_token)).json()["refresh_token"] == second
        for _ in range(2):
            answer = await world.post("/ack", {"refresh_token": second, "client_id": "spa"})
            assert (answer.status, answer.body) == (204, b"")
            assert answer.header("content-length") is None, "RFC 9110 section 8.6"
        world.clock.now += 60
        assert error_of(await world.refresh(first.refresh_token)) == "invalid_grant"


# What everybody may read


async def test_the_keys_verify_and_are_asked_for_again_with_their_tag() -> None:
    async with running() as world:
        answer = await http(world.app, path="/jwks")
        assert answer.header("content-type") == "application/jwk-set+json"
        assert answer.header("cache-control") == "public, max-age=300"
        tag = (answer.header("etag") or "").encode()
        for value in (tag, b"W/" + tag, b'"x", ' + tag, b"*"):
            again = await http(world.app, path="/jwks", headers=[(b"if-none-match", value)])
            assert (again.status, again.body, again.header("etag")) == (304, b"", tag.decode())
        assert (await http(world.app, path="/jwks", headers=[(b"if-none-match", b'"x"')])).status == 200
        head = await http(world.app, path="/jwks", method="HEAD")
        assert (head.status, head.header("etag")) == (200, tag.decode())

        async def fetch(url: str, **_: Any) -> Any:
            path = url.removeprefix("https://auth.test")
            found = await http(world.app, path=path)
            return FetchResponse(found.status, {}, found.body)

        trusted = TrustedIssuer(issuer="https://auth.test", audience=API, algorithms=["ES256"], fetch=fetch)
        tokens = await world.login()
        verifier = Verifier(trusted, clock=world.clock)
        assert (await verifier.verify(tokens.access_token)).subject == "ada"


async def test_the_metadata_name_what_there_is() -> None:
    async with running() as world:
        found = [
            await http(world.app, path=f"/.well-known/{name}")
            for name in ("oauth-authorization-server", "openid-configuration")
        ]
        assert found[0].body == found[1].body
        document = found[0].json()
        assert document["issuer"] == "https://auth.test"
        for name in ("token_endpoint", "revocation_endpoint", "introspection_endpoint"):
            path = document[name].removeprefix("https://auth.test")
            assert (await world.post(path, {})).status == 401
            methods = document[f"{name}_auth_methods_supported"]
            assert "private_key_jwt" in methods
            algorithms = document[f"{name}_auth_signing_alg_values_supported"]
            assert "none" not in algorithms
            assert "HS256" not in algorithms
        assert (await http(world.app, path=document["jwks_uri"].removeprefix("https://auth.test"))).status == 200


async def test_what_is_published_needs_no_store_that_answers() -> None:
    async with running() as world:
        for name in ("now", "keys", "entries", "session"):
            world.store.before[name] = failing(StoreUnavailable("gone"), times=1000)
        assert (await http(world.app, path="/jwks")).status == 200
        assert (await http(world.app, path="/.well-known/oauth-authorization-server")).status == 200


async def test_resource_servers_read_the_revocations_and_nobody_else() -> None:
    async with running() as world:
        tokens = await world.login()
        await world.service.revoke(session=tokens.sid)
        await world.service.revocations.pull()
        for path in ("/revocations/snapshot", "/revocations"):
            for basic in (None, ("job", SECRET), ("api", "wrong")):
                headers = [] if basic is None else [_basic(basic)]
                answer = await http(world.app, path=path, query=b"after=0", headers=headers)
                assert error_of(answer, 401) == "invalid_client"
                assert (answer.challenge or "").startswith("Basic")
        snapshot = await http(world.app, path="/revocations/snapshot", headers=[_basic(BASIC)])
        block, _ = unpack(snapshot.body)
        assert block.records == 1
        for after, status in ((str(block.upto).encode(), 200), (b"0", 200), (b"9" * 30, 400), (b"-1", 400), (b"", 400)):
            answer = await http(world.app, path="/revocations", query=b"after=" + after, headers=[_basic(BASIC)])
            assert answer.status == status
        assert (await http(world.app, path="/revocations", headers=[_basic(BASIC)])).status == 400
        tag = (snapshot.header("etag") or "").encode()
        again = await http(world.app, path="/revocations/snapshot", headers=[_basic(BASIC), (b"if-none-match", tag)])
        assert again.status == 304


def _basic(basic: tuple[str, str]) -> tuple[bytes, bytes]:
    return b"authorization", b"Basic " + b64encode(f"{basic[0]}:{basic[1]}".encode())


# Mounted, and served by itself


async def test_it_is_mounted_under_the_issuers_path_with_routes_beside_its_own() -> None:
    async def hello(scope: ASGIScope, receive: Receive, send: Send) -> None:
        raise NotImplementedError

    async with running(started=False) as world:
        inner = token_endpoints(world.service, more=[Route("/login", hello)])
        app = Starlette(routes=[Mount("/auth", inner)])
        assert (await http(app, path="/auth/jwks")).status == 200, "whoever asks first starts it"
        assert (await http(app, path="/auth/token/", method="POST")).status == 404, "no redirect takes a form elsewhere"
        assert (await http(app, path="/auth/token")).status == 405
        assert any(getattr(route, "path", None) == "/login" for route in inner.routes)


async def test_below_a_path_the_metadata_are_where_the_standard_looks_for_them() -> None:
    async with running(started=False) as world:
        world.service.issuer = "https://auth.test/auth/"
        app = Starlette(routes=[metadata_route(world.service), Mount("/auth", token_endpoints(world.service))])
        found = await http(app, path="/.well-known/oauth-authorization-server/auth")
        assert found.json()["jwks_uri"] == "https://auth.test/auth/jwks"
        assert found.body == (await http(app, path="/auth/.well-known/openid-configuration")).body


async def test_whoever_asks_too_often_is_told_when_to_come_again() -> None:
    async with running(limits=RateLimits(token="2/minute", refresh="1/minute", introspection="1/minute")) as world:
        first = await world.login()
        assert (await world.refresh(first.refresh_token)).status == 200
        for answer in (await world.refresh(first.refresh_token), await world.refresh(first.refresh_token, "spa")):
            assert error_of(answer, 429) == "temporarily_unavailable"
            assert 0 < int(answer.header("retry-after") or 0) <= 60
        (session,) = await world.service.sessions("ada")
        assert (session.family.generation, session.family.retries) == (1, 0), "and that is no retry"
        assert (await world.introspect(first.access_token))["active"]
        asked = {"token": first.access_token}
        assert error_of(await world.post("/introspect", asked, basic=BASIC), 429)


async def test_who_guesses_a_secret_is_limited_wherever_he_tries_it() -> None:
    async with running(limits=RateLimits(token="3/minute")) as world:
        wrong = ("api", "wrong")
        answers = [
            await world.post("/introspect", {"token": "x"}, basic=wrong),
            await http(world.app, path="/revocations/snapshot", headers=[_basic(wrong)]),
            await world.post("/token", {"grant_type": "client_credentials"}, basic=wrong),
            await world.post("/introspect", {"token": "x"}, basic=wrong),
            await http(world.app, path="/revocations/snapshot", headers=[_basic(wrong)]),
        ]
        assert [answer.status for answer in answers] == [401, 401, 401, 429, 429]
        assert (await world.introspect("x")) == {"active": False}, "who has the right one is not shut out by that"


async def test_served_by_itself_it_starts_and_closes_the_service() -> None:
    async with running(started=False) as world:
        incoming: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        sent: list[str] = []
        running_then: list[bool] = []

        async def receive() -> Message:
            running_then.append(world.service._housekeeping.is_running)
            return incoming.pop(0)

        async def send(message: Message) -> None:
            sent.append(message["type"])

        await world.app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        assert running_then == [False, True]
        assert not world.service._housekeeping.is_running


# What goes wrong


@pytest.mark.parametrize("path", ["/token", "/revoke", "/introspect", "/ack"])
async def test_a_store_that_cannot_be_asked_is_said_to_be_so_with_a_time_to_come_again(path: str) -> None:
    async with running() as world:
        first = await world.login()
        for name in ("now", "present", "session", "confirm", "find_entries"):
            world.store.before[name] = failing(StoreUnavailable("gone", retry_after=2.5), times=9)
        asked = {"grant_type": "refresh_token", "token": first.refresh_token, "refresh_token": first.refresh_token}
        basic = BASIC if path == "/introspect" else None
        answer = await world.post(path, asked if basic else {**asked, "client_id": "spa"}, basic=basic)
        assert error_of(answer, 503) == "temporarily_unavailable"
        assert answer.header("retry-after") == "3"


async def test_what_the_application_does_wrong_is_told_to_the_log_and_not_to_the_client(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def mapper(context: TokenContext) -> Any:
        raise LookupError("the directory is away")

    async with running(mapper=mapper) as world:
        answer = await world.post("/token", {"grant_type": "client_credentials"}, basic=("job", SECRET))
        assert error_of(answer, 500) == "server_error"
        assert b"directory" not in answer.body
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)


async def test_no_token_and_no_secret_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with running() as world:
        first = await world.login(claims={"email": "ada@example.com"})
        second = (await world.refresh(first.refresh_token)).json()
        third = (await world.refresh(second["refresh_token"])).json()
        await world.refresh(third["refresh_token"], "phone")
        await world.post("/ack", {"refresh_token": third["refresh_token"], "client_id": "phone"})
        await world.introspect(third["access_token"])
        await world.post("/introspect", {"token": third["access_token"], "client_secret": SECRET, "client_id": "api"})
        await world.post("/token", {"grant_type": "client_credentials"}, basic=("job", SECRET[::-1]))
        await world.refresh(first.refresh_token)
        await world.refresh(third["refresh_token"])
    told = caplog.text
    assert "refused" in told
    secrets = [first.refresh_token, second["refresh_token"], third["refresh_token"], SECRET, SECRET[::-1]]
    secrets += [tokens.split(".")[2] for tokens in (first.access_token, second["access_token"], third["access_token"])]
    assert [secret for secret in [*secrets, "ada@example.com"] if secret and secret in told] == []


async def test_an_exception_of_the_applications_own_goes_through() -> None:
    async def find(client_id: str) -> Client | None:
        raise RuntimeError("a mistake of its own")

    async with running(clients=find) as world:
        with pytest.raises(RuntimeError):
            await world.post("/revoke", {"client_id": "spa", "token": "x"})


async def streamed(world: World, messages: list[Message], path: str = "/revoke") -> list[Message]:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "https",
        "query_string": b"",
        "headers": [FORM],
        "client": None,
        "server": ("auth.test", 443),
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await world.app(scope, receive, send)
    return sent


async def test_a_form_in_pieces_is_read_and_one_that_is_too_large_is_not_read_to_its_end() -> None:
    async with running() as world:
        pieces = [b"client_", b"id=s", b"", b"pa&token=x"]
        messages: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        messages.append({"type": "http.request", "body": b"", "more_body": False})
        sent = await streamed(world, messages)
        assert sent[0]["status"] == 200

        flood: list[Message] = [{"type": "http.request", "body": b"x" * 20_000, "more_body": True} for _ in range(100)]
        sent = await streamed(world, flood)
        assert sent[0]["status"] == 400
        assert len(flood) == 98


async def test_a_client_that_leaves_in_the_middle_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as world:
        caplog.clear()
        messages: list[Message] = [
            {"type": "http.request", "body": b"client_id=", "more_body": True},
            {"type": "http.disconnect"},
        ]
        await streamed(world, messages)
        assert caplog.records == []


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"content-type", b"application/json")],
        [(b"content-type", b"multipart/form-data; boundary=x")],
        [(b"content-type", b"application/x-www-form-urlencoded; charset=utf-7")],
        [(b"content-type", b"\xff\x00")],
    ],
)
async def test_what_is_no_form_is_a_malformed_request(headers: list[tuple[bytes, bytes]]) -> None:
    async with running() as world:
        answer = await http(world.app, method="POST", path="/token", headers=headers, body=b"client_id=spa")
        assert error_of(answer) == "invalid_request"


_VALUES = st.one_of(
    st.text(max_size=30),
    st.binary(max_size=30).map(lambda raw: raw.decode("latin-1")),
    st.sampled_from(["spa", "api", "job", "refresh_token", "client_credentials", "jrt_" + "A" * 56, "a.b.c", "read"]),
)
_NAMES = st.sampled_from(
    [
        *("grant_type", "client_id", "refresh_token", "token", "scope", "resource", "client_secret"),
        *("client_assertion", "client_assertion_type", "token_type_hint", "x"),
    ]
)


def _form(pairs: list[tuple[str, str]]) -> bytes:
    return "&".join(f"{quote(name)}={quote(value, errors='surrogatepass')}" for name, value in pairs).encode()


async def test_whatever_a_client_sends_the_answer_is_the_clients_fault() -> None:
    """No 5xx, no traceback, for whatever bytes; and an answer in time."""
    async with running() as world:
        sends: list[tuple[str, bytes, list[tuple[bytes, bytes]]]] = []

        @settings(max_examples=60, suppress_health_check=list(HealthCheck))
        @given(
            path=st.sampled_from(["/token", "/revoke", "/introspect", "/ack"]),
            body=st.one_of(st.lists(st.tuples(_NAMES, _VALUES), max_size=6).map(_form), st.binary(max_size=60)),
            headers=st.lists(
                st.tuples(
                    st.sampled_from([b"authorization", b"content-type", b"if-none-match"]),
                    st.one_of(
                        st.binary(max_size=30),
                        st.binary(max_size=30).map(lambda raw: b"Basic " + b64encode(raw)),
                        st.just(_basic(BASIC)[1]),
                    ),
                ),
                max_size=2,
            ),
        )
        def collect(path: str, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
            sends.append((path, body, headers))

        collect()
        for path, body, headers in sends:
            answer = await http(world.app, method="POST", path=path, headers=[FORM, *headers], body=body)
            assert answer.status < 500, (path, body, headers)
            if answer.status >= 400:
                assert json.loads(answer.body)["error"]


async def test_a_large_form_costs_little_before_anybody_has_authenticated() -> None:
    async with running() as world:
        worst = [b"&" * 32_000, b"%41" * 10_000, b"scope=" + b"a+" * 16_000, b"a=1&" * 8_000, b"client_assertion=" * 64]
        worst.append(
            b"client_assertion_type=" + quote(ASSERTION_TYPE).encode() + b"&client_assertion=" + b"e30." * 7_000
        )
        began = time.process_time()
        for body in worst:
            assert (await world.post("/token", body)).status in {400, 401}
        assert time.process_time() - began < 1.0
