"""Operators that lay out anew, cut and join."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from fastdrop.formats._lengths import BATCH, divided, product
from fastdrop.formats._networks import Networks
from fastdrop.formats._values import (
    BatchAxisError,
    Spread,
    Steps,
    Tensor,
    UnsupportedError,
    Value,
    as_array,
    counted,
)
from fastdrop.formats.aten._rows import Arguments, is_open, row


@row(
    "contiguous",
    "clone",
    "detach",
    "alias",
    "lift_fresh_copy",
    "positive",
    "type_as",
    "pin_memory",
)
def _same(b: Networks, a: Arguments) -> Any:
    return a.first()


def _permuted(b: Networks, value: Any, order: Sequence[int]) -> Any:
    """Put axes into another order, also of what is the same for each row."""
    if isinstance(value, Steps):
        axes = (counted(axis, value.ndim) + 1 for axis in order)
        return Steps.of(b.permute(value.value, [0, *axes]))
    return b.permute(value, order)


@row("transpose", "swapaxes", "swapdims")
def _transpose(b: Networks, a: Arguments) -> Any:
    value = a.values["self"]
    one, other = list(a.values.values())[1:3]
    order = list(range(value.ndim))
    order[one], order[other] = order[other], order[one]
    return _permuted(b, value, order)


@row("t", "numpy_T", "mT")
def _t(b: Networks, a: Arguments) -> Any:
    value = a.first()
    order = list(range(value.ndim))
    if value.ndim >= 2:
        order[-1], order[-2] = order[-2], order[-1]
    return _permuted(b, value, order)


@row("permute")
def _permute(b: Networks, a: Arguments) -> Any:
    return _permuted(b, a.first(), a.dims)


@row("movedim.int", "moveaxis.int")
def _movedim(b: Networks, a: Arguments) -> Any:
    value = a.first()
    source, destination = a.source % value.ndim, a.destination % value.ndim
    order = [i for i in range(value.ndim) if i != source]
    order.insert(destination, source)
    return _permuted(b, value, order)


@row("movedim.intlist", "moveaxis.intlist")
def _movedims(b: Networks, a: Arguments) -> Any:
    rank = a.first().ndim
    moved = {d % rank: s % rank for s, d in zip(a.source, a.destination, strict=True)}
    rest = iter([i for i in range(rank) if i not in moved.values()])
    return _permuted(b, a.first(), [moved[i] if i in moved else next(rest) for i in range(rank)])


@row("view", "reshape", "_unsafe_view")
def _view(b: Networks, a: Arguments) -> Any:
    value, shape = list(a.values.values())[:2]
    if isinstance(value, Steps):
        return Steps.of(b.reshape(value.value, [BATCH, *shape]))
    return b.reshape(value, shape)


@row("view_as", "reshape_as")
def _view_as(b: Networks, a: Arguments) -> Any:
    return b.reshape(a.first(), a.other.shape)


@row("flatten.using_ints")
def _flatten(b: Networks, a: Arguments) -> Any:
    value = a.first()
    shape = list(value.shape)
    start, end = a.start_dim % value.ndim, a.end_dim % value.ndim
    return b.reshape(value, [*shape[:start], product(shape[start : end + 1]), *shape[end + 1 :]])


@row("unflatten.int")
def _unflatten(b: Networks, a: Arguments) -> Any:
    value = a.first()
    shape, at = list(value.shape), a.dim % value.ndim
    sizes = list(a.sizes)
    if -1 in sizes:
        others = product(n for n in sizes if n != -1)
        sizes[sizes.index(-1)] = shape[at] // others
    return b.reshape(value, [*shape[:at], *sizes, *shape[at + 1 :]])


@row("unsqueeze")
def _unsqueeze(b: Networks, a: Arguments) -> Any:
    if isinstance(a.first(), Steps):
        axis = a.dim % (a.first().ndim + 1)
        return a.first().unsqueezed(b, axis)
    return b.unsqueeze(a.first(), a.dim)


@row("squeeze")
def _squeeze(b: Networks, a: Arguments) -> Any:
    dim = a.values.get("dim")
    return b.squeeze(a.first(), None if dim is None else [dim] if isinstance(dim, int) else dim)


@row("select.int", "select_copy.int")
def _select(b: Networks, a: Arguments) -> Any:
    if not isinstance(a.index, int):
        if not isinstance(a.first(), Tensor):
            raise UnsupportedError(f"place {a.index} of what is no row")
        return b.place(a.first(), a.dim, a.index)
    return b.select(a.first(), a.dim, a.index)


@row("slice.Tensor", "slice_copy.Tensor")
def _slice(b: Networks, a: Arguments) -> Any:
    value = a.first()
    if isinstance(value, Steps):
        axis = a.dim % value.ndim + 1
        return Steps.of(b.slice(value.value, axis, a.start, a.end, a.step))
    if isinstance(value, np.ndarray) and is_open(a.end) and 1 not in value.shape:
        if a.start or a.step != 1:
            raise UnsupportedError(f"places from {a.start} to {a.end}")
        ahead = b.unsqueeze(value, 0)
        assert isinstance(ahead, np.ndarray)
        return Steps(b.first_places(ahead, a.dim % value.ndim + 1, a.end))
    return b.slice(value, a.dim, a.start, a.end, a.step)


@row("narrow")
def _narrow(b: Networks, a: Arguments) -> Any:
    value, length = a.first(), a.first().shape[a.dim]
    start, end, axis = a.start, a.start + a.length, counted(a.dim, value.ndim)
    if isinstance(length, int) and isinstance(start, int) and start < 0:
        start, end = start + length, end + length
    if not is_open(length) or not isinstance(end, int) or a.length < 1:
        return b.slice(value, axis, start, end)
    # The place that is farthest by itself, which must be there.
    if start < 0:
        far = b.unsqueeze(b.select(value, axis, start), axis)
        parts = [far, b.slice(value, axis, start + 1, end or None)]
    else:
        far = b.unsqueeze(b.select(value, axis, end - 1), axis)
        parts = [b.slice(value, axis, start, end - 1), far]
    return far if a.length == 1 else b.concatenate(parts, axis)


@row("split.Tensor", "split.sizes", "split_with_sizes", "unsafe_split.Tensor")
def _split(b: Networks, a: Arguments) -> Any:
    value = a.first()
    sizes = list(a.values.values())[1]
    if not isinstance(sizes, list):
        sizes = _pieces(value.shape[a.dim], sizes)
    return _parts(b, value, a.dim, sizes)


@row("chunk")
def _chunk(b: Networks, a: Arguments) -> Any:
    value = a.first()
    length = value.shape[a.dim]
    if isinstance(length, int):
        return _parts(b, value, a.dim, _pieces(length, -(-length // a.chunks)))
    batches = divided(length, a.chunks * BATCH)
    if isinstance(batches, int):
        return _parts(b, value, a.dim, [batches * BATCH] * a.chunks)
    if a.chunks != 2:
        raise UnsupportedError(f"{a.chunks} chunks of {length} places")  # there may be fewer
    half = length // 2
    return _parts(b, value, a.dim, [length - half, half])


@row("tensor_split.sections")
def _tensor_split(b: Networks, a: Arguments) -> Any:
    value, length = a.values["self"], a.values["self"].shape[a.dim]
    if not isinstance(length, int):
        raise UnsupportedError(f"{a.sections} pieces of {length} places")
    least, more = divmod(length, a.sections)
    return _parts(b, value, a.dim, [least + (i < more) for i in range(a.sections)])


@row("tensor_split.indices")
def _split_at(b: Networks, a: Arguments) -> Any:
    ends = [0, *a.indices, None]
    return tuple(b.slice(a.values["self"], a.dim, *pair) for pair in pairwise(ends))


def _pieces(length: Any, size: Any) -> list[Any]:
    count = divided(length, size)
    if isinstance(count, int):
        return [size] * count
    if not isinstance(length, int) or not isinstance(size, int):
        raise UnsupportedError(f"pieces of {size} of {length} places")
    return [min(size, length - start) for start in range(0, length, size)]


def _parts(b: Networks, value: Value, axis: int, sizes: Sequence[Any]) -> tuple[Value, ...]:
    found = []
    start: Any = 0
    for size in sizes:
        found.append(b.slice(value, axis, start, start + size))
        start = start + size
    return tuple(found)


@row("unbind.int")
def _unbind(b: Networks, a: Arguments) -> Any:
    value = a.first()
    if isinstance(value, Tensor) and value.counted(a.dim) == value.at:
        raise BatchAxisError("each row of a batch is taken by itself")
    length = value.shape[a.dim]
    if not isinstance(length, int):
        raise UnsupportedError(f"each of {length} places by itself")
    return tuple(b.select(value, a.dim, i) for i in range(length))


@row("flip")
def _flip(b: Networks, a: Arguments) -> Any:
    value = a.first()
    for axis in a.dims:
        value = b.slice(value, axis, None, None, -1)
    return value


@row("expand")
def _expand(b: Networks, a: Arguments) -> Any:
    value = a.first()
    if isinstance(value, Steps):
        return value.expanded(b, a.size, b.rows)
    if isinstance(value, np.ndarray):
        return b.expand(value, [BATCH if n == b.rows else n for n in a.size])
    return b.expand(value, a.size)


@row("expand_as")
def _expand_as(b: Networks, a: Arguments) -> Any:
    return _expand(b, Arguments({"self": a.first(), "size": [*a.other.shape]}))


@row("repeat")
def _repeat(b: Networks, a: Arguments) -> Any:
    value = a.first()
    if isinstance(value, Steps) and len(a.repeats) == value.ndim + 1:
        if a.repeats[0] not in (BATCH, b.rows):
            raise UnsupportedError(f"places repeated {a.repeats[0]} times")
        value = value.put(0)
        return _repeat(b, Arguments({"self": value, "repeats": [1, *a.repeats[1:]]}))
    if isinstance(value, Steps):
        pairs = [*zip(value.shape, a.repeats, strict=True)]
        if all(1 in pair for pair in pairs):  # one place becomes many
            size = [-1 if times == 1 else times for _, times in pairs]
            return _expand(b, Arguments({"self": value, "size": size}))
        value = value.single(b)
    while value.ndim < len(a.repeats):
        value = b.unsqueeze(value, 0)
    shape: list[Any] = []
    for length, times in zip(value.shape, a.repeats, strict=True):
        if times == 1:
            shape.append(-1)
        elif length == 1:
            shape.append(times)
        elif not isinstance(value, (Tensor, Spread)) and isinstance(times, int):
            return np.tile(value, a.repeats)
        elif isinstance(times, int) and times > 0 and isinstance(value, Tensor):
            value = b.repeat(value, len(shape), times)
            shape.append(-1)
        else:
            raise UnsupportedError(f"{length} places repeated {times} times")
    return b.expand(value, shape)


@row("tile")
def _tile(b: Networks, a: Arguments) -> Any:
    repeats = [1] * (a.first().ndim - len(a.dims)) + list(a.dims)
    return _repeat(b, Arguments({"self": a.first(), "repeats": repeats}))


@row("repeat_interleave.self_int")
def _repeat_interleave(b: Networks, a: Arguments) -> Any:
    value = a.first()
    if a.dim is None:
        raise UnsupportedError("rows of a batch laid out one after another")
    return b.repeat_places(value, a.dim, a.repeats)


@row("roll")
def _roll(b: Networks, a: Arguments) -> Any:
    value = a.first()
    if not a.dims:
        raise UnsupportedError("a tensor rolled along all axes at once")
    for shift, axis in zip(a.shifts, a.dims, strict=True):
        length = value.shape[axis]
        if is_open(shift):
            raise UnsupportedError(f"a tensor rolled by {shift} places")
        if is_open(length) and abs(shift) > 1 and isinstance(value, Tensor):  # perhaps by more
            places = b.elementwise("subtract", b.positions(length), float(shift))
            around = b.elementwise("mod", places, b.unsqueeze(b.count(length), 1))
            assert isinstance(around, Tensor)
            value = b.take(value, axis, around)
            continue
        shift = shift % length if isinstance(length, int) else shift
        if shift:
            ends = b.slice(value, axis, -shift, None), b.slice(value, axis, 0, -shift)
            value = b.concatenate(ends, axis)
    return value


@row("diff")
def _diff(b: Networks, a: Arguments) -> Any:
    value = a.values["self"]
    before, behind = a.values.get("prepend"), a.values.get("append")
    parts = [v for v in (before, value, behind) if v is not None]
    value = parts[0] if len(parts) == 1 else b.concatenate(parts, a.dim)
    for _ in range(a.n):
        later, earlier = b.slice(value, a.dim, 1, None), b.slice(value, a.dim, 0, -1)
        value = b.elementwise("subtract", later, earlier)
    return value


@row("unfold")
def _unfold(b: Networks, a: Arguments) -> Any:
    """Windows along an axis: for each place in a window, what is at it, side by side."""
    value, axis = a.first(), a.dimension % a.first().ndim
    length = value.shape[axis]
    parts = []
    for i in range(a.size):
        if isinstance(length, int):
            count = (length - a.size) // a.step + 1
            stop: Any = i + (count - 1) * a.step + 1
        else:
            stop = i + 1 - a.size or None
        parts.append(b.slice(value, axis, i, stop, a.step))
    if is_open(length):  # the last place of the first window by itself, which must be there
        first = b.unsqueeze(b.select(value, axis, a.size - 1), axis)
        others = b.slice(value, axis, a.size - 1 + a.step, None, a.step)
        parts[-1] = b.concatenate([first, others], axis)
    return b.stack(parts, -1)


@row("diagonal")
def _diagonal(b: Networks, a: Arguments) -> Any:
    value = a.first()
    one, two = a.dim1 % value.ndim, a.dim2 % value.ndim
    length = value.shape[one]
    if a.offset or not isinstance(length, int) or value.shape[two] != length:
        raise UnsupportedError("a diagonal of an open length, or of no square")
    order = [i for i in range(value.ndim) if i not in (one, two)]
    moved = b.permute(value, [*order, one, two])
    picked = b.elementwise("multiply", moved, np.eye(length, dtype=np.float32))
    return b.reduce("sum", picked, [-1])


@row("hstack", "column_stack")
def _hstack(b: Networks, a: Arguments) -> Any:
    if any(v.ndim < 2 for v in a.tensors):
        raise UnsupportedError("numbers of rows, side by side")
    return b.concatenate(a.tensors, 1)


@row("dstack")
def _dstack(b: Networks, a: Arguments) -> Any:
    if any(v.ndim < 3 for v in a.tensors):
        return b.stack(a.tensors, 2)
    return b.concatenate(a.tensors, 2)


@row("broadcast_tensors")
def _broadcast_tensors(b: Networks, a: Arguments) -> Any:
    return tuple(a.tensors)


@row("broadcast_to")
def _broadcast_to(b: Networks, a: Arguments) -> Any:
    return b.expand(a.first(), a.size)


@row("copy")
def _copy(b: Networks, a: Arguments) -> Any:
    """Write one tensor over another: what is written, in the other's shape and kind."""
    source = a.src if isinstance(a.src, (Tensor, Spread)) else as_array(a.src)
    if a.truth:
        source = b.elementwise("not_equal", source, 0.0)
    return b.expand(source if a.floats else b.elementwise("trunc", source), a.first().shape)


@row("cat", "concat")
def _cat(b: Networks, a: Arguments) -> Any:
    axis = a.values.get("dim", 0)
    rows = [v for v in a.tensors if isinstance(v, Tensor) and counted(axis, v.ndim) == v.at]
    alone = rows and all(v.row and not v.merged for v in rows)
    if alone and 1 < len(rows) == len(a.tensors) and not b.single_row:
        return b.batches(rows)
    return b.concatenate(a.tensors, axis)


@row("stack")
def _stack(b: Networks, a: Arguments) -> Any:
    return b.stack(a.tensors, a.dim)


@row("constant_pad_nd")
def _constant_pad(b: Networks, a: Arguments) -> Any:
    return b.pad(a.first(), _around(a.pad), float(a.value or 0))


@row("pad")
def _pad(b: Networks, a: Arguments) -> Any:
    if a.mode == "constant":
        return b.pad(a.first(), _around(a.pad), float(a.value or 0))
    mode = {"replicate": "edge", "circular": "wrap"}.get(a.mode, a.mode)
    return b.pad_again(a.first(), _around(a.pad), mode)


def _around(pad: Sequence[int]) -> list[tuple[int, int]]:
    """Return pairs in the order of the axes; PyTorch begins with the last."""
    return [(pad[i], pad[i + 1]) for i in range(0, len(pad), 2)][::-1]
