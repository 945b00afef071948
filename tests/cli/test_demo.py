"""`jwt-asgi demo`: every request gets the answer that it is promised, and Ctrl-C ends it cleanly."""

from __future__ import annotations

import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from jwt_asgi.cli import demo, main

COMMAND = [sys.executable, "-m", "jwt_asgi", "demo"]


def test_check_sends_the_requests_and_each_gets_its_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--check"]) == 0

    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if line.startswith(("ok", "FAIL"))]
    assert [re.sub(r"^ok +", "", line).split(" Bearer")[0] for line in lines] == [
        "a valid token: 200",
        "an expired token: 401",
        "a token for another audience: 401",
        "no token: 401",
        "a token without the scope: 403",
        "a tampered token: 401",
    ]
    assert "6 of 6 requests" in out


def test_check_fails_when_an_answer_is_not_the_promised_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "_examples", lambda issuer: (demo._Example("no token", None, 200, None),))
    assert main(["demo", "--check"]) == 1
    assert "FAIL  no token: 401 Bearer; expected 200" in capsys.readouterr().out


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

    assert len(curls) == len(promises) == 6
    for words, promise in zip(curls, promises, strict=True):
        headers = {"Authorization": words[3].partition(": ")[2]} if words[2] == "-H" else {}
        answer = httpx.get(words[-1], headers=headers, trust_env=False)
        status, _, error = promise.partition(" ")
        assert answer.status_code == int(status)
        assert f'error="{error}"' in answer.headers.get("www-authenticate", "") or not error

    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=60) == 0
    assert running.stdout.read() == "\nBye.\n"
    assert "Traceback" not in running.stderr.read()


def test_a_port_that_is_taken_is_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["demo", "--check", "--port", str(port)]) == 2
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err


def test_without_its_extra_the_demo_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["demo", "--check"]) == 2
    assert 'pip install "jwt-asgi[cli]"' in capsys.readouterr().err
