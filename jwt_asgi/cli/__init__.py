"""The command line: demo, explain, doctor, routes; db, gc, keys, audit-log; nothing imports it.

demo.py             two issuers and a protected API on loopback; demo_calls.py: what is sent, and what is promised;
                    demo_session.py: a session of the token service
explain.py          every check on one token; advice.py: what to do for each reason
doctor.py           a configuration against the live issuer, by the checks of checkup.py: checkup_way.py (scheme,
                    connection), checkup_metadata.py, checkup_keys.py, checkup_answers.py (headers, time);
                    findings.py: what a check returns
routes.py           what every route of an application needs; target.py: how it is imported; audit.py: the table and its
                    findings, from the steps of audit_steps.py that the walks find (audit_walk.py, audit_starlette.py,
                    audit_litestar.py), on paths that stand for all (audit_paths.py); audit_probe.py: the same asked of
                    the application
options.py          what explain and doctor share
operations.py       the commands that operate a token service, and their options; service.py: which one, and its store;
                    signing_keys.py: keys; maintenance.py: db, gc, audit-log
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from jwt_asgi._core.freshness import KeyCaching
from jwt_asgi._version import __version__
from jwt_asgi.cli.demo import run_demo
from jwt_asgi.cli.doctor import run_doctor
from jwt_asgi.cli.explain import run_explain
from jwt_asgi.cli.operations import add_operations
from jwt_asgi.cli.options import add_issuer, add_jwks_uri, add_way
from jwt_asgi.cli.routes import run_routes
from jwt_asgi.errors import ConfigurationError

__all__ = ["main"]

_USAGE_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 good, 1 not good, 2 called wrongly, 3 no keys of the issuer."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except ConfigurationError as error:
        print(f"jwt-asgi: {error.detail}", file=sys.stderr)
        return _USAGE_ERROR


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="jwt-asgi", description="Verified Bearer JWT access tokens for any ASGI app.")
    parser.add_argument("--version", action="version", version=f"jwt-asgi {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_demo(commands.add_parser("demo", help="start issuers and a protected API on this machine, to play with"))
    _add_explain(commands.add_parser("explain", help="say, check by check, why one token is accepted or refused"))
    _add_doctor(commands.add_parser("doctor", help="check a configuration against the issuer that it names"))
    _add_routes(commands.add_parser("routes", help="list what every route of an application needs, and find gaps"))
    add_operations(commands)
    return parser


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Starts an issuer, a token service and a protected API on loopback, over real HTTP, and prints curl lines with "
        "the answer that each gets. It stays up until Ctrl-C."
    )
    parser.add_argument("--check", action="store_true", help="send the requests, compare the answers, and end")
    parser.add_argument("--port", type=int, default=0, help="the API's port; by default a free one is found")
    parser.set_defaults(run=run_demo)


def _add_explain(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Prints every check on one token, in order, with what was expected and what the token says. The token is sent "
        "nowhere; only the issuer's public keys are fetched, and with --jwks not even these. Exit code: 0 accepted, 1 "
        "refused, 2 called wrongly, 3 the issuer's keys could not be had."
    )
    add_issuer(parser)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--jwks", metavar="FILE", help="take the keys from a file, and fetch nothing")
    add_jwks_uri(source)
    add_way(parser, allow_http="fetch over plain http beyond this machine's loopback too")
    parser.add_argument(
        "token", nargs="?", default="-", metavar="TOKEN", help="the token; - or nothing: read it from standard input"
    )
    parser.set_defaults(run=run_explain)


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Fetches the issuer's metadata and key set as the service does, nothing else, and says of each check what was "
        "found and what to do. Exit code: 0 nothing worse than a warning, 1 a fault, 2 called wrongly, 3 the issuer "
        "could not be reached."
    )
    add_issuer(parser)
    add_jwks_uri(parser)
    add_way(parser, allow_http="make plain http a warning in place of a fault")
    timeout = KeyCaching().timeout
    parser.add_argument(
        "--timeout", type=float, default=timeout, metavar="SECONDS", help=f"for each request; default: {timeout:g}"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of text")
    parser.set_defaults(run=run_doctor)


def _add_routes(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Imports an ASGI application and lists every route with what a token must allow. Whatever needs no token has "
        "to be listed as public. Exit code: 0 nothing worse than a warning, 1 an unprotected route or another fault, 2 "
        "called wrongly."
    )
    parser.add_argument("app", metavar="MODULE:APP", help="the application, as uvicorn is given it")
    parser.add_argument("--factory", action="store_true", help="APP is a function that returns the application")
    parser.add_argument("--app-dir", default=".", metavar="DIR", help="where MODULE is found; default: this folder")
    parser.add_argument(
        "--lifespan", action="store_true", help="start the application first, for routes that it adds at its start"
    )
    parser.add_argument(
        "--public",
        action="append",
        default=[],
        metavar="PATTERN",
        help='what needs no token, as "GET /healthz" or "/docs/*"; may be repeated',
    )
    parser.add_argument(
        "--public-file",
        action="append",
        default=[],
        metavar="FILE",
        help="a file of such patterns, one a line, with # comments; may be repeated",
    )
    parser.add_argument(
        "--probe",
        action="store_true",
        help="ask each protected route once without a token, in this process, and compare the answer with the table",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of text")
    parser.set_defaults(run=run_routes)
