"""Forms and what they ask for, and the errors that the token service answers with."""

from __future__ import annotations

import json
import pickle
import re
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_asgi.issuer.grants import (
    MAX_FORM_BYTES,
    ClientCredentialsRequest,
    Fault,
    Form,
    GrantError,
    RefreshRequest,
    TokenReference,
    form_decoded,
    narrowed,
    parse_form,
    token_reference,
    token_request,
)
from tests.properties.strategies import examples

FORM = "application/x-www-form-urlencoded"


def refused(fault: Fault, call: Any, *arguments: Any) -> GrantError:
    with pytest.raises(GrantError) as caught:
        call(*arguments)
    assert caught.value.fault is fault
    return caught.value


def form_of(text: str) -> Form:
    return parse_form(text.encode(), FORM)


class TestFaults:
    """What a client is told."""

    def test_each_has_its_status_and_a_description(self) -> None:
        assert {fault.value: fault.status for fault in Fault} == {
            "invalid_request": 400,
            "invalid_client": 401,
            "invalid_grant": 400,
            "unauthorized_client": 400,
            "unsupported_grant_type": 400,
            "invalid_scope": 400,
            "unsupported_token_type": 400,
            "invalid_target": 400,
            "invalid_token": 401,
            "insufficient_scope": 403,
            "access_denied": 403,
            "server_error": 500,
            "temporarily_unavailable": 503,
        }
        assert all(re.fullmatch(r"[\x20\x21\x23-\x5b\x5d-\x7e]+", fault.description) for fault in Fault)

    def test_one_is_found_by_its_code(self) -> None:
        assert Fault("invalid_grant") is Fault.INVALID_GRANT
        assert repr(Fault.INVALID_GRANT) == "Fault.INVALID_GRANT"
        assert pickle.loads(pickle.dumps(Fault.INVALID_GRANT)) is Fault.INVALID_GRANT

    def test_the_body_is_that_of_rfc_6749(self) -> None:
        assert json.loads(GrantError(Fault.INVALID_GRANT).body()) == {
            "error": "invalid_grant",
            "error_description": "the token is not valid, or not this client's",
        }

    def test_the_detail_is_for_the_log_alone(self) -> None:
        error = GrantError(Fault.INVALID_CLIENT, detail="the secret is not the client's")
        assert b"secret" not in error.body()
        assert str(error) == "invalid_client: the secret is not the client's"
        assert str(GrantError(Fault.INVALID_CLIENT)) == "invalid_client: the client could not be authenticated"

    def test_a_description_has_the_characters_that_it_may_have(self) -> None:
        assert GrantError(Fault.INVALID_REQUEST, 'a "b" \\ é\n').description == "a 'b' ' ''"

    def test_there_is_no_challenge_unless_it_is_asked_for(self) -> None:
        assert not GrantError(Fault.INVALID_CLIENT).challenge
        assert GrantError(Fault.INVALID_CLIENT, challenge=True).challenge


class TestForm:
    """A form that can be read in one way."""

    def test_parameters_are_decoded(self) -> None:
        form = form_of("a=b+c&d=%C3%A9%26%3d&e=f=g")
        assert [form.get(name) for name in "ade"] == ["b c", "é&=", "f=g"]

    @pytest.mark.parametrize("body", ["a=", "a", "", "&", "b=1"])
    def test_a_parameter_without_a_value_is_not_there(self, body: str) -> None:
        assert form_of(body).get("a") is None
        assert refused(Fault.INVALID_REQUEST, form_of(body).require, "a").description == "the parameter a is missing"

    @pytest.mark.parametrize("body", ["a=1&a=1", "a=1&%61=2", "a&a", "b=1&b=2&c=3", "=1&=2"])
    def test_no_parameter_is_there_twice(self, body: str) -> None:
        assert refused(Fault.INVALID_REQUEST, form_of, body).description == "a parameter is there twice"

    @pytest.mark.parametrize(
        "body",
        ["a=%", "a=%4", "a=%4g", "%zz=1", "a=\x01", "a=b c", "a=%00", "a=%0A", "a=%7f", "a=%ff", "a=é", "a=%ed%a0%80"],
    )
    def test_what_is_not_encoded_as_it_should_be_is_refused(self, body: str) -> None:
        assert (
            refused(Fault.INVALID_REQUEST, form_of, body).description
            == "the body is not application/x-www-form-urlencoded in UTF-8"
        )

    @pytest.mark.parametrize(
        "content_type", [FORM, FORM.upper(), f"{FORM};charset=UTF-8", f'{FORM} ; charset="utf-8"', f"{FORM};"]
    )
    def test_its_media_type_is_that_of_forms(self, content_type: str) -> None:
        assert parse_form(b"a=1", content_type).get("a") == "1"

    @pytest.mark.parametrize(
        "content_type", [None, "", "application/json", f"{FORM}x", f"{FORM};charset=latin-1", "multipart/form-data"]
    )
    def test_others_are_refused(self, content_type: str | None) -> None:
        with pytest.raises(GrantError, match="expected a body of application/x-www-form-urlencoded in UTF-8"):
            parse_form(b"a=1", content_type)

    def test_its_size_has_a_bound(self) -> None:
        assert parse_form(b"a=" + b"b" * (MAX_FORM_BYTES - 2), FORM).get("a")
        with pytest.raises(GrantError, match="the body is larger than 32768 bytes"):
            parse_form(b"a=" + b"b" * (MAX_FORM_BYTES - 1), FORM)

    def test_so_has_the_number_of_its_parameters(self) -> None:
        assert form_of("&".join(f"a{number}=1" for number in range(64))).get("a63") == "1"
        error = refused(Fault.INVALID_REQUEST, form_of, "&".join(f"a{number}=1" for number in range(65)))
        assert error.description == "there are more than 64 parameters"

    def test_its_repr_shows_no_value(self) -> None:
        assert "s3cret" not in repr(form_of("client_secret=s3cret"))

    def test_several_resources_are_taken_each_once(self) -> None:
        form = form_of("resource=https://a.test&resource=urn:b&resource=https://a.test&resource=")
        assert form.resources == ("https://a.test", "urn:b")
        assert form.get("resource") is None

    @pytest.mark.parametrize(
        "resource", ["a", "/a", "https://a.test/%23b", "https://a.test/%20b", "https://[", "urn:%C3%A9"]
    )
    def test_a_resource_is_an_absolute_uri_without_a_fragment(self, resource: str) -> None:
        refused(Fault.INVALID_TARGET, form_of, f"resource={resource}")

    def test_the_number_of_resources_has_a_bound(self) -> None:
        assert len(form_of("&".join(f"resource=urn:{number}" for number in range(16))).resources) == 16
        error = refused(Fault.INVALID_TARGET, form_of, "&".join(f"resource=urn:{number}" for number in range(17)))
        assert error.description == "there are more than 16 resources"


PRINTABLE = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=8)


@given(st.dictionaries(PRINTABLE.filter(lambda name: name != "resource"), PRINTABLE, max_size=5))
@examples(60)
def test_what_pythons_own_client_writes_is_read(values: dict[str, str]) -> None:
    form = parse_form(urlencode(values).encode(), FORM)
    assert form.values == {name: value for name, value in values.items() if value}


@given(st.binary(max_size=40))
@examples(100)
def test_a_body_of_anything_is_read_or_refused(body: bytes) -> None:
    try:
        form = parse_form(body, FORM)
    except GrantError:
        return
    assert all(form.values.values())


@given(st.binary(max_size=20))
@examples(60)
def test_what_is_decoded_has_no_control_characters(encoded: bytes) -> None:
    text = form_decoded(encoded)
    assert text is None or (text.encode() is not None and not re.search(r"[\x00-\x1f\x7f]", text))


class TestTokenRequest:
    """What is asked for."""

    def test_a_refresh_token_is_presented(self) -> None:
        request = token_request(form_of("grant_type=refresh_token&refresh_token=jrt_x&scope=a+b+a&resource=urn:a"))
        assert request == RefreshRequest(refresh_token="jrt_x", scopes=("a", "b"), resources=("urn:a",))
        assert "jrt_x" not in repr(request)

    def test_without_a_scope_none_is_named(self) -> None:
        for scope in ("", "&scope="):
            request = token_request(form_of(f"grant_type=refresh_token&refresh_token=jrt_x{scope}"))
            assert request.scopes is None

    def test_a_client_asks_for_itself(self) -> None:
        request = token_request(form_of("grant_type=client_credentials&scope=a&resource=urn:a&unknown=1"))
        assert request == ClientCredentialsRequest(scopes=("a",), resources=("urn:a",))

    def test_without_a_grant_type_or_a_refresh_token_nothing_is_asked(self) -> None:
        for body, name in (("a=1", "grant_type"), ("grant_type=refresh_token", "refresh_token")):
            error = refused(Fault.INVALID_REQUEST, token_request, form_of(body))
            assert error.description == f"the parameter {name} is missing"

    @pytest.mark.parametrize("grant", ["password", "authorization_code", "REFRESH_TOKEN", "implicit"])
    def test_other_grants_are_not_offered(self, grant: str) -> None:
        refused(Fault.UNSUPPORTED_GRANT_TYPE, token_request, form_of(f"grant_type={grant}&refresh_token=x"))

    @pytest.mark.parametrize("scope", ["+a", "a+", "a++b", "%22", "%5C", "%C3%A9", "+"])
    def test_a_scope_is_well_formed(self, scope: str) -> None:
        for grant in ("client_credentials", "refresh_token&refresh_token=x"):
            refused(Fault.INVALID_SCOPE, token_request, form_of(f"grant_type={grant}&scope={scope}"))

    def test_the_number_of_scopes_has_a_bound(self) -> None:
        def asking(count: int) -> Form:
            return form_of("grant_type=client_credentials&scope=" + "+".join(map(str, range(count))))

        assert len(token_request(asking(256)).scopes or ()) == 256
        refused(Fault.INVALID_SCOPE, token_request, asking(257))

    def test_a_token_is_referred_to(self) -> None:
        reference = token_reference(form_of("token=abc&token_type_hint=refresh_token"))
        assert reference == TokenReference(token="abc", hint="refresh_token")
        assert "abc" not in repr(reference)
        assert token_reference(form_of("token=abc")).hint is None
        refused(Fault.INVALID_REQUEST, token_reference, form_of("a=1"))


class TestNarrowing:
    """RFC 6749 section 6: no scope that was not granted."""

    def test_without_a_wish_all_that_was_granted_is_given(self) -> None:
        assert narrowed(None, ["b", "a", "b"]) == ("a", "b")

    def test_fewer_may_be_asked_for(self) -> None:
        assert narrowed(["c", "a"], ["a", "b", "c"]) == ("a", "c")

    @pytest.mark.parametrize("asked", [["a", "d"], ["A"], ["a b"]])
    def test_more_may_not(self, asked: list[str]) -> None:
        refused(Fault.INVALID_SCOPE, narrowed, asked, ["a", "b"])
