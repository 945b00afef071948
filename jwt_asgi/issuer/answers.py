"""Tokens and errors -> answers of HTTP (RFC 6749 sections 5.1 and 5.2), none of which any cache may keep."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from math import ceil
from typing import Any, Final

from jwt_asgi._core.challenge import Answer
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.claims import ClaimsError
from jwt_asgi.issuer.errors import StoreUnavailable
from jwt_asgi.issuer.grants import Fault, GrantError
from jwt_asgi.issuer.rate_limits import RateLimited

__all__ = ["answer_to", "empty_answer", "json_answer"]

_HEADERS: Final = ((b"cache-control", b"no-store"), (b"pragma", b"no-cache"))
_NO_CONTENT: Final = 204
_JSON: Final = (b"content-type", b"application/json")
_BASIC: Final = (b"www-authenticate", b'Basic realm="token service", charset="UTF-8"')

logger = logging.getLogger("jwt_asgi")


def json_answer(members: Mapping[str, Any], *, status: int = 200) -> Answer:
    """Return an answer with an object of JSON."""
    return _answer(status, json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode())


def empty_answer(*, status: int = 200) -> Answer:
    """Return an answer without a body."""
    # RFC 9110 section 8.6: no Content-Length with 204
    length = () if status == _NO_CONTENT else ((b"content-length", b"0"),)
    return Answer(status, (*_HEADERS, *length), b"")


def answer_to(error: Exception) -> Answer | None:
    """Return the answer to an error; None: it is no error of the service's, and its caller's to raise.

    What is the service's own fault is logged here, since the client is told nothing of it.
    """
    match error:
        case GrantError():
            if error.detail:
                logger.info("refused: %s", error)
            more = (_BASIC,) if error.challenge and error.fault is Fault.INVALID_CLIENT else ()
            return _answer(error.fault.status, error.body(), *more)
        case StoreUnavailable():
            logger.warning("%s", error)
            return _refusal(Fault.TEMPORARILY_UNAVAILABLE, _retry_after(error.retry_after))
        case RateLimited():
            logger.info("refused: %s", error)
            return _answer(
                429,
                GrantError(Fault.TEMPORARILY_UNAVAILABLE, "too many requests").body(),
                _retry_after(error.retry_after),
            )
        case ClaimsError():
            logger.error("no token was made: %s", error, exc_info=error.__cause__)
            return _refusal(Fault.SERVER_ERROR)
        case ConfigurationError():
            logger.error("the token service cannot work: %s", error)
            return _refusal(Fault.SERVER_ERROR)
        case _:
            return None


def _retry_after(seconds: float) -> tuple[bytes, bytes]:
    return b"retry-after", b"%d" % max(ceil(seconds), 1)


def _refusal(fault: Fault, *more: tuple[bytes, bytes]) -> Answer:
    return _answer(fault.status, GrantError(fault).body(), *more)


def _answer(status: int, body: bytes, *more: tuple[bytes, bytes]) -> Answer:
    return Answer(status, (_JSON, *_HEADERS, (b"content-length", b"%d" % len(body)), *more), body)
