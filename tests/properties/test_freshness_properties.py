"""Whatever headers an issuer sends, a key set is kept for a bounded time, by the letter of RFC 9111 and RFC 9110."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

from hypothesis import example, given
from hypothesis import strategies as st

from jwt_asgi._core.freshness import Bucket, Times, backoff, lifetime, retry_after
from jwt_asgi._core.jwks import KeySet
from jwt_asgi._keys.snapshot import Snapshot
from tests.properties.strategies import examples

NOW = 1_750_000_000.0
DIRECTIVES = st.sampled_from(
    ["public", "private", "must-revalidate", "s-maxage=5", "stale-if-error=60", "immutable", "x-max-age=3"]
)
AGES = st.integers(0, 100_000)
SPACES = st.sampled_from(["", " ", "  ", "\t"])


def header(directives: list[str], spaces: list[str]) -> str:
    return ",".join(f"{before}{directive}{before}" for directive, before in zip(directives, spaces * 9, strict=False))


def kept(headers: dict[str, str]) -> float:
    return lifetime(headers, default=-1.0, least=0.0, most=math.inf)


@examples(40)
@given(st.lists(DIRECTIVES, max_size=3), AGES, st.lists(SPACES, min_size=1, max_size=3), st.data())
def test_max_age_counts_wherever_it_stands_less_the_time_in_caches(
    others: list[str], age: int, spaces: list[str], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(others)))
    word = data.draw(st.sampled_from(["max-age={}", "Max-Age={}", 'max-age="{}"', "max-age=000{}"])).format(age)
    control = header([*others[:at], word, *others[at:]], spaces)
    assert kept({"cache-control": control}) == age
    waited = data.draw(AGES)
    assert kept({"cache-control": control, "age": f" {waited}"}) == max(age - waited, 0)
    assert kept({"cache-control": control, "age": "soon"}) == age
    least, most = sorted(data.draw(st.tuples(st.floats(0, 1e5), st.floats(0, 1e5))))
    bounded = lifetime({"cache-control": control}, default=1.0, least=least, most=most)
    assert bounded == min(max(age, least), most)


@examples(40)
@given(st.lists(DIRECTIVES, max_size=3), st.lists(SPACES, min_size=1, max_size=3), st.data())
def test_what_is_not_to_be_kept_is_kept_for_the_least_time_and_silence_means_the_default(
    others: list[str], spaces: list[str], data: st.DataObject
) -> None:
    assert kept({"cache-control": header(others, spaces)}) == -1.0
    at = data.draw(st.integers(0, len(others)))
    word = data.draw(st.sampled_from(["no-store", "no-cache", "No-Cache", 'no-cache="set-cookie"']))
    control = header(["max-age=7", *others[:at], word, *others[at:]], spaces)
    assert kept({"cache-control": control}) == 0.0


@examples(100)
@given(
    st.text(max_size=30) | st.text('max-ge=no,str0123456789" ', max_size=30), st.text("0123456789 .-²x", max_size=25)
)
def test_any_headers_give_a_time_within_bounds(control: str, age: str) -> None:
    seconds = lifetime({"cache-control": control, "age": age}, default=600.0, least=300.0, most=3600.0)
    assert 300.0 <= seconds <= 3600.0


@examples(50)
@given(st.integers(-5_000_000, 5_000_000), st.integers(-14, 14))
def test_a_date_is_waited_for_in_each_of_its_forms(ahead: int, hours: int) -> None:
    moment = datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=ahead)
    elsewhere = moment.astimezone(timezone(timedelta(hours=hours)))
    forms = [
        format_datetime(moment, usegmt=True),
        format_datetime(elsewhere),
        f"{moment:%A, %d-%b-%y %H:%M:%S} GMT",
        f"{moment:%a %b} {moment.day:2d} {moment:%H:%M:%S %Y}",
    ]
    for text in forms:
        assert retry_after(text, NOW) == max(ahead, 0), text


@examples(40)
@given(st.integers(0, 10**17), st.sampled_from(["", "0", "000"]))
def test_seconds_are_waited_for(seconds: int, zeros: str) -> None:
    assert retry_after(f"{zeros}{seconds}", NOW) == float(seconds)


@examples(100)
@given(
    st.text(max_size=20)
    | st.text("0123456789:-+,.² SunNovGMT", max_size=32)
    | st.lists(
        st.sampled_from(
            ["Sun,", "06", "Nov", "1994", "08:49:37", "GMT", "-0000", "+9999", "0", "99999", ",", "::", "08.49"]
        ),
        max_size=7,
    ).map(" ".join)
)
@example("9" * 5000)
@example("Fri, 31 Dec 9999 23:59:59 -2359")
@example("Sat, 01 Jan 0001 00:00:00 +2359")
def test_any_text_asks_for_a_time_that_is_no_less_than_none(text: str) -> None:
    seconds = retry_after(text, NOW)
    assert 0.0 <= seconds < math.inf
    assert seconds == 0.0 or any(character.isdigit() for character in text)


# --- validators -----------------------------------------------------------------------------------------------------


@examples(50)
@given(st.none() | st.text(max_size=8), st.none() | st.text(max_size=8), st.sampled_from(["https://a/", "https://b/"]))
def test_a_condition_is_what_this_url_sent_and_what_can_be_sent_back(
    etag: str | None, modified: str | None, uri: str
) -> None:
    snapshot = Snapshot(KeySet([]), Times(0, 0, 0, 0), b"", "https://a/", etag, modified)
    sent = snapshot.validators(uri)
    assert set(sent) <= {"if-none-match", "if-modified-since"}
    assert set(sent.values()) <= {etag, modified}
    assert all(value and value.isascii() for value in sent.values())
    assert not sent or uri == "https://a/"
    if etag and etag.isascii() and uri == "https://a/":
        assert sent == {"if-none-match": etag}


# --- limits ---------------------------------------------------------------------------------------------------------


@examples(40)
@given(st.lists(st.floats(0, 100), max_size=30))
def test_no_more_fetches_are_made_for_unknown_kids_than_the_bucket_holds(pauses: list[float]) -> None:
    bucket, now, made = Bucket(filled_at=0.0), 0.0, 0
    for pause in pauses:
        now += pause
        if bucket.has_room(now):
            bucket, made = bucket.taken(now), made + 1
    assert made <= 2 + now / 30.0


@examples(40)
@given(st.integers(1, 10_000), st.floats(0, 1))
def test_a_pause_after_failures_grows_and_is_bounded(failures: int, jitter: float) -> None:
    assert 0.5 <= backoff(failures, jitter) <= 30.0
    assert backoff(failures, jitter) <= backoff(failures + 1, jitter)
