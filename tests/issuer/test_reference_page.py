"""docs/reference/token-service.md has every option with its default, every endpoint, table and event that there is."""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from jwt_asgi.issuer import Client, Fault, KeySchedule, MasterKeys, RotationPolicy, TokenService, token_endpoints
from jwt_asgi.issuer.audit_events import AuditEvent
from jwt_asgi.issuer.signing import SIGNING_ALGORITHMS
from jwt_asgi.issuer.store.schema import VERSION_TABLE, metadata

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "token-service.md").read_text(encoding="utf-8")


def row_of(option: str, section: str) -> str:
    """The row of an option in the table of a section."""
    text = PAGE.partition(f"# `{section}`\n")[2].partition("\n#")[0]
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    return next((row for row in rows if f"`{option}`" in row.split("|")[1]), "")


def options_of(made: type) -> dict[str, Any]:
    """The options of a class with their defaults."""
    if made is TokenService:
        parameters = inspect.signature(TokenService).parameters.values()
        return {one.name: None if one.default is one.empty else one.default for one in parameters}
    return {one.name: None if one.default is MISSING else one.default for one in fields(made) if one.init}


CASES = [
    (made.__name__, name, default)
    for made in (TokenService, RotationPolicy, KeySchedule, Client)
    for name, default in options_of(made).items()
]


@pytest.mark.parametrize(("section", "option", "default"), CASES)
def test_an_option_has_a_row_with_its_default(section: str, option: str, default: object) -> None:
    row = row_of(option, section)
    assert row
    if isinstance(default, float):
        assert f"{default:,.0f} s" in row
    elif isinstance(default, (int, str)):
        assert str(default) in row.split("|")[2].replace(",", "")


def test_every_endpoint_is_there_and_no_other() -> None:
    service = TokenService(
        issuer="https://auth.test",
        store="sqlite:///never.db",
        master_keys=MasterKeys.from_text(MasterKeys.new()),
        clients=[],
    )
    paths = {route.path for route in token_endpoints(service).routes if isinstance(route, Route)}
    table = PAGE.partition("## Endpoints")[2].partition("RFC 8414 has")[0]
    assert paths == set(re.findall(r"(/[a-z./_-]+)(?:\?after=)?`", table)) - {"/x-www-form-urlencoded"}


def test_every_table_error_and_algorithm_is_there() -> None:
    assert {*metadata.tables, VERSION_TABLE} == set(re.findall(r"^\| `(jwt_asgi_\w+)`", PAGE, re.MULTILINE))
    others = {Fault.INVALID_TOKEN, Fault.INSUFFICIENT_SCOPE, Fault.UNSUPPORTED_TOKEN_TYPE}
    assert all(f"`{fault.value}`" in PAGE for fault in {*Fault} - others)
    assert all(f"`{alg}`" in PAGE for alg in SIGNING_ALGORITHMS)


def test_every_event_is_there_and_no_other() -> None:
    table = PAGE.partition("## Events")[2].partition("## ")[0]
    assert {event.value for event in AuditEvent} == set(re.findall(r"`([a-z]+(?:\.[a-z_]+)?)`", table)) - {
        "behind",
        "refused",
    }
