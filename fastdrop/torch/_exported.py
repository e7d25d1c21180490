"""Exports of modules by `torch.export`: where inputs have their rows, and what went wrong."""

from __future__ import annotations

import os
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count, islice
from itertools import product as choices
from typing import Any

import torch
from torch import nn
from torch.export import Dim

from fastdrop.formats._lengths import Length, Open
from fastdrop.torch._called import Called, Example, training
from fastdrop.torch._tracing import shapes_alone

# Where inputs may have their rows: how many ways are looked at, and how many tried.
_MOST_PLACEMENTS, _TRIED = 1 << 12, 16
EVERY, NONE = slice(None), slice(0)  # axes of an open length


class Failed(Exception):  # noqa: N818 - it never leaves from_torch
    """A placement of the batch that leads to obstacles; `rank` says how near it came."""

    def __init__(self, obstacles: list[str], rank: float, *, misplaced: bool = False) -> None:
        super().__init__(obstacles)
        self.obstacles = obstacles
        self.rank = rank
        self.misplaced = misplaced


def placements(tensors: Sequence[torch.Tensor]) -> Iterator[tuple[int, ...]]:
    """Yield on which axis each input may have the batch: the first, or the second of some.

    As many rows everywhere come before one in some place and more in others.
    """
    options = [(0, 1) if tensor.ndim > 1 else (0,) for tensor in tensors]
    found = []
    for axes in islice(choices(*options), _MOST_PLACEMENTS):
        lengths = {t.shape[at] for t, at in zip(tensors, axes, strict=True)}
        if len(lengths - {1}) <= 1:
            found.append((len(lengths), sum(axes), axes))
    yield from (axes for _, _, axes in sorted(found)[:_TRIED])


def takes_time_first(module: nn.Module) -> bool:
    """Whether some part has the batch on the second axis."""
    kinds = (nn.RNNBase, nn.MultiheadAttention, nn.RNNCellBase)
    return any(
        isinstance(part, kinds) and not getattr(part, "batch_first", False)
        for part in module.modules()
    )


def of_one_row(module: nn.Module, tensors: Sequence[torch.Tensor]) -> list[tuple[int, ...]]:
    """Return where inputs have their batch if the module takes one row: -1 is for no axis.

    Recurrent layers have one for states, and what is given of them as well.
    """
    if not any(isinstance(part, (nn.RNNBase, nn.RNNCellBase)) for part in module.modules()):
        return []
    states = [tensor.ndim > 2 and tensor.shape[1] == 1 for tensor in tensors]
    return [] if all(states) else [tuple(1 if state else -1 for state in states)]


def exported(
    module: nn.Module,
    example: Example,
    axes: Sequence[int],
    *,
    free: slice,
    fixed: bool,
    trains: bool = True,
) -> tuple[torch.export.ExportedProgram, dict[tuple[int, int], str]]:
    """Export a module, with the lengths left open of which axes beside that of the rows.

    The number of rows is open, too, if it is not fixed to that of the example. The export may fix
    others: inputs and axes are returned, with a trace of where it did.
    """
    shapes, given = [], []
    rows = _number_of_rows(module, example.tensors)
    for tensor, at in zip(example.tensors, axes, strict=True):
        others = [i for i in range(tensor.ndim) if i != at]
        if fixed or at < 0:
            given.append(tensor.detach())
            left_open = others[free]
        else:
            numbers = torch.arange(rows) % max(tensor.shape[at], 1)
            given.append(tensor.detach().index_select(at, numbers))
            left_open = [at, *others[free]]
        shapes.append([Dim.AUTO if i in left_open else Dim.STATIC for i in range(tensor.ndim)])
    with (
        torch.no_grad(),
        training(module, on=trains),
        warnings.catch_warnings(),
        shapes_alone(module) as closed,
        _quiet(),
    ):
        warnings.simplefilter("ignore")
        called = Called(module, example)
        dynamic = {"tensors": tuple(shapes)}
        return torch.export.export(called, tuple(given), dynamic_shapes=dynamic), closed


def _number_of_rows(module: nn.Module, tensors: Sequence[torch.Tensor]) -> int:
    """Return a number of rows that is the length of nothing else, to be known wherever it is."""
    weights = (*module.parameters(), *module.buffers())
    taken = {n for tensor in (*tensors, *weights) for n in tensor.shape}
    return next(n for n in count(13, 2) if n not in taken)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what export logs and prints in this thread to itself: what it raises says all.

    Other loggers than PyTorch's, and other threads, are left alone. One thread at a time is here.
    """
    import logging

    from torch.export import _trace

    own = threading.get_ident()

    def passes(record: logging.LogRecord) -> bool:
        return record.levelno < logging.WARNING or threading.get_ident() != own

    def said(*texts: object, **options: Any) -> None:
        if threading.get_ident() != own:
            print(*texts, **options)

    names = [name for name in [*logging.root.manager.loggerDict] if name.startswith("torch")]
    loggers = [logging.getLogger(name) for name in names]
    for logger in loggers:
        logger.addFilter(passes)
    vars(_trace)["print"] = said  # by which it shows the graph of what fails
    try:
        yield
    finally:
        del vars(_trace)["print"]
        for logger in loggers:
            logger.removeFilter(passes)


def single_axes(program: torch.export.ExportedProgram, axes: Sequence[int]) -> list[slice]:
    """Return each axis beside that of the rows that is open, where there are several.

    Of sequences (steps, features) it is that of the steps alone.
    """
    names = program.graph_signature.user_inputs
    shapes = [n.meta["val"].shape for n in program.graph.nodes if n.name in names]
    found: list[int] = []
    for shape, at in zip(shapes, axes, strict=True):
        lengths = [length_of(n) for i, n in enumerate(shape) if i != at]
        places = [i for i, n in enumerate(lengths) if not isinstance(n, int)]
        found = max(found, places if len(lengths) > 2 else places[: len(places) - 1], key=len)
    return [slice(i, i + 1) for i in found]


def why_not_exported(error: Exception) -> str:
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

    line = line_of("".join(traceback.format_tb(error.__traceback__)))
    at = f" ({line})" if line else ""
    if not isinstance(error, GuardOnDataDependentSymNode):
        return f"torch.export refuses it: {first_line(error)}{at}"
    return (
        "torch.export refuses it: the module asks for a number of a tensor (.item(), int(), if), "
        "which may be another for each row and sample; compute with the tensor itself, as "
        "torch.where(condition, a, b); the most steps of all rows, lengths.max(), are x.size(1) "
        "here; layers are left out by chance by torch.where(keep, "
        f"layer(x), x) with keep = F.dropout(torch.ones(()), rate, self.training) > 0{at}"
    )


def first_line(error: BaseException) -> str:
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text}"[:300]


def line_of(trace: str) -> str:
    """Return the last line of a trace that is the user's."""
    ours = [os.path.dirname(os.path.abspath(path)) for path in (torch.__file__, __file__)]
    lines = trace.split("\n")
    found = ""
    for place, code in zip(lines, [*lines[1:], ""], strict=True):
        place = place.strip()
        if place.startswith('File "') and not any(map(place.count, ours)):
            path, _, rest = place.removeprefix('File "').partition('"')
            number = rest.removeprefix(", line ").partition(",")[0]
            found = f"{os.path.basename(path)}:{number}: {code.strip()}"
    return found


def length_of(length: Any, same: Mapping[str, str] = {}) -> Length:
    if isinstance(length, torch.SymInt):
        fixed, name = length.node.maybe_as_int(), str(length)
        return Open.named(same.get(name, name)) if fixed is None else int(fixed)
    return int(length)
