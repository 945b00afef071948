"""Options -> Policy, frozen and complete, or ConfigurationError at start.

RFC 8725 section 3.1: the algorithms are the verifier's choice, never the token's; so there is no default for them, nor
for issuer and audience, and each is checked when the policy is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from jwt_asgi._core.token import Untrusted
from jwt_asgi.errors import ConfigurationError, Reason, TokenError
from jwt_asgi.profiles import Profile
from jwt_asgi.types import Skip

__all__ = [
    "ASYMMETRIC_ALGORITHMS",
    "MAX_LEEWAY",
    "PLACEHOLDER",
    "SYMMETRIC_ALGORITHMS",
    "TENANT",
    "Policy",
    "check_header",
    "flag",
    "make_policy",
    "seconds",
]

ASYMMETRIC_ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"),  # RFC 7518 section 3.1
    "ES256K",  # RFC 8812 section 3.2
    *("Ed25519", "Ed448", "EdDSA"),  # RFC 9864 section 2.2; RFC 8037 section 3.1
)
SYMMETRIC_ALGORITHMS = ("HS256", "HS384", "HS512")

MAX_LEEWAY = 300.0
"""Seconds. What the most generous peer allows by default (.NET); more would be a mistake, most likely milliseconds."""
MAX_SECONDS = 1e9
"""Some 30 years: what is more is no duration."""

PLACEHOLDER = "{tenantid}"
"""Stands for a tenant in an issuer or a URL, as Microsoft writes it."""
TENANT = re.compile("[A-Za-z0-9_-]{1,64}")
"""What a tenant may be called: nothing that means something in a URL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a token of one issuer must be; every field is checked.

    Times are in seconds. `audience` is None only where `Skip.AUDIENCE_CHECK` was given. `tenant`, where it is there, is
    the tenant that the issuer names, behind the claim that must be equal to it, or None. With `key_issuer`, a key that
    has an `issuer` member is good for that issuer's tokens alone. `grants` is asked what a verified token allows.
    """

    issuer: str
    audience: frozenset[str] | None
    algorithms: frozenset[str]
    profile: Profile
    leeway: float
    max_age: float | None
    max_lifetime: float | None
    tenant: tuple[str | None, str] | None = None
    key_issuer: bool = False
    grants: Callable[..., Any] | None = None


def make_policy(
    *,
    issuer: str,
    audience: str | Sequence[str] | Skip,
    algorithms: Sequence[str],
    symmetric: bool,
    profile: Profile,
    leeway: float,
    max_age: float | None,
    max_lifetime: float | None,
    grants: Callable[..., Any] | None = None,
) -> Policy:
    """Check every option and freeze them. `symmetric`: the key is a `SharedSecret`.

    Raises:
        ConfigurationError: an option is missing, of the wrong type, or out of its bounds.
    """
    if grants is not None and not callable(grants):
        raise ConfigurationError("grants", f"expected a function of a token that returns Grants; got {grants!r}")
    if not isinstance(profile, Profile):
        raise ConfigurationError("profile", f"expected a Profile, as Profile.GENERIC; got {profile!r}")
    return Policy(
        issuer=_issuer(issuer),
        audience=_audience(audience),
        algorithms=_algorithms(algorithms, symmetric=symmetric),
        profile=profile,
        leeway=seconds("leeway", leeway, most=MAX_LEEWAY),
        max_age=None if max_age is None else seconds("max_age", max_age),
        max_lifetime=None if max_lifetime is None else seconds("max_lifetime", max_lifetime),
        key_issuer=profile.key_issuer,
        grants=grants,
    )


def check_header(untrusted: Untrusted, policy: Policy) -> None:
    """Hold the header's `alg` and `typ` against the policy.

    Raises:
        TokenError: `algorithm_not_allowed`, `type_not_accepted`.
    """
    if untrusted.alg not in policy.algorithms:
        allowed = ", ".join(sorted(policy.algorithms))
        raise TokenError(Reason.ALGORITHM_NOT_ALLOWED, f"expected one of {allowed}")
    typ = untrusted.typ
    # RFC 7515 section 4.1.9: a media type, so its case does not matter
    if (typ if typ is None else typ.lower()) not in policy.profile.types:
        accepted = ", ".join(sorted(name or "absent" for name in policy.profile.types))
        raise TokenError(Reason.TYPE_NOT_ACCEPTED, f"expected typ to be one of: {accepted}")


def _issuer(issuer: str) -> str:
    if not isinstance(issuer, str) or not issuer:
        raise ConfigurationError("issuer", f"expected the issuer's identifier, exactly as in `iss`; got {issuer!r}")
    if issuer != issuer.strip():
        raise ConfigurationError("issuer", f"there is white space around {issuer!r}; `iss` is compared exactly")
    return issuer


def _audience(audience: str | Sequence[str] | Skip) -> frozenset[str] | None:
    if audience is Skip.AUDIENCE_CHECK:
        return None
    names = [audience] if isinstance(audience, str) else list(_iterable(audience))
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ConfigurationError(
            "audience",
            "expected this API's identifier, or several, as in `aud`: a token for another API must not be good here "
            f"(RFC 9068 section 4); got {audience!r}. To take tokens for anyone, write Skip.AUDIENCE_CHECK",
        )
    return frozenset(names)


def _algorithms(algorithms: Sequence[str], *, symmetric: bool) -> frozenset[str]:
    allowed = SYMMETRIC_ALGORITHMS if symmetric else ASYMMETRIC_ALGORITHMS
    names = [] if isinstance(algorithms, str) else list(_iterable(algorithms))
    refused = [name for name in names if name not in allowed]
    if names and not refused:
        return frozenset(names)
    if isinstance(algorithms, str):
        problem = f'expected a list, as ["{algorithms}"]; got the string {algorithms!r}'
    elif not names:
        problem = f"expected the algorithms that the issuer signs with, as [{allowed[0]!r}]; got {algorithms!r}"
    else:
        problem = f"{', '.join(map(repr, refused))} cannot be allowed here{_why(refused, symmetric=symmetric)}"
    raise ConfigurationError("algorithms", f"{problem}. The allowed names are {', '.join(allowed)}")


def _why(refused: Iterable[object], *, symmetric: bool) -> str:
    if symmetric:
        return ": a SharedSecret verifies HMAC alone, and an issuer with public keys is an entry of its own"
    if any(name in SYMMETRIC_ALGORITHMS for name in refused):
        # RFC 8725 section 2.1: a published key would be the HMAC secret
        return ": HMAC needs keys=SharedSecret(...), and never goes with published keys"
    return ""


def _iterable(value: object) -> Iterable[str]:
    return value if isinstance(value, Iterable) and not isinstance(value, bytes) else ()


def flag(option: str, value: object) -> bool:
    """Return True or False; the text "false" of an environment variable would be true.

    Raises:
        ConfigurationError: it is neither.
    """
    if not isinstance(value, bool):
        raise ConfigurationError(option, f"expected True or False; got {value!r}")
    return value


def seconds(option: str, value: float, *, least: float = 0.0, most: float = MAX_SECONDS) -> float:
    """Return a number of seconds.

    Raises:
        ConfigurationError: it is no number, or out of these bounds.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise ConfigurationError(option, f"expected a number of seconds from {least:g} to {most:g}; got {value!r}")
    return float(value)
