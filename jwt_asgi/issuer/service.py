"""TokenService: what the application and the endpoints call; the parts put together, and the work in the background.

It authenticates no people: the application does, and calls `issue`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Self

from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer import introspection, issuing, refreshing, revoking
from jwt_asgi.issuer.audit_log import AuditLog
from jwt_asgi.issuer.claims import AccessTokens, ClaimsError, ClaimsMapper
from jwt_asgi.issuer.clients import Client, FindClient, registered
from jwt_asgi.issuer.confirmations import Confirmations, session_id
from jwt_asgi.issuer.errors import StoreUnavailable
from jwt_asgi.issuer.feed import RevocationLog
from jwt_asgi.issuer.grants import ClientCredentialsRequest, RefreshRequest
from jwt_asgi.issuer.housekeeping import Housekeeping
from jwt_asgi.issuer.issuing import Login, Parts, Tokens
from jwt_asgi.issuer.key_schedule import KeySchedule
from jwt_asgi.issuer.metadata import check_issuer
from jwt_asgi.issuer.rate_limits import RateLimits
from jwt_asgi.issuer.rotation import Proof, RotationPolicy
from jwt_asgi.issuer.sealing import MasterKeys
from jwt_asgi.issuer.signing import Keychain
from jwt_asgi.issuer.signing_keys import SigningKeys
from jwt_asgi.issuer.store import open_store
from jwt_asgi.issuer.together import Shared
from jwt_asgi.issuer.types import Session, Store

__all__ = ["TokenService"]


class TokenService:
    """Issues access tokens and refresh tokens, rotates and revokes them.

    Nothing is opened before the first use. `async with service:` (or `start` and `aclose`) checks the keys and does in
    the background what is due: key rotation, garbage, what resource servers are told. One event loop uses a service.

    Args:
        issuer: The issuer's identifier, `iss`: the URL that the endpoints are under.
        store: `sqlite:///path/of/the/file`, `postgresql://...`, or a store. `await service.store.migrate()` makes it.
        master_keys: What refresh tokens and stored keys are protected with.
        clients: The clients, or an async function that finds one by its `client_id`.
        lifetime: How many seconds an access token is good for. Where it is made shorter, `schedule` must say the
            `longest_token` that was until the last of those has expired.
        audiences: Which claims tokens for an audience may have; see `AccessTokens`.
        mapper: Asked for claims each time that a token is made; see `AccessTokens`.
        rotation: How long sessions live, and what an old refresh token is good for.
        schedule: When signing keys change. By default every 90 days, ES256.
        limits: How often it may be asked; by default as `RateLimits()` says, counted in this process.
        audit_log: Where it is written down what happens; by default in the store, and by `logging` as `jwt_asgi.audit`.
        epoch: Which log of revocations this is; give another when the database was put back to an older state.
        collect_every: Seconds between two rounds of forgetting what nobody needs; None: `jwt-asgi gc` does it.

    Raises:
        ConfigurationError: an option is wrong, or two do not go together.
    """

    def __init__(
        self,
        *,
        issuer: str,
        store: str | Store,
        master_keys: MasterKeys,
        clients: Iterable[Client] | FindClient,
        lifetime: float = 900,
        audiences: Mapping[str, Collection[str]] | None = None,
        mapper: ClaimsMapper | None = None,
        rotation: RotationPolicy | None = None,
        schedule: KeySchedule | None = None,
        limits: RateLimits | None = None,
        audit_log: AuditLog | None = None,
        epoch: int = 0,
        collect_every: float | None = 60.0,
    ) -> None:
        """Check every option."""
        access_tokens = AccessTokens(issuer=issuer, lifetime=lifetime, audiences=audiences, mapper=mapper)
        self.issuer = check_issuer(issuer)
        self.lifetime = access_tokens.lifetime
        self.rotation = RotationPolicy() if rotation is None else rotation
        self.schedule = KeySchedule(longest_token=lifetime) if schedule is None else schedule
        _check_together(lifetime, self.schedule, self.rotation)
        if not isinstance(master_keys, MasterKeys):
            raise ConfigurationError("master_keys", f"expected MasterKeys; got {type(master_keys).__name__}")
        if isinstance(store, str):
            store = open_store(store, issuer=issuer, longest_token=self.schedule.longest_token)
        self.store: Store = store
        self.find_client: FindClient = clients if callable(clients) else registered(clients)
        self.keychain = Keychain(master_keys.sealing())
        self.limits = RateLimits() if limits is None else limits
        self.audit_log = AuditLog(self.store) if audit_log is None else audit_log
        self.keys = SigningKeys(self.store, self.keychain, self.schedule, issuer=issuer, tell=self.audit_log.tell)
        self.confirmations = Confirmations(self.store, issuer=issuer)
        self.revocations = RevocationLog(self.store.entries, epoch=epoch)
        self._parts = Parts(
            issuer=issuer,
            store=self.store,
            clients=self.find_client,
            refresh_tokens=master_keys.refresh_tokens(),
            access_tokens=access_tokens,
            keys=self.keys,
            rotation=self.rotation,
            longest_token=self.schedule.longest_token,
            audit=self.audit_log,
            limits=self.limits,
        )
        self._housekeeping = Housekeeping(
            store=self.store,
            keys=self.keys,
            revocations=self.revocations,
            confirmations=self.confirmations,
            collect_every=collect_every,
            more=[self.audit_log.run],
        )
        self._starting = Shared(self._start)
        self._closed = False

    async def start(self) -> None:
        """Check that the store and its keys can be used, and begin the work in the background.

        Whoever asks while that is under way waits for it.

        Raises:
            ConfigurationError: the store has no tables, or its keys are not for these master keys.
            StoreUnavailable: the store cannot be asked, or was closed.
        """
        if not self._housekeeping.is_running:
            await self._starting()

    async def aclose(self) -> None:
        """End the work in the background, write down what is waiting, and close the store."""
        self._closed = True
        try:
            await self._starting.aclose()
            await self.keys.aclose()
            await self._housekeeping.aclose()
            with contextlib.suppress(StoreUnavailable):
                await self.audit_log.flush()
        finally:
            await self.limits.aclose()
            await self.store.aclose()

    async def __aenter__(self) -> Self:
        """Start; what could not be started is closed."""
        try:
            await self.start()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Close."""
        await self.aclose()

    async def issue(
        self,
        *,
        subject: str,
        client_id: str,
        audience: str | Sequence[str],
        scopes: Iterable[str] = (),
        tenant: str | None = None,
        acr: str | None = None,
        amr: Sequence[str] = (),
        auth_time: float | None = None,
        claims: Mapping[str, Any] | None = None,
        proof: Proof = None,
    ) -> Tokens:
        """Begin a session of a user whom the application has authenticated, and return its first tokens.

        Args:
            subject: The user, `sub`: an identifier that is never given to another.
            client_id: The client that gets the tokens.
            audience: Whom the access tokens are for: one name or several.
            scopes: What the user has granted.
            tenant: The claim `tenant`.
            acr: How the user authenticated.
            amr: By which methods, as `["pwd", "otp"]` (RFC 8176).
            auth_time: When, in seconds since the epoch; by default now.
            claims: What else the tokens say, as `{"roles": ["admin"]}`.
            proof: What the tokens are bound to, as `("jkt", thumbprint)`.

        Raises:
            ClaimsError: a value cannot be in a token, or there is no such client.
            GrantError: the mapper raised it; or all that the user or the client has was revoked meanwhile.
            StoreUnavailable: the store cannot be asked; nothing has begun, or nobody has its tokens.
        """
        login = Login(
            subject=subject,
            client_id=client_id,
            audience=(audience,) if isinstance(audience, str) else tuple(audience),
            scopes=_texts("scopes", scopes),
            tenant=tenant,
            acr=acr,
            amr=_texts("amr", amr),
            auth_time=auth_time,
            claims={} if claims is None else claims,
            proof=proof,
        )
        return await issuing.begin(self._parts, login)

    async def step_up(
        self, sid: str, *, acr: str | None, amr: Sequence[str] = (), auth_time: float | None = None
    ) -> Tokens:
        """Begin a session in place of another whose user has authenticated anew; the other one ends.

        Raises:
            LookupError: there is no such session, or it has ended.
            ClaimsError, GrantError, StoreUnavailable: as `issue`.
        """
        session = await issuing.live_session(self._parts, session_id(sid))
        if session is None:
            raise LookupError("there is no such session, or it has ended")
        login = issuing.login_again(session, acr=acr, amr=_texts("amr", amr), auth_time=auth_time)
        return await issuing.step_up(self._parts, session, login)

    async def refresh(
        self,
        refresh_token: str,
        *,
        client_id: str,
        scopes: Sequence[str] | None = None,
        resources: Sequence[str] = (),
        proof: Proof = None,
    ) -> Tokens:
        """Return the next tokens of a session, for a client that has authenticated; see `refreshing.refresh`.

        Raises:
            GrantError: the token is not good, or asks for more than was granted.
            ClaimsError: the mapper has failed.
            StoreUnavailable: the store cannot be asked.
        """
        asked = RefreshRequest(
            refresh_token=refresh_token, scopes=None if scopes is None else tuple(scopes), resources=tuple(resources)
        )
        return await refreshing.refresh(self._parts, asked, client_id=client_id, proof=proof)

    async def client_credentials(
        self, client: Client, *, scopes: Sequence[str] | None = None, resources: Sequence[str] = ()
    ) -> Tokens:
        """Return an access token for a client that has authenticated, in its own name.

        Raises:
            GrantError, ClaimsError, StoreUnavailable: as `issuing.for_client`.
        """
        asked = ClientCredentialsRequest(scopes=None if scopes is None else tuple(scopes), resources=tuple(resources))
        return await issuing.for_client(self._parts, client, asked)

    async def sessions(self, subject: str) -> list[Session]:
        """Return the live sessions of a user, the oldest first: his devices."""
        return await self.store.sessions(subject)

    async def confirm(self, refresh_token: str, *, client_id: str | None = None, proof: Proof = None) -> bool:
        """Take note that a client holds this refresh token; see `refreshing.confirm`."""
        return await refreshing.confirm(self._parts, refresh_token, client_id=client_id, proof=proof)

    async def introspect(self, token: str, caller: Client) -> Mapping[str, Any]:
        """Say whether a token is good now, to a client that has authenticated; see `introspection.introspect`."""
        answer = await introspection.introspect(self._parts, token, caller)
        if answer["active"]:
            self.confirmations.seen(answer)
        return answer

    async def revoke(
        self,
        *,
        session: str | None = None,
        subject: str | None = None,
        client: str | None = None,
        token: str | None = None,
        key: str | None = None,
        reason: str = "revoked",
    ) -> int:
        """Take back what is named, exactly one thing; return how many of it there were.

        Access tokens that are covered are refused by resource servers that follow the revocations.

        Args:
            session: A session, by `sid`.
            subject: All that a user has, until now. New logins are good when this has returned, within a second.
            client: Likewise, of a client.
            token: A refresh token, with its session; or one access token.
            key: A signing key, by its `kid`, with all that it has signed. Another signs at once.
            reason: For the audit log; no secret.

        Raises:
            ValueError: not exactly one thing is named.
            LookupError: there is no such signing key.
            StoreUnavailable: the store cannot be asked; nothing was revoked.
        """
        named = [value for value in (session, subject, client, token, key) if value is not None]
        if len(named) != 1:
            raise ValueError("expected exactly one of session, subject, client, token and key")
        if key is not None:
            await self.keys.revoke(key, reason=reason)
            return 1
        if token is not None:
            return int(await revoking.revoke_token(self._parts, token, reason=reason))
        if session is not None:
            return await revoking.revoke_session(self._parts, session, reason=reason)
        return await revoking.revoke_all_of(self._parts, subject=subject, client_id=client, reason=reason)

    async def revoke_for(self, client: Client, token: str) -> None:
        """Take a token back for a client that has authenticated, if it is the client's (RFC 7009 section 2.1)."""
        await revoking.revoke_token(self._parts, token, client=client, reason="client")

    async def _start(self) -> None:
        if self._closed:
            raise StoreUnavailable("it was closed")
        await self.keys.look_once()
        await self.revocations.pull()
        self._housekeeping.start()


def _check_together(lifetime: float, schedule: KeySchedule, rotation: RotationPolicy) -> None:
    if schedule.longest_token < lifetime:
        detail = f"expected at least the lifetime of access tokens, {lifetime:g}; got {schedule.longest_token:g}"
        raise ConfigurationError("schedule longest_token", detail)
    if rotation.grace >= lifetime / 2:
        raise ConfigurationError("rotation grace", f"expected less than half of the lifetime, {lifetime:g}")


def _texts(name: str, values: Iterable[str]) -> tuple[str, ...]:
    if isinstance(values, str):
        raise ClaimsError(name, f"expected a list, as [{values!r}]")
    return tuple(values)
