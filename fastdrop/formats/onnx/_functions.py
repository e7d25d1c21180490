"""Functions that a file of ONNX defines: their nodes are put in place of every call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from fastdrop.formats._errors import ModelFormatError, malformed, show
from fastdrop.formats._limits import Limits
from fastdrop.formats.onnx._records import STANDARD

_DEEPEST = 32  # of functions that call functions, and of graphs within nodes

Name = tuple[str, str, str]


class _Size(NamedTuple):
    """What a function comes to with all that it calls."""

    nodes: int
    bytes: int


def inlined(model: Any, limits: Limits, most: int) -> Any:
    """Return a parsed ``ModelProto`` without functions of its own.

    `onnx.inliner` does it, once it is known what comes of it: a few functions that call one
    another twice grow without measure, and one that calls itself never ends.

    Raises
    ------
    ModelFormatError
        There are more than `most` nodes then, or more bytes than allowed, or no end; or functions
        are of another version of the operators than the graph, or take what they were not given.
    """
    from onnx import inliner

    functions = {(f.domain, f.name, f.overload): f for f in model.functions}
    if len(functions) != len(model.functions):
        raise ModelFormatError("two functions of one name")
    opset = _opset(model)
    for function in model.functions:
        _check(function, opset)
    sizes: dict[Name, _Size] = {}
    whole = _size(model.graph.node, functions, sizes, ())
    if whole.nodes > most:
        raise ModelFormatError(
            f"more than {most} nodes once functions are put in place of their calls; raise "
            "max_layers if it is so large a model"
        )
    if whole.bytes > limits.max_tensor_bytes:
        raise ModelFormatError(
            f"functions, put in place of their calls, take {whole.bytes} bytes, max_tensor_bytes "
            f"is {limits.max_tensor_bytes}"
        )
    with malformed("the file"):
        return inliner.inline_local_functions(model)


def _opset(of: Any) -> set[int]:
    return {int(o.version) for o in of.opset_import if o.domain in STANDARD}


def _check(function: Any, opset: set[int]) -> None:
    where = f"function {show(function.name)}"
    if function.domain in STANDARD:
        raise ModelFormatError(f"{where}: it has the domain of the operators of ONNX")
    own = _opset(function)
    if not own <= opset:
        raise ModelFormatError(
            f"{where}: it is of opset {min(own)}, the graph is of opset {min(opset, default=0)}"
        )
    known = {"", *function.input}
    for node in function.node:
        _check_known(node.input, known, where)
        known.update(node.output)
    _check_known(function.output, known, where)


def _check_known(names: Iterable[str], known: set[str], where: str) -> None:
    for name in names:
        if name not in known:
            raise ModelFormatError(f"{where}: no tensor is called {show(name)}")


def _size(
    nodes: Any, functions: dict[Name, Any], sizes: dict[Name, _Size], callers: tuple[Name, ...]
) -> _Size:
    """Return how many nodes and bytes come of nodes of which some call functions."""
    count = size = 0
    for node in _with_inner(nodes, 0):
        name = (node.domain, node.op_type, node.overload)
        called = functions.get(name)
        if called is None:
            count += 1
            continue
        where = f"function {show(name[1])}"
        if name in callers or len(callers) == _DEEPEST:
            raise ModelFormatError(
                f"{where}: it calls itself, or functions more than {_DEEPEST} deep"
            )
        if len(node.input) > len(called.input) or len(node.output) > len(called.output):
            raise ModelFormatError(
                f"{where}: a call of {len(node.input)} inputs and {len(node.output)} outputs, it "
                f"has {len(called.input)} and {len(called.output)}"
            )
        if name not in sizes:
            inner = _size(called.node, functions, sizes, (*callers, name))
            sizes[name] = _Size(inner.nodes, inner.bytes + called.ByteSize())
        count += sizes[name].nodes
        size += sizes[name].bytes
    return _Size(count, size)


def _with_inner(nodes: Any, depth: int) -> Iterator[Any]:
    """Yield nodes, and those of the graphs in them."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs) if depth < _DEEPEST else ():
                yield from _with_inner(graph.node, depth + 1)
