"""TestIssuer: an issuer with real keys, in the test's own process."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypedDict

from jwt_asgi._core.policy import ASYMMETRIC_ALGORITHMS, Policy
from jwt_asgi.errors import ConfigurationError, Reason
from jwt_asgi.profiles import Profile
from jwt_asgi.testing.bad_tokens import bad_token, reasons_of
from jwt_asgi.testing.configured import Configured, configured
from jwt_asgi.testing.publisher import Publisher
from jwt_asgi.testing.revocations import row_to_revoke
from jwt_asgi.testing.signing import SigningKey, SigningKeys, json_bytes
from jwt_asgi.testing.standing_in import StandIn, now_ahead, travel, travelled
from jwt_asgi.testing.tokens import claims_of, type_of
from jwt_asgi.types import Clock, Fetch

if TYPE_CHECKING:
    from jwt_asgi.testing.async_client import AsyncClient
    from jwt_asgi.testing.sync_client import Client

__all__ = ["TestIssuer", "TrustingOptions"]

_LIFETIME = 300.0


class TrustingOptions(TypedDict):
    """The options of `JWTMiddleware` and `TrustedIssuer` that make them trust a `TestIssuer`."""

    issuer: str
    audience: str
    algorithms: Sequence[str]
    fetch: Fetch


class TestIssuer(Publisher):
    """An issuer with real keys, in this process.

    `TestIssuer.of(app)` is one in place of the issuer that an application trusts. While it is `standing_in()`, the
    application's key sources get their keys from it. One that is made by hand is asked over `fetch`, without a socket,
    or is itself an ASGI application that serves its metadata and its key set over HTTP.

    Args:
        issuer: Its identifier, `iss`. Where it is served over HTTP, its URL.
        audience: `aud` of the tokens, unless said otherwise.
        algorithms: One key is made for each; the first signs unless said otherwise.
        profile: How its tokens are written.
        clock: Seconds since the epoch, for `iat` and `exp`.
        keys: Where its keys are kept, for issuers that are made one after another; by default they are made anew.

    Raises:
        ConfigurationError: an algorithm is none of RS/PS/ES 256-512, ES256K, EdDSA, Ed25519, Ed448.
    """

    __test__ = False  # not a test class, whatever pytest makes of its name

    def __init__(
        self,
        issuer: str = "https://issuer.test",
        *,
        audience: str = "https://api.test",
        algorithms: Sequence[str] = ("RS256",),
        profile: Profile = Profile.GENERIC,
        clock: Clock = time.time,
        keys: SigningKeys | None = None,
    ) -> None:
        """Make the keys."""
        unknown = [name for name in algorithms if name not in ASYMMETRIC_ALGORITHMS]
        if unknown or not algorithms or isinstance(algorithms, str):
            detail = f"expected a list of {', '.join(ASYMMETRIC_ALGORITHMS)}; got {algorithms!r}"
            raise ConfigurationError("algorithms", detail)
        policy = Policy(
            issuer=issuer,
            audience=frozenset({audience}),
            algorithms=frozenset(algorithms),
            profile=profile,
            leeway=0.0,
            max_age=None,
            max_lifetime=None,
        )
        self._begin(Configured(policy, (audience,), tuple(algorithms), frozenset({issuer}), None), clock, keys)

    @classmethod
    def of(
        cls, app: object, *, issuer: str | None = None, clock: Clock = time.time, keys: SigningKeys | None = None
    ) -> Self:
        """Return one in place of the issuer that `app` trusts, with its audience, algorithms and profile.

        `app` is an ASGI application, whatever its framework, or a `Verifier`. Where it trusts several issuers,
        `issuer` says which one is meant; of a family of tenants, one of its issuers. Where the application is
        configured with a `SharedSecret`, tokens are signed with that.

        Raises:
            ConfigurationError: `app` trusts no issuer, or not this one, or several.
        """
        made = cls.__new__(cls)
        made._begin(configured(app, issuer), clock, keys)  # noqa: SLF001 - of this class
        return made

    def _begin(self, found: Configured, clock: Clock, keys: SigningKeys | None) -> None:
        self._configured, self._policy = found, found.policy
        super().__init__(found.policy.issuer)
        self.audience, *others = found.audiences or ("https://api.test",)
        self._audience = [self.audience, *others] if others else self.audience
        self.algorithms = found.algorithms
        self.profile = found.policy.profile
        self._clock = clock
        self._keys = SigningKeys() if keys is None else keys
        self._generation = 0
        self._signing: dict[str, SigningKey] = {}
        self._retired: list[SigningKey] = []
        self._stand_ins: list[StandIn] = []
        if found.secret is None:
            self.rotate()
        else:
            self._signing = {alg: SigningKey("shared-secret", alg, found.secret) for alg in self.algorithms}

    def options(self) -> TrustingOptions:
        """Return options for `JWTMiddleware` and `TrustedIssuer`: ``JWTMiddleware(app, **issuer.options())``."""
        return TrustingOptions(
            issuer=self.issuer, audience=self.audience, algorithms=list(self.algorithms), fetch=self.fetch
        )

    def jwks(self) -> dict[str, Any]:
        """Return the published key set."""
        if self._configured.secret is not None:
            return {"keys": []}
        return {"keys": [key.public() for key in (*self._signing.values(), *self._retired)]}

    # Tokens

    def now(self) -> float:
        """Return the issuer's time, in seconds since the epoch: its clock's, and later by the travels of the test."""
        return self._clock() + now_ahead()

    def token(
        self,
        *,
        subject: str = "user-1",
        client_id: str | None = None,
        audience: str | Sequence[str] | None = None,
        scope: str | Iterable[str] = "",
        roles: Iterable[str] = (),
        permissions: Iterable[str] = (),
        expires_in: float | None = None,
        algorithm: str | None = None,
        claims: Mapping[str, Any] | None = None,
        header: Mapping[str, Any] | None = None,
        without: Iterable[str] = (),
    ) -> str:
        """Return an access token as the profile wants it; by default as RFC 9068 does.

        Scopes, roles and client are written where the profile reads them, and so is what it requires. `claims` and
        `header` add to the token or replace members of it; `without` names claims to leave out. `expires_in` is in
        seconds from now, may be negative, and is 300 or `max_lifetime`. `algorithm` is one of the issuer's own.

        Raises:
            ConfigurationError: tokens of this profile have no place for scopes, or for roles.
        """
        key = self._signing[algorithm or self.algorithms[0]]
        most = self._policy.max_lifetime
        lifetime = (min(_LIFETIME, most or _LIFETIME)) if expires_in is None else expires_in
        members = claims_of(
            self._policy,
            subject=subject,
            client_id=client_id,
            audience=self._audience if audience is None else audience,
            scope=scope,
            roles=roles,
            permissions=permissions,
        )
        members |= {**self._times(int(lifetime)), **(claims or {})}
        left_out = set(without)
        payload = {name: value for name, value in members.items() if name not in left_out}
        head = {"alg": key.alg, **type_of(self.profile), "kid": key.kid, **(header or {})}
        return key.sign(head, json_bytes(payload))

    @property
    def bad_tokens(self) -> tuple[Reason, ...]:
        """The reasons that `bad_token` takes here: `BAD_TOKENS`, and those that the application's options add."""
        return reasons_of(self._policy, secret=self._configured.secret is not None)

    def bad_token(self, reason: Reason | str) -> str:
        """Return a token that is refused for this reason, and would be good but for it; a reason's code will do.

        Raises:
            KeyError: no token alone is refused for it, by this issuer's options.
        """
        named = reason if isinstance(reason, Reason) else next((one for one in Reason if one.value == reason), None)
        if named not in self.bad_tokens:
            known = ", ".join(one.value for one in self.bad_tokens)
            raise KeyError(f"no token alone is refused for {reason!r} here; expected one of {known}")
        return bad_token(named, self._policy, self.token, self.now())

    def _times(self, lifetime: int) -> dict[str, Any]:
        now = int(self.now())
        issued = {"iat": min(now, now + lifetime), "exp": now + lifetime}
        return {**issued, "jti": f"{self._generation}-{time.perf_counter_ns()}"}

    # What happens to an issuer

    def rotate(self, *, keep_old: bool = True) -> None:
        """Sign with new keys from now on. The old ones stay published, or are withdrawn.

        An application for which this is standing in finds out at its next token: of an unknown key, or, where the old
        ones are withdrawn, of any, as its set counts as stale.

        Raises:
            ConfigurationError: the application is configured with a shared secret.
        """
        if self._configured.secret is not None:
            raise ConfigurationError("rotate", "expected published keys; a shared secret is rotated by a new start")
        self._generation += 1
        self._retired = [*self._signing.values(), *self._retired] if keep_old else []
        self._signing = {alg: self._keys.get(self.issuer, alg, self._generation) for alg in self.algorithms}
        self._tell(withdrawn=not keep_old)

    @contextmanager
    def rotated(self, *, keep_old: bool = True) -> Iterator[Self]:
        """Sign with new keys in this block, and with those from before after it; see `rotate`."""
        before = self._signing, self._retired
        self.rotate(keep_old=keep_old)
        try:
            yield self
        finally:
            self._signing, self._retired = before
            self._tell(withdrawn=True)

    def _tell(self, *, withdrawn: bool) -> None:
        for stand_in in self._stand_ins:
            stand_in.rotated(withdrawn=withdrawn)

    @contextmanager
    def standing_in(self) -> Iterator[Self]:
        """Answer in this block wherever the process looks for this issuer's keys; nothing reaches the network for it.

        This holds for every `JWTMiddleware` and `Verifier`, whether it was made before or within the block, and for
        any event loop and thread. Each begins without keys, and has its own again afterwards. `StaticKeys` count as
        those of this issuer at the start of the block.
        """
        stand_in = StandIn(self, self._configured.sources)
        with stand_in.standing():
            self._stand_ins.append(stand_in)
            try:
                yield self
            finally:
                self._stand_ins.remove(stand_in)

    @contextmanager
    def outage(self, *, cold: bool = False) -> Iterator[Self]:
        """Answer nothing in this block.

        The application has keys, which are due for a refresh: it goes on with them. `cold`: it has none, as after a
        restart, and answers 503. After the block it may ask again at once.

        Raises:
            ConfigurationError: this is not standing in.
        """
        with self._standing("outage").outage(cold=cold):
            yield self

    def revoke(
        self,
        token: str | None = None,
        *,
        session: str | None = None,
        subject: str | None = None,
        client: str | None = None,
        key: str | None = None,
    ) -> None:
        """Revoke one token, by its `jti`, or those of a session (`sid`), a user, a client, or a signing key (`kid`).

        Every `RevocationFeed` of this issuer knows at once, until the block ends in which this is standing in. Of a
        user and a client, tokens of later seconds are good, as in production.

        Raises:
            ConfigurationError: this is not standing in, not one of these is given, or a token has no `jti`.
        """
        stand_in = self._standing("revoke")
        named = {"token": token, "session": session, "subject": subject, "client": client, "key": key}
        stand_in.revoke(row_to_revoke(self.issuer, self.now(), **named))

    def travel(self, seconds: float = 0.0, *, minutes: float = 0.0, hours: float = 0.0, days: float = 0.0) -> None:
        """Be so much later until the end of the block in which this is standing in.

        All issuers of the kit, all verifiers, and the keys that they have by the kit go along; `time.time()` does not.

        Raises:
            ConfigurationError: this is not standing in, or time would go back.
        """
        self._standing("travel")
        travel(_duration(seconds, minutes, hours, days))

    @contextmanager
    def travelling(
        self, seconds: float = 0.0, *, minutes: float = 0.0, hours: float = 0.0, days: float = 0.0
    ) -> Iterator[Self]:
        """Be so much later in this block; see `travel`. After it, keys are fetched anew.

        Raises:
            ConfigurationError: this is not standing in, or time would go back.
        """
        self._standing("travelling")
        with travelled(_duration(seconds, minutes, hours, days)):
            yield self

    def _standing(self, name: str) -> StandIn:
        if not self._stand_ins:
            raise ConfigurationError(name, "expected to be inside of `with issuer.standing_in():`")
        return self._stand_ins[-1]

    # Clients

    def client(self, app: Any, **options: Any) -> Client:  # noqa: ANN401 - any ASGI app, and the options of TestClient
        """Return Starlette's `TestClient` for `app`; `as_user("ada", scope=...)` is one that sends such a token.

        Raises:
            ConfigurationError: the HTTP client that Starlette's needs is not installed.
        """
        from jwt_asgi.testing.sync_client import Client  # noqa: PLC0415 - it needs what only tests have

        return Client(self, app, **options)

    def async_client(self, app: Any, **options: Any) -> AsyncClient:  # noqa: ANN401 - likewise, of httpx.AsyncClient
        """Return an `httpx.AsyncClient` for `app`, with the same methods. `async with` runs the lifespan of `app`."""
        from jwt_asgi.testing.async_client import AsyncClient  # noqa: PLC0415 - likewise

        return AsyncClient(self, app, **options)


def _duration(seconds: float, minutes: float, hours: float, days: float) -> float:
    duration = seconds + 60.0 * (minutes + 60.0 * (hours + 24.0 * days))
    if duration < 0.0:
        raise ConfigurationError("travel", f"expected to go ahead in time; got {duration:g} seconds")
    return duration
