"""The checks of `doctor` on the issuer's metadata: is it there, is it of this issuer, does it name the keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from jwt_asgi._core.token import strict_json_object
from jwt_asgi._keys.discovery import slash_hint
from jwt_asgi._keys.fetch import check_url, is_loopback
from jwt_asgi.cli.checkup_way import no_answer
from jwt_asgi.cli.findings import Case, Exchange, Finding, fault, not_checked, ok, printable, quoted
from jwt_asgi.errors import ConfigurationError

__all__ = ["REDIRECTS", "check_issuer", "check_jwks_uri", "check_metadata", "document_of", "likely_uri"]

REDIRECTS = {301, 302, 303, 307, 308}
_OK = 200
_PLAIN_HTTP = "it is plain http"


def check_metadata(case: Case) -> Finding:
    """See that a document is there; the checks below say what is wrong with it."""
    expected = "the issuer's metadata, JSON, at one of its two well-known URLs"
    if case.given_uri is not None:
        return not_checked("with --jwks-uri the service asks for no metadata")
    if case.discovered:
        return ok(printable(case.metadata[-1].url), expected)
    if document_of(case) is not None:
        if _issuer_fault(case) is None and not _named_uri(case)[1]:
            advice = "The service refuses this metadata: have the issuer correct it, or give --jwks-uri."
            return fault(printable(case.refusal) or "it is refused", expected, advice)
        return ok("found; see issuer_mismatch, jwks_uri and http", expected)
    if all(exchange.error is not None and no_answer(exchange.error) for exchange in case.metadata):
        return not_checked("nothing answered")
    advice = (
        "Open the URLs: --issuer must be the issuer's identifier, with its path (tenant, realm) and without "
        "/.well-known. An issuer without metadata: give --jwks-uri."
    )
    return fault("; ".join(_no_document(exchange) for exchange in case.metadata), expected, advice)


def check_issuer(case: Case) -> Finding:
    """Compare the metadata's issuer with the configured one, to the letter."""
    if document_of(case) is None:
        return not_checked("there is no metadata")
    return _issuer_fault(case) or ok(printable(case.issuer), "exactly the configured issuer")


def check_jwks_uri(case: Case) -> Finding:
    """See that the key set's URL is named, may be asked, and answers 200."""
    if case.given_uri is None:
        if not _is_of_issuer(document_of(case), case.issuer):
            return not_checked("there is no metadata of this issuer")
        uri, problem = _named_uri(case)
        if problem and case.jwks_uri is None:
            advice = "Have the issuer publish an https jwks_uri in its metadata, or give --jwks-uri."
            found = f"{problem}: {quoted(uri)}"
            return fault(found, "a jwks_uri that is an https URL", advice)
    found, expected = printable(case.jwks_uri or ""), "the key set's URL, which answers 200"
    exchange = case.key_set
    if exchange is None or (exchange.error is not None and no_answer(exchange.error)):
        return not_checked(f"{found} did not answer; see unreachable")
    if exchange.response is not None and exchange.response.status in REDIRECTS | {_OK}:
        return ok(found, expected)
    advice = "Open the URL. With --jwks-uri, compare it with the jwks_uri of the issuer's metadata."
    return fault(_no_document(exchange), expected, advice)


def likely_uri(case: Case) -> str | None:
    """Return where the keys seem to be although the service refuses the metadata, so that all faults show at once.

    Only where the issuer differs by a trailing slash alone, or where plain http is the matter and is known already:
    what a stranger names is not fetched.
    """
    if not _is_of_issuer(document_of(case), case.issuer):
        return None
    uri, problem = _named_uri(case)
    http_is_known = case.allow_http or (urlsplit(case.issuer).scheme == "http" and not is_loopback(case.issuer))
    return uri if isinstance(uri, str) and (not problem or (problem == _PLAIN_HTTP and http_is_known)) else None


def document_of(case: Case) -> Mapping[str, Any] | None:
    """Return the metadata: the issuer's own where there is one, else what comes nearest."""
    documents: list[Mapping[str, Any]] = []
    for exchange in case.metadata:
        if exchange.response is not None and exchange.response.status == _OK:
            try:
                documents.append(strict_json_object(exchange.response.body))
            except ValueError:
                continue
    documents.sort(
        key=lambda document: (document.get("issuer") != case.issuer, not _is_of_issuer(document, case.issuer))
    )
    return documents[0] if documents else None


def _is_of_issuer(document: Mapping[str, Any] | None, issuer: str) -> bool:
    """Whether the document names this issuer, but for a trailing slash."""
    named = None if document is None else document.get("issuer")
    return named == issuer or bool(slash_hint(named, issuer))


def _issuer_fault(case: Case) -> Finding | None:
    document = document_of(case) or {}
    named = document.get("issuer")
    if named == case.issuer:
        return None
    expected = f"exactly the configured issuer, {printable(case.issuer)}"
    found = f"the metadata's issuer is {quoted(named)}"
    if isinstance(named, str) and (hint := slash_hint(named, case.issuer)):
        return fault(f"{found}{hint}", expected, f"Configure the issuer as the metadata has it: {printable(named)}")
    advice = (
        "Either this is another issuer (tenant, realm, environment): correct --issuer. Or it goes by this name, and is "
        "reached under another one from here: configure its own name as the issuer, and --jwks-uri beside it."
    )
    return fault(found, expected, advice)


def _named_uri(case: Case) -> tuple[object, str]:
    """Return what the metadata names, and what is wrong with it, or an empty text."""
    uri = (document_of(case) or {}).get("jwks_uri")
    if not isinstance(uri, str):
        return uri, "the metadata names none"
    secure = f"https{uri[4:]}" if uri[:5].lower() == "http:" else uri
    try:
        check_url("jwks_uri", secure)
    except ConfigurationError:
        return uri, "it is no https URL without user information and fragment"
    if secure == uri:
        return uri, ""
    if urlsplit(case.issuer).scheme == "https":
        return uri, "it is plain http, while the issuer is https"
    return uri, "" if is_loopback(uri) else _PLAIN_HTTP


def _no_document(exchange: Exchange) -> str:
    response, url = exchange.response, printable(exchange.url)
    if response is None:
        return printable(str(exchange.error))
    return f"{url} answered {response.status}" if response.status != _OK else f"{url} is not a JSON object"
