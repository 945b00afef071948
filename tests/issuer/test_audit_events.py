"""What is written down: closed lists of events and members, the records of what happens, and never a secret."""

from __future__ import annotations

import json
import re
import sqlite3
from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from inspect import signature
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import jwt_asgi.issuer
from jwt_asgi.issuer import audit_events
from jwt_asgi.issuer.audit_events import (
    LONGEST,
    MEMBERS,
    REMOVED,
    AuditEvent,
    cleaned,
    client_rejected,
    issued,
    record,
    refreshed,
    revoked,
    stepped_up,
)
from jwt_asgi.issuer.clients import Client
from jwt_asgi.issuer.grants import GrantError
from jwt_asgi.issuer.refresh_token import RefreshTokens
from jwt_asgi.issuer.rotation import Step
from jwt_asgi.issuer.sealing import MasterKeys
from jwt_asgi.issuer.service import TokenService
from jwt_asgi.issuer.signing import SigningKey
from jwt_asgi.issuer.store import SQLiteStore
from jwt_asgi.issuer.store.rows import is_text, to_json
from jwt_asgi.issuer.types import Record
from tests.issuer.store.world import ISSUER, make_session

NOW = 1_800_000_000.0
SESSION = make_session(NOW, subject="ada", tenant="acme", acr="mfa", generation=3)
OF_SESSION = {"sub": "ada", "tenant": "acme", "client_id": "spa", "sid": SESSION.sid}
TOKENS = RefreshTokens({1: bytes(range(32))})
SECRETS = {
    "access token": SigningKey.new("ES256").sign(b'{"sub":"ada"}'),
    "refresh token": TOKENS.write(SESSION.id, 3, 1),
    "master key": MasterKeys.new(),
    "private key": "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49",
    "Authorization": "Bearer 2YotnFZFEjr1zCsicMWpAA",
    "Basic": "basic " + urlsafe_b64encode(b"client:secret").decode(),
    "URL": "postgresql://jwt:opensesame@db/tokens",
}
HELPERS: dict[str, Callable[[str], Any]] = {
    "cleaned": lambda text: cleaned(Record(event="token.issued", at=NOW, members={"sub": text, "unknown": text})),
    "issued": lambda text: issued(NOW, grant=text, client_id=text, jti=text, kid=text, sub=text, ip=text),
    "refreshed": lambda text: refreshed(None, None, NOW, presented=1, client_id=text, ip=text),
    "revoked": lambda text: revoked("token", NOW, reason=text, by=text, sub=text, client_id=text, jti=text, kid=text),
    "client_rejected": lambda text: client_rejected(NOW, client_id=text, reason=text, ip=text),
    "stepped_up": lambda text: stepped_up(replace(SESSION, acr=text), NOW, replaces=SESSION, jti=text),
}


def sources() -> str:
    folder = Path(jwt_asgi.issuer.__file__).parent
    files = [path for path in folder.rglob("*.py") if path.name != "audit_events.py"]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def test_events_that_others_write_are_in_the_list() -> None:
    found = set(re.findall(r'"((?:token|key|refresh|revoke)\.[a-z_]+)"', sources()))
    assert found >= {"key.staged", "key.retired", "key.gone", "key.revoked", "refresh.replay"}
    assert found <= {event.value for event in AuditEvent}


async def test_what_a_service_writes_down_has_listed_names_and_no_token(tmp_path: Path) -> None:
    written: list[Record] = []

    class Noting(TokenService):
        async def _note(self, record: Record) -> None:
            written.append(record)

    url = f"sqlite:///{tmp_path / 'store.db'}"
    client = Client(client_id="spa", authentication="none", grants=("refresh_token",))
    masters = MasterKeys.from_text(MasterKeys.new())
    service = Noting(issuer=ISSUER, store=url, master_keys=masters, clients=[client], collect_every=None)
    assert isinstance(service.store, SQLiteStore)
    await service.store.migrate()
    secrets = [url]
    async with service:
        tokens = await service.issue(subject="ada", client_id="spa", audience="https://api.test")
        assert tokens.refresh_token is not None
        again = await service.refresh(tokens.refresh_token, client_id="spa")
        stepped = await service.step_up(str(tokens.sid), acr="mfa")
        with pytest.raises(GrantError):
            await service.refresh(tokens.refresh_token, client_id="spa")
        await service.revoke(token=stepped.access_token, reason=stepped.access_token)
        await service.keys.rotate()
        await service.revoke(key=service.keys.stored[0].kid, reason="test")
        secrets += [text for one in (tokens, again, stepped) for text in (one.access_token, str(one.refresh_token))]
    lines = [(one.event, dict(one.members)) for one in written]
    with closing(sqlite3.connect(tmp_path / "store.db")) as database:
        rows = database.execute("SELECT event, members FROM jwt_asgi_audit ORDER BY seq").fetchall()
    lines += [(event, json.loads(members)) for event, members in rows]
    assert len(lines) >= 10
    assert {event for event, _ in lines} <= {event.value for event in AuditEvent}
    assert {name for _, members in lines for name in members} <= MEMBERS
    told = repr([cleaned(Record(event=event, at=NOW, members=members)) for event, members in lines])
    assert not [secret for secret in secrets if secret in told]


def test_what_others_have_made_loses_what_is_not_in_the_list() -> None:
    made = cleaned(Record(event="token.issued", at=NOW, members={"sub": "ada", "claims": "x", "jti": None}))
    assert made == Record(event="token.issued", at=NOW, members={"sub": "ada"})


def test_no_member_is_called_as_what_frames_a_line() -> None:
    assert not MEMBERS & {"event", "at", "seq", "time", "level", "message"}


@pytest.mark.parametrize("event", list(AuditEvent), ids=lambda event: event.value)
def test_the_names_of_events_have_one_shape(event: AuditEvent) -> None:
    assert re.fullmatch(r"[a-z]+(\.[a-z_]+)?", event.value)


@pytest.mark.parametrize("name", ["token", "secret", "refresh_token", "event", "password"])
def test_a_member_that_is_not_in_the_list_is_a_mistake_of_the_program(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        record(AuditEvent.REFRESH_REFUSED, NOW, **{name: "x"})


@pytest.mark.parametrize("value", [b"bytes", ["a"], {"a": 1}, object()], ids=["bytes", "list", "dict", "object"])
def test_a_value_of_another_kind_is_one_too(value: Any) -> None:
    with pytest.raises(TypeError, match="sub"):
        record(AuditEvent.REFRESH_REFUSED, NOW, sub=value)


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("helper", HELPERS)
def test_no_secret_gets_into_a_record_whatever_it_is_taken_for(helper: str, kind: str) -> None:
    for text in (SECRETS[kind], f"he sent {SECRETS[kind]} to us", "x" * (LONGEST - 10) + " " + SECRETS[kind]):
        made = HELPERS[helper](text)
        assert made is not None
        assert REMOVED in made.members.values()
        assert SECRETS[kind][:24] not in to_json(dict(made.members))


def test_each_helper_is_tried_with_secrets() -> None:
    helpers = {
        name
        for name in audit_events.__all__
        if callable(function := getattr(audit_events, name)) and "Record" in str(signature(function).return_annotation)
    }
    assert helpers == {*HELPERS, "record"}


@pytest.mark.parametrize(
    "text",
    [SESSION.sid, SigningKey.new().kid, "basic authentication failed", "sha256 differs", "https://a:8080/b", "1:2"],
    ids=["sid", "kid", "scheme", "digest", "port", "ratio"],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert record(AuditEvent.REFRESH_REFUSED, NOW, reason=text).members == {"reason": text}


@given(st.text(max_size=2 * LONGEST))
def test_any_text_is_made_harmless(text: str) -> None:
    made = record(AuditEvent.REFRESH_REFUSED, NOW, reason=text).members["reason"]
    assert isinstance(made, str)
    assert len(made) <= LONGEST
    assert is_text(made)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", made)
    if text.isascii() and text.isprintable() and len(text) <= LONGEST and made != REMOVED:
        assert made == text


def test_a_long_text_is_cut_and_says_so() -> None:
    made = record(AuditEvent.REFRESH_REFUSED, NOW, reason="a" * 10_000_000).members["reason"]
    assert made == "a" * (LONGEST - 1) + "…"


def test_numbers_that_json_does_not_have_are_texts() -> None:
    made = record(AuditEvent.REFRESH_REFUSED, NOW, count=3, before=inf, sign_until=nan, gen=True, sid=None)
    assert made.members == {"count": 3, "before": "inf", "sign_until": "nan", "gen": True}
    assert json.loads(to_json(dict(made.members)))


def test_a_token_is_written_down_with_its_session_if_it_has_one() -> None:
    made = issued(NOW, grant="refresh_token", client_id="spa", jti="j", kid="k", session=SESSION)
    assert made.event == "token.issued"
    assert made.members == {**OF_SESSION, "grant": "refresh_token", "jti": "j", "kid": "k", "gen": 3}
    made = issued(NOW, grant="client_credentials", client_id="batch", jti="j", kid="k")
    assert made.members == {"client_id": "batch", "grant": "client_credentials", "jti": "j", "kid": "k"}


@pytest.mark.parametrize(
    ("step", "event"),
    [
        (Step.ROTATE, "refresh.rotated"),
        (Step.ENDED, "refresh.refused"),
        (Step.MISMATCH, "refresh.mismatch"),
        (Step.CATCH_UP, "refresh.behind"),
        (Step.AHEAD, "refresh.ahead"),
        (Step.RETRY, "refresh.retry"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_step_of_a_refresh_has_its_event(step: Step, event: str) -> None:
    made = refreshed(step, SESSION, NOW, presented=3, client_id="spa", ip="192.0.2.1")
    assert made is not None
    assert made.event == event
    assert {**OF_SESSION, "presented": 3, "newest": 3, "ip": "192.0.2.1"}.items() <= made.members.items()


def test_a_replay_is_told_as_the_store_writes_it() -> None:
    made = refreshed(Step.REPLAY, SESSION, NOW, presented=1, client_id="spa")
    assert made.event == "refresh.replay"
    assert made.members == {**OF_SESSION, "presented": 1, "newest": 3}


def test_a_token_of_no_session_is_refused_as_unknown() -> None:
    made = refreshed(None, None, NOW, presented=1, client_id="spa")
    assert made is not None
    assert (made.event, made.members["reason"]) == ("refresh.refused", "unknown")


@pytest.mark.parametrize(
    ("after", "confirmed_at", "cause"),
    [
        (0.5, None, "concurrent"),
        (10.0, None, "concurrent"),
        (11.0, None, "lost_response"),
        (30.0, NOW + 25, "concurrent"),
    ],
)
def test_a_retry_has_a_cause(after: float, confirmed_at: float | None, cause: str) -> None:
    session = replace(SESSION, family=replace(SESSION.family, confirmed_at=confirmed_at))
    made = refreshed(Step.RETRY, session, NOW + after, presented=2, client_id="spa")
    assert made is not None
    assert made.members["cause"] == cause


def test_a_mismatch_says_of_what_and_by_whom() -> None:
    by_other = refreshed(Step.MISMATCH, SESSION, NOW, presented=3, client_id="thief")
    without_proof = refreshed(Step.MISMATCH, SESSION, NOW, presented=3, client_id="spa")
    assert by_other is not None
    assert without_proof is not None
    assert (by_other.members["reason"], by_other.members["client_id"]) == ("client", "thief")
    assert without_proof.members["reason"] == "proof"


def test_each_kind_of_revocation_has_its_event() -> None:
    names = [revoked(kind, NOW, reason="r").event for kind in ("session", "subject", "client", "token", "key")]
    assert names == ["revoke.session", "revoke.subject", "revoke.client", "revoke.token", "revoke.key"]
    made = revoked("session", NOW, reason="log-out", by="user", session=SESSION, count=1)
    assert made.members == {**OF_SESSION, "count": 1, "reason": "log-out", "by": "user"}
    made = revoked("subject", NOW, reason="password changed", sub="ada", before=NOW, count=2)
    assert made.members == {"sub": "ada", "count": 2, "before": NOW, "reason": "password changed"}


def test_what_else_happens_is_written_down() -> None:
    after = make_session(NOW, subject="ada", acr="mfa")
    assert stepped_up(after, NOW, replaces=SESSION, jti="j").members["replaces"] == SESSION.sid
    assert client_rejected(NOW, client_id=None, reason="invalid_client").members == {"reason": "invalid_client"}
