"""Rules about single claims, step-up, and external policies."""

from __future__ import annotations

import copy
import json
import math
import pickle
from typing import Any

import pytest

from jwt_asgi import AccessToken, Claim, ConfigurationError, Profile, Reason, Requirement
from jwt_asgi._core.access import Context, StepUp, Truth
from jwt_asgi._core.claim_rules import Acr, AuthorizationDetails, ExternalPolicy
from jwt_asgi._core.rules import PathParam
from jwt_asgi._core.signature import Verified
from tests.calls import calls_of
from tests.core.builders import KEY, NOW, good_claims

ID = PathParam("id")


def a_token(**claims: Any) -> AccessToken:
    return AccessToken(Verified({"alg": "RS256"}, good_claims(**claims), KEY), Profile.GENERIC)


def at(**path_params: str) -> Context:
    return Context(now=NOW, path_params=path_params)


def met(rule: Requirement, context: Context | None = None, /, **claims: Any) -> bool | None:
    return rule.met_by(a_token(**claims), context or at())


# Claim


@pytest.mark.parametrize(
    ("want", "value", "holds"),
    [
        ("a", "a", True),
        ("a", "A", False),
        ("a", "a ", False),
        ("a", ["a"], False),
        ("a", None, False),
        ("", "", True),
        ("1", 1, False),
        (1, "1", False),
        (1, 1, True),
        (1, 1.0, True),
        (1.5, 1.5, True),
        (1, True, False),
        (0, False, False),
        (True, True, True),
        (True, 1, False),
        (True, "true", False),
        (True, "True", False),
        (False, False, True),
        (False, None, False),
        (False, 0, False),
        (2**53 + 1, 2**53, False),
        (2**53 + 1, float(2**53), False),
        (10**400, 10**400, True),
        (1.0, 10**400, False),
        ("a", {"a": "a"}, False),
    ],
)
def test_a_claim_equals_a_value_of_the_same_kind_alone(want: Any, value: Any, holds: bool) -> None:
    assert met(Claim("x", equals=want), x=value) is holds
    assert met(Claim("x", one_of=[want, "never"]), x=value) is holds
    assert met(Claim("x", contains=want), x=["other", value]) is holds
    assert met(~Claim("x", equals=want), x=value) is not holds


def test_a_claim_that_is_not_there_equals_nothing() -> None:
    anything: list[Any] = ["a", "", 1, False]
    for rule in (Claim("x", equals=""), Claim("x", one_of=anything), *(Claim("x", contains=one) for one in anything)):
        assert met(rule) is False
        assert rule.judge(None, at()).truth is Truth.NO


@pytest.mark.parametrize("value", ["a b", {"a": 1}, 7, None, True, [], [["a"]], [{"a": "a"}], ["ab"]])
def test_only_an_array_contains(value: Any) -> None:
    assert met(Claim("x", contains="a"), x=value) is False


@pytest.mark.parametrize(
    ("claims", "holds"),
    [({}, False), ({"x": None}, False), ({"x": False}, True), ({"x": ""}, True), ({"x": []}, True), ({"x": 0}, True)],
)
def test_a_claim_is_present_unless_it_is_null(claims: dict[str, Any], holds: bool) -> None:
    assert met(Claim("x", present=True), **claims) is holds


def test_a_path_leads_into_objects_and_a_name_with_dots_is_one_name() -> None:
    claims: dict[str, Any] = {"address": {"country": "CH"}, "https://x.test/plan": "pro", "a.b": "dots"}
    assert met(Claim(["address", "country"], one_of=["CH", "LI"]), **claims)
    assert met(Claim("https://x.test/plan", equals="pro"), **claims)
    assert met(Claim("a.b", equals="dots"), **claims)
    assert met(Claim("address.country", equals="CH"), **claims) is False
    assert met(Claim(["address", "country", "x"], equals="CH"), **claims) is False


@pytest.mark.parametrize(
    ("value", "text", "holds"),
    [
        ("acme", "acme", True),
        ("acme", "ACME", False),
        (42, "42", True),
        (42, "042", False),
        (42, "42.0", False),
        (-1, "-1", True),
        (42.0, "42.0", False),
        (True, "True", False),
        (True, "1", False),
        (["acme"], "acme", False),
        (None, "None", False),
    ],
)
def test_a_path_parameter_equals_a_text_or_a_whole_number_as_it_is_written(value: Any, text: str, holds: bool) -> None:
    assert met(Claim("x", equals=ID), at(id=text), x=value) is holds
    assert met(Claim("x", one_of=["never", ID]), at(id=text), x=value) is holds
    assert met(Claim("x", contains=ID), at(id=text), x=[value]) is holds


def test_what_cannot_be_told_is_let_in_neither_way() -> None:
    for rule in (Claim("x", equals=ID), Claim("x", one_of=["a", ID]), Claim("x", contains=ID)):
        for claims in ({}, {"x": "b"}, {"x": ["b"]}):
            assert met(rule, **claims) is None
            assert met(~rule, **claims) is None
    assert met(Claim("x", one_of=["a", ID]), x="a") is True
    assert met(Claim("x", contains=ID), at(id="a"), x=[]) is False
    assert met(Claim("x", contains="a"), x=["b"]) is False


@pytest.mark.parametrize(
    ("path", "members", "option"),
    [
        ("x", {}, "Claim"),
        ("x", {"equals": "a", "contains": "b"}, "Claim"),
        ("", {"equals": "a"}, "Claim"),
        ([], {"equals": "a"}, "Claim"),
        (["a", ""], {"equals": "a"}, "Claim"),
        (["a", 7], {"equals": "a"}, "Claim"),
        (7, {"equals": "a"}, "Claim"),
        (None, {"equals": "a"}, "Claim"),
        ("x", {"present": False}, "Claim present"),
        ("x", {"present": 1}, "Claim present"),
        ("x", {"one_of": "abc"}, "Claim one_of"),
        ("x", {"one_of": []}, "Claim one_of"),
        ("x", {"one_of": ID}, "Claim one_of"),
        ("x", {"one_of": 7}, "Claim one_of"),
        ("x", {"one_of": ["a", None]}, "Claim one_of"),
        ("x", {"equals": None}, "Claim equals"),
        ("x", {"equals": ["a"]}, "Claim equals"),
        ("x", {"equals": math.nan}, "Claim equals"),
        ("x", {"equals": math.inf}, "Claim equals"),
        ("x", {"contains": {"a": 1}}, "Claim contains"),
    ],
)
def test_a_claim_has_a_path_and_one_question(path: Any, members: dict[str, Any], option: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Claim(path, **members)
    assert caught.value.option == option


# Acr


@pytest.mark.parametrize(
    ("rule", "claims", "holds"),
    [
        (Acr("gold"), {"acr": "gold"}, True),
        (Acr(["silver", "gold"]), {"acr": "gold"}, True),
        (Acr("gold"), {"acr": "silver"}, False),
        (Acr("gold"), {"acr": ["gold"]}, False),
        (Acr("gold"), {"acr": None}, False),
        (Acr("gold"), {}, False),
        (Acr("0"), {"acr": 0}, False),
        (Acr(max_age=300), {"auth_time": NOW - 300}, True),
        (Acr(max_age=300), {"auth_time": NOW - 300.5}, False),
        (Acr(max_age=300), {"auth_time": int(NOW) + 60}, True),
        (Acr(max_age=300), {"auth_time": NOW + 61}, False),
        (Acr(max_age=300), {"auth_time": NOW * 1000}, False),
        (Acr(max_age=0), {"auth_time": NOW}, True),
        (Acr(max_age=0), {"auth_time": NOW - 1}, False),
        (Acr(max_age=300), {"auth_time": str(NOW)}, False),
        (Acr(max_age=300), {"auth_time": 10**4000}, False),
        (Acr(max_age=300), {"auth_time": -(10**4000)}, False),
        (Acr(max_age=300), {"auth_time": None}, False),
        (Acr(max_age=300), {}, False),
        (Acr("gold", max_age=300), {"acr": "gold", "auth_time": NOW}, True),
        (Acr("gold", max_age=300), {"acr": "gold", "auth_time": NOW - 301}, False),
        (Acr("gold", max_age=300), {"acr": "silver", "auth_time": NOW}, False),
    ],
)
def test_the_user_authenticated_so_and_lately_enough(rule: Acr, claims: dict[str, Any], holds: bool) -> None:
    assert met(rule, **claims) is holds
    judgment = rule.judge(a_token(**claims), at())
    assert judgment.truth is (Truth.YES if holds else Truth.NO)
    assert judgment.step_up == StepUp(tuple(rule.values) or None, rule.max_age)
    assert judgment.reasons == (frozenset() if holds else {Reason.AUTHENTICATION_INSUFFICIENT})


def test_true_is_no_time() -> None:
    rule, context = Acr(max_age=60), Context(now=30)
    assert rule.met_by(a_token(auth_time=1), context) is True
    assert rule.met_by(a_token(auth_time=True), context) is False


@pytest.mark.parametrize(
    ("values", "max_age", "option"),
    [
        ((), None, "Acr"),
        ("", None, "Acr"),
        ("a b", None, "Acr"),
        ('a"', None, "Acr"),
        ("a\\", None, "Acr"),
        ("ä", None, "Acr"),
        ("a\n", None, "Acr"),
        (["a", 7], None, "Acr"),
        (7, None, "Acr"),
        ({"a": 1}, None, "Acr"),
        ("a", -1, "Acr max_age"),
        ("a", 1.5, "Acr max_age"),
        ("a", 1.0, "Acr max_age"),
        ("a", True, "Acr max_age"),
        ("a", "300", "Acr max_age"),
    ],
)
def test_an_acr_can_be_carried_by_a_challenge(values: Any, max_age: Any, option: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Acr(values, max_age=max_age)
    assert caught.value.option == option


# AuthorizationDetails (the example of RFC 9396 section 2)

DETAIL = {
    "type": "account_information",
    "actions": ["list_accounts", "read_balances"],
    "locations": ["https://example.com/accounts"],
    "datatypes": ["contacts", "photos"],
    "privileges": ["admin"],
    "identifier": "account-14-32-32-3",
    "geolocation": [{"lat": -32.364}],
}


@pytest.mark.parametrize(
    ("members", "holds"),
    [
        ({}, True),
        ({"actions": ["read_balances"]}, True),
        ({"actions": ["read_balances", "list_accounts"]}, True),
        ({"actions": ["read_balances", "pay"]}, False),
        ({"locations": ["https://example.com/accounts"]}, True),
        ({"locations": ["https://example.com/accounts/"]}, False),
        ({"datatypes": ["photos"], "privileges": ["admin"]}, True),
        ({"datatypes": ["photos"], "privileges": ["user"]}, False),
        ({"identifier": "account-14-32-32-3"}, True),
        ({"identifier": "account"}, False),
        ({"identifier": ID}, True),
    ],
)
def test_one_object_has_all_that_is_named(members: dict[str, Any], holds: bool) -> None:
    rule = AuthorizationDetails("account_information", **members)
    context = at(id="account-14-32-32-3")
    assert met(rule, context, authorization_details=[{"type": "other"}, DETAIL]) is holds


def test_two_objects_do_not_add_up() -> None:
    rule = AuthorizationDetails("t", actions=["a", "b"])
    halves = [{"type": "t", "actions": ["a"]}, {"type": "t", "actions": ["b"]}]
    assert met(rule, authorization_details=halves) is False
    assert met(rule, authorization_details=[{"type": "u", "actions": ["a", "b"]}]) is False
    assert met(rule, authorization_details=[{"type": "t", "actions": ["a", "b"]}]) is True


@pytest.mark.parametrize(
    "details",
    [
        None,
        "t",
        {"type": "t", "actions": ["a"]},
        [],
        ["t"],
        [None],
        [{"type": ["t"], "actions": ["a"]}],
        [{"actions": ["a"]}],
        [{"type": "t"}],
        [{"type": "t", "actions": "a"}],
        [{"type": "t", "actions": {"a": True}}],
        [{"type": "t", "actions": [["a"], None, 7, {"a": 1}]}],
        7,
    ],
)
def test_authorization_details_of_another_shape_allow_nothing(details: Any) -> None:
    assert met(AuthorizationDetails("t", actions=["a"]), authorization_details=details) is False


def test_an_identifier_that_the_route_lacks_cannot_be_told() -> None:
    rule = AuthorizationDetails("t", identifier=ID)
    assert met(rule, authorization_details=[{"type": "t"}]) is None
    assert met(rule, at(id="1"), authorization_details=[{"type": "t"}]) is False
    assert met(rule, at(id="1"), authorization_details=[{"type": "t", "identifier": 1}]) is False


@pytest.mark.parametrize(
    ("members", "option"),
    [
        ({"type": ""}, "AuthorizationDetails"),
        ({"type": None}, "AuthorizationDetails"),
        ({"type": "t", "actions": "read"}, "AuthorizationDetails actions"),
        ({"type": "t", "actions": [""]}, "AuthorizationDetails actions"),
        ({"type": "t", "locations": 7}, "AuthorizationDetails locations"),
        ({"type": "t", "datatypes": [7]}, "AuthorizationDetails datatypes"),
        ({"type": "t", "privileges": {"a": 1}}, "AuthorizationDetails privileges"),
        ({"type": "t", "identifier": ""}, "AuthorizationDetails identifier"),
        ({"type": "t", "identifier": 7}, "AuthorizationDetails identifier"),
    ],
)
def test_authorization_details_are_texts(members: dict[str, Any], option: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        AuthorizationDetails(**members)
    assert caught.value.option == option


# ExternalPolicy


async def yes(token: AccessToken, context: Context) -> bool:
    return True


async def no(token: AccessToken, context: Context) -> bool:
    return False


def test_a_policy_is_to_be_asked_until_its_answer_is_there() -> None:
    policy, token = ExternalPolicy("opa", yes), a_token()
    asked = policy.judge(token, at())
    assert (asked.truth, asked.ask, asked.missing) == (Truth.UNKNOWN, policy, ())
    assert (~policy).judge(token, at()).ask is policy
    assert policy.met_by(token, at()) is None
    assert policy.judge(token, Context(answers={policy: True})).truth is Truth.YES
    refused = policy.judge(token, Context(answers={policy: False}))
    assert (refused.truth, refused.missing) == (Truth.NO, ("policy opa",))
    assert (~policy).judge(token, Context(answers={policy: False})).truth is Truth.YES


def test_a_policy_is_not_asked_about_nobody() -> None:
    judgment = ExternalPolicy("opa", yes).judge(None, at())
    assert (judgment.truth, judgment.ask) == (Truth.NO, None)


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    async def __call__(self, token: AccessToken, context: Context) -> bool:
        return True


@pytest.mark.parametrize(
    ("name", "ask", "timeout", "option"),
    [
        ("", yes, 1, "ExternalPolicy"),
        (None, yes, 1, "ExternalPolicy"),
        ("opa", None, 1, "ExternalPolicy"),
        ("opa", Unhashable(), 1, "ExternalPolicy"),
        ("opa", yes, 0, "ExternalPolicy timeout"),
        ("opa", yes, "1", "ExternalPolicy timeout"),
        ("opa", yes, True, "ExternalPolicy timeout"),
    ],
)
def test_a_policy_has_a_name_a_function_and_a_time(name: Any, ask: Any, timeout: Any, option: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ExternalPolicy(name, ask, timeout=timeout)
    assert caught.value.option == option


@pytest.mark.parametrize("timeout", [0.001, 0.5, 60])
def test_a_policy_may_take_any_time_but_two_seconds_by_default(timeout: float) -> None:
    assert ExternalPolicy("opa", yes, timeout=timeout).timeout == timeout
    assert ExternalPolicy("opa", yes).timeout == 2.0


# What is refused

A_PATH = 'Claim: expected "name" or ["name", "within"]'
ONE_QUESTION = "Claim: expected one of equals=, one_of=, contains= and present=True"
VALUES = "expected texts, numbers, True or False"
TEXTS = "expected a list of texts"


@pytest.mark.parametrize(
    ("kind", "arguments", "members", "detail"),
    [
        (Claim, ["x"], {}, f"{ONE_QUESTION}; got none"),
        (Claim, ["x"], {"equals": "a", "contains": "b"}, f"{ONE_QUESTION}; got equals and contains"),
        (Claim, [["a", 7]], {"equals": "a"}, f"{A_PATH}; got ['a', 7]"),
        (Claim, ["x"], {"present": False}, "Claim present: expected True; for the contrary write ~Claim; got False"),
        (Claim, ["x"], {"one_of": "abc"}, """Claim one_of: expected a list of values, as ["a", "b"]; got 'abc'"""),
        (Claim, ["x"], {"one_of": ["a", None]}, f"Claim one_of: {VALUES}; got ['a', None]"),
        (Claim, ["x"], {"equals": None}, f"Claim equals: {VALUES}; got None"),
        (Acr, ["a b"], {}, "Acr: expected classes without spaces and quotes; got 'a b'"),
        (Acr, [], {}, "Acr: expected authentication context classes, max_age= or both"),
        (Acr, ["a"], {"max_age": 1.5}, "Acr max_age: expected whole seconds; got 1.5"),
        (Acr, ["a"], {"max_age": -1}, "Acr max_age: expected a number of seconds from 0 to 1e+09; got -1"),
        (AuthorizationDetails, [7], {}, "AuthorizationDetails: expected a type; got 7"),
        (AuthorizationDetails, ["t"], {"actions": "read"}, f"AuthorizationDetails actions: {TEXTS}; got 'read'"),
        (AuthorizationDetails, ["t"], {"privileges": [7]}, f"AuthorizationDetails privileges: {TEXTS}; got [7]"),
        (
            AuthorizationDetails,
            ["t"],
            {"identifier": 7},
            "AuthorizationDetails identifier: expected a text or PathParam; got 7",
        ),
        (
            ExternalPolicy,
            ["opa", None],
            {},
            "ExternalPolicy: expected a name, and an async function of token and context",
        ),
    ],
)
def test_a_refusal_says_what_was_expected_and_what_was_given(
    kind: Any, arguments: list[Any], members: dict[str, Any], detail: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        kind(*arguments, **members)
    assert caught.value.detail == detail


# As values

RULES: list[tuple[Requirement, str]] = [
    (Claim("x", equals=1), "claim x 1"),
    (Claim("x", equals=True), "claim x True"),
    (Claim("x", equals="1"), "claim x '1'"),
    (Claim("x", equals=ID), "claim x {id}"),
    (Claim(["x", "y"], one_of=["a", ID]), "claim x.y 'a' or {id}"),
    (Claim("x.y", one_of=["a", ID]), "claim x.y 'a' or {id}"),
    (Claim("x", contains="a"), "claim x with 'a'"),
    (Claim("x", present=True), "claim x"),
    (Acr("gold"), "acr gold"),
    (Acr(["silver", "gold"], max_age=60), "acr silver or gold and an authentication 60 s old at most"),
    (Acr(max_age=60), "an authentication 60 s old at most"),
    (AuthorizationDetails("t"), "authorization_details of type t"),
    (
        AuthorizationDetails("t", actions=["a", "b"], identifier=ID),
        "authorization_details of type t with actions a, b and identifier {id}",
    ),
    (ExternalPolicy("opa", yes), "policy opa"),
    (ExternalPolicy("opa", no), "policy opa"),
]


def test_a_rule_says_what_it_asks_for() -> None:
    assert [str(rule) for rule, _ in RULES] == [text for _, text in RULES]


def test_rules_are_values_of_which_no_two_are_alike() -> None:
    rules = [rule for rule, _ in RULES]
    assert len(set(rules)) == len(rules)
    assert [rules.index(rule) for rule in rules] == list(range(len(rules)))
    assert Claim("x", equals=1) != "x"


@pytest.mark.parametrize(
    ("rule", "written"),
    [
        (Claim("x", equals="1"), "Claim(['x'], equals='1')"),
        (Claim(["x", "y"], one_of=["a", ID]), "Claim(['x', 'y'], one_of=('a', PathParam(name='id')))"),
        (Claim("x", contains=True), "Claim(['x'], contains=True)"),
        (Claim("x", present=True), "Claim(['x'], present=True)"),
    ],
)
def test_a_rule_about_a_claim_is_shown_as_it_is_written(rule: Claim, written: str) -> None:
    assert repr(rule) == written


def test_what_was_given_may_change_and_the_rule_does_not() -> None:
    given = ["a"]
    rule = Claim("x", one_of=given)
    given.append("b")
    assert met(rule, x="a") is True
    assert met(rule, x="b") is False
    assert repr(rule) == "Claim(['x'], one_of=('a',))"


def test_what_only_looks_like_a_rule_is_another_thing() -> None:
    class Likeness:
        def __repr__(self) -> str:
            return repr(Claim("x", equals=1))

    assert Claim("x", equals=1) != Likeness()


@pytest.mark.parametrize(
    ("rule", "member"),
    [
        (Claim("x", equals=1), "equals"),
        (Acr("gold"), "max_age"),
        (AuthorizationDetails("t"), "type"),
        (ExternalPolicy("opa", yes), "timeout"),
    ],
)
def test_a_rule_does_not_change(rule: Requirement, member: str) -> None:
    with pytest.raises(AttributeError):
        setattr(rule, member, 7)


@pytest.mark.parametrize("rule", [rule for rule, _ in RULES], ids=str)
def test_a_rule_can_be_copied_and_pickled(rule: Requirement) -> None:
    for other in (copy.copy(rule), copy.deepcopy(rule), pickle.loads(pickle.dumps(rule))):
        assert other == rule
        assert hash(other) == hash(rule)
        assert other.judge(a_token(x=1), at(id="1")) == rule.judge(a_token(x=1), at(id="1"))


def test_the_claims_of_a_token_are_compared_as_they_were_read() -> None:
    claims = json.loads('{"x": 1e0, "y": [1, "1"], "z": {"a": [true]}}')
    assert met(Claim("x", equals=1), **claims) is True
    assert met(Claim("y", contains=1), **claims) is True
    assert met(Claim(["z", "a"], contains=True), **claims) is True
    assert met(Claim(["z", "a"], contains=1), **claims) is False


def test_an_external_policy_alone_is_awaited() -> None:
    async def ask(token: AccessToken, context: Context) -> bool:
        return True

    assert ExternalPolicy("opa", ask).awaits()
    assert (Claim("a", present=True) | ~ExternalPolicy("opa", ask)).awaits()
    assert not (Claim("a", present=True) & Acr("b")).awaits()


@pytest.mark.parametrize(
    ("text", "members", "holds"),
    [
        ("7", [1, "a", 7], True),
        ("7", [7.0, True, "7 "], False),
        ("7", [7.0, 3], False),
        ("1", [True, 1.0], False),
        ("1", [True, 1.0, 1], True),
        ("0", [-0, False], True),
        ("-0", [0], False),
        ("-7", [-7], True),
        ("07", [7], False),
        ("+7", [7], False),
        ("7" * 5_000, [7], False),
        ("7" * 4_000, [int("7" * 4_000)], True),
    ],
)
def test_an_array_contains_a_path_parameter_as_a_text_or_as_a_whole_number(
    text: str, members: list[Any], holds: bool
) -> None:
    assert met(Claim("x", contains=ID), at(id=text), x=members) is holds
    assert any(met(Claim("x", equals=ID), at(id=text), x=one) for one in members) is holds


@pytest.mark.parametrize("want", ["a", 7, True, ID])
def test_thousands_of_members_take_no_more_calls_than_two(want: Any) -> None:
    def look(number: int) -> int:
        token = a_token(x=[*range(10, 10 + number)])
        token.claims  # noqa: B018 - read once, and kept
        return calls_of(Claim("x", contains=want).met_by, token, at(id="9"))

    assert look(4_000) == look(2)
