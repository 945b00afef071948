"""Families of issuers: a provider's tenants by a template, or what a resolver knows; always with an allow-list."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Mapping, Sequence, Sized
from collections.abc import Set as AbstractSet
from dataclasses import replace
from inspect import iscoroutinefunction
from threading import Lock
from typing import NamedTuple, Unpack

from cachetools import LRUCache

from jwt_asgi._core.policy import PLACEHOLDER, TENANT, Policy
from jwt_asgi._keys.forks import call_after_fork
from jwt_asgi._keys.static import SharedSecret
from jwt_asgi.errors import ConfigurationError, KeysUnavailable, Reason
from jwt_asgi.issuers import CommonOptions, KeySource, Trust, TrustedIssuer
from jwt_asgi.types import Skip

__all__ = ["AllowList", "IssuerFamily", "ResolvedIssuers", "TrustedTenants"]

AllowList = Container[str] | Callable[[str], bool]
"""What is allowed: a set (which may change while the service runs), or a function that answers True from memory.

A function must tell each spelling apart: to the one who signs, `Tenant` and `tenant` are two.
"""

_ANY_NAME = re.compile(".+", re.DOTALL)
_NOBODY = "00000000-0000-0000-0000-000000000000"


class _WrongAnswerError(Exception):
    """The resolver returned what it must not; the text is shown to operators."""


class IssuerFamily(ABC):
    """Issuers that are found by the `iss` of a token; those that were found are kept, the last used ones."""

    def __init__(self, most: int) -> None:
        """Know nobody yet."""
        self._known: LRUCache[str, Trust] = LRUCache(most)
        self.after_fork()
        call_after_fork(self)

    def after_fork(self) -> None:
        """Begin with a lock that nobody holds."""
        self._lock = Lock()

    def find(self, issuer: str) -> Trust | None:
        """Return what is trusted of this issuer, or None.

        Raises:
            KeysUnavailable: `issuer_unresolved`: the allow-list or the resolver failed.
        """
        try:
            if not self._allows(issuer):
                self.forget(issuer)
                return None
            with self._lock:
                trust = self._known.get(issuer)
            if trust is None and (trust := self._make(issuer)) is not None:
                with self._lock:
                    trust = self._known.setdefault(issuer, trust)
        except Exception as error:
            # Not its text, which may hold the `iss` that it was asked for
            what = str(error) if isinstance(error, _WrongAnswerError) else type(error).__name__
            detail = f"the allow-list or the resolver failed: {what}"
            raise KeysUnavailable(Reason.ISSUER_UNRESOLVED, detail, issuer=str(self)) from error
        return trust

    def forget(self, issuer: str) -> None:
        """Have an issuer made anew for its next token: for one whose registration has changed."""
        with self._lock:
            self._known.pop(issuer, None)

    def sources(self) -> list[tuple[KeySource, bool]]:
        """Return the key sources, each with whether it is required: one tenant's outage is not the service's."""
        with self._lock:
            return [(trust.keys, False) for trust in self._known.values()]

    @abstractmethod
    def __str__(self) -> str:
        """Say which issuers these are, for messages."""

    @abstractmethod
    def _allows(self, issuer: str) -> bool:
        """Whether it is on the allow-list; asked for each token."""

    @abstractmethod
    def _make(self, issuer: str) -> Trust | None:
        """Say what is trusted of an issuer on the allow-list."""


class ResolvedIssuers(IssuerFamily):
    """Issuers that are not known at the start: for one on the allow-list, `resolve` says what its tokens must be.

    Both are asked with the unverified `iss` of a stranger's token, and must answer from memory: read the database
    beforehand. What was resolved is kept; the allow-list is asked for each token, so that an issuer that is taken off
    it is refused at once.

    Args:
        resolve: Takes an issuer of the allow-list, and returns its `TrustedIssuer`, or None: then it is refused.
        allowed: The issuers that it may be asked for. There is no default: `iss` is a stranger's word, and whoever
            may name any issuer may sign any token.
        most: How many are kept, those that were asked for last. Allow no fewer than are on the allow-list, else
            strangers who name them all in turn have each fetched anew.

    Raises:
        ConfigurationError: an option is missing or wrong.
    """

    def __init__(self, resolve: Callable[[str], TrustedIssuer | None], *, allowed: AllowList, most: int = 1000) -> None:
        """Resolve nothing yet."""
        super().__init__(_check_most(most, allowed))
        if not callable(resolve) or _is_async(resolve):
            raise ConfigurationError("resolve", f"expected a function that is not async; got {resolve!r}")
        self._resolve = resolve
        self._is_allowed = _allow("allowed", allowed, _ANY_NAME)

    def __str__(self) -> str:
        """Say which issuers these are."""
        return "an issuer on the allow-list of the resolver"

    def _allows(self, issuer: str) -> bool:
        return self._is_allowed(issuer)

    def _make(self, issuer: str) -> Trust | None:
        trust = self._resolve(issuer)
        if trust is not None and not (isinstance(trust, TrustedIssuer) and trust.policy.issuer == issuer):
            raise _WrongAnswerError("expected a TrustedIssuer of just this issuer, or None")
        return trust


class _Tenant(NamedTuple):
    policy: Policy
    keys: KeySource


class TrustedTenants(IssuerFamily):
    """The tenants of one provider: issuers that differ by the tenant's identifier alone.

    As Microsoft's, `https://login.microsoftonline.com/{tenantid}/v2.0`. A token is accepted where the part of `iss`
    that stands for `{tenantid}` is on the allow-list, and the claim `tid` is equal to it. Tenants are 1 to 64 ASCII
    letters, digits, `-` and `_`, and case counts. A key that has an `issuer` member is good for that issuer's tokens
    alone, as Microsoft asks for.

    Args:
        template: The issuer, with `{tenantid}` once.
        tenants: The allow-list of tenants. A set may change while the service runs: a tenant that is taken off it is
            refused at once.
        audience: As of `TrustedIssuer`, and so are `algorithms` and the other options.
        algorithms: As of `TrustedIssuer`.
        claim: The claim that must be equal to the tenant in `iss`; None: there is none.
        jwks_uri: Where the keys are: one address for all tenants, or with `{tenantid}` in it one for each; by default
            the metadata of each tenant names it.
        most: How many tenants are kept in memory, those that were asked for last, with their keys where each has its
            own. Allow no fewer than are on the allow-list, else strangers who name them all in turn have each fetched
            anew.

    Raises:
        ConfigurationError: an option is missing or wrong.
    """

    def __init__(
        self,
        template: str,
        *,
        tenants: AllowList,
        audience: str | Sequence[str] | Skip,
        algorithms: Sequence[str],
        claim: str | None = "tid",
        most: int = 1000,
        **options: Unpack[CommonOptions],
    ) -> None:
        """Check the options; nothing is fetched."""
        super().__init__(_check_most(most, tenants))
        if not isinstance(template, str) or template.count(PLACEHOLDER) != 1:
            raise ConfigurationError("template", f"expected an issuer with {PLACEHOLDER} once; got {template!r}")
        if claim is not None and (not isinstance(claim, str) or not claim):
            raise ConfigurationError("claim", f"expected the name of a claim, or None; got {claim!r}")
        if isinstance(options.get("keys"), SharedSecret):
            raise ConfigurationError("keys", "expected StaticKeys or fetched keys: tenants must not share a secret")
        jwks_uri, given = options.get("jwks_uri"), options.get("keys") is not None
        if jwks_uri is not None and not isinstance(jwks_uri, str):
            raise ConfigurationError("jwks_uri", f"expected a URL, with {PLACEHOLDER} or without; got {jwks_uri!r}")
        self._template, self._claim = template, claim
        self._pattern = re.compile(f"({TENANT.pattern})".join(map(re.escape, template.split(PLACEHOLDER))))
        self._is_tenant = _allow("tenants", tenants, TENANT)

        def trust(tenant: str) -> TrustedIssuer:
            own = options.copy()
            if jwks_uri is not None:
                own["jwks_uri"] = jwks_uri.replace(PLACEHOLDER, tenant)
            issuer = template.replace(PLACEHOLDER, tenant)
            return TrustedIssuer(issuer=issuer, audience=audience, algorithms=algorithms, **own)

        self._trust = trust
        # Made for nobody's tenant, so that a wrong option stops the start
        sample = trust(_NOBODY)
        self._policy, self._required = sample.policy, sample.required
        self._shared: KeySource | None = None
        if given or (jwks_uri is not None and PLACEHOLDER not in jwks_uri):
            self._shared = TrustedIssuer(issuer=template, audience=audience, algorithms=algorithms, **options).keys

    def __str__(self) -> str:
        """Say which issuers these are."""
        return f"{self._template} of a tenant on the allow-list"

    def sources(self) -> list[tuple[KeySource, bool]]:
        """Return the key sources, each with whether it is required."""
        return super().sources() if self._shared is None else [(self._shared, self._required)]

    def _allows(self, issuer: str) -> bool:
        found = self._pattern.fullmatch(issuer)
        return found is not None and self._is_tenant(found[1])

    def _make(self, issuer: str) -> Trust | None:
        before, _, after = self._template.partition(PLACEHOLDER)
        tenant = issuer.removeprefix(before).removesuffix(after)
        policy = replace(self._policy, issuer=issuer, tenant=(self._claim, tenant), key_issuer=True)
        return _Tenant(policy, self._trust(tenant).keys if self._shared is None else self._shared)


def _check_most(most: int, allowed: object) -> int:
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        raise ConfigurationError("most", f"expected a number of issuers from 1; got {most!r}")
    if isinstance(allowed, Sized) and len(allowed) > most:
        raise ConfigurationError("most", f"expected no fewer than are on the allow-list, {len(allowed)}; got {most}")
    return most


def _allow(option: str, allowed: AllowList, name: re.Pattern[str]) -> Callable[[str], bool]:
    """Return the question; a coroutine, or whatever else is true by accident, is no permission."""
    if callable(allowed) and not isinstance(allowed, type) and not _is_async(allowed):
        return lambda asked: allowed(asked) is True
    # Of a dict {"a": False} every key would be let in
    unfit = isinstance(allowed, (str, bytes, bytearray, Mapping)) or not isinstance(allowed, Container)
    if unfit or callable(allowed) or iscoroutinefunction(type(allowed).__contains__):
        detail = f"expected a set of names, or a function that answers True from memory; got {allowed!r}"
        raise ConfigurationError(option, detail)
    for known in allowed if isinstance(allowed, (AbstractSet, list, tuple)) else ():
        if not isinstance(known, str) or not name.fullmatch(known):
            raise ConfigurationError(option, f"{known!r} can be in no issuer; expected text that fits {name.pattern!r}")
    contains = type(allowed).__contains__
    return lambda asked: contains(allowed, asked) is True


def _is_async(function: Callable[..., object]) -> bool:
    return iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)
