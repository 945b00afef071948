"""What is told of an issuer's keys, when, and how often; and what the status says in each state."""

from __future__ import annotations

import asyncio
import json
from dataclasses import fields
from typing import Any

import pytest
from joserfc.jwk import ECKey

from jwt_asgi import KeyCaching, KeysUnavailable, Reason
from jwt_asgi._core.freshness import State
from jwt_asgi._keys.events import KeyEvent, KeyEventKind, KeyStatus
from jwt_asgi._keys.ledger import COUNTERS
from jwt_asgi.types import FetchResponse
from tests.keys.script import ALG, ISSUER, JWKS_URI, Reply, Rig, jwk, key_set, make_rig, metadata, status

AGEING, STALE, EXPIRED = 480.0, 600.0, 87_000.0
DOWN = status(500)
WHY = "keys_unavailable: the key set's URL answered 500"

Kind = KeyEventKind


class Told:
    """What was told, and what the status said just then."""

    def __init__(self, reply: Reply | None = None, *first: Reply, **options: Any) -> None:
        self.events: list[KeyEvent] = []
        self.statuses: list[KeyStatus] = []
        self.rig = make_rig(reply, *first, notify=self.note, **options)

    def note(self, event: KeyEvent) -> None:
        self.events.append(event)
        self.statuses.append(self.rig.keys.status())

    def news(self) -> list[KeyEventKind]:
        """The kinds since the last time."""
        kinds = [event.kind for event in self.events]
        self.events.clear()
        return kinds

    async def ask(self, kid: str | None = "a", *, after: float = 0.0, reply: Reply | None = None) -> Reason | None:
        """What a token gets, once a fetch beside it has ended too."""
        self.rig.clock.now += after
        self.rig.fetch.reply = reply or self.rig.fetch.reply
        outcome = await self.rig.outcome(kid)
        await self.rig.settle(self.rig.calls)
        return outcome


async def started(**options: Any) -> Told:
    """The keys after one good fetch, and what that told forgotten."""
    told = Told(**options)
    assert await told.ask() is None
    assert told.news() == [Kind.FETCHED, Kind.KEYS_CHANGED]
    told.statuses.clear()
    return told


# Values


def test_a_kind_is_told_by_its_own_name() -> None:
    assert [kind.value for kind in Kind] == [kind.name.lower() for kind in Kind]


def test_an_event_and_a_status_say_nothing_that_is_not_known() -> None:
    event = KeyEvent(kind=Kind.FETCHED, issuer=ISSUER)
    assert (event.detail, event.added, event.removed, event.retry_in) == ("", (), (), 0.0)
    now = KeyStatus(issuer=ISSUER, state=State.FRESH, counters={})
    assert (now.required, now.jwks_uri, now.kids, now.skipped) == (True, None, (), ())
    assert (now.age, now.refresh_in, now.expires_in) == (None, None, None)
    assert (now.failures, now.error, now.retry_in) == (0, "", 0.0)


def test_an_event_and_a_status_cannot_be_changed_and_are_made_by_name() -> None:
    event: Any = KeyEvent(kind=Kind.FETCHED, issuer=ISSUER)
    now: Any = KeyStatus(issuer=ISSUER, state=State.FRESH, counters={})
    for told in (event, now):
        with pytest.raises(AttributeError):
            told.issuer = "https://other.test"
    make_event: Any = KeyEvent
    with pytest.raises(TypeError):
        make_event(Kind.FETCHED, ISSUER)
    make_status: Any = KeyStatus
    with pytest.raises(TypeError):
        make_status(ISSUER, State.FRESH, {})


# What a fetch tells


async def test_the_first_set_is_told_with_all_its_keys_and_is_there_by_then() -> None:
    told = Told(key_set("a", "b"))
    await told.ask()
    assert told.events == [
        KeyEvent(kind=Kind.FETCHED, issuer=ISSUER),
        KeyEvent(kind=Kind.KEYS_CHANGED, issuer=ISSUER, added=("a", "b")),
    ]
    assert [(now.state, now.kids) for now in told.statuses] == [(State.FRESH, ("a", "b"))] * 2


@pytest.mark.parametrize("reply", [None, status(304)], ids=["the same bytes", "304"])
async def test_a_set_that_is_confirmed_is_told_as_not_modified_and_is_fresh_by_then(reply: Reply | None) -> None:
    told = Told(key_set("a", etag='"1"'))
    await told.ask()
    told.events.clear()
    told.statuses.clear()
    await told.ask(after=STALE, reply=reply)
    assert told.events == [KeyEvent(kind=Kind.NOT_MODIFIED, issuer=ISSUER)]
    assert [now.state for now in told.statuses] == [State.FRESH]


async def test_a_rotation_is_told_with_what_came_and_what_went_and_has_happened_by_then() -> None:
    told = await started(reply=key_set("a", "b"))
    await told.ask("b", after=STALE, reply=key_set("b", "c"))
    assert told.events == [
        KeyEvent(kind=Kind.FETCHED, issuer=ISSUER),
        KeyEvent(kind=Kind.KEYS_CHANGED, issuer=ISSUER, added=("c",), removed=("a",)),
    ]
    assert [now.kids for now in told.statuses] == [("b", "c")] * 2


async def test_the_same_keys_in_other_bytes_are_no_change() -> None:
    told = await started(reply=key_set("a", "b"))
    await told.ask(after=STALE, reply=key_set("b", "a"))
    assert told.news() == [Kind.FETCHED]


async def test_a_key_that_took_over_a_name_is_told_as_one_that_came_and_one_that_went() -> None:
    told = await started()
    other = {**ECKey.generate_key("P-256").as_dict(private=False), "kid": "a", "use": "sig", "alg": ALG}
    await told.ask(after=STALE, reply=set_of(other))
    assert (told.events[1].kind, told.events[1].added, told.events[1].removed) == (Kind.KEYS_CHANGED, ("a",), ("a",))


def set_of(*keys: Any) -> FetchResponse:
    return FetchResponse(200, {}, json.dumps({"keys": keys}).encode())


async def test_a_key_without_a_kid_is_told_by_its_thumbprint() -> None:
    key = ECKey.generate_key("P-256")
    told = Told(set_of(key.as_dict(private=False)))
    await told.ask(None)
    assert told.events[1].added == (key.thumbprint(),)
    assert told.statuses[1].kids == (key.thumbprint(),)


async def test_keys_that_cannot_be_used_are_told_with_each_new_set_and_not_while_it_stays() -> None:
    told = Told(set_of(jwk("a"), {"kty": "oct", "k": "AAAA", "kid": "secret\r\nERROR"}))
    await told.ask()
    skipped = told.events[2]
    assert (skipped.kind, len(told.events)) == (Kind.KEY_SKIPPED, 3)
    assert skipped.detail.startswith(r"'secret\r\nERROR': its kty is none of")
    assert told.statuses[2].skipped == (skipped.detail,)
    told.events.clear()
    await told.ask(after=STALE)
    assert told.news() == [Kind.NOT_MODIFIED]
    await told.ask(after=STALE, reply=set_of({"kty": "oct"}, jwk("a")))
    assert told.news() == [Kind.FETCHED, Kind.KEY_SKIPPED]


async def test_a_published_private_key_is_told_by_its_kid_alone_and_serves_as_a_public_one() -> None:
    key = ECKey.generate_key("P-256").as_dict(private=True)
    told = Told(set_of({**key, "kid": "leaked\nkey"}))
    assert await told.ask("leaked\nkey") is None
    assert told.events[-1] == KeyEvent(
        kind=Kind.PRIVATE_KEY_PUBLISHED, issuer=ISSUER, detail=r"its kid is 'leaked\nkey'"
    )
    everything = f"{told.events!r} {told.statuses!r} {json.dumps(told.statuses[-1].as_dict())}"
    assert all(str(key[member]) not in everything for member in ("d", "x", "y"))


async def test_a_failure_is_told_with_its_cause_and_when_the_next_attempt_may_be_made() -> None:
    told = Told(DOWN)
    await told.ask()
    assert told.events == [KeyEvent(kind=Kind.FAILED, issuer=ISSUER, detail=WHY, retry_in=0.75)]
    (now,) = told.statuses
    assert (now.state, now.failures, now.error, now.retry_in) == (State.EMPTY, 1, WHY, 0.75)
    told.events.clear()
    await told.ask(after=0.75, reply=status(429, retry_after="120"))
    assert told.events[0].retry_in == 120.0


async def test_each_failed_attempt_is_told_once_however_many_wait_or_come_while_it_is_backed_off_from() -> None:
    told = Told(DOWN)
    await asyncio.gather(*(told.ask() for _ in range(50)))
    for _ in range(50):
        await told.ask()
    assert told.news() == [Kind.FAILED]
    await told.ask(after=0.75)
    assert told.news() == [Kind.FAILED]


async def test_the_first_success_after_failures_is_told_as_a_recovery_and_the_next_is_none() -> None:
    told = await started()
    await told.ask(after=AGEING, reply=DOWN)
    await told.ask(after=1)
    told.events.clear()
    told.statuses.clear()
    await told.ask(after=30, reply=key_set("a"))
    assert told.news() == [Kind.NOT_MODIFIED, Kind.RECOVERED]
    assert [(now.failures, now.error, now.retry_in) for now in told.statuses] == [(0, "", 0.0)] * 2
    await told.ask(after=STALE)
    assert told.news() == [Kind.NOT_MODIFIED]


async def test_what_a_fetch_that_was_taken_over_brings_is_not_told() -> None:
    told = Told(key_set("late"), caching=KeyCaching(timeout=0.05))
    rig, let_go = told.rig, asyncio.Event()

    async def stubborn() -> FetchResponse:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        return key_set("late")

    rig.fetch.first = [stubborn]
    assert await told.ask() is Reason.KEYS_UNAVAILABLE
    rig.clock.now += 1.1
    rig.fetch.reply = key_set("a")
    assert await told.ask() is None
    told.events.clear()
    let_go.set()
    await asyncio.sleep(0.01)
    assert told.news() == []


# What requests tell, once


async def test_serving_a_stale_set_is_told_once_until_it_is_confirmed() -> None:
    told = await started()
    await told.ask(after=STALE, reply=DOWN)
    assert told.news() == [Kind.FAILED, Kind.SERVING_STALE]
    assert told.statuses[-1].state is State.STALE
    assert told.statuses[-1].counters["served_stale"] == 1
    for _ in range(100):
        await told.ask()
    await told.ask(after=30)
    assert told.news() == [Kind.FAILED]
    await told.ask(after=30, reply=key_set("a"))
    assert told.news() == [Kind.NOT_MODIFIED, Kind.RECOVERED]
    await told.ask(after=STALE, reply=DOWN)
    assert told.news() == [Kind.FAILED, Kind.SERVING_STALE]


async def test_a_refusal_for_an_expired_set_is_told_once_until_there_is_another() -> None:
    told = await started()
    assert await told.ask(after=EXPIRED, reply=DOWN) is Reason.KEYS_EXPIRED
    assert told.news() == [Kind.FAILED, Kind.EXPIRED]
    assert told.statuses[-1].state is State.EXPIRED
    assert told.statuses[-1].counters["unavailable"] == 1
    for _ in range(100):
        await told.ask()
    assert told.news() == []
    await told.ask(after=30, reply=key_set("a"))
    assert told.news() == [Kind.NOT_MODIFIED, Kind.RECOVERED]


async def test_without_any_set_there_is_none_that_expired() -> None:
    told = Told(DOWN)
    await told.ask()
    await told.ask()
    assert told.news() == [Kind.FAILED]


async def test_ten_thousand_throttled_tokens_are_told_once_until_a_fetch_succeeds() -> None:
    told = await started()
    for number in range(2):
        assert await told.ask(f"kid-{number}") is Reason.KEY_UNKNOWN
    assert told.news() == [Kind.NOT_MODIFIED, Kind.UNKNOWN_KID] * 2
    for number in range(10_000):
        assert await told.rig.outcome(f"stranger-{number}") is Reason.KEY_UNKNOWN
    assert told.events == [KeyEvent(kind=Kind.THROTTLED, issuer=ISSUER)]
    assert told.rig.keys.status().counters["throttled"] == 10_000
    told.events.clear()
    assert await told.ask("one more", after=30.0) is Reason.KEY_UNKNOWN
    assert told.news() == [Kind.NOT_MODIFIED, Kind.UNKNOWN_KID]
    await told.ask("too many")
    assert told.news() == [Kind.THROTTLED]


async def test_a_crowd_of_unknown_kids_that_one_fetch_does_not_bring_is_told_once() -> None:
    told = await started()
    outcomes = await asyncio.gather(*(told.rig.outcome(f"kid-{number}") for number in range(500)))
    assert set(outcomes) == {Reason.KEY_UNKNOWN}
    assert told.news() == [Kind.NOT_MODIFIED, Kind.UNKNOWN_KID]


async def test_a_kid_that_is_not_looked_for_is_not_told() -> None:
    told = await started()
    await told.ask("b")
    told.events.clear()
    for _ in range(20):
        assert await told.ask("b") is Reason.KEY_UNKNOWN
    assert told.news() == []


async def test_no_event_and_no_status_names_a_kid_of_a_token() -> None:
    told = await started()
    for kid in [f"stranger-{number}" for number in range(20)]:
        await told.ask(kid)
    await told.ask("stranger", after=STALE, reply=DOWN)
    await told.ask("stranger", after=EXPIRED)
    told.note(told.events[0])
    assert {event.kind for event in told.events} >= {Kind.UNKNOWN_KID, Kind.THROTTLED, Kind.FAILED, Kind.EXPIRED}
    assert "stranger" not in f"{told.events!r} {told.statuses!r}"


# The status

ALL = {field.name for field in fields(KeyStatus)}


async def test_before_the_first_fetch_the_status_says_so() -> None:
    rig = make_rig()
    assert rig.keys.status() == KeyStatus(
        issuer=ISSUER, state=State.EMPTY, jwks_uri=JWKS_URI, counters=dict.fromkeys(COUNTERS, 0)
    )
    assert not rig.keys.status().ready
    assert rig.calls == 0


@pytest.mark.parametrize(
    ("age", "state", "ready", "refresh_in", "expires_in"),
    [
        (0.0, State.FRESH, True, 480.0, 87_000.0),
        (479.0, State.FRESH, True, 1.0, 86_521.0),
        (AGEING, State.AGEING, True, 0.0, 86_520.0),
        (599.0, State.AGEING, True, 0.0, 86_401.0),
        (STALE, State.STALE, True, 0.0, 86_400.0),
        (86_999.0, State.STALE, True, 0.0, 1.0),
        (EXPIRED, State.EXPIRED, False, 0.0, 0.0),
        (1e6, State.EXPIRED, False, 0.0, 0.0),
    ],
)
async def test_the_status_follows_the_age_of_the_set_and_changes_nothing(
    age: float, state: State, *, ready: bool, refresh_in: float, expires_in: float
) -> None:
    told = await started()
    told.rig.clock.now += age
    for _ in range(3):
        now = told.rig.keys.status()
    assert now == KeyStatus(
        issuer=ISSUER,
        state=state,
        jwks_uri=JWKS_URI,
        kids=("a",),
        age=age,
        refresh_in=refresh_in,
        expires_in=expires_in,
        counters=dict.fromkeys(COUNTERS, 0) | {"fetches": 1},
    )
    assert now.ready is ready
    await told.rig.settle(1)
    assert (told.rig.calls, told.news()) == (1, [])


async def test_the_key_sets_address_is_known_once_the_metadata_was_read() -> None:
    rig = make_rig(jwks_uri=None, by_url={f"{ISSUER}/.well-known/oauth-authorization-server": metadata()})
    assert rig.keys.status().jwks_uri is None
    assert await rig.outcome("a") is None
    assert rig.keys.status().jwks_uri == JWKS_URI


async def test_failures_and_the_last_cause_are_told_until_a_success() -> None:
    told = await started()
    rig = told.rig
    await told.ask(after=AGEING, reply=DOWN)
    await told.ask(after=1, reply=FetchResponse(200, {}, b"[]"))
    now = rig.keys.status()
    assert (now.failures, now.error) == (2, "keys_unusable: expected a JWK Set: a JSON object in strict UTF-8")
    assert now.retry_in == 1.5
    rig.clock.now += 1
    assert rig.keys.status().retry_in == 0.5
    await told.ask(after=29, reply=key_set("a"))
    now = rig.keys.status()
    assert (now.failures, now.error, now.retry_in, now.age) == (0, "", 0.0, 0.0)


async def test_the_counters_are_true_of_all_that_happened() -> None:
    told = await started()
    await told.ask("unknown-1")
    await told.ask("unknown-1")
    await told.ask("unknown-2")
    for number in range(3):
        await told.ask(f"throttled-{number}")
    expected = {"fetches": 3, "not_modified": 2, "failures": 0, "unknown_kid": 6, "throttled": 3}
    assert told.rig.keys.status().counters == expected | {"served_stale": 0, "unavailable": 0}

    await told.ask(after=STALE, reply=DOWN)
    await told.ask()
    await told.ask("unknown-3")
    expected |= {"fetches": 4, "failures": 1, "served_stale": 2, "unavailable": 1}
    assert told.rig.keys.status().counters == expected

    await told.ask(after=EXPIRED)
    await told.ask()
    expected |= {"fetches": 5, "failures": 2, "unavailable": 3}
    assert told.rig.keys.status().counters == expected

    await told.ask(after=30, reply=key_set("b", "a"))
    assert told.rig.keys.status().counters == expected | {"fetches": 6}
    assert told.rig.calls == 6


async def test_the_status_as_a_dictionary_has_every_field_and_is_json() -> None:
    told = Told(set_of(jwk("a"), {"kty": "oct"}))
    await told.ask()
    await told.ask(after=AGEING, reply=DOWN)
    members = told.rig.keys.status().as_dict()
    assert set(members) == ALL | {"ready"}
    assert json.loads(json.dumps(members, allow_nan=False)) == {
        **members,
        "state": "ageing",
        "ready": True,
        "kids": ["a"],
        "skipped": list(members["skipped"]),
        "failures": 1,
        "error": WHY,
        "counters": dict.fromkeys(COUNTERS, 0) | {"fetches": 2, "failures": 1},
    }


async def test_a_status_that_was_asked_for_stays_as_it_was() -> None:
    told = await started()
    before = told.rig.keys.status()
    await told.ask("b")
    assert before.counters["fetches"] == 1
    assert told.rig.keys.status().counters["fetches"] == 2


# Reload


async def test_a_reload_asks_past_caches_whatever_the_age_and_however_often() -> None:
    told = await started()
    rig = told.rig
    for number in range(2, 12):
        await rig.keys.reload()
        assert rig.calls == number
    assert {call.headers.get("cache-control") for call in rig.fetch.calls[1:]} == {"no-cache"}
    assert await told.ask("b", reply=key_set("a", "b")) is None, "it takes nothing from the limit for unknown kids"


async def test_a_reload_takes_a_withdrawn_key_away_at_once() -> None:
    told = await started()
    told.rig.fetch.reply = key_set("b")
    await told.rig.keys.reload()
    assert told.rig.keys.status().kids == ("b",)
    assert await told.ask("a") is Reason.KEY_UNKNOWN


async def test_a_reload_asks_while_it_is_backed_off_and_a_failure_raises_and_keeps_the_set() -> None:
    told = await started()
    rig = told.rig
    rig.fetch.reply = DOWN
    for failures in (1, 2, 3):
        with pytest.raises(KeysUnavailable) as caught:
            await rig.keys.reload()
        assert (caught.value.reason, caught.value.issuer) == (Reason.KEYS_UNAVAILABLE, ISSUER)
        assert "answered 500" in caught.value.detail
        assert rig.keys.status().failures == failures
    assert (rig.keys.status().state, rig.keys.status().kids) == (State.FRESH, ("a",))
    rig.fetch.reply = key_set("a", "b")
    await rig.keys.reload()
    assert rig.keys.status().kids == ("a", "b")


async def test_reloads_at_once_share_a_fetch_and_one_that_comes_later_has_its_own() -> None:
    told = await started()
    rig = told.rig
    gate = rig.fetch.gate = asyncio.Event()
    first = [asyncio.create_task(rig.keys.reload()) for _ in range(10)]
    await rig.settle(2)
    rig.clock.now += 0.1
    rig.fetch.reply = key_set("a", "b")
    second = [asyncio.create_task(rig.keys.reload()) for _ in range(10)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*first)
    await asyncio.gather(*second)
    assert rig.calls == 3, "what began before a reload was asked for may bring a set from before"
    assert rig.keys.status().kids == ("a", "b")


async def test_a_reload_that_joins_a_fetch_that_is_given_up_makes_its_own() -> None:
    told = await started()
    rig = told.rig
    rig.fetch.gate = asyncio.Event()
    reload = asyncio.create_task(rig.keys.reload())
    await rig.settle(2)
    rig.fetch.gate = None
    await rig.keys.aclose()
    await reload
    assert rig.calls == 3


# Callbacks


async def test_a_callback_may_ask_for_a_reload_and_the_status() -> None:
    tasks: list[asyncio.Task[None]] = []

    def reload_once(event: KeyEvent) -> None:
        told.append(event.kind)
        assert rig.keys.status().issuer == ISSUER
        if not tasks:
            tasks.append(asyncio.create_task(rig.keys.reload()))

    told: list[KeyEventKind] = []
    rig = make_rig(notify=reload_once)
    assert await rig.outcome("a") is None
    await asyncio.wait_for(tasks[0], 5)
    assert told == [Kind.FETCHED, Kind.KEYS_CHANGED, Kind.NOT_MODIFIED]
    assert rig.calls == 2


async def test_who_waits_for_keys_does_not_wait_for_the_callbacks_of_their_fetch() -> None:
    order: list[str] = []
    rig: Rig = make_rig(notify=lambda event: order.append(f"{event.kind.value} {rig.keys.status().state.value}"))
    assert rig.keys.lookup("a", ALG) is None
    await rig.outcome("a")
    order.append("served")
    assert order == ["fetched fresh", "keys_changed fresh", "served"]


# Probes


async def test_asking_for_a_refresh_begins_one_where_it_is_due_and_waits_for_none() -> None:
    rig = make_rig()
    gate = rig.fetch.gate = asyncio.Event()
    for _ in range(100):
        rig.keys.refresh_if_due()
    await rig.settle(1)
    gate.set()
    await rig.settle(1)
    assert rig.calls == 1
    for age, calls in ((0.0, 1), (479.0, 1), (1.0, 2), (STALE, 3), (EXPIRED, 4)):
        rig.clock.now += age
        rig.keys.refresh_if_due()
        await rig.settle(calls)
        assert rig.calls == calls


async def test_asking_for_a_refresh_over_and_over_does_not_hammer_an_issuer_that_is_down() -> None:
    rig = make_rig(DOWN)
    for _ in range(600):
        rig.keys.refresh_if_due()
        await rig.settle(rig.calls)
        rig.clock.now += 1
    assert 20 <= rig.calls <= 50


@pytest.mark.parametrize("ask", ["refresh_if_due", "lookup"])
async def test_a_refresh_that_was_given_up_is_not_begun_anew_by_each_who_comes(ask: str) -> None:
    told = await started()
    rig = told.rig
    rig.clock.now += AGEING

    def come() -> None:
        rig.keys.refresh_if_due() if ask == "refresh_if_due" else rig.keys.lookup("a", ALG)

    rig.fetch.gate = asyncio.Event()
    for _ in range(20):
        come()
        await rig.settle(2)
        await rig.keys.aclose()
    assert rig.calls == 2
    rig.fetch.gate = None
    rig.clock.now += 5
    come()
    await rig.settle(3)
    assert rig.keys.status().state is State.FRESH
    assert rig.keys.status().counters["failures"] == 0


# Waiting at a start


async def test_ready_is_at_once_with_a_set_that_can_be_used_though_it_is_stale() -> None:
    told = await started()
    told.rig.clock.now += STALE
    assert await told.rig.keys.ready(seconds=0, retry=True) is None
    assert told.rig.calls == 1


async def test_one_attempt_or_as_many_as_fit() -> None:
    once = make_rig(DOWN)
    error = await once.keys.ready(seconds=5, retry=False)
    assert (error is not None and error.detail, once.calls) == ("the key set's URL answered 500", 1)
    assert await once.keys.ready(seconds=5, retry=False) is not None
    assert once.calls == 1, "it is backed off from"

    rig = make_rig(key_set("a"), DOWN)
    resolved = asyncio.create_task(rig.keys.ready(seconds=5, retry=True))
    await rig.settle(1)
    rig.clock.now += 1
    assert await resolved is None
    assert rig.calls == 2


async def test_one_attempt_that_is_given_up_is_not_made_again() -> None:
    rig = make_rig()
    rig.fetch.gate = asyncio.Event()
    waiting = asyncio.create_task(rig.keys.ready(seconds=5, retry=False))
    await rig.settle(1)
    await rig.keys.aclose()
    error = await asyncio.wait_for(waiting, 2)
    assert (error is not None and error.detail, rig.calls) == ("the issuer has not answered yet", 1)


async def test_a_start_waits_no_longer_than_it_says_though_the_clock_of_the_keys_stands_still() -> None:
    rig = make_rig(DOWN)
    error = await rig.keys.ready(seconds=0.05, retry=True)
    assert error is not None
    assert rig.calls == 1


async def test_a_start_leaves_a_fetch_that_takes_longer_to_itself_and_does_nothing_while_it_waits() -> None:
    rig = make_rig(caching=KeyCaching(timeout=30))
    gate = rig.fetch.gate = asyncio.Event()
    async with asyncio.timeout(3):
        assert await rig.keys.ready(seconds=0.05, retry=True) is not None
    gate.set()
    await rig.settle(1)
    assert rig.keys.status().ready


async def test_a_start_asks_each_second_but_heeds_an_issuer_that_asks_for_patience() -> None:
    rig = make_rig(DOWN)
    waiting = asyncio.create_task(rig.keys.ready(seconds=60, retry=True))
    for calls in range(1, 7):
        await rig.settle(calls)
        assert rig.calls == calls
        rig.clock.now += 1
        waiting.cancel()
        await asyncio.wait([waiting])
        waiting = asyncio.create_task(rig.keys.ready(seconds=60, retry=True))
    waiting.cancel()
    await asyncio.wait([waiting])
    patient = make_rig(status(503, retry_after="120"))
    error = await patient.keys.ready(seconds=5, retry=True)
    assert (error is not None and error.retry_after, patient.calls) == (120.0, 1)
