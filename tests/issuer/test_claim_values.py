"""What may stand in a token, and what may not."""

from __future__ import annotations

from enum import Enum, IntEnum, StrEnum
from math import inf, nan
from types import MappingProxyType
from typing import Any

import pytest

from jwt_asgi.issuer.claim_values import ClaimsError, check_text, clean, clean_names, clean_scopes


class Colour(StrEnum):
    RED = "red"


class Old(str, Enum):  # noqa: UP042 - as many write it
    RED = "red"


class Level(IntEnum):
    HIGH = 3


def refused(check: Any, *arguments: Any) -> str:
    with pytest.raises(ClaimsError) as caught:
        check("claim", *arguments)
    error = caught.value
    assert str(error) == f"{error.claim}: {error.detail}"
    assert error.claim in {"claim", "scope"}
    return error.detail


@pytest.mark.parametrize("value", ["user-1", "a b", "é", "👍", "auth0|x", Colour.RED, Old.RED])
def test_a_text_passes_as_a_plain_one(value: str) -> None:
    text = check_text("claim", value)
    assert type(text) is str
    assert text == value


@pytest.mark.parametrize("value", ["", " a", "a ", "a\n", "a\nb", "\x00", "a\x7f", "\ud800", None, 1, b"a"])
def test_what_is_no_identifier_is_refused(value: object) -> None:
    assert refused(check_text, value) == "expected a text without control characters and white space around it"


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["b", "a", "b"], ["b", "a"]),
        (("a",), ["a"]),
        ({"b", "a", "c"}, ["a", "b", "c"]),
        (frozenset({"b", "a", "c"}), ["a", "b", "c"]),
        ((), []),
        ([Colour.RED], ["red"]),
    ],
)
def test_names_are_there_once(values: object, names: list[str]) -> None:
    assert clean_names("claim", values) == names


@pytest.mark.parametrize("values", ["admin", b"admin", {"admin": False}, 1, None, iter(["a"])])
def test_what_is_no_list_is_refused(values: object) -> None:
    assert refused(clean_names, values) == f"expected a list of texts; got {type(values).__name__}"


@pytest.mark.parametrize("value", ["", "a\n", 1])
def test_each_name_is_checked(value: object) -> None:
    assert refused(clean_names, [value]).startswith("expected a text")


def test_scopes_are_joined_by_spaces() -> None:
    assert clean_scopes(("todos:read", "x!#[]~")) == "todos:read x!#[]~"
    assert clean_scopes(()) == ""


@pytest.mark.parametrize("scope", ["a b", 'a"', "a\\", "é"])
def test_what_is_no_scope_is_refused(scope: str) -> None:
    detail = "expected scopes without spaces, quotes and other than ASCII characters"
    with pytest.raises(ClaimsError, match=f"scope: {detail}"):
        clean_scopes([scope])


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        (False, False),
        (0, 0),
        (-1.5, -1.5),
        (2**1024 - 1, 2**1024 - 1),
        ("line\nbreak", "line\nbreak"),
        (Colour.RED, "red"),
        (Old.RED, "red"),
        (Level.HIGH, 3),
        ((1, [2, ("a",)]), [1, [2, ["a"]]]),
        (MappingProxyType({Colour.RED: {"a": ()}}), {"red": {"a": []}}),
    ],
)
def test_json_becomes_plain_json(value: object, plain: object) -> None:
    cleaned = clean("claim", value)
    assert cleaned == plain
    assert type(cleaned) is type(plain)
    assert repr(cleaned) == repr(plain)


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        ("\ud800", "it has a lone surrogate"),
        ({"\udfff": 1}, "expected texts as the keys of an object"),
        ({1: 1}, "expected texts as the keys of an object"),
        ({None: 1}, "expected texts as the keys of an object"),
        (2**1024, "expected a number of 1024 bits at most"),
        (nan, "expected a number that is finite"),
        (-inf, "expected a number that is finite"),
        ({1, 2}, "set is not JSON"),
        ([b"a"], "bytes is not JSON"),
        ({"a": object()}, "object is not JSON"),
    ],
)
def test_what_is_no_json_is_refused(value: object, detail: str) -> None:
    assert refused(clean, value) == detail


def test_nesting_has_a_bound() -> None:
    value: list[Any] = []
    for _ in range(62):
        value = [value]
    assert clean("claim", value) == value
    assert refused(clean, [value]) == "it is nested deeper than 62"
