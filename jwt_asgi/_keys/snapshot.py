"""An answer of the issuer -> Snapshot, or what is wrong with it."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, replace

from jwt_asgi._core.freshness import KeyCaching, Times, lifetime, retry_after
from jwt_asgi._core.jwks import KeySet, parsing
from jwt_asgi._keys.events import KeyStatus
from jwt_asgi._keys.ledger import names_of, skipped_of
from jwt_asgi._keys.source import KeySetAnswer
from jwt_asgi.errors import KeysUnavailable, Reason
from jwt_asgi.types import FetchResponse

__all__ = ["GoneError", "Snapshot", "keys_of", "renewed"]

_OK, _NOT_MODIFIED = 200, 304
_GONE = {404, 410}
_REDIRECTS = {301, 302, 303, 307, 308}


class GoneError(KeysUnavailable):
    """The key set is not where the metadata said."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One key set as it was fetched. It is replaced whole, by one assignment."""

    keys: KeySet
    times: Times
    digest: bytes
    uri: str
    etag: str | None
    last_modified: str | None

    def validators(self, uri: str) -> dict[str, str]:
        """Headers that ask whether the set has changed (RFC 9110 section 13.1); they hold for its own URL alone."""
        named = {"if-none-match": self.etag} if self.etag else {"if-modified-since": self.last_modified}
        # RFC 9110 section 8.8.3 lets an ETag have bytes beyond ASCII, which a client may be unable to send
        return {name: value for name, value in named.items() if value and value.isascii() and uri == self.uri}

    def describe(self, status: KeyStatus, now: float) -> KeyStatus:
        """Return the status with what is known of this set."""
        times = self.times
        return replace(
            status,
            kids=names_of(self.keys.keys),
            skipped=skipped_of(self.keys),
            age=now - times.confirmed_at,
            refresh_in=max(times.soft_at - now, 0.0),
            expires_in=max(times.hard_until - now, 0.0),
        )

    def ageing_from(self, jitter: float) -> Snapshot:
        """Return it with another moment from which it is refreshed ahead; `jitter` is from 0 to 1."""
        times = self.times
        return replace(
            self, times=_times(times.confirmed_at, times.fresh_until, times.hard_until - times.fresh_until, jitter)
        )


async def keys_of(answer: KeySetAnswer, old: Snapshot | None) -> KeySet:
    """Return the keys that an answer confirms or brings; `old` is the set at hand.

    Raises:
        KeysUnavailable: it does neither; what is at hand stays as good as it was.
    """
    response = answer.response
    if response.status == _NOT_MODIFIED and old is not None and answer.conditional:
        return old.keys
    if response.status != _OK:
        raise _refused(response)
    if old is not None and old.digest == _digest(response):
        return old.keys
    steps = parsing(response.body, () if old is None else old.keys.keys)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            keys: KeySet = done.value
            return keys
        # An import takes 0.4 ms, and there may be 256 keys
        await asyncio.sleep(0)


def renewed(
    answer: KeySetAnswer, keys: KeySet, old: Snapshot | None, caching: KeyCaching, now: float, jitter: float
) -> Snapshot:
    """Return the snapshot of these keys from `now` on."""
    response = answer.response
    headers, default = response.headers, caching.ttl
    if response.status == _NOT_MODIFIED and old is not None:
        # RFC 9111 section 4.3.4: what the 304 does not say stays as it was
        new, default = old, old.times.fresh_until - old.times.confirmed_at
    else:
        validators = headers.get("etag"), headers.get("last-modified")
        new = Snapshot(keys, Times(0.0, 0.0, 0.0, 0.0), _digest(response), answer.uri, *validators)
    ttl = lifetime(headers, default=default, least=caching.least_ttl, most=caching.most_ttl)
    return replace(new, times=_times(now, now + ttl, caching.stale_if_error, jitter))


def _digest(response: FetchResponse) -> bytes:
    return hashlib.sha256(response.body).digest()


def _times(confirmed_at: float, fresh_until: float, stale: float, jitter: float) -> Times:
    """Jitter, so that the workers and replicas of a service do not refresh at one moment."""
    soft = (fresh_until - confirmed_at) * (0.75 + 0.1 * jitter)
    return Times(confirmed_at, confirmed_at + soft, fresh_until, fresh_until + stale)


def _refused(response: FetchResponse) -> KeysUnavailable:
    kind = GoneError if response.status in _GONE else KeysUnavailable
    hint = "; redirects are not followed" if response.status in _REDIRECTS else ""
    detail = f"the key set's URL answered {response.status}{hint}"
    asked = retry_after(response.headers.get("retry-after", ""), time.time())
    return kind(Reason.KEYS_UNAVAILABLE, detail, retry_after=asked)
