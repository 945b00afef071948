"""A running oidc-provider, and what has to be installed for one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import httpx

from tests.interop import node

ALGORITHMS = ("RS256", "ES256", "Ed25519", "EdDSA")
AUDIENCE = "https://api.example.com"
OTHER_AUDIENCE = "https://other.example.com"
CLIENT_ID = "todo-client"
SCOPE = "todos:read todos:write"

_CLIENT_SECRET = "todo-client-secret"
_START_SECONDS = 30
_ANSWER_SECONDS = 30
_STOP_SECONDS = 10


class IdentityProvider:
    """An oidc-provider that listens; its keys change only when told to."""

    def __init__(self, issuer: str, algorithm: str, client: httpx.Client) -> None:
        """Keep where it is and what it signs with."""
        self.issuer = issuer
        self.algorithm = algorithm
        self._client = client

    def metadata(self, well_known: str) -> httpx.Response:
        """GET a metadata document, as `openid-configuration`."""
        return self._client.get(f"/.well-known/{well_known}")

    def token(self, audience: str = AUDIENCE, scope: str = SCOPE) -> str:
        """Get an access token by the client credentials grant with a resource indicator (RFC 8707)."""
        form = {"grant_type": "client_credentials", "resource": audience, "scope": scope}
        answer = self._client.post("/token", data=form, auth=(CLIENT_ID, _CLIENT_SECRET))
        token = answer.raise_for_status().json()["access_token"]
        assert isinstance(token, str)
        return token

    def rotate(self, *, keep: bool = True) -> None:
        """Sign with a new key from now on; the old one stays in the published set, or is dropped."""
        self._client.post("/control/rotate", params={"keep": int(keep)}).raise_for_status()

    def jwks_gets(self) -> int:
        """How often the key set has been fetched so far."""
        count = self._client.get("/control/counts").raise_for_status().json()["jwks"]
        assert isinstance(count, int)
        return count


@contextmanager
def running(algorithm: str, state: Path | None = None) -> Iterator[IdentityProvider]:
    """Start an oidc-provider that signs access tokens with `algorithm`; it ends with the block, at once.

    With a file for its state, one that is started again with the same file has the same address and the same keys.
    """
    command = node.command("oidc_provider/provider.mjs", algorithm, *([] if state is None else [str(state)]))
    # It exits when its stdin closes, so it does not outlive this process either. Its stderr goes where pytest's does.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            issuer = _issuer_of(process)
            # it closes idle connections after 5 s, so a client that kept them as long could lose that race
            limits = httpx.Limits(keepalive_expiry=2)
            with httpx.Client(base_url=issuer, timeout=_ANSWER_SECONDS, limits=limits, trust_env=False) as client:
                yield IdentityProvider(issuer, algorithm, client)
        finally:
            _stop(process)


def _issuer_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    too_long = Timer(_START_SECONDS, process.kill)
    too_long.start()
    try:
        line = process.stdout.readline()
    finally:
        too_long.cancel()
    assert line, f"oidc-provider did not start within {_START_SECONDS} seconds, or failed: see stderr"
    issuer = json.loads(line)["issuer"]
    assert isinstance(issuer, str)
    return issuer


def _stop(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
