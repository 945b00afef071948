"""What `doctor` looks at and what it says: the exchanges with the issuer, and the outcome of a check."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from jwt_asgi._core.freshness import KeyCaching
from jwt_asgi._core.jwks import KeySet
from jwt_asgi.types import FetchResponse

__all__ = [
    "Case",
    "Check",
    "Exchange",
    "Finding",
    "Published",
    "Status",
    "fault",
    "listed",
    "not_checked",
    "ok",
    "printable",
    "quoted",
    "verdict",
    "warning",
]

_LONGEST = 200
_LONGEST_NAME = 100
_MOST_LISTED = 5


class Status(Enum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of a check, in texts that are safe to print: see `printable` and `quoted`."""

    status: Status
    found: str
    expected: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A check by its stable code, and its outcome."""

    code: str
    finding: Finding

    def as_dict(self) -> dict[str, str]:
        """Return the members of the JSON output."""
        one = self.finding
        return {
            "check": self.code,
            "status": one.status.value,
            "found": one.found,
            "expected": one.expected,
            "advice": one.advice,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One GET: `middle` is when it was half over, in seconds since the epoch; either `response` or `error` is there."""

    url: str
    middle: float
    seconds: float
    response: FetchResponse | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """A key set as it was published: all its members, and the keys that the service takes from it.

    `keys` is None where the service refuses the set, for the reason `refusal`.
    """

    members: tuple[Any, ...]
    keys: KeySet | None
    refusal: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """All that the checks look at: the options, and what the issuer answered.

    `discovered`: the service takes the metadata. `refusal` is what it says otherwise. `jwks_uri` is where the key set
    was looked for: also where the service would not, as the issuer differs by a slash or the URL is plain http.
    """

    issuer: str
    given_uri: str | None
    algorithms: frozenset[str]
    leeway: float
    caching: KeyCaching
    allow_http: bool
    metadata: Sequence[Exchange] = ()
    discovered: bool = False
    refusal: str = ""
    jwks_uri: str | None = None
    key_set: Exchange | None = None
    published: Published | None = None

    @property
    def exchanges(self) -> Sequence[Exchange]:
        """Every exchange, in order."""
        return [*self.metadata, *([] if self.key_set is None else [self.key_set])]


def ok(found: str, expected: str = "") -> Finding:
    """Make the outcome of a check that passed."""
    return Finding(Status.OK, found, expected)


def warning(found: str, expected: str, advice: str) -> Finding:
    """Make the outcome of a check that found what works, and should be looked at."""
    return Finding(Status.WARNING, found, expected, advice)


def fault(found: str, expected: str, advice: str) -> Finding:
    """Make the outcome of a check that found what does not work, or must not be."""
    return Finding(Status.FAULT, found, expected, advice)


def not_checked(why: str) -> Finding:
    """Make the outcome of a check that could not be made."""
    return Finding(Status.NOT_CHECKED, why)


def verdict(checks: Iterable[Check]) -> str:
    """Return one line that begins with `ok`, `warning` or `fault`, the worst of all, and names the checks."""
    codes: dict[Status, list[str]] = {}
    for check in checks:
        codes.setdefault(check.finding.status, []).append(check.code)
    parts = [
        f"{status.value}: {', '.join(codes[status])}" for status in (Status.FAULT, Status.WARNING) if status in codes
    ]
    return "; ".join(parts) or f"ok: {len(codes.get(Status.OK, ()))} checks passed"


def printable(text: str, longest: int = _LONGEST) -> str:
    """Return a stranger's text as printable ASCII in one line, cut off where it is long."""
    # Before it is escaped too, since the text may be as long as an answer
    cut = text[: longest + 1].encode("unicode_escape").decode("ascii")
    return cut if len(cut) <= longest else f"{cut[:longest]}..."


def quoted(value: Any) -> str:  # noqa: ANN401 - a member of a stranger's JSON
    """Return a stranger's JSON value as printable ASCII in one line: a text in quotes, of anything else its type."""
    if isinstance(value, str):
        return f'"{printable(value, _LONGEST_NAME)}"'
    return "none" if value is None else f"no string ({type(value).__name__})"


def listed(items: Sequence[str]) -> str:
    """Join the items, and count those that are too many to name."""
    rest = len(items) - _MOST_LISTED
    return ", ".join(items[:_MOST_LISTED]) + (f" and {rest} more" if rest > 0 else "")
