"""The API of the conformance suite in Django, with async and with sync views, and its WebSockets in Channels."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import override_settings
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from jwt_asgi import JWTMiddleware, check_access
from jwt_asgi.django import require
from jwt_asgi.types import ASGIApp
from tests.faces import django_project
from tests.faces.conformance import ROUTES, Face, Options, Route, seen

assert django_project.urlpatterns, "the settings are configured there"


def answer_sync(request: HttpRequest, *, route: Route, **path_params: str) -> HttpResponse:
    if route.in_body and route.requirement is not None:
        check_access(request.auth, route.requirement)
    return JsonResponse(seen(request.auth))


async def answer_async(request: HttpRequest, *, route: Route, **path_params: str) -> HttpResponse:
    return answer_sync(request, route=route, **path_params)


class Talk(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def connect(self) -> None:
        requirement = self.scope["url_route"]["kwargs"]["route"].requirement
        check_access(self.scope["jwt"], requirement)
        await self.accept()
        await self.send(json.dumps(seen(self.scope["jwt"])))


def pattern(route: Route, view: Any) -> Any:
    """Return a URL as a user would write it."""
    where = route.path.removeprefix("/").replace("{", "<str:").replace("}", ">")
    if route.websocket:
        return path(where, Talk.as_asgi(), {"route": route})
    if route.requirement is not None and not route.in_body:
        view = require(route.requirement)(view)
    methods = [*route.methods, *(["HEAD"] if "GET" in route.methods else [])]
    return path(where, csrf_exempt(require_http_methods(methods)(view)), {"route": route})


def urls(view: Any) -> tuple[Any, ...]:
    return tuple(pattern(route, view) for route in ROUTES.values() if not route.websocket)


@asynccontextmanager
async def build(options: Options, *, patterns: tuple[Any, ...]) -> AsyncIterator[ASGIApp]:
    sockets = URLRouter([pattern(route, None) for route in ROUTES.values() if route.websocket])
    with override_settings(ROOT_URLCONF=patterns):
        router = ProtocolTypeRouter({"http": get_asgi_application(), "websocket": sockets})
        yield JWTMiddleware(router, exempt=options.exempt, **options.gate)


DJANGO_ASYNC = Face(
    "Django and Channels, async views", partial(build, patterns=urls(answer_async)), names_scopes_early=False
)
DJANGO_SYNC = Face("Django, sync views", partial(build, patterns=urls(answer_sync)), names_scopes_early=False)
