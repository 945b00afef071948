"""Runs a target under atheris: instruments the package, unpacks the seeds, and sets what libFuzzer needs."""

from __future__ import annotations

import importlib
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.fuzz.packed import seeds

_MISSING = """\
atheris is not installed: pip install 'atheris>=3' (it has wheels for Python 3.11 to 3.13, on Linux).
Without it, tests/fuzz/test_fuzz.py replays the seeds."""
_FOLDER = Path(tempfile.gettempdir()) / "jwt-asgi-fuzz"
"""For what is found, for the seeds one by one, and for new inputs where no folder is named."""
_MOST_BYTES = 20_000
_MOST_SECONDS = 25
"""For one input: a thousand times what it takes, and little enough to tell what takes for ever."""


def run(name: str, harness: str, change: str) -> None:
    """Fuzz: `harness` is "module:Class", whose `check` takes bytes; `change` is a function of `mutation`."""
    try:
        atheris: Any = importlib.import_module("atheris")
    except ImportError:
        sys.exit(_MISSING)
    with atheris.instrument_imports(include=["jwt_asgi"]):
        importlib.import_module("jwt_asgi")
        module, _, kind = harness.partition(":")
        world = getattr(importlib.import_module(f"tests.fuzz.{module}"), kind)()
        changed = getattr(importlib.import_module("tests.fuzz.mutation"), change)

    def custom_mutator(data: bytes, most: int, seed: int) -> bytes:
        made: bytes = changed(data, most, seed, atheris.Mutate)
        return made

    atheris.Setup(arguments(name, sys.argv, _FOLDER), world.check, custom_mutator=custom_mutator)
    atheris.Fuzz()


def arguments(name: str, given: list[str], folder: Path) -> list[str]:
    """What is given, and what is not: where to write what was found, how long an input may be, and the seeds."""
    options = [word for word in given[1:] if word.startswith("-")]
    paths = [word for word in given[1:] if not word.startswith("-")]
    found = folder / "found"
    found.mkdir(parents=True, exist_ok=True)
    defaults = {"-artifact_prefix": f"{found}/{name}-", "-max_len": _MOST_BYTES, "-timeout": _MOST_SECONDS}
    for option, value in defaults.items():
        if not any(word.startswith(f"{option}=") for word in options):
            options.append(f"{option}={value}")
    if any(Path(path).is_file() for path in paths):
        return [given[0], *options, *paths]
    # libFuzzer writes into the first folder, reads all of them, and ends without tidying up
    folders = [*(paths or [str(folder / "corpus" / name)]), str(folder / "seeds" / name)]
    for path in folders:
        Path(path).mkdir(parents=True, exist_ok=True)
    for data in seeds(name):
        (Path(folders[-1]) / sha256(data).hexdigest()).write_bytes(data)
    return [given[0], *options, *folders]
