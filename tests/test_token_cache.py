"""A token that was verified before is not verified again, and is held against all that may have changed since."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import FrozenInstanceError
from hashlib import sha256
from typing import Any, cast

import pytest

from jwt_asgi import (
    AccessToken,
    ConfigurationError,
    JWTASGIError,
    JWTMiddleware,
    KeyCaching,
    Reason,
    StaticKeys,
    TokenError,
    TrustedIssuer,
    Verifier,
)
from jwt_asgi import verifier as verifier_module
from jwt_asgi._core.claims import failed_claims
from jwt_asgi._core.jwks import KeySet
from jwt_asgi._core.signature import verify_signature
from jwt_asgi.access import Grants
from jwt_asgi.tenants import ResolvedIssuers, TrustedTenants
from jwt_asgi.testing import SigningKeys, TestIssuer
from jwt_asgi.token_cache import DEFAULT_TOKENS, Known, TokenCache, digest_of
from jwt_asgi.types import FetchResponse
from tests.asgi import http
from tests.keys.script import FakeClock

NOW = 1_800_000_000
KEYS = SigningKeys()
EARLY = {"claims": {"nbf": NOW - 100, "iat": NOW - 200}}


class Time:
    """The time of day, which a test sets."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def issuer() -> TestIssuer:
    """It always signs at the same time, whatever the verifier's clock says."""
    return TestIssuer(algorithms=["ES256"], clock=lambda: NOW, keys=KEYS)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The subject of each token whose signature was checked."""
    subjects: list[str] = []

    def note(untrusted: Any, keys: Any) -> Any:
        subjects.append(untrusted.claims["sub"])
        return verify_signature(untrusted, keys)

    monkeypatch.setattr(verifier_module, "verify_signature", note)
    return subjects


def a_verifier(issuer: TestIssuer, clock: Time, *, token_cache: int = 100, **options: Any) -> Verifier:
    return Verifier(TrustedIssuer(**{**issuer.options(), **options}), clock=clock, token_cache=token_cache)


async def refusal(verifier: Verifier, token: str | bytes) -> Reason:
    with pytest.raises(JWTASGIError) as caught:
        await verifier.verify(token)
    return caught.value.reason


# A hit


async def test_a_token_is_verified_once_as_text_or_as_bytes(
    issuer: TestIssuer, clock: Time, checked: list[str]
) -> None:
    verifier, token = a_verifier(issuer, clock), issuer.token(subject="ann")
    first = await verifier.verify(token)
    assert await verifier.verify(token) is first
    assert await verifier.verify(token.encode()) is first
    assert checked == ["ann"]


async def test_with_0_every_token_is_verified_every_time(issuer: TestIssuer, clock: Time, checked: list[str]) -> None:
    verifier, token = a_verifier(issuer, clock, token_cache=0), issuer.token(subject="ann")
    assert await verifier.verify(token) is not await verifier.verify(token)
    assert checked == ["ann", "ann"]


async def test_the_door_takes_the_same_option(issuer: TestIssuer, checked: list[str]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    today = TestIssuer(algorithms=["ES256"], keys=KEYS)
    token = today.token(subject="ann")
    for size, expected in ((10, 1), (0, 3)):
        checked.clear()
        door = JWTMiddleware(app, **today.options(), token_cache=size)
        assert [(await http(door, token=token)).status for _ in range(3)] == [200] * 3
        assert len(checked) == expected


async def test_what_a_verifier_of_the_users_own_adds_is_not_passed_by(issuer: TestIssuer) -> None:
    class Revoking(Verifier):
        __slots__ = ()

        async def verify(self, token: str | bytes) -> AccessToken:
            await super().verify(token)
            raise next(refusals)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("nobody gets here")

    today = TestIssuer(algorithms=["ES256"], keys=KEYS)
    trusted = TrustedIssuer(**today.options())
    refusals = iter([TokenError(Reason.TOKEN_TOO_OLD)] * 2)
    door, token = JWTMiddleware(app, verifier=Revoking(trusted)), today.token()
    assert [(await http(door, token=token)).status for _ in range(2)] == [401, 401]


# What may have changed since


@pytest.mark.parametrize(
    ("token", "options", "good", "bad", "reason"),
    [
        pytest.param({}, {}, 329.9, 330, Reason.TOKEN_EXPIRED, id="exp"),
        pytest.param(EARLY, {}, -129.9, -131, Reason.TOKEN_NOT_YET_VALID, id="nbf"),
        pytest.param({}, {}, -29.9, -31, Reason.TOKEN_ISSUED_IN_FUTURE, id="iat"),
        pytest.param({}, {"max_age": 60}, 89.9, 91, Reason.TOKEN_TOO_OLD, id="max_age"),
        pytest.param({}, {"leeway": 0}, 299.9, 300, Reason.TOKEN_EXPIRED, id="exp, no leeway"),
    ],
)
async def test_when_it_is_good_is_judged_each_time(
    issuer: TestIssuer,
    clock: Time,
    checked: list[str],
    token: Any,
    options: Any,
    good: float,
    bad: float,
    reason: Reason,
) -> None:
    verifier, text = a_verifier(issuer, clock, **options), issuer.token(**token)
    await verifier.verify(text)
    clock.now = NOW + good
    await verifier.verify(text)
    assert len(checked) == 1
    clock.now = NOW + bad
    assert await refusal(verifier, text) is reason


async def test_a_hit_is_judged_by_the_claims_as_a_first_sight_is(issuer: TestIssuer, clock: Time) -> None:
    """Second by second, around every limit that a token has."""
    text = issuer.token(claims={"exp": NOW + 60, "nbf": NOW + 10})
    clock.now = NOW + 20
    remembering, policy = (
        a_verifier(issuer, clock, max_age=45.0),
        TrustedIssuer(**issuer.options(), max_age=45.0).policy,
    )
    token = await remembering.verify(text)
    for second in range(-40, 140):
        clock.now = NOW + second
        judged = not failed_claims(vars(token)["_claims"], policy, clock.now)
        # At the very moment that max_age ends, a first sight lets it in, and a hit asks for one
        assert (token.good_since <= clock.now < token.good_until) == (judged and second != 75)


@pytest.fixture
def ageing() -> FakeClock:
    """The clock of the keys."""
    return FakeClock()


async def test_it_does_not_outlive_the_key_that_verified_it(issuer: TestIssuer, clock: Time, ageing: FakeClock) -> None:
    verifier = a_verifier(issuer, clock, key_clock=ageing, key_caching=KeyCaching(stale_wait=5.0))
    token = issuer.token()
    await verifier.verify(token)
    issuer.rotate(keep_old=False)
    assert await verifier.verify(token), "nobody knows of it before the set is due"
    ageing.now += 700
    assert await refusal(verifier, token) is Reason.KEY_UNKNOWN


async def test_a_new_key_under_the_old_kid_does_not_take_the_old_keys_tokens(issuer: TestIssuer, clock: Time) -> None:
    verifier, token = a_verifier(issuer, clock), issuer.token()
    await verifier.verify(token)
    other = TestIssuer(algorithms=["ES256"], clock=lambda: NOW)
    issuer.jwks = other.jwks  # type: ignore[method-assign]
    await verifier.reload()
    assert await refusal(verifier, token) is Reason.SIGNATURE_INVALID


async def test_a_set_that_is_confirmed_keeps_its_tokens_and_one_that_is_replaced_has_them_verified_again(
    issuer: TestIssuer, clock: Time, checked: list[str]
) -> None:
    verifier, token = a_verifier(issuer, clock), issuer.token(subject="ann")
    await verifier.verify(token)
    await verifier.reload()
    await verifier.verify(token)
    assert checked == ["ann"]
    issuer.rotate()
    await verifier.reload()
    assert await verifier.verify(token)
    assert await verifier.verify(token)
    assert checked == ["ann", "ann"]


async def test_in_an_outage_it_stays_a_hit_for_as_long_as_the_keys_may_be_used(
    issuer: TestIssuer, clock: Time, ageing: FakeClock, checked: list[str]
) -> None:
    down = False

    async def fetch(url: str, **options: Any) -> FetchResponse:
        if down:
            raise ConnectionRefusedError
        return await issuer.fetch(url, **options)

    caching = KeyCaching(stale_if_error=1000.0)
    verifier = a_verifier(issuer, clock, fetch=fetch, key_clock=ageing, key_caching=caching)
    token = issuer.token(subject="ann")
    await verifier.verify(token)
    down = True
    ageing.now += 700
    for _ in range(10):
        await verifier.verify(token)
        ageing.now += 20
    assert checked == ["ann"]
    ageing.now += 1000
    assert await refusal(verifier, token) is Reason.KEYS_EXPIRED


async def test_one_that_expires_while_its_issuer_is_waited_for_is_refused(
    issuer: TestIssuer, clock: Time, ageing: FakeClock
) -> None:
    later = 0

    async def fetch(url: str, **options: Any) -> FetchResponse:
        clock.now += later
        return await issuer.fetch(url, **options)

    verifier = a_verifier(issuer, clock, fetch=fetch, key_clock=ageing, key_caching=KeyCaching(stale_if_error=0.0))
    token = issuer.token()
    await verifier.verify(token)
    ageing.now += 10_000
    later = 400
    assert await refusal(verifier, token) is Reason.TOKEN_EXPIRED


async def test_a_tenant_that_is_not_allowed_any_more_is_refused_at_once(clock: Time) -> None:
    tenant = TestIssuer("https://login.test/a/v2", algorithms=["ES256"], clock=lambda: NOW, keys=KEYS)
    allowed, options = {"a"}, tenant.options()
    tenants = TrustedTenants(
        "https://login.test/{tenantid}/v2",
        tenants=lambda name: name in allowed,
        claim=None,
        audience=options["audience"],
        algorithms=["ES256"],
        keys=StaticKeys(tenant.jwks()),
    )
    verifier, token = Verifier(tenants, clock=clock), tenant.token()
    assert await verifier.verify(token) is await verifier.verify(token)
    allowed.clear()
    assert await refusal(verifier, token) is Reason.ISSUER_UNTRUSTED


async def test_an_issuer_that_is_resolved_anew_has_its_tokens_held_against_what_it_is_now(
    issuer: TestIssuer, clock: Time, checked: list[str]
) -> None:
    options, keys = issuer.options(), StaticKeys(issuer.jwks())
    audience = options["audience"]

    def resolve(name: str) -> TrustedIssuer:
        return TrustedIssuer(issuer=name, audience=audience, algorithms=["ES256"], keys=keys)

    family = ResolvedIssuers(resolve, allowed={issuer.issuer})
    verifier, token = Verifier(family, clock=clock), issuer.token(subject="ann")
    assert await verifier.verify(token) is await verifier.verify(token)
    family.forget(issuer.issuer)
    assert await verifier.verify(token)
    assert checked == ["ann", "ann"]
    family.forget(issuer.issuer)
    audience = "https://another.test"
    assert await refusal(verifier, token) is Reason.AUDIENCE_MISMATCH


async def test_what_a_token_allows_is_asked_each_time_and_its_signature_checked_once(
    issuer: TestIssuer, clock: Time, checked: list[str]
) -> None:
    roles = iter(["reader", "admin"])
    verifier = a_verifier(issuer, clock, grants=lambda _: Grants(roles=[next(roles)]))
    token = issuer.token(subject="ann")
    assert [(await verifier.verify(token)).roles for _ in range(2)] == [{"reader"}, {"admin"}]
    assert checked == ["ann"]


# What is kept


async def test_nothing_of_a_bad_token_is_kept(issuer: TestIssuer, clock: Time) -> None:
    verifier = a_verifier(issuer, clock)
    for reason in (Reason.SIGNATURE_INVALID, Reason.TOKEN_EXPIRED, Reason.KEY_UNKNOWN, Reason.AUDIENCE_MISMATCH):
        assert await refusal(verifier, issuer.bad_token(reason)) is reason
    assert len(verifier._cache) == 0


async def test_whatever_differs_from_a_known_token_in_one_character_is_another_token(
    issuer: TestIssuer, clock: Time
) -> None:
    verifier, token = a_verifier(issuer, clock), issuer.token(claims={"jti": "1"})
    await verifier.verify(token)
    header, payload, signature = token.split(".")
    other_header, other_payload, other_signature = issuer.token(claims={"jti": "1"}, subject="eve").split(".")
    assert other_header == header
    for forged in (
        f"{header}.{other_payload}.{signature}",
        f"{header}.{payload}.{other_signature}",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        token.upper(),
        token[:-1],
        f"{token}=",
        f" {token}",
    ):
        assert await refusal(verifier, forged) in {Reason.SIGNATURE_INVALID, Reason.TOKEN_MALFORMED}


async def test_those_that_were_not_seen_for_longest_are_left_out(
    issuer: TestIssuer, clock: Time, checked: list[str]
) -> None:
    verifier = a_verifier(issuer, clock, token_cache=3)
    tokens = {name: issuer.token(subject=name) for name in "abcd"}
    for name in "abcadabcd":
        await verifier.verify(tokens[name])
    assert "".join(checked) == "abcdbcd"
    assert len(verifier._cache) == 3


async def test_a_long_token_counts_as_several(issuer: TestIssuer, clock: Time, checked: list[str]) -> None:
    verifier = a_verifier(issuer, clock, token_cache=4)
    short, long = issuer.token(subject="s"), issuer.token(subject="l", claims={"pad": "x" * 2000})
    assert 3 * 1024 > len(long) > 2 * 1024
    for token in (short, long, short, long):
        await verifier.verify(token)
    assert "".join(checked) == "sl"
    await verifier.verify(issuer.token(subject="m"))
    await verifier.verify(short)
    assert "".join(checked) == "slms"
    huge = issuer.token(subject="h", claims={"pad": "x" * 4000})
    await verifier.verify(huge)
    assert len(verifier._cache) == 2, "it is larger than all that may be kept"


async def test_no_part_of_a_token_is_in_memory_for_it(issuer: TestIssuer, clock: Time) -> None:
    verifier, token = a_verifier(issuer, clock), issuer.token()
    await verifier.verify(token)
    texts = [text for text in _texts(verifier._cache) if len(text) > 20]
    assert digest_of(token) in texts
    for part in token.split("."):
        assert not [text for text in texts if part in (text if isinstance(text, str) else text.decode("latin-1"))]


def _texts(root: object) -> list[Any]:
    """Every text that can be reached from here, but for the keys, which all tokens share."""
    found, todo, seen = [], [root], set()
    while todo:
        value = todo.pop()
        if id(value) in seen or isinstance(value, (type, KeySet)):
            continue
        seen.add(id(value))
        if isinstance(value, (str, bytes)):
            found.append(value)
        elif isinstance(value, dict):
            todo += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple, set, frozenset)):
            todo += value
        elif isinstance(value, TokenCache):
            todo.append(value._known)
        elif isinstance(value, AccessToken):
            todo.append(vars(value))
    return found


def test_many_threads_may_use_it() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    cache, failures = TokenCache(5), []
    known: Any = object()

    def use(number: int) -> None:
        try:
            for turn in range(2000):
                digest = bytes([(number * 7 + turn) % 12])
                assert cache.find(digest) in (None, known)
                cache.keep(digest, 1500 if turn % 3 else 10, known)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=[number]) for number in range(4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert failures == []
    assert cache._weight == sum(weight for _, weight in cache._known.values()) <= 5


def test_one_that_another_thread_has_just_left_out_is_not_known() -> None:
    cache: TokenCache = TokenCache(1)
    known: Any = object()

    class Slow(dict[bytes, Any]):
        def move_to_end(self, _: bytes) -> None:
            raise KeyError

    cache._known = Slow({b"a": (known, 1)})  # type: ignore[assignment]
    assert cache.find(b"a") is None


def test_one_that_another_thread_has_just_put_in_is_not_known_yet() -> None:
    cache: TokenCache = TokenCache(1)

    class Late(dict[bytes, Any]):
        def get(self, *_: Any) -> None:
            """Find nothing, as it was not there then."""

        def move_to_end(self, _: bytes) -> None:
            """Do as if it were there now."""

    cache._known = Late()  # type: ignore[assignment]
    assert cache.find(b"a") is None


def test_a_child_process_begins_empty() -> None:
    cache: TokenCache = TokenCache(2)
    known: Any = object()
    cache.keep(b"a", 10, known)
    cache._lock.acquire()
    cache.after_fork()
    assert cache.find(b"a") is None
    cache.keep(b"b", 10, known)
    assert cache.find(b"b") is known


@pytest.mark.parametrize("size", [-1, 10_000_001, 1.5, True, None, "10"])
def test_a_size_that_is_none_is_refused_at_the_start(issuer: TestIssuer, size: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"token_cache: expected a number of tokens from 0, which keeps none"):
        Verifier(TrustedIssuer(**issuer.options()), token_cache=size)


def test_beside_a_verifier_it_is_refused(issuer: TestIssuer) -> None:
    verifier = Verifier(TrustedIssuer(**issuer.options()))
    with pytest.raises(ConfigurationError, match="expected no token_cache beside it"):
        JWTMiddleware(http, verifier=verifier, token_cache=5)  # type: ignore[arg-type]


# How much is kept, and by what it is found


@pytest.mark.parametrize(
    ("length", "weight"), [(1, 1), (1023, 1), (1024, 1), (1025, 2), (2048, 2), (2049, 3), (16_384, 16)]
)
def test_a_token_counts_as_one_for_each_kilobyte(length: int, weight: int) -> None:
    cache, known = TokenCache(20), cast("Any", object())
    cache.keep(b"long", length, known)
    for number in range(20 - weight):
        cache.keep(bytes([number]), 10, known)
    assert len(cache) == 1 + 20 - weight
    cache.keep(b"one more", 10, known)
    assert len(cache) == 20 - weight + 1
    assert cache.find(b"long") is None


def test_a_token_that_fills_it_is_kept_and_a_longer_one_drives_nobody_out() -> None:
    cache, known = TokenCache(2), cast("Any", object())
    cache.keep(b"a", 2048, known)
    cache.keep(b"b", 2049, known)
    assert cache.find(b"a") is known
    assert cache.find(b"b") is None


def test_the_sizes_that_it_may_have_are_told() -> None:
    assert TokenCache(0).most == 0
    assert TokenCache(10_000_000).most == 10_000_000
    with pytest.raises(ConfigurationError, match=r"from 0, which keeps none, to 10,000,000; got 10000001"):
        TokenCache(10_000_001)


def test_a_verifier_keeps_ten_thousand_unless_told_otherwise(issuer: TestIssuer) -> None:
    # docs/how-to/options.md
    assert DEFAULT_TOKENS == 10_000
    assert Verifier(TrustedIssuer(**issuer.options()))._cache.most == 10_000


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # since Python 3.12; the child ends at once
def test_a_forked_process_begins_empty_and_its_parent_does_not() -> None:
    cache, known = TokenCache(2), cast("Any", object())
    cache.keep(b"a", 10, known)
    child = os.fork()
    if not child:
        os._exit(len(cache))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert len(cache) == 1


@pytest.mark.parametrize("token", [None, 7, bytearray(b"a"), ["a"], b"a" * 16_385, "a" * 16_385])
def test_what_can_be_no_token_is_found_by_nothing(token: Any) -> None:
    assert digest_of(token) == b""


@pytest.mark.parametrize("token", ["a" * 16_384, b"a" * 16_384, "\ud800", "\u00e9", ""])
def test_whatever_else_is_found_by_its_sha_256(token: Any) -> None:
    raw = token if isinstance(token, bytes) else token.encode("ascii", "replace")
    assert digest_of(token) == sha256(raw).digest()


def test_what_is_known_of_a_token_does_not_change() -> None:
    nothing = cast("Any", None)
    known = Known(token=nothing, policy=nothing, kid=None, alg="RS256", keys=(), since=0.0, until=1.0)
    with pytest.raises(FrozenInstanceError):
        known.until += 3600.0  # type: ignore[misc]
