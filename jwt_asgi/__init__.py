"""OAuth 2.0 resource servers for any ASGI app: verified Bearer JWT access tokens on the request scope.

The way of a request, and the file that is each step:

    middleware.py          1  the door: scope -> token -> Verifier -> scope["jwt"], or an answer
    gate.py                   the part of it that the faces of frameworks share: a token, or a refusal and its answer
    identity.py               what the application finds on the scope
    answers.py                how an answer is sent to a connection that has none yet
    passage.py                the application's way to the client and back, and what becomes of it, told once
    expiry.py                 the passage that ends when its token does, or is renewed
    deadline.py               when a connection must end: one timer, and the tasks that wait at the door
    deadline_trio.py          the same on trio, by cancel scopes
    renewal.py                a new token from a message of an open WebSocket
    verifier.py            2  token text -> AccessToken, in a handful of lines that name the steps
    token_cache.py            the tokens that were verified before, and what each hit is held against
    issuers.py                TrustedIssuer: what its tokens must be, and where its keys come from
    tenants.py                families of issuers, by a template or a resolver; always with an allow-list
    _core/                 3  the decision: no await, no clock, no socket, no framework, no logging
        bearer.py             header lines -> the one token, nothing, or an error
        token.py              token text -> Untrusted: bounded, strict; believes nothing
        policy.py             options -> Policy, frozen and complete, or ConfigurationError at start
        freshness.py          (snapshot times, wanted kid, now) -> Use | Fetch | Refuse
        jwks.py               JWKS bytes -> KeySet; header -> the keys that fit its kid, alg and use
        signature.py          Untrusted + key -> Verified; the joserfc boundary
        claims.py             Verified x Policy x now -> Verified, or every claim that failed
        access_token.py       Verified x Profile -> AccessToken
        revocation.py         entries of revocations <-> the keys and bytes that issuer and resource servers agree on
        revoked.py            (the keys of a token, when it was issued) -> revoked or not: a million entries in memory
        access.py             AccessToken x Requirement -> granted, or what is missing
        rules.py              requirements about scopes, roles, permissions, and who a token is for
        claim_rules.py        requirements about single claims, step-up, and external policies
        paths.py              method and path -> exempt, or the rules that cover it
        resource.py           what the API says of itself (RFC 9728)
        challenge.py          error -> status, WWW-Authenticate, body
    _keys/                 4  the only code that waits on an issuer
        remote.py             runs freshness.py with a clock, one flight at a time
        flight.py             one attempt, shared by all who wait, in whatever event loop or thread
        source.py             where the set is, and one attempt to get it
        discovery.py          issuer -> jwks_uri; the issuer is compared exactly
        fetch.py              URL -> bytes within limits; the httpx boundary
        snapshot.py           an answer -> the set that it brings or confirms, with its times
        trouble.py            what went wrong lately, and when the issuer may be asked again
        events.py             KeyEvent when something happens, KeyStatus when it is asked
        ledger.py             what is counted, and what is worth telling
        clock.py              seconds that never go back, for the age of keys
        forks.py              what a child process does after a fork
        static.py             a key set from memory or a file, and a shared secret

    revocation/               what the issuer has revoked, held against each token
        feed.py               judges tokens by what it knows, and says so when that is too old
        poller.py             keeps up with the source, in whatever event loop asks
        watch.py              connections that are open, and end when their token is revoked
        status.py             how a feed is
        source.py             what a source promises
        polled.py             a table of the database, polled
        stream.py             a stream of Valkey or Redis
        served.py             a snapshot and what came after it, over HTTP

Beside the way:

    types.py errors.py     the vocabulary: ASGI's words and protocols; every error, reason, status
    access.py              access rules as values, and how they are checked
    profiles.py            named loosenings per identity provider
    instrumentation.py     Decision + Hook, KeyEvent + KeyHook; the logging adapters
    health.py              live and ready, for probes
    fastapi.py             FastAPI: JWTBearer, require, CurrentToken
    starlette.py           Starlette: an authentication backend, and rules on endpoints
    litestar.py            Litestar: a plugin, and guards
    quart.py               Quart: JWT(app), require, current_token
    django.py              Django: a middleware for request.auth and refusals, require
    mcp.py                 rules for the tools of MCP servers, and token verifiers for the SDK and FastMCP
    apps.py                an application -> the doors in it
    testing/               the test kit; nothing imports it
        issuer.py             TestIssuer: an issuer in the test's process, tokens, rotation, outage, time
        configured.py         an application -> what it trusts, for an issuer in place of its own
        standing_in.py        what looks for keys, or asks for the time, gets them from the test for a block
        revocations.py        what it has revoked, and the feeds that hear of it
        tokens.py             keywords -> claims, written as the profile reads them
        bad_tokens.py         a reason -> a token that is refused for it
        signing.py            the issuer's own keys
        publisher.py          its metadata and key set, in process or over HTTP
        clients.py            whose token a client carries, and the application that it calls
        sync_client.py        Starlette's TestClient, with a token
        async_client.py       httpx's AsyncClient, likewise
        plugin.py             fixtures for pytest
    issuer/                the token service, which shares only _core with the side that verifies; its own docstring
                           draws it
    cli/ __main__.py       the command line: demo, explain, doctor, routes; nothing imports it
"""

from jwt_asgi._core.access_token import AccessToken
from jwt_asgi._core.freshness import KeyCaching
from jwt_asgi._keys.fetch import HttpxFetch
from jwt_asgi._keys.static import SharedSecret, StaticKeys
from jwt_asgi._version import __version__
from jwt_asgi.access import Claim, Requirement, Role, Scope, check_access
from jwt_asgi.errors import AccessError, ConfigurationError, JWTASGIError, KeysUnavailable, Reason, TokenError
from jwt_asgi.instrumentation import Decision, Hook, LoggingHook
from jwt_asgi.issuers import TrustedIssuer
from jwt_asgi.middleware import JWTMiddleware
from jwt_asgi.profiles import Profile
from jwt_asgi.types import Skip
from jwt_asgi.verifier import Verifier

__all__ = [
    "AccessError",
    "AccessToken",
    "Claim",
    "ConfigurationError",
    "Decision",
    "Hook",
    "HttpxFetch",
    "JWTASGIError",
    "JWTMiddleware",
    "KeyCaching",
    "KeysUnavailable",
    "LoggingHook",
    "Profile",
    "Reason",
    "Requirement",
    "Role",
    "Scope",
    "SharedSecret",
    "Skip",
    "StaticKeys",
    "TokenError",
    "TrustedIssuer",
    "Verifier",
    "__version__",
    "check_access",
]
