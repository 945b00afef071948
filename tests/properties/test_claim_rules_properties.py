"""Whatever an issuer writes into a claim, a rule about it is met or not, as JSON compares."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from jwt_asgi import AccessError, AccessToken, Claim, Profile, check_access
from jwt_asgi._core.access import Context
from jwt_asgi._core.claim_rules import Acr, AuthorizationDetails
from jwt_asgi._core.jwks import secret_key
from jwt_asgi._core.rules import PathParam
from jwt_asgi._core.signature import Verified
from tests.properties.strategies import JSON, examples

NOW = 1_700_000_000.0
(KEY,) = secret_key(b"s" * 32, ["HS256"]).keys
WANTED: list[str | float | bool] = ["acme", "", "1", "true", 0, 1, -1, 1.0, 0.5, True, False, 10**30]
SCALARS = st.sampled_from(WANTED)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | JSON | st.lists(JSON, max_size=3)
PATHS = st.sampled_from(["a", ("a", "b"), ("a", "b", "c"), ("a.b",)])


def a_token(**claims: Any) -> AccessToken:
    good = {"iss": "https://issuer.test", "aud": "api", "exp": NOW + 60, **claims}
    return AccessToken(Verified({}, good, KEY), Profile.GENERIC)


def put(value: Any, path: str | tuple[str, ...]) -> Any:
    """Claims in which a path leads to a value."""
    for name in reversed((path,) if isinstance(path, str) else path):
        value = {name: value}
    return value


def equal(value: Any, want: Any) -> bool:
    """As JSON does: by type and value, where 1 is 1.0."""
    if isinstance(value, (dict, list)) or value is None:
        return False
    kinds = [bool if isinstance(one, bool) else str if isinstance(one, str) else float for one in (value, want)]
    return kinds[0] is kinds[1] and bool(value == want)


def at(claims: Any, path: str | tuple[str, ...]) -> Any:
    for name in (path,) if isinstance(path, str) else path:
        claims = claims.get(name) if isinstance(claims, dict) else None
    return claims


def is_met(rule: Claim, token: AccessToken, **path_params: str) -> bool:
    met = rule.met_by(token, Context(now=NOW, path_params=path_params))
    try:
        assert check_access(token, rule, path_params=path_params) is token
    except AccessError:
        assert met is not True
    else:
        assert met is True
    return met is True


@examples(60)
@given(VALUES, PATHS, PATHS, st.lists(SCALARS, min_size=1, max_size=3))
def test_a_claim_has_a_value_as_json_compares(
    value: Any, path: str | tuple[str, ...], place: str | tuple[str, ...], wanted: list[Any]
) -> None:
    token, found = a_token(**put(value, place)), at(put(value, place), path)
    for want in WANTED:
        assert is_met(Claim(path, equals=want), token) is equal(found, want)
        members = found if isinstance(found, list) else []
        assert is_met(Claim(path, contains=want), token) is any(equal(member, want) for member in members)
    assert is_met(Claim(path, one_of=wanted), token) is any(equal(found, one) for one in wanted)
    assert is_met(Claim(path, present=True), token) is (found is not None)


@examples(40)
@given(VALUES, st.text(max_size=5))
def test_a_path_parameter_is_equal_to_a_text_or_to_a_whole_number_as_it_is_written(value: Any, other: str) -> None:
    written = value if isinstance(value, str) else str(value) if type(value) is int else None
    rule = Claim("a", equals=PathParam("id"))
    for text in (other, "acme", "1", "-1", "01", "1.0", "True", "False", "true", str(10**30), str(value)):
        assert is_met(rule, a_token(a=value), id=text) is (bool(text) and written == text)
    assert not is_met(rule, a_token(a=value))


@examples(70)
@given(VALUES | st.floats(NOW - 700, NOW + 200), VALUES | st.sampled_from(["gold", "silver"]))
def test_a_step_up_is_asked_for_unless_the_time_is_a_number_and_the_class_is_named(when: Any, acr: Any) -> None:
    token, context = a_token(auth_time=when, acr=acr), Context(now=NOW)
    assert Acr(["gold"]).met_by(token, context) is (acr == "gold")
    number = isinstance(when, (int, float)) and not isinstance(when, bool)
    assert Acr(max_age=600).met_by(token, context) is (number and NOW - 600 <= when <= NOW + 60)


TYPES = st.sampled_from(["account", "account", "payment"])
ACTIONS = st.lists(st.sampled_from(["read", "write"]), max_size=2)
DETAILS = st.fixed_dictionaries(
    {"type": TYPES, "actions": ACTIONS}, optional={"identifier": st.sampled_from(["7", "8"]) | JSON}
) | st.fixed_dictionaries({"type": TYPES | JSON}, optional={"actions": ACTIONS | JSON, "identifier": JSON})


@examples(70)
@given(st.lists(DETAILS | JSON, max_size=3) | JSON, st.sampled_from([(), ("read",), ("read", "write")]))
def test_authorization_details_are_one_object_that_has_all_that_is_named(
    details: Any, actions: tuple[str, ...]
) -> None:
    assume(json.dumps(details))
    token, context = a_token(authorization_details=details), Context(now=NOW)
    fitting = [
        detail
        for detail in (details if isinstance(details, list) else [])
        if isinstance(detail, dict)
        and detail.get("type") == "account"
        and (not actions or (isinstance(detail.get("actions"), list) and set(actions) <= {*_texts(detail["actions"])}))
    ]
    rule = AuthorizationDetails("account", actions=actions)
    assert rule.met_by(token, context) is bool(fitting)
    one = AuthorizationDetails("account", actions=actions, identifier="7")
    assert one.met_by(token, context) is any(detail.get("identifier") == "7" for detail in fitting)


def _texts(values: list[Any]) -> list[str]:
    return [value for value in values if isinstance(value, str)]
