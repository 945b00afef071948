"""A session of the token service, from the log-in to its end: what the second half of the demo shows."""

from __future__ import annotations

import asyncio
import hmac
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from secrets import token_urlsafe

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from jwt_asgi.cli.demo_calls import Call, Got
from jwt_asgi.issuer import (
    Client,
    MasterKeys,
    RotationPolicy,
    TokenService,
    new_secret,
    secret_digest,
    token_endpoints,
)
from jwt_asgi.issuer.grants import parse_form
from jwt_asgi.revocation import FromHTTP, RevocationFeed
from jwt_asgi.types import ASGIApp

__all__ = ["Auth", "Played", "Story"]

BOUND = 2.0
"""Seconds within which resource servers refuse what was revoked."""
_USER, _CLIENT, _SCOPE = "ada", "notes-app", "notes:read"
_POLL = 0.05
_GOOD = 200

Played = tuple[Call, Got, bool]
"""A call, its answer, and whether that is what was promised."""


class Auth:
    """A token service behind a log-in of its own, and how the API follows what it revokes."""

    def __init__(self, url: str, *, api: str, folder: str, lifetime: float) -> None:
        """Make its database."""
        self.url, self.lifetime = url, lifetime
        self.password = token_urlsafe(9)
        self._api, self._secret = api, new_secret()
        secrets = [secret_digest(self._secret)]
        self._service = TokenService(
            issuer=url,
            store=f"sqlite:///{folder}/tokens.db",
            master_keys=MasterKeys.from_text(MasterKeys.new()),
            clients=[
                Client(client_id=_CLIENT, authentication="none"),
                Client(
                    client_id="api", authentication="client_secret_basic", secrets=secrets, grants=(), resources=[api]
                ),
            ],
            lifetime=lifetime,
            rotation=RotationPolicy(grace=1.0),
        )
        asyncio.run(self._service.store.migrate())

    @property
    def app(self) -> ASGIApp:
        """What is served: the endpoints, and the log-in beside them."""
        return token_endpoints(self._service, more=[Route("/login", self._login, methods=["POST"])])

    def feed(self) -> RevocationFeed:
        """Return what the API holds each token against."""
        basic = b64encode(f"api:{self._secret}".encode()).decode()
        source = FromHTTP(f"{self.url}/revocations", headers={"authorization": f"Basic {basic}"})
        return RevocationFeed(source, issuer=self.url, on_stale="deny", interval=0.5)

    def log_in(self) -> Call:
        """Return the log-in of the one user."""
        form = {"name": _USER, "password": self.password}
        return Call(title="Ada logs in", url=f"{self.url}/login", form=form)

    def refresh(self, title: str, refresh_token: str, status: int = _GOOD) -> Call:
        """Return a refresh."""
        form = {"grant_type": "refresh_token", "client_id": _CLIENT, "refresh_token": refresh_token}
        error = "invalid_grant" if status != _GOOD else None
        return Call(title=title, url=f"{self.url}/token", form=form, status=status, error=error)

    async def _login(self, request: Request) -> JSONResponse:
        """Authenticate the user: what the application does, and not the token service."""
        form = parse_form(await request.body(), request.headers.get("content-type"))
        right = hmac.compare_digest((form.get("password") or "").encode(), self.password.encode())
        if not right or form.get("name") != _USER:
            return JSONResponse({"error": "access_denied"}, 403)
        tokens = await self._service.issue(
            subject=_USER, client_id=_CLIENT, audience=self._api, scopes=[_SCOPE], amr=["pwd"]
        )
        return JSONResponse(tokens.answer(), headers={"cache-control": "no-store"})


class Story:
    """What becomes of a session whose first refresh token somebody else has kept."""

    def __init__(self, auth: Auth, notes: str) -> None:
        """Take the token service, and the URL of the API."""
        self._auth, self._notes = auth, notes

    def play(self) -> Iterator[Played]:
        """Play it in real time."""
        first, played = _played(self._auth.log_in())
        yield played
        yield _played(self._call("her access token", first))[1]
        time.sleep(self._auth.lifetime)
        yield _played(self._call(f"the same after {self._auth.lifetime:g} seconds", first, 401))[1]
        second, played = _played(self._refresh("her refresh token", first))
        yield played
        again = self._refresh("the same once more, as answers get lost", first)
        yield _played(again, lambda got: _follows(got.json(), second))[1]
        yield _played(self._call("the access token that she got", second))[1]
        newest, played = _played(self._refresh("the refresh token that she got", second))
        yield played
        yield _played(self._refresh("the first refresh token, which a thief has kept", first, 400))[1]
        yield _played(self._refresh("the newest refresh token, as the session is over", newest, 400))[1]
        yield self._until_refused(newest)

    def prepared(self) -> list[Call]:
        """Bring a session to where its first refresh token is an old one, and return what can be done then."""
        first = self._auth.log_in().send().json()
        newest = first
        for _ in range(2):
            newest = self._refresh("", newest).send().json()
        return [
            self._auth.log_in(),
            self._call("the access token of a session", newest),
            self._refresh("its first refresh token, which a thief has kept", first, 400),
            self._refresh("its newest refresh token, as the session is over", newest, 400),
            self._call(f"the access token again, {BOUND:g} seconds later", newest, 401),
        ]

    def _until_refused(self, tokens: dict[str, str]) -> Played:
        """Ask until the answer is the last that is promised, or the time is up in which it must be."""
        began = time.monotonic()
        call = self._call("", tokens, 401)
        while not call.keeps(got := call.send()) and time.monotonic() - began < BOUND:
            time.sleep(_POLL)
        title = f"its access token after {time.monotonic() - began:.1f} seconds, of {BOUND:g} at most"
        return replace(call, title=title), got, call.keeps(got) and "expired" not in got.challenge

    def _call(self, title: str, tokens: dict[str, str], status: int = _GOOD) -> Call:
        error = "invalid_token" if status != _GOOD else None
        return Call(title=title, url=self._notes, token=tokens.get("access_token", ""), status=status, error=error)

    def _refresh(self, title: str, tokens: dict[str, str], status: int = _GOOD) -> Call:
        return self._auth.refresh(title, tokens.get("refresh_token", ""), status)


def _played(call: Call, also: Callable[[Got], bool] = lambda _: True) -> tuple[dict[str, str], Played]:
    got = call.send()
    return got.json(), (call, got, call.keeps(got) and also(got))


def _follows(tokens: dict[str, str], others: dict[str, str]) -> bool:
    return tokens.get("refresh_token") == others.get("refresh_token")
