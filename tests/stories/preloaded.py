"""An application that has its keys before its server forks: made, and warmed, where it is imported."""

from __future__ import annotations

import asyncio
import json
import os

from jwt_asgi import JWTMiddleware, KeyCaching
from jwt_asgi.types import ASGIScope, Receive, Send


async def tell(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Say which process this is, and how often it has asked for keys."""
    if scope["type"] == "lifespan":
        assert (await receive())["type"] == "lifespan.startup"
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        return await send({"type": "lifespan.shutdown.complete"})
    (status,) = app.verifier.status().values()
    body = json.dumps({"pid": os.getpid(), "loaded by": LOADED_BY, "fetches": status.counters["fetches"]})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    return await send({"type": "http.response.body", "body": body.encode()})


LOADED_BY = os.getpid()
app = JWTMiddleware(
    tell,
    issuer=os.environ["TEST_ISSUER"],
    audience="https://api.test",
    algorithms=["ES256"],
    key_caching=KeyCaching(ttl=1.0, least_ttl=1.0, most_ttl=1.0),
)
asyncio.run(app.verifier.start("require"))
