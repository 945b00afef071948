"""Whatever is pasted, and whatever an issuer answers, the command line explains in texts that are safe to print."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from jwt_asgi import ConfigurationError, KeyCaching, StaticKeys, TokenError, TrustedIssuer, Verifier
from jwt_asgi._keys.fetch import FetchError, NoAnswerError
from jwt_asgi.cli import main
from jwt_asgi.cli.audit_paths import Pattern, instances_of_exemption, instances_of_rule
from jwt_asgi.cli.checkup import CODES, examine
from jwt_asgi.cli.checkup_keys import read_keys
from jwt_asgi.cli.checkup_metadata import likely_uri
from jwt_asgi.cli.findings import Case, Exchange, Status
from jwt_asgi.cli.target import imported
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import FetchResponse
from tests.properties.strategies import JSON, STRINGS, examples

ISSUER = TestIssuer(algorithms=["ES256"])
GOOD = [
    ISSUER.token(scope="a", expires_in=86_400),
    ISSUER.token(expires_in=-3600),
    ISSUER.token(claims={"x": {"\u202e\x1b[2J": "é"}}, expires_in=86_400),
]
OPTIONS = ["--issuer", ISSUER.issuer, "--audience", ISSUER.audience, "--alg", "ES256"]


def ran(*arguments: str) -> tuple[int, str]:
    """The exit code, and all that was printed; an exception fails the test."""
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        try:
            code = main(arguments)
        except SystemExit as end:  # of argparse
            code = int(end.code or 0)
    return code, printed.getvalue()


# --- explain --------------------------------------------------------------------------------------------------------

CLAIMS = st.dictionaries(
    st.sampled_from(["exp", "iat", "aud", "sub", "scope", "typ", "cnf"]) | STRINGS, JSON, max_size=3
)


def test_any_token_is_explained_as_the_verifier_decides(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_text(json.dumps(ISSUER.jwks()))
    verifier = Verifier(
        TrustedIssuer(
            issuer=ISSUER.issuer, audience=ISSUER.audience, algorithms=["ES256"], keys=StaticKeys(ISSUER.jwks())
        )
    )

    async def decide(token: str) -> int:
        try:
            await verifier.verify(token)
        except TokenError:
            return 1
        return 0

    with asyncio.Runner() as runner:

        @examples(50)
        @given(
            st.sampled_from(GOOD)
            | st.text(max_size=20)
            | st.builds(lambda token, at: token[:at], st.sampled_from(GOOD), st.integers(0, 200))
            | st.builds(lambda claims, head: ISSUER.token(claims=claims, header=head), CLAIMS, CLAIMS)
        )
        @example(GOOD[2])
        def check(token: str) -> None:
            code, text = ran("explain", *OPTIONS, "--jwks", str(tmp_path / "jwks.json"), "--", token)
            assert code == runner.run(decide(token.strip().removeprefix("Bearer ").strip()))
            assert all(line.isascii() and line.isprintable() for line in text.split("\n"))
            assert ("Accepted" in text) is (code == 0)

        check()


@examples(25)
@given(
    st.text(max_size=10) | st.sampled_from(["nan", "inf", "-1", "301", "https://a b", "http://x", "//", "https://x#"])
)
def test_any_option_is_taken_or_refused_in_one_line(value: str) -> None:
    for name in ("--leeway", "--issuer", "--audience", "--alg", "--jwks-uri"):
        given_options = [*OPTIONS, f"{name}={value}"]
        code, text = ran("explain", *given_options, "--jwks" if name != "--jwks-uri" else "--ca-file", "/", "e30.e30.")
        assert code in {1, 2, 3}
        assert "Traceback" not in text


# --- routes ---------------------------------------------------------------------------------------------------------

TARGETS = st.one_of(
    st.text(max_size=12),
    st.builds(
        lambda module, name: f"{module}:{name}",
        st.sampled_from(
            ["json", "os.path", "a.b", ".", "..a", "", "sys", "jwt_asgi", "tests", "no\x00", "\ud800", "a..b"]
        ),
        st.sampled_from(["dumps", "app", "", ".", "a.b", "path", "__name__", "__doc__.x", "\ud800", "main()"])
        | st.text(max_size=4),
    ),
)


@examples(80)
@given(TARGETS, st.just(False))
@example("json:dumps", True)
@example("sys:path", True)
def test_any_target_is_an_application_or_refused(target: str, factory: bool) -> None:
    path = sys.path[:]
    try:
        found = imported(target, Path(__file__).parent, factory=factory)
    except ConfigurationError as error:
        refused: ConfigurationError | None = error
    else:
        refused = None
        assert callable(found)
    finally:
        sys.path[:] = path
    assert refused is None or refused.option == "app"


PARTS = st.sampled_from(
    ["/a", "/", "/{x}", "/{x:int}", "/{x:path}", "/{ y : uuid }", "/a.b", "/(a|b)*", "{", "}", "/{", "/é"]
)


@examples(60)
@given(st.lists(PARTS, max_size=4), st.booleans())
def test_the_samples_of_a_route_match_it_and_so_do_those_of_a_rule_for_it(parts: list[str], below: bool) -> None:
    pattern = Pattern().then("".join(parts))
    pattern = pattern.below() if below else pattern
    for sample in pattern.samples():
        assert pattern.matches(sample)
    exemption = SimpleNamespace(method=None, path="/a/", below=True, covers=lambda _: True)
    list(instances_of_exemption(exemption, pattern.samples()))  # type: ignore[arg-type]
    for method, path in instances_of_rule("GET /a/{x}/*", pattern.samples()):
        assert method == "GET"
        assert path.startswith("/a/")


# --- doctor ---------------------------------------------------------------------------------------------------------

HEADERS = st.dictionaries(
    st.sampled_from(["date", "age", "cache-control", "location", "retry-after", "etag"]),
    st.text(max_size=12)
    | st.sampled_from(["Tue, 14 Nov 2023 22:13:20 GMT", "max-age=60", "https://x/", "https://[", "9" * 40]),
    max_size=4,
)
BODIES = st.one_of(
    st.binary(max_size=10),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {},
        optional={
            "issuer": st.sampled_from(["https://issuer.test", "https://issuer.test/"]) | JSON,
            "jwks_uri": st.sampled_from(["https://issuer.test/jwks", "http://issuer.test/jwks", "https://[", "HTTP:"])
            | JSON,
            "keys": st.lists(
                st.sampled_from(ISSUER.jwks()["keys"])
                | JSON
                | st.fixed_dictionaries({"kty": st.just("RSA"), "n": JSON, "kid": JSON}),
                max_size=3,
            )
            | JSON,
        },
    ).map(lambda value: json.dumps(value).encode()),
)
EXCHANGES = st.builds(
    lambda url, status, headers, body, error: Exchange(
        url=url,
        middle=1.7e9,
        seconds=0.1,
        **({"error": error} if error else {"response": FetchResponse(status, headers, body)}),
    ),
    st.sampled_from(["https://issuer.test/jwks", "https://issuer.test/\x1b[2J"]),
    st.sampled_from([200, 200, 200, 302, 404, 503]),
    HEADERS,
    BODIES,
    st.none() | st.sampled_from([FetchError("no"), NoAnswerError("x")]),
)
ASTRAY = Exchange(
    url="https://issuer.test/", middle=1.7e9, seconds=0.1, response=FetchResponse(302, {"location": "https://["}, b"")
)
CASE = Case(
    issuer="https://issuer.test",
    given_uri=None,
    algorithms=frozenset({"ES256"}),
    leeway=30.0,
    caching=KeyCaching(),
    allow_http=False,
)


@examples(100)
@given(
    st.lists(EXCHANGES, min_size=1, max_size=2),
    st.none() | EXCHANGES,
    st.booleans(),
    st.sampled_from([None, "https://x/"]),
)
@example([ASTRAY], None, False, None)
def test_any_answers_of_an_issuer_are_examined_in_texts_that_are_safe_to_print(
    metadata: list[Exchange], key_set: Exchange | None, discovered: bool, given_uri: str | None
) -> None:
    good = key_set is not None and key_set.response is not None and key_set.response.status == 200
    case = replace(
        CASE,
        metadata=() if given_uri else tuple(metadata),
        given_uri=given_uri,
        discovered=discovered and given_uri is None,
        key_set=key_set,
        published=read_keys(key_set.response.body)
        if good and key_set is not None and key_set.response is not None
        else None,
    )
    likely = likely_uri(case)
    assert likely is None or isinstance(likely, str)
    checks = examine(replace(case, jwks_uri=likely or (None if key_set is None else key_set.url)))
    assert tuple(check.code for check in checks) == CODES
    for check in checks:
        told: Any = check.as_dict()
        assert all(text.isascii() and text.isprintable() for text in told.values()), told
        assert check.finding.found
        assert bool(check.finding.advice) is (check.finding.status in {Status.WARNING, Status.FAULT})
