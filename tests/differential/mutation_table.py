"""Every mutation there is, in the order of their names."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from tests.differential.draft import Deck, Draft, Must, Mutation, Stage

_TABLE: dict[str, Mutation] = {}


def mutation(
    stage: Stage, must: Must = "open", weight: int = 5
) -> Callable[[Callable[[Draft], None]], Callable[[Draft], None]]:
    """Enter a function, whose name says what it does to a token."""

    def enter(apply: Callable[[Draft], None]) -> Callable[[Draft], None]:
        name = apply.__name__.strip("_").replace("_", " ")
        if name in _TABLE:
            raise ValueError(f"two mutations are called {name}")
        _TABLE[name] = Mutation(name, stage, must, apply, weight)
        return apply

    return enter


def table(*modules: ModuleType) -> Deck:
    """What these modules have entered."""
    names = {module.__name__ for module in modules}
    return Deck(_TABLE[name] for name in sorted(_TABLE) if _TABLE[name].apply.__module__ in names)
