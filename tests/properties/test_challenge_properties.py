"""Whatever an error holds, its answer is well-formed, and says nothing but what it may; and so is what an API says."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit
from urllib.request import parse_http_list, parse_keqv_list

from hypothesis import example, given
from hypothesis import strategies as st

from jwt_asgi import AccessError, ConfigurationError, KeysUnavailable, Reason, TokenError
from jwt_asgi._core.challenge import Answer, answer_to, check_realm
from jwt_asgi._core.resource import ProtectedResource, resource_answer
from jwt_asgi.errors import JWTASGIError
from tests.properties.strategies import examples

TEXTS = st.text(max_size=8) | st.text('a"\\ ,=\r\n\x7fé!~', max_size=6)
LISTS = st.lists(TEXTS, max_size=3).map(tuple)
QUOTABLE = re.compile(r"[ !#-\[\]-~]*")
SECRET = "what-the-token-says"


def header(answer: Answer, name: bytes) -> str | None:
    found = [value for key, value in answer.headers if key == name]
    assert len(found) <= 1
    return found[0].decode("ascii") if found else None


def parameters(answer: Answer) -> dict[str, str]:
    """Those of the challenge, as the standard library reads them."""
    challenge = header(answer, b"www-authenticate")
    assert challenge is not None
    scheme, _, rest = challenge.partition(" ")
    assert scheme == "Bearer"
    return parse_keqv_list(parse_http_list(rest))


def error_of(reason: Reason, scopes: tuple[str, ...], classes: tuple[str, ...], age: int | None) -> JWTASGIError:
    match reason.status:
        case 503 if reason is not Reason.ACCESS_UNDECIDED:
            return KeysUnavailable(reason, SECRET, issuer=SECRET)
        case 403 | 503:
            return AccessError(reason, SECRET, scopes=scopes, roles=(SECRET,), missing=(SECRET,))
        case _ if reason is Reason.AUTHENTICATION_INSUFFICIENT:
            return AccessError(reason, SECRET, scopes=scopes, acr_values=classes, max_age=age)
    return TokenError(reason, SECRET)


@examples(150)
@given(
    st.sampled_from([reason for reason in Reason if reason is not Reason.CONFIGURATION_INVALID]),
    st.none() | TEXTS,
    LISTS,
    LISTS,
    st.none() | st.integers(0, 10**9),
    st.none() | TEXTS,
)
def test_any_error_has_a_well_formed_answer_that_tells_no_cause(
    reason: Reason,
    realm: str | None,
    scopes: tuple[str, ...],
    classes: tuple[str, ...],
    age: int | None,
    url: str | None,
) -> None:
    answer = answer_to(error_of(reason, scopes, classes, age), realm, resource_metadata=url, scopes=("always",))
    assert answer.status == reason.status
    assert SECRET not in repr(answer)
    assert header(answer, b"cache-control") == "no-store"
    assert header(answer, b"content-length") == str(len(answer.body))
    body = json.loads(answer.body)
    assert set(body) == {"error", "error_description"}
    if header(answer, b"www-authenticate") is None:
        assert reason.status == 503 or (reason.status == 403 and reason.error is None)
        return
    given_values = {
        "realm": realm,
        "error": reason.error,
        "error_description": body["error_description"] if reason.error else None,
        "acr_values": " ".join(classes) or None if reason is Reason.AUTHENTICATION_INSUFFICIENT else None,
        "max_age": str(age) if reason is Reason.AUTHENTICATION_INSUFFICIENT and age is not None else None,
        "scope": (" ".join(scopes) or None if isinstance_of_access(reason) else None) or "always",
        "resource_metadata": url,
    }
    if isinstance_of_access(reason) and scopes and not " ".join(scopes):
        given_values["scope"] = None
    expected = {name: value for name, value in given_values.items() if value is not None and QUOTABLE.fullmatch(value)}
    assert parameters(answer) == expected


def isinstance_of_access(reason: Reason) -> bool:
    return reason.status == 403 or reason in {Reason.AUTHENTICATION_INSUFFICIENT, Reason.ACCESS_UNDECIDED}


@examples(60)
@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-10, 10_000))
def test_a_client_is_asked_to_wait_for_one_second_to_five_minutes(seconds: float) -> None:
    answer = answer_to(KeysUnavailable(Reason.KEYS_UNAVAILABLE, retry_after=seconds))
    wait = int(header(answer, b"retry-after") or "")
    assert 1 <= wait <= 300
    assert wait - 1 < seconds <= wait or wait in {1, 300}


@examples(80)
@given(TEXTS)
def test_a_realm_is_one_that_a_challenge_can_carry_or_refused_at_the_start(realm: str) -> None:
    try:
        assert check_realm(realm) == realm
    except ConfigurationError:
        assert not QUOTABLE.fullmatch(realm)
        return
    assert parameters(answer_to(TokenError(Reason.TOKEN_EXPIRED), realm))["realm"] == realm


RESOURCES = st.one_of(
    st.builds(
        lambda scheme, host, path: f"{scheme}{host}{path}",
        st.sampled_from(["https://", "http://", "HTTPS://", "ftp://", "", "//"]),
        st.sampled_from(
            ["api.example", "api.example:8443", "[::1]", "u@api.example", "", "é.example", "api.example:x"]
        ),
        st.sampled_from(
            ["", "/", "/v1", "/v1/", "/a%2Fb", "/%C3%A9", "?x", "#x", "/a b", '/"', "/\\", "/é", "//x", "/.."]
        ),
    ),
    TEXTS,
)


@examples(100)
@given(RESOURCES, st.lists(TEXTS, max_size=2))
@example("https://api.example/v1/", [])
@example("https://api.example/", [])
def test_a_resource_is_found_where_rfc_9728_says_or_refused_at_the_start(resource: str, scopes: list[str]) -> None:
    try:
        known = ProtectedResource(resource, scopes=scopes)
    except ConfigurationError:
        return
    assert known.metadata_url.replace("/.well-known/oauth-protected-resource", "", 1) == resource.removesuffix(
        "/" if urlsplit(resource).path == "/" else ""
    ).replace(urlsplit(resource).scheme.upper() + "://", urlsplit(resource).scheme + "://")
    assert known.metadata_path.startswith("/.well-known/oauth-protected-resource")
    refusal = answer_to(TokenError(Reason.CREDENTIALS_MISSING), resource_metadata=known.metadata_url)
    assert parameters(refusal) == {"resource_metadata": known.metadata_url}
    document: dict[str, Any] = json.loads(known.document(["https://issuer.example"], {"b", "a"}))
    assert document["resource"] == resource
    assert document["scopes_supported"] == list(dict.fromkeys([*scopes, "a", "b"]))


@examples(20)
@given(st.sampled_from(["GET", "HEAD", "OPTIONS"]) | st.text("AEGHNOPST", max_size=7), st.binary(max_size=20))
def test_the_metadata_are_served_to_those_who_read_alone(method: str, document: bytes) -> None:
    answer = resource_answer(document, method)
    assert answer.status == {"GET": 200, "HEAD": 200, "OPTIONS": 204}.get(method, 405)
    assert answer.body == (document if method in {"GET", "HEAD"} else b"")
