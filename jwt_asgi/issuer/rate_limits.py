"""How often the token service may be asked, by whom: 429 with Retry-After beyond that.

Counters are in memory, for one process, or in Valkey or Redis, for all of them. What they are kept under is a keyed
digest: no account, address or identifier can be read in the storage. Limits protect the database and passwords; refresh
tokens and the secrets of clients, which nobody can guess, need none.
"""

from __future__ import annotations

import logging
import time
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from enum import Enum
from functools import lru_cache
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address, ip_address
from math import floor
from secrets import token_bytes
from typing import Any, Final, Literal

from limits import RateLimitItem, parse

from jwt_asgi._core.policy import seconds
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.errors import StoreUnavailable
from jwt_asgi.issuer.rate_counters import Counters, MemoryCounters, ServerCounters

__all__ = ["RateLimit", "RateLimited", "RateLimits", "client_address"]

logger = logging.getLogger("jwt_asgi")

_PREFIX_OF_NETWORK: Final = 64
_LONGEST_KEY: Final = 1024
_LONGEST_SECRET: Final = 64
_LEAST_SECRET: Final = 16
_MOST_HITS: Final = 1_000_000_000
_QUIET_SECONDS: Final = 60.0
_MILLISECOND: Final = 0.001


class RateLimit(Enum):
    """What is limited, and by what it is counted."""

    TOKEN = "token"  # noqa: S105 - a name
    """The token endpoint, by `client_id` and address. Give None for a client that is not registered: else whoever sends
    another name each time is counted anew each time."""
    REFRESH = "refresh"
    """The refresh tokens of one session, by its `sid`."""
    INTROSPECTION = "introspection"
    """The introspection endpoint, by the `client_id` that has authenticated."""
    REVOCATION = "revocation"
    """The revocation endpoint, by `client_id` and address, as TOKEN."""
    LOGIN_ACCOUNT = "login_account"
    """Log-ins of one account, wherever they come from."""
    LOGIN_ADDRESS = "login_address"
    """Log-ins from one address, whatever account they are for."""


_COUNTED_BY: Final[Mapping[RateLimit, tuple[str, ...]]] = {
    RateLimit.TOKEN: ("client_id", "ip"),
    RateLimit.REFRESH: ("sid",),
    RateLimit.INTROSPECTION: ("client_id",),
    RateLimit.REVOCATION: ("client_id", "ip"),
    RateLimit.LOGIN_ACCOUNT: ("account",),
    RateLimit.LOGIN_ADDRESS: ("ip",),
}
_MAY_BE_OPEN: Final = {RateLimit.INTROSPECTION, RateLimit.REVOCATION}


class RateLimited(Exception):  # noqa: N818 - the public name says what is the case
    """There were too many requests: 429. `retry_after` is in whole seconds, from 1 on."""

    def __init__(self, rule: RateLimit, retry_after: int) -> None:
        """Keep which limit it was, and when there is room again."""
        super().__init__(f"too many requests by the limit {rule.value}; retry in {retry_after} s")
        self.rule = rule
        self.retry_after = retry_after


class RateLimits:
    """How often the token service may be asked. A limit is a text as `60/minute` or `10/10 minutes`; None: no limit.

    Args:
        token: The token endpoint, by client and address. A backend that refreshes for all its users is one client at
            one address: it needs more.
        refresh: The refresh tokens of one session.
        introspection: The introspection endpoint, by client.
        revocation: The revocation endpoint, by client and address.
        login: Log-ins of one account that did not succeed.
        login_address: Log-ins from one address.
        storage: `memory`: each process counts by itself; or the URL of Valkey or Redis, as `valkey://host:6379/0`.
        prefix: What keys in Valkey or Redis begin with.
        on_failure: What is done while that cannot be asked. `deny`: requests get 503; `allow`: those for introspection
            and revocation are let in uncounted, and all others get 503.
        secret: What keys are digested with, 16 bytes or more, the same in all processes. Without one, whoever reads
            the keys in Valkey or Redis can try which accounts they are of.
        timeout: How many seconds Valkey or Redis may take.
        capacity: How many keys of each limit are counted apart in memory, before newcomers share counters.
        clock: Seconds from anywhere, for counters in memory.

    Raises:
        ConfigurationError: an option is wrong, or the package that the storage needs is not installed.
    """

    def __init__(
        self,
        *,
        token: str | None = "600/minute",  # noqa: S107 - a limit
        refresh: str | None = "60/minute",
        introspection: str | None = "6000/minute",
        revocation: str | None = "600/minute",
        login: str | None = "10/10 minutes",
        login_address: str | None = "100/10 minutes",
        storage: str = "memory",
        prefix: str = "jwt-asgi:limits",
        on_failure: Literal["deny", "allow"] = "deny",
        secret: bytes | None = None,
        timeout: float = 1.0,
        capacity: int = 50_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Check the options; connect to nothing yet."""
        given = (token, refresh, introspection, revocation, login, login_address)
        parsed = ((rule, _parsed(rule, text)) for rule, text in zip(RateLimit, given, strict=True))
        self._items = {rule: item for rule, item in parsed if item is not None}
        if on_failure not in {"deny", "allow"}:
            raise ConfigurationError("rate limits on_failure", f"expected deny or allow; got {on_failure!r}")
        if not isinstance(capacity, int) or isinstance(capacity, bool) or capacity < 1:
            raise ConfigurationError("rate limits capacity", f"expected a number from 1; got {capacity!r}")
        if not isinstance(prefix, str) or not prefix.isprintable() or not prefix or set(prefix) & set(" {}"):
            raise ConfigurationError("rate limits prefix", f"expected text without spaces and braces; got {prefix!r}")
        self._open = _MAY_BE_OPEN if on_failure == "allow" else frozenset()
        memory = storage == "memory"
        key = _checked(secret, token_bytes(32) if memory else prefix.encode()[:_LONGEST_SECRET])
        self._digests = {rule: blake2b(digest_size=16, key=key, person=rule.value.encode()) for rule in RateLimit}
        timeout = seconds("rate limits timeout", timeout, least=0.001)
        self._server = None if memory else ServerCounters(storage, prefix, timeout)
        self._memory = MemoryCounters(capacity=capacity, clock=clock)
        self._failures: tuple[type[Exception], ...] = () if self._server is None else self._server.failures
        self._told_at: float | None = None
        self.refused: Counter[RateLimit] = Counter()
        """How many requests each limit has refused in this process."""
        self.failures = 0
        """How many could not be counted."""

    async def hit(self, rule: RateLimit, *keys: str | None) -> None:
        """Count a request, if there is room for it.

        Args:
            rule: Which limit.
            *keys: What it is counted by, in the order that the rule names. An address is `client_address(scope)`.

        Raises:
            RateLimited: there is none.
            StoreUnavailable: it cannot be counted just now, and must not be let in uncounted.
        """
        item, key = self._items.get(rule), self._key(rule, keys)
        if item is None:
            return
        async with self._counters(rule) as counters:
            name, expiry = item.key_for(key), item.get_expiry()
            if await counters.acquire_sliding_window_entry(name, item.amount, expiry):
                return
            window = await counters.get_sliding_window(name, expiry)
            self.refused[rule] += 1
            raise RateLimited(rule, _until_room(item, *window))

    async def login(self, account: str, ip: str | None) -> None:
        """Count an attempt to log in, before the password is looked at; both limits must have room for it.

        An address that has none is refused first, so that it cannot use up what others' accounts have.

        Args:
            account: What the user says who he is. Letter case makes no difference.
            ip: `client_address(scope)`.

        Raises:
            RateLimited: there is none; do not say whether there is such an account.
            StoreUnavailable: it cannot be counted just now.
        """
        await self.hit(RateLimit.LOGIN_ADDRESS, ip)
        await self.hit(RateLimit.LOGIN_ACCOUNT, account)

    async def login_succeeded(self, account: str) -> None:
        """Forget the attempts of an account, whose user is in. Those of the address stay.

        Raises:
            StoreUnavailable: that cannot be done just now.
        """
        item = self._items.get(RateLimit.LOGIN_ACCOUNT)
        if item is not None:
            key = self._key(RateLimit.LOGIN_ACCOUNT, (account,))
            async with self._counters(RateLimit.LOGIN_ACCOUNT) as counters:
                await counters.clear_sliding_window(item.key_for(key), item.get_expiry())

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        if self._server is not None:
            await self._server.aclose()

    @asynccontextmanager
    async def _counters(self, rule: RateLimit) -> AsyncIterator[Counters]:
        if self._server is None:
            yield self._memory
            return
        try:
            async with self._server.counters() as counters:
                yield counters
        except self._failures as error:
            self.failures += 1
            self._tell(error)
            if rule not in self._open:
                raise StoreUnavailable(f"rate limits: {type(error).__name__}") from error

    def _key(self, rule: RateLimit, keys: tuple[str | None, ...]) -> str:
        names = _COUNTED_BY[rule]
        if len(keys) != len(names):
            raise TypeError(f"{rule} is counted by {', '.join(names)}; got {len(keys)} values")
        digest = self._digests[rule].copy()
        for name, value in zip(names, keys, strict=True):
            raw = b"" if value is None else b"=" + _MEANT.get(name, _cut)(value).encode("utf-8", "surrogatepass")
            digest.update(len(raw).to_bytes(4, "big") + raw)
        return digest.hexdigest()

    def _tell(self, error: Exception) -> None:
        now = time.monotonic()
        if self._told_at is None or now - self._told_at >= _QUIET_SECONDS:
            self._told_at = now
            logger.warning("rate limits cannot be counted, %d so far: %s", self.failures, type(error).__name__)


def client_address(scope: Mapping[str, Any]) -> str | None:
    """Return the address of the client of an ASGI connection; None where the server does not know it.

    Behind a proxy it is the proxy's, unless the server is told to trust it (uvicorn: `--forwarded-allow-ips`).
    """
    client = scope.get("client")
    return str(client[0]) if client else None


def _parsed(rule: RateLimit, text: str | None) -> RateLimitItem | None:
    if text is None:
        return None
    try:
        item = None if not isinstance(text, str) or set(text) & set(";,|") else parse(text)
    except ValueError:
        item = None
    if item is None or not 0 < item.amount <= _MOST_HITS or item.get_expiry() < 1:
        raise ConfigurationError(f"rate limits {rule.value}", f'expected a text as "60/minute"; got {text!r}')
    item.namespace = rule.value
    return item


def _checked(secret: bytes | None, default: bytes) -> bytes:
    if secret is None:
        return default
    if not isinstance(secret, bytes) or len(secret) < _LEAST_SECRET:
        raise ConfigurationError("rate limits secret", f"expected {_LEAST_SECRET} random bytes or more")
    return blake2b(secret, digest_size=_LONGEST_SECRET).digest()


def _until_room(item: RateLimitItem, before: int, before_left: float, now: int, now_left: float) -> int:
    """Return the seconds until a hit has room, if no other comes; the times are how long the windows count still."""
    expiry = item.get_expiry()
    if now < item.amount:
        wait = before_left - (item.amount - now) * expiry / max(before, 1)
    else:
        wait = now_left - item.amount * expiry / max(now, 1)
    return min(max(floor(wait + _MILLISECOND) + 1, 1), 2 * expiry)


def _cut(text: str) -> str:
    return text[:_LONGEST_KEY]


def _account(text: str) -> str:
    """Return what all ways to write an account have in common; what they have not is for the application to tell."""
    return unicodedata.normalize("NFKC", _cut(text)).casefold().strip()


@lru_cache(maxsize=4096)
def _network(text: str) -> str:
    """Return the address, or of IPv6 the network that one customer has."""
    try:
        address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    except ValueError:
        return _cut(text)
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return f"{int(address) >> (128 - _PREFIX_OF_NETWORK):x}/{_PREFIX_OF_NETWORK}"
        address = address.ipv4_mapped
    return str(address)


_MEANT: Final[Mapping[str, Callable[[str], str]]] = {"ip": _network, "account": _account}
