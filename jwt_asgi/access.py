"""Access rules and how they are checked: everything for "may this token do that?".

Rules are values, combined with `&`, `|` and `~`: `Scope("todos:read") & (Role("admin") | Claim("plan", equals="pro"))`.
`check_access` judges at once; `authorize` also asks external policies.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import anyio

from jwt_asgi._core.access import Context, Requirement, Truth, are_met, judge_all, refusal
from jwt_asgi._core.access_token import AccessToken, Grants
from jwt_asgi._core.claim_rules import Acr, AuthorizationDetails, Claim, ExternalPolicy
from jwt_asgi._core.rules import AnyToken, Client, Issuer, PathParam, Permission, Role, Scope, Subject
from jwt_asgi.errors import AccessError, ConfigurationError, Reason

__all__ = [
    "Acr",
    "AnyToken",
    "AuthorizationDetails",
    "Claim",
    "Client",
    "Context",
    "ExternalPolicy",
    "Grants",
    "Issuer",
    "PathParam",
    "Permission",
    "Requirement",
    "Role",
    "Scope",
    "Subject",
    "authorize",
    "authorize_all",
    "check_access",
    "check_rule",
]

logger = logging.getLogger("jwt_asgi")


def check_access(
    token: AccessToken | None,
    requirement: Requirement,
    *,
    path_params: Mapping[str, Any] | None = None,
    context: Context | None = None,
) -> AccessToken:
    """Return the token if it meets the requirement.

    `scope["jwt"]` may be given as it is: None, where no token was sent, meets no requirement. `path_params`, such as
    Starlette's, are for rules with `PathParam` or `{name}`; `context` is what rules of your own are told of the
    request.

    Raises:
        AccessError: it does not; the reason says what is missing, a scope first.
        ConfigurationError: it is no rule; or it has an `ExternalPolicy`: await `authorize` for that.
    """
    check_rule("check_access", requirement)
    if requirement.awaits():
        raise ConfigurationError("check_access", "a rule with an ExternalPolicy is awaited: await authorize(...)")
    context = _context(context, path_params)
    if token is None or requirement.met_by(token, context) is not True:
        raise refusal(requirement.judge(token, context), token)
    return token


async def authorize(
    token: AccessToken | None,
    requirement: Requirement,
    *,
    path_params: Mapping[str, Any] | None = None,
    context: Context | None = None,
) -> AccessToken:
    """Return the token if it meets the requirement, asking external policies where the rest leaves it open.

    They are asked one after another, each once, and only where the answer counts. `context` is what they are told of
    the request.

    Raises:
        AccessError: it does not; or, with `access_undecided`, a policy did not answer.
    """
    check_rule("authorize", requirement)
    parts = [(requirement, _context(context, path_params))]
    return token if token is not None and are_met(parts, token) else await _ask_or_refuse(token, parts)


async def authorize_all(token: AccessToken | None, parts: Sequence[tuple[Requirement, Context]]) -> AccessToken:
    """Return the token if it meets every requirement, each in its own context; one refusal names what all need.

    Raises:
        AccessError: as `authorize`.
    """
    whole = [(requirement, _context(context, None)) for requirement, context in parts]
    return token if token is not None and are_met(whole, token) else await _ask_or_refuse(token, whole)


def check_rule(function: str, requirement: object) -> None:
    """Refuse what is no rule.

    Raises:
        ConfigurationError: naming the function that was given it.
    """
    if not isinstance(requirement, Requirement):
        raise ConfigurationError(function, f'expected a rule, as Scope("todos:read"); got {requirement!r}')


async def _ask_or_refuse(token: AccessToken | None, parts: list[tuple[Requirement, Context]]) -> AccessToken:
    """Ask policies until the requirements are met, or refuse: they are not so far."""
    while True:
        judgment = judge_all(parts, token)
        if token is None or judgment.truth is Truth.NO or not isinstance(policy := judgment.ask, ExternalPolicy):
            raise refusal(judgment, token)
        at = next(at for at, part in enumerate(parts) if part[0].judge(token, part[1]).ask is policy)
        requirement, context = parts[at]
        answers = {**context.answers, policy: await _ask(policy, token, context)}
        parts[at] = (requirement, replace(context, answers=answers))
        if are_met(parts, token):
            return token


async def _ask(policy: ExternalPolicy, token: AccessToken, context: Context) -> bool:
    try:
        with anyio.fail_after(policy.timeout):
            return await policy.ask(token, context) is True
    except TimeoutError:
        detail = f"{policy} did not answer within {policy.timeout:g} s"
    except Exception:
        detail = f"{policy} failed"
        logger.exception("%s", detail)
    raise AccessError(Reason.ACCESS_UNDECIDED, detail, missing=(str(policy),))


def _context(context: Context | None, path_params: Mapping[str, Any] | None) -> Context:
    """Return a context with the time, and the path parameters as text."""
    told = context or _NOWHERE
    texts = _texts(told.path_params if path_params is None else path_params)
    if told.now and texts == told.path_params:
        return told
    return Context(
        now=told.now or time.time(), method=told.method, path=told.path, path_params=texts, answers=told.answers
    )


def _texts(values: Mapping[str, Any]) -> Mapping[str, str]:
    for value in values.values():
        if type(value) is not str:
            return {name: str(value) for name, value in values.items() if value is not None}
    return values


_NOWHERE = Context()
