"""What a token holds, read generously and by code that shares nothing with ours: for saying why two verdicts differ."""

from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

_NO_ALPHABET = re.compile(rb"[^A-Za-z0-9_-]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_LONGEST_INTEGER = 4300
"""Digits that CPython's `int()` takes (CVE-2020-10735)."""


@dataclass
class Text:
    """A JSON text: its bytes, its members where it is an object (the last of several counts), and what is odd in it."""

    raw: bytes
    members: dict[str, Any] = field(default_factory=dict)
    duplicate: bool = False
    constant: bool = False
    unbounded: bool = False
    surrogate: bool = False

    def __post_init__(self) -> None:
        """Read it as generously as the most generous reader would."""
        encoding = json.detect_encoding(self.raw)
        try:
            text = self.raw.decode(encoding, "surrogatepass")
            value = json.loads(
                text,
                object_pairs_hook=self._pairs,
                parse_constant=self._constant,
                parse_float=self._float,
                parse_int=_integer,
                strict=False,
            )
            self.surrogate = bool(_LONE_SURROGATE.search(json.dumps(value, ensure_ascii=False)))
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            self.members = value

    def _pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self.duplicate |= len({name for name, _ in pairs}) < len(pairs)
        return dict(pairs)

    def _constant(self, name: str) -> float:
        self.constant = True
        return float(name)

    def _float(self, digits: str) -> float:
        number = float(digits)
        self.unbounded |= math.isinf(number)
        return number

    @property
    def marked(self) -> bool:
        """Whether a byte order mark comes first."""
        return self.raw.startswith(b"\xef\xbb\xbf")

    @property
    def strict(self) -> bool:
        """Whether it is UTF-8, and nobody would take it for UTF-16 or UTF-32."""
        try:
            self.raw.decode("utf-8")
        except UnicodeDecodeError:
            return False
        return json.detect_encoding(self.raw).startswith("utf-8")

    @cached_property
    def depth(self) -> int:
        """How deep its brackets are nested; brackets in texts do not count."""
        deepest = depth = 0
        for character in re.sub(rb'"(?:[^"\\]|\\.)*"', b"", self.raw, flags=re.DOTALL):
            depth += (character in b"[{") - (character in b"]}")
            deepest = max(deepest, depth)
        return deepest


def _integer(digits: str) -> int:
    return int(digits[:_LONGEST_INTEGER])


class Look:
    """A token, as it can be seen without any key."""

    def __init__(self, token: bytes) -> None:
        """Nothing is read before it is asked for."""
        self.token = token
        self.parts = token.split(b".")

    @cached_property
    def header(self) -> Text:
        """The first segment."""
        return self._text(0)

    @cached_property
    def claims(self) -> Text:
        """The second."""
        return self._text(1)

    @property
    def texts(self) -> tuple[Text, Text]:
        """Both."""
        return self.header, self.claims

    def _text(self, place: int) -> Text:
        segment = _NO_ALPHABET.sub(b"", self.parts[place]) if place < len(self.parts) else b""
        segment = segment[: -1 if len(segment) % 4 == 1 else None]
        return Text(base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4)))

    def numbers(self, *names: str) -> list[int | float]:
        """The dates among the claims that are numbers."""
        values = [self.claims.members.get(name) for name in names]
        return [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
