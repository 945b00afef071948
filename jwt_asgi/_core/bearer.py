"""Header lines -> the one token, nothing, or an error (absent is not malformed; two is refused).

The only source is the Authorization header (RFC 6750 section 2.1). A token in a cookie, a form or the query string is
not looked at (RFC 9700 section 4.3.2), but one in the query beside the header is refused: RFC 6750 section 2, "Clients
MUST NOT use more than one method to transmit the token in each request".
"""

from __future__ import annotations

import re
from enum import Enum
from string import ascii_letters, digits

from jwt_asgi.errors import Reason, TokenError
from jwt_asgi.types import RawHeaders

__all__ = ["MAX_TOKEN_BYTES", "NoToken", "bearer_token", "check_token", "find_token"]

MAX_TOKEN_BYTES = 16 * 1024
"""The longest token that is looked at: servers bound the whole header to 8 to 64 KiB, and issuers stay under 8."""

# RFC 6750 section 2.1: b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="
_B64TOKEN = (ascii_letters + digits + "-._~+/").encode()
_ONLY_PADDING_AT_THE_END = re.compile(rb"[^=]+=*")
# RFC 9110 section 5.6.2, the characters of a scheme's name
_SCHEME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 3986 section 2.1, of the characters of that name: hexadecimal digits in either case
_PERCENT_ENCODED = sorted({(code % byte, bytes([byte])) for byte in b"access_token" for code in (b"%%%02x", b"%%%02X")})


class NoToken(Enum):
    """The request carries no Bearer token; each member's value is why."""

    ABSENT = Reason.CREDENTIALS_MISSING
    OTHER_SCHEME = Reason.SCHEME_UNSUPPORTED


def bearer_token(headers: RawHeaders, query_string: bytes = b"") -> bytes | NoToken:
    """Return the token as it was sent, or why there is none.

    `headers` are ASGI's: raw pairs with lower-case names.

    Raises:
        TokenError: `credentials_malformed`, `credentials_duplicate`, `token_too_large`.
    """
    found = find_token(headers, query_string)
    return found if isinstance(found, NoToken) else check_token(found)


def find_token(headers: RawHeaders, query_string: bytes = b"") -> bytes | NoToken:
    """Do the same, but for the characters of the token and its length: `check_token` is still to be called.

    Raises:
        TokenError: `credentials_malformed`, `credentials_duplicate`.
    """
    sent: bytes | None = None
    for name, value in headers:
        if name == b"authorization":
            if sent is not None:
                raise TokenError(Reason.CREDENTIALS_DUPLICATE, "expected one Authorization header; got several")
            sent = value
    if sent is None:
        return NoToken.ABSENT
    scheme, _, credentials = sent.partition(b" ")
    if scheme != b"Bearer" and scheme.lower() != b"bearer":
        if not _SCHEME.fullmatch(scheme):
            raise TokenError(Reason.CREDENTIALS_MALFORMED, "the Authorization header does not begin with a scheme")
        return NoToken.OTHER_SCHEME
    if query_string and _names_access_token(query_string):
        raise TokenError(Reason.CREDENTIALS_DUPLICATE, "the query string carries an access_token beside the header")
    return credentials.lstrip(b" ")


def check_token(token: bytes) -> bytes:
    """Return the token.

    Raises:
        TokenError: `credentials_malformed`, `token_too_large`.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenError(Reason.TOKEN_TOO_LARGE, f"expected at most {MAX_TOKEN_BYTES} bytes")
    remainder = token.translate(None, _B64TOKEN)
    if not token or (remainder and not _ONLY_PADDING_AT_THE_END.fullmatch(token)) or remainder.strip(b"="):
        raise TokenError(Reason.CREDENTIALS_MALFORMED, "expected `Bearer`, a space, and one token")
    return token


def _names_access_token(query_string: bytes) -> bool:
    """Whether a parameter of the query has this name, percent-encoded or not.

    `parse_qsl` takes up to 3 us a byte to say so, and a stranger may send 64 KiB.
    """
    if b"%" in query_string:
        for code, character in _PERCENT_ENCODED:
            query_string = query_string.replace(code, character)
    pairs = b"&" + query_string + b"&"
    return b"&access_token=" in pairs or b"&access_token&" in pairs
