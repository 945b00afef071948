"""The package's own door, set up for the corpus."""

from __future__ import annotations

from collections.abc import Callable

from jwt_asgi import JWTMiddleware, Profile, TrustedIssuer, Verifier
from tests.attacks.corpus.case import ALGORITHMS, AUDIENCE, ISSUER, JWKS_URI, LEEWAY, Sign, bearer
from tests.attacks.corpus.jws import NOW
from tests.attacks.corpus.keyring import jwks_body, rs256
from tests.attacks.judge import Gate, ask, serving


class Clock:
    """The verifier's clock: it stands still, unless a test lets time pass."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.now += seconds


def closed_gate(profile: str = "GENERIC", document: Callable[[], bytes] = jwks_body) -> Gate:
    """A middleware that has fetched nothing yet."""
    gate, clock = Gate(), Clock()
    gate.sleep = clock.sleep
    issuer = TrustedIssuer(
        issuer=ISSUER,
        audience=AUDIENCE,
        algorithms=ALGORITHMS,
        jwks_uri=JWKS_URI,
        profile=getattr(Profile, profile),
        leeway=LEEWAY,
        fetch=serving(gate.fetched, document),
    )
    gate.app = JWTMiddleware(gate.inner, verifier=Verifier(issuer, clock=clock))
    return gate


async def warm_gate(profile: str = "GENERIC", document: Callable[[], bytes] = jwks_body) -> Gate:
    """A middleware that has its keys, and has accepted one token."""
    gate = closed_gate(profile, document)
    assert await ask(gate, bearer(rs256()), Sign.ACCEPT) == []
    assert len(gate.fetched) == 1
    return gate
