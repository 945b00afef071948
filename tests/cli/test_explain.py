"""`jwt-asgi explain`: each check is printed, the verdict is the verifier's own, and the token goes nowhere."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import pytest

from jwt_asgi import Reason
from jwt_asgi.cli import main
from jwt_asgi.cli.advice import ADVICE
from jwt_asgi.testing import TestIssuer
from tests.keys.certificates import Authority
from tests.keys.server import RawServer, issued_by

ISSUER = "https://issuer.test"
AUDIENCE = "https://api.test"


@pytest.fixture(scope="module")
def issuer() -> TestIssuer:
    return TestIssuer(ISSUER, audience=AUDIENCE)


@pytest.fixture
def jwks(issuer: TestIssuer, tmp_path: Path) -> str:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(issuer.jwks()), encoding="utf-8")
    return str(path)


def explain(jwks: str, token: str, *more: str, issuer: str = ISSUER) -> int:
    return main(["explain", "--issuer", issuer, "--audience", AUDIENCE, "--alg", "RS256", "--jwks", jwks, *more, token])


def test_a_good_token_passes_every_check_in_order(
    issuer: TestIssuer, jwks: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(jwks, issuer.token(scope="todos:read")) == 0

    out = capsys.readouterr().out
    checks = [line.split()[:2] for line in out.splitlines() if line.startswith(("  ok", "  FAIL"))]
    names = ["shape", "iss", "alg", "typ", "signature", "aud", "cnf", "nbf", "iat", "exp"]
    assert checks == [["ok", name] for name in names]
    assert "decoded, not verified" in out
    assert "Accepted" in out


@pytest.mark.parametrize(
    "reason",
    [
        reason
        for reason in Reason
        if reason.error == "invalid_token"
        and reason
        not in {
            Reason.KEY_UNSUITABLE,
            Reason.TENANT_MISMATCH,
            Reason.TOKEN_TOO_OLD,
            Reason.LIFETIME_TOO_LONG,
            Reason.IDENTITY_CHANGED,
            Reason.TOKEN_REVOKED,
        }
    ],
    ids=lambda reason: reason.value,
)
def test_a_bad_token_is_refused_for_its_reason_and_told_what_to_do(
    reason: Reason, issuer: TestIssuer, jwks: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(jwks, issuer.bad_token(reason)) == 1

    out = capsys.readouterr().out
    failed = [line for line in out.splitlines() if line.startswith("  FAIL")]
    assert any(reason.value in line for line in failed)
    assert f"Refused: {reason.value}," in out
    assert f"What to do: {ADVICE[reason]}" in out


def test_all_that_is_wrong_is_shown_at_once(issuer: TestIssuer, jwks: str, capsys: pytest.CaptureFixture[str]) -> None:
    token = issuer.token(expires_in=-3600, audience="https://elsewhere.test", header={"typ": "logout+jwt"})

    assert explain(jwks, token) == 1

    out = capsys.readouterr().out
    for code in ("type_not_accepted", "audience_mismatch", "token_expired"):
        assert any(code in line for line in out.splitlines() if line.startswith("  FAIL"))
    assert 'expected one of https://api.test; it is "https://elsewhere.test"' in out


def test_an_issuer_that_differs_by_a_slash_is_pointed_out(
    issuer: TestIssuer, jwks: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(jwks, issuer.token(), issuer=f"{ISSUER}/") == 1
    assert "differs by a trailing slash alone" in capsys.readouterr().out


def test_the_token_is_read_from_standard_input_with_or_without_its_scheme(
    issuer: TestIssuer, jwks: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"Bearer {issuer.token()}\n"))
    assert explain(jwks, "-") == 0
    assert "Accepted" in capsys.readouterr().out


def test_bytes_on_standard_input_that_are_no_text_are_no_token(
    jwks: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff.\xfe.\n"), encoding="utf-8", errors="strict"))
    assert explain(jwks, "-") == 1
    assert "token_malformed" in capsys.readouterr().out


def test_a_token_cannot_write_control_sequences_to_the_terminal(
    issuer: TestIssuer, jwks: str, capsys: pytest.CaptureFixture[str]
) -> None:
    token = issuer.token(claims={"\x1b[2J": "\x1b]0;owned\x07", "long": "x" * 500}, header={"\x9b": "\u202e"})

    assert explain(jwks, token) == 0

    out = capsys.readouterr().out
    assert out.isascii()
    assert not [character for character in out if ord(character) < 32 and character != "\n"]
    assert "x" * 300 not in out


def test_dates_are_readable_and_a_date_out_of_range_does_no_harm(
    issuer: TestIssuer, jwks: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(jwks, issuer.token(claims={"exp": 0, "nbf": 10**30})) == 1
    out = capsys.readouterr().out
    assert "1970-01-01 00:00:00 UTC" in out
    assert "claim_malformed" in out


def test_an_issuer_that_does_not_answer_is_exit_code_3(issuer: TestIssuer, capsys: pytest.CaptureFixture[str]) -> None:
    closed = "http://127.0.0.1:1"
    token = TestIssuer(closed, audience=AUDIENCE).token()

    code = main(["explain", "--issuer", closed, "--audience", AUDIENCE, "--alg", "RS256", token])

    assert code == 3
    out = capsys.readouterr().out
    assert "could not be fetched: ConnectionRefusedError" in out
    assert "Refused: keys_unavailable," in out


ENTRA = {"azp": "a-client", "scp": "todos:read", "ver": "2.0"}


@pytest.mark.parametrize("owner", [f"{ISSUER}/of-another-tenant", 7], ids=["another issuer's", "nobody's"])
def test_a_key_of_another_issuer_fails_at_the_signature_and_not_only_in_the_end(
    owner: object, issuer: TestIssuer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "shared.json"
    keys = [{**key, "issuer": owner} for key in issuer.jwks()["keys"]]
    path.write_text(json.dumps({"keys": keys}), encoding="utf-8")
    token = issuer.token(claims=ENTRA)

    assert explain(str(path), token, "--profile", "entra-v2") == 1

    out = capsys.readouterr().out
    failed = [line.split() for line in out.splitlines() if line.startswith("  FAIL")]
    assert [(line[1], line[-1]) for line in failed] == [("signature", "key_unsuitable")]
    assert "Refused: key_unsuitable," in out
    assert f"What to do: {ADVICE[Reason.KEY_UNSUITABLE]}" in out

    keys = [{**key, "issuer": ISSUER} for key in keys]
    path.write_text(json.dumps({"keys": keys}), encoding="utf-8")
    assert explain(str(path), token, "--profile", "entra-v2") == 0
    assert "FAIL" not in capsys.readouterr().out


# The way to the issuer


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


async def explain_from(server: RawServer, url: str, *more: str) -> int:
    """Explain a good token of an issuer that is served at this URL."""
    kit = TestIssuer(url, audience=AUDIENCE)
    server.otherwise = issued_by(kit)
    arguments = ["explain", "--issuer", url, "--audience", AUDIENCE, "--alg", "RS256", *more, kit.token()]
    return await asyncio.to_thread(main, arguments)


@pytest.mark.parametrize(
    ("trusted", "code", "told"),
    [(True, 0, "Accepted"), (False, 3, "unable to get local issuer certificate")],
    ids=["trusted", "unknown"],
)
async def test_an_issuer_behind_a_private_authority_is_reached_where_the_authority_is_named(
    trusted: bool,
    code: int,
    told: str,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    another = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(another.root_file))
    async with RawServer(authority.serving("127.0.0.1")) as server:
        more = ["--ca-file", str(authority.root_file)] if trusted else []
        assert await explain_from(server, server.url(), *more) == code
    assert told in capsys.readouterr().out


@pytest.mark.parametrize("by", ["--ca-file", "SSL_CERT_FILE"])
def test_certificates_that_cannot_be_read_are_a_wrong_option(
    by: str, issuer: TestIssuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "missing.pem"
    if by == "SSL_CERT_FILE":
        monkeypatch.setenv(by, str(path))
    more = [by, str(path)] if by == "--ca-file" else []
    arguments = ["--issuer", ISSUER, "--audience", AUDIENCE, "--alg", "RS256"]
    assert main(["explain", *arguments, *more, issuer.token()]) == 2
    captured = capsys.readouterr()
    assert f"expected a file of certificates in PEM; {str(path)!r}: No such file" in captured.err
    assert captured.out == ""


async def test_plain_http_beyond_loopback_is_fetched_where_it_is_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    async with RawServer() as server:
        # This machine again, by a name that does not say so
        url = server.url(host="127.1")
        assert await explain_from(server, url) == 2
        assert "expected https" in capsys.readouterr().err
        assert server.requests == []
        assert await explain_from(server, url, "--allow-http") == 0
    assert "Accepted" in capsys.readouterr().out


def test_with_keys_from_a_file_nothing_is_asked_of_the_way(
    issuer: TestIssuer, jwks: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    assert explain(jwks, issuer.token(), "--allow-http") == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--alg", "none"], "'none' cannot be allowed here"),
        (["--alg", "HS256"], "HMAC needs keys=SharedSecret(...)"),
        (["--alg", "RS256", "--leeway", "1e6"], "from 0 to 300"),
        (["--alg", "RS256", "--jwks", "/no/such/file"], "cannot read /no/such/file"),
        (["--alg", "RS256", "--jwks-uri", "http://keys.example"], "expected https"),
    ],
)
def test_a_wrong_option_says_what_to_write(
    arguments: list[str], told: str, issuer: TestIssuer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "--issuer", ISSUER, "--audience", AUDIENCE, *arguments, issuer.token()]) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.out == ""


def test_the_profile_can_be_the_strict_one(issuer: TestIssuer, jwks: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(jwks, issuer.token(without=["jti"]), "--profile", "rfc9068") == 1
    assert "required by profile RFC9068" in capsys.readouterr().out


def test_the_profile_can_be_that_of_a_provider(
    issuer: TestIssuer, jwks: str, capsys: pytest.CaptureFixture[str]
) -> None:
    token = issuer.token(client_id=AUDIENCE, without=["aud"], claims={"token_use": "access"})
    assert explain(jwks, token, "--profile", "cognito") == 0
    out = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in out.splitlines() if line.startswith("  ok")]
    assert f'ok client_id "{AUDIENCE}"' in lines
    assert 'ok token_use "access"' in lines
    assert "ok aud absent" not in lines

    assert explain(jwks, issuer.token(claims={"token_use": "id"}), "--profile", "cognito") == 1
    out = capsys.readouterr().out
    assert 'expected access, by profile COGNITO; it is "id"   type_not_accepted' in out
    assert "Refused: type_not_accepted," in out


def test_a_profile_that_is_not_there_is_told_with_those_that_are(
    jwks: str, issuer: TestIssuer, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        explain(jwks, issuer.token(), "--profile", "entra")
    assert caught.value.code == 2
    assert "entra-v2" in capsys.readouterr().err
