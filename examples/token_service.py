"""An API with a login of its own, and the token service behind it, in one FastAPI application.

The application knows its users and checks their passwords; the token service issues, refreshes and revokes tokens. The
page at / logs in as ada, password "correct horse battery staple", and calls the API.

Run it, with `pip install "jwt-asgi[cli,fastapi,issuer]" argon2-cffi`, and a master key that is kept for ever:

    (umask 077; python -c "from jwt_asgi.issuer import MasterKeys; print(MasterKeys.new())" > master.key)
    uvicorn --factory examples.token_service:create_app
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from anyio import CapacityLimiter, to_thread
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, Field

from jwt_asgi import AccessToken, JWTMiddleware, LoggingHook, Profile, Scope
from jwt_asgi.fastapi import REFUSALS, CurrentToken, require
from jwt_asgi.issuer import Client, MasterKeys, RateLimited, TokenService, in_process, token_endpoints
from jwt_asgi.issuer.rate_limits import client_address
from jwt_asgi.revocation import FromStore, RevocationFeed

PAGE = Path(__file__).with_name("token_service.html")
CLIENT = "web"
Reader = Annotated[AccessToken, Depends(require(Scope("notes:read")))]


class Passwords:
    """The users, in memory, with the Argon2 hashes of their passwords."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._hashes = {"ada": self._hasher.hash("correct horse battery staple")}
        # Who does not exist takes as long as who does
        self._nobody = self._hasher.hash("")
        # Each takes 64 MiB for the time of a check
        self._at_once = CapacityLimiter(2)

    async def fit(self, name: str, password: str) -> bool:
        hashed = self._hashes.get(name, self._nobody)
        try:
            await to_thread.run_sync(self._hasher.verify, hashed, password, limiter=self._at_once)
        except VerifyMismatchError:
            return False
        return name in self._hashes


class Login(BaseModel, strict=True):
    """What the page sends."""

    name: str = Field(max_length=100)
    password: str = Field(min_length=1, max_length=1000)


class Device(BaseModel):
    """A session, as its user sees it."""

    sid: str
    since: float
    last_seen: float
    this: bool


login = APIRouter()
api = APIRouter(responses=REFUSALS)


def service_of(request: Request) -> TokenService:
    service: TokenService = request.app.state.service
    return service


Service = Annotated[TokenService, Depends(service_of)]


@login.get("/")
async def page() -> HTMLResponse:
    return HTMLResponse(PAGE.read_text(encoding="utf-8").replace("CLIENT_ID", CLIENT))


@login.post("/login")
async def log_in(given: Login, request: Request, service: Service) -> JSONResponse:
    passwords: Passwords = request.app.state.passwords
    try:
        await service.limits.login(given.name, client_address(request.scope))
    except RateLimited as refused:
        raise HTTPException(429, headers={"retry-after": str(refused.retry_after)}) from None
    if not await passwords.fit(given.name, given.password):
        raise HTTPException(403, "Name or password is wrong")
    await service.limits.login_succeeded(given.name)
    tokens = await service.issue(
        subject=given.name,
        client_id=CLIENT,
        audience=request.app.state.audience,
        scopes=["notes:read"],
        amr=["pwd"],
    )
    return JSONResponse(tokens.answer(), headers={"cache-control": "no-store"})


@api.get("/notes")
async def notes(token: Reader) -> dict[str, str | None]:
    return {"notes of": token.subject}


@api.get("/devices")
async def devices(token: CurrentToken, service: Service) -> list[Device]:
    return [
        Device(
            sid=session.sid,
            since=session.created_at,
            last_seen=session.family.rotated_at,
            this=session.sid == token.claims["sid"],
        )
        for session in await service.sessions(str(token.subject))
    ]


@api.delete("/devices/{sid}", status_code=204)
async def end_device(sid: str, token: CurrentToken, service: Service) -> None:
    # A sid is no secret: end one's own sessions alone
    if sid not in {session.sid for session in await service.sessions(str(token.subject))}:
        raise HTTPException(404, "There is no such session")
    await service.revoke(session=sid, reason="logout")


@api.delete("/devices", status_code=204)
async def log_out_everywhere(token: CurrentToken, service: Service) -> None:
    await service.revoke(subject=str(token.subject), reason="logout_everywhere")


def create_app() -> FastAPI:
    url = os.environ.get("URL", "http://127.0.0.1:8000")
    service = TokenService(
        issuer=f"{url}/auth",
        store=os.environ.get("STORE", "sqlite:///tokens.db"),
        master_keys=MasterKeys.from_file(os.environ.get("MASTER_KEYS", "master.key")),
        clients=[Client(client_id=CLIENT, authentication="none")],
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.store.migrate()
        async with service:
            yield

    app = FastAPI(title="Notes", lifespan=lifespan)
    app.state.service, app.state.audience, app.state.passwords = service, url, Passwords()
    app.include_router(login)
    app.include_router(api)
    app.mount("/auth", token_endpoints(service))
    app.add_middleware(
        JWTMiddleware,
        issuer=service.issuer,
        audience=url,
        algorithms=["ES256"],
        profile=Profile.RFC9068,
        fetch=in_process(service),
        revocation=RevocationFeed(FromStore(service.store.entries), issuer=service.issuer, on_stale="deny"),
        exempt=["/", "/login", "/auth/*", "/docs", "/openapi.json"],
        # Who uses an access token has received the refresh token beside it
        hooks=[LoggingHook(), service.confirmations],
    )
    return app
