"""Litestar's face: a plugin that protects an application, and guards that hold access rules."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from copy import copy
from functools import partial
from time import perf_counter
from typing import Annotated, Any, Unpack, cast

import litestar.di
from litestar import Litestar, Request, Response, asgi
from litestar.config.app import AppConfig
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.exceptions.responses import create_exception_response
from litestar.handlers import ASGIRouteHandler, BaseRouteHandler
from litestar.middleware import DefineMiddleware
from litestar.openapi.spec import Components, SecurityScheme
from litestar.plugins.base import InitPlugin, ReceiveRoutePlugin
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import Guard, Receive, Scope, Send

from jwt_asgi._core.access_token import AccessToken
from jwt_asgi._core.paths import is_preflight, method_of
from jwt_asgi.access import AnyToken, Context, Requirement, authorize, check_access, check_rule
from jwt_asgi.errors import AccessError, ConfigurationError
from jwt_asgi.gate import GateOptions, refuse
from jwt_asgi.middleware import JWTMiddleware
from jwt_asgi.renewal import Reauthenticate
from jwt_asgi.types import ASGIApp, ASGIScope
from jwt_asgi.verifier import StartUp, check_start_up

__all__ = ["CurrentToken", "JWTPlugin", "require"]

# Litestar 3 wants dependencies marked; older versions have no mark
CurrentToken = Annotated[AccessToken, getattr(litestar.di, "Dependency", object)()]
"""The type of a handler's parameter `token`: the verified token. Where there is none, the handler is not called."""

_FORGOTTEN = "nothing has verified a token: give JWTPlugin the issuer, or put JWTMiddleware around the application"


def require(rule: Requirement) -> Guard:
    """Return a guard that lets in tokens that meet a rule: `@get("/todos", guards=[require(Scope("todos:read"))])`.

    It is for every layer, and for HTTP, WebSocket and ASGI handlers alike.

    Raises:
        ConfigurationError: it is no rule; in a request: nothing has verified a token, which is answered with 500.
    """
    check_rule("require", rule)

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        scope = cast("ASGIScope", connection.scope)
        # Litestar has cut the root path off
        context = Context(method=method_of(scope), path=scope["path"])
        try:
            await authorize(_verified(scope), rule, path_params=scope.get("path_params", {}), context=context)
        except AccessError as error:
            raise _http(error, scope) from error

    guard.jwt_requirement = rule  # type: ignore[attr-defined]
    return guard


class JWTPlugin(InitPlugin, ReceiveRoutePlugin):
    """Protects a Litestar application: every route that is not exempt needs a good token.

    `Litestar(plugins=[JWTPlugin(issuer=..., audience=..., algorithms=[...])])`. Handlers get the token as `token:
    CurrentToken`, or as `request.scope["jwt"]`, and may call `check_access`. OpenAPI documents say which scopes are
    needed. Exempt is a route whose `opt` has `jwt_exempt=True`: `@get("/healthz", jwt_exempt=True)`. Without any option
    the plugin is for an application that has `JWTMiddleware` around it, which verifies.

    Args:
        exempt: Paths, as those of `JWTMiddleware`, of routes that are no mounts. A slash at the end does not count.
        startup: As that of `JWTMiddleware`.
        end_at_expiry: Likewise.
        reauthenticate: Likewise.
        dependency: The name of the dependency that is the token; None: there is none.
        scheme: The name of the security scheme in OpenAPI documents.
        gate: The options of the issuer; `verifier`, `anonymous`, `realm`, `resource`, `hooks`.

    Raises:
        ConfigurationError: an option is missing or wrong.
    """

    def __init__(
        self,
        *,
        exempt: Sequence[str] = (),
        startup: StartUp = "lazy",
        end_at_expiry: bool = True,
        reauthenticate: Reauthenticate | None = None,
        dependency: str | None = "token",
        scheme: str = "JWT",
        **gate: Unpack[GateOptions],
    ) -> None:
        """Check the options; nothing is fetched."""
        if "rules" in gate:
            # In a mount, Litestar has cut off what they would match
            detail = "expected guards on the routes; for rules, put JWTMiddleware around the application"
            raise ConfigurationError("rules", detail)
        behind = not gate and not exempt and startup == "lazy" and end_at_expiry and reauthenticate is None
        door = partial(_Door, exempt=exempt, end_at_expiry=end_at_expiry, reauthenticate=reauthenticate)
        self._door = None if behind else door(**gate)
        self.verifier = None if self._door is None else self._door.verifier
        self._startup: StartUp = check_start_up(startup)
        self._dependency, self._scheme = dependency, scheme

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add the middleware, the dependency, the security scheme, and what makes an answer of an `AccessError`."""
        if app_config.opt.get("jwt_exempt") is True:
            raise ConfigurationError("opt", "expected jwt_exempt on routes; for the whole application it opens all")
        around: Any = _BehindTheDoor if self._door is None else self._door.around
        app_config.middleware.insert(0, DefineMiddleware(around))
        app_config.after_exception.append(_tell_of_refusal)
        app_config.exception_handlers = {AccessError: _answer, **app_config.exception_handlers}
        if self._dependency is not None:
            app_config.dependencies.setdefault(self._dependency, Provide(_token, sync_to_thread=False))
        if self._door is not None:
            app_config.lifespan.insert(0, self._live)
            app_config.route_handlers.extend(self._door.routes())
        if app_config.openapi_config is not None:
            app_config.openapi_config = config = copy(app_config.openapi_config)
            bearer = SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")
            others = config.components if isinstance(config.components, list) else [config.components]
            config.components = [*others, Components(security_schemes={self._scheme: bearer})]
        return app_config

    def receive_route(self, route: BaseRoute) -> None:
        """Say in OpenAPI documents, and in the metadata of RFC 9728, which scopes a route asks for."""
        handlers: list[Any] = getattr(route, "route_handlers", None) or [route.route_handler]  # type: ignore[attr-defined]
        for handler in handlers:
            rules = [getattr(guard, "jwt_requirement", None) for guard in handler.resolve_guards()]
            scopes = frozenset[str]().union(*(rule.scopes() for rule in rules if isinstance(rule, Requirement)))
            if self._door is not None:
                self._door.scopes |= scopes
            needed = {self._scheme: sorted(scopes)}
            if isinstance(route, HTTPRoute) and not self._is_open(route, handler):
                handler.security = [*(one for one in handler.security or () if one != needed), needed]

    def _is_open(self, route: HTTPRoute, handler: BaseRouteHandler) -> bool:
        scope = {"type": "http", "method": "", "path": route.path_format, "headers": (), "route_handler": handler}
        return self._door is not None and self._door.is_exempt(scope)

    @asynccontextmanager
    async def _live(self, _: Litestar) -> AsyncIterator[None]:
        assert self.verifier is not None  # noqa: S101 - for the type checker
        async with self.verifier:
            await self.verifier.start(self._startup)
            yield


class _Door(JWTMiddleware):
    """The door in Litestar's own stack, called where the route is known already; one for all routes."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - those of `JWTMiddleware`, as the plugin has them
        super().__init__(_nowhere, **options)
        self.scopes: set[str] = set()

    def around(self, app: ASGIApp) -> _Door:
        """Return the door around the rest of a route's stack."""
        door = copy(self)
        door._app = app  # noqa: SLF001 - its own
        return door

    def is_exempt(self, scope: ASGIScope) -> bool:
        """Whether no token is needed, by the route's `opt`, or by the path as Litestar has matched it."""
        handler = scope["route_handler"]
        if handler.opt.get("jwt_exempt") is True:
            return True
        # Litestar has cut the root path off, and the mount's own path
        if not self._exempt or getattr(handler, "is_mount", False):
            return is_preflight(scope)
        return super().is_exempt({**scope, "root_path": ""})

    def routes(self) -> list[ASGIRouteHandler]:
        """Return a route for the metadata of RFC 9728, since Litestar calls nothing where it knows no route."""

        # No method: Litestar would copy the door with it
        async def metadata(scope: Scope, receive: Receive, send: Send) -> None:
            await self._tell_of_resource(cast("ASGIScope", scope), cast("Any", receive), cast("Any", send))

        resource = self._gate.resource
        return [] if resource is None else [asgi(resource.metadata_path, jwt_exempt=True, copy_scope=False)(metadata)]

    def _named_scopes(self) -> Iterable[str]:
        return self.scopes


class _BehindTheDoor:
    """Lets nothing in that has not come through `JWTMiddleware`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: ASGIScope, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        _verified(scope)
        await self._app(scope, receive, send)


async def _nowhere(scope: ASGIScope, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
    """Stand where the rest of a route's stack will be."""


def _verified(scope: ASGIScope) -> AccessToken | None:
    if "jwt" not in scope:
        raise ConfigurationError("JWTPlugin", _FORGOTTEN)
    token: AccessToken | None = scope["jwt"]
    return token


def _token(scope: Scope) -> AccessToken:
    return check_access(_verified(cast("ASGIScope", scope)), AnyToken())


_token.jwt_requirement = AnyToken()  # type: ignore[attr-defined]


async def _tell_of_refusal(error: Exception, scope: Scope) -> None:
    """Let the door know before Litestar answers: a WebSocket gets no other chance."""
    if isinstance(error, AccessError):
        # Where the answer has begun, that is Litestar's affair
        with suppress(AccessError):
            refuse(error, cast("ASGIScope", scope), began=perf_counter())


def _answer(request: Request[Any, Any, Any], error: AccessError) -> Response[Any]:
    return create_exception_response(request, _http(error, cast("ASGIScope", request.scope)))


def _http(error: AccessError, scope: ASGIScope) -> HTTPException:
    """Return what Litestar answers with; for a WebSocket, the door does."""
    answer = refuse(error, scope, began=perf_counter())
    headers = {name.decode(): value.decode() for name, value in answer.headers if not name.startswith(b"content-")}
    detail = json.loads(answer.body)["error_description"]
    return HTTPException(detail=detail, status_code=answer.status, headers=headers)
