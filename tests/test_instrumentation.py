"""One decision a request for every hook, what key hooks are told, and the log lines of the default ones."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from joserfc.jwk import ECKey

from jwt_asgi import (
    AccessError,
    Decision,
    JWTMiddleware,
    KeysUnavailable,
    LoggingHook,
    Reason,
    Scope,
    TokenError,
    check_access,
)
from jwt_asgi.instrumentation import KeyEvent, KeyEventKind, Outcome, log_key_event
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIScope, FetchResponse, Receive, Send
from tests.asgi import Headers, http, websocket
from tests.reasons import FAULTS_OF_A_TOKEN

ISSUER = TestIssuer(algorithms=["ES256"])
both_kinds = pytest.mark.parametrize("kind", ["http", "websocket"])


async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Answer; below /todos only who has the scope."""
    if scope["path"] == "/todos":
        check_access(scope["jwt"], Scope("todos:read"))
    if scope["path"] == "/silent":
        return
    if scope["path"] == "/broken":
        raise KeyError("mine")
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1000, "reason": ""})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"in"})


def door(*hooks: Callable[[Decision], None], anonymous: bool = False, **options: Any) -> JWTMiddleware:
    issuer: dict[str, Any] = {**ISSUER.options(), **options}
    return JWTMiddleware(app, **issuer, hooks=hooks, anonymous=anonymous, exempt=["/open"])


async def decision_on(
    kind: str, *, token: str | None = None, path: str = "/", anonymous: bool = False, headers: Headers = ()
) -> Decision:
    """The one decision that a request makes."""
    decisions: list[Decision] = []
    call = http if kind == "http" else websocket
    await call(door(decisions.append, anonymous=anonymous), token=token, path=path, headers=headers)
    (decision,) = decisions
    return decision


# Decisions


@both_kinds
async def test_a_good_token_is_one_granted_decision_with_the_token(kind: str) -> None:
    decision = await decision_on(kind, token=ISSUER.token(subject="ann"))
    assert (decision.outcome, decision.reason, decision.detail) == (Outcome.GRANTED, None, "")
    assert decision.kind == kind
    assert decision.token is not None
    assert decision.token.subject == "ann"
    assert 0 <= decision.seconds < 10


@both_kinds
async def test_no_token_where_none_is_needed_is_one_anonymous_decision(kind: str) -> None:
    decision = await decision_on(kind, anonymous=True)
    assert (decision.outcome, decision.reason, decision.token) == (Outcome.ANONYMOUS, None, None)
    assert decision.kind == kind


@both_kinds
async def test_an_exempt_path_is_one_exempt_decision_without_a_token(kind: str) -> None:
    decision = await decision_on(kind, path="/open", token=ISSUER.token())
    assert (decision.outcome, decision.reason, decision.token) == (Outcome.EXEMPT, None, None)
    assert decision.kind == kind


async def test_a_preflight_is_one_exempt_decision() -> None:
    decisions: list[Decision] = []
    headers = [(b"origin", b"https://app.test"), (b"access-control-request-method", b"PUT")]
    await http(door(decisions.append), method="OPTIONS", headers=headers)
    assert [decision.outcome for decision in decisions] == [Outcome.EXEMPT]


@both_kinds
@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([], Reason.CREDENTIALS_MISSING),
        ([(b"authorization", b"Basic dTpw")], Reason.SCHEME_UNSUPPORTED),
        ([(b"authorization", b"Bearer")], Reason.CREDENTIALS_MALFORMED),
        ([(b"authorization", b"Bearer a"), (b"authorization", b"Bearer a")], Reason.CREDENTIALS_DUPLICATE),
        ([(b"authorization", b"Bearer " + b"a" * 20_000)], Reason.TOKEN_TOO_LARGE),
        ([(b"authorization", b"Bearer a.b.c")], Reason.TOKEN_MALFORMED),
    ],
)
async def test_a_refused_request_is_one_refused_decision_with_its_reason(
    kind: str, headers: Headers, reason: Reason
) -> None:
    decision = await decision_on(kind, headers=headers)
    assert (decision.outcome, decision.reason, decision.token) == (Outcome.REFUSED, reason, None)
    assert (decision.kind, decision.seconds >= 0) == (kind, True)


@both_kinds
@pytest.mark.parametrize(
    "reason", [Reason.TOKEN_EXPIRED, Reason.SIGNATURE_INVALID, Reason.KEY_UNKNOWN, Reason.AUDIENCE_MISMATCH]
)
async def test_a_bad_token_is_one_refused_decision_without_the_token(kind: str, reason: Reason) -> None:
    decision = await decision_on(kind, token=ISSUER.bad_token(reason))
    assert (decision.outcome, decision.reason, decision.token) == (Outcome.REFUSED, reason, None)


@both_kinds
async def test_a_good_token_that_does_not_suffice_is_one_refused_decision_with_the_token(kind: str) -> None:
    decision = await decision_on(kind, path="/todos", token=ISSUER.token(subject="ann"))
    assert (decision.outcome, decision.reason) == (Outcome.REFUSED, Reason.SCOPE_MISSING)
    assert decision.token is not None
    assert decision.token.subject == "ann"


@both_kinds
@pytest.mark.parametrize("path", ["/silent", "/broken"])
async def test_an_application_that_never_answers_is_one_granted_decision_all_the_same(kind: str, path: str) -> None:
    decisions: list[Decision] = []
    call = http if kind == "http" else websocket
    error: type[Exception] = KeyError if path == "/broken" else AssertionError
    if (kind, path) == ("websocket", "/silent"):
        await call(door(decisions.append), token=ISSUER.token(), path=path)
    else:
        with pytest.raises(error):
            await call(door(decisions.append), token=ISSUER.token(), path=path)
    assert [decision.outcome for decision in decisions] == [Outcome.GRANTED]


@both_kinds
async def test_an_outage_is_one_unavailable_decision_that_says_what_failed(kind: str) -> None:
    async def fetch(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        return FetchResponse(500, {}, b"")

    decisions: list[Decision] = []
    call = http if kind == "http" else websocket
    await call(door(decisions.append, fetch=fetch, jwks_uri="https://issuer.test/jwks"), token=ISSUER.token())
    (decision,) = decisions
    assert (decision.outcome, decision.reason) == (Outcome.UNAVAILABLE, Reason.KEYS_UNAVAILABLE)
    assert decision.detail == "the key set's URL answered 500"


async def test_the_seconds_of_a_decision_hold_the_wait_for_keys() -> None:
    async def fetch(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        await asyncio.sleep(0.05)
        return await ISSUER.fetch(url, headers=headers, timeout=timeout, limit=limit)

    decisions: list[Decision] = []
    slow = door(decisions.append, fetch=fetch, jwks_uri=ISSUER.jwks_uri)
    await http(slow, token=ISSUER.token())
    await http(slow, token=ISSUER.token())
    first, second = decisions
    assert first.seconds >= 0.045
    assert second.seconds < first.seconds


async def test_a_decision_tells_no_token_and_no_claim_in_its_repr() -> None:
    decision = await decision_on("http", token=ISSUER.token(subject="ann"))
    assert "ann" not in repr(decision)
    assert "AccessToken" not in repr(decision)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (TokenError(Reason.CREDENTIALS_MALFORMED, "why"), Outcome.REFUSED),
        (TokenError(Reason.TOKEN_EXPIRED, "why"), Outcome.REFUSED),
        (AccessError(Reason.ROLE_MISSING, "why"), Outcome.REFUSED),
        (KeysUnavailable(Reason.KEYS_BUSY, "why"), Outcome.UNAVAILABLE),
    ],
)
def test_the_family_of_an_error_decides_the_outcome(error: Any, outcome: Outcome) -> None:
    decision = Decision.of_error(error, token=None, kind="websocket", seconds=0.5)
    assert decision == Decision(
        outcome=outcome, reason=error.reason, detail="why", token=None, kind="websocket", seconds=0.5
    )


def test_outcomes_have_names_for_metrics() -> None:
    assert [outcome.value for outcome in Outcome] == ["granted", "anonymous", "exempt", "refused", "unavailable"]


# Hooks


async def test_every_hook_is_told_in_the_order_given() -> None:
    told: list[str] = []
    hooks = [lambda _, name=name: told.append(name) for name in ("first", "second")]
    await http(door(*hooks), token=ISSUER.token())
    await http(door(*hooks))
    assert told == ["first", "second", "first", "second"]


@pytest.mark.parametrize("status", [200, 401])
async def test_a_hook_that_fails_stops_neither_the_request_nor_the_other_hooks(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(decision: Decision) -> None:
        raise ZeroDivisionError

    told: list[Decision] = []
    answer = await http(door(failing, told.append), token=ISSUER.token() if status == 200 else None)
    assert answer.status == status
    assert len(told) == 1
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("jwt_asgi", "ERROR")
    assert record.getMessage() == f"the hook {failing!r} failed"
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


async def test_without_hooks_refusals_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    await http(JWTMiddleware(app, **ISSUER.options()))
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("jwt_asgi", "WARNING")
    assert record.getMessage() == ("http refused: credentials_missing (the request has no Authorization header)")


async def test_an_empty_list_of_hooks_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert (await http(JWTMiddleware(app, **ISSUER.options(), hooks=[]))).status == 401
    assert caplog.records == []


# The log


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


EXPIRED = Decision(outcome=Outcome.REFUSED, reason=Reason.TOKEN_EXPIRED, detail="exp: why")
MISSING = Decision(outcome=Outcome.REFUSED, reason=Reason.CREDENTIALS_MISSING, kind="websocket")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return found


def test_a_line_names_the_kind_the_outcome_the_reason_and_what_was_expected(caplog: pytest.LogCaptureFixture) -> None:
    LoggingHook()(EXPIRED)
    assert lines(caplog) == ["http refused: token_expired (exp: why)"]


def test_a_line_without_a_detail_says_what_the_reason_means(caplog: pytest.LogCaptureFixture) -> None:
    LoggingHook()(MISSING)
    assert lines(caplog) == ["websocket refused: credentials_missing (the request has no Authorization header)"]


def test_one_reason_is_written_once_an_interval_and_then_with_the_count_of_the_silent_ones(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    hook = LoggingHook(interval=60, clock=clock)
    for _ in range(4):
        hook(EXPIRED)
    assert lines(caplog) == ["http refused: token_expired (exp: why)"]
    clock.now += 59.9
    hook(EXPIRED)
    assert lines(caplog) == []
    clock.now += 0.1
    hook(EXPIRED)
    assert lines(caplog) == ["http refused: token_expired (exp: why); 4 more since the last such line"]
    clock.now += 60
    hook(EXPIRED)
    assert lines(caplog) == ["http refused: token_expired (exp: why)"]


def test_one_reason_does_not_silence_another(caplog: pytest.LogCaptureFixture) -> None:
    hook = LoggingHook(clock=Clock())
    for decision in (EXPIRED, MISSING, EXPIRED, MISSING):
        hook(decision)
    assert lines(caplog) == [
        "http refused: token_expired (exp: why)",
        "websocket refused: credentials_missing (the request has no Authorization header)",
    ]


def test_the_interval_is_a_minute_by_default(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    hook = LoggingHook(clock=clock)
    hook(EXPIRED)
    clock.now += 59
    hook(EXPIRED)
    assert len(lines(caplog)) == 1
    clock.now += 1
    hook(EXPIRED)
    assert len(lines(caplog)) == 1


def test_the_machines_clock_counts_by_default(caplog: pytest.LogCaptureFixture) -> None:
    hook = LoggingHook(interval=0)
    hook(EXPIRED)
    hook(EXPIRED)
    assert len(lines(caplog)) == 2
    slow = LoggingHook(interval=3600)
    slow(EXPIRED)
    slow(EXPIRED)
    assert len(lines(caplog)) == 1


def test_reason_and_count_are_fields_of_the_record_for_structured_logs(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    hook = LoggingHook(interval=10, clock=clock)
    hook(EXPIRED)
    hook(EXPIRED)
    clock.now += 10
    hook(EXPIRED)
    fields = [(vars(record)["jwt_asgi_reason"], vars(record)["jwt_asgi_silent"]) for record in caplog.records]
    assert fields == [("token_expired", 0), ("token_expired", 1)]


async def test_a_refused_rule_is_logged_with_what_is_missing(caplog: pytest.LogCaptureFixture) -> None:
    await http(door(LoggingHook()), path="/todos", token=ISSUER.token())
    assert lines(caplog) == ["http refused: scope_missing (needs scope todos:read)"]


@pytest.mark.parametrize("outcome", [Outcome.GRANTED, Outcome.ANONYMOUS, Outcome.EXEMPT])
def test_what_is_let_in_is_not_logged(outcome: Outcome, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        LoggingHook()(Decision(outcome=outcome))
    assert lines(caplog) == []


async def test_an_outage_is_logged_as_such(caplog: pytest.LogCaptureFixture) -> None:
    async def fetch(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        return FetchResponse(500, {}, b"<html>secret</html>")

    await http(door(LoggingHook(), fetch=fetch, jwks_uri="https://issuer.test/jwks"), token=ISSUER.token())
    cause = "keys_unavailable: the key set's URL answered 500"
    assert lines(caplog) == [
        f"keys of https://issuer.test: failed: {cause}; the next attempt in 1 s or later",
        "http unavailable: keys_unavailable (the key set's URL answered 500)",
    ]


@pytest.mark.parametrize(
    "reason",
    FAULTS_OF_A_TOKEN,
    ids=lambda reason: reason.value,
)
async def test_no_log_line_holds_anything_of_a_token(reason: Reason, caplog: pytest.LogCaptureFixture) -> None:
    # CWE-532: a token in a log is a token for whoever reads the log
    with caplog.at_level(logging.DEBUG):
        token = ISSUER.bad_token(reason)
        await http(door(LoggingHook()), token=token)
    records = [record for record in caplog.records if record.name.startswith("jwt_asgi")]
    line = " ".join(f"{record.getMessage()} {record.args!r} {vars(record)!r}" for record in records)
    assert reason.value in line
    for segment in token.split("."):
        assert len(segment) == 0 or segment[:12] not in line
    for word in ("user-1", "client-1", "someone-else", "another-api", "evil.test", "logout", "0ZcOCORZ"):
        assert word not in line


async def test_hostile_text_in_a_token_forges_no_log_line(caplog: pytest.LogCaptureFixture) -> None:
    # CWE-117
    evil = "EVIL\r\nERROR jwt_asgi all is well"
    for token in (
        ISSUER.token(claims={"iss": evil}),
        ISSUER.token(audience=evil),
        ISSUER.token(header={"kid": evil}),
        ISSUER.token(header={"typ": evil}),
        ISSUER.token(header={"alg": evil}),
        ISSUER.token(claims={evil: 1, "nbf": evil, "scope": {evil: evil}}),
        ISSUER.token(subject=evil, expires_in=-3600),
    ):
        assert (await http(door(LoggingHook()), token=token)).status == 401
    found = lines(caplog)
    assert len(found) == 7
    for line in found:
        assert "EVIL" not in line
        assert "\n" not in line


# The keys

ADDED = KeyEvent(kind=KeyEventKind.KEYS_CHANGED, issuer="https://a.test", added=("b", "c"), removed=("a",))


@pytest.mark.parametrize(
    ("event", "level", "line"),
    [
        (KeyEvent(kind=KeyEventKind.FETCHED, issuer="https://a.test"), "DEBUG", "keys of https://a.test: fetched"),
        (KeyEvent(kind=KeyEventKind.NOT_MODIFIED, issuer="i"), "DEBUG", "keys of i: not_modified"),
        (KeyEvent(kind=KeyEventKind.UNKNOWN_KID, issuer="i"), "DEBUG", "keys of i: unknown_kid"),
        (ADDED, "INFO", "keys of https://a.test: keys_changed: added 'b', 'c'; removed 'a'"),
        (KeyEvent(kind=KeyEventKind.KEY_SKIPPED, issuer="i", detail="why"), "INFO", "keys of i: key_skipped: why"),
        (KeyEvent(kind=KeyEventKind.RECOVERED, issuer="i"), "INFO", "keys of i: recovered"),
        (
            KeyEvent(kind=KeyEventKind.FAILED, issuer="i", detail="why", retry_in=7.4),
            "WARNING",
            "keys of i: failed: why; the next attempt in 7 s or later",
        ),
        (KeyEvent(kind=KeyEventKind.SERVING_STALE, issuer="i"), "WARNING", "keys of i: serving_stale"),
        (KeyEvent(kind=KeyEventKind.EXPIRED, issuer="i"), "WARNING", "keys of i: expired"),
        (KeyEvent(kind=KeyEventKind.THROTTLED, issuer="i"), "WARNING", "keys of i: throttled"),
        (
            KeyEvent(kind=KeyEventKind.PRIVATE_KEY_PUBLISHED, issuer="i", detail="its kid is 'a'"),
            "ERROR",
            "keys of i: private_key_published: its kid is 'a'",
        ),
    ],
    ids=lambda value: value.kind.value if isinstance(value, KeyEvent) else "",
)
def test_what_happens_to_keys_is_a_line_of_its_own_level(
    event: KeyEvent, level: str, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        log_key_event(event)
    (record,) = caplog.records
    assert (record.name, record.levelname, record.getMessage()) == ("jwt_asgi", level, line)
    assert vars(record)["jwt_asgi_key_event"] == event.kind.value
    assert vars(record)["jwt_asgi_issuer"] == event.issuer


def test_every_kind_of_event_has_a_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for kind in KeyEventKind:
            log_key_event(KeyEvent(kind=kind, issuer="i"))
    assert lines(caplog) == [f"keys of i: {kind.value}" for kind in KeyEventKind]


def published(*keys: Mapping[str, Any]) -> FetchResponse:
    return FetchResponse(200, {}, json.dumps({"keys": [*ISSUER.jwks()["keys"], *keys]}).encode())


def keys_of(response: FetchResponse, *hooks: Callable[[KeyEvent], None]) -> JWTMiddleware:
    """The door, whose issuer publishes this; by default key events are logged."""

    async def fetch(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        return response

    options: dict[str, Any] = {"key_hooks": hooks} if hooks else {}
    return door(LoggingHook(), fetch=fetch, jwks_uri=ISSUER.jwks_uri, **options)


EVIL = "EVIL\r\nERROR jwt_asgi all is well\x1b[2J\x85\u2028\u202e"


async def test_control_characters_in_a_published_kid_forge_no_log_line(caplog: pytest.LogCaptureFixture) -> None:
    # CWE-117
    good, private = (ECKey.generate_key("P-256") for _ in range(2))
    keys: list[dict[str, Any]] = [
        {**good.as_dict(private=False), "kid": EVIL},
        {**private.as_dict(private=True), "kid": f"{EVIL}!"},
        {"kty": "oct", "k": "AAAA", "kid": EVIL},
        {"kty": EVIL, "kid": EVIL},
        {**good.as_dict(private=False), "crv": EVIL, "kid": EVIL},
        {**good.as_dict(private=False), "alg": EVIL, "use": EVIL, "kid": EVIL},
    ]
    with caplog.at_level(logging.DEBUG, "jwt_asgi"):
        assert (await http(keys_of(published(*keys)), token=ISSUER.token())).status == 200
    found = lines(caplog)
    assert len(found) == 4
    assert sum(line.count(r"'EVIL\r\n") for line in found) >= 4
    for line in found:
        assert line.isprintable()
    levels = [line.split(": ")[1] for line in found]
    assert levels == ["fetched", "keys_changed", "key_skipped", "private_key_published"]


async def test_a_published_private_key_is_an_error_and_nothing_of_it_is_written(
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = {**ECKey.generate_key("P-256").as_dict(private=True), "kid": "leaked"}
    assert (await http(keys_of(published(key)), token=ISSUER.token())).status == 200
    (record,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert record.levelname == "ERROR"
    assert record.getMessage() == "keys of https://issuer.test: private_key_published: its kid is 'leaked'"
    assert str(key["d"]) not in caplog.text


@pytest.mark.parametrize("status", [200, 500])
async def test_a_key_hook_that_fails_is_logged_and_changes_nothing(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(event: KeyEvent) -> None:
        raise ZeroDivisionError

    told: list[KeyEventKind] = []
    app = keys_of(
        published() if status == 200 else FetchResponse(500, {}, b""), failing, lambda event: told.append(event.kind)
    )
    assert (await http(app, token=ISSUER.token())).status == (200 if status == 200 else 503)
    expected = [KeyEventKind.FETCHED, KeyEventKind.KEYS_CHANGED] if status == 200 else [KeyEventKind.FAILED]
    assert told == expected
    failures = [record for record in caplog.records if record.getMessage() == f"the hook {failing!r} failed"]
    assert [record.levelname for record in failures] == ["ERROR"] * len(expected)
    if status == 200:
        caplog.clear()
        assert (await http(app, token=ISSUER.token())).status == 200
        assert caplog.records == []


async def test_an_empty_list_of_key_hooks_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "jwt_asgi"):
        assert (await http(door(key_hooks=[]), token=ISSUER.token())).status == 200
    assert lines(caplog) == []


async def test_no_kid_of_a_token_is_told_or_written(caplog: pytest.LogCaptureFixture) -> None:
    told: list[KeyEvent] = []
    app = keys_of(published(), told.append, log_key_event)
    with caplog.at_level(logging.DEBUG, "jwt_asgi"):
        for number in range(5):
            token = ISSUER.token(header={"kid": f"stranger-{number}"})
            assert (await http(app, token=token)).status == 401
    assert {KeyEventKind.UNKNOWN_KID, KeyEventKind.THROTTLED} <= {event.kind for event in told}
    assert "stranger" not in f"{told!r} {[vars(record) for record in caplog.records]!r}"
