"""A real Chromium, over HTTPS, with the Python and the JavaScript of the page on browser sessions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest

from tests.interop.browser_site import Site, chromium, serving

LOGIN = {"email": "ada@example.com", "password": "correct horse"}
COOKIE = "__Host-jrt"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def site(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    before = os.environ.pop("JWT_ASGI_MASTER_KEYS", None)
    with chdir(folder), serving(Path(folder)) as running:
        yield running
    os.environ.pop("JWT_ASGI_MASTER_KEYS", None)
    if before is not None:
        os.environ["JWT_ASGI_MASTER_KEYS"] = before


@pytest.fixture
def user(browser: Any, site: Site) -> Iterator[User]:
    context = browser.new_context(ignore_https_errors=True)
    context.set_default_timeout(20_000)
    yield User(context, site)
    context.close()


class User:
    """One person's browser, whose tabs share cookies."""

    def __init__(self, context: Any, site: Site) -> None:
        self.context, self.site = context, site

    def tab(self, origin: str = "") -> Any:
        page = self.context.new_page()
        page.goto(f"{origin or self.site.origin}/")
        page.wait_for_function("window.ready")
        return page

    def logged_in(self) -> Any:
        page = self.tab()
        assert page.evaluate("login => session.login(login)", LOGIN) is True
        self.site.seen.clear()
        return page

    def cookies(self) -> list[Any]:
        return [cookie for cookie in self.context.cookies() if cookie["name"] == COOKIE]

    def is_logged_in(self) -> bool:
        page = self.tab()
        answer = bool(page.evaluate("session.refresh()"))
        page.close()
        return answer


def called(page: Any) -> Any:
    return page.evaluate("session.api('/api').then(async a => [a.status, (await a.json()).sub])")


def submitted(page: Any, action: str) -> Any:
    """Send a form, and return the answer to it."""
    with page.expect_navigation() as answer:
        page.evaluate("action => { f.action = action; f.submit() }", action)
    return answer.value


def test_a_page_logs_in_and_no_script_can_read_the_cookie(user: User) -> None:
    page = user.tab()
    assert page.evaluate("session.login({email: '', password: ''})") is False
    assert called(page) == [401, None]
    assert page.evaluate("login => session.login(login)", LOGIN) is True
    assert called(page) == [200, "ada"]
    (cookie,) = user.cookies()
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Strict")
    assert (cookie["domain"], cookie["path"]) == ("localhost", "/")
    assert page.evaluate("document.cookie") == ""
    assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]
    page.evaluate(f"document.cookie = '{COOKIE}=planted; Secure; Path=/'")
    assert user.cookies() == [cookie]


def test_a_page_that_is_loaded_again_goes_on_by_the_cookie(user: User) -> None:
    page = user.logged_in()
    page.reload()
    page.wait_for_function("window.ready")
    assert called(page) == [200, "ada"]
    assert user.site.statuses("/session/refresh") == [200]
    assert user.site.statuses("/session/ack") == [204]


def test_tabs_that_refresh_at_once_keep_the_session(user: User) -> None:
    tabs = [user.logged_in(), user.tab(), user.tab()]
    for page in tabs:
        page.evaluate("window.refreshes = Promise.all([session.refresh(), session.refresh()]); 0")
    assert [page.evaluate("refreshes") for page in tabs] == [[True, True]] * 3
    assert user.site.statuses("/session/refresh") == [200] * 3
    assert [called(page) for page in tabs] == [[200, "ada"]] * 3


def test_so_do_tabs_that_know_of_no_lock_and_confirm_nothing(user: User) -> None:
    tabs = [user.logged_in(), user.tab()]
    post = "fetch('/session/refresh', {method: 'POST', headers: {'X-Auth-Client': '1'}}).then(a => a.status)"
    for page in tabs:
        page.evaluate(f"window.refreshes = Promise.all([1, 2, 3].map(() => {post})); 0")
    assert [page.evaluate("refreshes") for page in tabs] == [[200] * 3] * 2
    assert user.is_logged_in()


def test_a_token_that_is_refused_is_replaced_once_and_the_request_sent_again(user: User) -> None:
    page = user.logged_in()
    service = user.site.names["service"]
    with page.expect_request("**/api") as request:
        assert called(page) == [200, "ada"]
    token = request.value.headers["authorization"].removeprefix("Bearer ")
    user.site.call(service.revoke(token=token, reason="test"))
    three = page.evaluate("Promise.all([1, 2, 3].map(() => session.api('/api').then(a => a.status)))")
    assert three == [200, 200, 200]
    assert user.site.statuses("/session/refresh") == [200]


@pytest.mark.parametrize("elsewhere", ["cross_site", "same_site"])
def test_a_form_of_another_origin_ends_nothing_and_logs_nobody_in(user: User, elsewhere: str) -> None:
    user.logged_in()
    for path in ("/session/logout", "/session/refresh", "/login-by-form"):
        page = user.tab(getattr(user.site, elsewhere))
        assert submitted(page, user.site.origin + path).status == 403
        assert page.reload().status == 403
        page.close()
    assert user.is_logged_in()


def test_a_form_of_the_page_itself_logs_in(user: User) -> None:
    page = user.tab()
    assert submitted(page, "/login-by-form").url == f"{user.site.origin}/"
    page.wait_for_function("window.ready")
    assert called(page) == [200, "ada"]


@pytest.mark.parametrize("elsewhere", ["cross_site", "same_site"])
def test_a_script_of_another_origin_gets_nothing(user: User, elsewhere: str) -> None:
    user.logged_in()
    page = user.tab(getattr(user.site, elsewhere))
    simple = "url => fetch(url, {method: 'POST', mode: 'no-cors', credentials: 'include'}).then(a => a.type)"
    assert page.evaluate(simple, f"{user.site.origin}/session/logout") == "opaque"
    assert user.site.statuses("/session/logout") == [403]
    asking = """url => fetch(url, {method: 'POST', credentials: 'include', headers: {'X-Auth-Client': '1'}})
        .then(() => 'sent', error => error.name)"""
    assert page.evaluate(asking, f"{user.site.origin}/session/refresh") == "TypeError"
    assert user.site.statuses("/session/refresh") == []
    assert user.is_logged_in()


def test_logging_out_ends_the_session_in_all_tabs_and_empties_the_storage(user: User) -> None:
    page, other = user.logged_in(), user.tab()
    assert called(other) == [200, "ada"]
    page.evaluate("localStorage.setItem('draft', 'of a letter')")
    page.evaluate("session.logout()")
    assert user.cookies() == []
    assert called(page) == [401, None]
    assert called(other) == [401, None]
    page.wait_for_function("localStorage.length === 0")
    assert not user.is_logged_in()


def test_logging_out_everywhere_ends_the_session_of_another_browser(user: User, browser: Any) -> None:
    context = browser.new_context(ignore_https_errors=True)
    elsewhere = User(context, user.site)
    elsewhere.logged_in()
    user.logged_in().evaluate("session.logout({everywhere: true})")
    assert user.cookies() == []
    assert not elsewhere.is_logged_in()
    assert elsewhere.cookies() == []
    context.close()


def test_a_stolen_cookie_that_is_used_late_ends_the_session(user: User) -> None:
    page = user.logged_in()
    (stolen,) = user.cookies()
    assert page.evaluate("session.refresh()") is True
    assert page.evaluate("session.refresh()") is True
    user.context.add_cookies([stolen])
    assert page.evaluate("session.refresh()") is False
    assert user.cookies() == []


def test_when_the_server_fails_the_session_goes_on(user: User) -> None:
    page = user.logged_in()
    page.route("**/session/refresh", lambda route: route.fulfill(status=503, body="{}"))
    assert page.evaluate("session.refresh().catch(error => error.message)") == "no new token just now: 503"
    assert called(page) == [200, "ada"]
    page.unroute("**/session/refresh")
    assert page.evaluate("session.refresh()") is True
