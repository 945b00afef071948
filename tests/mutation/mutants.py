"""A module's source -> its mutants: each is the module with one small fault, ready to be compiled."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeVar

from tests.mutation.changes import Place, changes, copied, short

__all__ = ["Mutant", "mutants_of"]

_NO_BEHAVIOUR = {"__all__", "__slots__"}

_Node = TypeVar("_Node", bound=ast.AST)


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        name: Where it is and what it changes, in words that stay the same while the statement does.
        scope: The function or class that it is in, dotted; `module` for the module itself.
        lines: The first and the last line of what a test must reach to meet it; None where that happens at import.
        statement: The statement with the fault.
    """

    name: str
    scope: str
    lines: tuple[int, int] | None
    statement: ast.stmt
    _whole: ast.Module
    _before: ast.stmt

    def module(self) -> ast.Module:
        """Return the module with the fault."""
        return ast.fix_missing_locations(_with(self._whole, self._before, self.statement))


def mutants_of(source: str) -> Iterator[Mutant]:
    """Make the mutants of a module, in order."""
    tree = ast.parse(source)
    names: Counter[str] = Counter()
    seen: set[tuple[int, str]] = set()
    unparsed = cache(ast.unparse)
    for place in _places(tree.body, "", at_import=True):
        whole = unparsed(place.statement)
        shown = short(whole.partition("\n")[0], 70)
        for before, after, other in changes(place):
            statement = _with(place.statement, place.node, ast.copy_location(other, place.node))
            written = place.statement.lineno, ast.unparse(statement)
            if written in seen or written[1] == whole:
                continue
            seen.add(written)
            # One kind of quotes, since versions of Python write f-strings with other ones
            name = f"{place.scope}: `{shown}`: {before} -> {after}".replace('"', "'")
            names[name] += 1
            if names[name] > 1:
                name += f" #{names[name]}"
            lines = None if place.at_import else _header(place.statement)
            yield Mutant(name, place.scope, lines, statement, tree, place.statement)


def _with(node: _Node, old: ast.AST, new: ast.AST) -> _Node:
    """Return a tree in which one node is another one; what does not hold it is shared."""
    if node is old:
        return new  # type: ignore[return-value]
    for field, value in ast.iter_fields(node):
        if isinstance(value, ast.AST):
            changed: Any = _with(value, old, new)
        elif isinstance(value, list):
            changed = [_with(item, old, new) if isinstance(item, ast.AST) else item for item in value]
            if all(one is other for one, other in zip(changed, value, strict=True)):
                continue
        else:
            continue
        if changed is not value:
            return copied(node, **{field: changed})
    return node


def _places(body: list[ast.stmt], scope: str, *, at_import: bool) -> Iterator[Place]:
    """Every node below some statements that may be changed."""
    for statement in body:
        if _is_left_out(statement):
            continue
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inner = f"{scope}.{statement.name}" if scope else statement.name
            outside: list[ast.expr | None] = [*statement.decorator_list]
            if not isinstance(statement, ast.ClassDef):
                outside += [*statement.args.defaults, *statement.args.kw_defaults]
            for expression in outside:
                if expression is not None:
                    yield from _expressions(Place(expression, inner, statement, at_import))
            is_class = isinstance(statement, ast.ClassDef)
            yield from _places(statement.body, inner, at_import=at_import and is_class)
            continue
        here = Place(statement, scope or "module", statement, at_import)
        yield here
        for child in _children(statement):
            decides = isinstance(statement, (ast.If, ast.While)) and child is statement.test
            yield from _expressions(replace(here, node=child, decides=decides))
            if isinstance(child, (ast.match_case, ast.ExceptHandler)):
                yield from _places(child.body, scope, at_import=at_import)
        for block in ("body", "orelse", "finalbody"):
            yield from _places(getattr(statement, block, []), scope, at_import=at_import)


def _is_left_out(statement: ast.stmt) -> bool:
    """Docstrings, imports, what is for the type checker alone, and what is no behaviour."""
    match statement:
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Global() | ast.Nonlocal():
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.FunctionDef(decorator_list=[ast.Name(id="overload")]):
            return True
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name in _NO_BEHAVIOUR
        case _:
            return False


def _children(statement: ast.stmt) -> Iterator[ast.AST]:
    """What belongs to a statement itself: not the statements below it, no annotation, and no `from None`."""
    for field, value in ast.iter_fields(statement):
        if field in {"annotation", "cause"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.withitem):
                yield child.context_expr
            elif isinstance(child, ast.AST) and not isinstance(child, ast.stmt):
                yield child


def _expressions(place: Place) -> Iterator[Place]:
    """An expression, and every one below it."""
    node = place.node
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"cast", "TypeVar"}:
        return
    if isinstance(node, (ast.expr, ast.comprehension, ast.excepthandler, ast.match_case)):
        yield place
    for child in ast.iter_child_nodes(node):
        match node, child:
            case _, ast.stmt() | ast.keyword(arg="slots"):
                continue
            case ast.Subscript(slice=part), _ if child is part and _is_type(node):
                continue
            case ast.FormattedValue(format_spec=part), _ if child is part:
                continue
            case ast.JoinedStr(), ast.Constant():
                continue  # the texts of an f-string are changed together, with it
            case ast.Compare(ops=[ast.Is() | ast.IsNot()]), ast.Constant():
                continue  # as if the condition were turned
            case ((ast.Tuple() | ast.List() | ast.Set()), ast.Constant()) if place.at_import:
                continue  # as if the element were left out
        decides = (isinstance(node, ast.IfExp) and child is node.test) or (
            isinstance(node, ast.comprehension) and child in node.ifs
        )
        yield from _expressions(replace(place, node=child, decides=decides))


def _is_type(node: ast.Subscript) -> bool:
    names = {"frozenset", "set", "dict", "list", "tuple", "type", "Callable", "ContextVar", "Future", "Task"}
    return isinstance(node.value, (ast.Name, ast.Attribute)) and ast.unparse(node.value).split(".")[-1] in names


def _header(statement: ast.stmt) -> tuple[int, int]:
    """The lines of a statement without those of the statements below it."""
    body: list[ast.AST] = getattr(statement, "body", None) or getattr(statement, "cases", None) or []
    last = statement.end_lineno or statement.lineno
    if body:
        first_below = getattr(body[0], "lineno", None) or getattr(body[0], "pattern").lineno  # noqa: B009
        last = max(statement.lineno, first_below - 1)
    return statement.lineno, last
