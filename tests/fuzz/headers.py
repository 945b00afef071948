"""Fuzzes the reading of headers: `python -m tests.fuzz.headers -max_total_time=60 tests/fuzz/corpus/headers`."""

from __future__ import annotations

from tests.fuzz.engine import run

if __name__ == "__main__":
    run("headers", "issuer:Headers", "change_headers")
