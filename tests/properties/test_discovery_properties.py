"""Whatever an issuer's metadata say, they name a key set that may be asked, or DISCOVERY_FAILED."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jwt_asgi import ConfigurationError
from jwt_asgi._keys.discovery import metadata_urls, slash_hint
from jwt_asgi._keys.fetch import check_url, is_loopback
from tests.fuzz.issuer import ISSUER, JWKS_URI, Metadata, may_be_fetched, must_be_fetched
from tests.properties.strategies import JSON, examples

HOSTS = st.sampled_from(
    [
        *("issuer.example", "localhost", "LOCALHOST", "127.0.0.1", "127.1", "[::1]", "[::1%25lo]", "0.0.0.0", "[::]"),
        *("localhost.evil.example", "127.0.0.1.evil.example", "localhost\\.evil.example", "localhost%2eevil.example"),
        *("user@issuer.example", "issuer.example@localhost", "localhost:80@issuer.example", "", "b\u00fccher.example"),
        *(
            "[::ffff:127.0.0.1]",
            "0x7f.1",
            "2130706433",
            "localhost.",
            "xn--bcher-kva.example",
            "[::1",
            "issuer_x.example",
        ),
    ]
)
PORTS = st.sampled_from(["", "", ":443", ":0", ":65535", ":65536", ":", ":x", ":-1", ":080"])
PATHS = st.sampled_from(
    ["", "/", "/jwks", "/a/b/", "/../x", "/%2e%2e", "//x", "/a?b=c", "/#x", "?x", "#", "/a b", "/\n", "/é"]
)
URLS = st.one_of(
    st.builds(
        lambda scheme, host, port, path: f"{scheme}{host}{port}{path}",
        st.sampled_from(
            ["https://", "http://", "HTTPS://", "https:", "//", "ftp://", " https://", "https:/", "hTTp://"]
        ),
        HOSTS,
        PORTS,
        PATHS,
    ),
    st.text("htps:/[]@#?%.a1\\ \n", max_size=20),
    st.text(max_size=10),
)


def accepted(url: str, *, allow_http: bool = False) -> bool:
    """Whether keys may be fetched from there; any exception but ConfigurationError fails the test."""
    try:
        return check_url("jwks_uri", url, allow_http=allow_http) == url
    except ConfigurationError as error:
        told = error.detail
    assert "secret" not in told
    return False


def is_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return (
        host == "localhost"
        or host.partition("%")[0] == "::1"
        or re.fullmatch(r"127(\.[0-9]{1,3}){3}", host) is not None
    )


@examples(90)
@given(URLS)
@example("http://localhost\\@issuer.example/")
@example("http://localhost.evil.example/jwks")
@example("http://localhost%2eevil.example/")
@example("http://evil.example[::1]/")
@example("http://[::1]evil.example/")
@example("https://999.1.1.1/")
@example("https://xn--0/")
@example("https://<x>/")
def test_a_url_that_is_taken_has_one_host_for_two_parsers_and_nobody_can_change_what_comes_from_there(url: str) -> None:
    plain = accepted(url)
    open_too = accepted(url, allow_http=True)
    assert not plain or open_too
    if plain:
        assert may_be_fetched(url) or is_this_machine(url)
    if open_too:
        assert may_be_fetched("https" + url[url.index(":") :])
        assert urlsplit(url).scheme in {"http", "https"}
        assert is_loopback(url) is is_this_machine(url)
    if must_be_fetched(url):
        assert plain


@examples(25)
@given(st.text(max_size=8), st.text(max_size=8))
def test_a_password_in_a_url_is_never_told(before: str, after: str) -> None:
    for url in (f"https://{before}:secret@{after}", f"https://user:secret{before}@issuer.example/{after}"):
        assert not accepted(url)


ISSUERS = st.builds(
    lambda host, path: f"https://{host}{path}",
    st.sampled_from(["issuer.example", "issuer.example:8443", "[::1]"]),
    st.lists(st.text("ab-._~", min_size=1, max_size=3), max_size=3).map(
        lambda parts: "".join(f"/{part}" for part in parts)
    ),
)


@examples(40)
@given(ISSUERS, st.sampled_from(["", "/"]))
def test_the_well_known_part_goes_before_the_path_and_then_behind_it(issuer: str, slash: str) -> None:
    oauth, openid = metadata_urls(issuer + slash)
    assert openid == f"{issuer}/.well-known/openid-configuration"
    assert oauth.replace("/.well-known/oauth-authorization-server", "", 1) == issuer
    assert urlsplit(oauth).path.startswith("/.well-known/")
    assert urlsplit(oauth).netloc == urlsplit(openid).netloc == urlsplit(issuer).netloc


@pytest.fixture(scope="module")
def metadata() -> Iterator[Metadata]:
    world = Metadata()
    yield world
    world.close()


def test_any_metadata_name_a_key_set_that_may_be_asked_or_none(metadata: Metadata) -> None:
    found: set[str | None] = set()

    @examples(70)
    @given(
        st.fixed_dictionaries(
            {},
            optional={
                "issuer": st.sampled_from([ISSUER, ISSUER, ISSUER, f"{ISSUER}/"]) | JSON,
                "jwks_uri": URLS | st.just(JWKS_URI) | JSON,
                "x": JSON,
            },
        )
        | JSON
    )
    @example({"issuer": ISSUER, "jwks_uri": JWKS_URI})
    def check(document: Any) -> None:
        found.add(metadata.check(json.dumps(document).encode()))

    check()
    assert JWKS_URI in found


def test_any_bytes_are_no_metadata(metadata: Metadata) -> None:
    @examples(40)
    @given(st.binary() | st.text().map(str.encode))
    def check(raw: bytes) -> None:
        assert metadata.check(raw) is None

    check()


@examples(40)
@given(JSON | st.sampled_from([ISSUER, f"{ISSUER}/", f"{ISSUER}//"]), st.sampled_from([ISSUER, f"{ISSUER}/"]))
def test_the_hint_is_given_for_a_slash_alone(named: Any, issuer: str) -> None:
    apart = isinstance(named, str) and named.strip("/") == issuer.strip("/")
    assert bool(slash_hint(named, issuer)) is apart
