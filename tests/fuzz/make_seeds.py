"""Makes the seeds of the hostile corpus in tests/attacks: `python -m tests.fuzz.make_seeds` writes them to `corpus/`.

Chance and the time of day are replaced before the corpus is imported, so that the same seeds come of it every time.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.fuzz import issuer, keys, mutation, setups
from tests.fuzz.packed import CORPUS, pack

_PACKAGE = "tests.attacks.corpus"
ORDER_EIGHT = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
"""The y of a point of Ed25519 whose multiples are eight."""
MOST_BYTES = 1_600
"""What is longer is tested by tests/attacks, and a fuzzer gets on faster with what is short."""
MOST_OF_A_ROW = 4


def without_chance() -> None:
    """Replace what the corpus takes from chance; for a process that does nothing else."""
    serial = itertools.count()
    rsa_names = iter(["rsa-1", "rsa-2", "rsa-ps", "rsa-enc", "rsa-seven", "rsa-weak", "rsa-e1", "attacker"])
    curves = iter(["ec-1", "ec-attacker", "p384", "p521", "k1"])
    edwards = iter(["ed-1", "ed-attacker"])
    replaced: list[tuple[object, str, object]] = [
        (time, "time", lambda: setups.NOW),
        (os, "urandom", lambda size: keys.spread(f"chance {next(serial)}", size)),
        (rsa, "generate_private_key", lambda **_: keys.private_key(next(rsa_names, "attacker"))),
        (ec, "generate_private_key", lambda curve: keys.private_key(next(curves, "ec-2"))),
        (ed25519.Ed25519PrivateKey, "generate", lambda: keys.private_key(next(edwards, "ed-2"))),
    ]
    for owner, name, value in replaced:
        setattr(owner, name, value)
    # Its module of signatures by itself, before the package makes its keys and signs with them
    package = ModuleType(_PACKAGE)
    package.__path__ = [str(Path(__file__).parents[1] / "attacks" / "corpus")]
    sys.modules[_PACKAGE] = package
    jws: Any = importlib.import_module(f"{_PACKAGE}.jws")
    jws.raw_sign = keys.sign_with
    del sys.modules[_PACKAGE]


def authorizations() -> Iterator[bytes]:
    """Every request of the corpus that is short enough, at the door of its profile; and what the other doors take."""
    for alg, kid in (("EdDSA", "ed-1"), ("EdDSA", "ed-2"), ("EdDSA", "ed-3"), ("ES256", "ec-1"), ("Ed25519", "ed-2")):
        for tenant in ("t1", "t2"):
            named = setups.TENANTS.replace("{tenantid}", tenant)
            key = "ec-2" if kid == "ec-1" else kid
            yield b"@2\r\nBearer " + setups.token(alg, key, head={"kid": kid}, iss=named, tid=tenant)
    for alg, kid in (("EdDSA", "ed-1"), ("ES256", "ec-1"), ("RS256", "rsa-1"), ("PS256", "rsa-2")):
        for name in b"0123":
            yield b"@" + bytes([name]) + b"\r\nBearer " + setups.token(alg, kid)
    yield b"@1\r\nBearer " + setups.token("EdDSA", "ed-1", scope="canary:write")
    counted: dict[tuple[int, str], int] = {}
    for case in importlib.import_module(_PACKAGE).CASES:
        if case.id.startswith("jwe.") and case.id != "jwe.dir":
            continue  # RSA encrypts by chance, which cannot be replaced
        for request in (*case.before, case.request):
            fields = [value for name, value in request.headers if name == b"authorization"]
            lines = [*([b"@1"] if case.profile == "RFC9068" else []), *fields]
            lines += [b"?" + request.query] if request.query else []
            row = case.row, case.profile
            counted[row] = counted.get(row, 0) + 1
            if lines and counted[row] <= MOST_OF_A_ROW and not any(b"\r\n" in field for field in fields):
                yield b"\r\n".join(lines)


def key_sets() -> Iterator[bytes]:
    """The key set of the corpus, each member of it by itself, and documents that are none."""
    keyring: Any = importlib.import_module(f"{_PACKAGE}.keyring")
    members = [*keyring.GOOD_MEMBERS, *keyring.ODD_MEMBERS]
    for member in members:
        yield json.dumps({"keys": [member]}).encode()
    small = [keys.public_jwk("ed-1", kid="ed-1"), keys.public_jwk("ec-1", kid="ec-1", use="sig", key_ops=["verify"])]
    yield json.dumps({"keys": [*small, *keyring.ODD_MEMBERS[-12:]]}).encode()
    yield json.dumps({"keys": [*small, small[0], {**small[1], "kid": None}, {**small[1], "alg": "ES384"}]}).encode()
    yield json.dumps(
        {"keys": [{**small[0], "issuer": setups.TENANTS, "d": "x"}, {**small[0], "alg": "EdDSA"}]}
    ).encode()
    yield json.dumps({"keys": [keyring.private_jwk(keys.private_key("ec-1"), kid="leaked")]}).encode()
    for ordinate in (0, 1, 2**255 - 20, 2**255 - 18, ORDER_EIGHT, ORDER_EIGHT | 1 << 255):
        x = keys.b64(ordinate.to_bytes(32, "little"))
        yield json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "anybody's"}]}).encode()
    for rubbish in (255, 256):
        yield json.dumps({"keys": [*([{}] * rubbish), small[0]]}, separators=(",", ":")).encode()
    for text in ('{"keys":[]}', '{"keys":{}}', "{}", "[]", "", '{"keys":[],"keys":[]}', '{"keys":[NaN]}', "\ufeff{}"):
        yield text.encode()
    yield b'{"keys":[{"kid":"\\ud800"},' + json.dumps(small[0]).encode() + b"]}"
    yield b"[" * 1_000


def documents() -> Iterator[bytes]:
    """Metadata with each URL that is worth a thought."""
    for uri in mutation.URLS:
        yield json.dumps({"issuer": issuer.ISSUER, "jwks_uri": uri}).encode()
    for named in (f"{issuer.ISSUER}/", "https://evil.example", None, [issuer.ISSUER]):
        yield json.dumps({"issuer": named, "jwks_uri": issuer.JWKS_URI}).encode()
    yield json.dumps({"issuer": issuer.ISSUER}).encode()
    yield b'{"issuer":"https://evil.example","issuer":"https://issuer.example/tenant","jwks_uri":"https://x/"}'
    yield b"{}"


def headers() -> Iterator[bytes]:
    """Every header with every word."""
    for status, name in ((b"304", b"cache-control"), (b"503", b"retry-after"), (b"200", b"age"), (b"304", b"etag")):
        for word in mutation.HEADER_WORDS:
            yield status + b"\r\ncache-control: max-age=600\r\n" + name + b": " + word
    yield b'304\r\netag: "a"\r\nlast-modified: Sun, 06 Nov 1994 08:49:37 GMT'
    yield b"304\r\nlast-modified: Sun, 06 Nov 1994 08:49:37 GMT"


def main() -> None:
    """Write the files."""
    without_chance()
    made = {"authorization": authorizations(), "jwks": key_sets(), "metadata": documents(), "headers": headers()}
    for name, inputs in made.items():
        (CORPUS / f"{name}.txt").write_text(pack([data for data in inputs if len(data) <= MOST_BYTES]), "ascii")


if __name__ == "__main__":
    main()
