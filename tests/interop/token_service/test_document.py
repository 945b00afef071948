"""Every endpoint of our token service answers as the standards say, in the hands of Schemathesis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from openapi_spec_validator import validate
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from tests.interop.token_service.document import document
from tests.interop.token_service.services import API, WEB, TokenServer

BOUNDED = settings(
    max_examples=5,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
TOKENS = {
    "REFRESH 1": "refresh_token",
    "REFRESH 2": "refresh_token",
    "ACCESS 1": "access_token",
    "ACCESS 2": "access_token",
}
PUBLIC = {"/jwks", "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"}
FOR_RESOURCE_SERVERS = {"/introspect", "/revocations", "/revocations/snapshot"}


schema = schemathesis.openapi.from_dict(document([*TOKENS]))
schema.config.phases.coverage.unexpected_methods = set()


@pytest.fixture(scope="module")
def tokens(token_server: TokenServer) -> Mapping[str, str]:
    """Tokens that are good until a request revokes them, by what stands for them in the document."""
    issued = {name: token_server.issue(client_id=WEB)[kind] for name, kind in TOKENS.items()}
    return {name: str(token) for name, token in issued.items()}


def prepared(case: Case[Any], tokens: Mapping[str, str]) -> Case[Any]:
    """Return a case with real tokens in place of what stands for them."""
    if isinstance(case.body, dict):
        for name in ("token", "refresh_token"):
            if isinstance(value := case.body.get(name), str):
                case.body[name] = tokens.get(value, value)
    return case


@schema.parametrize()
@BOUNDED
def test_to_a_client_every_answer_is_as_documented(
    case: Case[Any], token_server: TokenServer, tokens: Mapping[str, str]
) -> None:
    name = API if case.operation.path in FOR_RESOURCE_SERVERS else WEB
    auth = (name, token_server.secrets[name])
    prepared(case, tokens).call_and_validate(token_server.url, auth=auth, checks=CHECKS)


@schema.parametrize()
@BOUNDED
def test_to_a_stranger_exactly_the_public_endpoints_answer(
    case: Case[Any], token_server: TokenServer, tokens: Mapping[str, str]
) -> None:
    answer = prepared(case, tokens).call_and_validate(token_server.url, checks=CHECKS)
    assert (answer.status_code < 400) == (case.operation.path in PUBLIC)


def test_the_document_is_valid_and_has_every_endpoint_of_the_metadata(token_server: TokenServer) -> None:
    described = document([*TOKENS])
    validate(described)
    metadata = token_server.http.get("/.well-known/oauth-authorization-server").json()
    urls = [value for name, value in metadata.items() if name.endswith(("_endpoint", "_uri"))]
    assert {url.removeprefix(token_server.url) for url in urls} <= {*described["paths"]}
