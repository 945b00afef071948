"""What an API says of itself (RFC 9728)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jwt_asgi import ConfigurationError
from jwt_asgi._core.resource import ProtectedResource, resource_answer

ISSUERS = ("https://issuer.test", "https://other.test")


@pytest.mark.parametrize(
    ("resource", "url", "path"),
    [
        # RFC 9728 section 3.1: the well-known part goes between host and path, and a slash right after the host goes
        (
            "https://resource.example.com",
            "https://resource.example.com/.well-known/oauth-protected-resource",
            "/.well-known/oauth-protected-resource",
        ),
        (
            "https://resource.example.com/",
            "https://resource.example.com/.well-known/oauth-protected-resource",
            "/.well-known/oauth-protected-resource",
        ),
        (
            "https://resource.example.com/resource1",
            "https://resource.example.com/.well-known/oauth-protected-resource/resource1",
            "/.well-known/oauth-protected-resource/resource1",
        ),
        (
            "https://api.test:8443/v1/mcp/",
            "https://api.test:8443/.well-known/oauth-protected-resource/v1/mcp/",
            "/.well-known/oauth-protected-resource/v1/mcp/",
        ),
        (
            "http://127.0.0.1:8000/a%20b",
            "http://127.0.0.1:8000/.well-known/oauth-protected-resource/a%20b",
            "/.well-known/oauth-protected-resource/a b",
        ),
        (
            "https://[::1]/x",
            "https://[::1]/.well-known/oauth-protected-resource/x",
            "/.well-known/oauth-protected-resource/x",
        ),
    ],
)
def test_the_metadata_are_where_the_rfc_says(resource: str, url: str, path: str) -> None:
    made = ProtectedResource(resource)
    assert (made.metadata_url, made.metadata_path) == (url, path)


@pytest.mark.parametrize(
    "resource",
    [
        "",
        "api.test",
        "/v1",
        "//api.test",
        "https://",
        "https:///v1",
        "https://:443",
        "urn:example:api",
        "ftp://api.test",
        "https://api.test/?a=b",
        "https://api.test/?",
        "https://api.test/#x",
        "https://api.test#",
        "https://user:secret@api.test/",
        "https://[::1",
        "https://api.test/a b",
        'https://api.test/"x',
        "https://api.test/\\x",
        "https://api.test/\r\nset-cookie:x",
        "https://äpi.test/",
        None,
        7,
        b"https://api.test",
        ["https://api.test"],
    ],
)
def test_a_resource_is_an_url_that_a_challenge_can_carry(resource: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ProtectedResource(resource)
    assert caught.value.option == "resource"
    expected = 'an URL without query and fragment, as "https://api.example.com/v1"'
    assert f"expected {expected}; got {resource!r}" in caught.value.detail


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("scopes", "a"),
        ("scopes", ["a b"]),
        ("scopes", [""]),
        ("scopes", [7]),
        ("scopes", None),
        ("scopes", {"a": True}),
        ("authorization_servers", "https://issuer.test"),
        ("authorization_servers", [None]),
        ("authorization_servers", 7),
        ("name", 7),
        ("name", ""),
        ("documentation", b"https://docs.test"),
        ("policy", ["https://x.test"]),
        ("terms", False),
    ],
)
def test_a_member_of_a_wrong_shape_stops_the_start_and_is_named(member: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ProtectedResource("https://api.test", **{member: value})
    assert caught.value.option == f"resource {member}"
    expected = "a list of texts without spaces" if member in {"scopes", "authorization_servers"} else "a text"
    assert f"expected {expected}; got {value!r}" in caught.value.detail


def test_the_document_names_what_is_known_and_nothing_else() -> None:
    assert json.loads(ProtectedResource("https://api.test").document([])) == {
        "resource": "https://api.test",
        "bearer_methods_supported": ["header"],
    }


def test_the_document_has_every_member_by_the_name_of_the_rfc() -> None:
    made = ProtectedResource(
        "https://api.test/v1",
        scopes=["z", "a"],
        name="Täsks",
        documentation="https://docs.test",
        policy="https://policy.test",
        terms="https://terms.test",
    )
    document = made.document(ISSUERS, {"b", "a", "z"})
    assert json.loads(document) == {
        "resource": "https://api.test/v1",
        "authorization_servers": ["https://issuer.test", "https://other.test"],
        "scopes_supported": ["z", "a", "b"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Täsks",
        "resource_documentation": "https://docs.test",
        "resource_policy_uri": "https://policy.test",
        "resource_tos_uri": "https://terms.test",
    }
    assert document.isascii()


def test_authorization_servers_take_the_place_of_the_trusted_issuers() -> None:
    made = ProtectedResource("https://api.test", authorization_servers=["https://login.test"])
    assert json.loads(made.document(ISSUERS))["authorization_servers"] == ["https://login.test"]


def test_a_resource_is_a_value() -> None:
    made = ProtectedResource("https://api.test", scopes=["a"])
    assert made == ProtectedResource("https://api.test", scopes=("a",))
    assert made.scopes == ("a",)
    assert len({made, ProtectedResource("https://api.test")}) == 2
    with pytest.raises(AttributeError):
        made.resource = "https://other.test"  # type: ignore[misc]


def test_anyone_may_read_the_metadata() -> None:
    document = ProtectedResource("https://api.test").document(ISSUERS)
    for method in ("GET", "HEAD"):
        answer = resource_answer(document, method)
        assert (answer.status, answer.body) == (200, document)
        assert dict(answer.headers) == {
            b"content-type": b"application/json",
            b"cache-control": b"max-age=300",
            b"access-control-allow-origin": b"*",
            b"content-length": str(len(document)).encode(),
        }


def test_a_browser_may_ask_before() -> None:
    answer = resource_answer(b"{}", "OPTIONS")
    assert (answer.status, answer.body) == (204, b"")
    assert dict(answer.headers) == {
        b"access-control-allow-origin": b"*",
        b"access-control-allow-methods": b"GET, HEAD",
        b"access-control-allow-headers": b"*",
    }


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "get", ""])
def test_another_method_is_told_which_ones_there_are(method: str) -> None:
    answer = resource_answer(b"{}", method)
    assert (answer.status, answer.body) == (405, b"")
    assert dict(answer.headers) == {b"allow": b"GET, HEAD, OPTIONS", b"content-length": b"0"}
