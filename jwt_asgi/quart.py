"""The door in Quart: `JWT(app, ...)`, `require` for views, `current_token`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Final, ParamSpec, Unpack

from quart import Quart, Response, current_app, has_websocket_context, request, websocket

from jwt_asgi._core.access import Context, Requirement
from jwt_asgi._core.access_token import AccessToken
from jwt_asgi._core.paths import method_of, route_path
from jwt_asgi.access import authorize, check_rule
from jwt_asgi.answers import POLICY_VIOLATION, can_deny
from jwt_asgi.errors import AccessError, ConfigurationError
from jwt_asgi.gate import REFUSE, GateOptions
from jwt_asgi.middleware import JWTMiddleware
from jwt_asgi.renewal import Reauthenticate
from jwt_asgi.types import ASGIScope
from jwt_asgi.verifier import StartUp

__all__ = ["JWT", "DoorOptions", "answer_refusals", "current_token", "require"]

P = ParamSpec("P")

_NAME: Final = "jwt_asgi"


class DoorOptions(GateOptions, total=False):
    """The options of `JWTMiddleware`."""

    rules: Mapping[str, Requirement] | None
    exempt: Sequence[str]
    startup: StartUp
    end_at_expiry: bool
    reauthenticate: Reauthenticate | None


class JWT:
    """Protects a Quart application: `JWT(app, issuer=..., audience=..., algorithms=[...])`.

    Every request and every WebSocket needs a good token. In a factory of applications, `jwt = JWT(issuer=..., ...)` and
    later `jwt.init_app(app)`. The options are those of `JWTMiddleware`. Call it after other middleware was put around
    `app.asgi_app`, where that shall come after the door.
    """

    def __init__(self, app: Quart | None = None, **options: Unpack[DoorOptions]) -> None:
        """Keep the options; with an application, protect it."""
        self._options = options
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Quart) -> JWTMiddleware:
        """Put the door around `app.asgi_app`, and return it, for its `verifier`.

        Raises:
            ConfigurationError: an option is missing or wrong, or the application has a door of this kind.
        """
        if app.extensions.get(_NAME) is not None:
            raise ConfigurationError("JWT", "this application has its door already; write JWT(app, ...) once")
        inner: Any = app.asgi_app
        door = JWTMiddleware(inner, **self._options)
        app.asgi_app = door  # type: ignore[method-assign,assignment]
        answer_refusals(app)
        app.extensions[_NAME] = door
        return door


def answer_refusals(app: Quart) -> None:
    """Let an `AccessError` of a view be answered as the door answers.

    `JWT(app, ...)` does so. Call it for an application inside another one that has the door.
    """
    app.register_error_handler(AccessError, _refused)
    app.extensions.setdefault(_NAME, None)


def current_token() -> AccessToken | None:
    """Return the verified token of this request or WebSocket; None where none was needed and none was sent.

    Raises:
        ConfigurationError: there is no door.
    """
    token: AccessToken | None = _scope()["jwt"]
    return token


def require(rule: Requirement) -> Callable[[Callable[P, Any]], Callable[P, Awaitable[Any]]]:
    """Let a view be called with a token alone that meets a rule.

    It stands below the route, `@app.get(...)` or `@app.websocket(...)`, and above `async def`. The path parameters of
    the route are those of the rule. Functions for `before_request` and `before_websocket` take it too.

    Raises:
        ConfigurationError: it is no rule; in a request: there is no door.
    """
    check_rule("require", rule)

    def decorate(view: Callable[P, Any]) -> Callable[P, Awaitable[Any]]:
        @wraps(view)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401 - the view's own
            scope = _scope()
            params = (websocket if has_websocket_context() else request).view_args
            context = Context(method=method_of(scope), path=route_path(scope))
            await authorize(scope["jwt"], rule, path_params=params or {}, context=context)
            return await current_app.ensure_async(view)(*args, **kwargs)

        guarded.jwt_requirement = rule  # type: ignore[attr-defined]
        return guarded

    return decorate


def _scope() -> ASGIScope:
    scope: ASGIScope = (websocket if has_websocket_context() else request).scope  # type: ignore[assignment]
    if REFUSE not in scope:
        raise ConfigurationError("JWT", "there is no door; write JWT(app, issuer=..., audience=..., algorithms=[...])")
    if _NAME not in current_app.extensions:
        raise ConfigurationError("JWT", "for a door that is outside of this application, write answer_refusals(app)")
    return scope


async def _refused(error: AccessError) -> Any:  # noqa: ANN401 - Quart takes None too, and its types do not say so
    scope = _scope()
    answer = scope[REFUSE](error)
    if scope["type"] == "websocket" and not can_deny(scope):
        await websocket.close(POLICY_VIOLATION)
        return None
    response = Response(b"" if method_of(scope) == "HEAD" else answer.body, answer.status)
    for name, value in answer.headers:
        response.headers[name.decode("ascii").title()] = value.decode("ascii")
    return response
