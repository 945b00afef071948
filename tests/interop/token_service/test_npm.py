"""openid-client, oauth4webapi and jose, the libraries of most JavaScript clients, get along with our token service."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from tests.interop import node
from tests.interop.token_service.services import AUDIENCE, JOB, PUBLIC, SERVICES, WEB, TokenServer
from tests.missing import not_here

pytestmark = pytest.mark.usefixtures("libraries_are_installed")
SECONDS = 60
Results = Mapping[str, Any]


def met_by(script: str, server: TokenServer) -> Results:
    """Run a script, and return what its library has met."""
    sessions = {
        "rotated": [server.issue()],
        "narrowed": [server.issue()],
        "confidential": [server.issue(client_id=WEB)],
        "revoked": [server.issue(), server.issue()],
        "verified": [server.issue(path, claims={"roles": ["admin"]}) for path in SERVICES],
    }
    prepared = {
        "url": server.url,
        "services": [*SERVICES],
        "audience": AUDIENCE,
        "secrets": server.secrets,
        "keys": server.keys,
        "sessions": sessions,
    }
    command = node.command(f"token_service/clients/{script}.mjs")
    ran = subprocess.run(
        command, input=json.dumps(prepared), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert ran.returncode == 0, ran.stderr
    results: Results = json.loads(ran.stdout)
    return results


@pytest.fixture(scope="session")
def libraries_are_installed() -> None:
    """Skip the tests that need the libraries where there are none, or fail them."""
    reason = node.missing("jose", "oauth4webapi", "openid-client")
    if reason is not None:
        not_here(reason)


@pytest.fixture(scope="module")
def openid_client(token_server: TokenServer) -> Results:
    """What the one has met."""
    return met_by("openid_client", token_server)


@pytest.fixture(scope="module")
def oauth4webapi(token_server: TokenServer) -> Results:
    """What the other has met."""
    return met_by("oauth4webapi", token_server)


@pytest.fixture(params=["openid_client", "oauth4webapi"])
def results(request: pytest.FixtureRequest) -> Results:
    """What each of both has met."""
    met: Results = request.getfixturevalue(request.param)
    return met


def error_of(told: Mapping[str, Any]) -> tuple[int, str]:
    """Return the status and the code of an answer that the library has understood as an error."""
    failure = told["failure"]
    return failure["status"], failure["error"]


@pytest.mark.parametrize("algorithm", ["oauth2", "oidc"])
@pytest.mark.parametrize("path", SERVICES)
def test_they_discover_each_service_at_both_addresses(
    results: Results, token_server: TokenServer, path: str, algorithm: str
) -> None:
    document = results["discovery"][f"{algorithm} {path}"]["value"]

    assert document["issuer"] == f"{token_server.url}{path}"
    assert document["token_endpoint"] == f"{token_server.url}{path}/token"
    assert document["response_types_supported"] == ["none"]


def test_they_rotate_a_refresh_token_and_the_session_goes_on(results: Results) -> None:
    rotated = results["rotated"]
    tokens = [rotated[name]["refresh_token"] for name in ("began", "first", "second")]

    assert len({*tokens}) == 3
    assert rotated["second"]["token_type"] == "bearer"
    assert rotated["second"]["expires_in"] == 900
    assert rotated["second"]["scope"] == "read write"


def test_a_replay_is_refused_and_ends_the_session_with_its_access_tokens(results: Results) -> None:
    rotated = results["rotated"]

    assert error_of(rotated["replayed"]) == (400, "invalid_grant")
    assert error_of(rotated["ended"]) == (400, "invalid_grant")
    assert rotated["before"]["active"] is True
    assert rotated["before"]["sid"] == rotated["began"]["sid"]
    assert rotated["after"] == {"active": False}


def test_a_retry_after_a_lost_answer_gets_the_same_refresh_token(openid_client: Results) -> None:
    rotated = openid_client["rotated"]

    assert rotated["again"]["refresh_token"] == rotated["first"]["refresh_token"]
    assert rotated["again"]["access_token"] != rotated["first"]["access_token"]


def test_fewer_scopes_are_granted_and_more_are_not(openid_client: Results) -> None:
    assert openid_client["narrowed"]["value"]["scope"] == "read"
    assert error_of(openid_client["widened"]) == (400, "invalid_scope")


def test_a_confidential_client_refreshes_by_its_secret_alone(openid_client: Results) -> None:
    assert openid_client["refreshed"]["value"]["refresh_token"]
    assert openid_client["wrong"]["failure"]["status"] == 401
    assert openid_client["wrong"]["failure"]["schemes"] == ["basic"]
    assert error_of(openid_client["stolen"]) == (400, "invalid_grant")


def test_they_revoke_a_refresh_token_with_its_session(results: Results) -> None:
    assert results["revoked"]["answer"] == {"value": None}
    assert results["revoked"]["after"] == {"active": False}


def test_what_is_revoked_cannot_be_refreshed_and_what_never_was_can_be_revoked(openid_client: Results) -> None:
    revoked = openid_client["revoked"]

    assert revoked["before"]["active"] is True
    assert error_of(revoked["refreshed"]) == (400, "invalid_grant")
    assert revoked["unknown"] == {"value": None}


def test_one_access_token_is_revoked_without_its_session(openid_client: Results) -> None:
    revoked = openid_client["revoked"]

    assert revoked["access"] == {"value": None}
    assert revoked["accessAfter"] == {"active": False}
    assert revoked["session"]["value"]["refresh_token"]


def test_a_public_client_may_not_introspect(oauth4webapi: Results) -> None:
    assert error_of(oauth4webapi["revoked"]["byPublic"]) == (401, "invalid_client")


@pytest.mark.parametrize("client", [JOB, "job-es256", "job-rs256", "job-ed25519", "job-eddsa"])
def test_they_get_a_token_in_the_clients_own_name(results: Results, client: str) -> None:
    granted = results["jobs"][client]["value"]

    assert granted["scope"] == "jobs:run"
    assert "refresh_token" not in granted


def test_a_token_for_another_resource_is_refused(openid_client: Results) -> None:
    assert error_of(openid_client["target"]) == (400, "invalid_target")


@pytest.mark.parametrize(("path", "algorithm"), SERVICES.items())
def test_jose_verifies_an_access_token_by_the_key_set(openid_client: Results, path: str, algorithm: str) -> None:
    verified = openid_client["verified"][path]["value"]

    assert verified["protectedHeader"]["alg"] == algorithm
    assert verified["payload"]["sub"] == "ada"
    assert verified["payload"]["roles"] == ["admin"]


@pytest.mark.parametrize("path", SERVICES)
def test_oauth4webapi_validates_an_access_token_by_rfc_9068(oauth4webapi: Results, path: str) -> None:
    validated = oauth4webapi["validated"][path]

    assert validated["good"]["value"]["client_id"] == PUBLIC
    assert validated["wrongAudience"]["failure"]["code"] == "OAUTH_JWT_CLAIM_COMPARISON_FAILED"
