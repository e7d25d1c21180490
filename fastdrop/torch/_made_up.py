"""Inputs like those of an example: of other lengths, and of other numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import torch

from fastdrop.formats._lengths import Open
from fastdrop.torch._called import Called, put_out
from fastdrop.torch._exported import length_of

# To how many steps inputs are made up that are longer than the example.
_LONG = 256
# How many tables are tried for numbers that may be looked up in them.
_MOST_TABLES = 8


def made_up_inputs(
    program: torch.export.ExportedProgram,
    tensors: Sequence[torch.Tensor],
    tops: Sequence[int | None],
) -> Iterator[list[torch.Tensor]]:
    """Yield inputs beside the example: of other lengths where these are open, and other numbers.

    A module that does something else in training mode may not do so for the example.
    """
    longer, shorter = (_shapes(program, tensors, change) for change in (longer_than, _shorter))
    same = [[*tensor.shape] for tensor in tensors]
    chance = torch.Generator().manual_seed(0)
    for shapes, how in (
        (longer, 1.0),
        (shorter, 10.0),
        (same, 1000.0),
        (same, 0.0),
        (longer, None),
        (shorter, None),
    ):
        yield _of_shapes(tensors, shapes, how, tops, chance)


def of_one_step(
    program: torch.export.ExportedProgram,
    tensors: Sequence[torch.Tensor],
    tops: Sequence[int | None],
    axes: Sequence[int],
) -> list[torch.Tensor]:
    """Return inputs of as many rows, and length 1 where lengths are open.

    An export takes all that are open for longer.
    """
    shapes = _shapes(program, tensors, lambda length: 1)
    for shape, tensor, at in zip(shapes, tensors, axes, strict=True):
        if at >= 0:
            shape[at] = tensor.shape[at]
    chance = torch.Generator().manual_seed(0)
    return _of_shapes(tensors, shapes, 1.0, tops, chance)


def of_other_lengths(tensors: Sequence[torch.Tensor], axes: Sequence[int]) -> list[torch.Tensor]:
    """Return rows the other way round, and lengths of which there is one alone made different."""
    found = []
    for tensor, at in zip(tensors, axes, strict=True):
        other = tensor.detach()
        if other.ndim == 1 and not other.is_floating_point() and len(other.unique()) == 1:
            other = (other - torch.arange(len(other))).clamp(min=1)
        found.append(other.flip(at))
    return found


def tops_of(called: Called, tensors: Sequence[torch.Tensor]) -> list[int | None]:
    """Return below which number those of each input may be, if they are whole and of a table.

    One number a row that is no larger than there are steps may be how many the row has.
    """
    longest = max(n for tensor in tensors for n in tensor.shape)
    tables = {len(p) for p in called.module.parameters() if p.ndim == 2}
    sizes = sorted(tables, reverse=True)[:_MOST_TABLES]
    found: list[int | None] = []
    for place, tensor in enumerate(tensors):
        whole = tensor.dtype in (torch.int32, torch.int64)
        found.append(None)
        for size in sizes if whole and tensor.numel() else []:
            if tensor.ndim == 1 and size <= longest + 1:
                break
            others = [torch.full_like(t, size - 1) if t is tensor else t for t in tensors]
            with suppress(Exception), warnings.catch_warnings():  # it is not of that table
                warnings.simplefilter("ignore")
                put_out(called, others)
                found[place] = size
                break
    return found


def _shapes(
    program: torch.export.ExportedProgram,
    tensors: Sequence[torch.Tensor],
    change: Callable[[int], int],
) -> list[list[int]]:
    """Return the shapes of inputs with what is open made longer or shorter."""
    names = program.graph_signature.user_inputs
    told = [n.meta["val"].shape for n in program.graph.nodes if n.name in names]
    return [
        [
            change(n) if isinstance(length_of(m), Open) else n
            for n, m in zip(t.shape, some, strict=True)
        ]
        for t, some in zip(tensors, told, strict=True)
    ]


def longer_than(length: int) -> int:
    """Return more than a length; of a long one little, for attention goes by its square."""
    return max(length + 1, min(3 * length + 7, _LONG))


def _shorter(length: int) -> int:
    return max(2, length // 2)


def _of_shapes(
    tensors: Sequence[torch.Tensor],
    shapes: Sequence[Sequence[int]],
    how: float | None,
    tops: Sequence[int | None],
    chance: torch.Generator,
) -> list[torch.Tensor]:
    """Return inputs like those of an example, of other shapes and numbers."""
    made = [
        filled_like(tensor, shape, how, top, chance)
        for tensor, shape, top in zip(tensors, shapes, tops, strict=True)
    ]
    return [
        now if top is not None else _lengths_within(now, given, tensors, made, chance)
        for now, given, top in zip(made, tensors, tops, strict=True)
    ]


def filled_like(
    tensor: torch.Tensor,
    shape: Sequence[int],
    scale: float | None,
    top: int | None,
    chance: torch.Generator,
) -> torch.Tensor:
    """Return numbers like those of an example, so many times as large; None is for the same ones.

    Of a scale of 0 some are zeros.
    """
    given = tensor.detach().reshape(-1)
    places = torch.randint(len(given), tuple(shape), generator=chance)
    if scale is None or (top is None and not tensor.is_floating_point()):
        return given[places]
    if top is not None:
        found = torch.randint(top, tuple(shape), generator=chance)
    else:
        found = torch.randn(tuple(shape), generator=chance) * (scale or 1.0)
    if scale == 0:
        zeros = torch.rand((*shape[:2], *[1] * len(shape[2:])), generator=chance) < 0.5
        found = found.masked_fill(zeros, 0)
    return found.to(tensor.dtype)


def _lengths_within(
    lengths: torch.Tensor,
    given: torch.Tensor,
    tensors: Sequence[torch.Tensor],
    made: Sequence[torch.Tensor],
    chance: torch.Generator,
) -> torch.Tensor:
    """Return whole numbers, one a row, that are no larger than there are steps if they were not.

    One is all steps, and they are in order, if it is so in the example.
    """
    if given.ndim != 1 or given.dtype not in (torch.int32, torch.int64):
        return lengths
    longest = int(given.max())
    both = (zip(t.shape, now.shape, strict=True) for t, now in zip(tensors, made, strict=True))
    was, steps = min((p for pairs in both for p in pairs if p[0] >= longest), default=(0, 0))
    if was != longest:
        return lengths.clamp(max=steps) if was else lengths
    found = torch.randint(1, steps + 1, lengths.shape, generator=chance)
    found[-1] = steps
    if bool((given.diff() <= 0).all()):
        found = found.sort(descending=True).values
    return found.to(lengths.dtype)


def moved_a_little(tensor: torch.Tensor) -> torch.Tensor:
    """Return numbers next to some, so that none are equal that are so by chance."""
    if not tensor.is_floating_point():
        return tensor
    size = tensor.abs().max().clamp(min=1.0) if tensor.numel() else 1.0
    return tensor + 1e-6 * size * torch.randn(tensor.shape)
