"""A node of a syntax tree -> every way to change it a little."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["Change", "Place", "changes", "copied", "short"]

_OTHER_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OTHER_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_OTHER_FUNCTIONS = {"any": "all", "all": "any", "min": "max", "max": "min"}
_OTHER_METHODS = {
    "endswith": "startswith",
    "fullmatch": "match",
    "lower": "upper",
    "lstrip": "rstrip",
    "partition": "rpartition",
    "removeprefix": "removesuffix",
    "removesuffix": "removeprefix",
    "rpartition": "partition",
    "rstrip": "lstrip",
    "search": "match",
    "startswith": "endswith",
    "strip": "lstrip",
    "union": "intersection",
    "upper": "lower",
}
_OTHER_TEXT = "XX"
_ORDERS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)

_Node = TypeVar("_Node", bound=ast.AST)


@dataclass(frozen=True)
class Place:
    """A node that may be changed, with what is around it."""

    node: ast.AST
    scope: str
    statement: ast.stmt
    at_import: bool
    decides: bool = False
    """It is the whole condition of something, which is made true and false besides."""


# Before and after, as they are shown, and the node after
Change = tuple[str, str, ast.AST]


def changes(place: Place) -> Iterator[Change]:
    """Every way to change one node."""
    node = place.node
    if isinstance(node, ast.stmt):
        yield from _statement_changes(node)
    elif isinstance(node, ast.comprehension):
        for number, condition in enumerate(node.ifs):
            others = node.ifs[:number] + node.ifs[number + 1 :]
            yield _set(node, "ifs", others, ast.unparse(condition), "no condition")
    elif isinstance(node, ast.ExceptHandler):
        yield from _handler_changes(node)
    elif isinstance(node, ast.match_case):
        yield _set(node, "guard", ast.Constant(value=False), f"case {ast.unparse(node.pattern)}", "no such case")
    elif isinstance(node, ast.Constant):
        yield from _constant_changes(node)
    elif isinstance(node, ast.JoinedStr):
        yield from _f_string_changes(node)
    elif isinstance(node, (ast.Tuple, ast.List, ast.Set, ast.Dict)):
        if place.at_import:
            yield from _collection_changes(node)
    else:
        yield from _logic_changes(node, decides=place.decides)
        yield from _value_changes(node)


def _statement_changes(node: ast.stmt) -> Iterator[Change]:
    match node:
        case ast.Expr(value=ast.Call() | ast.Await() | ast.Yield() | ast.YieldFrom()) | ast.Raise() | ast.Delete():
            yield "the statement", "nothing", ast.Pass()
        case ast.AugAssign() | ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield "the statement", "nothing", ast.Pass()
        case ast.Break():
            yield "break", "continue", ast.Continue()
        case ast.Continue():
            yield "continue", "nothing", ast.Pass()
        case ast.Return(value=ast.expr() as told) if not isinstance(told, ast.Constant):
            yield _set(node, "value", ast.Constant(value=None), "the value", "None")
        case ast.If() | ast.While():
            for value in (True, False) if isinstance(node, ast.If) else (False,):
                yield _set(node, "test", ast.Constant(value=value), "the condition", str(value))
        case ast.Assert():
            yield "the statement", "nothing", ast.Pass()


def _handler_changes(node: ast.ExceptHandler) -> Iterator[Change]:
    if isinstance(node.type, ast.Tuple):
        for number, kind in enumerate(node.type.elts):
            others = node.type.elts[:number] + node.type.elts[number + 1 :]
            yield _set(
                node, "type", ast.Tuple(elts=others, ctx=ast.Load()), f"except {ast.unparse(kind)}", "not caught"
            )
    elif node.type is not None:
        kinds = ast.Tuple(elts=[], ctx=ast.Load())
        yield _set(node, "type", kinds, f"except {ast.unparse(node.type)}", "not caught")


def _constant_changes(node: ast.Constant) -> Iterator[Change]:
    value: Any = node.value
    other: Any
    if value is Ellipsis:
        return
    if isinstance(value, bool):
        other = not value
    elif value is None:
        other = _OTHER_TEXT
    elif isinstance(value, (int, float)):
        other = value + 1
    elif isinstance(value, str):
        other = value[:-1] if len(value) > 1 and " " not in value.strip() else _OTHER_TEXT
    else:
        other = value[:-1] if len(value) > 1 else _OTHER_TEXT.encode()
    yield _set(node, "value", other, repr(value), repr(other))


def _f_string_changes(node: ast.JoinedStr) -> Iterator[Change]:
    texts = [ast.Constant(value=_OTHER_TEXT) if isinstance(part, ast.Constant) else part for part in node.values]
    if any(isinstance(part, ast.Constant) for part in node.values):
        yield _set(node, "values", texts, "its text", repr(_OTHER_TEXT))
    for number, part in enumerate(node.values):
        if isinstance(part, ast.FormattedValue):
            without = [*node.values[:number], ast.Constant(value=_OTHER_TEXT), *node.values[number + 1 :]]
            yield _set(node, "values", without, f"{{{ast.unparse(part.value)}}}", repr(_OTHER_TEXT))


def _collection_changes(node: ast.Tuple | ast.List | ast.Set | ast.Dict) -> Iterator[Change]:
    """Leave out one element of a table."""
    if isinstance(node, ast.Dict):
        for number, key in enumerate(node.keys):
            keys = node.keys[:number] + node.keys[number + 1 :]
            values = node.values[:number] + node.values[number + 1 :]
            shown = "**" if key is None else ast.unparse(key)
            yield _set(node, "keys", keys, f"the member {shown}", "nothing", values=values)
        return
    if isinstance(node, (ast.Tuple, ast.List)) and not isinstance(node.ctx, ast.Load):
        return
    for number, element in enumerate(node.elts):
        others: list[ast.expr] = node.elts[:number] + node.elts[number + 1 :]
        if not others and isinstance(node, ast.Set):
            others = [ast.Starred(value=ast.Tuple(elts=[], ctx=ast.Load()), ctx=ast.Load())]
        yield _set(node, "elts", others, f"the element {short(ast.unparse(element))}", "nothing")


def _logic_changes(node: ast.AST, *, decides: bool) -> Iterator[Change]:
    match node:
        case ast.Compare(ops=operators):
            for number, operator in enumerate(operators):
                if decides and len(operators) == 1 and not isinstance(operator, _ORDERS):
                    continue  # always true and always false are harder to notice
                others = [*operators[:number], _OTHER_COMPARISONS[type(operator)](), *operators[number + 1 :]]
                yield _set(node, "ops", others, _sign(operator), _sign(others[number]))
        case ast.BoolOp(op=operator, values=values):
            other = ast.Or() if isinstance(operator, ast.And) else ast.And()
            yield _set(node, "op", other, _sign(operator), _sign(other))
            for number, value in enumerate(values):
                kept = values[:number] + values[number + 1 :]
                after = ast.BoolOp(op=operator, values=kept) if len(kept) > 1 else kept[0]
                yield f"the operand {short(ast.unparse(value))}", "nothing", after
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert(), operand=operand) if not decides:
            yield _sign(node.op), "nothing", operand
        case ast.IfExp():
            for truth in (True, False):
                yield _set(node, "test", ast.Constant(value=truth), short(ast.unparse(node.test)), str(truth))


def _value_changes(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.BinOp(op=operator) if type(operator) in _OTHER_OPERATORS:
            another = _OTHER_OPERATORS[type(operator)]()
            yield _set(node, "op", another, _sign(operator), _sign(another))
        case ast.Slice():
            for part in ("lower", "upper", "step"):
                if getattr(node, part) is not None:
                    yield _set(node, part, None, f"[{ast.unparse(node)}]", f"no {part}")
        case ast.Name(id=name) if name in _OTHER_FUNCTIONS:
            yield _set(node, "id", _OTHER_FUNCTIONS[name], name, _OTHER_FUNCTIONS[name])
        case ast.Attribute(attr=name, ctx=ast.Load()) if name in _OTHER_METHODS:
            yield _set(node, "attr", _OTHER_METHODS[name], f".{name}", f".{_OTHER_METHODS[name]}")


def _set(node: ast.AST, field: str, value: object, before: str, after: str, **more: object) -> Change:
    return before, after, copied(node, **{field: value}, **more)


def _sign(node: ast.AST) -> str:
    return type(node).__name__


def copied(node: _Node, **fields: object) -> _Node:
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def short(text: str, most: int = 50) -> str:
    return text if len(text) <= most else text[: most - 2] + " …"
