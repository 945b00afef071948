"""What lives in a process is told in its children that they are children, for as long as it lives."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from jwt_asgi._keys.forks import call_after_fork

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork"),
    # since Python 3.12; the child ends at once
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]


class Instance:
    """It writes its name and the process that it was told in."""

    def __init__(self, name: str, writing: int) -> None:
        self._name, self._writing = name, writing
        call_after_fork(self)

    def after_fork(self) -> None:
        os.write(self._writing, f"{self._name}:{os.getpid()} ".encode())


Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def told_in_a_child(pipe: Pipe) -> tuple[int, list[str]]:
    """A child, and what was written by its end."""
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    os.write(pipe[1], b".")
    return child, os.read(pipe[0], 1 << 16).decode().rstrip(".").split()


def test_each_instance_is_told_in_each_child_and_never_in_the_parent(pipe: Pipe) -> None:
    instances = [Instance(name, pipe[1]) for name in "ab"]
    for _ in range(2):
        child, told = told_in_a_child(pipe)
        assert sorted(told) == [f"a:{child}", f"b:{child}"]
    assert len(instances) == 2


def test_what_is_gone_is_not_told(pipe: Pipe) -> None:
    kept = Instance("kept", pipe[1])
    Instance("gone", pipe[1])
    child, told = told_in_a_child(pipe)
    assert told == [f"kept:{child}"]
    del kept
    assert told_in_a_child(pipe)[1] == []
