"""mypy, in its strict mode, agrees with what `uses.py` says about the public API."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.missing import installed

ROOT = Path(__file__).parents[2]
USES = Path(__file__).with_name("uses.py")


def test_right_uses_type_check_and_marked_mistakes_do_not() -> None:
    installed("mypy", "mypy")
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(USES)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "Success: no issues found in 1 source file\n")
