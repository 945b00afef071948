"""Fuzzes the door: `python -m tests.fuzz.authorization -max_total_time=60 tests/fuzz/corpus/authorization`."""

from __future__ import annotations

from tests.fuzz.engine import run

if __name__ == "__main__":
    run("authorization", "door:World", "change_authorization")
