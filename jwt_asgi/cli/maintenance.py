"""`jwt-asgi db`, `gc` and `audit-log`: the database of a token service."""

from __future__ import annotations

import argparse
import json
import re

from jwt_asgi.cli.service import Setup, done, find_setup, said
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.housekeeping import collect_all
from jwt_asgi.issuer.store.schema import REVISIONS

__all__ = ["run_gc", "run_upgrade", "run_verify", "run_version"]

_OK, _FAILED = 0, 1
_KNOWN = re.compile(r"([0-9]{1,19}):([0-9a-f]{64})")


def run_upgrade(options: argparse.Namespace) -> int:
    """Make the tables, or change them."""

    async def work(setup: Setup) -> int:
        await setup.tables.migrate()
        _tell(options, f"ok: the tables of {setup.where} are of version {REVISIONS[-1]}", version=REVISIONS[-1])
        return _OK

    return done(find_setup(options), work)


def run_version(options: argparse.Namespace) -> int:
    """Say whether this release can work with the tables."""

    async def work(setup: Setup) -> int:
        await setup.tables.now()
        _tell(options, f"ok: the tables of {setup.where} are of version {REVISIONS[-1]}", version=REVISIONS[-1])
        return _OK

    return done(find_setup(options), work)


def run_gc(options: argparse.Namespace) -> int:
    """Forget what nobody needs."""

    async def work(setup: Setup) -> int:
        store, batch = setup.store, options.batch
        count = await (store.collect(batch=batch) if options.once else collect_all(store, batch=batch))
        _tell(options, f"ok: {count} rows of {setup.where} forgotten", forgotten=count)
        return _OK

    return done(find_setup(options), work)


def run_verify(options: argparse.Namespace) -> int:
    """Follow the chain of the audit log."""
    known = None if options.known is None else _known(options.known)

    async def work(setup: Setup) -> int:
        check = await setup.tables.verify_audit(known)
        head = f"{check.seq}:{check.hash.hex()}"
        good = check.broken_at is None
        text = f"ok: {check.records} records of {setup.where} are as they were written; the last one is {head}"
        if not good:
            said(
                f"the audit log of {setup.where} is not as it was written: record {check.broken_at} is missing or was "
                "changed, or the log was written anew. Keep the database as it is, and compare it with a backup"
            )
            text = f"broken: at record {check.broken_at}, after {check.records} that are as they were written"
        _tell(options, text, good=good, records=check.records, broken_at=check.broken_at, head=head)
        return _OK if good else _FAILED

    return done(find_setup(options), work)


def _known(text: str) -> tuple[int, bytes]:
    found = _KNOWN.fullmatch(text)
    if found is None:
        raise ConfigurationError("known", f"--known {text!r}: expected NUMBER:HASH, as `audit-log verify` prints it")
    return int(found[1]), bytes.fromhex(found[2])


def _tell(options: argparse.Namespace, text: str, **members: object) -> None:
    print(json.dumps(members, indent=2) if options.json else text)
