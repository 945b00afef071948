"""The conformance suite of the faces: one API, built in every framework, that must give the same answers in each.

A face builds `ROUTES` with its framework (`tests/faces/api_*.py`); `CASES` are the requests, each with the one right
answer; `test_conformance.py` sends every case to every face, and keeps the table in `docs/reference/conformance.md`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from jwt_asgi import Decision, Reason
from jwt_asgi._core.access_token import AccessToken
from jwt_asgi.access import (
    Acr,
    AnyToken,
    AuthorizationDetails,
    Claim,
    Client,
    Context,
    ExternalPolicy,
    Issuer,
    PathParam,
    Permission,
    Requirement,
    Role,
    Scope,
    Subject,
)
from jwt_asgi.gate import GateOptions
from jwt_asgi.instrumentation import Outcome
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import ASGIApp, FetchResponse
from tests.asgi import Answer, Headers

__all__ = ["CASES", "CONFIGURATIONS", "ISSUER", "ROUTES", "Case", "Face", "Options", "Request", "seen"]

ISSUER = TestIssuer(algorithms=["ES256"], audience="https://api.example.com")
RESOURCE = "https://api.example.com"
META = 'resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"'


async def office_hours(token: AccessToken, context: Context) -> bool:
    """The external policy: the token says what it answers."""
    assert (context.method, context.path) in {("GET", "/policy"), ("POST", "/mcp")}
    answer = token.claims["answer"]
    if answer == "broken":
        raise RuntimeError("the policy engine is down")
    return answer is True


@dataclass(frozen=True, kw_only=True)
class Route:
    """One route of the API, in every face. It answers 200 with `seen(token)` as JSON.

    `requirement`: None, nothing is required (`public`: exempt, too; otherwise the door's own check is all). `in_body`:
    the endpoint itself calls `check_access`, and not the framework before it.
    """

    path: str
    requirement: Requirement | None
    methods: tuple[str, ...] = ("GET",)
    public: bool = False
    in_body: bool = False
    websocket: bool = False


READ, WRITE, ADMIN = Scope("todos:read"), Scope("todos:write"), Role("admin")

ROUTES: Mapping[str, Route] = {
    "open": Route(path="/open", requirement=None, public=True),
    "me": Route(path="/me", requirement=AnyToken()),
    "maybe": Route(path="/maybe", requirement=None),
    "todos": Route(path="/todos", requirement=READ),
    "new-todo": Route(path="/new-todo", requirement=READ & WRITE, methods=("POST",)),
    "admin": Route(path="/admin", requirement=ADMIN),
    "either": Route(path="/either", requirement=WRITE | ADMIN),
    "not-guest": Route(path="/not-guest", requirement=~Role("guest")),
    "permission": Route(path="/permission", requirement=Permission("todos.delete")),
    "tenant": Route(path="/tenant", requirement=Claim("tenant", equals="acme") & Issuer(ISSUER.issuer)),
    "client": Route(path="/client", requirement=Client("batch")),
    "user": Route(path="/users/{user_id}", requirement=Subject(PathParam("user_id"))),
    "document": Route(path="/documents/{document_id}", requirement=Scope("doc:{document_id}:read")),
    "step-up": Route(path="/step-up", requirement=Acr("phr", max_age=300) & READ),
    "payment": Route(path="/payment", requirement=AuthorizationDetails("payment", actions=["initiate"])),
    "policy": Route(path="/policy", requirement=ExternalPolicy("office hours", office_hours)),
    "body": Route(path="/body", requirement=WRITE, in_body=True),
    "talk": Route(path="/talk", requirement=AnyToken(), websocket=True),
    "talk-todos": Route(path="/talk-todos", requirement=READ, websocket=True),
}


def seen(token: AccessToken | None) -> dict[str, Any]:
    """What every endpoint answers with, and what a WebSocket endpoint sends as text before it closes."""
    if token is None:
        return {"subject": None}
    return {"subject": token.subject, "client": token.client_id, "scopes": sorted(token.scopes)}


@dataclass(frozen=True)
class Options:
    """What a face is built with: the options of the door or of whatever verifies, and the paths that are public."""

    gate: GateOptions
    exempt: Sequence[str]


Build = Callable[[Options], AbstractAsyncContextManager[ASGIApp]]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is sent for a case, apart from its token and its query."""

    method: str
    path: str
    headers: Headers
    body: bytes = b""


def request_of(case: Case) -> Request:
    """Return the request of a case where each route has its path."""
    route = ROUTES[case.route]
    return Request(method=case.method or route.methods[0], path=case.path or route.path, headers=case.headers)


@dataclass(frozen=True, eq=False)
class Face:
    """One face.

    Attributes:
        name: For the table.
        build: Makes the application, alive while the context lasts; once for all cases of a configuration.
        without: Cases that this face cannot have, each with the reason, which the table shows.
        names_scopes_early: A 401 for a missing token names the scopes of the route's rule, since whatever verifies
            knows the rule.
        tells_of_exempt: An exempt request is told to the hooks.
        one_decision: A request that a rule refuses is told once, and not as granted first.
        request: What is sent for a case.
        read: Finds what the endpoint answered in a 200.
    """

    name: str
    build: Build
    without: Mapping[str, str] = field(default_factory=dict)
    names_scopes_early: bool = True
    tells_of_exempt: bool = True
    one_decision: bool = True
    request: Callable[[Case], Request] = request_of
    read: Callable[[Answer], Any] = Answer.json


# --- the configurations ----------------------------------------------------------------------------------------------


async def no_answer(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
    """Stands for an issuer that is down."""
    raise OSError("connection refused")


def options(hooks: list[Decision], **changes: Any) -> Options:
    """Return the options of every face."""
    gate: dict[str, Any] = {**ISSUER.options(), "resource": RESOURCE, "hooks": [hooks.append]}
    public = [route.path for route in ROUTES.values() if route.public]
    return Options(GateOptions(**{**gate, **changes}), public)  # type: ignore[typeddict-item]


CONFIGURATIONS: Mapping[str, Callable[[list[Decision]], Options]] = {
    "default": options,
    "anonymous": partial(options, anonymous=True),
    "realm": partial(options, realm="The todo list", resource=None),
    "outage": partial(options, fetch=no_answer),
}


# --- the cases -------------------------------------------------------------------------------------------------------

_GENERIC = "The access token is missing a required property, or is not valid here"
_FORBIDDEN = "The access token does not allow this"
_MISSING = f"Bearer {META}"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One request and its answer.

    Attributes:
        name: A sentence, unique.
        route: A key of `ROUTES`.
        token: Makes the token; None: no Authorization header of its own.
        status: 200, or that of the refusal.
        challenge: The whole WWW-Authenticate header, or None.
        early: The challenge where the face names the scopes of a rule before it has a token.
        reason: What the hooks are told; None for a grant.
        outcome: Likewise.
        retry: Whether Retry-After is there.
    """

    name: str
    route: str
    token: Callable[[], str] | None = None
    method: str = ""
    path: str = ""
    headers: Headers = ()
    query: bytes = b""
    configuration: str = "default"
    status: int = 200
    challenge: str | None = None
    early: str | None = None
    reason: Reason | None = None
    outcome: Outcome = Outcome.GRANTED
    retry: bool = False

    @property
    def websocket(self) -> bool:
        """Whether it is a WebSocket."""
        return ROUTES[self.route].websocket


def _token(**options: Any) -> Callable[[], str]:
    return partial(ISSUER.token, **options)


def _grant(name: str, route: str, token: Callable[[], str] | None, **more: Any) -> Case:
    return Case(name=name, route=route, token=token, **more)


def _refuse(name: str, route: str, token: Callable[[], str] | None, reason: Reason, **more: Any) -> Case:
    return Case(
        name=name, route=route, token=token, status=reason.status, reason=reason, outcome=Outcome.REFUSED, **more
    )


def _forbid(name: str, route: str, token: Callable[[], str], reason: Reason, **more: Any) -> Case:
    """A 403 without a challenge."""
    return _refuse(name, route, token, reason, **more)


def _lacking(name: str, route: str, token: Callable[[], str], scope: str, **more: Any) -> Case:
    text = "The access token lacks a scope that this needs"
    challenge = f'Bearer error="insufficient_scope", error_description="{text}", scope="{scope}", {META}'
    return _refuse(name, route, token, Reason.SCOPE_MISSING, challenge=challenge, **more)


def _bad(reason: Reason, route: str = "me") -> Case:
    description = "The access token expired" if reason is Reason.TOKEN_EXPIRED else _GENERIC
    challenge = f'Bearer error="invalid_token", error_description="{description}", {META}'
    kind = "WebSocket" if ROUTES[route].websocket else "request"
    name = f"a {kind} with a token that is refused for {reason.value}"
    return _refuse(name, route, partial(ISSUER.bad_token, reason), reason, challenge=challenge)


def _malformed(name: str, reason: Reason, route: str = "me", **more: Any) -> Case:
    text = {
        Reason.CREDENTIALS_MALFORMED: "The Authorization header is malformed",
        Reason.CREDENTIALS_DUPLICATE: "More than one access token was sent",
    }[reason]
    challenge = f'Bearer error="invalid_request", error_description="{text}", {META}'
    return _refuse(name, route, more.pop("token", None), reason, challenge=challenge, **more)


def _header(text: str) -> Headers:
    return [(b"authorization", text.encode("latin-1"))]


_PREFLIGHT = [(b"origin", b"https://app.example.com"), (b"access-control-request-method", b"GET")]
_STEP_UP = "A stronger or more recent authentication of the user is needed"
_UNSCOPED = (
    f'Bearer error="insufficient_user_authentication", error_description="{_STEP_UP}", acr_values="phr", max_age="300"'
)

CASES: Sequence[Case] = (
    # No token, or not a token
    _refuse("no token", "me", None, Reason.CREDENTIALS_MISSING, challenge=_MISSING),
    _refuse(
        "no token where a scope is needed",
        "todos",
        None,
        Reason.CREDENTIALS_MISSING,
        challenge=_MISSING,
        early=f'Bearer scope="todos:read", {META}',
    ),
    _refuse(
        "no token for a WebSocket",
        "talk",
        None,
        Reason.CREDENTIALS_MISSING,
        challenge=_MISSING,
    ),
    _refuse("another scheme", "me", None, Reason.SCHEME_UNSUPPORTED, challenge=_MISSING, headers=_header("Basic dTpw")),
    _refuse(
        "no token, with a realm",
        "me",
        None,
        Reason.CREDENTIALS_MISSING,
        challenge='Bearer realm="The todo list"',
        configuration="realm",
    ),
    _malformed("Bearer without a token", Reason.CREDENTIALS_MALFORMED, headers=_header("Bearer ")),
    _malformed("two words after Bearer", Reason.CREDENTIALS_MALFORMED, headers=_header("Bearer a b")),
    _malformed("characters that no token has", Reason.CREDENTIALS_MALFORMED, headers=_header('Bearer "abc"')),
    _malformed("a malformed header for a WebSocket", Reason.CREDENTIALS_MALFORMED, "talk", headers=_header("Bearer ,")),
    _malformed(
        "two Authorization headers", Reason.CREDENTIALS_DUPLICATE, headers=[*_header("Bearer a"), *_header("Bearer b")]
    ),
    _malformed(
        "two Authorization headers, one of them good",
        Reason.CREDENTIALS_DUPLICATE,
        token=_token(),
        headers=_header("Basic dTpw"),
    ),
    _malformed(
        "a token in the query beside the header",
        Reason.CREDENTIALS_DUPLICATE,
        token=_token(),
        query=b"access_token=abc",
    ),
    # Tokens that are not good here
    *map(
        _bad,
        (
            Reason.TOKEN_EXPIRED,
            Reason.TOKEN_NOT_YET_VALID,
            Reason.AUDIENCE_MISMATCH,
            Reason.ISSUER_UNTRUSTED,
            Reason.SIGNATURE_INVALID,
            Reason.KEY_UNKNOWN,
            Reason.ALGORITHM_NOT_ALLOWED,
            Reason.TYPE_NOT_ACCEPTED,
            Reason.TOKEN_MALFORMED,
            Reason.TOKEN_TOO_LARGE,
            Reason.CLAIM_MISSING,
            Reason.BINDING_UNSUPPORTED,
            Reason.HEADER_CRITICAL,
        ),
    ),
    _bad(Reason.TOKEN_EXPIRED, "talk"),
    _bad(Reason.AUDIENCE_MISMATCH, "talk"),
    # Good tokens
    _grant("a good token", "me", _token(subject="ada", scope="a b")),
    _grant("the scheme in other letters", "me", None, headers=_header("bEaReR {token}")),
    _grant("HEAD with a good token", "me", _token(), method="HEAD"),
    _refuse("HEAD without a token", "me", None, Reason.CREDENTIALS_MISSING, challenge=_MISSING, method="HEAD"),
    _grant("a WebSocket with a good token", "talk", _token(subject="ada")),
    # What is public
    _grant("a public path without a token", "open", None, outcome=Outcome.EXEMPT),
    _grant("a public path with a bad token", "open", _token(expires_in=-3600), outcome=Outcome.EXEMPT),
    Case(
        name="a CORS preflight", route="todos", method="OPTIONS", headers=_PREFLIGHT, status=0, outcome=Outcome.EXEMPT
    ),
    _grant("anonymous access without a token", "maybe", None, configuration="anonymous", outcome=Outcome.ANONYMOUS),
    _grant("anonymous access with a good token", "maybe", _token(subject="ada"), configuration="anonymous"),
    _refuse(
        "anonymous access with a bad token",
        "maybe",
        _token(expires_in=-3600),
        Reason.TOKEN_EXPIRED,
        configuration="anonymous",
        challenge=f'Bearer error="invalid_token", error_description="The access token expired", {META}',
    ),
    _refuse(
        "anonymous access where a rule needs a scope",
        "todos",
        None,
        Reason.CREDENTIALS_MISSING,
        configuration="anonymous",
        challenge=f'Bearer scope="todos:read", {META}',
    ),
    # Scopes
    _grant("the scope is there", "todos", _token(scope="todos:write todos:read")),
    _lacking("the scope is missing", "todos", _token(scope="todos:write"), "todos:read"),
    _lacking("one scope of two is missing", "new-todo", _token(scope="todos:write"), "todos:read todos:write"),
    _grant("both scopes are there", "new-todo", _token(scope="todos:write todos:read")),
    _lacking("a scope in other letters", "todos", _token(scope="Todos:read todos:readx"), "todos:read"),
    _grant("a WebSocket with the scope", "talk-todos", _token(scope="todos:read")),
    _lacking("a WebSocket without the scope", "talk-todos", _token(scope="other"), "todos:read"),
    _lacking("a scope that the endpoint asks for", "body", _token(scope="todos:read"), "todos:write"),
    _grant("a scope of the path", "document", _token(scope="doc:7:read"), path="/documents/7"),
    _lacking("a scope of another path", "document", _token(scope="doc:8:read"), "doc:7:read", path="/documents/7"),
    _forbid(
        "a path that would be two scopes",
        "document",
        _token(scope="doc:7:read x doc:7"),
        Reason.ACCESS_DENIED,
        path="/documents/7:read x",
    ),
    # Roles, permissions, claims
    _grant("the role is there", "admin", _token(roles=["admin"])),
    _forbid("the role is missing", "admin", _token(roles=["Admin"], scope="admin"), Reason.ROLE_MISSING),
    _grant("either by the scope", "either", _token(scope="todos:write")),
    _grant("either by the role", "either", _token(roles=["admin"])),
    _lacking("neither", "either", _token(), "todos:write"),
    _grant("not a guest", "not-guest", _token(roles=["admin"])),
    _forbid("a guest", "not-guest", _token(roles=["guest"]), Reason.ACCESS_DENIED),
    _refuse("not a guest, for want of a token", "not-guest", None, Reason.CREDENTIALS_MISSING, challenge=_MISSING),
    _grant("the permission is there", "permission", _token(claims={"permissions": ["todos.delete"]})),
    _forbid("the permission is missing", "permission", _token(roles=["todos.delete"]), Reason.PERMISSION_MISSING),
    _grant("the tenant", "tenant", _token(claims={"tenant": "acme"})),
    _forbid("another tenant", "tenant", _token(claims={"tenant": ["acme"]}), Reason.ACCESS_DENIED),
    _grant("the client", "client", _token(client_id="batch")),
    _forbid("another client", "client", _token(client_id="web"), Reason.ACCESS_DENIED),
    _grant("one's own", "user", _token(subject="ada"), path="/users/ada"),
    _forbid("another's", "user", _token(subject="eve"), Reason.ACCESS_DENIED, path="/users/ada"),
    _grant(
        "the authorization details",
        "payment",
        _token(claims={"authorization_details": [{"type": "payment", "actions": ["initiate", "status"]}]}),
    ),
    _forbid(
        "other authorization details",
        "payment",
        _token(claims={"authorization_details": [{"type": "payment", "actions": ["status"]}]}),
        Reason.ACCESS_DENIED,
    ),
    # Step-up (RFC 9470)
    _grant(
        "a strong and recent authentication",
        "step-up",
        lambda: ISSUER.token(scope="todos:read", claims={"acr": "phr", "auth_time": time.time() - 10}),
    ),
    _refuse(
        "an authentication too long ago",
        "step-up",
        lambda: ISSUER.token(scope="todos:read", claims={"acr": "phr", "auth_time": time.time() - 1000}),
        Reason.AUTHENTICATION_INSUFFICIENT,
        challenge=f'{_UNSCOPED}, scope="todos:read", {META}',
    ),
    _refuse(
        "a weak authentication, and no scope",
        "step-up",
        _token(claims={"acr": "pwd"}),
        Reason.AUTHENTICATION_INSUFFICIENT,
        challenge=f'{_UNSCOPED}, scope="todos:read", {META}',
    ),
    # External policies
    _grant("the external policy lets in", "policy", _token(claims={"answer": True})),
    _forbid("the external policy does not", "policy", _token(claims={"answer": "yes"}), Reason.ACCESS_DENIED),
    Case(
        name="the external policy is down",
        route="policy",
        token=_token(claims={"answer": "broken"}),
        status=503,
        retry=True,
        reason=Reason.ACCESS_UNDECIDED,
        outcome=Outcome.UNAVAILABLE,
    ),
    # The issuer's keys
    Case(
        name="the issuer is down",
        route="me",
        token=_token(),
        configuration="outage",
        status=503,
        retry=True,
        reason=Reason.KEYS_UNAVAILABLE,
        outcome=Outcome.UNAVAILABLE,
    ),
    Case(
        name="a WebSocket while the issuer is down",
        route="talk",
        token=_token(),
        configuration="outage",
        status=503,
        retry=True,
        reason=Reason.KEYS_UNAVAILABLE,
        outcome=Outcome.UNAVAILABLE,
    ),
    _refuse(
        "an expired token while the issuer is down",
        "me",
        _token(expires_in=-3600),
        Reason.TOKEN_EXPIRED,
        configuration="outage",
        challenge=f'Bearer error="invalid_token", error_description="The access token expired", {META}',
    ),
)
