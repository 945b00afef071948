"""The public names: few, stable, and importable without a framework or an extra."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import jwt_asgi

SUBMODULES = [
    module.name
    for module in pkgutil.walk_packages(jwt_asgi.__path__, "jwt_asgi.")
    # The steps of alembic are scripts, and export nothing
    if "__main__" not in module.name and ".migrations" not in module.name
]
EXTRAS = (
    "uvicorn",
    "fastapi",
    "litestar",
    "quart",
    "django",
    "mcp",
    "fastmcp",
    "pydantic",
    "pytest",
    "hypothesis",
    "uvloop",
    "granian",
    "hypercorn",
)


def test_the_root_exports_at_most_25_names_and_all_are_there() -> None:
    assert len(jwt_asgi.__all__) <= 25
    assert all(hasattr(jwt_asgi, name) for name in jwt_asgi.__all__)


def test_the_names_that_other_code_depends_on_are_exported() -> None:
    assert {
        "AccessError",
        "AccessToken",
        "ConfigurationError",
        "Decision",
        "Hook",
        "JWTMiddleware",
        "KeysUnavailable",
        "Profile",
        "Reason",
        "Role",
        "Scope",
        "SharedSecret",
        "StaticKeys",
        "TokenError",
        "TrustedIssuer",
        "Verifier",
    } <= set(jwt_asgi.__all__)


@pytest.mark.parametrize("name", SUBMODULES)
def test_each_module_names_what_it_exports(name: str) -> None:
    module = importlib.import_module(name)
    if name.rpartition(".")[2] in {"_core", "_keys", "_version"}:
        return
    assert len(module.__all__) == len(set(module.__all__))
    assert all(hasattr(module, exported) for exported in module.__all__)


def test_the_root_re_exports_only_what_a_module_exports() -> None:
    tree = ast.parse(Path(jwt_asgi.__file__).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module != "jwt_asgi._version":
            assert node.module is not None
            exported = importlib.import_module(node.module).__all__
            assert {alias.name for alias in node.names} <= set(exported)


def test_importing_the_package_needs_no_extra_and_makes_no_test_kit() -> None:
    program = (
        "import sys\n"
        f"for name in {EXTRAS!r}: sys.modules[name] = None\n"
        "import jwt_asgi\n"
        "assert 'jwt_asgi.testing' not in sys.modules\n"
        "assert 'jwt_asgi.cli' not in sys.modules\n"
        "print('imported')"
    )
    run = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "imported\n", "")
