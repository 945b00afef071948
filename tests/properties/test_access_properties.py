"""Whatever rule is written, it means what its words say; and a refusal names a way that is open once it is taken."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from jwt_asgi._core.access import Context, Truth
from jwt_asgi._core.access_token import Grants
from jwt_asgi._core.claim_rules import Acr
from jwt_asgi._core.jwks import secret_key
from jwt_asgi._core.rules import PathParam, Subject, is_token
from jwt_asgi._core.signature import Verified
from tests.properties.strategies import examples

NOW = 1_700_000_000.0
(KEY,) = secret_key(b"s" * 32, ["HS256"]).keys
CONTEXT = Context(now=NOW)

# A rule as a tree: ("scope", "a"), ("role", "x"), ("unknown",), ("acr", classes, age), ("not", rule), ("and", a, b)
Tree = tuple[Any, ...]
SCOPES, ROLES, CLASSES = "abc", "xy", ("bronze", "silver", "gold")

scopes = st.tuples(st.just("scope"), st.sampled_from(SCOPES))
roles = st.tuples(st.just("role"), st.sampled_from(ROLES))
unknown = st.just(("unknown",))
classes = st.lists(st.sampled_from(CLASSES), min_size=1, max_size=3, unique=True).map(tuple)
step_ups = st.tuples(st.just("acr"), classes, st.none() | st.sampled_from([60, 600]))


def trees(leaves: st.SearchStrategy[Tree], *, negated: bool = True) -> st.SearchStrategy[Tree]:
    def grow(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
        pairs = st.tuples(st.sampled_from(["and", "or"]), inner, inner)
        return st.tuples(st.just("not"), inner) | pairs if negated else pairs

    return st.recursive(leaves, grow, max_leaves=8)


def rule_of(tree: Tree) -> Requirement:  # noqa: PLR0911 - one for each kind
    match tree:
        case ("scope", name):
            return Scope(name)
        case ("role", name):
            return Role(name)
        case ("unknown",):
            return Subject(PathParam("nowhere"))
        case ("acr", values, age):
            return Acr(values, max_age=age)
        case ("not", inner):
            return ~rule_of(inner)
        case ("and", left, right):
            return rule_of(left) & rule_of(right)
        case (_, left, right):
            return rule_of(left) | rule_of(right)
    raise AssertionError(tree)


def meaning(tree: Tree, token: AccessToken) -> bool | None:
    """The three values of Kleene: 'and' is the least of two, 'or' the greatest, False < None < True."""
    order = [False, None, True]
    match tree:
        case ("scope", name):
            return name in token.scopes
        case ("role", name):
            return name in token.roles
        case ("unknown",):
            return None
        case ("not", inner):
            truth = meaning(inner, token)
            return None if truth is None else not truth
        case (word, left, right):
            pick = min if word == "and" else max
            return order[pick(order.index(meaning(left, token)), order.index(meaning(right, token)))]
    raise AssertionError(tree)


def a_token(scope: list[str], roles: list[str], **claims: Any) -> AccessToken:
    good = {"iss": "https://issuer.test", "aud": "api", "exp": NOW + 60, "scope": scope, "roles": roles, **claims}
    return AccessToken(Verified({}, good, KEY), Profile.GENERIC)


tokens = st.builds(
    lambda scope, roles, acr, age: a_token(sorted(scope), sorted(roles), acr=acr, auth_time=NOW - age),
    st.sets(st.sampled_from(SCOPES)),
    st.sets(st.sampled_from(ROLES)),
    st.sampled_from(CLASSES),
    st.sampled_from([0, 300, 3000]),
)


def refusal_of(token: AccessToken | None, rule: Requirement) -> AccessError | None:
    try:
        assert check_access(token, rule, context=CONTEXT) is token
    except AccessError as error:
        return error
    return None


@given(trees(scopes | roles | unknown), tokens)
@examples(120)
def test_a_rule_means_what_its_words_say(tree: Tree, token: AccessToken) -> None:
    rule, truth = rule_of(tree), meaning(tree, token)
    assert rule.met_by(token, CONTEXT) is truth
    assert (~rule).met_by(token, CONTEXT) is (None if truth is None else not truth)
    assert ~~rule == rule
    error = refusal_of(token, rule)
    assert (error is None) is (truth is True)
    if error is not None:
        assert error.missing
        assert all(error.missing)


@given(trees(scopes | roles | unknown | step_ups), tokens)
@examples(120)
def test_what_a_refusal_is_made_of_agrees_with_the_decision(tree: Tree, token: AccessToken) -> None:
    rule = rule_of(tree)
    truths = {True: Truth.YES, False: Truth.NO, None: Truth.UNKNOWN}
    for either in (rule, ~rule):
        assert either.judge(token, CONTEXT).truth is truths[either.met_by(token, CONTEXT)]


@given(trees(scopes | roles | unknown | step_ups))
@examples(80)
def test_no_rule_lets_a_request_without_a_token_in(tree: Tree) -> None:
    for rule in (rule_of(tree), ~rule_of(tree), rule_of(tree) | ~rule_of(tree)):
        error = refusal_of(None, rule)
        assert error is not None
        assert error.reason is Reason.CREDENTIALS_MISSING
        assert error.missing


@given(trees(scopes | roles | unknown), trees(scopes | roles | unknown), tokens)
@examples(80)
def test_the_laws_of_de_morgan_hold(left: Tree, right: Tree, token: AccessToken) -> None:
    a, b = rule_of(left), rule_of(right)
    assert (~(a & b)).met_by(token, CONTEXT) is (~a | ~b).met_by(token, CONTEXT)
    assert (~(a | b)).met_by(token, CONTEXT) is (~a & ~b).met_by(token, CONTEXT)


@given(trees(scopes | roles | unknown), tokens)
@examples(120)
def test_the_scopes_that_are_asked_for_open_the_way_where_scopes_are_all_that_is_missing(
    tree: Tree, token: AccessToken
) -> None:
    rule = rule_of(tree)
    error = refusal_of(token, rule)
    if error is None or error.reason is not Reason.SCOPE_MISSING or not set(error.roles) <= token.roles:
        return
    assert set(error.scopes) - token.scopes
    again = refusal_of(token.granted(Grants(scopes=token.scopes | set(error.scopes))), rule)
    # What nothing but scopes stood in the way of is open now; else the rest of that way is told
    assert again is None or again.reason is not Reason.SCOPE_MISSING
    if all(part.startswith("scope ") for part in error.missing):
        assert again is None


@given(trees(scopes | step_ups, negated=False), tokens)
@examples(120)
def test_a_step_up_with_the_scopes_that_are_named_opens_the_way(tree: Tree, token: AccessToken) -> None:
    rule = rule_of(tree)
    error = refusal_of(token, rule)
    if error is None or error.reason is Reason.ACCESS_DENIED:
        # Two step-ups that no token can have both
        return
    claims = dict(token.claims)
    if error.reason is Reason.AUTHENTICATION_INSUFFICIENT:
        assert error.acr_values or error.max_age is not None
        claims |= {"auth_time": NOW, **({"acr": error.acr_values[-1]} if error.acr_values else {})}
    better = a_token(sorted(token.scopes | set(error.scopes)), [], **{n: claims[n] for n in ("acr", "auth_time")})
    assert refusal_of(better, rule) is None


@given(trees(scopes | roles | unknown, negated=False), tokens, st.sets(st.sampled_from(SCOPES)))
@examples(80)
def test_without_a_negation_another_scope_never_takes_a_right_away(
    tree: Tree, token: AccessToken, more: set[str]
) -> None:
    rule = rule_of(tree)
    if refusal_of(token, rule) is None:
        assert refusal_of(token.granted(Grants(scopes=token.scopes | more)), rule) is None


# Scopes with path parameters

HOSTILE = st.text(st.characters() | st.sampled_from(':-._~/ %{}\\"*\n\x00ä,;=+@'), max_size=8)
VALUES = HOSTILE | st.text("ab1:-._~", max_size=5) | st.sampled_from(["{other}", "..", "42", "a:b", "%3a", "\\g<0>"])
SEPARATORS = st.text(":-._~/,@+", min_size=1, max_size=2)


def named(name: str, **values: str) -> str | None:
    judgment = Scope(name).judge(None, Context(path_params=values))
    (scope,) = judgment.scopes or {None}
    return scope


@given(VALUES, VALUES)
@examples(120)
def test_a_value_in_a_scope_is_one_part_of_it_as_it_is(value: str, other: str) -> None:
    scope = named("doc:{id}:read", id=value, other=other)
    if scope is not None:
        assert is_token(scope)
        assert scope.split(":") == ["doc", value, "read"]
    else:
        token = a_token([f"doc:{value}:read", "doc:{id}:read", "doc::read"], [])
        for rule in (Scope("doc:{id}:read"), ~Scope("doc:{id}:read")):
            with pytest.raises(AccessError):
                check_access(token, rule, path_params={"id": value, "other": other})


@given(SEPARATORS, SEPARATORS, st.tuples(VALUES, VALUES), st.tuples(VALUES, VALUES))
@examples(120)
def test_two_requests_never_mean_the_same_scope_by_different_values(
    before: str, between: str, these: tuple[str, str], those: tuple[str, str]
) -> None:
    name = f"x{before}{{a}}{between}{{b}}"
    first, second = (named(name, a=a, b=b) for a, b in (these, those))
    if first is not None and first == second:
        assert these == those


@given(st.text(st.sampled_from("a1:-{}id"), min_size=1, max_size=10))
@examples(80)
def test_a_name_is_a_template_or_a_scope_or_refused_at_the_start(name: str) -> None:
    try:
        rule = Scope(name)
    except ConfigurationError:
        return
    assert rule.scopes() in (frozenset(), {name})
    assert named(name) == (name if rule.scopes() else None)
