"""Method and path -> exempt, or the rules that cover it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from jwt_asgi import ConfigurationError, Requirement, Role, Scope
from jwt_asgi._core.access import Context
from jwt_asgi._core.paths import Exemption, RouteRules, is_preflight, method_of, needed_scopes, route_path
from jwt_asgi._core.rules import AnyToken

A, B = Scope("a"), Scope("b")


def request(path: str, method: str = "GET", **members: Any) -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "headers": []} | members


def websocket(path: str) -> dict[str, Any]:
    return {"type": "websocket", "path": path, "headers": []}


def covers(pattern: str, scope: Mapping[str, Any]) -> dict[str, str] | None:
    """The path parameters, or None."""
    found = RouteRules({pattern: A}).covering(scope)
    return dict(found[0].context.path_params) if found else None


# What a router sees


@pytest.mark.parametrize(
    ("root_path", "path", "seen"),
    [
        ("", "/x", "/x"),
        ("/", "/x", "/x"),
        ("/api", "/api/x", "/x"),
        ("/api", "/api/", "/"),
        ("/api", "/api", "/"),
        ("/api", "/x", "/x"),
        ("/api", "/api/x/api/y", "/x/api/y"),
        # Litestar routes these to /y and /x, whatever is before it
        ("/api", "/x/api/y", ""),
        ("/ap", "/xy/ap", ""),
        ("/api", "/apix", ""),
        ("/api", "//api/x", ""),
        ("/api/", "/api/x", ""),
    ],
)
def test_the_path_is_the_one_below_root_path_and_none_where_routers_differ(
    root_path: str, path: str, seen: str
) -> None:
    scope = request(path, root_path=root_path)
    assert route_path(scope) == seen
    if not seen:
        assert RouteRules({"/*": AnyToken()}).covering(scope) == []
        for pattern in ("/", "/*", path):
            assert not Exemption.parse(pattern).covers(scope)


def test_the_method_is_in_upper_case_and_that_of_a_websocket_has_a_name() -> None:
    assert method_of(request("/", method="get")) == "GET"
    assert method_of(websocket("/")) == "WEBSOCKET"
    assert method_of({"type": "http"}) == ""


@pytest.mark.parametrize(
    ("members", "answer"),
    [
        ({}, True),
        ({"type": "websocket"}, False),
        ({"method": "GET"}, False),
        ({"headers": [(b"origin", b"https://a.test")]}, False),
        ({"headers": [(b"access-control-request-method", b"GET")]}, False),
    ],
)
def test_a_preflight_is_an_options_request_with_both_headers(members: dict[str, Any], answer: bool) -> None:
    headers = [(b"origin", b"https://a.test"), (b"access-control-request-method", b"GET")]
    assert is_preflight(request("/", "OPTIONS", headers=headers) | members) is answer


# Exempt paths; tests/test_middleware.py has the whole table


@pytest.mark.parametrize(
    ("pattern", "scope", "exempt"),
    [
        ("/a", request("/a"), True),
        ("/a", request("/b"), False),
        ("GET /a", request("/a"), True),
        ("GET /a", request("/a", "POST"), False),
        ("/a", request("/a/"), False),
        ("/a/*", request("/a/b"), True),
        ("/a/*", request("/a/b/"), True),
        ("/a/*", request("/b/c"), False),
        ("/a/*", request("/x/a/b"), False),
        ("/a/*", request("/a/b//"), False),
        ("/a/*", request("/a/b/../"), False),
        ("/a/*", request("/a/"), False),
        ("/a/*", request("/a//"), False),
        ("/a/*", request("/a/../b"), False),
        ("/a/*", request("/a/b", raw_path=b"/a/%2e"), False),
    ],
)
def test_an_exemption_covers_what_it_names(pattern: str, scope: dict[str, Any], exempt: bool) -> None:
    assert Exemption.parse(pattern).covers(scope) is exempt


# Which rule is for which path


@pytest.mark.parametrize(
    ("pattern", "path", "parameters"),
    [
        ("/todos", "/todos", {}),
        ("/todos", "/todos/", {}),
        ("/todos/", "/todos", {}),
        ("/todos", "/todos/1", None),
        ("/todos", "/Todos", None),
        ("/todos", "/todosx", None),
        ("/", "/", {}),
        ("/", "/x", None),
        ("/todos/{id}", "/todos/42", {"id": "42"}),
        ("/todos/{id}", "/todos/42/", {"id": "42"}),
        ("/todos/{id}", "/todos", None),
        ("/todos/{id}", "/todos/", None),
        ("/todos/{id}", "/todos/4/2", None),
        ("/todos/{id}", "/todos/a b", {"id": "a b"}),
        ("/todos/{id}", "/todos/ü:{x}", {"id": "ü:{x}"}),
        ("/{tenant}/todos/{id}", "/t/todos/1", {"tenant": "t", "id": "1"}),
        ("/{tenant}/todos/{id}", "/t/notes/1", None),
        ("/admin/*", "/admin", {}),
        ("/admin/*", "/admin/", {}),
        ("/admin/*", "/admin/a/b", {}),
        ("/admin/*", "/adminx", None),
        ("/admin/{id}/*", "/admin/7/x/y", {"id": "7"}),
        ("/admin/{id}/*", "/admin", None),
        ("/*", "/", {}),
        ("/*", "/a/b/c", {}),
    ],
)
def test_a_rule_covers_its_path_with_and_without_a_slash_at_the_end(
    pattern: str, path: str, parameters: dict[str, str] | None
) -> None:
    assert covers(pattern, request(path)) == parameters
    assert covers(pattern, websocket(path)) == parameters
    assert covers(pattern, request(path, raw_path=path.encode())) == parameters


@pytest.mark.parametrize(
    "path",
    [
        "",
        "x",
        "//",
        "//a",
        "/a//",
        "/a//b",
        "/.",
        "/..",
        "/a/.",
        "/a/../b",
        "/a/./b",
        "/a\\b",
        "/a;b",
        "/a;b=c/d",
        "/a%2fb",
        "/%2e%2e/a",
        "/a\x00",
        "/a\n",
        "/a\u2028",
        "/a\u200b",
        "*",
        "http://a.test/a",
    ],
)
def test_no_rule_covers_a_path_that_routers_may_read_in_another_way(path: str) -> None:
    assert covers("/*", request(path)) is None
    assert covers("/{all}", request(path)) is None


@pytest.mark.parametrize("code", [b"%2f", b"%2F", b"%5c", b"%5C", b"%2e", b"%2E", b"%25"])
def test_no_rule_covers_a_path_that_was_encoded_for_no_good_reason(code: bytes) -> None:
    assert covers("/*", request("/a/b", raw_path=b"/a" + code + b"b")) is None
    assert covers("/*", request("/a/b", raw_path=b"/a%20b%C3%BC")) == {}
    assert covers("/*", request("/", raw_path=b"/" + code)) is None


@pytest.mark.parametrize(
    ("pattern", "scope", "covered"),
    [
        ("GET /a", request("/a"), True),
        ("GET /a", request("/a", "HEAD"), True),
        ("GET /a", request("/a", "get"), True),
        ("GET /a", request("/a", "POST"), False),
        ("GET /a", websocket("/a"), False),
        ("HEAD /a", request("/a"), False),
        ("POST /a", request("/a", "Post"), True),
        ("POST /a", request("/a", "HEAD"), False),
        ("PURGE /a", request("/a", "PURGE"), True),
        ("WEBSOCKET /a", websocket("/a"), True),
        ("WEBSOCKET /a", request("/a"), False),
        ("/a", request("/a", "ANYTHING"), True),
        ("/a", websocket("/a"), True),
    ],
)
def test_a_rule_with_a_method_is_for_that_method_and_head_is_a_get(
    pattern: str, scope: dict[str, Any], covered: bool
) -> None:
    assert (covers(pattern, scope) is not None) is covered


def test_every_rule_that_covers_a_request_must_be_met_in_whatever_order() -> None:
    written: dict[str, Requirement] = {
        "/*": AnyToken(),
        "/todos/*": A,
        "GET /todos/{id}": Scope("todo:{id}:read"),
        "POST /todos/{id}": Role("editor"),
        "/todos/{todo}": B | Role("x"),
    }
    for rules in (written, dict(reversed(written.items()))):
        made = RouteRules(rules)
        found = made.covering(request("/todos/7"))
        assert {str(rule.requirement) for rule in found} == {
            "any token",
            "scope a",
            "scope todo:{id}:read",
            "(scope b or role x)",
        }
        assert needed_scopes(found) == ("a", "b", "todo:7:read")
        assert made.requirements() == rules
        assert made.scopes() == {"a", "b"}
    assert needed_scopes(RouteRules(written).covering(request("/todos/a:b"))) == ("a", "b")
    assert needed_scopes([]) == ()
    assert RouteRules({}).covering(request("/")) == []


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "a",
        "a/*",
        "/a*",
        "/*/a",
        "*",
        "/a//b",
        "//",
        "/a/../b",
        "/./a",
        "/a%20b",
        "/a%2Fb",
        "/a;b",
        "/a\\b",
        "/a\n",
        "/{}",
        "/{1}",
        "/{a-b}",
        "/{a}x",
        "/x{a}",
        "/{a",
        "/a}",
        "/a*/*",
        "/*/*",
        "/{a:path}",
        "/{a}/{a}",
        "get /a",
        "GET  /a",
        "GET /a /b",
        " /a",
        "GET,POST /a",
        "GET a",
        "GET",
        None,
        7,
        b"/a",
        ("GET", "/a"),
    ],
)
def test_a_pattern_that_would_not_mean_what_it_says_stops_the_start(pattern: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RouteRules({pattern: A})
    assert caught.value.option == "rules"
    patterns = '"/path", "/path/{id}", "/path/*", "GET /path" or "WEBSOCKET /path"'
    assert f"expected {patterns}" in caught.value.detail
    assert caught.value.detail.endswith(f"; got {pattern!r}")


@pytest.mark.parametrize("pattern", ["/{a}/{a}", "/a//b", "/{a}x"])
def test_a_pattern_that_no_request_can_match_is_told_apart(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match="with each parameter once, and segments as they are when decoded"):
        RouteRules({pattern: A})


@pytest.mark.parametrize("pattern", ["", "a", "/a*", "/*/a", "/a*/*", "/*/*", "get /a", "GET  /a", None, b"/a"])
def test_an_exemption_that_would_not_mean_what_it_says_stops_the_start(pattern: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Exemption.parse(pattern)
    assert caught.value.detail == f'exempt: expected "/path", "/path/*" or "GET /path"; got {pattern!r}'


def test_an_exemption_is_a_value() -> None:
    made = Exemption.parse("GET /a/*")
    assert made == Exemption("GET", "/a/", below=True)
    with pytest.raises(AttributeError):
        made.path = "/"  # type: ignore[misc]


@pytest.mark.parametrize("rules", [None, [("/a", A)], "/a", {"/a": None}, {"/a": "a"}, {"/a": Scope}, {"/a": True}])
def test_rules_are_requirements_by_their_patterns(rules: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RouteRules(rules)
    assert caught.value.option == "rules"
    if isinstance(rules, Mapping):
        assert caught.value.detail.endswith(f"expected a requirement for '/a'; got {rules['/a']!r}")
    else:
        dictionary = '{"GET /todos/{id}": Scope("todos:read")}'
        assert caught.value.detail.endswith(f"expected a dict, as {dictionary}; got {rules!r}")


def test_what_covers_a_request_is_told_of_it_and_of_the_time_if_that_is_given() -> None:
    rules = RouteRules({"/a/{b}": Role("admin")})
    context = rules.covering(request("/a/c", method="PUT"), 5.0)[0].context
    assert context == Context(now=5.0, method="PUT", path="/a/c", path_params={"b": "c"})
    assert rules.covering(request("/a/c"))[0].context.now == 0.0
