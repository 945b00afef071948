"""The session of a browser: the refresh token in a cookie, the access token for the page's scripts, and four endpoints.

    POST refresh             the cookie -> an access token, and the next cookie
    POST ack                 the page has the access token: the cookie of before is good for nothing more
    POST logout              the session ends, and the browser forgets it
    POST logout-everywhere   so do all sessions of the user

Each asks for `X-Auth-Client: 1`, and that the request comes from a page of the application (`cross_origin.py`). A
cookie is cleared where the session is over, and never where only this request is wrong: a tab that lost a race would
log out the one that won it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from jwt_asgi._core.challenge import Answer
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.answers import answer_to, empty_answer, json_answer
from jwt_asgi.issuer.clients import Client
from jwt_asgi.issuer.cookies import RefreshCookie, SessionTokens
from jwt_asgi.issuer.cross_origin import check_origins, why_refused
from jwt_asgi.issuer.grants import Fault, GrantError
from jwt_asgi.issuer.refreshing import SessionEndedError
from jwt_asgi.types import ASGIScope, Receive, Send

__all__ = ["BrowserSessions", "CrossOriginError", "SessionService", "check_cross_origin"]

_Headers = list[tuple[bytes, bytes]]
_CLEAR_SITE = (b"clear-site-data", b'"cache", "storage"')
"""Not `"cookies"`, which would take those of the whole domain along."""


class NewTokens(SessionTokens, Protocol):
    """As `Tokens`."""

    @property
    def access_token(self) -> str:
        """The access token."""

    @property
    def scopes(self) -> tuple[str, ...]:
        """What it allows."""


class SessionService(Protocol):
    """As `TokenService`: what is asked of it here."""

    @property
    def find_client(self) -> Callable[[str], Awaitable[Client | None]]:
        """Finds a client."""

    async def start(self) -> None:
        """Start, unless that was done."""
        ...

    async def refresh(self, refresh_token: str, *, client_id: str) -> NewTokens:
        """Return the next tokens."""
        ...

    async def confirm(self, refresh_token: str) -> bool:
        """Take note that the token has arrived."""
        ...

    async def introspect(self, token: str, caller: Client) -> Mapping[str, Any]:
        """Say whose token it is, if it is good."""
        ...

    async def revoke(self, *, subject: str | None = None, token: str | None = None, reason: str = "") -> int:
        """End the sessions of a user, or that of a token."""
        ...


class CrossOriginError(HTTPException):
    """A request that a page of another origin may have made: 403. `detail` says what is missing."""

    def __init__(self, detail: str) -> None:
        """Keep what the developer is told."""
        super().__init__(403, detail)


def check_cross_origin(scope: ASGIScope, *, origins: Sequence[str] = ()) -> None:
    """Refuse a request that a page of another origin may have made, as for the view that logs a user in.

    Without it another site can log your user in as somebody else. Call it first: `check_cross_origin(request.scope)`.
    In Starlette and FastAPI that is all; elsewhere, make a 403 of the exception. A form of your own passes.

    Raises:
        CrossOriginError: it comes from elsewhere, or does not say from where.
        ConfigurationError: `origins` has what is no origin.
    """
    reason = why_refused(scope.get("method", ""), scope["headers"], origins=check_origins(origins))
    if reason is not None:
        raise CrossOriginError(reason)


class BrowserSessions:
    """The endpoints, as an ASGI application: `app.mount("/session", BrowserSessions(service, browser_client="web"))`.

    CORS is the application's: pages of another origin need `allow_credentials` and the header `X-Auth-Client`.

    Args:
        service: The token service.
        browser_client: The `client_id` of the pages: a public client, with the grant `refresh_token`.
        cookie: Where the refresh token is kept.
        origins: Of pages of the application that are not of the same origin as these endpoints, but under the same
            domain, as `https://app.example.com` is for `https://auth.example.com`.

    Raises:
        ConfigurationError: an option is wrong.
    """

    def __init__(
        self,
        service: SessionService,
        *,
        browser_client: str,
        cookie: RefreshCookie | None = None,
        origins: Sequence[str] = (),
    ) -> None:
        """Check the options."""
        if not isinstance(browser_client, str) or not browser_client:
            raise ConfigurationError("browser_client", f"expected the client_id of the pages; got {browser_client!r}")
        self._service = service
        self._client_id = browser_client
        self._cookie = RefreshCookie() if cookie is None else cookie
        self._origins = check_origins(origins)
        endpoints = {
            "/refresh": self._refresh,
            "/ack": self._ack,
            "/logout": self._logout,
            "/logout-everywhere": self._logout_everywhere,
        }
        self.routes = [Route(path, self._guarded(work), methods=["POST"]) for path, work in endpoints.items()]
        self._router = Router(self.routes, redirect_slashes=False)

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self._router(scope, receive, send)

    def answer(self, tokens: NewTokens, scope: ASGIScope) -> Response:
        """Return the answer to a login by a script: the access token as JSON, and the cookie.

        To answer a form in another way, put `cookie.headers(tokens, request.scope)` on that response.
        """
        return _response(self._answer(tokens, scope))

    async def end(self, scope: ASGIScope, *, reason: str = "logout") -> None:
        """End the session whose cookie a request has, if there is one: when its user logs out, or in again.

        Raises:
            StoreUnavailable: the store cannot be asked; the session goes on.
        """
        try:
            token = self._cookie.read(scope["headers"], scope)
        except GrantError:
            return
        if token is not None:
            await self._service.revoke(token=token, reason=reason)

    async def _refresh(self, scope: ASGIScope) -> Answer:
        token, client = self._token(scope), await self._client()
        return self._answer(await self._service.refresh(token, client_id=client.client_id), scope)

    async def _ack(self, scope: ASGIScope) -> Answer:
        await self._service.confirm(self._token(scope))
        return empty_answer(status=204)

    async def _logout(self, scope: ASGIScope) -> Answer:
        await self.end(scope)
        return self._forgotten(scope)

    async def _logout_everywhere(self, scope: ASGIScope) -> Answer:
        found = await self._service.introspect(self._token(scope), await self._client())
        if not found["active"]:
            # Nothing was ended: whoever asked for that must hear of it
            raise GrantError(Fault.INVALID_GRANT, "the session has ended, or was refreshed meanwhile")
        await self._service.revoke(subject=found["sub"], reason="logout everywhere")
        return self._forgotten(scope)

    def _answer(self, tokens: NewTokens, scope: ASGIScope) -> Answer:
        members = {"access_token": tokens.access_token, "token_type": "Bearer", "expires_in": tokens.expires_in}
        if tokens.scopes:
            members["scope"] = " ".join(tokens.scopes)
        return _with(json_answer(members), self._cookie.headers(tokens, scope))

    def _forgotten(self, scope: ASGIScope) -> Answer:
        return _with(empty_answer(status=204), [_CLEAR_SITE, *self._cookie.cleared(scope)])

    def _token(self, scope: ASGIScope) -> str:
        token = self._cookie.read(scope["headers"], scope)
        if token is None:
            raise GrantError(Fault.INVALID_GRANT, "the request has no session cookie")
        return token

    async def _client(self) -> Client:
        client = await self._service.find_client(self._client_id)
        if client is None or not client.is_public:
            detail = f"expected a client that is registered with authentication='none'; got {self._client_id!r}"
            raise ConfigurationError("browser_client", detail)
        return client

    def _guarded(self, work: Callable[[ASGIScope], Awaitable[Answer]]) -> Callable[[Request], Awaitable[Response]]:
        """Check where a request comes from, and make answers of what is raised."""

        async def endpoint(request: Request) -> Response:
            scope = request.scope
            reason = why_refused(scope["method"], scope["headers"], origins=self._origins, with_header=True)
            try:
                if reason is not None:
                    raise GrantError(Fault.ACCESS_DENIED, reason)
                await self._service.start()
                answer = await work(scope)
            except Exception as error:
                told = answer_to(error)
                if told is None:
                    raise
                answer = _with(told, self._cookie.cleared(scope) if isinstance(error, SessionEndedError) else [])
            return _response(answer)

        return endpoint


def _with(answer: Answer, headers: _Headers) -> Answer:
    return Answer(answer.status, (*answer.headers, *headers), answer.body)


def _response(answer: Answer) -> Response:
    response = Response(answer.body, answer.status)
    response.raw_headers[:] = answer.headers
    return response
