"""The benchmarks run; what they find is for their reader."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as ET

import pytest

from benchmarks import instructions, issuer, memory, served, steps
from benchmarks._added import report
from benchmarks._contenders import BARE, Contender, fault_of
from benchmarks._hostile import MAX_TOKEN_BYTES, tokens
from benchmarks._instructed import CASES, PHASES
from benchmarks._plot import plot
from benchmarks._requests import answer
from benchmarks._site import AUDIENCE, ISSUER, Site, make_crowd
from jwt_asgi.testing import TestIssuer

ROOT = Path(__file__).parents[1]


def run(name: str, *arguments: str) -> str:
    """Run a benchmark and return what it prints."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def cells(lines: Sequence[str]) -> list[list[str]]:
    """Return the cells of the one table in these lines, row by row, without the rule below its head."""
    rows = [line[2:-2].split(" | ") for line in lines if line.startswith("|")]
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    return [rows[0], *rows[2:]]


@pytest.fixture(name="issuer", scope="module")
def make_issuer() -> TestIssuer:
    return TestIssuer(ISSUER, audience=AUDIENCE, algorithms=["ES256"])


@pytest.fixture(name="site", scope="module")
def make_site(issuer: TestIssuer) -> Site:
    return Site(ISSUER, AUDIENCE, "ES256", "http://127.0.0.1:1", json.dumps(issuer.jwks()))


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


def test_the_benchmark_of_what_is_added_has_figures_for_whoever_verifies_and_prints_and_draws_them() -> None:
    found = json.loads(run("added", "--algorithms", "ES256", "--only", "asgi:", "--tokens", "200", "--json"))
    lines, drawn = list(report(found)), plot(found)
    [result] = found["results"]
    assert [row["name"] for row in result["rows"]] == [BARE, "floor: least verify", "floor: dict hit", "jwt-asgi"]
    assert result["left_out"] == []
    for row in result["rows"][1:]:
        assert len(row["added"]) == 5
        assert row["answers"].pop("good") == 200
        assert len(row["answers"]) == 7
        assert set(row["answers"].values()) == {401}
    half = lines.index("| figure | found | target |  |")
    assert [row[1] for row in cells(lines[:half])[1:]] == [row["name"] for row in result["rows"]]
    assert [row[0] for row in cells(lines[half:])][1:3] == ["jwt-asgi, first time, to raw", "one token repeated"]
    texts = [text.text for text in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert {"jwt-asgi", "floor: dict hit", "1 us"} <= set(texts)


def test_a_peer_that_is_not_installed_is_left_out_with_the_command_that_installs_it() -> None:
    peer = Contender("somebody", "ASGI", lambda _: answer, "no_such_module_of_a_peer")
    assert peer.absent == "somebody is not installed: pip install -r benchmarks/peers.txt"


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        ({"good": 401, "expired": 401}, "answers a good token with 401"),
        ({"good": 200, "expired": 200, "bad signature": 204, "unknown kid": 503}, "lets in: expired, bad signature"),
        ({"good": 200, "expired": 401, "bad signature": 400, "unknown kid": 503}, ""),
    ],
)
def test_there_is_no_figure_for_a_peer_that_does_not_verify(answers: dict[str, int], fault: str) -> None:
    assert fault_of(Contender("somebody", "ASGI", lambda _: answer), answers) == fault


@pytest.mark.parametrize(("module", "package"), [(served, "wrk"), (instructions, "valgrind")])
def test_a_benchmark_without_its_tool_is_skipped_with_the_command_that_installs_it(
    module: ModuleType, package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "argv", [""])
    module.main()
    assert capsys.readouterr().out == f"skipped: {package} is not installed: apt-get install {package}\n"


def test_the_benchmark_over_http_tells_the_share_that_each_contender_leaves() -> None:
    arguments = ("--servers", "uvicorn", "--only", "asgi: jwt", "--rounds", "1", "--seconds", "1", "--tokens", "20")
    printed = run("served", *arguments, "--json")
    if reason := served.absent_of(["uvicorn"]):
        assert printed == f"skipped: {reason}\n"
        assert "install" in reason
        return
    [result] = json.loads(printed)["results"]
    assert [row["name"] for row in result["rows"]] == [BARE, "jwt-asgi"]
    assert all(share["rate"] > 0 for row in result["rows"] for share in row["shares"].values())
    head, *rows = cells(list(served.report([result])))
    assert len(head) == 10
    assert [row[1] for row in rows] == [BARE, "jwt-asgi"]


def test_the_benchmark_of_memory_finds_a_bound_for_what_is_remembered(issuer: TestIssuer, site: Site) -> None:
    tokens = [token.decode() for token in make_crowd(issuer, 601).good]
    full, after = memory.sizes(memory.TRACED, 300, "\n".join([site.to_json(), *tokens, ""]))
    assert 300 * 200 < full < 300 * 20_000
    assert after < 1.2 * full


def test_what_the_benchmark_of_instructions_counts_are_the_answers_that_it_names(
    issuer: TestIssuer, site: Site, tmp_path: Path
) -> None:
    orders = tmp_path / "orders.json"
    orders.write_text(json.dumps(instructions.orders_of(site, issuer, 2)))
    statuses = json.loads(run("_instructed", str(orders), "2"))
    instructions.check(statuses, 2 * sum(PHASES))
    with pytest.raises(RuntimeError, match="expected"):
        instructions.check(statuses | {"401": 1}, 2 * sum(PHASES))


def test_the_benchmark_of_instructions_compares_with_an_earlier_run() -> None:
    now, before = dict.fromkeys(CASES, 110_000), dict.fromkeys(CASES, 100_000)
    assert cells(instructions.table({"RS256": now}, {"RS256": before}))[1:] == [["RS256", *["110,000 (+10.0%)"] * 5]]
    assert cells(instructions.table({"RS256": now}, {}))[1:] == [["RS256", *["110,000"] * 5]]


def test_the_benchmark_of_steps_finds_a_longest_time_for_each_step_and_the_input_that_took_it() -> None:
    found = json.loads(run("steps", "--seconds", "0", "--only", "700 bytes", "--json"))["steps"]
    names = [one["step"] for one in found]
    assert {"find_token", "parse_token", "check_claims", "AccessToken.claims", "the rule Scope", "answer_to"} <= set(
        names
    )
    assert names[-2:] == sorted(steps.BESIDE, reverse=True)
    assert len(names) == len(set(names)) >= 35
    assert {one["what"] for one in found} == {"a token of 700 bytes"}
    assert all(one["microseconds"] > 0 for one in found)
    slow = steps.Longest("parse_token", "arrays", 16_000, 1_000.1)
    rows = cells(steps.table([slow, replace(slow, microseconds=1_000.0), replace(slow, step=steps.SIGNATURE)]))
    assert [row[-1].strip(" |") for row in rows[1:]] == ["over 1 ms", "", "beside"]


def test_the_benchmark_of_the_token_service_says_what_each_algorithm_leaves_of_its_signatures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--only", "issue", "--databases", "sqlite", "--seconds", "0.05", "--folder", str(tmp_path), "--json"]
    arguments += ["--algorithms", "ES256,EdDSA"]
    monkeypatch.setattr(sys, "argv", ["", *arguments])
    assert issuer.main() == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["disk", "issue", "issue, sqlite"]
    assert [figure["what"] for figure in found["issue"][2::3]] == [
        f"{alg}: share of the signatures alone" for alg in ("ES256", "EdDSA")
    ]
    assert list(tmp_path.iterdir()) == []


def test_the_worst_tokens_are_as_long_as_can_be_and_not_longer() -> None:
    lengths = {token.what: len(token.text) for token in tokens() if "corpus" not in token.what}
    assert max(lengths.values()) == MAX_TOKEN_BYTES
    assert sum(length > MAX_TOKEN_BYTES * 0.9 for length in lengths.values()) > 0.8 * len(lengths)
    assert len(lengths) > 400
