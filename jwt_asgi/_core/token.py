"""Token text -> Untrusted: bounded, strict split, strict base64url, strict JSON; believes nothing.

Everything here runs on bytes that a stranger wrote, before any signature was checked. So each step is bounded by the
size limit, and refuses what two parsers could read differently: duplicate members, NaN, UTF-16, lone surrogates,
base64url with unused bits (RFC 7515 sections 2 and 4, RFC 7519 section 4, RFC 8725 sections 3.7 and 3.14).
"""

from __future__ import annotations

import json
import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Callable
from functools import lru_cache
from math import isfinite
from typing import Any, NamedTuple, NoReturn

from jwt_asgi._core.bearer import MAX_TOKEN_BYTES
from jwt_asgi.errors import Reason, TokenError

__all__ = [
    "MAX_DEPTH",
    "MAX_FRACTIONS",
    "MAX_KID_CHARACTERS",
    "MAX_NESTED",
    "Untrusted",
    "decode_segment",
    "parse_token",
    "strict_json_object",
]

MAX_DEPTH = 64
"""How deep JSON may be nested. CPython's parser gives up near 1000, and a caller's serializer earlier."""
MAX_NESTED = 1024
"""How many brackets may open in a token's header or payload, one in 12 bytes: each array or object costs its reader."""
MAX_FRACTIONS = 512
"""How many numbers with a fraction or an exponent: each takes ten times as long to read as another character."""
MAX_KID_CHARACTERS = 256

_SEGMENTS_OF_JWE = 5
_LENGTH_THAT_CANNOT_BE = 1

# base64url to base64; the characters that are base64's alone become invalid ones (RFC 7515 section 2)
_TO_BASE64 = bytes.maketrans(b"-_+/=", b"+/\0\0\0")
# The tokens that one key signs share their header, so the last ones that were read are kept: 32 KiB of them at most
_KNOWN_HEADERS = 64
_KNOWN_HEADER_BYTES = 512

_PADDING = (b"", b"", b"==", b"=")
# The last characters whose unused bits are zero: other ones would let one signature have several spellings
_CANONICAL_ENDS = (None, None, b"AQgw", b"AEIMQUYcgkosw048")

_NESTED = frozenset({dict, list})
# Half of a character, in JSON without escaped backslashes (RFC 8259 section 8.2)
_HALF = re.compile(r"\\u[dD](?:[89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u[dD])[c-fC-F])")


class Untrusted(NamedTuple):
    """A token in parts, of which nothing is known to be true.

    `alg`, `kid` and `typ` are members of `header` with their types checked; `kid` and `typ` are None when absent.
    Tokens may share a `header`: it is read, and never changed.
    """

    header: dict[str, Any]
    claims: dict[str, Any]
    alg: str
    kid: str | None
    typ: str | None
    signing_input: bytes
    signature: bytes


def parse_token(token: str | bytes) -> Untrusted:
    """Take a token apart.

    Raises:
        TokenError: `token_too_large`, `token_malformed`, `token_encrypted`, `header_malformed`, `header_critical`,
            `type_not_accepted`.
    """
    raw = _ascii(token)
    signing_input, _, signature = raw.rpartition(b".")
    header_segment, dot, payload_segment = signing_input.partition(b".")
    if not dot or b"." in payload_segment:
        _refuse_segments(raw.count(b".") + 1)
    read = _known_header if len(header_segment) <= _KNOWN_HEADER_BYTES else _read_header
    header, alg, kid, typ = read(header_segment)
    claims = _object(payload_segment, "payload")
    return Untrusted(header, claims, alg, kid, typ, signing_input, decode_segment(signature, "signature"))


def decode_segment(segment: bytes, name: str) -> bytes:
    """Decode base64url strictly: no padding, no white space, no other alphabet, no unused bits.

    Raises:
        TokenError: `token_malformed`; `name` tells which part.
    """
    remainder = len(segment) % 4
    ends = _CANONICAL_ENDS[remainder]
    try:
        if remainder == _LENGTH_THAT_CANNOT_BE or (ends and segment[-1] not in ends):
            raise Base64Error
        return a2b_base64(segment.translate(_TO_BASE64) + _PADDING[remainder], strict_mode=True)
    except Base64Error:
        raise TokenError(Reason.TOKEN_MALFORMED, f"the {name} is not base64url") from None


def strict_json_object(raw: bytes, *, whole_text: bool = True) -> dict[str, Any]:
    """Parse strict UTF-8 JSON whose top is an object.

    With `whole_text`, every string in it can be encoded again, at most `MAX_NESTED` brackets open in it, and it has at
    most `MAX_FRACTIONS` numbers with a fraction or an exponent.

    Raises:
        ValueError: it is not that, or nested deeper than `MAX_DEPTH`.
    """
    brackets = raw.count(b"[") + raw.count(b"{")
    if whole_text and brackets > MAX_NESTED:
        raise ValueError("too many arrays and objects")
    try:
        text = raw.decode("utf-8").strip(" \t\n\r")
        # So many values and one more have that many commas between them
        scan = _scanner(_few(MAX_FRACTIONS)) if whole_text and raw.count(b",") >= MAX_FRACTIONS else _scan
        value, end = scan(text, 0)
        if type(value) is not dict or end != len(text):
            raise ValueError("not an object, or not it alone")
        # Most have too few brackets for that, and need no walk
        if brackets > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
            raise ValueError("nested too deep")
        if whole_text and "\\u" in text and _HALF.search(text.replace("\\\\", "--")):
            # It could not be written out again, so it would fail in the application
            raise ValueError("half of a character")
    except StopIteration:
        raise ValueError("no JSON") from None
    except RecursionError:
        # CPython's parser bounds its own depth
        raise ValueError("nested too deep") from None
    return value


def _object(segment: bytes, name: str) -> dict[str, Any]:
    try:
        return strict_json_object(decode_segment(segment, name))
    except ValueError:
        # also UnicodeError, JSONDecodeError, and int() past its digit limit (CVE-2020-10735)
        raise TokenError(Reason.TOKEN_MALFORMED, f"the {name} is not a JSON object in strict UTF-8") from None


def _ascii(token: str | bytes) -> bytes:
    if not isinstance(token, (str, bytes)):
        detail = f"expected the token as str or bytes; got {type(token).__name__}"  # type: ignore[unreachable]
        raise TokenError(Reason.TOKEN_MALFORMED, detail)
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenError(Reason.TOKEN_TOO_LARGE, f"expected at most {MAX_TOKEN_BYTES} bytes")
    if not token.isascii():
        raise TokenError(Reason.TOKEN_MALFORMED, "expected ASCII alone")
    return token.encode("ascii") if isinstance(token, str) else token


def _refuse_segments(segments: int) -> NoReturn:
    if segments == _SEGMENTS_OF_JWE:
        raise TokenError(Reason.TOKEN_ENCRYPTED)
    raise TokenError(Reason.TOKEN_MALFORMED, "expected three segments, separated by dots")


def _read_header(segment: bytes) -> tuple[dict[str, Any], str, str | None, str | None]:
    header = _object(segment, "header")
    alg, kid, typ = header.get("alg"), header.get("kid"), header.get("typ")
    if "crit" in header or "b64" in header:
        # RFC 7515 section 4.1.11: no extension is understood here; RFC 7797 section 7 forbids b64 in a JWT
        raise TokenError(Reason.HEADER_CRITICAL)
    if not isinstance(alg, str):
        raise TokenError(Reason.HEADER_MALFORMED, "expected alg to be a string")
    if "kid" in header and not (isinstance(kid, str) and 0 < len(kid) <= MAX_KID_CHARACTERS):
        raise TokenError(
            Reason.HEADER_MALFORMED, f"expected kid to be a string of 1 to {MAX_KID_CHARACTERS} characters"
        )
    if "typ" in header and not isinstance(typ, str):
        raise TokenError(Reason.TYPE_NOT_ACCEPTED, "expected typ to be a string")
    return header, alg, kid, typ


_known_header = lru_cache(_KNOWN_HEADERS)(_read_header)


def _is_deeper(value: dict[str, Any], levels: int) -> bool:
    """Go down level by level: a call for each array would take several times as long."""
    level: list[Any] = [value]
    for _ in range(levels):
        members = [one.values() if type(one) is dict else one for one in level]
        level = [member for some in members for member in some if type(member) in _NESTED]
        if not level:
            return False
    return True


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError("a number without bounds")
    return number


def _no_constant(text: str) -> NoReturn:
    raise ValueError(text)


def _few(most: int) -> Callable[[str], float]:
    """Return a `_finite` that can be asked so many times."""
    times = iter(range(most))

    def finite(text: str) -> float:
        if next(times, None) is None:
            raise ValueError("too many fractions")
        return _finite(text)

    return finite


def _scanner(parse_float: Callable[[str], float]) -> Any:  # noqa: ANN401 - as the standard library types it
    hooks: dict[str, Any] = {"object_pairs_hook": _unique_members, "parse_constant": _no_constant}
    decoder: Any = json.JSONDecoder(parse_float=parse_float, strict=True, **hooks)
    return decoder.scan_once


_scan = _scanner(_finite)
