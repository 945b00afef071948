"""Whatever a message of an open WebSocket brings, the connection goes on as the same identity, or ends."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jwt_asgi import AccessToken, Decision, TrustedIssuer, Verifier
from jwt_asgi.expiry import Renewal
from jwt_asgi.renewal import Renewer
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import Message
from tests.properties.strategies import JSON, examples

ISSUER = TestIssuer(algorithms=["Ed25519"])
VERIFIER = Verifier(TrustedIssuer(**ISSUER.options()))
LONG: dict[str, Any] = {"expires_in": 86_400}
"""However long the tests before these take."""
OWN: dict[str, Any] = {"subject": "alice", "client_id": "app", **LONG}
TOKENS = {
    "same": ISSUER.token(**OWN, scope="more"),
    "another user": ISSUER.token(subject="mallory", client_id="app", **LONG),
    "another client": ISSUER.token(subject="alice", client_id="evil", **LONG),
    "expired": ISSUER.token(**{**OWN, "expires_in": -3600}),
    "nobody": ISSUER.token(without={"sub", "client_id"}, **LONG),
    "cut": ISSUER.token(**OWN)[:-2],
}


def find(message: Message) -> Any:
    """A message of JSON brings what is in its `token`, whatever that is."""
    return json.loads(message["text"])["token"]


MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.sampled_from([{"type": "websocket.receive", "text": json.dumps({"token": token})} for token in TOKENS.values()]),
    st.fixed_dictionaries(
        {"type": st.just("websocket.receive")},
        optional={
            "text": JSON.map(json.dumps) | JSON.map(lambda value: json.dumps({"token": value})) | st.text(max_size=5),
            "bytes": st.binary(max_size=5),
        },
    ),
    st.just({"type": "websocket.disconnect"}),
)


async def renew(verifier: Verifier, messages: list[Message]) -> None:
    first = await verifier.verify(ISSUER.token(**OWN))
    known: list[AccessToken] = [first]
    told: list[Decision] = []

    async def admit(_: AccessToken) -> None:
        return

    renewer = Renewer(first, verifier, find=find, admit=admit, identify=known.append, tell=told.append)
    for message in messages:
        before, decisions = len(known), len(told)
        result = await renewer.renew(message)
        brought = _brought(message)
        if brought is None:
            assert result is Renewal.NONE
        else:
            assert (result is Renewal.TAKEN) is (brought == TOKENS["same"])
        assert len(known) - before == (result is Renewal.TAKEN)
        assert len(told) - decisions == isinstance(brought, str)
        assert {(token.subject, token.client_id) for token in known} == {("alice", "app")}


def _brought(message: Message) -> Any:
    try:
        return find(message)
    except Exception:
        return ["what", "cannot", "be", "read"]


def test_any_messages_renew_the_token_of_the_same_identity_alone() -> None:
    with asyncio.Runner() as runner:
        runner.run(VERIFIER.verify(TOKENS["same"]))

        @examples(60)
        @given(st.lists(MESSAGES, min_size=1, max_size=5))
        def check(messages: list[Message]) -> None:
            runner.run(renew(VERIFIER, messages))

        check()
