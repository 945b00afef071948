"""The checks of `doctor` on the way to the issuer: the scheme, and whether anything answers at all."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from jwt_asgi._keys.fetch import NoAnswerError, is_loopback
from jwt_asgi.cli.findings import Case, Finding, fault, listed, ok, printable, warning

__all__ = ["check_http", "check_reachable", "no_answer"]


class _Kind(NamedTuple):
    name: str
    found: str
    advice: str


_KINDS: Sequence[tuple[type[BaseException], _Kind]] = (
    (
        socket.gaierror,
        _Kind("DNS", "the name cannot be resolved", "Check the host name, and the name servers of this very network."),
    ),
    (
        ConnectionRefusedError,
        _Kind("refused", "nothing listens there", "Check host and port, that the issuer runs, and what is in between."),
    ),
    (
        ssl.SSLError,
        _Kind(
            "TLS",
            "",
            "A private authority: --ca-file PEM here, and in the service fetch=HttpxFetch(ssl.create_default_context("
            "cafile=...)). Expired or not yet valid: renew the certificate, or set this machine's clock. Another name: "
            "ask under the name of the certificate. No TLS at all: check the port.",
        ),
    ),
    (
        TimeoutError,
        _Kind(
            "time-out",
            "no full answer in time",
            "Most often a firewall or a network policy that drops what leaves this network, or a proxy that has to be "
            "named (HTTPS_PROXY). If the issuer is just slow: KeyCaching(timeout=...).",
        ),
    ),
)
_DROPPED = _Kind("connection", "it broke off before an answer", "Check port and scheme, and proxies on the way.")


def check_http(case: Case) -> Finding:
    """Look for plain http among the URLs that are asked."""
    expected = "https, since whoever changes the keys on the way lets anyone in"
    asked = [case.given_uri or case.issuer, *([case.jwks_uri] if case.jwks_uri and not case.given_uri else [])]
    plain = [url for url in asked if urlsplit(url).scheme == "http"]
    open_ = [printable(url) for url in plain if not is_loopback(url)]
    if not plain:
        return ok("https alone", expected)
    if not open_:
        advice = "For development only. Before deployment, run this against the issuer that the service will trust."
        return warning(f"plain http, on loopback: {listed([printable(url) for url in plain])}", expected, advice)
    found = f"plain http: {listed(open_)}"
    if case.allow_http:
        advice = (
            "Anyone who can change traffic on the way can sign in as anyone. Ask the issuer over https, or give the "
            "service allow_http=True, knowing that."
        )
        return warning(found, expected, advice)
    advice = (
        "Use the issuer's https URL; the service refuses plain http. On a network that nobody else can reach, "
        "allow_http=True in the service and --allow-http here make this a warning."
    )
    return fault(found, expected, advice)


def check_reachable(case: Case) -> Finding:
    """Name what kept an answer away, where the service needed it."""
    expected = f"answers within {case.caching.timeout:g} s"
    needed = case.exchanges if not case.discovered and case.given_uri is None else case.exchanges[-1:]
    for exchange in needed:
        told = None if exchange.error is None else no_answer(exchange.error)
        if told is not None:
            kind, cause = told
            text = kind.found or _tls_text(cause)
            return fault(f"{kind.name}: {printable(exchange.url)}: {printable(text)}", expected, kind.advice)
    hosts = dict.fromkeys(urlsplit(exchange.url).netloc for exchange in case.exchanges)
    return ok(f"{listed([printable(host) for host in hosts])} answered", expected)


def no_answer(error: Exception) -> tuple[_Kind, BaseException] | None:
    """Say why there was no answer at all; None: there was one that cannot be read."""
    for cause in _causes(error):
        for kind_of_error, kind in _KINDS:
            if isinstance(cause, kind_of_error):
                return kind, cause
    return (_DROPPED, error) if isinstance(error, NoAnswerError) else None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions:
                yield from _causes(one)
        error = error.__cause__ or error.__context__


def _tls_text(error: BaseException) -> str:
    return str(getattr(error, "verify_message", "") or getattr(error, "reason", "") or type(error).__name__)
