"""What the door, a rule and a face cost beside an application that has none, as ratios, and how often they hop.

    python -m benchmarks.door [--seconds 30] [--json]

benchmarks/README.md says what is measured, and how. It never fails on a time: read the ratios.
"""

# FastAPI reads the annotations of the endpoints: no `from __future__ import annotations` here

import argparse
import asyncio
import gc
import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from statistics import median, quantiles
from typing import Any

from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from benchmarks._requests import a_scope, answer, cost_of, receive
from jwt_asgi import AccessToken, JWTMiddleware, Requirement, Scope, TrustedIssuer, Verifier
from jwt_asgi.fastapi import JWTBearer, require
from jwt_asgi.starlette import requires
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIApp, ASGIScope, Message, Receive, Send

RULE = Scope("todos:read")
BATCH = 50
ROUNDS_TO_WARM_UP = 3
LEAST_ROUNDS = 5
# Each group's first is what the others of the group are compared with
GROUPS = ("ASGI", "ASGI, reads the request", "Starlette", "FastAPI")


class Ready(Verifier):
    """Finds every token good, at no cost: what verifying one costs is the other benchmark's question."""

    __slots__ = ("token",)
    token: AccessToken

    async def verify(self, token: str | bytes) -> AccessToken:  # noqa: ARG002 - the verifier's own
        return self.token


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one contender: medians over the rounds, with the ratio's quartiles, and the hops to a thread a request."""

    group: str
    name: str
    microseconds: float
    ratio: float
    ratio_low: float
    ratio_high: float
    hops: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    costs = asyncio.run(measure(arguments.seconds))
    versions = {"Python": platform.python_version()} | {n: version(n) for n in ("jwt-asgi", "starlette", "fastapi")}
    if arguments.json:
        print(json.dumps({"versions": versions, "costs": [asdict(cost) for cost in costs]}, indent=2))
    else:
        print("\n".join([", ".join(f"{name} {number}" for name, number in versions.items()), "", *table(costs)]))


async def measure(seconds: float) -> list[Cost]:
    contenders = make_contenders(await ready_verifier())
    hops = Hops()
    found = {name: await hops.count(app, *name) for name, app in contenders.items()}
    gc.collect()
    gc.freeze()
    rounds: list[Mapping[tuple[str, str], float]] = []
    end = time.monotonic() + seconds
    while len(rounds) < LEAST_ROUNDS + ROUNDS_TO_WARM_UP or time.monotonic() < end:
        order = [*contenders.items()]
        first = len(rounds) % len(order)
        rounds.append(
            {
                name: await cost_of(app, [request_of(name[0]) for _ in range(BATCH)])
                for name, app in order[first:] + order[:first]
            }
        )
    return [cost(rounds[ROUNDS_TO_WARM_UP:], name, found[name]) for name in contenders]


def cost(rounds: list[Mapping[tuple[str, str], float]], name: tuple[str, str], hops: float) -> Cost:
    bare = (name[0], "bare")
    low, middle, high = quantiles(one[name] / one[bare] for one in rounds)
    return Cost(*name, median(one[name] for one in rounds), middle, low, high, hops)


class Hops:
    """Counts what comes back from a thread to the event loop that runs."""

    def __init__(self) -> None:
        self._hops = 0
        self._loop: Any = asyncio.get_running_loop()

    async def count(self, app: ASGIApp, group: str, name: str) -> float:
        """Return how many there are in a request, which must be answered with 200."""
        call, self._hops = self._loop.call_soon_threadsafe, 0
        statuses: list[int] = []

        def hop(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - the loop's own
            self._hops += 1
            return call(*arguments, **options)

        async def send(message: Message) -> None:
            statuses.extend([message["status"]] if "status" in message else [])

        self._loop.call_soon_threadsafe = hop
        for _ in range(BATCH):
            await app(request_of(group), receive, send)
        del self._loop.call_soon_threadsafe
        if statuses != [200] * BATCH:
            raise RuntimeError(f"{group}, {name}: expected 200; got {set(statuses)}")
        return self._hops / BATCH


async def ready_verifier() -> Verifier:
    issuer = TestIssuer(algorithms=["ES256"])
    trusted = TrustedIssuer(**issuer.options())
    ready = Ready(trusted)
    ready.token = await Verifier(trusted).verify(issuer.token(scope="todos:read todos:write"))
    return ready


def make_contenders(verifier: Verifier) -> dict[tuple[str, str], ASGIApp]:
    fifty: dict[str, Requirement] = {f"GET /v1/parts{at}/{{id}}": RULE for at in range(49)}
    one: dict[str, Requirement] = {"/v1/todos/{id}": RULE}

    def door(app: ASGIApp, rules: dict[str, Requirement] | None = None) -> ASGIApp:
        return JWTMiddleware(app, verifier=verifier, rules=rules)

    found: dict[tuple[str, str], ASGIApp] = {}
    for group, app in (("ASGI", answer), ("ASGI, reads the request", read_and_answer)):
        found[group, "bare"] = app
        found[group, "JWTMiddleware"] = door(app)
        found[group, "JWTMiddleware, 1 rule"] = door(app, one)
        found[group, "JWTMiddleware, 50 rules"] = door(app, one | fifty)
    found["Starlette", "bare"] = starlette(greet)
    found["Starlette", "BaseHTTPMiddleware that does nothing"] = starlette(greet, Middleware(Nothing))
    found["Starlette", "JWTMiddleware"] = starlette(greet, Middleware(JWTMiddleware, verifier=verifier))
    guarded = requires(RULE)(greet)
    found["Starlette", "JWTMiddleware and requires"] = starlette(guarded, Middleware(JWTMiddleware, verifier=verifier))
    found["FastAPI", "bare"] = fastapi()
    found["FastAPI", "async dependency that does nothing"] = fastapi(nothing)
    found["FastAPI", "plain dependency that does nothing"] = fastapi(plain_nothing)
    found["FastAPI", "JWTMiddleware"] = door(fastapi())
    found["FastAPI", "JWTMiddleware and require"] = door(fastapi(require(RULE)))
    bearer = JWTBearer(verifier=verifier)
    found["FastAPI", "JWTBearer"] = fastapi(bearer)
    found["FastAPI", "JWTBearer.require"] = fastapi(bearer.require(RULE))
    return found


def starlette(endpoint: Callable[..., Any], *middleware: Middleware) -> ASGIApp:
    return Starlette(routes=[Route("/v1/todos/{id}", endpoint)], middleware=list(middleware))


def fastapi(dependency: Callable[..., Any] | None = None) -> ASGIApp:
    app = FastAPI()
    dependencies = [] if dependency is None else [Depends(dependency)]

    @app.get("/v1/todos/{id}", dependencies=dependencies)  # noqa: FAST003 - of no use here
    async def endpoint() -> Response:
        return PlainTextResponse("ok")

    return app


async def read_and_answer(scope: ASGIScope, receive: Receive, send: Send) -> None:
    await receive()
    await answer(scope, receive, send)


async def greet(_: Request) -> Response:
    return PlainTextResponse("ok")


async def nothing() -> None:
    pass


def plain_nothing() -> None:
    pass


class Nothing(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


def request_of(group: str) -> dict[str, Any]:
    return a_scope(b"a" * 700) | {"method": "POST" if "reads" in group else "GET"}


def table(costs: list[Cost]) -> list[str]:
    columns = ("application", "what is added", "ratio to bare", "adds", "hops to a thread")
    rows = [columns, ("---", "---", "---:", "---:", "---:")]
    for group in GROUPS:
        members = [cost for cost in costs if cost.group == group]
        bare = next(member.microseconds for member in members if member.name == "bare")
        rows += [
            (
                group if one.name == "bare" else "",
                one.name,
                "1" if one.name == "bare" else f"{one.ratio:.2f} ({one.ratio_low:.2f} to {one.ratio_high:.2f})",
                f"{bare:.1f} us" if one.name == "bare" else f"+{one.microseconds - bare:.1f} us",
                f"{one.hops:g}",
            )
            for one in members
        ]
    return [f"| {' | '.join(row)} |" for row in rows]


if __name__ == "__main__":
    main()
