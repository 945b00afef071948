"""The command line: runs mutants, keeps what came of them, and holds the survivors against survivors.toml."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.reach import Reach
from tests.mutation.runner import killer_of, preload, reach_of
from tests.mutation.suites import MODULES, Suite, suite_of
from tests.mutation.swap import Collected

_KEPT = Path(".mutation")
_JUSTIFIED = Path(__file__).with_name("survivors.toml")
_WANTED = 95.0
_TIME_OUT = "time-out"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description="Mutation testing of jwt_asgi.")
    parser.add_argument("modules", nargs="*", help="paths, as jwt_asgi/_core/policy.py; none: all that suites.py names")
    parser.add_argument("--only", metavar="NAME", default="", help="only what is in a function whose name has this")
    parser.add_argument("--again", action="store_true", help="forget the results that are kept")
    parser.add_argument("--list", action="store_true", help="print the mutants, and run nothing")
    parser.add_argument(
        "--table", action="store_true", help="print what the results that are kept say, and run nothing"
    )
    options = parser.parse_args()
    _settle()
    tallies: list[Tally] = []
    for module in options.modules or MODULES:
        everything = list(mutants_of(Path(module).read_text()))
        mutants = [mutant for mutant in everything if options.only in mutant.scope]
        if options.list:
            print(*(mutant.name for mutant in mutants), sep="\n")
            continue
        results = Results(module, everything, again=options.again)
        if not options.table:
            Run(module, mutants, results).run()
        tallies.append(Tally(module, mutants, results, whole=not options.only))
        tallies[-1].tell()
    return _table(tallies) if tallies else 0


def _settle() -> None:
    """What every process inherits: code that is compiled once, no plugins but those that the tests need."""
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str((_KEPT / "bytecode").resolve())
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.environ.pop("PYTEST_ADDOPTS", None)


class Results:
    """What came of the mutants of one module, kept in a file: what killed each; an empty text where it survived."""

    def __init__(self, module: str, mutants: list[Mutant], *, again: bool) -> None:
        self._path = _KEPT / f"{module.removesuffix('.py').replace('/', '.')}.jsonl"
        faults = _digest(Path(module).read_bytes(), *(mutant.name.encode() for mutant in mutants))
        own, wider = suite_of(module)
        tests = _digest(*(Path(path).read_bytes() for path in (*own, *wider)))
        lines = [] if again or not self._path.exists() else self._path.read_text().splitlines()
        old = [json.loads(line) for line in lines]
        self.by_name: dict[str, str] = {}
        self._prints = {"faults": faults, "tests": tests}
        self._path.parent.mkdir(exist_ok=True)
        if old and old[0].get("faults") == faults:
            same_tests = old[0]["tests"] == tests
            self.by_name = {row["mutant"]: row["by"] for row in old[1:] if row["by"] or same_tests}
        rows = [self._prints, *({"mutant": name, "by": by} for name, by in self.by_name.items())]
        self._path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    def add(self, name: str, by: str) -> None:
        self.by_name[name] = by
        with self._path.open("a") as file:
            file.write(f"{json.dumps({'mutant': name, 'by': by})}\n")


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


class Run:
    """One module's mutants, one after the other."""

    def __init__(self, module: str, mutants: list[Mutant], results: Results) -> None:
        self._module, self._mutants, self._results = module, mutants, results
        self._kills: Counter[tuple[str, str]] = Counter()
        self._reaches: dict[Suite, Reach] = {}

    def run(self) -> None:
        """Try the module's own tests and the wider ones in the fast way, and what survives by the import."""
        left = [mutant for mutant in self._mutants if mutant.name not in self._results.by_name]
        suites = [files for files in suite_of(self._module) if files]
        for files in suites if left else []:
            self._reach(files)
        for way in (self._by_swap, self._by_import):
            for files in suites:
                left = way(left, files) if left else []
        for mutant in left:
            self._results.add(mutant.name, "")

    def _by_swap(self, mutants: list[Mutant], files: Suite) -> list[Mutant]:
        reach = self._reach(files)
        collected = Collected(self._module, mutants, files)
        numbers = {mutant.name: number for number, mutant in enumerate(mutants)}

        def killer(mutant: Mutant) -> str:
            tests = self._tests(mutant, reach)
            return collected.killer_of(numbers[mutant.name], tests) if tests and mutant.lines else ""

        left = self._over(mutants, killer)
        collected.close()
        return left

    def _by_import(self, mutants: list[Mutant], files: Suite) -> list[Mutant]:
        reach = self._reach(files)

        def killer(mutant: Mutant) -> str:
            tests = self._tests(mutant, reach)
            return killer_of(self._module, mutant, files, tests) if tests else ""

        return self._over(mutants, killer)

    def _over(self, mutants: list[Mutant], killer: Callable[[Mutant], str]) -> list[Mutant]:
        """Note what is killed; return what survives."""
        survivors = []
        for number, mutant in enumerate(mutants):
            if by := killer(mutant):
                self._kills[mutant.scope, by] += 1
                self._results.add(mutant.name, by)
            else:
                survivors.append(mutant)
            if not (number + 1) % 50:
                print(f"{self._module}: {number + 1} of {len(mutants)}", file=sys.stderr, flush=True)
        return survivors

    def _reach(self, files: Suite) -> Reach:
        if files not in self._reaches:
            self._reaches[files] = reach_of(self._module, files)
            preload(self._reaches[files].modules)
        return self._reaches[files]

    def _tests(self, mutant: Mutant, reach: Reach) -> dict[str, float]:
        """The tests that reach it: what has killed a neighbour comes first, then what is fast.

        Where no test at all does, another process of one may: then they are all tests.
        """
        found = reach.of(mutant.lines)
        if not found and not any(other.of(mutant.lines) for other in self._reaches.values()):
            found = reach.of(None)
        order = sorted(found, key=lambda name: (-self._kills[mutant.scope, name], found[name]))
        return {name: found[name] for name in order}


@dataclass
class Tally:
    """What came of one module."""

    module: str
    mutants: list[Mutant]
    results: Results
    whole: bool

    def __post_init__(self) -> None:
        by_name = self.results.by_name
        ran = [mutant.name for mutant in self.mutants if mutant.name in by_name]
        self.total, self.not_run = len(ran), len(self.mutants) - len(ran)
        self.survivors = [name for name in ran if not by_name[name]]
        self.timed_out = sum(by_name[name] == _TIME_OUT for name in ran)
        self.killed = self.total - len(self.survivors) - self.timed_out
        listed = justified(self.module)
        self.unlisted = [name for name in self.survivors if name not in listed]
        names = {mutant.name for mutant in self.mutants}
        self.gone = [name for name in listed if name not in names] if self.whole else []
        self.not_surviving = [name for name in listed if by_name.get(name)]

    @property
    def score(self) -> float:
        return 100.0 * (self.killed + self.timed_out) / (self.total or 1)

    def tell(self) -> None:
        for name in self.unlisted:
            print(f"{self.module}: survived: {name}")
        for name in self.gone:
            print(f"{self.module}: in survivors.toml, and no mutant: {name}")
        for name in self.not_surviving:
            print(f"{self.module}: in survivors.toml, and killed by {self.results.by_name[name]}: {name}")

    @property
    def is_good(self) -> bool:
        return not (self.not_run or self.unlisted or self.gone or self.not_surviving)


def justified(module: str) -> dict[str, str]:
    """Return a module's survivors that no test should kill, each with the reason."""
    entries = tomllib.loads(_JUSTIFIED.read_text()).get(module, [])
    return {mutant: entry["reason"] for entry in entries for mutant in entry["mutants"]}


def _table(tallies: list[Tally]) -> int:
    print(
        "| module | mutants | killed | timed out | survived | of these justified | not run yet | score of those run |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    sums = [0, 0, 0, 0, 0, 0]
    for tally in tallies:
        survived = len(tally.survivors)
        row = [tally.total, tally.killed, tally.timed_out, survived, survived - len(tally.unlisted), tally.not_run]
        sums = [one + other for one, other in zip(sums, row, strict=True)]
        print(f"| {tally.module} | {' | '.join(map(str, row))} | {tally.score:.1f} % |")
    score = 100.0 * (sums[1] + sums[2]) / (sums[0] or 1)
    print(f"| all | {' | '.join(map(str, sums))} | {score:.1f} % |")
    return 0 if score >= _WANTED and all(tally.is_good for tally in tallies) else 1


if __name__ == "__main__":
    sys.exit(main())
