"""Every case of the hostile corpus, through the door."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from jwt_asgi import JWTMiddleware, Profile
from tests.attacks.corpus import CASES
from tests.attacks.corpus.case import ALGORITHMS, AUDIENCE, ISSUER, JWKS_URI, Case, Sign, bearer
from tests.attacks.corpus.catalogue import NAMED, WILDCARDS
from tests.attacks.corpus.choices import ACCEPTED
from tests.attacks.corpus.keyring import CONTROLS, jwks_body, plain
from tests.attacks.door import warm_gate
from tests.attacks.judge import Gate, ask, play, serving

# In production a warning stops nothing: a weak key must be refused by a rule, not by a warning made an error.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("case", CASES, ids=[case.id + "@" + case.profile for case in CASES])
async def test_the_case_comes_out_as_the_catalogue_demands(case: Case) -> None:
    """Each on a middleware of its own, with its keys fetched and one good token seen."""
    sign = Sign.ACCEPT if case.id in ACCEPTED else case.sign
    gate = await warm_gate(case.profile)
    assert await play(gate, replace(case, sign=sign)) == []


@pytest.mark.parametrize("alg", CONTROLS)
async def test_a_plain_token_of_each_algorithm_is_accepted_by_a_fresh_middleware(alg: str) -> None:
    """The short form of the constructor, the real clock, and one fetch."""
    gate = Gate()
    gate.app = JWTMiddleware(
        gate.inner,
        issuer=ISSUER,
        audience=AUDIENCE,
        algorithms=ALGORITHMS,
        jwks_uri=JWKS_URI,
        profile=Profile.GENERIC,
        fetch=serving(gate.fetched, jwks_body),
    )
    assert await ask(gate, bearer(plain(alg)), Sign.ACCEPT) == []
    assert gate.fetched == [JWKS_URI]


@pytest.mark.parametrize("profile", ["GENERIC", "RFC9068"])
async def test_good_tokens_are_still_accepted_after_the_whole_corpus(profile: str) -> None:
    """One instance sees it all: nothing may poison its caches, or use up what good tokens need."""
    gate = await warm_gate(profile)
    for case in CASES:
        await play(gate, case)
    for alg in CONTROLS:
        assert await ask(gate, bearer(plain(alg)), Sign.ACCEPT) == []
    assert set(gate.fetched) == {JWKS_URI}
    assert len(gate.fetched) <= 4, "the first, two for unknown kids, and one that time may have added"


def test_every_id_of_the_catalogue_has_its_case() -> None:
    """And its row; a wildcard stands for two cases or more."""
    found = {case.id: case.row for case in CASES}
    assert {case_id: found.get(case_id) for case_id in NAMED} == NAMED
    for prefix, row in WILDCARDS.items():
        matching = [case for case in CASES if case.id.startswith(prefix) and case.row == row]
        assert len(matching) > 1, prefix


def test_no_id_is_given_twice_for_one_profile() -> None:
    """Otherwise a finding could not be named."""
    assert [key for key, count in Counter((case.id, case.profile) for case in CASES).items() if count > 1] == []


def test_only_what_the_rfcs_leave_open_is_accepted_by_choice() -> None:
    """A row without (policy) cannot be argued away."""
    policy = {case.id for case in CASES if case.policy}
    assert set(ACCEPTED) <= policy
