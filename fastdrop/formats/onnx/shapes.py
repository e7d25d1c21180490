"""Operators that lay out numbers anew, take some of them, or put them together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from fastdrop.formats._lengths import BATCH, Length, Open, divided, product
from fastdrop.formats._places import add_along, one_row, put_along, scatter
from fastdrop.formats._values import (
    Counts,
    OfRows,
    Order,
    RowIndices,
    RowNumbers,
    RowPlaces,
    Spread,
    Steps,
    Tensor,
    UnsupportedError,
    Value,
    broadcast,
)
from fastdrop.formats.onnx._records import QUANTIZED
from fastdrop.formats.onnx._rows import (
    Arguments,
    Array,
    Made,
    fixed,
    is_lengths,
    number_of,
    operator,
    simplified,
    whole_numbers,
)
from fastdrop.formats.onnx.arithmetic import whole

_ENDLESS = 10**9  # what tf2onnx, too, has for an end that is not given


def lengths_array(lengths: Sequence[Length]) -> Array:
    """Return lengths as an array, of objects if some are open."""
    array = np.empty(len(lengths), object)
    array[:] = lengths
    return simplified(array)


# ---- constants ----


@operator("Constant")
def _constant(a: Arguments) -> Made:
    kinds = ("value", "value_float", "value_floats", "value_int", "value_ints")
    found = [(name, a.attribute(name)) for name in kinds if name in a.node.attributes]
    if len(found) != 1:
        raise UnsupportedError("a constant that is no numbers")
    ((name, value),) = found
    if name == "value":
        if not isinstance(value, np.ndarray):
            raise UnsupportedError("a constant that is no tensor")
        return value
    return np.array(value, np.float32 if "float" in name else np.int64)


@operator("DequantizeLinear")
def _dequantize(a: Arguments) -> Made:
    """Compute weights that are kept in few bits; whatever else is quantized is not read."""
    if any(isinstance(v, (Tensor, Spread, Steps)) or is_lengths(v) for v in a.values):
        raise UnsupportedError(QUANTIZED)
    value, scale, zero = a.array(0), a.array(1), a.constant(2)
    axis, blocks = a.attribute("axis", 1), a.attribute("block_size", 0)
    if blocks:
        raise UnsupportedError(f"attribute 'block_size': {blocks}")
    if value.dtype.kind not in "iu" or scale.dtype != np.float32:
        raise UnsupportedError(QUANTIZED)
    a.dtype = scale.dtype
    a.check_size(value.shape)
    whole_ones = value.astype(np.int64)
    if zero is not None:
        if zero.dtype.kind not in "iu" or zero.shape != scale.shape:
            raise UnsupportedError(f"zeros of shape {zero.shape} for scales of {scale.shape}")
        whole_ones -= _along(zero.astype(np.int64), value, axis)
    return np.asarray(whole_ones.astype(np.float32) * _along(scale, value, axis), np.float32)


def _along(numbers: Array, value: Array, axis: int) -> Array:
    """Return one number for all, or one for each place along an axis, beside an array."""
    if numbers.size == 1 and numbers.ndim < 2:
        return numbers.reshape((1,) * value.ndim)
    axis = _axis(axis, value.ndim)
    if numbers.shape != value.shape[axis : axis + 1]:
        raise UnsupportedError(
            f"scales of shape {numbers.shape} for an axis of {value.shape[axis]}"
        )
    return numbers.reshape(-1, *(1,) * (value.ndim - 1 - axis))


@operator("ConstantOfShape")
def _constant_of_shape(a: Arguments) -> Made:
    value = a.attribute("value")
    value = np.zeros(1, np.float32) if value is None else value
    if not isinstance(value, np.ndarray) or value.size != 1:
        raise UnsupportedError("attribute 'value' that is not one number")
    a.dtype = value.dtype
    shape = whole_numbers(a.array(0))
    rows = any(divided(n, BATCH) is not None for n in shape)
    if any(isinstance(n, Open) for n in shape) and not rows:
        return _steps_of(a, value.reshape((1,) * len(shape)), shape)
    return _expanded(a, value.reshape(()), shape)


def _steps_of(a: Arguments, value: Array, shape: Sequence[Length]) -> Steps:
    """Repeat a constant along axes of open length."""
    if np.isfinite(value).all():
        single = a.net.some_tensor(Spread(value, 0))
    else:  # which no weight may be, but what is added
        zeros = a.net.some_tensor(Spread(np.zeros_like(value), 0))
        added = a.net.elementwise("add", zeros, value[np.newaxis])
        assert isinstance(added, Tensor)
        single = added
    return Steps(a.net.broadcast(single, shape))


@operator("Range")
def _range(a: Arguments) -> Made:
    given: list[Any] = [a.input(i) for i in range(3)]
    start, limit, delta = (v.lengths if isinstance(v, Counts) else v for v in given)
    if not all(isinstance(v, np.ndarray) and v.size == 1 for v in (start, limit, delta)):
        raise UnsupportedError("numbers up to one that is computed of the model's inputs")
    if any(map(is_lengths, (start, limit, delta))):
        return _range_of_lengths(a, *(v.reshape(()).item() for v in (start, limit, delta)))
    numbers = [number_of(v) for v in (start, limit, delta)]
    if not numbers[2] or not np.isfinite(numbers).all():
        raise UnsupportedError(f"numbers in steps of {numbers[2]}")
    a.check_size([max(0, int((numbers[1] - numbers[0]) / numbers[2]) + 1)])
    count = max(0, math.ceil((numbers[1] - numbers[0]) / numbers[2]))
    return np.asarray(start.item() + np.arange(count) * delta.item(), start.dtype)


def _range_of_lengths(a: Arguments, start: Any, limit: Any, delta: Any) -> Made:
    """Count from a length or number to another, by one."""
    if limit == BATCH and start == 0 and delta == 1:
        return RowNumbers()
    whole = all(isinstance(n, Open) or n == int(n) for n in (start, limit))
    if not whole or delta not in (1, -1):
        raise UnsupportedError(f"numbers from {start} to {limit} in steps of {delta}")
    start, limit = (n if isinstance(n, Open) else int(n) for n in (start, limit))
    count = (limit - start) * int(delta)
    if not isinstance(count, Open):
        raise UnsupportedError(f"{count} numbers from {start}")
    if delta == 1:
        return Steps(a.net.numbers_from(start, count))
    return Steps.of(a.net.slice(a.net.numbers_from(limit + 1, count), 1, None, None, -1))


@operator("Shape")
def _shape(a: Arguments) -> Made:
    lengths = a.input().shape
    start, end = a.attribute("start", 0), a.attribute("end", len(lengths))
    return lengths_array(lengths[slice(start, end)])


# ---- axes ----


@operator("Transpose")
def _transpose(a: Arguments) -> Made:
    value: Any = a.input()
    axes = a.numbers("perm")
    axes = [*reversed(range(value.ndim))] if axes is None else axes
    if sorted(axes) != [*range(value.ndim)]:
        raise UnsupportedError(f"attribute 'perm': {axes}")
    if isinstance(value, Steps):
        return Steps.of(a.net.permute(value.value, [0, *(axis + 1 for axis in axes)]))
    return a.net.permute(value, axes)


@operator("Unsqueeze")
def _unsqueeze(a: Arguments) -> Made:
    value: Any = a.input()
    axes = a.attribute_or_input("axes", 1, 13)
    if axes is None:
        raise UnsupportedError("no axes")
    rank = value.ndim + len(axes)
    if rank > 8:
        raise UnsupportedError(f"a tensor of {rank} axes")
    if isinstance(value, OfRows):
        return _rows_in(value, axes, rank)
    for axis in sorted(_axis(axis, rank) for axis in axes):
        value = put(a, value, axis)
    made: Made = value
    return made


def _rows_in(value: OfRows, axes: Sequence[int], rank: int) -> RowNumbers:
    """Put axes of length 1 to numbers of rows."""
    if not isinstance(value, RowNumbers):
        raise UnsupportedError("numbers of rows, computed with")
    lengths = [*value.lengths]
    for axis in sorted(_axis(axis, rank) for axis in axes):
        lengths.insert(axis, 1)
    return RowNumbers(tuple(lengths))


def put(a: Arguments, value: Any, axis: int) -> Any:
    """Put in an axis of length 1."""
    if isinstance(value, Steps):
        return value.unsqueezed(a.net, axis)
    return a.net.unsqueeze(value, axis)


def _axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise UnsupportedError(f"axis {axis} of a tensor of {rank} axes")
    return axis % rank


@operator("Squeeze")
def _squeeze(a: Arguments) -> Made:
    value: Any
    value, axes = a.input(), a.attribute_or_input("axes", 1, 13)
    if axes is None:
        if any(isinstance(n, Open) and n != BATCH for n in value.shape):
            raise UnsupportedError("all axes of length 1, where some lengths are open")
        return a.net.squeeze(value)
    axes = [_axis(axis, value.ndim) for axis in axes]
    single = a.net.single_row and isinstance(value, Tensor) and not value.merged
    for axis in axes:
        length = value.shape[axis]
        if length != 1 and not (single and axis == value.at):
            raise UnsupportedError(f"axis {axis}, of length {length}, taken out")
    if isinstance(value, Steps):
        return Steps.of(a.net.squeeze(value.value, [axis + 1 for axis in axes]))
    return a.net.squeeze(value, axes)


@operator("Reshape")
def _reshape(a: Arguments) -> Made:
    value: Any = a.input()
    target = a.lengths(1)
    if target is None:
        raise UnsupportedError("no shape")
    zero = a.flag("allowzero")
    shape: list[Length] = []
    for i, n in enumerate(target):
        if n == 0 and not zero:
            if i >= value.ndim:
                raise UnsupportedError(f"a shape of {target}")
            n = value.shape[i]
        shape.append(n)
    if isinstance(value, Steps):
        return Steps.of(a.net.reshape(value.value, [BATCH, *shape]))
    if isinstance(value, OfRows):
        lengths = tuple(BATCH if n == -1 else n for n in shape)
        if not isinstance(value, RowNumbers) or [n for n in lengths if n != 1] != [BATCH]:
            raise UnsupportedError("numbers of rows, computed with")
        return RowNumbers(lengths)
    return reshaped(a, value, shape)


def reshaped(a: Arguments, value: Value, shape: Sequence[Length]) -> Value:
    """Lay out numbers anew; a file for one number of rows may name it in the shape."""
    batch = a.fixed_batch
    if batch is None or not isinstance(value, (Tensor, Spread)):
        return _laid_out(a, value, shape)
    places, single = _places_of_batch(value, shape, batch), []
    if batch == 1 and not any(divided(n, BATCH) is not None for n in shape):
        # A length of 1 is that of the one row, rather than one more.
        lengths = _of_one_row(value, shape)
        single = [i for i in _places_of_batch(value, lengths, 1) if lengths[i] == 1]
    for i in single:
        try:
            return _laid_out(a, value, [*shape[:i], BATCH, *shape[i + 1 :]])
        except UnsupportedError:
            continue
    try:
        return _laid_out(a, value, shape)
    except UnsupportedError:
        for i in places:
            factor = divided(shape[i], batch)
            if factor is None or shape[i] == -1 or i in single:
                continue
            try:
                return _laid_out(a, value, [*shape[:i], BATCH * factor, *shape[i + 1 :]])
            except UnsupportedError:
                continue
        raise


def _laid_out(a: Arguments, value: Value, shape: Sequence[Length]) -> Value:
    try:
        return a.net.reshape(value, shape)
    except ValueError as error:
        raise UnsupportedError(str(error)) from error


def _of_one_row(value: Tensor | Spread, shape: Sequence[Length]) -> list[Length]:
    """Return a shape with the number in the place of -1, where there is one row."""
    others = product(n for n in shape if n != -1)
    rest = divided(product(value.shape), BATCH * others) if others else None
    return [rest if n == -1 and rest is not None else n for n in shape]


def _places_of_batch(value: Tensor | Spread, shape: Sequence[Length], batch: int) -> list[int]:
    """Return where the batch may be in a shape, the likeliest place first.

    That is not the last axis, which has features, unless it was.
    """
    last = len(shape) - 1 if value.at < value.ndim - 1 else None
    return sorted(range(len(shape)), key=lambda i: (shape[i] != batch, i == last, i != value.at, i))


@operator("Flatten")
def _flatten(a: Arguments) -> Made:
    value = a.input()
    axis = a.attribute("axis", 1)
    if not -value.ndim <= axis <= value.ndim:
        raise UnsupportedError(f"axis {axis} of a tensor of {value.ndim} axes")
    axis += value.ndim if axis < 0 else 0
    front: Length = 1
    for n in value.shape[:axis]:
        front = front * n
    behind: Length = 1
    for n in value.shape[axis:]:
        behind = behind * n
    return _laid_out(a, value, [front, behind])


@operator("Expand")
def _expand(a: Arguments) -> Made:
    shape = a.lengths(1)
    value: Any = a.input()
    if shape is None:
        raise UnsupportedError("no shape")
    if isinstance(value, OfRows):
        lengths = broadcast([value.shape, shape])
        if not isinstance(value, RowNumbers) or lengths.count(BATCH) != 1:
            raise UnsupportedError("numbers of rows, computed with")
        return RowNumbers(lengths)
    if isinstance(value, Steps):
        return _steps_expanded(a, value, shape)
    if isinstance(value, np.ndarray):
        lengths = broadcast([value.shape, shape])
        open_ones = [n for n in lengths if isinstance(n, Open)]
        if open_ones and not any(divided(n, BATCH) is not None for n in open_ones):
            led = value.reshape((1,) * (len(lengths) - value.ndim) + value.shape)
            return _steps_of(a, led, lengths)
    return _expanded(a, value, shape)


def _steps_expanded(a: Arguments, value: Steps, shape: Sequence[Length]) -> Made:
    if any(isinstance(n, int) and n < 1 for n in shape):
        raise UnsupportedError(f"a shape of {[*shape]}")
    return value.expanded(a.net, shape, a.fixed_batch)


def _expanded(a: Arguments, value: Value, shape: Sequence[Length]) -> Value:
    rank = max(value.ndim, len(shape))
    own = [1] * (rank - value.ndim) + [*value.shape]
    target = [1] * (rank - len(shape)) + [*shape]
    if any(isinstance(n, int) and n < 0 for n in target):
        raise UnsupportedError(f"a shape of {target}")
    wanted: list[Length] = [o if t == 1 else t for o, t in zip(own, target, strict=True)]
    if isinstance(value, (Tensor, Spread)) and a.fixed_batch is not None:
        at = rank - value.ndim + value.at
        wanted[at] = BATCH if wanted[at] == a.fixed_batch else wanted[at]
    if isinstance(value, np.ndarray):
        behind = target[rank - value.ndim :]
        for axis, (n, length) in enumerate(zip(value.shape, behind, strict=True)):
            times = divided(length, BATCH)
            if times is not None and a.fixed_batch is not None and n == times * a.fixed_batch:
                value = one_row(value, axis)
    if not isinstance(value, Tensor):
        a.check_size(n for n in wanted if isinstance(n, int))
    return a.net.expand(value, wanted)


@operator("Tile")
def _tile(a: Arguments) -> Made:
    value: Any = a.input()
    repeats = a.lengths(1)
    if repeats is None or len(repeats) != value.ndim:
        raise UnsupportedError("as many repeats as axes are expected")
    if isinstance(value, np.ndarray) and all(isinstance(n, int) for n in repeats):
        counts = [fixed(n) for n in repeats]
        if any(n < 0 for n in counts):
            raise UnsupportedError(f"repeats of {counts}")
        a.check_size(n * m for n, m in zip(value.shape, counts, strict=True))
        return np.tile(value, counts)
    shape = [m if n == 1 else -1 for n, m in zip(value.shape, repeats, strict=True)]
    for axis, times in enumerate(repeats):
        if times != 1 and shape[axis] == -1:
            value = _repeated(a, value, axis, times)
    shape = [n if m == -1 else m for n, m in zip(value.shape, shape, strict=True)]
    if isinstance(value, Steps):
        return _steps_expanded(a, value, shape)
    return _expanded(a, value, shape)


def _repeated(a: Arguments, value: Any, axis: int, times: Length) -> Any:
    """Repeat what is along an axis longer than 1."""
    of_each_row = divided(times, BATCH)
    if isinstance(value, np.ndarray) and isinstance(of_each_row, int):
        return _repeated_for_rows(a, value, axis, of_each_row)
    if not isinstance(times, int) or times < 1:
        raise UnsupportedError(f"{value.shape[axis]} places repeated {times} times")
    if isinstance(value, Steps):
        return Steps.of(a.net.repeat(value.value, axis + 1, times))
    if not isinstance(value, Tensor):
        a.check_size([times, *(n for n in value.shape if isinstance(n, int))])
    return a.net.repeat(value, axis, times)


def _repeated_for_rows(a: Arguments, value: Array, axis: int, times: int) -> Value:
    """Repeat what is along an axis so many times for each row of the batch."""
    a.check_size([times, *value.shape])
    wide = np.concatenate([value] * times, axis)
    before, behind = wide.shape[:axis], wide.shape[axis:]
    rows = a.net.expand(np.expand_dims(wide, axis), [*before, BATCH, *behind])
    return a.net.reshape(rows, [*before, BATCH * behind[0], *behind[1:]])


# ---- parts ----


@operator("Slice")
def _slice(a: Arguments) -> Made:
    value = a.input()
    steps: list[int] | None = None
    axes: list[int] | None
    if a.opset < 10:
        starts, ends = a.numbers("starts"), a.numbers("ends")
        axes = a.numbers("axes")
    else:
        starts, ends = a.lengths(1), a.lengths(2)
        axes, steps = a.integers(3), a.integers(4)
    if starts is None or ends is None:
        raise UnsupportedError("no places")
    axes = [*range(len(starts))] if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise UnsupportedError("as many starts, ends, axes and steps are expected")
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        value = _part(a, value, _axis(axis, value.ndim), start, end, step)
    return value


def _part(a: Arguments, value: Any, axis: int, start: Any, end: Any, step: int) -> Any:
    """Take places along an axis as the operator counts them, beyond the ends too."""
    if not step:
        raise UnsupportedError("steps of 0")
    if isinstance(value, Steps):
        return Steps.of(_part(a, value.value, axis + 1, start, end, step))
    length = value.shape[axis]
    single = length == BATCH and a.fixed_batch == 1 and not isinstance(value, np.ndarray)
    numbers = not isinstance(start, Open) and not isinstance(end, Open)
    if single and numbers and len(range(*slice(start, end, step).indices(1))):
        return value  # the one row, which has no order
    computed = step == 1 and (isinstance(start, Open) or isinstance(end, Open))
    if computed and isinstance(value, np.ndarray) and not is_lengths(value):
        end = length if isinstance(end, int) and end >= _ENDLESS else end
        return Steps.of(a.net.slice(value[np.newaxis], axis + 1, start, end))
    if isinstance(length, int) and not isinstance(start, Open) and not isinstance(end, Open):
        places = range(*slice(start, end, step).indices(length))
        start, end = places.start, places.stop
        if step < 0:
            end = None if end < 0 else end
            start = None if start >= length - 1 and len(places) else start
            if not len(places):
                start, end, step = 0, 0, 1
    elif step < 0:
        if start in (-1, length - 1) or (isinstance(start, int) and start >= _ENDLESS):
            start = None
        if isinstance(end, int) and end <= -_ENDLESS:
            end = None
        if (start, end) != (None, None):
            raise UnsupportedError("some places of an axis of open length, backwards")
    elif isinstance(start, int) and start <= -_ENDLESS:
        start = None
    if isinstance(value, Tensor) and isinstance(length, Open) and length != BATCH and step == 1:
        place = _one_place(start, end)
        if place is not None:  # of an axis of open length, which has a place
            return a.net.unsqueeze(a.net.select(value, axis, place), axis)
    whole = a.fixed_batch if length == BATCH else None
    if isinstance(end, int) and step > 0 and (end == whole or end >= _ENDLESS):
        end = None
    if isinstance(value, np.ndarray) and step != 1:
        return value[(*(slice(None),) * axis, slice(start, end, step))]
    return a.net.slice(value, axis, start, end, step)


def _one_place(start: Any, end: Any) -> int | None:
    """Return the place that a slice takes, None where it may be several or none."""
    if not isinstance(start, int):
        return None
    if start == -1 and (end is None or (isinstance(end, int) and end >= _ENDLESS)):
        return -1
    # From the last one up to the first there is none.
    return start if end == start + 1 and end != 0 else None


@operator("Split")
def _split(a: Arguments) -> Made:
    value, axis = a.input(), a.attribute("axis", 0)
    axis = _axis(axis, value.ndim)
    sizes = a.attribute_or_input("split", 1, 13)
    count = len(a.node.outputs)
    if a.attribute("num_outputs", count) != count:
        raise UnsupportedError(f"attribute 'num_outputs': {a.node.attributes['num_outputs']}")
    length = value.shape[axis]
    if sizes is None:
        if length == BATCH:
            raise UnsupportedError("rows of a batch apart from one another")
        if not isinstance(length, int):
            ends = [0, *_ends(length, count)]
            return [_part(a, value, axis, *pair, 1) for pair in pairwise(ends)]
        size = -(-length // count)
        sizes = [min(size, length - i * size) for i in range(count)]
    if len(sizes) != len(a.node.outputs) or min(sizes) < 0 or sum(sizes) != length:
        raise UnsupportedError(f"parts of {sizes} of an axis of {length}")
    found, start = [], 0
    for size in sizes:
        found.append(_part(a, value, axis, start, start + size, 1))
        start += size
    return found


def _ends(length: Open, count: int) -> list[Length]:
    """Return where equal parts of an open length end, of which the last may be shorter."""
    size = divided(length, count)
    if size is not None:
        return [size * (i + 1) for i in range(count)]
    if count != 2:
        raise UnsupportedError(f"{count} parts of an axis of open length ({length})")
    return [length - length // 2, length]


@operator("Concat")
def _concat(a: Arguments) -> Made:
    values: list[Any] = a.given()
    axis = a.attribute("axis")
    if not isinstance(axis, int) or not values:
        raise UnsupportedError("no axis")
    axis = _axis(axis, values[0].ndim)
    if any(v.ndim != values[0].ndim for v in values):
        raise UnsupportedError("tensors of different numbers of axes, joined")
    values = [_counted_rows(a, v, values, axis) for v in values]
    if any(isinstance(v, OfRows) for v in values):
        return _indices(a, values, axis)
    if any(isinstance(v, Steps) for v in values):
        led = [v.value if isinstance(v, Steps) else v[np.newaxis] for v in values]
        return Steps.of(a.net.concatenate(led, axis + 1))
    arrays = [v for v in values if isinstance(v, np.ndarray)]
    if len(arrays) < len(values):
        if any(map(is_lengths, arrays)):
            raise UnsupportedError("a length left open, computed with")
        at = next((v.at for v in values if isinstance(v, Tensor)), axis)
        if at != axis:
            values = [a.of_rows(v, at) for v in values]
        return a.net.concatenate(values, axis)
    a.check_size([sum(v.size for v in arrays)])
    if any(map(is_lengths, arrays)):
        return lengths_array([n for v in arrays for n in whole_numbers(v)])
    try:
        return np.concatenate(arrays, axis)
    except ValueError as error:
        raise UnsupportedError(str(error)) from error


def _counted_rows(a: Arguments, value: Any, values: Sequence[Any], axis: int) -> Any:
    """Return numbers of rows beside places of each row as such.

    A file for one number of rows has them as a constant.
    """
    if a.fixed_batch in (None, 1) or axis != 1 or not isinstance(value, np.ndarray):
        return value
    beside = any(isinstance(v, Tensor) and v.shape == (BATCH, 1) for v in values)
    if not beside or value.shape != (a.fixed_batch, 1) or value.dtype.kind not in "iu":
        return value
    counted = np.array_equal(value[:, 0], np.arange(a.fixed_batch))
    return RowNumbers((BATCH, 1)) if counted else value


def _indices(a: Arguments, values: Sequence[Any], axis: int) -> RowIndices:
    """Put numbers of each row side by side."""
    if axis != values[0].ndim - 1:
        raise UnsupportedError("numbers of rows, computed with")
    return RowIndices(tuple(n for value in values for n in _side_by_side(a, value)))


def _side_by_side(a: Arguments, value: Any) -> Sequence[Any]:
    """Return what stands side by side along the last axis, each without it."""
    if isinstance(value, RowIndices):
        return value.numbers
    if isinstance(value, RowNumbers) and value.lengths[-1] == 1:
        return [RowNumbers(value.lengths[:-1])]
    if isinstance(value, np.ndarray) and value.ndim > 1 and value.dtype.kind in "iu":
        return [*np.moveaxis(value, -1, 0)]
    if isinstance(value, (Tensor, Spread)) and value.at < value.ndim - 1:
        last = value.shape[-1]
        if isinstance(last, int):
            return [a.net.select(value, -1, i) for i in range(last)]
    raise UnsupportedError("numbers of rows, computed with")


@operator("GatherND")
def _gather_nd(a: Arguments) -> Made:
    value: Any
    indices: Any
    value, indices = a.given()
    shared = a.attribute("batch_dims", 0)
    if is_lengths(value) or is_lengths(indices):
        raise UnsupportedError("places taken out by numbers")
    if shared:
        return _of_each_row(a, value, indices, shared)
    if isinstance(indices, np.ndarray) and indices.dtype.kind in "iu" and indices.ndim:
        return _at_known_places(a, value, [*np.moveaxis(indices, -1, 0)])
    steps = isinstance(indices, Steps)
    along = isinstance(value, np.ndarray) or (steps and isinstance(value, Tensor) and value.at > 0)
    if along and not isinstance(indices, OfRows) and indices.shape[-1] == 1:
        places: Any = a.net.squeeze(indices.value if steps else indices, [-1])
        places = Steps.of(places) if steps else places
        a.values = [value, places]
        return _gather(a)  # along the first axis
    if not isinstance(value, Tensor):
        raise UnsupportedError("places of a constant taken out by numbers")
    numbers: list[Any] = [*_side_by_side(a, indices)]
    if a.fixed_batch == 1 and isinstance(indices, Tensor) and value.at < len(numbers):
        numbers[value.at] = RowNumbers()  # of the one row, which no other number can be of
    return a.net.rows_at(value, numbers)


def _of_each_row(a: Arguments, value: Value, indices: Value, shared: int) -> Value:
    """Take places of each row by numbers for each of its first axes."""
    rows = isinstance(value, Tensor) and isinstance(indices, Tensor)
    if shared != 1 or not rows or {*value.shape[:1], *indices.shape[:1]} != {BATCH}:
        raise UnsupportedError(f"attribute 'batch_dims': {shared}, of what is no row of the batch")
    count, places = fixed(indices.shape[-1]), indices.shape[1:-1]
    behind = value.shape[1 + count :]
    for i in range(count):
        numbers = a.net.reshape(a.net.select(indices, -1, i), [BATCH, product(places)])
        while numbers.ndim < value.ndim:
            numbers = a.net.unsqueeze(numbers, numbers.ndim)
        value = a.net.take_along(value, numbers, 2 if i else 1)
        value = a.net.squeeze(value, [2]) if i else value
    return reshaped(a, value, [BATCH, *places, *behind])


def _at_known_places(a: Arguments, value: Value, indices: Sequence[Array]) -> Value:
    """Take places by numbers for each of the first axes."""
    count = len(indices)
    if isinstance(value, (Tensor, Spread)) and value.at < count:
        raise UnsupportedError("places taken out by numbers")
    lengths = [fixed(n) for n in value.shape[:count]]
    if len(lengths) != count:
        raise UnsupportedError(f"{count} indices of {value.ndim} axes")
    flat: Any = 0
    for index, n in zip(indices, lengths, strict=True):
        if index.size and not -n <= index.min() <= index.max() < n:
            raise UnsupportedError(f"places beyond an axis of length {n}")
        flat = flat * n + index % n
    if not isinstance(value, (Tensor, Spread)):
        a.check_size([indices[0].size, *value.shape[count:]])
        return np.asarray(value[tuple(indices)])
    laid = value if count == 1 else reshaped(a, value, [math.prod(lengths), *value.shape[count:]])
    assert isinstance(laid, (Tensor, Spread))
    taken = _taken(a, laid, 0, np.reshape(flat, -1))
    if indices[0].ndim == 1:
        return taken
    return reshaped(a, taken, [*indices[0].shape, *value.shape[count:]])


@operator("ScatterND")
def _scatter_nd(a: Arguments) -> Made:
    value, indices, numbers = a.given()
    if a.attribute("reduction", "none") != "none":
        raise UnsupportedError(f"attribute 'reduction': {a.node.attributes['reduction']}")
    if any(isinstance(v, OfRows) or is_lengths(v) for v in (value, numbers)):
        raise UnsupportedError("numbers of rows, computed with")
    return scatter(a.net, value, _side_by_side(a, indices), numbers, a.fixed_batch)


@operator("Gather")
def _gather(a: Arguments) -> Made:
    value: Any
    places: Any
    value, places = a.given()
    if isinstance(value, Counts) and isinstance(places, np.ndarray):
        lengths = _of_constant(a, value.lengths, places, 0)
        return a.net.counts(lengths) if is_lengths(lengths) else lengths.astype(np.float32)
    value = value.single(a.net) if isinstance(value, Steps) else value
    steps = isinstance(places, Steps) and 1 not in places.shape
    if isinstance(places, Steps):
        places = places.value if steps else places.single(a.net)
    axis = _axis(a.attribute("axis", 0), value.ndim)
    if isinstance(places, Order) and isinstance(value, (Tensor, Spread)):
        return places.of(value, axis)
    if isinstance(places, RowPlaces) and not axis and isinstance(value, Tensor):
        return a.net.rows_laid_out(value, places)
    one = a.fixed_batch == 1 and isinstance(places, Tensor) and places.shape == (BATCH,)
    if one and not axis and isinstance(value, Tensor) and value.behind:
        # Of the one row of a file, which begins at place 0 of all.
        assert isinstance(places, Tensor)
        return a.net.rows_laid_out(value, RowPlaces(places, product(value.row[: value.behind])))
    if any(isinstance(v, OfRows) for v in (value, places)):
        raise UnsupportedError("numbers of rows, computed with")
    if is_lengths(places) and isinstance(value, Tensor) and places.size == 1:
        found = a.net.place(value, axis, places.reshape(()).item())
        for _ in places.shape:
            found = a.net.unsqueeze(found, axis)
        return found
    if is_lengths(places) and isinstance(value, np.ndarray):
        places, steps = a.net.counts(places).value, True
    if is_lengths(places):
        raise UnsupportedError("lengths left open, as places")
    if steps and isinstance(value, Tensor):
        flat = a.net.reshape(places, [BATCH, product(places.row)])
        assert isinstance(flat, Tensor)
        found = a.net.take(value, axis, flat)
        return a.net.reshape(found, [*value.shape[:axis], *places.row, *value.shape[axis + 1 :]])
    if isinstance(places, (Tensor, Spread)):
        if axis or not isinstance(value, np.ndarray) or value.ndim > 2 or is_lengths(value):
            raise UnsupportedError("places that are computed of the model's inputs")
        table = value if value.ndim == 2 else value[:, np.newaxis]
        if isinstance(places, Spread):
            a.check_size([*places.value.shape, table.shape[1]])
        table = a.net.float32(table)
        found = a.net.embedding(table, a.net.from_the_front(places, len(table)))
        found = found if value.ndim == 2 else a.net.squeeze(found, [-1])
        return Steps.of(found) if steps else found
    if places.dtype.kind not in "iu":
        raise UnsupportedError("places that are no whole numbers")
    if isinstance(value, np.ndarray):
        return _of_constant(a, value, places, axis)
    if not places.ndim:
        return a.net.select(value, axis, int(places))
    taken = _taken(a, value, axis, places.reshape(-1))
    if places.ndim == 1:
        return taken
    return reshaped(a, taken, [*value.shape[:axis], *places.shape, *value.shape[axis + 1 :]])


def _of_constant(a: Arguments, value: Array, places: Array, axis: int) -> Array:
    """Take places along an axis of a constant."""
    if places.dtype.kind not in "iu" or not value.ndim:
        raise UnsupportedError("places that are no whole numbers")
    a.check_size([places.size, *(n for i, n in enumerate(value.shape) if i != axis)])
    length = value.shape[axis]
    if places.size and not -length <= places.min() <= places.max() < length:
        raise UnsupportedError(f"places beyond an axis of length {length}")
    return simplified(np.take(value, places, axis))


def _taken(a: Arguments, value: Tensor | Spread, axis: int, places: Array) -> Value:
    """Take places along an axis, one behind the other."""
    if not places.size:
        raise UnsupportedError("no places taken out")
    numbers = [int(n) for n in places]
    step = numbers[1] - numbers[0] if len(numbers) > 1 else 1
    length = value.shape[axis]
    if isinstance(length, int) and step:
        numbers = [n + length if n < 0 else n for n in numbers]
        if numbers == [*range(numbers[0], numbers[0] + step * len(numbers), step)]:
            if not 0 <= min(numbers) <= max(numbers) < length:
                raise UnsupportedError(f"places beyond an axis of length {length}")
            found: Value = _part(a, value, axis, numbers[0], _end(numbers, step), step)
            return found
    if len(numbers) > 64:
        raise UnsupportedError(f"{len(numbers)} places in no order")
    parts = [a.net.unsqueeze(a.net.select(value, axis, n), axis) for n in numbers]
    return parts[0] if len(parts) == 1 else a.net.concatenate(parts, axis)


def _end(numbers: Sequence[int], step: int) -> int:
    end = numbers[-1] + step
    return end if end >= 0 else -_ENDLESS


@operator("GatherElements")
def _gather_elements(a: Arguments) -> Made:
    value, places = a.given()
    if is_lengths(value) or is_lengths(places):
        raise UnsupportedError("a length left open, computed with")
    axis = _axis(a.attribute("axis", 0), value.ndim)
    if not isinstance(places, (Tensor, Spread)) and not isinstance(value, (Tensor, Spread)):
        length = value.shape[axis]
        if places.size and not -length <= places.min() <= places.max() < length:
            raise UnsupportedError(f"places beyond an axis of length {length}")
        for i, (n, m) in enumerate(zip(places.shape, value.shape, strict=True)):
            if i != axis and n != m:
                raise UnsupportedError("places of fewer rows")
    elif any(
        n != m for i, (n, m) in enumerate(zip(places.shape, value.shape, strict=True)) if i != axis
    ):
        raise UnsupportedError("places of fewer rows")
    return a.net.take_along(value, places, axis)


@operator("Pad")
def _pad(a: Arguments) -> Made:
    value = a.input()
    mode = a.attribute("mode", "constant")
    if mode not in ("constant", "reflect", "edge", "wrap"):
        raise UnsupportedError(f"attribute 'mode': {mode}")
    if a.opset < 11:
        pads, number = a.numbers("pads"), float(a.attribute("value", 0.0))
    else:
        pads, given = a.integers(1), a.constant(2)
        number = 0.0 if given is None else number_of(given)
        if given is not None and not isinstance(value, np.ndarray):
            a.net.float32(given)  # which refuses what it does not hold
    axes = a.integers(3) if a.opset >= 18 else None
    if pads is None:
        raise UnsupportedError("no widths")
    axes = [*range(value.ndim)] if axes is None else [_axis(axis, value.ndim) for axis in axes]
    if len(pads) != 2 * len(axes):
        raise UnsupportedError(f"widths of {pads} for {len(axes)} axes")
    widths = [(0, 0)] * value.ndim
    for i, axis in enumerate(axes):
        widths[axis] = (pads[i], pads[len(axes) + i])
    if isinstance(value, np.ndarray):
        if is_lengths(value) or min(map(min, widths)) < 0:
            raise UnsupportedError(f"widths of {pads}")
        a.check_size(n + p + q for n, (p, q) in zip(value.shape, widths, strict=True))
        if mode != "constant":
            return a.net.pad_again(value, widths, mode)
        return np.pad(value, widths, constant_values=number)
    if mode != "constant":
        if isinstance(value, Spread):
            pairs = zip(value.shape, widths, strict=True)
            a.check_size(n + sum(pair) for n, pair in pairs if isinstance(n, int))
        return a.net.pad_again(value, widths, mode)
    # What is taken off is a part.
    for axis, (before, behind) in enumerate(widths):
        if min(before, behind) < 0:
            end = behind if behind < 0 else 2**31
            value = _part(a, value, axis, max(0, -before), end, 1)
    return a.net.pad(value, [(max(0, p), max(0, q)) for p, q in widths], number)


@operator("Resize", "Upsample")
def _resize(a: Arguments) -> Made:
    """Take numbers at other places along axes, and between them."""
    value = a.input()
    a.attribute("extrapolation_value", 0.0)  # of what is refused
    method = str(a.attribute("mode", "nearest"))
    if method not in ("nearest", "linear", "cubic"):
        raise UnsupportedError(f"attribute 'mode': {method}")
    others = {"keep_aspect_ratio_policy": "stretch", "antialias": 0, "exclude_outside": 0}
    if method == "cubic":
        others["cubic_coeff_a"] = -0.75
    for name, wanted in others.items():
        if a.attribute(name, wanted) != wanted:
            raise UnsupportedError(f"attribute {name!r}: {a.node.attributes[name]}")
    a.attribute("cubic_coeff_a", -0.75)
    coordinates, rounding = "asymmetric", "floor"
    if a.op == "Resize" and a.opset >= 11:
        coordinates = str(a.attribute("coordinate_transformation_mode", "half_pixel"))
        rounding = str(a.attribute("nearest_mode", "round_prefer_floor"))
    if coordinates not in ("asymmetric", "half_pixel", "pytorch_half_pixel", "align_corners"):
        raise UnsupportedError(f"places by {coordinates!r}")
    if rounding not in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"):
        raise UnsupportedError(f"attribute 'nearest_mode': {rounding}")
    axes = a.numbers("axes")
    axes = [*range(value.ndim)] if axes is None else [_axis(axis, value.ndim) for axis in axes]
    lengths = _resized(a, value, axes)
    if not isinstance(value, Tensor):
        raise UnsupportedError(f"{a.op} of a constant")
    # By either, a place of the result is of the one that it was made of, for whole factors.
    middles = coordinates.endswith("half_pixel") and rounding.startswith("round")
    alike = method == "nearest" and (middles or (coordinates, rounding) == ("asymmetric", "floor"))
    for axis, (scale, size) in zip(axes, lengths, strict=True):
        if scale is not None and scale == int(scale) and alike:
            value = a.net.repeat_places(value, axis, int(scale)) if scale > 1 else value
        elif scale != 1:
            own = value.shape[axis]
            broken = scale is not None and isinstance(own, int) and own * scale != int(own * scale)
            broken |= scale is not None and not isinstance(own, int) and scale != int(scale)
            if broken and coordinates == "align_corners":  # its corners are between places
                raise UnsupportedError(f"{own} places at {scale} times as many by their corners")
            at = coordinates.removeprefix("pytorch_")
            fewer = scale is not None and scale < 1
            value = a.net.interpolate(
                value,
                axis,
                scale=scale,
                size=size,
                method=method,
                coordinates="asymmetric" if size == 1 and at != coordinates else at,
                # Before it was said how, ONNX Runtime takes the next place where they get fewer.
                rounding="ceil" if a.opset < 11 and a.op == "Resize" and fewer else rounding,
            )
    return value


def _resized(
    a: Arguments, value: Value, axes: Sequence[int]
) -> list[tuple[float | None, Length | None]]:
    """Return how many times as many places each axis gets, or how many."""
    number = 2 if a.op == "Resize" and a.opset >= 11 else 1
    scales, sizes = a.constant(number), a.lengths(3) if number == 2 else None
    found: list[tuple[float | None, Length | None]] = []
    if sizes:
        for axis, size in zip(axes, sizes, strict=False):
            own = value.shape[axis]
            same = own == BATCH and size == a.fixed_batch
            times = 1 if same else divided(size, own)
            found.append((float(times), None) if isinstance(times, int) else (None, size))
    elif scales is not None and scales.dtype.kind == "f":
        # Decimals as they were meant: 0.7 of 10 places are 7.
        found = [(float(str(n)), None) for n in scales.reshape(-1)]
    else:
        raise UnsupportedError("no scales")
    if len(found) != len(axes) or any(scale is not None and not scale > 0 for scale, _ in found):
        raise UnsupportedError(f"lengths of {len(axes)} axes are expected ({a.op})")
    return found


@operator("Trilu")
def _trilu(a: Arguments) -> Made:
    k, upper = a.integers(1), a.flag("upper", default=True)
    number = k[0] if k else 0
    value: Any = a.input()
    if isinstance(value, Steps):
        return value.triangle(a.net, number, upper=upper)
    if isinstance(value, (Tensor, Spread)):
        return _triangle_of_rows(a, value, number, upper=upper)
    array = a.array(0)
    return np.triu(array, number) if upper else np.tril(array, number)


def _triangle_of_rows(a: Arguments, value: Tensor | Spread, number: int, *, upper: bool) -> Value:
    """Return the upper or lower triangle of the last two axes, of which none is the batch."""
    if value.at >= value.ndim - 2:
        raise UnsupportedError("rows of a batch are computed with one another")
    a.check_size(n for n in value.shape[-2:] if isinstance(n, int))
    one, two = (
        np.arange(n)[np.newaxis] if isinstance(n, int) else a.net.positions(n)
        for n in value.shape[-2:]
    )
    first = a.net.elementwise("add", a.net.unsqueeze(one, 2), float(number))
    compared = "less_equal" if upper else "greater_equal"
    kept: Any = a.net.elementwise(compared, first, a.net.unsqueeze(two, 1))
    known = isinstance(kept, np.ndarray)
    kept = kept[0] if known else Steps.of(kept).beside(a.net, value.ndim, value.at)
    return a.net.elementwise("where", kept, value, 0.0)


# ---- orders ----


@operator("TopK")
def _topk(a: Arguments) -> Made:
    value, axis = a.input(), a.attribute("axis", -1)
    axis = _axis(axis, value.ndim)
    counts = [a.attribute("k", 0)] if a.opset < 10 else a.lengths(1)
    if counts is None or len(counts) != 1:
        raise UnsupportedError("one number of places is expected")
    largest = a.flag("largest", default=True)
    a.flag("sorted", default=True)
    a.others[1] = np.dtype(np.int64)
    if value.shape == (BATCH,):
        if counts[0] not in (BATCH, a.fixed_batch):
            raise UnsupportedError("some rows of the batch are taken out")
        return [*a.net.sorted_rows(value)]
    found, places = a.net.largest(value, axis, counts[0], smallest=not largest)
    length = value.shape[axis]
    if isinstance(places, Tensor) and isinstance(length, int):
        a.net.places[places.name] = length
    return [found, places]


@operator("ScatterElements")
def _scatter_elements(a: Arguments) -> Made:
    """Write places along an axis, or turn an order of rows around.

    The latter are numbers of rows, put to where they are from.
    """
    value, order, numbers = a.given()
    axis, reduction = _axis(a.attribute("axis", 0), value.ndim), a.attribute("reduction", "none")
    if reduction not in ("none", "add") or (reduction == "add" and isinstance(order, OfRows)):
        raise UnsupportedError(f"attribute 'reduction': {a.node.attributes['reduction']}")
    if not isinstance(order, OfRows) and not isinstance(numbers, OfRows):
        if any(map(is_lengths, (value, order, numbers))):
            raise UnsupportedError("lengths left open, put to places")
        if reduction == "add":
            return _added(a, value, order, numbers, axis)
        return put_along(a.net, value, order, numbers, axis, a.fixed_batch)
    counted = isinstance(numbers, np.ndarray) and np.array_equal(numbers, np.arange(len(numbers)))
    counted = counted or (isinstance(numbers, RowNumbers) and numbers.ndim == 1)
    if not isinstance(order, Order) or not counted or axis:
        raise UnsupportedError("numbers put to places")
    return order


def _added(a: Arguments, value: Value, places: Value, numbers: Value, axis: int) -> Value:
    """Add numbers to places along an axis."""
    made = add_along(a.net, value, places, numbers, axis, a.fixed_batch)
    if a.dtype.kind not in "iu" or not isinstance(made, (Tensor, Spread)):
        return made
    sizes = [a.net.elementwise("absolute", v) for v in (value, numbers)]
    return whole(a, made, add_along(a.net, sizes[0], places, sizes[1], axis, a.fixed_batch))


@operator("OneHot")
def _one_hot(a: Arguments) -> Made:
    value, depth, ends = a.input(), int(number_of(a.array(1))), a.array(2)
    axis = _axis(a.attribute("axis", -1), value.ndim + 1)
    if ends.size != 2 or isinstance(value, np.ndarray) or not 0 < depth < 2**24:
        raise UnsupportedError("OneHot of such inputs")
    numbers = np.arange(depth, dtype=np.float32).reshape(-1, *(1,) * (value.ndim - axis))
    a.dtype = ends.dtype
    a.check_size([depth])
    if a.dtypes[0].kind == "f":
        value = a.net.elementwise("trunc", value)
    given = a.net.unsqueeze(value, axis)
    negative = a.net.elementwise("less", given, 0.0)
    given = a.net.elementwise("add", given, a.net.elementwise("multiply", negative, float(depth)))
    same = a.net.elementwise("equal", given, numbers)
    off, on = (float(n) for n in ends.reshape(-1))
    if (off, on) == (0, 1):
        return same
    return a.net.elementwise("add", a.net.elementwise("multiply", same, on - off), off)
