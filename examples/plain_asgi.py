"""A protected API without any framework: the notes of whoever the token is for.

Run it with: ISSUER=https://auth.example.com/ AUDIENCE=https://api.example.com uvicorn examples.plain_asgi:app
"""

from __future__ import annotations

import json
import os

from jwt_asgi import JWTMiddleware, Scope, check_access
from jwt_asgi.types import ASGIScope, Receive, Send


async def notes(scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Answer every path; reading needs one scope, everything else another."""
    assert scope["type"] == "http"
    token = check_access(scope["jwt"], Scope("notes:read" if scope["method"] in {"GET", "HEAD"} else "notes:write"))
    body = json.dumps({"notes_of": token.subject}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


app = JWTMiddleware(
    notes,
    issuer=os.environ.get("ISSUER", "https://auth.example.com/"),
    audience=os.environ.get("AUDIENCE", "https://api.example.com"),
    algorithms=["RS256"],
)
