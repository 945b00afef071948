"""The named loosenings: what each profile takes, and how one makes one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import pytest

from jwt_asgi import AccessToken, ConfigurationError, Profile, Reason, TokenError, TrustedIssuer, Verifier
from jwt_asgi.profiles import PROFILES
from jwt_asgi.testing import TestIssuer

ISSUER = TestIssuer(algorithms=["ES256"])


async def read(profile: Profile, claims: dict[str, Any]) -> AccessToken:
    """The access token that these claims make under a profile."""
    token = ISSUER.token(claims=claims, without=[] if "client_id" in claims else ["client_id"])
    return await Verifier(TrustedIssuer(**ISSUER.options(), profile=profile)).verify(token)


def asks_nothing_more(profile: Profile) -> bool:
    """Whether a profile leaves alone what only the profiles of providers use."""
    more = (profile.required_one_of, profile.kinds, profile.forbidden, profile.role_objects)
    return profile.audience == (("aud",),) and not any(more)


def test_the_generic_profile_takes_what_most_issuers_send() -> None:
    assert Profile.GENERIC.name == "GENERIC"
    assert Profile.GENERIC.types == {None, "jwt", "at+jwt", "application/at+jwt"}
    assert Profile.GENERIC.required == ()
    assert Profile.GENERIC.scopes == (("scope",),)
    assert Profile.GENERIC.roles == (("roles",),)
    assert Profile.GENERIC.client == (("client_id",), ("azp",))
    assert asks_nothing_more(Profile.GENERIC)


def test_the_strict_profile_is_rfc_9068_to_the_letter() -> None:
    # RFC 9068 sections 2.1 and 2.2
    assert Profile.RFC9068.name == "RFC9068"
    assert Profile.RFC9068.types == {"at+jwt", "application/at+jwt"}
    assert Profile.RFC9068.required == ("sub", "iat", "jti", "client_id")
    assert Profile.RFC9068.scopes == (("scope",),)
    assert Profile.RFC9068.roles == (("roles",),)
    assert Profile.RFC9068.client == (("client_id",),)
    assert asks_nothing_more(Profile.RFC9068)


def test_every_profile_has_a_name_for_the_command_line() -> None:
    assert [*PROFILES] == [
        *("generic", "rfc9068", "entra-v1", "entra-v2", "auth0", "okta", "keycloak", "cognito", "google", "zitadel")
    ]
    attributes = {name: value for name, value in vars(Profile).items() if isinstance(value, Profile)}
    assert {profile.name: profile for profile in PROFILES.values()} == attributes


def test_the_named_profiles_cannot_be_changed_for_everybody() -> None:
    profiles: Any = PROFILES
    with pytest.raises(TypeError):
        profiles["generic"] = Profile.RFC9068


@pytest.mark.parametrize("profile", [pytest.param(value, id=name) for name, value in PROFILES.items()])
def test_a_named_profile_can_be_a_key_and_is_only_equal_to_itself(profile: Profile) -> None:
    assert [other for other in PROFILES.values() if other == profile] == [profile]
    assert len({*PROFILES.values(), profile}) == len(PROFILES)


PROVIDERS = [
    pytest.param(value, id=name) for name, value in PROFILES.items() if value not in {Profile.GENERIC, Profile.RFC9068}
]


@pytest.mark.parametrize("profile", PROVIDERS)
def test_the_profile_of_a_provider_takes_no_type_that_the_generic_one_refuses(profile: Profile) -> None:
    assert profile.types <= Profile.GENERIC.types


@pytest.mark.parametrize("profile", PROVIDERS)
def test_where_there_is_an_aud_no_profile_of_a_provider_looks_elsewhere(profile: Profile) -> None:
    assert profile.audience[0] == ("aud",)


def test_a_profile_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Profile.GENERIC.name = "MINE"  # type: ignore[misc]


def test_a_profile_is_a_value() -> None:
    same = Profile(
        name="GENERIC",
        types=frozenset({None, "jwt", "at+jwt", "application/at+jwt"}),
        client=(("client_id",), ("azp",)),
    )
    assert same == Profile.GENERIC
    assert hash(same) == hash(Profile.GENERIC)
    assert Profile.GENERIC != Profile.RFC9068


def test_replace_changes_what_is_given_and_nothing_else() -> None:
    mine = Profile.RFC9068.replace(roles=[["realm_access", "roles"], ["groups"]])
    assert mine.roles == (("realm_access", "roles"), ("groups",))
    assert (mine.name, mine.types, mine.required) == (
        "RFC9068",
        Profile.RFC9068.types,
        ("sub", "iat", "jti", "client_id"),
    )
    assert (mine.scopes, mine.client) == ((("scope",),), (("client_id",),))
    assert Profile.RFC9068.roles == (("roles",),)


def test_replace_keeps_what_tells_an_access_token() -> None:
    mine = Profile.COGNITO.replace(audience=[["aud"]], scopes=[["scp"]], roles=[["groups"]], client=[["cid"]])
    assert (mine.audience, mine.scopes, mine.roles, mine.client) == (
        (("aud",),),
        (("scp",),),
        (("groups",),),
        (("cid",),),
    )
    assert (mine.types, mine.required, mine.kinds) == (
        Profile.COGNITO.types,
        Profile.COGNITO.required,
        Profile.COGNITO.kinds,
    )
    assert Profile.ZITADEL.replace(roles=[["r"]]).role_objects
    assert Profile.ZITADEL.replace(roles=[["r"]]).forbidden == Profile.ZITADEL.forbidden


def test_replace_without_anything_is_the_same_profile() -> None:
    assert Profile.GENERIC.replace() == Profile.GENERIC


def test_replace_copies_the_paths() -> None:
    path = ["realm_access", "roles"]
    paths = [path]
    mine = Profile.GENERIC.replace(roles=paths)
    path.append("x")
    paths.clear()
    assert mine.roles == (("realm_access", "roles"),)


@pytest.mark.parametrize("option", ["audience", "scopes", "roles", "client"])
@pytest.mark.parametrize(
    "paths", ["roles", ["roles"], ("realm_access", "roles"), [[]], [["a", 7]], [[["a"]]], [7], 7, [None]]
)
def test_a_path_that_is_no_list_of_keys_stops_the_start(option: str, paths: object) -> None:
    with_paths: Callable[..., Profile] = Profile.GENERIC.replace
    with pytest.raises(ConfigurationError) as caught:
        with_paths(**{option: paths})
    assert caught.value.option == f"profile {option}"
    assert 'expected a list of paths, each a list of keys as [["realm_access", "roles"]]; got' in str(caught.value)


PATHS = ["audience", "scopes", "roles", "permissions", "client"]
NO_CLAIMS: list[object] = [
    *("nonce", ["nonce"], {"nonce"}, frozenset({"nonce"}), None),
    *(("",), (7,), (None,), (("nonce",),)),
]
NO_PATHS: list[object] = [
    *("aud", ("aud",), ("aud", "azp"), ["aud"], [("aud",)], None),
    *((["aud"],), ((),), (("",),), (("aud", 7),), (None,)),
]
NO_SWITCH: list[object] = [None, 0, 1, "false", "", ()]
WRONG: dict[str, list[object]] = {
    "name": ["", None, 7],
    "types": ["at+jwt", ("jwt",), ["jwt"], {"jwt"}, None, frozenset({""}), frozenset({7}), frozenset({("jwt",)})],
    "required": NO_CLAIMS,
    "forbidden": NO_CLAIMS,
    "required_one_of": NO_PATHS,
    **dict.fromkeys(PATHS, NO_PATHS),
    "kinds": [
        "ver",
        ("ver", frozenset({"2.0"})),
        (("ver", "2.0"),),
        (("ver", ("2.0",)),),
        (("ver", {"2.0"}),),
        (("ver", frozenset()),),
        (("ver", frozenset({""})),),
        (("ver", frozenset({2.0})),),
        (("ver",),),
        (("", frozenset({"2.0"})),),
        ((7, frozenset({"2.0"})),),
        (["ver", frozenset({"2.0"})],),
        [("ver", frozenset({"2.0"}))],
        {"ver": frozenset({"2.0"})},
        None,
    ],
    "role_objects": NO_SWITCH,
    "key_issuer": NO_SWITCH,
}
EXAMPLES: dict[str, object] = {
    "types": frozenset({None, "at+jwt"}),
    "required": ("sub", "jti"),
    "required_one_of": (("scp", "roles"),),
    "kinds": (("ver", frozenset({"2.0"})),),
    "forbidden": ("nonce",),
    **dict.fromkeys(PATHS, (("realm_access", "roles"),)),
}
"""The last word of each refusal before what was given."""


@pytest.mark.parametrize(
    ("member", "value"), [pytest.param(name, value, id=f"{name}={value!r}") for name in WRONG for value in WRONG[name]]
)
def test_a_profile_of_a_wrong_shape_stops_the_start_and_its_member_is_named(member: str, value: object) -> None:
    change: Callable[..., Profile] = replace
    with pytest.raises(ConfigurationError) as caught:
        change(Profile.ENTRA_V2, **{member: value})
    assert caught.value.option == f"profile {member}"
    assert str(caught.value).endswith(f"; got {value!r}")


def test_every_member_of_a_profile_is_checked() -> None:
    assert set(WRONG) == {field.name for field in fields(Profile)}


@pytest.mark.parametrize("member", EXAMPLES)
def test_the_example_in_a_refusal_is_one_that_is_taken(member: str) -> None:
    change: Callable[..., Profile] = replace
    with pytest.raises(ConfigurationError, match=r"expected a \w+ of .+, as ") as caught:
        change(Profile.GENERIC, **{member: "nonce"})
    example = caught.value.detail.partition(", as ")[2].removesuffix("; got 'nonce'")
    shown = eval(example)
    assert shown == EXAMPLES[member]
    assert getattr(change(Profile.GENERIC, **{member: shown}), member) == shown


@pytest.mark.parametrize("member", ["required", "required_one_of", "kinds", "forbidden", *PATHS])
def test_a_member_may_be_empty(member: str) -> None:
    change: Callable[..., Profile] = replace
    assert getattr(change(Profile.ENTRA_V2, **{member: ()}), member) == ()


async def test_a_dot_or_a_url_in_a_key_means_itself() -> None:
    profile = Profile.GENERIC.replace(roles=[["https://api.test/roles"], ["a.b"]])
    token = await read(profile, {"https://api.test/roles": ["admin"], "a.b": ["editor"], "a": {"b": ["no"]}})
    assert token.roles == {"admin", "editor"}


@pytest.mark.parametrize(
    ("claims", "roles"),
    [
        ({"realm_access": {"roles": ["a"]}, "groups": ["b"]}, {"a", "b"}),
        ({"realm_access": {"roles": "a"}}, set()),
        ({"realm_access": ["roles"]}, set()),
        ({"realm_access": {"roles": ["a", 7, None, "", ["b"]]}}, {"a"}),
        ({}, set()),
    ],
)
async def test_roles_are_gathered_from_all_paths_and_are_strings_in_arrays(
    claims: dict[str, Any], roles: set[str]
) -> None:
    profile = Profile.GENERIC.replace(roles=[["realm_access", "roles"], ["groups"]])
    assert (await read(profile, claims)).roles == roles


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scp": "a b", "scope": "c"}, {"a", "b"}),
        ({"scp": ["a"], "scope": "c"}, {"a"}),
        ({"scp": [], "scope": "c"}, set()),
        ({"scope": "c"}, {"c"}),
        ({}, set()),
    ],
)
async def test_scopes_come_from_the_first_path_that_is_there(claims: dict[str, Any], scopes: set[str]) -> None:
    assert (await read(Profile.GENERIC.replace(scopes=[["scp"], ["scope"]]), claims)).scopes == scopes


@pytest.mark.parametrize("scope", [7, True, {"a": 1}, None])
async def test_scopes_that_are_neither_text_nor_an_array_refuse_the_token(scope: object) -> None:
    with pytest.raises(TokenError) as caught:
        await read(Profile.GENERIC, {"scope": scope})
    assert caught.value.reason is Reason.CLAIM_MALFORMED


@pytest.mark.parametrize(
    ("claims", "client"),
    [
        ({"client_id": "a", "azp": "b"}, "a"),
        ({"azp": "b"}, "b"),
        ({"azp": ""}, ""),
        ({"azp": None}, None),
        ({}, None),
    ],
)
async def test_the_client_comes_from_the_first_path_that_holds_text(claims: dict[str, Any], client: str | None) -> None:
    assert (await read(Profile.GENERIC, claims)).client_id == client


@pytest.mark.parametrize(
    ("claim", "client"),
    [("client_id", 7), ("client_id", ["a"]), ("client_id", "a\r\nb"), ("azp", 7), ("azp", "a\r\nb"), ("azp", "\x00")],
)
async def test_a_client_that_an_application_could_not_write_into_a_header_refuses_the_token(
    claim: str, client: object
) -> None:
    # RFC 9068 section 2.2; CWE-93
    with pytest.raises(TokenError) as caught:
        await read(Profile.GENERIC, {claim: client})
    assert caught.value.reason is Reason.CLAIM_MALFORMED


@pytest.mark.parametrize("claim", ["sub", "jti", "client_id", "iat"])
async def test_a_claim_that_a_profile_requires_is_not_there_when_it_is_null(claim: str) -> None:
    # RFC 9068 section 2.2
    with pytest.raises(TokenError) as caught:
        await read(Profile.RFC9068, {"client_id": "app", claim: None})
    assert caught.value.reason in {Reason.CLAIM_MISSING, Reason.CLAIM_MALFORMED}


def test_every_profile_is_on_the_page_of_the_providers() -> None:
    page = (Path(__file__).parent.parent / "docs" / "how-to" / "providers.md").read_text(encoding="utf-8")
    for name, profile in PROFILES.items():
        assert f"| `Profile.{profile.name}` | `{name}` |" in page
