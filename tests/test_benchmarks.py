"""The benchmarks run; what they find is for their reader."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def benchmark(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.keys", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_the_benchmark_of_the_key_cache_holds_what_threads_cause_against_its_bound() -> None:
    done = benchmark("--only", "threads", "--json")
    assert done.stderr.strip() == ""
    assert done.returncode == 0
    figures = json.loads(done.stdout)["threads"]
    assert [(figure["value"], figure["met"]) for figure in figures] == [("1", True), ("16 x 200", True)]


def test_a_part_of_the_benchmark_that_does_not_exist_is_refused_with_the_names_of_those_that_do() -> None:
    done = benchmark("--only", "thread")
    assert done.returncode == 2
    assert "cold, unknown, new-kid, threads, replay, p99, stall, memory" in done.stderr


def test_the_benchmark_of_the_door_finds_that_nothing_of_ours_hops_to_a_thread() -> None:
    command = [sys.executable, "-m", "benchmarks.door", "--seconds", "0", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    hops = {(cost["group"], cost["name"]): cost["hops"] for cost in json.loads(done.stdout)["costs"]}
    plain = ("FastAPI", "plain dependency that does nothing")
    assert hops.pop(plain) == 1
    assert len(hops) >= 15
    assert set(hops.values()) == {0}
