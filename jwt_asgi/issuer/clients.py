"""What the token service knows of a client: how it authenticates, and what it may ask for; checked when it is made."""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any, Final, Literal, NoReturn, get_args

from jwt_asgi._core.jwks import KeySet, import_keys
from jwt_asgi._core.policy import ASYMMETRIC_ALGORITHMS
from jwt_asgi.errors import ConfigurationError, KeysUnavailable
from jwt_asgi.issuer.claim_values import ClaimsError, check_text, clean_scopes

__all__ = ["Authentication", "Client", "FindClient", "Grant", "new_secret", "registered", "secret_digest"]

Authentication = Literal["none", "client_secret_basic", "private_key_jwt"]
"""RFC 7591 section 2, `token_endpoint_auth_method`. `none` is a public client, as a browser or a phone."""
Grant = Literal["refresh_token", "client_credentials"]

LEAST_SECRET_CHARACTERS: Final = 32
_LEAST_DIFFERENT_CHARACTERS: Final = 12
_PREFIX: Final = "sha256:"
_DIGEST = re.compile(r"sha256:[A-Za-z0-9_-]{43}")
_MOST_SECRETS: Final = 4


def new_secret() -> str:
    """Make a secret for a client: 256 random bits. Show it once, and keep its `secret_digest`."""
    return token_urlsafe(32)


def secret_digest(secret: str) -> str:
    """Return what is kept of a client's secret: `sha256:` and its digest.

    That is enough for a secret that a generator made, which nobody can guess; so a short one, as people make them, is
    refused.

    Raises:
        ConfigurationError: it is shorter than 32 characters, or has fewer than 12 different ones.
    """
    if (
        not isinstance(secret, str)
        or len(secret) < LEAST_SECRET_CHARACTERS
        or len(set(secret)) < _LEAST_DIFFERENT_CHARACTERS
    ):
        detail = f"expected {LEAST_SECRET_CHARACTERS} random characters or more, as new_secret() makes them"
        raise ConfigurationError("client secret", detail)
    return _digest(secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client, as it is registered.

    Attributes:
        client_id: Its identifier.
        authentication: How it authenticates.
        secrets: For `client_secret_basic`: the `secret_digest` of its secret, or of several while it changes.
        jwks: For `private_key_jwt`: its public keys, as a JWK Set.
        algorithm: For `private_key_jwt`: what it signs with, and nothing else.
        grants: What it may use: `refresh_token`, `client_credentials`.
        scopes: What it may have without a user, by `client_credentials`.
        audience: Whom its tokens without a user may be for; the first where it names none.
        resources: As a resource server: its names as in `aud`. It may introspect the tokens that are for one of them.

    Raises:
        ConfigurationError: a member is wrong, or two do not go together.
    """

    client_id: str
    authentication: Authentication
    secrets: Sequence[str] = field(default=(), repr=False)
    jwks: Mapping[str, Any] | None = field(default=None, repr=False)
    algorithm: str | None = None
    grants: Collection[str] = ("refresh_token",)
    scopes: Collection[str] = ()
    audience: Sequence[str] = ()
    resources: Collection[str] = ()
    keys: KeySet | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the members, and import the keys."""
        try:
            check_text("client_id", self.client_id)
            clean_scopes(self.scopes)
            for option in ("audience", "resources"):
                for name in _listed(option, getattr(self, option)):
                    check_text(option, name)
        except ClaimsError as error:
            raise ConfigurationError(f"client {error.claim}", error.detail) from None
        if self.authentication not in get_args(Authentication):
            self._refuse("authentication", f"expected one of {', '.join(get_args(Authentication))}")
        grants = frozenset(_listed("grants", self.grants))
        if not grants <= {*get_args(Grant)} or not (grants or self.resources):
            self._refuse("grants", f"expected some of {', '.join(get_args(Grant))}")
        if self.resources and self.authentication == "none":
            # RFC 7662 section 2.1: the endpoint "MUST also require some form of authorization"
            self._refuse("resources", "a resource server must authenticate")
        if "client_credentials" in grants and self.authentication == "none":
            # RFC 6749 section 4.4: "MUST only be used by confidential clients"
            self._refuse("grants", "client_credentials is for clients that authenticate")
        if "client_credentials" in grants and not self.audience:
            self._refuse("audience", "expected whom its tokens are for")
        self._check_secrets()
        object.__setattr__(self, "grants", grants)
        object.__setattr__(self, "scopes", frozenset(self.scopes))
        object.__setattr__(self, "audience", tuple(self.audience))
        object.__setattr__(self, "resources", frozenset(self.resources))
        object.__setattr__(self, "keys", self._imported())

    @property
    def is_public(self) -> bool:
        """Whether it keeps no secret (RFC 6749 section 2.1)."""
        return self.authentication == "none"

    def has_secret(self, secret: str) -> bool:
        """Whether this is its secret; the time that it takes tells nothing about the right one."""
        digest = _digest(secret)
        return any([hmac.compare_digest(digest, kept) for kept in self.secrets])  # noqa: C419 - all of them, always

    def _check_secrets(self) -> None:
        secrets = _listed("secrets", self.secrets)
        if not all(isinstance(kept, str) and _DIGEST.fullmatch(kept) for kept in secrets):
            self._refuse("secrets", "expected what secret_digest() returns, and not the secrets")
        if bool(secrets) != (self.authentication == "client_secret_basic") or len(secrets) > _MOST_SECRETS:
            self._refuse("secrets", f"expected 1 to {_MOST_SECRETS} for client_secret_basic, and none for others")
        object.__setattr__(self, "secrets", tuple(secrets))

    def _imported(self) -> KeySet | None:
        if self.authentication != "private_key_jwt":
            if self.jwks is not None or self.algorithm is not None:
                self._refuse("jwks", "expected with private_key_jwt alone, as algorithm is")
            return None
        if self.algorithm not in ASYMMETRIC_ALGORITHMS:
            self._refuse("algorithm", f"expected one of {', '.join(ASYMMETRIC_ALGORITHMS)}")
        if not isinstance(self.jwks, Mapping):
            self._refuse("jwks", "expected a JWK Set with its public keys")
        try:
            keys = import_keys(self.jwks)
        except KeysUnavailable as error:
            raise ConfigurationError("client jwks", error.detail) from None
        if keys.private:
            self._refuse("jwks", "it has a private key, which is the client's alone")
        if not any(self.algorithm in key.algorithms for key in keys.keys):
            self._refuse("jwks", f"no key of it is for {self.algorithm}")
        return keys

    def _refuse(self, name: str, detail: str) -> NoReturn:
        raise ConfigurationError(f"client {name}", f"{detail}, for client {self.client_id!r}")


FindClient = Callable[[str], Awaitable[Client | None]]
"""Finds what is registered under an identifier, or None. It is asked with whatever a request has."""


def registered(clients: Iterable[Client]) -> FindClient:
    """Return what finds one of these clients.

    Raises:
        ConfigurationError: two have one identifier, or something else is among them.
    """
    listed = list(clients)
    if not all(isinstance(client, Client) for client in listed):
        raise ConfigurationError("clients", "expected Client(...) values, or an async function of a client_id")
    named = {client.client_id: client for client in listed}
    if len(named) < len(listed):
        raise ConfigurationError("clients", "two have the same client_id")

    async def find(client_id: str) -> Client | None:
        return named.get(client_id)

    return find


def _listed(name: str, values: Any) -> list[Any]:  # noqa: ANN401 - an option of any type
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Collection):
        raise ConfigurationError(f"client {name}", f"expected a list; got {type(values).__name__}")
    return list(values)


def _digest(secret: str) -> str:
    raw = sha256(secret.encode("utf-8", "surrogatepass")).digest()
    return _PREFIX + urlsafe_b64encode(raw).decode().rstrip("=")
