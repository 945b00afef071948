"""Node.js, and what the interop tests have installed for it."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

DIRECTORY = Path(__file__).parent
INSTALL = "npm install --prefix tests/interop"
_OLDEST = 20


@cache
def missing(*packages: str) -> str | None:
    """What keeps a script with these packages from running here, and what to do about it; None when nothing does."""
    node = shutil.which("node")
    if node is None:
        return f"node is not installed: install Node.js {_OLDEST} or newer, then run `{INSTALL}`"
    version = subprocess.run([node, "--version"], capture_output=True, check=True, text=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < _OLDEST:
        return f"node is {version}: install Node.js {_OLDEST} or newer, then run `{INSTALL}`"
    for package in packages:
        if not (DIRECTORY / "node_modules" / package / "package.json").is_file():
            return f"{package} is not installed: run `{INSTALL}`"
    return None


def command(script: str, *arguments: str) -> list[str]:
    """The command that runs a script of this folder, which `missing` has found nothing against."""
    node = shutil.which("node")
    assert node is not None
    return [node, str(DIRECTORY / script), *arguments]
