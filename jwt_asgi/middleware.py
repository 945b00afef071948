"""The door: scope -> token -> Verifier -> scope["jwt"], or an answer."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from time import perf_counter, time
from typing import Unpack

from jwt_asgi._core.access import Requirement
from jwt_asgi._core.access_token import AccessToken
from jwt_asgi._core.paths import Exemption, RouteRules, is_preflight, method_of, needed_scopes
from jwt_asgi._core.policy import flag
from jwt_asgi.access import authorize_all
from jwt_asgi.answers import send_answer
from jwt_asgi.errors import AccessError, ConfigurationError, JWTASGIError, KeysUnavailable, Reason
from jwt_asgi.expiry import ExpiringPassage
from jwt_asgi.gate import GATE, REFUSE, Gate, GateOptions, list_of
from jwt_asgi.identity import set_identity
from jwt_asgi.instrumentation import Outcome
from jwt_asgi.passage import Passage, refuse_late
from jwt_asgi.renewal import Reauthenticate, Renewer, check_reauthenticate
from jwt_asgi.types import ASGIApp, ASGIScope, Message, Receive, Send
from jwt_asgi.verifier import StartUp, check_start_up

__all__ = ["JWTMiddleware"]

_METHOD = re.compile("[A-Z]{1,20}")
_LAYERS = 100
_CONNECTIONS = frozenset({"http", "websocket"})


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
        rules: What each route needs: `{"GET /todos/{id}": Scope("todos:read"), "/admin/*": Role("admin")}`. A request
            must meet every rule that covers it, and is refused where none does.
        verifier: In place of the issuer's options.
        token_cache: How many verified tokens are kept in memory, 10,000 by default; 0: every token is verified each
            time. See `Verifier`.
        revocation: A `RevocationFeed` of what the issuer has revoked: every token is held against it each time.
        exempt: Paths that need no token: "/healthz" is that path alone, "/docs/*" whole segments below it. "GET /x"
            narrows it to a method. Paths are those that a router sees, below `root_path`.
        anonymous: Let requests without a token through, with `scope["jwt"]` None. A bad token is refused all the same.
        realm: For the challenge.
        resource: What the API says of itself (RFC 9728), or its URL alone: the metadata are served, and challenges name
            where.
        hooks: Told of every decision; by default refusals are logged.
        startup: When the issuers' keys are first fetched: `lazy`, for the first token, so that an issuer that is down
            never stops a start; `warm`, at the start, for 5 seconds at most, going on without them; `require`,
            likewise, failing without them. The latter two need a server that sends lifespan events.
        end_at_expiry: Close WebSockets with 1008, and end responses that have no content-length, when their token
            expires or is revoked.
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
        rules: Mapping[str, Requirement] | None = None,
        exempt: Sequence[str] = (),
        startup: StartUp = "lazy",
        end_at_expiry: bool = True,
        reauthenticate: Reauthenticate | None = None,
        **gate: Unpack[GateOptions],
    ) -> None:
        """Check the options; nothing is fetched."""
        self._app = app
        self._root_path = _root_path_of(app)
        self._gate = Gate(**gate)
        self.verifier = self._gate.verifier
        paths = list_of("exempt", exempt, str, 'paths, as ["/healthz", "/docs/*"]')
        self._exempt = tuple(map(Exemption.parse, paths))
        if rules is not None and gate.get("anonymous"):
            raise ConfigurationError(
                "rules", "every rule needs a token: list public paths in exempt, without anonymous"
            )
        self._rules = None if rules is None else RouteRules(rules)
        self._startup: StartUp = check_start_up(startup)
        self._end_at_expiry = flag("end_at_expiry", end_at_expiry)
        self._reauthenticate = check_reauthenticate(reauthenticate, end_at_expiry=end_at_expiry)

    @property
    def gate(self) -> Gate:
        """What verifies, and what is said of the resource."""
        return self._gate

    @property
    def rules(self) -> RouteRules | None:
        """The rules of the routes, for those who list them; None: any token will do."""
        return self._rules

    @property
    def exempt(self) -> tuple[Exemption, ...]:
        """The paths that need no token, likewise."""
        return self._exempt

    def is_exempt(self, scope: ASGIScope) -> bool:
        """Whether a connection needs no token: a CORS preflight, or an exempt path."""
        if scope.get("method") == "OPTIONS" and is_preflight(scope):
            return True
        return bool(self._exempt) and any(path.covers(scope) for path in self._exempt)

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Let the connection in, or answer it."""
        if self._root_path:
            scope["root_path"] = self._root_path
        if scope["type"] not in _CONNECTIONS or self._gate.is_metadata(scope):
            return await self._see_to(scope, receive, send)
        began = perf_counter()
        token: AccessToken | None = None
        outcome = Outcome.EXEMPT
        if not self.is_exempt(scope):
            try:
                found = self._gate.token_at_once(scope)
                token = found if found is None or isinstance(found, AccessToken) else await found
                if self._rules is not None:
                    await self._meet_rules(token, scope)
            except JWTASGIError as error:
                return await self._refuse(error, token, began, scope, receive, send)
            outcome = Outcome.ANONYMOUS if token is None else Outcome.GRANTED
        set_identity(scope, token)
        way = self._passage(outcome, token, began, scope, receive, send)
        scope[REFUSE] = way.refuse
        # That of a face around this door
        scope.pop(GATE, None)
        try:
            await way.run(self._app)
        except BaseException as error:
            if not await way.fail(error):
                raise
        else:
            if not way.is_over:
                await way.end()
        finally:
            scope[REFUSE] = refuse_late

    async def _see_to(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Deal with what needs no decision."""
        match scope["type"]:
            case "http":
                await self._tell_of_resource(scope, receive, send)
            case "lifespan":
                async with self.verifier:
                    await self._start(scope, receive, self._closing(send))
            case other:
                raise ConfigurationError("scope type", f"expected http, websocket or lifespan; got {other!r}")

    def _closing(self, send: Send) -> Send:
        """Close before the server is told that all is done: it waits for nothing after that."""

        async def closing(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                await self.verifier.aclose()
            await send(message)

        return closing

    async def _start(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
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

    def _passage(
        self,
        outcome: Outcome,
        token: AccessToken | None,
        began: float,
        scope: ASGIScope,
        receive: Receive,
        send: Send,
    ) -> Passage:
        if token is None or not self._end_at_expiry:
            return Passage(self._gate, outcome, token, began, scope, receive, send)
        way = ExpiringPassage(self._gate, outcome, token, began, scope, receive, send)
        if self._reauthenticate is not None:
            # Rules are for the scope as it is now: a framework writes into it what it has matched
            admit = partial(self._meet_rules, scope=dict(scope))
            way.renewable = partial(
                Renewer,
                token,
                self.verifier,
                find=self._reauthenticate,
                admit=admit,
                identify=partial(set_identity, scope),
                tell=self._gate.tell,
            )
        return way

    async def _meet_rules(self, token: AccessToken | None, scope: ASGIScope) -> None:
        """Hold a token against every rule that covers the connection."""
        if self._rules is None:
            return
        rules = self._rules.covering(scope, time())
        if not rules:
            # It may be whatever the client sent, and goes into logs
            method = method_of(scope)
            named = method if _METHOD.fullmatch(method) else "it"
            detail = f'add a rule for {named}, or "/*" with AnyToken() for the rest'
            raise AccessError(Reason.ROUTE_NOT_COVERED, detail)
        await authorize_all(token, rules)

    async def _refuse(
        self,
        error: JWTASGIError,
        token: AccessToken | None,
        began: float,
        scope: ASGIScope,
        receive: Receive,
        send: Send,
    ) -> None:
        answer = self._gate.refuse(error, scope, token=token, began=began, needs=partial(self._needed_scopes, scope))
        await send_answer(answer, scope, receive, send)

    def _needed_scopes(self, scope: ASGIScope) -> Iterable[str]:
        """Return those that a token needs for this connection."""
        return () if self._rules is None else needed_scopes(self._rules.covering(scope))

    def _named_scopes(self) -> Iterable[str]:
        """Return the scopes that the rules name, for the metadata of the resource."""
        return () if self._rules is None else self._rules.scopes()

    async def _tell_of_resource(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Serve the metadata of RFC 9728 to anyone, browsers of other origins too."""
        await send_answer(self._gate.metadata(scope["method"], self._named_scopes()), scope, receive, send)


def _root_path_of(app: object) -> str:
    """Return what FastAPI itself will put on the scope as `root_path`, past the server: rules are for its paths."""
    kind: type | None = getattr(sys.modules.get("fastapi"), "FastAPI", None)
    for _ in range(_LAYERS if kind else 0):
        if kind is not None and isinstance(app, kind):
            root_path: object = getattr(app, "root_path", "")
            return root_path if isinstance(root_path, str) else ""
        app = getattr(app, "app", None)
    return ""
