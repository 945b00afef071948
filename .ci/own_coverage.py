"""Whether each core module is covered, lines and branches, by its own test file alone.

Each is measured in a process of its own that is forked once pytest, and what the package depends on, are there:
so nothing of the package has been imported yet, and what has been costs nothing again.
"""

import os
import sys
from contextlib import redirect_stdout
from importlib import import_module
from io import StringIO
from multiprocessing import get_context
from pathlib import Path

import coverage
import pytest

OTHERS = (
    "asyncio",
    "anyio.from_thread",
    "cachetools",
    "httpx",
    "httpcore",
    "joserfc.jwk",
    "joserfc.jws",
    "starlette.requests",
)


def told_of(module: Path) -> tuple[str, float, str]:
    """Return the module's name, its coverage in per cent (0 where a test fails), and what there is to say of it."""
    said = StringIO()
    measured = coverage.Coverage(data_file=None)
    with redirect_stdout(said):
        measured.start()
        plugins = ("-p", "anyio.pytest_plugin", "-p", "no:cacheprovider")
        failed = pytest.main(["-q", *plugins, f"tests/core/test_{module.name}"])
        measured.stop()
        share = measured.report(include=[str(module)])
    return module.stem, 0.0 if failed else share, said.getvalue()


def main() -> int:
    """Measure them all, on two cores."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for name in OTHERS:
        import_module(name)
    modules = sorted(Path("jwt_asgi/_core").glob("[a-z]*.py"))
    uncovered = 0
    with get_context("fork").Pool(2, maxtasksperchild=1) as pool:
        for name, share, said in pool.imap(told_of, modules, chunksize=1):
            print(f"{name}: {share:g} %")
            if share < 100:
                uncovered += 1
                print(said)
    return uncovered


if __name__ == "__main__":
    sys.exit(main())
