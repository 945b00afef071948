"""Families of issuers through the door: who is let in, who is not, what it costs, and what is remembered."""

from __future__ import annotations

import functools
import gc
import logging
import threading
import weakref
from base64 import urlsafe_b64decode
from collections import UserDict
from collections.abc import Callable, Collection, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from jwt_asgi import (
    ConfigurationError,
    KeysUnavailable,
    Profile,
    Reason,
    SharedSecret,
    StaticKeys,
    TrustedIssuer,
    Verifier,
)
from jwt_asgi.tenants import IssuerFamily, ResolvedIssuers, TrustedTenants
from jwt_asgi.testing import TestIssuer
from tests.tenancy import AUDIENCE, CONSUMERS, KEYS, LOGIN, TEMPLATE, Door, Estate, Provider, issuer_of


def tenants(provider: Provider | Estate, allowed: Any = frozenset({"contoso", "fabrikam"}), **options: Any) -> Any:
    """A family of this provider: with one key set for all, or with each tenant's own."""
    shared = {"jwks_uri": KEYS} if isinstance(provider, Provider) else {}
    given = {"audience": AUDIENCE, "algorithms": ["ES256"], "fetch": provider.fetch, **shared, **options}
    return TrustedTenants(given.pop("template", TEMPLATE), tenants=allowed, **given)


def resolved(estate: Estate, allowed: Any, *, most: int = 1000) -> ResolvedIssuers:
    """What the estate's tenants are as issuers that a resolver knows."""
    return ResolvedIssuers(lambda issuer: trusted(estate, issuer), allowed=allowed, most=most)


def trusted(estate: Estate, issuer: str) -> TrustedIssuer:
    return TrustedIssuer(issuer=issuer, audience=AUDIENCE, algorithms=["ES256"], fetch=estate.fetch)


# Who is let in


async def test_a_tenant_on_the_list_passes_and_any_other_is_not_trusted_and_fetches_nothing() -> None:
    provider = Provider()
    door = Door(tenants(provider, {"contoso"}))
    assert await door.outcome(provider.token("fabrikam")) is Reason.ISSUER_UNTRUSTED
    assert provider.fetched == []
    assert await door.outcome(provider.token("contoso")) is None
    assert provider.fetched == [KEYS]
    assert await door.outcome(provider.token("fabrikam")) is Reason.ISSUER_UNTRUSTED


async def test_a_token_of_a_tenant_has_the_tenants_issuer() -> None:
    provider = Provider()
    token = await Verifier(tenants(provider)).verify(provider.token("fabrikam"))
    assert token.issuer == f"{LOGIN}/fabrikam/v2.0"
    assert token.claims["tid"] == "fabrikam"


@pytest.mark.parametrize(
    "tid", ["fabrikam", "other", "Contoso", "contoso ", "", None, True, 1, ["contoso"], {"contoso": "contoso"}]
)
async def test_a_tid_that_is_not_the_tenant_in_iss_is_refused_with_and_without_the_keys(tid: object) -> None:
    provider = Provider()
    door = Door(tenants(provider))
    token = provider.token("contoso", claims={"tid": tid})
    assert await door.outcome(token) is Reason.TENANT_MISMATCH
    assert provider.fetched == []
    assert await door.outcome(provider.token("contoso")) is None
    assert await door.outcome(token) is Reason.TENANT_MISMATCH


@pytest.mark.parametrize("members", [{}, {"issuer": TEMPLATE}], ids=["plain keys", "keys that say whose they are"])
async def test_an_absent_tid_is_refused(members: dict[str, str]) -> None:
    provider = Provider(shared=members)
    door = Door(tenants(provider))
    assert await door.outcome(provider.token("contoso")) is None
    assert await door.outcome(provider.token("contoso", without=("tid",))) is Reason.TENANT_MISMATCH


@pytest.mark.parametrize("members", [{}, {"issuer": TEMPLATE}], ids=["plain keys", "keys that say whose they are"])
async def test_another_claim_or_none_may_name_the_tenant(members: dict[str, str]) -> None:
    provider = Provider(shared=members)
    by_org = Door(tenants(provider, claim="org"))
    assert await by_org.outcome(provider.token("contoso", claims={"org": "contoso", "tid": "x"})) is None
    assert await by_org.outcome(provider.token("contoso")) is Reason.TENANT_MISMATCH
    by_issuer = Door(tenants(provider, claim=None))
    assert await by_issuer.outcome(provider.token("contoso", without=("tid",))) is None
    assert await by_issuer.outcome(provider.token("contoso", claims={"tid": "fabrikam"})) is None
    assert await by_issuer.outcome(provider.token("other")) is Reason.ISSUER_UNTRUSTED


ODD = {
    "empty": "",
    "slash": "contoso/evil",
    "slashes": "contoso//",
    "dot": "contoso.com",
    "dots": "..",
    "percent": quote("con toso"),
    "encoded slash": "contoso%2Fevil",
    "newline": "contoso\n",
    "newline before": "\ncontoso",
    "null": "contoso\0",
    "space": "contoso ",
    "65 characters": "c" * 65,
    "the placeholder itself": "{tenantid}",
    "question mark": "contoso?",
    "number sign": "contoso#",
    "at sign": "evil@contoso",
    "backslash": "contoso\\evil",
    "umlaut": "c\u00f6ntoso",
    "Cyrillic o": "c\u043entoso",
    "full-width c": "\uff43ontoso",
    "combining accent": "contoso\u0301",
    "zero-width joiner": "contoso\u200d",
    "Arabic digit": "contoso\u0661",
    "regular expression": ".*",
}


@pytest.mark.parametrize("tenant", ODD.values(), ids=ODD)
async def test_a_tenant_that_is_no_plain_name_is_never_even_looked_up(tenant: str) -> None:
    asked: list[str] = []

    def allowed(name: str) -> bool:
        asked.append(name)
        return True

    provider = Provider()
    door = Door(tenants(provider, allowed))
    assert await door.outcome(provider.token(tenant)) is Reason.ISSUER_UNTRUSTED
    assert asked == []
    assert provider.fetched == []


@pytest.mark.parametrize("tenant", ["CONTOSO", "Contoso", "contos", "contosoo", "-", "c" * 64])
async def test_the_list_is_looked_up_to_the_letter(tenant: str) -> None:
    provider = Provider()
    door = Door(tenants(provider, {"contoso"}))
    assert await door.outcome(provider.token(tenant)) is Reason.ISSUER_UNTRUSTED
    assert await Door(tenants(provider, {tenant})).outcome(provider.token(tenant)) is None


@pytest.mark.parametrize(
    ("template", "near"),
    [
        ("https://login.test/{tenantid}/v2.0", ["https://loginxtest/contoso/v2.0", "https://login.test/contoso/v2x0"]),
        ("https://login.test/a+b/{tenantid}", ["https://login.test/ab/contoso", "https://login.test/aab/contoso"]),
        ("https://login.test/(a|b)*/{tenantid}?x=[y]", ["https://login.test/a/contoso?x=y", "https://login.test/"]),
        ("https://{tenantid}.login.test", ["https://contosoxlogin.test", "https://evil.test/contoso.login.test"]),
        ("https://login.test/{tenantid}", ["https://login.test/", "https://login.test/contoso/v2.0"]),
    ],
)
async def test_a_template_means_itself_and_is_no_pattern(template: str, near: list[str]) -> None:
    provider = Provider()
    door = Door(tenants(provider, template=template))
    good = issuer_of("contoso", template)
    around = [f"{good}\n", f"{good}/", f"{good}x ", f" {good}", f"x{good}", f"{good}{good}"]
    changed = [good.upper(), good.replace("https", "http"), template, template.replace("{tenantid}", "")]
    for wrong in (*near, *around, *changed):
        token = provider.token(claims={"iss": wrong})
        assert await door.outcome(token) is Reason.ISSUER_UNTRUSTED, wrong
    assert provider.fetched == []
    assert await door.outcome(provider.token(template=template)) is None


@pytest.mark.parametrize("iss", [None, 7, True, [], ["https://login.test/contoso/v2.0"], {}])
async def test_an_iss_that_is_no_text_is_of_no_family(iss: object) -> None:
    provider = Provider()
    assert await Door(tenants(provider)).outcome(provider.token(claims={"iss": iss})) is Reason.ISSUER_UNTRUSTED


# The allow-list


async def test_a_tenant_that_is_taken_off_the_set_is_refused_at_once_and_one_that_is_put_on_it_passes() -> None:
    provider = Provider()
    allowed = {"contoso"}
    door = Door(tenants(provider, allowed))
    assert await door.outcome(provider.token("contoso")) is None
    allowed.discard("contoso")
    allowed.add("fabrikam")
    assert await door.outcome(provider.token("contoso")) is Reason.ISSUER_UNTRUSTED
    assert await door.outcome(provider.token("fabrikam")) is None
    assert provider.fetched == [KEYS]


async def test_an_issuer_that_is_taken_off_the_resolvers_list_is_refused_at_once() -> None:
    estate = Estate("contoso")
    allowed = {issuer_of("contoso")}
    door = Door(resolved(estate, allowed))
    assert await door.outcome(estate.token("contoso")) is None
    allowed.clear()
    assert await door.outcome(estate.token("contoso")) is Reason.ISSUER_UNTRUSTED


class Registry:
    """A container of one's own, which may answer anything."""

    def __init__(self, answer: object = True) -> None:
        self.answer = answer

    def __contains__(self, name: object) -> Any:
        return self.answer


@pytest.mark.parametrize(
    "allowed",
    [{"contoso"}, frozenset({"contoso"}), ["contoso"], ("contoso",), {"contoso": 1}.keys(), Registry()],
    ids=lambda allowed: type(allowed).__name__,
)
async def test_whatever_contains_names_is_a_list(allowed: Any) -> None:
    provider = Provider()
    assert await Door(tenants(provider, allowed)).outcome(provider.token()) is None


@pytest.mark.parametrize("allowed", [{"contoso": False}, UserDict(contoso=True)], ids=["dict", "UserDict"])
def test_of_a_mapping_it_is_not_clear_who_is_allowed(allowed: Any) -> None:
    with pytest.raises(ConfigurationError, match="tenants: expected a set of names"):
        tenants(Provider(), allowed)


def test_a_list_that_is_longer_than_what_is_kept_is_refused_since_strangers_could_have_each_fetched_anew() -> None:
    with pytest.raises(ConfigurationError, match="most: expected no fewer than are on the allow-list, 4; got 3"):
        tenants(Provider(), {"a", "b", "c", "d"}, most=3)


async def test_a_tenant_that_was_taken_off_the_list_is_made_anew_when_it_is_back() -> None:
    estate, listed = Estate("contoso"), {"contoso"}
    door = Door(tenants(estate, listed))
    assert await door.outcome(estate.token("contoso")) is None
    listed.clear()
    assert await door.outcome(estate.token("contoso")) is Reason.ISSUER_UNTRUSTED
    assert door.verifier.status() == {}
    listed.add("contoso")
    asked = len(estate.fetched)
    assert await door.outcome(estate.token("contoso")) is None
    assert len(estate.fetched) > asked


async def test_an_issuer_whose_registration_has_changed_can_be_forgotten() -> None:
    estate = Estate("contoso")
    family = resolved(estate, {issuer_of("contoso")})
    door = Door(family)
    assert await door.outcome(estate.token("contoso")) is None
    first = family.find(issuer_of("contoso"))
    family.forget(issuer_of("contoso"))
    assert family.find(issuer_of("contoso")) is not first
    family.forget("https://nobody.test")


@pytest.mark.parametrize("answer", [False, None, 0, 1, 1.0, "yes", "True", [True], object], ids=repr)
async def test_only_true_is_a_permission(answer: object) -> None:
    provider = Provider()
    for allowed in (lambda _: answer, Registry(answer)):
        assert await Door(tenants(provider, allowed)).outcome(provider.token()) is Reason.ISSUER_UNTRUSTED
    estate = Estate("contoso")
    door = Door(resolved(estate, lambda _: answer))
    assert await door.outcome(estate.token("contoso")) is Reason.ISSUER_UNTRUSTED
    assert provider.fetched == estate.fetched == []


async def test_a_function_that_turns_out_to_return_a_coroutine_permits_nothing() -> None:
    async def ask_the_database(name: str) -> bool:
        return True

    made: list[Any] = []

    def allowed(name: str) -> Any:
        made.append(ask_the_database(name))
        return made[-1]

    provider = Provider()
    assert await Door(tenants(provider, allowed)).outcome(provider.token()) is Reason.ISSUER_UNTRUSTED
    made[0].close()


class AsyncCall:
    async def __call__(self, name: str) -> bool:
        return True


class AsyncContains:
    async def __contains__(self, name: str) -> bool:
        return True


async def ask(name: str) -> bool:
    return True


NO_LISTS: dict[str, Any] = {
    "a string, whose parts it would contain": "contoso fabrikam",
    "bytes": b"contoso",
    "a bytearray": bytearray(b"contoso"),
    "nothing": None,
    "True": True,
    "a number": 7,
    "an iterator, which can be read once": iter(["contoso"]),
    "a type": set,
    "an async function": ask,
    "an async function with arguments": functools.partial(ask),
    "an object that is called asynchronously": AsyncCall(),
    "a container that answers asynchronously": AsyncContains(),
}


@pytest.mark.parametrize("allowed", NO_LISTS.values(), ids=NO_LISTS)
def test_what_is_no_list_is_refused_at_the_start(allowed: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected a set of names, or a function") as caught:
        tenants(Provider(), allowed)
    assert caught.value.option == "tenants"
    with pytest.raises(ConfigurationError, match="expected a set of names, or a function") as caught:
        resolved(Estate(), allowed)
    assert caught.value.option == "allowed"


@pytest.mark.parametrize("name", ["", "contoso.onmicrosoft.com", "a/b", "*", issuer_of("contoso"), 7, None, b"contoso"])
@pytest.mark.parametrize("kind", [set, frozenset, list, tuple], ids=lambda kind: kind.__name__)
def test_a_list_with_a_name_that_no_issuer_can_hold_is_refused_at_the_start(
    name: object, kind: Callable[[Collection[object]], Any]
) -> None:
    with pytest.raises(ConfigurationError, match="can be in no issuer") as caught:
        tenants(Provider(), kind(["contoso", name]))
    assert caught.value.option == "tenants"


@pytest.mark.parametrize("name", ["", 7, None])
def test_the_issuers_of_a_resolver_are_names(name: object) -> None:
    with pytest.raises(ConfigurationError, match="can be in no issuer") as caught:
        resolved(Estate(), {name})
    assert caught.value.option == "allowed"


def test_there_is_no_default_for_the_allow_list() -> None:
    by_template: Callable[..., IssuerFamily] = TrustedTenants
    with pytest.raises(TypeError, match="'tenants'"):
        by_template(TEMPLATE, audience=AUDIENCE, algorithms=["ES256"])
    by_resolver: Callable[..., IssuerFamily] = ResolvedIssuers
    with pytest.raises(TypeError, match="'allowed'"):
        by_resolver(lambda _: None)


# Where it cannot be told


def failing(error: Exception) -> Callable[[str], Any]:
    def fail(_: str) -> Any:
        raise error

    return fail


SECRET = "s3cret"


@pytest.mark.parametrize(
    "error", [KeyError(SECRET), ValueError(f"no {SECRET}\n2026 granted"), OSError(SECRET)], ids=repr
)
@pytest.mark.parametrize("which", ["tenants", "allowed", "resolve"])
async def test_where_the_list_or_the_resolver_fails_the_answer_is_503_and_no_text_of_it_is_told(
    error: Exception, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    estate = Estate("contoso")
    family: dict[str, Callable[[], IssuerFamily]] = {
        "tenants": lambda: tenants(estate, failing(error)),
        "allowed": lambda: resolved(estate, failing(error)),
        "resolve": lambda: ResolvedIssuers(failing(error), allowed={issuer_of("contoso")}),
    }
    door = Door(family[which](), log=True)
    with caplog.at_level(logging.DEBUG):
        answer = await door.ask(estate.token("contoso"))
    assert answer.status == Reason.ISSUER_UNRESOLVED.status == 503
    assert answer.header("retry-after") is not None
    assert answer.challenge is None
    for told in (type(error).__name__, SECRET, "contoso", "resolver", "issuer_unresolved"):
        assert told.encode() not in answer.body
    (record,) = (record for record in caplog.records if record.name == "jwt_asgi")
    line = record.getMessage()
    assert "issuer_unresolved" in line
    assert type(error).__name__ in line
    assert SECRET not in caplog.text
    assert "contoso" not in caplog.text
    assert estate.fetched == []


async def test_the_cause_is_at_hand_for_who_calls_the_verifier() -> None:
    estate, error = Estate("contoso"), KeyError(SECRET)
    with pytest.raises(KeysUnavailable) as caught:
        await Verifier(tenants(estate, failing(error))).verify(estate.token("contoso"))
    assert caught.value.__cause__ is error
    assert caught.value.issuer == f"{TEMPLATE} of a tenant on the allow-list"
    assert SECRET not in str(caught.value)


async def test_a_failure_passes_with_its_cause() -> None:
    estate = Estate("contoso")
    broken = True

    def resolve(issuer: str) -> TrustedIssuer:
        if broken:
            raise OSError
        return trusted(estate, issuer)

    door = Door(ResolvedIssuers(resolve, allowed={issuer_of("contoso")}))
    assert await door.outcome(estate.token("contoso")) is Reason.ISSUER_UNRESOLVED
    broken = False
    assert await door.outcome(estate.token("contoso")) is None


# The resolver


async def test_a_resolver_is_asked_once_for_each_issuer_on_the_list_and_never_for_another() -> None:
    estate = Estate("contoso", "fabrikam", "other")
    asked: list[str] = []

    def resolve(issuer: str) -> TrustedIssuer:
        asked.append(issuer)
        return trusted(estate, issuer)

    door = Door(ResolvedIssuers(resolve, allowed={issuer_of("contoso"), issuer_of("fabrikam")}))
    for tenant in ("contoso", "fabrikam", "contoso", "contoso"):
        assert await door.outcome(estate.token(tenant)) is None
    assert await door.outcome(estate.token("other")) is Reason.ISSUER_UNTRUSTED
    assert asked == [issuer_of("contoso"), issuer_of("fabrikam")]
    assert len(estate.fetched) == 4


async def test_an_issuer_that_the_resolver_does_not_know_is_not_trusted() -> None:
    estate = Estate("contoso")
    door = Door(ResolvedIssuers(lambda _: None, allowed={issuer_of("contoso")}))
    assert await door.outcome(estate.token("contoso")) is Reason.ISSUER_UNTRUSTED
    assert door.verifier.status() == {}


@pytest.mark.parametrize(
    "answer",
    [
        lambda: trusted(Estate(), issuer_of("fabrikam")),
        lambda: trusted(Estate(), issuer_of("contoso") + "/"),
        lambda: tenants(Provider()),
        lambda: issuer_of("contoso"),
        lambda: True,
        lambda: False,
        dict,
    ],
    ids=["another issuer", "a slash more", "a family", "a name", "True", "False", "a dict"],
)
async def test_a_resolver_that_answers_with_anything_else_is_told_to_the_operator_alone(answer: Any) -> None:
    estate = Estate("contoso")
    door = Door(ResolvedIssuers(lambda _: answer(), allowed={issuer_of("contoso")}))
    reply = await door.ask(estate.token("contoso"))
    assert reply.status == 503
    (decision,) = door.decisions
    assert decision.reason is Reason.ISSUER_UNRESOLVED
    assert decision.detail == (
        "the allow-list or the resolver failed: expected a TrustedIssuer of just this issuer, or None"
    )
    assert b"TrustedIssuer" not in reply.body
    assert estate.fetched == []


@pytest.mark.parametrize("resolve", [None, ask, AsyncCall(), functools.partial(ask), "https://x.test", {}])
def test_a_resolver_is_a_function_that_is_not_async(resolve: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected a function that is not async") as caught:
        ResolvedIssuers(resolve, allowed=set())
    assert caught.value.option == "resolve"


async def test_a_resolved_issuer_has_a_policy_and_keys_of_its_own() -> None:
    estate = Estate("contoso", "fabrikam")
    door = Door(resolved(estate, {issuer_of("contoso"), issuer_of("fabrikam")}))
    assert await door.outcome(estate.token("contoso")) is None
    stolen = estate.tenants["fabrikam"].token(claims={"iss": issuer_of("contoso")})
    assert await door.outcome(stolen) is Reason.SIGNATURE_INVALID
    assert await door.outcome(estate.token("fabrikam", aud="other")) is Reason.AUDIENCE_MISMATCH


def in_a_thread(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread


def test_a_resolver_may_look_at_the_verifier_that_asks_it() -> None:
    estate = Estate("contoso")
    seen: list[object] = []

    def resolve(issuer: str) -> TrustedIssuer:
        seen.append(verifier.status())
        return trusted(estate, issuer)

    family = ResolvedIssuers(resolve, allowed={issuer_of("contoso")})
    verifier = Verifier(family)
    in_a_thread(lambda: seen.append(family.find(issuer_of("contoso")))).join(10)
    assert seen[:1] == [{}]
    assert len(seen) == 2, "it waits for itself"


def test_threads_that_meet_an_issuer_at_once_get_one_and_the_same() -> None:
    both = threading.Barrier(2, timeout=10)

    def resolve(issuer: str) -> TrustedIssuer:
        both.wait()
        return trusted(Estate(), issuer)

    family = ResolvedIssuers(resolve, allowed={issuer_of("contoso")})
    found: list[Any] = []
    for thread in [in_a_thread(lambda: found.append(family.find(issuer_of("contoso")))) for _ in range(2)]:
        thread.join(10)
    assert len(found) == 2
    assert found[0] is found[1] is family.find(issuer_of("contoso"))


# Keys


async def test_shared_keys_are_fetched_once_for_all_tenants() -> None:
    provider = Provider()
    names = {f"tenant-{number}" for number in range(40)}
    door = Door(tenants(provider, names, most=40))
    for name in names:
        assert await door.outcome(provider.token(name)) is None
    assert provider.fetched == [KEYS]
    assert list(door.verifier.status()) == [TEMPLATE]


@pytest.mark.parametrize("jwks_uri", [None, f"{TEMPLATE}/jwks.json"], ids=["discovered", "by a template"])
async def test_with_keys_of_their_own_a_key_of_one_tenant_never_verifies_a_token_of_another(
    jwks_uri: str | None,
) -> None:
    # RFC 8725 section 3.8; all kids are the same
    estate = Estate("contoso", "fabrikam")
    door = Door(tenants(estate, jwks_uri=jwks_uri))
    for own in ("contoso", "fabrikam", "contoso"):
        assert await door.outcome(estate.token(own)) is None
    assert sorted(url for url in estate.fetched if url.endswith("jwks.json")) == [
        f"{LOGIN}/contoso/v2.0/jwks.json",
        f"{LOGIN}/fabrikam/v2.0/jwks.json",
    ]
    assert len(estate.fetched) == (4 if jwks_uri is None else 2)
    for signer, named in (("contoso", "fabrikam"), ("fabrikam", "contoso")):
        stolen = estate.tenants[signer].token(claims={"iss": issuer_of(named), "tid": named})
        assert await door.outcome(stolen) is Reason.SIGNATURE_INVALID
    assert await door.outcome(estate.token("contoso", tid="fabrikam")) is Reason.TENANT_MISMATCH


async def test_the_outage_of_one_tenant_is_not_anothers() -> None:
    estate = Estate("contoso", "fabrikam")
    door = Door(tenants(estate))
    assert await door.outcome(estate.token("contoso")) is None
    estate.down = True
    assert await door.outcome(estate.token("fabrikam")) is Reason.KEYS_UNAVAILABLE
    assert await door.outcome(estate.token("contoso")) is None


async def test_metadata_of_another_tenant_is_not_taken() -> None:
    estate = Estate("fabrikam")
    metadata = f"{LOGIN}/.well-known/oauth-authorization-server"
    issuer = estate.tenants["fabrikam"]

    async def fetch(url: str, **options: Any) -> Any:
        return await issuer.fetch(url.replace("contoso", "fabrikam"), **options)

    door = Door(tenants(estate, fetch=fetch))
    stolen = issuer.token(claims={"iss": issuer_of("contoso"), "tid": "contoso"})
    assert await door.outcome(stolen) is Reason.DISCOVERY_FAILED
    assert issuer.fetched[0] == f"{metadata}/fabrikam/v2.0"


async def test_given_keys_serve_all_tenants() -> None:
    provider = Provider()
    signer = provider.signers["shared"]
    door = Door(tenants(provider, keys=StaticKeys(signer.jwks()), jwks_uri=None, fetch=None))
    for tenant, reason in (("contoso", None), ("fabrikam", None), ("other", Reason.ISSUER_UNTRUSTED)):
        token = signer.token(claims={"iss": issuer_of(tenant), "tid": tenant})
        assert await door.outcome(token) is reason
    assert [status.issuer for status in door.verifier.status().values()] == [TEMPLATE]
    assert provider.fetched == []


@pytest.mark.parametrize(
    ("issuer", "reason"),
    [
        (TEMPLATE, None),
        (issuer_of("contoso"), None),
        (issuer_of("fabrikam"), Reason.KEY_UNSUITABLE),
        (issuer_of(CONSUMERS), Reason.KEY_UNSUITABLE),
        (f"{LOGIN}/{{tenantid}}", Reason.KEY_UNSUITABLE),
        ("{tenantid}", Reason.KEY_UNSUITABLE),
        ("", Reason.KEY_UNSUITABLE),
        (["https://login.test/contoso/v2.0"], Reason.KEY_UNSUITABLE),
        (7, Reason.KEY_UNSUITABLE),
        (None, None),
    ],
)
async def test_a_key_that_says_whose_it_is_signs_for_nobody_else(issuer: object, reason: Reason | None) -> None:
    provider = Provider(marked={"issuer": issuer})
    door = Door(tenants(provider))
    assert await door.outcome(provider.token("contoso")) is reason
    assert await door.outcome(provider.token("contoso")) is reason
    assert provider.fetched == [KEYS]


@pytest.mark.parametrize("single", [True, False], ids=["one issuer", "a family"])
async def test_a_stolen_key_for_consumers_signs_for_no_enterprise(*, single: bool) -> None:
    # Storm-0558, 2023: the key of consumer accounts was in the set, and its signature was good
    provider = Provider(enterprise={"issuer": TEMPLATE}, consumer={"issuer": issuer_of(CONSUMERS)})
    options: dict[str, Any] = {"profile": Profile.ENTRA_V2}
    if single:
        options |= {"audience": AUDIENCE, "algorithms": ["ES256"], "jwks_uri": KEYS, "fetch": provider.fetch}
        door = Door(TrustedIssuer(issuer=issuer_of("contoso"), **options))
    else:
        door = Door(tenants(provider, **options))
    claims = {"ver": "2.0", "azp": "app", "scp": "read"}
    assert await door.outcome(provider.token("contoso", key="enterprise", claims=claims)) is None
    for tid in ("contoso", CONSUMERS, f"{CONSUMERS}/v2.0", "", None):
        forged = provider.token("contoso", key="consumer", claims=claims | {"tid": tid})
        assert await door.outcome(forged) in {Reason.KEY_UNSUITABLE, Reason.TENANT_MISMATCH}
    assert await door.outcome(provider.token("contoso", key="consumer", claims=claims)) is Reason.KEY_UNSUITABLE


async def test_a_key_for_consumers_signs_for_them_where_they_are_on_the_list() -> None:
    provider = Provider(consumer={"issuer": issuer_of(CONSUMERS)})
    door = Door(tenants(provider, {CONSUMERS, "contoso"}))
    assert await door.outcome(provider.token(CONSUMERS)) is None
    assert await door.outcome(provider.token("contoso")) is Reason.KEY_UNSUITABLE


async def test_without_a_kid_the_keys_of_others_are_passed_over() -> None:
    others = {f"consumer-{number}": {"issuer": issuer_of(CONSUMERS)} for number in range(6)}
    provider = Provider(**others, own={"issuer": TEMPLATE})
    door = Door(tenants(provider))
    for name, reason in (("own", None), ("consumer-0", Reason.SIGNATURE_INVALID)):
        payload = provider.token("contoso", key=name).split(".")[1]
        key = provider.signers[name]._signing["ES256"]
        token = key.sign({"alg": "ES256", "typ": "at+jwt"}, urlsafe_b64decode(payload + "=="))
        assert await door.outcome(token) is reason


# Several issuers and families


async def test_an_issuer_that_is_named_exactly_goes_before_a_family() -> None:
    provider = Provider()
    exact = TrustedIssuer(
        issuer=issuer_of("contoso"), audience="exact", algorithms=["ES256"], jwks_uri=KEYS, fetch=provider.fetch
    )
    for order in ((exact, tenants(provider)), (tenants(provider), exact)):
        door = Door(*order)
        assert await door.outcome(provider.token("contoso", claims={"aud": "exact"})) is None
        assert await door.outcome(provider.token("contoso")) is Reason.AUDIENCE_MISMATCH
        assert await door.outcome(provider.token("fabrikam")) is None


async def test_of_several_families_the_first_that_trusts_the_issuer_decides() -> None:
    provider = Provider()
    first = tenants(provider, {"contoso"}, audience="first")
    second = tenants(provider, {"contoso", "fabrikam"}, audience="second")
    door = Door(first, second)
    assert await door.outcome(provider.token("contoso", claims={"aud": "first"})) is None
    assert await door.outcome(provider.token("contoso", claims={"aud": "second"})) is Reason.AUDIENCE_MISMATCH
    assert await door.outcome(provider.token("fabrikam", claims={"aud": "second"})) is None


async def test_a_refusal_names_what_is_configured_and_not_what_the_token_says() -> None:
    estate = Estate("contoso")
    exact = trusted(estate, "https://exact.test")
    door = Door(exact, tenants(estate), resolved(estate, {issuer_of("contoso")}))
    answer = await door.ask(TestIssuer("https://evil.test", algorithms=["ES256"]).token())
    assert answer.status == 401
    assert door.decisions[0].detail == (
        f"expected iss to be one of https://exact.test, {TEMPLATE} of a tenant on the allow-list, "
        "an issuer on the allow-list of the resolver"
    )
    assert b"login.test" not in answer.body


def test_a_verifier_takes_families_alone() -> None:
    assert Verifier(tenants(Provider())).status()[TEMPLATE].state.value == "empty"
    with pytest.raises(ConfigurationError):
        Verifier(tenants(Provider()), "https://login.test")  # type: ignore[arg-type]


# How they are


async def no_answer(*_: Any, **__: Any) -> Any:
    raise ValueError("no answer")


async def test_status_has_the_shared_keys_or_those_of_each_tenant_that_was_met() -> None:
    estate, provider = Estate("contoso", "fabrikam"), Provider()
    own = "https://own.test/{tenantid}"
    estate_of_own = Estate("contoso", "fabrikam", template=own)
    verifier = Verifier(
        tenants(provider), tenants(estate_of_own, template=own), resolved(estate, {"https://unseen.test"})
    )
    assert list(verifier.status()) == [TEMPLATE]
    await verifier.verify(estate_of_own.token("fabrikam"))
    statuses = verifier.status()
    assert {issuer: (status.required, status.ready) for issuer, status in statuses.items()} == {
        TEMPLATE: (True, False),
        "https://own.test/fabrikam": (False, True),
    }
    assert statuses["https://own.test/fabrikam"].kids == ("es256-1",)


@pytest.mark.parametrize("required", [True, False])
async def test_a_start_waits_for_the_shared_keys_of_a_family_unless_they_are_not_required(*, required: bool) -> None:
    verifier = Verifier(tenants(Provider(), fetch=no_answer, required=required))
    await verifier.start("warm")
    status = verifier.status()[TEMPLATE]
    assert status.required is required
    assert status.counters["failures"] == status.counters["fetches"] == (1 if required else 0)


async def test_families_of_one_template_are_each_told_of() -> None:
    # else a family without keys would be hidden behind one that has them, and the service seem ready
    families = [tenants(Provider(), fetch=no_answer), tenants(Provider()), tenants(Provider(), required=False)]
    verifier = Verifier(*families)
    await verifier.start("warm")
    assert {name: (status.ready, status.required) for name, status in verifier.status().items()} == {
        TEMPLATE: (False, True),
        f"{TEMPLATE} (2)": (True, True),
        f"{TEMPLATE} (3)": (False, False),
    }


async def test_a_start_goes_on_without_keys_that_are_not_required() -> None:
    provider = Provider()
    await Verifier(tenants(provider), tenants(Provider(), fetch=no_answer, required=False)).start("require")
    assert provider.fetched == [KEYS]


async def test_a_start_asks_no_tenant_with_keys_of_its_own() -> None:
    estate = Estate("contoso")
    verifier = Verifier(tenants(estate))
    await verifier.start("require")
    assert estate.fetched == []
    await verifier.verify(estate.token("contoso"))
    estate.down = True
    await verifier.start("require")
    assert verifier.status()[issuer_of("contoso")].required is False


async def test_a_start_fetches_the_shared_keys() -> None:
    provider = Provider()
    verifier = Verifier(tenants(provider))
    await verifier.start("require")
    assert provider.fetched == [KEYS]
    await verifier.verify(provider.token())
    assert provider.fetched == [KEYS]


async def test_reload_and_close_reach_the_keys_of_every_tenant_that_was_met() -> None:
    estate = Estate("contoso", "fabrikam")
    async with Verifier(tenants(estate)) as verifier:
        for name in estate.tenants:
            await verifier.verify(estate.token(name))
        for issuer in estate.tenants.values():
            issuer.rotate(keep_old=False)
        await verifier.reload()
        asked = len(estate.fetched)
        for name in estate.tenants:
            await verifier.verify(estate.token(name))
        assert len(estate.fetched) == asked


async def test_a_tenant_that_cannot_be_reached_does_not_keep_the_others_from_being_fetched_anew() -> None:
    estate = Estate("a", "b", "c")
    lost = "none"

    async def fetch(url: str, **options: Any) -> Any:
        if f"/{lost}/" in url:
            raise ValueError("no answer")
        return await estate.fetch(url, **options)

    verifier = Verifier(tenants(estate, set(estate.tenants), fetch=fetch))
    for name in estate.tenants:
        await verifier.verify(estate.token(name))
    lost = "b"
    estate.tenants["c"].rotate(keep_old=False)
    with pytest.raises(KeysUnavailable) as caught:
        await verifier.reload()
    assert caught.value.issuer == issuer_of("b")
    assert verifier.status()[issuer_of("c")].kids == ("es256-2",)
    assert await verifier.verify(estate.token("b"))


# What a stranger can make it cost


def strangers(signer: TestIssuer, number: int) -> Iterator[str]:
    for index in range(number):
        yield signer.token(claims={"iss": issuer_of(f"unknown-{index}"), "tid": f"unknown-{index}"})
        yield signer.token(claims={"iss": f"https://unknown-{index}.test"})


async def test_a_flood_of_unknown_tenants_and_issuers_fetches_and_keeps_nothing() -> None:
    estate = Estate("contoso")
    asked: list[str] = []

    def resolve(issuer: str) -> TrustedIssuer:
        asked.append(issuer)
        return trusted(estate, issuer)

    families = tenants(estate, {"contoso"}), ResolvedIssuers(resolve, allowed={"https://known.test"})
    door = Door(*families)
    signer = TestIssuer(LOGIN, algorithms=["Ed25519"])
    for token in strangers(signer, 150):
        assert await door.outcome(token) is Reason.ISSUER_UNTRUSTED
    assert estate.fetched == asked == []
    assert door.verifier.status() == {}
    assert [len(family._known) for family in families] == [0, 0]


async def test_what_is_kept_is_bounded_and_the_rest_is_let_go() -> None:
    names = [f"tenant-{number}" for number in range(8)]
    estate = Estate(*names)
    issuers = {issuer_of(name) for name in names}
    listed = set(names)
    for family in (
        tenants(estate, lambda name: name in listed, most=3),
        resolved(estate, issuers.__contains__, most=3),
    ):
        door = Door(family)
        assert await door.outcome(estate.token(names[0])) is None
        met = family.find(issuer_of(names[0]))
        assert met is not None
        kept = weakref.ref(met.keys)
        del met
        for name in names[1:]:
            assert await door.outcome(estate.token(name)) is None
        assert list(door.verifier.status()) == [issuer_of(name) for name in names[-3:]]
        gc.collect()
        assert kept() is None
        # One that was let go is found anew
        assert await door.outcome(estate.token(names[0])) is None
        assert len(door.verifier.status()) == 3


async def test_the_tenants_that_were_used_last_are_kept() -> None:
    estate = Estate("a", "b", "c")
    listed = set(estate.tenants)
    door = Door(tenants(estate, lambda name: name in listed, most=2))
    for name in ("a", "b", "a", "c"):
        assert await door.outcome(estate.token(name)) is None
    asked = len(estate.fetched)
    assert await door.outcome(estate.token("a")) is None
    assert len(estate.fetched) == asked
    assert await door.outcome(estate.token("b")) is None
    assert len(estate.fetched) > asked


# Options


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"template": "https://login.test/v2.0"}, "template"),
        ({"template": "https://login.test/{tenantid}/{tenantid}"}, "template"),
        ({"template": "https://login.test/{tenantId}"}, "template"),
        ({"template": "https://login.test/{tid}"}, "template"),
        ({"template": ""}, "template"),
        ({"template": None}, "template"),
        ({"template": b"https://login.test/{tenantid}"}, "template"),
        ({"template": "http://login.test/{tenantid}", "jwks_uri": None}, "issuer"),
        ({"template": " https://login.test/{tenantid}"}, "issuer"),
        ({"claim": ""}, "claim"),
        ({"claim": 7}, "claim"),
        ({"claim": ["tid"]}, "claim"),
        ({"jwks_uri": 7}, "jwks_uri"),
        ({"jwks_uri": b"https://login.test/keys"}, "jwks_uri"),
        ({"jwks_uri": ""}, "jwks_uri"),
        ({"jwks_uri": "http://login.test/keys"}, "jwks_uri"),
        ({"jwks_uri": "http://login.test/{tenantid}"}, "jwks_uri"),
        ({"keys": SharedSecret("s" * 32), "jwks_uri": None, "fetch": None}, "keys"),
        ({"keys": {"keys": []}, "jwks_uri": None, "fetch": None}, "keys"),
        ({"audience": []}, "audience"),
        ({"algorithms": ["none"]}, "algorithms"),
        ({"algorithms": ["HS256"]}, "algorithms"),
        ({"profile": None}, "profile"),
        ({"leeway": 301}, "leeway"),
        ({"required": "no"}, "required"),
        ({"allow_http": "no"}, "allow_http"),
        ({"key_hooks": "log"}, "key_hooks"),
        ({"fetch": "https://proxy.test"}, "fetch"),
        ({"most": 0}, "most"),
        ({"most": -1}, "most"),
        ({"most": True}, "most"),
        ({"most": 1.5}, "most"),
        ({"most": None}, "most"),
    ],
)
def test_a_wrong_option_of_a_family_stops_the_start(options: dict[str, Any], option: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        tenants(Provider(), **options)
    assert caught.value.option == option


@pytest.mark.parametrize("most", [0, True, "1000"])
def test_a_resolver_keeps_some_issuers_at_least(most: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected a number of issuers from 1") as caught:
        resolved(Estate(), set(), most=most)
    assert caught.value.option == "most"


def test_an_option_that_there_is_not_is_an_error() -> None:
    with pytest.raises(TypeError, match="issuers"):
        tenants(Provider(), issuers=["https://login.test"])
