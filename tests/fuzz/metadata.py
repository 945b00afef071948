"""Fuzzes discovery: `python -m tests.fuzz.metadata -max_total_time=60 tests/fuzz/corpus/metadata`."""

from __future__ import annotations

from tests.fuzz.engine import run

if __name__ == "__main__":
    run("metadata", "issuer:Metadata", "change_metadata")
