"""What a module asks of lengths while it is exported, for the way it goes by the answer."""

from __future__ import annotations

import ast
import inspect
import linecache
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from traceback import FrameSummary
from typing import Any

import torch
from torch._guards import detect_fake_mode

import fastdrop

# Lengths for which a condition is looked at, and of several lengths together.
_LENGTHS = (*range(2, 66), 100, 127, 128, 512, 1000, 1001)
_TOGETHER = (2, 3, 5, 8, 13, 100)
_MOST_SYMBOLS = 3
_LIBRARIES = tuple(str(Path(inspect.getfile(library)).parent) for library in (torch, fastdrop))


def other_ways(program: torch.export.ExportedProgram) -> Iterator[str]:
    """Yield the conditions of a module's own code that do not hold for all lengths that are open.

    An export goes one way, that of the example. What raises on the other way is no other way.
    """
    mode = _mode(program)
    for guard in [] if mode is None else mode.shape_env.guards:
        frame = guard.sloc.framework_loc
        if not isinstance(frame, FrameSummary) or frame.filename.startswith(_LIBRARIES):
            continue
        if not (_is_known(guard.expr) or _always(guard.expr) or _is_check(frame)):
            where = f"{Path(frame.filename).name}:{frame.lineno}"
            yield f"the module goes another way for other lengths or rows ({where}: {frame.line})"


def same_lengths(program: torch.export.ExportedProgram, rows: Sequence[Any]) -> dict[str, str]:
    """Return which open lengths are others by another name, as conditions of an export have it.

    Those of `rows` are all the number of rows, which says so much of products with it.
    """
    mode = _mode(program)
    numbers = [n.node.expr for n in rows if isinstance(n, torch.SymInt)]
    one = dict.fromkeys(numbers, numbers[0] if numbers else None)
    found: dict[str, str] = {}
    for guard in [] if mode is None else mode.shape_env.guards:
        if not guard.expr.is_Relational or guard.expr.rel_op != "==":
            continue
        left, right = (mode.shape_env.replace(side).subs(one) for side in guard.expr.args)
        pair = (left / right).as_numer_denom()
        if all(side.is_Symbol for side in pair):
            kept, other = (found.get(str(side), str(side)) for side in pair)
            found = {
                n: kept if was == other else was for n, was in (*found.items(), (other, other))
            }
    return found


def _mode(program: torch.export.ExportedProgram) -> Any:
    """Return what knows the conditions of an export, if it has any."""
    mode = detect_fake_mode([n.meta["val"] for n in program.graph.nodes if "val" in n.meta])
    return None if mode is None or mode.shape_env is None else mode


def _is_known(condition: Any) -> bool:
    """Whether a condition is that a length is one number, which leaves it open no more."""
    if not condition.is_Relational or condition.rel_op != "==":
        return False
    left, right = condition.args
    return bool(left.is_Symbol and right.is_number) or bool(right.is_Symbol and left.is_number)


def _always(condition: Any) -> bool:
    """Whether a condition holds for all lengths, but perhaps for 1."""
    symbols = sorted(condition.free_symbols, key=str)
    if len(symbols) > _MOST_SYMBOLS:
        return False
    lengths = _LENGTHS if len(symbols) == 1 else _TOGETHER
    return all(
        bool(condition.subs(dict(zip(symbols, some, strict=True))))
        for some in product(lengths, repeat=len(symbols))
    )


def _is_check(frame: FrameSummary) -> bool:
    """Whether a line asserts something, or raises where it is not so."""
    return _check_on(frame.filename, frame.lineno or 0) is not None


def what_passes(file: str, line: int) -> bool | None:
    """Return what a truth must be that a line of code checks; None if it checks no single one."""
    check = _check_on(file, line)
    if check is None:
        return None
    wanted, test = isinstance(check, ast.Assert), check.test
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        wanted, test = not wanted, test.operand
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) == wanted:
        parts = test.values  # all of which must hold, or none
    else:
        parts = [test]
    nested = any(isinstance(part, (ast.BoolOp, ast.UnaryOp, ast.IfExp)) for part in parts)
    return None if nested else wanted


def _check_on(file: str, line: int) -> ast.Assert | ast.If | None:
    """Return the assertion on a line of code, or the question behind which it raises."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) and node.handlers and _spans(node.body, line):
            return None  # what is raised may be caught
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) and _spans([node], line):
            return node
        if isinstance(node, ast.If) and _spans([node.test], line):
            return node if _only_raises(node.body) else None
    return None


def _spans(nodes: Sequence[ast.stmt | ast.expr], line: int) -> bool:
    return nodes[0].lineno <= line <= (nodes[-1].end_lineno or 0)


def _only_raises(body: Sequence[ast.stmt]) -> bool:
    """Whether statements end by raising, and cannot be left before."""
    ways_out = (ast.Return, ast.Break, ast.Continue)
    inner = (node for statement in body for node in ast.walk(statement))
    return isinstance(body[-1], ast.Raise) and not any(isinstance(n, ways_out) for n in inner)
