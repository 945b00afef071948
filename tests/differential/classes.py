"""Where the others' verdict may differ from ours, and why ours is right. A difference of no class is a fault.

A class counts where the token has what its predicate looks for, and where we (or, where we accept, the other) refuse it
for the reason that the class names. So no class can hide a difference that has another cause.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.differential.keys import LEEWAY, NOW
from tests.differential.look import Look, Text

Party = Literal["joserfc", "PyJWT"]
BOTH: tuple[Party, ...] = ("joserfc", "PyJWT")

_LATEST_DATE = 253_402_300_799
_TYPES = {"jwt", "at+jwt", "application/at+jwt"}
_OTHER_KINDS = {"id", "refresh", "logout", "offline"}
_CONTROLS = {*map(chr, range(32)), "\x7f"}


@dataclass(frozen=True)
class Difference:
    """One class of differences."""

    name: str
    parties: tuple[Party, ...]
    reasons: frozenset[str]
    """Ours, where we refuse; the name of the other's exception, where the other refuses."""
    holds: Callable[[Look], bool]
    why: str
    accepted: bool = False
    """By us."""


def _any(test: Callable[[Text], bool]) -> Callable[[Look], bool]:
    return lambda look: any(map(test, look.texts))


def _refused(
    name: str, reason: str, holds: Callable[[Look], bool], why: str, parties: tuple[Party, ...] = BOTH
) -> Difference:
    return Difference(name, parties, frozenset(reason.split()), holds, why)


def _kid_is_empty_or_long(look: Look) -> bool:
    kid = look.header.members.get("kid")
    return isinstance(kid, str) and not 0 < len(kid) <= 256


def _typ_is_other(look: Look) -> bool:
    typ = look.header.members.get("typ")
    return isinstance(typ, str) and typ.lower() not in _TYPES


def _typ_is_no_text(look: Look) -> bool:
    return "typ" in look.header.members and not isinstance(look.header.members["typ"], str)


def _kind_is_other(look: Look) -> bool:
    kinds = [look.claims.members.get(name) for name in ("token_use", "typ", "type")]
    return any(
        kind.lower().replace("-", "_").removesuffix("_token") in _OTHER_KINDS for kind in kinds if isinstance(kind, str)
    )


def _identifier_has_control(look: Look) -> bool:
    identifiers = [look.claims.members.get(name) for name in ("sub", "jti", "client_id", "azp")]
    return any(_CONTROLS.intersection(text) for text in identifiers if isinstance(text, str))


def _client_is_no_text(look: Look) -> bool:
    claims = look.claims.members
    azp = claims.get("azp")
    return not isinstance(claims.get("client_id", ""), str) or not (azp is None or isinstance(azp, str))


def _scope_is_odd(look: Look) -> bool:
    return not isinstance(look.claims.members.get("scope", ""), str | list)


def _date_is_beyond(look: Look) -> bool:
    return any(abs(date) > _LATEST_DATE for date in look.numbers("exp", "nbf", "iat"))


def _date_is_text_or_truth(look: Look) -> bool:
    return any(isinstance(look.claims.members.get(name), str | bool) for name in ("exp", "nbf", "iat"))


def _start_is_a_fraction_late(look: Look) -> bool:
    latest = NOW + LEEWAY
    return any(latest < date < latest + 1 for date in look.numbers("nbf", "iat"))


def _end_is_a_fraction_off(look: Look) -> bool:
    earliest = NOW - LEEWAY
    return any(earliest < date < earliest + 1 for date in look.numbers("exp"))


def _is_url(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://"))


def _unread_member_is_odd(look: Look) -> bool:
    header = look.header.members
    chain = header.get("x5c", [])
    return (
        not all(_is_url(header.get(name, "https://")) for name in ("jku", "x5u"))
        or not all(isinstance(header.get(name, ""), str) for name in ("x5t", "x5t#S256", "cty"))
        or not (isinstance(chain, list) and all(isinstance(link, str) for link in chain))
        or not isinstance(header.get("jwk", {}), dict)
    )


CLASSES: tuple[Difference, ...] = (
    _refused(
        "longer than 16 KiB",
        "token_too_large",
        lambda look: len(look.token) > 16 * 1024,
        "a bound before anything is read; no issuer comes near it",
    ),
    _refused(
        "padding",
        "token_malformed",
        lambda look: any(part.endswith(b"=") for part in look.parts),
        "RFC 7515 section 2: base64url without padding; PyJWT takes it for AWS ALB",
        ("PyJWT",),
    ),
    _refused(
        "a member twice",
        "token_malformed",
        _any(lambda text: text.duplicate),
        "RFC 7515 section 4, RFC 7519 section 4: unique names, else two readers read two tokens",
    ),
    _refused(
        "NaN or Infinity",
        "token_malformed",
        _any(lambda text: text.constant),
        "RFC 8259 section 6: these are no JSON",
    ),
    _refused(
        "a number without bounds",
        "token_malformed",
        _any(lambda text: text.unbounded),
        "1e999 becomes infinity in a float, which no application expects (CVE-2026-44459)",
    ),
    _refused(
        "a byte order mark",
        "token_malformed",
        _any(lambda text: text.marked),
        "RFC 8259 section 8.1: must not be added, may be refused",
    ),
    _refused(
        "not UTF-8",
        "token_malformed",
        _any(lambda text: not text.strict),
        "RFC 7515 section 5.2, RFC 8725 section 3.7: UTF-8, where json.loads(bytes) guesses UTF-16 and UTF-32",
    ),
    _refused(
        "a lone surrogate",
        "token_malformed",
        _any(lambda text: text.surrogate),
        "RFC 8259 section 8.2: it cannot be written out again, so the application would fail",
    ),
    _refused(
        "nested too deep",
        "token_malformed",
        _any(lambda text: text.depth > 64),
        "what reads or writes it later would end in a RecursionError (CVE-2025-53864, CVE-2026-102265)",
    ),
    _refused(
        "b64 in the header",
        "header_critical",
        lambda look: "b64" in look.header.members,
        "RFC 7797 section 7: must not be used in a JWT",
    ),
    _refused(
        "crit in the header",
        "header_critical",
        lambda look: "crit" in look.header.members,
        "RFC 7515 section 4.1.11: no extension is understood, and names of the RFC itself must not be listed",
        ("joserfc",),
    ),
    _refused(
        "a kid that is empty or longer than 256",
        "header_malformed",
        _kid_is_empty_or_long,
        "no key has such a name; with a shared secret the others do not look at it",
    ),
    _refused(
        "another typ",
        "type_not_accepted",
        _typ_is_other,
        "RFC 8725 section 3.11, RFC 9068 section 4: a JWT of another kind; the others leave it to the application",
    ),
    _refused(
        "a typ that is no text",
        "type_not_accepted",
        _typ_is_no_text,
        "RFC 7515 section 4.1.9: a string",
        ("PyJWT",),
    ),
    _refused(
        "claims that name another kind",
        "type_not_accepted",
        _kind_is_other,
        "RFC 8725 section 3.11: ID and refresh tokens of Cognito and Keycloak say so in a claim",
    ),
    _refused(
        "cnf",
        "binding_unsupported",
        lambda look: "cnf" in look.claims.members,
        "RFC 7800 section 3.1, RFC 9449 section 7.2: a bound token is no bearer token",
    ),
    _refused(
        "a control character in an identifier",
        "claim_malformed",
        _identifier_has_control,
        "CWE-93, CWE-117: identifiers end up in headers and logs",
    ),
    _refused(
        "a client that is no text",
        "claim_malformed",
        _client_is_no_text,
        "RFC 8693 section 4.3: a string",
    ),
    _refused(
        "a scope that is neither text nor array",
        "claim_malformed",
        _scope_is_odd,
        "RFC 8693 section 4.2: a string; a dict would pass `in`",
    ),
    _refused(
        "a date beyond the year 9999",
        "claim_malformed",
        _date_is_beyond,
        "milliseconds, or an attack on a conversion: no datetime takes it",
    ),
    _refused(
        "a date that is text or true",
        "claim_malformed",
        _date_is_text_or_truth,
        "RFC 7519 section 2: a number; PyJWT calls int()",
        ("PyJWT",),
    ),
    _refused(
        "nbf or iat a fraction of a second ahead",
        "token_not_yet_valid token_issued_in_future",
        _start_is_a_fraction_late,
        "RFC 7519 section 4.1.5; PyJWT cuts the fraction off",
        ("PyJWT",),
    ),
    Difference(
        "exp a fraction of a second ahead",
        ("PyJWT",),
        frozenset({"ExpiredSignatureError"}),
        _end_is_a_fraction_off,
        "RFC 7519 section 2: a NumericDate may have a fraction, and this one is not reached; PyJWT cuts it off",
        accepted=True,
    ),
    Difference(
        "a header longer than 512 characters",
        ("joserfc",),
        frozenset({"ExceededSizeError"}),
        lambda look: len(look.parts[0]) > 512,
        "a bound of joserfc's; certificates in x5c are longer",
        accepted=True,
    ),
    Difference(
        "an ill-typed header member that nobody reads",
        ("joserfc",),
        frozenset({"InvalidHeaderValueError"}),
        _unread_member_is_odd,
        "jku, x5u, jwk, x5c, x5t, cty are never used here, and never followed (RFC 8725 section 3.10)",
        accepted=True,
    ),
)


def class_of(look: Look, party: Party, reason: str, *, accepted: bool) -> Difference | None:
    """The class that a difference belongs to: the first that fits; None: a fault."""
    for known in CLASSES:
        if known.accepted is accepted and party in known.parties and reason in known.reasons and known.holds(look):
            return known
    return None
