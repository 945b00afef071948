"""`JWTBearer`, `require` and `CurrentToken`: verification and access rules as FastAPI dependencies."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio.to_thread
import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Security, WebSocket
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from openapi_spec_validator import validate

from jwt_asgi import (
    AccessError,
    AccessToken,
    ConfigurationError,
    Decision,
    JWTMiddleware,
    Reason,
    Role,
    Scope,
    TrustedIssuer,
    Verifier,
    check_access,
)
from jwt_asgi.access import AnyToken, Context, ExternalPolicy, Grants, PathParam, Subject
from jwt_asgi.fastapi import REFUSALS, CurrentToken, JWTBearer, Rule, require
from jwt_asgi.instrumentation import Outcome
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import FetchResponse
from tests.asgi import http, websocket

ISSUER = TestIssuer(algorithms=["ES256"])
BEARER = JWTBearer(**ISSUER.options(), resource="https://api.test")
META = 'resource_metadata="https://api.test/.well-known/oauth-protected-resource"'
LACKS = 'Bearer error="insufficient_scope", error_description="The access token lacks a scope that this needs"'
DENIAL: dict[str, Any] = {"websocket.http.response": {}}


def application(*dependencies: Any, **options: Any) -> FastAPI:
    """An application with one path, `/`, that has these dependencies and answers with the subject."""
    app = FastAPI(**options)

    @app.get("/", dependencies=list(dependencies))
    async def root(request: Request) -> dict[str, Any]:
        return {"user": request.user.display_name, "scopes": request.auth.scopes}

    @app.websocket("/talk", dependencies=list(dependencies))
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(websocket.user.display_name)
        await websocket.close()

    return app


def behind_the_middleware(app: FastAPI, **options: Any) -> FastAPI:
    app.add_middleware(JWTMiddleware, **ISSUER.options(), **options)
    return app


# --- who verifies, and how often --------------------------------------------------------------------------------------


async def test_a_bearer_verifies_by_itself_and_sets_what_the_middleware_sets() -> None:
    answer = await http(application(Depends(BEARER)), token=ISSUER.token(subject="ada", scope="b a"))
    assert answer.json() == {"user": "ada", "scopes": ["authenticated", "a", "b"]}


async def test_the_value_of_a_bearer_is_the_token_or_none_where_none_is_needed() -> None:
    bearer = JWTBearer(**ISSUER.options(), anonymous=True)
    app = FastAPI()

    @app.get("/")
    async def root(token: Annotated[AccessToken | None, Depends(bearer)]) -> str | None:
        return None if token is None else token.subject

    @app.get("/scoped")
    async def scoped(token: Annotated[AccessToken, Security(bearer, scopes=["a"])]) -> str | None:
        return token.subject

    assert (await http(app)).json() is None
    assert (await http(app, token=ISSUER.token(subject="ada"))).json() == "ada"
    assert (await http(app, token=ISSUER.bad_token(Reason.TOKEN_EXPIRED))).status == 401
    answer = await http(app, path="/scoped")
    assert (answer.status, answer.challenge) == (401, 'Bearer scope="a"')


async def test_a_token_is_verified_once_for_each_request_and_bearer() -> None:
    verified: list[str] = []

    def grants(token: AccessToken) -> Grants:
        verified.append(token.subject or "")
        return Grants()

    bearer = JWTBearer(**ISSUER.options(), grants=grants)
    other = JWTBearer(**ISSUER.options(), grants=grants)
    app = application(
        Security(bearer, scopes=["a"]),
        Security(bearer, scopes=["b"]),
        Depends(bearer.require(Scope("c"))),
        Depends(require(Scope("d"))),
        dependencies=[Depends(bearer)],
    )
    token = ISSUER.token(subject="ada", scope="a b c d")
    assert (await http(app, token=token)).status == 200
    assert verified == ["ada"]
    assert (await http(app, token=token)).status == 200
    assert verified == ["ada"] * 2
    assert (await http(application(Depends(bearer), Depends(other)), token=token)).status == 200
    assert verified == ["ada"] * 4


async def test_a_bearer_protects_an_application_or_a_router_as_a_whole() -> None:
    app = application(dependencies=[Depends(BEARER)])
    assert (await http(app)).status == 401
    assert (await http(app, token=ISSUER.token())).status == 200

    router = APIRouter(prefix="/api", dependencies=[Security(BEARER, scopes=["a"])])

    @router.get("/todos")
    async def todos(token: Annotated[AccessToken, Depends(require(Role("admin")))]) -> str | None:
        return token.subject

    outer = FastAPI()
    outer.include_router(router)
    assert (await http(outer, path="/api/todos")).status == 401
    assert (await http(outer, path="/api/todos", token=ISSUER.token(roles=["admin"]))).status == 403
    assert (await http(outer, path="/api/todos", token=ISSUER.token(scope="a"))).status == 403
    assert (await http(outer, path="/api/todos", token=ISSUER.token(scope="a", roles=["admin"]))).status == 200
    assert (await http(outer, path="/elsewhere")).status == 404


async def test_all_scopes_of_security_are_needed_those_of_its_parents_too() -> None:
    def nested(token: Annotated[AccessToken, Security(BEARER, scopes=["b"])]) -> AccessToken:
        return token

    for dependency in (Security(BEARER, scopes=["a", "b"]), Security(nested, scopes=["a"])):
        app = application(dependency)
        answer = await http(app, token=ISSUER.token(scope="a"))
        assert (answer.status, answer.challenge) == (403, f'{LACKS}, scope="a b", {META}')
        assert (await http(app, token=ISSUER.token(scope="b"))).status == 403
        assert (await http(app, token=ISSUER.token(scope="a b"))).status == 200
        missing = await http(app)
        assert (missing.status, missing.challenge) == (401, f'Bearer scope="a b", {META}')


async def test_several_issuers_are_given_as_a_verifier() -> None:
    other = TestIssuer("https://other.test", audience="https://other-api.test", algorithms=["ES256"])
    verifier = Verifier(TrustedIssuer(**ISSUER.options()), TrustedIssuer(**other.options()))
    bearer = JWTBearer(verifier=verifier)
    assert bearer.verifier is verifier
    for issuer in (ISSUER, other):
        assert (await http(application(Depends(bearer)), token=issuer.token())).status == 200


async def test_the_last_of_two_bearers_is_the_one_that_counts() -> None:
    other = TestIssuer("https://other.test", algorithms=["ES256"])
    told: list[Decision] = []
    second = JWTBearer(verifier=Verifier(*(TrustedIssuer(**i.options()) for i in (ISSUER, other))), hooks=[told.append])
    app = application(Depends(BEARER), Depends(second), Depends(require(Scope("a"))))
    assert (await http(app, token=other.token(scope="a"))).status == 401
    assert (await http(app, token=ISSUER.token())).status == 403
    assert [decision.reason for decision in told] == [None, Reason.SCOPE_MISSING]


async def test_a_dependency_override_stands_in_for_a_bearer() -> None:
    app = FastAPI()

    @app.get("/")
    async def root(token: Annotated[Any, Depends(BEARER)]) -> Any:
        return token

    app.dependency_overrides[BEARER] = lambda: "overridden"
    assert (await http(app)).json() == "overridden"


async def test_nothing_hops_to_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    token = ISSUER.token(scope="a")
    bare = application(
        Security(BEARER, scopes=["a"]), Depends(BEARER.require(Scope("a"))), Depends(require(Scope("a")))
    )
    behind = behind_the_middleware(application(Depends(require(Scope("a")))))
    assert (await http(behind, token=token)).status == 200

    async def hop(*arguments: object, **options: object) -> None:
        raise AssertionError("a hop to a thread")

    monkeypatch.setattr(anyio.to_thread, "run_sync", hop)
    assert (await http(bare, token=token)).status == 200
    assert (await http(bare, token=ISSUER.token())).status == 403
    assert (await http(behind, token=token)).status == 200
    assert (await http(behind, token=ISSUER.token())).status == 403


# --- rules ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("makes", [BEARER.require, require], ids=["bearer.require", "require"])
async def test_a_rule_is_held_against_the_token(makes: Any) -> None:
    rule = Scope("a") & (Role("admin") | Scope("b"))
    app = application(Depends(makes(rule)))
    if makes is require:
        app = behind_the_middleware(app)
    assert (await http(app, token=ISSUER.token(scope="a"))).status == 403
    assert (await http(app, token=ISSUER.token(scope="a", roles=["admin"]))).status == 200
    assert (await http(app, token=ISSUER.token(scope="a b"))).status == 200
    assert (await http(app, token=ISSUER.token(scope="b", roles=["admin"]))).status == 403


async def test_the_scopes_of_security_are_needed_beside_the_rule() -> None:
    app = application(Security(BEARER.require(Role("admin")), scopes=["a"]))
    assert (await http(app, token=ISSUER.token(roles=["admin"]))).challenge == f'{LACKS}, scope="a", {META}'
    assert (await http(app, token=ISSUER.token(scope="a"))).status == 403
    assert (await http(app, token=ISSUER.token(roles=["admin"], scope="a"))).status == 200


async def test_equal_scopes_beside_another_rule_are_another_matter() -> None:
    """`1 == True` in Python: a rule must not be taken for another one that compares equal."""
    from jwt_asgi import Claim  # noqa: PLC0415

    one = application(Security(BEARER.require(Claim("n", equals=1)), scopes=["a"]))
    true = application(Security(BEARER.require(Claim("n", equals=True)), scopes=["a"]))
    assert (await http(one, token=ISSUER.token(scope="a", claims={"n": 1}))).status == 200
    assert (await http(true, token=ISSUER.token(scope="a", claims={"n": 1}))).status == 403


@pytest.mark.parametrize("makes", [BEARER.require, require], ids=["bearer.require", "require"])
async def test_a_rule_knows_the_path_and_asks_external_policies(makes: Any) -> None:
    asked: list[Context] = []

    async def ask(token: AccessToken, context: Context) -> bool:
        asked.append(context)
        return token.subject == context.path_params["owner"]

    app = FastAPI()

    @app.post("/of/{owner}/{number:int}")
    async def own(
        owner: str, token: Annotated[AccessToken, Depends(makes(ExternalPolicy("owner", ask)))]
    ) -> str | None:
        return token.subject

    @app.get("/only/{owner}")
    async def only(owner: str, token: Annotated[AccessToken, Depends(makes(Subject(PathParam("owner"))))]) -> str:
        return owner

    if makes is require:
        behind_the_middleware(app)
    ada = ISSUER.token(subject="ada")
    assert (await http(app, method="POST", path="/of/ada/7", token=ada)).json() == "ada"
    assert (await http(app, method="POST", path="/of/eve/7", token=ada)).status == 403
    assert (asked[0].method, asked[0].path, asked[0].path_params) == (
        "POST",
        "/of/ada/7",
        {"owner": "ada", "number": "7"},
    )
    assert (await http(app, path="/only/ada", token=ada)).status == 200
    assert (await http(app, path="/only/eve", token=ada)).status == 403


async def test_current_token_is_the_type_of_a_parameter() -> None:
    for door in (True, False):
        app = FastAPI(dependencies=[] if door else [Depends(JWTBearer(**ISSUER.options(), anonymous=True))])

        @app.get("/")
        async def root(token: CurrentToken) -> str | None:
            return token.subject

        if door:
            behind_the_middleware(app, anonymous=True)
        assert (await http(app, token=ISSUER.token(subject="ada"))).json() == "ada"
        assert (await http(app)).status == 401


async def test_a_rule_without_anybody_who_verifies_fails() -> None:
    with pytest.raises(ConfigurationError, match="add JWTMiddleware, or a JWTBearer before it"):
        await http(application(Depends(require(Scope("a")))), token=ISSUER.token(scope="a"))
    with pytest.raises(ConfigurationError, match="add JWTMiddleware, or a JWTBearer before it"):
        await http(application(Depends(require(Scope("a"))), Depends(BEARER)), token=ISSUER.token(scope="a"))


def test_what_enforces_and_what_verifies_can_be_found() -> None:
    rule = Scope("a") | Role("admin")
    assert require(rule).jwt_requirement is rule
    assert not hasattr(require(rule), "verifier")
    assert (BEARER.require(rule).jwt_requirement, BEARER.require(rule).verifier) == (rule, BEARER.verifier)
    assert BEARER.jwt_requirement == AnyToken()


# --- refusals ---------------------------------------------------------------------------------------------------------


async def test_the_body_is_made_by_the_handler_of_the_application() -> None:
    app = application(Security(BEARER, scopes=["a"]))
    assert (await http(app)).json() == {"detail": "No access token was sent"}
    lacking = await http(app, token=ISSUER.token())
    assert lacking.header("content-type") == "application/json"
    assert lacking.header("content-length") == str(len(lacking.body))

    @app.exception_handler(HTTPException)
    async def own(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"own": error.detail}, error.status_code, error.headers)

    app.middleware_stack = None
    answer = await http(app, token=ISSUER.token())
    assert answer.json() == {"own": "The access token lacks a scope that this needs"}
    assert (answer.status, answer.challenge) == (403, f'{LACKS}, scope="a", {META}')


async def test_what_a_handler_does_to_the_headers_of_a_refusal_is_not_in_the_next_one() -> None:
    app = application(Security(BEARER, scopes=["a"]))

    @app.exception_handler(HTTPException)
    async def own(request: Request, error: HTTPException) -> JSONResponse:
        headers: Any = error.headers
        headers["x-own"] = headers.pop("www-authenticate")
        return JSONResponse({}, error.status_code, headers)

    for _ in range(2):
        answer = await http(app)
        assert (answer.header("x-own"), answer.challenge) == (f'Bearer scope="a", {META}', None)


async def test_an_issuer_that_is_down_is_503_with_retry_after() -> None:
    async def down(url: str, **options: Any) -> FetchResponse:
        raise OSError("connection refused")

    bearer = JWTBearer(**(ISSUER.options() | {"fetch": down}))
    answer = await http(application(Depends(bearer)), token=ISSUER.token())
    assert (answer.status, answer.challenge, answer.header("cache-control")) == (503, None, "no-store")
    assert 1 <= int(answer.header("retry-after") or "") <= 300


@pytest.mark.parametrize(("token", "status"), [(None, 401), (ISSUER.token(expires_in=86_400), 403)])
async def test_a_websocket_is_denied_with_the_status_or_closed_before_it_is_accepted(
    token: str | None, status: int
) -> None:
    for app in (application(Security(BEARER, scopes=["a"])), application(Depends(BEARER.require(Scope("a"))))):
        denied = await websocket(app, path="/talk", token=token, extensions=DENIAL)
        assert denied.denial is not None
        assert denied.denial.status == status
        assert denied.denial.challenge is not None
        closed = await websocket(app, path="/talk", token=token)
        assert [message["type"] for message in closed.messages] == ["websocket.close"]
        assert closed.close_code == 1008
        assert (await websocket(app, path="/talk", token=ISSUER.token(scope="a"))).accepted


def asking_in_its_body(**options: Any) -> FastAPI:
    """An application whose endpoints call `check_access` themselves."""
    app = FastAPI(**options)

    async def resource() -> AsyncIterator[None]:
        try:
            yield
        except AccessError:
            ENDED.append("ended")
            raise

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False, dependencies=[Depends(resource)])
    async def root(request: Request) -> None:
        check_access(request.scope["jwt"], Scope("a"))

    @app.websocket("/{early}")
    async def talk(websocket: WebSocket, early: str) -> None:
        if early == "late":
            await websocket.accept()
        check_access(websocket.scope["jwt"], Scope("a"))
        await websocket.accept()

    return app


ENDED: list[str] = []


async def test_an_access_error_in_the_body_of_an_endpoint_is_answered() -> None:
    ENDED.clear()
    app = asking_in_its_body(dependencies=[Depends(BEARER)])
    answer = await http(app, token=ISSUER.token())
    assert (answer.status, answer.challenge) == (403, f'{LACKS}, scope="a", {META}')
    assert answer.header("cache-control") == "no-store"
    assert answer.json() == {"detail": "The access token lacks a scope that this needs"}
    assert ENDED == ["ended"]
    early = await websocket(app, path="/early", token=ISSUER.token(), extensions=DENIAL)
    assert early.denial is not None
    assert early.denial.status == 403
    late = await websocket(app, path="/late", token=ISSUER.token(), extensions=DENIAL)
    assert [message["type"] for message in late.messages] == ["websocket.accept", "websocket.close"]
    assert late.close_code == 1008


async def test_an_own_handler_of_access_errors_goes_first() -> None:
    app = asking_in_its_body(dependencies=[Depends(BEARER)])

    @app.exception_handler(AccessError)
    async def own(request: Request, error: AccessError) -> JSONResponse:
        return JSONResponse({"own": error.scopes}, 418)

    assert (await http(app, token=ISSUER.token())).status == 418


async def test_with_the_middleware_outside_it_answers_access_errors_and_tells_of_one_refusal() -> None:
    told: list[Decision] = []
    inner = JWTBearer(**ISSUER.options(), hooks=[])
    app = behind_the_middleware(asking_in_its_body(dependencies=[Depends(inner)]), hooks=[told.append])
    answer = await http(app, token=ISSUER.token())
    assert answer.json()["error"] == "insufficient_scope"
    assert [decision.reason for decision in told] == [Reason.SCOPE_MISSING]


async def test_behind_a_middleware_that_is_wrapped_around_the_application_the_answers_are_the_same() -> None:
    """There an exception would be a 500 before the middleware could see it."""
    told: list[Decision] = []
    inner = asking_in_its_body(dependencies=[Depends(require(Scope("b")))])
    added = behind_the_middleware(asking_in_its_body(dependencies=[Depends(require(Scope("b")))]), hooks=[told.append])
    wrapped = JWTMiddleware(inner, **ISSUER.options(), hooks=[told.append])
    for scope in ("b", "a"):
        for method in ("GET", "HEAD"):
            told.clear()
            answers = [await http(app, method=method, token=ISSUER.token(scope=scope)) for app in (added, wrapped)]
            assert [answer.status for answer in answers] == [403] * 2
            assert [dict(answer.headers) for answer in answers] == [dict(answers[0].headers)] * 2
            assert {answer.body for answer in answers} == {answers[0].body}
            assert (answers[0].body == b"") == (method == "HEAD")
            assert [decision.reason for decision in told] == [Reason.SCOPE_MISSING] * 2
    for app in (added, wrapped):
        denied = await websocket(app, path="/early", token=ISSUER.token(scope="b"), extensions=DENIAL)
        assert denied.denial is not None
        assert (denied.denial.status, denied.denial.challenge) == (403, f'{LACKS}, scope="a"')
        told.clear()
        assert (await websocket(app, path="/early", token=ISSUER.token(scope="b"))).close_code == 1008
        assert [decision.reason for decision in told] == [Reason.SCOPE_MISSING]
        late = await websocket(app, path="/late", token=ISSUER.token(scope="b"), extensions=DENIAL)
        assert [message["type"] for message in late.messages] == ["websocket.accept", "websocket.close"]
        assert late.close_code == 1008


async def test_an_access_error_that_nobody_verified_a_token_for_stays_an_error() -> None:
    app = application(Depends(BEARER))
    assert (await http(app, token=ISSUER.token())).status == 200

    @app.get("/open")
    async def unprotected() -> None:
        check_access(None, Scope("a"))

    with pytest.raises(AccessError):
        await http(app, path="/open", token=ISSUER.token(scope="a"))


async def test_the_hooks_are_told_once_unless_a_later_rule_refuses() -> None:
    told: list[Decision] = []
    bearer = JWTBearer(**ISSUER.options(), hooks=[told.append], anonymous=True)
    app = application(Depends(bearer.require(Scope("a"))), Security(bearer, scopes=["b"]))
    outcomes = {
        None: [Outcome.REFUSED],
        ISSUER.token(): [Outcome.REFUSED],
        ISSUER.token(scope="a"): [Outcome.GRANTED, Outcome.REFUSED],
        ISSUER.token(scope="a b"): [Outcome.GRANTED],
    }
    for token, expected in outcomes.items():
        told.clear()
        await http(app, token=token)
        assert [decision.outcome for decision in told] == expected
        assert all((decision.token is None) == (token is None) for decision in told)
    told.clear()
    await http(application(Depends(bearer)))
    assert [decision.outcome for decision in told] == [Outcome.ANONYMOUS]


# --- documents --------------------------------------------------------------------------------------------------------


def document(app: FastAPI) -> dict[str, Any]:
    found = app.openapi()
    validate(found)
    return found


def schemes(app: FastAPI) -> Any:
    return document(app)["components"]["securitySchemes"]


def needs(app: FastAPI) -> Any:
    return document(app)["paths"]["/"]["get"].get("security")


def test_the_scheme_is_a_bearer_token_and_each_operation_names_its_scopes() -> None:
    app = application(Security(BEARER, scopes=["a"]), Depends(BEARER.require(Scope("b") & Role("admin"))))
    assert schemes(app) == {"JWTBearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    # Newer FastAPI puts them into one object
    assert {scope for need in needs(app) for scope in need["JWTBearer"]} == {"a", "b"}
    assert needs(application()) is None
    assert needs(application(dependencies=[Depends(BEARER)])) == [{"JWTBearer": []}]
    # What opens the operation, as the challenge says it too
    assert needs(application(Depends(BEARER.require(Scope("b") | Scope("c"))))) == [{"JWTBearer": ["b"]}]
    assert needs(application(Depends(BEARER.require(Role("x") | Scope("c"))))) == [{"JWTBearer": ["c"]}]
    assert "parameters" not in document(app)["paths"]["/"]["get"]


def test_behind_the_middleware_rules_write_the_scheme() -> None:
    app = application(Depends(require(Scope("a"))))
    assert needs(app) == [{"JWTBearer": ["a"]}]
    assert needs(application(Depends(require(Role("admin"))))) == [{"JWTBearer": []}]
    current = FastAPI()

    @current.get("/")
    async def root(token: CurrentToken) -> None: ...

    assert needs(current) == [{"JWTBearer": []}]
    assert schemes(current) == schemes(app) == schemes(application(Depends(BEARER)))


def test_with_the_urls_of_the_issuer_swagger_ui_can_log_in() -> None:
    flow = JWTBearer(
        **ISSUER.options(),
        authorization_url="https://issuer.test/authorize",
        token_url="https://issuer.test/token",
        scopes={"a": "Read"},
        description="Log in",
    )
    app = application(Depends(flow.require(Scope("a"))))
    code = {
        "authorizationUrl": "https://issuer.test/authorize",
        "tokenUrl": "https://issuer.test/token",
        "scopes": {"a": "Read"},
    }
    assert schemes(app) == {"OAuth2": {"type": "oauth2", "flows": {"authorizationCode": code}, "description": "Log in"}}
    assert needs(app) == [{"OAuth2": ["a"]}]
    url = "https://issuer.test/.well-known/openid-configuration"
    connect = JWTBearer(**ISSUER.options(), openid_connect_url=url, scheme_name="mine")
    assert schemes(application(Depends(connect))) == {"mine": {"type": "openIdConnect", "openIdConnectUrl": url}}


@pytest.mark.parametrize(
    "options",
    [
        {"authorization_url": "https://issuer.test/authorize"},
        {"token_url": "https://issuer.test/token"},
        {"openid_connect_url": "https://i.test", "authorization_url": "https://i.test", "token_url": "https://i.test"},
        {"scopes": {"a": "Read"}},
        {"scopes": {"a": "Read"}, "openid_connect_url": "https://i.test"},
        {"issuer": None},
        {"algorithms": []},
    ],
)
def test_wrong_options_stop_the_start(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        JWTBearer(**{**ISSUER.options(), **options})


def test_a_rule_is_a_requirement() -> None:
    with pytest.raises(ConfigurationError, match="expected a rule"):
        require("todos:read")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="expected a rule"):
        BEARER.require(None)  # type: ignore[arg-type]


def test_the_refusals_can_be_documented() -> None:
    app = application(Depends(BEARER), responses=REFUSALS)
    answers = document(app)["paths"]["/"]["get"]["responses"]
    assert set(answers) == {"200", "400", "401", "403", "503"}
    assert set(answers["401"]["headers"]) == {"WWW-Authenticate"}


async def test_the_metadata_that_challenges_name_have_a_route_that_anyone_may_read() -> None:
    app = application(dependencies=[Depends(BEARER)], routes=[BEARER.metadata_route()])
    answer = await http(app, path="/.well-known/oauth-protected-resource")
    assert answer.json()["resource"] == "https://api.test"
    assert answer.json()["authorization_servers"] == [ISSUER.issuer]
    assert answer.header("access-control-allow-origin") == "*"
    assert (await http(app, path="/.well-known/oauth-protected-resource", method="OPTIONS")).status == 204
    assert (await http(app, path="/.well-known/oauth-protected-resource", method="POST")).status == 405
    with pytest.raises(ConfigurationError, match="resource"):
        JWTBearer(**ISSUER.options()).metadata_route()


def test_it_works_in_the_test_client_without_anything_to_close() -> None:
    with TestClient(application(Depends(BEARER))) as client:
        headers = {"authorization": f"Bearer {ISSUER.token(subject='ada')}"}
        assert client.get("/", headers=headers).json()["user"] == "ada"
        with client.websocket_connect("/talk", headers=headers) as socket:
            assert socket.receive_text() == "ada"


# --- mistakes ---------------------------------------------------------------------------------------------------------


def forgetful(dependency: Any) -> FastAPI:
    """An application that has written this dependency without `Depends`, in every way there is."""
    app = application()

    @app.get("/default")
    async def untyped(token=dependency) -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001
        return str(token.subject)

    @app.get("/typed")
    async def typed(token: AccessToken = dependency) -> str:
        return str(token.subject)

    @app.get("/annotated")
    async def annotated(token: Annotated[Any, dependency]) -> str:
        return str(token.subject)

    @app.get("/both")
    async def both(token: Annotated[Any, dependency] = None) -> str:
        return str(token.subject)

    @app.get("/listed", dependencies=[dependency])
    async def listed(request: Request) -> str:
        return str(request.user.display_name)

    return app


@pytest.mark.parametrize("dependency", [BEARER, BEARER.require(Scope("a")), require(Scope("a"))])
@pytest.mark.parametrize("path", ["/default", "/typed", "/annotated", "/both", "/listed"])
async def test_where_depends_was_forgotten_the_route_is_protected_all_the_same(dependency: Any, path: str) -> None:
    app = forgetful(dependency)
    if not hasattr(dependency, "verifier"):
        app = behind_the_middleware(app, anonymous=True)
    scope = "a" if isinstance(dependency, Rule) else ""
    for query in (b"", b"token=x"):
        assert (await http(app, path=path, query=query)).status == 401
        answer = await http(app, path=path, query=query, token=ISSUER.token(subject="ada", scope=scope))
        assert (answer.status, answer.json()) == (200, "ada")
        if scope:
            assert (await http(app, path=path, query=query, token=ISSUER.token())).status == 403
    assert app.openapi()["paths"][path]["get"]["security"]
