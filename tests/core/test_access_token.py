"""Verified x Profile -> AccessToken: what an application reads."""

from __future__ import annotations

import copy
import json
import math
import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from jwt_asgi import Profile
from jwt_asgi._core.access_token import AccessToken, Grants
from jwt_asgi._core.signature import Verified
from tests.calls import calls_of
from tests.core.builders import AUDIENCE, ISSUER, KEY, NOW, good_claims

NESTED: dict[str, Any] = {"realm_access": {"roles": ["admin", "editor"]}, "list": [1, [2, {"a": [3]}]]}


def read(profile: Profile = Profile.GENERIC, **changes: Any) -> AccessToken:
    return AccessToken(Verified({"alg": "RS256", "x5c": ["a"]}, good_claims(**changes), KEY), profile)


def without(*names: str) -> AccessToken:
    claims = {name: value for name, value in good_claims().items() if name not in names}
    return AccessToken(Verified({}, claims, KEY), Profile.GENERIC)


# --- the fields -----------------------------------------------------------------------------------------------------


def test_the_registered_claims_are_fields() -> None:
    token = read(scope="todos:read todos:write", roles=["admin"])
    assert token.issuer == ISSUER
    assert token.subject == "user-1"
    assert token.client_id == "client-1"
    assert token.audience == (AUDIENCE,)
    assert token.scopes == {"todos:read", "todos:write"}
    assert token.roles == {"admin"}
    assert token.expires_at == NOW + 290
    assert token.issued_at == NOW - 10
    assert token.token_id == "token-1"
    assert token.claims == good_claims(scope="todos:read todos:write", roles=("admin",))
    assert token.header == {"alg": "RS256", "x5c": ("a",)}


def test_what_is_absent_is_none_or_empty() -> None:
    token = without("sub", "client_id", "iat", "jti", "aud")
    assert (token.subject, token.client_id, token.issued_at, token.token_id) == (None, None, None, None)
    assert (token.audience, token.scopes, token.roles) == ((), frozenset(), frozenset())


@pytest.mark.parametrize(
    ("aud", "audience"), [("a", ("a",)), (["a"], ("a",)), (["b", "a", "b"], ("b", "a", "b")), ([], ())]
)
def test_the_audience_is_always_a_tuple(aud: object, audience: tuple[str, ...]) -> None:
    assert read(aud=aud).audience == audience


@pytest.mark.parametrize(
    ("claims", "audience"),
    [
        ({"aud": "a"}, ("a",)),
        ({"aud": []}, ()),
        ({"aud": ["a", "b"], "client_id": "c"}, ("a", "b")),
        ({"client_id": "c"}, ("c",)),
        ({}, ()),
    ],
)
def test_the_audience_is_what_the_profile_compares(claims: dict[str, Any], audience: tuple[str, ...]) -> None:
    profile = Profile.GENERIC.replace(audience=[["aud"], ["client_id"]])
    kept = {name: value for name, value in good_claims().items() if name not in {"aud", "client_id"}}
    assert AccessToken(Verified({}, kept | claims, KEY), profile).audience == audience


# --- scopes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        pytest.param("", set(), id="empty"),
        pytest.param("a", {"a"}, id="one"),
        pytest.param("a b a", {"a", "b"}, id="one twice"),
        pytest.param("  a   b ", {"a", "b"}, id="many spaces"),
        pytest.param("a\tb", {"a\tb"}, id="a tab does not separate"),
        pytest.param("a\nb", {"a\nb"}, id="nor does a line break"),
        pytest.param("a\u00a0b", {"a\u00a0b"}, id="nor does a no-break space"),
        pytest.param("a,b", {"a,b"}, id="nor does a comma"),
        pytest.param(["a", "b"], {"a", "b"}, id="an array"),
        pytest.param(["a b"], {"a b"}, id="an entry of an array is not split"),
        pytest.param([], set(), id="an empty array"),
        pytest.param(["a", "", 7, None, True, ["b"], {"c": 1}], {"a"}, id="entries that are no strings"),
    ],
)
def test_scopes_are_split_at_spaces_or_taken_entry_by_entry(scope: object, scopes: set[str]) -> None:
    assert read(scope=scope).scopes == scopes


SCP = Profile.GENERIC.replace(scopes=[["scp"], ["scope"], ["ext", "scope"]])


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scp": "a", "scope": "b"}, {"a"}),
        ({"scope": "b"}, {"b"}),
        ({"scp": "", "scope": "b"}, set()),
        ({"scp": [], "scope": "b"}, set()),
        ({"ext": {"scope": "c"}}, {"c"}),
        ({"ext": "c"}, set()),
        ({}, set()),
    ],
)
def test_the_first_path_that_is_there_counts_for_scopes(claims: dict[str, Any], scopes: set[str]) -> None:
    assert read(SCP, **claims).scopes == scopes


# --- roles ----------------------------------------------------------------------------------------------------------

KEYCLOAK = Profile.GENERIC.replace(
    roles=[["realm_access", "roles"], ["resource_access", "api", "roles"], ["https://example.com/roles"]]
)


@pytest.mark.parametrize(
    ("claims", "roles"),
    [
        pytest.param({"realm_access": {"roles": ["a"]}}, {"a"}, id="nested"),
        pytest.param(
            {"realm_access": {"roles": ["a"]}, "resource_access": {"api": {"roles": ["b"]}}}, {"a", "b"}, id="all paths"
        ),
        pytest.param({"https://example.com/roles": ["c"]}, {"c"}, id="a URL is one key"),
        pytest.param({"roles": ["d"]}, set(), id="another claim"),
        pytest.param({"realm_access": {"roles": "admin"}}, set(), id="a string is no array"),
        pytest.param({"realm_access": {"roles": "a b"}}, set(), id="and is not split"),
        pytest.param({"realm_access": {"roles": {"a": 1}}}, set(), id="an object"),
        pytest.param({"realm_access": {"roles": None}}, set(), id="null"),
        pytest.param({"realm_access": ["roles"]}, set(), id="an array on the way"),
        pytest.param({"realm_access": {"roles": ["a", "", 7, None, True, ["b"], {"c": 1}]}}, {"a"}, id="odd entries"),
        pytest.param({"realm_access": {"roles": ["a b"]}}, {"a b"}, id="an entry with a space"),
        pytest.param({}, set(), id="none"),
    ],
)
def test_roles_are_the_strings_in_the_arrays_at_all_paths(claims: dict[str, Any], roles: set[str]) -> None:
    assert read(KEYCLOAK, **claims).roles == roles


@pytest.mark.parametrize(
    ("claims", "roles"),
    [
        pytest.param({"roles": {"a": {"1": "x"}, "b": True, "c": "x"}}, {"a", "b", "c"}, id="keys"),
        pytest.param({"roles": {"a": {}, "b": False, "c": None, "d": [], "e": "", "f": 0}}, set(), id="not granted"),
        pytest.param({"roles": {"": {"1": "x"}}}, set(), id="an empty name"),
        pytest.param({"roles": {}}, set(), id="an empty object"),
        pytest.param({"roles": ["a"]}, {"a"}, id="an array all the same"),
        pytest.param({"roles": ["a"], "more": {"b": 1}}, {"a", "b"}, id="all paths"),
        pytest.param({"roles": "a"}, set(), id="a string"),
        pytest.param({"roles": [{"a": 1}]}, set(), id="an object in an array"),
    ],
)
def test_the_keys_of_an_object_are_roles_where_the_profile_says_so(claims: dict[str, Any], roles: set[str]) -> None:
    profile = replace(Profile.GENERIC, role_objects=True, roles=(("roles",), ("more",)))
    assert read(profile, **claims).roles == roles


def test_the_keys_of_an_object_are_no_roles_otherwise() -> None:
    assert read(roles={"admin": {"1": "x"}}).roles == frozenset()


@pytest.mark.parametrize(
    ("claims", "client"),
    [
        ({"client_id": "a", "azp": "b"}, "a"),
        ({"client_id": 7, "azp": "b"}, "b"),
        ({"client_id": None, "azp": "b"}, "b"),
        ({"client_id": "", "azp": "b"}, ""),
        ({"client_id": None, "azp": 7}, None),
    ],
)
def test_the_first_path_that_holds_a_string_is_the_client(claims: dict[str, Any], client: str | None) -> None:
    assert read(Profile.GENERIC, **claims).client_id == client


def test_the_strict_profile_reads_client_id_alone() -> None:
    assert read(Profile.RFC9068, client_id=None, azp="b").client_id is None


# --- read-only ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field",
    [
        *("claims", "header", "issuer", "subject", "client_id", "audience"),
        *("scopes", "roles", "expires_at", "issued_at", "token_id"),
    ],
)
def test_no_field_can_be_changed(field: str) -> None:
    token = read()
    with pytest.raises(AttributeError):
        setattr(token, field, getattr(token, field))
    with pytest.raises(AttributeError):
        delattr(token, field)


def test_no_field_can_be_added() -> None:
    with pytest.raises((AttributeError, TypeError)):
        read().extra = 1  # type: ignore[attr-defined]


def test_whoever_changes_a_token_reads_that_it_is_read_only() -> None:
    token = read()
    with pytest.raises(AttributeError, match="an AccessToken is read-only; subject cannot be set"):
        token.subject = "root"  # type: ignore[misc]
    with pytest.raises(AttributeError, match="an AccessToken is read-only; claims cannot be deleted"):
        del token.claims


MUTATIONS: list[Callable[[Any], object]] = [
    lambda d: d.__setitem__("sub", "root"),
    lambda d: d.__setitem__("new", 1),
    lambda d: d.__delitem__("sub"),
    lambda d: d.__ior__({"sub": "root"}),
    lambda d: d.clear(),
    lambda d: d.pop("sub"),
    lambda d: d.pop("new", None),
    lambda d: d.popitem(),
    lambda d: d.setdefault("sub", "root"),
    lambda d: d.setdefault("new", 1),
    lambda d: d.update({"sub": "root"}),
    lambda d: d.update(sub="root"),
]


@pytest.mark.parametrize("where", ["claims", "header", "nested", "in an array"])
def test_claims_and_header_cannot_be_changed_at_any_depth(where: str) -> None:
    token = AccessToken(
        Verified({"sub": "user-1"}, good_claims(inner={"sub": "user-1"}, many=[{"sub": "user-1"}]), KEY),
        Profile.GENERIC,
    )
    target: Any = {
        "claims": token.claims,
        "header": token.header,
        "nested": token.claims["inner"],
        "in an array": token.claims["many"][0],
    }[where]
    before = dict(target)
    for mutate in MUTATIONS:
        with pytest.raises(TypeError, match="read-only"):
            mutate(target)
    assert target == before


def test_the_statement_forms_are_refused_too() -> None:
    claims: Any = read().claims
    with pytest.raises(TypeError, match="read-only"):
        claims["sub"] = "root"
    with pytest.raises(TypeError, match="read-only"):
        del claims["sub"]
    with pytest.raises(TypeError, match="read-only"):
        claims |= {"sub": "root"}


def test_arrays_are_tuples_at_any_depth() -> None:
    claims = read(**NESTED).claims
    assert claims["list"] == (1, (2, {"a": (3,)}))
    assert claims["realm_access"] == {"roles": ("admin", "editor")}


def test_claims_are_a_dict_that_can_be_written_as_json() -> None:
    token = read(**NESTED)
    assert isinstance(token.claims, dict)
    assert json.loads(json.dumps(token.claims)) == good_claims(**NESTED)
    assert json.loads(json.dumps(token.header)) == {"alg": "RS256", "x5c": ["a"]}


@pytest.mark.parametrize(
    "duplicate",
    [
        pytest.param(dict, id="dict"),
        pytest.param(copy.copy, id="copy"),
        pytest.param(copy.deepcopy, id="deepcopy"),
        pytest.param(lambda claims: claims.copy(), id="its own copy"),
        pytest.param(lambda claims: claims | {}, id="or"),
        pytest.param(lambda claims: pickle.loads(pickle.dumps(claims)), id="pickle"),
    ],
)
def test_a_copy_is_a_plain_dict_that_can_be_changed(duplicate: Callable[[Any], dict[str, Any]]) -> None:
    claims = read().claims
    copied = duplicate(claims)
    assert type(copied) is dict
    assert copied == claims
    copied["sub"] = "root"
    assert claims["sub"] == "user-1"


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda claims: pickle.loads(pickle.dumps(claims))], ids=["deepcopy", "pickle"]
)
def test_a_deep_copy_is_plain_all_the_way_down(duplicate: Callable[[Any], dict[str, Any]]) -> None:
    copied = duplicate(read(**NESTED).claims)
    assert type(copied["realm_access"]) is dict
    assert type(copied["list"][1][1]) is dict


def test_a_token_can_be_pickled() -> None:
    token = read(scope="a", **NESTED)
    again = pickle.loads(pickle.dumps(token))
    assert again.subject == "user-1"
    assert again.scopes == {"a"}
    assert again.claims == token.claims


# --- identity and text ----------------------------------------------------------------------------------------------


def test_a_token_is_equal_to_itself_alone_and_can_be_a_key() -> None:
    token = read()
    assert token == token  # noqa: PLR0124 - that is the claim
    assert token != read()
    assert {token: 1}[token] == 1


def test_the_repr_shows_issuer_subject_and_expiry_alone() -> None:
    token = read(email="jane@example.com", scope="s3cret", jti="s3cret")
    expected = "AccessToken(issuer='https://issuer.test', subject='user-1', expires_at=1700000290.0)"
    assert repr(token) == expected
    assert str(token) == expected


def test_claims_cannot_be_filled_a_second_time() -> None:
    claims: Any = read().claims
    with pytest.raises(TypeError, match="read-only"):
        claims.__init__({"sub": "root"})
    assert claims["sub"] == "user-1"


# --- permissions, and what the application grants -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "permissions"),
    [
        ({"permissions": ["a", "b c", 7, "", None]}, {"a", "b c"}),
        ({"permissions": "a"}, set()),
        ({"permissions": {"a": True}}, set()),
        ({"more": {"list": ["m"]}, "permissions": ["a"]}, {"a", "m"}),
        ({}, set()),
    ],
)
def test_permissions_are_the_strings_in_the_arrays_at_all_paths(claims: dict[str, Any], permissions: set[str]) -> None:
    profile = Profile.GENERIC.replace(permissions=[["permissions"], ["more", "list"]])
    assert read(profile, **claims).permissions == permissions


def test_a_grant_takes_the_place_of_what_the_token_says_and_leaves_the_claims() -> None:
    token = read(scope="a b", roles=["x"], permissions=["p"])
    assert token.scopes == {"a", "b"}
    granted = token.granted(Grants(scopes=["c"], roles=()))
    assert granted.scopes == {"c"}
    assert granted.roles == frozenset()
    assert granted.permissions == {"p"}
    assert granted.claims == token.claims
    assert (granted.subject, granted.client_id, granted.header) == (token.subject, token.client_id, token.header)
    assert granted.good_until == token.good_until
    assert token.scopes == {"a", "b"}
    assert token.roles == {"x"}
    assert pickle.loads(pickle.dumps(granted)).scopes == {"c"}
    assert copy.deepcopy(granted).roles == frozenset()
    changing: Any = granted
    with pytest.raises(AttributeError):
        changing.scopes = frozenset({"z"})
    assert token.granted(Grants()).scopes == {"a", "b"}


@pytest.mark.parametrize("member", ["scopes", "roles", "permissions"])
@pytest.mark.parametrize(
    "values", ["admin", b"admin", {"admin": False}, 7, [7], [None], [["a"]], ["a", b"b"], iter(["a"]), True]
)
def test_a_grant_is_a_collection_of_texts(member: str, values: Any) -> None:
    told = f"Grants: expected a collection of texts as {member}; got {type(values).__name__}"
    with pytest.raises(TypeError, match=re.escape(told)):
        Grants(**{member: values})


def test_grants_are_values() -> None:
    assert Grants(scopes=["a", "a"]) == Grants(scopes={"a"})
    assert Grants(scopes=[]).given() == {"scopes": frozenset()}
    assert Grants().given() == {}
    changing: Any = Grants(scopes=["a"])
    with pytest.raises(AttributeError):
        changing.scopes = frozenset({"b"})
    make: Any = Grants
    with pytest.raises(TypeError):
        make(["a"])


@pytest.mark.parametrize(
    ("limits", "until"),
    [({}, 1_000), ({"leeway": 30.0}, 1_030), ({"max_age": 200.0}, 900), ({"max_age": 200.0, "leeway": 30.0}, 930)],
)
def test_it_is_good_until_it_expires_or_is_too_old_and_the_leeway_longer(limits: dict[str, float], until: int) -> None:
    verified = Verified({"alg": "RS256"}, good_claims(iat=700, exp=1_000), KEY)
    assert AccessToken(verified, Profile.GENERIC, **limits).good_until == until


def test_where_it_does_not_say_when_it_was_issued_it_is_good_until_it_expires() -> None:
    claims = {name: value for name, value in good_claims(exp=1_000).items() if name != "iat"}
    token = AccessToken(Verified({"alg": "RS256"}, claims, KEY), Profile.GENERIC, max_age=200.0)
    assert token.good_until == 1_000


@pytest.mark.parametrize(
    ("dates", "since"),
    [
        ({"nbf": 700, "iat": 600}, 670),
        ({"nbf": 600, "iat": 700}, 670),
        ({"nbf": 700}, 670),
        ({"iat": 700}, 670),
        ({}, -math.inf),
    ],
)
def test_it_is_good_since_the_later_of_two_dates_and_the_leeway_earlier(dates: dict[str, int], since: float) -> None:
    claims = {name: value for name, value in good_claims().items() if name != "iat"} | dates
    assert AccessToken(Verified({}, claims, KEY), Profile.GENERIC, leeway=30.0).good_since == since


def test_thousands_of_scopes_take_no_more_calls_than_two() -> None:
    def look(number: int) -> int:
        return calls_of(lambda: read(scope=" ".join(map(str, range(number)))).scopes)

    assert look(4_000) == look(2)
    assert read(scope="  a  b ").scopes == {"a", "b"}
