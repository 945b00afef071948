"""Keys that are sealed, published, rotated and revoked, and tokens that a verifier holds against them."""

from __future__ import annotations

import pytest

from jwt_asgi._keys.static import StaticKeys
from jwt_asgi.errors import ConfigurationError, Reason, TokenError
from jwt_asgi.issuer.claims import AccessTokens, TokenContext
from jwt_asgi.issuer.key_schedule import KeySchedule
from jwt_asgi.issuer.keyring import check_keys, decide, published, revoke, signer
from jwt_asgi.issuer.sealing import MasterKeys
from jwt_asgi.issuer.signing import Document, Keychain, jwks_document
from jwt_asgi.issuer.types import StoredKey
from jwt_asgi.issuers import TrustedIssuer
from jwt_asgi.profiles import Profile
from jwt_asgi.verifier import Verifier
from tests.issuer.rings import DAY, START, after, digest

ISSUER, API = "https://auth.example.com", "https://api.example.com"
SCHEDULE = KeySchedule(algorithms=["ES256"])
CONTEXT = TokenContext(subject="user-1", client_id="web", audience=(API,))


class Service:
    """A token service of one process: its rows, and a secret that they do not have."""

    def __init__(self) -> None:
        self.secret = MasterKeys.new()
        self.chain = Keychain(MasterKeys.from_text(self.secret).sealing())
        self.rows: list[StoredKey] = []
        self.tokens = AccessTokens(issuer=ISSUER)

    def look(self, now: float) -> None:
        self.rows = after(self.rows, decide(self.rows, now, SCHEDULE, self.chain.mint))
        check_keys(self.rows, now, SCHEDULE)

    def revoke(self, kid: str, now: float) -> None:
        self.rows = after(self.rows, revoke(self.rows, kid, now, SCHEDULE, self.chain.mint, digest))

    def document(self, now: float) -> Document:
        return jwks_document(self.chain.open(published(self.rows, now)))

    async def token(self, now: float) -> tuple[str, str]:
        row = signer(self.rows, now, SCHEDULE.algorithms)
        assert row is not None
        (key,) = [key for key in self.chain.open(published(self.rows, now)) if key.kid == row.kid]
        return (await self.tokens.issue(CONTEXT, key, now)).token, key.kid


async def accepted(token: str, document: Document, now: float) -> bool:
    issuer = TrustedIssuer(
        issuer=ISSUER,
        audience=API,
        algorithms=["ES256"],
        profile=Profile.RFC9068,
        keys=StaticKeys(document.body),
    )
    try:
        await Verifier(issuer, clock=lambda: now).verify(token)
    except TokenError as error:
        if error.reason is not Reason.KEY_UNKNOWN:
            raise
        return False
    return True


async def test_through_a_rotation_every_token_verifies_with_an_old_and_a_new_key_set() -> None:
    service = Service()
    service.look(START)
    kids = set()
    handover = START + 90 * DAY
    older = service.document(START)
    for now in (START + 89 * DAY, handover - 60, handover - 1, handover, handover + 900, handover + 1500):
        service.look(now)
        token, kid = await service.token(now)
        kids.add(kid)
        assert await accepted(token, service.document(now), now)
        assert await accepted(token, older, now)
        assert await accepted(token, service.document(now + 899), now + 899)
        older = service.document(now)
    assert len(kids) == 2


async def test_a_revoked_key_is_in_no_new_key_set() -> None:
    service = Service()
    service.look(START)
    token, kid = await service.token(START)
    service.revoke(kid, START + 10)
    assert not await accepted(token, service.document(START + 10), START + 10)
    later, _ = await service.token(START + 10)
    assert await accepted(later, service.document(START + 10), START + 10)


async def test_another_process_with_the_same_secret_signs_with_the_same_key() -> None:
    service, other = Service(), Service()
    service.look(START)
    other.rows, other.chain = service.rows, Keychain(MasterKeys.from_text(service.secret).sealing())
    token, kid = await other.token(START)
    assert kid == (await service.token(START))[1]
    assert await accepted(token, service.document(START), START)
    assert other.document(START) == service.document(START)


async def test_the_rows_alone_sign_nothing() -> None:
    service, thief = Service(), Service()
    service.look(START)
    thief.rows = service.rows
    with pytest.raises(ConfigurationError, match="does not open"):
        await thief.token(START)
