"""`jwt-asgi doctor` against a real oidc-provider: all is well there but plain http on loopback."""

from __future__ import annotations

import json

import pytest

from jwt_asgi.cli import main
from jwt_asgi.cli.checkup import CODES
from tests.interop.identity_provider import AUDIENCE, IdentityProvider


def doctor(issuer: str, algorithm: str, *more: str) -> int:
    # It may be a busy machine: the pace is not the matter here
    pinned = ["--audience", AUDIENCE, "--alg", algorithm, "--timeout", "30"]
    return main(["doctor", "--issuer", issuer, *pinned, *more])


def test_everything_is_ok_but_plain_http_on_loopback(
    provider: IdentityProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    before = provider.jwks_gets()

    assert doctor(provider.issuer, provider.algorithm, "--json") == 0

    report = json.loads(capsys.readouterr().out)
    statuses = {check["check"]: check["status"] for check in report["checks"]}
    assert statuses == dict.fromkeys(CODES, "ok") | {"http": "warning"}
    assert report["verdict"] == "warning: http"
    assert report["jwks_uri"] == f"{provider.issuer}/jwks"
    assert provider.jwks_gets() == before + 1


def test_a_trailing_slash_too_many_is_pointed_out(
    provider: IdentityProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor(f"{provider.issuer}/", provider.algorithm) == 1

    out = capsys.readouterr().out
    assert f"Configure the issuer as the metadata has it: {provider.issuer}\n" in out
    assert out.endswith("\nfault: issuer_mismatch; warning: http\n")


def test_an_algorithm_that_it_has_no_key_for_is_pointed_out(
    provider: IdentityProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor(provider.issuer, "ES384") == 1

    out = capsys.readouterr().out
    assert "no key fits ES384; the published keys fit " in out
    assert out.endswith("\nfault: algorithm_not_published; warning: http\n")
