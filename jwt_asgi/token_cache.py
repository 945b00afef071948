"""Tokens that were verified before: good ones alone, bounded, and none that outlives the keys that verified it.

An entry is found by the SHA-256 of the whole token, so that nothing in memory tells a token, and no two tokens share
one (CVE-2026-35039). It holds what a hit must be held against each time: from when and until when the token is good,
and the very policy and keys that its issuer had for it. A set that was replaced has other keys, even where they are
equal, and an issuer that was resolved anew has another policy.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock

from jwt_asgi._core.access_token import AccessToken
from jwt_asgi._core.bearer import MAX_TOKEN_BYTES
from jwt_asgi._core.jwks import VerifyKey
from jwt_asgi._core.policy import Policy
from jwt_asgi._core.revoked import TokenKeys
from jwt_asgi._keys.forks import call_after_fork
from jwt_asgi.errors import ConfigurationError

__all__ = ["DEFAULT_TOKENS", "Known", "TokenCache", "digest_of"]

DEFAULT_TOKENS = 10_000
"""Some 30 MB when it is full of tokens of 700 bytes; benchmarks/memory.py measures it."""
MOST_TOKENS = 10_000_000
_WEIGHT_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Known:
    """A token that was verified, and what it must be held against when it is seen again.

    `policy` is what it was held against, and its issuer must have this very one still. `kid` and `alg` are its
    header's; `keys` are what its issuer had for these. It is good from `since` on and before `until`, in seconds since
    the epoch, the leeway included. `marks` are what it may be revoked by, where its issuer has a feed for that.
    """

    token: AccessToken
    policy: Policy
    kid: str | None
    alg: str
    keys: Sequence[VerifyKey]
    since: float
    until: float
    marks: TokenKeys | None = None


class TokenCache:
    """The tokens that were seen last. It may be used by several threads, and goes through a fork.

    Args:
        most: How many tokens are kept; one of more than 1 KiB counts as several. 0: none.

    Raises:
        ConfigurationError: `most` is out of its bounds.
    """

    __slots__ = ("__weakref__", "_known", "_lock", "_most", "_weight")

    def __init__(self, most: int) -> None:
        """Begin empty."""
        if not isinstance(most, int) or isinstance(most, bool) or not 0 <= most <= MOST_TOKENS:
            detail = f"expected a number of tokens from 0, which keeps none, to {MOST_TOKENS:,}; got {most!r}"
            raise ConfigurationError("token_cache", detail)
        self._most = most
        self.after_fork()
        call_after_fork(self)

    def after_fork(self) -> None:
        """Begin empty, with a lock that nobody holds."""
        self._known: OrderedDict[bytes, tuple[Known, int]] = OrderedDict()
        self._weight = 0
        self._lock = Lock()

    @property
    def most(self) -> int:
        """How many tokens are kept at most."""
        return self._most

    def find(self, digest: bytes) -> Known | None:
        """Return what is known of a token; whether it is good now is still to be judged."""
        found = self._known.get(digest)
        if found is None:
            return None
        try:
            self._known.move_to_end(digest)
        except KeyError:
            # Another thread has just left it out
            return None
        return found[0]

    def keep(self, digest: bytes, length: int, known: Known) -> None:
        """Keep a token of so many bytes, and leave out those that were not seen for longest."""
        weight = 1 + (length - 1) // _WEIGHT_BYTES
        if weight > self._most:
            return
        with self._lock:
            self._leave_out(digest)
            self._known[digest] = known, weight
            self._weight += weight
            while self._weight > self._most:
                # Not by an iterator: `find` moves entries meanwhile, without the lock
                self._weight -= self._known.popitem(last=False)[1][1]

    def _leave_out(self, digest: bytes) -> None:
        found = self._known.pop(digest, None)
        if found is not None:
            self._weight -= found[1]

    def __len__(self) -> int:
        """Return how many tokens are kept."""
        return len(self._known)


def digest_of(token: str | bytes) -> bytes:
    """Return what a token is found by; empty for what cannot be a token."""
    if type(token) is not bytes:
        if not isinstance(token, str) or len(token) > MAX_TOKEN_BYTES:
            return b""
        # Nothing beyond ASCII is a token, and a lone surrogate could not be encoded
        token = token.encode("ascii", "replace")
    return sha256(token).digest() if len(token) <= MAX_TOKEN_BYTES else b""
