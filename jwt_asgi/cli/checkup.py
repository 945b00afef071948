"""The checks of `doctor` as a table: each is a pure function of the options and of what the issuer answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jwt_asgi.cli.checkup_answers import check_clock, check_max_age, check_redirect, check_slow
from jwt_asgi.cli.checkup_keys import KEY_CHECKS
from jwt_asgi.cli.checkup_metadata import check_issuer, check_jwks_uri, check_metadata
from jwt_asgi.cli.checkup_way import check_http, check_reachable
from jwt_asgi.cli.findings import Case, Check, Finding, fault, not_checked, ok, printable
from jwt_asgi.errors import ConfigurationError

__all__ = ["CODES", "examine", "refused_options"]

_EXPECTED_OPTIONS = "options that TrustedIssuer takes"


def examine(case: Case) -> list[Check]:
    """Return the outcome of every check, in the order of the way to the keys."""
    return [Check(code, check(case)) for code, check in _CHECKS.items()]


def refused_options(error: ConfigurationError) -> list[Check]:
    """Return the outcome of every check where the options are refused, so that nothing is fetched."""
    advice = "Write what the message says. The service would not start with this."
    outcomes = dict.fromkeys(CODES, not_checked("the options are wrong"))
    outcomes["options"] = fault(printable(error.detail), _EXPECTED_OPTIONS, advice)
    return [Check(code, finding) for code, finding in outcomes.items()]


def _options(case: Case) -> Finding:
    return ok(f"{printable(case.issuer)}, {', '.join(sorted(case.algorithms))}", _EXPECTED_OPTIONS)


_CHECKS: Mapping[str, Callable[[Case], Finding]] = {
    "options": _options,
    "http": check_http,
    "unreachable": check_reachable,
    "metadata": check_metadata,
    "issuer_mismatch": check_issuer,
    "jwks_uri": check_jwks_uri,
    "redirect": check_redirect,
    **KEY_CHECKS,
    "max_age": check_max_age,
    "clock_skew": check_clock,
    "slow": check_slow,
}
CODES = tuple(_CHECKS)
