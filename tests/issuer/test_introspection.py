"""Whether a token is good is told to its client and to whom it is for; others learn nothing at all."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest

from jwt_asgi.issuer import StoreUnavailable
from jwt_asgi.issuer.signing import SigningKey
from tests.issuer.services import API, CLIENTS, World, claims_of, failing, made, running

SPA, PHONE, JOB, SERVER, STRANGER = CLIENTS
INACTIVE = {"active": False}


async def test_an_access_token_is_shown_to_its_client_and_to_the_resource_server_that_it_is_for() -> None:
    async with running() as world:
        tokens = await world.login(audience=[API, "https://other.test"], claims={"active": False, "token_type": "N_A"})
        for caller in (SPA, SERVER):
            found = await world.service.introspect(tokens.access_token, caller)
            expected = {**claims_of(tokens.access_token), "active": True, "token_type": "Bearer"}
            assert found == expected, "the application's claims say nothing of whether it is active"
        for caller in (PHONE, JOB, STRANGER):
            assert await world.service.introspect(tokens.access_token, caller) == INACTIVE


async def test_a_bound_token_says_so() -> None:
    async with running() as world:
        for proof, kind in ((("jkt", "thumbprint"), "DPoP"), (("x5t#S256", "thumbprint"), "Bearer")):
            tokens = await world.login(proof=proof)
            found = await world.service.introspect(tokens.access_token, SERVER)
            assert (found["token_type"], found["cnf"]) == (kind, {proof[0]: proof[1]})


async def test_the_newest_refresh_token_is_shown_to_its_client_alone() -> None:
    async with running() as world:
        first = await world.login()
        second = await world.service.refresh(first.refresh_token or "", client_id="spa")
        found = await world.service.introspect(second.refresh_token or "", SPA)
        assert found == {
            "active": True,
            "iss": "https://auth.test",
            "sub": "ada",
            "client_id": "spa",
            "scope": "read write",
            "aud": [API],
            "sid": first.sid,
            "iat": int(world.clock.now),
            "exp": int(second.session_until or 0),
        }
        for caller in (SERVER, PHONE, STRANGER):
            assert await world.service.introspect(second.refresh_token or "", caller) == INACTIVE
        assert await world.service.introspect(first.refresh_token or "", SPA) == INACTIVE, "another is the newest"


async def test_what_is_over_or_never_was_is_not_active() -> None:
    async with running() as world:
        tokens = await world.login()
        head, payload, signature = tokens.access_token.split(".")
        unknown = world.service._parts.refresh_tokens.write(b"x" * 16, 0, 1)
        forged = f"{head}.{payload}.{'A' * len(signature)}"
        for text in ("", "x", "\ud800", "a.b.c", forged, unknown, f"jrt_{'A' * 56}", "." * 20_000):
            assert await world.service.introspect(text, SERVER) == INACTIVE
        world.clock.now += 900
        assert await world.service.introspect(tokens.access_token, SERVER) == INACTIVE
        world.clock.now += world.service.rotation.idle
        assert await world.service.introspect(tokens.refresh_token or "", SPA) == INACTIVE


@pytest.mark.parametrize("kind", ["session", "subject", "client", "token", "key"])
async def test_what_was_revoked_a_moment_ago_by_another_process_is_not_active(kind: str) -> None:
    async with running() as world:
        world.clock.now += 0.98
        tokens = await world.login()
        assert (await world.service.introspect(tokens.access_token, SERVER))["active"]
        values = {
            "session": tokens.sid,
            "subject": "ada",
            "client": "spa",
            "token": tokens.access_token,
            "key": world.service.keys.stored[0].kid,
        }
        other, _ = made(f"sqlite:///{world.path}", world.clock)
        await other.start()
        await other.revoke(**{kind: values[kind]})  # type: ignore[arg-type]
        await other.aclose()
        assert await world.service.introspect(tokens.access_token, SERVER) == INACTIVE


async def test_a_token_of_another_issuer_or_of_another_type_is_not_ours() -> None:
    async with running() as world:
        key: SigningKey = next(iter(world.service.keys._opened.values()))
        now = int(world.clock.now)
        claims = f'"aud":"{API}","client_id":"spa","jti":"1","sub":"ada","iat":{now},"exp":{now + 60}'
        ours = key.sign(f'{{"iss":"https://auth.test",{claims}}}'.encode())
        assert (await world.service.introspect(ours, SERVER))["active"]
        for issuer in ("https://auth.test/", "https://other.test"):
            other = key.sign(f'{{"iss":"{issuer}",{claims}}}'.encode())
            assert await world.service.introspect(other, SERVER) == INACTIVE
        for old, new in (("at+jwt", "JWT"), (key.kid, "x"), ('"kid"', '"kit"')):
            stamped = SigningKey("ES256", key._private)
            stamped._head = _with(stamped._head, old, new)
            token = stamped.sign(f'{{"iss":"https://auth.test",{claims}}}'.encode())
            assert await world.service.introspect(token, SERVER) == INACTIVE


def _with(head: bytes, old: str, new: str) -> bytes:
    text = urlsafe_b64decode(head.rstrip(b".") + b"==").decode()
    assert old in text
    return urlsafe_b64encode(text.replace(old, new).encode()).rstrip(b"=") + b"."


async def test_a_token_that_was_seen_confirms_its_session() -> None:
    async with running() as world:
        first = await world.login()
        second = await world.service.refresh(first.refresh_token or "", client_id="spa")
        await world.service.introspect(second.access_token, STRANGER)
        await world.service.introspect(first.access_token, SERVER)
        await world.service.confirmations.flush()
        assert await confirmed(world) == [False]
        await world.service.introspect(second.access_token, SERVER)
        await world.service.confirmations.flush()
        assert await confirmed(world) == [True]


async def confirmed(world: World) -> list[bool]:
    return [session.family.confirmed_at is not None for session in await world.service.sessions("ada")]


@pytest.mark.parametrize("call", ["now", "find_entries", "session"])
async def test_a_store_that_fails_is_no_answer(call: str) -> None:
    async with running() as world:
        tokens = await world.login()
        world.store.before[call] = failing(StoreUnavailable("gone"))
        token = tokens.refresh_token if call == "session" else tokens.access_token
        with pytest.raises(StoreUnavailable):
            await world.service.introspect(token or "", SPA)
