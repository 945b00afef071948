"""`jwt-asgi explain`: every check on one token, in order, and the reason code."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import TextIOWrapper
from typing import Any

from jwt_asgi._core.claims import failed_claims, named_audience
from jwt_asgi._core.policy import Policy, check_header
from jwt_asgi._core.signature import own_keys, verify_signature
from jwt_asgi._core.token import Untrusted, parse_token
from jwt_asgi._keys.discovery import slash_hint
from jwt_asgi._keys.static import StaticKeys
from jwt_asgi.cli.advice import ADVICE
from jwt_asgi.cli.options import https_fetch
from jwt_asgi.errors import ClaimFailure, JWTASGIError, KeysUnavailable, Reason, TokenError
from jwt_asgi.issuers import TrustedIssuer
from jwt_asgi.profiles import PROFILES
from jwt_asgi.verifier import Verifier

__all__ = ["run_explain"]

_ACCEPTED, _REFUSED, _NO_KEYS = 0, 1, 3
_DATES = ("exp", "nbf", "iat")
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class _Check:
    """One line of the answer; `reason` is None where the check passed, or could not be made."""

    name: str
    passed: bool
    text: str
    reason: Reason | None = None

    def __str__(self) -> str:
        code = f"   {self.reason.value}" if self.reason else ""
        return f"  {'ok  ' if self.passed else 'FAIL'}  {self.name:<10}  {self.text}{code}"


def run_explain(options: argparse.Namespace) -> int:
    """Explain the token that the options name."""
    issuer = TrustedIssuer(
        issuer=options.issuer,
        audience=options.audience,
        algorithms=options.alg,
        jwks_uri=options.jwks_uri,
        keys=StaticKeys.from_file(options.jwks) if options.jwks else None,
        profile=PROFILES[options.profile],
        leeway=options.leeway,
        fetch=None if options.jwks else https_fetch(options.ca_file),
        allow_http=options.allow_http,
    )
    if options.token == "-" and isinstance(sys.stdin, TextIOWrapper):  # noqa: S105 - the sign for standard input
        # What cannot be read is no token, and is told so
        sys.stdin.reconfigure(errors="replace")
    text = sys.stdin.read() if options.token == "-" else options.token  # noqa: S105 - likewise
    token = text.strip().removeprefix("Bearer ").strip()
    return asyncio.run(_explain(token, issuer, time.time()))


async def _explain(token: str, issuer: TrustedIssuer, now: float) -> int:
    try:
        untrusted = parse_token(token)
    except TokenError as error:
        print(_Check("shape", passed=False, text=error.detail or error.reason.summary, reason=error.reason))
        return _conclude(error)
    _show(untrusted)
    print("\nThe checks, in order:")
    print(_Check("shape", passed=True, text="three segments of strict base64url, strict JSON"))
    claim_checks = list(_claim_checks(untrusted, issuer.policy, now))
    for check in (claim_checks[0], *_header_checks(untrusted, issuer.policy)):
        print(check)
    print(await _key_check(untrusted, issuer))
    for check in claim_checks[1:]:
        print(check)
    return await _verdict(Verifier(issuer, clock=lambda: now).verify, token)


async def _verdict(verify: Callable[[str], Awaitable[object]], token: str) -> int:
    """Let the verifier itself decide: what is printed above only explains it."""
    try:
        await verify(token)
    except JWTASGIError as error:
        return _conclude(error)
    print("\nAccepted: the checks above have passed, so what the token says is verified.")
    return _ACCEPTED


def _conclude(error: JWTASGIError) -> int:
    print(f"\nRefused: {error.reason.value}, {error.detail or error.reason.summary}")
    print(f"What to do: {ADVICE[error.reason]}")
    return _NO_KEYS if isinstance(error, KeysUnavailable) else _REFUSED


def _show(untrusted: Untrusted) -> None:
    print("What the token says. This is decoded, not verified: anyone can write it. The token was sent nowhere.\n")
    print(f"  header  {json.dumps(untrusted.header)}")
    for name, value in untrusted.claims.items():
        print(f"  {_printable(name)}: {_readable(name, value)}")


def _header_checks(untrusted: Untrusted, policy: Policy) -> Iterator[_Check]:
    """`alg` and `typ` apart, though the verifier stops at the first."""
    allowed = ", ".join(sorted(policy.algorithms))
    types = ", ".join(sorted(name or "absent" for name in policy.profile.types))
    failed: set[Reason] = set()
    for candidate in (untrusted, untrusted._replace(alg=next(iter(policy.algorithms)))):
        try:
            check_header(candidate, policy)
        except TokenError as error:
            failed.add(error.reason)
    rows = (
        ("alg", Reason.ALGORITHM_NOT_ALLOWED, untrusted.alg, allowed),
        ("typ", Reason.TYPE_NOT_ACCEPTED, untrusted.typ or "absent", types),
    )
    for name, reason, actual, expected in rows:
        if reason in failed:
            yield _Check(
                name, passed=False, text=f"expected one of {expected}; it is {_printable(actual)}", reason=reason
            )
        else:
            yield _Check(name, passed=True, text=_printable(actual))


async def _key_check(untrusted: Untrusted, issuer: TrustedIssuer) -> _Check:
    kid = f"kid {_printable(untrusted.kid)}" if untrusted.kid is not None else "no kid"
    if untrusted.alg not in issuer.policy.algorithms:
        return _Check("signature", passed=False, text="not checked, as the algorithm is not allowed")
    try:
        keys = await issuer.keys.find(untrusted.kid, untrusted.alg)
        key = verify_signature(untrusted, own_keys(keys, untrusted, issuer.policy)).key
    except JWTASGIError as error:
        text = f"{kid}: {error.detail or error.reason.summary}"
        return _Check("signature", passed=False, text=text, reason=error.reason)
    return _Check("signature", passed=True, text=f"verifies with {kid}, {key.kty}")


def _claim_checks(untrusted: Untrusted, policy: Policy, now: float) -> Iterator[_Check]:
    failures: dict[str, list[ClaimFailure]] = {}
    for failure in failed_claims(untrusted.claims, policy, now):
        failures.setdefault(failure.claim, []).append(failure)
    profile = policy.profile
    audience, _ = named_audience(untrusted.claims, profile)
    kinds = (name for name, _ in profile.kinds)
    watched = ("iss", audience, "cnf", *kinds, *profile.required, "nbf", "iat", "exp")
    for name in dict.fromkeys((*watched, *failures)):
        actual = _readable(name, untrusted.claims[name]) if name in untrusted.claims else "absent"
        hint = slash_hint(untrusted.claims.get("iss"), policy.issuer) if name == "iss" else ""
        for failure in failures.get(name, ()):
            text = f"{failure.expected}; it is {actual}{hint}"
            yield _Check(name, passed=False, text=text, reason=failure.reason)
        if name not in failures:
            yield _Check(name, passed=True, text=actual)


def _readable(name: str, value: Any) -> str:  # noqa: ANN401 - any JSON
    text = _printable(value)
    if name in _DATES and type(value) in {int, float}:
        try:
            return f"{text} ({datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC)"
        except (ValueError, OverflowError, OSError):
            return text
    return text


def _printable(value: Any) -> str:  # noqa: ANN401 - any JSON
    """ASCII alone, so that a token cannot send control sequences to the terminal."""
    text = json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
