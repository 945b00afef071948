"""Families of issuers: a provider's tenants by a template, or what a resolver knows; always with an allow-list."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from inspect import iscoroutinefunction
from threading import Lock
from typing import NamedTuple, Unpack

from cachetools import LRUCache

from jwt_asgi._core.policy import Policy
from jwt_asgi._keys.forks import call_after_fork
from jwt_asgi._keys.static import SharedSecret
from jwt_asgi.errors import ConfigurationError, KeysUnavailable, Reason
from jwt_asgi.issuers import CommonOptions, KeySource, Trust, TrustedIssuer
from jwt_asgi.types import Skip

__all__ = ["AllowList", "IssuerFamily", "ResolvedIssuers", "TrustedTenants"]

AllowList = Container[str] | Callable[[str], bool]
"""What is allowed: a set (which may change while the service runs), or a function that answers True from memory."""

PLACEHOLDER = "{tenantid}"
_TENANT = "([A-Za-z0-9_-]{1,64})"
_NOBODY = "00000000-0000-0000-0000-000000000000"


class IssuerFamily(ABC):
    """Issuers that are found by the `iss` of a token; those that were found are kept, the last used ones."""

    def __init__(self, most: int) -> None:
        """Know nobody yet."""
        if not isinstance(most, int) or isinstance(most, bool) or most < 1:
            raise ConfigurationError("most", f"expected a number of issuers from 1; got {most!r}")
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
                return None
            with self._lock:
                trust = self._known.get(issuer)
                if trust is None and (trust := self._make(issuer)) is not None:
                    self._known[issuer] = trust
                return trust
        except Exception as error:
            detail = f"the allow-list or the resolver failed: {type(error).__name__}: {error}"
            raise KeysUnavailable(Reason.ISSUER_UNRESOLVED, detail, issuer=str(self)) from error

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
        most: How many are kept, those that were used last.

    Raises:
        ConfigurationError: an option is missing or wrong.
    """

    def __init__(self, resolve: Callable[[str], TrustedIssuer | None], *, allowed: AllowList, most: int = 1000) -> None:
        """Resolve nothing yet."""
        super().__init__(most)
        if not callable(resolve) or iscoroutinefunction(resolve):
            raise ConfigurationError("resolve", f"expected a function that is not async; got {resolve!r}")
        self._resolve = resolve
        self._is_allowed = _allow("allowed", allowed)

    def __str__(self) -> str:
        """Say which issuers these are."""
        return "an issuer on the allow-list of the resolver"

    def _allows(self, issuer: str) -> bool:
        return self._is_allowed(issuer)

    def _make(self, issuer: str) -> Trust | None:
        trust = self._resolve(issuer)
        if trust is not None and not (isinstance(trust, TrustedIssuer) and trust.policy.issuer == issuer):
            raise ConfigurationError("resolve", "expected a TrustedIssuer of just this issuer, or None")
        return trust


class _Tenant(NamedTuple):
    policy: Policy
    keys: KeySource


class TrustedTenants(IssuerFamily):
    """The tenants of one provider: issuers that differ by the tenant's identifier alone.

    As Microsoft's, `https://login.microsoftonline.com/{tenantid}/v2.0`. A token is accepted where the part of `iss`
    that stands for `{tenantid}` is on the allow-list, and the claim `tid` is equal to it. A key that has an `issuer`
    member is good for that issuer's tokens alone, as Microsoft asks for.

    Args:
        template: The issuer, with `{tenantid}` once.
        tenants: The allow-list of tenants. A set may change while the service runs: a tenant that is taken off it is
            refused at once.
        audience: As of `TrustedIssuer`, and so are `algorithms` and the other options.
        algorithms: As of `TrustedIssuer`.
        claim: The claim that must be equal to the tenant in `iss`; None: there is none.
        jwks_uri: Where the keys are: one address for all tenants, or with `{tenantid}` in it one for each; by default
            the metadata of each tenant names it.
        most: How many tenants are kept in memory, those that were used last, with their keys where each has its own.

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
        super().__init__(most)
        if not isinstance(template, str) or template.count(PLACEHOLDER) != 1:
            raise ConfigurationError("template", f"expected an issuer with {PLACEHOLDER} once; got {template!r}")
        if claim is not None and (not isinstance(claim, str) or not claim):
            raise ConfigurationError("claim", f"expected the name of a claim, or None; got {claim!r}")
        if isinstance(options.get("keys"), SharedSecret):
            raise ConfigurationError("keys", "expected StaticKeys or fetched keys: tenants must not share a secret")
        self._template, self._claim = template, claim
        self._pattern = re.compile(_TENANT.join(map(re.escape, template.split(PLACEHOLDER))))
        self._is_tenant = _allow("tenants", tenants)
        jwks_uri, given = options.get("jwks_uri"), options.get("keys") is not None

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
        found = self._pattern.fullmatch(issuer)
        if found is None:
            return None
        tenant = found[1]
        own = None if self._claim is None else (self._claim, tenant)
        policy = replace(self._policy, issuer=issuer, tenant=own, key_issuer=True)
        return _Tenant(policy, self._trust(tenant).keys if self._shared is None else self._shared)


def _allow(option: str, allowed: AllowList) -> Callable[[str], bool]:
    if callable(allowed) and not isinstance(allowed, type) and not iscoroutinefunction(allowed):
        # A coroutine, or whatever else is true by accident, is no permission
        return lambda name: allowed(name) is True
    if isinstance(allowed, (str, bytes)) or not isinstance(allowed, Container):
        detail = f"expected a set of names, or a function that answers True from memory; got {allowed!r}"
        raise ConfigurationError(option, detail)
    return lambda name: name in allowed
