"""Rules about who a token is for and what it names."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from jwt_asgi import AccessToken, ConfigurationError, Profile, Reason, Requirement, Role, Scope
from jwt_asgi._core.access import Context, Truth
from jwt_asgi._core.rules import AnyToken, Client, Issuer, PathParam, Permission, Subject, is_token, listed, resolved
from jwt_asgi._core.signature import Verified
from tests.core.builders import ISSUER, KEY, access_token, good_claims


def a_token(**claims: Any) -> AccessToken:
    return AccessToken(Verified({"alg": "RS256"}, good_claims(**claims), KEY), Profile.GENERIC)


def at(**path_params: Any) -> Context:
    return Context(path_params=path_params)


NOWHERE = Context()


# One token, one rule


@pytest.mark.parametrize(
    ("rule", "met"),
    [
        (AnyToken(), True),
        (Scope("a"), True),
        (Scope("c"), False),
        (Role("x"), True),
        (Role("y"), False),
        (Permission("p"), True),
        (Permission("x"), False),
        (Issuer(ISSUER), True),
        (Issuer(ISSUER + "/"), False),
        (Issuer("https://other.test", ISSUER), True),
        (Client("client-1"), True),
        (Client("client-2"), False),
        (Client("client-2", "client-1"), True),
        (Subject("user-1"), True),
        (Subject("user-2"), False),
        (Subject("USER-1"), False),
    ],
)
def test_a_rule_holds_or_does_not(rule: Requirement, met: bool) -> None:
    token = a_token(scope="a b", roles=["x"], permissions=["p"])
    assert rule.met_by(token, NOWHERE) is met
    judgment = rule.judge(token, NOWHERE)
    assert judgment.truth is (Truth.YES if met else Truth.NO)
    assert judgment.missing == (() if met else (str(rule),))
    assert judgment.reasons == (frozenset() if met else {rule.reason})
    assert rule.judge(None, NOWHERE).truth is Truth.NO


@pytest.mark.parametrize("rule", [Client("client-1"), Subject("user-1"), Subject(PathParam("id"))])
def test_a_token_that_names_nobody_is_nobodys(rule: Requirement) -> None:
    claims = good_claims()
    del claims["sub"], claims["client_id"]
    token = AccessToken(Verified({"alg": "RS256"}, claims, KEY), Profile.GENERIC)
    assert rule.met_by(token, at(id="user-1")) is False
    assert rule.met_by(token, NOWHERE) is not True, "nobody is not whoever the route does not name"


@pytest.mark.parametrize(
    ("rule", "text", "reason"),
    [
        (AnyToken(), "any token", Reason.ACCESS_DENIED),
        (Scope("a"), "scope a", Reason.SCOPE_MISSING),
        (Role("x"), "role x", Reason.ROLE_MISSING),
        (Permission("p"), "permission p", Reason.PERMISSION_MISSING),
        (Issuer("https://a.test", "https://b.test"), "issuer https://a.test or https://b.test", Reason.ACCESS_DENIED),
        (Client("c"), "client c", Reason.ACCESS_DENIED),
        (Subject(PathParam("user_id"), "admin"), "subject {user_id} or admin", Reason.ACCESS_DENIED),
    ],
)
def test_a_rule_says_what_it_asks_for_and_why_a_token_is_refused(rule: Requirement, text: str, reason: Reason) -> None:
    assert str(rule) == text
    assert rule.judge(None, at(user_id="u")).reasons == {reason}


def test_scopes_and_roles_are_named_for_documents() -> None:
    assert Scope("a").scopes() == {"a"}
    assert Role("x").roles() == {"x"}
    assert Scope("a").roles() == Role("x").scopes() == frozenset()
    assert Scope("doc:{id}:read").scopes() == frozenset()
    assert Scope("{}").scopes() == {"{}"}


# Path parameters


@pytest.mark.parametrize(
    ("context", "met"),
    [
        (at(id="user-1"), True),
        (at(id="user-2"), False),
        (at(id="user-1 "), False),
        (at(id="USER-1"), False),
        (at(id="*"), False),
        (at(id=""), None),
        (at(id=7), None),
        (at(other="user-1"), None),
        (NOWHERE, None),
    ],
)
def test_a_path_parameter_is_compared_as_it_is(context: Context, met: bool | None) -> None:
    rule = Subject(PathParam("id"))
    assert rule.met_by(a_token(), context) is met
    truth = {True: Truth.YES, False: Truth.NO, None: Truth.UNKNOWN}[met]
    assert rule.judge(a_token(), context).truth is truth


def test_what_cannot_be_told_is_no_reason_to_get_another_token() -> None:
    for rule in (Subject(PathParam("id")), Scope("doc:{id}:read")):
        judgment = rule.judge(a_token(), NOWHERE)
        assert judgment.truth is Truth.UNKNOWN
        assert judgment.reasons == {Reason.ACCESS_DENIED}
        assert judgment.missing == (f"{rule}, which cannot be told here",)
        assert judgment.scopes == frozenset()


def test_one_of_several_is_enough_though_another_cannot_be_told() -> None:
    rule = Subject(PathParam("id"), "user-1")
    assert rule.met_by(a_token(), NOWHERE) is True
    assert rule.met_by(a_token(sub="user-2"), NOWHERE) is None


@pytest.mark.parametrize(
    ("name", "value", "scope"),
    [
        ("doc:{id}:read", "42", "doc:42:read"),
        ("doc:{id}:read", "a-b_c.d~e", "doc:a-b_c.d~e:read"),
        ("doc:{id}:read", "..", "doc:..:read"),
        ("doc.{id}.read", "a-b", "doc.a-b.read"),
        ("doc.{id}.read", "a.b", None),
        ("doc-{id}", "a-b", None),
        ("doc-{id}", "a_b", "doc-a_b"),
        ("{id}", "42", "42"),
        ("https://api.test/{id}", "42", "https://api.test/42"),
        *(
            ("doc:{id}:read", value, None)
            for value in [
                "",
                "a:b",
                "1:write",
                "a b",
                "a/b",
                "a%3ab",
                "a\n",
                "\na",
                "a\x00",
                "ä",
                "\uff11",
                "*",
                "?",
                "{id}",
            ]
        ),
        *(
            ("doc:{id}:read", value, None)
            for value in ["{other}", "a,b", 'a"', "a\\b", "\\g<0>", "\\1", "+", "a@b", "a="]
        ),
    ],
)
def test_a_value_in_a_scope_is_one_part_of_it_or_the_scope_is_nobodys(name: str, value: str, scope: str | None) -> None:
    rule, context = Scope(name), at(id=value, other="42")
    held = tuple({name, name.replace("{id}", value), "doc:42:read", scope or "x"})
    token = access_token(scopes=held)
    assert rule.met_by(token, context) is (None if scope is None else True)
    assert rule.judge(token, context).scopes == (frozenset() if scope is None else {scope})
    assert rule.judge(None, context).scopes == (frozenset() if scope is None else {scope})


def test_a_scope_takes_several_parameters_and_each_must_be_there() -> None:
    rule = Scope("{tenant}:doc:{id}:{id}")
    assert rule.judge(None, at(tenant="t", id="7")).scopes == {"t:doc:7:7"}
    assert rule.met_by(access_token(), at(id="7")) is None
    assert rule.met_by(access_token(), at(tenant="t", id=7)) is None
    assert rule.met_by(access_token(scopes=("t:doc:7:7",)), at(tenant="t", id="7", more="x")) is True


@pytest.mark.parametrize("name", ["", "a b", 'a"', "doc:{id} read", None, 7])
def test_a_scope_is_one_scope(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected one scope, without spaces and quotes"):
        Scope(name)


@pytest.mark.parametrize(
    "name", ["doc{id}", "a{id}", "1{id}", "{id}read", "{a}{b}", "{{id}}", "doc1{id}", "{id}}", "a:{b}:{c}{d}"]
)
def test_a_parameter_in_a_scope_stands_between_separators(name: str) -> None:
    with pytest.raises(ConfigurationError, match="between separators") as caught:
        Scope(name)
    assert caught.value.option == "Scope"


@pytest.mark.parametrize("name", ["{}", "{1}", "{a-b}", "{a", "a}", "{", "{a.b}", "x:{}:y"])
def test_braces_around_no_name_are_themselves(name: str) -> None:
    assert Scope(name).met_by(access_token(scopes=(name,)), at(a="x")) is True


def test_a_text_stands_for_itself() -> None:
    assert resolved("{id}", at(id="x")) == "{id}"
    assert resolved(PathParam("id"), at(id="x")) == "x"


# What can be written


@pytest.mark.parametrize("name", ["", "a-b", "a b", "1a", None, 7, "{id}"])
def test_a_path_parameter_has_a_name(name: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        PathParam(name)
    assert caught.value.option == "PathParam"


@pytest.mark.parametrize("kind", [Issuer, Client, Subject])
@pytest.mark.parametrize("values", [(), ("",), (None,), (["a"],), ("a", 7), (Scope("a"),)])
def test_one_of_takes_texts_and_path_parameters(kind: Any, values: tuple[Any, ...]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        kind(*values)
    assert caught.value.option == kind.__name__


@pytest.mark.parametrize("kind", [Role, Permission])
@pytest.mark.parametrize("name", ["", None, 7, b"a"])
def test_a_name_is_a_text(kind: Any, name: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        kind(name)
    assert caught.value.option == kind.__name__


@pytest.mark.parametrize(
    ("kind", "arguments", "detail"),
    [
        (PathParam, ["a-b"], """PathParam: expected the name of a path parameter, as "id"; got 'a-b'"""),
        (
            Scope,
            ["a b"],
            'Scope: expected one scope, without spaces and quotes; for two, write Scope("a") & Scope("b"); got \'a b\'',
        ),
        (Scope, ["x:a{id}"], """Scope: expected {id} between separators, as in "doc:{id}:read"; got 'x:a{id}'"""),
        (Role, [""], "Role: expected a name; got ''"),
        (Permission, [7], "Permission: expected a name; got 7"),
        (Issuer, [], "Issuer: expected one or more texts, or PathParam; got none"),
        (Client, ["a", 7], "Client: expected one or more texts, or PathParam; got 'a', 7"),
    ],
)
def test_a_refusal_says_what_was_expected_and_what_was_given(kind: Any, arguments: list[Any], detail: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        kind(*arguments)
    assert caught.value.detail == detail


RULES: list[Requirement] = [
    AnyToken(),
    Scope("a"),
    Scope("b"),
    Role("a"),
    Permission("a"),
    Issuer("a"),
    Client("a"),
    Subject("a"),
    Subject("a", "b"),
    Subject("{a}"),
    Subject(PathParam("a")),
    Scope("a") & Role("a"),
    Scope("a") | Role("a"),
    ~Scope("a"),
    ~Subject("a"),
]


def test_rules_are_values_of_which_no_two_are_alike() -> None:
    assert len(set(RULES)) == len(RULES)
    assert [RULES.index(rule) for rule in RULES] == list(range(len(RULES)))
    assert Subject("a") != "a"


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_rule_can_be_copied_and_pickled(rule: Requirement) -> None:
    for other in (copy.copy(rule), copy.deepcopy(rule), pickle.loads(pickle.dumps(rule))):
        assert other == rule
        assert hash(other) == hash(rule)
        assert (str(other), repr(other)) == (str(rule), repr(rule))


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_rule_does_not_change(rule: Requirement) -> None:
    for name in ("name", "values", "left", "inner", "more"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(rule, name, "b")


def test_whoever_changes_a_rule_reads_that_it_is_read_only() -> None:
    with pytest.raises(AttributeError, match="a rule is read-only; values cannot be set"):
        Subject("a").values = ("b",)


def test_a_path_parameter_does_not_change() -> None:
    with pytest.raises(AttributeError):
        PathParam("id").name = "other"  # type: ignore[misc]


def test_a_rule_is_shown_as_it_is_written() -> None:
    assert repr(Subject("a", PathParam("id"))) == "Subject('a', PathParam(name='id'))"


@pytest.mark.parametrize(
    ("values", "members"),
    [
        ([], ()),
        (["a"], ("a",)),
        (("a", 7), ("a", 7)),
        (frozenset({"a"}), ("a",)),
        ("a", None),
        (b"a", None),
        ({"a": True}, None),
        (7, None),
        (None, None),
        (iter(["a"]), None),
    ],
)
def test_a_list_is_no_text_and_no_dict(values: Any, members: tuple[Any, ...] | None) -> None:
    assert listed(values) == members


@pytest.mark.parametrize("value", ["", " ", "a b", 'a"', "a\\", "ä", 7, None])
def test_a_token_of_a_challenge_has_no_spaces_and_quotes(value: Any) -> None:
    assert not is_token(value)
