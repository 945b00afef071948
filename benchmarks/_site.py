"""What the contenders trust, and the tokens that they are given."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Self

from benchmarks._kit import IssuerProcess, with_kid
from benchmarks.verify import decode_signature
from jwt_asgi.testing import TestIssuer

ISSUER = "https://issuer.test/"
AUDIENCE = "https://api.test"
SCOPE = "todos:read todos:write"
REALM = "bench"
JWKS_PATH = "/jwks.json"
METADATA_PATH = "/.well-known/openid-configuration"
REALM_JWKS_PATH = f"/realms/{REALM}/protocol/openid-connect/certs"
TOKEN_BYTES = 700
LIFETIME = 3 * 3600.0


@dataclass(frozen=True, slots=True)
class Site:
    """Whose tokens to take, and where the keys are: all that a contender is told.

    `issuer` is the tokens' `iss`; `url` is where its keys are served, over plain HTTP on loopback.
    """

    issuer: str
    audience: str
    algorithm: str
    url: str
    keys: str

    @property
    def jwks(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.keys)
        return found

    @property
    def metadata(self) -> dict[str, str]:
        return {
            "issuer": self.issuer,
            "jwks_uri": self.url + JWKS_PATH,
            "authorization_endpoint": f"{self.issuer}authorize",
            "token_endpoint": f"{self.issuer}token",
        }

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Crowd:
    """Good tokens, each with its twins: one with the signature of its neighbour, one with a kid that nobody published.

    `signed` has what the raw verification is given for each good token, signature and signing input, and
    `forged_signed` for each forged one.
    """

    good: list[bytes]
    forged: list[bytes]
    unknown: list[bytes]
    signed: list[tuple[bytes, bytes]]
    forged_signed: list[tuple[bytes, bytes]]


@contextmanager
def open_site(algorithm: str) -> Iterator[tuple[Site, TestIssuer]]:
    """Serve an issuer's keys, over HTTP from another process, wherever a contender looks for them."""
    issuer = TestIssuer(ISSUER, audience=AUDIENCE, algorithms=[algorithm])
    with IssuerProcess() as process:
        keys = json.dumps(issuer.jwks())
        site = Site(ISSUER, AUDIENCE, algorithm, process.url, keys)
        for path in (JWKS_PATH, REALM_JWKS_PATH):
            process.serve(keys.encode(), path)
        process.serve(json.dumps(site.metadata).encode(), METADATA_PATH)
        yield site, issuer


def make_crowd(issuer: TestIssuer, number: int) -> Crowd:
    """Make tokens that nobody has seen."""
    algorithm = issuer.algorithms[0]
    fill = padding_of(issuer)
    good = [make_token(issuer, secrets.token_hex(fill)[:fill]) for _ in range(number)]
    parts = [token.rpartition(".") for token in good]
    neighbours = parts[1:] + parts[:1]
    signed = [(decode_signature(one[2].encode(), algorithm), one[0].encode()) for one in parts]
    return Crowd(
        good=[token.encode() for token in good],
        forged=[f"{one[0]}.{other[2]}".encode() for one, other in zip(parts, neighbours, strict=True)],
        unknown=[with_kid(token, f"{algorithm.lower()}-{secrets.token_hex(4)}", algorithm).encode() for token in good],
        signed=signed,
        forged_signed=[(other[0], one[1]) for one, other in zip(signed, signed[1:] + signed[:1], strict=True)],
    )


def padding_of(issuer: TestIssuer) -> int:
    """How many characters a claim must have to make tokens of about 700 bytes."""
    return max(1, (TOKEN_BYTES - len(make_token(issuer, ""))) * 3 // 4)


def make_token(issuer: TestIssuer, sid: str, **options: Any) -> str:  # noqa: ANN401 - TestIssuer's own
    """Make a token of ten claims. `ver` is for those who take Entra's tokens alone."""
    claims = {"nbf": int(time.time()), "ver": "2.0", "sid": sid, **options.pop("claims", {})}
    given = {"scope": SCOPE, "expires_in": LIFETIME, "without": ["client_id"], **options}
    return issuer.token(claims=claims, **given)


def bad_tokens(issuer: TestIssuer) -> dict[str, bytes]:
    """One of each kind that everybody must refuse, but for those of a `Crowd`."""
    stranger = TestIssuer(ISSUER, audience=AUDIENCE, algorithms=issuer.algorithms)
    found = {
        "foreign key": make_token(stranger, ""),
        "expired": make_token(issuer, "", expires_in=-3600),
        "other audience": make_token(issuer, "", audience="https://other.test"),
        "other issuer": make_token(issuer, "", claims={"iss": "https://other.test/"}),
    }
    return {name: token.encode() for name, token in found.items()}
