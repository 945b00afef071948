"""Rows of the catalogue that are no single request: issuers, configuration, paths, WebSockets, what a refusal says."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from typing import Any

import pytest

from jwt_asgi import Decision, JWTMiddleware, LoggingHook, Reason, TrustedIssuer, Verifier
from jwt_asgi.errors import ConfigurationError, JWTASGIError, TokenError
from jwt_asgi.types import FetchResponse, Message
from tests.asgi import http, websocket
from tests.attacks.corpus import CASES
from tests.attacks.corpus.case import AUDIENCE, ISSUER, JWKS_URI, Case, Sign, bearer
from tests.attacks.corpus.choices import ACCEPTED
from tests.attacks.corpus.jws import claims, header, sign
from tests.attacks.corpus.keyring import RSA_1, RSA_2, good, jwks_body, plain, public_jwk, rs256
from tests.attacks.door import closed_gate, warm_gate
from tests.attacks.judge import Gate, ask, secrets, serving

_OTHER = "https://other.example"
_OPTIONS: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["RS256"], "jwks_uri": JWKS_URI}


def _issuer(name: str, key_set: bytes, fetched: list[str]) -> TrustedIssuer:
    return TrustedIssuer(
        issuer=name,
        audience=AUDIENCE,
        algorithms=["RS256"],
        jwks_uri=f"{name}/jwks",
        fetch=serving(fetched, lambda: key_set),
    )


async def test_a_key_of_one_issuer_never_verifies_a_token_of_another() -> None:
    """Row 57, CVE-2026-49998, CVE-2025-59936: the same kid in both sets, and A's token comes first."""
    fetched: list[str] = []
    sets = {ISSUER: jwks_body(public_jwk(RSA_1, kid="k")), _OTHER: jwks_body(public_jwk(RSA_2, kid="k"))}
    verifier = Verifier(*(_issuer(name, key_set, fetched) for name, key_set in sets.items()))
    for _ in range(2):
        assert (await verifier.verify(sign(RSA_1, header(kid="k"), claims()))).issuer == ISSUER
        with pytest.raises(TokenError):
            await verifier.verify(sign(RSA_1, header(kid="k"), claims(iss=_OTHER)))
        with pytest.raises(TokenError):
            await verifier.verify(sign(RSA_2, header(kid="k"), claims()))
        assert (await verifier.verify(sign(RSA_2, header(kid="k"), claims(iss=_OTHER)))).issuer == _OTHER
    assert sorted(fetched) == [f"{ISSUER}/jwks", f"{_OTHER}/jwks"]


@pytest.mark.parametrize(
    "named",
    [
        "https://evil.example",
        f"{ISSUER}@evil.example",
        f"{ISSUER}/../evil",
        f"{ISSUER}.evil.example",
        "file:///etc",
        ISSUER,
    ],
)
async def test_the_issuer_that_a_token_names_is_never_asked_unless_it_is_configured(named: str) -> None:
    """Row 58, RFC 8725 section 3.10, with discovery."""
    fetched: list[str] = []

    async def fetch(url: str, *, headers: Mapping[str, str], timeout: float, limit: int) -> FetchResponse:
        del headers, timeout, limit
        fetched.append(url)
        metadata = json.dumps({"issuer": ISSUER, "jwks_uri": JWKS_URI}).encode()
        return FetchResponse(200, {}, jwks_body() if url == JWKS_URI else metadata)

    issuer = TrustedIssuer(issuer=ISSUER, audience=AUDIENCE, algorithms=["RS256"], fetch=fetch)
    token = sign(RSA_1, header(), claims(iss=named))
    if named == ISSUER:
        await Verifier(issuer).verify(token)
        assert len(fetched) == 2
        assert all(url.startswith(f"{ISSUER}/") for url in fetched)
    else:
        with pytest.raises(TokenError):
            await Verifier(issuer).verify(token)
        assert fetched == []


_BAD_OPTIONS: list[tuple[str, object]] = [
    *(("leeway", value) for value in (-1, -0.001, math.nan, math.inf, "30", True, None, 30_000)),
    *(("algorithms", value) for value in ([], (), "RS256", None, [None], [""], ["RS256", ""], ["rs256"])),
    *(("algorithms", [name]) for name in ("none", "None", "HS256", "HS384", "HS512", "RS1", "dir")),
    ("algorithms", ["RS256", "HS256"]),
    ("algorithms", ["RS256", "none"]),
    *(("audience", value) for value in ("", [], None, [""], [AUDIENCE, None], 1)),
    *(("issuer", value) for value in ("", None, f"{ISSUER} ", 1)),
    *(
        ("jwks_uri", value)
        for value in ("http://issuer.example/jwks", "file:///etc/passwd", "/jwks", "", f"{ISSUER}#x")
    ),
    ("jwks_uri", "https://user:canary@issuer.example/jwks"),
    *(("max_age", value) for value in (-1, math.nan, "60")),
    *(("max_lifetime", value) for value in (-1, math.nan, "60")),
    *(("exempt", value) for value in ("/health", ["health"], ["/a*"], ["/*/b"], [""])),
    ("realm", 'x"\r\nX-Injected: 1'),
    ("profile", "GENERIC"),
]


@pytest.mark.parametrize(("option", "value"), _BAD_OPTIONS)
def test_a_dangerous_option_is_refused_at_start(option: str, value: object) -> None:
    """Row 121, CVE-2026-107720, CVE-2026-107721."""
    with pytest.raises(ConfigurationError):
        JWTMiddleware(Gate().inner, **(_OPTIONS | {option: value}))


@pytest.mark.parametrize("option", ["issuer", "audience", "algorithms"])
def test_an_option_that_has_no_safe_default_must_be_given(option: str) -> None:
    """Nothing gets in by omission."""
    with pytest.raises(ConfigurationError):
        JWTMiddleware(Gate().inner, **{name: value for name, value in _OPTIONS.items() if name != option})


async def test_options_that_are_changed_afterwards_change_nothing() -> None:
    """Row 122, CVE-2026-103001: the lists are copied."""
    gate = Gate()
    algorithms, audience, exempt = ["RS256"], [AUDIENCE], ["/health"]
    gate.app = JWTMiddleware(
        gate.inner,
        issuer=ISSUER,
        audience=audience,
        algorithms=algorithms,
        jwks_uri=JWKS_URI,
        exempt=exempt,
        fetch=serving(gate.fetched, jwks_body),
    )
    algorithms[:] = ["ES256"]
    audience[:] = [_OTHER]
    exempt[:] = ["/protected"]
    assert await ask(gate, bearer(good()), Sign.ACCEPT) == []
    assert await ask(gate, bearer(plain("ES256")), Sign.T) == []
    assert await ask(gate, bearer(rs256(aud=_OTHER)), Sign.T) == []
    assert (await http(gate.app, path="/protected")).status == 401
    assert (await http(gate.app, path="/health")).status == 200


def _exempting() -> Gate:
    gate = Gate()
    fetch = serving(gate.fetched, jwks_body)
    gate.app = JWTMiddleware(gate.inner, **_OPTIONS, exempt=("/health", "/docs/*"), fetch=fetch)
    return gate


# path, and the raw path where it is not the same
_TRICKS: list[tuple[str, bytes | None]] = [
    *((path, None) for path in ("//health", "/health/", "/health/x", "/HEALTH", "/healthz", "/health ", "/health\0")),
    *((path, None) for path in ("/health;x", "/health?x", "/health#x", "/./health", "/x/../health", "health", "")),
    *((path, None) for path in ("/\uff48ealth", "/he\u0301alth", "/health\n", "\\health", "/health.json", "*", "/*")),
    *((path, None) for path in ("/docs", "/docsx", "/docs/../protected", "/docs/a/../../protected", "/DOCS/a")),
    *((path, None) for path in ("/docs/..", "/docs/.", "/docs/./../protected", "/docs/..\\protected", "//docs/a")),
    *((path, None) for path in ("/docs/", "/docs//", "/docs/a//", "/docs/../", "/docs/a/../", "/docs/a/..//")),
    ("/health/../protected", b"/health%2f..%2fprotected"),
    ("/docs/../protected", b"/docs/%2e%2e/protected"),
    ("/docs/../protected", b"/docs%2F..%2Fprotected"),
    ("/protected", b"/health"),
    ("/protected", b"/docs/a"),
]


@pytest.mark.parametrize(("path", "raw_path"), _TRICKS)
async def test_a_path_that_only_looks_like_an_exempt_one_needs_a_token(path: str, raw_path: bytes | None) -> None:
    """Row 135, CVE-2026-48710: what the router gets is compared, exactly."""
    gate = _exempting()
    answer = await http(gate.app, path=path, raw_path=path.encode() if raw_path is None else raw_path)
    assert (answer.status, gate.calls, gate.fetched) == (401, [], [])


@pytest.mark.parametrize(
    ("root_path", "path"),
    [("/health", "/health/protected"), ("/docs/", "/docs/protected"), ("/x", "/x/protected"), ("/x", "/xhealth")],
)
async def test_a_root_path_does_not_make_a_path_exempt(root_path: str, path: str) -> None:
    """The router matches what follows `root_path`."""
    gate = _exempting()
    if (root_path, path) == ("/docs/", "/docs/protected"):
        path = "/protected"
    assert (await http(gate.app, path=path, root_path=root_path)).status == 401
    assert gate.calls == []


@pytest.mark.parametrize(
    ("root_path", "path"), [("", "/health"), ("", "/docs/a"), ("", "/docs/a/b"), ("/x", "/x/health")]
)
async def test_an_exempt_path_needs_none(root_path: str, path: str) -> None:
    """The control."""
    assert (await http(_exempting().app, path=path, root_path=root_path)).status == 200


@pytest.mark.parametrize("host", [b"a.example/health?", b"a.example/docs/", b"health", b"x@/health"])
async def test_the_host_does_not_make_a_path_exempt(host: bytes) -> None:
    """CVE-2026-48710, beside paths that are exempt."""
    gate = _exempting()
    assert (await http(gate.app, path="/protected", headers=[(b"host", host)])).status == 401
    assert gate.calls == []


_SOCKETS = [case for case in CASES if not (case.before or case.volley or case.request.method != "GET")]


@pytest.mark.parametrize("offered", [True, False])
async def test_a_websocket_is_let_in_by_the_same_rule(offered: bool) -> None:
    """Row 136: refused before the handshake is accepted, with a denial response where the server offers one."""
    gates = {profile: await warm_gate(profile) for profile in ("GENERIC", "RFC9068")}
    wrong: list[str] = []
    for case in _SOCKETS:
        gate = gates[case.profile]
        gate.calls.clear()
        extensions: dict[str, Any] = {"websocket.http.response": {}} if offered else {}
        request = case.request
        answer = await websocket(
            gate.app, path=request.path, headers=request.headers, query=request.query, extensions=extensions
        )
        let_in = case.sign is Sign.ACCEPT or case.id in ACCEPTED
        denied = answer.denial.status in case.sign.value.statuses if answer.denial else answer.close_code is not None
        if (
            bool(gate.calls) is not let_in
            or (not let_in and not denied)
            or (bool(answer.denial) is not (offered and not let_in))
        ):
            wrong.append(case.id)
    assert wrong == []


@pytest.mark.parametrize("kind", ["webtransport", "http2", "", "HTTP", None, 1])
async def test_a_scope_of_an_unknown_type_does_not_reach_the_application(kind: object) -> None:
    """Row 136: fails closed."""
    gate = closed_gate()
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": kind, "method": "GET", "path": "/", "headers": [], "query_string": b""}
    try:
        await gate.app(scope, receive, send)
    except (JWTASGIError, RuntimeError, ValueError, NotImplementedError):
        assert sent == []
    assert gate.calls == []


_LOGGED = [case for case in CASES if case.sign is not Sign.ACCEPT and not case.wait and case.id not in ACCEPTED]


async def test_the_log_says_why_and_repeats_nothing_of_the_token(caplog: pytest.LogCaptureFixture) -> None:
    """Row 137: at every level, of every logger; no token, kid or claim, and no line break (CWE-117)."""
    caplog.set_level(logging.DEBUG)
    gates = {profile: await warm_gate(profile) for profile in ("GENERIC", "RFC9068")}
    wrong: list[tuple[str, str]] = []
    for case in _LOGGED:
        caplog.clear()
        app = gates[case.profile].app
        assert isinstance(app, JWTMiddleware)
        app = _with_fresh_log(app)
        request = case.request
        await http(app, method=request.method, path=request.path, headers=request.headers, query=request.query)
        refusals = [record for record in caplog.records if hasattr(record, "jwt_asgi_reason")]
        lines = [logging.Formatter().format(record) for record in refusals]
        said = "\n".join(logging.Formatter().format(record) + repr(record.__dict__) for record in caplog.records)
        wrong += [(case.id, secret[:40]) for secret in secrets(request) if secret in said]
        if len(lines) != 1 or any(not character.isprintable() for character in lines[0]):
            wrong.append((case.id, f"{len(lines)} lines: {lines!r}"))
    assert wrong == []


def _with_fresh_log(app: JWTMiddleware) -> JWTMiddleware:
    """The hook writes a reason once a minute; here every refusal is to be seen."""
    app._gate._hooks = (LoggingHook(),)
    return app


async def test_all_faults_of_a_token_get_the_same_answer() -> None:
    """Row 137: which check failed is not told. Only that it expired is (RFC 6750 section 3)."""
    gate = await warm_gate()
    answers: dict[tuple[str | None, bytes], list[str]] = {}
    for case in (case for case in CASES if _faulty(case)):
        request = case.request
        answer = await http(gate.app, headers=request.headers)
        answers.setdefault((answer.challenge, answer.body), []).append(case.id)
    expired = [ids for (challenge, _), ids in answers.items() if challenge is not None and "expired" in challenge]
    assert len(answers) == 2, {key: ids[:5] for key, ids in answers.items()}
    assert len(expired) == 1
    assert all(case_id.startswith("time.exp-") for case_id in expired[0])


def _faulty(case: Case) -> bool:
    return (
        case.sign is Sign.T
        and case.profile == "GENERIC"
        and not (case.before or case.volley)
        and case.id not in ACCEPTED
    )


_ENCRYPTED = [case for case in CASES if 164 <= case.row <= 169]


@pytest.mark.parametrize("case", _ENCRYPTED, ids=[case.id for case in _ENCRYPTED])
async def test_an_encrypted_token_is_refused_as_such(case: Case) -> None:
    """Rows 164 to 169: by its five segments, with the signing key's owner or anyone else as its author."""
    ((_, credentials),) = case.request.headers
    verifier = Verifier(TrustedIssuer(**_OPTIONS, fetch=serving([], jwks_body)))
    with pytest.raises(TokenError) as caught:
        await verifier.verify(credentials.removeprefix(b"Bearer "))
    assert caught.value.reason is Reason.TOKEN_ENCRYPTED


_DPOP = [case for case in CASES if case.id.startswith("dpop.")]


async def test_dpop_is_refused_for_what_it_is() -> None:
    """Rows 108 and 149 to 163: as another scheme, with a challenge for Bearer alone; or as a token that is bound."""
    decisions: list[Decision] = []
    gate = Gate()
    gate.app = JWTMiddleware(gate.inner, **_OPTIONS, fetch=serving(gate.fetched, jwks_body), hooks=[decisions.append])
    assert await ask(gate, bearer(good()), Sign.ACCEPT) == []
    found: set[tuple[bool, Reason | None, str]] = set()
    for case in _DPOP:
        answer = await http(gate.app, headers=case.request.headers)
        by_scheme = case.request.headers[0][1].lower().startswith(b"dpop ")
        challenge = (answer.challenge or "").partition(", error_description")[0]
        found.add((by_scheme, decisions[-1].reason, challenge))
    assert found == {
        (True, Reason.SCHEME_UNSUPPORTED, "Bearer"),
        (False, Reason.BINDING_UNSUPPORTED, 'Bearer error="invalid_token"'),
    }
    assert len(_DPOP) > 50
    assert len(gate.calls) == 1


async def test_a_scope_that_is_not_text_grants_nothing() -> None:
    """Row 106: what is not a string is left out, never made into one."""
    verifier = Verifier(TrustedIssuer(**_OPTIONS, fetch=serving([], jwks_body)))
    token = await verifier.verify(rs256(scope=["read", 1, None, {"admin": 1}, ["admin"], True]))
    assert token.scopes == {"read"}
