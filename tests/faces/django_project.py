"""A Django project in one module: its settings, its URLs, and views of every kind.

Settings are global and configured once, when this module is first imported; nothing outside of Django is touched.
"""

# mypy: disable-error-code="misc, untyped-decorator"
from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from typing import Any

import django
from django.conf import settings

from jwt_asgi.access import Context, ExternalPolicy, PathParam, Scope, Subject, check_access

settings.configure(
    SECRET_KEY="only for tests",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "rest_framework"],
    MIDDLEWARE=["jwt_asgi.django.RequestAuthMiddleware"],
    LOGGING_CONFIG=None,
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": ["jwt_asgi.django.DRFAuthentication"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    },
)
django.setup(set_prefix=False)

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse  # noqa: E402
from django.urls import path, re_path  # noqa: E402
from django.utils.decorators import method_decorator  # noqa: E402
from django.views import View  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402
from rest_framework.permissions import IsAuthenticated  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402

from jwt_asgi.django import RequestAuthMiddleware, refuse, require  # noqa: E402
from jwt_asgi.errors import AccessError  # noqa: E402

READ = Scope("todos:read")
THREADS: list[int] = []
"""Where external policies were asked, and where the middleware ran."""


async def calendar(token: object, context: Context) -> bool:
    THREADS.append(threading.get_ident())
    return (context.method, context.path[:5], context.path_params) == ("GET", "/days", {"day": "monday"})


def here(request: HttpRequest) -> HttpResponse:
    token = request.auth
    return JsonResponse({"subject": None if token is None else token.subject, "thread": threading.get_ident()})


async def who(request: HttpRequest) -> HttpResponse:
    return here(request)


@require(READ)
async def todos(request: HttpRequest) -> HttpResponse:
    return here(request)


@require(READ)
def todos_sync(request: HttpRequest) -> HttpResponse:
    return here(request)


async def body(request: HttpRequest) -> HttpResponse:
    check_access(request.auth, READ)
    return here(request)


def body_sync(request: HttpRequest) -> HttpResponse:
    check_access(request.auth, READ)
    return here(request)


@require(READ)
class Todos(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return here(request)


@require(READ)
class AsyncTodos(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return here(request)


class Heir(AsyncTodos):
    """A class below one that is guarded."""


@method_decorator(require(READ), name="dispatch")
class Dispatched(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return here(request)


@method_decorator(require(READ), name="dispatch")
class AsyncDispatched(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return here(request)


class Methods(View):
    @method_decorator(require(READ))
    def get(self, request: HttpRequest) -> HttpResponse:
        return here(request)

    def post(self, request: HttpRequest) -> HttpResponse:
        return here(request)


class AsyncMethods(View):
    @method_decorator(require(READ))
    async def get(self, request: HttpRequest) -> HttpResponse:
        return here(request)


class Open(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return here(request)


class Body(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        check_access(request.auth, READ)
        return here(request)


class AsyncBody(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        check_access(request.auth, READ)
        return here(request)


@require(Subject(PathParam("user")))
async def user(request: HttpRequest, user: str) -> HttpResponse:
    return HttpResponse(user)


@require(Scope("doc:{number}:read"))
def document(request: HttpRequest, number: int) -> HttpResponse:
    return HttpResponse(str(number))


@require(ExternalPolicy("calendar", calendar))
async def day(request: HttpRequest, day: str) -> HttpResponse:
    return HttpResponse(day)


@require(ExternalPolicy("calendar", calendar))
def day_sync(request: HttpRequest, day: str) -> HttpResponse:
    return HttpResponse(day)


@require(READ)
async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one,"
        yield b"two"

    return StreamingHttpResponse(pieces())


async def stream_refused(request: HttpRequest) -> StreamingHttpResponse:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one,"
        check_access(request.auth, READ)

    return StreamingHttpResponse(pieces())


@csrf_exempt
@require(READ)
async def posted(request: HttpRequest) -> HttpResponse:
    return here(request)


def broken(request: HttpRequest) -> HttpResponse:
    raise KeyError("mine")


class Rest(APIView):
    def get(self, request: Any) -> Response:
        check_access(request.auth, READ)
        return Response({"subject": request.auth.subject, "user": request.user.display_name})


@require(READ)
class RestGuarded(APIView):
    def get(self, request: Any) -> Response:
        return Response({"subject": request.auth.subject})


class RestMethod(APIView):
    @method_decorator(require(READ))
    def get(self, request: Any) -> Response:
        return Response({"subject": request.auth.subject})


class RestAuthenticated(APIView):
    permission_classes = (IsAuthenticated,)

    def get(self, request: Any) -> Response:
        return Response({"user": request.user.display_name})


class OwnMiddleware:
    """A middleware of the project that checks before any view."""

    async_capable = True
    sync_capable = False

    def __init__(self, get_response: Any) -> None:
        self._get_response = get_response
        from asgiref.sync import markcoroutinefunction  # noqa: PLC0415

        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            check_access(request.auth, READ)
        except AccessError as error:
            return refuse(request, error)
        return await self._get_response(request)


class WatchedMiddleware(RequestAuthMiddleware):
    """Ours, with a look at where it runs."""

    def __call__(self, request: HttpRequest) -> Any:
        THREADS.append(threading.get_ident())
        return super().__call__(request)


class SyncMiddleware:
    """A middleware that is sync alone: Django runs all inside of it in a thread."""

    def __init__(self, get_response: Any) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        response["x-seen"] = str(response.status_code)
        return response


urlpatterns = [
    path("who", who),
    path("open", who),
    path("open/guarded", todos),
    path("todos", todos),
    path("todos/sync", todos_sync),
    path("body", body),
    path("body/sync", body_sync),
    path("class", Todos.as_view()),
    path("class/async", AsyncTodos.as_view()),
    path("class/heir", Heir.as_view()),
    path("class/dispatch", Dispatched.as_view()),
    path("class/dispatch/async", AsyncDispatched.as_view()),
    path("class/method", Methods.as_view()),
    path("class/method/async", AsyncMethods.as_view()),
    path("class/wrapped", require(READ)(Open.as_view())),
    path("class/body", Body.as_view()),
    path("class/body/async", AsyncBody.as_view()),
    path("users/<str:user>", user),
    path("docs/<int:number>", document),
    re_path(r"^days/(?P<day>[a-z]+)$", day),
    path("days/sync/<str:day>", day_sync),
    path("stream", stream),
    path("stream/refused", stream_refused),
    path("posted", posted),
    path("broken", broken),
    path("rest", Rest.as_view()),
    path("rest/class", RestGuarded.as_view()),
    path("rest/method", RestMethod.as_view()),
    path("rest/authenticated", RestAuthenticated.as_view()),
]
