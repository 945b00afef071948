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

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from json import dumps
from math import ceil
from typing import Any, Protocol

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.claim_values import ClaimsError
from jwt_asgi.issuer.clients import Client
from jwt_asgi.issuer.cookies import RefreshCookie, SessionTokens
from jwt_asgi.issuer.cross_origin import check_origins, why_refused
from jwt_asgi.issuer.errors import StoreUnavailable
from jwt_asgi.issuer.grants import Fault, GrantError
from jwt_asgi.issuer.refreshing import SessionEndedError
from jwt_asgi.types import ASGIScope, Receive, Send

__all__ = ["BrowserSessions", "CrossOriginError", "SessionService", "check_cross_origin"]

logger = logging.getLogger("jwt_asgi")

_NO_STORE = {"Cache-Control": "no-store"}
_CLEAR_SITE = {"Clear-Site-Data": '"cache", "storage"'}
"""Not "cookies": that would take those of the whole domain, and close connections."""


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
        members: dict[str, str | int] = {
            "access_token": tokens.access_token,
            "token_type": "Bearer",
            "expires_in": tokens.expires_in,
        }
        if tokens.scopes:
            members["scope"] = " ".join(tokens.scopes)
        response = Response(dumps(members), media_type="application/json", headers=_NO_STORE)
        response.raw_headers += self._cookie.headers(tokens, scope)
        return response

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

    async def _refresh(self, scope: ASGIScope) -> Response:
        tokens = await self._service.refresh(self._token(scope), client_id=self._client_id)
        return self.answer(tokens, scope)

    async def _ack(self, scope: ASGIScope) -> Response:
        await self._service.confirm(self._token(scope))
        return Response(status_code=204, headers=_NO_STORE)

    async def _logout(self, scope: ASGIScope) -> Response:
        await self.end(scope)
        return self._forgotten(scope)

    async def _logout_everywhere(self, scope: ASGIScope) -> Response:
        token = self._token(scope)
        client = await self._service.find_client(self._client_id)
        if client is None:
            raise ConfigurationError("browser_client", f"no client is registered as {self._client_id!r}")
        found = await self._service.introspect(token, client)
        if not found["active"]:
            # Nothing was ended: whoever asked for that must hear of it
            raise GrantError(Fault.INVALID_GRANT, "the session has ended, or was refreshed meanwhile")
        await self._service.revoke(subject=found["sub"], reason="logout everywhere")
        return self._forgotten(scope)

    def _token(self, scope: ASGIScope) -> str:
        token = self._cookie.read(scope["headers"], scope)
        if token is None:
            raise GrantError(Fault.INVALID_GRANT, "the request has no session cookie")
        return token

    def _forgotten(self, scope: ASGIScope) -> Response:
        response = Response(status_code=204, headers={**_NO_STORE, **_CLEAR_SITE})
        response.raw_headers += self._cookie.cleared(scope)
        return response

    def _guarded(self, work: Callable[[ASGIScope], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """Check where a request comes from, and make answers of what is raised."""

        async def endpoint(request: Request) -> Response:
            scope = request.scope
            reason = why_refused(scope["method"], scope["headers"], origins=self._origins, with_header=True)
            if reason is not None:
                return _refused(GrantError(Fault.ACCESS_DENIED, reason))
            try:
                return await work(scope)
            except SessionEndedError as error:
                response = _refused(error)
                response.raw_headers += self._cookie.cleared(scope)
                return response
            except GrantError as error:
                return _refused(error)
            except StoreUnavailable as error:
                response = _refused(GrantError(Fault.TEMPORARILY_UNAVAILABLE))
                response.headers["Retry-After"] = str(max(ceil(error.retry_after), 1))
                return response
            except ClaimsError as error:
                logger.error("no token could be made for a session: %s", error)  # noqa: TRY400 - it says all
                return _refused(GrantError(Fault.SERVER_ERROR))

        return endpoint


def _refused(error: GrantError) -> Response:
    return Response(error.body(), error.fault.status, media_type="application/json", headers=_NO_STORE)
