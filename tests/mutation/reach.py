"""Which lines of a module does each test reach, and how long does it take?"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.mutation.suites import MEASURING

__all__ = ["Reach", "Selection", "Tracer"]


@dataclass
class Reach:
    """What a run of the tests has shown.

    Attributes:
        tests: Each test with the lines that it reaches, and its seconds.
        outside: The lines that are reached outside of every test, as when parameters are made.
        modules: What was imported for it.
    """

    tests: dict[str, tuple[frozenset[int], float]] = field(default_factory=dict)
    outside: frozenset[int] = frozenset()
    modules: list[str] = field(default_factory=list)

    def of(self, lines: tuple[int, int] | None) -> dict[str, float]:
        """Return the tests that reach some lines, with their seconds; all of them where that happens at import."""
        wanted = frozenset() if lines is None else frozenset(range(lines[0], lines[1] + 1))
        everywhere = lines is None or bool(wanted & self.outside)
        return {name: spent for name, (reached, spent) in self.tests.items() if everywhere or wanted & reached}


class Tracer:
    """A plugin for pytest that writes down the lines of one file that each test reaches, in all threads."""

    def __init__(self, path: Path) -> None:
        self.reach = Reach()
        self._path = str(path)
        self._lines: set[int] = set()

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != self._path:
            return None
        self._lines.add(frame.f_lineno)
        return self._trace

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if getattr(item, "originalname", item.name) not in MEASURING]

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        self._start()
        result = yield
        self.reach.outside = self._stop()
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        began = time.perf_counter()
        self._start()
        result = yield
        self.reach.tests[item.nodeid] = self._stop(), time.perf_counter() - began
        return result

    def _start(self) -> None:
        self._lines = set()
        threading.settrace(self._trace)
        sys.settrace(self._trace)

    def _stop(self) -> frozenset[int]:
        sys.settrace(None)
        threading.settrace(None)
        return frozenset(self._lines)


class Selection:
    """A plugin for pytest that runs some tests, in an order, and writes down the first that fails."""

    def __init__(self, names: list[str]) -> None:
        self.failed = ""
        self._order = {name: number for number, name in enumerate(names)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if item.nodeid in self._order]
        items[:] = sorted(chosen, key=lambda item: self._order[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid
