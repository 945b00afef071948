"""A statement as a driver takes it: SQLAlchemy writes it once, and has no part in running it.

For what is done at each refresh, that is most of the cost: it takes longer to hand a statement over than to run it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.sql.dml import ReturningUpdate

__all__ = ["Prepared"]


class Prepared:
    """A statement, and where its parameters go.

    Attributes:
        text: What the driver is given.
    """

    __slots__ = ("_given", "_names", "text")

    def __init__(self, statement: ReturningUpdate[Any], dialect: Dialect) -> None:
        """Write it for the driver of this dialect, which takes parameters by position."""
        compiled: Any = statement.compile(dialect=dialect)
        self.text: str = compiled.string
        self._names: tuple[str, ...] = tuple(compiled.positiontup)
        self._given: Mapping[str, Any] = compiled.params

    def values(self, parameters: Mapping[str, Any]) -> list[Any]:
        """Return the parameters, and those that the statement has by itself, in their places."""
        given = {**self._given, **parameters}
        return [given[name] for name in self._names]
