"""The distribution: its metadata says what is true, and its files name no machine and no registry."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import jwt_asgi

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_package_is_marked_as_typed() -> None:
    assert (Path(jwt_asgi.__file__).parent / "py.typed").exists()


def test_the_core_depends_on_four_libraries_alone() -> None:
    names = {re.split(r"[<>=!~\[; ]", requirement)[0] for requirement in PROJECT["dependencies"]}
    assert names == {"cachetools", "httpx", "joserfc", "starlette"}


def test_every_dependency_has_a_lower_bound() -> None:
    extras = PROJECT["optional-dependencies"]
    for requirement in [*PROJECT["dependencies"], *(one for extra in extras.values() for one in extra)]:
        assert ">=" in requirement or requirement.startswith("jwt-asgi["), requirement


def test_the_changelog_opens_with_the_version() -> None:
    headings = re.findall(r"^## \[?([^\] \n]+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] in {"Unreleased", jwt_asgi.__version__}
    assert jwt_asgi.__version__ in headings or headings[0] == "Unreleased"


def test_the_python_versions_are_those_of_the_classifiers() -> None:
    versions = [name.rpartition(" ")[2] for name in PROJECT["classifiers"] if ":: Python :: 3." in name]
    assert versions == ["3.11", "3.12", "3.13"]
    assert PROJECT["requires-python"] == ">=3.11"


FOLDERS = (".ci", "benchmarks", "docs", "examples", "jwt_asgi", "tests")
MADE_HERE = {"__pycache__", "node_modules", "package-lock.json"}


def test_no_file_names_a_registry_or_a_path_of_a_machine() -> None:
    files = [path for path in ROOT.iterdir() if path.suffix in {".md", ".toml"}]
    files += [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    files = [path for path in files if not MADE_HERE & set(path.relative_to(ROOT).parts)]
    assert len(files) > 100
    hosts = ("files." + "pythonhosted", "pypi" + ".org", "registry" + ".npmjs", "/ro" + "ot/", "/wor" + "k/")
    for path in files:
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not [host for host in hosts if host in text], path
