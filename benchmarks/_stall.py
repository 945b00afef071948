"""How long a fetch stops the event loop. A process of its own for each case, since the first fetch differs."""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64encode
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks._kit import Figure, IssuerProcess, hoped, run_fresh, told
from jwt_asgi.testing import TestIssuer
from tests.keys.certificates import Authority

PROCESSES = 3
MILLISECONDS = 10.0
CASES = {
    "small": "2 RSA keys, http",
    "tls": "2 RSA keys, https",
    "many": "256 RSA keys, http",
    "large": "256 RSA keys, 512 KiB, http",
}


def stall() -> list[Figure]:
    """The longest stop of the loop by a fetch, in fresh processes."""
    figures: list[Figure] = []
    with TemporaryDirectory() as directory:
        for case, words in CASES.items():
            process, token = serving(case, Path(directory))
            with process:
                root = str(Path(directory) / "root.pem") if case == "tls" else "-"
                runs = [run_fresh("_ticker", process.url, token, root) for _ in range(PROCESSES)]
            for name in ("first", "later"):
                wall, cpu = (median(run[name][kind] for run in runs) for kind in ("wall", "cpu"))
                figures += [
                    hoped(f"{words}: longest stall, {name} fetch", cpu, at_most=MILLISECONDS, unit="ms"),
                    told(f"{words}: the same by the wall clock", wall, "ms"),
                ]
    return figures


def serving(case: str, directory: Path) -> tuple[IssuerProcess, str]:
    certificate = None
    if case == "tls":
        Authority(directory).serving("127.0.0.1")
        certificate = next(directory.glob("127*.pem"))
    process = IssuerProcess(certificate)
    kit = TestIssuer(process.url)
    kit.rotate()
    keys = kit.jwks()["keys"]
    if case in {"many", "large"}:
        keys += [made_up_key(number, padding=1400 if case == "large" else 0) for number in range(256 - len(keys))]
    # Two sets in turns, so that each fetch brings one that has to be read
    process.serve(json.dumps({"keys": keys}).encode(), "/jwks.json")
    process.serve(json.dumps({"keys": keys[::-1]}).encode(), "/other.json")
    return process, kit.token(expires_in=3600)


def made_up_key(number: int, *, padding: int) -> dict[str, object]:
    """A public key that nobody can sign with: an odd number of the right size is enough to import."""
    modulus = secrets.randbits(2048) | 1 << 2047 | 1
    n = urlsafe_b64encode(modulus.to_bytes(256, "big")).rstrip(b"=").decode()
    key: dict[str, object] = {"kty": "RSA", "n": n, "e": "AQAB", "use": "sig", "alg": "RS256", "kid": f"key-{number}"}
    return key | ({"x5c": [secrets.token_hex(padding // 2)]} if padding else {})
