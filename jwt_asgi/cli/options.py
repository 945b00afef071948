"""The options that `explain` and `doctor` share: an issuer, and the way to it."""

from __future__ import annotations

import argparse
import os
import ssl

from jwt_asgi._core.policy import ASYMMETRIC_ALGORITHMS
from jwt_asgi._keys.fetch import HttpxFetch
from jwt_asgi.errors import ConfigurationError
from jwt_asgi.profiles import PROFILES

__all__ = ["add_issuer", "add_jwks_uri", "add_way", "https_fetch"]


def add_issuer(parser: argparse.ArgumentParser) -> None:
    """Add what `TrustedIssuer` is given."""
    parser.add_argument("--issuer", required=True, help="the trusted issuer, exactly as in `iss`")
    parser.add_argument("--audience", required=True, action="append", help="this API, as in `aud`; may be repeated")
    parser.add_argument(
        "--alg",
        required=True,
        action="append",
        metavar="NAME",
        help=f"an allowed algorithm; may be repeated. One of: {', '.join(ASYMMETRIC_ALGORITHMS)}",
    )
    parser.add_argument(
        "--profile", choices=tuple(PROFILES), default="generic", metavar="NAME", help=f"one of: {', '.join(PROFILES)}"
    )
    parser.add_argument("--leeway", type=float, default=30.0, metavar="SECONDS", help="default: 30")


def add_jwks_uri(parser: argparse._ActionsContainer) -> None:
    """Add the key set's URL, which may stand in a group."""
    parser.add_argument("--jwks-uri", metavar="URL", help="where the issuer's keys are; by default its metadata tells")


def add_way(parser: argparse.ArgumentParser, *, allow_http: str) -> None:
    """Add whom to trust on the way to the issuer; `allow_http` is what that option does."""
    parser.add_argument("--ca-file", metavar="PEM", help="trust these certificate authorities, and no others")
    parser.add_argument("--allow-http", action="store_true", help=allow_http)


def https_fetch(ca_file: str | None) -> HttpxFetch:
    """Make what fetches, for the authorities of `--ca-file`.

    Raises:
        ConfigurationError: they, or those that the environment names, cannot be read.
    """
    try:
        return HttpxFetch(None if ca_file is None else ssl.create_default_context(cafile=ca_file))
    except OSError as error:  # ssl.SSLError among them
        option, path = ("SSL_CERT_FILE", os.environ.get("SSL_CERT_FILE")) if ca_file is None else ("--ca-file", ca_file)
        detail = f"expected a file of certificates in PEM; {path!r}: {error.strerror or type(error).__name__}"
        raise ConfigurationError(option, detail) from None
