"""A provider of many tenants, and the door before a service that trusts some of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jwt_asgi import Decision, JWTMiddleware, Reason, Verifier
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIScope, FetchResponse, Receive, Send
from tests.asgi import Answer, http

LOGIN = "https://login.test"
TEMPLATE = f"{LOGIN}/{{tenantid}}/v2.0"
KEYS = f"{LOGIN}/keys"
AUDIENCE = "https://api.test"
CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"


def issuer_of(tenant: str, template: str = TEMPLATE) -> str:
    """The issuer of a tenant."""
    return template.replace("{tenantid}", tenant)


class Provider:
    """One key set for all tenants, as Microsoft's: `members` are added to each key, by its name."""

    def __init__(self, **members: Mapping[str, Any]) -> None:
        """Make a key for each; `shared` is there unless named."""
        self.members = dict(members) or {"shared": {}}
        self.signers = {name: TestIssuer(LOGIN, algorithms=["ES256"]) for name in self.members}
        self.fetched: list[str] = []

    def token(
        self,
        tenant: str = "contoso",
        *,
        key: str | None = None,
        claims: Mapping[str, Any] | None = None,
        without: tuple[str, ...] = (),
        template: str = TEMPLATE,
    ) -> str:
        """A token of this tenant, signed with this key."""
        name = key or next(iter(self.signers))
        own = {"iss": issuer_of(tenant, template), "tid": tenant, **(claims or {})}
        return self.signers[name].token(claims=own, header={"kid": name}, without=without)

    async def fetch(self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        """Answer with the key set, whatever is asked for."""
        self.fetched.append(url)
        keys = [
            {**signer.jwks()["keys"][0], "kid": name, **self.members[name]} for name, signer in self.signers.items()
        ]
        return FetchResponse(200, {}, json.dumps({"keys": keys}).encode())


class Estate:
    """Tenants that are each an issuer of its own, with keys of its own; all kids are the same."""

    def __init__(self, *tenants: str, template: str = TEMPLATE) -> None:
        """Make their keys."""
        self.tenants = {name: TestIssuer(issuer_of(name, template), algorithms=["ES256"]) for name in tenants}
        self.fetched: list[str] = []
        self.down = False

    def token(self, tenant: str, **claims: Any) -> str:
        """A token of this tenant, signed with its key."""
        return self.tenants[tenant].token(claims={"tid": tenant, **claims})

    async def fetch(self, url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        """Answer as the tenant that the URL is of."""
        self.fetched.append(url)
        if self.down:
            raise OSError("down")
        for issuer in self.tenants.values():
            answer = await issuer.fetch(url, headers=headers, timeout=timeout, limit=limit)
            if answer.status != 404:
                return answer
        return FetchResponse(404, {}, b"")


class Door:
    """A service behind the middleware, which hears every decision."""

    def __init__(self, *issuers: Any, log: bool = False) -> None:
        """Trust these issuers and families. With `log` the middleware writes the log as it does by default."""
        self.decisions: list[Decision] = []
        self.verifier = Verifier(*issuers)
        self.app = JWTMiddleware(_hello, verifier=self.verifier, hooks=None if log else [self.decisions.append])

    async def ask(self, token: str) -> Answer:
        """Send a request."""
        return await http(self.app, token=token)

    async def outcome(self, token: str) -> Reason | None:
        """Why the token is refused, or None; the answer is what its reason says, and has nothing of it."""
        answer = await self.ask(token)
        reason = self.decisions.pop().reason
        assert answer.status == (200 if reason is None else reason.status)
        assert reason is None or reason.value.encode() not in answer.body
        return reason


async def _hello(_: ASGIScope, __: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
