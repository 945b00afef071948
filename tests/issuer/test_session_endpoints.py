"""The session of a browser, through the door: what each endpoint answers, and when the cookie is cleared."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from jwt_asgi import ConfigurationError
from jwt_asgi.issuer.claims import ClaimsError
from jwt_asgi.issuer.clients import Client
from jwt_asgi.issuer.cookies import RefreshCookie
from jwt_asgi.issuer.errors import StoreUnavailable
from jwt_asgi.issuer.grants import Fault, GrantError
from jwt_asgi.issuer.service import TokenService
from jwt_asgi.issuer.session_endpoints import BrowserSessions, CrossOriginError, check_cross_origin
from tests.asgi import Answer, http
from tests.issuer.browsers import HOST, ISSUER, MASTER_KEYS, Browser, Clock, log_in, token_service

ENDPOINTS = ["/session/refresh", "/session/ack", "/session/logout", "/session/logout-everywhere"]
CLEARED = "__Host-jrt=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict; Secure"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def service(tmp_path: Path, clock: Clock) -> AsyncIterator[TokenService]:
    async with token_service(tmp_path, clock) as running:
        yield running


def app_of(service: Any, **options: Any) -> Starlette:
    return Starlette(routes=[Mount("/session", BrowserSessions(service, browser_client="web", **options))])


@pytest.fixture
async def browser(service: TokenService) -> Browser:
    return Browser(app_of(service), (await log_in(service)).refresh_token)


def claims_of(answer: Answer) -> Any:
    payload = answer.json()["access_token"].split(".")[1]
    return json.loads(urlsafe_b64decode(payload + "=="))


def is_refused(answer: Answer, fault: Fault) -> bool:
    assert set(answer.json()) == {"error", "error_description"}
    assert answer.header("cache-control") == "no-store"
    return (answer.status, answer.json()["error"]) == (fault.status, fault.value)


class _Failing:
    """A service whose every answer is an exception."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.is_started = False

    async def find_client(self, client_id: str) -> Client:
        return Client(client_id=client_id, authentication="none")

    async def start(self) -> None:
        self.is_started = True

    def __getattr__(self, name: str) -> Any:
        async def fail(*_: object, **__: object) -> None:
            raise self.error

        return fail


class TestRefresh:
    async def test_the_page_gets_an_access_token_and_the_browser_the_next_cookie(self, browser: Browser) -> None:
        before = browser.cookie
        answer = await browser.post("/session/refresh")
        assert answer.status == 200
        assert answer.header("cache-control") == "no-store"
        assert answer.header("content-type") == "application/json"
        body = answer.json()
        assert body.pop("access_token")
        assert body == {"token_type": "Bearer", "expires_in": 900, "scope": "todos:read"}
        assert claims_of(answer)["gen"] == 1
        assert claims_of(answer)["client_id"] == "web"
        assert browser.cookie not in {before, None}
        written = str(answer.header("set-cookie"))
        assert written.endswith("; Max-Age=1209600; Path=/; HttpOnly; SameSite=Strict; Secure")
        assert b"jrt_" not in answer.body

    async def test_the_cookie_never_outlives_the_session(self, browser: Browser, clock: Clock) -> None:
        for _ in range(8):
            clock.now += 11 * 86_400
            answer = await browser.post("/session/refresh")
        assert "; Max-Age=172800; " in str(answer.header("set-cookie"))

    async def test_tabs_at_once_keep_one_session_and_one_cookie(self, browser: Browser) -> None:
        answers: list[Answer] = []

        async def tab() -> None:
            answers.append(await browser.post("/session/refresh"))

        async with anyio.create_task_group() as tabs:
            for _ in range(5):
                tabs.start_soon(tab)
        assert {answer.status for answer in answers} == {200}
        assert len({str(answer.header("set-cookie")) for answer in answers}) == 1
        assert (await browser.post("/session/refresh")).status == 200

    async def test_without_a_cookie_there_is_no_session(self, service: TokenService) -> None:
        answer = await Browser(app_of(service)).post("/session/refresh")
        assert is_refused(answer, Fault.INVALID_GRANT)
        assert answer.header("set-cookie") is None

    async def test_tokens_without_scopes_are_told_so(self, service: TokenService) -> None:
        tokens = await service.issue(subject="ada", client_id="web", audience="https://api.example.com")
        answer = await Browser(app_of(service), tokens.refresh_token).post("/session/refresh")
        assert "scope" not in answer.json()


class TestWhenTheCookieIsCleared:
    async def test_a_session_that_has_ended_takes_its_cookie_along(
        self, browser: Browser, service: TokenService
    ) -> None:
        await service.revoke(subject="ada")
        answer = await browser.post("/session/refresh")
        assert is_refused(answer, Fault.INVALID_GRANT)
        assert answer.header("set-cookie") == CLEARED
        assert browser.cookie is None

    async def test_so_does_one_that_was_idle_for_too_long(self, browser: Browser, clock: Clock) -> None:
        clock.now += 15 * 86_400
        assert (await browser.post("/session/refresh")).header("set-cookie") == CLEARED

    async def test_so_does_one_whose_old_token_is_shown(self, browser: Browser, service: TokenService) -> None:
        thief = Browser(app_of(service))
        thief.cookie = browser.cookie
        await browser.post("/session/refresh")
        await browser.post("/session/refresh")
        assert (await thief.post("/session/refresh")).header("set-cookie") == CLEARED
        answer = await browser.post("/session/refresh")
        assert is_refused(answer, Fault.INVALID_GRANT)
        assert answer.header("set-cookie") == CLEARED

    @pytest.mark.parametrize(
        ("cookie", "fault"),
        [
            ("__Host-jrt=jrt_" + "A" * 56, Fault.INVALID_GRANT),
            ("__Host-jrt=nonsense", Fault.INVALID_GRANT),
            ('__Host-jrt="quoted"', Fault.INVALID_REQUEST),
            ("__Host-jrt=", Fault.INVALID_REQUEST),
            ("__Host-jrt=" + "a" * 300, Fault.INVALID_REQUEST),
        ],
    )
    async def test_a_malformed_one_is_refused_and_left(self, service: TokenService, cookie: str, fault: Fault) -> None:
        for path in ("/session/refresh", "/session/ack", "/session/logout-everywhere"):
            answer = await Browser(app_of(service)).post(path, cookie=cookie)
            assert is_refused(answer, fault)
            assert answer.header("set-cookie") is None

    async def test_two_are_refused_and_left(self, browser: Browser) -> None:
        answer = await browser.post("/session/refresh", cookie=f"{browser.cookie}; {browser.cookie}")
        assert is_refused(answer, Fault.INVALID_REQUEST)
        assert answer.header("set-cookie") is None
        assert (await browser.post("/session/refresh")).status == 200

    async def test_one_that_is_ahead_of_the_database_is_refused_and_left(self, service: TokenService) -> None:
        await log_in(service)
        (session,) = await service.sessions("ada")
        answer = await Browser(app_of(service), MASTER_KEYS.refresh_tokens().write(session.id, 5, 1)).post(
            "/session/refresh"
        )
        assert is_refused(answer, Fault.INVALID_GRANT)
        assert answer.header("set-cookie") is None

    async def test_that_of_another_client_is_refused_and_left(self, service: TokenService) -> None:
        tokens = await log_in(service, client_id="phone")
        answer = await Browser(app_of(service), tokens.refresh_token).post("/session/refresh")
        assert is_refused(answer, Fault.INVALID_GRANT)
        assert answer.header("set-cookie") is None
        assert tokens.refresh_token is not None
        assert await service.refresh(tokens.refresh_token, client_id="phone")


class TestAck:
    async def test_the_token_before_is_good_for_nothing_a_moment_later(self, browser: Browser, clock: Clock) -> None:
        old = browser.cookie
        await browser.post("/session/refresh")
        answer = await browser.post("/session/ack")
        assert (answer.status, answer.body, answer.header("set-cookie")) == (204, b"", None)
        assert answer.header("cache-control") == "no-store"
        clock.now += 11
        assert is_refused(await browser.post("/session/refresh", cookie=old), Fault.INVALID_GRANT)
        assert is_refused(await browser.post("/session/refresh"), Fault.INVALID_GRANT)

    async def test_without_it_a_lost_answer_can_be_asked_for_again(self, browser: Browser, clock: Clock) -> None:
        old = browser.cookie
        await browser.post("/session/refresh")
        clock.now += 3600
        assert (await browser.post("/session/refresh", cookie=old)).status == 200

    async def test_it_may_be_sent_twice(self, browser: Browser) -> None:
        assert (await browser.post("/session/ack")).status == 204
        assert (await browser.post("/session/ack")).status == 204

    async def test_without_a_cookie_there_is_nothing_to_confirm(self, service: TokenService) -> None:
        assert is_refused(await Browser(app_of(service)).post("/session/ack"), Fault.INVALID_GRANT)


class TestLogout:
    async def test_the_session_ends_and_the_browser_forgets(self, browser: Browser, service: TokenService) -> None:
        old = browser.cookie
        answer = await browser.post("/session/logout")
        assert (answer.status, answer.body) == (204, b"")
        assert answer.header("set-cookie") == CLEARED
        assert answer.header("clear-site-data") == '"cache", "storage"'
        assert await service.sessions("ada") == []
        assert is_refused(await browser.post("/session/refresh", cookie=old), Fault.INVALID_GRANT)

    async def test_other_sessions_go_on(self, browser: Browser, service: TokenService) -> None:
        await log_in(service)
        await browser.post("/session/logout")
        assert len(await service.sessions("ada")) == 1

    @pytest.mark.parametrize("cookie", [None, "__Host-jrt=nonsense", '__Host-jrt="a"', "__Host-jrt=a; __Host-jrt=b"])
    async def test_whoever_has_no_session_is_logged_out_too(self, service: TokenService, cookie: str | None) -> None:
        answer = await Browser(app_of(service)).post("/session/logout", cookie=cookie)
        assert answer.status == 204
        assert answer.header("set-cookie") == CLEARED

    async def test_everywhere_is_every_session_of_the_user_and_of_nobody_else(
        self, browser: Browser, service: TokenService
    ) -> None:
        await log_in(service, client_id="phone")
        await log_in(service, subject="grace")
        answer = await browser.post("/session/logout-everywhere")
        assert answer.status == 204
        assert answer.header("set-cookie") == CLEARED
        assert answer.header("clear-site-data") == '"cache", "storage"'
        assert await service.sessions("ada") == []
        assert len(await service.sessions("grace")) == 1

    async def test_everywhere_needs_a_session_that_lives_and_says_so(
        self, browser: Browser, service: TokenService
    ) -> None:
        stale = browser.cookie
        await browser.post("/session/refresh")
        for cookie in (stale, None):
            assert is_refused(await browser.post("/session/logout-everywhere", cookie=cookie), Fault.INVALID_GRANT)
        assert len(await service.sessions("ada")) == 1

    @pytest.mark.parametrize("client", ["wbe", "backend"])
    @pytest.mark.parametrize("path", ["/refresh", "/logout-everywhere"])
    async def test_a_client_that_is_no_public_one_is_found_out(
        self, service: TokenService, path: str, client: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        tokens = await log_in(service)
        answer = await Browser(BrowserSessions(service, browser_client=client), tokens.refresh_token).post(path)
        assert is_refused(answer, Fault.SERVER_ERROR)
        assert f"authentication='none'; got '{client}'" in caplog.text


class TestWhereRequestsComeFrom:
    @pytest.mark.parametrize(
        ("changed", "told"),
        [
            ({"x_auth_client": None}, "the header X-Auth-Client: 1 is missing"),
            ({"sec_fetch_site": "cross-site", "origin": "https://evil.test"}, "Sec-Fetch-Site"),
            ({"sec_fetch_site": "same-site", "origin": "https://app.example.com"}, "origins=[...]"),
            ({"sec_fetch_site": None, "origin": "https://evil.test"}, "Origin is neither"),
            ({"sec_fetch_site": None, "origin": None}, "there is no Origin"),
        ],
    )
    async def test_a_page_of_another_origin_is_refused_and_nothing_is_done(
        self, browser: Browser, service: TokenService, changed: dict[str, str | None], told: str
    ) -> None:
        for path in ENDPOINTS:
            answer = await browser.post(path, **changed)
            assert is_refused(answer, Fault.ACCESS_DENIED)
            assert told in answer.json()["error_description"]
            assert answer.header("set-cookie") is None
        assert len(await service.sessions("ada")) == 1
        assert claims_of(await browser.post("/session/refresh"))["gen"] == 1

    async def test_a_page_under_the_same_domain_that_is_listed_passes(self, service: TokenService) -> None:
        app = app_of(service, origins=["https://app.example.com"])
        browser = Browser(app, (await log_in(service)).refresh_token)
        answer = await browser.post("/session/refresh", sec_fetch_site="same-site", origin="https://app.example.com")
        assert answer.status == 200

    @pytest.mark.parametrize("path", ENDPOINTS)
    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS"])
    async def test_there_is_no_other_method(self, path: str, method: str) -> None:
        assert (await http(app_of(_Failing(RuntimeError())), method=method, path=path)).status == 405

    @pytest.mark.parametrize("path", ["/session", "/session/", "/session/refresh/", "/session/other"])
    async def test_there_is_no_other_path(self, path: str) -> None:
        assert (await Browser(app_of(_Failing(RuntimeError()))).post(path)).status == (404 if path[8:] else 307)


class TestOutages:
    @pytest.mark.parametrize("path", ENDPOINTS)
    async def test_when_the_store_cannot_be_asked_the_session_is_kept(self, path: str) -> None:
        browser = Browser(app_of(_Failing(StoreUnavailable("timeout", retry_after=1.5))), "jrt_a")
        answer = await browser.post(path)
        assert is_refused(answer, Fault.TEMPORARILY_UNAVAILABLE)
        assert answer.header("retry-after") == "2"
        assert browser.cookie is not None

    async def test_claims_that_cannot_be_in_a_token_are_the_servers_fault(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        browser = Browser(app_of(_Failing(ClaimsError("roles", "expected a list"))), "jrt_a")
        answer = await browser.post("/session/refresh")
        assert is_refused(answer, Fault.SERVER_ERROR)
        assert "roles" not in answer.body.decode()
        assert "roles" in caplog.text
        assert browser.cookie is not None

    async def test_what_the_mapper_refuses_is_told_and_the_session_kept(self) -> None:
        error = GrantError(Fault.INVALID_GRANT, "the account is locked")
        browser = Browser(app_of(_Failing(error)), "jrt_a")
        answer = await browser.post("/session/refresh")
        assert answer.json() == {"error": "invalid_grant", "error_description": "the account is locked"}
        assert browser.cookie is not None


class TestLoggingIn:
    """The application's own view, in FastAPI and in Starlette."""

    @pytest.fixture
    def app(self, service: TokenService) -> FastAPI:
        cookie = RefreshCookie()
        sessions = BrowserSessions(service, browser_client="web", cookie=cookie)
        app = FastAPI()
        app.mount("/session", sessions)

        @app.post("/login")
        async def login(request: Request) -> Response:
            check_cross_origin(request.scope)
            await sessions.end(request.scope, reason="logged in again")
            return sessions.answer(await log_in(service), request.scope)

        async def login_by_form(request: Request) -> Response:
            check_cross_origin(request.scope, origins=["https://www.example.com"])
            response = RedirectResponse("/", 303)
            response.raw_headers += cookie.headers(await log_in(service), request.scope)
            return response

        app.router.routes.append(Route("/login-by-form", login_by_form, methods=["POST"]))
        return app

    async def test_a_login_by_a_script_gets_both_tokens(self, app: FastAPI) -> None:
        browser = Browser(app)
        answer = await browser.post("/login", x_auth_client=None)
        assert answer.status == 200
        assert set(answer.json()) == {"access_token", "token_type", "expires_in", "scope"}
        assert answer.header("cache-control") == "no-store"
        assert (await browser.post("/session/refresh")).status == 200

    async def test_a_login_by_a_form_gets_the_cookie(self, app: FastAPI) -> None:
        browser = Browser(app)
        answer = await browser.post("/login-by-form", x_auth_client=None)
        assert (answer.status, answer.header("location")) == (303, "/")
        assert (await browser.post("/session/refresh")).status == 200

    async def test_logging_in_again_ends_the_session_before(self, app: FastAPI, service: TokenService) -> None:
        browser = Browser(app)
        await browser.post("/login")
        await browser.post("/login")
        assert len(await service.sessions("ada")) == 1

    @pytest.mark.parametrize("path", ["/login", "/login-by-form"])
    async def test_nobody_is_logged_in_from_another_site(self, app: FastAPI, service: TokenService, path: str) -> None:
        for changed in ({"sec_fetch_site": "cross-site"}, {"sec_fetch_site": None, "origin": "https://evil.test"}):
            answer = await Browser(app).post(path, **changed)
            assert answer.status == 403
            assert answer.header("set-cookie") is None
        assert await service.sessions("ada") == []

    async def test_the_reason_is_in_the_answer(self, app: FastAPI) -> None:
        answer = await Browser(app).post("/login", sec_fetch_site=None, origin=None)
        assert "there is no Origin" in answer.json()["detail"]

    def test_it_can_be_asked_of_a_websocket(self) -> None:
        scope = {"type": "websocket", "headers": [(b"host", b"a.test"), (b"origin", b"https://a.test")]}
        check_cross_origin(scope)
        scope["headers"] = [(b"host", b"a.test"), (b"origin", b"https://evil.test")]
        with pytest.raises(CrossOriginError) as caught:
            check_cross_origin(scope)
        assert caught.value.status_code == 403


class TestDevelopment:
    async def test_on_this_machine_it_works_over_plain_http(self, service: TokenService) -> None:
        app = app_of(service, cookie=RefreshCookie(dev=True))
        tokens = await log_in(service)
        sent = {"host": "localhost:8000", "origin": "http://localhost:8000", "cookie": f"jrt={tokens.refresh_token}"}
        answer = await Browser(app).post("/session/refresh", **sent)
        assert answer.status == 200
        assert "Secure" not in str(answer.header("set-cookie"))

    async def test_elsewhere_it_stops_and_the_log_has_the_reason(
        self, service: TokenService, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = app_of(service, cookie=RefreshCookie(dev=True))
        for path in ENDPOINTS:
            caplog.clear()
            assert is_refused(await Browser(app).post(path, host=HOST), Fault.SERVER_ERROR)
            assert "dev=True is for localhost alone" in caplog.text


class TestOptions:
    async def test_a_service_that_nobody_has_started_is_started_by_the_first_request(self) -> None:
        service = _Failing(GrantError(Fault.INVALID_GRANT))
        await Browser(app_of(service)).post("/session/refresh", x_auth_client=None)
        assert not service.is_started
        await Browser(app_of(service)).post("/session/refresh")
        assert service.is_started

    @pytest.mark.parametrize("client", ["", None])
    def test_the_client_must_be_named(self, client: Any) -> None:
        with pytest.raises(ConfigurationError, match="browser_client"):
            BrowserSessions(_Failing(RuntimeError()), browser_client=client)

    def test_origins_are_checked_at_the_start(self) -> None:
        with pytest.raises(ConfigurationError, match="origins"):
            app_of(_Failing(RuntimeError()), origins=["app.example.com"])

    def test_the_routes_can_be_taken_one_by_one(self) -> None:
        routes = BrowserSessions(_Failing(RuntimeError()), browser_client="web").routes
        assert [route.path for route in routes] == ["/refresh", "/ack", "/logout", "/logout-everywhere"]

    def test_the_test_client_of_starlette_can_call_it(self) -> None:
        error = GrantError(Fault.INVALID_GRANT)
        with TestClient(app_of(_Failing(error)), base_url=ISSUER) as client:
            answer = client.post("/session/refresh", headers={"Origin": ISSUER, "X-Auth-Client": "1"})
            assert answer.json()["error_description"] == "the request has no session cookie"
