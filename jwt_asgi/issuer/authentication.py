"""A request -> who the client says it is, and whether that is so.

By HTTP Basic (RFC 6749 section 2.3.1), by a signed assertion (RFC 7523 section 2.2), or, for public clients, by name
alone; never by two ways at once. Whatever is wrong, the client is told one thing: `invalid_client`.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from jwt_asgi._core.claims import check_claims
from jwt_asgi._core.policy import check_header, make_policy
from jwt_asgi._core.signature import verify_signature
from jwt_asgi._core.token import Untrusted, parse_token
from jwt_asgi.errors import TokenError
from jwt_asgi.issuer.clients import Client
from jwt_asgi.issuer.grants import Fault, Form, GrantError, form_decoded
from jwt_asgi.profiles import Profile

__all__ = ["AssertionGiven", "Credentials", "NameGiven", "SecretGiven", "Seen", "authenticate", "credentials_of"]

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LEEWAY: Final = 30.0
LONGEST_ASSERTION: Final = 3600.0
"""Seconds. An assertion is remembered until it expires, so it must expire soon; clients use one to sixty minutes."""

_ASSERTION = Profile(
    name="CLIENT_ASSERTION",
    # An access token must not be good as an assertion
    types=frozenset({None, "jwt", "client-authentication+jwt"}),
    required=("sub", "jti"),
    scopes=(),
    client=(),
)

Seen = Callable[[str, float], Awaitable[bool]]
"""`await seen(key, until)`: whether this was called with the key before; it remembers it until then, atomically."""


@dataclass(frozen=True, slots=True)
class NameGiven:
    """The client says its name alone."""

    client_id: str


@dataclass(frozen=True, slots=True)
class SecretGiven:
    """The client shows a secret, by HTTP Basic; `plain` is what it is where the client has not form-encoded it."""

    client_id: str
    secret: str | None = field(repr=False)
    plain: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class AssertionGiven:
    """The client shows an assertion; `client_id` is what it says, and not yet believed."""

    client_id: str
    assertion: Untrusted = field(repr=False)


Credentials = NameGiven | SecretGiven | AssertionGiven


def credentials_of(authorization: Sequence[bytes], form: Form) -> Credentials:
    """Return what a request has to authenticate its client; `authorization` are the values of that header.

    Raises:
        GrantError: `invalid_client`; `invalid_request` where there are two ways.
    """
    assertion = form.get("client_assertion") is not None or form.get("client_assertion_type") is not None
    in_body = form.get("client_secret") is not None
    if len(authorization) + assertion + in_body > 1:
        raise GrantError(Fault.INVALID_REQUEST, "the client authenticates in more than one way")
    if in_body:
        raise GrantError(Fault.INVALID_CLIENT, detail="the secret is in the body; expected HTTP Basic")
    given = form.get("client_id")
    if authorization:
        credentials: Credentials = _basic(authorization[0])
    elif assertion:
        credentials = _assertion(form)
    elif given is None:
        raise GrantError(Fault.INVALID_CLIENT, detail="the request names no client")
    else:
        return NameGiven(given)
    if given is not None and given != credentials.client_id:
        raise _refused(credentials, "client_id is another than the one that is authenticated")
    return credentials


async def authenticate(
    client: Client | None, credentials: Credentials, *, audiences: Collection[str], now: float, seen: Seen
) -> Client:
    """Return the client, if it is the one.

    Args:
        client: What is registered under `credentials.client_id`, or None.
        credentials: What the request has.
        audiences: What an assertion may be for: the issuer, and the URL of the endpoint. Each of its audiences must be
            one of them, so that an assertion for another server is not good here.
        now: The time.
        seen: Remembers assertions.

    Raises:
        GrantError: `invalid_client`.
    """
    if client is None or client.client_id != credentials.client_id:
        raise _refused(credentials, "there is no such client")
    match credentials, client.authentication:
        case NameGiven(), "none":
            return client
        case SecretGiven(secret=secret, plain=plain), "client_secret_basic":
            # Both are looked at, whatever the first one is: the time tells nothing
            if not any([client.has_secret(shown or "") for shown in (secret, plain)]):  # noqa: C419
                raise _refused(credentials, "the secret is not the client's")
            return client
        case AssertionGiven(assertion=assertion), "private_key_jwt":
            _check_assertion(client, assertion, audiences, now)
            claims = assertion.claims
            key = sha256(f"{client.client_id}\0{claims['jti']}".encode()).hexdigest()
            if await seen(key, claims["exp"] + LEEWAY):
                raise _refused(credentials, "the assertion was used before")
            return client
        case _:
            raise _refused(credentials, f"expected {client.authentication}")


def _check_assertion(client: Client, assertion: Untrusted, audiences: Collection[str], now: float) -> None:
    policy = make_policy(
        issuer=client.client_id,
        audience=list(audiences),
        algorithms=_names_of(str(client.algorithm)),
        symmetric=False,
        profile=_ASSERTION,
        leeway=LEEWAY,
        max_age=None,
        max_lifetime=None,
    )
    keys = client.keys and client.keys.lookup(assertion.kid, assertion.alg)
    try:
        check_header(assertion, policy)
        claims = check_claims(verify_signature(assertion, keys or ()), policy, now).claims
    except TokenError as error:
        raise GrantError(Fault.INVALID_CLIENT, detail=f"the assertion: {error}") from None
    named = {claims["aud"]} if isinstance(claims["aud"], str) else {*claims["aud"]}
    wrong = ""
    if claims["sub"] != client.client_id:
        wrong = "sub is not the client"
    elif not named <= {*audiences}:
        wrong = "aud names others, too"
    elif claims["exp"] > now + LONGEST_ASSERTION + LEEWAY:
        wrong = f"exp is more than {LONGEST_ASSERTION:g} s ahead"
    if wrong:
        raise GrantError(Fault.INVALID_CLIENT, detail=f"the assertion: {wrong}")


def _names_of(algorithm: str) -> list[str]:
    """Return every name of an algorithm: RFC 9864 has given `EdDSA` with this curve another one."""
    names = ["EdDSA", "Ed25519"]
    return names if algorithm in names else [algorithm]


def _basic(authorization: bytes) -> SecretGiven:
    scheme, _, encoded = authorization.partition(b" ")
    refused = GrantError(Fault.INVALID_CLIENT, detail="the Authorization header is not HTTP Basic", challenge=True)
    if scheme.lower() != b"basic":
        raise refused
    try:
        name, colon, secret = b64decode(encoded.strip(b" "), validate=True).partition(b":")
    except ValueError:
        raise refused from None
    # RFC 6749 section 2.3.1: both parts are form-encoded before they are joined. Many clients leave that out, and a
    # secret of base64 may have a "+" in it
    client_id, password = form_decoded(name), form_decoded(secret)
    plain = secret.decode("ascii", "replace")
    if not colon or not client_id or not secret.isascii() or not plain.isprintable() or not plain:
        raise refused
    return SecretGiven(client_id, password, plain)


def _assertion(form: Form) -> AssertionGiven:
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise GrantError(Fault.INVALID_CLIENT, detail=f"expected client_assertion_type to be {ASSERTION_TYPE}")
    try:
        assertion = parse_token(form.get("client_assertion") or "")
    except TokenError as error:
        raise GrantError(Fault.INVALID_CLIENT, detail=f"the assertion: {error}") from None
    subject = assertion.claims.get("sub")
    if not isinstance(subject, str):
        raise GrantError(Fault.INVALID_CLIENT, detail="the assertion: expected sub")
    return AssertionGiven(subject, assertion)


def _refused(credentials: Credentials, detail: str) -> GrantError:
    return GrantError(Fault.INVALID_CLIENT, detail=detail, challenge=isinstance(credentials, SecretGiven))
