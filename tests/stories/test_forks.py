"""A process forks: what the child inherits serves at once, and nothing of the parent's holds it up."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.keys.server import silence
from tests.missing import installed
from tests.stories.apart import Issuer, ask, issuer_apart

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuer_apart() as apart:
        yield apart


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def test_whatever_a_process_was_doing_its_child_verifies_at_once_and_goes_its_own_way(issuer: Issuer) -> None:
    script = issuer.server.otherwise
    # the parent's first fetch, those of three children, one of a cold child; then one that hangs
    issuer.answers([*[script] * 5, silence, script])  # type: ignore[list-item]
    program = subprocess.run(
        [sys.executable, "-m", "tests.stories.forked", issuer.name],
        cwd=ROOT,
        env=environment(TEST_TOKEN=issuer.kit.token(subject="ann")),
        capture_output=True,
        timeout=60,
        check=False,
    )
    errors = program.stderr.decode()
    assert program.returncode == 0, errors
    assert "Traceback" not in errors
    said = json.loads(program.stdout)
    warm_children_serve_at_once_and_refresh_by_themselves(said["warm"])
    assert said["cold"] == {"parent": "empty", "child": ["ann", 1]}
    line = "http refused: token_expired (why)"
    assert said["flying"] == {"child": {"subject": "ann", "said": [line]}, "parent": "empty"}
    assert said["running"] == {"child": "ann", "parent": "ann"}
    # cold, flying: one each of parent and child; running: likewise
    assert issuer.fetches == (1 + 3) + 1 + 2 + 2


def warm_children_serve_at_once_and_refresh_by_themselves(said: Any) -> None:
    for child in said["children"]:
        assert child["subjects"] == ["ann", "ann"]
        assert child["fetches"] == [0, 1]
        assert child["said"] == ["http refused: token_expired (why)"]
        assert 0.75 * 300 <= child["refresh_in"] <= 0.85 * 300
    moments = {child["refresh_in"] for child in said["children"]} | {said["parent"]["refresh_in"]}
    assert len(moments) == 4, "they do not all refresh at one moment"
    assert said["parent"]["counters"]["fetches"] == 1


def test_the_workers_of_a_server_that_loads_the_application_first_have_its_keys_and_refresh_them(
    issuer: Issuer, tmp_path: Path
) -> None:
    installed("gunicorn", "gunicorn")
    installed("uvicorn_worker", "uvicorn-worker")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    log = tmp_path / "server.log"
    options = ["--preload", "--workers", "2", "--worker-class", "uvicorn_worker.UvicornWorker"]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *options, "--bind", f"127.0.0.1:{port}", "tests.stories.preloaded:app"],
            cwd=tmp_path,
            env=environment(TEST_ISSUER=issuer.name, HOME=str(tmp_path), XDG_RUNTIME_DIR=str(tmp_path)),
            stdout=output,
            stderr=output,
        )
    try:
        told = both_workers(port, issuer, server)
    finally:
        server.terminate()
        server.wait(20)
    written = log.read_text(encoding="utf-8")
    assert "Traceback" not in written, written
    assert {tell["loaded by"] for tell in told} == {server.pid}
    fetches = {worker: [tell["fetches"] for tell in told if tell["pid"] == worker] for worker in workers_of(told)}
    assert server.pid not in fetches
    for counted in fetches.values():
        assert counted == sorted(counted)
        assert counted[-1] >= 1, "it refreshes the keys by itself"
    assert issuer.fetches >= 1 + 2


def workers_of(told: list[dict[str, int]]) -> set[int]:
    return {tell["pid"] for tell in told}


def both_workers(port: int, issuer: Issuer, server: subprocess.Popen[bytes]) -> list[dict[str, int]]:
    """What the workers tell, until both have asked for keys themselves."""
    told: list[dict[str, int]] = []
    token = issuer.kit.token()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.poll() is None:
        status, body = ask(port, token=token)
        assert status in {0, 200}
        told += [json.loads(body)] if status else []
        if len({tell["pid"] for tell in told if tell["fetches"]}) == 2:
            return told
        time.sleep(0.02)
    raise AssertionError(f"the workers do not refresh, or do not answer: {told[-3:]}")
