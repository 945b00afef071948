"""The numbers of a key schedule go together, or the service does not start."""

from __future__ import annotations

from typing import Any

import pytest

from jwt_asgi.errors import ConfigurationError
from jwt_asgi.issuer.key_schedule import KeySchedule
from tests.issuer.rings import DAY


def test_by_default_a_key_is_announced_for_a_day_and_signs_for_ninety() -> None:
    schedule = KeySchedule()
    assert (schedule.announce, schedule.rotate, schedule.algorithms) == (DAY, 90 * DAY, ("ES256",))


def test_a_key_is_retained_as_long_as_its_last_token_may_be_shown() -> None:
    assert KeySchedule(longest_token=3600, skew=60, max_age=120).retained == 3780
    assert KeySchedule(longest_token=3600, skew=60, max_age=120, retain=3780).retained == 3780
    assert KeySchedule(retain=DAY).retained == DAY


def test_a_list_of_algorithms_becomes_a_value() -> None:
    assert KeySchedule(algorithms=["RS256", "ES256"]).algorithms == ("RS256", "ES256")


def test_the_least_announcement_and_rotation_are_taken() -> None:
    least = KeySchedule(announce=4260, rotate=4320)
    assert (least.announce, least.rotate) == (300 + 3600 + 60 + 300, 4260 + 60)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"announce": 4259.0}, "schedule announce: expected at least max_age + client_cache + settle + skew, 4260;"),
        ({"rotate": 86_459.0}, "schedule rotate: expected at least announce + settle, 86460"),
        ({"retain": 1499.0}, "schedule retain: expected at least longest_token + skew + max_age, 1500; got 1499.0"),
        ({"retain": "1 day"}, "schedule retain: expected a number of seconds"),
        ({"rotate": 0.5}, "schedule rotate: expected a number of seconds from 1 to"),
        ({"announce": 0.5}, "schedule announce: expected a number of seconds from 1 to"),
        ({"longest_token": 0}, "schedule longest_token: expected a number of seconds from 1 to"),
        ({"max_age": -1}, "schedule max_age: expected a number of seconds from 0 to"),
        ({"client_cache": None}, "schedule client_cache: expected a number of seconds"),
        ({"skew": True}, "schedule skew: expected a number of seconds"),
        ({"settle": -1}, "schedule settle: expected a number of seconds"),
        ({"algorithms": "ES256"}, "schedule algorithms: expected a list of different names"),
        ({"algorithms": ()}, "schedule algorithms: expected a list of different names"),
        ({"algorithms": ("ES256", "ES256")}, "schedule algorithms: expected a list of different names"),
    ],
)
def test_numbers_that_do_not_go_together_are_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        KeySchedule(**options)
    assert named in str(caught.value)
