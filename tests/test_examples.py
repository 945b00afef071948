"""The examples do what they say."""

from __future__ import annotations

import importlib
from typing import Any

import httpx
import pytest

from examples import mcp_server
from examples.plain_asgi import notes
from jwt_asgi import JWTMiddleware
from jwt_asgi.testing import TestIssuer
from tests.asgi import http
from tests.interop.mcp_parties import Person, listening, served
from tests.interop.servers import issuing


async def test_the_plain_example_reads_with_one_scope_and_writes_with_another() -> None:
    issuer = TestIssuer()
    app = JWTMiddleware(notes, **issuer.options())
    reader = issuer.token(subject="ada", scope="notes:read")

    assert (await http(app, token=reader)).json() == {"notes_of": "ada"}
    assert (await http(app, token=reader, method="POST")).status == 403
    assert (await http(app)).status == 401


async def test_the_mcp_example_keeps_the_notes_of_whoever_may_write(monkeypatch: pytest.MonkeyPatch) -> None:
    with issuing(["RS256"]) as issuer, listening() as (listener, origin):
        url = f"{origin}/mcp"
        monkeypatch.setenv("ISSUER", issuer.issuer)
        monkeypatch.setenv("URL", url)
        importlib.reload(mcp_server)

        def token(scope: str) -> str:
            return issuer.token(subject="ada", audience=url, scope=scope)

        with served(mcp_server.app, listener):
            async with Person(token=token("notes:write")).connected(url) as client:
                await client.call_tool("add_note", {"text": "milk"})
                read: Any = await client.call_tool("read_notes", {})
            call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "add_note"}}
            headers = {"Authorization": f"Bearer {token('notes:read')}"}
            refused = httpx.post(url, json=call, headers=headers, trust_env=False, verify=False)

    assert read.structured_content == {"result": ["milk"]}
    assert refused.status_code == 403
    assert 'scope="notes:write"' in refused.headers["www-authenticate"]
