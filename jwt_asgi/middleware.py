"""The door: scope -> token -> Verifier -> scope["jwt"], or an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Unpack

from jwt_asgi._core.access import Context, Requirement
from jwt_asgi._core.access_token import AccessToken
from jwt_asgi._core.challenge import Answer
from jwt_asgi._core.paths import Exemption, RouteRule, RouteRules, is_preflight, method_of, needed_scopes, route_path
from jwt_asgi._core.resource import resource_answer
from jwt_asgi.access import authorize_all
from jwt_asgi.errors import AccessError, ConfigurationError, JWTASGIError, KeysUnavailable, Reason
from jwt_asgi.gate import REFUSE, Gate, GateOptions, list_of
from jwt_asgi.identity import set_identity
from jwt_asgi.instrumentation import Decision, Outcome
from jwt_asgi.types import ASGIApp, ASGIScope, Message, Receive, Send
from jwt_asgi.verifier import StartUp, check_start_up

__all__ = ["JWTMiddleware"]

_POLICY_VIOLATION = 1008
"""RFC 6455 section 7.4.1. Before the handshake is accepted, servers answer a close with 403."""


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
        **gate: Unpack[GateOptions],
    ) -> None:
        """Check the options; nothing is fetched."""
        self._app = app
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
        """Whether a connection needs no token, likewise."""
        return self._is_exempt(scope)

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
        resource = self._gate.resource
        if (
            resource is not None
            and scope["type"] == "http"
            and resource.metadata_path in {scope["path"], route_path(scope)}
        ):
            return await self._tell_of_resource(scope, send)
        began = perf_counter()
        token: AccessToken | None = None
        outcome = Outcome.EXEMPT
        if not self._is_exempt(scope):
            rules = () if self._rules is None else self._rules.covering(scope)
            try:
                token = await self._gate.token_of(scope)
                if self._rules is not None:
                    await _meet(rules, token, scope)
            except JWTASGIError as error:
                return await self._refuse(error, token, began, scope, receive, send, rules)
            outcome = Outcome.ANONYMOUS if token is None else Outcome.GRANTED
        set_identity(scope, token)
        verdict = _Verdict(
            self._gate,
            Decision(outcome=outcome, token=token, kind=scope["type"], seconds=perf_counter() - began),
            began,
        )
        scope[REFUSE] = verdict.refuse
        door = _Passage(receive, send, verdict)
        try:
            await self._app(scope, door.receive if scope["type"] == "websocket" else receive, door.send)
        except AccessError as error:
            answer = verdict.refuse(error)
            verdict.tell()
            await _answer(answer, scope, door.receive_connect, send)
        except BaseException:
            verdict.tell()
            raise
        else:
            verdict.tell()
        return None

    def _is_exempt(self, scope: ASGIScope) -> bool:
        return is_preflight(scope) or (bool(self._exempt) and any(path.covers(scope) for path in self._exempt))

    async def _refuse(
        self,
        error: JWTASGIError,
        token: AccessToken | None,
        began: float,
        scope: ASGIScope,
        receive: Receive,
        send: Send,
        rules: Sequence[RouteRule] = (),
    ) -> None:
        answer = self._gate.refuse(error, scope, token=token, began=began, needs=needed_scopes(rules))
        await _answer(answer, scope, receive, send)

    async def _tell_of_resource(self, scope: ASGIScope, send: Send) -> None:
        """Serve the metadata of RFC 9728 to anyone, browsers of other origins too."""
        scopes = () if self._rules is None else self._rules.scopes()
        answer = resource_answer(self._gate.metadata(scopes), scope["method"])
        await _send_answer(answer, send, "http.response", body=scope["method"] != "HEAD")


async def _meet(rules: Sequence[RouteRule], token: AccessToken | None, scope: ASGIScope) -> None:
    """Hold a token against every rule that covers the request."""
    path, method = route_path(scope), method_of(scope)
    if not rules:
        raise AccessError(Reason.ROUTE_NOT_COVERED, f'add a rule for {method}, or "/*" with AnyToken() for the rest')
    context = Context(method=method, path=path)
    await authorize_all(token, [(rule.requirement, replace(context, path_params=rule.path_params)) for rule in rules])


class _Verdict:
    """What becomes of one connection: let in, unless the application refuses before it answers. Hooks are told once."""

    __slots__ = ("_began", "_decision", "_gate", "told")

    def __init__(self, gate: Gate, decision: Decision, began: float) -> None:
        self._gate, self._decision, self._began = gate, decision, began
        self.told = False

    def refuse(self, error: JWTASGIError) -> Answer:
        """Refuse after all, and return the answer for the application's framework to send: `scope[REFUSE]`.

        Raises:
            JWTASGIError: the error itself, where the application has answered already.
        """
        if self.told:
            raise error
        seconds, let_in = perf_counter() - self._began, self._decision
        self._decision = Decision.of_error(error, token=let_in.token, kind=let_in.kind, seconds=seconds)
        return self._gate.answer(error)

    def tell(self) -> None:
        if not self.told:
            self.told = True
            self._gate.tell(self._decision)


class _Passage:
    """The application's way back to the client: the decision is told when it is first used.

    Until then the application may still refuse, and one request has one decision.
    """

    __slots__ = ("_connect", "_receive", "_send", "_verdict")

    def __init__(self, receive: Receive, send: Send, verdict: _Verdict) -> None:
        self._receive, self._send, self._verdict = receive, send, verdict
        self._connect: Message | None = None

    async def send(self, message: Message) -> None:
        self._verdict.tell()
        await self._send(message)

    async def receive(self) -> Message:
        message = await self._receive()
        self._connect = self._connect or message
        return message

    async def receive_connect(self) -> Message:
        """Return the first message, which the application may have taken already."""
        return self._connect or await self._receive()


async def _answer(answer: Answer, scope: ASGIScope, receive: Receive, send: Send) -> None:
    """Send an answer to a connection that has none yet."""
    if scope["type"] == "http":
        await _send_answer(answer, send, "http.response", body=scope["method"] != "HEAD")
    elif (await receive())["type"] == "websocket.connect":
        if "websocket.http.response" in scope.get("extensions", {}):
            await _send_answer(answer, send, "websocket.http.response", body=True)
        else:
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": ""})


async def _send_answer(answer: Answer, send: Send, prefix: str, *, body: bool) -> None:
    await send({"type": f"{prefix}.start", "status": answer.status, "headers": list(answer.headers)})
    await send({"type": f"{prefix}.body", "body": answer.body if body else b""})
