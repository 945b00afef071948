"""`jwt-asgi demo`: every request gets the answer that it is promised, and Ctrl-C ends it cleanly."""

from __future__ import annotations

import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from jwt_asgi.cli import demo, demo_session, main
from jwt_asgi.cli.demo_calls import Call, Got
from jwt_asgi.cli.demo_session import Auth, Story

COMMAND = [sys.executable, "-m", "jwt_asgi", "demo"]


def test_check_sends_the_requests_and_each_gets_its_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--check"]) == 0

    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if line.startswith(("ok", "FAIL"))]
    assert [re.sub(r"^ok +|after [0-9.]+ seconds, ", "", line).split(" Bearer")[0] for line in lines] == [
        "a valid token: 200",
        "an expired token: 401",
        "a token for another audience: 401",
        "no token: 401",
        "a token without the scope: 403",
        "a tampered token: 401",
        "Ada logs in: 200",
        "her access token: 200",
        "the same after 4 seconds: 401",
        "her refresh token: 200",
        "the same once more, as answers get lost: 200",
        "the access token that she got: 200",
        "the refresh token that she got: 200",
        "the first refresh token, which a thief has kept: 400 invalid_grant",
        "the newest refresh token, as the session is over: 400 invalid_grant",
        "its access token of 2 at most: 401",
    ]
    assert "16 of 16 requests" in out


def test_check_fails_when_an_answer_is_not_the_promised_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "_examples", lambda api, issuer: (Call(title="no token", url=api, status=200),))
    monkeypatch.setattr(Story, "play", lambda story: iter(()))
    assert main(["demo", "--check"]) == 1
    out = capsys.readouterr().out
    assert "FAIL  no token: 401 Bearer; expected 200" in out
    assert "0 of 1 requests" in out


def test_the_story_tells_a_service_that_lets_an_old_refresh_token_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is played against an API and a token service that say yes to everything."""
    tokens = {"access_token": "a", "refresh_token": "b"}
    monkeypatch.setattr(Call, "send", lambda call: Got(200, "", json.dumps(tokens).encode()))
    monkeypatch.setattr(demo_session, "BOUND", 0.1)
    auth = Auth("https://auth.test", api="https://api.test", folder=str(tmp_path), lifetime=4)
    auth.lifetime = 0.01
    kept = [kept for _, _, kept in Story(auth, "https://api.test/notes").play()]
    assert kept == [True, True, False, True, True, True, True, False, False, False]


def sent(words: list[str]) -> httpx.Response:
    """The answer to a curl line."""
    given = [words[at + 1] for at, word in enumerate(words) if word in {"-H", "-d"}]
    headers = dict(pair.split(": ") for pair in given if pair.startswith("Authorization"))
    form = dict(pair.split("=", 1) for pair in given if not pair.startswith("Authorization"))
    return httpx.request("POST" if form else "GET", words[-1], headers=headers, data=form, trust_env=False)


@pytest.fixture
def running() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process
        if process.poll() is None:
            process.kill()


def test_each_curl_line_gets_the_answer_beside_it_and_ctrl_c_ends_cleanly(running: subprocess.Popen[str]) -> None:
    assert running.stdout is not None
    assert running.stderr is not None
    lines: list[str] = []
    for line in running.stdout:
        lines.append(line.rstrip())
        if line.startswith("Ctrl-C"):
            break
    promises = [line.rpartition(": ")[2] for line in lines if re.search(r": [245]\d\d", line)]
    curls = [shlex.split(line) for line in lines if line.startswith("  curl")]

    assert len(curls) == len(promises) == 11
    for number, (words, promise) in enumerate(zip(curls, promises, strict=True), start=1):
        status, _, error = promise.partition(" ")
        answer = sent(words)
        deadline = time.monotonic() + 20
        while number == len(curls) and answer.status_code == 200 and time.monotonic() < deadline:
            answer = sent(words)
        assert answer.status_code == int(status), words
        told = answer.headers.get("www-authenticate", "") + answer.text
        assert f'"{error}"' in told or not error

    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=60) == 0
    assert running.stdout.read() == "\nBye.\n"
    assert "Traceback" not in running.stderr.read()


def test_a_port_that_is_taken_is_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["demo", "--check", "--port", str(port)]) == 2
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["uvicorn", "jwt_asgi.issuer"])
def test_without_its_extras_the_demo_says_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["demo", "--check"]) == 2
    assert 'pip install "jwt-asgi[cli,issuer]"' in capsys.readouterr().err
