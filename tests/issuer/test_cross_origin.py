"""Where a browser's request comes from: the table row by row, and what holds for all requests."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_asgi import ConfigurationError
from jwt_asgi.issuer.cross_origin import check_origins, is_loopback, why_refused
from tests.properties.strategies import examples

HOST, OWN, LISTED, OTHER = (
    "auth.example.com",
    "https://auth.example.com",
    "https://app.example.com",
    "https://evil.test",
)
ORIGINS = check_origins([LISTED])
Headers = list[tuple[bytes, bytes]]


def headers(**values: str | None) -> Headers:
    named = {"host": HOST} | {name.replace("_", "-"): value for name, value in values.items()}
    return [(name.encode(), value.encode("latin-1")) for name, value in named.items() if value is not None]


def browser(site: str | None, origin: str | None) -> Headers:
    return headers(sec_fetch_site=site, origin=origin)


def passes(method: str, sent: Headers) -> bool:
    return why_refused(method, sent, origins=ORIGINS) is None


def go_lets_pass(method: str, sent: Headers) -> bool:
    """The rule of Go 1.25's http.CrossOriginProtection, with one trusted origin."""
    values = {name.decode(): value.decode("latin-1") for name, value in reversed(sent)}
    site, origin = values.get("sec-fetch-site", ""), values.get("origin", "")
    if method in {"GET", "HEAD", "OPTIONS"} or site in {"same-origin", "none"} or origin == LISTED:
        return True
    try:
        is_own = urlsplit(origin).netloc == values.get("host", "")
    except ValueError:
        is_own = False
    return not site and (not origin or is_own)


class TestTheTable:
    @pytest.mark.parametrize(
        ("site", "origin", "expected"),
        [
            *[("same-origin", origin, True) for origin in (None, OWN, OTHER, "null")],
            *[("same-site", origin, False) for origin in (None, OWN, OTHER, "null")],
            ("same-site", LISTED, True),
            *[("cross-site", origin, False) for origin in (None, OWN, LISTED, OTHER, "null")],
            *[(site, origin, True) for site in ("none", None) for origin in (OWN, LISTED)],
            *[(site, origin, False) for site in ("none", None) for origin in (None, OTHER, "null", "")],
            *[(site, OWN, False) for site in ("", "Same-Origin", "same-origin, cross-site", "later", "same-origin ")],
        ],
    )
    def test_what_a_request_says_decides(self, site: str | None, origin: str | None, expected: bool) -> None:
        assert passes("POST", browser(site, origin)) is expected

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
    def test_a_safe_method_passes_from_anywhere(self, method: str) -> None:
        assert passes(method, browser("cross-site", OTHER))
        assert why_refused(method, browser("cross-site", OTHER), with_header=True) is None

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "get", "ANY", ""])
    def test_no_other_method_is_safe(self, method: str) -> None:
        assert not passes(method, browser("cross-site", OTHER))
        assert passes(method, browser("same-origin", OWN))

    @pytest.mark.parametrize(
        ("host", "origin"),
        [
            ("auth.example.com:8443", "https://auth.example.com:8443"),
            ("AUTH.example.com", "https://auth.EXAMPLE.com"),
            ("[2001:db8::1]:443", "https://[2001:db8::1]:443"),
            ("localhost:8000", "http://localhost:8000"),
            ("127.0.0.1:8000", "http://127.0.0.1:8000"),
            ("[::1]:8000", "http://[::1]:8000"),
        ],
    )
    def test_without_fetch_metadata_the_origin_is_held_against_the_host(self, host: str, origin: str) -> None:
        assert why_refused("POST", headers(host=host, origin=origin)) is None

    @pytest.mark.parametrize(
        ("host", "origin"),
        [
            ("auth.example.com", "https://auth.example.com:8443"),
            ("auth.example.com:8443", "https://auth.example.com"),
            ("auth.example.com", "http://auth.example.com"),
            ("auth.example.com", "https://auth.example.com.evil.test"),
            ("auth.example.com", "https://evil.test/auth.example.com"),
            ("auth.example.com", "https://evil.test@auth.example.com"),
            ("auth.example.com", "https://auth.example.com@evil.test"),
            ("auth.example.com", "https://auth.example.com/"),
            ("auth.example.com", "https://auth.example.com, https://evil.test"),
            ("auth.example.com", "ftp://auth.example.com"),
            ("auth.example.com", "auth.example.com"),
            ("", "https://"),
            (None, "https://auth.example.com"),
            ("localhost", "http://localhost.evil.test"),
        ],
    )
    def test_another_origin_is_refused(self, host: str | None, origin: str) -> None:
        assert why_refused("POST", headers(host=host, origin=origin)) is not None

    @pytest.mark.parametrize("value", [None, "", "0", "true", "1, 1", " 1"])
    def test_the_header_must_be_there_where_it_is_asked_for(self, value: str | None) -> None:
        sent = headers(sec_fetch_site="same-origin", origin=OWN, x_auth_client=value)
        assert why_refused("POST", sent) is None
        assert why_refused("POST", sent, with_header=True) == "the header X-Auth-Client: 1 is missing"

    def test_the_header_alone_is_not_enough(self) -> None:
        good = headers(sec_fetch_site="same-origin", x_auth_client="1")
        assert why_refused("POST", good, with_header=True) is None
        assert (
            why_refused("POST", headers(sec_fetch_site="cross-site", x_auth_client="1"), with_header=True) is not None
        )
        assert why_refused("POST", headers(x_auth_client="1"), with_header=True) is not None

    def test_the_reason_names_the_header_and_nothing_that_was_sent(self) -> None:
        told = [
            (browser("cross-site", "https://secret.test"), "Sec-Fetch-Site"),
            (browser("same-site", "https://secret.test"), "origins=[...]"),
            (browser(None, "https://secret.test"), "Host"),
            (browser(None, None), "no Origin"),
            ([*browser("same-origin", None), (b"Origin", b"https://secret.test")] * 2, "twice"),
        ]
        for sent, expected in told:
            reason = why_refused("POST", sent)
            assert reason is not None
            assert expected in reason
            assert "secret" not in reason


VALUES = {
    b"sec-fetch-site": [b"same-origin", b"same-site", b"cross-site", b"none", b"other", b""],
    b"origin": [value.encode() for value in (OWN, LISTED, OTHER, "null", "", "http://auth.example.com", "https://[")],
    b"host": [HOST.encode(), b"evil.test", b"app.example.com", b""],
    b"x-auth-client": [b"1", b"2"],
}
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"]


def every_request() -> Iterator[Headers]:
    """Each header with each of its values, or left out."""
    for values in product(*[[None, *values] for values in VALUES.values()]):
        yield [(name, value) for name, value in zip(VALUES, values, strict=True) if value is not None]


class TestForEveryRequest:
    def test_what_passes_here_passes_by_the_rule_of_go(self) -> None:
        passed = [(method, sent) for method in METHODS for sent in every_request() if passes(method, sent)]
        assert all(go_lets_pass(method, sent) for method, sent in passed)
        assert sum(method == "POST" for method, _ in passed) > 100

    def test_nothing_passes_that_says_nothing_of_where_it_comes_from(self) -> None:
        for sent in every_request():
            silent = [pair for pair in sent if pair[0] not in {b"sec-fetch-site", b"origin"}]
            assert not passes("POST", silent)

    def test_to_ask_for_the_header_only_refuses_more(self) -> None:
        for sent in every_request():
            allowed = why_refused("POST", sent, origins=ORIGINS, with_header=True) is None
            assert allowed is (passes("POST", sent) and (b"x-auth-client", b"1") in sent)

    def test_a_header_that_is_there_twice_is_refused_even_where_both_are_the_same(self) -> None:
        for sent in every_request():
            for at, (name, value) in enumerate(sent):
                for doubled in ([(name.title(), value), *sent], [*sent, (name, value)], [*sent[:at], *sent, sent[at]]):
                    reason = why_refused("POST", doubled, origins=ORIGINS)
                    assert reason is not None
                    assert reason.endswith("is there twice")

    @given(st.lists(st.tuples(st.sampled_from(sorted(VALUES)) | st.binary(max_size=8), st.binary(max_size=30))))
    @examples(50)
    def test_whatever_is_sent_gets_a_verdict(self, sent: Headers) -> None:
        reason = why_refused("POST", sent, origins=ORIGINS)
        assert reason is None or reason.isascii()


class TestOrigins:
    def test_they_are_kept_as_browsers_spell_them(self) -> None:
        assert check_origins(["https://App.Example.com:8443", "http://localhost:3000"]) == {
            "https://app.example.com:8443",
            "http://localhost:3000",
        }

    @pytest.mark.parametrize(
        "origins",
        [
            "https://app.example.com",
            ["app.example.com"],
            ["https://app.example.com/"],
            ["https://*.example.com"],
            ["null"],
            ["*"],
            ["http://app.example.com"],
            [b"https://app.example.com"],
            [None],
        ],
    )
    def test_what_is_none_stops_the_start(self, origins: list[str]) -> None:
        with pytest.raises(ConfigurationError, match="origins"):
            check_origins(origins)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *[(host, True) for host in ("localhost", "LOCALHOST:8000", "app.localhost", "localhost.", "127.0.0.1:1")],
        *[(host, True) for host in ("127.255.0.1", "[::1]", "[::1]:8000")],
        *[(host, False) for host in ("localhost.evil.test", "127.0.0.1.evil.test", "evil-localhost", "10.0.0.1", "")],
        *[(host, False) for host in ("[::2]", "0.0.0.0", "localhost:x", "localhost/", "127.1", "[localhost]")],
    ],
)
def test_a_host_is_this_machine_or_not(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
