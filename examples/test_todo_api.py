"""The suite of the todo list, for pytest with the option `jwt_asgi_app = examples.todo_api:app`."""

import pytest
from starlette.websockets import WebSocketDisconnect

from jwt_asgi.testing import BAD_TOKENS


@pytest.fixture
def ada(jwt_client):
    return jwt_client.as_user("ada", scope="todos:read todos:write")


def test_scopes_roles_and_owners_decide(ada, jwt_client):
    mine = ada.post("/todos", json={"text": "Buy milk"}).json()
    eve, root = (jwt_client.as_user(name, scope="todos:read", roles=[name]) for name in ("eve", "admin"))
    assert [client.get(f"/todos/{mine['id']}").status_code for client in (ada, root, eve)] == [200, 200, 403]
    assert [client.get("/todos/all").status_code for client in (ada, root, eve)] == [403, 200, 403]
    assert [client.post("/todos", json={"text": "No"}).status_code for client in (root, eve)] == [403, 403]


@pytest.mark.parametrize("reason", BAD_TOKENS)
def test_with_a_bad_token_nothing_but_health_is_told(jwt_client, reason):
    client = jwt_client.with_bad_token(reason)
    assert (client.get("/healthz").status_code, client.get("/todos").status_code) == (200, 401)


def test_a_websocket_needs_a_token(ada, jwt_client):
    with ada.websocket_connect("/todos/live"), pytest.raises(WebSocketDisconnect):
        jwt_client.websocket_connect("/todos/live").__enter__()


def test_rotations_and_outages_go_unnoticed_and_tokens_expire(ada, jwt_client, jwt_issuer):
    jwt_issuer.rotate()
    with jwt_issuer.outage():
        assert ada.get("/todos").status_code == 200
    assert jwt_client.as_user("bob", scope="todos:read").get("/todos").status_code == 200
    with jwt_issuer.travelling(hours=1):
        assert ada.get("/todos").status_code == 401
