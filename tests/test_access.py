"""Checking rules: at once, and with external policies, on asyncio and on trio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest
import trio

from jwt_asgi import AccessError, AccessToken, ConfigurationError, Reason, Requirement, TrustedIssuer, Verifier
from jwt_asgi.access import (
    Acr,
    Claim,
    Context,
    ExternalPolicy,
    Grants,
    PathParam,
    Permission,
    Role,
    Scope,
    Subject,
    authorize,
    authorize_all,
    check_access,
)
from jwt_asgi.tenants import TrustedTenants
from jwt_asgi.testing import TestIssuer
from tests.core.builders import access_token

A, B = Scope("a"), Scope("b")
HOLDER = access_token(scopes=("a",), roles=("x",))


class Asked:
    """A policy that keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.contexts: list[Context] = []

    async def __call__(self, token: AccessToken, context: Context) -> Any:
        await anyio.sleep(0)
        self.contexts.append(context)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def policy(*answers: Any, name: str = "opa", timeout: float = 2.0) -> tuple[ExternalPolicy, Asked]:
    asked = Asked(*answers)
    return ExternalPolicy(name, asked, timeout=timeout), asked


def refused(call: Callable[[], object]) -> AccessError:
    with pytest.raises(AccessError) as caught:
        call()
    return caught.value


def on_both(story: Callable[[], Awaitable[object]]) -> None:
    """Run it on asyncio and on trio."""

    async def run() -> None:
        await story()

    asyncio.run(run())
    trio.run(run)


def error_of(token: AccessToken | None, rule: Requirement, **options: Any) -> AccessError:
    async def story() -> None:
        await authorize(token, rule, **options)

    return refused(lambda: asyncio.run(story()))


# At once


def test_path_parameters_are_compared_as_text_and_those_that_are_none_are_not_there() -> None:
    rule = Scope("doc:{id}:read")
    token = access_token(scopes=("doc:7:read", "doc:None:read"))
    assert check_access(token, rule, path_params={"id": 7, "more": None}) is token
    assert check_access(token, rule, context=Context(path_params={"id": "7"})) is token
    assert refused(lambda: check_access(token, rule, path_params={"id": None})).reason is Reason.ACCESS_DENIED
    assert refused(lambda: check_access(token, rule)).reason is Reason.ACCESS_DENIED


def test_the_parameters_that_are_given_take_the_place_of_those_of_the_context() -> None:
    rule, context = Subject(PathParam("id")), Context(path_params={"id": "user-1"})
    assert check_access(access_token(), rule, context=context)
    assert refused(lambda: check_access(access_token(), rule, context=context, path_params={}))


def test_the_time_is_now_unless_the_context_says_when(monkeypatch: pytest.MonkeyPatch) -> None:
    token = TestIssuer(clock=lambda: 1000.0)
    good = asyncio.run(
        Verifier(TrustedIssuer(**token.options()), clock=lambda: 1000.0).verify(token.token(claims={"auth_time": 1000}))
    )
    rule = Acr(max_age=60)
    assert check_access(good, rule, context=Context(now=1060.0))
    assert refused(lambda: check_access(good, rule, context=Context(now=1061.0))).max_age == 60
    assert refused(lambda: check_access(good, rule)).reason is Reason.AUTHENTICATION_INSUFFICIENT
    monkeypatch.setattr("jwt_asgi.access.time.time", lambda: 1030.0)
    assert check_access(good, rule)


@pytest.mark.parametrize("combine", [lambda rule: rule, lambda rule: ~rule, lambda rule: A | rule, lambda r: B & ~r])
def test_a_rule_with_an_external_policy_is_not_checked_at_once(combine: Callable[[Requirement], Requirement]) -> None:
    rule, asked = policy()
    for token in (HOLDER, None):
        with pytest.raises(ConfigurationError, match="await authorize"):
            check_access(token, combine(rule))
    assert asked.contexts == []


# External policies


@pytest.mark.parametrize(
    ("answer", "granted"),
    [
        (True, True),
        (False, False),
        (None, False),
        (1, False),
        ("yes", False),
        ([True], False),
        ({"allow": True}, False),
    ],
)
def test_only_true_itself_lets_in(answer: Any, granted: bool) -> None:
    async def story() -> None:
        rule, asked = policy(answer)
        if granted:
            assert await authorize(HOLDER, rule & A) is HOLDER
        else:
            with pytest.raises(AccessError) as caught:
                await authorize(HOLDER, rule & A)
            assert (caught.value.reason, caught.value.missing) == (Reason.ACCESS_DENIED, ("policy opa",))
        assert len(asked.contexts) == 1

    on_both(story)


@pytest.mark.parametrize(
    ("combine", "token"),
    [
        (lambda rule: A | rule, HOLDER),
        (lambda rule: rule | A, HOLDER),
        (lambda rule: B & rule, HOLDER),
        (lambda rule: rule & B, HOLDER),
        (lambda rule: ~A & ~rule, HOLDER),
        (lambda rule: rule, None),
        (lambda rule: ~rule, None),
        (lambda rule: rule | A, None),
    ],
)
def test_a_policy_is_not_asked_where_its_answer_does_not_count(
    combine: Callable[[Requirement], Requirement], token: AccessToken | None
) -> None:
    async def story() -> None:
        rule, asked = policy()
        with suppress(AccessError):
            await authorize(token, combine(rule))
        assert asked.contexts == []

    on_both(story)


def test_a_policy_in_two_places_is_asked_once_and_two_policies_each() -> None:
    async def story() -> None:
        first, asked_first = policy(True)
        second, asked_second = policy(False, name="other")
        assert await authorize(HOLDER, (first & B) | (second & B) | (first & ~second))
        assert len(asked_first.contexts) == 1
        assert len(asked_second.contexts) == 1

    on_both(story)


def test_a_policy_is_told_of_the_request() -> None:
    async def story() -> None:
        rule, asked = policy(True)
        context = Context(now=5.0, method="PUT", path="/docs/7")
        await authorize(HOLDER, rule, path_params={"id": 7}, context=context)
        (told,) = asked.contexts
        assert (told.now, told.method, told.path, told.path_params) == (5.0, "PUT", "/docs/7", {"id": "7"})

    on_both(story)


def test_a_policy_cannot_change_what_is_judged() -> None:
    async def changing(token: AccessToken, context: Context) -> bool:
        found: Any = context.path_params
        found["id"] = "user-1"
        return True

    error = error_of(HOLDER, ExternalPolicy("bad", changing) & Subject(PathParam("id")), path_params={"id": ""})
    assert error.reason is Reason.ACCESS_UNDECIDED


@pytest.mark.parametrize("fault", [ValueError("s3cret"), TimeoutError(), ExceptionGroup("s3cret", [ValueError()])])
def test_a_policy_that_fails_leaves_it_undecided(fault: Exception, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        for negated in (False, True):
            rule, _ = policy(fault)
            with pytest.raises(AccessError) as caught:
                await authorize(HOLDER, ~rule if negated else rule)
            assert caught.value.reason is Reason.ACCESS_UNDECIDED
            assert caught.value.missing == ("policy opa",)
            assert "s3cret" not in str(caught.value)
            assert caught.value.__context__ is None or caught.value.__suppress_context__

    on_both(story)
    logged = [record for record in caplog.records if record.name == "jwt_asgi"]
    assert all(record.getMessage() == "policy opa failed" for record in logged)


def test_a_policy_that_is_not_async_leaves_it_undecided() -> None:
    sync: Any = lambda token, context: True  # noqa: E731
    assert error_of(HOLDER, ExternalPolicy("sync", sync)).reason is Reason.ACCESS_UNDECIDED


def test_a_policy_that_does_not_answer_in_time_leaves_it_undecided() -> None:
    async def story() -> None:
        left: list[bool] = []

        async def slow(token: AccessToken, context: Context) -> bool:
            try:
                await anyio.sleep(60)
            finally:
                left.append(True)
            return True

        with pytest.raises(AccessError, match=r"policy slow did not answer within 0\.02 s") as caught:
            await authorize(HOLDER, ExternalPolicy("slow", slow, timeout=0.02))
        assert caught.value.reason is Reason.ACCESS_UNDECIDED
        assert left == [True]

    on_both(story)


def test_a_request_that_is_given_up_gives_its_policy_up() -> None:
    async def story() -> None:
        ended: list[str] = []

        async def waiting(token: AccessToken, context: Context) -> bool:
            try:
                await anyio.sleep(60)
            finally:
                ended.append("policy")
            return True

        with anyio.move_on_after(0.02) as scope:
            await authorize(HOLDER, ExternalPolicy("waiting", waiting))
        assert scope.cancelled_caught
        assert ended == ["policy"]

    on_both(story)


def test_several_rules_are_refused_as_one_and_each_has_its_own_parameters() -> None:
    async def story() -> None:
        rule, asked = policy(True, True)
        token = access_token(scopes=("doc:1",))
        parts: list[tuple[Requirement, Context]] = [
            (rule & Scope("doc:{id}"), Context(path_params={"id": "1"})),
            (rule | B, Context(path_params={"id": "2"})),
        ]
        assert await authorize_all(token, parts) is token
        assert [context.path_params for context in asked.contexts] == [{"id": "1"}, {"id": "2"}]
        with pytest.raises(AccessError) as caught:
            await authorize_all(token, [*parts, (A, Context()), (Role("x"), Context())])
        assert (caught.value.scopes, caught.value.missing) == (("a", "doc:1"), ("scope a", "role x"))
        with pytest.raises(AccessError) as caught:
            await authorize_all(None, parts)
        assert caught.value.reason is Reason.CREDENTIALS_MISSING

    on_both(story)


def test_no_rule_at_all_needs_a_token() -> None:
    async def story() -> None:
        assert await authorize_all(HOLDER, []) is HOLDER
        with pytest.raises(AccessError):
            await authorize_all(None, [])

    on_both(story)


# What the application grants


class Service:
    """An issuer, and a verifier that asks the application what a token allows."""

    def __init__(self, grants: Any) -> None:
        self.issuer = TestIssuer(algorithms=["ES256"])
        self.verifier = Verifier(TrustedIssuer(**self.issuer.options(), grants=grants))

    async def verify(self, **members: Any) -> AccessToken:
        return await self.verifier.verify(self.issuer.token(**members))


async def test_grants_take_the_place_of_what_the_token_says() -> None:
    def at_once(token: AccessToken) -> Grants:
        return Grants(permissions={f"may:{role}" for role in token.roles}, roles=[])

    async def awaited(token: AccessToken) -> Grants:
        await anyio.sleep(0)
        return at_once(token)

    for function in (at_once, awaited):
        token = await Service(function).verify(scope="a", roles=["editor"])
        assert token.scopes == {"a"}
        assert token.roles == frozenset()
        assert token.permissions == {"may:editor"}
        assert token.claims["roles"] == ("editor",)
        assert check_access(token, Permission("may:editor") & A & Claim("roles", contains="editor"))
        assert refused(lambda: check_access(token, Role("editor"))).reason is Reason.ROLE_MISSING  # noqa: B023


async def late(answer: Any) -> Any:
    return answer


def failing(token: AccessToken) -> Grants:
    raise LookupError("s3cret")


async def failing_late(token: AccessToken) -> Grants:
    raise LookupError("s3cret")


@pytest.mark.parametrize(
    "grants",
    [
        failing,
        failing_late,
        lambda _: None,
        lambda _: {"scopes": ["a"]},
        lambda _: ["a"],
        lambda _: late(None),
        lambda _: late({"scopes": ["a"]}),
        lambda _: Grants(scopes="a"),
        lambda _: Grants,
        lambda: None,
    ],
)
async def test_grants_that_fail_leave_it_undecided(grants: Any, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(AccessError) as caught:
        await Service(grants).verify()
    assert caught.value.reason is Reason.ACCESS_UNDECIDED
    assert "s3cret" not in str(caught.value)
    assert [record.getMessage() for record in caplog.records] == ["the function given as grants= failed"]


async def test_grants_are_asked_about_good_tokens_alone() -> None:
    asked: list[AccessToken] = []
    service = Service(asked.append)
    with pytest.raises(Exception, match="signature_invalid"):
        await service.verifier.verify(service.issuer.bad_token(Reason.SIGNATURE_INVALID))
    assert asked == []


async def test_a_verification_that_is_given_up_gives_its_grants_up() -> None:
    async def waiting(token: AccessToken) -> Grants:
        await anyio.sleep(60)
        return Grants()

    service = Service(waiting)
    with anyio.move_on_after(0.2) as scope:
        await service.verify()
    assert scope.cancelled_caught


async def test_tenants_are_granted_too() -> None:
    issuer = TestIssuer(algorithms=["ES256"])
    options: dict[str, Any] = {**issuer.options()}
    del options["issuer"]
    family = TrustedTenants(
        f"{issuer.issuer}/{{tenantid}}",
        tenants={"contoso"},
        jwks_uri=f"{issuer.issuer}/jwks.json",
        grants=lambda token: Grants(roles=[f"of {token.claims['tid']}"]),
        **options,
    )
    claims = {"iss": f"{issuer.issuer}/contoso", "tid": "contoso"}
    assert (await Verifier(family).verify(issuer.token(claims=claims))).roles == {"of contoso"}


@pytest.mark.parametrize("grants", ["roles", 7, Grants(), {"scopes": ["a"]}])
def test_grants_are_a_function(grants: Any) -> None:
    with pytest.raises(ConfigurationError, match="grants: expected a function"):
        Service(grants)


@pytest.mark.parametrize("rule", ["todos:read", None, Scope])
async def test_what_is_no_rule_is_told(rule: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"check_access: expected a rule, as Scope\("):
        check_access(None, rule)
    with pytest.raises(ConfigurationError, match=r"authorize: expected a rule, as Scope\("):
        await authorize(None, rule)
