"""The dependency rule, the drawing of the package, and the purity of the core hold."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

import jwt_asgi

PACKAGE = Path(jwt_asgi.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# Each layer may import those before it (and its own).
LAYERS = {
    "_version": 0,
    "errors": 0,
    "types": 0,
    "profiles": 1,
    "_core": 2,
    "_keys": 3,
    "issuer": 3,
    "instrumentation": 4,
    "revocation": 4,
    "issuers": 5,
    "tenants": 6,
    "verifier": 7,
    "access": 4,
    "identity": 4,
    "deadline": 4,
    "deadline_trio": 5,
    "health": 8,
    "gate": 8,
    "token_cache": 6,
    "answers": 3,
    "passage": 9,
    "expiry": 10,
    "renewal": 11,
    "middleware": 12,
    "fastapi": 13,
    "starlette": 13,
    "litestar": 13,
    "quart": 13,
    "django": 13,
    "mcp": 13,
    "apps": 14,
    "testing": 15,
    "cli": 16,
    "__main__": 17,
}
# What a layer may not import although it is lower.
FORBIDDEN = {
    "issuer": {"_keys"},
    "testing": {"instrumentation", "middleware", "health"},
}
# Where a library may be imported, and nowhere else.
BOUNDARIES = {
    "joserfc": {
        *("_core/signature.py", "_core/jwks.py", "issuer/signing.py"),
        *("testing/signing.py", "testing/configured.py"),
    },
    "cryptography": {"issuer/sealing.py", "issuer/signing.py"},
    "httpx": {"_keys/fetch.py", "testing/async_client.py"},
    "valkey": set(),  # by name, and only where it is used
    "redis": set(),
    "limits": {"issuer/rate_limits.py", "issuer/rate_counters.py"},
    "cachetools": {"_keys/remote.py", "issuer/confirmations.py", "tenants.py"},
    "fastapi": {"fastapi.py"},
    "starlette": {
        "cli/demo_session.py",
        "issuer/endpoints.py",
        "issuer/session_endpoints.py",
        "identity.py",
        "expiry.py",
        "starlette.py",
        "fastapi.py",
        "testing/sync_client.py",
    },
    "litestar": {"litestar.py"},
    "pytest": {"testing/plugin.py"},
    "uvicorn": {"cli/demo.py"},
    "quart": {"quart.py"},
    "django": {"django.py"},
    "asgiref": {"django.py"},
    "mcp": {"mcp.py"},
    "fastmcp": {"mcp.py"},
    "pydantic": {"mcp.py"},
    "asyncpg": {"issuer/store/postgresql.py"},
    "sqlalchemy": {
        "issuer/__init__.py",
        *(path.relative_to(PACKAGE).as_posix() for path in (PACKAGE / "issuer" / "store").rglob("*.py")),
    },
    "alembic": {"issuer/store/migrate.py", "issuer/store/migrations/versions/v0001.py"},
}
IMPURE = {"asyncio", "time", "os", "socket", "logging", "threading", "random", "datetime", "secrets", "pathlib"}


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def layer_of(module: str) -> str:
    """`_core/token.py` and `jwt_asgi._core.token` are both of the layer `_core`."""
    return re.split(r"[./]", module.removeprefix("jwt_asgi."))[0]


def imports_of(path: Path) -> list[str]:
    """Every module that a file imports, wherever in it the import stands."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides its layer"
            assert node.module is not None
            found.append(node.module)
    return found


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_module_imports_only_lower_layers(path: Path) -> None:
    own = layer_of(relative(path))
    if own == "__init__":
        return
    for module in imports_of(path):
        if not module.startswith("jwt_asgi"):
            continue
        assert module != "jwt_asgi", "nothing inside imports the package root"
        other = layer_of(module)
        assert other == own or LAYERS[other] < LAYERS[own], f"{own} may not import {other}"
        assert other not in FORBIDDEN.get(own, set()), f"{own} may not import {other}"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_library_is_imported_at_its_boundary_alone(path: Path) -> None:
    for module in imports_of(path):
        allowed = BOUNDARIES.get(module.split(".")[0])
        assert allowed is None or relative(path) in allowed, f"{module} is imported outside of its boundary"


@pytest.mark.parametrize("path", sorted((PACKAGE / "_core").glob("*.py")), ids=relative)
def test_the_core_waits_for_nothing_and_sees_no_clock(path: Path) -> None:
    roots = {module.split(".")[0] for module in imports_of(path)}
    assert not roots & IMPURE
    assert roots <= {"jwt_asgi", "joserfc", "__future__"} | sys.stdlib_module_names
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not any(isinstance(node, (ast.AsyncFunctionDef, ast.Await)) for node in ast.walk(tree))


@pytest.mark.parametrize(
    "name", ["rotation", "keyring", "key_schedule", "claim_values", "grants", "cross_origin", "cookies"]
)
def test_the_domain_of_the_token_service_waits_for_nothing_and_sees_no_clock(name: str) -> None:
    path = PACKAGE / "issuer" / f"{name}.py"
    assert not {module.split(".")[0] for module in imports_of(path)} & IMPURE
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not any(isinstance(node, (ast.AsyncFunctionDef, ast.Await)) for node in ast.walk(tree))


def test_only_the_signature_module_makes_a_verified_token() -> None:
    makers = {
        relative(path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Verified"
    }
    assert makers == {"_core/signature.py"}


def test_the_drawing_in_the_root_and_the_folder_are_equal() -> None:
    """The root's docstring names each module once: packages end with a slash, their modules are indented below."""
    assert jwt_asgi.__doc__ is not None
    drawn: list[str] = []
    folder = ""
    for line in jwt_asgi.__doc__.splitlines():
        words = line.split()
        indent = len(line) - len(line.lstrip())
        names = [word for word in words if re.fullmatch(r"[a-z_]+(\.py|/)", word)]
        if indent == 4 and names and names[0] == words[0]:
            folder = names[0] if names[0].endswith("/") else ""
            drawn += [name for name in names if name.endswith(".py")]
            if folder in {"cli/", "issuer/"}:
                drawn.append(folder)
        elif indent == 8 and names:
            drawn.append(f"{folder}{names[0]}")
    found = {relative(path) for path in MODULES if path.name not in {"__init__.py", "_version.py"}}
    found = {name for name in found if not name.startswith(("cli/", "issuer/"))} | {"cli/", "issuer/"}
    assert len(drawn) == len(set(drawn))
    assert set(drawn) == found


@pytest.mark.parametrize("folder", ["issuer", "issuer/store"])
def test_a_folder_that_draws_itself_draws_each_module_once(folder: str) -> None:
    docstring = ast.get_docstring(ast.parse((PACKAGE / folder / "__init__.py").read_text(encoding="utf-8")))
    assert docstring is not None
    drawn = re.findall(r"^ *([a-z_]+(?:\.py|/))  ", docstring, re.MULTILINE)
    found = {path.name for path in (PACKAGE / folder).glob("*.py")} - {"__init__.py"}
    found |= {f"{path.parent.name}/" for path in (PACKAGE / folder).glob("*/__init__.py")}
    assert sorted(drawn) == sorted(found)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_module_opens_with_one_line_that_says_what_it_is(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring is not None
    first, _, rest = docstring.partition("\n")
    assert first.rstrip(".") != first or first.endswith(")"), f"{relative(path)}: {first!r} is no sentence"
    assert not rest or rest.startswith("\n")


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_no_module_is_longer_than_the_house_allows(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 350
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, f"{node.name} is too long"


def test_the_core_modules_have_a_test_file_each() -> None:
    modules = {path.stem for path in (PACKAGE / "_core").glob("*.py")} - {"__init__"}
    tests = {path.stem.removeprefix("test_") for path in (Path(__file__).parent / "core").glob("test_*.py")}
    assert modules <= tests
