"""Which fault is whose: what a client sends is never answered with 5xx, whether the issuer is well or not.

A fault of the issuer is 503 with Retry-After and no challenge, that of a token 401 with one: `World.ask` holds every
answer of this package to that.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.asgi import http
from tests.attacks.corpus.jws import b64, parts, unb64
from tests.faults import scripts
from tests.faults.world import good_token, world

CASES = 1000 * int(os.environ.get("PROPERTY_EXAMPLES", "1"))
"""For each; all are made from one seed."""


def _text(random: random.Random, token: bytes) -> bytes:
    """Change the token as it stands: any byte, or a piece of it."""
    made = bytearray(token)
    for _ in range(random.choice((1, 1, 2, 5))):
        place = random.randrange(len(made))
        match random.randrange(4):
            case 0:
                made[place] = random.randrange(256)
            case 1:
                del made[place : place + random.choice((1, 2, 50))]
            case 2:
                made[place:place] = random.randbytes(random.choice((1, 2, 50)))
            case _:
                made[place:place] = made[: random.randrange(60)]
        made = made or bytearray(b".")
    return bytes(made)


def _inside(random: random.Random, token: bytes) -> bytes:
    """Change what is encoded in one segment, and encode it again."""
    segments = [unb64(part) for part in parts(token.decode())]
    place = random.randrange(3)
    segments[place] = _text(random, segments[place])
    return ".".join(b64(segment) for segment in segments).encode()


@pytest.mark.parametrize("down", [False, True], ids=["the issuer is well", "the issuer is down"])
@pytest.mark.parametrize("change", [_text, _inside])
async def test_whatever_bytes_a_client_sends_it_gets_no_5xx_and_causes_few_fetches(
    change: Callable[[random.Random, bytes], bytes], down: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token, chance = good_token().encode(), random.Random(20_260)
    async with world(monkeypatch, tmp_path) as issuer:
        assert await issuer.status(good_token()) == 200
        if down:
            await scripts.script("500")(issuer)
        found = set[int]()
        for _ in range(CASES):
            sent = change(chance, token)
            if sent != token:
                found.add((await http(issuer.app, token=sent)).status)
        assert found == {400, 401} if change is _text else {401}
        assert issuer.gets <= 3
        assert await issuer.status(good_token()) == 200
