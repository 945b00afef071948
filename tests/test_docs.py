"""The documentation is true: its Python runs, its links lead somewhere, and every reason is explained.

Run this file as a program to write the page of reasons anew.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from jwt_asgi.cli.advice import ADVICE
from jwt_asgi.errors import Reason
from jwt_asgi.issuer import MasterKeys
from jwt_asgi.testing import TestIssuer
from tests.faces import django_project

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").glob("*.md"),
        *(ROOT / "benchmarks").glob("*.md"),
    ]
)
REASONS = ROOT / "docs" / "reference" / "reasons.md"
TITLE = """# Reasons

Every refusal has one code, the same in errors (`error.reason.value`), hooks, logs and `jwt-asgi explain`. Codes do not
change between releases. The client is told the status and the challenge alone.
"""


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def python_blocks(page: Path) -> Iterator[str]:
    text = page.read_text(encoding="utf-8")
    yield from re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def reasons_page() -> str:
    """The page as the code says that it should be."""
    parts = [TITLE]
    for reason in Reason:
        challenge = f', `error="{reason.error}"`' if reason.error else ""
        status = "at start" if reason is Reason.CONFIGURATION_INVALID else f"{reason.status}{challenge}"
        summary = reason.summary[0].upper() + reason.summary[1:]
        parts.append(f"## {reason.value}\n\n{status}. {summary}.\n\n{ADVICE[reason]}\n")
    return "\n".join(parts)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_python_of_a_page_runs_from_top_to_bottom(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("jwks.json").write_text(json.dumps(TestIssuer().jwks()), encoding="utf-8")
    monkeypatch.setenv("JWT_ASGI_MASTER_KEYS", MasterKeys.new())
    assert django_project.urlpatterns  # its settings are those of the page on Django
    # A framework that reads annotations looks for the module that a function is of
    module = ModuleType("a_page")
    monkeypatch.setitem(sys.modules, "a_page", module)
    names = vars(module)
    names["app"] = _nothing
    for block in python_blocks(page):
        exec(compile(block, name_of(page), "exec", dont_inherit=True), names)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_link_leads_to_a_file(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_page_of_reasons_says_what_the_code_says() -> None:
    assert REASONS.read_text(encoding="utf-8") == reasons_page(), "run: python -m tests.test_docs"


def test_every_reason_has_advice_of_its_own() -> None:
    assert set(ADVICE) == set(Reason)
    assert all(text.endswith(".") for text in ADVICE.values())


def test_the_commands_of_the_readme_are_those_that_ci_runs() -> None:
    commands = re.findall(r"^```sh\n(python3 .*?)\n```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [command.rpartition("&& ")[2] for command in commands] == [
        ".venv/bin/jwt-asgi demo --check",
        ".venv/bin/pytest -n auto",
    ]
    assert "README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


async def _nothing(scope: object, receive: object, send: object) -> None:
    """Stand in for the reader's own application."""


if __name__ == "__main__":
    REASONS.write_text(reasons_page(), encoding="utf-8")
