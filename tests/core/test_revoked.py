"""The revocations that are live: the same answers as a plain dict gives, in bins of bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jwt_asgi._core import revoked as module
from jwt_asgi._core.policy import MAX_LEEWAY
from jwt_asgi._core.revocation import EntryKind, Row, key_of
from jwt_asgi._core.revoked import BINS, Revoked, TokenKeys, keys_of

ISSUER = "https://issuer.test"
NOW = 1_800_000_000
MEMBERS = {"s": "session", "j": "token_id", "k": "kid", "u": "subject", "c": "client_id"}
KINDS: tuple[EntryKind, ...] = ("s", "u", "j", "c", "k")


def row(kind: EntryKind, value: str, *, until: int = NOW + 900, before: int = 0) -> Row:
    return kind.encode(), key_of(ISSUER, kind, value), until, before


def keys(issued_at: float | None = NOW, /, **members: Any) -> TokenKeys:
    return keys_of(ISSUER, issued_at=issued_at, **members)


def known(*rows: Row, now: float = NOW) -> Revoked:
    revoked = Revoked()
    revoked.add(rows, now)
    return revoked


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_is_revoked_by_any_of_five_and_by_no_other_issuers(kind: EntryKind) -> None:
    revoked = known(row(kind, "a", before=NOW))
    assert revoked.covers(keys(**{MEMBERS[kind]: "a"}))
    assert not revoked.covers(keys(**{MEMBERS[kind]: "b"}))
    assert not revoked.covers(keys(**{name: "a" for other, name in MEMBERS.items() if other != kind}))
    assert not revoked.covers(keys_of("https://other.test", issued_at=NOW, **{MEMBERS[kind]: "a"}))
    assert revoked.covers(keys(**dict.fromkeys(MEMBERS.values(), "a")))


@pytest.mark.parametrize("kind", ["u", "c"])
@pytest.mark.parametrize(
    ("issued_at", "covered"),
    [(NOW - 1, True), (NOW, True), (NOW + 0.9, True), (NOW + 1, False), (NOW + 100, False), (None, True)],
)
def test_of_users_and_clients_what_was_issued_up_to_the_cut_off_is_revoked(
    kind: EntryKind, issued_at: float | None, covered: bool
) -> None:
    revoked = known(row(kind, "a", before=NOW))
    assert revoked.covers(keys(issued_at, **{MEMBERS[kind]: "a"})) is covered


def test_a_later_cut_off_counts_whatever_the_order() -> None:
    rows = [row("u", "a", before=NOW - 50), row("u", "a", before=NOW, until=NOW + 1), row("u", "a", before=NOW - 20)]
    for order in (rows, rows[::-1]):
        revoked = known(*order)
        assert len(revoked) == 1
        assert revoked.covers(keys(NOW, subject="a"))
        revoked.sweep(NOW + 800 + MAX_LEEWAY)
        assert revoked.covers(keys(NOW, subject="a"))


@pytest.mark.parametrize("value", [None, 7, ["a"], {"a": 1}, True])
def test_a_claim_that_is_no_text_is_none(value: object) -> None:
    assert keys(session=value, subject=value) == ((), (), NOW)


def test_nothing_is_revoked_at_first() -> None:
    revoked = Revoked()
    assert len(revoked) == 0
    assert not revoked.covers(keys(session="a", subject="a"))


def test_an_entry_stays_for_as_long_as_the_greatest_leeway_beyond_its_end_and_then_goes() -> None:
    revoked = known(row("s", "a", until=NOW + 10), row("u", "a", until=NOW + 10, before=NOW))
    assert len(revoked) == 2
    revoked.sweep(NOW + 10 + MAX_LEEWAY - 1)
    assert revoked.covers(keys(session="a"))
    assert revoked.covers(keys(subject="a"))
    revoked.sweep(NOW + 10 + MAX_LEEWAY + 64)
    assert len(revoked) == 0
    assert not revoked.covers(keys(session="a"))
    assert not revoked.covers(keys(subject="a"))


def test_what_has_passed_is_not_taken_in() -> None:
    assert len(known(row("s", "a", until=int(NOW - MAX_LEEWAY)))) == 0
    assert len(known(row("s", "a", until=int(NOW - MAX_LEEWAY) + 1))) == 1


def test_times_beyond_what_a_record_can_say_are_kept_as_well_as_may_be() -> None:
    assert known(row("s", "a", until=2**32 - 1)).covers(keys(session="a"))
    assert known(row("s", "a", until=1000), now=0).covers(keys(session="a"))


def test_a_sweep_goes_round_in_parts() -> None:
    revoked = known(*[row("s", str(number)) for number in range(2000)])
    parts = []
    for _ in range(8):
        revoked.sweep(NOW + 5000, BINS // 8)
        parts.append(len(revoked))
    assert parts == sorted(parts, reverse=True)
    assert 1500 < parts[0] < 2000
    assert parts[-1] == 0


def test_bytes_that_lie_across_two_records_are_no_entry() -> None:
    revoked, place = known(row("s", "a")), keys(session="a").whole[0]
    index, rest = place
    revoked._whole[index] = b"\0" * 3 + rest + b"\xff" * 9
    assert rest in revoked._whole[index]
    assert not revoked.covers(keys(session="a"))
    revoked.add([row("s", "a")], NOW)
    assert revoked.covers(keys(session="a"))


def test_there_is_an_end_to_how_many_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ENTRIES", 3)
    revoked = known(*[row("s", str(number)) for number in range(3)])
    revoked.add([row("s", "1", until=NOW + 999)], NOW)
    with pytest.raises(OverflowError, match="more than 3 revocations"):
        revoked.add([row("s", "4")], NOW)


class Model:
    """The same in a plain dict."""

    def __init__(self) -> None:
        self.entries: dict[tuple[bytes, bytes], tuple[int, int]] = {}

    def add(self, rows: list[Row], now: float) -> None:
        for kind, key, until, before in rows:
            if until + MAX_LEEWAY > now:
                last = self.entries.get((kind, key), (0, 0))
                self.entries[kind, key] = max(last[0], until), max(last[1], before)

    def covers(self, kind: str, value: str, issued_at: float, now: float) -> bool | None:
        """None: it has passed, and may be forgotten or not."""
        until, before = self.entries.get((kind.encode(), key_of(ISSUER, kind, value)), (0, 0))  # type: ignore[arg-type]
        if not until or (kind in "uc" and issued_at >= before + 1):
            return False
        return True if until + MAX_LEEWAY > now else None


values = st.sampled_from([f"value {number}" for number in range(6)])
steps = st.one_of(
    st.tuples(
        st.just("add"),
        st.lists(st.tuples(st.sampled_from(KINDS), values, st.integers(-400, 900), st.integers(-100, 100))),
    ),
    st.tuples(st.just("wait"), st.integers(0, 500)),
    st.tuples(st.just("sweep"), st.sampled_from([BINS, BINS // 2])),
)


@settings(max_examples=15, deadline=None)
@given(st.lists(steps, max_size=8))
def test_it_says_what_a_plain_dict_says(script: list[tuple[str, Any]]) -> None:
    revoked, model, now = Revoked(), Model(), NOW
    for name, argument in script:
        if name == "add":
            rows = [
                row(kind, value, until=now + left, before=NOW + cut if kind in "uc" else 0)
                for kind, value, left, cut in argument
            ]
            revoked.add(rows, now)
            model.add(rows, now)
        elif name == "wait":
            now += argument
        else:
            revoked.sweep(now, argument)
        for kind, member in MEMBERS.items():
            for number in range(6):
                value = f"value {number}"
                expected = model.covers(kind, value, NOW, now)
                found = revoked.covers(keys(NOW, **{member: value}))
                assert expected is None or found is expected


def test_many_entries_are_all_found_and_nothing_else() -> None:
    revoked = Revoked()
    mine = [row("s" if number % 3 else "u", str(number), before=NOW) for number in range(20_000)]
    for begin in range(0, len(mine), 500):
        revoked.add(mine[begin : begin + 500], NOW)
    assert len(revoked) == 20_000
    found = [revoked.covers(keys(session=str(number), subject=f"{number}")) for number in range(21_000)]
    assert found == [True] * 20_000 + [False] * 1_000
