"""Token text -> AccessToken, in a handful of lines that name the steps."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal, Self, get_args

from jwt_asgi._core.access_token import AccessToken, Grants
from jwt_asgi._core.claims import check_before_fetch, check_claims
from jwt_asgi._core.jwks import VerifyKey
from jwt_asgi._core.policy import check_header
from jwt_asgi._core.revoked import TokenKeys, keys_of
from jwt_asgi._core.signature import Verified, own_keys, verify_signature
from jwt_asgi._core.token import Untrusted, parse_token
from jwt_asgi._keys.events import KeyStatus
from jwt_asgi.errors import AccessError, ConfigurationError, KeysUnavailable, Reason, TokenError
from jwt_asgi.issuers import GrantsOf, KeySource, Trust, TrustedIssuer
from jwt_asgi.revocation.feed import RevocationFeed
from jwt_asgi.tenants import IssuerFamily
from jwt_asgi.token_cache import DEFAULT_TOKENS, Known, TokenCache, digest_of
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
        token_cache: How many verified tokens are kept in memory, those that were seen last, so that each is verified
            once; one of more than 1 KiB counts as several. A token is found by its SHA-256, and only as long as its
            issuer has the keys that verified it; when it is good is judged each time. 0: every token is verified
            every time.
        revocation: A feed of what an issuer has revoked, or several of several issuers: each of their tokens is held
            against it each time.

    Raises:
        ConfigurationError: no issuer is given, or one twice, `token_cache` is no such number, or a feed is of an issuer
            that is none of these.
    """

    __slots__ = ("_cache", "_clock", "_families", "_feeds", "_issuers")

    def __init__(
        self,
        *issuers: TrustedIssuer | IssuerFamily,
        clock: Clock = time.time,
        token_cache: int = DEFAULT_TOKENS,
        revocation: RevocationFeed | Sequence[RevocationFeed] = (),
    ) -> None:
        """Take the issuers; nothing is fetched."""
        if not issuers or not all(isinstance(issuer, (TrustedIssuer, IssuerFamily)) for issuer in issuers):
            raise ConfigurationError("Verifier", "expected one TrustedIssuer(...) or more")
        single = [issuer for issuer in issuers if isinstance(issuer, TrustedIssuer)]
        self._issuers = {issuer.policy.issuer: issuer for issuer in single}
        if len(self._issuers) != len(single):
            raise ConfigurationError("Verifier", "expected each issuer once; put its audiences into one TrustedIssuer")
        self._families = tuple(issuer for issuer in issuers if isinstance(issuer, IssuerFamily))
        self._clock = clock
        self._cache = TokenCache(token_cache)
        self._feeds = self._feeds_of(tuple(revocation) if isinstance(revocation, (list, tuple)) else (revocation,))

    @property
    def issuers(self) -> tuple[TrustedIssuer | IssuerFamily, ...]:
        """Whose tokens are accepted: what the verifier was given; those that are named exactly come first."""
        return (*self._issuers.values(), *self._families)

    @property
    def revocation(self) -> tuple[RevocationFeed, ...]:
        """The feeds of what is revoked."""
        return tuple(dict.fromkeys(self._feeds.values()))

    async def verify(self, token: str | bytes) -> AccessToken:
        """Return the verified token.

        It waits only where keys must be fetched, and then for a bounded time; and for the issuer's `grants`, where that
        is async.

        Raises:
            TokenError: the token is not good here.
            KeysUnavailable: it cannot be judged just now, as its issuer's keys cannot be had, or what it has revoked.
            AccessError: `access_undecided`, where the issuer's `grants` failed.
        """
        digest = digest_of(token) if self.remembers else b""
        return self.recall(digest) or await self.examine(token, digest)

    @property
    def remembers(self) -> bool:
        """Whether verified tokens are kept."""
        return self._cache.most > 0

    def recall(self, digest: bytes) -> AccessToken | None:
        """Return the token of this digest if it was verified before, and is good now without asking anybody.

        `digest` is what `token_cache.digest_of` returns.

        Raises:
            TokenError: `issuer_untrusted`, of a tenant that is not on the allow-list any more.
        """
        known = self._cache.find(digest)
        if known is None or not known.since <= self._clock() < known.until:
            return None
        policy = known.policy
        trust = self._issuers.get(policy.issuer) or self._trust_for(policy.issuer)
        if trust.policy is not policy or trust.keys.lookup(known.kid, known.alg) is not known.keys:
            return None
        if known.marks is not None and not self._feeds[policy.issuer].clears(known.marks):
            return None
        return known.token if policy.grants is None else None

    async def examine(self, token: str | bytes, digest: bytes) -> AccessToken:
        """Verify a token that could not be recalled, as `verify` does."""
        known = self._cache.find(digest)
        if known is None or not await self._is_good_still(known):
            known = await self._verify(token)
            if digest:
                self._cache.keep(digest, len(token), known)
        if known.marks is not None:
            await self._feeds[known.policy.issuer].check(known.marks, token)
        grants = known.policy.grants
        return known.token if grants is None else await _granted(known.token, grants)

    async def _verify(self, token: str | bytes) -> Known:
        untrusted = parse_token(token)
        trust = self._trust_for(untrusted.claims.get("iss"))
        policy = trust.policy
        check_header(untrusted, policy)
        keys = trust.keys.lookup(untrusted.kid, untrusted.alg)
        if keys is None:
            check_before_fetch(untrusted, policy, self._clock())
            keys = await trust.keys.find(untrusted.kid, untrusted.alg)
        try:
            verified = verify_signature(untrusted, own_keys(keys, untrusted, policy))
        except TokenError as error:
            keys = await self._other_keys(untrusted, trust, keys, error)
            verified = verify_signature(untrusted, own_keys(keys, untrusted, policy))
        checked = check_claims(verified, policy, self._clock())
        good = AccessToken(checked, policy.profile, leeway=policy.leeway, max_age=policy.max_age)
        marks = None
        if policy.issuer in self._feeds:
            marks = vars(good)["_marks"] = _marks_of(good, checked)
        return Known(good, policy, untrusted.kid, untrusted.alg, keys, good.good_since, good.good_until, marks)

    async def _is_good_still(self, known: Known) -> bool:
        """Judge a token that was verified before as `recall` does, waiting for its issuer's keys where that must be."""
        trust = self._trust_for(known.policy.issuer)
        if trust.policy is not known.policy:
            return False
        keys = trust.keys.lookup(known.kid, known.alg)
        if keys is None and known.since <= self._clock() < known.until:
            keys = await trust.keys.find(known.kid, known.alg)
        return keys is known.keys and known.since <= self._clock() < known.until

    def seconds_left(self, token: AccessToken) -> float:
        """Say for how long a token that it has verified is good from now; 0 or less: no more, also when revoked."""
        marks = token._marks  # noqa: SLF001 - it put them there
        if marks is not None and self._feeds[token.issuer].revokes(marks):
            return 0.0
        return token.good_until - self._clock()

    def watch(self, token: AccessToken, end: Callable[[], None]) -> Callable[[], None] | None:
        """Have `end` called, in this event loop and once, when a token that it has verified is revoked from now on.

        Return what to call when that is of no account any more; None: nobody says whether it is revoked.
        """
        marks = token._marks  # noqa: SLF001 - likewise
        return None if marks is None else self._feeds[token.issuer].watch(marks, end)

    async def start(self, mode: StartUp = "warm") -> None:
        """Fetch the keys of the required issuers, all at once and for at most 5 seconds; `lazy`: do nothing.

        Likewise what is revoked.

        Raises:
            KeysUnavailable: with `require`, where an issuer's keys, or what it has revoked, cannot be had within that
                time.
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
        for feed in self.revocation:
            error = await feed.start(max(deadline - time.monotonic(), 0.0))
            if error is not None and mode == "require":
                raise error

    def ready(self) -> bool:
        """Say whether every required issuer has keys that can be used, and its tokens can be judged by what is revoked.

        It also sees that theirs are fetched where they are missing or old, and waits for none: for a probe, or a timer.
        """
        required = [keys for keys, required in self._sources() if required]
        for keys in required:
            keys.refresh_if_due()
        fed = [feed.ready() for feed in self.revocation]
        return all(fed) and all(keys.status().ready for keys in required)

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
        for feed in self.revocation:
            await feed.aclose()

    async def __aenter__(self) -> Self:
        """Return the verifier; nothing is fetched before the first token."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.aclose()

    def _trust_for(self, named: object) -> Trust:
        """Let the unverified `iss` choose among the configured issuers, and nothing else."""
        if isinstance(named, str):
            if (issuer := self._issuers.get(named)) is not None:
                return issuer
            for family in self._families:
                if (trust := family.find(named)) is not None:
                    return trust
        expected = ", ".join([*self._issuers, *map(str, self._families)])
        raise TokenError(Reason.ISSUER_UNTRUSTED, f"expected iss to be one of {expected}")

    async def _other_keys(
        self, untrusted: Untrusted, trust: Trust, keys: Sequence[VerifyKey], error: TokenError
    ) -> Sequence[VerifyKey]:
        """Where the issuer may give a new key an old kid, see whether it has; else raise the error."""
        if error.reason is not Reason.SIGNATURE_INVALID or not trust.keys.refresh_on_bad_signature:
            raise error
        try:
            check_before_fetch(untrusted, trust.policy, self._clock())
            return await trust.keys.find(untrusted.kid, untrusted.alg, besides=keys)
        except TokenError:
            raise error from None

    def _feeds_of(self, feeds: Sequence[object]) -> dict[str, RevocationFeed]:
        known = [feed for feed in feeds if isinstance(feed, RevocationFeed)]
        if len(known) != len(feeds):
            raise ConfigurationError("revocation", "expected RevocationFeed(...), or several")
        found = {issuer: feed for feed in known for issuer in feed.issuers}
        if len(found) != sum(len(feed.issuers) for feed in known):
            raise ConfigurationError("revocation", "expected one feed for each issuer")
        if not self._families and (strange := sorted(found.keys() - self._issuers.keys())):
            detail = f"{', '.join(strange)} is none of the issuers, so that it would judge no token"
            raise ConfigurationError("revocation", detail)
        return found

    def _sources(self) -> Iterator[tuple[KeySource, bool]]:
        """Every key source that is known now, and whether it is required."""
        for issuer in self._issuers.values():
            yield issuer.keys, issuer.required
        for family in self._families:
            yield from family.sources()


def _marks_of(token: AccessToken, verified: Verified) -> TokenKeys:
    """Return by what a token may be revoked; its key by the name in the key set, as the token may name none."""
    claims = verified.claims
    return keys_of(
        token.issuer,
        session=claims.get("sid"),
        token_id=token.token_id,
        kid=verified.key.kid or verified.key.thumbprint,
        subject=token.subject,
        client_id=token.client_id,
        issued_at=token.issued_at,
    )


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
