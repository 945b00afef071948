"""A mutant -> killed, timed out or survived: one process for each, forked out of one that has the libraries."""

from __future__ import annotations

import gc
import importlib.abc
import importlib.machinery
import importlib.util
import os
import pickle
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest

from tests.mutation.mutants import Mutant
from tests.mutation.reach import Reach, Selection, Tracer

__all__ = ["BrokenTestsError", "in_child", "killer_of", "preload", "pytest_with", "reach_of", "seconds_for", "silence"]

_OPTIONS = (
    *("-q", "-s", "-x", "--assert=plain", "--no-header", "--tb=no", "-p", "no:cacheprovider"),
    *("-p", "anyio.pytest_plugin"),
)
_LEAST_SECONDS = 20.0
_TIMES_SLOWER = 4.0
_MOST_MEMORY = 4 << 30
_RSA_KEYS = 8


class BrokenTestsError(Exception):
    """The tests fail without any mutant."""


class _MutatedLoader(importlib.machinery.SourceFileLoader):
    """Loads a module from code at hand."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module as its mutant."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        self._name, self._path, self._code = name, path, code

    def find_spec(
        self, fullname: str, path: object, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        loader = _MutatedLoader(self._name, self._path, self._code)
        return importlib.util.spec_from_file_location(fullname, self._path, loader=loader)


def preload(modules: list[str]) -> None:
    """Import the libraries that the tests need, so that no child has to: all but the package, its tests and plugins."""
    for name in modules:
        if name.split(".")[0] not in {"jwt_asgi", "tests", "conftest"} and name not in sys.modules:
            with suppress(Exception):
                importlib.import_module(name)
    if "joserfc.jwk" in sys.modules:
        _have_keys_at_hand()
    gc.collect()
    gc.freeze()


def _have_keys_at_hand() -> None:
    """Make RSA keys once: it takes 100 ms for each, and every child would make its own. In a child no two are equal."""
    kind: Any = sys.modules["joserfc.jwk"].RSAKey
    make = kind.generate_key
    if isinstance(make, partial):
        return
    kind.generate_key = partial(_key_at_hand, make, [make(2048) for _ in range(_RSA_KEYS)])


def _key_at_hand(make: Callable[..., Any], keys: list[Any], *arguments: Any, **options: Any) -> Any:
    return keys.pop() if keys and arguments == (2048,) and not options else make(*arguments, **options)


def reach_of(module: str, files: tuple[str, ...]) -> Reach:
    """Run the tests of a module once, as it is.

    Raises:
        BrokenTestsError: one fails.
    """

    def run() -> Reach:
        tracer = Tracer(Path(module).resolve())
        if pytest_with(files, tracer):
            raise BrokenTestsError
        tracer.reach.modules = [*sys.modules]
        return tracer.reach

    reach: Reach | None = in_child(run, 600)
    if reach is None:
        raise BrokenTestsError(f"the tests of {module} fail: {' '.join(files)}")
    return reach


def killer_of(module: str, mutant: Mutant, files: tuple[str, ...], tests: dict[str, float]) -> str:
    """Run some tests with a mutant, in their order. Return the one that fails, or `time-out`; empty: it survives."""
    name = module.removesuffix(".py").replace("/", ".")
    path = str(Path(module).resolve())

    def run() -> str:
        sys.meta_path.insert(0, _Finder(name, path, compile(mutant.module(), path, "exec", dont_inherit=True)))
        selection = Selection(list(tests))
        status = pytest_with(files, selection)
        return selection.failed or ("" if status == pytest.ExitCode.OK else "the import")

    outcome = in_child(run, seconds_for(tests))
    return "the process" if outcome is None else str(outcome)


def pytest_with(files: tuple[str, ...], plugin: object) -> int:
    """Run pytest over some files with a plugin, and return its status."""
    return pytest.main([*_OPTIONS, *files], plugins=[plugin])


def seconds_for(tests: dict[str, float]) -> float:
    """Return the time-out for some tests, from the seconds that they took without a mutant."""
    return _LEAST_SECONDS + _TIMES_SLOWER * sum(tests.values())


def in_child(work: Callable[[], Any], limit: float) -> Any:
    """Run a function in a forked process. Return its result, `time-out`, or None where the process has died of it."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _child(work, writing)
    with suppress(ProcessLookupError, PermissionError):
        # It may not have come to that itself when its time is over
        os.setpgid(child, child)
    os.close(writing)
    until = time.monotonic() + limit
    told = b""
    try:
        while True:
            if not select.select([reading], [], [], max(until - time.monotonic(), 0.0))[0]:
                return "time-out"
            part = os.read(reading, 1 << 16)
            if not part:
                return pickle.loads(told) if told else None
            told += part
    finally:
        os.close(reading)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)


def silence() -> None:
    """Send this process's outputs nowhere."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)


def _child(work: Callable[[], Any], writing: int) -> None:
    """Do the work in a group of its own, with nothing on its outputs, and end without any farewell."""
    try:
        os.setpgid(0, 0)
        silence()
        os.set_inheritable(writing, False)
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
        told = pickle.dumps(work())
        while told:
            told = told[os.write(writing, told) :]
    finally:
        os._exit(0)
