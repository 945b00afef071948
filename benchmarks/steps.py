"""How long a single step of verification takes at most, whatever the token, beside its signature check.

    python -m benchmarks.steps [--seconds 60] [--only WORDS] [--json]

benchmarks/README.md says what is measured, and how. It never fails on a time, and marks what takes more than 1 ms.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from benchmarks._added import lines, versions
from benchmarks._hostile import AUDIENCE, ISSUER, NOW, Ask, Token, asks, tokens
from benchmarks._requests import a_scope, answer
from benchmarks._settings import Setting, settings
from benchmarks.verify import run
from jwt_asgi import AccessToken, JWTMiddleware, Scope, Verifier
from jwt_asgi._core.bearer import check_token, find_token
from jwt_asgi._core.challenge import answer_to
from jwt_asgi._core.claims import check_before_fetch, check_claims
from jwt_asgi._core.paths import RouteRules, needed_scopes
from jwt_asgi._core.policy import check_header
from jwt_asgi._core.signature import Verified, own_keys, verify_signature
from jwt_asgi._core.token import Untrusted, decode_segment, parse_token, strict_json_object
from jwt_asgi.access import Acr, AuthorizationDetails, Claim, Client, Context, PathParam, Permission, Role, check_access
from jwt_asgi.errors import JWTASGIError
from jwt_asgi.identity import TokenCredentials, TokenUser
from jwt_asgi.instrumentation import Decision, LoggingHook
from jwt_asgi.token_cache import Known, TokenCache, digest_of

LIMIT = 1000.0
"""Microseconds."""
REPEATS = 3
SIGNATURE, WHOLE = "verify_signature", "all of verify, with the signature check"
BESIDE = (SIGNATURE, WHOLE)
ATTRIBUTES = ("claims", "header", "scopes", "roles", "permissions", "audience", "client_id")
LIBRARIES = ("jwt-asgi", "cryptography", "joserfc", "starlette")
RULES = (
    Scope("todos:read"),
    Role("admin"),
    Permission("todos:read"),
    Client("somebody", PathParam("id")),
    Claim("tenant", equals=PathParam("id")),
    Claim("aud", one_of=["a", "b", PathParam("id")]),
    Claim("x", contains="none of them"),
    Claim("x", contains=7),
    Claim("x", contains=PathParam("id")),
    Claim(["x", "a", "b"], present=True),
    Acr("gold", max_age=60),
    AuthorizationDetails("t", actions=["read", "write"], locations=["https://api.test"]),
)
ROUTES = {"/v1/*": Role("admin"), "/v1/{id}": Scope("doc:{id}:read"), "GET /v1/{a}/{id}/{b}": Client(PathParam("id"))}
EXEMPT = ("/v1/*", "/v1/a/*", "/healthz", "GET /v1/public/*")
REFUSALS = (JWTASGIError, ValueError)

Call = Callable[[], object]
Times = dict[tuple[str, int], float]
"""Microseconds, by step and the number of the input."""


class Input(NamedTuple):
    """One input, its bytes, and the steps that it gets to."""

    what: str
    size: int
    steps: Callable[[], Iterator[tuple[str, Call]]]


@dataclass(frozen=True, slots=True)
class Longest:
    """What one step took longest for: the input, its bytes, and the microseconds."""

    step: str
    what: str
    size: int
    microseconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="default: %(default)s; the first pass may take longer"
    )
    parser.add_argument("--only", default="", metavar="WORDS", help="inputs whose name has these words")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    found = measure(arguments.seconds, arguments.only)
    if arguments.json:
        print(json.dumps({"versions": versions(LIBRARIES), "steps": [asdict(one) for one in found]}, indent=2))
    else:
        print("\n".join([", ".join(map(" ".join, versions(LIBRARIES).items())), "", *table(found)]))


def measure(seconds: float, only: str = "") -> list[Longest]:
    """Time each step with each input, again and again; return the longest of each step."""
    quiet = logging.getLogger("jwt_asgi")
    kept = quiet.handlers, quiet.propagate
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - no file
        quiet.handlers, quiet.propagate = [logging.StreamHandler(nowhere)], False
        try:
            return _measure(seconds, only)
        finally:
            quiet.handlers, quiet.propagate = kept


def _measure(seconds: float, only: str) -> list[Longest]:
    made = settings()
    inputs = [Input(one.what, len(one.text), partial(steps_of, one, made)) for one in tokens() if only in one.what]
    inputs += [Input(one.what, size_of(one), partial(steps_of_ask, one)) for one in asks() if only in one.what]
    best: Times = {}
    gc.collect()
    gc.freeze()
    gc.disable()
    end = time.monotonic() + seconds
    for at, one in enumerate(inputs):
        note(best, at, one.steps())
    while time.monotonic() < end:
        # Others use the machine: what seems longest is timed again, until something else is
        for step, at in leaders(best).items():
            note(best, at, inputs[at].steps(), step)
    gc.enable()
    gc.unfreeze()
    found = [Longest(step, inputs[at].what, inputs[at].size, best[step, at]) for step, at in leaders(best).items()]
    return sorted(found, key=lambda one: (one.step in BESIDE, -one.microseconds))


def note(best: Times, at: int, steps: Iterator[tuple[str, Call]], wanted: str = "") -> None:
    """Time the steps of one input, or the one that is wanted, and keep the shortest time that each has ever taken."""
    seen: dict[str, float] = {}
    for name, call in steps:
        if wanted in {"", name}:
            # One that is there several times, as each segment is, counts with the longest of them
            seen[name] = max(seen.get(name, 0.0), timed(call))
    for name, taken in seen.items():
        best[name, at] = min(best.get((name, at), math.inf), taken)


def leaders(best: Times) -> dict[str, int]:
    """Return the input that each step has taken longest for."""
    found: dict[str, int] = {}
    for (step, at), taken in best.items():
        if step not in found or taken > best[step, found[step]]:
            found[step] = at
    return found


def timed(call: Call) -> float:
    """Return the microseconds of this thread that a call takes, and the end of what it returns."""
    taken = math.inf
    for _ in range(REPEATS):
        begun = time.thread_time_ns()
        with suppress(*REFUSALS):
            call()
        taken = min(taken, (time.thread_time_ns() - begun) / 1000)
    return taken


def outcome(call: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever it returns
    """Return what a call returns, or the refusal that it raises."""
    try:
        return call()
    except REFUSALS as error:
        return error


def steps_of(token: Token, made: list[Setting]) -> Iterator[tuple[str, Call]]:
    """Yield the steps that a token gets to, with each setting; it counts as signed where all else is well."""
    text = token.text
    yield "find_token", partial(find_token, [(b"authorization", b"Bearer " + text)])
    yield "check_token", partial(check_token, text)
    yield "digest_of", partial(digest_of, text)
    for segment in text.split(b".", 3)[:3]:
        yield "parse_token: one segment's base64url", partial(decode_segment, segment, "segment")
        raw = outcome(partial(decode_segment, segment, "segment"))
        if isinstance(raw, bytes):
            yield "parse_token: one segment's JSON", partial(strict_json_object, raw)
    yield "parse_token", partial(parse_token, text)
    untrusted = outcome(partial(parse_token, text))
    for setting in made:
        if isinstance(untrusted, Untrusted):
            yield from steps_with(setting, untrusted, text)
        else:
            yield from steps_of_refusal(untrusted, setting.hook)
        yield WHOLE, partial(verified_by, setting.verifier, text)


def verified_by(verifier: Verifier, text: bytes) -> object:
    return run(verifier.examine(text, b""))


def steps_with(setting: Setting, untrusted: Untrusted, text: bytes) -> Iterator[tuple[str, Call]]:
    """Yield the steps from the issuer on."""
    trust_for = partial(setting.verifier._trust_for, untrusted.claims.get("iss"))  # noqa: SLF001 - a step of verify
    yield "the issuer", trust_for
    trust = outcome(trust_for)
    if isinstance(trust, Exception):
        yield from steps_of_refusal(trust, setting.hook)
        return
    policy = trust.policy
    judgements: list[tuple[str, Call]] = [("check_header", partial(check_header, untrusted, policy))]
    for kid in (untrusted.kid, None):
        yield "lookup", partial(trust.keys.lookup, kid, untrusted.alg)
        keys = trust.keys.lookup(kid, untrusted.alg) or ()
        judgements.append(("own_keys", partial(own_keys, keys, untrusted, replace(policy, key_issuer=True))))
        judgements.append((SIGNATURE, partial(verify_signature, untrusted, keys)))
    verified = Verified(untrusted.header, untrusted.claims, trust.keys.lookup(None, "RS256")[0])
    judgements.append(("check_before_fetch", partial(check_before_fetch, untrusted, policy, NOW)))
    judgements.append(("check_claims", partial(check_claims, verified, policy, NOW)))
    for name, judge in judgements:
        yield name, judge
        error = outcome(judge)
        if isinstance(error, Exception):
            yield from steps_of_refusal(error, setting.hook)
    if isinstance(outcome(partial(check_claims, verified, policy, NOW)), Verified):
        make = partial(AccessToken, verified, policy.profile, leeway=policy.leeway, max_age=policy.max_age)
        known = Known(make(), policy, untrusted.kid, untrusted.alg, (), 0, NOW)
        yield from steps_of_good(make, known, text, setting.hook)


def steps_of_good(
    make: Callable[[], AccessToken], known: Known, text: bytes, hook: LoggingHook
) -> Iterator[tuple[str, Call]]:
    """Yield what is done with a good token: what it says is read once, and kept; rules are asked of what was read."""
    yield "AccessToken", make
    for name in ATTRIBUTES:
        yield f"AccessToken.{name}", partial(read, make, name)
    token = make()
    for name in ATTRIBUTES:
        getattr(token, name)
    yield "repr of the token", token.__repr__
    yield "request.user", lambda: TokenUser(token).display_name
    yield "request.auth.scopes", lambda: TokenCredentials(token).scopes
    cache = TokenCache(64)
    for number in range(64):
        cache.keep(bytes([number]), 1, known)
    yield "TokenCache.keep", lambda: cache.keep(digest_of(b"1"), len(text), known)
    yield "TokenCache.find", lambda: cache.find(digest_of(b"1"))
    context = Context(now=NOW, path_params={"id": "7"})
    for rule in RULES:
        name = f"the rule {type(rule).__name__}"
        yield name, partial(check_access, token, rule, context=context)
        error = outcome(partial(check_access, token, rule, context=context))
        if isinstance(error, Exception):
            yield from steps_of_refusal(error, hook, token)


def read(make: Callable[[], AccessToken], name: str) -> object:
    """Read an attribute for the first time."""
    return getattr(make(), name)


def steps_of_refusal(
    error: Exception, hook: LoggingHook, token: AccessToken | None = None
) -> Iterator[tuple[str, Call]]:
    """Yield what is done with a refusal."""
    if not isinstance(error, JWTASGIError):
        raise TypeError("expected a refusal") from error
    decide = partial(Decision.of_error, error, token=token, kind="http", seconds=0.0)
    yield "answer_to", partial(answer_to, error, "todos")
    yield "Decision.of_error", decide
    yield "LoggingHook", partial(hook, decide())


def steps_of_ask(ask: Ask) -> Iterator[tuple[str, Call]]:
    """Yield the steps that do not look into a token."""
    scope = a_scope(None) | {"headers": ask.headers, "query_string": ask.query, "path": ask.path}
    scope["raw_path"] = ask.path.encode()
    yield "find_token", partial(find_token, ask.headers, ask.query)
    found = outcome(partial(find_token, ask.headers, ask.query))
    if isinstance(found, bytes):
        yield "check_token", partial(check_token, found)
        yield "digest_of", partial(digest_of, found)
    door = JWTMiddleware(answer, issuer=ISSUER, audience=AUDIENCE, algorithms=["RS256"], exempt=EXEMPT)
    rules = RouteRules(ROUTES)
    yield "is_exempt", partial(door.is_exempt, scope)
    yield "is_exempt", partial(door.is_exempt, scope | {"method": "OPTIONS"})
    yield "RouteRules.covering", partial(rules.covering, scope)
    covering = rules.covering(scope)
    context = Context(
        now=NOW, path=ask.path, path_params=dict.fromkeys(("a", "b", "id"), ask.path.rpartition("/v1/")[2])
    )
    for rule in covering:
        refuse = partial(check_access, None, rule.requirement, context=context)
        yield f"the rule {type(rule.requirement).__name__}", refuse
        yield from steps_of_refusal(outcome(refuse), LoggingHook(interval=0))
    yield "needed_scopes", partial(needed_scopes, covering)


def size_of(ask: Ask) -> int:
    return sum(len(name) + len(value) for name, value in ask.headers) + len(ask.query) + len(ask.path)


def table(found: list[Longest]) -> list[str]:
    rows = [("step", "longest", "for", "bytes", "a byte", ""), ("---", "---:", "---", "---:", "---:", "---")]
    rows += [
        (
            one.step,
            f"{one.microseconds:,.1f} us",
            one.what,
            f"{one.size:,}",
            f"{one.microseconds / max(one.size, 1):.4f} us",
            "beside" if one.step in BESIDE else "over 1 ms" if one.microseconds > LIMIT else "",
        )
        for one in found
    ]
    return lines(rows)


if __name__ == "__main__":
    main()
