"""The life of signing keys, row by row."""

from __future__ import annotations

from typing import Any

import pytest

from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.key_schedule import KeySchedule
from jwt_asgi.issuer.keyring import check_keys, decide, published, revoke, rotate_now, signer
from jwt_asgi.issuer.types import KeyChange, KeyState, StoredKey
from tests.issuer.rings import DAY, START, Mint, after, digest, key, states

SCHEDULE = KeySchedule()
ES256 = ("ES256",)
RETAINED = 900 + 300 + 300


class Ring:
    """Keys that are looked at, as a service does, at whatever time."""

    def __init__(self, schedule: KeySchedule = SCHEDULE) -> None:
        self.schedule, self.mint, self.keys = schedule, Mint(), list[StoredKey]()

    def look(self, now: float) -> KeyChange:
        return self._keep(decide(self.keys, now, self.schedule, self.mint))

    def rotate(self, now: float, **options: Any) -> KeyChange:
        return self._keep(rotate_now(self.keys, now, self.schedule, self.mint, **options))

    def revoke(self, kid: str, now: float) -> KeyChange:
        return self._keep(revoke(self.keys, kid, now, self.schedule, self.mint, digest))

    def signer(self, now: float) -> str:
        found = signer(self.keys, now, self.schedule.algorithms)
        assert found is not None
        return found.kid

    def of(self, kid: str) -> StoredKey:
        return next(stored for stored in self.keys if stored.kid == kid)

    def _keep(self, change: KeyChange) -> KeyChange:
        self.keys = after(self.keys, change)
        return change


def begun(schedule: KeySchedule = SCHEDULE) -> Ring:
    ring = Ring(schedule)
    ring.look(START)
    return ring


def test_the_very_first_key_signs_at_once() -> None:
    ring = begun()
    assert states(ring.keys) == {"1": "active"}
    assert ring.signer(START) == "1"
    check_keys(ring.keys, START, SCHEDULE)


def test_a_second_look_changes_nothing() -> None:
    ring = begun()
    assert ring.look(START) == KeyChange()
    assert ring.look(START + 89 * DAY - 1) == KeyChange()


def test_the_next_key_is_staged_a_day_before_it_is_needed() -> None:
    ring = begun()
    ring.look(START + 89 * DAY)
    assert states(ring.keys) == {"1": "active", "2": "staged"}
    assert ring.look(START + 90 * DAY - 61) == KeyChange()
    assert [stored.kid for stored in published(ring.keys, START + 89 * DAY)] == ["1", "2"]


def test_a_handover_takes_effect_when_all_processes_know_of_it() -> None:
    ring = begun()
    ring.look(START + 89 * DAY)
    now = START + 90 * DAY - 60
    change = ring.look(now)
    assert states(ring.keys) == {"1": "retiring", "2": "active"}
    assert [stored.kid for stored in change.keys] == ["1", "2"]
    assert ring.of("1").sign_until == ring.of("2").sign_from == now + 60
    assert ring.of("1").publish_until == now + 60 + RETAINED
    assert (ring.signer(now + 59.9), ring.signer(now + 60)) == ("1", "2")
    assert ring.look(now) == KeyChange()


def test_what_is_done_is_recorded() -> None:
    ring = begun()
    ring.look(START + 89 * DAY)
    change = ring.look(START + 90 * DAY)
    assert [(record.event, record.members["kid"]) for record in change.records] == [
        ("key.retired", "1"),
        ("key.activated", "2"),
    ]
    assert change.records[1].at == START + 90 * DAY
    assert change.records[1].members == {
        "kid": "2",
        "alg": "ES256",
        "sign_from": START + 90 * DAY + 60,
        "sign_until": None,
    }


def test_a_retiring_key_goes_when_it_is_not_published_any_more_and_its_secret_with_it() -> None:
    ring = begun()
    ring.look(START + 89 * DAY)
    now = START + 90 * DAY
    ring.look(now)
    gone = now + 60 + RETAINED
    assert [stored.kid for stored in published(ring.keys, gone - 1)] == ["2", "1"]
    assert [stored.kid for stored in published(ring.keys, gone)] == ["2"]
    assert ring.look(gone - 1) == KeyChange()
    change = ring.look(gone)
    assert (ring.of("1").state, ring.of("1").sealed) == (KeyState.GONE, b"")
    assert [record.event for record in change.records] == ["key.gone"]
    assert ring.look(gone) == KeyChange()


def test_a_look_that_comes_a_year_late_still_announces_the_next_key() -> None:
    ring = begun()
    late = START + 365 * DAY
    ring.look(late)
    assert states(ring.keys) == {"1": "active", "2": "staged"}
    assert ring.look(late + DAY - 61) == KeyChange()
    ring.look(late + DAY)
    assert (ring.signer(late + DAY), ring.signer(late + DAY + 60)) == ("1", "2")


def test_a_key_that_was_staged_by_hand_before_any_other_signs_at_once() -> None:
    ring = Ring()
    ring.keys = [key("by hand")]
    ring.look(START)
    assert ring.signer(START) == "by hand"


def test_of_two_staged_keys_the_older_comes_first() -> None:
    ring = begun()
    ring.keys += [key("b", created_at=START + 2), key("a", created_at=START + 1)]
    ring.look(START + 90 * DAY)
    assert states(ring.keys) == {"1": "retiring", "a": "active", "b": "staged"}


def test_a_longer_life_of_tokens_keeps_a_retiring_key_for_longer() -> None:
    ring = begun()
    ring.rotate(START, unannounced=True)
    ring.schedule = KeySchedule(longest_token=7200)
    change = ring.look(START + 60)
    assert ring.of("1").publish_until == START + 60 + 7200 + 600
    assert [stored.kid for stored in change.keys] == ["1"]
    assert ring.look(START + 60) == KeyChange()


def test_an_algorithm_that_is_added_is_announced_before_it_signs() -> None:
    ring = begun(KeySchedule(algorithms=["RS256"]))
    ring.schedule = KeySchedule(algorithms=["ES256"])
    ring.look(START + DAY)
    assert states(ring.keys) == {"1": "active", "2": "staged"}
    assert ring.signer(START + DAY) == "1"
    ring.look(START + 2 * DAY)
    assert (ring.signer(START + 2 * DAY), ring.signer(START + 2 * DAY + 60)) == ("1", "2")
    assert states(ring.keys) == {"1": "active", "2": "active"}


def test_an_algorithm_that_is_left_out_retires_when_another_signs() -> None:
    ring = begun(KeySchedule(algorithms=["RS256"]))
    ring.keys.append(key("spare", alg="RS256"))
    ring.schedule = KeySchedule(algorithms=["ES256"])
    for day in (1.0, 2.0, 3.0):
        ring.look(START + day * DAY)
    assert states(ring.keys) == {"1": "retiring", "spare": "gone", "2": "active"}
    assert ring.of("1").sign_until == START + 3 * DAY + 60
    assert ring.look(START + 3 * DAY) == KeyChange()


def test_of_two_algorithms_the_first_signs_and_each_rotates() -> None:
    ring = begun(KeySchedule(algorithms=["ES256", "RS256"]))
    for day in (1, 89, 90, 91, 92, 93):
        ring.look(START + day * DAY)
    now = START + 93 * DAY
    assert {(stored.alg, stored.state.value) for stored in ring.keys} == {
        ("ES256", "active"),
        ("RS256", "gone"),
        ("RS256", "active"),
        ("ES256", "gone"),
    }
    (first, second) = (signer(ring.keys, now, algs) for algs in (("ES256",), ("RS256",)))
    assert first is not None
    assert second is not None
    assert (first.alg, second.alg) == ("ES256", "RS256")


class TestRotateNow:
    """An operator does not want to wait for the schedule."""

    def test_the_new_key_is_announced_first(self) -> None:
        ring = begun()
        ring.rotate(START + 5)
        assert states(ring.keys) == {"1": "retiring", "2": "active"}
        assert (ring.signer(START + DAY + 4), ring.signer(START + DAY + 5)) == ("1", "2")
        assert set(states(published(ring.keys, START + 5))) == {"1", "2"}

    def test_a_key_that_was_announced_already_signs_as_soon_as_all_processes_know(self) -> None:
        ring = begun()
        ring.look(START + 89 * DAY)
        ring.rotate(START + 90 * DAY)
        assert ring.of("2").sign_from == START + 90 * DAY + 60

    def test_a_second_time_changes_nothing_while_the_first_is_under_way(self) -> None:
        ring = begun()
        ring.rotate(START + 5)
        assert ring.rotate(START + 6) == KeyChange()
        assert ring.look(START + 6) == KeyChange()

    def test_unannounced_it_takes_a_minute(self) -> None:
        ring = begun()
        ring.rotate(START + 5, unannounced=True)
        assert (ring.signer(START + 64), ring.signer(START + 65)) == ("1", "2")
        assert ring.rotate(START + 6, unannounced=True) == KeyChange()

    def test_unannounced_cuts_an_announcement_short(self) -> None:
        ring = begun()
        ring.rotate(START + 5)
        ring.rotate(START + 100, unannounced=True)
        assert ring.of("1").sign_until == ring.of("2").sign_from == START + 160
        assert ring.of("1").publish_until == START + 160 + RETAINED
        assert states(ring.keys) == {"1": "retiring", "2": "active"}

    def test_a_key_that_has_retired_stays_as_it_is(self) -> None:
        ring = begun()
        ring.rotate(START, unannounced=True)
        ring.rotate(START + 100)
        before = ring.of("1")
        ring.rotate(START + 200, unannounced=True)
        assert ring.of("1") == before

    def test_another_algorithm_than_the_first(self) -> None:
        ring = begun(KeySchedule(algorithms=["ES256", "RS256"]))
        ring.rotate(START + 5, alg="RS256")
        assert signer(ring.keys, START + 6, ["RS256"]) == ring.of("1"), "it is not announced yet"
        assert ring.signer(START + 6) == "1"
        found = signer(ring.keys, START + DAY + 5, ["RS256"])
        assert found is not None
        assert found.alg == "RS256"


class TestRevoke:
    """A key is in the wrong hands."""

    def test_another_key_signs_at_once(self) -> None:
        ring = begun()
        change = ring.revoke("1", START + 5)
        assert states(ring.keys) == {"1": "revoked", "2": "active"}
        assert ring.signer(START + 5) == "2"
        assert [stored.kid for stored in published(ring.keys, START + 5)] == ["2"]
        assert ring.of("1").sealed == b""
        assert [record.event for record in change.records] == ["key.revoked", "key.staged", "key.activated"]

    def test_what_was_announced_goes_before_what_is_new(self) -> None:
        ring = begun()
        ring.look(START + 89 * DAY)
        ring.revoke("1", START + 89 * DAY)
        assert states(ring.keys) == {"1": "revoked", "2": "active"}

    def test_the_entry_lasts_until_no_verifier_can_have_the_key(self) -> None:
        (entry,) = begun().revoke("1", START).entries
        assert (entry.kind, entry.key, entry.before) == ("k", b"1.......", 0.0)
        assert entry.until == START + 60 + 900 + 300 + 7 * DAY

    def test_a_second_time_changes_nothing(self) -> None:
        ring = begun()
        ring.revoke("1", START + 5)
        assert ring.revoke("1", START + 6) == KeyChange()

    def test_a_key_that_is_gone_is_no_danger(self) -> None:
        ring = begun()
        ring.keys.append(key("old", KeyState.GONE))
        assert ring.revoke("old", START) == KeyChange()

    def test_a_key_that_does_not_sign_yet_needs_no_other(self) -> None:
        ring = begun()
        ring.look(START + 89 * DAY)
        change = ring.revoke("2", START + 89 * DAY)
        assert states(ring.keys) == {"1": "active", "2": "revoked"}
        assert len(change.entries) == 1

    def test_the_old_key_of_a_handover_gives_way_at_once(self) -> None:
        ring = begun()
        ring.rotate(START + 5)
        ring.revoke("1", START + 10)
        assert (ring.signer(START + 10), ring.of("2").sign_from) == ("2", START + 10)

    def test_the_new_key_of_a_handover_gives_way_to_the_old_one(self) -> None:
        ring = begun()
        ring.rotate(START + 5)
        ring.revoke("2", START + 10)
        assert states(ring.keys) == {"1": "active", "2": "revoked"}
        assert ring.signer(START + 2 * DAY) == "1"
        assert (ring.of("1").sign_until, ring.of("1").publish_until) == (None, None)

    def test_a_key_that_retired_long_ago_changes_nothing_for_the_others(self) -> None:
        ring = begun()
        ring.rotate(START, unannounced=True)
        change = ring.revoke("1", START + 100)
        assert [stored.kid for stored in change.keys] == ["1"]

    def test_an_algorithm_that_is_left_out_gets_no_new_key(self) -> None:
        ring = begun(KeySchedule(algorithms=["ES256", "RS256"]))
        ring.look(START + DAY)
        ring.schedule = SCHEDULE
        (kid,) = [stored.kid for stored in ring.keys if stored.alg == "RS256"]
        ring.revoke(kid, START + 2 * DAY)
        assert states(ring.keys) == {"1": "active", kid: "revoked"}

    def test_but_it_does_where_nothing_else_signs(self) -> None:
        ring = begun(KeySchedule(algorithms=["RS256"]))
        ring.schedule = SCHEDULE
        ring.revoke("1", START + 5)
        assert ring.of(ring.signer(START + 5)).alg == "RS256"

    def test_an_unknown_key_is_an_error(self) -> None:
        with pytest.raises(LookupError, match="there is no signing key 9"):
            begun().revoke("9", START)


class TestClockGoesBack:
    """A database that was restored, or a clock that was wrong."""

    def test_the_first_key_signs_before_its_time(self) -> None:
        assert begun().signer(START - 1000 * DAY) == "1"

    def test_in_a_handover_the_old_key_signs_again(self) -> None:
        ring = begun()
        ring.look(START + 89 * DAY)
        ring.look(START + 90 * DAY)
        assert ring.signer(START + 90 * DAY + 61) == "2"
        assert ring.signer(START + 90 * DAY - 3600) == "1"

    def test_a_staged_key_is_announced_from_now_on(self) -> None:
        ring = begun()
        ring.look(START + 365 * DAY)
        ring.look(START + 90 * DAY)
        assert ring.of("2").created_at == START + 90 * DAY
        assert ring.look(START + 91 * DAY - 61) == KeyChange()
        ring.look(START + 91 * DAY - 60)
        assert ring.of("2").state is KeyState.ACTIVE

    def test_a_handover_that_would_be_in_a_year_is_soon(self) -> None:
        ring = begun()
        ring.look(START + 365 * DAY)
        ring.look(START + 366 * DAY)
        ring.look(START + DAY)
        soon = START + 2 * DAY + 60
        assert ring.of("2").sign_from == ring.of("1").sign_until == soon
        assert ring.of("1").publish_until == soon + RETAINED
        assert ring.look(START + DAY) == KeyChange()

    def test_of_two_handovers_the_later_one_alone_is_left(self) -> None:
        ring = begun()
        ring.rotate(START, unannounced=True)
        ring.rotate(START + 60, unannounced=True)
        published_until = ring.of("1").publish_until
        ring.look(START - 2 * DAY)
        soon = START - DAY + 60
        assert [ring.of(kid).sign_until for kid in ("1", "2", "3")] == [soon, soon, None]
        assert ring.of("3").sign_from == soon
        assert ring.of("1").publish_until == published_until

    def test_so_it_is_when_an_operator_asks(self) -> None:
        ring = begun()
        ring.keys.append(key("later", created_at=START + 365 * DAY))
        ring.rotate(START)
        assert ring.of("later").sign_from == START + DAY


ACTIVE = key("a", KeyState.ACTIVE, sign_from=START)


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ([], "none signs"),
        ([key("a")], "none signs"),
        ([ACTIVE, ACTIVE], "a is there twice"),
        ([ACTIVE, key("b", KeyState.ACTIVE, sign_from=START)], "a is one of 2 that sign with ES256"),
        ([key("a", KeyState.ACTIVE)], "a is active, and says not from when it signs, or until when"),
        ([key("a", KeyState.ACTIVE, sign_from=START, sign_until=START)], "a is active, and says not from when"),
        ([ACTIVE, key("b", KeyState.RETIRING, sign_until=START)], "b is retiring, and says not until when it signs"),
        ([ACTIVE, key("b", KeyState.RETIRING, publish_until=START)], "b is retiring, and says not until when it signs"),
        (
            [ACTIVE, key("b", KeyState.RETIRING, sign_until=START, publish_until=START + 1199)],
            "b is retiring, and published until 1700001199; expected 1700001200",
        ),
    ],
)
def test_keys_that_cannot_be_are_named(keys: list[StoredKey], named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_keys(keys, START, SCHEDULE)
    assert named in str(caught.value)


def test_keys_as_they_should_be_pass() -> None:
    retiring = key("b", KeyState.RETIRING, sign_until=START, publish_until=START + 1200)
    others = [key("c"), key("d", KeyState.GONE), key("e", KeyState.REVOKED), key("f", KeyState.REVOKED)]
    check_keys([ACTIVE, retiring, *others], START, SCHEDULE)


def test_without_keys_none_signs() -> None:
    assert signer([], START, ES256) is None
