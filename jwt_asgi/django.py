"""The door in Django, under ASGI: `RequestAuthMiddleware` for `request.auth` and refusals, `require` for views.

The door itself stands in `asgi.py`: `application = JWTMiddleware(get_asgi_application(), issuer=..., ...)`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from asgiref.sync import async_to_sync, iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator

from jwt_asgi._core.access import Context, Requirement
from jwt_asgi._core.access_token import AccessToken
from jwt_asgi._core.paths import is_preflight, method_of, route_path
from jwt_asgi.access import authorize, check_access, check_rule
from jwt_asgi.errors import AccessError, ConfigurationError, Reason
from jwt_asgi.gate import REFUSE
from jwt_asgi.types import ASGIScope

__all__ = ["DRFAuthentication", "RequestAuthMiddleware", "refuse", "require"]

View = TypeVar("View", bound=Callable[..., Any])


class RequestAuthMiddleware:
    """Puts the verified token on `request.auth`, and lets an `AccessError` of a view be answered as the door answers.

    `MIDDLEWARE = [..., "jwt_asgi.django.RequestAuthMiddleware"]`. `request.auth` is None where no token was needed and
    none was sent. `request.user` stays Django's.

    Raises:
        ConfigurationError: in a request: there is no door, or no ASGI.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        """Be of the kind that the next one is, so that no thread is needed."""
        self._get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:  # noqa: ANN401 - a response, or what is awaited for one
        """Set `request.auth`."""
        request.auth = _scope(request)["jwt"]
        return self._get_response(request)

    async def process_view(self, request: HttpRequest, *_: object) -> HttpResponse | None:
        """Answer a CORS preflight, which comes without a token: a view, of whatever methods, is not called for it."""
        scope = _scope(request)
        return HttpResponse(status=204) if scope["jwt"] is None and is_preflight(scope) else None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer a refusal; Django answers the rest."""
        return refuse(request, exception) if isinstance(exception, AccessError) else None


def require(rule: Requirement) -> Callable[[View], View]:
    """Let a view be called with a token alone that meets a rule.

    For functions, sync and async, and for classes. The path parameters of the URL pattern are those of the rule.

    Raises:
        ConfigurationError: it is no rule; in a request: there is no door, or no ASGI.
    """
    check_rule("require", rule)
    check = async_to_sync(authorize) if rule.awaits() else check_access

    def decorate(view: Any) -> Any:  # noqa: ANN401 - whatever Django takes for a view
        if isinstance(view, type):
            return method_decorator(decorate, name="dispatch")(view)

        def guarded(request: HttpRequest, *args: object, **kwargs: object) -> Any:  # noqa: ANN401 - the view's own
            try:
                check(_scope(request)["jwt"], rule, context=_context(request))
            except AccessError as error:
                return refuse(request, error)
            return view(request, *args, **kwargs)

        async def async_guarded(request: HttpRequest, *args: object, **kwargs: object) -> Any:  # noqa: ANN401
            try:
                await authorize(_scope(request)["jwt"], rule, context=_context(request))
            except AccessError as error:
                return refuse(request, error)
            return await view(request, *args, **kwargs)

        wrapped: Any = wraps(view)(async_guarded if _is_async(view) else guarded)
        wrapped.jwt_requirement = rule
        return wrapped

    return decorate


def refuse(request: HttpRequest, error: AccessError) -> HttpResponse:
    """Return the door's answer to a refusal; hooks are told. For middleware of your own, which checks before any view.

    Raises:
        ConfigurationError: there is no door, or no ASGI.
    """
    scope = _scope(request)
    answer = scope[REFUSE](error)
    headers = {name.decode("ascii").title(): value.decode("ascii") for name, value in answer.headers}
    return HttpResponse(b"" if method_of(scope) == "HEAD" else answer.body, status=answer.status, headers=headers)


class DRFAuthentication:
    """For Django REST framework, which has a `request.auth` and a `request.user` of its own.

    `DEFAULT_AUTHENTICATION_CLASSES = ["jwt_asgi.django.DRFAuthentication"]`. Both are those of the token there; for
    users of a database, override `user_of`.
    """

    def authenticate(self, request: Any) -> tuple[Any, AccessToken] | None:  # noqa: ANN401 - the framework's request
        """Return the user and the token; None where there is no token."""
        token: AccessToken | None = _scope(request)["jwt"]
        return None if token is None else (self.user_of(request, token), token)

    def user_of(self, request: Any, token: AccessToken) -> Any:  # noqa: ANN401, ARG002 - for those who override it
        """Return the user of a token: by default one that is authenticated and known by the token alone."""
        return _scope(request)["user"]

    def authenticate_header(self, request: Any) -> str:  # noqa: ANN401 - the framework's request
        """Return the door's challenge where the framework asks for a token; hooks are told."""
        challenge: str = refuse(request, AccessError(Reason.CREDENTIALS_MISSING)).headers["WWW-Authenticate"]
        return challenge


def _scope(request: HttpRequest) -> ASGIScope:
    scope: ASGIScope | None = getattr(request, "scope", None)
    if scope is None:
        raise ConfigurationError("ASGI", "this is WSGI, where no token is verified; let an ASGI server run asgi.py")
    if REFUSE not in scope:
        detail = "there is no door; in asgi.py, write application = JWTMiddleware(get_asgi_application(), issuer=...)"
        raise ConfigurationError("JWTMiddleware", detail)
    return scope


def _context(request: HttpRequest) -> Context:
    scope, match = request.scope, request.resolver_match
    params = {} if match is None else match.captured_kwargs
    return Context(method=method_of(scope), path=route_path(scope), path_params=params)


def _is_async(view: Any) -> bool:  # noqa: ANN401 - whatever Django takes for a view
    """Whether it is awaited; of a class's `dispatch`, which is no coroutine function, the class says so."""
    of = getattr(getattr(view, "func", view), "__self__", None)
    return iscoroutinefunction(view) or getattr(of, "view_is_async", False)
