"""The ASGI application of the token service: what clients and resource servers reach.

    POST /token                        refresh_token, client_credentials (RFC 6749)
    POST /revoke                       RFC 7009
    POST /introspect                   RFC 7662
    POST /ack                          a client has stored the refresh token that it was given
    GET  /jwks                         the signing keys (RFC 7517)
    GET  /revocations, /revocations/snapshot      for resource servers, by HTTP Basic
    GET  /.well-known/oauth-authorization-server  RFC 8414; the same as /.well-known/openid-configuration

Mount it where the issuer's URL leads: `app.mount("/auth", token_endpoints(service))` for `https://api.example.com/auth`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from jwt_asgi._core.challenge import Answer
from jwt_asgi.issuer.answers import answer_to, empty_answer, json_answer
from jwt_asgi.issuer.audit_events import client_rejected
from jwt_asgi.issuer.authentication import AssertionGiven, authenticate, credentials_of
from jwt_asgi.issuer.clients import Client
from jwt_asgi.issuer.feed import delta_answer, snapshot_answer
from jwt_asgi.issuer.grants import (
    MAX_FORM_BYTES,
    ClientCredentialsRequest,
    Fault,
    Form,
    GrantError,
    parse_form,
    token_reference,
    token_request,
)
from jwt_asgi.issuer.metadata import metadata_of
from jwt_asgi.issuer.rate_limits import RateLimit, client_address
from jwt_asgi.issuer.service import TokenService

__all__ = ["metadata_route", "token_endpoints"]

_Answers = Callable[[Request], Awaitable[Answer]]
_NOT_BASIC: Final = GrantError(Fault.INVALID_CLIENT, detail="expected HTTP Basic", challenge=True)


def token_endpoints(service: TokenService, *, more: Sequence[BaseRoute] = ()) -> Starlette:
    """Return the application, to be mounted, or to be served by itself: then it starts and closes the service.

    Args:
        service: What answers.
        more: Routes beside its own.
    """
    endpoints = _Endpoints(service)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with service:
            yield

    form, read = ["POST"], ["GET"]
    routes = [
        Route("/token", _answered(service, endpoints.token), methods=form),
        Route("/revoke", _answered(service, endpoints.revoke), methods=form),
        Route("/introspect", _answered(service, endpoints.introspect), methods=form),
        Route("/ack", _answered(service, endpoints.ack), methods=form),
        Route("/jwks", _answered(service, endpoints.jwks), methods=read),
        Route("/revocations", _answered(service, endpoints.revocations), methods=read),
        Route("/revocations/snapshot", _answered(service, endpoints.snapshot), methods=read),
        Route("/.well-known/oauth-authorization-server", _answered(service, endpoints.metadata), methods=read),
        Route("/.well-known/openid-configuration", _answered(service, endpoints.metadata), methods=read),
        *more,
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    # A form with a token in it must not be sent elsewhere, wherever the Host header leads
    app.router.redirect_slashes = False
    return app


def metadata_route(service: TokenService) -> Route:
    """Return the route of the metadata for an application in which the service is mounted below a path.

    RFC 8414 section 3.1 puts `/.well-known/oauth-authorization-server` before the path of the issuer, where no mount
    reaches: `app.router.routes.append(metadata_route(service))`.
    """
    path = urlsplit(service.issuer).path.rstrip("/")
    answer = metadata_of(service.issuer).answer

    async def metadata(_: Request) -> Answer:
        return answer

    return Route(f"/.well-known/oauth-authorization-server{path}", _answered(service, metadata), methods=["GET"])


class _Endpoints:
    """One method for each, which raises what is wrong."""

    def __init__(self, service: TokenService) -> None:
        self._service = service
        self._metadata = metadata_of(service.issuer)
        self._audiences = frozenset({service.issuer, *self._metadata.endpoints})

    async def token(self, request: Request) -> Answer:
        form, client = await self._from_client(request, RateLimit.TOKEN)
        asked = token_request(form)
        if isinstance(asked, ClientCredentialsRequest):
            tokens = await self._service.client_credentials(client, scopes=asked.scopes, resources=asked.resources)
        elif "refresh_token" not in client.grants:
            raise GrantError(Fault.UNAUTHORIZED_CLIENT)
        else:
            tokens = await self._service.refresh(
                asked.refresh_token, client_id=client.client_id, scopes=asked.scopes, resources=asked.resources
            )
        return json_answer(tokens.answer())

    async def revoke(self, request: Request) -> Answer:
        form, client = await self._from_client(request, RateLimit.REVOCATION)
        await self._service.revoke_for(client, token_reference(form).token)
        # RFC 7009 section 2.2: the same for tokens that are not there, or another's
        return empty_answer()

    async def introspect(self, request: Request) -> Answer:
        form, client = await self._from_client(request)
        if client.is_public:
            raise GrantError(Fault.INVALID_CLIENT, detail="a public client may not introspect")
        await self._service.limits.hit(RateLimit.INTROSPECTION, client.client_id)
        return json_answer(await self._service.introspect(token_reference(form).token, client))

    async def ack(self, request: Request) -> Answer:
        form, client = await self._from_client(request, RateLimit.TOKEN)
        await self._service.confirm(form.require("refresh_token"), client_id=client.client_id)
        return empty_answer(status=204)

    async def jwks(self, request: Request) -> Answer:
        document = self._service.keys.document
        age = int(self._service.schedule.max_age)
        headers = ((b"etag", document.etag.encode()), (b"cache-control", b"public, max-age=%d" % age))
        if {document.etag, "*"} & {
            tag.strip().removeprefix("W/") for tag in _header(request, "if-none-match").split(",")
        }:
            return Answer(304, headers, b"")
        length = (b"content-length", b"%d" % len(document.body))
        return Answer(200, (*headers, (b"content-type", b"application/jwk-set+json"), length), document.body)

    async def metadata(self, _: Request) -> Answer:
        return self._metadata.answer

    async def revocations(self, request: Request) -> Answer:
        await self._resource_server(request)
        return delta_answer(
            self._service.revocations,
            request.query_params.get("after"),
            if_none_match=_header(request, "if-none-match"),
        )

    async def snapshot(self, request: Request) -> Answer:
        await self._resource_server(request)
        return snapshot_answer(self._service.revocations, if_none_match=_header(request, "if-none-match"))

    async def _from_client(self, request: Request, limit: RateLimit | None = None) -> tuple[Form, Client]:
        """Read a form, and authenticate the client that has sent it; each attempt counts for the limit."""
        form = parse_form(await _body(request), request.headers.get("content-type"))
        return form, await self._authenticated(request, form, limit)

    async def _resource_server(self, request: Request) -> None:
        authorization = _authorization(request)
        if len(authorization) != 1:
            raise _NOT_BASIC
        client = await self._authenticated(request, Form({}))
        if not client.resources:
            raise GrantError(Fault.INVALID_CLIENT, detail=f"{client.client_id} is no resource server", challenge=True)

    async def _authenticated(self, request: Request, form: Form, limit: RateLimit | None = None) -> Client:
        service = self._service
        credentials = credentials_of(_authorization(request), form)
        # Whoever looks clients up in a database need not think of what a database cannot have
        client = await service.find_client(credentials.client_id) if credentials.client_id.isprintable() else None
        # A name that is not registered may be a secret in the wrong place, and another one each time
        name, address = None if client is None else client.client_id, client_address(request.scope)
        if limit is not None:
            await service.limits.hit(limit, name, address)
        # Who has not authenticated has the database asked for nothing, as far as that can be
        asked = client is not None and isinstance(credentials, AssertionGiven)
        now = await service.store.now() if asked else 0.0
        seen = service.store.remember
        try:
            return await authenticate(client, credentials, audiences=self._audiences, now=now, seen=seen)
        except GrantError as error:
            if limit is None:
                await service.limits.hit(RateLimit.TOKEN, name, address)
            reason = error.fault.value
            await service.audit_log.add(client_rejected(time.time(), client_id=name, reason=reason, ip=address))
            raise


def _answered(service: TokenService, answers: _Answers) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that starts the service where nobody has, and turns what is wrong into an answer."""

    async def endpoint(request: Request) -> Response:
        try:
            await service.start()
            answer = await answers(request)
        except ClientDisconnect:
            # Nobody reads it; what was raised would be in the log with a traceback for each who leaves
            answer = empty_answer(status=400)
        except Exception as error:
            told = answer_to(error)
            if told is None:
                raise
            answer = told
        response = Response(answer.body, answer.status)
        response.raw_headers[:] = answer.headers
        return response

    return endpoint


async def _body(request: Request) -> bytes:
    """Return the body, and never more of it than a form may have."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise GrantError(Fault.INVALID_REQUEST, f"the body is larger than {MAX_FORM_BYTES} bytes")
    return bytes(body)


def _authorization(request: Request) -> list[bytes]:
    headers: list[tuple[bytes, bytes]] = request.scope["headers"]
    return [value for name, value in headers if name == b"authorization"]


def _header(request: Request, name: str) -> str:
    return request.headers.get(name, "")
