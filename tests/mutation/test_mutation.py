"""The mutants are faults and no others, and the list of those that may survive is about mutants that there are."""

from __future__ import annotations

import ast
import os
import time
import tomllib
from pathlib import Path

import pytest

from tests.mutation.mutants import mutants_of
from tests.mutation.runner import in_child
from tests.mutation.suites import MEASURING, MODULES, suite_of

SURVIVORS = tomllib.loads(Path(__file__).with_name("survivors.toml").read_text())
ROOT = Path(__file__).parents[2]


def faults(source: str) -> set[str]:
    """What the mutants of a source make of its last line."""
    return {ast.unparse(mutant.module()).splitlines()[-1].strip() for mutant in mutants_of(source)}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < 1", {"x = a <= 1", "x = a < 2"}),
        ("x = a == b", {"x = a != b"}),
        ("x = a and b", {"x = a or b", "x = a", "x = b"}),
        ("x = not a", {"x = a"}),
        ("x = a + b", {"x = a - b"}),
        ("x = True", {"x = False"}),
        ("x = None", {"x = 'XX'"}),
        ("x = 'abc'", {"x = 'ab'"}),
        ("x = 'two words'", {"x = 'XX'"}),
        ("x = f'two {a}'", {"x = f'XX{a}'", "x = f'two XX'"}),
        ("x = {'a', 'b'}", {"x = {'a'}", "x = {'b'}"}),
        ("x = {'a': b}", {"x = {}", "x = {'XX': b}"}),
        ("x = a[1:]", {"x = a[:]", "x = a[2:]"}),
        ("x = a if b else c", {"x = a if True else c", "x = a if False else c"}),
        ("x = [a for a in b if a]", {"x = [a for a in b]"}),
        ("x = any(a)", {"x = all(a)"}),
        ("x = a.strip()", {"x = a.lstrip()"}),
        ("a()", {"pass"}),
        ("a.b = c", {"pass"}),
        ("def a():\n    raise b", {"pass"}),
        ("def a():\n    return b", {"return None"}),
        ("def a(b=1):\n    pass", {"pass"}),
    ],
)
def test_a_mutant_has_one_fault(source: str, expected: set[str]) -> None:
    assert faults(source) == expected


@pytest.mark.parametrize(
    ("source", "conditions"),
    [
        ("if a:\n    b", {"if True:", "if False:"}),
        ("if a is None:\n    b", {"if True:", "if False:"}),
        ("if a < b:\n    b", {"if True:", "if False:", "if a <= b:"}),
        ("while a:\n    b", {"while False:"}),
        ("try:\n    a\nexcept (B, C):\n    d", {"try:"}),
    ],
)
def test_a_condition_is_made_true_and_false(source: str, conditions: set[str]) -> None:
    assert {ast.unparse(mutant.module()).splitlines()[0] for mutant in mutants_of(source)} == conditions


@pytest.mark.parametrize(
    "source",
    [
        '"""What it is."""',
        "import a",
        "__all__ = ['a']",
        "__slots__ = ('a',)",
        "a: int | None",
        "if TYPE_CHECKING:\n    a()",
        "def a(b: c | None) -> d | None:\n    '''What it does.'''",
        "@dataclass(slots=True)\nclass A:\n    pass",
    ],
)
def test_what_is_no_behaviour_is_left_as_it_is(source: str) -> None:
    assert not list(mutants_of(source))


def test_a_mutant_says_where_it_is_and_which_lines_reach_it() -> None:
    source = (
        "A = 1\nclass B:\n    def c(self, d=2):\n        if d:\n            return (\n                e\n            )"
    )
    assert [(mutant.name, mutant.scope, mutant.lines) for mutant in mutants_of(source)] == [
        ("module: `A = 1`: 1 -> 2", "module", None),
        ("B.c: `def c(self, d=2):`: 2 -> 3", "B.c", None),
        ("B.c: `if d:`: the condition -> True", "B.c", (4, 4)),
        ("B.c: `if d:`: the condition -> False", "B.c", (4, 4)),
        ("B.c: `return e`: the value -> None", "B.c", (5, 7)),
    ]


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # since Python 3.12; pytest-xdist has threads
def test_the_result_of_a_forked_process_is_known_and_what_has_no_end_is_ended() -> None:
    assert in_child(lambda: "failed", 30) == "failed"
    assert in_child(lambda: os._exit(3), 30) is None
    assert in_child(lambda: time.sleep(600), 0.1) == "time-out"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_tests_that_are_there(module: str) -> None:
    files = [file for suite in suite_of(module) for file in suite]
    assert files
    assert all((ROOT / file).exists() for file in files)


def test_every_test_that_measures_time_is_there() -> None:
    files = {file for module in MODULES for suite in suite_of(module) for file in suite}
    written = "".join((ROOT / file).read_text() for file in files)
    assert [name for name in MEASURING if f"def {name}(" not in written] == []


@pytest.mark.parametrize("module", SURVIVORS)
def test_who_may_survive_is_a_mutant_of_today(module: str) -> None:
    """A statement that has changed has new mutants, whose survival is to be judged anew."""
    listed = [name for entry in SURVIVORS[module] for name in entry["mutants"]]
    names = {mutant.name for mutant in mutants_of((ROOT / module).read_text())}
    assert [name for name in listed if name not in names] == []
    assert len(listed) == len(set(listed))
    assert all(entry["reason"].endswith(".") for entry in SURVIVORS[module])
