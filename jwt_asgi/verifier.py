"""Token text -> AccessToken, in a handful of lines that name the steps."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal, Self, get_args

from jwt_asgi._core.access_token import AccessToken, Grants
from jwt_asgi._core.claims import check_before_fetch, check_claims
from jwt_asgi._core.jwks import VerifyKey
from jwt_asgi._core.policy import check_header
from jwt_asgi._core.signature import Verified, own_keys, verify_signature
from jwt_asgi._core.token import Untrusted, parse_token
from jwt_asgi._keys.events import KeyStatus
from jwt_asgi.errors import AccessError, ConfigurationError, KeysUnavailable, Reason, TokenError
from jwt_asgi.issuers import GrantsOf, KeySource, Trust, TrustedIssuer
from jwt_asgi.tenants import IssuerFamily
from jwt_asgi.types import Clock

__all__ = ["StartUp", "Verifier", "check_start_up"]

StartUp = Literal["lazy", "warm", "require"]
"""When keys are first fetched: `lazy`, for the first token; `warm`, at the start, which goes on without them where they
cannot be had; `require`, at the start, which fails without them."""

START_SECONDS = 5.0

logger = logging.getLogger("jwt_asgi")


class Verifier:
    """Decides whether a token is good: the same decision with and without ASGI.

    One verifier may serve several middlewares, tasks, event loops and threads at once, and goes through a fork. Keys
    belong to their issuer: a key of one never verifies a token of another (RFC 8725 section 3.8).

    Args:
        issuers: `TrustedIssuer`, `TrustedTenants` and `ResolvedIssuers`, in any mixture. An issuer that is named
            exactly goes before a family that it would fit.
        clock: Gives the seconds since the epoch.

    Raises:
        ConfigurationError: no issuer is given, or one twice.
    """

    __slots__ = ("_clock", "_families", "_issuers")

    def __init__(self, *issuers: TrustedIssuer | IssuerFamily, clock: Clock = time.time) -> None:
        """Take the issuers; nothing is fetched."""
        if not issuers or not all(isinstance(issuer, (TrustedIssuer, IssuerFamily)) for issuer in issuers):
            raise ConfigurationError("Verifier", "expected one TrustedIssuer(...) or more")
        single = [issuer for issuer in issuers if isinstance(issuer, TrustedIssuer)]
        self._issuers = {issuer.policy.issuer: issuer for issuer in single}
        if len(self._issuers) != len(single):
            raise ConfigurationError("Verifier", "expected each issuer once; put its audiences into one TrustedIssuer")
        self._families = tuple(issuer for issuer in issuers if isinstance(issuer, IssuerFamily))
        self._clock = clock

    @property
    def issuers(self) -> tuple[TrustedIssuer | IssuerFamily, ...]:
        """Whose tokens are accepted: what the verifier was given; those that are named exactly come first."""
        return (*self._issuers.values(), *self._families)

    async def verify(self, token: str | bytes) -> AccessToken:
        """Return the verified token.

        It waits only where keys must be fetched, and then for a bounded time; and for the issuer's `grants`, where that
        is async.

        Raises:
            TokenError: the token is not good here.
            KeysUnavailable: it cannot be judged just now, as its issuer's keys cannot be had.
            AccessError: `access_undecided`, where the issuer's `grants` failed.
        """
        untrusted = parse_token(token)
        issuer = self._issuer_of(untrusted)
        check_header(untrusted, issuer.policy)
        keys = issuer.keys.lookup(untrusted.kid, untrusted.alg)
        if keys is None:
            check_before_fetch(untrusted, issuer.policy, self._clock())
            keys = await issuer.keys.find(untrusted.kid, untrusted.alg)
        try:
            verified = verify_signature(untrusted, own_keys(keys, untrusted, issuer.policy))
        except TokenError as error:
            verified = await self._verify_again(untrusted, issuer, keys, error)
        good = AccessToken(check_claims(verified, issuer.policy, self._clock()), issuer.policy.profile)
        return good if issuer.policy.grants is None else await _granted(good, issuer.policy.grants)

    async def start(self, mode: StartUp = "warm") -> None:
        """Fetch the keys of the required issuers, all at once and for at most 5 seconds; `lazy`: do nothing.

        Raises:
            KeysUnavailable: with `require`, where an issuer's keys cannot be had within that time.
            ConfigurationError: `mode` is none of these.
        """
        if check_start_up(mode) == "lazy":
            return
        required = [keys for keys, required in self._sources() if required]
        for keys in required:
            keys.refresh_if_due()
        deadline = time.monotonic() + START_SECONDS
        for keys in required:
            left = max(deadline - time.monotonic(), 0.0)
            error = await keys.ready(seconds=left, retry=mode == "require")
            if error is not None and mode == "require":
                raise error

    def ready(self) -> bool:
        """Say whether every required issuer has keys that can be used.

        It also sees that theirs are fetched where they are missing or old, and waits for none: for a probe, or a timer.
        """
        required = [keys for keys, required in self._sources() if required]
        for keys in required:
            keys.refresh_if_due()
        return all(keys.status().ready for keys in required)

    async def reload(self) -> None:
        """Fetch the keys of every issuer now, past caches and limits: for an operator who knows of a rotation.

        Raises:
            KeysUnavailable: of the first that could not be fetched; what is at hand stays as good as it was. All the
                others were fetched all the same.
        """
        failed: KeysUnavailable | None = None
        for keys, _ in self._sources():
            try:
                await keys.reload()
            except KeysUnavailable as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def status(self) -> dict[str, KeyStatus]:
        """Return how each issuer's keys are, by issuer; of a family, those issuers that were met lately.

        Where tenants share their keys they are there once, by the template, and by `template (2)` for a second family.
        """
        found: dict[str, KeyStatus] = {}
        for keys, required in self._sources():
            status = replace(keys.status(), required=required)
            name, number = status.issuer, 1
            while name in found:
                number += 1
                name = f"{status.issuer} ({number})"
            found[name] = status
        return found

    async def aclose(self) -> None:
        """Give up fetches under way in this event loop. The verifier can be used again."""
        for keys, _ in self._sources():
            await keys.aclose()

    async def __aenter__(self) -> Self:
        """Return the verifier; nothing is fetched before the first token."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.aclose()

    def _issuer_of(self, untrusted: Untrusted) -> Trust:
        """Let the unverified `iss` choose among the configured issuers, and nothing else."""
        named = untrusted.claims.get("iss")
        if isinstance(named, str):
            if (issuer := self._issuers.get(named)) is not None:
                return issuer
            for family in self._families:
                if (trust := family.find(named)) is not None:
                    return trust
        expected = ", ".join([*self._issuers, *map(str, self._families)])
        raise TokenError(Reason.ISSUER_UNTRUSTED, f"expected iss to be one of {expected}")

    async def _verify_again(
        self, untrusted: Untrusted, issuer: Trust, keys: Sequence[VerifyKey], error: TokenError
    ) -> Verified:
        """Where the issuer may give a new key an old kid, see whether it has."""
        if error.reason is not Reason.SIGNATURE_INVALID or not issuer.keys.refresh_on_bad_signature:
            raise error
        try:
            check_before_fetch(untrusted, issuer.policy, self._clock())
            newer = await issuer.keys.find(untrusted.kid, untrusted.alg, besides=keys)
        except TokenError:
            raise error from None
        return verify_signature(untrusted, own_keys(newer, untrusted, issuer.policy))

    def _sources(self) -> Iterator[tuple[KeySource, bool]]:
        """Every key source that is known now, and whether it is required."""
        for issuer in self._issuers.values():
            yield issuer.keys, issuer.required
        for family in self._families:
            yield from family.sources()


async def _granted(token: AccessToken, grants_of: GrantsOf) -> AccessToken:
    """Let the application say what the token allows; it sees the token, and cannot change what was signed."""
    try:
        grants = grants_of(token)
        granted = grants if isinstance(grants, Grants) else await grants
        if not isinstance(granted, Grants):
            raise TypeError(f"expected Grants; got {type(granted).__name__}")
    except Exception as error:
        logger.exception("the function given as grants= failed")
        detail = f"the function given as grants= failed: {type(error).__name__}"
        raise AccessError(Reason.ACCESS_UNDECIDED, detail) from None
    return token.granted(granted)


def check_start_up(mode: StartUp) -> StartUp:
    """Return a start-up mode.

    Raises:
        ConfigurationError: it is none.
    """
    if mode not in get_args(StartUp):
        raise ConfigurationError("startup", f"expected one of {', '.join(get_args(StartUp))}; got {mode!r}")
    return mode
