"""Applications as they are in production: an issuer by its real name, the default HTTP client, an answer of JSON."""

from __future__ import annotations

import json
from typing import Any

from jwt_asgi import JWTMiddleware
from jwt_asgi.types import ASGIScope, Receive, Send

ISSUER = "https://auth.example.com/"
AUDIENCE = "https://todos.example.com"
OPTIONS: Any = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["ES256"]}


async def tell(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Answer with what is known of the token."""
    token = scope["jwt"]
    told = {
        "subject": token.subject,
        "client": token.client_id,
        "audience": list(token.audience),
        "scopes": sorted(token.scopes),
        "roles": sorted(token.roles),
        "claims": token.claims,
        "type": token.header.get("typ"),
    }
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})


def door(**options: Any) -> JWTMiddleware:
    """An application behind the middleware."""
    return JWTMiddleware(tell, **{**OPTIONS, **options})
