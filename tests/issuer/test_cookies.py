"""The cookie of a session: written as browsers ask for it, and read without believing anything."""

from __future__ import annotations

from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_asgi import ConfigurationError
from jwt_asgi.issuer.cookies import RefreshCookie
from jwt_asgi.issuer.grants import Fault, GrantError
from jwt_asgi.issuer.refresh_token import MAX_GENERATION, RefreshTokens
from tests.properties.strategies import examples

TOKEN = "jrt_AQF0XWc7jiiXVwI1CAg1mxxgAAAAAEPPSLJYfqDUauHfw_YdR0fSHcX_"
COOKIE = RefreshCookie()
DEV = RefreshCookie(dev=True)


@dataclass
class Tokens:
    refresh_token: str | None = TOKEN
    expires_in: int = 900
    expires_at: int = 1_800_000_900
    session_until: float | None = 1_800_000_000 + 14 * 86_400.5


def scope(host: bytes | None = b"auth.example.com", *cookies: bytes) -> dict[str, Any]:
    hosts = [] if host is None else [(b"host", host)]
    return {"type": "http", "headers": [*hosts, *[(b"cookie", cookie) for cookie in cookies]]}


def read(*cookies: bytes, cookie: RefreshCookie = COOKIE, host: bytes = b"auth.example.com") -> str | None:
    asked = scope(host, *cookies)
    return cookie.read(asked["headers"], asked)


class TestWriting:
    def test_it_has_all_that_keeps_it_from_others(self) -> None:
        assert COOKIE.headers(Tokens(), scope()) == [
            (
                b"set-cookie",
                b"__Host-jrt=%s; Max-Age=1209607; Path=/; HttpOnly; SameSite=Strict; Secure" % TOKEN.encode(),
            )
        ]

    def test_it_lives_as_long_as_the_session_by_the_clock_of_the_service(self) -> None:
        (_, value), *_ = COOKIE.headers(Tokens(session_until=1_800_000_000.9), scope())
        assert b"; Max-Age=0;" in value
        (_, value), *_ = COOKIE.headers(Tokens(session_until=1_700_000_000.0), scope())
        assert b"; Max-Age=0;" in value

    def test_to_clear_it_names_the_same_cookie(self) -> None:
        assert COOKIE.cleared(scope()) == [
            (b"set-cookie", b"__Host-jrt=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict; Secure")
        ]

    def test_another_parser_finds_what_was_written(self) -> None:
        ((_, value),) = RefreshCookie("__Host-Http-session").headers(Tokens(), scope())
        parsed = SimpleCookie(value.decode())["__Host-Http-session"]
        assert parsed.value == TOKEN
        assert (parsed["secure"], parsed["httponly"], parsed["samesite"]) == (True, True, "Strict")
        assert (parsed["path"], parsed["domain"]) == ("/", "")

    @pytest.mark.parametrize("tokens", [Tokens(refresh_token=None), Tokens(session_until=None)])
    def test_tokens_without_a_session_cannot_be_kept(self, tokens: Tokens) -> None:
        with pytest.raises(ConfigurationError, match="no session"):
            COOKIE.headers(tokens, scope())

    @pytest.mark.parametrize(
        "name", ["jrt", "__Secure-jrt", "__host-jrt", "__Host-", "__Host-a b", "__Host-a=", "__Host-" + "a" * 60, None]
    )
    def test_a_name_that_browsers_do_not_guard_stops_the_start(self, name: Any) -> None:
        with pytest.raises(ConfigurationError, match="cookie name"):
            RefreshCookie(name)

    def test_dev_is_a_boolean(self) -> None:
        with pytest.raises(ConfigurationError, match="cookie dev"):
            RefreshCookie(dev="yes")  # type: ignore[arg-type]


class TestReading:
    @pytest.mark.parametrize(
        "cookies",
        [
            [b"__Host-jrt=%s"],
            [b"a=1; __Host-jrt=%s; b=2"],
            [b"a=1;__Host-jrt=%s;"],
            [b"a=1", b"__Host-jrt=%s"],
            [b"\t __Host-jrt=%s \t"],
            [b"__Host-jrt2=x; x__Host-jrt=y; __Host-jrt=%s; __host-jrt=z; ;; __Host-jrt"],
            [b'other="a; b"; __Host-jrt=%s'],
        ],
    )
    def test_it_is_found_among_others(self, cookies: list[bytes]) -> None:
        assert read(*[cookie.replace(b"%s", TOKEN.encode()) for cookie in cookies]) == TOKEN

    @pytest.mark.parametrize("cookies", [[], [b""], [b"a=1"], [b"__Host-jrt"], [b"__host-jrt=x"], [b"jrt=x"]])
    def test_none_is_none(self, cookies: list[bytes]) -> None:
        assert read(*cookies) is None

    @pytest.mark.parametrize(
        "planted",
        [
            b"=__Host-jrt=x",  # a cookie without a name, as older browsers sent it
            b"\xa0__Host-jrt=x",  # white space to some, a name of its own to browsers
            b"\x85__Host-jrt=x",
            b"\xe2\x80\x80__Host-jrt=x",
            b"$Version=1,__Host-jrt=x",
            b"a=1,__Host-jrt=x",
        ],
    )
    def test_what_gets_past_the_prefix_in_a_browser_is_not_taken_for_it(self, planted: bytes) -> None:
        assert read(planted) is None
        assert read(planted + b"; __Host-jrt=good") == "good"

    @pytest.mark.parametrize(
        "cookies",
        [
            [b"__Host-jrt=a; __Host-jrt=b"],
            [b"__Host-jrt=a; __Host-jrt=a"],
            [b"__Host-jrt=a", b"__Host-jrt=a"],
            [b"__Host-jrt=; __Host-jrt=a"],
            [b'__Host-jrt="a"'],
            [b"__Host-jrt="],
            [b"__Host-jrt=a b"],
            [b"__Host-jrt=a=b"],
            [b"__Host-jrt=a.b.c"],
            [b"__Host-jrt=%61"],
            [b"__Host-jrt=\xff"],
            [b"__Host-jrt=a\n"],
            [b"__Host-jrt=" + b"a" * 257],
        ],
    )
    def test_what_this_service_never_wrote_is_refused(self, cookies: list[bytes]) -> None:
        with pytest.raises(GrantError) as caught:
            read(*cookies)
        assert caught.value.fault is Fault.INVALID_REQUEST

    def test_the_longest_value_is_read(self) -> None:
        assert read(b"__Host-jrt=" + b"a" * 256) == "a" * 256

    @given(st.binary(min_size=16, max_size=16), st.integers(0, MAX_GENERATION), st.integers(1, 255))
    @examples(20)
    def test_every_refresh_token_survives_the_way_through_a_browser(self, family: bytes, newest: int, key: int) -> None:
        token = RefreshTokens({key: bytes(range(32))}).write(family, newest, key)
        ((_, value),) = COOKIE.headers(Tokens(refresh_token=token), scope())
        assert read(value.split(b";")[0]) == token

    @given(st.lists(st.binary(max_size=40) | st.just(b"__Host-jrt=a"), max_size=3))
    @examples(60)
    def test_whatever_is_sent_is_read_or_refused(self, cookies: list[bytes]) -> None:
        try:
            found = read(*cookies)
        except GrantError:
            assert b"__Host-jrt" in b";".join(cookies)
        else:
            assert found is None or found.encode() in b";".join(cookies)


class TestDevelopment:
    @pytest.mark.parametrize("host", [b"localhost:8000", b"127.0.0.1:8000", b"[::1]:8000", b"app.localhost"])
    def test_on_this_machine_it_works_without_tls(self, host: bytes) -> None:
        ((_, value),) = DEV.headers(Tokens(), scope(host))
        assert value == b"jrt=%s; Max-Age=1209607; Path=/; HttpOnly; SameSite=Strict" % TOKEN.encode()
        assert read(b"jrt=a; __Host-jrt=b", cookie=DEV, host=host) == "a"

    @pytest.mark.parametrize("host", [b"auth.example.com", b"10.0.0.5:8000", b"localhost.evil.test", b"", None])
    def test_anywhere_else_it_stops_whatever_is_asked(self, host: bytes | None) -> None:
        asked = scope(host, b"jrt=a")
        for ask in (
            lambda: DEV.headers(Tokens(), asked),
            lambda: DEV.cleared(asked),
            lambda: DEV.read(asked["headers"], asked),
        ):
            with pytest.raises(ConfigurationError, match="dev=True is for localhost alone"):
                ask()

    def test_two_hosts_must_both_be_this_machine(self) -> None:
        asked = {"type": "http", "headers": [(b"host", b"localhost"), (b"Host", b"auth.example.com")]}
        with pytest.raises(ConfigurationError, match=r"localhost, auth\.example\.com"):
            DEV.cleared(asked)
