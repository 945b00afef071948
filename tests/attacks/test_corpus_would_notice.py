"""The corpus itself is put to the test: a sound verifier passes it, and none with a hole does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from jwt_asgi.types import ASGIScope, Receive, Send
from tests.attacks.corpus import CASES
from tests.attacks.corpus.case import Case, Request, Sign, bearer
from tests.attacks.corpus.choices import ACCEPTED
from tests.attacks.corpus.jws import NOW
from tests.attacks.corpus.keyring import good, jwks_body, rs256
from tests.attacks.door import Clock
from tests.attacks.judge import Gate, ask, challenge_parameters, play, secrets, serving
from tests.attacks.reference import CHECKS, Reference

_CASES = [replace(case, sign=Sign.ACCEPT) if case.id in ACCEPTED else case for case in CASES]


async def _complaints(skip: str = "") -> AsyncIterator[tuple[str, list[str]]]:
    for profile in ("GENERIC", "RFC9068"):
        clock, gate = Clock(), Gate()
        gate.sleep = clock.sleep
        reference = Reference(gate.inner, serving(gate.fetched, jwks_body), clock, skip, profile)
        gate.app = reference
        await ask(gate, bearer(rs256()), Sign.ACCEPT)
        for case in _CASES:
            clock.now = float(NOW)
            if case.profile == profile and (wrong := await play(gate, case)):
                yield case.id, wrong


async def test_a_sound_verifier_passes_every_case() -> None:
    """So no case asks for what cannot be had, and each token is otherwise good."""
    assert [found async for found in _complaints()] == []


@pytest.mark.parametrize("skip", sorted(CHECKS))
async def test_a_verifier_without_one_check_is_found_out(skip: str) -> None:
    """For each check there is a case that nothing else would refuse."""
    async for _ in _complaints(skip):
        return
    pytest.fail(f"no case notices that {skip!r} is missing")


class _Accepting:
    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        await self.gate.inner(scope, receive, send)


class _Refusing:
    """Refuses correctly, and everything."""

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        headers = [(b"www-authenticate", b'Bearer error="invalid_token"'), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


class _Failing:
    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        raise RecursionError


class _Echoing:
    """Refuses correctly, and says what it refused."""

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        headers = [(b"www-authenticate", b'Bearer error="invalid_token"'), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": b"".join(value for _, value in scope["headers"])})


@pytest.mark.parametrize("case", CASES[::9], ids=[case.id for case in CASES[::9]])
async def test_a_verifier_that_says_the_same_to_everybody_is_found_out(case: Case) -> None:
    """Whichever of the two it says, and if it says nothing."""
    gate = Gate()
    gate.app = _Accepting(gate)
    accepted = await play(gate, replace(case, before=()))
    gate.app = _Refusing()
    refused = await play(gate, replace(case, before=()))
    gate.app = _Failing()
    failed = await play(gate, replace(case, before=()))
    assert (bool(accepted), bool(refused)) in (
        {(False, True)} if case.sign is Sign.ACCEPT else {(True, False), (True, True)}
    )
    assert failed


async def test_a_refusal_that_repeats_the_token_is_found_out() -> None:
    """Whole or in part."""
    gate = Gate()
    gate.app = _Echoing()
    assert any("echoes" in text for text in await ask(gate, bearer(good()), Sign.T))


def test_the_secrets_of_a_request_are_its_segments_and_what_they_say() -> None:
    """The kid and the claims are found inside the token."""
    found = secrets(bearer(good()))
    assert {"canary-subject", "canary-client"} <= found
    assert any(good().startswith(text) for text in found)
    assert secrets(Request()) == set()


@pytest.mark.parametrize(
    "challenge",
    [
        'Bearer error="a\\"b"',
        'Bearer error="é"',
        "Bearer error=invalid_token",
        'Bearer error="a" error="b"',
        'Bearer error="a\n"',
    ],
)
def test_a_challenge_outside_the_character_set_is_found_out(challenge: str) -> None:
    """RFC 6750 section 3, RFC 9110 section 11.6.1."""
    assert challenge_parameters(challenge) is None


@pytest.mark.parametrize("challenge", ["Bearer", 'Bearer realm="x"', 'Bearer realm="a b", error="invalid_token"'])
def test_a_sound_challenge_is_read(challenge: str) -> None:
    """With and without parameters."""
    assert challenge_parameters(challenge) is not None
