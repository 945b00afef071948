"""A short comparison with each run of the suite, and proof that it would notice."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from jwt_asgi.errors import Reason
from tests.differential import __main__ as command
from tests.differential.classes import BOTH, CLASSES, class_of
from tests.differential.compare import MUTATIONS, Judge, Judges, Tally, compare, judge, judges
from tests.differential.draft import Sample, sample
from tests.differential.keys import LEEWAY, NOW, SECRET
from tests.differential.look import Look
from tests.differential.verdicts import FaultError, Ours, Verdict, stopped_clock

_SEED = 5
_COUNT = 2500


def _remembering(judge_of: Judge) -> Judge:
    """A judge that gives its first verdict again: the checks below look at the same tokens many times."""
    return cache(judge_of)


@pytest.fixture(scope="module")
def known() -> Iterator[tuple[list[Sample], dict[bool, Judges], Tally]]:
    """The samples, judges that know their verdict on each, and what came of it."""
    samples = [sample(_SEED, number, MUTATIONS) for number in range(_COUNT)]
    by = {
        secret: Judges(_remembering(each.ours), {party: _remembering(each.others[party]) for party in BOTH})
        for secret, each in judges().items()
    }
    with stopped_clock():
        yield samples, by, _judged(samples, by)


def _judged(samples: list[Sample], by: dict[bool, Judges]) -> Tally:
    tally = Tally()
    for number, one in enumerate(samples):
        judge(one, number, by[one.secret], tally)
    return tally


Known = tuple[list[Sample], dict[bool, Judges], Tally]


def _with_ours(known: Known, change: Callable[[Any, Verdict], Verdict]) -> Tally:
    """What comes of it when our verdict is another."""
    samples, by, _ = known
    samples = samples[:1000]

    def changed(each: Judges) -> Judges:
        return Judges(lambda token: change(token, each.ours(token)), each.others)

    return _judged(samples, {secret: changed(each) for secret, each in by.items()})


def test_each_difference_between_the_three_has_a_listed_reason(known: Known) -> None:
    """And what must be accepted or refused by us is; where two accept a token, they read the same claims."""
    _, _, tally = known
    assert tally.faults == []
    assert tally.judged == _COUNT
    assert min(tally.accepted, tally.refused, tally.differed) > _COUNT / 10


def test_each_listed_reason_and_each_mutation_occurs(known: Known) -> None:
    """A class that nothing falls into any more is to be struck out."""
    assert known[2].never() == []


_REASONS_OF_A_TOKEN = [
    *(Reason.TOKEN_TOO_LARGE, Reason.TOKEN_MALFORMED, Reason.TOKEN_ENCRYPTED, Reason.HEADER_MALFORMED),
    *(Reason.HEADER_CRITICAL, Reason.ALGORITHM_NOT_ALLOWED, Reason.TYPE_NOT_ACCEPTED, Reason.ISSUER_UNTRUSTED),
    *(Reason.KEY_UNKNOWN, Reason.KEY_UNSUITABLE, Reason.SIGNATURE_INVALID, Reason.CLAIM_MISSING),
    *(Reason.CLAIM_MALFORMED, Reason.AUDIENCE_MISMATCH, Reason.BINDING_UNSUPPORTED, Reason.TOKEN_NOT_YET_VALID),
    *(Reason.TOKEN_ISSUED_IN_FUTURE, Reason.TOKEN_EXPIRED),
]


@pytest.mark.parametrize("reason", _REASONS_OF_A_TOKEN)
def test_a_verifier_without_one_of_its_checks_is_found_out(known: Known, reason: Reason) -> None:
    """For each reason to refuse, it would accept what it refuses for that."""
    samples, by, _ = known
    concerned = [one for one in samples if by[one.secret].ours(one.token).why == reason.value][:50]
    tally = _with_ours((concerned, by, Tally()), lambda token, _: Verdict(True, {}))
    assert tally.fault_count > 0


def test_a_verifier_that_accepts_too_much_or_too_little_is_found_out(known: Known) -> None:
    """Everything, nothing, or all but what has no kid."""
    assert _with_ours(known, lambda token, _: Verdict(True, {})).fault_count > 1000 / 4
    assert _with_ours(known, lambda token, _: Verdict(False, why="token_malformed")).fault_count > 1000 / 10
    strict = _with_ours(known, lambda token, verdict: verdict if len(token) < 400 else Verdict(False, why="x"))
    assert strict.fault_count > 0


def test_a_verifier_that_reads_other_claims_is_found_out(known: Known) -> None:
    """One member more is enough."""
    tally = _with_ours(
        known, lambda _, verdict: Verdict(verdict.accepted, {**(verdict.claims or {}), "x": 1}, verdict.why)
    )
    assert any("reads other claims" in fault["fault"] for fault in tally.faults)


def test_a_verifier_that_fails_is_found_out(known: Known) -> None:
    """An exception of another kind is a fault, whatever the others say."""

    def failing(token: object, verdict: Verdict) -> Verdict:
        if verdict.why == "token_encrypted":
            raise FaultError("RecursionError")
        return verdict

    faults = _with_ours(known, failing).faults
    assert faults
    assert all("our verifier failed" in fault["fault"] for fault in faults)


def test_a_verifier_that_remembers_too_much_is_found_out(known: Known) -> None:
    """It knows a token again by its claims alone, whatever the signature."""
    seen: set[Any] = set()

    def remembering(token: Any, verdict: Verdict) -> Verdict:
        raw = token.encode() if isinstance(token, str) else token
        claims = raw.split(b".")[1:2]
        if verdict.accepted:
            seen.add(tuple(claims))
        return Verdict(True, {}) if tuple(claims) in seen else verdict

    assert any("must refuse" in fault["fault"] for fault in _with_ours(known, remembering).faults)


def test_a_verifier_that_judges_text_and_bytes_differently_is_found_out(known: Known) -> None:
    """The type of the argument must not matter."""
    tally = _with_ours(known, lambda token, verdict: Verdict(False) if isinstance(token, str) else verdict)
    assert any("a second look" in fault["fault"] for fault in tally.faults)


def test_what_is_remembered_of_a_token_is_what_would_be_found_at_any_time(known: Known) -> None:
    """Around every date of a token, a verifier that has seen it says what one that keeps nothing says."""
    samples, by, _ = known
    good = [one.token for one in samples if one.secret and by[True].ours(one.token).accepted][:100]
    remembering, fresh = Ours(secret=True), Ours(secret=True, token_cache=0)
    verdicts: set[bool] = set()
    for token in good:
        remembering.now = NOW
        assert remembering(token).accepted
        dates = Look(token).numbers("exp", "nbf", "iat")
        for date in [date + shift for date in dates for shift in (-LEEWAY - 0.1, -LEEWAY, 0, LEEWAY, LEEWAY + 0.1)]:
            remembering.now = fresh.now = float(date)
            first, second = remembering(token), fresh(token)
            assert (first.accepted, first.why) == (second.accepted, second.why), (token, date)
            verdicts.add(first.accepted)
    assert verdicts == {True, False}


def test_a_sample_is_named_by_two_numbers() -> None:
    """So that a fault can be had again; PS256 alone signs with chance."""
    alike: list[bool] = []
    for number in range(200):
        first, second = (sample(9, number, MUTATIONS) for _ in range(2))
        assert (first.mutations, first.must, first.secret) == (second.mutations, second.must, second.secret)
        alike.append(first == second)
    assert sum(alike) > 180
    assert sample(9, 1, MUTATIONS) != sample(9, 2, MUTATIONS)


@pytest.mark.parametrize("known_class", CLASSES, ids=[known_class.name for known_class in CLASSES])
def test_no_class_counts_for_a_token_without_its_mark(known_class: Any) -> None:
    """A good token is in none, for any reason."""
    good = b"eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLCJleHAiOjE4MDAwMDAxMDB9.AAAA"
    assert not known_class.holds(Look(good))
    for party in BOTH:
        for reason in (*_REASONS_OF_A_TOKEN, "ExpiredSignatureError"):
            assert class_of(Look(good), party, str(reason), accepted=known_class.accepted) is None


def test_classes_have_names_of_their_own_and_say_why() -> None:
    """The table is read by people."""
    assert len({each.name for each in CLASSES}) == len(CLASSES)
    assert all(len(each.why) > 20 for each in CLASSES)


def test_what_never_occurred_is_told() -> None:
    """By class and party, and by mutation."""
    never = Tally().never()
    assert len(never) == sum(len(each.parties) for each in CLASSES) + len(MUTATIONS)


def test_the_command_prints_the_table_and_goes_on_where_it_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few tokens do not meet every class, so it says 1."""
    monkeypatch.setattr(command, "SLICE", 20)
    save = tmp_path / "saved.json"
    assert command.main(["--count", "40", "--seed", "3", "--save", str(save)]) == 1
    assert command.main(["--count", "60", "--seed", "3", "--save", str(save)]) == 1
    printed = capsys.readouterr()
    assert re.findall(r"(\d+) judged, 0 faults", printed.err) == ["20", "40", "60"]
    assert "60 tokens: " in printed.out
    assert "never occurred: " in printed.out
    whole = compare(3, 0, 60)
    assert json.loads(save.read_text())["tally"]["classes"] == dict(whole.classes)
    with pytest.raises(SystemExit):
        command.main(["--count", "60", "--seed", "4", "--save", str(save)])


def test_the_secret_is_long_enough_for_every_hash() -> None:
    """Otherwise a world of the comparison would be empty."""
    assert len(SECRET) >= 64
