"""Rate limits: what is counted and by what, in memory and on a real Valkey; what happens when that is away or full."""

from __future__ import annotations

import asyncio
import importlib
import logging
import random
import threading
from collections.abc import AsyncIterator, Callable
from math import floor
from typing import Any

import pytest
import valkey

from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.errors import StoreUnavailable
from jwt_asgi.issuer.rate_counters import SHARED, MemoryCounters
from jwt_asgi.issuer.rate_limits import RateLimit, RateLimited, RateLimits, client_address
from tests.revocation.conftest import Line, free_port

SECRET = b"a secret of a test, long enough"


class Clock:
    """Seconds that pass when a test says so; windows of 60 and 600 seconds begin at the start."""

    def __init__(self) -> None:
        self.now = 6000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "valkey"])
async def make(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[Callable[..., RateLimits]]:
    """Make limits in memory, and on a server."""
    made: list[RateLimits] = []

    def limits(**options: Any) -> RateLimits:
        if request.param == "valkey":
            port = request.getfixturevalue("valkey_port")
            options = {
                "storage": f"valkey://127.0.0.1:{port}/0",
                "prefix": request.getfixturevalue("prefix"),
                **options,
            }
        made.append(RateLimits(**{"clock": clock, "secret": SECRET, **options}))
        return made[-1]

    yield limits
    for one in made:
        await one.aclose()


async def hits(limits: RateLimits, rule: RateLimit, *keys: str | None, most: int = 50) -> int:
    """How many hits are let in."""
    for count in range(most):
        try:
            await limits.hit(rule, *keys)
        except RateLimited:
            return count
    return most


async def retry_after(limits: RateLimits, rule: RateLimit, *keys: str | None) -> int:
    with pytest.raises(RateLimited) as caught:
        await limits.hit(rule, *keys)
    return caught.value.retry_after


async def test_so_many_are_let_in_and_the_next_is_told_when_to_come_again(make: Callable[..., RateLimits]) -> None:
    limits = make(token="3/minute")
    assert await hits(limits, RateLimit.TOKEN, "spa", "192.0.2.1") == 3
    assert 58 <= await retry_after(limits, RateLimit.TOKEN, "spa", "192.0.2.1") <= 61
    assert limits.refused == {RateLimit.TOKEN: 2}


async def test_another_client_and_another_address_are_counted_apart(make: Callable[..., RateLimits]) -> None:
    limits = make(token="1/minute", introspection="1/minute")
    await limits.hit(RateLimit.TOKEN, "spa", "192.0.2.1")
    await limits.hit(RateLimit.TOKEN, "spa", "192.0.2.2")
    await limits.hit(RateLimit.TOKEN, "cli", "192.0.2.1")
    await limits.hit(RateLimit.INTROSPECTION, "spa")
    for keys in [("spa", "192.0.2.1"), ("spa", "192.0.2.2"), ("cli", "192.0.2.1")]:
        await retry_after(limits, RateLimit.TOKEN, *keys)


async def test_two_processes_with_one_server_count_together(valkey_port: int, prefix: str) -> None:
    url = f"redis://127.0.0.1:{valkey_port}"
    first, second = (RateLimits(token="2/minute", storage=url, prefix=prefix, secret=SECRET) for _ in range(2))
    await first.hit(RateLimit.TOKEN, "spa", None)
    await second.hit(RateLimit.TOKEN, "spa", None)
    for limits in (first, second):
        await retry_after(limits, RateLimit.TOKEN, "spa", None)
        await limits.aclose()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"),
        ("2001:DB8:1:2::1", "2001:db8:1:2:0:0:0:1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::2%eth1"),
    ],
)
async def test_one_customers_network_is_one_address(one: str, other: str) -> None:
    limits = RateLimits(login_address="1/minute")
    await limits.hit(RateLimit.LOGIN_ADDRESS, one)
    await retry_after(limits, RateLimit.LOGIN_ADDRESS, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("192.0.2.1", "192.0.2.2"), ("2001:db8:1:2::1", "2001:db8:1:3::1"), ("0:0:0:1::", "::1"), (None, "192.0.2.1")],
)
async def test_different_networks_are_counted_apart(one: str | None, other: str) -> None:
    limits = RateLimits(login_address="1/minute")
    await limits.hit(RateLimit.LOGIN_ADDRESS, one)
    await limits.hit(RateLimit.LOGIN_ADDRESS, other)


async def test_those_without_an_address_share_one_counter() -> None:
    limits = RateLimits(login_address="1/minute")
    await limits.hit(RateLimit.LOGIN_ADDRESS, client_address({"type": "http", "client": None}))
    assert await retry_after(limits, RateLimit.LOGIN_ADDRESS, client_address({"type": "http"}))
    assert client_address({"client": ["192.0.2.7", 5000]}) == "192.0.2.7"


async def test_values_cannot_be_moved_from_one_key_into_another() -> None:
    limits = RateLimits(token="1/minute")
    for keys in [("a", "b/c"), ("a/b", "c"), ("ab/", "c"), (None, "c"), ("", "c")]:
        await limits.hit(RateLimit.TOKEN, *keys)


async def test_a_wrong_number_of_keys_is_a_mistake_of_the_program() -> None:
    with pytest.raises(TypeError, match="client_id, ip"):
        await RateLimits().hit(RateLimit.TOKEN, "spa")


async def test_any_text_can_be_a_key(make: Callable[..., RateLimits]) -> None:
    limits = make(token="1/minute")
    for text in ("\x00", "\ud800", "{a}", "a" * 100_000, "\n*", ""):
        await limits.hit(RateLimit.TOKEN, text, text)
        await retry_after(limits, RateLimit.TOKEN, text, text)


async def test_a_limit_that_is_none_lets_everybody_in(make: Callable[..., RateLimits]) -> None:
    limits = make(login=None, login_address=None)
    for _ in range(300):
        await limits.login("ada", "192.0.2.1")
    await limits.login_succeeded("ada")


async def test_log_ins_of_one_account_are_limited_wherever_they_come_from(make: Callable[..., RateLimits]) -> None:
    limits = make(login="3/10 minutes")
    for number in range(3):
        await limits.login(["Ada", "ada ", "ＡＤＡ"][number], f"192.0.2.{number}")  # noqa: RUF001
    with pytest.raises(RateLimited) as caught:
        await limits.login("ada", "192.0.2.9")
    assert caught.value.rule is RateLimit.LOGIN_ACCOUNT
    await limits.login("grace", "192.0.2.9")


async def test_log_ins_from_one_address_are_limited_whatever_account_they_are_for(
    make: Callable[..., RateLimits],
) -> None:
    limits = make(login="2/10 minutes", login_address="4/10 minutes")
    for number in range(4):
        await limits.login(f"user {number}", "192.0.2.1")
    with pytest.raises(RateLimited) as caught:
        await limits.login("ada", "192.0.2.1")
    assert caught.value.rule is RateLimit.LOGIN_ADDRESS


async def test_an_address_without_room_uses_up_no_account(make: Callable[..., RateLimits]) -> None:
    limits = make(login="2/10 minutes", login_address="1/10 minutes")
    await limits.login("ada", "192.0.2.1")
    for _ in range(5):
        with pytest.raises(RateLimited):
            await limits.login("ada", "192.0.2.1")
    await limits.login("ada", "192.0.2.2")


async def test_who_is_in_has_all_attempts_again_and_his_address_has_not(make: Callable[..., RateLimits]) -> None:
    limits = make(login="2/10 minutes", login_address="4/10 minutes")
    for _ in range(2):
        await limits.login("ada", "192.0.2.1")
    await limits.login_succeeded("ADA")
    for _ in range(2):
        await limits.login("ada", "192.0.2.1")
    with pytest.raises(RateLimited) as caught:
        await limits.login("ada", "192.0.2.1")
    assert caught.value.rule is RateLimit.LOGIN_ADDRESS


async def test_the_server_is_told_nothing_that_can_be_read(valkey_port: int, prefix: str) -> None:
    url = f"valkey://127.0.0.1:{valkey_port}"
    limits = RateLimits(storage=url, prefix=prefix, secret=SECRET)
    await limits.login("ada@example.com", "192.0.2.77")
    await limits.hit(RateLimit.TOKEN, "very-public-client", "192.0.2.77")
    await limits.hit(RateLimit.REFRESH, "jrt_a-refresh-token-by-mistake")
    await limits.aclose()
    client: Any = valkey.Valkey(port=valkey_port)
    keys = [bytes(key) for key in client.keys(f"{prefix}*")]
    ttls = [client.pttl(key) for key in keys]
    client.close()
    assert len(keys) == 4
    told = b" ".join(keys)
    for text in (b"ada", b"192", b"public", b"jrt_", SECRET):
        assert text not in told
    assert all(0 < ttl <= 1_200_000 for ttl in ttls)


async def test_digests_differ_where_the_secret_does() -> None:
    one, same, other = (RateLimits(secret=secret * 16) for secret in (b"1", b"1", b"2"))
    keys = [limits._key(RateLimit.LOGIN_ACCOUNT, ("ada",)) for limits in (one, same, other, RateLimits())]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


# Time, in memory: the server has its own.


async def test_the_time_that_a_refused_one_is_told_is_the_earliest_that_lets_him_in(clock: Clock) -> None:
    numbers = random.Random(6)
    waited = 0
    for _ in range(100):
        limits = RateLimits(token=f"{numbers.randint(1, 9)}/minute", clock=clock)
        for _ in range(12):
            clock.now += numbers.choice([0.0, 0.5, 7.25, 31.0, 59.0])
            try:
                await limits.hit(RateLimit.TOKEN, "spa", None)
            except RateLimited as refused:
                waited += 1
                if refused.retry_after > 1:
                    clock.now += refused.retry_after - 1.001
                    await retry_after(limits, RateLimit.TOKEN, "spa", None)
                    clock.now += 1.001
                else:
                    clock.now += 1
                await limits.hit(RateLimit.TOKEN, "spa", None)
    assert waited > 100


async def test_no_minute_has_many_more_than_the_limit(clock: Clock) -> None:
    """A sliding window lets in at most twice what is allowed in the worst of minutes, and on the whole what is."""
    limits, at = RateLimits(token="10/minute", clock=clock), []
    for _ in range(2000):
        clock.now += 0.3
        try:
            await limits.hit(RateLimit.TOKEN, "spa", None)
        except RateLimited:
            continue
        at.append(clock.now)
    assert 90 <= len(at) <= 110
    assert max(sum(begin <= time < begin + 60 for time in at) for begin in at) <= 15


async def test_memory_counts_as_the_package_does(clock: Clock) -> None:
    """The same hits, let in and refused alike, by the rule that the package's storages have."""
    numbers, counters = random.Random(7), MemoryCounters(clock=clock)
    windows: dict[int, int] = {}
    outcomes = set()
    for _ in range(3000):
        clock.now += numbers.choice([0.0, 0.01, 3.0, 20.0, 130.0])
        window, part = divmod(clock.now / 60, 1)
        before = windows.get(int(window) - 1, 0)
        room = floor(before * (1 - part)) + windows.get(int(window), 0) + 1 <= 4
        windows[int(window)] = windows.get(int(window), 0) + room
        assert await counters.acquire_sliding_window_entry("rule/a", 4, 60) is room
        outcomes.add(room)
    assert outcomes == {True, False}


# What is full.


async def test_memory_is_bounded_and_nobody_is_let_in_uncounted(clock: Clock) -> None:
    limits = RateLimits(login_address="2/minute", clock=clock, capacity=100)
    for number in range(100):
        await limits.hit(RateLimit.LOGIN_ADDRESS, f"192.0.2.{number}")
    let_in = 0
    for number in range(3000):
        try:
            await limits.hit(RateLimit.LOGIN_ADDRESS, f"2001:db8:{number:x}::")
        except RateLimited:
            continue
        let_in += 1
    assert SHARED < let_in <= 2 * SHARED
    assert len(limits._memory) <= 100 + SHARED
    # Those that were there have their own
    assert await hits(limits, RateLimit.LOGIN_ADDRESS, "192.0.2.7") == 1


async def test_a_flood_of_one_kind_fills_no_other_table(clock: Clock) -> None:
    limits = RateLimits(login="2/minute", login_address="1/minute", clock=clock, capacity=10)
    for number in range(200):
        await hits(limits, RateLimit.LOGIN_ADDRESS, f"2001:db8:{number:x}::", most=1)
    for number in range(10):
        await limits.hit(RateLimit.LOGIN_ACCOUNT, f"user {number}")
        await limits.hit(RateLimit.LOGIN_ACCOUNT, f"user {number}")


async def test_counters_that_count_no_more_make_room(clock: Clock) -> None:
    limits = RateLimits(login_address="2/minute", clock=clock, capacity=10)
    for number in range(10):
        await limits.hit(RateLimit.LOGIN_ADDRESS, f"192.0.2.{number}")
    # One that is asked for all the time, and refused, holds up none behind it
    for _ in range(30):
        clock.now += 4
        await hits(limits, RateLimit.LOGIN_ADDRESS, "192.0.2.0")
    for number in range(20, 29):
        assert await hits(limits, RateLimit.LOGIN_ADDRESS, f"192.0.2.{number}") == 2
    assert len(limits._memory) == 10


def test_threads_with_loops_of_their_own_may_count_at_once() -> None:
    limits, let_in = RateLimits(token="500/minute"), []

    async def count() -> None:
        for _ in range(200):
            try:
                await limits.hit(RateLimit.TOKEN, "spa", None)
            except RateLimited:
                continue
            let_in.append(1)

    threads = [threading.Thread(target=asyncio.run, args=(count(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A minute may begin meanwhile
    assert 500 <= len(let_in) <= 800


def test_each_event_loop_has_connections_of_its_own(valkey_port: int, prefix: str) -> None:
    limits = RateLimits(token="2/minute", storage=f"valkey://127.0.0.1:{valkey_port}", prefix=prefix)

    async def once() -> None:
        try:
            await asyncio.gather(*(limits.hit(RateLimit.REFRESH, str(number)) for number in range(20)))
            await limits.hit(RateLimit.TOKEN, "spa", None)
        finally:
            await limits.aclose()
            await limits.aclose()

    asyncio.run(once())
    asyncio.run(once())
    with pytest.raises(RateLimited):
        asyncio.run(once())


# When the server is away.


async def test_without_the_server_nobody_is_let_in_until_it_is_back(
    valkey_port: int, prefix: str, lines: Callable[[int], Line], caplog: pytest.LogCaptureFixture
) -> None:
    line = lines(valkey_port)
    await line.mend()
    limits = RateLimits(storage=f"valkey://127.0.0.1:{line.port}", prefix=prefix, secret=SECRET)
    await limits.login("ada", None)
    await line.cut()
    with caplog.at_level(logging.WARNING, "jwt_asgi"):
        for _ in range(2):
            with pytest.raises(StoreUnavailable) as caught:
                await limits.login("ada", None)
            with pytest.raises(StoreUnavailable):
                await limits.login_succeeded("ada")
            for rule, keys in [(RateLimit.TOKEN, ("spa", None)), (RateLimit.INTROSPECTION, ("api",))]:
                with pytest.raises(StoreUnavailable):
                    await limits.hit(rule, *keys)
    assert caught.value.retry_after >= 1
    assert "ada" not in str(caught.value)
    assert limits.failures == 8
    assert len(caplog.messages) == 1
    await line.mend()
    await limits.login("ada", None)
    await limits.aclose()


async def test_introspection_and_revocation_alone_may_be_let_in_without_the_server() -> None:
    limits = RateLimits(storage=f"redis://127.0.0.1:{free_port()}", on_failure="allow", timeout=0.5)
    await limits.hit(RateLimit.INTROSPECTION, "api")
    await limits.hit(RateLimit.REVOCATION, "spa", None)
    assert limits.failures == 2
    for rule, keys in [(RateLimit.TOKEN, ("spa", None)), (RateLimit.REFRESH, ("sid",))]:
        with pytest.raises(StoreUnavailable):
            await limits.hit(rule, *keys)
    with pytest.raises(StoreUnavailable):
        await limits.login("ada", None)


async def test_a_server_that_does_not_answer_is_waited_for_no_longer_than_said() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        limits = RateLimits(storage=f"valkey://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=0.1)
        async with asyncio.timeout(5):
            with pytest.raises(StoreUnavailable):
                await limits.hit(RateLimit.TOKEN, "spa", None)
        await limits.aclose()


async def test_a_server_that_refuses_to_count_is_one_that_is_away(valkey_port: int, prefix: str) -> None:
    client: Any = valkey.Valkey(port=valkey_port)
    limits = RateLimits(storage=f"valkey://127.0.0.1:{valkey_port}", prefix=prefix)
    client.config_set("maxmemory", "1")
    try:
        with pytest.raises(StoreUnavailable):
            await limits.hit(RateLimit.TOKEN, "spa", None)
    finally:
        client.config_set("maxmemory", "0")
        client.close()
        await limits.aclose()


# What is checked at the start.


@pytest.mark.parametrize(
    "options",
    [
        *({"token": text} for text in ("60", "often", "0/minute", "1/minute;2/hour", "-1/minute", "", 60)),
        *({"storage": text} for text in ("", "valkey://", "memcached://localhost", 7, "redis://localhost:port")),
        *({"prefix": text} for text in ("", "a b", "a{b}", None, "\n")),
        {"on_failure": "open"},
        *({"capacity": value} for value in (0, True, 1.5)),
        *({"secret": value} for value in (b"short", "text of a secret, long enough")),
        *({"timeout": value} for value in (0, -1, float("nan"))),
    ],
    ids=str,
)
def test_a_wrong_option_is_refused_when_it_is_given(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="rate limits"):
        RateLimits(**options)


def test_a_server_without_a_package_for_it_is_told_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def missing(name: str) -> Any:
        if name.partition(".")[0] in {"valkey", "redis"}:
            raise ImportError(name)
        return real(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ConfigurationError, match="pip install"):
        RateLimits(storage="valkey://localhost")
