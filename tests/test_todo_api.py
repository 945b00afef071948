"""The todo list of the examples does what its OpenAPI document says, in the hands of Schemathesis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from openapi_spec_validator import validate
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from examples import todo_api
from jwt_asgi.testing import TestIssuer
from tests.asgi import http, websocket

ISSUER = TestIssuer("https://auth.example.com/", audience="https://api.example.com")
PUBLIC = {"GET /healthz"}
BOUNDED = settings(
    max_examples=5,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
# FastAPI's own answer 405 names the methods of one route alone: those checks are left out
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.ignored_auth,
]
schema = schemathesis.openapi.from_asgi("/openapi.json", todo_api.app)


@pytest.fixture(autouse=True)
def issuer_in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example's issuer is replaced, and nothing else."""
    (door,) = todo_api.app.user_middleware
    monkeypatch.setitem(door.kwargs, "fetch", ISSUER.fetch)
    monkeypatch.setattr(todo_api.app, "middleware_stack", None)
    todo_api.todos.clear()
    yield
    todo_api.todos.clear()


def bearer(subject: str = "ada") -> dict[str, str]:
    token = ISSUER.token(subject=subject, scope="todos:read todos:write", roles=["admin"])
    return {"Authorization": f"Bearer {token}"}


@schema.parametrize()
@BOUNDED
def test_with_a_good_token_every_answer_is_as_documented(case: Case[Any]) -> None:
    todo_api.todos.setdefault(0, todo_api.Todo(id=0, owner="ada", text="Buy milk"))
    case.call_and_validate(headers=bearer(), checks=CHECKS)


@schema.parametrize()
@BOUNDED
def test_without_a_token_exactly_the_public_operations_answer(case: Case[Any]) -> None:
    case.headers.pop("Authorization", None)
    answer = case.call()
    secured = bool(case.operation.definition.raw.get("security"))
    assert secured == (case.operation.label not in PUBLIC)
    assert (answer.status_code == 401) == secured
    assert (answer.headers.get("www-authenticate") == ["Bearer"]) == secured


def test_the_document_is_valid_and_names_the_scopes() -> None:
    document: dict[str, Any] = todo_api.app.openapi()
    validate(document)
    needs = {
        f"{method.upper()} {path}": operation.get("security")
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert needs == {
        "GET /todos": [{"JWTBearer": ["todos:read"]}],
        "POST /todos": [{"JWTBearer": ["todos:write"]}],
        "GET /todos/all": [{"JWTBearer": ["todos:read"]}],
        "GET /todos/{todo_id}": [{"JWTBearer": ["todos:read"]}],
        "PUT /todos/{todo_id}": [{"JWTBearer": ["todos:write"]}],
        "DELETE /todos/{todo_id}": [{"JWTBearer": ["todos:write"]}],
        "GET /healthz": None,
    }


async def test_a_token_without_a_subject_owns_nothing() -> None:
    scope = "todos:read todos:write"
    assert (await http(todo_api.app, path="/todos", token=ISSUER.token(scope=scope, without=["sub"]))).status == 403
    todo_api.todos[0] = todo_api.Todo(id=0, owner="None", text="Buy milk")
    assert (await http(todo_api.app, path="/todos/0", token=ISSUER.token(scope=scope, subject=""))).status == 403


async def test_a_websocket_needs_the_scope_and_gets_ones_own_todos() -> None:
    offered: dict[str, Any] = {"websocket.http.response": {}}
    app = todo_api.app
    assert (await websocket(app, path="/todos/live", token=ISSUER.token(scope="todos:read"))).accepted
    for token, status in ((None, 401), (ISSUER.token(scope="todos:write"), 403)):
        refused = await websocket(app, path="/todos/live", token=token, extensions=offered)
        assert refused.denial is not None
        assert refused.denial.status == status
