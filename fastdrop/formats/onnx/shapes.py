"""Operators that lay out numbers anew, make them, or put them together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastdrop.formats._lengths import BATCH, Length, Open, divided, product
from fastdrop.formats._places import one_row
from fastdrop.formats._values import (
    Counts,
    OfRows,
    RowIndices,
    RowNumbers,
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
    axis = axis_of(axis, value.ndim)
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
    for axis in sorted(axis_of(axis, rank) for axis in axes):
        value = put(a, value, axis)
    made: Made = value
    return made


def _rows_in(value: OfRows, axes: Sequence[int], rank: int) -> RowNumbers:
    """Put axes of length 1 to numbers of rows."""
    if not isinstance(value, RowNumbers):
        raise UnsupportedError("numbers of rows, computed with")
    lengths = [*value.lengths]
    for axis in sorted(axis_of(axis, rank) for axis in axes):
        lengths.insert(axis, 1)
    return RowNumbers(tuple(lengths))


def put(a: Arguments, value: Any, axis: int) -> Any:
    """Put in an axis of length 1."""
    if isinstance(value, Steps):
        return value.unsqueezed(a.net, axis)
    return a.net.unsqueeze(value, axis)


def axis_of(axis: int, rank: int) -> int:
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
    axes = [axis_of(axis, value.ndim) for axis in axes]
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


@operator("Concat")
def _concat(a: Arguments) -> Made:
    values: list[Any] = a.given()
    axis = a.attribute("axis")
    if not isinstance(axis, int) or not values:
        raise UnsupportedError("no axis")
    axis = axis_of(axis, values[0].ndim)
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
    return RowIndices(tuple(n for value in values for n in side_by_side(a, value)))


def side_by_side(a: Arguments, value: Any) -> Sequence[Any]:
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
    axes = [*range(value.ndim)] if axes is None else [axis_of(axis, value.ndim) for axis in axes]
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
