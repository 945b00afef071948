"""Which share of its bare application's requests per second each contender leaves, over HTTP.

    python -m benchmarks.served [--servers uvicorn,granian] [--only jwt-asgi,floor] [--rounds 7] [--seconds 2] [--json]

benchmarks/README.md says what is measured, and how. It never fails on a time: read the shares.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from benchmarks._added import LIBRARIES, lines, versions
from benchmarks._contenders import BARE, INSTALL, Contender, LeftOut, chosen, fault_of
from benchmarks._kit import ROOT
from benchmarks._requests import PATH
from benchmarks._site import Site, bad_tokens, make_crowd, open_site

LOAD = "wrk"
HERE = Path(__file__).parent
SERVERS = ("uvicorn", "granian")
COLUMNS = REPEATED, DISTINCT = ("one token repeated", "distinct, again")
CONNECTIONS = 32
SECONDS_TO_START = 30.0
# Which core the server has, and which the load generator
SERVER_CORE, LOAD_CORE = 0, 1
PIN = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])}); os.execvp(sys.argv[2], sys.argv[2:])"


@dataclass(frozen=True, slots=True)
class Load:
    """What was found in a run: requests a second, a second of the server's CPU time, and microseconds to an answer."""

    rate: float
    cpu_rate: float
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Share:
    """Medians over the rounds; the shares are those of the bare application's rates, with quartiles."""

    rate: float
    share: tuple[float, float, float]
    cpu_share: tuple[float, float, float]
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Served:
    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    group: str
    shares: dict[str, Share]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", default=",".join(SERVERS), help="default: %(default)s")
    parser.add_argument("--only", metavar="WORDS", default="", help="contenders with one of these words in their name")
    parser.add_argument("--algorithm", default="RS256", help="default: %(default)s")
    parser.add_argument("--tokens", type=int, default=10_000, help="how many distinct ones; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--seconds", type=int, default=2, help="of each contender in a round; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args()
    if absent := absent_of(arguments.servers.split(",")):
        print(f"skipped: {absent}")
        return
    with open_site(arguments.algorithm) as (site, issuer), TemporaryDirectory() as folder:
        crowd = make_crowd(issuer, arguments.tokens)
        bad = {"bad signature": crowd.forged[0], "unknown kid": crowd.unknown[0], **bad_tokens(issuer)}
        bench = Bench(site, crowd.good, {"good": crowd.good[0], **bad}, Path(folder), arguments.seconds)
        results = []
        for server in arguments.servers.split(","):
            here, left_out = chosen([word for word in arguments.only.split(",") if word])
            rows = bench.run(server, here, left_out, arguments.rounds)
            found = {"server": server, "rows": [asdict(row) for row in rows]}
            results.append({**found, "left_out": [asdict(one) for one in left_out]})
    installed = versions(["uvicorn", "granian", "httptools", *LIBRARIES])
    if arguments.json:
        print(json.dumps({"versions": installed, "results": results}, indent=2))
    else:
        print("\n".join([", ".join(map(" ".join, installed.items())), *report(results)]))


def absent_of(servers: Sequence[str]) -> str:
    """Say what is missing here, and how it is installed; or nothing."""
    if shutil.which(LOAD) is None:
        return f"{LOAD} is not installed: apt-get install {LOAD}"
    modules = [*servers, *(["uvloop", "httptools"] if "uvicorn" in servers else [])]
    missing = [name for name in modules if find_spec(name) is None]
    return f"{', '.join(missing)} not installed: {INSTALL}" if missing else ""


class Bench:
    """A site, its tokens, and where they lie for the load generator."""

    def __init__(self, site: Site, good: Sequence[bytes], checks: dict[str, bytes], folder: Path, seconds: int) -> None:
        self._site = site
        self._checks = checks
        self._seconds = seconds
        self._files = {REPEATED: folder / "repeated", DISTINCT: folder / "distinct"}
        self._files[REPEATED].write_bytes(good[0] + b"\n")
        self._files[DISTINCT].write_bytes(b"\n".join(good) + b"\n")
        self._good = good

    def run(self, server: str, here: Sequence[Contender], left_out: list[LeftOut], rounds: int) -> list[Row]:
        """Start all of them, let each show that it verifies, and load them in turns."""
        with ExitStack() as servers:
            running: dict[Contender, Served] = {}
            for contender in here:
                try:
                    one = servers.enter_context(served(contender, self._site, server))
                    fault = fault_of(contender, self._answers_of(one.url))
                except (RuntimeError, httpx.HTTPError) as error:
                    fault = f"fails: {error}"
                if fault:
                    left_out.append(LeftOut(contender.name, fault))
                else:
                    running[contender] = one
            for one in running.values():
                asyncio.run(show_all(one.url, self._good))
            found: list[dict[tuple[str, str], Load]] = []
            for number in range(rounds if running else 0):
                order = [*running.items()]
                first = number % len(order)
                found.append(
                    {
                        (contender.key, column): self._load(one, column)
                        for contender, one in order[first:] + order[:first]
                        for column in COLUMNS
                    }
                )
        return [Row(one.name, one.group, {column: share(found, one, column) for column in COLUMNS}) for one in running]

    def _answers_of(self, url: str) -> dict[str, int]:
        with httpx.Client(timeout=SECONDS_TO_START, trust_env=False) as client:
            return {
                name: client.get(url, headers={"authorization": f"Bearer {token.decode()}"}).status_code
                for name, token in self._checks.items()
            }

    def _load(self, server: Served, column: str) -> Load:
        options = [f"-c{CONNECTIONS}", "-t1", f"-d{self._seconds}s", "-s", str(HERE / "_served.lua")]
        command = [LOAD, *options, server.url, "--", str(self._files[column])]
        begun = cpu_seconds(server.pid)
        done = subprocess.run(pinned(LOAD_CORE, command), capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        if found["statuses"] or found["errors"] or not found["requests"]:
            raise RuntimeError(f"{server.url}: expected every token to be taken; got {found}")
        used = cpu_seconds(server.pid) - begun
        rate = found["requests"] / found["microseconds"] * 1e6
        return Load(rate, found["requests"] / used if used > 0 else math.nan, found["p50"], found["p99"])


async def show_all(url: str, tokens: Sequence[bytes]) -> None:
    """Send each token once, so that what is remembered is remembered."""
    host, path = url.removeprefix("http://").split("/", 1)
    head = f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer "

    async def send(part: Sequence[bytes]) -> None:
        reader, writer = await asyncio.open_connection(*host.split(":"))
        for token in part:
            writer.write(head.encode() + token + b"\r\n\r\n")
            await reader.readuntil(b"\r\n\r\nok")
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(send(tokens[first::CONNECTIONS]) for first in range(min(CONNECTIONS, len(tokens)))))


def cpu_seconds(pid: int) -> float:
    """Return what a process and its children have had of the CPU, threads that have ended too; 0 where /proc is not."""
    process = Path(f"/proc/{pid}")
    try:
        # proc(5): utime and stime, behind a name that may have spaces
        ticks = sum(map(int, (process / "stat").read_text().rpartition(")")[2].split()[11:13]))
        children = [child for task in (process / "task").glob("*/children") for child in task.read_text().split()]
    except OSError:
        return 0.0
    return ticks / os.sysconf("SC_CLK_TCK") + sum(cpu_seconds(int(child)) for child in children)


@contextmanager
def served(contender: Contender, site: Site, server: str) -> Iterator[Served]:
    """Serve a contender from a process of its own until the end of the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    core = str(SERVER_CORE if can_pin() else -1)
    command = [sys.executable, "-m", "benchmarks._served_app", server, str(port), core, contender.key]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )
    try:
        if process.stdin is not None:
            process.stdin.write(f"{site.to_json()}\n")
            process.stdin.flush()
        wait_for(port, process)
        yield Served(f"http://127.0.0.1:{port}{PATH}", process.pid)
    finally:
        process.terminate()
        try:
            process.wait(timeout=SECONDS_TO_START)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()


def wait_for(port: int, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"the server does not start; its exit code is {process.poll()}")


def can_pin() -> bool:
    return hasattr(os, "sched_setaffinity") and {SERVER_CORE, LOAD_CORE} <= os.sched_getaffinity(0)


def pinned(core: int, command: Sequence[str]) -> list[str]:
    """Return the command, on that core alone where the machine has two."""
    return [sys.executable, "-c", PIN, str(core), *command] if can_pin() else list(command)


def share(rounds: Sequence[dict[tuple[str, str], Load]], contender: Contender, column: str) -> Share:
    pairs = [(one[contender.key, column], one[contender.bare, column]) for one in rounds]
    return Share(
        rate=median(load.rate for load, _ in pairs),
        share=middle_of([load.rate / bare.rate for load, bare in pairs]),
        cpu_share=middle_of([load.cpu_rate / bare.cpu_rate for load, bare in pairs]),
        p50=median(load.p50 for load, _ in pairs),
        p99=median(load.p99 for load, _ in pairs),
    )


def middle_of(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median and the quartiles."""
    low, middle, high = quantiles(values) if len(values) > 1 else [*values] * 3
    return middle, low, high


def report(results: Sequence[dict[str, Any]]) -> Iterator[str]:
    for result in results:
        rows = [
            Row(one["name"], one["group"], {k: Share(**v) for k, v in one["shares"].items()}) for one in result["rows"]
        ]
        yield from ("", f"{result['server']}", "", *table(rows))
        if result["left_out"]:
            yield from ("", *(f"- {one['name']}: {one['reason']}" for one in result["left_out"]))


def table(rows: Sequence[Row]) -> list[str]:
    heads = [head for column in COLUMNS for head in (f"{column}: requests/s", "of bare", "by CPU", "p50, p99")]
    found: list[tuple[str, ...]] = [("application", "what is added", *heads), ("---", "---", *["---:"] * len(heads))]
    for row in rows:
        cells = [cell for column in COLUMNS for cell in cells_of(row, row.shares[column])]
        found.append((row.group if row.name == BARE else "", row.name, *cells))
    return lines(found)


def cells_of(row: Row, one: Share) -> tuple[str, str, str, str]:
    shares = ("1", "1") if row.name == BARE else (percent(one.share), percent(one.cpu_share))
    return f"{one.rate:,.0f}", *shares, f"{one.p50 / 1000:.1f} ms, {one.p99 / 1000:.1f} ms"


def percent(found: Sequence[float]) -> str:
    middle, low, high = found
    return "-" if math.isnan(middle) else f"{middle:.0%} ({low:.0%} to {high:.0%})"


if __name__ == "__main__":
    main()
