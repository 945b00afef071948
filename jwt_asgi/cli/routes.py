"""`jwt-asgi routes`: what every route of an application needs, and whether what needs nothing is listed as public."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jwt_asgi.cli.audit import Audit, Public, Row, audit
from jwt_asgi.cli.audit_probe import probe, started
from jwt_asgi.cli.audit_steps import State
from jwt_asgi.cli.findings import Status
from jwt_asgi.cli.target import imported
from jwt_asgi.errors import ConfigurationError

__all__ = ["run_routes"]

_GOOD, _FAULTY = 0, 1


def run_routes(options: argparse.Namespace) -> int:
    """List the routes of the application that the options name, and judge them."""
    public = [*map(Public.parse, options.public), *_listed(options.public_file)]
    app = imported(options.app, Path(options.app_dir), factory=options.factory)
    with contextlib.redirect_stdout(sys.stderr):
        found = asyncio.run(_look(app, public, options))
    print(_as_json(found) if options.json else _as_text(found))
    return _GOOD if found.good else _FAULTY


async def _look(app: Any, public: Sequence[Public], options: argparse.Namespace) -> Audit:  # noqa: ANN401 - imported
    async with started(app) if options.lifespan else contextlib.nullcontext():
        found = audit(app, public)
        return await probe(app, found) if options.probe else found


def _listed(files: Sequence[str]) -> list[Public]:
    """Read files with one pattern a line; what follows a # is a comment."""
    found = []
    for name in files:
        try:
            lines = Path(name).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError("public-file", f"{name} cannot be read: {error}") from error
        texts = [line.partition("#")[0].strip() for line in lines]
        found += [Public.parse(text) for text in texts if text]
    return found


def _as_json(found: Audit) -> str:
    routes = [_members(row) for row in found.rows]
    findings = [
        {"finding": one.code, "status": one.status.value, "where": one.where, "text": one.text} for one in found.remarks
    ]
    return json.dumps({"good": found.good, "routes": routes, "findings": findings}, indent=2)


def _members(row: Row) -> dict[str, object]:
    return {
        "method": row.method,
        "path": row.path,
        "host": row.host or None,
        "kind": row.kind.value,
        "state": row.state,
        "requires": None if row.verdict.state is not State.PROTECTED else row.verdict.requirement,
        "by": list(row.verdict.by),
        "endpoint": row.name,
    }


def _as_text(found: Audit) -> str:
    table = [("METHOD", "PATH", "STATE", "NEEDS", "BY")]
    for row in found.rows:
        where = row.path + (f" ({row.host})" if row.host else "")
        kind = "" if row.kind.value == "route" else f" [{row.kind.value}]"
        table.append((row.method, where, row.state, row.verdict.requirement, ", ".join(row.verdict.by) + kind))
    widths = [max(len(line[column]) for line in table) for column in range(4)]
    lines = ["  ".join((*map(str.ljust, line, widths), line[4])).rstrip() for line in table]
    if found.remarks:
        lines += ["", *(f"{one.status.value}: {one.code}: {one.where}: {one.text}" for one in found.remarks)]
    return "\n".join([*lines, "", _verdict(found)])


def _verdict(found: Audit) -> str:
    states = [row.state for row in found.rows]
    counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "no routes"
    faults = sum(one.status is Status.FAULT for one in found.remarks)
    return f"{'ok' if found.good else f'fault: {faults} to mend'}: {counted}"
