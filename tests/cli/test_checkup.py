"""The checks of `jwt-asgi doctor` as functions, where no issuer on this machine would show the case."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from joserfc.jwk import ECKey

from jwt_asgi import KeyCaching
from jwt_asgi._keys.fetch import FetchError, NoAnswerError
from jwt_asgi.cli.checkup import CODES, examine
from jwt_asgi.cli.checkup_keys import read_keys
from jwt_asgi.cli.findings import Case, Exchange, Finding, Status, listed, printable, quoted
from jwt_asgi.testing import TestIssuer
from jwt_asgi.types import FetchResponse

ISSUER = "https://issuer.test"
METADATA, JWKS = f"{ISSUER}/.well-known/oauth-authorization-server", f"{ISSUER}/jwks"
NOON = 1_700_000_000.0
"""14 November 2023, 22:13:20 UTC."""
KEY = {**ECKey.generate_key("P-256").as_dict(private=False), "kid": "one"}


def got(url: str, document: object, headers: Mapping[str, str], *, seconds: float = 0.1) -> Exchange:
    """An answer that arrived half before, half after noon."""
    body = json.dumps(document).encode()
    return Exchange(url=url, middle=NOON, seconds=seconds, response=FetchResponse(200, headers, body))


def case(*keys: Any, seconds: float = 0.1, headers: Mapping[str, str] = MappingProxyType({})) -> Case:
    """A good issuer with these keys."""
    key_set = got(JWKS, {"keys": keys or [KEY]}, headers, seconds=seconds)
    assert key_set.response is not None
    return Case(
        issuer=ISSUER,
        given_uri=None,
        algorithms=frozenset({"ES256"}),
        leeway=30.0,
        caching=KeyCaching(),
        allow_http=False,
        metadata=(got(METADATA, {"issuer": ISSUER, "jwks_uri": JWKS}, {}),),
        discovered=True,
        jwks_uri=JWKS,
        key_set=key_set,
        published=read_keys(key_set.response.body),
    )


def find(code: str, one: Case) -> Finding:
    checks = {check.code: check.finding for check in examine(one)}
    assert tuple(checks) == CODES
    return checks[code]


@pytest.mark.parametrize(
    ("headers", "status", "found"),
    [
        ({"date": "Tue, 14 Nov 2023 22:13:20 GMT"}, Status.OK, "none that shows in whole seconds"),
        ({"date": "Tue, 14 Nov 2023 22:13:19 GMT"}, Status.OK, "none that shows in whole seconds"),
        ({"date": "Tue, 14 Nov 2023 22:13:18 GMT"}, Status.OK, "this machine is 1.0 s ahead of the issuer"),
        ({"date": "Tue, 14 Nov 2023 22:13:24 GMT"}, Status.OK, "this machine is 4.0 s behind the issuer"),
        ({"date": "Tue, 14 Nov 2023 22:13:25 GMT"}, Status.WARNING, "this machine is 5.0 s behind the issuer"),
        ({"date": "Tue, 14 Nov 2023 22:13:14 GMT"}, Status.WARNING, "this machine is 5.0 s ahead of the issuer"),
        ({"date": "Tue, 14 Nov 2023 22:13:50 GMT"}, Status.WARNING, "this machine is 30.0 s behind the issuer"),
        ({"date": "Tue, 14 Nov 2023 22:13:51 GMT"}, Status.FAULT, "this machine is 31.0 s behind the issuer"),
        ({"date": "Tue, 14 Nov 2023 22:12:48 GMT"}, Status.FAULT, "this machine is 31.0 s ahead of the issuer"),
        ({"date": "Tue, 14 Nov 2023 22:13:20 -0000"}, Status.OK, "none that shows in whole seconds"),
        ({"date": "Tue, 14 Nov 2023 22:03:20 GMT", "age": "600"}, Status.OK, "none that shows in whole seconds"),
        ({"date": "Tue, 14 Nov 2023 22:13:20 GMT", "age": "\u0662"}, Status.OK, "none that shows in whole seconds"),
        ({"date": "noon"}, Status.NOT_CHECKED, "no answer says the time (Date)"),
        ({"date": ""}, Status.NOT_CHECKED, "no answer says the time (Date)"),
        ({}, Status.NOT_CHECKED, "no answer says the time (Date)"),
    ],
)
def test_the_clock_is_held_against_the_date_of_an_answer(headers: dict[str, str], status: Status, found: str) -> None:
    finding = find("clock_skew", case(headers=headers))
    assert (finding.status, finding.found) == (status, found)


def test_a_cache_without_age_does_not_spoil_the_clock_of_the_other_answer() -> None:
    stale = case(headers={"date": "Tue, 14 Nov 2023 10:00:00 GMT"})
    right = got(METADATA, {"issuer": ISSUER, "jwks_uri": JWKS}, {"date": "Tue, 14 Nov 2023 22:13:20 GMT"})
    assert find("clock_skew", replace(stale, metadata=(right,))).status is Status.OK


@pytest.mark.parametrize(
    ("seconds", "status"), [(2.3, Status.OK), (2.5, Status.WARNING), (4.8, Status.WARNING), (5.0, Status.FAULT)]
)
def test_the_pace_of_all_requests_together_is_held_against_the_time_out(seconds: float, status: Status) -> None:
    assert find("slow", case(seconds=seconds)).status is status


@pytest.mark.parametrize(
    ("location", "found"),
    [
        ("/login", "the same host, or none that can be read"),
        ("", "the same host, or none that can be read"),
        ("https://[::1", "the same host, or none that can be read"),
        ("https://user:secret@login.test/x", 'host "login.test"'),
    ],
)
def test_of_a_redirect_the_host_alone_is_told(location: str, found: str) -> None:
    response = FetchResponse(307, {"location": location}, b"")
    moved = replace(case(), key_set=Exchange(url=JWKS, middle=NOON, seconds=0.1, response=response), published=None)
    assert find("redirect", moved).found == f"{JWKS} answered 307, to {found}"


def test_metadata_that_the_service_refuses_for_a_reason_unknown_here_is_told_in_its_words() -> None:
    refused = replace(case(), discovered=False, refusal="discovery_failed: \x1b something new", jwks_uri=None)
    finding = find("metadata", refused)
    assert finding.status is Status.FAULT
    assert finding.found == "discovery_failed: \\x1b something new"


def test_the_cause_is_found_where_several_addresses_were_tried() -> None:
    group = ExceptionGroup("all failed", [OSError("unreachable"), ConnectionRefusedError("refused")])
    error = NoAnswerError(f"{JWKS} could not be fetched: ConnectError")
    error.__cause__ = group
    failed = Exchange(url=JWKS, middle=NOON, seconds=0.1, error=error)
    finding = find("unreachable", replace(case(), key_set=failed, published=None))
    assert finding.found.startswith("refused: ")


def test_a_metadata_url_that_does_not_answer_is_no_matter_where_the_other_one_does() -> None:
    error = FetchError(f"{METADATA} did not answer in time, in full within 5 s")
    error.__cause__ = TimeoutError()
    silent = Exchange(url=METADATA, middle=NOON, seconds=3.0, error=error)
    good = case()
    assert find("unreachable", replace(good, metadata=(silent, *good.metadata))).status is Status.OK
    alone = replace(good, metadata=(silent,), discovered=False, jwks_uri=None, key_set=None, published=None)
    assert find("unreachable", alone).found.startswith(f"time-out: {METADATA}")


@pytest.mark.parametrize(
    ("answered", "status"),
    [
        (None, Status.NOT_CHECKED),
        (FetchError(f"{JWKS} answered with more than 524288 bytes"), Status.FAULT),
        (200, Status.OK),
        (302, Status.OK),
        (404, Status.FAULT),
        (503, Status.FAULT),
    ],
    ids=["no answer", "an answer that is too large", "200", "302, for another check", "404", "503"],
)
def test_the_key_sets_url_is_judged_by_its_answer_and_not_judged_without(
    answered: int | FetchError | None, status: Status
) -> None:
    error, response = answered, None
    if answered is None:
        error = NoAnswerError(f"{JWKS} could not be fetched: ConnectionRefusedError")
        error.__cause__ = ConnectionRefusedError()
    elif isinstance(answered, int):
        error, response = None, FetchResponse(answered, {}, b"")
    assert not isinstance(error, int)
    one = Exchange(url=JWKS, middle=NOON, seconds=0.1, response=response, error=error)
    finding = find("jwks_uri", replace(case(), key_set=one, published=None))
    assert finding.status is status
    assert JWKS in finding.found


def test_more_keys_than_the_service_takes_are_a_fault() -> None:
    many = case(*(KEY | {"kid": str(number)} for number in range(257)))
    assert find("key_count", many).status is Status.FAULT
    assert find("key_count", many).found.startswith("257 keys in ")
    assert find("no_usable_key", many).found == "expected at most 256 keys; got 257"
    assert find("no_usable_key", case({}, *[KEY] * 256)).found == "expected at most 256 keys; got 257"


def test_a_key_set_that_is_near_the_limit_in_bytes_is_warned_of() -> None:
    assert find("key_count", case(KEY | {"x5c": ["x" * 400_000]})).status is Status.WARNING


def test_one_key_that_is_published_twice_is_one_key() -> None:
    (rsa,) = TestIssuer(algorithms=["RS256"]).jwks()["keys"]
    assert find("kid", case(rsa, rsa | {"alg": "PS256"})).status is Status.OK


@pytest.mark.parametrize("modulus", ["x", "\u00e9", "a b", 7, None])
def test_a_modulus_that_is_none_is_not_weak_but_left_out(modulus: object) -> None:
    odd = case(KEY, {"kty": "RSA", "kid": "odd", "n": modulus, "e": "AQAB"})
    assert find("weak_key", odd).status is Status.OK
    assert 'left out: kid "odd": ' in find("no_usable_key", odd).found


@pytest.mark.parametrize("member", [{"d": None}, {"d": ""}, {"k": None}])
def test_a_private_member_that_is_empty_is_no_leak(member: dict[str, object]) -> None:
    empty = case(KEY | member)
    assert find("private_key_published", empty).status is Status.OK
    assert find("symmetric_key_published", empty).status is Status.OK


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("https://issuer.test/a?b", "https://issuer.test/a?b"),
        ("\x1b[2J\n\x7f\x9b\u202e\ud800", "\\x1b[2J\\n\\x7f\\x9b\\u202e\\ud800"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 200 + "..."),
        ("\x00" * 201, "\\x00" * 50 + "..."),
    ],
)
def test_a_text_is_printed_as_ascii_in_one_short_line(text: str, printed: str) -> None:
    assert printable(text) == printed


@pytest.mark.parametrize(
    ("value", "printed"), [("a", '"a"'), (None, "none"), (7, "no string (int)"), ([], "no string (list)")]
)
def test_of_a_value_that_is_no_text_the_type_is_told(value: object, printed: str) -> None:
    assert quoted(value) == printed


def test_a_long_list_is_counted_from_its_sixth_item_on() -> None:
    assert listed(list("abcde")) == "a, b, c, d, e"
    assert listed(list("abcdefg")) == "a, b, c, d, e and 2 more"


def test_the_page_names_every_code_in_order() -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "doctor.md"
    assert tuple(re.findall(r"^\| `(\w+)` \|", page.read_text(encoding="utf-8"), re.MULTILINE)) == CODES


def test_where_the_issuer_does_not_say_how_long_the_default_holds() -> None:
    finding = find("max_age", case())
    assert (finding.status, finding.found) == (
        Status.OK,
        "no Cache-Control, so the service keeps the set for 600 s",
    )


def test_a_set_that_a_cache_has_kept_for_long_is_not_taken_for_a_max_age_that_is_too_short() -> None:
    finding = find("max_age", case(headers={"cache-control": "max-age=3600", "age": "3590"}))
    assert (finding.status, finding.found) == (
        Status.OK,
        '"max-age=3600", so the service keeps the set for 300 s',
    )
