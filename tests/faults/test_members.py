"""Every line of the catalogue on what may stand beside a good key; and keys that change under their kid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.attacks.corpus.jws import claims, header, sign
from tests.attacks.corpus.keyring import GOOD_MEMBERS, RSA_2, public_jwk
from tests.faults import catalogue, members
from tests.faults.world import LIFETIME, forged_token, good, good_token, world

MEMBERS = catalogue.members()


def test_every_line_has_a_member_and_every_member_a_line() -> None:
    assert sorted(MEMBERS) == sorted(members.names())


@pytest.mark.parametrize("first", [True, False], ids=["before it", "behind it"])
@pytest.mark.parametrize("name", MEMBERS)
async def test_whatever_stands_beside_it_the_good_key_verifies(
    name: str, first: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    status, gets = MEMBERS[name]
    odd, sound = members.member(name), GOOD_MEMBERS[0]
    async with world(monkeypatch, tmp_path) as issuer:
        # As an issuer would send it: a lone surrogate is written as an escape
        issuer.publish(good(json.dumps({"keys": [odd.jwk, sound] if first else [sound, odd.jwk]}).encode("ascii")))
        assert (await issuer.status(good_token()), issuer.gets) == (200, 1)
        assert (await issuer.status(odd.token()), issuer.gets) == (status, gets)
        assert (await issuer.status(forged_token()), issuer.gets) == (401, gets)
        assert (await issuer.status(good_token()), issuer.gets) == (200, gets)


async def test_new_material_under_an_old_kid_is_taken_with_the_next_fetch_and_causes_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A bad signature asks for nothing: else whoever writes one could make the issuer's work."""
    new = sign(RSA_2, header(), claims())
    async with world(monkeypatch, tmp_path) as issuer:
        assert await issuer.status(good_token()) == 200
        issuer.publish(good(json.dumps({"keys": [public_jwk(RSA_2, kid="rsa-1")]}).encode()))
        assert (await issuer.status(new), await issuer.status(good_token()), issuer.gets) == (401, 200, 1)
        issuer.clock.now += LIFETIME + 1
        assert (await issuer.status(new), await issuer.status(good_token()), issuer.gets) == (200, 401, 2)
