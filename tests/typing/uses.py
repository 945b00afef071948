"""Uses of the public API that type-check, and mistakes that do not: read by mypy, never run.

A mistake is marked `type: ignore[code]`, and mypy's `warn_unused_ignores` tells when it is none any more.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, assert_type

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp as StarletteApp

from jwt_asgi import (
    AccessError,
    AccessToken,
    ConfigurationError,
    Decision,
    Hook,
    HttpxFetch,
    JWTASGIError,
    JWTMiddleware,
    KeyCaching,
    KeysUnavailable,
    LoggingHook,
    Profile,
    Reason,
    Requirement,
    Role,
    Scope,
    SharedSecret,
    Skip,
    StaticKeys,
    TokenError,
    TrustedIssuer,
    Verifier,
    check_access,
)
from jwt_asgi.testing import BAD_TOKENS, TestIssuer
from jwt_asgi.types import Fetch, FetchResponse

# An application of one's own needs no type of this package.
Message = MutableMapping[str, Any]


async def plain(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Any ASGI application."""


async def fetch(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
    """Another HTTP client."""
    return FetchResponse(200, {}, b"")


async def lax_fetch(
    url: str, headers: Mapping[str, str], timeout: float, limit: int, again: bool = False
) -> FetchResponse:
    """One that takes more, which does no harm."""
    return FetchResponse(200, {}, b"")


async def fetch_without_a_limit(url: str, *, headers: Mapping[str, str], timeout: float) -> FetchResponse:
    """One that would read without end."""
    return FetchResponse(200, {}, b"")


def blocking_fetch(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
    """One that would stop the event loop."""
    return FetchResponse(200, {}, b"")


def hook(decision: Decision) -> None:
    """Count it."""
    assert_type(decision.reason, Reason | None)
    assert_type(decision.token, AccessToken | None)
    assert_type(decision.seconds, float)


class Metrics:
    """A hook may be an object, and name its argument as it likes."""

    def __call__(self, told: Decision) -> None:
        """Count it."""


async def asynchronous_hook(decision: Decision) -> None:
    """A coroutine that nobody would wait for; its type fits `object`, so it is not refused."""


def short_form(starlette: Starlette, fastapi: FastAPI, any_app: StarletteApp) -> None:
    """The options of one issuer."""
    JWTMiddleware(plain, issuer="https://a.test", audience="b", algorithms=["RS256"])
    JWTMiddleware(starlette, issuer="https://a.test", audience=["b", "c"], algorithms=("RS256", "ES256"))
    JWTMiddleware(any_app, issuer="https://a.test", audience=Skip.AUDIENCE_CHECK, algorithms=["RS256"])
    app = JWTMiddleware(
        fastapi,
        issuer="https://a.test",
        audience="b",
        algorithms=["RS256"],
        jwks_uri="https://a.test/jwks",
        profile=Profile.RFC9068,
        leeway=5,
        max_age=3600,
        max_lifetime=3600.5,
        key_caching=KeyCaching(ttl=60),
        fetch=fetch,
        exempt=("/healthz", "GET /docs/*"),
        anonymous=True,
        realm="todos",
        hooks=[LoggingHook(), hook, Metrics()],
    )
    JWTMiddleware(app, issuer="https://a.test", audience="b", algorithms=["HS256"], keys=SharedSecret("s" * 32))
    JWTMiddleware(app, issuer="https://a.test", audience="b", algorithms=["RS256"], keys=StaticKeys.from_file("j"))
    JWTMiddleware(app, **TestIssuer().options())


def long_form(starlette: Starlette, verifier: Verifier) -> None:
    """A verifier in their place."""
    JWTMiddleware(plain, verifier=verifier)
    JWTMiddleware(starlette, verifier=verifier, exempt=["/healthz"], anonymous=True, realm="todos", hooks=[])


def in_frameworks(starlette: Starlette, fastapi: FastAPI, verifier: Verifier) -> None:
    """As middleware."""
    starlette.add_middleware(JWTMiddleware, issuer="https://a.test", audience="b", algorithms=["RS256"])
    fastapi.add_middleware(JWTMiddleware, issuer="https://a.test", audience="b", algorithms=["RS256"])
    starlette.add_middleware(JWTMiddleware, verifier=verifier, exempt=["/healthz"])
    fastapi.add_middleware(JWTMiddleware, verifier=verifier)
    fastapi.add_middleware(JWTMiddleware, **TestIssuer().options())
    Starlette(middleware=[Middleware(JWTMiddleware, verifier=verifier)])
    FastAPI(middleware=[Middleware(JWTMiddleware, issuer="https://a.test", audience="b", algorithms=["RS256"])])


def middleware_mistakes(starlette: Starlette, fastapi: FastAPI) -> None:
    """What a type checker tells before the program starts."""
    JWTMiddleware(plain, issuer=7, audience="b", algorithms=["RS256"])  # type: ignore[arg-type]
    JWTMiddleware(plain, issuer="https://a.test", audience=None, algorithms=["RS256"])  # type: ignore[arg-type]
    JWTMiddleware(plain, issuer="https://a.test", audience="b", algorithms=[1])  # type: ignore[list-item]
    JWTMiddleware(plain, issuer="https://a.test", audiences="b", algorithms=["RS256"])  # type: ignore[call-arg]
    JWTMiddleware(plain, issuer="https://a.test", audience="b", algorithms=["RS256"], anonymous="no")  # type: ignore[arg-type]
    JWTMiddleware(plain, issuer="https://a.test", audience="b", algorithms=["RS256"], exempt=[1])  # type: ignore[list-item]
    JWTMiddleware(plain, issuer="https://a.test", audience="b", algorithms=["RS256"], hooks=hook)  # type: ignore[arg-type]
    JWTMiddleware(plain, issuer="https://a.test", audience="b", algorithms=["RS256"], hooks=[print, 7])  # type: ignore[list-item]
    JWTMiddleware(plain, issuer="https://a.test", audience="b", algorithms=["RS256"], keys="secret")  # type: ignore[arg-type]
    JWTMiddleware(plain, "https://a.test", "b", ["RS256"])  # type: ignore[call-arg,arg-type]
    JWTMiddleware(plain, verifier="https://a.test")  # type: ignore[arg-type]
    JWTMiddleware(7, issuer="https://a.test", audience="b", algorithms=["RS256"])  # type: ignore[arg-type]
    starlette.add_middleware(JWTMiddleware, issuer="https://a.test", audience="b", algorithm="RS256")  # type: ignore[call-arg]
    fastapi.add_middleware(JWTMiddleware, issuer="https://a.test", audience=7, algorithms=["RS256"])  # type: ignore[arg-type]


async def verifying() -> None:
    """The decision without ASGI."""
    trusted = TrustedIssuer(issuer="https://a.test", audience="b", algorithms=["RS256"])
    async with Verifier(trusted, clock=lambda: 7) as verifier:
        assert_type(verifier, Verifier)
        assert_type(await verifier.verify("a.b.c"), AccessToken)
        assert_type(await verifier.verify(b"a.b.c"), AccessToken)
        await verifier.verify(None)  # type: ignore[arg-type]
        await verifier.verify(7)  # type: ignore[arg-type]
        verifier.verify("a.b.c").subject  # type: ignore[attr-defined]  # noqa: B018


def issuer_mistakes() -> None:
    """There is no default for the three that matter."""
    TrustedIssuer(audience="b", algorithms=["RS256"])  # type: ignore[call-arg]
    TrustedIssuer(issuer="https://a.test", algorithms=["RS256"])  # type: ignore[call-arg]
    TrustedIssuer(issuer="https://a.test", audience="b")  # type: ignore[call-arg]
    TrustedIssuer("https://a.test", "b", ["RS256"])  # type: ignore[call-arg]
    TrustedIssuer(issuer="https://a.test", audience=None, algorithms=["RS256"])  # type: ignore[arg-type]
    TrustedIssuer(issuer="https://a.test", audience="b", algorithms=["RS256"], profile="GENERIC")  # type: ignore[arg-type]
    TrustedIssuer(issuer="https://a.test", audience="b", algorithms=["RS256"], leeway="30")  # type: ignore[arg-type]
    Verifier("https://a.test")  # type: ignore[arg-type]


def fetching() -> None:
    """An HTTP client of one's own."""
    good: Fetch = fetch
    also_good: Fetch = lax_fetch
    test: Fetch = TestIssuer().fetch
    default: Fetch = HttpxFetch(ssl.create_default_context())
    without_limit: Fetch = fetch_without_a_limit  # type: ignore[assignment]
    blocking: Fetch = blocking_fetch  # type: ignore[assignment]
    print(good, also_good, test, default, without_limit, blocking)
    TrustedIssuer(issuer="https://a.test", audience="b", algorithms=["RS256"], fetch=blocking_fetch)  # type: ignore[arg-type]


def hooking() -> None:
    """Hooks of one's own."""
    decisions: list[Decision] = []
    good: list[Hook] = [hook, Metrics(), LoggingHook(), decisions.append, print]
    bad: Hook = len  # type: ignore[assignment]
    print(good, bad)


def reading(token: AccessToken, maybe: AccessToken | None) -> None:
    """What an application reads, and cannot change."""
    assert_type(token.claims, Mapping[str, Any])
    assert_type(token.issuer, str)
    assert_type(token.subject, str | None)
    assert_type(token.client_id, str | None)
    assert_type(token.audience, tuple[str, ...])
    assert_type(token.scopes, frozenset[str])
    assert_type(token.roles, frozenset[str])
    assert_type(token.expires_at, float)
    assert_type(token.issued_at, float | None)
    assert_type(token.token_id, str | None)
    token.subject = "root"  # type: ignore[misc]
    token.claims["sub"] = "root"  # type: ignore[index]
    token.scopes.add("admin")  # type: ignore[attr-defined]
    maybe.subject  # type: ignore[union-attr]  # noqa: B018


def allowing(token: AccessToken | None) -> None:
    """Access rules."""
    rule = Scope("todos:read") & (Role("admin") | Role("editor"))
    assert_type(rule, Requirement)
    assert_type(check_access(token, rule), AccessToken)
    assert_type(check_access(token, Scope("a")), AccessToken)
    check_access(token, "todos:read")  # type: ignore[arg-type]
    check_access("token", rule)  # type: ignore[arg-type]
    Scope("a") & "b"  # type: ignore[operator]
    Scope(7)  # type: ignore[arg-type]
    Scope("a", "b")  # type: ignore[call-arg]


def profiles() -> None:
    """Claim paths."""
    assert_type(Profile.GENERIC.replace(roles=[["realm_access", "roles"]]), Profile)
    Profile.GENERIC.replace(roles=[("a",), ["b"]], scopes=(("scp",),))
    Profile.GENERIC.replace(types=["JWT"])  # type: ignore[call-arg]
    Profile.GENERIC.name = "MINE"  # type: ignore[misc]


def erring(error: JWTASGIError) -> None:
    """Four families."""
    assert_type(error.reason, Reason)
    assert_type(error.reason.value, str)
    assert_type(error.reason.status, int)
    assert_type(error.reason.error, str | None)
    match error:
        case TokenError():
            print([failure.claim for failure in error.failures])
        case AccessError():
            print(error.scopes, error.roles)
        case KeysUnavailable():
            assert_type(error.retry_after, float)
        case ConfigurationError():
            assert_type(error.option, str)
        case _:
            pass
    TokenError("token_expired")  # type: ignore[arg-type]


def the_test_kit(app: FastAPI) -> None:
    """An issuer in place of the application's, and its clients."""
    with TestIssuer.of(app).standing_in() as issuer:
        client = issuer.client(app)
        assert_type(client.as_user("ada", scope=["todos:read"], roles=("admin",)).get("/").status_code, int)
        client.as_user("ada", role="admin")  # type: ignore[call-arg]
        assert_type(issuer.bad_token("token_expired"), str)
        assert_type(BAD_TOKENS, tuple[Reason, ...])
        with issuer.rotated(keep_old=False), issuer.outage(cold=True), issuer.travelling(hours=1):
            issuer.travel(days=1)


async def the_asynchronous_client(app: FastAPI, issuer: TestIssuer) -> None:
    """As httpx's own."""
    async with issuer.async_client(app) as client:
        assert_type((await client.as_user("ada").get("/")).status_code, int)
