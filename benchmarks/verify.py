"""What the first sight of a token costs, as a ratio to its signature check alone.

    python benchmarks/verify.py [--algorithms RS256,ES256] [--seconds 10] [--json]

benchmarks/README.md says what is measured, and how. It never fails on a time: read the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import math
import platform
import secrets
import time
import warnings
from base64 import urlsafe_b64decode
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import pairwise
from statistics import median, quantiles
from typing import Any

import joserfc.errors
import joserfc.jwt
import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key
from joserfc.jws import JWSRegistry

from jwt_asgi import TokenError, TrustedIssuer, Verifier
from jwt_asgi._core.freshness import KeyCaching
from jwt_asgi.testing import TestIssuer

ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519")
TOKEN_BYTES = 700
BATCH = 64
ROUNDS_TO_WARM_UP = 5
LEAST_ROUNDS = 20

RAW, RAW_BAD, FLOOR = "raw", "raw, bad signature", "floor"
OURS, OURS_BAD = "jwt-asgi", "jwt-asgi, bad signature"
JOSERFC, PYJWT = "joserfc", "PyJWT"
LIMITS = {FLOOR: RAW, OURS: RAW, JOSERFC: RAW, PYJWT: RAW, OURS_BAD: RAW_BAD}

HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
# Half a signature: R or S of RFC 7518 section 3.4
CURVE_BYTES = {"ES256": 32, "ES384": 48, "ES512": 66, "ES256K": 32}


@dataclass(frozen=True, slots=True)
class Sample:
    """A good token, its twin with a bad signature, and what the raw verification of each is given."""

    token: bytes
    forged_token: bytes
    signing_input: bytes
    signature: bytes
    forged_signature: bytes


Contender = Callable[[Sample], object]


@dataclass(frozen=True, slots=True)
class Cost:
    """The median microseconds, and the ratio to the limit with its quartiles: all over the rounds."""

    microseconds: float
    ratio: float
    ratio_low: float
    ratio_high: float


@dataclass(frozen=True, slots=True)
class Result:
    """The costs under one algorithm; a contender that does not know the algorithm is left out."""

    algorithm: str
    rounds: int
    costs: dict[str, Cost]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithms", default=",".join(ALGORITHMS), help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each algorithm; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    # joserfc warns at each use of `EdDSA` (RFC 9864 deprecates the name)
    warnings.simplefilter("ignore", joserfc.errors.SecurityWarning)
    results = [measure(algorithm, arguments.seconds) for algorithm in arguments.algorithms.split(",")]
    if arguments.json:
        print(json.dumps({"versions": versions(), "results": [asdict(result) for result in results]}, indent=2))
    else:
        print("\n".join([", ".join(f"{name} {number}" for name, number in versions().items()), "", *table(results)]))


def versions() -> dict[str, str]:
    libraries = ("jwt-asgi", "cryptography", "joserfc", "PyJWT")
    return {"Python": platform.python_version()} | {name: version(name) for name in libraries}


def measure(algorithm: str, seconds: float) -> Result:
    issuer = TestIssuer(algorithms=[algorithm])
    contenders = make_contenders(issuer, algorithm)
    gc.collect()
    gc.freeze()
    for _ in range(ROUNDS_TO_WARM_UP):
        run_round(list(contenders.items()), make_samples(issuer, algorithm))
    rounds: list[dict[str, float]] = []
    end = time.monotonic() + seconds
    while len(rounds) < LEAST_ROUNDS or time.monotonic() < end:
        samples = make_samples(issuer, algorithm)
        first = len(rounds) % len(contenders)
        order = [*contenders.items()]
        rounds.append(run_round(order[first:] + order[:first], samples))
    return Result(algorithm, len(rounds), {name: cost(rounds, name) for name in contenders})


def run_round(contenders: Sequence[tuple[str, Contender]], samples: Sequence[Sample]) -> dict[str, float]:
    """Let each contender verify all samples once; return its microseconds a token."""
    taken: dict[str, float] = {}
    gc.disable()
    for name, contender in contenders:
        # Of this thread alone: others who use the machine would hit the longer batches more often
        begun = time.thread_time_ns()
        for sample in samples:
            contender(sample)
        taken[name] = (time.thread_time_ns() - begun) / 1000 / len(samples)
    gc.enable()
    return taken


def cost(rounds: Sequence[dict[str, float]], name: str) -> Cost:
    limit = LIMITS.get(name, name)
    low, middle, high = quantiles(one[name] / one[limit] for one in rounds)
    return Cost(median(one[name] for one in rounds), middle, low, high)


def make_samples(issuer: TestIssuer, algorithm: str) -> list[Sample]:
    """Make tokens that nobody has seen, so that no cache of verified tokens can know one."""
    tokens = [make_token(issuer) for _ in range(BATCH + 1)]
    return [make_sample(token, other, algorithm) for token, other in pairwise(tokens)]


def make_token(issuer: TestIssuer) -> bytes:
    claims = {"nbf": int(time.time()), "sid": ""}
    bare = issuer.token(scope="todos:read todos:write", claims=claims)
    claims["sid"] = secrets.token_hex(TOKEN_BYTES)[: max(0, TOKEN_BYTES - len(bare)) * 3 // 4]
    return issuer.token(scope="todos:read todos:write", claims=claims).encode()


def make_sample(token: bytes, other: bytes, algorithm: str) -> Sample:
    signing_input, _, signature = token.rpartition(b".")
    forged = other.rpartition(b".")[2]
    return Sample(
        token=token,
        forged_token=signing_input + b"." + forged,
        signing_input=signing_input,
        signature=decode_signature(signature, algorithm),
        forged_signature=decode_signature(forged, algorithm),
    )


def decode_signature(segment: bytes, algorithm: str) -> bytes:
    """Return the signature as `cryptography` takes it: for ECDSA in DER."""
    raw = urlsafe_b64decode(segment + b"==")
    size = CURVE_BYTES.get(algorithm)
    if size is None:
        return raw
    return encode_dss_signature(int.from_bytes(raw[:size], "big"), int.from_bytes(raw[size:], "big"))


def make_contenders(issuer: TestIssuer, algorithm: str) -> dict[str, Contender]:
    key = import_key(issuer.jwks()["keys"][0])
    if not isinstance(key, (RSAKey, ECKey, OKPKey)):
        raise TypeError(f"expected a public key for {algorithm}; got {key.key_type}")
    raw, ours = raw_verify(key.public_key, algorithm), jwt_asgi_verify(issuer)
    contenders = {
        RAW: lambda sample: raw(sample.signature, sample.signing_input),
        FLOOR: least_verify(issuer, raw, algorithm),
        OURS: lambda sample: ours(sample.token),
        JOSERFC: joserfc_decode(issuer, key, algorithm),
        RAW_BAD: refused(lambda sample: raw(sample.forged_signature, sample.signing_input), InvalidSignature),
        OURS_BAD: refused(lambda sample: ours(sample.forged_token), TokenError),
    }
    if algorithm in jwt.PyJWS().get_algorithms():
        contenders[PYJWT] = pyjwt_decode(issuer, key.public_key, algorithm)
    return contenders


def raw_verify(key: object, algorithm: str) -> Callable[[bytes, bytes], None]:
    """Return `cryptography`'s verification, of a signature and the signing input."""
    if isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
        return key.verify
    digest = HASHES[algorithm[2:5]]
    if isinstance(key, ec.EllipticCurvePublicKey):
        ecdsa = ec.ECDSA(digest)
        return lambda signature, signing_input: key.verify(signature, signing_input, ecdsa)
    if not isinstance(key, rsa.RSAPublicKey):
        raise TypeError(f"expected a public key for {algorithm}; got {key!r}")
    pad = (
        padding.PSS(padding.MGF1(digest), salt_length=digest.digest_size)
        if algorithm.startswith("PS")
        else padding.PKCS1v15()
    )
    return lambda signature, signing_input: key.verify(signature, signing_input, pad, digest)


def least_verify(issuer: TestIssuer, raw: Callable[[bytes, bytes], None], algorithm: str) -> Contender:
    """Return the least that is still right for a well-meant token: no strictness, no reasons, one key."""

    def verify(sample: Sample) -> object:
        header, payload, signature = sample.token.split(b".")
        if json.loads(urlsafe_b64decode(header + b"=="))["alg"] != algorithm:
            raise ValueError
        raw(decode_signature(signature, algorithm), header + b"." + payload)
        claims = json.loads(urlsafe_b64decode(payload + b"=="))
        now = time.time()
        if (
            claims["iss"] != issuer.issuer
            or claims["aud"] != issuer.audience
            or not claims["nbf"] <= now < claims["exp"]
        ):
            raise ValueError
        return claims

    return verify


def jwt_asgi_verify(issuer: TestIssuer) -> Callable[[bytes], object]:
    """Return the whole of jwt-asgi's verification. The keys are fetched, and fresh for the rest of the run."""
    day = 86_400.0
    caching = KeyCaching(ttl=day, least_ttl=day, most_ttl=day)
    verifier = Verifier(TrustedIssuer(**issuer.options(), key_caching=caching))
    asyncio.run(verifier.verify(issuer.token()))
    return lambda token: run(verifier.verify(token))


def run(coroutine: Coroutine[object, None, object]) -> object:
    """Run a coroutine that waits for nothing, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise RuntimeError("expected verify not to wait, since the keys are at hand")


def joserfc_decode(issuer: TestIssuer, key: RSAKey | ECKey | OKPKey, algorithm: str) -> Contender:
    registry = JWSRegistry(algorithms=[algorithm])
    claims_registry = joserfc.jwt.JWTClaimsRegistry(
        leeway=30,
        iss={"essential": True, "value": issuer.issuer},
        aud={"essential": True, "value": issuer.audience},
        exp={"essential": True},
    )

    def decode(sample: Sample) -> object:
        token = joserfc.jwt.decode(sample.token, key, registry=registry)
        claims_registry.validate(token.claims)
        return token

    return decode


def pyjwt_decode(issuer: TestIssuer, key: Any, algorithm: str) -> Contender:  # noqa: ANN401 - PyJWT names no such type
    decode, algorithms = jwt.PyJWT({"require": ["exp", "iss", "aud"]}).decode, [algorithm]
    return lambda sample: decode(
        sample.token, key, algorithms=algorithms, issuer=issuer.issuer, audience=issuer.audience, leeway=30
    )


def refused(contender: Contender, error: type[Exception]) -> Contender:
    def refuse(sample: Sample) -> object:
        try:
            contender(sample)
        except error as refusal:
            return refusal
        raise RuntimeError("expected a bad signature to be refused")

    return refuse


def table(results: Sequence[Result]) -> list[str]:
    columns = (RAW, FLOOR, OURS, JOSERFC, PYJWT, RAW_BAD, OURS_BAD)
    rows = [[result.algorithm, *(cell(result.costs.get(name), name) for name in columns)] for result in results]
    return [f"| {' | '.join(row)} |" for row in (("algorithm", *columns), ("---", *["---:"] * len(columns)), *rows)]


def cell(found: Cost | None, name: str) -> str:
    if found is None:
        return "-"
    microseconds = f"{found.microseconds:.1f} us"
    if name not in LIMITS or math.isnan(found.ratio):
        return microseconds
    return f"{found.ratio:.2f} ({found.ratio_low:.2f} to {found.ratio_high:.2f}), {microseconds}"


if __name__ == "__main__":
    main()
