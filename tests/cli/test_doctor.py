"""`jwt-asgi doctor` against issuers on real sockets: each fault by its code, with its exit code and what to do."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey

from jwt_asgi import HttpxFetch, JWTASGIError, TrustedIssuer
from jwt_asgi.cli import main
from jwt_asgi.cli.checkup import CODES
from tests.keys.certificates import Authority
from tests.keys.server import RawServer, Request, Script, answer, reset_after, silence

OAUTH, OPENID = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
LOOPBACK = "warning: http"
PRIVATE = ECKey.generate_key("P-256").as_dict(private=True)
SECRET = OctKey.generate_key(256).as_dict(private=True)


def ec(kid: str | None = "one", curve: str = "P-256", alg: str = "ES256") -> dict[str, Any]:
    """A public key."""
    key = {**ECKey.generate_key(curve).as_dict(private=False), "use": "sig", "alg": alg}
    return key if kid is None else key | {"kid": kid}


def rsa(bits: int, kid: str = "weak") -> dict[str, Any]:
    """A public key, or at least a modulus of this size."""
    modulus = OctKey.import_key((2 ** (bits - 1) + 1).to_bytes(bits // 8, "big")).as_dict(private=True)["k"]
    return {"kty": "RSA", "kid": kid, "n": modulus, "e": "AQAB"}


GOOD = ec()


class Issuer:
    """An issuer on a raw socket; a test changes what it answers."""

    def __init__(self, server: RawServer) -> None:
        """Be a good one."""
        self.server = server
        self.url = server.url()
        self.publish()

    def publish(
        self,
        *keys: Any,
        metadata: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer with these keys (a good one by default), with members of the metadata and headers replaced."""
        document = {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"} | dict(metadata or {})
        common = {"date": formatdate(time.time(), usegmt=True), "cache-control": "max-age=600"} | dict(headers or {})
        self.server.script = {
            OAUTH: answer(200, json.dumps(document).encode(), common),
            "/jwks": answer(200, json.dumps({"keys": keys or [GOOD]}).encode(), common),
        }

    def answer(self, script: Script, *paths: str) -> None:
        """Answer so at these paths; without any, everywhere."""
        self.server.script |= dict.fromkeys(paths or (OAUTH, OPENID, "/jwks"), script)


@dataclass(frozen=True, slots=True)
class Report:
    """What the JSON output says."""

    exit_code: int
    checks: Mapping[str, Mapping[str, str]]
    verdict: str
    whole: Mapping[str, Any]

    def statuses(self) -> dict[str, str]:
        return {code: check["status"] for code, check in self.checks.items()}

    def not_ok(self) -> dict[str, str]:
        """The warnings and faults but for the loopback's."""
        statuses = {code: status for code, status in self.statuses().items() if status in {"warning", "fault"}}
        return {code: status for code, status in statuses.items() if (code, status) != ("http", "warning")}


Doctor = Callable[..., Any]


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with RawServer() as server:
        yield Issuer(server)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def fetch(authority: Authority) -> HttpxFetch:
    return HttpxFetch(authority.trusting())


def arguments(url: str, *more: str) -> list[str]:
    """The command with what it needs; a machine may be busy, so the time-out is long unless that is the matter."""
    pinned = [] if "--alg" in more else ["--alg", "ES256"]
    patient = [] if "--timeout" in more else ["--timeout", "30"]
    return ["doctor", "--issuer", url, "--audience", "https://api.test", *pinned, *patient, *more]


@pytest.fixture(autouse=True)
def cheap_certificates(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust one authority where nothing else is said: to load those of the whole world takes long."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.root_file))


async def text(capsys: pytest.CaptureFixture[str], url: str, *more: str) -> tuple[int, str]:
    code = await asyncio.to_thread(main, arguments(url, *more))
    captured = capsys.readouterr()
    assert captured.err == ""
    return code, captured.out


async def report(capsys: pytest.CaptureFixture[str], url: str, *more: str) -> Report:
    code, out = await text(capsys, url, "--json", *more)
    whole = json.loads(out)
    assert set(whole) == {"issuer", "jwks_uri", "checks", "verdict"}
    assert all(set(check) == {"check", "status", "found", "expected", "advice"} for check in whole["checks"])
    checks = {check["check"]: check for check in whole["checks"]}
    assert tuple(checks) == CODES
    for check in checks.values():
        assert bool(check["advice"]) == (check["status"] in {"warning", "fault"})
    return Report(code, checks, whole["verdict"], whole)


# A good issuer


async def test_of_a_good_issuer_on_loopback_everything_is_ok_but_the_scheme(
    issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    found = await report(capsys, issuer.url)

    assert found.exit_code == 0
    assert found.statuses() == dict.fromkeys(CODES, "ok") | {"http": "warning"}
    assert found.verdict == LOOPBACK
    assert (found.whole["issuer"], found.whole["jwks_uri"]) == (issuer.url, f"{issuer.url}/jwks")


async def test_with_its_authority_trusted_an_https_issuer_is_ok_altogether(
    authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    async with RawServer(authority.serving("127.0.0.1")) as server:
        found = await report(capsys, Issuer(server).url, "--ca-file", str(authority.root_file))

    assert found.statuses() == dict.fromkeys(CODES, "ok")
    assert found.verdict == f"ok: {len(CODES)} checks passed"
    assert found.exit_code == 0


async def test_it_asks_for_what_the_service_asks_for_and_nothing_else(
    issuer: Issuer, fetch: HttpxFetch, capsys: pytest.CaptureFixture[str]
) -> None:
    trusted = TrustedIssuer(issuer=issuer.url, audience="https://api.test", algorithms=["ES256"], fetch=fetch)
    await trusted.keys.find("one", "ES256")
    asked, issuer.server.requests = issuer.server.requests, []

    await report(capsys, issuer.url)

    assert issuer.server.requests == asked
    assert [request.path for request in asked] == [OAUTH, "/jwks"]


async def test_with_a_given_url_of_the_key_set_the_metadata_is_not_asked_for(
    issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    found = await report(capsys, "any-name", "--jwks-uri", f"{issuer.url}/jwks")

    assert [request.path for request in issuer.server.requests] == ["/jwks"]
    assert found.exit_code == 0
    assert [code for code, status in found.statuses().items() if status == "not checked"] == [
        "metadata",
        "issuer_mismatch",
    ]


# Broken ones


@dataclass(frozen=True, slots=True)
class Broken:
    """What is wrong with an issuer, and what is said of it. `serves`: the service gets its keys all the same."""

    code: str
    status: str
    told: str
    breaks: Callable[[Issuer], None]
    advice: str = ""
    serves: bool = False


REDIRECT = answer(302, headers={"location": "https://login.test/secret/path?token=x"})
BROKEN = {
    "another issuer": Broken(
        "issuer_mismatch",
        "fault",
        'the metadata\'s issuer is "https://other.test"',
        lambda issuer: issuer.publish(metadata={"issuer": "https://other.test"}),
        "--jwks-uri",
    ),
    "no issuer in the metadata": Broken(
        "issuer_mismatch", "fault", "issuer is none", lambda issuer: issuer.publish(metadata={"issuer": None})
    ),
    "no metadata": Broken(
        "metadata", "fault", f"{OPENID} answered 404", lambda issuer: issuer.answer(answer(404), OAUTH), "tenant"
    ),
    "metadata that is no JSON": Broken(
        "metadata", "fault", "is not a JSON object", lambda issuer: issuer.answer(answer(200, b"<html>"), OAUTH, OPENID)
    ),
    "metadata that is too large": Broken(
        "metadata",
        "fault",
        "more than 524288 bytes",
        lambda issuer: issuer.answer(answer(200, b" " * 530_000), OAUTH, OPENID),
    ),
    "no jwks_uri": Broken(
        "jwks_uri", "fault", "names none", lambda issuer: issuer.publish(metadata={"jwks_uri": None}), "--jwks-uri"
    ),
    "a jwks_uri under http elsewhere": Broken(
        "jwks_uri",
        "fault",
        'it is plain http: "http://keys.test/jwks"',
        lambda issuer: issuer.publish(metadata={"jwks_uri": "http://keys.test/jwks"}),
    ),
    "a jwks_uri that is no URL": Broken(
        "jwks_uri", "fault", '"/jwks"', lambda issuer: issuer.publish(metadata={"jwks_uri": "/jwks"})
    ),
    "no key set": Broken(
        "jwks_uri", "fault", "/jwks answered 503", lambda issuer: issuer.answer(answer(503), "/jwks"), "Open the URL"
    ),
    "a key set that is too large": Broken(
        "jwks_uri", "fault", "more than", lambda issuer: issuer.answer(answer(200, b" " * 530_000), "/jwks")
    ),
    "a redirected key set": Broken(
        "redirect",
        "fault",
        '/jwks answered 302, to host "login.test"',
        lambda issuer: issuer.answer(REDIRECT, "/jwks"),
    ),
    "no key": Broken(
        "no_usable_key",
        "fault",
        "it is empty",
        lambda issuer: issuer.answer(answer(200, b'{"keys": []}'), "/jwks"),
    ),
    "a key set that is none": Broken(
        "no_usable_key", "fault", "expected a JWK Set", lambda issuer: issuer.answer(answer(200, b"[]"), "/jwks")
    ),
    "no key that can be used": Broken(
        "no_usable_key",
        "fault",
        'left out: kid "one": its use is not sig, key 2: it is not an object',
        lambda issuer: issuer.publish(GOOD | {"use": "enc"}, "a text"),
    ),
    "none of the pinned algorithms": Broken(
        "algorithm_not_published",
        "fault",
        "no key fits ES256; the published keys fit ES384",
        lambda issuer: issuer.publish(ec("two", "P-384", "ES384")),
        "one of ES384",
    ),
    "a short RSA key beside a good one": Broken(
        "weak_key",
        "warning",
        'kid "weak" has 1024 bits',
        lambda issuer: issuer.publish(GOOD, rsa(1024)),
        "2048",
        serves=True,
    ),
    "a private key": Broken(
        "private_key_published",
        "fault",
        'kid "leaked"',
        lambda issuer: issuer.publish(PRIVATE | {"kid": "leaked"}),
        "Revoke it at once",
        serves=True,
    ),
    "a shared secret": Broken(
        "symmetric_key_published",
        "fault",
        'kid "hmac"',
        lambda issuer: issuer.publish(GOOD, SECRET | {"kid": "hmac"}),
        "Revoke it at once",
        serves=True,
    ),
    "a key without a kid": Broken(
        "kid", "warning", "1 without a kid", lambda issuer: issuer.publish(ec(None)), serves=True
    ),
    "one kid for two keys": Broken(
        "kid", "warning", 'kid "one" names several keys', lambda issuer: issuer.publish(ec(), ec()), serves=True
    ),
    "many keys": Broken(
        "key_count",
        "warning",
        "200 keys",
        lambda issuer: issuer.publish(*(GOOD | {"kid": str(number)} for number in range(200))),
        serves=True,
    ),
    "a max-age that is too short": Broken(
        "max_age",
        "warning",
        'too short: "max-age=10", so the service keeps the set for 300 s',
        lambda issuer: issuer.publish(headers={"cache-control": "max-age=10"}),
        "least_ttl",
        serves=True,
    ),
    "no-store": Broken(
        "max_age",
        "warning",
        'too short: "no-store", so the service keeps the set for 300 s',
        lambda issuer: issuer.publish(headers={"cache-control": "no-store"}),
        serves=True,
    ),
    "a max-age that is too long": Broken(
        "max_age",
        "warning",
        'too long: "max-age=21600", so the service keeps the set for 3600 s',
        lambda issuer: issuer.publish(headers={"cache-control": "max-age=21600"}),
        "withdrawn",
        serves=True,
    ),
    "a clock that is fast by ten seconds": Broken(
        "clock_skew",
        "warning",
        "s behind the issuer",
        lambda issuer: issuer.publish(headers={"date": formatdate(time.time() + 12, usegmt=True)}),
        "NTP",
        serves=True,
    ),
    "a clock that is slow by a minute": Broken(
        "clock_skew",
        "fault",
        "s ahead of the issuer",
        lambda issuer: issuer.publish(headers={"date": formatdate(time.time() - 60, usegmt=True)}),
        "expired early",
        serves=True,
    ),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_issuer_is_told_by_its_code_and_the_service_agrees(
    broken: Broken, issuer: Issuer, fetch: HttpxFetch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken.breaks(issuer)

    found = await report(capsys, issuer.url)

    assert found.not_ok() == {broken.code: broken.status}
    assert broken.told in found.checks[broken.code]["found"]
    assert broken.advice in found.checks[broken.code]["advice"]
    assert found.exit_code == (1 if broken.status == "fault" else 0)
    expected = "fault: {0}; warning: http" if broken.status == "fault" else "warning: http, {0}"
    assert found.verdict == expected.format(broken.code)
    assert await serves(issuer, fetch) is broken.serves


async def serves(issuer: Issuer, fetch: HttpxFetch) -> bool:
    """Whether the service finds a key for a token of this issuer."""
    trusted = TrustedIssuer(issuer=issuer.url, audience="https://api.test", algorithms=["ES256"], fetch=fetch)
    try:
        return bool(await trusted.keys.find(None, "ES256"))
    except JWTASGIError:
        return False


async def test_of_a_trailing_slash_it_says_what_to_configure_instead_and_goes_on(
    issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    found = await report(capsys, f"{issuer.url}/")

    assert found.exit_code == 1
    assert found.not_ok() == {"issuer_mismatch": "fault"}
    check = found.checks["issuer_mismatch"]
    assert check["found"].endswith("which differs by a trailing slash alone")
    assert check["advice"].endswith(f" {issuer.url}")
    assert found.checks["algorithm_not_published"]["status"] == "ok"


async def test_of_a_stranger_s_metadata_the_keys_are_not_fetched(
    issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    issuer.publish(metadata={"issuer": "https://other.test"})

    found = await report(capsys, issuer.url)

    assert issuer.server.count("/jwks") == 0
    assert {found.checks[code]["status"] for code in ("jwks_uri", "no_usable_key", "max_age")} == {"not checked"}
    assert found.whole["jwks_uri"] is None


async def test_the_second_metadata_url_will_do_and_a_redirect_at_the_first_does_no_harm(
    issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    issuer.server.script[OPENID] = issuer.server.script[OAUTH]
    issuer.answer(REDIRECT, OAUTH)

    found = await report(capsys, issuer.url)

    assert found.verdict == LOOPBACK
    assert found.checks["metadata"]["found"] == f"{issuer.url}{OPENID}"


async def test_where_both_metadata_urls_redirect_it_names_the_host_alone(
    issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    issuer.answer(REDIRECT, OAUTH, OPENID)

    code, out = await text(capsys, issuer.url)

    assert code == 1
    assert 'answered 302, to host "login.test"' in out
    assert "secret" not in out
    assert "token=x" not in out


async def test_a_private_key_and_a_secret_are_not_printed(issuer: Issuer, capsys: pytest.CaptureFixture[str]) -> None:
    issuer.publish(PRIVATE, SECRET)

    _, out = await text(capsys, issuer.url)

    assert str(PRIVATE["d"]) not in out
    assert str(SECRET["k"]) not in out


async def test_a_pinned_algorithm_that_lacks_a_key_beside_one_that_has_one_is_a_warning(
    issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    issuer.publish(GOOD, {**OKPKey.generate_key("Ed25519").as_dict(private=False), "kid": "ed"})

    found = await report(capsys, issuer.url, "--alg", "ES256", "--alg", "RS256")

    assert found.exit_code == 0
    assert found.not_ok() == {"algorithm_not_published": "warning"}
    assert "no key fits RS256" in found.checks["algorithm_not_published"]["found"]
    assert found.checks["algorithm_not_pinned"]["found"] == "published, and not pinned: Ed25519, EdDSA"


async def test_a_slow_issuer_is_warned_of_before_it_fails(issuer: Issuer, capsys: pytest.CaptureFixture[str]) -> None:
    good = issuer.server.script["/jwks"]

    async def slowly(_: object, writer: asyncio.StreamWriter) -> None:
        assert isinstance(good, bytes)
        await asyncio.sleep(0.4)
        writer.write(good)

    issuer.answer(slowly, "/jwks")

    found = await report(capsys, issuer.url, "--timeout", "0.79")

    assert "slow" in found.not_ok()
    assert found.checks["jwks_uri"]["status"] == "ok"


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        """Begin now."""
        self.now = time.time()

    def time(self) -> float:
        return self.now

    monotonic = time


async def test_the_clock_is_compared_at_the_middle_of_an_exchange(
    issuer: Issuer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("jwt_asgi.cli.doctor.time", clock)
    bodies = {
        path: whole.partition(b"\r\n\r\n")[2] for path, whole in issuer.server.script.items() if type(whole) is bytes
    }

    async def slowly(request: Request, writer: asyncio.StreamWriter) -> None:
        clock.now += 20
        writer.write(answer(200, bodies[request.path], {"date": formatdate(clock.now - 10, usegmt=True)}))

    issuer.answer(slowly)

    found = await report(capsys, issuer.url, "--timeout", "60")

    assert found.checks["clock_skew"]["found"] == "none that shows in whole seconds"
    assert found.checks["slow"]["found"] == "40.00 s for 2 requests"
    assert found.not_ok() == {"slow": "warning"}


# No answer at all


async def test_a_refused_connection_is_exit_code_3(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"

        found = await report(capsys, url)

    assert found.exit_code == 3
    assert found.checks["unreachable"]["found"] == f"refused: {url}{OAUTH}: nothing listens there"
    assert set(found.statuses().values()) == {"ok", "warning", "fault", "not checked"}
    assert found.verdict == "fault: unreachable; warning: http"


async def test_a_name_without_an_address_is_exit_code_3(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    found = await report(capsys, "https://issuer.test")

    assert found.exit_code == 3
    assert found.checks["unreachable"]["found"].startswith("DNS: https://issuer.test/")


@pytest.mark.parametrize(
    ("host", "days", "trusted", "told"),
    [
        ("127.0.0.1", 1.0, False, "unable to get local issuer certificate"),
        ("127.0.0.1", -1.0, True, "certificate has expired"),
        ("elsewhere.test", 1.0, True, "IP address mismatch"),
    ],
    ids=["an unknown authority", "expired", "another name"],
)
async def test_a_certificate_that_is_not_trusted_is_exit_code_3(
    host: str,
    days: float,
    trusted: bool,
    told: str,
    authority: Authority,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    more = ["--ca-file", str(authority.root_file)] if trusted else []
    async with RawServer(authority.serving(host, days=days)) as server:
        found = await report(capsys, server.url(), *more)

    assert found.exit_code == 3
    assert found.not_ok() == {"unreachable": "fault"}
    assert found.checks["unreachable"]["found"].startswith("TLS: ")
    assert told in found.checks["unreachable"]["found"]
    assert "--ca-file" in found.checks["unreachable"]["advice"]


@pytest.mark.parametrize(
    ("script", "told"),
    [(silence, "time-out: "), (reset_after(b""), "connection: ")],
    ids=["silence", "a reset"],
)
@pytest.mark.parametrize("path", [None, "/jwks"], ids=["everywhere", "at the key set"])
async def test_who_does_not_answer_is_exit_code_3(
    path: str | None, script: Script, told: str, issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    issuer.answer(script, *([] if path is None else [path]))

    found = await report(capsys, issuer.url, "--timeout", "0.5")

    assert found.exit_code == 3
    assert found.checks["unreachable"]["status"] == "fault"
    assert found.checks["unreachable"]["found"].startswith(f"{told}{issuer.url}{path or OAUTH}")
    assert found.checks["no_usable_key"]["status"] == "not checked"
    assert found.checks["jwks_uri"]["status"] == "not checked"


async def test_a_given_url_that_gives_no_answer_is_not_called_good(
    issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    issuer.answer(reset_after(b""), "/jwks")
    uri = f"{issuer.url}/jwks"

    found = await report(capsys, issuer.url, "--jwks-uri", uri)

    assert found.exit_code == 3
    assert found.checks["jwks_uri"]["status"] == "not checked"
    assert found.checks["jwks_uri"]["found"] == f"{uri} did not answer; see unreachable"
    assert found.not_ok() == {"unreachable": "fault"}


async def test_a_connection_that_breaks_off_once_is_tried_again_as_the_service_does(
    issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    good = issuer.server.script[OAUTH]
    assert isinstance(good, bytes)
    issuer.answer([reset_after(b""), good], OAUTH)

    found = await report(capsys, issuer.url)

    assert found.verdict == LOOPBACK
    assert found.checks["slow"]["found"].endswith(" for 2 requests")
    assert issuer.server.count(OAUTH) == 2


# Plain http


@pytest.mark.parametrize(
    ("allowed", "status", "code"), [(False, "fault", 1), (True, "warning", 0)], ids=["refused", "allowed"]
)
async def test_plain_http_beyond_loopback_is_a_fault_or_when_allowed_a_warning(
    allowed: bool, status: str, code: int, issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    # This machine again, by a name that does not say so
    issuer.url = issuer.server.url(host="127.1")
    issuer.publish()

    found = await report(capsys, issuer.url, *(["--allow-http"] if allowed else []))

    assert found.exit_code == code
    assert found.checks["http"]["status"] == status
    assert found.checks["http"]["found"] == f"plain http: {issuer.url}, {issuer.url}/jwks"
    assert found.not_ok() == ({} if allowed else {"http": "fault"})


async def test_a_key_set_under_http_of_an_issuer_under_https_is_not_fetched_even_where_http_is_allowed(
    authority: Authority, issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with RawServer(authority.serving("127.0.0.1")) as server:
        Issuer(server).publish(metadata={"jwks_uri": f"{issuer.url}/jwks"})
        found = await report(capsys, server.url(), "--ca-file", str(authority.root_file), "--allow-http")

    assert found.not_ok() == {"jwks_uri": "fault"}
    assert "while the issuer is https" in found.checks["jwks_uri"]["found"]
    assert issuer.server.requests == []


# What is printed


async def test_the_text_has_a_line_for_each_check_then_the_advice_then_the_verdict(
    issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = await text(capsys, f"{issuer.url}/")

    assert code == 1
    lines = out.splitlines()
    checks = lines[2 : 2 + len(CODES)]
    assert [line[15:].split()[0] for line in checks] == list(CODES)
    assert {line[2:15].strip() for line in checks} == {"ok", "warning", "fault"}
    assert {line[14] for line in checks} == {" "}
    assert lines[-1] == "fault: issuer_mismatch; warning: http"
    advice = lines[lines.index("What to do:") + 1 : -2]
    assert [line.split(":")[0].strip() for line in advice] == ["http", "issuer_mismatch"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("no_color", "coloured"), [(None, True), ("", True), ("1", False)])
async def test_a_terminal_gets_colour_unless_no_color_is_set(
    no_color: str | None, coloured: bool, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)

    await asyncio.to_thread(main, arguments(issuer.url))

    assert ("\x1b[33mwarning" in terminal.getvalue()) is coloured
    assert ("\x1b" in terminal.getvalue()) is coloured


HOSTILE = "\x1b]0;owned\x07\x9b\u202e\n" + "x" * 100_000


@pytest.mark.parametrize(
    "breaks",
    [
        lambda issuer: issuer.publish(metadata={"issuer": HOSTILE}),
        lambda issuer: issuer.publish(metadata={"issuer": issuer.url + "/" * 100_000}),
        lambda issuer: issuer.publish(metadata={"jwks_uri": HOSTILE}),
        lambda issuer: issuer.publish(metadata={"jwks_uri": f"{issuer.url}/{'x' * 10_000}"}),
        lambda issuer: issuer.publish(ec(HOSTILE[:200]), ec(HOSTILE[:200]), rsa(1024, kid=HOSTILE), {HOSTILE: 1}),
        lambda issuer: issuer.publish(*(ec(str(number)) | {"use": HOSTILE[:20]} for number in range(30))),
        lambda issuer: issuer.publish(headers={"cache-control": "max-age=1, \x9b" + "x" * 5000, "date": "\x9b"}),
        lambda issuer: issuer.answer(answer(302, headers={"location": "//h\x9b" + "x" * 5000}), "/jwks"),
        lambda issuer: issuer.answer(answer(302, headers={"location": "//[::1"}), "/jwks"),
    ],
)
@pytest.mark.parametrize("output", ["text", "json"])
async def test_nothing_that_an_issuer_sends_can_write_control_sequences_or_flood_a_log(
    output: str, breaks: Callable[[Issuer], None], issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    breaks(issuer)

    _, out = await text(capsys, issuer.url, *(["--json"] if output == "json" else []))

    assert out.isascii()
    assert not [character for character in out if not character.isprintable() and character != "\n"]
    assert max(map(len, out.splitlines())) < 1000
    assert len(out) < 10_000


# Called wrongly


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--alg", "none"], "'none' cannot be allowed here"),
        (["--alg", "HS256"], "HMAC needs keys=SharedSecret(...)"),
        (["--leeway", "1e6"], "from 0 to 300"),
        (["--timeout", "nan"], "key_caching timeout"),
        (["--jwks-uri", "http://user@keys.test"], "without user information"),
        (["--jwks-uri", "keys.test"], "expected an absolute URL"),
        (["--ca-file", "/no/such/file"], "No such file"),
    ],
)
async def test_a_wrong_option_is_a_fault_of_its_own_and_nothing_is_fetched(
    more: list[str], told: str, issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    found = await report(capsys, issuer.url, *more)

    assert found.exit_code == 2
    assert found.verdict == "fault: options"
    assert told in found.checks["options"]["found"]
    assert issuer.server.requests == []


@pytest.mark.parametrize("more", [[], ["--json"]], ids=["text", "JSON"])
@pytest.mark.parametrize("option", ["--issuer", "--jwks-uri"])
async def test_a_password_in_a_url_is_refused_and_not_printed(
    option: str, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(arguments("https://issuer.test", option, "https://user:hunter2@issuer.test/jwks", *more))
    captured = capsys.readouterr()
    assert code == 2
    assert "without user information and fragment; got one with an @" in captured.out
    assert "a URL with an @" in captured.out or (option, more) == ("--jwks-uri", [])
    assert "hunter2" not in captured.out + captured.err


async def test_certificates_that_are_none_are_a_wrong_option(
    tmp_path: Path, issuer: Issuer, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "root.pem"
    path.write_text("no certificate", encoding="utf-8")

    found = await report(capsys, issuer.url, "--ca-file", str(path))

    assert found.exit_code == 2
    assert "--ca-file: expected a file of certificates in PEM" in found.checks["options"]["found"]


async def test_so_are_certificates_that_the_environment_names_and_that_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))

    found = await report(capsys, "https://issuer.test")

    assert found.exit_code == 2
    assert "SSL_CERT_FILE: expected a file of certificates in PEM" in found.checks["options"]["found"]


def test_without_an_issuer_it_tells_its_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["doctor"])

    assert caught.value.code == 2
    assert "--issuer" in capsys.readouterr().err
