"""The commands that operate a token service: their options. What they do is imported when it is done."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from jwt_asgi.errors import ConfigurationError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - it has no other name

__all__ = ["add_operations"]

_CODES = "Exit code: 0 ok, 1 failed, 2 called wrongly."
_MOST_ROWS = 10_000


def add_operations(commands: Commands) -> None:
    """Add `db`, `gc`, `keys` and `audit-log`."""
    _add_db(commands.add_parser("db", help="make the tables of a token service, or say of which version they are"))
    _add_gc(commands.add_parser("gc", help="forget sessions, revocations and keys that nobody needs any more"))
    _add_keys(commands.add_parser("keys", help="list, rotate or revoke the signing keys of a token service"))
    _add_audit_log(commands.add_parser("audit-log", help="check that nobody has changed a token service's audit log"))


def _add_db(parser: argparse.ArgumentParser) -> None:
    parser.description = f"The tables of a token service. {_CODES}"
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    upgrade = commands.add_parser("upgrade", help="make the tables, or bring them to the version of this release")
    upgrade.description = (
        "Makes the tables, or brings them to the version of this release. It may be repeated. " + _CODES
    )
    version = commands.add_parser("version", help="say of which version the tables are")
    version.description = f"Says whether this release can work with the tables: if not, that is a failure. {_CODES}"
    for command, name in ((upgrade, "run_upgrade"), (version, "run_version")):
        _add_store(command)
        command.set_defaults(run=_later("maintenance", name))


def _add_gc(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Forgets sessions that ended a week ago, revocations of tokens that have expired, and keys that are gone, in "
        f"small batches that stand in nobody's way. A running service does so by itself, too. {_CODES}"
    )
    _add_store(parser)
    parser.add_argument("--once", action="store_true", help="forget one batch, and not all")
    parser.add_argument(
        "--batch", type=_rows, default=500, metavar="N", help="rows of each table in one batch; default: 500"
    )
    parser.add_argument(
        "--keep-audit",
        type=float,
        metavar="DAYS",
        help="with --store: forget records of the audit log that are older; by default none is",
    )
    parser.set_defaults(run=_later("maintenance", "run_gc"))


def _add_keys(parser: argparse.ArgumentParser) -> None:
    parser.description = f"The signing keys of a token service. {_CODES}"
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="list the keys: which signs, and until when each is published")
    listing.description = f"Lists the keys. With MODULE:SERVICE it checks them, too. {_CODES}"
    _add_store(listing)
    listing.set_defaults(run=_later("signing_keys", "run_list"))
    rotate = commands.add_parser("rotate", help="hand over to a new key ahead of time")
    rotate.description = (
        "Announces a new key, which signs when every verifier has had the time to learn of it; the old one stays "
        f"published until its last token has expired. {_CODES}"
    )
    _add_store(rotate)
    _add_own(rotate)
    rotate.add_argument("--now", action="store_true", help="let it sign in a minute, although verifiers must fetch it")
    rotate.add_argument("--alg", metavar="NAME", help="whose key; by default that of the schedule's first algorithm")
    rotate.set_defaults(run=_later("signing_keys", "run_rotate"))
    revoke = commands.add_parser("revoke", help="take a key back at once, with all that it has signed")
    revoke.description = (
        "Takes back a key that somebody may have stolen: it is published no more, another one signs at once, and "
        "resource servers that follow the revocations refuse its tokens. Clients refresh; nobody has to log in. A KID "
        f"that begins with a hyphen goes behind --. {_CODES}"
    )
    _add_store(revoke)
    revoke.add_argument("kid", metavar="KID", help="which key, as `keys list` names it")
    _add_own(revoke)
    revoke.add_argument("--yes", action="store_true", help="do not ask")
    revoke.set_defaults(run=_later("signing_keys", "run_revoke"))
    for command in (rotate, revoke):
        command.add_argument("--reason", default="cli", metavar="TEXT", help="for the audit log; no secret")


def _add_audit_log(parser: argparse.ArgumentParser) -> None:
    parser.description = f"The audit log of a token service. {_CODES}"
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    verify = commands.add_parser("verify", help="follow the chain of hashes from the oldest record to the newest")
    verify.description = (
        "Follows the chain of hashes. Whoever can write to the database can write the whole chain anew: keep the "
        f"number and hash that this prints elsewhere, and give them next time. {_CODES}"
    )
    _add_store(verify)
    verify.add_argument("--known", metavar="NUMBER:HASH", help="what an earlier run has printed")
    verify.set_defaults(run=_later("maintenance", "run_verify"))


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "service",
        nargs="?",
        metavar="MODULE:SERVICE",
        help="the TokenService of your application, with its store, its keys and its schedule",
    )
    parser.add_argument("--factory", action="store_true", help="SERVICE is a function that returns the service")
    parser.add_argument("--app-dir", default=".", metavar="DIR", help="where MODULE is found; default: this folder")
    parser.add_argument(
        "--store",
        metavar="URL",
        help="in place of MODULE:SERVICE: sqlite:///path or postgresql://user@host/database, without a password, which "
        "other users of this machine could read; the environment variable JWT_ASGI_STORE may have one",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of text")


def _add_own(parser: argparse.ArgumentParser) -> None:
    """Add what has to be told where no service tells it."""
    parser.add_argument("--issuer", help="with --store: the issuer's identifier, exactly as in `iss`")
    parser.add_argument(
        "--schedule",
        metavar="FILE",
        help="with --store: the service's KeySchedule as a JSON object of its options; {} where it has none",
    )
    parser.add_argument(
        "--master-keys-file",
        metavar="FILE",
        help="with --store: the master keys; by default they are in the environment variable JWT_ASGI_MASTER_KEYS",
    )


def _rows(text: str) -> int:
    count = int(text)
    if not 1 <= count <= _MOST_ROWS:
        raise argparse.ArgumentTypeError(f"expected 1 to {_MOST_ROWS}")
    return count


def _later(module: str, name: str) -> Callable[[argparse.Namespace], int]:
    """Return a function that imports what the token service needs, when it is called."""

    def run(options: argparse.Namespace) -> int:
        try:
            command: Callable[[argparse.Namespace], int] = getattr(
                importlib.import_module(f"jwt_asgi.cli.{module}"), name
            )
            return command(options)
        except ImportError as error:
            what = error.name or getattr(error.__cause__, "name", None) or "more packages"
            detail = f'a token service needs {what}, which is not installed here: pip install "jwt-asgi[issuer]"'
            raise ConfigurationError("issuer", detail) from error

    return run
