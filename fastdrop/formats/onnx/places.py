"""Operators that take some numbers, or put some in: by slices, places, padding, triangles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from fastdrop.formats._lengths import BATCH, Length, Open, divided, product
from fastdrop.formats._places import add_along, put_along, scatter
from fastdrop.formats._values import (
    Counts,
    OfRows,
    Order,
    RowNumbers,
    RowPlaces,
    Spread,
    Steps,
    Tensor,
    ToldError,
    UnsupportedError,
    Value,
)
from fastdrop.formats.onnx._rows import (
    Arguments,
    Array,
    Made,
    fixed,
    is_lengths,
    number_of,
    operator,
    simplified,
)
from fastdrop.formats.onnx.arithmetic import whole
from fastdrop.formats.onnx.shapes import axis_of, reshaped, side_by_side

_ENDLESS = 10**9  # what tf2onnx, too, has for an end that is not given


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
        value = _part(a, value, axis_of(axis, value.ndim), start, end, step)
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
    axis = axis_of(axis, value.ndim)
    own = a.attribute_or_input("split", 1, 13) if a.opset < 13 else a.lengths(1)
    sizes: list[Length] | None = None if own is None else [*own]
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
    whole = sum(sizes, start=0)
    below = any(isinstance(n, int) and n < 0 for n in sizes)
    if len(sizes) != len(a.node.outputs) or below or whole != length:
        text = f"parts of {sizes} of an axis of {length}"
        if isinstance(length, Open) and length != BATCH and isinstance(whole, int):
            raise ToldError(text, length, whole)
        raise UnsupportedError(text)
    found: list[Value] = []
    start: Length = 0
    for n in sizes:
        found.append(_part(a, value, axis, start, start + n, 1))
        start = start + n
    return found


def _ends(length: Open, count: int) -> list[Length]:
    """Return where equal parts of an open length end, of which the last may be shorter."""
    size = divided(length, count)
    if size is not None:
        return [size * (i + 1) for i in range(count)]
    if count != 2:
        raise UnsupportedError(f"{count} parts of an axis of open length ({length})")
    return [length - length // 2, length]


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
    numbers: list[Any] = [*side_by_side(a, indices)]
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
    return scatter(a.net, value, side_by_side(a, indices), numbers, a.fixed_batch)


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
    axis = axis_of(a.attribute("axis", 0), value.ndim)
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
    axis = axis_of(a.attribute("axis", 0), value.ndim)
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
    axes = [*range(value.ndim)] if axes is None else [axis_of(axis, value.ndim) for axis in axes]
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
    axis = axis_of(axis, value.ndim)
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
    axis, reduction = (
        axis_of(a.attribute("axis", 0), value.ndim),
        a.attribute("reduction", "none"),
    )
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
    axis = axis_of(a.attribute("axis", -1), value.ndim + 1)
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
