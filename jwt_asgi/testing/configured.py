"""An application -> what it trusts: the issuer, and what its tokens must be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from joserfc.jwk import OctKey

from jwt_asgi._core.policy import ASYMMETRIC_ALGORITHMS, SYMMETRIC_ALGORITHMS, Policy
from jwt_asgi._keys.remote import RemoteKeys
from jwt_asgi._keys.static import FixedKeys
from jwt_asgi.apps import doors
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuers import Trust, TrustedIssuer
from jwt_asgi.tenants import IssuerFamily

__all__ = ["Configured", "configured"]


class Configured(NamedTuple):
    """What an application says of one issuer.

    `audiences` has one for each door of the application, and nothing where none is asked for. `sources` are the names
    by which the key sources of this issuer go: its own or, of tenants that share their keys, the template.
    """

    policy: Policy
    audiences: tuple[str, ...]
    algorithms: tuple[str, ...]
    sources: frozenset[str]
    secret: OctKey | None


def configured(app: object, issuer: str | None) -> Configured:
    """Find what `app` trusts; `issuer` picks one where there are several.

    Raises:
        ConfigurationError: nothing is trusted there, or not this one, or it must be said which.
    """
    exact, families = _trusted(app)
    if not exact and not families:
        detail = (
            f"found no JWTMiddleware, nor anything else with a Verifier, in {type(app).__name__}; expected the "
            "application that has it, or the Verifier itself"
        )
        raise ConfigurationError("app", detail)
    if issuer is None and len(exact) == 1 and not families:
        (issuer,) = exact
    trusts = [] if issuer is None else exact.get(issuer) or _of_families(families, issuer)
    if not trusts:
        known = ", ".join([*map(repr, exact), *map(str, families)])
        given = "which one is meant" if issuer is None else f"one of these; got {issuer!r}"
        raise ConfigurationError("issuer", f"the application trusts {known}: expected {given}, as issuer=...")
    policy = trusts[0].policy
    pinned = frozenset[str].intersection(*(trust.policy.algorithms for trust in trusts)) or policy.algorithms
    wanted = dict.fromkeys(min(trust.policy.audience) for trust in trusts if trust.policy.audience)
    return Configured(
        policy=policy,
        audiences=tuple(wanted),
        algorithms=tuple(name for name in (*ASYMMETRIC_ALGORITHMS, *SYMMETRIC_ALGORITHMS) if name in pinned),
        sources=frozenset({policy.issuer, *(_name_of(trust) for trust in trusts)}),
        secret=_secret_of(trusts[0]),
    )


def _trusted(app: object) -> tuple[Mapping[str, list[Trust]], list[IssuerFamily]]:
    exact: dict[str, list[Trust]] = {}
    families: list[IssuerFamily] = []
    for verifier in {id(door.verifier): door.verifier for door in doors(app)}.values():
        for trusted in verifier.issuers:
            if isinstance(trusted, TrustedIssuer):
                exact.setdefault(trusted.policy.issuer, []).append(trusted)
            else:
                families.append(trusted)
    return exact, families


def _of_families(families: list[IssuerFamily], issuer: str) -> list[Trust]:
    return [trust for family in families if (trust := family.find(issuer)) is not None]


def _name_of(trust: Trust) -> str:
    return trust.keys.status().issuer if isinstance(trust.keys, (RemoteKeys, FixedKeys)) else trust.policy.issuer


def _secret_of(trust: Trust) -> OctKey | None:
    if not isinstance(trust.keys, FixedKeys):
        return None
    for alg in trust.policy.algorithms:
        for key in trust.keys.lookup(None, alg) or ():
            if isinstance(key.key, OctKey):
                return key.key
    return None
