"""Whatever path a client asks for, it is exempt, or covered by a rule, exactly where a plain reading says so."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from jwt_asgi import ConfigurationError, Scope
from jwt_asgi._core.paths import Exemption, RouteRules, is_preflight, method_of, route_path
from tests.properties.strategies import examples

# Segments that mean something to some router or file system, beside those of the patterns
ODD = ["", ".", "..", "...", "a;b", "a\\b", "%2e", "a%2fb", "\x00", "\u2028", "a b", "é", "{x}", "*", "A", "a/", "//"]
SEGMENTS = st.sampled_from(["a", "b", "c", *ODD])
PLAIN_PARTS = st.lists(st.sampled_from("ab"), max_size=3)
PATHS = st.one_of(
    PLAIN_PARTS.map(lambda parts: "/" + "/".join(parts)),
    # One odd segment among plain ones
    st.builds(
        lambda before, odd, after: "/" + "/".join([*before, odd, *after]),
        PLAIN_PARTS,
        st.sampled_from(ODD),
        PLAIN_PARTS,
    ),
    st.lists(SEGMENTS, max_size=4).map(lambda parts: "/" + "/".join(parts)),
    st.text("/ab.%;\\{}* ", max_size=8) | st.text(max_size=6),
)
METHODS = st.sampled_from(["GET", "POST", "HEAD", "get", "OPTIONS", ""])
PLACES = st.lists(st.sampled_from(["a", "b", "{x}", "{y}"]), max_size=3, unique=True)
PATTERNS = st.builds(
    lambda method, parts, end: f"{method}/{'/'.join(parts)}{end if parts else end[1:]}",
    st.sampled_from(["", "", "GET ", "POST ", "WEBSOCKET "]),
    st.just([]) | PLACES,
    st.sampled_from(["", "/*"]),
)
FEW = ["/", "/*", "/a", "/{x}", "/a/a", "/a/{x}", "/{x}/a", "/{x}/{y}", "/a/*", "/{x}/*", "GET /a", "POST /{x}"]
PLAIN = re.compile(r"(?!\.{1,2}\Z)[^/\\;%]+")


def scope(path: str, method: str = "GET", **members: Any) -> dict[str, Any]:
    kind = "websocket" if method == "WEBSOCKET" else "http"
    return {"type": kind, "method": method, "path": path, "headers": [], **members}


def is_plain(segments: list[str]) -> bool:
    return all(PLAIN.fullmatch(segment) and segment.isprintable() for segment in segments)


def is_covered(pattern: str, method: str, path: str) -> bool:
    """A rule's pattern as its documentation says it: whole segments, with or without a slash at the end."""
    wanted, _, text = pattern.rpartition(" ")
    if wanted and method.upper() not in ({"GET", "HEAD"} if wanted == "GET" else {wanted}):
        return False
    if not path.startswith("/"):
        return False
    theirs = [] if path == "/" else path.removesuffix("/")[1:].split("/")
    mine = [part for part in text.removesuffix("/*").split("/")[1:] if text != "/"]
    if not is_plain(theirs) or len(theirs) < len(mine) or (len(theirs) > len(mine) and not text.endswith("/*")):
        return False
    return all(part.startswith("{") or part == other for part, other in zip(mine, theirs, strict=False))


def parsed(pattern: str) -> RouteRules | None:
    try:
        return RouteRules({pattern: Scope("x")})
    except ConfigurationError:
        return None


@examples(120)
@given(PATTERNS, PATHS, METHODS)
@example("/a/*", "/a", "GET")
@example("/", "/", "GET")
@example("/*", "/", "GET")
def test_a_rule_covers_what_its_pattern_says_and_nothing_else(pattern: str, path: str, method: str) -> None:
    rules = parsed(pattern)
    assert rules is not None, pattern
    found = rules.covering(scope(path, method))
    assert len(found) == is_covered(pattern, method, path)
    for covering in found:
        names = re.findall(r"\{(.)\}", pattern)
        assert list(covering.context.path_params) == names
        filled = pattern.rpartition(" ")[2]
        for name, value in covering.context.path_params.items():
            filled = filled.replace(f"{{{name}}}", value)
        assert (path.removesuffix("/") + "/").startswith(filled.removesuffix("*").removesuffix("/") + "/")


@examples(50)
@given(st.dictionaries(st.sampled_from(FEW) | PATTERNS, st.just(Scope("x")), max_size=8), PATHS, METHODS)
def test_all_the_rules_that_cover_a_path_count_whatever_their_order(
    rules: dict[str, Scope], path: str, method: str
) -> None:
    expected = [pattern for pattern in rules if is_covered(pattern, method, path)]
    assert len(RouteRules(rules).covering(scope(path, method))) == len(expected)
    backwards = RouteRules(dict(reversed(rules.items())))
    assert len(backwards.covering(scope(path, method))) == len(expected)


@examples(90)
@given(st.sampled_from(["/a", "/a/*", "/*", "/", "/a/", "GET /a", "GET /a/*", "/a/b/*"]), PATHS, METHODS)
def test_a_path_is_exempt_where_it_is_written_so_and_cannot_mean_another_one(
    pattern: str, path: str, method: str
) -> None:
    wanted, _, text = pattern.rpartition(" ")
    exempt = Exemption.parse(pattern).covers(scope(path, method))
    if text.endswith("/*"):
        rest = path.removeprefix(text[:-1]).removesuffix("/")
        expected = path.startswith(text[:-1]) and is_plain(rest.split("/"))
    else:
        expected = path == text
    assert exempt is (expected and (not wanted or method == wanted))


@examples(60)
@given(PATHS, st.sampled_from([b"", b"%2f", b"%2F", b"%5c", b"%2E", b"%25", b"%41", b"%"]), st.booleans())
def test_what_is_encoded_so_that_others_may_decode_it_is_neither_exempt_nor_covered(
    path: str, code: bytes, last: bool
) -> None:
    raw = path.encode("utf-8", "surrogatepass") + code if last else code + path.encode("utf-8", "surrogatepass")
    asked = scope(path, raw_path=raw)
    doubtful = any(mark in raw.lower() for mark in (b"%2f", b"%5c", b"%2e", b"%25"))
    for covers in (Exemption.parse("/*").covers(asked), bool(RouteRules({"/*": Scope("x")}).covering(asked))):
        assert not (covers and doubtful)
    if not doubtful:
        assert Exemption.parse("/*").covers(asked) is Exemption.parse("/*").covers(scope(path))


@examples(60)
@given(PATHS, st.sampled_from(["", "/", "/a", "/a/b", "/a/", "a", "/\u00e9", "."]))
def test_a_router_below_a_root_path_sees_what_follows_it_or_nothing_is_sure(path: str, root: str) -> None:
    seen = route_path(scope(path, root_path=root))
    if root in {"", "/"} or root not in path:
        assert seen == path
    elif path == root or path.startswith(f"{root}/"):
        assert root + seen in {path, f"{path}/"}
        assert seen.startswith("/")
    else:
        assert seen == ""
        assert RouteRules({"/*": Scope("x")}).covering(scope(path, root_path=root)) == []
        assert not Exemption.parse("/*").covers(scope(path, root_path=root))


@examples(90)
@given(PATTERNS | PATHS | st.text(max_size=10) | st.text("GET /{}a*", max_size=10))
def test_any_text_is_a_pattern_or_refused_at_the_start(text: str) -> None:
    rules = parsed(text)
    assert rules is None or list(rules.requirements()) == [text]
    try:
        exemption = Exemption.parse(text)
    except ConfigurationError:
        return
    assert text == (f"{exemption.method} " if exemption.method else "") + exemption.path + (
        "*" if exemption.below else ""
    )


@examples(60)
@given(st.sets(st.sampled_from([b"origin", b"access-control-request-method", b"authorization", b"x"])), METHODS)
def test_a_preflight_is_an_options_request_with_both_headers(names: set[bytes], method: str) -> None:
    asked = scope("/", method) | {"headers": [(name, b"x") for name in names]}
    expected = method == "OPTIONS" and {b"origin", b"access-control-request-method"} <= names
    assert is_preflight(asked) is expected
    assert not is_preflight(asked | {"type": "websocket"})
    assert method_of(asked) == method.upper()
    assert method_of(asked | {"type": "websocket"}) == "WEBSOCKET"
