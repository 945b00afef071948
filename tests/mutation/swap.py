"""The fast way: a process that has collected the tests is forked for each mutant, and the code of functions is swapped.

It takes a tenth of the time of an import. What it cannot show, since it happened before, is shown by the import: so a
mutant that survives here is tried by the other way, too, and what is outside of every function by the other way alone.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

from tests.mutation.mutants import Mutant
from tests.mutation.runner import in_child, pytest_with, seconds_for, silence

__all__ = ["Collected"]

_Place = tuple[str, int]


class Collected:
    """A process with the tests of a module, ready to run. Close it after use."""

    def __init__(self, module: str, mutants: list[Mutant], files: tuple[str, ...]) -> None:
        self._connection, there = Pipe()
        self._process = os.fork()
        if not self._process:
            try:
                self._connection.close()
                silence()
                pytest_with(files, _Server(str(Path(module).resolve()), mutants, there))
            finally:
                os._exit(0)
        there.close()

    def killer_of(self, number: int, tests: dict[str, float]) -> str:
        """Run some tests with one of the mutants: as `runner.killer_of`; empty also where it cannot be tried here."""
        self._connection.send((number, tests))
        return str(self._connection.recv())

    def close(self) -> None:
        self._connection.close()
        with suppress(ProcessLookupError):
            os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)


class _Server:
    """A plugin for pytest that forks for each mutant instead of running the tests."""

    def __init__(self, path: str, mutants: list[Mutant], connection: Connection[Any, Any]) -> None:
        self._path, self._mutants, self._connection = path, mutants, connection
        self._functions: list[FunctionType] = []
        self._failed = False

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        gc.collect()
        self._functions = [thing for thing in gc.get_objects() if type(thing) is FunctionType and self._is_ours(thing)]
        gc.freeze()
        with suppress(EOFError):
            while True:
                number, tests = self._connection.recv()
                code = compile(self._mutants[number].module(), self._path, "exec", dont_inherit=True)
                chosen = [items[name] for name in tests]
                outcome = in_child(partial(self._run, code, chosen), seconds_for(tests))
                self._connection.send("the process" if outcome is None else outcome)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed = self._failed or report.failed

    def _run(self, code: CodeType, items: list[pytest.Item]) -> str:
        if not self._swap(code):
            return ""
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failed:
                return item.nodeid
        return ""

    def _is_ours(self, function: FunctionType) -> bool:
        return function.__code__.co_filename == self._path

    def _swap(self, code: CodeType) -> bool:
        """Give every function of the module the code that it has now; False where one cannot have it."""
        codes = dict(_codes(code))
        try:
            for function in self._functions:
                function.__code__ = codes[function.__code__.co_qualname, function.__code__.co_firstlineno]
        except (KeyError, ValueError):
            return False
        return True


def _codes(code: CodeType) -> Iterator[tuple[_Place, CodeType]]:
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield (part.co_qualname, part.co_firstlineno), part
            yield from _codes(part)
