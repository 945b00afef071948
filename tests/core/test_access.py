"""AccessToken x Requirement -> granted, or what is missing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import pytest

from jwt_asgi import (
    AccessError,
    AccessToken,
    ConfigurationError,
    Profile,
    Reason,
    Requirement,
    Role,
    Scope,
    check_access,
)
from jwt_asgi._core.access import Context, StepUp, Truth, are_met, judge_all, refusal
from jwt_asgi._core.claim_rules import Acr, ExternalPolicy
from jwt_asgi._core.rules import Permission
from jwt_asgi._core.signature import Verified
from tests.core.builders import KEY, access_token, good_claims

A, B, C = Scope("a"), Scope("b"), Scope("c")
X, Y = Role("x"), Role("y")
# for what a type checker would not let pass
ANY_A: Any = A
ANY_AND: Any = A & B
ANY_OR: Any = A | B


def refused(token: AccessToken | None, requirement: Requirement) -> AccessError:
    with pytest.raises(AccessError) as caught:
        check_access(token, requirement)
    return caught.value


def tokens() -> list[tuple[AccessToken, dict[str, bool]]]:
    """A token for every combination of the scopes a, b, c and the roles x, y."""
    found = []
    for bits in range(32):
        has = {name: bool(bits >> at & 1) for at, name in enumerate("abcxy")}
        scopes = tuple(name for name in "abc" if has[name])
        roles = tuple(name for name in "xy" if has[name])
        found.append((access_token(scopes=scopes, roles=roles), has))
    return found


@pytest.mark.parametrize(
    ("requirement", "rule"),
    [
        pytest.param(A, lambda a, b, c, x, y: a, id="a scope"),
        pytest.param(X, lambda a, b, c, x, y: x, id="a role"),
        pytest.param(A & B, lambda a, b, c, x, y: a and b, id="both"),
        pytest.param(A | B, lambda a, b, c, x, y: a or b, id="either"),
        pytest.param(A & X, lambda a, b, c, x, y: a and x, id="a scope and a role"),
        pytest.param(A | X, lambda a, b, c, x, y: a or x, id="a scope or a role"),
        pytest.param(A & B & C, lambda a, b, c, x, y: a and b and c, id="three"),
        pytest.param(A | B | C, lambda a, b, c, x, y: a or b or c, id="any of three"),
        pytest.param(A | B & C, lambda a, b, c, x, y: a or (b and c), id="& binds tighter than |"),
        pytest.param((A | B) & C, lambda a, b, c, x, y: (a or b) and c, id="parentheses"),
        pytest.param(A & (X | Y), lambda a, b, c, x, y: a and (x or y), id="the rule of the docstring"),
        pytest.param((A & X) | (B & Y), lambda a, b, c, x, y: (a and x) or (b and y), id="two ways in"),
        pytest.param((A | X) & (B | Y) & C, lambda a, b, c, x, y: (a or x) and (b or y) and c, id="a deep one"),
    ],
)
def test_a_rule_means_what_it_says_for_every_token(requirement: Requirement, rule: Callable[..., bool]) -> None:
    for token, has in tokens():
        assert requirement.met_by(token, Context()) is rule(**has), has
        if rule(**has):
            assert check_access(token, requirement) is token
        else:
            error = refused(token, requirement)
            assert set(error.scopes) <= requirement.scopes()
            assert set(error.roles) <= requirement.roles()
            assert error.missing


def test_a_scope_is_no_role_and_a_role_no_scope() -> None:
    assert Role("a").met_by(access_token(scopes=("a",)), Context()) is False
    assert Scope("x").met_by(access_token(roles=("x",)), Context()) is False


@pytest.mark.parametrize("held", ["A", "a ", "aa", "a:read", "", "*", "a*"])
def test_a_name_means_itself_alone(held: str) -> None:
    token = access_token(scopes=(held,), roles=(held,))
    assert Scope("a").met_by(token, Context()) is False
    assert Role("a").met_by(token, Context()) is False


# --- what is asked for ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requirement", "scopes", "roles"),
    [
        (A, {"a"}, set()),
        (X, set(), {"x"}),
        (A & X, {"a"}, {"x"}),
        (A | X, {"a"}, {"x"}),
        ((B | A) & (X | Y) & A, {"a", "b"}, {"x", "y"}),
    ],
)
def test_a_rule_names_all_that_it_asks_for(requirement: Requirement, scopes: set[str], roles: set[str]) -> None:
    assert requirement.scopes() == scopes
    assert requirement.roles() == roles


@pytest.mark.parametrize(
    ("scopes", "roles", "requirement", "reason"),
    [
        pytest.param((), (), A, Reason.SCOPE_MISSING, id="no scope"),
        pytest.param((), (), X, Reason.ROLE_MISSING, id="no role"),
        pytest.param((), (), A & X, Reason.SCOPE_MISSING, id="neither"),
        pytest.param(("a",), (), A & X, Reason.ROLE_MISSING, id="the scope is there"),
        pytest.param((), ("x",), A & X, Reason.SCOPE_MISSING, id="the role is there"),
        pytest.param(("a",), (), A & B, Reason.SCOPE_MISSING, id="one scope of two"),
        pytest.param(("a", "c"), (), (A | B) & X, Reason.ROLE_MISSING, id="one of two scopes will do"),
        pytest.param(("c",), (), (A | B) & X, Reason.SCOPE_MISSING, id="none of two scopes is there"),
        pytest.param((), (), X | A, Reason.SCOPE_MISSING, id="either would do"),
    ],
)
def test_the_reason_is_a_scope_where_one_is_missing_and_else_a_role(
    scopes: tuple[str, ...], roles: tuple[str, ...], requirement: Requirement, reason: Reason
) -> None:
    assert refused(access_token(scopes=scopes, roles=roles), requirement).reason is reason


def test_the_refusal_names_everything_that_is_needed_sorted() -> None:
    error = refused(access_token(scopes=("a",)), C & A & B & Y & X)
    assert error.scopes == ("a", "b", "c")
    assert error.roles == ("x", "y")
    assert error.missing == ("scope c", "scope b", "role y", "role x")
    assert error.detail == "needs scope c and scope b and role y and role x"


def test_without_a_token_credentials_are_missing() -> None:
    error = refused(None, A & X)
    assert error.reason is Reason.CREDENTIALS_MISSING
    assert error.scopes == ("a",)
    assert error.roles == ("x",)
    assert error.detail == ""


def test_without_a_token_no_step_up_is_asked_for() -> None:
    error = refused(None, Acr("gold", max_age=60))
    assert error.reason is Reason.CREDENTIALS_MISSING
    assert (error.acr_values, error.max_age) == ((), None)


# --- how rules are written ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "combine",
    [
        pytest.param(lambda: ANY_A and B, id="and"),
        pytest.param(lambda: ANY_A or B, id="or"),
        pytest.param(lambda: not ANY_A, id="not"),
        pytest.param(lambda: bool(X), id="bool of a role"),
        pytest.param(lambda: ANY_AND and C, id="and behind &"),
        pytest.param(lambda: ANY_OR or C, id="or behind |"),
        pytest.param(lambda: 1 if ANY_A else 2, id="if"),
        pytest.param(lambda: all([A, B]), id="all"),
        pytest.param(lambda: any([A, B]), id="any"),
    ],
)
def test_what_would_drop_a_part_of_the_rule_in_silence_is_refused(combine: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match="not with `and`, `or` and `not`"):
        combine()


@pytest.mark.parametrize("other", ["b", None, True, 7, frozenset({"b"}), Scope, [B]])
def test_a_rule_combines_with_rules_alone(other: Any) -> None:
    for left, right in ((A, other), (other, A)):
        with pytest.raises(TypeError):
            left & right
        with pytest.raises(TypeError):
            left | right


@pytest.mark.parametrize(
    "name", ["a", "todos:read", "https://example.com/scope", "a.b-c_d~e", "!#[]^`{|}~", "*", "a,b"]
)
def test_a_scope_is_a_scope_token(name: str) -> None:
    assert Scope(name).name == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "a b",
        " a",
        "a ",
        'a"b',
        "a\\b",
        "a\tb",
        "a\n",
        "\x00",
        "\x7f",
        "é",
        "a\u00a0b",
        None,
        7,
        b"a",
        ["a"],
        A,
    ],
)
def test_a_scope_is_nothing_else(name: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Scope(name)
    assert caught.value.option == "Scope"


def test_every_character_of_a_scope_is_judged_as_rfc_6749_says() -> None:
    # section 3.3: NQCHAR = %x21 / %x23-5B / %x5D-7E
    allowed = {0x21, *range(0x23, 0x5C), *range(0x5D, 0x7F)}
    taken = set()
    for code in range(0x180):
        try:
            Scope(chr(code))
        except ConfigurationError:
            continue
        taken.add(code)
    assert taken == allowed


@pytest.mark.parametrize("name", ["admin", "a b", "é", '"', "\\", " "])
def test_a_role_may_have_any_name(name: str) -> None:
    assert Role(name).met_by(access_token(roles=(name,)), Context())


@pytest.mark.parametrize("name", ["", None, 7, b"a", ["a"]])
def test_a_role_has_a_name(name: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Role(name)
    assert caught.value.option == "Role"


def test_rules_are_values() -> None:
    assert Role("a") != ANY_A
    for made, again in ((A, Scope("a")), (X, Role("x")), (A & X, Scope("a") & Role("x")), (A | X, A | Role("x"))):
        assert made == again
        assert hash(made) == hash(again)
    assert A & B != A | B
    assert A & B != B & A
    assert len({A, Scope("a"), B, A & B, Scope("a") & B}) == 3
    assert hash(~A) == hash(~Scope("a"))
    with pytest.raises(AttributeError):
        A.name = "b"  # type: ignore[misc]


def test_a_rule_of_one_s_own_combines_with_the_others() -> None:
    @dataclass(frozen=True)
    class Named(Requirement):
        subject: str

        def met_by(self, token: AccessToken, context: Context) -> bool:
            return token.subject == self.subject

    rule = Named("user-1") & A
    assert check_access(access_token(scopes=("a",)), rule).subject == "user-1"
    assert Named("x").scopes() == Named("x").roles() == frozenset()
    assert rule.scopes() == {"a"}
    assert Named("x") == Named("x") != Named("y")
    assert refused(access_token(scopes=("a",)), Scope("b") & Named("user-1")).detail == "needs scope b"
    nobody = refused(access_token(), Named("nobody"))
    assert (nobody.reason, nobody.detail) == (Reason.ACCESS_DENIED, f"needs {Named('nobody')}")


def test_requirement_itself_cannot_be_made() -> None:
    with pytest.raises(TypeError):
        Requirement()  # type: ignore[abstract]


# --- three values ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Says(Requirement):
    """What it is told to say; like a path parameter that is not there, where that is None."""

    answer: Any

    def met_by(self, token: AccessToken, context: Context) -> bool | None:
        answer: bool | None = self.answer
        return answer

    def __str__(self) -> str:
        return f"says {self.answer}"


YES, NO, UNKNOWN = Says(True), Says(False), Says(None)
TRUTHS = {True: Truth.YES, False: Truth.NO, None: Truth.UNKNOWN}


@pytest.mark.parametrize(
    ("rule", "truth"),
    [
        (YES & YES, True),
        (YES & UNKNOWN, None),
        (UNKNOWN & YES, None),
        (NO & UNKNOWN, False),
        (UNKNOWN & NO, False),
        (UNKNOWN & UNKNOWN, None),
        (YES | UNKNOWN, True),
        (UNKNOWN | YES, True),
        (NO | UNKNOWN, None),
        (UNKNOWN | NO, None),
        (NO | NO, False),
        (~YES, False),
        (~NO, True),
        (~UNKNOWN, None),
        (~(YES & UNKNOWN), None),
        (~(NO & UNKNOWN), True),
        (~(NO | NO), True),
        (~~UNKNOWN, None),
    ],
    ids=str,
)
def test_what_cannot_be_told_lets_nobody_in_and_neither_does_its_contrary(
    rule: Requirement, truth: bool | None
) -> None:
    assert rule.met_by(access_token(), Context()) is truth
    assert rule.judge(access_token(), Context()).truth is TRUTHS[truth]
    if truth is True:
        assert check_access(access_token(), rule)
    else:
        error = refused(access_token(), rule)
        assert error.reason is Reason.ACCESS_DENIED
        assert error.missing
    assert refused(None, rule).reason is Reason.CREDENTIALS_MISSING


@dataclass(frozen=True)
class Careless(Requirement):
    """It does not expect to be asked without a token."""

    def met_by(self, token: AccessToken, context: Context) -> bool:
        return token.subject != "nobody"


@pytest.mark.parametrize("rule", [YES, UNKNOWN, ~NO, YES | NO, YES & YES, Careless(), ~Careless()], ids=str)
def test_nothing_is_met_without_a_token_and_no_rule_is_asked(rule: Requirement) -> None:
    assert rule.judge(None, Context()).truth is Truth.NO


def test_a_refusal_says_what_could_not_be_told() -> None:
    assert refused(access_token(), UNKNOWN).missing == ("says None, which cannot be told here",)


def test_a_rule_awaits_where_any_part_of_it_does() -> None:
    policy = ExternalPolicy("opa", any_answer)
    assert all(rule.awaits() for rule in (policy, ~policy, policy & A, A & policy, policy | A, A | policy))
    assert not any(rule.awaits() for rule in (A, ~A, A & X, A | X))


@pytest.mark.parametrize("answer", [1, "yes", [True], object(), Truth.YES])
def test_only_true_itself_is_a_yes_and_only_false_a_no(answer: Any) -> None:
    for rule in (Says(answer), ~Says(answer)):
        assert refused(access_token(), rule).reason is Reason.ACCESS_DENIED


def test_a_negation_is_at_the_leaves_and_a_double_one_is_none() -> None:
    assert ~(A & B) == ~A | ~B
    assert ~(A | B) == ~A & ~B
    assert ~~A == A
    assert ~~(A & ~(B | X)) == A & ~(B | X)
    assert list((~(A & (B | ~X))).leaves()) == [A, B, X]
    assert str(~(A & B)) == "(not scope a or not scope b)"
    assert str(~(A | B)) == "(not scope a and not scope b)"


def test_the_contrary_names_no_scope_to_ask_for() -> None:
    error = refused(access_token(scopes=("a",)), ~A & B)
    assert (error.reason, error.missing) == (Reason.SCOPE_MISSING, ("not scope a", "scope b"))
    error = refused(access_token(scopes=("a",)), ~A)
    assert (error.reason, error.scopes, error.detail) == (Reason.ACCESS_DENIED, (), "needs not scope a")
    assert (~A).scopes() == frozenset()


# --- the nearest way in ---------------------------------------------------------------------------------------------

GOLD, LATELY, DENIED = Acr("gold"), Acr(max_age=60), Says(False)


@pytest.mark.parametrize(
    ("rule", "reason", "scopes"),
    [
        (A | B, Reason.SCOPE_MISSING, ("a",)),
        (X | B, Reason.SCOPE_MISSING, ("b",)),
        (GOLD | B, Reason.SCOPE_MISSING, ("b",)),
        (DENIED | GOLD, Reason.AUTHENTICATION_INSUFFICIENT, ()),
        (DENIED | X, Reason.ACCESS_DENIED, ()),
        ((A & X) | (B & GOLD), Reason.AUTHENTICATION_INSUFFICIENT, ("b",)),
        ((A & X) | (B & DENIED), Reason.SCOPE_MISSING, ("a",)),
        (X & GOLD, Reason.ROLE_MISSING, ()),
        (DENIED & GOLD, Reason.ACCESS_DENIED, ()),
        (UNKNOWN & GOLD, Reason.ACCESS_DENIED, ()),
        (Permission("p") & GOLD, Reason.PERMISSION_MISSING, ()),
        ((A | DENIED) & (X | B) & Scope("held"), Reason.SCOPE_MISSING, ("a", "b", "held")),
        # Each would do by itself, and no token can have both
        (A & ~A, Reason.ACCESS_DENIED, ("a",)),
        ((A & ~A) | (B & C), Reason.SCOPE_MISSING, ("b", "c")),
        (GOLD & Acr("silver"), Reason.ACCESS_DENIED, ()),
        ((GOLD & Acr("silver")) | B, Reason.SCOPE_MISSING, ("b",)),
    ],
    ids=str,
)
def test_a_refusal_is_about_the_nearest_way_in(rule: Requirement, reason: Reason, scopes: tuple[str, ...]) -> None:
    error = refused(access_token(scopes=("held",)), rule)
    assert (error.reason, error.scopes) == (reason, scopes)
    if reason is not Reason.AUTHENTICATION_INSUFFICIENT:
        assert (error.acr_values, error.max_age) == ((), None)


@pytest.mark.parametrize(
    ("rule", "acr_values", "max_age"),
    [
        (GOLD, ("gold",), None),
        (LATELY, (), 60),
        (GOLD & LATELY & A, ("gold",), 60),
        (Acr(["silver", "gold", "bronze"]) & Acr(["bronze", "silver"]), ("silver", "bronze"), None),
        (Acr(["gold", "silver"], max_age=300) & LATELY, ("gold", "silver"), 60),
        (LATELY & Acr(max_age=0), (), 0),
        (GOLD | LATELY, ("gold",), None),
    ],
    ids=str,
)
def test_a_step_up_asks_for_what_suffices_for_all(
    rule: Requirement, acr_values: tuple[str, ...], max_age: int | None
) -> None:
    error = refused(access_token(), rule)
    assert error.reason is Reason.AUTHENTICATION_INSUFFICIENT
    assert (error.acr_values, error.max_age) == (acr_values, max_age)


def test_a_step_up_asks_for_no_less_than_what_is_met_already() -> None:
    # else the next token would be refused for what this one had
    silver = AccessToken(Verified({}, good_claims(acr="silver"), KEY), Profile.GENERIC)
    assert refused(silver, Acr(["silver", "gold"]) & GOLD).acr_values == ("gold",)
    assert refused(silver, Acr(["silver", "gold"]) & LATELY).acr_values == ("silver", "gold")
    assert refused(silver, Acr("silver") & GOLD).reason is Reason.ACCESS_DENIED


async def any_answer(token: AccessToken, context: Context) -> bool:
    raise AssertionError("asked")


def test_what_nobody_was_asked_yet_is_no_reason() -> None:
    policy = ExternalPolicy("opa", any_answer)
    token = access_token()
    assert (policy & NO).judge(token, Context()).truth is Truth.NO
    assert (~policy).judge(token, Context()).ask is policy
    assert (~policy).judge(token, Context(answers={policy: False})).truth is Truth.YES
    assert refusal((policy & GOLD).judge(token, Context()), token).reason is Reason.AUTHENTICATION_INSUFFICIENT
    assert refusal((policy & A).judge(token, Context()), token).reason is Reason.SCOPE_MISSING
    waits = (A | policy).judge(token, Context())
    assert (waits.truth, waits.ask, waits.scopes) == (Truth.UNKNOWN, policy, frozenset())
    other = ExternalPolicy("other", any_answer)
    assert (policy & other).judge(token, Context()).ask is policy
    assert (other | policy).judge(token, Context()).ask is other
    assert (YES | policy).judge(token, Context()).truth is Truth.YES


def test_several_rules_are_judged_in_contexts_of_their_own_and_refused_as_one() -> None:
    rule = Scope("doc:{id}:read")
    parts = [(rule, Context(path_params={"id": name})) for name in "xy"]
    assert judge_all(parts, access_token(scopes=("doc:x:read", "doc:y:read"))).truth is Truth.YES
    half = judge_all(parts, access_token(scopes=("doc:x:read",)))
    assert half.truth is Truth.NO
    assert half.scopes == {"doc:x:read", "doc:y:read"}
    assert half.missing == ("scope doc:{id}:read",)
    assert judge_all([], None).truth is Truth.YES


def test_a_context_is_a_copy_that_nobody_can_change() -> None:
    given = {"id": "1"}
    context = Context(path_params=given)
    given["id"] = "2"
    assert context.path_params == {"id": "1"}
    changing: Any = context.path_params
    with pytest.raises(TypeError, match="read-only"):
        changing["id"] = "3"
    assert copy.deepcopy(context) == context
    with pytest.raises(AttributeError):
        context.method = "GET"  # type: ignore[misc]


def test_a_context_knows_nothing_that_it_was_not_told() -> None:
    context = Context()
    assert (context.now, context.method, context.path) == (0.0, "", "")
    assert (context.path_params, context.answers) == ({}, {})


def test_a_judgment_cannot_be_changed() -> None:
    judgment = NO.judge(access_token(), Context())
    with pytest.raises(AttributeError):
        judgment.truth = Truth.YES  # type: ignore[misc]


def test_several_rules_are_met_when_each_is_in_its_own_context() -> None:
    token = access_token(scopes=("doc:1:read", "a"))
    one, two = (Context(path_params={"id": number}) for number in "12")
    rule = Scope("doc:{id}:read")
    assert are_met([], token)
    assert are_met([(rule, one), (A, two)], token)
    assert not are_met([(A, one), (rule, two)], token)


def test_what_is_asked_of_an_authentication_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        StepUp().max_age = 3  # type: ignore[misc]
