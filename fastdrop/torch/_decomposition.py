"""What operators that have no row are made of, as PyTorch itself says it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch._decomp import decomposition_table
from torch._guards import detect_fake_mode
from torch.fx.experimental.proxy_tensor import make_fx

from fastdrop.formats.aten import Row, find

_KEPT = ("nn_module_stack", "stack_trace")


def name_of(target: torch._ops.OpOverload) -> str:
    """Return an operator's name without its namespace, and with its overload if it has one."""
    name: str = target.name()
    return name.partition("::")[2].removesuffix(".default")


def row_of(target: torch._ops.OpOverload) -> Row | None:
    """Return the row of an operator, if it has one."""
    return find(name_of(target)) if target.namespace in ("aten", "fastdrop") else None


def decomposed(node: torch.fx.Node) -> torch.fx.Graph | None:
    """Return an operator as a graph of those that have rows, or None where that cannot be.

    It takes what the node takes, in the order of its `all_input_nodes`.
    """
    values = [given.meta.get("val") for given in node.all_input_nodes]
    target = node.target
    assert callable(target)

    def called(*given: Any) -> Any:
        value_of = dict(zip(node.all_input_nodes, given, strict=True))
        args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), value_of.__getitem__)
        return target(*args, **kwargs)

    mode = detect_fake_mode(values)
    if mode is None or mode.shape_env is None:
        return None
    told = len(mode.shape_env.guards)
    try:
        with mode, torch.no_grad():
            graph = make_fx(called, decomposition_table=_table(), tracing_mode="real")(
                *values
            ).graph
    except Exception:  # whatever a decomposition raises for what it is given
        return None
    if len(mode.shape_env.guards) > told:  # it holds for some lengths alone
        return None
    for inner in graph.nodes:
        inner.meta.update({key: node.meta[key] for key in _KEPT if key in node.meta})
        operator = isinstance(inner.target, torch._ops.OpOverload)
        if inner.op == "get_attr" or (operator and row_of(inner.target) is None):
            return None
    return graph


def computed(node: torch.fx.Node, values: Sequence[Any]) -> Any:
    """Return what an operator makes of constants, or None where it writes or is random."""
    target = node.target
    assert isinstance(target, torch._ops.OpOverload)
    if target._schema.is_mutable or torch.Tag.nondeterministic_seeded in target.tags:
        return None
    given = dict(zip(node.all_input_nodes, values, strict=True))

    def constant(inner: torch.fx.Node) -> Any:
        value, told = given[inner], inner.meta["val"]
        return torch.tensor(value, dtype=told.dtype) if isinstance(told, torch.Tensor) else value

    args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), constant)
    with torch.no_grad():
        made = target(*args, **kwargs)
    parts = made if isinstance(made, (tuple, list)) else [made]
    if not all(isinstance(part, torch.Tensor) and not part.is_complex() for part in parts):
        return None
    found = tuple(part.numpy() for part in parts)
    return found if isinstance(made, (tuple, list)) else found[0]


@cache
def _table() -> dict[Any, Any]:
    """Return the decompositions of operators that have no row."""
    return {
        op: function
        for op, function in decomposition_table.items()
        if isinstance(op, torch._ops.OpOverload) and row_of(op) is None
    }
