"""Values of the application -> values that may stand in a token: plain JSON, without what verifiers refuse."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from math import isfinite
from typing import Any

from jwt_asgi._core.token import MAX_DEPTH

__all__ = ["ClaimsError", "check_text", "clean", "clean_names", "clean_scopes"]

# CWE-93, CWE-117; and lone surrogates, which UTF-8 cannot spell (RFC 8259 section 8.2)
_UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_MOST_BITS = 1024
"""Of a number. More digits than that are a mistake, and some thousands no parser takes (CVE-2020-10735)."""
_DEEPEST = MAX_DEPTH - 2


class ClaimsError(Exception):
    """A token cannot be made of this: the application's fault, not the client's.

    `claim` names what is wrong, `detail` says what was expected. Neither holds the value.
    """

    def __init__(self, claim: str, detail: str) -> None:
        """Say which claim, and what is wrong with it."""
        self.claim, self.detail = claim, detail
        super().__init__(f"{claim}: {detail}")


def check_text(name: str, value: object) -> str:
    """Return a text that is not empty, without control characters and white space around it."""
    if type(value) is str and value.isprintable() and value and value[0] != " " != value[-1]:
        return value
    if not isinstance(value, str) or not value or value != value.strip() or _UNFIT.search(value):
        raise ClaimsError(name, "expected a text without control characters and white space around it")
    return str.__str__(value)


def clean_names(name: str, values: object) -> list[str]:
    """Return names as an array, each once, in their order; those of a set are sorted."""
    if not isinstance(values, (list, tuple)) and (
        isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Collection)
    ):
        raise ClaimsError(name, f"expected a list of texts; got {type(values).__name__}")
    names = list(dict.fromkeys([check_text(name, value) for value in values]))
    return sorted(names) if isinstance(values, (set, frozenset)) else names


def clean_scopes(scopes: object) -> str:
    """Return scopes as the claim has them (RFC 8693 section 4.2, RFC 6749 section 3.3)."""
    names = clean_names("scope", scopes)
    if not all(map(_SCOPE_TOKEN.fullmatch, names)):
        raise ClaimsError("scope", "expected scopes without spaces, quotes and other than ASCII characters")
    return " ".join(names)


def clean(name: str, value: object, depth: int = 0) -> Any:  # noqa: ANN401 - any JSON
    """Return a value as plain JSON: enumerations and tuples become what they stand for."""
    if depth > _DEEPEST:
        raise ClaimsError(name, f"it is nested deeper than {_DEEPEST}")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if _SURROGATE.search(value):
            raise ClaimsError(name, "it has a lone surrogate")
        return str.__str__(value)
    if isinstance(value, (int, float)):
        return _number(name, value)
    if isinstance(value, (list, tuple)):
        return [clean(name, member, depth + 1) for member in value]
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) and not _SURROGATE.search(key) for key in value):
            raise ClaimsError(name, "expected texts as the keys of an object")
        return {str.__str__(key): clean(name, member, depth + 1) for key, member in value.items()}
    raise ClaimsError(name, f"{type(value).__name__} is not JSON")


def _number(name: str, value: float) -> int | float:
    if isinstance(value, int):
        if value.bit_length() > _MOST_BITS:
            raise ClaimsError(name, f"expected a number of {_MOST_BITS} bits at most")
        return int(value)
    if not isfinite(value):
        raise ClaimsError(name, "expected a number that is finite")
    return float(value)
