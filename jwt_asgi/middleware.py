"""The door: scope -> token -> Verifier -> scope["jwt"], or an answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, Self, Unpack

from starlette.authentication import AuthCredentials, BaseUser, UnauthenticatedUser

from jwt_asgi._core.access_token import AccessToken
from jwt_asgi._core.bearer import NoToken, bearer_token
from jwt_asgi._core.challenge import Answer, answer_to, check_realm
from jwt_asgi._core.policy import flag
from jwt_asgi.errors import AccessError, ConfigurationError, JWTASGIError, KeysUnavailable, TokenError
from jwt_asgi.instrumentation import Decision, Hook, LoggingHook, Outcome, tell
from jwt_asgi.issuers import IssuerOptions, TrustedIssuer
from jwt_asgi.passage import POLICY_VIOLATION, ExpiringPassage, Passage
from jwt_asgi.renewal import Reauthenticate, Renewer, check_reauthenticate
from jwt_asgi.types import ASGIApp, ASGIScope, Message, Receive, Send
from jwt_asgi.verifier import StartUp, Verifier, check_start_up

__all__ = ["JWTMiddleware", "TokenUser"]


class TokenUser(BaseUser):
    """Starlette's `request.user` for a verified token, which is `token`."""

    __slots__ = ("token",)

    def __init__(self, token: AccessToken) -> None:
        """Keep the token."""
        self.token = token

    @property
    def is_authenticated(self) -> bool:
        """Always true."""
        return True

    @property
    def display_name(self) -> str:
        """The subject, or else the client."""
        return self.token.subject or self.token.client_id or ""

    @property
    def identity(self) -> str:
        """The subject, or else the client."""
        return self.display_name


class JWTMiddleware:
    """Protects an ASGI application: every `http` and `websocket` connection needs a good token.

    `JWTMiddleware(app, issuer=..., audience=..., algorithms=[...])`, or `app.add_middleware(JWTMiddleware, issuer=...,
    ...)` in Starlette and FastAPI. The options of the issuer are those of `TrustedIssuer`. For several issuers, give
    `verifier=Verifier(TrustedIssuer(...), ...)` in their place.

    The application finds the verified token in `scope["jwt"]`, and Starlette's `request.user` and `request.auth` are
    set. It may raise `AccessError` (see `check_access`) before it answers: the client gets 403. `verifier` is the
    verifier in use, for its `status()`.

    Args:
        app: The application.
        verifier: In place of the issuer's options.
        exempt: Paths that need no token: "/healthz" is that path alone, "/docs/*" whole segments below it. "GET /x"
            narrows it to a method. Paths are those that a router sees, below `root_path`.
        anonymous: Let requests without a token through, with `scope["jwt"]` None. A bad token is refused all the same.
        realm: For the challenge.
        hooks: Told of every decision; by default refusals are logged.
        startup: When the issuers' keys are first fetched: `lazy`, for the first token, so that an issuer that is down
            never stops a start; `warm`, at the start, for 5 seconds at most, going on without them; `require`,
            likewise, failing without them. The latter two need a server that sends lifespan events.
        end_at_expiry: Close WebSockets with 1008, and end responses that have no content-length, when their token
            expires.
        reauthenticate: Finds a new token in what the client sends on a WebSocket: takes the ASGI message, and returns
            the token text, or None for a message that is the application's. A token of the same issuer, subject and
            client takes the place of the old one, and any other closes the connection.

    Raises:
        ConfigurationError: an option is missing or wrong.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        verifier: Verifier | None = None,
        exempt: Sequence[str] = (),
        anonymous: bool = False,
        realm: str | None = None,
        hooks: Sequence[Hook] | None = None,
        startup: StartUp = "lazy",
        end_at_expiry: bool = True,
        reauthenticate: Reauthenticate | None = None,
        **issuer: Unpack[IssuerOptions],
    ) -> None:
        """Check the options; nothing is fetched."""
        self._app = app
        self.verifier = _verifier(verifier, issuer)
        self._exempt = tuple(_Exemption.parse(pattern) for pattern in _list_of("exempt", exempt, str))
        self._anonymous = flag("anonymous", anonymous)
        self._realm = check_realm(realm)
        self._startup: StartUp = check_start_up(startup)
        self._end_at_expiry = flag("end_at_expiry", end_at_expiry)
        self._reauthenticate = check_reauthenticate(reauthenticate, end_at_expiry=end_at_expiry)
        self._hooks = (LoggingHook(),) if hooks is None else tuple(_list_of("hooks", hooks, Callable))

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Let the connection in, or answer it."""
        match scope["type"]:
            case "http" | "websocket":
                await self._enter(scope, receive, send)
            case "lifespan":
                async with self.verifier:
                    await self._live(scope, receive, send)
            case other:
                raise ConfigurationError("scope type", f"expected http, websocket or lifespan; got {other!r}")

    async def _live(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Fetch keys before the application starts, if that is wanted."""
        if self._startup == "lazy":
            return await self._app(scope, receive, send)
        first = await receive()
        try:
            if first["type"] == "lifespan.startup":
                await self.verifier.start(self._startup)
        except KeysUnavailable as error:
            message = f"jwt-asgi: startup={self._startup!r}, and the keys of {error.issuer} cannot be had: {error}"
            # Before the failure is sent: Hypercorn goes on to serve unless this call ends right after it
            await self.verifier.aclose()
            return await send({"type": "lifespan.startup.failed", "message": message})
        pending = [first]

        async def replay() -> Message:
            return pending.pop() if pending else await receive()

        return await self._app(scope, replay, send)

    async def _enter(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        token: AccessToken | None = None
        outcome = Outcome.EXEMPT
        if not self._is_exempt(scope):
            try:
                token = await self._token_of(scope)
            except JWTASGIError as error:
                await self._refuse(error, None, began, scope, receive, send)
                return
            outcome = Outcome.ANONYMOUS if token is None else Outcome.GRANTED
        _set_identity(scope, token)
        decision = Decision(outcome=outcome, token=token, kind=scope["type"], seconds=perf_counter() - began)
        door = self._passage(scope, token, receive, send, lambda: tell(self._hooks, decision))
        try:
            await door.run(self._app, scope)
        except AccessError as error:
            if door.used:
                raise
            await self._refuse(error, token, began, scope, door.receive_connect, send)
        except BaseException:
            door.use()
            raise
        else:
            door.use()

    def _passage(
        self, scope: ASGIScope, token: AccessToken | None, receive: Receive, send: Send, tell: Callable[[], None]
    ) -> Passage:
        if token is None or not self._end_at_expiry:
            return Passage(receive, send, tell)
        return ExpiringPassage(
            receive,
            send,
            tell,
            lambda: Renewer(token, self.verifier, self._reauthenticate, partial(_set_identity, scope), self._hooks),
        )

    async def _token_of(self, scope: ASGIScope) -> AccessToken | None:
        found = bearer_token(scope["headers"], scope.get("query_string", b""))
        if not isinstance(found, NoToken):
            return await self.verifier.verify(found)
        if self._anonymous:
            return None
        raise TokenError(found.value)

    def _is_exempt(self, scope: ASGIScope) -> bool:
        if scope["type"] == "http" and scope["method"] == "OPTIONS" and _is_preflight(scope):
            return True
        return bool(self._exempt) and any(exemption.covers(scope) for exemption in self._exempt)

    async def _refuse(
        self,
        error: JWTASGIError,
        token: AccessToken | None,
        began: float,
        scope: ASGIScope,
        receive: Receive,
        send: Send,
    ) -> None:
        kind = scope["type"]
        tell(self._hooks, Decision.of_error(error, token=token, kind=kind, seconds=perf_counter() - began))
        answer = answer_to(error, self._realm)
        if kind == "http":
            await _send_answer(answer, send, "http.response", body=scope["method"] != "HEAD")
        elif (await receive())["type"] == "websocket.connect":
            if "websocket.http.response" in scope.get("extensions", {}):
                await _send_answer(answer, send, "websocket.http.response", body=True)
            else:
                await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": ""})


@dataclass(frozen=True, slots=True)
class _Exemption:
    """A path that needs no token; with `below`, everything under it, segment by segment."""

    method: str | None
    path: str
    below: bool

    @classmethod
    def parse(cls, pattern: str) -> Self:
        method, separator, path = pattern.rpartition(" ")
        below = path.endswith("/*")
        plain = path[:-1] if below else path
        if not plain.startswith("/") or "*" in plain or (separator and not (method.isalpha() and method.isupper())):
            detail = f'expected "/path", "/path/*" or "GET /path"; got {pattern!r}'
            raise ConfigurationError("exempt", detail)
        return cls(method if separator else None, plain, below)

    def covers(self, scope: ASGIScope) -> bool:
        if self.method is not None and scope.get("method") != self.method:
            return False
        path = _route_path(scope)
        if not self.below:
            return path == self.path
        return path.startswith(self.path) and _is_plain(path[len(self.path) :], scope.get("raw_path"))


def _is_plain(rest: str, raw_path: bytes | None) -> bool:
    """Whether what lies below a prefix cannot lead out of it in the eyes of another router or file system."""
    if raw_path is not None and any(code in raw_path.lower() for code in (b"%2f", b"%5c", b"%2e", b"%25")):
        return False
    if not rest.isprintable() or any(character in rest for character in "\\;%"):
        return False
    return not any(segment in {"", ".", ".."} for segment in rest.split("/"))


def _route_path(scope: ASGIScope) -> str:
    """The path that a router matches: below `root_path`, as Starlette counts it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and path.startswith(root) and path[len(root) :][:1] in {"", "/"}:
        return path[len(root) :]
    return path


def _is_preflight(scope: ASGIScope) -> bool:
    """A CORS preflight, which browsers send without credentials (Fetch section 3.2.2)."""
    names = {name for name, _ in scope["headers"]}
    return b"origin" in names and b"access-control-request-method" in names


def _set_identity(scope: ASGIScope, token: AccessToken | None) -> None:
    """Overwrite whatever was there, so that nothing outside can pass itself off as a verified token."""
    scope["jwt"] = token
    scope["auth"] = AuthCredentials(["authenticated", *sorted(token.scopes)] if token is not None else None)
    scope["user"] = UnauthenticatedUser() if token is None else TokenUser(token)


async def _send_answer(answer: Answer, send: Send, prefix: str, *, body: bool) -> None:
    await send({"type": f"{prefix}.start", "status": answer.status, "headers": list(answer.headers)})
    await send({"type": f"{prefix}.body", "body": answer.body if body else b""})


def _verifier(verifier: Verifier | None, issuer: IssuerOptions) -> Verifier:
    if verifier is None:
        missing = [name for name in ("issuer", "audience", "algorithms") if issuer.get(name) is None]
        if missing:
            raise ConfigurationError(", ".join(missing), "required; there is no default that would be safe")
        return Verifier(TrustedIssuer(**issuer))
    if not isinstance(verifier, Verifier):
        raise ConfigurationError("verifier", f"expected Verifier(TrustedIssuer(...)); got {type(verifier).__name__}")
    if issuer:
        raise ConfigurationError("verifier", f"expected no {', '.join(issuer)} beside it: they belong to its issuers")
    return verifier


def _list_of(option: str, values: Sequence[Any], kind: Any) -> Sequence[Any]:  # noqa: ANN401 - a type or Callable
    if isinstance(values, str) or not isinstance(values, Sequence) or not all(isinstance(v, kind) for v in values):
        expected = 'paths, as ["/healthz", "/docs/*"]' if option == "exempt" else "hooks"
        raise ConfigurationError(option, f"expected a list of {expected}; got {values!r}")
    return values
