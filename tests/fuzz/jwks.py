"""Fuzzes a key source: `python -m tests.fuzz.jwks -max_total_time=60 tests/fuzz/corpus/jwks`."""

from __future__ import annotations

from tests.fuzz.engine import run

if __name__ == "__main__":
    run("jwks", "key_set:World", "change_jwks")
