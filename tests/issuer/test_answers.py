"""Each error has one answer, and what is no error of the service's has none."""

from __future__ import annotations

import logging

import pytest

from jwt_asgi._core.challenge import Answer
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer import ClaimsError, Fault, GrantError, StoreUnavailable
from jwt_asgi.issuer.answers import answer_to, empty_answer, json_answer


def header(answer: Answer, name: bytes) -> bytes | None:
    return dict(answer.headers).get(name)


@pytest.mark.parametrize(
    ("error", "status", "level"),
    [
        (GrantError(Fault.INVALID_GRANT, detail="why"), 400, logging.INFO),
        (GrantError(Fault.INVALID_CLIENT, detail="why", challenge=True), 401, logging.INFO),
        (GrantError(Fault.INVALID_GRANT, challenge=True), 400, None),
        (StoreUnavailable("why", retry_after=0.0), 503, logging.WARNING),
        (ClaimsError("roles", "why"), 500, logging.ERROR),
        (ConfigurationError("master_keys", "why"), 500, logging.ERROR),
    ],
)
def test_an_error_is_answered_and_its_reason_is_for_the_log(
    error: Exception, status: int, level: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    answer = answer_to(error)
    assert answer is not None
    assert answer.status == status
    assert b"why" not in answer.body
    assert header(answer, b"content-length") == str(len(answer.body)).encode()
    assert (header(answer, b"www-authenticate") is not None) is (status == 401)
    assert header(answer, b"retry-after") == (b"1" if status == 503 else None)
    assert [record.levelno for record in caplog.records] == ([] if level is None else [level])


def test_another_error_is_the_callers_to_raise() -> None:
    assert answer_to(RuntimeError()) is None


def test_an_answer_without_a_body_says_so_where_it_may() -> None:
    assert header(empty_answer(), b"content-length") == b"0"
    assert header(empty_answer(status=204), b"content-length") is None
    assert json_answer({"a": "é"}, status=201) == Answer(
        201,
        (
            (b"content-type", b"application/json"),
            (b"cache-control", b"no-store"),
            (b"pragma", b"no-cache"),
            (b"content-length", b"10"),
        ),
        '{"a":"é"}'.encode(),
    )
