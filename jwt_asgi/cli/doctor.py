"""`jwt-asgi doctor`: a configuration held against the live issuer, by the code that the service runs."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from jwt_asgi._core.freshness import KeyCaching
from jwt_asgi._keys.discovery import discover_jwks_uri
from jwt_asgi._keys.fetch import MAX_BODY_BYTES, FetchError, HttpxFetch, NoAnswerError
from jwt_asgi._keys.source import ACCEPT
from jwt_asgi.cli.checkup import examine, refused_options
from jwt_asgi.cli.checkup_keys import read_keys
from jwt_asgi.cli.checkup_metadata import likely_uri
from jwt_asgi.cli.findings import Case, Check, Exchange, Status, printable, verdict
from jwt_asgi.cli.options import https_fetch
from jwt_asgi.errors import ConfigurationError, KeysUnavailable
from jwt_asgi.issuers import TrustedIssuer
from jwt_asgi.profiles import PROFILES
from jwt_asgi.types import Fetch, FetchResponse

__all__ = ["run_doctor"]

_GOOD, _FAULTY, _USAGE_ERROR, _UNREACHABLE = 0, 1, 2, 3
_OK = 200
_PAUSE_SECONDS = 0.1
_COLOURS = {Status.OK: 32, Status.WARNING: 33, Status.FAULT: 31, Status.NOT_CHECKED: 2}


def run_doctor(options: argparse.Namespace) -> int:
    """Check what the options name, and print what was found."""
    jwks_uri = options.jwks_uri
    try:
        case, fetch = _configure(options)
    except ConfigurationError as error:
        checks = refused_options(error)
    else:
        case = asyncio.run(_look(case, fetch))
        checks, jwks_uri = examine(case), case.jwks_uri
    issuer = _shown(options.issuer)
    if options.json:
        print(_as_json(issuer, jwks_uri and _shown(jwks_uri), checks))
    else:
        _print(issuer, checks, colour=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
    return _exit_code(checks)


def _shown(url: str) -> str:
    """Return a URL as it may be printed: without what may be a password."""
    return "a URL with an @" if "@" in url else printable(url)


def _configure(options: argparse.Namespace) -> tuple[Case, HttpxFetch]:
    """Have the service's own code check the options; plain http alone is left to the check of that name."""
    caching, fetch = KeyCaching(timeout=options.timeout), https_fetch(options.ca_file)
    trusted = TrustedIssuer(
        issuer=options.issuer,
        audience=options.audience,
        algorithms=options.alg,
        jwks_uri=options.jwks_uri,
        profile=PROFILES[options.profile],
        leeway=options.leeway,
        key_caching=caching,
        fetch=fetch,
        allow_http=True,
    )
    case = Case(
        issuer=options.issuer,
        given_uri=options.jwks_uri,
        algorithms=trusted.policy.algorithms,
        leeway=trusted.policy.leeway,
        caching=caching,
        allow_http=options.allow_http,
    )
    return case, fetch


async def _look(case: Case, fetch: Fetch) -> Case:
    """Ask the issuer as the service does: for its metadata, unless the key set's URL is given, and for its key set."""
    recorder = _Recorder(fetch)
    uri, timeout = case.given_uri, case.caching.timeout
    if uri is None:
        try:
            uri = await discover_jwks_uri(case.issuer, recorder, timeout=timeout, allow_http=case.allow_http)
            case = replace(case, metadata=tuple(recorder.exchanges), discovered=True)
        except (KeysUnavailable, FetchError) as error:
            case = replace(case, metadata=tuple(recorder.exchanges), refusal=str(error))
            uri = likely_uri(case)
    if uri is None:
        return case
    with suppress(FetchError):
        await recorder(uri, headers=ACCEPT, timeout=timeout, limit=MAX_BODY_BYTES)
    exchange = recorder.exchanges[-1]
    good = exchange.response is not None and exchange.response.status == _OK
    published = read_keys(exchange.response.body) if exchange.response is not None and good else None
    return replace(case, jwks_uri=uri, key_set=exchange, published=published)


class _Recorder:
    """A `Fetch` that keeps what was asked and answered; without an answer it asks once more, as the service does."""

    def __init__(self, fetch: Fetch) -> None:
        """Ask nothing yet."""
        self.exchanges: list[Exchange] = []
        self._fetch = fetch

    async def __call__(self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        """GET `url`."""
        try:
            return await self._ask(url, headers, timeout, limit)
        except NoAnswerError:
            await asyncio.sleep(_PAUSE_SECONDS)
            self.exchanges.pop()
            return await self._ask(url, headers, timeout, limit)

    async def _ask(self, url: str, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        began, response, failed = time.monotonic(), None, None
        try:
            response = await self._fetch(url, headers=headers, timeout=timeout, limit=limit)
        except FetchError as error:
            failed = error
            raise
        else:
            return response
        finally:
            seconds = time.monotonic() - began
            middle = time.time() - seconds / 2
            self.exchanges.append(Exchange(url=url, middle=middle, seconds=seconds, response=response, error=failed))


def _exit_code(checks: Sequence[Check]) -> int:
    faults = {check.code for check in checks if check.finding.status is Status.FAULT}
    if "options" in faults:
        return _USAGE_ERROR
    return _UNREACHABLE if "unreachable" in faults else _FAULTY if faults else _GOOD


def _as_json(issuer: str, jwks_uri: str | None, checks: Sequence[Check]) -> str:
    report = {
        "issuer": issuer,
        "jwks_uri": jwks_uri,
        "checks": [check.as_dict() for check in checks],
        "verdict": verdict(checks),
    }
    return json.dumps(report, indent=2)


def _print(issuer: str, checks: Sequence[Check], *, colour: bool) -> None:
    print(f"{issuer}, as this machine sees it:\n")
    wide, code_wide = (max(map(len, texts)) for texts in ([s.value for s in Status], [check.code for check in checks]))
    for check in checks:
        status = check.finding.status
        word = f"{status.value:<{wide}}"
        painted = f"\x1b[{_COLOURS[status]}m{word}\x1b[0m" if colour else word
        print(f"  {painted}  {check.code:<{code_wide}}  {check.finding.found}".rstrip())
    told = [check for check in checks if check.finding.advice]
    if told:
        print("\nWhat to do:")
    for check in told:
        print(f"  {check.code}: expected {check.finding.expected}. {check.finding.advice}")
    print(f"\n{verdict(checks)}")
