"""The checks of `doctor` on how the issuer answers: redirects, how long keys are kept, the clock, the pace."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from jwt_asgi._core.freshness import lifetime
from jwt_asgi.cli.checkup_metadata import REDIRECTS, document_of
from jwt_asgi.cli.findings import Case, Exchange, Finding, fault, not_checked, ok, printable, quoted, warning

__all__ = ["check_clock", "check_max_age", "check_redirect", "check_slow"]

_DATE_RESOLUTION = 1.0
_SKEW_TO_WARN_OF = 5.0


def check_redirect(case: Case) -> Finding:
    """See that what the service needs is not elsewhere."""
    expected = "an answer at the URL itself; redirects are not followed"
    if not any(exchange.response for exchange in case.exchanges):
        return not_checked("nothing answered")
    # A redirect at one of the two metadata URLs does no harm where the other one answers
    needed = [exchange for exchange in case.exchanges if exchange is case.key_set or not document_of(case)]
    for exchange in needed:
        response = exchange.response
        if response is not None and response.status in REDIRECTS:
            found = f"{printable(exchange.url)} answered {response.status}, to {_location(response.headers)}"
            advice = (
                "Configure the URL that it leads to, once you know that it is the issuer's: --issuer or --jwks-uri."
            )
            return fault(found, expected, advice)
    return ok("none", expected)


def _location(headers: Mapping[str, str]) -> str:
    try:
        host = urlsplit(headers.get("location", "")).hostname
    except ValueError:
        host = None
    return f"host {quoted(host)}" if host else "the same host, or none that can be read"


def check_max_age(case: Case) -> Finding:
    """Compare how long the issuer wants its keys kept with how long the service keeps them."""
    caching, exchange = case.caching, case.key_set
    if case.published is None or exchange is None or exchange.response is None:
        return not_checked("there is no key set")
    headers = exchange.response.headers
    kept = lifetime(headers, default=caching.ttl, least=caching.least_ttl, most=caching.most_ttl)
    # Without the Age of a cache on the way: the issuer's own word is the matter
    said = {"cache-control": headers.get("cache-control", "")}
    asked = lifetime(said, default=caching.ttl, least=0.0, most=float("inf"))
    expected = f"a max-age from {caching.least_ttl:g} to {caching.most_ttl:g} s"
    sent = quoted(said["cache-control"]) if said["cache-control"] else "no Cache-Control"
    found = f"{sent}, so the service keeps the set for {kept:g} s"
    if asked < caching.least_ttl:
        advice = (
            "Nothing breaks: the service does not ask more often, so a withdrawn key is accepted for that long. To "
            "follow the issuer, lower least_ttl of KeyCaching."
        )
        return warning(f"too short: {found}", expected, advice)
    if asked > caching.most_ttl:
        advice = (
            "Nothing breaks: the service asks sooner, so that a withdrawn key is refused after that long. Caches on "
            "the way may keep it for longer; have the issuer send less."
        )
        return warning(f"too long: {found}", expected, advice)
    return ok(found, expected)


def check_clock(case: Case) -> Finding:
    """Compare this machine's clock with the issuer's, by the answers' Date."""
    expected = f"clocks less than {_SKEW_TO_WARN_OF:g} s apart; the leeway is {case.leeway:g} s"
    readings = [one for one in map(_skew, case.exchanges) if one is not None]
    if not readings:
        return not_checked("no answer says the time (Date)")
    ahead = min(readings, key=abs)
    if ahead == 0.0:
        return ok("none that shows in whole seconds", expected)
    found = f"this machine is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} the issuer"
    if abs(ahead) < _SKEW_TO_WARN_OF:
        return ok(found, expected)
    advice = "Set the clocks by NTP, this machine's and the issuer's. " + (
        "Fresh tokens seem to have expired early." if ahead > 0 else "Fresh tokens seem to be from the future."
    )
    return (fault if abs(ahead) > case.leeway else warning)(found, expected, advice)


def _skew(exchange: Exchange) -> float | None:
    """Return by how many seconds this machine is ahead, as far as an answer's Date shows it."""
    if exchange.response is None:
        return None
    try:
        date = parsedate_to_datetime(exchange.response.headers.get("date", ""))
        # RFC 9111 section 5.1: from a cache, it is older by Age
        then = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() + _age(exchange.response.headers)
    except (ValueError, TypeError, OverflowError):
        return None
    return max(exchange.middle - then - _DATE_RESOLUTION, 0.0) + min(exchange.middle - then, 0.0)


def _age(headers: Mapping[str, str]) -> int:
    age = headers.get("age", "").strip()
    return int(age[:9]) if age.isascii() and age.isdigit() else 0


def check_slow(case: Case) -> Finding:
    """Compare the time that it all took with the time that an attempt of the service may take."""
    limit = case.caching.timeout
    expected = f"at most {limit / 2:g} s, half of what the service waits"
    if not any(exchange.response for exchange in case.exchanges):
        return not_checked("nothing answered")
    seconds = sum(exchange.seconds for exchange in case.exchanges)
    found = f"{seconds:.2f} s for {len(case.exchanges)} request{'s' if len(case.exchanges) > 1 else ''}"
    advice = (
        "The first requests after a start wait this long. Look at the way to the issuer, or raise KeyCaching(timeout)."
    )
    if seconds > limit:
        return fault(found, expected, f"{advice} An attempt of the service would have been given up.")
    return warning(found, expected, advice) if seconds > limit / 2 else ok(found, expected)
