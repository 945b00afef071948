"""The values that the parts of the token service hand to each other, and what a store promises."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from jwt_asgi._core.revocation import Entry, EntryKind
from jwt_asgi.issuer.rotation import Family, Proof, RotationPolicy, Step

__all__ = ["Entry", "EntryKind", "KeyChange", "KeyState", "Record", "Session", "Store", "StoredKey", "sid_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One login on one device: a family of refresh tokens, and what each of its access tokens says.

    Attributes:
        id: 16 random bytes; `sid` is its text.
        key_version: Of the master key that its refresh tokens are written with.
        subject: `sub`.
        tenant: `tenant`, or None.
        scopes: What was granted, sorted; one access token may have fewer, the next has these (RFC 6749 section 6).
        audience: Whom its access tokens are for.
        auth_time: When the user authenticated, in seconds since the epoch. No refresh changes it, nor these two:
        acr: How, or None.
        amr: By which methods.
        claims: What the application adds, as `roles`: a JSON object.
        created_at: When it began, in seconds since the epoch.
        family: The state of its refresh tokens, with the client's identifier.
    """

    id: bytes
    key_version: int
    subject: str
    tenant: str | None = None
    scopes: tuple[str, ...] = ()
    audience: tuple[str, ...]
    auth_time: float
    acr: str | None = None
    amr: tuple[str, ...] = ()
    claims: Mapping[str, Any] = field(default_factory=dict)
    created_at: float
    family: Family

    @property
    def sid(self) -> str:
        """The claim `sid`: it is no secret, and no refresh token."""
        return sid_of(self.id)


def sid_of(id: bytes) -> str:  # noqa: A002 - what it is
    """Return the claim `sid` of the session with this `id`."""
    return urlsafe_b64encode(id).decode().rstrip("=")


class KeyState(Enum):
    """Where a signing key is in its life."""

    STAGED = "staged"
    """Published, and not yet used: resource servers learn of it before they need it."""
    ACTIVE = "active"
    RETIRING = "retiring"
    """Not used from `sign_until` on, which lies a moment ahead at first; published until its last token has expired."""
    GONE = "gone"
    REVOKED = "revoked"
    """Taken back at once; nothing that it signed is good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A signing key as the database has it. Times are in seconds since the epoch.

    Attributes:
        kid: Its RFC 7638 thumbprint.
        alg: What it signs with.
        state: Where it is in its life.
        sealed: The private key, encrypted with a key that the database does not have.
        public: The public JWK.
        created_at: When it was made, and published from then on.
        sign_from: From when on it signs; None: not before it is made active.
        sign_until: When it signed last at the latest; None: it signs still, or never has.
        publish_until: Until when its public key is published; None: not decided yet.
    """

    kid: str
    alg: str
    state: KeyState
    sealed: bytes
    public: Mapping[str, Any]
    created_at: float
    sign_from: float | None = None
    sign_until: float | None = None
    publish_until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One event of the audit log: a stable name, and members of which none is a token or a secret."""

    event: str
    at: float
    members: Mapping[str, str | int | float | bool | None]


class Store(Protocol):
    """Where sessions, keys and revocations are kept. Each call is one transaction: it happens whole, or not at all.

    The store has the clock that judges (the database's, where it has one), so that processes agree about time.
    """

    async def migrate(self) -> None:
        """Make what it keeps things in, or bring that up to this release."""
        ...

    async def now(self) -> float:
        """Return the seconds since the epoch."""
        ...

    async def add_session(self, session: Session, records: Sequence[Record] = ()) -> None:
        """Keep a new session."""
        ...

    async def session(self, id: bytes) -> Session | None:  # noqa: A002 - what it is
        """Return a session, ended or not, unless it was forgotten."""
        ...

    async def sessions(self, subject: str) -> list[Session]:
        """Return the sessions of a user that are live."""
        ...

    async def present(
        self,
        id: bytes,  # noqa: A002 - what it is
        generation: int,
        *,
        client_id: str,
        proof: Proof,
        policy: RotationPolicy,
        key_version: int,
    ) -> tuple[Step | None, Session | None, float]:
        """Do what `rotation.present` says, atomically: the step, the session as it is then, and the time that it is.

        Of a thousand callers with the same generation one rotates. A rotation sets the session's `key_version`. A
        replay also writes the entry `s` of the session, in the same transaction. (None, None, time): no such session.
        """
        ...

    async def confirm(self, id: bytes, generation: int) -> bool:  # noqa: A002 - what it is
        """Do what `rotation.confirmed` says; return whether that changed anything."""
        ...

    async def end(
        self,
        *,
        id: bytes | None = None,  # noqa: A002 - what it is
        subject: str | None = None,
        client_id: str | None = None,
        reason: str,
        entries: Sequence[Entry] = (),
        records: Sequence[Record] = (),
    ) -> list[Session]:
        """Revoke the live sessions that fit all that is given, and write these entries; return the sessions.

        With nothing given no session is ended: the entries and records are written. Their `seq` is the store's to give.
        """
        ...

    async def entries(self, after: int, *, limit: int = 10_000) -> list[Entry]:
        """Return the entries behind `after`, in the order of `seq`, that may matter to a verifier still.

        Whoever asks again with the last `seq` that he was given misses none, whatever was being written meanwhile.
        """
        ...

    async def find_entries(self, keys: Sequence[bytes]) -> list[Entry]:
        """Return the entries that have one of these keys: what is revoked now, wherever it was done."""
        ...

    async def remember(self, name: str, until: float) -> bool:
        """Remember a name until a time; return whether it was there already. Of a thousand callers one is the first."""
        ...

    async def keys(self) -> list[StoredKey]:
        """Return every signing key that is not forgotten, the oldest first."""
        ...

    async def change_keys(
        self, decide: Callable[[Sequence[StoredKey], float], KeyChange], records: Sequence[Record] = ()
    ) -> list[StoredKey]:
        """Let `decide` look at all keys and the time, and keep what it returns, one process at a time; return all."""
        ...

    async def write(self, records: Sequence[Record]) -> None:
        """Append to the audit log."""
        ...

    async def collect(self, *, batch: int = 500) -> int:
        """Forget what nobody needs any more, one small batch; return how many rows that were."""
        ...

    async def aclose(self) -> None:
        """Close what is open. The store cannot be used any more."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChange:
    """Signing keys to keep, each in place of that with its `kid`; and entries of those that are revoked."""

    keys: Sequence[StoredKey] = ()
    entries: Sequence[Entry] = ()
    records: Sequence[Record] = ()
