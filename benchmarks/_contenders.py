"""Who is measured: the bare applications, the floors, jwt-asgi and its peers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from fastapi import Depends

from benchmarks._bare import fastapi, starlette
from benchmarks._floors import DictHit, LeastVerify
from benchmarks._peers import MCP_PEERS, PEERS
from benchmarks._requests import answer, status_of
from benchmarks._site import JWKS_PATH, Site
from jwt_asgi import JWTMiddleware, Scope, TrustedIssuer, Verifier
from jwt_asgi.fastapi import JWTBearer, require
from jwt_asgi.types import ASGIApp

OURS = "jwt-asgi"
INSTALL = "pip install -r benchmarks/peers.txt"
BARE = "bare"


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody to measure.

    `group` is what it is built on; it is compared with the bare application of that. `build` makes it for a site.
    """

    name: str
    group: str
    build: Callable[[Site], ASGIApp]
    module: str = ""

    @property
    def key(self) -> str:
        return f"{self.group}: {self.name}"

    @property
    def bare(self) -> str:
        return f"{self.group}: {BARE}"

    @property
    def absent(self) -> str:
        """Why it cannot be measured here, or nothing."""
        if not self.module or find_spec(self.module) is not None:
            return ""
        return f"{self.name} is not installed: {INSTALL}"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A contender without a figure, and why."""

    name: str
    reason: str


def verifier(site: Site) -> Verifier:
    trusted = TrustedIssuer(
        issuer=site.issuer, audience=site.audience, algorithms=[site.algorithm], jwks_uri=site.url + JWKS_PATH
    )
    return Verifier(trusted)


def in_front_of(app: ASGIApp, site: Site) -> ASGIApp:
    return JWTMiddleware(app, verifier=verifier(site))


def door_and_require(site: Site) -> ASGIApp:
    app = fastapi(Depends(require(Scope("todos:read"))))
    app.add_middleware(JWTMiddleware, verifier=verifier(site))
    return app


def contenders() -> list[Contender]:
    """Return all of them, each group's bare application first."""
    return [
        Contender(BARE, "ASGI", lambda _: answer),
        Contender("floor: least verify", "ASGI", lambda site: LeastVerify(answer, site)),
        Contender("floor: dict hit", "ASGI", lambda site: DictHit(answer, site)),
        Contender(OURS, "ASGI", lambda site: in_front_of(answer, site)),
        Contender(BARE, "Starlette", lambda _: starlette()),
        Contender(OURS, "Starlette", lambda site: in_front_of(starlette(), site)),
        *(Contender(name, "Starlette", build, module) for name, module, build in MCP_PEERS),
        Contender(BARE, "FastAPI", lambda _: fastapi()),
        Contender(f"{OURS}, JWTMiddleware", "FastAPI", lambda site: in_front_of(fastapi(), site)),
        Contender(f"{OURS}, JWTMiddleware + require", "FastAPI", door_and_require),
        Contender(f"{OURS}, JWTBearer", "FastAPI", lambda site: fastapi(Depends(JWTBearer(verifier=verifier(site))))),
        *(Contender(name, "FastAPI", build, module) for name, module, build in PEERS),
    ]


def chosen(only: Collection[str] = ()) -> tuple[list[Contender], list[LeftOut]]:
    """Return those that can be measured and whose name has one of these words in it, and those that are not installed.

    The bare applications that they are compared with are always there.
    """
    wanted = [
        one
        for one in contenders()
        if one.name == BARE or not only or any(word.lower() in one.key.lower() for word in only)
    ]
    left_out = [LeftOut(one.name, one.absent) for one in wanted if one.absent]
    here = [one for one in wanted if not one.absent]
    groups = {one.group for one in here if one.name != BARE}
    return [one for one in here if one.group in groups], left_out


async def answers_of(app: ASGIApp, tokens: Mapping[str, bytes | None]) -> dict[str, int]:
    """Return the status of a request with each token."""
    return {name: await status_of(app, token) for name, token in tokens.items()}


def fault_of(contender: Contender, answers: Mapping[str, int]) -> str:
    """Say why there is no figure for a contender that answers so, or nothing: it must take `good` and nothing else."""
    if contender.name == BARE:
        return ""
    if answers["good"] != 200:
        return f"answers a good token with {answers['good']}"
    taken = [name for name, status in answers.items() if name != "good" and status < 400]
    return f"lets in: {', '.join(taken)}" if taken else ""
