"""The pages on security are true: what they name exists, and what they promise to be complete is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

from jwt_asgi.errors import Reason
from tests.attacks.corpus import GROUPS
from tests.attacks.corpus.case import Sign
from tests.attacks.corpus.choices import ACCEPTED
from tests.faults import catalogue

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "security"
PAGES = sorted(FOLDER.glob("*.md"))
TABLES = ("attacks", "known-vulnerabilities", "standards", "token-service")
CORPUS = "tests/attacks/corpus/"
FAULTS = "tests/faults/catalogue.py"

_CODE = re.compile(r"`([^`]+)`")
_CVE = re.compile(r"CVE-\d{4}-\d{4,}")
_PATH = re.compile(r"(?:tests|jwt_asgi|docs|examples)/[\w./-]*")


class Row(NamedTuple):
    """A row of a table that ends with a column of proof."""

    page: str
    cells: tuple[str, ...]

    @property
    def defences(self) -> list[str]:
        return [code for code in _CODE.findall(self.cells[-2]) if code.startswith("jwt_asgi/")]

    @property
    def proofs(self) -> list[str]:
        return _CODE.findall(self.cells[-1])


def rows_of(text: str, page: str = "") -> Iterator[Row]:
    """Every row of the tables whose last column is the proof."""
    in_table = False
    for line in text.splitlines():
        cells = tuple(cell.strip() for cell in line.strip().strip("|").split(" | "))
        if not line.startswith("|"):
            in_table = False
        elif cells[-1] == "Proof":
            in_table = True
        elif in_table and not set(line) <= set("|- "):
            yield Row(page, cells)


ROWS = [row for name in TABLES for row in rows_of((FOLDER / f"{name}.md").read_text(encoding="utf-8"), name)]


@cache
def functions_in(path: str) -> frozenset[str]:
    """The tests of a file, by its source."""
    nodes = ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8")))
    names = [node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return frozenset(name for name in names if name.startswith("test_"))


@cache
def names_in(path: str) -> frozenset[str]:
    """What may be named in a file: cases of the corpus, lines of the catalogue of faults, else tests."""
    if path.startswith(CORPUS):
        module = import_module(path.removesuffix(".py").replace("/", "."))
        return frozenset(case.id for case in module.CASES)
    if path == FAULTS:
        lines = catalogue.FAULTS + catalogue.MEMBERS + catalogue.METADATA
        return frozenset(line.partition("|")[0].strip() for line in lines.splitlines())
    return functions_in(path)


def missing(proof: str) -> str | None:
    """What a proof names that is not there."""
    path, separator, name = proof.partition("::")
    if not (ROOT / path).is_file():
        return path
    return None if separator and any(fnmatchcase(known, name) for known in names_in(path)) else proof


def test_every_test_that_a_row_names_exists() -> None:
    assert [found for row in ROWS for proof in row.proofs if (found := missing(proof))] == []


def test_every_module_that_a_row_names_exists() -> None:
    assert [path for row in ROWS for path in row.defences if not (ROOT / path).is_file()] == []


def test_every_row_names_a_defence_and_a_proof() -> None:
    assert [row.cells[0] for row in ROWS if not row.defences or not row.proofs] == []
    assert {row.page for row in ROWS} == set(TABLES)


@pytest.mark.parametrize(
    "proof",
    [
        "tests/test_security_docs.py",
        "tests/test_security_docs.py::test_that_nobody_wrote",
        "tests/test_nothing.py::test_every_row_names_a_defence_and_a_proof",
        "tests/attacks/corpus/header.py::header.of-no-case-*",
        "tests/faults/catalogue.py::a fault that nobody plays",
        "a sentence",
    ],
)
def test_a_proof_that_is_not_there_would_be_found(proof: str) -> None:
    assert missing(proof) is not None


def test_a_row_without_a_proof_would_be_found() -> None:
    page = "| Attack | What stops it | Proof |\n|---|---|---|\n| one | `jwt_asgi/gate.py` | soon |\n\n| a | b |\n"
    assert [(row.defences, row.proofs) for row in rows_of(page)] == [(["jwt_asgi/gate.py"], [])]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_on_a_page_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("….py", ".py")
    named = {path for code in _CODE.findall(text) for path in _PATH.findall(code)}
    assert [path for path in sorted(named) if not (ROOT / path).exists() and path != f"{CORPUS}.py"] == []


@pytest.mark.parametrize("page", [*PAGES, ROOT / "docs" / "security.md"], ids=lambda page: page.name)
def test_a_link_to_a_heading_finds_it(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        text = ((page.parent / target) if target else page).read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_group_of_the_corpus_is_a_proof() -> None:
    named = {proof for row in ROWS if row.page == "attacks" for proof in row.proofs if proof.startswith(CORPUS)}
    for group, cases in GROUPS.items():
        ids = {case.id for case in cases}
        assert any(fnmatchcase(known, proof.partition("::")[2]) for proof in named for known in ids), group


def test_every_reason_for_a_refusal_is_in_a_row() -> None:
    named = {code for row in ROWS if row.page == "attacks" for code in _CODE.findall(row.cells[1])}
    assert {reason.value for reason in Reason} - named == set()


def test_every_case_of_the_corpus_that_is_refused_is_in_a_row() -> None:
    patterns = [proof.partition("::")[2] for row in ROWS for proof in row.proofs if proof.startswith(CORPUS)]
    hostile = {case.id for cases in GROUPS.values() for case in cases if case.sign is not Sign.ACCEPT}
    refused = sorted(hostile - set(ACCEPTED))
    assert [name for name in refused if not any(fnmatchcase(name, pattern) for pattern in patterns)] == []


def test_no_item_of_rfc_8725_and_of_its_successor_is_missing() -> None:
    items = [row for row in ROWS if row.page == "standards" and row.cells[0].startswith("3.") and len(row.cells) == 4]
    assert [row.cells[0].split()[0] for row in items] == [f"3.{number}" for number in range(1, 16)]
    threats = {threat for row in items for threat in row.cells[1].split(", ")}
    assert threats == {f"2.{number}" for number in range(1, 14)}


def test_every_vulnerability_that_the_code_and_its_attacks_cite_is_on_the_page() -> None:
    page = set(_CVE.findall((FOLDER / "known-vulnerabilities.md").read_text(encoding="utf-8")))
    sources = [*(ROOT / "jwt_asgi").rglob("*.py"), *(ROOT / "tests" / "attacks").rglob("*.py")]
    cited = {cve for source in sources for cve in _CVE.findall(source.read_text(encoding="utf-8"))}
    assert cited - page == set()
