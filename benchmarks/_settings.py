"""The verifiers that `steps.py` sends its inputs to: each has something that a step has to look at."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

from benchmarks._hostile import AUDIENCE, ISSUER, KID, NOW, OTHERS
from benchmarks._kit import InProcessFetch
from benchmarks._stall import made_up_key
from jwt_asgi import LoggingHook, Profile, TrustedIssuer, Verifier
from jwt_asgi.tenants import TrustedTenants


class Setting(NamedTuple):
    """One way to set a verifier up. Its keys were fetched, and are fresh."""

    verifier: Verifier
    hook: LoggingHook


def settings() -> list[Setting]:
    """Return verifiers that differ in what their steps have to look at."""
    keys = [made_up_key(number, padding=0) for number in range(256)]
    keys[7]["kid"] = KID
    body = json.dumps({"keys": keys}).encode()
    common: Any = {"algorithms": ["RS256"], "jwks_uri": "https://issuer.test/jwks.json", "fetch": InProcessFetch(body)}
    plain: Any = {"issuer": ISSUER, "audience": AUDIENCE, **common}
    issuers: list[TrustedIssuer | TrustedTenants] = [
        TrustedIssuer(**plain),
        TrustedIssuer(**{**plain, "audience": [AUDIENCE, *OTHERS], "max_age": 60, "max_lifetime": 60}),
        *(TrustedIssuer(**plain, profile=profile) for profile in (Profile.ZITADEL, Profile.KEYCLOAK, Profile.COGNITO)),
        TrustedTenants(
            "https://{tenantid}.test",
            tenants={"issuer", *(f"tenant-{number}" for number in range(999))},
            claim=None,
            audience=AUDIENCE,
            **common,
        ),
    ]
    hook = LoggingHook(interval=0)
    made = [Setting(Verifier(issuer, clock=lambda: NOW), hook) for issuer in issuers]
    for setting in made:
        asyncio.run(setting.verifier.start("require"))
    return made
