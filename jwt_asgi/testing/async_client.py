"""httpx's AsyncClient for an application in this process, with a token."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx

from jwt_asgi.testing.clients import Application, Identities
from jwt_asgi.types import ASGIApp, Message

if TYPE_CHECKING:
    from jwt_asgi.testing.issuer import TestIssuer

__all__ = ["AsyncClient"]


class AsyncClient(Identities, httpx.AsyncClient):
    """An `httpx.AsyncClient` whose copies carry other tokens; `async with` runs the application's lifespan, on asyncio.

    `options` are those of `httpx.AsyncClient`. An exception that the application lets out is raised by the request.
    """

    def __init__(self, issuer: TestIssuer, app: ASGIApp, **options: Any) -> None:  # noqa: ANN401 - those of httpx
        """Take the application."""
        self.issuer = issuer
        self._application = Application(app)
        self._lifespan = _Lifespan(self._application)
        transport = httpx.ASGITransport(self._application)
        super().__init__(transport=transport, **{"base_url": "http://testserver", **options})

    async def __aenter__(self) -> Self:
        """Start the application."""
        await self._lifespan.start()
        return await super().__aenter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Stop it."""
        await super().__aexit__(exc_type, exc_value, traceback)
        await self._lifespan.stop()


class _Lifespan:
    """A server's side of an application's lifespan: a task, since fixtures begin and end in different ones."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def start(self) -> None:
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()
        self._task = asyncio.create_task(self._run())
        await self._ask("startup")

    async def stop(self) -> None:
        await self._ask("shutdown")
        await self._task

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": self._application.state}
        await self._application(scope, self._to_app.get, self._from_app.put)

    async def _ask(self, phase: str) -> None:
        await self._to_app.put({"type": f"lifespan.{phase}"})
        answer = asyncio.ensure_future(self._from_app.get())
        await asyncio.wait([answer, self._task], return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            await self._task
        elif answer.result()["type"] != f"lifespan.{phase}.complete":
            await asyncio.wait([self._task])
            self._task.exception()
            raise RuntimeError(f"the {phase} of the application failed: {answer.result().get('message', '')}")
