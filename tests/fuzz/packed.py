"""The seeds as they are kept: one input a line, in which bytes beyond printable ASCII are written as in Python."""

from __future__ import annotations

from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


def seeds(name: str) -> list[bytes]:
    """The inputs of one target."""
    lines = (CORPUS / f"{name}.txt").read_text(encoding="ascii").splitlines()
    return [_unescape(line) for line in lines]


def pack(inputs: list[bytes]) -> str:
    """The text of these inputs, each once, in order."""
    return "".join(f"{_escape(data)}\n" for data in dict.fromkeys(inputs))


def _escape(data: bytes) -> str:
    return data.decode("latin-1").encode("unicode_escape").decode("ascii")


def _unescape(line: str) -> bytes:
    return line.encode("ascii").decode("unicode_escape").encode("latin-1")
