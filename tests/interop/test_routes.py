"""`jwt-asgi routes` tells the truth of real applications: a package index and an MCP server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jwt_asgi import JWTMiddleware
from jwt_asgi.cli.audit import Audit, audit
from jwt_asgi.cli.audit_probe import answer_of, probe, started
from jwt_asgi.testing import TestIssuer
from tests.missing import installed

OPTIONS: Any = TestIssuer().options()


def table(found: Audit) -> list[str]:
    return [f"{row.title} {row.state}" for row in found.rows]


@pytest.fixture
def index(tmp_path: Path) -> Any:
    """A package index with nothing in it."""
    server = installed("simple_repository_server.__main__", "simple-repository-server")
    return server.create_app([str(tmp_path)])


async def test_the_routes_of_a_package_index_are_those_of_its_source_and_are_open(index: Any) -> None:
    async with started(index):
        found = audit(index)
        assert table(found) == [
            "GET /simple/ unprotected",
            "GET /simple/{project_name}/ unprotected",
            "GET /resources/{project_name}/{resource_name} unprotected",
        ]
        answers = [await answer_of(index, row, path) for row in found.rows for path in row.paths]
        assert answers == [200, 404, "PackageNotFoundError"]


async def test_the_door_around_a_package_index_is_what_its_table_says(index: Any) -> None:
    app = JWTMiddleware(index, exempt=["/simple/*"], **OPTIONS)
    async with started(app):
        found = audit(app)
        assert table(found) == [
            "GET /simple/ protected",
            "GET /simple/{project_name}/ unprotected",
            "GET /resources/{project_name}/{resource_name} protected",
        ]
        assert await probe(app, found) == found
        answers = [await answer_of(app, row, path) for row in found.rows for path in row.paths]
        assert answers == [401, 404, 401]


async def test_the_routes_of_an_mcp_server_are_protected_by_the_door() -> None:
    server = installed("mcp.server.mcpserver", "mcp").MCPServer("notes")
    assert table(audit(server.streamable_http_app())) == ["* /mcp unprotected"]
    app = JWTMiddleware(server.streamable_http_app(), resource="https://api.example.com/mcp", **OPTIONS)
    found = audit(app)
    assert table(found) == ["GET /.well-known/oauth-protected-resource/mcp public", "* /mcp protected"]
    assert await probe(app, found) == found
    assert found.good


async def test_the_authentication_of_the_sdk_counts_where_our_verifier_is_in_it_and_is_not_judged_elsewhere() -> None:
    settings = installed("mcp.server.auth.settings", "mcp").AuthSettings(
        issuer_url="https://issuer.example",
        resource_server_url="https://api.example.com/mcp",
        required_scopes=["notes"],
        validate_token_resource=False,
    )
    server = installed("mcp.server.mcpserver", "mcp").MCPServer

    class Theirs:
        async def verify_token(self, token: str) -> None:
            return None

    class Ours(Theirs):
        verifier = JWTMiddleware(print, **OPTIONS).verifier  # type: ignore[arg-type]

    def app(verifier: Theirs) -> Any:
        return server("notes", token_verifier=verifier, auth=settings).streamable_http_app()

    found = audit(app(Ours()))
    (row,) = [row for row in found.rows if row.path == "/mcp"]
    assert (row.state, row.verdict.requirement) == ("protected", "scope notes")
    assert await answer_of(app(Ours()), row, "/mcp") == 401
    (row,) = [row for row in audit(app(Theirs())).rows if row.path == "/mcp"]
    assert (row.state, row.verdict.by) == ("unprotected", ("RequireAuthMiddleware, which is not judged",))
