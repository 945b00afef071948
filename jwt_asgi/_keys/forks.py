"""What a process does after a fork: locks and tasks of the parent are of no use in the child."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet

__all__ = ["call_after_fork"]


class _Forked(Protocol):
    def after_fork(self) -> None:
        """Begin anew in the child."""
        ...


_instances: WeakSet[_Forked] = WeakSet()


def call_after_fork(instance: _Forked) -> None:
    """Have `instance.after_fork()` called in each child process, for as long as the instance lives."""
    _instances.add(instance)


def _tell_all() -> None:
    for instance in list(_instances):
        instance.after_fork()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_tell_all)
